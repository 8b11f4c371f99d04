//! Idle settings: finds keys that are set but have no effect beside the others. Refuses nothing.

use serde_json::json;

use super::settings::{Location, Settings, Subscribing, Transport};
use super::{Overrides, ids, typed};

/// One line for each key of the locations without effect. A key that has its default counts as not
/// set, since `--print-config` writes all of them.
pub(super) fn warnings(settings: &Settings) -> Vec<String> {
    let default = default();
    let mut warnings = Vec::new();
    for (index, location) in settings.locations.iter().enumerate() {
        let lines = location.subscribing().map(|given| without_effect(given, &default));
        let lines = lines.into_iter().flatten().chain(credentials(location));
        let lines = lines.chain(ids::warning(location));
        warnings.extend(lines.map(|line| format!("locations[{index}].{line}")));
    }
    warnings
}

/// The keys of a subscriber location that names none.
fn default() -> Subscribing {
    let settings = json!({"locations": [{"type": "subscriber", "prefix": "/"}]});
    let settings = typed(settings, &Overrides::default()).expect("the schema allows its defaults");
    settings.locations[0].subscribing().expect("it is a subscriber location").clone()
}

fn without_effect(given: &Subscribing, default: &Subscribing) -> Vec<String> {
    let polls = given.transports.contains(&Transport::Poll);
    let streams = given.transports.iter().any(|transport| *transport != Transport::Poll);
    let only_polls = "is for \"eventsource\" and \"websocket\"";
    let only_streams = "is for polls";
    [
        ("ping_interval", given.ping_interval != default.ping_interval, streams, only_polls),
        ("polling", given.polling != default.polling, polls, only_streams),
        ("timeout", given.timeout != default.timeout, polls, only_streams),
    ]
    .into_iter()
    .filter(|(_, is_set, has_effect, _)| *is_set && !has_effect)
    .map(|(key, _, _, what)| format!("{key}: without effect, since it {what}; see transports"))
    .collect()
}

/// `allow_credentials` of a location that lets no page in.
fn credentials(location: &Location) -> Option<String> {
    let Location::PubSub(both) = location else { return None };
    (both.subscribing.allow_credentials && both.allow_origin.is_none()).then(|| {
        "allow_credentials: without effect, since no web page may ask; set allow_origin".to_owned()
    })
}
