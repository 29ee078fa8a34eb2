//! The table of medians and ratios, and its legend.

use std::fmt::Write as _;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use crate::cells::Runtime;
use crate::driver::Samples;
use crate::measure::median;
use crate::rows::{Better, Cell, ROWS, Remark, Row};
use crate::runtimes;

/// The lock file names the versions that are compared.
const LOCK: &str = include_str!("../Cargo.lock");

pub(crate) fn render(
    cells: &[Cell],
    runtimes: &[&Runtime],
    samples: &Samples,
    spread: bool,
) -> String {
    let mut notes = Notes::default();
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    let mut header = vec!["row".to_owned(), "unit".to_owned()];
    header.extend(runtimes.iter().map(|runtime| runtime.name.to_owned()));
    header.push("best peer".to_owned());
    table.set_header(header);
    for column in 1..=runtimes.len() + 1 {
        table
            .column_mut(column)
            .expect("in the header")
            .set_cell_alignment(CellAlignment::Right);
    }

    let mut spreads = String::new();
    for (index, row) in ROWS
        .iter()
        .enumerate()
        .filter(|(_, row)| cells.contains(&row.cell))
    {
        let medians: Vec<Option<f64>> = (0..runtimes.len())
            .map(|column| Some(median(&mut samples.figures.get(&(index, column))?.clone())))
            .collect();
        let line = Line {
            row,
            medians: &medians,
            runtimes,
        };
        let mut fields = vec![row.title.to_owned(), row.unit.to_owned()];
        for (column, runtime) in runtimes.iter().enumerate() {
            let failure = samples.failures.get(&(index, column));
            let remark = row
                .cell
                .remark(runtime.name)
                .map(|remark| remark.text().to_owned());
            let note = failure
                .map(|reason| format!("{}: {reason}", runtime.name))
                .or(remark)
                .map(|text| notes.mark(text));
            fields.push(format!(
                "{}{}",
                line.field(column),
                note.unwrap_or_default()
            ));
        }
        fields.push(line.best_peer());
        table.add_row(fields);

        if spread {
            let _ = write!(spreads, "\n{} ({}):", row.title, row.unit);
            for (column, runtime) in runtimes.iter().enumerate() {
                if let Some(figures) = samples.figures.get(&(index, column)) {
                    let (low, high) = figures
                        .iter()
                        .fold((f64::MAX, f64::MIN), |(low, high), &figure| {
                            (low.min(figure), high.max(figure))
                        });
                    let _ = write!(
                        spreads,
                        " {} {}..{}",
                        runtime.name,
                        row.show(low),
                        row.show(high)
                    );
                }
            }
        }
    }

    let mut text = table.to_string();
    let _ = write!(
        text,
        "\n\n(x) is how many times better {} is than that column: above 1 it is ahead.\n",
        Line::reference(runtimes).map_or("the best", |column| runtimes[column].name)
    );
    for runtime in runtimes {
        let _ = writeln!(
            text,
            "{}: {} {}",
            runtime.name,
            runtime.what,
            version(runtime.package)
        );
    }
    text + &notes.text + &spreads
}

struct Line<'a> {
    row: &'a Row,
    medians: &'a [Option<f64>],
    runtimes: &'a [&'a Runtime],
}

impl Line<'_> {
    fn reference(runtimes: &[&Runtime]) -> Option<usize> {
        runtimes
            .iter()
            .position(|runtime| runtimes::is_ours(runtime))
    }

    /// The columns that compete with ours, with their medians.
    fn peers(&self) -> impl Iterator<Item = (usize, f64)> {
        self.medians
            .iter()
            .enumerate()
            .filter_map(|(column, &median)| {
                let runtime = self.runtimes[column];
                let remark = self.row.cell.remark(runtime.name);
                let competes =
                    !runtimes::is_ours(runtime) && !matches!(remark, Some(Remark::Exempt(_)));
                competes.then_some((column, median?))
            })
    }

    fn best(&self) -> Option<(usize, f64)> {
        self.peers().min_by(|(_, a), (_, b)| match self.row.better {
            Better::Higher => b.total_cmp(a),
            Better::Lower => a.total_cmp(b),
        })
    }

    /// How many times better ours is than `figure` (without ours: the best peer).
    fn ratio(&self, figure: f64) -> Option<f64> {
        let reference = match Self::reference(self.runtimes) {
            Some(column) => self.medians[column]?,
            None => self.best()?.1,
        };
        Some(match self.row.better {
            Better::Higher => reference / figure,
            Better::Lower => figure / reference,
        })
    }

    fn field(&self, column: usize) -> String {
        let Some(figure) = self.medians[column] else {
            return "n/a".to_owned();
        };
        let figure_text = self.row.show(figure);
        match self.ratio(figure) {
            Some(ratio) if Self::reference(self.runtimes) != Some(column) => {
                format!("{figure_text} ({ratio:.2})")
            }
            _ => figure_text,
        }
    }

    fn best_peer(&self) -> String {
        match self.best() {
            Some((column, figure)) => {
                let ratio = self
                    .ratio(figure)
                    .map(|ratio| format!(" ({ratio:.2})"))
                    .unwrap_or_default();
                format!("{}{ratio}", self.runtimes[column].name)
            }
            None => String::new(),
        }
    }
}

impl Row {
    fn show(&self, figure: f64) -> String {
        format!("{figure:.*}", self.decimals)
    }
}

/// Footnotes; the same text is said once.
#[derive(Default)]
struct Notes {
    said: Vec<String>,
    text: String,
}

impl Notes {
    fn mark(&mut self, note: String) -> String {
        let number = self
            .said
            .iter()
            .position(|said| *said == note)
            .unwrap_or_else(|| {
                let _ = writeln!(self.text, "[{}] {note}", self.said.len() + 1);
                self.said.push(note);
                self.said.len() - 1
            });
        format!(" [{}]", number + 1)
    }
}

/// The version in the lock file (ours are packages of this checkout).
fn version(package: &str) -> &'static str {
    let start = format!("name = \"{package}\"\nversion = \"");
    LOCK.split_once(&start)
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("", |(version, _)| version)
}
