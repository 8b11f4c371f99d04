//! Status: what a location for who runs the daemon lets a request do. Knows no channel.

use super::bearer::bears;
use super::refusal::Refusal;
use crate::http::RequestHead;
use crate::relay::input::Arrival;
use crate::relay::location::Location;
use crate::relay::options::StatusOptions;

/// What a request of such a location may ask.
///
/// # Errors
/// [`Refusal`], which is the answer.
pub(super) fn admit(
    location: &Location,
    options: &StatusOptions,
    arrival: Arrival,
    head: &RequestHead<'_>,
) -> Result<(), Refusal> {
    if !arrival.is_of(&options.allow) {
        let text = "this address may not ask; the location's allow says which may";
        return Err(Refusal::new(403, text));
    }
    if head.method != "POST" {
        let text = "this is asked with POST";
        return Err(Refusal { lines: location.allow.to_vec(), ..Refusal::new(405, text) });
    }
    // A browser says of each POST whose page sends it.
    if head.header("Origin").is_some() {
        return Err(Refusal::new(403, "no web page may ask this"));
    }
    match &options.secret {
        None => Err(Refusal::new(403, "set the status location's secret to revoke")),
        Some(secret) if !bears(head, secret) => {
            let text = "send the status location's secret as Authorization: Bearer SECRET";
            Err(Refusal::challenge(text, "Bearer"))
        }
        Some(_) => Ok(()),
    }
}
