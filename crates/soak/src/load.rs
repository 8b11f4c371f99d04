//! Load: the publishers and subscribers of a run, and the event loop that serves them on one
//! thread. `publisher.rs` and `subscriber.rs` decide what they do, `model.rs` what is right.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Token};
use pushserver_testkit::Daemon;
use pushserver_testkit::transcripts::part::Talk;

use crate::events::{Faults, Id, Seen};
use crate::fleet::Fleet;
use crate::follower::Follower;
use crate::publisher::Publisher;
use crate::shared::{Options, Shared, Tally};
use crate::subscriber::Subscriber;

/// How long the last deliveries may take.
const LAST: Duration = Duration::from_secs(60);

/// A run under way.
pub struct Load {
    shared: Shared,
    subscribers: Vec<Subscriber>,
    followers: Vec<Follower>,
    publishers: Vec<Publisher>,
    /// The daemons, if they are several.
    fleet: Option<Fleet>,
}

impl Load {
    /// Connects the subscribers to the daemon at `address` and sends their first polls.
    #[must_use]
    pub fn new(address: SocketAddr, options: Options) -> Self {
        Self::at(&[address], None, options)
    }

    /// Connects the subscribers to several daemons, which this run kills and starts again.
    #[must_use]
    pub fn on(fleet: Fleet, options: Options) -> Self {
        Self::at(&fleet.addresses(), Some(fleet), options)
    }

    fn at(addresses: &[SocketAddr], fleet: Option<Fleet>, options: Options) -> Self {
        let mut shared = Shared::new(addresses, options);
        let mut subscribers: Vec<Subscriber> = (0..options.subscribers)
            .map(|index| {
                Subscriber::new(index, index % options.channels, shared.random.percent(15))
            })
            .collect();
        let listeners = options.listeners();
        let mut followers: Vec<Follower> = (options.subscribers..listeners)
            .map(|index| {
                let by_socket = index < options.subscribers + options.sockets;
                let form = if by_socket { Talk::Frames } else { Talk::Events };
                Follower::new(index, index % options.channels, form, shared.random.percent(15))
            })
            .collect();
        let publishers = (0..options.publishers).map(|index| Publisher::new(listeners + index));
        subscribers.iter_mut().for_each(|subscriber| subscriber.ask(&mut shared));
        followers.iter_mut().for_each(|follower| follower.open(&mut shared));
        Self { shared, subscribers, followers, publishers: publishers.collect(), fleet }
    }

    /// Serves what is ready, then publishes what is due.
    pub fn turn(&mut self, events: &mut Events) {
        let Self { shared, subscribers, followers, publishers, fleet } = self;
        let (polls, listeners) = (subscribers.len(), subscribers.len() + followers.len());
        if !shared.wait(events) {
            return;
        }
        for event in events.iter() {
            let Token(index) = event.token();
            match index {
                _ if index < polls => subscribers[index].ready(shared),
                _ if index < listeners => followers[index - polls].ready(shared),
                _ => publishers[index - listeners].ready(shared),
            }
        }
        while let Some((index, epoch)) = shared.next_due() {
            match subscribers.get_mut(index) {
                Some(subscriber) => subscriber.wakes(epoch, shared),
                None => followers[index - polls].wakes(epoch, shared),
            }
        }
        for publisher in publishers {
            publisher.publish_next(shared);
        }
        if let Some(fleet) = fleet {
            fleet.turn(shared);
        }
    }

    /// Publishes no more and waits until every subscriber has all messages; a missing one is a
    /// fault.
    pub fn finish(&mut self, events: &mut Events) {
        self.shared.finishing = true;
        let begin = Instant::now();
        loop {
            self.turn(events);
            let busy = self.publishers.iter().any(|publisher| publisher.is_busy());
            let late = self.late();
            if !busy && late.is_none() {
                break;
            }
            if begin.elapsed() > LAST {
                let detail = || format!("{late:?}, publishers busy: {busy}");
                self.shared.faults.note("never came", detail);
                break;
            }
        }
        if let Some(fleet) = &mut self.fleet {
            fleet.end(&mut self.shared);
        }
    }

    /// The first client that has not got everything, in words.
    fn late(&self) -> Option<String> {
        let path = |lane: usize| self.shared.lanes[lane].path('s');
        let polls = self.subscribers.iter().find(|late| !self.has_all(late.lane, late.cursor));
        let streams = || self.followers.iter().find(|late| !self.has_all(late.lane, late.cursor));
        polls
            .map(|late| format!("{late:?} on {}", path(late.lane)))
            .or_else(|| streams().map(|late| format!("{late:?} on {}", path(late.lane))))
    }

    fn has_all(&self, lane: usize, cursor: Option<Id>) -> bool {
        let model = &self.shared.lanes[lane].model;
        model.is_at_end(cursor) && model.unsettled() == 0
    }

    /// What the clients did.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.shared.tally
    }

    /// Wrong answers.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Correct answers of all channels.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let mut sum = Seen::default();
        self.shared.lanes.iter().for_each(|lane| sum.add(lane.model.seen));
        sum
    }

    /// Deletes every channel: one that a PUT created outlives its subscribers.
    pub fn delete_all(&self, daemon: &Daemon) {
        for lane in &self.shared.lanes {
            let request = format!("DELETE {} HTTP/1.1\r\nHost: a\r\n\r\n", lane.path('p'));
            let status = daemon.connect().send(request).answer().status;
            assert!(matches!(status, 200 | 404), "{status}");
        }
    }
}
