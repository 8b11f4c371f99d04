//! Sockets: every open connection, the poll that watches them, and those to be read without
//! another event. Moves bytes between them and the relay; never looks into the bytes.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll};

use super::descriptors::is_out_of_descriptors;
use super::handshakes::Handshakes;
use super::left_over::LeftOver;
use super::pace::{CLOSING_US, FLUSHING_US, READ_BYTES, READING_AGAIN_US, READING_US};
use super::socket::{Life, Queue, Side, Socket};
use super::stream::{Read, Sent};
use super::table::Table;
use super::tls::{Certificate, Scratch, Trust};
use super::tokens;
use super::transport::Transport;
use crate::clock::{Clock, Now};
use crate::relay::options::UpstreamAddress;
use crate::relay::{ConnKey, Input, Payload, Relay};
use crate::store::StoreId;

/// See the module.
#[derive(Debug)]
pub(super) struct Sockets {
    poll: Poll,
    pub(super) table: Table,
    /// Every connection is read into this one.
    buffer: Box<[u8]>,
    left_over: LeftOver,
    pub(super) handshakes: Handshakes,
    /// Of the stores that are connected to by TLS.
    pub(super) trusts: HashMap<StoreId, Trust>,
    scratch: Scratch,
    /// Sockets to be closed at the end of a turn: until then their slots are not used anew.
    gone: VecDeque<ConnKey>,
}

impl Sockets {
    /// None yet. `configured`: `limits.connections`; else the limit of open files is the limit.
    pub(super) fn new(
        poll: Poll,
        clock: Clock,
        configured: Option<usize>,
        certificate: Option<Certificate>,
        trusts: HashMap<StoreId, Trust>,
    ) -> Self {
        Self {
            poll,
            table: Table::new(configured),
            buffer: vec![0; READ_BYTES].into(),
            left_over: LeftOver::new(clock),
            handshakes: Handshakes::new(certificate),
            trusts,
            scratch: Scratch::default(),
            gone: VecDeque::new(),
        }
    }

    /// Waits for events.
    pub(super) fn poll(&mut self, events: &mut Events, wait: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, wait) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            polled => polled,
        }
    }

    /// Waits for the events of a new socket.
    pub(super) fn enter(&mut self, socket: Socket) -> io::Result<()> {
        let token = tokens::of_conn(socket.key);
        socket.transport.stream().register(self.poll.registry(), token)?;
        self.table.enter(socket);
        Ok(())
    }

    /// Begins to connect to an upstream.
    ///
    /// # Errors
    /// Why it cannot be opened; `QuotaExceeded`: for want of descriptors of ours.
    pub(super) fn dial(
        &mut self,
        conn: ConnKey,
        to: &UpstreamAddress,
        of: Option<&(StoreId, Rc<str>)>,
    ) -> Result<(), ErrorKind> {
        if !self.table.may_dial() {
            return Err(ErrorKind::QuotaExceeded);
        }
        let trust = of.and_then(|(store, host)| Some((self.trusts.get(store)?, &**host)));
        let transport = Transport::dial(to, trust);
        let entered = transport.and_then(|transport| self.enter(Socket::dialled(conn, transport)));
        entered.map_err(|error| match is_out_of_descriptors(&error) {
            true => ErrorKind::QuotaExceeded,
            false => error.kind(),
        })
    }

    /// Flushes and reads as an event says.
    pub(super) fn on_event(&mut self, event: &Event, relay: &mut Relay, now: Now) {
        let token = event.token();
        let Some(Some(socket)) = self.table.slot(tokens::index(token)) else { return };
        if tokens::of_conn(socket.key) != token || socket.life == Life::Gone {
            return;
        }
        let conn = socket.key;
        if socket.life == Life::Connecting {
            return self.on_connecting(conn, event, relay, now);
        }
        if event.is_writable() && (socket.is_stalled() || socket.transport.is_pending()) {
            self.flush_after(conn, relay, now);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read_after(conn, event, relay, now);
        }
    }

    fn on_connecting(&mut self, conn: ConnKey, event: &Event, relay: &mut Relay, now: Now) {
        let Some(socket) = self.table.find(conn) else { return };
        match socket.transport.stream().connected() {
            Ok(false) => {}
            Ok(true) if socket.transport.is_handshaking() => {
                socket.life = Life::Securing;
                let _ = socket.transport.flush();
                self.read_after(conn, event, relay, now);
            }
            Ok(true) => {
                socket.life = Life::Open;
                relay.handle_input(conn, Input::Connected, now);
                if event.is_readable() || event.is_read_closed() {
                    self.read_after(conn, event, relay, now);
                }
            }
            Err(error) => {
                relay.handle_input(conn, Input::ConnectFailed(error.kind()), now);
                self.abort(conn);
            }
        }
    }

    fn read_after(&mut self, conn: ConnKey, event: &Event, relay: &mut Relay, now: Now) {
        let Some(socket) = self.table.find(conn) else { return };
        socket.ended |= event.is_read_closed() || event.is_error();
        // Otherwise it has had its turn, and would have two in the next.
        if socket.queue != Queue::No {
            return;
        }
        if socket.many_waited {
            self.left_over.read_later(socket);
        } else if self.left_over.has_time() {
            self.read(conn, relay, now);
            self.left_over.note(READING_US, now);
        } else {
            self.left_over.read(socket);
        }
    }

    fn flush_after(&mut self, conn: ConnKey, relay: &mut Relay, now: Now) {
        if self.left_over.has_time() {
            self.flush(conn, relay, now);
            self.left_over.note(READING_US, now);
        } else if let Some(socket) = self.table.find(conn) {
            self.left_over.flush(socket);
        }
    }

    /// Begins a turn: flushes and reads sockets that no event will tell of, as far as there is time
    /// for them; at least one of each.
    pub(super) fn go_on(&mut self, relay: &mut Relay, now: Now) {
        // Whoever comes again meanwhile is dealt with in the next turn.
        for _ in 0..self.left_over.unsent.len() {
            let Some(conn) = self.left_over.unsent.pop_front() else { break };
            if let Some(socket) = self.table.find(conn) {
                socket.flushes = false;
                self.flush(conn, relay, now);
            }
            if self.left_over.is_past(FLUSHING_US, now) {
                break;
            }
        }
        self.left_over.begin();
        for _ in 0..self.left_over.again.len() {
            let Some(conn) = self.left_over.again.pop_front() else { break };
            self.read_queued(conn, relay, now);
            self.left_over.note(READING_AGAIN_US, now);
            if !self.left_over.has_time() {
                break;
            }
        }
        // Events have a share of their own.
        self.left_over.begin();
    }

    /// Reads a portion of those of large fan-outs; gives whether there are more that this turn may
    /// read.
    pub(super) fn read_later(&mut self, relay: &mut Relay, now: Now) -> bool {
        let fans_out = relay.state().has_output();
        for _ in 0..self.left_over.portion(fans_out) {
            let Some(conn) = self.left_over.later.pop_front() else { return false };
            self.read_queued(conn, relay, now);
        }
        !fans_out
    }

    /// Does the steps of handshakes that this turn has time for.
    pub(super) fn shake_hands(&mut self, relay: &mut Relay, now: Now) {
        for conn in self.handshakes.begin() {
            self.read_queued(conn, relay, now);
        }
        self.handshakes.end();
    }

    fn read_queued(&mut self, conn: ConnKey, relay: &mut Relay, now: Now) {
        if let Some(socket) = self.table.find(conn) {
            socket.queue = Queue::No;
            self.read(conn, relay, now);
        }
    }

    /// Reads from every socket.
    pub(super) fn read_all(&mut self, relay: &mut Relay, now: Now) {
        for conn in self.table.keys() {
            self.read(conn, relay, now);
        }
    }

    /// Reads what came, at most one buffer full.
    fn read(&mut self, conn: ConnKey, relay: &mut Relay, now: Now) {
        loop {
            let most = relay.read_max(conn).min(READ_BYTES);
            let Some(socket) = self.table.find(conn) else { return };
            let ended = socket.ended;
            if most == 0 {
                // The end of a client lies behind bytes that are never read; bytes of an upstream
                // are wanted later.
                if (ended || socket.transport.has_ended()) && socket.side == Side::Accepted {
                    relay.handle_input(conn, Input::Ended, now);
                }
                return;
            }
            let handshakes = socket.transport.is_handshaking();
            if handshakes && !self.handshakes.may_go_on() {
                return self.handshakes.queue(socket);
            }
            let read = socket.transport.read(&mut self.buffer, most, &mut self.scratch);
            if handshakes {
                self.handshakes.went_on(&read, socket);
                if let Some(told) = socket.step_done(&read) {
                    relay.handle_input(conn, told, now);
                    if let Input::ConnectFailed(_) = told {
                        return self.abort(conn);
                    }
                }
            }
            match read {
                Ok(read @ (Read::Bytes(length) | Read::More(length))) => {
                    if length > 0 {
                        relay.handle_input(conn, Input::Received(&self.buffer[..length]), now);
                    }
                    if let Read::More(_) = read {
                        self.left_over.was_long();
                        return self.read_again(conn);
                    }
                    if !ended {
                        return;
                    }
                }
                Ok(Read::Hello(length)) => {
                    let Some(slot) = self.table.slot(conn.index()) else { return };
                    self.handshakes.secure(slot, &self.buffer[..length]);
                    relay.handle_input(conn, Input::Secured, now);
                }
                Ok(Read::Drained) => return,
                Ok(Read::End) => return relay.handle_input(conn, Input::Ended, now),
                Err(_) => return self.abort(conn),
            }
        }
    }

    /// Has a socket read in the next turn: it may have bytes that no event will tell of.
    pub(super) fn read_again(&mut self, conn: ConnKey) {
        if let Some(socket) = self.table.find(conn) {
            self.left_over.read(socket);
        }
    }

    /// Sends at once what the socket takes, and keeps the rest. `many_waited`: whether it waited
    /// with many others, if that is known.
    pub(super) fn send(
        &mut self,
        conn: ConnKey,
        payload: Payload,
        many_waited: Option<bool>,
        relay: &mut Relay,
        now: Now,
    ) {
        let Some(socket) = self.table.find(conn) else { return };
        socket.many_waited = many_waited.unwrap_or(socket.many_waited);
        let stalled_before = socket.is_stalled();
        match socket.send(payload, &mut self.scratch) {
            Ok(Sent::More(_)) => {
                self.left_over.flush(socket);
                relay.handle_input(conn, Input::Stalled, now);
            }
            Ok(Sent::Partly(_)) if !stalled_before => {
                relay.handle_input(conn, Input::Stalled, now);
            }
            Ok(_) => {}
            Err(_) => self.broken(conn),
        }
    }

    fn flush(&mut self, conn: ConnKey, relay: &mut Relay, now: Now) {
        let Some(socket) = self.table.find(conn) else { return };
        if !socket.is_stalled() {
            // A handshake's, of which the relay knows nothing.
            if socket.transport.flush().is_err() {
                self.broken(conn);
            }
            return;
        }
        match socket.flush(&mut self.scratch) {
            Ok(Sent::All) => {
                relay.handle_input(conn, Input::Drained, now);
                self.apply(conn, Socket::emptied);
            }
            Ok(Sent::Partly(0)) => {}
            Ok(Sent::Partly(_)) => relay.handle_input(conn, Input::Progressed, now),
            Ok(Sent::More(_)) => {
                self.left_over.flush(socket);
                relay.handle_input(conn, Input::Progressed, now);
            }
            Err(_) => self.broken(conn),
        }
    }

    /// The peer takes no more. What an upstream has sent before, its answer, is still read.
    fn broken(&mut self, conn: ConnKey) {
        match self.table.find(conn) {
            Some(socket) if socket.side == Side::Dialled && socket.life != Life::Closing => {
                socket.mute();
                socket.ended = true;
                self.read_again(conn);
            }
            _ => self.abort(conn),
        }
    }

    /// Does something to a socket, and closes it at once if it is of no use any more.
    pub(super) fn apply(&mut self, conn: ConnKey, act: fn(&mut Socket) -> bool) {
        if self.table.find(conn).is_some_and(|socket| !act(socket)) {
            self.abort(conn);
        }
    }

    /// Closes a socket now, whatever waits: at the end of a turn.
    pub(super) fn abort(&mut self, conn: ConnKey) {
        if let Some(socket) = self.table.find(conn) {
            socket.life = Life::Gone;
            self.gone.push_back(conn);
        }
    }

    /// Frees the slots of sockets that are gone, as far as there is time; gives whether there were
    /// any.
    pub(super) fn free_gone(&mut self, relay: &mut Relay, now: Now) -> bool {
        if self.gone.is_empty() {
            return false;
        }
        self.left_over.begin();
        while self.left_over.has_time()
            && let Some(conn) = self.gone.pop_front()
        {
            self.table.free(conn);
            relay.handle_input(conn, Input::Closed, now);
            self.left_over.note(CLOSING_US, now);
        }
        debug_assert!(
            relay.state().has_output() || self.table.open() == relay.state().connections(),
            "both tables have the same entries"
        );
        true
    }

    /// Whether something is to be done without another event.
    pub(super) fn has_more(&self) -> bool {
        !self.left_over.is_empty() || self.handshakes.are_waiting() || !self.gone.is_empty()
    }
}
