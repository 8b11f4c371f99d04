//! Telling: answers whoever asks a status location. Knows no name of it.

use super::Client;
use super::responding::respond;
use crate::relay::render::Reply;
use crate::relay::step::Step;

/// Media type of what programs read.
pub(in crate::relay::client) const JSON: &[u8] = b"application/json";

/// Answers with a body that no cache keeps.
pub(in crate::relay::client) fn tell(
    client: &mut Client,
    reply: &Reply,
    (media_type, body): (&[u8], &[u8]),
    step: &mut Step<'_>,
) {
    let payload = step.renderer.whole(reply, (200, b""), media_type, body);
    respond(client, reply.persistence, 200, payload, step);
}

/// The names of all stores, as the status location that answers knows them.
pub(in crate::relay::client) fn store_names(reply: &Reply) -> &[String] {
    let options = reply.location.as_deref().and_then(|location| location.role.status());
    options.map_or(&[], |options| &options.stores)
}

/// Answers with what is wrong and what to do.
pub(in crate::relay::client) fn refuse(
    client: &mut Client,
    reply: &Reply,
    status: u16,
    text: &str,
    step: &mut Step<'_>,
) {
    let payload = step.renderer.text(reply, status, b"", text);
    respond(client, reply.persistence, status, payload, step);
}
