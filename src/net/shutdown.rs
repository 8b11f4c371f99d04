//! Shutdown: stopping in good order, within a fixed time. Knows whether the daemon stops and when
//! it leaves; never waits.

use sd_notify::NotifyState;

use super::acceptor::Acceptor;
use super::service_manager;
use super::traffic::Traffic;
use crate::clock::Now;
use crate::relay::Command;

/// Everything that is to be done when the daemon stops is done within this time, milliseconds.
const STOP_MS: u64 = 4500;

/// How often the stopping daemon looks whether its last notices are sent, milliseconds: the worker
/// does not wake the loop.
const NOTICES_MS: u64 = 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Shutdown {
    /// When to leave, whatever is still to be done.
    at_ms: Option<u64>,
}

impl Shutdown {
    /// Begins to stop, once. What was sent to a daemon that served is read and answered first: it
    /// must not be thrown away with the sockets.
    pub(super) fn begin(&mut self, acceptor: &mut Acceptor, traffic: &mut Traffic, now: Now) {
        if self.is_begun() {
            return;
        }
        service_manager::tell(&[NotifyState::Stopping]);
        self.at_ms = Some(now.mono_ms + STOP_MS);
        traffic.relay.command(Command::AnnounceShutdown, now);
        acceptor.stop(traffic, now);
        traffic.sockets.read_all(&mut traffic.relay, now);
        traffic.relay.command(Command::Shutdown, now);
    }

    pub(super) fn is_begun(&self) -> bool {
        self.at_ms.is_some()
    }

    /// Whether it is time to leave: all is done, or time is up. Has the stores' files closed when
    /// nobody is left who could have something written.
    pub(super) fn is_over(&self, traffic: &mut Traffic, now: Now) -> bool {
        self.at_ms.is_some_and(|at_ms| {
            let is_done = traffic.is_unused() && !traffic.relay.state().has_output();
            if is_done && !traffic.persist.is_writing() {
                traffic.persist.close();
                traffic.take_written(now);
            }
            let is_written = traffic.persist.is_closed();
            is_done && is_written && traffic.passthrough.is_done() || at_ms <= now.mono_ms
        })
    }

    /// When [`Shutdown::is_over`] is to be asked again, milliseconds.
    pub(super) fn due(&self, traffic: &Traffic, now: Now) -> Option<u64> {
        let look_ms = if traffic.is_unused() { now.mono_ms + NOTICES_MS } else { u64::MAX };
        self.at_ms.map(|at_ms| at_ms.min(look_ms))
    }
}
