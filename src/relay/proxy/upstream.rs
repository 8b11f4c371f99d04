//! Upstream: the server behind the proxy, as the settings name it and as it has shown itself: its
//! addresses and whose turn it is, its idle connections, and what is wrong with it. Opens and
//! closes nothing.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::rc::Rc;

use super::fault::{Fault, local_place};
use super::pool::Pool;
use crate::clock::Now;
use crate::rate_limit::RateLimit;
use crate::relay::client::access::shown_peer;
use crate::relay::options::{ProxyOptions, UpstreamAddress};

/// See the module.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) options: ProxyOptions,
    addresses: Vec<Rc<UpstreamAddress>>,
    /// Which of the addresses accepted a connection last.
    preferred: usize,
    /// Where it is, as its answers say it, if it is on this machine.
    pub(super) place: Option<String>,
    /// Why no connection can be had, if the last dial failed.
    pub(super) failure: Option<Failure>,
    /// It answered with HTTP/1.0 last, so that it sends no `100 Continue`.
    pub(super) is_http_1_0: bool,
    pub(super) pool: Pool,
    warnings: Warnings,
}

/// Dials that fail, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    /// Of the last one. `QuotaExceeded`: not for want of the upstream, but of descriptors of ours.
    pub(super) cause: ErrorKind,
    /// When the first one failed, milliseconds.
    since_ms: u64,
}

/// One request's way to a connection: which address is next, and how long it waits. Each address
/// has its share of `upstream_wait`; where all have failed, the request waits in the pool until one
/// is tried again.
#[derive(Debug, Default)]
pub(super) struct Dialling {
    /// Which address came first in this round of dials.
    first: usize,
    /// Dials that failed.
    attempts: usize,
    /// Shares of `upstream_wait` that are over.
    waits: usize,
}

/// What the log says of it, each at its rate.
#[derive(Debug, Default)]
struct Warnings {
    unreachable: RateLimit,
    silent: RateLimit,
    faulty: RateLimit,
    replaced: RateLimit,
}

impl Upstream {
    pub(super) fn new(options: &ProxyOptions) -> Self {
        Self {
            addresses: options.addresses.iter().cloned().map(Rc::new).collect(),
            preferred: 0,
            place: local_place(options),
            failure: None,
            is_http_1_0: false,
            options: options.clone(),
            pool: Pool::default(),
            warnings: Warnings::default(),
        }
    }

    /// Takes other settings, if they name the same addresses; gives whether they do.
    pub(super) fn reload(&mut self, options: &ProxyOptions) -> bool {
        let is_same = self.options.addresses == options.addresses;
        if is_same {
            self.options = options.clone();
            self.place = local_place(options);
        }
        is_same
    }

    /// How many addresses there are, at least 1.
    fn count(&self) -> usize {
        self.addresses.len().max(1)
    }

    /// How long one of them may take to accept a connection, milliseconds: its share of the wait.
    pub(super) fn share_ms(&self, wait_ms: u64) -> u64 {
        (wait_ms / self.count() as u64).max(1)
    }

    /// Logs a fault. A page that loads itself again (`is_page`) may only wait for a restart, which
    /// is logged once it takes longer than `wait_ms`.
    pub(super) fn warn(&mut self, fault: &Fault<'_>, is_page: bool, wait_ms: u64, now: Now) {
        let Self { options: ProxyOptions { url, .. }, warnings, .. } = self;
        let cause = match *fault {
            Fault::Unreachable(cause) => {
                let since_ms = self.failure.map_or(0, |failure| failure.since_ms);
                let waits = is_page && now.mono_ms < since_ms.saturating_add(wait_ms);
                if !waits && let Some(times) = warnings.unreachable.note(now.mono_ms) {
                    let cause = match cause {
                        ErrorKind::QuotaExceeded => "the limit of open files is reached".to_owned(),
                        cause => cause.to_string(),
                    };
                    log::warn!(
                        "event=upstream_unreachable url={url} times={times} cause=\"{cause}\""
                    );
                }
                return;
            }
            Fault::Silent => {
                if let Some(times) = warnings.silent.note(now.mono_ms) {
                    log::warn!("event=upstream_silent url={url} times={times}");
                }
                return;
            }
            Fault::Closed { .. } => "it closed the connection before it had answered",
            Fault::Unreadable(cause) => cause,
            Fault::BodyGone => {
                "X-Accel-Redirect hands over a message that was not kept: it is over \
                 limits.body_bytes, or too many large bodies are on their way"
            }
        };
        if let Some(times) = warnings.faulty.note(now.mono_ms) {
            log::warn!("event=upstream_faulty url={url} times={times} cause={cause:?}");
        }
    }

    /// Logs that a field of a request was replaced, since its peer may not speak for others.
    pub(super) fn warn_of_replaced(&mut self, field: &str, peer: Option<IpAddr>, now: Now) {
        if let Some(times) = self.warnings.replaced.note(now.mono_ms) {
            let field = &field[..field.len().min(FIELD_BYTES_SHOWN)];
            let peer = shown_peer(peer);
            log::warn!(
                "event=forwarded_replaced peer={peer} field={field} times={times} cause=\"the peer \
                 is not in the setting trusted_proxies\""
            );
        }
    }
}

impl Dialling {
    /// The address to dial now: one after the other, from the one on that accepted last.
    pub(super) fn address(&mut self, upstream: &Upstream) -> Option<Rc<UpstreamAddress>> {
        if self.attempts.is_multiple_of(upstream.count()) {
            self.first = upstream.preferred;
        }
        upstream.addresses.get((self.first + self.attempts) % upstream.count()).cloned()
    }

    /// The address that was dialled has accepted the connection.
    pub(super) fn succeed(&self, upstream: &mut Upstream) {
        upstream.preferred = (self.first + self.attempts) % upstream.count();
        upstream.failure = None;
    }

    /// Counts a dial that failed; gives whether another address is left in this round. Otherwise
    /// none has accepted a connection.
    pub(super) fn fail(&mut self, cause: ErrorKind, upstream: &mut Upstream, now: Now) -> bool {
        self.attempts += 1;
        if !self.attempts.is_multiple_of(upstream.count()) {
            return true;
        }
        let since_ms = upstream.failure.map_or(now.mono_ms, |failure| failure.since_ms);
        upstream.failure = Some(Failure { cause, since_ms });
        log::debug!("event=dial_failed url={} cause=\"{cause}\"", upstream.options.url);
        false
    }

    /// One address's share of the wait is over; gives whether there is another share.
    pub(super) fn end_share(&mut self, upstream: &Upstream) -> bool {
        self.waits += 1;
        self.waits < upstream.count()
    }
}

/// Of a field's name in the log.
const FIELD_BYTES_SHOWN: usize = 40;
