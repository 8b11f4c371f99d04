//! Drops: how many messages have gone, and why; and the last of them, for whoever asks where they
//! are. Bounded, and decides nothing.

use std::collections::VecDeque;
use std::rc::Rc;

use super::ask::ChannelKey;
use crate::figures::HubFigures;
use crate::message::MessageId;

/// Drops that wait to be taken; beyond, the oldest are forgotten.
const DROPS_MAX: usize = 512;

/// Why a message is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Its time was up.
    Expired,
    /// `max_messages`.
    MaxMessages,
    /// `max_memory`.
    MaxMemory,
    /// Its channel was deleted.
    Deleted,
}

impl Gone {
    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::MaxMessages => "max_messages",
            Self::MaxMemory => "max_memory",
            Self::Deleted => "deleted",
        }
    }
}

/// A message that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The name of its channel.
    pub name: Rc<[u8]>,
    /// Its id there.
    pub id: MessageId,
    /// Why it is gone.
    pub why: Gone,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Drops {
    /// How many messages of channels that are there went for each reason, since the start.
    counts: [u64; 3],
    /// `None`: nobody asks.
    noted: Option<Box<Noted>>,
}

/// The last of them.
#[derive(Debug, Default)]
struct Noted {
    /// Of channels that are there, and whose names have still to be looked up.
    unnamed: VecDeque<(ChannelKey, MessageId, Gone)>,
    named: VecDeque<Dropped>,
}

impl Drops {
    /// Whether messages are noted from now on, and not only counted.
    pub(super) fn note_each(&mut self, notes: bool) {
        match notes {
            true => drop(self.noted.get_or_insert_default()),
            false => self.noted = None,
        }
    }

    /// A message of a channel is gone.
    pub(super) fn note(&mut self, owner: ChannelKey, id: MessageId, why: Gone) {
        self.counts[why as usize] += 1;
        if let Some(noted) = &mut self.noted {
            push(&mut noted.unnamed, (owner, id, why));
        }
    }

    /// Messages go with their channel, which is called so; the newest first.
    pub(super) fn note_deleted(&mut self, name: &Rc<[u8]>, ids: impl Iterator<Item = MessageId>) {
        let Some(noted) = &mut self.noted else { return };
        let ids: Vec<MessageId> = ids.take(DROPS_MAX).collect();
        for id in ids.into_iter().rev() {
            push(&mut noted.named, Dropped { name: Rc::clone(name), id, why: Gone::Deleted });
        }
    }

    /// Looks the names up of what has gone, before its channels end.
    pub(super) fn name(&mut self, name_of: impl Fn(ChannelKey) -> Option<Rc<[u8]>>) {
        let Some(noted) = &mut self.noted else { return };
        while let Some((owner, id, why)) = noted.unnamed.pop_front() {
            if let Some(name) = name_of(owner) {
                push(&mut noted.named, Dropped { name, id, why });
            }
        }
    }

    /// The next message that has gone.
    pub(super) fn pop(&mut self) -> Option<Dropped> {
        self.noted.as_mut()?.named.pop_front()
    }

    /// How many messages of channels that are there went, beside what there is.
    pub(super) fn figures(&self, there: HubFigures) -> HubFigures {
        let [expired, evicted_max_messages, evicted_max_memory] = self.counts;
        let evicted = evicted_max_messages + evicted_max_memory;
        HubFigures { expired, evicted, evicted_max_messages, evicted_max_memory, ..there }
    }
}

fn push<T>(list: &mut VecDeque<T>, one: T) {
    if list.len() == DROPS_MAX {
        list.pop_front();
    }
    list.push_back(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_is_counted_and_where_somebody_asks_the_last_of_it_is_noted() {
        let mut drops = Drops::default();
        let (key, id) = (ChannelKey::from_bits, |time| MessageId { time, tag: 0 });
        let name: Rc<[u8]> = b"name"[..].into();
        let name_of = |owner: ChannelKey| (owner.index() < 2).then(|| Rc::clone(&name));
        drops.note(key(1), id(1), Gone::Expired);
        assert_eq!(drops.pop(), None);
        drops.note_each(true);
        drops.note(key(1), id(2), Gone::MaxMemory);
        drops.note(key(2), id(3), Gone::MaxMemory);
        assert_eq!(drops.pop(), None);
        drops.name(name_of);
        drops.note_deleted(&name, [id(5), id(4)].into_iter());
        let all: Vec<_> = std::iter::from_fn(|| drops.pop()).collect();
        let all: Vec<_> = all.iter().map(|one| (one.id.time, one.why.word())).collect();
        assert_eq!(all, [(2, "max_memory"), (4, "deleted"), (5, "deleted")]);
        let HubFigures { expired, evicted, evicted_max_messages, evicted_max_memory, .. } =
            drops.figures(HubFigures::default());
        assert_eq!([expired, evicted, evicted_max_messages, evicted_max_memory], [1, 2, 0, 2]);
        for time in 0..2000 {
            drops.note(key(1), id(time), Gone::MaxMessages);
        }
        drops.name(name_of);
        assert_eq!(drops.pop().unwrap().id, id(2000 - DROPS_MAX as u64));
    }
}
