//! What the relay is told at start and on reload. Built by `config`, checked there, never again.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::http::HeadLimits;
use crate::hub::options::Concurrency;
use crate::message::{Delivery, First, Order};
use crate::relay::location::pattern::Pattern;
use crate::secret::{Secret, SigningKey};
use crate::store::StoreId;

/// The relay's settings.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `Server` header; empty leaves it out.
    pub server: String,
    /// Further names of the daemon where it listens on a loopback address: `push.example`,
    /// `.example` for it and all below it, `*` for all.
    pub hosts: Vec<String>,
    /// In order: the first that matches serves the request.
    pub locations: Vec<LocationOptions>,
    /// What becomes of requests that no location matches; `None`: they are answered 404.
    pub proxy: Option<ProxyOptions>,
    /// Sizes and times that bound what a peer can make us hold.
    pub limits: Limits,
    /// What tokens are signed with: each of these will do.
    pub signing_keys: Vec<SigningKey>,
    /// Each answer is logged, with target [`ACCESS`](crate::log_targets::ACCESS).
    pub access_log: bool,
}

impl Options {
    /// Whether some location shows how the daemon does.
    pub(super) fn has_status(&self) -> bool {
        self.locations.iter().any(|location| location.role.is_status())
    }
}

/// The upstream that serves what no location does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyOptions {
    /// As in the settings, to speak of it.
    pub url: String,
    /// The host and port of the URL: `Host` for requests that name none.
    pub host: String,
    /// Where it accepts connections, looked up at start; the first that does so is taken.
    pub addresses: Vec<UpstreamAddress>,
    /// Requests for another host are sent to this one, with 301. `host` or `host:port`.
    pub force_host: Option<String>,
    /// Front servers that may speak for their clients: their `X-Forwarded-…` fields are passed on.
    pub trusted: Vec<IpNet>,
    /// Goes with every request as `X-Pushserver-Secret`, beside `X-Pushserver-Peer`.
    pub secret: Option<Secret>,
}

/// One address of the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
}

/// One location of the settings.
#[derive(Debug, Clone)]
pub struct LocationOptions {
    /// Which paths it serves, and which part of them has the channel ids.
    pub pattern: Pattern,
    /// The `url` or `prefix` of that, to speak of it.
    pub shown: Box<str>,
    /// How the channel ids stand in a request.
    pub ids: ChannelIds,
    /// Where its channels' messages are kept.
    pub store: StoreId,
    /// Prefix namespace: the same id in another group is another channel. May be empty.
    pub channel_group: String,
    /// What it does.
    pub role: Role,
    /// Requests need a token, which names the channel group and this, the name of the store;
    /// `None`: they need none.
    pub signed: Option<Box<str>>,
}

/// How the channel ids stand in a request. Only a subscriber location has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelIds {
    /// The part of the path that the pattern captures is one id.
    One,
    /// That part is a list of ids with this text between them, which is not empty.
    Split(Box<str>),
    /// Each value of the query parameter of this name is an id; the pattern captures nothing.
    Query(Box<str>),
}

impl ChannelIds {
    /// Whether a request may name several channels.
    #[must_use]
    pub fn may_be_several(&self) -> bool {
        *self != Self::One
    }

    /// The order that the cursors of the location count in.
    #[must_use]
    pub fn order(&self) -> Order {
        if self.may_be_several() { Order::Store } else { Order::Channel }
    }
}

/// What a location does.
#[derive(Debug, Clone)]
pub enum Role {
    /// Takes messages.
    Publisher(PublisherOptions),
    /// Gives messages.
    Subscriber(SubscriberOptions),
    /// Takes messages, and gives them by GET. Both sides have the same `allow_origin`.
    PubSub(PublisherOptions, SubscriberOptions),
    /// Serves who runs the daemon. Its pattern captures the name of what is asked for.
    Status(StatusOptions),
}

impl Role {
    /// The settings by which it takes messages, if it does.
    #[must_use]
    pub fn publisher(&self) -> Option<&PublisherOptions> {
        match self {
            Self::Publisher(publisher) | Self::PubSub(publisher, _) => Some(publisher),
            Self::Subscriber(_) | Self::Status(_) => None,
        }
    }

    /// The settings by which it gives messages, if it does.
    #[must_use]
    pub fn subscriber(&self) -> Option<&SubscriberOptions> {
        match self {
            Self::Subscriber(subscriber) | Self::PubSub(_, subscriber) => Some(subscriber),
            Self::Publisher(_) | Self::Status(_) => None,
        }
    }

    /// Whether it shows what happens.
    pub(super) fn inspects(&self) -> bool {
        self.status().is_some_and(|options| options.inspector)
    }

    /// Whether it serves who runs the daemon.
    pub(super) fn is_status(&self) -> bool {
        self.status().is_some()
    }

    /// The settings by which it serves who runs the daemon, if it does.
    pub(super) fn status(&self) -> Option<&StatusOptions> {
        match self {
            Self::Status(status) => Some(status),
            Self::Publisher(_) | Self::Subscriber(_) | Self::PubSub(..) => None,
        }
    }

    /// The location's `type`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Publisher(_) => "publisher",
            Self::Subscriber(_) => "subscriber",
            Self::PubSub(..) => "pubsub",
            Self::Status(_) => "status",
        }
    }

    /// The value of `Allow`.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Publisher(_) => METHODS,
            Self::Subscriber(_) => "GET, OPTIONS",
            Self::PubSub(..) => "GET, POST, PUT, DELETE, OPTIONS",
            // Each of its names has its own.
            Self::Status(_) => "GET, HEAD, POST",
        }
    }

    pub(super) fn allow_origin(&self) -> &Origins {
        match self {
            Self::Publisher(publisher) | Self::PubSub(publisher, _) => &publisher.allow_origin,
            Self::Subscriber(subscriber) => &subscriber.allow_origin,
            Self::Status(_) => &Origins::Nobody,
        }
    }
}

/// Every method that some location serves.
pub(super) const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";

/// A publisher location's settings.
#[derive(Debug, Clone)]
pub struct PublisherOptions {
    /// POST makes an unknown channel; otherwise it is answered 404.
    pub create_on_post: bool,
    /// Messages are kept, not only handed to who waits.
    pub store_messages: bool,
    /// Networks that may publish; empty: all.
    pub allow: Vec<IpNet>,
    /// Required as `Authorization: Bearer …`.
    pub secret: Option<Secret>,
    /// Web pages that may publish; `Nobody`: a request with an `Origin` is answered 403.
    pub allow_origin: Origins,
}

/// A subscriber location's settings.
#[derive(Debug, Clone)]
pub struct SubscriberOptions {
    /// The ways to receive that are served; at least one.
    pub transports: Transports,
    /// Long or interval polling.
    pub delivery: Delivery,
    /// A stream that was silent for so many milliseconds is sent a ping; up to a tenth earlier.
    /// 0 = never.
    pub ping_interval_ms: u64,
    /// Where a request without a cursor begins.
    pub first: First,
    /// GET makes an unknown channel; otherwise it is answered 404.
    pub create_on_get: bool,
    /// What happens to several requests held on one channel.
    pub concurrency: Concurrency,
    /// A held request ends with 304 after so many milliseconds; 0 = never.
    pub timeout_ms: u64,
    /// Most requests held on one channel; 0 = unlimited.
    pub max_subscribers: usize,
    /// Web pages that may subscribe.
    pub allow_origin: Origins,
    /// Whether those may send cookies.
    pub allow_credentials: bool,
    /// URL that is told of subscribe and unsubscribe.
    pub passthrough: Option<String>,
    /// Goes with each of these notices as `X-Pushserver-Secret`.
    pub passthrough_secret: Option<Secret>,
    /// Whether it is known who is on its channels, and how.
    pub presence: Option<PresenceOptions>,
}

impl SubscriberOptions {
    /// Whether the URL is told of each hold, not of those who come and leave.
    pub(super) fn tells_of_holds(&self) -> bool {
        self.presence.as_ref().is_none_or(|presence| !presence.is_told)
    }
}

/// How it is known who is on the channels of a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceOptions {
    /// Milliseconds that a member may be away before it has left.
    pub grace_ms: u32,
    /// The cookie whose value is a session.
    pub cookie: String,
    /// The URL is told who comes and leaves, instead of holds.
    pub is_told: bool,
}

/// A status location's settings.
#[derive(Debug, Clone)]
pub struct StatusOptions {
    /// Networks that may ask, and nobody else.
    pub allow: Vec<IpNet>,
    /// Required as `Authorization: Bearer …`; without it nothing is changed.
    pub secret: Option<Secret>,
    /// It shows what happens, and serves the page for that.
    pub inspector: bool,
    /// The names of the stores, in the order of their ids.
    pub stores: Vec<String>,
}

/// Which ways to receive a location serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transports {
    /// WebSockets (RFC 6455).
    pub websocket: bool,
    /// Event streams (HTML standard 9.2).
    pub event_stream: bool,
    /// Long or interval polls.
    pub poll: bool,
}

/// Which web origins a location answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// None.
    Nobody,
    /// `*`.
    Any,
    /// These, compared byte for byte.
    Listed(Vec<String>),
}

/// Bounds, with the answer of each when it is reached. 0 never means "no limit".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Of a request's head.
    pub head: HeadLimits,
    /// Bytes of a request body, 413.
    pub body_bytes: usize,
    /// Bytes of a channel id, 403.
    pub channel_id_bytes: usize,
    /// Channels that one request may name, 403.
    pub channels_per_request: usize,
    /// Requests of one connection that are served before others have their turn, at least 1.
    pub pipeline_depth: usize,
    /// Milliseconds for a whole request head, 408.
    pub header_timeout_ms: u64,
    /// Milliseconds without progress of a request body, 408.
    pub body_timeout_ms: u64,
    /// Milliseconds without progress of an answer; then the connection is closed.
    pub write_timeout_ms: u64,
    /// Milliseconds between requests; then the connection is closed.
    pub keepalive_timeout_ms: u64,
    /// Milliseconds without progress of an upstream, 504.
    pub upstream_timeout_ms: u64,
    /// Milliseconds that a request waits for an upstream that accepts no connections, 502.
    pub upstream_wait_ms: u64,
    /// Seconds that a token may be good for, 401.
    pub token_s: u64,
    /// Revocations that are kept; beyond, the oldest goes.
    pub revocations: usize,
    /// Publishers that wait until their message is sent; beyond, they do not.
    pub waiting_publishers: usize,
    /// Members of channels that are known; beyond, new ones are not.
    pub presence_members: usize,
}
