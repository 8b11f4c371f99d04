//! Clients that break, stall, flood and vanish. Each fault comes with honest traffic beside it, or
//! is followed by it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use pushserver_testkit::{
    Client, Daemon, counters, limits, post, request, settings, subscriber, until,
};

use crate::BINARY;

/// Follows a fault: the daemon serves, and nobody is left.
#[track_caller]
fn assert_sound(daemon: &Daemon, idle: usize) {
    let mut held = daemon.hold("sound", 1).remove(0);
    assert_eq!(daemon.publish("sound", "m").status, 201);
    assert_eq!(held.answer().text(), "m");
    drop(held);
    until("every connection is closed", || daemon.vitals().descriptors() == idle);
}

#[test]
fn thousands_who_connect_and_vanish_while_held_disturb_nobody() {
    const RESETS: usize = 5000;
    let daemon = Daemon::start(BINARY, settings());
    let idle = daemon.vitals().descriptors();
    let done = AtomicBool::new(false);
    let mut took = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..RESETS / 100 {
                let clients: Vec<Client> = (0..100).map(|_| daemon.poll("crowd")).collect();
                // Some are held by now, some not read yet.
                clients.into_iter().for_each(Client::reset);
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) || took.is_empty() {
            let mut honest = daemon.hold("honest", 1).remove(0);
            let begin = Instant::now();
            assert_eq!(daemon.publish("honest", took.len().to_string()).status, 201);
            assert_eq!(honest.answer().text(), took.len().to_string());
            let elapsed = begin.elapsed();
            let mut publisher = daemon.connect();
            publisher.send("DELETE /publisher/honest HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(publisher.answer().status, 200);
            took.push(elapsed);
        }
    });
    took.sort();
    let [median, most, slowest] = [50, 99, 100].map(|part| took[(took.len() - 1) * part / 100]);
    println!("beside {RESETS} resets: median {median:?}, 99 % {most:?}, slowest {slowest:?}");
    println!("longest turn of the daemon: {} ms", counters(&daemon)["longest_turn_ms"]);
    // Alone on a machine with a core for each thread it is a millisecond or two, as are the turns
    // of the daemon; this one may be busy with other tests.
    assert!(slowest < Duration::from_secs(2), "{slowest:?} in {} rounds", took.len());
    daemon.until_held("crowd", 0);
    assert_sound(&daemon, idle);
}

#[test]
fn ten_thousand_who_connect_and_vanish_leave_nothing_behind_and_the_held_are_served() {
    const HELD: usize = 100;
    let daemon = Daemon::start(BINARY, settings());
    let idle = daemon.vitals().descriptors();
    let mut held = daemon.hold("held", HELD);
    let vanish = |count: usize| {
        for number in 0..count {
            let mut client = daemon.connect();
            client.send(match number % 4 {
                0 => "",
                1 => "GET /subscriber/crowd HTTP/1.1\r\nHo",
                2 => "POST /publisher/b HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1",
                _ => "GET /subscriber/crowd HTTP/1.1\r\nHost: a\r\n\r\n",
            });
            client.reset();
        }
        until("they are gone", || daemon.vitals().descriptors() == idle + HELD);
    };
    // What so many clients need once is kept for the next.
    vanish(1000);
    let before = daemon.vitals().resident_kib();
    vanish(9000);
    let after = daemon.vitals().resident_kib();
    assert!(after < before + 512, "{before} to {after} KiB");
    assert_eq!(daemon.publish("held", "m").status, 201);
    for client in &mut held {
        assert_eq!(client.answer().text(), "m");
    }
    drop(held);
    assert_sound(&daemon, idle);
}

#[test]
fn a_large_head_in_tiny_pieces_costs_what_as_many_pieces_of_small_heads_do() {
    const PIECE: usize = 16;
    let daemon = Daemon::start(BINARY, settings());
    let mut client = daemon.connect();
    let mut spend = |lines: usize, times: usize, pause: Duration| {
        let filler = |number| format!("Filler-{number:02}: {}\r\n", "x".repeat(262));
        let head = request("PUT /publisher/a", &(0..lines).map(filler).collect::<String>());
        let before = daemon.vitals().cpu();
        for _ in 0..times {
            assert_eq!(client.send_in_pieces(head.as_bytes(), PIECE, pause).answer().status, 200);
        }
        let spent = daemon.vitals().cpu() - before;
        let (size, pieces) = (head.len(), times * head.len().div_ceil(PIECE));
        println!("{times} heads of {size} bytes in {pieces} pieces, pause {pause:?}: {spent:?}");
        spent
    };
    spend(95, 1, Duration::ZERO);
    // Each piece is read by itself. Nearly all of the time is the system's then, for a wake-up and
    // a read; were the head read anew for each piece, it would be twenty megabytes.
    let pause = Duration::from_micros(20);
    let (small, large) = (spend(5, 19, pause), spend(95, 1, pause));
    assert!(
        large < 2 * small + Duration::from_millis(5),
        "{large:?}, and {small:?} for small ones"
    );
}

#[test]
fn a_publisher_that_is_half_closed_is_answered() {
    let daemon = Daemon::start(BINARY, settings());
    let mut client = daemon.connect();
    client.post("/publisher/a", b"m").end_sending();
    assert_eq!(client.answer().status, 202);
    assert!(client.ends());
    assert_eq!(daemon.poll("a").answer().text(), "m");
}

#[test]
fn every_request_of_a_half_closed_pipeline_is_answered() {
    // More than are served in one turn; more than one read takes; more than the socket holds.
    for (count, size) in [(40, 10), (100, 2000), (300, 20_000)] {
        let daemon = Daemon::start(BINARY, settings());
        let requests: Vec<u8> = (0..count)
            .flat_map(|number| post(&format!("/publisher/a{number}"), &vec![b'x'; size]))
            .collect();
        let mut client = daemon.connect();
        client.send(&requests).end_sending();
        for number in 0..count {
            assert_eq!(client.answer().status, 202, "{number} of {count}");
        }
        assert!(client.ends());
    }
}

#[test]
fn a_half_closed_subscriber_is_gone() {
    let daemon = Daemon::start(BINARY, settings());
    let idle = daemon.vitals().descriptors();
    for mut client in daemon.hold("a", 3) {
        assert!(client.end_sending().ends());
    }
    let mut client = daemon.connect();
    client.get("/subscriber/a").end_sending();
    assert!(client.ends());
    daemon.until_held("a", 0);
    assert_sound(&daemon, idle);
}

#[test]
fn a_message_cut_off_is_never_published() {
    let daemon = Daemon::start(BINARY, settings());
    let idle = daemon.vitals().descriptors();
    let head = "POST /publisher/a HTTP/1.1\r\nHost: a\r\n";
    for cut in [
        "Content-Length: 10\r\n\r\n01234",
        "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n",
    ] {
        let mut ended = daemon.connect();
        assert!(ended.send(format!("{head}{cut}")).end_sending().ends());
        let mut reset = daemon.connect();
        reset.send(format!("{head}{cut}"));
        reset.reset();
    }
    until("all are gone", || daemon.vitals().descriptors() == idle);
    assert_eq!(daemon.connect().get("/publisher/a").answer().status, 404);
}

#[test]
fn a_message_that_comes_while_an_earlier_answer_is_stalled_is_taken() {
    let daemon = Daemon::start(BINARY, settings());
    daemon.publish("big", vec![b'x'; 9 << 20]);
    let mut client = Client::narrow(daemon.address());
    let message = post("/publisher/b", &[b'y'; 20_000]);
    let (begun, rest) = message.split_at(message.len() / 2);
    // In one piece, so that the message is begun before its turn is put off.
    client.send([b"GET /subscriber/big HTTP/1.1\r\nHost: a\r\n\r\n", begun].concat());
    // Answers on later connections: what came before them has been read.
    assert_eq!(daemon.publish("c", "m").status, 202);
    client.send(rest);
    assert_eq!(daemon.publish("c", "m").status, 202);
    assert_eq!(client.answer().body.len(), 9 << 20);
    assert_eq!(client.answer().status, 202);
    assert_eq!(daemon.poll("b").answer().body.len(), 20_000);
}

#[test]
fn readers_that_stop_amid_a_large_message_share_its_memory_and_are_closed() {
    const READERS: usize = 60;
    const SIZE: usize = 9 << 20;
    let daemon = Daemon::start(BINARY, limits(json!({"write_timeout": 1})));
    let idle = daemon.vitals().descriptors();
    let clients: Vec<Client> = (0..READERS)
        .map(|_| {
            let mut client = Client::narrow(daemon.address());
            client.get("/subscriber/a");
            client
        })
        .collect();
    daemon.until_held("a", READERS);
    let before = daemon.vitals().resident_kib();
    assert_eq!(daemon.publish("a", vec![b'x'; SIZE]).status, 201);
    let mut honest = daemon.hold("b", 1).remove(0);
    assert_eq!(daemon.publish("b", "m").status, 201);
    assert_eq!(honest.answer().text(), "m");
    drop(honest);
    // The message as it came, as it is kept, and what is on its way; not one for each reader.
    let after = daemon.vitals().resident_kib();
    assert!(after < before + 4 * (SIZE >> 10), "{before} to {after} KiB");
    until("they are closed", || daemon.vitals().descriptors() == idle);
    drop(clients);
    assert_sound(&daemon, idle);
}

#[test]
fn a_flood_of_pipelined_requests_leaves_room_for_others() {
    let daemon = Daemon::start(BINARY, settings());
    let idle = daemon.vitals().descriptors();
    let before = daemon.vitals().resident_kib();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let flood = "GET /publisher/none HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
                let mut client = Client::narrow(daemon.address());
                // Reads no answer, and begins anew when nothing more is taken.
                while !stop.load(Ordering::Acquire) {
                    let patience = Duration::from_millis(50);
                    if client.send_as_far_as_taken(flood.as_bytes(), patience) < flood.len() {
                        client = Client::narrow(daemon.address());
                    }
                }
            });
        }
        for _ in 0..50 {
            let begin = Instant::now();
            let mut held = daemon.hold("honest", 1).remove(0);
            assert_eq!(daemon.publish("honest", "m").status, 201);
            assert_eq!(held.answer().text(), "m");
            let mut publisher = daemon.connect();
            publisher.send("DELETE /publisher/honest HTTP/1.1\r\nHost: a\r\n\r\n").answer();
            assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
        }
        stop.store(true, Ordering::Release);
    });
    assert!(daemon.vitals().resident_kib() < before + (16 << 10), "{before} KiB before");
    assert_sound(&daemon, idle);
}

#[test]
fn a_stalled_crowd_of_small_answers_costs_little() {
    let daemon = Daemon::start(BINARY, settings());
    daemon.publish("a", vec![b'x'; 10_000]);
    let before = daemon.vitals().resident_kib();
    let ask = "GET /subscriber/a HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2000);
    let clients: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = Client::narrow(daemon.address());
            client.send_as_far_as_taken(ask.as_bytes(), Duration::from_millis(20));
            client
        })
        .collect();
    assert_eq!(daemon.publish("b", "m").status, 202);
    let after = daemon.vitals().resident_kib();
    assert!(after < before + 20 * 512, "{before} to {after} KiB");
    drop(clients);
}

#[test]
fn every_held_request_ends_once_when_its_channel_is_deleted_under_it() {
    // Long enough for all to be held at once.
    let daemon = Daemon::start(BINARY, subscriber(json!({"timeout": 5})));
    for _ in 0..20 {
        let mut held = daemon.hold("a", 50);
        let mut publisher = daemon.connect();
        publisher.post("/publisher/a", b"m");
        publisher.send("DELETE /publisher/a HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(matches!(publisher.answer().status, 201 | 202));
        assert_eq!(publisher.answer().status, 200);
        for client in &mut held {
            assert!(matches!(client.answer().status, 200 | 304 | 410));
            assert!(client.end_sending().ends());
        }
    }
}
