//! Waiters: the held subscriptions of one channel. Changes nothing but itself.

use super::subscription::{Place, SubscriptionKey};

/// Room for so many subscriptions is kept, be it used or not.
const ROOM_KEPT: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// In order of arrival, except where `swap_remove` moved the last one.
    held: Held,
    /// Counts the fan-outs: a subscription of an earlier epoch is no longer in `held`.
    epoch: u32,
    /// How many of `held` may have a cursor ahead of the next message.
    ahead: u32,
}

/// Most channels have one subscriber, whose key needs no memory of its own.
#[derive(Debug)]
enum Held {
    One(SubscriptionKey),
    Many(Vec<SubscriptionKey>),
}

const _: () = assert!(size_of::<Held>() == size_of::<Vec<SubscriptionKey>>());

impl Default for Held {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Waiters {
    /// Enters a subscription. `is_ahead`: its cursor may be ahead of the next message.
    pub(super) fn enter(&mut self, subscription: SubscriptionKey, is_ahead: bool) -> Place {
        let slot = u32::try_from(self.len()).expect("fewer than 2^32 subscriptions");
        match &mut self.held {
            Held::Many(list) if list.capacity() > 0 => list.push(subscription),
            Held::Many(_) => self.held = Held::One(subscription),
            Held::One(first) => self.held = Held::Many(vec![*first, subscription]),
        }
        self.ahead += u32::from(is_ahead);
        Place { slot, epoch: self.epoch }
    }

    /// Takes out the subscription at `place`, unless a fan-out has it; gives the one that has that
    /// place now.
    pub(super) fn leave(&mut self, place: Place) -> Option<SubscriptionKey> {
        if !self.has(place) {
            return None;
        }
        let Held::Many(list) = &mut self.held else {
            (self.held, self.ahead) = (Held::default(), 0);
            return None;
        };
        let slot = place.slot as usize;
        list.swap_remove(slot);
        if list.is_empty() {
            self.ahead = 0;
        }
        let room = list.capacity();
        if room > ROOM_KEPT && list.len() < room / 4 {
            // By half, so that a list some of whose subscriptions go and come does not move each
            // time.
            let room = if list.is_empty() { 0 } else { room / 2 };
            list.shrink_to(room);
        }
        list.get(slot).copied()
    }

    /// Takes out all, and leaves `spare` (empty) for the next. O(1).
    pub(super) fn take(&mut self, mut spare: Vec<SubscriptionKey>) -> Vec<SubscriptionKey> {
        debug_assert!(spare.is_empty(), "a spare list is empty");
        self.epoch = self.epoch.wrapping_add(1);
        self.ahead = 0;
        match std::mem::take(&mut self.held) {
            Held::Many(list) => {
                self.held = Held::Many(spare);
                list
            }
            Held::One(only) => {
                spare.push(only);
                spare
            }
        }
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
        self.all().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// Every subscription with its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SubscriptionKey, Place)> {
        let place = |slot: u32| Place { slot, epoch: self.epoch };
        self.all().iter().copied().zip((0..).map(place))
    }

    fn all(&self) -> &[SubscriptionKey] {
        match &self.held {
            Held::One(only) => std::slice::from_ref(only),
            Held::Many(list) => list,
        }
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        match &self.held {
            Held::One(_) => 1,
            Held::Many(list) => list.capacity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_channel_needs_no_list_and_keeps_its_place_when_others_come() {
        let mut waiters = Waiters::default();
        let keys = [1, 2, 3].map(SubscriptionKey::from_bits);
        let first = waiters.enter(keys[0], true);
        assert_eq!((waiters.room(), waiters.len(), first.slot), (1, 1, 0));
        assert_eq!(waiters.leave(first), None);
        assert!(waiters.is_empty() && !waiters.has_ahead());
        let places = keys.map(|key| waiters.enter(key, false));
        assert!(waiters.iter().eq(keys.into_iter().zip(places)));
        assert_eq!(waiters.leave(places[0]), Some(keys[2]), "it has the place of the first");
        assert_eq!(waiters.take(Vec::new()), [keys[2], keys[1]]);
        waiters.enter(keys[0], false);
        let spare = Vec::with_capacity(8);
        let taken = waiters.take(spare);
        assert_eq!((&taken[..], taken.capacity(), waiters.len()), (&keys[..1], 8, 0));
        assert!(!waiters.has(places[1]));
    }

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
