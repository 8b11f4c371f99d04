//! Which of the two a connection is, and what follows from it.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use pushserver_testkit::{Client, Start, Upstream, post, request, settings};
use serde_json::json;

use crate::client::{Secure, config, session};
use crate::{BINARY, secure, start, trusted};

#[test]
fn https_and_http_share_the_port_and_the_channels() {
    let daemon = start(json!({})).listeners(2).start();
    let plain = daemon.addresses[0].strip_prefix("http://").unwrap();
    assert_eq!(daemon.addresses[1], format!("https://{plain}"));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut subscriber =
            Secure::over(&daemon, session(config(&daemon, &[version]))).handshake();
        assert_eq!(subscriber.session.protocol_version(), Some(version.version));
        let name = format!("{:?}", version.version);
        subscriber.get(&format!("/subscriber/{name}"));
        daemon.until_held(&name, 1);
        assert_eq!(daemon.publish(&name, "from plain to TLS").status, 201);
        assert_eq!(subscriber.answer().text(), "from plain to TLS");
        let other = format!("other-{name}");
        let mut plain = daemon.hold(&other, 1).remove(0);
        subscriber.send(post(&format!("/publisher/{other}"), b"from TLS to plain"));
        assert_eq!(subscriber.answer().status, 201);
        assert_eq!(plain.answer().text(), "from TLS to plain");
    }
}

#[test]
fn where_plain_http_is_off_a_plain_request_is_refused_unread() {
    let daemon = start(json!({"plain_http": false})).start();
    let address = daemon.addresses[0].strip_prefix("https://").unwrap();
    let mut client = Client::tcp(address.parse().unwrap());
    // Neither the channel nor the body is looked at.
    client.send(
        "POST /publisher/a HTTP/1.1\r\nHost: push.example:8001\r\nContent-Length: 99\r\n\r\nbegun",
    );
    let answer = client.answer();
    assert_eq!(answer.status, 400);
    assert_eq!(answer.text().trim_end(), "this port speaks HTTPS only: https://push.example:8001/");
    assert!(answer.closes() && client.ends());
    // What is no host is not repeated.
    let mut client = Client::tcp(address.parse().unwrap());
    client.send("GET / HTTP/1.1\r\nHost: <b>\r\n\r\n");
    let answer = client.answer();
    assert!(answer.status == 400 && !answer.text().contains('<'), "{}", answer.text());
}

#[test]
fn a_unix_socket_takes_both() {
    let path = std::env::temp_dir().join(format!("pushserver-tls-{}.sock", std::process::id()));
    let name = format!("unix:{}", path.display());
    let daemon = start(json!({"address": name})).start();
    assert_eq!(daemon.addresses, [name]);
    let mut plain = Client::unix(&path);
    assert_eq!(plain.get("/subscriber/a?last_event_id=x").answer().status, 400);
    let mut client = session(config(&daemon, rustls::ALL_VERSIONS));
    let mut socket = UnixStream::connect(&path).unwrap();
    let mut stream = rustls::Stream::new(&mut client, &mut socket);
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 404 "), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_socket_that_systemd_hands_over_takes_both() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hand_over = "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1";
    let mut settings = settings();
    settings["certificate"] = "development".into();
    let start = Start::within(BINARY, settings, hand_over).stdin(OwnedFd::from(listener));
    let state = start.file("state").to_str().unwrap().to_owned();
    let daemon = start.listeners(2).env("XDG_STATE_HOME", &state).start();
    assert!(daemon.addresses[1].starts_with("https://127.0.0.1:"), "{:?}", daemon.addresses);
    let mut subscriber = Secure::connect(&daemon).handshake();
    subscriber.get("/subscriber/a");
    daemon.until_held("a", 1);
    assert_eq!(daemon.publish("a", "from plain to TLS").status, 201);
    assert_eq!(subscriber.answer().text(), "from plain to TLS");
}

#[test]
fn a_client_that_offers_only_h2_is_refused_by_an_alert() {
    let daemon = secure(json!({}));
    let mut offers_h2 = config(&daemon, rustls::ALL_VERSIONS);
    offers_h2.alpn_protocols = vec![b"h2".to_vec()];
    let mut client = Secure::over(&daemon, session(offers_h2));
    client.flush();
    client.until_ended();
    let mut offers_both = config(&daemon, rustls::ALL_VERSIONS);
    offers_both.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let client = Secure::over(&daemon, session(offers_both)).handshake();
    assert_eq!(client.session.alpn_protocol(), Some(&b"http/1.1"[..]));
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &daemon.address().to_string(), "-alpn", "h2"])
        .args(["-CAfile", &trusted(&daemon)])
        .output()
        .expect("openssl is there");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no application protocol"), "{said}");
}

#[test]
fn the_application_is_told_that_it_was_https_and_a_forced_host_keeps_it() {
    let upstream = Upstream::start();
    let daemon = secure(json!({"allrequests": upstream.url(), "forcehost": "localhost"}));
    let port = daemon.address().port();
    let mut client = Secure::connect(&daemon).handshake();
    client.send(format!("GET /page HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"));
    let mut asked = upstream.accept();
    let head = asked.head();
    assert!(head.contains("\r\nX-Forwarded-Proto: https\r\n"), "{head}");
    asked.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.answer().status, 204);
    client.send(format!("GET /page HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"));
    let location = format!("https://localhost:{port}/page");
    assert_eq!(client.answer().header("Location"), Some(&*location));
}

#[test]
fn event_streams_and_websockets_are_served_and_foreign_names_refused() {
    let daemon = secure(json!({}));
    let mut stream = Secure::connect(&daemon).handshake();
    stream.send(request("GET /subscriber/a", "Accept: text/event-stream\r\n"));
    stream.until_seen("text/event-stream");
    let mut socket = Secure::connect(&daemon).handshake();
    socket.send(request(
        "GET /subscriber/a",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ));
    socket.until_seen("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    daemon.until_held("a", 2);
    daemon.publish("a", "one for both");
    stream.until_seen("data: one for both");
    socket.until_seen("one for both");
    let mut foreign = Secure::connect(&daemon).handshake();
    let host = format!("Host: evil.example:{}", daemon.address().port());
    foreign.send(format!("GET /subscriber/a HTTP/1.1\r\n{host}\r\n\r\n"));
    assert_eq!(foreign.answer().status, 421);
}

#[test]
fn health_is_asked_by_https_whoever_has_signed_the_certificate() {
    let daemon = secure(json!({"locations": [{"type": "status", "prefix": "/pushserver/"}]}));
    let url = format!("https://{}", daemon.address());
    let output = Start::bare(BINARY, "").args(["--health", &url]).output();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
