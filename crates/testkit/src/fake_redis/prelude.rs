//! Prelude: what every script begins with, as `lua/prelude.lua`: its keys, its time, what is known
//! of the channel.

use pushserver::message::MessageId;
use pushserver::store::redis::resp::Value;

use super::keyspace::{Keyspace, Record};

/// How long a channel lives that was made on request, and the record of a deleted one, seconds.
pub(super) const ON_REQUEST_S: u64 = 3600;
/// A record outlives its channel by so much, seconds.
pub(super) const MARGIN_S: u64 = 60;
/// Expired messages that one script removes where some must stay.
const REMOVED_MAX: usize = 16;

/// What Redis says.
pub(super) type Error = &'static str;

/// A call of a script.
pub(super) struct Call<'c> {
    /// KEYS, then ARGV.
    pub(super) words: &'c [Box<[u8]>],
    pub(super) now_ms: u64,
    /// Whether `maxmemory` is reached.
    pub(super) is_full: bool,
    /// Connections that listen to a channel.
    pub(super) receivers: &'c dyn Fn(&[u8]) -> usize,
}

/// A script that runs.
pub(super) struct Prelude<'c> {
    pub(super) keys: &'c mut Keyspace,
    pub(super) stream: &'c [u8],
    pub(super) record: &'c [u8],
    pub(super) clock: &'c [u8],
    pub(super) timeout: u64,
    pub(super) min: usize,
    pub(super) idle: u64,
    /// ARGV from 4.
    pub(super) words: &'c [Box<[u8]>],
    pub(super) now: u64,
    pub(super) now_ms: u64,
    pub(super) is_full: bool,
    pub(super) receivers: &'c dyn Fn(&[u8]) -> usize,
    /// The record as it was found.
    pub(super) was: Record,
}

impl<'c> Prelude<'c> {
    pub(super) fn new(call: Call<'c>, keys: &'c mut Keyspace) -> Result<Self, Error> {
        let Call { words, now_ms, is_full, receivers } = call;
        let [stream, record, clock, timeout, min, idle, words @ ..] = words else {
            return Err(WORDS);
        };
        keys.expire(now_ms);
        if keys.wrong.contains(record) {
            return Err(WRONG_TYPE);
        }
        let was = keys.records.get(record).cloned().unwrap_or_default();
        Ok(Self {
            keys,
            stream,
            record,
            clock,
            timeout: number(timeout),
            min: number(min) as usize,
            idle: number(idle),
            words,
            now: now_ms / 1000,
            now_ms,
            is_full,
            receivers,
            was,
        })
    }

    /// Until when a channel lives that is asked for now.
    pub(super) fn till(&self, origin: u64) -> u64 {
        self.lives_until().max(self.now + 1 + self.idle_of(origin))
    }

    /// Writes the record, which lives until then at least.
    pub(super) fn put_record(&mut self, record: Record, till: u64) {
        let ends_ms = self.keys.records.ends_ms(self.record);
        *self.keys.records.make(self.record) = record;
        // Redis rounds what is left to seconds.
        let left = |ends_ms: u64| (ends_ms - self.now_ms + 500) / 1000;
        let extends = match ends_ms {
            None => true,
            Some(ends_ms) => ends_ms.is_some_and(|ends_ms| self.now + left(ends_ms) < till),
        };
        if extends {
            self.keys.records.end(self.record, Some(till + MARGIN_S));
        }
    }

    /// Removes what has expired; gives how many are left.
    pub(super) fn expire(&mut self) -> Result<u64, Error> {
        self.check_stream()?;
        Ok(self.remove_expired())
    }

    pub(super) fn remove_expired(&mut self) -> u64 {
        let Some(stream) = self.keys.streams.get_mut(self.stream) else { return 0 };
        if self.timeout > 0 && self.now > self.timeout + 1 {
            let kept = stream.entries.len().saturating_sub(self.min);
            let most = if self.min == 0 { kept } else { kept.min(REMOVED_MAX) };
            stream.trim_before(self.now - self.timeout, most);
        }
        stream.entries.len() as u64
    }

    pub(super) fn has_messages(&self) -> Result<bool, Error> {
        self.check_stream()?;
        let stream = self.keys.streams.get(self.stream);
        let is_there = stream.is_some_and(|stream| !stream.entries.is_empty());
        let stays = self.timeout == 0 || self.min > 0;
        Ok(is_there && (stays || self.kept().time + self.timeout >= self.now))
    }

    pub(super) fn check_stream(&self) -> Result<(), Error> {
        if self.keys.wrong.contains(self.stream) { Err(WRONG_TYPE) } else { Ok(()) }
    }

    /// The newest place in the store.
    pub(super) fn place(&self) -> Result<MessageId, Error> {
        if self.keys.wrong.contains(self.clock) {
            return Err(WRONG_TYPE);
        }
        Ok(self.keys.clocks.get(self.clock).copied().unwrap_or_default())
    }

    pub(super) fn is_alive(&self, has: bool) -> bool {
        let is_made = self.was.origin.unwrap_or(0) > 0;
        is_made && (has || self.held() > self.now || self.lives_until() > self.now)
    }

    pub(super) fn idle_of(&self, origin: u64) -> u64 {
        match origin {
            3 => self.idle.max(ON_REQUEST_S),
            2 => self.idle,
            _ => 0,
        }
    }

    pub(super) fn last(&self) -> MessageId {
        self.was.last.unwrap_or_default()
    }

    pub(super) fn kept(&self) -> MessageId {
        self.was.kept.unwrap_or_default()
    }

    pub(super) fn generation(&self) -> u64 {
        self.was.generation.unwrap_or(0)
    }

    pub(super) fn held(&self) -> u64 {
        self.was.held.unwrap_or(0)
    }

    pub(super) fn lives_until(&self) -> u64 {
        self.was.lives_until.unwrap_or(0)
    }

    pub(super) fn asked_ago(&self) -> Value {
        self.was.asked.map_or(Value::Number(-1), |asked| count(self.now.saturating_sub(asked)))
    }

    pub(super) fn known(&self, generation: u64, length: u64) -> Value {
        self.answer([
            Value::Text(spelled(self.last())),
            count(generation),
            count(length),
            self.asked_ago(),
            count(self.was.had_message.into()),
        ])
    }

    pub(super) fn answer<const N: usize>(&self, values: [Value; N]) -> Value {
        let Value::List(mut answer) = self.word("ok") else { unreachable!("it is a list") };
        answer.extend(values);
        Value::List(answer)
    }

    pub(super) fn word(&self, word: &str) -> Value {
        Value::List(vec![Value::Text(word.as_bytes().into()), count(self.now_ms)])
    }
}

/// The call is none of a store.
pub(super) const WORDS: Error = "ERR wrong number of arguments";
pub(super) const WRONG_TYPE: Error =
    "WRONGTYPE Operation against a key holding the wrong kind of value";
pub(super) const OUT_OF_MEMORY: Error = "OOM command not allowed when used memory > 'maxmemory'.";

pub(super) fn count(number: u64) -> Value {
    Value::Number(number as i64)
}

pub(super) fn text(value: impl ToString) -> Box<[u8]> {
    value.to_string().into_bytes().into()
}

pub(super) fn spelled(id: MessageId) -> Box<[u8]> {
    text(format!("{}-{}", id.time, id.tag))
}

pub(super) fn id(word: &[u8]) -> MessageId {
    let word = String::from_utf8_lossy(word);
    let (time, tag) = word.split_once(['-', ':']).expect("an id has two numbers");
    MessageId { time: time.parse().expect("digits"), tag: tag.parse().expect("digits") }
}

pub(super) fn number(word: &[u8]) -> u64 {
    String::from_utf8_lossy(word).parse().expect("a number is written in digits")
}
