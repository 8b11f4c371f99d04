//! Bench: `pushserver bench` measures a server of the push relay protocol from outside, as its
//! publishers and subscribers see it, with an event loop of its own. It imports nothing from the
//! server, so that it measures all servers of the protocol alike. The API is for this repository
//! only.
//!
//! In reading order: `table` and `options` (command line), `plan` (scenarios), `measure` (one
//! measurement), `load` and `traffic` (the event loop), `report` and `text` (figures), `picture`
//! and `plot` (their picture).

#![forbid(unsafe_code)]

mod answer;
mod channel;
mod clock;
mod dial;
mod event;
mod frame;
mod histogram;
mod lane;
mod load;
mod machine;
mod measure;
mod options;
mod order;
mod picture;
mod plan;
pub mod plot;
mod process;
mod progress;
mod publisher;
mod reader;
mod rehearsal;
mod repolls;
mod report;
mod stamp;
mod subscriber;
mod table;
mod tally;
mod target;
mod text;
mod traffic;
mod transport;
mod wire;

use std::fs;
use std::io::{self, Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::clock::Clock;
use crate::machine::Machine;
use crate::options::{Asked, Options};
use crate::plan::Plan;
use crate::process::Process;
use crate::report::{Compared, Report};
pub use crate::table::OPTIONS;
use crate::target::Target;

/// Runs `pushserver bench` with the arguments after `bench`. Exit codes: 0 without faults; 1 with
/// faults under load, or without figures; 2 for a wrong argument.
#[must_use]
pub fn run(arguments: lexopt::Parser) -> ExitCode {
    let options = match options::parse(arguments) {
        Ok(Asked::Measure(options)) => options,
        Ok(Asked::Help) => return say(&OPTIONS.help(), ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("pushserver bench: {error}");
            return ExitCode::from(2);
        }
    };
    match measure_all(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pushserver bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The document of `--json`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    machine: Machine,
    arguments: Vec<String>,
    runs: Vec<&'a Report>,
    comparison: Vec<Compared>,
}

/// Measures each server `rounds` times, in turn. `false`: there were faults under load.
fn measure_all(options: &Options) -> Result<bool, String> {
    let clock = Clock::start();
    let machine = Machine::look();
    let targets: Vec<&Target> = std::iter::once(&options.target).chain(&options.compare).collect();
    let text_wanted = options.json.as_deref().is_none_or(|path| path.as_os_str() != "-");
    let show = |text: &str| if text_wanted { print(text) } else { Ok(()) };
    show(&text::machine(&machine))?;
    let plan = plan(options, &machine, &targets);
    let mut reports = vec![Vec::new(); targets.len()];
    for _ in 0..options.rounds {
        for (target, reports) in targets.iter().zip(&mut reports) {
            let report = measure::measure(&plan, target, options.length, clock)?;
            show(&text::report(&report, options.plot))?;
            reports.push(report);
        }
    }
    let comparison = match reports.as_slice() {
        [a, b] => report::compare(a, b),
        _ => Vec::new(),
    };
    if let [a, b] = targets.as_slice() {
        show(&text::comparison(&a.label, &b.label, options.rounds, &comparison))?;
    }
    let failed = reports.iter().flatten().any(|report| report.faults.any());
    if let Some(path) = &options.json {
        let in_turn = |round| reports.iter().filter_map(move |of_one| of_one.get(round));
        let runs = (0..options.rounds).flat_map(in_turn).collect();
        let arguments = std::env::args().skip(1).collect();
        let document = Document { machine, arguments, runs, comparison };
        let mut json = serde_json::to_string_pretty(&document).map_err(|e| e.to_string())?;
        json.push('\n');
        match text_wanted {
            true => write(path, &json)?,
            false => print(&json)?,
        }
        // Beside a file: not beside standard output, /dev/stdout or a named pipe.
        if options.plot && text_wanted && path.is_file() {
            write_plot(&path.with_extension("svg"), &reports)?;
        }
    }
    Ok(!failed)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes the plot of these reports, unless nothing was timed in them.
fn write_plot(path: &Path, reports: &[Vec<Report>]) -> Result<(), String> {
    picture::of(reports).map_or(Ok(()), |plot| write(path, &plot.svg()))
}

/// The plan, with no more connections than this machine and the servers can hold; prints a line if
/// that changes it.
fn plan(options: &Options, machine: &Machine, targets: &[&Target]) -> Plan {
    let servers = targets.iter().filter_map(|target| {
        Process::find(target.pid?).ok()?.open_files_max().map(machine::most_of)
    });
    let connections_max = servers.fold(machine.connections_max(), usize::min);
    let plan = Plan::new(options.scenario, &options.wishes, connections_max);
    if let Some(wanted) = options.wishes.subscribers
        && plan.groups[0].subscribers < wanted
    {
        eprintln!(
            "pushserver bench: {} subscribers instead of {wanted}: open files {}, local ports {:?}",
            plan.groups[0].subscribers, machine.open_files, machine.local_ports
        );
    }
    plan
}

fn print(text: &str) -> Result<(), String> {
    write_out(text).map_err(|error| format!("standard output: {error}"))
}

fn write_out(text: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn say(text: &str, code: ExitCode) -> ExitCode {
    if write_out(text).is_ok() { code } else { ExitCode::FAILURE }
}
