//! nginx takes whatever `pushserver --nginx-config` writes: settings of every kind, and such as try
//! to break out of their place.

use serde_json::{Value, json};

use crate::nginx::{check, configuration};

/// Patterns in the dialect of the settings.
const URLS: [&str; 15] = [
    "/a/([^/]+)",
    "/a/(?P<id>.+)",
    r"/a/(\w+|-)/x",
    "/(a|bc)?",
    "/a(?:b|cd){2,3}/([a-z&&[^aeiou]]+)",
    r"/\$x{3}/(\d{1,3}?)[.]js",
    "/(?i)updates/([^/]+)",
    "/(?x) a b / ([^/ ] +)",
    r#"/"quoted"/([^"';{}]+)"#,
    r"/[\v\x61]/(.*)",
    "/é/([^/]+)",
    "/x/(.+)$",
    "/x^/(.*)|/y",
    r"/w/(\b[0-9]+\b)",
    "/n/((?:a*)*)",
];

#[test]
fn nginx_takes_every_generated_configuration() {
    let mut all = vec![
        json!({}),
        serde_json::from_str(include_str!("../../config.example.json")).expect("it is JSON"),
        json!({"address": "::1"}),
        json!({"address": "0.0.0.0"}),
        json!({"address": format!("unix:{}/a {{$b;\"'\\.sock", env!("CARGO_TARGET_TMPDIR"))}),
        json!({"servername": "", "limits": {"uri_bytes": 1, "header_bytes": 1, "connections": 10}}),
        json!({"limits": {"body_bytes": 1, "keepalive_timeout": 0.5, "header_timeout": 0.001}}),
        json!({"store": {"max_messages": 3, "min_messages": 2, "message_timeout": 0.2}}),
        json!({"store": {"max_memory": 1, "message_timeout": 3_153_600_000_u64}}),
        json!({"store": {"max_memory": 4_294_967_295_u64}}),
        json!({"store": {"default": {}, "a\" {;$x}\n": {"message_timeout": 10}}, "locations": [
            {"type": "publisher", "prefix": "/p/", "store": "a\" {;$x}\n"},
            {"type": "subscriber", "prefix": "/s/", "store": "default", "channel_group": "a/b $c"},
        ]}),
    ];
    all.extend([
        json!({"allrequests": "http://127.0.0.1:8002"}),
        json!({"allrequests": "http://localhost:8002/", "forcehost": "www.example.com:8000"}),
        json!({"allrequests": "unix:/run/a b;{}/sock", "address": "unix:/run/push.sock"}),
        json!({"allrequests": "unix:/run/$x"}),
        json!({"allrequests": "http://127.0.0.1:8002", "locations": [
            {"type": "subscriber", "prefix": "/a/", "passthrough": "http://127.0.0.1:8002/p%20q"},
            {"type": "subscriber", "prefix": "/b/", "passthrough": "http://127.0.0.1:8002/p%20q?x"},
            {"type": "subscriber", "prefix": "/c/", "passthrough": "http://127.0.0.1:8002"},
        ]}),
    ]);
    all.extend(redis_stores());
    all.extend(URLS.map(|url| json!({"locations": [{"type": "subscriber", "url": url}]})));
    for prefix in ["/", "/$x/", "/\"/", "/a\\/", "/~^.*+()[]{}|", "/é/"] {
        all.push(json!({"locations": [{"type": "publisher", "prefix": prefix}]}));
    }
    all.extend(locations());
    for settings in all {
        let text = configuration(&settings.to_string());
        let outcome = check(&text);
        assert_eq!(outcome, Ok(()), "{settings}\n{text}");
    }
}

/// Settings with stores in Redis, which `nginx -t` does not ask.
fn redis_stores() -> Vec<Value> {
    let alone = [
        json!({"host": "localhost", "port": 6380, "database": 15}),
        json!({"host": "redis.example", "key_prefix": "a b;$x}\"'\\#ö:"}),
        json!({"password": r#"a$b"c\d'e{f};g#h ö\"#, "username": "u"}),
        json!({"password": "\\".repeat(1024)}),
        json!({"password": "a\nb"}),
        json!({"host": "::1"}),
        json!({"host": "unix:/run/redis.sock"}),
        json!({"sentinel": {"master": "m", "nodes": ["a"], "password": "p"}}),
    ];
    let store = |keys: &Value| {
        let mut store = json!({"type": "redis", "message_timeout": 60});
        for (key, value) in keys.as_object().expect("keys") {
            store[key] = value.clone();
        }
        store
    };
    let mut all: Vec<Value> = alone.iter().map(|keys| json!({"store": store(keys)})).collect();
    all.push(json!({"store": {"default": {}, "a$ \"": store(&alone[1]), "b": store(&alone[2])},
    "locations": [
        {"type": "pubsub", "prefix": "/a/", "store": "a$ \""},
        {"type": "subscriber", "url": "/b", "query": "c", "store": "b"},
        {"type": "publisher", "prefix": "/b/", "store": "b", "store_messages": false},
        {"type": "subscriber", "prefix": "/", "delimiter": ","},
    ]}));
    all
}

/// Settings with one location of each kind, with each key.
fn locations() -> Vec<Value> {
    let mut all = Vec::new();
    let publisher = [
        json!({"create_on_post": false, "store_messages": false}),
        json!({"allow": ["127.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"]}),
        json!({"secret": r#"a$b"c\d'e{f};g#h\"#}),
        json!({"secret": "x".repeat(500), "allow": ["127.0.0.0/8"]}),
        json!({"allow_origin": "*"}),
        json!({"allow_origin": ["http://a.example", "https://b.example:8443", "http://[::1]:1"]}),
    ];
    all.extend(publisher.map(|more| one("publisher", &more)));
    let subscriber = [
        json!({"polling": "interval", "create_on_get": true}),
        json!({"concurrency": "last", "timeout": 0, "max_subscribers": 5}),
        json!({"concurrency": "first", "timeout": 0.5}),
        json!({"allow_origin": [], "timeout": 3_153_600_000_u64}),
        json!({"allow_origin": ["http://a.example", "http://b.example"], "allow_credentials": true}),
        json!({"passthrough": "http://127.0.0.1:8000/a?b=$c", "passthrough_secret": "x"}),
        json!({"transports": ["websocket"], "ping_interval": 0.5}),
        json!({"transports": ["eventsource", "poll"], "ping_interval": 0, "timeout": 0}),
        json!({"transports": ["poll", "websocket"], "first_message": -100_000}),
        json!({"first_message": "newest", "delimiter": r#"$,";{}\'"#}),
        json!({"first_message": -1, "delimiter": ","}),
    ];
    all.extend(subscriber.map(|more| one("subscriber", &more)));
    let pubsub = [
        json!({}),
        json!({"polling": "interval", "transports": ["poll"], "create_on_get": true}),
        json!({"secret": "s", "allow": ["0.0.0.0/0", "::1"], "allow_origin": ["http://a.example"]}),
        json!({"allow_origin": "*", "store_messages": false, "first_message": -33}),
    ];
    all.extend(pubsub.map(|more| one("pubsub", &more)));
    let unix = json!({"type": "pubsub", "prefix": "/x/", "allow": ["127.0.0.1"]});
    all.push(json!({"address": "unix:/run/push.sock", "locations": [unix]}));
    for name in ["channel", "a_1", "$x;{}\"'", "ö"] {
        let query = json!({"type": "subscriber", "url": "/q(?:uery)?", "query": name});
        all.push(json!({"locations": [query], "limits": {"channels_per_request": 4096}}));
    }
    all
}

fn one(role: &str, more: &Value) -> Value {
    let mut location = json!({"type": role, "prefix": "/x/"});
    for (key, value) in more.as_object().expect("it is an object") {
        location[key] = value.clone();
    }
    json!({"locations": [location]})
}
