//! What a location lets a request do: who may ask, with which method, for which channel.

use std::net::Ipv4Addr;

use subtle::ConstantTimeEq;

use super::cursor;
use super::refusal::{Concern, Refusal};
use super::transport::Transport;
use crate::http::RequestHead;
use crate::message::Cursor;
use crate::relay::input::Arrival;
use crate::relay::location::{Found, Location, SERVER};
use crate::relay::options::{PublisherOptions, Role, Secret, SubscriberOptions};
use crate::relay::site::Site;

/// To a request for another server (RFC 9110 15.5.20).
const MISDIRECTED: u16 = 421;

const FOREIGN_PAGE: &str =
    "a web page of this origin may not publish; the location's allow_origin says which may";

const NO_WEBSOCKETS: &str = "this location serves polls, not WebSockets; send a plain GET";

const NO_EVENT_STREAMS: &str =
    "this location serves polls, not event streams; accept another type, as in Accept: */*";

const UNKNOWN_HOST: &str = "the Host of this request is no name of this server, which listens for \
                            this machine only; add the name to the setting hosts";

/// What is done for a request.
pub(in crate::relay) enum Admitted<'l> {
    /// It is told which methods there are.
    Methods,
    /// The hub is asked about a channel of this location.
    Channel(&'l Location, Question<'l>),
}

/// What a request asks of its channel.
pub(in crate::relay) enum Question<'l> {
    Inspect,
    Create,
    Delete,
    Publish(&'l PublisherOptions),
    Subscribe(&'l SubscriberOptions, Cursor),
}

/// What the location that was found lets a request do; the name of the channel is left in `name`.
///
/// # Errors
/// [`Refusal`], which is the answer.
pub(in crate::relay) fn admit<'l>(
    site: &Site,
    arrival: Arrival,
    head: &RequestHead<'_>,
    found: Option<&'l Found<'_>>,
    name: &mut Vec<u8>,
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
    name.clear();
    name.extend_from_slice(&location.namespace);
    decode_channel_id(part, site.limits.channel_id_bytes, name)?;
    match &location.role {
        Role::Subscriber(options) => subscriber_question(location, options, head),
        Role::Publisher(options) => {
            // Of Unix sockets as of the machine itself.
            let peer = arrival.peer.unwrap_or(Ipv4Addr::LOCALHOST.into());
            if !options.allow.is_empty() && !options.allow.iter().any(|n| n.contains(&peer)) {
                let text = "this address may not publish; the location's allow says which may";
                return Err(Refusal::new(403, text));
            }
            publisher_question(location, options, head)
        }
    }
}

fn subscriber_question<'l>(
    location: &'l Location,
    options: &'l SubscriberOptions,
    head: &RequestHead<'_>,
) -> Result<Admitted<'l>, Refusal> {
    match head.method {
        "GET" => match Transport::of(head) {
            Transport::WebSocket => Err(Refusal::new(403, NO_WEBSOCKETS)),
            Transport::EventStream { or_poll: false } => Err(Refusal::new(406, NO_EVENT_STREAMS)),
            Transport::EventStream { or_poll: true } | Transport::Poll => cursor::of_request(head)
                .map(|cursor| Admitted::Channel(location, Question::Subscribe(options, cursor)))
                .map_err(|text| Refusal::new(400, text)),
        },
        "OPTIONS" => Ok(Admitted::Methods),
        _ => Err(method_not_allowed(location)),
    }
}

fn publisher_question<'l>(
    location: &'l Location,
    options: &'l PublisherOptions,
    head: &RequestHead<'_>,
) -> Result<Admitted<'l>, Refusal> {
    let question = match head.method {
        // A preflight carries no secret; what it is told is which origins may ask.
        "OPTIONS" => return Ok(Admitted::Methods),
        "GET" | "HEAD" => Question::Inspect,
        "PUT" => Question::Create,
        "POST" => Question::Publish(options),
        "DELETE" => Question::Delete,
        _ => return Err(method_not_allowed(location)),
    };
    let origin = head.header("Origin");
    if origin.is_some() && !location.admits(location.origin_slot(origin)) {
        let refusal = Refusal::new(403, FOREIGN_PAGE);
        return Err(Refusal { concern: Some(Concern::Origin), ..refusal });
    }
    if let Some(secret) = &options.secret
        && !bears(head, secret)
    {
        let text = "send the location's secret as Authorization: Bearer SECRET";
        let lines = b"WWW-Authenticate: Bearer\r\n".to_vec();
        return Err(Refusal { lines, ..Refusal::new(401, text) });
    }
    if head.method == "POST"
        && head.header("Content-Type").is_some_and(|value| value.len() > CONTENT_TYPE_BYTES_MAX)
    {
        let text = "the Content-Type of a message is over 1024 bytes; shorten it";
        return Err(Refusal::new(400, text));
    }
    Ok(Admitted::Channel(location, question))
}

/// Longest `Content-Type` of a message. It goes to every subscriber in a head, for which front
/// servers have as little as 4 KiB of room (nginx's `proxy_buffer_size`).
const CONTENT_TYPE_BYTES_MAX: usize = 1024;

fn method_not_allowed(location: &Location) -> Refusal {
    let text = "this location does not serve the method; the Allow header says which it does";
    Refusal { lines: location.allow.to_vec(), ..Refusal::new(405, text) }
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

/// Appends the channel id of a path's part, percent-decoded once, to `out`.
fn decode_channel_id(part: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let start = out.len();
    let mut rest = part.iter();
    while let Some(&byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || {
                    let digit = rest.next().and_then(|digit| char::from(*digit).to_digit(16));
                    digit.ok_or(Refusal::new(400, NOT_ENCODED))
                };
                (digit()? << 4 | digit()?) as u8
            }
            byte => byte,
        };
        if byte.is_ascii_control() {
            return Err(Refusal::new(400, CONTROL));
        }
        out.push(byte);
    }
    match out.len() - start {
        length if length > 0 && length <= bytes_max => Ok(()),
        _ => Err(Refusal::new(403, ID_LENGTH)),
    }
}

const NOT_ENCODED: &str = "a % in the channel id must begin %XX, with two hexadecimal digits";

const CONTROL: &str = "a channel id may not have control characters";

const ID_LENGTH: &str = "the channel id is empty or longer than limits.channel_id_bytes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_id_is_decoded_once_and_holds_no_controls() {
        let decode = |part: &[u8]| {
            let mut out = Vec::new();
            decode_channel_id(part, 8, &mut out).map(|()| out).map_err(|refusal| refusal.text)
        };
        assert_eq!(decode(b"a%2Fb"), Ok(b"a/b".to_vec()));
        assert_eq!(decode(b"a%2520"), Ok(b"a%20".to_vec()));
        assert_eq!(decode(b"%c5%A1"), Ok(b"\xc5\xa1".to_vec()));
        assert_eq!(decode(b"a+b"), Ok(b"a+b".to_vec()));
        for bad in [&b"%zz"[..], b"%4", b"%", b"%+1"] {
            assert_eq!(decode(bad), Err(NOT_ENCODED));
        }
        for bad in [&b"%00"[..], b"a%0d%0ab", b"%7f"] {
            assert_eq!(decode(bad), Err(CONTROL));
        }
        assert_eq!(decode(b"123456789"), Err(ID_LENGTH));
        assert_eq!(decode(b""), Err(ID_LENGTH));
    }
}
