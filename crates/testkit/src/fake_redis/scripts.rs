//! Scripts: what those of `src/store/redis/lua` do, written anew on a [`Keyspace`]. Each is as
//! atomic as there.

use pushserver::message::MessageId;
use pushserver::store::redis::resp::Value;
use pushserver::store::redis::scripts::{ANNOUNCED_BYTES_MAX, LEASE_S, Script};

use super::keyspace::{Entry, Keyspace, Record, Stream};
use super::prelude::{
    Call, Error, MARGIN_S, ON_REQUEST_S, OUT_OF_MEMORY, Prelude, WORDS, count, id, number, spelled,
    text,
};

/// What a script gives back, and what it publishes: where, and what.
pub(super) type Done = (Value, Option<(Box<[u8]>, Vec<u8>)>);

/// Runs a script.
///
/// # Errors
/// As Redis says it.
pub(super) fn run(script: Script, call: Call<'_>, keys: &mut Keyspace) -> Result<Done, Error> {
    let mut run = Prelude::new(call, keys)?;
    let answer = match script {
        Script::Publish => return publish(&mut run),
        Script::Delete => return delete(&mut run),
        Script::Open => open(&mut run),
        Script::Sync => sync(&mut run),
        Script::Put => put(&mut run),
        Script::Info => info(&mut run),
        Script::Lease => Ok(lease(&mut run)),
    };
    answer.map(|answer| (answer, None))
}

fn publish(run: &mut Prelude<'_>) -> Result<Done, Error> {
    let [max, deadline, flags, least_id, least_place, channel, kind, event, body] = run.words
    else {
        return Err(WORDS);
    };
    let has = |flag: u8| flags.contains(&flag);
    if run.now_ms > number(deadline) {
        return Ok((run.word("late"), None));
    }
    let place = run.place()?;
    let has_messages = run.has_messages()?;
    let alive = run.is_alive(has_messages);
    if !alive && !has(b'm') {
        return Ok((run.word("missing"), None));
    }
    let (last, kept, generation) = (run.last(), run.kept(), run.generation());
    let above = (last.max(id(least_id)), place.max(id(least_place)));
    let (id, number_of) = next(run, above);
    if run.is_full {
        return Err(OUT_OF_MEMORY);
    }
    let stored = has(b's');
    if stored {
        let mut words: Vec<Box<[u8]>> = vec![b"n"[..].into(), text(number_of)];
        let before = (kept != MessageId::default()).then(|| spelled(kept));
        let fields = [
            (&b"p"[..], before),
            (b"b", Some(body.clone())),
            (b"c", has(b't').then(|| kind.clone())),
            (b"e", has(b'e').then(|| event.clone())),
        ];
        for (name, value) in fields {
            words.extend(value.into_iter().flat_map(|value| [name.into(), value]));
        }
        let stream = run.keys.streams.make(run.stream);
        stream.add(Entry { id, number: number_of, words }, number(max) as usize)?;
    }
    let length = note(run, id, stored, alive);
    *run.keys.clocks.make(run.clock) = MessageId { time: id.time, tag: number_of };
    let payload = announcement(run, (id, number_of), stored);
    let receivers = (run.receivers)(channel) as u64;
    let answer = run.answer([
        Value::Text(spelled(id)),
        count(number_of.into()),
        Value::Text(spelled(last)),
        Value::Text(spelled(kept)),
        count(generation),
        count(receivers),
        count(length),
        if alive { run.asked_ago() } else { Value::Number(-1) },
    ]);
    Ok((answer, Some((channel.clone(), payload))))
}

/// What the connections that listen are told of a message.
fn announcement(run: &Prelude<'_>, (id, number): (MessageId, u32), stored: bool) -> Vec<u8> {
    let [.., flags, _, _, _, kind, event, body] = run.words else { unreachable!("looked at") };
    let (last, kept, generation) = (run.last(), run.kept(), run.generation());
    let full = !stored || body.len() <= ANNOUNCED_BYTES_MAX;
    let length = |flag, word: &[u8]| match flags.contains(&flag) {
        true => word.len().to_string(),
        false => "-".to_owned(),
    };
    let mut payload = format!(
        "{} {}-{} {number} {}-{} {}-{} {generation} {} {} {} {}\n",
        if full { "M" } else { "F" },
        id.time,
        id.tag,
        last.time,
        last.tag,
        kept.time,
        kept.tag,
        u8::from(stored),
        length(b't', kind),
        length(b'e', event),
        body.len()
    )
    .into_bytes();
    if full {
        payload.extend([&**kind, event, body].concat());
    }
    payload
}

/// The id and the number of a message that comes behind an id and a place.
fn next(run: &Prelude<'_>, (last, place): (MessageId, MessageId)) -> (MessageId, u32) {
    let time = run.now.max(1).max(last.time).max(place.time);
    let behind = |other: MessageId| match other.time == time {
        true => other.tag.checked_add(1),
        false => Some(0),
    };
    match (behind(last), behind(place)) {
        (Some(tag), Some(number)) => (MessageId { time, tag }, number),
        _ => (MessageId { time: time + 1, tag: 0 }, 0),
    }
}

/// Notes a message that was published, and how long its keys live; gives how many there are.
fn note(run: &mut Prelude<'_>, id: MessageId, stored: bool, alive: bool) -> u64 {
    let origin = if alive { run.was.origin.unwrap_or(0) } else { 0 }.max(2);
    let kept = if stored { id } else { run.kept() };
    let mut till = id.time + 1 + run.idle_of(origin) + if stored { run.timeout } else { 0 };
    if alive {
        till = till.max(run.lives_until());
    }
    let record = run.keys.records.make(run.record);
    (record.last, record.kept, record.origin) = (Some(id), Some(kept), Some(origin));
    (record.lives_until, record.had_message) = (Some(till), true);
    if !alive {
        (record.asked, record.held) = (None, None);
    }
    let length = run.remove_expired();
    let forever = run.timeout == 0 || run.min > 0;
    if stored {
        let ends = (!forever).then_some(id.time + run.timeout + 1);
        run.keys.streams.end(run.stream, ends);
    }
    let held = if alive { run.held() } else { 0 };
    let needed = till.max(held).max(kept.time + run.timeout + 1);
    let ends = (!forever || length == 0).then_some(needed + MARGIN_S);
    run.keys.records.end(run.record, ends);
    length
}

fn open(run: &mut Prelude<'_>) -> Result<Value, Error> {
    let [flags, start, at] = run.words else { return Err(WORDS) };
    let place = run.place()?;
    let waits = flags.contains(&b'w');
    let length = run.expire()?;
    if !run.is_alive(length > 0) {
        if !waits || !flags.contains(&b'm') {
            return Ok(run.word("missing"));
        }
        let was = std::mem::take(&mut run.was);
        let Record { last, kept, generation, asked, .. } = was;
        run.was = Record { last, kept, generation, asked, ..Record::default() };
        run.was.origin = Some(1);
    }
    let mut record = Record { asked: Some(run.now), ..run.was.clone() };
    let held = if waits { run.held().max(run.now + LEASE_S) } else { run.held() };
    record.held = if waits { Some(held) } else { record.held };
    let till = run.till(record.origin.unwrap_or(0));
    if record.origin > Some(1) {
        record.lives_until = Some(till);
    }
    run.put_record(record, till.max(held));

    let empty = Stream::default();
    let entries = &run.keys.streams.get(run.stream).unwrap_or(&empty).entries;
    let (mut entry, mut places) = (None, Vec::new());
    let (mut start, mut at) = (&**start, &**at);
    let before = spelled(MessageId { time: run.now.saturating_sub(1), tag: 0 });
    if let Some(since) = start.strip_prefix(b"since_") {
        start = since;
        let newest = if start == b"place" { place } else { run.last() };
        if id(at).time >= run.now && id(at) > newest {
            at = &before;
        }
        places.push(Value::Text(at.into()));
    }
    match start {
        b"place" => {
            let place_of = |entry: &Entry| MessageId { time: entry.id.time, tag: entry.number };
            entry = entries.iter().find(|entry| place_of(entry) > id(at));
        }
        b"last" => {
            for one in entries.iter().rev().take(number(at) as usize) {
                places.push(Value::Text(text(format!("{}:{}", one.id.time, one.number))));
                entry = Some(one);
            }
        }
        b"after" => entry = entries.iter().find(|entry| entry.id > id(at)),
        b"oldest" => entry = entries.front(),
        _ => {}
    }
    let is_first = entry.is_some_and(|entry| Some(entry.id) == entries.front().map(|e| e.id));
    Ok(run.answer([
        Value::Text(spelled(run.last())),
        Value::Text(spelled(run.kept())),
        count(run.generation()),
        count(length),
        Value::Text(text(format!("{}:{}", place.time, place.tag))),
        count(run.was.had_message.into()),
        entry.map_or(Value::Null, value),
        count(is_first.into()),
        Value::List(places),
    ]))
}

fn sync(run: &mut Prelude<'_>) -> Result<Value, Error> {
    let [from, most, room] = run.words else { return Err(WORDS) };
    let length = run.expire()?;
    let (mut found, mut more) = (Vec::new(), false);
    let mut room = number(room) as i64;
    let empty = Stream::default();
    for entry in run.keys.streams.get(run.stream).unwrap_or(&empty).after(id(from)) {
        room -= entry.words.iter().map(|word| word.len() as i64).sum::<i64>();
        more = found.len() as u64 == number(most) || !found.is_empty() && room < 0;
        if more {
            break;
        }
        found.push(value(entry));
    }
    Ok(run.answer([
        Value::Text(spelled(run.last())),
        Value::Text(spelled(run.kept())),
        count(run.generation()),
        count(run.is_alive(length > 0).into()),
        count(more.into()),
        Value::List(found),
    ]))
}

fn delete(run: &mut Prelude<'_>) -> Result<Done, Error> {
    let [deadline, channel] = run.words else { return Err(WORDS) };
    if run.now_ms > number(deadline) {
        return Ok((run.word("late"), None));
    }
    let length = run.expire()?;
    if !run.is_alive(length > 0) {
        return Ok((run.word("missing"), None));
    }
    run.keys.streams.remove(run.stream);
    let generation = run.generation() + 1;
    let last = run.was.last;
    let record = Record { last, generation: Some(generation), ..Record::default() };
    *run.keys.records.make(run.record) = record;
    let ends = run.now.max(run.last().time) + ON_REQUEST_S;
    run.keys.records.end(run.record, Some(ends));
    let announced = format!("D {generation}").into_bytes();
    Ok((run.known(generation, length), Some((channel.clone(), announced))))
}

fn put(run: &mut Prelude<'_>) -> Result<Value, Error> {
    let has_messages = run.has_messages()?;
    if run.is_full {
        return Err(OUT_OF_MEMORY);
    }
    if !run.is_alive(has_messages) {
        let Record { last, kept, generation, .. } = run.was;
        run.was = Record { last, kept, generation, ..Record::default() };
    }
    let till = run.till(3);
    let record = Record { origin: Some(3), lives_until: Some(till), ..run.was.clone() };
    run.put_record(record, till.max(run.held()));
    let length = run.expire()?;
    Ok(run.known(run.generation(), length))
}

fn info(run: &mut Prelude<'_>) -> Result<Value, Error> {
    let length = run.expire()?;
    if !run.is_alive(length > 0) {
        return Ok(run.word("missing"));
    }
    Ok(run.known(run.generation(), length))
}

fn lease(run: &mut Prelude<'_>) -> Value {
    let origin = run.was.origin.unwrap_or(0);
    if origin == 0 {
        return run.word("missing");
    }
    let held = run.held().max(run.now + LEASE_S);
    let ago = run.words.first().map_or(0, |ago| number(ago));
    let asked = run.was.asked.unwrap_or(0).max(run.now.saturating_sub(ago));
    let mut record = Record { held: Some(held), asked: Some(asked), ..run.was.clone() };
    let till = run.till(origin);
    if origin > 1 {
        record.lives_until = Some(till);
    }
    run.put_record(record, held.max(till));
    run.answer([Value::Text(spelled(run.last())), count(run.generation())])
}

/// As XRANGE gives it.
pub(super) fn value(entry: &Entry) -> Value {
    let words = entry.words.iter().cloned().map(Value::Text).collect();
    Value::List(vec![Value::Text(spelled(entry.id)), Value::List(words)])
}
