//! Responding: sends answers and refusals to a client, and says what becomes of its connection
//! behind them. Never asks the hub.

use std::fmt;

use super::{Client, ConnTimer, Phase, recording};
use crate::http::{HttpError, RequestHead};
use crate::hub::End;
use crate::message::Cursor;
use crate::relay::output::Output;
use crate::relay::render::payload::Payload;
use crate::relay::render::{Persistence, Renderer, Reply};
use crate::relay::request::refusal::Refusal;
use crate::relay::step::Step;
use crate::relay::timers::LINGER_ALL_MS;

/// Its socket takes everything again. What is proxied, and streams, go on by themselves.
pub(in crate::relay) fn drained(client: &mut Client, step: &mut Step<'_>) {
    client.stalled = false;
    match client.phase {
        Phase::Head { .. } => client.await_request(step),
        Phase::Body(_) => {
            arm_body(client, step);
            client.go_on_later(step);
        }
        Phase::Lingering { .. } => client.linger_from_now(step),
        Phase::AwaitingStore(_) => client.arm(ConnTimer::Store, step),
        Phase::Listening(_) => client.arm(ConnTimer::Events, step),
        Phase::AwaitingSubscriber(ref awaited) => {
            client.arm_in(ConnTimer::Sent, awaited.left_ms(step.now), step);
        }
        Phase::AwaitingHub { .. } | Phase::Waiting { .. } | Phase::Closing => {
            client.disarm(step.effects);
        }
        // `streaming::drained` goes on.
        Phase::Following(_) | Phase::Proxied(_) => {}
    }
    resume_behind_hold(client, step);
}

/// Gives a body that is coming some time to come on.
pub(super) fn arm_body(client: &mut Client, step: &mut Step<'_>) {
    let is_stopping = matches!(client.timer, Some((_, ConnTimer::Stop)));
    if !is_stopping && !client.stalled {
        client.arm(if step.effects.stopping { ConnTimer::Stop } else { ConnTimer::Body }, step);
    }
}

/// Reads on, where reading paused before the request was held: behind a held one it never does.
pub(super) fn resume_behind_hold(client: &mut Client, step: &mut Step<'_>) {
    if client.paused && client.phase.is_held() {
        client.queue(step);
        client.end_flooded(step);
    }
}

/// The answer where there is no such channel; `id`: of several the first that is missing.
pub(super) fn missing(reply: &Reply, id: Option<&[u8]>, step: &Step<'_>) -> (u16, Payload) {
    let text = match id {
        None => "there is no such channel, and this request does not create it".to_owned(),
        Some(id) => {
            format!("there is no channel \"{}\", and this request does not create it", shown(id))
        }
    };
    (404, step.renderer.text(reply, 404, b"", &text))
}

/// The answer to a request that the hub has ended without a message.
pub(super) fn ended(
    reply: &Reply,
    end: End,
    cursor: Cursor,
    renderer: &Renderer,
) -> (u16, Payload) {
    let (status, text) = match end {
        End::NothingNew | End::Shutdown => return (304, renderer.nothing_new(reply, cursor)),
        End::Deleted => (410, "the channel was deleted"),
        End::Displaced => (409, "another subscriber has the one place of this channel"),
    };
    (status, renderer.text(reply, status, b"", text))
}

/// Sends the answer to a request whose body was consumed.
pub(in crate::relay) fn respond(
    client: &mut Client,
    persistence: Persistence,
    status: u16,
    payload: Payload,
    step: &mut Step<'_>,
) {
    send(client, None, persistence, status, payload, step);
}

/// As [`respond`], to a client that `many_waited` with, if it waited.
pub(super) fn send(
    client: &mut Client,
    many_waited: Option<bool>,
    persistence: Persistence,
    status: u16,
    payload: Payload,
    step: &mut Step<'_>,
) {
    client.access.log(client.arrival.peer, status);
    step.effects.figures.count_answer(status);
    step.effects.answered += payload.len() as u64;
    step.effects.outputs.push_back(Output::Send { conn: step.conn, payload, many_waited });
    if persistence == Persistence::Close {
        client.close(step);
    } else {
        client.await_request(step);
    }
}

/// Refuses a request whose body is complete.
pub(super) fn refuse_whole(
    client: &mut Client,
    reply: &Reply,
    refusal: &Refusal,
    head: &RequestHead<'_>,
    step: &mut Step<'_>,
) {
    recording::refuses(client, reply, refusal, head, step);
    let Refusal { status, lines, text, .. } = refusal;
    let payload = step.renderer.text(reply, *status, lines, text);
    respond(client, reply.persistence, *status, payload, step);
}

/// Answers what cannot be read as a request, and lets the connection end. `is_head`: it could be
/// read as far as that, so there is no body.
pub(in crate::relay) fn fail(
    client: &mut Client,
    error: &HttpError,
    is_head: bool,
    step: &mut Step<'_>,
) {
    let reply = Reply::bare(Persistence::Close, is_head);
    let payload = step.renderer.text(&reply, error.status, b"", &error.message);
    refuse_and_linger(client, error.status, payload, step);
}

/// Sends an answer that ends the connection, though the client may still be sending.
pub(in crate::relay) fn refuse_and_linger(
    client: &mut Client,
    status: u16,
    payload: Payload,
    step: &mut Step<'_>,
) {
    client.access.log(client.arrival.peer, status);
    step.effects.figures.count_answer(status);
    step.effects.send(step.conn, payload);
    client.linger(LINGER_ALL_MS, step);
}

/// A name as an answer shows it.
fn shown(name: &[u8]) -> impl fmt::Display {
    name[..name.len().min(NAME_BYTES_SHOWN)].escape_ascii()
}

/// Of a channel's id in an answer.
const NAME_BYTES_SHOWN: usize = 280;
