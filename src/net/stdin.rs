//! Standard input: its end, which stops the daemon (`--exit-on-stdin-eof`): a launcher that was
//! killed closes it, and the daemon must not stay behind as an orphan. What comes is thrown away.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

/// Whether nobody holds the other end of `input`, now or before it was quiet for `wait`. Reads
/// nothing.
///
/// # Errors
/// There is no descriptor left to look with.
pub fn ends_within(input: BorrowedFd<'_>, wait: Duration) -> io::Result<bool> {
    if File::from(input.try_clone_to_owned()?).metadata()?.is_file() {
        return Ok(true);
    }
    let mut poll = Poll::new()?;
    let fd = input.as_raw_fd();
    if let Err(error) = poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE) {
        // What epoll cannot wait for, as /dev/null, has no other end; a terminal, for which kqueue
        // has other errors, does not end.
        return Ok(error.kind() == io::ErrorKind::PermissionDenied);
    }
    let mut events = Events::with_capacity(1);
    loop {
        match poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        if events.is_empty() || events.iter().any(|event| event.is_read_closed()) {
            return Ok(!events.is_empty());
        }
    }
}

/// Whether standard input has ended, as a thread of its own finds out.
#[derive(Debug)]
pub(super) struct StdinWatch(Arc<AtomicBool>);

impl StdinWatch {
    /// Reads `input` to its end, throws away what it reads, and then wakes the loop. A failing read
    /// is an end too.
    pub(super) fn start(
        mut input: impl Read + Send + 'static,
        waker: Arc<Waker>,
    ) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            let _ = io::copy(&mut input, &mut io::sink());
            told.store(true, Ordering::Release);
            // Without the wake the loop would notice at its next event.
            let _ = waker.wake();
        })?;
        Ok(Self(ended))
    }

    /// Whether it has ended; true once.
    pub(super) fn has_ended(&self) -> bool {
        self.0.swap(false, Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_end_is_told_and_not_what_comes_before() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        // Kept until the event is there: dropped, it would take the event along.
        let watch = StdinWatch::start(reader, Arc::clone(&waker)).unwrap();
        writer.write_all(b"some words\n").unwrap();
        assert!(!watch.has_ended());
        drop(writer);
        let mut events = Events::with_capacity(1);
        while let Err(error) = poll.poll(&mut events, Some(Duration::from_secs(20))) {
            assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        }
        assert!(!events.is_empty() && watch.has_ended());
        assert!(!watch.has_ended(), "it is told once");
        drop(waker);
    }

    #[test]
    fn an_input_that_somebody_holds_does_not_end() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let ends = |wait_ms| ends_within(reader.as_fd(), Duration::from_millis(wait_ms)).unwrap();
        assert!(!ends(0));
        writer.write_all(b"{}\n").unwrap();
        assert!(!ends(10), "there is something to read, and more may come");
        thread::scope(|scope| {
            scope.spawn(move || drop(writer));
            assert!(ends(20_000), "though nobody has read what came before");
        });
    }

    #[test]
    fn a_file_and_the_null_device_end() {
        for path in ["/dev/null", file!()] {
            let file = File::open(path).unwrap();
            assert!(ends_within(file.as_fd(), Duration::ZERO).unwrap(), "{path}");
        }
    }
}
