//! Answering: from the hub's answers, and from refusals, to what a client is sent, and what becomes
//! of its connection behind that.

use std::rc::Rc;

use super::responding::{ended, missing, respond, resume_behind_hold, send};
use super::streaming::{self, begin};
use super::why::Why;
use super::words::words;
use super::{Client, Phase, acknowledging, recording};
use crate::clock::Now;
use crate::hub::{self, Hold, Hub, SubscriptionKey};
use crate::message::Message;
use crate::relay::render::{Persistence, Reply};
use crate::relay::step::Step;
use crate::store::{Gap, Ticket};

/// Passes on what the hub answers.
pub(in crate::relay) fn answer(client: &mut Client, output: hub::Output, step: &mut Step<'_>) {
    use hub::Output as O;
    if step.effects.recorder.is_some() {
        recording::answered(client, &output, step);
    }
    match output {
        O::Held { hold: Hold::Poll(subscription), .. } => return held(client, subscription, step),
        O::Held { hold: Hold::Stream(stream), .. } => return begin(client, stream, step),
        O::Asked { ticket, .. } => return await_store(client, ticket, step),
        O::Deliver { message, gap, many_waited, .. } => {
            return deliver(client, &message, gap, many_waited, step);
        }
        _ => {}
    }
    let why = match &output {
        O::Ended { end, .. } => Why::of(*end),
        _ => Why::Gone,
    };
    let Some(reply) = take_reply(client, why, step) else {
        return streaming::answer(client, output, step);
    };
    let (status, payload) = match output {
        O::Published { place, waiting, information, .. } => {
            return acknowledging::published(client, reply, (place, waiting), information, step);
        }
        O::Exists { information, .. } | O::Deleted { information, .. } => {
            (200, step.renderer.information(&reply, 200, &information))
        }
        O::Missing { .. } => missing(&reply, None, step),
        O::Refused { refusal, .. } => {
            let (status, lines, text) = words(refusal);
            (status, step.renderer.text(&reply, status, lines, text))
        }
        O::Ended { end, cursor, .. } => ended(&reply, end, cursor, step.renderer),
        O::Held { .. }
        | O::Asked { .. }
        | O::Deliver { .. }
        | O::Feed { .. }
        | O::Readable { .. } => return,
    };
    respond(client, reply.persistence, status, payload, step);
}

/// Answers a poll with a message.
fn deliver(
    client: &mut Client,
    message: &Rc<Message>,
    gap: Gap,
    many_waited: Option<bool>,
    step: &mut Step<'_>,
) {
    let Some(reply) = take_reply(client, Why::Message, step) else { return };
    step.effects.figures.delivered += 1;
    step.effects.figures.gaps += u64::from(gap != Gap::NONE);
    acknowledging::note_sent(&reply, message, step.effects);
    // Also where the message was there already: of a crowd that polls again many come just behind
    // the next message.
    let payload = if gap == Gap::NONE {
        step.renderer.shared_delivery(&reply, message)
    } else {
        step.renderer.delivery(&reply, message, gap)
    };
    send(client, many_waited, reply.persistence, 200, payload, step);
}

fn held(client: &mut Client, subscription: SubscriptionKey, step: &mut Step<'_>) {
    if client.ended || !client.phase.is_unanswered() {
        // The peer left before the answer came.
        step.hub.unsubscribe(Hold::Poll(subscription), step.now);
        return client.close(step);
    }
    client.enter_hold(subscription, step);
    recording::held(Some(subscription), step);
    resume_behind_hold(client, step);
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
    match client.phase {
        Phase::AwaitingHub { .. } => {}
        Phase::Following(_) => return streaming::await_store(client, ticket, step),
        _ => return step.hub.abandon(ticket),
    }
    client.enter_asked(ticket, step);
}

/// Waits for a store no longer. Its answer may still come, so the connection ends: a late answer
/// must not be taken for that of a later request.
pub(in crate::relay) fn store_timed_out(client: &mut Client, step: &mut Step<'_>) {
    let reply = match client.phase {
        Phase::AwaitingStore(_) => match client.enter(Phase::IDLE, step) {
            Phase::AwaitingStore(asked) => asked.reply,
            _ => return,
        },
        Phase::Following(ref following) if !following.has_begun() => {
            match client.enter(Phase::IDLE, step) {
                Phase::Following(following) => following.reply,
                _ => return,
            }
        }
        _ => return,
    };
    let reply = Reply { persistence: Persistence::Close, ..reply };
    let text = "the store does not answer; try again later";
    let payload = step.renderer.text(&reply, 503, b"", text);
    respond(client, Persistence::Close, 503, payload, step);
}

/// Takes the reply of the request that is answered now; `why` it ends.
pub(super) fn take_reply(client: &mut Client, why: Why, step: &mut Step<'_>) -> Option<Reply> {
    match client.phase {
        Phase::AwaitingHub { .. } | Phase::AwaitingStore(_) | Phase::Waiting { .. } => {}
        _ => return None,
    }
    let mut reply = match client.enter_answered(Phase::IDLE, why, step) {
        Phase::AwaitingHub { reply, .. } | Phase::Waiting { reply, .. } => reply,
        Phase::AwaitingStore(asked) => asked.reply,
        _ => return None,
    };
    if step.effects.stopping {
        reply.persistence = Persistence::Close;
    }
    Some(reply)
}
