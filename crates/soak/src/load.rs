//! Load: the publishers and subscribers of a run, and the event loop that serves them on one
//! thread. `publisher.rs` and `subscriber.rs` decide what they do, `model.rs` what is right.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Token};
use pushserver_testkit::Daemon;

use crate::events::{Faults, Seen};
use crate::publisher::Publisher;
use crate::shared::{Options, Shared, Tally};
use crate::subscriber::Subscriber;

/// How long the last deliveries may take.
const LAST: Duration = Duration::from_secs(60);

/// A run under way.
pub struct Load {
    shared: Shared,
    subscribers: Vec<Subscriber>,
    publishers: Vec<Publisher>,
}

impl Load {
    /// Connects the subscribers to the daemon at `address` and sends their first polls.
    #[must_use]
    pub fn new(address: SocketAddr, options: Options) -> Self {
        let mut shared = Shared::new(address, options);
        let mut subscribers: Vec<Subscriber> = (0..options.subscribers)
            .map(|index| {
                Subscriber::new(index, index % options.channels, shared.random.percent(15))
            })
            .collect();
        let publishers =
            (0..options.publishers).map(|index| Publisher::new(options.subscribers + index));
        subscribers.iter_mut().for_each(|subscriber| subscriber.ask(&mut shared));
        Self { shared, subscribers, publishers: publishers.collect() }
    }

    /// Serves what is ready, then publishes what is due.
    pub fn turn(&mut self, events: &mut Events) {
        let Self { shared, subscribers, publishers } = self;
        if !shared.wait(events) {
            return;
        }
        for event in events.iter() {
            let Token(index) = event.token();
            match subscribers.get_mut(index) {
                Some(subscriber) => subscriber.ready(shared),
                None => publishers[index - subscribers.len()].ready(shared),
            }
        }
        while let Some((index, epoch)) = shared.next_due() {
            subscribers[index].wakes(epoch, shared);
        }
        for publisher in publishers {
            publisher.publish_next(shared);
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
            let late = self.subscribers.iter().find(|subscriber| !self.has_all(subscriber));
            if !busy && late.is_none() {
                return;
            }
            if begin.elapsed() > LAST {
                let path = |late: &Subscriber| self.shared.lanes[late.lane].path('s');
                let late = late.map(|late| format!("{late:?} on {}", path(late)));
                let detail = || format!("{late:?}, publishers busy: {busy}");
                self.shared.faults.note("never came", detail);
                return;
            }
        }
    }

    fn has_all(&self, subscriber: &Subscriber) -> bool {
        let model = &self.shared.lanes[subscriber.lane].model;
        model.is_at_end(subscriber.cursor) && model.unsettled() == 0
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
