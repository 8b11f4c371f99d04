//! Tokens: what the numbers in the system's events stand for.

use mio::Token;

use super::options::LISTENERS_MAX;
use crate::relay::ConnKey;

/// Tokens from here on are not connections'.
pub(super) const SIGNALS: Token = Token(usize::MAX);
/// Another thread has woken the loop.
pub(super) const WAKER: Token = Token(usize::MAX - 1);
const FIRST_LISTENER: usize = usize::MAX - 2;

/// The token of a listener.
pub(super) fn of_listener(index: usize) -> Token {
    Token(FIRST_LISTENER - index)
}

/// Whether a listener has connections.
pub(super) fn is_listener(token: Token) -> bool {
    (FIRST_LISTENER - LISTENERS_MAX + 1..=FIRST_LISTENER).contains(&token.0)
}

/// The token of a connection. Where a token has 32 bits it holds the index alone, which is enough,
/// since slots are freed only after all events of a turn.
pub(super) fn of_conn(conn: ConnKey) -> Token {
    Token(conn.to_bits() as usize)
}

/// The index of the connection that a token stands for.
pub(super) fn index(token: Token) -> usize {
    token.0 & 0xffff_ffff
}
