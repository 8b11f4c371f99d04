//! Status: answers what a status location is asked, or has `net` say what only it knows.

mod channel_list;
mod overview;

use super::answering::take_reply;
use super::responding::respond;
use super::telling::{JSON, refuse, store_names, tell};
use super::why::Why;
use super::{Client, Phase, events, recording};
use crate::figures::Figures;
use crate::figures::metrics::{self, Metrics};
use crate::http::RequestHead;
use crate::http::response::TEXT;
use crate::hub::{ChannelName, Peer, Publish};
use crate::message::Content;
use crate::parts;
use crate::relay::exhibit::Exhibit;
use crate::relay::inspector;
use crate::relay::options::StatusOptions;
use crate::relay::output::Output;
use crate::relay::recorder::By;
use crate::relay::render::Reply;
use crate::relay::request::accept::ranges;
use crate::relay::request::presence::{WhoIsThere, Whose};
use crate::relay::request::publish::PublishForm;
use crate::relay::request::revoke::Revoke;
use crate::relay::request::status::StatusQuestion;
use crate::relay::status_name::StatusName;
use crate::relay::step::Step;

/// Media type of the page.
const HTML: &[u8] = b"text/html; charset=utf-8";

/// Serves a request that may be asked, whose body is complete.
pub(super) fn serve(
    client: &mut Client,
    reply: Reply,
    (options, question): (&StatusOptions, StatusQuestion),
    (head, body): (&RequestHead<'_>, &[u8]),
    step: &mut Step<'_>,
) {
    match question.name {
        StatusName::Healthz => tell(client, &reply, (TEXT, b"ok\n"), step),
        StatusName::Readyz => await_figures(client, reply, Exhibit::Readiness, step),
        StatusName::Metrics => {
            let is_open = wants(head, b"application/openmetrics-text");
            await_figures(client, reply, Exhibit::Metrics { is_open }, step);
        }
        StatusName::Status if wants(head, b"application/json") => {
            let exhibit = Exhibit::Json { with_locations: question.is_trusted };
            await_figures(client, reply, exhibit, step);
        }
        StatusName::Status => await_figures(client, reply, Exhibit::Lines, step),
        StatusName::Channels => channel_list::list(client, &reply, options, head, step),
        StatusName::Revoke => revoke(client, &reply, options, (head, body), step),
        StatusName::Presence => who_is_there(client, &reply, options, head, step),
        StatusName::Page | StatusName::Events | StatusName::Publish
            if !(parts::INSPECTOR && options.inspector) =>
        {
            refuse(client, &reply, 404, "the inspector is off; set the location's inspector", step);
        }
        StatusName::Page => {
            let (lines, page) = (&inspector::LINES, inspector::PAGE.as_bytes());
            let payload = step.renderer.whole(&reply, (200, lines), HTML, page);
            respond(client, reply.persistence, 200, payload, step);
        }
        StatusName::Events => events::serve(client, reply, head, step),
        StatusName::Publish => publish(client, reply, (head, body), step),
    }
}

/// Publishes as a publisher's POST would, and answers so.
fn publish(
    client: &mut Client,
    reply: Reply,
    (head, body): (&RequestHead<'_>, &[u8]),
    step: &mut Step<'_>,
) {
    let form = match PublishForm::of(head, body, &step.site.routes, &step.site.limits) {
        Ok(form) => form,
        Err(text) => return refuse(client, &reply, 400, &text, step),
    };
    let PublishForm { location, id, content_type, body } = form;
    let Some(options) = location.role.publisher() else { return };
    client.enter(Phase::AwaitingHub { reply, notice: None }, step);
    let content_type = content_type.map(Into::into);
    let publish = Publish {
        content: Content { content_type, event: None, body: body.into() },
        create: options.create_on_post,
        store: options.store_messages,
    };
    let name = [&location.namespace[..], &id].concat();
    let name = ChannelName { store: location.store, name: &name };
    recording::publishes(client.arrival.peer, By::Inspector, &name, &publish, step);
    step.hub.publish(Peer(step.conn.to_bits()), name, publish, step.now);
}

/// Whether a request asks for this media type by its name.
fn wants(head: &RequestHead<'_>, media_type: &[u8]) -> bool {
    ranges(head.header_all("Accept")).any(|name| name.eq_ignore_ascii_case(media_type))
}

/// Has `net` bring together the figures of all layers, which it does within the turn.
fn await_figures(client: &mut Client, reply: Reply, exhibit: Exhibit, step: &mut Step<'_>) {
    client.enter(Phase::AwaitingHub { reply, notice: None }, step);
    step.effects.outputs.push_back(Output::Figures { conn: step.conn, exhibit });
}

/// Answers with figures, if they are still waited for.
pub(in crate::relay) fn show(
    client: &mut Client,
    exhibit: Exhibit,
    figures: &Figures,
    step: &mut Step<'_>,
) {
    let Some(reply) = take_reply(client, Why::Gone, step) else { return };
    match exhibit {
        Exhibit::Readiness if step.effects.stopping => {
            refuse(client, &reply, 503, "stopping", step);
        }
        Exhibit::Readiness if figures.is_paused => {
            let text = "accepting is paused: limit of connections";
            refuse(client, &reply, 503, text, step);
        }
        Exhibit::Readiness => tell(client, &reply, (TEXT, b"ok\n"), step),
        Exhibit::Metrics { is_open } => {
            let text = Metrics { figures, is_open }.to_string();
            let media_type = if is_open { metrics::OPEN_TYPE } else { metrics::TEXT_TYPE };
            tell(client, &reply, (media_type.as_bytes(), text.as_bytes()), step);
        }
        Exhibit::Lines => {
            tell(client, &reply, (TEXT, overview::lines(figures).as_bytes()), step);
        }
        Exhibit::Json { with_locations } => {
            let json = overview::json(figures, (with_locations, store_names(&reply)), step);
            tell(client, &reply, (JSON, json.as_bytes()), step);
        }
    }
}

/// Says who is on a channel, or where a user is.
fn who_is_there(
    client: &mut Client,
    reply: &Reply,
    options: &StatusOptions,
    head: &RequestHead<'_>,
    step: &mut Step<'_>,
) {
    let Some(presence) = &step.effects.presence else {
        let text = "no location has presence, so nobody knows who is there; set it to true";
        return refuse(client, reply, 404, text, step);
    };
    let json = WhoIsThere::of(head, options).map(|WhoIsThere { whose, page }| {
        let page = (page.limit, page.after);
        match &whose {
            Whose::Channel(name) => serde_json::to_vec(&presence.on_channel(name, page)),
            Whose::User(user) => serde_json::to_vec(&presence.of_user(user, page, &options.stores)),
        }
    });
    match json {
        Ok(json) => tell(client, reply, (JSON, &json.unwrap_or_default()), step),
        Err(text) => refuse(client, reply, 400, &text, step),
    }
}

/// Takes access back, and says how many held requests end.
fn revoke(
    client: &mut Client,
    reply: &Reply,
    options: &StatusOptions,
    (head, body): (&RequestHead<'_>, &[u8]),
    step: &mut Step<'_>,
) {
    match Revoke::of(head, body, options, &step.site.limits) {
        Ok(revoke) => {
            let json = format!("{{\"ended\": {}}}", take_back(&revoke, step));
            tell(client, reply, (JSON, json.as_bytes()), step);
        }
        Err(text) => refuse(client, reply, 400, &text, step),
    }
}

/// From now on refuses what was signed for a user, or a session, and has their requests end; gives
/// how many.
fn take_back(Revoke { identity, channel }: &Revoke, step: &mut Step<'_>) -> usize {
    let (limits, channel) = (&step.site.limits, channel.as_deref());
    let revocations = &mut step.site.revocations;
    let most = (limits.token_s, limits.revocations);
    let dropped = revocations.revoke(identity, channel, most, step.now);
    if dropped > 0
        && let Some(times) = revocations.forgotten.note(step.now.mono_ms)
    {
        log::warn!(
            "event=revocation_forgotten times={times} cause=\"limits.revocations is reached\""
        );
    }
    let ended = step.effects.holders.revoke(identity, channel);
    if let Some(presence) = &mut step.effects.presence {
        presence.revoke(identity, channel, step.now);
    }
    step.effects.figures.revocations += 1;
    let scope = if channel.is_some() { "channel" } else { "user" };
    log::info!("event=revoked scope={scope} ended={ended}");
    ended
}
