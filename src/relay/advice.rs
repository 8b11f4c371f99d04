//! Advice: what the operator may do about a refusal, by the settings and the request. It is for the
//! operator alone: the client is told less. Answers nothing.

use std::cmp::Reverse;
use std::rc::Rc;

use super::cause::Cause;
use super::location::{Location, Routes};
use super::options::{Origins, Role};
use super::request::refusal::{Concern, Fault, Refusal, Unfit};
use crate::http::RequestHead;
use crate::http::authority::host_len;
use crate::hub;

/// Why, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) cause: Cause,
    /// A text to be copied whole, which begins with what to do.
    pub(super) fix: String,
}

/// Of a request that was refused before the hub was asked.
pub(super) fn of(
    refusal: &Refusal,
    head: &RequestHead<'_>,
    peer: &str,
    location: Option<&Location>,
    routes: &Routes,
) -> Advice {
    let key = |name: &str| key_of(location, name);
    let advise = |cause, fix| Advice { cause, fix };
    match refusal.concern {
        Concern::Request => advise(Cause::Request, refusal.text.to_owned()),
        Concern::Origin => origin(head.header("Origin").unwrap_or_default(), location),
        Concern::Host => {
            let name = shown(&head.host[..host_len(head.host)]);
            advise(Cause::Host, format!("add \"{name}\" to hosts"))
        }
        Concern::NoLocation => advise(Cause::NoLocation, nearest(head.path, routes)),
        Concern::Allow => {
            advise(Cause::Allow, format!("add \"{peer}\" to {}, if it may do this", key("allow")))
        }
        Concern::Secret => {
            let key = key("secret");
            advise(Cause::Secret, format!("send Authorization: Bearer with the value of {key}"))
        }
        Concern::NoSecret => {
            let key = key("secret");
            advise(Cause::Secret, format!("set {key}: what shows or changes channels needs one"))
        }
        Concern::Token(fault) => token(fault, refusal.detail.as_deref(), location),
        Concern::Method => {
            let name = location.map_or("location", |location| location.role.name());
            let fix = format!(
                "ask another location, or with another method: {} is a {name}, which does not \
                 serve {}",
                key_of(location, ""),
                shown(head.method.as_bytes()),
            );
            advise(Cause::Method, fix)
        }
        Concern::ChannelId => advise(Cause::ChannelId, refusal.text.to_owned()),
        Concern::Cursor => {
            let text = refusal.text;
            let fix = format!("send the id of the last message as it came, or none: {text}");
            advise(Cause::Cursor, fix)
        }
        Concern::Transport => {
            let fix = format!("change {}, or the client: {}", key("transports"), refusal.text);
            advise(Cause::Transport, fix)
        }
    }
}

/// Of a page whose origin the location does not list.
pub(super) fn origin(origin: &[u8], location: Option<&Location>) -> Advice {
    let (cause, key) = match location.map(|location| &location.role) {
        Some(Role::Publisher(_)) => (Cause::PublisherOrigin, key_of(location, "allow_origin")),
        _ => (Cause::Origin, key_of(location, "allow_origin")),
    };
    let shown_origin = shown(origin);
    if origin == b"null" {
        let fix = "open the page by http or https: a file, or a frame in a sandbox, has no origin";
        return Advice { cause, fix: fix.to_owned() };
    }
    if let Some(Origins::Listed(list)) = location.map(|location| location.role.allow_origin())
        && let Some((asked, listed)) =
            list.iter().find_map(|listed| twins(origin, listed.as_bytes()))
    {
        let fix = format!(
            "add \"{shown_origin}\" to {key}: the page is open as {asked}, the setting says \
             {listed}"
        );
        return Advice { cause: Cause::OriginTwin, fix };
    }
    let fix = match location.map(|location| location.role.allow_origin()) {
        Some(Origins::Nobody) => format!("set {key} to [\"{shown_origin}\"], if its pages may"),
        _ => format!("add \"{shown_origin}\" to {key}"),
    };
    Advice { cause, fix }
}

/// The two names of this machine, where two origins differ in nothing else.
fn twins(origin: &[u8], listed: &[u8]) -> Option<(&'static str, &'static str)> {
    const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
    let split = |origin: &[u8]| {
        let start = memchr::memmem::find(origin, b"://")? + 3;
        let (scheme, rest) = origin.split_at(start);
        let name = NAMES.into_iter().find(|name| {
            let rest = rest.strip_prefix(name.as_bytes());
            rest.is_some_and(|rest| rest.is_empty() || rest[0] == b':')
        })?;
        Some((scheme.to_vec(), name, rest[name.len()..].to_vec()))
    };
    let (asked, listed) = (split(origin)?, split(listed)?);
    let differ = asked.1 != listed.1;
    let is_twin = (asked.0, asked.2) == (listed.0, listed.2);
    (is_twin && differ).then_some((asked.1, listed.1))
}

fn token(fault: Fault, detail: Option<&str>, location: Option<&Location>) -> Advice {
    let (key, detail) = (key_of(location, ""), detail.unwrap_or_default());
    let (cause, fix) = match fault {
        Fault::None => (
            Cause::TokenNone,
            format!("take the URL from {{% channel_url %}}: {key} is signed, and there is no token"),
        ),
        Fault::Invalid(Unfit::Unsigned) => (
            Cause::TokenInvalid,
            "take the URL from {% channel_url %} anew: the token is forged or cut, or signed with \
             another SECRET_KEY? Then give this daemon the signing_keys of that"
                .to_owned(),
        ),
        Fault::Invalid(Unfit::Channel) => (
            Cause::TokenOtherChannel,
            format!("ask for the channel that the token is for: it is of channel {detail:?}"),
        ),
        Fault::Invalid(Unfit::Realm) => (
            Cause::TokenInvalid,
            format!("sign for the channel_group and the store of {key}: the token is for {detail}"),
        ),
        Fault::Invalid(Unfit::Action) => (
            Cause::TokenInvalid,
            format!("take a token for what is asked: this one is to {detail}"),
        ),
        Fault::Invalid(Unfit::Other) => (
            Cause::TokenInvalid,
            "look at the clocks of both, and at limits.token_seconds: the token is good for longer \
             than a token may be, or several are of different users"
                .to_owned(),
        ),
        Fault::Expired(ago_s) => (
            Cause::TokenExpired,
            format!(
                "reload the page, or give the script renew(): the token expired {ago_s} s ago; \
                 PUSH_SERVER_TOKEN_SECONDS says how long tokens last"
            ),
        ),
        Fault::Revoked => (
            Cause::Revoked,
            "have the user log in anew, which signs a new URL: access was taken back by revoke"
                .to_owned(),
        ),
    };
    Advice { cause, fix }
}

/// Of a request that the hub has refused.
pub(super) fn of_hub(refusal: hub::Refusal, location: Option<&Location>) -> Advice {
    use hub::Refusal as R;
    let cause = match refusal {
        R::Subscribers => Cause::Subscribers,
        R::MessageSize => Cause::TooLarge,
        R::Channels | R::NotWritten | R::Busy | R::Away | R::OutOfMemory => Cause::Unavailable,
    };
    let fix = match refusal {
        R::Channels => "raise limits.channels: there are as many as it allows".to_owned(),
        R::Subscribers => {
            let key = key_of(location, "max_subscribers");
            format!("raise {key}, or set it to 0 for no limit")
        }
        R::MessageSize => {
            "send less, or raise max_memory of the store: the message alone is more".to_owned()
        }
        R::NotWritten => {
            "look at the disk of the store's persist.path: it is full or broken".into()
        }
        R::Busy => "look at the disk of the store: it does not keep up with what comes".into(),
        R::Away => "look at the Redis of the store: it is away or refuses this".to_owned(),
        R::OutOfMemory => "raise maxmemory of Redis: it has no memory left".to_owned(),
    };
    Advice { cause, fix }
}

/// Of a request for a channel that is not there.
pub(super) fn missing(is_post: bool, location: Option<&Location>) -> Advice {
    let name = if is_post { "create_on_post" } else { "create_on_get" };
    let key = key_of(location, name);
    let fix = format!("publish first, or set {key} to true: nobody has published yet");
    Advice { cause: Cause::NoChannel, fix }
}

/// Of a request whose place another has.
pub(super) fn displaced(location: Option<&Location>) -> Advice {
    let key = key_of(location, "concurrency");
    let fix = format!("set {key} to \"broadcast\", if several may wait: it lets one");
    Advice { cause: Cause::Conflict, fix }
}

/// Of a request that cannot be read, or is more than the limits allow.
pub(super) fn of_error(status: u16, text: &str) -> Advice {
    let (cause, fix) = match status {
        413 => (Cause::TooLarge, "send less, or raise limits.body_bytes".to_owned()),
        414 => (Cause::Request, "ask for less, or raise limits.uri_bytes".to_owned()),
        431 => (Cause::Request, "send fewer cookies, or raise limits.header_bytes".to_owned()),
        503 => (Cause::Unavailable, text.to_owned()),
        _ => (Cause::Request, text.to_owned()),
    };
    Advice { cause, fix }
}

/// The path of a location's setting, or of the location.
fn key_of(location: Option<&Location>, name: &str) -> String {
    let place = location.map_or_else(|| "…".to_owned(), |location| location.place.to_string());
    let dot = if name.is_empty() { "" } else { "." };
    format!("locations[{place}]{dot}{name}")
}

/// The location whose paths are nearest to this one, and what differs; where none is near, all.
fn nearest(path: &[u8], routes: &Routes) -> String {
    let path = &String::from_utf8_lossy(&path[..path.len().min(PATH_BYTES)]);
    let serving = || routes.locations().filter(|location| !location.role.is_status());
    let distance = |location: &Rc<Location>| {
        let literal = literal(&location.pattern);
        let begin: String = path.chars().take(literal.chars().count()).collect();
        strsim::damerau_levenshtein(&begin, literal)
    };
    let with_distance = serving().take(LOCATIONS_COMPARED).map(|one| (distance(one), one));
    // Every path begins with nothing; of two that it begins with, the longer one is meant.
    let known = with_distance.filter(|(_, one)| !literal(&one.pattern).is_empty());
    let nearest = known.min_by_key(|(far, one)| (*far, Reverse(literal(&one.pattern).len())));
    if serving().next().is_none() {
        return "add a location for it to locations: none serves channels".to_owned();
    }
    let near = nearest.filter(|(far, one)| far * 2 <= literal(&one.pattern).len());
    let Some((_, location)) = near else {
        let all: Vec<_> = serving().take(LOCATIONS_SHOWN).map(|one| named(one)).collect();
        return format!("add a location for it, or ask for a path of {}", all.join("; "));
    };
    let literal_of_it = literal(&location.pattern);
    let differs = match path.strip_prefix(literal_of_it) {
        Some("") => "the channel id is missing behind it".to_owned(),
        Some(rest) if rest.contains('/') => {
            format!("{:?} is behind it, where the pattern takes no slash", shown(rest.as_bytes()))
        }
        Some(rest) => format!("{:?} is behind it", shown(rest.as_bytes())),
        None if format!("{path}/") == literal_of_it => {
            "a slash and the channel id are missing at its end".to_owned()
        }
        None => {
            let both = path.bytes().zip(literal_of_it.bytes());
            let same = both.take_while(|(asked, served)| asked == served).count();
            let from = |text: &str| shown(text.as_bytes().get(same..).unwrap_or_default());
            let (asked, served) = (from(path), from(literal_of_it));
            format!("the path goes on with {asked:?}, the pattern with {served:?}")
        }
    };
    format!("ask for a path of {}, or change that: {differs}", named(location))
}

/// A location, to speak of it.
fn named(location: &Location) -> String {
    let (key, role) = (key_of(Some(location), ""), location.role.name());
    format!("{key}, the {role} at {:?}", location.pattern)
}

/// Locations of which one may be meant.
const LOCATIONS_SHOWN: usize = 6;

/// Locations whose patterns are compared with a path: each takes some microseconds.
const LOCATIONS_COMPARED: usize = 64;

/// What the paths of a pattern begin with, as far as that is no expression.
fn literal(pattern: &str) -> &str {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let end = pattern.find(['(', '[', '.', '*', '+', '?', '\\', '|', '{', '^', '$']);
    &pattern[..end.unwrap_or(pattern.len())]
}

/// Of a path that is compared; the time grows with the product of two lengths.
const PATH_BYTES: usize = 128;

/// What a client has sent, in a text.
fn shown(text: &[u8]) -> String {
    text[..text.len().min(SHOWN_BYTES)].escape_ascii().to_string()
}

/// Of what a client has sent, in a text.
const SHOWN_BYTES: usize = 160;
