//! Memory that comes back and memory that is bounded, descriptors and timers that are given up, and
//! the counters that show it (SIGUSR1).

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use serde_json::json;

use pushserver_testkit::{
    Backend, Client, Daemon, LONG, Manner, SIZES, Start, counters, limits, merge, post, request,
    settings, subscriber, uninterrupted, until,
};

use crate::BINARY;

/// Publishes a message of `size` bytes on so many channels, a hundred at a time.
fn publish_on(daemon: &Daemon, channels: usize, size: usize) {
    let mut publisher = daemon.connect();
    let body = vec![b'x'; size];
    for batch in 0..channels / 100 {
        let path = |number: usize| format!("/publisher/user-{batch}-{number}");
        publisher.send((0..100).flat_map(|n| post(&path(n), &body)).collect::<Vec<u8>>());
        for _ in 0..100 {
            assert_eq!(publisher.answer().status, 202);
        }
    }
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn four_fifths_of_the_memory_of_channels_that_expired_are_back_within_seconds() {
    const CHANNELS: usize = 100_000;
    let timeouts = json!({"type": "memory", "message_timeout": 0.1, "channel_timeout": 0.1});
    let daemon = Daemon::start(BINARY, subscriber(json!({"timeout": 0})));
    let start = daemon.vitals().resident_kib();
    publish_on(&daemon, CHANNELS, 200);
    let held: Vec<Client> = (0..400).map(|n| daemon.poll(&format!("own-{n}"))).collect();
    // One lives on, above them all; that must not keep the memory of those that are gone.
    let mut survivor = daemon.hold("survivor", 1).remove(0);
    let peak = daemon.vitals().resident_kib();
    assert!(peak > start + CHANNELS / 4, "{start} then {peak} KiB");
    drop(held);
    let mut expiring = subscriber(json!({"timeout": 0}));
    merge(&mut expiring, json!({"store": timeouts}));
    daemon.reload(expiring);
    until("all channels are gone", || counters(&daemon)["channels"] == 1);
    let begin = Instant::now();
    let enough = start + (peak - start) / 5;
    until("the memory is back", || daemon.vitals().resident_kib() <= enough);
    // A second as a rule; five are promised, and a busy machine may take longer.
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    println!("{start} then {peak} then {} KiB after {took:?}", daemon.vitals().resident_kib());
    assert_eq!(daemon.publish("survivor", "m").status, 201);
    assert_eq!(survivor.answer().text(), "m");
}

#[test]
fn after_a_load_every_count_is_back_to_nothing() {
    let backend = Backend::that(Manner::Answers(200));
    // Long enough for all to be held at once.
    let mut with = subscriber(json!({"passthrough": backend.url(), "timeout": 5}));
    let timeouts = json!({"type": "memory", "message_timeout": 0.2, "channel_timeout": 0.1});
    merge(&mut with, json!({"store": timeouts}));
    let daemon = Daemon::start(BINARY, with);
    let descriptors = daemon.vitals().descriptors();
    publish_on(&daemon, 300, 1000);
    let mut held: Vec<Client> = (0..100).map(|n| daemon.poll(&format!("own-{}", n % 10))).collect();
    until("all are held", || counters(&daemon)["held"] == 100);
    let amid = counters(&daemon);
    assert_eq!((amid["connections"], amid["published"]), (100, 300), "{amid:?}");
    assert!(amid["timers"] >= 100, "{amid:?}");
    assert_eq!(daemon.publish("own-0", "m").status, 201);
    for client in held.drain(..50) {
        client.reset();
    }
    for client in &mut held {
        assert!(matches!(client.answer().status, 200 | 304));
    }
    // Amid a body, and with an answer that nobody reads.
    let mut upload = daemon.connect();
    upload.send("POST /publisher/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    until("it is begun", || counters(&daemon)["upload_bytes"] == 5);
    upload.reset();
    drop(held);
    until("all is over", || {
        let counters = counters(&daemon);
        SIZES.iter().all(|name| counters[*name] == 0)
    });
    let after = counters(&daemon);
    assert_eq!((after["published"], after["expired"], after["evicted"]), (301, 301, 0));
    assert_eq!(after["passthrough_sent"], 200, "{after:?}");
    until("every descriptor is closed", || daemon.vitals().descriptors() <= descriptors + 1);
}

#[test]
fn what_is_refused_dropped_and_missed_is_counted_however_quiet_the_log_is() {
    let mut with = limits(json!({"channels": 2, "uri_bytes": 100}));
    merge(&mut with, json!({"store": {"type": "memory", "max_messages": 1}}));
    let daemon = Start::with(BINARY, with).args(["-q"]).start();
    for body in ["one", "two", "three"] {
        assert_eq!(daemon.publish("a", body).status, 202);
    }
    let old = daemon.connect().get("/subscriber/a?last_event_id=1:0").answer();
    assert_eq!(old.text(), "three");
    assert_eq!(daemon.publish("b", "m").status, 202);
    assert_eq!(daemon.publish("c", "m").status, 503);
    assert_eq!(daemon.connect().get("/nowhere").answer().status, 404);
    let long = format!("/subscriber/{}", "x".repeat(100));
    assert_eq!(daemon.connect().get(&long).answer().status, 414);
    assert_eq!(daemon.connect().send("nonsense\r\n\r\n").answer().status, 400);
    let counted = counters(&daemon);
    let expected = [
        ("published", 4),
        ("delivered", 1),
        ("gaps", 1),
        ("evicted", 2),
        ("expired", 0),
        ("refused_503", 1),
        ("refused_404", 1),
        ("refused_414", 1),
        ("refused_400", 1),
        ("accepted", 9),
        ("slow_readers", 0),
        ("channels", 2),
        ("messages", 2),
    ];
    for (name, value) in expected {
        assert_eq!(counted[name], value, "{name} in {counted:?}");
    }
    assert_eq!(daemon.log().len(), 1, "{:?}", daemon.log());
}

#[test]
fn a_publisher_flood_against_slow_readers_stays_within_the_bound() {
    const BUDGET: usize = 4 << 20;
    const SIZE: usize = 200_000;
    const READERS: usize = 40;
    let mut with = subscriber(json!({"timeout": 0}));
    merge(&mut with, json!({"store": {"type": "memory", "max_memory": BUDGET}}));
    let daemon = Daemon::start(BINARY, with);
    let before = daemon.vitals().resident_kib();
    let mut publisher = daemon.connect();
    let mut readers = Vec::new();
    // Each reader asks for other messages than those before it, sixteen, and reads none.
    for number in 0..READERS {
        let mut reader = Client::narrow(daemon.address());
        let mut ask = String::new();
        for channel in 0..16 {
            let body = [b'x'; SIZE];
            let answer = publisher.post(&format!("/publisher/{number}-{channel}"), &body).answer();
            assert_eq!(answer.status, 202);
            ask += &format!("GET /subscriber/{number}-{channel} HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        reader.send(ask);
        let delivered = (number + 1) as u64;
        until("it is being served", || counters(&daemon)["delivered"] >= delivered);
        readers.push(reader);
    }
    let peak = daemon.vitals().peak_kib();
    // 128 MB were published. Each reader keeps one message from being freed, though it has been
    // evicted; the budget is there twice for what is on its way and what the allocator cannot use.
    let bound = before + 2 * (BUDGET >> 10) + READERS * SIZE / 1024;
    println!("{before} before, {peak} at most, {bound} allowed, KiB");
    assert!(peak < bound, "{before} before, {peak} at most, {bound} allowed, KiB");
    assert!(counters(&daemon)["message_bytes"] <= BUDGET as u64);
    for reader in &mut readers {
        let first = reader.answer();
        assert_eq!((first.status, first.body.len()), (200, SIZE));
    }
}

#[test]
fn large_messages_that_do_not_come_to_their_end_take_no_more_than_a_bound() {
    const BODY: usize = 9 << 20;
    let daemon = Daemon::start(BINARY, settings());
    let before = daemon.vitals().resident_kib();
    let head = format!("POST /publisher/a HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY}\r\n\r\n");
    let begun = vec![b'x'; BODY - 1];
    let mut uploads = Vec::new();
    let mut refused = 0;
    for _ in 0..12 {
        let mut client = daemon.connect();
        let (before, refused_before) = (counters(&daemon)["upload_bytes"], refused);
        client.send(&head);
        client.try_send(&begun);
        until("it is read or refused", || {
            let counted = counters(&daemon);
            refused = counted["refused_503"];
            refused + counted["uploads"] > uploads.len() as u64
                && (counted["uploads"] as usize != uploads.len() + 1
                    || counted["upload_bytes"] >= before + begun.len() as u64)
        });
        if refused > refused_before {
            let answer = client.answer();
            assert_eq!((answer.status, answer.closes()), (503, true), "{}", answer.head);
            assert_eq!(answer.header("Retry-After"), Some("5"), "{}", answer.head);
        }
        uploads.push(client);
    }
    let counted = counters(&daemon);
    assert_eq!((counted["uploads"], counted["refused_503"]), (7, 5), "{counted:?}");
    assert!(counted["upload_bytes"] <= 64 << 20, "{counted:?}");
    let after = daemon.vitals().resident_kib();
    println!("{before} to {after} KiB");
    // Twice: a buffer that grows may have room for as much again.
    assert!(after < before + 2 * (64 << 10) + (16 << 10), "{before} to {after} KiB");
    // A message that comes at once is taken all the same, and so is a begun one that goes on.
    assert_eq!(daemon.publish("b", "m").status, 202);
    assert_eq!(uploads[0].send("x").answer().status, 202);
    drop(uploads);
    until("nothing is left of them", || counters(&daemon)["upload_bytes"] == 0);
}

#[test]
fn bodies_of_those_who_may_not_publish_take_no_room_from_those_who_may() {
    let locations = |secret: &str| {
        let publisher = json!({"type": "publisher", "prefix": "/publisher/", "secret": secret});
        json!({"locations": [publisher, {"type": "subscriber", "prefix": "/subscriber/"}]})
    };
    let mut with = settings();
    merge(&mut with, locations("right"));
    let daemon = Daemon::start(BINARY, with.clone());
    let mut strangers: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = daemon.connect();
            let lines = "Authorization: Bearer wrong\r\nContent-Length: 16000\r\n";
            client.send(request("POST /publisher/a", lines)).send([b'x'; 15_999]);
            client
        })
        .collect();
    until("all are read", || counters(&daemon)["uploads"] == 20);
    assert_eq!(counters(&daemon)["upload_bytes"], 0);
    // Refused they stay, since nothing was kept of them that could be published.
    merge(&mut with, locations("wrong"));
    daemon.reload(with);
    for client in &mut strangers {
        let answer = client.send("x").answer();
        assert_eq!((answer.status, answer.closes()), (401, false));
    }
    assert_eq!(counters(&daemon)["channels"], 0);
}

#[test]
fn a_hanging_backend_costs_little_memory_and_few_sockets_whatever_happens() {
    const EVENTS: usize = 4000;
    let backend = Backend::that(Manner::Hangs);
    let mut with = subscriber(json!({"passthrough": backend.url(), "timeout": 0}));
    merge(&mut with, json!({"limits": {"passthrough_queue": 1000}}));
    let daemon = Daemon::start(BINARY, with);
    let idle = daemon.vitals().descriptors();
    let mut honest = daemon.hold("honest", 1).remove(0);
    assert_eq!(backend.next().body, "channel_id=honest&subscribe=1");
    let before = daemon.vitals().resident_kib();
    let mut slowest = Duration::ZERO;
    for batch in 0..EVENTS / 2 / 100 {
        // A subscribe and an unsubscribe each.
        let clients = daemon.hold(&format!("a{batch}"), 100);
        let begin = Instant::now();
        assert_eq!(daemon.publish("honest", "m").status, 201);
        assert_eq!(honest.answer().text(), "m");
        slowest = slowest.max(begin.elapsed());
        drop(clients);
        daemon.until_held(&format!("a{batch}"), 0);
        let mut publisher = daemon.connect();
        publisher.send("DELETE /publisher/honest HTTP/1.1\r\nHost: a\r\n\r\n").answer();
        honest.get("/subscriber/honest");
        daemon.until_held("honest", 1);
    }
    let grown = daemon.vitals().resident_kib().saturating_sub(before);
    // Beside the honest one and the one to the backend.
    let sockets = (daemon.vitals().descriptors() - idle).saturating_sub(2);
    println!("{grown} KiB more, {sockets} sockets more, {slowest:?} at most for a delivery");
    assert!(grown <= 4096, "{grown} KiB");
    assert!(sockets <= 3, "{sockets} more than the one");
    // 10 ms are promised where nobody else wants the processors.
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let counted = counters(&daemon);
    assert!(counted["passthrough_queue"] <= 3001, "{counted:?}");
    assert!(counted["passthrough_dropped"] >= 900, "{counted:?}");
    let line = daemon.until_logged("event=passthrough_dropped url=");
    assert!(line.contains(" times=1 ") && line.contains("1000 notices wait"), "{line}");
}

#[test]
fn a_watchdog_of_systemd_is_told_that_the_loop_goes_round() {
    let start = Start::with(BINARY, settings());
    let path = start.file("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let daemon =
        start.env("NOTIFY_SOCKET", path.to_str().unwrap()).env("WATCHDOG_USEC", "200000").start();
    let told = || {
        let mut bytes = [0; 64];
        let length = uninterrupted(|| socket.recv(&mut bytes)).expect("a notification");
        String::from_utf8(bytes[..length].to_vec()).unwrap().trim_end().to_owned()
    };
    // Also when nothing else happens.
    let mut pings = 0;
    while pings < 4 {
        match told().as_str() {
            "WATCHDOG=1" => pings += 1,
            other => assert_eq!(other, "READY=1"),
        }
    }
    // A process that does not go on says nothing, which is how systemd finds out.
    daemon.signal("STOP");
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    while uninterrupted(|| socket.recv(&mut [0; 64])).is_ok() {}
    daemon.signal("CONT");
    socket.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(told(), "WATCHDOG=1");
}

#[test]
fn a_service_manager_that_reads_nothing_holds_nobody_up() {
    let start = Start::with(BINARY, settings());
    let path = start.file("notify");
    let _socket = UnixDatagram::bind(&path).unwrap();
    let mut daemon =
        start.env("NOTIFY_SOCKET", path.to_str().unwrap()).env("WATCHDOG_USEC", "2000").start();
    // Linux keeps some hundred datagrams, and often only ten.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        assert!(matches!(daemon.publish("a", "m").status, 201 | 202));
    }
    daemon.signal("HUP");
    daemon.until_logged("event=reload");
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn thirty_two_mebibytes_of_addresses_are_enough_for_a_small_host() {
    let mut with = settings();
    let store = json!({"type": "memory", "max_memory": 4 << 20});
    merge(&mut with, json!({"store": store, "limits": {"connections": 1000}}));
    // Stricter than a limit of resident memory: program, libraries and stacks count too.
    let daemon = Start::within(BINARY, with, "ulimit -v 32768").start();
    let mut held: Vec<Client> =
        (0..500).map(|number| daemon.poll(&format!("channel-{number}"))).collect();
    // Eight times what may be kept.
    publish_on(&daemon, 1000, 32 << 10);
    for number in [0, 499] {
        let path = format!("/publisher/channel-{number}");
        assert_eq!(daemon.connect().post(&path, b"hello").answer().status, 201);
        assert_eq!(held[number].answer().text(), "hello");
    }
    let crowd = daemon.hold("crowd", 400);
    assert_eq!(daemon.publish("crowd", "to all").status, 201);
    for mut client in crowd {
        assert_eq!(client.answer().text(), "to all");
    }
    assert_eq!(daemon.held("channel-1"), 1);
}

#[test]
fn a_stream_whose_client_sends_and_reads_nothing_takes_no_memory() {
    let daemon = Daemon::start(BINARY, subscriber(json!({})));
    let mut client = Client::narrow(daemon.address());
    client.send(request("GET /subscriber/a", "Accept: text/event-stream\r\n"));
    client.head();
    daemon.until_held("a", 1);
    // Its socket takes no more.
    for _ in 0..64 {
        assert_eq!(daemon.publish("a", vec![b'x'; 64 << 10]).status, 201);
    }
    let before = daemon.vitals().resident_kib();
    let sent = client.send_as_far_as_taken(&vec![b'x'; 32 << 20], LONG);
    assert!(sent > 16 << 20, "{sent}");
    let after = daemon.vitals().resident_kib();
    assert!(after < before + (4 << 10), "{before} then {after} KiB");
}
