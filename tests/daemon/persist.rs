//! `persist`: what a store still has after an end in good order and after a kill, and what happens
//! when its file cannot be had or written to.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use pushserver_testkit::directory::Directory;
use pushserver_testkit::{Daemon, Start, request, settings};

use crate::BINARY;

/// Settings whose store has this file.
fn with_file(path: &Path) -> Value {
    let mut settings = settings();
    settings["store"] = json!({"persist": path});
    let now = json!({"type": "subscriber", "prefix": "/now/", "polling": "interval"});
    settings["locations"].as_array_mut().expect("it is a list").push(now);
    settings
}

/// Everything that is kept of a channel, from its beginning.
fn kept(daemon: &Daemon, channel: &str) -> Vec<String> {
    let mut client = daemon.connect();
    let mut cursor = String::new();
    let mut bodies = Vec::new();
    loop {
        client.send(request(&format!("GET /now/{channel}"), &cursor));
        let answer = client.answer();
        if answer.status != 200 {
            return bodies;
        }
        cursor = answer.cursor();
        bodies.push(answer.text().to_owned());
    }
}

#[test]
fn an_end_in_good_order_leaves_one_file_and_cursors_go_on_after_it() {
    let directory = Directory::create();
    let file = directory.file("default.db");
    let mut daemon = Daemon::start(BINARY, with_file(&file));
    daemon.publish("a", "one");
    daemon.publish("deleted", "never again");
    let one = daemon.poll("a").answer();
    daemon.publish("a", "two");
    assert_eq!(daemon.ask(request("DELETE /publisher/deleted", "")).answer().status, 200);
    daemon.signal("USR1");
    let line = daemon.until_logged("event=counters");
    assert!(line.contains(" default_persist_refused=0 default_persist_queue_bytes=0 "), "{line}");
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    let names: Vec<_> = fs::read_dir(directory.file("")).unwrap().flatten().collect();
    assert_eq!(names.len(), 1, "{names:?}");

    let daemon = Daemon::start(BINARY, with_file(&file));
    let two = daemon.ask(request("GET /subscriber/a", &one.cursor())).answer();
    assert_eq!((two.text(), two.header("X-Push-Gap")), ("two", None));
    let mut held = daemon.ask(request("GET /subscriber/a", &two.cursor()));
    daemon.until_held("a", 1);
    assert_eq!(daemon.publish("a", "three").status, 201);
    assert_eq!(held.answer().text(), "three");
    assert_eq!(daemon.connect().get("/publisher/deleted").answer().status, 404);
}

#[test]
fn a_second_daemon_with_the_same_file_does_not_start() {
    let directory = Directory::create();
    let file = directory.file("default.db");
    let daemon = Daemon::start(BINARY, with_file(&file));
    daemon.publish("a", "m");
    let output = Start::with(BINARY, with_file(&file)).output();
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("default.db: another process has it; stop"), "{words}");
    assert_eq!(daemon.publish("a", "m").status, 202);
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let output = Start::with(BINARY, with_file(Path::new("/nowhere/a.db"))).output();
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    let expected = "cannot open /nowhere/a.db: there is no such directory; create it first";
    assert!(words.contains(expected), "{words}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_507_to_publishers_and_nothing_to_others_until_there_is_room() {
    let directory = Directory::create();
    let file = directory.file("default.db");
    // A file may have 256 KiB, which the process itself could change.
    let first = "trap '' XFSZ; ulimit -S -f 512";
    let daemon = Start::within(BINARY, with_file(&file), first).start();
    let mut held = daemon.hold("held", 3);
    let body = vec![b'x'; 8000];
    let mut taken = 0;
    let refused = loop {
        match daemon.publish("a", &body) {
            answer if answer.status == 202 => taken += 1,
            refused => break refused,
        }
    };
    assert!((10..100).contains(&taken), "{taken}");
    assert_eq!(refused.status, 507, "{}", refused.text());
    let line = daemon.until_logged("event=persist_refused");
    assert!(line.contains("default.db"), "{line}");
    // Nobody sees it, and everybody else is served.
    assert_eq!(kept(&daemon, "a").len(), taken);
    assert_eq!(daemon.held("held"), 3);

    let limit = std::process::Command::new("prlimit")
        .args(["--pid", &daemon.id().to_string(), "--fsize=unlimited"])
        .status()
        .expect("prlimit is part of every Linux");
    assert!(limit.success());
    assert_eq!(daemon.publish("held", "room").status, 201);
    held.iter_mut().for_each(|held| assert_eq!(held.answer().text(), "room"));
    assert_eq!(daemon.publish("a", &body).status, 202);
    assert_eq!(kept(&daemon, "a").len(), taken + 1);
}
