//! Reactor: the loop that moves bytes between sockets and the relay, in turns. The only owner of
//! sockets, signals and threads; never looks into the bytes.
//!
//! One turn, in this order, bounded as `pace` says; a network that a test invents keeps the order:
//!
//! 1. Wait for events, and read the clock: what happens in the turn happens at this time.
//! 2. Go on with what was left over: sockets that took as many bytes as one may be given in a turn,
//!    then sockets that had more than one buffer.
//! 3. For each event: flush, then read at most one buffer; without time, in the next turn.
//! 4. Carry out every output that is no fan-out's. What was read bounds them; so of a stream no
//!    more waits here than was read in one turn, and a peer that stalls is asked for nothing
//!    further. Then read next polls of large fan-outs' subscribers.
//! 5. Let the relay do what is due, and carry out the same again.
//! 6. Carry out deliveries, while there is time, so that a fan-out to thousands leaves room for
//!    others; the outputs of one end of a hold are not split.
//! 7. Do a step of a TLS handshake, and carry out what the client asks for behind the last one.
//!    Whoever has asked for the figures is shown them.
//! 8. Close what is to be closed, then accept.
//!
//! A socket is registered once, for both directions, edge-triggered. So: a read that fills the
//! whole buffer is repeated, a shorter one has drained the socket, except where the peer has ended
//! (then one more read finds the end); a refused write waits for the next writable edge, and
//! nothing is armed for it. This holds on Linux (epoll), macOS and the BSDs (kqueue).

mod acceptor;
mod descriptors;
mod error;
mod handshakes;
pub mod health;
mod left_over;
mod listen;
mod memory_return;
pub mod options;
pub mod pace;
mod process;
mod reload;
mod service_manager;
mod shutdown;
mod signals;
mod socket;
mod sockets;
pub mod stdin;
mod stream;
mod table;
mod tls;
mod tokens;
mod traffic;
mod transport;
mod watchdog;
mod worker;

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::{Events, Poll, Waker};
use signal_hook::consts::{SIGHUP, SIGUSR1};
use signal_hook_mio::v1_0::Signals;

pub use self::error::StartError;
pub use self::reload::{ReadSettings, Reloaded, ReloadedOptions};
pub use self::service_manager::notify;
#[cfg(all(feature = "tls", feature = "testing"))]
pub use self::tls::talk;
pub use self::worker::{PersistError, Why, is_url};

use self::acceptor::Acceptor;
use self::memory_return::MemoryReturn;
use self::options::Options;
use self::pace::{EVENTS_PER_TURN, OUTPUTS_AT_ONCE};
use self::process::ProcessFacts;
use self::reload::Reload;
use self::shutdown::Shutdown;
use self::sockets::Sockets;
use self::stdin::StdinWatch;
use self::traffic::Traffic;
use self::watchdog::Watchdog;
use self::worker::passthrough::Passthrough;
use self::worker::persist::Persist;
use self::worker::resolver::Resolver;
use crate::clock::{Clock, LoopClock, Now};
use crate::figures::{Durations, Figures, NetFigures};
use crate::log_targets::{COUNTERS, DROPPED};
use crate::relay::{Command, Relay};
use crate::{hub, relay};

/// See the module.
pub struct Reactor {
    clock: LoopClock,
    traffic: Traffic,
    acceptor: Acceptor,
    signals: Signals,
    stdin: Option<StdinWatch>,
    reload: Reload,
    shutdown: Shutdown,
    memory_return: MemoryReturn,
    watchdog: Watchdog,
    process: ProcessFacts,
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
        let waker = Waker::new(registry, tokens::WAKER);
        let waker = Arc::new(waker.map_err(system("cannot wait for events"))?);
        let clock = Clock::start();
        let now = clock.now();
        let mut relay = Relay::new(&relay, hub, now);
        // Before anybody connects: what is asked then finds what was kept.
        let persist = Persist::start(&options.persist, Arc::clone(&waker), |store, row| {
            relay.restore(store, row, now);
        });
        let persist = persist.map_err(StartError::Persist)?;
        relay.restored(now);
        let signals = signals::catch(registry, tokens::SIGNALS);
        let signals = signals.map_err(system("cannot catch signals"))?;
        let acceptor = Acceptor::start(&options, registry)?;
        let watch = || StdinWatch::start(io::stdin(), Arc::clone(&waker));
        let stdin = options
            .exit_on_stdin_eof
            .then(watch)
            .transpose()
            .map_err(system("cannot watch standard input"))?;
        Ok(Self {
            traffic: Traffic {
                relay,
                clock,
                persist,
                resolver: Resolver::new(Arc::clone(&waker)),
                sockets: Sockets::new(
                    poll,
                    clock,
                    options.connections,
                    options.tls.map(|tls| tls.certificate),
                    options.trusts,
                ),
                passthrough: Passthrough::new(options.passthrough_queue, Arc::clone(&waker)),
                asked: Vec::new(),
                at_hand: Vec::with_capacity(OUTPUTS_AT_ONCE),
            },
            clock: LoopClock::new(clock),
            acceptor,
            signals,
            stdin,
            reload: Reload::new(read, waker),
            shutdown: Shutdown::default(),
            memory_return: MemoryReturn::default(),
            watchdog: Watchdog::new(),
            process: ProcessFacts::new(now),
        })
    }

    /// Where it listens, one readiness line each: the real addresses, where port 0 was asked for
    /// too.
    #[must_use]
    pub fn listening(&self) -> Vec<String> {
        self.acceptor.listening()
    }

    /// Serves until a signal or the end of standard input says stop.
    ///
    /// # Errors
    /// The system's, where the loop cannot go on.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut began = self.clock.now();
        loop {
            // Both clocks are read once a turn, and one of them once more before a wait.
            let waits =
                !self.traffic.relay.state().has_output() && !self.traffic.sockets.has_more();
            let wait = if waits {
                let ended = self.clock.now();
                self.turn_over(began, ended);
                self.wait(ended)
            } else {
                Some(Duration::ZERO)
            };
            self.traffic.sockets.poll(&mut events, wait)?;
            let now = self.clock.now();
            if !waits {
                self.turn_over(began, now);
            }
            began = now;
            if self.turn(&events, now).is_break() {
                break;
            }
        }
        // The loop has waited for its last notices; a second signal may have ended that.
        self.traffic.passthrough.finish(Duration::ZERO);
        Ok(())
    }

    /// How long nothing is to be done but for events.
    fn wait(&self, now: Now) -> Option<Duration> {
        let due = [
            self.traffic.relay.state().due_ms(),
            self.acceptor.due(),
            self.shutdown.due(&self.traffic, now),
            self.memory_return.due(),
            self.watchdog.due(),
        ];
        let due = due.into_iter().flatten().min()?;
        Some(Duration::from_millis(due.saturating_sub(now.mono_ms)))
    }

    /// One turn; a break: it is time to leave.
    fn turn(&mut self, events: &Events, now: Now) -> ControlFlow<()> {
        self.traffic.sockets.go_on(&mut self.traffic.relay, now);
        for event in events {
            match event.token() {
                tokens::SIGNALS => self.on_signals(now)?,
                tokens::WAKER => {
                    self.traffic.take_written(now);
                    self.traffic.take_resolved(now);
                    self.traffic.take_told(now);
                    if !self.shutdown.is_begun() {
                        self.reload.finish(&mut self.traffic, now);
                    }
                }
                token if tokens::is_listener(token) => self.acceptor.on_event(),
                _ => self.traffic.sockets.on_event(event, &mut self.traffic.relay, now),
            }
        }
        if self.stdin.as_ref().is_some_and(StdinWatch::has_ended) {
            log::info!("event=stop cause=\"standard input ended\"");
            self.shutdown.begin(&mut self.acceptor, &mut self.traffic, now);
        }
        let Self { traffic, .. } = self;
        traffic.carry_out_answers(now);
        traffic.read_later(now);
        traffic.carry_out_answers(now);
        traffic.take_reports(now);
        traffic.relay.handle_timeout(now);
        traffic.carry_out_answers(now);
        traffic.write_files(now);
        traffic.carry_out_deliveries(now);
        traffic.sockets.shake_hands(&mut traffic.relay, now);
        traffic.carry_out_answers(now);
        self.show_figures(now);
        let Self { traffic, acceptor, .. } = self;
        if traffic.sockets.free_gone(&mut traffic.relay, now) {
            acceptor.on_room();
        }
        self.memory_return.give_back(traffic, now);
        self.watchdog.ping(now);
        acceptor.accept(traffic, now);
        if self.shutdown.is_over(traffic, now) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// A turn began and ended.
    fn turn_over(&mut self, began: Now, ended: Now) {
        self.watchdog.turn(began, ended);
        self.traffic.relay.turn_over(ended);
    }

    fn on_signals(&mut self, now: Now) -> ControlFlow<()> {
        let asked: Vec<i32> = self.signals.pending().collect();
        for signal in asked {
            match signal {
                SIGHUP => self.reload.ask(),
                SIGUSR1 => {
                    log::info!(target: COUNTERS, "event=counters {}", self.figures(now));
                }
                // SIGTERM or SIGINT: stop in good order; the second time, at once.
                _ if self.shutdown.is_begun() => return ControlFlow::Break(()),
                _ => {
                    log::info!("event=stop cause=signal");
                    self.shutdown.begin(&mut self.acceptor, &mut self.traffic, now);
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Brings the figures to who waits for them.
    fn show_figures(&mut self, now: Now) {
        if self.traffic.asked.is_empty() {
            return;
        }
        let mut figures = self.figures(now);
        figures.process = self.process.now(figures.net.connections);
        let traffic = &mut self.traffic;
        for (conn, exhibit) in traffic.asked.drain(..) {
            let command = Command::Figures { conn, exhibit, figures: &figures };
            traffic.relay.command(command, now);
        }
        traffic.carry_out_answers(now);
    }

    fn figures(&self, now: Now) -> Figures {
        let Self { acceptor, traffic, watchdog, reload, .. } = self;
        let certificate = traffic.sockets.handshakes.certificate.as_ref();
        let net = NetFigures {
            uptime_s: now.since_start_ms() / 1000,
            connections: traffic.sockets.table.open() as u64,
            accepted: acceptor.accepted,
            accept_pauses: acceptor.pauses,
            slow_turns: watchdog.slow_turns,
            longest_turn_ms: watchdog.longest_turn_ms,
            tls_handshakes: traffic.sockets.handshakes.done,
            tls_handshakes_failed: traffic.sockets.handshakes.failed,
            log_lines_dropped: DROPPED.load(Ordering::Relaxed),
        };
        let (passthrough, state) = (traffic.passthrough.figures(), traffic.relay.state());
        Figures {
            net,
            relay: state.figures(),
            hub: state.hub.figures(),
            passthrough,
            stores: traffic
                .persist
                .figures()
                .into_iter()
                .chain(state.hub.store_figures(now))
                .collect(),
            durations: Durations {
                fanout: state.fanouts(),
                turn: watchdog.turns,
                passthrough: traffic.passthrough.durations(),
            },
            process: None,
            settings: reload.figures,
            certificate_ends_s: certificate.map(|certificate| certificate.valid().1),
            is_paused: acceptor.is_paused(),
        }
    }
}
