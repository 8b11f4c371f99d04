//! Runs: exactness at full speed for a number of deliveries, and the soak for a length of time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::Events;
use pushserver_testkit::{Absent, Backend, Daemon, Manner};

use crate::events::{Faults, Seen};
use crate::fleet::Fleet;
use crate::hostile::Hostile;
use crate::load::Load;
use crate::progress::Progress;
use crate::rest::Rest;
use crate::settings::settings;
use crate::shared::{Options, Tally};
use crate::watch::Trend;

/// Deliveries and misdeeds a second during the soak: well below what the machine can do.
const SOAK_RATE: u64 = 3000;
const MISDEED_RATE: u32 = 100;

/// Length of a round of the soak. At its end all clients leave, so that a leak shows: under load
/// the messages in transit are megabytes.
const ROUND: Duration = Duration::from_secs(60);

/// Runs at full speed until `deliveries` messages are delivered. `daemon`: path of the program.
/// Prints the result; returns whether every answer was right.
pub fn exactness(daemon: &str, deliveries: u64, options: Options) -> bool {
    println!("{deliveries} deliveries, {options:?}");
    let absent = Absent::bind();
    let daemon = Daemon::start(daemon, settings(&absent.url()));
    let mut load = Load::new(daemon.address(), options);
    let mut progress = Progress::new();
    let mut events = Events::with_capacity(1024);
    while load.tally().delivered < deliveries {
        load.turn(&mut events);
        progress.look(&daemon, &load);
    }
    load.finish(&mut events);
    let mut came_of = CameOf::default();
    came_of.add(&load);
    came_of.told(&daemon)
}

/// As [`exactness`], on so many daemons that share one Redis, while they are killed and started
/// again and lose their connections to Redis.
pub fn several(binary: &str, daemons: usize, deliveries: u64, options: Options) -> bool {
    println!("{deliveries} deliveries, {daemons} daemons, {options:?}");
    let mut load = Load::on(Fleet::start(binary, daemons), options);
    let mut events = Events::with_capacity(1024);
    let mut told = Instant::now();
    while load.tally().delivered < deliveries {
        load.turn(&mut events);
        if told.elapsed() > ROUND / 6 {
            told = Instant::now();
            println!("after {} deliveries {} wrong", load.tally().delivered, load.faults().total());
        }
    }
    load.finish(&mut events);
    let mut came_of = CameOf::default();
    came_of.add(&load);
    came_of.is_right()
}

/// Runs load and hostile clients together for `duration`, below what the machine can do. At the end
/// of each round all clients leave, and the daemon must hold nothing. `daemon`: path of the
/// program. Prints the result; returns whether everything was right.
pub fn soak(daemon: &str, duration: Duration, mut options: Options) -> bool {
    if options.rate == 0 {
        options.rate = SOAK_RATE;
    }
    println!("{} s, {options:?}, {MISDEED_RATE} misdeeds a second", duration.as_secs());
    let mut backend = Backend::that(Manner::Answers(200));
    let daemon = Daemon::start(daemon, settings(&backend.url()));
    let mut hostile = Hostile::new(daemon.address(), options.seed);
    hostile.rehearse(&backend);
    let Some(before) = Rest::reached(&daemon, None) else { return false };
    println!("before: {before:?}");
    let mut progress = Progress::new();
    let mut came_of = CameOf::default();
    let (mut under_load, mut resting) = (Vec::new(), Vec::new());
    let mut left = duration;
    while !left.is_zero() {
        let round = left.min(ROUND);
        left -= round;
        let load = Load::new(daemon.address(), options);
        options.seed += 1;
        let Some(load) =
            soak_round(round, &daemon, load, &mut progress, &mut hostile, &mut backend)
        else {
            println!("a misdeed had another answer than it should");
            return false;
        };
        came_of.add(&load);
        load.delete_all(&daemon);
        drop(load);
        let Some(rest) = Rest::reached(&daemon, Some(before)) else { return false };
        let minutes = progress.minutes();
        under_load.push((minutes, progress.mean_kib()));
        resting.push((minutes, rest.resident_kib as f64));
        println!("all have left: {rest:?}");
    }
    println!("misdeeds: {:?}", hostile.done);
    let was_right = came_of.told(&daemon);
    let may_be_chance = judge("under load", &under_load, Trend::may_be_chance);
    judge("with nobody there", &resting, Trend::is_flat) && may_be_chance && was_right
}

/// One round under load; `None`: a misdeed got an unexpected answer.
fn soak_round(
    duration: Duration,
    daemon: &Daemon,
    mut load: Load,
    progress: &mut Progress,
    hostile: &mut Hostile,
    backend: &mut Backend,
) -> Option<Load> {
    let begin = Instant::now();
    let mut events = Events::with_capacity(1024);
    let stop = AtomicBool::new(false);
    progress.begin_round();
    thread::scope(|scope| {
        let misdeeds = scope.spawn(|| hostile.run(MISDEED_RATE, &stop, backend));
        while begin.elapsed() < duration && !misdeeds.is_finished() {
            load.turn(&mut events);
            progress.look(daemon, &load);
        }
        stop.store(true, Ordering::Release);
        load.finish(&mut events);
        misdeeds.join().is_ok().then_some(load)
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

/// The results of one round, or of several.
#[derive(Default)]
struct CameOf {
    tally: Tally,
    seen: Seen,
    faults: Faults,
}

impl CameOf {
    fn add(&mut self, load: &Load) {
        self.tally.add(load.tally());
        self.seen.add(load.seen());
        self.faults.add(load.faults());
    }

    /// Prints what was tried, what went wrong, and what the daemon logged; returns whether all was
    /// right.
    fn told(&self, daemon: &Daemon) -> bool {
        let is_right = self.is_right();
        for line in daemon.log().iter().filter(|line| !line.contains(" info ")).take(20) {
            println!("the daemon said: {line}");
        }
        is_right
    }

    fn is_right(&self) -> bool {
        println!("{:?}\n{:?}", self.tally, self.seen);
        for fault in &self.faults.first {
            println!("wrong: {fault}");
        }
        println!("{} wrong {:?}", self.faults.total(), self.faults.counts);
        self.faults.total() == 0 && self.seen.messages == self.tally.delivered
    }
}
