//! Keys: the names under which a store keeps its channels in Redis, and announces them. Never reads
//! or writes one.

/// The names of one store.
#[derive(Debug)]
pub struct Keys {
    prefix: Box<[u8]>,
    /// Pub/sub knows no databases, so the number stands in the name.
    announced: Box<[u8]>,
}

impl Keys {
    /// Of a store in this database, with this prefix (without `{`).
    #[must_use]
    pub fn new(prefix: &[u8], database: u32) -> Self {
        let announced = [prefix, database.to_string().as_bytes(), b":{"].concat();
        Self { prefix: prefix.into(), announced: announced.into() }
    }

    /// The stream with the messages of the channel called `name` in the store.
    #[must_use]
    pub fn stream(&self, name: &[u8]) -> Vec<u8> {
        self.key(name, b's')
    }

    /// The hash with what is known of the channel.
    #[must_use]
    pub fn record(&self, name: &[u8]) -> Vec<u8> {
        self.key(name, b'm')
    }

    /// The clock of the store: the last second and the last number in it.
    #[must_use]
    pub fn clock(&self) -> Vec<u8> {
        [&self.prefix, &b"{}p"[..]].concat()
    }

    /// Where the channel is announced.
    #[must_use]
    pub fn channel(&self, name: &[u8]) -> Vec<u8> {
        let mut channel = self.announced.to_vec();
        escape(name, &mut channel);
        channel.push(b'}');
        channel
    }

    /// The name of what is announced at `channel`; `None`: it is none of this store.
    #[must_use]
    pub fn name(&self, channel: &[u8]) -> Option<Vec<u8>> {
        unescape(channel.strip_prefix(&*self.announced)?.strip_suffix(b"}")?)
    }

    fn key(&self, name: &[u8], kind: u8) -> Vec<u8> {
        let mut key = self.prefix.to_vec();
        key.push(b'{');
        escape(name, &mut key);
        key.extend_from_slice(&[b'}', kind]);
        key
    }
}

/// A raw brace in it would end the hash tag.
fn escape(name: &[u8], out: &mut Vec<u8>) {
    for byte in name {
        match byte {
            b'%' => out.extend_from_slice(b"%25"),
            b'{' => out.extend_from_slice(b"%7B"),
            b'}' => out.extend_from_slice(b"%7D"),
            byte => out.push(*byte),
        }
    }
}

fn unescape(escaped: &[u8]) -> Option<Vec<u8>> {
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
