//! Acceptor: the listeners, and the newcomer that waits while there are as many connections as
//! there may be. Decides who is admitted and who makes room; moves no bytes.

use std::io::{self, ErrorKind};

use mio::Registry;

use super::error::StartError;
use super::listen::Listener;
use super::options::{LISTENERS_MAX, Listen, Options, TlsOptions};
use super::socket::Socket;
use super::stream::Stream;
use super::tokens;
use super::traffic::Traffic;
use crate::clock::Now;
use crate::rate_limit::RateLimit;
use crate::relay::{Arrival, Input};

/// Connections accepted from one listener before others have their turn: 0.3 ms.
const ACCEPTS_PER_TURN: usize = 16;

/// How long accepting pauses when no more connections can be had, unless one is closed before.
const ACCEPT_PAUSE_MS: u64 = 100;

/// A client that has sent nothing for so long makes room for others, milliseconds. The second value
/// is for the time after accepting has paused for a second: whatever a client had to send at once
/// has come by then.
const SILENT_MS: u64 = 1000;
const SILENT_LONG_PAUSED_MS: u64 = 100;

/// How often the loop looks whether the newcomer that waits has sent something, milliseconds; after
/// a long pause it looks once.
const LOOK_AGAIN_MS: u64 = 5;

/// After a long pause so many silent clients make room as fast as newcomers that say nothing are
/// let go.
const SILENT_ENOUGH: usize = (SILENT_LONG_PAUSED_MS / LOOK_AGAIN_MS) as usize;

/// How many clients may be left alone, since each has asked again, before a newcomer waits.
const UNREAD_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Acceptor {
    listeners: Vec<Listener>,
    /// The listener to accept from first.
    first: usize,
    /// One connection accepted beyond the limit; it waits for a slot, so a slot is freed only for a
    /// client that exists.
    waiting: Option<Newcomer>,
    /// Listeners may have connections that no event will tell of; not before this time.
    pending_ms: Option<u64>,
    /// Since when connections wait to be accepted because accepting has paused, milliseconds.
    paused_since_ms: Option<u64>,
    tls: Option<TlsOptions>,
    warnings: RateLimit,
    /// Connections that were admitted since the start.
    pub(super) accepted: u64,
    /// How often accepting has paused at a limit since the start.
    pub(super) pauses: u64,
}

/// A connection that was accepted and is not admitted yet.
#[derive(Debug)]
struct Newcomer {
    stream: Stream,
    arrival: Arrival,
    accepted_ms: u64,
}

impl Acceptor {
    /// Listens: at the sockets that systemd handed over; without, at each of these addresses.
    pub(super) fn start(options: &Options, registry: &Registry) -> Result<Self, StartError> {
        let system = |what| move |error| StartError::System { what, error };
        let mut listeners =
            Listener::from_environment().map_err(system("cannot use the sockets of systemd"))?;
        if listeners.is_empty() {
            listeners = options.listen.iter().map(Listener::bind).collect::<Result<_, _>>()?;
        }
        if listeners.len() > LISTENERS_MAX {
            let error = io::Error::other(format!("more than {LISTENERS_MAX} sockets"));
            return Err(StartError::System { what: "cannot listen", error });
        }
        for (index, listener) in listeners.iter_mut().enumerate() {
            listener
                .register(registry, tokens::of_listener(index))
                .map_err(system("cannot wait for connections"))?;
        }
        Ok(Self { listeners, tls: options.tls.clone(), ..Self::default() })
    }

    /// A listener has connections.
    pub(super) fn on_event(&mut self) {
        self.pending_ms = Some(0);
    }

    /// A connection was closed: goes on at once where accepting has paused.
    pub(super) fn on_room(&mut self) {
        if self.pending_ms.is_some() {
            self.pending_ms = Some(0);
        }
    }

    /// Accepts what is there, if it is time to; each listener has its turn.
    pub(super) fn accept(&mut self, traffic: &mut Traffic, now: Now) {
        if self.pending_ms.is_none_or(|at| at > now.mono_ms) {
            return;
        }
        self.pending_ms = None;
        if let Some(newcomer) = self.waiting.take()
            && !self.admit_or_keep(newcomer, traffic, now)
        {
            return;
        }
        let listeners = self.listeners.len();
        for turn in 0..listeners {
            let index = (self.first + turn) % listeners;
            if !self.accept_from(index, traffic, now) {
                // So that many clients at one listener do not take every place that becomes free.
                self.first = index + 1;
                return;
            }
        }
        if self.pending_ms.is_none() {
            self.paused_since_ms = None;
        }
    }

    /// Accepts for the last time: everything that is there, the newcomer that waits too.
    pub(super) fn stop(&mut self, traffic: &mut Traffic, now: Now) {
        self.pending_ms = Some(0);
        while self.pending_ms == Some(0) {
            self.accept(traffic, now);
        }
        if let Some(newcomer) = self.waiting.take() {
            self.admit(newcomer, traffic, now);
        }
        self.listeners.clear();
        self.pending_ms = None;
    }

    /// Accepts from one listener; gives whether there may be room for more, from others.
    fn accept_from(&mut self, index: usize, traffic: &mut Traffic, now: Now) -> bool {
        for _ in 0..ACCEPTS_PER_TURN {
            match self.next_newcomer(index, now) {
                Ok(newcomer) => {
                    if !self.admit_or_keep(newcomer, traffic, now) {
                        return false;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if is_transient(&error) => {}
                Err(error) => {
                    // Perhaps no client waits; but nothing else goes on without one free
                    // descriptor.
                    self.make_room(true, traffic, now);
                    self.pause(&error.to_string(), traffic.sockets.table.open(), now);
                    return false;
                }
            }
        }
        self.pending_ms = Some(0);
        true
    }

    fn next_newcomer(&self, listener: usize, now: Now) -> io::Result<Newcomer> {
        let listener = &self.listeners[listener];
        let (stream, peer) = listener.accept()?;
        let local = listener.local();
        let arrival = Arrival {
            peer,
            loopback_port: local.loopback_port(),
            only_secure: !self.serves_plain(local),
            secure: false,
        };
        Ok(Newcomer { stream, arrival, accepted_ms: now.mono_ms })
    }

    /// Admits a newcomer, or keeps it until there is room; gives whether another one may be
    /// accepted. A newcomer that sends nothing for too long is let go.
    fn admit_or_keep(&mut self, newcomer: Newcomer, traffic: &mut Traffic, now: Now) -> bool {
        let has_spoken = traffic.sockets.table.has_room() || newcomer.stream.has_spoken();
        let mut silent = 0;
        if !traffic.sockets.table.has_room() {
            silent = self.make_room(has_spoken, traffic, now);
        }
        if traffic.sockets.table.has_room() {
            self.admit(newcomer, traffic, now);
            return true;
        }
        // It may speak at any moment; but would keep all others out if it never did.
        let silent_ms = if self.is_long_paused(now) && silent < SILENT_ENOUGH {
            LOOK_AGAIN_MS
        } else {
            SILENT_MS
        };
        let is_silent = !has_spoken && now.mono_ms >= newcomer.accepted_ms + silent_ms;
        if has_spoken || is_silent {
            let cause = "limits.connections or the limit of open files";
            self.pause(cause, traffic.sockets.table.open(), now);
        } else {
            self.paused_since_ms.get_or_insert(now.mono_ms);
            self.pending_ms = Some(now.mono_ms + LOOK_AGAIN_MS);
        }
        if is_silent {
            return true;
        }
        self.waiting = Some(newcomer);
        false
    }

    fn admit(&mut self, newcomer: Newcomer, traffic: &mut Traffic, now: Now) {
        self.accepted += 1;
        let conn = traffic.relay.accept(newcomer.arrival, now);
        if traffic
            .sockets
            .enter(Socket::accepted(conn, newcomer.stream, self.tls.is_some()))
            .is_err()
        {
            traffic.relay.handle_input(conn, Input::Closed, now);
        }
    }

    /// Closes another connection, if one can be spared; gives how many clients that have sent
    /// nothing may make room later. `has_spoken`: the newcomer has sent something.
    fn make_room(&mut self, has_spoken: bool, traffic: &mut Traffic, now: Now) -> usize {
        let silent_ms = if self.is_long_paused(now) { SILENT_LONG_PAUSED_MS } else { SILENT_MS };
        let mut silent = 0;
        for _ in 0..UNREAD_MAX {
            let spare = traffic.relay.spare(silent_ms, has_spoken, now);
            silent = spare.silent;
            let Some(conn) = spare.conn else { break };
            if !traffic.sockets.table.is_unread(conn) {
                traffic.relay.handle_input(conn, Input::Evicted, now);
                traffic.carry_out_answers(now);
                traffic.sockets.free_gone(&mut traffic.relay, now);
                break;
            }
            traffic.relay.handle_input(conn, Input::Unread, now);
        }
        silent
    }

    /// Whether newcomers wait, as there is no room for more.
    pub(super) fn is_paused(&self) -> bool {
        self.paused_since_ms.is_some()
    }

    /// Whether others have waited for a second to be accepted.
    fn is_long_paused(&self, now: Now) -> bool {
        self.paused_since_ms.is_some_and(|since| now.mono_ms >= since + SILENT_MS)
    }

    /// Goes on when a connection closes, or one that is idle can make room.
    fn pause(&mut self, cause: &str, open: usize, now: Now) {
        self.pauses += 1;
        self.paused_since_ms.get_or_insert(now.mono_ms);
        self.pending_ms = Some(now.mono_ms + ACCEPT_PAUSE_MS);
        if let Some(times) = self.warnings.note(now.mono_ms) {
            log::warn!("event=accept_paused connections={open} times={times} cause={cause:?}");
        }
    }

    fn serves_plain(&self, local: &Listen) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.serves_plain(local))
    }

    /// Where it listens and how it is spoken to, as in the readiness lines: the real addresses,
    /// where port 0 was asked for too.
    pub(super) fn listening(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for listener in &self.listeners {
            let local = listener.local();
            match local {
                Listen::Tcp(address) => {
                    lines.extend(self.serves_plain(local).then(|| local.to_string()));
                    lines.extend(self.tls.as_ref().map(|_| format!("https://{address}")));
                }
                Listen::Unix(_) => lines.push(local.to_string()),
            }
        }
        lines
    }

    /// When [`Acceptor::accept`] has something to do, milliseconds.
    pub(super) fn due(&self) -> Option<u64> {
        self.pending_ms
    }
}

/// An error of one connection that was about to be accepted, not of the listener.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}
