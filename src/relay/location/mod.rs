//! Which location serves a path, which part of the path names the channels, and the header lines
//! that every answer of a location carries. Pure; made at start and on reload, not changed in
//! between.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::bytes::CaptureLocations;

use self::attended::Attended;
use super::options::{ChannelIds, LocationOptions, Origins, Role};
use crate::store::StoreId;

mod attended;
pub(in crate::relay) mod pattern;
pub(crate) mod spelling;

pub(crate) use pattern::NEST_MAX;
pub use pattern::Pattern;
pub use spelling::PatternError;

/// Which of a location's origins a request came from; says which header lines its answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OriginSlot(u16);

impl OriginSlot {
    /// None of the listed ones.
    pub(super) const UNLISTED: Self = Self(0);
}

/// Every answer to a preflight is good for ten days (as the old server said).
const MAX_AGE: &str = "Access-Control-Max-Age: 864000\r\n";

/// What a subscriber's script may read of an answer.
const EXPOSED: &str = "Last-Modified, Etag, Cache-Control, X-Push-Gap";

/// What scripts may send.
const SUBSCRIBER_HEADERS: &str = "If-Modified-Since, If-None-Match, Etag, Last-Event-ID, X-Cookie, \
                                  X-Requested-With, Content-Type, Cache-Control, \
                                  X-EventSource-Event";
const PUBLISHER_HEADERS: &str = "Authorization, Content-Type, Prefer, X-EventSource-Event";

/// What a token names beside channels.
#[derive(Debug)]
pub(super) struct Realm {
    pub(super) group: Box<str>,
    pub(super) store: Box<str>,
}

/// One location, ready to serve.
#[derive(Debug)]
pub(super) struct Location {
    /// Its place in the settings.
    pub(super) place: u16,
    /// Its `url` or `prefix`, as in the settings.
    pub(super) pattern: Box<str>,
    pub(super) store: StoreId,
    /// How many requests came for it since it was made; only shown.
    pub(super) requests: Cell<u64>,
    /// Goes before a channel id, so that no other store or group has a channel of that name.
    pub(super) namespace: Box<[u8]>,
    pub(super) ids: ChannelIds,
    pub(super) role: Role,
    /// What tokens are to name, where requests need one.
    pub(super) realm: Option<Realm>,
    /// URL that is told of holds, each for itself; shared with the notices that are on their way.
    pub(super) passthrough: Option<Arc<str>>,
    /// How it is known who is on its channels; `None`: it is not.
    pub(super) attended: Option<Attended>,
    /// Header lines of every answer, by [`OriginSlot`]; the first is for an unlisted origin.
    lines: Vec<Box<[u8]>>,
    /// The line `Allow`, of the answer to OPTIONS.
    pub(super) allow: Box<[u8]>,
    /// Further header lines of that, to an origin that is let in.
    preflight: Box<[u8]>,
}

impl Location {
    pub(super) fn new(options: &LocationOptions, place: u16) -> Self {
        let subscriber = options.role.subscriber();
        // Why it was refused, and with what to ask, where tokens are needed.
        let (challenge, credentials) = match &options.signed {
            Some(_) => (", WWW-Authenticate", ", Authorization"),
            None => ("", ""),
        };
        let lines = match subscriber {
            Some(subscriber) => {
                let credentials = match subscriber.allow_credentials {
                    true => "Access-Control-Allow-Credentials: true\r\n",
                    false => "",
                };
                let channel = if options.ids.may_be_several() { ", X-Push-Channel" } else { "" };
                format!(
                    "{credentials}Access-Control-Expose-Headers: {EXPOSED}{channel}{challenge}\r\n"
                )
            }
            None if options.signed.is_some() => {
                "Access-Control-Expose-Headers: WWW-Authenticate\r\n".to_owned()
            }
            None => String::new(),
        };
        let (methods, headers) = match &options.role {
            Role::Subscriber(_) => ("GET", format!("{SUBSCRIBER_HEADERS}{credentials}")),
            Role::Publisher(_) => ("GET, HEAD, POST, PUT, DELETE", PUBLISHER_HEADERS.to_owned()),
            Role::PubSub(..) => {
                ("GET, POST, PUT, DELETE", format!("{SUBSCRIBER_HEADERS}, Authorization, Prefer"))
            }
            // No page of another origin is let in.
            Role::Status(_) => ("", String::new()),
        };
        Self {
            place,
            pattern: options.shown.clone(),
            store: options.store,
            requests: Cell::new(0),
            namespace: namespace(options.store, &options.channel_group).into(),
            ids: options.ids.clone(),
            role: options.role.clone(),
            realm: options.signed.as_ref().map(|store| Realm {
                group: options.channel_group.as_str().into(),
                store: store.clone(),
            }),
            passthrough: subscriber
                .filter(|options| options.tells_of_holds())
                .and_then(|options| options.passthrough.as_deref())
                .map(Into::into),
            attended: subscriber.and_then(Attended::of),
            lines: origin_lines(options.role.allow_origin(), &lines),
            allow: format!("Allow: {}\r\n", options.role.methods()).into_bytes().into(),
            preflight: format!(
                "Access-Control-Allow-Methods: {methods}\r\n\
                 Access-Control-Allow-Headers: {headers}\r\n{MAX_AGE}"
            )
            .into_bytes()
            .into(),
        }
    }

    /// Where a request with this `Origin` header belongs.
    pub(super) fn origin_slot(&self, origin: Option<&[u8]>) -> OriginSlot {
        match (self.role.allow_origin(), origin) {
            (Origins::Listed(list), Some(origin)) => {
                let found = list.iter().position(|listed| listed.as_bytes() == origin);
                let slot = found.and_then(|index| u16::try_from(index + 1).ok());
                slot.map_or(OriginSlot::UNLISTED, OriginSlot)
            }
            _ => OriginSlot::UNLISTED,
        }
    }

    /// Whether pages of this origin are let in.
    pub(super) fn admits(&self, slot: OriginSlot) -> bool {
        match self.role.allow_origin() {
            Origins::Nobody => false,
            Origins::Any => true,
            Origins::Listed(_) => slot != OriginSlot::UNLISTED,
        }
    }

    /// The origins that are let in, as a log line shows them: not all where they are many.
    pub(super) fn shown_origins(&self) -> String {
        let Origins::Listed(list) = self.role.allow_origin() else { return String::new() };
        let shown = list[..list.len().min(ORIGINS_SHOWN)].join(" ");
        let more = if list.len() > ORIGINS_SHOWN { " …" } else { "" };
        format!("{}{more}", shown.escape_default())
    }

    /// Header lines that every answer to this origin carries.
    pub(super) fn lines(&self, slot: OriginSlot) -> &[u8] {
        self.lines.get(usize::from(slot.0)).map_or(b"", |lines| lines)
    }

    /// Header lines of the answer to a preflight, beside [`Location::lines`] and
    /// `allow`.
    pub(super) fn preflight(&self, slot: OriginSlot) -> &[u8] {
        if self.admits(slot) { &self.preflight } else { b"" }
    }
}

/// What goes before a channel id of this store and group.
pub(super) fn namespace(store: StoreId, group: &str) -> Vec<u8> {
    let mut namespace = store.prefix().to_vec();
    namespace.extend_from_slice(group.as_bytes());
    namespace.push(0);
    namespace
}

/// The group and the id that the name of a channel has.
pub(super) fn group_and_id(name: &[u8]) -> (&[u8], &[u8]) {
    let rest = name.get(2..).unwrap_or_default();
    let end = memchr::memchr(0, rest).unwrap_or(rest.len());
    (&rest[..end], rest.get(end + 1..).unwrap_or_default())
}

/// A channel's id as it is spoken of: as text, or where it is none as base64.
///
/// # Errors
/// The base64.
pub(super) fn id_text(id: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(id).map_err(|_| STANDARD.encode(id))
}

/// The lines for an unlisted origin, then those for each listed one. Where the answer depends on
/// the origin, caches are told so (Fetch standard, "CORS protocol and HTTP caches").
fn origin_lines(origins: &Origins, others: &str) -> Vec<Box<[u8]>> {
    let lines = |text: String| text.into_bytes().into_boxed_slice();
    match origins {
        Origins::Nobody => vec![lines(String::new())],
        Origins::Any => vec![lines(format!("Access-Control-Allow-Origin: *\r\n{others}"))],
        Origins::Listed(list) => std::iter::once(lines("Vary: Origin\r\n".to_owned()))
            .chain(list.iter().map(|origin| {
                lines(format!("Access-Control-Allow-Origin: {origin}\r\n{others}Vary: Origin\r\n"))
            }))
            .collect(),
    }
}

/// Of a location's origins, in a log line.
const ORIGINS_SHOWN: usize = 5;

/// The path that stands for the server itself, in `OPTIONS *` (RFC 9110 9.3.7).
pub(super) const SERVER: &[u8] = b"*";

/// A location, and the channel ids' part of the path; empty where they stand in the query.
pub(super) type Found<'p> = (Rc<Location>, &'p [u8]);

/// All locations, in order.
#[derive(Debug)]
pub(super) struct Routes {
    routes: Vec<Route>,
}

#[derive(Debug)]
struct Route {
    pattern: Pattern,
    /// Room for the result of a regular expression, so that a match allocates nothing.
    captures: Option<CaptureLocations>,
    location: Rc<Location>,
}

impl Routes {
    pub(super) fn new(locations: &[LocationOptions]) -> Self {
        let route = |(options, place): (&LocationOptions, u16)| Route {
            pattern: options.pattern.clone(),
            captures: match &options.pattern {
                Pattern::Url(regex) => Some(regex.capture_locations()),
                Pattern::Segment(_) | Pattern::Prefix(_) | Pattern::Whole(_) => None,
            },
            location: Rc::new(Location::new(options, place)),
        };
        Self { routes: locations.iter().zip(0..).map(route).collect() }
    }

    /// All locations.
    pub(super) fn locations(&self) -> impl Iterator<Item = &Rc<Location>> {
        self.routes.iter().map(|route| &route.location)
    }

    /// The first location that serves `path`, and the channel ids' part of the path. None serves
    /// `*`, whatever their patterns take.
    pub(super) fn find<'p>(&mut self, path: &'p [u8]) -> Option<Found<'p>> {
        if path == SERVER {
            return None;
        }
        self.routes.iter_mut().find_map(|route| {
            let part = match (&route.pattern, &mut route.captures) {
                (Pattern::Url(regex), Some(captures)) => {
                    regex.captures_read(captures, path)?;
                    let (start, end) = captures.get(1)?;
                    path.get(start..end)?
                }
                (other, _) => other.uncaptured_part(path)?,
            };
            Some((Rc::clone(&route.location), part))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::options::PublisherOptions;

    #[test]
    fn an_origin_that_no_slot_is_left_for_is_none_of_the_listed() {
        let origin = |index: usize| format!("http://h{index}");
        let publisher = PublisherOptions {
            create_on_post: true,
            store_messages: true,
            allow: Vec::new(),
            secret: None,
            allow_origin: Origins::Listed((1..=65_537).map(origin).collect()),
        };
        let location = Location::new(
            &LocationOptions {
                pattern: Pattern::prefix("/").unwrap(),
                shown: "/".into(),
                ids: ChannelIds::One,
                store: StoreId(0),
                channel_group: String::new(),
                role: Role::Publisher(publisher),
                signed: None,
            },
            0,
        );
        let slot = |index| location.origin_slot(Some(origin(index).as_bytes()));
        assert_eq!(slot(65_535), OriginSlot(65_535));
        assert_eq!((slot(65_536), slot(65_537)), (OriginSlot::UNLISTED, OriginSlot::UNLISTED));
        assert!(location.admits(slot(1)) && !location.admits(slot(65_536)));
    }
}
