//! Tally: times and counts under load, and the faults, which must not happen.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::channel::Finished;
use crate::histogram::Histogram;
use crate::order::Arrival;

/// Times and counts of one lane since the last reset. All times in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Messages whose publisher got an answer of success.
    pub(crate) published: u64,
    /// Messages that a subscriber received.
    pub(crate) deliveries: u64,
    /// Published → delivered; for stored messages, asked → delivered.
    pub(crate) latency: Histogram,
    /// Published → delivered to the first subscriber of a channel that has several.
    pub(crate) first: Histogram,
    /// Published → delivered to the last subscriber of a channel that has several.
    pub(crate) last: Histogram,
    /// Published → the publisher's answer.
    pub(crate) answer: Histogram,
    /// The part of `latency` for messages sent during a fan-out of the first lane.
    pub(crate) during: Histogram,
    /// How long the newest fan-out took.
    pub(crate) last_took_ns: u64,
    /// Deliveries per second within each fan-out.
    pub(crate) rates: Vec<f64>,
}

impl Tally {
    /// Records a complete fan-out.
    pub(crate) fn finished(&mut self, round: Finished, subscribers: u32) {
        let took_ns = round.last_ns.saturating_sub(round.sent_ns);
        self.last_took_ns = took_ns;
        if subscribers > 1 {
            self.first.record(round.first_ns.saturating_sub(round.sent_ns));
            self.last.record(took_ns);
            self.rates.push(f64::from(subscribers) / (took_ns.max(1) as f64 / 1e9));
        }
    }
}

/// What must not happen; every count must be 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Faults {
    /// Messages that a subscriber did not receive.
    pub(crate) lost: u64,
    /// Messages received twice.
    pub(crate) repeated: u64,
    /// Messages received after a newer one.
    pub(crate) reordered: u64,
    /// Unreadable answers, and bodies that are not as published.
    pub(crate) damaged: u64,
    /// Connections that were refused, reset, or closed without notice.
    pub(crate) resets: u64,
    /// Answers whose status is not one of success, by status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// Messages whose publisher got no answer in time.
    pub(crate) unanswered: u64,
    /// Why the first damaged answer counts as damaged.
    pub(crate) damage: Option<&'static str>,
}

impl Faults {
    /// Records the order of one message; `false` if it was received before.
    pub(crate) fn note(&mut self, arrival: Arrival) -> bool {
        match arrival {
            Arrival::Next => {}
            Arrival::Ahead(skipped) => self.lost += skipped,
            Arrival::Late => {
                self.lost = self.lost.saturating_sub(1);
                self.reordered += 1;
            }
            Arrival::Repeated => self.repeated += 1,
        }
        arrival != Arrival::Repeated
    }

    /// Records a damaged answer.
    pub(crate) fn damaged(&mut self, why: &'static str) {
        self.damaged += 1;
        self.damage.get_or_insert(why);
    }

    /// Records an answer with this status.
    pub(crate) fn refused(&mut self, status: u16) {
        *self.refused.entry(status).or_default() += 1;
    }

    /// Whether there is any fault.
    pub(crate) fn any(&self) -> bool {
        *self != Self::default()
    }
}
