//! Responding: sends answers and refusals to a client, and says what becomes of its connection
//! behind them. Never asks the hub.

use std::fmt;

use super::{Client, ConnTimer, Phase};
use crate::http::{HttpError, RequestHead};
use crate::hub::{self, End};
use crate::message::Cursor;
use crate::relay::output::Output;
use crate::relay::render::payload::Payload;
use crate::relay::render::{Persistence, Renderer, Reply};
use crate::relay::request::refusal::{Concern, Refusal};
use crate::relay::step::Step;
use crate::relay::timers::LINGER_ALL_MS;

/// Its socket takes everything again. What is proxied, and streams, go on by themselves.
pub(in crate::relay) fn drained(client: &mut Client, step: &mut Step<'_>) {
    client.stalled = false;
    match client.phase {
        Phase::Head { .. } => client.await_request(step),
        Phase::Body(_) => {
            client.arm_body(step);
            client.go_on_later(step);
        }
        Phase::Lingering { .. } => client.linger_from_now(step),
        Phase::AwaitingStore(_) => client.arm(ConnTimer::Store, step),
        Phase::AwaitingHub { .. } | Phase::Waiting { .. } | Phase::Closing => {
            client.disarm(step.effects);
        }
        // `streaming::drained` goes on.
        Phase::Following(_) | Phase::Proxied(_) => {}
    }
    resume_behind_hold(client, step);
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

/// Status, further header lines and text of the answer.
pub(super) fn words(refusal: hub::Refusal) -> (u16, &'static [u8], &'static str) {
    let lines: &[u8] = match refusal {
        hub::Refusal::Away => b"Retry-After: 1\r\n",
        _ => b"",
    };
    let (status, text) = match refusal {
        hub::Refusal::Channels => {
            (503, "too many channels; try again later, or raise limits.channels")
        }
        hub::Refusal::Subscribers => (403, "the channel has max_subscribers subscribers"),
        hub::Refusal::MessageSize => {
            (413, "the message alone exceeds what its store takes (max_memory); send less")
        }
        hub::Refusal::NotWritten => {
            (507, "the store's disk is full or broken; nothing was done, and the log says more")
        }
        hub::Refusal::Busy => {
            (503, "too much waits to be written to the store's disk; try again later")
        }
        hub::Refusal::Away => (
            503,
            "the store's Redis is away or refuses this; nothing was done, and the log says more",
        ),
        hub::Refusal::OutOfMemory => {
            (507, "Redis has no memory left; nothing was done: raise its maxmemory")
        }
    };
    (status, lines, text)
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
    warn_of_refusal(reply, refusal, head, step);
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

/// Logs a refusal that the operator may not have meant.
pub(super) fn warn_of_refusal(
    reply: &Reply,
    refusal: &Refusal,
    head: &RequestHead<'_>,
    step: &mut Step<'_>,
) {
    match refusal.concern {
        Some(Concern::Origin) => warn_of_origin(reply, head, step),
        Some(Concern::Host) => {
            if let Some(times) = step.site.hosts.refusals.note(step.now.mono_ms) {
                log::warn!(
                    "event=host_refused host=\"{}\" times={times} cause=\"it is no name of this \
                     machine, nor in the setting hosts\"",
                    shown(head.host)
                );
            }
        }
        Some(Concern::Token(fault)) => *fault.figure(&mut step.effects.figures) += 1,
        None => {}
    }
}

/// Logs a request from an origin that its location does not list: the browser keeps the answer
/// from the page, or the page may not publish. Neither says why.
pub(super) fn warn_of_origin(reply: &Reply, head: &RequestHead<'_>, step: &mut Step<'_>) {
    if let Some(location) = &reply.location
        && !location.admits(reply.origin)
        && let Some(origin) = head.header("Origin")
        && let Some(times) = step.site.routes.foreign_origins.note(step.now.mono_ms)
    {
        let (origin, allowed) = (shown(origin), location.shown_origins());
        let role = location.role.name();
        log::warn!(
            "event=origin_not_listed origin=\"{origin}\" allowed=\"{allowed}\" \
             location={role} times={times} \
             cause=\"the location's allow_origin does not list it\""
        );
    }
}

/// A host or an origin as a log line shows it.
fn shown(name: &[u8]) -> impl fmt::Display {
    name[..name.len().min(NAME_BYTES_SHOWN)].escape_ascii()
}

/// Of a host or an origin in the log; a name has at most 253.
const NAME_BYTES_SHOWN: usize = 280;
