//! What passes of heads, and what is added and removed.

use serde_json::json;

use crate::{before, get, ok, start};
use pushserver_testkit::{Client, Upstream, header};

#[test]
fn a_request_and_its_answer_pass() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(
        "GET //a%2Fb/?q=1&r HTTP/1.1\r\nHost: a.example:8000\r\nAccept: */*\r\nCookie: a=1\r\n\
         Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\n\
         X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\n\r\n",
    );
    let mut server = upstream.accept();
    assert_eq!(
        server.head(),
        "GET //a%2Fb/?q=1&r HTTP/1.1\r\nHost: a.example:8000\r\nAccept: */*\r\nCookie: a=1\r\n\
         X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: a.example:8000\r\n\
         X-Forwarded-Proto: http\r\n\r\n"
    );
    server.send(
        "HTTP/1.1 202 Well\r\nSet-Cookie: b=1\r\nServer: Django\r\nSet-Cookie: a=2\r\n\
         Date: today\r\nKeep-Alive: timeout=5\r\nConnection: X-Theirs\r\nX-Theirs: 1\r\n\
         Set-Cookie: b=3\r\nContent-Length: 5\r\n\r\nhello",
    );
    let answer = client.answer();
    assert_eq!(
        answer.head,
        "HTTP/1.1 202 Well\r\nSet-Cookie: b=1\r\nServer: Django\r\nSet-Cookie: a=2\r\n\
         Date: today\r\nSet-Cookie: b=3\r\nContent-Length: 5\r\n\r\n"
    );
    assert_eq!(answer.text(), "hello");
}

#[test]
fn server_and_date_are_added_where_the_upstream_has_none() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), json!({"servername": "relay"}));
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send(ok(""));
    let answer = client.answer();
    assert_eq!(answer.header("Server"), Some("relay"));
    assert!(answer.header("Date").is_some());
}

#[test]
fn connections_on_both_sides_are_used_again_and_answers_keep_their_order() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask([get("/1"), get("/2"), get("/3")].concat());
    let mut server = upstream.accept();
    for number in ["1", "2", "3"] {
        assert!(server.head().starts_with(&format!("GET /{number} ")));
        server.send(ok(number));
        assert_eq!(client.answer().text(), number);
    }
    upstream.nobody();
}

#[test]
fn an_absolute_target_does_not_choose_the_upstream() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask("GET http://b.example/x HTTP/1.1\r\nHost: b.example\r\n\r\n");
    let mut server = upstream.accept();
    assert!(server.head().starts_with("GET /x HTTP/1.1\r\nHost: b.example\r\n"));
    server.send(ok(""));
    assert_eq!(client.answer().status, 200);
}

#[test]
fn answers_without_a_body_have_none() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.connect();
    let mut server: Option<Client> = None;
    for (method, head, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", Some("500")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nEtag: x\r\n\r\n", Some("9")),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Some("0")),
    ] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let server = server.get_or_insert_with(|| upstream.accept());
        assert!(server.head().starts_with(method));
        server.send(head);
        let answer = client.head();
        assert_eq!(answer.get(..15), head.get(..15));
        let lines: Vec<&str> = answer.lines().filter(|l| l.starts_with("Content-Length")).collect();
        let expected = length.map(|length| format!("Content-Length: {length}"));
        assert_eq!(lines.first().map(|line| (*line).to_owned()), expected);
        assert!(!answer.contains("Transfer-Encoding"), "{answer}");
    }
    // Nothing else came: the next answer begins where it should, on the same connection.
    client.send(get("/last"));
    let server = server.as_mut().unwrap();
    server.head();
    server.send(ok("last"));
    assert_eq!(client.answer().text(), "last");
}

#[test]
fn early_hints_pass_to_who_knows_them() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send(hints);
    assert_eq!(client.head(), "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    server.send(ok("x"));
    assert_eq!(client.answer().text(), "x");

    let mut client = daemon.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    server.head();
    server.send([hints, &ok("y")].concat());
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (200, "y"));
    assert!(client.ends());
}

#[test]
fn an_http_1_0_client_gets_what_it_can_read() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let mut server = upstream.accept();
    let head = server.head();
    assert!(
        head.starts_with(&format!("GET / HTTP/1.1\r\nHost: {}\r\n", upstream.address)),
        "{head}"
    );
    server.send(ok("kept"));
    let answer = client.answer();
    assert_eq!((answer.text(), answer.header("Connection")), ("kept", Some("keep-alive")));
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    server.head();
    server
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n");
    let head = client.head();
    assert_eq!(header(&head, "Connection"), Some("close"));
    assert_eq!(header(&head, "Transfer-Encoding"), None);
    assert_eq!(client.rest().unwrap(), b"abc");
}

#[test]
fn a_client_that_wants_to_close_is_let_go_and_the_upstream_is_kept() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut server = upstream.accept();
    assert!(!server.head().contains("Connection"));
    server.send(ok("x"));
    assert_eq!(client.answer().header("Connection"), Some("close"));
    assert!(client.ends());
    let mut client = daemon.ask(get("/"));
    server.head();
    server.send(ok("y"));
    assert_eq!(client.answer().text(), "y");
}

#[test]
fn other_hosts_are_sent_to_the_forced_one() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), json!({"forcehost": "www.example.com"}));
    let mut client = daemon.ask(get("/a?b=c"));
    let answer = client.answer();
    assert_eq!(answer.status, 301);
    assert_eq!(answer.header("Location"), Some("http://www.example.com/a?b=c"));
    client.send("GET /a HTTP/1.1\r\nHost: WWW.example.com:8000\r\n\r\n");
    let mut server = upstream.accept();
    assert!(server.head().starts_with("GET /a HTTP/1.1\r\nHost: WWW.example.com:8000\r\n"));
    server.send(ok("x"));
    assert_eq!(client.answer().text(), "x");
    // A publisher of this machine is no web page: push locations have every name.
    let mut publisher = daemon.ask("PUT /publisher/1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(publisher.answer().status, 200);
    // A body that goes nowhere ends the connection.
    let mut client = daemon.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.answer().status, 301);
    assert!(client.ends());
}

#[test]
fn an_upstream_on_a_unix_socket_is_asked() {
    let path = std::env::temp_dir().join(format!("pushserver-proxy-{}.sock", std::process::id()));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let daemon = start(&format!("unix:{}", path.display()), json!({}));
    let mut client = daemon.ask(get("/"));
    let (server, _) = listener.accept().unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut server = Client::over(server);
    server.head();
    server.send(ok("by path"));
    assert_eq!(client.answer().text(), "by path");
}

#[test]
fn options_of_the_server_are_ours_with_an_upstream_that_is_away_too() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), json!({"forcehost": "www.example"}));
    drop(upstream);
    for version in ["1.0", "1.1"] {
        let answer = daemon.ask(format!("OPTIONS * HTTP/{version}\r\nHost: a\r\n\r\n")).answer();
        assert_eq!((answer.status, answer.header("Content-Length")), (204, None));
    }
}

#[test]
fn what_the_proxy_answers_itself_is_not_cached_and_what_the_upstream_answers_is_untouched() {
    let upstream = Upstream::start();
    let more = json!({"limits": {"upstream_wait": 0.05}, "forcehost": "www.example", "locations": [
        {"type": "subscriber", "prefix": "/updates/",
         "passthrough": format!("{}/hidden/", upstream.url())}]});
    let daemon = start(&upstream.url(), more);
    let ask =
        |path: &str, host: &str| daemon.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    for cache_control in [None, Some("max-age=60")] {
        let line =
            cache_control.map_or(String::new(), |value| format!("Cache-Control: {value}\r\n"));
        let mut client = ask("/a", "www.example");
        let mut server = upstream.accept();
        server.head();
        server.send(format!("HTTP/1.1 404 Not Found\r\n{line}Content-Length: 0\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("Cache-Control")), (404, cache_control));
        drop(server);
    }
    drop(upstream);
    for (path, host, status) in
        [("/", "other.example", 301), ("/hidden/", "www.example", 403), ("/", "www.example", 502)]
    {
        let answer = ask(path, host).answer();
        assert_eq!((answer.status, answer.header("Cache-Control")), (status, Some("no-store")));
    }
}
