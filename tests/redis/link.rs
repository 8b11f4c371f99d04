//! The link on a real server: what becomes of it when that is refused, killed, frozen, restarted,
//! slow to load, or none at all.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use pushserver::store::redis::answers::{Published, Refusal};
use pushserver::store::redis::keys::Keys;
use pushserver::store::redis::link::{Event, NotSent};
use pushserver::store::redis::options::{Address, Credentials, Limits, Options, Server};
use pushserver::store::redis::reason::Reason;
use pushserver::store::redis::resp::Value;
use pushserver::store::redis::scripts::{Calls, Command, Publish};
use pushserver_testkit::Redis;
use pushserver_testkit::redis::Data;

use crate::store::{FOREVER, message};
use crate::wire::{Wire, options};

fn on(redis: &Redis) -> Options {
    options(Server::Node(redis.tcp()))
}

fn ping() -> Command {
    Command::plain(&[b"PING"])
}

#[test]
fn a_link_comes_up_on_tcp_and_on_a_unix_socket() {
    let redis = Redis::start(&[]);
    for server in [redis.tcp(), Address::Unix(redis.socket())] {
        let mut wire = Wire::new(options(Server::Node(server)));
        wire.until_up();
        let answer = wire.ask(Command::plain(&[b"CLIENT", b"GETNAME"]));
        assert_eq!(answer, Some(Value::Text(b"pushserver"[..].into())));
    }
}

#[test]
fn a_link_uses_its_database_and_its_user() {
    let redis = Redis::start(&[]);
    redis.ask(&["ACL", "SETUSER", "push", "on", ">secret", "~*", "&*", "+@all"]);
    redis.ask(&["CONFIG", "SET", "requirepass", "other"]);
    let credentials =
        Credentials { username: Some("push".into()), password: Some("secret".into()) };
    let mut wire = Wire::new(Options { credentials, database: 5, ..on(&redis) });
    wire.until_up();
    wire.ask(Command::plain(&[b"SET", b"x", b"1"]));
    let Some(Value::Text(whoami)) = wire.ask(Command::plain(&[b"ACL", b"WHOAMI"])) else {
        panic!("nobody")
    };
    assert_eq!(*whoami, *b"push");
    let mut connection = redis.connect();
    connection.ask(&["AUTH", "other"]);
    connection.ask(&["SELECT", "5"]);
    assert_eq!(connection.ask(&["GET", "x"]), Value::Text(b"1"[..].into()));
}

#[test]
fn a_wrong_password_is_dialled_once_a_second_until_it_is_right() {
    let redis = Redis::start(&[&["requirepass", "right"]]);
    let credentials = Credentials { username: None, password: Some("wrong".into()) };
    let mut wire = Wire::new(Options { credentials, ..on(&redis) });
    wire.until("three dials", |wire| wire.dials.len() == 3);
    assert!(wire.dials.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 1000), "{:?}", wire.dials);
    assert!(wire.events.is_empty());
    let mut connection = redis.connect();
    connection.ask(&["AUTH", "right"]);
    connection.ask(&["CONFIG", "SET", "requirepass", "wrong"]);
    wire.until_up();
}

#[test]
fn a_server_that_is_killed_is_found_again() {
    for data in [Data::Kept, Data::Lost] {
        let mut redis = Redis::start(&[]);
        let mut wire = Wire::new(on(&redis));
        wire.until_up();
        wire.ask(Command::plain(&[b"SET", b"x", b"1"]));
        redis.kill(data);
        assert!(matches!(wire.until_down(), Reason::Closed(_)));
        assert_eq!(wire.send(ping(), 1), Err(NotSent::Away));
        wire.until("it is refused", |wire| wire.dials.len() > 3);
        redis.revive();
        let back = Instant::now();
        wire.until_up();
        println!("up {} ms after it was back", back.elapsed().as_millis());
        let now_ms = wire.now_ms();
        assert!(wire.link.is_fresh(now_ms), "it is another run");
        let kept = wire.ask(Command::plain(&[b"GET", b"x"]));
        let expected = if data == Data::Kept { Value::Text(b"1"[..].into()) } else { Value::Null };
        assert_eq!(kept, Some(expected));
    }
}

#[test]
fn a_frozen_server_is_given_up_and_does_nothing_that_is_late() {
    let redis = Redis::start(&[]);
    let keys = Keys::new(b"", 0);
    let calls = Calls { keys: &keys, limits: FOREVER };
    let mut wire = Wire::new(on(&redis));
    wire.until_up();
    redis.signal("STOP");
    let deadline_ms = wire.link.deadline_ms(wire.now_ms()).expect("it was heard");
    let publish = Publish { deadline_ms, ..message(b"late") };
    let sent = Instant::now();
    wire.send(calls.publish(b"a", publish), 1).expect("it is up");
    assert_eq!(wire.until_down(), Reason::Silent("command"));
    let took = sent.elapsed();
    assert!(took >= Duration::from_millis(1499), "{took:?}");
    assert_eq!(wire.send(ping(), 1), Err(NotSent::Away));
    redis.signal("CONT");
    let back = Instant::now();
    wire.until_up();
    println!("given up after {took:?}, up {:?} after it went on", back.elapsed());
    let answer = wire.ask(calls.info(b"a")).expect("an answer");
    let known = pushserver::store::redis::answers::Known::read(answer);
    assert_eq!(known, Err(Refusal::Missing), "what was given up is never published");
    let deadline_ms = wire.link.deadline_ms(wire.now_ms()).expect("it was heard");
    let publish = Publish { deadline_ms, ..message(b"in time") };
    wire.publish(calls.publish(b"a", publish));
}

#[test]
fn an_idle_link_notices_a_frozen_server_by_itself() {
    let redis = Redis::start(&[]);
    let mut wire = Wire::new(on(&redis));
    wire.until_up();
    redis.signal("STOP");
    assert_eq!(wire.until_down(), Reason::Silent("command"));
    redis.signal("CONT");
    wire.until_up();
}

#[test]
fn a_replica_is_no_node_to_talk_to_until_it_is_a_master() {
    let redis = Redis::start(&[]);
    let replica = redis.replica();
    let mut wire = Wire::new(on(&replica));
    wire.until("it is left again and again", |wire| wire.dials.len() > 3);
    assert!(wire.events.is_empty());
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    wire.until_up();
    // A connection stays when its node is a master no more: the next command shows it.
    let (ip, port) = (redis.address().ip().to_string(), redis.address().port().to_string());
    replica.ask(&["REPLICAOF", &ip, &port]);
    let answer = wire.ask(Command::plain(&[b"SET", b"x", b"1"]));
    if let Some(answer) = answer {
        assert!(matches!(answer, Value::Error(error) if Refusal::of(&error) == Refusal::ReadOnly));
    }
    wire.until_down();
}

#[test]
fn a_script_that_does_not_end_keeps_the_link_down_and_no_longer() {
    let redis = Redis::start(&[&["lua-time-limit", "10"]]);
    let mut busy = redis.connect();
    let mut bytes = Vec::new();
    Command::plain(&[b"EVAL", b"while true do end", b"0"]).write(&mut bytes);
    busy.send(&bytes);
    let mut wire = Wire::new(on(&redis));
    wire.until("it is refused", |wire| wire.dials.len() > 3);
    assert!(wire.events.is_empty());
    redis.ask(&["SCRIPT", "KILL"]);
    wire.until_up();
}

#[test]
fn rubbish_instead_of_redis_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let address = listener.local_addr().expect("it is bound");
    let node = Address::Tcp(address.ip().to_string(), address.port());
    let mut wire = Wire::new(options(Server::Node(node)));
    listener.set_nonblocking(true).expect("it is a socket");
    let mut served = 0;
    wire.until("it is dropped again and again", |_| {
        if let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            served += 1;
        }
        served > 3
    });
    assert!(wire.events.is_empty());
}

#[test]
fn subscriptions_bring_what_is_announced() {
    let redis = Redis::start(&[]);
    let keys = Keys::new(b"", 0);
    let calls = Calls { keys: &keys, limits: Limits::new((0, 0), 60_000, 0) };
    let mut wire = Wire::new(on(&redis));
    wire.until_up();
    let now_ms = wire.now_ms();
    wire.link.send_unanswered(&Command::subscribe(&keys, b"a"), now_ms);
    let published = wire.publish(calls.publish(b"a", message(b"x")));
    assert_eq!(published.receivers, 1);
    wire.until("the announcement", |wire| {
        wire.events.iter().any(|event| matches!(event, Event::Push(..)))
    });
    let now_ms = wire.now_ms();
    wire.link.send_unanswered(&Command::unsubscribe(&keys, b"a"), now_ms);
    let published = wire.publish(calls.publish(b"a", message(b"x")));
    assert_eq!(published.receivers, 0);
}

#[test]
fn a_subscription_without_the_right_ends_the_connection() {
    let redis = Redis::start(&[]);
    redis.ask(&["ACL", "SETUSER", "default", "resetchannels", "&allowed*"]);
    let mut wire = Wire::new(on(&redis));
    wire.until_up();
    let now_ms = wire.now_ms();
    wire.link.send_unanswered(&Command::subscribe(&Keys::new(b"", 0), b"a"), now_ms);
    assert!(matches!(wire.until_down(), Reason::Rights(_)));
}

#[test]
fn scripts_that_were_flushed_are_sent_again_in_a_pipeline() {
    let redis = Redis::start(&[]);
    let keys = Keys::new(b"", 0);
    let calls = Calls { keys: &keys, limits: FOREVER };
    let mut wire = Wire::new(on(&redis));
    wire.until_up();
    for round in 0..3 {
        redis.ask(&["SCRIPT", "FLUSH"]);
        for key in 0..100 {
            let body = format!("{round}:{key}");
            wire.send(calls.publish(b"a", message(body.as_bytes())), key).expect("it is up");
        }
        wire.until("all are answered", |wire| wire.events.len() >= 100 + usize::from(round == 0));
        let replies = wire.events.drain(..).filter_map(|event| match event {
            Event::Reply(_, value) => Some(Published::read(value).expect("it is published").id),
            Event::Published(_, published) => Some(published.id),
            _ => None,
        });
        assert_eq!(replies.collect::<std::collections::BTreeSet<_>>().len(), 100);
    }
}
