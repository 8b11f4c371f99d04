//! Heads of requests and responses: where one ends, what it says, and how its body is framed
//! (RFC 9112 sections 2 to 6). httparse splits the lines; everything it lets through that could be
//! read in two ways is refused here. Allocates nothing unless it refuses.
//!
//! Our choices where the RFC leaves one:
//! * Up to two blank lines before a request line are skipped (2.2), none before a status line.
//! * Lines end in CRLF, never in a bare LF.
//! * `Host` must name a host: an empty one is refused, a comma in it too. An absolute-form target
//!   must name the same authority (3.2.2 would let the target win).
//! * CONNECT is answered 501: 405 would have to name methods that this target takes.
//! * Raw UTF-8 in a target is taken as it is; other bytes above 127 and `#` are refused.
//! * No HTAB in `Content-Length` and `Transfer-Encoding` lines; nginx does not see a `chunked`
//!   behind one.

use std::mem::MaybeUninit;

use httparse::{Header, Status};
use memchr::{memchr, memchr_iter, memchr2};

use super::fields::Fields;
use super::target::Target;
use super::{HttpError, Version, is_token};

/// Most fields of one head, whatever [`HeadLimits::headers`] says.
pub const HEADERS_MAX: usize = 256;

/// Longest method that is looked at.
const METHOD_BYTES_MAX: usize = 32;

/// Bytes of CRLF skipped before a request line: what a client sent too much after its last body.
const BLANK_BYTES_MAX: usize = 4;

const REQUEST_LINE: &str = "the request line is not `METHOD /path HTTP/1.1` with single spaces";

/// How large a head may be. Each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, from its start line to its blank line; more is answered 431.
    pub header_bytes: usize,
    /// Fields, up to [`HEADERS_MAX`]; more are answered 431.
    pub headers: usize,
    /// Bytes of the request target; more are answered 414.
    pub uri_bytes: usize,
}

/// Whether a buffer holds a whole head yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// Not yet: read more, then call again with this `scanned`.
    Partial {
        /// Bytes that need no second look.
        scanned: usize,
    },
    /// The first `len` bytes are the head, with its blank line.
    Complete {
        /// Length of the head in bytes.
        len: usize,
    },
}

/// Room for the fields of one head. Made on the stack for each call; costs nothing to make.
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

/// How the end of a request body is found (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body. A request that says nothing of a body has none.
    None,
    /// So many bytes, fewer than 10^18.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// How the end of a response body is found (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFraming {
    /// As in a request.
    Known(Framing),
    /// It ends with the connection.
    UntilClose,
}

/// One request head, found sound. Borrows the bytes it was read from.
#[derive(Debug)]
pub struct RequestHead<'b> {
    /// A token of at most 32 bytes; any method, in the case it was sent in.
    pub method: &'b str,
    /// Raw path, never empty: begins with `/`, or is `*` (with OPTIONS only).
    pub path: &'b [u8],
    /// What follows the first `?` of the target; raw.
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

/// One response head of an upstream, found sound.
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
    /// Whether the upstream will take another request on this connection.
    pub keep_alive: bool,
    /// As in [`RequestHead`]; of use with status 101.
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

impl<'b> ResponseHead<'b> {
    /// As [`RequestHead::header`].
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.header_all(name).next()
    }

    /// As [`RequestHead::header_all`].
    pub fn header_all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'b, 'n> {
        values(self.headers, name)
    }
}

fn values<'b, 'n>(
    headers: &'b [Header<'b>],
    name: &'n str,
) -> impl Iterator<Item = &'b [u8]> + use<'b, 'n> {
    headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
}

/// Looks for the end of a request head. `scanned` is 0, or what the last call on a shorter form of
/// the same buffer gave. What can be refused before the head is whole is refused at once, so that
/// a client which would never finish it (TLS, HTTP/2, HTTP/0.9, LF for CRLF) is answered.
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
/// 502 for whatever is wrong.
pub fn scan_response(
    buffer: &[u8],
    scanned: usize,
    limits: &HeadLimits,
) -> Result<Scan, HttpError> {
    let begin = buffer.len().min(5);
    if buffer[..begin] != b"HTTP/"[..begin] {
        return Err(HttpError::new(502, "the upstream does not answer with HTTP"));
    }
    find_end(buffer, scanned, limits.header_bytes, |_| Ok(())).map_err(HttpError::blame_upstream)
}

/// Reads a whole request head, as [`scan`] found it.
///
/// # Errors
/// 400 for whatever is malformed or could be read in two ways; 417, 431, 501 and 505 where they
/// belong.
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
        return Err(explain(head, status));
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

/// Reads a whole response head, as [`scan_response`] found it. `request_was_head` says that the
/// answer to it has no body, whatever its fields say.
///
/// # Errors
/// 502 for whatever is wrong.
pub fn parse_response<'b>(
    head: &'b [u8],
    slots: &'b mut HeaderSlots<'b>,
    request_was_head: bool,
) -> Result<ResponseHead<'b>, HttpError> {
    read_response(head, slots, request_was_head).map_err(HttpError::blame_upstream)
}

fn read_response<'b>(
    head: &'b [u8],
    slots: &'b mut HeaderSlots<'b>,
    request_was_head: bool,
) -> Result<ResponseHead<'b>, HttpError> {
    check_line_ends(head)?;
    let mut parsed = httparse::Response::new(&mut []);
    let result = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut parsed,
        head,
        &mut slots.0,
    );
    let (Ok(Status::Complete(len)), Some(status @ 100..=599), Some(version)) =
        (result, parsed.code, parsed.version)
    else {
        return Err(HttpError::bad_request("the upstream's answer has no sound head"));
    };
    if len != head.len() || !head.starts_with(b"HTTP/") {
        return Err(HttpError::bad_request("the upstream's answer has no sound head"));
    }
    let headers: &'b [Header<'b>] = parsed.headers;
    let version = if version == 0 { Version::Http10 } else { Version::Http11 };
    let fields = Fields::read(head, headers)?;
    let announced = fields.framing(version)?;
    let framing = match announced {
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

/// Bytes of CRLF at the beginning.
fn blank_bytes(buffer: &[u8]) -> Result<usize, HttpError> {
    let mut bytes = 0;
    while buffer[bytes..].starts_with(b"\r\n") {
        bytes += 2;
        if bytes > BLANK_BYTES_MAX {
            return Err(HttpError::bad_request("too many blank lines before the request line"));
        }
    }
    Ok(bytes)
}

/// Refuses what cannot become a request line, as early as its bytes show it.
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
    // Looked at once: when the buffer first reaches past the longest target.
    let longest = (method + 1).saturating_add(uri_bytes);
    if scanned <= longest && rest.len() > longest {
        let target = &rest[method + 1..=longest];
        if memchr2(b' ', b'\n', target).is_none() {
            return Err(HttpError::new(
                414,
                format!("the request target is over {uri_bytes} bytes; shorten the URL"),
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
        if maybe_first && memchr(b'\n', line).is_none() {
            check_first_line(line)?;
        }
        maybe_first = false;
        if line.ends_with(b"\r\n") {
            return Ok(Scan::Complete { len: lf + 1 });
        }
    }
    if rest.len() > header_bytes {
        return Err(HttpError::new(
            431,
            format!("the head is over {header_bytes} bytes; send fewer or shorter headers"),
        ));
    }
    Ok(Scan::Partial { scanned: rest.len() })
}

/// Refuses other versions, and HTTP/0.9, whose client would wait for an answer to its one line.
fn check_request_line(line: &[u8]) -> Result<(), HttpError> {
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

/// CR and LF only together; httparse would take a bare LF. Written without an early exit, so that
/// it runs at many bytes a cycle.
fn check_line_ends(head: &[u8]) -> Result<(), HttpError> {
    let stray = head
        .windows(2)
        .fold(false, |stray, pair| stray | ((pair[0] == b'\r') != (pair[1] == b'\n')));
    if stray || head.first() == Some(&b'\n') {
        return Err(HttpError::bad_request("a bare CR or LF; lines must end in CRLF"));
    }
    Ok(())
}

/// Why httparse refused a request head.
fn explain(head: &[u8], status: httparse::Result<usize>) -> HttpError {
    let line = &head[..memchr(b'\r', head).unwrap_or(head.len())];
    let message = match status {
        Err(httparse::Error::TooManyHeaders) => {
            return HttpError::new(431, "too many header fields; send fewer");
        }
        Err(httparse::Error::HeaderName) => {
            "a header line is not `name: value`, with no space before the colon and none at its start"
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
