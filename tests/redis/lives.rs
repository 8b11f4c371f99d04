//! How long messages and channels live, and that their keys end with them.

use pushserver::message::MessageId;
use pushserver::store::redis::answers::Refusal;
use pushserver::store::redis::options::Limits;
use pushserver::store::redis::scripts::{Begin, Publish};
use pushserver_testkit::{Redis, until};

use crate::store::{FOREVER, Store, message};

/// What a message that was published now has left, give or take the second of the test.
#[track_caller]
fn assert_about(left: i64, expected: i64) {
    assert!((expected - 3..=expected + 1).contains(&left), "{left} instead of {expected}");
}

#[test]
fn the_newest_messages_stay() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, Limits { max_messages: 3, ..FOREVER });
    let published: Vec<_> = (0..5_u8).map(|number| store.publish(b"a", &[b'0' + number])).collect();
    let counts: Vec<_> = published.iter().map(|published| published.messages).collect();
    assert_eq!(counts, [1, 2, 3, 3, 3]);
    assert_eq!(store.bodies(b"a"), ["2", "3", "4"]);
    let oldest = store.first(b"a", Begin::Oldest).expect("it is there");
    assert_eq!(oldest.before, published[1].id, "a cursor before this one has a gap");
    let known = store.info(b"a").expect("it is there");
    assert_eq!((known.messages, known.last), (3, published[4].id));
}

#[test]
fn a_message_expires_with_the_second_of_its_id() {
    let redis = Redis::start(&[]);
    let limits = Limits { message_timeout_s: 1, channel_timeout_s: 1, ..FOREVER };
    let mut store = Store::on(&redis, limits);
    let first = store.publish(b"a", b"1");
    // Not before its second and one more are over, and then for everybody.
    until("it expires", || store.info(b"a").map(|known| known.messages) != Ok(1));
    assert!(store.now() > first.id.time + 1);
    assert!(store.bodies(b"a").is_empty());
    let second = store.publish(b"a", b"2");
    assert!(second.id > first.id);
    assert_eq!((second.last, second.messages), (first.id, 1));
    assert_eq!(second.kept, first.id, "who has not seen the first has a gap");
    until("the channel ends", || store.info(b"a") == Err(Refusal::Missing));
    assert!(store.now() > second.id.time + 2);
    // It has ended as if it had never been, but ids go on.
    let publish = Publish { create: false, ..message(b"") };
    assert_eq!(store.try_publish(b"a", publish), Err(Refusal::Missing));
    assert_eq!(store.open(b"a", Begin::Oldest), Err(Refusal::Missing));
    assert!(store.publish(b"a", b"3").id > second.id);
}

#[test]
fn a_channel_ends_channel_timeout_behind_its_last_message() {
    let redis = Redis::start(&[]);
    let limits = Limits { message_timeout_s: 1, channel_timeout_s: 2, ..FOREVER };
    let mut store = Store::on(&redis, limits);
    let published = store.publish(b"a", b"1");
    until("the channel ends", || store.info(b"a") == Err(Refusal::Missing));
    let ended = store.now();
    assert!(ended > published.id.time + 3, "{ended}");
    let passing = Publish { store: false, ..message(b"") };
    let published = store.try_publish(b"b", passing).expect("it is published");
    assert_eq!(published.messages, 0);
    until("the channel ends", || store.info(b"b") == Err(Refusal::Missing));
    assert!(store.now() > published.id.time + 2);
}

#[test]
fn the_least_messages_stay_for_ever() {
    let redis = Redis::start(&[]);
    let limits = Limits { min_messages: 2, message_timeout_s: 1, ..FOREVER };
    let mut store = Store::on(&redis, limits);
    for body in [b"1", b"2", b"3", b"4"] {
        store.publish(b"a", body);
    }
    until("two have expired", || store.info(b"a").expect("it is there").messages == 2);
    assert_eq!(store.bodies(b"a"), ["3", "4"]);
    store.publish(b"a", b"5");
    assert_eq!(store.bodies(b"a"), ["4", "5"], "one goes with each that comes, in its place");
    assert_eq!(store.ttls(b"a"), (-1, -1));
}

#[test]
fn every_key_has_its_end_but_where_messages_have_none() {
    let redis = Redis::start(&[]);
    let limits = Limits { message_timeout_s: 100, channel_timeout_s: 50, ..FOREVER };
    let mut store = Store::on(&redis, limits);
    store.publish(b"post", b"x");
    let (stream, record) = store.ttls(b"post");
    assert_about(stream, 101);
    assert_about(record, 210);
    store.wait(b"get");
    let (stream, record) = store.ttls(b"get");
    assert_eq!(stream, -2);
    assert_about(record, 150);
    store.put(b"put").expect("it is made");
    assert_about(store.ttls(b"put").1, 3660);
    // None of these shortens it.
    store.publish(b"put", b"x");
    store.wait(b"put");
    store.lease(b"put", 0).expect("it is there");
    assert_about(store.ttls(b"put").1, 3760);
    let passing = Publish { store: false, ..message(b"") };
    store.try_publish(b"passing", passing).expect("it is published");
    assert_about(store.ttls(b"passing").1, 110);
    store.delete(b"post").expect("it is there");
    assert_eq!(store.ttls(b"post").0, -2);
    assert_about(store.ttls(b"post").1, 3600);
    let _ = store.lease(b"post", 0);
    let clock = store.keys.clock();
    assert_eq!(store.ttl(&clock), -1);
    // For ever, and back again: the settings of a moment count.
    store.limits = FOREVER;
    store.publish(b"post", b"x");
    assert_eq!(store.ttls(b"post"), (-1, -1));
    store.try_publish(b"post", passing).expect("it is published");
    store.wait(b"post");
    assert_eq!(store.ttls(b"post"), (-1, -1));
    store.limits = limits;
    store.publish(b"post", b"x");
    assert_about(store.ttls(b"post").0, 101);
    assert_about(store.ttls(b"post").1, 210);
}

#[test]
fn an_id_ahead_of_the_clock_keeps_its_keys_until_it_has_passed() {
    let redis = Redis::start(&[]);
    let limits = Limits { message_timeout_s: 10, channel_timeout_s: 0, ..FOREVER };
    let mut store = Store::on(&redis, limits);
    let ahead = store.now() + 1000;
    let publish = Publish { least_id: MessageId { time: ahead, tag: 0 }, ..message(b"") };
    store.try_publish(b"a", publish).expect("it is published");
    let (stream, record) = store.ttls(b"a");
    assert_about(stream, 1011);
    assert_about(record, 1071);
    store.delete(b"a").expect("it is there");
    assert_about(store.ttls(b"a").1, 4600);
}

#[test]
fn a_channel_is_made_by_those_who_may() {
    let redis = Redis::start(&[]);
    let limits = Limits { message_timeout_s: 60, channel_timeout_s: 60, ..FOREVER };
    let mut store = Store::on(&redis, limits);
    let unasked = Publish { create: false, ..message(b"") };
    assert_eq!(store.try_publish(b"a", unasked), Err(Refusal::Missing));
    assert_eq!(store.open(b"a", Begin::Oldest), Err(Refusal::Missing));
    let polls = store.calls().open(b"a", Begin::Oldest, true, false);
    let answer = pushserver::store::redis::answers::Opened::read(store.send(&polls));
    assert_eq!(answer, Err(Refusal::Missing), "for one that does not wait none is made");
    assert_eq!(store.delete(b"a"), Err(Refusal::Missing));
    assert_eq!(store.lease(b"a", 0), Err(Refusal::Missing));
    assert_eq!(store.number_of_keys(), 0, "and nothing is left of all that");
    let opened = store.wait(b"a");
    assert!(!opened.is_published && opened.first.is_none());
    let known = store.info(b"a").expect("somebody waits");
    assert_eq!((known.messages, known.asked_ago_s, known.is_published), (0, Some(0), false));
    assert!(store.try_publish(b"a", unasked).is_ok());
    store.delete(b"a").expect("it is there");
    let known = store.put(b"a").expect("it is made");
    assert_eq!((known.messages, known.asked_ago_s, known.is_published), (0, None, false));
    assert_eq!(known.generation, 1);
    assert!(known.last > MessageId::default(), "ids go on");
    assert!(store.try_publish(b"a", unasked).is_ok());
}

#[test]
fn a_lease_keeps_the_time_of_the_last_request() {
    let redis = Redis::start(&[]);
    let limits = Limits { message_timeout_s: 60, channel_timeout_s: 60, ..FOREVER };
    let mut store = Store::on(&redis, limits);
    store.publish(b"a", b"x");
    assert_eq!(store.info(b"a").expect("it is there").asked_ago_s, None);
    store.lease(b"a", 25).expect("it is there");
    let ago = store.info(b"a").expect("it is there").asked_ago_s.expect("one has asked");
    assert!((25..=27).contains(&ago), "{ago}");
    // Of another daemon, whose subscriber asked before.
    store.lease(b"a", 50).expect("it is there");
    let ago = store.info(b"a").expect("it is there").asked_ago_s.expect("one has asked");
    assert!((25..=28).contains(&ago), "{ago}");
    assert!(store.publish(b"a", b"y").asked_ago_s.is_some());
}
