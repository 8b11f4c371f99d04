//! Durable: a memory store that writes down whatever changes before anybody sees it. What is to be
//! written is given out as a [`Batch`] and comes back with its outcome; it never touches a file.
//!
//! One batch is on its way at a time, and all that is asked meanwhile waits for the next. So the
//! memory is as the last batch left it when ids are given to the messages of the next one.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU64;

use super::ahead::{Ahead, Question};
use super::ask::{Answer, Ask, ChannelName, Reply, StoreId, Ticket};
use super::channels::Channels;
use super::memory::Memory;
use super::memory::asks::Asks;
use super::record::{Batch, Change, ChannelRecord, Outcome, Restored, What};
use super::tombstones::Remains;
use crate::clock::Now;
use crate::message::MessageId;

/// Messages that may wait to be written, bytes.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// What a question counts beside its content, bytes.
const ASKED_BYTES: usize = 200;

/// The last second that is taken from what was written down: later ones are not written, and ids go
/// on behind what is taken.
const SECOND_MAX: u64 = u32::MAX as u64;

/// How long it may stay unwritten what has gone, milliseconds: it would go again after a start.
const NOTES_MS: u64 = 1000;

/// See the module.
#[derive(Debug)]
pub(super) struct Durable {
    memory: Memory,
    /// Asked, and in no batch yet.
    asked: VecDeque<Asked>,
    /// Of what is asked and not answered, bytes.
    waiting_bytes: usize,
    /// A batch is on its way.
    is_writing: bool,
    /// What came back, in the order asked.
    written: VecDeque<(Change, Outcome)>,
    /// Answers that need no writing.
    refused: VecDeque<(Ticket, NotAsked)>,
    /// Counts the questions, from 1.
    number: u64,
    /// See [`Batch::settled`].
    settled: MessageId,
    /// When what has gone is to be written, if nothing else is, milliseconds.
    notes_due_ms: Option<u64>,
    /// At the start: through which place each channel was deleted whose messages may be there.
    deleted: HashMap<Box<[u8]>, MessageId>,
}

/// A question that waits for its batch.
#[derive(Debug)]
struct Asked {
    ticket: Ticket,
    name: Box<[u8]>,
    question: Question,
}

/// Why nothing is written.
#[derive(Debug, Clone, Copy)]
enum NotAsked {
    Missing,
    TooManyChannels,
}

impl Durable {
    pub(super) fn new(mut memory: Memory) -> Self {
        memory.list.notes = Some(Box::default());
        Self {
            memory,
            asked: VecDeque::new(),
            waiting_bytes: 0,
            is_writing: false,
            written: VecDeque::new(),
            refused: VecDeque::new(),
            number: 0,
            settled: MessageId::default(),
            notes_due_ms: None,
            deleted: HashMap::new(),
        }
    }

    /// Asks for something that is to be written.
    ///
    /// # Errors
    /// Everything else, which is the memory's to answer.
    pub(super) fn ask<'a, W>(
        &mut self,
        name: ChannelName<'_>,
        ask: Ask<'a>,
    ) -> Result<Answer<W>, Ask<'a>> {
        let question = match ask {
            Ask::Next(_) | Ask::Inspect => return Err(ask),
            Ask::Append { ref content, keep: true, .. }
                if content.bytes() > self.memory.content_bytes_max() =>
            {
                return Ok(Answer::Now(Reply::TooLarge));
            }
            Ask::Append { content, create, keep } => {
                Question::Append { content: content.into(), create, keep }
            }
            Ask::Create => Question::Create,
            Ask::Delete => Question::Delete,
        };
        let asked = Asked { ticket: self.ticket(name.store), name: name.name.into(), question };
        let bytes = ASKED_BYTES + asked.question.bytes();
        if self.waiting_bytes > 0 && self.waiting_bytes + bytes > WAITING_BYTES_MAX {
            return Ok(Answer::Now(Reply::Busy));
        }
        self.waiting_bytes += bytes;
        let ticket = asked.ticket;
        self.asked.push_back(asked);
        Ok(Answer::Later(ticket))
    }

    fn ticket(&mut self, store: StoreId) -> Ticket {
        self.number += 1;
        Ticket::patient(NonZeroU64::new(self.number).expect("it counts from 1"), store)
    }

    /// What is to be written now, if there is something and nothing else is being written.
    pub(super) fn next_batch<W>(
        &mut self,
        store: StoreId,
        channels: &mut Channels<W>,
        now: Now,
    ) -> Option<Batch> {
        let notes_are_due = self.notes_due_ms.is_some_and(|due_ms| due_ms <= now.mono_ms);
        if self.is_writing || !self.written.is_empty() {
            return None;
        }
        if self.asked.is_empty() && !notes_are_due {
            return None;
        }
        if !self.memory.is_behind() {
            self.settled = self.memory.numbering.newest();
        }
        let changes = self.changes(store, channels, now);
        let notes = std::mem::take(self.memory.list.notes.as_deref_mut()?);
        self.notes_due_ms = None;
        if changes.is_empty() && notes.is_empty() {
            return None;
        }
        self.is_writing = true;
        Some(Batch { store, changes, notes, settled: self.settled })
    }

    /// Gives what was asked its ids, and refuses what cannot be.
    fn changes<W>(&mut self, store: StoreId, channels: &mut Channels<W>, now: Now) -> Vec<Change> {
        let Self { memory, asked, refused, waiting_bytes, .. } = self;
        memory.numbering.hide(now.unix_s);
        let mut ahead: HashMap<Box<[u8]>, Ahead> = HashMap::new();
        let mut made = 0;
        let mut changes = Vec::with_capacity(asked.len());
        for Asked { ticket, name, question } in asked.drain(..) {
            let channel = match ahead.get_mut(&name) {
                Some(channel) => channel,
                None => ahead.entry(name.clone()).or_insert(Ahead::of(&name, channels, memory)),
            };
            let may_make = match question {
                Question::Append { create, .. } => create,
                Question::Create => true,
                Question::Delete => false,
            };
            let why = match channel.exists {
                true => None,
                false if !may_make => Some(NotAsked::Missing),
                false if channel.has_room || channels.has_room_for(made) => None,
                false => Some(NotAsked::TooManyChannels),
            };
            if let Some(why) = why {
                *waiting_bytes -= ASKED_BYTES + question.bytes();
                refused.push_back((ticket, why));
                continue;
            }
            made += usize::from(!channel.has_room);
            channel.has_room = true;
            let what = channel.change(memory, store.written(&name).into(), question, now);
            changes.push(Change { ticket, what });
        }
        let agreed = ahead.into_iter().filter(|(_, channel)| channel.has_room);
        channels.agree(agreed.map(|(name, _)| name));
        if changes.is_empty() {
            self.settle(store, channels);
        }
        changes
    }

    /// All that was asked is done, or refused.
    fn settle<W>(&mut self, store: StoreId, channels: &mut Channels<W>) {
        channels.settle_agreed(store);
        self.memory.numbering.show();
    }

    /// Takes a batch back.
    pub(super) fn take_back(&mut self, batch: Batch, outcome: Outcome) {
        self.is_writing = false;
        self.written.extend(batch.changes.into_iter().map(|change| (change, outcome)));
        if outcome == Outcome::Refused
            && let Some(notes) = self.memory.list.notes.as_deref_mut()
        {
            notes.put_before(batch.notes);
        }
    }

    /// Does what was written first, and answers it.
    pub(super) fn next_reply<W: Default>(
        &mut self,
        store: StoreId,
        channels: &mut Channels<W>,
        now: Now,
    ) -> Option<(Option<Ticket>, Reply<W>)> {
        if let Some((ticket, why)) = self.refused.pop_front() {
            let reply = match why {
                NotAsked::Missing => Reply::Missing { name: None },
                NotAsked::TooManyChannels => Reply::TooManyChannels,
            };
            return Some((Some(ticket), reply));
        }
        let (Change { ticket, what }, outcome) = self.written.pop_front()?;
        self.waiting_bytes -= ASKED_BYTES + what.content_bytes();
        if self.written.is_empty() {
            self.settle(store, channels);
        }
        if outcome == Outcome::Refused {
            return Some((Some(ticket), Reply::NotWritten));
        }
        let mut asks = Asks { channels, memory: &mut self.memory, now };
        let reply = match what {
            What::Append { message, keep } => asks.append_written(store, message, keep),
            What::Create(record) => asks.create_written(store, &store.name_of(&record.name)),
            What::Delete(record) => {
                let name = store.name_of(&record.name);
                asks.answer(ChannelName { store, name: &name }, Ask::Delete)
            }
        };
        Some((Some(ticket), reply))
    }

    /// When there is something to do, milliseconds.
    pub(super) fn due_ms(&self) -> Option<u64> {
        let has_answers = !self.refused.is_empty() || !self.written.is_empty();
        match (has_answers, self.is_writing) {
            (true, _) => Some(0),
            (false, true) => None,
            (false, false) if !self.asked.is_empty() => Some(0),
            (false, false) => self.notes_due_ms,
        }
    }

    /// Sees to it that what has gone is written down some time.
    pub(super) fn note_time(&mut self, now: Now) {
        let has_notes = self.memory.list.notes.as_ref().is_some_and(|notes| !notes.is_empty());
        if has_notes && !self.is_writing && self.notes_due_ms.is_none() {
            self.notes_due_ms = Some(now.mono_ms + NOTES_MS);
        }
    }

    /// Takes what an earlier process has written down, in the order of [`Restored`]; then
    /// [`Durable::restored`].
    pub(super) fn restore<W: Default>(
        &mut self,
        store: StoreId,
        restored: Restored,
        channels: &mut Channels<W>,
        now: Now,
    ) {
        let record = match restored {
            Restored::Channel(record) => {
                return self.restore_channel(store, record, channels, now);
            }
            Restored::Message(record) => record,
        };
        let place = record.place;
        let is_deleted = self.deleted.get(&record.channel).is_some_and(|through| place <= *through);
        let is_sound = record.before < record.id() && place.time <= SECOND_MAX;
        if is_sound {
            self.memory.numbering.raise(place);
        }
        let mut asks = Asks { channels, memory: &mut self.memory, now };
        if is_deleted || !is_sound || !asks.restore(store, record) {
            self.memory.list.notes.get_or_insert_default().gone.push(place);
        }
    }

    /// Everything is restored. What is too old goes as it would have gone.
    pub(super) fn restored<W: Default>(&mut self, channels: &mut Channels<W>, now: Now) {
        self.deleted = HashMap::new();
        self.memory.expire(now.mono_ms);
        Asks { channels, memory: &mut self.memory, now }.settle_emptied();
        channels.raise(self.memory.numbering.newest());
    }

    fn restore_channel<W: Default>(
        &mut self,
        store: StoreId,
        record: ChannelRecord,
        channels: &mut Channels<W>,
        now: Now,
    ) {
        let ChannelRecord { name, last, lost_through, gone_through, made } = record;
        if last.max(lost_through).max(gone_through).time > SECOND_MAX {
            return;
        }
        let name_of = store.name_of(&name);
        if gone_through != MessageId::default() {
            self.deleted.insert(name, gone_through);
        }
        let through = self.memory.numbering.last_place_of(last);
        self.memory.numbering.raise(through.max(gone_through));
        let (name, remains) =
            (ChannelName { store, name: &name_of }, Remains { last, lost_through });
        if let Some(key) = channels.restore(name, made, remains, now) {
            Asks { channels, memory: &mut self.memory, now }.settle(key);
        }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }
}
