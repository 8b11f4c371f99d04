//! What signals ask for: reading the settings anew, and stopping in good order.

#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
#[cfg(target_os = "linux")]
use std::os::unix::ffi::OsStrExt;
#[cfg(target_os = "linux")]
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::{env, io};

use sd_notify::NotifyState;

use super::reload::no_thread;
use super::signals::Signal;
use super::{Reactor, Reloaded, Turn};
use crate::clock::Now;
use crate::relay::{Command, ConnKey};

/// Everything that is to be done when the daemon stops is done within this time, milliseconds.
const STOP_MS: u64 = 4500;

impl Reactor {
    /// Whether nothing is left that would be worth waiting for.
    pub(super) fn is_done(&self) -> bool {
        self.open == 0 && !self.relay.state().has_output && self.passthrough.is_done()
    }

    pub(super) fn on_signals(&mut self, now: Now) -> Turn {
        let asked: Vec<Signal> = self.signals.pending().collect();
        for signal in asked {
            match signal {
                Signal::Reload => self.begin_reload(now),
                Signal::Count => self.log_counters(now),
                Signal::Stop if self.stop_at_ms.is_some() => return Turn::Leave,
                Signal::Stop => {
                    log::info!("event=stop cause=signal");
                    self.stop(now);
                }
            }
        }
        Turn::GoOn
    }

    /// Has the settings read, now or when the reading that is going on has ended.
    fn begin_reload(&mut self, now: Now) {
        if self.reload.note_again() {
            return;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(time) => notify_systemd(&[NotifyState::Reloading, time]),
            Err(error) => log::debug!("event=sd_notify error={error}"),
        }
        if let Err(error) = self.reload.begin() {
            self.take_settings(Err(no_thread(&error)), now);
        }
    }

    /// Takes the settings that were read, if they are.
    pub(super) fn finish_reload(&mut self, now: Now) {
        let Some((outcome, again)) = self.reload.finished() else { return };
        self.take_settings(outcome, now);
        if again && self.stop_at_ms.is_none() {
            self.begin_reload(now);
        }
    }

    fn take_settings(&mut self, outcome: Reloaded, now: Now) {
        match outcome {
            _ if self.stop_at_ms.is_some() => return,
            Ok((options, stores)) => {
                self.relay.command(Command::Reload(&options, stores), now);
                log::info!("event=reload");
            }
            Err(why) => log::error!("event=reload_refused kept=\"the old settings\" cause={why:?}"),
        }
        notify_systemd(&[NotifyState::Ready]);
    }

    pub(super) fn stop(&mut self, now: Now) {
        if self.stop_at_ms.is_some() {
            return;
        }
        notify_systemd(&[NotifyState::Stopping]);
        self.stop_at_ms = Some(now.mono_ms + STOP_MS);
        self.relay.command(Command::AnnounceShutdown, now);
        self.take_what_arrived(now);
        self.listeners.clear();
        self.accept_pending = None;
        self.relay.command(Command::Shutdown, now);
    }

    /// Accepts and reads what was sent to a daemon that served: it must not be thrown away with the
    /// sockets.
    fn take_what_arrived(&mut self, now: Now) {
        self.accept_pending = Some(0);
        while self.accept_pending == Some(0) {
            self.accept(now);
        }
        self.admit_waiting(now);
        let keys: Vec<ConnKey> = self.sockets.iter().flatten().map(|socket| socket.key).collect();
        for conn in keys {
            self.read(conn, now);
        }
    }
}

/// Does nothing where systemd did not start us. Waits for nobody: what a service manager that reads
/// nothing has no room for is lost to it.
pub(super) fn notify_systemd(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        log::debug!("event=sd_notify error={error}");
    }
}

/// Tells the service manager, if there is one (`NOTIFY_SOCKET`; sd_notify(3)). As
/// `sd_notify::notify`, which would wait, and knows no abstract sockets.
///
/// # Errors
/// The system's: nobody listens there, or takes no more.
pub fn notify(states: &[NotifyState<'_>]) -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
    #[cfg(target_os = "linux")]
    if let Some(name) = path.as_bytes().strip_prefix(b"@") {
        let address = SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(lines.as_bytes(), &address).map(drop);
    }
    socket.send_to(lines.as_bytes(), path).map(drop)
}
