//! A short run of `crates/soak`, and the proof that its model finds wrong deliveries.

#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(clippy::unwrap_used, reason = "clippy takes helpers of tests for other code")]

use std::time::{Duration, Instant};

use mio::Events;
use pushserver_soak::{Load, Mutation, Options, settings};
use pushserver_testkit::Daemon;

/// The daemon under load.
const BINARY: &str = env!("CARGO_BIN_EXE_pushserver");

/// How long a run may take; only a failing one, or one on a very busy machine, takes so long.
const LONG: Duration = Duration::from_secs(120);

/// Runs until so many messages were delivered, with reloads in between.
fn run(deliveries: u64, sockets: usize, mutation: Option<Mutation>) -> Load {
    let daemon = Daemon::start(BINARY, settings("http://127.0.0.1:1/told"));
    let options = Options {
        seed: 7,
        channels: 15,
        subscribers: 240 - sockets,
        sockets,
        publishers: 12,
        rate: 0,
        mutation,
    };
    let mut load = Load::new(daemon.address(), options);
    let mut events = Events::with_capacity(256);
    let begin = Instant::now();
    for part in 1..=3 {
        while load.tally().delivered * 3 < deliveries * part {
            load.turn(&mut events);
            assert!(begin.elapsed() < LONG, "{:?}", load.tally());
        }
        daemon.signal("HUP");
    }
    load.finish(&mut events);
    load
}

#[test]
fn every_delivery_of_a_short_run_is_exact() {
    let load = run(20_000, 120, None);
    assert_eq!(load.faults().total(), 0, "{:#?} after {:?}", load.faults(), load.tally());
    let seen = load.seen();
    assert_eq!(seen.messages, load.tally().delivered);
    // What was to be tried was tried.
    assert!(seen.gaps > 0 && seen.taken > 0 && seen.gone > 0 && seen.nothing > 0, "{seen:?}");
    assert!(load.tally().vanished > 0 && load.tally().cut > 0, "{:?}", load.tally());
    assert!(load.tally().by_socket > 0 && load.tally().sockets > 120, "{:?}", load.tally());
}

#[test]
fn whatever_is_delivered_wrong_is_told() {
    for (name, mutation) in Mutation::ALL {
        for sockets in [0, 240] {
            let load = run(3000, sockets, Some(mutation));
            assert!(load.faults().total() > 0, "{name}, {sockets} of 240 by WebSocket");
        }
    }
}
