//! Follower: a client that listens by WebSocket or event stream and resumes at the id of its last
//! message. At random it reads slowly, resets or closes its connection, and comes back.

use pushserver_testkit::transcripts::part::{Frame, Part, Talk, masked};

use crate::events::{Id, Moment, Observation, Saw};
use crate::link::{Filled, Link, SIP};
use crate::message::{Block, Message};
use crate::shared::Shared;
use crate::wire;

/// First byte of a Pong in one frame (RFC 6455 5.2).
const PONG: u8 = 0x8a;

/// A stream's client, with at most one connection.
#[derive(Debug)]
pub(crate) struct Follower {
    /// Identifies it to the poll and to timers.
    index: usize,
    pub(crate) lane: usize,
    pub(crate) cursor: Option<Id>,
    /// What its connection carries in the end: frames or events.
    form: Talk,
    slow: bool,
    link: Option<Link>,
    talk: Talk,
    opened: Moment,
    /// Increases with every connection and pause: timers of an earlier epoch are void.
    epoch: u64,
    /// The cursor before a message that a mutation kept from the model.
    hidden: Option<Option<Id>>,
}

impl Follower {
    pub(crate) fn new(index: usize, lane: usize, form: Talk, slow: bool) -> Self {
        let (opened, talk) = (Moment::default(), Talk::Http);
        let (cursor, link, hidden) = (None, None, None);
        Self { index, lane, cursor, form, slow, link, talk, opened, epoch: 0, hidden }
    }

    /// Opens a connection and begins at its cursor.
    pub(crate) fn open(&mut self, shared: &mut Shared) {
        self.epoch += 1;
        self.opened = shared.moment();
        self.talk = Talk::Http;
        let place = shared.targets.pick(&mut shared.random);
        let mut link = shared.open(self.index, self.slow, place);
        let path = shared.lanes[self.lane].path('s');
        let request = if self.is_socket() {
            shared.tally.sockets += 1;
            wire::handshake
        } else {
            shared.tally.streams += 1;
            wire::listen
        };
        request(&path, self.cursor, &mut shared.random, link.out());
        link.flush();
        self.link = Some(link);
    }

    fn is_socket(&self) -> bool {
        self.form == Talk::Frames
    }

    /// A timer set in this epoch has expired: the pause ends, or a slow reader reads on.
    pub(crate) fn wakes(&mut self, epoch: u64, shared: &mut Shared) {
        match self.link {
            _ if self.epoch != epoch => {}
            None => self.open(shared),
            Some(_) => self.ready(shared),
        }
    }

    /// Its socket is writable or readable.
    pub(crate) fn ready(&mut self, shared: &mut Shared) {
        loop {
            let Some(link) = &mut self.link else { return };
            link.flush();
            let slow = self.slow && !shared.finishing;
            let filled = link.fill(if slow { SIP } else { usize::MAX }, &mut shared.scratch);
            while let Some(part) =
                self.link.as_mut().and_then(|link| self.talk.take(link.inbox(), false))
            {
                self.came(part, shared);
            }
            match filled {
                _ if self.link.is_none() => return,
                Filled::More if slow => {
                    let in_ms = 1 + shared.random.below(15);
                    return shared.wake_in(in_ms, self.index, self.epoch);
                }
                Filled::More => {}
                Filled::Drained => return,
                Filled::Ended(why) => return self.failed(&why, shared),
            }
        }
    }

    fn failed(&mut self, why: &str, shared: &mut Shared) {
        let Some(link) = self.link.take() else { return };
        let path = shared.lanes[self.lane].path('s');
        let (form, index, cursor) = (self.form, self.index, self.cursor);
        let detail = || format!("{form:?} of {index} on {path} after {cursor:?}: {why}");
        shared.broken(link.place, detail);
        self.rest(10, shared);
    }

    fn came(&mut self, part: Part, shared: &mut Shared) {
        let name = shared.lanes[self.lane].name;
        match part {
            Part::Answer(answer) => {
                let part = Part::Answer(answer);
                self.talk = self.talk.behind(&part);
                if self.talk != self.form {
                    self.failed(&format!("{part:?}"), shared);
                }
            }
            Part::Frame(frame) => match frame.kind {
                "ping" => self.pong(&frame),
                "text" | "binary" => match Message::of_frame(name, &frame.payload) {
                    Some(message) => self.message(message, shared),
                    None => self.failed(&format!("no id in {frame:?}"), shared),
                },
                _ if frame.close() == Some((4410, "410 Gone")) => self.gone(shared),
                _ => self.failed(&format!("{frame:?}"), shared),
            },
            Part::Block(block) => match Block::read(name, &block) {
                Some(Block::Message(message)) => self.message(message, shared),
                Some(Block::Gone) => self.gone(shared),
                Some(Block::Idle) => {}
                None => self.failed(&format!("no event: {}", block.escape_ascii()), shared),
            },
        }
    }

    /// Its channel was deleted, and its stream is at its end.
    fn gone(&mut self, shared: &mut Shared) {
        self.observe(Saw::Gone, self.cursor, shared);
        let away_ms = shared.random.below(20);
        self.rest(away_ms, shared);
    }

    fn pong(&mut self, ping: &Frame) {
        let Some(link) = &mut self.link else { return };
        link.out().extend_from_slice(&masked(PONG, &ping.payload));
        link.flush();
    }

    fn message(&mut self, message: Message, shared: &mut Shared) {
        let Message { id, gap, number, length } = message;
        let number = number.unwrap_or(u64::MAX);
        let lane = &mut shared.lanes[self.lane];
        lane.caught_up += usize::from(lane.newest <= id);
        shared.tally.delivered += 1;
        shared.tally.by_socket += u64::from(self.is_socket());
        shared.tally.by_stream += u64::from(!self.is_socket());
        shared.tally.bytes += length as u64;
        let before = self.cursor.replace(id);
        self.observe(Saw::Message { id, number, gap }, before, shared);
        if !shared.finishing {
            self.go_on(shared);
        }
    }

    fn observe(&mut self, saw: Saw, cursor: Option<Id>, shared: &mut Shared) {
        let read = shared.moment();
        let cursor = self.hidden.take().unwrap_or(cursor);
        let observation =
            Observation { cursor, asked: self.opened, read, saw, follows: true, is_at_once: false };
        if !shared.observe_or_spoil(self.lane, observation) {
            self.hidden = Some(cursor);
        }
    }

    /// Chooses whether to leave after a message.
    fn go_on(&mut self, shared: &mut Shared) {
        let rest_ms = match shared.random.below(1000) {
            0..10 => {
                shared.tally.reconnects += 1;
                shared.random.below(300)
            }
            10 => {
                shared.tally.restarts += 1;
                self.cursor = None;
                self.hidden = None;
                shared.random.below(100)
            }
            _ => return,
        };
        if let Some(link) = self.link.take().filter(|_| shared.random.percent(80)) {
            link.reset();
        }
        self.rest(rest_ms, shared);
    }

    fn rest(&mut self, ms: u64, shared: &mut Shared) {
        self.link = None;
        self.epoch += 1;
        shared.wake_in(ms, self.index, self.epoch);
    }
}
