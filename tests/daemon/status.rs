//! Status: what who runs the daemon is told of it, by the real binary.

use std::net::TcpListener;
use std::time::Duration;

use pushserver_testkit::answer::Answer;
use pushserver_testkit::{Daemon, Start, limits, request, settings};
use serde_json::{Value, json};

use crate::BINARY;

/// What a subscriber's request is, which is then held.
const POLL: &str = "GET /subscriber/room";

fn with_status(mut settings: Value) -> Value {
    let locations = settings["locations"].as_array_mut().expect("a list");
    locations.insert(0, json!({"type": "status", "prefix": "/pushserver/", "secret": "word"}));
    settings
}

fn ask(daemon: &Daemon, name: &str, lines: &str) -> Answer {
    daemon.ask(request(&format!("GET /pushserver/{name}"), lines)).answer()
}

/// The value of a sample, by its whole name.
#[track_caller]
fn sample(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    let value = line.unwrap_or_else(|| panic!("{name} is not in\n{metrics}"));
    value.parse().expect("a number")
}

#[test]
fn metrics_say_what_happened_in_both_formats() {
    let daemon = Daemon::start(BINARY, with_status(settings()));
    let held = daemon.hold("room", 3);
    daemon.publish("room", "hello");
    assert!(held.into_iter().all(|mut client| client.answer().status == 200));
    daemon.publish("other", "kept");
    let other = daemon.hold("held", 2);
    let answer = ask(&daemon, "metrics", "");
    assert_eq!(answer.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let text = answer.text();
    assert!(text.len() <= 8_000, "{}", text.len());
    for (name, value) in [
        ("pushserver_messages_published_total", 2.0),
        ("pushserver_messages_delivered_total", 3.0),
        ("pushserver_subscribers_connected", 2.0),
        ("pushserver_stored_messages", 2.0),
        ("pushserver_responses_total{code=\"201\"}", 1.0),
        ("pushserver_fanout_duration_seconds_count", 1.0),
        ("pushserver_fanout_duration_seconds_bucket{le=\"+Inf\"}", 1.0),
        ("pushserver_config_last_reload_successful", 1.0),
        ("pushserver_log_lines_dropped_total", 0.0),
    ] {
        assert!((sample(text, name) - value).abs() < 0.001, "{name}\n{text}");
    }
    assert!(sample(text, "pushserver_loop_turn_seconds_count") > 3.0, "{text}");
    assert!(sample(text, "pushserver_fanout_duration_seconds_sum") < 5.0, "{text}");
    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1\r\n";
    let open = ask(&daemon, "metrics", accept);
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("Content-Type"), Some(media_type));
    assert!(open.text().ends_with("# EOF\n") && open.text().len() <= 8_000);
    assert!(open.text().contains("# TYPE pushserver_messages_published counter\n"));
    drop(other);
}

#[cfg(target_os = "linux")]
#[test]
fn metrics_say_how_the_process_does() {
    let daemon = Daemon::start(BINARY, with_status(settings()));
    let _held = daemon.hold("room", 20);
    let answer = ask(&daemon, "metrics", "");
    let value = |name| sample(answer.text(), name);
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!((22.0..60.0).contains(&value("process_open_fds")), "{}", value("process_open_fds"));
    assert!(value("process_max_fds") >= 256.0 && value("process_start_time_seconds") > 1e9);
    assert!(value("process_cpu_seconds_total") < 60.0);
}

#[test]
fn status_is_lines_or_json_and_shows_locations_to_who_has_the_secret() {
    let daemon = Daemon::start(BINARY, with_status(settings()));
    daemon.publish("room", "hello");
    let version = env!("CARGO_PKG_VERSION");
    let lines = format!(
        "total published messages: 1\nstored messages: 1\nshared memory used: 1K\n\
         shared memory limit: 65536K\nchannels: 1\nsubscribers: 0\npushserver version: {version}\n"
    );
    assert_eq!(ask(&daemon, "status", "").text(), lines);
    let json = |lines: &str| -> Value {
        let answer = ask(&daemon, "status", &format!("Accept: application/json\r\n{lines}"));
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        serde_json::from_str(answer.text()).expect("JSON")
    };
    let counts = json("");
    assert_eq!((&counts["version"], &counts["published"]), (&json!(version), &json!(1)));
    assert_eq!(counts["instance"].as_str().map(str::len), Some(8), "{counts}");
    assert!(counts["turns"].as_u64() > Some(1) && counts["turns_us"].is_u64(), "{counts}");
    assert_eq!((&counts["reloaded_at"], counts.get("locations")), (&Value::Null, None));
    // Every counter of the log line, under its name.
    daemon.signal("USR1");
    let line = daemon.until_logged("event=counters");
    let figures = line.split(' ').skip_while(|word| !word.starts_with("event=counters")).skip(1);
    let names: Vec<&str> = figures.filter_map(|word| word.split('=').next()).collect();
    assert!(names.len() > 40, "{line}");
    assert!(names.iter().all(|name| counts[name].is_u64()), "{line}\n{counts}");
    let whole = json("Authorization: Bearer word\r\n");
    let publisher = json!({"type": "publisher", "pattern": "/publisher/", "group": "",
        "store": "default", "requests": 1});
    assert_eq!(whole["locations"][1], publisher);
    assert_eq!(whole["locations"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_reload_is_told_whether_it_succeeds_or_not() {
    let daemon = Daemon::start(BINARY, with_status(settings()));
    daemon.reload(with_status(settings()));
    daemon.until_logged("event=reload");
    let well = "pushserver_config_last_reload_successful";
    let answer = ask(&daemon, "status", "Accept: application/json\r\n");
    let counts: Value = serde_json::from_str(answer.text()).expect("JSON");
    assert!(counts["reloaded_at"].is_u64(), "{counts}");
    daemon.reload(json!({"no": "such key"}));
    daemon.until_logged("event=reload_refused");
    assert!(sample(ask(&daemon, "metrics", "").text(), well) < 0.5);
}

#[test]
fn newcomers_that_wait_make_it_unready() {
    let daemon = Daemon::start(BINARY, with_status(limits(json!({"connections": 3}))));
    let _held = daemon.hold("room", 2);
    // A begun head has a second before it makes room for others; so the question comes through.
    let mut asks = daemon.connect();
    asks.send("GET /pushserver/readyz HTTP/1.1\r\n");
    let mut newcomer = daemon.connect();
    newcomer.send(request(POLL, ""));
    daemon.until_logged("event=accept_paused");
    asks.send("Host: a\r\n\r\n");
    let answer = asks.answer();
    assert_eq!(answer.status, 503, "{}", answer.head);
    assert_eq!(answer.text(), "accepting is paused: limit of connections\n");
    assert!(newcomer.is_silent(Duration::from_millis(50)));
}

#[test]
fn every_metric_of_the_dashboard_and_of_the_alerts_is_served() {
    let text = include_str!("../../docs/grafana.json");
    let dashboard: Value = serde_json::from_str(text).expect("it is JSON");
    assert_eq!(dashboard["panels"].as_array().map(Vec::len), Some(9));
    // One that serves TLS says when its certificate ends; tests/tls has those.
    let alerts = include_str!("../../docs/alerts.yml")
        .replace("pushserver_tls_certificate_expiry_seconds", "pushserver_build_info");
    let daemon = Daemon::start(BINARY, with_status(settings()));
    let answer = ask(&daemon, "metrics", "");
    let served: Vec<&str> = answer
        .text()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let mut names = 0;
    for words in [text, &alerts] {
        let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
        let all = words.split(|char| !is_name(char));
        let begins = |word: &&str| word.starts_with("pushserver_") || word.starts_with("process_");
        for name in all.filter(begins) {
            assert!(served.contains(&name), "{name}");
            names += 1;
        }
    }
    assert!(names > 25, "{names}");
}

/// Exit code and standard error of `--health`.
fn health(url: &str) -> (Option<i32>, String) {
    let output = Start::bare(BINARY, "").args(["--health", url]).output();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn health_is_0_of_a_daemon_that_is_well_and_else_1() {
    let daemon = Daemon::start(BINARY, with_status(settings()));
    let base = format!("http://{}", daemon.address());
    for url in [base.clone(), format!("{base}/"), format!("{base}/pushserver/healthz")] {
        assert_eq!(health(&url), (Some(0), String::new()), "{url}");
    }
    let (code, text) = health(&format!("{base}/none"));
    assert_eq!(code, Some(1));
    assert!(text.ends_with("the answer is 404\n"), "{text}");
    for url in ["http://127.0.0.1:1/", "unix:/no/such/socket", "ftp://a/", "word", "http:///x"] {
        let (code, text) = health(url);
        assert_eq!((code, text.lines().count()), (Some(1), 1), "{url}: {text}");
        assert!(text.contains(url), "{url}: {text}");
    }
}

#[test]
fn health_asks_by_unix_sockets_too() {
    let start = Start::with(BINARY, with_status(settings()));
    let listen = format!("unix:{}", start.file("push.sock").display());
    let _daemon = start.args(["--listen", &listen]).start();
    assert_eq!(health(&listen), (Some(0), String::new()));
    assert_eq!(health(&format!("{listen}:/pushserver/healthz")), (Some(0), String::new()));
    let (code, text) = health(&format!("{listen}:/none"));
    assert_eq!(code, Some(1));
    assert!(text.ends_with("the answer is 404\n"), "{text}");
}

#[test]
fn health_of_who_says_nothing_is_1_in_time() {
    // Nobody accepts: the system does, and the request waits there for ever.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (code, text) = health(&format!("http://{}/", listener.local_addr().expect("it is bound")));
    assert_eq!(code, Some(1));
    assert!(text.ends_with("no answer within 5 seconds\n"), "{text}");
}
