//! The HTTP face of the hub: connections, locations, deliveries. Sans-io: bytes and `now` go in,
//! [`Output`]s come out. Never touches a socket or a clock.
//!
//! `net` says what happened to a connection ([`Input`]) and does what [`Relay::poll_output`] says.
//! A connection's entry lives until [`Input::Closed`], and only `net` says that, so that the tables
//! of both have the same connections at the end of each turn.

mod client;
mod conn;
mod conn_key;
mod counters;
mod delivery;
mod effects;
mod information;
mod input;
pub mod location;
pub mod notice;
pub mod options;
mod output;
mod proxy;
mod refused_heads;
mod request;
mod shedding;
mod site;
mod timers;

pub use self::conn_key::ConnKey;
pub use self::delivery::Payload;
pub use self::input::{Arrival, Input};
pub use self::output::Output;

use self::client::{Client, ConnTimer, Phase};
use self::conn::{Conn, Connections};
use self::delivery::Renderer;
use self::effects::Effects;
use self::options::Options;
use self::proxy::Proxy;
use self::refused_heads::RefusedHeads;
use self::shedding::Shedding;
use self::site::Site;
use crate::clock::Now;
use crate::hub::options::StoreOptions;
use crate::hub::{self, Hub};

/// Bytes of answers of one connection that are made before its socket has had some of them: a
/// reader that stops keeps no more than these and one message from being freed.
const ANSWERS_PER_TURN: usize = 64 << 10;

/// See the module.
#[derive(Debug)]
pub struct Relay {
    conns: Connections,
    hub: Hub,
    site: Site,
    renderer: Renderer,
    /// `None`: what no location matches is answered 404.
    proxy: Option<Box<Proxy>>,
    effects: Effects,
    /// The channel of the request at hand; kept for its room.
    name: Vec<u8>,
    shedding: Shedding,
    /// Bytes of answers made for the connection at hand.
    answered: usize,
    refused_heads: RefusedHeads,
}

impl Relay {
    /// A relay without connections.
    #[must_use]
    pub fn new(options: &Options, hub: hub::options::Options, now: Now) -> Self {
        Self {
            conns: Connections::default(),
            hub: Hub::new(hub, now),
            site: Site::new(options),
            renderer: Renderer::new(options.server.clone(), now),
            proxy: options
                .proxy
                .as_ref()
                .map(|proxy| Box::new(Proxy::new(proxy, &options.locations))),
            effects: Effects::new(now.mono_ms),
            name: Vec::new(),
            shedding: Shedding::default(),
            answered: 0,
            refused_heads: RefusedHeads::default(),
        }
    }

    /// Takes other settings. Requests that are held keep those of their location.
    pub fn reload(&mut self, options: &Options, stores: Vec<StoreOptions>, now: Now) {
        self.site = Site::new(options);
        self.reload_proxy(options);
        self.renderer.set_server(options.server.clone());
        self.hub.reload(stores, now);
    }

    /// A connection was accepted; gives the key that names it from here on.
    pub fn accept(&mut self, arrival: Arrival, now: Now) -> ConnKey {
        let conn = self.conns.insert(Conn::Client(Client::new(arrival)));
        self.arm(conn, ConnTimer::Head, now);
        conn
    }

    /// How many bytes may be read from a connection now; 0: none, and `ResumeRead` will come.
    pub fn read_max(&mut self, conn: ConnKey) -> usize {
        let Some(client) = self.conns.client_mut(conn) else {
            return if self.upstream_wants_read(conn) { usize::MAX } else { 0 };
        };
        client.paused = !client.wants_read(&self.site.limits);
        if client.paused { 0 } else { client.reads_at_most(&self.site.limits) }
    }

    /// Takes what happened to a connection.
    pub fn handle_input(&mut self, conn: ConnKey, input: Input<'_>, now: Now) {
        match input {
            Input::Received(bytes) => self.received(conn, bytes, now),
            Input::Ended => self.peer_ended(conn, now),
            Input::Closed => self.closed(conn, now),
            Input::Stalled => self.stalled(conn, now),
            Input::Progressed => self.progressed(conn, now),
            Input::Drained => self.drained(conn, now),
            Input::Connected => self.connected(conn, now),
            Input::ConnectFailed(cause) => self.connect_failed(conn, cause, now),
        }
    }

    fn received(&mut self, conn: ConnKey, bytes: &[u8], now: Now) {
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

    fn peer_ended(&mut self, conn: ConnKey, now: Now) {
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

    fn closed(&mut self, conn: ConnKey, now: Now) {
        self.release(conn, now);
        self.abandon(conn, now);
        self.upstream_ended(conn, false, now);
        let timer = match self.conns.remove(conn) {
            Some(Conn::Client(client)) => client.timer.map(|(timer, _)| timer),
            Some(Conn::Upstream(upstream)) => upstream.timer,
            None => None,
        };
        if let Some(timer) = timer {
            self.effects.wheel.cancel(timer);
        }
    }

    fn stalled(&mut self, conn: ConnKey, now: Now) {
        if let Some(client) = self.conns.client_mut(conn) {
            client.stalled = true;
            self.arm(conn, ConnTimer::Write, now);
        } else {
            self.upstream_blocked(conn, true, now);
        }
    }

    fn progressed(&mut self, conn: ConnKey, now: Now) {
        if self.conns.client(conn).is_some() {
            self.arm(conn, ConnTimer::Write, now);
        } else {
            self.upstream_progressed(conn, now);
        }
    }

    fn drained(&mut self, conn: ConnKey, now: Now) {
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
        self.effects.stopping = true;
    }

    /// Stops: held requests are ended, idle connections closed, begun messages waited for.
    pub fn shutdown(&mut self, now: Now) {
        self.effects.stopping = true;
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
        self.effects.wheel.len() + self.hub.timers()
    }

    /// The next thing to do; answers to requests before deliveries of fan-outs. Stopping before
    /// `None` is how other connections have their turn.
    pub fn poll_output(&mut self, now: Now) -> Option<Output> {
        loop {
            if let Some(output) = self.effects.outputs.pop_front() {
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
        self.effects.outputs.pop_front()
    }

    /// Whether [`Relay::poll_output`] has more.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.effects.outputs.is_empty() || self.hub.has_output()
    }

    /// When [`Relay::handle_timeout`] has something to do, milliseconds.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        if !self.effects.ready.is_empty() {
            return Some(0);
        }
        let proxy = self.proxy.as_ref().and_then(|proxy| proxy.next_deadline());
        [self.effects.wheel.next_deadline(), self.hub.poll_timeout(), proxy]
            .into_iter()
            .flatten()
            .min()
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
        for _ in 0..self.effects.ready.len() {
            let Some(conn) = self.effects.ready.pop_front() else { break };
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
        if client.paused && client.wants_read(&self.site.limits) {
            client.paused = false;
            // The peer's end, if that is what comes next, will be told again.
            return self.effects.outputs.push_back(Output::ResumeRead { conn });
        }
        let Some(client) = self.conns.client(conn) else { return };
        let unfinished = matches!(client.phase, Phase::Head { .. } | Phase::Body(_));
        if client.ended && !client.ready && unfinished {
            self.close(conn, now);
        }
    }
}
