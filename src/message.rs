//! Messages and their ids. Knows neither how a message is stored nor how it is written on a wire.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// When a message was published: the unix second, and a tag that tells apart the messages of one
/// second. Sent to subscribers as `Last-Modified` and `Etag` (Basic HTTP Push Relay Protocol 3).
///
/// Ids of one channel strictly increase, over deletion, expiry and a clock set back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// Seconds since the Unix epoch.
    pub time: u64,
    /// 0 for the first message of a second.
    pub tag: u32,
}

impl MessageId {
    /// After every other.
    pub const MAX: Self = Self { time: u64::MAX, tag: u32::MAX };

    /// The id of the message that follows one with this id, published at `unix_s` (seconds).
    ///
    /// A hybrid clock: where the wall clock stands still or was set back, the tag goes on. Never in
    /// second 0, which is where a cursor stands that asks for the oldest message: a machine without
    /// a clock of its own begins there.
    #[must_use]
    pub fn next(self, unix_s: u64) -> Self {
        let unix_s = unix_s.max(1);
        if unix_s > self.time {
            return Self { time: unix_s, tag: 0 };
        }
        match self.tag.checked_add(1) {
            Some(tag) => Self { time: self.time, tag },
            None => Self { time: self.time.saturating_add(1), tag: 0 },
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.time, self.tag)
    }
}

/// Where a subscriber stands: it wants the first message after this id.
///
/// 16 bytes, as one is kept for every held request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Seconds since the Unix epoch; 0 asks for the oldest message there is.
    pub time: u64,
    /// The tag of the last message seen in that second.
    pub tag: u32,
    /// Whether the subscriber gave it; a 304 echoes only what was given.
    pub given: bool,
}

impl Cursor {
    /// Of a subscriber that gave none: the oldest message there is.
    pub const OLDEST: Self = Self { time: 0, tag: 0, given: false };

    /// The cursor of a subscriber whose last message was `id`.
    #[must_use]
    pub fn at(id: MessageId) -> Self {
        Self { time: id.time, tag: id.tag, given: true }
    }

    /// Just before `id`, so that this message is the first that is wanted.
    #[must_use]
    pub fn before(id: MessageId) -> Self {
        Self::at(match id.tag.checked_sub(1) {
            Some(tag) => MessageId { tag, ..id },
            None => MessageId { time: id.time.saturating_sub(1), tag: u32::MAX },
        })
    }

    /// The id that the wanted message comes after.
    #[must_use]
    pub fn id(self) -> MessageId {
        MessageId { time: self.time, tag: self.tag }
    }

    /// Whether it asks for the oldest message, whatever its id.
    #[must_use]
    pub fn is_oldest(self) -> bool {
        self.time == 0
    }

    /// Whether a message with this id lies behind the cursor, so that the subscriber wants it.
    #[must_use]
    pub fn wants(self, id: MessageId) -> bool {
        self.is_oldest() || id > self.id()
    }
}

/// A published message. Immutable, shared by reference count between the store and every
/// subscriber that it is on its way to.
#[derive(Debug)]
pub struct Message {
    /// When it was published: seconds since the Unix epoch, as the store's clock says.
    pub time: u64,
    /// Its place among the messages of its channel in that second.
    pub tag: u32,
    /// Its place among the messages of its store in that second.
    pub number: u32,
    /// How many messages the channel has kept before this one; for counting a gap.
    pub sequence: u64,
    /// What the publisher gave.
    pub content: Content<Box<[u8]>>,
}

impl Message {
    /// Its id in its channel.
    #[must_use]
    pub fn id(&self) -> MessageId {
        MessageId { time: self.time, tag: self.tag }
    }

    /// Its place in its store.
    #[must_use]
    pub fn place(&self) -> MessageId {
        MessageId { time: self.time, tag: self.number }
    }

    /// Its id for subscribers that count in this order.
    #[must_use]
    pub fn id_in(&self, order: Order) -> MessageId {
        match order {
            Order::Channel => self.id(),
            Order::Store => self.place(),
        }
    }
}

/// What a publisher gives. `B`: bytes, borrowed or owned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Content<B> {
    /// The `Content-Type`, byte for byte; `None` if it gave none.
    pub content_type: Option<B>,
    /// The name of the event in event streams; `None` if it gave none.
    pub event: Option<B>,
    /// The body, of any encoding.
    pub body: B,
}

impl<B: AsRef<[u8]>> Content<B> {
    /// How many bytes all this has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let len = |part: &Option<B>| part.as_ref().map_or(0, |part| part.as_ref().len());
        len(&self.content_type) + len(&self.event) + self.body.as_ref().len()
    }

    /// The same bytes, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Content<&[u8]> {
        Content {
            content_type: self.content_type.as_ref().map(AsRef::as_ref),
            event: self.event.as_ref().map(AsRef::as_ref),
            body: self.body.as_ref(),
        }
    }
}

impl<'a> From<Content<&'a [u8]>> for Content<Cow<'a, [u8]>> {
    fn from(content: Content<&'a [u8]>) -> Self {
        let Content { content_type, event, body } = content;
        Self {
            content_type: content_type.map(Into::into),
            event: event.map(Into::into),
            body: body.into(),
        }
    }
}

impl From<Content<&[u8]>> for Content<Box<[u8]>> {
    fn from(content: Content<&[u8]>) -> Self {
        Content::<Cow<'_, [u8]>>::from(content).into()
    }
}

/// What is owned is not copied: the body of a large message came in pieces, and to copy it would
/// take a turn of milliseconds.
impl From<Content<Cow<'_, [u8]>>> for Content<Box<[u8]>> {
    fn from(content: Content<Cow<'_, [u8]>>) -> Self {
        let Content { content_type, event, body } = content;
        Self {
            content_type: content_type.map(Into::into),
            event: event.map(Into::into),
            body: body.into(),
        }
    }
}

/// Where a subscriber without a cursor begins (`first_message`, and `since` in the query).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum First {
    /// At the oldest message there is.
    #[default]
    Oldest,
    /// Behind the newest one: with what is published from now on.
    Newest,
    /// At the newest so many, at least 1; of several channels together.
    Last(u32),
    /// Behind this id, which is not of second 0. Where what is published next could be up to it, as
    /// it is of a clock that is ahead of the store's: behind the second before the store's.
    Since(MessageId),
}

/// Which order the cursors of a subscriber count in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// That of its one channel: a second and a tag.
    #[default]
    Channel,
    /// That of the store, whatever the channels: a second and a number.
    Store,
}

/// How a subscriber receives its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// The request is held until there is a message.
    #[serde(rename = "long")]
    LongPoll,
    /// The request is answered at once, with 304 when there is no message.
    #[serde(rename = "interval")]
    IntervalPoll,
    /// The subscriber stays, and gets every message. No poll: no setting names it.
    #[serde(skip)]
    Stream,
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::{Content, MessageId};

    #[test]
    fn a_body_that_is_owned_becomes_a_messages_where_it_is() {
        let body = vec![b'x'; 1 << 20];
        let place = body.as_ptr();
        let content = Content { body: Cow::Owned(body), ..Content::default() };
        let kept = Content::<Box<[u8]>>::from(content);
        assert_eq!((kept.body.as_ptr(), kept.body.len()), (place, 1 << 20));
    }

    #[test]
    fn no_message_is_where_a_cursor_asks_for_the_oldest() {
        let start = MessageId { time: 0, tag: 123_456 };
        let first = start.next(0);
        assert_eq!(first, MessageId { time: 1, tag: 0 });
        assert_eq!(first.next(0), MessageId { time: 1, tag: 1 });
        assert_eq!(first.next(2), MessageId { time: 2, tag: 0 });
    }

    #[test]
    fn the_first_message_of_a_second_has_tag_0_and_the_next_1() {
        let first = MessageId::default().next(1000);
        assert_eq!(first, MessageId { time: 1000, tag: 0 });
        assert_eq!(first.next(1000), MessageId { time: 1000, tag: 1 });
        assert_eq!(first.next(1001), MessageId { time: 1001, tag: 0 });
    }

    #[test]
    fn a_clock_set_back_never_repeats_an_id() {
        let before = MessageId { time: 1000, tag: 7 };
        assert_eq!(before.next(10), MessageId { time: 1000, tag: 8 });
        let last_tag = MessageId { time: 1000, tag: u32::MAX };
        assert_eq!(last_tag.next(10), MessageId { time: 1001, tag: 0 });
    }
}
