//! Record: what passed between a [`crate::Network`] and its relay, in order.

use pushserver::relay::{ConnKey, Input, Output};
use pushserver::store::{MessageRecord, Outcome, StoreId};

/// One thing that passed.
#[derive(Debug)]
pub enum Happened {
    /// The relay was given bytes of a connection.
    Received(ConnKey, Vec<u8>),
    /// The relay did not want to read a connection.
    Refused(ConnKey),
    /// The relay was told something else of a connection.
    Told(ConnKey, Input<'static>),
    /// The relay did what was due.
    Due,
    /// The relay asked for this, and it was carried out.
    Asked(Output),
    /// A durable store gave out a batch, with these messages.
    Taken(StoreId, Vec<MessageRecord>),
    /// A durable store has its batch back.
    Written(StoreId, Outcome),
}

/// See the file.
#[derive(Debug, Default)]
pub(crate) struct Record {
    is_kept: bool,
    happened: Vec<Happened>,
}

impl Record {
    /// From now on what happens is kept.
    pub(crate) fn begin(&mut self) {
        self.is_kept = true;
    }

    pub(crate) fn note(&mut self, what: Happened) {
        self.note_at(self.happened.len(), what);
    }

    /// Where the next one will be.
    pub(crate) fn next(&self) -> usize {
        self.happened.len()
    }

    /// Before what has come of it.
    pub(crate) fn note_at(&mut self, at: usize, what: Happened) {
        if self.is_kept {
            self.happened.insert(at, what);
        }
    }

    /// What happened since this was asked before.
    pub(crate) fn take(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.happened)
    }
}
