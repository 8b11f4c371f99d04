//! What becomes of questions that Redis refuses: nothing of them is done.

use pushserver::store::redis::answers::{Opened, Refusal};
use pushserver::store::redis::options::Limits;
use pushserver::store::redis::scripts::{Begin, Calls, Command, Publish, Script};
use pushserver_testkit::Redis;

use crate::store::{FOREVER, Store, message};

const HOUR: Limits = Limits { message_timeout_s: 3600, channel_timeout_s: 3600, ..FOREVER };

/// A server that has reached its `maxmemory`, with a channel `a`.
fn full() -> (Redis, Store) {
    let redis = Redis::start(&[&["maxmemory-policy", "noeviction"]]);
    let mut store = Store::on(&redis, HOUR);
    store.publish(b"a", b"x");
    store.wait(b"waits");
    // Each script is known before there is no room for it.
    let _ = (store.put(b"p"), store.delete(b"p"), store.info(b"p"), store.lease(b"p", 0));
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    (redis, store)
}

#[test]
fn out_of_memory_is_said_to_the_publisher_and_to_nobody_else() {
    let (redis, mut store) = full();
    for limits in [HOUR, FOREVER, Limits { min_messages: 1, ..HOUR }] {
        store.limits = limits;
        for kept in [true, false] {
            let publish = Publish { store: kept, ..message(b"y") };
            assert_eq!(store.try_publish(b"a", publish), Err(Refusal::OutOfMemory));
        }
        assert_eq!(store.put(b"new"), Err(Refusal::OutOfMemory));
        assert_eq!(store.info(b"new"), Err(Refusal::Missing));
        assert_eq!(store.info(b"a").expect("it is there").messages, 1);
        assert_eq!(store.bodies(b"a"), ["x"]);
        let opened = store.open(b"a", Begin::Oldest).expect("it is there");
        assert!(opened.first.is_some());
        let name = format!("made by one that waits {limits:?}");
        assert_eq!(store.wait(name.as_bytes()).messages, 0);
        store.lease(b"waits", 0).expect("it is there");
    }
    assert_eq!(store.delete(b"a").expect("it is there").messages, 1);
    assert_eq!(store.info(b"a"), Err(Refusal::Missing));
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let published = store.publish(b"a", b"z");
    assert_eq!((published.messages, published.generation), (1, 1));
}

#[test]
fn a_deletion_where_there_is_no_memory_is_announced() {
    let (redis, mut store) = full();
    let mut listener = redis.connect();
    listener.ask(&["HELLO", "3"]);
    let mut bytes = Vec::new();
    Command::subscribe(&store.keys, b"a").write(&mut bytes);
    listener.send(&bytes);
    listener.receive();
    store.limits = FOREVER;
    store.delete(b"a").expect("it is there");
    let told = format!("{:?}", listener.receive());
    assert!(told.contains("[68, 32, 49]"), "D 1 and not {told}");
}

#[test]
fn a_replica_refuses_what_writes_and_says_so() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, HOUR);
    store.publish(b"a", b"x");
    let replica = redis.replica();
    store.connection = replica.connect();
    assert_eq!(store.try_publish(b"a", message(b"y")), Err(Refusal::ReadOnly));
    assert_eq!(store.put(b"a"), Err(Refusal::ReadOnly));
    assert_eq!(store.delete(b"a"), Err(Refusal::ReadOnly));
    assert_eq!(store.open(b"a", Begin::Oldest), Err(Refusal::ReadOnly));
    assert!(Refusal::ReadOnly.is_of_the_node());
}

#[test]
fn a_key_of_another_type_is_in_the_way_of_its_channel_alone() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, HOUR);
    for key in [store.keys.stream(b"a"), store.keys.record(b"a")] {
        redis.ask(&[&b"SET"[..], &key, b"1"]);
        assert_eq!(store.try_publish(b"a", message(b"x")), Err(Refusal::WrongType));
        assert_eq!(store.info(b"a"), Err(Refusal::WrongType));
        assert_eq!(store.delete(b"a"), Err(Refusal::WrongType));
        let command = store.calls().open(b"a", Begin::Oldest, true, true);
        assert_eq!(Opened::read(store.send(&command)), Err(Refusal::WrongType));
        assert!(store.try_publish(b"b", message(b"x")).is_ok());
        redis.ask(&[&b"DEL"[..], &key]);
        assert_eq!(store.info(b"a"), Err(Refusal::Missing), "nothing was written");
    }
    assert_eq!(store.publish(b"a", b"x").messages, 1);
}

#[test]
fn a_clock_that_is_no_clock_begins_anew() {
    let redis = Redis::start(&[]);
    let mut store = Store::on(&redis, HOUR);
    let clock = store.keys.clock();
    for text in ["", "x", "1", "-1:5", "99999999999999999999999:1"] {
        redis.ask(&[&b"SET"[..], &clock, text.as_bytes()]);
        if let Err(refusal) = store.try_publish(b"a", message(b"x")) {
            assert!(matches!(refusal, Refusal::Other(_)), "{text}: {refusal}");
        }
    }
    redis.ask(&[&b"DEL"[..], &clock]);
    redis.ask(&[&b"RPUSH"[..], &clock, b"x"]);
    assert_eq!(store.try_publish(b"a", message(b"x")), Err(Refusal::WrongType));
}

/// The line of the documentation.
const ACL: &str = "~t:* resetchannels &t:* +hello +auth +select +ping +role +time +evalsha +eval +script|load \
    +subscribe +unsubscribe +get +set +xadd +xtrim +xrange +xrevrange +xdel +xlen +hset +hmget \
    +hdel +hincrby +expireat +expire +persist +ttl +del +publish";

#[test]
fn the_documented_rights_suffice_and_reach_no_further() {
    let redis = Redis::start(&[]);
    let rights = ["ACL", "SETUSER", "push", "on", ">secret"].into_iter().chain(ACL.split(' '));
    redis.ask(&rights.collect::<Vec<_>>());
    let mut store = Store::on(&redis, HOUR);
    store.connection.ask(&["AUTH", "push", "secret"]);
    for limits in [HOUR, FOREVER, Limits { min_messages: 1, max_messages: 2, ..HOUR }] {
        store.limits = limits;
        for _ in 0..3 {
            store.publish(b"a", b"x");
        }
        store.wait(b"a");
        for begin in
            [Begin::Oldest, Begin::Newest, Begin::Last(1), Begin::AfterPlace(message(b"").least_id)]
        {
            store.open(b"a", begin).expect("it is there");
        }
        assert!(!store.bodies(b"a").is_empty());
        store.lease(b"a", 0).expect("it is there");
        store.put(b"a").expect("it is there");
        store.info(b"a").expect("it is there");
        store.delete(b"a").expect("it is there");
    }
    let mut bytes = Vec::new();
    Command::subscribe(&store.keys, b"a").write(&mut bytes);
    Command::unsubscribe(&store.keys, b"a").write(&mut bytes);
    store.connection.send(&bytes);
    for _ in 0..2 {
        let answer = store.connection.receive();
        assert!(!matches!(answer, pushserver::store::redis::resp::Value::Error(_)), "{answer:?}");
    }
    // Another prefix is another site's.
    let keys = pushserver::store::redis::keys::Keys::new(b"u:", 0);
    let command = Calls { keys: &keys, limits: HOUR }.publish(b"a", message(b"x"));
    let refused = pushserver::store::redis::answers::Published::read(store.send(&command));
    assert_eq!(refused, Err(Refusal::NoPermission));
}

#[test]
fn every_script_writes_its_keys_only() {
    // A script that names a key it was not given would fail on a cluster, and escape the rights.
    for script in Script::ALL {
        for line in script.body().lines().filter(|line| line.contains("redis.call")) {
            let calls =
                line.split("redis.call(").skip(1).filter(|call| !call.starts_with("'TIME'"));
            for call in
                calls.filter(|call| !call.starts_with("'PUBLISH'") && call.starts_with('\''))
            {
                let key = call.split(", ").nth(1).expect("a key").trim_end_matches([')', ' ']);
                let is_own = ["stream", "record", "clock"].iter().any(|own| key.starts_with(own));
                assert!(is_own, "{script:?}: {line}");
            }
        }
    }
}
