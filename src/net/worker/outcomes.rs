//! Outcomes: what became of notices, in numbers, in warnings and in reports. Sends nothing.

use std::io::ErrorKind;

use log::warn;
use ureq::http::StatusCode;

use crate::figures::{Histogram, PassthroughFigures};
use crate::rate_limit::RateLimit;
use crate::relay::notice::{Reaction, Report, without_query};

/// What a telling's outcome says of whether it was taken.
pub(super) fn reaction(outcome: &Result<StatusCode, ureq::Error>) -> Reaction {
    use ureq::{Error, Timeout};
    match outcome {
        Ok(status) => Reaction::Answered(status.as_u16()),
        Err(Error::Timeout(Timeout::Resolve | Timeout::Connect)) => Reaction::Unreachable,
        Err(Error::HostNotFound | Error::ConnectionFailed) => Reaction::Unreachable,
        Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            Reaction::Unreachable
        }
        Err(Error::Timeout(_)) => Reaction::TimedOut,
        Err(_) => Reaction::Failed,
    }
}

/// What became of notices, in numbers and in warnings: these have one limit for each way to fail,
/// so that one kind does not hide another.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) figures: PassthroughFigures,
    /// How long it took, whatever became of them.
    pub(super) durations: Histogram,
    refused: RateLimit,
    timed_out: RateLimit,
    failed: RateLimit,
    /// What became of the last ones, if somebody asks.
    pub(super) reports: Option<Vec<Report>>,
}

impl Outcomes {
    /// Keeps what `report` gives, if somebody asks and there is room.
    pub(super) fn report(&mut self, report: impl FnOnce() -> Report) {
        if let Some(reports) = self.reports.as_mut().filter(|all| all.len() < REPORTS_MAX) {
            reports.push(report());
        }
    }

    pub(super) fn note(
        &mut self,
        outcome: Result<StatusCode, ureq::Error>,
        url: &str,
        (reaction, now_ms): (Reaction, u64),
    ) {
        let url = without_query(url);
        let fix = reaction.fix().unwrap_or_default();
        match outcome {
            Ok(status) if status.is_success() => self.figures.passthrough_sent += 1,
            Ok(status) => {
                self.figures.passthrough_failed += 1;
                if let Some(times) = self.refused.note(now_ms) {
                    warn!(
                        "event=passthrough_refused url={url} status={status} times={times} \
                         fix={fix:?}"
                    );
                }
            }
            Err(ureq::Error::Timeout(_)) => {
                self.figures.passthrough_timed_out += 1;
                if let Some(times) = self.timed_out.note(now_ms) {
                    warn!("event=passthrough_silent url={url} times={times}");
                }
            }
            Err(error) => {
                self.figures.passthrough_failed += 1;
                if let Some(times) = self.failed.note(now_ms) {
                    let error = error.to_string();
                    warn!(
                        "event=passthrough_failed url={url} times={times} cause={error:?} \
                         fix={fix:?}"
                    );
                }
            }
        }
    }
}

/// Reports that wait to be taken; beyond, they are dropped.
const REPORTS_MAX: usize = 256;
