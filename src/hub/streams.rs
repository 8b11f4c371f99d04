//! Streams: every request that follows channels, each given its messages in order. Never decides
//! whether a stream begins.
//!
//! A stream is a long poll that stays. A feed gives it each message that is published, unless it is
//! behind: then feeds pass it over, and it reads on from its channels' messages by its cursor until
//! it is level with them. So nothing waits here for a slow reader.

use std::collections::VecDeque;
use std::rc::Rc;

use super::api::{Due, End, Information, Output};
use super::feed::Item;
use super::feeds::{At, Earlier, Feeds};
use super::sent::Sent;
use super::stream::{Missed, Pace, Stream};
use super::subscription::{FeedKey, Peer, StreamKey, SubscriptionKey};
use crate::message::{Cursor, Message, MessageId, Order};
use crate::store::{Answer, AskAll, ChannelKey, Gap, Owed, Reply, StoreId, Ticket};
use crate::wheel::Wheel;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) feeds: Feeds,
    /// Streams that are behind and have something to read, and some that are gone or level again.
    pub(super) reading: VecDeque<StreamKey>,
    /// Of polls; made with the first.
    timeouts: Option<Box<Wheel<StreamKey>>>,
    /// The channels of the stream at hand; kept for its room.
    channels: Vec<ChannelKey>,
}

/// A stream that begins.
pub(super) struct Begin<'a> {
    pub(super) peer: Peer,
    pub(super) store: StoreId,
    pub(super) order: Order,
    pub(super) cursor: Cursor,
    pub(super) channels: &'a [ChannelKey],
    /// Messages wait for it.
    pub(super) is_behind: bool,
    /// Of a poll, which ends with its first message: when its time is up, milliseconds.
    pub(super) poll: Option<Option<u64>>,
}

/// What one step of a feed comes to.
#[derive(Debug)]
pub(super) enum Turn {
    /// Nothing is to be said; there may be more to do.
    Passed,
    Say(Output),
    /// Every stream was told that the channel is deleted: now these polls, then the publisher.
    Deleted {
        polls: Vec<SubscriptionKey>,
        publisher: Option<Peer>,
        information: Information,
    },
    /// Every stream has had its turn with a message.
    Sent(Sent),
    /// Nothing is under way any more.
    Done,
}

impl Streams {
    /// Begins a stream, or holds a poll.
    pub(super) fn begin(&mut self, begin: Begin<'_>, at: &mut At<'_>) -> StreamKey {
        let Begin { peer, store, order, cursor, channels, is_behind, poll } = begin;
        let (timeouts, now_ms) = (&mut self.timeouts, at.now.mono_ms);
        let make = |key, members| {
            let timer = poll.flatten().map(|at_ms| {
                timeouts.get_or_insert_with(|| Box::new(Wheel::new(now_ms))).set(at_ms, key)
            });
            let pace = if is_behind { Pace::Reading } else { Pace::Level };
            let is_poll = poll.is_some();
            Stream { peer, cursor, pace, members, timer, behind: None, store, order, is_poll }
        };
        let key = self.feeds.enter(channels, make, at);
        if is_behind {
            self.reading.push_back(key);
        }
        key
    }

    /// Ends a stream.
    pub(super) fn remove(&mut self, key: StreamKey, at: &mut At<'_>) -> Option<Stream> {
        let stream = self.feeds.leave(key, at)?;
        if let (Some(timer), Some(timeouts)) = (stream.timer, &mut self.timeouts) {
            timeouts.cancel(timer);
        }
        Some(stream)
    }

    /// Takes one step of a feed.
    pub(super) fn step(&mut self, key: FeedKey, at: &mut At<'_>) -> Turn {
        let Some(feed) = self.feeds.get(key) else { return Turn::Done };
        let Some((item, number, turn)) = feed.front() else {
            self.feeds.drop_unused(key);
            return Turn::Done;
        };
        let Some(of) = turn else {
            return self.next_item(key);
        };
        let stream = self.feeds.stream(of).expect("a listed stream lives");
        let member = stream.members.of(key).expect("it is in the list");
        match item {
            _ if member.entered > number => self.pass(key),
            Item::Message { message, lost_through, kept, .. } => {
                let (message, lost_through, kept) = (Rc::clone(message), *lost_through, *kept);
                self.bring(key, of, (message, lost_through, kept), at)
            }
            Item::Overrun { missed } => {
                let missed = missed.clone();
                self.fall_behind(of, missed);
                self.pass(key)
            }
            Item::Deleted { .. } => match self.pass(key) {
                passed if self.feeds.go_on(of) => passed,
                _ => self.end(of, End::Deleted, at),
            },
            Item::Shutdown => self.tell_shutdown(key, of, at),
        }
    }

    /// Every stream has had its turn with what is under way.
    fn next_item(&mut self, key: FeedKey) -> Turn {
        let Some(feed) = self.feeds.get_mut(key) else { return Turn::Passed };
        match feed.pop() {
            Some((Item::Deleted { polls, publisher, information, .. }, _)) => {
                Turn::Deleted { polls, publisher, information }
            }
            Some((Item::Message { message, began, .. }, to)) if to > 0 => {
                Turn::Sent(Sent { name: Some(Rc::clone(&feed.name)), id: message.id(), to, began })
            }
            _ => Turn::Passed,
        }
    }

    /// A stream's turn is over, and nothing was to be said.
    fn pass(&mut self, feed: FeedKey) -> Turn {
        self.advance(feed, false);
        Turn::Passed
    }

    /// A message of a feed has come to a stream.
    fn bring(
        &mut self,
        feed: FeedKey,
        key: StreamKey,
        (message, lost_through, kept): (Rc<Message>, MessageId, bool),
        at: &mut At<'_>,
    ) -> Turn {
        let stream = self.feeds.stream(key).expect("a listed stream lives");
        let id = message.id_in(stream.order);
        let wants = stream.cursor.wants(id);
        if wants && stream.pace == Pace::Level {
            match self.feeds.earlier(stream, feed, id) {
                Earlier::Nothing => {
                    self.advance(feed, true);
                    return Turn::Say(self.give(key, feed, message, lost_through, at));
                }
                Earlier::Message(of, earlier, lost_through) => {
                    return Turn::Say(self.give(key, of, earlier, lost_through, at));
                }
                Earlier::Overrun if kept => self.fall_behind(key, Missed::default()),
                Earlier::Overrun => self.fall_behind(key, Missed::one(&message)),
            }
        } else if wants && !kept {
            self.fall_behind(key, Missed::one(&message));
        }
        self.pass(feed)
    }

    fn advance(&mut self, feed: FeedKey, is_given: bool) {
        if let Some(feed) = self.feeds.get_mut(feed) {
            feed.advance(is_given);
        }
    }

    /// Gives a stream a message of a feed.
    fn give(
        &mut self,
        key: StreamKey,
        feed: FeedKey,
        message: Rc<Message>,
        lost_through: MessageId,
        at: &mut At<'_>,
    ) -> Output {
        let &Stream { cursor, order, .. } = self.feeds.stream(key).expect("a listed stream lives");
        let of = self.feeds.get(feed).expect("a feed with a stream lives");
        let name = Rc::clone(&of.name);
        let gap = match (order, of.channel) {
            (Order::Channel, _) if cursor.is_oldest() || lost_through <= cursor.id() => Gap::NONE,
            (Order::Channel, Some(channel)) => {
                at.stores.gap(channel, cursor, lost_through, message.sequence)
            }
            (Order::Channel, None) => Gap::Unknown,
            (Order::Store, _) => {
                self.note_channels(key);
                at.stores.gap_among(&self.channels, cursor, message.place())
            }
        };
        self.given(key, Due { message, gap, name }, false, at)
    }

    /// Notes what a stream is given; ends a poll. `counts_ids`: the gap of its channels may have
    /// what the stream itself knows that nobody keeps.
    fn given(&mut self, key: StreamKey, mut due: Due, counts_ids: bool, at: &mut At<'_>) -> Output {
        let stream = self.feeds.stream_mut(key).expect("a listed stream lives");
        let unkept = Gap::Messages(stream.give(&due.message));
        due.gap = if counts_ids { due.gap.or_more(unkept) } else { due.gap.and(unkept) };
        let peer = stream.peer;
        if stream.is_poll {
            self.remove(key, at);
        }
        Output::Feed { peer, due }
    }

    /// Has a stream read what its feeds do not bring; `missed`: messages that nobody keeps.
    fn fall_behind(&mut self, key: StreamKey, missed: Missed) {
        let Some(stream) = self.feeds.stream_mut(key) else { return };
        stream.miss(&missed);
        if stream.pace == Pace::Level {
            stream.pace = Pace::Reading;
            self.reading.push_back(key);
        }
    }

    /// Has every stream of several channels of a store read on.
    pub(super) fn all_fall_behind(&mut self, store: StoreId) {
        for key in self.feeds.of_several(store) {
            self.fall_behind(key, Missed::default());
        }
    }

    fn tell_shutdown(&mut self, feed: FeedKey, key: StreamKey, at: &mut At<'_>) -> Turn {
        let stream = self.feeds.stream(key).expect("a listed stream lives");
        match self.feeds.earlier(stream, feed, MessageId::MAX) {
            Earlier::Message(of, message, lost_through) if stream.pace == Pace::Level => {
                Turn::Say(self.give(key, of, message, lost_through, at))
            }
            _ => self.end(key, End::Shutdown, at),
        }
    }

    fn end(&mut self, key: StreamKey, end: End, at: &mut At<'_>) -> Turn {
        let ended = self.remove(key, at);
        ended.map_or(Turn::Passed, |Stream { peer, cursor, .. }| {
            Turn::Say(Output::Ended { peer, end, cursor })
        })
    }

    /// Whether a stream of a feed wants a message.
    pub(super) fn want(&self, feed: FeedKey, message: &Message) -> bool {
        self.feeds.followers(feed).iter().any(|key| {
            let wants = |stream: &Stream| stream.cursor.wants(message.id_in(stream.order));
            self.feeds.stream(*key).is_some_and(wants)
        })
    }

    /// Ends the streams of a channel, each with what is under way to it.
    pub(super) fn displace(
        &mut self,
        channel: ChannelKey,
        outputs: &mut VecDeque<Output>,
        at: &mut At<'_>,
    ) {
        while let Some(&key) = self.feeds.of_channel(channel).first() {
            while let Some(stream) = self.feeds.stream(key)
                && stream.pace == Pace::Level
                && let Some((feed, message, lost_through)) = self.feeds.first(stream)
            {
                outputs.push_back(self.give(key, feed, message, lost_through, at));
            }
            if let Turn::Say(output) = self.end(key, End::Displaced, at) {
                outputs.push_back(output);
            }
        }
    }

    /// The next message of a stream that is behind. `None`: it is level, or has to wait for its
    /// store, whose ticket this is.
    pub(super) fn read(
        &mut self,
        key: StreamKey,
        at: &mut At<'_>,
    ) -> Result<Option<Output>, Ticket> {
        let Some(stream) = self.feeds.stream(key).filter(|stream| stream.pace == Pace::Reading)
        else {
            return Ok(None);
        };
        let &Stream { store, order, cursor, .. } = stream;
        self.note_channels(key);
        match at.stores.ask_all(store, order, AskAll::Read(&self.channels, cursor), at.now) {
            Answer::Now(Reply::Followed { owed, .. }) => Ok(self.go_on(key, owed, at)),
            Answer::Now(_) => Ok(None),
            Answer::Later(ticket) => {
                if let Some(stream) = self.feeds.stream_mut(key) {
                    stream.await_store(ticket);
                }
                Err(ticket)
            }
        }
    }

    /// A stream's store has answered what is the next message there.
    pub(super) fn answered(
        &mut self,
        key: StreamKey,
        owed: Option<Owed>,
        at: &mut At<'_>,
    ) -> Option<Output> {
        let stream = self.feeds.stream_mut(key)?;
        if stream.pace != Pace::Asked {
            return None;
        }
        let output = if stream.takes_answer() { self.go_on(key, owed, at) } else { None };
        self.resume(key);
        output
    }

    /// Gives a stream the first of what its store and its feeds have for it.
    fn go_on(&mut self, key: StreamKey, owed: Option<Owed>, at: &mut At<'_>) -> Option<Output> {
        self.feeds.pass_deleted(key);
        let stream = self.feeds.stream(key)?;
        let order = stream.order;
        match (owed, self.feeds.first(stream)) {
            (Some(owed), under_way)
                if under_way.as_ref().is_none_or(|(_, message, _)| {
                    owed.message.id_in(order) <= message.id_in(order)
                }) =>
            {
                let Owed { message, gap, counts_ids, name } = owed;
                Some(self.given(key, Due { message, gap, name }, counts_ids, at))
            }
            (_, Some((feed, message, lost_through))) => {
                Some(self.give(key, feed, message, lost_through, at))
            }
            (_, None) => {
                self.feeds.stream_mut(key)?.pace = Pace::Level;
                None
            }
        }
    }

    /// A stream that was paused, or that stopped reading, goes on when its turn comes.
    pub(super) fn resume(&mut self, key: StreamKey) {
        if let Some(stream) = self.feeds.stream_mut(key)
            && matches!(stream.pace, Pace::Paused | Pace::Reading)
        {
            stream.pace = Pace::Reading;
            self.reading.push_back(key);
        }
    }

    /// The next stream that has something to read; whether it is a poll.
    pub(super) fn next_reading(&mut self) -> Option<(StreamKey, Peer, bool)> {
        while let Some(key) = self.reading.pop_front() {
            if let Some(Stream { pace: Pace::Reading, peer, is_poll, .. }) = self.feeds.stream(key)
            {
                return Some((key, *peer, *is_poll));
            }
        }
        None
    }

    /// Ends a poll whose time is up, if there is one; with what is under way to it: its publisher
    /// was told that somebody waits, and no store may keep it.
    pub(super) fn pop_timed_out(&mut self, at: &mut At<'_>) -> Option<Output> {
        let key = self.timeouts.as_mut()?.pop_expired(at.now.mono_ms)?;
        self.feeds.stream_mut(key)?.timer = None;
        let level = self.feeds.stream(key).filter(|stream| stream.pace == Pace::Level);
        if let Some((feed, message, lost_through)) = level.and_then(|one| self.feeds.first(one)) {
            return Some(self.give(key, feed, message, lost_through, at));
        }
        let Stream { peer, cursor, .. } = self.remove(key, at)?;
        Some(Output::Ended { peer, end: End::NothingNew, cursor })
    }

    fn note_channels(&mut self, key: StreamKey) {
        self.channels.clear();
        if let Some(stream) = self.feeds.stream(key) {
            self.channels.extend(self.feeds.channels(stream));
        }
    }

    pub(super) fn timers(&self) -> usize {
        self.timeouts.as_ref().map_or(0, |timeouts| timeouts.len())
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.timeouts.as_ref()?.next_deadline()
    }

    pub(super) fn shrink(&mut self) {
        self.feeds.shrink();
        self.reading.shrink_to(0);
        self.channels.shrink_to(0);
    }
}

#[cfg(test)]
mod tests;
