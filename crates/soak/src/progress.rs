//! Progress: prints a line of figures every ten seconds, and then makes the daemon reload its
//! settings.

use std::time::{Duration, Instant};

use pushserver_testkit::Daemon;

use crate::load::Load;

/// The time between two lines.
const STEP: Duration = Duration::from_secs(10);

/// The time between two samples of the daemon's memory.
pub(crate) const LOOK: Duration = Duration::from_millis(250);

/// What the lines are made of.
pub(crate) struct Progress {
    begin: Instant,
    looked: Instant,
    told: Instant,
    /// Samples of resident memory in this round, KiB.
    looks_kib: Vec<usize>,
    published: u64,
    delivered: u64,
}

impl Progress {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn begin_round(&mut self) {
        (self.looked, self.told) = (Instant::now(), Instant::now());
        self.looks_kib.clear();
        (self.published, self.delivered) = (0, 0);
    }

    /// Takes a sample or prints a line, if one is due. Call it often.
    pub(crate) fn look(&mut self, daemon: &Daemon, load: &Load) {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.looks_kib.push(daemon.vitals().resident_kib());
        }
        if self.told.elapsed() >= STEP {
            self.tell(daemon, load);
            daemon.signal("HUP");
        }
    }

    fn tell(&mut self, daemon: &Daemon, load: &Load) {
        let since = self.told.elapsed().as_secs_f64();
        self.told = Instant::now();
        let rate = |now: u64, before: u64| (now - before) as f64 / since;
        println!(
            "{:6.0} s  {:7} KiB  {:5} fds  {:6.0} published/s  {:7.0} delivered/s  \
             {:10} delivered  {} wrong",
            self.begin.elapsed().as_secs_f64(),
            self.looks_kib.last().copied().unwrap_or_default(),
            daemon.vitals().descriptors(),
            rate(load.tally().published, self.published),
            rate(load.tally().delivered, self.delivered),
            load.tally().delivered,
            load.faults().total(),
        );
        (self.published, self.delivered) = (load.tally().published, load.tally().delivered);
    }

    /// Minutes since the start.
    pub(crate) fn minutes(&self) -> f64 {
        self.begin.elapsed().as_secs_f64() / 60.0
    }

    /// Mean resident memory of this round, KiB.
    pub(crate) fn mean_kib(&self) -> f64 {
        self.looks_kib.iter().sum::<usize>() as f64 / self.looks_kib.len().max(1) as f64
    }
}
