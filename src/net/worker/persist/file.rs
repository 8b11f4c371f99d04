//! File: a store's file is created, opened and closed, and moved aside where it is of no use. Never
//! overwrites or removes what it did not write, and never looks at the rows.
//!
//! One process has a file at a time: SQLite's lock is exclusive, so that there is no shared memory
//! beside it (`-shm`), and an ended process never leaves it locked.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::Why;
use super::scan::is_damage;
use super::tables::SCHEMA;
use crate::clock::unix_time;
use crate::net::options::PersistSync;

/// `application_id` of our files, "PUSH": tells them from other programs'.
const APPLICATION_ID: u32 = u32::from_be_bytes(*b"PUSH");
/// `user_version`: the tables as this version writes them.
const FORMAT: u32 = 1;
/// What every file of SQLite begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// How long the lock of a file is waited for: a killed process may take a moment to end.
const LOCK_WITHIN: Duration = Duration::from_millis(500);
/// Where `application_id` and `user_version` stand in a file, and how long its head is.
const APPLICATION_ID_AT: usize = 68;
const FORMAT_AT: usize = 60;
const HEAD_BYTES: usize = 100;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing, or an empty file.
    New,
    /// A store's file.
    Ours,
    /// A database of another program.
    Foreign,
    /// Something else, or a file of ours whose head is damaged.
    NoDatabase,
}

/// Looks at what stands at a path, without changing it.
///
/// # Errors
/// It cannot be read or is no file, or a later version has written it.
pub(super) fn kind(path: &Path) -> Result<Kind, Why> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(Why::NotAFile),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return if path.is_symlink() { Err(Why::BrokenLink) } else { Ok(Kind::New) };
        }
        Err(error) => return Err(why(&error)),
    }
    let mut head = Vec::with_capacity(HEAD_BYTES);
    // For writing, too: what may only be read is told here, in the system's words.
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(|error| why(&error))?;
    file.take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(|error| why(&error))?;
    if head.is_empty() {
        return Ok(Kind::New);
    }
    if head.len() < HEAD_BYTES || !head.starts_with(MAGIC) {
        return Ok(Kind::NoDatabase);
    }
    let number = |at: usize| head[at..at + 4].iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
    match (number(APPLICATION_ID_AT), number(FORMAT_AT)) {
        (APPLICATION_ID, format) if format > FORMAT => Err(Why::Newer(format)),
        (APPLICATION_ID, _) => Ok(Kind::Ours),
        _ => Ok(Kind::Foreign),
    }
}

/// Creates a file that only its owner may read, with empty tables.
///
/// # Errors
/// Why not.
pub(super) fn create(path: &Path) -> Result<(), Why> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(why(&error)),
    }
    let connection = locked(path).map_err(|error| why_not(&error))?;
    // In one transaction, and before the log of the next ones is begun: so the head of a file is
    // whole, or the file is empty.
    let sql = format!(
        "PRAGMA auto_vacuum = INCREMENTAL;
         BEGIN EXCLUSIVE;
         {SCHEMA}
         PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {FORMAT};
         COMMIT;"
    );
    connection.execute_batch(&sql).map_err(|error| why_not(&error))
}

/// A connection to a file that is there, which no other process may open from now on.
fn locked(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_WITHIN)?;
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA cell_size_check = ON")?;
    Ok(connection)
}

/// Opens a store's file. `Ok(None)`: it is damaged, so that [`open_damaged`] may read some of it.
///
/// # Errors
/// Why not, where the file's content is not to blame.
pub(super) fn open(path: &Path, sync: PersistSync) -> Result<Option<Connection>, Why> {
    let synchronous = match sync {
        PersistSync::Second => "NORMAL",
        PersistSync::Always => "FULL",
    };
    let sql = format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA journal_size_limit = 4194304;
         PRAGMA temp_store = MEMORY;
         SELECT count(*) FROM sqlite_schema"
    );
    let opened = locked(path).and_then(|connection| {
        connection.execute_batch(&sql)?;
        Ok((connection.is_readonly("main")?, connection))
    });
    match opened {
        // The file may be written, as its kind was found so: its head is to blame.
        Ok((is_readonly, connection)) => Ok((!is_readonly).then_some(connection)),
        Err(error) if is_damage_of_content(&error) => Ok(None),
        Err(error) => Err(why_not(&error)),
    }
}

/// Opens a file of which a part is missing, too.
pub(super) fn open_damaged(path: &Path) -> rusqlite::Result<Connection> {
    let connection = locked(path)?;
    // Without it SQLite reads nothing of a file that is shorter than its head says.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
    Ok(connection)
}

/// Whether the content of a file is to blame for an error, and not the disk.
pub(super) fn is_damage_of_content(error: &rusqlite::Error) -> bool {
    is_damage(error) && error.sqlite_error_code() != Some(ErrorCode::SystemIoFailure)
}

/// Writes what is in the log of a file into it, and closes it: one file is left.
///
/// # Errors
/// The log stays, which the next start reads.
pub(super) fn close(connection: Connection) -> rusqlite::Result<()> {
    let flushed = flush(&connection);
    let closed = connection.close().map_err(|(_, error)| error);
    flushed.and(closed)
}

/// Has the disk keep everything that was written until now.
///
/// # Errors
/// The disk's.
pub(super) fn flush(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Which file stands at a path, by its device and number: another one has others.
pub(super) type Identity = (u64, u64);

/// See [`Identity`]. `Ok(None)`: none stands there.
///
/// # Errors
/// The system's.
pub(super) fn identity(path: &Path) -> io::Result<Option<Identity>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Bytes of the file and its log on the disk.
pub(super) fn bytes(path: &Path) -> u64 {
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    bytes(path) + bytes(&beside(path, "-wal"))
}

/// Gives a file another name, `PATH.WHAT-TIME`, with what SQLite keeps beside it. Where `by` stands
/// in its place from then on, a process that ends meanwhile leaves the one or the other there.
/// Gives the new name.
///
/// # Errors
/// The system's.
pub(super) fn move_aside(path: &Path, what: &str, by: Option<&Path>) -> io::Result<PathBuf> {
    let aside = unused(path, what);
    // The log first: it must not be read as that of another file.
    for end in ["-wal", "-shm", "-journal"] {
        match fs::rename(beside(path, end), beside(&aside, end)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match by {
        Some(by) if fs::hard_link(path, &aside).is_ok() => fs::rename(by, path)?,
        Some(by) => {
            fs::rename(path, &aside)?;
            fs::rename(by, path)?;
        }
        None => fs::rename(path, &aside)?,
    }
    // That the names last through a loss of power is wished, not needed.
    if let Some(directory) = path.parent() {
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
    Ok(aside)
}

/// Has `new` stand at `path`. What somebody has put there keeps another name, which is given; the
/// log beside it is that of an open file, and stays.
///
/// # Errors
/// The system's.
pub(super) fn put_back(new: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    let aside = unused(path, "displaced");
    let moved = match fs::rename(path, &aside) {
        Ok(()) => Some(aside),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    fs::rename(new, path)?;
    Ok(moved)
}

/// A name beside `path` that no file has.
pub(super) fn unused(path: &Path, what: &str) -> PathBuf {
    let (second, _) = unix_time();
    let name = |count: u64| beside(path, &format!(".{what}-{}", second.saturating_add(count)));
    (0..).map(name).find(|name| fs::symlink_metadata(name).is_err()).unwrap_or_else(|| name(0))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// What to say of an error of the system.
pub(super) fn why(error: &io::Error) -> Why {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Why::NoDirectory,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Why::NotWritable,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Why::DiskFull,
        _ => Why::System(error.to_string()),
    }
}

/// What to say of an error of SQLite.
pub(super) fn why_not(error: &rusqlite::Error) -> Why {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Why::InUse,
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            Why::NotWritable
        }
        Some(ErrorCode::DiskFull) => Why::DiskFull,
        _ => Why::System(error.to_string()),
    }
}
