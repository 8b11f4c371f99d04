//! What whole settings give: options, or the one line that refuses them.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::problem::Problem;
use super::{Config, Overrides, SCHEMA, Source, build, persist, schema, typed};
use crate::http::HeadLimits;
use crate::http::head::HEADERS_MAX;
use crate::hub::options::{Concurrency, StoreKind};
use crate::message::{Delivery, First, MessageId};
use crate::net::options::Listen;
#[cfg(feature = "persist")]
use crate::net::options::PersistSync;
use crate::relay::location::Pattern;
use crate::relay::options::{
    ChannelIds, Limits, LocationOptions, Origins, ProxyOptions, PublisherOptions, Role,
    SubscriberOptions, Transports, UpstreamAddress,
};
use crate::store::redis::options::{Address, Server};
use crate::store::{StoreId, memory};

/// The keys of a build with TLS.
const TLS_KEYS: [&str; 2] = ["certificate", "private_key"];

/// Settings with a value for every key that this build takes.
fn everything() -> Value {
    let mut all = json!({
        "$schema": "pushserver.schema.json",
        "port": 8001, "address": "127.0.0.1", "servername": "relay",
        "allrequests": "http://127.0.0.1:8002", "forcehost": "a.example",
        "allrequests_secret": "u",
        "trusted_proxies": ["10.0.0.0/8"],
        "hosts": ["push.test", ".example"],
        "certificate": "", "private_key": "", "plain_http": true,
        "publisher_host": "127.0.0.1:8001",
        "subscriber_host": {"location": "push.example.com", "secure": true},
        "store": {
            "default": {"type": "memory", "min_messages": 1, "max_messages": 2,
                "message_timeout": 0.5, "max_memory": 1000, "channel_timeout": 7,
                "persist": "/var/lib/pushserver/default.db", "persist_sync": "always"},
            "other": {"type": "memory", "min_messages": 0, "max_messages": 0,
                "message_timeout": 0, "max_memory": 1, "channel_timeout": 0,
                "persist_sync": "second"},
            "shared": {"type": "redis", "host": "redis.example", "port": 6380, "database": 3,
                "key_prefix": "s:", "username": "push", "password": "hush", "tls": false,
                "min_messages": 1, "max_messages": 100, "message_timeout": 0.5,
                "channel_timeout": 2.5, "timeout": 0.25, "cache": 1000},
            "watched": {"type": "redis", "database": 0, "key_prefix": "", "tls": false,
                "sentinel": {"master": "m", "nodes": ["a:1", "[::1]"],
                    "username": "watch", "password": {"env": "CARGO_PKG_NAME"}},
                "min_messages": 0, "max_messages": 0, "message_timeout": 60,
                "channel_timeout": 5, "timeout": 1.5, "cache": 2},
        },
    });
    // Apart, since the macro ends at a number of words.
    all["locations"] = json!([
        {"type": "subscriber", "url": "/u/([^/]+)", "prefix": "/u/", "store": "other",
            "channel_group": "g", "signed": true, "polling": "interval", "create_on_get": true,
            "concurrency": "last", "timeout": 1.5, "max_subscribers": 3,
            "transports": ["poll", "eventsource"], "ping_interval": 2.5,
            "first_message": -7, "delimiter": ",",
            "allow_origin": ["http://a", "http://b:81"], "allow_credentials": true,
            "passthrough": "http://127.0.0.1:8000/p", "passthrough_secret": "t",
            "passthrough_events": "raw", "presence": false, "presence_grace": 0.5,
            "presence_cookie": "sid"},
        {"type": "publisher", "url": "/s/([^/]+)", "prefix": "/s/", "store": "default",
            "channel_group": "", "signed": true, "create_on_post": false, "store_messages": false,
            "allow": ["10.0.0.0/8", "::1"], "secret": "s", "allow_origin": "http://a"},
        {"type": "pubsub", "url": "/b/([^/]+)", "prefix": "/b/", "store": "default",
            "channel_group": "b", "signed": true, "create_on_post": false, "store_messages": false,
            "allow": ["::1"], "secret": "b", "transports": ["websocket"],
            "polling": "long", "create_on_get": true, "concurrency": "first",
            "timeout": 55, "ping_interval": 0, "first_message": "newest",
            "max_subscribers": 4, "allow_origin": ["http://a"], "allow_credentials": true,
            "passthrough": "http://127.0.0.1:8000/p", "passthrough_secret": "t",
            "passthrough_events": "debounced", "presence": true, "presence_grace": 0.5,
            "presence_cookie": "sid"},
        {"type": "status", "prefix": "/", "inspector": true, "allow": ["::1"], "secret": "a"},
    ]);
    all["limits"] = json!({
        "connections": 1, "channels": 2, "passthrough_queue": 3, "header_bytes": 4,
        "headers": 5, "uri_bytes": 6, "body_bytes": 7, "channel_id_bytes": 8,
        "channels_per_request": 10, "pipeline_depth": 9, "header_timeout": 1, "body_timeout": 2, "write_timeout": 3,
        "keepalive_timeout": 4, "upstream_timeout": 0.25, "upstream_wait": 0.5,
        "token_seconds": 11, "revocations": 12, "waiting_publishers": 14, "presence_members": 13,
    });
    all["signing_keys"] = json!(["WPZ7yA_D0aNIjCHEGbtz24TFkjQ4ZWovxcFaPztwUGg"]);
    if !cfg!(feature = "persist") {
        let store = all["store"]["default"].as_object_mut();
        store.expect("it is an object").remove("persist");
    }
    let top = all.as_object_mut().expect("it is an object");
    for key in TLS_KEYS {
        #[cfg(not(feature = "tls"))]
        top.remove(key);
        #[cfg(feature = "tls")]
        top.insert(key.to_owned(), json!(super::development::tests::files()[key]));
    }
    all
}

pub(super) fn config(settings: Value) -> Result<Config, Problem> {
    let overrides = Overrides::default();
    let settings = typed(settings, &overrides)?;
    let trusts = super::trust::of_stores(&settings)?;
    let listen = vec![super::listen(&settings, overrides.ipv6)?];
    let (relay, stores) = build::options(&settings)?;
    let persist = persist::files(&settings)?;
    Ok(Config {
        source: Source::Defaults,
        overrides,
        settings,
        listen,
        relay,
        stores,
        persist,
        tls: super::Tls::Off,
        trusts,
    })
}

pub(super) fn refusal(settings: &Value) -> String {
    match config(settings.clone()) {
        Ok(_) => panic!("taken: {settings}"),
        Err(Problem { path, what }) => format!("{path}: {what}"),
    }
}

/// The refusal of settings with this one location.
fn location_refusal(location: Value) -> String {
    refusal(&json!({ "locations": [location] }))
}

#[test]
fn no_settings_give_the_defaults() {
    let config = config(json!({})).unwrap();
    assert_eq!(config.listen, [Listen::Tcp("127.0.0.1:8001".parse().unwrap())]);
    assert_eq!(config.relay.server, "pushserver");
    assert_eq!(config.relay.limits, Limits::default());
    let written = Limits {
        head: HeadLimits { header_bytes: 32 << 10, headers: 100, uri_bytes: 8 << 10 },
        body_bytes: 10 << 20,
        channel_id_bytes: 1024,
        channels_per_request: 255,
        pipeline_depth: 16,
        header_timeout_ms: 10_000,
        body_timeout_ms: 15_000,
        write_timeout_ms: 15_000,
        keepalive_timeout_ms: 60_000,
        upstream_timeout_ms: 60_000,
        upstream_wait_ms: 5_000,
        token_s: 604_800,
        revocations: 10_000,
        waiting_publishers: 1000,
        presence_members: 100_000,
    };
    assert_eq!(config.relay.limits, written);
    let hub = config.hub_options(MessageId { time: 1, tag: 2 }, 3);
    assert_eq!((hub.channels_max, hub.first_id.tag, hub.seed), (1_000_000, 2, 3));
    assert_eq!(hub.stores.len(), 1);
    assert_eq!(hub.stores[0].channel_timeout_ms, 5000);
    assert_eq!(hub.stores[0].memory.max_memory, 64 << 20);
    let net = config.net_options(true).unwrap();
    assert_eq!((net.connections, net.passthrough_queue), (None, 10_000));
    assert!(net.exit_on_stdin_eof);
    let [publisher, subscriber] = config.relay.locations.as_slice() else {
        panic!("two locations by default")
    };
    assert_eq!(publisher.pattern.channel_part(b"/publisher/a/b"), Some(&b"a/b"[..]));
    let Role::Publisher(PublisherOptions {
        create_on_post: true,
        store_messages: true,
        allow,
        secret: None,
        allow_origin: Origins::Nobody,
    }) = &publisher.role
    else {
        panic!("{publisher:?}")
    };
    assert!(allow.is_empty());
    assert_eq!(subscriber.pattern.channel_part(b"/subscriber/a"), Some(&b"a"[..]));
    assert!(matches!(
        subscriber.role,
        Role::Subscriber(SubscriberOptions {
            transports: Transports { websocket: true, event_stream: true, poll: true },
            delivery: Delivery::LongPoll,
            ping_interval_ms: 25_000,
            first: First::Oldest,
            create_on_get: false,
            concurrency: Concurrency::Broadcast,
            timeout_ms: 55_000,
            max_subscribers: 0,
            allow_origin: Origins::Any,
            allow_credentials: false,
            passthrough: None,
            passthrough_secret: None,
            presence: None,
        })
    ));
}

#[test]
fn every_key_reaches_its_option() {
    let config = config(everything()).unwrap();
    assert_eq!(config.relay.server, "relay");
    let hosts = ["push.test", ".example", "127.0.0.1", "push.example.com", "a.example"];
    assert_eq!(config.relay.hosts, hosts);
    let net = config.net_options(false).unwrap();
    assert_eq!((net.connections, net.passthrough_queue), (Some(1), 3));
    assert_eq!(config.hub_options(MessageId::default(), 0).channels_max, 2);
    let store = &config.stores[0];
    assert_eq!((store.memory.min_messages, store.memory.max_messages), (1, 2));
    assert_eq!((store.memory.message_timeout_ms, store.memory.max_memory), (500, 1000));
    assert_eq!(store.channel_timeout_ms, 7000);
    let limits = Limits {
        head: HeadLimits { header_bytes: 4, headers: 5, uri_bytes: 6 },
        body_bytes: 7,
        channel_id_bytes: 8,
        channels_per_request: 10,
        pipeline_depth: 9,
        header_timeout_ms: 1000,
        body_timeout_ms: 2000,
        write_timeout_ms: 3000,
        keepalive_timeout_ms: 4000,
        upstream_timeout_ms: 250,
        upstream_wait_ms: 500,
        token_s: 11,
        revocations: 12,
        waiting_publishers: 14,
        presence_members: 13,
    };
    assert_eq!(config.relay.limits, limits);
    let proxy = ProxyOptions {
        url: "http://127.0.0.1:8002".to_owned(),
        host: "127.0.0.1:8002".to_owned(),
        addresses: vec![UpstreamAddress::Tcp("127.0.0.1:8002".parse().unwrap())],
        force_host: Some("a.example".to_owned()),
        trusted: vec!["10.0.0.0/8".parse().unwrap()],
        secret: Some("u".into()),
    };
    assert_eq!(config.relay.proxy, Some(proxy));
    let LocationOptions { store, channel_group, ids, role, .. } = &config.relay.locations[0];
    assert_eq!((*store, channel_group.as_str()), (StoreId(1), "g"));
    assert_eq!(*ids, ChannelIds::Split(",".into()));
    let Role::Subscriber(subscriber) = role else { panic!("{role:?}") };
    assert_eq!(subscriber.delivery, Delivery::IntervalPoll);
    assert!(subscriber.create_on_get && subscriber.allow_credentials);
    assert_eq!(subscriber.concurrency, Concurrency::Last);
    assert_eq!((subscriber.timeout_ms, subscriber.max_subscribers), (1500, 3));
    let origins = ["http://a", "http://b:81"].map(str::to_owned);
    assert_eq!(subscriber.allow_origin, Origins::Listed(origins.to_vec()));
    assert_eq!(subscriber.passthrough.as_deref(), Some("http://127.0.0.1:8000/p"));
    assert_eq!(subscriber.passthrough_secret, Some("t".into()));
    let polls_and_events = Transports { websocket: false, event_stream: true, poll: true };
    assert_eq!(subscriber.transports, polls_and_events);
    assert_eq!((subscriber.ping_interval_ms, subscriber.first), (2500, First::Last(7)));
    let Role::Publisher(publisher) = &config.relay.locations[1].role else { panic!() };
    assert!(!publisher.create_on_post && !publisher.store_messages);
    let allow: Vec<_> = publisher.allow.iter().map(ToString::to_string).collect();
    assert_eq!(allow, ["10.0.0.0/8", "::1/128"]);
    assert_eq!(publisher.secret, Some("s".into()));
    assert_eq!(publisher.allow_origin, Origins::Listed(vec!["http://a".to_owned()]));
    let Role::PubSub(publisher, subscriber) = &config.relay.locations[2].role else { panic!() };
    assert!(!publisher.create_on_post && !publisher.store_messages);
    assert_eq!((publisher.allow.len(), publisher.secret.clone()), (1, Some("b".into())));
    assert_eq!(publisher.allow_origin, Origins::Listed(vec!["http://a".to_owned()]));
    assert_eq!(subscriber.allow_origin, publisher.allow_origin);
    let websockets = Transports { websocket: true, event_stream: false, poll: false };
    assert_eq!(subscriber.transports, websockets);
    assert_eq!((subscriber.ping_interval_ms, subscriber.first), (0, First::Newest));
    assert_eq!((subscriber.concurrency, subscriber.max_subscribers), (Concurrency::First, 4));
    assert!(subscriber.create_on_get && subscriber.allow_credentials);
}

#[test]
fn url_wins_over_prefix() {
    let location = json!({"type": "publisher", "url": "/a/(.+)", "prefix": "/b/"});
    let config = config(json!({ "locations": [location] })).unwrap();
    let pattern = &config.relay.locations[0].pattern;
    assert!(pattern.channel_part(b"/a/x").is_some() && pattern.channel_part(b"/b/x").is_none());
}

#[test]
fn the_effective_settings_give_themselves_again() {
    for settings in [json!({}), everything()] {
        let printed = config(settings).unwrap().to_json().unwrap();
        let again = config(serde_json::from_str(&printed).unwrap()).unwrap();
        assert_eq!(again.to_json().unwrap(), printed);
    }
}

#[test]
fn the_typed_settings_have_every_key_of_the_schema() {
    let printed = config(everything()).unwrap().to_json().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), everything());
    // And `everything` is what it says, for both stores, the locations and the limits.
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let all = everything();
    for (rule, value) in [
        ("/properties", "/"),
        ("/properties/limits/properties", "/limits"),
        ("/$defs/memory_store/properties", "/store/default"),
        ("/$defs/redis_store/properties", "/store/shared"),
        ("/$defs/redis_store/properties/sentinel/properties", "/store/watched/sentinel"),
        ("/$defs/subscriber/properties", "/locations/0"),
        ("/$defs/publisher/properties", "/locations/1"),
        ("/$defs/pubsub/properties", "/locations/2"),
        ("/$defs/host/anyOf/1/properties", "/subscriber_host"),
    ] {
        let value = all.pointer(value.trim_end_matches('/')).unwrap();
        let mut known = keys(schema.pointer(rule).unwrap());
        // `delimiter` and `query` exclude each other, as `host` and `sentinel` do.
        known.retain(|key| key != "query" && key != "sentinel");
        known.retain(|key| cfg!(feature = "persist") || key != "persist");
        known.retain(|key| cfg!(feature = "tls") || !TLS_KEYS.contains(&key.as_str()));
        assert_eq!(known, keys(value), "{rule}");
    }
}

#[test]
fn every_key_of_the_schema_is_described() {
    fn walk(rule: &Value, path: &str) {
        for (key, rule) in rule["properties"].as_object().into_iter().flatten() {
            let described = rule["description"].is_string() || rule["$ref"].is_string();
            assert!(described, "{path}.{key}");
            walk(rule, &format!("{path}.{key}"));
        }
        for (name, rule) in rule["$defs"].as_object().into_iter().flatten() {
            walk(rule, name);
        }
    }
    walk(&serde_json::from_str(SCHEMA).unwrap(), "");
}

#[test]
fn every_default_and_example_of_the_schema_is_allowed_by_it() {
    fn walk(rule: &Value, seen: &mut usize) {
        let Some(object) = rule.as_object() else { return };
        let samples = rule["examples"].as_array().into_iter().flatten();
        for sample in samples.chain(object.get("default")) {
            *seen += 1;
            let words = sample.as_str();
            assert!(words.is_none_or(|words| rule["type"] != "integer" && words.len() < 100));
            if let (Some(number), Some(most)) = (sample.as_f64(), rule["maximum"].as_f64()) {
                assert!(number <= most, "{rule}");
            }
        }
        object.values().for_each(|rule| walk(rule, seen));
    }
    let mut seen = 0;
    walk(&serde_json::from_str(SCHEMA).unwrap(), &mut seen);
    assert!(seen > 40);
    // The defaults pass in every object that has some.
    let mut settings = json!({"store": {"a": {}, "default": {}}, "limits": {}});
    assert_eq!(schema::fill(&mut settings), Ok(()));
}

#[test]
fn an_unknown_key_finds_the_key_that_was_meant() {
    for (settings, line) in [
        (json!({"prot": 1}), "prot: unknown key; did you mean \"port\"?"),
        (json!({"max_messages": 1}), "max_messages: unknown key here; it belongs to \"store\""),
        (
            json!({"store": {"maxMessages": 1}}),
            "store.maxMessages: unknown key; did you mean \"max_messages\"?",
        ),
        (
            json!({"store": {"body_bytes": 1}}),
            "store.body_bytes: unknown key here; it belongs to \"limits\"",
        ),
        (
            json!({"store": {"a": {"typ": "memory"}}}),
            "store.a.typ: unknown key; did you mean \"type\"?",
        ),
        (
            json!({"limits": {"colour": 1}}),
            "limits.colour: unknown key; known are body_bytes, body_timeout, channel_id_bytes, \
             channels, channels_per_request, connections, header_bytes, header_timeout, headers, keepalive_timeout, \
             passthrough_queue, pipeline_depth, presence_members, revocations, token_seconds, upstream_timeout, upstream_wait, uri_bytes, waiting_publishers and \
             write_timeout",
        ),
        (
            json!({"publisher_host": {"loction": "a"}}),
            "publisher_host.loction: unknown key; did you mean \"location\"?",
        ),
        (
            json!({"a b\n": 1}),
            "[\"a b\\n\"]: unknown key; known are $schema, address, allrequests, \
             allrequests_secret, certificate, forcehost, hosts, limits, locations, plain_http, \
             port, private_key, publisher_host, servername, signing_keys, store, \
             subscriber_host and trusted_proxies",
        ),
    ] {
        assert_eq!(refusal(&settings), line);
    }
    for (location, line) in [
        (
            json!({"type": "subscriber", "prefix": "/", "polling_": "long"}),
            "polling_: unknown key; did you mean \"polling\"?",
        ),
        (json!({"tpye": "subscriber", "prefix": "/"}), "tpye: unknown key; did you mean \"type\"?"),
        (
            json!({"type": "publisher", "prefix": "/", "polling": "long"}),
            "polling: unknown key here; it belongs to a subscriber location",
        ),
        (
            json!({"type": "subscriber", "prefix": "/", "create_on_post": true}),
            "create_on_post: unknown key here; it belongs to a publisher location",
        ),
        (
            json!({"type": "pubsub", "prefix": "/", "delimiter": ","}),
            "delimiter: unknown key here; it belongs to a subscriber location",
        ),
    ] {
        assert_eq!(location_refusal(location), format!("locations[0].{line}"));
    }
}

#[test]
fn a_wrong_type_says_what_was_found_and_what_is_expected() {
    for (settings, line) in [
        (json!([]), ": expected an object, found a list"),
        (
            json!({"port": "8001"}),
            "port: expected a whole number from 0 to 65535 \
            (for example 8001), found the string \"8001\"; write it without quotes",
        ),
        (
            json!({"port": 65536}),
            "port: expected a whole number from 0 to 65535 \
            (for example 8001), found the number 65536",
        ),
        (
            json!({"port": -1}),
            "port: expected a whole number from 0 to 65535 \
            (for example 8001), found the number -1",
        ),
        (
            json!({"port": 1.5}),
            "port: expected a whole number from 0 to 65535 \
            (for example 8001), found the number 1.5",
        ),
        (
            json!({"servername": null}),
            "servername: expected a string \
            (for example \"pushserver\"), found null; leave the key out instead",
        ),
        (
            json!({"store": "memory"}),
            "store: expected an object \
            (for example {\"type\":\"memory\"}), found the string \"memory\"",
        ),
        (
            json!({"store": {"a": {}, "b": 1}}),
            "store.b: expected an object \
            (for example {\"type\":\"memory\"}), found the number 1",
        ),
        (
            json!({"store": {"type": "memory", "max_messages": {}}}),
            "store.max_messages: expected a whole number from 0 to 4294967295 (for example 0), \
             found an object",
        ),
        (
            json!({"store": {"type": "memry"}}),
            "store.type: expected \"memory\" or \"redis\", found \"memry\"; did you mean \"memory\"?",
        ),
        (
            json!({"store": {"message_timeout": -0.5}}),
            "store.message_timeout: expected a number \
            of seconds from 0 to 3153600000 (for example 0), found the number -0.5",
        ),
        (
            json!({"locations": {}}),
            "locations: expected a list \
            (for example [{\"prefix\":\"/subscriber/\",\"type\":\"subscriber\"}]), \
            found an object",
        ),
        (
            json!({"locations": []}),
            "locations: the list is empty; leave the key out for the default",
        ),
        (
            json!({"limits": {"headers": 0}}),
            "limits.headers: expected a whole number from 1 to \
            256 (for example 100), found the number 0; 0 never means no limit here",
        ),
        (
            json!({"limits": {"header_timeout": 0}}),
            "limits.header_timeout: expected a number of \
            seconds above 0 and at most 3153600000 (for example 10), found the number 0; \
            0 never means no limit here",
        ),
        (
            json!({"publisher_host": 1}),
            "publisher_host: expected a string or an object \
            (for example \"127.0.0.1:8001\"), found the number 1",
        ),
        (
            json!({"publisher_host": {}}),
            "publisher_host.location: missing; expected a string (for example \"127.0.0.1:8001\")",
        ),
    ] {
        assert_eq!(refusal(&settings), line);
    }
    for (location, line) in [
        (
            json!("/u/"),
            ": expected an object \
            (for example {\"prefix\":\"/subscriber/\",\"type\":\"subscriber\"}), \
            found the string \"/u/\"",
        ),
        (
            json!({"prefix": "/"}),
            ".type: missing; expected \"publisher\", \"subscriber\", \"pubsub\" or \"status\"",
        ),
        (
            json!({"type": 1, "prefix": "/"}),
            ".type: expected \"publisher\", \"subscriber\", \"pubsub\" or \"status\", found the number 1",
        ),
        (
            json!({"type": "subsciber", "prefix": "/"}),
            ".type: expected \"publisher\", \
            \"subscriber\", \"pubsub\" or \"status\", found \"subsciber\"; did you mean \"subscriber\"?",
        ),
        (
            json!({"type": "subscriber", "prefix": "/", "create_on_get": "true"}),
            ".create_on_get: \
            expected true or false, found the string \"true\"; write it without quotes",
        ),
        (
            json!({"type": "subscriber", "prefix": "/", "create_on_get": 1}),
            ".create_on_get: expected true or false, found the number 1",
        ),
        (
            json!({"type": "subscriber", "prefix": "/", "polling": "longpoll"}),
            ".polling: expected \"long\" or \"interval\", found the string \"longpoll\"",
        ),
        (
            json!({"type": "subscriber", "prefix": "/", "first_message": "-3"}),
            ".first_message: expected \"oldest\" or \"newest\" or a whole number from -100000 to -1 \
            (for example \"oldest\"), found the string \"-3\"; write it without quotes",
        ),
        (
            json!({"type": "subscriber", "prefix": "/", "allow_origin": 1}),
            ".allow_origin: \
            expected a string or a list (for example \"http://127.0.0.1:8000\"), found the number 1",
        ),
        (
            json!({"type": "publisher", "prefix": "/", "allow": "10.0.0.0/8"}),
            ".allow: expected a \
            list (for example [\"127.0.0.1\",\"10.0.0.0/8\"]), found the string \"10.0.0.0/8\"",
        ),
        (
            json!({"type": "publisher", "prefix": "/", "secret": 12345}),
            ".secret: expected a string or an object (for example \"a-long-random-word\")",
        ),
    ] {
        assert_eq!(location_refusal(location), format!("locations[0]{line}"));
    }
}

#[test]
fn what_cannot_work_is_refused_with_its_path() {
    let subscriber = |key: &str, value: Value| {
        let mut location = json!({"type": "subscriber", "prefix": "/u/"});
        location[key] = value;
        location_refusal(location)
    };
    let publisher = |key: &str, value: Value| {
        let mut location = json!({"type": "publisher", "prefix": "/u/"});
        location[key] = value;
        location_refusal(location)
    };
    for (line, path, what) in [
        (subscriber("url", json!("/u/([^/]+")), "locations[0].url", "regular expression"),
        (subscriber("url", json!("/u/[^/]+")), "locations[0].url", "no capture group"),
        (subscriber("url", json!("/(u)/(.+)")), "locations[0].url", "2 capture groups"),
        (subscriber("url", json!("u/(.+)")), "locations[0].url", "begins with \"/\""),
        (subscriber("prefix", json!("")), "locations[0].prefix", "empty"),
        (subscriber("prefix", json!("u/")), "locations[0].prefix", "begins with \"/\""),
        (subscriber("prefix", json!("/u?id=")), "locations[0].prefix", "%3F"),
        (subscriber("allow_credentials", json!(true)), "locations[0].allow_credentials", "list"),
        (subscriber("allow_origin", json!("*,http://a")), "locations[0].allow_origin", "a list"),
        (subscriber("allow_origin", json!("http://a/")), "locations[0].allow_origin", "http://a"),
        (subscriber("allow_origin", json!(["http://a", "*"])), "locations[0].allow_origin[1]", ""),
        (subscriber("passthrough", json!("/p")), "locations[0].passthrough", "http://"),
        (subscriber("passthrough", json!("http://a/ö")), "locations[0].passthrough", "%C3%B6 for"),
        (subscriber("channel_group", json!("a\u{0}")), "locations[0].channel_group", "control"),
        (subscriber("transports", json!([])), "locations[0].transports", "empty"),
        (
            subscriber("transports", json!(["poll", "poll"])),
            "locations[0].transports[1]",
            "\"poll\" stands in the list twice",
        ),
        (
            subscriber("transports", json!(["websockets"])),
            "locations[0].transports[0]",
            "did you mean \"websocket\"?",
        ),
        (subscriber("ping_interval", json!(-1)), "locations[0].ping_interval", "from 0"),
        (subscriber("first_message", json!(0)), "locations[0].first_message", "-100000 to -1"),
        (subscriber("first_message", json!(1)), "locations[0].first_message", "found the number 1"),
        (subscriber("first_message", json!(-100_001)), "locations[0].first_message", "to -1"),
        (subscriber("first_message", json!("new")), "locations[0].first_message", "\"newest\""),
        (subscriber("first_message", json!(-1.5)), "locations[0].first_message", "whole number"),
        (subscriber("delimiter", json!("")), "locations[0].delimiter", "empty"),
        (subscriber("delimiter", json!("%2C")), "locations[0].delimiter", "\"%\" cannot"),
        (subscriber("delimiter", json!("a b")), "locations[0].delimiter", "\" \" cannot"),
        (subscriber("delimiter", json!("ö")), "locations[0].delimiter", "\"ö\" cannot"),
        (subscriber("query", json!("")), "locations[0].query", "empty"),
        (subscriber("query", json!("a\n")), "locations[0].query", "control"),
        (subscriber("query", json!("last_event_id")), "locations[0].query", "the cursor"),
        (subscriber("query", json!("channel")), "locations[0].prefix", "in the query"),
        (
            location_refusal(json!({"type": "subscriber", "query": "c"})),
            "locations[0].url",
            "whole path",
        ),
        (
            location_refusal(json!({"type": "subscriber", "url": "/(.+)", "query": "c"})),
            "locations[0].url",
            "capture group",
        ),
        (
            location_refusal(
                json!({"type": "subscriber", "url": "/u", "query": "c", "delimiter": ","}),
            ),
            "locations[0].query",
            "delimiter",
        ),
        (
            refusal(&json!({"limits": {"channels_per_request": 5000}})),
            "limits.channels_per_request",
            "from 1 to 4096",
        ),
        (subscriber("store", json!("defalt")), "locations[0].store", "did you mean \"default\"?"),
        (publisher("store", json!("redis")), "locations[0].store", "names \"default\""),
        (publisher("allow", json!([])), "locations[0].allow", "empty"),
        (publisher("allow", json!(["::1", "10.0.0.1/8"])), "locations[0].allow[1]", "10.0.0.0/8"),
        (publisher("allow", json!(["10.0.0.0/33"])), "locations[0].allow[0]", "no network"),
        (publisher("secret", json!("")), "locations[0].secret", "visible"),
        (publisher("secret", json!("a\r\nb")), "locations[0].secret", "visible"),
        (location_refusal(json!({"type": "publisher"})), "locations[0]", "url and prefix"),
        (refusal(&json!({"servername": "a\r\nX: y"})), "servername", "header"),
        (refusal(&json!({"address": "example.com"})), "address", "localhost"),
        (refusal(&json!({"publisher_host": "http://a"})), "publisher_host", "without the scheme"),
        (refusal(&json!({"subscriber_host": {"location": ""}})), "subscriber_host.location", ""),
        (
            refusal(&json!({"store": {"min_messages": 3, "max_messages": 2}})),
            "store.min_messages",
            "max_messages, which is 2",
        ),
        (
            refusal(&json!({"store": {"a": {"type": "memory"}}})),
            "locations[0].store",
            "no store is named \"default\"; \"store\" names \"a\"",
        ),
    ] {
        assert!(line.starts_with(&format!("{path}: ")), "{path}: {line}");
        assert!(line.contains(what), "{what}: {line}");
        assert!(!line.contains(char::is_control), "{line}");
    }
}

#[test]
fn numbers_of_entries_have_room_in_what_counts_them() {
    let origins = |most: usize| -> Vec<String> {
        (0..most).map(|index| format!("http://h{index}.example")).collect()
    };
    for role in ["publisher", "subscriber", "pubsub"] {
        let with = |origins: &[String]| json!({"locations": [{"type": role, "prefix": "/", "allow_origin": origins}]});
        assert!(config(with(&origins(1000))).is_ok());
        assert_eq!(
            refusal(&with(&origins(1001))),
            "locations[0].allow_origin: more than 1000 origins"
        );
    }
    // Messages of a store are numbered with 32 bits, of which one number says "none".
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let bytes = &schema["$defs"]["memory_store"]["properties"]["max_memory"]["maximum"];
    let cache = &schema["$defs"]["redis_store"]["properties"]["cache"]["maximum"];
    assert_eq!(cache, bytes);
    let bytes = bytes.as_u64().unwrap();
    let headers = &schema["properties"]["limits"]["properties"]["headers"];
    assert_eq!(headers["maximum"], HEADERS_MAX);
    assert!(bytes / (memory::MESSAGE_OVERHEAD as u64) < u64::from(u32::MAX));
}

#[test]
fn a_location_behind_a_broader_one_is_refused() {
    let settings = json!({"locations": [
        {"type": "subscriber", "prefix": "/u/"},
        {"type": "publisher", "url": "/u/([^/]+)"},
    ]});
    assert_eq!(
        refusal(&settings),
        "locations[1].url: unreachable: locations[0] comes first and takes all its paths; \
         put the narrower first"
    );
    let settings = json!({"locations": [
        {"type": "publisher", "url": "/u/([^/]+)"},
        {"type": "subscriber", "prefix": "/u/"},
    ]});
    assert!(config(settings).is_ok());
}

#[test]
fn a_name_of_the_daemon_has_neither_scheme_nor_port() {
    let hosts = |name: &str| config(json!({"hosts": [name]})).map(|config| config.relay.hosts);
    for name in ["*", "push.test", ".push.test", "127.0.0.1", "[::1]", "a_b"] {
        assert_eq!(hosts(name).unwrap(), [name]);
    }
    assert_eq!(hosts("push.test.").unwrap(), ["push.test"]);
    for name in ["", ".", "*.test", "push.test:8001", "http://push.test", "[::1]:1", "a b"] {
        let Problem { path, what } = hosts(name).expect_err(name);
        assert!(path == "hosts[0]" && what.contains("without scheme and port"), "{path}: {what}");
    }
}

#[test]
fn the_debug_form_of_the_settings_shows_no_secret() {
    let location = json!({"type": "publisher", "prefix": "/", "secret": "hush"});
    let config = config(json!({ "locations": [location] })).unwrap();
    let text = format!("{config:?}");
    assert!(text.contains("secret: Some(Secret(…))") && !text.contains("hush"), "{text}");
}

#[test]
fn a_passthrough_to_the_daemon_itself_is_warned_of() {
    let warnings = |address: &str, url: &str| {
        let location = json!({"type": "subscriber", "prefix": "/s/", "passthrough": url});
        config(json!({"address": address, "locations": [location]})).unwrap().warnings()
    };
    for (address, url) in [
        ("127.0.0.1", "http://127.0.0.1:8001/p"),
        ("127.0.0.1", "http://localhost:8001"),
        ("127.0.0.1", "http://0.0.0.0:8001/p?x"),
        ("::1", "http://[::1]:8001/p"),
        ("0.0.0.0", "http://127.0.0.1:8001/p"),
    ] {
        let warnings = warnings(address, url);
        assert_eq!(warnings.len(), 1, "{address} {url}");
        assert!(warnings[0].starts_with("locations[0].passthrough: "), "{warnings:?}");
    }
    for (address, url) in [
        ("127.0.0.1", "http://127.0.0.1:8000/p"),
        ("127.0.0.1", "http://127.0.0.1/p"),
        ("127.0.0.1", "http://[::1]:8001/p"),
        ("127.0.0.1", "http://django:8001/p"),
        ("unix:/p", "http://127.0.0.1:8001/p"),
    ] {
        assert_eq!(warnings(address, url), [""; 0], "{address} {url}");
    }
}

#[test]
fn a_key_without_effect_is_warned_of() {
    let warnings = |location: Value| config(json!({"locations": [location]})).unwrap().warnings();
    let subscriber = |transports: &[&str], key: &str, value: Value| {
        let url = "/s/([^/]+)";
        let mut location = json!({"type": "subscriber", "url": url, "transports": transports});
        location[key] = value;
        warnings(location)
    };
    let streams = &["websocket", "eventsource"];
    for (lines, key) in [
        (subscriber(&["poll"], "ping_interval", json!(7)), "ping_interval"),
        (subscriber(streams, "polling", json!("interval")), "polling"),
        (subscriber(streams, "timeout", json!(7)), "timeout"),
    ] {
        let words = format!("locations[0].{key}: without effect, since it is for ");
        assert!(lines.len() == 1 && lines[0].starts_with(&words), "{lines:?}");
    }
    // The default is as good as nothing: `--print-config` writes it.
    assert_eq!(subscriber(&["poll"], "ping_interval", json!(25)), [""; 0]);
    assert_eq!(subscriber(&["eventsource", "poll"], "ping_interval", json!(7)), [""; 0]);
    assert_eq!(subscriber(&["poll"], "timeout", json!(7)), [""; 0]);

    for (delimiter, what) in [("|", "percent-encoded"), ("/", "write (.+)")] {
        let lines = subscriber(&["poll"], "delimiter", json!(delimiter));
        assert!(lines.len() == 1 && lines[0].contains(what), "{lines:?}");
    }
    assert_eq!(subscriber(&["poll"], "delimiter", json!(",")), [""; 0]);
    let pubsub = json!({"type": "pubsub", "prefix": "/b/", "allow_credentials": true});
    let lines = warnings(pubsub);
    assert!(lines.len() == 1 && lines[0].starts_with("locations[0].allow_cred"), "{lines:?}");
}

#[test]
#[cfg(feature = "persist")]
fn a_store_with_a_file_has_one_of_its_own() {
    let store = |path: &str| json!({ "persist": path });
    let one = config(json!({"store": store("/a.db")})).unwrap();
    assert_eq!(one.persist[0].name, "default");
    assert_eq!(one.stores[0].kind, StoreKind::Durable);
    let named =
        json!({"store": {"b": {}, "default": {"persist": "c.db", "persist_sync": "always"}}});
    let named = config(named).unwrap();
    let file = &named.net_options(false).unwrap().persist[0];
    assert_eq!((file.store, &*file.name, file.sync), (StoreId(1), "default", PersistSync::Always));
    assert_eq!(file.path, PathBuf::from("c.db"));
    let kinds = named.stores.iter().map(|store| &store.kind);
    assert!(kinds.eq([&StoreKind::Memory, &StoreKind::Durable]));

    for (path, what) in [
        ("", "store.persist: no file; write its path, as in \"/var/lib/"),
        ("/var/lib/", "store.persist: no file; write its path"),
        ("/a\n.db", "store.persist: \"/a\\n.db\" has control characters"),
    ] {
        let refusal = refusal(&json!({"store": store(path)}));
        assert!(refusal.starts_with(what), "{refusal}");
    }
    let both = json!({"store": {"a": store("/var//x.db"), "default": {}, "b": store("/var/x.db")}});
    assert_eq!(
        refusal(&both),
        "store.b.persist: \"/var/x.db\" is the file of store.a, too; give each store a file of its \
         own"
    );
    let idle = json!({"store": {"default": {}, "b": {"persist_sync": "always"}}});
    let warnings = config(idle).unwrap().warnings();
    assert_eq!(
        warnings,
        ["store.b.persist_sync: without effect, since no file is given; set persist"]
    );
}

#[test]
#[cfg(not(feature = "tls"))]
fn a_build_without_tls_says_so() {
    for settings in [
        json!({"certificate": "development"}),
        json!({"store": {"type": "redis", "tls": true}}),
        json!({"locations": [{"type": "subscriber", "prefix": "/",
            "passthrough": "https://a/"}]}),
    ] {
        let overrides = Overrides::default();
        let error = Config::of_value(settings, Source::Defaults, overrides).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("built without the feature \"tls\""), "{error}");
    }
    // What is only meant is a warning: the plain port is served.
    let host = json!({"location": "127.0.0.1:8001", "secure": true});
    let settings = json!({"publisher_host": host});
    let config = Config::of_value(settings, Source::Defaults, Overrides::default()).unwrap();
    assert!(config.warnings().iter().any(|line| line.contains("publisher_host.secure")));
}

#[test]
#[cfg(not(feature = "persist"))]
fn a_build_without_files_says_so() {
    let refusal = refusal(&json!({"store": {"persist": "/a.db"}}));
    assert!(refusal.contains("built without the feature \"persist\""), "{refusal}");
}

#[test]
fn a_pubsub_location_lets_no_web_page_in_by_itself() {
    let settings = json!({"locations": [{"type": "pubsub", "prefix": "/b/"}]});
    let location = config(settings).unwrap().relay.locations.remove(0);
    assert_eq!(location.ids, ChannelIds::One);
    let (publisher, subscriber) = (location.role.publisher(), location.role.subscriber());
    assert_eq!(publisher.unwrap().allow_origin, Origins::Nobody);
    assert_eq!(subscriber.unwrap().allow_origin, Origins::Nobody);
    let world = json!({"type": "pubsub", "prefix": "/b/"});
    let settings = json!({"address": "0.0.0.0", "locations": [world]});
    let warnings = config(settings).unwrap().warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("may publish"), "{warnings:?}");
}

#[test]
fn a_publisher_that_the_world_reaches_is_warned_of() {
    let warnings = |settings: Value| config(settings).unwrap().warnings();
    let location = |key: &str, value: Value| {
        let mut location = json!({"type": "publisher", "prefix": "/p/"});
        location[key] = value;
        json!({"address": "0.0.0.0", "locations": [location]})
    };
    assert_eq!(
        warnings(json!({"address": "::"})),
        [
            "locations[0]: everybody who can reach http://[::]:8001 may publish; set \"allow\" or \"secret\""
        ]
    );
    assert_eq!(warnings(location("secret", json!("s"))), [""; 0]);
    assert_eq!(warnings(location("allow", json!(["10.0.0.0/8"]))), [""; 0]);
    for address in ["127.0.0.1", "127.0.0.2", "::1", "localhost", "unix:/p"] {
        assert_eq!(warnings(json!({"address": address})), [""; 0]);
    }
}

#[test]
fn a_publisher_that_a_front_server_lets_the_world_reach_is_warned_of() {
    let warnings = |location: Value| {
        let settings = json!({"allrequests": "http://127.0.0.1:8002", "locations": [location],
            "trusted_proxies": ["10.0.0.0/8", "127.0.0.1"]});
        config(settings).unwrap().warnings()
    };
    let location = |key: &str, value: Value| {
        let mut location = json!({"type": "publisher", "prefix": "/p/"});
        location[key] = value;
        location
    };
    for (allow, front) in [
        (json!(["0.0.0.0/0"]), "10.0.0.0/8"),
        (json!(["10.1.2.3"]), "10.0.0.0/8"),
        (json!(["127.0.0.0/8"]), "127.0.0.1/32"),
    ] {
        let warnings = warnings(location("allow", allow));
        let words =
            format!("locations[0]: everybody who can reach the front server at {front} may");
        assert!(warnings.len() == 1 && warnings[0].starts_with(&words), "{warnings:?}");
    }
    assert_eq!(warnings(location("type", json!("publisher"))).len(), 1, "without allow");
    assert_eq!(warnings(location("allow", json!(["192.168.0.0/16", "::1"]))), [""; 0]);
    assert_eq!(warnings(location("secret", json!("s"))), [""; 0]);
}

fn with(listen: &[&str], port: Option<u16>, ipv6: bool) -> Result<Config, String> {
    let listen = listen.iter().map(|&text| text.to_owned()).collect();
    Config::load(Source::Defaults, Overrides { listen, port, ipv6, ..Overrides::default() })
        .map_err(|e| e.to_string())
}

#[test]
fn the_command_line_wins_over_the_file() {
    let listening =
        |config: Config| -> Vec<String> { config.listen.iter().map(ToString::to_string).collect() };
    assert_eq!(listening(with(&[], Some(0), false).unwrap()), ["http://127.0.0.1:0"]);
    assert_eq!(listening(with(&[], None, true).unwrap()), ["http://[::1]:8001"]);
    let two = with(&["localhost:1", "unix:/p"], None, true).unwrap();
    assert!(two.to_json().unwrap_err().to_string().contains("one --listen"));
    assert_eq!(listening(two), ["http://[::1]:1", "unix:/p"]);
    let one = with(&["unix:/p"], None, false).unwrap();
    assert!(one.to_json().unwrap().contains(r#""address": "unix:/p""#));
    assert_eq!(
        with(&["80"], None, false).unwrap_err(),
        "--listen: \"80\" is no address with a port; \
         write 127.0.0.1:8001, [::1]:8001 or unix:/path"
    );
}

#[test]
fn a_reload_takes_all_of_the_new_file_or_nothing() {
    let name = format!("pushserver-reload-{}.json", std::process::id());
    let file = std::env::temp_dir().join(name);
    let write = |settings: &Value| fs::write(&file, settings.to_string()).unwrap();
    write(&everything());
    let config = Config::load(Source::File(file.clone()), Overrides::default()).unwrap();

    let mut changed = everything();
    changed["servername"] = json!("changed");
    changed["store"]["shared"]["host"] = json!("elsewhere");
    changed["store"]["shared"]["password"] = json!({"env": "CARGO_PKG_NAME"});
    write(&changed);
    let crate::net::ReloadedOptions { relay, stores, .. } = config.reload().unwrap();
    assert_eq!(relay.server, "changed");
    let StoreKind::Redis(redis) = &stores[2].kind else { panic!("{stores:?}") };
    assert_eq!(redis.server, Server::Node(Address::Tcp("elsewhere".to_owned(), 6380)));
    assert_eq!(redis.credentials.password, Some("pushserver".into()));

    for (pointer, value, what) in [
        ("/port", json!(1), "address or port cannot change while running"),
        ("/limits/connections", json!(9), "limits.connections cannot change"),
        ("/limits/channels", json!(9), "limits.channels cannot change"),
        ("/limits/passthrough_queue", json!(9), "limits.passthrough_queue cannot change"),
        ("/store", json!({"default": {}, "other": {}, "more": {}}), "the names in store"),
        ("/store/default/persist", json!("/b.db"), "persist or persist_sync of a store cannot"),
        ("/store/default/persist_sync", json!("second"), "persist or persist_sync of a store"),
        ("/store/default", json!({}), "persist or persist_sync of a store"),
        ("/store/other", json!({"type": "redis"}), "the type of a store cannot change while run"),
        ("/store/shared", json!({}), "the type of a store cannot change while running; restart"),
        ("/store/shared/timeout", json!(11), "store.shared.timeout: expected a number of seconds"),
        ("/servername", json!(1), "servername: expected a string"),
    ] {
        if what.starts_with("persist") && !cfg!(feature = "persist") {
            continue;
        }
        let mut changed = everything();
        *changed.pointer_mut(pointer).unwrap() = value;
        write(&changed);
        let error = config.reload().unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    fs::remove_file(&file).unwrap();
    assert!(config.reload().unwrap_err().to_string().contains("cannot read it"));
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    assert!(with(&[], None, false).unwrap().reload().is_err());
}

#[test]
fn the_example_is_taken() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config.example.json");
    let config = Config::load(Source::File(path), Overrides::default()).unwrap();
    assert_eq!(config.warnings(), [""; 0]);
}

#[test]
fn with_allrequests_the_default_port_is_8000_and_arguments_win() {
    let load = |file: Value, allrequests: Option<&str>, forcehost: Option<&str>| {
        let overrides = Overrides {
            allrequests: allrequests.map(str::to_owned),
            forcehost: forcehost.map(str::to_owned),
            ..Overrides::default()
        };
        typed(file, &overrides)
    };
    let settings = load(json!({}), Some("http://127.0.0.1:8002"), Some("a")).unwrap();
    assert_eq!((settings.port, settings.forcehost.as_deref()), (8000, Some("a")));
    let file = json!({"allrequests": "http://127.0.0.1:1"});
    assert_eq!(load(file.clone(), None, None).unwrap().port, 8000);
    let settings = load(file, Some("http://127.0.0.1:2"), None).unwrap();
    assert_eq!(settings.allrequests.as_deref(), Some("http://127.0.0.1:2"));
    let settings = load(json!({"port": 7}), Some("http://127.0.0.1:2"), None).unwrap();
    assert_eq!(settings.port, 7);
    for (settings, line) in [
        (json!({"allrequests": "https://a"}), "allrequests: https is not"),
        (json!({"allrequests": "http://a/b"}), "allrequests: \"http://a/b\" has a path"),
        (json!({"forcehost": "a"}), "forcehost: has no effect without"),
        (json!({"trusted_proxies": ["::1"]}), "trusted_proxies: has no effect without"),
        (json!({"allrequests_secret": "s"}), "allrequests_secret: has no effect without"),
        (
            json!({"allrequests": "http://127.0.0.1:1", "allrequests_secret": "a b"}),
            "allrequests_secret: it goes into a header",
        ),
        (
            json!({
                "allrequests": "http://127.0.0.1:1",
                "allrequests_secret": "s",
                "locations": [{"type": "subscriber", "prefix": "/s/", "passthrough_secret": "s"}],
            }),
            "allrequests_secret: a location has it as its passthrough_secret",
        ),
        (
            json!({"allrequests": "http://127.0.0.1:1", "forcehost": "http://a"}),
            "forcehost: \"http://a\" is no host:port",
        ),
    ] {
        let refusal = refusal(&settings);
        assert!(refusal.starts_with(line), "{refusal}");
    }
}

#[test]
fn an_ipv4_address_in_the_form_of_ipv6_is_that_address() {
    let location = json!({"type": "publisher", "prefix": "/a/", "allow": ["::ffff:10.0.0.1"]});
    let config = config(json!({ "locations": [location] })).unwrap();
    let Role::Publisher(publisher) = &config.relay.locations[0].role else { panic!() };
    assert_eq!(publisher.allow, ["10.0.0.1/32".parse().unwrap()]);
}

#[test]
fn an_upstream_that_is_the_daemon_itself_is_refused() {
    let load = |listen: &[&str], upstream: &str| {
        let listen = listen.iter().map(|&text| text.to_owned()).collect();
        let allrequests = Some(upstream.to_owned());
        Config::load(Source::Defaults, Overrides { listen, allrequests, ..Overrides::default() })
    };
    for (listen, upstream) in [
        (&[][..], "http://127.0.0.1:8000"),
        (&[], "http://localhost:8000/"),
        (&["[::1]:1", "0.0.0.0:2"], "http://127.0.0.1:2"),
        (&["[::]:2"], "http://127.0.0.1:2"),
        (&["127.0.0.1:2"], "http://0.0.0.0:2"),
        (&["unix:/p"], "unix:/p"),
    ] {
        let error = load(listen, upstream).unwrap_err().to_string();
        let words = format!("allrequests: \"{upstream}\" is where this daemon itself listens");
        assert!(error.contains(&words), "{listen:?}: {error}");
    }
    for (listen, upstream) in [
        (&[][..], "http://127.0.0.1:8001"),
        (&["127.0.0.2:8000"], "http://127.0.0.1:8000"),
        (&["0.0.0.0:8000"], "http://[::1]:8000"),
        (&["unix:/p"], "unix:/q"),
    ] {
        assert!(load(listen, upstream).is_ok(), "{listen:?} {upstream}");
    }
}

/// Patterns with the paths that they serve: the Django app's tests read the same table.
#[test]
fn the_text_of_a_location_is_matched_as_clients_write_it() {
    let table: Value = serde_json::from_str(include_str!("../../tests/locations.json")).unwrap();
    for entry in table.as_array().unwrap() {
        let mut location = json!({"type": "subscriber"});
        for key in ["url", "prefix"].into_iter().filter(|key| entry.get(key).is_some()) {
            location[key] = entry[key].clone();
        }
        if let Some(words) = entry.get("refused") {
            let line = location_refusal(location);
            assert!(line.contains(words.as_str().unwrap()), "{entry}: {line}");
            let key = if entry.get("url").is_some() { "url" } else { "prefix" };
            assert!(line.starts_with(&format!("locations[0].{key}: ")), "{line}");
            continue;
        }
        let config = config(json!({"locations": [location]}))
            .unwrap_or_else(|problem| panic!("{entry}: {problem:?}"));
        let pattern = &config.relay_options().locations[0].pattern;
        let served = entry["serves"].as_object().unwrap();
        for (path, id) in served {
            let part = pattern.channel_part(path.as_bytes());
            assert_eq!(part, Some(id.as_str().unwrap().as_bytes()), "{path} of {entry}");
        }
        for path in entry["leaves"].as_array().unwrap() {
            let path = path.as_str().unwrap();
            assert_eq!(pattern.channel_part(path.as_bytes()), None, "{path} of {entry}");
        }
        for url in entry.get("url_of").and_then(Value::as_object).into_iter().flatten() {
            let path = url.1.as_str().unwrap();
            assert!(pattern.channel_part(path.as_bytes()).is_some(), "{path} of {entry}");
        }
    }
}

#[test]
fn patterns_of_plain_text_need_no_regular_expression() {
    let pattern = |location: Value| {
        let config = config(json!({"locations": [location]})).expect("it is served");
        config.relay_options().locations[0].pattern.clone()
    };
    let plain = "/~a'(b)!*c;d,e=f&g$h+i@j:k-l_m.n/";
    let prefix = pattern(json!({"type": "publisher", "prefix": plain}));
    assert!(matches!(prefix, Pattern::Prefix(prefix) if &*prefix == plain));
    let segment = pattern(json!({"type": "publisher", "url": "/updates/([^/]+)"}));
    assert!(matches!(segment, Pattern::Segment(prefix) if &*prefix == "/updates/"));
}

#[test]
fn a_pattern_has_a_longest_length() {
    for key in ["url", "prefix"] {
        let location = |text: &str| json!({"type": "publisher", key: text});
        let line = location_refusal(location(&"ö".repeat(1 << 20)));
        assert_eq!(line, format!("locations[0].{key}: 2097152 bytes, and a pattern can have 8192"));
        let line = location_refusal(location(&format!("/{}/(.+)", "ö".repeat(4_000))));
        assert!(line.contains("compiled, it has more than 1048576 bytes"), "{line}");
        let fits = format!("/{}/(.+)", "a".repeat(8_000));
        assert!(config(json!({"locations": [location(&fits)]})).is_ok());
    }
}
