//! Reload: the settings, read anew on a thread, since a disk may be slow and names in them are
//! looked up. The loop starts the thread, is woken by it, and takes the settings; it never waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use mio::Waker;
use sd_notify::NotifyState;

use super::options::{Certificate, Trust};
use super::service_manager;
use super::traffic::Traffic;
use crate::clock::Now;
use crate::figures::SettingsFigures;
use crate::hub::options::StoreOptions;
use crate::relay::{self, Command};
use crate::store::StoreId;

/// What SIGHUP asks for: the settings, read anew; or why they cannot be had.
pub type Reloaded = Result<ReloadedOptions, String>;

/// Settings that may change while the daemon runs.
#[derive(Debug)]
pub struct ReloadedOptions {
    /// The relay's.
    pub relay: relay::options::Options,
    /// Those of the stores.
    pub stores: Vec<StoreOptions>,
    /// What TLS clients are shown.
    pub certificate: Option<Certificate>,
    /// The stores that are connected to by TLS, and whom that trusts.
    pub trusts: HashMap<StoreId, Trust>,
}

/// Reads the settings anew.
pub type ReadSettings = dyn Fn() -> Reloaded + Send + Sync;

/// Stack of the thread, bytes: what the thread has that reads the settings at the start. An
/// expression is read by functions that call themselves, as deep as its operators stand in one
/// another.
const STACK_BYTES: usize = 8 << 20;

/// See the module.
pub(super) struct Reload {
    read: Arc<ReadSettings>,
    waker: Arc<Waker>,
    tell: Sender<Reloaded>,
    told: Receiver<Reloaded>,
    state: State,
    pub(super) figures: SettingsFigures,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Reading,
    /// Asked for once more meanwhile: what is being read may be older than that.
    ReadingAgain,
}

impl Reload {
    pub(super) fn new(read: Arc<ReadSettings>, waker: Arc<Waker>) -> Self {
        let (tell, told) = mpsc::channel();
        Self { read, waker, tell, told, state: State::Idle, figures: SettingsFigures::default() }
    }

    /// Has the settings read, now or when the reading that is going on has ended.
    pub(super) fn ask(&mut self) {
        if self.state != State::Idle {
            self.state = State::ReadingAgain;
            return;
        }
        self.state = State::Reading;
        match NotifyState::monotonic_usec_now() {
            Ok(time) => service_manager::tell(&[NotifyState::Reloading, time]),
            Err(error) => log::debug!("event=sd_notify error={error}"),
        }
        let (read, waker, tell) = (self.read.clone(), self.waker.clone(), self.tell.clone());
        let thread = thread::Builder::new().name("reload".to_owned()).stack_size(STACK_BYTES);
        let thread = thread.spawn(move || {
            // The loop may have ended.
            let _ = tell.send(read());
            let _ = waker.wake();
        });
        if let Err(error) = thread {
            let why = format!("cannot start a thread to read them: {error}");
            // Told as if the thread had: in the next turn.
            let _ = self.tell.send(Err(why));
            let _ = self.waker.wake();
        }
    }

    /// Takes the settings that were read, if the reading has ended. Also where they are asked for
    /// once more: settings that are asked for again and again are still taken.
    pub(super) fn finish(&mut self, traffic: &mut Traffic, now: Now) {
        match self.told.try_recv() {
            Ok(Ok(ReloadedOptions { relay, stores, certificate, trusts })) => {
                traffic.sockets.handshakes.certificate = certificate;
                traffic.sockets.trusts = trusts;
                traffic.relay.command(Command::Reload(&relay, stores), now);
                let reloaded_at_s = Some(now.unix_s);
                self.figures = SettingsFigures { is_refused: false, reloaded_at_s };
                log::info!("event=reload");
            }
            Ok(Err(why)) => {
                self.figures.is_refused = true;
                log::error!("event=reload_refused kept=\"the old settings\" cause={why:?}");
            }
            Err(_) => return,
        }
        service_manager::tell(&[NotifyState::Ready]);
        if std::mem::replace(&mut self.state, State::Idle) == State::ReadingAgain {
            self.ask();
        }
    }
}
