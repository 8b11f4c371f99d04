//! The seeded simulation: the whole pure relay with a fake network and a fake clock, and a shadow
//! model beside it. Nothing here touches a socket, sleeps or reads a clock; one seed is one run,
//! the same everywhere.
//!
//! ```text
//! PUSHSERVER_SIM_SEED=17     run this seed alone, and print what happens
//! PUSHSERVER_SIM_SEEDS=5000  run so many seeds (default 320; of durable stores 200)
//! PUSHSERVER_SIM_FROM=9000   the first of them (default 0)
//! PUSHSERVER_SIM_STEPS=2000  so many steps of each (default 200)
//! ```
//!
//! `asks` is what becomes of questions to stores that take time, `writing` what durable ones are
//! writing down. `actions` draws what happens next,
//! `world` tells it to the relay. `client` is what one connection should be doing, `model` what
//! channels, messages and holds should be; `expected` asks both what is due, `observed` compares it
//! with what the relay does, `properties` with what it has. `stream` is what a stream should be
//! given, `following` how it begins and ends: when it has its turn is the relay's to say, what it
//! is given then is the model's.
//!
//! `inspecting` asks what the relay has recorded, and compares that with the model.
//!
//! `cases` are runs by hand, without a model; `revoking` has its own.

mod actions;
mod asks;
mod awaiting;
mod cases;
mod client;
mod expected;
mod following;
mod inspecting;
mod model;
mod observed;
mod presence;
mod properties;
mod request;
mod revoking;
mod settings;
mod stream;
mod world;
mod writing;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use asks::Asks;
use pushserver_testkit::Random;
use world::World;

const SEEDS: u64 = 400;
const SEEDS_OF_DURABLE: u64 = 200;
const STEPS: u64 = 200;

#[test]
fn the_relay_does_what_the_model_says_whatever_happens() {
    let counts = run_seeds(SEEDS, |_| Asks::default());
    check_coverage(&counts, ALWAYS);
}

/// Turns later, in the order asked, and sometimes not at all.
#[test]
fn the_relay_does_what_the_model_says_also_when_its_stores_take_time() {
    let counts = run_seeds(SEEDS, |seed| Asks::draw(&mut Random::new(!seed)));
    let more = [
        "answers lost",
        "asked and gone",
        "half closes while asking",
        "lost appends that were done",
        "questions lost",
        "stores that did not answer",
        "streams whose store is late",
        "time passes while asking",
    ];
    check_coverage(&counts, ALWAYS);
    check_coverage(&counts, &more);
}

/// What is not written down has not happened; what the disk refuses never does.
#[test]
fn the_relay_does_what_the_model_says_also_when_its_stores_are_durable() {
    let counts = run_seeds(SEEDS_OF_DURABLE, |seed| Asks::draw_durable(&mut Random::new(!seed)));
    let more = [
        "507",
        "asked and gone",
        "batches",
        "batches of notes alone",
        "batches of several",
        "batches refused",
        "deletions refused",
        "half closes while asking",
        "messages kept by nobody refused",
        "published by WebSocket",
        "publishers that wait no more",
        "publishers that waited and were heard",
        "publishers that waited in vain",
        "time passes while asking",
        "woken",
    ];
    check_coverage(&counts, &more);
}

/// Runs every seed; gives what happened, or nothing where that says nothing of the ordinary run.
fn run_seeds(seeds: u64, asks: impl Fn(u64) -> Asks) -> BTreeMap<&'static str, u64> {
    let steps = number("PUSHSERVER_SIM_STEPS").unwrap_or(STEPS);
    if let Some(seed) = number("PUSHSERVER_SIM_SEED") {
        run(seed, steps, asks(seed), true);
        return BTreeMap::new();
    }
    let mut counts = BTreeMap::new();
    let first = number("PUSHSERVER_SIM_FROM").unwrap_or(0);
    for seed in first..first + number("PUSHSERVER_SIM_SEEDS").unwrap_or(seeds) {
        for (what, count) in run(seed, steps, asks(seed), false) {
            *counts.entry(what).or_insert(0) += count;
        }
    }
    println!("{counts:?}");
    let is_ordinary = first == 0 && number("PUSHSERVER_SIM_SEEDS").is_none() && steps == STEPS;
    if is_ordinary { counts } else { BTreeMap::new() }
}

/// What happens often in every ordinary run.
const ALWAYS: &[&str] = &[
    "403",
    "408",
    "409",
    "410",
    "413",
    "503",
    "Pongs",
    "WebSockets",
    "WebSockets closed by their clients",
    "WebSockets told that the daemon stops",
    "WebSockets that may not publish",
    "WebSockets with ids",
    "begun at the newest",
    "begun behind since",
    "begun behind since, which was ahead",
    "begun before the newest ones",
    "caught up",
    "deletions of one of several",
    "clocks set ahead",
    "clocks set back",
    "deletes during a fan-out",
    "event streams",
    "event streams that end with the daemon",
    "floods behind a hold",
    "gaps",
    "half closes",
    "half closes while held",
    "held",
    "looks of the inspector",
    "other statuses",
    "pings",
    "polls of which the inspector tells",
    "polls of several caught up",
    "polls of several held",
    "polls of several timed out",
    "polls of several woken",
    "published by WebSocket",
    "reloads",
    "resets",
    "resets while held",
    "resets while woken",
    "resumed",
    "sent on an event stream",
    "sent though refused",
    "sheds of begun heads",
    "sheds of idle ones",
    "sheds of refused ones",
    "sheds of silent ones",
    "silent WebSockets",
    "splits",
    "stalled",
    "stops",
    "streamed",
    "streamed of several",
    "streamed of several with a gap",
    "streamed with a gap",
    "streams displaced",
    "streams of deleted channels",
    "streams of several channels",
    "streams of several resumed",
    "streams of which every channel is deleted",
    "streams of which the inspector tells",
    "streams resumed",
    "streams stalled",
    "subscribe notices",
    "timed out",
    "woken",
    "woken with a gap",
];

/// A simulation in which nothing happens finds nothing.
fn check_coverage(counts: &BTreeMap<&'static str, u64>, often: &[&str]) {
    if counts.is_empty() {
        return;
    }
    for what in often {
        let count = counts.get(*what).copied().unwrap_or(0);
        assert!(count >= 20, "only {count} of {what:?}: {counts:?}");
    }
}

fn run(seed: u64, steps: u64, asks: Asks, is_traced: bool) -> BTreeMap<&'static str, u64> {
    let mut world = World::new(Random::new(seed), asks, is_traced);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for step in 0..steps {
            world.note(|| format!("step {step}"));
            world.step();
        }
        world.finish();
    }));
    let untold = world.network.happened().into_iter().map(|happened| format!("  {happened:?}"));
    if outcome.is_err() && is_traced {
        world.trace.extend(untold);
    }
    for line in &world.trace {
        println!("{line}");
    }
    if let Err(cause) = outcome {
        println!(
            "seed {seed} fails; replay it with\n  \
             PUSHSERVER_SIM_SEED={seed} PUSHSERVER_SIM_STEPS={steps} \
             cargo test --test simulation -- --nocapture"
        );
        resume_unwind(cause);
    }
    world.counts
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}
