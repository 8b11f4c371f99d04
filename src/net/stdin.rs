//! Notices the end of standard input: a launcher that was killed closes it, and then the daemon
//! must not stay behind as an orphan (`--exit-on-stdin-eof`).

use std::io::{self, Read};
use std::thread;

/// Reads standard input to its end on a thread of its own, throws away what it reads, and then
/// calls `at_end`, once. A failing read is an end too.
///
/// # Errors
/// The thread cannot be started.
pub fn watch_stdin(at_end: impl FnOnce() + Send + 'static) -> io::Result<()> {
    watch(io::stdin(), at_end)
}

fn watch(
    mut input: impl Read + Send + 'static,
    at_end: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let thread = thread::Builder::new().name("stdin".to_owned());
    thread.spawn(move || {
        let _ = io::copy(&mut input, &mut io::sink());
        at_end();
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::watch;

    #[test]
    fn the_end_is_told_and_not_what_comes_before() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let (tell, told) = mpsc::channel();
        watch(reader, move || tell.send(()).unwrap()).unwrap();
        writer.write_all(b"some words\n").unwrap();
        assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(writer);
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(()));
    }
}
