//! The loop: moves bytes between sockets and the relay, in turns. The only owner of sockets,
//! signals and threads; knows nothing of what the bytes mean.
//!
//! One turn: wait for events; read the clock once; accept, read and flush where the events say;
//! let the relay do what is due; send what it has to send, up to a bound, so that a fan-out to
//! thousands leaves room for others; close what is to be closed.
//!
//! A socket is registered once, for both directions, edge-triggered. So: a read that fills the
//! whole buffer is repeated, a shorter one has drained the socket, except where the peer has ended
//! (then one more read finds the end); a refused write waits for the next writable edge, and
//! nothing is armed for it. This holds on Linux (epoll), macOS and the BSDs (kqueue).

pub mod error;
pub mod holder;
pub mod listener;
pub mod options;
pub mod passthrough;
pub mod signals;
mod socket;
pub mod stdin;

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token, Waker};
use sd_notify::NotifyState;

pub use self::error::StartError;

use self::listener::{Listener, Stream};
use self::options::{Listen, Options};
use self::passthrough::Passthrough;
use self::signals::{Signal, Signals};
use self::socket::{Sent, Socket};
use crate::clock::{Clock, Now};
use crate::hub::options::StoreOptions;
use crate::relay::options::UpstreamAddress;
use crate::relay::{ConnKey, Output, Relay};
use crate::warnings::RateLimit;
use crate::{hub, relay};

/// Tokens from here on are not connections'.
const SIGNALS: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
const FIRST_LISTENER: usize = usize::MAX - 2;
const LISTENERS_MAX: usize = 64;

/// Events taken from the system at once.
const EVENTS_PER_TURN: usize = 1024;

/// Outputs of fan-outs that are carried out before events are looked at again: about a
/// millisecond of deliveries.
const OUTPUTS_PER_TURN: usize = 192;

/// Connections accepted from one listener before others have their turn.
const ACCEPTS_PER_TURN: usize = 256;

/// Idle connections closed at once when there are too many.
const SHED_AT_ONCE: usize = 64;

/// Bytes read from one connection before others have their turn; the size of the one buffer that
/// all connections are read into.
const READ_BYTES: usize = 64 << 10;

/// How long accepting pauses when the system is out of descriptors, unless one is closed before.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Of `accept_pending`: not before a connection closes.
const NEVER: u64 = u64::MAX;

/// Everything that is to be done when the daemon stops is done within this time, milliseconds.
const STOP_MS: u64 = 4500;

/// How often the stopping daemon looks whether its last notices are sent, milliseconds: the worker
/// wakes nobody.
const NOTICES_MS: u64 = 10;

/// Descriptors that are not for connections: standard streams, epoll, listeners, the passthrough
/// connection, a reserve.
const RESERVED_DESCRIPTORS: u64 = 32;

/// What SIGHUP asks for: the settings, read anew.
pub type Reloaded = Result<(relay::options::Options, Vec<StoreOptions>), String>;

/// See the module.
#[derive(Debug)]
pub struct Reactor {
    poll: Poll,
    clock: Clock,
    relay: Relay,
    listeners: Vec<Listener>,
    listening: Vec<Listen>,
    /// Beside the relay's table of connections: the same index.
    sockets: Vec<Option<Socket>>,
    open: usize,
    connections_max: usize,
    /// Listeners may have connections that no edge will tell of; not before this time.
    accept_pending: Option<u64>,
    scratch: Box<[u8]>,
    /// Sockets that were read and may have more: each once, to be read in the next turn.
    again: Vec<ConnKey>,
    /// Sockets to be closed at the end of the turn: until then their slots are not used anew.
    gone: Vec<ConnKey>,
    passthrough: Passthrough,
    signals: Signals,
    stdin_ended: Arc<AtomicBool>,
    /// Held so that the thread that watches standard input can wake the loop.
    _waker: Arc<Waker>,
    /// When to leave, whatever is still to be done.
    stop_at_ms: Option<u64>,
    out_of_descriptors: RateLimit,
}

impl Reactor {
    /// Opens everything. From here on connections are accepted, though not served before
    /// [`Reactor::run`].
    ///
    /// # Errors
    /// [`StartError`], which says what to do.
    pub fn start(
        options: Options,
        relay: relay::options::Options,
        hub: hub::options::Options,
    ) -> Result<Self, StartError> {
        let system = |what| move |error| StartError::System { what, error };
        let poll = Poll::new().map_err(system("cannot wait for events"))?;
        let registry = poll.registry();
        let waker = Waker::new(registry, WAKER).map_err(system("cannot wait for events"))?;
        let waker = Arc::new(waker);
        let mut signals = Signals::catch().map_err(system("cannot catch signals"))?;
        registry
            .register(&mut signals, SIGNALS, Interest::READABLE)
            .map_err(system("cannot catch signals"))?;
        let mut listeners =
            Listener::from_environment().map_err(system("cannot use the sockets of systemd"))?;
        if listeners.is_empty() {
            for listen in &options.listen {
                listeners.push(Listener::bind(listen)?);
            }
        }
        listeners.truncate(LISTENERS_MAX);
        for (index, listener) in listeners.iter_mut().enumerate() {
            let token = Token(FIRST_LISTENER - index);
            registry
                .register(listener, token, Interest::READABLE)
                .map_err(system("cannot wait for connections"))?;
        }
        let stdin_ended = Arc::new(AtomicBool::new(false));
        if options.exit_on_stdin_eof {
            let (ended, waker) = (Arc::clone(&stdin_ended), Arc::clone(&waker));
            stdin::watch_stdin(move || {
                ended.store(true, Ordering::Release);
                // Without the wake the loop would notice at its next event.
                let _ = waker.wake();
            })
            .map_err(system("cannot watch standard input"))?;
        }
        let clock = Clock::start();
        Ok(Self {
            poll,
            clock,
            relay: Relay::new(&relay, hub, clock.now()),
            listening: listeners.iter().map(|listener| listener.local().clone()).collect(),
            listeners,
            sockets: Vec::new(),
            open: 0,
            connections_max: connections_max(options.connections),
            accept_pending: None,
            scratch: vec![0; READ_BYTES].into(),
            again: Vec::new(),
            gone: Vec::new(),
            passthrough: Passthrough::new(options.passthrough_queue),
            signals,
            stdin_ended,
            _waker: waker,
            stop_at_ms: None,
            out_of_descriptors: RateLimit::new(60_000),
        })
    }

    /// The real addresses, where port 0 was asked for too.
    #[must_use]
    pub fn listening(&self) -> &[Listen] {
        &self.listening
    }

    /// Serves until a signal or the end of standard input says stop.
    ///
    /// # Errors
    /// The system's, where the loop cannot go on.
    pub fn run(&mut self, reload: &mut dyn FnMut() -> Reloaded) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        loop {
            match self.poll.poll(&mut events, self.wait()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
                Err(error) => return Err(error),
            }
            let now = self.clock.now();
            if self.turn(&events, now, reload) == Turn::Leave {
                break;
            }
        }
        // The loop has waited for its last notices; a second signal may have ended that.
        std::mem::replace(&mut self.passthrough, Passthrough::new(0)).finish(Duration::ZERO);
        Ok(())
    }

    /// How long nothing is to be done but for events.
    fn wait(&self) -> Option<Duration> {
        if self.relay.has_output() || !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let due = [self.relay.poll_timeout(), self.accept_pending, self.stop_at_ms];
        let due = due.into_iter().flatten().filter(|due| *due != NEVER).min()?;
        let mut wait_ms = due.saturating_sub(self.clock.now().mono_ms);
        if self.stop_at_ms.is_some() && self.open == 0 {
            wait_ms = wait_ms.min(NOTICES_MS);
        }
        Some(Duration::from_millis(wait_ms))
    }

    fn turn(&mut self, events: &Events, now: Now, reload: &mut dyn FnMut() -> Reloaded) -> Turn {
        for conn in std::mem::take(&mut self.again) {
            if let Some(socket) = find(&mut self.sockets, conn) {
                socket.queued = false;
                self.read(conn, now);
            }
        }
        for event in events {
            match event.token() {
                SIGNALS => {
                    if self.on_signals(now, reload) == Turn::Leave {
                        return Turn::Leave;
                    }
                }
                WAKER => {}
                Token(token) if token > FIRST_LISTENER - LISTENERS_MAX => {
                    self.accept_pending = Some(0);
                }
                token => self.on_event(token, event, now),
            }
        }
        if self.stdin_ended.swap(false, Ordering::Acquire) {
            log::info!("event=stop cause=\"standard input ended\"");
            self.stop(now);
        }
        self.relay.handle_timeout(now);
        // First whatever the events of this turn have caused, which they bound; so of a stream no
        // more waits here than was read in one turn.
        while let Some(output) = self.relay.poll_answer() {
            self.carry_out(output, now);
        }
        for _ in 0..OUTPUTS_PER_TURN {
            let Some(output) = self.relay.poll_output(now) else { break };
            self.carry_out(output, now);
        }
        self.free_gone(now);
        if self.accept_pending.is_some_and(|at| at <= now.mono_ms) {
            self.accept(now);
        }
        match self.stop_at_ms {
            Some(at) if self.is_done() || at <= now.mono_ms => Turn::Leave,
            _ => Turn::GoOn,
        }
    }

    /// Whether nothing is left that would be worth waiting for.
    fn is_done(&self) -> bool {
        self.open == 0 && !self.relay.has_output() && self.passthrough.is_done()
    }

    fn on_signals(&mut self, now: Now, reload: &mut dyn FnMut() -> Reloaded) -> Turn {
        let asked: Vec<Signal> = self.signals.pending().collect();
        for signal in asked {
            match signal {
                Signal::Reload => self.reload(now, reload),
                Signal::Stop if self.stop_at_ms.is_some() => return Turn::Leave,
                Signal::Stop => {
                    log::info!("event=stop cause=signal");
                    self.stop(now);
                }
            }
        }
        Turn::GoOn
    }

    fn reload(&mut self, now: Now, reload: &mut dyn FnMut() -> Reloaded) {
        match NotifyState::monotonic_usec_now() {
            Ok(time) => notify_systemd(&[NotifyState::Reloading, time]),
            Err(error) => log::debug!("event=sd_notify error={error}"),
        }
        match reload() {
            Ok((options, stores)) => {
                self.relay.reload(&options, stores, now);
                log::info!("event=reload");
            }
            Err(why) => log::error!("event=reload_refused kept=\"the old settings\" cause={why:?}"),
        }
        notify_systemd(&[NotifyState::Ready]);
    }

    fn stop(&mut self, now: Now) {
        if self.stop_at_ms.is_some() {
            return;
        }
        notify_systemd(&[NotifyState::Stopping]);
        self.stop_at_ms = Some(now.mono_ms + STOP_MS);
        self.relay.announce_shutdown();
        self.take_what_arrived(now);
        self.listeners.clear();
        self.accept_pending = None;
        self.relay.shutdown(now);
    }

    /// Accepts and reads what was sent to a daemon that served: it must not be thrown away with the
    /// sockets.
    fn take_what_arrived(&mut self, now: Now) {
        self.accept_pending = Some(0);
        while self.accept_pending == Some(0) {
            self.accept(now);
        }
        let keys: Vec<ConnKey> = self.sockets.iter().flatten().map(|socket| socket.key).collect();
        for conn in keys {
            self.read(conn, now);
        }
    }

    fn on_event(&mut self, token: Token, event: &Event, now: Now) {
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

    fn read_after(&mut self, conn: ConnKey, event: &Event, now: Now) {
        let Some(socket) = find(&mut self.sockets, conn) else { return };
        socket.ended |= event.is_read_closed() || event.is_error();
        // Otherwise it has had its turn, and would have two in the next.
        if !socket.queued {
            self.read(conn, now);
        }
    }

    /// Reads what came, at most one buffer full.
    fn read(&mut self, conn: ConnKey, now: Now) {
        loop {
            let wanted = self.relay.wants_read(conn);
            let Some(socket) = find(&mut self.sockets, conn) else { return };
            if !wanted {
                socket.unread = true;
                // A client's end lies behind bytes that nobody will read; those of an upstream are
                // still wanted, later.
                if socket.ended && !socket.dialled {
                    self.relay.peer_ended(conn, now);
                }
                return;
            }
            socket.unread = false;
            let ended = socket.ended;
            match socket.stream.read(&mut self.scratch) {
                Ok(0) => return self.relay.peer_ended(conn, now),
                Ok(length) => {
                    self.relay.received(conn, &self.scratch[..length], now);
                    if length == READ_BYTES {
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
    fn read_again(&mut self, conn: ConnKey) {
        if let Some(socket) = find(&mut self.sockets, conn)
            && !socket.queued
        {
            socket.queued = true;
            self.again.push(conn);
        }
    }

    fn flush(&mut self, conn: ConnKey, now: Now) {
        let Some(socket) = find(&mut self.sockets, conn) else { return };
        match socket.flush() {
            Ok(Sent::All) => {
                self.relay.drained(conn, now);
                self.after_sending(conn);
            }
            Ok(Sent::Some { progress: true }) => self.relay.progressed(conn, now),
            Ok(Sent::Some { progress: false }) => {}
            Err(_) => self.broken(conn),
        }
    }

    fn carry_out(&mut self, output: Output, now: Now) {
        match output {
            Output::Send { conn, payload } => {
                let Some(socket) = find(&mut self.sockets, conn) else { return };
                let stalled_before = socket.is_stalled();
                match socket.send(payload) {
                    Ok(Sent::Some { .. }) if !stalled_before => self.relay.stalled(conn, now),
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
            Output::ResumeRead { conn } => {
                if find(&mut self.sockets, conn).is_some_and(|socket| socket.unread) {
                    self.read_again(conn);
                }
            }
            Output::Notify { event, notice } => {
                self.passthrough.notify(event, notice, now.mono_ms);
            }
        }
    }

    /// Closes or shuts a socket that has sent everything, if that was to be done.
    fn after_sending(&mut self, conn: ConnKey) {
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
    fn broken(&mut self, conn: ConnKey) {
        match find(&mut self.sockets, conn) {
            Some(socket) if socket.dialled && !socket.closing => {
                socket.mute();
                socket.ended = true;
                self.read_again(conn);
            }
            _ => self.drop_socket(conn),
        }
    }

    fn drop_socket(&mut self, conn: ConnKey) {
        if let Some(socket) = find(&mut self.sockets, conn) {
            socket.gone = true;
            self.gone.push(conn);
        }
    }

    fn free_gone(&mut self, now: Now) {
        if self.gone.is_empty() {
            return;
        }
        for conn in std::mem::take(&mut self.gone) {
            self.sockets[conn.index()] = None;
            self.open -= 1;
            self.relay.closed(conn, now);
        }
        if self.accept_pending.is_some() {
            self.accept_pending = Some(0);
        }
        if self.open == 0 {
            self.sockets.clear();
            self.sockets.shrink_to(1024);
        }
        debug_assert!(
            self.relay.has_output() || self.open == self.relay.connections(),
            "both tables have the same entries"
        );
    }

    fn accept(&mut self, now: Now) {
        self.accept_pending = None;
        for index in 0..self.listeners.len() {
            for accepted in 0.. {
                if accepted == ACCEPTS_PER_TURN {
                    self.accept_pending = Some(0);
                    break;
                }
                if self.open >= self.connections_max {
                    // Goes on when a connection closes; one that only waits for a next request
                    // can do so now.
                    self.accept_pending = Some(NEVER);
                    self.relay.shed_idle(SHED_AT_ONCE, now);
                    self.warn_full("limits.connections or the limit of open files", now);
                    return;
                }
                match self.listeners[index].accept() {
                    Ok((stream, peer)) => self.welcome(stream, peer, now),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if is_transient(&error) => {}
                    Err(error) => {
                        self.accept_pending = Some(now.mono_ms + ACCEPT_PAUSE_MS);
                        self.warn_full(&error.to_string(), now);
                        return;
                    }
                }
            }
        }
    }

    fn welcome(&mut self, stream: Stream, peer: Option<std::net::IpAddr>, now: Now) {
        let conn = self.relay.accept(peer, now);
        if self.enter(Socket::accepted(conn, stream)).is_err() {
            self.relay.closed(conn, now);
        }
    }

    fn connect(&mut self, conn: ConnKey, to: &UpstreamAddress, now: Now) {
        let entered =
            Stream::connect(to).and_then(|stream| self.enter(Socket::dialled(conn, stream)));
        if let Err(error) = entered {
            self.relay.connect_failed(conn, error.kind(), now);
            self.relay.closed(conn, now);
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
    fn on_connecting(&mut self, conn: ConnKey, event: &Event, now: Now) {
        let Some(socket) = find(&mut self.sockets, conn) else { return };
        match socket.stream.connected() {
            Ok(false) => {}
            Ok(true) => {
                socket.connecting = false;
                self.relay.connected(conn, now);
                if event.is_readable() || event.is_read_closed() {
                    self.read_after(conn, event, now);
                }
            }
            Err(error) => {
                self.relay.connect_failed(conn, error.kind(), now);
                self.drop_socket(conn);
            }
        }
    }

    fn warn_full(&mut self, cause: &str, now: Now) {
        if let Some(times) = self.out_of_descriptors.note(now.mono_ms) {
            let open = self.open;
            log::warn!("event=accept_paused connections={open} times={times} cause={cause:?}");
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    GoOn,
    Leave,
}

/// The socket of a connection, unless it is gone.
fn find(sockets: &mut [Option<Socket>], conn: ConnKey) -> Option<&mut Socket> {
    let socket = sockets.get_mut(conn.index())?.as_mut()?;
    (socket.key == conn && !socket.gone).then_some(socket)
}

/// Where a token has 32 bits it holds the index alone, which is enough, since slots are freed only
/// after all events of a turn.
fn token_of(conn: ConnKey) -> Token {
    Token(conn.to_bits() as usize)
}

fn index(token: Token) -> usize {
    token.0 & 0xffff_ffff
}

/// An error of one connection that was about to be accepted, not of the listener.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

fn connections_max(configured: Option<usize>) -> usize {
    let (soft, _) = rlimit::Resource::NOFILE.get().unwrap_or((1024, 1024));
    let possible = usize::try_from(soft.saturating_sub(RESERVED_DESCRIPTORS).max(1));
    let possible = possible.unwrap_or(usize::MAX);
    configured.map_or(possible, |configured| configured.min(possible))
}

/// Does nothing where systemd did not start us.
fn notify_systemd(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("event=sd_notify error={error}");
    }
}
