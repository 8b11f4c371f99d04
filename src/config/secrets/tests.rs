//! Where secrets stand, and the keys of signed URLs.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::config::tests::{config, refusal};
use crate::config::{Config, Overrides, Source};
use crate::relay::options::Role;

const KEY: &str = "WPZ7yA_D0aNIjCHEGbtz24TFkjQ4ZWovxcFaPztwUGg";

/// A file of one test, removed at its end.
struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let name = format!("pushserver-secrets-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).expect("the file is written");
        Self(path)
    }

    fn given(&self) -> Value {
        json!({"file": self.0.to_str().expect("the path is UTF-8")})
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Settings with this secret in each place that has one.
fn everywhere(secret: &Value) -> Value {
    let passthrough = "http://127.0.0.1:1/";
    json!({
        "allrequests": "http://127.0.0.1:9", "allrequests_secret": "u",
        "signing_keys": [KEY],
        "locations": [
            {"type": "publisher", "prefix": "/p/", "secret": secret},
            {"type": "subscriber", "prefix": "/s/", "passthrough": passthrough,
                "passthrough_secret": secret},
            {"type": "pubsub", "prefix": "/b/", "secret": secret, "passthrough": passthrough,
                "passthrough_secret": secret},
            {"type": "status", "prefix": "/status/", "secret": secret},
        ],
    })
}

#[test]
fn every_secret_may_stand_in_a_variable_or_in_a_file() {
    let file = File::new("read", b"hush\r\n");
    let variable = json!({"env": "CARGO_PKG_NAME"});
    for (given, secret) in [(file.given(), "hush"), (variable, "pushserver")] {
        let settings = everywhere(&given);
        let config = config(settings.clone()).unwrap();
        let mut found = Vec::new();
        for location in config.relay_options().locations {
            let publisher = location.role.publisher().map(|one| one.secret.clone());
            let subscriber = location.role.subscriber().map(|one| one.passthrough_secret.clone());
            let status = match &location.role {
                Role::Status(options) => Some(options.secret.clone()),
                _ => None,
            };
            found.extend([publisher, subscriber, status].into_iter().flatten().flatten());
        }
        assert_eq!(found, vec![secret.into(); 5]);
        // They are printed as they were given.
        let printed: Value = serde_json::from_str(&config.to_json().unwrap()).unwrap();
        assert_eq!(printed["locations"][2]["secret"], settings["locations"][2]["secret"]);
        assert_eq!(printed["locations"][2]["passthrough_secret"], given);
        assert!(!format!("{config:?}").contains("hush"));
    }
    let (upstream, key) = (File::new("upstream", b"v"), File::new("key", KEY.as_bytes()));
    let mut settings = everywhere(&json!("hush"));
    settings["allrequests_secret"] = upstream.given();
    settings["signing_keys"] = json!([key.given(), KEY]);
    let options = config(settings).unwrap().relay_options();
    assert_eq!(options.proxy.unwrap().secret, Some("v".into()));
    assert_eq!(options.signing_keys.len(), 2);
}

#[test]
fn a_secret_that_cannot_be_had_says_where_and_why() {
    for (given, line) in [
        (json!(5), ": expected a string or an object (for example \"a-long-random-word\")"),
        (json!({}), ": write one of {\"env\": \"NAME\"} and {\"file\": \"/path\"}"),
        (json!({"env": "A", "file": "/b"}), ": write one of {\"env\": \"NAME\"} and {\"file\""),
        (json!({"value": "hush"}), ": unknown key; known are env and file"),
        (json!({"env": "hush!"}), ".env: no name of an environment variable; write it as in"),
        (json!({"env": "NO_SUCH"}), ".env: the environment variable \"NO_SUCH\" is not set"),
        (json!({"file": "/no/such"}), ".file: cannot read \"/no/such\": No such file"),
    ] {
        for (place, path) in [
            ("/locations/0/secret", "locations[0].secret"),
            ("/locations/1/passthrough_secret", "locations[1].passthrough_secret"),
            ("/locations/2/secret", "locations[2].secret"),
            ("/locations/2/passthrough_secret", "locations[2].passthrough_secret"),
            ("/locations/3/secret", "locations[3].secret"),
            ("/allrequests_secret", "allrequests_secret"),
            ("/signing_keys/0", "signing_keys[0]"),
        ] {
            let mut settings = everywhere(&json!("hush"));
            *settings.pointer_mut(place).unwrap() = given.clone();
            let refusal = refusal(&settings);
            assert!(refusal.starts_with(&format!("{path}{line}")), "{refusal}");
            assert!(!refusal.contains("hush"), "{refusal}");
        }
    }
    // What a header cannot carry is refused wherever it stood.
    let file = File::new("spaces", b"hush hush");
    let refusal = refusal(&everywhere(&file.given()));
    assert!(refusal.starts_with("locations[0].secret: it goes into a header"), "{refusal}");
    assert!(!refusal.contains("hush"), "{refusal}");
}

#[test]
fn a_secret_of_notices_is_no_secret_of_the_upstream_wherever_both_stand() {
    let file = File::new("both", b"hush");
    let mut settings = everywhere(&json!("hush"));
    settings["allrequests_secret"] = file.given();
    let refusal = refusal(&settings);
    assert!(refusal.starts_with("allrequests_secret: a location has it as its passthrough_secret"));
}

#[test]
fn a_signing_key_that_is_none_is_refused_and_not_shown() {
    let keys = |keys: Value| refusal(&json!({"signing_keys": keys}));
    let line = "no key; write 32 bytes as base64url without padding, 43 characters, as manage.py \
                pushserver_settings does";
    for wrong in ["", "hush", &KEY[..42], &format!("{KEY}="), &KEY.replace('_', "/")] {
        assert_eq!(keys(json!([KEY, wrong])), format!("signing_keys[1]: {line}"));
    }
    assert_eq!(
        keys(json!([12345])),
        "signing_keys[0]: expected a string or an object (for example \"a-long-random-word\")"
    );
    assert_eq!(
        keys(json!([])),
        "signing_keys: the list is empty; leave the key out for the default"
    );
    assert_eq!(keys(json!(vec![KEY; 17])), "signing_keys: more than 16 keys");
    assert!(config(json!({"signing_keys": vec![KEY; 16]})).is_ok());
    assert!(keys(json!(KEY)).starts_with("signing_keys: expected a list"));
    assert!(!keys(json!(KEY)).contains(KEY));
}

#[test]
fn a_signed_location_needs_signing_keys() {
    for role in ["publisher", "subscriber", "pubsub"] {
        let location = json!({"type": role, "prefix": "/a/", "signed": true});
        let first = json!({"type": "subscriber", "prefix": "/b/"});
        assert_eq!(
            refusal(&json!({"locations": [first, location]})),
            "locations[1].signed: tokens cannot be checked without signing_keys; set that to what \
             manage.py pushserver_settings writes there, or leave this out"
        );
        let settings = json!({"locations": [location], "signing_keys": [KEY]});
        let signed = &config(settings).unwrap().relay_options().locations[0].signed;
        assert_eq!(signed.as_deref(), Some("default"));
    }
    let stores = json!({"chat": {}, "other": {}});
    let location = json!({"type": "subscriber", "prefix": "/", "store": "chat", "signed": true});
    let settings = json!({"store": stores, "locations": [location], "signing_keys": [KEY]});
    let options = config(settings).unwrap().relay_options();
    assert_eq!(options.locations[0].signed.as_deref(), Some("chat"));
}

#[test]
fn no_list_of_channels_stands_where_the_token_does() {
    let location = json!({"type": "subscriber", "url": "/u", "query": "token"});
    assert_eq!(
        refusal(&json!({"locations": [location]})),
        "locations[0].query: \"token\" gives what URLs are signed with; name another parameter"
    );
}

#[test]
fn other_keys_are_taken_while_the_daemon_runs() {
    let file = File::new("settings", json!({"signing_keys": [KEY]}).to_string().as_bytes());
    let source = Source::File(file.0.clone());
    let config = Config::load(source, Overrides::default()).unwrap();
    fs::write(&file.0, json!({"signing_keys": [KEY, KEY]}).to_string()).unwrap();
    assert_eq!(config.reload().unwrap().relay.signing_keys.len(), 2);
    fs::write(&file.0, json!({"signing_keys": ["hush"]}).to_string()).unwrap();
    let error = config.reload().unwrap_err().to_string();
    assert!(error.contains("signing_keys[0]: no key") && !error.contains("hush"), "{error}");
}
