//! Progress: one line on a terminal that says how far the work is. Writes nothing where standard
//! error is no terminal.

use std::io::{IsTerminal, Write, stderr};

/// The line is renewed no more often.
const INTERVAL_NS: u64 = 200_000_000;

/// The line.
#[derive(Debug)]
pub(crate) struct Progress {
    visible: bool,
    next_ns: u64,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { visible: !quiet && stderr().is_terminal(), next_ns: 0 }
    }

    /// Shows the text, unless the last one is too young.
    pub(crate) fn show(&mut self, now_ns: u64, text: impl FnOnce() -> String) {
        if self.visible && now_ns >= self.next_ns {
            self.next_ns = now_ns + INTERVAL_NS;
            // A terminal that is gone is no reason to stop measuring.
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
