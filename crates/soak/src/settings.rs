//! Settings: the daemon's configuration, with a store and locations for each kind of channel.

use pushserver_testkit::Redis;
use serde_json::{Value, json};

use crate::events::Rules;

/// A kind of channel. Its channels are at `/p/KIND/NAME` (publishers), `/q/KIND/NAME` (publishers
/// whose messages are not stored), `/s/KIND/NAME` (long polls) and `/i/KIND/NAME` (interval polls).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) rules: Rules,
    /// About how many POSTs come to a channel for each DELETE.
    pub(crate) publishes_per_delete: u64,
}

/// How long a request is held, milliseconds.
pub(crate) const HOLD_MS: u64 = 3000;

/// `max_memory` of the store for the kind `tight`, bytes.
const TIGHT_BYTES: usize = 200_000;

const BRIEF_MS: u64 = 1500;

const LASTING: Rules = Rules { cap: 0, timeout_ms: 0, tight: false, spread_ms: 0 };

pub(crate) const KINDS: [Kind; 5] = [
    Kind { name: "all", rules: LASTING, publishes_per_delete: 60 },
    Kind { name: "few", rules: Rules { cap: 8, ..LASTING }, publishes_per_delete: 200 },
    Kind { name: "one", rules: Rules { cap: 1, ..LASTING }, publishes_per_delete: 300 },
    Kind {
        name: "brief",
        rules: Rules { timeout_ms: BRIEF_MS, ..LASTING },
        publishes_per_delete: 300,
    },
    Kind { name: "tight", rules: Rules { tight: true, ..LASTING }, publishes_per_delete: 300 },
];

/// `message_timeout` of a store in Redis, which has whole seconds.
const SECONDS_MS: u64 = 2000;

/// Redis sends an announcement before the answer, but the daemon that it is for, or Redis itself,
/// may wait for a processor.
const SHARED: Rules = Rules { spread_ms: 500, ..LASTING };

/// The kinds of channels that several daemons share: nothing bounds memory but Redis itself.
pub(crate) const SHARED_KINDS: [Kind; 5] = [
    Kind { name: "all", rules: SHARED, publishes_per_delete: 60 },
    Kind { name: "few", rules: Rules { cap: 8, ..SHARED }, publishes_per_delete: 200 },
    Kind { name: "one", rules: Rules { cap: 1, ..SHARED }, publishes_per_delete: 300 },
    Kind {
        name: "brief",
        rules: Rules { timeout_ms: SECONDS_MS, ..SHARED },
        publishes_per_delete: 300,
    },
    Kind { name: "some", rules: Rules { cap: 100, ..SHARED }, publishes_per_delete: 300 },
];

/// Settings of one of several daemons, which is `user` at Redis; `password`: of all users.
pub(crate) fn shared_settings(redis: &Redis, user: &str, password: &str) -> Value {
    let mut stores = serde_json::Map::new();
    let mut locations = Vec::new();
    for Kind { name, rules, .. } in SHARED_KINDS {
        let store = json!({
            "type": "redis",
            "host": redis.address().ip(),
            "port": redis.address().port(),
            "username": user,
            "password": password,
            "key_prefix": format!("{name}:"),
            "max_messages": rules.cap,
            "message_timeout": rules.timeout_ms / 1000,
            "channel_timeout": 1,
        });
        stores.insert(name.to_owned(), store);
        add_locations(name, &mut locations);
    }
    stores.insert("default".to_owned(), json!({"type": "memory"}));
    json!({"port": 0, "store": stores, "locations": locations})
}

/// The locations of a kind.
fn add_locations(name: &str, locations: &mut Vec<Value>) {
    let at = |path: char| json!({"store": name, "prefix": format!("/{path}/{name}/")});
    locations.push(with(at('p'), json!({"type": "publisher"})));
    locations.push(with(at('q'), json!({"type": "publisher", "store_messages": false})));
    let subscriber = json!({
        "type": "subscriber", "create_on_get": true, "timeout": HOLD_MS as f64 / 1000.0,
    });
    locations.push(with(at('s'), subscriber.clone()));
    locations.push(with(at('i'), with(subscriber, json!({"polling": "interval"}))));
}

/// Settings with all kinds; `told`: the passthrough URL of the location `/n/`.
#[must_use]
pub fn settings(told: &str) -> Value {
    let mut stores = serde_json::Map::new();
    let mut locations = Vec::new();
    for Kind { name, rules, .. } in KINDS {
        let max_memory = if rules.tight { TIGHT_BYTES } else { 512 << 20 };
        let store = json!({
            "type": "memory",
            "max_messages": rules.cap,
            "message_timeout": rules.timeout_ms as f64 / 1000.0,
            "max_memory": max_memory,
            "channel_timeout": 1,
        });
        stores.insert(name.to_owned(), store);
        add_locations(name, &mut locations);
    }
    let brief = |prefix| {
        json!({
            "type": "subscriber", "store": "brief", "prefix": prefix, "create_on_get": true,
            "timeout": HOLD_MS as f64 / 1000.0,
        })
    };
    locations.push(with(brief("/first/"), json!({"concurrency": "first"})));
    locations.push(with(brief("/last/"), json!({"concurrency": "last"})));
    locations.push(with(brief("/n/"), json!({"passthrough": told})));
    stores.insert("default".to_owned(), json!({"type": "memory"}));
    json!({"port": 0, "store": stores, "locations": locations})
}

fn with(mut value: Value, more: Value) -> Value {
    pushserver_testkit::merge(&mut value, more);
    value
}
