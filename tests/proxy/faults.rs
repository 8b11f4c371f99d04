//! An upstream that is away, silent, wrong or gone.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::{before, get, ok, start, verbose};
use pushserver_testkit::{Absent, Client, Upstream};

/// How long a further connection may let one wait.
const A_MOMENT: Duration = Duration::from_millis(20);

fn impatient() -> Value {
    json!({"limits": {"upstream_timeout": 1, "upstream_wait": 1}})
}

#[test]
fn nobody_listens_502_after_the_wait_and_told_once() {
    let absent = Absent::bind();
    let daemon = start(&absent.url(), impatient());
    let mut client = daemon.connect();
    for _ in 0..3 {
        client.send(get("/"));
        let answer = client.answer();
        assert_eq!(answer.status, 502);
        assert!(answer.text().contains("is it running?"));
    }
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.answer().status, 502);
    assert!(client.ends());
    daemon.until_logged("upstream_unreachable");
    let log = daemon.log().join("\n");
    assert_eq!(log.matches("upstream_unreachable").count(), 1, "{log}");
    assert!(log.contains("connection refused"), "{log}");
}

#[test]
fn an_upstream_that_answers_no_dial_is_told_of_once_too() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    // Its backlog is full: further dials are dropped without a word.
    let dials: Vec<Socket> = (0..4)
        .map(|_| {
            let dial = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            dial.set_nonblocking(true).unwrap();
            let _ = dial.connect(&address);
            dial
        })
        .collect();
    let daemon = start(&format!("http://{}", address.as_socket().unwrap()), impatient());
    for _ in 0..2 {
        assert_eq!(daemon.ask(get("/")).answer().status, 502);
    }
    daemon.until_logged("upstream_unreachable");
    let log = daemon.log().join("\n");
    assert_eq!(log.matches("upstream_unreachable").count(), 1, "{log}");
    assert!(log.contains("cause=\"timed out\""), "{log}");
    drop(dials);
}

#[test]
fn requests_wait_while_the_upstream_restarts() {
    let absent = Absent::bind();
    let daemon = verbose(&absent.url());
    let gone = daemon.ask(get("/gone"));
    let mut first = daemon.ask(get("/"));
    let mut second = daemon.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    daemon.until_logged("event=dial_failed");
    gone.socket().shutdown(Shutdown::Both).unwrap();
    let upstream = absent.start();
    for _ in 0..2 {
        let mut server = upstream.accept();
        let head = server.head();
        if head.starts_with("POST") {
            assert_eq!(server.bytes(2), b"hi");
            server.send(ok("posted"));
            assert_eq!(second.answer().text(), "posted");
        } else {
            server.send(ok("got"));
            assert_eq!(first.answer().text(), "got");
        }
    }
    let log = daemon.log().join("\n");
    assert!(!log.contains("upstream_unreachable"), "{log}");
}

#[test]
fn who_has_left_keeps_nobody_waiting_once_the_upstream_is_back() {
    let absent = Absent::bind();
    let daemon = verbose(&absent.url());
    // More than are dialled for within `upstream_wait`.
    let mut gone: Vec<Client> = (0..300).map(|_| daemon.ask(get("/gone"))).collect();
    let mut stays = daemon.ask(get("/"));
    daemon.until_logged("event=dial_failed");
    for client in &mut gone {
        client.end_sending();
        assert!(client.ends());
    }
    let upstream = absent.start();
    let mut server = upstream.accept();
    assert!(server.head().starts_with("GET / "));
    server.send(ok("got"));
    assert_eq!(stays.answer().text(), "got");
}

#[test]
fn a_silent_upstream_is_504_and_told_once() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), impatient());
    let mut client = daemon.connect();
    for _ in 0..2 {
        client.send(get("/"));
        let mut server = upstream.accept();
        server.head();
        assert_eq!(client.answer().status, 504);
        assert!(server.ends());
    }
    // Half a head is no progress for ever either.
    client.send(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-");
    assert_eq!(client.answer().status, 504);
    daemon.until_logged("upstream_silent");
    let log = daemon.log().join("\n");
    assert_eq!(log.matches("upstream_silent").count(), 1, "{log}");
}

#[test]
fn an_upstream_that_falls_silent_in_a_body_cuts_the_client_off() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), impatient());
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    client.head();
    assert_eq!(client.rest().unwrap(), b"3\r\nabc\r\n");
    assert!(server.ends());
}

#[test]
fn an_upstream_that_takes_no_more_is_504() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), impatient());
    let mut client = daemon.connect();
    let size = 1 << 30;
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
    let mut server = upstream.accept();
    server.head();
    let piece = vec![b'x'; 1 << 20];
    // The rest is not taken any more, by a full buffer or a closed connection.
    let _ = (0..size >> 20).try_for_each(|_| client.socket().write_all(&piece));
    assert_eq!(client.answer().status, 504);
}

#[test]
fn an_answer_that_is_none_is_502_and_the_connection_is_not_used_again() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.connect();
    for garbage in [
        "SSH-2.0-x\r\n",
        "\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 99 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA B: c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    ] {
        client.send(get("/"));
        let mut server = upstream.accept();
        server.head();
        server.send(garbage);
        let answer = client.answer();
        assert_eq!(answer.status, 502, "{garbage:?}");
        assert!(!answer.text().contains("SSH"), "nothing of it is shown");
        assert!(server.ends());
    }
    daemon.until_logged("upstream_faulty");
}

#[test]
fn a_head_that_never_ends_is_502() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\n");
    let line = format!("A: {}\r\n", "x".repeat(1000));
    while server.socket().write_all(line.as_bytes()).is_ok() {}
    let answer = client.answer();
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("its head is over 131072 bytes"), "{}", answer.text());
    assert!(daemon.until_logged("upstream_faulty").contains("limits.header_bytes"));
}

#[test]
fn many_large_cookies_pass_and_more_with_a_higher_limit() {
    let upstream = Upstream::start();
    for (settings, kib) in [(json!({}), 120), (json!({"limits": {"header_bytes": 300_000}}), 280)] {
        let daemon = start(&upstream.url(), settings);
        let mut client = daemon.ask(get("/"));
        let mut server = upstream.accept();
        server.head();
        let cookie = format!("Set-Cookie: a={}\r\n", "x".repeat(1024 * 4 - 16));
        let head =
            format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", cookie.repeat(kib / 4));
        server.send(head);
        let answer = client.answer();
        assert_eq!((answer.status, answer.head.matches("Set-Cookie").count()), (200, kib / 4));
    }
}

#[test]
fn a_connection_that_ends_in_a_head_is_502() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.connect();
    for begin in ["HTTP/1.1 200 OK\r\nContent-", "H"] {
        client.send(get("/"));
        let mut server = upstream.accept();
        server.head();
        server.send(begin);
        drop(server);
        assert_eq!(client.answer().status, 502);
        upstream.nobody();
    }
}

#[test]
fn a_body_that_is_cut_off_never_looks_whole() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let server_sends = |client: &mut Client, bytes: &str| {
        let mut server = upstream.accept();
        server.head();
        server.send(bytes);
        client.head();
        server
    };

    let mut client = daemon.ask(get("/"));
    server_sends(&mut client, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!(client.rest().unwrap(), b"hello");

    let mut client = daemon.ask(get("/"));
    server_sends(
        &mut client,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    );
    assert_eq!(client.rest().unwrap(), b"5\r\nhello\r\n");

    // Chunks that are none are as good as cut off.
    let mut client = daemon.ask(get("/"));
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n";
    let mut server = server_sends(&mut client, chunks);
    assert!(!client.rest().unwrap().ends_with(b"0\r\n\r\n"));
    assert!(server.ends());

    // An end by reset is no end.
    let mut client = daemon.ask(get("/"));
    let server = server_sends(&mut client, "HTTP/1.1 200 OK\r\n\r\nhello");
    assert_eq!(client.bytes(10), b"5\r\nhello\r\n");
    server.reset();
    assert_eq!(client.rest().unwrap(), b"");

    // Where the end of the connection is the end of the body, only a reset can tell.
    let mut client = daemon.ask("GET / HTTP/1.0\r\n\r\n");
    let server = server_sends(&mut client, "HTTP/1.1 200 OK\r\nContent-Type: x/y\r\n\r\nhello");
    assert_eq!(client.bytes(5), b"hello");
    server.reset();
    assert_eq!(client.rest().unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn an_idempotent_request_on_a_stale_connection_is_repeated_once() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send(ok("1"));
    assert_eq!(client.answer().text(), "1");
    client.send("DELETE /again HTTP/1.1\r\nHost: a\r\n\r\n");
    server.head();
    // Too late: the request was on its way.
    drop(server);
    let mut server = upstream.accept();
    assert!(server.head().starts_with("DELETE /again"));
    server.send(ok("2"));
    assert_eq!(client.answer().text(), "2");
    client.send("PUT /broken HTTP/1.1\r\nHost: a\r\n\r\n");
    server.head();
    drop(server);
    let mut server = upstream.accept();
    server.head();
    drop(server);
    let answer = client.answer();
    assert_eq!(answer.status, 502);
    let text = format!(
        "the upstream at {} closed the connection without an answer; its log says why\n",
        upstream.address
    );
    assert_eq!(answer.text(), text);
    upstream.nobody();
}

#[test]
fn a_safe_request_is_sent_again_until_the_upstream_answers() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    for method in ["GET", "HEAD", "OPTIONS"] {
        let mut client = daemon.ask(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        for _ in 0..4 {
            let mut server = upstream.accept();
            assert!(server.head().starts_with(method));
            drop(server);
        }
        let mut server = upstream.accept();
        server.head();
        server.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(client.head().get(..12), Some("HTTP/1.1 204"));
    }
    // What has begun to be answered is not.
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send("H");
    drop(server);
    assert_eq!(client.answer().status, 502);
    upstream.nobody();
}

#[test]
fn a_safe_request_is_not_sent_again_for_ever_nor_without_pauses() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), impatient());
    let mut client = daemon.ask(get("/"));
    let answer = std::thread::spawn(move || client.answer());
    let mut tries = 0;
    while !answer.is_finished() {
        // Each is closed at once.
        tries += usize::from(upstream.connections.recv_timeout(A_MOMENT).is_ok());
    }
    let answer = answer.join().unwrap();
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("closed the connection without an answer"), "{answer:?}");
    assert!((2..8).contains(&tries), "{tries} tries in a second");
}

#[test]
fn a_browser_is_shown_that_the_upstream_is_away_and_asks_again_by_itself() {
    let absent = Absent::bind();
    let daemon = start(&absent.url(), impatient());
    let page = |method: &str| {
        let accept = "text/html,application/xhtml+xml,*/*;q=0.8";
        daemon.ask(format!("{method} / HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n")).answer()
    };
    let answer = page("GET");
    assert_eq!((answer.status, answer.closes()), (503, false));
    assert_eq!(answer.header("Retry-After"), Some("1"));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    assert_eq!(answer.header("Content-Type"), Some("text/html; charset=utf-8"));
    let text = answer.text();
    for part in [
        "<!DOCTYPE html>",
        "<meta http-equiv=\"refresh\" content=\"1\">",
        "terminal",
        &format!("the upstream at {} refuses connections; is it running?", absent.address),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("<script") && !text.contains("style"), "{text}");
    // Nothing else is a page that can be loaded again.
    assert_eq!(page("POST").status, 502);
    assert_eq!(daemon.ask(get("/")).answer().status, 502);
}

#[test]
fn what_an_upstream_of_this_machine_did_is_said_in_words() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let garbage = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (accept, kind) in [("*/*", "text/plain"), ("text/html", "text/html")] {
        for (bytes, words) in [
            (garbage, "cannot be read: send Content-Length or Transfer-Encoding, never both"),
            ("HTTP/1.1 2", "closed the connection within the head of its answer"),
            ("<html>", "cannot be read: it does not begin with HTTP/"),
        ] {
            let mut client =
                daemon.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n"));
            let mut server = upstream.accept();
            server.head();
            server.send(bytes);
            drop(server);
            let answer = client.answer();
            assert_eq!(answer.status, 502);
            assert!(answer.text().contains(words), "{words}: {}", answer.text());
            assert!(!answer.text().contains("refresh"), "{}", answer.text());
            let content_type = format!("{kind}; charset=utf-8");
            assert_eq!(answer.header("Content-Type"), Some(&*content_type));
        }
    }
}

#[test]
fn what_may_have_been_done_is_not_asked_for_again() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(get("/"));
    let mut idle = upstream.accept();
    idle.head();
    idle.send(ok("1"));
    assert_eq!(client.answer().text(), "1");
    // A request that cannot be repeated goes over a connection that is not stale.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    let mut server = upstream.accept();
    server.head();
    assert_eq!(server.bytes(2), b"hi");
    drop(server);
    assert_eq!(client.answer().status, 502);
    upstream.nobody();
}

#[test]
fn bytes_behind_an_answer_are_never_the_next_answer() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send([ok("1"), ok("poison")].concat());
    assert_eq!(client.answer().text(), "1");
    assert!(server.ends());
    client.send(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send(ok("2"));
    assert_eq!(client.answer().text(), "2");
    // Nor are those that come later.
    server.send(ok("poison"));
    assert!(server.ends());
    client.send(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send(ok("3"));
    assert_eq!(client.answer().text(), "3");
}

#[test]
fn an_upstream_that_says_close_is_not_asked_again() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.connect();
    for head in
        ["HTTP/1.1 200 OK\r\nConnection: close\r\n", "HTTP/1.0 200 OK\r\n"].map(str::to_owned)
    {
        client.send(get("/"));
        let mut server = upstream.accept();
        server.head();
        server.send(head + "Content-Length: 2\r\n\r\nhi");
        let answer = client.answer();
        assert_eq!((answer.text(), answer.header("Connection")), ("hi", None));
        assert!(server.ends());
    }
}

#[test]
fn an_answer_before_the_request_is_whole_passes_and_ends_both_connections() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
    let mut server = upstream.accept();
    server.head();
    server.send("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    drop(server);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (413, "no"));
    assert_eq!(answer.header("Connection"), Some("close"));
    assert!(client.ends());
}

#[test]
fn an_early_answer_is_read_though_the_upstream_takes_nothing_more() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let size = 64 << 20;
    let mut client =
        daemon.ask(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
    let mut server = upstream.accept();
    server.head();
    let writer = {
        let mut stream = client.socket().try_clone().unwrap();
        // Stops when the daemon has closed.
        std::thread::spawn(move || {
            let piece = vec![b'x'; 1 << 20];
            let _ = (0..size >> 20).try_for_each(|_| stream.write_all(&piece));
        })
    };
    assert_eq!(server.bytes(100_000).len(), 100_000);
    server.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    // With bytes unread, so that the daemon's next write is answered by a reset.
    drop(server);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (413, "no"));
    writer.join().unwrap();
}
