//! Bearer: what a request bears, and whether that is a secret (RFC 6750).

use subtle::ConstantTimeEq;

use crate::http::RequestHead;
use crate::secret::Secret;

/// What the request bears (RFC 6750 2.1).
pub(super) fn bearer<'h>(head: &RequestHead<'h>) -> Option<&'h [u8]> {
    let (scheme, token) = head.header("Authorization")?.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Whether the request bears this secret; takes as long for a wrong one.
pub(super) fn bears(head: &RequestHead<'_>, secret: &Secret) -> bool {
    bearer(head).is_some_and(|token| bool::from(token.ct_eq(secret.reveal().as_bytes())))
}
