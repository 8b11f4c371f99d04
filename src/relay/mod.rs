//! The HTTP face of the hub: connections, locations, deliveries. Sans-io: bytes and `now` go in,
//! [`Output`]s come out. Never touches a socket or a clock.
//!
//! `net` tells what happened to a connection (`accept`, `received`, `peer_ended`, `closed`, and
//! `stalled`, `progressed`, `drained` where a socket did not take everything) and does what
//! [`Relay::poll_output`] says. A connection's entry lives until `closed`, and only `net` says that,
//! so that the tables of both have the same connections at the end of each turn.

mod accept;
mod admission;
mod answer;
mod client;
mod connections;
mod counters;
mod cursor;
mod delivery;
mod host;
mod information;
pub mod location;
pub mod notice;
pub mod options;
mod output;
mod proxy;
mod refused_heads;
mod request;
mod shedding;
mod timers;
mod transport;

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;

pub use self::delivery::Payload;
pub use self::output::Output;

use self::client::{Client, ConnTimer, Phase};
use self::connections::{Conn, Connections};
use self::counters::Counters;
use self::delivery::Renderer;
use self::host::Hosts;
use self::location::Routes;
use self::options::{Limits, Options};
use self::proxy::Proxy;
use self::refused_heads::RefusedHeads;
use self::shedding::Shedding;
use crate::arena::Key;
use crate::clock::Now;
use crate::http::HeadLimits;
use crate::hub::options::StoreOptions;
use crate::hub::{self, Hub};
use crate::wheel::Wheel;

/// Names a connection, to `net` too.
pub type ConnKey = Key;

/// Bytes of answers of one connection that are made before its socket has had some of them: a
/// reader that stops keeps no more than these and one message from being freed.
const ANSWERS_PER_TURN: usize = 64 << 10;

/// See the module.
#[derive(Debug)]
pub struct Relay {
    conns: Connections,
    hub: Hub,
    routes: Routes,
    hosts: Hosts,
    renderer: Renderer,
    /// `None`: what no location matches is answered 404.
    proxy: Option<Box<Proxy>>,
    limits: Limits,
    head_limits: HeadLimits,
    wheel: Wheel<(ConnKey, ConnTimer)>,
    outputs: VecDeque<Output>,
    /// Connections with bytes that wait, to go on with in the next turn.
    ready: VecDeque<ConnKey>,
    /// The channel of the request at hand; kept for its room.
    name: Vec<u8>,
    shedding: Shedding,
    stopping: bool,
    /// Bytes of bodies that are not whole yet.
    uploading: Rc<Cell<usize>>,
    /// Bytes of answers made for the connection at hand.
    answered: usize,
    counters: Counters,
    refused_heads: RefusedHeads,
}

impl Relay {
    /// A relay without connections.
    #[must_use]
    pub fn new(options: &Options, hub: hub::options::Options, now: Now) -> Self {
        Self {
            conns: Connections::default(),
            hub: Hub::new(hub, now),
            routes: Routes::new(&options.locations),
            hosts: Hosts::new(&options.hosts),
            renderer: Renderer::new(options.server.clone(), now),
            proxy: options
                .proxy
                .as_ref()
                .map(|proxy| Box::new(Proxy::new(proxy, &options.locations))),
            head_limits: options.limits.of_a_head(),
            limits: options.limits.clone(),
            wheel: Wheel::new(now.mono_ms),
            outputs: VecDeque::new(),
            ready: VecDeque::new(),
            name: Vec::new(),
            shedding: Shedding::default(),
            stopping: false,
            uploading: Rc::default(),
            answered: 0,
            counters: Counters::default(),
            refused_heads: RefusedHeads::default(),
        }
    }

    /// Takes other settings. Requests that are held keep those of their location.
    pub fn reload(&mut self, options: &Options, stores: Vec<StoreOptions>, now: Now) {
        self.routes = Routes::new(&options.locations);
        self.hosts = Hosts::new(&options.hosts);
        self.reload_proxy(options);
        self.renderer.set_server(options.server.clone());
        self.head_limits = options.limits.of_a_head();
        self.limits = options.limits.clone();
        self.hub.reload(stores, now);
    }

    /// A connection was accepted. `peer`: its address, none on a Unix socket.
    pub fn accept(&mut self, peer: Option<IpAddr>, now: Now) -> ConnKey {
        let peer = peer.map(|peer| peer.to_canonical());
        let conn = self.conns.insert(Conn::Client(Client::new(peer)));
        self.arm(conn, ConnTimer::Head, now);
        conn
    }

    /// A connection came to a loopback address, at this port. A browser of this machine may be its
    /// other end, so locations answer it under names of this machine only (`relay/host.rs`).
    pub fn came_by_loopback(&mut self, conn: ConnKey, port: u16) {
        if let Some(client) = self.conns.client_mut(conn) {
            client.loopback_port = port;
        }
    }

    /// Whether bytes may be read from a connection now. If not, `ResumeRead` will come.
    pub fn wants_read(&mut self, conn: ConnKey) -> bool {
        let Some(client) = self.conns.client_mut(conn) else {
            return self.upstream_wants_read(conn);
        };
        client.paused = !client.wants_read(&self.limits);
        !client.paused
    }

    /// How many bytes may be read from a connection at once, where any may be.
    #[must_use]
    pub fn reads_at_most(&self, conn: ConnKey) -> usize {
        self.conns.client(conn).map_or(usize::MAX, |client| client.reads_at_most(&self.limits))
    }

    /// Bytes came.
    pub fn received(&mut self, conn: ConnKey, bytes: &[u8], now: Now) {
        // Answers are written before this turn's `handle_timeout`; the last one may be long ago.
        self.renderer.set_time(now);
        let Some(client) = self.conns.client_mut(conn) else {
            return self.upstream_received(conn, bytes, now);
        };
        match client.phase {
            // Where its socket takes no more, only that is waited for.
            Phase::Lingering { .. } if !client.stalled => self.arm(conn, ConnTimer::Linger, now),
            Phase::Lingering { .. } | Phase::Closing => {}
            Phase::Head { .. } | Phase::Body(_) | Phase::Proxied(_)
                if client.buffer.is_none() && client.goes_on() =>
            {
                let used = self.advance(conn, bytes, now);
                if used < bytes.len()
                    && let Some(client) = self.conns.client_mut(conn)
                {
                    client.keep(&bytes[used..]);
                    self.end_flooded(conn, now);
                }
            }
            _ => {
                client.keep(bytes);
                self.end_flooded(conn, now);
                self.go_on(conn, now);
            }
        }
    }

    /// The peer sends no more; to be told again when bytes before its end were not wanted yet and
    /// are read. A publisher that is half closed still gets its answers; a subscriber that waits
    /// counts as gone, as with nginx.
    pub fn peer_ended(&mut self, conn: ConnKey, now: Now) {
        let Some(client) = self.conns.client_mut(conn) else {
            return self.upstream_ended(conn, true, now);
        };
        client.ended = true;
        let requests_wait = client.ready || (client.stalled && client.buffer.is_some());
        match client.phase {
            Phase::Head { .. } | Phase::Body(_) if requests_wait => {}
            Phase::Asked { .. } => {}
            Phase::Waiting { .. } => {
                self.release(conn, now);
                self.close(conn, now);
            }
            _ => self.close(conn, now),
        }
    }

    /// The connection is gone, by [`Output::Close`], [`Output::Abort`] or a fault of its own.
    pub fn closed(&mut self, conn: ConnKey, now: Now) {
        self.release(conn, now);
        self.abandon(conn, now);
        self.upstream_ended(conn, false, now);
        let timer = match self.conns.remove(conn) {
            Some(Conn::Client(client)) => client.timer.map(|(timer, _)| timer),
            Some(Conn::Upstream(upstream)) => upstream.timer,
            None => None,
        };
        if let Some(timer) = timer {
            self.wheel.cancel(timer);
        }
    }

    /// The socket did not take all that was to be sent.
    pub fn stalled(&mut self, conn: ConnKey, now: Now) {
        if let Some(client) = self.conns.client_mut(conn) {
            client.stalled = true;
            self.arm(conn, ConnTimer::Write, now);
        } else {
            self.upstream_blocked(conn, true, now);
        }
    }

    /// A stalled socket took something.
    pub fn progressed(&mut self, conn: ConnKey, now: Now) {
        if self.conns.client(conn).is_some() {
            self.arm(conn, ConnTimer::Write, now);
        } else {
            self.upstream_progressed(conn, now);
        }
    }

    /// A stalled socket took everything.
    pub fn drained(&mut self, conn: ConnKey, now: Now) {
        let Some(client) = self.conns.client_mut(conn) else {
            return self.upstream_blocked(conn, false, now);
        };
        client.stalled = false;
        match client.phase {
            Phase::Head { .. } => self.await_request(conn, now),
            Phase::Body(_) => {
                self.arm_body(conn, now);
                self.go_on_later(conn);
            }
            Phase::Lingering { .. } => self.begin_lingering(conn, now),
            Phase::Asked { .. } | Phase::Waiting { .. } | Phase::Closing => self.disarm(conn),
            Phase::Proxied(_) => {
                self.arm_exchange(conn, now);
                self.resume_upstream(conn);
            }
        }
    }

    /// From now on every answer is the last of its connection. To be followed by
    /// [`Relay::shutdown`] when what has arrived so far is read.
    pub fn announce_shutdown(&mut self) {
        self.stopping = true;
    }

    /// Stops: held requests are ended, idle connections closed, begun messages waited for.
    pub fn shutdown(&mut self, now: Now) {
        self.stopping = true;
        self.hub.shutdown(now);
        self.close_idle_upstreams();
        let conns: Vec<ConnKey> = self.conns.keys().collect();
        for conn in conns {
            let Some(client) = self.conns.client(conn) else { continue };
            match &client.phase {
                Phase::Head { .. } if client.buffer.is_none() => self.close(conn, now),
                Phase::Head { .. } | Phase::Body(_) if !client.stalled => {
                    self.arm(conn, ConnTimer::Stop, now);
                }
                Phase::Lingering { .. } if !client.stalled => self.begin_lingering(conn, now),
                Phase::Proxied(proxied) if proxied.is_tunnel() => self.close(conn, now),
                _ => {}
            }
        }
    }

    /// How many connections there are, with those that are to be opened.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// The domain, to look at.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Timers that are set.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.wheel.len() + self.hub.timers()
    }

    /// The next thing to do; answers to requests before deliveries of fan-outs. Stopping before
    /// `None` is how other connections have their turn.
    pub fn poll_output(&mut self, now: Now) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            let Some(output) = self.hub.poll_output() else {
                self.renderer.forget_deliveries();
                return None;
            };
            self.on_hub(output, now);
        }
    }

    /// The next thing to do that is no fan-out's.
    pub fn poll_answer(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether [`Relay::poll_output`] has more.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty() || self.hub.has_output()
    }

    /// When [`Relay::handle_timeout`] has something to do, milliseconds.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        if !self.ready.is_empty() {
            return Some(0);
        }
        let proxy = self.proxy.as_ref().and_then(|proxy| proxy.next_deadline());
        [self.wheel.next_deadline(), self.hub.poll_timeout(), proxy].into_iter().flatten().min()
    }

    /// Does what is due, up to a bound: [`Relay::poll_timeout`] tells whether there is more. To be
    /// called once a turn.
    pub fn handle_timeout(&mut self, now: Now) {
        self.renderer.set_time(now);
        self.timers_due(now);
        self.hub.handle_timeout(now);
        if self.proxy.is_some() {
            self.proxy_timeout(now);
        }
        for _ in 0..self.ready.len() {
            let Some(conn) = self.ready.pop_front() else { break };
            if let Some(client) = self.conns.client_mut(conn) {
                client.ready = false;
                self.go_on(conn, now);
            }
        }
    }

    /// Goes on with the bytes that wait on a connection.
    fn go_on(&mut self, conn: ConnKey, now: Now) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        if !client.goes_on() {
            return;
        }
        if matches!(client.phase, Phase::Head { .. } | Phase::Body(_) | Phase::Proxied(_))
            && let Some(mut buffer) = client.buffer.take()
        {
            let used = self.advance(conn, &buffer.bytes, now);
            if let Some(client) = self.conns.client_mut(conn)
                && used < buffer.bytes.len()
            {
                buffer.bytes.drain(..used);
                client.buffer = Some(buffer);
                self.end_flooded(conn, now);
            }
        }
        let Some(client) = self.conns.client_mut(conn) else { return };
        if client.paused && client.wants_read(&self.limits) {
            client.paused = false;
            // The peer's end, if that is what comes next, will be told again.
            return self.outputs.push_back(Output::ResumeRead { conn });
        }
        let Some(client) = self.conns.client(conn) else { return };
        let unfinished = matches!(client.phase, Phase::Head { .. } | Phase::Body(_));
        if client.ended && !client.ready && unfinished {
            self.close(conn, now);
        }
    }
}

/// Log target of the access log.
pub const ACCESS: &str = "pushserver::access";
