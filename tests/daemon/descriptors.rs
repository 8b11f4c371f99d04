//! No descriptor is left: by the limit at start, or because it is lowered, or shared, later.
//! Clients that were accepted are served, newcomers wait, and nothing spins.

use std::time::{Duration, Instant};

use serde_json::json;

use pushserver_testkit::{
    Backend, Client, Daemon, Manner, Start, counters, merge, settings, subscriber, until,
};

use crate::BINARY;

/// How long is waited for what must not come.
const A_WHILE: Duration = Duration::from_millis(300);

#[test]
fn refused_by_the_system_accepting_pauses_and_resumes_and_who_is_held_is_served() {
    const HELD: usize = 20;
    let daemon = Daemon::start(BINARY, settings());
    let idle = daemon.vitals().descriptors();
    assert_eq!(daemon.publish("stored", "m").status, 202);
    // Behind what they get, all ask for more: who is idle would be closed to make room.
    let more = "GET /subscriber/more HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut held = daemon.hold("a", HELD);
    for client in &mut held {
        client.send(more);
    }
    let mut publishers = [daemon.begin_publishing("a", 3), daemon.begin_publishing("more", 3)];
    // All of them, and nobody else: one that is still to be accepted stands for one that is gone.
    until("both publish", || counters(&daemon)["uploads"] == 2);
    until("only they are left", || daemon.vitals().descriptors() == idle + HELD + 2);

    daemon.vitals().limit_descriptors(daemon.vitals().next_descriptor());
    let mut waiting = daemon.poll("stored");
    let line = daemon.until_logged("event=accept_paused");
    assert!(line.contains("open files"), "{line}");
    let (begin, before) = (Instant::now(), daemon.vitals().cpu());
    assert!(waiting.is_silent(Duration::from_secs(1)));
    let share = (daemon.vitals().cpu() - before).as_secs_f64() / begin.elapsed().as_secs_f64();
    println!("without descriptors: {:.2} % of a processor", 100.0 * share);
    assert!(share <= 0.02, "it spins: {share}");
    assert_eq!(publishers[0].send(format!("one{more}")).answer().status, 201);
    for client in &mut held {
        assert_eq!(client.answer().text(), "one");
    }
    assert!(waiting.is_silent(A_WHILE));

    daemon.vitals().limit_descriptors(1000);
    let begin = Instant::now();
    assert_eq!(waiting.answer().text(), "m");
    let took = begin.elapsed();
    println!("accepting again after {took:?}");
    // 0.1 s, and what a busy machine adds.
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(publishers[1].send("two").answer().status, 201);
    for client in held.iter_mut().chain(&mut publishers[..1]) {
        assert_eq!(client.answer().text(), "two");
    }
    let log = daemon.log();
    let paused = log.iter().filter(|line| line.contains("event=accept_paused")).count();
    assert_eq!(paused, 1, "{log:?}");
    drop((held, publishers, waiting));
    until("every connection is closed", || daemon.vitals().descriptors() == idle);
}

#[test]
fn without_descriptors_an_idle_connection_makes_room() {
    let daemon = Daemon::start(BINARY, settings());
    let mut idle = daemon.connect();
    assert_eq!(idle.post("/publisher/a", b"m").answer().status, 202);
    daemon.vitals().limit_descriptors(daemon.vitals().next_descriptor());
    assert_eq!(daemon.poll("a").answer().text(), "m");
    assert!(idle.ends());
}

#[test]
fn at_the_limit_of_open_files_some_are_kept_in_reserve() {
    let backend = Backend::that(Manner::Answers(200));
    let mut with = subscriber(json!({"passthrough": backend.url()}));
    merge(&mut with, json!({"limits": {"connections": 1000}}));
    let daemon = Start::within(BINARY, with, "ulimit -n 64").start();
    let mut publisher = daemon.begin_publishing("a", 3);
    let mut clients: Vec<Client> = (0..80).map(|_| daemon.poll("a")).collect();
    daemon.until_logged("event=accept_paused");
    let open = daemon.vitals().descriptors();
    assert!(open <= 60, "{open} descriptors of 64");
    // With one of them Django is told.
    assert_eq!(backend.next().body, "channel_id=a&subscribe=1");
    let ticks = daemon.vitals().ticks();
    assert!(clients[79].is_silent(A_WHILE));
    assert!(daemon.vitals().ticks() - ticks <= 3, "it spins");
    assert_eq!(publisher.send("one").answer().status, 201);
    for client in &mut clients {
        assert_eq!(client.answer().text(), "one");
        client.end_sending();
    }
}

#[test]
fn where_not_one_descriptor_is_left_accepting_pauses_without_a_spin() {
    let next = Daemon::start(BINARY, settings()).vitals().next_descriptor();
    let mut daemon = Start::within(BINARY, settings(), &format!("ulimit -n {next}")).start();
    let mut client = daemon.poll("a");
    let line = daemon.until_logged("event=accept_paused");
    assert!(line.contains("open files"), "{line}");
    let ticks = daemon.vitals().ticks();
    assert!(client.is_silent(A_WHILE));
    assert!(daemon.vitals().ticks() - ticks <= 3, "it spins");
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(client.ends());
}
