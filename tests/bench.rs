//! `pushserver bench` as a program: against our own daemon, against a small server of the protocol
//! that behaves, and against one that does not.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use pushserver_testkit::backend::Seen;
use pushserver_testkit::{Absent, Client, Start, Upstream};
use serde_json::Value;

/// The daemon under test.
const BINARY: &str = env!("CARGO_BIN_EXE_pushserver");

/// What the server does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Every 7th message of a channel is kept from its subscribers.
    Loses,
    /// Every 7th message of a channel is stored twice.
    Repeats,
    /// Bodies lose their last byte.
    Damages,
    /// Polls of channels that nobody made are refused.
    WantsChannelsMade,
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
                if fault == Fault::WantsChannelsMade && !messages.contains_key(&name) {
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
                if fault == Fault::Damages && body.len() > 20 {
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

/// Runs the program on a server with this fault; its output, and its JSON.
fn bench(fault: Fault, arguments: &str) -> (Output, Value) {
    let address = serve(fault);
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
    let pid = daemon.id().to_string();
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
        let output = Command::new(BINARY)
            .args(["bench", "--server", &daemon.addresses[0], "--pid", &pid, "--json", "-"])
            .args(scenario.split_whitespace())
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "{scenario}: {output:?}");
        let json: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        let run = &json["runs"][0];
        assert_eq!(run["scenario"], name);
        assert_eq!(run["server"], "pushserver");
        if cfg!(target_os = "linux") && !matches!(name, "idle") {
            assert!(run["server_cpu_us_per_operation"].as_f64() > Some(0.0), "{json}");
        }
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
    let run = faultless(Fault::WantsChannelsMade, "channels -n 20 --messages 40 --seconds 60");
    assert_eq!(run["deliveries"], 40);
}

#[test]
fn a_server_that_loses_messages_is_found_out() {
    let (output, json) = bench(Fault::Loses, "fanout -n 5 --messages 20 --rate 1000 --patience 2");
    assert_eq!(output.status.code(), Some(1));
    // 21 messages with the first one, which is not measured; the 7th, 14th and 21st are lost.
    assert_eq!(json["runs"][0]["faults"]["lost"], 15);
}

#[test]
fn a_server_that_repeats_messages_is_found_out() {
    let (output, json) = bench(Fault::Repeats, "fanout -n 5 --messages 20 --seconds 60");
    assert_eq!(output.status.code(), Some(1));
    assert!(json["runs"][0]["faults"]["repeated"].as_u64() > Some(0), "{json}");
}

#[test]
fn a_server_that_damages_messages_is_found_out() {
    let (output, json) = bench(Fault::Damages, "fanout -n 5 --messages 20 --seconds 60");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json["runs"][0]["faults"]["damaged"], 5);
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
