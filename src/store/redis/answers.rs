//! Answers: what the scripts give back, as values. Whatever Redis sends becomes one or a
//! [`Refusal`]; never asks anything.

use std::fmt;

use super::resp::{Value, leading};
use crate::message::{Content, MessageId, Order};

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such channel.
    Missing,
    /// The deadline had passed: nothing was done.
    Late,
    /// Redis has reached its `maxmemory`.
    OutOfMemory,
    /// The node is a replica.
    ReadOnly,
    /// The node does not serve yet: it reads its data, or waits for its master.
    Loading,
    /// The node runs a script that does not end.
    Busy,
    /// A key of another type is in the way.
    WrongType,
    /// The script is not known: it goes again, with its body.
    NoScript,
    /// The user may not do this, or is not known.
    NoPermission,
    /// Any other; the words are for the log.
    Other(Box<str>),
}

impl Refusal {
    /// What an error says. Redis before 7 wraps those of scripts in words of its own.
    #[must_use]
    pub fn of(error: &[u8]) -> Self {
        let words = String::from_utf8_lossy(&error[..error.len().min(ERROR_BYTES_MAX)]);
        let mut codes = words.split([' ', '-']).filter_map(Self::of_code);
        let first = words.split(' ').next().and_then(Self::of_code);
        let wrapped = words.starts_with("ERR Error running script");
        first.or_else(|| codes.next().filter(|_| wrapped)).unwrap_or_else(|| {
            Self::Other(
                words.chars().map(|char| if char.is_control() { ' ' } else { char }).collect(),
            )
        })
    }

    /// Whether it is of the node, or of this user there, and not of what was asked: the connection
    /// is given up, and another looked for.
    #[must_use]
    pub fn is_of_the_node(&self) -> bool {
        matches!(self, Self::ReadOnly | Self::Loading | Self::Busy | Self::NoPermission)
    }

    fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "OOM" => Self::OutOfMemory,
            "READONLY" => Self::ReadOnly,
            "LOADING" | "MASTERDOWN" => Self::Loading,
            "BUSY" => Self::Busy,
            "WRONGTYPE" => Self::WrongType,
            "NOSCRIPT" => Self::NoScript,
            "NOPERM" | "NOAUTH" | "WRONGPASS" => Self::NoPermission,
            _ => return None,
        })
    }

    fn unexpected() -> Self {
        Self::Other("an answer that no script gives".into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no such channel",
            Self::Late => "too late",
            Self::OutOfMemory => "OOM: maxmemory is reached",
            Self::ReadOnly => "READONLY: the node is a replica",
            Self::Loading => "LOADING: the node does not serve yet",
            Self::Busy => "BUSY: a script does not end",
            Self::WrongType => "WRONGTYPE: a key of another type is in the way",
            Self::NoScript => "NOSCRIPT: the script is not known",
            Self::NoPermission => "NOPERM: the user may not do this",
            Self::Other(words) => words,
        })
    }
}

/// As much of an error as is looked at, bytes.
const ERROR_BYTES_MAX: usize = 500;

/// A message was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its id in its channel.
    pub id: MessageId,
    /// Its number in its second, among all of the store.
    pub number: u32,
    /// The ids of the message before it, and of the one before it that was kept; 0:0 for none.
    pub last: MessageId,
    /// See `last`.
    pub kept: MessageId,
    /// How often the channel was deleted.
    pub generation: u64,
    /// Connections that it was announced to.
    pub receivers: u64,
    /// Messages that are kept now.
    pub messages: u64,
    /// Whole seconds since a subscriber last asked.
    pub asked_ago_s: Option<u64>,
}

impl Published {
    /// From the answer to [`super::scripts::Calls::publish`].
    ///
    /// # Errors
    /// The message is not published.
    pub fn read(answer: Value) -> Result<Self, Refusal> {
        let mut fields = Fields::of(answer)?;
        let (id, number) = (fields.id()?, fields.number()?);
        Ok(Self {
            id,
            number,
            last: fields.id()?,
            kept: fields.id()?,
            generation: fields.number()?,
            receivers: fields.number()?,
            messages: fields.number()?,
            asked_ago_s: fields.maybe()?,
        })
    }
}

/// A message as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id in its channel.
    pub id: MessageId,
    /// Its number in its second, among all of the store.
    pub number: u32,
    /// The id of the kept message before it; 0:0 for none.
    pub before: MessageId,
    /// What the publisher gave.
    pub content: Content<Box<[u8]>>,
}

impl Entry {
    /// Its place in its store.
    #[must_use]
    pub fn place(&self) -> MessageId {
        MessageId { time: self.id.time, tag: self.number }
    }

    /// What its subscribers count by.
    pub(super) fn id_in(&self, order: Order) -> MessageId {
        if order == Order::Store { self.place() } else { self.id }
    }

    fn read(entry: Value) -> Result<Self, Refusal> {
        let mut parts = Fields::plain(entry)?;
        let id = parts.id()?;
        let mut fields = Fields::plain(parts.next()?)?;
        let (mut number, mut before, mut body) = (None, MessageId::default(), None);
        let mut content = Content::default();
        while let Some(field) = fields.0.next() {
            match field {
                Value::Text(name) if *name == *b"n" => number = Some(fields.number()?),
                Value::Text(name) if *name == *b"p" => before = fields.id()?,
                Value::Text(name) if *name == *b"b" => body = Some(fields.text()?),
                Value::Text(name) if *name == *b"c" => content.content_type = Some(fields.text()?),
                Value::Text(name) if *name == *b"e" => content.event = Some(fields.text()?),
                // Of a later version.
                _ => drop(fields.next()?),
            }
        }
        let (Some(number), Some(body)) = (number, body) else { return Err(Refusal::unexpected()) };
        content.body = body;
        Ok(Self { id, number, before, content })
    }
}

/// What is known of a channel when a subscriber asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Of its newest message, kept or not, or what its first must come after; 0:0 for none.
    pub last: MessageId,
    /// Of its newest message that was kept; 0:0 for none since it was deleted.
    pub kept: MessageId,
    /// How often it was deleted.
    pub generation: u64,
    /// Messages that are kept.
    pub messages: u64,
    /// The newest place in the store.
    pub newest_place: MessageId,
    /// Whether `last` is the id of a message of this channel, not of an earlier one of its name.
    pub is_published: bool,
    /// The first message from where the subscriber begins.
    pub first: Option<Entry>,
    /// Whether none that was kept before that is there any more.
    pub is_oldest: bool,
    /// Where the subscriber begins at the newest so many: their places, the newest first. Where it
    /// begins behind what may be ahead of the clock: that, or what stands for it.
    pub places: Vec<MessageId>,
}

impl Opened {
    /// From the answer to [`super::scripts::Calls::open`].
    ///
    /// # Errors
    /// There is no channel, or no answer.
    pub fn read(answer: Value) -> Result<Self, Refusal> {
        let mut fields = Fields::of(answer)?;
        Ok(Self {
            last: fields.id()?,
            kept: fields.id()?,
            generation: fields.number()?,
            messages: fields.number()?,
            newest_place: fields.id()?,
            is_published: fields.flag()?,
            first: match fields.next()? {
                Value::Null => None,
                entry => Some(Entry::read(entry)?),
            },
            is_oldest: fields.flag()?,
            places: {
                let mut places = Fields::plain(fields.next()?)?;
                std::iter::from_fn(|| (places.0.len() > 0).then(|| places.id()))
                    .collect::<Result<_, _>>()?
            },
        })
    }
}

/// What came after an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// Of the newest message, kept or not; 0:0 where Redis knows of none.
    pub last: MessageId,
    /// Of the newest message that was kept; 0:0 for none since the channel was deleted.
    pub kept: MessageId,
    /// How often the channel was deleted; 0 after Redis has lost its data.
    pub generation: u64,
    /// Whether there is such a channel.
    pub is_alive: bool,
    /// Whether more may come behind these: it is to be asked again.
    pub more: bool,
    /// The messages, oldest first.
    pub entries: Vec<Entry>,
}

impl Synced {
    /// From the answer to [`super::scripts::Calls::sync`].
    ///
    /// # Errors
    /// There is no answer.
    pub fn read(answer: Value) -> Result<Self, Refusal> {
        let mut fields = Fields::of(answer)?;
        Ok(Self {
            last: fields.id()?,
            kept: fields.id()?,
            generation: fields.number()?,
            is_alive: fields.flag()?,
            more: fields.flag()?,
            entries: Fields::plain(fields.next()?)?.0.map(Entry::read).collect::<Result<_, _>>()?,
        })
    }
}

/// What is known of a channel; of a deleted one, what was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// As in [`Opened`].
    pub last: MessageId,
    /// How often it was deleted; this time, too.
    pub generation: u64,
    /// Messages that are kept.
    pub messages: u64,
    /// Whole seconds since a subscriber last asked.
    pub asked_ago_s: Option<u64>,
    /// As in [`Opened`].
    pub is_published: bool,
}

impl Known {
    /// From the answer to [`super::scripts::Calls::info`], `put` or `delete`.
    ///
    /// # Errors
    /// There is no channel, or no answer.
    pub fn read(answer: Value) -> Result<Self, Refusal> {
        let mut fields = Fields::of(answer)?;
        Ok(Self {
            last: fields.id()?,
            generation: fields.number()?,
            messages: fields.number()?,
            asked_ago_s: fields.maybe()?,
            is_published: fields.flag()?,
        })
    }
}

/// From the answer to [`super::scripts::Calls::lease`]: the last id and how often the channel was
/// deleted.
///
/// # Errors
/// There is no channel, or no answer.
pub fn leased(answer: Value) -> Result<(MessageId, u64), Refusal> {
    let mut fields = Fields::of(answer)?;
    Ok((fields.id()?, fields.number()?))
}

/// The time on Redis' clock when a script was run, milliseconds, if this is the answer of one.
#[must_use]
pub fn time_ms(answer: &Value) -> Option<u64> {
    match answer {
        Value::List(values) => match values[..] {
            [Value::Text(_), Value::Number(time_ms), ..] => u64::try_from(time_ms).ok(),
            _ => None,
        },
        _ => None,
    }
}

/// An id `second-tag` or a place `second:number`.
pub(super) fn id(text: &[u8]) -> Option<MessageId> {
    let (time, rest) = leading(text)?;
    match (rest, leading(rest.get(1..)?)?) {
        ([b'-' | b':', ..], (tag, [])) => Some(MessageId { time, tag: tag.try_into().ok()? }),
        _ => None,
    }
}

/// The values of a list, one after the other.
struct Fields(std::vec::IntoIter<Value>);

impl Fields {
    /// Of an answer, behind its word and its time.
    fn of(answer: Value) -> Result<Self, Refusal> {
        if let Value::Error(error) = &answer {
            return Err(Refusal::of(error));
        }
        let mut fields = Self::plain(answer)?;
        let word = fields.text()?;
        fields.next()?;
        match &*word {
            b"ok" => Ok(fields),
            b"missing" => Err(Refusal::Missing),
            b"late" => Err(Refusal::Late),
            _ => Err(Refusal::unexpected()),
        }
    }

    fn plain(value: Value) -> Result<Self, Refusal> {
        match value {
            Value::List(values) => Ok(Self(values.into_iter())),
            _ => Err(Refusal::unexpected()),
        }
    }

    fn next(&mut self) -> Result<Value, Refusal> {
        self.0.next().ok_or_else(Refusal::unexpected)
    }

    fn text(&mut self) -> Result<Box<[u8]>, Refusal> {
        match self.next()? {
            Value::Text(text) => Ok(text),
            _ => Err(Refusal::unexpected()),
        }
    }

    fn id(&mut self) -> Result<MessageId, Refusal> {
        id(&self.text()?).ok_or_else(Refusal::unexpected)
    }

    /// A number, or a text of its digits.
    fn number<N: TryFrom<i64>>(&mut self) -> Result<N, Refusal> {
        let number = match self.next()? {
            Value::Number(number) => Some(number),
            Value::Text(text) => std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()),
            _ => None,
        };
        number.and_then(|number| N::try_from(number).ok()).ok_or_else(Refusal::unexpected)
    }

    /// A number; -1 for none.
    fn maybe(&mut self) -> Result<Option<u64>, Refusal> {
        let number: i64 = self.number()?;
        Ok(u64::try_from(number).ok())
    }

    fn flag(&mut self) -> Result<bool, Refusal> {
        Ok(self.number::<i64>()? != 0)
    }
}

#[cfg(test)]
mod tests;
