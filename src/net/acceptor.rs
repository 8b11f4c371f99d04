//! New connections: those that are accepted, and those to an upstream.

use std::io::{self, ErrorKind};
use std::net::IpAddr;

use mio::Interest;
use mio::event::Event;

use super::socket::Socket;
use super::stream::Stream;
use super::{Reactor, find, token_of};
use crate::clock::Now;
use crate::relay::options::UpstreamAddress;
use crate::relay::{Arrival, ConnKey, Input};

/// Connections accepted from one listener before others have their turn.
const ACCEPTS_PER_TURN: usize = 256;

/// How long accepting pauses when no more connections can be had, unless one is closed before.
const ACCEPT_PAUSE_MS: u64 = 100;

/// A client that has sent nothing for so long makes room for others, milliseconds. The second value
/// is for the time after accepting has paused for a second: whatever a client had to send at once
/// has come by then.
const SILENT_MS: u64 = 1000;
const SILENT_AMID_A_CROWD_MS: u64 = 100;

/// How often the loop looks whether the newcomer at the door has sent something, milliseconds; amid a
/// crowd it looks once.
const LOOK_AGAIN_MS: u64 = 5;

/// Amid a crowd so many silent clients make room as fast as newcomers that say nothing are let go.
const SILENT_ENOUGH: usize = (SILENT_AMID_A_CROWD_MS / LOOK_AGAIN_MS) as usize;

/// How many clients are asked for to make room for one newcomer, where each has asked again.
const SPARE_MAX: usize = 256;

/// No descriptor is left to this process (EMFILE), or to the system (ENFILE): the same numbers on
/// every Unix.
const OUT_OF_DESCRIPTORS: [i32; 2] = [24, 23];

/// Connections to an upstream when there are as many connections as there may be: half of what is
/// reserved, so that notices and a reload still find a descriptor.
const DIALS_BEYOND: usize = 16;

/// Descriptors that are not for connections: standard streams, epoll, listeners, the passthrough
/// connections (up to four in use and four idle), the newcomer at the door, a reserve.
const RESERVED_DESCRIPTORS: u64 = 32;

/// A connection that was accepted.
#[derive(Debug)]
pub(super) struct Newcomer {
    stream: Stream,
    peer: Option<IpAddr>,
    /// The port, if it came to a loopback address.
    loopback_port: Option<u16>,
    accepted_ms: u64,
}

impl Reactor {
    pub(super) fn accept(&mut self, now: Now) {
        self.accept_pending = None;
        if let Some(newcomer) = self.waiting.take()
            && !self.admit_or_keep(newcomer, now)
        {
            return;
        }
        let listeners = self.listeners.len();
        for turn in 0..listeners {
            let index = (self.first_listener + turn) % listeners;
            if !self.accept_from(index, now) {
                // So that a crowd at one listener does not take every place that becomes free.
                self.first_listener = index + 1;
                return;
            }
        }
        if self.accept_pending.is_none() {
            self.crowded_since_ms = None;
        }
    }

    /// Whether there is room for more, from others.
    fn accept_from(&mut self, index: usize, now: Now) -> bool {
        for _ in 0..ACCEPTS_PER_TURN {
            match self.next_newcomer(index, now) {
                Ok(newcomer) => {
                    if !self.admit_or_keep(newcomer, now) {
                        return false;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if is_transient(&error) => {}
                Err(error) => {
                    // Perhaps nobody waits; but without one descriptor nothing else goes on.
                    self.make_room(true, now);
                    self.pause_accepting(&error.to_string(), now);
                    return false;
                }
            }
        }
        self.accept_pending = Some(0);
        true
    }

    /// Lets a newcomer in, or keeps it at the door until there is room; gives whether another one may
    /// come to the door. A newcomer that says nothing for too long is let go.
    fn admit_or_keep(&mut self, newcomer: Newcomer, now: Now) -> bool {
        let has_spoken = self.open < self.connections_max || newcomer.stream.has_spoken();
        let (has_room, silent) = self.has_room(has_spoken, now);
        if has_room {
            self.admit(newcomer, now);
            return true;
        }
        // It may speak at any moment; but would keep all others out if it never did.
        let silent_ms =
            if self.is_crowded(now) && silent < SILENT_ENOUGH { LOOK_AGAIN_MS } else { SILENT_MS };
        let is_silent = !has_spoken && now.mono_ms >= newcomer.accepted_ms + silent_ms;
        if has_spoken || is_silent {
            self.pause_accepting("limits.connections or the limit of open files", now);
        } else {
            self.crowded_since_ms.get_or_insert(now.mono_ms);
            self.accept_pending = Some(now.mono_ms + LOOK_AGAIN_MS);
        }
        if is_silent {
            return true;
        }
        self.waiting = Some(newcomer);
        false
    }

    /// Lets the one in who waits at the door, though it is one more than there may be.
    pub(super) fn admit_waiting(&mut self, now: Now) {
        if let Some(newcomer) = self.waiting.take() {
            self.admit(newcomer, now);
        }
    }

    fn next_newcomer(&self, listener: usize, now: Now) -> io::Result<Newcomer> {
        let listener = &self.listeners[listener];
        let (stream, peer) = listener.accept()?;
        let loopback_port = listener.local().loopback_port();
        Ok(Newcomer { stream, peer, loopback_port, accepted_ms: now.mono_ms })
    }

    /// Whether there is room for one more connection; another one is closed for it, if need be. And
    /// how many clients that have sent nothing may make room later. `has_spoken`: the new one has
    /// sent something.
    fn has_room(&mut self, has_spoken: bool, now: Now) -> (bool, usize) {
        let mut silent = 0;
        if self.open >= self.connections_max {
            silent = self.make_room(has_spoken, now);
            self.carry_out_answers(now);
            self.free_gone(now);
        }
        (self.open < self.connections_max, silent)
    }

    /// Has a connection closed, if one can be spared; gives how many clients that have sent nothing
    /// may make room later.
    fn make_room(&mut self, has_spoken: bool, now: Now) -> usize {
        let silent_ms = if self.is_crowded(now) { SILENT_AMID_A_CROWD_MS } else { SILENT_MS };
        let mut silent = 0;
        for _ in 0..SPARE_MAX {
            let spare = self.relay.spare(silent_ms, has_spoken, now);
            silent = spare.silent;
            let Some(conn) = spare.conn else { break };
            // One of a crowd may have asked again, and waits to be read.
            let is_unread = find(&mut self.sockets, conn)
                .is_some_and(|socket| socket.queued && !socket.dialled);
            let answer = if is_unread { Input::Unread } else { Input::Evicted };
            self.relay.handle_input(conn, answer, now);
            if !is_unread {
                break;
            }
        }
        silent
    }

    /// Whether others have waited for a second.
    fn is_crowded(&self, now: Now) -> bool {
        self.crowded_since_ms.is_some_and(|since| now.mono_ms >= since + SILENT_MS)
    }

    /// Goes on when a connection closes, or one that is idle can make room.
    fn pause_accepting(&mut self, cause: &str, now: Now) {
        self.watchdog.accept_pauses += 1;
        self.crowded_since_ms.get_or_insert(now.mono_ms);
        self.accept_pending = Some(now.mono_ms + ACCEPT_PAUSE_MS);
        if let Some(times) = self.out_of_descriptors.note(now.mono_ms) {
            let open = self.open;
            log::warn!("event=accept_paused connections={open} times={times} cause={cause:?}");
        }
    }

    fn admit(&mut self, newcomer: Newcomer, now: Now) {
        let Newcomer { stream, peer, loopback_port, .. } = newcomer;
        self.watchdog.accepted += 1;
        let conn = self.relay.accept(Arrival { peer, loopback_port }, now);
        if self.enter(Socket::accepted(conn, stream)).is_err() {
            self.relay.handle_input(conn, Input::Closed, now);
        }
    }

    pub(super) fn connect(&mut self, conn: ConnKey, to: &UpstreamAddress, now: Now) {
        let entered = if self.open < self.connections_max + DIALS_BEYOND {
            Stream::connect(to).and_then(|stream| self.enter(Socket::dialled(conn, stream)))
        } else {
            Err(ErrorKind::QuotaExceeded.into())
        };
        if let Err(error) = entered {
            let ours = error.raw_os_error().is_some_and(|code| OUT_OF_DESCRIPTORS.contains(&code));
            let cause = if ours { ErrorKind::QuotaExceeded } else { error.kind() };
            self.relay.handle_input(conn, Input::ConnectFailed(cause), now);
            self.relay.handle_input(conn, Input::Closed, now);
        }
    }

    /// Waits for the events of a new socket.
    fn enter(&mut self, mut socket: Socket) -> io::Result<()> {
        let key = socket.key;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut socket.stream, token_of(key), both)?;
        if self.sockets.len() <= key.index() {
            self.sockets.resize_with(key.index() + 1, || None);
        }
        self.sockets[key.index()] = Some(socket);
        self.open += 1;
        Ok(())
    }

    /// Something happened to a socket that was not connected yet.
    pub(super) fn on_connecting(&mut self, conn: ConnKey, event: &Event, now: Now) {
        let Some(socket) = find(&mut self.sockets, conn) else { return };
        match socket.stream.connected() {
            Ok(false) => {}
            Ok(true) => {
                socket.connecting = false;
                self.relay.handle_input(conn, Input::Connected, now);
                if event.is_readable() || event.is_read_closed() {
                    self.read_after(conn, event, now);
                }
            }
            Err(error) => {
                self.relay.handle_input(conn, Input::ConnectFailed(error.kind()), now);
                self.drop_socket(conn);
            }
        }
    }
}

pub(super) fn connections_max(configured: Option<usize>) -> usize {
    let (soft, _) = rlimit::Resource::NOFILE.get().unwrap_or((1024, 1024));
    let possible = usize::try_from(soft.saturating_sub(RESERVED_DESCRIPTORS).max(1));
    let possible = possible.unwrap_or(usize::MAX);
    configured.map_or(possible, |configured| configured.min(possible))
}

/// An error of one connection that was about to be accepted, not of the listener.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}
