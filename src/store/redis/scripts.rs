//! Scripts: the questions to Redis, each one atomic, and how their calls are written. What a caller
//! gives is an argument, and never becomes part of a script.
//!
//! A script is called by its hash; where Redis has forgotten it, the same call goes with its body.

use std::sync::LazyLock;

use super::keys::Keys;
use super::options::Limits;
use super::resp::{write_head, write_word};
use crate::message::{Content, Cursor, MessageId};

/// The scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Publishes a message.
    Publish,
    /// Finds the first message for a subscriber, and makes the channel for it.
    Open,
    /// Finds what came after an id.
    Sync,
    /// Deletes a channel.
    Delete,
    /// Makes a channel.
    Put,
    /// Looks at a channel.
    Info,
    /// Notes that a request is held.
    Lease,
}

/// Behind the part that all have in common.
macro_rules! body {
    ($file:literal) => {
        concat!(include_str!("lua/prelude.lua"), "\n", include_str!($file))
    };
}

impl Script {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Publish, Self::Open, Self::Sync, Self::Delete, Self::Put, Self::Info, Self::Lease];

    /// Its Lua.
    #[must_use]
    pub fn body(self) -> &'static str {
        match self {
            Self::Publish => body!("lua/publish.lua"),
            Self::Open => body!("lua/open.lua"),
            Self::Sync => body!("lua/sync.lua"),
            Self::Delete => body!("lua/delete.lua"),
            Self::Put => body!("lua/put.lua"),
            Self::Info => body!("lua/info.lua"),
            Self::Lease => body!("lua/lease.lua"),
        }
    }

    /// The hash that Redis knows it by: SHA-1 in 40 hexadecimal digits.
    #[must_use]
    pub fn hash(self) -> &'static str {
        static HASHES: LazyLock<[String; Script::ALL.len()]> = LazyLock::new(|| {
            Script::ALL.map(|script| sha1_smol::Sha1::from(script.body()).digest().to_string())
        });
        &HASHES[self as usize]
    }
}

/// A command that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// `None`: no script, and `rest` is all of it.
    script: Option<Script>,
    words: usize,
    /// The words behind the script, as they are sent.
    rest: Vec<u8>,
}

impl Command {
    /// Any command.
    #[must_use]
    pub fn plain(words: &[&[u8]]) -> Self {
        let mut command = Self { script: None, words: 0, rest: Vec::new() };
        words.iter().for_each(|word| command.word(word));
        command
    }

    /// SUBSCRIBE to what is announced of a channel. It is answered by a push, and by no reply.
    #[must_use]
    pub fn subscribe(keys: &Keys, name: &[u8]) -> Self {
        Self::plain(&[b"SUBSCRIBE", &keys.channel(name)])
    }

    /// The end of [`Command::subscribe`]; answered by a push, too.
    #[must_use]
    pub fn unsubscribe(keys: &Keys, name: &[u8]) -> Self {
        Self::plain(&[b"UNSUBSCRIBE", &keys.channel(name)])
    }

    /// Writes it; a script by its hash.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_as("EVALSHA", Script::hash, out);
    }

    /// Writes it; a script with its body.
    pub fn write_whole(&self, out: &mut Vec<u8>) {
        self.write_as("EVAL", Script::body, out);
    }

    /// Whether it calls a script, so that it can be written in two ways.
    #[must_use]
    pub fn is_script(&self) -> bool {
        self.script.is_some()
    }

    /// Bytes that it takes here, and nearly as many on the wire.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rest.capacity()
    }

    fn write_as(&self, verb: &str, of: fn(Script) -> &'static str, out: &mut Vec<u8>) {
        let script = self.script.map(of);
        write_head(self.words + script.map_or(0, |_| 2), out);
        if let Some(script) = script {
            write_word(verb.as_bytes(), out);
            write_word(script.as_bytes(), out);
        }
        out.extend_from_slice(&self.rest);
    }

    fn word(&mut self, word: &[u8]) {
        self.words += 1;
        write_word(word, &mut self.rest);
    }

    fn text(mut self, word: impl AsRef<[u8]>) -> Self {
        self.word(word.as_ref());
        self
    }

    fn number(self, number: u64) -> Self {
        self.text(number.to_string())
    }
}

/// A message to be published.
#[derive(Debug, Clone, Copy)]
pub struct Publish<'a> {
    /// What the publisher gave.
    pub content: Content<&'a [u8]>,
    /// Whether the channel is made where it is missing.
    pub create: bool,
    /// Whether the message is kept.
    pub store: bool,
    /// After this nothing is done, milliseconds of Redis' clock.
    pub deadline_ms: u64,
    /// The id is above this one; 0:0 for any.
    pub least_id: MessageId,
    /// The place in the store is above this one; 0:0 for any.
    pub least_place: MessageId,
}

/// Where a subscriber begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At the oldest message there is.
    Oldest,
    /// Behind the newest one: no message is found.
    Newest,
    /// At the newest so many, at least 1.
    Last(u32),
    /// Behind this id in its channel.
    After(MessageId),
    /// Behind this place in the store.
    AfterPlace(MessageId),
    /// As [`Begin::After`], of an id that may be ahead of Redis' clock: then behind the second
    /// before.
    Since(MessageId),
    /// The same of a place in the store.
    SincePlace(MessageId),
}

impl Begin {
    /// Behind an id that was given, if it does not ask for the oldest.
    #[must_use]
    pub fn after(cursor: Cursor) -> Self {
        if cursor.is_oldest() { Self::Oldest } else { Self::After(cursor.id()) }
    }
}

/// Writes the calls of one store.
#[derive(Debug, Clone, Copy)]
pub struct Calls<'a> {
    /// Where its channels are kept.
    pub keys: &'a Keys,
    /// How much of them.
    pub limits: Limits,
}

impl Calls<'_> {
    /// Publishes on the channel called `name`; see [`super::answers::Published`].
    #[must_use]
    pub fn publish(self, name: &[u8], publish: Publish<'_>) -> Command {
        let Publish { content, create, store, deadline_ms, least_id, least_place } = publish;
        let flags = [
            (create, "m"),
            (store, "s"),
            (content.content_type.is_some(), "t"),
            (content.event.is_some(), "e"),
        ];
        let flags: String = flags.iter().filter(|flag| flag.0).map(|flag| flag.1).collect();
        let mut command = self.call(Script::Publish, name);
        command.rest.reserve(content.bytes() + 200);
        command
            .number(self.limits.max_messages)
            .number(deadline_ms)
            .text(flags)
            .text(spelled(least_id))
            .text(spelled(least_place))
            .text(self.keys.channel(name))
            .text(content.content_type.unwrap_or_default())
            .text(content.event.unwrap_or_default())
            .text(content.body)
    }

    /// Finds the first message; see [`super::answers::Opened`]. `create`: the channel is made for a
    /// subscriber that `waits`.
    #[must_use]
    pub fn open(self, name: &[u8], begin: Begin, create: bool, waits: bool) -> Command {
        let flags = [(create, "m"), (waits, "w")];
        let flags: String = flags.iter().filter(|flag| flag.0).map(|flag| flag.1).collect();
        let command = self.call(Script::Open, name).text(flags);
        match begin {
            Begin::Oldest => command.text("oldest").text(""),
            Begin::Newest => command.text("newest").text(""),
            Begin::Last(count) => command.text("last").number(count.into()),
            Begin::After(id) => command.text("after").text(spelled(id)),
            Begin::AfterPlace(place) => command.text("place").text(spelled(place)),
            Begin::Since(id) => command.text("since_after").text(spelled(id)),
            Begin::SincePlace(place) => command.text("since_place").text(spelled(place)),
        }
    }

    /// Finds what came after an id: so many messages and bytes at most, and at least one message;
    /// see [`super::answers::Synced`].
    #[must_use]
    pub fn sync(self, name: &[u8], after: MessageId, messages_max: u32, bytes_max: u32) -> Command {
        let command = self.call(Script::Sync, name).text(spelled(after));
        command.number(messages_max.into()).number(bytes_max.into())
    }

    /// Deletes the channel, if that is not later than `deadline_ms` of Redis' clock; see
    /// [`super::answers::Known`].
    #[must_use]
    pub fn delete(self, name: &[u8], deadline_ms: u64) -> Command {
        self.call(Script::Delete, name).number(deadline_ms).text(self.keys.channel(name))
    }

    /// Makes the channel; see [`super::answers::Known`].
    #[must_use]
    pub fn put(self, name: &[u8]) -> Command {
        self.call(Script::Put, name)
    }

    /// Looks at the channel; see [`super::answers::Known`].
    #[must_use]
    pub fn info(self, name: &[u8]) -> Command {
        self.call(Script::Info, name)
    }

    /// Notes that a request is held on the channel, for [`LEASE_S`]; a subscriber has asked so many
    /// seconds ago. See [`super::answers::leased`].
    #[must_use]
    pub fn lease(self, name: &[u8], asked_ago_s: u64) -> Command {
        self.call(Script::Lease, name).number(asked_ago_s)
    }

    fn call(self, script: Script, name: &[u8]) -> Command {
        let Limits { min_messages, message_timeout_s, channel_timeout_s, .. } = self.limits;
        Command { script: Some(script), words: 0, rest: Vec::new() }
            .text("3")
            .text(self.keys.stream(name))
            .text(self.keys.record(name))
            .text(self.keys.clock())
            .number(message_timeout_s)
            .number(min_messages)
            .number(channel_timeout_s)
    }
}

/// How long a channel that a request was noted on lives without another, seconds.
pub const LEASE_S: u64 = 90;

/// The body of a message beyond which it is announced without, bytes.
pub const ANNOUNCED_BYTES_MAX: usize = 256 << 10;

fn spelled(id: MessageId) -> String {
    format!("{}-{}", id.time, id.tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_called_by_its_hash_or_with_its_body() {
        let keys = Keys::new(b"", 0);
        let limits = Limits::new((0, 0), 1, 0);
        let command = Calls { keys: &keys, limits }.info(b"a");
        let rest =
            "$1\r\n3\r\n$4\r\n{a}s\r\n$4\r\n{a}m\r\n$3\r\n{}p\r\n$1\r\n1\r\n$1\r\n0\r\n$1\r\n0\r\n";
        let (mut by_hash, mut whole) = (Vec::new(), Vec::new());
        command.write(&mut by_hash);
        command.write_whole(&mut whole);
        let (hash, body) = (Script::Info.hash(), Script::Info.body());
        assert_eq!(hash.len(), 40);
        let by_hash = String::from_utf8(by_hash).expect("it is ASCII");
        assert_eq!(by_hash, format!("*9\r\n$7\r\nEVALSHA\r\n$40\r\n{hash}\r\n{rest}"));
        let whole = String::from_utf8(whole).expect("it is ASCII");
        assert_eq!(whole, format!("*9\r\n$4\r\nEVAL\r\n${}\r\n{body}\r\n{rest}", body.len()));
    }

    #[test]
    fn scripts_and_this_file_have_the_same_limits() {
        assert!(Script::Open.body().contains(&format!("LEASE, ON_REQUEST, MARGIN = {LEASE_S}, ")));
        assert!(Script::Publish.body().contains(&format!("#body <= {ANNOUNCED_BYTES_MAX}\n")));
    }

    #[test]
    fn every_script_has_its_own_hash() {
        let hashes: std::collections::BTreeSet<_> = Script::ALL.map(Script::hash).into();
        assert_eq!(hashes.len(), Script::ALL.len());
    }
}
