//! Arena: a slab with generations. A key of a removed entry finds nothing, even when its slot is
//! in use again. Never looks at what it keeps.

use std::fmt;
use std::marker::PhantomData;

use slab::Slab;

/// Names one entry of an [`Arena`] while that entry lives. `T` says what the key names, so that
/// keys of different tables cannot be confused; no `T` is kept. It has to be an empty type that
/// derives all that keys do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<T> {
    index: u32,
    generation: u32,
    names: PhantomData<fn() -> T>,
}

const _: () = assert!(size_of::<Key<String>>() == 8);

impl<T> Key<T> {
    fn new(slot: usize, generation: u32) -> Self {
        let index = u32::try_from(slot).expect("fewer than 2^32 entries");
        Self { index, generation, names: PhantomData }
    }

    /// The key as one number, index in the low half: for use as a token.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The key that [`Key::to_bits`] gave these bits.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32, names: PhantomData }
    }

    /// The slot, to index a table that runs beside the arena.
    #[must_use]
    pub fn index(self) -> usize {
        self.index as usize
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {})", self.index, self.generation)
    }
}

/// A table whose keys are never reused. Its keys name a `T`, which is what it keeps (`V`) except
/// where that is boxed or private.
#[derive(Debug)]
pub struct Arena<V, T = V> {
    slots: Slab<(u32, V)>,
    /// Counts insertions, so a slot in use again has another generation (until 2^32 later ones).
    generation: u32,
    names: PhantomData<fn() -> T>,
}

impl<V, T> Default for Arena<V, T> {
    fn default() -> Self {
        Self { slots: Slab::new(), generation: 0, names: PhantomData }
    }
}

impl<V, T: Copy> Arena<V, T> {
    /// The key that the next [`Arena::insert`] will give.
    #[must_use]
    pub fn next_key(&self) -> Key<T> {
        Key::new(self.slots.vacant_key(), self.generation.wrapping_add(1))
    }

    /// Keeps `value` and gives its key.
    pub fn insert(&mut self, value: V) -> Key<T> {
        let key = self.next_key();
        self.generation = key.generation;
        self.slots.insert((key.generation, value));
        key
    }

    /// Takes the entry out; `None` if it is gone already.
    pub fn remove(&mut self, key: Key<T>) -> Option<V> {
        self.get(key)?;
        Some(self.slots.remove(key.index()).1)
    }

    /// The entry, if it still lives.
    #[must_use]
    pub fn get(&self, key: Key<T>) -> Option<&V> {
        match self.slots.get(key.index()) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// The entry, if it still lives.
    pub fn get_mut(&mut self, key: Key<T>) -> Option<&mut V> {
        match self.slots.get_mut(key.index()) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// The entry in a slot, with its key, if one lives there: for going through all in pieces.
    #[must_use]
    pub fn at_mut(&mut self, index: usize) -> Option<(Key<T>, &mut V)> {
        let (generation, value) = self.slots.get_mut(index)?;
        Some((Key::new(index, *generation), value))
    }

    /// As [`Arena::at_mut`], to look at.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<(Key<T>, &V)> {
        let (generation, value) = self.slots.get(index)?;
        Some((Key::new(index, *generation), value))
    }

    /// A number of slots beyond which none is in use.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.capacity()
    }

    /// Gives back the room behind the last living entry. Looks at every slot: to be called after
    /// many removals, not after each.
    pub fn shrink(&mut self) {
        self.slots.shrink_to_fit();
    }

    /// How many entries live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no entry lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Every living entry, in no useful order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.slots.iter_mut().map(|(_, (_, value))| value)
    }

    /// Every living entry with its key, in no useful order.
    pub fn iter(&self) -> impl Iterator<Item = (Key<T>, &V)> {
        let slots = self.slots.iter();
        slots.map(|(index, (generation, value))| (Key::new(index, *generation), value))
    }
}

#[cfg(test)]
mod tests {
    use super::{Arena, Key};

    #[test]
    fn a_key_of_a_removed_entry_finds_nothing_though_its_slot_is_used_again() {
        let mut arena: Arena<char> = Arena::default();
        let old = arena.insert('a');
        assert_eq!(arena.remove(old), Some('a'));
        let new = arena.insert('b');
        assert_eq!(old.index(), new.index());
        assert_eq!(arena.get(old), None);
        assert_eq!(arena.remove(old), None);
        assert_eq!(arena.get(new), Some(&'b'));
    }

    #[test]
    fn what_lives_keeps_its_key_when_the_room_behind_it_is_given_back() {
        let mut arena: Arena<usize> = Arena::default();
        let keys: Vec<Key<usize>> = (0..1000).map(|n| arena.insert(n)).collect();
        for key in keys.iter().filter(|key| key.index() != 70) {
            arena.remove(*key);
        }
        arena.shrink();
        assert!(arena.slots.capacity() < 100);
        assert_eq!((arena.get(keys[70]), arena.len()), (Some(&70), 1));
        let again: Vec<Key<usize>> = (0..1000).map(|n| arena.insert(n)).collect();
        assert!(keys.iter().filter(|key| arena.get(**key).is_some()).eq([&keys[70]]));
        assert!(again.iter().all(|key| arena.get(*key).is_some()));
    }

    #[test]
    fn a_key_survives_the_way_through_a_number() {
        let mut arena: Arena<i32> = Arena::default();
        arena.insert(1);
        let key = arena.insert(2);
        assert_eq!(Key::from_bits(key.to_bits()), key);
    }
}
