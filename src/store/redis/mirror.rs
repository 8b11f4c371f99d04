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
    /// A subscriber behind this id can be answered from here; the greatest: nobody can.
    pub(super) covered: MessageId,
    /// How often the channel was deleted.
    pub(super) generation: u64,
    /// Questions of subscribers that are under way.
    pub(super) opens: u32,
    /// Deletions of our own that are under way, and whether one was heard meanwhile.
    deletes: u32,
    was_deleted: bool,
    /// When its lease is renewed, and when it is dropped if it has no channel; milliseconds.
    pub(super) lease_ms: Option<u64>,
    pub(super) left_ms: Option<u64>,
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
            lease_ms: None,
            left_ms: None,
            held_back: Vec::new(),
        }
    }

    /// A subscriber's question was answered; whether that shows that the channel was deleted.
    pub(super) fn opened(&mut self, opened: &Opened) -> bool {
        if self.stage == Stage::Opening {
            self.stage = Stage::Live;
            (self.last, self.covered) = (opened.last, opened.last);
            self.generation = opened.generation;
        }
        if self.covered == MessageId::MAX {
            self.covered = self.last.max(opened.last);
        }
        // A sync whose script was not known is answered behind it.
        let is_deleted = opened.generation > self.generation;
        self.generation = self.generation.max(opened.generation);
        is_deleted
    }

    /// Redis does not know the channel any more: the next subscriber is answered by Redis, which
    /// may make it or not.
    pub(super) fn doubt(&mut self) {
        self.covered = MessageId::MAX;
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

    /// A deletion of our own is under way.
    pub(super) fn begin_delete(&mut self) {
        self.deletes += 1;
    }

    /// It is no more; gives whether one was heard meanwhile.
    pub(super) fn end_delete(&mut self) -> bool {
        // The mirror may be younger than the deletion.
        self.deletes = self.deletes.saturating_sub(1);
        std::mem::take(&mut self.was_deleted)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Content;

    fn id(tag: u32) -> MessageId {
        MessageId { time: 100, tag }
    }

    fn message(tag: u32, last: u32, is_stored: bool) -> Announced {
        let content = Some(Content { body: vec![tag as u8].into(), ..Content::default() });
        let (id, last, kept) = (id(tag), id(last), MessageId::default());
        Announced { id, number: tag, last, kept, generation: 3, is_stored, content }
    }

    fn published(announced: Announced) -> Announcement {
        Announcement::Published(Box::new(announced))
    }

    fn opened() -> Opened {
        Opened {
            last: id(7),
            kept: id(7),
            generation: 3,
            messages: 1,
            newest_place: id(7),
            is_published: true,
            first: None,
            is_oldest: false,
            places: Vec::new(),
        }
    }

    /// A mirror that knows of message 7 of a channel that was deleted three times.
    fn live() -> Mirror {
        let mut mirror = Mirror::new(b"a"[..].into(), 0);
        assert_eq!(mirror.hear(published(message(6, 5, true))), Heard::Nothing, "it has no last");
        let opened = opened();
        assert!(!mirror.opened(&opened));
        assert!(!mirror.opened(&Opened { last: id(6), ..opened }), "only the first begins it");
        assert_eq!((mirror.last, mirror.covered), (id(7), id(7)));
        mirror
    }

    fn synced(tags: &[u32], more: bool) -> Synced {
        let entry = |tag: &u32| Entry {
            id: id(*tag),
            number: *tag,
            before: id(tag - 1),
            content: Content::default(),
        };
        Synced {
            last: id(99),
            kept: id(99),
            generation: 3,
            is_alive: true,
            more,
            entries: tags.iter().map(entry).collect(),
        }
    }

    #[test]
    fn what_is_announced_is_brought_once_and_in_order() {
        let mut mirror = live();
        assert_eq!(mirror.hear(published(message(7, 6, true))), Heard::Nothing, "it is known");
        let next = message(8, 7, true);
        assert_eq!(mirror.hear(published(next.clone())), Heard::Message(next));
        // `last` is the bringer's to move: until then the same is missing before the next but one.
        assert_eq!(mirror.hear(published(message(9, 8, true))), Heard::Hole);
        mirror.last = id(8);
        let body_elsewhere = Announced { content: None, ..message(9, 8, true) };
        assert_eq!(mirror.hear(published(body_elsewhere)), Heard::Hole);
        // Redis has lost its data: smaller numbers, but ids above all that were known.
        let fresh = Announced { generation: 0, ..message(20, 0, true) };
        assert_eq!(mirror.hear(published(fresh.clone())), Heard::Message(fresh));
        assert_eq!(mirror.generation, 0);
    }

    #[test]
    fn a_deletion_is_told_once_whoever_asked_for_it() {
        let mut mirror = live();
        assert_eq!(mirror.hear(Announcement::Deleted(3)), Heard::Nothing, "it is known");
        assert_eq!(mirror.hear(Announcement::Deleted(4)), Heard::Deleted);
        assert_eq!(mirror.hear(Announcement::Deleted(4)), Heard::Nothing);
        mirror.begin_delete();
        assert_eq!(mirror.hear(Announcement::Deleted(5)), Heard::Nothing, "our answer comes next");
        assert!(mirror.end_delete());
        assert!(!mirror.end_delete());
        // A message of a channel that was deleted meanwhile, which was not heard.
        let later = Announced { generation: 6, ..message(8, 7, true) };
        assert_eq!(mirror.hear(published(later)), Heard::Hole);
    }

    #[test]
    fn a_sync_brings_what_is_kept_and_what_was_heard_of_others() {
        let mut mirror = live();
        mirror.stage = Stage::Syncing;
        for heard in [message(8, 7, true), message(9, 8, false), message(12, 11, false)] {
            assert_eq!(mirror.hear(published(heard)), Heard::Nothing);
        }
        assert_eq!(mirror.hear(Announcement::Deleted(9)), Heard::Nothing, "the answer has it");
        let mut first = synced(&[8, 10], true);
        let tags = |messages: Vec<Announced>| -> Vec<u32> {
            messages.iter().map(|message| message.id.tag).collect()
        };
        let (is_deleted, messages) = mirror.synced(&mut first);
        assert_eq!((is_deleted, tags(messages)), (false, vec![8, 9, 10]));
        mirror.last = id(10);
        let (is_deleted, messages) = mirror.synced(&mut synced(&[10, 11], false));
        assert_eq!((is_deleted, tags(messages)), (false, vec![11, 12]), "each once");
        assert!(mirror.opened(&Opened { generation: 4, ..opened() }), "its answer came first");
        assert!(!mirror.synced(&mut Synced { generation: 4, ..synced(&[], false) }).0);
        let mut deleted = Synced { generation: 5, ..synced(&[], false) };
        assert!(mirror.synced(&mut deleted).0);
        assert!(!mirror.synced(&mut deleted).0);
    }

    #[test]
    fn where_redis_has_lost_the_channel_it_is_asked_before_the_next_subscriber_waits() {
        let mut mirror = live();
        mirror.doubt();
        assert_eq!(mirror.covered, MessageId::MAX);
        let later = message(8, 7, true);
        assert_eq!(mirror.hear(published(later.clone())), Heard::Message(later));
        mirror.last = id(8);
        let opened = Opened {
            last: id(0),
            kept: id(0),
            generation: 0,
            messages: 0,
            newest_place: id(8),
            is_published: false,
            first: None,
            is_oldest: false,
            places: Vec::new(),
        };
        mirror.opened(&opened);
        assert_eq!((mirror.last, mirror.covered), (id(8), id(8)));
    }

    #[test]
    fn what_no_sync_brings_is_bounded() {
        let mut mirror = live();
        mirror.stage = Stage::Syncing;
        for tag in 8..1000 {
            mirror.hear(published(message(tag, tag - 1, false)));
        }
        assert_eq!(mirror.synced(&mut synced(&[], false)).1.len(), HELD_BACK_MAX);
    }
}
