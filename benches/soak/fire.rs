//! Publishers and subscribers at random: one thread, one loop, any number of connections. What
//! they do is in `publisher.rs` and `subscriber.rs`; what is right is in `model.rs`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::link::Link;
use super::model::Channel;
use super::publisher::Publisher;
use super::settings::KINDS;
use super::subscriber::{Mutation, Subscriber};
use super::words::{Faults, Id, Moment, Observation, Seen};
use pushserver_testkit::Daemon;
use pushserver_testkit::Random;

/// How long the last messages may take to come.
const LAST: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) channels: usize,
    pub(crate) subscribers: usize,
    pub(crate) publishers: usize,
    /// Most deliveries a second; 0: as many as there can be.
    pub(crate) rate: u64,
    /// Spoils what subscribers saw, so that the model must complain.
    pub(crate) mutation: Option<Mutation>,
}

/// See the module.
pub(crate) struct Fire {
    pub(crate) options: Options,
    pub(crate) random: Random,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) faults: Faults,
    pub(crate) tally: Tally,
    pub(crate) scratch: Vec<u8>,
    /// No more publishing, no more mischief: all get what is left.
    pub(crate) finishing: bool,
    poll: Poll,
    address: SocketAddr,
    start: Instant,
    now: Moment,
    timers: BinaryHeap<Reverse<(u64, usize, u64)>>,
}

/// What was done.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) bytes: u64,
    pub(crate) deletes: u64,
    /// Publishes that ended before they were whole.
    pub(crate) cut: u64,
    /// Subscribers that went, politely or not, and came back with their cursor.
    pub(crate) reconnects: u64,
    /// That came back without.
    pub(crate) restarts: u64,
    /// Requests that were left alone while they waited or were answered.
    pub(crate) vanished: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
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
    pub(crate) fn path(&self, location: char) -> String {
        format!("/{location}/{}/c{}", KINDS[self.kind].name, self.name)
    }
}

impl Fire {
    pub(crate) fn new(address: SocketAddr, options: Options) -> Self {
        let lane = |name: usize| Lane {
            model: Channel::new(
                format!("{}/c{name}", KINDS[name % KINDS.len()].name),
                KINDS[name % KINDS.len()].rules,
            ),
            kind: name % KINDS.len(),
            name,
            next_number: 0,
            newest: (0, 0),
            caught_up: 0,
            followers: (name..options.subscribers).step_by(options.channels).count(),
            due_ms: 0,
            burst: 0,
            open: 0,
        };
        let mut random = Random::new(options.seed);
        let subscribers = (0..options.subscribers)
            .map(|index| Subscriber::new(index % options.channels, random.percent(15)))
            .collect();
        let mut fire = Self {
            options,
            random,
            lanes: (0..options.channels).map(lane).collect(),
            subscribers,
            publishers: (0..options.publishers).map(|_| Publisher::default()).collect(),
            faults: Faults::default(),
            tally: Tally::default(),
            scratch: vec![0; 64 << 10],
            finishing: false,
            poll: Poll::new().expect("there are descriptors"),
            address,
            start: Instant::now(),
            now: Moment::default(),
            timers: BinaryHeap::new(),
        };
        for index in 0..options.subscribers {
            fire.ask(index);
        }
        fire
    }

    /// Serves what is ready, then publishes what is due.
    pub(crate) fn turn(&mut self, events: &mut Events) {
        match self.poll.poll(events, Some(Duration::from_millis(1))) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return,
            done => done.expect("the poll lives"),
        }
        self.now.turn += 1;
        self.now.ms = self.start.elapsed().as_millis() as u64;
        for event in events.iter() {
            let Token(index) = event.token();
            match index.checked_sub(self.subscribers.len()) {
                None => self.subscriber_ready(index),
                Some(publisher) => self.publisher_ready(publisher),
            }
        }
        while let Some(Reverse((due_ms, index, epoch))) = self.timers.peek().copied()
            && due_ms <= self.now.ms
        {
            self.timers.pop();
            self.subscriber_wakes(index, epoch);
        }
        for publisher in 0..self.publishers.len() {
            self.publish_next(publisher);
        }
    }

    /// Lets everyone get what is left; what does not come is a fault.
    pub(crate) fn finish(&mut self, events: &mut Events) {
        self.finishing = true;
        let begin = Instant::now();
        loop {
            self.turn(events);
            let busy = self.publishers.iter().any(|publisher| publisher.is_busy());
            let late = (0..self.subscribers.len()).filter(|index| !self.has_all(*index)).count();
            if !busy && late == 0 {
                return;
            }
            if begin.elapsed() > LAST {
                let late = (0..self.subscribers.len()).find(|index| !self.has_all(*index));
                let detail = late.map(|index| {
                    let subscriber = &self.subscribers[index];
                    format!("{subscriber:?} on {}", self.lanes[subscriber.lane].path('s'))
                });
                self.faults.note("never came", || format!("{detail:?}, publishers busy: {busy}"));
                return;
            }
        }
    }

    fn has_all(&self, index: usize) -> bool {
        let subscriber = &self.subscribers[index];
        let model = &self.lanes[subscriber.lane].model;
        model.is_at_end(subscriber.cursor) && model.unsettled() == 0
    }

    /// Of all channels together.
    pub(crate) fn seen(&self) -> Seen {
        let mut sum = Seen::default();
        self.lanes.iter().for_each(|lane| sum.add(lane.model.seen));
        sum
    }

    /// Deletes every channel, so that none lives on because of a PUT.
    pub(crate) fn delete_all(&self, daemon: &Daemon) {
        for lane in &self.lanes {
            let request = format!("DELETE {} HTTP/1.1\r\nHost: a\r\n\r\n", lane.path('p'));
            let status = daemon.connect().send(request).answer().status;
            assert!(matches!(status, 200 | 404), "{status}");
        }
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

    pub(crate) fn wake_in(&mut self, ms: u64, subscriber: usize, epoch: u64) {
        self.timers.push(Reverse((self.now.ms + ms, subscriber, epoch)));
    }

    pub(crate) fn observe(&mut self, lane: usize, observation: Observation) {
        self.lanes[lane].model.observed(observation, &mut self.faults);
    }
}
