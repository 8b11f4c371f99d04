//! Announcement: what Redis tells the daemons that listen to a channel, as the scripts write it.
//!
//! `M id number last kept generation stored T E B`, a line feed, then type, event name and body of
//! so many bytes; `-` for a type or event name that is not given. `F …` is the same line alone: the
//! body is too large to be sent to everybody. `D generation`: the channel was deleted.

use super::answers::id;
use super::resp::plain;
use crate::message::{Content, MessageId};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// A message was published.
    Published(Box<Announced>),
    /// The channel was deleted, for this many times.
    Deleted(u64),
}

/// A message that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Its id in its channel.
    pub id: MessageId,
    /// Its number in its second, among all of the store.
    pub number: u32,
    /// The ids of the message before it, and of the one before it that was kept; 0:0 for none. If
    /// `last` is not what the daemon has last heard of, it has missed one.
    pub last: MessageId,
    /// See `last`.
    pub kept: MessageId,
    /// How often the channel was deleted.
    pub generation: u64,
    /// Whether it is kept.
    pub is_stored: bool,
    /// What the publisher gave; `None`: it is to be read from the store.
    pub content: Option<Content<Box<[u8]>>>,
}

impl Announced {
    /// Its place in its store.
    #[must_use]
    pub fn place(&self) -> MessageId {
        MessageId { time: self.id.time, tag: self.number }
    }
}

impl Announcement {
    /// From the payload of a push; `None`: no script wrote it.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        if let Some(generation) = payload.strip_prefix(b"D ") {
            return Some(Self::Deleted(plain(generation)?));
        }
        let end = memchr::memchr(b'\n', payload)?;
        let (line, rest) = (&payload[..end], &payload[end + 1..]);
        let mut words = line.split(|byte| *byte == b' ');
        let is_full = match words.next()? {
            b"M" => true,
            b"F" => false,
            _ => return None,
        };
        let mut announced = Announced {
            id: id(words.next()?)?,
            number: u32::try_from(plain(words.next()?)?).ok()?,
            last: id(words.next()?)?,
            kept: id(words.next()?)?,
            generation: plain(words.next()?)?,
            is_stored: plain(words.next()?)? != 0,
            content: None,
        };
        let lengths = [length(words.next()?)?, length(words.next()?)?, length(words.next()?)?];
        if words.next().is_some() {
            return None;
        }
        announced.content = if is_full { Some(content(rest, lengths)?) } else { None };
        (is_full || rest.is_empty()).then(|| Self::Published(Box::new(announced)))
    }
}

fn content(
    bytes: &[u8],
    [content_type, event, body]: [Option<usize>; 3],
) -> Option<Content<Box<[u8]>>> {
    let mut rest = bytes;
    let mut take = |length: usize| {
        let (taken, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some(taken.into())
    };
    let content_type = content_type.map(|length| take(length).ok_or(())).transpose().ok()?;
    let event = event.map(|length| take(length).ok_or(())).transpose().ok()?;
    let body = take(body?)?;
    rest.is_empty().then_some(Content { content_type, event, body })
}

/// `None` within: `-`.
fn length(word: &[u8]) -> Option<Option<usize>> {
    match word {
        b"-" => Some(None),
        word => Some(Some(usize::try_from(plain(word)?).ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "1700000000-3 17 1700000000-2 1700000000-1 4 1 10 - 5\n";

    fn expected(content: Option<Content<Box<[u8]>>>) -> Announcement {
        let id = |tag| MessageId { time: 1_700_000_000, tag };
        Announcement::Published(Box::new(Announced {
            id: id(3),
            number: 17,
            last: id(2),
            kept: id(1),
            generation: 4,
            is_stored: true,
            content,
        }))
    }

    #[test]
    fn what_a_script_announces_is_read() {
        let content = Content {
            content_type: Some(b"text/plain"[..].into()),
            event: None,
            body: b"a\nb\0c"[..].into(),
        };
        let payload = format!("M {LINE}text/plaina\nb\0c");
        assert_eq!(Announcement::read(payload.as_bytes()), Some(expected(Some(content))));
        assert_eq!(Announcement::read(format!("F {LINE}").as_bytes()), Some(expected(None)));
        assert_eq!(Announcement::read(b"D 12"), Some(Announcement::Deleted(12)));
    }

    #[test]
    fn what_no_script_announces_is_nothing() {
        let whole = format!("M {LINE}text/plaina\nb\0c");
        for length in 0..whole.len() {
            assert_eq!(Announcement::read(&whole.as_bytes()[..length]), None, "{length}");
        }
        for other in
            [&whole.replace("M ", "X "), &format!("{whole}x"), &format!("F {LINE}x"), "D x"]
        {
            assert_eq!(Announcement::read(other.as_bytes()), None, "{other:?}");
        }
    }
}
