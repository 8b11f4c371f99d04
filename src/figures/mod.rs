//! Figures: what there is now and what happened since the start, as typed fields of one struct for
//! each layer. Counts nothing itself. Whatever shows figures (the log line at SIGUSR1, …) is a
//! writer over [`Figures::each`], so that a new one needs a field here and nothing else.

mod circumstances;
mod histogram;
pub mod json;
pub mod metrics;

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

pub use self::circumstances::{Durations, Process, SettingsFigures};
pub use self::histogram::{BOUNDS_US, Histogram};

/// How a figure moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What there is now: rises and falls.
    Gauge,
    /// What happened since the start: only rises.
    Counter,
}

/// One figure, to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// Unique among all; a word of `[a-z0-9_]`, its unit last. Of a store: behind its name, whose
    /// other characters are `_`.
    pub name: Cow<'static, str>,
    /// How it moves.
    pub kind: Kind,
    /// What it is.
    pub value: u64,
    /// What it is called in `metrics`, with its labels there: without what all names begin with,
    /// and what those of counters end with. Empty: it is not there.
    pub metric: &'static str,
}

/// Defines the figures of a layer, each once: how it moves, its name, what it means.
macro_rules! figures {
    ($(#[$about:meta])* pub struct $layer:ident {
        $($(#[$meaning:meta])* $kind:ident $name:ident $(= $metric:literal)?,)+
    }) => {
        $(#[$about])*
        #[allow(missing_docs, reason = "a refusal is named after its status")]
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $layer {
            $($(#[$meaning])* pub $name: u64,)+
        }

        impl $layer {
            /// Adds those of another part of the layer.
            pub fn add(&mut self, other: &Self) {
                $(self.$name = self.$name.saturating_add(other.$name);)+
            }

            /// Every figure, in the order in which it is defined.
            pub fn each(&self) -> impl Iterator<Item = Figure> + use<> {
                let figure = |name, kind, value, metric| Figure {
                    name: Cow::Borrowed(name), kind, value, metric,
                };
                [$(figure(stringify!($name), Kind::$kind, self.$name, concat!($($metric)?)),)+]
                    .into_iter()
            }
        }
    };
}

figures! {
    /// Of the loop and its sockets.
    pub struct NetFigures {
        /// Seconds since the start.
        Gauge uptime_s,
        /// Open connections, with those to an upstream.
        Gauge connections = "connections",
        /// Connections that clients made.
        Counter accepted = "connections_accepted",
        /// How often accepting paused at a limit.
        Counter accept_pauses = "accept_pauses",
        /// Turns of the loop that took longer than 100 ms.
        Counter slow_turns = "slow_turns",
        /// The longest turn, milliseconds.
        Gauge longest_turn_ms = "longest_turn_seconds",
        /// TLS handshakes that are done.
        Counter tls_handshakes = "tls_handshakes{result=\"done\"}",
        /// TLS handshakes that failed, or that their client gave up.
        Counter tls_handshakes_failed = "tls_handshakes{result=\"failed\"}",
        /// Log lines that were dropped, as standard error was too slow.
        Counter log_lines_dropped = "log_lines_dropped",
    }
}

figures! {
    /// Of connections, requests and answers.
    pub struct RelayFigures {
        /// Connections to the upstream.
        Gauge upstreams,
        /// Requests whose body is still coming in.
        Gauge uploads = "uploads",
        /// Bytes of those bodies.
        Gauge upload_bytes = "upload_bytes",
        /// Event streams.
        Gauge event_streams = "event_streams",
        /// WebSockets.
        Gauge websockets = "websockets",
        /// Polls of locations for several channels that are held.
        Gauge polls_of_several,
        /// Timers that are set, with those of the hub.
        Gauge timers = "timers",
        /// Publishers that wait until a subscriber is sent their message.
        Gauge waiting_publishers = "publishers_waiting",
        /// Messages that publishers got an acknowledgement for.
        Counter published = "messages_published",
        /// Messages sent to subscribers.
        Counter delivered = "messages_delivered",
        /// Deliveries that reported a gap.
        Counter gaps = "delivery_gaps",
        /// Connections cut because their client took nothing for `write_timeout`.
        Counter slow_readers = "slow_readers",
        /// WebSockets closed because their client had sent nothing since the last Ping.
        Counter silent,
        /// Connections closed to make room for others.
        Counter shed = "connections_shed",
        /// Requests that were refused as they had no token where one is needed.
        Counter token_refusals_none = "token_refusals{reason=\"none\"}",
        /// Requests whose token does not fit.
        Counter token_refusals_invalid = "token_refusals{reason=\"invalid\"}",
        /// Requests whose token has expired.
        Counter token_refusals_expired = "token_refusals{reason=\"expired\"}",
        /// Requests whose token is one of a user whose access was taken back.
        Counter token_refusals_revoked = "token_refusals{reason=\"revoked\"}",
        /// Members of channels, with those that have left and of whom that is to be told.
        Gauge presence_members = "presence_members",
        /// Members that were not tracked, as there were too many.
        Counter presence_untracked,
        /// How often a user's access was taken back.
        Counter revocations = "revocations",
        // Requests answered with this status.
        Counter answered_101 = "responses{code=\"101\"}",
        Counter answered_200 = "responses{code=\"200\"}",
        Counter answered_201 = "responses{code=\"201\"}",
        Counter answered_202 = "responses{code=\"202\"}",
        Counter answered_204 = "responses{code=\"204\"}",
        Counter answered_304 = "responses{code=\"304\"}",
        Counter answered_406 = "responses{code=\"406\"}",
        Counter answered_409 = "responses{code=\"409\"}",
        Counter answered_410 = "responses{code=\"410\"}",
        Counter answered_426 = "responses{code=\"426\"}",
        Counter answered_507 = "responses{code=\"507\"}",
        // Requests refused with this status.
        Counter refused_400 = "responses{code=\"400\"}",
        Counter refused_401 = "responses{code=\"401\"}",
        Counter refused_403 = "responses{code=\"403\"}",
        Counter refused_404 = "responses{code=\"404\"}",
        Counter refused_405 = "responses{code=\"405\"}",
        Counter refused_408 = "responses{code=\"408\"}",
        Counter refused_413 = "responses{code=\"413\"}",
        Counter refused_414 = "responses{code=\"414\"}",
        Counter refused_417 = "responses{code=\"417\"}",
        Counter refused_421 = "responses{code=\"421\"}",
        Counter refused_431 = "responses{code=\"431\"}",
        Counter refused_501 = "responses{code=\"501\"}",
        Counter refused_502 = "responses{code=\"502\"}",
        Counter refused_503 = "responses{code=\"503\"}",
        Counter refused_504 = "responses{code=\"504\"}",
        Counter refused_505 = "responses{code=\"505\"}",
    }
}

figures! {
    /// Of channels, messages and held requests.
    pub struct HubFigures {
        /// Requests that are held.
        Gauge held = "subscribers_connected",
        /// Fan-outs in progress.
        Gauge fanouts = "fanouts",
        /// Channels that exist.
        Gauge channels = "channels",
        /// Messages in all stores.
        Gauge messages = "stored_messages",
        /// What those messages count against the stores' budgets, bytes.
        Gauge message_bytes = "stored_bytes",
        /// What those may be, bytes.
        Gauge store_limit_bytes = "store_limit_bytes",
        /// Messages removed because their time was up.
        Counter expired = "messages_expired",
        /// Messages removed because of a limit.
        Counter evicted,
        /// Those of them that `max_messages` removed.
        Counter evicted_max_messages = "messages_evicted{reason=\"max_messages\"}",
        /// Those of them that `max_memory` removed.
        Counter evicted_max_memory = "messages_evicted{reason=\"max_memory\"}",
    }
}

figures! {
    /// Of the notices to Django.
    pub struct PassthroughFigures {
        /// Notices that wait to be sent.
        Gauge passthrough_queue = "passthrough_queue_length",
        /// Notices answered with a status of 2xx.
        Counter passthrough_sent = "passthrough_notices{result=\"sent\"}",
        /// Notices answered with another status, or not delivered.
        Counter passthrough_failed = "passthrough_notices{result=\"failed\"}",
        /// Notices not answered in time.
        Counter passthrough_timed_out = "passthrough_notices{result=\"timed_out\"}",
        /// Holds of which neither notice was sent, because the queue was full.
        Counter passthrough_dropped = "passthrough_notices{result=\"dropped\"}",
    }
}

figures! {
    /// Of a store's file.
    pub struct PersistFigures {
        /// Batches that were written, each in one transaction.
        Counter persist_commits = "persist_commits",
        /// Batches that could not be written, whose publishers were refused.
        Counter persist_refused = "persist_refused",
        /// Bytes that are being written or wait for it.
        Gauge persist_queue_bytes = "persist_queue_bytes",
        /// Bytes of the file and its log.
        Gauge persist_file_bytes = "persist_file_bytes",
    }
}

figures! {
    /// Of a store in Redis.
    pub struct RedisFigures {
        /// Whether there is a connection on which Redis answers: 1 or 0.
        Gauge redis_up = "redis_up",
        /// For so long there is none, seconds.
        Gauge redis_away_s = "redis_away_seconds",
        /// Commands that were sent for somebody.
        Counter redis_commands = "redis_commands",
        /// Those that are not answered yet.
        Gauge redis_in_flight = "redis_in_flight",
        /// Requests that were answered 503, as Redis was away or refused them.
        Counter redis_refused = "redis_refused",
        /// Commands that came too late to be done.
        Counter redis_late = "redis_late",
        /// Connections on which Redis answered, but the first.
        Counter redis_reconnects = "redis_reconnects",
        /// Channels whose messages were asked for behind a loss.
        Counter redis_resyncs = "redis_resyncs",
        /// Messages that were missing in what was announced.
        Counter redis_holes = "redis_holes",
        /// Channels that are listened to.
        Gauge redis_live_channels = "redis_live_channels",
        /// Bytes of their newest messages.
        Gauge redis_mirror_bytes = "redis_mirror_bytes",
        /// Questions of subscribers that were answered from those.
        Counter redis_mirror_hits = "redis_mirror_hits",
        /// Questions of subscribers that Redis was asked, each of one channel.
        Counter redis_opens = "redis_opens",
        /// From the newest command to its answer, and the longest of the last minute, microseconds.
        Gauge redis_round_trip_us = "redis_round_trip_seconds",
        /// See `redis_round_trip_us`.
        Gauge redis_worst_round_trip_us = "redis_worst_round_trip_seconds",
    }
}

/// Of one store that has more than its messages in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFigures {
    /// Its name in the settings.
    pub store: Rc<str>,
    /// What it has beside them.
    pub kind: StoreFiguresOf,
}

/// See [`StoreFigures`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFiguresOf {
    /// A file.
    Persist(PersistFigures),
    /// Redis.
    Redis(RedisFigures),
}

impl StoreFigures {
    /// Every figure, by its own name.
    pub fn plain(&self) -> impl Iterator<Item = Figure> + use<> {
        let (persist, redis) = match self.kind {
            StoreFiguresOf::Persist(figures) => (Some(figures), None),
            StoreFiguresOf::Redis(figures) => (None, Some(figures)),
        };
        let persist = persist.into_iter().flat_map(|figures| figures.each());
        persist.chain(redis.into_iter().flat_map(|figures| figures.each()))
    }

    /// Every figure, with the store's name before its own.
    pub fn each(&self) -> impl Iterator<Item = Figure> + use<> {
        let plain = |char: char| if char.is_ascii_alphanumeric() { char } else { '_' };
        let store: String = self.store.to_ascii_lowercase().chars().map(plain).collect();
        self.plain().map(move |figure| Figure {
            name: Cow::Owned(format!("{store}_{}", figure.name)),
            ..figure
        })
    }
}

impl RelayFigures {
    /// Counts an answer of ours with this status.
    pub fn count_answer(&mut self, status: u16) {
        *match status {
            101 => &mut self.answered_101,
            200 => &mut self.answered_200,
            201 => &mut self.answered_201,
            202 => &mut self.answered_202,
            204 => &mut self.answered_204,
            304 => &mut self.answered_304,
            406 => &mut self.answered_406,
            409 => &mut self.answered_409,
            410 => &mut self.answered_410,
            426 => &mut self.answered_426,
            507 => &mut self.answered_507,
            400 => &mut self.refused_400,
            401 => &mut self.refused_401,
            403 => &mut self.refused_403,
            404 => &mut self.refused_404,
            405 => &mut self.refused_405,
            408 => &mut self.refused_408,
            413 => &mut self.refused_413,
            414 => &mut self.refused_414,
            417 => &mut self.refused_417,
            421 => &mut self.refused_421,
            431 => &mut self.refused_431,
            501 => &mut self.refused_501,
            502 => &mut self.refused_502,
            503 => &mut self.refused_503,
            504 => &mut self.refused_504,
            505 => &mut self.refused_505,
            _ => return,
        } += 1;
    }
}

/// The figures of all layers at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Of the loop.
    pub net: NetFigures,
    /// Of the relay.
    pub relay: RelayFigures,
    /// Of the hub.
    pub hub: HubFigures,
    /// Of the notices.
    pub passthrough: PassthroughFigures,
    /// Of each store with a file or in Redis.
    pub stores: Vec<StoreFigures>,
    /// How long things took.
    pub durations: Durations,
    /// Of the process, where the system says; only for who asks for `metrics`.
    pub process: Option<Process>,
    /// Of the settings.
    pub settings: SettingsFigures,
    /// The last second of the certificate that TLS clients are shown, Unix time.
    pub certificate_ends_s: Option<u64>,
    /// Accepting has paused at a limit, and newcomers wait.
    pub is_paused: bool,
}

impl Figures {
    /// Every figure, in the order of the log line.
    pub fn each(&self) -> impl Iterator<Item = Figure> + use<'_> {
        self.own().chain(self.stores.iter().flat_map(StoreFigures::each))
    }

    /// Those of no store.
    fn own(&self) -> impl Iterator<Item = Figure> + use<> {
        let of_relay = |kind| self.relay.each().filter(move |figure| figure.kind == kind);
        let what_there_is = of_relay(Kind::Gauge).chain(self.hub.each());
        let loop_and_relay = self.net.each().chain(what_there_is).chain(of_relay(Kind::Counter));
        loop_and_relay.chain(self.passthrough.each())
    }
}

/// The log line: `name=value`, with spaces between.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Figure { name, value, .. }) in self.each().enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_line_has_every_figure_once() {
        let figures = Figures::default();
        let names: Vec<_> = figures.each().map(|figure| figure.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert_eq!(figures.to_string().split(' ').count(), names.len());
        assert!(figures.to_string().starts_with("uptime_s=0 connections=0 "));
        assert!(figures.to_string().ends_with(
            " refused_505=0 passthrough_queue=0 \
             passthrough_sent=0 passthrough_failed=0 passthrough_timed_out=0 passthrough_dropped=0"
        ));
    }

    #[test]
    fn answers_are_counted_by_status() {
        let mut relay = RelayFigures::default();
        [200, 304, 404, 404, 410, 505, 999]
            .into_iter()
            .for_each(|status| relay.count_answer(status));
        let counted = relay.each().filter(|figure| figure.value > 0);
        let counted: Vec<_> = counted.map(|figure| (figure.name, figure.value)).collect();
        let [ok, same, gone] =
            ["answered_200", "answered_304", "answered_410"].map(|name| (name.into(), 1));
        assert_eq!(counted, [ok, same, gone, ("refused_404".into(), 2), ("refused_505".into(), 1)]);
    }

    #[test]
    fn figures_of_a_store_begin_with_its_name() {
        let persist = PersistFigures { persist_commits: 7, ..PersistFigures::default() };
        let kind = StoreFiguresOf::Persist(persist);
        let stores = vec![StoreFigures { store: "Chat-1".into(), kind }];
        let line = Figures { stores, ..Figures::default() }.to_string();
        assert!(line.ends_with(
            " chat_1_persist_commits=7 chat_1_persist_refused=0 chat_1_persist_queue_bytes=0 \
             chat_1_persist_file_bytes=0"
        ));
    }
}
