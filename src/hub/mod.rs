//! The domain: channels, subscribers, messages. Sans-io: calls and `now` go in, [`Output`]s come
//! out. Never sees an HTTP word, a socket or a clock.
//!
//! Callers are told everything through [`Hub::poll_output`], also what a call decided at once, so
//! that a store which takes time to answer changes nothing for them. Every held request ends with
//! exactly one output, or with [`Hub::unsubscribe`].

mod api;
mod channel;
mod fanout;
mod figures;
mod holding;
pub mod options;
mod subscription;
mod timeouts;
mod tombstones;

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

pub use api::{End, Output, Publish, Refusal, Subscribe};
pub use channel::{ChannelName, Information};
pub use subscription::{Peer, SubscriptionKey};

use self::channel::{Channel, ChannelKey, Origin};
use self::fanout::{Cause, Fanouts, Step};
use self::options::{Concurrency, Options, StoreOptions};
use self::subscription::Subscription;
use self::tombstones::Departed;
use crate::arena::Arena;
use crate::clock::Now;
use crate::message::{Cursor, Delivery, Message, MessageId};
use crate::store::{Gap, Memory, StoreId};
use crate::wheel::{TimerKey, Wheel};

/// Timers that are dealt with at once: less than a millisecond, most of it for channels that end.
const TIMERS_AT_ONCE: usize = 512;

/// Answers that timers make at once. Further ones wait until these are taken, since whoever asks next
/// has them all carried out before its own.
const ENDS_AT_ONCE: usize = 96;

/// All timers of the hub.
#[derive(Debug, Clone, Copy)]
enum Timer {
    /// A held request has waited long enough.
    Poll(SubscriptionKey),
    /// A channel without messages and held requests has lived long enough.
    Idle(ChannelKey),
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
    /// Boxed: one that lives on behind thousands that are gone keeps their places, which are small.
    channels: Arena<Box<Channel>, Channel>,
    names: HashMap<Rc<[u8]>, ChannelKey>,
    subscriptions: Arena<Subscription>,
    stores: Vec<Store>,
    fanouts: Fanouts,
    departed: Departed,
    wheel: Wheel<Timer>,
    outputs: VecDeque<Output>,
    channels_max: usize,
    /// After a reload: the first channel slot whose timer may be later than it should.
    reviewed: Option<usize>,
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
            reviewed: None,
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
                    if options.channel_timeout_ms < store.channel_timeout_ms {
                        self.reviewed = Some(0);
                    }
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
    pub fn publish(&mut self, peer: Peer, name: ChannelName<'_>, publish: Publish<'_>, now: Now) {
        let memory = &self.stores[name.store.0 as usize].memory;
        if publish.store && !memory.can_ever_fit(publish.content_type, publish.body) {
            return self.refuse(peer, Refusal::MessageSize);
        }
        let Some(key) = self.find_or_create(peer, name, publish.create, Origin::Post, now) else {
            return;
        };
        let channel = self.channels.get_mut(key).expect("a found channel lives");
        let forgotten = channel.forgotten;
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
    pub fn create(&mut self, peer: Peer, name: ChannelName<'_>, now: Now) {
        if let Some(key) = self.find_or_create(peer, name, true, Origin::Put, now) {
            let information = self.information(key, now);
            self.outputs.push_back(Output::Exists { peer, information });
            self.settle(key, now);
        }
    }

    /// Looks at a channel. Answered `Exists` or `Missing`.
    pub fn inspect(&mut self, peer: Peer, name: ChannelName<'_>, now: Now) {
        self.outputs.push_back(match self.names.get(name.name) {
            Some(key) => Output::Exists { peer, information: self.information(*key, now) },
            None => Output::Missing { peer },
        });
    }

    /// Deletes a channel with its messages; who waits is told. Answered `Missing`, or `Deleted`
    /// after all were told.
    pub fn delete(&mut self, peer: Peer, name: ChannelName<'_>, now: Now) {
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
    pub fn subscribe(&mut self, peer: Peer, name: ChannelName<'_>, subscribe: Subscribe, now: Now) {
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
            return self.outputs.push_back(Output::Deliver { peer, message, gap, crowd: None });
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
        if let Some((channel, _)) = self.release(subscription) {
            self.settle(channel, now);
        }
    }

    /// Ends every hold, a few at a time, with `End::Shutdown`; but who has a message on the way
    /// gets that. From now on no request is held.
    pub fn shutdown(&mut self, now: Now) {
        self.stopping = true;
        let mut all = Vec::with_capacity(self.subscriptions.len());
        let keys: Vec<ChannelKey> = self.channels.iter().map(|(key, _)| key).collect();
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
            let (waiter, cause, crowd) = match self.fanouts.next()? {
                Step::Waiter { waiter, cause, crowd } => (waiter, cause, crowd),
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
                    Output::Deliver { peer, message, gap, crowd: Some(crowd) }
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
        if self.reviewed.is_some() || self.stores.iter().any(|store| store.memory.is_behind()) {
            return Some(0);
        }
        self.wheel.next_deadline()
    }

    /// Does what is due, up to a bound: [`Hub::poll_timeout`] tells whether there is more.
    pub fn handle_timeout(&mut self, now: Now) {
        self.review();
        for index in 0..self.stores.len() {
            if self.stores[index].memory.is_behind() {
                self.expire(StoreId(index as u16), now);
            }
        }
        for _ in 0..TIMERS_AT_ONCE {
            // Those who read the answers come first.
            if self.outputs.len() >= ENDS_AT_ONCE {
                return;
            }
            match self.wheel.pop_expired(now.mono_ms) {
                Some(Timer::Poll(subscription)) => self.poll_timed_out(subscription, now),
                Some(Timer::Idle(channel)) => self.idle_timed_out(channel, now),
                Some(Timer::Expiry(id)) => {
                    self.stores[id.0 as usize].timer = None;
                    self.expire(id, now);
                }
                None => return,
            }
        }
    }

    fn refuse(&mut self, peer: Peer, refusal: Refusal) {
        self.outputs.push_back(Output::Refused { peer, refusal });
    }

    fn end(&mut self, peer: Peer, end: End, cursor: Cursor) {
        self.outputs.push_back(Output::Ended { peer, end, cursor });
    }

    /// The channel of that name, made if need be; `None`: `peer` has its answer.
    fn find_or_create(
        &mut self,
        peer: Peer,
        name: ChannelName<'_>,
        create: bool,
        origin: Origin,
        now: Now,
    ) -> Option<ChannelKey> {
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
        let before = self.departed.recall(name.name).unwrap_or(self.departed.others());
        let shared: Rc<[u8]> = name.name.into();
        let channel = Channel::new(Rc::clone(&shared), name.store, origin, before, now);
        let key = self.channels.insert(Box::new(channel));
        self.names.insert(shared, key);
        Some(key)
    }

    fn information(&self, key: ChannelKey, now: Now) -> Information {
        let channel = self.channels.get(key).expect("a found channel lives");
        let memory = &self.stores[channel.store.0 as usize].memory;
        channel.information(channel.queue.map_or(0, |queue| memory.len(queue)), now)
    }

    fn gap(
        &self,
        channel: ChannelKey,
        cursor: Cursor,
        lost_through: MessageId,
        sequence: u64,
    ) -> Gap {
        if cursor.is_oldest() || lost_through <= cursor.id() {
            return Gap::NONE;
        }
        match self.channels.get(channel).map(Box::as_ref) {
            Some(Channel { queue: Some(queue), store, .. }) => {
                self.stores[store.0 as usize].memory.gap(*queue, cursor, sequence)
            }
            _ => Gap::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
