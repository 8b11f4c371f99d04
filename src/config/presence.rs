//! Presence: checks the settings that say whether and how it is known who is on channels. Knows
//! no member.

use super::problem::{Path, Problem, quoted};
use super::settings::{PassthroughEvents, Settings, Store, Subscribing, Transport};
use crate::message::Delivery;
use crate::relay::options::{LocationOptions, PresenceOptions};

/// Of a location; `None`: it is not known there.
///
/// # Errors
/// What cannot work.
pub(super) fn options(
    subscriber: &Subscribing,
    path: &Path<'_>,
) -> Result<Option<PresenceOptions>, Problem> {
    let cookie = &subscriber.presence_cookie;
    let is_name = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
    if cookie.is_empty() || !cookie.bytes().all(is_name) {
        let what =
            format!("{} is no name of a cookie; write one like \"sessionid\"", quoted(cookie));
        return Err(Problem::new(&path.key("presence_cookie"), what));
    }
    let is_told = subscriber.passthrough_events == PassthroughEvents::Debounced;
    if is_told && subscriber.presence == Some(false) {
        let what = "false, but \"debounced\" passthrough_events are made of it; leave one of the \
                    two out";
        return Err(Problem::new(&path.key("presence"), what));
    }
    if !subscriber.presence.unwrap_or(is_told) {
        return Ok(None);
    }
    if subscriber.polling == Delivery::IntervalPoll && *subscriber.transports == [Transport::Poll] {
        let what = "interval polls are never held, so nobody would be on a channel; set polling to \
                    \"long\", or leave this out";
        return Err(Problem::new(&path.key(key(subscriber)), what));
    }
    let grace_ms = u32::try_from(subscriber.presence_grace.milliseconds());
    Ok(Some(PresenceOptions {
        grace_ms: grace_ms.expect("schema.json bounds it"),
        cookie: cookie.clone(),
        is_told,
    }))
}

/// Refuses it where several daemons share the channels of a location.
///
/// # Errors
/// The first such location.
pub(super) fn check_stores(
    settings: &Settings,
    options: &[LocationOptions],
    path: &Path<'_>,
) -> Result<(), Problem> {
    let stores = settings.stores();
    for (index, (location, options)) in settings.locations.iter().zip(options).enumerate() {
        let has_presence = options.role.subscriber().is_some_and(|one| one.presence.is_some());
        let is_redis = matches!(stores[usize::from(options.store.0)], Store::Redis(_));
        if let Some(subscriber) = location.subscribing()
            && has_presence
            && is_redis
        {
            let what = "not with a redis store: each daemon would know its own members only, and \
                        when one starts, those of the others would be forgotten; use another store, \
                        or leave this out";
            return Err(Problem::new(&path.index(index).key(key(subscriber)), what));
        }
    }
    Ok(())
}

/// The key that asks for it.
fn key(subscriber: &Subscribing) -> &'static str {
    if subscriber.presence == Some(true) { "presence" } else { "passthrough_events" }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Overrides, build, problem::Problem, typed};
    use crate::relay::options::PresenceOptions;

    /// Of a subscriber location with these keys, in a store of this type; or the refusal.
    fn presence(keys: Value, store: &str) -> Result<Option<PresenceOptions>, String> {
        let mut location = json!({"type": "subscriber", "prefix": "/s/"});
        for (key, value) in keys.as_object().expect("an object") {
            location[key] = value.clone();
        }
        let settings = json!({"store": {"type": store}, "locations": [location]});
        let said = |problem: Problem| format!("{}: {}", problem.path, problem.what);
        let settings = typed(settings, &Overrides::default()).map_err(said)?;
        let (relay, _) = build::options(&settings).map_err(said)?;
        Ok(relay.locations[0].role.subscriber().expect("it is one").presence.clone())
    }

    #[test]
    fn it_is_known_where_it_is_asked_for_or_told() {
        assert_eq!(presence(json!({}), "memory"), Ok(None));
        assert_eq!(presence(json!({"presence": false, "presence_grace": 1}), "redis"), Ok(None));
        let options = |grace_ms, cookie: &str, is_told| {
            Ok(Some(PresenceOptions { grace_ms, cookie: cookie.to_owned(), is_told }))
        };
        let asked = presence(json!({"presence": true}), "memory");
        assert_eq!(asked, options(5_000, "sessionid", false));
        let keys = json!({"passthrough_events": "debounced", "presence_grace": 0.1,
            "presence_cookie": "sid", "polling": "interval"});
        assert_eq!(presence(keys, "memory"), options(100, "sid", true));
        let longest = presence(json!({"presence": true, "presence_grace": 300}), "memory");
        assert_eq!(longest, options(300_000, "sessionid", false));
    }

    #[test]
    fn what_cannot_work_is_refused_and_says_what_to_do() {
        for (keys, store, wanted) in [
            (json!({"presence": true}), "redis", "locations[0].presence: not with a redis store"),
            (
                json!({"passthrough_events": "debounced"}),
                "redis",
                "locations[0].passthrough_events: not with a redis store",
            ),
            (
                json!({"presence": true, "polling": "interval", "transports": ["poll"]}),
                "memory",
                "locations[0].presence: interval polls are never held",
            ),
            (
                json!({"passthrough_events": "debounced", "presence": false}),
                "memory",
                "locations[0].presence: false, but \"debounced\"",
            ),
            (json!({"presence_grace": 0.05}), "memory", "locations[0].presence_grace: "),
            (json!({"presence_grace": 301}), "memory", "locations[0].presence_grace: "),
            (json!({"presence_cookie": ""}), "memory", "locations[0].presence_cookie: \"\" is no"),
            (json!({"presence_cookie": "a=b"}), "memory", "locations[0].presence_cookie: \"a=b\""),
            (json!({"passthrough_events": "x"}), "memory", "locations[0].passthrough_events: "),
        ] {
            let refusal = presence(keys.clone(), store).expect_err(&keys.to_string());
            assert!(refusal.starts_with(wanted), "{keys}: {refusal}");
        }
    }
}
