//! Stub status: collectors of Nchan read the lines of `status`: there are its own, with the values
//! that it has for the same, and no other that it would not pass over.

use std::collections::BTreeMap;

use pushserver_testkit::transcripts::targets::Server;
use pushserver_testkit::{Client, Start, settings};
use serde_json::json;

use crate::BINARY;
use crate::nginx::Nginx;

/// What each line says, after a message of which one subscriber waits for the next.
fn said(connect: &dyn Fn() -> Client) -> BTreeMap<String, String> {
    let mut publisher = connect();
    publisher.post("/publisher/room", b"hello");
    assert_eq!(publisher.answer().status, 202);
    publisher.get("/status");
    let answer = publisher.answer();
    assert_eq!(answer.status, 200, "{}", answer.head);
    let lines = answer.text().lines();
    lines
        .map(|line| line.split_once(": ").expect("a name and a value"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_lines_of_status_are_those_of_nchan_stub_status() {
    let mut with_status = settings();
    let locations = with_status["locations"].as_array_mut().expect("a list");
    locations.insert(0, json!({"type": "status", "prefix": "/"}));
    let daemon = Start::with(BINARY, with_status).start();
    let mut here = said(&|| daemon.connect());
    let nginx = Nginx::start_with(settings(), "location = /status { nchan_stub_status; }");
    let there = said(&|| Server::connect(&nginx));
    assert_eq!(here.remove("pushserver version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
    for (name, value) in &here {
        let its = there.get(name).unwrap_or_else(|| panic!("{name} is not in {there:?}"));
        // What memory is used for differs, not how it is written.
        if name.starts_with("shared memory") {
            assert!(value.ends_with('K') && its.ends_with('K'), "{name}: {value}, {its}");
        } else {
            assert_eq!(value, its, "{name}: here, and on nginx");
        }
    }
    assert_eq!(here.len(), 6, "{here:?}");
}
