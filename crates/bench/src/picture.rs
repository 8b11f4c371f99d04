//! Picture: the plot of a document: how long it took, by percentile, a line for each server.

use crate::histogram::Histogram;
use crate::plan::Scenario;
use crate::plot::{Axis, Plot, Scale, Series, number, percent, time};
use crate::report::Report;
use crate::transport::Transport;

/// The plot of these servers' reports, those of all rounds together; `None` if nothing was timed.
pub(crate) fn of(reports: &[Vec<Report>]) -> Option<Plot> {
    let first = reports.iter().flatten().next()?;
    let together: Vec<(String, Histogram)> = reports.iter().filter_map(|of| together(of)).collect();
    let counts: Vec<u64> = together.iter().map(|(_, times)| times.count()).collect();
    if counts.iter().all(|count| *count == 0) {
        return None;
    }
    let low = together.iter().map(|(_, times)| times.percentile(0.5)).min()?;
    let high = together.iter().map(|(_, times)| times.percentile(1.0)).max()?;
    // Where one line is far above the other, a linear scale shows the other at its foot.
    let scale = if high > 10 * low { Scale::Log } else { Scale::Linear };
    let series = together.into_iter().map(|(name, times)| Series { name, points: times.curve() });
    Some(Plot {
        title: title(first),
        subtitle: subtitle(first, reports.iter().map(Vec::len).max()?),
        x: Axis { name: "percentile", scale: Scale::Percentile, text: percent },
        y: Axis { name: timed(first.scenario), scale, text: time },
        series: series.collect(),
    })
}

/// A server's name, and its times of all rounds.
fn together(rounds: &[Report]) -> Option<(String, Histogram)> {
    let mut all = Histogram::default();
    rounds.iter().for_each(|report| all.add(&report.times));
    Some((rounds.first()?.label.clone(), all))
}

fn title(report: &Report) -> String {
    let scenario = report.scenario.name();
    let beside = usize::from(report.scenario == Scenario::Isolation);
    let subscribers = number((report.subscribers - beside) as f64);
    let how = match report.transport {
        Transport::Poll => "long polls",
        Transport::EventSource => "event streams",
        Transport::WebSocket => "WebSockets",
    };
    match (report.scenario, report.channels) {
        (Scenario::Publish, _) => format!("{scenario}: {} publishers", report.publishers),
        (Scenario::Isolation, _) => {
            format!("{scenario}: one subscriber beside fan-outs to {subscribers}, by {how}")
        }
        (_, 1) => format!("{scenario}: {subscribers} subscribers by {how}"),
        (_, channels) => {
            let channels = number(channels as f64);
            format!("{scenario}: {subscribers} subscribers of {channels} channels by {how}")
        }
    }
}

fn subtitle(report: &Report, rounds: usize) -> String {
    let rounds = if rounds == 1 { "one round".to_owned() } else { format!("{rounds} rounds") };
    let pace = report.rate.map_or(String::new(), |rate| format!(", {} messages/s", number(rate)));
    format!("{rounds} of {:.1} s, messages of {} bytes{pace}", report.seconds, report.message_bytes)
}

/// What the times of a scenario are, from when to when.
fn timed(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Publish => "latency, publish \u{2192} answer",
        Scenario::Poll => "latency, request \u{2192} stored message",
        _ => "latency, publish \u{2192} delivery",
    }
}
