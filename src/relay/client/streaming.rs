//! Streaming: from the hub's answers to what an event stream, a WebSocket or a poll of several
//! channels is sent, their pings and their ends.

use super::acknowledging::note_sent;
use super::following::{Begun, Following, Kind};
use super::frames::{published, refused};
use super::outgoing::{REVOKED, STOPS, arm_ping, close_socket, end_begun, end_over, send};
use super::responding::{ended, missing, respond, resume_behind_hold};
use super::why::Why;
use super::words::words;
use super::{Client, Phase, recording};
use crate::hub::{self, Due, End, Hold, StreamKey};
use crate::message::Cursor;
use crate::relay::render::payload::Payload;
use crate::relay::render::stream::is_large;
use crate::relay::render::{Persistence, event_stream};
use crate::relay::request::refusal::{Fault, Refusal};
use crate::relay::step::Step;
use crate::relay::timers::ConnTimer;
use crate::store::{Gap, Ticket};

/// Bytes that a stream that is behind is sent at once, and the message that reaches them.
const READ_BYTES: usize = 16 << 10;

/// When an event stream's client comes back after an end, milliseconds: those that lost the daemon
/// together do not come back together.
const RETRY_LEAST_MS: u64 = 1000;
const RETRY_SPREAD_MS: u64 = 2001;

/// Passes on what the hub answers to a request that follows channels.
pub(super) fn answer(client: &mut Client, output: hub::Output, step: &mut Step<'_>) {
    use hub::Output as O;
    let Some(following) = client.following() else { return };
    let is_begun = following.has_begun();
    match output {
        O::Missing { .. } if following.begun == Begun::Early => {
            end_begun(client, (Why::Gone, 4404, "404 Not Found"), step);
        }
        // It may come back when there is a place.
        O::Refused { .. } if following.begun == Begun::Early => {
            end_stream(client, End::NothingNew, Cursor::OLDEST, step);
        }
        O::Feed { due, .. } => feed(client, &due, step),
        O::Readable { stream, .. } => read(client, stream, step),
        O::Ended { end, cursor, .. } => end_stream(client, end, cursor, step),
        O::Published { information, .. } => published(client, &information, step),
        O::Missing { name, .. } if !is_begun => {
            let id = name.as_deref().map(|name| following.id_in(name).to_vec());
            if let Some(following) = take(client, Why::Gone, step) {
                let (status, payload) = missing(&following.reply, id.as_deref(), step);
                respond(client, following.reply.persistence, status, payload, step);
            }
        }
        O::Refused { refusal, .. } if !is_begun => {
            if let Some(following) = take(client, Why::Gone, step) {
                let (status, lines, text) = words(refusal);
                let payload = step.renderer.text(&following.reply, status, lines, text);
                respond(client, following.reply.persistence, status, payload, step);
            }
        }
        O::Missing { .. } => {
            let text = "there is no such channel, and a message does not create it";
            close_socket(client, Some(1008), text, step);
        }
        O::Refused { refusal, .. } => refused(client, refusal, step),
        _ => {}
    }
}

/// Ends the phase, as the hub has ended the request or has not begun it; gives what was kept.
fn take(client: &mut Client, why: Why, step: &mut Step<'_>) -> Option<Box<Following>> {
    match client.enter_answered(Phase::IDLE, why, step) {
        Phase::Following(mut following) => {
            if step.effects.stopping {
                following.reply.persistence = Persistence::Close;
            }
            Some(following)
        }
        _ => None,
    }
}

/// A stream has begun, or a poll is held.
pub(super) fn begin(client: &mut Client, stream: StreamKey, step: &mut Step<'_>) {
    let begun_as = client.following().map(|following| following.begun);
    if is_late(client, step) {
        step.hub.unsubscribe(Hold::Stream(stream), step.now);
        return end_late(client, step);
    }
    match begun_as.filter(|_| !client.ended) {
        Some(Begun::No) => begun(client, Begun::Stream(stream), step),
        Some(Begun::Early) => go_on(client, stream, step),
        _ => {
            // The peer left before the answer came.
            step.hub.unsubscribe(Hold::Stream(stream), step.now);
            client.close(step);
        }
    }
}

/// Whether a stream is to begin whose tokens' time was up before. The hub has no such polls.
fn is_late(client: &mut Client, step: &Step<'_>) -> bool {
    let is_late = |following: &mut Following| !following.is_poll() && following.is_over(step.now);
    client.following().is_some_and(is_late)
}

/// Refuses such a stream, or ends it where it has begun early.
fn end_late(client: &mut Client, step: &mut Step<'_>) {
    if client.phase.is_stream() {
        end_over(client, step);
    } else if let Some(following) = take(client, Why::Expired, step) {
        let Refusal { status, lines, text, .. } = Fault::Expired(0).refusal();
        *Fault::Expired(0).figure(&mut step.effects.figures) += 1;
        let payload = step.renderer.text(&following.reply, status, &lines, text);
        respond(client, following.reply.persistence, status, payload, step);
    }
}

/// A stream that has begun early is one of the hub's now.
fn go_on(client: &mut Client, stream: StreamKey, step: &mut Step<'_>) {
    let is_stalled = client.stalled;
    let Some(following) = client.following() else { return };
    (following.begun, following.ticket) = (Begun::Stream(stream), None);
    recording::held(None, step);
    let tells_place = following.kind() == Kind::EventStream && following.tells_place;
    if is_stalled {
        step.hub.pause(stream);
    }
    if tells_place && let Some(place) = step.hub.place_of(stream) {
        send(client, event_stream::place(place), step);
    }
    client.go_on_later(step);
}

/// Begins a stream whose store has not answered yet.
pub(super) fn begin_early(client: &mut Client, step: &mut Step<'_>) {
    if client.following().is_some_and(|following| following.begun == Begun::No) {
        begun(client, Begun::Early, step);
    }
}

/// Begins a WebSocket that only publishes: it follows nothing, so the hub is not asked.
pub(super) fn begin_publisher(client: &mut Client, step: &mut Step<'_>) {
    begun(client, Begun::Publisher, step);
}

fn begun(client: &mut Client, begun: Begun, step: &mut Step<'_>) {
    let head = client.following().and_then(|following| head(following, begun, step));
    let is_stream = head.is_some();
    if let Some(head) = head {
        send(client, head, step);
    }
    if client.is_tied {
        step.effects.hold_begins(step.conn, None, step.now);
    }
    let is_stalled = client.stalled;
    if let Some(following) = client.following() {
        following.begin(begun, step.effects);
        if let Some(stream) = following.sends().filter(|_| is_stalled) {
            // An answer before it waits for the socket.
            step.hub.pause(stream);
        }
    }
    if let Begun::Stream(_) = begun {
        recording::held(None, step);
    }
    client.access.begin_stream(step.now.mono_ms);
    client.disarm(step.effects);
    match is_stream {
        true => {
            arm_ping(client, step);
            client.go_on_later(step);
        }
        false => resume_behind_hold(client, step),
    }
}

/// The socket of a stream takes everything again.
pub(in crate::relay) fn drained(client: &mut Client, step: &mut Step<'_>) {
    if client.phase.is_stream() && end_over(client, step) {
        return;
    }
    let Some(following) = client.following() else { return };
    if let Some(stream) = following.sends() {
        step.hub.resume(stream);
    }
    if following.ticket.is_some_and(|ticket| !ticket.is_patient()) {
        return client.arm(ConnTimer::Store, step);
    }
    if following.is_poll() {
        return client.disarm(step.effects);
    }
    if !following.has_begun() {
        return client.arm(ConnTimer::Begin, step);
    }
    arm_ping(client, step);
    client.go_on_later(step);
}

/// What a stream says first; `None`: it is a poll.
fn head(following: &mut Following, begun: Begun, step: &mut Step<'_>) -> Option<Payload> {
    match following.kind() {
        Kind::Poll => None,
        Kind::EventStream => {
            let retry_ms = RETRY_LEAST_MS + step.effects.jitter.below(RETRY_SPREAD_MS);
            let ping_s = following.ping_interval_ms().div_ceil(1000);
            let place = match begun {
                Begun::Stream(stream) if following.tells_place => step.hub.place_of(stream),
                _ => None,
            };
            // The end of the stream is the end of its connection.
            following.reply.persistence = Persistence::Close;
            Some(step.renderer.event_stream(&following.reply, (ping_s, retry_ms), place))
        }
        Kind::WebSocket => {
            let upgrade = following.socket.as_mut()?.take_upgrade()?;
            Some(step.renderer.handshake(&upgrade))
        }
    }
}

/// A store takes time to answer: whether the stream begins, what its next message is, or whether
/// what its client sent is published.
pub(super) fn await_store(client: &mut Client, ticket: Ticket, step: &mut Step<'_>) {
    let Some(following) = client.following() else { return };
    match following.begun {
        Begun::No => {
            following.ticket = Some(ticket);
            if ticket.is_patient() && !following.is_poll() {
                return client.arm(ConnTimer::Begin, step);
            }
        }
        Begun::Stream(stream) if step.hub.ticket_of(stream) == Some(ticket) => {}
        Begun::Stream(_) | Begun::Publisher if following.publishes() => {
            following.ticket = Some(ticket);
        }
        Begun::Stream(_) | Begun::Early | Begun::Publisher => return step.hub.abandon(ticket),
    }
    // It goes on being pinged beside an answer that is sure to come.
    if !ticket.is_patient() {
        client.arm(ConnTimer::Store, step);
    }
}

/// A message for a stream, or the one of a poll.
fn feed(client: &mut Client, due: &Due, step: &mut Step<'_>) {
    step.effects.figures.delivered += 1;
    step.effects.figures.gaps += u64::from(due.gap != Gap::NONE);
    let Some(following) = client.following() else { return };
    let id = following.named(&due.name);
    note_sent(&following.reply, &due.message, step.effects);
    let Some(form) = following.form else {
        if let Some(following) = take(client, Why::Message, step) {
            let payload = step.renderer.delivery_of_several(&following.reply, due, id);
            respond(client, following.reply.persistence, 200, payload, step);
        }
        return;
    };
    let payload = step.renderer.shared_feed(form, due, id);
    client.access.count_messages(1);
    send(client, payload, step);
}

/// A stream that is behind takes as many messages as go into one write.
fn read(client: &mut Client, stream: StreamKey, step: &mut Step<'_>) {
    if end_over(client, step) {
        return;
    }
    let from = client.arrival.peer;
    let Some(following) = client.following().filter(|one| one.stream() == Some(stream)) else {
        return;
    };
    let Some(form) = following.form else { return };
    let (mut out, mut large, mut count) = (Vec::new(), None, 0);
    while let Some(due) = step.hub.read(stream, step.now) {
        step.effects.figures.delivered += 1;
        step.effects.figures.gaps += u64::from(due.gap != Gap::NONE);
        count += 1;
        recording::read(from, &due, step);
        note_sent(&following.reply, &due.message, step.effects);
        let id = following.named(&due.name);
        if is_large(&due) {
            large = Some(step.renderer.feed(form, &due, id));
        } else {
            form.write(&due, id, &mut out);
        }
        if large.is_some() || out.len() >= READ_BYTES {
            step.hub.resume(stream);
            break;
        }
    }
    client.access.count_messages(count);
    if !out.is_empty() {
        send(client, Payload::Owned(out), step);
    }
    if let Some(large) = large {
        send(client, large, step);
    }
}

/// The hub has ended a stream or a poll, or begins none.
fn end_stream(client: &mut Client, end: End, cursor: Cursor, step: &mut Step<'_>) {
    let Some(following) = client.following() else { return };
    let has_begun = following.has_begun();
    match (following.kind(), end) {
        (Kind::Poll, _) => answer_ended(client, end, cursor, step),
        (_, End::Displaced) if !has_begun => answer_ended(client, end, cursor, step),
        (Kind::EventStream, End::Shutdown | End::NothingNew) => {
            if !has_begun && let Some(head) = head(following, Begun::No, step) {
                send(client, head, step);
            }
            client.enter_for(Phase::IDLE, Why::of(end), step);
            client.close(step);
        }
        (Kind::EventStream | Kind::WebSocket, end) => {
            if !has_begun && let Some(head) = head(following, Begun::No, step) {
                send(client, head, step);
            }
            let (code, status) = match end {
                End::Deleted => (4410, "410 Gone"),
                End::Displaced => (4409, "409 Conflict"),
                End::NothingNew | End::Shutdown => (1001, STOPS),
            };
            end_begun(client, (Why::of(end), code, status), step);
        }
    }
}

/// Answers a poll, or a stream that does not begin.
fn answer_ended(client: &mut Client, end: End, cursor: Cursor, step: &mut Step<'_>) {
    if let Some(following) = take(client, Why::of(end), step) {
        let (status, payload) = ended(&following.reply, end, cursor, step.renderer);
        respond(client, following.reply.persistence, status, payload, step);
    }
}

/// Ends a request whose user's access was taken back.
pub(in crate::relay) fn end_revoked(client: &mut Client, step: &mut Step<'_>) {
    if client.phase.is_stream() {
        return end_begun(client, REVOKED, step);
    }
    let mut reply = match client.enter_for(Phase::IDLE, Why::Revoked, step) {
        Phase::AwaitingStore(asked) => asked.reply,
        Phase::Waiting { reply, .. } => reply,
        Phase::Following(following) => following.reply,
        _ => return client.close(step),
    };
    if step.effects.stopping {
        reply.persistence = Persistence::Close;
    }
    let Refusal { status, lines, text, .. } = Fault::Revoked.refusal();
    let payload = step.renderer.text(&reply, status, &lines, text);
    respond(client, reply.persistence, status, payload, step);
}
