//! Holds: all held requests, polls and streams, on the channels of the stores, and what is brought
//! to them. Never asks a store for a caller.

use std::collections::VecDeque;
use std::rc::Rc;

use super::api::{Due, End, Information, Output, Subscribe};
use super::asking::Asking;
use super::fanout::{Cause, Fanouts, Step};
use super::feed::Item;
use super::feeds::At;
use super::holding::Holding;
use super::pending::{Pending, Then};
use super::sent::{Sent, SentLog};
use super::streams::{Streams, Turn};
use super::subscription::{FeedKey, Peer, StreamKey, Subscription, SubscriptionKey};
use super::waiters::Waiters;
use crate::clock::Now;
use crate::jitter::Jitter;
use crate::message::{Cursor, Message, MessageId};
use crate::store::{ChannelKey, Facts, Owed, StoreId, Stores, Ticket};

/// A stream that reads, up to its caller's bound, takes as much of a turn as so many deliveries.
const READ_STEPS: u32 = 4;

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
    pub(super) asking: Asking,
    pub(super) sent: SentLog,
    /// The last message that came without its publisher, who may be answered behind it.
    brought: Option<Brought>,
    /// Nothing is held any more.
    pub(super) stopping: bool,
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
            asking: Asking::default(),
            sent: SentLog::default(),
            brought: None,
            stopping: false,
            jitter: Jitter::new(seed),
            is_reading: false,
        }
    }

    /// Tells the publisher, and begins to deliver its message to those that wait for it.
    pub(super) fn deliver(
        &mut self,
        publisher: Option<Peer>,
        (channel, message, lost_through): (ChannelKey, Rc<Message>, MessageId),
        (facts, kept, began): (Facts, bool, Now),
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
                let (place, information) = (message.place(), Information::new(facts, held));
                self.outputs.push_back(Output::Published { peer, place, waiting, information });
            }
            None => self.brought = Some(Brought { channel, id: message.id(), held, waiting }),
        }
        if let Some(feed) = feed {
            let message = Rc::clone(&message);
            self.put_under_way(feed, Item::Message { message, lost_through, kept, began });
        }
        if !taken.is_empty() {
            self.fanouts.start(Cause::Message { message, channel, lost_through, began }, taken);
            self.stores.set_waited(channel, is_left, now);
        }
    }

    /// Tells a publisher whose message comes, or has just come, by itself.
    pub(super) fn accepted(
        &mut self,
        peer: Peer,
        (channel, id, place): (Option<ChannelKey>, MessageId, MessageId),
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
        self.outputs.push_back(Output::Published { peer, place, waiting, information });
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

    /// When the hold of a poll ends, milliseconds; `None`: never.
    pub(super) fn due_ms(&mut self, subscribe: &Subscribe, now: Now) -> Option<u64> {
        subscribe.due_ms(&mut self.jitter, now)
    }

    /// Ends every hold, but what is under way still arrives.
    pub(super) fn shutdown(&mut self, now: Now) {
        for ticket in self.asking.subscribers() {
            self.end_asking(ticket, End::Shutdown);
        }
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
                    fanouts.miss();
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
                Step::Sent { channel, id, to, began } => {
                    let name = || stores.name(channel).cloned();
                    self.sent.note(|| Sent { name: name(), id, to, began });
                }
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
            Turn::Sent(sent) => self.sent.note(|| sent),
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
                self.wait(Pending::new(peer, Then::Read(stream), now), ticket, now);
                None
            }
        }
    }

    /// A caller waits for a store.
    pub(super) fn wait(&mut self, pending: Pending, ticket: Ticket, now: Now) {
        self.outputs.push_back(Output::Asked { peer: pending.peer, ticket });
        self.asking.wait(pending, ticket, &mut self.jitter, now);
    }

    /// Forgets a caller that no longer waits for its store.
    pub(super) fn forget(&mut self, ticket: Ticket) -> Option<Pending> {
        self.stores.forget(ticket);
        self.asking.forget(ticket)
    }

    /// Ends a subscriber that waits for its store.
    fn end_asking(&mut self, ticket: Ticket, end: End) {
        let Some(mut pending) = self.forget(ticket) else { return };
        if let Some(&mut Subscribe { cursor, .. }) = pending.waits() {
            self.end(pending.peer, end, cursor);
        }
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
        let Owed { message, gap, name, .. } = owed;
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
        if let Some(ticket) = self.asking.pop_timed_out(now) {
            self.end_asking(ticket, End::NothingNew);
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
        let asking = self.asking.next_deadline();
        let holds = [self.polls.next_deadline(), self.streams.next_deadline(), asking];
        holds.into_iter().chain([self.stores.poll_timeout()]).flatten().min()
    }

    /// Timers that are set.
    pub(super) fn timers(&self) -> usize {
        self.asking.timers() + self.polls.timers() + self.streams.timers() + self.stores.timers()
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
