//! Network: a relay with peers in memory and a clock that moves only when told to. It drives the
//! relay in the order of the reactor's turn (`Reactor::turn` in `src/net/mod.rs`); it never opens a
//! socket, sleeps or reads a clock, so one run is the same everywhere.
//!
//! What a test does to a peer is an event of the coming turn. [`Network::turn`] carries out
//! answers, reads peers that had a message from a large fan-out and ask again, lets the relay do
//! what is due, carries out answers again, then outputs of fan-outs up to [`Network::pace`], and
//! frees closed connections. Then it begins the next turn: it reads peers with more to read.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::rc::Rc;

use pushserver::clock::Now;
use pushserver::hub;
use pushserver::net::pace;
use pushserver::relay::options::{Options, UpstreamAddress};
use pushserver::relay::{Arrival, ConnKey, Input, Output, Relay, Wanted};

use crate::disk::Disk;
use crate::django::Django;
use crate::node::Nodes;
use crate::peer::{End, Peer, Peers, bytes};
use crate::queues::Queues;
use crate::record::{Happened, Record};

/// When a network begins, seconds since the Unix epoch: Tue, 14 Nov 2023 22:13:20 GMT.
pub const BEGIN_UNIX_S: u64 = 1_700_000_000;

/// Turns after which the relay should long be at rest.
const TURNS_MAX: usize = 10_000;

/// See the file.
#[derive(Debug)]
pub struct Network {
    /// To look at, and for what is not a connection's. Connections are the network's.
    pub relay: Relay,
    /// Both clocks.
    pub now: Now,
    /// Outputs of fan-outs that are carried out in one turn.
    pub pace: usize,
    /// Dialled, in order, and where to.
    pub dialled: Vec<(ConnKey, Rc<UpstreamAddress>)>,
    /// Of durable stores.
    pub disk: Disk,
    /// What redis stores dial.
    pub nodes: Nodes,
    /// Is told who is there.
    pub django: Django,
    /// All peers, also those whose connection is gone.
    pub peers: Peers,
    /// To be read.
    queues: Queues,
    /// To be freed at the end of the turn.
    gone: Vec<ConnKey>,
    record: Record,
}

impl Network {
    /// Nobody is there yet, at [`BEGIN_UNIX_S`].
    pub fn new(options: &Options, hub: hub::options::Options) -> Self {
        Self::at(Now::at(0, BEGIN_UNIX_S), options, hub)
    }

    /// Nobody is there yet.
    pub fn at(now: Now, options: &Options, hub: hub::options::Options) -> Self {
        Self {
            relay: Relay::new(options, hub, now),
            now,
            pace: pace::OUTPUTS_PER_TURN,
            dialled: Vec::new(),
            disk: Disk::default(),
            nodes: Nodes::default(),
            django: Django::default(),
            peers: Peers::default(),
            queues: Queues::default(),
            gone: Vec::new(),
            record: Record::default(),
        }
    }

    /// From now on what happens is kept for [`Network::happened`].
    pub fn record(&mut self) {
        self.record.begin();
    }

    /// What happened since this was asked before.
    pub fn happened(&mut self) -> Vec<Happened> {
        self.record.take()
    }

    /// A new peer, from this machine.
    pub fn connect(&mut self) -> ConnKey {
        self.accept(Arrival { peer: Some(Ipv4Addr::LOCALHOST.into()), ..Arrival::default() })
    }

    /// A new peer.
    pub fn accept(&mut self, arrival: Arrival) -> ConnKey {
        let conn = self.relay.accept(arrival, self.now);
        self.peers.enter(conn, Peer::default());
        conn
    }

    /// A dial succeeds.
    pub fn open(&mut self, conn: ConnKey) {
        let Some(peer) = self.peers.living(conn) else { return };
        if std::mem::take(&mut peer.is_connecting) {
            self.tell(conn, Input::Connected);
        }
    }

    /// A dial fails.
    pub fn refuse(&mut self, conn: ConnKey, cause: ErrorKind) {
        if self.peers.living(conn).is_some_and(|peer| peer.is_connecting) {
            self.tell(conn, Input::ConnectFailed(cause));
            self.drop_peer(conn, End::Broken);
        }
    }

    /// The peer sends bytes, unless it cannot.
    pub fn send(&mut self, conn: ConnKey, bytes: &[u8]) {
        let Some(peer) = self.peers.living(conn) else { return };
        if !bytes.is_empty() && !peer.has_ended && !peer.is_connecting {
            peer.unread.extend(bytes);
            self.readable(conn);
        }
    }

    /// The peer sends no more, but reads on.
    pub fn end(&mut self, conn: ConnKey) {
        let Some(peer) = self.peers.living(conn) else { return };
        if !peer.is_connecting {
            peer.has_ended = true;
            self.readable(conn);
        }
    }

    /// The connection breaks: a reset.
    pub fn reset(&mut self, conn: ConnKey) {
        self.refuse(conn, ErrorKind::ConnectionReset);
        self.drop_peer(conn, End::Broken);
    }

    /// The peer takes no more. What an upstream has sent before, its answer, is still read.
    pub fn break_sending(&mut self, conn: ConnKey) {
        let Some(peer) = self.peers.living(conn).filter(|peer| !peer.is_connecting) else { return };
        if !peer.is_upstream || peer.is_closing {
            return self.drop_peer(conn, End::Broken);
        }
        (peer.is_mute, peer.has_ended, peer.waiting) = (true, true, 0);
        self.read_again(conn);
    }

    /// The socket of a peer takes some of what waits for it.
    pub fn take_waiting(&mut self, conn: ConnKey, bytes: usize) {
        let Some(peer) = self.peers.living(conn).filter(|peer| peer.waiting > 0) else { return };
        peer.waiting -= bytes.min(peer.waiting);
        if peer.waiting > 0 {
            return self.tell(conn, Input::Progressed);
        }
        self.tell(conn, Input::Drained);
        self.after_sending(conn);
    }

    /// One turn of the loop.
    ///
    /// # Panics
    /// If the relay is not as it must be.
    pub fn turn(&mut self) {
        Nodes::exchange(self);
        self.disk.give_back(&mut self.relay, &mut self.record, self.now);
        self.django.answer(&mut self.relay, self.now);
        self.carry_out_answers();
        self.queues.begin_later(self.relay.state().has_output());
        while let Some(conn) = self.queues.next_later() {
            self.read_queued(conn);
        }
        self.carry_out_answers();
        self.relay.handle_timeout(self.now);
        self.nodes.is_told = false;
        self.record.note(Happened::Due);
        self.carry_out_answers();
        self.disk.take(&mut self.relay, &mut self.record, self.now);
        let (mut at_hand, mut left) = (Vec::new(), self.pace);
        while self.relay.poll_outputs(&mut at_hand, left.min(pace::OUTPUTS_AT_ONCE), self.now) {
            left -= at_hand.len();
            let asked = self.record.next()..;
            asked.zip(at_hand.drain(..)).for_each(|(at, output)| self.carry_out(at, output));
        }
        self.carry_out_answers();
        let gone = std::mem::take(&mut self.gone);
        gone.into_iter().for_each(|conn| self.tell(conn, Input::Closed));
        self.relay.turn_over(self.now);
        let state = self.relay.state();
        state.check_invariants();
        assert!(state.has_output() || self.peers.open() == state.connections(), "tables differ");
        for conn in self.queues.take_again() {
            self.read_queued(conn);
        }
    }

    /// Carries out whatever is no fan-out's, as a turn does first.
    fn carry_out_answers(&mut self) {
        while let Some(output) = self.relay.poll_output(Wanted::Answers, self.now) {
            self.carry_out(self.record.next(), output);
        }
    }

    /// Takes turns until nothing is left to do now.
    ///
    /// # Panics
    /// If something always is.
    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            self.turn();
            if !self.is_busy() {
                return;
            }
        }
        panic!("the relay is never at rest");
    }

    /// There is more to do, before any time passes.
    pub fn is_busy(&self) -> bool {
        let state = self.relay.state();
        !(self.queues.is_empty() && self.gone.is_empty())
            || self.disk.is_busy()
            || self.nodes.is_busy(&self.peers)
            || state.has_output()
            || self.django.due_ms(&self.relay).is_some_and(|due| due <= self.now.mono_ms)
    }

    /// Lets time pass, both clocks alike; every deadline on the way is met when it is due.
    ///
    /// # Panics
    /// If the relay is never at rest.
    pub fn advance_ms(&mut self, ms: u64) {
        let until = self.now.mono_ms + ms;
        for _ in 0..TURNS_MAX + (ms / 100) as usize {
            // A node answers in no time.
            let is_quick = self.nodes.is_busy(&self.peers);
            let due = self.django.due_ms(&self.relay).filter(|due| *due <= until && !is_quick);
            let is_over = due.is_none() && !self.is_busy();
            self.jump_to(due.unwrap_or(if is_over { until } else { 0 }));
            self.turn();
            if is_over && !self.is_busy() {
                return;
            }
        }
        panic!("the relay is never at rest");
    }

    /// Lets time pass until the next deadline; false if there is none.
    pub fn advance_to_deadline(&mut self) -> bool {
        let Some(due) = self.django.due_ms(&self.relay) else { return false };
        self.jump_to(due);
        self.settle();
        true
    }

    /// Sets both clocks ahead to this time, if it is not over, and does nothing else.
    pub fn jump_to(&mut self, mono_ms: u64) {
        let mono_ms = mono_ms.max(self.now.mono_ms);
        let seconds = mono_ms / 1000 - self.now.mono_ms / 1000;
        self.now = Now::at(mono_ms, self.now.unix_s.saturating_add(seconds));
    }

    /// What a peer was sent since this was asked before.
    pub fn take(&mut self, conn: ConnKey) -> Vec<u8> {
        std::mem::take(&mut self.peers.get_mut(conn).got)
    }

    fn tell(&mut self, conn: ConnKey, input: Input<'static>) {
        self.nodes.is_told = true;
        self.record.note(Happened::Told(conn, input));
        self.relay.handle_input(conn, input, self.now);
    }

    /// An event says that a peer can be read.
    fn readable(&mut self, conn: ConnKey) {
        let Some(peer) = self.peers.living(conn).filter(|peer| !peer.is_queued) else { return };
        if !peer.many_waited {
            return self.read(conn);
        }
        peer.is_queued = true;
        self.queues.later(conn);
    }

    fn read_queued(&mut self, conn: ConnKey) {
        if let Some(peer) = self.peers.living(conn) {
            peer.is_queued = false;
            self.read(conn);
        }
    }

    /// The relay reads what came, at most one buffer full.
    fn read(&mut self, conn: ConnKey) {
        loop {
            let most = self.relay.read_max(conn).min(pace::READ_BYTES);
            let Some(peer) = self.peers.living(conn) else { return };
            let has_ended = peer.has_ended;
            peer.is_refused = most == 0;
            if most == 0 {
                // A client's end lies behind bytes that nobody will read.
                let is_told = has_ended && !peer.is_upstream;
                self.record.note(Happened::Refused(conn));
                if is_told {
                    self.tell(conn, Input::Ended);
                }
                return;
            }
            let bytes = peer.read(most);
            if bytes.is_empty() && has_ended {
                self.tell(conn, Input::Ended);
            }
            if bytes.is_empty() {
                return;
            }
            let is_full = bytes.len() == most;
            self.nodes.is_told = true;
            self.relay.handle_input(conn, Input::Received(&bytes), self.now);
            self.record.note(Happened::Received(conn, bytes));
            if is_full {
                return self.read_again(conn);
            }
            if !has_ended {
                return;
            }
        }
    }

    fn read_again(&mut self, conn: ConnKey) {
        let Some(peer) = self.peers.living(conn).filter(|peer| !peer.is_queued) else { return };
        peer.is_queued = true;
        self.queues.again(conn);
    }

    /// `at`: where the record has it, before what comes of it and of what was asked before.
    fn carry_out(&mut self, at: usize, output: Output) {
        match &output {
            Output::Send { conn, payload, many_waited } => {
                self.give(*conn, &bytes(payload), *many_waited)
            }
            Output::ShutdownWrite { conn } => self.peers.change(*conn, |peer| peer.is_shut = true),
            Output::Close { conn } => {
                self.peers.change(*conn, |peer| peer.is_closing = true);
                self.after_sending(*conn);
            }
            Output::Abort { conn } => self.drop_peer(*conn, End::Aborted),
            Output::Reset { conn } => self.drop_peer(*conn, End::Reset),
            Output::Connect { conn, to, .. } => {
                self.peers.enter(*conn, Peer::dialled());
                if !self.nodes.accept(*conn, to) {
                    self.dialled.push((*conn, Rc::clone(to)));
                }
            }
            Output::ResumeRead { conn } if self.peers.has_refused(*conn) => self.read_again(*conn),
            Output::ResumeRead { .. } | Output::Resolve { .. } => {}
            &Output::Figures { conn, exhibit } => {
                crate::figures::show(&mut self.relay, conn, exhibit, self.now);
            }
            Output::Notify { event, notice } => self.django.notices.tell(*event, notice),
            Output::Tell { number, telling } => self.django.tell(*number, telling, self.now),
        }
        self.record.note_at(at, Happened::Asked(output));
    }

    /// Gives bytes to the socket of a peer.
    fn give(&mut self, conn: ConnKey, bytes: &[u8], many_waited: Option<bool>) {
        let Some(peer) = self.peers.living(conn) else { return };
        assert!(!peer.is_closing && !peer.is_connecting && !peer.is_shut, "sent what cannot be");
        peer.many_waited = many_waited.unwrap_or(peer.many_waited);
        if peer.is_mute {
            return;
        }
        peer.got.extend_from_slice(bytes);
        if peer.take(bytes.len()) {
            self.tell(conn, Input::Stalled);
        }
    }

    fn after_sending(&mut self, conn: ConnKey) {
        if self.peers.living(conn).is_some_and(|peer| peer.is_closing && peer.waiting == 0) {
            self.drop_peer(conn, End::Closed);
        }
    }

    fn drop_peer(&mut self, conn: ConnKey, end: End) {
        if let Some(peer) = self.peers.living(conn) {
            peer.end = Some(end);
            self.gone.push(conn);
        }
    }
}
