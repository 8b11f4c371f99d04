//! Bytes between sockets and the relay: reading, sending, closing.

use std::io::{ErrorKind, Read};

use mio::Token;
use mio::event::Event;

use super::pace::{CROWD_READS, CROWD_READS_BESIDE, READ_BYTES};
use super::socket::Sent;
use super::{Reactor, find, index, token_of};
use crate::clock::Now;
use crate::relay::{ConnKey, Input, Output};

impl Reactor {
    pub(super) fn on_event(&mut self, token: Token, event: &Event, now: Now) {
        let Some(socket) = self.sockets.get_mut(index(token)).and_then(Option::as_mut) else {
            return;
        };
        if token_of(socket.key) != token || socket.gone {
            return;
        }
        let conn = socket.key;
        if socket.connecting {
            return self.on_connecting(conn, event, now);
        }
        if event.is_writable() && socket.is_stalled() {
            self.flush(conn, now);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read_after(conn, event, now);
        }
    }

    pub(super) fn read_after(&mut self, conn: ConnKey, event: &Event, now: Now) {
        let Some(socket) = find(&mut self.sockets, conn) else { return };
        socket.ended |= event.is_read_closed() || event.is_error();
        // Otherwise it has had its turn, and would have two in the next.
        if socket.queued {
            return;
        }
        if !socket.crowd {
            return self.read(conn, now);
        }
        // Behind those of the crowd that came before it.
        if self.later.is_empty() && self.crowd_reads_left > 0 {
            self.crowd_reads_left -= 1;
            self.read(conn, now);
        } else {
            socket.queued = true;
            self.later.push_back(conn);
        }
    }

    /// Begins the turn's share of those who have waited in a crowd and ask again.
    pub(super) fn read_later(&mut self, now: Now) {
        let fanning_out = self.relay.state().has_output;
        self.crowd_reads_left = if fanning_out { CROWD_READS_BESIDE } else { CROWD_READS };
        while self.crowd_reads_left > 0 {
            let Some(conn) = self.later.pop_front() else { return };
            self.crowd_reads_left -= 1;
            if let Some(socket) = find(&mut self.sockets, conn) {
                socket.queued = false;
                self.read(conn, now);
            }
        }
    }

    /// Reads what came, at most one buffer full.
    pub(super) fn read(&mut self, conn: ConnKey, now: Now) {
        loop {
            let most = self.relay.read_max(conn).min(READ_BYTES);
            let Some(socket) = find(&mut self.sockets, conn) else { return };
            if most == 0 {
                // A client's end lies behind bytes that nobody will read; those of an upstream are
                // still wanted, later.
                if socket.ended && !socket.dialled {
                    self.relay.handle_input(conn, Input::Ended, now);
                }
                return;
            }
            let ended = socket.ended;
            match socket.stream.read(&mut self.scratch[..most]) {
                Ok(0) => return self.relay.handle_input(conn, Input::Ended, now),
                Ok(length) => {
                    self.relay.handle_input(conn, Input::Received(&self.scratch[..length]), now);
                    if length == most {
                        return self.read_again(conn);
                    }
                    if !ended {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.drop_socket(conn),
            }
        }
    }

    /// Lets a socket be read in the next turn.
    pub(super) fn read_again(&mut self, conn: ConnKey) {
        if let Some(socket) = find(&mut self.sockets, conn)
            && !socket.queued
        {
            socket.queued = true;
            self.again.push(conn);
        }
    }

    pub(super) fn flush(&mut self, conn: ConnKey, now: Now) {
        let Some(socket) = find(&mut self.sockets, conn) else { return };
        match socket.flush() {
            Ok(Sent::All) => {
                self.relay.handle_input(conn, Input::Drained, now);
                self.after_sending(conn);
            }
            Ok(Sent::Partly { progress: true }) => {
                self.relay.handle_input(conn, Input::Progressed, now)
            }
            Ok(Sent::Partly { progress: false }) => {}
            Err(_) => self.broken(conn),
        }
    }

    pub(super) fn carry_out(&mut self, output: Output, now: Now) {
        match output {
            Output::Send { conn, payload, crowd } => {
                let Some(socket) = find(&mut self.sockets, conn) else { return };
                socket.crowd = crowd.unwrap_or(socket.crowd);
                let stalled_before = socket.is_stalled();
                match socket.send(payload) {
                    Ok(Sent::Partly { .. }) if !stalled_before => {
                        self.relay.handle_input(conn, Input::Stalled, now)
                    }
                    Ok(_) => {}
                    Err(_) => self.broken(conn),
                }
            }
            Output::ShutdownWrite { conn } => {
                if let Some(socket) = find(&mut self.sockets, conn) {
                    socket.shutting = true;
                    self.after_sending(conn);
                }
            }
            Output::Close { conn } => {
                if let Some(socket) = find(&mut self.sockets, conn) {
                    socket.closing = true;
                    self.after_sending(conn);
                }
            }
            Output::Abort { conn } => self.drop_socket(conn),
            Output::Reset { conn } => {
                if let Some(socket) = find(&mut self.sockets, conn) {
                    socket.stream.reset_at_close();
                }
                self.drop_socket(conn);
            }
            Output::Connect { conn, to } => self.connect(conn, &to, now),
            // The edge will not come again for bytes that were not wanted when they came.
            Output::ResumeRead { conn } => self.read_again(conn),
            Output::Notify { event, notice } => {
                self.passthrough.notify(event, notice, now.mono_ms);
            }
        }
    }

    /// Closes or shuts a socket that has sent everything, if that was to be done.
    pub(super) fn after_sending(&mut self, conn: ConnKey) {
        let Some(socket) = find(&mut self.sockets, conn) else { return };
        if socket.is_stalled() {
            return;
        }
        let broken = socket.shutting && socket.stream.shutdown_write().is_err();
        socket.shutting = false;
        if broken || socket.closing {
            self.drop_socket(conn);
        }
    }

    /// The peer takes no more. What an upstream has sent before, its answer, is still read.
    pub(super) fn broken(&mut self, conn: ConnKey) {
        match find(&mut self.sockets, conn) {
            Some(socket) if socket.dialled && !socket.closing => {
                socket.mute();
                socket.ended = true;
                self.read_again(conn);
            }
            _ => self.drop_socket(conn),
        }
    }

    pub(super) fn drop_socket(&mut self, conn: ConnKey) {
        if let Some(socket) = find(&mut self.sockets, conn) {
            socket.gone = true;
            self.gone.push(conn);
        }
    }

    pub(super) fn free_gone(&mut self, now: Now) {
        if self.gone.is_empty() {
            return;
        }
        for conn in std::mem::take(&mut self.gone) {
            self.sockets[conn.index()] = None;
            self.open -= 1;
            self.relay.handle_input(conn, Input::Closed, now);
        }
        if self.accept_pending.is_some() {
            self.accept_pending = Some(0);
        }
        debug_assert!(
            self.relay.state().has_output || self.open == self.relay.state().connections,
            "both tables have the same entries"
        );
    }
}
