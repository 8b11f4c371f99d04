//! Round of heads of requests and answers. Where the bytes are split makes no difference; what is
//! accepted keeps what `RequestHead` and `ResponseHead` promise, and written plainly it is read the
//! same.

use pushserver::http::head::HEADERS_MAX;
use pushserver::http::{
    Framing, HeadLimits, HeaderSlots, HttpError, RequestHead, ResponseFraming, Scan, Version,
    is_text, is_token, parse_request, parse_response, scan, scan_response,
};

const LIMITS: HeadLimits = HeadLimits { header_bytes: 512, headers: 16, uri_bytes: 128 };

type Scanner = fn(&[u8], usize, &HeadLimits) -> Result<Scan, HttpError>;

/// The first byte chooses where the others are split.
pub fn round(data: &[u8]) {
    let Some((split, bytes)) = data.split_first() else { return };
    // Heads that `scan` has not seen must not bring the parsers down either.
    let _ = parse_request(bytes, &mut HeaderSlots::new(), &LIMITS);
    let _ = parse_response(bytes, &mut HeaderSlots::new(), split % 2 == 1);
    if let Some(len) = end_of_head(scan, bytes, *split) {
        request(&bytes[..len]);
    }
    if let Some(len) = end_of_head(scan_response, bytes, *split) {
        response(&bytes[..len], split % 2 == 1);
    }
}

/// Where the head ends, which must not depend on how the bytes come.
fn end_of_head(scanner: Scanner, bytes: &[u8], split: u8) -> Option<usize> {
    let whole = scanner(bytes, 0, &LIMITS);
    let first = bytes.len().min(usize::from(split));
    for step in [bytes.len().max(1), usize::from(split % 7) + 1] {
        assert_eq!(in_steps(scanner, bytes, first, step), whole, "{first} then by {step}");
    }
    match whole {
        Ok(Scan::Complete { len }) => {
            assert!(len <= bytes.len() && bytes[..len].ends_with(b"\r\n\r\n"));
            Some(len)
        }
        _ => None,
    }
}

fn in_steps(scanner: Scanner, bytes: &[u8], first: usize, step: usize) -> Result<Scan, HttpError> {
    let (mut end, mut scanned) = (first, 0);
    loop {
        match scanner(&bytes[..end], scanned, &LIMITS) {
            Ok(Scan::Partial { scanned: now }) if end < bytes.len() => scanned = now,
            done => return done,
        }
        end = bytes.len().min(end + step);
    }
}

fn request(bytes: &[u8]) {
    let mut slots = HeaderSlots::new();
    let head = match parse_request(bytes, &mut slots, &LIMITS) {
        Ok(head) => head,
        Err(error) => return sound_error(&error, &[400, 417, 431, 501, 505]),
    };
    keeps_promises(&head);
    let plain = written(&head);
    let mut slots = HeaderSlots::new();
    let again = parse_request(&plain, &mut slots, &LIMITS)
        .unwrap_or_else(|error| panic!("{error}: {}", plain.escape_ascii()));
    let essence = |head: &RequestHead<'_>| {
        (head.framing, head.keep_alive, head.expect_continue, head.upgrade.map(<[u8]>::to_vec))
    };
    assert_eq!(essence(&again), essence(&head));
    assert_eq!((again.method, again.version), (head.method, head.version));
    assert_eq!((again.path, again.query), (head.path, head.query));
    assert_eq!(again.headers, head.headers);
}

fn keeps_promises(head: &RequestHead<'_>) {
    assert!((1..=32).contains(&head.method.len()) && head.method.bytes().all(is_token));
    assert!(head.path.starts_with(b"/") || (head.path == b"*" && head.method == "OPTIONS"));
    assert!(head.path.iter().chain(head.query.unwrap_or_default()).all(|byte| *byte > b' '));
    assert!(!head.path.contains(&b'?') && !head.path.contains(&b'#'));
    assert!(head.headers.len() <= LIMITS.headers);
    sound_fields(head.headers.iter().map(|field| (field.name, field.value)));
    let lengths = head.header_all("content-length").count();
    let codings = head.header_all("transfer-encoding").count();
    assert!(lengths + codings <= 1, "one framing at most");
    assert_eq!(head.framing == Framing::Chunked, codings == 1);
    assert_eq!(matches!(head.framing, Framing::Length(_)), lengths == 1);
    assert!(codings == 0 || head.version == Version::Http11);
    assert!(!head.expect_continue || !matches!(head.framing, Framing::None | Framing::Length(0)));
    let hosts = head.header_all("host").count();
    assert!(hosts == 1 || (hosts == 0 && head.version == Version::Http10));
    assert!(head.version == Version::Http10 || !head.host.is_empty());
}

/// The request as its plainest form.
fn written(head: &RequestHead<'_>) -> Vec<u8> {
    let mut plain = [head.method.as_bytes(), b" ", head.path].concat();
    for part in head.query.iter().flat_map(|query| [&b"?"[..], query]) {
        plain.extend_from_slice(part);
    }
    plain.extend_from_slice(match head.version {
        Version::Http10 => b" HTTP/1.0\r\n",
        Version::Http11 => b" HTTP/1.1\r\n",
    });
    for field in head.headers {
        for part in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
            plain.extend_from_slice(part);
        }
    }
    plain.extend_from_slice(b"\r\n");
    plain
}

fn response(bytes: &[u8], to_head: bool) {
    let mut slots = HeaderSlots::new();
    let head = match parse_response(bytes, &mut slots, to_head) {
        Ok(head) => head,
        Err(error) => return sound_error(&error, &[502]),
    };
    assert!((100..=599).contains(&head.status));
    assert!(head.reason.bytes().all(is_text));
    assert!(head.headers.len() <= HEADERS_MAX);
    sound_fields(head.headers.iter().map(|field| (field.name, field.value)));
    let has_none = to_head || matches!(head.status, 100..=199 | 204 | 304);
    assert!(!has_none || head.framing == ResponseFraming::Known(Framing::None));
    assert!(!head.keep_alive || head.framing != ResponseFraming::UntilClose);
}

fn sound_fields<'h>(fields: impl Iterator<Item = (&'h str, &'h [u8])>) {
    for (name, value) in fields {
        assert!(!name.is_empty() && name.bytes().all(is_token));
        assert!(value.iter().copied().all(is_text));
        assert_eq!(value, value.trim_ascii());
    }
}

/// One line in our own words, with a status that belongs there.
fn sound_error(error: &HttpError, statuses: &[u16]) {
    assert!(statuses.contains(&error.status), "{error}");
    assert!(!error.message.is_empty() && !error.message.contains(char::is_control), "{error:?}");
}
