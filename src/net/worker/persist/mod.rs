//! Persistence: the files of the stores that survive a restart, each with a thread that alone
//! writes to it. The loop hands over batches and takes them back with their outcome; it never
//! waits for a disk, but at the start, when it reads the files.

mod error;
#[cfg(feature = "persist")]
mod file;
#[cfg(feature = "persist")]
mod restore;
#[cfg(feature = "persist")]
mod rows;
#[cfg(feature = "persist")]
mod salvage;
#[cfg(feature = "persist")]
mod scan;
#[cfg(feature = "persist")]
mod tables;
#[cfg(test)]
#[cfg(feature = "persist")]
mod tests;
#[cfg(feature = "persist")]
mod writer;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use mio::Waker;

pub use self::error::{PersistError, Why};

use crate::figures::{PersistFigures, StoreFigures, StoreFiguresOf};
use crate::net::options::PersistOptions;
use crate::store::{Batch, Outcome, Restored, StoreId};

/// See the module.
#[derive(Debug)]
pub(in crate::net) struct Persist {
    files: Vec<Open>,
    told: Receiver<Told>,
    /// Kept for what is refused without a thread.
    tell: Tell,
}

/// A file whose thread runs.
#[derive(Debug)]
struct Open {
    store: StoreId,
    /// Of the store, as figures have it.
    name: Rc<str>,
    /// `None`: nothing more is written.
    jobs: Option<Sender<Batch>>,
    /// Its thread has closed it.
    is_closed: bool,
    figures: PersistFigures,
    /// As the thread last saw it.
    file_bytes: Arc<AtomicU64>,
}

/// What a thread tells the loop.
#[derive(Debug)]
#[cfg_attr(not(feature = "persist"), allow(dead_code, reason = "there are no threads"))]
enum Told {
    Written(Batch, Outcome),
    Closed(StoreId),
}

/// How the threads tell the loop, and wake it.
#[cfg_attr(not(feature = "persist"), allow(dead_code, reason = "there are no threads"))]
#[derive(Debug, Clone)]
struct Tell {
    store: StoreId,
    to: Sender<Told>,
    waker: Arc<Waker>,
}

impl Tell {
    fn written(&self, batch: Batch, outcome: Outcome) {
        self.tell(Told::Written(batch, outcome));
    }

    #[cfg(feature = "persist")]
    fn closed(&self) {
        self.tell(Told::Closed(self.store));
    }

    /// The loop may have ended.
    fn tell(&self, told: Told) {
        let _ = self.to.send(told);
        let _ = self.waker.wake();
    }
}

impl Persist {
    /// Opens every file, hands out what is in it, and starts its thread.
    ///
    /// # Errors
    /// The first file that cannot be opened.
    pub(in crate::net) fn start(
        files: &[PersistOptions],
        waker: Arc<Waker>,
        mut take: impl FnMut(StoreId, Restored),
    ) -> Result<Self, PersistError> {
        let (to, told) = mpsc::channel();
        let tell = Tell { store: StoreId(0), to, waker };
        let open = |file: &PersistOptions| {
            let tell = Tell { store: file.store, ..tell.clone() };
            Open::start(file, tell, |row| take(file.store, row))
                .map_err(|why| PersistError { path: file.path.clone(), why })
        };
        Ok(Self { files: files.iter().map(open).collect::<Result<_, _>>()?, told, tell })
    }

    /// Has a batch written; never waits.
    pub(in crate::net) fn write(&mut self, batch: Batch) {
        let store = batch.store();
        let file = self.files.iter_mut().find(|file| file.store == store);
        let refused = match file {
            Some(file) => file.write(batch),
            None => Some(batch),
        };
        if let Some(batch) = refused {
            self.tell.written(batch, Outcome::Refused);
        }
    }

    /// The next batch that is written or refused.
    pub(in crate::net) fn poll(&mut self) -> Option<(Batch, Outcome)> {
        loop {
            match self.told.try_recv().ok()? {
                Told::Closed(store) => {
                    self.of(store).for_each(|file| file.is_closed = true);
                }
                Told::Written(batch, outcome) => {
                    self.of(batch.store()).for_each(|file| file.note(&batch, outcome));
                    return Some((batch, outcome));
                }
            }
        }
    }

    /// Has every file closed when everything handed over is written. Further batches are refused.
    pub(in crate::net) fn close(&mut self) {
        self.files.iter_mut().for_each(|file| file.jobs = None);
    }

    /// Whether [`Persist::poll`] has seen every file closed.
    pub(in crate::net) fn is_closed(&self) -> bool {
        self.files.iter().all(|file| file.is_closed)
    }

    /// Whether a batch is handed over that [`Persist::poll`] has not given back.
    pub(in crate::net) fn is_writing(&self) -> bool {
        self.files.iter().any(|file| file.figures.persist_queue_bytes > 0)
    }

    /// What was written, what waits and how large the files are.
    pub(in crate::net) fn figures(&self) -> Vec<StoreFigures> {
        let figures = |file: &Open| StoreFigures {
            store: Rc::clone(&file.name),
            kind: StoreFiguresOf::Persist(PersistFigures {
                persist_file_bytes: file.file_bytes.load(Ordering::Relaxed),
                ..file.figures
            }),
        };
        self.files.iter().map(figures).collect()
    }

    fn of(&mut self, store: StoreId) -> impl Iterator<Item = &mut Open> {
        self.files.iter_mut().filter(move |file| file.store == store)
    }
}

impl Open {
    #[cfg(feature = "persist")]
    fn start(file: &PersistOptions, tell: Tell, take: impl FnMut(Restored)) -> Result<Self, Why> {
        let restore::Opened { connection, path } = restore::restore(&file.path, file.sync, take)?;
        Self::serve(file, tell, connection, path)
    }

    /// Such settings are refused.
    #[cfg(not(feature = "persist"))]
    fn start(_: &PersistOptions, _: Tell, _: impl FnMut(Restored)) -> Result<Self, Why> {
        Err(Why::System("this build is without the feature \"persist\"".to_owned()))
    }

    /// Starts the thread of an open file.
    #[cfg(feature = "persist")]
    fn serve(
        file: &PersistOptions,
        tell: Tell,
        connection: rusqlite::Connection,
        path: std::path::PathBuf,
    ) -> Result<Self, Why> {
        let (jobs, received) = mpsc::channel();
        let file_bytes = Arc::new(AtomicU64::new(0));
        let writer = writer::Writer {
            identity: file::identity(&path).ok().flatten(),
            path,
            sync: file.sync,
            jobs: received,
            tell,
            file_bytes: Arc::clone(&file_bytes),
            clock: crate::clock::Clock::start(),
            limits: writer::Limits::default(),
        };
        std::thread::Builder::new()
            .name("persist".to_owned())
            .spawn(move || writer.run(connection))
            .map_err(|error| Why::System(format!("cannot start its thread: {error}")))?;
        Ok(Self {
            store: file.store,
            name: file.name.as_str().into(),
            jobs: Some(jobs),
            is_closed: false,
            figures: PersistFigures::default(),
            file_bytes,
        })
    }

    /// Hands over a batch; gives it back if the file is closed.
    fn write(&mut self, batch: Batch) -> Option<Batch> {
        self.figures.persist_queue_bytes += queued(&batch);
        match &self.jobs {
            Some(jobs) => jobs.send(batch).err().map(|unsent| unsent.0),
            None => Some(batch),
        }
    }

    fn note(&mut self, batch: &Batch, outcome: Outcome) {
        let figures = &mut self.figures;
        figures.persist_queue_bytes = figures.persist_queue_bytes.saturating_sub(queued(batch));
        match outcome {
            Outcome::Written => figures.persist_commits += 1,
            Outcome::Refused => figures.persist_refused += 1,
        }
    }
}

/// What a batch counts in the queue: at least 1, so that none is overlooked.
fn queued(batch: &Batch) -> u64 {
    (batch.bytes() as u64).max(1)
}
