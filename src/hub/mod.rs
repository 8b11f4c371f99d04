//! Hub: the domain state machine, which knows what requests wait on which channels and tells them
//! what happens there. Sans-io: calls and `now` go in, [`Output`]s come out. Never sees an HTTP
//! word, a socket or a clock.
//!
//! A call asks the store; `Hub::on_reply` goes on with the reply, whether that comes at once or
//! turns later. Callers get every answer through [`Hub::poll_output`]. Every held request ends with
//! exactly one output, or with [`Hub::unsubscribe`].

mod api;
mod fanout;
mod feed;
mod feeds;
mod holding;
mod holds;
pub mod options;
mod pending;
mod stream;
mod streams;
mod subscription;
mod waiters;

pub use self::api::{Due, End, Information, Output, Publish, Refusal, Subscribe};
pub use self::subscription::{Hold, Peer, StreamKey, SubscriptionKey};
pub use crate::store::ChannelName;

use self::holds::Holds;
use self::options::{Options, StoreOptions};
use self::pending::{Pending, Then};
use self::subscription::Subscription;
use self::waiters::Waiters;
use crate::clock::Now;
use crate::figures::{HubFigures, StoreFigures};
use crate::message::{Cursor, Delivery, MessageId, Order};
use crate::store::redis::link;
use crate::store::{
    Answer, Ask, AskAll, Batch, ChannelKey, Outcome, Owed, Reply, Restored, StoreId, Stores, Ticket,
};

/// Timers that are dealt with at once: less than a millisecond.
const TIMERS_AT_ONCE: usize = 512;

/// Bounds the answers that timers queue: the next request's answer is sent after all of them.
const ENDS_AT_ONCE: usize = 96;

/// See the module.
#[derive(Debug)]
pub struct Hub {
    holds: Holds,
    /// Nothing is held any more.
    stopping: bool,
}

impl Hub {
    /// A hub with no channels. `now` is when its timers start.
    #[must_use]
    pub fn new(options: Options, now: Now) -> Self {
        let mut stores = Stores::new(options.channels_max, options.first_id, now);
        stores.reload(options.stores, now);
        let holds = Holds::new(stores, options.seed, now);
        Self { holds, stopping: false }
    }

    /// Takes other settings for the stores; every message is kept. A store beyond the end of the
    /// list keeps its settings.
    pub fn reload(&mut self, stores: Vec<StoreOptions>, now: Now) {
        self.holds.stores.reload(stores, now);
    }

    /// Publishes a message. Answered `Published`, `Missing` or `Refused`.
    pub fn publish(&mut self, peer: Peer, name: ChannelName<'_>, publish: Publish<'_>, now: Now) {
        let Publish { content, create, store: keep } = publish;
        self.ask(peer.into(), name, Ask::Append { content, create, keep }, now);
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
        let ask = Ask::Next(subscribe.start(self.stopping));
        self.ask(Pending::new(peer, Then::Poll(subscribe)), name, ask, now);
    }

    /// Follows the channels of a store that are called so, each once, in this order of cursors: for
    /// streams, and for polls of several channels. Answered as [`Hub::subscribe`], with `Feed` in
    /// place of `Deliver`; a stream is held in any case, and ends with `Ended` alone.
    pub fn follow(
        &mut self,
        peer: Peer,
        (store, order): (StoreId, Order),
        names: &[&[u8]],
        subscribe: Subscribe,
        now: Now,
    ) {
        let ask = AskAll::Follow(names, subscribe.start(self.stopping));
        let pending = Pending::new(peer, Then::Follow(store, order, subscribe));
        match self.holds.stores.ask_all(store, order, ask, now) {
            Answer::Now(reply) => self.on_reply(Some(&pending), reply, now),
            Answer::Later(ticket) => self.holds.wait(pending, ticket, now),
        }
    }

    /// The next message of a stream, after `Readable`; `None`: none for now.
    pub fn read(&mut self, stream: StreamKey, now: Now) -> Option<Due> {
        match self.holds.read(stream, now)? {
            Output::Feed { due, .. } => Some(due),
            _ => None,
        }
    }

    /// The ticket of the store that a stream waits for.
    pub fn ticket_of(&self, stream: StreamKey) -> Option<Ticket> {
        self.holds.streams.feeds.stream(stream)?.awaited()
    }

    /// Behind the last message that a stream was given; where it begins, before the first.
    pub fn place_of(&self, stream: StreamKey) -> Option<MessageId> {
        self.holds.streams.feeds.stream(stream).map(|stream| stream.cursor.id())
    }

    /// A stream's caller takes no more for now: what is published is not brought to it.
    pub fn pause(&mut self, stream: StreamKey) {
        self.holds.streams.feeds.pause(stream);
    }

    /// A stream that was paused, or that did not read all there is, goes on: `Readable` follows.
    pub fn resume(&mut self, stream: StreamKey) {
        self.holds.streams.resume(stream);
        self.holds.start_reading();
    }

    /// Ends a hold whose subscriber is gone. Does nothing to a hold that has ended already.
    pub fn unsubscribe(&mut self, hold: Hold, now: Now) {
        match hold {
            Hold::Poll(subscription) => {
                if let Some(Subscription { channel, .. }) = self.holds.release(subscription) {
                    self.holds.note_waited(channel, now);
                }
            }
            Hold::Stream(stream) => self.holds.leave(stream, now),
        }
    }

    /// Forgets a caller that no longer waits for the store. What it asked may be done all the same.
    pub fn abandon(&mut self, ticket: Ticket) {
        self.holds.forget(ticket);
    }

    /// Ends every hold, a few at a time, with `End::Shutdown`; but what is on the way still
    /// arrives. From now on no request is held.
    pub fn shutdown(&mut self, now: Now) {
        self.stopping = true;
        self.holds.shutdown(now);
    }

    /// The next answer. Answers to requests come before what fan-outs bring, so a publisher has
    /// its answer before the first delivery leaves.
    pub fn poll_output(&mut self, now: Now) -> Option<Output> {
        self.holds.poll_output(now)
    }

    /// What a store has to write down next; [`Hub::written`] gives it back.
    pub fn next_batch(&mut self, now: Now) -> Option<Batch> {
        self.holds.stores.next_batch(now)
    }

    /// A batch was written down, or could not be: [`Hub::handle_reply`] goes on with it.
    pub fn written(&mut self, batch: Batch, outcome: Outcome) {
        self.holds.stores.written(batch, outcome);
    }

    /// Takes what the network tells of the connection that a store has dialled last.
    pub fn handle_input(&mut self, store: StoreId, input: link::Input<'_>, now: Now) {
        self.holds.stores.handle_input(store, input, now);
    }

    /// Sends what waits for a connection of a store. Once a turn, behind everything that asks.
    pub fn flush(&mut self, now: Now) {
        let Holds { stores, streams, .. } = &mut self.holds;
        stores.flush(|name| streams.feeds.awaits(name), now);
    }

    /// What a store wants of the network next.
    pub fn poll_link(&mut self) -> Option<(StoreId, link::Output)> {
        self.holds.stores.poll_link()
    }

    /// Takes what an earlier process has written down of a store; before anything is asked.
    pub fn restore(&mut self, store: StoreId, restored: Restored, now: Now) {
        self.holds.stores.restore(store, restored, now);
    }

    /// Everything is restored.
    pub fn restored(&mut self, now: Now) {
        self.holds.stores.restored(now);
    }

    /// Drops messages and channels whose time is up, up to a bound. First in a turn.
    pub fn expire(&mut self, now: Now) {
        self.holds.stores.handle_timeout(now);
    }

    /// Goes on with one late answer of a store, if there is one. Each turn until there is none, the
    /// hub's own answers taken in between: so no timer is due of a caller that has its answer.
    pub fn handle_reply(&mut self, now: Now) -> bool {
        for ticket in std::mem::take(&mut self.holds.streams.feeds.abandoned) {
            self.holds.forget(ticket);
        }
        let Some((ticket, reply)) = self.holds.stores.next_reply(now) else { return false };
        let pending = ticket.and_then(|ticket| self.holds.take_ask(ticket, now));
        self.on_reply(pending.as_ref(), reply, now);
        true
    }

    /// Ends holds whose time is up, up to a bound. Last in a turn.
    pub fn handle_timeout(&mut self, now: Now) {
        for _ in 0..TIMERS_AT_ONCE {
            if self.holds.outputs.len() >= ENDS_AT_ONCE || !self.holds.end_timed_out(now) {
                return;
            }
        }
    }

    /// Whether [`Hub::poll_output`] has more to say.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.holds.outputs.is_empty() || !self.holds.fanouts.is_empty()
    }

    /// The next answer that is no fan-out's.
    pub fn poll_answer(&mut self) -> Option<Output> {
        self.holds.outputs.pop_front()
    }

    /// When [`Hub::expire`] or [`Hub::handle_timeout`] has something (more) to do, milliseconds.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.holds.poll_timeout()
    }

    /// Has the stores take time, for tests: `fates` says what becomes of the questions to each.
    #[cfg(feature = "testing")]
    pub fn slow_down(&mut self, fates: &[crate::store::Fate]) {
        self.holds.stores.slow_down(fates);
    }

    /// Callers that wait for a store.
    pub fn asks(&self) -> usize {
        self.holds.asks.len() - self.holds.streams.feeds.abandoned.len()
    }

    /// Requests that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.holds.polls.len() + self.holds.streams.feeds.len()
    }

    /// Timers that are set.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.holds.timers()
    }

    /// The longest content of a message that a store takes, bytes.
    #[must_use]
    pub fn message_bytes_max(&self, store: StoreId) -> usize {
        self.holds.stores.message_bytes_max(store)
    }

    /// Bytes in a store, as they count against its budget.
    #[must_use]
    pub fn used_bytes(&self, store: StoreId) -> usize {
        self.holds.stores.used_bytes(store)
    }

    /// The numbers of the hub and its stores.
    #[must_use]
    pub fn figures(&self) -> HubFigures {
        let fanouts = self.holds.fanouts.len() as u64;
        HubFigures { held: self.held() as u64, fanouts, ..self.holds.stores.figures() }
    }

    /// The numbers of each store that has more than its messages here and is no file.
    pub fn store_figures(&self, now: Now) -> impl Iterator<Item = StoreFigures> + '_ {
        self.holds.stores.store_figures(now)
    }

    /// Gives back the room that tables do not need any more. Looks at every slot.
    pub fn shrink(&mut self) {
        self.holds.shrink();
    }

    /// Compares the tables with each other, for tests. Panics where they disagree, which is a bug.
    pub fn check_invariants(&self) {
        self.holds.check_invariants();
    }

    fn ask(&mut self, pending: Pending, name: ChannelName<'_>, ask: Ask<'_>, now: Now) {
        match self.holds.stores.ask(name, ask, now) {
            Answer::Now(reply) => self.on_reply(Some(&pending), reply, now),
            Answer::Later(ticket) => self.holds.wait(pending, ticket, now),
        }
    }

    /// Goes on where a store has answered. `pending`: the caller, if it still waits. What happened
    /// on the channel concerns the requests held there in any case.
    fn on_reply(&mut self, pending: Option<&Pending>, reply: Reply<Waiters>, now: Now) {
        let peer = pending.map(|pending| pending.peer);
        let refused = |refusal| peer.map(|peer| Output::Refused { peer, refusal });
        let output = match reply {
            Reply::Appended { channel, message, kept, lost_through, facts } => {
                let appended = (channel, message, lost_through);
                return self.holds.deliver(peer, appended, (facts, kept), now);
            }
            Reply::Deleted { channel, facts, kept } => {
                return self.holds.delete(peer, (channel, facts, kept));
            }
            Reply::Nothing { channel, last, cursor } => {
                return self.hold_or_end(pending, (channel, last, cursor), now);
            }
            Reply::Followed { channels, cursor, owed } => {
                return self.follow_or_end(pending, &channels, (cursor, owed), now);
            }
            Reply::Found { message, gap } => {
                peer.map(|peer| Output::Deliver { peer, message, gap, many_waited: None })
            }
            Reply::Accepted { channel, id, elsewhere, facts } => {
                let Some(peer) = peer else { return };
                return self.holds.accepted(peer, (channel, id), (facts, elsewhere));
            }
            Reply::Exists { channel, facts } => {
                channel.into_iter().for_each(|channel| self.holds.adopt(channel, now));
                let held = channel.map_or(0, |channel| self.holds.held_on(channel));
                let information = Information::new(facts, held);
                peer.map(|peer| Output::Exists { peer, information })
            }
            Reply::Gone { facts } => {
                let information = Information::new(facts, 0);
                peer.map(|peer| Output::Deleted { peer, information })
            }
            Reply::Behind(store) => return self.holds.fall_behind(store),
            Reply::Missing { name } => peer.map(|peer| Output::Missing { peer, name }),
            Reply::TooManyChannels => refused(Refusal::Channels),
            Reply::TooLarge => refused(Refusal::MessageSize),
            Reply::NotWritten => refused(Refusal::NotWritten),
            Reply::Busy => refused(Refusal::Busy),
            Reply::Away => refused(Refusal::Away),
            Reply::OutOfMemory => refused(Refusal::OutOfMemory),
        };
        self.holds.outputs.extend(output);
    }

    /// Holds a poll that found no message, if it waits; otherwise ends its request.
    fn hold_or_end(
        &mut self,
        pending: Option<&Pending>,
        (channel, last, cursor): (Option<ChannelKey>, MessageId, Cursor),
        now: Now,
    ) {
        let asked = match pending {
            Some(Pending { peer, then: Then::Poll(subscribe), .. }) => Some((*peer, subscribe)),
            _ => None,
        };
        if let Some(channel) = channel {
            self.holds.adopt(channel, now);
            match asked {
                Some((peer, subscribe)) if subscribe.waits() && !self.stopping => {
                    return self.holds.hold(peer, (channel, cursor, last), subscribe, now);
                }
                // It may have been made for this subscriber.
                _ => self.holds.note_waited(channel, now),
            }
        }
        if let Some((peer, _)) = asked {
            self.holds.end(peer, End::NothingNew, cursor);
        }
    }

    /// Goes on with a stream, or with a poll of several channels.
    fn follow_or_end(
        &mut self,
        pending: Option<&Pending>,
        channels: &[ChannelKey],
        (cursor, owed): (Cursor, Option<Owed>),
        now: Now,
    ) {
        channels.iter().for_each(|channel| self.holds.adopt(*channel, now));
        let (peer, (store, order, subscribe)) = match pending {
            Some(Pending { peer, then: Then::Follow(store, order, subscribe), .. }) => {
                (*peer, (*store, *order, subscribe))
            }
            Some(Pending { then: Then::Read(stream), .. }) => {
                return self.holds.answered(*stream, owed, now);
            }
            _ => return channels.iter().for_each(|channel| self.holds.note_waited(*channel, now)),
        };
        let is_stream = subscribe.delivery == Delivery::Stream;
        match owed {
            Some(owed) if !is_stream => {
                self.holds.tell(peer, owed);
                channels.iter().for_each(|channel| self.holds.note_waited(*channel, now));
            }
            owed if subscribe.waits() && !self.stopping => {
                let is_behind = owed.is_some();
                let of = (store, order, cursor);
                self.holds.follow(peer, of, (channels, is_behind), subscribe, now);
            }
            _ => {
                channels.iter().for_each(|channel| self.holds.note_waited(*channel, now));
                let end = if is_stream { End::Shutdown } else { End::NothingNew };
                self.holds.end(peer, end, cursor);
            }
        }
    }
}

#[cfg(test)]
mod tests;
