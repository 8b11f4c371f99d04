//! Feeds: every stream, with its places in the feeds of its channels. Gives nobody a message.

use std::collections::HashMap;
use std::rc::Rc;

use super::feed::{Ahead, Feed};
use super::stream::{Member, Members, Pace, Stream};
use super::subscription::{Fed, FeedKey, Followed, StreamKey};
use super::waiters::Waiters;
use crate::arena::Arena;
use crate::clock::Now;
use crate::message::{Message, MessageId};
use crate::store::{ChannelKey, StoreId, Stores, Ticket};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    streams: Arena<Stream, Followed>,
    table: Arena<Feed, Fed>,
    by_channel: HashMap<ChannelKey, FeedKey>,
    /// Of deleted channels: for those who follow the next one of that name.
    by_name: HashMap<Rc<[u8]>, FeedKey>,
    /// Of streams that do not wait for their store's answer any longer.
    pub(super) abandoned: Vec<Ticket>,
}

/// Where and when a step is taken.
pub(super) struct At<'a> {
    pub(super) stores: &'a mut Stores<Waiters>,
    pub(super) now: Now,
    /// Channels that a request is about to be held on: they stay though the last stream leaves.
    pub(super) claimed: &'a [ChannelKey],
}

impl<'a> At<'a> {
    pub(super) fn new(stores: &'a mut Stores<Waiters>, now: Now) -> Self {
        Self { stores, now, claimed: &[] }
    }
}

/// What a stream is given before something else.
pub(super) enum Earlier {
    Nothing,
    /// This message of this feed, published when the losses of its channel reached up to that id.
    Message(FeedKey, Rc<Message>, MessageId),
    /// What it has to read.
    Overrun,
}

impl Feeds {
    /// Enters a stream that `make` makes of its places on these channels.
    pub(super) fn enter(
        &mut self,
        channels: &[ChannelKey],
        make: impl FnOnce(StreamKey, Members) -> Stream,
        at: &mut At<'_>,
    ) -> StreamKey {
        let key = self.streams.next_key();
        let mut enter = |channel: &ChannelKey| {
            at.stores.set_waited(*channel, true, at.now);
            let feed = self.open(*channel, at.stores);
            let (slot, entered) = self.get_mut(feed).expect("just opened").enter(key);
            Member { feed, slot, entered }
        };
        let members = match channels {
            [one] => Members::One(enter(one)),
            several => Members::Several(several.iter().map(enter).collect()),
        };
        self.streams.insert(make(key, members))
    }

    /// Takes a stream out.
    pub(super) fn leave(&mut self, key: StreamKey, at: &mut At<'_>) -> Option<Stream> {
        let stream = self.streams.remove(key)?;
        self.abandoned.extend(stream.awaited());
        for member in stream.members.all() {
            let Some(feed) = self.table.get_mut(member.feed) else { continue };
            for (moved, slot) in feed.leave(member.slot).into_iter().flatten() {
                if let Some(moved) = self.streams.get_mut(moved) {
                    moved.members.moved(member.feed, slot);
                }
            }
            if feed.streams().is_empty()
                && let Some(channel) = feed.channel
            {
                let waited = at.claimed.contains(&channel)
                    || at.stores.kept(channel).is_some_and(|waiters| !waiters.is_empty());
                at.stores.set_waited(channel, waited, at.now);
            }
            self.drop_unused(member.feed);
        }
        Some(stream)
    }

    /// A stream's caller takes no more for now.
    pub(super) fn pause(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            self.abandoned.extend(stream.awaited());
            stream.pace = Pace::Paused;
        }
    }

    /// The feed of a channel, made if need be.
    fn open(&mut self, channel: ChannelKey, stores: &Stores<Waiters>) -> FeedKey {
        let Self { table, by_channel, .. } = self;
        *by_channel.entry(channel).or_insert_with(|| {
            let name = stores.name(channel).expect("the store has just named it");
            table.insert(Feed::new(channel, Rc::clone(name)))
        })
    }

    /// A channel was made: those who followed one of that name follow it.
    pub(super) fn adopt(&mut self, channel: ChannelKey, at: &mut At<'_>) {
        if self.by_name.is_empty() {
            return;
        }
        let feed = at.stores.name(channel).and_then(|name| self.by_name.remove(name));
        let Some((key, feed)) = feed.and_then(|key| Some((key, self.table.get_mut(key)?))) else {
            return;
        };
        feed.channel = Some(channel);
        self.by_channel.insert(channel, key);
        for stream in feed.streams() {
            if let Some(stream) = self.streams.get_mut(*stream) {
                stream.outdate();
            }
        }
        if !feed.streams().is_empty() {
            at.stores.set_waited(channel, true, at.now);
        }
    }

    /// A channel is deleted; gives its feed.
    pub(super) fn delete(&mut self, channel: ChannelKey) -> Option<FeedKey> {
        let key = self.by_channel.remove(&channel)?;
        let feed = self.table.get_mut(key)?;
        feed.channel = None;
        self.by_name.insert(Rc::clone(&feed.name), key);
        Some(key)
    }

    /// Forgets a feed that nobody follows and that has nothing under way.
    pub(super) fn drop_unused(&mut self, key: FeedKey) {
        let is_used = |feed: &Feed| !feed.streams().is_empty() || !feed.is_idle();
        if self.table.get(key).is_none_or(is_used) {
            return;
        }
        match self.table.remove(key) {
            Some(Feed { channel: Some(channel), .. }) => self.by_channel.remove(&channel),
            Some(Feed { name, .. }) => self.by_name.remove(&name),
            None => None,
        };
    }

    /// What a stream is owed of its other feeds before it is given anything of `feed` that has this
    /// id.
    pub(super) fn earlier(&self, stream: &Stream, feed: FeedKey, until: MessageId) -> Earlier {
        let Stream { members: Members::Several(all), order, cursor, .. } = stream else {
            return Earlier::Nothing;
        };
        let mut first = (until, Earlier::Nothing);
        for member in all.iter().filter(|member| member.feed != feed) {
            let Some(other) = self.get(member.feed) else { continue };
            match other.ahead(member, *order, *cursor) {
                Ahead::Message(message, lost_through) if message.id_in(*order) < first.0 => {
                    let found = Earlier::Message(member.feed, Rc::clone(message), lost_through);
                    first = (message.id_in(*order), found);
                }
                Ahead::Message(..) | Ahead::Nothing => {}
                Ahead::Overrun => return Earlier::Overrun,
            }
        }
        first.1
    }

    /// Has a stream that reads pass over what is under way of channels that were deleted: what it
    /// had to read before that is gone, and no message may come without those before it.
    pub(super) fn pass_deleted(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        for member in stream.members.all_mut() {
            if let Some(feed) = self.table.get(member.feed) {
                member.entered = member.entered.max(feed.before_deletion());
            }
        }
    }

    /// The first message that is under way to a stream.
    pub(super) fn first(&self, stream: &Stream) -> Option<(FeedKey, Rc<Message>, MessageId)> {
        let Stream { order, cursor, .. } = *stream;
        let all = stream.members.all().iter().filter_map(|member| {
            let feed = self.get(member.feed)?;
            let (message, lost_through) = feed.first_message(member, order, cursor)?;
            Some((member.feed, message, lost_through))
        });
        let (feed, message, lost_through) = all.min_by_key(|(_, one, _)| one.id_in(order))?;
        Some((feed, Rc::clone(message), lost_through))
    }

    /// Whether a stream goes on though the channel of a feed was deleted: it follows others, or has
    /// something of them under way.
    pub(super) fn go_on(&self, stream: StreamKey) -> bool {
        let Some(stream) = self.stream(stream) else { return false };
        let goes_on = |member: &Member| {
            self.get(member.feed).is_some_and(|of| {
                let ahead = of.ahead(member, stream.order, stream.cursor);
                of.channel.is_some() || !matches!(ahead, Ahead::Nothing)
            })
        };
        matches!(&stream.members, Members::Several(all) if all.iter().any(goes_on))
    }

    /// The feed of a channel, if there is one.
    pub(super) fn of(&self, channel: ChannelKey) -> Option<FeedKey> {
        // Where there are no streams nothing is hashed.
        if self.by_channel.is_empty() { None } else { self.by_channel.get(&channel).copied() }
    }

    /// The streams that follow a channel.
    pub(super) fn of_channel(&self, channel: ChannelKey) -> &[StreamKey] {
        self.of(channel).map_or(&[], |feed| self.followers(feed))
    }

    /// The streams of a feed.
    pub(super) fn followers(&self, feed: FeedKey) -> &[StreamKey] {
        self.get(feed).map_or(&[], Feed::streams)
    }

    /// Whether somebody follows the next channel of this name.
    pub(super) fn awaits(&self, name: &[u8]) -> bool {
        let feed = self.by_name.get(name).and_then(|feed| self.get(*feed));
        feed.is_some_and(|feed| !feed.streams().is_empty())
    }

    /// The streams that follow several channels of a store.
    pub(super) fn of_several(&self, store: StoreId) -> Vec<StreamKey> {
        let several = |stream: &Stream| matches!(stream.members, Members::Several(_));
        let of_store = self.streams.iter().filter(|(_, stream)| stream.store == store);
        of_store.filter(|(_, stream)| several(stream)).map(|(key, _)| key).collect()
    }

    /// The channels that a stream follows and that exist.
    pub(super) fn channels<'a>(
        &'a self,
        stream: &'a Stream,
    ) -> impl Iterator<Item = ChannelKey> + 'a {
        let feeds = stream.members.all().iter().filter_map(|member| self.get(member.feed));
        feeds.filter_map(|feed| feed.channel)
    }

    pub(super) fn stream(&self, key: StreamKey) -> Option<&Stream> {
        self.streams.get(key)
    }

    pub(super) fn stream_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.streams.get_mut(key)
    }

    /// How many streams there are.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn get(&self, key: FeedKey) -> Option<&Feed> {
        self.table.get(key)
    }

    pub(super) fn get_mut(&mut self, key: FeedKey) -> Option<&mut Feed> {
        self.table.get_mut(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = FeedKey> {
        self.table.iter().map(|(key, _)| key)
    }

    pub(super) fn shrink(&mut self) {
        self.streams.shrink();
        self.table.shrink();
        self.by_channel.shrink_to_fit();
        self.by_name.shrink_to_fit();
    }

    /// Compares the tables with each other; for tests.
    pub(super) fn check_invariants(&self) {
        for (channel, key) in &self.by_channel {
            let feed = self.table.get(*key).expect("a feed by its channel");
            assert_eq!(feed.channel, Some(*channel));
        }
        for (name, key) in &self.by_name {
            let feed = self.table.get(*key).expect("a feed by its name");
            assert_eq!((feed.channel, &feed.name), (None, name));
        }
        assert_eq!(self.by_channel.len() + self.by_name.len(), self.table.len());
        for (key, stream) in self.streams.iter() {
            for member in stream.members.all() {
                let feed = self.get(member.feed).expect("a stream's feed lives");
                assert_eq!(feed.streams()[member.slot as usize], key);
            }
        }
    }
}
