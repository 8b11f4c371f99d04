//! Clients that mean harm: to the log, to its reader, and to the application behind notices.

use std::thread;
use std::time::Duration;

use serde_json::json;

use pushserver_testkit::{
    Backend, Client, Daemon, Manner, Start, limits, post, request, settings, subscriber,
};

use crate::BINARY;

#[test]
fn no_byte_of_a_path_or_a_host_reaches_the_log_as_it_is() {
    let daemon = Start::with(BINARY, settings()).args(["--access-log", "-v"]).start();
    let port = daemon.address().port();
    for byte in 1..=255_u8 {
        let place = [b"/publisher/a", &[byte][..], b"b"].concat();
        let host = [b"evil", &[byte][..], format!(".example:{port}").as_bytes()].concat();
        for (path, host) in [(&place[..], &b"a"[..]), (&b"/publisher/a"[..], &host)] {
            let mut client = daemon.connect();
            client.send([b"GET ", path, b" HTTP/1.1\r\nHost: ", host, b"\r\n\r\n"].concat());
            assert!(client.answer().status >= 400, "byte {byte}");
        }
        let encoded = format!("/publisher/a%{byte:02x}b");
        assert!(daemon.connect().get(&encoded).answer().status >= 400);
    }
    daemon.publish("last", "m");
    daemon.until_logged("/publisher/last");
    for line in daemon.log() {
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
        let quotes = line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
        assert!(quotes % 2 == 0, "{line:?}");
        let is_access = line.contains("request=\"") && line.contains("\" status=");
        let is_event = line.contains(" event=") || line.contains("pushserver");
        assert!(is_access || is_event, "{line:?}");
    }
}

#[test]
fn whoever_is_refused_amid_a_slow_upload_can_read_the_answer_behind_it() {
    const LENGTH: usize = 2 << 20;
    const PIECE: usize = 10_000;
    let mut settings = limits(json!({"body_bytes": 100_000, "body_timeout": 0.2}));
    settings["locations"] = json!([
        {"type": "publisher", "prefix": "/elsewhere/", "allow": ["10.0.0.0/8"]},
        {"type": "publisher", "prefix": "/secret/", "secret": "word"},
        {"type": "publisher", "prefix": "/publisher/"},
        {"type": "subscriber", "prefix": "/subscriber/"},
    ]);
    let daemon = Daemon::start(BINARY, settings);
    let sized = format!("Content-Length: {LENGTH}\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let long = "x".repeat(9_000);
    let requests = [
        (413, request("POST /publisher/a", &sized)),
        (413, request("POST /publisher/a", chunked) + "200000\r\n"),
        (413, request("GET /subscriber/a", &sized)),
        (403, request("POST /elsewhere/a", &format!("Expect: 100-continue\r\n{chunked}"))),
        (403, request("POST /elsewhere/a", chunked)),
        (401, request("POST /secret/a", chunked)),
        (400, request("POST /publisher/a", chunked) + "no size\r\n"),
        (400, request("POST /publisher/a", &format!("{chunked}{sized}"))),
        (414, request(&format!("POST /publisher/{long}"), &sized)),
        (417, request("POST /publisher/a", &format!("Expect: nothing\r\n{sized}"))),
        (431, request("POST /publisher/a", &"A: b\r\n".repeat(200))),
        (501, request("POST /publisher/a", "Transfer-Encoding: gzip\r\n")),
        // Refused when it has paused, and then goes on.
        (408, request("POST /publisher/a", "Content-Length: 100000\r\n")),
    ];
    let mut clients: Vec<Client> = requests.iter().map(|(_, head)| daemon.ask(head)).collect();
    assert!(clients[requests.len() - 1].fill(), "408");
    // 500 kB a second.
    for _ in 0..LENGTH / PIECE {
        for (client, (status, _)) in clients.iter_mut().zip(&requests) {
            // To a closed socket the second one would fail.
            assert!(client.try_send(&[b'x'; PIECE]), "{status}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    for (client, (status, head)) in clients.iter_mut().zip(&requests) {
        let answer = client.answer();
        assert_eq!((answer.status, answer.closes()), (*status, true), "{head}");
        assert_eq!(client.rest().expect("an end, no reset"), b"");
    }
}

#[test]
fn no_subscriber_can_send_what_vouches_for_a_notice() {
    for secret in [None, Some("right")] {
        let backend = Backend::that(Manner::Answers(200));
        let mut passthrough = json!({"passthrough": backend.url()});
        if let Some(secret) = secret {
            passthrough["passthrough_secret"] = secret.into();
        }
        let daemon = Daemon::start(BINARY, subscriber(passthrough));
        let mut client = daemon.connect();
        client.send(
            "GET /subscriber/a%26unsubscribe=1%26channel_id=b HTTP/1.1\r\nHost: a\r\n\
             X-Pushserver-Secret: forged\r\nx-pushserver-SECRET: forged\r\n\
             X_Pushserver_Secret: forged\r\nX-Pushserver-Peer: forged\r\n\
             X_Pushserver_Peer: forged\r\nX-Forwarded-For: 6.6.6.6\r\n\
             X_Forwarded_For: 6.6.6.6\r\nContent-Type: forged/1\r\nConnection: close\r\n\r\n",
        );
        let seen = backend.next();
        assert!(!seen.head.contains("forged") && !seen.head.contains("6.6.6.6"), "{}", seen.head);
        assert_eq!(seen.header("X-Pushserver-Secret"), secret);
        assert_eq!(seen.header("X-Forwarded-For"), Some("127.0.0.1"));
        let form = "channel_id=a%26unsubscribe%3D1%26channel_id%3Db&subscribe=1";
        assert_eq!(seen.body, form);
    }
}

#[test]
fn where_a_publisher_comes_from_is_not_what_it_says() {
    for (allow, status) in [("127.0.0.1", 202), ("10.0.0.0/8", 403)] {
        let mut settings = settings();
        settings["locations"][0]["allow"] = json!([allow]);
        let start = Start::with(BINARY, settings).listeners(2);
        let socket = start.file("socket");
        let unix = format!("unix:{}", socket.display());
        let daemon = start.args(["--listen", "127.0.0.1:0", "--listen", &unix]).start();
        // Who comes over a Unix socket is on this machine.
        for mut client in [daemon.connect(), Client::unix(&socket)] {
            assert_eq!(client.send(post("/publisher/a", b"m")).answer().status, status);
            let forged = "POST /publisher/a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\
                 X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\n\r\n";
            assert_eq!(client.send(forged).answer().status, status);
        }
    }
}
