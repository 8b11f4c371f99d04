//! Tables: those of a store's file, and the statements that write to them. Never opens or moves a
//! file, and never decides what a failure means.

use rusqlite::{Connection, Statement, params};

use super::rows::{crc_of_channel, crc_of_message, key_of, number_of};
use super::scan::{Found, Scan};
use crate::message::{Content, MessageId};
use crate::store::{Batch, ChannelRecord, MessageRecord, Restored};

/// The tables of a new file.
pub(super) const SCHEMA: &str = "
    CREATE TABLE message (
        seq INTEGER PRIMARY KEY,
        tag INTEGER NOT NULL,
        before_second INTEGER NOT NULL,
        before_tag INTEGER NOT NULL,
        channel BLOB NOT NULL,
        type BLOB,
        event BLOB,
        body BLOB NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE channel (
        id INTEGER PRIMARY KEY,
        name BLOB NOT NULL UNIQUE,
        last_second INTEGER NOT NULL,
        last_tag INTEGER NOT NULL,
        lost_second INTEGER NOT NULL,
        lost_tag INTEGER NOT NULL,
        gone INTEGER NOT NULL,
        made INTEGER,
        crc INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX departed ON channel (last_second, last_tag, gone) WHERE made IS NULL;
";

/// Rows of channels that are gone which are kept for their ids: the newest.
const DEPARTED_MAX: i64 = 4096;
/// So many more before the oldest are removed, and so many are removed at once: 0.1 s.
const DEPARTED_MORE: i64 = 1024;
const REMOVED_AT_ONCE: i64 = 65_536;

/// Why a batch is not written.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The database says so; everything of the batch is undone.
    Database(rusqlite::Error),
    /// The second of a place has no key.
    Year2106,
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// The statements that write.
pub(super) struct Tables<'c> {
    connection: &'c Connection,
    begin: Statement<'c>,
    commit: Statement<'c>,
    rollback: Statement<'c>,
    insert: Statement<'c>,
    delete: Statement<'c>,
    gone: Statement<'c>,
    put: Statement<'c>,
    forget: Statement<'c>,
    count_departed: Statement<'c>,
    /// Rows of channels that are gone, at most.
    departed: i64,
}

impl<'c> Tables<'c> {
    pub(super) fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        let mut count_departed =
            connection.prepare("SELECT count(*) FROM channel WHERE made IS NULL")?;
        let departed = count_departed.query_row([], |row| row.get(0))?;
        Ok(Self {
            connection,
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            rollback: connection.prepare("ROLLBACK")?,
            insert: connection
                .prepare("INSERT INTO message VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?,
            delete: connection.prepare("DELETE FROM message WHERE seq = ?1")?,
            gone: connection.prepare("SELECT gone FROM channel WHERE name = ?1")?,
            put: connection.prepare(
                "INSERT INTO channel VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (name) DO UPDATE SET (last_second, last_tag, lost_second, lost_tag,
                     gone, made, crc) = (?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            forget: connection.prepare(
                "DELETE FROM channel WHERE id IN (
                     SELECT id FROM channel WHERE made IS NULL AND gone < ?1
                     ORDER BY last_second DESC, last_tag DESC LIMIT ?2 OFFSET ?3)",
            )?,
            count_departed,
            departed,
        })
    }

    /// Writes a batch in one transaction: all of it, or nothing.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<(), WriteError> {
        self.begin.execute([])?;
        let written = self.write_rows(batch).and_then(|()| {
            self.commit.execute([])?;
            Ok(())
        });
        if written.is_err() && !self.connection.is_autocommit() {
            // Some failures undo everything by themselves. Where undoing fails, the next batch
            // cannot begin, and is refused, too.
            let _ = self.rollback.execute([]);
        }
        written
    }

    fn write_rows(&mut self, batch: &Batch) -> Result<(), WriteError> {
        for message in batch.messages() {
            let key = key_of(message.place).ok_or(WriteError::Year2106)?;
            self.insert(key, message)?;
        }
        for channel in batch.channels() {
            self.put(channel)?;
        }
        for key in batch.gone().iter().filter_map(|place| key_of(*place)) {
            self.delete.execute([key])?;
        }
        Ok(())
    }

    /// Inserts one message, in the transaction that the caller has begun.
    fn insert(&mut self, key: i64, message: &MessageRecord) -> rusqlite::Result<()> {
        let MessageRecord { tag, before, channel, content, .. } = message;
        let Content { content_type, event, body } = content.borrowed();
        self.insert.execute(params![
            key,
            tag,
            before.time.cast_signed(),
            before.tag,
            channel,
            content_type,
            event,
            body,
            crc_of_message(key, message),
        ])?;
        Ok(())
    }

    /// Inserts or updates one channel, in the transaction that the caller has begun.
    fn put(&mut self, channel: &ChannelRecord) -> rusqlite::Result<()> {
        let ChannelRecord { name, last, lost_through, gone_through, made } = channel;
        // Behind the last key there is no message.
        let gone = key_of(*gone_through).unwrap_or(i64::MAX);
        let known = match self.gone.query([name])?.next()? {
            Some(row) => row.get(0)?,
            None => i64::MIN,
        };
        let gone = gone.max(known);
        self.put.execute(params![
            name,
            last.time.cast_signed(),
            last.tag,
            lost_through.time.cast_signed(),
            lost_through.tag,
            gone,
            made.map(number_of),
            crc_of_channel(channel, gone),
        ])?;
        self.departed += i64::from(made.is_none());
        Ok(())
    }

    /// Removes the oldest rows of channels that are gone, a bounded number of them. Not those of
    /// which rows of messages from `settled` on may still be there.
    pub(super) fn forget_departed(&mut self, settled: MessageId) -> rusqlite::Result<()> {
        if self.departed <= DEPARTED_MAX + DEPARTED_MORE {
            return Ok(());
        }
        let settled = key_of(settled).unwrap_or(i64::MAX);
        self.forget.execute(params![settled, REMOVED_AT_ONCE, DEPARTED_MAX])?;
        self.departed = self.count_departed.query_row([], |row| row.get(0))?;
        Ok(())
    }

    /// Has the tables take rows as they are read from another file.
    pub(super) fn copy(&mut self, rows: &Connection) -> Result<Found, WriteError> {
        self.begin.execute([])?;
        let mut scan = Scan::new(rows)?;
        for row in &mut scan {
            match row {
                Restored::Channel(channel) => self.put(&channel)?,
                Restored::Message(message) => {
                    let key = key_of(message.place).ok_or(WriteError::Year2106)?;
                    self.insert(key, &message)?;
                }
            }
        }
        self.commit.execute([])?;
        Ok(scan.finish()?)
    }
}
