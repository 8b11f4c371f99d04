//! Salvage: a damaged file of a store is replaced by a new one with all rows that can be read. The
//! old file is kept under another name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::error::Why;
use super::file;
use super::scan::Found;
use super::tables::{Tables, WriteError};

/// What became of a damaged file.
#[derive(Debug)]
pub(super) struct Salvaged {
    /// What is in the new file, and what was left out.
    pub(super) found: Found,
    /// Where the old file is.
    pub(super) aside: PathBuf,
}

/// Writes all rows that can be read to a new file, which takes the place of the old one. Both are
/// closed behind it.
///
/// # Errors
/// Why not; then the old file is where it was.
pub(super) fn salvage(damaged: Connection, path: &Path) -> Result<Salvaged, Why> {
    let new = file::unused(path, "salvaged");
    let copied = copy(&damaged, &new);
    // Its log goes into it, if that can be done.
    drop(damaged);
    let replaced = copied.and_then(|found| {
        let aside = file::move_aside(path, "damaged", Some(&new));
        Ok(Salvaged { found, aside: aside.map_err(|error| file::why(&error))? })
    });
    if replaced.is_err() {
        // The half of a copy is of no use to anybody.
        let _ = fs::remove_file(&new);
    }
    replaced
}

/// Writes all rows of an open file to a new one at its path, from which somebody has removed it.
/// Gives what is in the new one, and where the file is that stood there instead. The caller closes
/// the old one before it opens the new one: closing removes the log at that path.
///
/// # Errors
/// Why not; the open file is as it was.
pub(super) fn put_back(open: &Connection, path: &Path) -> Result<(Found, Option<PathBuf>), Why> {
    let new = file::unused(path, "salvaged");
    let put = copy(open, &new).and_then(|found| {
        let aside = file::put_back(&new, path).map_err(|error| file::why(&error))?;
        Ok((found, aside))
    });
    if put.is_err() {
        let _ = fs::remove_file(&new);
    }
    put
}

fn copy(damaged: &Connection, new: &Path) -> Result<Found, Why> {
    file::create(new)?;
    let why_not = |error: rusqlite::Error| file::why_not(&error);
    let connection = Connection::open(new).map_err(why_not)?;
    // A copy that is not finished is removed, so that it needs no log.
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = FULL")
        .map_err(why_not)?;
    let mut tables = Tables::new(&connection).map_err(why_not)?;
    let found = tables.copy(damaged).map_err(|error| match error {
        WriteError::Database(error) => file::why_not(&error),
        WriteError::Year2106 => Why::System("a row without a key".to_owned()),
    })?;
    drop(tables);
    connection.close().map_err(|(_, error)| file::why_not(&error))?;
    let synced: io::Result<()> = fs::File::open(new).and_then(|file| file.sync_all());
    synced.map_err(|error| file::why(&error))?;
    Ok(found)
}
