//! Following: what a client keeps whose request follows channels: an event stream, a WebSocket, or
//! a poll of several channels. Decides nothing.

use std::rc::Rc;
use std::sync::Arc;

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
use crate::store::Ticket;

/// See the module.
#[derive(Debug)]
pub(in crate::relay) struct Following {
    pub(super) reply: Reply,
    /// `None`: a poll or an event stream.
    pub(super) socket: Option<Box<WebSocket>>,
    pub(super) begun: Begun,
    /// How its messages are written; `None`: it is a poll.
    pub(super) form: Option<StreamForm>,
    /// The hub's name of the question whether it begins, or of a message that its client publishes.
    pub(super) ticket: Option<Ticket>,
    /// Boxed: most have none.
    ties: Option<Box<Ties>>,
    /// It begins with the id that it goes on from: where a request without a cursor does not begin
    /// with the oldest message, what came before a break would be lost without one.
    pub(super) tells_place: bool,
    /// When something was sent last, milliseconds.
    pub(super) sent_ms: u64,
}

const _: () = assert!(size_of::<Following>() <= 64);

/// What some have beyond the request itself.
#[derive(Debug)]
pub(super) struct Ties {
    /// What Django is told of, one for each channel.
    pub(super) notices: Vec<Arc<Notice>>,
    /// When the time of its tokens is up, milliseconds.
    pub(super) ends_ms: Option<u64>,
}

/// Whether it has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Begun {
    /// The hub has not answered yet.
    No,
    /// As a stream, though the hub has not answered yet.
    Early,
    /// As this stream of the hub.
    Stream(StreamKey),
    /// A WebSocket that only publishes.
    Publisher,
}

/// How it receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Kind {
    /// One answer, as a poll of one channel gets.
    Poll,
    EventStream,
    WebSocket,
}

/// A WebSocket's own part.
#[derive(Debug)]
pub(in crate::relay) struct WebSocket {
    /// Of the handshake, until that is answered.
    upgrade: Option<Box<Upgrade>>,
    pub(super) decoder: Decoder,
    /// The channel that the client publishes to; `None`: it may not.
    pub(super) channel: Option<Box<Rc<[u8]>>>,
    /// The client has sent something since the last Ping.
    pub(super) heard: bool,
    /// The hub was asked to publish a message of the client: the next one is read when it is done.
    pub(super) publishes: bool,
    /// When bytes of a message that is not whole came last, milliseconds, modulo 2^32: there is no
    /// room for more. So no timeout above 49 days is reached.
    progress_ms: u32,
}

const _: () = assert!(size_of::<WebSocket>() <= 32);

impl Following {
    /// Of a request that the hub is asked for. `socket`: of a WebSocket.
    pub(super) fn new(reply: Reply, kind: Kind, socket: Option<WebSocket>, ties: Ties) -> Self {
        let order = reply.location.as_ref().map_or(Order::Channel, |one| one.ids.order());
        let with_meta = |socket: &WebSocket| socket.upgrade.as_ref().is_some_and(|one| one.meta);
        let written = match kind {
            Kind::Poll => None,
            Kind::EventStream => Some(StreamKind::Event),
            Kind::WebSocket if socket.as_ref().is_some_and(with_meta) => {
                Some(StreamKind::FrameWithMeta)
            }
            Kind::WebSocket => Some(StreamKind::Frame),
        };
        Self {
            reply,
            socket: socket.map(Box::new),
            begun: Begun::No,
            form: written.map(|kind| StreamForm { kind, order }),
            ticket: None,
            ties: (!ties.notices.is_empty() || ties.ends_ms.is_some()).then(|| Box::new(ties)),
            tells_place: false,
            sent_ms: 0,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self.socket {
            Some(_) => Kind::WebSocket,
            None if self.is_poll() => Kind::Poll,
            None => Kind::EventStream,
        }
    }

    /// It has begun, or is held: Django is told.
    pub(super) fn begin(&mut self, begun: Begun, effects: &mut Effects) {
        self.begun = begun;
        if begun != Begun::Early {
            self.ticket = None;
        }
        self.notify(Event::Subscribe, effects);
        *self.gauge(effects) += 1;
    }

    /// Settles what it owes, as the phase ends: the end of what has begun.
    pub(super) fn settle(&mut self, effects: &mut Effects) {
        if self.has_begun() {
            self.notify(Event::Unsubscribe, effects);
            *self.gauge(effects) -= 1;
        }
        if let Some(socket) = &self.socket {
            effects.uploads.change(socket.decoder.kept_bytes(), 0);
        }
    }

    /// Leaves the hub, which has not ended it.
    pub(super) fn leave(&self, hub: &mut Hub, now: Now) {
        if let Begun::Stream(stream) = self.begun {
            hub.unsubscribe(Hold::Stream(stream), now);
        }
        if let Some(ticket) = self.ticket {
            hub.abandon(ticket);
        }
    }

    fn notify(&self, event: Event, effects: &mut Effects) {
        for notice in self.ties.iter().flat_map(|ties| &ties.notices) {
            let notice = Arc::clone(notice);
            effects.outputs.push_back(Output::Notify { event, notice });
        }
    }

    /// How long it may still last, milliseconds; 0: the time of its tokens is up. `None`: it has
    /// none.
    pub(super) fn left_ms(&self, now: Now) -> Option<u64> {
        Some(self.ties.as_ref()?.ends_ms?.saturating_sub(now.mono_ms))
    }

    /// Whether the time of its tokens is up.
    pub(super) fn is_over(&self, now: Now) -> bool {
        self.left_ms(now) == Some(0)
    }

    /// The figure that counts such ones.
    fn gauge<'e>(&self, effects: &'e mut Effects) -> &'e mut u64 {
        let figures = &mut effects.figures;
        match self.kind() {
            Kind::Poll => &mut figures.polls_of_several,
            Kind::EventStream => &mut figures.event_streams,
            Kind::WebSocket => &mut figures.websockets,
        }
    }

    /// The status that a stream was answered with, if it has begun.
    pub(super) fn status(&self) -> Option<u16> {
        match self.kind() {
            _ if !self.has_begun() => None,
            Kind::Poll => None,
            Kind::EventStream => Some(200),
            Kind::WebSocket => Some(101),
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
            Begun::No | Begun::Early | Begun::Publisher => None,
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun != Begun::No
    }

    /// Whether what its client sends is dropped, be its socket stalled or not.
    pub(in crate::relay) fn drops(&self) -> bool {
        self.has_begun() && self.kind() == Kind::EventStream
    }

    /// Whether its client's bytes are read in any case, so that its end is seen.
    pub(super) fn reads_to_end(&self) -> bool {
        self.has_begun() && self.socket.is_none()
    }

    /// The channel id that a message names, of the name of its channel; empty where the subscriber
    /// knows its one channel.
    pub(super) fn named<'n>(&self, name: &'n [u8]) -> &'n [u8] {
        match self.form {
            Some(StreamForm { order: Order::Channel, .. }) => b"",
            _ => self.id_in(name),
        }
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
        match &self.socket {
            None => self.drops(),
            // One that has begun early waits for the hub's answer.
            Some(socket) => self.has_begun() && self.begun != Begun::Early && !socket.publishes,
        }
    }

    /// Whether its client may publish, once it has begun.
    pub(super) fn takes_messages(&self) -> bool {
        let may_publish = |socket: &WebSocket| socket.channel.is_some();
        self.has_begun() && self.socket.as_deref().is_some_and(may_publish)
    }

    /// Whether the hub was asked to publish a message of its client.
    pub(super) fn publishes(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.publishes)
    }

    pub(super) fn is_poll(&self) -> bool {
        self.form.is_none()
    }
}

impl WebSocket {
    pub(super) fn new(upgrade: Upgrade, channel: Option<&[u8]>) -> Self {
        Self {
            upgrade: Some(Box::new(upgrade)),
            decoder: Decoder::default(),
            channel: channel.map(|name| Box::new(name.into())),
            heard: true,
            publishes: false,
            progress_ms: 0,
        }
    }

    /// Bytes of a message have come, which is not whole.
    pub(super) fn note_progress(&mut self, now: Now) {
        self.progress_ms = now.mono_ms as u32;
    }

    /// How long the next bytes of a message may still take, milliseconds, where each may take
    /// `timeout_ms`; `None`: no message has begun.
    pub(super) fn may_take_ms(&self, timeout_ms: u64, now: Now) -> Option<u64> {
        self.decoder.message_bytes()?;
        let waited_ms = (now.mono_ms as u32).wrapping_sub(self.progress_ms);
        Some(timeout_ms.saturating_sub(waited_ms.into()))
    }

    /// What the answer to the handshake says; once.
    pub(super) fn take_upgrade(&mut self) -> Option<Box<Upgrade>> {
        self.upgrade.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::websocket::Intake;

    #[test]
    fn the_time_of_a_message_goes_on_where_the_lower_half_of_the_clock_begins_anew() {
        let at = |mono_ms| Now::at(mono_ms, 0);
        let mut socket = WebSocket::new(Upgrade { accept: [0; 28], meta: false }, None);
        assert_eq!(socket.may_take_ms(15_000, at(0)), None);
        let intake = Intake::Messages { bytes_max: 9 };
        assert_eq!(socket.decoder.decode(b"\x01\x80\0\0\0\0", intake), Ok((6, None)));
        let begun_ms = u64::from(u32::MAX) - 5;
        socket.note_progress(at(begun_ms));
        for (passed_ms, left_ms) in [(0, 15_000), (10, 14_990), (14_999, 1), (15_000, 0)] {
            assert_eq!(socket.may_take_ms(15_000, at(begun_ms + passed_ms)), Some(left_ms));
        }
    }
}
