//! The driver: one fresh process for each cell, rounds that go round the runtimes, medians.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::cells::Runtime;
use crate::rows::{CELLS, Cell, ROWS, Remark};
use crate::runtimes::{self, RUNTIMES};
use crate::table;

/// A cell that has not answered by then is killed and called so.
const PATIENCE: Duration = Duration::from_secs(120);

const USAGE: &str = "\
usage: cargo run --release --manifest-path bench/Cargo.toml -- [options]

  --rows a,b        only these rows (`echo` stands for the rows of echo with both sizes,
                    `sync` for the locks and queues)
  --runtimes x,y    only these columns
  --rounds n        rounds, of which the medians are shown (5)
  --quick           a tenth of the work and one round: shows that everything runs, measures little
  --spread          print lowest and highest round below the table
  --list            the names of rows and columns";

struct Options {
    cells: Vec<Cell>,
    runtimes: Vec<&'static Runtime>,
    rounds: usize,
    divisor: usize,
    spread: bool,
}

/// Every figure of every round, by (row, column).
#[derive(Debug, Default)]
pub(crate) struct Samples {
    pub(crate) figures: BTreeMap<(usize, usize), Vec<f64>>,
    /// Why a cell has none.
    pub(crate) failures: BTreeMap<(usize, usize), String>,
}

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let Some(options) = Options::from_arguments()? else {
        return Ok(());
    };
    let mut samples = Samples::default();
    let asked = options.asked();
    let total = options.rounds * asked.len();
    let mut done = 0;
    for round in 1..=options.rounds {
        for &(cell, column, runtime) in &asked {
            done += 1;
            progress(&format!(
                "round {round}, {done} of {total}: {cell}, {}",
                runtime.name
            ));
            samples.take(cell, column, runtime, options.divisor);
        }
    }
    progress("");
    println!(
        "{}",
        table::render(&options.cells, &options.runtimes, &samples, options.spread)
    );
    Ok(())
}

impl Options {
    fn from_arguments() -> Result<Option<Self>, Box<dyn Error>> {
        use lexopt::prelude::*;

        let mut options = Self {
            cells: CELLS.to_vec(),
            runtimes: RUNTIMES.to_vec(),
            rounds: 5,
            divisor: 1,
            spread: false,
        };
        let mut rounds = None;
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("rows") => options.cells = cells_named(&parser.value()?.string()?)?,
                Long("runtimes") => {
                    let names = parser.value()?.string()?;
                    options.runtimes = names
                        .split(',')
                        .map(runtimes::find)
                        .collect::<Result<_, _>>()?;
                }
                Long("rounds") => rounds = Some(parser.value()?.parse::<usize>()?.max(1)),
                Long("quick") => (options.divisor, options.rounds) = (10, 1),
                Long("spread") => options.spread = true,
                Long("list") => {
                    println!("rows: {}", CELLS.map(|cell| cell.to_string()).join(", "));
                    RUNTIMES
                        .iter()
                        .for_each(|runtime| println!("{}: {}", runtime.name, runtime.what));
                    return Ok(None);
                }
                Short('h') | Long("help") => {
                    println!("{USAGE}");
                    return Ok(None);
                }
                other => return Err(format!("{}\n\n{USAGE}", other.unexpected()).into()),
            }
        }
        options.rounds = rounds.unwrap_or(options.rounds);
        Ok(Some(options))
    }

    /// The cells of one round, each with its column.
    fn asked(&self) -> Vec<(Cell, usize, &'static Runtime)> {
        let columns = || self.runtimes.iter().copied().enumerate();
        self.cells
            .iter()
            .flat_map(|&cell| columns().map(move |(column, runtime)| (cell, column, runtime)))
            .filter(|(cell, _, runtime)| {
                !matches!(cell.remark(runtime.name), Some(Remark::Lacks(_)))
            })
            .collect()
    }
}

fn cells_named(names: &str) -> Result<Vec<Cell>, String> {
    let mut cells = Vec::new();
    for name in names.split(',') {
        match name {
            "echo" => cells.extend(CELLS.iter().filter(|cell| matches!(cell, Cell::Echo(..)))),
            "sync" => cells.extend(CELLS.iter().filter(|cell| cell.is_sync())),
            _ => cells.push(name.parse()?),
        }
    }
    Ok(cells)
}

impl Samples {
    /// Runs one cell once; one that failed before is not tried again.
    fn take(&mut self, cell: Cell, column: usize, runtime: &Runtime, divisor: usize) {
        let places = || ROWS.iter().enumerate().filter(|(_, row)| row.cell == cell);
        if places().all(|(row, _)| self.failures.contains_key(&(row, column))) {
            return;
        }
        let name = cell.to_string();
        let outcome = match cell.service() {
            Some(_) => serve(&name, runtime, 1000 / divisor),
            None => ask(&["cell", &name, runtime.name, &divisor.to_string()]),
        };
        for (index, row) in places() {
            let figure = outcome.as_ref().map_err(Clone::clone).and_then(|figures| {
                figures
                    .get(row.metric)
                    .cloned()
                    .unwrap_or_else(|| Err(format!("it reported no `{}`", row.metric)))
            });
            match figure {
                Ok(figure) => self
                    .figures
                    .entry((index, column))
                    .or_default()
                    .push(figure),
                Err(reason) => drop(self.failures.insert((index, column), reason)),
            }
        }
    }
}

/// Figures by name; in place of one there may be the reason why there is none.
type Answer = Result<BTreeMap<String, Result<f64, String>>, String>;

/// A server on its core, the load on the other; the load's answer.
fn serve(cell: &str, runtime: &Runtime, milliseconds: usize) -> Answer {
    let mut server = Process::start(&["server", cell, runtime.name])?;
    let port = server.first_line()?;
    ask(&[
        "load",
        cell,
        port.trim(),
        &milliseconds.to_string(),
        &server.0.id().to_string(),
    ])
    .map_err(|reason| server.explain(reason))
}

/// Runs a child to its end; its answer is lines of a name and a number, or a reason.
fn ask(arguments: &[&str]) -> Answer {
    let mut child = Process::start(arguments)?;
    let text = child.output()?;
    let figures: BTreeMap<String, Result<f64, String>> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().map_err(|_| value.to_owned())))
        .collect();
    if figures.values().any(Result::is_ok) {
        Ok(figures)
    } else {
        Err(child.explain("no answer".to_owned()))
    }
}

/// A child of ours, killed when dropped.
struct Process(Child);

impl Process {
    fn start(arguments: &[&str]) -> Result<Self, String> {
        std::env::current_exe()
            .and_then(|program| {
                Command::new(program)
                    .args(arguments)
                    .env("RUST_BACKTRACE", "0")
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
            })
            .map(Self)
            .map_err(|error| format!("cannot start a process: {error}"))
    }

    fn first_line(&mut self) -> Result<String, String> {
        let line = self.read_in_time(|out| {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).map(|_| line)
        })?;
        if line.is_empty() {
            Err(self.explain("it did not start".to_owned()))
        } else {
            Ok(line)
        }
    }

    fn output(&mut self) -> Result<String, String> {
        self.read_in_time(|mut out| {
            let mut text = String::new();
            out.read_to_string(&mut text).map(|_| text)
        })
    }

    fn read_in_time<F>(&mut self, read: F) -> Result<String, String>
    where
        F: FnOnce(std::process::ChildStdout) -> std::io::Result<String> + Send + 'static,
    {
        let out = self.0.stdout.take().expect("piped, and read once");
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(read(out)));
        receiver
            .recv_timeout(PATIENCE)
            .map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?
            .map_err(|error| format!("reading its output: {error}"))
    }

    /// Ends the process and adds what it said on its standard error.
    fn explain(&mut self, reason: String) -> String {
        let _ = self.0.kill();
        let mut said = String::new();
        if let Some(mut errors) = self.0.stderr.take() {
            let _ = errors.read_to_string(&mut said);
        }
        // What the first panic says stands below its place.
        let mut lines = said.lines();
        let panic = lines
            .find(|line| line.contains("panicked at"))
            .and_then(|_| lines.next());
        let told = panic.or_else(|| said.lines().next_back());
        match told {
            Some(told) => format!("{reason}: {}", told.trim()),
            None => reason,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One line on a terminal, rewritten in place; nothing elsewhere.
fn progress(line: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{line}");
    }
}
