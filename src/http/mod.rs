//! HTTP/1.0 and 1.1 as bytes: heads, bodies, answers and dates. Pure: bytes and `unix_s` go in,
//! values and bytes come out. Knows nothing of sockets, channels or locations.
//!
//! Strict on purpose (RFC 9112, and section 11.2 of it): whatever two parsers could read
//! differently is refused, never repaired, so no request can be smuggled past a proxy before us
//! or past the upstream behind us.

use std::borrow::Cow;
use std::fmt;

pub mod body;
pub mod date;
mod fields;
pub mod head;
mod mend;
pub mod response;
mod scan;
mod target;

pub use body::{BodyDecoder, Decoded};
pub use date::{DateCache, parse_http_date, write_http_date};
pub use head::{
    Framing, HeaderSlots, RequestHead, ResponseFraming, ResponseHead, parse_request, parse_response,
};
pub use mend::mend_response;
pub use response::HeadWriter;
pub use scan::{HeadLimits, Scan, scan, scan_response};

/// The versions that are spoken here; any other is answered 505.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: the connection closes after the answer unless the client asks to keep it.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// What the peer did wrong. A client is sent it as the answer, and then the connection is closed,
/// because nobody knows any more where its next request would begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    /// Status of the answer. Always 502 where an upstream is at fault.
    pub status: u16,
    /// One line that says what to change, without a line end. Never holds a byte of the peer's.
    pub message: Cow<'static, str>,
}

impl HttpError {
    /// An error answered with `status`; `message` is one line of our own words.
    pub fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into() }
    }

    /// Answered 400.
    pub(crate) const fn bad_request(message: &'static str) -> Self {
        Self { status: 400, message: Cow::Borrowed(message) }
    }

    /// The same fault, found in what an upstream sent: the client is told 502.
    pub(crate) fn blame_upstream(self) -> Self {
        Self { status: 502, message: self.message }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.message)
    }
}

impl std::error::Error for HttpError {}

/// `tchar` of RFC 9110 5.6.2.
#[must_use]
pub const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// A byte of a field value (RFC 9110 5.5): HTAB, SP, VCHAR or obs-text.
#[must_use]
pub const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
