//! Process: what the system says of this process, for `metrics`. Linux alone says it.

use std::fs;

use crate::clock::Now;
use crate::figures::Process;

/// Ticks of `/proc/self/stat` in a second: the same on every Linux, whatever the kernel's own are.
const TICKS_PER_S: u64 = 100;

/// See the module.
#[derive(Debug)]
pub(super) struct ProcessFacts {
    started_s: u64,
    /// Descriptors that are no connections, counted at the start.
    others: u64,
}

impl ProcessFacts {
    /// At the start, before there are connections.
    pub(super) fn new(now: Now) -> Self {
        let others = fs::read_dir("/proc/self/fd").map_or(0, |all| all.count() as u64);
        Self { started_s: now.unix_s, others }
    }

    /// How the process does now, with so many connections; `None`: the system does not say.
    pub(super) fn now(&self, connections: u64) -> Option<Process> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // Since Linux 6.2 this is their number; before, 0. To list them takes long where they are
        // many.
        let open = fs::metadata("/proc/self/fd").map_or(0, |all| all.len());
        let (max_fds, _) = rlimit::Resource::NOFILE.get().ok()?;
        Some(Process {
            resident_bytes: resident_kb(&status)? << 10,
            open_fds: if open > 0 { open } else { self.others + connections },
            max_fds,
            cpu_us: cpu_ticks(&stat)? * (1_000_000 / TICKS_PER_S),
            started_s: self.started_s,
        })
    }
}

fn resident_kb(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Fields 14 and 15, `utime` and `stime`; the second, in brackets, is a name that may hold
/// anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut ticks = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(ticks.next()?.ok()? + ticks.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_stand_behind_a_name_that_looks_like_fields() {
        let stat = "12 (a) b) (c) S 1 12 12 0 -1 4194560 100 0 0 0 7 5 0 0 20 0 1 0 99 1 2";
        assert_eq!(cpu_ticks(stat), Some(12));
        assert_eq!(cpu_ticks("12 (a"), None);
        assert_eq!(resident_kb("Name:\tx\nVmRSS:\t    1234 kB\n"), Some(1234));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_descriptors() {
        let facts = ProcessFacts::new(Now::at(0, 5));
        let process = facts.now(0).unwrap();
        assert!(process.resident_bytes > 1 << 20 && process.open_fds > 2, "{process:?}");
        assert!(process.max_fds >= process.open_fds && process.started_s == 5, "{process:?}");
    }
}
