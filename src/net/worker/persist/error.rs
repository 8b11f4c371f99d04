//! Persist error: why a store's file cannot be opened, in one line that says what to do.

use std::fmt;
use std::path::PathBuf;

/// Why a store cannot have its file (`persist`). The process exits with code 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersistError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a store's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Another process has it, or another store of this one.
    InUse,
    /// A later version of pushserver has written it, in this format.
    Newer(u32),
    /// There is no such directory.
    NoDirectory,
    /// It is no file: a directory, or a device.
    NotAFile,
    /// It is a link to a file that is not there.
    BrokenLink,
    /// This user may not write the file, or not create files beside it.
    NotWritable,
    /// There is no room on the disk.
    DiskFull,
    /// Something else, in the system's words.
    System(String),
}

impl fmt::Display for PersistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, why } = self;
        write!(f, "persist: cannot open {}: ", path.display())?;
        match why {
            Why::InUse => f.write_str(
                "another process has it; stop the other daemon, or give each store a file of its \
                 own",
            ),
            Why::Newer(format) => write!(
                f,
                "a later version of pushserver has written it (format {format}); start that \
                 version, or give another path",
            ),
            Why::NoDirectory => f.write_str("there is no such directory; create it first"),
            Why::NotAFile => f.write_str("it is no file; give the path of a file"),
            Why::BrokenLink => f.write_str(
                "it is a link to a file that is not there; create that file, or remove the link",
            ),
            Why::NotWritable => f.write_str(
                "this user may not write it and create files beside it; change the owner of the \
                 directory and of the file",
            ),
            Why::DiskFull => f.write_str("there is no room on the disk; make some"),
            Why::System(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for PersistError {}
