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
mod pool;
mod rewrite;
mod upstream;

use std::net::IpAddr;
use std::rc::Rc;

use percent_encoding::percent_decode;

pub(super) use self::exchange::Proxied;
pub(super) use self::upstream::Upstream;

use self::exchange::{Ask, Reframer, Stage};
use self::pool::Pool;
use self::rewrite::Origin;
use super::client::{ConnTimer, Phase};
use super::delivery::{Exchange, Persistence};
use super::host::split_port;
use super::options::{LocationOptions, Options, ProxyOptions, Role, UpstreamAddress};
use super::{ConnKey, Output, Relay};
use crate::clock::Now;
use crate::http::{BodyDecoder, Framing, HttpError, RequestHead};
use crate::warnings::RateLimit;

/// What the exchanges share.
#[derive(Debug)]
pub(super) struct Proxy {
    options: ProxyOptions,
    addresses: Vec<Rc<UpstreamAddress>>,
    /// Which of the addresses accepted a connection last.
    preferred: usize,
    /// Why the last connection failed: not for want of the upstream, but of descriptors of ours.
    out_of_descriptors: bool,
    /// The settings name no upstream any more: only what is on its way still goes there.
    removed: bool,
    /// Paths that only the daemon itself may ask for, as [`plain_path`] gives them.
    closed_paths: Vec<Vec<u8>>,
    pool: Pool,
    /// For a head that is being written; kept for its room.
    scratch: Vec<u8>,
    unreachable: RateLimit,
    silent: RateLimit,
    faulty: RateLimit,
}

impl Proxy {
    pub(super) fn new(options: &ProxyOptions, locations: &[LocationOptions]) -> Self {
        Self {
            addresses: options.addresses.iter().cloned().map(Rc::new).collect(),
            preferred: 0,
            out_of_descriptors: false,
            removed: false,
            closed_paths: closed_paths(locations),
            options: options.clone(),
            pool: Pool::default(),
            scratch: Vec::new(),
            unreachable: RateLimit::new(WARNING_PERIOD_MS),
            silent: RateLimit::new(WARNING_PERIOD_MS),
            faulty: RateLimit::new(WARNING_PERIOD_MS),
        }
    }

    /// Whether it takes requests.
    pub(super) fn is_open(&self) -> bool {
        !self.removed
    }

    /// The connection that waits longest for a request.
    pub(super) fn take_oldest_idle(&mut self) -> Option<ConnKey> {
        self.pool.take_oldest()
    }

    /// How many addresses there are, at least 1.
    pub(super) fn count(&self) -> usize {
        self.addresses.len().max(1)
    }

    /// When [`Relay::proxy_timeout`] has something to do, milliseconds.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.pool.next_deadline()
    }

    /// Why a request goes no further, if it does not: status, header lines, text.
    fn refuses(&self, head: &RequestHead<'_>) -> Option<(u16, Vec<u8>, &'static str)> {
        if let Some(host) = &self.options.force_host
            && let Some(host) = other_host(host, head.host)
        {
            let mut line = b"Location: http://".to_vec();
            line.extend_from_slice(&host);
            line.extend_from_slice(if head.path == b"*" { b"/" } else { head.path });
            for part in head.query.iter().flat_map(|query| [&b"?"[..], query]) {
                line.extend_from_slice(part);
            }
            line.extend_from_slice(b"\r\n");
            return Some((301, line, "this server has another name; see Location"));
        }
        if !self.closed_paths.is_empty() && self.closed_paths.contains(&plain_path(head.path)) {
            let text = "only the push server itself may ask for this path";
            return Some((403, Vec::new(), text));
        }
        None
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
        self.note_access(conn, head);
        let persistence = self.persistence(head);
        let has_body = !matches!(head.framing, Framing::None | Framing::Length(0));
        let Some(proxy) = &mut self.proxy else { return 0 };
        if let Some((status, lines, text)) = proxy.refuses(head) {
            let persistence = if has_body { Persistence::Close } else { persistence };
            let exchange = Exchange::bare(persistence, head.method == "HEAD");
            let payload = self.renderer.text(&exchange, status, &lines, text);
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
        let Some(client) = self.conns.client_mut(conn) else { return 0 };
        let chunked = head.framing == Framing::Chunked;
        let speaks_for_others = |peer: &IpAddr| {
            proxy.options.trusted.iter().any(|network| network.contains(&peer.to_canonical()))
        };
        let origin = Origin {
            peer: client.peer.filter(|peer| !speaks_for_others(peer)),
            default_host: &proxy.options.host,
        };
        proxy.scratch.clear();
        rewrite::write_request(&mut proxy.scratch, head, origin, chunked);
        let proxied = Proxied {
            stage: Stage::Connecting,
            head: proxy.scratch.as_slice().into(),
            upstream: None,
            upload: has_body.then(|| Reframer::request(decoder, chunked)),
            blocked: false,
            can_repeat: !has_body && is_idempotent(head.method),
            attempts: 0,
            first: 0,
            waits: 0,
            persistence,
            ask: Ask {
                version: head.version,
                is_head: head.method == "HEAD",
                wants_continue: head.expect_continue,
                wants_upgrade: rewrite::tunnel(head.upgrade).is_some(),
                // Servers that know no chunks take them for the next request.
                once: chunked,
            },
        };
        client.phase = Phase::Proxied(Box::new(proxied));
        self.find_upstream(conn, now);
        0
    }

    /// Does what is due: closes what was idle for too long, dials for who waits.
    pub(super) fn proxy_timeout(&mut self, now: Now) {
        while let Some(proxy) = &mut self.proxy
            && let Some(idle) = proxy.pool.expired(now.mono_ms)
        {
            self.outputs.push_back(Output::Close { conn: idle });
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
    }

    /// Takes other settings. What is on its way to another upstream comes to its end.
    pub(super) fn reload_proxy(&mut self, options: &Options) {
        match (&mut self.proxy, &options.proxy) {
            (Some(proxy), Some(new)) if proxy.options.addresses == new.addresses => {
                proxy.options = new.clone();
                proxy.closed_paths = closed_paths(&options.locations);
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
                for client in old.into_iter().flat_map(|mut old| old.pool.take_waiting()) {
                    if self.awaits_dial(client) {
                        self.dial(client);
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
            self.outputs.push_back(Output::Close { conn });
        }
    }

    /// Bytes of a client that are part of its request's body, or go through a tunnel; gives how
    /// many were taken, `None` if none is taken now.
    pub(super) fn pass_up(&mut self, conn: ConnKey, input: &[u8], now: Now) -> Option<usize> {
        let client = self.conns.client_mut(conn)?;
        let Phase::Proxied(proxied) = &mut client.phase else { return None };
        let upstream = proxied.upstream.filter(|_| proxied.takes_bytes() && !input.is_empty())?;
        let mut out = Vec::with_capacity(input.len() + 16);
        let passed = match &mut proxied.upload {
            Some(upload) => {
                let passed = upload.pass(input, &mut out);
                if upload.is_done() {
                    proxied.upload = None;
                }
                passed
            }
            None => {
                out.extend_from_slice(input);
                Ok(input.len())
            }
        };
        match passed {
            Ok(used) => {
                if !out.is_empty() {
                    self.send_owned(upstream, out);
                }
                self.arm_exchange(conn, now);
                Some(used)
            }
            Err(error) => {
                self.fail_upload(conn, error, now);
                Some(input.len())
            }
        }
    }

    /// The body of a request turned out to be malformed.
    fn fail_upload(&mut self, conn: ConnKey, error: HttpError, now: Now) {
        if self.is_answered(conn) {
            self.cut(conn, now);
        } else {
            self.fail(conn, error, now);
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
            Stage::Asked | Stage::Answering(..) if proxied.takes_bytes() => ConnTimer::Body,
            Stage::Asked | Stage::Answering(..) => ConnTimer::Upstream,
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

/// The decoder of a body whose beginning is sound: nothing of a malformed one should come to the
/// upstream, as far as that can be known.
fn sound_body(framing: Framing, input: &[u8]) -> Result<BodyDecoder, HttpError> {
    // A stream has no limit; `limits.body_bytes` is for what is kept here.
    let decoder = BodyDecoder::new(framing, u64::MAX)?;
    let mut probe = decoder.clone();
    let mut used = 0;
    while used < input.len() && !probe.is_done() {
        used += probe.decode(&input[used..])?.consumed;
    }
    Ok(decoder)
}

/// RFC 9110 9.2.2.
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

/// The paths of the locations' passthrough URLs.
fn closed_paths(locations: &[LocationOptions]) -> Vec<Vec<u8>> {
    let mut paths: Vec<Vec<u8>> = locations
        .iter()
        .filter_map(|location| match &location.role {
            Role::Subscriber(subscriber) => subscriber.passthrough.as_deref(),
            Role::Publisher(_) => None,
        })
        .filter_map(|url| {
            let (_, rest) = url.split_once("://")?;
            let path = rest.find('/').map_or("", |at| &rest[at..]);
            Some(plain_path(path.split(['?', '#']).next().unwrap_or_default().as_bytes()))
        })
        // The home page would be closed too.
        .filter(|path| !path.is_empty())
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// A path as the most lenient upstream may read it: percent-decoded, without empty and dot
/// segments, and without a line end behind it, which `$` in a URL pattern of Django's overlooks.
fn plain_path(path: &[u8]) -> Vec<u8> {
    let decoded: Vec<u8> = percent_decode(path).collect();
    let line = decoded.strip_suffix(b"\n").unwrap_or(&decoded);
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in line.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments.iter().flat_map(|segment| [b"/", *segment]).flatten().copied().collect()
}

/// Where a request for `asked` belongs, if that is not the one host there is. Of a host without a
/// port only the name counts, and the port stays the one that was asked.
fn other_host(forced: &str, asked: &[u8]) -> Option<Vec<u8>> {
    let (name, port) = split_port(asked);
    let (forced_name, forced_port) = split_port(forced.as_bytes());
    let same_name = name.eq_ignore_ascii_case(forced_name);
    match forced_port {
        b"" if same_name => None,
        b"" => Some([forced_name, port].concat()),
        _ if same_name && number(port) == number(forced_port) => None,
        _ => Some(forced.as_bytes().to_vec()),
    }
}

fn number(port: &[u8]) -> &[u8] {
    if matches!(port, b"" | b":" | b":80") { b"" } else { port }
}

/// The same fault is told at most once in this time.
const WARNING_PERIOD_MS: u64 = 60_000;

#[cfg(test)]
mod tests;
