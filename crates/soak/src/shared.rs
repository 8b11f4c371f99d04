//! Shared: the state that all publishers and subscribers of a run share: channels, randomness,
//! time, the poll and the counts. Knows no single client.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use pushserver_testkit::Random;

use crate::events::{Faults, Gap, Id, Moment, Observation, Saw};
use crate::link::Link;
use crate::model::Channel;
use crate::settings::KINDS;

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
    }
}

/// A channel: its model, and when to publish next.
pub(crate) struct Lane {
    pub(crate) model: Channel,
    pub(crate) kind: usize,
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
}

impl Lane {
    /// The channel with the number `name` and this many subscribers.
    pub(crate) fn new(name: usize, followers: usize) -> Self {
        let kind = name % KINDS.len();
        Self {
            model: Channel::new(format!("{}/c{name}", KINDS[kind].name), KINDS[kind].rules),
            kind,
            name,
            next_number: 0,
            newest: (0, 0),
            caught_up: 0,
            followers,
            due_ms: 0,
            burst: 0,
            open: 0,
        }
    }

    pub(crate) fn path(&self, location: char) -> String {
        format!("/{location}/{}/c{}", KINDS[self.kind].name, self.name)
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
    poll: Poll,
    address: SocketAddr,
    start: Instant,
    now: Moment,
    /// Time in milliseconds, subscriber, and the epoch in which it asked for the timer.
    timers: BinaryHeap<Reverse<(u64, usize, u64)>>,
}

impl Shared {
    pub(crate) fn new(address: SocketAddr, options: Options) -> Self {
        let lane = |name: usize| {
            Lane::new(name, (name..options.listeners()).step_by(options.channels).count())
        };
        Self {
            options,
            random: Random::new(options.seed),
            lanes: (0..options.channels).map(lane).collect(),
            faults: Faults::default(),
            tally: Tally::default(),
            scratch: vec![0; 64 << 10],
            finishing: false,
            poll: Poll::new().expect("there are descriptors"),
            address,
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
    pub(crate) fn open(&self, token: usize, narrow: bool) -> Link {
        Link::open(self.address, narrow, self.poll.registry(), Token(token))
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
