//! Streams whose clients do not read, fall silent or go: what they miss is told, they hold up
//! nobody, and their end is found out. Streams at a stop, at a reload and at the limit of
//! connections.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use pushserver_testkit::transcripts::part::masked;
use pushserver_testkit::{
    Backend, Client, Daemon, Manner, Stream, merge, settings, subscriber, until,
};

use crate::BINARY;

/// More than the buffers of a connection take: the first that the daemon has no room for makes a
/// stream slow.
const MESSAGES: u64 = 400;
const MESSAGE_BYTES: usize = 40_000;

/// How a stream whose messages have ids is opened.
type Open = fn(Client, &str) -> Stream;

const KINDS: [Open; 2] = [Stream::events, Stream::socket_with_ids];

/// Publishes these numbers, each in a long message; what `then` does comes before the next.
fn publish(daemon: &Daemon, path: &str, numbers: std::ops::Range<u64>, mut then: impl FnMut(u64)) {
    let mut publisher = daemon.connect();
    for number in numbers {
        let body = format!("{number} {}", "x".repeat(MESSAGE_BYTES));
        assert!(matches!(publisher.post(path, body.as_bytes()).answer().status, 201 | 202));
        then(number);
    }
}

fn with_unkept(max_messages: u64) -> Value {
    let mut settings = subscriber(json!({"first_message": "newest"}));
    settings["store"] = json!({"max_messages": max_messages});
    // However long a busy machine takes.
    settings["limits"] = json!({"write_timeout": 3600});
    let unkept = json!({"type": "publisher", "prefix": "/unkept/", "store_messages": false});
    settings["locations"].as_array_mut().unwrap().push(unkept);
    settings
}

#[test]
#[cfg(target_os = "linux")]
fn a_stream_that_does_not_read_catches_up_and_is_told_each_gap() {
    for open in KINDS {
        for path in ["/publisher/a", "/unkept/a"] {
            let daemon = Daemon::start(BINARY, with_unkept(10));
            let mut slow = open(Client::narrow(daemon.address()), "/subscriber/a");
            let mut fast = open(daemon.connect(), "/subscriber/a");
            let before = daemon.vitals().peak_kib();
            publish(&daemon, path, 0..MESSAGES, |number| {
                let message = fast.message();
                assert_eq!((message.number(), message.gap()), (number, 0));
            });
            let peak = daemon.vitals().peak_kib();
            assert!(peak < before + 4096, "{before} KiB before, {peak} KiB with a slow reader");
            // The last of all is kept, so that where nothing else is, the gap before it is told.
            publish(&daemon, "/publisher/a", MESSAGES..MESSAGES + 1, |_| {});
            let (mut next, mut missed) = (0, 0);
            while next <= MESSAGES {
                let message = slow.message();
                assert_eq!(message.number(), next + message.gap(), "{path}: {}", message.id);
                next = message.number() + 1;
                missed += message.gap();
            }
            assert!(missed > 0, "it was slow");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_client_that_sends_and_never_reads_fills_no_memory() {
    // More than the buffers of a connection take both ways.
    const BYTES: usize = 64 << 20;
    let daemon = Daemon::start(BINARY, settings());
    let before = daemon.vitals().peak_kib();
    // Each is answered, by a Pong or with channel information, which nobody reads.
    for (path, first) in [("/subscriber/a", 0x89), ("/publisher/b", 0x81)] {
        let mut socket = Stream::socket(Client::narrow(daemon.address()), path);
        let frames = masked(first, &[b'x'; 125]).repeat(BYTES / 131);
        let taken = socket.client.send_as_far_as_taken(&frames, Duration::from_millis(500));
        assert!(taken < frames.len(), "{path}: all {taken} bytes are taken");
    }
    // What comes behind the request for an event stream is read and dropped.
    let mut events = Stream::events(Client::narrow(daemon.address()), "/subscriber/c");
    events.client.send(vec![b'x'; 16 << 20]);
    assert_eq!(daemon.publish("c", "7").status, 201);
    assert_eq!(events.message().number(), 7);
    let peak = daemon.vitals().peak_kib();
    // What is published there is kept: max_messages of a small message.
    assert!(peak < before + 8192, "{before} KiB before, then {peak} KiB");
}

#[test]
fn a_stream_that_takes_nothing_for_write_timeout_is_closed() {
    for open in KINDS {
        let mut settings = settings();
        settings["limits"] = json!({"write_timeout": 0.3});
        settings["store"] = json!({"max_messages": 0});
        let daemon = Daemon::start(BINARY, settings);
        let slow = open(Client::narrow(daemon.address()), "/subscriber/a");
        let mut other = open(daemon.connect(), "/subscriber/b");
        publish(&daemon, "/publisher/a", 0..MESSAGES, |_| {});
        until("the slow stream is closed", || daemon.held("a") == 0);
        publish(&daemon, "/publisher/b", 7..8, |_| {});
        assert_eq!(other.message().number(), 7);
        drop(slow);
    }
}

#[test]
fn a_client_that_does_not_answer_pings_is_gone_and_one_that_does_stays() {
    let backend = Backend::that(Manner::Answers(200));
    let location = json!({"ping_interval": 0.3, "passthrough": backend.url()});
    let mut settings = subscriber(location);
    // A busy machine, too, answers in that time.
    let patient = json!({"type": "subscriber", "prefix": "/patient/", "create_on_get": true,
        "ping_interval": 2});
    settings["locations"].as_array_mut().unwrap().push(patient);
    let daemon = Daemon::start(BINARY, settings);
    let mut silent = Stream::socket(daemon.connect(), "/subscriber/silent");
    assert_eq!(backend.next().body, "channel_id=silent&subscribe=1");
    let ping = silent.frame();
    assert_eq!((ping.kind, ping.payload.len()), ("ping", 0));
    assert!(silent.ends());
    assert_eq!(backend.next().body, "channel_id=silent&unsubscribe=1");
    let mut events = Stream::events(daemon.connect(), "/patient/b");
    let mut alive = Stream::socket(daemon.connect(), "/patient/b");
    for _ in 0..3 {
        assert_eq!(alive.frame().kind, "ping");
        alive.send(0x8a, b"");
        assert_eq!(events.client.bytes(3), b":\n\n");
    }
    assert_eq!(daemon.held("b"), 2);
    assert_eq!(daemon.publish("b", "x").status, 201);
}

#[test]
fn streams_end_at_a_stop_behind_what_was_published() {
    let mut daemon = Daemon::start(BINARY, settings());
    let mut events: Vec<Stream> =
        (0..50).map(|_| Stream::events(daemon.connect(), "/subscriber/a")).collect();
    let mut sockets: Vec<Stream> =
        (0..50).map(|_| Stream::socket(daemon.connect(), "/subscriber/a")).collect();
    assert_eq!(daemon.publish("a", "7").status, 201);
    let begin = Instant::now();
    daemon.signal("TERM");
    for stream in &mut events {
        assert_eq!(stream.message().number(), 7);
        assert!(stream.ends());
    }
    for stream in &mut sockets {
        assert_eq!(stream.frame().payload, b"7");
        assert_eq!(stream.frame().close().map(|(code, _)| code), Some(1001));
        assert!(stream.ends());
    }
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn streams_go_on_at_a_reload_by_the_settings_they_began_with() {
    let daemon = Daemon::start(BINARY, settings());
    let mut streams = KINDS.map(|open| open(daemon.connect(), "/subscriber/a"));
    let mut without = settings();
    without["locations"].as_array_mut().unwrap().pop();
    daemon.reload(without);
    assert_eq!(daemon.poll("a").answer().status, 404);
    for number in ["1", "2"] {
        assert_eq!(daemon.publish("a", number).status, 201);
        for stream in &mut streams {
            assert_eq!(stream.message().body, number.as_bytes());
        }
    }
}

#[test]
fn streams_make_no_room_at_the_limit_of_connections() {
    let mut settings = settings();
    settings["limits"] = json!({"connections": 10});
    let daemon = Daemon::start(BINARY, settings);
    let mut streams: Vec<Stream> =
        (0..4).flat_map(|_| KINDS.map(|open| open(daemon.connect(), "/subscriber/a"))).collect();
    // Each stays open, and makes room for one that comes later.
    let idle: Vec<Client> = (0..30)
        .map(|_| {
            let mut client = daemon.connect();
            assert_eq!(client.get("/publisher/a").answer().status, 200);
            client
        })
        .collect();
    assert_eq!(daemon.publish("a", "7").status, 201);
    for stream in &mut streams {
        assert_eq!(stream.message().number(), 7);
    }
    drop(idle);
}

#[test]
fn a_stream_whose_client_goes_ends_on_each_of_its_channels() {
    let backend = Backend::that(Manner::Answers(200));
    let mut settings = settings();
    let mut several = json!({"type": "subscriber", "url": "/list/(.+)", "delimiter": ","});
    merge(&mut several, json!({"create_on_get": true, "passthrough": backend.url()}));
    settings["locations"].as_array_mut().unwrap().push(several);
    let daemon = Daemon::start(BINARY, settings);
    let goes: [fn(Stream); 3] = [
        |stream| drop(stream),
        |stream| stream.client.reset(),
        |mut stream| assert!(stream.client.end_sending().ends()),
    ];
    for open in KINDS {
        for go in goes {
            let stream = open(daemon.connect(), "/list/a,b");
            let told = |event| ["a", "b"].map(|id| format!("channel_id={id}&{event}=1"));
            assert_eq!(backend.bodies(2), told("subscribe"));
            assert_eq!(daemon.held("b"), 1);
            go(stream);
            assert_eq!(backend.bodies(2), told("unsubscribe"));
            daemon.until_held("a", 0);
        }
    }
}
