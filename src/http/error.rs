//! Errors of HTTP: what a peer did wrong, and the status that it is answered with. Holds no byte
//! that a peer sent.

use std::borrow::Cow;
use std::fmt;

/// What the peer did wrong. A client gets it as the answer. Then the connection is closed, because
/// the beginning of the next request is not known any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    /// Status of the answer. Always 502 where an upstream is at fault.
    pub status: u16,
    /// One line that says what to change, without a line end. Holds no byte that the peer sent.
    pub message: Cow<'static, str>,
}

impl HttpError {
    /// An error answered with `status`; `message` is one line, without bytes of the peer.
    pub fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into() }
    }

    /// Answered 400.
    pub(super) const fn bad_request(message: &'static str) -> Self {
        Self { status: 400, message: Cow::Borrowed(message) }
    }

    /// The same fault in an answer of the upstream: the client gets 502.
    pub(super) fn blame_upstream(self) -> Self {
        Self { status: 502, message: self.message }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.message)
    }
}

impl std::error::Error for HttpError {}
