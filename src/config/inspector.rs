//! Inspector: who may see what the inspector shows, and the location that `--inspect` adds for it.
//! Never serves a request.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use regex::Regex;

use super::problem::{Path, Problem};
use super::settings::{Given, Location, Settings, Status};
use crate::net::options::Listen;
use crate::parts;
use crate::relay::StatusName;
use crate::relay::location::Pattern;
use crate::secret::Secret;

/// Where `--inspect` serves it.
const PREFIX: &str = "/pushserver/";

/// Has a location show what happens, with this secret where it has none. Where no location does
/// that yet, one is put behind all others, so that these keep the places that they are called by;
/// or before them, where one of them would take its paths.
pub(super) fn add(settings: &mut Settings, secret: &Secret) {
    let secret = Given::Text(secret.clone());
    let mut statuses = settings.locations.iter_mut().filter_map(|location| match location {
        Location::Status(status) => Some(status),
        _ => None,
    });
    if let Some(status) = statuses.next() {
        status.inspector = true;
        status.secret.get_or_insert(secret);
        return;
    }
    let allow = vec!["127.0.0.0/8".to_owned(), "::1".to_owned()];
    let (prefix, secret) = (PREFIX.to_owned(), Some(secret));
    let status = Status { prefix, inspector: true, allow, secret };
    let place = if settings.locations.iter().any(takes) { 0 } else { settings.locations.len() };
    settings.locations.insert(place, Location::Status(status));
}

/// Whether a location may take a path of the one that is added.
fn takes(location: &Location) -> bool {
    let Some(common) = location.common() else { return false };
    let pattern = match (&common.url, &common.prefix) {
        (Some(url), _) => Pattern::url(url),
        (None, Some(prefix)) => return PREFIX.starts_with(&**prefix),
        (None, None) => return false,
    };
    let expression = pattern.ok().and_then(|pattern| Regex::new(&pattern.expression()).ok());
    let names = || StatusName::ALL.into_iter().map(|(name, _)| format!("{PREFIX}{name}"));
    // One that cannot be read may be meant for anything.
    expression.is_none_or(|expression| names().any(|path| expression.is_match(&path)))
}

/// What opens the first location that shows what happens, behind the address of the daemon. The one
/// text with a secret in it: a fragment is never sent, logged or in `Referer`.
pub(super) fn link(settings: &Settings) -> Option<String> {
    let (_, status) = inspecting(settings).next()?;
    let secret = status.secret.as_ref()?.secret().reveal();
    let secret = utf8_percent_encode(secret, NON_ALPHANUMERIC_BUT);
    Some(format!("{}#token={secret}", status.prefix))
}

/// What of a secret is percent-encoded in a link.
const NON_ALPHANUMERIC_BUT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The locations that show what happens, with their places.
fn inspecting(settings: &Settings) -> impl Iterator<Item = (usize, &Status)> {
    settings.locations.iter().enumerate().filter_map(|(place, location)| match location {
        Location::Status(status) if status.inspector => Some((place, status)),
        _ => None,
    })
}

/// An address that other machines reach.
fn public(listen: &[Listen]) -> Option<&Listen> {
    listen.iter().find(|listen| match listen {
        Listen::Tcp(address) => !address.ip().is_loopback(),
        Listen::Unix(_) => false,
    })
}

/// Refuses to show what happens where that is not built in, and to whoever reaches an address where
/// other machines do.
///
/// # Errors
/// Which location would.
pub(super) fn check(settings: &Settings, listen: &[Listen]) -> Result<(), Problem> {
    let path = Path::Root;
    let path = path.key("locations");
    if let (false, Some((place, _))) = (parts::INSPECTOR, inspecting(settings).next()) {
        return Err(Problem::not_built(&path.index(place).key("inspector"), "inspector"));
    }
    let Some(public) = public(listen) else { return Ok(()) };
    match inspecting(settings).find(|(_, status)| status.secret.is_none()) {
        None => Ok(()),
        Some((place, _)) => {
            let what = format!(
                "missing; with inspector, whoever reaches {public} would see channels and \
                 messages: set one"
            );
            Err(Problem::new(&path.index(place).key("secret"), what))
        }
    }
}

/// Warnings, one line each.
pub(super) fn warnings(settings: &Settings, listen: &[Listen]) -> Vec<String> {
    let public = public(listen);
    let warning = |(place, status): (usize, &Status)| match (&status.secret, public) {
        (None, _) => Some(format!(
            "locations[{place}].inspector: its page shows nothing without a secret; set one"
        )),
        (Some(_), Some(public)) => Some(format!(
            "locations[{place}].inspector: whoever has its secret and is of \"allow\" sees \
             channels and messages, also by {public}, which other machines reach"
        )),
        (Some(_), None) => None,
    };
    inspecting(settings).filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Config, Overrides, Source};
    use super::Location;

    fn config(settings: &Value, listen: &str, inspect: Option<&str>) -> Result<Config, String> {
        let listen = vec![listen.to_owned()];
        let inspect = inspect.map(Into::into);
        let overrides = Overrides { listen, inspect, ..Overrides::default() };
        let config = Config::parse(settings.to_string().as_bytes(), Source::Defaults, overrides);
        config.map_err(|error| error.to_string())
    }

    fn with(keys: &Value) -> Value {
        let mut location = json!({"type": "status", "prefix": "/x/"});
        for (key, value) in keys.as_object().unwrap() {
            location[key] = value.clone();
        }
        json!({"locations": [{"type": "publisher", "prefix": "/p/", "secret": "s"}, location]})
    }

    #[test]
    fn whoever_reaches_the_daemon_from_elsewhere_sees_nothing_without_a_secret() {
        let settings = with(&json!({"inspector": true}));
        let refused = config(&settings, "0.0.0.0:1", None).unwrap_err();
        assert!(refused.contains("locations[1].secret: missing; with inspector, whoever reaches"));
        let alone = config(&settings, "127.0.0.1:1", None).unwrap().warnings();
        assert_eq!(alone.len(), 1);
        assert!(alone[0].contains("locations[1].inspector: its page shows nothing without"));
        let settings = with(&json!({"inspector": true, "secret": "hush"}));
        assert_eq!(config(&settings, "127.0.0.1:1", None).unwrap().warnings(), [""; 0]);
        let public = config(&settings, "0.0.0.0:1", None).unwrap().warnings();
        assert!(public[0].contains("whoever has its secret") && !public[0].contains("hush"));
        assert!(config(&with(&json!({})), "0.0.0.0:1", None).unwrap().warnings().is_empty());
    }

    #[test]
    fn an_option_adds_the_inspector_and_takes_the_secret_of_the_settings_where_there_is_one() {
        let shown = |settings: &Value, inspect| {
            let config = config(settings, "127.0.0.1:1", inspect).unwrap();
            config.inspector_link()
        };
        assert_eq!(shown(&json!({}), None), None);
        assert_eq!(shown(&json!({}), Some("random")).unwrap(), "/pushserver/#token=random");
        assert_eq!(shown(&with(&json!({})), Some("random")).unwrap(), "/x/#token=random");
        let secret = with(&json!({"secret": "hush/1"}));
        assert_eq!(shown(&secret, Some("random")).unwrap(), "/x/#token=hush%2F1");
        assert_eq!(shown(&secret, None), None);
    }

    #[test]
    fn the_locations_of_the_settings_keep_their_places_unless_one_would_take_its_paths() {
        let place = |keys: &Value| {
            let mut location = keys.clone();
            location["type"] = json!("subscriber");
            let settings = json!({"locations": [location]});
            let config = config(&settings, "127.0.0.1:1", Some("random")).unwrap();
            config.settings.locations.iter().position(|one| matches!(one, Location::Status(_)))
        };
        for (keys, wanted) in [
            (json!({"prefix": "/updates/"}), 1),
            (json!({"prefix": "/pushserver/updates/"}), 1),
            (json!({"url": "/push/([^/]+)"}), 1),
            (json!({"prefix": "/"}), 0),
            (json!({"prefix": "/push"}), 0),
            (json!({"url": "/pushserver/([^/]+)"}), 0),
            (json!({"url": "(.*)"}), 0),
        ] {
            assert_eq!(place(&keys), Some(wanted), "{keys}");
        }
    }
}
