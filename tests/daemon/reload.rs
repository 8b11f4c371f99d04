//! SIGHUP: other settings, taken as a whole or not at all, with nothing lost and nobody waiting.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use pushserver_testkit::{Daemon, Start, limits, merge, settings, until};

use crate::BINARY;

#[test]
fn hup_takes_other_settings_and_keeps_every_connection_and_message() {
    let daemon = Daemon::start(BINARY, settings());
    daemon.publish("a", "kept");
    let mut kept_alive = daemon.connect();
    assert_eq!(kept_alive.get("/subscriber/a").answer().status, 200);
    let mut held = daemon.hold("b", 1).remove(0);

    let mut other = limits(json!({"body_bytes": 4}));
    other["servername"] = "other".into();
    daemon.reload(other);

    let answer = kept_alive.get("/subscriber/a").answer();
    assert_eq!((answer.status, answer.text()), (200, "kept"));
    assert_eq!(answer.header("Server"), Some("other"));
    assert_eq!(daemon.publish("b", "too long").status, 413);
    assert_eq!(daemon.publish("b", "fits").status, 201);
    assert_eq!(held.answer().text(), "fits");
}

#[test]
fn a_shorter_channel_timeout_ends_channels_that_are_idle_already() {
    let idle_for = |seconds: f64| {
        let mut settings = settings();
        settings["store"] = json!({"message_timeout": 0.05, "channel_timeout": seconds});
        settings
    };
    let daemon = Daemon::start(BINARY, idle_for(3_000_000.0));
    daemon.publish("a", "m");
    let information = || daemon.connect().get("/publisher/a").answer();
    until("the message has expired", || information().text().contains("messages: 0"));
    daemon.reload(idle_for(0.05));
    until("the channel has gone", || information().status == 404);
}

#[test]
fn an_expression_is_read_again_however_deep_its_operators_stand_in_one_another() {
    let daemon = Daemon::start(BINARY, settings());
    let mut other = settings();
    let url = format!("/deep/([^/]+)a{}", "*+".repeat(120));
    other["locations"] = json!([{"type": "publisher", "url": url}]);
    daemon.reload(other);
    assert_eq!(daemon.connect().post("/deep/b", b"m").answer().status, 202);
}

#[test]
fn a_bad_new_file_changes_nothing_and_is_told() {
    let daemon = Daemon::start(BINARY, settings());
    daemon.publish("a", "kept");
    let mut held = daemon.hold("b", 1).remove(0);
    let path = daemon.file("settings.json");
    for (text, words) in [
        ("{\"servername\": \"other\", \"prot\": 1}", "did you mean \\\"port\\\"?"),
        ("{", "settings.json"),
        ("{\"servername\": \"other\", \"port\": 1}", "cannot change while running"),
    ] {
        fs::write(&path, text).unwrap();
        daemon.signal("HUP");
        let line = daemon.until_logged(words);
        assert!(line.contains("event=reload_refused"), "{line}");
    }
    fs::remove_file(&path).unwrap();
    daemon.signal("HUP");
    daemon.until_logged("No such file");
    let answer = daemon.poll("a").answer();
    assert_eq!((answer.text(), answer.header("Server")), ("kept", Some("pushserver")));
    assert_eq!(daemon.publish("b", "still").status, 201);
    assert_eq!(held.answer().text(), "still");
}

#[test]
fn no_file_in_the_place_of_the_settings_kills_or_blocks_the_daemon() {
    let daemon = Daemon::start(BINARY, settings());
    // With the one that writes the log.
    daemon.signal("USR1");
    daemon.until_logged("event=counters");
    let idle = daemon.vitals().threads();
    let path = daemon.file("settings.json");
    let refused = |words: &str| {
        daemon.signal("HUP");
        let line = daemon.until_logged(words);
        assert!(line.contains("event=reload_refused") && line.contains("settings.json"), "{line}");
        assert_eq!(daemon.publish("a", "m").status, 202);
    };
    fs::write(&path, " ".repeat((4 << 20) + 1)).unwrap();
    refused("over 4 MiB");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/", &path).unwrap();
    refused("Is a directory");
    let count = |words: &str| daemon.log().iter().filter(|line| line.contains(words)).count();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    daemon.signal("HUP");
    until("that is too long too", || count("over 4 MiB") == 2);
    until("no thread is left of it", || daemon.vitals().threads() == idle);
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo is there").success());
    // Nobody writes to it: that keeps a thread, however often it is tried.
    refused("not written and closed within 10 s");
    for times in 1..4 {
        daemon.signal("HUP");
        until("it is refused at once", || count("an earlier one is still not written") == times);
    }
    until("one thread is kept", || daemon.vitals().threads() == idle + 1);
    let mut other = settings();
    other["servername"] = "other".into();
    daemon.reload(other);
    assert_eq!(daemon.publish("a", "m").header("Server"), Some("other"));
}

#[test]
fn without_a_settings_file_hup_ends_nothing() {
    let daemon = Start::bare(BINARY, "").args(["--port", "0"]).start();
    daemon.signal("HUP");
    daemon.until_logged("no settings file was given");
    assert_eq!(daemon.publish("a", "m").status, 202);
}

#[test]
fn nobody_waits_while_settings_are_read_and_the_newest_are_taken() {
    let daemon = Daemon::start(BINARY, settings());
    let path = daemon.file("settings.json");
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo is there").success());
    let named = |name: &str| {
        let mut settings = settings();
        merge(&mut settings, json!({"servername": name, "port": 0}));
        settings.to_string()
    };
    let mut held = daemon.hold("a", 1).remove(0);
    daemon.signal("HUP");
    // Opened when the daemon reads; it reads on until this is closed.
    let mut slow = OpenOptions::new().write(true).open(&path).unwrap();
    slow.write_all(named("old").as_bytes()).unwrap();
    assert_eq!(daemon.publish("a", "served meanwhile").status, 201);
    assert_eq!(held.answer().text(), "served meanwhile");
    // There is another file now, and the daemon is told.
    fs::write(path.with_extension("new"), named("new")).unwrap();
    fs::rename(path.with_extension("new"), &path).unwrap();
    daemon.signal("HUP");
    let answer = daemon.publish("a", "m");
    assert_eq!(answer.header("Server"), Some("pushserver"));
    drop(slow);
    until("the newest are taken", || daemon.publish("a", "m").header("Server") == Some("new"));
}

#[test]
fn settings_asked_for_faster_than_they_can_be_read_are_taken_all_the_same() {
    let daemon = Daemon::start(BINARY, settings());
    let path = daemon.file("settings.json");
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo is there").success());
    daemon.signal("HUP");
    for number in 0..5 {
        // Opened when the daemon reads; it reads on until this is closed.
        let mut slow = OpenOptions::new().write(true).open(&path).unwrap();
        let mut settings = settings();
        let name = format!("number {number}");
        merge(&mut settings, json!({"servername": name, "port": 0}));
        slow.write_all(settings.to_string().as_bytes()).unwrap();
        // As often as one likes: it is read once more.
        for _ in 0..3 {
            daemon.signal("HUP");
            assert_eq!(daemon.publish("a", "m").status, 202);
        }
        drop(slow);
        let is_taken = || daemon.publish("a", "m").header("Server") == Some(name.as_str());
        until("these are taken, though others are asked for", is_taken);
    }
    let told = || daemon.log().iter().filter(|line| line.contains("event=reload")).count();
    until("each is told", || told() == 5);
}

#[test]
fn the_daemon_leaves_while_settings_are_read() {
    let mut daemon = Daemon::start(BINARY, settings());
    let path = daemon.file("settings.json");
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo is there").success());
    daemon.signal("HUP");
    let _slow = OpenOptions::new().write(true).open(&path).unwrap();
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn nothing_is_lost_repeated_or_reordered_while_settings_are_read_again_and_again() {
    const MESSAGES: usize = 400;
    let daemon = Daemon::start(BINARY, settings());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                assert_eq!(daemon.follow("a", MESSAGES), (0..MESSAGES).collect::<Vec<_>>())
            });
        }
        scope.spawn(|| {
            let mut publisher = daemon.connect();
            for number in 0..MESSAGES {
                let answer = publisher.post("/publisher/a", number.to_string().as_bytes()).answer();
                assert!(matches!(answer.status, 201 | 202), "{}", answer.head);
            }
            done.store(true, Ordering::Release);
        });
        let mut reloads = 0;
        while !done.load(Ordering::Acquire) || reloads < 3 {
            let mut other = settings();
            other["servername"] = format!("number {reloads}").into();
            daemon.reload(other);
            reloads += 1;
        }
    });
}
