//! Feed: the streams that follow one channel, and what is under way to them, in order. Changes
//! nothing but itself, and never looks at a stream.
//!
//! One thing is under way at a time: each stream of the list has its turn with it before the next
//! begins. A feed outlives its channel: what was published before that was deleted still arrives,
//! and who follows other channels too follows the next channel of that name.

use std::collections::VecDeque;
use std::rc::Rc;

use super::api::Information;
use super::stream::{Member, Missed};
use super::subscription::{Peer, StreamKey, SubscriptionKey};
use crate::clock::Now;
use crate::message::{Cursor, Message, MessageId, Order};
use crate::store::ChannelKey;
use crate::store::memory::MESSAGE_OVERHEAD;

/// Messages that are under way to the streams of one channel: further ones are read from the store,
/// so that a fast publisher fills no memory.
const MESSAGES_MAX: usize = 64;

/// Bytes that they may have together: where a store has the next one too, and where none has.
const BYTES_MAX: usize = 1 << 20;
const BYTES_MAX_UNKEPT: usize = 16 << 20;

/// Room for so many streams is kept, be it used or not.
const ROOM_KEPT: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Feed {
    /// `None`: deleted.
    pub(super) channel: Option<ChannelKey>,
    pub(super) name: Rc<[u8]>,
    /// Those before `next` have had their turn with the first item.
    streams: Vec<StreamKey>,
    next: usize,
    /// How many of those were given it.
    given: usize,
    items: VecDeque<Item>,
    /// What the messages in `items` weigh.
    bytes: usize,
    /// Items that are under way no more.
    done: u64,
    /// How many items came before the last deletion.
    before_deletion: u64,
}

/// What is under way.
#[derive(Debug)]
pub(super) enum Item {
    /// A message, published when the channel's losses reached through `lost_through`. `kept`: by
    /// the store.
    /// `began`: as [`super::sent::Sent`] has it.
    Message { message: Rc<Message>, lost_through: MessageId, kept: bool, began: Now },
    /// Messages that are not here; those that no store keeps either.
    Overrun { missed: Missed },
    /// The channel is deleted: its streams end, then `polls` are told, then the publisher.
    Deleted { polls: Vec<SubscriptionKey>, publisher: Option<Peer>, information: Information },
    /// The daemon stops.
    Shutdown,
}

/// What comes next of a feed for one stream.
pub(super) enum Ahead<'f> {
    Nothing,
    Message(&'f Rc<Message>, MessageId),
    /// Messages that are not here.
    Overrun,
}

impl Feed {
    pub(super) fn new(channel: ChannelKey, name: Rc<[u8]>) -> Self {
        Self {
            channel: Some(channel),
            name,
            streams: Vec::new(),
            next: 0,
            given: 0,
            items: VecDeque::new(),
            bytes: 0,
            done: 0,
            before_deletion: 0,
        }
    }

    /// Enters a stream: for what is put under way from now on. Gives its place, and how many items
    /// came before it.
    pub(super) fn enter(&mut self, stream: StreamKey) -> (u32, u64) {
        if self.streams.is_empty() {
            self.streams.reserve_exact(1);
        }
        self.streams.push(stream);
        let slot = u32::try_from(self.streams.len() - 1).expect("fewer than 2^32 streams");
        (slot, self.done + self.items.len() as u64)
    }

    /// Takes out the stream at `slot`; gives those that have moved, with their new places. Whoever
    /// had a turn stays among those who had.
    pub(super) fn leave(&mut self, slot: u32) -> [Option<(StreamKey, u32)>; 2] {
        let mut hole = slot as usize;
        let mut moved = [None; 2];
        if hole < self.next {
            self.next -= 1;
            if hole != self.next {
                self.streams[hole] = self.streams[self.next];
                moved[0] = Some((self.streams[hole], slot));
            }
            hole = self.next;
        }
        self.streams.swap_remove(hole);
        let place = u32::try_from(hole).expect("as before");
        moved[1] = self.streams.get(hole).map(|stream| (*stream, place));
        let room = self.streams.capacity();
        if room > ROOM_KEPT && self.streams.len() < room / 4 {
            self.streams.shrink_to(room / 2);
        }
        moved
    }

    /// Puts something under way; gives whether nothing was.
    pub(super) fn push(&mut self, item: Item) -> bool {
        let was_idle = self.items.is_empty();
        let Item::Message { message, kept, .. } = &item else {
            if let Item::Deleted { .. } = item {
                self.before_deletion = self.done + self.items.len() as u64;
            }
            self.items.push_back(item);
            return was_idle;
        };
        let missing = || if *kept { Missed::default() } else { Missed::one(message) };
        let bytes = weight(message);
        let is_full = match kept {
            true => self.items.len() >= MESSAGES_MAX || self.bytes + bytes > BYTES_MAX,
            false => self.bytes + bytes > BYTES_MAX_UNKEPT,
        };
        let has_begun = self.items.len() == 1;
        match self.items.back_mut() {
            Some(Item::Overrun { missed }) if !has_begun => missed.add(&missing()),
            Some(_) if is_full => self.items.push_back(Item::Overrun { missed: missing() }),
            _ => {
                self.bytes += bytes;
                self.items.push_back(item);
            }
        }
        was_idle
    }

    /// What is under way now, its number, and whose turn it is; `None`: everybody's is over.
    pub(super) fn front(&self) -> Option<(&Item, u64, Option<StreamKey>)> {
        Some((self.items.front()?, self.done, self.streams.get(self.next).copied()))
    }

    /// The stream whose turn it is has had it, and perhaps was given the message.
    pub(super) fn advance(&mut self, is_given: bool) {
        self.next += 1;
        self.given += usize::from(is_given);
    }

    /// Goes on with the next item, behind one that everybody had; gives that, and how many were
    /// given it.
    pub(super) fn pop(&mut self) -> Option<(Item, usize)> {
        let item = self.items.pop_front()?;
        let given = std::mem::take(&mut self.given);
        self.next = 0;
        self.done += 1;
        if let Item::Message { message, .. } = &item {
            self.bytes -= weight(message);
        }
        Some((item, given))
    }

    /// What a stream will get of this feed, behind its cursor.
    pub(super) fn ahead(&self, member: &Member, order: Order, cursor: Cursor) -> Ahead<'_> {
        for item in self.to_come(member) {
            match item {
                Item::Message { message, lost_through, .. }
                    if cursor.wants(message.id_in(order)) =>
                {
                    return Ahead::Message(message, *lost_through);
                }
                Item::Overrun { .. } => return Ahead::Overrun,
                _ => {}
            }
        }
        Ahead::Nothing
    }

    /// As [`Feed::ahead`], for a stream that reads from the store what is not here.
    pub(super) fn first_message(
        &self,
        member: &Member,
        order: Order,
        cursor: Cursor,
    ) -> Option<(&Rc<Message>, MessageId)> {
        self.to_come(member).find_map(|item| match item {
            Item::Message { message, lost_through, .. } if cursor.wants(message.id_in(order)) => {
                Some((message, *lost_through))
            }
            _ => None,
        })
    }

    /// How many items came before the last deletion of the channel: the store has none of their
    /// messages any more, nor those before them.
    pub(super) fn before_deletion(&self) -> u64 {
        self.before_deletion
    }

    /// The items that a stream has still to have its turn with.
    fn to_come(&self, member: &Member) -> impl Iterator<Item = &Item> {
        let had = u64::from((member.slot as usize) < self.next);
        let before = member.entered.saturating_sub(self.done).max(had);
        self.items.iter().skip(usize::try_from(before).unwrap_or(usize::MAX))
    }

    pub(super) fn streams(&self) -> &[StreamKey] {
        &self.streams
    }

    pub(super) fn is_idle(&self) -> bool {
        self.items.is_empty()
    }
}

/// What a message that is under way takes, bytes.
fn weight(message: &Message) -> usize {
    message.content.bytes() + MESSAGE_OVERHEAD
}
