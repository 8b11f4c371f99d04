//! Timer wheel (hierarchical): sets and cancels a timer in constant time, and finds the next
//! deadline with a few bit masks. Generic over the value of a timer. Never reads a clock, never
//! calls back.
//!
//! The owner asks for the next deadline, sleeps, and pops the expired timers. A timer never expires
//! early, and at most one tick (10 ms) late, but for the pieces below.
//!
//! Four levels of 64 slots. A slot of level 0 is one tick wide, a slot of each further level as
//! wide as the whole level before it:
//!
//! ```text
//! level   0        1        2         3
//! slot    10 ms    640 ms   41 s      44 min
//! reach   640 ms   41 s     44 min    46 h 36 min
//! ```
//!
//! A timer is placed in the lowest level that reaches it. At the start of a slot of level 1 to 3
//! its timers move to lower levels ("cascade"); at a slot of level 0 they are due. A timer beyond
//! the reach of the last level is placed in its last slot, and placed again from there, every 46
//! hours.
//!
//! A million timers may be in one slot. They leave it in pieces, one for each time that the owner
//! asks, and the wheel stands still until the last has left: so their order stays.

use std::num::NonZeroU32;

/// Timers that each carry a `T`. 32 to 40 bytes a timer; freed ones are used again.
#[derive(Debug)]
pub struct Wheel<T> {
    /// The heads of the 256 lists, in order of level and slot, that of the timers that have still
    /// to cascade, then the timers. Each list is a ring through its head, so that a timer leaves
    /// it without knowing which list it is.
    entries: Vec<Entry<T>>,
    /// Per level one bit for each slot that has a timer; behind them one for the cascading list.
    occupied: [u64; LEVELS + 1],
    /// The tick that the wheel stands at. Timers in its slot of level 0 are due; those in the
    /// slot with the same number of another level are a whole round away.
    tick: u64,
    /// The latest time given to the wheel.
    now_ms: u64,
    /// First of the free entries, linked through `next`; `NONE` if there is none.
    free: u32,
    /// The generation of new entries: above that of every entry that [`Wheel::shrink`] dropped.
    fresh: NonZeroU32,
    len: usize,
    /// How many timers cascade at once.
    piece: usize,
}

/// Key of one timer until it expires or is cancelled; after that it finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerKey {
    index: u32,
    generation: NonZeroU32,
}

const _: () = assert!(size_of::<Option<TimerKey>>() == 8);

#[derive(Debug)]
struct Entry<T> {
    /// When the timer is due; exact even beyond the reach of the last level.
    tick: u64,
    prev: u32,
    next: u32,
    /// Differs for each timer that uses this entry.
    generation: NonZeroU32,
    /// `None` for the head of a list and for a free entry.
    value: Option<T>,
}

// A value is a key, or an enum of keys.
const _: () = assert!(size_of::<Entry<u64>>() <= 40);
const _: () = assert!(size_of::<Entry<Result<u64, u32>>>() <= 40);

/// How long a tick is, milliseconds.
pub const TICK_MS: u64 = 10;
const LEVELS: usize = 4;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// The head of the list of the timers that have still to cascade.
const CASCADING: u32 = (LEVELS * SLOTS) as u32;
const HEADS: usize = LEVELS * SLOTS + 1;
/// Timers that cascade at once: a fraction of a millisecond, wherever they are in memory.
const PIECE: usize = 1024;
/// The furthest that a timer can be placed, in ticks from now.
const REACH: u64 = (1 << (SLOT_BITS * LEVELS as u32)) - 1;
const NONE: u32 = u32::MAX;

impl<T> Wheel<T> {
    /// An empty wheel that stands at `start_ms`.
    #[must_use]
    pub fn new(start_ms: u64) -> Self {
        let head = |index| Entry {
            tick: 0,
            prev: index,
            next: index,
            generation: NonZeroU32::MIN,
            value: None,
        };
        Self {
            entries: (0..HEADS as u32).map(head).collect(),
            occupied: [0; LEVELS + 1],
            tick: start_ms / TICK_MS,
            now_ms: start_ms,
            free: NONE,
            fresh: NonZeroU32::MIN,
            len: 0,
            piece: PIECE,
        }
    }

    /// A timer that expires at `at_ms` (monotonic milliseconds); at once if that has passed.
    pub fn set(&mut self, at_ms: u64, value: T) -> TimerKey {
        // Rounded up so that it is never early, but a time that has come is not put off.
        let passed = at_ms <= self.now_ms;
        let tick = if passed { at_ms / TICK_MS } else { at_ms.div_ceil(TICK_MS) };
        let index = self.allocate(tick, value);
        self.place(index);
        self.len += 1;
        TimerKey { index, generation: self.entry(index).generation }
    }

    /// Removes the timer; `None` if it has expired or was cancelled before.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.living(key)?;
        self.take(key.index)
    }

    /// When a timer is due (monotonic milliseconds), rounded up to a tick; `None` if it has expired
    /// or was cancelled.
    #[must_use]
    pub fn due_ms(&self, key: TimerKey) -> Option<u64> {
        self.living(key).map(|entry| entry.tick.saturating_mul(TICK_MS))
    }

    fn living(&self, key: TimerKey) -> Option<&Entry<T>> {
        let entry = self.entries.get(key.index as usize)?;
        (entry.generation == key.generation && entry.value.is_some()).then_some(entry)
    }

    /// The next timer that has expired by `now_ms` (monotonic milliseconds), in order of ticks.
    /// Call it until `None`; it returns timers that are set meanwhile for a past time, too.
    /// `None` with a [`Wheel::next_deadline`] that has come: more cascade when it is asked again.
    ///
    /// A jump of `now_ms` costs no more than the timers and slots that it passes.
    pub fn pop_expired(&mut self, now_ms: u64) -> Option<T> {
        self.now_ms = self.now_ms.max(now_ms);
        let last = self.now_ms / TICK_MS;
        loop {
            if self.due() {
                let head = slot(0, self.tick);
                return self.take(self.entry(head).next);
            }
            if self.is_cascading() {
                if self.cascade() {
                    continue;
                }
                return None;
            }
            // So it is in most turns of a busy loop: every other slot starts later.
            if self.tick == last {
                return None;
            }
            match self.next_tick() {
                Some(tick) if tick <= last => self.turn_to(tick),
                _ => {
                    self.tick = last;
                    return None;
                }
            }
        }
    }

    /// When to call [`Wheel::pop_expired`] next (monotonic milliseconds): never later than the tick
    /// of the earliest timer, but maybe earlier, so that timers can move down a level.
    /// `None` if there is no timer.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        if self.due() || self.is_cascading() {
            return Some(self.now_ms);
        }
        self.next_tick().map(|tick| tick.saturating_mul(TICK_MS))
    }

    /// Frees the memory behind the last timer that is set. Visits every entry: call it when most
    /// timers have ended.
    pub fn shrink(&mut self) {
        while self.entries.len() > HEADS
            && let Some(last) = self.entries.pop_if(|entry| entry.value.is_none())
        {
            self.fresh = self.fresh.max(last.generation);
        }
        self.entries.shrink_to_fit();
        self.free = NONE;
        for index in (HEADS..self.entries.len()).rev() {
            let entry = &mut self.entries[index];
            if entry.value.is_none() {
                entry.next = std::mem::replace(&mut self.free, index as u32);
            }
        }
    }

    /// How many timers are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn due(&self) -> bool {
        self.occupied[0] >> (self.tick % SLOTS as u64) & 1 != 0
    }

    /// The start of the next occupied slot of any level, if nothing is due now.
    fn next_tick(&self) -> Option<u64> {
        // Not a loop, which takes twice as long: every wheel is asked once a turn or more.
        const { assert!(LEVELS == 4) }
        let soon = self.next_start::<0>().min(self.next_start::<1>());
        let next = soon.min(self.next_start::<2>()).min(self.next_start::<3>());
        (next != u64::MAX).then_some(next)
    }

    /// The start of the next occupied slot of a level; `u64::MAX`: it has none.
    #[inline]
    fn next_start<const LEVEL: usize>(&self) -> u64 {
        let occupied = self.occupied[LEVEL];
        if occupied == 0 {
            return u64::MAX;
        }
        let shift = SLOT_BITS * LEVEL as u32;
        // The slots after the current one; the current one last, because its timers are a whole
        // round away.
        let following = (self.tick >> shift) + 1;
        let ahead = occupied.rotate_right((following % SLOTS as u64) as u32).trailing_zeros();
        (following + u64::from(ahead)) << shift
    }

    fn is_cascading(&self) -> bool {
        self.occupied[LEVELS] != 0
    }

    /// Moves to `tick`, and has the slots that start there cascade; no occupied slot starts before
    /// `tick`, and nothing cascades.
    fn turn_to(&mut self, tick: u64) {
        self.tick = tick;
        for level in 1..LEVELS {
            if !tick.is_multiple_of(1 << (SLOT_BITS * level as u32)) {
                break;
            }
            let head = slot(level, tick);
            let Entry { prev: last, next: first, .. } = *self.entry(head);
            if first == head {
                continue;
            }
            self.clear(head);
            // The whole ring, behind what cascades from the levels below.
            let before = self.entry(CASCADING).prev;
            self.entry_mut(before).next = first;
            self.entry_mut(first).prev = before;
            self.entry_mut(last).next = CASCADING;
            self.entry_mut(CASCADING).prev = last;
            self.occupied[LEVELS] = 1;
        }
    }

    /// Moves a piece of the timers that cascade to lower levels; gives whether that was the last.
    fn cascade(&mut self) -> bool {
        let mut index = self.entry(CASCADING).next;
        for _ in 0..self.piece {
            if index == CASCADING {
                break;
            }
            let next = self.entry(index).next;
            // No timer returns to its slot: that is a whole round away, out of the level's reach.
            self.place(index);
            index = next;
        }
        if index == CASCADING {
            self.clear(CASCADING);
            return true;
        }
        self.entry_mut(CASCADING).next = index;
        self.entry_mut(index).prev = CASCADING;
        false
    }

    /// Links an entry into the slot for its tick.
    fn place(&mut self, index: u32) {
        let ahead = self.entry(index).tick.saturating_sub(self.tick).min(REACH);
        let level = (ahead | 1).ilog2() / SLOT_BITS;
        let head = slot(level as usize, self.tick + ahead);

        let last = self.entry(head).prev;
        let entry = self.entry_mut(index);
        entry.prev = last;
        entry.next = head;
        self.entry_mut(last).next = index;
        self.entry_mut(head).prev = index;
        self.occupied[level as usize] |= 1 << (head % SLOTS as u32);
    }

    fn unlink(&mut self, index: u32) {
        let Entry { prev, next, .. } = *self.entry(index);
        self.entry_mut(prev).next = next;
        self.entry_mut(next).prev = prev;
        if prev == next {
            // Only the head is left in the ring.
            self.clear(prev);
        }
    }

    /// Empties the list with this head; the index of the head says which slot it is.
    fn clear(&mut self, head: u32) {
        let entry = self.entry_mut(head);
        entry.prev = head;
        entry.next = head;
        self.occupied[head as usize / SLOTS] &= !(1 << (head % SLOTS as u32));
    }

    /// Unlinks an entry that has a timer, and frees it.
    fn take(&mut self, index: u32) -> Option<T> {
        self.unlink(index);
        let free = std::mem::replace(&mut self.free, index);
        self.len -= 1;
        let entry = self.entry_mut(index);
        entry.next = free;
        entry.generation = entry.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        entry.value.take()
    }

    fn allocate(&mut self, tick: u64, value: T) -> u32 {
        if self.free == NONE {
            let index = u32::try_from(self.entries.len()).expect("fewer than 2^32 timers");
            let (generation, value) = (self.fresh, Some(value));
            self.entries.push(Entry { tick, prev: NONE, next: NONE, generation, value });
            return index;
        }
        let index = self.free;
        let entry = self.entry_mut(index);
        let free = entry.next;
        entry.tick = tick;
        entry.value = Some(value);
        self.free = free;
        index
    }

    fn entry(&self, index: u32) -> &Entry<T> {
        &self.entries[index as usize]
    }

    fn entry_mut(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.entries[index as usize]
    }
}

/// The head of the list of the slot that `tick` falls into.
fn slot(level: usize, tick: u64) -> u32 {
    let slot = tick >> (SLOT_BITS * level as u32) & (SLOTS as u64 - 1);
    (level * SLOTS) as u32 + slot as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{CASCADING, Entry, HEADS, PIECE, SLOTS, TICK_MS, Wheel};

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;

    #[test]
    fn a_timer_is_never_early_and_at_most_a_tick_late() {
        for at in [101, 109, 110, 700, 50_000, 55_001, 3 * HOUR + 7, 3 * DAY + 1] {
            let mut wheel = Wheel::new(100);
            wheel.set(at, ());
            assert_eq!(wheel.pop_expired(at - 1), None, "early for {at}");
            assert_eq!(wheel.pop_expired(at.next_multiple_of(TICK_MS)), Some(()), "late for {at}");
            assert!(wheel.is_empty());
        }
    }

    #[test]
    fn a_timer_for_a_time_that_has_come_expires_at_once() {
        let mut wheel = Wheel::new(0);
        assert_eq!(wheel.pop_expired(1234), None);
        wheel.set(1234, 'a');
        wheel.set(0, 'b');
        assert_eq!(wheel.next_deadline(), Some(1234));
        assert_eq!(wheel.pop_expired(1234), Some('a'));
        assert_eq!(wheel.pop_expired(1234), Some('b'));
        assert_eq!(wheel.pop_expired(1234), None);
    }

    #[test]
    fn a_timer_set_while_draining_is_given_in_the_same_drain() {
        let mut wheel = Wheel::new(0);
        wheel.set(100, 0);
        let mut seen = Vec::new();
        while let Some(n) = wheel.pop_expired(5_003) {
            seen.push(n);
            if n < 3 {
                wheel.set([1_000, 4_999, 5_003][n], n + 1);
            }
        }
        assert_eq!(seen, [0, 1, 2, 3]);
    }

    #[test]
    fn a_stale_key_cancels_nothing_though_its_entry_is_used_again() {
        let mut wheel = Wheel::new(0);
        let cancelled = wheel.set(50, 'a');
        assert_eq!(wheel.cancel(cancelled), Some('a'));
        let expired = wheel.set(50, 'b');
        assert_eq!(wheel.cancel(cancelled), None);
        assert_eq!(wheel.pop_expired(50), Some('b'));
        let living = wheel.set(70, 'c');
        assert_eq!((living.index, wheel.cancel(expired)), (cancelled.index, None));
        assert_eq!(wheel.cancel(living), Some('c'));
    }

    #[test]
    fn the_deadline_of_an_empty_wheel_is_none() {
        let mut wheel = Wheel::new(7);
        assert_eq!(wheel.next_deadline(), None);
        let key = wheel.set(5 * DAY, ());
        assert!(wheel.next_deadline().is_some());
        wheel.cancel(key);
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn a_jump_over_months_takes_few_steps_and_gives_each_timer_once_in_order() {
        let mut wheel = Wheel::new(0);
        let times = [90 * DAY, HOUR, 3 * MINUTE, 60 * DAY, 47 * HOUR, 20, 61 * DAY + 10];
        for at in times {
            wheel.set(at, at);
        }
        let mut sorted = times;
        sorted.sort_unstable();
        let drained: Vec<u64> = std::iter::from_fn(|| wheel.pop_expired(90 * DAY)).collect();
        assert_eq!(drained, sorted);
    }

    #[test]
    fn the_furthest_time_there_is_can_be_set_and_cancelled() {
        let mut wheel = Wheel::new(0);
        let key = wheel.set(u64::MAX, ());
        assert_eq!(wheel.pop_expired(400 * DAY), None);
        assert!(wheel.next_deadline().is_some());
        assert_eq!(wheel.cancel(key), Some(()));
    }

    #[test]
    fn entries_are_used_again() {
        let mut wheel = Wheel::new(0);
        for now in 0..10_000 {
            wheel.set(now + 5, ());
            let key = wheel.set(now + 55_000, ());
            wheel.pop_expired(now);
            wheel.cancel(key);
        }
        assert!(wheel.entries.len() < HEADS + 32);
    }

    #[test]
    fn what_is_set_stays_and_stale_keys_stay_stale_when_the_rest_is_given_back() {
        let mut wheel = Wheel::new(0);
        let keys: Vec<_> = (0..1000).map(|n| wheel.set(50_000, n)).collect();
        for key in keys.iter().enumerate().filter(|(n, _)| *n != 70).map(|(_, key)| key) {
            wheel.cancel(*key);
        }
        wheel.shrink();
        assert_eq!((wheel.len(), wheel.entries.len()), (1, HEADS + 71));
        for n in 0..1000 {
            wheel.set(60_000, 1000 + n);
        }
        let living: Vec<i32> = keys.iter().filter_map(|key| wheel.cancel(*key)).collect();
        assert_eq!((living, wheel.len()), (vec![70], 1000));
        assert_eq!(wheel.entries.len(), HEADS + 1000 + 1);
    }

    #[test]
    fn a_full_slot_cascades_in_pieces_and_each_timer_expires_once_in_order() {
        let mut wheel = Wheel::new(0);
        let count = 3 * PIECE as u64 + 7;
        let keys: Vec<_> = (0..count).map(|n| wheel.set(50_000 + n % 8 * 1000, n)).collect();
        let mut left_behind = 0;
        let mut expired: Vec<u64> = Vec::new();
        while wheel.next_deadline().is_some_and(|due_ms| due_ms <= 60_000) {
            expired.extend(std::iter::from_fn(|| wheel.pop_expired(60_000)));
            left_behind += usize::from(expired.is_empty());
            if left_behind == 2 {
                // Set and cancelled in the middle of it, of those that have cascaded and have not.
                assert_eq!(wheel.cancel(keys[0]), Some(0));
                assert_eq!(wheel.cancel(keys[count as usize - 1]), Some(count - 1));
                wheel.set(49_000, count);
            }
        }
        assert_eq!(left_behind, 3, "a piece for each time it was asked");
        assert_eq!((expired.len() as u64, expired[0]), (count - 1, count));
        let order = |n: &u64| n % 8;
        assert!(expired[1..].iter().map(order).is_sorted());
        assert!(wheel.is_empty());
    }

    /// The slow obvious version: names of timers, by the tick at which they are due.
    struct Model {
        timers: BTreeSet<(u64, u32)>,
        now_ms: u64,
    }

    impl Model {
        fn set(&mut self, at_ms: u64, name: u32) {
            let passed = at_ms <= self.now_ms;
            let tick = if passed { self.now_ms / TICK_MS } else { at_ms.div_ceil(TICK_MS) };
            self.timers.insert((tick, name));
        }

        fn cancel(&mut self, name: u32) -> Option<u32> {
            let timer = self.timers.iter().find(|timer| timer.1 == name).copied()?;
            self.timers.remove(&timer);
            Some(name)
        }

        /// Takes out the named timer, which must be due and of the earliest tick.
        fn expire(&mut self, name: u32) {
            let tick = self.first_due_ms().unwrap() / TICK_MS;
            assert!(tick * TICK_MS <= self.now_ms, "{name} is early");
            assert!(self.timers.remove(&(tick, name)), "{name} is not one of the earliest");
        }

        fn first_due_ms(&self) -> Option<u64> {
            self.timers.first().map(|timer| timer.0 * TICK_MS)
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Set(u64),
        Cancel(prop::sample::Index),
        Advance(u64),
        AdvanceToDeadline,
    }

    fn spans() -> impl Strategy<Value = u64> {
        prop_oneof![0..20u64, 0..1_000u64, 0..MINUTE, 0..HOUR, 0..3 * DAY, 0..200 * DAY]
    }

    fn steps() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => spans().prop_map(Step::Set),
            2 => any::<prop::sample::Index>().prop_map(Step::Cancel),
            2 => spans().prop_map(Step::Advance),
            3 => Just(Step::AdvanceToDeadline),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_the_slow_obvious_version_does(
            start in 0..2 * DAY,
            piece in 1..40usize,
            steps in prop::collection::vec(steps(), 1..200),
        ) {
            let mut wheel = Wheel { piece, ..Wheel::new(start) };
            let mut model = Model { timers: BTreeSet::new(), now_ms: start };
            let mut keys = Vec::new();
            for step in steps {
                match step {
                    Step::Set(span) => {
                        // Some of them lie in the past.
                        let at = (model.now_ms + span).saturating_sub(15);
                        let name = keys.len() as u32;
                        keys.push(wheel.set(at, name));
                        model.set(at, name);
                    }
                    Step::Cancel(index) if !keys.is_empty() => {
                        let name = index.index(keys.len());
                        prop_assert_eq!(wheel.cancel(keys[name]), model.cancel(name as u32));
                    }
                    Step::Cancel(_) => {}
                    Step::Advance(span) => advance(&mut wheel, &mut model, span),
                    Step::AdvanceToDeadline => {
                        let deadline = wheel.next_deadline().unwrap_or(model.now_ms);
                        let span = deadline.saturating_sub(model.now_ms);
                        advance(&mut wheel, &mut model, span);
                    }
                }
                check(&wheel);
                prop_assert_eq!(wheel.len(), model.timers.len());
                prop_assert_eq!(wheel.next_deadline().is_none(), model.timers.is_empty());
                if let (Some(told), Some(due)) = (wheel.next_deadline(), model.first_due_ms()) {
                    prop_assert!(told <= due.max(model.now_ms), "told {told}, due {due}");
                }
            }
        }
    }

    fn advance(wheel: &mut Wheel<u32>, model: &mut Model, span: u64) {
        model.now_ms += span;
        // Again and again, while pieces of a slot cascade.
        while wheel.next_deadline().is_some_and(|due_ms| due_ms <= model.now_ms) {
            while let Some(name) = wheel.pop_expired(model.now_ms) {
                model.expire(name);
            }
            check(wheel);
        }
        assert_eq!(wheel.pop_expired(model.now_ms), None);
        assert!(model.first_due_ms().is_none_or(|due| due > model.now_ms), "one is late");
    }

    /// Every list is a whole ring, every bit tells the truth, every entry is in use or free.
    fn check<T>(wheel: &Wheel<T>) {
        let mut linked = 0;
        for head in 0..HEADS {
            let mut index = head as u32;
            loop {
                let Entry { next, .. } = *wheel.entry(index);
                assert_eq!(wheel.entry(next).prev, index);
                index = next;
                if index == head as u32 {
                    break;
                }
                assert!(wheel.entry(index).value.is_some());
                linked += 1;
            }
            let bit = wheel.occupied[head / SLOTS] >> (head % SLOTS) & 1 == 1;
            assert_eq!(bit, wheel.entry(head as u32).next != head as u32);
        }
        assert_eq!(wheel.occupied[CASCADING as usize / SLOTS] >> 1, 0);
        let mut free = 0;
        let mut index = wheel.free;
        while index != super::NONE {
            free += 1;
            index = wheel.entry(index).next;
        }
        assert_eq!(linked, wheel.len());
        assert_eq!(linked + free + HEADS, wheel.entries.len());
    }
}
