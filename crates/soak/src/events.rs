//! Events: what the clients report to the model, and what the model counts. Values without logic.

use std::collections::BTreeMap;

use crate::targets::Place;

/// A message's id: Unix second and tag.
pub(crate) type Id = (u64, u32);

/// When a client sent a request or read an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Increases with each request sent and each answer read.
    pub(crate) tick: u64,
    /// Increases with each poll of the sockets. What the daemon writes to two sockets one after the
    /// other is read in that order, in the same turn, or in the other order one turn apart.
    pub(crate) turn: u64,
    pub(crate) ms: u64,
}

/// When a channel's messages are removed without a DELETE.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// How many messages are kept, the newest; 0: all.
    pub(crate) cap: usize,
    /// How long a message is kept, milliseconds; 0: without limit.
    pub(crate) timeout_ms: u64,
    /// The store has so little memory that any message may be removed at any time.
    pub(crate) tight: bool,
    /// How long it may take until a daemon knows what another has answered, milliseconds; 0: there
    /// is one daemon.
    pub(crate) spread_ms: u64,
}

/// `X-Push-Gap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    Messages(u64),
    Unknown,
}

/// The answer to a POST.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    pub(crate) id: Id,
    /// The message's number in its channel, counted by the clients; its body holds it too.
    pub(crate) number: u64,
    /// Published at a location that stores messages.
    pub(crate) kept: bool,
    /// Messages in the queue, according to the answer; `None`: there was none.
    pub(crate) queued: Option<usize>,
    pub(crate) sent: Moment,
    pub(crate) acked: Moment,
}

/// The answer to a DELETE that found its channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deleted {
    /// The channel's last message; 0:0 if it had none.
    pub(crate) last: Id,
    /// `None`: there was no answer.
    pub(crate) queued: Option<usize>,
    pub(crate) sent: Moment,
    pub(crate) acked: Moment,
}

/// A POST or DELETE of which its client does not know what became of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unanswered {
    pub(crate) lane: usize,
    pub(crate) change: Change,
    pub(crate) sent: Moment,
    /// When it was answered 503: whatever became of it, it was done before. `None`: the connection
    /// was broken.
    pub(crate) refused: Option<Moment>,
    pub(crate) place: Place,
}

/// What an [`Unanswered`] request was to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Publish { number: u64, kept: bool },
    Delete,
}

/// What a publisher was told was done, which the store must have done as well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) lane: usize,
    pub(crate) change: Change,
    /// Of the message, or of the last one before the DELETE.
    pub(crate) id: Id,
}

/// The answer to a poll, or a thing that a stream was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observation {
    /// The cursor of the poll; `None`: it asked for the oldest message.
    pub(crate) cursor: Option<Id>,
    pub(crate) asked: Moment,
    pub(crate) read: Moment,
    pub(crate) saw: Saw,
    /// By a stream, asked for when it was opened: what it did not keep up with is a gap, be it kept
    /// by a store or not.
    pub(crate) follows: bool,
    /// By a poll that is never held.
    pub(crate) is_at_once: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saw {
    Message {
        id: Id,
        /// From its body.
        number: u64,
        gap: Option<Gap>,
    },
    /// 304.
    Nothing,
    /// 410.
    Gone,
}

/// Wrong answers: how many of each kind, and the first few in words.
#[derive(Debug, Default)]
pub struct Faults {
    /// How many of each kind.
    pub counts: BTreeMap<&'static str, u64>,
    /// The first twenty of each run, in words.
    pub first: Vec<String>,
}

impl Faults {
    /// Counts a fault of the kind `what`.
    pub fn note(&mut self, what: &'static str, detail: impl FnOnce() -> String) {
        *self.counts.entry(what).or_default() += 1;
        if self.first.len() < 20 {
            self.first.push(format!("{what}: {}", detail()));
        }
    }

    /// How many of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Adds the faults of another run.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        self.first.extend(other.first.iter().cloned());
    }
}

/// Correct answers by kind, so that a run that tested nothing is noticed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Answers with a message.
    pub messages: u64,
    /// Answers with a counted gap.
    pub gaps: u64,
    /// Messages counted by these gaps.
    pub skipped: u64,
    /// Answers with a gap of unknown size.
    pub unknown: u64,
    /// Messages that a DELETE removed before a subscriber asked for them.
    pub taken: u64,
    /// Answers 304.
    pub nothing: u64,
    /// Answers 410.
    pub gone: u64,
}

impl Seen {
    /// Adds the answers of another run.
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
