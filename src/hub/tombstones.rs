//! Remembers channels that are gone, so that one of the same name repeats no id, and a cursor
//! into the old one is told that messages are missing. Bounded; forgets the oldest first.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use crate::message::MessageId;

/// How many channels are remembered by name.
const CHANNELS_MAX: usize = 4096;

/// Departures that are listed, void ones too, before those are dropped.
const ORDER_MAX: usize = 2 * CHANNELS_MAX;

/// What is left of a channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remains {
    /// Its last id: a new channel's first is after it.
    pub(super) last: MessageId,
    /// The newest message that it lost to expiry or limits: who has a cursor before it missed
    /// something.
    pub(super) lost_through: MessageId,
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
pub(super) struct Departed {
    hasher: RandomState,
    by_name: HashMap<u64, Departure>,
    /// Every departure with its name, oldest first. Some are void: their channel has come back.
    order: VecDeque<(u64, u32)>,
    /// The number of the last departure; goes round.
    number: u32,
    /// Covers every channel that is not remembered by name.
    others: Remains,
}

#[derive(Debug)]
struct Departure {
    /// Tells it from earlier departures of the same name.
    number: u32,
    remains: Remains,
}

impl Departed {
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

    pub(super) fn remember(&mut self, name: &[u8], remains: Remains) {
        if remains.last <= self.others.last {
            // Its name need not be kept; what it lost must be.
            return self.others.cover(remains);
        }
        let name = self.hasher.hash_one(name);
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        let kept = self.by_name.entry(name).or_insert(Departure { number, remains });
        kept.number = number;
        kept.remains.cover(remains);
        if self.order.len() == ORDER_MAX {
            let by_name = &self.by_name;
            self.order.retain(|departure| is_current(by_name, *departure));
        }
        self.order.push_back((name, number));
        while self.by_name.len() > CHANNELS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.forget(oldest);
        }
    }

    /// Takes what is left of the channel called `name`.
    pub(super) fn recall(&mut self, name: &[u8]) -> Option<Remains> {
        self.by_name.remove(&self.hasher.hash_one(name)).map(|departure| departure.remains)
    }

    /// What holds for a channel that is not remembered.
    pub(super) fn others(&self) -> Remains {
        self.others
    }

    fn forget(&mut self, departure: (u64, u32)) {
        if is_current(&self.by_name, departure)
            && let Some(Departure { remains, .. }) = self.by_name.remove(&departure.0)
        {
            self.others.cover(remains);
        }
    }
}

fn is_current(by_name: &HashMap<u64, Departure>, (name, number): (u64, u32)) -> bool {
    by_name.get(&name).is_some_and(|departure| departure.number == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_by_name_still_bounds_every_new_channel() {
        let id = |time| MessageId { time, tag: 0 };
        let mut departed = Departed::new(id(1));
        for n in 0..CHANNELS_MAX as u64 + 2 {
            let name = n.to_string();
            departed
                .remember(name.as_bytes(), Remains { last: id(100 + n), lost_through: id(50 + n) });
        }
        assert!(departed.recall(b"0").is_none());
        assert!(departed.recall(b"1").is_none());
        assert_eq!(departed.recall(b"2").unwrap().last, id(102));
        assert_eq!(departed.others().last, id(101));
        assert_eq!(departed.others().lost_through, id(51));
        departed.remember(b"old", Remains { last: id(90), lost_through: id(80) });
        assert!(departed.recall(b"old").is_none());
        assert_eq!(departed.others().lost_through, id(80));
    }

    #[test]
    fn a_channel_that_goes_and_comes_often_is_not_forgotten_for_it() {
        let id = |time| MessageId { time, tag: 0 };
        let first = id(1);
        let mut departed = Departed::new(first);
        departed.remember(b"quiet", Remains { last: id(10), lost_through: id(5) });
        for time in 100..100 + 3 * ORDER_MAX as u64 {
            departed.remember(b"busy", Remains { last: id(time), lost_through: first });
            assert_eq!(departed.recall(b"busy").unwrap().last, id(time));
            assert!(departed.order.len() <= ORDER_MAX);
        }
        assert_eq!(departed.recall(b"quiet").unwrap().lost_through, id(5));
        assert_eq!((departed.others().last, departed.others().lost_through), (first, first));
    }
}
