//! Machine: the processors and limits that the figures were measured on.

use std::fs;

use serde::Serialize;

use crate::process::allowed_cpus;

/// The machine, its limits, and this program.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) version: &'static str,
    pub(crate) system: &'static str,
    pub(crate) architecture: &'static str,
    pub(crate) kernel: Option<String>,
    pub(crate) processor: Option<String>,
    pub(crate) cores: usize,
    /// The processors that the load generator may run on.
    pub(crate) load_cpus: Option<String>,
    pub(crate) memory_kib: Option<u64>,
    /// Soft limit of open files, after it was raised.
    pub(crate) open_files: u64,
    pub(crate) somaxconn: Option<u64>,
    pub(crate) local_ports: Option<(u64, u64)>,
}

impl Machine {
    /// Reads this machine's data, and raises the limit of open files as far as possible.
    pub(crate) fn look() -> Self {
        // If it cannot be raised, the plan has fewer subscribers, and a message says so.
        let open_files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            system: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
            kernel: line("/proc/sys/kernel/osrelease"),
            processor: field("/proc/cpuinfo", "model name"),
            cores: online_cpus(),
            load_cpus: allowed_cpus("self"),
            memory_kib: field("/proc/meminfo", "MemTotal")
                .and_then(|text| text.split_whitespace().next()?.parse().ok()),
            open_files,
            somaxconn: line("/proc/sys/net/core/somaxconn").and_then(|text| text.parse().ok()),
            local_ports: local_ports(),
        }
    }

    /// How many connections this process can open, limited by open files and local ports.
    pub(crate) fn connections_max(&self) -> usize {
        let ports = self.local_ports.map_or(u64::MAX, |(low, high)| high.saturating_sub(low));
        most_of(self.open_files.min(ports))
    }
}

/// Nine tenths of a limit: other files are open, and a port stays in use for a while after its
/// connection ends.
pub(crate) fn most_of(limit: u64) -> usize {
    usize::try_from(limit / 10 * 9).unwrap_or(usize::MAX).max(64)
}

fn line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// The number of all processors, also of those that this process may not run on.
fn online_cpus() -> usize {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let cpus = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "));
    cpus.count().max(1)
}

fn local_ports() -> Option<(u64, u64)> {
    let text = line("/proc/sys/net/ipv4/ip_local_port_range")?;
    let (low, high) = text.split_once(char::is_whitespace)?;
    Some((low.parse().ok()?, high.trim().parse().ok()?))
}
