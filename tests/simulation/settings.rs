//! What one run is configured with. The locations are always the same; numbers are drawn.

use std::sync::LazyLock;

use pushserver::http::HeadLimits;
use pushserver::hub::options::{Concurrency, StoreKind, StoreOptions};
use pushserver::message::{Delivery, First, MessageId};
use pushserver::relay::location::Pattern;
use pushserver::relay::options::{
    ChannelIds, Limits, LocationOptions, Options, Origins, PublisherOptions, Role, StatusOptions,
    SubscriberOptions, Transports,
};
use pushserver::secret::{Secret, SigningKey};
use pushserver::store::{StoreId, memory};

use pushserver_testkit::Random;
use pushserver_testkit::tokens::{SIGNING_KEYS, sign};
use serde_json::json;

/// The names of the stores.
pub(crate) const STORES: [&str; 2] = ["default", "other"];

/// What a location of the simulation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Publisher { create: bool, store: bool },
    Subscriber { interval: bool, create: bool, concurrency: Concurrency, limited: bool },
}

/// How the channel ids stand in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    One,
    /// With commas between them.
    Split,
    /// As values of `channel` in the query.
    Query,
}

/// One location.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) path: &'static str,
    pub(crate) ids: Ids,
    /// Where a request without cursor begins.
    pub(crate) first: First,
    pub(crate) store: u16,
    pub(crate) group: &'static str,
    pub(crate) passthrough: bool,
    /// Its WebSockets publish: whether that makes channels, and whether messages are kept.
    pub(crate) publishes: Option<(bool, bool)>,
    pub(crate) kind: Kind,
}

const fn publisher(
    path: &'static str,
    store: u16,
    group: &'static str,
    create: bool,
    keep: bool,
) -> Place {
    let kind = Kind::Publisher { create, store: keep };
    Place {
        path,
        ids: Ids::One,
        first: First::Oldest,
        store,
        group,
        passthrough: false,
        publishes: None,
        kind,
    }
}

const fn subscriber(path: &'static str, concurrency: Concurrency) -> Place {
    let kind = Kind::Subscriber { interval: false, create: true, concurrency, limited: false };
    let (store, group, first) = (0, "", First::Oldest);
    Place { path, ids: Ids::One, first, store, group, passthrough: false, publishes: None, kind }
}

const BROADCAST: Concurrency = Concurrency::Broadcast;
const INTERVAL: Kind =
    Kind::Subscriber { interval: true, create: true, concurrency: BROADCAST, limited: false };
const BASE: Place = subscriber("", BROADCAST);
const LIST: Place = Place { ids: Ids::Split, ..BASE };

/// The first location of several channels: all that follow are.
pub(crate) const SEVERAL_FROM: usize = 20;

pub(crate) const PLACES: [Place; 28] = [
    publisher("/pub/", 0, "", true, true),
    publisher("/flash/", 0, "", true, false),
    publisher("/strict/", 0, "", false, true),
    publisher("/group-pub/", 0, "g", true, true),
    publisher("/other-pub/", 1, "", true, true),
    subscriber("/sub/", BROADCAST),
    Place { path: "/told/", passthrough: true, ..BASE },
    Place { path: "/last/", passthrough: true, ..subscriber("/", Concurrency::Last) },
    subscriber("/first/", Concurrency::First),
    Place {
        path: "/few/",
        kind: Kind::Subscriber {
            interval: false,
            create: true,
            concurrency: BROADCAST,
            limited: true,
        },
        ..BASE
    },
    Place {
        path: "/known/",
        kind: Kind::Subscriber {
            interval: false,
            create: false,
            concurrency: BROADCAST,
            limited: false,
        },
        ..BASE
    },
    Place { path: "/interval/", kind: INTERVAL, ..BASE },
    Place { path: "/group/", group: "g", ..BASE },
    Place { path: "/other/", store: 1, passthrough: true, ..BASE },
    Place { path: "/newest/", first: First::Newest, ..BASE },
    Place { path: "/two/", first: First::Last(2), ..BASE },
    Place { path: "/interval-two/", first: First::Last(2), kind: INTERVAL, ..BASE },
    Place { path: "/both/", publishes: Some((true, true)), passthrough: true, ..BASE },
    Place { path: "/both-flash/", publishes: Some((true, false)), ..BASE },
    Place { path: "/both-strict/", publishes: Some((false, true)), ..BASE },
    Place { path: "/list-newest/", first: First::Newest, ..LIST },
    Place { path: "/list-two/", first: First::Last(2), ..LIST },
    Place { path: "/list/", passthrough: true, ..LIST },
    Place { path: "/ask", ids: Ids::Query, ..BASE },
    Place { path: "/list-last/", ids: Ids::Split, ..subscriber("/", Concurrency::Last) },
    Place {
        path: "/list-few/",
        kind: Kind::Subscriber {
            interval: false,
            create: true,
            concurrency: BROADCAST,
            limited: true,
        },
        ..LIST
    },
    Place {
        path: "/list-known/",
        kind: Kind::Subscriber {
            interval: false,
            create: false,
            concurrency: BROADCAST,
            limited: false,
        },
        ..LIST
    },
    Place { path: "/other-ask", ids: Ids::Query, store: 1, passthrough: true, ..BASE },
];

/// The locations that need a token. Every request there has one, which outlasts any run: they
/// behave as all others.
const SIGNED: [&str; 8] =
    ["/group-pub/", "/told/", "/group/", "/other/", "/two/", "/both/", "/list-two/", "/ask"];

impl Place {
    /// Whether it needs a token.
    pub(crate) fn is_signed(&self) -> bool {
        SIGNED.contains(&self.path)
    }

    /// The header line with its token, if it needs one, for these channels.
    pub(crate) fn token(&self, channels: &[&str]) -> String {
        if !self.is_signed() {
            return String::new();
        }
        let mut claims = json!({"c": channels, "e": 604_800 / 2, "g": self.group});
        claims["s"] = STORES[usize::from(self.store)].into();
        if matches!(self.kind, Kind::Publisher { .. }) || self.publishes.is_some() {
            claims["a"] = "pub".into();
        }
        let token = sign(SIGNING_KEYS[usize::from(self.store)], &claims, FIRST_ID.time);
        format!("Authorization: Bearer {token}\r\n")
    }

    /// Every way to write a pattern is used.
    fn pattern(&self) -> Pattern {
        match self.path.len() % 3 {
            _ if self.ids == Ids::Query => Pattern::whole(self.path).expect("a path"),
            0 => Pattern::prefix(self.path).expect("a prefix"),
            1 => Pattern::url(&format!("{}([^/]+)", self.path)).expect("a segment"),
            _ => Pattern::url(&format!("(?:{})(.+)", self.path)).expect("an expression"),
        }
    }

    /// Of one where one may publish: whether that makes channels, and whether messages are kept.
    pub(crate) fn publishes(&self) -> (bool, bool) {
        match self.kind {
            Kind::Publisher { create, store } => (create, store),
            Kind::Subscriber { .. } => self.publishes.expect("one may publish there"),
        }
    }
}

/// Those of the locations. Built once, as that takes longer than half a run.
static PATTERNS: LazyLock<Vec<Pattern>> =
    LazyLock::new(|| PLACES.iter().map(Place::pattern).collect());

/// Whether requests to a location may name several channels.
pub(crate) fn is_of_several(place: usize) -> bool {
    PLACES[place].ids != Ids::One
}

/// Numbers of one run, or of the time after a reload. Times are whole ticks of the timer wheel
/// (10 ms), so that the model can say exactly when something is due.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) stores: Vec<StoreOptions>,
    pub(crate) limits: Limits,
    pub(crate) channels_max: usize,
    pub(crate) poll_timeout_ms: u64,
    pub(crate) max_subscribers: usize,
    pub(crate) ping_interval_ms: u64,
    pub(crate) seed: u64,
}

/// Ids given out are above this one.
pub(crate) const FIRST_ID: MessageId = MessageId { time: 1_700_000_000, tag: 123_456 };

impl Settings {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let mut settings = Self {
            stores: Vec::new(),
            limits: Limits {
                head: HeadLimits { header_bytes: 1500, headers: 20, uri_bytes: 300 },
                body_bytes: 30_000,
                channel_id_bytes: 40,
                ..Limits::default()
            },
            channels_max: random.pick(&[3, 6, 1000, 1000, 1000, 1000, 1000, 1000]),
            poll_timeout_ms: 0,
            max_subscribers: 0,
            ping_interval_ms: 0,
            seed: random.number(),
        };
        settings.draw_again(random);
        settings
    }

    /// What a reload changes.
    pub(crate) fn draw_again(&mut self, random: &mut Random) {
        self.stores = (0..2)
            .map(|_| StoreOptions {
                memory: memory::Options {
                    min_messages: random.pick(&[0, 0, 1, 3]),
                    max_messages: random.pick(&[0, 0, 1, 4, 10]),
                    message_timeout_ms: random.pick(&[0, 500, 5_000, 30_000, 600_000]),
                    max_memory: random.pick(&[900, 3_000, 10_000, 1 << 20]),
                    dropped_at_once: random.pick(&[1, 3, 512]),
                },
                channel_timeout_ms: random.pick(&[500, 5_000, 60_000]),
                kind: StoreKind::Memory,
            })
            .collect();
        self.limits.pipeline_depth = random.pick(&[1, 3, 16]);
        self.limits.keepalive_timeout_ms = random.pick(&[1_000, 60_000]);
        self.poll_timeout_ms = random.pick(&[0, 1_000, 30_000, 55_000]);
        self.max_subscribers = random.pick(&[1, 2, 3]);
        self.ping_interval_ms = random.pick(&[0, 1_000, 25_000]);
    }

    pub(crate) fn hub(&self) -> pushserver::hub::options::Options {
        pushserver::hub::options::Options {
            stores: self.stores.clone(),
            channels_max: self.channels_max,
            first_id: FIRST_ID,
            seed: self.seed,
        }
    }

    pub(crate) fn relay(&self) -> Options {
        Options {
            server: "sim".to_owned(),
            hosts: Vec::new(),
            locations: (PLACES.iter().zip(PATTERNS.iter()))
                .map(|(place, pattern)| self.location(place, pattern.clone()))
                .chain(self.is_inspected().then(inspector))
                .collect(),
            proxy: None,
            limits: self.limits.clone(),
            signing_keys: SIGNING_KEYS
                .iter()
                .map(|key| SigningKey::of(&(*key).into()).expect("a key"))
                .collect(),
            access_log: false,
        }
    }

    /// Whether what happens is recorded, and shown.
    pub(crate) fn is_inspected(&self) -> bool {
        self.seed.is_multiple_of(2)
    }

    fn location(&self, place: &Place, pattern: Pattern) -> LocationOptions {
        let role = match place.kind {
            Kind::Publisher { create, store } => Role::Publisher(PublisherOptions {
                create_on_post: create,
                store_messages: store,
                allow: Vec::new(),
                secret: None,
                allow_origin: Origins::Nobody,
            }),
            Kind::Subscriber { interval, create, concurrency, limited } => {
                let subscriber = SubscriberOptions {
                    transports: Transports { websocket: true, event_stream: true, poll: true },
                    ping_interval_ms: self.ping_interval_ms,
                    first: place.first,
                    delivery: if interval { Delivery::IntervalPoll } else { Delivery::LongPoll },
                    create_on_get: create,
                    concurrency,
                    timeout_ms: self.poll_timeout_ms,
                    max_subscribers: if limited { self.max_subscribers } else { 0 },
                    allow_origin: Origins::Any,
                    allow_credentials: false,
                    passthrough: place.passthrough.then(|| format!("http://django{}", place.path)),
                    passthrough_secret: None,
                    presence: None,
                };
                match place.publishes {
                    None => Role::Subscriber(subscriber),
                    Some((create, store)) => {
                        let publisher = PublisherOptions {
                            create_on_post: create,
                            store_messages: store,
                            allow: Vec::new(),
                            secret: None,
                            allow_origin: Origins::Any,
                        };
                        Role::PubSub(publisher, subscriber)
                    }
                }
            }
        };
        LocationOptions {
            shown: pattern.expression().into(),
            pattern,
            ids: match place.ids {
                Ids::One => ChannelIds::One,
                Ids::Split => ChannelIds::Split(",".into()),
                Ids::Query => ChannelIds::Query("channel".into()),
            },
            store: StoreId(place.store),
            channel_group: place.group.to_owned(),
            role,
            signed: place.is_signed().then(|| STORES[usize::from(place.store)].into()),
        }
    }
}

/// Where the inspector is asked.
fn inspector() -> LocationOptions {
    LocationOptions {
        pattern: Pattern::url("/inspector(/events)").expect("an expression"),
        shown: "/inspector/".into(),
        ids: ChannelIds::One,
        store: StoreId(0),
        channel_group: String::new(),
        role: Role::Status(StatusOptions {
            allow: vec!["127.0.0.1/32".parse().expect("a network")],
            secret: Some(Secret::from("word")),
            inspector: true,
            stores: STORES.map(str::to_owned).to_vec(),
        }),
        signed: None,
    }
}
