//! Mirrors: every channel that is listened to, by name; who is synced, whose lease is renewed, and
//! whom nobody waits for any more. Never looks at a message.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use slab::Slab;

use super::mirror::{Mirror, Stage};
use super::question::Sender;
use super::unheard::Unheard;
use crate::clock::Now;
use crate::message::MessageId;
use crate::store::channel::LINGER_MS;
use crate::store::channels::Channels;

/// How often it is noted that somebody waits, milliseconds: a third of what a note is good for.
const LEASE_MS: u64 = 30_000;

/// Mirrors that are looked at in one turn: less than a millisecond.
const AT_ONCE: usize = 1000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Mirrors {
    table: Slab<Mirror>,
    names: HashMap<Rc<[u8]>, usize>,
    /// Counts the connections that have ended: nothing is listened to any more that was then.
    epoch: u64,
    /// Those that are synced now.
    syncing: usize,
    /// On a new connection: the first slot that may have to be synced.
    resync: Option<usize>,
    /// With the time when each is due, milliseconds; some are of an earlier mirror of that name.
    leases: VecDeque<(u64, Rc<[u8]>)>,
    left: VecDeque<(u64, Rc<[u8]>)>,
    pub(super) unheard: Unheard,
    /// Syncs, and those because something was missing; since the start.
    pub(super) resyncs: u64,
    pub(super) holes: u64,
}

impl Mirrors {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Mirror> {
        self.table.get(*self.names.get(name)?)
    }

    pub(super) fn get_mut(&mut self, name: &[u8]) -> Option<&mut Mirror> {
        self.table.get_mut(*self.names.get(name)?)
    }

    /// Whether everything behind `covered` is known of it now.
    pub(super) fn is_live(&self, mirror: &Mirror) -> bool {
        mirror.stage == Stage::Live && self.is_heard(mirror)
    }

    /// Whether a message of this id is still to be announced.
    pub(super) fn expects(&self, name: &[u8], id: MessageId) -> bool {
        self.get(name).is_some_and(|mirror| self.is_live(mirror) && mirror.last < id)
    }

    /// Whether it is listened to on this connection.
    pub(super) fn is_heard(&self, mirror: &Mirror) -> bool {
        mirror.epoch == self.epoch
    }

    /// The mirror of a channel that is listened to, for what is announced.
    pub(super) fn heard(&mut self, name: &[u8]) -> Option<&mut Mirror> {
        let epoch = self.epoch;
        self.get_mut(name).filter(|mirror| mirror.epoch == epoch)
    }

    /// The mirror of a channel that is synced.
    pub(super) fn syncing(&mut self, name: &[u8]) -> Option<&mut Mirror> {
        self.heard(name).filter(|mirror| mirror.stage == Stage::Syncing)
    }

    /// Whether all of them are known to be complete.
    pub(super) fn are_settled(&self) -> bool {
        self.resync.is_none() && self.syncing == 0
    }

    /// The connection has ended.
    pub(super) fn go_down(&mut self) {
        self.epoch += 1;
        (self.syncing, self.resync) = (0, None);
    }

    /// There is another connection.
    pub(super) fn come_up(&mut self) {
        self.resync = Some(0);
    }

    /// Listens to a channel, before a subscriber asks there.
    pub(super) fn listen(&mut self, name: &Rc<[u8]>, sender: &mut Sender<'_>) {
        let Some(&index) = self.names.get(name) else {
            let index = self.table.insert(Mirror::new(Rc::clone(name), self.epoch));
            self.names.insert(Rc::clone(name), index);
            return sender.subscribe(name);
        };
        let mirror = &mut self.table[index];
        match mirror.stage {
            _ if mirror.epoch == self.epoch => {}
            Stage::Opening => {
                mirror.epoch = self.epoch;
                sender.subscribe(name);
            }
            Stage::Syncing | Stage::Live => self.sync_at(index, sender),
        }
    }

    /// Asks what came since then, as something is missing.
    pub(super) fn fill_hole(&mut self, name: &[u8], sender: &mut Sender<'_>) {
        if let Some(&index) = self.names.get(name) {
            self.holes += 1;
            self.sync_at(index, sender);
        }
    }

    fn sync_at(&mut self, index: usize, sender: &mut Sender<'_>) {
        let mirror = &mut self.table[index];
        if mirror.epoch != self.epoch {
            mirror.epoch = self.epoch;
            sender.subscribe(&mirror.name);
        } else if mirror.stage == Stage::Syncing {
            return;
        }
        mirror.stage = Stage::Syncing;
        self.syncing += 1;
        self.resyncs += 1;
        let (name, last) = (Rc::clone(&mirror.name), mirror.last);
        self.go_on(&name, last, sender);
    }

    /// Asks for more of what came.
    pub(super) fn go_on(&mut self, name: &Rc<[u8]>, last: MessageId, sender: &mut Sender<'_>) {
        if !sender.sync(name, last)
            && let Some(mirror) = self.syncing(name)
        {
            // It is looked at again when there is room.
            mirror.epoch = mirror.epoch.wrapping_sub(1);
            self.syncing -= 1;
            self.resync = Some(0);
        }
    }

    /// A sync has brought all.
    pub(super) fn settle(&mut self, name: &[u8], last: MessageId) {
        if let Some(mirror) = self.syncing(name) {
            mirror.stage = Stage::Live;
            mirror.last = mirror.last.max(last);
            self.syncing -= 1;
        }
    }

    /// The lease of a channel that somebody may wait on is renewed from now on.
    pub(super) fn begin_lease(&mut self, name: &[u8], now: Now) {
        if let Some(mirror) = self.get_mut(name).filter(|mirror| mirror.lease_ms.is_none()) {
            let due_ms = now.mono_ms + LEASE_MS;
            mirror.lease_ms = Some(due_ms);
            let name = Rc::clone(&mirror.name);
            self.leases.push_back((due_ms, name));
        }
    }

    /// A channel has ended here: it is listened to for some time, for those who follow the next one
    /// of its name.
    pub(super) fn leave(&mut self, name: &[u8], now: Now) {
        if let Some(mirror) = self.get_mut(name) {
            mirror.channel = None;
            if mirror.left_ms.is_none() {
                let due_ms = now.mono_ms + LINGER_MS;
                mirror.left_ms = Some(due_ms);
                let name = Rc::clone(&mirror.name);
                self.left.push_back((due_ms, name));
            }
        }
    }

    /// Drops a mirror that is of no use any more: it has no channel, and nobody asks.
    pub(super) fn drop_unused(&mut self, name: &[u8], sender: &mut Sender<'_>) {
        let is_used = |mirror: &Mirror| mirror.channel.is_some() || mirror.opens > 0;
        let Some(&index) = self.names.get(name) else { return };
        let mirror = &self.table[index];
        if is_used(mirror) {
            return;
        }
        if mirror.epoch == self.epoch {
            sender.unsubscribe(name);
            self.syncing -= usize::from(mirror.stage == Stage::Syncing);
        }
        self.names.remove(name);
        self.table.remove(index);
    }

    /// Sends what is due: syncs on a new connection, leases. `is_followed`: whether somebody
    /// follows the next channel of a name.
    pub(super) fn flush<W>(
        &mut self,
        channels: &Channels<W>,
        is_followed: impl Fn(&[u8]) -> bool,
        sender: &mut Sender<'_>,
        now: Now,
    ) {
        self.drop_left(is_followed, sender, now);
        if let Some(start) = self.resync {
            let end = (start + AT_ONCE).min(self.slots());
            let mut index = start;
            while index < end && sender.has_room() {
                if self.table.get(index).is_some_and(|mirror| {
                    mirror.epoch != self.epoch && mirror.stage != Stage::Opening
                }) {
                    self.sync_at(index, sender);
                    let channel = self.table.get(index).and_then(|mirror| mirror.channel);
                    let channel = channel.and_then(|key| channels.get(key));
                    if let Some(channel) = channel.filter(|channel| channel.waited) {
                        sender.lease(&channel.name, channel.asked_ago_s(now).unwrap_or_default());
                    }
                }
                index += 1;
            }
            self.resync = (index < self.slots()).then_some(index);
        }
        self.renew_leases(channels, sender, now);
    }

    fn renew_leases<W>(&mut self, channels: &Channels<W>, sender: &mut Sender<'_>, now: Now) {
        for _ in 0..AT_ONCE {
            if self.leases.front().is_none_or(|(due_ms, _)| *due_ms > now.mono_ms)
                || !sender.has_room()
            {
                return;
            }
            let Some((due_ms, name)) = self.leases.pop_front() else { return };
            let is_it = |mirror: &&mut Mirror| mirror.lease_ms == Some(due_ms);
            let Some(mirror) = self.get_mut(&name).filter(is_it) else { continue };
            let Some(channel) = mirror.channel.and_then(|key| channels.get(key)) else {
                mirror.lease_ms = None;
                continue;
            };
            if channel.waited {
                sender.lease(&name, channel.asked_ago_s(now).unwrap_or_default());
            }
            let next_ms = now.mono_ms + LEASE_MS;
            mirror.lease_ms = Some(next_ms);
            self.leases.push_back((next_ms, name));
        }
    }

    fn drop_left(
        &mut self,
        is_followed: impl Fn(&[u8]) -> bool,
        sender: &mut Sender<'_>,
        now: Now,
    ) {
        for _ in 0..AT_ONCE {
            if self.left.front().is_none_or(|(due_ms, _)| *due_ms > now.mono_ms) {
                return;
            }
            let Some((due_ms, name)) = self.left.pop_front() else { return };
            let is_it = |mirror: &&mut Mirror| mirror.left_ms == Some(due_ms);
            let Some(mirror) = self.get_mut(&name).filter(is_it) else { continue };
            if mirror.channel.is_none() && is_followed(&name) {
                let next_ms = now.mono_ms + LINGER_MS;
                mirror.left_ms = Some(next_ms);
                self.left.push_back((next_ms, name));
                continue;
            }
            mirror.left_ms = None;
            self.drop_unused(&name, sender);
        }
    }

    /// Slots of the table, used or not.
    fn slots(&self) -> usize {
        self.table.capacity()
    }

    /// When [`Mirrors::flush`] has something to do, milliseconds; `is_free`: it may send.
    pub(super) fn due_ms(&self, is_free: bool) -> Option<u64> {
        let resync = self.resync.filter(|_| is_free).map(|_| 0);
        let lease = self.leases.front().filter(|_| is_free).map(|(due_ms, _)| *due_ms);
        let left = self.left.front().map(|(due_ms, _)| *due_ms);
        [resync, lease, left].into_iter().flatten().min()
    }

    pub(super) fn shrink(&mut self) {
        self.table.shrink_to_fit();
        self.names.shrink_to_fit();
        self.leases.shrink_to_fit();
        self.left.shrink_to_fit();
    }
}
