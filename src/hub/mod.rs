//! Hub: the domain state machine, which knows what requests wait on which channels and tells them
//! what happens there. Sans-io: calls and `now` go in, [`Output`]s come out. Never sees an HTTP
//! word, a socket or a clock.
//!
//! A call asks the store; `Hub::on_reply` goes on with the reply, whether that comes at once or
//! turns later. Callers get every answer through [`Hub::poll_output`]. Every held request ends with
//! exactly one output, or with [`Hub::unsubscribe`].

mod api;
mod fanout;
mod holding;
pub mod options;
mod pending;
mod subscription;
mod waiters;

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

pub use self::api::{End, Information, Output, Publish, Refusal, Subscribe};
pub use self::subscription::{Peer, SubscriptionKey};
pub use crate::store::ChannelName;

use self::fanout::{Cause, Fanouts, Step};
use self::holding::Holding;
use self::options::{Concurrency, Options, StoreOptions};
use self::pending::Pending;
use self::subscription::Subscription;
use self::waiters::Waiters;
use crate::clock::Now;
use crate::figures::HubFigures;
use crate::message::{Cursor, Message, MessageId};
use crate::store::{Answer, Ask, ChannelKey, Facts, Reply, StoreId, Stores, Ticket};

/// Timers that are dealt with at once: less than a millisecond.
const TIMERS_AT_ONCE: usize = 512;

/// Bounds the answers that timers queue: the next request's answer is sent after all of them.
const ENDS_AT_ONCE: usize = 96;

/// See the module.
#[derive(Debug)]
pub struct Hub {
    /// What channels there are, each with the requests that are held on it.
    stores: Stores<Waiters>,
    holding: Holding,
    fanouts: Fanouts,
    /// Questions that a store has not answered yet. A question whose caller is gone is not here.
    asks: HashMap<Ticket, Pending>,
    outputs: VecDeque<Output>,
    /// Nothing is held any more.
    stopping: bool,
}

impl Hub {
    /// A hub with no channels. `now` is when its timers start.
    #[must_use]
    pub fn new(options: Options, now: Now) -> Self {
        let mut stores = Stores::new(options.channels_max, options.first_id, now);
        stores.reload(options.stores, now);
        Self {
            stores,
            holding: Holding::new(options.seed, now),
            fanouts: Fanouts::default(),
            asks: HashMap::new(),
            outputs: VecDeque::new(),
            stopping: false,
        }
    }

    /// Takes other settings for the stores; every message is kept. A store beyond the end of the
    /// list keeps its settings.
    pub fn reload(&mut self, stores: Vec<StoreOptions>, now: Now) {
        self.stores.reload(stores, now);
    }

    /// Publishes a message. Answered `Published`, `Missing` or `Refused`.
    pub fn publish(&mut self, peer: Peer, name: ChannelName<'_>, publish: Publish<'_>, now: Now) {
        let Publish { content_type, body, create, store: keep } = publish;
        self.ask(peer.into(), name, Ask::Append { content_type, body, create, keep }, now);
    }

    /// Makes a channel where it is missing. Answered `Exists` or `Refused`.
    pub fn create(&mut self, peer: Peer, name: ChannelName<'_>, now: Now) {
        self.ask(peer.into(), name, Ask::Create, now);
    }

    /// Looks at a channel. Answered `Exists` or `Missing`.
    pub fn inspect(&mut self, peer: Peer, name: ChannelName<'_>, now: Now) {
        self.ask(peer.into(), name, Ask::Inspect, now);
    }

    /// Deletes a channel with its messages, and ends the requests held on it. Answered `Missing`,
    /// or `Deleted` after all of those.
    pub fn delete(&mut self, peer: Peer, name: ChannelName<'_>, now: Now) {
        self.ask(peer.into(), name, Ask::Delete, now);
    }

    /// Asks for the first message after a cursor. Answered `Deliver`, `Ended`, `Missing`,
    /// `Refused`, or `Held` and later `Deliver` or `Ended`.
    pub fn subscribe(&mut self, peer: Peer, name: ChannelName<'_>, subscribe: Subscribe, now: Now) {
        let Subscribe { cursor, create, .. } = subscribe;
        let ask = Ask::Next { cursor, create, waits: subscribe.waits() && !self.stopping };
        self.ask(Pending { peer, subscribe: Some(subscribe) }, name, ask, now);
    }

    /// Ends a hold whose subscriber is gone. Does nothing to a hold that has ended already.
    pub fn unsubscribe(&mut self, subscription: SubscriptionKey, now: Now) {
        if let Some(Subscription { channel, .. }) = self.release(subscription) {
            self.note_waited(channel, now);
        }
    }

    /// Forgets a caller that no longer waits for the store. What it asked may be done all the same.
    pub fn abandon(&mut self, ticket: Ticket) {
        self.asks.remove(&ticket);
    }

    /// Ends every hold, a few at a time, with `End::Shutdown`; but a subscription with a message on
    /// the way gets that. From now on no request is held.
    pub fn shutdown(&mut self, now: Now) {
        self.stopping = true;
        let mut all = Vec::with_capacity(self.holding.len());
        let channels: Vec<ChannelKey> = self.stores.iter().map(|(channel, _)| channel).collect();
        for channel in channels {
            let waiters = self.stores.kept_mut(channel).expect("just listed");
            all.append(&mut waiters.take(Vec::new()));
            self.stores.set_waited(channel, false, now);
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
            let (waiter, cause, many_waited) = match self.fanouts.next()? {
                Step::Waiter { waiter, cause, many_waited } => (waiter, cause, many_waited),
                Step::Done(Cause::Deleted { publisher: Some(peer), information }) => {
                    return Some(Output::Deleted { peer, information });
                }
                Step::Done(_) => continue,
            };
            let Some(Subscription { peer, cursor, .. }) = self.release(waiter) else { continue };
            let end = match cause {
                Cause::Message { message, channel, lost_through } => {
                    let gap = self.stores.gap(channel, cursor, lost_through, message.sequence);
                    return Some(Output::Deliver {
                        peer,
                        message,
                        gap,
                        many_waited: Some(many_waited),
                    });
                }
                Cause::Deleted { .. } => End::Deleted,
                Cause::Shutdown => End::Shutdown,
            };
            return Some(Output::Ended { peer, end, cursor });
        }
    }

    /// Drops messages and channels whose time is up, up to a bound. First in a turn.
    pub fn expire(&mut self, now: Now) {
        self.stores.handle_timeout(now);
    }

    /// Goes on with one late answer of a store, if there is one. Each turn until there is none, the
    /// hub's own answers taken in between: so no timer is due of a caller that has its answer.
    pub fn handle_reply(&mut self, now: Now) -> bool {
        let Some((ticket, reply)) = self.stores.next_reply(now) else { return false };
        let pending = ticket.and_then(|ticket| self.asks.remove(&ticket));
        self.on_reply(pending.as_ref(), reply, now);
        true
    }

    /// Ends holds whose time is up, up to a bound. Last in a turn.
    pub fn handle_timeout(&mut self, now: Now) {
        for _ in 0..TIMERS_AT_ONCE {
            if self.outputs.len() >= ENDS_AT_ONCE {
                return;
            }
            let Some(due) = self.holding.pop_timed_out(&self.stores, now) else { return };
            let Some(held) = due.and_then(|due| self.release(due)) else { continue };
            self.end(held.peer, End::NothingNew, held.cursor);
            self.note_waited(held.channel, now);
        }
    }

    /// Whether [`Hub::poll_output`] has more to say.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty() || !self.fanouts.is_empty()
    }

    /// The next answer that is no fan-out's.
    pub fn poll_answer(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Hub::expire`] or [`Hub::handle_timeout`] has something (more) to do, milliseconds.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        [self.stores.poll_timeout(), self.holding.next_deadline()].into_iter().flatten().min()
    }

    /// Has the stores take time, for tests: `fates` says what becomes of the questions to each.
    #[cfg(feature = "testing")]
    pub fn slow_down(&mut self, fates: &[crate::store::Fate]) {
        self.stores.slow_down(fates);
    }

    /// Callers that wait for a store.
    pub fn asks(&self) -> usize {
        self.asks.len()
    }

    /// Requests that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.holding.len()
    }

    /// Timers that are set.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.holding.timers() + self.stores.timers()
    }

    /// Bytes in a store, as they count against its budget.
    #[must_use]
    pub fn used_bytes(&self, store: StoreId) -> usize {
        self.stores.used_bytes(store)
    }

    /// The numbers of the hub and its stores.
    #[must_use]
    pub fn figures(&self) -> HubFigures {
        let fanouts = self.fanouts.len() as u64;
        HubFigures { held: self.held() as u64, fanouts, ..self.stores.figures() }
    }

    /// Gives back the room that tables do not need any more. Looks at every slot.
    pub fn shrink(&mut self) {
        self.stores.shrink();
        self.holding.shrink();
        self.fanouts.shrink();
        self.outputs.shrink_to(0);
    }

    /// Compares the tables with each other, for tests. Panics where they disagree, which is a bug.
    pub fn check_invariants(&self) {
        self.stores.check_invariants();
        self.holding.check_invariants(&self.stores, self.fanouts.is_empty());
    }

    fn ask(&mut self, pending: Pending, name: ChannelName<'_>, ask: Ask<'_>, now: Now) {
        match self.stores.ask(name, ask, now) {
            Answer::Now(reply) => self.on_reply(Some(&pending), reply, now),
            Answer::Later(ticket) => {
                self.outputs.push_back(Output::Asked { peer: pending.peer, ticket });
                self.asks.insert(ticket, pending);
            }
        }
    }

    /// Goes on where a store has answered. `pending`: the caller, if it still waits. What happened
    /// on the channel concerns the requests held there in any case.
    fn on_reply(&mut self, pending: Option<&Pending>, reply: Reply<Waiters>, now: Now) {
        let peer = pending.map(|pending| pending.peer);
        let refused = |refusal| peer.map(|peer| Output::Refused { peer, refusal });
        let output = match reply {
            Reply::Appended { channel, message, lost_through, facts } => {
                return self.deliver(peer, (channel, message, lost_through), facts, now);
            }
            Reply::Deleted { facts, mut kept } => {
                let information = Information::new(facts, kept.len());
                let cause = Cause::Deleted { publisher: peer, information };
                return self.fanouts.start(cause, kept.take(Vec::new()));
            }
            Reply::Nothing { channel, last } => {
                return self.hold_or_end(pending, (channel, last), now);
            }
            Reply::Found { message, gap } => {
                peer.map(|peer| Output::Deliver { peer, message, gap, many_waited: None })
            }
            Reply::Exists { channel, facts } => {
                let subscribers = self.stores.kept(channel).map_or(0, Waiters::len);
                let information = Information::new(facts, subscribers);
                peer.map(|peer| Output::Exists { peer, information })
            }
            Reply::Missing => peer.map(|peer| Output::Missing { peer }),
            Reply::TooManyChannels => refused(Refusal::Channels),
            Reply::TooLarge => refused(Refusal::MessageSize),
        };
        self.outputs.extend(output);
    }

    /// Tells the publisher, and begins to deliver its message to the subscriptions that wait for
    /// it.
    fn deliver(
        &mut self,
        publisher: Option<Peer>,
        (channel, message, lost_through): (ChannelKey, Rc<Message>, MessageId),
        facts: Facts,
        now: Now,
    ) {
        let waiters = self.stores.kept_mut(channel).expect("the store has just named it");
        let subscribers = waiters.len();
        let taken = match subscribers {
            0 => Vec::new(),
            _ => {
                let spare = self.fanouts.spare(subscribers);
                self.holding.take_wanting(waiters, message.id, spare)
            }
        };
        let is_left = !waiters.is_empty();
        if let Some(peer) = publisher {
            let information = Information::new(facts, subscribers);
            let waiting = !taken.is_empty();
            self.outputs.push_back(Output::Published { peer, waiting, information });
        }
        if !taken.is_empty() {
            self.fanouts.start(Cause::Message { message, channel, lost_through }, taken);
            self.stores.set_waited(channel, is_left, now);
        }
    }

    /// Holds a subscriber that found no message, if it waits; otherwise ends its request.
    fn hold_or_end(
        &mut self,
        pending: Option<&Pending>,
        (channel, last): (Option<ChannelKey>, MessageId),
        now: Now,
    ) {
        let asked = pending.and_then(|pending| Some((pending.peer, pending.subscribe.as_ref()?)));
        match (channel, asked) {
            (Some(channel), Some((peer, subscribe))) if subscribe.waits() && !self.stopping => {
                return self.hold(peer, (channel, last), subscribe, now);
            }
            // It may have been made for this subscriber.
            (Some(channel), _) => self.note_waited(channel, now),
            (None, _) => {}
        }
        if let Some((peer, subscribe)) = asked {
            self.end(peer, End::NothingNew, subscribe.cursor);
        }
    }

    fn hold(
        &mut self,
        peer: Peer,
        (channel, last): (ChannelKey, MessageId),
        subscribe: &Subscribe,
        now: Now,
    ) {
        let waiters = self.stores.kept_mut(channel).expect("the store has just named it");
        let waiting = waiters.len();
        match subscribe.concurrency {
            Concurrency::First if waiting > 0 => {
                return self.end(peer, End::Displaced, subscribe.cursor);
            }
            Concurrency::Last if waiting > 0 => {
                for displaced in waiters.take(Vec::new()) {
                    let held = self.release(displaced).expect("a listed subscription is held");
                    self.end(held.peer, End::Displaced, held.cursor);
                }
            }
            _ if subscribe.is_too_many(waiting) => {
                let refusal = Refusal::Subscribers;
                return self.outputs.push_back(Output::Refused { peer, refusal });
            }
            _ => {}
        }
        let waiters = self.stores.kept_mut(channel).expect("the store has just named it");
        let subscription = self.holding.hold(peer, (channel, waiters), last, subscribe, now);
        if waiting == 0 {
            self.stores.set_waited(channel, true, now);
        }
        self.outputs.push_back(Output::Held { peer, subscription });
    }

    /// Tells the store whether a channel is still waited on.
    fn note_waited(&mut self, channel: ChannelKey, now: Now) {
        let waited = self.stores.kept(channel).is_some_and(|waiters| !waiters.is_empty());
        self.stores.set_waited(channel, waited, now);
    }

    fn release(&mut self, subscription: SubscriptionKey) -> Option<Subscription> {
        self.holding.release(subscription, &mut self.stores)
    }

    fn end(&mut self, peer: Peer, end: End, cursor: Cursor) {
        self.outputs.push_back(Output::Ended { peer, end, cursor });
    }
}

#[cfg(test)]
mod tests;
