//! Mirror: what is known here of a channel in Redis that is listened to, and what becomes of what
//! is heard of it. Sends nothing.
//!
//! ```text
//! Opening --the answer to a subscriber--> Live --a hole, or another connection--> Syncing --> Live
//! ```
//!
//! Whatever is heard before an answer was done before the question: the answer has it.

use std::rc::Rc;

use super::announcement::{Announced, Announcement};
use super::answers::{Entry, Opened, Synced};
use crate::message::MessageId;
use crate::store::ask::ChannelKey;

/// Messages that are not kept, heard while the mirror is synced: as many as wait here at most.
const HELD_BACK_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Mirror {
    /// The hub's name of it.
    pub(super) name: Rc<[u8]>,
    /// Its channel here; `None`: there is none yet, or it was deleted.
    pub(super) channel: Option<ChannelKey>,
    pub(super) stage: Stage,
    /// Of the connection on which it is listened to.
    pub(super) epoch: u64,
    /// Of the newest message that was heard of, kept or not.
    pub(super) last: MessageId,
    /// A subscriber behind this id can be answered from here.
    pub(super) covered: MessageId,
    /// How often the channel was deleted.
    pub(super) generation: u64,
    /// Questions of subscribers that are under way.
    pub(super) opens: u32,
    /// Deletions of our own that are under way, and whether one was heard meanwhile.
    pub(super) deletes: u32,
    pub(super) was_deleted: bool,
    /// It is in the list of those whose lease is renewed, or of those that nobody waits on.
    pub(super) is_leased: bool,
    pub(super) is_left: bool,
    /// Messages that no sync brings.
    held_back: Vec<Announced>,
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing is known yet.
    Opening,
    /// Redis is asked what came after `last`.
    Syncing,
    /// Everything behind `covered` is known.
    Live,
}

/// What becomes of what was heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is known, or will be.
    Nothing,
    /// A message, the next one of the channel.
    Message(Announced),
    /// The channel is deleted.
    Deleted,
    /// Something is missing before it, or it is to be read.
    Hole,
}

impl Mirror {
    pub(super) fn new(name: Rc<[u8]>, epoch: u64) -> Self {
        Self {
            name,
            channel: None,
            stage: Stage::Opening,
            epoch,
            last: MessageId::default(),
            covered: MessageId::default(),
            generation: 0,
            opens: 0,
            deletes: 0,
            was_deleted: false,
            is_leased: false,
            is_left: false,
            held_back: Vec::new(),
        }
    }

    /// A subscriber's question was answered; whether that has begun the mirror.
    pub(super) fn opened(&mut self, opened: &Opened) -> bool {
        let begins = self.stage == Stage::Opening;
        if begins {
            self.stage = Stage::Live;
            (self.last, self.covered) = (opened.last, opened.last);
            self.generation = opened.generation;
        }
        begins
    }

    /// Takes what was announced, while it is listened to.
    pub(super) fn hear(&mut self, announcement: Announcement) -> Heard {
        match (self.stage, announcement) {
            (Stage::Opening, _) => Heard::Nothing,
            (Stage::Syncing, Announcement::Published(announced)) => {
                self.hold_back(*announced);
                Heard::Nothing
            }
            (Stage::Syncing, Announcement::Deleted(_)) => Heard::Nothing,
            (Stage::Live, Announcement::Deleted(generation)) => {
                if generation <= self.generation {
                    return Heard::Nothing;
                }
                self.generation = generation;
                // The answer to ours comes next.
                self.was_deleted = self.deletes > 0;
                if self.was_deleted { Heard::Nothing } else { Heard::Deleted }
            }
            (Stage::Live, Announcement::Published(announced)) => {
                if announced.id <= self.last {
                    return Heard::Nothing;
                }
                if announced.last > self.last
                    || announced.generation > self.generation
                    || announced.content.is_none()
                {
                    self.hold_back(*announced);
                    return Heard::Hole;
                }
                // Smaller where Redis has lost its data.
                self.generation = announced.generation;
                Heard::Message(*announced)
            }
        }
    }

    /// Keeps a message that no sync brings.
    fn hold_back(&mut self, announced: Announced) {
        if !announced.is_stored && self.held_back.len() < HELD_BACK_MAX {
            self.held_back.push(announced);
        }
    }

    /// Takes the answer to a sync: whether the channel was deleted meanwhile, and what came, oldest
    /// first. Where there is more, the sync goes on.
    pub(super) fn synced(&mut self, synced: &mut Synced) -> (bool, Vec<Announced>) {
        let is_deleted = synced.generation > self.generation;
        self.generation = synced.generation;
        let until = match synced.entries.last() {
            Some(entry) if synced.more => entry.id,
            _ => MessageId::MAX,
        };
        let mut messages: Vec<Announced> =
            synced.entries.drain(..).map(|entry| announced(entry, synced.generation)).collect();
        messages.extend(self.held_back.extract_if(.., |message| message.id <= until));
        messages.retain(|message| message.id > self.last);
        messages.sort_unstable_by_key(|message| message.id);
        (is_deleted, messages)
    }
}

/// An entry, as if it was announced now.
fn announced(entry: Entry, generation: u64) -> Announced {
    let Entry { id, number, before, content } = entry;
    let (kept, content) = (before, Some(content));
    Announced { id, number, last: before, kept, generation, is_stored: true, content }
}
