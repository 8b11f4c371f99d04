//! Settings of a fuzzed relay: every kind of location, and limits that short inputs
//! reach.

use std::cell::RefCell;
use std::collections::HashMap;

use pushserver::config::{Config, Overrides, Source};
use pushserver::http::HeadLimits;
use pushserver::message::MessageId;
use pushserver::{hub, relay};
use serde_json::{Value, json};

use crate::network::BEGIN_UNIX_S;
use crate::tokens::SIGNING_KEYS;

/// The judge's too: what the relay refuses for its size is a head no more.
pub(crate) const LIMITS: HeadLimits = HeadLimits { header_bytes: 700, headers: 12, uri_bytes: 200 };

thread_local! {
    /// Made once: expressions are slow to compile.
    static MADE: RefCell<HashMap<u8, (relay::options::Options, hub::options::Options)>> =
        RefCell::default();
}

/// One of 16 settings.
pub(crate) fn options(variant: u8) -> (relay::options::Options, hub::options::Options) {
    let variant = variant % 16;
    MADE.with_borrow_mut(|made| made.entry(variant).or_insert_with(|| make(variant)).clone())
}

/// Whether what happens is recorded, with these settings.
pub(crate) fn is_inspected(variant: u8) -> bool {
    variant & 8 == 0
}

fn make(variant: u8) -> (relay::options::Options, hub::options::Options) {
    let has = |bit: u8| variant & bit != 0;
    let is_tight = has(2);
    let mut long = subscriber("/subscriber/", "passthrough", json!("http://127.0.0.1:1/told"));
    long["passthrough_secret"] = json!("s");
    long["ping_interval"] = json!(if is_tight { 1 } else { 25 });
    long["timeout"] = json!(if is_tight { 1 } else { 55 });
    let mut settings = json!({
        "servername": if has(4) { "" } else { "fuzz" },
        "store": {"type": "memory",
            "max_messages": if is_tight { 2 } else { 0 },
            "max_memory": if is_tight { 700 } else { 100_000 },
            "message_timeout": if is_tight { 2 } else { 0 },
            "min_messages": if is_tight { 1 } else { 0 }},
        "locations": [
            {"type": "publisher", "prefix": "/publisher/"},
            long,
            subscriber("/interval/", "polling", json!("interval")),
            subscriber("/last/", "concurrency", json!("last")),
            subscriber("/first/", "concurrency", json!("first")),
            subscriber("/few/", "max_subscribers", json!(1)),
            {"type": "subscriber", "url": "/(?:old|new)/([a-z%0-9]+)/?", "channel_group": "g",
                "allow_origin": ["http://a", "http://b"], "allow_credentials": true},
            {"type": "publisher", "url": "/quiet/([^/]+)", "store_messages": false,
                "allow_origin": "http://a"},
            {"type": "pubsub", "prefix": "/both/", "passthrough": "http://127.0.0.1:1/both",
                "create_on_get": true, "ping_interval": 2, "secret": "s",
                "allow_origin": ["http://a"]},
            {"type": "pubsub", "prefix": "/flash/", "create_on_get": true, "ping_interval": 1,
                "store_messages": false, "concurrency": "last"},
            {"type": "subscriber", "url": "/several/(.+)", "delimiter": ",",
                "create_on_get": true, "passthrough": "http://127.0.0.1:1/several",
                "first_message": if is_tight { json!(-2) } else { json!("oldest") }},
            {"type": "subscriber", "url": "/query", "query": "c", "max_subscribers": 1,
                "first_message": "newest", "create_on_get": !is_tight},
            {"type": "publisher", "prefix": "/secret/", "secret": "s", "create_on_post": false,
                "allow": ["127.0.0.0/8"]},
            {"type": "status", "prefix": "/status/", "secret": "s", "inspector": is_inspected(variant)},
            {"type": "subscriber", "url": "/signed/(.+)", "delimiter": ",", "signed": true,
                "create_on_get": true},
            {"type": "pubsub", "url": "/mine/([^/]+)", "signed": true, "create_on_get": true,
                "passthrough": "http://127.0.0.1:1/mine"},
            there(is_tight),
            {"type": "pubsub", "prefix": "/here/", "presence": true, "create_on_get": true,
                "timeout": 1, "channel_group": "g"},
        ],
        "signing_keys": SIGNING_KEYS,
        "limits": {"header_bytes": LIMITS.header_bytes, "headers": LIMITS.headers,
            "uri_bytes": LIMITS.uri_bytes,
            "body_bytes": 500, "channel_id_bytes": 20,
            "channels": if is_tight { 2 } else { 1000 },
            "waiting_publishers": if is_tight { 1 } else { 1000 },
            "presence_members": if is_tight { 2 } else { 1000 },
            "pipeline_depth": if is_tight { 1 } else { 16 }},
    });
    if has(1) {
        settings["allrequests"] = json!("http://127.0.0.1:2");
        if has(8) {
            settings["forcehost"] = json!("relay");
            settings["allrequests_secret"] = json!("u");
            settings["trusted_proxies"] = json!(["127.0.0.0/8"]);
        }
    }
    let text = settings.to_string();
    let config = Config::parse(text.as_bytes(), Source::Defaults, Overrides::default());
    let config = config.expect("good settings");
    let first_id = MessageId { time: BEGIN_UNIX_S - 1, tag: 0 };
    (config.relay_options(), config.hub_options(first_id, 7))
}

fn subscriber(prefix: &str, key: &str, value: Value) -> Value {
    json!({"type": "subscriber", "prefix": prefix, "create_on_get": true, key: value})
}

/// Where it is known who is there, and told.
fn there(is_tight: bool) -> Value {
    let told = if is_tight { "there" } else { "told" };
    json!({"type": "subscriber", "url": "/there/(.+)", "delimiter": ",", "create_on_get": true,
        "passthrough": format!("http://127.0.0.1:1/{told}"), "passthrough_events": "debounced",
        "presence_grace": if is_tight { 0.1 } else { 5.0 }, "presence_cookie": "s"})
}
