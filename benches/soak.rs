//! Exactness under fire, and the soak: the real daemon under random load for a number of deliveries
//! or for a time, each answer judged by a model. docs/testing.md says what is done and what is
//! checked.
//!
//! ```text
//! cargo bench --bench soak -- --deliveries 10000000
//! cargo bench --bench soak -- --minutes 30
//! ```

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "clippy takes helpers of tests for other code")]

use std::process::ExitCode;
use std::time::Instant;

use mio::Events;
use soak::fire::{Fire, Options};
use soak::subscriber::Mutation;
use soak::support::Start;

#[path = "soak/mod.rs"]
#[allow(dead_code, reason = "the test uses the rest")]
mod soak;

const USAGE: &str = "usage: cargo bench --bench soak -- [--deliveries N | --minutes N] [--seed N]
    [--rate DELIVERIES-PER-SECOND] [--mutate lost|repeated|reordered|corrupt|gap]";

struct Arguments {
    deliveries: u64,
    minutes: Option<f64>,
    seed: u64,
    rate: u64,
    mutation: Option<Mutation>,
}

fn arguments() -> Result<Arguments, lexopt::Error> {
    use lexopt::prelude::*;
    let mut arguments =
        Arguments { deliveries: 200_000, minutes: None, seed: 1, rate: 0, mutation: None };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("deliveries") => arguments.deliveries = parser.value()?.parse()?,
            Long("minutes") => arguments.minutes = Some(parser.value()?.parse()?),
            Long("seed") => arguments.seed = parser.value()?.parse()?,
            Long("rate") => arguments.rate = parser.value()?.parse()?,
            Long("mutate") => {
                let name = parser.value()?;
                let found = Mutation::ALL.iter().find(|(known, _)| name == *known);
                arguments.mutation = Some(found.ok_or("no such mutation")?.1);
            }
            // Cargo says it.
            Long("bench") => {}
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(arguments)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let daemon = Start::with(soak::settings::settings("http://127.0.0.1:1/told")).start();
    let options = Options {
        seed: arguments.seed,
        channels: 30,
        subscribers: 450,
        publishers: 12,
        rate: arguments.rate,
        mutation: arguments.mutation,
    };
    let mut fire = Fire::new(daemon.address(), options);
    let mut events = Events::with_capacity(1024);
    let begin = Instant::now();
    let mut told = 0;
    while fire.tally.delivered < arguments.deliveries {
        fire.turn(&mut events);
        let seconds = begin.elapsed().as_secs();
        if seconds / 10 > told {
            told = seconds / 10;
            println!("{seconds} s: {:?} faults {:?}", fire.tally, fire.faults.counts);
            daemon.signal("HUP");
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    fire.finish(&mut events);
    println!("{seconds:.1} s, {:?}\n{:?}", fire.tally, fire.seen());
    println!("{:#?}", fire.faults);
    for line in daemon.log().iter().filter(|l| !l.contains("reload")).take(10) { println!("{line}"); }
    ExitCode::SUCCESS
}
