//! The shadow model of the domain: channels, messages and holds, in the slowest and most obvious
//! way. Keeps every message of a channel for ever and only marks it as gone, so that what a
//! subscriber missed can simply be counted.

use std::collections::{BTreeMap, BTreeSet};

use pushserver::clock::Now;
use pushserver::hub::options::{Concurrency, StoreOptions};
use pushserver::message::{Cursor, First, MessageId};
use pushserver::store::{Gap, memory::MESSAGE_OVERHEAD};

use crate::settings::FIRST_ID;
use crate::writing::Verdict;

/// Store, group and id.
pub(crate) type Name = (u16, &'static str, &'static str);

/// Runs of lost messages that a store remembers: ids whose tags follow each other in one second.
const RUNS_MAX: usize = 32;

/// Places of lost messages that a store remembers.
const PLACES_MAX: usize = 64;

#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) id: MessageId,
    /// Among the messages of its store.
    pub(crate) place: MessageId,
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) event: Option<&'static str>,
    /// By the store, for a while at least.
    pub(crate) is_kept: bool,
    /// Place in the order of all messages of the simulation.
    order: u64,
    stored_ms: u64,
    is_there: bool,
    /// It is lost, and its place was noted.
    is_noted: bool,
}

impl Message {
    pub(crate) fn order(&self) -> u64 {
        self.order
    }

    fn cost(&self) -> usize {
        let names = [self.content_type, self.event].into_iter().flatten().map(str::len);
        self.body.len() + names.sum::<usize>() + MESSAGE_OVERHEAD
    }
}

/// A held request; the world knows it by its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    pub(crate) client: u64,
    pub(crate) cursor: Cursor,
    pub(crate) since_ms: u64,
    pub(crate) timeout_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Maker {
    Get,
    Post,
    Put,
}

#[derive(Debug)]
struct Channel {
    maker: Maker,
    /// Tells it from earlier and later ones of the same name.
    life: u64,
    /// What was lost before, uncounted.
    inherited: MessageId,
    /// Every message that was ever kept.
    log: Vec<Message>,
    waiting: Vec<Hold>,
    /// Clients whose requests follow it, in the order of the list of the hub.
    streams: Vec<u64>,
    published: bool,
    asked_ms: Option<u64>,
    used_ms: u64,
}

/// What outlives a channel.
#[derive(Debug, Clone, Copy)]
struct History {
    last: MessageId,
    /// The newest message that was lost, but for those that were deleted with a channel.
    lost_through: MessageId,
}

const NO_HISTORY: History = History { last: FIRST_ID, lost_through: FIRST_ID };

/// What channel information says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Information {
    pub(crate) messages: usize,
    pub(crate) requested: i64,
    pub(crate) subscribers: usize,
    pub(crate) last: MessageId,
}

impl Information {
    /// In the forms of SPEC 2.2, by the index of `request::ACCEPTS`.
    pub(crate) fn text(&self, form: usize) -> String {
        let Self { messages: m, requested: r, subscribers: s, last: id } = self;
        match form {
            0 => format!(
                "queued messages: {m}\r\nlast requested: {r} sec. ago\r\n\
                 active subscribers: {s}\r\nlast message id: {id}"
            ),
            1 => format!(
                "{{\"messages\": {m}, \"requested\": {r}, \"subscribers\": {s}, \
                 \"last_message_id\": \"{id}\" }}"
            ),
            2 => format!(
                "---\r\nmessages: {m}\r\nrequested: {r}\r\nsubscribers: {s}\r\n\
                 last_message_id: \"{id}\"\r\n\r\n"
            ),
            _ => format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n<channel>\r\n  \
                 <messages>{m}</messages>\r\n  <requested>{r}</requested>\r\n  \
                 <subscribers>{s}</subscribers>\r\n  \
                 <last_message_id>{id}</last_message_id>\r\n</channel>"
            ),
        }
    }
}

/// A message on its way to those who waited for it.
#[derive(Debug, Clone)]
pub(crate) struct Wake {
    pub(crate) name: Name,
    pub(crate) message: Message,
    life: u64,
    /// Of the channel when it was published.
    lost_through: MessageId,
}

impl Wake {
    /// Of its channel.
    pub(crate) fn life(&self) -> u64 {
        self.life
    }
}

#[derive(Debug)]
pub(crate) enum Published {
    Missing,
    TooManyChannels,
    TooLarge,
    /// The disk has refused it.
    NotWritten,
    Done {
        information: Information,
        woken: Vec<Hold>,
        /// Those who follow the channel.
        streams: Vec<u64>,
        wake: Box<Wake>,
    },
}

#[derive(Debug)]
pub(crate) enum Subscribed {
    Missing,
    TooManyChannels,
    TooManySubscribers,
    NothingNew,
    Displaced,
    Message(Message, Gap),
    Held { displaced: Vec<Displaced> },
}

/// One who made room.
#[derive(Debug)]
pub(crate) enum Displaced {
    Poll(Hold),
    /// A stream, or a poll of several channels.
    Stream(u64),
}

/// What becomes of a request that follows channels.
#[derive(Debug)]
pub(crate) enum Followed {
    Missing,
    TooManyChannels,
    TooManySubscribers,
    /// It is itself.
    Displaced,
    /// Nothing is held any more, or it waits for nothing.
    Ended,
    /// A poll has its message, and what may be told as missing before it.
    Found(Box<Wake>, Vec<Gap>),
    Begun(Vec<Displaced>),
}

pub(crate) struct Subscribe {
    pub(crate) hold: Hold,
    pub(crate) interval: bool,
    /// It is a stream.
    pub(crate) stays: bool,
    pub(crate) create: bool,
    pub(crate) concurrency: Concurrency,
    pub(crate) max_subscribers: usize,
}

/// What a durable store is asked to write down.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// A message; `create`: makes its channel where it is missing.
    Publish {
        create: bool,
    },
    Create,
    Delete,
}

/// Channels as they will be behind what was decided for one batch: whether each exists, and its
/// last id.
pub(crate) type Ahead = BTreeMap<Name, (bool, MessageId)>;

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) now: Now,
    stores: Vec<StoreOptions>,
    channels_max: usize,
    channels: BTreeMap<Name, Channel>,
    histories: BTreeMap<Name, History>,
    /// The place of the newest message of each store.
    places: BTreeMap<u16, MessageId>,
    /// Of durable stores that are writing: the place before the messages that nobody sees yet, and
    /// a second that none of these is before.
    seen_places: BTreeMap<u16, (MessageId, u64)>,
    /// Of these, what is being written of which channels: there is room for them, also where one
    /// ends before.
    agreed: BTreeMap<u16, BTreeSet<Name>>,
    published: BTreeMap<Name, Vec<Wake>>,
    /// Stores that note the places of what they lose.
    noting: BTreeSet<u16>,
    /// What goes may be dropped later, and noted only then.
    drops_slowly: bool,
    /// What each stream follows, until it has ended; be there such a channel or not.
    followers: BTreeMap<u64, Vec<Name>>,
    /// Counts messages and lives.
    count: u64,
}

impl Model {
    pub(crate) fn new(stores: Vec<StoreOptions>, channels_max: usize, now: Now) -> Self {
        let mut model = Self {
            now,
            stores: Vec::new(),
            channels_max,
            channels: BTreeMap::new(),
            histories: BTreeMap::new(),
            places: BTreeMap::new(),
            seen_places: BTreeMap::new(),
            agreed: BTreeMap::new(),
            published: BTreeMap::new(),
            noting: BTreeSet::new(),
            drops_slowly: false,
            followers: BTreeMap::new(),
            count: 0,
        };
        model.reload(stores);
        model
    }

    pub(crate) fn reload(&mut self, stores: Vec<StoreOptions>) {
        self.stores = stores;
        self.drops_slowly |= self.stores.iter().any(|store| store.memory.dropped_at_once < 512);
        for store in 0..self.stores.len() {
            let max_memory = self.stores[store].memory.max_memory;
            self.make_room(store as u16, 0, max_memory);
        }
    }

    pub(crate) fn publish(
        &mut self,
        name: Name,
        body: &[u8],
        (content_type, event): (Option<&'static str>, Option<&'static str>),
        (create, store): (bool, bool),
        verdict: Option<Verdict>,
    ) -> Published {
        let options = self.stores[name.0 as usize].memory.clone();
        let mut message = Message {
            id: MessageId::default(),
            place: MessageId::default(),
            body: body.to_vec(),
            content_type,
            event,
            is_kept: store,
            order: self.number(),
            stored_ms: self.now.mono_ms,
            is_there: true,
            is_noted: false,
        };
        let last = self.last_of(name);
        (message.id, message.place) = match verdict {
            None if store && message.cost() > options.max_memory => return Published::TooLarge,
            None if !self.channels.contains_key(&name) && !create => return Published::Missing,
            None if !self.make(name, Maker::Post) => return Published::TooManyChannels,
            None => self.next_ids(name.0, last),
            Some(Verdict::Missing) => return Published::Missing,
            Some(Verdict::TooManyChannels) => return Published::TooManyChannels,
            Some(Verdict::NotWritten) => return Published::NotWritten,
            Some(Verdict::Agreed(id, place)) => {
                self.make_agreed(name, Maker::Post);
                (id, place)
            }
        };
        assert!(message.id > last);
        self.histories.entry(name).or_insert(NO_HISTORY).last = message.id;
        if store {
            self.make_room(name.0, message.cost(), options.max_memory);
            self.channel(name).log.push(message.clone());
            while options.max_messages != 0 && self.channel(name).there() > options.max_messages {
                self.lose_oldest(name);
            }
            // What was kept beyond its time for `min_messages` only goes when it is superfluous.
            self.expire_channel(name, options.min_messages.max(1));
        }
        let lost_through = self.histories[&name].lost_through;
        let channel = self.channel(name);
        channel.published = true;
        let life = channel.life;
        let information = self.information(name).expect("just made");
        let channel = self.channel(name);
        let (woken, waiting) =
            channel.waiting.drain(..).partition(|hold| wants(hold.cursor, message.id));
        channel.waiting = waiting;
        let streams = channel.streams.clone();
        self.settle(name);
        let wake = Wake { name, message, life, lost_through };
        self.published.entry(name).or_default().push(wake.clone());
        Published::Done { information, woken, streams, wake: Box::new(wake) }
    }

    /// The id and the place of a message that is published now, in a channel with this last id.
    fn next_ids(&mut self, store: u16, last: MessageId) -> (MessageId, MessageId) {
        // The rule of SPEC 2.4: max(now, last of the store), and a tag that tells apart. As all
        // channels that are forgotten share their last id, another store's time may come in.
        let place = self.places.entry(store).or_insert(FIRST_ID);
        let time = self.now.unix_s.max(place.time).max(last.time);
        place.tag = if time > place.time { 0 } else { place.tag + 1 };
        place.time = time;
        let tag = if time > last.time { 0 } else { last.tag + 1 };
        (MessageId { time, tag }, *place)
    }

    /// Whether a store never takes a message.
    pub(crate) fn is_too_large(
        &self,
        store: u16,
        body: &[u8],
        (content_type, event): (Option<&'static str>, Option<&'static str>),
    ) -> bool {
        let names = [content_type, event].into_iter().flatten().map(str::len).sum::<usize>();
        body.len() + names + MESSAGE_OVERHEAD > self.stores[store as usize].memory.max_memory
    }

    /// What a durable store makes of a question, once what was decided `ahead` is done.
    pub(crate) fn decide(&mut self, ahead: &mut Ahead, name: Name, wanted: Wanted) -> Verdict {
        let (is_there, last) = (self.channels.contains_key(&name), self.last_of(name));
        let has_room = is_there || self.agreed().any(|agreed| *agreed == name) || !self.is_full();
        let (exists, last) = ahead.entry(name).or_insert((is_there, last));
        match wanted {
            _ if *exists => {}
            Wanted::Publish { create: true } | Wanted::Create if !has_room => {
                return Verdict::TooManyChannels;
            }
            Wanted::Publish { create: true } | Wanted::Create => {}
            _ => return Verdict::Missing,
        }
        self.agreed.entry(name.0).or_default().insert(name);
        *exists = !matches!(wanted, Wanted::Delete);
        if !matches!(wanted, Wanted::Publish { .. }) {
            return Verdict::Agreed(MessageId::default(), MessageId::default());
        }
        let (id, place) = self.next_ids(name.0, *last);
        *last = id;
        Verdict::Agreed(id, place)
    }

    /// A durable store begins to write: nobody sees the messages that it gives ids to.
    pub(crate) fn hide(&mut self, store: u16) {
        let place = self.places.get(&store).copied().unwrap_or(FIRST_ID);
        self.seen_places.insert(store, (place, self.now.unix_s.max(place.time)));
    }

    /// A durable store writes nothing any more.
    pub(crate) fn show(&mut self, store: u16) {
        self.seen_places.remove(&store);
        self.agreed.remove(&store);
    }

    pub(crate) fn create(&mut self, name: Name, verdict: Option<Verdict>) -> Option<Information> {
        let is_made = match verdict {
            None => self.make(name, Maker::Put),
            Some(_) => {
                self.make_agreed(name, Maker::Put);
                true
            }
        };
        is_made.then(|| self.information(name).expect("just made"))
    }

    pub(crate) fn information(&self, name: Name) -> Option<Information> {
        let channel = self.channels.get(&name)?;
        let asked = channel.asked_ms.map(|asked| ((self.now.mono_ms - asked) / 1000) as i64);
        Some(Information {
            messages: channel.there(),
            requested: asked.unwrap_or(-1),
            subscribers: channel.held(),
            last: if channel.published { self.histories[&name].last } else { MessageId::default() },
        })
    }

    /// Gives also those who waited, and those who followed it.
    pub(crate) fn delete(&mut self, name: Name) -> Option<(Information, Vec<Hold>, Vec<u64>)> {
        let information = self.information(name)?;
        let Channel { waiting, streams, .. } =
            self.channels.remove(&name).expect("it has information");
        Some((information, waiting, streams))
    }

    pub(crate) fn subscribe(&mut self, name: Name, subscribe: &Subscribe) -> Subscribed {
        let hold = subscribe.hold;
        let missing = !self.channels.contains_key(&name);
        if missing && !subscribe.create {
            return Subscribed::Missing;
        }
        if missing && subscribe.interval {
            return Subscribed::NothingNew;
        }
        if !self.make(name, Maker::Get) {
            return Subscribed::TooManyChannels;
        }
        let now_ms = self.now.mono_ms;
        let channel = self.channel(name);
        channel.asked_ms = Some(now_ms);
        let first = channel.log.iter().find(|m| m.is_there && wants(hold.cursor, m.id)).cloned();
        if let Some(message) = first {
            let gap = self.missed(name, hold.cursor, message.id);
            return Subscribed::Message(message, gap);
        }
        if subscribe.interval {
            return Subscribed::NothingNew;
        }
        let displaced = match self.make_place(&[name], subscribe) {
            Followed::Begun(displaced) => displaced,
            Followed::TooManySubscribers => return Subscribed::TooManySubscribers,
            _ => return Subscribed::Displaced,
        };
        self.channel(name).waiting.push(hold);
        Subscribed::Held { displaced }
    }

    /// Begins a stream on these channels, or serves a poll of them. `waits`: streams began when it
    /// was asked; `is_over`: they do not any more.
    pub(crate) fn follow(
        &mut self,
        names: &[Name],
        subscribe: &Subscribe,
        (waits, is_over): (bool, bool),
    ) -> Followed {
        if !subscribe.create && names.iter().any(|name| !self.channels.contains_key(name)) {
            return Followed::Missing;
        }
        let (mut found, mut made) = (Vec::new(), Vec::new());
        let mut is_full = false;
        for name in names {
            let is_new = !self.channels.contains_key(name);
            if is_new && !waits {
                continue;
            }
            if self.make(*name, Maker::Get) {
                if is_new {
                    made.push(*name);
                }
                self.channel(*name).asked_ms = Some(self.now.mono_ms);
                found.push(*name);
            } else {
                is_full = true;
            }
        }
        if is_full {
            // Of those who followed one of that name before nobody hears of it.
            made.iter().for_each(|name| drop(self.channels.remove(name)));
            found.iter().for_each(|name| self.settle(*name));
            return Followed::TooManyChannels;
        }
        let cursor = subscribe.hold.cursor;
        let first = if subscribe.stays { None } else { self.first_among(&found, cursor) };
        let outcome = match first {
            Some(wake) if cursor.is_oldest() => Followed::Found(Box::new(wake), vec![Gap::NONE]),
            Some(wake) => {
                let gaps = self.missed_among(names, cursor, wake.message.place);
                Followed::Found(Box::new(wake), gaps)
            }
            None if waits && !is_over => self.make_place(names, subscribe),
            None => Followed::Ended,
        };
        match outcome {
            Followed::Begun(_) => {
                let client = subscribe.hold.client;
                names.iter().for_each(|name| self.channel(*name).streams.push(client));
                self.followers.insert(client, names.to_vec());
            }
            _ => found.iter().for_each(|name| self.settle(*name)),
        }
        outcome
    }

    /// The first message behind a place that one of these channels has.
    fn first_among(&self, names: &[Name], cursor: Cursor) -> Option<Wake> {
        let all = names.iter().flat_map(|name| self.published(*name));
        let wanted = all.filter(|wake| wants(cursor, wake.message.place) && self.is_there(wake));
        wanted.min_by_key(|wake| wake.message.place).cloned()
    }

    /// As before, for somebody who is not there any more, or never hears of it.
    pub(crate) fn follow_in_vain(&mut self, names: &[Name], subscribe: &Subscribe, waits: bool) {
        let subscribe =
            Subscribe { concurrency: Concurrency::Broadcast, max_subscribers: 0, ..*subscribe };
        if let Followed::Begun(_) = self.follow(names, &subscribe, (waits, false)) {
            self.leave(&[], subscribe.hold.client);
        }
    }

    /// A place for one more on each of these channels, if there is one.
    fn make_place(&mut self, names: &[Name], subscribe: &Subscribe) -> Followed {
        let most = names.iter().map(|name| self.channels[name].held()).max().unwrap_or(0);
        let mut displaced = Vec::new();
        match subscribe.concurrency {
            Concurrency::First if most > 0 => return Followed::Displaced,
            Concurrency::Last => {
                for name in names {
                    let polls = std::mem::take(&mut self.channel(*name).waiting);
                    displaced.extend(polls.into_iter().map(Displaced::Poll));
                    while let Some(client) = self.channel(*name).streams.first().copied() {
                        self.leave(names, client);
                        displaced.push(Displaced::Stream(client));
                    }
                }
            }
            _ if subscribe.max_subscribers != 0 && most >= subscribe.max_subscribers => {
                return Followed::TooManySubscribers;
            }
            _ => {}
        }
        Followed::Begun(displaced)
    }

    /// A stream ends. `kept`: channels that somebody else is about to wait on.
    pub(crate) fn leave(&mut self, kept: &[Name], client: u64) {
        for name in self.followers.remove(&client).unwrap_or_default() {
            let Some(channel) = self.channels.get_mut(&name) else { continue };
            // The order matters where those who made room had sent further requests.
            if let Some(place) = channel.streams.iter().position(|stream| *stream == client) {
                channel.streams.swap_remove(place);
            }
            if !kept.contains(&name) {
                self.settle(name);
            }
        }
    }

    /// Everything that was published on a channel, be it kept or not.
    pub(crate) fn published(&self, name: Name) -> &[Wake] {
        self.published.get(&name).map_or(&[], |all| all)
    }

    /// Whether a message is in its channel's queue.
    pub(crate) fn is_there(&self, wake: &Wake) -> bool {
        let channel = self.channels.get(&wake.name).filter(|channel| channel.life == wake.life);
        let found = channel.and_then(|one| one.log.iter().find(|m| m.id == wake.message.id));
        found.is_some_and(|message| message.is_there)
    }

    /// A subscriber asks that is not there any more, or never hears of it.
    pub(crate) fn subscribe_in_vain(&mut self, name: Name, subscribe: &Subscribe) {
        let creates = subscribe.create && !subscribe.interval;
        if !self.channels.contains_key(&name) && !creates || !self.make(name, Maker::Get) {
            return;
        }
        self.channel(name).asked_ms = Some(self.now.mono_ms);
        self.settle(name);
    }

    /// A hold ends that nobody has taken yet; gives it, or `None` if it is not waiting.
    pub(crate) fn end_hold(&mut self, name: Name, client: u64) -> Option<Hold> {
        let channel = self.channels.get_mut(&name)?;
        let place = channel.waiting.iter().position(|hold| hold.client == client)?;
        // As in the hub the last takes its place, which shows in the order in which holds are
        // displaced.
        let hold = channel.waiting.swap_remove(place);
        self.settle(name);
        Some(hold)
    }

    /// A client that was woken left before the message did.
    pub(crate) fn left_while_woken(&mut self, name: Name, life: Option<u64>) {
        if self.channels.get(&name).map(|channel| channel.life) == life {
            self.settle(name);
        }
    }

    pub(crate) fn life(&self, name: Name) -> Option<u64> {
        Some(self.channels.get(&name)?.life)
    }

    /// What is told to somebody whom a message woke, if it leaves now.
    pub(crate) fn gap_of(&self, wake: &Wake, cursor: Cursor) -> Gap {
        if cursor.time == 0 || wake.lost_through <= cursor.id() {
            Gap::NONE
        } else if self.life(wake.name) == Some(wake.life) {
            self.missed(wake.name, cursor, wake.message.id)
        } else {
            Gap::Unknown
        }
    }

    /// Ends everything that waits; the daemon stops.
    pub(crate) fn shutdown(&mut self) {
        let names: Vec<Name> = self.channels.keys().copied().collect();
        for name in names {
            self.channel(name).waiting.clear();
            self.settle(name);
        }
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self) {
        let names: Vec<Name> = self.channels.keys().copied().collect();
        for name in names {
            self.expire_channel(name, self.stores[name.0 as usize].memory.min_messages);
            let channel = &self.channels[&name];
            let timeout_ms = match channel.maker {
                Maker::Get => 0,
                Maker::Post => self.stores[name.0 as usize].channel_timeout_ms,
                Maker::Put => 3_600_000,
            };
            if channel.is_idle() && channel.used_ms + timeout_ms <= self.now.mono_ms {
                self.channels.remove(&name);
            }
        }
    }

    pub(crate) fn used_bytes(&self, store: u16) -> usize {
        let there = |channel: &Channel| -> usize {
            channel.log.iter().filter(|m| m.is_there).map(Message::cost).sum()
        };
        self.channels.iter().filter(|(name, _)| name.0 == store).map(|(_, c)| there(c)).sum()
    }

    pub(crate) fn channels(&self) -> usize {
        self.channels.len()
    }

    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Hold> {
        self.channels.values().flat_map(|channel| &channel.waiting)
    }

    /// Ids that a client may have heard of.
    pub(crate) fn ids(&self, name: Name) -> Vec<MessageId> {
        self.channels.get(&name).map_or(Vec::new(), |c| c.log.iter().map(|m| m.id).collect())
    }

    /// What lies lost between a cursor and a message that comes next.
    pub(crate) fn missed(&self, name: Name, cursor: Cursor, id: MessageId) -> Gap {
        let lost_through = self.histories.get(&name).map_or(FIRST_ID, |h| h.lost_through);
        if cursor.time == 0 || lost_through <= cursor.id() {
            return Gap::NONE;
        }
        let channel = &self.channels[&name];
        let mut runs: Vec<(MessageId, usize)> = Vec::new();
        for (place, message) in channel.log.iter().enumerate().filter(|(_, m)| !m.is_there) {
            match runs.last_mut() {
                Some((last, at))
                    if last.time == message.id.time
                        && last.tag + 1 == message.id.tag
                        && *at + 1 == place =>
                {
                    (*last, *at) = (message.id, place);
                }
                _ => runs.push((message.id, place)),
            }
        }
        let forgotten = runs.iter().rev().nth(RUNS_MAX).map(|(last, _)| *last);
        if cursor.id() < channel.inherited.max(forgotten.unwrap_or_default()) {
            return Gap::Unknown;
        }
        let between = |m: &&Message| m.id > cursor.id() && m.id < id;
        Gap::Messages(channel.log.iter().filter(between).count() as u64)
    }

    /// Somebody follows channels of a store in the order of that.
    pub(crate) fn note_places(&mut self, store: u16) {
        self.noting.insert(store);
    }

    /// Where a request without cursor begins that `first` says. `makes`: channels that are missing
    /// are made.
    pub(crate) fn begins_at(
        &self,
        names: &[Name],
        (first, of_several): (First, bool),
        makes: bool,
    ) -> Cursor {
        let channels = || names.iter().filter_map(|name| self.channels.get(name));
        let store = names[0].0;
        let seen = self.seen_places.get(&store);
        // What is being written is published behind it.
        let unix_s = seen.map_or(self.now.unix_s, |(_, second)| self.now.unix_s.min(*second));
        let before = MessageId { time: unix_s.saturating_sub(1), tag: 0 };
        let newest_place = || {
            let newest = seen.map(|(place, _)| place).or(self.places.get(&store));
            newest.copied().unwrap_or(FIRST_ID)
        };
        let last = self.last_of(names[0]);
        let newest = || {
            if of_several {
                return Cursor::at(newest_place());
            }
            let channel = channels().next();
            let goes_on = channel.is_some_and(|channel| channel.published)
                || (channel.is_some() || makes) && last > before;
            Cursor::at(if goes_on { last } else { before })
        };
        match first {
            First::Oldest => Cursor::OLDEST,
            First::Newest => newest(),
            First::Since(id) => {
                let newest = match of_several {
                    true => newest_place(),
                    false if channels().next().is_some() || makes => last,
                    false => MessageId::default(),
                };
                let is_ahead = id > newest && id.time >= unix_s;
                Cursor::at(if is_ahead { before } else { id })
            }
            First::Last(count) => {
                let there =
                    channels().flat_map(|channel| channel.log.iter().filter(|m| m.is_there));
                let mut ids: Vec<MessageId> =
                    there.map(|m| if of_several { m.place } else { m.id }).collect();
                ids.sort_unstable();
                let first = ids.get(ids.len().saturating_sub(count as usize));
                first.map_or_else(newest, |first| Cursor::before(*first))
            }
        }
    }

    /// What may be told as missed of several channels, between a cursor and a place.
    pub(crate) fn missed_among(
        &self,
        names: &[Name],
        cursor: Cursor,
        until: MessageId,
    ) -> Vec<Gap> {
        let channels: Vec<&Channel> = names.iter().filter_map(|n| self.channels.get(n)).collect();
        let is_missed = |m: &&Message| !m.is_there && m.place > cursor.id() && m.place < until;
        let missed = |channel: &&Channel| channel.log.iter().filter(is_missed).count();
        let missed = Gap::Messages(channels.iter().map(missed).sum::<usize>() as u64);
        let told = |unknown_through: fn(&Channel) -> MessageId| {
            let is_known = |channel: &&Channel| cursor.id() >= unknown_through(channel);
            if channels.iter().all(is_known) { missed } else { Gap::Unknown }
        };
        let mut gaps = vec![told(Channel::unknown_through)];
        if self.drops_slowly {
            // What is still to be dropped is counted, whatever is known of what was.
            gaps.push(told(|channel| last_place_of(channel.inherited)));
            gaps.push(told(|channel| {
                let first = channel.log.first().filter(|first| !first.is_there);
                let inherited = last_place_of(channel.inherited);
                first.map_or(inherited, |first| first.place.min(inherited))
            }));
        }
        gaps
    }

    /// As before, for a stream that was displaced while all of its channels were there: with the
    /// last of its streams some of them went.
    pub(crate) fn missed_when_displaced(
        &self,
        names: &[Name],
        cursor: Cursor,
        until: MessageId,
    ) -> Vec<Gap> {
        let gone = || names.iter().filter(|name| !self.channels.contains_key(name));
        let is_missed = |m: &&Message| m.is_kept && m.place > cursor.id() && m.place < until;
        let missed = |name: &Name| {
            self.published(*name).iter().map(|wake| &wake.message).filter(is_missed).count()
        };
        let missed = Gap::Messages(gone().map(missed).sum::<usize>() as u64);
        let mut gaps = self.missed_among(names, cursor, until);
        gaps.iter_mut().for_each(|gap| *gap = gap.and(missed));
        let is_unknown = |name: &Name| {
            let lost_through = self.histories.get(name).map_or(FIRST_ID, |h| h.lost_through);
            cursor.id() < last_place_of(lost_through)
        };
        if gone().any(is_unknown) {
            gaps.push(Gap::Unknown);
        }
        gaps
    }

    /// The places of all messages of a store.
    pub(crate) fn places_of(&self, store: u16) -> Vec<MessageId> {
        let wakes = self.published.iter().filter(|(name, _)| name.0 == store);
        wakes.flat_map(|(_, wakes)| wakes.iter().map(|wake| wake.message.place)).collect()
    }

    /// The number of the newest message, or what came after it.
    pub(crate) fn order(&self) -> u64 {
        self.count
    }

    /// The last id of a channel, be it there or not.
    fn last_of(&self, name: Name) -> MessageId {
        self.histories.get(&name).map_or(FIRST_ID, |history| history.last)
    }

    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn channel(&mut self, name: Name) -> &mut Channel {
        self.channels.get_mut(&name).expect("the channel is there")
    }

    /// Makes the channel if need be; `false`: there are too many.
    fn make(&mut self, name: Name, maker: Maker) -> bool {
        if self.is_full() && !self.channels.contains_key(&name) {
            return false;
        }
        self.make_agreed(name, maker);
        true
    }

    /// Whether there is no room for one more channel, beside those that are agreed to.
    fn is_full(&self) -> bool {
        let missing = self.agreed().filter(|name| !self.channels.contains_key(name)).count();
        self.channels.len() + missing >= self.channels_max
    }

    fn agreed(&self) -> impl Iterator<Item = &Name> {
        self.agreed.values().flatten()
    }

    /// As before, where it was agreed to.
    fn make_agreed(&mut self, name: Name, maker: Maker) {
        let (life, used_ms) = (self.number(), self.now.mono_ms);
        if let Some(channel) = self.channels.get_mut(&name) {
            channel.maker = channel.maker.max(maker);
            channel.used_ms = used_ms;
        } else {
            let inherited = self.histories.entry(name).or_insert(NO_HISTORY).lost_through;
            let follows = |(_, names): &(&u64, &Vec<Name>)| names.contains(&name);
            let streams =
                self.followers.iter().filter(follows).map(|(client, _)| *client).collect();
            self.channels.insert(
                name,
                Channel {
                    maker,
                    life,
                    inherited,
                    log: Vec::new(),
                    waiting: Vec::new(),
                    streams,
                    published: false,
                    asked_ms: None,
                    used_ms,
                },
            );
        }
    }

    fn make_room(&mut self, store: u16, bytes: usize, max_memory: usize) {
        while self.used_bytes(store) + bytes > max_memory {
            let oldest = self
                .channels
                .iter()
                .filter(|(name, _)| name.0 == store)
                .filter_map(|(name, c)| c.log.iter().find(|m| m.is_there).map(|m| (m.order, *name)))
                .min();
            let Some((_, name)) = oldest else { return };
            self.lose_oldest(name);
        }
    }

    fn expire_channel(&mut self, name: Name, keep: usize) {
        let timeout = self.stores[name.0 as usize].memory.message_timeout_ms;
        let now_ms = self.now.mono_ms;
        while timeout != 0 && self.channel(name).there() > keep {
            let oldest = self.channel(name).log.iter().find(|m| m.is_there).expect("one is there");
            if oldest.stored_ms + timeout > now_ms {
                return;
            }
            self.lose_oldest(name);
        }
    }

    fn lose_oldest(&mut self, name: Name) {
        let is_noted = self.noting.contains(&name.0);
        let oldest = self.channel(name).log.iter_mut().find(|m| m.is_there).expect("one is there");
        oldest.is_there = false;
        oldest.is_noted = is_noted;
        let id = oldest.id;
        self.histories.get_mut(&name).expect("it has published").lost_through = id;
        self.settle(name);
    }

    /// Starts the time that a channel lives with nothing in it; one made by a GET ends at once.
    fn settle(&mut self, name: Name) {
        let now_ms = self.now.mono_ms;
        let Some(channel) = self.channels.get_mut(&name) else { return };
        if channel.is_idle() {
            channel.used_ms = now_ms;
            if channel.maker == Maker::Get {
                self.channels.remove(&name);
            }
        }
    }
}

impl Channel {
    fn there(&self) -> usize {
        self.log.iter().filter(|message| message.is_there).count()
    }

    /// What went up to this place went uncounted in the order of the store.
    fn unknown_through(&self) -> MessageId {
        let lost = || self.log.iter().filter(|message| !message.is_there);
        let noted: Vec<MessageId> = lost().filter(|m| m.is_noted).map(|m| m.place).collect();
        let unnoted = lost().rev().find(|message| !message.is_noted).map(|message| message.place);
        let inherited = last_place_of(self.inherited);
        let forgotten = noted.iter().rev().nth(PLACES_MAX).copied();
        let first = noted.first().map_or(inherited, |first| inherited.min(*first));
        forgotten.or(unnoted).unwrap_or(first)
    }

    /// Requests that are held.
    fn held(&self) -> usize {
        self.waiting.len() + self.streams.len()
    }

    fn is_idle(&self) -> bool {
        self.held() == 0 && self.there() == 0
    }
}

/// The last place that a message with this id can have, in whatever channel.
fn last_place_of(id: MessageId) -> MessageId {
    if id == FIRST_ID { id } else { MessageId { tag: u32::MAX, ..id } }
}

/// Whether a message lies behind a cursor; the epoch asks for whatever there is.
fn wants(cursor: Cursor, id: MessageId) -> bool {
    cursor.time == 0 || (id.time, id.tag) > (cursor.time, cursor.tag)
}
