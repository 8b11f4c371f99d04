//! Streams bring the same on nginx with Nchan as here: each test plays the same clients on both,
//! and compares what they got. Ids are compared by what they are good for, resuming, not by their
//! text. The rest of a difference stands in its own test.

use pushserver_testkit::client::{post, request};
use pushserver_testkit::transcripts::targets::Server;
use pushserver_testkit::{Client, Daemon, Start};
use serde_json::{Value, json};

use crate::BINARY;
use crate::nginx::Nginx;

/// What the clients of a scene got, on this server and then on nginx.
fn played(
    settings: &Value,
    scene: impl Fn(&dyn Fn() -> Client) -> Vec<String>,
) -> [Vec<String>; 2] {
    let daemon: Daemon = Start::with(BINARY, settings.clone()).start();
    let here = scene(&|| daemon.connect());
    let nginx = Nginx::start(settings.clone());
    [here, scene(&|| Server::connect(&nginx))]
}

#[track_caller]
fn alike(settings: &Value, scene: impl Fn(&dyn Fn() -> Client) -> Vec<String>) {
    let [here, there] = played(settings, scene);
    assert_eq!(here, there, "here, and on nginx");
    assert!(!here.is_empty());
}

/// An event stream.
struct Events(Client);

impl Events {
    fn open(mut client: Client, path: &str, lines: &str) -> Self {
        client.send(request(
            &format!("GET {path}"),
            &format!("Accept: text/event-stream\r\n{lines}"),
        ));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("\r\nContent-Type: text/event-stream; charset=utf-8\r\n"), "{head}");
        assert!(head.contains("\r\nX-Accel-Buffering: no\r\n"), "{head}");
        Self(client)
    }

    /// The next event: its id, and its other lines. Comments, `retry`, and an id without data are
    /// passed over: none is an event.
    fn next(&mut self) -> (String, String) {
        loop {
            let Some(end) = self.0.inbox.windows(2).position(|two| two == b"\n\n") else {
                assert!(self.0.fill(), "the stream goes on");
                continue;
            };
            let block: Vec<u8> = self.0.inbox.drain(..end + 2).collect();
            let block = String::from_utf8(block).expect("UTF-8");
            let lines = block.lines().filter(|line| !line.is_empty() && !line.starts_with(':'));
            let lines: Vec<&str> = lines.filter(|line| !line.starts_with("retry: ")).collect();
            let (ids, others): (Vec<&str>, Vec<&str>) =
                lines.into_iter().partition(|line| line.starts_with("id: "));
            if let [id] = ids[..]
                && !others.is_empty()
            {
                return (id["id: ".len()..].to_owned(), others.join("|"));
            }
        }
    }

    fn lines(&mut self) -> String {
        self.next().1
    }
}

/// A WebSocket.
struct Socket(Client);

impl Socket {
    fn open(mut client: Client, path: &str, lines: &str) -> Self {
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        client.send(request(&format!("GET {path}"), &format!("{upgrade}{lines}")));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(
            head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{head}"
        );
        Self(client)
    }

    /// Sends a whole text, masked with zeros.
    fn say(&mut self, text: &str) {
        let length = u8::try_from(text.len()).expect("a short text");
        self.0.send([&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat());
    }

    /// The next frame but pings: its first byte and its payload, which is short.
    fn next(&mut self) -> (u8, String) {
        loop {
            let head = self.0.bytes(2);
            let length = match head[1] {
                126 => u16::from_be_bytes(self.0.bytes(2).try_into().expect("two bytes")).into(),
                length => usize::from(length),
            };
            let payload = self.0.bytes(length);
            if head[0] != 0x89 {
                return (head[0], payload.escape_ascii().to_string());
            }
        }
    }

    fn text(&mut self) -> String {
        let (first, payload) = self.next();
        // The id is compared elsewhere.
        let payload = match payload.split_once("\\n") {
            Some((id, rest)) if id.starts_with("id: ") => rest.to_owned(),
            _ => payload,
        };
        format!("{first:#x} {payload}")
    }
}

fn publish(connect: &dyn Fn() -> Client, path: &str, lines: &str, body: &str) -> u16 {
    let lines = format!("{lines}Content-Length: {}\r\n", body.len());
    let request = request(&format!("POST {path}"), &lines);
    connect().send([request.as_bytes(), body.as_bytes()].concat()).answer().status
}

fn locations(more: &Value) -> Value {
    let mut subscriber = json!({"type": "subscriber", "url": "/s/(.+)", "create_on_get": true});
    for (key, value) in more.as_object().expect("an object") {
        subscriber[key] = value.clone();
    }
    json!({"port": 0, "locations": [{"type": "publisher", "prefix": "/p/"}, subscriber]})
}

#[test]
fn an_event_stream_has_what_is_stored_then_what_is_new_and_resumes() {
    alike(&locations(&json!({})), |connect| {
        let mut told = Vec::new();
        publish(connect, "/p/a", "X-EventSource-Event: greeting\r\n", "one");
        publish(connect, "/p/a", "", "two\nlines\n");
        publish(connect, "/p/a", "", "");
        let mut stream = Events::open(connect(), "/s/a", "");
        let (first, lines) = stream.next();
        told.push(lines);
        told.push(stream.lines());
        told.push(stream.lines());
        told.push(publish(connect, "/p/a", "", "four").to_string());
        told.push(stream.lines());
        for (path, lines) in [
            ("/s/a".to_owned(), format!("Last-Event-ID: {first}\r\n")),
            (format!("/s/a?last_event_id={first}"), String::new()),
        ] {
            let mut again = Events::open(connect(), &path, &lines);
            told.extend([again.lines(), again.lines(), again.lines()]);
        }
        told
    });
}

#[test]
fn a_websocket_has_each_message_in_one_frame_and_resumes() {
    alike(&locations(&json!({})), |connect| {
        let mut told = Vec::new();
        let text = "Content-Type: text/plain\r\n";
        publish(connect, "/p/a", text, "one");
        publish(connect, "/p/a", text, "two");
        let mut plain = Socket::open(connect(), "/s/a", "");
        told.extend([plain.text(), plain.text()]);
        let meta = "Sec-WebSocket-Protocol: ws+meta.nchan\r\n";
        let mut socket = Socket::open(connect(), "/s/a", meta);
        let (first, payload) = socket.next();
        let (id, rest) = payload.split_once("\\n").expect("an id and more");
        told.push(format!("{first:#x} {rest}"));
        told.push(socket.text());
        told.push(publish(connect, "/p/a", text, &"x".repeat(300)).to_string());
        told.extend([plain.text(), socket.text()]);
        let id = id.strip_prefix("id: ").expect("an id");
        let mut again = Socket::open(connect(), &format!("/s/a?last_event_id={id}"), meta);
        told.extend([again.text(), again.text()]);
        told
    });
}

#[test]
fn what_a_websocket_says_at_a_pubsub_location_is_published() {
    let both = json!({"type": "pubsub", "prefix": "/b/", "create_on_get": true});
    alike(&json!({"port": 0, "locations": [both]}), |connect| {
        let mut told = Vec::new();
        let mut socket = Socket::open(connect(), "/b/a", "");
        let mut stream = Events::open(connect(), "/b/a", "");
        socket.say("from a socket");
        told.extend([socket.text(), stream.lines()]);
        told.push(publish(connect, "/b/a", "", "by a request").to_string());
        told.extend([socket.text(), stream.lines()]);
        let poll = connect().get("/b/a").answer();
        told.push(String::from_utf8_lossy(&poll.body).into_owned());
        told
    });
}

#[test]
fn a_websocket_publishes_at_a_publisher_location_and_is_told_of_the_channel() {
    alike(&locations(&json!({})), |connect| {
        let mut told = Vec::new();
        let mut stream = Events::open(connect(), "/s/a", "");
        let mut socket = Socket::open(connect(), "/p/a", "");
        socket.say("one");
        told.push(stream.lines());
        let (first, information) = socket.next();
        let (before, _) = information.split_once("last message id").expect("channel information");
        told.push(format!("{first:#x} {before}"));
        told
    });
}

#[test]
fn where_a_pubsub_location_has_a_secret_reading_is_free() {
    let both = json!({"type": "pubsub", "prefix": "/b/", "create_on_get": true, "secret": "s",
        "allow": ["127.0.0.0/8"]});
    let far = json!({"type": "pubsub", "prefix": "/f/", "create_on_get": true,
        "allow": ["192.0.2.0/24"]});
    alike(&json!({"port": 0, "locations": [both, far]}), |connect| {
        let mut told = Vec::new();
        let mut stream = Events::open(connect(), "/b/a", "");
        told.push(publish(connect, "/b/a", "", "no").to_string());
        told.push(publish(connect, "/b/a", "Authorization: Bearer s\r\n", "yes").to_string());
        told.push(stream.lines());
        told.push(publish(connect, "/f/a", "", "no").to_string());
        let mut socket = Socket::open(connect(), "/f/b", "");
        socket.say("no");
        let (first, payload) = socket.next();
        told.push(format!("{first:#x} {}", &payload[..8]));
        told
    });
}

#[test]
fn a_list_of_channels_is_one_subscription_which_resumes() {
    alike(&locations(&json!({"delimiter": ","})), |connect| {
        let mut told = Vec::new();
        publish(connect, "/p/a", "", "one");
        publish(connect, "/p/b", "", "two");
        let mut stream = Events::open(connect(), "/s/a,b", "");
        let mut both = vec![stream.next(), stream.next()];
        // Nchan has no order over channels.
        told.extend(both.iter().map(|(_, lines)| lines.clone()));
        told.sort();
        publish(connect, "/p/b", "", "three");
        told.push(stream.lines());
        let id = both.remove(1).0;
        let mut again = Events::open(connect(), "/s/a,b", &format!("Last-Event-ID: {id}\r\n"));
        told.push(again.lines());
        told
    });
}

#[test]
fn a_stream_begins_where_first_message_says() {
    for first in [json!("newest"), json!(-1)] {
        alike(&locations(&json!({"first_message": first})), |connect| {
            publish(connect, "/p/a", "", "one");
            publish(connect, "/p/a", "", "two");
            let mut stream = Events::open(connect(), "/s/a", "");
            let mut socket = Socket::open(connect(), "/s/a", "");
            publish(connect, "/p/a", "", "three");
            let mut told = vec![stream.lines(), socket.text()];
            if first == -1 {
                told.extend([stream.lines(), socket.text()]);
            }
            told
        });
    }
}

#[test]
fn a_timeout_of_polls_ends_no_stream_and_pings_keep_it() {
    let settings = locations(&json!({"timeout": 1, "ping_interval": 1}));
    alike(&settings, |connect| {
        let mut stream = Events::open(connect(), "/s/a", "");
        let mut socket = Socket::open(connect(), "/s/a", "");
        // Three pings take longer than the timeout.
        let mut pings = 0;
        while pings < 3 {
            let head = socket.0.bytes(2);
            assert_eq!(head, [0x89, 0]);
            socket.0.send([0x8a, 0x80, 0, 0, 0, 0]);
            pings += 1;
        }
        publish(connect, "/p/a", "", "one");
        vec![stream.lines(), socket.text()]
    });
}

#[test]
fn transports_that_are_left_out_are_refused_or_polls() {
    let settings = locations(&json!({"transports": ["eventsource"]}));
    let [here, there] = played(&settings, |connect| {
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let socket = connect().send(request("GET /s/a", upgrade)).answer().status;
        let poll = connect().get("/s/a").answer().status;
        vec![socket.to_string(), poll.to_string()]
    });
    assert_eq!(here, ["403", "406"]);
    assert_eq!(there, ["403", "403"]);
}

/// What browsers take for a line end, and what they cannot decode.
#[test]
fn bodies_that_streams_bring_otherwise() {
    let [here, there] = played(&locations(&json!({})), |connect| {
        connect().send(post("/p/a", b"one\rid: 7\r\ntwo")).answer();
        let mut stream = Events::open(connect(), "/s/a", "");
        let mut told = vec![stream.lines()];
        connect().send(post("/p/b", b"\xff")).answer();
        told.push(Socket::open(connect(), "/s/b", "").text());
        told
    });
    assert_eq!(here, ["data: one|data: id: 7|data: two", "0x82 \\xff"]);
    assert_eq!(there, ["data: one\rid: 7|data: two", "0x81 \\xff"]);
}

#[test]
fn the_end_of_a_channel_is_told_otherwise() {
    let [here, there] = played(&locations(&json!({})), |connect| {
        publish(connect, "/p/a", "", "one");
        let mut stream = Events::open(connect(), "/s/a", "");
        let mut socket = Socket::open(connect(), "/s/a", "");
        let mut told = vec![stream.lines(), socket.text()];
        connect().send(request("DELETE /p/a", "")).answer();
        told.push(socket.text());
        let rest = stream.0.rest().expect("an end");
        told.push(rest.escape_ascii().to_string());
        told
    });
    assert_eq!(here[2..], ["0x88 \\x11:410 Gone", "event: push:end\\ndata: 410 Gone\\n\\n"]);
    assert_eq!(there[2..], ["0x88 \\x03\\xe9410 Gone", ":410: 410 Gone\\n\\n"]);
}

#[test]
fn an_encoded_delimiter_is_part_of_an_id_and_splits_on_nginx() {
    let [here, there] = played(&locations(&json!({"delimiter": ","})), |connect| {
        publish(connect, "/p/a", "", "one");
        publish(connect, "/p/a%2Cb", "", "both");
        vec![Events::open(connect(), "/s/a%2Cb", "").lines()]
    });
    assert_eq!(here, ["data: both"]);
    assert_eq!(there, ["data: one"]);
}

#[test]
fn compression_is_declined() {
    let [here, there] = played(&locations(&json!({})), |connect| {
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                       Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let head = connect().send(request("GET /s/a", upgrade)).head();
        vec![head.contains("permessage-deflate").to_string()]
    });
    assert_eq!((here, there), (vec!["false".to_owned()], vec!["true".to_owned()]));
}
