//! Members: the table of them, by channel and by identity, in the order in which they came. Tells
//! nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::rc::Rc;

use super::member::Member;
use super::numbers::{ChannelNumber, MemberNumber};
use crate::relay::location::group_and_id;
use crate::relay::request::identity::Identity;

/// Where a channel is.
pub(super) struct Place<'m> {
    /// The number of its store.
    pub(super) store: usize,
    pub(super) group: &'m str,
    pub(super) id: &'m [u8],
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Members {
    all: HashMap<MemberNumber, Member>,
    by_identity: BTreeMap<(Identity, ChannelNumber), MemberNumber>,
    channels: HashMap<ChannelNumber, Channel>,
    by_name: HashMap<Rc<[u8]>, ChannelNumber>,
    /// The number of the next member, and of the next channel.
    next: u64,
}

#[derive(Debug)]
struct Channel {
    name: Rc<[u8]>,
    members: BTreeSet<MemberNumber>,
    /// Those that have not left.
    present: usize,
}

impl Members {
    pub(super) fn get(&self, number: MemberNumber) -> Option<&Member> {
        self.all.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: MemberNumber) -> Option<&mut Member> {
        self.all.get_mut(&number)
    }

    /// Who has this identity on the channel of this name.
    pub(super) fn find(&self, identity: &Identity, name: &[u8]) -> Option<MemberNumber> {
        let channel = *self.by_name.get(name)?;
        self.by_identity.get(&(identity.clone(), channel)).copied()
    }

    /// Somebody new, who is there.
    pub(super) fn insert(
        &mut self,
        identity: &Identity,
        name: &[u8],
        since_s: u64,
    ) -> MemberNumber {
        self.next += 1;
        let number = MemberNumber(self.next);
        let channel = match self.by_name.get(name) {
            Some(channel) => *channel,
            None => {
                let channel = ChannelNumber(self.next);
                let name: Rc<[u8]> = name.into();
                self.by_name.insert(Rc::clone(&name), channel);
                let entry = Channel { name, members: BTreeSet::new(), present: 0 };
                self.channels.insert(channel, entry);
                channel
            }
        };
        let entry = self.channels.get_mut(&channel).expect("a named channel is there");
        entry.members.insert(number);
        entry.present += 1;
        self.by_identity.insert((identity.clone(), channel), number);
        self.all.insert(number, Member::new(identity.clone(), channel, since_s));
        number
    }

    /// A member has left, or is back before it was told that it had.
    pub(super) fn set_gone(&mut self, number: MemberNumber, is_gone: bool) {
        let Some(member) = self.all.get_mut(&number).filter(|one| one.is_gone != is_gone) else {
            return;
        };
        member.set_gone(is_gone);
        if let Some(channel) = self.channels.get_mut(&member.channel) {
            channel.present = match is_gone {
                true => channel.present - 1,
                false => channel.present + 1,
            };
        }
    }

    /// Forgets a member.
    pub(super) fn remove(&mut self, number: MemberNumber) -> Option<Member> {
        let member = self.all.remove(&number)?;
        self.by_identity.remove(&(member.identity.clone(), member.channel));
        if let Some(channel) = self.channels.get_mut(&member.channel) {
            channel.members.remove(&number);
            channel.present -= usize::from(!member.is_gone);
            if channel.members.is_empty() {
                self.by_name.remove(&channel.name);
                self.channels.remove(&member.channel);
            }
        }
        Some(member)
    }

    /// The id of a channel with members, and how many are on it.
    pub(super) fn id_and_present(&self, channel: ChannelNumber) -> (&[u8], usize) {
        let channel = self.channels.get(&channel);
        channel.map_or((b"", 0), |channel| (group_and_id(&channel.name).1, channel.present))
    }

    /// Where a channel with members is.
    pub(super) fn place_of(&self, channel: ChannelNumber) -> Place<'_> {
        let nowhere = Place { store: 0, group: "", id: b"" };
        let Some(Channel { name, .. }) = self.channels.get(&channel) else { return nowhere };
        let (group, id) = group_and_id(name);
        let [high, low, ..] = **name else { return nowhere };
        let store = usize::from(u16::from_be_bytes([high, low]));
        Place { store, group: std::str::from_utf8(group).unwrap_or_default(), id }
    }

    /// How many are on the channel of this name.
    pub(super) fn present(&self, name: &[u8]) -> usize {
        let channel = self.by_name.get(name).and_then(|number| self.channels.get(number));
        channel.map_or(0, |channel| channel.present)
    }

    /// How many there are, with those that have left and of whom that is to be told.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// All of them, in no order.
    pub(super) fn numbers(&self) -> Vec<MemberNumber> {
        self.all.keys().copied().collect()
    }

    /// Who has this identity on the channel of this name, or on any.
    pub(super) fn numbers_of(&self, identity: &Identity, name: Option<&[u8]>) -> Vec<MemberNumber> {
        if let Some(name) = name {
            return self.find(identity, name).into_iter().collect();
        }
        let all =
            (identity.clone(), ChannelNumber(0))..=(identity.clone(), ChannelNumber(u64::MAX));
        self.by_identity.range(all).map(|(_, number)| *number).collect()
    }

    /// Those on the channel of this name, behind the one whose number is `after`, in the order in
    /// which they came; with their numbers.
    pub(super) fn on_channel(
        &self,
        name: &[u8],
        after: u64,
    ) -> impl Iterator<Item = (u64, &Member)> {
        let channel = self.by_name.get(name).and_then(|number| self.channels.get(number));
        let behind = (Bound::Excluded(MemberNumber(after)), Bound::Unbounded);
        let numbers = channel.into_iter().flat_map(move |one| one.members.range(behind));
        numbers.filter_map(|number| Some((number.0, self.all.get(number)?)))
    }

    /// As [`Members::on_channel`], whoever has this identity, on all channels; the numbers are
    /// those of the channels.
    pub(super) fn of_identity(
        &self,
        identity: &Identity,
        after: u64,
    ) -> impl Iterator<Item = (u64, &Member)> {
        let begin = Bound::Excluded((identity.clone(), ChannelNumber(after)));
        let end = Bound::Included((identity.clone(), ChannelNumber(u64::MAX)));
        let entries = self.by_identity.range((begin, end));
        entries.filter_map(|((_, channel), number)| Some((channel.0, self.all.get(number)?)))
    }

    /// Gives back the room that is not needed any more.
    pub(super) fn shrink(&mut self) {
        self.all.shrink_to(0);
        self.channels.shrink_to(0);
        self.by_name.shrink_to(0);
    }

    /// Compares the tables; for tests.
    pub(super) fn check_invariants(&self) {
        assert_eq!((self.by_identity.len(), self.channels.len()), (self.len(), self.by_name.len()));
        let (mut members, mut present) = (0, 0);
        for (number, channel) in &self.channels {
            assert_eq!(self.by_name.get(&channel.name), Some(number));
            assert!(!channel.members.is_empty(), "a channel without members");
            members += channel.members.len();
            present += channel.present;
            for member in &channel.members {
                assert_eq!(self.all[member].channel, *number);
            }
        }
        let is_present = |member: &&Member| !member.is_gone;
        assert_eq!((members, present), (self.len(), self.all.values().filter(is_present).count()));
    }
}
