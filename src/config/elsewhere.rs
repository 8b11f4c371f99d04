//! Elsewhere: what settings name instead of holding it, a variable of the environment or a file.
//! Never repeats what stands there.

use std::env::{self, VarError};
use std::fs::{self, File};
use std::io::{self, Read};

use super::problem::{Error, quoted};

/// What a setting is to be that says where its value is.
pub(super) const ONE_OF_BOTH: &str = "write one of {\"env\": \"NAME\"} and {\"file\": \"/path\"}";

/// The text of a variable. `example`: a name that would do.
///
/// # Errors
/// It is no name, or there is no such text.
pub(super) fn variable(name: &str, example: &str) -> Result<String, Error> {
    // Not repeated: it may be the secret itself.
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let what = "no name of an environment variable; write it as in";
        return Err(Error(format!("{what} {}", quoted(example))));
    }
    env::var(name).map_err(|error| {
        let what = match error {
            VarError::NotPresent => "not set",
            VarError::NotUnicode(_) => "not UTF-8",
        };
        Error(format!("the environment variable {} is {what}", quoted(name)))
    })
}

/// The first `most` bytes of a file.
///
/// # Errors
/// It cannot be read, or is a pipe, which may never end.
pub(super) fn file(path: &str, most: u64) -> Result<Vec<u8>, Error> {
    read(path, most).map_err(|error| Error(format!("cannot read {}: {error}", quoted(path))))
}

fn read(path: &str, most: u64) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
