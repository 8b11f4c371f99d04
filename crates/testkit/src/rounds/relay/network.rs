//! A fake network and clock around the relay, in the order of the reactor's turn. What each side
//! was sent is kept for the judge.

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::sync::Arc;

use crate::judge;
use crate::world::BEGIN_UNIX_S;
use pushserver::clock::Now;
use pushserver::relay::notice::{Event, Notice};
use pushserver::relay::{Arrival, ConnKey, Input, Output, Relay};

use crate::rounds::relay::settings;

/// Turns after which the relay should long be at rest.
const TURNS_MAX: usize = 10_000;

/// One connection, from the other end.
#[derive(Debug, Default)]
struct Peer {
    is_upstream: bool,
    /// Dialled, and not open yet.
    connecting: bool,
    /// What it sent, as far as the relay has read it.
    sent: Vec<u8>,
    /// What it sent and the relay does not want yet.
    unread: VecDeque<u8>,
    /// What the relay sent to it.
    got: Vec<u8>,
    /// Bytes of that which wait for the socket.
    waiting: usize,
    stalled: bool,
    /// It takes nothing any more.
    mute: bool,
    ended: bool,
    /// The relay wants it closed when nothing waits.
    closing: bool,
    shut: bool,
    gone: bool,
}

/// See the module.
pub(crate) struct Network {
    relay: Relay,
    now: Now,
    /// Outputs of fan-outs carried out in one turn.
    pub(crate) pace: usize,
    variant: u8,
    peers: HashMap<ConnKey, Peer>,
    clients: [Option<ConnKey>; 6],
    /// In the order in which they were dialled.
    upstreams: Vec<ConnKey>,
    at_hand: Option<ConnKey>,
    again: Vec<ConnKey>,
    gone: Vec<ConnKey>,
    /// Holds that Django was told of and not yet of their end.
    held: HashMap<*const Notice, Arc<Notice>>,
}

impl Network {
    pub(crate) fn new(variant: u8) -> Self {
        let now = Now { mono_ms: 0, unix_s: BEGIN_UNIX_S };
        let (relay, hub) = settings::options(variant);
        let mut network = Self {
            relay: Relay::new(&relay, hub, now),
            now,
            pace: usize::MAX,
            variant,
            peers: HashMap::new(),
            clients: [None; 6],
            upstreams: Vec::new(),
            at_hand: None,
            again: Vec::new(),
            gone: Vec::new(),
            held: HashMap::new(),
        };
        network.turn_to_client(0);
        network
    }

    pub(crate) fn turn_to_client(&mut self, index: usize) {
        let living = self.clients[index].filter(|conn| self.peer(*conn).is_some());
        let conn = living.unwrap_or_else(|| {
            let address = (!index.is_multiple_of(3)).then(|| [127, 0, 0, 1].into());
            let conn = self.relay.accept(Arrival { peer: address, loopback_port: None }, self.now);
            self.peers.insert(conn, Peer::default());
            conn
        });
        self.clients[index] = Some(conn);
        self.at_hand = Some(conn);
    }

    pub(crate) fn turn_to_upstream(&mut self, index: usize) {
        let living: Vec<ConnKey> =
            self.upstreams.iter().copied().filter(|conn| self.peers[conn].is_there()).collect();
        let Some(conn) = living.get(index % living.len().max(1)).copied() else { return };
        self.at_hand = Some(conn);
        if std::mem::take(&mut self.known(conn).connecting) {
            self.relay.handle_input(conn, Input::Connected, self.now);
        }
    }

    /// The one at hand sends bytes.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let Some(conn) = self.at_hand else { return };
        let Some(peer) = self.peer(conn) else { return };
        if bytes.is_empty() || peer.ended || peer.connecting {
            return;
        }
        peer.unread.extend(bytes);
        self.read(conn);
    }

    pub(crate) fn ends(&mut self) {
        let Some(conn) = self.at_hand else { return };
        let Some(peer) = self.peer(conn) else { return };
        if !peer.connecting {
            peer.ended = true;
            self.read(conn);
        }
    }

    pub(crate) fn vanishes(&mut self) {
        let Some(conn) = self.at_hand else { return };
        let Some(peer) = self.peer(conn) else { return };
        if peer.connecting {
            self.relay.handle_input(
                conn,
                Input::ConnectFailed(ErrorKind::ConnectionReset),
                self.now,
            );
        }
        self.drop_peer(conn);
    }

    pub(crate) fn stalls(&mut self) {
        if let Some(peer) = self.at_hand.and_then(|conn| self.peer(conn)) {
            peer.stalled = true;
        }
    }

    pub(crate) fn takes_half(&mut self) {
        let Some(conn) = self.at_hand else { return };
        let Some(peer) = self.peer(conn) else { return };
        if peer.waiting > 1 {
            peer.waiting /= 2;
            self.relay.handle_input(conn, Input::Progressed, self.now);
        }
    }

    pub(crate) fn takes_all(&mut self) {
        let Some(conn) = self.at_hand else { return };
        let Some(peer) = self.peer(conn) else { return };
        peer.stalled = false;
        if std::mem::take(&mut peer.waiting) > 0 {
            self.relay.handle_input(conn, Input::Drained, self.now);
            self.after_sending(conn);
        }
    }

    /// Sending to it fails. What an upstream has sent before is still read.
    pub(crate) fn breaks(&mut self) {
        let Some(conn) = self.at_hand else { return };
        let Some(peer) = self.peer(conn) else { return };
        if peer.is_upstream && !peer.closing && !peer.connecting {
            (peer.mute, peer.ended, peer.waiting) = (true, true, 0);
            self.again.push(conn);
        } else if !peer.connecting {
            self.drop_peer(conn);
        }
    }

    pub(crate) fn dials_fail(&mut self) {
        for conn in self.upstreams.clone() {
            if self.peer(conn).is_some_and(|peer| peer.connecting) {
                self.relay.handle_input(
                    conn,
                    Input::ConnectFailed(ErrorKind::ConnectionRefused),
                    self.now,
                );
                self.drop_peer(conn);
            }
        }
    }

    pub(crate) fn wait_ms(&mut self, ms: u64) {
        let until = self.now.mono_ms + ms;
        for _ in 0..TURNS_MAX {
            let due = self.relay.poll_timeout().filter(|due| *due <= until);
            let is_over = due.is_none() && !self.is_busy();
            let at = due.unwrap_or(if is_over { until } else { 0 }).max(self.now.mono_ms);
            let seconds = at / 1000 - self.now.mono_ms / 1000;
            self.now = Now { mono_ms: at, unix_s: self.now.unix_s.saturating_add(seconds) };
            self.turn();
            if is_over {
                return;
            }
        }
        panic!("the relay is never at rest");
    }

    /// Up to two hours to either side of the begin, or to an end of the calendar.
    pub(crate) fn set_clock(&mut self, to: u8) {
        self.now.unix_s = match to {
            0x80 => 0,
            0x7f => 253_402_300_799,
            minutes => BEGIN_UNIX_S.saturating_add_signed(i64::from(minutes.cast_signed()) * 60),
        };
    }

    pub(crate) fn reload(&mut self, variant: u8) {
        let (relay, hub) = settings::options(variant);
        self.relay.reload(&relay, hub.stores, self.now);
        self.variant = variant;
    }

    pub(crate) fn shed(&mut self, count: usize) {
        for _ in 0..count {
            self.relay.make_room(1_000, count.is_multiple_of(2), |_| false, self.now);
        }
    }

    pub(crate) fn announce_shutdown(&mut self) {
        self.relay.announce_shutdown();
    }

    pub(crate) fn shutdown(&mut self) {
        self.relay.shutdown(self.now);
    }

    /// One turn of the loop.
    pub(crate) fn turn(&mut self) {
        for conn in std::mem::take(&mut self.again) {
            self.read(conn);
        }
        self.relay.handle_timeout(self.now);
        while let Some(output) = self.relay.poll_answer() {
            self.carry_out(output);
        }
        for _ in 0..self.pace {
            let Some(output) = self.relay.poll_output(self.now) else { break };
            self.carry_out(output);
        }
        for conn in std::mem::take(&mut self.gone) {
            self.relay.handle_input(conn, Input::Closed, self.now);
        }
        self.relay.check_invariants();
        let open = self.peers.values().filter(|peer| !peer.gone).count();
        let pending = self.relay.has_output();
        assert!(pending || open == self.relay.connections(), "both tables have the same entries");
    }

    /// Everybody leaves and time passes: nothing may be left. Then what was sent is judged.
    pub(crate) fn end(mut self) {
        self.pace = usize::MAX;
        self.settle();
        self.all_vanish(|peer| peer.is_upstream);
        let unfinished = self.peers.values().filter(|peer| {
            // Without its upstream an answer has come to its end, or its connection has.
            let is_open = peer.is_there() && !peer.is_upstream && !peer.closing && !peer.shut;
            is_open && !judge::client(&peer.sent, &peer.got, &settings::LIMITS, false).is_whole
        });
        assert_eq!(unfinished.count(), 0, "an answer has no end");
        self.all_vanish(|_| true);
        assert!(self.held.is_empty(), "subscribe notices without their unsubscribe");
        assert_eq!((self.relay.connections(), self.relay.hub().held()), (0, 0));
        let (relay, mut hub) = settings::options(self.variant);
        for store in &mut hub.stores {
            store.memory.min_messages = 0;
            store.memory.message_timeout_ms = 1000;
        }
        self.relay.reload(&relay, hub.stores, self.now);
        for ms in [1_000, 60_000, 3_600_000, 3_600_000] {
            self.wait_ms(ms);
        }
        assert_eq!((self.relay.hub().channels(), self.relay.timers()), (0, 0));
        assert_eq!(self.relay.poll_timeout(), None);
        for peer in self.peers.values() {
            if peer.is_upstream {
                judge::upstream(&peer.got);
            } else {
                judge::client(&peer.sent, &peer.got, &settings::LIMITS, false);
            }
        }
    }

    fn all_vanish(&mut self, which: fn(&Peer) -> bool) {
        let which = |(conn, peer): (&ConnKey, &Peer)| which(peer).then_some(*conn);
        for conn in self.peers.iter().filter_map(which).collect::<Vec<_>>() {
            self.at_hand = Some(conn);
            self.vanishes();
        }
        self.settle();
    }

    fn settle(&mut self) {
        self.turn();
        for _ in 0..TURNS_MAX {
            if !self.is_busy() {
                return;
            }
            self.turn();
        }
        panic!("the relay is never at rest");
    }

    /// There is more to do, before any time passes.
    fn is_busy(&self) -> bool {
        let is_due = self.relay.poll_timeout().is_some_and(|due| due <= self.now.mono_ms);
        is_due || self.relay.has_output() || !self.again.is_empty()
    }

    /// The relay reads what waits, as far as it wants to.
    fn read(&mut self, conn: ConnKey) {
        while let Some(peer) = self.peers.get_mut(&conn).filter(|peer| peer.is_there()) {
            if self.relay.read_max(conn) == 0 {
                if peer.ended && !peer.is_upstream {
                    self.relay.handle_input(conn, Input::Ended, self.now);
                }
                return;
            }
            if peer.unread.is_empty() {
                if peer.ended {
                    self.relay.handle_input(conn, Input::Ended, self.now);
                }
                return;
            }
            let bytes: Vec<u8> = peer.unread.drain(..).collect();
            peer.sent.extend_from_slice(&bytes);
            self.relay.handle_input(conn, Input::Received(&bytes), self.now);
            if !self.peers[&conn].ended {
                return;
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { conn, payload, .. } => {
                let Some(peer) = self.peer(conn) else { return };
                assert!(!peer.closing && !peer.connecting, "sent what cannot be sent");
                assert!(!peer.shut, "sent behind the end");
                if peer.mute {
                    return;
                }
                let (first, second) = payload.slices(0);
                assert_eq!(first.len() + second.len(), payload.len());
                peer.got.extend_from_slice(first);
                peer.got.extend_from_slice(second);
                let was_waiting = peer.waiting > 0;
                if peer.stalled || was_waiting {
                    peer.waiting += payload.len();
                }
                if !was_waiting && peer.waiting > 0 {
                    self.relay.handle_input(conn, Input::Stalled, self.now);
                }
            }
            Output::ShutdownWrite { conn } => {
                if let Some(peer) = self.peer(conn) {
                    peer.shut = true;
                }
            }
            Output::Close { conn } => {
                if let Some(peer) = self.peer(conn) {
                    peer.closing = true;
                    self.after_sending(conn);
                }
            }
            Output::Abort { conn } | Output::Reset { conn } => self.drop_peer(conn),
            Output::Connect { conn, .. } => {
                let peer = Peer { is_upstream: true, connecting: true, ..Peer::default() };
                let before = self.peers.insert(conn, peer);
                assert!(before.is_none(), "dialled twice");
                self.upstreams.push(conn);
            }
            Output::ResumeRead { conn } => self.again.push(conn),
            Output::Notify { event: Event::Subscribe, notice } => {
                let before = self.held.insert(Arc::as_ptr(&notice), notice);
                assert!(before.is_none(), "subscribe twice");
            }
            Output::Notify { event: Event::Unsubscribe, notice } => {
                let before = self.held.remove(&Arc::as_ptr(&notice));
                assert!(before.is_some(), "unsubscribe without subscribe, or twice");
            }
        }
    }

    fn after_sending(&mut self, conn: ConnKey) {
        if self.peer(conn).is_some_and(|peer| peer.closing && peer.waiting == 0) {
            self.drop_peer(conn);
        }
    }

    fn drop_peer(&mut self, conn: ConnKey) {
        let Some(peer) = self.peer(conn) else { return };
        peer.gone = true;
        self.gone.push(conn);
    }

    /// One that is still there.
    fn peer(&mut self, conn: ConnKey) -> Option<&mut Peer> {
        self.peers.get_mut(&conn).filter(|peer| peer.is_there())
    }

    fn known(&mut self, conn: ConnKey) -> &mut Peer {
        self.peers.get_mut(&conn).expect("it was there")
    }
}

impl Peer {
    fn is_there(&self) -> bool {
        !self.gone
    }
}
