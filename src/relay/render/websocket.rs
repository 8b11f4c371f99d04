//! WebSockets as bytes (RFC 6455): messages and closes.

use super::ids::write_id;
use crate::http::websocket::{Opcode, write_close, write_frame_head};
use crate::hub::Due;
use crate::message::Order;
use crate::relay::render::payload::Payload;

/// A Close.
pub(in crate::relay) fn close(code: Option<u16>, reason: &str) -> Payload {
    let mut out = Vec::with_capacity(64);
    write_close(code, reason, &mut out);
    Payload::Owned(out)
}

/// A text frame of ours.
pub(in crate::relay) fn text(text: &[u8]) -> Payload {
    let mut out = Vec::with_capacity(text.len() + 4);
    write_frame_head(Opcode::Text, text.len(), &mut out);
    out.extend_from_slice(text);
    Payload::Owned(out)
}

/// The head of a message's frame, and what comes before the body in it. `meta`: its id and content
/// type, as NchanSubscriber.js reads them. `id`: of its channel, for streams of several.
pub(super) fn write_message_head(
    due: &Due,
    order: Order,
    meta: bool,
    id: &[u8],
    out: &mut Vec<u8>,
) {
    let content = &due.message.content;
    let mut before = Vec::new();
    if meta {
        before.extend_from_slice(b"id: ");
        write_id(due, order, id, &mut before);
        if let Some(content_type) = &content.content_type {
            before.extend_from_slice(b"\ncontent-type: ");
            before.extend_from_slice(content_type);
        }
        before.extend_from_slice(b"\n\n");
    }
    let is_text = !content.content_type.as_deref().is_some_and(is_octet_stream)
        && std::str::from_utf8(&before).is_ok()
        && std::str::from_utf8(&content.body).is_ok();
    let opcode = if is_text { Opcode::Text } else { Opcode::Binary };
    write_frame_head(opcode, before.len() + content.body.len(), out);
    out.extend_from_slice(&before);
}

/// Whether a `Content-Type` is the one of unknown bytes.
fn is_octet_stream(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"application/octet-stream")
}
