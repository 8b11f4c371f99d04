//! Vitals: what a process takes of the machine, seen from outside. Memory, processor time and
//! descriptors, from /proc.

use std::fs;
use std::process::Command;
use std::time::Duration;

/// See the file.
#[derive(Debug, Clone, Copy)]
pub struct Vitals {
    id: u32,
}

impl Vitals {
    /// Of the process with this id.
    pub fn of(id: u32) -> Self {
        Self { id }
    }

    /// Resident memory, KiB.
    pub fn resident_kib(&self) -> usize {
        self.memory("VmRSS:")
    }

    /// Resident memory without the pages of files, KiB.
    pub fn anonymous_kib(&self) -> usize {
        self.memory("RssAnon:")
    }

    /// The most resident memory so far, KiB.
    pub fn peak_kib(&self) -> usize {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Processor time used so far, hundredths of a second.
    pub fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id)).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<u64> = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse().unwrap())
            .collect();
        fields[0] + fields[1]
    }

    /// Processor time of all its threads so far.
    pub fn cpu(&self) -> Duration {
        self.scheduled(0)
    }

    /// How long all its threads, each by itself, had work and waited for a processor so far.
    pub fn queued(&self) -> Duration {
        self.scheduled(1)
    }

    /// One field of the scheduler's figures, nanoseconds, of all its threads.
    fn scheduled(&self, field: usize) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id)).unwrap();
        let spent = threads.filter_map(|thread| {
            let line = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            line.split_whitespace().nth(field)?.parse::<u64>().ok()
        });
        Duration::from_nanos(spent.sum())
    }

    /// Lets it open no descriptor with a number from `limit` on.
    pub fn limit_descriptors(&self, limit: usize) {
        let arguments = ["--pid", &self.id.to_string(), &format!("--nofile={limit}:")];
        let status = Command::new("prlimit").args(arguments).status();
        assert!(status.expect("prlimit (util-linux) is there").success());
    }

    /// The number that its next descriptor will have.
    pub fn next_descriptor(&self) -> usize {
        let is_open =
            |number: &usize| fs::symlink_metadata(format!("/proc/{}/fd/{number}", self.id)).is_ok();
        (0..).find(|number| !is_open(number)).expect("not all numbers are taken")
    }

    /// Threads that it has.
    pub fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.id)).unwrap().count()
    }

    /// Descriptors that are open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id)).unwrap().count()
    }
}
