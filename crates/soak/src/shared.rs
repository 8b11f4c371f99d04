//! Shared: what all publishers and subscribers of a run have in common: channels, chance, time,
//! the poll, and what came of it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use pushserver_testkit::Random;

use crate::events::{Faults, Id, Moment, Observation};
use crate::link::Link;
use crate::model::Channel;
use crate::settings::KINDS;

/// A way in which a subscriber could have been served wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// A message did not come.
    Lost,
    /// A message came twice.
    Repeated,
    /// A message came before an older one.
    Reordered,
    /// A message came with other bytes.
    Corrupt,
    /// A gap was told that was none, or another one.
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

/// What a run is.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Of all chance.
    pub seed: u64,
    /// How many, of all kinds.
    pub channels: usize,
    /// How many connections poll.
    pub subscribers: usize,
    /// How many connections publish.
    pub publishers: usize,
    /// Most deliveries a second; 0: as many as there can be.
    pub rate: u64,
    /// Spoils what subscribers saw, so that the model must complain.
    pub mutation: Option<Mutation>,
}

/// What was done.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Messages that were acknowledged.
    pub published: u64,
    /// Messages that subscribers got.
    pub delivered: u64,
    /// Of their bodies.
    pub bytes: u64,
    /// Channels that were deleted.
    pub deletes: u64,
    /// Publishes that ended before they were whole.
    pub cut: u64,
    /// Subscribers that went, politely or not, and came back with their cursor.
    pub reconnects: u64,
    /// That came back without.
    pub restarts: u64,
    /// Requests that were left alone while they waited or were answered.
    pub vanished: u64,
}

impl Tally {
    /// Adds what another run did.
    pub fn add(&mut self, other: Self) {
        self.published += other.published;
        self.delivered += other.delivered;
        self.bytes += other.bytes;
        self.deletes += other.deletes;
        self.cut += other.cut;
        self.reconnects += other.reconnects;
        self.restarts += other.restarts;
        self.vanished += other.vanished;
    }
}

/// A channel and its pace.
pub(crate) struct Lane {
    pub(crate) model: Channel,
    pub(crate) kind: usize,
    pub(crate) name: usize,
    pub(crate) next_number: u64,
    pub(crate) newest: Id,
    /// Subscribers that have the newest message.
    pub(crate) caught_up: usize,
    pub(crate) followers: usize,
    /// Not before this time, unless enough have caught up.
    pub(crate) due_ms: u64,
    /// Messages that follow at once.
    pub(crate) burst: u64,
    pub(crate) open: usize,
}

impl Lane {
    /// The channel with this number; `followers`: how many subscribe to it.
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

/// See the module.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) random: Random,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) faults: Faults,
    pub(crate) tally: Tally,
    /// For what is read; kept for its room.
    pub(crate) scratch: Vec<u8>,
    /// No more publishing, no more misdeeds: all get what is left.
    pub(crate) finishing: bool,
    poll: Poll,
    address: SocketAddr,
    start: Instant,
    now: Moment,
    /// When, which subscriber, in which of its epochs.
    timers: BinaryHeap<Reverse<(u64, usize, u64)>>,
}

impl Shared {
    pub(crate) fn new(address: SocketAddr, options: Options) -> Self {
        let lane = |name: usize| {
            Lane::new(name, (name..options.subscribers).step_by(options.channels).count())
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

    /// Waits for what is ready, a millisecond at most; gives whether there is anything to look at.
    pub(crate) fn wait(&mut self, events: &mut Events) -> bool {
        match self.poll.poll(events, Some(Duration::from_millis(1))) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return false,
            done => done.expect("the poll lives"),
        }
        self.now.turn += 1;
        self.now.ms = self.start.elapsed().as_millis() as u64;
        true
    }

    /// The moment of what is sent or read now; no other is the same.
    pub(crate) fn moment(&mut self) -> Moment {
        self.now.tick += 1;
        self.now
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now.ms
    }

    /// Whether more may be delivered now.
    pub(crate) fn is_within_rate(&self) -> bool {
        let rate = self.options.rate;
        rate == 0 || self.tally.delivered * 1000 < rate * (self.now.ms + 20)
    }

    /// A connection; `token`: of a subscriber or, after those, of a publisher.
    pub(crate) fn open(&self, token: usize, narrow: bool) -> Link {
        Link::open(self.address, narrow, self.poll.registry(), Token(token))
    }

    /// Has a subscriber woken in so many milliseconds, if it is in the same epoch then.
    pub(crate) fn wake_in(&mut self, ms: u64, subscriber: usize, epoch: u64) {
        self.timers.push(Reverse((self.now.ms + ms, subscriber, epoch)));
    }

    pub(crate) fn observe(&mut self, lane: usize, observation: Observation) {
        self.lanes[lane].model.observed(observation, &mut self.faults);
    }

    /// A subscriber that is to be woken by now, and the epoch in which it asked for that.
    pub(crate) fn next_due(&mut self) -> Option<(usize, u64)> {
        let Reverse((due_ms, index, epoch)) = self.timers.peek().copied()?;
        (due_ms <= self.now.ms).then(|| self.timers.pop())?;
        Some((index, epoch))
    }
}
