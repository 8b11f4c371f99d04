//! Taking: what Redis answers and announces, one event after the other, each to its end.

use std::collections::VecDeque;
use std::rc::Rc;

use super::announcement::Announcement;
use super::answers::{Known, Opened, Published, Refusal, Synced, leased};
use super::conclusion::{Conclusion, conclude};
use super::link::Event;
use super::mirror::{Heard, Stage};
use super::question::Question;
use super::resp::Value;
use super::scripts::Begin;
use super::store::{Redis, Todo};
use super::unheard::Own;
use crate::clock::Now;
use crate::message::MessageId;
use crate::store::ask::{Facts, Reply, Ticket};
use crate::store::channels::Channels;

/// What comes next for the hub.
type Told<W> = Option<(Option<Ticket>, Reply<W>)>;

/// The next answer, or what has happened to a channel.
pub(in crate::store) fn next_reply<W: Default>(
    redis: &mut Redis,
    channels: &mut Channels<W>,
    now: Now,
) -> Told<W> {
    loop {
        let told = if let Some(todo) = redis.todo.pop_front() {
            go_on(redis, todo, channels, now)
        } else {
            let event = redis.link.poll_event()?;
            take(redis, event, channels, now)
        };
        if told.is_some() {
            return told;
        }
    }
}

/// Takes an event of the link.
fn take<W: Default>(
    redis: &mut Redis,
    event: Event<Question>,
    channels: &mut Channels<W>,
    now: Now,
) -> Told<W> {
    match event {
        Event::Up => {
            redis.down_since_ms = None;
            redis.mirrors.come_up();
            None
        }
        Event::Down(_) => {
            redis.down_since_ms = Some(now.mono_ms);
            redis.mirrors.go_down();
            let own = redis.mirrors.unheard.take_all();
            redis.todo.extend(own.into_iter().map(Todo::Accept));
            redis.todo.extend(redis.searches.give_up().into_iter().map(Todo::GiveUp));
            // What they follow is not known at one time any more.
            redis.memory.notes_places.then_some((None, Reply::Behind(redis.store)))
        }
        Event::Lost(question) => lost(redis, question, now),
        Event::Reply(question, value) => answered(redis, question, value, channels, now),
        Event::Published(Question::Publish { ticket, name, is_heard }, answer) => {
            published(redis, (ticket, name, is_heard), Ok(answer), now)
        }
        // Only a publish is answered so.
        Event::Published(..) => None,
        Event::Push(channel, payload) => heard(redis, &channel, &payload, now),
    }
}

/// Goes on with what an event has brought.
fn go_on<W: Default>(
    redis: &mut Redis,
    todo: Todo,
    channels: &mut Channels<W>,
    now: Now,
) -> Told<W> {
    match todo {
        Todo::Delete(name) => Some((None, redis.local(channels, now).delete(&name)?)),
        Todo::Bring(name, announced) => {
            note_place(redis, announced.place());
            let age_ms = redis.age_ms(announced.id.time, now);
            Some((None, redis.local(channels, now).bring(&name, announced, age_ms)?))
        }
        Todo::Synced(name, Some(last)) => {
            redis.mirrors.settle(&name, last);
            None
        }
        Todo::Synced(name, None) => {
            let last = redis.mirrors.syncing(&name)?.last;
            let (mirrors, mut sender) = redis.sender(now);
            mirrors.go_on(&name, last, &mut sender);
            None
        }
        Todo::Conclude(ticket) => found(redis, ticket, channels, now),
        Todo::Close(name, waits) => {
            close(redis, &name, waits, now);
            None
        }
        Todo::Behind => Some((None, Reply::Behind(redis.store))),
        Todo::Accept(Own { ticket, name, published }) => {
            Some((Some(ticket), accepted(redis, &name, true, published)))
        }
        Todo::GiveUp(ticket) => Some((Some(ticket), redis.away())),
        Todo::Tell(ticket, refusal) => Some((Some(ticket), refused(redis, &refusal, &[], now))),
    }
}

/// Something was announced on a channel of Redis.
fn heard<W>(redis: &mut Redis, channel: &[u8], payload: &[u8], now: Now) -> Told<W> {
    let name = redis.store.name_of(&redis.keys.name(channel)?);
    let announcement = Announcement::read(payload)?;
    let own = match &announcement {
        Announcement::Published(announced) => redis.mirrors.unheard.take(&name, announced.id),
        Announcement::Deleted(_) => VecDeque::new(),
    };
    take_in(redis, &name, announcement, now);
    redis.todo.extend(own.into_iter().map(Todo::Accept));
    None
}

fn take_in(redis: &mut Redis, name: &[u8], announcement: Announcement, now: Now) {
    let Some(mirror) = redis.mirrors.heard(name) else { return };
    let name = Rc::clone(&mirror.name);
    match mirror.hear(announcement) {
        Heard::Nothing => {}
        Heard::Message(announced) => redis.todo.push_back(Todo::Bring(name, announced)),
        Heard::Deleted => redis.todo.push_back(Todo::Delete(name)),
        Heard::Hole => {
            let (mirrors, mut sender) = redis.sender(now);
            mirrors.fill_hole(&name, &mut sender);
            if redis.memory.notes_places {
                redis.todo.push_back(Todo::Behind);
            }
        }
    }
}

/// Nobody knows what became of a question.
fn lost<W>(redis: &mut Redis, question: Question, now: Now) -> Told<W> {
    let ticket = match question {
        Question::Publish { ticket, .. } | Question::Put { ticket, .. } => ticket,
        Question::Info { ticket, .. } => ticket,
        Question::Delete { ticket, name } => {
            // One that was heard has happened, whoever asked for it.
            if let Some(mirror) = redis.mirrors.get_mut(&name)
                && mirror.end_delete()
            {
                redis.todo.push_back(Todo::Delete(Rc::clone(&mirror.name)));
            }
            ticket
        }
        Question::Open { ticket, round, name, waits, .. } => {
            close(redis, &name, waits, now);
            if !redis.searches.lost(ticket, round) {
                return None;
            }
            ticket
        }
        Question::Sync(_) | Question::Lease(_) | Question::Remake => return None,
    };
    Some((Some(ticket), redis.away()))
}

/// A question of a subscriber is under way no more.
fn close(redis: &mut Redis, name: &[u8], waits: bool, now: Now) {
    let Some(mirror) = redis.mirrors.get_mut(name).filter(|_| waits) else { return };
    mirror.opens -= 1;
    match (mirror.channel, mirror.stage) {
        (Some(_), _) => {}
        // There is no such channel: nobody follows the next one.
        (None, Stage::Opening) => {
            let (mirrors, mut sender) = redis.sender(now);
            mirrors.drop_unused(name, &mut sender);
        }
        (None, _) => redis.mirrors.leave(name, now),
    }
}

fn answered<W: Default>(
    redis: &mut Redis,
    question: Question,
    value: Value,
    channels: &mut Channels<W>,
    now: Now,
) -> Told<W> {
    match question {
        Question::Publish { ticket, name, is_heard } => {
            published(redis, (ticket, name, is_heard), Published::read(value), now)
        }
        Question::Put { ticket, name } | Question::Info { ticket, name } => {
            let channel = redis.mirrors.get(&name).and_then(|mirror| mirror.channel);
            let known = Known::read(value);
            let reply = known.map(|known| Reply::Exists { channel, facts: facts(&known) });
            Some((Some(ticket), reply.unwrap_or_else(|why| refused(redis, &why, &name, now))))
        }
        Question::Delete { ticket, name } => {
            Some(deleted(redis, (ticket, &name), Known::read(value), channels, now))
        }
        Question::Open { ticket, round, part, name, waits } => {
            let answer = Opened::read(value);
            if let Ok(opened) = &answer {
                note_place(redis, opened.newest_place);
                if waits
                    && let Some(mirror) = redis.mirrors.heard(&name)
                    && mirror.opened(opened)
                {
                    redis.todo.push_back(Todo::Delete(Rc::clone(&name)));
                }
            }
            if redis.searches.answered(ticket, (round, part), answer) {
                redis.todo.push_back(Todo::Conclude(ticket));
            }
            redis.todo.push_back(Todo::Close(name, waits));
            None
        }
        Question::Sync(name) => {
            let is_waited = is_waited(redis, &name, channels);
            synced(redis, (&name, is_waited), Synced::read(value), now);
            None
        }
        Question::Lease(name) => {
            if leased(value) == Err(Refusal::Missing) && is_waited(redis, &name, channels) {
                // Redis has lost it. One that somebody waits on exists.
                let (_, mut sender) = redis.sender(now);
                sender.open(&name, Begin::Newest, (true, true), Question::Remake);
            }
            None
        }
        Question::Remake => None,
    }
}

/// A message of our own was published, or refused.
fn published<W>(
    redis: &mut Redis,
    (ticket, name, is_heard): (Ticket, Box<[u8]>, bool),
    answer: Result<Published, Refusal>,
    now: Now,
) -> Told<W> {
    let reply = match answer {
        Ok(published) if is_heard && redis.mirrors.expects(&name, published.id) => {
            redis.mirrors.unheard.push(Own { ticket, name, published });
            return None;
        }
        Ok(published) => accepted(redis, &name, is_heard, published),
        Err(why) => refused(redis, &why, &name, now),
    };
    Some((Some(ticket), reply))
}

/// Whether somebody waits here on a channel.
fn is_waited<W>(redis: &Redis, name: &[u8], channels: &Channels<W>) -> bool {
    let key = redis.mirrors.get(name).and_then(|mirror| mirror.channel);
    key.and_then(|key| channels.get(key)).is_some_and(|channel| channel.waited)
}

/// A message of this place was heard of.
fn note_place(redis: &mut Redis, place: MessageId) {
    redis.newest_place = redis.newest_place.max(place);
}

fn accepted<W>(redis: &mut Redis, name: &[u8], is_heard: bool, published: Published) -> Reply<W> {
    let Published { id, number, receivers, messages, asked_ago_s, .. } = published;
    let place = MessageId { time: id.time, tag: number };
    note_place(redis, place);
    let facts = facts_of(messages, asked_ago_s, id);
    let channel = redis.mirrors.get(name).and_then(|mirror| mirror.channel);
    Reply::Accepted { channel, id, place, elsewhere: receivers > u64::from(is_heard), facts }
}

/// A deletion of our own was answered. Those who wait here are told first.
fn deleted<W: Default>(
    redis: &mut Redis,
    (ticket, name): (Ticket, &[u8]),
    answer: Result<Known, Refusal>,
    channels: &mut Channels<W>,
    now: Now,
) -> (Option<Ticket>, Reply<W>) {
    let mut is_news = false;
    if let Some(mirror) = redis.mirrors.get_mut(name) {
        is_news = mirror.end_delete();
        if let Ok(known) = &answer
            && known.generation > mirror.generation
        {
            (mirror.generation, is_news) = (known.generation, true);
            mirror.last = mirror.last.max(known.last);
        }
    }
    let here = if is_news { redis.local(channels, now).delete(name) } else { None };
    match (answer, here) {
        (Ok(known), Some(Reply::Deleted { channel, kept, .. })) => {
            (Some(ticket), Reply::Deleted { channel, facts: facts(&known), kept })
        }
        (Ok(known), _) => (Some(ticket), Reply::Gone { facts: facts(&known) }),
        // It was another daemon's.
        (Err(why), Some(here)) => {
            redis.todo.push_back(Todo::Tell(ticket, why));
            (None, here)
        }
        (Err(why), None) => (Some(ticket), refused(redis, &why, name, now)),
    }
}

/// A search has all its answers.
fn found<W: Default>(
    redis: &mut Redis,
    ticket: Ticket,
    channels: &mut Channels<W>,
    now: Now,
) -> Told<W> {
    let mut search = redis.searches.forget(ticket)?;
    let second = redis.second(now);
    if let Some((part, why)) = search.refusal()
        && *why != Refusal::Missing
    {
        note(redis, why, &search.names[part], now);
    }
    match conclude(&mut search, &mut redis.local(channels, now), second) {
        Conclusion::Tell(reply) => Some((Some(ticket), reply)),
        Conclusion::Again => {
            redis.searches.begin(ticket, search);
            None
        }
    }
}

fn synced(
    redis: &mut Redis,
    (name, is_waited): (&Rc<[u8]>, bool),
    answer: Result<Synced, Refusal>,
    now: Now,
) {
    let Some(mirror) = redis.mirrors.syncing(name) else { return };
    let last = mirror.last;
    let mut synced = match answer {
        Ok(synced) => synced,
        // The channel cannot be read: it goes on with what is announced.
        Err(why) => {
            redis.mirrors.settle(name, last);
            return note(redis, &why, name, now);
        }
    };
    if !synced.is_alive && !is_waited {
        mirror.doubt();
    }
    let (is_deleted, messages) = mirror.synced(&mut synced);
    if is_deleted {
        redis.todo.push_back(Todo::Delete(Rc::clone(name)));
    }
    let bring = |message| Todo::Bring(Rc::clone(name), message);
    redis.todo.extend(messages.into_iter().map(bring));
    let last = (!synced.more).then_some(synced.last);
    redis.todo.push_back(Todo::Synced(Rc::clone(name), last));
}

/// What a caller is told whose question Redis refuses.
fn refused<W>(redis: &mut Redis, why: &Refusal, name: &[u8], now: Now) -> Reply<W> {
    match why {
        Refusal::Missing => Reply::Missing { name: None },
        Refusal::OutOfMemory => Reply::OutOfMemory,
        Refusal::Late => {
            redis.figures.redis_late += 1;
            redis.away()
        }
        why => {
            note(redis, why, name, now);
            redis.away()
        }
    }
}

/// Tells the operator of a refusal that nobody else mends.
fn note(redis: &mut Redis, why: &Refusal, name: &[u8], now: Now) {
    if !why.is_of_the_node()
        && let Some(times) = redis.refusals.note(now.mono_ms)
    {
        let (store, channel) = (&redis.options.name, redis.store.written(name));
        log::warn!(
            "event=redis_refused store={store} channel=\"{}\" times={times} cause=\"{why}\"",
            channel.escape_ascii()
        );
    }
}

fn facts(known: &Known) -> Facts {
    let last_message_id = if known.is_published { known.last } else { MessageId::default() };
    facts_of(known.messages, known.asked_ago_s, last_message_id)
}

fn facts_of(messages: u64, requested: Option<u64>, last_message_id: MessageId) -> Facts {
    let messages = usize::try_from(messages).unwrap_or(usize::MAX);
    Facts { messages, requested, last_message_id }
}
