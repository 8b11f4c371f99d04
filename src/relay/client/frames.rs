//! Frames: from what a WebSocket's client sends to messages that are published, Pongs, and the end
//! of the connection (RFC 6455 5, 7). Never looks at what the client is sent.

use super::following::{Begun, WebSocket};
use super::next::Next;
use super::outgoing::{arm_ping, close_socket, end_over, send};
use super::words::words;
use super::{Client, recording};
use crate::http::websocket::{Breach, Frame, Intake, write_pong};
use crate::hub::{ChannelName, Information, Peer, Publish, Refusal};
use crate::message::Content;
use crate::relay::recorder::By;
use crate::relay::render::payload::Payload;
use crate::relay::render::websocket;
use crate::relay::step::Step;
use crate::relay::timers::ConnTimer;

const MAY_NOT_PUBLISH: Breach =
    Breach { code: 1008, reason: "this WebSocket may listen, not publish" };

/// Takes a step with `input`, the bytes that wait: one frame.
pub(super) fn read_frame<'b>(client: &mut Client, input: &[u8], step: &mut Step<'_>) -> Next<'b> {
    let Some(following) = client.following() else { return Next::Wait };
    if !following.has_begun() || input.is_empty() {
        return Next::Wait;
    }
    let location = following.reply.location.clone();
    let Some(socket) = &mut following.socket else { return Next::Gone };
    if socket.publishes {
        return Next::Wait;
    }
    socket.heard = true;
    let bytes_max = location.as_ref().map_or(0, |one| step.hub.message_bytes_max(one.store));
    let intake = match socket.channel {
        Some(_) => Intake::Messages { bytes_max: bytes_max.min(step.site.limits.body_bytes) },
        None => Intake::Refused(MAY_NOT_PUBLISH),
    };
    let (kept_before, came_before) = (socket.decoder.kept_bytes(), socket.decoder.message_bytes());
    let decoded = socket.decoder.decode(input, intake);
    let (kept_bytes, came) = (socket.decoder.kept_bytes(), socket.decoder.message_bytes());
    if came != came_before {
        socket.note_progress(step.now);
    }
    let all_bytes = step.effects.uploads.change(kept_before, kept_bytes);
    let (used, frame) = match decoded {
        Ok(decoded) => decoded,
        Err(Breach { code, reason }) => {
            close_socket(client, Some(code), reason, step);
            return Next::Gone;
        }
    };
    match frame {
        None if kept_bytes > 0 && all_bytes > step.site.uploads_max() => {
            let text = "too many large messages are coming in at once; try again later";
            close_socket(client, Some(1013), text, step);
            return Next::Gone;
        }
        None | Some(Frame::Pong) => {}
        Some(Frame::Ping(payload)) => {
            let mut out = Vec::with_capacity(payload.len() + 2);
            write_pong(&payload, &mut out);
            send(client, Payload::Owned(out), step);
        }
        Some(Frame::Close { code }) => {
            close_socket(client, code, "", step);
            return Next::Gone;
        }
        Some(Frame::Message { .. }) if end_over(client, step) => return Next::Gone,
        Some(Frame::Message { text, body }) => publish(client, text, &body, step),
    }
    if came_before.is_none() && came.is_some() {
        await_rest(client, step);
    }
    Next::Used(used)
}

/// A message has begun, and is not whole: the rest of it has the time of a POST's body.
fn await_rest(client: &mut Client, step: &mut Step<'_>) {
    // The timer of a store is shorter, and looks at the rest too.
    if !matches!(client.timer, Some((_, ConnTimer::Store))) {
        arm_ping(client, step);
    }
}

/// Publishes a message of the client, as a POST of its body would.
fn publish(client: &mut Client, text: bool, body: &[u8], step: &mut Step<'_>) {
    let from = client.arrival.peer;
    let Some(following) = client.following() else { return };
    let Some(location) = following.reply.location.clone() else { return };
    let Some(WebSocket { publishes, channel: Some(name), .. }) = following.socket.as_deref_mut()
    else {
        return;
    };
    let Some(options) = location.role.publisher() else { return };
    *publishes = true;
    let content_type = (!text).then_some(&b"application/octet-stream"[..]);
    let publish = Publish {
        content: Content { content_type, event: None, body }.into(),
        create: options.create_on_post,
        store: options.store_messages,
    };
    let name = ChannelName { store: location.store, name };
    recording::publishes(from, By::WebSocket, &name, &publish, step);
    step.hub.publish(Peer(step.conn.to_bits()), name, publish, step.now);
}

/// A message of the client is published: the next is read. Where the client only publishes it is
/// told what a POST is answered; others get their message back as everybody gets it.
pub(super) fn published(client: &mut Client, information: &Information, step: &mut Step<'_>) {
    let Some(following) = client.following() else { return };
    let waited = following.ticket.take().is_some();
    let (begun, form) = (following.begun, following.reply.form);
    if let Some(socket) = &mut following.socket {
        socket.publishes = false;
    }
    if begun == Begun::Publisher {
        let mut text = Vec::with_capacity(256);
        form.write(information, &mut text);
        send(client, websocket::text(&text), step);
    }
    if waited {
        arm_ping(client, step);
        client.go_on_later(step);
    }
}

/// A message of the client is not published.
pub(super) fn refused(client: &mut Client, refusal: Refusal, step: &mut Step<'_>) {
    let (status, _, text) = words(refusal);
    let code = if status == 413 { 1009 } else { 1013 };
    close_socket(client, Some(code), text, step);
}
