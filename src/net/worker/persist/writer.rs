//! Writer: the thread that has a store's file. It writes one batch after the other, each in one
//! transaction, and gives each back with its outcome. A batch that cannot be written is undone and
//! refused, and the next one is tried; the thread ends with its queue alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use log::{error, warn};
use rusqlite::Connection;

use super::Tell;
use super::file::{self, Identity};
use super::restore::{put_back, rescue};
use super::tables::{Tables, WriteError};
use crate::clock::Clock;
use crate::message::MessageId;
use crate::net::options::PersistSync;
use crate::rate_limit::RateLimit;
use crate::store::{Batch, Outcome};

/// So long after a batch the disk has it at the latest (`persist_sync` "second"), milliseconds.
const FLUSH_MS: u64 = 1000;

/// Free pages that a file may have beyond a quarter of it, and how many are given back at once.
const FREE_PAGES_MAX: i64 = 1024;
const FREED_AT_ONCE: i64 = 2048;

/// See the module.
pub(super) struct Writer {
    /// Absolute, without links.
    pub(super) path: PathBuf,
    pub(super) sync: PersistSync,
    /// Ends when nothing more is to be written.
    pub(super) jobs: Receiver<Batch>,
    pub(super) tell: Tell,
    pub(super) file_bytes: Arc<AtomicU64>,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    /// Of the file that is open; `None`: it is not known.
    pub(super) identity: Option<Identity>,
}

/// How often the log says what fails.
#[derive(Debug, Default)]
pub(super) struct Limits {
    refused: RateLimit,
    unflushed: RateLimit,
    /// Of copies of a damaged file: a file that is damaged again at once is left as it is.
    rescued: RateLimit,
}

/// Why the writer leaves a connection.
enum End {
    /// Everything is written.
    Closed,
    /// The file is damaged.
    Damaged,
    /// Somebody has removed the file, or put another in its place.
    Displaced,
    /// It is not to blame; the next batch may do better.
    Failed,
}

impl Writer {
    /// The life of the thread.
    pub(super) fn run(mut self, connection: Connection) {
        let mut open = Some(connection);
        loop {
            let Some(connection) = open.take().or_else(|| self.open_again()) else {
                match self.jobs.recv() {
                    Ok(batch) => self.refuse(batch, &"the file cannot be opened"),
                    Err(_) => return self.tell.closed(),
                }
                continue;
            };
            match self.serve(&connection) {
                End::Closed => return self.close(connection),
                End::Damaged => open = self.rescue(connection),
                End::Displaced => open = self.put_back(connection),
                End::Failed => open = Some(connection),
            }
        }
    }

    fn close(&mut self, connection: Connection) {
        let open = match self.is_displaced() {
            true => self.put_back(connection),
            false => Some(connection),
        };
        if let Some(Err(error)) = open.map(file::close) {
            self.note_unflushed(&error);
        }
        self.tell.closed();
    }

    /// Writes what comes, and once a second has the disk keep it.
    fn serve(&mut self, connection: &Connection) -> End {
        let mut tables = match Tables::new(connection) {
            Ok(tables) => tables,
            Err(error) => return self.turn_away(&error),
        };
        self.note_file_bytes();
        let mut settled = MessageId::default();
        let mut flush_ms: Option<u64> = None;
        loop {
            let now_ms = self.clock.now().mono_ms;
            if flush_ms.is_some_and(|flush_ms| flush_ms <= now_ms) {
                let is_displaced = self.is_displaced();
                if is_displaced && self.limits.rescued.note(now_ms).is_some() {
                    return End::Displaced;
                }
                let more = self.keep_house(connection, &mut tables, settled);
                flush_ms = (more || is_displaced).then_some(now_ms + FLUSH_MS);
                continue;
            }
            let wait = flush_ms.map(|flush_ms| Duration::from_millis(flush_ms - now_ms));
            let batch = match wait {
                None => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(wait) => self.jobs.recv_timeout(wait),
            };
            let batch = match batch {
                Ok(batch) => batch,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return End::Closed,
            };
            match tables.write(&batch) {
                Ok(()) => {
                    settled = settled.max(batch.settled());
                    flush_ms = flush_ms.or(Some(self.clock.now().mono_ms + FLUSH_MS));
                    self.tell.written(batch, Outcome::Written);
                }
                Err(WriteError::Year2106) => {
                    self.refuse(batch, &"the clock says 2106 or later; set it right");
                }
                Err(WriteError::Database(error)) => {
                    self.refuse(batch, &error);
                    if file::is_damage_of_content(&error) {
                        return End::Damaged;
                    }
                }
            }
        }
    }

    /// A file that cannot be written to at all: refuses one batch.
    fn turn_away(&mut self, error: &rusqlite::Error) -> End {
        match self.jobs.recv() {
            Ok(batch) => self.refuse(batch, error),
            Err(_) => return End::Closed,
        }
        if file::is_damage_of_content(error) { End::Damaged } else { End::Failed }
    }

    /// What is to be done now and then. Gives whether there is more of it.
    fn keep_house(
        &mut self,
        connection: &Connection,
        tables: &mut Tables<'_>,
        settled: MessageId,
    ) -> bool {
        let done = tables.forget_departed(settled).and_then(|()| give_back_pages(connection));
        // Also where the others found no room.
        let done = file::flush(connection).and(done);
        self.note_file_bytes();
        done.unwrap_or_else(|error| {
            self.note_unflushed(&error);
            false
        })
    }

    /// Replaces a damaged file, which is done once a minute at most.
    fn rescue(&mut self, damaged: Connection) -> Option<Connection> {
        if self.limits.rescued.note(self.clock.now().mono_ms).is_none() {
            return Some(damaged);
        }
        if let Err(why) = rescue(damaged, &self.path) {
            error!("event=persist_unsaved path={:?} cause={why:?}", self.path);
        }
        self.open_again()
    }

    /// Whether the open file is not the one at its path any more.
    fn is_displaced(&self) -> bool {
        let found = file::identity(&self.path);
        self.identity.is_some() && found.is_ok_and(|found| found != self.identity)
    }

    /// Writes everything to a file at the path again. Where that fails the old one stays open, and
    /// this is tried again in a minute.
    fn put_back(&mut self, displaced: Connection) -> Option<Connection> {
        if let Err(why) = put_back(&displaced, &self.path) {
            error!("event=persist_unsaved path={:?} cause={why:?}", self.path);
            return Some(displaced);
        }
        drop(displaced);
        self.open_again()
    }

    fn open_again(&mut self) -> Option<Connection> {
        let connection = file::open(&self.path, self.sync).ok().flatten()?;
        self.identity = file::identity(&self.path).ok().flatten();
        Some(connection)
    }

    fn refuse(&mut self, batch: Batch, cause: &dyn std::fmt::Display) {
        if let Some(times) = self.limits.refused.note(self.clock.now().mono_ms) {
            error!(
                "event=persist_refused path={:?} times={times} cause=\"{cause}\" \
                 answer=\"publishers get 507 until it can be written\"",
                self.path,
            );
        }
        self.tell.written(batch, Outcome::Refused);
    }

    fn note_unflushed(&mut self, error: &rusqlite::Error) {
        if let Some(times) = self.limits.unflushed.note(self.clock.now().mono_ms) {
            warn!("event=persist_unflushed path={:?} times={times} cause=\"{error}\"", self.path);
        }
    }

    fn note_file_bytes(&self) {
        self.file_bytes.store(file::bytes(&self.path), Ordering::Relaxed);
    }
}

/// Makes a file smaller that has many free pages, by a bounded number of them. Gives whether there
/// are more.
fn give_back_pages(connection: &Connection) -> rusqlite::Result<bool> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let free = number("PRAGMA freelist_count")?;
    if free <= FREE_PAGES_MAX + number("PRAGMA page_count")? / 4 {
        return Ok(false);
    }
    // Frees one page with each step.
    let sql = format!("PRAGMA incremental_vacuum({FREED_AT_ONCE})");
    let mut statement = connection.prepare(&sql)?;
    let mut steps = statement.query([])?;
    while steps.next()?.is_some() {}
    Ok(true)
}
