//! Handshakes: the certificate that they show, and how many of their steps a turn does. One costs
//! as much as twenty deliveries, so each waits for the end of a turn, and those beyond for another
//! turn: plain polls feel nothing of thousands of clients that come back at once. Moves no bytes.

use std::collections::VecDeque;
use std::io;

use super::pace::HANDSHAKE_STEPS;
use super::socket::{Queue, Side, Socket};
use super::stream::Read;
use super::tls::Certificate;
use crate::relay::ConnKey;

/// See the module.
#[derive(Debug)]
pub(super) struct Handshakes {
    /// `None`: no connection is TLS.
    pub(super) certificate: Option<Certificate>,
    /// Whose next step waits for the end of a turn.
    waiting: VecDeque<ConnKey>,
    /// How many steps are still to be done in this turn; none before its end.
    steps_left: usize,
    /// That are done since the start.
    pub(super) done: u64,
    /// That have failed since the start, or were given up by their client.
    pub(super) failed: u64,
}

impl Handshakes {
    pub(super) fn new(certificate: Option<Certificate>) -> Self {
        Self { certificate, waiting: VecDeque::new(), steps_left: 0, done: 0, failed: 0 }
    }

    /// Begins the steps of a turn; gives who is to go on.
    pub(super) fn begin(&mut self) -> Vec<ConnKey> {
        self.steps_left = HANDSHAKE_STEPS;
        let count = self.waiting.len().min(HANDSHAKE_STEPS);
        self.waiting.drain(..count).collect()
    }

    /// Ends them.
    pub(super) fn end(&mut self) {
        self.steps_left = 0;
    }

    /// Whether a step may be done now.
    pub(super) fn may_go_on(&self) -> bool {
        self.steps_left > 0
    }

    /// Has a socket's next step wait.
    pub(super) fn queue(&mut self, socket: &mut Socket) {
        if socket.queue == Queue::No {
            socket.queue = Queue::Handshakes;
            self.waiting.push_back(socket.key);
        }
    }

    /// Has a connection go on by TLS that has begun with `hello`.
    pub(super) fn secure(&self, slot: &mut Option<Socket>, hello: &[u8]) {
        let Some(certificate) = &self.certificate else { return };
        let Some(mut socket) = slot.take() else { return };
        socket.transport = socket.transport.secured(certificate, hello);
        *slot = Some(socket);
    }

    /// A step was done.
    pub(super) fn went_on(&mut self, read: &io::Result<Read>, socket: &Socket) {
        self.steps_left -= 1;
        if socket.side == Side::Dialled {
            if let Err(error) = read {
                log::debug!("event=handshake_failed with=store cause=\"{error}\"");
            }
            return;
        }
        let goes_on = socket.transport.is_handshaking();
        match read {
            Err(error) => {
                self.failed += 1;
                log::debug!("event=handshake_failed cause=\"{error}\"");
            }
            Ok(Read::End) if goes_on => self.failed += 1,
            Ok(_) if goes_on => {}
            Ok(_) => self.done += 1,
        }
    }

    pub(super) fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn so_many_steps_are_done_in_a_turn_and_the_others_wait_in_order() {
        let (one, _other) = UnixStream::pair().unwrap();
        let mut socket = Socket::accepted(ConnKey::from_bits(0), OwnedFd::from(one).into(), true);
        let mut handshakes = Handshakes::new(None);
        assert!(!handshakes.may_go_on() && handshakes.begin().is_empty());
        for _ in 0..HANDSHAKE_STEPS {
            assert!(handshakes.may_go_on());
            handshakes.went_on(&Ok(Read::Drained), &socket);
        }
        assert!(!handshakes.may_go_on() && !handshakes.are_waiting());
        let keys: Vec<_> = (0..=HANDSHAKE_STEPS as u64).map(ConnKey::from_bits).collect();
        for &key in &keys {
            (socket.key, socket.queue) = (key, Queue::No);
            handshakes.queue(&mut socket);
            // Once, however often it is to wait.
            handshakes.queue(&mut socket);
        }
        assert_eq!(handshakes.begin(), keys[..HANDSHAKE_STEPS]);
        assert!(handshakes.may_go_on() && handshakes.are_waiting());
        handshakes.end();
        assert!(!handshakes.may_go_on());
        assert_eq!(handshakes.begin(), keys[HANDSHAKE_STEPS..]);
        assert!(!handshakes.are_waiting());
    }
}
