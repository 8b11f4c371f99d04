//! What a location lets a request do: who may ask, with which method, for which channel.

use super::bearer::bears;
use super::identity::Identity;
use super::pass::{self, Action, Pass};
use super::refusal::{Concern, Fault, Refusal};
use super::status::{self, StatusQuestion};
use super::transport::Transport;
use super::upgrade::{self, Upgrade};
use super::{channel_ids, cursor};
use crate::clock::Now;
use crate::http::RequestHead;
use crate::message::{Cursor, First};
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
    /// This status location is asked about the daemon.
    Status(&'l StatusOptions, StatusQuestion),
}

/// What a request asks of its channel.
pub(in crate::relay) enum Question<'l> {
    Inspect,
    Create,
    Delete,
    Publish(&'l PublisherOptions),
    Subscribe(Subscribing<'l>),
    /// A WebSocket whose messages are published.
    Open(Upgrade, Option<Pass>),
}

impl Question<'_> {
    /// What the token of a subscriber proves.
    pub(in crate::relay) fn pass(&self) -> Option<&Pass> {
        match self {
            Self::Subscribe(subscribing) => subscribing.pass.as_ref(),
            _ => None,
        }
    }
}

/// How a request subscribes.
pub(in crate::relay) struct Subscribing<'l> {
    pub(in crate::relay) options: &'l SubscriberOptions,
    pub(in crate::relay) cursor: Cursor,
    /// Where it begins without one.
    pub(in crate::relay) first: First,
    pub(in crate::relay) receiving: Receiving<'l>,
    /// What its token proves, where it needs one.
    pub(in crate::relay) pass: Option<Pass>,
    /// The user of its token, or its session where that is asked for.
    pub(in crate::relay) identity: Option<Identity>,
}

impl Subscribing<'_> {
    /// Where it begins, of what it says itself.
    pub(in crate::relay) fn begins(&self) -> Cursor {
        match self.first {
            First::Since(id) if self.cursor.is_oldest() => Cursor::at(id),
            _ => self.cursor,
        }
    }
}

/// A request, and who stands behind it.
#[derive(Debug, Clone, Copy)]
pub(in crate::relay) struct Asked<'r, 'b> {
    pub(in crate::relay) head: &'r RequestHead<'b>,
    pub(in crate::relay) arrival: Arrival,
    /// The upstream has handed it over: it needs no token.
    pub(in crate::relay) is_vouched: bool,
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
    asked: Asked<'_, '_>,
    found: Option<&'l Found<'_>>,
    names: &mut Names,
    now: Now,
) -> Result<Admitted<'l>, Refusal> {
    let Asked { head, arrival, .. } = asked;
    let Some((location, part)) = found else {
        if head.path == SERVER {
            // Health checks: also without a name, and whether there is an upstream or not.
            return Ok(Admitted::Methods);
        }
        let text = "no location serves this path; the settings' locations say which paths are";
        return Err(Refusal::new(404, text).due_to(Concern::NoLocation));
    };
    if let Some(port) = arrival.loopback_port
        && !site.hosts.admit(head.host, port)
    {
        return Err(Refusal::new(MISDIRECTED, UNKNOWN_HOST).due_to(Concern::Host));
    }
    if let Role::Status(options) = &location.role {
        let question = status::admit(options, part, arrival, head)?;
        return Ok(Admitted::Status(options, question));
    }
    channel_ids::read(location, part, head.query, &site.limits, names)
        .map_err(|bad| Refusal::new(bad.status(), bad.text()).due_to(Concern::ChannelId))?;
    let door = Door { site, location, names, asked, now };
    match (location.role.publisher(), location.role.subscriber(), head.method) {
        (Some(publisher), None, _) => {
            check_address(publisher, arrival)?;
            door.publisher_question(publisher)
        }
        (_, Some(_), "OPTIONS") => Ok(Admitted::Methods),
        (_, Some(options), "GET") => {
            let pass = door.subscriber_pass()?;
            let identity = door.identity(pass.as_ref())?;
            let receiving = door.receiving(options, pass.as_ref())?;
            let unread = |text| Refusal::new(400, text).due_to(Concern::Cursor);
            let cursor = cursor::of_request(head).map_err(unread)?;
            let since = match cursor.is_oldest() {
                true => cursor::since(head).map_err(unread)?,
                false => None,
            };
            let first = since.unwrap_or(options.first);
            let subscribing = Subscribing { options, cursor, first, receiving, pass, identity };
            Ok(Admitted::Channel(location, Question::Subscribe(subscribing)))
        }
        (Some(publisher), Some(_), "POST" | "PUT" | "DELETE") => {
            check_address(publisher, arrival)?;
            door.publisher_question(publisher)
        }
        _ => Err(method_not_allowed(location)),
    }
}

/// A request at the location that it is for, whose channels are known.
struct Door<'d, 'l> {
    site: &'d Site,
    location: &'l Location,
    names: &'d Names,
    asked: Asked<'d, 'd>,
    now: Now,
}

impl<'l> Door<'_, 'l> {
    /// What the tokens of a subscriber prove, where it needs one.
    fn subscriber_pass(&self) -> Result<Option<Pass>, Refusal> {
        if self.asked.is_vouched {
            return Ok(None);
        }
        let action = match self.location.role.publisher() {
            Some(_) => Action::Both,
            None => Action::Subscribe,
        };
        self.pass(action)
    }

    /// Who a subscriber is, as far as its token or its cookie says.
    fn identity(&self, pass: Option<&Pass>) -> Result<Option<Identity>, Refusal> {
        let Self { site, location, names, asked, now } = self;
        if let Some(user) = pass.and_then(|pass| pass.user.as_deref()) {
            return Ok(Some(Identity::user(user)));
        }
        let Some(attended) = &location.attended else { return Ok(None) };
        let session = Identity::session(asked.head, &attended.cookie, &site.session_key);
        let is_refused = |session: &Identity| {
            let (revocations, keep_s) = (&site.revocations, site.limits.token_s);
            names.iter().any(|name| revocations.refuse_session(session, name, keep_s, *now))
        };
        match session {
            Some(session) if is_refused(&session) => Err(Fault::Revoked.refusal()),
            session => Ok(session),
        }
    }

    /// Whether a request has the right to publish, by the location's `secret` or by a token: either
    /// is enough where it has both. What the upstream hands over needs no token, but the secret.
    fn publisher_pass(&self, options: &PublisherOptions) -> Result<Option<Pass>, Refusal> {
        let is_signed = self.location.realm.is_some();
        match &options.secret {
            Some(secret) if bears(self.asked.head, secret) => Ok(None),
            Some(_) if !is_signed => {
                let text = "send the location's secret as Authorization: Bearer SECRET";
                Err(Refusal::challenge(text, "Bearer").due_to(Concern::Secret))
            }
            None if self.asked.is_vouched => Ok(None),
            _ => self.pass(Action::Publish),
        }
    }

    fn pass(&self, action: Action) -> Result<Option<Pass>, Refusal> {
        let Self { site, location, names, asked, now } = self;
        let Some(realm) = &location.realm else { return Ok(None) };
        pass::of_request(site, (location, realm), asked.head, names, action, now.unix_s).map(Some)
    }

    /// How a subscriber's GET receives.
    fn receiving(
        &self,
        options: &SubscriberOptions,
        pass: Option<&Pass>,
    ) -> Result<Receiving<'l>, Refusal> {
        let served = options.transports;
        match Transport::of(self.asked.head) {
            Transport::WebSocket if served.websocket => self.websocket(pass),
            Transport::WebSocket => Err(unserved(403, NO_WEBSOCKETS)),
            Transport::EventStream { .. } if served.event_stream => Ok(Receiving::EventStream),
            Transport::EventStream { or_poll: true } | Transport::Poll if served.poll => {
                Ok(Receiving::Poll)
            }
            Transport::EventStream { .. } if served.poll => Err(unserved(406, NO_EVENT_STREAMS)),
            _ if served.event_stream => Err(unserved(406, NO_POLLS)),
            _ => Err(unserved(406, ONLY_WEBSOCKETS)),
        }
    }

    /// A handshake. A browser does not ask whether a page of this origin may send it, so that is
    /// decided here.
    fn websocket(&self, pass: Option<&Pass>) -> Result<Receiving<'l>, Refusal> {
        let (head, location) = (self.asked.head, self.location);
        let origin = head.header("Origin");
        if origin.is_some() && !location.admits(location.origin_slot(origin)) {
            return Err(foreign(FOREIGN_SOCKET));
        }
        let upgrade = upgrade::of_request(head)?;
        // Who may not publish may listen.
        let publisher = location.role.publisher().filter(|options| {
            let may_publish = match (&options.secret, &location.realm) {
                (None, None) => true,
                (Some(secret), _) if bears(head, secret) => true,
                _ => pass.is_some_and(|pass| pass.publishes),
            };
            may_publish && check_address(options, self.asked.arrival).is_ok()
        });
        Ok(Receiving::WebSocket { upgrade, publisher })
    }

    fn publisher_question(&self, options: &'l PublisherOptions) -> Result<Admitted<'l>, Refusal> {
        let (head, location) = (self.asked.head, self.location);
        let mut upgrade = None;
        match head.method {
            // A preflight carries no secret; what it is told is which origins may ask.
            "OPTIONS" => return Ok(Admitted::Methods),
            "GET" if Transport::of(head) == Transport::WebSocket => {
                upgrade = Some(upgrade::of_request(head)?);
            }
            "GET" | "HEAD" | "PUT" | "POST" | "DELETE" => {}
            _ => return Err(method_not_allowed(location)),
        }
        let origin = head.header("Origin");
        if origin.is_some() && !location.admits(location.origin_slot(origin)) {
            return Err(foreign(FOREIGN_PAGE));
        }
        let pass = self.publisher_pass(options)?;
        let question = match (head.method, upgrade) {
            (_, Some(upgrade)) => Question::Open(upgrade, pass),
            ("PUT", _) => Question::Create,
            ("POST", _) => Question::Publish(options),
            ("DELETE", _) => Question::Delete,
            _ => Question::Inspect,
        };
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
}

fn unserved(status: u16, text: &'static str) -> Refusal {
    Refusal::new(status, text).due_to(Concern::Transport)
}

/// Whether the location's `allow` has the address of the client.
fn check_address(options: &PublisherOptions, arrival: Arrival) -> Result<(), Refusal> {
    if !options.allow.is_empty() && !arrival.is_of(&options.allow) {
        let text = "this address may not publish; the location's allow says which may";
        return Err(Refusal::new(403, text).due_to(Concern::Allow));
    }
    Ok(())
}

fn foreign(text: &'static str) -> Refusal {
    Refusal::new(403, text).due_to(Concern::Origin)
}

/// Longest `Content-Type` of a message. It goes to every subscriber in a head, for which front
/// servers have as little as 4 KiB of room (nginx's `proxy_buffer_size`).
const CONTENT_TYPE_BYTES_MAX: usize = 1024;

/// Longest name of a message's event, `X-EventSource-Event`.
const EVENT_BYTES_MAX: usize = 255;

fn method_not_allowed(location: &Location) -> Refusal {
    let text = "this location does not serve the method; the Allow header says which it does";
    Refusal { lines: location.allow.to_vec(), ..Refusal::new(405, text) }.due_to(Concern::Method)
}
