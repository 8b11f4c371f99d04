//! Wire: writes requests, and reads the fields of answers. The test kit finds where an answer ends.

use std::io::Write as _;
use std::str::FromStr;

use pushserver::http::{parse_http_date, write_http_date};
use pushserver_testkit::{Answer, Random};

use crate::events::{Gap, Id};

/// The status and the fields of an answer that the model needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// `Last-Modified` and `Etag`.
    pub(crate) id: Option<Id>,
    pub(crate) gap: Option<Gap>,
    pub(crate) content_type: Option<ContentType>,
    pub(crate) closes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentType {
    /// The content type of the message with this number.
    Of(u64),
    /// Any other, as in the daemon's own answers.
    Other,
}

impl ContentType {
    pub(crate) fn read(value: &str) -> Self {
        let digits = value.strip_prefix("text/x-").and_then(|digits| digits.parse().ok());
        digits.map_or(Self::Other, Self::Of)
    }
}

impl Reply {
    /// # Errors
    /// A field has a value that the daemon never writes.
    pub(crate) fn read(answer: &Answer) -> Result<Self, String> {
        let modified = answer.header("Last-Modified").map(|date| {
            parse_http_date(date.as_bytes()).ok_or_else(|| format!("Last-Modified: {date}"))
        });
        let gap = answer.header("X-Push-Gap").map(|value| match value {
            "unknown" => Ok(Gap::Unknown),
            count => number(count).map(Gap::Messages),
        });
        let content_type = answer.header("Content-Type").map(ContentType::read);
        Ok(Self {
            status: answer.status,
            id: modified.transpose()?.zip(answer.header("Etag").map(number).transpose()?),
            gap: gap.transpose()?,
            content_type,
            closes: answer.closes(),
        })
    }
}

fn number<N: FromStr>(digits: &str) -> Result<N, String> {
    digits.parse().map_err(|_| format!("{digits:?} is no number"))
}

/// Reads channel information: messages, held requests, last id.
pub(crate) fn information(body: &[u8]) -> Option<(usize, usize, Id)> {
    let text = std::str::from_utf8(body).ok()?;
    let value = |name: &str| {
        let line = text.split("\r\n").find_map(|line| line.strip_prefix(name))?;
        line.split(' ').next()
    };
    let messages = value("queued messages: ")?.parse().ok()?;
    let held = value("active subscribers: ")?.parse().ok()?;
    let (time, tag) = value("last message id: ")?.split_once(':')?;
    Some((messages, held, (time.parse().ok()?, tag.parse().ok()?)))
}

/// Appends a GET, with its cursor in one of the fields or parameters that may hold it.
pub(crate) fn get(
    path: &str,
    cursor: Option<Id>,
    close: bool,
    random: &mut Random,
    out: &mut Vec<u8>,
) {
    let mut fields = Vec::new();
    let mut query = String::new();
    if let Some((time, tag)) = cursor {
        let place = random.below(6);
        match place {
            0 => query = format!("?last_event_id={time}:{tag}"),
            1 => text(&mut fields, format_args!("Last-Event-ID: {time}:{tag}\r\n")),
            2 => text(&mut fields, format_args!("Etag: {time}:{tag}\r\n")),
            _ => {
                fields.extend_from_slice(b"If-Modified-Since: ");
                write_http_date(time, &mut fields);
                match place {
                    3 => text(&mut fields, format_args!("\r\nIf-None-Match: \"{tag}\"\r\n")),
                    _ => text(&mut fields, format_args!("\r\nIf-None-Match: {tag}\r\n")),
                }
            }
        }
    }
    text(out, format_args!("GET {path}{query} HTTP/1.1\r\nHost: a\r\n"));
    out.extend_from_slice(&fields);
    out.extend_from_slice(if close { b"Connection: close\r\n\r\n" } else { b"\r\n" });
}

/// Appends the request for an event stream, with its cursor in the query or in `Last-Event-ID`. The
/// field is newer than the query, as of an EventSource that comes back, and what stands behind `;`
/// is ignored.
pub(crate) fn listen(path: &str, cursor: Option<Id>, random: &mut Random, out: &mut Vec<u8>) {
    let id = cursor.map_or(String::new(), |(time, tag)| format!("{time}:{tag}"));
    let (query, field) = match cursor {
        None => (String::new(), String::new()),
        Some(_) => match random.below(4) {
            0 => (format!("?last_event_id={id}"), String::new()),
            1 => ("?last_event_id=1:0".to_owned(), format!("Last-Event-ID: {id}\r\n")),
            2 => (String::new(), format!("Last-Event-ID: {id};gap=3\r\n")),
            _ => (String::new(), format!("Last-Event-ID: {id}\r\n")),
        },
    };
    text(out, format_args!("GET {path}{query} HTTP/1.1\r\nHost: a\r\n{field}"));
    out.extend_from_slice(b"Accept: text/event-stream\r\n\r\n");
}

/// Appends the handshake of a WebSocket with ids (RFC 6455 4.1), with its cursor in the query or in
/// `Last-Event-ID`.
pub(crate) fn handshake(path: &str, cursor: Option<Id>, random: &mut Random, out: &mut Vec<u8>) {
    let id = cursor.map_or(String::new(), |(time, tag)| format!("{time}:{tag}"));
    let (query, field) = match cursor {
        Some(_) if random.percent(50) => (format!("?last_event_id={id}"), String::new()),
        Some(_) => (String::new(), format!("Last-Event-ID: {id}\r\n")),
        None => (String::new(), String::new()),
    };
    text(out, format_args!("GET {path}{query} HTTP/1.1\r\nHost: a\r\n{field}"));
    out.extend_from_slice(
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
          Sec-WebSocket-Protocol: ws+meta.nchan\r\n\r\n",
    );
}

/// Appends a POST. Every third message has a content type, and the same as its event's name, as
/// events have no content type; one in ten is sent in chunks.
pub(crate) fn post(path: &str, number: u64, body: &[u8], random: &mut Random, out: &mut Vec<u8>) {
    text(out, format_args!("POST {path} HTTP/1.1\r\nHost: a\r\n"));
    if let Some(ContentType::Of(number)) = content_type(number) {
        text(out, format_args!("Content-Type: text/x-{number}\r\n"));
        text(out, format_args!("X-EventSource-Event: text/x-{number}\r\n"));
    }
    if random.percent(90) {
        text(out, format_args!("Content-Length: {}\r\n\r\n", body.len()));
        return out.extend_from_slice(body);
    }
    out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(1 + random.index(rest.len()));
        text(out, format_args!("{:x}\r\n", chunk.len()));
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = after;
    }
    out.extend_from_slice(b"0\r\n\r\n");
}

/// The content type of the message with this number, if it has one.
pub(crate) fn content_type(number: u64) -> Option<ContentType> {
    number.is_multiple_of(3).then_some(ContentType::Of(number))
}

/// The number of the message that was received, if body and content type are as published. `read`
/// finds the number in a body.
pub(crate) fn number_of(
    channel: usize,
    received: Option<ContentType>,
    body: &[u8],
    read: fn(usize, &[u8]) -> Option<u64>,
) -> Option<u64> {
    let number = match received {
        Some(ContentType::Of(number)) if body.is_empty() => number,
        _ => read(channel, body)?,
    };
    (received == content_type(number)).then_some(number)
}

fn text(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a vector takes every byte");
}
