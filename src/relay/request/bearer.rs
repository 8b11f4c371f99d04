//! Bearer: whether a request has a secret (RFC 6750).

use subtle::ConstantTimeEq;

use crate::http::RequestHead;
use crate::secret::Secret;

/// Whether the request bears this secret (RFC 6750 2.1); takes as long for a wrong one.
pub(super) fn bears(head: &RequestHead<'_>, secret: &Secret) -> bool {
    head.header("Authorization").is_some_and(|value| {
        value.split_at_checked(7).is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(b"Bearer ")
                && bool::from(token.trim_ascii().ct_eq(secret.reveal().as_bytes()))
        })
    })
}
