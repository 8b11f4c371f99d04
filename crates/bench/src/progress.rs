//! Progress: one line on the terminal that says how far the measurement is. Writes nothing if
//! standard error is not a terminal.

use std::io::{IsTerminal, Write, stderr};

/// The shortest time between two updates.
const INTERVAL_NS: u64 = 200_000_000;

/// The progress line.
#[derive(Debug)]
pub(crate) struct Progress {
    visible: bool,
    next_ns: u64,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { visible: !quiet && stderr().is_terminal(), next_ns: 0 }
    }

    /// Shows the text, unless the last update is too recent.
    pub(crate) fn show(&mut self, now_ns: u64, text: impl FnOnce() -> String) {
        if self.visible && now_ns >= self.next_ns {
            self.next_ns = now_ns + INTERVAL_NS;
            // The measurement goes on without a terminal.
            let _ = write!(stderr(), "\r\x1b[K{}", text());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.visible {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
