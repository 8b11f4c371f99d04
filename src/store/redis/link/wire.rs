//! Wire: the bytes of one connection, in and out, and what the network is to do with it.

use std::collections::VecDeque;
use std::fmt;

use super::words::Output;
use crate::store::redis::answers::Published;
use crate::store::redis::options::Address;
use crate::store::redis::plain_reply;
use crate::store::redis::resp::{Breach, Decoder, Value};

/// See the module.
#[derive(Default)]
pub(super) struct Wire {
    /// Whether there is a connection, or a dial.
    is_open: bool,
    decoder: Decoder,
    /// What is to be sent with the next output.
    pub(super) unsent: Vec<u8>,
    outputs: VecDeque<Output>,
}

impl Wire {
    /// Dials; whatever there was is closed.
    pub(super) fn connect(&mut self, address: Address) {
        self.close();
        self.is_open = true;
        self.outputs.push_back(Output::Connect(address));
    }

    /// Ends the connection or the dial, if there is one.
    pub(super) fn close(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.outputs.push_back(Output::Close);
        }
        self.unsent = Vec::new();
        self.decoder = Decoder::default();
    }

    /// The next value in `rest`, which is left with the bytes behind it.
    pub(super) fn decode(&mut self, rest: &mut &[u8]) -> Result<Option<Value>, Breach> {
        let (taken, value) = self.decoder.decode(rest)?;
        *rest = &rest[taken..];
        Ok(value)
    }

    /// The answer to a publish, if that comes next in `rest` and is plain; with the time on Redis'
    /// clock, milliseconds.
    pub(super) fn published(&self, rest: &mut &[u8]) -> Option<(u64, Published)> {
        let between = self.decoder.is_between();
        let (time_ms, published, behind) = plain_reply::published(rest).filter(|_| between)?;
        *rest = behind;
        Some((time_ms, published))
    }

    /// What the network is to do next; bytes of all commands since the last one come together.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| {
            let bytes = std::mem::take(&mut self.unsent);
            (!bytes.is_empty()).then_some(Output::Send(bytes))
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }
}

/// Without what is to be sent: a password may be in it.
impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire {{ is_open: {}, unsent: {} bytes }}", self.is_open, self.unsent.len())
    }
}
