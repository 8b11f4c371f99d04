//! Presence: who is on which channel, though polls end and begin anew with every message, and what
//! Django is to be told of that. Sends nothing, reads no clock.
//!
//! ```text
//!            a hold begins                      the last one ends
//! (nobody) ─────────────────► here (1 or more) ───────────────────► away, for the grace
//!                              ▲     a hold begins, which nobody is told   │   │ the grace is over
//!                              └───────────────────────────────────────────┘   ▼
//!                                      gone, until Django knows: an hour at most
//! ```
//!
//! What Django is told is no log of these edges: each member remembers what Django has taken last,
//! and is told of again until that is what is true.

mod addressees;
mod complaints;
mod due;
mod guest;
mod member;
mod members;
mod numbers;
mod roll;
mod telling;

use std::collections::HashMap;
use std::rc::Rc;

pub(super) use self::guest::{Attendance, Passed, Told};
pub(super) use self::roll::{ChannelRoll, UserRoll};

use self::addressees::{Addressees, Next, UnderWay, What};
use self::complaints::Complaints;
use self::due::{Due, KEPT_MS, retry_ms};
use self::guest::{Came, Guest};
use self::member::{Member, Reason, Turn};
use self::members::Members;
use self::numbers::MemberNumber;
use super::client::why::Why;
use super::conn_key::ConnKey;
use super::notice::{Reaction, Telling};
use super::request::identity::Identity;
use crate::clock::Now;
use crate::wheel::Wheel;

/// Timers that are met in one turn: less than a millisecond.
const TIMERS_PER_TURN: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Presence {
    members: Members,
    /// The requests of members, by their connections.
    guests: HashMap<ConnKey, Guest>,
    addressees: Addressees,
    wheel: Wheel<Due>,
    /// Names this run of the daemon.
    instance: Rc<str>,
    members_max: usize,
    complaints: Complaints,
    /// The daemon stops: nobody comes any more.
    is_stopping: bool,
}

impl Presence {
    /// Nobody is there yet.
    pub(super) fn new(instance: &Rc<str>, members_max: usize, now_ms: u64) -> Self {
        Self {
            members: Members::default(),
            guests: HashMap::new(),
            addressees: Addressees::default(),
            wheel: Wheel::new(now_ms),
            instance: Rc::clone(instance),
            members_max,
            complaints: Complaints::default(),
            is_stopping: false,
        }
    }

    /// Takes other settings. `is_told`: whether a URL still is.
    pub(super) fn reload(&mut self, members_max: usize, is_told: impl Fn(&str) -> bool) {
        self.members_max = members_max;
        for timer in self.addressees.retain(is_told) {
            self.wheel.cancel(timer);
        }
        for number in self.members.numbers() {
            let Some(member) = self.members.get_mut(number) else { continue };
            if member.addressee.is_some_and(|one| self.addressees.get(one).is_none()) {
                // Whoever comes back is told of to whom the settings say now.
                member.set_addressee(None);
                self.consider(number);
            }
        }
    }

    /// A request is on its way to be held.
    pub(super) fn expect(&mut self, conn: ConnKey, attendance: Attendance) {
        if !self.is_stopping {
            self.guests.insert(conn, Guest::Expected(Box::new(attendance)));
        }
    }

    /// The request of a connection is held now, if it is one of these.
    pub(super) fn begin(&mut self, conn: ConnKey, now: Now) {
        let guest = match self.guests.remove(&conn) {
            Some(Guest::Expected(attendance)) => {
                let names = attendance.names.iter();
                let came = names.filter_map(|name| self.come(&attendance, name, now));
                Guest::Came(Came::of(came.collect()))
            }
            Some(came) => came,
            None => return,
        };
        self.guests.insert(conn, guest);
    }

    /// The request of a connection is over, if it is one of these and whether it was held or not.
    pub(super) fn leave(&mut self, conn: ConnKey, why: Why, now: Now) {
        match self.guests.remove(&conn) {
            Some(Guest::Came(came)) => {
                for number in came.members() {
                    self.end_hold(*number, Reason::of(why), now);
                }
            }
            // Who has a message at once, and again and again, is held nowhere and yet not silent.
            Some(Guest::Expected(attendance)) if why == Why::Message => {
                for name in &attendance.names {
                    if let Some(number) = self.members.find(&attendance.identity, name) {
                        self.wait_for(number, Reason::Silent, now);
                    }
                }
            }
            _ => {}
        }
    }

    /// The access of somebody to the channel of this name was taken back, or to all: who is away
    /// is not waited for. What is held ends by itself.
    pub(super) fn revoke(&mut self, identity: &Identity, name: Option<&[u8]>, now: Now) {
        for number in self.members.numbers_of(identity, name) {
            let Some(member) = self.members.get_mut(number).filter(|one| one.is_away()) else {
                continue;
            };
            member.reason = Reason::Revoked;
            member.timer.take().and_then(|timer| self.wheel.cancel(timer));
            self.go(number, now);
        }
    }

    /// One more hold of a member; `None`: it is not tracked.
    fn come(&mut self, attendance: &Attendance, name: &[u8], now: Now) -> Option<MemberNumber> {
        let identity = &attendance.identity;
        let number = match self.members.find(identity, name) {
            Some(number) => number,
            None if self.members.len() >= self.members_max => {
                self.complaints.untracked(self.members_max, now.mono_ms);
                return None;
            }
            None => self.members.insert(identity, name, now.unix_s),
        };
        self.members.set_gone(number, false);
        let member = self.members.get_mut(number)?;
        member.timer.take().and_then(|timer| self.wheel.cancel(timer));
        member.holds += 1;
        member.grace_ms = attendance.grace_ms;
        if let Some(Told { url, lines, passed }) = &attendance.told {
            let addressee = self.addressees.of(url, lines);
            // Who was told that it came is told that it leaves.
            if member.addressee.is_none() {
                member.set_addressee(Some(addressee));
            }
            member.passed = Some(Rc::clone(passed));
        }
        self.consider(number);
        Some(number)
    }

    /// One hold less of a member.
    fn end_hold(&mut self, number: MemberNumber, reason: Reason, now: Now) {
        let Some(member) = self.members.get_mut(number) else { return };
        member.holds -= 1;
        if member.holds == 0 && reason.is_final() {
            member.reason = reason;
            return self.go(number, now);
        }
        self.wait_for(number, reason, now);
    }

    /// From now on waits for a member that is away; it leaves for this reason if it stays so.
    fn wait_for(&mut self, number: MemberNumber, reason: Reason, now: Now) {
        let Some(member) = self.members.get_mut(number).filter(|one| one.is_away()) else { return };
        member.reason = reason;
        member.timer.take().and_then(|timer| self.wheel.cancel(timer));
        let at_ms = now.mono_ms.saturating_add(member.grace_ms.into());
        member.timer = Some(self.wheel.set(at_ms, Due::Member(number)));
    }

    /// A member leaves.
    fn go(&mut self, number: MemberNumber, now: Now) {
        self.members.set_gone(number, true);
        if let Some(member) = self.members.get_mut(number) {
            let at_ms = now.mono_ms.saturating_add(KEPT_MS);
            member.timer = Some(self.wheel.set(at_ms, Due::Member(number)));
        }
        self.consider(number);
    }

    /// Has Django be told of a member, if there is something to tell; forgets one that is gone if
    /// there is nothing.
    fn consider(&mut self, number: MemberNumber) {
        let Some(member) = self.members.get_mut(number) else { return };
        if member.is_to_be_told() {
            if member.turn == Turn::None
                && member.retry.is_none()
                && let Some(addressee) = member.addressee
            {
                member.turn = Turn::Queued;
                let is_there = |one| self.members.get(one).is_some();
                self.addressees.queue(addressee, number, is_there);
            }
            return;
        }
        member.attempts = 0;
        member.retry.take().and_then(|retry| self.wheel.cancel(retry));
        if member.is_gone && member.turn != Turn::UnderWay {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: MemberNumber) {
        if let Some(Member { timer, retry, .. }) = self.members.remove(number) {
            for timer in timer.into_iter().chain(retry) {
                self.wheel.cancel(timer);
            }
        }
    }

    /// Does what is due, up to a bound.
    pub(super) fn handle_timeout(&mut self, now: Now) {
        for _ in 0..TIMERS_PER_TURN {
            match self.wheel.pop_expired(now.mono_ms) {
                None => return,
                Some(Due::Member(number)) => {
                    let Some(member) = self.members.get_mut(number) else { continue };
                    member.timer = None;
                    match member.is_gone {
                        // Django had its time.
                        true => self.forget(number),
                        false => self.go(number, now),
                    }
                }
                Some(Due::Retry(number)) => {
                    let Some(member) = self.members.get_mut(number) else { continue };
                    member.retry = None;
                    self.consider(number);
                }
                Some(Due::Reset(addressee)) => self.addressees.set_retry(addressee, None),
            }
        }
    }

    /// What Django is to be told next, and the number of that.
    pub(super) fn next_telling(&mut self) -> Option<(u64, Telling)> {
        loop {
            let (addressee, number) = match self.addressees.next_turn()? {
                Next::Reset(addressee) => {
                    let telling =
                        telling::of_reset(self.addressees.get(addressee)?, &self.instance);
                    return Some((self.addressees.begin(addressee, What::Reset), telling));
                }
                Next::Member(addressee, number) => (addressee, number),
            };
            let Some(member) = self.members.get_mut(number) else { continue };
            member.turn = Turn::None;
            if !member.is_to_be_told() || member.addressee != Some(addressee) {
                self.consider(number);
                continue;
            }
            member.turn = Turn::UnderWay;
            let came = !member.is_gone;
            let (Some(member), Some(to)) =
                (self.members.get(number), self.addressees.get(addressee))
            else {
                continue;
            };
            let Some(passed) = &member.passed else { continue };
            let channel = self.members.id_and_present(member.channel);
            let telling = telling::of_member(to, (member, passed), channel, &self.instance);
            let what = What::Member { number, came };
            return Some((self.addressees.begin(addressee, what), telling));
        }
    }

    /// What has become of the notice with this number.
    pub(super) fn told(&mut self, notice: u64, reaction: Reaction, now: Now) {
        let Some(UnderWay { addressee, what }) = self.addressees.end(notice) else { return };
        let What::Member { number, came } = what else {
            if let Some(attempts) = self.addressees.note_reset(addressee, reaction) {
                let at_ms = now.mono_ms.saturating_add(retry_ms(attempts));
                let retry = self.wheel.set(at_ms, Due::Reset(addressee));
                self.addressees.set_retry(addressee, Some(retry));
            }
            return;
        };
        let Some(member) = self.members.get_mut(number) else { return };
        member.turn = Turn::None;
        // It may be another's by now, whom nothing was told.
        if member.addressee == Some(addressee) {
            let is_refused = member.note(came, reaction);
            if member.attempts > 0 && member.is_to_be_told() {
                let at_ms = now.mono_ms.saturating_add(retry_ms(member.attempts));
                member.retry = Some(self.wheel.set(at_ms, Due::Retry(number)));
            }
            if is_refused {
                self.complaints.given_up(now.mono_ms);
            }
        }
        self.consider(number);
    }

    /// When there is something to do, monotonic milliseconds.
    pub(super) fn due_ms(&self) -> Option<u64> {
        if self.addressees.has_turn() { Some(0) } else { self.wheel.next_deadline() }
    }

    /// The daemon stops: from now on nobody comes, and nobody leaves. Who is here will be here when
    /// the next one has started.
    pub(super) fn stop(&mut self, now_ms: u64) {
        let stopped = Self::new(&self.instance, 0, now_ms);
        let complaints = std::mem::take(&mut self.complaints);
        *self = Self { is_stopping: true, complaints, ..stopped };
    }

    /// Members, with those that have left and of whom that is to be told.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// How many were not tracked, as there were too many.
    pub(super) fn untracked(&self) -> u64 {
        self.complaints.untracked
    }

    pub(super) fn timers(&self) -> usize {
        self.wheel.len()
    }

    /// How many are on the channel of this name.
    pub(super) fn present(&self, name: &[u8]) -> usize {
        self.members.present(name)
    }

    /// Who is on the channel of this name. `page`: how many are shown, and behind which number.
    pub(super) fn on_channel<'p>(&'p self, name: &'p [u8], page: (usize, u64)) -> ChannelRoll<'p> {
        roll::of_channel(&self.members, name, page)
    }

    /// On which channels a user is. `stores`: the names of all stores.
    pub(super) fn of_user<'p>(
        &'p self,
        user: &'p Identity,
        page: (usize, u64),
        stores: &'p [String],
    ) -> UserRoll<'p> {
        roll::of_user(&self.members, user, page, stores)
    }

    /// Gives back the room that nothing needs any more.
    pub(super) fn shrink(&mut self) {
        self.wheel.shrink();
        self.guests.shrink_to(0);
        self.members.shrink();
        self.addressees.shrink();
    }

    /// Whether this connection has a request of a member; for tests.
    pub(super) fn has(&self, conn: ConnKey) -> bool {
        self.guests.contains_key(&conn)
    }

    /// How many requests there are of members; for tests.
    pub(super) fn guests(&self) -> usize {
        self.guests.len()
    }

    /// Compares the tables; for tests.
    pub(super) fn check_invariants(&self) {
        self.members.check_invariants();
        self.addressees.check_invariants();
        let waiting = self.addressees.waiting();
        assert!(waiting <= 4 * self.members.len() + 64, "{waiting} wait, most of them for nothing");
        let mut holds = 0;
        for number in self.members.numbers() {
            let member = self.members.get(number).expect("it was listed");
            holds += member.holds as usize;
            member.check_invariants();
        }
        assert_eq!(holds, self.guests.values().map(Guest::holds).sum::<usize>(), "of guests");
    }
}
