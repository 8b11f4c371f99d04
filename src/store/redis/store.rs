//! Store: the messages of channels that several daemons share. What changes something is asked of
//! Redis; what subscribers ask is answered from the mirrors of channels that are listened to, or
//! asked. Sans-io.
//!
//! What Redis announces and answers is taken in the order in which it came, each to its end before
//! the next: so a subscriber whose question was answered misses nothing that is announced behind
//! that.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::rc::Rc;

use super::announcement::Announced;
use super::answers::Refusal;
use super::keys::Keys;
use super::link::{Input, Link, Output};
use super::local::Local;
use super::mirrors::Mirrors;
use super::options::Options;
use super::question::{Question, Sender};
use super::scripts::{Calls, Command, Publish};
use super::search::{Kind, Search};
use super::searches::Searches;
use super::unheard::Own;
use crate::clock::Now;
use crate::figures::{RedisFigures, StoreFigures, StoreFiguresOf};
use crate::jitter::Jitter;
use crate::message::{Content, MessageId, Order};
use crate::rate_limit::RateLimit;
use crate::store::ask::{
    Answer, Ask, AskAll, ChannelKey, ChannelName, Reply, Start, StoreId, Ticket,
};
use crate::store::channels::Channels;
use crate::store::memory::Memory;
use crate::store::memory::asks::Asks;

/// The longest content of a message, bytes: well within what may be under way.
pub(in crate::store) const CONTENT_BYTES_MAX: usize = 16 << 20;

/// See the module.
#[derive(Debug)]
pub(in crate::store) struct Redis {
    pub(super) store: StoreId,
    pub(super) keys: Keys,
    pub(super) options: Options,
    pub(super) link: Link<Question>,
    /// The newest messages of channels that are listened to.
    pub(super) memory: Memory,
    pub(super) mirrors: Mirrors,
    pub(super) searches: Searches,
    /// What one event has brought, to be taken before the next.
    pub(super) todo: VecDeque<Todo>,
    /// Counts the questions, from 1.
    number: u64,
    /// The newest place that was heard of.
    pub(super) newest_place: MessageId,
    /// `None`: it is up.
    pub(super) down_since_ms: Option<u64>,
    /// The longest round trip is of the minute before this time, milliseconds.
    worst_until_ms: u64,
    pub(super) refusals: RateLimit,
    pub(super) figures: RedisFigures,
}

/// See [`Redis`].
#[derive(Debug)]
pub(super) enum Todo {
    /// The channel was deleted.
    Delete(Rc<[u8]>),
    /// The next message of the channel.
    Bring(Rc<[u8]>, Announced),
    /// The sync has brought all, and this was the newest id; `None`: it goes on.
    Synced(Rc<[u8]>, Option<MessageId>),
    /// A search has all its answers.
    Conclude(Ticket),
    /// A question of a subscriber is under way no more; whether that waits.
    Close(Rc<[u8]>, bool),
    /// Who follows several channels is behind.
    Behind,
    /// A caller is told that Redis refuses.
    Tell(Ticket, Refusal),
    /// A caller is told that Redis is away.
    GiveUp(Ticket),
    /// A message of our own was announced.
    Accept(Own),
}

impl Redis {
    /// `process`: another one in each process.
    pub(in crate::store) fn new(
        store: StoreId,
        options: Options,
        memory: Memory,
        process: MessageId,
    ) -> Self {
        let keys = Keys::new(&options.key_prefix, options.database);
        // Daemons that start together do not dial together.
        let seed = process.time << 32 ^ u64::from(process.tag) << 16 ^ u64::from(store.0);
        Self {
            store,
            keys,
            link: Link::new(options.clone(), Jitter::new(seed)),
            options,
            memory,
            mirrors: Mirrors::default(),
            searches: Searches::default(),
            todo: VecDeque::new(),
            number: 0,
            newest_place: MessageId::default(),
            down_since_ms: None,
            worst_until_ms: 0,
            refusals: RateLimit::default(),
            figures: RedisFigures::default(),
        }
    }

    /// Takes other settings. Where its keys are in Redis stays as it was until a restart.
    pub(in crate::store) fn reload(&mut self, options: Options, now: Now) {
        let Options { key_prefix, database, .. } = self.options.clone();
        self.options = Options { key_prefix, database, ..options };
        self.link.reload(self.options.clone(), now.mono_ms);
    }

    /// Answers a question about one channel, or asks Redis.
    pub(in crate::store) fn ask<W: Default>(
        &mut self,
        channels: &mut Channels<W>,
        name: ChannelName<'_>,
        ask: Ask<'_>,
        now: Now,
    ) -> Answer<W> {
        let ChannelName { name, .. } = name;
        match ask {
            Ask::Next(start) => return self.next(channels, name, start, now),
            Ask::Append { ref content, .. } if content.bytes() > CONTENT_BYTES_MAX => {
                return Answer::Now(Reply::TooLarge);
            }
            _ => {}
        }
        // Where no clock was heard yet nothing is sent either.
        let deadline_ms = self.link.deadline_ms(now.mono_ms).unwrap_or_default();
        let ticket = self.ticket();
        let (written, of) = (self.store.written(name), name.into());
        let calls = Calls { keys: &self.keys, limits: self.options.limits };
        let (command, question) = match ask {
            Ask::Append { content, create, keep } => {
                let content = (content.borrowed(), create, keep);
                self.publish(written, (ticket, of), content, (deadline_ms, now))
            }
            Ask::Create => (calls.put(written), Question::Put { ticket, name: of }),
            Ask::Delete => {
                (calls.delete(written, deadline_ms), Question::Delete { ticket, name: of })
            }
            // The next message was asked for above.
            Ask::Inspect | Ask::Next(_) => {
                (calls.info(written), Question::Info { ticket, name: of })
            }
        };
        let deletes = matches!(question, Question::Delete { .. });
        if self.link.send(command, question, now.mono_ms).is_err() {
            return Answer::Now(self.away());
        }
        if deletes && let Some(mirror) = self.mirrors.get_mut(name) {
            mirror.begin_delete();
        }
        Answer::Later(ticket)
    }

    fn publish(
        &self,
        written: &[u8],
        (ticket, name): (Ticket, Box<[u8]>),
        (content, create, store): (Content<&[u8]>, bool, bool),
        (deadline_ms, now): (u64, Now),
    ) -> (Command, Question) {
        let calls = Calls { keys: &self.keys, limits: self.options.limits };
        let mirror = self.mirrors.get(&name);
        let is_heard = mirror.is_some_and(|mirror| self.mirrors.is_heard(mirror));
        let least_id = mirror.map(|mirror| mirror.last).unwrap_or_default();
        let is_fresh = self.link.is_fresh(now.mono_ms);
        let least_place = if is_fresh { self.newest_place } else { MessageId::default() };
        let publish = Publish { content, create, store, deadline_ms, least_id, least_place };
        let question = Question::Publish { ticket, name, is_heard };
        (calls.publish(written, publish), question)
    }

    fn next<W: Default>(
        &mut self,
        channels: &mut Channels<W>,
        name: &[u8],
        start: Start,
        now: Now,
    ) -> Answer<W> {
        if let Some(reply) = self.local(channels, now).next(name, start) {
            self.figures.redis_mirror_hits += 1;
            return Answer::Now(reply);
        }
        self.search(Search::new(Box::new([name.into()]), Kind::Next(start)))
    }

    /// Answers a question about several channels, or asks Redis.
    pub(in crate::store) fn ask_all<W: Default>(
        &mut self,
        channels: &mut Channels<W>,
        order: Order,
        ask: AskAll<'_>,
        now: Now,
    ) -> Answer<W> {
        let name = |key: &ChannelKey| Some(Rc::clone(&channels.get(*key)?.name));
        let (names, kind): (Box<[Rc<[u8]>]>, _) = match ask {
            AskAll::Follow(names, start) => {
                (names.iter().map(|name| (*name).into()).collect(), Kind::Follow(order, start))
            }
            AskAll::Read(keys, cursor) => {
                (keys.iter().filter_map(name).collect(), Kind::Read(order, cursor))
            }
        };
        let search = Search::new(names, kind);
        let Start { cursor, waits, .. } = search.start();
        let mut local = self.local(channels, now);
        local.asks.memory.notes_places |= order == Order::Store;
        if search.names.iter().all(|name| local.decides(name, order, cursor))
            && let Some(reply) = local.all(order, ask, waits)
        {
            self.figures.redis_mirror_hits += 1;
            return Answer::Now(reply);
        }
        self.search(search)
    }

    fn search<W>(&mut self, search: Search) -> Answer<W> {
        if !search.start().waits && !self.link.is_up() {
            return Answer::Now(self.away());
        }
        let ticket = self.ticket();
        self.searches.begin(ticket, search);
        Answer::Later(ticket)
    }

    /// What a caller is told where Redis is away or refuses; counts it.
    pub(super) fn away<W>(&mut self) -> Reply<W> {
        self.figures.redis_refused += 1;
        Reply::Away
    }

    /// Nobody waits for this answer any more.
    pub(in crate::store) fn forget(&mut self, ticket: Ticket) {
        self.searches.forget(ticket);
    }

    fn ticket(&mut self) -> Ticket {
        self.number += 1;
        Ticket::patient(NonZeroU64::new(self.number).expect("it counts from 1"), self.store)
    }

    pub(super) fn local<'a, W>(
        &'a mut self,
        channels: &'a mut Channels<W>,
        now: Now,
    ) -> Local<'a, W> {
        let Self { memory, mirrors, store, .. } = self;
        Local { asks: Asks { channels, memory, now }, mirrors, store: *store }
    }

    /// The second on Redis' clock.
    pub(super) fn second(&self, now: Now) -> u64 {
        self.link.remote_ms(now.mono_ms).map_or(now.unix_s, |remote_ms| remote_ms / 1000)
    }

    /// How old a message of that second is, milliseconds.
    pub(super) fn age_ms(&self, second: u64, now: Now) -> u64 {
        let age_s = self.second(now).saturating_sub(second);
        // One that was just announced may be of the second before.
        age_s.saturating_sub(1).saturating_mul(1000)
    }

    /// Takes what the network tells of the connection that was dialled last.
    pub(in crate::store) fn handle_input(&mut self, input: Input<'_>, now: Now) {
        self.link.handle_input(input, now.mono_ms);
    }

    /// Does what is due.
    pub(in crate::store) fn handle_timeout(&mut self, now: Now) {
        self.down_since_ms = self.down_since_ms.or((!self.link.is_up()).then_some(now.mono_ms));
        if now.mono_ms >= self.worst_until_ms {
            self.link.figures.worst_round_trip_ms = 0;
            self.worst_until_ms = now.mono_ms + 60_000;
        }
        if self.link.poll_timeout().is_some_and(|due_ms| due_ms <= now.mono_ms) {
            self.link.handle_timeout(now.mono_ms);
        }
    }

    /// A channel has ended here, as nobody waited on it.
    pub(in crate::store) fn channel_ended(&mut self, name: &[u8], now: Now) {
        if let Some(mirror) = self.mirrors.get_mut(name) {
            mirror.channel = None;
        }
        let (mirrors, mut sender) = self.sender(now);
        mirrors.drop_unused(name, &mut sender);
    }

    /// Sends what waits, as far as it may be. Once a turn, behind everything that asks.
    /// `is_followed`: whether somebody follows the next channel of a name.
    pub(in crate::store) fn flush<W>(
        &mut self,
        channels: &Channels<W>,
        is_followed: impl Fn(&[u8]) -> bool,
        now: Now,
    ) {
        let (mirrors, mut sender) = self.sender(now);
        mirrors.flush(channels, is_followed, &mut sender, now);
        self.ask_searches(now);
    }

    fn ask_searches(&mut self, now: Now) {
        self.searches.note_all();
        while self.link.has_spare_room() {
            let Self { store, keys, options, link, mirrors, searches, figures, todo, .. } = self;
            let Some((ticket, search)) = searches.pop(mirrors.are_settled()) else { return };
            let calls = Calls { keys, limits: options.limits };
            let mut sender = Sender { link, calls, store: *store, now_ms: now.mono_ms };
            let (round, begin) = (search.begin_round(), search.begin());
            let Start { create, waits, .. } = search.start();
            let mut lost = 0;
            for (part, name) in search.names.iter().enumerate() {
                if waits {
                    mirrors.listen(name, &mut sender);
                }
                let question = Question::Open { ticket, round, part, name: Rc::clone(name), waits };
                figures.redis_opens += 1;
                if !sender.open(name, begin, (create, waits), question) {
                    lost += 1;
                } else if waits && let Some(mirror) = mirrors.get_mut(name) {
                    mirror.opens += 1;
                }
            }
            // Only where it has more channels than commands may be under way.
            for _ in 0..lost {
                if searches.lost(ticket, round) {
                    todo.push_back(Todo::GiveUp(ticket));
                }
            }
        }
    }

    pub(super) fn sender(&mut self, now: Now) -> (&mut Mirrors, Sender<'_>) {
        let Self { store, keys, options, link, mirrors, .. } = self;
        let calls = Calls { keys, limits: options.limits };
        (mirrors, Sender { link, calls, store: *store, now_ms: now.mono_ms })
    }

    /// What the network is to do next.
    pub(in crate::store) fn poll_output(&mut self) -> Option<Output> {
        self.link.poll_output()
    }

    /// When there is something to do, milliseconds.
    pub(in crate::store) fn due_ms(&self) -> Option<u64> {
        let is_free = self.link.has_spare_room();
        let searches = self.searches.has_new().then_some(0);
        let due = [self.link.poll_timeout(), self.mirrors.due_ms(is_free), searches];
        due.into_iter().flatten().min()
    }

    pub(in crate::store) fn figures(&self, now: Now) -> StoreFigures {
        let link = self.link.figures;
        let away_ms = self.down_since_ms.map_or(0, |since_ms| now.mono_ms.saturating_sub(since_ms));
        let figures = RedisFigures {
            redis_up: self.link.is_up().into(),
            redis_away_s: away_ms / 1000,
            redis_commands: link.commands,
            redis_in_flight: self.link.in_flight() as u64,
            redis_reconnects: link.ups.saturating_sub(1),
            redis_resyncs: self.mirrors.resyncs,
            redis_holes: self.mirrors.holes,
            redis_live_channels: self.mirrors.len() as u64,
            redis_mirror_bytes: self.memory.used_bytes() as u64,
            redis_round_trip_us: link.round_trip_ms * 1000,
            redis_worst_round_trip_us: link.worst_round_trip_ms * 1000,
            ..self.figures
        };
        StoreFigures { store: (*self.options.name).into(), kind: StoreFiguresOf::Redis(figures) }
    }

    pub(in crate::store) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(in crate::store) fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }

    pub(in crate::store) fn shrink(&mut self) {
        self.mirrors.shrink();
        self.searches.shrink();
    }
}
