//! A short run of `crates/soak`, and the proof that its model finds wrong deliveries.

#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(clippy::unwrap_used, reason = "clippy takes helpers of tests for other code")]

use std::time::{Duration, Instant};

use mio::Events;
use pushserver_soak::{Fleet, Load, Mutation, Options, Seen, Tally, settings};
use pushserver_testkit::Daemon;

/// The daemon under load.
const BINARY: &str = env!("CARGO_BIN_EXE_pushserver");

/// How long a run may take; only a failing one, or one on a very busy machine, takes so long.
const LONG: Duration = Duration::from_secs(120);

/// Runs until so many messages were delivered, with reloads in between. `clients`: so many poll,
/// listen by WebSocket, and listen by event stream.
fn run(deliveries: u64, clients: [usize; 3], mutation: Option<Mutation>) -> Load {
    let daemon = Daemon::start(BINARY, settings("http://127.0.0.1:1/told"));
    let [subscribers, sockets, streams] = clients;
    let options = Options {
        seed: 7,
        channels: 15,
        subscribers,
        sockets,
        streams,
        publishers: 12,
        rate: 0,
        mutation,
    };
    let mut load = Load::new(daemon.address(), options);
    let mut events = Events::with_capacity(256);
    let begin = Instant::now();
    for part in 1..=3 {
        // Who is away at a DELETE, and who holds a request, is chance: the run ends no earlier.
        let goes_on = |load: &Load| {
            let untried = mutation.is_none() && part == 3 && !tried(load.seen());
            load.tally().delivered * 3 < deliveries * part || untried
        };
        while goes_on(&load) {
            load.turn(&mut events);
            assert!(begin.elapsed() < LONG, "{:?}", load.tally());
        }
        daemon.signal("HUP");
    }
    load.finish(&mut events);
    load
}

/// Whether answers of each kind that a run is to try have come.
fn tried(seen: Seen) -> bool {
    seen.gaps > 0 && seen.taken > 0 && seen.gone > 0 && seen.nothing > 0
}

#[test]
fn every_delivery_of_a_short_run_is_exact() {
    let load = run(20_000, [80; 3], None);
    assert_eq!(load.faults().total(), 0, "{:#?} after {:?}", load.faults(), load.tally());
    let seen = load.seen();
    assert_eq!(seen.messages, load.tally().delivered);
    // What was to be tried was tried.
    assert!(tried(seen), "{seen:?}");
    assert!(load.tally().vanished > 0 && load.tally().cut > 0, "{:?}", load.tally());
    assert!(load.tally().by_stream > 0 && load.tally().streams > 80, "{:?}", load.tally());
    assert!(load.tally().by_socket > 0 && load.tally().sockets > 80, "{:?}", load.tally());
}

/// Runs on three daemons that share one Redis, until so many messages were delivered.
fn run_on_three(deliveries: u64, mutation: Option<Mutation>) -> Load {
    let options = Options {
        seed: 7,
        channels: 15,
        subscribers: 40,
        sockets: 40,
        streams: 40,
        publishers: 9,
        rate: 0,
        mutation,
    };
    let mut load = Load::on(Fleet::start(BINARY, 3), options);
    let mut events = Events::with_capacity(256);
    let begin = Instant::now();
    let untried = |load: &Load| mutation.is_none() && !(tried(load.seen()) && hit(load.tally()));
    while load.tally().delivered < deliveries || untried(&load) {
        load.turn(&mut events);
        assert!(begin.elapsed() < LONG, "{:?}", load.tally());
    }
    load.finish(&mut events);
    load
}

/// Whether everything has happened to the daemons that may.
fn hit(tally: Tally) -> bool {
    tally.kills > 1 && tally.cuts > 1 && tally.torn > 0 && tally.refused > 0 && tally.undone > 0
}

#[test]
fn every_delivery_of_daemons_that_share_a_redis_is_exact_though_they_are_killed() {
    let load = run_on_three(20_000, None);
    assert_eq!(load.faults().total(), 0, "{:#?} after {:?}", load.faults(), load.tally());
    assert_eq!(load.seen().messages, load.tally().delivered);
}

#[test]
fn whatever_several_daemons_deliver_wrong_is_told() {
    for (name, mutation) in Mutation::ALL {
        let load = run_on_three(2000, Some(mutation));
        assert!(load.faults().total() > 0, "{name}");
    }
}

#[test]
fn whatever_is_delivered_wrong_is_told() {
    for (name, mutation) in Mutation::ALL {
        for clients in [[240, 0, 0], [0, 240, 0], [0, 0, 240]] {
            let load = run(2000, clients, Some(mutation));
            assert!(load.faults().total() > 0, "{name}, {clients:?}");
        }
    }
}
