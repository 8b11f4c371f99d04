//! Events: answers whoever asks what has happened, at once or when something has. Records nothing.

use super::listening::Listening;
use super::responding::resume_behind_hold;
use super::telling::{JSON, refuse, store_names, tell};
use super::{Client, ConnTimer, Phase};
use crate::http::RequestHead;
use crate::relay::render::{Persistence, Reply};
use crate::relay::request::events::EventsQuestion;
use crate::relay::step::Step;

/// Requests that may wait for events at a time: each of them is woken four times a second.
const READERS_MAX: usize = 16;

/// Serves a request of somebody who is trusted.
pub(super) fn serve(
    client: &mut Client,
    reply: Reply,
    head: &RequestHead<'_>,
    step: &mut Step<'_>,
) {
    let EventsQuestion { after, wait_s } = match EventsQuestion::of(head.query) {
        Ok(question) => question,
        Err(text) => return refuse(client, &reply, 400, text, step),
    };
    if wait_s == 0 || has_news(after, step) {
        return answer(client, &reply, after, step);
    }
    if step.effects.event_readers >= READERS_MAX {
        let text = "as many pages as may wait for events at a time do; close one, or ask with \
                    wait=0";
        return refuse(client, &reply, 503, text, step);
    }
    let until_ms = step.now.mono_ms + wait_s * 1000;
    client.enter(Phase::Listening(Box::new(Listening { reply, after, until_ms })), step);
    client.arm(ConnTimer::Events, step);
    resume_behind_hold(client, step);
}

/// Whether there is an event behind this one, or another process has counted them.
fn has_news(after: u64, step: &Step<'_>) -> bool {
    step.effects.recorder.as_ref().is_none_or(|recorder| recorder.newest() != after)
}

/// The time of a request that waits has come to look: answers it if there is something, or its time
/// is up.
pub(super) fn woken(client: &mut Client, step: &mut Step<'_>) {
    let Phase::Listening(listening) = &client.phase else { return };
    let is_over = step.effects.stopping || step.now.mono_ms >= listening.until_ms;
    if !is_over && !has_news(listening.after, step) {
        return client.arm(ConnTimer::Events, step);
    }
    if let Phase::Listening(listening) = client.enter(Phase::IDLE, step) {
        let Listening { mut reply, after, .. } = *listening;
        if step.effects.stopping {
            reply.persistence = Persistence::Close;
        }
        answer(client, &reply, after, step);
    }
}

fn answer(client: &mut Client, reply: &Reply, after: u64, step: &mut Step<'_>) {
    let Some(recorder) = &step.effects.recorder else {
        return refuse(client, reply, 404, "the inspector is off; set inspector", step);
    };
    let body = recorder.json(after, (store_names(reply), &step.effects.instance));
    tell(client, reply, (JSON, &body), step);
}
