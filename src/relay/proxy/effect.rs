//! Inputs and effects: what an exchange is told, and what is to be done for it; and what its steps
//! may use to say so (`Context`). Decides nothing.

use std::collections::VecDeque;
use std::rc::Rc;

use super::handover::HandedOver;
use super::upstream::Upstream;
use crate::clock::Now;
use crate::relay::conn_key::ConnKey;
use crate::relay::exchange_key::ExchangeKey;
use crate::relay::input;
use crate::relay::options::UpstreamAddress;
use crate::relay::render::payload::Payload;
use crate::relay::render::{Persistence, Renderer};
use crate::relay::site::Site;
use crate::relay::timers::ConnTimer;
use crate::relay::uploads::Uploads;

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
    /// The timer that [`ClientEffect::Arm`] set has expired.
    TimedOut(ConnTimer),
}

/// What is to be done.
#[derive(Debug)]
pub(in crate::relay) enum Effect {
    /// Open a connection for this exchange, and say [`super::Proxy::dialled`]; then
    /// [`Input::Connected`], or a failure in [`Input::Upstream`].
    Connect(ExchangeKey, Rc<UpstreamAddress>),
    /// To a connection of the upstream.
    Upstream(ConnKey, UpstreamEffect),
    /// To a client.
    Client(ConnKey, ClientEffect),
}

/// What is to be done to a connection of the upstream.
#[derive(Debug)]
pub(in crate::relay) enum UpstreamEffect {
    /// It has the request of this exchange from now on; `None`: it waits for another one.
    Assign(Option<ExchangeKey>),
    /// Send this.
    Send(Payload),
    /// Read on, if reading was refused.
    Read,
    /// Close it behind what was sent. `stalled`: its socket takes no more for now.
    Close { stalled: bool },
    /// Close it at once.
    Abort,
}

/// What is to be done to a client. Behind those from [`ClientEffect::Serve`] on there is no exchange
/// any more.
#[derive(Debug)]
pub(in crate::relay) enum ClientEffect {
    /// Send this.
    Send(Payload),
    /// Send `100 Continue`.
    Continue,
    /// The head of the upstream's answer is there, with this status.
    Answered(u16),
    /// Send no more, but read on.
    ShutdownWrite,
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
    /// Refuse a request whose body stopped coming. True: to HEAD, so there is no body.
    RefuseUnfinished(bool),
    /// The answer has passed, and all of the request.
    Finish(Persistence),
    /// Let the connection end, though the client may still be sending.
    Linger,
    /// Close it behind what was sent.
    Close,
    /// Close it so that the client can tell it from an end.
    Reset,
}

/// What the proxy may look at of the relay.
pub(in crate::relay) struct View<'a> {
    pub(in crate::relay) site: &'a mut Site,
    pub(in crate::relay) renderer: &'a Renderer,
    pub(in crate::relay) uploads: &'a mut Uploads,
    /// The daemon stops: every answer is the last of its connection.
    pub(in crate::relay) stopping: bool,
    pub(in crate::relay) now: Now,
}

impl View<'_> {
    pub(super) fn reborrow(&mut self) -> View<'_> {
        let Self { site, renderer, uploads, stopping, now } = self;
        View { site, renderer, uploads, stopping: *stopping, now: *now }
    }
}

/// What a step of an exchange may use beside the exchange itself.
pub(super) struct Context<'a> {
    /// The exchange's key.
    pub(super) key: ExchangeKey,
    pub(super) upstream: &'a mut Upstream,
    pub(super) effects: &'a mut VecDeque<Effect>,
    pub(super) view: View<'a>,
}

impl Context<'_> {
    pub(super) fn now_ms(&self) -> u64 {
        self.view.now.mono_ms
    }

    pub(super) fn client(&mut self, conn: ConnKey, effect: ClientEffect) {
        self.effects.push_back(Effect::Client(conn, effect));
    }

    pub(super) fn upstream(&mut self, conn: ConnKey, effect: UpstreamEffect) {
        self.effects.push_back(Effect::Upstream(conn, effect));
    }
}
