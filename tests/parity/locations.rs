//! nginx serves the paths of a location that pushserver serves: the table of locations, which the
//! unit tests of the settings and the Django app read, too.

use serde_json::{Value, json};

use crate::nginx::Nginx;
use pushserver_testkit::transcripts::targets::Server;

#[test]
fn nginx_serves_the_paths_of_each_location() {
    let table: Value = serde_json::from_str(include_str!("../locations.json")).expect("it is JSON");
    let mut wrong = Vec::new();
    for entry in table.as_array().expect("it is a list") {
        if entry.get("refused").is_some() {
            continue;
        }
        let mut location = json!({"type": "subscriber", "create_on_get": true});
        location["polling"] = json!("interval");
        for key in ["url", "prefix"].into_iter().filter(|key| entry.get(key).is_some()) {
            location[key] = entry[key].clone();
        }
        let nginx = Nginx::start(json!({"locations": [location]}));
        let status = |path: &str| {
            let answer = nginx.connect().get(path).answer();
            answer.status_line().chars().take(3).collect::<String>()
        };
        let served = entry["serves"].as_object().expect("an object").keys();
        let reversed = entry.get("url_of").and_then(Value::as_object).into_iter().flatten();
        let reversed = reversed.map(|(_, path)| path.as_str().expect("a path"));
        let left = entry["leaves"].as_array().expect("a list").iter();
        let left = left.map(|path| path.as_str().expect("a path"));
        let expected = served.map(String::as_str).chain(reversed).map(|path| (path, "304"));
        for (path, expected) in expected.chain(left.map(|path| (path, "404"))) {
            // What nginx cannot, with the status that it answers instead.
            let expected = entry["nginx"][path].as_str().unwrap_or(expected);
            let status = status(path);
            if status != expected {
                wrong.push(format!("{path} is {status}, not {expected}: {entry}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nginx_closes_the_paths_of_passthrough_urls_however_they_are_written() {
    let passthrough = |path: &str| {
        let url = format!("http://127.0.0.1:9{path}");
        let prefix = format!("/{}/", path.len());
        json!({"type": "subscriber", "prefix": prefix, "passthrough": url})
    };
    let nginx = Nginx::start(json!({
        // Nothing listens there: what is passed on is answered 502.
        "allrequests": "http://127.0.0.1:9",
        "locations": [passthrough("/p%20q"), passthrough("/%FF/$a{b}"), passthrough("/m%C3%B6te?x")],
    }));
    for (path, expected) in [
        ("/p%20q", "403"),
        ("/%70%20q?x", "403"),
        ("//p%20q/", "403"),
        ("/x/../p%20q", "403"),
        ("/p%20q%0A", "403"),
        ("/%ff/$a{b}", "403"),
        ("/%ff%2F%24a%7Bb%7D", "403"),
        ("/m\u{f6}te", "403"),
        ("/m%c3%b6te", "403"),
        ("/p+q", "502"),
        ("/p%2520q", "502"),
        ("/p%20q/r", "502"),
        ("/P%20q", "502"),
    ] {
        let answer = nginx.connect().get(path).answer();
        assert!(answer.status_line().starts_with(expected), "{path}: {}", answer.status_line());
    }
}
