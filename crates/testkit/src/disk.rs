//! Disk: what durable stores have written down, in memory. It takes time and refuses as a test
//! says; a later process reads it again.

use std::collections::{BTreeMap, HashMap, VecDeque};

use pushserver::clock::Now;
use pushserver::message::MessageId;
use pushserver::relay::{Command, Relay};
use pushserver::store::{Batch, ChannelRecord, MessageRecord, Outcome, Restored, StoreId};

use crate::record::{Happened, Record};

/// See the file.
#[derive(Debug, Default)]
pub struct Disk {
    /// Turns that a batch takes, beyond the one in which it is given back.
    pub turns: u64,
    /// What becomes of every batch that is written from now on.
    pub refuses: bool,
    writing: VecDeque<(u64, Batch)>,
    files: HashMap<StoreId, File>,
    turn: u64,
    batches: usize,
}

/// What one store has written down.
#[derive(Debug, Clone, Default)]
struct File {
    channels: HashMap<Box<[u8]>, ChannelRecord>,
    messages: BTreeMap<MessageId, MessageRecord>,
}

impl Disk {
    /// Gives back what is written by now; first in a turn.
    pub(crate) fn give_back(&mut self, relay: &mut Relay, record: &mut Record, now: Now) {
        self.turn += 1;
        while self.writing.front().is_some_and(|(due, _)| *due <= self.turn) {
            let (_, batch) = self.writing.pop_front().expect("there is one");
            let outcome = if self.refuses { Outcome::Refused } else { Outcome::Written };
            if outcome == Outcome::Written {
                self.files.entry(batch.store()).or_default().write(&batch);
            }
            self.batches += 1;
            record.note(Happened::Written(batch.store(), outcome));
            relay.command(Command::Written(batch, outcome), now);
        }
    }

    /// Takes what is to be written.
    pub(crate) fn take(&mut self, relay: &mut Relay, record: &mut Record, now: Now) {
        while let Some(batch) = relay.next_batch(now) {
            record.note(Happened::Taken(batch.store(), batch.messages().cloned().collect()));
            self.writing.push_back((self.turn + 1 + self.turns, batch));
        }
    }

    /// Whether something is being written.
    pub fn is_busy(&self) -> bool {
        !self.writing.is_empty()
    }

    /// How many batches were written or refused.
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// The process has ended: what it had not written is lost.
    pub fn lose_rest(&mut self) {
        self.writing.clear();
    }

    /// The same files, for a later process.
    pub fn again(&self) -> Self {
        Self { files: self.files.clone(), ..Self::default() }
    }

    /// What a later process reads of a store.
    pub fn restored(&self, store: StoreId) -> Vec<Restored> {
        let Some(file) = self.files.get(&store) else { return Vec::new() };
        let channels = file.channels.values().cloned().map(Restored::Channel);
        channels.chain(file.messages.values().cloned().map(Restored::Message)).collect()
    }
}

impl File {
    fn write(&mut self, batch: &Batch) {
        for record in batch.channels() {
            let before = self.channels.get(&record.name).map(|before| before.gone_through);
            let gone_through = record.gone_through.max(before.unwrap_or_default());
            let record = ChannelRecord { gone_through, ..record.clone() };
            self.channels.insert(record.name.clone(), record);
        }
        for message in batch.messages() {
            let before = self.messages.insert(message.place, message.clone());
            assert!(before.is_none(), "two messages have one place");
        }
        for place in batch.gone() {
            self.messages.remove(place);
        }
        let messages = &self.messages;
        self.channels.retain(|name, record| {
            let settled = record.made.is_none() && record.gone_through < batch.settled();
            let mut of_it = messages.values().filter(|message| message.channel == *name);
            assert!(
                !settled || of_it.all(|message| message.place > record.gone_through),
                "a channel may be forgotten, though its deleted messages are there"
            );
            true
        });
    }
}
