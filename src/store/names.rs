//! Names: which channel has which name. Grows and shrinks by one list at a time (linear hashing),
//! so that among a million channels none takes longer to make than another. Keeps no name and no
//! list entry: both are in the channels, which their owner hands in.

use std::hash::{BuildHasher, RandomState};

use super::ask::{ChannelKey, Named};
use crate::arena::Arena;

/// All channels. Boxed: one that lives on behind thousands that are gone keeps their places, which
/// are small.
pub(super) type Table<C> = Arena<Box<C>, Named>;

/// A channel, as far as its name goes.
pub(super) trait Listed {
    fn name(&self) -> &[u8];
    fn link(&self) -> Link;
    fn link_mut(&mut self) -> &mut Link;
}

/// See the module.
#[derive(Debug)]
pub(super) struct Names {
    hasher: RandomState,
    /// The slot of the first channel of each list; `NONE`: the list is empty. Never fewer than one
    /// list, and about as many as channels.
    heads: Vec<u32>,
    len: usize,
}

/// A channel's entry in its list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    /// Of its name; the list is decided by the last bits.
    hash: u32,
    /// The slot of the next channel of the list, or `NONE`.
    next: u32,
}

impl Link {
    /// Of a channel that is in no list yet.
    pub(super) const NONE: Self = Self { hash: 0, next: NONE };
}

const NONE: u32 = u32::MAX;

/// Lists that are joined for each channel that goes, where there are more than twice as many lists
/// as channels: so they stay twice as many.
const JOINED_AT_ONCE: usize = 2;

impl Default for Names {
    fn default() -> Self {
        Self { hasher: RandomState::new(), heads: vec![NONE], len: 0 }
    }
}

impl Names {
    /// The channel of that name.
    pub(super) fn find<C: Listed>(&self, name: &[u8], table: &Table<C>) -> Option<ChannelKey> {
        let hash = self.hash(name);
        let mut slot = self.heads[self.list(hash)];
        while let Some((key, channel)) = table.at(slot as usize) {
            if channel.link().hash == hash && *channel.name() == *name {
                return Some(key);
            }
            slot = channel.link().next;
        }
        None
    }

    /// Enters a channel, whose name no other has.
    pub(super) fn insert<C: Listed>(&mut self, key: ChannelKey, table: &mut Table<C>) {
        if self.len == self.heads.len() {
            self.split(table);
        }
        let Some(channel) = table.get_mut(key) else { return };
        let hash = self.hash(channel.name());
        let list = self.list(hash);
        let head = &mut self.heads[list];
        *channel.link_mut() = Link { hash, next: *head };
        *head = slot_of(key);
        self.len += 1;
    }

    /// Takes a channel out, before it goes from the table.
    pub(super) fn remove<C: Listed>(&mut self, key: ChannelKey, table: &mut Table<C>) {
        let Some(Link { hash, next }) = table.get(key).map(|channel| channel.link()) else {
            return;
        };
        let list = self.list(hash);
        let slot = slot_of(key);
        if self.heads[list] == slot {
            self.heads[list] = next;
        } else if let Some(before) = self.find_before(list, slot, table) {
            link_mut(before, table).next = next;
        } else {
            return;
        }
        self.len -= 1;
        for _ in 0..JOINED_AT_ONCE {
            if self.heads.len() > 1 && self.heads.len() / 2 > self.len {
                self.join(table);
            }
        }
    }

    /// The slot of the channel before the one in `slot`, which is not the first of its list.
    fn find_before<C: Listed>(&self, list: usize, slot: u32, table: &Table<C>) -> Option<u32> {
        let mut before = self.heads[list];
        loop {
            let next = table.at(before as usize)?.1.link().next;
            if next == slot {
                return Some(before);
            }
            before = next;
        }
    }

    /// One list more: takes those out of an earlier one whose hashes have one bit more.
    fn split<C: Listed>(&mut self, table: &mut Table<C>) {
        let from = partner(self.heads.len());
        let mut slot = std::mem::replace(&mut self.heads[from], NONE);
        self.heads.push(NONE);
        while slot != NONE {
            let link = *link_mut(slot, table);
            let list = self.list(link.hash);
            link_mut(slot, table).next = std::mem::replace(&mut self.heads[list], slot);
            slot = link.next;
        }
    }

    /// One list less, the reverse.
    fn join<C: Listed>(&mut self, table: &mut Table<C>) {
        let Some(mut slot) = self.heads.pop() else { return };
        let into = partner(self.heads.len());
        while slot != NONE {
            let link = link_mut(slot, table);
            let next = std::mem::replace(&mut link.next, self.heads[into]);
            self.heads[into] = std::mem::replace(&mut slot, next);
        }
    }

    /// Which list a hash belongs to: by as many bits as count the lists, or by one less.
    fn list(&self, hash: u32) -> usize {
        let count = self.heads.len();
        let list = hash as usize & (count.next_power_of_two() - 1);
        if list < count { list } else { partner(list) }
    }

    fn hash(&self, name: &[u8]) -> u32 {
        self.hasher.hash_one(name) as u32
    }

    /// How many channels there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn shrink(&mut self) {
        self.heads.shrink_to_fit();
    }
}

/// The list that was split to make this one: it has the same number without the first bit.
fn partner(list: usize) -> usize {
    list ^ (1 << list.ilog2())
}

fn slot_of(key: ChannelKey) -> u32 {
    u32::try_from(key.index()).expect("as it was given")
}

fn link_mut<C: Listed>(slot: u32, table: &mut Table<C>) -> &mut Link {
    table.at_mut(slot as usize).expect("a listed channel lives").1.link_mut()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Link, Listed, Names, Table};

    struct Channel {
        name: String,
        link: Link,
    }

    impl Listed for Channel {
        fn name(&self) -> &[u8] {
            self.name.as_bytes()
        }

        fn link(&self) -> Link {
            self.link
        }

        fn link_mut(&mut self) -> &mut Link {
            &mut self.link
        }
    }

    #[test]
    fn each_channel_is_found_by_its_name_while_thousands_come_and_go() {
        let (mut names, mut table) = (Names::default(), Table::default());
        let mut model = BTreeMap::new();
        let check = |names: &Names, table: &Table<Channel>, model: &BTreeMap<u32, _>| {
            assert_eq!(names.len(), model.len());
            assert!(names.heads.len() <= (2 * names.len()).max(1) + 1);
            for n in 0..3000_u32 {
                let name = n.to_string();
                assert_eq!(names.find(name.as_bytes(), table), model.get(&n).copied(), "{name}");
            }
        };
        for n in 0..3000_u32 {
            let key = table.insert(Box::new(Channel { name: n.to_string(), link: Link::NONE }));
            names.insert(key, &mut table);
            model.insert(n, key);
            if n.is_power_of_two() || n % 1000 == 7 {
                check(&names, &table, &model);
            }
        }
        assert_eq!(names.heads.len(), 3000);
        for n in (0..3000).filter(|n| n % 50 != 0).chain((0..3000).step_by(50)) {
            let key = model.remove(&n).unwrap();
            names.remove(key, &mut table);
            table.remove(key);
            if n % 500 == 1 {
                check(&names, &table, &model);
            }
        }
        check(&names, &table, &model);
        assert_eq!(names.heads.len(), 1);
    }
}
