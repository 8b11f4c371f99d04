//! Inputs and effects: what an exchange is told, and what is to be done for its client; and what
//! its steps may use (`Context`). Decides nothing.

use std::collections::VecDeque;
use std::rc::Rc;

use super::handover::HandedOver;
use super::upstream::Upstream;
use crate::clock::Now;
use crate::http::HttpError;
use crate::relay::conn::{self, Conn, Connections};
use crate::relay::conn_key::ConnKey;
use crate::relay::effects::Effects;
use crate::relay::exchange_key::ExchangeKey;
use crate::relay::input;
use crate::relay::options::UpstreamAddress;
use crate::relay::output::Output;
use crate::relay::render::payload::Payload;
use crate::relay::render::{Persistence, Renderer};
use crate::relay::site::Site;
use crate::relay::timers::ConnTimer;

/// What happened to an exchange.
#[derive(Debug, Clone, Copy)]
pub(in crate::relay) enum Input<'a> {
    /// The connection that it asked for is open. `waiting`: the bytes of its client that wait.
    Connected { waiting: &'a [u8] },
    /// What else happened to its connection.
    Upstream(input::Input<'a>),
    /// Bytes came from the client. Only while the exchange takes them.
    FromClient(&'a [u8]),
    /// The client's socket takes everything again.
    ClientDrained,
    /// The client is gone, or its connection ends.
    ClientGone,
    /// The timer that [`Effect::Arm`] set has expired.
    TimedOut(ConnTimer),
}

/// What is to be done to a client. Behind those from [`Effect::Serve`] on there is no exchange any
/// more.
#[derive(Debug)]
pub(in crate::relay) enum Effect {
    /// The head of the upstream's answer is there, with this status.
    Answered(u16),
    /// Go on with the bytes that wait, and read on if reading was refused.
    Read,
    /// Set this timer, to so many milliseconds.
    Arm(ConnTimer, u64),
    /// Nothing is waited for.
    Disarm,
    /// Serve the request at a location of ours.
    Serve(Box<HandedOver>),
    /// Answer in place of the upstream. `persistence`: `None` lets the connection end, since the
    /// client may still be sending.
    Answer { persistence: Option<Persistence>, status: u16, payload: Payload },
    /// Answer a request whose body is malformed, and let the connection end. True: to HEAD, so
    /// there is no body.
    Fail(HttpError, bool),
    /// Refuse a request whose body stopped coming. True: to HEAD, so there is no body.
    RefuseUnfinished(bool),
    /// The answer has passed, and all of the request: the connection is the next request's.
    Finish,
    /// Let the connection end, though the client may still be sending.
    Linger,
    /// Close it behind what was sent.
    Close,
    /// Close it so that the client can tell it from an end.
    Reset,
}

/// What the proxy may use of the relay: of the connections those to the upstream, whose end is its
/// own to decide.
pub(in crate::relay) struct View<'a> {
    pub(in crate::relay) conns: &'a mut Connections,
    pub(in crate::relay) site: &'a mut Site,
    pub(in crate::relay) renderer: &'a mut Renderer,
    pub(in crate::relay) effects: &'a mut Effects,
    pub(in crate::relay) now: Now,
}

impl View<'_> {
    /// Opens a connection for an exchange; then [`Input::Connected`], or a failure in
    /// [`Input::Upstream`].
    pub(super) fn connect(&mut self, key: ExchangeKey, to: Rc<UpstreamAddress>) -> ConnKey {
        let upstream = conn::Upstream { exchange: Some(key), ..conn::Upstream::default() };
        let conn = self.conns.insert(Conn::Upstream(upstream));
        self.effects.outputs.push_back(Output::Connect { conn, to, of: None });
        conn
    }

    /// A connection has the request of this exchange from now on; `None`: it waits for another one,
    /// or for its end.
    pub(super) fn assign(&mut self, conn: ConnKey, exchange: Option<ExchangeKey>) {
        if let Some(upstream) = self.conns.upstream_mut(conn) {
            upstream.exchange = exchange;
        }
    }

    /// Reads on from a connection, if reading was refused.
    pub(super) fn read_on(&mut self, conn: ConnKey) {
        let upstream = self.conns.upstream_mut(conn);
        if upstream.is_some_and(|upstream| std::mem::take(&mut upstream.paused)) {
            self.effects.outputs.push_back(Output::ResumeRead { conn });
        }
    }

    /// Closes a connection behind what was sent. `stalled`: its socket takes no more for now.
    pub(in crate::relay) fn close(&mut self, conn: ConnKey, stalled: bool) {
        self.assign(conn, None);
        self.arm_closing(conn, stalled);
        self.effects.outputs.push_back(Output::Close { conn });
    }

    /// Closes a connection at once.
    pub(in crate::relay) fn abort(&mut self, conn: ConnKey) {
        self.assign(conn, None);
        self.effects.outputs.push_back(Output::Abort { conn });
    }

    /// A connection that is about to be closed has this much time to take the rest.
    pub(in crate::relay) fn arm_closing(&mut self, conn: ConnKey, stalled: bool) {
        let at_ms = self.now.mono_ms.saturating_add(self.site.limits.write_timeout_ms);
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        if let Some(old) = upstream.timer.take() {
            self.effects.wheel.cancel(old);
        }
        upstream.timer = stalled.then(|| self.effects.wheel.set(at_ms, (conn, ConnTimer::Write)));
    }
}

/// What a step of an exchange may use beside the exchange itself.
pub(super) struct Context<'a, 'v> {
    /// The exchange's key.
    pub(super) key: ExchangeKey,
    pub(super) upstream: &'a mut Upstream,
    /// What is to be done to clients.
    pub(super) queue: &'a mut VecDeque<(ConnKey, Effect)>,
    pub(super) view: &'a mut View<'v>,
}

impl Context<'_, '_> {
    pub(super) fn now_ms(&self) -> u64 {
        self.view.now.mono_ms
    }

    pub(super) fn client(&mut self, conn: ConnKey, effect: Effect) {
        self.queue.push_back((conn, effect));
    }
}
