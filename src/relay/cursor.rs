//! Reads a subscriber's cursor from the four places it may stand in (Basic HTTP Push Relay
//! Protocol 3, and the query and header names that Nchan takes).

use percent_encoding::percent_decode;

use crate::http::{RequestHead, parse_http_date};
use crate::message::Cursor;

/// The end of the year 9999: the last second that `Last-Modified` can say.
const TIME_MAX: u64 = 253_402_300_799;

/// The cursor of a request. Validators come first; the query, so that a browser can poll without
/// a preflight; then `Last-Event-ID`; last `Etag`, which NchanSubscriber.js sends.
///
/// # Errors
/// One line that names what cannot be read; answered 400.
pub(super) fn of_request(head: &RequestHead<'_>) -> Result<Cursor, &'static str> {
    let modified = head.header("If-Modified-Since");
    let tag = head.header("If-None-Match");
    if modified.is_some() || tag.is_some() {
        return of_validators(modified, tag);
    }
    if let Some(id) = head.query.and_then(query_parameter) {
        let id: Vec<u8> = percent_decode(id).collect();
        return of_event_id(&id)
            .ok_or("last_event_id in the query must be TIME:TAG, as in 1450755280:0");
    }
    if let Some(id) = head.header("Last-Event-ID") {
        return of_event_id(id)
            .ok_or("the Last-Event-ID header must be TIME:TAG, as in 1450755280:0");
    }
    if let Some(id) = head.header("Etag") {
        return of_event_id(id)
            .ok_or("a request's Etag header must be TIME:TAG, as in 1450755280:0");
    }
    Ok(Cursor::OLDEST)
}

fn of_validators(modified: Option<&[u8]>, tag: Option<&[u8]>) -> Result<Cursor, &'static str> {
    let tag = match tag {
        None => 0,
        Some(tag) => entity_tag(tag).ok_or(
            "the If-None-Match header must be the Etag of the last message: a number, bare or quoted",
        )?,
    };
    let Some(modified) = modified else { return Ok(Cursor::OLDEST) };
    let time = parse_http_date(modified).filter(|time| *time <= TIME_MAX).ok_or(
        "the If-Modified-Since header must be the Last-Modified of the last message: a date as in \
         Tue, 22 Dec 2015 03:34:40 GMT",
    )?;
    Ok(Cursor { time, tag, given: true })
}

/// A tag bare (`3`), quoted (`"3"`) or weak (`W/"3"`).
fn entity_tag(text: &[u8]) -> Option<u32> {
    let quoted = text.strip_prefix(b"W/").unwrap_or(text);
    let digits = match quoted.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\"")?,
        None if quoted.len() < text.len() => return None,
        None => quoted,
    };
    decimal(digits)?.try_into().ok()
}

/// `TIME:TAG`; nothing at all asks for the oldest message.
fn of_event_id(text: &[u8]) -> Option<Cursor> {
    if text.is_empty() {
        return Some(Cursor::OLDEST);
    }
    let colon = memchr::memchr(b':', text)?;
    let time = decimal(&text[..colon])?;
    let tag = decimal(&text[colon + 1..])?.try_into().ok()?;
    (time <= TIME_MAX).then_some(Cursor { time, tag, given: true })
}

fn decimal(digits: &[u8]) -> Option<u64> {
    // `parse` would take a sign.
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The value of `last_event_id`.
fn query_parameter(query: &[u8]) -> Option<&[u8]> {
    query.split(|byte| *byte == b'&').find_map(|pair| pair.strip_prefix(b"last_event_id="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, HeaderSlots, parse_request};

    fn cursor(query: &str, headers: &str) -> Result<(u64, u32), &'static str> {
        let head = format!("GET /a{query} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let limits = HeadLimits { header_bytes: 4096, headers: 20, uri_bytes: 1024 };
        let mut slots = HeaderSlots::new();
        let head = parse_request(head.as_bytes(), &mut slots, &limits).unwrap();
        of_request(&head).map(|cursor| (cursor.time, cursor.tag))
    }

    const DATE: &str = "If-Modified-Since: Tue, 22 Dec 2015 03:34:40 GMT\r\n";

    #[test]
    fn validators_are_read_in_all_spellings() {
        for tag in ["3", "\"3\"", "W/\"3\"", "  3  "] {
            let headers = format!("{DATE}If-None-Match: {tag}\r\n");
            assert_eq!(cursor("", &headers), Ok((1_450_755_280, 3)), "{tag}");
        }
        assert_eq!(cursor("", DATE), Ok((1_450_755_280, 0)));
        assert_eq!(cursor("", "If-None-Match: 7\r\n"), Ok((0, 0)));
        let epoch = "If-Modified-Since: Thu, 1 Jan 1970 00:00:00 GMT\r\n";
        assert_eq!(cursor("", epoch), Ok((0, 0)));
        assert_eq!(cursor("", ""), Ok((0, 0)));
    }

    #[test]
    fn unreadable_validators_are_named() {
        for tag in ["abc", "-1", "+1", "*", "\"3", "W/3", "0, 1", "", "99999999999999999999"] {
            let error = cursor("", &format!("{DATE}If-None-Match: {tag}\r\n")).unwrap_err();
            assert!(error.contains("If-None-Match"), "{tag}");
        }
        let error = cursor("", "If-Modified-Since: yesterday\r\n").unwrap_err();
        assert!(error.contains("If-Modified-Since"));
    }

    #[test]
    fn the_cursor_may_come_in_the_query_or_in_other_headers() {
        assert_eq!(cursor("?last_event_id=100:2", ""), Ok((100, 2)));
        assert_eq!(cursor("?x=1&last_event_id=100%3A2", ""), Ok((100, 2)));
        assert_eq!(cursor("?last_event_id=", ""), Ok((0, 0)));
        assert_eq!(cursor("", "Last-Event-ID: 100:2\r\n"), Ok((100, 2)));
        assert_eq!(cursor("", "Etag: 100:2\r\n"), Ok((100, 2)));
        assert_eq!(cursor("?last_event_id=1:1", DATE), Ok((1_450_755_280, 0)));
        for bad in ["100", "100:", ":2", "a:2", "100:2:3", "999999999999:0"] {
            assert!(cursor(&format!("?last_event_id={bad}"), "").is_err(), "{bad}");
        }
    }
}
