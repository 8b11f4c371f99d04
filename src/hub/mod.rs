//! Hub: the domain state machine, which knows what requests wait on which channels and tells them
//! what happens there. Sans-io: calls and `now` go in, [`Output`]s come out. Never sees an HTTP
//! word, a socket or a clock.
//!
//! A call asks the store; `replies` go on with the reply, whether that comes at once or
//! turns later. Callers get every answer through [`Hub::poll_output`]. Every held request ends with
//! exactly one output, or with [`Hub::unsubscribe`].

mod api;
mod asking;
mod fanout;
mod feed;
mod feeds;
mod holding;
mod holds;
pub mod options;
mod pending;
mod placing;
mod replies;
mod sent;
mod stream;
mod streams;
mod subscription;
mod waiters;

use std::rc::Rc;

pub use self::api::{Due, End, Information, Output, Publish, Refusal, Subscribe};
pub use self::sent::Sent;
pub use self::subscription::{Hold, Peer, StreamKey, SubscriptionKey};
pub use crate::store::ChannelName;

use self::holds::Holds;
use self::options::{Options, StoreOptions};
use self::pending::{Pending, Then};
use self::subscription::Subscription;
use crate::clock::Now;
use crate::figures::{HubFigures, StoreFigures};
use crate::message::{MessageId, Order};
use crate::store::redis::link;
use crate::store::{
    Answer, Ask, AskAll, Batch, Dropped, Listed, Outcome, Restored, StoreId, Stores, Ticket,
};

/// Timers that are dealt with at once: less than a millisecond.
const TIMERS_AT_ONCE: usize = 512;

/// Bounds the answers that timers queue: the next request's answer is sent after all of them.
const ENDS_AT_ONCE: usize = 32;

/// See the module.
#[derive(Debug)]
pub struct Hub {
    holds: Holds,
}

impl Hub {
    /// A hub with no channels. `now` is when its timers start.
    #[must_use]
    pub fn new(options: Options, now: Now) -> Self {
        let mut stores = Stores::new(options.channels_max, options.first_id, now);
        stores.reload(options.stores, now);
        let holds = Holds::new(stores, options.seed, now);
        Self { holds }
    }

    /// Takes other settings for the stores; every message is kept. A store beyond the end of the
    /// list keeps its settings.
    pub fn reload(&mut self, stores: Vec<StoreOptions>, now: Now) {
        self.holds.stores.reload(stores, now);
    }

    /// Publishes a message. Answered `Published`, `Missing` or `Refused`.
    pub fn publish(&mut self, peer: Peer, name: ChannelName<'_>, publish: Publish<'_>, now: Now) {
        let Publish { content, create, store: keep } = publish;
        self.ask(
            Pending::new(peer, Then::Tell, now),
            name,
            Ask::Append { content, create, keep },
            now,
        );
    }

    /// Makes a channel where it is missing. Answered `Exists` or `Refused`.
    pub fn create(&mut self, peer: Peer, name: ChannelName<'_>, now: Now) {
        self.ask(Pending::new(peer, Then::Tell, now), name, Ask::Create, now);
    }

    /// Looks at a channel. Answered `Exists` or `Missing`.
    pub fn inspect(&mut self, peer: Peer, name: ChannelName<'_>, now: Now) {
        self.ask(Pending::new(peer, Then::Tell, now), name, Ask::Inspect, now);
    }

    /// Deletes a channel with its messages, and ends the requests held on it. Answered `Missing`,
    /// or `Deleted` after all of those.
    pub fn delete(&mut self, peer: Peer, name: ChannelName<'_>, now: Now) {
        self.ask(Pending::new(peer, Then::Tell, now), name, Ask::Delete, now);
    }

    /// Asks for the first message after a cursor. Answered `Deliver`, `Ended`, `Missing`,
    /// `Refused`, or `Held` and later `Deliver` or `Ended`.
    pub fn subscribe(&mut self, peer: Peer, name: ChannelName<'_>, subscribe: Subscribe, now: Now) {
        let ask = Ask::Next(subscribe.start(self.holds.stopping));
        self.ask(Pending::new(peer, Then::Poll(subscribe), now), name, ask, now);
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
        let ask = AskAll::Follow(names, subscribe.start(self.holds.stopping));
        let pending = Pending::new(peer, Then::Follow(store, order, subscribe), now);
        match self.holds.stores.ask_all(store, order, ask, now) {
            Answer::Now(reply) => replies::take(&mut self.holds, Some(&pending), reply, now),
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
        self.holds.stopping = true;
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
        let pending = ticket.and_then(|ticket| self.holds.asking.answered(ticket, now));
        replies::take(&mut self.holds, pending.as_ref(), reply, now);
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

    /// Whether [`Hub::take_sent`] is to be called from now on, once a turn.
    pub fn watch_sent(&mut self, is_watched: bool) {
        self.holds.sent.keep(is_watched);
    }

    /// The messages whose deliveries are over, since this was called last.
    pub fn take_sent(&mut self) -> impl Iterator<Item = Sent> + '_ {
        self.holds.sent.drain()
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
        self.holds.asking.len() - self.holds.streams.feeds.abandoned.len()
    }

    /// Whether the stores note what goes, for [`Hub::next_drop`].
    pub fn note_drops(&mut self, notes: bool) {
        self.holds.stores.traces().note_drops(notes);
    }

    /// The next message that has gone.
    pub fn next_drop(&mut self) -> Option<Dropped> {
        self.holds.stores.traces().next_drop()
    }

    /// The name of a channel, as that keeps it itself.
    #[must_use]
    pub fn shared_name(&mut self, name: &[u8]) -> Option<Rc<[u8]>> {
        self.holds.stores.traces().name(name)
    }

    /// The name of the channel that a poll is held on, as that keeps it itself.
    #[must_use]
    pub fn name_of_poll(&self, poll: SubscriptionKey) -> Option<Rc<[u8]>> {
        self.holds.stores.name(self.holds.polls.channel(poll)?).cloned()
    }

    /// How many messages a channel has kept behind the one with this sequence number.
    #[must_use]
    pub fn behind(&mut self, name: &[u8], sequence: u64) -> u64 {
        self.holds.stores.traces().behind(name, sequence)
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
        HubFigures { held: self.held() as u64, fanouts, ..self.holds.stores.view().figures() }
    }

    /// The numbers of each store that has more than its messages here and is no file.
    pub fn store_figures(&self, now: Now) -> impl Iterator<Item = StoreFigures> + '_ {
        self.holds.stores.view().store_figures(now)
    }

    /// The channel in a slot of [`Hub::channel_slots`], if there is one, with what its publisher is
    /// told. It keeps its slot for as long as it lives.
    #[must_use]
    pub fn channel_at(&self, slot: usize, now: Now) -> Option<(Listed<'_>, Information)> {
        let listed = self.holds.stores.view().channel_at(slot, now)?;
        let information = Information::new(listed.facts, self.holds.held_on(listed.key));
        Some((listed, information))
    }

    /// How many slots channels may have.
    #[must_use]
    pub fn channel_slots(&self) -> usize {
        self.holds.stores.view().channel_slots()
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
            Answer::Now(reply) => replies::take(&mut self.holds, Some(&pending), reply, now),
            Answer::Later(ticket) => self.holds.wait(pending, ticket, now),
        }
    }
}

#[cfg(test)]
mod tests;
