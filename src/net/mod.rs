//! The loop: moves bytes between sockets and the relay, in turns. The only owner of sockets,
//! signals and threads; knows nothing of what the bytes mean.
//!
//! One turn, in this order; a network that a test invents keeps to it:
//!
//! 1. Wait for events, and read the clock, once.
//! 2. Read what was left over: of large fan-outs, then sockets that had more than one buffer.
//! 3. For each event: flush, then read at most one buffer of [`READ_BYTES`].
//! 4. Carry out every output that is no fan-out's (`Relay::poll_answer`).
//! 5. Let the relay do what is due (`Relay::handle_timeout`), and carry out the same again.
//! 6. Carry out at most [`OUTPUTS_PER_TURN`] further outputs (`Relay::poll_output`), so that a
//!    fan-out to thousands leaves room for others.
//! 7. Close what is to be closed (`Input::Closed`), then accept.
//!
//! A socket is registered once, for both directions, edge-triggered. So: a read that fills the
//! whole buffer is repeated, a shorter one has drained the socket, except where the peer has ended
//! (then one more read finds the end); a refused write waits for the next writable edge, and
//! nothing is armed for it. This holds on Linux (epoll), macOS and the BSDs (kqueue).

mod acceptor;
mod error;
mod listen;
mod memory_return;
pub mod options;
pub mod pace;
mod reload;
mod shutdown;
mod signals;
mod socket;
mod sockets;
pub mod stdin;
mod stream;
mod watchdog;
mod worker;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};

pub use self::error::StartError;
pub use self::reload::{ReadSettings, Reloaded};
pub use self::shutdown::notify;
pub use self::worker::is_url;

use self::acceptor::{Newcomer, connections_max};
use self::listen::Listener;
use self::memory_return::MemoryReturn;
use self::options::{LISTENERS_MAX, Listen, Options};
use self::pace::{EVENTS_PER_TURN, OUTPUTS_PER_TURN, READ_BYTES};
use self::reload::Reload;
use self::signals::Signals;
use self::socket::Socket;
use self::watchdog::Watchdog;
use self::worker::passthrough::Passthrough;
use crate::clock::{Clock, Now};
use crate::rate_limit::RateLimit;
use crate::relay::{ConnKey, Relay, Wanted};
use crate::{hub, relay};

/// Tokens from here on are not connections'.
const SIGNALS: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
const FIRST_LISTENER: usize = usize::MAX - 2;

/// How often the stopping daemon looks whether its last notices are sent, milliseconds: the worker
/// wakes nobody.
const NOTICES_MS: u64 = 10;

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
    /// Accepted, though there are as many as there may be: so nobody makes room but for who is
    /// really there.
    waiting: Option<Newcomer>,
    /// Since when connections wait to be accepted because accepting has paused, milliseconds.
    crowded_since_ms: Option<u64>,
    /// Whose turn it is to be accepted from first.
    first_listener: usize,
    scratch: Box<[u8]>,
    /// Sockets that were read and may have more: each once, to be read in the next turn.
    again: Vec<ConnKey>,
    /// Sockets of crowds that can be read, which has time until all are served: else the last of ten
    /// thousand would wait for the next poll of all others, and so would everybody else.
    later: VecDeque<ConnKey>,
    /// How many of a crowd are still to be read in this turn.
    crowd_reads_left: usize,
    /// Sockets to be closed at the end of the turn: until then their slots are not used anew.
    gone: Vec<ConnKey>,
    passthrough: Passthrough,
    signals: Signals,
    stdin_ended: Arc<AtomicBool>,
    reload: Reload,
    /// When to leave, whatever is still to be done.
    stop_at_ms: Option<u64>,
    out_of_descriptors: RateLimit,
    memory_return: MemoryReturn,
    watchdog: Watchdog,
}

impl Reactor {
    /// Opens everything. From here on connections are accepted, though not served before
    /// [`Reactor::run`]. `read`: the settings, anew, for SIGHUP; called on a thread of its own.
    ///
    /// # Errors
    /// [`StartError`], which says what to do.
    pub fn start(
        options: Options,
        relay: relay::options::Options,
        hub: hub::options::Options,
        read: Arc<ReadSettings>,
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
        let mut listeners = open_listeners(&options.listen)?;
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
            waiting: None,
            crowded_since_ms: None,
            first_listener: 0,
            scratch: vec![0; READ_BYTES].into(),
            again: Vec::new(),
            later: VecDeque::new(),
            crowd_reads_left: 0,
            gone: Vec::new(),
            passthrough: Passthrough::new(options.passthrough_queue),
            signals,
            stdin_ended,
            reload: Reload::new(read, waker),
            stop_at_ms: None,
            out_of_descriptors: RateLimit::default(),
            memory_return: MemoryReturn::default(),
            watchdog: Watchdog::new(),
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
    pub fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut began = self.clock.now();
        loop {
            // The clock is read once a turn, and once more before a wait.
            let waits =
                !self.relay.state().has_output && self.again.is_empty() && self.later.is_empty();
            let wait = if waits {
                let ended = self.clock.now();
                self.watchdog.turn(began, ended);
                self.wait(ended)
            } else {
                Some(Duration::ZERO)
            };
            match self.poll.poll(&mut events, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
                Err(error) => return Err(error),
            }
            let now = self.clock.now();
            if !waits {
                self.watchdog.turn(began, now);
            }
            began = now;
            if self.turn(&events, now) == Turn::Leave {
                break;
            }
        }
        // The loop has waited for its last notices; a second signal may have ended that.
        std::mem::replace(&mut self.passthrough, Passthrough::new(0)).finish(Duration::ZERO);
        Ok(())
    }

    /// How long nothing is to be done but for events.
    fn wait(&self, now: Now) -> Option<Duration> {
        let due = [self.relay.state().due_ms, self.accept_pending, self.stop_at_ms];
        let own = [self.memory_return.due(), self.watchdog.due()];
        let due = due.into_iter().chain(own).flatten().min()?;
        let mut wait_ms = due.saturating_sub(now.mono_ms);
        if self.stop_at_ms.is_some() && self.open == 0 {
            wait_ms = wait_ms.min(NOTICES_MS);
        }
        Some(Duration::from_millis(wait_ms))
    }

    fn turn(&mut self, events: &Events, now: Now) -> Turn {
        self.read_later(now);
        for conn in std::mem::take(&mut self.again) {
            if let Some(socket) = find(&mut self.sockets, conn) {
                socket.queued = false;
                self.read(conn, now);
            }
        }
        for event in events {
            match event.token() {
                SIGNALS => {
                    if self.on_signals(now) == Turn::Leave {
                        return Turn::Leave;
                    }
                }
                WAKER => self.finish_reload(now),
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
        // First whatever the events of this turn have caused, which they bound; so of a stream no
        // more waits here than was read in one turn, and who stalls is asked for nothing further.
        self.carry_out_answers(now);
        self.relay.handle_timeout(now);
        self.carry_out_answers(now);
        for _ in 0..OUTPUTS_PER_TURN {
            let Some(output) = self.relay.poll_output(Wanted::All, now) else { break };
            self.carry_out(output, now);
        }
        self.free_gone(now);
        self.give_back_memory(now);
        self.watchdog.ping(now);
        if self.accept_pending.is_some_and(|at| at <= now.mono_ms) {
            self.accept(now);
        }
        match self.stop_at_ms {
            Some(at) if self.is_done() || at <= now.mono_ms => Turn::Leave,
            _ => Turn::GoOn,
        }
    }

    fn carry_out_answers(&mut self, now: Now) {
        while let Some(output) = self.relay.poll_output(Wanted::Answers, now) {
            self.carry_out(output, now);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    GoOn,
    Leave,
}

/// The sockets that systemd handed over; without, one for each of these addresses.
fn open_listeners(listen: &[Listen]) -> Result<Vec<Listener>, StartError> {
    let system = |what| move |error| StartError::System { what, error };
    let mut listeners =
        Listener::from_environment().map_err(system("cannot use the sockets of systemd"))?;
    if listeners.is_empty() {
        listeners = listen.iter().map(Listener::bind).collect::<Result<_, _>>()?;
    }
    if listeners.len() > LISTENERS_MAX {
        let error = io::Error::other(format!("more than {LISTENERS_MAX} sockets"));
        return Err(StartError::System { what: "cannot listen", error });
    }
    Ok(listeners)
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
