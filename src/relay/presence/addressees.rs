//! Addressees: the URLs that are told of members, whose turn it is, and what is under way. Knows
//! no member but by its number.
//!
//! Each is told one thing at a time, so in order; and before anything else that this run begins
//! anew, until it has said that it knows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::numbers::{AddresseeNumber, MemberNumber};
use crate::relay::notice::Reaction;
use crate::wheel::TimerKey;

/// Notices that are under way together, of all URLs.
const UNDER_WAY_MAX: usize = 4;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Addressees {
    all: BTreeMap<AddresseeNumber, Addressee>,
    /// At most [`UNDER_WAY_MAX`].
    under_way: Vec<(u64, UnderWay)>,
    /// The numbers of the next one, and of the next notice.
    next: u32,
    next_notice: u64,
    /// Who had the last turn.
    last: Option<AddresseeNumber>,
    /// Nobody has a turn before something happens.
    is_idle: bool,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Addressee {
    pub(super) url: Arc<str>,
    /// Header lines of what no request is the cause of.
    pub(super) lines: Box<[u8]>,
    /// It knows that this run has begun.
    is_reset: bool,
    /// How often it could not be told that.
    attempts: u8,
    /// It is told that again then.
    retry: Option<TimerKey>,
    is_busy: bool,
    queue: VecDeque<MemberNumber>,
}

/// What an addressee is being told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnderWay {
    pub(super) addressee: AddresseeNumber,
    pub(super) what: What,
}

/// See [`UnderWay`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// That this run has begun.
    Reset,
    /// Something of a member.
    Member { number: MemberNumber, came: bool },
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// An addressee is to be told that this run has begun.
    Reset(AddresseeNumber),
    /// This member, if there is something to be told of it.
    Member(AddresseeNumber, MemberNumber),
}

impl Addressees {
    pub(super) fn get(&self, number: AddresseeNumber) -> Option<&Addressee> {
        self.all.get(&number)
    }

    /// The one with this URL; a new one where there is none.
    pub(super) fn of(&mut self, url: &Arc<str>, lines: &[u8]) -> AddresseeNumber {
        // They are few.
        if let Some((number, one)) = self.all.iter_mut().find(|(_, one)| one.url == *url) {
            if *one.lines != *lines {
                one.lines = lines.into();
            }
            return *number;
        }
        let number = AddresseeNumber(self.next);
        self.next += 1;
        let addressee = Addressee {
            url: Arc::clone(url),
            lines: lines.into(),
            is_reset: false,
            attempts: 0,
            retry: None,
            is_busy: false,
            queue: VecDeque::new(),
        };
        self.all.insert(number, addressee);
        number
    }

    /// Keeps those with these URLs alone; gives the timers of the others.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&str) -> bool) -> Vec<TimerKey> {
        let mut timers = Vec::new();
        self.all.retain(|_, one| {
            let is_kept = is_kept(&one.url);
            if !is_kept {
                timers.extend(one.retry.take());
            }
            is_kept
        });
        self.is_idle = false;
        timers
    }

    /// Has an addressee be told of a member, behind others. `is_there`: whether a member still is;
    /// those that were forgotten while they waited are left out where they are many.
    pub(super) fn queue(
        &mut self,
        addressee: AddresseeNumber,
        member: MemberNumber,
        is_there: impl Fn(MemberNumber) -> bool,
    ) {
        if let Some(one) = self.all.get_mut(&addressee) {
            let room = one.queue.capacity();
            if one.queue.len() == room {
                one.queue.retain(|member| is_there(*member));
                if one.queue.len() > room / 2 {
                    one.queue.reserve(room);
                }
            }
            one.queue.push_back(member);
            self.is_idle = false;
        }
    }

    /// Whether somebody may have a turn now.
    pub(super) fn has_turn(&self) -> bool {
        !self.is_idle
    }

    /// The next turn; of a member that is taken out of its queue.
    pub(super) fn next_turn(&mut self) -> Option<Next> {
        if self.is_idle || self.under_way.len() >= UNDER_WAY_MAX {
            self.is_idle = true;
            return None;
        }
        let is_ready = |one: &Addressee| {
            !one.is_busy && !one.queue.is_empty() && (one.is_reset || one.retry.is_none())
        };
        let ready =
            |(number, one): (&AddresseeNumber, &Addressee)| is_ready(one).then_some(*number);
        let behind = self.all.iter().filter(|(number, _)| self.last.is_some_and(|l| **number > l));
        let next = behind.chain(&self.all).find_map(ready);
        let Some(number) = next else {
            self.is_idle = true;
            return None;
        };
        self.last = Some(number);
        let one = self.all.get_mut(&number)?;
        match one.is_reset {
            false => Some(Next::Reset(number)),
            true => one.queue.pop_front().map(|member| Next::Member(number, member)),
        }
    }

    /// A notice is on its way; gives its number.
    pub(super) fn begin(&mut self, addressee: AddresseeNumber, what: What) -> u64 {
        if let Some(one) = self.all.get_mut(&addressee) {
            one.is_busy = true;
        }
        self.next_notice += 1;
        self.under_way.push((self.next_notice, UnderWay { addressee, what }));
        self.next_notice
    }

    /// What becomes of the notice with this number is known.
    pub(super) fn end(&mut self, notice: u64) -> Option<UnderWay> {
        let place = self.under_way.iter().position(|(number, _)| *number == notice)?;
        let (_, under_way) = self.under_way.swap_remove(place);
        if let Some(one) = self.all.get_mut(&under_way.addressee) {
            one.is_busy = false;
        }
        self.is_idle = false;
        Some(under_way)
    }

    /// What became of the notice that this run has begun; gives how often it could not be told, if
    /// it is to be told again.
    pub(super) fn note_reset(&mut self, number: AddresseeNumber, reaction: Reaction) -> Option<u8> {
        let one = self.all.get_mut(&number)?;
        one.is_reset = matches!(reaction, Reaction::Answered(200..300));
        one.attempts = one.attempts.saturating_add(1);
        (!one.is_reset).then_some(one.attempts)
    }

    /// When an addressee is told again; `None`: now.
    pub(super) fn set_retry(&mut self, number: AddresseeNumber, retry: Option<TimerKey>) {
        if let Some(one) = self.all.get_mut(&number) {
            one.retry = retry;
            self.is_idle = false;
        }
    }

    /// Gives back the room that is not needed any more.
    pub(super) fn shrink(&mut self) {
        self.all.values_mut().for_each(|one| one.queue.shrink_to(0));
    }

    /// How many wait for their turn, of all addressees, with those that were forgotten meanwhile;
    /// for tests.
    pub(super) fn waiting(&self) -> usize {
        self.all.values().map(|one| one.queue.len()).sum()
    }

    /// Compares what is under way with who is told; for tests.
    pub(super) fn check_invariants(&self) {
        assert!(self.under_way.len() <= UNDER_WAY_MAX);
        for (number, one) in &self.all {
            let under_way = self.under_way.iter().filter(|(_, one)| one.addressee == *number);
            assert_eq!(under_way.count(), usize::from(one.is_busy), "one thing at a time");
        }
    }
}
