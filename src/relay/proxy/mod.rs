//! The reverse proxy: what no location matches goes to the upstream (`--allrequests`), and its
//! answer back, in a stream both ways.
//!
//! The rules of it all:
//! * The target comes from the settings alone; no byte of a client chooses it.
//! * Both messages are read as strictly as any other, and framed anew (`rewrite`, `exchange`).
//! * Nothing is held but what one side does not take for now, and then the other is not read.
//! * A connection is used again only when both messages on it ended where they should and nothing
//!   came behind.
//! * An answer that was cut off never looks whole to the client.
//! * What may have been done once is not asked for twice, unless doing it twice does no harm (RFC
//!   9110 9.2.2).

mod answer;
mod exchange;
mod fault;
mod gate;
mod handover;
mod kept;
mod pool;
mod reframer;
mod rewrite;
mod upload;
mod upstream;

use std::io::ErrorKind;
use std::net::IpAddr;
use std::rc::Rc;

pub(super) use self::exchange::Proxied;
pub(super) use self::upstream::Upstream;

use self::exchange::{Ask, Body, Continue, Repeat, Stage};
use self::gate::Gate;
use self::kept::Kept;
use self::pool::Pool;
use self::reframer::Reframer;
use self::rewrite::Origin;
use self::upload::sound_body;
use super::client::access::shown_peer;
use super::client::{ConnTimer, Phase};
use super::options::{LocationOptions, Options, ProxyOptions, Role, UpstreamAddress};
use super::render::{Persistence, Reply};
use super::{ConnKey, Output, Relay};
use crate::clock::Now;
use crate::http::{BodyDecoder, Framing, RequestHead};
use crate::rate_limit::RateLimit;

/// What the exchanges share.
#[derive(Debug)]
pub(super) struct Proxy {
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
    gate: Gate,
    /// There are publisher locations, to which a message may be handed over.
    has_publishers: bool,
    pool: Pool,
    /// For a head that is being written; kept for its room.
    scratch: Vec<u8>,
    unreachable: RateLimit,
    silent: RateLimit,
    faulty: RateLimit,
    replaced: RateLimit,
}

/// Dials that fail, one after the other.
#[derive(Debug, Clone, Copy)]
struct Failure {
    /// Of the last one. `QuotaExceeded`: not for want of the upstream, but of descriptors of ours.
    cause: ErrorKind,
    /// When the first one failed, milliseconds.
    since_ms: u64,
}

impl Proxy {
    pub(super) fn new(options: &ProxyOptions, locations: &[LocationOptions]) -> Self {
        Self {
            addresses: options.addresses.iter().cloned().map(Rc::new).collect(),
            preferred: 0,
            place: fault::local_place(options),
            failure: None,
            is_http_1_0: false,
            removed: false,
            gate: Gate::new(locations),
            has_publishers: has_publishers(locations),
            options: options.clone(),
            pool: Pool::default(),
            scratch: Vec::new(),
            unreachable: RateLimit::default(),
            silent: RateLimit::default(),
            faulty: RateLimit::default(),
            replaced: RateLimit::default(),
        }
    }

    /// Whether it takes requests.
    pub(super) fn is_open(&self) -> bool {
        !self.removed
    }

    /// The connection that waits longest for a request.
    pub(super) fn oldest_idle(&self) -> Option<ConnKey> {
        self.pool.oldest()
    }

    /// A connection waits for no request any more.
    pub(super) fn forget_idle(&mut self, conn: ConnKey) {
        self.pool.forget(conn);
    }

    /// How many addresses there are, at least 1.
    pub(super) fn count(&self) -> usize {
        self.addresses.len().max(1)
    }

    /// When [`Relay::proxy_timeout`] has something to do, milliseconds.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.pool.next_deadline()
    }
}

impl Relay {
    /// Takes a request that no location matches to the upstream. `input`: what has come behind its
    /// head; gives how many of those bytes are dealt with.
    pub(super) fn forward(
        &mut self,
        conn: ConnKey,
        head: &RequestHead<'_>,
        input: &[u8],
        now: Now,
    ) -> usize {
        self.note_access(conn, head, now);
        let has_body = !matches!(head.framing, Framing::None | Framing::Length(0));
        let Some(proxy) = &self.proxy else { return 0 };
        if let Some(answer) = proxy.gate.refuses(head, &proxy.options) {
            let persistence = if has_body {
                Persistence::Close
            } else {
                Persistence::of(head, self.effects.stopping)
            };
            let exchange = Reply::bare(persistence, head.method == "HEAD");
            let status = answer.status;
            let payload = self.renderer.text(&exchange, status, &answer.lines, answer.text);
            if has_body {
                self.refuse_and_linger(conn, status, payload, now);
                return input.len();
            }
            self.respond(conn, persistence, status, payload, now);
            return 0;
        }
        let decoder = match sound_body(head.framing, input) {
            Ok(decoder) => decoder,
            Err(error) => {
                self.fail_of(conn, &error, head.method == "HEAD", now);
                return input.len();
            }
        };
        let Some(proxied) = self.exchange(conn, head, decoder, input.is_empty(), now) else {
            return 0;
        };
        if let Some(client) = self.conns.client_mut(conn) {
            client.phase = Phase::Proxied(Box::new(proxied));
        }
        self.find_upstream(conn, now);
        0
    }

    /// A request on its way to the upstream. `awaits`: nothing of its body has come yet.
    fn exchange(
        &mut self,
        conn: ConnKey,
        head: &RequestHead<'_>,
        decoder: BodyDecoder,
        awaits: bool,
        now: Now,
    ) -> Option<Proxied> {
        let persistence = Persistence::of(head, self.effects.stopping);
        let has_body = !decoder.is_done();
        let chunked = head.framing == Framing::Chunked;
        let body = self.body_of(head, has_body);
        let proxy = self.proxy.as_mut()?;
        let peer = self.conns.client(conn)?.peer;
        let is_trusted =
            |peer: &IpAddr| proxy.options.trusted.iter().any(|network| network.contains(peer));
        let origin = Origin {
            peer,
            speaks_for_others: peer.is_none_or(|peer| is_trusted(&peer)),
            default_host: &proxy.options.host,
            secret: proxy.options.secret.as_ref(),
        };
        let awaited = match head.expect_continue && awaits {
            true if proxy.is_http_1_0 => Continue::Ours,
            true => Continue::Upstreams,
            false => Continue::None,
        };
        let expects = awaited == Continue::Upstreams;
        proxy.scratch.clear();
        let replaced = rewrite::write_request(&mut proxy.scratch, head, origin, expects);
        if let Some(field) = replaced
            && let Some(times) = proxy.replaced.note(now.mono_ms)
        {
            let field = &field[..field.len().min(FIELD_BYTES_SHOWN)];
            let peer = shown_peer(peer);
            log::warn!(
                "event=forwarded_replaced peer={peer} field={field} times={times} cause=\"the peer \
                 is not in the setting trusted_proxies\""
            );
        }
        let ask = Ask {
            version: head.version,
            is_head: head.method == "HEAD",
            is_page: proxy.place.is_some()
                && head.method == "GET"
                && !has_body
                && fault::accepts_html(head.header_all("Accept")),
            wants_upgrade: rewrite::tunnel(head.upgrade).is_some(),
            // Servers that know no chunks take them for the next request.
            once: chunked,
        };
        Some(Proxied {
            stage: Stage::Connecting,
            head: proxy.scratch.as_slice().into(),
            upstream: None,
            upload: has_body.then(|| Reframer::request(decoder, chunked)),
            body,
            awaited,
            blocked: false,
            repeat: Repeat::of(head.method, has_body),
            wait_ends_ms: now.mono_ms + ask.wait_ms(&self.site.limits),
            attempts: 0,
            first: 0,
            waits: 0,
            persistence,
            ask,
        })
    }

    /// What is kept of a request's body for a location that it may be handed over to.
    fn body_of(&self, head: &RequestHead<'_>, has_body: bool) -> Body {
        let has_publishers = self.proxy.as_ref().is_some_and(|proxy| proxy.has_publishers);
        match (has_body && head.method == "POST", has_publishers) {
            (false, _) => Body::NotNeeded,
            (true, false) => Body::Passed,
            (true, true) => {
                let (limit, sum) = (self.site.limits.body_bytes, &self.effects.uploading);
                Body::Kept(Kept::begin(head.framing, limit, sum, self.site.uploads_max()))
            }
        }
    }

    /// Does what is due: closes what was idle for too long, dials for who waits.
    pub(super) fn proxy_timeout(&mut self, now: Now) {
        while let Some(proxy) = &mut self.proxy
            && let Some(idle) = proxy.pool.expired(now.mono_ms)
        {
            self.effects.outputs.push_back(Output::Close { conn: idle });
        }
        while let Some(proxy) = &mut self.proxy
            && let Some(client) = proxy.pool.retry(now.mono_ms)
        {
            if self.awaits_dial(client) {
                if let Some(proxy) = &mut self.proxy {
                    proxy.pool.retried(now.mono_ms);
                }
                self.dial(client);
            }
        }
        while let Some(proxy) = &mut self.proxy
            && let Some(client) = proxy.pool.rested(now.mono_ms)
        {
            if self.awaits_dial(client) {
                self.dial(client);
            }
        }
    }

    /// Takes other settings. What is on its way to another upstream comes to its end.
    pub(super) fn reload_proxy(&mut self, options: &Options) {
        match (&mut self.proxy, &options.proxy) {
            (Some(proxy), Some(new)) if proxy.options.addresses == new.addresses => {
                proxy.options = new.clone();
                proxy.place = fault::local_place(new);
                proxy.gate = Gate::new(&options.locations);
                proxy.has_publishers = has_publishers(&options.locations);
                proxy.removed = false;
            }
            (old, None) => {
                old.iter_mut().for_each(|proxy| proxy.removed = true);
                self.close_idle_upstreams();
            }
            (_, Some(new)) => {
                let proxy = Proxy::new(new, &options.locations);
                self.close_idle_upstreams();
                self.conns.upstreams_mut().for_each(|upstream| upstream.retired = true);
                let old = self.proxy.replace(Box::new(proxy));
                if let Some(mut old) = old {
                    let waiting = old.pool.take_waiting();
                    for client in waiting.into_iter().chain(old.pool.take_resting()) {
                        if self.awaits_dial(client) {
                            self.dial(client);
                        }
                    }
                }
            }
        }
    }

    /// Stops keeping connections, since the daemon stops or the upstream is another one.
    pub(super) fn close_idle_upstreams(&mut self) {
        while let Some(proxy) = &mut self.proxy
            && let Some(conn) = proxy.pool.drain()
        {
            self.effects.outputs.push_back(Output::Close { conn });
        }
    }

    /// Whether the client has the head of an answer from the upstream.
    pub(super) fn is_answered(&mut self, conn: ConnKey) -> bool {
        self.proxied(conn).is_some_and(|proxied| !proxied.is_unanswered())
    }

    /// Whether it is a HEAD request that is on its way through the upstream.
    pub(super) fn proxies_head(&mut self, conn: ConnKey) -> bool {
        self.proxied(conn).is_some_and(|proxied| proxied.ask.is_head)
    }

    /// Sets the timer that watches over the side whose turn it is.
    pub(super) fn arm_exchange(&mut self, conn: ConnKey, now: Now) {
        let Some(client) = self.conns.client(conn) else { return };
        let Phase::Proxied(proxied) = &client.phase else { return };
        let timer = match proxied.stage {
            Stage::Connecting => ConnTimer::Connect,
            Stage::Tunnel if proxied.blocked => ConnTimer::Upstream,
            // May be silent for hours; who vanishes without a word is found by TCP's keep-alive.
            Stage::Tunnel => return self.disarm(conn),
            // The upstream says whether it wants the body.
            Stage::Asked if proxied.awaits_continue() => ConnTimer::Upstream,
            Stage::Asked | Stage::Answered | Stage::HandedOver(_) if proxied.takes_bytes() => {
                ConnTimer::Body
            }
            Stage::Asked | Stage::Answering(..) | Stage::Answered | Stage::HandedOver(_) => {
                ConnTimer::Upstream
            }
        };
        self.arm(conn, timer, now);
    }

    fn proxied(&mut self, conn: ConnKey) -> Option<&mut Proxied> {
        match &mut self.conns.client_mut(conn)?.phase {
            Phase::Proxied(proxied) => Some(proxied),
            _ => None,
        }
    }
}

fn has_publishers(locations: &[LocationOptions]) -> bool {
    locations.iter().any(|location| matches!(location.role, Role::Publisher(_)))
}

/// Of a field's name that is told of in the log.
const FIELD_BYTES_SHOWN: usize = 40;

#[cfg(test)]
mod tests;
