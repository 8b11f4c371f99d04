//! Upstream: the server behind the proxy, as the settings name it and as it has shown itself: its
//! addresses, its idle connections, and what is wrong with it. Opens and closes nothing.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::rc::Rc;

use super::fault;
use super::pool::Pool;
use crate::clock::Now;
use crate::rate_limit::RateLimit;
use crate::relay::client::access::shown_peer;
use crate::relay::options::{ProxyOptions, UpstreamAddress};

/// See the module.
#[derive(Debug)]
pub(super) struct Upstream {
    options: ProxyOptions,
    addresses: Vec<Rc<UpstreamAddress>>,
    /// Which of the addresses accepted a connection last.
    preferred: usize,
    /// Where it is, as its answers say it, if it is on this machine.
    place: Option<String>,
    /// Why no connection can be had, if the last dial failed.
    failure: Option<Failure>,
    /// It answered with HTTP/1.0 last, so that it sends no `100 Continue`.
    is_http_1_0: bool,
    /// The settings name no upstream any more: only what is on its way still goes there.
    removed: bool,
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
            place: fault::local_place(options),
            failure: None,
            is_http_1_0: false,
            removed: false,
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
            self.place = fault::local_place(options);
            self.removed = false;
        }
        is_same
    }

    /// Takes no further requests.
    pub(super) fn remove(&mut self) {
        self.removed = true;
    }

    /// Whether it takes requests.
    pub(super) fn is_open(&self) -> bool {
        !self.removed
    }

    pub(super) fn options(&self) -> &ProxyOptions {
        &self.options
    }

    /// Where it is, as its answers say it, if it is on this machine.
    pub(super) fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// How many addresses there are, at least 1.
    pub(super) fn count(&self) -> usize {
        self.addresses.len().max(1)
    }

    /// Which of the addresses accepted a connection last.
    pub(super) fn preferred(&self) -> usize {
        self.preferred
    }

    /// The address whose turn this is.
    pub(super) fn address(&self, turn: usize) -> Option<Rc<UpstreamAddress>> {
        self.addresses.get(turn % self.count()).cloned()
    }

    /// The address whose turn this is has accepted a connection.
    pub(super) fn accepted(&mut self, turn: usize) {
        self.preferred = turn % self.count();
        self.failure = None;
    }

    /// No address has accepted a connection.
    pub(super) fn failed(&mut self, cause: ErrorKind, now: Now) {
        let since_ms = self.failure.map_or(now.mono_ms, |failure| failure.since_ms);
        self.failure = Some(Failure { cause, since_ms });
        log::debug!("event=dial_failed url={} cause=\"{cause}\"", self.options.url);
    }

    /// Why no connection can be had, if the last dial failed.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// It has answered. `is_http_1_0`: in that version.
    pub(super) fn answered(&mut self, is_http_1_0: bool) {
        self.is_http_1_0 = is_http_1_0;
    }

    /// Whether it sends no `100 Continue`.
    pub(super) fn is_http_1_0(&self) -> bool {
        self.is_http_1_0
    }

    /// Logs that a request is answered for want of it. A page that loads itself again (`is_page`)
    /// may only wait for a restart, which is logged once it takes longer than `wait_ms`.
    pub(super) fn warn_of_failure(
        &mut self,
        failure: Failure,
        is_page: bool,
        wait_ms: u64,
        now: Now,
    ) {
        let waits = is_page && now.mono_ms < failure.since_ms.saturating_add(wait_ms);
        if !waits && let Some(times) = self.warnings.unreachable.note(now.mono_ms) {
            let url = &self.options.url;
            let cause = match failure.cause {
                ErrorKind::QuotaExceeded => "the limit of open files is reached".to_owned(),
                cause => cause.to_string(),
            };
            log::warn!("event=upstream_unreachable url={url} times={times} cause=\"{cause}\"");
        }
    }

    /// Logs that it does not answer.
    pub(super) fn warn_of_silence(&mut self, now: Now) {
        if let Some(times) = self.warnings.silent.note(now.mono_ms) {
            let url = &self.options.url;
            log::warn!("event=upstream_silent url={url} times={times}");
        }
    }

    /// Logs what is wrong with it.
    pub(super) fn warn_of_fault(&mut self, cause: &str, now: Now) {
        if let Some(times) = self.warnings.faulty.note(now.mono_ms) {
            let url = &self.options.url;
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

/// Of a field's name in the log.
const FIELD_BYTES_SHOWN: usize = 40;
