//! Scanner: finds the end of a head in a growing buffer, without a second look at any byte. Refuses
//! what can never become a head as early as its bytes show it: a client that would never finish a
//! head (TLS, HTTP/2, HTTP/0.9, LF for CRLF) gets an answer instead of a timeout. Allocates nothing
//! unless it refuses.

use memchr::{memchr, memchr_iter, memchr2};
use serde::{Deserialize, Serialize};

use super::error::HttpError;
use super::token::is_token;

/// Bytes of the longest method.
pub(super) const METHOD_BYTES_MAX: usize = 32;

/// Most bytes of CRLF before a request line: some clients send one behind a body.
const BLANK_BYTES_MAX: usize = 4;

pub(super) const REQUEST_LINE: &str =
    "the request line is not `METHOD /path HTTP/1.1` with single spaces";

/// How large a head may be. Each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadLimits {
    /// Bytes of the whole head, from its start line to its blank line; more is answered 431.
    pub header_bytes: usize,
    /// Fields, up to [`HEADERS_MAX`](super::head::HEADERS_MAX); more are answered 431.
    pub headers: usize,
    /// Bytes of the request target; more are answered 414.
    pub uri_bytes: usize,
}

/// Whether a buffer holds a whole head yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// Not yet: read more, then call again with this `scanned`.
    Partial {
        /// Bytes that have been scanned.
        scanned: usize,
    },
    /// The first `len` bytes are the head, with its blank line.
    Complete {
        /// Length of the head in bytes.
        len: usize,
    },
}

/// Looks for the end of a request head. `scanned` is 0, or the result of the last call, on fewer
/// bytes of the same buffer.
///
/// # Errors
/// 414 and 431 as [`HeadLimits`] says; 400 for what does not begin like a request or has a bare
/// LF; 505 for other versions.
pub fn scan(buffer: &[u8], scanned: usize, limits: &HeadLimits) -> Result<Scan, HttpError> {
    let blank = blank_bytes(buffer)?;
    let rest = &buffer[blank..];
    if rest.is_empty() || rest == b"\r" {
        return Ok(Scan::Partial { scanned: buffer.len() });
    }
    let scanned = scanned.saturating_sub(blank);
    check_start(rest, scanned, limits.uri_bytes)?;
    match find_end(rest, scanned, limits.header_bytes, check_request_line)? {
        Scan::Partial { scanned } => Ok(Scan::Partial { scanned: scanned + blank }),
        Scan::Complete { len } => Ok(Scan::Complete { len: len + blank }),
    }
}

/// [`scan`] for the head of a response.
///
/// # Errors
/// 502 for every fault.
pub fn scan_response(
    buffer: &[u8],
    scanned: usize,
    limits: &HeadLimits,
) -> Result<Scan, HttpError> {
    let begin = buffer.len().min(5);
    if buffer[..begin] != b"HTTP/"[..begin] {
        return Err(HttpError::new(502, "it does not begin with HTTP/"));
    }
    find_end(buffer, scanned, limits.header_bytes, |_| Ok(())).map_err(|error| match error.status {
        431 => HttpError::new(
            502,
            format!(
                "its head is over {} bytes; raise limits.header_bytes above that",
                limits.header_bytes
            ),
        ),
        _ => error.blame_upstream(),
    })
}

/// Bytes of CRLF at the beginning.
pub(super) fn blank_bytes(buffer: &[u8]) -> Result<usize, HttpError> {
    let mut bytes = 0;
    while buffer[bytes..].starts_with(b"\r\n") {
        bytes += 2;
        if bytes > BLANK_BYTES_MAX {
            return Err(HttpError::bad_request("too many blank lines before the request line"));
        }
    }
    Ok(bytes)
}

/// Refuses bytes that cannot become a request line.
fn check_start(rest: &[u8], scanned: usize, uri_bytes: usize) -> Result<(), HttpError> {
    if rest[0] == 0x16 {
        return Err(HttpError::bad_request(
            "this port speaks plain HTTP: use http://, not https://",
        ));
    }
    let begin = &rest[..rest.len().min(METHOD_BYTES_MAX + 1)];
    let Some(method) = begin.iter().position(|byte| !is_token(*byte)) else {
        if begin.len() > METHOD_BYTES_MAX {
            return Err(HttpError::bad_request("the method is over 32 bytes"));
        }
        return Ok(());
    };
    if method == 0 || rest[method] != b' ' {
        return Err(HttpError::bad_request(REQUEST_LINE));
    }
    // Checked once: when the buffer first reaches past the longest target.
    let longest = (method + 1).saturating_add(uri_bytes);
    if scanned <= longest && rest.len() > longest {
        let target = &rest[method + 1..=longest];
        if memchr2(b' ', b'\n', target).is_none() {
            return Err(HttpError::new(
                414,
                format!(
                    "the request target is over {uri_bytes} bytes; shorten the URL, or raise \
                     limits.uri_bytes"
                ),
            ));
        }
    }
    Ok(())
}

/// Looks for the blank line, line by line, and hands the first line to `check_first_line`.
fn find_end(
    rest: &[u8],
    scanned: usize,
    header_bytes: usize,
    check_first_line: fn(&[u8]) -> Result<(), HttpError>,
) -> Result<Scan, HttpError> {
    let window = &rest[..rest.len().min(header_bytes)];
    let scanned = scanned.min(window.len());
    let mut maybe_first = true;
    for lf in memchr_iter(b'\n', &window[scanned..]).map(|at| scanned + at) {
        let Some(line) = window[..lf].strip_suffix(b"\r") else {
            return Err(HttpError::bad_request("lines must end in CRLF, not in a bare LF"));
        };
        if maybe_first && (scanned == 0 || memchr(b'\n', line).is_none()) {
            check_first_line(line)?;
        }
        maybe_first = false;
        if line.ends_with(b"\r\n") {
            return Ok(Scan::Complete { len: lf + 1 });
        }
        // As the next round would find, without a search.
        if window[lf + 1..].starts_with(b"\r\n") {
            return Ok(Scan::Complete { len: lf + 3 });
        }
    }
    if rest.len() > header_bytes {
        return Err(HttpError::new(
            431,
            format!(
                "the head is over {header_bytes} bytes; send fewer or shorter header fields, or \
                 raise limits.header_bytes"
            ),
        ));
    }
    Ok(Scan::Partial { scanned: rest.len() })
}

/// Refuses other versions, and HTTP/0.9, whose client waits for the answer to its one line.
pub(super) fn check_request_line(line: &[u8]) -> Result<(), HttpError> {
    // The common case first: what is behind the last space.
    if line.ends_with(b" HTTP/1.1") {
        return Ok(());
    }
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', major, dot @ .., minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() && dot == b"." =>
        {
            Err(HttpError::new(505, "send HTTP/1.1 or HTTP/1.0"))
        }
        _ => Err(HttpError::bad_request(REQUEST_LINE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits =
        HeadLimits { header_bytes: 32 * 1024, headers: 100, uri_bytes: 8192 };

    #[test]
    fn what_is_no_http_is_refused_at_its_first_bytes() {
        for bytes in [
            &b"\x16\x03\x01\x02\x00\x01\x00"[..],
            b"\x16",
            b"\0",
            b"\x80\x2e",
            b"{",
            b" ",
            b"\n",
            b"GE\x01",
            b"GET\r\n",
            b"<html>",
            b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            b"GET /\r\n",
            b"GET / HTTP/1.1\n",
            b"GET / HTTP/1.1\r\nHost: h\n",
        ] {
            assert_eq!(scan(bytes, 0, &LIMITS).unwrap_err().status, 400, "{bytes:?}");
        }
        assert_eq!(scan(b"PRI * HTTP/2.0\r\n", 0, &LIMITS).unwrap_err().status, 505);
        assert!(scan(b"\x16", 0, &LIMITS).unwrap_err().message.contains("http://"));
    }

    #[test]
    fn a_target_at_its_limit_is_read_and_one_byte_more_is_414_before_it_ends() {
        let limits = HeadLimits { uri_bytes: 50, ..LIMITS };
        let line = |bytes: usize| format!("GET /{}", "a".repeat(bytes - 1));
        let head = format!("{} HTTP/1.1\r\nHost: h\r\n\r\n", line(50));
        assert_eq!(scan(head.as_bytes(), 0, &limits), Ok(Scan::Complete { len: head.len() }));
        assert_eq!(scan(line(50).as_bytes(), 0, &limits), Ok(Scan::Partial { scanned: 54 }));
        assert_eq!(scan(line(51).as_bytes(), 0, &limits).unwrap_err().status, 414);
        assert_eq!(scan(line(51).as_bytes(), 54, &limits).unwrap_err().status, 414);
    }

    #[test]
    fn a_head_at_its_limit_is_read_and_one_byte_more_is_431_before_it_ends() {
        let head = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        let limits = HeadLimits { header_bytes: head.len(), ..LIMITS };
        let body_too = [&head[..], b"body"].concat();
        assert_eq!(scan(&body_too, 0, &limits), Ok(Scan::Complete { len: head.len() }));
        let limits = HeadLimits { header_bytes: head.len() - 1, ..LIMITS };
        assert_eq!(scan(head, 0, &limits).unwrap_err().status, 431);
        let cut = &head[..head.len() - 1];
        assert_eq!(scan(cut, 0, &limits), Ok(Scan::Partial { scanned: cut.len() }));
        assert_eq!(scan(head, cut.len(), &limits).unwrap_err().status, 431);
    }

    #[test]
    fn what_was_scanned_is_not_looked_at_again_however_small_the_pieces() {
        let line = b"GET / HTTP/1.1\r\n";
        let head = [&line[..], &b"Filler: xxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n".repeat(600), b"\r\n"];
        let head = head.concat();
        for size in [1, 2, 3, 16] {
            let (mut buffer, mut scanned, mut ended) = (Vec::new(), 0, None);
            for piece in head.chunks(size) {
                // Refused if it was looked at; the line before the new bytes may end in them.
                if let Some(old) = buffer.get_mut(line.len()..scanned.max(4) - 4) {
                    old.fill(b'\n');
                }
                buffer.extend_from_slice(piece);
                match scan(&buffer, scanned, &LIMITS) {
                    Ok(Scan::Partial { scanned: now }) => scanned = now,
                    end => ended = Some(end),
                }
            }
            assert_eq!(ended, Some(Ok(Scan::Complete { len: head.len() })), "{size}");
        }
    }

    #[test]
    fn an_answer_of_an_upstream_is_looked_at_from_its_first_byte() {
        assert_eq!(scan_response(b"", 0, &LIMITS), Ok(Scan::Partial { scanned: 0 }));
        assert_eq!(scan_response(b"HT", 0, &LIMITS), Ok(Scan::Partial { scanned: 2 }));
        assert_eq!(scan_response(b"HX", 0, &LIMITS).unwrap_err().status, 502);
        let head = b"HTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(scan_response(head, 2, &LIMITS), Ok(Scan::Complete { len: head.len() }));
    }
}
