//! The HTTP face of the hub: connections, locations, deliveries. Sans-io: bytes and `now` go in,
//! [`Output`]s come out. Never touches a socket or a clock.
//!
//! `net` tells what happened to a connection (`accept`, `received`, `peer_ended`, `closed`, and
//! `stalled`, `progressed`, `drained` where a socket did not take everything) and does what
//! [`Relay::poll_output`] says. A connection's entry lives until `closed`, and only `net` says that,
//! so that the tables of both have the same connections at the end of each turn.

mod client;
mod cursor;
mod delivery;
mod information;
pub mod location;
pub mod notice;
pub mod options;
mod request;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

pub use self::delivery::Payload;

use self::client::{Client, ConnTimer, Phase};
use self::delivery::{Exchange, Persistence, Renderer};
use self::information::Form;
use self::location::Routes;
use self::notice::{Event, Notice};
use self::options::{Limits, Options};
use crate::arena::{Arena, Key};
use crate::clock::Now;
use crate::http::{HeadLimits, HttpError};
use crate::hub::options::StoreOptions;
use crate::hub::{self, End, Hub, Refusal};
use crate::wheel::Wheel;

/// Names a connection, to `net` too.
pub type ConnKey = Key;

/// What `net` has to do.
#[derive(Debug)]
pub enum Output {
    /// Send this, behind what still waits to be sent.
    Send {
        /// To this connection.
        conn: ConnKey,
        /// These bytes.
        payload: Payload,
    },
    /// Send no more after what waits, but read on.
    ShutdownWrite {
        /// This connection.
        conn: ConnKey,
    },
    /// Close when everything is sent; then say `closed`.
    Close {
        /// This connection.
        conn: ConnKey,
    },
    /// Close at once; then say `closed`.
    Abort {
        /// This connection.
        conn: ConnKey,
    },
    /// Reading was refused by [`Relay::wants_read`]; it is wanted again.
    ResumeRead {
        /// From this connection.
        conn: ConnKey,
    },
    /// Tell Django.
    Notify {
        /// Which end of the hold.
        event: Event,
        /// The hold.
        notice: Arc<Notice>,
    },
}

/// Requests of one connection that are served before others have their turn.
const REQUESTS_PER_TURN: usize = 16;

/// How long a refused client may go on sending, milliseconds.
const LINGER_MS: u64 = 1500;

/// How long a publisher may take to finish its message when the daemon stops, milliseconds.
const STOP_MS: u64 = 1000;

/// See the module.
#[derive(Debug)]
pub struct Relay {
    clients: Arena<Client>,
    hub: Hub,
    routes: Routes,
    renderer: Renderer,
    limits: Limits,
    head_limits: HeadLimits,
    wheel: Wheel<(ConnKey, ConnTimer)>,
    outputs: VecDeque<Output>,
    /// Connections with bytes that wait, to go on with in the next turn.
    ready: VecDeque<ConnKey>,
    /// The channel of the request at hand; kept for its room.
    name: Vec<u8>,
    stopping: bool,
}

impl Relay {
    /// A relay without connections.
    #[must_use]
    pub fn new(options: &Options, hub: hub::options::Options, now: Now) -> Self {
        Self {
            clients: Arena::default(),
            hub: Hub::new(hub, now),
            routes: Routes::new(&options.locations),
            renderer: Renderer::new(options.server.clone(), now),
            head_limits: head_limits(&options.limits),
            limits: options.limits.clone(),
            wheel: Wheel::new(now.mono_ms),
            outputs: VecDeque::new(),
            ready: VecDeque::new(),
            name: Vec::new(),
            stopping: false,
        }
    }

    /// Takes other settings. Requests that are held keep those of their location.
    pub fn reload(&mut self, options: &Options, stores: Vec<StoreOptions>, now: Now) {
        self.routes = Routes::new(&options.locations);
        self.renderer.set_server(options.server.clone());
        self.head_limits = head_limits(&options.limits);
        self.limits = options.limits.clone();
        self.hub.reload(stores, now);
    }

    /// A connection was accepted. `peer`: its address, none on a Unix socket.
    pub fn accept(&mut self, peer: Option<IpAddr>, now: Now) -> ConnKey {
        let conn = self.clients.insert(Client::new(peer));
        self.arm(conn, ConnTimer::Head, now);
        conn
    }

    /// Whether bytes may be read from a connection now. If not, `ResumeRead` will come.
    pub fn wants_read(&mut self, conn: ConnKey) -> bool {
        let Some(client) = self.clients.get_mut(conn) else { return false };
        client.paused = !client.wants_read(&self.limits);
        !client.paused
    }

    /// Bytes came.
    pub fn received(&mut self, conn: ConnKey, bytes: &[u8], now: Now) {
        // Answers are written before this turn's `handle_timeout`; the last one may be long ago.
        self.renderer.set_time(now);
        let Some(client) = self.clients.get_mut(conn) else { return };
        match client.phase {
            Phase::Lingering | Phase::Closing => {}
            Phase::Head { .. } | Phase::Body(_)
                if client.buffer.is_none() && !client.stalled && !client.ready =>
            {
                let used = self.advance(conn, bytes, now);
                if let Some(client) = self.clients.get_mut(conn) {
                    client.keep(&bytes[used..]);
                }
            }
            _ => {
                client.keep(bytes);
                self.go_on(conn, now);
            }
        }
    }

    /// The peer sends no more; to be told again when bytes before its end were not wanted yet and
    /// are read. A publisher that is half closed still gets its answers; a subscriber that waits
    /// counts as gone, as with nginx.
    pub fn peer_ended(&mut self, conn: ConnKey, now: Now) {
        let Some(client) = self.clients.get_mut(conn) else { return };
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
        if let Some(client) = self.clients.remove(conn)
            && let Some((timer, _)) = client.timer
        {
            self.wheel.cancel(timer);
        }
    }

    /// The socket did not take all that was to be sent.
    pub fn stalled(&mut self, conn: ConnKey, now: Now) {
        if let Some(client) = self.clients.get_mut(conn) {
            client.stalled = true;
            self.arm(conn, ConnTimer::Write, now);
        }
    }

    /// A stalled socket took something.
    pub fn progressed(&mut self, conn: ConnKey, now: Now) {
        self.arm(conn, ConnTimer::Write, now);
    }

    /// A stalled socket took everything.
    pub fn drained(&mut self, conn: ConnKey, now: Now) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        client.stalled = false;
        match client.phase {
            Phase::Head { .. } => self.await_request(conn, now),
            Phase::Body(_) => {
                self.arm_body(conn, now);
                self.go_on_later(conn);
            }
            Phase::Lingering => self.arm(conn, ConnTimer::Linger, now),
            Phase::Asked { .. } | Phase::Waiting { .. } | Phase::Closing => self.disarm(conn),
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
        let conns: Vec<ConnKey> = self.clients.iter().map(|(conn, _)| conn).collect();
        for conn in conns {
            let Some(client) = self.clients.get(conn) else { continue };
            match client.phase {
                Phase::Head { .. } if client.buffer.is_none() => self.close(conn, now),
                Phase::Head { .. } | Phase::Body(_) if !client.stalled => {
                    self.arm(conn, ConnTimer::Stop, now);
                }
                _ => {}
            }
        }
    }

    /// Closes up to `count` connections that are between requests, to make room for others.
    pub fn shed_idle(&mut self, count: usize, now: Now) {
        let idle = |client: &Client| {
            matches!(client.phase, Phase::Head { .. })
                && matches!(client.timer, Some((_, ConnTimer::Idle)))
                && client.buffer.is_none()
        };
        let conns: Vec<ConnKey> = self
            .clients
            .iter()
            .filter(|(_, client)| idle(client))
            .map(|(conn, _)| conn)
            .take(count)
            .collect();
        for conn in conns {
            self.close(conn, now);
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.clients.len()
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
        match (self.wheel.next_deadline(), self.hub.poll_timeout()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Does what is due. To be called once a turn.
    pub fn handle_timeout(&mut self, now: Now) {
        self.renderer.set_time(now);
        while let Some((conn, timer)) = self.wheel.pop_expired(now.mono_ms) {
            if let Some(client) = self.clients.get_mut(conn) {
                client.timer = None;
                self.timed_out(conn, timer, now);
            }
        }
        self.hub.handle_timeout(now);
        for _ in 0..self.ready.len() {
            let Some(conn) = self.ready.pop_front() else { break };
            if let Some(client) = self.clients.get_mut(conn) {
                client.ready = false;
                self.go_on(conn, now);
            }
        }
    }

    fn timed_out(&mut self, conn: ConnKey, timer: ConnTimer, now: Now) {
        let Some(client) = self.clients.get(conn) else { return };
        if matches!(client.phase, Phase::Asked { .. }) && timer != ConnTimer::Write {
            // It is our turn to speak; the answer sets the next timer.
            return;
        }
        match timer {
            ConnTimer::Head if client.buffer.is_none() => self.close(conn, now),
            ConnTimer::Head => self.fail(
                conn,
                HttpError::new(408, "the request head took too long; send it at once"),
                now,
            ),
            ConnTimer::Body => self.fail(
                conn,
                HttpError::new(408, "the request body stopped coming; send it without pauses"),
                now,
            ),
            ConnTimer::Stop => {
                self.fail(conn, HttpError::new(408, "the server stops; send it again later"), now);
            }
            ConnTimer::Idle => self.close(conn, now),
            ConnTimer::Linger | ConnTimer::Write => {
                log::debug!("event=abort conn={} timer={timer:?}", conn.index());
                self.outputs.push_back(Output::Abort { conn });
            }
        }
    }

    /// Goes on with the bytes that wait on a connection.
    fn go_on(&mut self, conn: ConnKey, now: Now) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        if client.stalled || client.ready {
            return;
        }
        if matches!(client.phase, Phase::Head { .. } | Phase::Body(_))
            && let Some(mut buffer) = client.buffer.take()
        {
            let used = self.advance(conn, &buffer.bytes, now);
            if let Some(client) = self.clients.get_mut(conn)
                && used < buffer.bytes.len()
            {
                buffer.bytes.drain(..used);
                client.buffer = Some(buffer);
            }
        }
        let Some(client) = self.clients.get_mut(conn) else { return };
        if client.paused && client.wants_read(&self.limits) {
            client.paused = false;
            // The peer's end, if that is what comes next, will be told again.
            return self.outputs.push_back(Output::ResumeRead { conn });
        }
        let unfinished = matches!(client.phase, Phase::Head { .. } | Phase::Body(_));
        if client.ended && !client.ready && unfinished {
            self.close(conn, now);
        }
    }

    /// Passes on what the hub answers.
    fn on_hub(&mut self, output: hub::Output, now: Now) {
        use hub::Output as O;
        match output {
            O::Published { peer, waiting, information } => {
                self.inform(peer, if waiting { 201 } else { 202 }, &information, now);
            }
            O::Exists { peer, information } | O::Deleted { peer, information } => {
                self.inform(peer, 200, &information, now);
            }
            O::Missing { peer } => {
                let text = "there is no such channel, and this request does not create it";
                self.answer_text(peer, 404, b"", text, now);
            }
            O::Refused { peer, refusal } => self.refuse(peer, refusal, now),
            O::Held { peer, subscription } => self.held(peer, subscription, now),
            O::Deliver { peer, message, gap } => {
                let Some((exchange, shared)) = self.take_exchange(peer) else { return };
                let payload = if shared && gap == crate::store::Gap::NONE {
                    self.renderer.shared_delivery(&exchange, &message)
                } else {
                    self.renderer.delivery(&exchange, &message, gap)
                };
                self.respond(peer, exchange.persistence, 200, payload, now);
            }
            O::Ended { peer, end, cursor } => {
                let Some((exchange, _)) = self.take_exchange(peer) else { return };
                let (status, payload) = match end {
                    End::NothingNew | End::Shutdown => {
                        (304, self.renderer.nothing_new(&exchange, cursor))
                    }
                    End::Deleted => {
                        let text = "the channel was deleted";
                        (410, self.renderer.text(&exchange, 410, b"", text))
                    }
                    End::Displaced => {
                        let text = "another subscriber has the one place of this channel";
                        (409, self.renderer.text(&exchange, 409, b"", text))
                    }
                };
                self.respond(peer, exchange.persistence, status, payload, now);
            }
        }
    }

    fn refuse(&mut self, conn: ConnKey, refusal: Refusal, now: Now) {
        let (status, lines, text): (_, &[u8], _) = match refusal {
            Refusal::Channels => {
                let text = "too many channels; try again later, or raise limits.channels";
                (503, b"Retry-After: 5\r\n", text)
            }
            Refusal::Subscribers => (403, b"", "the channel has max_subscribers subscribers"),
            Refusal::MessageSize => {
                (413, b"", "the message alone exceeds the store's max_memory; send less")
            }
        };
        self.answer_text(conn, status, lines, text, now);
    }

    fn held(&mut self, conn: ConnKey, subscription: hub::SubscriptionKey, now: Now) {
        let Some(client) = self.clients.get_mut(conn) else {
            return self.hub.unsubscribe(subscription, now);
        };
        let idle = Phase::Head { scanned: 0 };
        match std::mem::replace(&mut client.phase, idle) {
            Phase::Asked { exchange, notice } if !client.ended => {
                if let Some(notice) = &notice {
                    let notice = Arc::clone(notice);
                    self.outputs.push_back(Output::Notify { event: Event::Subscribe, notice });
                }
                client.phase = Phase::Waiting { exchange, subscription, notice };
                self.disarm(conn);
            }
            phase => {
                // The peer left before the answer came.
                client.phase = phase;
                self.hub.unsubscribe(subscription, now);
                self.close(conn, now);
            }
        }
    }

    /// Ends a hold whose subscriber is gone.
    fn release(&mut self, conn: ConnKey, now: Now) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        if let Phase::Waiting { subscription, notice, .. } = &mut client.phase {
            let subscription = *subscription;
            if let Some(notice) = notice.take() {
                self.outputs.push_back(Output::Notify { event: Event::Unsubscribe, notice });
            }
            client.phase = Phase::Head { scanned: 0 };
            self.hub.unsubscribe(subscription, now);
        }
    }

    /// Takes the exchange that the hub has answered, and whether it was held.
    fn take_exchange(&mut self, conn: ConnKey) -> Option<(Exchange, bool)> {
        let client = self.clients.get_mut(conn)?;
        let idle = Phase::Head { scanned: 0 };
        let (mut exchange, held) = match std::mem::replace(&mut client.phase, idle) {
            Phase::Asked { exchange, .. } => (exchange, false),
            Phase::Waiting { exchange, notice, .. } => {
                if let Some(notice) = notice {
                    self.outputs.push_back(Output::Notify { event: Event::Unsubscribe, notice });
                }
                (exchange, true)
            }
            phase => {
                client.phase = phase;
                return None;
            }
        };
        if self.stopping {
            exchange.persistence = Persistence::Close;
        }
        Some((exchange, held))
    }

    fn inform(&mut self, conn: ConnKey, status: u16, information: &hub::Information, now: Now) {
        let Some((exchange, _)) = self.take_exchange(conn) else { return };
        let payload = self.renderer.information(&exchange, status, information);
        self.respond(conn, exchange.persistence, status, payload, now);
    }

    fn answer_text(&mut self, conn: ConnKey, status: u16, lines: &[u8], text: &str, now: Now) {
        let Some((exchange, _)) = self.take_exchange(conn) else { return };
        let payload = self.renderer.text(&exchange, status, lines, text);
        self.respond(conn, exchange.persistence, status, payload, now);
    }

    /// Sends the answer to a request whose body was consumed.
    fn respond(
        &mut self,
        conn: ConnKey,
        persistence: Persistence,
        status: u16,
        payload: Payload,
        now: Now,
    ) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        log_access(client, status);
        self.outputs.push_back(Output::Send { conn, payload });
        if persistence == Persistence::Close {
            return self.close(conn, now);
        }
        client.phase = Phase::Head { scanned: 0 };
        self.await_request(conn, now);
    }

    /// Between requests: goes on with what has come already, or waits.
    fn await_request(&mut self, conn: ConnKey, now: Now) {
        self.go_on_later(conn);
        if self.clients.get(conn).is_some_and(|client| !client.stalled) {
            self.arm(conn, ConnTimer::Idle, now);
        }
    }

    /// Has the next turn go on with what has come already, if anything has.
    fn go_on_later(&mut self, conn: ConnKey) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        let something = client.buffer.is_some() || client.paused || client.ended;
        if something && !client.ready && !client.stalled {
            client.ready = true;
            self.ready.push_back(conn);
        }
    }

    /// Answers what cannot be read as a request, and lets the connection end.
    fn fail(&mut self, conn: ConnKey, error: HttpError, now: Now) {
        let exchange = Exchange {
            location: None,
            origin: location::OriginSlot::UNLISTED,
            persistence: Persistence::Close,
            form: Form::PLAIN,
            is_head: false,
        };
        let payload = self.renderer.text(&exchange, error.status, b"", &error.message);
        self.refuse_and_linger(conn, error.status, payload, now);
    }

    /// Sends an answer that ends the connection, though the client may still be sending.
    fn refuse_and_linger(&mut self, conn: ConnKey, status: u16, payload: Payload, now: Now) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        log_access(client, status);
        client.phase = Phase::Lingering;
        client.buffer = None;
        let ended = client.ended;
        self.outputs.push_back(Output::Send { conn, payload });
        if ended {
            return self.close(conn, now);
        }
        self.outputs.push_back(Output::ShutdownWrite { conn });
        self.arm(conn, ConnTimer::Linger, now);
    }

    /// Lets a connection be closed after what is to be sent.
    fn close(&mut self, conn: ConnKey, now: Now) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        if matches!(client.phase, Phase::Closing) {
            return;
        }
        client.phase = Phase::Closing;
        client.buffer = None;
        if client.stalled {
            self.arm(conn, ConnTimer::Write, now);
        } else {
            self.disarm(conn);
        }
        self.outputs.push_back(Output::Close { conn });
    }

    fn arm(&mut self, conn: ConnKey, timer: ConnTimer, now: Now) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        if let Some((old, _)) = client.timer.take() {
            self.wheel.cancel(old);
        }
        let in_ms = match timer {
            ConnTimer::Idle => self.limits.keepalive_timeout_ms,
            ConnTimer::Head => self.limits.header_timeout_ms,
            ConnTimer::Body => self.limits.body_timeout_ms,
            ConnTimer::Write => self.limits.write_timeout_ms,
            ConnTimer::Linger => LINGER_MS,
            ConnTimer::Stop => STOP_MS,
        };
        let at_ms = now.mono_ms.saturating_add(in_ms);
        client.timer = Some((self.wheel.set(at_ms, (conn, timer)), timer));
    }

    fn disarm(&mut self, conn: ConnKey) {
        if let Some(client) = self.clients.get_mut(conn)
            && let Some((timer, _)) = client.timer.take()
        {
            self.wheel.cancel(timer);
        }
    }
}

fn head_limits(limits: &Limits) -> HeadLimits {
    HeadLimits {
        header_bytes: limits.header_bytes,
        headers: limits.headers,
        uri_bytes: limits.uri_bytes,
    }
}

/// Log target of the access log.
pub const ACCESS: &str = "pushserver::access";

fn log_access(client: &mut Client, status: u16) {
    if let Some(request) = client.access.take() {
        let peer = client.peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_string());
        log::info!(target: ACCESS, "peer={peer} request=\"{request}\" status={status}");
    }
}
