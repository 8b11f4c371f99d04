//! No descriptor is left for a connection to the upstream: whose fault it is, is told truly, and
//! what has a connection goes on.

use std::fs;
use std::process::Command;

use crate::support::{Client, Daemon, Upstream, get, ok, wait_until};

/// Beyond `limits.connections` so many connections to the upstream are opened.
const DIALS_BEYOND: usize = 16;

fn descriptors(daemon: &Daemon) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count()
}

fn limit_descriptors(daemon: &Daemon, limit: usize) {
    let arguments = ["--pid", &daemon.pid().to_string(), &format!("--nofile={limit}:")];
    let status = Command::new("prlimit").args(arguments).status();
    assert!(status.expect("prlimit (util-linux) is there").success());
}

#[track_caller]
fn assert_full(client: &mut Client) {
    let answer = client.message();
    assert_eq!((answer.status(), answer.field("Retry-After")), (503, Some("5")));
    assert!(answer.text().contains("too many connections"), "{}", answer.text());
}

#[test]
fn refused_a_descriptor_the_daemon_does_not_blame_the_upstream() {
    let upstream = Upstream::start();
    let daemon = Daemon::start(&upstream.url(), r#""limits": {"upstream_wait": 0.3}"#);
    let mut first = daemon.ask(&get("/first"));
    let mut server = upstream.accept();
    server.head();
    let before = descriptors(&daemon);
    let mut client = daemon.connect();
    wait_until("it is accepted", || descriptors(&daemon) == before + 1);
    let is_open = |number: &usize| {
        fs::symlink_metadata(format!("/proc/{}/fd/{number}", daemon.pid())).is_ok()
    };
    limit_descriptors(&daemon, (0..).find(|number| !is_open(number)).unwrap());
    client.send(get("/second"));
    assert_full(&mut client);
    let log = daemon.wait_for_log("upstream_unreachable");
    assert!(log.contains("limit of open files"), "{log}");
    // What has its connection goes on, and later there is one for the next.
    server.send(ok("first"));
    assert_eq!(first.message().text(), "first");
    limit_descriptors(&daemon, 1000);
    client.send(get("/third"));
    server.head();
    server.send(ok("third"));
    assert_eq!(client.message().text(), "third");
}

#[test]
fn at_the_limit_of_connections_some_more_lead_to_the_upstream() {
    const CLIENTS: usize = 20;
    let upstream = Upstream::start();
    let limits = r#""limits": {"connections": 20, "upstream_wait": 0.3}"#;
    let daemon = Daemon::start(&upstream.url(), limits);
    let idle = descriptors(&daemon);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| daemon.connect()).collect();
    wait_until("all are accepted", || descriptors(&daemon) == idle + CLIENTS);
    let mut served = Vec::new();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(get(&format!("/{number}")));
        if number < DIALS_BEYOND {
            let mut server = upstream.accept();
            assert!(server.head().starts_with(&format!("GET /{number} ")));
            served.push(server);
        }
    }
    for client in &mut clients[DIALS_BEYOND..] {
        assert_full(client);
    }
    upstream.nobody();
    // A connection that has become free serves the next request.
    served[0].send(ok("free"));
    assert_eq!(clients[0].message().text(), "free");
    clients[CLIENTS - 1].send(get("/again"));
    assert!(served[0].head().starts_with("GET /again "));
    served[0].send(ok("again"));
    assert_eq!(clients[CLIENTS - 1].message().text(), "again");
}
