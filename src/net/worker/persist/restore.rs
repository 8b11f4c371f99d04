//! Restore: a store's file is opened at the start, and everything in it handed out. What is no file
//! of ours, or damaged, is moved aside and told in one line; the start goes on.

use std::fs;
use std::io;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use log::error;
use rusqlite::Connection;

use super::error::Why;
use super::file::{self, Kind};
use super::salvage::{self, salvage};
use super::scan::{Found, Scan};
use crate::net::options::PersistSync;
use crate::store::Restored;

/// A file that is open, and its absolute path without links: SQLite keeps its log beside that.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
}

/// Opens or creates the file, and hands out all channels in it, then all messages by their place.
///
/// # Errors
/// Why the store cannot have this file.
pub(super) fn restore(
    path: &Path,
    sync: PersistSync,
    take: impl FnMut(Restored),
) -> Result<Opened, Why> {
    let path = real(path).map_err(|error| file::why(&error))?;
    match file::kind(&path)? {
        Kind::Ours => {}
        Kind::New => file::create(&path)?,
        Kind::Foreign => replace(&path, "foreign", "it is a database of another program")?,
        Kind::NoDatabase => replace(&path, "damaged", "it is no database")?,
    }
    if let Some(mut connection) = file::open(&path, sync)? {
        let found = read_ahead(&mut connection, take)?;
        if !found.is_damaged() {
            return Ok(Opened { connection, path });
        }
        rescue(connection, &path)?;
    } else {
        restore_damaged(&path, take)?;
    }
    let connection = file::open(&path, sync)?;
    let connection = connection.ok_or_else(|| Why::System("the new file is damaged".to_owned()))?;
    Ok(Opened { connection, path })
}

/// The same of a file that SQLite does not open as it is.
fn restore_damaged(path: &Path, take: impl FnMut(Restored)) -> Result<(), Why> {
    let Ok(connection) = file::open_damaged(path) else {
        return replace(path, "damaged", "nothing of it can be read");
    };
    match read(&connection, take) {
        Ok(_) => rescue(connection, path),
        Err(_) => {
            drop(connection);
            replace(path, "damaged", "nothing of it can be read")
        }
    }
}

/// Reads a file on a thread of its own, so that rows are taken while others are read.
///
/// # Errors
/// It cannot be read, or there is no such thread.
fn read_ahead(connection: &mut Connection, take: impl FnMut(Restored)) -> Result<Found, Why> {
    let (give, taken) = mpsc::sync_channel(ROWS_AHEAD);
    thread::scope(move |scope| {
        let read = move || {
            let mut scan = Scan::new(connection)?;
            // Whoever takes them stays until the last.
            while let Some(rows) = scan.next_rows()
                && give.send(rows).is_ok()
            {}
            scan.finish()
        };
        let reader = thread::Builder::new().name("persist".to_owned()).spawn_scoped(scope, read);
        let reader =
            reader.map_err(|error| Why::System(format!("cannot start its thread: {error}")))?;
        taken.into_iter().flatten().for_each(take);
        let found = reader.join().unwrap_or_else(|payload| panic::resume_unwind(payload));
        found.map_err(|error| file::why_not(&error))
    })
}

/// Rows that are read and not taken: so many times as many as are read at once.
const ROWS_AHEAD: usize = 2;

fn read(connection: &Connection, take: impl FnMut(Restored)) -> rusqlite::Result<Found> {
    let mut scan = Scan::new(connection)?;
    scan.by_ref().for_each(take);
    scan.finish()
}

/// Puts a file with the rows that can be read in the place of a damaged one.
///
/// # Errors
/// The new one cannot be written.
pub(super) fn rescue(damaged: Connection, path: &Path) -> Result<(), Why> {
    let salvaged = salvage(damaged, path)?;
    let Found { messages, channels, bad_rows, bad_pages } = salvaged.found;
    error!(
        "event=persist_damaged path={path:?} messages={messages} channels={channels} \
         bad_rows={bad_rows} unreadable_places={bad_pages} moved_to={:?} \
         cause=\"the file is damaged; what could be read is kept\"",
        salvaged.aside,
    );
    Ok(())
}

/// Puts a file with all rows at the path of an open one which somebody has removed from there.
///
/// # Errors
/// The new one cannot be written; the open one is as it was.
pub(super) fn put_back(open: &Connection, path: &Path) -> Result<(), Why> {
    let (Found { messages, channels, bad_rows, bad_pages }, aside) = salvage::put_back(open, path)?;
    let aside = aside.unwrap_or_default();
    error!(
        "event=persist_displaced path={path:?} messages={messages} channels={channels} \
         bad_rows={bad_rows} unreadable_places={bad_pages} moved_to={aside:?} \
         cause=\"the file was removed or another put in its place; it is written anew\"",
    );
    Ok(())
}

/// Moves a file aside and puts an empty one of ours in its place.
fn replace(path: &Path, what: &str, cause: &str) -> Result<(), Why> {
    let aside = file::move_aside(path, what, None).map_err(|error| file::why(&error))?;
    error!(
        "event=persist_damaged path={path:?} messages=0 channels=0 moved_to={aside:?} \
         cause={cause:?}"
    );
    file::create(path)
}

/// The absolute path without links, of a file that need not be there yet.
fn real(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        real => return real,
    }
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(io::ErrorKind::NotFound.into()),
    };
    let name = path.file_name().ok_or(io::ErrorKind::NotFound)?;
    Ok(fs::canonicalize(directory)?.join(name))
}
