//! Events: what the clients report to the model, and what it says of them: values only.

use std::collections::BTreeMap;

/// Of a message: unix second and tag.
pub(crate) type Id = (u64, u32);

/// Of the clients: when something was sent, or its answer was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Rises with everything that is sent or read.
    pub(crate) tick: u64,
    /// Rises with each look at the sockets: what was written to two of them in an order is read in
    /// that order, or within the same turn or the next.
    pub(crate) turn: u64,
    pub(crate) ms: u64,
}

/// When a channel's messages go by themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// The newest so many are kept; 0: all.
    pub(crate) cap: usize,
    /// How long, milliseconds; 0: for ever.
    pub(crate) timeout_ms: u64,
    /// Memory is so short that any message may go at any time.
    pub(crate) tight: bool,
}

/// `X-Push-Gap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    Messages(u64),
    Unknown,
}

/// A publisher's answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    pub(crate) id: Id,
    /// Which of its channel's messages it is, by the clients' count; stands in its body.
    pub(crate) number: u64,
    /// Published where messages are stored.
    pub(crate) kept: bool,
    /// Messages in the queue, as the answer said.
    pub(crate) queued: usize,
    pub(crate) sent: Moment,
    pub(crate) acked: Moment,
}

/// The answer to a DELETE that found its channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deleted {
    /// The channel's last message; 0:0 if it had none.
    pub(crate) last: Id,
    pub(crate) queued: usize,
    pub(crate) sent: Moment,
    pub(crate) acked: Moment,
}

/// A subscriber's answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observation {
    /// Where the subscriber stood; `None`: it wants the oldest.
    pub(crate) cursor: Option<Id>,
    pub(crate) asked: Moment,
    pub(crate) read: Moment,
    pub(crate) saw: Saw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saw {
    Message {
        id: Id,
        /// As its body says.
        number: u64,
        gap: Option<Gap>,
    },
    /// 304.
    Nothing,
    /// 410.
    Gone,
}

/// What was wrong: how often, and the first few in words.
#[derive(Debug, Default)]
pub struct Faults {
    /// By kind.
    pub counts: BTreeMap<&'static str, u64>,
    /// The first twenty.
    pub first: Vec<String>,
}

impl Faults {
    /// One more.
    pub fn note(&mut self, what: &'static str, detail: impl FnOnce() -> String) {
        *self.counts.entry(what).or_default() += 1;
        if self.first.len() < 20 {
            self.first.push(format!("{what}: {}", detail()));
        }
    }

    /// Of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        self.first.extend(other.first.iter().cloned());
    }
}

/// What was right, by kind, so that a run that tried nothing is seen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Messages.
    pub messages: u64,
    /// Gaps that were told.
    pub gaps: u64,
    /// Messages that the gaps counted.
    pub skipped: u64,
    /// Gaps of unknown size.
    pub unknown: u64,
    /// Messages that a DELETE took before a subscriber came.
    pub taken: u64,
    /// 304.
    pub nothing: u64,
    /// 410.
    pub gone: u64,
}

impl Seen {
    /// Adds what another run saw.
    pub fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.gaps += other.gaps;
        self.skipped += other.skipped;
        self.unknown += other.unknown;
        self.taken += other.taken;
        self.nothing += other.nothing;
        self.gone += other.gone;
    }
}
