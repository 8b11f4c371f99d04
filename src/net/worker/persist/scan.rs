//! Scan: reads a store's file, past what is damaged. A page that cannot be read is skipped, a row
//! whose checksum is wrong is left out, and both are counted. Changes nothing.

use std::collections::VecDeque;

use rusqlite::{Connection, ErrorCode, Row, Statement};

use super::rows::{self, COLUMNS_OF_CHANNEL, COLUMNS_OF_MESSAGE};
use crate::store::Restored;

/// What was read of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Rows that are well.
    pub(super) channels: u64,
    /// As above.
    pub(super) messages: u64,
    /// Rows whose checksum is wrong.
    pub(super) bad_rows: u64,
    /// How often pages that cannot be read were passed over.
    pub(super) bad_pages: u64,
}

impl Found {
    pub(super) fn is_damaged(&self) -> bool {
        self.bad_rows > 0 || self.bad_pages > 0
    }

    fn count(&mut self, row: &Restored) {
        match row {
            Restored::Channel(_) => self.channels += 1,
            Restored::Message(_) => self.messages += 1,
        }
    }
}

/// Reads everything that can be read: all channels, then the messages by their place.
pub(super) struct Scan<'c> {
    tables: [Table<'c>; 2],
    /// What was read, and not given yet.
    ready: VecDeque<Restored>,
    found: Found,
    failed: Option<rusqlite::Error>,
}

/// A table that is read in the order of its key, past what cannot be read.
struct Table<'c> {
    statement: Statement<'c>,
    row: fn(&Row<'_>) -> Option<Restored>,
    /// No row with a smaller key is taken: a damaged page may lead back to earlier ones. `None`:
    /// everything is read.
    least: Option<i64>,
    /// The first step beyond what cannot be read. It grows until a row is read, so that a file of
    /// which nothing can be read is soon given up.
    step: i64,
}

/// Rows that are read at once, and bytes in them before no more are.
const ROWS_AT_ONCE: usize = 1024;
const BYTES_AT_ONCE: usize = 1 << 20;

impl<'c> Scan<'c> {
    pub(super) fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        let table = |columns: &str, from: &str, row| -> rusqlite::Result<Table<'c>> {
            let statement = connection.prepare(&format!("SELECT {columns} FROM {from}"))?;
            Ok(Table { statement, row, least: Some(i64::MIN), step: 1 })
        };
        let channel = |row: &Row<'_>| rows::channel(row).map(Restored::Channel);
        let message = |row: &Row<'_>| rows::message(row).map(Restored::Message);
        Ok(Self {
            tables: [
                table(COLUMNS_OF_CHANNEL, "channel WHERE id >= ?1 ORDER BY id", channel)?,
                table(COLUMNS_OF_MESSAGE, "message WHERE seq >= ?1 ORDER BY seq", message)?,
            ],
            ready: VecDeque::new(),
            found: Found::default(),
            failed: None,
        })
    }

    /// What comes next, many rows at once; `None` behind the last.
    pub(super) fn next_rows(&mut self) -> Option<VecDeque<Restored>> {
        self.read();
        let rows = std::mem::take(&mut self.ready);
        rows.iter().for_each(|row| self.found.count(row));
        (!rows.is_empty()).then_some(rows)
    }

    /// Reads on, if nothing that was read is left.
    fn read(&mut self) {
        while self.ready.is_empty() && self.failed.is_none() {
            let unread = self.tables.iter_mut().find(|table| table.least.is_some());
            let Some(table) = unread else { return };
            self.failed = table.read(&mut self.ready, &mut self.found).err();
        }
    }

    /// What was found, at the end.
    ///
    /// # Errors
    /// What ended it early, if it is no damage of the file.
    pub(super) fn finish(mut self) -> rusqlite::Result<Found> {
        self.by_ref().for_each(drop);
        self.failed.map_or(Ok(self.found), Err)
    }
}

impl Iterator for Scan<'_> {
    type Item = Restored;

    fn next(&mut self) -> Option<Restored> {
        self.read();
        let next = self.ready.pop_front()?;
        self.found.count(&next);
        Some(next)
    }
}

impl Table<'_> {
    /// Reads on, a bounded number of rows.
    fn read(&mut self, ready: &mut VecDeque<Restored>, found: &mut Found) -> rusqlite::Result<()> {
        let Some(from) = self.least else { return Ok(()) };
        let (mut next, mut bytes) = (Some(from), 0);
        let mut cursor = self.statement.query([from])?;
        let is_damaged = loop {
            if ready.len() >= ROWS_AT_ONCE || bytes >= BYTES_AT_ONCE {
                drop(cursor);
                self.least = next;
                return Ok(());
            }
            let row = match cursor.next() {
                Ok(None) => break false,
                Ok(Some(row)) => row,
                Err(error) if is_damage(&error) => break true,
                Err(error) => return Err(error),
            };
            let key: i64 = row.get(0)?;
            if next.is_none_or(|next| key < next) {
                break true;
            }
            next = key.checked_add(1);
            self.step = 1;
            match (self.row)(row) {
                Some(row) => {
                    bytes += bytes_of(&row);
                    ready.push_back(row);
                }
                None => found.bad_rows += 1,
            }
        };
        drop(cursor);
        self.least = match next {
            Some(next) if is_damaged => {
                found.bad_pages += 1;
                readable_after(&mut self.statement, next, &mut self.step)?
            }
            _ => None,
        };
        Ok(())
    }
}

fn bytes_of(row: &Restored) -> usize {
    match row {
        Restored::Channel(channel) => channel.name.len(),
        Restored::Message(message) => message.channel.len() + message.content.bytes(),
    }
}

/// The first key after `from` at which the table can be read again. Steps that double find one,
/// and halves the first; only where damaged pages lie close together, what is between them may be
/// passed over. `step`: the first one.
fn readable_after(
    statement: &mut Statement<'_>,
    from: i64,
    step: &mut i64,
) -> rusqlite::Result<Option<i64>> {
    let mut reads = |key: i64| match statement.query([key])?.next() {
        Ok(_) => Ok(true),
        Err(error) if is_damage(&error) => Ok(false),
        Err(error) => Err(error),
    };
    let mut bad = from;
    let mut good = loop {
        let key = bad.saturating_add(*step);
        *step = step.saturating_mul(2);
        if reads(key)? {
            break key;
        }
        if key == i64::MAX {
            return Ok(None);
        }
        bad = key;
    };
    while bad.abs_diff(good) > 1 {
        let middle = bad.midpoint(good);
        if reads(middle)? {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Ok(Some(good))
}

/// Whether an error of reading is one of the file's content, or of the disk below.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SystemIoFailure)
    )
}
