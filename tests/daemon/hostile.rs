//! Clients that mean harm: to the log, to who reads it, and to the application behind notices.

use serde_json::json;

use crate::support::{Backend, Client, Daemon, Manner, Start, limits, post, settings, subscriber};

#[test]
fn no_byte_of_a_path_or_a_host_reaches_the_log_as_it_is() {
    let daemon = Start::with(settings()).args(["--access-log", "-v"]).start();
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
fn the_answer_to_who_still_sends_is_not_reset_away() {
    let daemon = Daemon::start(limits(json!({"body_bytes": 1000})));
    let mut client = daemon.connect();
    client.send("POST /publisher/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
    let answer = client.answer();
    assert!(answer.status == 413 && answer.closes());
    // What is sent to a closed socket is answered with a reset, which the second of these would
    // find: an answer that was not read yet would be lost. Lingering lasts 1.5 s, and this
    // microseconds.
    for _ in 0..4 {
        assert!(client.try_send(&[b'x'; 64 << 10]), "it is still read");
    }
    assert!(client.ends());
}

#[test]
fn no_subscriber_can_send_what_vouches_for_a_notice() {
    for secret in [None, Some("right")] {
        let backend = Backend::that(Manner::Answers(200));
        let mut passthrough = json!({"passthrough": backend.url()});
        if let Some(secret) = secret {
            passthrough["passthrough_secret"] = secret.into();
        }
        let daemon = Daemon::start(subscriber(passthrough));
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
        let start = Start::with(settings).listeners(2);
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
