//! What a location lets a request do: who may ask, with which method, for which channel.

use std::net::Ipv4Addr;

use super::bearer::bears;
use super::refusal::{Concern, Refusal};
use super::status;
use super::transport::Transport;
use super::upgrade::{self, Upgrade};
use super::{channel_ids, cursor};
use crate::http::RequestHead;
use crate::message::Cursor;
use crate::relay::input::Arrival;
use crate::relay::location::{Found, Location, SERVER};
use crate::relay::names::Names;
use crate::relay::options::{PublisherOptions, Role, StatusOptions, SubscriberOptions};
use crate::relay::site::Site;

/// To a request for another server (RFC 9110 15.5.20).
const MISDIRECTED: u16 = 421;

const FOREIGN_PAGE: &str =
    "a web page of this origin may not publish; the location's allow_origin says which may";

const FOREIGN_SOCKET: &str = "a web page of this origin may not open a WebSocket here; the \
                              location's allow_origin says which may";

const NO_WEBSOCKETS: &str = "this location serves no WebSockets; send a plain GET";

const NO_EVENT_STREAMS: &str =
    "this location serves no event streams; accept another type, as in Accept: */*";

const NO_POLLS: &str = "this location serves no polls; accept an event stream, as in Accept: \
                        text/event-stream";

const ONLY_WEBSOCKETS: &str = "this location serves WebSockets only; open one";

const UNKNOWN_HOST: &str = "the Host of this request is no name of this server, which listens for \
                            this machine only; add the name to the setting hosts";

/// What is done for a request.
pub(in crate::relay) enum Admitted<'l> {
    /// It is told which methods there are.
    Methods,
    /// The hub is asked about a channel of this location.
    Channel(&'l Location, Question<'l>),
    /// By this status location access is taken back.
    Revoke(&'l StatusOptions),
}

/// What a request asks of its channel.
pub(in crate::relay) enum Question<'l> {
    Inspect,
    Create,
    Delete,
    Publish(&'l PublisherOptions),
    Subscribe(Subscribing<'l>),
    /// A WebSocket whose messages are published.
    Open(Upgrade),
}

/// How a request subscribes.
pub(in crate::relay) struct Subscribing<'l> {
    pub(in crate::relay) options: &'l SubscriberOptions,
    pub(in crate::relay) cursor: Cursor,
    pub(in crate::relay) receiving: Receiving<'l>,
}

/// How a subscriber receives: one of the ways that its location serves.
pub(in crate::relay) enum Receiving<'l> {
    /// `publisher`: by which settings what the client sends is published; `None`: it may not.
    WebSocket {
        upgrade: Upgrade,
        publisher: Option<&'l PublisherOptions>,
    },
    EventStream,
    Poll,
}

/// What the location that was found lets a request do; the channels are left in `names`.
///
/// # Errors
/// [`Refusal`], which is the answer.
pub(in crate::relay) fn admit<'l>(
    site: &Site,
    arrival: Arrival,
    head: &RequestHead<'_>,
    found: Option<&'l Found<'_>>,
    names: &mut Names,
) -> Result<Admitted<'l>, Refusal> {
    let Some((location, part)) = found else {
        if head.path == SERVER {
            // Health checks: also without a name, and whether there is an upstream or not.
            return Ok(Admitted::Methods);
        }
        let text = "no location serves this path; the settings' locations say which paths are";
        return Err(Refusal::new(404, text));
    };
    if let Some(port) = arrival.loopback_port
        && !site.hosts.admit(head.host, port)
    {
        let refusal = Refusal::new(MISDIRECTED, UNKNOWN_HOST);
        return Err(Refusal { concern: Some(Concern::Host), ..refusal });
    }
    if let Role::Status(options) = &location.role {
        return status::admit(location, options, arrival, head).map(|()| Admitted::Revoke(options));
    }
    channel_ids::read(location, part, head.query, &site.limits, names)
        .map_err(|bad| Refusal::new(bad.status(), bad.text()))?;
    match (location.role.publisher(), location.role.subscriber(), head.method) {
        (Some(publisher), None, _) => {
            check_address(publisher, arrival)?;
            publisher_question(location, publisher, head)
        }
        (_, Some(_), "OPTIONS") => Ok(Admitted::Methods),
        (_, Some(options), "GET") => {
            let receiving = receiving(location, options, arrival, head)?;
            let cursor = cursor::of_request(head).map_err(|text| Refusal::new(400, text))?;
            let subscribing = Subscribing { options, cursor, receiving };
            Ok(Admitted::Channel(location, Question::Subscribe(subscribing)))
        }
        (Some(publisher), Some(_), "POST" | "PUT" | "DELETE") => {
            check_address(publisher, arrival)?;
            publisher_question(location, publisher, head)
        }
        _ => Err(method_not_allowed(location)),
    }
}

/// How a subscriber's GET receives.
fn receiving<'l>(
    location: &'l Location,
    options: &SubscriberOptions,
    arrival: Arrival,
    head: &RequestHead<'_>,
) -> Result<Receiving<'l>, Refusal> {
    let served = options.transports;
    match Transport::of(head) {
        Transport::WebSocket if served.websocket => websocket(location, arrival, head),
        Transport::WebSocket => Err(Refusal::new(403, NO_WEBSOCKETS)),
        Transport::EventStream { .. } if served.event_stream => Ok(Receiving::EventStream),
        Transport::EventStream { or_poll: true } | Transport::Poll if served.poll => {
            Ok(Receiving::Poll)
        }
        Transport::EventStream { .. } if served.poll => Err(Refusal::new(406, NO_EVENT_STREAMS)),
        _ if served.event_stream => Err(Refusal::new(406, NO_POLLS)),
        _ => Err(Refusal::new(406, ONLY_WEBSOCKETS)),
    }
}

/// A handshake. A browser does not ask whether a page of this origin may send it, so that is
/// decided here.
fn websocket<'l>(
    location: &'l Location,
    arrival: Arrival,
    head: &RequestHead<'_>,
) -> Result<Receiving<'l>, Refusal> {
    let origin = head.header("Origin");
    if origin.is_some() && !location.admits(location.origin_slot(origin)) {
        return Err(foreign(FOREIGN_SOCKET));
    }
    let upgrade = upgrade::of_request(head)?;
    // Who may not publish may listen.
    let publisher = location.role.publisher().filter(|options| {
        check_address(options, arrival).is_ok() && check_secret(options, head).is_ok()
    });
    Ok(Receiving::WebSocket { upgrade, publisher })
}

fn publisher_question<'l>(
    location: &'l Location,
    options: &'l PublisherOptions,
    head: &RequestHead<'_>,
) -> Result<Admitted<'l>, Refusal> {
    let question = match head.method {
        // A preflight carries no secret; what it is told is which origins may ask.
        "OPTIONS" => return Ok(Admitted::Methods),
        "GET" if Transport::of(head) == Transport::WebSocket => {
            Question::Open(upgrade::of_request(head)?)
        }
        "GET" | "HEAD" => Question::Inspect,
        "PUT" => Question::Create,
        "POST" => Question::Publish(options),
        "DELETE" => Question::Delete,
        _ => return Err(method_not_allowed(location)),
    };
    let origin = head.header("Origin");
    if origin.is_some() && !location.admits(location.origin_slot(origin)) {
        return Err(foreign(FOREIGN_PAGE));
    }
    check_secret(options, head)?;
    let is_over = |name, most| head.header(name).is_some_and(|value| value.len() > most);
    if head.method == "POST" && is_over("Content-Type", CONTENT_TYPE_BYTES_MAX) {
        let text = "the Content-Type of a message is over 1024 bytes; shorten it";
        return Err(Refusal::new(400, text));
    }
    if head.method == "POST" && is_over("X-EventSource-Event", EVENT_BYTES_MAX) {
        let text = "the X-EventSource-Event of a message is over 255 bytes; shorten it";
        return Err(Refusal::new(400, text));
    }
    Ok(Admitted::Channel(location, question))
}

/// Whether the location's `allow` has the address of the client.
fn check_address(options: &PublisherOptions, arrival: Arrival) -> Result<(), Refusal> {
    // Of Unix sockets as of the machine itself.
    let peer = arrival.peer.unwrap_or(Ipv4Addr::LOCALHOST.into());
    if !options.allow.is_empty() && !options.allow.iter().any(|n| n.contains(&peer)) {
        let text = "this address may not publish; the location's allow says which may";
        return Err(Refusal::new(403, text));
    }
    Ok(())
}

/// Whether the request bears the location's `secret`, if that has one.
fn check_secret(options: &PublisherOptions, head: &RequestHead<'_>) -> Result<(), Refusal> {
    match &options.secret {
        Some(secret) if !bears(head, secret) => {
            let text = "send the location's secret as Authorization: Bearer SECRET";
            let lines = b"WWW-Authenticate: Bearer\r\n".to_vec();
            Err(Refusal { lines, ..Refusal::new(401, text) })
        }
        _ => Ok(()),
    }
}

fn foreign(text: &'static str) -> Refusal {
    Refusal { concern: Some(Concern::Origin), ..Refusal::new(403, text) }
}

/// Longest `Content-Type` of a message. It goes to every subscriber in a head, for which front
/// servers have as little as 4 KiB of room (nginx's `proxy_buffer_size`).
const CONTENT_TYPE_BYTES_MAX: usize = 1024;

/// Longest name of a message's event, `X-EventSource-Event`.
const EVENT_BYTES_MAX: usize = 255;

fn method_not_allowed(location: &Location) -> Refusal {
    let text = "this location does not serve the method; the Allow header says which it does";
    Refusal { lines: location.allow.to_vec(), ..Refusal::new(405, text) }
}
