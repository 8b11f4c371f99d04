//! No descriptor is left for a connection to the upstream: whose fault it is, is told truly, and
//! what has a connection goes on.

use serde_json::json;

use crate::{get, ok, start};
use pushserver_testkit::{Client, Upstream, until};

/// Beyond `limits.connections` so many connections to the upstream are opened.
const DIALS_BEYOND: usize = 16;

#[track_caller]
fn assert_full(client: &mut Client) {
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("5")));
    assert!(answer.text().contains("too many connections"), "{}", answer.text());
}

#[test]
fn refused_a_descriptor_the_daemon_does_not_blame_the_upstream() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), json!({"limits": {"upstream_wait": 0.3}}));
    let mut first = daemon.ask(get("/first"));
    let mut server = upstream.accept();
    server.head();
    let before = daemon.vitals().descriptors();
    let mut client = daemon.connect();
    until("it is accepted", || daemon.vitals().descriptors() == before + 1);
    daemon.vitals().limit_descriptors(daemon.vitals().next_descriptor());
    client.send(get("/second"));
    assert_full(&mut client);
    let line = daemon.until_logged("upstream_unreachable");
    assert!(line.contains("limit of open files"), "{line}");
    // What has its connection goes on, and later there is one for the next.
    server.send(ok("first"));
    assert_eq!(first.answer().text(), "first");
    daemon.vitals().limit_descriptors(1000);
    client.send(get("/third"));
    server.head();
    server.send(ok("third"));
    assert_eq!(client.answer().text(), "third");
}

#[test]
fn at_the_limit_of_connections_some_more_lead_to_the_upstream() {
    const CLIENTS: usize = 20;
    let upstream = Upstream::start();
    let limits = json!({"limits": {"connections": 20, "upstream_wait": 0.3}});
    let daemon = start(&upstream.url(), limits);
    let idle = daemon.vitals().descriptors();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| daemon.connect()).collect();
    until("all are accepted", || daemon.vitals().descriptors() == idle + CLIENTS);
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
    assert_eq!(clients[0].answer().text(), "free");
    clients[CLIENTS - 1].send(get("/again"));
    assert!(served[0].head().starts_with("GET /again "));
    served[0].send(ok("again"));
    assert_eq!(clients[CLIENTS - 1].answer().text(), "again");
}
