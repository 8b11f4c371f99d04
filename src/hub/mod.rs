//! The domain: channels, subscribers, messages. Sans-io: calls and `now` go in, [`Output`]s come
//! out. Never sees an HTTP word, a socket or a clock.
//!
//! Callers are told everything through [`Hub::poll_output`], also what a call decided at once, so
//! that a store which takes time to answer changes nothing for them. Every held request ends with
//! exactly one output, or with [`Hub::unsubscribe`].

mod channel;
mod departed;
mod fanout;
pub mod options;
mod subscription;

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

pub use channel::{ChannelName, Information};
pub use subscription::SubscriptionKey;

use self::channel::{Channel, Origin};
use self::departed::{Departed, Remains};
use self::fanout::{Cause, Fanouts, Step};
use self::options::{Concurrency, Options, StoreOptions};
use self::subscription::Subscription;
use crate::arena::{Arena, Key};
use crate::clock::Now;
use crate::message::{Cursor, Delivery, Message, MessageId};
use crate::store::{Gap, Memory, StoreId};
use crate::wheel::{TimerKey, Wheel};

/// A message on its way in.
#[derive(Debug, Clone, Copy)]
pub struct Publish<'a> {
    /// The publisher's `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// The body.
    pub body: &'a [u8],
    /// Makes the channel where it is missing.
    pub create: bool,
    /// Keeps the message for later cursors.
    pub store: bool,
}

/// A request for the first message after a cursor.
#[derive(Debug, Clone, Copy)]
pub struct Subscribe {
    /// Where the subscriber stands.
    pub cursor: Cursor,
    /// Whether it waits.
    pub delivery: Delivery,
    /// Makes the channel where it is missing.
    pub create: bool,
    /// What becomes of others that wait.
    pub concurrency: Concurrency,
    /// Most requests held on the channel; 0 = unlimited.
    pub max_subscribers: usize,
    /// Ends the hold, milliseconds; up to a tenth earlier. 0 = never.
    pub timeout_ms: u64,
}

/// What the hub answers. `peer` is what the caller called the request; it may be gone by then.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields say what the variants' words say")]
pub enum Output {
    /// The message is published; `waiting`: to at least one held request.
    Published { peer: Key, waiting: bool, information: Information },
    /// The channel exists (now).
    Exists { peer: Key, information: Information },
    /// The channel is deleted and everyone who waited was told.
    Deleted { peer: Key, information: Information },
    /// There is no such channel.
    Missing { peer: Key },
    /// A limit is reached; nothing has changed.
    Refused { peer: Key, refusal: Refusal },
    /// The request is held; it ends with one of the outputs below.
    Held { peer: Key, subscription: SubscriptionKey },
    /// The first message after the cursor; `gap`: what is missing in between.
    Deliver { peer: Key, message: Rc<Message>, gap: Gap },
    /// No message, for this reason.
    Ended { peer: Key, end: End, cursor: Cursor },
}

/// Why a request ends without a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// There is none, and the request does not wait (any longer).
    NothingNew,
    /// The channel was deleted.
    Deleted,
    /// Another request has its place.
    Displaced,
    /// The daemon stops.
    Shutdown,
}

/// Which limit refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `limits.channels`.
    Channels,
    /// `max_subscribers`.
    Subscribers,
    /// The message alone exceeds `max_memory`.
    MessageSize,
}

/// All timers of the hub.
#[derive(Debug, Clone, Copy)]
enum Timer {
    /// A held request has waited long enough.
    Poll(Key),
    /// A channel without messages and held requests has lived long enough.
    Idle(Key),
    /// A store has messages whose time is up.
    Expiry(StoreId),
}

#[derive(Debug)]
struct Store {
    memory: Memory,
    channel_timeout_ms: u64,
    /// Its expiry timer, and when that is due.
    timer: Option<(TimerKey, u64)>,
}

/// See the module.
#[derive(Debug)]
pub struct Hub {
    channels: Arena<Channel>,
    names: HashMap<Rc<[u8]>, Key>,
    subscriptions: Arena<Subscription>,
    stores: Vec<Store>,
    fanouts: Fanouts,
    departed: Departed,
    wheel: Wheel<Timer>,
    outputs: VecDeque<Output>,
    channels_max: usize,
    /// Nothing is held any more.
    stopping: bool,
    /// State of the generator of jitter; not 0.
    random: u64,
}

impl Hub {
    /// A hub with no channels. `now` is when its timers start.
    #[must_use]
    pub fn new(options: Options, now: Now) -> Self {
        let mut hub = Self {
            channels: Arena::default(),
            names: HashMap::new(),
            subscriptions: Arena::default(),
            stores: Vec::new(),
            fanouts: Fanouts::default(),
            departed: Departed::new(options.first_id),
            wheel: Wheel::new(now.mono_ms),
            outputs: VecDeque::new(),
            channels_max: options.channels_max,
            stopping: false,
            random: options.seed | 1,
        };
        hub.reload(options.stores, now);
        hub
    }

    /// Takes other settings for the stores; every message is kept. A store beyond the end of the
    /// list keeps its settings.
    pub fn reload(&mut self, stores: Vec<StoreOptions>, now: Now) {
        for (index, options) in stores.into_iter().enumerate() {
            match self.stores.get_mut(index) {
                Some(store) => {
                    store.memory.reload(options.memory);
                    store.channel_timeout_ms = options.channel_timeout_ms;
                }
                None => self.stores.push(Store {
                    memory: Memory::new(options.memory),
                    channel_timeout_ms: options.channel_timeout_ms,
                    timer: None,
                }),
            }
            self.settle_store(StoreId(index as u16), now);
        }
    }

    /// Publishes a message. Answered `Published`, `Missing` or `Refused`.
    pub fn publish(&mut self, peer: Key, name: ChannelName<'_>, publish: Publish<'_>, now: Now) {
        let memory = &self.stores[name.store.0 as usize].memory;
        if publish.store && !memory.can_ever_fit(publish.content_type, publish.body) {
            return self.refuse(peer, Refusal::MessageSize);
        }
        let Some(key) = self.find_or_create(peer, name, publish.create, Origin::Post, now) else {
            return;
        };
        let forgotten = self.departed.others().lost_through;
        let channel = self.channels.get_mut(key).expect("a found channel lives");
        let memory = &mut self.stores[name.store.0 as usize].memory;
        let id = channel.next_id(now);
        let message = if publish.store {
            let queue = *channel.queue.get_or_insert_with(|| memory.open(key.to_bits(), forgotten));
            memory.append(queue, id, publish.content_type, publish.body, now.mono_ms)
        } else {
            Rc::new(Message {
                id,
                sequence: channel.queue.map_or(0, |queue| memory.next_sequence(queue)),
                content_type: publish.content_type.map(Into::into),
                body: publish.body.into(),
            })
        };
        let lost_through = channel.queue.map_or(forgotten, |queue| memory.lost_through(queue));
        let information = self.information(key, now);
        let waiters = self.take_who_wants(key, id);
        self.outputs.push_back(Output::Published {
            peer,
            waiting: !waiters.is_empty(),
            information,
        });
        if !waiters.is_empty() {
            self.fanouts.start(Cause::Message { message, channel: key, lost_through }, waiters);
        }
        self.settle_store(name.store, now);
        self.settle(key, now);
    }

    /// Makes a channel where it is missing. Answered `Exists` or `Refused`.
    pub fn create(&mut self, peer: Key, name: ChannelName<'_>, now: Now) {
        if let Some(key) = self.find_or_create(peer, name, true, Origin::Put, now) {
            let information = self.information(key, now);
            self.outputs.push_back(Output::Exists { peer, information });
            self.settle(key, now);
        }
    }

    /// Looks at a channel. Answered `Exists` or `Missing`.
    pub fn inspect(&mut self, peer: Key, name: ChannelName<'_>, now: Now) {
        self.outputs.push_back(match self.names.get(name.name) {
            Some(key) => Output::Exists { peer, information: self.information(*key, now) },
            None => Output::Missing { peer },
        });
    }

    /// Deletes a channel with its messages; who waits is told. Answered `Missing`, or `Deleted`
    /// after all were told.
    pub fn delete(&mut self, peer: Key, name: ChannelName<'_>, now: Now) {
        let Some(&key) = self.names.get(name.name) else {
            return self.outputs.push_back(Output::Missing { peer });
        };
        let information = self.information(key, now);
        let channel = self.channels.get_mut(key).expect("a named channel lives");
        let waiters = channel.take_waiting(Vec::new());
        self.remove_channel(key);
        self.fanouts.start(Cause::Deleted { publisher: peer, information }, waiters);
    }

    /// Asks for the first message after a cursor. Answered `Deliver`, `Ended`, `Missing`,
    /// `Refused`, or `Held` and later `Deliver` or `Ended`.
    pub fn subscribe(&mut self, peer: Key, name: ChannelName<'_>, subscribe: Subscribe, now: Now) {
        let waits = subscribe.delivery == Delivery::LongPoll && !self.stopping;
        if subscribe.create && !waits && !self.names.contains_key(name.name) {
            // Made here it would vanish at once.
            return self.end(peer, End::NothingNew, subscribe.cursor);
        }
        let Some(key) = self.find_or_create(peer, name, subscribe.create, Origin::Get, now) else {
            return;
        };
        let channel = self.channels.get_mut(key).expect("a found channel lives");
        channel.asked(now);
        let memory = &self.stores[channel.store.0 as usize].memory;
        if let Some(queue) = channel.queue
            && let Some((message, gap)) = memory.after(queue, subscribe.cursor)
        {
            return self.outputs.push_back(Output::Deliver { peer, message, gap });
        }
        if !waits {
            return self.end(peer, End::NothingNew, subscribe.cursor);
        }
        let waiting = channel.waiting.len();
        match subscribe.concurrency {
            Concurrency::First if waiting > 0 => {
                return self.end(peer, End::Displaced, subscribe.cursor);
            }
            Concurrency::Last => self.displace(key),
            _ if subscribe.max_subscribers != 0 && waiting >= subscribe.max_subscribers => {
                return self.refuse(peer, Refusal::Subscribers);
            }
            _ => {}
        }
        self.hold(peer, key, subscribe, now);
    }

    /// Ends a hold whose subscriber is gone. A hold that has ended already is none of its concern.
    pub fn unsubscribe(&mut self, subscription: SubscriptionKey, now: Now) {
        if let Some((channel, _)) = self.release(subscription.0) {
            self.settle(channel, now);
        }
    }

    /// Ends every hold, a few at a time, with `End::Shutdown`; but who has a message on the way
    /// gets that. From now on no request is held.
    pub fn shutdown(&mut self, now: Now) {
        self.stopping = true;
        let mut all = Vec::with_capacity(self.subscriptions.len());
        let keys: Vec<Key> = self.channels.iter().map(|(key, _)| key).collect();
        for key in keys {
            let channel = self.channels.get_mut(key).expect("just listed");
            all.append(&mut channel.take_waiting(Vec::new()));
            self.settle(key, now);
        }
        self.fanouts.start(Cause::Shutdown, all);
    }

    /// The next answer. Answers to requests come before what fan-outs bring, so a publisher has
    /// its answer before the first delivery leaves.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            let (waiter, cause) = match self.fanouts.next()? {
                Step::Waiter(waiter, cause) => (waiter, cause),
                Step::Done(Cause::Deleted { publisher, information }) => {
                    return Some(Output::Deleted { peer: publisher, information });
                }
                Step::Done(_) => continue,
            };
            // One that left meanwhile is skipped.
            let Some((_, subscription)) = self.release(waiter) else { continue };
            let Subscription { peer, cursor, .. } = subscription;
            return Some(match cause {
                Cause::Message { message, channel, lost_through } => {
                    let gap = self.gap(channel, cursor, lost_through, message.sequence);
                    Output::Deliver { peer, message, gap }
                }
                Cause::Deleted { .. } => Output::Ended { peer, end: End::Deleted, cursor },
                Cause::Shutdown => Output::Ended { peer, end: End::Shutdown, cursor },
            });
        }
    }

    /// Whether [`Hub::poll_output`] has more to say.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty() || !self.fanouts.is_empty()
    }

    /// Whether an answer waits, and not only deliveries of a fan-out.
    #[must_use]
    pub fn has_answer(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// When [`Hub::handle_timeout`] has something to do, milliseconds.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.wheel.next_deadline()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.wheel.pop_expired(now.mono_ms) {
            match timer {
                Timer::Poll(subscription) => self.poll_timed_out(subscription, now),
                Timer::Idle(channel) => self.idle_timed_out(channel, now),
                Timer::Expiry(id) => {
                    let store = &mut self.stores[id.0 as usize];
                    store.timer = None;
                    store.memory.expire(now.mono_ms);
                    self.settle_store(id, now);
                }
            }
        }
    }

    /// Requests that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.subscriptions.len()
    }

    /// Channels that exist.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Timers that are set.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.wheel.len()
    }

    /// Bytes in a store, as they count against its budget.
    #[must_use]
    pub fn used_bytes(&self, store: StoreId) -> usize {
        self.stores[store.0 as usize].memory.used_bytes()
    }

    /// Compares the tables with each other; for tests.
    ///
    /// # Panics
    /// Where they disagree, which is a bug.
    pub fn check_invariants(&self) {
        assert_eq!(self.names.len(), self.channels.len(), "one name for each channel");
        let mut waiting = 0;
        for (key, channel) in self.channels.iter() {
            assert_eq!(self.names.get(&channel.name), Some(&key));
            waiting += channel.waiting.len();
            for (slot, subscription) in channel.waiting.iter().enumerate() {
                let held = self.subscriptions.get(*subscription).expect("who waits is held");
                assert_eq!((held.slot as usize, held.epoch), (slot, channel.epoch));
            }
        }
        assert!(waiting <= self.subscriptions.len(), "who is held waits or is being woken");
        if self.fanouts.is_empty() {
            assert_eq!(waiting, self.subscriptions.len(), "who is held waits");
        }
    }

    fn refuse(&mut self, peer: Key, refusal: Refusal) {
        self.outputs.push_back(Output::Refused { peer, refusal });
    }

    fn end(&mut self, peer: Key, end: End, cursor: Cursor) {
        self.outputs.push_back(Output::Ended { peer, end, cursor });
    }

    /// The channel of that name, made if need be; `None`: `peer` has its answer.
    fn find_or_create(
        &mut self,
        peer: Key,
        name: ChannelName<'_>,
        create: bool,
        origin: Origin,
        now: Now,
    ) -> Option<Key> {
        if let Some(&key) = self.names.get(name.name) {
            let channel = self.channels.get_mut(key).expect("a named channel lives");
            channel.origin = channel.origin.max(origin);
            channel.used_ms = now.mono_ms;
            return Some(key);
        }
        if !create {
            self.outputs.push_back(Output::Missing { peer });
            return None;
        }
        if self.channels.len() >= self.channels_max {
            self.refuse(peer, Refusal::Channels);
            return None;
        }
        let before = self.departed.recall(name.name);
        let Remains { last, lost_through } = before.unwrap_or(self.departed.others());
        let shared: Rc<[u8]> = name.name.into();
        let channel = Channel::new(Rc::clone(&shared), name.store, origin, last, now);
        let key = self.channels.insert(channel);
        self.names.insert(shared, key);
        if before.is_some() {
            let memory = &mut self.stores[name.store.0 as usize].memory;
            let queue = memory.open(key.to_bits(), lost_through);
            self.channels.get_mut(key).expect("just made").queue = Some(queue);
        }
        Some(key)
    }

    fn information(&self, key: Key, now: Now) -> Information {
        let channel = self.channels.get(key).expect("a found channel lives");
        let memory = &self.stores[channel.store.0 as usize].memory;
        channel.information(channel.queue.map_or(0, |queue| memory.len(queue)), now)
    }

    /// Takes from a channel everyone whose cursor is before `id`.
    fn take_who_wants(&mut self, key: Key, id: MessageId) -> Vec<Key> {
        let channel = self.channels.get_mut(key).expect("a found channel lives");
        if channel.waiting.is_empty() {
            return Vec::new();
        }
        let some_ahead = channel.ahead > 0;
        let mut waiters = channel.take_waiting(self.fanouts.spare());
        if some_ahead {
            waiters.retain(|waiter| {
                let held = self.subscriptions.get_mut(*waiter).expect("who waits is held");
                let wants = held.cursor.wants(id);
                if !wants {
                    (held.slot, held.epoch) = channel.hold(*waiter, held.cursor);
                }
                wants
            });
        }
        waiters
    }

    fn hold(&mut self, peer: Key, channel: Key, subscribe: Subscribe, now: Now) {
        let subscription = self.subscriptions.next_key();
        let timer = (subscribe.timeout_ms != 0).then(|| {
            let at_ms = now.mono_ms.saturating_add(self.jittered(subscribe.timeout_ms));
            self.wheel.set(at_ms, Timer::Poll(subscription))
        });
        let cursor = subscribe.cursor;
        let entry = self.channels.get_mut(channel).expect("a found channel lives");
        let (slot, epoch) = entry.hold(subscription, cursor);
        self.subscriptions.insert(Subscription { peer, channel, cursor, slot, epoch, timer });
        let subscription = SubscriptionKey(subscription);
        self.outputs.push_back(Output::Held { peer, subscription });
    }

    /// Up to a tenth less than `timeout_ms`, so that subscribers that came together do not all
    /// come back together.
    fn jittered(&mut self, timeout_ms: u64) -> u64 {
        // Xorshift: jitter needs no better.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        timeout_ms - self.random % (timeout_ms / 10 + 1)
    }

    /// Removes a held subscription everywhere; gives it with its channel.
    fn release(&mut self, key: Key) -> Option<(Key, Subscription)> {
        let subscription = self.subscriptions.remove(key)?;
        if let Some(timer) = subscription.timer {
            self.wheel.cancel(timer);
        }
        if let Some(channel) = self.channels.get_mut(subscription.channel)
            && channel.epoch == subscription.epoch
            && let Some(moved) = channel.leave(subscription.slot)
        {
            let moved = self.subscriptions.get_mut(moved).expect("who waits is held");
            moved.slot = subscription.slot;
        }
        Some((subscription.channel, subscription))
    }

    /// Answers everyone who waits on a channel with 409.
    fn displace(&mut self, key: Key) {
        let channel = self.channels.get_mut(key).expect("a found channel lives");
        for waiter in channel.take_waiting(Vec::new()) {
            if let Some((_, subscription)) = self.release(waiter) {
                self.end(subscription.peer, End::Displaced, subscription.cursor);
            }
        }
    }

    fn poll_timed_out(&mut self, key: Key, now: Now) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        subscription.timer = None;
        let channel = self.channels.get(subscription.channel);
        if channel.is_some_and(|channel| channel.epoch == subscription.epoch) {
            let (channel, subscription) = self.release(key).expect("found above");
            self.end(subscription.peer, End::NothingNew, subscription.cursor);
            self.settle(channel, now);
        }
        // Otherwise a fan-out has it, and ends it within moments.
    }

    fn gap(&self, channel: Key, cursor: Cursor, lost_through: MessageId, sequence: u64) -> Gap {
        if cursor.is_oldest() || lost_through <= cursor.id() {
            return Gap::NONE;
        }
        match self.channels.get(channel) {
            Some(Channel { queue: Some(queue), store, .. }) => {
                self.stores[store.0 as usize].memory.gap(*queue, cursor, sequence)
            }
            _ => Gap::Unknown,
        }
    }

    /// Sets a store's expiry timer and settles the channels that it emptied.
    fn settle_store(&mut self, id: StoreId, now: Now) {
        while let Some(owner) = self.stores[id.0 as usize].memory.next_emptied() {
            self.settle(Key::from_bits(owner), now);
        }
        let store = &mut self.stores[id.0 as usize];
        let due = store.memory.next_expiry();
        match (store.timer, due) {
            // A timer that is early looks again; it is left alone, not moved at each message.
            (Some((_, at)), Some(due)) if at <= due => {}
            (timer, due) => {
                if let Some((timer, _)) = timer {
                    self.wheel.cancel(timer);
                }
                store.timer = due.map(|at| (self.wheel.set(at, Timer::Expiry(id)), at));
            }
        }
    }

    /// Removes a channel that nothing keeps alive, or sets the timer that will.
    fn settle(&mut self, key: Key, now: Now) {
        if !self.is_idle(key) {
            return;
        }
        let channel = self.channels.get_mut(key).expect("an idle channel lives");
        channel.used_ms = now.mono_ms;
        if channel.origin == Origin::Get {
            self.remove_channel(key);
        } else if channel.idle_timer.is_none() {
            let store = &self.stores[channel.store.0 as usize];
            let at_ms = now.mono_ms.saturating_add(channel.timeout_ms(store.channel_timeout_ms));
            channel.idle_timer = Some(self.wheel.set(at_ms, Timer::Idle(key)));
        }
    }

    fn idle_timed_out(&mut self, key: Key, now: Now) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.idle_timer = None;
        let store = &self.stores[channel.store.0 as usize];
        let due = channel.used_ms.saturating_add(channel.timeout_ms(store.channel_timeout_ms));
        if !self.is_idle(key) {
            return;
        }
        if due <= now.mono_ms {
            self.remove_channel(key);
        } else {
            let timer = self.wheel.set(due, Timer::Idle(key));
            self.channels.get_mut(key).expect("an idle channel lives").idle_timer = Some(timer);
        }
    }

    /// Whether a channel lives with no message and nobody waiting.
    fn is_idle(&self, key: Key) -> bool {
        self.channels.get(key).is_some_and(|channel| {
            let memory = &self.stores[channel.store.0 as usize].memory;
            channel.waiting.is_empty() && channel.queue.is_none_or(|queue| memory.is_empty(queue))
        })
    }

    fn remove_channel(&mut self, key: Key) {
        let Some(channel) = self.channels.remove(key) else { return };
        self.names.remove(&channel.name);
        if self.names.capacity() > 4096 && self.names.len() < self.names.capacity() / 8 {
            self.names.shrink_to(self.names.len() * 2);
        }
        if let Some(timer) = channel.idle_timer {
            self.wheel.cancel(timer);
        }
        let mut lost_through = self.departed.others().lost_through;
        if let Some(queue) = channel.queue {
            let memory = &mut self.stores[channel.store.0 as usize].memory;
            lost_through = memory.lost_through(queue);
            memory.close(queue);
        }
        self.departed.remember(&channel.name, Remains { last: channel.last, lost_through });
    }
}

#[cfg(test)]
mod tests;
