//! The asyncio loop beside its peers. `README.md` says what each row asks and how it is kept fair.

mod alloc;
mod cells;
mod driver;
mod idlers;
mod load;
mod measure;
mod rows;
mod runtimes;
mod sys;
mod system_calls;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use crate::measure::Size;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

/// Where something else works beside the loop (the load, a thread that wakes tasks), each has a core.
const LOOP_CORE: usize = 0;
const OTHER_CORE: usize = 1;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some(child @ ("cell" | "server" | "load")) => {
            sys::die_with_parent();
            run_child(child, &arguments[1..]).map_err(Into::into)
        }
        _ => driver::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The child processes, called by the driver only: `cell <row> <runtime> <divisor>`,
/// `server <row> <runtime>`, `load <row> <port> <milliseconds> <server's process id>`.
fn run_child(kind: &str, arguments: &[String]) -> Result<(), String> {
    let argument = |index: usize| -> Result<&str, String> {
        arguments
            .get(index)
            .map(String::as_str)
            .ok_or_else(|| format!("{kind}: argument {index} is missing"))
    };
    let number = |index: usize| -> Result<usize, String> {
        argument(index)?
            .parse()
            .map_err(|error| format!("{kind}: argument {index}: {error}"))
    };
    let cell: rows::Cell = argument(0)?.parse()?;
    sys::allow_many_files();
    match kind {
        "cell" => {
            let runtime = runtimes::find(argument(1)?)?;
            if cell.has_raiser() && !runtimes::is_multi_threaded(runtime) {
                sys::pin_to_core(LOOP_CORE).map_err(|error| format!("pinning: {error}"))?;
            }
            (runtime.run)(
                cell,
                Size {
                    divisor: number(2)?,
                },
            );
        }
        "server" => {
            let runtime = runtimes::find(argument(1)?)?;
            let service = cell
                .service()
                .ok_or_else(|| format!("{cell} has no server"))?;
            sys::pin_to_core(LOOP_CORE).map_err(|error| format!("pinning: {error}"))?;
            sys::let_strace_attach();
            (runtime.serve)(service);
        }
        _ => {
            sys::pin_to_core(OTHER_CORE).map_err(|error| format!("pinning: {error}"))?;
            let period = Duration::from_millis(number(2)? as u64);
            load::run(cell, number(1)? as u16, period, number(3)? as u32)
                .map_err(|error| format!("load: {error}"))?
                .report();
        }
    }
    Ok(())
}
