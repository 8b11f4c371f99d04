//! Refused heads: bytes that cannot be read as a request, or are more than the limits allow. The
//! client is answered. A limit is also named in the log, since it may be too low.

use super::client::shown_peer;
use super::{ConnKey, Relay};
use crate::clock::Now;
use crate::http::HttpError;
use crate::rate_limit::RateLimit;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RefusedHeads {
    oversized: RateLimit,
}

impl Relay {
    /// Refuses `input` as a head, and all of it; gives its length.
    pub(super) fn refuse_head(
        &mut self,
        conn: ConnKey,
        input: &[u8],
        error: HttpError,
        now: Now,
    ) -> usize {
        self.note_unread(conn, input);
        if matches!(error.status, 414 | 431)
            && let Some(times) = self.refused_heads.oversized.note(now.mono_ms)
        {
            let peer = shown_peer(self.conns.client(conn).and_then(|client| client.peer));
            let HttpError { status, message } = &error;
            log::warn!(
                "event=head_refused peer={peer} status={status} times={times} cause={message:?}"
            );
        }
        self.fail(conn, error, now);
        input.len()
    }
}
