//! What a location lets a request do: who may ask, with which method, for which channel.

use std::fmt;

use subtle::ConstantTimeEq;

use super::cursor;
use super::transport::Transport;
use crate::clock::Now;
use crate::http::RequestHead;
use crate::message::Cursor;
use crate::relay::delivery::Exchange;
use crate::relay::information::Form;
use crate::relay::location::{Found, IdError, Location, SERVER, decode_channel_id};
use crate::relay::options::{PublisherOptions, Role, Secret};
use crate::relay::{ConnKey, Relay};

/// Why a location does not serve a request.
#[derive(Debug)]
pub(in crate::relay) struct Refusal {
    pub(in crate::relay) status: u16,
    /// Further header lines.
    pub(in crate::relay) lines: String,
    pub(in crate::relay) text: &'static str,
}

impl Refusal {
    const fn new(status: u16, text: &'static str) -> Self {
        Self { status, lines: String::new(), text }
    }
}

/// To a request for another server (RFC 9110 15.5.20).
const MISDIRECTED: u16 = 421;

const FOREIGN_PAGE: &str =
    "a web page of this origin may not publish; the location's allow_origin says which may";

const NO_WEBSOCKETS: &str = "this location serves polls, not WebSockets; send a plain GET";

const NO_EVENT_STREAMS: &str =
    "this location serves polls, not event streams; accept another type, as in Accept: */*";

const UNKNOWN_HOST: &str = "the Host of this request is no name of this server, which listens for \
                            this machine only; add the name to the setting hosts";

/// What a request asks of its channel.
pub(in crate::relay) enum Question {
    Options,
    Inspect,
    Create,
    Delete,
    Publish,
    Subscribe(Cursor),
}

impl Relay {
    /// Logs a refusal that the operator may not have meant.
    pub(in crate::relay) fn warn_of_refusal(
        &mut self,
        exchange: &Exchange,
        refusal: &Refusal,
        head: &RequestHead<'_>,
        now: Now,
    ) {
        if refusal.text == FOREIGN_PAGE {
            self.warn_of_origin(exchange, head, now);
        } else if refusal.status == MISDIRECTED
            && let Some(times) = self.site.hosts.refusals.note(now.mono_ms)
        {
            log::warn!(
                "event=host_refused host=\"{}\" times={times} cause=\"it is no name of this \
                 machine, nor in the setting hosts\"",
                shown(head.host)
            );
        }
    }

    /// Logs a request from an origin that its location does not list: the browser keeps the answer
    /// from the page, or the page may not publish. Neither says why.
    pub(in crate::relay) fn warn_of_origin(
        &mut self,
        exchange: &Exchange,
        head: &RequestHead<'_>,
        now: Now,
    ) {
        if let Some(location) = &exchange.location
            && !location.admits(exchange.origin)
            && let Some(origin) = head.header("Origin")
            && let Some(times) = self.site.routes.foreign_origins.note(now.mono_ms)
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

    /// Refuses a request whose body is complete.
    pub(in crate::relay) fn refuse_whole(
        &mut self,
        conn: ConnKey,
        exchange: &Exchange,
        refusal: &Refusal,
        head: &RequestHead<'_>,
        now: Now,
    ) {
        self.warn_of_refusal(exchange, refusal, head, now);
        let Refusal { status, lines, text } = refusal;
        let payload = self.renderer.text(exchange, *status, lines.as_bytes(), text);
        self.respond(conn, exchange.persistence, *status, payload, now);
    }

    /// What the location lets a request do; the channel's name is left in `self.name`.
    pub(in crate::relay) fn admit(
        &mut self,
        conn: ConnKey,
        head: &RequestHead<'_>,
        found: Option<Found<'_>>,
    ) -> (Exchange, Result<Question, Refusal>) {
        let mut exchange = Exchange::bare(self.persistence(head), head.method == "HEAD");
        let Some((location, part)) = found else {
            if head.path == SERVER {
                // Health checks: also without a name, and whether there is an upstream or not.
                return (exchange, Ok(Question::Options));
            }
            let text = "no location serves this path; the settings' locations say which paths are";
            return (exchange, Err(Refusal::new(404, text)));
        };
        let origin = head.header("Origin");
        exchange.origin = location.origin_slot(origin);
        self.name.clear();
        self.name.extend_from_slice(&location.namespace);
        let port = self.conns.client(conn).map_or(0, |client| client.loopback_port);
        let admitted = if port == 0 || self.site.hosts.admit(head.host, port) {
            let bytes_max = self.site.limits.channel_id_bytes;
            decode_channel_id(part, bytes_max, &mut self.name).map_err(Refusal::from)
        } else {
            Err(Refusal::new(MISDIRECTED, UNKNOWN_HOST))
        };
        let question = admitted.and_then(|()| match &location.role {
            Role::Subscriber(_) => subscriber_question(&location, head),
            Role::Publisher(options) => {
                exchange.form = Form::of(head.header_all("Accept"));
                let peer = self.conns.client(conn).and_then(|client| client.peer);
                // Of Unix sockets as of the machine itself.
                let peer = peer.unwrap_or(std::net::Ipv4Addr::LOCALHOST.into());
                if !options.allow.is_empty() && !options.allow.iter().any(|n| n.contains(&peer)) {
                    let text = "this address may not publish; the location's allow says which may";
                    return Err(Refusal::new(403, text));
                }
                publisher_question(&location, options, head, origin)
            }
        });
        exchange.location = Some(location);
        (exchange, question)
    }
}

fn subscriber_question(location: &Location, head: &RequestHead<'_>) -> Result<Question, Refusal> {
    match head.method {
        "GET" => match Transport::of(head) {
            Transport::WebSocket => Err(Refusal::new(403, NO_WEBSOCKETS)),
            Transport::EventStream => Err(Refusal::new(406, NO_EVENT_STREAMS)),
            Transport::Poll => cursor::of_request(head)
                .map(Question::Subscribe)
                .map_err(|text| Refusal::new(400, text)),
        },
        "OPTIONS" => Ok(Question::Options),
        _ => Err(method_not_allowed(location)),
    }
}

fn publisher_question(
    location: &Location,
    options: &PublisherOptions,
    head: &RequestHead<'_>,
    origin: Option<&[u8]>,
) -> Result<Question, Refusal> {
    let question = match head.method {
        // A preflight carries no secret; what it is told is which origins may ask.
        "OPTIONS" => return Ok(Question::Options),
        "GET" | "HEAD" => Question::Inspect,
        "PUT" => Question::Create,
        "POST" => Question::Publish,
        "DELETE" => Question::Delete,
        _ => return Err(method_not_allowed(location)),
    };
    if origin.is_some() && !location.admits(location.origin_slot(origin)) {
        return Err(Refusal::new(403, FOREIGN_PAGE));
    }
    if let Some(secret) = &options.secret
        && !bears(head, secret)
    {
        return Err(Refusal {
            status: 401,
            lines: "WWW-Authenticate: Bearer\r\n".to_owned(),
            text: "send the location's secret as Authorization: Bearer SECRET",
        });
    }
    if head.method == "POST"
        && head.header("Content-Type").is_some_and(|value| value.len() > CONTENT_TYPE_BYTES_MAX)
    {
        return Err(Refusal::new(
            400,
            "the Content-Type of a message is over 1024 bytes; shorten it",
        ));
    }
    Ok(question)
}

/// Longest `Content-Type` of a message. It goes to every subscriber in a head, for which front
/// servers have as little as 4 KiB of room (nginx's `proxy_buffer_size`).
const CONTENT_TYPE_BYTES_MAX: usize = 1024;

fn method_not_allowed(location: &Location) -> Refusal {
    Refusal {
        status: 405,
        lines: format!("Allow: {}\r\n", location.role.methods()),
        text: "this location does not serve the method; the Allow header says which it does",
    }
}

/// Whether the request bears this secret (RFC 6750 2.1); takes as long for a wrong one.
fn bears(head: &RequestHead<'_>, secret: &Secret) -> bool {
    head.header("Authorization").is_some_and(|value| {
        value.split_at_checked(7).is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(b"Bearer ")
                && bool::from(token.trim_ascii().ct_eq(secret.reveal().as_bytes()))
        })
    })
}

impl From<IdError> for Refusal {
    fn from(error: IdError) -> Self {
        match error {
            IdError::Percent => {
                Self::new(400, "a % in the channel id must begin %XX, with two hexadecimal digits")
            }
            IdError::Control => Self::new(400, "a channel id may not have control characters"),
            IdError::Length => {
                Self::new(403, "the channel id is empty or longer than limits.channel_id_bytes")
            }
        }
    }
}

/// A host or an origin as a log line shows it.
fn shown(name: &[u8]) -> impl fmt::Display {
    name[..name.len().min(NAME_BYTES_SHOWN)].escape_ascii()
}

/// Of a host or an origin in the log; a name has at most 253.
const NAME_BYTES_SHOWN: usize = 280;
