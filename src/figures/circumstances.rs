//! Circumstances: what is shown beside the numbers of the layers. Values only.

use super::histogram::Histogram;

/// Of the process, as Prometheus' own clients say it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Process {
    /// Memory that it has in use, bytes.
    pub resident_bytes: u64,
    /// Descriptors that are open.
    pub open_fds: u64,
    /// Descriptors that may be open.
    pub max_fds: u64,
    /// Time of processors that it has had, microseconds.
    pub cpu_us: u64,
    /// When it started, Unix time.
    pub started_s: u64,
}

/// Of the settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SettingsFigures {
    /// The last reading of them was refused.
    pub is_refused: bool,
    /// When they were read anew, Unix time.
    pub reloaded_at_s: Option<u64>,
}

/// How long things took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Durations {
    /// From a message to the last delivery of it: of polls and of streams each for itself.
    pub fanout: Histogram,
    /// A turn of the loop.
    pub turn: Histogram,
    /// From a notice to Django's answer.
    pub passthrough: Histogram,
}
