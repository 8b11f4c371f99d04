//! Tokens: what the numbers in the system's events stand for.

use mio::Token;

use super::options::LISTENERS_MAX;
use crate::relay::ConnKey;

/// Tokens from here on are not connections'.
pub(super) const SIGNALS: Token = Token(usize::MAX);
pub(super) const WAKER: Token = Token(usize::MAX - 1);
const FIRST_LISTENER: usize = usize::MAX - 2;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Signals came.
    Signals,
    /// Another thread has woken the loop.
    Waker,
    /// A listener has connections.
    Listener,
    /// A connection.
    Socket,
}

/// What a token stands for.
pub(super) fn subject(token: Token) -> Subject {
    match token {
        SIGNALS => Subject::Signals,
        WAKER => Subject::Waker,
        Token(token) if token > FIRST_LISTENER - LISTENERS_MAX => Subject::Listener,
        Token(_) => Subject::Socket,
    }
}

/// The token of a listener.
pub(super) fn of_listener(index: usize) -> Token {
    Token(FIRST_LISTENER - index)
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
