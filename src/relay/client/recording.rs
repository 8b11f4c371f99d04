//! Recording: notes what becomes of requests, where a location shows it; and says of refusals what
//! to do about them, there and in the log. Changes nothing.

use std::net::IpAddr;

use super::access::shown_peer;
use super::following::Kind;
use super::why::Why;
use super::words::words;
use super::{Client, Phase};
use crate::http::RequestHead;
use crate::hub::{self, ChannelName, Due, End, Publish, SubscriptionKey};
use crate::message::Delivery;
use crate::relay::advice::{self, Advice};
use crate::relay::cause::Cause;
use crate::relay::location::Location;
use crate::relay::recorder::{Asking, By, NO_LOCATION, Refused, Transport};
use crate::relay::render::Reply;
use crate::relay::request::admission::{Admitted, Question, Receiving, Subscribing};
use crate::relay::request::content::content;
use crate::relay::request::identity::Identity;
use crate::relay::request::refusal::{Concern, Refusal};
use crate::relay::step::Step;

/// A request is let in: what becomes of it, its store may say later.
pub(super) fn asks(
    client: &Client,
    (head, body): (&RequestHead<'_>, &[u8]),
    admitted: &Admitted<'_>,
    step: &mut Step<'_>,
) {
    let Step { effects, names, conn, .. } = step;
    let Some(recorder) = &mut effects.recorder else { return };
    let Admitted::Channel(location, question) = admitted else { return };
    let from = client.arrival.peer;
    let identity = match question {
        Question::Subscribe(subscribing) => subscribing.identity.clone(),
        _ => None,
    };
    // Where members are kept, one of whom nothing is known is the connection.
    let connection = || location.attended.as_ref().map(|_| Identity::connection(*conn));
    let identity = identity.or_else(connection);
    let member = identity.as_ref().map_or("", |identity| identity.text());
    recorder.asks(&Asking { conn: *conn, from, head: Some(head), member }, names.iter());
    match question {
        Question::Publish(options) => {
            recorder.publishes(&content(head, body.into()), options.store_messages, By::Publisher);
        }
        Question::Subscribe(subscribing @ Subscribing { options, receiving, .. }) => {
            let transport = match receiving {
                Receiving::WebSocket { .. } => Transport::WebSocket,
                Receiving::EventStream => Transport::EventSource,
                Receiving::Poll if options.delivery == Delivery::IntervalPoll => {
                    Transport::Interval
                }
                Receiving::Poll => Transport::Poll,
            };
            recorder.subscribes(subscribing.begins(), transport);
        }
        _ => {}
    }
}

/// A message is published by what came in no request of its own.
pub(super) fn publishes(
    from: Option<IpAddr>,
    by: By,
    name: &ChannelName<'_>,
    publish: &Publish<'_>,
    step: &mut Step<'_>,
) {
    if let Some(recorder) = &mut step.effects.recorder {
        let asking = Asking { conn: step.conn, from, head: None, member: "" };
        recorder.asks(&asking, std::iter::once(name.name));
        recorder.publishes(&publish.content, publish.store, by);
    }
}

/// A poll is held (`Some`), or a request that follows channels.
#[inline]
pub(super) fn held(poll: Option<SubscriptionKey>, step: &mut Step<'_>) {
    let Step { effects, hub, conn, now, .. } = step;
    if let Some(recorder) = &mut effects.recorder {
        // It is one lookup by a key, where that by a name takes as long as all the rest.
        let shared = |name: &[u8]| match poll {
            Some(poll) => hub.name_of_poll(poll),
            None => hub.shared_name(name),
        };
        recorder.holds(*conn, shared, *now);
    }
}

/// The hub has answered. To be noted before the client's phase changes.
pub(super) fn answered(client: &Client, output: &hub::Output, step: &mut Step<'_>) {
    use hub::Output as O;
    match output {
        O::Asked { .. } => {
            if let Some(recorder) = &mut step.effects.recorder {
                recorder.defer(step.conn);
            }
        }
        O::Deliver { message, .. } => {
            if let Some(recorder) = &mut step.effects.recorder {
                let (conn, id) = (step.conn, message.id());
                if !recorder.ends(conn, Why::Message, Some((id, b"")), step.now) {
                    let behind = step.hub.behind(recorder.asked_name(conn), message.sequence);
                    let client = (conn, client.arrival.peer);
                    recorder.answers(client, None, (id, behind), step.now);
                }
            }
        }
        O::Feed { due, .. } if is_poll(client) => {
            let given = (due.message.id(), &*due.name);
            let ended = step.effects.recorder.as_mut().is_some_and(|recorder| {
                recorder.ends(step.conn, Why::Message, Some(given), step.now)
            });
            if !ended {
                read(client.arrival.peer, due, step);
            }
        }
        O::Ended { end: End::Displaced, .. } => {
            let location = location(client);
            let text = "another subscriber has the one place of this channel";
            refused(client, 409, text, &advice::displaced(location), step);
        }
        O::Missing { .. } => {
            let (location, text) = (location(client), "there is no such channel");
            let is_post = location.is_some_and(|location| location.role.subscriber().is_none());
            refused(client, 404, text, &advice::missing(is_post, location), step);
        }
        O::Refused { refusal, .. } => {
            let location = location(client);
            let (status, _, text) = words(*refusal);
            refused(client, status, text, &advice::of_hub(*refusal, location), step);
        }
        _ => {}
    }
}

fn is_poll(client: &Client) -> bool {
    matches!(&client.phase, Phase::Following(following) if following.kind() == Kind::Poll)
}

/// A request, or a stream that is behind, is given a message that was there.
pub(super) fn read(from: Option<IpAddr>, due: &Due, step: &mut Step<'_>) {
    if let Some(recorder) = &mut step.effects.recorder {
        let behind = step.hub.behind(&due.name, due.message.sequence);
        let given = (due.message.id(), behind);
        recorder.answers((step.conn, from), Some(&due.name), given, step.now);
    }
}

/// The location of the request at hand, which the hub was asked for.
fn location(client: &Client) -> Option<&Location> {
    let reply = match &client.phase {
        Phase::AwaitingHub { reply, .. } | Phase::Waiting { reply, .. } => reply,
        Phase::AwaitingStore(asked) => &asked.reply,
        Phase::Following(following) => &following.reply,
        _ => return None,
    };
    reply.location.as_deref()
}

/// A request that the hub was asked for is refused.
fn refused(client: &Client, status: u16, text: &str, advice: &Advice, step: &mut Step<'_>) {
    let from = client.arrival.peer;
    let location = location(client);
    log(status, advice, step);
    let location = location.map_or(NO_LOCATION, |location| location.place);
    if let Some(recorder) = &mut step.effects.recorder {
        let (why, fix) = (advice.cause.word(), &*advice.fix);
        let refused = Refused { status, why, text, fix, location };
        recorder.refuses_asked((step.conn, from), &refused, step.now);
    }
}

/// A request is refused before the hub was asked.
pub(super) fn refuses(
    client: &Client,
    reply: &Reply,
    refusal: &Refusal,
    head: &RequestHead<'_>,
    step: &mut Step<'_>,
) {
    if let Concern::Token(fault) = refusal.concern {
        *fault.figure(&mut step.effects.figures) += 1;
    }
    // To find the nearest location takes time, which nobody may need.
    if refusal.concern == Concern::NoLocation
        && step.effects.recorder.is_none()
        && step.effects.refusals.is_held_back(Cause::NoLocation, step.now.mono_ms)
    {
        return;
    }
    let location = reply.location.as_deref();
    let peer = shown_peer(client.arrival.peer);
    let advice = advice::of(refusal, head, &peer, location, &step.site.routes);
    match refusal.concern {
        Concern::Host => log_host(head.host, &advice, step),
        Concern::Origin => log_origin(head, location, &advice, step),
        _ => log(refusal.status, &advice, step),
    }
    note(client, head, (refusal.status, refusal.text), &advice, location, step);
}

/// A request that cannot be read, or is more than the limits allow.
pub(super) fn fails(
    client: &Client,
    head: &RequestHead<'_>,
    (status, text): (u16, &str),
    reply: &Reply,
    step: &mut Step<'_>,
) {
    let advice = advice::of_error(status, text);
    log(status, &advice, step);
    note(client, head, (status, text), &advice, reply.location.as_deref(), step);
}

/// Notes a request from an origin that its location does not list, though it is answered: the
/// browser keeps the answer from the page, and does not say why.
pub(super) fn origin(client: &Client, reply: &Reply, head: &RequestHead<'_>, step: &mut Step<'_>) {
    if let Some(location) = reply.location.as_deref()
        && !location.role.is_status()
        && !location.admits(reply.origin)
        && let Some(origin) = head.header("Origin")
    {
        let advice = advice::origin(origin, Some(location));
        log_origin(head, Some(location), &advice, step);
        let text = "answered, but without Access-Control-Allow-Origin: its browser keeps it from \
                    the page";
        note(client, head, (200, text), &advice, Some(location), step);
    }
}

fn note(
    client: &Client,
    head: &RequestHead<'_>,
    (status, text): (u16, &str),
    advice: &Advice,
    location: Option<&Location>,
    step: &mut Step<'_>,
) {
    let Step { effects, names, conn, now, .. } = step;
    let Some(recorder) = &mut effects.recorder else { return };
    let asking = Asking { conn: *conn, from: client.arrival.peer, head: Some(head), member: "" };
    let (why, fix) = (advice.cause.word(), &*advice.fix);
    let place = location.map_or(NO_LOCATION, |location| location.place);
    let refused = Refused { status, why, text, fix, location: place };
    // Those of the request before would be the names of one that is at no location.
    let name = location.filter(|location| !location.role.is_status()).map(|_| names.first());
    recorder.refuses(&asking, name, &refused, *now);
}

/// Logs a refusal that the operator may not have meant.
fn log(status: u16, advice: &Advice, step: &mut Step<'_>) {
    let Advice { cause, fix } = advice;
    if *cause != Cause::Request
        && let Some(times) = step.effects.refusals.note(*cause, step.now.mono_ms)
    {
        let why = cause.word();
        log::info!("event=refused why={why} status={status} times={times} fix={fix:?}");
    }
}

fn log_host(host: &[u8], Advice { cause, fix }: &Advice, step: &mut Step<'_>) {
    if let Some(times) = step.effects.refusals.note(*cause, step.now.mono_ms) {
        let host = shown(host);
        log::warn!(
            "event=host_refused host=\"{host}\" times={times} fix={fix:?} cause=\"it is no name \
             of this machine, nor in the setting hosts\""
        );
    }
}

fn log_origin(
    head: &RequestHead<'_>,
    location: Option<&Location>,
    Advice { cause, fix }: &Advice,
    step: &mut Step<'_>,
) {
    let Some(location) = location else { return };
    if let Some(times) = step.effects.refusals.note(*cause, step.now.mono_ms) {
        let origin = shown(head.header("Origin").unwrap_or_default());
        let (allowed, role) = (location.shown_origins(), location.role.name());
        log::warn!(
            "event=origin_not_listed origin=\"{origin}\" allowed=\"{allowed}\" \
             location={role} times={times} fix={fix:?}"
        );
    }
}

/// A host or an origin as a log line shows it.
fn shown(name: &[u8]) -> impl std::fmt::Display {
    name[..name.len().min(NAME_BYTES_SHOWN)].escape_ascii()
}

/// Of a host or an origin in the log, which has it twice.
const NAME_BYTES_SHOWN: usize = 160;
