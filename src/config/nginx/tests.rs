use serde_json::{Value, json};

use super::super::{Overrides, build, listen, typed};
use super::configuration;

fn written(settings: Value) -> Result<String, String> {
    let settings = typed(settings, &Overrides::default()).expect("settings that are taken");
    let listen = listen(&settings, false).expect("an address");
    let (_, stores) = build::options(&settings).expect("settings that can work");
    configuration(&settings, &stores, &[listen]).map_err(|error| error.to_string())
}

fn location(kind: &str, more: Value) -> String {
    let mut location = json!({"type": kind, "prefix": "/x/"});
    for (key, value) in more.as_object().expect("an object") {
        location[key] = value.clone();
    }
    written(json!({"locations": [location]})).expect("a configuration")
}

#[track_caller]
fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|other| other.trim() == *line), "{line} in\n{text}");
    }
}

#[test]
fn a_publisher_becomes_directives() {
    let settings = json!({"store": {"max_messages": 7, "message_timeout": 1.5}, "locations": [
        {"type": "publisher", "url": "/p/([^/]+)", "allow": ["10.0.0.0/8", "127.0.0.1"]},
    ]});
    let text = written(settings).expect("a configuration");
    has(
        &text,
        &[
            "listen 127.0.0.1:8001 backlog=4096;",
            r#"location ~ "^/p/(?<push_channel>[^/]+)\z" {"#,
            "nchan_publisher http websocket;",
            "nchan_message_buffer_length 7;",
            "# Nchan takes whole seconds: rounded up.",
            "nchan_message_timeout 2s;",
            "allow 10.0.0.0/8;",
            "allow 127.0.0.1;",
            "deny all;",
        ],
    );
    assert!(!text.contains("allow unix:"), "{text}");
}

#[test]
fn peers_of_a_unix_socket_are_those_of_this_machine() {
    let with = |network: &str| {
        let publisher = json!({"type": "publisher", "prefix": "/", "allow": [network]});
        written(json!({"address": "unix:/p", "locations": [publisher]})).expect("a configuration")
    };
    has(&with("127.0.0.0/8"), &["listen \"unix:/p\" backlog=4096;", "allow unix:;"]);
    assert!(!with("10.0.0.0/8").contains("allow unix:"));
}

#[test]
fn a_subscriber_becomes_directives() {
    let text = location(
        "subscriber",
        json!({
            "create_on_get": true, "polling": "interval", "max_subscribers": 3,
            "allow_origin": ["http://a.example", "http://b.example"], "allow_credentials": true,
        }),
    );
    has(
        &text,
        &[
            "nchan_subscriber websocket eventsource intervalpoll;",
            "nchan_max_channel_subscribers 3;",
            "nchan_access_control_allow_origin \"http://a.example http://b.example\";",
            "nchan_access_control_allow_credentials on;",
        ],
    );
    assert!(!text.contains("existing_channels_only"), "{text}");
    let text = location("subscriber", json!({"timeout": 0}));
    has(&text, &["nchan_subscriber websocket eventsource longpoll;"]);
    has(&text, &["nchan_subscriber_timeout 0s;", "nchan_subscribe_existing_channels_only on;"]);
    assert!(!text.contains("nchan_subscriber_timeout 0;"), "{text}");
}

#[test]
fn streams_become_directives() {
    let text = location("subscriber", json!({"first_message": "newest"}));
    has(
        &text,
        &[
            "nchan_subscriber websocket eventsource longpoll;",
            "nchan_subscriber_first_message newest;",
            "nchan_subscriber_timeout 55s;",
            "nchan_eventsource_ping_interval 25s;",
            "nchan_eventsource_ping_event \"\";",
            "nchan_websocket_ping_interval 25s;",
            "if ($http_accept ~* \"text/event-stream\") {",
            "add_header X-Accel-Buffering no;",
            "nchan_subscriber_timeout 0;",
            "if ($http_upgrade ~* \"websocket\") { nchan_subscriber_timeout 0; }",
            "gzip off;",
        ],
    );
    let more = json!({"transports": ["poll"], "polling": "interval", "first_message": -3});
    let text = location("subscriber", more);
    has(&text, &["nchan_subscriber intervalpoll;", "nchan_subscriber_first_message -3;"]);
    for absent in ["ping", "timeout 0", "event-stream\")", "first_message newest"] {
        assert!(!text.contains(absent), "{absent} in\n{text}");
    }
    let text = location("subscriber", json!({"transports": ["eventsource"], "ping_interval": 0}));
    has(&text, &["nchan_subscriber eventsource;"]);
    assert!(!text.contains("nchan_subscriber_timeout") && !text.contains("ping"), "{text}");
}

#[test]
fn several_channels_become_directives() {
    let text = location("subscriber", json!({"delimiter": ","}));
    has(&text, &["nchan_channel_id_split_delimiter \",\";", "nchan_channel_id $push_channel;"]);
    has(&text, &["nchan_max_channel_id_length 261120;"]);
    let query = |name: &str| {
        let location = json!({"type": "subscriber", "url": "/updates", "query": name});
        written(json!({"locations": [location]})).expect("a configuration")
    };
    has(
        &query("channel"),
        &[
            r#"location ~ "^/updates\z" {"#,
            "nchan_channel_id $arg_channel;",
            "if ($arg_channel = \"\") { return 400; }",
        ],
    );
    has(&query("a-b"), &["# Left out: nginx has no variable for a query parameter of this name."]);
}

#[test]
fn a_pubsub_location_becomes_directives() {
    let text = location("pubsub", json!({"create_on_get": true}));
    has(
        &text,
        &[
            "nchan_publisher http websocket;",
            "nchan_subscriber websocket eventsource longpoll;",
            "nchan_channel_id $push_channel;",
            "nchan_message_buffer_length 2147483647;",
            "if ($push_admits_0 = 0) { return 403; }",
            "if ($push_get_body) { return 400; }",
        ],
    );
    assert!(!text.contains("access_control"), "{text}");
    // Reading is free, and nginx could not keep a WebSocket from publishing.
    let guarded = json!({"secret": "s", "allow": ["127.0.0.0/8"], "allow_origin": "*"});
    let text = location("pubsub", guarded);
    has(
        &text,
        &[
            r#""~^(?:GET|OPTIONS) " 1;"#,
            "geo $push_near_0 {",
            "127.0.0.0/8 1;",
            "if ($push_may_0 = 0) { return 403; }",
            "nchan_publisher http;",
            "nchan_access_control_allow_origin \"*\";",
        ],
    );
    assert!(!text.contains("deny all"), "{text}");
}

#[test]
fn what_nginx_cannot_do_is_said_where_it_would_stand() {
    for (kind, more, note) in [
        ("subscriber", json!({"concurrency": "last"}), "# concurrency last: nginx cannot"),
        ("subscriber", json!({"passthrough": "http://a/b"}), "# passthrough: nginx cannot"),
        ("subscriber", json!({"presence": true}), "# presence: Nchan cannot"),
        ("subscriber", json!({"passthrough_events": "debounced"}), "# presence: Nchan cannot"),
        ("subscriber", json!({"first_message": -40}), "# first_message -40: Nchan begins"),
        ("subscriber", json!({"delimiter": "|"}), "# An encoded delimiter splits, too"),
        ("pubsub", json!({"secret": "s"}), "# WebSockets listen only"),
        ("publisher", json!({"create_on_post": false}), "# create_on_post false: nginx cannot"),
        ("subscriber", json!({"url": r"/(?m:^)(a)", "prefix": "/"}), "# Left out"),
        ("subscriber", json!({"prefix": "/a%2Fb/"}), "# %2F in its pattern is a slash"),
        ("publisher", json!({"url": "/(?:a%2fb)/(.+)"}), "# %2F in its pattern is a slash"),
        ("publisher", json!({"url": "/u/((?:a|%[0-9A-F]{2})+)"}), "# A % before a class"),
    ] {
        let text = location(kind, more);
        assert!(text.contains(note), "{note} in\n{text}");
    }
    let text = written(json!({"store": {"min_messages": 2}})).expect("a configuration");
    assert!(text.contains("# min_messages 2: nginx cannot"), "{text}");
}

#[test]
fn no_two_stores_or_groups_share_a_channel() {
    let settings = json!({"store": {"default": {}, "a": {}, "a+b": {}}, "locations": [
        {"type": "publisher", "prefix": "/1/", "store": "a", "channel_group": "b+c"},
        {"type": "publisher", "prefix": "/2/", "store": "a+b", "channel_group": "c"},
        {"type": "publisher", "prefix": "/3/", "store": "a", "channel_group": "b/$c"},
    ]});
    let text = written(settings).expect("a configuration");
    has(
        &text,
        &[
            "nchan_channel_group \"a+b%2Bc\";",
            "nchan_channel_group \"a%2Bb+c\";",
            "nchan_channel_group \"a+b%2F%24c\";",
        ],
    );
}

#[test]
fn a_redis_store_becomes_an_upstream() {
    let settings = json!({
        "store": {
            "default": {},
            "shared": {"type": "redis", "host": "redis.example", "port": 6380, "database": 3,
                "key_prefix": "my}site:", "password": r#"a$b"\c"#, "cache": 1 << 30},
        },
        "locations": [
            {"type": "publisher", "prefix": "/p/", "store": "shared"},
            {"type": "subscriber", "url": "/s/([^/]+)", "delimiter": ",", "store": "shared"},
            {"type": "subscriber", "prefix": "/m/"},
        ],
    });
    let text = written(settings).expect("a configuration");
    let upstream = r#"
upstream push_redis_1 {
    nchan_redis_server "redis://redis.example:6380/3";
    nchan_redis_namespace "my%7Dsite";
    nchan_redis_password "a$b\"\\c";
}
"#;
    assert!(text.contains(upstream), "{text}");
    assert_eq!(text.matches("nchan_redis_pass push_redis_1;").count(), 2, "{text}");
    has(&text, &["nchan_shared_memory_size 2176m;"]);
    assert!(!text.contains("username"), "{text}");

    let bare = written(json!({"store": {"type": "redis"}})).expect("a configuration");
    assert!(bare.contains("{\n    nchan_redis_server \"redis://127.0.0.1:6379/0\";\n}"), "{bare}");
    assert_eq!(bare.matches("nchan_redis_pass push_redis_0;").count(), 2, "{bare}");
}

#[test]
fn what_nchan_cannot_do_with_redis_is_said() {
    for (mut store, note) in [
        (json!({"host": "unix:/run/r.sock"}), "# store: Nchan cannot reach a Unix socket, so its "),
        (json!({"host": "::1"}), "# store: Nchan cannot reach an IPv6 address, so its messages "),
        (json!({"sentinel": {"master": "m", "nodes": ["a"]}}), "# store: Nchan knows no Sentinel"),
        (json!({"username": "u", "password": "p"}), "# username: Nchan 1.3.6 sends it on one of"),
        (json!({"password": "p\n"}), "# password: nginx has no way to write one"),
        (json!({"password": "p".repeat(1025)}), "# password: nginx has no way to write one"),
    ] {
        store["type"] = json!("redis");
        let is_reached = !note.starts_with("# store");
        let text = written(json!({"store": store})).expect("a configuration");
        assert!(text.contains(note), "{note} in\n{text}");
        assert_eq!(text.contains("nchan_redis_pass"), is_reached, "{text}");
        assert_eq!(text.contains("upstream push_redis_0"), is_reached, "{text}");
    }
}

#[test]
fn nothing_in_a_secret_is_special_to_nginx() {
    let text = location("publisher", json!({"secret": r#"a$b"\.c"#}));
    has(&text, &[r#""~^[A-Z]+ (?i:bearer) +a\x24b\x22\x5c\x2ec *\z" 1;"#]);
    has(&text, &["if ($push_bears_0 = 0) {"]);
}

#[test]
fn other_requests_go_to_the_upstream() {
    has(&written(json!({})).expect("a configuration"), &["return 404;"]);
    let text = written(json!({
        "allrequests": "unix:/run/up", "forcehost": "a.example", "locations": [
            {"type": "subscriber", "prefix": "/s/", "passthrough": "http://a/p%20q?r"},
        ],
    }));
    has(
        &text.expect("a configuration"),
        &[
            "proxy_pass \"http://unix:/run/up:\";",
            "proxy_set_header Connection $push_connection;",
            "return 301 \"$scheme://a.example$request_uri\";",
            r#"location ~ "^/+p\x20q/*\x0a?\z" { return 403; }"#,
        ],
    );
}

#[test]
fn a_free_port_is_none_for_nginx() {
    assert!(written(json!({"port": 0})).expect_err("no port").contains("free port"));
}

#[test]
fn what_vouches_for_clients_is_said_but_not_the_secret() {
    let settings = json!({"allrequests": "http://127.0.0.1:1", "allrequests_secret": "hush"});
    let text = written(settings).expect("a configuration");
    has(&text, &["# allrequests_secret: add proxy_set_header lines for X-Pushserver-Secret and"]);
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn a_status_location_is_left_out_and_said_to_be() {
    let text = location("status", json!({"secret": "hush"}));
    has(&text, &["# Left out: nginx tells nobody how it is, and has no tokens to take back."]);
    assert!(!text.contains("hush") && !text.contains("revoke"), "{text}");
}

#[test]
fn a_certificate_becomes_directives() {
    let files = json!({"certificate": "/c.pem", "private_key": "/k.pem"});
    let lines = [
        "listen 127.0.0.1:8001 ssl backlog=4096;",
        "# A port of nginx is HTTPS or HTTP: for plain requests listen at another one, too.",
        "ssl_certificate \"/c.pem\";",
        "ssl_certificate_key \"/k.pem\";",
    ];
    has(&written(files).unwrap(), &lines);
    let one = written(json!({"certificate": "/c.pem", "plain_http": false})).unwrap();
    has(&one, &["ssl_certificate_key \"/c.pem\";"]);
    assert!(!one.contains("for plain requests"), "{one}");
    for settings in [
        json!({"certificate": "development"}),
        json!({"certificate": "/c.pem", "private_key": {"env": "KEY"}}),
    ] {
        let text = written(settings).unwrap();
        has(&text, &["listen 127.0.0.1:8001 backlog=4096;"]);
        assert!(text.contains("# certificate: ") && !text.contains("ssl_certificate"), "{text}");
    }
}

#[test]
fn a_redis_by_tls_becomes_directives() {
    let tls = json!({"ca": "/ca.pem", "server_name": "redis.example"});
    let store = json!({"type": "redis", "host": "10.0.0.1", "tls": tls});
    let locations = json!([{"type": "publisher", "prefix": "/x/"}]);
    let text = written(json!({"store": store, "locations": locations})).unwrap();
    let lines = [
        "nchan_redis_ssl on;",
        "nchan_redis_ssl_verify_certificate on;",
        "nchan_redis_ssl_trusted_certificate \"/ca.pem\";",
        "nchan_redis_ssl_server_name \"redis.example\";",
    ];
    has(&text, &lines);
}
