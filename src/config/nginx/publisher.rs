//! nginx publisher: the directives of a location that takes messages. Decides nothing of who may
//! publish.

use super::super::settings::{Location, Settings, Transport};
use super::{Output, access_control, store, whole_seconds};

/// Stands for "unlimited" messages, for which Nchan has no word.
const MESSAGES_MAX: usize = i32::MAX as usize;

/// Writes them, if the location takes messages. `sockets_publish`: those who may listen by a
/// WebSocket may publish by it.
pub(super) fn directives(
    out: &mut Output,
    settings: &Settings,
    location: &Location,
    sockets_publish: bool,
) {
    let Some((publishing, origins)) = location.publishing() else { return };
    let transports = location.subscribing().map_or(&[][..], |keys| &keys.transports);
    match (transports.contains(&Transport::WebSocket), sockets_publish) {
        (false, _) => out.line("nchan_publisher http;"),
        (true, true) => out.line("nchan_publisher http websocket;"),
        (true, false) => {
            out.note("WebSockets listen only: nginx would let all of them publish, without the");
            out.note("secret and from every address.");
            out.line("nchan_publisher http;");
        }
    }
    if !origins.is_empty() && location.subscribing().is_none() {
        access_control(out, origins, false);
    }
    if !publishing.create_on_post {
        out.note("create_on_post false: nginx cannot; POST creates the channel.");
    }
    let Some(store) = store(settings, location.common()) else { return };
    if publishing.store_messages {
        let messages = match store.max_messages {
            0 => MESSAGES_MAX,
            messages => messages.min(MESSAGES_MAX),
        };
        out.line(&format!("nchan_message_buffer_length {messages};"));
        whole_seconds(out, "nchan_message_timeout", store.message_timeout);
    } else {
        out.line("nchan_store_messages off;");
    }
    if store.min_messages > 0 {
        out.note(&format!(
            "min_messages {}: nginx cannot; all messages expire by time.",
            store.min_messages
        ));
    }
    if store.message_timeout.milliseconds() > 0 && publishing.store_messages {
        out.note(
            "Nchan 1.3.6 ends its worker process, and with it every connection, when a long poll",
        );
        out.note("asks with the cursor of the last message after that message has expired.");
    }
}
