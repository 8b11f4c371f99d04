//! Acknowledging: answers publishers whose messages are published, at once or when a subscriber is
//! sent it, as `Prefer: wait=N` asks (RFC 7240 4.3). Never looks at a subscriber.

use super::awaited::Awaited;
use super::responding::respond;
use super::{Client, ConnTimer, Phase};
use crate::hub::Information;
use crate::message::{Message, MessageId};
use crate::relay::effects::Effects;
use crate::relay::render::{Persistence, Reply};
use crate::relay::step::Step;
use crate::relay::unsent::Place;

/// Answers a publisher whose message is published: at once, or when a subscriber is sent it or its
/// time is up. `waiting`: some are sent it now.
pub(super) fn published(
    client: &mut Client,
    mut reply: Reply,
    (place, waiting): (MessageId, bool),
    information: Information,
    step: &mut Step<'_>,
) {
    let location = reply.location.as_ref().filter(|_| reply.wait_s > 0 && !waiting);
    if let Some(location) = location {
        let place = (location.store, place);
        let is_full = step.effects.unsent.len() >= step.site.limits.waiting_publishers;
        if !is_full && !client.ended && !step.effects.stopping {
            let wait_s = reply.wait_s;
            let until_ms = step.now.mono_ms + u64::from(wait_s) * 1000;
            step.effects.unsent.wait(place, step.conn);
            let awaited = Awaited { reply, information, place, until_ms };
            client.enter(Phase::AwaitingSubscriber(Box::new(awaited)), step);
            return client.arm_in(ConnTimer::Sent, u64::from(wait_s) * 1000, step);
        }
        // It is answered as if it had not asked for that.
        reply.wait_s = 0;
    }
    let status = if waiting { 201 } else { 202 };
    let payload = step.renderer.information(&reply, status, &information);
    respond(client, reply.persistence, status, payload, step);
}

/// A subscriber is sent a message, as an answer of this reply; its publisher may wait for that.
pub(super) fn note_sent(reply: &Reply, message: &Message, effects: &mut Effects) {
    if !effects.unsent.is_empty()
        && let Some(location) = &reply.location
    {
        effects.unsent.note_sent((location.store, message.place()));
    }
}

/// A subscriber was sent this message.
pub(in crate::relay) fn sent(client: &mut Client, place: Place, step: &mut Step<'_>) {
    if matches!(&client.phase, Phase::AwaitingSubscriber(awaited) if awaited.place == place) {
        answer(client, step);
    }
}

/// Answers a publisher that waits: its message was sent, or it waits no longer.
pub(in crate::relay) fn answer(client: &mut Client, step: &mut Step<'_>) {
    let Phase::AwaitingSubscriber(awaited) = &client.phase else { return };
    let status = if step.effects.unsent.leave(awaited.place) { 202 } else { 201 };
    if let Phase::AwaitingSubscriber(awaited) = client.enter(Phase::IDLE, step) {
        let Awaited { mut reply, information, .. } = *awaited;
        if step.effects.stopping {
            reply.persistence = Persistence::Close;
        }
        let payload = step.renderer.information(&reply, status, &information);
        respond(client, reply.persistence, status, payload, step);
    }
}
