//! Cursor of a request: read from the four places it may stand in (Basic HTTP Push Relay Protocol
//! 3, and the query and header names that Nchan takes), as intermediaries rewrite it. Knows no
//! channel.

use percent_encoding::percent_decode;

use super::decimal::decimal;
use crate::http::{LAST_SECOND, RequestHead, parse_http_date};
use crate::message::{Cursor, First, MessageId};

/// The cursor of a request. Validators come first; then `Last-Event-ID`, which is newer than the
/// query: an EventSource comes again to the same URL, with the id of the last event in this header;
/// then the query, so that a browser can poll without a preflight; last `Etag`, which
/// NchanSubscriber.js sends. One that is empty is none.
///
/// # Errors
/// One line that names what cannot be read; answered 400.
pub(in crate::relay) fn of_request(head: &RequestHead<'_>) -> Result<Cursor, &'static str> {
    let modified = sole(head, "If-Modified-Since", NOT_ONE_DATE)?;
    let tag = sole(head, "If-None-Match", NOT_ONE_TAG)?;
    if modified.is_some() || tag.is_some() {
        return of_validators(modified, tag);
    }
    if let Some(id) = sole(head, "Last-Event-ID", NO_HEADER)?.filter(|id| !id.is_empty()) {
        return of_event_id(id).ok_or(NO_HEADER);
    }
    if let Some(id) = of_query(head, b"last_event_id=") {
        return of_event_id(&id).ok_or(NO_QUERY);
    }
    match sole(head, "Etag", NO_ETAG)?.filter(|id| !id.is_empty()) {
        Some(id) => of_event_id(id).ok_or(NO_ETAG),
        None => Ok(Cursor::OLDEST),
    }
}

/// Where a request without a cursor begins, as its URL says: behind `since`, `TIME:TAG` or `TIME`
/// for `TIME:0`. A parameter of its own, since scripts append `last_event_id` to URLs. `None`:
/// there is none, or an empty one.
///
/// # Errors
/// One line, where it cannot be read; answered 400.
pub(in crate::relay) fn since(head: &RequestHead<'_>) -> Result<Option<First>, &'static str> {
    let Some(text) = of_query(head, b"since=") else { return Ok(None) };
    let cursor = match decimal(&text) {
        Some(time) if time <= LAST_SECOND => Cursor::at(MessageId { time, tag: 0 }),
        _ => of_event_id(&text).ok_or(NO_SINCE)?,
    };
    Ok(Some(if cursor.is_oldest() { First::Oldest } else { First::Since(cursor.id()) }))
}

/// The value of the first such parameter, percent-decoded, if it is not empty.
fn of_query(head: &RequestHead<'_>, parameter: &[u8]) -> Option<Vec<u8>> {
    let mut pairs = head.query?.split(|byte| *byte == b'&');
    let value = pairs.find_map(|pair| pair.strip_prefix(parameter))?;
    (!value.is_empty()).then(|| percent_decode(value).collect())
}

/// The value of a field that stands in one line, or in several that are alike.
fn sole<'b>(
    head: &RequestHead<'b>,
    name: &str,
    error: &'static str,
) -> Result<Option<&'b [u8]>, &'static str> {
    let mut values = head.header_all(name);
    let first = values.next();
    if values.all(|value| Some(value) == first) { Ok(first) } else { Err(error) }
}

fn of_validators(modified: Option<&[u8]>, tag: Option<&[u8]>) -> Result<Cursor, &'static str> {
    let tag = match tag {
        None => 0,
        Some(tag) => entity_tag(tag).ok_or(NOT_ONE_TAG)?,
    };
    let Some(modified) = modified else { return Ok(Cursor::OLDEST) };
    let time = parse_http_date(modified).ok_or(NOT_ONE_DATE)?;
    Ok(Cursor { time, tag, given: true })
}

/// A tag as caches and compressors leave it: a number, which may follow `W/` and stand in quotes,
/// the opening one of which may be missing; what a content coding appended, within the quotes or
/// behind them, is skipped.
///
/// Of `3` or `"3"` they make `W/"3"` (nginx, Cloudflare), `W/3` (Varnish), `"3-gzip"` (Apache),
/// `"3"-gzip` (Apache 2.2), `3-gzip"` for the client and `3"` for us (Caddy), `3--gzip` (Jetty),
/// `"3;br"` (LiteSpeed).
fn entity_tag(text: &[u8]) -> Option<u32> {
    // The common case first: a number, as the daemon wrote it.
    if let Some(number) = decimal(text) {
        return number.try_into().ok();
    }
    let strong = match text {
        [b'W' | b'w', b'/', rest @ ..] => rest,
        _ => text,
    };
    let (is_quoted, opened) = match strong {
        [b'"', rest @ ..] => (true, rest),
        _ => (false, strong),
    };
    let end = opened.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(opened.len());
    let (digits, rest) = opened.split_at(end);
    let (inside, outside) = match memchr::memchr(b'"', rest) {
        Some(quote) => (&rest[..quote], &rest[quote + 1..]),
        None if is_quoted => return None,
        None => (rest, &b""[..]),
    };
    if !is_coding(inside) || !is_coding(outside) {
        return None;
    }
    decimal(digits)?.try_into().ok()
}

/// Nothing, or what content codings append to a tag: names behind `-` or `;`, as in `-gzip`,
/// `--gzip` and `;br`.
fn is_coding(suffix: &[u8]) -> bool {
    let is_mark = |byte: &u8| matches!(byte, b'-' | b';');
    // A name begins with a letter, so that `3-4` is no tag.
    suffix.is_empty()
        || suffix.first().is_some_and(is_mark)
            && suffix.last().is_some_and(u8::is_ascii_alphanumeric)
            && suffix.split(is_mark).filter(|name| !name.is_empty()).all(|name| {
                name[0].is_ascii_alphabetic() && name.iter().all(u8::is_ascii_alphanumeric)
            })
}

/// `TIME:TAG`, where a script may have made TAG of an `Etag` as it came; what follows behind a `;`
/// is skipped. So the id of a message in a stream, which goes on with `;gap=` and `;channel=`, is a
/// cursor.
fn of_event_id(text: &[u8]) -> Option<Cursor> {
    let colon = memchr::memchr(b':', text)?;
    let time = decimal(&text[..colon])?;
    let tag = entity_tag(before_semicolon(&text[colon + 1..]))?;
    (time <= LAST_SECOND).then_some(Cursor { time, tag, given: true })
}

/// The text before its first `;`, but for those between the quotes of a tag.
fn before_semicolon(text: &[u8]) -> &[u8] {
    let strong = text.strip_prefix(b"W/").or(text.strip_prefix(b"w/")).unwrap_or(text);
    let start = match strong.strip_prefix(b"\"") {
        Some(opened) => memchr::memchr(b'"', opened)
            .map_or(text.len(), |closing| text.len() - opened.len() + closing),
        None => 0,
    };
    memchr::memchr(b';', &text[start..]).map_or(text, |at| &text[..start + at])
}

const NO_HEADER: &str = "the Last-Event-ID header must be TIME:TAG, as in 1450755280:0";

const NO_QUERY: &str = "last_event_id in the query must be TIME:TAG, as in 1450755280:0";

const NO_SINCE: &str = "since in the query must be TIME or TIME:TAG, as in 1450755280";

const NO_ETAG: &str = "a request's Etag header must be TIME:TAG, as in 1450755280:0";

const NOT_ONE_TAG: &str =
    "the If-None-Match header must be the Etag of the last message: one number, bare or quoted";

const NOT_ONE_DATE: &str = "the If-Modified-Since header must be the Last-Modified of the last \
                            message: one date as in Tue, 22 Dec 2015 03:34:40 GMT";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, HeaderSlots, parse_request};

    fn cursor(query: &str, headers: &str) -> Result<(u64, u32), &'static str> {
        read(query, headers, of_request).map(|cursor| (cursor.time, cursor.tag))
    }

    fn read<T>(query: &str, headers: &str, of: fn(&RequestHead<'_>) -> T) -> T {
        let head = format!("GET /a{query} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let limits = HeadLimits { header_bytes: 4096, headers: 20, uri_bytes: 1024 };
        let mut slots = HeaderSlots::new();
        of(&parse_request(head.as_bytes(), &mut slots, &limits).unwrap())
    }

    const DATE: &str = "If-Modified-Since: Tue, 22 Dec 2015 03:34:40 GMT\r\n";

    /// One tag as intermediaries write it.
    const SPELLINGS: [&str; 20] = [
        "3",
        "\"3\"",
        "W/\"3\"",
        "W/3",
        "w/3",
        "w/\"3\"",
        "3\"",
        "W/3\"",
        "3-gzip\"",
        "3-gzip",
        "\"3-gzip\"",
        "W/\"3-gzip\"",
        "\"3\"-gzip",
        "3--gzip",
        "\"3--gzip\"",
        "\"3;br\"",
        "W/\"3;br\"",
        "w/\"3;br\"",
        "3-gzip-zstd\"",
        "\"003\"",
    ];

    const AMBIGUOUS: [&str; 40] = [
        "",
        "\"",
        "\"\"",
        "W/",
        "W/\"\"",
        "*",
        "abc",
        "\"abc\"",
        "gzip-3",
        "-1",
        "+1",
        "\"-1\"",
        "\"3",
        "3\"\"",
        "\"\"3\"\"",
        "'3'",
        "W3",
        "V/3",
        "W/W/3",
        "/3",
        "0, 1",
        "\"1\", \"2\"",
        "\"1\",\"2\"",
        "3 4",
        "3 ;gzip",
        "3-",
        "3--",
        "3-4",
        "3-4gzip",
        "3;",
        "3.5",
        "3:4",
        "3gzip",
        "3_gzip",
        "3-gzip,4",
        "3-g zip",
        "3-gzip;",
        "4294967296",
        "99999999999999999999",
        "4294967296-gzip",
    ];

    #[test]
    fn a_tag_is_read_as_intermediaries_rewrite_it() {
        for tag in SPELLINGS {
            let headers = format!("{DATE}If-None-Match:  {tag} \r\n");
            assert_eq!(cursor("", &headers), Ok((1_450_755_280, 3)), "{tag}");
            for name in ["Etag", "Last-Event-ID"] {
                assert_eq!(cursor("", &format!("{name}: 100:{tag}\r\n")), Ok((100, 3)), "{tag}");
            }
            let query = format!("?last_event_id=100:{}", tag.replace('"', "%22"));
            assert_eq!(cursor(&query, ""), Ok((100, 3)), "{tag}");
        }
    }

    #[test]
    fn a_tag_that_could_be_another_is_refused() {
        for tag in AMBIGUOUS {
            let error = cursor("", &format!("{DATE}If-None-Match: {tag}\r\n")).unwrap_err();
            assert!(error.contains("If-None-Match"), "{tag}");
            // Behind a `;` is what is no part of an id.
            if !["3;", "3-gzip;"].contains(&tag) {
                let error = cursor("", &format!("Last-Event-ID: 100:{tag}\r\n")).unwrap_err();
                assert!(error.contains("Last-Event-ID"), "{tag}");
            }
        }
    }

    #[test]
    fn what_follows_an_id_behind_a_semicolon_is_skipped() {
        let following =
            ["", "gap=3", "gap=unknown;channel=a%2Cb", "channel=\"\"", ";", " x:4", "\""];
        for tag in SPELLINGS {
            for rest in following {
                let id = format!("100:{tag};{rest}");
                for name in ["Etag", "Last-Event-ID"] {
                    assert_eq!(cursor("", &format!("{name}: {id}\r\n")), Ok((100, 3)), "{id}");
                }
                let encoded = id.replace('"', "%22").replace(' ', "%20");
                for id in [encoded.replace(';', "%3b"), encoded] {
                    let read = cursor(&format!("?last_event_id={id}&x=1"), "");
                    assert_eq!(read, Ok((100, 3)), "{id}");
                }
            }
        }
        for id in ["100;:3", "100:;3", ";100:3", "100;gap=1", "100: 3;", "100:3 ;", "100:\"3;gap=1"]
        {
            assert!(cursor("", &format!("Last-Event-ID: {id}\r\n")).is_err(), "{id}");
        }
        assert!(cursor("", &format!("{DATE}If-None-Match: 3;gap=1\r\n")).is_err());
    }

    #[test]
    fn the_header_of_an_event_source_is_newer_than_its_query() {
        let (query, header, etag) =
            ("?last_event_id=1:1", "Last-Event-ID: 100:2\r\n", "Etag: 3:3\r\n");
        assert_eq!(cursor(query, &[etag, header].concat()), Ok((100, 2)));
        assert_eq!(cursor(query, etag), Ok((1, 1)));
        assert_eq!(cursor(query, &[header, DATE].concat()), Ok((1_450_755_280, 0)));
        assert_eq!(cursor("", &[etag, header].concat()), Ok((100, 2)));
        // Where it cannot be read, nothing older is taken in its place.
        assert!(cursor(query, "Last-Event-ID: x\r\n").unwrap_err().contains("header"));
        assert!(cursor("?last_event_id=x", etag).unwrap_err().contains("query"));
    }

    #[test]
    fn an_empty_cursor_is_none() {
        assert_eq!(cursor("?last_event_id=1:1", "Last-Event-ID:\r\n"), Ok((1, 1)));
        assert_eq!(cursor("?last_event_id=", "Last-Event-ID: \r\nEtag: 3:3\r\n"), Ok((3, 3)));
        assert_eq!(cursor("?last_event_id=&last_event_id=1:1", "Etag:\r\n"), Ok((0, 0)));
    }

    #[test]
    fn validators_that_come_twice_have_to_be_alike() {
        let tags = |first: &str, second: &str| {
            cursor("", &format!("{DATE}If-None-Match: {first}\r\nIf-None-Match: {second}\r\n"))
        };
        assert_eq!(tags("1", "1"), Ok((1_450_755_280, 1)));
        assert!(tags("1", "2").unwrap_err().contains("If-None-Match"));
        let other = "If-Modified-Since: Tue, 22 Dec 2015 03:34:41 GMT\r\n";
        let error = cursor("", &format!("{DATE}{other}")).unwrap_err();
        assert!(error.contains("If-Modified-Since"));
        assert_eq!(cursor("", &format!("{DATE}{DATE}")), Ok((1_450_755_280, 0)));
        assert!(cursor("", "Last-Event-ID: 100:2\r\nLast-Event-ID: 100:3\r\n").is_err());
    }

    #[test]
    fn without_a_date_or_from_the_epoch_on_the_oldest_message_is_wanted() {
        assert_eq!(cursor("", DATE), Ok((1_450_755_280, 0)));
        assert_eq!(cursor("", "If-None-Match: 7\r\n"), Ok((0, 0)));
        let epoch = "If-Modified-Since: Thu, 1 Jan 1970 00:00:00 GMT\r\n";
        assert_eq!(cursor("", epoch), Ok((0, 0)));
        assert_eq!(cursor("", ""), Ok((0, 0)));
        let error = cursor("", "If-Modified-Since: yesterday\r\n").unwrap_err();
        assert!(error.contains("If-Modified-Since"));
    }

    #[test]
    fn since_is_a_time_or_an_id_and_no_cursor_itself() {
        let since = |query: &str| {
            assert_eq!(cursor(query, ""), Ok((0, 0)), "{query}");
            read(query, "", since)
        };
        let at = |time, tag| Ok(Some(First::Since(MessageId { time, tag })));
        assert_eq!(since("?since=100"), at(100, 0));
        assert_eq!(since("?x=1&since=100:2&last_event_id="), at(100, 2));
        assert_eq!(since("?since=100%3A2%3bgap=1&since=7"), at(100, 2));
        assert_eq!(since("?since=253402300799"), at(253_402_300_799, 0));
        for oldest in ["?since=0", "?since=0:5", "?since=00"] {
            assert_eq!(since(oldest), Ok(Some(First::Oldest)), "{oldest}");
        }
        for none in ["", "?", "?since=", "?since", "?Since=1", "?sincere=1", "?x=since=1"] {
            assert_eq!(since(none), Ok(None), "{none}");
        }
        for bad in
            ["now", "-1", "+1", "1.5", "1:", ":1", "253402300800", "1%", "99999999999999999999"]
        {
            assert_eq!(since(&format!("?since={bad}")), Err(NO_SINCE), "{bad}");
        }
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
