//! What the settings of a redis store give, and what refuses them.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::config::tests::{config, refusal};
use crate::hub::options::{StoreKind, StoreOptions};
use crate::store::memory;
use crate::store::redis::options::{Address, Credentials, Limits, Options, Sentinels, Server};

/// A variable that Cargo sets for tests, and what it holds.
const VARIABLE: (&str, &str) = ("CARGO_PKG_NAME", "pushserver");

/// The one store with these keys.
fn store(keys: &Value) -> Value {
    let mut store = json!({"type": "redis", "message_timeout": 60});
    for (key, value) in keys.as_object().expect("keys") {
        store[key] = value.clone();
    }
    json!({ "store": store })
}

fn built(keys: &Value) -> (StoreOptions, Options) {
    let config = config(store(keys)).unwrap_or_else(|problem| panic!("{keys}: {problem:?}"));
    let store = config.stores[0].clone();
    let StoreKind::Redis(options) = store.kind.clone() else { panic!("{store:?}") };
    (store, *options)
}

fn options(keys: &Value) -> Options {
    built(keys).1
}

/// What refuses a store with these keys; its path begins behind `store.`.
fn refused(keys: &Value) -> String {
    let line = refusal(&store(keys));
    line.strip_prefix("store.").unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// A file of one test, removed at its end.
struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let name = format!("pushserver-redis-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).expect("the temporary directory is writable");
        Self(path)
    }

    fn password(&self) -> Value {
        json!({"password": {"file": self.0.to_str().expect("the path is UTF-8")}})
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_redis_store_needs_no_key_but_its_type() {
    let config = config(json!({"store": {"type": "redis"}})).expect("it is taken");
    let expected = Options {
        name: "default".to_owned(),
        server: Server::Node(Address::Tcp("127.0.0.1".to_owned(), 6379)),
        credentials: Credentials::default(),
        database: 0,
        key_prefix: Box::default(),
        limits: Limits {
            min_messages: 0,
            max_messages: 0,
            message_timeout_s: 0,
            channel_timeout_s: 5,
        },
        timeout_ms: 1500,
        cache_bytes: 16 << 20,
    };
    assert_eq!(config.stores[0].kind, StoreKind::Redis(Box::new(expected)));
    let printed: Value = serde_json::from_str(&config.to_json().expect("one address")).unwrap();
    assert_eq!(
        (&printed["store"]["host"], &printed["store"]["port"]),
        (&json!("127.0.0.1"), &json!(6379))
    );
}

#[test]
fn every_key_reaches_its_option() {
    let (kept, options) = built(&json!({
        "host": "redis.example", "port": 6380, "database": 3, "key_prefix": "mysite:",
        "username": "push", "password": "hush", "tls": false,
        "min_messages": 1, "max_messages": 100, "message_timeout": 0.5, "channel_timeout": 2.5,
        "timeout": 0.25, "cache": 1000,
    }));
    let expected = Options {
        name: "default".to_owned(),
        server: Server::Node(Address::Tcp("redis.example".to_owned(), 6380)),
        credentials: Credentials {
            username: Some("push".to_owned()),
            password: Some("hush".into()),
        },
        database: 3,
        key_prefix: (*b"mysite:").into(),
        limits: Limits {
            min_messages: 1,
            max_messages: 100,
            message_timeout_s: 1,
            channel_timeout_s: 3,
        },
        timeout_ms: 250,
        cache_bytes: 1000,
    };
    assert_eq!(options, expected);
    let memory::Options {
        min_messages,
        max_messages,
        message_timeout_ms,
        max_memory,
        dropped_at_once,
    } = kept.memory;
    assert_eq!((min_messages, max_messages, message_timeout_ms), (0, 64, 1000));
    assert_eq!((max_memory, kept.channel_timeout_ms), (1000, 2500));
    assert!(dropped_at_once > 0);
}

#[test]
fn the_mirror_keeps_no_more_than_redis_and_at_most_64_messages() {
    for (max_messages, mirrored) in [(0, 64), (1, 1), (63, 63), (64, 64), (65, 64)] {
        let (store, _) = built(&json!({"max_messages": max_messages, "message_timeout": 0}));
        assert_eq!(store.memory.max_messages, mirrored, "{max_messages}");
        assert_eq!(store.memory.message_timeout_ms, 0);
    }
}

#[test]
fn a_host_is_a_name_an_address_or_a_unix_socket() {
    for (host, server) in [
        ("redis", Address::Tcp("redis".to_owned(), 6379)),
        ("10.0.0.1", Address::Tcp("10.0.0.1".to_owned(), 6379)),
        ("::1", Address::Tcp("::1".to_owned(), 6379)),
        ("[::1]", Address::Tcp("::1".to_owned(), 6379)),
        ("unix:/run/redis.sock", Address::Unix("/run/redis.sock".into())),
    ] {
        assert_eq!(options(&json!({"host": host})).server, Server::Node(server), "{host}");
    }
    for (host, what) in [
        ("", "host: \"\" is no host; write a name, an IP address or \"unix:/path\""),
        ("a b", "host: \"a b\" is no host"),
        ("10.0.0.1:6379", "host: \"10.0.0.1:6379\" has a port; write that as \"port\""),
        ("[::1]:1", "host: \"[::1]:1\" has a port"),
        ("redis://:hush@a:1/0", "host: \"redis://…@a:1/0\" is a URL; write its parts as host, po"),
        ("unix:redis.sock", "host: write a Unix socket with its whole path"),
    ] {
        let refused = refused(&json!({"host": host}));
        assert!(refused.starts_with(what), "{refused}");
    }
    assert_eq!(
        refused(&json!({"host": "unix:/run/redis.sock", "port": 6379})),
        "port: without effect beside a Unix socket; leave it out"
    );
}

#[test]
fn sentinels_stand_for_host_and_port() {
    let sentinel = json!({"master": "m", "nodes": ["a", "10.0.0.1:5", "[::1]:6", "[::1]"]});
    let nodes = [("a", 26379), ("10.0.0.1", 5), ("::1", 6), ("::1", 26379)];
    let mut expected = Sentinels {
        master: "m".to_owned(),
        nodes: nodes.map(|(host, port)| Address::Tcp(host.to_owned(), port)).to_vec(),
        credentials: Credentials::default(),
    };
    let found = options(&json!({"sentinel": sentinel, "password": "node"}));
    assert_eq!(found.server, Server::Sentinel(expected.clone()));
    assert_eq!(found.credentials.password, Some("node".into()), "of the node, not of them");
    let mut with_login = sentinel.clone();
    with_login["username"] = json!("watch");
    with_login["password"] = json!({"env": VARIABLE.0});
    expected.credentials =
        Credentials { username: Some("watch".to_owned()), password: Some(VARIABLE.1.into()) };
    assert_eq!(options(&json!({"sentinel": with_login})).server, Server::Sentinel(expected));

    for (key, value) in [("host", json!("a")), ("port", json!(1))] {
        let refused = refused(&json!({"sentinel": sentinel, key: value}));
        let what = "not beside sentinel, which says where the node is; leave one of them out";
        assert_eq!(refused, format!("{key}: {what}"));
    }
    for (key, value, what) in [
        ("master", json!(""), "master: no name of a master"),
        ("master", json!("a b"), "master: no name of a master"),
        ("nodes", json!([]), "nodes: the list is empty"),
        ("nodes", json!(["a", "a:0"]), "nodes[1]: \"a:0\" is no host:port; write \"10.0.0.1:2637"),
        ("nodes", json!(["a:"]), "nodes[0]: \"a:\" is no host:port"),
        ("nodes", json!(["unix:/s"]), "nodes[0]: \"unix:/s\" is no host:port"),
        ("username", json!("u"), "username: without effect, since no password is given"),
        ("nods", json!([]), "nods: unknown key; did you mean \"nodes\"?"),
    ] {
        let mut sentinel = sentinel.clone();
        sentinel[key] = value;
        let refused = refused(&json!({"sentinel": sentinel}));
        assert!(refused.starts_with(&format!("sentinel.{what}")), "{refused}");
    }
    let refused = refused(&json!({"sentinel": {"master": "m"}}));
    assert!(refused.starts_with("sentinel.nodes: missing; expected a list"), "{refused}");
}

#[test]
fn what_redis_is_asked_for_has_its_bounds() {
    for (keys, what) in [
        (json!({"key_prefix": "a{b"}), "key_prefix: \"{\" cannot be in it: Redis takes what "),
        (json!({"key_prefix": "a\n"}), "key_prefix: \"a\\n\" has control characters"),
        (json!({"key_prefix": "a".repeat(257)}), "key_prefix: more than 256 bytes"),
        (json!({"database": -1}), "database: expected a whole number from 0 to 2147483647"),
        (json!({"port": 0}), "port: expected a whole number from 1 to 65535"),
        (json!({"timeout": 0}), "timeout: expected a number of seconds above 0 and at most 10"),
        (json!({"timeout": 10.5}), "timeout: expected a number of seconds above 0 and at most 10"),
        (json!({"cache": 0}), "cache: expected a whole number from 1"),
        (json!({"min_messages": 3, "max_messages": 2}), "min_messages: more than max_messages"),
        (json!({"username": "u"}), "username: without effect, since no password is given"),
        (json!({"username": "", "password": "p"}), "username: no name of a user"),
        (json!({"username": "a b", "password": "p"}), "username: no name of a user"),
    ] {
        let refused = refused(&keys);
        assert!(refused.starts_with(what), "{refused}");
    }
    assert_eq!(options(&json!({"timeout": 10})).timeout_ms, 10_000);
    let most = "ä}".repeat(85);
    assert_eq!(&*options(&json!({"key_prefix": most})).key_prefix, most.as_bytes());
}

#[test]
fn keys_of_one_type_are_refused_by_the_other() {
    for (keys, line) in [
        (json!({"max_memory": 1}), "max_memory: not for a redis store: set maxmemory in redis.c"),
        (json!({"persist": "/a.db"}), "persist: not for a redis store: set appendonly in redis."),
        (json!({"persist_sync": "always"}), "persist_sync: not for a redis store: set appendfsy"),
        (json!({"body_bytes": 1}), "body_bytes: unknown key here; it belongs to \"limits\""),
        (json!({"databse": 1}), "databse: unknown key; did you mean \"database\"?"),
        (json!({"passwort": "hush"}), "passwort: unknown key; did you mean \"password\"?"),
    ] {
        let refused = refused(&keys);
        assert!(refused.starts_with(line), "{refused}");
    }
    for (key, value) in [("host", json!("a")), ("port", json!(1)), ("timeout", json!(1))] {
        for store in [json!({key: value}), json!({"type": "memory", key: value})] {
            let line = refusal(&json!({ "store": store }));
            let what = "unknown key here; it belongs to a store of type \"redis\"";
            assert_eq!(line, format!("store.{key}: {what}"));
        }
    }
    assert_eq!(
        refusal(&json!({"key_prefix": "a"})),
        "key_prefix: unknown key here; it belongs to a store of type \"redis\""
    );
    assert_eq!(
        refusal(&json!({"store": {"type": "rediss"}})),
        "store.type: expected \"memory\" or \"redis\", found \"rediss\"; did you mean \"redis\"?"
    );
}

#[test]
fn named_stores_are_of_any_type() {
    let settings = json!({"store": {
        "default": {"max_memory": 5},
        "b": {"type": "redis", "key_prefix": "b:"},
        "c": {"type": "redis", "key_prefix": "c:", "password": {"env": VARIABLE.0}},
    }});
    let stores = config(settings).expect("they are taken").stores;
    let kinds = stores.iter().map(|store| match &store.kind {
        StoreKind::Redis(options) => (options.name.as_str(), &*options.key_prefix),
        kind => panic!("{kind:?}"),
    });
    assert!(kinds.take(2).eq([("b", &b"b:"[..]), ("c", b"c:")]));
    assert_eq!(stores[2].kind, StoreKind::Memory);
    assert_eq!(
        refusal(&json!({"store": {"default": {"type": "redis", "host": "a:1"}}})),
        "store.default.host: \"a:1\" has a port; write that as \"port\""
    );
}

#[test]
fn two_stores_do_not_share_their_channels() {
    let two = |b: Value| json!({"store": {"default": {"type": "redis", "host": "a"}, "b": b}});
    assert_eq!(
        refusal(&two(json!({"type": "redis", "host": "a", "cache": 1}))),
        "store.default.key_prefix: its keys are those of store.b, too; give each store a \
         key_prefix of its own"
    );
    for (key, value) in [
        ("host", json!("b")),
        ("port", json!(1)),
        ("database", json!(1)),
        ("key_prefix", json!("b:")),
    ] {
        let mut b = json!({"type": "redis", "host": "a"});
        b[key] = value;
        assert!(config(two(b)).is_ok(), "{key}");
    }
}

#[test]
fn a_password_stands_in_the_settings_in_a_variable_or_in_a_file() {
    let password = |keys: &Value| options(keys).credentials.password;
    assert_eq!(password(&json!({"password": "hush"})), Some("hush".into()));
    assert_eq!(password(&json!({"password": {"env": VARIABLE.0}})), Some(VARIABLE.1.into()));
    for (name, bytes, read) in [
        ("bare", &b"hush"[..], "hush"),
        ("line", b"hush\n", "hush"),
        ("windows", b"hush\r\n", "hush"),
        ("spaces", b" hu sh \n\n", " hu sh \n"),
        ("utf8", "h\u{fc}sh".as_bytes(), "h\u{fc}sh"),
        ("longest", &[&[b'x'; 16384][..], b"\r\n"].concat(), &"x".repeat(16384)),
    ] {
        assert_eq!(password(&File::new(name, bytes).password()), Some(read.into()), "{name}");
    }
    // Asked for again at the next start or reload, so it is printed as it was written.
    let file = File::new("printed", b"hush");
    let printed = config(store(&file.password())).unwrap().to_json().unwrap();
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["store"]["password"], file.password()["password"]);
}

#[test]
fn a_password_that_cannot_be_had_says_why_and_is_not_shown() {
    for (password, line) in [
        (json!(""), "password: empty; leave the key out if Redis needs none"),
        (json!("h".repeat(16385)), "password: more than 16384 bytes, which Redis refuses"),
        (
            json!(12345),
            "password: expected a string or an object (for example \"a-long-random-word\")",
        ),
        (json!({}), "password: write one of {\"env\": \"NAME\"} and {\"file\": \"/path\"}"),
        (json!({"env": "A", "file": "/b"}), "password: write one of {\"env\": \"NAME\"} and {\""),
        (json!({"value": "hush"}), "password: unknown key; known are env and file"),
        (json!({"env": ""}), "password.env: no name of an environment variable"),
        (json!({"env": "hush!"}), "password.env: no name of an environment variable; write it"),
        (
            json!({"env": "NO_SUCH"}),
            "password.env: the environment variable \"NO_SUCH\" is not set",
        ),
        (
            json!({"file": "/no/such"}),
            "password.file: cannot read \"/no/such\": No such file or di",
        ),
        (json!({"file": "/"}), "password.file: cannot read \"/\": no file"),
        (json!({"file": "/dev/zero"}), "password.file: cannot read \"/dev/zero\": no file"),
    ] {
        let refused = refused(&json!({"password": password}));
        assert!(refused.starts_with(line), "{refused}");
        assert!(!refused.contains("hush"), "{refused}");
    }
    for (name, bytes, what) in [
        ("empty", &b""[..], " is empty"),
        ("end", b"\n", " is empty"),
        ("latin1", b"h\xfcsh", " is not UTF-8"),
        ("long", &[b'h'; 16385], "more than 16384 bytes"),
    ] {
        let refused = refused(&File::new(name, bytes).password());
        assert!(refused.starts_with("password.file: ") && refused.contains(what), "{refused}");
    }
}

#[test]
fn the_debug_form_shows_no_password() {
    let sentinel = json!({"master": "m", "nodes": ["a"], "password": "hush-sentinel"});
    let config = config(store(&json!({"password": "hush-node", "sentinel": sentinel}))).unwrap();
    let text = format!("{config:?}");
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn a_store_that_fills_redis_is_warned_of() {
    let warnings = |store: Value| config(json!({"store": store})).unwrap().warnings();
    assert_eq!(
        warnings(json!({"type": "redis"})),
        ["store.message_timeout: channels stay in Redis for ever, since it is 0; set it, or \
          delete them"]
    );
    let named =
        json!({"default": {}, "b": {"type": "redis", "message_timeout": 1, "min_messages": 1}});
    assert_eq!(
        warnings(named),
        ["store.b.min_messages: channels stay in Redis for ever, since it is above 0; leave it \
          out, or delete them"]
    );
    assert_eq!(warnings(json!({"type": "redis", "message_timeout": 0.1})), [""; 0]);
}
