//! Answer: the parts of an HTTP/1.1 answer that a measurement needs: its length, its status, and
//! its cursor (Basic HTTP Push Relay Protocol 3); of a stream only its head. Reads only answers
//! framed by `Content-Length`; others are an error.

use memchr::{memchr, memmem};

/// Bytes of the longest head that is read.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// One whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) cursor: Cursor,
    /// The server will close the connection.
    pub(crate) close: bool,
    pub(crate) body: &'a [u8],
    /// Bytes of head and body together.
    pub(crate) length: usize,
}

/// The head of an answer whose body has no end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) status: u16,
    /// The `Server` header; empty if there is none.
    pub(crate) server: &'a [u8],
    /// The `Content-Type` header; empty if there is none.
    pub(crate) content_type: &'a [u8],
    /// The `Sec-WebSocket-Accept` header; empty if there is none.
    pub(crate) accept: &'a [u8],
    /// Bytes up to and with the blank line.
    pub(crate) length: usize,
}

/// What the bytes received so far are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading<T> {
    /// It is not whole yet.
    Incomplete,
    Whole(T),
    /// Not what this client can read; says why.
    Broken(&'static str),
}

/// The validators of an answer, byte for byte; the next request sends them back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    bytes: [u8; 62],
    /// `Last-Modified` is `bytes[..modified]`, `Etag` is `bytes[modified..end]`.
    modified: u8,
    end: u8,
}

impl Cursor {
    /// The cursor before the first message: a request without validators.
    pub(crate) const NONE: Self = Self { bytes: [0; 62], modified: 0, end: 0 };

    /// `None` if the two are too long together.
    fn new(last_modified: &[u8], etag: &[u8]) -> Option<Self> {
        let mut bytes = [0; 62];
        let end = last_modified.len() + etag.len();
        bytes.get_mut(..last_modified.len())?.copy_from_slice(last_modified);
        bytes.get_mut(last_modified.len()..end)?.copy_from_slice(etag);
        Some(Self { bytes, modified: last_modified.len() as u8, end: end as u8 })
    }

    /// Whether one of the two is missing.
    pub(crate) fn is_partial(&self) -> bool {
        self.modified == 0 || self.end == self.modified
    }

    /// Appends it as request headers.
    pub(crate) fn write(&self, head: &mut Vec<u8>) {
        let (modified, tag) = self.bytes[..usize::from(self.end)].split_at(self.modified.into());
        if !modified.is_empty() {
            head.extend_from_slice(b"If-Modified-Since: ");
            head.extend_from_slice(modified);
            head.extend_from_slice(b"\r\n");
        }
        if !tag.is_empty() {
            head.extend_from_slice(b"If-None-Match: ");
            head.extend_from_slice(tag);
            head.extend_from_slice(b"\r\n");
        }
    }
}

/// Reads the answer at the start of `bytes`.
pub(crate) fn read(bytes: &[u8]) -> Reading<Answer<'_>> {
    let (status, fields, body_start) = match start(bytes) {
        Reading::Incomplete => return Reading::Incomplete,
        Reading::Broken(why) => return Reading::Broken(why),
        Reading::Whole(start) => start,
    };
    let body_length = match (status, fields.content_length) {
        (100..200, _) => return Reading::Broken("an interim answer that was not asked for"),
        (204 | 304, _) => 0,
        (_, Some(length)) => length,
        (_, None) => return Reading::Broken("no Content-Length"),
    };
    let Some(length) = body_start.checked_add(body_length) else {
        return Reading::Broken("a wrong Content-Length");
    };
    let Some(body) = bytes.get(body_start..length) else { return Reading::Incomplete };
    let Some(cursor) = Cursor::new(fields.last_modified, fields.etag) else {
        return Reading::Broken("validators longer than 62 bytes");
    };
    let close = fields.close;
    Reading::Whole(Answer { status, cursor, close, body, length })
}

/// Reads the head at the start of `bytes`.
pub(crate) fn read_head(bytes: &[u8]) -> Reading<Head<'_>> {
    match start(bytes) {
        Reading::Incomplete => Reading::Incomplete,
        Reading::Broken(why) => Reading::Broken(why),
        Reading::Whole((status, fields, length)) => {
            let Fields { server, content_type, accept, .. } = fields;
            Reading::Whole(Head { status, server, content_type, accept, length })
        }
    }
}

/// The status and the fields of the head at the start of `bytes`, and its length.
fn start(bytes: &[u8]) -> Reading<(u16, Fields<'_>, usize)> {
    let Some(head_end) = memmem::find(bytes, b"\r\n\r\n") else {
        return match bytes.len() {
            ..HEAD_BYTES_MAX => Reading::Incomplete,
            _ => Reading::Broken("a head without an end"),
        };
    };
    let head = &bytes[..head_end + 2];
    let Some(status) = status(head) else { return Reading::Broken("a wrong status line") };
    match Fields::read(head) {
        Ok(fields) => Reading::Whole((status, fields, head_end + 4)),
        Err(why) => Reading::Broken(why),
    }
}

/// The code of `HTTP/1.x NNN …`.
fn status(head: &[u8]) -> Option<u16> {
    let code = head.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(code).ok()?.parse().ok().filter(|code| *code >= 100)
}

/// The header fields that matter.
#[derive(Default)]
struct Fields<'a> {
    content_length: Option<usize>,
    last_modified: &'a [u8],
    etag: &'a [u8],
    server: &'a [u8],
    content_type: &'a [u8],
    /// `Sec-WebSocket-Accept`.
    accept: &'a [u8],
    close: bool,
}

impl<'a> Fields<'a> {
    /// `head` is the status line and the fields, each with its line end.
    fn read(head: &'a [u8]) -> Result<Self, &'static str> {
        let mut fields = Self::default();
        let mut rest = head;
        while let Some(end) = memchr(b'\n', rest) {
            let line = rest[..end].trim_ascii_end();
            rest = &rest[end + 1..];
            let Some(colon) = memchr(b':', line) else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii_start());
            // No two names have the same length: most fields cost one comparison.
            match name.len() {
                14 if name.eq_ignore_ascii_case(b"content-length") => {
                    let length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
                    fields.content_length = Some(length.ok_or("a wrong Content-Length")?);
                }
                13 if name.eq_ignore_ascii_case(b"last-modified") => fields.last_modified = value,
                4 if name.eq_ignore_ascii_case(b"etag") => fields.etag = value,
                6 if name.eq_ignore_ascii_case(b"server") => fields.server = value,
                12 if name.eq_ignore_ascii_case(b"content-type") => fields.content_type = value,
                20 if name.eq_ignore_ascii_case(b"sec-websocket-accept") => fields.accept = value,
                10 if name.eq_ignore_ascii_case(b"connection") => {
                    fields.close = value.eq_ignore_ascii_case(b"close");
                }
                17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                    return Err("a Transfer-Encoding; only Content-Length is read");
                }
                _ => {}
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, Reading, read, read_head};

    const MESSAGE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/plain\r\n\
        content-length: 5\r\nLast-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\nConnection: keep-alive\r\n\
        ETag: 7\r\n\r\nhello";

    #[test]
    fn a_message_gives_its_body_and_its_cursor() {
        let Reading::Whole(answer) = read(MESSAGE) else { panic!("not whole") };
        assert_eq!((answer.status, answer.body, answer.close), (200, &b"hello"[..], false));
        assert_eq!(answer.length, MESSAGE.len());
        let mut head = Vec::new();
        answer.cursor.write(&mut head);
        assert_eq!(
            head,
            b"If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT\r\nIf-None-Match: 7\r\n"
        );
    }

    #[test]
    fn a_head_is_read_though_the_body_has_no_end() {
        let bytes = b"HTTP/1.1 101 Switching Protocols\r\nServer: nginx\r\n\
            Sec-WebSocket-Accept: abc=\r\ncontent-type: text/event-stream\r\n\r\nmore";
        let Reading::Whole(head) = read_head(bytes) else { panic!("not whole") };
        assert_eq!((head.status, head.server, head.accept), (101, &b"nginx"[..], &b"abc="[..]));
        assert_eq!(head.content_type, b"text/event-stream");
        assert_eq!(head.length, bytes.len() - b"more".len());
    }

    #[test]
    fn every_shorter_part_of_an_answer_is_incomplete() {
        for end in 0..MESSAGE.len() {
            assert_eq!(read(&MESSAGE[..end]), Reading::Incomplete, "{end} bytes");
        }
    }

    #[test]
    fn bytes_after_an_answer_are_not_part_of_it() {
        let two = [MESSAGE, MESSAGE].concat();
        let Reading::Whole(answer) = read(&two) else { panic!("not whole") };
        assert_eq!(answer.length, MESSAGE.len());
    }

    #[test]
    fn a_304_has_no_body_whatever_its_length_says() {
        let bytes = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\nConnection: Close\r\n\r\n";
        let Reading::Whole(answer) = read(bytes) else { panic!("not whole") };
        assert_eq!((answer.status, answer.close, answer.length), (304, true, bytes.len()));
        assert_eq!(answer.cursor, Cursor::NONE);
    }

    #[test]
    fn what_is_not_an_answer_is_told() {
        for (bytes, why) in [
            (&b"SSH-2.0-x\r\n\r\n"[..], "a wrong status line"),
            (b"HTTP/1.1 2x0 OK\r\n\r\n", "a wrong status line"),
            (b"HTTP/1.1 200 OK\r\n\r\n", "no Content-Length"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "a wrong Content-Length"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "a Transfer-Encoding; only Content-Length is read",
            ),
        ] {
            assert_eq!(read(bytes), Reading::Broken(why));
        }
        assert_eq!(read(&[b'a'; 20_000]), Reading::Broken("a head without an end"));
    }

    #[test]
    fn validators_too_long_to_keep_are_told() {
        let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nEtag: {:063}\r\n\r\n", 0);
        assert_eq!(read(long.as_bytes()), Reading::Broken("validators longer than 62 bytes"));
    }
}
