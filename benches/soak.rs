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
use soak::fire::{Fire, Options};
use soak::mischief::Mischief;
use soak::settings::settings;
use soak::subscriber::Mutation;
use soak::support::{Backend, Daemon, Manner, SIZES, counters};
use soak::watch::{Sample, Trend};

#[path = "soak/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the test uses the rest")]
mod soak;

const USAGE: &str = "usage: cargo bench --bench soak -- [--deliveries N | --minutes N] [--seed N]
    [--rate DELIVERIES-PER-SECOND] [--mutate lost|repeated|reordered|corrupt|gap]";

/// Deliveries a second of the soak, and misdeeds: well below what the machine can do.
const SOAK_RATE: u64 = 3000;
const MISDEED_RATE: u32 = 100;

/// Between two lines of progress.
const STEP: Duration = Duration::from_secs(10);

/// Between two looks at the memory. The least of a step counts: the rest is messages that come and
/// go, which say nothing of what stays.
const LOOK: Duration = Duration::from_millis(250);

/// How long the last channels may take to expire.
const LAST: Duration = Duration::from_secs(60);

/// How much more memory the daemon may have with nobody there than before the first came: less than
/// 4 MiB is not worth giving back to it (`net/heap.rs`), and tables that never grow further.
const KEPT_KIB: usize = 5 << 10;

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
    let daemon = Daemon::start(settings(&Backend::dead_url()));
    let mut fire = Fire::new(daemon.address(), options);
    let mut progress = Progress::new();
    let mut events = Events::with_capacity(1024);
    while fire.tally.delivered < deliveries {
        fire.turn(&mut events);
        if progress.look(&daemon) {
            progress.tell(&daemon, &fire);
            daemon.signal("HUP");
        }
    }
    fire.finish(&mut events);
    progress.tell(&daemon, &fire);
    told(&daemon, &fire)
}

/// Everything at once, below what the machine can do, for so long; then nothing may be left.
fn soak(duration: Duration, mut options: Options) -> bool {
    if options.rate == 0 {
        options.rate = SOAK_RATE;
    }
    println!("{} s, {options:?}, {MISDEED_RATE} misdeeds a second", duration.as_secs());
    let backend = Backend::that(Manner::Answers(200));
    let daemon = Daemon::start(settings(&backend.url()));
    let mut mischief = Mischief::new(daemon.address(), options.seed);
    mischief.rehearse(&backend);
    let before = until_nothing_is_left(&daemon, None);
    let mut progress = Progress::new();
    let mut fire = Fire::new(daemon.address(), options);
    let mut events = Events::with_capacity(1024);
    let stop = AtomicBool::new(false);
    let misdeeds = thread::scope(|scope| {
        let thread = scope.spawn(|| mischief.run(MISDEED_RATE, &stop, backend));
        while progress.begin.elapsed() < duration && !thread.is_finished() {
            fire.turn(&mut events);
            if progress.look(&daemon) {
                progress.tell(&daemon, &fire);
                if progress.samples.len().is_multiple_of(6) {
                    daemon.signal("HUP");
                }
            }
        }
        stop.store(true, Ordering::Release);
        fire.finish(&mut events);
        thread.join()
    });
    match &misdeeds {
        Ok(done) => println!("misdeeds: {done:?}"),
        Err(_) => println!("a misdeed had another answer than it should"),
    }
    let was_right = told(&daemon, &fire) && misdeeds.is_ok();
    let is_flat = progress.is_flat();
    fire.delete_all(&daemon);
    drop(fire);
    let after = until_nothing_is_left(&daemon, before);
    println!("with nobody there: {before:?} before, {after:?} after");
    was_right && is_flat && before.is_some() && after.is_some()
}

/// What went wrong, what was tried, and what the daemon said beside it.
fn told(daemon: &Daemon, fire: &Fire) -> bool {
    println!("{:?}\n{:?}", fire.tally, fire.seen());
    for fault in &fire.faults.first {
        println!("wrong: {fault}");
    }
    println!("{} wrong {:?}", fire.faults.total(), fire.faults.counts);
    for line in daemon.log().iter().filter(|line| !line.contains(" info ")).take(20) {
        println!("the daemon said: {line}");
    }
    fire.faults.total() == 0 && fire.seen().messages == fire.tally.delivered
}

/// What the daemon has with nobody there.
#[derive(Debug, Clone, Copy)]
struct Rest {
    descriptors: usize,
    resident_kib: usize,
}

/// Waits until every size that the daemon counts is 0 and, if it is known, it has no more than
/// before; gives what it has.
fn until_nothing_is_left(daemon: &Daemon, before: Option<Rest>) -> Option<Rest> {
    let begin = Instant::now();
    loop {
        let counters = counters(daemon);
        let left: BTreeMap<&str, Option<&u64>> = SIZES
            .iter()
            .map(|name| (*name, counters.get(*name)))
            .filter(|(_, size)| *size != Some(&0))
            .collect();
        let rest = Rest { descriptors: daemon.descriptors(), resident_kib: daemon.resident_kib() };
        let is_as_before = before.is_none_or(|before| {
            rest.descriptors <= before.descriptors
                && rest.resident_kib <= before.resident_kib + KEPT_KIB
        });
        if left.is_empty() && is_as_before {
            println!("nothing is left: {rest:?} {counters:?}");
            return Some(rest);
        }
        if begin.elapsed() > LAST {
            println!("left after {} s: {left:?} {rest:?}", LAST.as_secs());
            return None;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// One line of figures for each step, and the samples of them all.
struct Progress {
    begin: Instant,
    samples: Vec<Sample>,
    looked: Instant,
    /// Of this step.
    least_kib: usize,
    published: u64,
    delivered: u64,
}

impl Progress {
    fn new() -> Self {
        let begin = Instant::now();
        Self {
            begin,
            samples: Vec::new(),
            looked: begin,
            least_kib: usize::MAX,
            published: 0,
            delivered: 0,
        }
    }

    /// To be called often. Whether a line is due.
    fn look(&mut self, daemon: &Daemon) -> bool {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.least_kib = self.least_kib.min(daemon.resident_kib());
        }
        self.begin.elapsed() >= STEP * (self.samples.len() as u32 + 1)
    }

    fn tell(&mut self, daemon: &Daemon, fire: &Fire) {
        let seconds = self.begin.elapsed().as_secs_f64();
        let resident_kib = self.least_kib.min(daemon.resident_kib());
        self.least_kib = usize::MAX;
        let since = seconds - self.samples.last().map_or(0.0, |sample| sample.seconds);
        let rate = |now: u64, before: u64| (now - before) as f64 / since;
        println!(
            "{seconds:6.0} s  {resident_kib:7} KiB least  {:5} fds  {:6.0} published/s  \
             {:7.0} delivered/s  {:10} delivered  {} wrong",
            daemon.descriptors(),
            rate(fire.tally.published, self.published),
            rate(fire.tally.delivered, self.delivered),
            fire.tally.delivered,
            fire.faults.total(),
        );
        (self.published, self.delivered) = (fire.tally.published, fire.tally.delivered);
        self.samples.push(Sample { seconds, resident_kib });
    }

    fn is_flat(&self) -> bool {
        let Some(trend) = Trend::of(&self.samples) else {
            println!("memory: too short a run to tell");
            return true;
        };
        let Trend { slope, error, mean_kib, minutes } = trend;
        println!(
            "memory: {slope:+.1} kB/min (standard error {error:.1}) over the last {minutes:.0} min, \
             {:+.0} kB of {mean_kib:.0}: {}",
            trend.growth_kib(),
            if trend.is_flat() { "flat" } else { "NOT FLAT" },
        );
        trend.is_flat()
    }
}
