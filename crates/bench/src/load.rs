//! Load: the load generator's event loop. It connects, polls, and decides when a phase ends. Never
//! reads an answer: `traffic.rs` does.
//!
//! The loop must be faster than the servers it measures: requests are prebuilt, sockets are
//! registered once, and a delivery costs one read, one write and no allocation. A turn handles only
//! a few events, so that the loop measures the server's delays and not its own.

use std::io;
use std::time::Duration;

use mio::{Events, Poll};

use crate::channel::Channel;
use crate::clock::Clock;
use crate::dial::{Dial, Whose};
use crate::lane::{Lane, Pace};
use crate::plan::{Plan, Repoll};
use crate::progress::Progress;
use crate::publisher::Publisher;
use crate::subscriber::{State, Subscriber};
use crate::tally::Tally;
use crate::target::Target;
use crate::traffic::Traffic;

/// Events and polls handled before the loop publishes what is due and reads urgent connections.
const WORK_PER_TURN: usize = 32;
/// Connections that are established at once: well below any server's listen backlog.
const CONNECTING_MAX: usize = 64;
/// How long nothing may arrive when a subscriber is gone: then some message never arrives.
const PATIENCE_GONE_NS: u64 = 1_000_000_000;
/// A shorter wait is a busy loop, because the system waits in whole milliseconds.
const SPIN_NS: u64 = 2_000_000;
const MS: u64 = 1_000_000;

/// The event loop of a measurement.
pub(crate) struct Load {
    poll: Poll,
    pub(crate) traffic: Traffic,
    progress: Progress,
    busy: bool,
    patience_ns: u64,
    /// The number of subscribers to open on each channel.
    planned: Vec<usize>,
    /// Subscribers of the second lane: read in every turn, so that the first lane's load does not
    /// delay the second lane's measurement.
    urgent: std::ops::Range<usize>,
    /// Time spent on anything but waiting.
    pub(crate) worked_ns: u64,
}

impl Load {
    /// The channels and lanes of `plan` on `target`, without connections.
    ///
    /// # Errors
    /// The system's: no descriptor.
    pub(crate) fn new(plan: &Plan, target: &Target, run: u32, clock: Clock) -> io::Result<Self> {
        let poll = Poll::new()?;
        let dial = Dial::new(target, poll.registry().try_clone()?);
        let traffic = Traffic::new(plan, clock, dial);
        let mut load = Self {
            poll,
            traffic,
            progress: Progress::new(plan.quiet),
            busy: plan.busy,
            patience_ns: plan.patience_ns,
            planned: Vec::new(),
            urgent: 0..0,
            worked_ns: 0,
        };
        let mut publishers = 0;
        for (lane, group) in plan.groups.iter().enumerate() {
            let first = load.traffic.channels.len();
            for index in first..first + group.channels {
                let (name, expected) = (Plan::channel_name(run, index), plan.expected(run, index));
                load.traffic.channels.push(Channel::new(target, &name, lane, expected));
                let share = group.subscribers / group.channels;
                let extra = usize::from(index - first < group.subscribers % group.channels);
                load.planned.push(share + extra);
            }
            let senders = publishers..publishers + group.publishers;
            publishers = senders.end;
            let channels = first..load.traffic.channels.len();
            load.traffic.lanes.push(Lane::new(channels, senders, group.pace));
        }
        Ok(load)
    }

    /// Connects the publishers.
    ///
    /// # Errors
    /// The system's, or the server does not accept in time.
    pub(crate) fn open_publishers(&mut self) -> io::Result<()> {
        let count = self.traffic.lanes.iter().map(|lane| lane.publishers.len()).sum();
        for index in 0..count {
            let wire = self.traffic.dial.publisher(index)?;
            self.traffic.publishers.push(Publisher::new(wire));
        }
        let connected = |load: &Self| load.traffic.publishers.iter().all(|p| p.wire.is_connected());
        self.drive(connected).then_some(()).ok_or(io::ErrorKind::TimedOut.into())
    }

    /// Connects the subscribers, a few at a time. Each polls as soon as it is connected, except
    /// when the plan is to fetch stored messages.
    ///
    /// # Errors
    /// The system's, or the server does not accept in time.
    pub(crate) fn open_subscribers(&mut self) -> io::Result<()> {
        let planned = std::mem::take(&mut self.planned);
        let total: usize = planned.iter().sum();
        for (channel, count) in planned.into_iter().enumerate() {
            if self.traffic.channels[channel].lane > 0 {
                self.urgent =
                    self.traffic.subscribers.len()..self.traffic.subscribers.len() + count;
            }
            let stored = matches!(self.traffic.repoll, Repoll::Stored { .. });
            let state = if stored { State::Resting } else { State::Connecting };
            self.traffic.channels[channel].subscribers = if stored { 0 } else { count as u32 };
            for _ in 0..count {
                let wire = self.traffic.dial.subscriber(self.traffic.subscribers.len())?;
                self.traffic.subscribers.push(Subscriber::new(wire, channel as u32, state));
                self.traffic.connecting += 1;
                if self.traffic.connecting >= CONNECTING_MAX {
                    let (now_ns, open) =
                        (self.traffic.clock.mono_ns(), self.traffic.subscribers.len());
                    self.progress.show(now_ns, || format!("opening {open} of {total}"));
                    self.drive_until_connected()?;
                }
            }
        }
        self.drive_until_connected()
    }

    fn drive_until_connected(&mut self) -> io::Result<()> {
        self.drive(|load| load.traffic.connecting == 0)
            .then_some(())
            .ok_or(io::ErrorKind::TimedOut.into())
    }

    /// Publishes `rounds` messages to each channel of each lane and waits until all are delivered.
    /// `false`: some were not.
    pub(crate) fn warm_up(&mut self, rounds: u64) -> bool {
        let now_ns = self.traffic.clock.mono_ns();
        let paces: Vec<Pace> = self.traffic.lanes.iter().map(|lane| lane.pace).collect();
        for lane in &mut self.traffic.lanes {
            // As fast as answers come, but never two messages of a channel at once.
            let window = lane.publishers.len().min(lane.channels.len());
            lane.pace = Pace::Closed { window, pause: false };
            lane.start(rounds * lane.channels.len() as u64, now_ns);
        }
        let whole = self.drive(Self::is_over);
        for (lane, pace) in self.traffic.lanes.iter_mut().zip(paces) {
            lane.pace = pace;
        }
        whole
    }

    /// Runs the load for `length_ns`, or until each lane has published `messages`; then waits until
    /// all are delivered. Returns the nanoseconds from the start to the last arrival.
    pub(crate) fn run(&mut self, length_ns: u64, messages: u64) -> u64 {
        let start_ns = self.traffic.clock.mono_ns();
        for lane in &mut self.traffic.lanes {
            lane.tally = Tally::default();
            lane.start(messages, start_ns);
        }
        self.traffic.timeouts = 0;
        self.worked_ns = 0;
        if matches!(self.traffic.repoll, Repoll::Stored { .. }) {
            self.traffic.lanes.iter_mut().for_each(|lane| lane.left = 0);
            self.traffic.fetches_left = messages;
            let all = 0..self.traffic.subscribers.len() as u32;
            self.traffic.repolls.at_once(all);
        }
        let end_ns = start_ns.saturating_add(length_ns);
        self.drive(|load| load.is_over() || load.traffic.clock.mono_ns() >= end_ns);
        self.traffic.fetches_left = 0;
        self.traffic.lanes.iter_mut().for_each(|lane| lane.left = 0);
        self.drive(Self::is_over);
        self.traffic.progress_ns.saturating_sub(start_ns)
    }

    /// Serves the connections for `ms` milliseconds.
    pub(crate) fn rest(&mut self, ms: u64) {
        let end_ns = self.traffic.clock.mono_ns() + ms * MS;
        self.drive(|load| load.traffic.clock.mono_ns() >= end_ns);
    }

    /// Counts messages that did not arrive as lost. Call it once, at the end.
    pub(crate) fn settle_accounts(&mut self) {
        for lane in &self.traffic.lanes {
            self.traffic.faults.unanswered += lane.open_answers as u64;
        }
        if matches!(self.traffic.repoll, Repoll::Stored { .. }) {
            return;
        }
        for subscriber in &self.traffic.subscribers {
            let published = self.traffic.channels[subscriber.channel as usize].sequence;
            self.traffic.faults.lost += published.saturating_sub(subscriber.order.newest());
        }
    }

    /// Whether every message is published, delivered and answered, and every poll sent.
    pub(crate) fn is_over(&self) -> bool {
        let stored = matches!(self.traffic.repoll, Repoll::Stored { .. });
        self.traffic.repolls.is_empty()
            && self.traffic.lanes.iter().all(|lane| lane.left == 0 && lane.is_quiet())
            && !(stored && self.traffic.subscribers.iter().any(|s| s.state == State::Polling))
    }

    /// Runs turns until `done`. `false`: nothing has arrived for too long.
    fn drive(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        let mut events = Events::with_capacity(WORK_PER_TURN);
        self.traffic.progress_ns = self.traffic.clock.mono_ns();
        while !done(self) {
            let now_ns = self.turn(&mut events);
            let stored = matches!(self.traffic.repoll, Repoll::Stored { .. });
            if !stored
                && self.traffic.connecting == 0
                && self.traffic.lanes.iter().all(Lane::is_quiet)
            {
                self.traffic.progress_ns = now_ns;
            }
            self.show_progress(now_ns);
            let cut_ns = if self.traffic.gone > 0 { PATIENCE_GONE_NS } else { u64::MAX };
            if now_ns.saturating_sub(self.traffic.progress_ns) > self.patience_ns.min(cut_ns) {
                return false;
            }
        }
        true
    }

    fn show_progress(&mut self, now_ns: u64) {
        let lanes = &self.traffic.lanes;
        self.progress.show(now_ns, || {
            let deliveries: u64 = lanes.iter().map(|lane| lane.tally.deliveries).sum();
            let published: u64 = lanes.iter().map(|lane| lane.tally.published).sum();
            format!("{published} published, {deliveries} delivered")
        });
    }

    /// One turn of the loop; returns the time at its end.
    fn turn(&mut self, events: &mut Events) -> u64 {
        let timeout = self.timeout();
        if let Err(error) = self.poll.poll(events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            // Only an invalid epoll descriptor could cause this.
            self.traffic.faults.damaged("the event loop of the load generator failed");
            return u64::MAX;
        }
        let began_ns = self.traffic.clock.mono_ns();
        let idle = events.is_empty();
        let mut worked = !idle;
        for event in events.iter() {
            let (readable, closed) = (event.is_readable(), event.is_read_closed());
            match Whose::from(event.token()) {
                Whose::Subscriber(index) => self.traffic.subscriber_ready(index, readable, closed),
                Whose::Publisher(index) => self.traffic.publisher_ready(index, readable, closed),
            }
        }
        for _ in 0..WORK_PER_TURN {
            let Some(next) = self.traffic.repolls.next_due(began_ns, idle) else { break };
            self.traffic.ask(next);
            worked = true;
        }
        if self.traffic.repolls.is_empty() {
            self.traffic.lanes.iter_mut().for_each(|lane| lane.all_have_asked(began_ns));
        }
        for index in self.urgent.clone() {
            self.traffic.subscriber_ready(index, true, false);
        }
        // Publishers of the second lane too: a connection's next message waits for the answer.
        let urgent = self.traffic.lanes.get(1).map_or(0..0, |lane| lane.publishers.clone());
        for index in urgent {
            self.traffic.publisher_ready(index, true, false);
        }
        let now_ns = self.traffic.clock.mono_ns();
        self.traffic.publish_due(now_ns);
        if worked {
            self.worked_ns += now_ns - began_ns;
        }
        now_ns
    }

    /// How long to wait for events.
    fn timeout(&self) -> Option<Duration> {
        if self.busy || !self.traffic.repolls.is_empty() {
            return Some(Duration::ZERO);
        }
        let now_ns = self.traffic.clock.mono_ns();
        let wait_ns = match self.traffic.lanes.iter().filter_map(Lane::wakes_at).min() {
            Some(at_ns) => at_ns.saturating_sub(now_ns).min(20 * MS),
            None => 20 * MS,
        };
        let ms = wait_ns.saturating_sub(SPIN_NS) / MS;
        Some(Duration::from_millis(if wait_ns < SPIN_NS { 0 } else { ms.max(1) }))
    }
}
