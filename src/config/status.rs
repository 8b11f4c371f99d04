//! Status locations: checks their settings and makes their options. Never serves a request.

use super::address::networks;
use super::header_text::check_secret;
use super::problem::{Path, Problem, quoted};
use super::settings::Status;
use crate::relay::StatusName;
use crate::relay::location::Pattern;
use crate::relay::options::{ChannelIds, LocationOptions, Role, StatusOptions};
use crate::store::StoreId;

/// The options of a location. `stores`: the names of all stores, in the order of their ids.
///
/// # Errors
/// What cannot work.
pub(super) fn location(
    status: &Status,
    stores: &[&str],
    path: &Path<'_>,
) -> Result<LocationOptions, Problem> {
    check_secret(status.secret.as_ref(), &path.key("secret"))?;
    let options = StatusOptions {
        allow: networks(Some(&status.allow), &path.key("allow"))?,
        secret: status.secret.as_ref().map(|given| given.secret().clone()),
        inspector: status.inspector,
        stores: stores.iter().map(|name| (*name).to_owned()).collect(),
    };
    Ok(LocationOptions {
        pattern: pattern(&status.prefix, status.inspector, &path.key("prefix"))?,
        shown: status.prefix.as_str().into(),
        // It has no channels of its own.
        ids: ChannelIds::One,
        store: StoreId(0),
        channel_group: String::new(),
        role: Role::Status(options),
        signed: None,
    })
}

/// The paths of its names, so that it leaves all others to the next location. What the group takes
/// begins with the prefix's slash, as it may not be empty.
fn pattern(prefix: &str, is_inspector: bool, path: &Path<'_>) -> Result<Pattern, Problem> {
    let Some(before) = prefix.strip_suffix('/') else {
        let what = format!("{} has no slash at its end; write \"/pushserver/\"", quoted(prefix));
        return Err(Problem::new(path, what));
    };
    let is_served = |name| is_inspector || name != StatusName::Page;
    let names = StatusName::ALL.into_iter().filter(|(_, name)| is_served(*name));
    let names: Vec<_> = names.map(|(name, _)| name).collect();
    let expression = format!("{}(/(?:{}))", regex::escape(before), names.join("|"));
    // A segment of dots is told from its text in a prefix alone.
    let pattern = Pattern::prefix(prefix).and_then(|_| Pattern::url(&expression));
    pattern.map_err(|error| Problem::new(path, error.to_string()))
}

#[cfg(test)]
mod tests {
    use regex::bytes::RegexBuilder;
    use serde_json::{Value, json};

    use super::super::{Overrides, build, typed};
    use crate::relay::options::Role;

    /// The options of a status location with these keys beside its type, or the refusal.
    fn status(keys: Value) -> Result<(String, Vec<String>, bool), String> {
        let mut location = json!({"type": "status"});
        for (key, value) in keys.as_object().expect("an object") {
            location[key] = value.clone();
        }
        let settings = json!({"store": {"b": {}, "a": {}}, "locations": [location]});
        let said = |problem: super::Problem| format!("{}: {}", problem.path, problem.what);
        let settings = typed(settings, &Overrides::default()).map_err(said)?;
        let (relay, _) = build::options(&settings).map_err(said)?;
        let Role::Status(options) = &relay.locations[0].role else { panic!("it is one") };
        assert_eq!(options.stores, ["a", "b"]);
        let allow = options.allow.iter().map(ToString::to_string).collect();
        Ok((relay.locations[0].pattern.expression(), allow, options.secret.is_some()))
    }

    #[test]
    fn a_location_takes_its_names_alone_and_lets_this_machine_ask() {
        let (expression, allow, has_secret) = status(json!({"prefix": "/"})).unwrap();
        assert_eq!(allow, ["127.0.0.0/8", "::1/128"]);
        assert!(!has_secret);
        let expression = RegexBuilder::new(&expression).unicode(false).build().unwrap();
        for (path, is_its_own) in [
            ("/revoke", true),
            ("/healthz", true),
            ("/channels", true),
            ("/", false),
            ("/revok", false),
            ("/revoke/", false),
            ("//revoke", false),
        ] {
            assert_eq!(expression.is_match(path.as_bytes()), is_its_own, "{path}");
        }
        let given = json!({"prefix": "/mö.te/", "allow": ["10.0.0.0/8"], "secret": "word"});
        let (expression, allow, has_secret) = status(given).unwrap();
        assert_eq!((allow, has_secret), (vec!["10.0.0.0/8".to_owned()], true));
        let expression = RegexBuilder::new(&expression).unicode(false).build().unwrap();
        assert!(
            expression.is_match(b"/m%C3%B6.te/revoke")
                && !expression.is_match(b"/m%C3%B6xte/revoke")
        );
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_path_and_without_the_secret() {
        for (keys, wanted) in [
            (
                json!({}),
                "locations[0].prefix: missing; expected a string (for example \"/pushserver/\")",
            ),
            (
                json!({"prefix": "/push"}),
                "locations[0].prefix: \"/push\" has no slash at its end; write \"/pushserver/\"",
            ),
            (json!({"prefix": "push/"}), "locations[0].prefix: no path matches; a path begins"),
            (json!({"prefix": "/../"}), "locations[0].prefix: no path has a segment"),
            (json!({"prefix": "/", "allow": []}), "locations[0].allow: the list is empty"),
            (json!({"prefix": "/", "allow": ["x"]}), "locations[0].allow[0]: \"x\" is"),
            (json!({"prefix": "/", "secret": ""}), "locations[0].secret: it goes into a header"),
            (
                json!({"prefix": "/", "secret": "hush hush"}),
                "locations[0].secret: it goes into a header",
            ),
            (json!({"prefix": "/", "url": "/x"}), "locations[0].url: unknown key"),
            (json!({"prefix": "/", "allow_origin": "*"}), "locations[0].allow_origin: unknown key"),
        ] {
            let refusal = status(keys.clone()).expect_err(&keys.to_string());
            assert!(refusal.starts_with(wanted), "{keys}: {refusal}");
            assert!(!refusal.contains("hush"), "{refusal}");
        }
    }
}
