//! Settings: one field for each key of `schema.json`, with all defaults filled in. Gives them no
//! meaning; `build` does.

mod given;
mod stores;

use std::slice;

use serde::{Deserialize, Serialize};

pub(super) use self::given::Given;
pub(super) use self::stores::{Login, MemoryStore, RedisStore, Sentinel, Store, StoreTls, Stores};
use super::seconds::Seconds;
use crate::http::HeadLimits;
use crate::hub::options::Concurrency;
use crate::message::{Delivery, First};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    #[serde(rename = "$schema", skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<String>,
    pub(super) port: u16,
    pub(super) address: String,
    pub(super) servername: String,
    pub(super) hosts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) publisher_host: Option<Host>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subscriber_host: Option<Host>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allrequests: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allrequests_secret: Option<Given>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) forcehost: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trusted_proxies: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signing_keys: Option<Vec<Given>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) private_key: Option<KeySource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plain_http: Option<bool>,
    pub(super) store: Stores,
    pub(super) locations: Vec<Location>,
    pub(super) limits: Limits,
}

impl Settings {
    /// The names of the stores, in the order of their ids.
    pub(super) fn store_names(&self) -> Vec<&str> {
        match &self.store {
            Stores::One(_) => vec!["default"],
            Stores::Named(stores) => stores.keys().map(String::as_str).collect(),
        }
    }

    /// The stores, in the order of their ids.
    pub(super) fn stores(&self) -> Vec<&Store> {
        match &self.store {
            Stores::One(store) => vec![store],
            Stores::Named(stores) => stores.values().collect(),
        }
    }

    /// The same, to be changed.
    pub(super) fn stores_mut(&mut self) -> Vec<&mut Store> {
        match &mut self.store {
            Stores::One(store) => vec![store],
            Stores::Named(stores) => stores.values_mut().collect(),
        }
    }
}

/// Where the certificate's private key stands, as PEM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum KeySource {
    Path(String),
    /// One of the two.
    Elsewhere {
        #[serde(skip_serializing_if = "Option::is_none")]
        env: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Host {
    Plain(String),
    Full { location: String, secure: bool },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Location {
    Publisher(Publisher),
    Subscriber(Subscriber),
    PubSub(PubSub),
    Status(Status),
}

impl Location {
    /// What all that serve channels have in common.
    pub(super) fn common(&self) -> Option<&Common> {
        match self {
            Self::Publisher(publisher) => Some(&publisher.common),
            Self::Subscriber(subscriber) => Some(&subscriber.common),
            Self::PubSub(both) => Some(&both.common),
            Self::Status(_) => None,
        }
    }

    /// The keys by which it takes messages, and the web pages that may send them.
    pub(super) fn publishing(&self) -> Option<(&Publishing, &[String])> {
        let (publishing, origins) = match self {
            Self::Publisher(one) => (&one.publishing, &one.allow_origin),
            Self::PubSub(both) => (&both.publishing, &both.allow_origin),
            Self::Subscriber(_) | Self::Status(_) => return None,
        };
        Some((publishing, origins.as_ref().map_or(&[], OneOrMore::list)))
    }

    /// The keys by which it gives messages.
    pub(super) fn subscribing(&self) -> Option<&Subscribing> {
        match self {
            Self::Subscriber(one) => Some(&one.subscribing),
            Self::PubSub(both) => Some(&both.subscribing),
            Self::Publisher(_) | Self::Status(_) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Common {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prefix: Option<String>,
    pub(super) store: String,
    pub(super) channel_group: String,
    pub(super) signed: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Publisher {
    #[serde(flatten)]
    pub(super) common: Common,
    #[serde(flatten)]
    pub(super) publishing: Publishing,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allow_origin: Option<OneOrMore>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Subscriber {
    #[serde(flatten)]
    pub(super) common: Common,
    #[serde(flatten)]
    pub(super) subscribing: Subscribing,
    pub(super) allow_origin: OneOrMore,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delimiter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) query: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PubSub {
    #[serde(flatten)]
    pub(super) common: Common,
    #[serde(flatten)]
    pub(super) publishing: Publishing,
    #[serde(flatten)]
    pub(super) subscribing: Subscribing,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allow_origin: Option<OneOrMore>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Status {
    pub(super) prefix: String,
    pub(super) inspector: bool,
    pub(super) allow: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<Given>,
}

/// What publisher and pubsub locations have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Publishing {
    pub(super) create_on_post: bool,
    pub(super) store_messages: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allow: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<Given>,
}

/// What subscriber and pubsub locations have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Subscribing {
    pub(super) transports: Vec<Transport>,
    pub(super) polling: Delivery,
    pub(super) create_on_get: bool,
    pub(super) concurrency: Concurrency,
    pub(super) timeout: Seconds,
    pub(super) ping_interval: Seconds,
    pub(super) first_message: FirstMessage,
    pub(super) max_subscribers: usize,
    pub(super) allow_credentials: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) passthrough: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) passthrough_secret: Option<Given>,
    pub(super) passthrough_events: PassthroughEvents,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) presence: Option<bool>,
    pub(super) presence_grace: Seconds,
    pub(super) presence_cookie: String,
}

/// What the URL is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PassthroughEvents {
    /// Each hold.
    Raw,
    /// Who comes and leaves.
    Debounced,
}

/// A way to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Transport {
    WebSocket,
    EventSource,
    Poll,
}

/// `first_message` as it is written; schema.json bounds the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum FirstMessage {
    Named(NamedFirst),
    /// Minus the number of messages.
    Last(i32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum NamedFirst {
    Oldest,
    Newest,
}

impl FirstMessage {
    pub(super) fn first(self) -> First {
        match self {
            Self::Named(NamedFirst::Oldest) => First::Oldest,
            Self::Named(NamedFirst::Newest) => First::Newest,
            Self::Last(minus) => First::Last(minus.unsigned_abs()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(super) fn list(&self) -> &[String] {
        match self {
            Self::One(one) => slice::from_ref(one),
            Self::More(list) => list,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connections: Option<usize>,
    pub(super) channels: usize,
    pub(super) passthrough_queue: usize,
    #[serde(flatten)]
    pub(super) head: HeadLimits,
    pub(super) body_bytes: usize,
    pub(super) channel_id_bytes: usize,
    pub(super) channels_per_request: usize,
    pub(super) pipeline_depth: usize,
    pub(super) header_timeout: Seconds,
    pub(super) body_timeout: Seconds,
    pub(super) write_timeout: Seconds,
    pub(super) keepalive_timeout: Seconds,
    pub(super) upstream_timeout: Seconds,
    pub(super) upstream_wait: Seconds,
    pub(super) token_seconds: u64,
    pub(super) revocations: usize,
    pub(super) waiting_publishers: usize,
    pub(super) presence_members: usize,
}
