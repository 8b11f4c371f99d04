//! Round of tokens. What nobody has signed opens nothing, and is told so in one way. Of what an
//! application has signed the relay lets in just what a plain reader of JSON lets in.

use std::cell::OnceCell;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pushserver::config::{Config, Overrides, Source};
use pushserver::message::MessageId;
use pushserver::relay::Arrival;
use pushserver::{hub, relay};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::network::{BEGIN_UNIX_S, Network};
use crate::tokens::{SIGNING_KEYS, sign, sign_text};

/// The longest time that a token may be good for, as the settings' default says.
const SECONDS_MAX: u64 = 604_800;

/// What is answered to a forged token, whatever is wrong with it.
const UNFIT: &str = "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n";
const UNFIT_TEXT: &str = "\r\n\r\nthe token does not fit this channel\n";

/// What is answered to one that was good once.
const LATE_TEXT: &str = "\r\n\r\nthe token has expired: ask the application for a new URL\n";

/// The first byte says what the others are: a token as it stands, the JSON of one that is signed,
/// or all of one but its signature.
pub fn round(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    if bytes.len() > 2_000 {
        return; // Refused for its length.
    }
    let mut server = Server::new();
    match kind % 3 {
        0 => assert!(!server.lets_in(bytes) || is_signed(bytes), "{}", bytes.escape_ascii()),
        1 => signed_json(&mut server, bytes),
        _ => {
            let lets_in = server.lets_in(sign_text(SIGNING_KEYS[0], bytes).as_bytes());
            let json = bytes.split(|byte| *byte == b':').next().unwrap_or_default();
            let json = URL_SAFE_NO_PAD.decode(json).unwrap_or_default();
            assert!(!lets_in || is_good(&json) != Some(false), "{}", bytes.escape_ascii());
        }
    }
}

/// Whether it is, byte for byte, what an application has signed: errors in a kept input that is
/// nearly one can mend it.
fn is_signed(token: &[u8]) -> bool {
    let Some(end) = token.iter().rposition(|byte| *byte == b':') else { return false };
    SIGNING_KEYS.iter().any(|key| sign_text(key, &token[..end]).as_bytes() == token)
}

fn signed_json(server: &mut Server, json: &[u8]) {
    let signed = [URL_SAFE_NO_PAD.encode(json).as_bytes(), b":", b"1r31eq"].concat();
    let lets_in = server.lets_in(sign_text(SIGNING_KEYS[1], &signed).as_bytes());
    assert!(!lets_in || is_good(json) != Some(false), "{}", json.escape_ascii());
    // Written plainly, each claim once, it is taken if and only if it is good.
    if let Ok(claims @ Value::Object(_)) = serde_json::from_slice(json) {
        let again = sign(SIGNING_KEYS[0], &claims, BEGIN_UNIX_S);
        assert_eq!(Some(server.lets_in(again.as_bytes())), is_good(json), "{claims}");
    }
}

/// Whether these claims open the channel `room` to a subscriber, as anybody would read them.
/// `None`: nobody would, as there is something in what is passed over, a number beyond all bounds.
fn is_good(json: &[u8]) -> Option<bool> {
    match serde_json::from_slice::<Value>(json) {
        Ok(claims) => Some(claims.as_object().is_some_and(are_good)),
        Err(_) if serde_json::from_slice::<IgnoredAny>(json).is_ok() => None,
        Err(_) => Some(false),
    }
}

fn are_good(claims: &Map<String, Value>) -> bool {
    let ids = match claims.get("c") {
        Some(Value::String(id)) => vec![id.as_str()],
        Some(Value::Array(ids)) if ids.iter().all(Value::is_string) => {
            ids.iter().filter_map(Value::as_str).collect()
        }
        _ => return false,
    };
    let seconds = claims.get("e").and_then(Value::as_u64);
    let is_user = |user: &Value| user.as_str().is_some_and(|user| (1..=128).contains(&user.len()));
    let is = |name: &str, wanted: &str| claims.get(name).is_none_or(|value| value == wanted);
    ids.contains(&"room")
        && seconds.is_some_and(|seconds| (1..=SECONDS_MAX).contains(&seconds))
        && claims.get("u").is_none_or(is_user)
        && !claims.contains_key("a")
        && is("g", "")
        && is("s", "default")
}

struct Server {
    network: Network,
}

impl Server {
    fn new() -> Self {
        let (relay, hub) = options();
        Self { network: Network::new(&relay, hub) }
    }

    /// Whether a token, wherever it stands, opens the channel; each place says the same.
    fn lets_in(&mut self, token: &[u8]) -> bool {
        let encoded: String = token.iter().map(|byte| format!("%{byte:02X}")).collect();
        let encoded = self.is_let_in(&format!("?x=1&token={encoded}&y"), b"");
        let is_value = |byte: &u8| (b' '..=b'~').contains(byte);
        if token.iter().all(is_value) && !token.is_empty() {
            let bearer = [b"Authorization: Bearer ", token, b"\r\n"].concat();
            // Spaces around a field's value are none of it.
            let is_same = token.trim_ascii() == token;
            assert!(self.is_let_in("", &bearer) == encoded || !is_same);
        }
        encoded
    }

    fn is_let_in(&mut self, query: &str, lines: &[u8]) -> bool {
        let conn = self.network.accept(Arrival::default());
        let line = format!("GET /s/room{query} HTTP/1.1\r\nHost: a\r\n");
        self.network.send(conn, &[line.as_bytes(), lines, b"\r\n"].concat());
        self.network.settle();
        let answer = String::from_utf8(self.network.take(conn)).expect("an answer is ASCII");
        self.network.reset(conn);
        self.network.settle();
        let is_refused = answer.starts_with("HTTP/1.1 401 ");
        let is_unfit = answer.contains(UNFIT) && answer.ends_with(UNFIT_TEXT);
        assert_eq!(is_refused, is_unfit || answer.ends_with(LATE_TEXT), "{answer}");
        assert!(is_refused || answer.starts_with("HTTP/1.1 304 "), "{answer}");
        !is_refused
    }
}

/// Made once in a thread: reading the schema takes longer than a round.
fn options() -> (relay::options::Options, hub::options::Options) {
    thread_local! {
        static MADE: OnceCell<Config> = const { OnceCell::new() };
    }
    MADE.with(|made| {
        let config = made.get_or_init(|| {
            let settings = serde_json::json!({
                "signing_keys": SIGNING_KEYS,
                "locations": [{"type": "subscriber", "prefix": "/s/", "polling": "interval",
                    "create_on_get": true, "signed": true}],
                "limits": {"uri_bytes": 65536, "header_bytes": 65536},
            });
            let text = settings.to_string();
            Config::parse(text.as_bytes(), Source::Defaults, Overrides::default())
                .expect("sound settings")
        });
        let first_id = MessageId { time: BEGIN_UNIX_S, tag: 0 };
        (config.relay_options(), config.hub_options(first_id, 1))
    })
}
