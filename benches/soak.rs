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

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::Events;
use pushserver_testkit::{Absent, Backend, Daemon, Manner, SIZES, counters};
use soak::fire::{Fire, Options, Tally};
use soak::mischief::Mischief;
use soak::settings::settings;
use soak::subscriber::Mutation;
use soak::watch::Trend;
use soak::words::{Faults, Seen};

#[path = "soak/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the test uses the rest")]
mod soak;

/// The daemon under load.
const BINARY: &str = env!("CARGO_BIN_EXE_pushserver");

const USAGE: &str = "usage: cargo bench --bench soak -- [--deliveries N | --minutes N] [--seed N]
    [--rate DELIVERIES-PER-SECOND] [--mutate lost|repeated|reordered|corrupt|gap]";

/// Deliveries a second of the soak, and misdeeds: well below what the machine can do.
const SOAK_RATE: u64 = 3000;
const MISDEED_RATE: u32 = 100;

/// Between two lines of progress.
const STEP: Duration = Duration::from_secs(10);

/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(250);

/// After so much of the soak all leave, so that what is left is seen: with somebody there, messages
/// that come and go are megabytes.
const ROUND: Duration = Duration::from_secs(60);

/// How long the last channels may take to expire.
const LAST: Duration = Duration::from_secs(60);

/// The daemon gives memory back when more than 4 MiB have gone, a second later (`net/heap.rs`).
const GIVEN_BACK_MIB: usize = 8;
const GIVEN_BACK_WITHIN: Duration = Duration::from_millis(2500);

/// How much more memory the daemon may have with nobody there than before the first came: tables
/// that never grow further.
const KEPT_KIB: usize = 2 << 10;

struct Arguments {
    deliveries: u64,
    minutes: Option<f64>,
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
    let is_right = match arguments.minutes {
        None => exactness(arguments.deliveries, arguments.options),
        Some(minutes) => soak(Duration::from_secs_f64(minutes * 60.0), arguments.options),
    };
    println!("{}", if is_right { "all right" } else { "WRONG" });
    if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn arguments() -> Result<Arguments, lexopt::Error> {
    use lexopt::prelude::*;
    let options = Options {
        seed: 1,
        channels: 30,
        subscribers: 450,
        publishers: 12,
        rate: 0,
        mutation: None,
    };
    let mut arguments = Arguments { deliveries: 200_000, minutes: None, options };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("deliveries") => arguments.deliveries = parser.value()?.parse()?,
            Long("minutes") => arguments.minutes = Some(parser.value()?.parse()?),
            Long("seed") => arguments.options.seed = parser.value()?.parse()?,
            Long("rate") => arguments.options.rate = parser.value()?.parse()?,
            Long("mutate") => {
                let name = parser.value()?;
                let found = Mutation::ALL.iter().find(|(known, _)| name == *known);
                arguments.options.mutation = Some(found.ok_or("no such mutation")?.1);
            }
            // Cargo says it.
            Long("bench") => {}
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(arguments)
}

/// As fast as it goes, until so many messages are delivered.
fn exactness(deliveries: u64, options: Options) -> bool {
    println!("{deliveries} deliveries, {options:?}");
    let absent = Absent::bind();
    let daemon = Daemon::start(BINARY, settings(&absent.url()));
    let mut fire = Fire::new(daemon.address(), options);
    let mut progress = Progress::new();
    let mut events = Events::with_capacity(1024);
    while fire.tally.delivered < deliveries {
        fire.turn(&mut events);
        progress.look(&daemon, &fire);
    }
    fire.finish(&mut events);
    let mut came_of = CameOf::default();
    came_of.add(&fire);
    came_of.told(&daemon)
}

/// Everything at once, below what the machine can do, for so long; in between and at the end all
/// leave, and nothing may be left.
fn soak(duration: Duration, mut options: Options) -> bool {
    if options.rate == 0 {
        options.rate = SOAK_RATE;
    }
    println!("{} s, {options:?}, {MISDEED_RATE} misdeeds a second", duration.as_secs());
    let mut backend = Backend::that(Manner::Answers(200));
    let daemon = Daemon::start(BINARY, settings(&backend.url()));
    let mut mischief = Mischief::new(daemon.address(), options.seed);
    mischief.rehearse(&backend);
    let Some(before) = at_rest(&daemon, None) else { return false };
    println!("before: {before:?}");
    let mut progress = Progress::new();
    let mut came_of = CameOf::default();
    let (mut under_load, mut resting) = (Vec::new(), Vec::new());
    let mut left = duration;
    while !left.is_zero() {
        let round = left.min(ROUND);
        left -= round;
        let fire = Fire::new(daemon.address(), options);
        options.seed += 1;
        let Some(fire) =
            soak_round(round, &daemon, fire, &mut progress, &mut mischief, &mut backend)
        else {
            println!("a misdeed had another answer than it should");
            return false;
        };
        came_of.add(&fire);
        fire.delete_all(&daemon);
        drop(fire);
        let Some(rest) = at_rest(&daemon, Some(before)) else { return false };
        let minutes = progress.begin.elapsed().as_secs_f64() / 60.0;
        under_load.push((minutes, progress.mean_kib()));
        resting.push((minutes, rest.resident_kib as f64));
        println!("all have left: {rest:?}");
    }
    println!("misdeeds: {:?}", mischief.done);
    let was_right = came_of.told(&daemon);
    let may_be_chance = judge("under load", &under_load, Trend::may_be_chance);
    judge("with nobody there", &resting, Trend::is_flat) && may_be_chance && was_right
}

/// Gives what came of it; `None`: a misdeed had another answer than it should.
fn soak_round(
    duration: Duration,
    daemon: &Daemon,
    mut fire: Fire,
    progress: &mut Progress,
    mischief: &mut Mischief,
    backend: &mut Backend,
) -> Option<Fire> {
    let begin = Instant::now();
    let mut events = Events::with_capacity(1024);
    let stop = AtomicBool::new(false);
    progress.begin_round();
    thread::scope(|scope| {
        let misdeeds = scope.spawn(|| mischief.run(MISDEED_RATE, &stop, backend));
        while begin.elapsed() < duration && !misdeeds.is_finished() {
            fire.turn(&mut events);
            progress.look(daemon, &fire);
        }
        stop.store(true, Ordering::Release);
        fire.finish(&mut events);
        misdeeds.join().is_ok().then_some(fire)
    })
}

fn judge(what: &str, rounds: &[(f64, f64)], is_right: fn(&Trend) -> bool) -> bool {
    let Some(trend) = Trend::of(rounds) else {
        println!("memory {what}: too short a run to tell");
        return true;
    };
    let Trend { slope, error, mean_kib, minutes } = trend;
    let verdict = if is_right(&trend) { "flat" } else { "NOT FLAT" };
    println!(
        "memory {what}: {slope:+.1} kB/min (standard error {error:.1}) over the last \
         {minutes:.0} min, {:+.0} kB of {mean_kib:.0}: {verdict}",
        trend.growth_kib(),
    );
    is_right(&trend)
}

/// Of one run under fire, or of several.
#[derive(Default)]
struct CameOf {
    tally: Tally,
    seen: Seen,
    faults: Faults,
}

impl CameOf {
    fn add(&mut self, fire: &Fire) {
        self.tally.add(fire.tally);
        self.seen.add(fire.seen());
        self.faults.add(&fire.faults);
    }

    /// Tells what was tried, what went wrong, and what the daemon said beside it. Whether all was
    /// right.
    fn told(&self, daemon: &Daemon) -> bool {
        println!("{:?}\n{:?}", self.tally, self.seen);
        for fault in &self.faults.first {
            println!("wrong: {fault}");
        }
        println!("{} wrong {:?}", self.faults.total(), self.faults.counts);
        for line in daemon.log().iter().filter(|line| !line.contains(" info ")).take(20) {
            println!("the daemon said: {line}");
        }
        self.faults.total() == 0 && self.seen.messages == self.tally.delivered
    }
}

/// What the daemon has with nobody there.
#[derive(Debug, Clone, Copy)]
struct Rest {
    descriptors: usize,
    resident_kib: usize,
}

/// Waits until every size that the daemon counts is 0, and as few descriptors are open as `before`;
/// then makes it give back what it does not use, and looks. `None`: something is left, as it says.
fn at_rest(daemon: &Daemon, before: Option<Rest>) -> Option<Rest> {
    until_nothing_is_left(daemon, before)?;
    let mut client = daemon.connect();
    for _ in 0..GIVEN_BACK_MIB {
        let status = client.post("/p/all/much", &vec![b'x'; 1 << 20]).answer().status;
        assert_eq!(status, 202);
    }
    client.send("DELETE /p/all/much HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    drop(client);
    let gone = Instant::now();
    let descriptors = until_nothing_is_left(daemon, before)?;
    let mut resident_kib = usize::MAX;
    while gone.elapsed() < GIVEN_BACK_WITHIN {
        resident_kib = resident_kib.min(daemon.vitals().resident_kib());
        thread::sleep(LOOK);
    }
    let rest = Rest { descriptors, resident_kib };
    if before.is_some_and(|before| resident_kib > before.resident_kib + KEPT_KIB) {
        println!("too much memory is left: {rest:?}");
        return None;
    }
    Some(rest)
}

/// Gives how many descriptors are open at last; `None`: too much is left, as it says.
fn until_nothing_is_left(daemon: &Daemon, before: Option<Rest>) -> Option<usize> {
    let begin = Instant::now();
    loop {
        let counters = counters(daemon);
        let left: BTreeMap<&str, Option<&u64>> = SIZES
            .iter()
            .map(|name| (*name, counters.get(*name)))
            .filter(|(_, size)| *size != Some(&0))
            .collect();
        let descriptors = daemon.vitals().descriptors();
        if left.is_empty() && before.is_none_or(|before| descriptors <= before.descriptors) {
            return Some(descriptors);
        }
        if begin.elapsed() > LAST {
            println!("left after {} s: {left:?} {descriptors} descriptors", LAST.as_secs());
            return None;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// One line of figures for each step, after which the daemon is made to read its settings again.
struct Progress {
    begin: Instant,
    looked: Instant,
    told: Instant,
    /// Resident memory at each look of this round, KiB.
    looks_kib: Vec<usize>,
    published: u64,
    delivered: u64,
}

impl Progress {
    fn new() -> Self {
        let begin = Instant::now();
        Self {
            begin,
            looked: begin,
            told: begin,
            looks_kib: Vec::new(),
            published: 0,
            delivered: 0,
        }
    }

    fn begin_round(&mut self) {
        (self.looked, self.told) = (Instant::now(), Instant::now());
        self.looks_kib.clear();
        (self.published, self.delivered) = (0, 0);
    }

    /// To be called often.
    fn look(&mut self, daemon: &Daemon, fire: &Fire) {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.looks_kib.push(daemon.vitals().resident_kib());
        }
        if self.told.elapsed() >= STEP {
            self.tell(daemon, fire);
            daemon.signal("HUP");
        }
    }

    fn tell(&mut self, daemon: &Daemon, fire: &Fire) {
        let since = self.told.elapsed().as_secs_f64();
        self.told = Instant::now();
        let rate = |now: u64, before: u64| (now - before) as f64 / since;
        println!(
            "{:6.0} s  {:7} KiB  {:5} fds  {:6.0} published/s  {:7.0} delivered/s  \
             {:10} delivered  {} wrong",
            self.begin.elapsed().as_secs_f64(),
            self.looks_kib.last().copied().unwrap_or_default(),
            daemon.vitals().descriptors(),
            rate(fire.tally.published, self.published),
            rate(fire.tally.delivered, self.delivered),
            fire.tally.delivered,
            fire.faults.total(),
        );
        (self.published, self.delivered) = (fire.tally.published, fire.tally.delivered);
    }

    /// Of this round.
    fn mean_kib(&self) -> f64 {
        self.looks_kib.iter().sum::<usize>() as f64 / self.looks_kib.len().max(1) as f64
    }
}
