//! nginx publisher: the directives of a location that takes messages. Decides nothing of who may
//! publish.

use super::super::settings::{Common, Location, Publishing, Settings, Transport};
use super::{Output, access_control, store, whole_seconds};

/// Stands for "unlimited" messages, for which Nchan has no word.
const MESSAGES_MAX: usize = i32::MAX as usize;

/// What a WebSocket may do at a location that takes messages.
enum Sockets {
    Refused,
    Publish,
    /// nginx cannot tell those who may publish from the others, once they may listen.
    ListenOnly,
}

impl Sockets {
    fn of(location: &Location, publishing: &Publishing, common: &Common) -> Self {
        let is_closed = publishing.secret.is_some() || publishing.allow.is_some() || common.signed;
        match location.subscribing() {
            // Who has no secret, or comes from elsewhere, does not get there.
            None => Self::Publish,
            Some(keys) if !keys.transports.contains(&Transport::WebSocket) => Self::Refused,
            Some(_) if is_closed => Self::ListenOnly,
            Some(_) => Self::Publish,
        }
    }
}

/// Writes them, if the location takes messages.
pub(super) fn directives(
    out: &mut Output,
    settings: &Settings,
    location: &Location,
    common: &Common,
) {
    let Some((publishing, origins)) = location.publishing() else { return };
    match Sockets::of(location, publishing, common) {
        Sockets::Refused => out.line("nchan_publisher http;"),
        Sockets::Publish => out.line("nchan_publisher http websocket;"),
        Sockets::ListenOnly => {
            out.note("WebSockets listen only: nginx would let all of them publish, without the");
            out.note("secret or a token to publish, and from every address.");
            out.line("nchan_publisher http;");
        }
    }
    if !origins.is_empty() && location.subscribing().is_none() {
        access_control(out, origins, false);
    }
    if !publishing.create_on_post {
        out.note("create_on_post false: nginx cannot; POST creates the channel.");
    }
    let Some(store) = store(settings, common) else { return };
    if publishing.store_messages {
        let messages = match store.kept().max_messages {
            0 => MESSAGES_MAX,
            messages => messages.min(MESSAGES_MAX),
        };
        out.line(&format!("nchan_message_buffer_length {messages};"));
        whole_seconds(out, "nchan_message_timeout", store.kept().message_timeout);
    } else {
        out.line("nchan_store_messages off;");
    }
    if store.kept().min_messages > 0 {
        out.note(&format!(
            "min_messages {}: nginx cannot; all messages expire by time.",
            store.kept().min_messages
        ));
    }
    if store.kept().message_timeout.milliseconds() > 0 && publishing.store_messages {
        out.note(
            "Nchan 1.3.6 ends its worker process, and with it every connection, when a long poll",
        );
        out.note("asks with the cursor of the last message after that message has expired.");
    }
}
