//! Reads the settings anew, on a thread: a disk may be slow, and names in them are looked up. The
//! loop starts it, is woken, and takes what came of it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use mio::Waker;

use crate::hub::options::StoreOptions;
use crate::relay;

/// What SIGHUP asks for: the settings, read anew; or why they cannot be had.
pub type Reloaded = Result<(relay::options::Options, Vec<StoreOptions>), String>;

/// Reads the settings anew.
pub type ReadSettings = dyn Fn() -> Reloaded + Send + Sync;

/// See the module.
pub(super) struct Reload {
    read: Arc<ReadSettings>,
    waker: Arc<Waker>,
    tell: Sender<Reloaded>,
    told: Receiver<Reloaded>,
    state: State,
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
        Self { read, waker, tell, told, state: State::Idle }
    }

    /// Notes that the settings are asked for while they are being read; gives whether they are.
    pub(super) fn note_again(&mut self) -> bool {
        if self.state == State::Idle {
            return false;
        }
        self.state = State::ReadingAgain;
        true
    }

    /// Begins to read. To be asked first: [`Reload::note_again`].
    ///
    /// # Errors
    /// No thread can be had.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        let (read, waker, tell) = (self.read.clone(), self.waker.clone(), self.tell.clone());
        thread::Builder::new().name("reload".to_owned()).spawn(move || {
            // The loop may have ended.
            let _ = tell.send(read());
            let _ = waker.wake();
        })?;
        self.state = State::Reading;
        Ok(())
    }

    /// What was read, if the reading has ended, and whether it was asked for once more meanwhile.
    /// Both are to be done: settings that are asked for again and again are still taken.
    pub(super) fn finished(&mut self) -> Option<(Reloaded, bool)> {
        let outcome = self.told.try_recv().ok()?;
        let before = std::mem::replace(&mut self.state, State::Idle);
        Some((outcome, before == State::ReadingAgain))
    }
}

/// Why the settings could not be read.
pub(super) fn no_thread(error: &io::Error) -> String {
    format!("cannot start a thread to read them: {error}")
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").field("state", &self.state).finish_non_exhaustive()
    }
}
