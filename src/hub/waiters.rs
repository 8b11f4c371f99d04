//! Waiters: the held subscriptions of one channel. Changes nothing but itself.

use super::subscription::{Place, SubscriptionKey};

/// Room for so many subscriptions is kept, be it used or not.
const ROOM_KEPT: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// In order of arrival, except where `swap_remove` moved the last one.
    held: Vec<SubscriptionKey>,
    /// Counts the fan-outs: a subscription of an earlier epoch is no longer in `held`.
    epoch: u32,
    /// How many of `held` may have a cursor ahead of the next message.
    ahead: u32,
}

impl Waiters {
    /// Enters a subscription. `is_ahead`: its cursor may be ahead of the next message.
    pub(super) fn enter(&mut self, subscription: SubscriptionKey, is_ahead: bool) -> Place {
        let slot = u32::try_from(self.held.len()).expect("fewer than 2^32 subscriptions");
        if self.held.is_empty() {
            // Most channels have one subscriber; a first `push` would make room for four.
            self.held.reserve_exact(1);
        }
        self.held.push(subscription);
        self.ahead += u32::from(is_ahead);
        Place { slot, epoch: self.epoch }
    }

    /// Takes out the subscription at `place`, unless a fan-out has it; gives the one that has that
    /// place now.
    pub(super) fn leave(&mut self, place: Place) -> Option<SubscriptionKey> {
        if !self.has(place) {
            return None;
        }
        let slot = place.slot as usize;
        self.held.swap_remove(slot);
        if self.held.is_empty() {
            self.ahead = 0;
        }
        let room = self.held.capacity();
        if room > ROOM_KEPT && self.held.len() < room / 4 {
            // By half, so that a list some of whose subscriptions go and come does not move each
            // time.
            let room = if self.held.is_empty() { 0 } else { room / 2 };
            self.held.shrink_to(room);
        }
        self.held.get(slot).copied()
    }

    /// Takes out all, and leaves `spare` (empty) for the next. O(1).
    pub(super) fn take(&mut self, spare: Vec<SubscriptionKey>) -> Vec<SubscriptionKey> {
        debug_assert!(spare.is_empty(), "a spare list is empty");
        self.epoch = self.epoch.wrapping_add(1);
        self.ahead = 0;
        std::mem::replace(&mut self.held, spare)
    }

    /// Whether the subscription that was entered at `place` has not been taken by a fan-out.
    pub(super) fn has(&self, place: Place) -> bool {
        self.epoch == place.epoch
    }

    /// Whether a cursor may be ahead of the next message.
    pub(super) fn has_ahead(&self) -> bool {
        self.ahead > 0
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Every subscription with its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SubscriptionKey, Place)> {
        let place = |slot: u32| Place { slot, epoch: self.epoch };
        self.held.iter().copied().zip((0..).map(place))
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.held.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_stays_of_a_crowd_does_not_keep_its_room() {
        let mut waiters = Waiters::default();
        let enter = |waiters: &mut Waiters, number| {
            waiters.enter(SubscriptionKey::from_bits(number), false);
        };
        let first = Place { slot: 0, epoch: 0 };
        for number in 0..10_000 {
            enter(&mut waiters, number);
        }
        for _ in 1..10_000 {
            waiters.leave(first);
        }
        assert_eq!(waiters.len(), 1);
        assert!(waiters.room() <= ROOM_KEPT, "{}", waiters.room());
        // A few that come and go find their room.
        let room = waiters.room();
        for number in 0..3 {
            enter(&mut waiters, number);
            waiters.leave(first);
            assert_eq!(waiters.room(), room);
        }
    }
}
