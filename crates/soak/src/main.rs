//! The command `pushserver-soak`: reads the command line and starts a run. docs/testing.md says
//! what a run does and checks.
//!
//! ```text
//! cargo build --release
//! cargo run --release -p pushserver-soak -- --deliveries 10000000
//! cargo run --release -p pushserver-soak -- --deliveries 1000000 --daemons 3
//! cargo run --release -p pushserver-soak -- --minutes 30
//! ```

#![forbid(unsafe_code)]

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use pushserver_soak::{Mutation, Options, exactness, several, soak};

const USAGE: &str = "usage: cargo run --release -p pushserver-soak -- [OPTIONS]
    --deliveries N       as fast as it goes, until so many messages are delivered (200000)
    --minutes N          the soak instead: below what the machine can do, for so long
    --daemons N          so many, which share one Redis and are killed now and then (1)
    --seed N             of all chance (1)
    --rate N             most deliveries a second
    --mutate KIND        spoil what is seen: lost, repeated, reordered, corrupt or gap
    --daemon PATH        the daemon; else the program `pushserver` beside this one";

struct Arguments {
    deliveries: u64,
    minutes: Option<f64>,
    daemons: usize,
    daemon: Option<String>,
    options: Options,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let Some(daemon) = arguments.daemon.or_else(beside).filter(|path| Path::new(path).exists())
    else {
        eprintln!("there is no daemon: run `cargo build --release`, or name one by --daemon PATH");
        return ExitCode::from(2);
    };
    let is_right = match arguments.minutes {
        None if arguments.daemons > 1 => {
            several(&daemon, arguments.daemons, arguments.deliveries, arguments.options)
        }
        None => exactness(&daemon, arguments.deliveries, arguments.options),
        Some(minutes) => soak(&daemon, Duration::from_secs_f64(minutes * 60.0), arguments.options),
    };
    println!("{}", if is_right { "all right" } else { "WRONG" });
    if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The daemon that was built in the same folder.
fn beside() -> Option<String> {
    env::current_exe().ok()?.with_file_name("pushserver").into_os_string().into_string().ok()
}

fn arguments() -> Result<Arguments, lexopt::Error> {
    use lexopt::prelude::*;
    let options = Options {
        seed: 1,
        channels: 30,
        subscribers: 150,
        sockets: 150,
        streams: 150,
        publishers: 12,
        rate: 0,
        mutation: None,
    };
    let mut arguments =
        Arguments { deliveries: 200_000, minutes: None, daemons: 1, daemon: None, options };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("deliveries") => arguments.deliveries = parser.value()?.parse()?,
            Long("minutes") => arguments.minutes = Some(parser.value()?.parse()?),
            Long("daemons") => arguments.daemons = parser.value()?.parse()?,
            Long("seed") => arguments.options.seed = parser.value()?.parse()?,
            Long("rate") => arguments.options.rate = parser.value()?.parse()?,
            Long("daemon") => arguments.daemon = Some(parser.value()?.string()?),
            Long("mutate") => {
                let name = parser.value()?;
                let found = Mutation::ALL.iter().find(|(known, _)| name == *known);
                arguments.options.mutation = Some(found.ok_or("no such mutation")?.1);
            }
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(arguments)
}
