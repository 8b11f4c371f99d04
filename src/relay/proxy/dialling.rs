//! Dialling: one request's way to a connection: which address is next, and how long it waits. Opens
//! nothing.
//!
//! Each address has its share of `upstream_wait`. Where all have failed, the request waits in the
//! pool until one is tried again.

use super::context::Context;
use super::effect::Effect;
use crate::relay::options::Limits;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Dialling {
    /// Which address came first in this round of dials.
    first: usize,
    /// Dials that failed.
    attempts: usize,
    /// Shares of `upstream_wait` that are over.
    waits: usize,
    /// Until then the upstream is dialled for this request, monotonic milliseconds.
    wait_ends_ms: u64,
}

impl Dialling {
    pub(super) fn until(wait_ends_ms: u64) -> Self {
        Self { wait_ends_ms, ..Self::default() }
    }

    /// Opens a connection to the next address.
    pub(super) fn dial(&mut self, cx: &mut Context<'_>) {
        if self.attempts.is_multiple_of(cx.upstream.count()) {
            self.first = cx.upstream.preferred();
        }
        if let Some(to) = cx.upstream.address(self.turn()) {
            cx.effects.push_back(Effect::Connect(cx.key, to));
        }
    }

    /// Which address has its turn, beyond the last one from the first one on.
    pub(super) fn turn(&self) -> usize {
        self.first + self.attempts
    }

    /// Counts a dial that failed; gives whether another address is left in this round.
    pub(super) fn fail(&mut self, cx: &Context<'_>) -> bool {
        self.attempts += 1;
        !self.attempts.is_multiple_of(cx.upstream.count())
    }

    /// One address's share of the wait is over; gives whether there is another share.
    pub(super) fn end_share(&mut self, cx: &Context<'_>) -> bool {
        self.waits += 1;
        self.waits < cx.upstream.count() && cx.now_ms() < self.wait_ends_ms
    }

    /// How long one address may take to accept a connection, milliseconds: its share of the wait,
    /// `wait_ms`, and no longer than the wait lasts.
    pub(super) fn share_ms(&self, wait_ms: u64, cx: &Context<'_>) -> u64 {
        let share_ms = (wait_ms / cx.upstream.count() as u64).max(1);
        share_ms.min(self.wait_ends_ms.saturating_sub(cx.now_ms()))
    }
}

/// How long a request waits for the upstream, milliseconds.
pub(super) fn wait_ms(limits: &Limits, is_page: bool) -> u64 {
    match is_page {
        true => limits.upstream_wait_ms.min(PAGE_WAIT_MS),
        false => limits.upstream_wait_ms,
    }
}

/// How long a browser waits for a page of an upstream on this machine before it is shown that the
/// upstream is away, milliseconds.
const PAGE_WAIT_MS: u64 = 3000;
