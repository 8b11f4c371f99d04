//! Keys: the names under which a store keeps its channels in Redis, and announces them. Never reads
//! or writes one.

use std::borrow::Cow;

/// The names of one store.
#[derive(Debug)]
pub struct Keys {
    /// With the brace behind it.
    opened: Box<[u8]>,
    /// Pub/sub knows no databases, so the number stands in the name.
    announced: Box<[u8]>,
}

impl Keys {
    /// Of a store in this database, with this prefix (without `{`).
    #[must_use]
    pub fn new(prefix: &[u8], database: u32) -> Self {
        let announced = [prefix, database.to_string().as_bytes(), b":{"].concat();
        Self { opened: [prefix, b"{"].concat().into(), announced: announced.into() }
    }

    /// The stream with the messages of the channel called `name` in the store.
    #[must_use]
    pub fn stream(&self, name: &[u8]) -> Vec<u8> {
        self.stream_of(&escaped(name)).concat()
    }

    /// The hash with what is known of the channel.
    #[must_use]
    pub fn record(&self, name: &[u8]) -> Vec<u8> {
        self.record_of(&escaped(name)).concat()
    }

    /// The clock of the store: the last second and the last number in it.
    #[must_use]
    pub fn clock(&self) -> Vec<u8> {
        self.clock_pieces().concat()
    }

    /// Where the channel is announced.
    #[must_use]
    pub fn channel(&self, name: &[u8]) -> Vec<u8> {
        self.channel_of(&escaped(name)).concat()
    }

    /// [`Keys::stream`] in pieces; `name`: as it is [`escaped`].
    pub(super) fn stream_of<'a>(&'a self, name: &'a [u8]) -> [&'a [u8]; 3] {
        [&self.opened, name, b"}s"]
    }

    /// The same of [`Keys::record`].
    pub(super) fn record_of<'a>(&'a self, name: &'a [u8]) -> [&'a [u8]; 3] {
        [&self.opened, name, b"}m"]
    }

    /// The same of [`Keys::clock`].
    pub(super) fn clock_pieces(&self) -> [&[u8]; 2] {
        [&self.opened, b"}p"]
    }

    /// The same of [`Keys::channel`].
    pub(super) fn channel_of<'a>(&'a self, name: &'a [u8]) -> [&'a [u8]; 3] {
        [&self.announced, name, b"}"]
    }

    /// The name of what is announced at `channel`; `None`: it is none of this store.
    #[must_use]
    pub fn name(&self, channel: &[u8]) -> Option<Vec<u8>> {
        unescape(channel.strip_prefix(&*self.announced)?.strip_suffix(b"}")?)
    }

    /// Bytes of a key of a channel, at most; `name`: as it is [`escaped`].
    pub(super) fn bytes(&self, name: &[u8]) -> usize {
        self.announced.len() + name.len() + 2
    }
}

/// A name as it stands in keys: a raw brace in it would end the hash tag.
pub(super) fn escaped(name: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr3(b'%', b'{', b'}', name).is_none() {
        return name.into();
    }
    let mut out = Vec::with_capacity(name.len() + 8);
    for byte in name {
        match byte {
            b'%' => out.extend_from_slice(b"%25"),
            b'{' => out.extend_from_slice(b"%7B"),
            b'}' => out.extend_from_slice(b"%7D"),
            byte => out.push(*byte),
        }
    }
    out.into()
}

fn unescape(escaped: &[u8]) -> Option<Vec<u8>> {
    if memchr::memchr3(b'%', b'{', b'}', escaped).is_none() {
        return Some(escaped.to_vec());
    }
    let mut name = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let [byte, behind @ ..] = rest {
        let (byte, behind) = match (byte, behind) {
            (b'%', [b'2', b'5', behind @ ..]) => (b'%', behind),
            (b'%', [b'7', b'B', behind @ ..]) => (b'{', behind),
            (b'%', [b'7', b'D', behind @ ..]) => (b'}', behind),
            (b'%' | b'{' | b'}', _) => return None,
            (byte, behind) => (*byte, behind),
        };
        name.push(byte);
        rest = behind;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_channel_have_one_hash_tag_whatever_its_name() {
        let keys = Keys::new(b"site:", 3);
        assert_eq!(keys.stream(b"a"), b"site:{a}s");
        assert_eq!(keys.record(b"a{%}\0\xff"), b"site:{a%7B%25%7D\0\xff}m");
        assert_eq!(keys.channel(b"a}"), b"site:3:{a%7D}");
        assert_eq!(keys.clock(), b"site:{}p");
    }

    #[test]
    fn the_name_is_found_in_what_is_announced() {
        let keys = Keys::new(b"p%", 0);
        for name in [&b""[..], b"a", b"{}%%7D", b"\0\xff\r\n"] {
            assert_eq!(keys.name(&keys.channel(name)).as_deref(), Some(name));
        }
        for other in [&b"p%1:{a}"[..], b"p%0:{a", b"p%0:a}", b"p%0:{a}}", b"p%0:{%7d}", b"p%0:{%}"]
        {
            assert_eq!(keys.name(other), None, "{}", other.escape_ascii());
        }
    }
}
