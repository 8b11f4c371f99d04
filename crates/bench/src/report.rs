//! Report: the figures of one measurement, and the comparison of several.

use serde::Serialize;

use crate::histogram::{Distribution, Histogram};
use crate::plan::Scenario;
use crate::process::Calls;
use crate::tally::Faults;
use crate::transport::Transport;

/// The figures of one measurement. Times in microseconds; `None` was not measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) label: String,
    /// The `Server` header.
    pub(crate) server: String,
    /// The server's process.
    pub(crate) process: Option<String>,
    pub(crate) publish: String,
    pub(crate) subscribe: String,
    pub(crate) scenario: Scenario,
    pub(crate) subscribers: usize,
    pub(crate) channels: usize,
    pub(crate) publishers: usize,
    pub(crate) message_bytes: usize,
    pub(crate) transport: Transport,
    /// `at-once`, `soon`, `after-all`, `stored`, or `never` (a stream).
    pub(crate) repoll: &'static str,
    /// Messages per second of the open loop; absent in a closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: f64,
    pub(crate) published: u64,
    pub(crate) deliveries: u64,
    /// Published → delivered; of stored messages, asked → delivered.
    pub(crate) latency: Option<Distribution>,
    /// Published → first delivery of each fan-out.
    pub(crate) first: Option<Distribution>,
    /// Published → last delivery of each fan-out.
    pub(crate) last: Option<Distribution>,
    /// Published → the publisher's answer.
    pub(crate) answer: Option<Distribution>,
    /// The one-subscriber channel of `isolation`, at all times.
    pub(crate) beside: Option<Distribution>,
    /// The same, for messages sent while a fan-out was under way.
    pub(crate) beside_during: Option<Distribution>,
    /// Median over the fan-outs.
    pub(crate) deliveries_per_second_within: Option<f64>,
    /// The operation that figures are given for.
    pub(crate) operation: &'static str,
    pub(crate) operations: u64,
    /// Over the whole run, pauses included.
    pub(crate) operations_per_second: Option<f64>,
    pub(crate) server_cpu_us_per_operation: Option<f64>,
    /// From accepting the connection to holding the poll or stream, with the kernel's share.
    pub(crate) server_cpu_us_per_subscriber: Option<f64>,
    pub(crate) resident_bytes_before: Option<u64>,
    pub(crate) resident_bytes_held: Option<u64>,
    pub(crate) resident_bytes_per_subscriber: Option<f64>,
    pub(crate) calls: Option<Calls>,
    pub(crate) calls_per_operation: Option<f64>,
    /// Polls that timed out without a message; not a fault.
    pub(crate) timeouts: u64,
    pub(crate) faults: Faults,
    /// The share of time in which the load generator worked; near 1 it may be the bottleneck.
    pub(crate) generator_busy: f64,
    /// Deliveries by time, for the plot: upper bound in microseconds, count.
    pub(crate) plot: Vec<(f64, u64)>,
    /// The times that the picture shows.
    #[serde(skip)]
    pub(crate) times: Histogram,
}

/// A figure of a report that can be compared.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) of: fn(&Report) -> Option<f64>,
}

/// All compared figures, in the order of the output.
pub(crate) const FIGURES: [Figure; 17] = [
    Figure { name: "first delivery, median", unit: "us", of: |r| Some(r.first.as_ref()?.p50_us) },
    Figure { name: "delivery, p50", unit: "us", of: |r| Some(r.latency.as_ref()?.p50_us) },
    Figure { name: "delivery, p99", unit: "us", of: |r| Some(r.latency.as_ref()?.p99_us) },
    Figure { name: "delivery, p99.9", unit: "us", of: |r| Some(r.latency.as_ref()?.p999_us) },
    Figure { name: "last delivery, median", unit: "us", of: |r| Some(r.last.as_ref()?.p50_us) },
    Figure {
        name: "deliveries within a fan-out",
        unit: "1/s",
        of: |r| r.deliveries_per_second_within,
    },
    Figure { name: "operations", unit: "1/s", of: |r| r.operations_per_second },
    Figure { name: "publisher's answer, p50", unit: "us", of: |r| Some(r.answer.as_ref()?.p50_us) },
    Figure { name: "publisher's answer, p99", unit: "us", of: |r| Some(r.answer.as_ref()?.p99_us) },
    Figure { name: "beside: p50", unit: "us", of: |r| Some(r.beside_during.as_ref()?.p50_us) },
    Figure { name: "beside: p99", unit: "us", of: |r| Some(r.beside_during.as_ref()?.p99_us) },
    Figure { name: "beside: longest", unit: "us", of: |r| Some(r.beside_during.as_ref()?.max_us) },
    Figure { name: "beside: longest at all", unit: "us", of: |r| Some(r.beside.as_ref()?.max_us) },
    Figure { name: "server CPU per operation", unit: "us", of: |r| r.server_cpu_us_per_operation },
    Figure {
        name: "server CPU per new subscriber",
        unit: "us",
        of: |r| r.server_cpu_us_per_subscriber,
    },
    Figure { name: "resident per subscriber", unit: "B", of: |r| r.resident_bytes_per_subscriber },
    Figure { name: "system calls per operation", unit: "", of: |r| r.calls_per_operation },
];

/// One figure of two servers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Compared {
    pub(crate) figure: &'static str,
    pub(crate) unit: &'static str,
    /// Median over the rounds; for memory the maximum.
    pub(crate) a: f64,
    pub(crate) b: f64,
    /// Ratio of `a` to `b`.
    pub(crate) a_to_b: f64,
}

/// Compares the medians of two servers.
pub(crate) fn compare(a: &[Report], b: &[Report]) -> Vec<Compared> {
    FIGURES
        .iter()
        .filter_map(|figure| {
            let of = |reports: &[Report]| {
                let values: Vec<f64> = reports.iter().filter_map(figure.of).collect();
                // A server reuses in the next round the memory of the last.
                let grows_once = figure.unit == "B";
                if grows_once { values.into_iter().reduce(f64::max) } else { median(values) }
            };
            let (a, b) = (of(a)?, of(b).filter(|b| *b > 0.0)?);
            Some(Compared { figure: figure.name, unit: figure.unit, a, b, a_to_b: a / b })
        })
        .collect()
}

/// The middle value, or the mean of the two in the middle; `None` of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_middle_two() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
