//! Outgoing: sends to a stream that has begun, keeps it alive with pings, and closes WebSockets.

use super::following::{Begun, Kind};
use super::why::Why;
use super::{Client, Phase};
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
    close_socket_for(client, (code, reason), Why::Gone, step);
}

fn close_socket_for(
    client: &mut Client,
    (code, reason): (Option<u16>, &str),
    why: Why,
    step: &mut Step<'_>,
) {
    send(client, websocket::close(code, reason), step);
    client.enter_for(Phase::IDLE, why, step);
    client.linger(CLOSE_MS, step);
}

/// Ends a stream that has begun, for this reason, with the code of a WebSocket's Close and what is
/// said.
pub(super) fn end_begun(
    client: &mut Client,
    (why, code, status): (Why, u16, &str),
    step: &mut Step<'_>,
) {
    match client.following().map(|following| following.kind()) {
        Some(Kind::WebSocket) => close_socket_for(client, (Some(code), status), why, step),
        _ => {
            send(client, event_stream::end(status, why == Why::Displaced), step);
            client.enter_for(Phase::IDLE, why, step);
            client.close(step);
        }
    }
}

/// How a stream ends whose user's access was taken back.
pub(super) const REVOKED: (Why, u16, &str) = (Why::Revoked, 4403, "403 Forbidden");

/// Ends a stream that has begun if its tokens are good no more; gives whether that is so. Those
/// whose access was taken back are many at times, and wait for their turn to be ended.
pub(super) fn end_over(client: &mut Client, step: &mut Step<'_>) -> bool {
    let Some(following) = client.following() else { return false };
    let end = match following.is_over(step.now) {
        true => (Why::Expired, 4401, "401 Unauthorized"),
        false if step.effects.holders.is_revoked(step.conn) => REVOKED,
        false => return false,
    };
    end_begun(client, end, step);
    true
}

/// The daemon stops: what is idle is closed, and what has begun has some time to end. The hub ends
/// holds and streams; a WebSocket that only publishes is closed here.
pub(in crate::relay) fn shut_down(client: &mut Client, step: &mut Step<'_>) {
    match client.phase {
        Phase::Head { .. } if client.buffer.is_none() => client.close(step),
        Phase::Head { .. } | Phase::Body(_) if !client.stalled => client.arm(ConnTimer::Stop, step),
        Phase::Lingering { .. } if !client.stalled => client.linger_from_now(step),
        Phase::Listening(_) => super::events::woken(client, step),
        Phase::AwaitingSubscriber(_) => super::acknowledging::answer(client, step),
        // An answer that is sure to come has no timer, and a WebSocket keeps that of its pings.
        ref late if late.awaits_store() && !late.is_patient() && !client.stalled => {
            client.arm(ConnTimer::Store, step);
        }
        _ => {}
    }
    if client.following().is_some_and(|following| following.begun == Begun::Publisher) {
        close_socket_for(client, (Some(1001), STOPS), Why::Stop, step);
    }
}

/// Sets the timer of the next ping, or of a message that stops coming or of the end of its tokens
/// where that is sooner.
pub(super) fn arm_ping(client: &mut Client, step: &mut Step<'_>) {
    // Not now: bytes that wait are dealt with first.
    let body_ms = may_take_ms(client, step).map(|in_ms| in_ms.max(1));
    let Some(following) = client.following() else { return };
    let (interval_ms, left_ms) = (following.ping_interval_ms(), following.left_ms(step.now));
    let silent_ms = step.now.mono_ms.saturating_sub(following.sent_ms);
    let ping_ms = (interval_ms > 0)
        .then(|| step.effects.jitter.shorten(interval_ms).saturating_sub(silent_ms));
    match ping_ms.into_iter().chain(body_ms).chain(left_ms).min() {
        Some(in_ms) => client.arm_in(ConnTimer::Ping, in_ms, step),
        None => client.disarm(step.effects),
    }
}

/// How long the rest of a message that a client sends may still take, milliseconds.
fn may_take_ms(client: &mut Client, step: &Step<'_>) -> Option<u64> {
    let socket = client.following()?.socket.as_ref()?;
    socket.may_take_ms(step.site.limits.body_timeout_ms, step.now)
}

/// The time of a ping has come, or a store is late, or a message that the client sends.
pub(super) fn timed_out(client: &mut Client, timer: ConnTimer, step: &mut Step<'_>) {
    if end_over(client, step) {
        return;
    }
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
    // Bytes that wait for their turn, or behind what a slow reader is sent, have come in time.
    let are_waiting = client.buffer.is_some();
    if may_take_ms(client, step) == Some(0) && !are_waiting {
        let text = "the message stopped coming; send it without pauses";
        return close_socket(client, Some(1008), text, step);
    }
    let Some(following) = client.following() else { return };
    let interval_ms = following.ping_interval_ms();
    let silent_ms = step.now.mono_ms.saturating_sub(following.sent_ms);
    if interval_ms == 0 || silent_ms < interval_ms - interval_ms / 10 {
        return arm_ping(client, step);
    }
    let ping = match &mut following.socket {
        Some(socket) => {
            if !std::mem::take(&mut socket.heard) && !are_waiting {
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
