//! Tombstones: ids of channels that are gone, so that a new channel of the same name repeats none,
//! and a cursor into the old one is told that messages are missing. Bounded: the oldest go first.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use crate::message::MessageId;

/// How many channels are remembered by name.
const CHANNELS_MAX: usize = 4096;

/// Tombstones that are listed, void ones too, before those are dropped.
const ORDER_MAX: usize = 2 * CHANNELS_MAX;

/// What is left of a channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remains {
    /// Its last id: a new channel's first is after it.
    pub(crate) last: MessageId,
    /// The newest message that it lost to expiry or limits: a subscriber whose cursor is before
    /// it missed something.
    pub(crate) lost_through: MessageId,
}

impl Remains {
    /// Holds for what `other` holds for, too.
    fn cover(&mut self, other: Self) {
        self.last = self.last.max(other.last);
        self.lost_through = self.lost_through.max(other.lost_through);
    }
}

/// Keeps hashes, not names: small pieces that outlive thousands of channels would keep the memory
/// between them from going back to the system. Where two names had one hash, the ids of one would
/// only begin a little later.
#[derive(Debug)]
pub(crate) struct Tombstones {
    hasher: RandomState,
    by_name: HashMap<u64, Tombstone>,
    /// Every tombstone with its name's hash, oldest first. Some are void: their channel exists
    /// again.
    order: VecDeque<(u64, u32)>,
    /// The number of the last tombstone; goes round.
    number: u32,
    /// Covers every channel that is not remembered by name.
    others: Remains,
}

#[derive(Debug)]
struct Tombstone {
    /// Tells it from earlier tombstones of the same name.
    number: u32,
    remains: Remains,
}

impl Tombstones {
    /// `first_id` stands for all channels of earlier processes.
    pub(super) fn new(first_id: MessageId) -> Self {
        let others = Remains { last: first_id, lost_through: first_id };
        // Room for all from the start, for the same reason; untouched, it costs next to nothing.
        Self {
            hasher: RandomState::new(),
            by_name: HashMap::with_capacity(CHANNELS_MAX + 1),
            order: VecDeque::with_capacity(ORDER_MAX),
            number: 0,
            others,
        }
    }

    pub(super) fn put(&mut self, name: &[u8], remains: Remains) {
        let Remains { last, lost_through } = self.others;
        if remains.last <= last && remains.lost_through >= lost_through {
            // Its name need not be kept; what it lost must be.
            return self.others.cover(remains);
        }
        // One from before the start may have lost less than is known of the others.
        let remains = Remains { last: remains.last.max(last), ..remains };
        let name = self.hasher.hash_one(name);
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        let kept = self.by_name.entry(name).or_insert(Tombstone { number, remains });
        kept.number = number;
        kept.remains.cover(remains);
        if self.order.len() == ORDER_MAX {
            let by_name = &self.by_name;
            self.order.retain(|tombstone| is_current(by_name, *tombstone));
        }
        self.order.push_back((name, number));
        while self.by_name.len() > CHANNELS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.forget(oldest);
        }
    }

    /// Takes what is left of the channel called `name`.
    pub(super) fn take(&mut self, name: &[u8]) -> Option<Remains> {
        self.by_name.remove(&self.hasher.hash_one(name)).map(|tombstone| tombstone.remains)
    }

    /// What is left of the channel called `name`.
    pub(super) fn get(&self, name: &[u8]) -> Option<Remains> {
        self.by_name.get(&self.hasher.hash_one(name)).map(|tombstone| tombstone.remains)
    }

    /// Has what is not remembered hold up to this id, too.
    pub(super) fn raise(&mut self, last: MessageId) {
        self.others.cover(Remains { last, lost_through: last });
    }

    /// What holds for a channel that is not remembered.
    pub(crate) fn others(&self) -> Remains {
        self.others
    }

    fn forget(&mut self, tombstone: (u64, u32)) {
        if is_current(&self.by_name, tombstone)
            && let Some(Tombstone { remains, .. }) = self.by_name.remove(&tombstone.0)
        {
            self.others.cover(remains);
        }
    }
}

fn is_current(by_name: &HashMap<u64, Tombstone>, (name, number): (u64, u32)) -> bool {
    by_name.get(&name).is_some_and(|tombstone| tombstone.number == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_by_name_still_bounds_every_new_channel() {
        let id = |time| MessageId { time, tag: 0 };
        let mut tombstones = Tombstones::new(id(1));
        for n in 0..CHANNELS_MAX as u64 + 2 {
            let name = n.to_string();
            tombstones
                .put(name.as_bytes(), Remains { last: id(100 + n), lost_through: id(50 + n) });
        }
        assert!(tombstones.take(b"0").is_none());
        assert!(tombstones.take(b"1").is_none());
        assert_eq!(tombstones.take(b"2").unwrap().last, id(102));
        assert_eq!(tombstones.others().last, id(101));
        assert_eq!(tombstones.others().lost_through, id(51));
        tombstones.put(b"old", Remains { last: id(90), lost_through: id(80) });
        assert!(tombstones.take(b"old").is_none());
        assert_eq!(tombstones.others().lost_through, id(80));
    }

    #[test]
    fn a_channel_from_before_the_start_keeps_its_losses_and_begins_behind_all_of_them() {
        let id = |time| MessageId { time, tag: 0 };
        let mut tombstones = Tombstones::new(id(100));
        tombstones.put(b"old", Remains { last: id(90), lost_through: id(80) });
        let Remains { last, lost_through } = tombstones.take(b"old").unwrap();
        assert_eq!((last, lost_through), (id(100), id(80)));
        assert_eq!(tombstones.others().lost_through, id(100));
    }

    #[test]
    fn a_channel_that_goes_and_comes_often_is_not_forgotten_for_it() {
        let id = |time| MessageId { time, tag: 0 };
        let first = id(1);
        let mut tombstones = Tombstones::new(first);
        tombstones.put(b"quiet", Remains { last: id(10), lost_through: id(5) });
        for time in 100..100 + 3 * ORDER_MAX as u64 {
            tombstones.put(b"busy", Remains { last: id(time), lost_through: first });
            assert_eq!(tombstones.take(b"busy").unwrap().last, id(time));
            assert!(tombstones.order.len() <= ORDER_MAX);
        }
        assert_eq!(tombstones.take(b"quiet").unwrap().lost_through, id(5));
        assert_eq!((tombstones.others().last, tombstones.others().lost_through), (first, first));
    }
}
