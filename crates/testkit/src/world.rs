//! The relay without sockets: peers in memory and a clock that moves only when told to. For the
//! transcripts; `tests/parity` has it because it shares their targets.
//!
//! Uses the public API of [`Relay`] alone, and in the order of the reactor's turn: what came is
//! taken in first, then what is due is done, then outputs are carried out, then the dead are freed.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;

use pushserver::clock::Now;
use pushserver::relay::{Arrival, ConnKey, Input, Output, Relay};
use pushserver::{hub, relay};

/// When every world begins, seconds since the Unix epoch: Tue, 14 Nov 2023 22:13:20 GMT.
pub const BEGIN_UNIX_S: u64 = 1_700_000_000;

/// Bytes that the reactor reads at once.
const READ_BYTES: usize = 64 << 10;

/// The other end of one connection.
#[derive(Debug, Default)]
pub struct Peer {
    /// What it was sent and has not taken yet.
    pub inbox: Vec<u8>,
    /// What it sent and the relay does not want yet.
    unread: VecDeque<u8>,
    /// The relay sends no more, but reads on.
    pub shut: bool,
    /// The connection is gone.
    pub closed: bool,
}

/// See the file.
#[derive(Debug)]
pub struct World {
    /// Look at it; to act on it, use the world.
    pub relay: Relay,
    /// Set `unix_s` to set the wall clock; to let time pass, use [`World::advance_ms`].
    pub now: Now,
    peers: HashMap<ConnKey, Peer>,
    /// To be freed at the end of the turn.
    gone: Vec<ConnKey>,
}

impl World {
    /// A world with no peers, at [`BEGIN_UNIX_S`].
    pub fn new(options: &relay::options::Options, hub: hub::options::Options) -> Self {
        let now = Now { mono_ms: 0, unix_s: BEGIN_UNIX_S };
        let relay = Relay::new(options, hub, now);
        Self { relay, now, peers: HashMap::new(), gone: Vec::new() }
    }

    /// A new peer, from this machine.
    pub fn connect(&mut self) -> ConnKey {
        let peer = Some(Ipv4Addr::LOCALHOST.into());
        let conn = self.relay.accept(Arrival { peer, loopback_port: None }, self.now);
        self.peers.insert(conn, Peer::default());
        conn
    }

    /// The peer sends bytes, which come in one piece; then turns are taken until all is quiet.
    pub fn send(&mut self, conn: ConnKey, bytes: &[u8]) {
        self.peer(conn).unread.extend(bytes);
        self.read(conn);
        self.settle();
    }

    /// The peer sends bytes in pieces, which end at these offsets; a turn or more for each.
    pub fn send_split(&mut self, conn: ConnKey, bytes: &[u8], at: &[usize]) {
        let mut begin = 0;
        for end in at.iter().copied().chain([bytes.len()]) {
            self.send(conn, &bytes[begin..end]);
            begin = end;
        }
    }

    /// The peer sends no more, but reads on.
    pub fn end(&mut self, conn: ConnKey) {
        self.relay.handle_input(conn, Input::Ended, self.now);
        self.settle();
    }

    /// The connection breaks: a reset.
    pub fn reset(&mut self, conn: ConnKey) {
        self.drop_peer(conn);
        self.settle();
    }

    /// Lets time pass, both clocks alike; every deadline on the way is met when it is due.
    pub fn advance_ms(&mut self, ms: u64) {
        let until = self.now.mono_ms + ms;
        while self.relay.poll_timeout().is_some_and(|due| due <= until) {
            self.advance_to_deadline();
        }
        self.jump_to(until);
    }

    /// Lets time pass until the next deadline; false if there is none.
    pub fn advance_to_deadline(&mut self) -> bool {
        let Some(due) = self.relay.poll_timeout() else { return false };
        self.jump_to(due.max(self.now.mono_ms));
        self.settle();
        true
    }

    /// A peer, also one whose connection is gone.
    pub fn peer(&mut self, conn: ConnKey) -> &mut Peer {
        self.peers.get_mut(&conn).expect("a peer of this world")
    }

    /// What the peer was sent since this was asked before.
    pub fn take(&mut self, conn: ConnKey) -> Vec<u8> {
        std::mem::take(&mut self.peer(conn).inbox)
    }

    /// Takes turns until the relay has no more to do now.
    pub fn settle(&mut self) {
        loop {
            self.relay.handle_timeout(self.now);
            while let Some(output) = self.relay.poll_output(self.now) {
                self.carry_out(output);
            }
            for conn in std::mem::take(&mut self.gone) {
                self.relay.handle_input(conn, Input::Closed, self.now);
            }
            if self.relay.poll_timeout().is_none_or(|due| due > self.now.mono_ms) {
                break;
            }
        }
        self.relay.check_invariants();
    }

    /// The relay reads what waits, as far as it wants to.
    fn read(&mut self, conn: ConnKey) {
        while !self.peer(conn).unread.is_empty() && self.relay.read_max(conn) > 0 {
            let unread = &mut self.peer(conn).unread;
            let bytes: Vec<u8> = unread.drain(..unread.len().min(READ_BYTES)).collect();
            self.relay.handle_input(conn, Input::Received(&bytes), self.now);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { conn, payload, .. } => {
                let inbox = &mut self.peer(conn).inbox;
                let (first, second) = payload.slices(0);
                inbox.extend_from_slice(first);
                inbox.extend_from_slice(second);
            }
            Output::ShutdownWrite { conn } => self.peer(conn).shut = true,
            Output::Close { conn } | Output::Abort { conn } => self.drop_peer(conn),
            Output::ResumeRead { conn } => self.read(conn),
            Output::Connect { .. } | Output::Reset { .. } => panic!("there is no upstream"),
            Output::Notify { .. } => {}
        }
    }

    fn drop_peer(&mut self, conn: ConnKey) {
        if !std::mem::replace(&mut self.peer(conn).closed, true) {
            self.gone.push(conn);
        }
    }

    fn jump_to(&mut self, mono_ms: u64) {
        let seconds = mono_ms / 1000 - self.now.mono_ms / 1000;
        self.now = Now { mono_ms, unix_s: self.now.unix_s + seconds };
    }
}
