//! Fields that the proxy mends, counts down, vouches for, or replaces with a line in the log.

use serde_json::json;

use crate::BINARY;
use crate::{before, get, start};
use pushserver_testkit::{Client, Start, Upstream, header};

#[test]
fn what_is_wrong_with_a_head_but_has_one_reading_is_mended() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send(
        "HTTP/1.1 200 OK\r\nServer: s\r\nDate : today\r\nA\t : b\r\nLong: one,\r\n\t two\r\n  three\r\n\
         Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    );
    let answer = client.answer();
    assert_eq!(
        answer.head,
        "HTTP/1.1 200 OK\r\nServer: s\r\nDate: today\r\nA: b\r\nLong: one, two three\r\n\
         Content-Length: 2\r\n\r\n"
    );
    assert_eq!(answer.text(), "hi");
    // Never in a request.
    let mut client = daemon.ask("GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n");
    assert_eq!(client.answer().status, 400);
}

#[test]
fn an_answer_that_asks_for_another_protocol_says_for_which() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send(
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nUpgrade: TLS/1.0\r\n\
         Connection: Upgrade, close\r\nContent-Length: 0\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Connection")), (426, Some("Upgrade")));
    let upgrades: Vec<_> = answer.fields().filter(|(name, _)| *name == "Upgrade").collect();
    assert_eq!(upgrades, [("Upgrade", "websocket"), ("Upgrade", "TLS/1.0")]);
    // Elsewhere it offers what is not to be had through here.
    client.send(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send(
        "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!((answer.header("Upgrade"), answer.header("Connection")), (None, None));
}

#[test]
fn max_forwards_counts_down_and_ends_a_trace() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.connect();
    let mut ask = |method: &str, hops: &str| {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {hops}\r\n\r\n"));
    };
    for (method, hops, passed) in
        [("OPTIONS", "1", "0"), ("TRACE", "10", "9"), ("GET", "0", "0"), ("OPTIONS", "x", "x")]
    {
        ask(method, hops);
        let mut server = upstream.accept();
        let head = server.head();
        assert_eq!(header(&head, "Max-Forwards"), Some(passed), "{method} {hops}");
        server.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    }
    ask("OPTIONS", "0");
    ask("TRACE", "000");
    let statuses: Vec<u16> = (0..6).map(|_| client.answer().status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 501]);
    upstream.nobody();
}

#[test]
fn a_trace_that_would_tell_the_secret_goes_no_further() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), json!({"allrequests_secret": "s3cret"}));
    let mut client = daemon.ask("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status, 501);
    assert!(!answer.text().contains("s3cret"));
    upstream.nobody();
}

#[test]
fn an_upstream_that_knows_the_secret_can_believe_who_the_client_is() {
    let forged = "X-Pushserver-Secret: s3cret\r\nx-pushserver-peer: 6.6.6.6\r\n\
        X_Pushserver_Peer: 6.6.6.6\r\nX-PUSHSERVER-SECRET: no\r\n";
    for (settings, secret, peer) in [
        (json!({"allrequests_secret": "s3cret"}), Some("s3cret"), Some("127.0.0.1")),
        (
            json!({"allrequests_secret": "s3cret", "trusted_proxies": ["127.0.0.1"]}),
            Some("s3cret"),
            Some("127.0.0.1"),
        ),
        (json!({}), None, None),
    ] {
        let upstream = Upstream::start();
        let daemon = start(&upstream.url(), settings);
        let _client = daemon.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{forged}\r\n"));
        let head = upstream.accept().head();
        let said = head.lines().filter(|line| line.to_lowercase().contains("pushserver")).count();
        assert_eq!(said, if secret.is_some() { 2 } else { 0 }, "{head}");
        assert_eq!(header(&head, "X-Pushserver-Secret"), secret);
        assert_eq!(header(&head, "X-Pushserver-Peer"), peer);
    }
    // A Unix socket has no address to tell.
    let upstream = Upstream::start();
    let settings = json!({"allrequests": upstream.url(), "allrequests_secret": "s3cret"});
    let start = Start::with(BINARY, settings);
    let path = start.file("listen.sock");
    let _daemon = start.args(["--listen", &format!("unix:{}", path.display())]).start();
    let mut client = Client::unix(&path);
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{forged}\r\n"));
    let head = upstream.accept().head();
    assert_eq!(header(&head, "X-Pushserver-Secret"), Some("s3cret"));
    assert_eq!(header(&head, "X-Pushserver-Peer"), None);
}

#[test]
fn fields_that_are_replaced_are_told_of_once_with_the_setting_that_lets_them_pass() {
    let upstream = Upstream::start();
    for (trusted, told) in [(json!({}), 1), (json!({"trusted_proxies": ["127.0.0.0/8"]}), 0)] {
        let daemon = start(&upstream.url(), trusted);
        let mut client = daemon.connect();
        for _ in 0..3 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-proto: https\r\n\r\n");
            let mut server = upstream.accept();
            server.head();
            server.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(client.answer().status, 200);
        }
        daemon.signal("USR1");
        daemon.until_logged("event=counters");
        let log = daemon.log().join("\n");
        assert_eq!(log.matches("event=forwarded_replaced").count(), told, "{log}");
        if told > 0 {
            let line = daemon.until_logged("forwarded_replaced");
            assert!(line.contains("peer=127.0.0.1 field=x-forwarded-proto times=1 "), "{line}");
            assert!(line.contains("trusted_proxies"), "{line}");
        }
    }
}
