//! State: how things stand in the relay. Changes nothing.

use super::conn::Connections;
use super::effects::Effects;
use super::forwarding::is_tunnel;
use super::proxy::Proxy;
use crate::figures::Histogram;
use crate::figures::{HubFigures, RelayFigures};
use crate::hub::Hub;

/// What a part of the tables weighs, bytes: a connection's entry here and in `net`, with its timer;
/// a channel's entry, name and queue; a subscription, its timer and its place on the channel.
const CONNECTION_BYTES: u64 = 200;
const CHANNEL_BYTES: u64 = 400;
const HOLD_BYTES: u64 = 120;

/// See the module. Each method looks at what it gives and at nothing else.
#[derive(Debug, Clone, Copy)]
pub struct State<'r> {
    /// The domain, to look at.
    pub hub: &'r Hub,
    pub(super) conns: &'r Connections,
    pub(super) effects: &'r Effects,
    pub(super) proxy: Option<&'r Proxy>,
}

impl State<'_> {
    /// When [`super::Relay::handle_timeout`] has something to do, monotonic milliseconds.
    #[must_use]
    pub fn due_ms(&self) -> Option<u64> {
        if !self.effects.ready.is_empty() {
            return Some(0);
        }
        let proxy = self.proxy.and_then(Proxy::next_deadline);
        let presence = self.effects.presence.as_ref().and_then(|presence| presence.due_ms());
        let due = [self.effects.wheel.next_deadline(), self.hub.poll_timeout(), proxy, presence];
        due.into_iter().flatten().min()
    }

    /// Whether [`super::Relay::poll_output`] has more.
    #[must_use]
    pub fn has_output(&self) -> bool {
        let ends = self.effects.holders.has_revoked() || self.effects.unsent.has_sent();
        ends || !self.effects.outputs.is_empty() || self.hub.has_output()
    }

    /// Whether what happens is recorded.
    #[must_use]
    pub fn records(&self) -> bool {
        self.effects.recorder.is_some()
    }

    /// How many connections there are, with those that are to be opened.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// How many of them stores have dialled.
    #[must_use]
    pub fn store_connections(&self) -> usize {
        self.conns.stores()
    }

    /// Timers that are set, with those of the hub.
    #[must_use]
    pub fn timers(&self) -> usize {
        let presence = self.effects.presence.as_ref().map_or(0, |presence| presence.timers());
        self.effects.wheel.len() + self.hub.timers() + presence
    }

    /// The relay's figures.
    #[must_use]
    pub fn figures(&self) -> RelayFigures {
        let presence = self.effects.presence.as_ref();
        RelayFigures {
            upstreams: self.conns.upstreams() as u64,
            upload_bytes: self.effects.uploads.bytes() as u64,
            timers: self.timers() as u64,
            waiting_publishers: self.effects.unsent.len() as u64,
            presence_members: presence.map_or(0, |presence| presence.len() as u64),
            presence_untracked: presence.map_or(0, |presence| presence.untracked()),
            ..self.effects.figures
        }
    }

    /// How long it took until everybody had a message who waited for it.
    #[must_use]
    pub fn fanouts(&self) -> Histogram {
        self.effects.fanouts
    }

    /// About how much memory all this needs, bytes, without what is on its way to or from a
    /// socket.
    #[must_use]
    pub fn weight(&self) -> usize {
        let HubFigures { held, channels, message_bytes, .. } = self.hub.figures();
        let connections = self.connections() as u64 * CONNECTION_BYTES;
        let weight = connections + channels * CHANNEL_BYTES + held * HOLD_BYTES + message_bytes;
        usize::try_from(weight).unwrap_or(usize::MAX)
    }

    /// Between two turns, whether nobody can stay for ever without a word; for tests.
    ///
    /// # Panics
    /// Where somebody can, which is a bug.
    pub fn check_invariants(&self) {
        self.hub.check_invariants();
        self.effects.holders.check_invariants();
        let presence = self.effects.presence.as_ref();
        presence.iter().for_each(|presence| presence.check_invariants());
        let (mut holders, mut guests) = (0, 0);
        for (conn, client) in self.conns.clients() {
            let is_tunnel = is_tunnel(conn, self.conns, self.proxy);
            assert!(client.is_watched(is_tunnel), "{conn:?}: {client:?}");
            let is_holder = self.effects.holders.has(conn);
            let is_guest = presence.is_some_and(|presence| presence.has(conn));
            assert!(client.is_tied || !is_holder && !is_guest, "{conn:?}: {client:?}");
            holders += usize::from(is_holder);
            guests += usize::from(is_guest);
        }
        assert_eq!(holders, self.effects.holders.len(), "each holder is a client");
        let all = presence.map_or(0, |presence| presence.guests());
        assert_eq!(guests, all, "each guest is a client");
    }
}
