//! Following: what a client keeps whose request follows channels: an event stream, a WebSocket, or
//! a poll of several channels. Decides nothing.

use std::net::IpAddr;
use std::sync::Arc;

use super::access::Access;
use crate::clock::Now;
use crate::http::websocket::Decoder;
use crate::hub::{Hold, Hub, StreamKey};
use crate::message::Order;
use crate::relay::effects::Effects;
use crate::relay::notice::{Event, Notice};
use crate::relay::output::Output;
use crate::relay::render::Reply;
use crate::relay::render::stream::{StreamForm, StreamKind};
use crate::relay::request::upgrade::Upgrade;
use crate::relay::timers::PING_MS;
use crate::relay::uploads::Share;
use crate::store::Ticket;

/// See the module.
#[derive(Debug)]
pub(in crate::relay) struct Following {
    pub(super) reply: Reply,
    pub(super) kind: Kind,
    pub(super) begun: Begun,
    /// The hub's name of the question whether the stream begins.
    pub(super) ticket: Option<Ticket>,
    /// What Django is told of, one for each channel.
    pub(super) notices: Box<[Arc<Notice>]>,
    /// When it began, and when something was sent last, milliseconds.
    pub(super) began_ms: u64,
    pub(super) sent_ms: u64,
    pub(super) messages: u64,
}

/// Whether it has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Begun {
    /// The hub has not answered yet.
    No,
    /// As this stream of the hub.
    Stream(StreamKey),
    /// A WebSocket that only publishes.
    Publisher,
}

/// How it receives.
#[derive(Debug)]
pub(in crate::relay) enum Kind {
    /// One answer, as a poll of one channel gets.
    Poll,
    EventStream,
    WebSocket(Box<WebSocket>),
}

/// A WebSocket's own part.
#[derive(Debug)]
pub(in crate::relay) struct WebSocket {
    /// Of the handshake.
    pub(super) upgrade: Upgrade,
    pub(super) decoder: Decoder,
    /// Memory of the message that is coming in, as it counts against what all of them may take.
    pub(super) share: Share,
    /// The client has sent something since the last Ping.
    pub(super) heard: bool,
    pub(super) publishing: Publishing,
    /// The channel that the client publishes to; `None`: it may not.
    pub(super) channel: Option<Box<[u8]>>,
}

/// How far the publishing of a client's message is: the next one is read when it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Publishing {
    No,
    /// The hub was asked.
    Begun,
    /// A store takes time to answer.
    Asked(Ticket),
}

impl Following {
    pub(super) fn new(reply: Reply, kind: Kind, notices: Box<[Arc<Notice>]>, now_ms: u64) -> Self {
        Self {
            reply,
            kind,
            begun: Begun::No,
            ticket: None,
            notices,
            began_ms: now_ms,
            sent_ms: now_ms,
            messages: 0,
        }
    }

    /// It has begun, or is held: Django is told.
    pub(super) fn begin(&mut self, begun: Begun, effects: &mut Effects, now: Now) {
        self.begun = begun;
        self.ticket = None;
        self.began_ms = now.mono_ms;
        self.notify(Event::Subscribe, effects);
        *self.gauge(effects) += 1;
    }

    /// Settles what it owes, as the phase ends: the end of what has begun.
    pub(super) fn settle(&mut self, effects: &mut Effects) {
        if self.has_begun() {
            self.notify(Event::Unsubscribe, effects);
            *self.gauge(effects) -= 1;
        }
        if let Some(socket) = self.socket() {
            effects.uploads.set(&mut socket.share, 0);
        }
    }

    /// Leaves the hub, which has not ended it.
    pub(super) fn leave(&self, hub: &mut Hub, now: Now) {
        if let Begun::Stream(stream) = self.begun {
            hub.unsubscribe(Hold::Stream(stream), now);
        }
        let publishing = match &self.kind {
            Kind::WebSocket(socket) => socket.publishing.ticket(),
            _ => None,
        };
        self.ticket.into_iter().chain(publishing).for_each(|ticket| hub.abandon(ticket));
    }

    fn notify(&self, event: Event, effects: &mut Effects) {
        for notice in &self.notices {
            let notice = Arc::clone(notice);
            effects.outputs.push_back(Output::Notify { event, notice });
        }
    }

    /// The figure that counts such ones.
    fn gauge<'e>(&self, effects: &'e mut Effects) -> &'e mut u64 {
        let figures = &mut effects.figures;
        match self.kind {
            Kind::Poll => &mut figures.polls_of_several,
            Kind::EventStream => &mut figures.event_streams,
            Kind::WebSocket(_) => &mut figures.websockets,
        }
    }

    /// Logs a stream that has ended.
    pub(super) fn log(&self, access: &mut Access, peer: Option<IpAddr>, now: Now) {
        let status = match self.kind {
            Kind::Poll => return,
            Kind::EventStream => 200,
            Kind::WebSocket(_) => 101,
        };
        if self.has_begun() {
            let seconds = now.mono_ms.saturating_sub(self.began_ms) / 1000;
            access.log_stream(peer, status, (seconds, self.messages));
        }
    }

    /// The stream that is sent messages as they come, if it has begun.
    pub(super) fn sends(&self) -> Option<StreamKey> {
        self.stream().filter(|_| !self.is_poll())
    }

    /// The stream of the hub, if that has begun one.
    pub(super) fn stream(&self) -> Option<StreamKey> {
        match self.begun {
            Begun::Stream(stream) => Some(stream),
            Begun::No | Begun::Publisher => None,
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun != Begun::No
    }

    /// Whether what its client sends is dropped, be its socket stalled or not.
    pub(in crate::relay) fn drops(&self) -> bool {
        self.has_begun() && matches!(self.kind, Kind::EventStream)
    }

    /// Whether its client's bytes are read in any case, so that its end is seen.
    pub(super) fn reads_to_end(&self) -> bool {
        self.has_begun() && !matches!(self.kind, Kind::WebSocket(_))
    }

    /// How its messages are written; `None`: it is a poll.
    pub(super) fn form(&self) -> Option<StreamForm> {
        let order = self.reply.location.as_ref().map_or(Order::Channel, |one| one.ids.order());
        let kind = match &self.kind {
            Kind::Poll => return None,
            Kind::EventStream => StreamKind::Event,
            Kind::WebSocket(socket) if socket.upgrade.meta => StreamKind::FrameWithMeta,
            Kind::WebSocket(_) => StreamKind::Frame,
        };
        Some(StreamForm { kind, order })
    }

    /// The channel id in the name of a channel.
    pub(super) fn id_in<'n>(&self, name: &'n [u8]) -> &'n [u8] {
        let namespace = self.reply.location.as_ref().map_or(0, |one| one.namespace.len());
        name.get(namespace..).unwrap_or_default()
    }

    /// The interval of its pings, milliseconds; 0: none.
    pub(super) fn ping_interval_ms(&self) -> u64 {
        let options = self.reply.location.as_ref().and_then(|one| one.role.subscriber());
        options.map_or(PING_MS, |options| options.ping_interval_ms)
    }

    /// Whether what its client sends is read as it comes.
    pub(in crate::relay) fn reads(&self) -> bool {
        match &self.kind {
            Kind::Poll => false,
            Kind::EventStream => self.drops(),
            Kind::WebSocket(socket) => self.has_begun() && socket.publishing == Publishing::No,
        }
    }

    pub(super) fn is_poll(&self) -> bool {
        matches!(self.kind, Kind::Poll)
    }

    pub(super) fn socket(&mut self) -> Option<&mut WebSocket> {
        match &mut self.kind {
            Kind::WebSocket(socket) => Some(socket),
            _ => None,
        }
    }
}

impl Publishing {
    fn ticket(self) -> Option<Ticket> {
        match self {
            Self::Asked(ticket) => Some(ticket),
            Self::No | Self::Begun => None,
        }
    }
}

impl WebSocket {
    pub(super) fn new(upgrade: Upgrade, channel: Option<Box<[u8]>>) -> Self {
        Self {
            upgrade,
            decoder: Decoder::default(),
            share: Share::default(),
            heard: true,
            publishing: Publishing::No,
            channel,
        }
    }
}
