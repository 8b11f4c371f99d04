//! Message: what a stream tells of one message: its id, its gap, and its number if it is intact.
//! Reads frames of a WebSocket and blocks of an event stream; holds no connection.

use crate::body;
use crate::events::{Gap, Id};
use crate::wire::{self, ContentType};

/// See the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: Id,
    pub(crate) gap: Option<Gap>,
    /// `None`: body, content type or name are not as published.
    pub(crate) number: Option<u64>,
    /// Bytes of its body.
    pub(crate) length: usize,
}

/// What a block of an event stream is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Block {
    Message(Message),
    /// `push:end` because the channel was deleted.
    Gone,
    /// A comment, or the time until a client comes back.
    Idle,
}

impl Message {
    /// A message of `channel` by the subprotocol `ws+meta.nchan`. `None`: it is not written as
    /// docs/protocol.md says.
    pub(crate) fn of_frame(channel: usize, payload: &[u8]) -> Option<Self> {
        let at = payload.windows(2).position(|two| two == b"\n\n")?;
        let (head, body) = (&payload[..at], &payload[at + 2..]);
        let mut lines = std::str::from_utf8(head).ok()?.split('\n');
        let (id, gap) = id_of(lines.next()?.strip_prefix("id: ")?)?;
        let content_type = match lines.next() {
            None => None,
            Some(line) => Some(ContentType::read(line.strip_prefix("content-type: ")?)),
        };
        let number = wire::number_of(channel, content_type, body, body::read);
        lines.next().is_none().then_some(Self { id, gap, number, length: body.len() })
    }
}

impl Block {
    /// A block of the stream of `channel`: its lines, without the blank one. `None`: it is not
    /// written as docs/protocol.md says.
    pub(crate) fn read(channel: usize, block: &[u8]) -> Option<Self> {
        let (mut name, mut id, mut data) = (None, None, None::<Vec<u8>>);
        for line in block.strip_suffix(b"\n")?.split(|byte| *byte == b'\n') {
            if let Some(line) = line.strip_prefix(b"data: ") {
                if let Some(data) = &mut data {
                    data.push(b'\n');
                }
                data.get_or_insert_default().extend_from_slice(line);
                continue;
            }
            match std::str::from_utf8(line).ok()?.split_once(':')? {
                ("event", value) if name.is_none() => name = Some(value.strip_prefix(' ')?),
                ("id", value) if id.is_none() => id = Some(id_of(value.strip_prefix(' ')?)?),
                ("" | "retry", _) => {}
                _ => return None,
            }
        }
        match (name, id, data) {
            (None, None, None) => Some(Self::Idle),
            (Some("push:end"), None, Some(data)) if data == b"410 Gone" => Some(Self::Gone),
            (name, Some((id, gap)), Some(data)) => {
                let content_type = name.map(ContentType::read);
                let number = wire::number_of(channel, content_type, &data, body::read_lines);
                Some(Self::Message(Message { id, gap, number, length: data.len() }))
            }
            _ => None,
        }
    }
}

/// Reads an id of a stream, as `TIME:TAG;gap=3`.
fn id_of(text: &str) -> Option<(Id, Option<Gap>)> {
    let mut parts = text.split(';');
    let (time, tag) = parts.next()?.split_once(':')?;
    let gap = match parts.next() {
        None => None,
        Some("gap=unknown") => Some(Gap::Unknown),
        Some(other) => Some(Gap::Messages(other.strip_prefix("gap=")?.parse().ok()?)),
    };
    let id = (time.parse().ok()?, tag.parse().ok()?);
    parts.next().is_none().then_some((id, gap))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: Id, gap: Option<Gap>, number: Option<u64>, length: usize) -> Option<Block> {
        Some(Block::Message(Message { id, gap, number, length }))
    }

    #[test]
    fn an_event_without_a_body_is_known_by_its_name() {
        let block = b"event: text/x-3\nid: 5:2;gap=4\ndata: \n";
        let gap = Some(Gap::Messages(4));
        assert_eq!(Block::read(0, block), message((5, 2), gap, Some(3), 0));
        assert_eq!(Block::read(0, b"id: 5:2\ndata: \n"), message((5, 2), None, None, 0));
    }

    #[test]
    fn each_line_of_a_body_is_a_line_of_data() {
        let mut bytes = Vec::new();
        body::write(4, 77, 600, &mut bytes);
        let text: Vec<u8> = bytes.escape_ascii().collect();
        assert!(text.windows(4).any(|four| four == br"\r\n"), "{}", text.escape_ascii());
        let lines = body::with_line_feeds(&bytes);
        let data: Vec<u8> = lines
            .split(|byte| *byte == b'\n')
            .flat_map(|line| [b"data: ", line, b"\n"].concat())
            .collect();
        let block = [b"id: 5:2\n", &data[..]].concat();
        assert_eq!(Block::read(4, &block), message((5, 2), None, Some(77), lines.len()));
        assert_eq!(Block::read(3, &block), message((5, 2), None, None, lines.len()));
        // A name that it was not published with.
        let named = [b"event: text/x-77\n", &block[..]].concat();
        assert_eq!(Block::read(4, &named), message((5, 2), None, None, lines.len()));
    }

    #[test]
    fn what_is_no_message_is_told_apart() {
        assert_eq!(Block::read(0, b": ping 25\nretry: 2143\n"), Some(Block::Idle));
        assert_eq!(Block::read(0, b":\n"), Some(Block::Idle));
        assert_eq!(Block::read(0, b"event: push:end\ndata: 410 Gone\n"), Some(Block::Gone));
        for wrong in ["data: x\n", "id: 5\ndata: x\n", "id: 5:1\n", "x\n", "id: 5:1;x\ndata: \n"] {
            assert_eq!(Block::read(0, wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
