//! Outgoing: sends to a stream that has begun, keeps it alive with pings, and closes WebSockets.

use super::Client;
use super::following::{Begun, Kind};
use crate::http::websocket::PING;
use crate::relay::render::payload::Payload;
use crate::relay::render::{event_stream, websocket};
use crate::relay::step::Step;
use crate::relay::timers::ConnTimer;

/// How long a client may take to answer our Close, milliseconds.
const CLOSE_MS: u64 = 5_000;

/// Why a WebSocket is closed when the daemon stops.
pub(super) const STOPS: &str = "the server stops";

/// Sends to a stream.
pub(super) fn send(client: &mut Client, payload: Payload, step: &mut Step<'_>) {
    if let Some(following) = client.following() {
        following.sent_ms = step.now.mono_ms;
    }
    step.effects.answered += payload.len() as u64;
    step.effects.send(step.conn, payload);
}

/// Closes: with a Close, then the connection, whether the client answers or not. Nothing that comes
/// now is read.
pub(super) fn close_socket(
    client: &mut Client,
    code: Option<u16>,
    reason: &str,
    step: &mut Step<'_>,
) {
    send(client, websocket::close(code, reason), step);
    client.linger(CLOSE_MS, step);
}

/// The daemon stops. The hub ends streams; a WebSocket that only publishes is closed here.
pub(in crate::relay) fn shut_down(client: &mut Client, step: &mut Step<'_>) {
    if client.following().is_some_and(|following| following.begun == Begun::Publisher) {
        close_socket(client, Some(1001), STOPS, step);
    }
}

/// Sets the timer of the next ping.
pub(super) fn arm_ping(client: &mut Client, step: &mut Step<'_>) {
    let Some(following) = client.following() else { return };
    let interval_ms = following.ping_interval_ms();
    if interval_ms == 0 {
        return client.disarm(step.effects);
    }
    let silent_ms = step.now.mono_ms.saturating_sub(following.sent_ms);
    let in_ms = step.effects.jitter.shorten(interval_ms).saturating_sub(silent_ms);
    client.arm_in(ConnTimer::Ping, in_ms, step);
}

/// The time of a ping has come, or the store of a stream is late.
pub(super) fn timed_out(client: &mut Client, timer: ConnTimer, step: &mut Step<'_>) {
    let Some(following) = client.following() else { return };
    let waits_to_read =
        following.stream().is_some_and(|stream| step.hub.ticket_of(stream).is_some());
    if timer == ConnTimer::Store && (waits_to_read || following.publishes()) {
        let text = "the store does not answer; try again later";
        return match following.kind() {
            Kind::WebSocket => close_socket(client, Some(1013), text, step),
            _ => client.close(step),
        };
    }
    let interval_ms = following.ping_interval_ms();
    let silent_ms = step.now.mono_ms.saturating_sub(following.sent_ms);
    if interval_ms == 0 || silent_ms < interval_ms - interval_ms / 10 {
        return arm_ping(client, step);
    }
    // Bytes that wait for a slow reader's socket are a sign of life too.
    let has_sent = client.buffer.is_some();
    let Some(following) = client.following() else { return };
    let ping = match &mut following.socket {
        Some(socket) => {
            if !std::mem::take(&mut socket.heard) && !has_sent {
                step.effects.figures.silent += 1;
                return client.close(step);
            }
            &PING[..]
        }
        None => event_stream::PING,
    };
    send(client, Payload::Owned(ping.to_vec()), step);
    arm_ping(client, step);
}
