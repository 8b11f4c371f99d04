//! Pid file: holds the process id for as long as the process runs. Never overwrites another kind of
//! file, and never follows a link.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;

/// Bytes of the longest pid file: a number of 10 digits and a line end fit.
const BYTES_MAX: u64 = 16;

/// A pid file of this process; dropping it removes the file.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes this process' id to a new file, in place of one that a dead process left.
    ///
    /// # Errors
    /// One line that says what to do: another process runs with this file, it is no pid file, or it
    /// cannot be written.
    pub fn create(path: &Path) -> Result<Self, String> {
        let shown = path.to_string_lossy();
        let refused = |why: String| format!("pid file {}: {why}", shown.escape_debug());
        let mut file = match create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                check_stale(path).map_err(refused)?;
                fs::remove_file(path).and_then(|()| create_new(path))
            }
            created => created,
        }
        .map_err(|error| refused(format!("cannot write it: {error}")))?;
        // From here on a failure removes the file again.
        let this = Self { path: path.to_owned() };
        writeln!(file, "{}", process::id())
            .map_err(|error| refused(format!("cannot write it: {error}")))?;
        Ok(this)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // The file may have been replaced by that of another process.
        if read(&self.path).is_ok_and(|pid| pid.is_none_or(|pid| pid == process::id())) {
            // A failure cannot be reported any more.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// O_CREAT | O_EXCL: fails if the path exists, even as a dangling link.
fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn check_stale(path: &Path) -> Result<(), String> {
    match read(path)? {
        Some(pid) if pid != process::id() && is_alive(pid) => Err(format!(
            "process {pid} is running; stop it, or remove the file if that is no pushserver"
        )),
        // Our own number was written by an earlier process, in another boot or container.
        _ => Ok(()),
    }
}

/// The process id in the file; `None` if it is empty, as a crash between two calls leaves it.
fn read(path: &Path) -> Result<Option<u32>, String> {
    let unlike = || "another kind of file is there; it is not overwritten".to_owned();
    let unreadable = |error| format!("cannot read it: {error}");
    if !fs::symlink_metadata(path).map_err(unreadable)?.is_file() {
        return Err(unlike());
    }
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(|_| unlike())?;
    match text.trim() {
        "" => Ok(None),
        digits => match digits.parse() {
            Ok(pid) if pid > 0 => Ok(Some(pid)),
            _ => Err(unlike()),
        },
    }
}

/// Whether a process runs. Where `/proc` is not there it may: refusing is the safe side.
#[cfg(target_os = "linux")]
fn is_alive(pid: u32) -> bool {
    let proc = Path::new("/proc");
    proc.join(pid.to_string()).exists() || !proc.join("self").exists()
}

/// Whether a process runs, by the `ps` of POSIX.
#[cfg(not(target_os = "linux"))]
fn is_alive(pid: u32) -> bool {
    use std::process::{Command, Stdio};
    let mut ps = Command::new("ps");
    ps.args(["-p", &pid.to_string()]);
    let ps = ps.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    // Where `ps` fails the process may run: refusing is the safe side.
    ps.map_or(true, |status| status.success())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;
    use std::process;

    use super::PidFile;

    /// A directory of this test alone, removed at its end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("pushserver-{name}-{}", process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// The id of a process that has ended and was waited for.
    fn dead() -> u32 {
        let mut child = process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    #[test]
    fn the_file_holds_our_id_for_our_eyes_and_goes_with_us() {
        let directory = Directory::new("pid-new");
        let path = directory.0.join("pid");
        let file = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::id()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_living_process_keeps_its_file() {
        let directory = Directory::new("pid-alive");
        let path = directory.0.join("pid");
        fs::write(&path, "1\n").unwrap();
        let why = PidFile::create(&path).unwrap_err();
        assert!(why.contains("process 1 is running"), "{why}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }

    #[test]
    fn a_file_that_a_dead_process_left_is_replaced() {
        let directory = Directory::new("pid-stale");
        let path = directory.0.join("pid");
        for left in [format!("{}\n", dead()), process::id().to_string(), String::new()] {
            fs::write(&path, &left).unwrap();
            let file = PidFile::create(&path).expect(&left);
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::id()));
            drop(file);
        }
    }

    #[test]
    fn what_is_no_pid_file_is_left_alone() {
        let directory = Directory::new("pid-other");
        let path = directory.0.join("pid");
        let other = directory.0.join("other");
        for text in ["root:x:0:0\n", "0", "-1", "4 8", "99999999999999999999"] {
            fs::write(&path, text).unwrap();
            let why = PidFile::create(&path).unwrap_err();
            assert!(why.contains("not overwritten"), "{why}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        assert!(PidFile::create(&path).is_err());
        assert!(!other.exists());
    }

    #[test]
    fn a_successors_file_stays() {
        let directory = Directory::new("pid-successor");
        let path = directory.0.join("pid");
        let file = PidFile::create(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert!(path.exists());
    }
}
