//! Source: where the settings come from. Reads them within a bound of bytes and of time; knows no
//! setting.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{self, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value};

use super::json;
use super::problem::{Path, Problem};

/// Most bytes of settings, which have a few thousand.
const BYTES_MAX: u64 = 4 << 20;
const TOO_MUCH: &str = "over 4 MiB, and no settings are; is it the right file?";

/// How long a named pipe may take, from its opening to its end.
const PIPE_WITHIN: Duration = Duration::from_secs(10);
const TOO_LONG: &str = "a pipe that was not written and closed within 10 s";

/// Whether a thread reads a named pipe. The thread stays as long as nobody writes the pipe, so
/// there is at most one.
static PIPE_IS_READ: AtomicBool = AtomicBool::new(false);
const STILL_READ: &str = "a pipe, and an earlier one is still not written and closed";

/// Where the settings come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// No file was given: the defaults.
    Defaults,
    /// A file, read again on reload.
    File(PathBuf),
    /// Standard input.
    Stdin {
        /// Whether the launcher keeps it open behind the settings, which are one JSON object: then
        /// nobody waits for its end.
        stays_open: bool,
    },
}

impl Source {
    /// What `--config` names: `-` is standard input, which may stay open behind the settings.
    #[must_use]
    pub fn of(argument: Option<&path::Path>, stays_open: bool) -> Self {
        match argument {
            None => Self::Defaults,
            Some(path) if path.as_os_str() == "-" => Self::Stdin { stays_open },
            Some(path) => Self::File(path.to_owned()),
        }
    }

    /// Reads the settings.
    ///
    /// # Errors
    /// It cannot be read, is too long, does not end, or is no JSON.
    pub(super) fn read(&self) -> Result<Value, Problem> {
        let text = match self {
            Self::Defaults => return Ok(Value::Object(Map::new())),
            Self::Stdin { stays_open: true } => {
                return json::first(Bounded { input: io::stdin().lock(), left: BYTES_MAX });
            }
            Self::Stdin { stays_open: false } => whole(io::stdin().lock()),
            Self::File(path) => read_file(path),
        };
        let unreadable = |error| Problem::new(&Path::Root, format!("cannot read it: {error}"));
        json::whole(&text.map_err(unreadable)?)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => f.write_str("settings"),
            // As text in a message, a name must not break its line.
            Self::File(path) => write!(f, "{}", path.to_string_lossy().escape_debug()),
            Self::Stdin { .. } => f.write_str("standard input"),
        }
    }
}

fn read_file(path: &path::Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.is_file() {
        return File::open(path).and_then(whole);
    }
    if PIPE_IS_READ.swap(true, Ordering::AcqRel) {
        return Err(io::Error::new(ErrorKind::ResourceBusy, STILL_READ));
    }
    // A pipe may have no writer, or one that writes nothing. The other thread may wait for ever;
    // this one waits for a bounded time, and reports it.
    let (sender, receiver) = mpsc::channel();
    let path = path.to_owned();
    let reader = thread::Builder::new().name("settings".to_owned()).spawn(move || {
        let text = File::open(path).and_then(whole);
        PIPE_IS_READ.store(false, Ordering::Release);
        // The receiver is gone if the time is over.
        let _ = sender.send(text);
    });
    if let Err(error) = reader {
        PIPE_IS_READ.store(false, Ordering::Release);
        return Err(error);
    }
    let in_time = receiver.recv_timeout(PIPE_WITHIN);
    in_time.unwrap_or_else(|_| Err(io::Error::new(ErrorKind::TimedOut, TOO_LONG)))
}

fn whole(input: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    Bounded { input, left: BYTES_MAX }.read_to_end(&mut text)?;
    Ok(text)
}

/// A reader that fails beyond [`BYTES_MAX`].
struct Bounded<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::new(ErrorKind::FileTooLarge, TOO_MUCH)),
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_mebibytes_are_read_and_not_a_byte_more() {
        let most = usize::try_from(BYTES_MAX).unwrap();
        assert_eq!(whole(io::repeat(b' ').take(BYTES_MAX)).unwrap().len(), most);
        let error = whole(io::repeat(b' ')).unwrap_err().to_string();
        assert!(error.contains("over 4 MiB"), "{error}");
        let problem =
            json::first(Bounded { input: io::repeat(b' '), left: BYTES_MAX }).unwrap_err();
        assert!(problem.what.contains("over 4 MiB"), "{}", problem.what);
    }
}
