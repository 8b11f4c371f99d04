//! Follower: a client that listens by WebSocket and resumes at the id of its last message. At
//! random it reads slowly, resets or closes its connection, and comes back.

use pushserver_testkit::transcripts::part::{Frame, Part, Talk, masked};

use crate::events::{Gap, Id, Moment, Observation, Saw};
use crate::link::{Filled, Link};
use crate::shared::Shared;
use crate::subscriber::number_of;
use crate::wire::{self, ContentType};

/// Bytes that a slow reader reads in a turn.
const SIP: usize = 1500;

/// First byte of a Pong in one frame (RFC 6455 5.2).
const PONG: u8 = 0x8a;

/// A WebSocket's client, with at most one connection.
#[derive(Debug)]
pub(crate) struct Follower {
    /// Identifies it to the poll and to timers.
    index: usize,
    pub(crate) lane: usize,
    pub(crate) cursor: Option<Id>,
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
    pub(crate) fn new(index: usize, lane: usize, slow: bool) -> Self {
        let (opened, talk) = (Moment::default(), Talk::Http);
        Self { index, lane, cursor: None, slow, link: None, talk, opened, epoch: 0, hidden: None }
    }

    /// Opens a connection and begins at its cursor.
    pub(crate) fn open(&mut self, shared: &mut Shared) {
        self.epoch += 1;
        self.opened = shared.moment();
        self.talk = Talk::Http;
        shared.tally.sockets += 1;
        let mut link = shared.open(self.index, self.slow);
        let path = shared.lanes[self.lane].path('s');
        wire::handshake(&path, self.cursor, &mut shared.random, link.out());
        link.flush();
        self.link = Some(link);
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
        let (lane, cursor) = (&shared.lanes[self.lane], self.cursor);
        let path = lane.path('s');
        let detail = || format!("WebSocket {} on {path} after {cursor:?}: {why}", self.index);
        shared.faults.note("connection", detail);
        self.rest(10, shared);
    }

    fn came(&mut self, part: Part, shared: &mut Shared) {
        match part {
            Part::Answer(answer) if answer.status == 101 => {
                self.talk = self.talk.behind(&Part::Answer(answer));
            }
            Part::Frame(frame) => match frame.kind {
                "ping" => self.pong(&frame),
                "text" | "binary" => self.message(&frame, shared),
                _ if frame.close() == Some((4410, "410 Gone")) => {
                    self.observe(Saw::Gone, self.cursor, shared);
                    let away_ms = shared.random.below(20);
                    self.rest(away_ms, shared);
                }
                _ => self.failed(&format!("{frame:?}"), shared),
            },
            other => self.failed(&format!("{other:?}"), shared),
        }
    }

    fn pong(&mut self, ping: &Frame) {
        let Some(link) = &mut self.link else { return };
        link.out().extend_from_slice(&masked(PONG, &ping.payload));
        link.flush();
    }

    fn message(&mut self, frame: &Frame, shared: &mut Shared) {
        let Some((head, body)) = Head::read(&frame.payload) else {
            return self.failed(&format!("no id in {}", frame.payload.escape_ascii()), shared);
        };
        let lane = &mut shared.lanes[self.lane];
        let number = number_of(lane.name, head.content_type, body).unwrap_or(u64::MAX);
        lane.caught_up += usize::from(lane.newest <= head.id);
        shared.tally.delivered += 1;
        shared.tally.by_socket += 1;
        shared.tally.bytes += body.len() as u64;
        let before = self.cursor.replace(head.id);
        self.observe(Saw::Message { id: head.id, number, gap: head.gap }, before, shared);
        if !shared.finishing {
            self.go_on(shared);
        }
    }

    fn observe(&mut self, saw: Saw, cursor: Option<Id>, shared: &mut Shared) {
        let read = shared.moment();
        let cursor = self.hidden.take().unwrap_or(cursor);
        let observation = Observation { cursor, asked: self.opened, read, saw, follows: true };
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

/// The lines before a message's body, with the subprotocol `ws+meta.nchan`.
struct Head {
    id: Id,
    gap: Option<Gap>,
    content_type: Option<ContentType>,
}

impl Head {
    /// Head and body; `None`: it is not written as docs/protocol.md says.
    fn read(payload: &[u8]) -> Option<(Self, &[u8])> {
        let at = payload.windows(2).position(|two| two == b"\n\n")?;
        let mut lines = std::str::from_utf8(&payload[..at]).ok()?.split('\n');
        let mut id = lines.next()?.strip_prefix("id: ")?.split(';');
        let (time, tag) = id.next()?.split_once(':')?;
        let gap = match id.next() {
            None => None,
            Some("gap=unknown") => Some(Gap::Unknown),
            Some(other) => Some(Gap::Messages(other.strip_prefix("gap=")?.parse().ok()?)),
        };
        let content_type = match lines.next() {
            None => None,
            Some(line) => Some(ContentType::read(line.strip_prefix("content-type: ")?)),
        };
        let id = (time.parse().ok()?, tag.parse().ok()?);
        lines.next().is_none().then_some((Self { id, gap, content_type }, &payload[at + 2..]))
    }
}
