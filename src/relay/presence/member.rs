//! Member: one who is on a channel, what Django knows of it, and what it is to be told. Pure;
//! sets no timer.

use std::rc::Rc;

use super::guest::Passed;
use super::numbers::{AddresseeNumber, ChannelNumber};
use crate::relay::client::why::Why;
use crate::relay::notice::Reaction;
use crate::relay::request::identity::Identity;
use crate::wheel::TimerKey;

/// See the module. Kept until it is gone and Django knows that.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) identity: Identity,
    pub(super) channel: ChannelNumber,
    /// When it came, unix seconds.
    pub(super) since_s: u64,
    /// Of its newest request, where Django is told.
    pub(super) passed: Option<Rc<Passed>>,
    /// Who is told of it.
    pub(super) addressee: Option<AddresseeNumber>,
    /// How long it may be away, milliseconds.
    pub(super) grace_ms: u32,
    /// Requests of its that are held.
    pub(super) holds: u32,
    /// While it is away: it is gone then. While it is gone: it is forgotten then.
    pub(super) timer: Option<TimerKey>,
    /// Django is told again then.
    pub(super) retry: Option<TimerKey>,
    /// How often Django could not be told so far.
    pub(super) attempts: u8,
    /// It has left.
    pub(super) is_gone: bool,
    pub(super) reason: Reason,
    told: Told,
    /// Django does not want to know what is true now.
    is_given_up: bool,
    /// It waits for its turn to be told of, or is being told of.
    pub(super) turn: Turn,
}

const _: () = assert!(size_of::<Member>() <= 88);

/// How its last hold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its client is gone.
    Gone,
    /// It was answered, and never came back.
    Silent,
    /// Another request had its place.
    Displaced,
    /// The channel was deleted.
    Deleted,
    /// Its access was taken back.
    Revoked,
}

impl Reason {
    /// Of one that does not come back.
    pub(super) fn of(why: Why) -> Self {
        match why {
            Why::Message | Why::Timeout | Why::Expired | Why::Stop => Self::Silent,
            Why::Gone => Self::Gone,
            Why::Displaced => Self::Displaced,
            Why::Deleted => Self::Deleted,
            Why::Revoked => Self::Revoked,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Silent => "silent",
            Self::Displaced => "displaced",
            Self::Deleted => "deleted",
            Self::Revoked => "revoked",
        }
    }

    /// Whether it leaves at once: it has nothing to come back to.
    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Deleted | Self::Revoked)
    }
}

/// What Django was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Nothing, or that it has left.
    Left,
    /// That it has come.
    Came,
    /// Either: a notice was sent, and no answer says whether it was taken.
    Unsure,
}

/// Whether it waits for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    None,
    /// It stands in the queue.
    Queued,
    /// A notice of it is under way.
    UnderWay,
}

impl Member {
    pub(super) fn new(identity: Identity, channel: ChannelNumber, since_s: u64) -> Self {
        Self {
            identity,
            channel,
            since_s,
            passed: None,
            addressee: None,
            grace_ms: 0,
            holds: 0,
            timer: None,
            retry: None,
            attempts: 0,
            is_gone: false,
            reason: Reason::Gone,
            told: Told::Left,
            is_given_up: false,
            turn: Turn::None,
        }
    }

    /// It has left, or is back before that was told.
    pub(super) fn set_gone(&mut self, is_gone: bool) {
        if self.is_gone != is_gone {
            (self.is_gone, self.is_given_up) = (is_gone, false);
        }
    }

    /// It is told of nobody any more, or of another: whom nothing was told.
    pub(super) fn set_addressee(&mut self, addressee: Option<AddresseeNumber>) {
        self.addressee = addressee;
        (self.told, self.is_given_up, self.attempts) = (Told::Left, false, 0);
        if self.turn == Turn::Queued {
            // It stood in the queue of the one before.
            self.turn = Turn::None;
        }
    }

    /// Whether it is waited for.
    pub(super) fn is_away(&self) -> bool {
        self.holds == 0 && !self.is_gone
    }

    /// Whether Django knows what is true now.
    pub(super) fn is_known(&self) -> bool {
        self.addressee.is_none() || self.told == if self.is_gone { Told::Left } else { Told::Came }
    }

    /// Whether there is something to be told, now or later.
    pub(super) fn is_to_be_told(&self) -> bool {
        !self.is_known() && !self.is_given_up
    }

    /// A notice that it has come, or left, has had this reaction; whether Django does not want it.
    pub(super) fn note(&mut self, came: bool, reaction: Reaction) -> bool {
        match reaction {
            Reaction::Answered(200..300) => {
                self.told = if came { Told::Came } else { Told::Left };
                (self.attempts, self.is_given_up) = (0, false);
            }
            // Of several receivers one may have raised, and the others have taken it; or who stands
            // before Django has not waited for it.
            Reaction::Answered(500 | 504) | Reaction::TimedOut | Reaction::Failed => {
                self.told = Told::Unsure;
                self.attempts = self.attempts.saturating_add(1);
            }
            Reaction::Answered(408 | 429 | 500..) | Reaction::Unreachable => {
                self.attempts = self.attempts.saturating_add(1);
            }
            Reaction::Answered(_) => {
                self.attempts = 0;
                // What is true now may be something else.
                self.is_given_up = came != self.is_gone;
                return true;
            }
        }
        false
    }

    /// Whether it can neither stay for ever nor be kept from Django; for tests.
    pub(super) fn check_invariants(&self) {
        assert!(self.holds > 0 || self.timer.is_some(), "{self:?} stays for ever");
        assert!(self.holds == 0 || !self.is_gone && self.timer.is_none(), "{self:?}");
        let will_be_told = self.turn != Turn::None || self.retry.is_some();
        assert!(will_be_told || !self.is_to_be_told(), "{self:?} is never told of");
        assert!(will_be_told || !self.is_gone, "{self:?} stays though all is said");
    }
}
