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
pub type Read = dyn Fn() -> Reloaded + Send + Sync;

/// See the module.
pub(super) struct Reload {
    read: Arc<Read>,
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
    ReadingOld,
}

impl Reload {
    pub(super) fn new(read: Arc<Read>, waker: Arc<Waker>) -> Self {
        let (tell, told) = mpsc::channel();
        Self { read, waker, tell, told, state: State::Idle }
    }

    /// Begins to read, now or when the reading that is going on has ended.
    ///
    /// # Errors
    /// No thread can be had.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        if self.state != State::Idle {
            self.state = State::ReadingOld;
            return Ok(());
        }
        let (read, waker, tell) = (self.read.clone(), self.waker.clone(), self.tell.clone());
        thread::Builder::new().name("reload".to_owned()).spawn(move || {
            // The loop may have ended.
            let _ = tell.send(read());
            let _ = waker.wake();
        })?;
        self.state = State::Reading;
        Ok(())
    }

    /// What was read last, if the reading has ended.
    pub(super) fn finished(&mut self) -> Option<Reloaded> {
        let outcome = self.told.try_recv().ok()?;
        match std::mem::replace(&mut self.state, State::Idle) {
            State::ReadingOld => match self.begin() {
                Ok(()) => None,
                Err(error) => Some(Err(no_thread(&error))),
            },
            State::Idle | State::Reading => Some(outcome),
        }
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
