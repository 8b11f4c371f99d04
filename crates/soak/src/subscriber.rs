//! Subscriber: a client that polls and follows its cursor. At random it reads slowly, pauses,
//! closes its connection, and comes back with its cursor or without.

use crate::body;
use crate::events::{Id, Moment, Observation, Saw};
use crate::link::{Link, Reading, SIP};
use crate::pool::Pool;
use crate::settings::HOLD_MS;
use crate::shared::Shared;
use crate::wire::{self, Reply};

/// A subscriber, with at most one poll open.
pub(crate) struct Subscriber {
    /// Identifies it to the poll and to timers.
    index: usize,
    pub(crate) lane: usize,
    pub(crate) cursor: Option<Id>,
    slow: bool,
    state: State,
    link: Option<Link>,
    pool: Pool,
    /// Increases with every request and every pause: timers of an earlier epoch are void.
    epoch: u64,
    /// Its request said `Connection: close`.
    close: bool,
    /// The cursor before a message that a mutation kept from the model.
    hidden: Option<Option<Id>>,
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = self.link.as_ref().is_some_and(Link::has_part);
        write!(f, "{:?} at {:?}, slow {}, part {part}", self.state, self.cursor, self.slow)
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A poll is sent, held or being answered. `vanishes`: its timer closes the connection;
    /// otherwise its timer reads on.
    Asked { asked: Moment, interval: bool, vanishes: bool },
    /// Its timer sends the next poll, on the same connection if it has one.
    Resting,
}

impl Subscriber {
    pub(crate) fn new(index: usize, lane: usize, slow: bool) -> Self {
        Self {
            index,
            lane,
            cursor: None,
            slow,
            state: State::Resting,
            link: None,
            pool: Pool::default(),
            epoch: 0,
            close: false,
            hidden: None,
        }
    }

    /// Sends its next poll, on a new connection if it has none.
    pub(crate) fn ask(&mut self, shared: &mut Shared) {
        let asked = shared.moment();
        let interval = shared.random.percent(3) && !shared.finishing;
        let close = shared.random.below(300) == 0;
        let vanishes = shared.random.below(300) == 0 && !shared.finishing;
        let path = shared.lanes[self.lane].path(if interval { 'i' } else { 's' });
        self.epoch += 1;
        self.close = close;
        self.state = State::Asked { asked, interval, vanishes };
        let link = self.pool.next(self.link.take(), (self.index, self.slow), shared);
        let link = self.link.insert(link);
        wire::get(&path, self.cursor, close, &mut shared.random, link.out());
        link.flush();
        if vanishes {
            let in_ms = shared.random.below(6);
            shared.wake_in(in_ms, self.index, self.epoch);
        }
    }

    /// Its socket is writable or readable.
    pub(crate) fn ready(&mut self, shared: &mut Shared) {
        let Some(link) = &mut self.link else { return };
        link.flush();
        let slow = self.slow && !shared.finishing;
        match link.read(if slow { SIP } else { usize::MAX }, &mut shared.scratch) {
            Reading::Answer(answer) => match Reply::read(&answer) {
                Ok(reply) => self.answered(reply, &answer.body, shared),
                Err(why) => self.failed(&why, shared),
            },
            Reading::NotYet if slow && link.has_part() => {
                let in_ms = 1 + shared.random.below(15);
                shared.wake_in(in_ms, self.index, self.epoch);
            }
            Reading::NotYet => {}
            Reading::Closed => self.failed("closed unasked", shared),
            Reading::Broken(why) => self.failed(&why, shared),
        }
    }

    fn failed(&mut self, why: &str, shared: &mut Shared) {
        let Some(link) = self.link.take() else { return };
        shared.broken(link.place, || format!("subscriber {}: {why}", self.index));
        self.rest(10, shared);
    }

    /// A timer set in this epoch has expired.
    pub(crate) fn wakes(&mut self, epoch: u64, shared: &mut Shared) {
        if self.epoch != epoch {
            return;
        }
        match self.state {
            State::Resting => self.ask(shared),
            State::Asked { vanishes: true, .. } if !shared.finishing => {
                shared.tally.vanished += 1;
                self.leave(shared);
                let away_ms = shared.random.below(50);
                self.rest(away_ms, shared);
            }
            State::Asked { .. } => self.ready(shared),
        }
    }

    fn answered(&mut self, reply: Reply, body: &[u8], shared: &mut Shared) {
        let read = shared.moment();
        let State::Asked { asked, interval, .. } = self.state else {
            shared.faults.note("unasked answer", || format!("{reply:?}"));
            return;
        };
        if reply.closes != self.close {
            shared.faults.note("connection", || format!("{reply:?}"));
        }
        let cursor = self.cursor;
        let (name, held_ms) = (shared.lanes[self.lane].name, read.ms - asked.ms);
        let saw = match (reply.status, reply.id) {
            (200, Some(id)) => match wire::number_of(name, reply.content_type, body, body::read) {
                Some(number) => Saw::Message { id, number, gap: reply.gap },
                None => {
                    let detail = || format!("{reply:?} {}", body.escape_ascii());
                    shared.faults.note("corrupt", detail);
                    Saw::Message { id, number: u64::MAX, gap: reply.gap }
                }
            },
            (304, echoed) if echoed == cursor => Saw::Nothing,
            (410, _) if !interval => Saw::Gone,
            (503, _) if interval => {
                if let Some(link) = &self.link {
                    shared.refused(link.place, || format!("{reply:?} after {cursor:?}"));
                }
                self.link.take_if(|_| self.close);
                return self.rest(10, shared);
            }
            _ => {
                shared.faults.note("status", || format!("{reply:?} after {cursor:?}"));
                return self.rest(10, shared);
            }
        };
        // The daemon's clock has steps of 10 ms and may be read a moment before ours.
        if saw == Saw::Nothing && !interval && held_ms + 100 < HOLD_MS - HOLD_MS / 10 {
            shared.faults.note("304 too early", || format!("after {held_ms} ms"));
        }
        let cursor = self.hidden.take().unwrap_or(cursor);
        let observation =
            Observation { cursor, asked, read, saw, follows: false, is_at_once: interval };
        if let Saw::Message { id, .. } = saw {
            self.cursor = Some(id);
            let lane = &mut shared.lanes[self.lane];
            lane.caught_up += usize::from(lane.newest <= id);
            shared.tally.delivered += 1;
            shared.tally.bytes += body.len() as u64;
        }
        if !shared.observe_or_spoil(self.lane, observation) {
            self.hidden = Some(cursor);
        }
        self.go_on(saw, shared);
    }

    /// Chooses what to do after an answer.
    fn go_on(&mut self, saw: Saw, shared: &mut Shared) {
        if self.close {
            self.link = None;
        }
        let chance = shared.random.below(10_000);
        let rest_ms = match chance {
            _ if shared.finishing && saw == Saw::Nothing => 5,
            _ if shared.finishing => return self.ask(shared),
            0..10 => {
                shared.tally.reconnects += 1;
                self.leave(shared);
                shared.random.below(300)
            }
            10..12 => {
                shared.tally.restarts += 1;
                self.leave(shared);
                self.cursor = None;
                shared.random.below(100)
            }
            _ if self.slow => 1 + shared.random.below(120),
            _ if saw == Saw::Nothing => shared.random.below(20),
            _ => return self.ask(shared),
        };
        self.rest(rest_ms, shared);
    }

    fn rest(&mut self, ms: u64, shared: &mut Shared) {
        self.epoch += 1;
        self.state = State::Resting;
        shared.wake_in(ms, self.index, self.epoch);
    }

    /// Closes the connection, most often with a reset.
    fn leave(&mut self, shared: &mut Shared) {
        let Some(link) = self.link.take() else { return };
        if shared.random.percent(80) {
            link.reset();
        }
    }
}
