//! Payload: bytes on their way to a socket. Never copied on the way.

use std::rc::Rc;

use super::lines::Lines;
use crate::message::Message;

/// A body up to this size is copied behind its head, so that one slice is sent and not two.
pub(super) const COPIED_BODY_MAX: usize = 16 << 10;

/// Bytes on their way to a socket.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Of one connection.
    Owned(Vec<u8>),
    /// The same for many connections.
    Shared(Rc<[u8]>),
    /// A head, then the message's body, which is too large to be copied.
    WithBody(Rc<[u8]>, Rc<Message>),
    /// A head, then lines that others are sent too.
    WithLines(Rc<[u8]>, Rc<Lines>),
}

impl Payload {
    /// How many bytes.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is no empty answer")]
    pub fn len(&self) -> usize {
        match self {
            Self::Owned(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
            Self::WithBody(head, message) => head.len() + message.content.body.len(),
            Self::WithLines(head, lines) => head.len() + lines.len(),
        }
    }

    /// The same bytes, ready to be sent to many connections.
    #[must_use]
    pub fn shared(self) -> Self {
        match self {
            Self::Owned(bytes) => Self::Shared(bytes.into()),
            other => other,
        }
    }

    /// The bytes from `from` on, in two pieces; both are empty at the end. Of lines there may be
    /// more behind them.
    #[must_use]
    pub fn slices(&self, from: usize) -> (&[u8], &[u8]) {
        let (head, rest): (&[u8], &[u8]) = match self {
            Self::Owned(bytes) => (bytes, &[]),
            Self::Shared(bytes) => (bytes, &[]),
            Self::WithBody(head, message) => (head, &message.content.body),
            Self::WithLines(head, lines) => match from.checked_sub(head.len()) {
                Some(behind) => return lines.slices(behind),
                None => (head, lines.slices(0).0),
            },
        };
        let behind = from.saturating_sub(head.len());
        (head.get(from..).unwrap_or_default(), rest.get(behind..).unwrap_or_default())
    }
}
