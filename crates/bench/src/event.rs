//! Event: one event of an event stream (WHATWG HTML 9.2.6). Reads lines that end at LF or CRLF; no
//! server of the protocol writes others.

use memchr::memchr;

use crate::answer::Reading;

/// One event, or comments and fields without data, up to a blank line. Its data is apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event<'a> {
    /// Empty if the event has no name.
    pub(crate) name: &'a [u8],
    /// Empty if the event has no id.
    pub(crate) id: &'a [u8],
    /// Whether there is data: only then would a script see the event.
    pub(crate) has_data: bool,
    /// Bytes up to and with the blank line.
    pub(crate) length: usize,
}

/// Reads the event at the start of `bytes`; its data, lines joined by LF, replaces `data`.
pub(crate) fn read<'a>(bytes: &'a [u8], data: &mut Vec<u8>) -> Reading<Event<'a>> {
    let mut event = Event { name: &[], id: &[], has_data: false, length: 0 };
    data.clear();
    while let Some(end) = memchr(b'\n', &bytes[event.length..]) {
        let line = &bytes[event.length..event.length + end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        event.length += end + 1;
        if line.is_empty() {
            return Reading::Whole(event);
        }
        let (field, value) = line.split_at(memchr(b':', line).unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if event.has_data {
                    data.push(b'\n');
                }
                data.extend_from_slice(value);
                event.has_data = true;
            }
            b"id" => event.id = value,
            b"event" => event.name = value,
            _ => {}
        }
    }
    Reading::Incomplete
}

#[cfg(test)]
mod tests {
    use super::{Event, read};
    use crate::answer::Reading;

    #[test]
    fn an_event_gives_its_name_its_id_and_its_lines() {
        let bytes = b"event: e\nid: 1:0;gap=2\ndata: one\ndata:two\ndata\ndata:  three\r\n\nid: 9";
        let mut data = b"before".to_vec();
        let length = bytes.len() - b"id: 9".len();
        let event = Event { name: b"e", id: b"1:0;gap=2", has_data: true, length };
        assert_eq!(read(bytes, &mut data), Reading::Whole(event));
        assert_eq!(data, b"one\ntwo\n\n three");
    }

    #[test]
    fn every_shorter_part_of_an_event_is_incomplete() {
        let bytes = b"id: 1:0\ndata: a\ndata: b\n\n";
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end], &mut Vec::new()), Reading::Incomplete, "{end} bytes");
        }
    }

    #[test]
    fn comments_and_retry_have_no_data() {
        let mut data = Vec::new();
        let bytes = b": ping 25\nretry: 2143\n\n";
        let event = Event { name: b"", id: b"", has_data: false, length: bytes.len() };
        assert_eq!(read(bytes, &mut data), Reading::Whole(event));
        assert!(data.is_empty());
    }
}
