//! What the daemon holds, from outside: memory and descriptors from /proc, and its own counters,
//! which it writes at SIGUSR1.

use std::collections::BTreeMap;

use super::support::{Daemon, until};

/// The part of a run whose memory is judged: after its first third.
const WARM_UP: f64 = 1.0 / 3.0;

/// Counters that are 0 when nobody is there and nothing is kept.
pub(crate) const SIZES: [&str; 11] = [
    "connections",
    "upstreams",
    "held",
    "fanouts",
    "channels",
    "messages",
    "message_bytes",
    "uploads",
    "upload_bytes",
    "timers",
    "passthrough_queue",
];

/// Asks the daemon for its counters.
///
/// # Panics
/// If it writes none.
pub(crate) fn counters(daemon: &Daemon) -> BTreeMap<String, u64> {
    let lines = || daemon.log().into_iter().filter(|line| line.contains("event=counters"));
    let before = lines().count();
    daemon.signal("USR1");
    until("a line event=counters after SIGUSR1", || lines().count() > before);
    let line = lines().next_back().expect("waited for");
    let pair = |word: &str| {
        let (name, value) = word.split_once('=')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    line.split(' ').filter_map(pair).collect()
}

/// A look at the daemon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    pub(crate) resident_kib: usize,
}

/// Least squares over the samples after the first third: KiB a minute, and the mean; `None` for too
/// few samples.
pub(crate) fn slope(samples: &[Sample]) -> Option<(f64, f64)> {
    let end = samples.last().map_or(0.0, |sample| sample.seconds);
    let warm: Vec<(f64, f64)> = samples
        .iter()
        .filter(|sample| sample.seconds > end * WARM_UP)
        .map(|sample| (sample.seconds / 60.0, sample.resident_kib as f64))
        .collect();
    if warm.len() < 3 {
        return None;
    }
    let count = warm.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| warm.iter().map(value).sum::<f64>() / count;
    let (time, memory) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = warm.iter().map(|point| (point.0 - time) * (point.1 - memory)).sum();
    let variance: f64 = warm.iter().map(|point| (point.0 - time).powi(2)).sum();
    Some((covariance / variance, memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_of_the_last_two_thirds_and_per_minute() {
        let sample = |index: u32| Sample {
            seconds: f64::from(index) * 10.0,
            resident_kib: if index <= 10 { 100_000 } else { 5000 + 2 * index as usize },
        };
        let samples: Vec<Sample> = (0..=30).map(sample).collect();
        let (slope, mean) = slope(&samples).unwrap();
        assert!((slope - 12.0).abs() < 1e-6, "{slope}");
        assert!((mean - 5041.0).abs() < 1e-6, "{mean}");
    }
}
