//! Traffic: the connections to one server, and their counts. Reads deliveries and answers, counts
//! them, polls again, and publishes what is due. Never waits.

use std::io;

use crate::channel::Channel;
use crate::clock::Clock;
use crate::dial::Dial;
use crate::lane::{Due, Lane};
use crate::plan::{Plan, Repoll};
use crate::publisher::{Answered, Job, Publisher};
use crate::reader::{Message, Received};
use crate::repolls::Repolls;
use crate::subscriber::{State, Subscriber};
use crate::tally::Faults;
use crate::transport::Transport;

/// All connections to one server, and their counts.
pub(crate) struct Traffic {
    pub(crate) dial: Dial,
    pub(crate) clock: Clock,
    transport: Transport,
    pub(crate) repoll: Repoll,
    pub(crate) channels: Vec<Channel>,
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) faults: Faults,
    /// Polls that timed out without a message; not a fault.
    pub(crate) timeouts: u64,
    /// Polls to send.
    pub(crate) repolls: Repolls,
    /// Stored messages still to fetch ([`Repoll::Stored`]).
    pub(crate) fetches_left: u64,
    /// Subscribers whose connection is being established, or whose stream is not open yet.
    pub(crate) connecting: usize,
    /// Subscribers that stopped after a fault.
    pub(crate) gone: usize,
    /// When an answer or a connection last arrived.
    pub(crate) progress_ns: u64,
    /// When the first lane's last fan-out ended; `u64::MAX` during one.
    fanout_ended_ns: u64,
    scratch: Box<[u8]>,
}

impl Traffic {
    /// The traffic of a plan, without connections.
    pub(crate) fn new(plan: &Plan, clock: Clock, dial: Dial) -> Self {
        Self {
            dial,
            clock,
            transport: plan.transport,
            repoll: plan.repoll,
            channels: Vec::new(),
            subscribers: Vec::new(),
            publishers: Vec::new(),
            lanes: Vec::new(),
            faults: Faults::default(),
            timeouts: 0,
            repolls: Repolls::default(),
            fetches_left: 0,
            connecting: 0,
            gone: 0,
            progress_ns: 0,
            fanout_ended_ns: 0,
            scratch: vec![0; 64 << 10].into_boxed_slice(),
        }
    }

    /// An event on a subscriber's connection.
    pub(crate) fn subscriber_ready(&mut self, index: usize, readable: bool, closed: bool) {
        let subscriber = &mut self.subscribers[index];
        if subscriber.state == State::Gone {
            return;
        }
        match subscriber.wire.writable() {
            Ok(false) => {}
            Ok(true) => {
                let is_open = usize::from(!self.transport.is_stream());
                self.connecting = self.connecting.saturating_sub(is_open);
                self.progress_ns = self.clock.mono_ns();
                if self.subscribers[index].state == State::Connecting {
                    self.ask(index);
                }
            }
            Err(_) => return self.subscriber_lost(index),
        }
        if readable && self.subscribers[index].wire.is_connected() {
            self.read_subscriber(index, closed);
        }
    }

    /// Sends the next poll of this subscriber, or asks for its stream.
    pub(crate) fn ask(&mut self, index: usize) {
        let subscriber = &mut self.subscribers[index];
        if subscriber.state == State::Gone {
            return;
        }
        if !subscriber.wire.is_connected() {
            subscriber.state = State::Connecting;
            return;
        }
        if let Repoll::Stored { .. } = self.repoll {
            subscriber.asked_ns = self.clock.mono_ns();
        }
        subscriber.state = State::after_request(self.transport);
        let channel = &mut self.channels[subscriber.channel as usize];
        if subscriber.wire.send(channel.subscribe_request(&subscriber.cursor)).is_err() {
            self.subscriber_lost(index);
        }
    }

    fn read_subscriber(&mut self, index: usize, closed: bool) {
        loop {
            let wire = &mut self.subscribers[index].wire;
            let count = match wire.receive(&mut self.scratch) {
                Ok(None) => return,
                Ok(Some(0)) | Err(_) => return self.subscriber_lost(index),
                Ok(Some(count)) => count,
            };
            wire.join(&self.scratch[..count]);
            // After a short read the socket is empty, unless the server has closed.
            let drained = count < self.scratch.len() && !closed;
            if !self.read_all(index, count) || drained {
                return;
            }
        }
    }

    /// Reads all that has come, `count` bytes of it fresh. `false`: the connection is not read on.
    fn read_all(&mut self, index: usize, count: usize) -> bool {
        let mut at = 0;
        loop {
            let (subscriber, fresh) = (&mut self.subscribers[index], &self.scratch[..count]);
            let reader = &mut self.channels[subscriber.channel as usize].reader;
            let unread = subscriber.wire.unread(fresh, at);
            let (received, length) = match subscriber.state {
                State::Opening => reader.open(unread),
                _ => reader.read(unread),
            };
            if received == Received::Incomplete {
                subscriber.wire.keep(fresh, at);
                return true;
            }
            at += length;
            self.received(index, received);
            if !self.subscribers[index].can_read() {
                return false;
            }
        }
    }

    /// A subscriber has received an answer, or a part of a stream.
    fn received(&mut self, index: usize, received: Received) {
        if let State::Connecting | State::Resting = self.subscribers[index].state {
            return self.spoiled(index, "an answer that was not asked for");
        }
        if received.closes() {
            self.reconnect(index);
        }
        match received {
            Received::Incomplete | Received::Nothing => {}
            Received::Message(message) => self.delivered(index, message),
            Received::Opened => {
                self.subscribers[index].state = State::Streaming;
                self.connecting = self.connecting.saturating_sub(1);
                self.progress_ns = self.clock.mono_ns();
            }
            Received::Ping => {
                let subscriber = &mut self.subscribers[index];
                let pong = self.channels[subscriber.channel as usize].reader.pong();
                if subscriber.wire.send(pong).is_err() {
                    self.subscriber_lost(index);
                }
            }
            Received::Timeout { .. } => {
                self.timeouts += 1;
                self.again(index);
            }
            Received::Refused { status } => {
                self.faults.refused(status);
                self.give_up(index);
            }
            Received::Damaged(why) => self.spoiled(index, why),
        }
    }

    fn spoiled(&mut self, index: usize, why: &'static str) {
        self.faults.damaged(why);
        self.give_up(index);
    }

    /// A subscriber has received a message.
    fn delivered(&mut self, index: usize, message: Message) {
        let now_ns = self.clock.mono_ns();
        self.progress_ns = now_ns;
        let subscriber = &mut self.subscribers[index];
        let channel = &mut self.channels[subscriber.channel as usize];
        let lane = &mut self.lanes[channel.lane];
        let sequence = message.stamp.sequence;
        subscriber.cursor = message.cursor;
        let fresh = self.faults.note(subscriber.order.note(sequence));
        if let Repoll::Stored { count } = self.repoll {
            lane.tally.deliveries += 1;
            lane.tally.latency.record(now_ns.saturating_sub(subscriber.asked_ns));
            if sequence >= count {
                subscriber.start_over();
            }
            return self.again(index);
        }
        if !fresh {
            return self.again(index);
        }
        let sent_ns = message.stamp.sent_ns;
        lane.tally.deliveries += 1;
        lane.tally.latency.record(now_ns.saturating_sub(sent_ns));
        if channel.lane > 0 && self.fanout_ended_ns >= sent_ns {
            lane.tally.during.record(now_ns.saturating_sub(sent_ns));
        }
        // The second lane's measurement must not wait for the polls of the first.
        let rests = channel.lane == 0 && matches!(self.repoll, Repoll::Soon | Repoll::AfterAll);
        if rests {
            subscriber.state = State::Resting;
            match self.repoll {
                Repoll::Soon => self.repolls.soon(index as u32, now_ns),
                _ => channel.gate.push(index as u32),
            }
        }
        if let Some(round) = channel.delivered(sequence, now_ns) {
            lane.finished(round, channel.subscribers);
            self.repolls.at_once(channel.gate.drain(..));
            // Messages of the second lane sent before this time count as `during`.
            if channel.lane == 0 {
                self.fanout_ended_ns = if lane.open_rounds == 0 { now_ns } else { u64::MAX };
            }
        }
        if !rests {
            self.again(index);
        }
    }

    /// The subscriber polls once more, unless it has a stream or there is nothing more to fetch.
    fn again(&mut self, index: usize) {
        match self.repoll {
            Repoll::Never => {}
            Repoll::Stored { .. } if self.fetches_left == 0 => {
                self.subscribers[index].state = State::Resting;
            }
            Repoll::Stored { .. } => {
                self.fetches_left -= 1;
                self.ask(index);
            }
            Repoll::AtOnce | Repoll::Soon | Repoll::AfterAll => self.ask(index),
        }
    }

    /// The connection has ended. Without a request that may happen at any time (RFC 9112 section
    /// 9.5); otherwise a stream or a held poll is lost, or a message in its answer.
    fn subscriber_lost(&mut self, index: usize) {
        let subscriber = &self.subscribers[index];
        if subscriber.wire.is_connected() && subscriber.state == State::Resting {
            return self.reconnect(index);
        }
        self.faults.resets += 1;
        self.give_up(index);
    }

    fn give_up(&mut self, index: usize) {
        let subscriber = &mut self.subscribers[index];
        let is_opening = !subscriber.wire.is_connected() || subscriber.state == State::Opening;
        self.connecting = self.connecting.saturating_sub(usize::from(is_opening));
        subscriber.state = State::Gone;
        self.gone += 1;
    }

    /// Continues on another connection, and polls as soon as that is established.
    fn reconnect(&mut self, index: usize) {
        match self.dial.subscriber(index) {
            Ok(wire) => {
                let subscriber = &mut self.subscribers[index];
                subscriber.wire = wire;
                if subscriber.state != State::Resting {
                    subscriber.state = State::Connecting;
                }
                self.connecting += 1;
            }
            Err(_) => self.give_up(index),
        }
    }

    /// Publishes every message that is due.
    pub(crate) fn publish_due(&mut self, now_ns: u64) {
        for lane in 0..self.lanes.len() {
            let ready = self.repolls.is_empty() && self.connecting == 0;
            while let Some(due) = self.lanes[lane].due(now_ns, ready) {
                self.publish(lane, due);
            }
        }
    }

    fn publish(&mut self, lane: usize, due: Due) {
        let channel = &mut self.channels[due.channel];
        let sequence = channel.publish();
        self.lanes[lane].open_answers += 1;
        if channel.subscribers > 0 {
            self.lanes[lane].open_rounds += 1;
            if lane == 0 {
                self.fanout_ended_ns = u64::MAX;
            }
        }
        let job = Job { channel: due.channel, sequence, sent_ns: due.intended_ns };
        self.publishers[due.publisher].queue.push_back(job);
        self.publish_next(due.publisher);
    }

    /// Sends the publisher's next message, if its connection is free.
    fn publish_next(&mut self, index: usize) {
        let publisher = &mut self.publishers[index];
        let Some(mut job) = publisher.next() else { return };
        let sent_ns = *job.sent_ns.get_or_insert_with(|| self.clock.mono_ns());
        let channel = &mut self.channels[job.channel];
        channel.sent(job.sequence, sent_ns);
        publisher.request.clear();
        channel.write_publish(&mut publisher.request, job.sequence, sent_ns);
        if publisher.send(job).is_err() {
            self.publisher_lost(index);
        }
    }

    /// An event on a publisher's connection.
    pub(crate) fn publisher_ready(&mut self, index: usize, readable: bool, closed: bool) {
        match self.publishers[index].wire.writable() {
            Ok(false) => {}
            Ok(true) => self.publish_next(index),
            Err(_) => return self.publisher_lost(index),
        }
        if !readable || !self.publishers[index].wire.is_connected() {
            return;
        }
        loop {
            let publisher = &mut self.publishers[index];
            let count = match publisher.wire.receive(&mut self.scratch) {
                Ok(None) => return,
                Ok(Some(0)) | Err(_) => return self.publisher_lost(index),
                Ok(Some(count)) => count,
            };
            match publisher.read(&self.scratch[..count]) {
                Answered::Incomplete => {}
                Answered::Damaged(why) => {
                    self.faults.damaged(why);
                    return self.publisher_lost(index);
                }
                Answered::Status { job, status, close } => {
                    self.answered(job, status);
                    if close && self.replace_publisher(index).is_ok() {
                        return;
                    }
                    self.publish_next(index);
                }
            }
            if count < self.scratch.len() && !closed {
                return;
            }
        }
    }

    fn answered(&mut self, job: Job, status: u16) {
        let now_ns = self.clock.mono_ns();
        self.progress_ns = now_ns;
        let lane = &mut self.lanes[self.channels[job.channel].lane];
        lane.open_answers = lane.open_answers.saturating_sub(1);
        if let 200..=202 = status {
            lane.tally.published += 1;
            lane.tally.answer.record(now_ns.saturating_sub(job.sent_ns.unwrap_or(now_ns)));
        } else {
            self.faults.refused(status);
        }
    }

    fn publisher_lost(&mut self, index: usize) {
        // A fault only with a request open: RFC 9112 section 9.5.
        self.faults.resets += u64::from(self.publishers[index].is_waiting());
        if self.publishers[index].wire.is_connected() && self.replace_publisher(index).is_err() {
            self.faults.resets += 1;
        }
    }

    /// Opens a new connection for this publisher; a message under way counts as unanswered.
    fn replace_publisher(&mut self, index: usize) -> io::Result<()> {
        let wire = self.dial.publisher(index)?;
        if let Some(job) = self.publishers[index].replace(wire) {
            let lane = &mut self.lanes[self.channels[job.channel].lane];
            lane.open_answers = lane.open_answers.saturating_sub(1);
            self.faults.unanswered += 1;
        }
        Ok(())
    }
}
