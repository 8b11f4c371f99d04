//! Channel ids: checks the settings that say how they stand in a request, `delimiter` and `query`.
//! Never reads a request.

use super::problem::{Path, Problem, quoted};
use super::settings::Location;
use crate::relay::location::spelling::is_encoded;
use crate::relay::options::ChannelIds;

/// Query parameters that have a meaning of their own, each with what it gives.
const TAKEN: [(&str, &str); 3] = [
    ("last_event_id", "the cursor"),
    ("since", "the cursor"),
    ("token", "what URLs are signed with"),
];

/// How the channel ids of a location stand in a request.
///
/// # Errors
/// A `delimiter` or a `query` that cannot work.
pub(super) fn of(location: &Location, path: &Path<'_>) -> Result<ChannelIds, Problem> {
    let Location::Subscriber(subscriber) = location else { return Ok(ChannelIds::One) };
    match (&subscriber.delimiter, &subscriber.query) {
        (None, None) => Ok(ChannelIds::One),
        (Some(_), Some(_)) => {
            let what = "not beside delimiter; channel ids stand in the path or in the query";
            Err(Problem::new(&path.key("query"), what))
        }
        (Some(delimiter), None) => {
            check_delimiter(delimiter, &path.key("delimiter"))?;
            Ok(ChannelIds::Split(delimiter.as_str().into()))
        }
        (None, Some(name)) => {
            check_parameter(name, &path.key("query"))?;
            Ok(ChannelIds::Query(name.as_str().into()))
        }
    }
}

fn check_delimiter(delimiter: &str, path: &Path<'_>) -> Result<(), Problem> {
    if delimiter.is_empty() {
        return Err(Problem::new(path, "empty; leave the key out for one channel id"));
    }
    // `%` begins an encoded character; no path has the others as they are.
    let is_bad = |c: &char| !c.is_ascii_graphic() || matches!(c, '%' | '?' | '#');
    match delimiter.chars().find(is_bad) {
        None => Ok(()),
        Some(bad) => {
            let bad = quoted(&bad.to_string());
            let what = format!(
                "{bad} cannot stand between channel ids in a path; take other printable ASCII \
                 characters, as in \",\""
            );
            Err(Problem::new(path, what))
        }
    }
}

fn check_parameter(name: &str, path: &Path<'_>) -> Result<(), Problem> {
    if name.is_empty() {
        return Err(Problem::new(path, "empty; name a query parameter, as in \"channel\""));
    }
    if name.chars().any(char::is_control) {
        return Err(Problem::new(path, format!("{} has control characters", quoted(name))));
    }
    if let Some((_, given)) = TAKEN.iter().find(|(taken, _)| *taken == name) {
        let what = format!("{} gives {given}; name another parameter", quoted(name));
        return Err(Problem::new(path, what));
    }
    Ok(())
}

/// What may be wrong with a delimiter that works: clients encode it, or the pattern has no room
/// for it.
pub(super) fn warning(location: &Location) -> Option<String> {
    let Location::Subscriber(subscriber) = location else { return None };
    let delimiter = subscriber.delimiter.as_deref()?;
    if let Some(encoded) = delimiter.chars().find(|c| is_encoded(*c as u8)) {
        return Some(format!(
            "delimiter: many clients write {} percent-encoded, and an encoded delimiter is part of \
             a channel id; take another, as in \",\"",
            quoted(&encoded.to_string())
        ));
    }
    let url = subscriber.common.url.as_deref().unwrap_or_default();
    (delimiter.contains('/') && url.ends_with("([^/]+)")).then(|| {
        "delimiter: the group of url takes no \"/\", so that no path has two ids; write (.+)"
            .to_owned()
    })
}
