//! Request: what a head asks for, and whether its location allows it. Never writes an answer.

pub(super) mod accept;
pub(super) mod admission;
pub(super) mod cursor;
pub(super) mod host;
pub(super) mod refusal;
pub(super) mod transport;
#[cfg_attr(not(test), expect(dead_code, reason = "no location serves WebSockets yet"))]
pub(super) mod upgrade;
