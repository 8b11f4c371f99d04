//! Serving: from a request whose body is complete to what the hub is asked. Answers only what the
//! hub has nothing to say to.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use super::following::{Following, Kind, Ties, WebSocket};
use super::responding::{refuse_whole, respond};
use super::streaming::begin_publisher;
use super::{Client, Phase, recording, status};
use crate::clock::Now;
use crate::http::RequestHead;
use crate::hub::{ChannelName, Hub, Peer, Publish, Subscribe};
use crate::message::{Delivery, First, Order};
use crate::relay::location::{Found, Location};
use crate::relay::notice::{Notice, passed_headers, secret_line};
use crate::relay::options::PublisherOptions;
use crate::relay::presence::{Attendance, Passed, Told};
use crate::relay::render::{Persistence, Reply};
use crate::relay::request::admission::{Admitted, Asked, Question, Receiving, Subscribing, admit};
use crate::relay::request::content::content;
use crate::relay::request::identity::Identity;
use crate::relay::request::pass::Pass;
use crate::relay::request::prefer;
use crate::relay::step::Step;

/// Serves a request whose body is complete. `is_vouched`: the upstream has handed it over.
pub(in crate::relay) fn serve(
    client: &mut Client,
    head: &RequestHead<'_>,
    body: Cow<'_, [u8]>,
    found: Option<&Found<'_>>,
    is_vouched: bool,
    step: &mut Step<'_>,
) {
    client.access.note(head, step.site);
    if let Some((location, _)) = found {
        location.requests.set(location.requests.get() + 1);
    }
    let mut reply = reply(head, found, step);
    let asked = Asked { head, arrival: client.arrival, is_vouched };
    let admitted = match admit(step.site, asked, found, step.names, step.now) {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse_whole(client, &reply, &refusal, head, step),
    };
    recording::origin(client, &reply, head, step);
    if step.effects.recorder.is_some() {
        recording::asks(client, (head, &body), &admitted, step);
    }
    match admitted {
        Admitted::Methods => {
            let payload = step.renderer.options(&reply);
            respond(client, reply.persistence, 204, payload, step);
        }
        Admitted::Status(options, question) => {
            status::serve(client, reply, (options, question), (head, &body), step);
        }
        Admitted::Channel(location, Question::Subscribe(subscribing))
            if !matches!(
                (&subscribing.receiving, location.ids.order()),
                (Receiving::Poll, Order::Channel)
            ) =>
        {
            follow(client, head, (location, subscribing), reply, step);
        }
        Admitted::Channel(_, Question::Open(upgrade, pass)) => {
            let socket = WebSocket::new(upgrade, Some(step.names.first()));
            let ties = Ties { notices: Vec::new(), ends_ms: ends_ms(pass.as_ref(), step.now) };
            let following = Following::new(reply, Kind::WebSocket, Some(socket), ties);
            client.enter(Phase::Following(Box::new(following)), step);
            let user = pass.as_ref().and_then(|pass| pass.user.as_deref());
            tie(client, user.map(Identity::user), step);
            begin_publisher(client, step);
        }
        Admitted::Channel(location, question) => {
            // Of what no store keeps there is nothing to be waited for.
            if let Question::Publish(PublisherOptions { store_messages: true, .. }) = question {
                reply.wait_s = prefer::wait_s(head);
            }
            let notice = notice(client, location, head, question.pass(), step.names.first());
            let has_notice = notice.is_some();
            client.enter(Phase::AwaitingHub { reply, notice }, step);
            client.is_tied = has_notice;
            if let Question::Subscribe(subscribing) = &question {
                tie_subscriber(client, head, location, subscribing, step);
            }
            let name = ChannelName { store: location.store, name: step.names.first() };
            ask(step.hub, Peer(step.conn.to_bits()), name, question, (head, body), step.now);
        }
    }
}

/// Notes whose request it is that has just begun.
fn tie(client: &mut Client, identity: Option<Identity>, step: &mut Step<'_>) {
    if let Some(identity) = identity {
        client.is_tied = true;
        step.effects.holders.enter(identity, step.conn, step.names);
    }
}

/// Notes whose request it is that has just begun, and who is on its channels when it is held.
fn tie_subscriber(
    client: &mut Client,
    head: &RequestHead<'_>,
    location: &Location,
    subscribing: &Subscribing<'_>,
    step: &mut Step<'_>,
) {
    let identity = subscribing.identity.clone();
    if let (Some(attended), Some(presence)) = (&location.attended, &mut step.effects.presence) {
        let told = attended.url.as_ref().map(|url| Told {
            url: Arc::clone(url),
            lines: secret_line(&location.role).into_bytes().into(),
            passed: Rc::new(Passed {
                headers: passed_on(head, location, subscribing.pass.as_ref()),
                peer: client.arrival.peer,
            }),
        });
        let connection = || Identity::connection(step.conn);
        let attendance = Attendance {
            identity: identity.clone().unwrap_or_else(connection),
            names: step.names.iter().map(Into::into).collect(),
            grace_ms: attended.grace_ms,
            told,
        };
        client.is_tied = true;
        presence.expect(step.conn, attendance);
    }
    tie(client, identity, step);
}

/// Asks the hub for a stream, or for a poll of several channels.
fn follow(
    client: &mut Client,
    head: &RequestHead<'_>,
    (location, subscribing): (&Location, Subscribing<'_>),
    reply: Reply,
    step: &mut Step<'_>,
) {
    let mut subscribe = subscribe(&subscribing, step.now);
    let pass = subscribing.pass.as_ref();
    tie_subscriber(client, head, location, &subscribing, step);
    let (kind, socket) = match subscribing.receiving {
        Receiving::Poll => (Kind::Poll, None),
        Receiving::EventStream => (Kind::EventStream, None),
        Receiving::WebSocket { upgrade, publisher } => {
            let channel = publisher.map(|_| step.names.first());
            (Kind::WebSocket, Some(WebSocket::new(upgrade, channel)))
        }
    };
    if kind != Kind::Poll {
        subscribe.delivery = Delivery::Stream;
    }
    let notices = step.names.iter().filter_map(|name| notice(client, location, head, pass, name));
    let ties = Ties { notices: notices.collect(), ends_ms: subscribe.ends_ms };
    let mut following = Following::new(reply, kind, socket, ties);
    following.tells_place = subscribe.first != First::Oldest;
    client.enter(Phase::Following(Box::new(following)), step);
    let (peer, of) = (Peer(step.conn.to_bits()), (location.store, location.ids.order()));
    if step.names.len() == 1 {
        return step.hub.follow(peer, of, &[step.names.first()], subscribe, step.now);
    }
    let names: Vec<&[u8]> = step.names.iter().collect();
    step.hub.follow(peer, of, &names, subscribe, step.now);
}

/// What Django is told of the request, if it will be held.
fn notice(
    client: &Client,
    location: &Location,
    head: &RequestHead<'_>,
    pass: Option<&Pass>,
    name: &[u8],
) -> Option<Arc<Notice>> {
    location.passthrough.as_ref().map(|url| {
        Arc::new(Notice {
            url: Arc::clone(url),
            channel_id: name[location.namespace.len()..].into(),
            headers: passed_on(head, location, pass),
            peer: client.arrival.peer,
        })
    })
}

/// The header lines of a request that Django is told.
fn passed_on(head: &RequestHead<'_>, location: &Location, pass: Option<&Pass>) -> Box<[u8]> {
    let user = pass.and_then(|pass| pass.user.as_deref());
    let shows_bearer = !pass.is_some_and(|pass| pass.is_borne);
    passed_headers(head, &location.role, user, shows_bearer)
}

fn ask(
    hub: &mut Hub,
    peer: Peer,
    name: ChannelName<'_>,
    question: Question<'_>,
    (head, body): (&RequestHead<'_>, Cow<'_, [u8]>),
    now: Now,
) {
    match question {
        Question::Inspect => hub.inspect(peer, name, now),
        Question::Create => hub.create(peer, name, now),
        Question::Delete => hub.delete(peer, name, now),
        Question::Publish(options) => {
            let publish = Publish {
                content: content(head, body),
                create: options.create_on_post,
                store: options.store_messages,
            };
            hub.publish(peer, name, publish, now);
        }
        Question::Subscribe(subscribing) => {
            hub.subscribe(peer, name, subscribe(&subscribing, now), now);
        }
        // Nothing of the hub: each of its messages is published when it comes.
        Question::Open(..) => {}
    }
}

fn subscribe(
    &Subscribing { options, cursor, first, ref pass, .. }: &Subscribing<'_>,
    now: Now,
) -> Subscribe {
    Subscribe {
        cursor,
        first,
        delivery: options.delivery,
        create: options.create_on_get,
        concurrency: options.concurrency,
        max_subscribers: options.max_subscribers,
        timeout_ms: options.timeout_ms,
        ends_ms: ends_ms(pass.as_ref(), now),
    }
}

/// When a request ends with its tokens, milliseconds. Their time is that of the wall clock now,
/// whatever becomes of that clock: so it is right to the second, as tokens are.
fn ends_ms(pass: Option<&Pass>, now: Now) -> Option<u64> {
    let left_s = pass?.ends_s.saturating_sub(now.unix_s);
    Some(now.mono_ms.saturating_add(left_s.saturating_mul(1000)))
}

/// What the answer to a request depends on.
pub(super) fn reply(head: &RequestHead<'_>, found: Option<&Found<'_>>, step: &Step<'_>) -> Reply {
    Reply::to(head, found, Persistence::of(head, step.effects.stopping))
}
