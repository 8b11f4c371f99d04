//! Event streams as bytes (HTML standard 9.2): the head, events, comments. A publisher's bytes can
//! begin no line but `data:` and the one `event:` that it gave.

use super::ids::{write_id, write_place};
use super::lines::write_lines;
use crate::http::response::write_decimal;
use crate::hub::Due;
use crate::message::{MessageId, Order};
use crate::relay::render::payload::Payload;

/// A client that was displaced waits so long, milliseconds: a day. Two tabs that came back at once
/// would displace each other for ever.
const DISPLACED_RETRY: &[u8] = b"retry: 86400000\n";

/// A comment, for a connection that was silent.
pub(in crate::relay) const PING: &[u8] = b":\n\n";

/// What an event stream says first: the interval of its pings, seconds (0: none), when to come back
/// after an end, milliseconds, and perhaps the id that it goes on from. An id without data is no
/// event: a browser keeps it for its next request.
pub(super) fn write_start(
    (ping_s, retry_ms): (u64, u64),
    place: Option<MessageId>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b": ping ");
    write_decimal(out, ping_s);
    out.extend_from_slice(b"\nretry: ");
    write_decimal(out, retry_ms);
    if let Some(place) = place {
        out.extend_from_slice(b"\nid: ");
        write_place(place, out);
    }
    out.extend_from_slice(b"\n\n");
}

/// The id that a stream goes on from, which was not known when it began.
pub(in crate::relay) fn place(place: MessageId) -> Payload {
    let mut out = b"id: ".to_vec();
    write_place(place, &mut out);
    out.extend_from_slice(b"\n\n");
    Payload::Owned(out)
}

/// The head lines of an event stream.
pub(super) const HEAD: &[u8] = b"Content-Type: text/event-stream; charset=utf-8\r\n\
                      Cache-Control: no-store, no-transform\r\n\
                      X-Accel-Buffering: no\r\n";

/// The end of a stream, for those that listen for it. `status`: 410, 409 or 404, as a poll would
/// get.
pub(in crate::relay) fn end(status: &str, is_displaced: bool) -> Payload {
    let mut out = Vec::with_capacity(64);
    if is_displaced {
        out.extend_from_slice(DISPLACED_RETRY);
    }
    out.extend_from_slice(b"event: push:end\ndata: ");
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(b"\n\n");
    Payload::Owned(out)
}

/// One message. `id`: of its channel, for streams of several.
pub(super) fn write_event(due: &Due, order: Order, id: &[u8], out: &mut Vec<u8>) {
    out.reserve(due.message.content.bytes() + 64);
    write_event_head(due, order, id, out);
    write_lines(&due.message.content.body, out);
}

/// What comes before the lines of a message.
pub(super) fn write_event_head(due: &Due, order: Order, id: &[u8], out: &mut Vec<u8>) {
    let content = &due.message.content;
    if let Some(event) = &content.event {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event);
        out.push(b'\n');
    }
    out.extend_from_slice(b"id: ");
    write_id(due, order, id, out);
    out.push(b'\n');
}
