//! Plain reply: the answer to a publish, read from the bytes that came without a value for each of
//! its words. Only where it is whole there and has the shape that it has of nearly every publish;
//! it refuses nothing, as all else is the decoder's to read.

use super::answers::{Published, id};
use super::resp::leading;
use crate::message::MessageId;

/// The time on Redis' clock, milliseconds; the answer, which is that of [`Published::read`]; and
/// what is behind it. `None`: the decoder is to read it.
pub(super) fn published(bytes: &[u8]) -> Option<(u64, Published, &[u8])> {
    let mut words = Words(bytes.strip_prefix(b"*10\r\n$2\r\nok\r\n:")?);
    let time_ms = words.rest_of_number()?;
    let (id, number) = (words.id()?, words.number()?.try_into().ok()?);
    let published = Published {
        id,
        number,
        last: words.id()?,
        kept: words.id()?,
        generation: words.number()?,
        receivers: words.number()?,
        messages: words.number()?,
        asked_ago_s: words.maybe()?,
    };
    Some((time_ms, published, words.0))
}

/// The words that are still to be read.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn id(&mut self) -> Option<MessageId> {
        let (length, rest) = leading(self.0.strip_prefix(b"$")?)?;
        let rest = rest.strip_prefix(b"\r\n")?;
        let (text, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest.strip_prefix(b"\r\n")?;
        id(text)
    }

    fn number(&mut self) -> Option<u64> {
        self.0 = self.0.strip_prefix(b":")?;
        self.rest_of_number()
    }

    /// A number; -1 for none.
    fn maybe(&mut self) -> Option<Option<u64>> {
        match self.0.strip_prefix(b":-1\r\n") {
            Some(rest) => {
                self.0 = rest;
                Some(None)
            }
            None => self.number().map(Some),
        }
    }

    fn rest_of_number(&mut self) -> Option<u64> {
        let (number, rest) = leading(self.0)?;
        self.0 = rest.strip_prefix(b"\r\n")?;
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::redis::answers::time_ms;
    use crate::store::redis::resp::Decoder;

    const REPLY: &str = "*10\r\n$2\r\nok\r\n:1700000000123\r\n$12\r\n1700000000-3\r\n:17\r\n\
                         $12\r\n1700000000-2\r\n$3\r\n0-0\r\n:4\r\n:1\r\n:100\r\n:-1\r\n";

    /// As the decoder and the values read it.
    fn by_values(bytes: &[u8]) -> Option<(u64, Published, &[u8])> {
        let (taken, value) = Decoder::default().decode(bytes).ok()?;
        let value = value?;
        Some((time_ms(&value)?, Published::read(value).ok()?, &bytes[taken..]))
    }

    #[test]
    fn the_answer_of_nearly_every_publish_is_read_without_values() {
        let bytes = format!("{REPLY}+OK\r\n");
        let (time_ms, published, rest) = published(bytes.as_bytes()).expect("it is plain");
        assert_eq!((time_ms, rest), (1_700_000_000_123, &b"+OK\r\n"[..]));
        assert_eq!(published.id, MessageId { time: 1_700_000_000, tag: 3 });
        assert_eq!((published.number, published.generation), (17, 4));
        assert_eq!((published.kept, published.messages), (MessageId::default(), 100));
        assert_eq!(by_values(bytes.as_bytes()), Some((time_ms, published, rest)));
    }

    #[test]
    fn an_answer_that_is_not_whole_is_the_decoders() {
        for length in 0..REPLY.len() {
            assert_eq!(published(&REPLY.as_bytes()[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_without_values_is_what_they_say(
            changes in prop::collection::vec(
                (0..REPLY.len(), prop_oneof![any::<u8>(), prop::sample::select(&b"0129-:$*\r\n+"[..])]),
                0..3,
            ),
            gone in prop::option::of(0..REPLY.len()),
        ) {
            let mut bytes = REPLY.as_bytes().to_vec();
            changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
            if let Some(at) = gone {
                bytes.remove(at);
            }
            if let Some(plain) = published(&bytes) {
                prop_assert_eq!(by_values(&bytes), Some(plain));
            }
        }
    }
}
