//! RFC 6455 over sockets, in the groups of the table in docs/protocol.md: what a client sends comes
//! whole and one byte at a time, and what others on the channel get is looked at each time.

use std::time::Duration;

use serde_json::{Value, json};

use pushserver_testkit::transcripts::part::{Frame, masked};
use pushserver_testkit::{Daemon, Stream, limits, request};

use crate::BINARY;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY_FRAME: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const LAST: u8 = 0x80;

/// The largest message that is taken.
const BODY_BYTES: usize = 70_000;

fn daemon() -> Daemon {
    let mut settings = limits(json!({"body_bytes": BODY_BYTES}));
    settings["locations"] = json!([
        {"type": "publisher", "prefix": "/publisher/"},
        {"type": "subscriber", "prefix": "/subscriber/", "create_on_get": true},
        {"type": "pubsub", "prefix": "/both/", "create_on_get": true},
    ]);
    Daemon::start(BINARY, settings)
}

/// What a client sends, and what it is sent for that.
#[derive(Debug, Default)]
struct Case {
    sent: Vec<u8>,
    messages: Vec<(&'static str, Vec<u8>)>,
    /// Comes to others, and to the client itself unless the Close is sooner.
    published: Vec<Vec<u8>>,
    pongs: Vec<Vec<u8>>,
    /// The code of the Close behind all that; `None`: the connection stays.
    code: Option<u16>,
}

/// Frames that a client sends, with the first byte of each.
fn frames(all: &[(u8, &[u8])]) -> Vec<u8> {
    all.iter().flat_map(|(first, payload)| masked(*first, payload)).collect()
}

/// Bytes that are closed with a code.
fn breach(sent: &[u8], code: u16) -> Case {
    Case { sent: sent.to_vec(), code: Some(code), ..Case::default() }
}

/// A Close with a code and a reason.
fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frames(&[(LAST | CLOSE, &[&code.to_be_bytes(), reason].concat())])
}

/// Plays each case whole and byte by byte, always on a new channel, where another one listens: what
/// was published before the fault comes to it, and what is published behind it.
#[track_caller]
fn play(cases: Vec<Case>) {
    let daemon = daemon();
    for (index, case) in cases.iter().enumerate() {
        for size in [case.sent.len(), 1] {
            let path = format!("/both/{index}-{size}");
            let mut listener = Stream::socket_with_ids(daemon.connect(), &path);
            let mut socket = Stream::socket(daemon.connect(), &path);
            for piece in case.sent.chunks(size) {
                // It may be closed before all of it is sent.
                socket.client.try_send(piece);
            }
            assert_sent(case, &mut socket, &format!("case {index}, pieces of {size} bytes"));
            assert_eq!(daemon.connect().post(&path, b"last").answer().status, 201);
            for body in case.messages.iter().map(|(_, body)| body).chain(&case.published) {
                assert_eq!(&listener.message().body, body, "case {index}");
            }
            assert_eq!(listener.message().body, b"last", "case {index}");
        }
    }
}

#[track_caller]
fn assert_sent(case: &Case, socket: &mut Stream, what: &str) {
    let (mut messages, mut pongs) = (Vec::new(), Vec::new());
    while (messages.len(), pongs.len()) != (case.messages.len(), case.pongs.len()) {
        let Frame { kind, payload } = socket.frame();
        match kind {
            "pong" => pongs.push(payload),
            "close" => panic!("{what}: closed early: {}", payload.escape_ascii()),
            kind => messages.push((kind, payload)),
        }
    }
    assert!(messages == case.messages, "{what}");
    assert_eq!(pongs, case.pongs, "{what}");
    match case.code {
        None => {
            socket.send(LAST | PING, b"still here?");
            let pong = Frame { kind: "pong", payload: b"still here?".to_vec() };
            assert_eq!(socket.frame(), pong, "{what}");
        }
        Some(code) => {
            let mut frame = socket.frame();
            while case.published.contains(&frame.payload) {
                frame = socket.frame();
            }
            assert_eq!(frame.kind, "close", "{what}: {}", frame.payload.escape_ascii());
            assert_eq!(frame.close().map_or(0, |(code, _)| code), code, "{what}");
            assert!(socket.ends(), "{what}");
        }
    }
}

#[test]
fn handshakes_over_sockets_are_agreed_on_or_refused() {
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
    const ODD: &str = "connection: x, UPGRADE\r\nUpgrade: x, WebSocket\r\n\
                       Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let daemon = daemon();
    for (lines, status) in [
        ([UPGRADE, KEY, VERSION].concat(), 101),
        ([KEY, VERSION, ODD].concat(), 101),
        ([UPGRADE, VERSION].concat(), 400),
        ([UPGRADE, KEY, KEY, VERSION].concat(), 400),
        ([UPGRADE, "Sec-WebSocket-Key: x\r\n", VERSION].concat(), 400),
        ([UPGRADE, KEY].concat(), 426),
        ([UPGRADE, KEY, "Sec-WebSocket-Version: 12\r\n"].concat(), 426),
        ([KEY, VERSION].concat(), 426),
    ] {
        let request = request("GET /subscriber/a", &lines);
        for size in [request.len(), 1] {
            let mut client = daemon.connect();
            client.send_in_pieces(request.as_bytes(), size, Duration::ZERO);
            let answer = client.answer();
            assert_eq!(answer.status, status, "{lines}");
            let accept = (status == 101).then_some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
            assert_eq!(answer.header("Sec-WebSocket-Accept"), accept);
            assert_eq!(answer.header("Content-Length").is_none(), status == 101);
            assert!(answer.header("Sec-WebSocket-Extensions").is_none());
            let version = (status == 426).then_some("13");
            assert_eq!(answer.header("Sec-WebSocket-Version"), version);
        }
    }
    let old = format!("GET /subscriber/a HTTP/1.0\r\nHost: a\r\n{UPGRADE}{KEY}{VERSION}\r\n");
    assert_eq!(daemon.ask(old).answer().status, 400);
    let body = format!("{UPGRADE}{KEY}{VERSION}Content-Length: 1\r\n");
    let mut client = daemon.ask(request("GET /subscriber/a", &body));
    assert_eq!(client.send("x").answer().status, 400);
    let offer = "Sec-WebSocket-Protocol: chat, ws+meta.nchan\r\n";
    let lines = [UPGRADE, KEY, VERSION, offer].concat();
    let answer = daemon.ask(request("GET /subscriber/a", &lines)).answer();
    assert_eq!(answer.header("Sec-WebSocket-Protocol"), Some("ws+meta.nchan"));
}

#[test]
fn messages_of_every_length_come_back_over_sockets() {
    let mut cases = Vec::new();
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, BODY_BYTES] {
        let body: Vec<u8> = (0..length).map(|at| b'a' + (at % 26) as u8).collect();
        cases.push(Case {
            sent: frames(&[(LAST | TEXT, &body), (LAST | BINARY_FRAME, &body)]),
            messages: vec![("text", body.clone()), ("binary", body)],
            ..Case::default()
        });
    }
    // The examples of RFC 6455 5.7.
    cases.push(Case {
        sent:
            b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\
                \x58"
                .to_vec(),
        messages: vec![("text", b"Hello".to_vec())],
        pongs: vec![b"Hello".to_vec()],
        ..Case::default()
    });
    cases.extend([
        breach(b"\x81\x05Hello", 1002),
        breach(b"\x82\xfe\0\x7d\0\0\0\0", 1002),
        breach(b"\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0", 1002),
        breach(b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 1002),
    ]);
    play(cases);
}

#[test]
fn pings_are_answered_in_order_over_sockets() {
    let many: Vec<Vec<u8>> = (0..100).map(|n: u8| vec![n; n.into()]).collect();
    let pings: Vec<(u8, &[u8])> = many.iter().map(|payload| (LAST | PING, &payload[..])).collect();
    play(vec![
        Case { sent: frames(&pings), pongs: many.clone(), ..Case::default() },
        Case {
            sent: frames(&[(LAST | PONG, b"unasked"), (LAST | PING, &[0xff; 125])]),
            pongs: vec![vec![0xff; 125]],
            ..Case::default()
        },
        breach(b"\x89\xfe\0\x7e\0\0\0\0", 1002),
        breach(b"\x8a\xfe\0\x7e\0\0\0\0", 1002),
        breach(b"\x09\x80\0\0\0\0", 1002),
    ]);
}

#[test]
fn reserved_bits_and_opcodes_are_1002_over_sockets() {
    let before = masked(LAST | TEXT, b"before");
    let case = |first: u8| Case {
        sent: [&before[..], &masked(first, b"x"), &masked(LAST | TEXT, b"behind")].concat(),
        published: vec![b"before".to_vec()],
        code: Some(1002),
        ..Case::default()
    };
    let bits = [0x40, 0x20, 0x10, 0x70].map(|bits| LAST | bits | TEXT);
    let opcodes = (3..8).chain(11..16).map(|opcode| LAST | opcode);
    play(bits.into_iter().chain(opcodes).chain([LAST | 0x40 | PING]).map(case).collect());
}

#[test]
fn fragments_are_put_together_over_sockets() {
    play(vec![
        Case {
            sent: frames(&[
                (TEXT, b"a"),
                (CONTINUATION, b""),
                (LAST | PING, b"between"),
                (CONTINUATION, b"b"),
                (LAST | PONG, b""),
                (LAST | CONTINUATION, b"c"),
                (BINARY_FRAME, b""),
                (LAST | CONTINUATION, b""),
                (LAST | TEXT, b"next"),
            ]),
            messages: vec![
                ("text", b"abc".to_vec()),
                ("binary", Vec::new()),
                ("text", b"next".to_vec()),
            ],
            pongs: vec![b"between".to_vec()],
            ..Case::default()
        },
        breach(&frames(&[(LAST | CONTINUATION, b"x")]), 1002),
        breach(&frames(&[(CONTINUATION, b"x")]), 1002),
        breach(&frames(&[(TEXT, b"x"), (LAST | TEXT, b"y")]), 1002),
        breach(&frames(&[(TEXT, b"x"), (BINARY_FRAME, b"y")]), 1002),
        breach(&frames(&[(CLOSE, b"")]), 1002),
    ]);
}

#[test]
fn what_a_client_has_sent_whole_is_published_though_its_end_is_there_too() {
    let daemon = daemon();
    for path in ["/both/a", "/publisher/a"] {
        let mut listener = Stream::socket_with_ids(daemon.connect(), "/both/a");
        let mut socket = Stream::socket(daemon.connect(), path);
        let bodies: Vec<String> = (0..200).map(|n| format!("{path} {n}")).collect();
        let whole = bodies.iter().flat_map(|body| masked(LAST | TEXT, body.as_bytes()));
        let cut_off = &masked(LAST | TEXT, b"cut off")[..9];
        let sent: Vec<u8> = whole.chain(cut_off.iter().copied()).collect();
        socket.client.send(sent).end_sending();
        for body in &bodies {
            assert_eq!(listener.message().body, body.as_bytes());
        }
        daemon.connect().send(request("DELETE /publisher/a", "")).answer();
        assert_eq!(listener.frame().close().map(|(code, _)| code), Some(4410), "{path}");
    }
}

#[test]
fn text_is_utf8_over_sockets() {
    let text = "κόσμε ö 水 🌍".as_bytes();
    let cut: Vec<(u8, &[u8])> = text
        .chunks(1)
        .enumerate()
        .map(|(at, byte)| match at {
            0 => (TEXT, byte),
            at if at + 1 == text.len() => (LAST | CONTINUATION, byte),
            _ => (CONTINUATION, byte),
        })
        .collect();
    let mut cases = vec![
        Case {
            sent: [frames(&[(LAST | TEXT, text)]), frames(&cut)].concat(),
            messages: vec![("text", text.to_vec()); 2],
            ..Case::default()
        },
        Case {
            sent: frames(&[(LAST | BINARY_FRAME, b"\xff\xfe")]),
            messages: vec![("binary", b"\xff\xfe".to_vec())],
            ..Case::default()
        },
        // At the byte that shows it: the rest never comes.
        breach(&masked(LAST | TEXT, b"\xce\xba\xff...")[..9], 1007),
        breach(&frames(&[(TEXT, b"ok"), (LAST | CONTINUATION, b"\xe6\xb0")]), 1007),
    ];
    for bad in [&b"\xc0\xaf"[..], b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf8\x88", b"\x80"] {
        cases.push(breach(&frames(&[(LAST | TEXT, bad)]), 1007));
    }
    play(cases);
}

#[test]
fn closes_are_answered_over_sockets() {
    let behind = frames(&[(LAST | PING, b"x"), (LAST | TEXT, b"never published")]);
    let mut cases = vec![
        breach(&frames(&[(LAST | CLOSE, b"")]), 0),
        breach(&close(1000, &[b'x'; 123]), 1000),
        breach(&frames(&[(LAST | CLOSE, b"x")]), 1002),
        breach(&close(1000, b"\xff"), 1007),
        breach(b"\x88\xfe\0\x7e\0\0\0\0", 1002),
    ];
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999] {
        cases.push(breach(&[close(code, b"bye"), behind.clone()].concat(), code));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
        cases.push(breach(&[close(code, b""), behind.clone()].concat(), 1002));
    }
    play(cases);
}

#[test]
fn messages_above_the_limit_are_1009_and_those_of_listeners_1008_over_sockets() {
    let large = vec![b'x'; BODY_BYTES];
    play(vec![
        breach(&masked(LAST | TEXT, &[&large[..], b"x"].concat())[..10], 1009),
        breach(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 1009),
        breach(&frames(&[(BINARY_FRAME, &large), (LAST | CONTINUATION, b"x")]), 1009),
        Case {
            sent: frames(&[(BINARY_FRAME, &large), (LAST | CONTINUATION, b"")]),
            messages: vec![("binary", large)],
            ..Case::default()
        },
    ]);
    let daemon = daemon();
    for sent in [&b"\x81\xfe"[..], b"\x02\x80"] {
        let mut socket = Stream::socket(daemon.connect(), "/subscriber/a");
        socket.client.send(sent);
        assert_eq!(socket.frame().close().map(|(code, _)| code), Some(1008));
        assert!(socket.ends());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_a_header_promises_takes_no_memory_over_sockets() {
    const SOCKETS: usize = 200;
    let mut settings: Value = limits(json!({"body_bytes": 16 << 20}));
    settings["locations"] = json!([{"type": "pubsub", "prefix": "/both/", "create_on_get": true}]);
    let daemon = Daemon::start(BINARY, settings);
    let mut sockets: Vec<Stream> =
        (0..SOCKETS).map(|n| Stream::socket(daemon.connect(), &format!("/both/{n}"))).collect();
    let before = daemon.vitals().resident_kib();
    for socket in &mut sockets {
        let head = [&[0x82, 0xff][..], &(16_u64 << 20).to_be_bytes(), &[0; 4], b"begun"].concat();
        socket.client.send(head);
    }
    // What comes first is read first.
    let mut last = Stream::socket(daemon.connect(), "/both/last");
    last.send(LAST | PING, b"x");
    assert_eq!(last.frame().kind, "pong");
    let after = daemon.vitals().resident_kib();
    assert!(after < before + 4096, "{before} KiB before, {after} KiB with {SOCKETS} heads");
}
