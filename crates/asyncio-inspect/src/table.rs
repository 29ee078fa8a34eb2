//! `ps`: a row for each task.

use asyncio_executor::{Awaited, TaskState};

use crate::links::Links;
use crate::report::{ProcessReport, TaskReport, ThreadReport, printable, state_word};
use crate::stack::frame_line;

/// A row of the table of tasks; from [`build_task_table`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableRow {
    /// The thread of its loop.
    pub thread: ThreadReport,
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub state: TaskState,
    /// Requests for its cancellation not taken back.
    pub cancelling: u32,
    /// What it waits for, as far as that is known: `gather: reader [3]`, `Future`.
    pub waits_for: Vec<String>,
    /// The tasks that wait for it: `main [1]`.
    pub awaited_by: Vec<String>,
    /// Where it was spawned.
    pub spawned_at: String,
}

/// A row for each task; asyncio: `build_task_table` (S250).
///
/// ```
/// use asyncio_executor::Awaited;
/// use asyncio_inspect::tools::{LoopReport, ProcessReport, TaskReport, ThreadReport, build_task_table};
///
/// let main = TaskReport::new(1, "main", "main.rs:3:5").awaiting("gather", [Awaited::Task(2)]);
/// let reader = TaskReport::new(2, "reader", "main.rs:7:9");
/// let tasks = LoopReport::new(ThreadReport::new("main", 4711), vec![main, reader]);
/// let table = build_task_table(&ProcessReport::new(4711, vec![tasks]));
/// assert_eq!(table[0].waits_for, ["gather: reader [2]"]);
/// assert_eq!(table[1].awaited_by, ["main [1]"]);
/// ```
pub fn build_task_table(report: &ProcessReport) -> Vec<TableRow> {
    let links = Links::of(report);
    let mut rows = Vec::new();
    for report in &report.loops {
        for task in &report.tasks {
            rows.push(row(&links, &report.thread, task));
        }
    }
    rows
}

fn row<'a>(links: &Links<'a>, thread: &ThreadReport, task: &'a TaskReport) -> TableRow {
    let tasks = links.awaited(task);
    let mut waits_for: Vec<String> = tasks
        .into_iter()
        .map(|(label, task)| format!("{label}: {} [{}]", task.name, task.id))
        .collect();
    for edge in &task.awaits {
        // What is awaited through it has ended, is not known, or is no task.
        let is_task = |awaited: &Awaited| matches!(awaited, Awaited::Task(_));
        if !edge.on.iter().any(is_task) {
            waits_for.push(edge.label.clone());
        }
    }
    let awaited_by = links.awaited_by(task).iter();
    TableRow {
        thread: thread.clone(),
        id: task.id,
        name: task.name.clone(),
        state: task.state,
        cancelling: task.cancelling,
        waits_for,
        awaited_by: awaited_by
            .map(|(_, task)| format!("{} [{}]", task.name, task.id))
            .collect(),
        spawned_at: task.spawned_at.clone(),
    }
}

/// The table as text, loop by loop; one that does not turn says why instead.
pub fn format_task_table(report: &ProcessReport) -> String {
    let links = Links::of(report);
    let mut text = String::new();
    for report in &report.loops {
        text.push_str(&format!("{}: the loop {}\n", report.thread, report.state));
        if report.tasks.is_empty() {
            continue;
        }
        let mut rows = vec![HEADINGS.map(str::to_owned)];
        for task in &report.tasks {
            rows.push(cells(&row(&links, &report.thread, task)));
        }
        let mut widths = [0; HEADINGS.len()];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let tasks = std::iter::once(None).chain(report.tasks.iter().map(Some));
        for (row, task) in rows.iter().zip(tasks) {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                line.push_str(&format!("{cell:width$}  "));
            }
            text.push_str(line.trim_end());
            text.push('\n');
            for frame in task.iter().flat_map(|task| task.stacks.iter().flatten()) {
                text.push_str(&format!("    {}\n", frame_line(frame)));
            }
        }
        if report.left_out > 0 {
            text.push_str(&format!("and {} further tasks\n", report.left_out));
        }
    }
    text
}

const HEADINGS: [&str; 6] = [
    "id",
    "name",
    "state",
    "waits for",
    "awaited by",
    "spawned at",
];

fn cells(row: &TableRow) -> [String; 6] {
    let mut state = state_word(row.state).to_owned();
    if row.cancelling > 0 {
        state.push_str(", asked to end");
    }
    [
        row.id.to_string(),
        printable(&row.name),
        state,
        list(&row.waits_for),
        list(&row.awaited_by),
        printable(&row.spawned_at),
    ]
}

/// The first few.
fn list(items: &[String]) -> String {
    const FEW: usize = 3;
    let mut text = items
        .iter()
        .take(FEW)
        .map(|item| printable(item))
        .collect::<Vec<_>>()
        .join(", ");
    if items.is_empty() {
        text.push('-');
    }
    if items.len() > FEW {
        text.push_str(&format!(" and {} more", items.len() - FEW));
    }
    text
}
