//! Starts the daemon, speaks to it, and stands in for what it speaks to.

mod backend;
mod client;
mod daemon;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub(crate) use backend::{Backend, Manner};
pub(crate) use client::{Answer, Client, post, request, uninterrupted};
pub(crate) use daemon::{Daemon, Start};

/// How long anything may take; only a failing test takes so long.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < LONG, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The default locations, where a GET makes its channel; `subscriber` holds further keys of the
/// subscriber location.
pub(crate) fn subscriber(subscriber: Value) -> Value {
    let mut location = json!({"type": "subscriber", "prefix": "/subscriber/"});
    location["create_on_get"] = true.into();
    merge(&mut location, subscriber);
    json!({"locations": [{"type": "publisher", "prefix": "/publisher/"}, location]})
}

/// [`subscriber`] with nothing further.
pub(crate) fn settings() -> Value {
    subscriber(json!({}))
}

/// [`settings`] with these limits.
pub(crate) fn limits(limits: Value) -> Value {
    let mut settings = settings();
    settings["limits"] = limits;
    settings
}

/// Adds the keys of `more`.
pub(crate) fn merge(value: &mut Value, more: Value) {
    let Value::Object(more) = more else { panic!("no object: {more}") };
    value.as_object_mut().expect("settings are objects").extend(more);
}

/// A directory of one test, removed at its end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pushserver-daemon-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("the temporary directory is writable");
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
