//! Status: what a location for who runs the daemon lets a request ask. Answers nothing.

use super::bearer::bears;
use super::refusal::{Concern, Refusal};
use crate::http::RequestHead;
use crate::relay::input::Arrival;
use crate::relay::options::StatusOptions;
use crate::relay::status_name::StatusName;

/// What a request of such a location asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct StatusQuestion {
    pub(in crate::relay) name: StatusName,
    /// The request bears the location's secret, so it may be told more than counts.
    pub(in crate::relay) is_trusted: bool,
}

/// What a request may ask; `part`: of its path, the name behind a slash.
///
/// # Errors
/// [`Refusal`], which is the answer.
pub(super) fn admit(
    options: &StatusOptions,
    part: &[u8],
    arrival: Arrival,
    head: &RequestHead<'_>,
) -> Result<StatusQuestion, Refusal> {
    let name = StatusName::of(part).ok_or_else(|| Refusal::new(404, "there is no such name"))?;
    let is_trusted = options.secret.as_ref().is_some_and(|secret| bears(head, secret));
    let question = StatusQuestion { name, is_trusted };
    // Who asks for these may be anywhere, and learns next to nothing.
    let is_for_all = matches!(name, StatusName::Healthz | StatusName::Readyz);
    if !is_for_all && !arrival.is_of(&options.allow) {
        let text = "this address may not ask; the location's allow says which may";
        return Err(Refusal::new(403, text).due_to(Concern::Allow));
    }
    check_method(name, head)?;
    // A browser says of each POST whose page sends it. The secret stands in no cookie, so this is
    // the second lock.
    if let Some(origin) = head.header("Origin")
        && name.is_post()
        && !is_of_this_server(origin, head.host)
    {
        return Err(
            Refusal::new(403, "no web page of another server may ask this").due_to(Concern::Origin)
        );
    }
    let needs_secret = match name {
        StatusName::Page | StatusName::Healthz | StatusName::Readyz => false,
        StatusName::Metrics | StatusName::Status => false,
        StatusName::Channels | StatusName::Presence | StatusName::Events => true,
        StatusName::Revoke | StatusName::Publish => true,
    };
    match &options.secret {
        _ if is_trusted || !needs_secret => Ok(question),
        None => Err(Refusal::new(403, without_secret(name)).due_to(Concern::NoSecret)),
        Some(_) => {
            let text = "send the status location's secret as Authorization: Bearer SECRET";
            Err(Refusal::challenge(text, "Bearer").due_to(Concern::Secret))
        }
    }
}

fn check_method(name: StatusName, head: &RequestHead<'_>) -> Result<(), Refusal> {
    let (served, lines, text): (&[&str], &[u8], _) = match name.is_post() {
        true => (&["POST"], b"Allow: POST\r\n", "this is asked with POST"),
        false => (&["GET", "HEAD"], b"Allow: GET, HEAD\r\n", "this is asked with GET"),
    };
    if served.contains(&head.method) {
        return Ok(());
    }
    Err(Refusal { lines: lines.to_vec(), ..Refusal::new(405, text) }.due_to(Concern::Method))
}

/// Whether a page of this origin came from where the request goes.
fn is_of_this_server(origin: &[u8], host: &[u8]) -> bool {
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    !host.is_empty() && authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

fn without_secret(name: StatusName) -> &'static str {
    match name {
        StatusName::Revoke => "set the status location's secret to revoke",
        StatusName::Publish => "set the status location's secret to publish",
        _ => "set the status location's secret to see channels",
    }
}
