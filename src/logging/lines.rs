//! Lines: the queue of log lines for a stream that may be slow. Never makes the caller wait: a
//! stopped terminal, an unread pipe or a disk that hangs would hold up the loop. A thread writes
//! the lines. Lines beyond the bound are dropped and counted; the count is logged when the stream
//! accepts lines again.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::log_targets::DROPPED;

/// Most bytes of queued lines: more than a thousand lines.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// Where lines are written to; clones lead to the same stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Signalled when there is something to write.
    filled: Condvar,
    /// Signalled when everything is written.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Lines dropped since the last report of them.
    dropped: u64,
    /// The thread runs.
    started: bool,
    /// Some bytes are being written.
    writing: bool,
}

impl Lines {
    /// Waits until everything is written, but no longer than `within`.
    pub(super) fn flush(&self, within: Duration) {
        let waiting = self.shared.lock();
        let unwritten = |waiting: &mut Waiting| waiting.writing || !waiting.is_empty();
        // Written or not: the process goes on, or ends.
        drop(self.shared.emptied.wait_timeout_while(waiting, within, unwritten));
    }

    fn add(&self, line: &[u8], out: impl Write + Send + 'static) -> io::Result<()> {
        let mut waiting = self.shared.lock();
        if waiting.bytes.len() + line.len() > WAITING_BYTES_MAX {
            waiting.dropped += 1;
            DROPPED.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if !waiting.started {
            let shared = Arc::clone(&self.shared);
            let worker = thread::Builder::new().name("log".to_owned());
            worker.spawn(move || write_all(&shared, out))?;
            waiting.started = true;
        }
        waiting.bytes.extend_from_slice(line);
        if !waiting.writing {
            self.shared.filled.notify_one();
        }
        Ok(())
    }
}

/// One line at a time, as `env_logger` writes them.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.add(line, io::stderr()).is_err() {
            // The thread cannot be started.
            io::stderr().write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    /// No panic leaves the queue half changed.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.dropped == 0
    }
}

/// The thread: ends with the process.
fn write_all(shared: &Shared, mut out: impl Write) {
    let mut bytes = Vec::new();
    loop {
        let waiting = shared.lock();
        let waiting = shared.filled.wait_while(waiting, |waiting| waiting.is_empty());
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.writing = true;
        std::mem::swap(&mut bytes, &mut waiting.bytes);
        let dropped = std::mem::take(&mut waiting.dropped);
        drop(waiting);
        // A full disk or a closed pipe cannot be reported anywhere else.
        let _ = out.write_all(&bytes);
        bytes.clear();
        if dropped > 0 {
            log::warn!("event=log_dropped lines={dropped} cause=\"standard error was too slow\"");
        }
        let mut waiting = shared.lock();
        waiting.writing = false;
        if waiting.is_empty() {
            shared.emptied.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::thread;
    use std::time::Duration;

    use super::{Lines, WAITING_BYTES_MAX};

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn lines_come_out_in_order_and_flush_waits_for_them() {
        let (reader, writer) = std::io::pipe().unwrap();
        let lines = Lines::default();
        for number in 0..100 {
            lines.add(format!("{number}\n").as_bytes(), writer.try_clone().unwrap()).unwrap();
        }
        lines.flush(LONG);
        assert!(lines.shared.lock().is_empty());
        let read: Vec<String> = BufReader::new(reader).lines().take(100).flatten().collect();
        assert_eq!(read, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn nobody_waits_for_a_stream_that_takes_nothing_and_memory_is_bounded() {
        let (reader, writer) = std::io::pipe().unwrap();
        let lines = Lines::default();
        // More than a pipe takes: its thread begins to write it, and is stuck.
        lines.add(&[b'x'; WAITING_BYTES_MAX], writer.try_clone().unwrap()).unwrap();
        while !lines.shared.lock().writing {
            thread::yield_now();
        }
        for _ in 0..WAITING_BYTES_MAX / 1000 + 10 {
            lines.add(&[b'x'; 1000], writer.try_clone().unwrap()).unwrap();
        }
        lines.flush(Duration::from_millis(1));
        let waiting = lines.shared.lock();
        assert_eq!(waiting.bytes.len(), WAITING_BYTES_MAX / 1000 * 1000);
        assert_eq!(waiting.dropped, 10);
        drop((waiting, reader));
        // Its reader is gone: the thread goes on without it.
        lines.flush(LONG);
        assert!(lines.shared.lock().is_empty());
    }
}
