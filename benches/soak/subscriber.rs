//! What subscribers do: ask, follow their cursor, read slowly, rest, vanish, and come back with
//! their cursor or without.

use super::body;
use super::fire::Fire;
use super::link::{Link, Reading};
use super::settings::HOLD_MS;
use super::wire::{self, Answer, ContentType};
use super::words::{Gap, Id, Moment, Observation, Saw};

/// Bytes that a slow reader reads at a time.
const SIP: usize = 1500;

/// One in so many observations is spoilt by a [`Mutation`].
const SPOILT_EVERY: u64 = 200;

/// A way in which a subscriber could have been served wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    Lost,
    Repeated,
    Reordered,
    Corrupt,
    Gap,
}

impl Mutation {
    pub(crate) const ALL: [(&'static str, Self); 5] = [
        ("lost", Self::Lost),
        ("repeated", Self::Repeated),
        ("reordered", Self::Reordered),
        ("corrupt", Self::Corrupt),
        ("gap", Self::Gap),
    ];
}

/// See the module.
pub(crate) struct Subscriber {
    pub(crate) lane: usize,
    pub(crate) cursor: Option<Id>,
    slow: bool,
    state: State,
    link: Option<Link>,
    /// Rises with every request and every rest: a timer of an earlier one is void.
    epoch: u64,
    /// It has asked that the connection end with the answer.
    close: bool,
    /// Before a message that was kept from the model.
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
    /// A request is on its way, held or being answered. `vanishes`: when its timer is up, else
    /// that is for reading on.
    Asked { asked: Moment, interval: bool, vanishes: bool },
    /// It asks when its timer is up; on the same connection if it has one.
    Resting,
}

impl Subscriber {
    pub(crate) fn new(lane: usize, slow: bool) -> Self {
        Self {
            lane,
            cursor: None,
            slow,
            state: State::Resting,
            link: None,
            epoch: 0,
            close: false,
            hidden: None,
        }
    }
}

impl Fire {
    pub(crate) fn ask(&mut self, index: usize) {
        let asked = self.moment();
        let interval = self.random.percent(3) && !self.finishing;
        let close = self.random.below(300) == 0;
        let vanishes = self.random.below(300) == 0 && !self.finishing;
        let slow = self.subscribers[index].slow;
        if self.subscribers[index].link.is_none() {
            self.subscribers[index].link = Some(self.open(index, slow));
        }
        let path = self.lanes[self.subscribers[index].lane].path(if interval { 'i' } else { 's' });
        let subscriber = &mut self.subscribers[index];
        subscriber.epoch += 1;
        subscriber.close = close;
        subscriber.state = State::Asked { asked, interval, vanishes };
        let link = subscriber.link.as_mut().expect("just opened");
        wire::get(&path, subscriber.cursor, close, &mut self.random, link.out());
        link.flush();
        if vanishes {
            let (epoch, in_ms) = (subscriber.epoch, self.random.below(6));
            self.wake_in(in_ms, index, epoch);
        }
    }

    pub(crate) fn subscriber_ready(&mut self, index: usize) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let subscriber = &mut self.subscribers[index];
        if let Some(link) = &mut subscriber.link {
            link.flush();
            let slow = subscriber.slow && !self.finishing;
            match link.read(if slow { SIP } else { usize::MAX }, &mut scratch) {
                Reading::Answer(answer, body) => self.subscriber_answered(index, &answer, &body),
                Reading::NotYet if slow && link.has_part() => {
                    let (epoch, in_ms) = (subscriber.epoch, 1 + self.random.below(15));
                    self.wake_in(in_ms, index, epoch);
                }
                Reading::NotYet => {}
                Reading::Closed => self.subscriber_failed(index, "closed unasked"),
                Reading::Broken(why) => self.subscriber_failed(index, &why),
            }
        }
        self.scratch = scratch;
    }

    fn subscriber_failed(&mut self, index: usize, why: &str) {
        self.faults.note("connection", || format!("subscriber {index}: {why}"));
        self.subscribers[index].link = None;
        self.rest(index, 10);
    }

    pub(crate) fn subscriber_wakes(&mut self, index: usize, epoch: u64) {
        if self.subscribers[index].epoch != epoch {
            return;
        }
        match self.subscribers[index].state {
            State::Resting => self.ask(index),
            State::Asked { vanishes: true, .. } if !self.finishing => {
                self.tally.vanished += 1;
                self.leave(index);
                let away_ms = self.random.below(50);
                self.rest(index, away_ms);
            }
            State::Asked { .. } => self.subscriber_ready(index),
        }
    }

    fn subscriber_answered(&mut self, index: usize, answer: &Answer, body: &[u8]) {
        let read = self.moment();
        let subscriber = &mut self.subscribers[index];
        let State::Asked { asked, interval, .. } = subscriber.state else {
            self.faults.note("unasked answer", || format!("{answer:?}"));
            return;
        };
        if answer.closes != subscriber.close {
            self.faults.note("connection", || format!("{answer:?}"));
        }
        let (lane, cursor) = (subscriber.lane, subscriber.cursor);
        let (name, held_ms) = (self.lanes[lane].name, read.ms - asked.ms);
        let saw = match (answer.status, answer.id) {
            (200, Some(id)) => match number_of(name, answer, body) {
                Some(number) => Saw::Message { id, number, gap: answer.gap },
                None => {
                    self.faults.note("corrupt", || format!("{answer:?} {}", body.escape_ascii()));
                    Saw::Message { id, number: u64::MAX, gap: answer.gap }
                }
            },
            (304, echoed) if echoed == cursor => Saw::Nothing,
            (410, _) if !interval => Saw::Gone,
            _ => {
                self.faults.note("status", || format!("{answer:?} after {cursor:?}"));
                return self.rest(index, 10);
            }
        };
        // The daemon's clock has a step of 10 ms and may be read a moment before ours.
        if saw == Saw::Nothing && !interval && held_ms + 100 < HOLD_MS - HOLD_MS / 10 {
            self.faults.note("304 too early", || format!("after {held_ms} ms"));
        }
        let subscriber = &mut self.subscribers[index];
        let cursor = subscriber.hidden.take().unwrap_or(cursor);
        let observation = Observation { cursor, asked, read, saw };
        if let Saw::Message { id, .. } = saw {
            subscriber.cursor = Some(id);
            let lane = &mut self.lanes[lane];
            lane.caught_up += usize::from(lane.newest <= id);
            self.tally.delivered += 1;
            self.tally.bytes += body.len() as u64;
        }
        self.observe_or_spoil(index, observation);
        self.go_on(index, saw);
    }

    fn observe_or_spoil(&mut self, index: usize, mut observation: Observation) {
        let lane = self.subscribers[index].lane;
        let Saw::Message { id, number, gap } = &mut observation.saw else {
            return self.observe(lane, observation);
        };
        let spoil = self.options.mutation.filter(|_| self.random.below(SPOILT_EVERY) == 0);
        match spoil {
            None => {}
            Some(Mutation::Lost) => {
                self.subscribers[index].hidden = Some(observation.cursor);
                return;
            }
            Some(Mutation::Repeated) => observation.cursor = Some(*id),
            Some(Mutation::Reordered) => observation.cursor = Some((id.0 + 1, 0)),
            Some(Mutation::Corrupt) => *number += 1,
            Some(Mutation::Gap) => {
                *gap = match gap {
                    Some(Gap::Messages(told)) => Some(Gap::Messages(*told + 1)),
                    _ => Some(Gap::Messages(1)),
                };
            }
        }
        self.observe(lane, observation);
    }

    /// What a subscriber does after an answer.
    fn go_on(&mut self, index: usize, saw: Saw) {
        if self.subscribers[index].close {
            self.subscribers[index].link = None;
        }
        let chance = self.random.below(10_000);
        let (slow, finishing) = (self.subscribers[index].slow, self.finishing);
        let rest_ms = match chance {
            _ if finishing && saw == Saw::Nothing => 5,
            _ if finishing => return self.ask(index),
            0..10 => {
                self.tally.reconnects += 1;
                self.leave(index);
                self.random.below(300)
            }
            10..12 => {
                self.tally.restarts += 1;
                self.leave(index);
                self.subscribers[index].cursor = None;
                self.random.below(100)
            }
            _ if slow => 1 + self.random.below(120),
            _ if saw == Saw::Nothing => self.random.below(20),
            _ => return self.ask(index),
        };
        self.rest(index, rest_ms);
    }

    fn rest(&mut self, index: usize, ms: u64) {
        let subscriber = &mut self.subscribers[index];
        subscriber.epoch += 1;
        subscriber.state = State::Resting;
        let epoch = subscriber.epoch;
        self.wake_in(ms, index, epoch);
    }

    /// Ends the connection, one way or the other.
    fn leave(&mut self, index: usize) {
        let Some(link) = self.subscribers[index].link.take() else { return };
        if self.random.percent(80) {
            link.reset();
        }
    }
}

/// The number of the message that an answer brings, if all of it is as it was published.
fn number_of(channel: usize, answer: &Answer, body: &[u8]) -> Option<u64> {
    let number = match answer.content_type {
        Some(ContentType::Of(number)) if body.is_empty() => number,
        _ => body::read(channel, body)?,
    };
    (answer.content_type == wire::content_type(number)).then_some(number)
}
