//! Answering: from the hub's answers, and from refusals, to what a client is sent, and what becomes
//! of its connection behind that.

use std::fmt;

use super::phase::StoreAsked;
use super::{Client, Phase};
use crate::clock::Now;
use crate::http::{HttpError, RequestHead};
use crate::hub::{self, End, Hold, Hub};
use crate::relay::output::Output;
use crate::relay::render::payload::Payload;
use crate::relay::render::{Persistence, Reply};
use crate::relay::request::refusal::{Concern, Refusal};
use crate::relay::step::Step;
use crate::relay::timers::ConnTimer;
use crate::store::{Gap, Ticket};

/// Passes on what the hub answers.
pub(in crate::relay) fn answer(client: &mut Client, output: hub::Output, step: &mut Step<'_>) {
    use hub::Output as O;
    match output {
        O::Held { hold, .. } => return held(client, hold, step),
        O::Asked { ticket, .. } => return await_store(client, ticket, step),
        _ => {}
    }
    let Some((reply, held)) = take_reply(client, step) else { return };
    let (status, payload) = match output {
        O::Published { waiting, information, .. } => {
            let status = if waiting { 201 } else { 202 };
            (status, step.renderer.information(&reply, status, &information))
        }
        O::Exists { information, .. } | O::Deleted { information, .. } => {
            (200, step.renderer.information(&reply, 200, &information))
        }
        O::Missing { .. } => {
            let text = "there is no such channel, and this request does not create it";
            (404, step.renderer.text(&reply, 404, b"", text))
        }
        O::Refused { refusal, .. } => {
            let (status, text) = words(refusal);
            (status, step.renderer.text(&reply, status, b"", text))
        }
        O::Deliver { message, gap, many_waited, .. } => {
            step.effects.figures.delivered += 1;
            step.effects.figures.gaps += u64::from(gap != Gap::NONE);
            let payload = if held && gap == Gap::NONE {
                step.renderer.shared_delivery(&reply, &message)
            } else {
                step.renderer.delivery(&reply, &message, gap)
            };
            return send(client, many_waited, reply.persistence, 200, payload, step);
        }
        O::Ended { end, cursor, .. } => match end {
            End::NothingNew | End::Shutdown => (304, step.renderer.nothing_new(&reply, cursor)),
            End::Deleted => {
                let text = "the channel was deleted";
                (410, step.renderer.text(&reply, 410, b"", text))
            }
            End::Displaced => {
                let text = "another subscriber has the one place of this channel";
                (409, step.renderer.text(&reply, 409, b"", text))
            }
        },
        O::Held { .. } | O::Asked { .. } | O::Feed { .. } | O::Readable { .. } => return,
    };
    respond(client, reply.persistence, status, payload, step);
}

fn words(refusal: hub::Refusal) -> (u16, &'static str) {
    match refusal {
        hub::Refusal::Channels => {
            (503, "too many channels; try again later, or raise limits.channels")
        }
        hub::Refusal::Subscribers => (403, "the channel has max_subscribers subscribers"),
        hub::Refusal::MessageSize => {
            (413, "the message alone exceeds the store's max_memory; send less")
        }
    }
}

fn held(client: &mut Client, hold: Hold, step: &mut Step<'_>) {
    if client.ended || !client.phase.is_unanswered() {
        // The peer left before the answer came.
        step.hub.unsubscribe(hold, step.now);
        return client.close(step);
    }
    if let Hold::Poll(subscription) = hold {
        client.enter_hold(subscription, step);
    }
    resume_behind_hold(client, step);
}

/// Reads on, where reading paused before the request was held: behind a held one it never does.
pub(in crate::relay) fn resume_behind_hold(client: &mut Client, step: &mut Step<'_>) {
    if client.paused && matches!(client.phase, Phase::Waiting { .. }) {
        client.queue(step);
        client.end_flooded(step);
    }
}

/// Gives an answer back to the hub: its client is gone.
pub(in crate::relay) fn decline(output: &hub::Output, hub: &mut Hub, now: Now) {
    match output {
        hub::Output::Held { hold, .. } => hub.unsubscribe(*hold, now),
        hub::Output::Asked { ticket, .. } => hub.abandon(*ticket),
        _ => {}
    }
}

fn await_store(client: &mut Client, ticket: Ticket, step: &mut Step<'_>) {
    if !matches!(client.phase, Phase::AwaitingHub { .. }) {
        return step.hub.abandon(ticket);
    }
    if let Phase::AwaitingHub { reply, notice } = client.enter_answered(Phase::IDLE, step) {
        let asked = StoreAsked { reply, notice, ticket };
        client.enter_answered(Phase::AwaitingStore(Box::new(asked)), step);
        client.arm(ConnTimer::Store, step);
    }
}

/// Waits for a store no longer. Its answer may still come, so the connection ends: a late answer
/// must not be taken for that of a later request.
pub(in crate::relay) fn store_timed_out(client: &mut Client, step: &mut Step<'_>) {
    if !matches!(client.phase, Phase::AwaitingStore(_)) {
        return;
    }
    let Phase::AwaitingStore(asked) = client.enter(Phase::IDLE, step) else { return };
    let reply = Reply { persistence: Persistence::Close, ..asked.reply };
    let text = "the store does not answer; try again later";
    let payload = step.renderer.text(&reply, 503, b"", text);
    respond(client, Persistence::Close, 503, payload, step);
}

/// Takes the reply that the hub has answered, and whether it was held.
fn take_reply(client: &mut Client, step: &mut Step<'_>) -> Option<(Reply, bool)> {
    if !client.phase.is_unanswered() && !matches!(client.phase, Phase::Waiting { .. }) {
        return None;
    }
    let (mut reply, held) = match client.enter_answered(Phase::IDLE, step) {
        Phase::AwaitingHub { reply, .. } => (reply, false),
        Phase::AwaitingStore(asked) => (asked.reply, false),
        Phase::Waiting { reply, .. } => (reply, true),
        _ => return None,
    };
    if step.effects.stopping {
        reply.persistence = Persistence::Close;
    }
    Some((reply, held))
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

fn send(
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
    client.linger(step);
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
