//! Several: daemons that share one Redis, and clients that change between them.

use std::thread;

use serde_json::json;

use pushserver_testkit::{Answer, Client, Daemon, Random, Redis, Stream, merge, request, until};

use crate::BINARY;
use crate::crowd::{close_code, end_of_events};
use crate::scene::{ask, daemon, kept, settings, store, until_up};

/// Two daemons on one Redis.
fn two(redis: &Redis) -> [Daemon; 2] {
    [daemon(redis.address()), daemon(redis.address())]
}

/// What is published by each test: enough for many changes of the daemon.
const MESSAGES: u64 = 200;

/// Publishes the numbers from 1 on, each at a daemon by chance, and to one of these channels.
fn publish(daemons: &[Daemon; 2], channels: &[&str]) {
    let mut random = Random::new(7);
    for number in 1..=MESSAGES {
        let channel = random.pick(channels);
        let daemon = &daemons[random.index(2)];
        let answer = daemon.publish(channel, format!("{number} {channel}"));
        assert!(matches!(answer.status, 201 | 202), "{}", answer.head);
    }
}

#[test]
fn polls_that_change_the_daemon_get_all_once_and_in_order() {
    let redis = Redis::start(&[]);
    let daemons = two(&redis);
    thread::scope(|scope| {
        scope.spawn(|| publish(&daemons, &["a"]));
        for seed in 0..4 {
            let daemons = &daemons;
            scope.spawn(move || {
                let (mut random, mut cursor) = (Random::new(seed), String::new());
                let mut clients: Vec<Client> = daemons.iter().map(Daemon::connect).collect();
                for number in 1..=MESSAGES {
                    let client = &mut clients[random.index(2)];
                    let answer = client.send(request("GET /subscriber/a", &cursor)).answer();
                    assert_eq!(answer.header("X-Push-Gap"), None, "{}", answer.head);
                    assert_eq!(answer.text(), format!("{number} a"));
                    cursor = answer.cursor();
                }
            });
        }
    });
}

#[test]
fn polls_of_several_channels_that_change_the_daemon_get_all_once_and_in_order() {
    let redis = Redis::start(&[]);
    let daemons = two(&redis);
    thread::scope(|scope| {
        scope.spawn(|| publish(&daemons, &["a", "b", "c"]));
        for seed in 0..4 {
            let daemons = &daemons;
            scope.spawn(move || {
                let (mut random, mut cursor) = (Random::new(seed), String::new());
                let mut clients: Vec<Client> = daemons.iter().map(Daemon::connect).collect();
                for number in 1..=MESSAGES {
                    let client = &mut clients[random.index(2)];
                    let answer = client.send(request("GET /list/a,b,c", &cursor)).answer();
                    assert_eq!(answer.header("X-Push-Gap"), None, "{}", answer.head);
                    let channel = answer.header("X-Push-Channel").unwrap();
                    assert_eq!(answer.text(), format!("{number} {channel}"));
                    cursor = answer.cursor();
                }
            });
        }
    });
}

/// Streams that end behind some messages and go on at a daemon by chance.
#[track_caller]
fn assert_streams_go_on(channels: &[&str], path: &str, open: fn(Client, &str) -> Stream) {
    let redis = Redis::start(&[]);
    let daemons = two(&redis);
    thread::scope(|scope| {
        scope.spawn(|| publish(&daemons, channels));
        for seed in 0..4 {
            let daemons = &daemons;
            scope.spawn(move || {
                let (mut random, mut last) = (Random::new(seed), None::<String>);
                let mut number = 0;
                while number < MESSAGES {
                    let at = last.as_ref().map_or(String::new(), |last| {
                        format!("?last_event_id={}", last.replace(';', "%3B").replace('=', "%3D"))
                    });
                    let daemon = &daemons[random.index(2)];
                    let mut stream = open(daemon.connect(), &format!("{path}{at}"));
                    for _ in 0..1 + random.below(20).min(MESSAGES - number - 1) {
                        let message = stream.message();
                        number += 1;
                        assert_eq!((message.number(), message.gap()), (number, 0));
                        last = Some(message.id);
                    }
                }
            });
        }
    });
}

#[test]
fn event_streams_go_on_at_another_daemon() {
    assert_streams_go_on(&["a"], "/subscriber/a", Stream::events);
}

#[test]
fn event_streams_of_several_channels_go_on_at_another_daemon() {
    assert_streams_go_on(&["a", "b", "c"], "/list/a,b,c", Stream::events);
}

#[test]
fn websockets_go_on_at_another_daemon() {
    assert_streams_go_on(&["a"], "/subscriber/a", Stream::socket_with_ids);
}

#[test]
fn websockets_of_several_channels_go_on_at_another_daemon() {
    assert_streams_go_on(&["a", "b", "c"], "/list/a,b,c", Stream::socket_with_ids);
}

#[test]
fn a_publisher_is_told_whether_somebody_waits_anywhere() {
    let redis = Redis::start(&[]);
    let [one, two] = two(&redis);
    let answer = one.publish("a", "1");
    assert_eq!(answer.status, 202);
    let first = two.poll("a").answer();
    let mut held = two.ask(request("GET /subscriber/a", &first.cursor()));
    two.until_held("a", 1);
    let answer = one.publish("a", "2");
    assert_eq!(answer.status, 201, "another daemon listens");
    assert_eq!(held.answer().text(), "2");
    // A daemon listens for a while, and then nobody does.
    until("nobody listens", || one.publish("a", "3").status == 202);
    let info = ask(&one, "GET /publisher/a");
    assert!(info.text().contains("active subscribers: 0"), "{}", info.text());
}

#[test]
fn a_deletion_ends_who_waits_at_every_daemon() {
    let redis = Redis::start(&[]);
    let [one, two] = two(&redis);
    one.publish("a", "1");
    let cursor = one.poll("a").answer().cursor();
    let hold = |daemon: &Daemon| {
        let mut events = Stream::events(daemon.connect(), "/made/a");
        let mut socket = Stream::socket(daemon.connect(), "/made/a");
        events.message();
        socket.frame();
        let several = daemon.ask(request("GET /list/a,b", ""));
        let poll = daemon.ask(request("GET /made/a", &cursor));
        (poll, events, socket, several)
    };
    let mut all = [hold(&one), hold(&two)];
    for daemon in [&one, &two] {
        daemon.until_held("a", 3);
    }
    assert_eq!(ask(&one, "DELETE /publisher/a").status, 200);
    for (poll, events, socket, several) in &mut all {
        assert_eq!(poll.answer().status, 410);
        assert_eq!(end_of_events(events), "410 Gone");
        assert_eq!(close_code(socket), 4410);
        assert_eq!(several.answer().text(), "1");
    }
    for daemon in [&one, &two] {
        assert_eq!(ask(daemon, "GET /publisher/a").status, 404);
        assert_eq!(ask(daemon, "DELETE /publisher/a").status, 404);
        assert_eq!(daemon.ask(request("GET /made/a", &cursor)).answer().status, 404);
    }
    // The next channel of this name is another one, and what was deleted is no gap.
    assert!(two.publish("a", "2").status < 300);
    let answer = one.ask(request("GET /subscriber/a", &cursor)).answer();
    assert_eq!((answer.text(), answer.header("X-Push-Gap")), ("2", None));
}

#[test]
fn what_one_daemon_is_told_another_knows_at_once() {
    let redis = Redis::start(&[]);
    let [one, two] = two(&redis);
    for number in 0..100 {
        let channel = number.to_string();
        assert_eq!(ask(&one, &format!("PUT /publisher/{channel}")).status, 200);
        assert_eq!(ask(&two, &format!("GET /publisher/{channel}")).status, 200);
        assert_eq!(two.publish(&channel, "m").status, 202);
        assert_eq!(kept(&one, &channel), ["m"]);
        assert_eq!(ask(&one, &format!("DELETE /publisher/{channel}")).status, 200);
        assert_eq!(kept(&two, &channel), [""; 0]);
    }
}

#[test]
fn subscribers_begin_where_first_message_says() {
    let redis = Redis::start(&[]);
    let [one, two] = two(&redis);
    for number in 1..=4 {
        one.publish(if number == 2 { "b" } else { "a" }, number.to_string());
    }
    assert_eq!(two.poll("a").answer().text(), "1");
    for (path, first) in [("/last/a", 3), ("/lasts/a,b", 3), ("/lasts/b,a", 3), ("/last/b", 2)] {
        assert_eq!(ask(&two, &format!("GET {path}")).text(), first.to_string(), "{path}");
        let mut stream = Stream::events(two.connect(), path);
        assert_eq!(stream.message().number(), first, "{path}");
    }
    let mut newest = Stream::events(two.connect(), "/newest/a");
    let mut poll = two.ask(request("GET /newest/a", ""));
    two.until_held("a", 2);
    assert_eq!(one.publish("a", "5").status, 201);
    assert_eq!(newest.message().number(), 5);
    assert_eq!(poll.answer().text(), "5");
}

#[test]
fn a_gap_is_told_at_every_daemon() {
    let redis = Redis::start(&[]);
    let mut store = store(redis.address());
    store["max_messages"] = 3.into();
    let [one, two] = [(); 2].map(|()| Daemon::start(BINARY, settings(store.clone())));
    for daemon in [&one, &two] {
        until_up(daemon);
    }
    one.publish("a", "0");
    let first = two.poll("a").answer();
    let gap = |answer: &Answer| answer.header("X-Push-Gap").map(str::to_owned);
    for number in 1..=6 {
        one.publish("a", number.to_string());
    }
    for daemon in [&one, &two] {
        let answer = daemon.ask(request("GET /subscriber/a", &first.cursor())).answer();
        assert_eq!(answer.text(), "4");
        let gap = gap(&answer).expect("there is a gap");
        // Of other seconds it is not known how many.
        assert!(gap == "3" || gap == "unknown", "{gap}");
        let answer = daemon.ask(request("GET /subscriber/a", &answer.cursor())).answer();
        assert_eq!((answer.text(), answer.header("X-Push-Gap")), ("5", None));
    }
}

#[test]
fn messages_of_every_size_and_type_arrive_at_the_other_daemon() {
    let redis = Redis::start(&[]);
    let mut with = settings(store(redis.address()));
    merge(&mut with, json!({"limits": {"body_bytes": 8 << 20}}));
    let [one, two] = [(); 2].map(|()| Daemon::start(BINARY, with.clone()));
    for daemon in [&one, &two] {
        until_up(daemon);
    }
    let mut events = Stream::socket_with_ids(two.connect(), "/subscriber/a");
    let mut several = Stream::socket_with_ids(two.connect(), "/list/a,b");
    let mut random = Random::new(3);
    two.until_held("a", 2);
    let mut cursor = String::new();
    for length in [0, 1, 1000, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 1 << 20, 5 << 20] {
        let body: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        let mut held = two.ask(request("GET /subscriber/a", &cursor));
        two.until_held("a", 3);
        assert_eq!(one.publish("a", &body).status, 201);
        let answer = held.answer();
        assert!(answer.body == body, "{length}: {}", answer.head);
        cursor = answer.cursor();
        for stream in [&mut events, &mut several] {
            assert!(stream.message().body == body, "{length}");
        }
        // Of the mirror, and of Redis.
        for daemon in [&one, &two] {
            let all = kept_bytes(daemon);
            assert!(all.last().is_some_and(|last| *last == body), "{length}");
        }
    }
}

fn kept_bytes(daemon: &Daemon) -> Vec<Vec<u8>> {
    let (mut cursor, mut all) = (String::new(), Vec::new());
    loop {
        let answer = daemon.ask(request("GET /now/a", &cursor)).answer();
        if answer.status != 200 {
            return all;
        }
        cursor = answer.cursor();
        all.push(answer.body);
    }
}

#[test]
fn messages_that_are_not_stored_come_to_those_who_wait() {
    let redis = Redis::start(&[]);
    let [one, two] = two(&redis);
    let pass = |body: &str| one.connect().post("/passing/a", body.as_bytes()).answer().status;
    assert_eq!(pass("nobody waits"), 202);
    let mut held = [one.poll("a"), two.poll("a")];
    let mut stream = Stream::events(two.connect(), "/subscriber/a");
    one.until_held("a", 1);
    two.until_held("a", 2);
    let large = "x".repeat(300 << 10);
    assert_eq!(pass(&large), 201);
    for poll in &mut held {
        assert_eq!(poll.answer().text(), large);
    }
    assert_eq!(stream.message().body, large.as_bytes());
    assert_eq!(pass("small"), 201);
    assert_eq!(stream.message().body, b"small");
    assert_eq!(kept(&two, "a"), [""; 0]);
}

#[test]
fn the_scripts_of_a_server_may_be_flushed_at_any_time() {
    let redis = Redis::start(&[]);
    let [one, two] = two(&redis);
    for number in 1..=20 {
        let mut held = two.poll(&number.to_string());
        two.until_held(&number.to_string(), 1);
        redis.ask(&["SCRIPT", "FLUSH"]);
        assert_eq!(one.publish(&number.to_string(), "m").status, 201);
        assert_eq!(held.answer().text(), "m");
        redis.ask(&["SCRIPT", "FLUSH"]);
        assert_eq!(ask(&two, &format!("DELETE /publisher/{number}")).status, 200);
    }
}

#[test]
fn messages_expire_at_every_daemon() {
    let redis = Redis::start(&[]);
    let mut store = store(redis.address());
    merge(&mut store, json!({"message_timeout": 1, "channel_timeout": 60}));
    let all = [(); 2].map(|()| Daemon::start(BINARY, settings(store.clone())));
    all.iter().for_each(until_up);
    let [one, two] = &all;
    one.publish("a", "0");
    let first = two.poll("a").answer();
    one.publish("a", "1");
    // Of one daemon that has it in its mirror, and of one that has not.
    let mut stream = Stream::events(two.connect(), "/subscriber/a");
    assert_eq!(stream.message().number(), 0);
    assert_eq!(stream.message().number(), 1);
    for daemon in &all {
        until("they expire", || kept(daemon, "a").is_empty());
        // A mirror may have it for a moment longer.
        let behind = request("GET /now/a", &first.cursor());
        until("they expire here", || daemon.ask(&behind).answer().status == 304);
        let answer = ask(daemon, "GET /publisher/a");
        assert!(answer.text().contains("queued messages: 0"), "{}", answer.text());
    }
    let mut held =
        all.each_ref().map(|daemon| daemon.ask(request("GET /subscriber/a", &first.cursor())));
    one.until_held("a", 1);
    two.until_held("a", 2);
    assert_eq!(one.publish("a", "2").status, 201);
    for poll in &mut held {
        let answer = poll.answer();
        assert_eq!(answer.text(), "2");
        let gap = answer.header("X-Push-Gap").expect("the first cursor has missed one");
        assert!(gap == "1" || gap == "unknown", "{gap}");
    }
    let message = stream.message();
    assert_eq!((message.number(), message.gap()), (2, 0));
}
