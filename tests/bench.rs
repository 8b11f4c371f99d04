//! `pushserver bench` as a program: against our own daemon, against the limit server, against a
//! small server of the protocol that behaves, and against one that does not.

#[path = "../benches/limit.rs"]
#[allow(dead_code, reason = "its main is for the example")]
mod limit;

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use pushserver::http::websocket::{Opcode, PING, accept_key, write_frame_head};
use pushserver_testkit::backend::Seen;
use pushserver_testkit::directory::Directory;
use pushserver_testkit::{Absent, Client, Daemon, Start, Upstream};
use serde_json::Value;

/// The daemon under test.
const BINARY: &str = env!("CARGO_BIN_EXE_pushserver");

const TRANSPORTS: [&str; 3] = ["poll", "eventsource", "websocket"];
const STREAMS: [&str; 2] = ["eventsource", "websocket"];

/// What the server does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Every 7th message of a channel is kept from its subscribers.
    Loses,
    /// Every 7th message of a channel is stored twice.
    Repeats,
    /// Bodies lose their last byte, but for the first of a channel.
    Damages,
    /// Subscribers of channels that nobody made are refused.
    WantsChannelsMade,
    /// Every message of a stream has a ping before it, for which that is no fault.
    Pings,
    /// Streams end after the 5th message.
    Ends,
}

/// How a message goes into a stream.
#[derive(Clone, Copy)]
enum Stream {
    Events,
    Frames,
}

/// Messages by channel; the tag of a message is its index.
type Channels = Arc<(Mutex<HashMap<String, Vec<Vec<u8>>>>, Condvar)>;

/// A server with a thread for each connection, on a free port.
fn serve(fault: Fault) -> SocketAddr {
    let upstream = Upstream::start();
    let address = upstream.address;
    let channels = Channels::default();
    thread::spawn(move || {
        for client in upstream.connections {
            let channels = Arc::clone(&channels);
            thread::spawn(move || converse(client, &channels, fault));
        }
    });
    address
}

fn converse(mut client: Client, channels: &Channels, fault: Fault) -> Option<()> {
    let mut posts = HashMap::<String, usize>::new();
    loop {
        let request = Seen::of(&mut client)?;
        let (method, path) = request.head.split_once(' ')?;
        let name = path.split(['/', ' ']).nth(2)?.to_owned();
        // Of the message that the subscriber has.
        let tag = request.header("If-None-Match").and_then(|tag| tag.parse::<usize>().ok());
        let mut body = request.body.clone().into_bytes();
        let (messages, arrived) = &**channels;
        let mut messages = messages.lock().ok()?;
        let answer = match method {
            "GET" => {
                let is_unknown = !messages.contains_key(&name);
                if let Some((stream, head)) = stream_wanted(&request)
                    && !(fault == Fault::WantsChannelsMade && is_unknown)
                {
                    drop(messages);
                    client.try_send(head.as_bytes()).then_some(())?;
                    return send_stream(&mut client, channels, &name, stream, fault);
                }
                if fault == Fault::WantsChannelsMade && is_unknown {
                    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()
                } else {
                    let next = tag.map_or(0, |tag| tag + 1);
                    while messages.get(&name).is_none_or(|stored| stored.len() <= next) {
                        messages = arrived.wait(messages).ok()?;
                    }
                    let body = &messages[&name][next];
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nServer: tiny\r\nLast-Modified: x\r\nEtag: {next}\r\n\
                         Content-Length: {}\r\n\r\n",
                        body.len()
                    );
                    [head.as_bytes(), body].concat()
                }
            }
            "PUT" => {
                messages.entry(name).or_default();
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
            }
            _ => {
                let count = posts.entry(name.clone()).or_default();
                *count += 1;
                let seventh = count.is_multiple_of(7);
                let stored = messages.entry(name).or_default();
                if fault == Fault::Damages && *count > 1 {
                    body.pop();
                }
                if !(seventh && fault == Fault::Loses) {
                    stored.push(body.clone());
                }
                if seventh && fault == Fault::Repeats {
                    stored.push(body);
                }
                arrived.notify_all();
                b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_vec()
            }
        };
        drop(messages);
        client.try_send(&answer).then_some(())?;
    }
}

/// The stream that a request asks for, and the head that opens it.
fn stream_wanted(request: &Seen) -> Option<(Stream, String)> {
    if request.header("Accept") == Some("text/event-stream") {
        let head = "HTTP/1.1 200 OK\r\nServer: tiny\r\nContent-Type: text/event-stream\r\n\r\n";
        return Some((Stream::Events, format!("{head}: hi\n\n")));
    }
    let accept = accept_key(request.header("Sec-WebSocket-Key")?.as_bytes())?;
    let accept = String::from_utf8_lossy(&accept).into_owned();
    let head = "HTTP/1.1 101 Switching Protocols\r\nServer: tiny\r\nUpgrade: websocket\r\n\
                Connection: Upgrade\r\nSec-WebSocket-Accept: ";
    Some((Stream::Frames, format!("{head}{accept}\r\n\r\n")))
}

/// Sends a channel's messages, those that are there first, until the client goes.
fn send_stream(
    client: &mut Client,
    channels: &Channels,
    name: &str,
    stream: Stream,
    fault: Fault,
) -> Option<()> {
    let (messages, arrived) = &**channels;
    for next in 0.. {
        let body = {
            let mut messages = messages.lock().ok()?;
            while messages.get(name).is_none_or(|stored| stored.len() <= next) {
                messages = arrived.wait(messages).ok()?;
            }
            messages[name][next].clone()
        };
        if fault == Fault::Ends && next == 5 {
            return None;
        }
        if fault == Fault::Pings {
            ping(client, stream)?;
        }
        client.try_send(&in_stream(stream, next, &body)).then_some(())?;
    }
    None
}

/// Sends a ping; a WebSocket's client must answer with its bytes, masked.
fn ping(client: &mut Client, stream: Stream) -> Option<()> {
    let Stream::Frames = stream else { return client.try_send(b":\n\n").then_some(()) };
    client.try_send(&[PING[0], 2, b'a', b'b']).then_some(())?;
    let pong = client.bytes(8);
    let unmasked = [pong[6] ^ pong[2], pong[7] ^ pong[3]];
    (pong[..2] == [0x8a, 0x82] && unmasked == *b"ab").then_some(())
}

/// A message as an event or a frame.
fn in_stream(stream: Stream, number: usize, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream {
        Stream::Events => {
            bytes.extend_from_slice(format!("id: 1:{number}\n").as_bytes());
            for line in body.split(|byte| *byte == b'\n') {
                bytes.extend_from_slice(&[b"data: ", line, b"\n"].concat());
            }
            bytes.push(b'\n');
        }
        Stream::Frames => {
            write_frame_head(Opcode::Text, body.len(), &mut bytes);
            bytes.extend_from_slice(body);
        }
    }
    bytes
}

/// Runs the program on a server with this fault; its output, and its JSON.
fn bench(fault: Fault, arguments: &str) -> (Output, Value) {
    bench_at(serve(fault), arguments)
}

/// Runs the program on the server at this address; its output, and its JSON.
fn bench_at(address: SocketAddr, arguments: &str) -> (Output, Value) {
    let output = Command::new(BINARY)
        .arg("bench")
        .args(["--publish", &format!("http://{address}/p/{{channel}}")])
        .args(["--subscribe", &format!("http://{address}/s/{{channel}}")])
        .args(["--json", "-"])
        .args(arguments.split_whitespace())
        .output()
        .expect("the program starts");
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, json)
}

/// The one run of a document, which must be without faults.
fn faultless(fault: Fault, arguments: &str) -> Value {
    let (output, json) = bench(fault, arguments);
    let run = json["runs"][0].clone();
    assert!(output.status.success(), "{arguments}: {output:?}");
    for count in ["lost", "repeated", "reordered", "damaged", "resets", "unanswered"] {
        assert_eq!(run["faults"][count], 0, "{arguments}: {count}");
    }
    run
}

#[test]
fn every_scenario_ends_without_a_fault_on_a_server_that_has_none() {
    for (scenario, deliveries) in [
        ("fanout -n 50 --messages 3", 150),
        ("fanout -n 50 --channels 4 --messages 8 --repoll after-all", 100),
        ("fanout -n 10 --rate 500 --messages 20", 200),
        ("cycle -n 50 --messages 4", 200),
        ("channels -n 50 --publishers 8 --messages 200", 200),
        ("idle -n 50", 50),
        ("publish --publishers 4 --messages 100", 0),
    ] {
        let run = faultless(Fault::None, &format!("{scenario} --seconds 60"));
        assert_eq!(run["deliveries"], deliveries, "{scenario}");
        assert_eq!(run["server"], "tiny");
    }
}

#[test]
fn every_scenario_ends_without_a_fault_on_our_own_daemon() {
    let daemon = Start::bare(BINARY, "").args(["--port", "0", "-q"]).start();
    for (scenario, name) in [
        ("fanout -n 50 --messages 4", "fanout"),
        ("fanout -n 50 --messages 20 --rate 400 --repoll at-once", "fanout"),
        ("fanout -n 50 --messages 4 --repoll after-all --size 20000", "fanout"),
        ("cycle -n 50 --messages 20", "cycle"),
        ("channels -n 50 --messages 200", "channels"),
        ("idle -n 50", "idle"),
        ("publish --messages 200", "publish"),
        ("poll -n 4 --stored 5 --messages 200", "poll"),
        ("isolation -n 50 --messages 10", "isolation"),
    ] {
        bench_daemon(&daemon, scenario, name);
    }
}

#[test]
fn every_scenario_of_streams_ends_without_a_fault_on_our_own_daemon() {
    let daemon = Start::bare(BINARY, "").args(["--port", "0", "-q"]).start();
    for transport in STREAMS {
        for (scenario, name) in [
            ("fanout -n 50 --messages 4", "fanout"),
            ("fanout -n 50 --messages 20 --rate 400", "fanout"),
            ("fanout -n 50 --messages 4 --size 70000", "fanout"),
            ("cycle -n 50 --messages 20", "cycle"),
            ("channels -n 50 --messages 200", "channels"),
            ("idle -n 50 --channels 1", "idle"),
            ("isolation -n 50 --messages 10", "isolation"),
        ] {
            let run = bench_daemon(&daemon, &format!("{scenario} --transport {transport}"), name);
            assert_eq!(run["transport"], transport);
        }
    }
}

/// Runs the scenario of this name on our own daemon, without faults; its figures.
fn bench_daemon(daemon: &Daemon, arguments: &str, name: &str) -> Value {
    let pid = daemon.id().to_string();
    let output = Command::new(BINARY)
        .args(["bench", "--server", &daemon.addresses[0], "--pid", &pid, "--json", "-"])
        .args(arguments.split_whitespace())
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{arguments}: {output:?}");
    let json: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let run = &json["runs"][0];
    assert_eq!(run["scenario"], name);
    assert_eq!(run["server"], "pushserver");
    if cfg!(target_os = "linux") && !matches!(name, "idle") {
        assert!(run["server_cpu_us_per_operation"].as_f64() > Some(0.0), "{json}");
    }
    run.clone()
}

#[test]
fn every_scenario_of_streams_ends_without_a_fault_on_a_server_that_pings() {
    for transport in STREAMS {
        for (scenario, deliveries) in [
            ("fanout -n 50 --messages 3", 150),
            ("fanout -n 50 --messages 3 --size 70000", 150),
            ("fanout -n 10 --rate 500 --messages 20", 200),
            ("cycle -n 50 --channels 4 --messages 8", 100),
            ("channels -n 50 --publishers 8 --messages 200", 200),
            ("idle -n 50 --channels 1", 50),
        ] {
            let arguments = format!("{scenario} --transport {transport} --seconds 60");
            let run = faultless(Fault::Pings, &arguments);
            assert_eq!(run["deliveries"], deliveries, "{arguments}");
            assert_eq!(run["server"], "tiny");
            assert_eq!(run["transport"], transport);
        }
    }
}

#[test]
fn the_limit_server_serves_every_transport() {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut server = limit::Server::listen(address).expect("a free port");
    let address = server.address().expect("its port");
    thread::spawn(move || server.run());
    for transport in TRANSPORTS {
        for scenario in ["fanout -n 50", "cycle -n 50", "isolation -n 50", "channels -n 50"] {
            let arguments = format!("{scenario} --messages 20 --transport {transport}");
            let (output, json) = bench_at(address, &arguments);
            assert!(output.status.success(), "{arguments}: {output:?}");
            assert_eq!(json["runs"][0]["transport"], transport);
        }
    }
}

#[test]
fn a_server_that_ends_its_streams_is_found_out() {
    for transport in STREAMS {
        let arguments = format!("fanout -n 1 --messages 20 --transport {transport}");
        let (output, json) = bench(Fault::Ends, &arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(json["runs"][0]["faults"]["resets"], 1, "{json}");
    }
}

#[test]
fn stored_messages_are_fetched_in_turn() {
    let run = faultless(Fault::None, "poll -n 4 --stored 5 --messages 200 --seconds 60");
    // Each subscriber asks once beside the messages that were allowed.
    assert_eq!(run["deliveries"], 204);
    assert_eq!(run["latency"]["count"], 204);
}

#[test]
fn the_channel_beside_fan_outs_is_measured_by_itself() {
    let run = faultless(Fault::None, "isolation -n 50 --rate 200 --messages 20 --seconds 60");
    assert_eq!(run["beside"]["count"], 20);
    assert_eq!(run["latency"]["count"], 20 * 50);
}

#[test]
fn channels_are_made_where_the_server_wants_that() {
    for transport in TRANSPORTS {
        let arguments =
            format!("channels -n 20 --messages 40 --seconds 60 --transport {transport}");
        let run = faultless(Fault::WantsChannelsMade, &arguments);
        assert_eq!(run["deliveries"], 40);
    }
}

#[test]
fn a_server_that_loses_messages_is_found_out() {
    for transport in TRANSPORTS {
        let arguments =
            format!("fanout -n 5 --messages 20 --rate 1000 --patience 2 --transport {transport}");
        let (output, json) = bench(Fault::Loses, &arguments);
        assert_eq!(output.status.code(), Some(1));
        // 21 messages with the first one, which is not measured; the 7th, 14th and 21st are lost.
        assert_eq!(json["runs"][0]["faults"]["lost"], 15, "{transport}");
    }
}

#[test]
fn a_server_that_repeats_messages_is_found_out() {
    for transport in TRANSPORTS {
        let arguments = format!("fanout -n 5 --messages 20 --seconds 60 --transport {transport}");
        let (output, json) = bench(Fault::Repeats, &arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(json["runs"][0]["faults"]["repeated"].as_u64() > Some(0), "{json}");
    }
}

#[test]
fn a_server_that_damages_messages_is_found_out() {
    for transport in TRANSPORTS {
        let arguments = format!("fanout -n 5 --messages 20 --seconds 60 --transport {transport}");
        let (output, json) = bench(Fault::Damages, &arguments);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(json["runs"][0]["faults"]["damaged"], 5, "{transport}");
    }
}

#[test]
fn two_servers_are_compared_in_turn() {
    let second = serve(Fault::None);
    let (output, json) = bench(
        Fault::None,
        &format!(
            "fanout -n 5 --messages 2 --rounds 2 --label one --compare-label two \
             --compare-publish http://{second}/p/{{channel}} \
             --compare-subscribe http://{second}/s/{{channel}}"
        ),
    );
    assert!(output.status.success(), "{output:?}");
    let labels: Vec<_> = json["runs"].as_array().unwrap().iter().map(|run| &run["label"]).collect();
    assert_eq!(labels, ["one", "two", "one", "two"]);
    assert!(json["comparison"][0]["a_to_b"].is_number(), "{json}");
}

#[test]
fn a_plot_of_the_latencies_of_both_servers_is_written_beside_the_figures() {
    let directory = Directory::create();
    let (first, second) = (serve(Fault::None), serve(Fault::None));
    for (name, arguments, is_plotted) in [
        ("polls", "fanout -n 5 --messages 2", true),
        ("streams.all", "cycle -n 5 --messages 2 --transport websocket", true),
        ("beside", "isolation -n 5 --messages 2", true),
        ("answers", "publish --messages 50", true),
        ("none", "fanout -n 5 --messages 2 --no-plot", false),
        ("untimed", "idle -n 5", false),
    ] {
        let json = directory.file(&format!("{name}.json"));
        let output = Command::new(BINARY)
            .args(["bench", "--label", "the <first>", "--compare-label", "the second", "--json"])
            .arg(&json)
            .args(["--publish", &format!("http://{first}/p/{{channel}}")])
            .args(["--subscribe", &format!("http://{first}/s/{{channel}}")])
            .args(["--compare-publish", &format!("http://{second}/p/{{channel}}")])
            .args(["--compare-subscribe", &format!("http://{second}/s/{{channel}}")])
            .args(arguments.split_whitespace())
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "{arguments}: {output:?}");
        let plot = fs::read_to_string(directory.file(&format!("{name}.svg"))).ok();
        assert_eq!(plot.is_some(), is_plotted, "{arguments}");
        let whole = |svg: &str| svg.starts_with("<svg ") && svg.ends_with("</svg>\n");
        assert!(plot.as_deref().is_none_or(whole), "{arguments}: {plot:?}");
        for text in [">the &lt;first&gt;<", ">the second<", "3 rounds"] {
            assert!(plot.as_deref().is_none_or(|svg| svg.contains(text)), "{text}: {plot:?}");
        }
    }
}

#[test]
fn a_server_that_is_not_there_and_one_far_away_are_told() {
    let absent = Absent::bind();
    for (server, code, why) in
        [(absent.url(), 1, "refused"), ("http://192.0.2.1".into(), 2, "--remote")]
    {
        let output = Command::new(BINARY).args(["bench", "--server", &server]).output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(why), "{told}");
    }
}
