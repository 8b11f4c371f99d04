//! Shared: the state that all publishers and subscribers of a run share: channels, randomness,
//! time, the poll and the counts. Knows no single client.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use pushserver_testkit::Random;

use crate::events::{Faults, Gap, Id, Moment, Observation, Saw, Told, Unanswered};
use crate::link::Link;
use crate::model::Channel;
use crate::settings::{KINDS, Kind, SHARED_KINDS};
use crate::targets::{Place, Targets};

/// A [`Mutation`] falsifies one of so many observations.
const SPOILT_EVERY: u64 = 200;

/// A wrong delivery, made up to test the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// A message is missing.
    Lost,
    /// A message comes twice.
    Repeated,
    /// A message comes before an older one.
    Reordered,
    /// A message comes with another body.
    Corrupt,
    /// A gap is reported where there is none, or with another size.
    Gap,
}

impl Mutation {
    /// All of them, by their names on the command line.
    pub const ALL: [(&'static str, Self); 5] = [
        ("lost", Self::Lost),
        ("repeated", Self::Repeated),
        ("reordered", Self::Reordered),
        ("corrupt", Self::Corrupt),
        ("gap", Self::Gap),
    ];
}

/// What a run does.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Seed of the randomness.
    pub seed: u64,
    /// Number of channels, of all kinds together.
    pub channels: usize,
    /// Number of connections that poll.
    pub subscribers: usize,
    /// Number of WebSockets that listen.
    pub sockets: usize,
    /// Number of event streams.
    pub streams: usize,
    /// Number of connections that publish.
    pub publishers: usize,
    /// Largest number of deliveries a second; 0: no limit.
    pub rate: u64,
    /// Falsifies what subscribers saw; the model must find it.
    pub mutation: Option<Mutation>,
}

impl Options {
    /// All that poll or listen.
    pub(crate) fn listeners(&self) -> usize {
        self.subscribers + self.sockets + self.streams
    }
}

/// What the clients did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// POSTs that were answered with success.
    pub published: u64,
    /// Messages that subscribers received.
    pub delivered: u64,
    /// Of these, by WebSocket.
    pub by_socket: u64,
    /// Of these, by event stream.
    pub by_stream: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// DELETEs that were sent.
    pub deletes: u64,
    /// POSTs broken off before they were complete.
    pub cut: u64,
    /// Times that a subscriber closed or reset its connection and came back with its cursor.
    pub reconnects: u64,
    /// Times that one came back without a cursor.
    pub restarts: u64,
    /// Polls whose subscriber closed the connection while they were held or answered.
    pub vanished: u64,
    /// WebSockets that were opened.
    pub sockets: u64,
    /// Event streams that were opened.
    pub streams: u64,
    /// Requests that were answered 503 because Redis was away.
    pub refused: u64,
    /// Connections that ended because a daemon was killed.
    pub torn: u64,
    /// POSTs and DELETEs without an answer that were done nevertheless.
    pub done: u64,
    /// Those that never were.
    pub undone: u64,
    /// Daemons that were killed.
    pub kills: u64,
    /// Connections of daemons to Redis that were ended.
    pub cuts: u64,
}

impl Tally {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: Self) {
        self.published += other.published;
        self.delivered += other.delivered;
        self.bytes += other.bytes;
        self.deletes += other.deletes;
        self.cut += other.cut;
        self.reconnects += other.reconnects;
        self.restarts += other.restarts;
        self.vanished += other.vanished;
        self.by_socket += other.by_socket;
        self.by_stream += other.by_stream;
        self.sockets += other.sockets;
        self.streams += other.streams;
        self.refused += other.refused;
        self.torn += other.torn;
        self.done += other.done;
        self.undone += other.undone;
        self.kills += other.kills;
        self.cuts += other.cuts;
    }
}

/// A channel: its model, and when to publish next.
pub(crate) struct Lane {
    pub(crate) model: Channel,
    pub(crate) kind: Kind,
    pub(crate) name: usize,
    pub(crate) next_number: u64,
    pub(crate) newest: Id,
    /// Subscribers that have the newest message.
    pub(crate) caught_up: usize,
    pub(crate) followers: usize,
    /// The next message is due at this time, or when enough subscribers have caught up.
    pub(crate) due_ms: u64,
    /// Messages left in the burst; each is due at once.
    pub(crate) burst: u64,
    pub(crate) open: usize,
    /// Of these, DELETEs.
    pub(crate) open_deletes: usize,
}

impl Lane {
    /// The channel with the number `name` and this many subscribers.
    pub(crate) fn new(name: usize, kind: Kind, followers: usize) -> Self {
        Self {
            model: Channel::new(format!("{}/c{name}", kind.name), kind.rules),
            kind,
            name,
            next_number: 0,
            newest: (0, 0),
            caught_up: 0,
            followers,
            due_ms: 0,
            burst: 0,
            open: 0,
            open_deletes: 0,
        }
    }

    pub(crate) fn path(&self, location: char) -> String {
        format!("/{location}/{}/c{}", self.kind.name, self.name)
    }
}

/// The shared state of a run.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) random: Random,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) faults: Faults,
    pub(crate) tally: Tally,
    /// The buffer for reads.
    pub(crate) scratch: Vec<u8>,
    /// Publishers stop, and subscribers fetch what is left.
    pub(crate) finishing: bool,
    pub(crate) targets: Targets,
    /// What is not known yet, and what the store must have done: with several daemons.
    pub(crate) unanswered: Vec<Unanswered>,
    pub(crate) told: Vec<Told>,
    poll: Poll,
    start: Instant,
    now: Moment,
    /// Time in milliseconds, subscriber, and the epoch in which it asked for the timer.
    timers: BinaryHeap<Reverse<(u64, usize, u64)>>,
}

impl Shared {
    /// `addresses`: of the daemons.
    pub(crate) fn new(addresses: &[SocketAddr], options: Options) -> Self {
        let kinds = if addresses.len() > 1 { SHARED_KINDS } else { KINDS };
        let lane = |name: usize| {
            let followers = (name..options.listeners()).step_by(options.channels).count();
            Lane::new(name, kinds[name % kinds.len()], followers)
        };
        Self {
            options,
            random: Random::new(options.seed),
            lanes: (0..options.channels).map(lane).collect(),
            faults: Faults::default(),
            tally: Tally::default(),
            scratch: vec![0; 64 << 10],
            finishing: false,
            targets: Targets::new(addresses),
            unanswered: Vec::new(),
            told: Vec::new(),
            poll: Poll::new().expect("there are descriptors"),
            start: Instant::now(),
            now: Moment::default(),
            timers: BinaryHeap::new(),
        }
    }

    /// Waits for events, at most a millisecond; `false`: a signal interrupted it.
    pub(crate) fn wait(&mut self, events: &mut Events) -> bool {
        match self.poll.poll(events, Some(Duration::from_millis(1))) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return false,
            done => done.expect("the poll lives"),
        }
        self.now.turn += 1;
        self.now.ms = self.start.elapsed().as_millis() as u64;
        true
    }

    /// The moment of the next request or answer; each call returns a new one.
    pub(crate) fn moment(&mut self) -> Moment {
        self.now.tick += 1;
        self.now
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now.ms
    }

    /// Whether the rate allows another message now.
    pub(crate) fn is_within_rate(&self) -> bool {
        let rate = self.options.rate;
        rate == 0 || self.tally.delivered * 1000 < rate * (self.now.ms + 20)
    }

    /// Opens a connection. `token`: subscribers come first, then streams, then publishers.
    pub(crate) fn open(&self, token: usize, narrow: bool, place: Place) -> Link {
        let address = self.targets.address(place);
        Link::open(place, address, narrow, self.poll.registry(), Token(token))
    }

    /// A connection has ended, or what came of it is no answer: right only of a daemon that was
    /// killed. Gives whether it was.
    pub(crate) fn broken(&mut self, place: Place, detail: impl FnOnce() -> String) -> bool {
        let is_killed = !self.targets.lives(place);
        if is_killed {
            self.tally.torn += 1;
        } else {
            self.faults.note("connection", detail);
        }
        is_killed
    }

    /// A publisher was told that something was done.
    pub(crate) fn told(&mut self, told: Told) {
        if self.lanes[told.lane].kind.rules.spread_ms > 0 {
            self.told.push(told);
        }
    }

    /// A request was answered 503: right only while Redis may be away.
    pub(crate) fn refused(&mut self, place: Place, detail: impl FnOnce() -> String) {
        self.tally.refused += 1;
        if !self.targets.may_refuse(place, self.now.ms) {
            self.faults.note("503 though Redis is there", detail);
        }
    }

    /// Sets a timer of a subscriber; it is void if the epoch has changed by then.
    pub(crate) fn wake_in(&mut self, ms: u64, subscriber: usize, epoch: u64) {
        self.timers.push(Reverse((self.now.ms + ms, subscriber, epoch)));
    }

    /// Gives the model what a client saw, falsified now and then if the options say so. `false`: it
    /// was kept from the model.
    pub(crate) fn observe_or_spoil(&mut self, lane: usize, mut observation: Observation) -> bool {
        if let Saw::Message { id, number, gap } = &mut observation.saw
            && let Some(spoil) =
                self.options.mutation.filter(|_| self.random.below(SPOILT_EVERY) == 0)
        {
            match spoil {
                Mutation::Lost => return false,
                Mutation::Repeated => observation.cursor = Some(*id),
                Mutation::Reordered => observation.cursor = Some((id.0 + 1, 0)),
                Mutation::Corrupt => *number = number.wrapping_add(1),
                Mutation::Gap => {
                    let told = match *gap {
                        // It may also be told of messages that no store keeps: never of so many.
                        _ if observation.follows => u64::MAX,
                        Some(Gap::Messages(told)) => told + 1,
                        _ => 1,
                    };
                    *gap = Some(Gap::Messages(told));
                }
            }
        }
        self.lanes[lane].model.observed(observation, &mut self.faults);
        true
    }

    /// The next expired timer: its subscriber, and the epoch in which it was set.
    pub(crate) fn next_due(&mut self) -> Option<(usize, u64)> {
        let Reverse((due_ms, index, epoch)) = self.timers.peek().copied()?;
        (due_ms <= self.now.ms).then(|| self.timers.pop())?;
        Some((index, epoch))
    }
}
