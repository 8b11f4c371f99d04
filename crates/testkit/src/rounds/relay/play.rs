//! Play: a network with six clients and their upstreams, of whom one is at hand. It does what a
//! command says; at the end it looks whether anything is left, and has judged what was sent.

use std::io::ErrorKind;

use pushserver::relay::{Arrival, Command, ConnKey, Input};

use crate::django::Taking;
use crate::judge;
use crate::network::{BEGIN_UNIX_S, Network};
use crate::peer::Peer;
use crate::rounds::relay::inspecting::Inspecting;
use crate::rounds::relay::settings;

/// See the file.
pub(crate) struct Play {
    /// For what is no peer's.
    pub(crate) network: Network,
    variant: u8,
    clients: [Option<ConnKey>; 6],
    at_hand: Option<ConnKey>,
    inspecting: Inspecting,
}

impl Play {
    pub(crate) fn new(variant: u8) -> Self {
        let (relay, hub) = settings::options(variant);
        let network = Network::new(&relay, hub);
        let (clients, inspecting) = ([None; 6], Inspecting::default());
        let mut play = Self { network, variant, clients, at_hand: None, inspecting };
        play.turn_to_client(0);
        play
    }

    pub(crate) fn turn_to_client(&mut self, index: usize) {
        let living = self.clients[index].filter(|conn| self.is_there(*conn));
        let conn = living.unwrap_or_else(|| {
            let peer = (!index.is_multiple_of(3)).then(|| [127, 0, 0, 1].into());
            self.network.accept(Arrival { peer, ..Arrival::default() })
        });
        self.clients[index] = Some(conn);
        self.at_hand = Some(conn);
    }

    pub(crate) fn turn_to_upstream(&mut self, index: usize) {
        let dialled = self.network.dialled.iter().map(|(conn, _)| *conn);
        let living: Vec<ConnKey> = dialled.filter(|conn| self.is_there(*conn)).collect();
        let Some(conn) = living.get(index % living.len().max(1)).copied() else { return };
        self.at_hand = Some(conn);
        self.network.open(conn);
    }

    /// The one at hand sends bytes.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.at_hand(|network, conn| network.send(conn, bytes));
    }

    pub(crate) fn ends(&mut self) {
        self.at_hand(Network::end);
    }

    pub(crate) fn vanishes(&mut self) {
        self.at_hand(Network::reset);
    }

    pub(crate) fn stalls(&mut self) {
        self.at_hand(|network, conn| network.peers.get_mut(conn).room = Some(0));
    }

    pub(crate) fn takes_half(&mut self) {
        self.at_hand(|network, conn| {
            let waiting = network.peers.get(conn).waiting;
            if waiting > 1 {
                network.take_waiting(conn, waiting.div_ceil(2));
            }
        });
    }

    pub(crate) fn takes_all(&mut self) {
        self.at_hand(|network, conn| {
            network.peers.get_mut(conn).room = None;
            network.take_waiting(conn, usize::MAX);
        });
    }

    pub(crate) fn breaks(&mut self) {
        self.at_hand(Network::break_sending);
    }

    pub(crate) fn dials_fail(&mut self) {
        for (conn, _) in self.network.dialled.clone() {
            self.network.refuse(conn, ErrorKind::ConnectionRefused);
        }
    }

    /// Up to two hours to either side of the begin, or to an end of the calendar.
    pub(crate) fn set_clock(&mut self, to: u8) {
        self.network.now.unix_s = match to {
            0x80 => 0,
            0x7f => 253_402_300_799,
            minutes => BEGIN_UNIX_S.saturating_add_signed(i64::from(minutes.cast_signed()) * 60),
        };
    }

    /// How Django takes what it is told from now on.
    pub(crate) fn django(&mut self, how: u8) {
        let takes = how & 8 != 0;
        self.network.django.taking = match how % 6 {
            0 => Taking::Answers { status: 200, after_ms: 0 },
            1 => Taking::Answers { status: 503, after_ms: 10 },
            2 => Taking::Answers { status: 403, after_ms: 0 },
            3 => Taking::Refuses,
            4 => Taking::Hangs { takes, for_ms: 20_000 },
            _ => Taking::Breaks { takes },
        };
    }

    pub(crate) fn reload(&mut self, variant: u8) {
        let (relay, hub) = settings::options(variant);
        self.network.relay.command(Command::Reload(&relay, hub.stores), self.network.now);
        self.variant = variant;
        self.inspecting.reloaded(settings::is_inspected(variant));
    }

    pub(crate) fn inspect(&mut self) {
        self.inspecting.look(&mut self.network, settings::is_inspected(self.variant));
    }

    pub(crate) fn shed(&mut self, count: usize) {
        let Network { relay, now, .. } = &mut self.network;
        for _ in 0..count {
            let Some(conn) = relay.spare(1_000, count.is_multiple_of(2), *now).conn else { return };
            relay.handle_input(conn, Input::Evicted, *now);
        }
    }

    /// Everybody leaves and time passes: nothing may be left. Then what was sent is judged.
    pub(crate) fn end(mut self) {
        self.network.pace = usize::MAX;
        self.network.settle();
        self.inspect();
        self.all_vanish(|peer| peer.is_upstream);
        let unfinished = self.network.peers.iter().filter(|(_, peer)| {
            // Without its upstream an answer has come to its end, or its connection has.
            let is_open = peer.end.is_none() && !peer.is_closing && !peer.is_shut;
            is_open && !judge::client(&peer.sent, &peer.got, &settings::LIMITS, false).is_whole
        });
        assert_eq!(unfinished.count(), 0, "an answer has no end");
        self.all_vanish(|_| true);
        let Network { relay, now, .. } = &mut self.network;
        assert_eq!((relay.state().connections(), relay.state().hub.held()), (0, 0));
        let (options, mut hub) = settings::options(self.variant);
        for store in &mut hub.stores {
            store.memory.min_messages = 0;
            store.memory.message_timeout_ms = 1000;
        }
        relay.command(Command::Reload(&options, hub.stores), *now);
        assert_eq!(self.network.django.holds(), 0, "subscribe notices without their unsubscribe");
        self.django(0);
        for ms in [1_000, 60_000, 3_600_000, 3_600_000] {
            self.network.advance_ms(ms);
        }
        assert_eq!(self.network.relay.state().figures().presence_members, 0);
        let relay = &self.network.relay;
        assert_eq!((relay.state().hub.figures().channels, relay.state().timers()), (0, 0));
        assert_eq!(relay.state().due_ms(), None);
        for (_, peer) in self.network.peers.iter() {
            if peer.is_upstream {
                judge::upstream(&peer.got);
            } else {
                judge::client(&peer.sent, &peer.got, &settings::LIMITS, false);
            }
        }
    }

    fn all_vanish(&mut self, which: fn(&Peer) -> bool) {
        let peers = self.network.peers.iter().filter(|(_, peer)| which(peer));
        for conn in peers.map(|(conn, _)| conn).collect::<Vec<_>>() {
            self.network.reset(conn);
        }
        self.network.settle();
    }

    /// The one at hand does something, if it is still there.
    fn at_hand(&mut self, does: impl FnOnce(&mut Network, ConnKey)) {
        if let Some(conn) = self.at_hand.filter(|conn| self.is_there(*conn)) {
            does(&mut self.network, conn);
        }
    }

    fn is_there(&self, conn: ConnKey) -> bool {
        self.network.peers.get(conn).end.is_none()
    }
}
