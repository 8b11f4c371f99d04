//! Ids, places, announcements: what a publisher and a subscriber get of each other.

use std::thread;

use pushserver::message::{Content, MessageId};
use pushserver::store::redis::announcement::{Announced, Announcement};
use pushserver::store::redis::answers::{Published, Refusal, time_ms};
use pushserver::store::redis::resp::Value;
use pushserver::store::redis::scripts::{ANNOUNCED_BYTES_MAX, Begin, Command, Publish};
use pushserver_testkit::Redis;
use pushserver_testkit::redis::{Connection, Data};

use crate::store::{FOREVER, Store, id, message};

/// A connection that listens to a channel.
fn listen(redis: &Redis, store: &Store, name: &[u8]) -> Connection {
    let mut connection = redis.connect();
    connection.ask(&["HELLO", "3"]);
    let mut bytes = Vec::new();
    Command::subscribe(&store.keys, name).write(&mut bytes);
    connection.send(&bytes);
    assert!(matches!(connection.receive(), Value::Push(_)));
    connection
}

fn announcement(connection: &mut Connection) -> Announcement {
    let Value::Push(parts) = connection.receive() else { panic!("no push") };
    let [Value::Text(kind), Value::Text(_), Value::Text(payload)] = &parts[..] else {
        panic!("{parts:?}")
    };
    assert_eq!(**kind, *b"message");
    Announcement::read(payload).unwrap_or_else(|| panic!("{}", payload.escape_ascii()))
}

fn announced(connection: &mut Connection) -> Announced {
    match announcement(connection) {
        Announcement::Published(announced) => *announced,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ids_rise_over_messages_kept_or_not_and_deletion() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, FOREVER);
    let mut last = MessageId::default();
    for round in 0..40 {
        let publish = Publish { store: round % 3 != 0, ..message(b"x") };
        let published = store.try_publish(b"a", publish).expect("it is published");
        assert!(published.id > last, "{:?} after {last:?}", published.id);
        assert_eq!(published.last, last);
        last = published.id;
        if round % 7 == 6 {
            let deleted = store.delete(b"a").expect("it is there");
            assert_eq!((deleted.last, deleted.generation), (last, round / 7 + 1));
            assert_eq!(store.info(b"a"), Err(Refusal::Missing));
        }
    }
}

#[test]
fn ids_and_places_never_repeat_where_the_clock_was_ahead() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, FOREVER);
    let ahead = store.now() + 1000;
    // Known to a daemon, and lost by Redis: as a clock that was set back, or a failover.
    let publish =
        Publish { least_id: id(ahead, 7), least_place: id(ahead, 20), ..message(b"first") };
    let first = store.try_publish(b"a", publish).expect("it is published");
    assert_eq!((first.id, first.number), (id(ahead, 8), 21));
    let second = store.publish(b"a", b"second");
    assert_eq!((second.id, second.number), (id(ahead, 9), 22));
    let other = store.publish(b"b", b"other");
    assert_eq!((other.id, other.number), (id(ahead, 0), 23));
    store.delete(b"a").expect("it is there");
    assert_eq!(store.publish(b"a", b"third").id, id(ahead, 10));
    // A floor that lies behind changes nothing.
    let publish = Publish { least_id: id(ahead, 7), least_place: id(5, 5), ..message(b"") };
    let fourth = store.try_publish(b"a", publish).expect("it is published");
    assert_eq!((fourth.id, fourth.number), (id(ahead, 11), 25));
}

#[test]
fn a_second_with_no_tags_or_numbers_left_is_followed_by_the_next() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, FOREVER);
    let ahead = store.now() + 1000;
    let publish = Publish { least_id: id(ahead, u32::MAX), ..message(b"") };
    assert_eq!(store.try_publish(b"a", publish).expect("it is published").id, id(ahead + 1, 0));
    let publish = Publish { least_place: id(ahead + 9, u32::MAX), ..message(b"") };
    let next = store.try_publish(b"b", publish).expect("it is published");
    assert_eq!((next.id, next.number), (id(ahead + 10, 0), 0));
}

#[test]
fn two_that_publish_at_once_get_different_ids_and_places() {
    let redis = Redis::start(&[]);
    let publishers: Vec<_> = (0..4)
        .map(|publisher| {
            let mut store = Store::on(&redis, FOREVER);
            thread::spawn(move || {
                let name: &[u8] = if publisher % 2 == 0 { b"even" } else { b"odd" };
                let one = |_| store.publish(name, b"x");
                (publisher % 2, (0..500).map(one).collect::<Vec<Published>>())
            })
        })
        .collect();
    let all: Vec<_> = publishers.into_iter().map(|publisher| publisher.join().unwrap()).collect();
    let mut places: Vec<_> = all
        .iter()
        .flat_map(|(_, published)| published.iter().map(|one| (one.id.time, one.number)))
        .collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 2000, "each has a place of its own");
    for channel in 0..2 {
        let of = all.iter().filter(|(of, _)| *of == channel);
        let mut ids: Vec<_> =
            of.flat_map(|(_, one)| one.iter().map(|one| (one.last, one.id))).collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0].1 == pair[1].0), "each follows the one before");
        assert_eq!(ids.len(), 1000);
    }
}

#[test]
fn a_message_is_announced_as_it_was_published() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, FOREVER);
    // Braces would end the hash tag; names are any bytes.
    let name = b"3:a{b}%\0\xff\r\n";
    let mut listener = listen(&redis, &store, name);
    let content = Content {
        content_type: Some(&b"text/plain; a=\0"[..]),
        event: Some(&b""[..]),
        body: &b"a\nb\0\xff"[..],
    };
    let publish = Publish { content, ..message(b"") };
    let published = store.try_publish(name, publish).expect("it is published");
    assert_eq!(published.receivers, 1);
    let first = announced(&mut listener);
    assert_eq!((first.id, first.number), (published.id, published.number));
    assert_eq!((first.last, first.kept, first.generation), Default::default());
    assert!(first.is_stored);
    assert_eq!(first.content, Some(content.into()));
    // One that is not kept.
    let publish = Publish { store: false, ..message(b"passing") };
    let passing = store.try_publish(name, publish).expect("it is published");
    let second = announced(&mut listener);
    assert_eq!((second.last, second.kept, second.is_stored), (first.id, first.id, false));
    assert_eq!(second.content.expect("it is whole").body, b"passing"[..].into());
    store.delete(name).expect("it is there");
    assert_eq!(announcement(&mut listener), Announcement::Deleted(1));
    store.publish(name, b"third");
    let third = announced(&mut listener);
    let expected = (passing.id, MessageId::default(), 1);
    assert_eq!((third.last, third.kept, third.generation), expected, "what was deleted is no gap");
}

#[test]
fn a_large_body_is_announced_without_and_read_from_the_store() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, FOREVER);
    let mut listener = listen(&redis, &store, b"a");
    let body = vec![b'x'; ANNOUNCED_BYTES_MAX + 1];
    store.publish(b"a", &body[1..]);
    let before = announced(&mut listener);
    assert!(before.content.expect("it is whole").body.len() == ANNOUNCED_BYTES_MAX);
    store.publish(b"a", &body);
    let large = announced(&mut listener);
    assert_eq!((large.content, large.last), (None, before.id));
    let entry = store.first(b"a", Begin::After(before.id)).expect("it is there");
    assert_eq!(
        (entry.id, entry.content.body.len(), entry.before),
        (large.id, body.len(), before.id)
    );
    // Who does not find it there must get it at once.
    let passing = Publish { store: false, ..message(&body) };
    store.try_publish(b"a", passing).expect("it is published");
    assert!(announced(&mut listener).content.is_some());
}

#[test]
fn what_is_read_is_what_was_published() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, FOREVER);
    let full =
        Content { content_type: Some(&b"a/b"[..]), event: Some(&b"\xff"[..]), body: &b""[..] };
    store.try_publish(b"a", Publish { content: full, ..message(b"") }).expect("it is published");
    let plain = store.publish(b"a", b"plain");
    let first = store.first(b"a", Begin::Oldest).expect("it is there");
    assert_eq!(first.content, full.into());
    assert_eq!(first.before, MessageId::default());
    let second = store.first(b"a", Begin::After(first.id)).expect("it is there");
    assert_eq!((second.id, second.before, second.number), (plain.id, first.id, plain.number));
    assert_eq!(second.content, message(b"plain").content.into());
    assert_eq!(store.first(b"a", Begin::After(second.id)), None);
    assert_eq!(store.first(b"a", Begin::After(id(u64::MAX, u32::MAX))), None);
}

#[test]
fn subscribers_begin_where_they_say() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, FOREVER);
    let ahead = store.now() + 1000;
    let publish = Publish { least_id: id(ahead, 0), least_place: id(ahead, 0), ..message(b"0") };
    let mut all = vec![store.try_publish(b"a", publish).expect("it is published")];
    for number in 1..60 {
        store.publish(b"other", b"between");
        all.push(store.publish(b"a", number.to_string().as_bytes()));
    }
    let mut found = |begin| store.first(b"a", begin).map(|entry| entry.id);
    assert_eq!(found(Begin::Oldest), Some(all[0].id));
    assert_eq!(found(Begin::Newest), None);
    assert_eq!(found(Begin::Last(1)), Some(all[59].id));
    assert_eq!(found(Begin::Last(25)), Some(all[35].id));
    assert_eq!(found(Begin::Last(60)), Some(all[0].id));
    assert_eq!(found(Begin::Last(u32::MAX)), Some(all[0].id));
    for at in [0, 1, 18, 19, 20, 21, 39, 40, 58] {
        let place = |number| id(all[at].id.time, number);
        assert_eq!(found(Begin::AfterPlace(place(all[at].number))), Some(all[at + 1].id));
        // Between two of this channel there is one of the other.
        assert_eq!(found(Begin::AfterPlace(place(all[at].number + 1))), Some(all[at + 1].id));
        assert_eq!(found(Begin::AfterPlace(place(all[at + 1].number - 2))), Some(all[at + 1].id));
    }
    assert_eq!(found(Begin::AfterPlace(id(ahead, all[59].number))), None);
    assert_eq!(found(Begin::AfterPlace(id(ahead + 1, 0))), None);
    assert_eq!(found(Begin::AfterPlace(id(5, 5))), Some(all[0].id));
    let opened = store.open(b"a", Begin::Newest).expect("it is there");
    assert_eq!((opened.last, opened.messages, opened.is_published), (all[59].id, 60, true));
    assert_eq!(opened.newest_place, id(ahead, all[59].number));
}

#[test]
fn a_subscriber_is_told_whether_what_it_begins_with_is_the_oldest_and_where_the_newest_are() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, FOREVER);
    let all: Vec<_> = (0..4)
        .map(|_| {
            store.publish(b"other", b"between");
            store.publish(b"a", b"x")
        })
        .collect();
    let mut open = |begin| store.open(b"a", begin).expect("there is a channel");
    assert!(open(Begin::Oldest).is_oldest);
    assert!(open(Begin::After(MessageId::default())).is_oldest);
    assert!(!open(Begin::After(all[0].id)).is_oldest);
    assert!(!open(Begin::AfterPlace(id(all[1].id.time, all[1].number))).is_oldest);
    assert!(open(Begin::AfterPlace(MessageId::default())).is_oldest);
    let places: Vec<_> = all.iter().rev().map(|one| id(one.id.time, one.number)).collect();
    let newest = open(Begin::Last(3));
    assert_eq!((newest.places, newest.is_oldest), (places[..3].to_vec(), false));
    let newest = open(Begin::Last(9));
    assert_eq!((newest.places, newest.is_oldest), (places, true));
    assert_eq!(open(Begin::Newest).places, []);
}

#[test]
fn a_sync_gives_what_came_in_bounded_pieces() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, FOREVER);
    let all: Vec<_> =
        (0..25).map(|number: u32| store.publish(b"a", number.to_string().as_bytes()).id).collect();
    let ids = |synced: &pushserver::store::redis::answers::Synced| {
        synced.entries.iter().map(|entry| entry.id).collect::<Vec<_>>()
    };
    let whole = store.sync(b"a", MessageId::default(), (200, 1 << 20));
    assert_eq!((ids(&whole), whole.more, whole.is_alive), (all.clone(), false, true));
    assert_eq!((whole.last, whole.kept, whole.generation), (all[24], all[24], 0));
    for most in [1, 9, 10, 11, 24] {
        let part = store.sync(b"a", MessageId::default(), (most, 1 << 20));
        assert_eq!((ids(&part), part.more), (all[..most as usize].to_vec(), true));
    }
    let rest = store.sync(b"a", all[19], (5, 1 << 20));
    assert_eq!((ids(&rest), rest.more), (all[20..].to_vec(), false));
    store.publish(b"b", &vec![b'x'; 5000]);
    store.publish(b"b", &vec![b'x'; 5000]);
    let one = store.sync(b"b", MessageId::default(), (200, 100));
    assert_eq!((one.entries.len(), one.more), (1, true), "at least one, however large");
    let nothing = store.sync(b"none", id(7, 7), (200, 100));
    assert_eq!((nothing.last, nothing.is_alive, nothing.entries.len()), (id(0, 0), false, 0));
}

#[test]
fn what_comes_too_late_is_not_done() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, FOREVER);
    let command = store.calls().info(b"a");
    let now_ms = time_ms(&store.send(&command)).expect("every script says the time");
    let seconds = store.now();
    assert!((now_ms / 1000..=now_ms / 1000 + 2).contains(&seconds));
    let publish = Publish { deadline_ms: now_ms - 1, ..message(b"late") };
    assert_eq!(store.try_publish(b"a", publish), Err(Refusal::Late));
    assert_eq!(store.info(b"a"), Err(Refusal::Missing));
    let publish = Publish { deadline_ms: now_ms + 60_000, ..message(b"in time") };
    assert!(store.try_publish(b"a", publish).is_ok());
    let command = store.calls().delete(b"a", now_ms - 1);
    let deleted = pushserver::store::redis::answers::Known::read(store.send(&command));
    assert_eq!(deleted, Err(Refusal::Late));
    assert_eq!(store.bodies(b"a"), ["in time"]);
}

#[test]
fn a_frozen_server_that_wakes_up_publishes_nothing_that_is_late() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, FOREVER);
    store.publish(b"a", b"before");
    let command = store.calls().info(b"a");
    let now_ms = time_ms(&store.send(&command)).expect("the time");
    redis.signal("STOP");
    let mut bytes = Vec::new();
    let publish = Publish { deadline_ms: now_ms + 300, ..message(b"late") };
    store.calls().publish(b"a", publish).write(&mut bytes);
    store.connection.send(&bytes);
    let begin = std::time::Instant::now();
    pushserver_testkit::until("the deadline has passed", || begin.elapsed().as_millis() > 400);
    redis.signal("CONT");
    assert_eq!(Published::read(store.connection.receive()), Err(Refusal::Late));
    assert_eq!(store.bodies(b"a"), ["before"]);
}

#[test]
fn scripts_that_redis_has_forgotten_are_sent_again() {
    let mut redis = Redis::start(&[]);
    let mut store = Store::on(&redis, FOREVER);
    let before = store.publish(b"a", b"1");
    redis.ask(&["SCRIPT", "FLUSH"]);
    let after = store.publish(b"a", b"2");
    assert_eq!(after.last, before.id);
    redis.restart(Data::Kept);
    store.connection = redis.connect();
    store.publish(b"a", b"3");
    assert_eq!(store.bodies(b"a"), ["1", "2", "3"]);
    redis.restart(Data::Lost);
    store.connection = redis.connect();
    let publish = Publish { least_id: after.id, ..message(b"4") };
    let anew = store.try_publish(b"a", publish).expect("it is published");
    assert!(anew.id > after.id);
    assert_eq!((anew.last, anew.generation, anew.messages), (id(0, 0), 0, 1));
    assert_eq!(store.bodies(b"a"), ["4"]);
}
