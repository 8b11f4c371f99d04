//! Heads of requests and responses: the parser of a whole head, as `scan` finds it (RFC 9112
//! sections 2 to 6). httparse splits the lines; what it accepts although it has two readings is
//! refused here. Allocates nothing unless it refuses.
//!
//! Where the RFC leaves a choice:
//! * Up to two blank lines before a request line are skipped (2.2), none before a status line.
//! * Lines end in CRLF, never in a bare LF.
//! * `Host` must name a host: an empty one is refused, a comma in it too. An absolute-form target
//!   must name the same authority (3.2.2 would let the target win).
//! * CONNECT is answered 501: 405 would have to name methods that this target takes.
//! * Raw UTF-8 in a target is accepted and not changed; other bytes above 127 and `#` are refused.
//! * No HTAB in `Content-Length` and `Transfer-Encoding` lines: nginx overlooks `chunked` behind
//!   one.

use std::mem::MaybeUninit;

use httparse::{Header, Status};
use memchr::memchr;

use super::error::HttpError;
use super::fields::Fields;
use super::framing::{Framing, ResponseFraming};
use super::scan::{HeadLimits, METHOD_BYTES_MAX, REQUEST_LINE, blank_bytes, check_request_line};
use super::target::Target;
use super::token::is_named;
use super::version::Version;

/// Most fields of one head, whatever [`HeadLimits::headers`] says.
pub const HEADERS_MAX: usize = 256;

/// Room for the fields of one head, on the stack of the caller; not initialised, so it is free.
#[derive(Debug)]
pub struct HeaderSlots<'b>([MaybeUninit<Header<'b>>; HEADERS_MAX]);

impl HeaderSlots<'_> {
    /// Empty slots.
    #[must_use]
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; HEADERS_MAX])
    }
}

impl Default for HeaderSlots<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// One valid request head. Borrows the bytes that it was parsed from.
#[derive(Debug)]
pub struct RequestHead<'b> {
    /// A token of at most 32 bytes; any method, in upper or lower case as sent.
    pub method: &'b str,
    /// Raw path, never empty: begins with `/`, or is `*` (with OPTIONS only).
    pub path: &'b [u8],
    /// The part of the target behind its first `?`; raw.
    pub query: Option<&'b [u8]>,
    /// 1.0 or 1.1.
    pub version: Version,
    /// Every field in order; names are tokens, values are trimmed and free of control characters
    /// but HTAB.
    pub headers: &'b [Header<'b>],
    /// How the body ends.
    pub framing: Framing,
    /// Whether the connection may carry another request after this one (RFC 9112 9.3).
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends its body. False where there is none.
    pub expect_continue: bool,
    /// Host and port as sent; empty only where an HTTP/1.0 request names none.
    pub host: &'b [u8],
    /// Value of `Upgrade`, where `Connection` names it too and the version is 1.1.
    pub upgrade: Option<&'b [u8]>,
}

/// One valid response head of an upstream.
#[derive(Debug)]
pub struct ResponseHead<'b> {
    /// 100 to 599.
    pub status: u16,
    /// Reason phrase; empty if there is none or it is not ASCII.
    pub reason: &'b str,
    /// 1.0 or 1.1.
    pub version: Version,
    /// As in [`RequestHead`].
    pub headers: &'b [Header<'b>],
    /// How the body ends.
    pub framing: ResponseFraming,
    /// Whether the upstream accepts another request on this connection.
    pub keep_alive: bool,
    /// As in [`RequestHead`]; has a meaning with status 101.
    pub upgrade: Option<&'b [u8]>,
}

impl<'b> RequestHead<'b> {
    /// The first value under `name`, ASCII case-insensitive; trimmed.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.header_all(name).next()
    }

    /// Every value under `name`, in order.
    pub fn header_all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'b, 'n> {
        values(self.headers, name)
    }
}

/// Every value under `name`, ASCII case-insensitive, in order; trimmed.
pub fn values<'b, 'n>(
    headers: &'b [Header<'b>],
    name: &'n str,
) -> impl Iterator<Item = &'b [u8]> + use<'b, 'n> {
    headers.iter().filter(move |header| is_named(header.name, name)).map(|header| header.value)
}

/// Reads a whole request head, as [`scan`](super::scan()) found it.
///
/// # Errors
/// 400 for a head that is malformed or has two readings; 417 for an unknown expectation, 431 for
/// too many fields, 501 and 505 for methods, codings and versions that are not served.
pub fn parse_request<'b>(
    head: &'b [u8],
    slots: &'b mut HeaderSlots<'b>,
    limits: &HeadLimits,
) -> Result<RequestHead<'b>, HttpError> {
    let head = &head[blank_bytes(head)?..];
    check_line_ends(head)?;
    let mut parsed = httparse::Request::new(&mut []);
    let slots = &mut slots.0[..limits.headers.min(HEADERS_MAX)];
    let status = parsed.parse_with_uninit_headers(head, slots);
    let (Ok(Status::Complete(len)), Some(method), Some(target), Some(version)) =
        (status, parsed.method, parsed.path, parsed.version)
    else {
        return Err(explain(head, status, limits.headers.min(HEADERS_MAX)));
    };
    if len != head.len() {
        return Err(HttpError::bad_request("bytes follow the blank line of a head"));
    }
    if method.len() > METHOD_BYTES_MAX {
        return Err(HttpError::bad_request("the method is over 32 bytes"));
    }
    let headers: &'b [Header<'b>] = parsed.headers;
    let version = if version == 0 { Version::Http10 } else { Version::Http11 };
    let fields = Fields::read(head, headers)?;
    let target = Target::read(method, target.as_bytes())?;
    let framing = fields.framing(version)?.unwrap_or(Framing::None);
    let has_body = !matches!(framing, Framing::None | Framing::Length(0));
    Ok(RequestHead {
        method,
        path: target.path,
        query: target.query,
        version,
        headers,
        framing,
        keep_alive: fields.keep_alive(version),
        expect_continue: fields.expects_continue(version)? && has_body,
        host: fields.host(version, target.authority)?,
        upgrade: fields.upgrade(version),
    })
}

/// Reads a whole response head, as [`scan_response`](super::scan_response) found it. The answer to
/// a HEAD request (`request_was_head`) has no body, whatever its fields say.
///
/// # Errors
/// 502 for every fault.
pub fn parse_response<'b>(
    head: &'b [u8],
    slots: &'b mut HeaderSlots<'b>,
    request_was_head: bool,
) -> Result<ResponseHead<'b>, HttpError> {
    check_line_ends(head).map_err(HttpError::blame_upstream)?;
    let mut parsed = httparse::Response::new(&mut []);
    let result = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut parsed,
        head,
        &mut slots.0,
    );
    let (Ok(Status::Complete(len)), Some(status @ 100..=599), Some(version)) =
        (result, parsed.code, parsed.version)
    else {
        return Err(explain_response(result));
    };
    if len != head.len() || !head.starts_with(b"HTTP/") {
        return Err(explain_response(result));
    }
    let headers: &'b [Header<'b>] = parsed.headers;
    let version = if version == 0 { Version::Http10 } else { Version::Http11 };
    let fields = Fields::read(head, headers).map_err(HttpError::blame_upstream)?;
    let framing = match fields.framing(version).map_err(HttpError::blame_upstream)? {
        _ if request_was_head || matches!(status, 100..=199 | 204 | 304) => {
            ResponseFraming::Known(Framing::None)
        }
        Some(framing) => ResponseFraming::Known(framing),
        None => ResponseFraming::UntilClose,
    };
    Ok(ResponseHead {
        status,
        reason: parsed.reason.unwrap_or_default(),
        version,
        headers,
        framing,
        keep_alive: framing != ResponseFraming::UntilClose && fields.keep_alive(version),
        upgrade: fields.upgrade(version),
    })
}

/// Refuses a CR or LF without the other; httparse accepts a bare LF.
fn check_line_ends(head: &[u8]) -> Result<(), HttpError> {
    if has_stray_line_end(head) {
        return Err(HttpError::bad_request("a bare CR or LF; lines must end in CRLF"));
    }
    Ok(())
}

/// Has no early exit, and looks at the last bytes twice rather than at each of them for itself, so
/// that the compiler makes it check many bytes at once.
fn has_stray_line_end(head: &[u8]) -> bool {
    const AT_ONCE: usize = 32;
    let stray = |bytes: &[u8], behind: &[u8]| {
        let pairs = bytes.iter().zip(behind);
        pairs.fold(0, |stray, (byte, next)| {
            stray | (u8::from(*byte == b'\r') ^ u8::from(*next == b'\n'))
        })
    };
    let behind = head.get(1..).unwrap_or_default();
    let bytes = &head[..behind.len()];
    let found = match (bytes.last_chunk::<AT_ONCE>(), behind.last_chunk::<AT_ONCE>()) {
        (Some(last), Some(last_behind)) => {
            let chunks = bytes.chunks_exact(AT_ONCE).zip(behind.chunks_exact(AT_ONCE));
            chunks.fold(stray(last, last_behind), |found, (bytes, behind)| {
                found | stray(bytes, behind)
            })
        }
        _ => stray(bytes, behind),
    };
    found != 0 || head.first() == Some(&b'\n')
}

/// Why httparse refused a request head.
fn explain(head: &[u8], status: httparse::Result<usize>, fields_max: usize) -> HttpError {
    let line = &head[..memchr(b'\r', head).unwrap_or(head.len())];
    let message = match status {
        Err(httparse::Error::TooManyHeaders) => {
            return HttpError::new(
                431,
                format!("over {fields_max} header fields; send fewer, or raise limits.headers"),
            );
        }
        Err(httparse::Error::HeaderName) => {
            "a header line is not `name: value` without a space before the name or the colon"
        }
        Err(httparse::Error::HeaderValue) => "a header value has a control character",
        Err(httparse::Error::Version) => match check_request_line(line) {
            Err(error) => return error,
            Ok(()) => REQUEST_LINE,
        },
        _ if line.iter().any(|byte| *byte > 0x7f) => {
            "percent-encode what is not ASCII in the request target"
        }
        _ => REQUEST_LINE,
    };
    HttpError::bad_request(message)
}

/// Why httparse refused the head of an answer.
fn explain_response(status: httparse::Result<usize>) -> HttpError {
    let message = match status {
        Err(httparse::Error::TooManyHeaders) => {
            return HttpError::new(502, format!("its head has over {HEADERS_MAX} fields"));
        }
        Err(httparse::Error::HeaderName) => "a line of its head is not `name: value`",
        Err(httparse::Error::HeaderValue) => "a value in its head has a control character",
        _ => "its first line is not `HTTP/1.1 status reason`",
    };
    HttpError::new(502, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::{Scan, scan, scan_response};

    const LIMITS: HeadLimits =
        HeadLimits { header_bytes: 32 * 1024, headers: 100, uri_bytes: 8192 };

    /// Scans and parses, as a connection does that has read all of it at once.
    fn read<T>(bytes: &[u8], then: impl FnOnce(RequestHead<'_>) -> T) -> Result<T, HttpError> {
        let Scan::Complete { len } = scan(bytes, 0, &LIMITS)? else {
            return Err(HttpError::new(0, "partial"));
        };
        assert_eq!(len, bytes.len());
        let mut slots = HeaderSlots::new();
        parse_request(bytes, &mut slots, &LIMITS).map(then)
    }

    fn status(bytes: &[u8]) -> u16 {
        read(bytes, |_| ()).expect_err(&String::from_utf8_lossy(bytes)).status
    }

    /// An HTTP/1.1 request with these lines after a good request line and a good `Host`.
    fn with_lines(lines: &[u8]) -> Vec<u8> {
        [b"POST /a HTTP/1.1\r\nHost: h\r\n", lines, b"\r\n"].concat()
    }

    fn with_line(request_line: &str) -> Vec<u8> {
        format!("{request_line}\r\nHost: h\r\n\r\n").into_bytes()
    }

    fn respond<T>(
        bytes: &[u8],
        was_head: bool,
        then: impl FnOnce(ResponseHead<'_>) -> T,
    ) -> Result<T, HttpError> {
        let Scan::Complete { len } = scan_response(bytes, 0, &LIMITS)? else {
            return Err(HttpError::new(0, "partial"));
        };
        assert_eq!(len, bytes.len());
        let mut slots = HeaderSlots::new();
        parse_response(bytes, &mut slots, was_head).map(then)
    }

    #[test]
    fn a_browsers_poll_is_read() {
        let bytes = b"GET /updates/a%2Fb?x=1?2 HTTP/1.1\r\nHost: localhost:8001\r\n\
            if-none-match:3\r\nIf-None-Match: \t 4 \t \r\nEmpty:\r\nCookie: \xc3\xa4\tb\r\n\r\n";
        read(bytes, |head| {
            assert_eq!(head.method, "GET");
            assert_eq!(head.path, b"/updates/a%2Fb");
            assert_eq!(head.query, Some(&b"x=1?2"[..]));
            assert_eq!(head.version, Version::Http11);
            assert_eq!(head.framing, Framing::None);
            assert_eq!(head.host, b"localhost:8001");
            assert!(head.keep_alive && !head.expect_continue && head.upgrade.is_none());
            assert_eq!(head.header("If-None-Match"), Some(&b"3"[..]));
            assert_eq!(head.header_all("IF-NONE-MATCH").collect::<Vec<_>>(), [b"3", b"4"]);
            assert_eq!(head.header("empty"), Some(&b""[..]));
            assert_eq!(head.header("cookie"), Some(&b"\xc3\xa4\tb"[..]));
            assert_eq!(head.header("Accept"), None);
            assert_eq!(head.headers.len(), 5);
        })
        .unwrap();
    }

    #[test]
    fn framing_that_has_two_readings_is_refused() {
        for (lines, wanted) in [
            ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400),
            ("Content-Length: 0\r\nTransfer-Encoding: identity\r\n", 501),
            ("Content-Length: 3\r\nContent-Length: 4\r\n", 400),
            ("Content-Length: 3\r\ncontent-length: 3\r\n", 400),
            ("Content-Length: 3, 3\r\n", 400),
            ("Content-Length: +3\r\n", 400),
            ("Content-Length: -3\r\n", 400),
            ("Content-Length: 0x3\r\n", 400),
            ("Content-Length: 3.0\r\n", 400),
            ("Content-Length: 3 3\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("Content-Length: \r\n", 400),
            ("Content-Length: \"3\"\r\n", 400),
            ("Content-Length: 3;\r\n", 400),
            ("Content-Length: 1000000000000000000\r\n", 400),
            ("Content-Length: 18446744073709551619\r\n", 400),
            ("Content-Length:\t3\r\n", 400),
            ("Content-Length: 3\t\r\n", 400),
            ("Content-Length : 3\r\n", 400),
            ("Content-Length\t: 3\r\n", 400),
            ("Transfer-Encoding : chunked\r\n", 400),
            (" Transfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding:\tchunked\r\n", 400),
            ("Transfer-Encoding: chunked\t\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 501),
            ("Transfer-Encoding: chunked, chunked\r\n", 400),
            ("Transfer-Encoding: ,chunked\r\n", 400),
            ("Transfer-Encoding: chunked,\r\n", 400),
            ("Transfer-Encoding:\r\n", 400),
            ("Transfer-Encoding: identity\r\n", 501),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            ("Transfer-Encoding: chunked, gzip\r\n", 501),
            ("Transfer-Encoding: xchunked\r\n", 501),
            ("Transfer-Encoding: chunked;a=b\r\n", 501),
            ("Transfer-Encoding: \"chunked\"\r\n", 501),
            ("Transfer-Encoding: \x0bchunked\r\n", 400),
            ("Transfer-Encoding:\r\n chunked\r\n", 400),
            ("X: y\r\n folded\r\n", 400),
            ("X: y\r\n\tfolded\r\n", 400),
            ("X: y\nContent-Length: 3\r\n", 400),
            ("X: y\rContent-Length: 3\r\n", 400),
            ("X: y\r\r\nContent-Length: 3\r\n", 400),
            ("X: y\0\r\n", 400),
            ("X\0: y\r\n", 400),
            ("X y: z\r\n", 400),
            ("X(): z\r\n", 400),
            ("X\u{e4}: z\r\n", 400),
            (": z\r\n", 400),
            ("no colon\r\n", 400),
            ("nocolon\r\n", 400),
        ] {
            assert_eq!(status(&with_lines(lines.as_bytes())), wanted, "{lines:?}");
        }
    }

    #[test]
    fn a_bare_lf_is_refused_without_a_scan_before() {
        for head in [
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\n",
            "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n",
            "",
        ] {
            let mut slots = HeaderSlots::new();
            let result = parse_request(head.as_bytes(), &mut slots, &LIMITS).map(|_| ());
            assert_eq!(result.expect_err(head).status, 400, "{head:?}");
        }
    }

    #[test]
    fn a_tab_is_refused_in_framing_lines_only() {
        assert_eq!(status(&with_lines(b"Content-Length: 3 \t \r\n")), 400);
        assert!(read(&with_lines(b"Accept:\ttext/html\t\r\n"), |_| ()).is_ok());
    }

    #[test]
    fn announced_framing_is_found() {
        for (lines, wanted) in [
            ("", Framing::None),
            ("Content-Length: 0\r\n", Framing::Length(0)),
            ("Content-Length: 007\r\n", Framing::Length(7)),
            ("CONTENT-LENGTH:999999999999999999 \r\n", Framing::Length(999_999_999_999_999_999)),
            ("transfer-encoding: CHUNKED\r\n", Framing::Chunked),
        ] {
            let framing = read(&with_lines(lines.as_bytes()), |head| head.framing);
            assert_eq!(framing, Ok(wanted), "{lines:?}");
        }
    }

    #[test]
    fn transfer_encoding_is_refused_in_http_1_0() {
        assert_eq!(status(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
    }

    #[test]
    fn a_control_byte_is_refused_wherever_it_stands() {
        for byte in (0..=0x20).chain([0x7f]) {
            for at in 0..40 {
                let mut text = [b'a'; 40];
                text[at] = byte;
                let target = [b"GET /", &text[..], b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
                assert_eq!(status(&target), 400, "{byte} at {at} of a target");
                let name = with_lines(&[&text[..], b": b\r\n"].concat());
                assert_eq!(status(&name), 400, "{byte} at {at} of a name");
                if byte != b' ' && byte != b'\t' {
                    let value = with_lines(&[b"X: ", &text[..], b"\r\n"].concat());
                    assert_eq!(status(&value), 400, "{byte} at {at} of a value");
                }
            }
        }
    }

    #[test]
    fn a_malformed_request_line_is_refused() {
        for (line, wanted) in [
            ("GET /", 400),
            ("GET", 400),
            ("GET  / HTTP/1.1", 400),
            ("GET /  HTTP/1.1", 400),
            ("GET / HTTP/1.1 ", 400),
            (" GET / HTTP/1.1", 400),
            ("GET\t/ HTTP/1.1", 400),
            ("GET /\tHTTP/1.1", 400),
            ("GET / b HTTP/1.1", 400),
            ("GET /#a HTTP/1.1", 400),
            ("GET / http/1.1", 400),
            ("GET / HTTP/1.1x", 400),
            ("GET / HTTP/11", 400),
            ("GET / HTTP/1.10", 400),
            ("GET / ICY/1.1", 400),
            ("GET HTTP/1.1", 400),
            ("G(T / HTTP/1.1", 400),
            ("G\u{e4}T / HTTP/1.1", 400),
            ("/ HTTP/1.1", 400),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1", 400),
            ("GET a HTTP/1.1", 400),
            ("GET h:80 HTTP/1.1", 400),
            ("GET * HTTP/1.1", 400),
            ("GET *a HTTP/1.1", 400),
            ("OPTIONS *? HTTP/1.1", 400),
            ("GET ftp://h/ HTTP/1.1", 400),
            ("CONNECT h:80 HTTP/1.1", 501),
            ("CONNECT / HTTP/1.1", 501),
            ("GET / HTTP/2.0", 505),
            ("GET / HTTP/1.2", 505),
            ("GET / HTTP/0.9", 505),
            ("PRI * HTTP/2.0", 505),
        ] {
            assert_eq!(status(&with_line(line)), wanted, "{line:?}");
        }
        assert_eq!(status(b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    }

    #[test]
    fn every_method_that_is_a_token_is_reported_as_it_is() {
        for method in ["get", "BREW", "M-SEARCH", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            let head = with_line(&format!("{method} / HTTP/1.1"));
            assert_eq!(read(&head, |head| head.method.to_owned()).as_deref(), Ok(method));
        }
    }

    #[test]
    fn a_target_is_split_but_not_changed() {
        for (line, path, query) in [
            ("GET / HTTP/1.1", "/", None),
            ("GET /? HTTP/1.1", "/", Some("")),
            ("GET //a/../%zz\\\"<>|?b/?c HTTP/1.1", "//a/../%zz\\\"<>|", Some("b/?c")),
            ("GET /\u{161} HTTP/1.1", "/\u{161}", None),
            ("OPTIONS * HTTP/1.1", "*", None),
            ("GET http://h/a?b HTTP/1.1", "/a", Some("b")),
            ("GET HTTPS://H/a HTTP/1.1", "/a", None),
            ("GET http://h HTTP/1.1", "/", None),
            ("GET http://h?http://x/ HTTP/1.1", "/", Some("http://x/")),
            ("OPTIONS http://h HTTP/1.1", "*", None),
            ("OPTIONS http://h/ HTTP/1.1", "/", None),
        ] {
            read(&with_line(line), |head| {
                assert_eq!(head.path, path.as_bytes(), "{line}");
                assert_eq!(head.query, query.map(str::as_bytes), "{line}");
            })
            .unwrap();
        }
    }

    #[test]
    fn a_host_that_is_missing_double_or_malformed_is_refused() {
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: :80\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a%2\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: \u{e4}\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:+8\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [a]\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
            "GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n",
            "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://u@a/ HTTP/1.0\r\n\r\n",
        ] {
            assert_eq!(status(head.as_bytes()), 400, "{head:?}");
        }
    }

    #[test]
    fn a_sound_host_is_reported_as_sent() {
        for (head, host) in [
            ("GET / HTTP/1.1\r\nHost: a-b.C_d\r\n\r\n", "a-b.C_d"),
            ("GET / HTTP/1.1\r\nHost: 127.0.0.1:65535\r\n\r\n", "127.0.0.1:65535"),
            ("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "a:"),
            ("GET / HTTP/1.1\r\nHost: [::1]:8001\r\n\r\n", "[::1]:8001"),
            ("GET / HTTP/1.1\r\nHost: [::ffff:1.2.3.4]\r\n\r\n", "[::ffff:1.2.3.4]"),
            ("GET / HTTP/1.1\r\nHost: a%20b\r\n\r\n", "a%20b"),
            ("GET / HTTP/1.0\r\n\r\n", ""),
            ("GET http://A/ HTTP/1.0\r\n\r\n", "A"),
            ("GET http://A/ HTTP/1.1\r\nHost: a\r\n\r\n", "a"),
        ] {
            assert_eq!(read(head.as_bytes(), |h| h.host.to_vec()).as_deref(), Ok(host.as_bytes()));
        }
    }

    #[test]
    fn connection_options_decide_who_may_go_on() {
        for (version, lines, wanted) in [
            ("1.1", "", true),
            ("1.1", "Connection: keep-alive\r\n", true),
            ("1.1", "Connection: Close\r\n", false),
            ("1.1", "Connection: upgrade, , close\r\n", false),
            ("1.1", "Connection: a\r\nConnection: b,\tclose\r\n", false),
            ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
            ("1.1", "Connection: closed\r\n", true),
            ("1.0", "", false),
            ("1.0", "Connection: keep-alive\r\n", true),
            ("1.0", "Connection: x, Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let head = format!("GET / HTTP/{version}\r\nHost: h\r\n{lines}\r\n");
            let keep_alive = read(head.as_bytes(), |head| head.keep_alive);
            assert_eq!(keep_alive, Ok(wanted), "{head:?}");
        }
    }

    #[test]
    fn an_upgrade_counts_only_if_connection_names_it() {
        for (version, lines, wanted) in [
            ("1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", Some("websocket")),
            ("1.1", "Upgrade: websocket\r\n", None),
            ("1.1", "Connection: upgrade\r\n", None),
            ("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n", None),
        ] {
            let head = format!("GET / HTTP/{version}\r\nHost: h\r\n{lines}\r\n");
            read(head.as_bytes(), |head| assert_eq!(head.upgrade, wanted.map(str::as_bytes)))
                .unwrap();
        }
    }

    #[test]
    fn the_only_expectation_is_100_continue() {
        let expects = |lines: &str| read(&with_lines(lines.as_bytes()), |h| h.expect_continue);
        assert_eq!(expects("Expect: 100-Continue\r\nContent-Length: 1\r\n"), Ok(true));
        assert_eq!(expects("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"), Ok(true));
        assert_eq!(expects("Expect: 100-continue\r\n"), Ok(false));
        assert_eq!(expects("Expect: 100-continue\r\nContent-Length: 0\r\n"), Ok(false));
        for lines in ["Expect: a\r\n", "Expect:\r\n", "Expect: 100-continue\r\nExpect: a\r\n"] {
            assert_eq!(status(&with_lines(lines.as_bytes())), 417, "{lines:?}");
        }
        let old = b"POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
        assert_eq!(read(old, |head| head.expect_continue), Ok(false));
        assert_eq!(
            read(b"GET / HTTP/1.0\r\nExpect: a\r\n\r\n", |head| head.expect_continue),
            Ok(false)
        );
    }

    #[test]
    fn up_to_two_blank_lines_before_a_request_are_skipped() {
        let request = with_line("GET /a HTTP/1.1");
        for blank in ["\r\n", "\r\n\r\n"] {
            let head = [blank.as_bytes(), &request].concat();
            assert_eq!(read(&head, |head| head.path.to_vec()), Ok(b"/a".to_vec()));
            assert!(matches!(scan(blank.as_bytes(), 0, &LIMITS), Ok(Scan::Partial { .. })));
        }
        for blank in ["\r\n\r\n\r\n", "\n", "\r", "\r\n\n", "\r\r\n", "\r\n "] {
            assert_eq!(status(&[blank.as_bytes(), &request].concat()), 400, "{blank:?}");
        }
    }

    #[test]
    fn one_field_more_than_the_limit_is_431() {
        let limits = |headers| HeadLimits { headers, ..LIMITS };
        let head = with_lines(b"A: b\r\n");
        let count = |headers| {
            parse_request(&head, &mut HeaderSlots::new(), &limits(headers)).map(|h| h.headers.len())
        };
        assert_eq!(count(2), Ok(2));
        assert_eq!(count(usize::MAX), Ok(2));
        assert_eq!(count(1).unwrap_err().status, 431);
        let many = with_lines(&b"A: b\r\n".repeat(HEADERS_MAX));
        let error = parse_request(&many, &mut HeaderSlots::new(), &limits(1000)).map(|_| ());
        assert_eq!(error.unwrap_err().status, 431);
    }

    #[test]
    fn no_message_holds_a_byte_of_the_clients() {
        for bytes in [&b"\x16SECRET"[..], b"SECRET(", b"GET /SECRET#x HTTP/1.1\r\nHost: h\r\n\r\n"]
        {
            let message = read(bytes, |_| ()).unwrap_err().message;
            assert!(!message.contains("SECRET") && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn the_body_of_a_response_is_framed_by_rfc_9112_6_3() {
        use ResponseFraming::{Known, UntilClose};
        for (head, was_head, framing, keep_alive) in [
            ("HTTP/1.1 200 OK\r\n\r\n", false, UntilClose, false),
            ("HTTP/1.1 200\r\n\r\n", false, UntilClose, false),
            ("HTTP/1.1 200 OK\r\n\r\n", true, Known(Framing::None), true),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                false,
                Known(Framing::Length(5)),
                true,
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, Known(Framing::None), true),
            (
                "HTTP/1.1 404 \r\nTransfer-Encoding: chunked\r\n\r\n",
                false,
                Known(Framing::Chunked),
                true,
            ),
            ("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", false, Known(Framing::None), true),
            ("HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", false, Known(Framing::None), true),
            ("HTTP/1.1 100 Continue\r\n\r\n", false, Known(Framing::None), true),
            ("HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n", false, Known(Framing::None), true),
            ("HTTP/1.0 200 OK\r\n\r\n", false, UntilClose, false),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
                false,
                Known(Framing::Length(5)),
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
                false,
                Known(Framing::Length(5)),
                false,
            ),
        ] {
            respond(head.as_bytes(), was_head, |response| {
                assert_eq!(response.framing, framing, "{head:?}");
                assert_eq!(response.keep_alive, keep_alive, "{head:?}");
            })
            .unwrap();
        }
    }

    #[test]
    fn a_response_is_reported_with_all_its_fields() {
        let bytes = b"HTTP/1.1 499 Out of tea\r\nSet-Cookie: a\r\nset-cookie: b\r\n\
            Connection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        respond(bytes, false, |head| {
            assert_eq!(
                (head.status, head.reason, head.version),
                (499, "Out of tea", Version::Http11)
            );
            assert_eq!(values(head.headers, "SET-COOKIE").next(), Some(&b"a"[..]));
            assert_eq!(values(head.headers, "Set-Cookie").collect::<Vec<_>>(), [b"a", b"b"]);
            assert_eq!(head.upgrade, Some(&b"websocket"[..]));
        })
        .unwrap();
    }

    #[test]
    fn a_response_that_has_two_readings_is_502() {
        for head in [
            "ICY 200 OK\r\n\r\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 600 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "HTTP/1.1 200 O\x01K\r\n\r\n",
            "HTTP/1.1 200 OK\nA: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 204 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(
                respond(head.as_bytes(), false, |_| ()).unwrap_err().status,
                502,
                "{head:?}"
            );
        }
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(LIMITS.header_bytes));
        assert_eq!(scan_response(long.as_bytes(), 0, &LIMITS).unwrap_err().status, 502);
    }

    /// Requests that are sound, in many forms.
    fn sound_request() -> impl Strategy<Value = Vec<u8>> {
        let field = ("[A-Za-z-]{1,12}-x", "[ -~]{0,40}", "[ \t]{0,2}");
        (
            prop::sample::select(vec!["", "\r\n", "\r\n\r\n"]),
            "[A-Z]{1,32}",
            "/[!-\"$-~]{0,60}",
            prop::collection::vec(field, 0..12),
            prop::sample::select(vec![
                "",
                "Content-Length: 12\r\n",
                "Transfer-Encoding: chunked\r\n",
            ]),
        )
            .prop_filter("CONNECT is refused", |(_, method, ..)| method != "CONNECT")
            .prop_map(|(blank, method, target, fields, framing)| {
                let mut head = format!("{blank}{method} {target} HTTP/1.1\r\n{framing}Host: h\r\n");
                for (name, value, space) in fields {
                    head += &format!("{name}:{space}{value}{space}\r\n");
                }
                (head + "\r\n").into_bytes()
            })
    }

    /// The slow obvious version.
    fn has_stray_line_end_somewhere(head: &[u8]) -> bool {
        let is_stray = |pair: &[u8]| (pair[0] == b'\r') != (pair[1] == b'\n');
        head.first() == Some(&b'\n') || head.windows(2).any(is_stray)
    }

    proptest! {
        #[test]
        fn a_stray_line_end_is_found_wherever_it_is(
            lines in prop::collection::vec("[a-z]{0,40}", 0..9),
            at in any::<prop::sample::Index>(),
            byte in prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a')],
        ) {
            let mut head = lines.join("\r\n").into_bytes();
            prop_assert!(!has_stray_line_end(&head));
            if !head.is_empty() {
                let at = at.index(head.len());
                head[at] = byte;
            }
            prop_assert_eq!(has_stray_line_end(&head), has_stray_line_end_somewhere(&head));
        }

        #[test]
        fn a_sound_request_is_read_alike_wherever_it_is_split(
            head in sound_request(), following in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let bytes = [&head[..], &following].concat();
            for first in 0..bytes.len() {
                let scanned = match scan(&bytes[..first], 0, &LIMITS).unwrap() {
                    Scan::Complete { len } => {
                        prop_assert!(first >= head.len());
                        prop_assert_eq!(len, head.len());
                        continue;
                    }
                    Scan::Partial { scanned } => scanned,
                };
                prop_assert!(first < head.len());
                let end = scan(&bytes, scanned, &LIMITS);
                prop_assert_eq!(end, Ok(Scan::Complete { len: head.len() }));
            }
            prop_assert!(read(&head, |_| ()).is_ok());
        }

        #[test]
        fn a_sound_request_read_byte_by_byte_ends_where_it_ends(head in sound_request()) {
            let mut scanned = 0;
            for end in 0..head.len() {
                let step = scan(&head[..end], scanned, &LIMITS).unwrap();
                let Scan::Partial { scanned: next } = step else {
                    panic!("too early at {end}");
                };
                scanned = next;
            }
            prop_assert_eq!(scan(&head, scanned, &LIMITS), Ok(Scan::Complete { len: head.len() }));
        }
    }
}
