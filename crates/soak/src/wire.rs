//! Wire: the bytes of requests and answers. Reads strictly: what is not exactly an answer of this
//! daemon is an error that says why.

use std::io::Write as _;

use memchr::memmem;
use pushserver::http::{parse_http_date, write_http_date};

use crate::events::{Gap, Id};
use pushserver_testkit::Random;

/// One whole answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `Last-Modified` and `Etag`.
    pub(crate) id: Option<Id>,
    pub(crate) gap: Option<Gap>,
    pub(crate) content_type: Option<ContentType>,
    pub(crate) closes: bool,
    /// Where in the buffer its body is.
    pub(crate) body: (usize, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentType {
    /// Of the message with this number.
    Of(u64),
    /// What the daemon writes itself.
    Other,
}

/// The answer at the start of `bytes`; `None`: more has to come.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Answer>, String> {
    let Some(head_end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..head_end]).map_err(|_| "a head not of text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3));
    let status = status.and_then(|digits| digits.parse().ok());
    let mut answer = Answer { status: status.ok_or("no status line")?, ..Answer::default() };
    let (mut modified, mut tag, mut length) = (None, None, None);
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("the line {line:?}"))?;
        let wrong = || format!("the line {line:?}");
        match name {
            "Last-Modified" => {
                modified = Some(parse_http_date(value.as_bytes()).ok_or_else(wrong)?);
            }
            "Etag" => tag = Some(value.parse().map_err(|_| wrong())?),
            "Content-Length" => length = Some(value.parse().map_err(|_| wrong())?),
            "Content-Type" => {
                let number = value.strip_prefix("text/x-").and_then(|digits| digits.parse().ok());
                answer.content_type = Some(number.map_or(ContentType::Other, ContentType::Of));
            }
            "X-Push-Gap" if value == "unknown" => answer.gap = Some(Gap::Unknown),
            "X-Push-Gap" => {
                answer.gap = Some(Gap::Messages(value.parse().map_err(|_| wrong())?));
            }
            "Connection" => answer.closes = value == "close",
            _ => {}
        }
    }
    answer.id = modified.zip(tag);
    let length = match answer.status {
        100 | 204 | 304 => 0,
        status => length.ok_or_else(|| format!("a {status} without a length"))?,
    };
    answer.body = (head_end + 4, head_end + 4 + length);
    Ok((bytes.len() >= answer.body.1).then_some(answer))
}

/// What channel information says: messages, held requests, last id.
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

/// Appends a GET with its cursor in one of the places where it may stand.
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

/// Appends a POST; every third message has a content type, one of ten comes in chunks.
pub(crate) fn post(path: &str, number: u64, body: &[u8], random: &mut Random, out: &mut Vec<u8>) {
    text(out, format_args!("POST {path} HTTP/1.1\r\nHost: a\r\n"));
    if let Some(ContentType::Of(number)) = content_type(number) {
        text(out, format_args!("Content-Type: text/x-{number}\r\n"));
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

/// The content type of a message.
pub(crate) fn content_type(number: u64) -> Option<ContentType> {
    number.is_multiple_of(3).then_some(ContentType::Of(number))
}

fn text(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a vector takes every byte");
}
