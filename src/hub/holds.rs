//! Holds: all held requests, polls and streams, on the channels of the stores, and what is brought
//! to them. Never asks a store for a caller.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::api::{Due, End, Information, Output, Refusal, Subscribe};
use super::fanout::{Cause, Fanouts, Step};
use super::feed::Item;
use super::feeds::At;
use super::holding::Holding;
use super::options::Concurrency;
use super::pending::{Pending, Then};
use super::streams::{Begin, Streams, Turn};
use super::subscription::{FeedKey, Hold, Peer, StreamKey, Subscription, SubscriptionKey};
use super::waiters::Waiters;
use crate::clock::Now;
use crate::jitter::Jitter;
use crate::message::{Cursor, Delivery, Message, MessageId, Order};
use crate::store::{ChannelKey, Facts, Owed, StoreId, Stores, Ticket};
use crate::wheel::Wheel;

/// A stream that reads, up to its caller's bound, takes as much of a turn as so many deliveries.
const READ_STEPS: u32 = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Holds {
    /// What channels there are, each with the polls that are held on it.
    pub(super) stores: Stores<Waiters>,
    pub(super) polls: Holding,
    pub(super) streams: Streams,
    pub(super) fanouts: Fanouts,
    /// Answers that are no fan-out's.
    pub(super) outputs: VecDeque<Output>,
    /// Questions that a store has not answered yet. A question whose caller is gone is not here.
    pub(super) asks: HashMap<Ticket, Pending>,
    /// Of polls among them; made with the first.
    ask_timeouts: Option<Box<Wheel<Ticket>>>,
    /// The last message that came without its publisher, who may be answered behind it.
    brought: Option<Brought>,
    jitter: Jitter,
    /// One of the fan-outs is that of the streams that read.
    is_reading: bool,
}

/// A message, and who waited for it: so many, and whether one of them was sent it.
#[derive(Debug, Clone, Copy)]
struct Brought {
    channel: ChannelKey,
    id: MessageId,
    held: usize,
    waiting: bool,
}

impl Holds {
    pub(super) fn new(stores: Stores<Waiters>, seed: u64, now: Now) -> Self {
        Self {
            stores,
            polls: Holding::new(now),
            streams: Streams::default(),
            fanouts: Fanouts::default(),
            outputs: VecDeque::new(),
            asks: HashMap::new(),
            ask_timeouts: None,
            brought: None,
            jitter: Jitter::new(seed),
            is_reading: false,
        }
    }

    /// Tells the publisher, and begins to deliver its message to those that wait for it.
    pub(super) fn deliver(
        &mut self,
        publisher: Option<Peer>,
        (channel, message, lost_through): (ChannelKey, Rc<Message>, MessageId),
        (facts, kept): (Facts, bool),
        now: Now,
    ) {
        self.adopt(channel, now);
        let feed = self.streams.feeds.of(channel);
        let streams = feed.map_or(0, |feed| self.streams.feeds.followers(feed).len());
        let waiters = self.stores.kept_mut(channel).expect("the store has just named it");
        let polls = waiters.len();
        let taken = match polls {
            0 => Vec::new(),
            _ => {
                let spare = self.fanouts.spare(polls);
                self.polls.take_wanting(waiters, message.id(), spare)
            }
        };
        let is_left = !waiters.is_empty() || streams > 0;
        let held = polls + streams;
        let waiting =
            !taken.is_empty() || feed.is_some_and(|feed| self.streams.want(feed, &message));
        match publisher {
            Some(peer) => {
                let information = Information::new(facts, held);
                self.outputs.push_back(Output::Published { peer, waiting, information });
            }
            None => self.brought = Some(Brought { channel, id: message.id(), held, waiting }),
        }
        if let Some(feed) = feed {
            let message = Rc::clone(&message);
            self.put_under_way(feed, Item::Message { message, lost_through, kept });
        }
        if !taken.is_empty() {
            self.fanouts.start(Cause::Message { message, channel, lost_through }, taken);
            self.stores.set_waited(channel, is_left, now);
        }
    }

    /// Tells a publisher whose message comes, or has just come, by itself.
    pub(super) fn accepted(
        &mut self,
        peer: Peer,
        (channel, id): (Option<ChannelKey>, MessageId),
        (facts, elsewhere): (Facts, bool),
    ) {
        let brought = self.brought.filter(|one| Some(one.channel) == channel && one.id == id);
        let (held, waiting) = match (brought, channel) {
            (Some(Brought { held, waiting, .. }), _) => (held, waiting),
            (None, Some(channel)) => (self.held_on(channel), self.held_on(channel) > 0),
            (None, None) => (0, false),
        };
        let information = Information::new(facts, held);
        let waiting = waiting || elsewhere;
        self.outputs.push_back(Output::Published { peer, waiting, information });
    }

    /// Who follows several channels of a store reads on there.
    pub(super) fn fall_behind(&mut self, store: StoreId) {
        self.streams.all_fall_behind(store);
        self.start_reading();
    }

    /// Puts something under way to the streams of a feed.
    fn put_under_way(&mut self, key: FeedKey, item: Item) {
        if self.streams.feeds.get_mut(key).is_some_and(|feed| feed.push(item)) {
            self.fanouts.start(Cause::Feed(key), Vec::new());
        }
    }

    /// Ends the requests held on a channel that is deleted, then tells the publisher.
    pub(super) fn delete(
        &mut self,
        publisher: Option<Peer>,
        (channel, facts, mut waiters): (ChannelKey, Facts, Waiters),
    ) {
        let streams = self.streams.feeds.of_channel(channel).len();
        let information = Information::new(facts, waiters.len() + streams);
        let polls = waiters.take(Vec::new());
        match self.streams.feeds.delete(channel) {
            Some(feed) => {
                self.put_under_way(feed, Item::Deleted { polls, publisher, information });
            }
            None => self.fanouts.start(Cause::Deleted { publisher, information }, polls),
        }
    }

    /// Holds a poll on a channel whose newest id is `last`, if the channel has a place for it.
    pub(super) fn hold(
        &mut self,
        peer: Peer,
        (channel, cursor, last): (ChannelKey, Cursor, MessageId),
        subscribe: &Subscribe,
        now: Now,
    ) {
        if !subscribe.takes_all() && !self.has_place(peer, &[channel], (cursor, subscribe), now) {
            return;
        }
        let due_ms = self.due_ms(subscribe, now);
        let waiters = self.stores.kept_mut(channel).expect("the store has just named it");
        let was_empty = waiters.is_empty();
        let key = self.polls.hold(peer, (channel, waiters), (cursor, last), due_ms);
        if was_empty {
            self.stores.set_waited(channel, true, now);
        }
        self.outputs.push_back(Output::Held { peer, hold: Hold::Poll(key) });
    }

    /// Begins a stream on channels, or holds a poll of several, if they have a place for it.
    pub(super) fn follow(
        &mut self,
        peer: Peer,
        (store, order, cursor): (StoreId, Order, Cursor),
        (channels, is_behind): (&[ChannelKey], bool),
        subscribe: &Subscribe,
        now: Now,
    ) {
        if !subscribe.takes_all() && !self.has_place(peer, channels, (cursor, subscribe), now) {
            channels.iter().for_each(|channel| self.note_waited(*channel, now));
            return;
        }
        let is_poll = subscribe.delivery != Delivery::Stream;
        let poll = is_poll.then(|| self.due_ms(subscribe, now));
        let begin = Begin { peer, store, order, cursor, channels, is_behind, poll };
        let key = self.streams.begin(begin, &mut At::new(&mut self.stores, now));
        self.outputs.push_back(Output::Held { peer, hold: Hold::Stream(key) });
        self.start_reading();
    }

    /// Whether there is a place for one more on each of these channels; makes one, or tells the
    /// caller.
    fn has_place(
        &mut self,
        peer: Peer,
        channels: &[ChannelKey],
        (cursor, subscribe): (Cursor, &Subscribe),
        now: Now,
    ) -> bool {
        let held = |channel: &ChannelKey| self.held_on(*channel);
        let most = channels.iter().map(held).max().unwrap_or(0);
        match subscribe.concurrency {
            Concurrency::First if most > 0 => {
                self.end(peer, End::Displaced, cursor);
                false
            }
            Concurrency::Last if most > 0 => {
                channels.iter().for_each(|channel| self.displace(*channel, channels, now));
                true
            }
            _ if subscribe.is_too_many(most) => {
                let refusal = Refusal::Subscribers;
                self.outputs.push_back(Output::Refused { peer, refusal });
                false
            }
            _ => true,
        }
    }

    /// Ends what is held on a channel. `claimed`: all that the request will be held on.
    fn displace(&mut self, channel: ChannelKey, claimed: &[ChannelKey], now: Now) {
        if let Some(waiters) = self.stores.kept_mut(channel) {
            for displaced in waiters.take(Vec::new()) {
                let held = self.release(displaced).expect("a listed subscription is held");
                self.end(held.peer, End::Displaced, held.cursor);
            }
        }
        let Self { streams, outputs, stores, .. } = self;
        streams.displace(channel, outputs, &mut At { claimed, ..At::new(stores, now) });
    }

    /// When the hold of a poll ends, milliseconds; `None`: never.
    fn due_ms(&mut self, subscribe: &Subscribe, now: Now) -> Option<u64> {
        (subscribe.timeout_ms != 0)
            .then(|| now.mono_ms.saturating_add(self.jitter.shorten(subscribe.timeout_ms)))
    }

    /// Ends every hold, but what is under way still arrives.
    pub(super) fn shutdown(&mut self, now: Now) {
        self.end_asks();
        let mut all = Vec::with_capacity(self.polls.len());
        let channels: Vec<ChannelKey> = self.stores.iter().map(|(channel, _)| channel).collect();
        for channel in channels {
            let waiters = self.stores.kept_mut(channel).expect("just listed");
            all.append(&mut waiters.take(Vec::new()));
            self.note_waited(channel, now);
        }
        self.fanouts.start(Cause::Shutdown, all);
        let feeds: Vec<FeedKey> = self.streams.feeds.keys().collect();
        feeds.into_iter().for_each(|feed| self.put_under_way(feed, Item::Shutdown));
    }

    /// The next answer: what is no fan-out's comes first.
    pub(super) fn poll_output(&mut self, now: Now) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            let Self { fanouts, polls, stores, .. } = self;
            match fanouts.next()? {
                Step::Waiter { waiter, cause, many_waited } => {
                    if let Some(held) = polls.release(waiter, stores) {
                        return Some(cause.told(&held, many_waited, stores));
                    }
                }
                Step::Feed(feed) => match self.step(feed, now) {
                    None => {}
                    output => return output,
                },
                Step::Read => match self.read_next(now) {
                    None => {}
                    output => return output,
                },
                Step::Done(Some((peer, information))) => {
                    return Some(Output::Deleted { peer, information });
                }
                Step::Done(None) => {}
            }
        }
    }

    /// The turn of a stream with what its feed has under way.
    fn step(&mut self, feed: FeedKey, now: Now) -> Option<Output> {
        match self.streams.step(feed, &mut At::new(&mut self.stores, now)) {
            Turn::Say(output) => return Some(output),
            Turn::Deleted { polls, publisher, information } => {
                self.fanouts.start(Cause::Deleted { publisher, information }, polls);
            }
            Turn::Done => self.fanouts.finish(),
            Turn::Passed => {}
        }
        self.start_reading();
        None
    }

    /// The turn of a stream that is behind.
    fn read_next(&mut self, now: Now) -> Option<Output> {
        let Some((stream, peer, is_poll)) = self.streams.next_reading() else {
            self.is_reading = false;
            self.fanouts.finish();
            return None;
        };
        self.fanouts.charge(READ_STEPS);
        if !is_poll {
            return Some(Output::Readable { peer, stream });
        }
        self.read(stream, now)
    }

    /// The next message of a stream that is behind; `None`: there is none for now.
    pub(super) fn read(&mut self, stream: StreamKey, now: Now) -> Option<Output> {
        match self.streams.read(stream, &mut At::new(&mut self.stores, now)) {
            Ok(output) => output,
            Err(ticket) => {
                let peer = self.streams.feeds.stream(stream)?.peer;
                self.wait(Pending::new(peer, Then::Read(stream)), ticket, now);
                None
            }
        }
    }

    /// A caller waits for a store.
    pub(super) fn wait(&mut self, mut pending: Pending, ticket: Ticket, now: Now) {
        // An answer that is sure to come may come late.
        if ticket.is_patient()
            && let Some(subscribe) = pending.waits()
            && subscribe.delivery == Delivery::LongPoll
            && subscribe.timeout_ms != 0
        {
            let due_ms = now.mono_ms.saturating_add(self.jitter.shorten(subscribe.timeout_ms));
            let timeouts = &mut self.ask_timeouts;
            let timeouts = timeouts.get_or_insert_with(|| Box::new(Wheel::new(now.mono_ms)));
            pending.timer = Some(timeouts.set(due_ms, ticket));
        }
        self.outputs.push_back(Output::Asked { peer: pending.peer, ticket });
        self.asks.insert(ticket, pending);
    }

    /// Takes out a caller that its store has answered.
    pub(super) fn take_ask(&mut self, ticket: Ticket, now: Now) -> Option<Pending> {
        let mut pending = self.asks.remove(&ticket)?;
        if let (Some(timer), Some(timeouts)) = (pending.timer, &mut self.ask_timeouts) {
            let due_ms = timeouts.due_ms(timer);
            timeouts.cancel(timer);
            // What is left of its time.
            if let (Some(due_ms), Some(subscribe)) = (due_ms, pending.waits()) {
                subscribe.timeout_ms = due_ms.saturating_sub(now.mono_ms).max(1);
            }
        }
        Some(pending)
    }

    /// Forgets a caller that no longer waits for its store.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        let timer = self.asks.remove(&ticket).and_then(|pending| pending.timer);
        if let (Some(timer), Some(timeouts)) = (timer, &mut self.ask_timeouts) {
            timeouts.cancel(timer);
        }
        self.stores.forget(ticket);
    }

    /// Ends a subscriber that waits for its store, if it still does.
    fn end_ask(&mut self, ticket: Ticket, end: End) {
        let Some(mut pending) = self.asks.remove(&ticket) else { return };
        self.stores.forget(ticket);
        if let Some(subscribe) = pending.waits() {
            let cursor = subscribe.cursor;
            self.end(pending.peer, end, cursor);
        }
    }

    /// Ends every subscriber that waits for a store whose answer may come late.
    fn end_asks(&mut self) {
        let mut all: Vec<Ticket> = self
            .asks
            .iter_mut()
            .filter_map(|(ticket, pending)| pending.waits().map(|_| *ticket))
            .filter(|ticket| ticket.is_patient())
            .collect();
        all.sort_unstable();
        all.into_iter().for_each(|ticket| self.end_ask(ticket, End::Shutdown));
        self.ask_timeouts = None;
    }

    /// Ends a stream whose subscriber is gone.
    pub(super) fn leave(&mut self, stream: StreamKey, now: Now) {
        self.streams.remove(stream, &mut At::new(&mut self.stores, now));
    }

    /// Has streams that are behind read, if there are any.
    pub(super) fn start_reading(&mut self) {
        if !self.streams.reading.is_empty() && !self.is_reading {
            self.is_reading = true;
            self.fanouts.start(Cause::Reading, Vec::new());
        }
    }

    /// A channel may just have been made: those that followed one of its name follow it.
    pub(super) fn adopt(&mut self, channel: ChannelKey, now: Now) {
        self.streams.feeds.adopt(channel, &mut At::new(&mut self.stores, now));
    }

    /// Tells a poll of several channels its message.
    pub(super) fn tell(&mut self, peer: Peer, owed: Owed) {
        let Owed { message, gap, name } = owed;
        self.outputs.push_back(Output::Feed { peer, due: Due { message, gap, name } });
    }

    /// A stream's store has answered what is the next message there.
    pub(super) fn answered(&mut self, stream: StreamKey, owed: Option<Owed>, now: Now) {
        let Self { streams, stores, outputs, .. } = self;
        outputs.extend(streams.answered(stream, owed, &mut At::new(stores, now)));
        self.start_reading();
    }

    /// Ends one poll whose time is up; gives whether there was a timer that was due.
    pub(super) fn end_timed_out(&mut self, now: Now) -> bool {
        if let Some(output) = self.streams.pop_timed_out(&mut At::new(&mut self.stores, now)) {
            self.outputs.push_back(output);
            return true;
        }
        if let Some(ticket) =
            self.ask_timeouts.as_mut().and_then(|all| all.pop_expired(now.mono_ms))
        {
            self.end_ask(ticket, End::NothingNew);
            return true;
        }
        let Some(due) = self.polls.pop_timed_out(&self.stores, now) else { return false };
        if let Some(held) = due.and_then(|due| self.release(due)) {
            self.end(held.peer, End::NothingNew, held.cursor);
            self.note_waited(held.channel, now);
        }
        true
    }

    /// When something is due, milliseconds.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        let asks = self.ask_timeouts.as_ref().and_then(|timeouts| timeouts.next_deadline());
        let holds = [self.polls.next_deadline(), self.streams.next_deadline(), asks];
        holds.into_iter().chain([self.stores.poll_timeout()]).flatten().min()
    }

    /// Timers that are set.
    pub(super) fn timers(&self) -> usize {
        let asks = self.ask_timeouts.as_ref().map_or(0, |timeouts| timeouts.len());
        asks + self.polls.timers() + self.streams.timers() + self.stores.timers()
    }

    /// Tells the store whether a channel is still waited on.
    pub(super) fn note_waited(&mut self, channel: ChannelKey, now: Now) {
        let waited = self.held_on(channel) > 0;
        self.stores.set_waited(channel, waited, now);
    }

    /// Requests held on a channel.
    pub(super) fn held_on(&self, channel: ChannelKey) -> usize {
        let polls = self.stores.kept(channel).map_or(0, Waiters::len);
        polls + self.streams.feeds.of_channel(channel).len()
    }

    pub(super) fn release(&mut self, subscription: SubscriptionKey) -> Option<Subscription> {
        self.polls.release(subscription, &mut self.stores)
    }

    pub(super) fn end(&mut self, peer: Peer, end: End, cursor: Cursor) {
        self.outputs.push_back(Output::Ended { peer, end, cursor });
    }

    pub(super) fn shrink(&mut self) {
        self.stores.shrink();
        self.polls.shrink();
        self.streams.shrink();
        self.fanouts.shrink();
        self.outputs.shrink_to(0);
    }

    pub(super) fn check_invariants(&self) {
        self.stores.check_invariants();
        self.streams.feeds.check_invariants();
        self.polls.check_invariants(&self.stores, self.fanouts.is_empty());
        for (channel, waiters) in self.stores.iter() {
            let streams = self.streams.feeds.of_channel(channel);
            let is_waited = !waiters.is_empty() || !streams.is_empty();
            assert_eq!(self.stores.is_waited(channel), is_waited, "{channel:?}");
        }
    }
}
