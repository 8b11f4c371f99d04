//! Scripts: the questions to Redis, each one atomic, and how their calls are written. What a caller
//! gives is an argument, and never becomes part of a script.
//!
//! A script is called by its hash; where Redis has forgotten it, the same call goes with its body.

use std::sync::LazyLock;

use super::keys::{Keys, escaped};
use super::options::Limits;
use super::resp::{DIGITS, digits, write_head, write_number, write_pieces, write_word};
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
        let head = self.head();
        &head[head.len() - 42..head.len() - 2]
    }

    /// How a call of it by its hash begins, behind the number of words.
    fn head(self) -> &'static str {
        static HEADS: LazyLock<[String; Script::ALL.len()]> = LazyLock::new(|| {
            Script::ALL.map(|script| {
                let hash = sha1_smol::Sha1::from(script.body()).digest();
                format!("$7\r\nEVALSHA\r\n$40\r\n{hash}\r\n")
            })
        });
        &HEADS[self as usize]
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
        let head = self.script.map_or("", Script::head);
        out.reserve(self.rest.len() + head.len() + 16);
        self.write_words(out);
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&self.rest);
    }

    /// Writes it; a script with its body.
    pub fn write_whole(&self, out: &mut Vec<u8>) {
        self.write_words(out);
        if let Some(script) = self.script {
            write_word(b"EVAL", out);
            write_word(script.body().as_bytes(), out);
        }
        out.extend_from_slice(&self.rest);
    }

    fn write_words(&self, out: &mut Vec<u8>) {
        write_head(self.words + if self.is_script() { 2 } else { 0 }, out);
    }

    /// Whether it calls a script, so that it can be written in two ways.
    #[must_use]
    pub fn is_script(&self) -> bool {
        self.script.is_some()
    }

    pub(super) fn script(&self) -> Option<Script> {
        self.script
    }

    /// Bytes that it takes here, and nearly as many on the wire.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rest.capacity()
    }

    fn word(&mut self, word: &[u8]) {
        self.words += 1;
        write_word(word, &mut self.rest);
    }

    fn text(mut self, word: impl AsRef<[u8]>) -> Self {
        self.word(word.as_ref());
        self
    }

    fn number(mut self, number: u64) -> Self {
        self.words += 1;
        write_number(number, &mut self.rest);
        self
    }

    fn id(self, id: MessageId) -> Self {
        if id == MessageId::default() {
            return self.text("0-0");
        }
        let (mut second, mut tag) = (DIGITS, DIGITS);
        self.pieces(&[digits(id.time, &mut second), b"-", digits(id.tag.into(), &mut tag)])
    }

    /// The letters of flags that are set, as one word.
    fn flags<const N: usize>(self, flags: [(bool, &str); N]) -> Self {
        self.pieces(&flags.map(|(is_set, letter)| if is_set { letter.as_bytes() } else { b"" }))
    }

    fn pieces(mut self, pieces: &[&[u8]]) -> Self {
        self.words += 1;
        write_pieces(pieces, &mut self.rest);
        self
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
        self.call_with(Script::Publish, name, content.bytes() + name.len() + 160)
            .number(self.limits.max_messages)
            .number(deadline_ms)
            .flags(flags)
            .id(least_id)
            .id(least_place)
            .pieces(&self.keys.channel_of(&escaped(name)))
            .text(content.content_type.unwrap_or_default())
            .text(content.event.unwrap_or_default())
            .text(content.body)
    }

    /// Finds the first message; see [`super::answers::Opened`]. `create`: the channel is made for a
    /// subscriber that `waits`.
    #[must_use]
    pub fn open(self, name: &[u8], begin: Begin, create: bool, waits: bool) -> Command {
        let command = self.call(Script::Open, name).flags([(create, "m"), (waits, "w")]);
        match begin {
            Begin::Oldest => command.text("oldest").text(""),
            Begin::Newest => command.text("newest").text(""),
            Begin::Last(count) => command.text("last").number(count.into()),
            Begin::After(id) => command.text("after").id(id),
            Begin::AfterPlace(place) => command.text("place").id(place),
            Begin::Since(id) => command.text("since_after").id(id),
            Begin::SincePlace(place) => command.text("since_place").id(place),
        }
    }

    /// Finds what came after an id: so many messages and bytes at most, and at least one message;
    /// see [`super::answers::Synced`].
    #[must_use]
    pub fn sync(self, name: &[u8], after: MessageId, messages_max: u32, bytes_max: u32) -> Command {
        let command = self.call(Script::Sync, name).id(after);
        command.number(messages_max.into()).number(bytes_max.into())
    }

    /// Deletes the channel, if that is not later than `deadline_ms` of Redis' clock; see
    /// [`super::answers::Known`].
    #[must_use]
    pub fn delete(self, name: &[u8], deadline_ms: u64) -> Command {
        let command = self.call(Script::Delete, name).number(deadline_ms);
        command.pieces(&self.keys.channel_of(&escaped(name)))
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
        self.call_with(script, name, 0)
    }

    /// `more`: room for what comes behind, bytes.
    fn call_with(self, script: Script, name: &[u8], more: usize) -> Command {
        let Limits { min_messages, message_timeout_s, channel_timeout_s, .. } = self.limits;
        let name = &escaped(name);
        let room = 3 * self.keys.bytes(name) + 100 + more;
        Command { script: Some(script), words: 0, rest: Vec::with_capacity(room) }
            .text("3")
            .pieces(&self.keys.stream_of(name))
            .pieces(&self.keys.record_of(name))
            .pieces(&self.keys.clock_pieces())
            .number(message_timeout_s)
            .number(min_messages)
            .number(channel_timeout_s)
    }
}

/// How long a channel that a request was noted on lives without another, seconds.
pub const LEASE_S: u64 = 90;

/// The body of a message beyond which it is announced without, bytes.
pub const ANNOUNCED_BYTES_MAX: usize = 256 << 10;

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
