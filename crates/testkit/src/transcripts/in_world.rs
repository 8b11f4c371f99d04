//! In world: the relay in memory, as a target of transcripts.

use std::net::Ipv4Addr;

use pushserver::config::{Config, Overrides, Source};
use pushserver::hub::options::{StoreKind, StoreOptions};
use pushserver::message::MessageId;
use pushserver::relay::options::UpstreamAddress;
use pushserver::relay::{Command, ConnKey};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::network::{BEGIN_UNIX_S, Network};
use crate::node::Node;
use crate::transcripts::part::{Part, Talk};
use crate::transcripts::targets::{Target, complete, is_like, question};
use crate::transcripts::transcript::State;

/// What comes behind so many bytes of a step is not split: heads are what splits can hurt.
const SPLIT_BYTES: usize = 4096;

/// How bytes come to the relay in a world.
#[derive(Debug, Clone, Copy)]
pub enum Split {
    /// As they are sent.
    Whole,
    /// One by one.
    Bytes,
    /// In pieces of random length; the seed.
    Random(u64),
}

/// The relay without sockets.
#[derive(Debug)]
pub struct InWorld {
    network: Network,
    split: Split,
    conns: Vec<ConnKey>,
}

impl InWorld {
    /// A relay with these settings.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(settings: &Value, split: Split) -> Result<Self, String> {
        Ok(Self::with(&configured(settings)?, split, |_| {}))
    }

    /// As [`InWorld::new`], with stores that write down what they keep, which takes two turns.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn durable(settings: &Value, split: Split) -> Result<Self, String> {
        let durable = |store: &mut StoreOptions| store.kind = StoreKind::Durable;
        let mut world = Self::with(&configured(settings)?, split, durable);
        world.network.disk.turns = 2;
        Ok(world)
    }

    /// As [`InWorld::new`], with stores in a Redis in memory, whose clock is that of the network.
    /// `is_told_first`: as [`crate::fake_redis::Server::is_told_first`].
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn redis(settings: &Value, split: Split, is_told_first: bool) -> Result<Self, String> {
        let mut settings = settings.clone();
        let stores = settings.as_object_mut().expect("an object").entry("store");
        let stores = stores.or_insert_with(|| json!({})).as_object_mut().expect("an object");
        if stores.is_empty() || !stores.values().all(Value::is_object) {
            stores.insert("type".into(), "redis".into());
        } else {
            for (name, store) in stores {
                store["type"] = "redis".into();
                store["key_prefix"] = name.clone().into();
            }
        }
        let mut world = Self::with(&configured(&settings)?, split, |_| {});
        let address = UpstreamAddress::Tcp((Ipv4Addr::LOCALHOST, 6379).into());
        let mut node = Node::new(address, BEGIN_UNIX_S * 1000);
        node.server.is_told_first = is_told_first;
        world.network.nodes.list.push(node);
        world.network.settle();
        Ok(world)
    }

    fn with(config: &Config, split: Split, change: fn(&mut StoreOptions)) -> Self {
        // A process of an earlier second, so that tags begin at 0.
        let first_id = MessageId { time: BEGIN_UNIX_S - 1, tag: 999_999 };
        let mut hub = config.hub_options(first_id, 1);
        hub.stores.iter_mut().for_each(change);
        let network = Network::new(&config.relay_options(), hub);
        Self { network, split, conns: Vec::new() }
    }

    fn ask(&mut self, name: &str) -> Answer {
        let conn = self.network.connect();
        self.network.send(conn, question(name).as_bytes());
        self.network.settle();
        let mut inbox = self.network.take(conn);
        self.network.reset(conn);
        self.network.settle();
        Answer::take(&mut inbox, false).expect("channel information comes at once")
    }
}

fn configured(settings: &Value) -> Result<Config, String> {
    let text = complete(settings).to_string();
    let config = Config::parse(text.as_bytes(), Source::Defaults, Overrides::default());
    config.map_err(|error| error.to_string())
}

impl Target for InWorld {
    fn begin_unix_s(&self) -> u64 {
        BEGIN_UNIX_S
    }

    fn connect(&mut self) -> usize {
        self.conns.push(self.network.connect());
        self.conns.len() - 1
    }

    fn send(&mut self, conn: usize, bytes: &[u8]) {
        let mut at = Vec::new();
        let length = |state: &mut u64| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            1 + (*state >> 33) as usize % 64
        };
        match self.split {
            Split::Whole => {}
            Split::Bytes => at.extend(1..bytes.len().min(SPLIT_BYTES)),
            Split::Random(seed) => {
                let mut state = seed;
                let mut end = length(&mut state);
                while end < bytes.len().min(SPLIT_BYTES) {
                    at.push(end);
                    end += length(&mut state);
                }
            }
        }
        let mut begin = 0;
        for end in at.into_iter().chain([bytes.len()]) {
            self.network.send(self.conns[conn], &bytes[begin..end]);
            self.network.settle();
            begin = end;
        }
    }

    fn end(&mut self, conn: usize) {
        self.network.end(self.conns[conn]);
        self.network.settle();
    }

    fn leave(&mut self, conn: usize) {
        self.network.reset(self.conns[conn]);
        self.network.settle();
    }

    fn take(&mut self, conn: usize, talk: Talk, to_head: bool) -> Option<Part> {
        talk.take(&mut self.network.peers.get_mut(self.conns[conn]).got, to_head)
    }

    fn is_closed(&mut self, conn: usize) -> bool {
        let peer = self.network.peers.get(self.conns[conn]);
        peer.got.is_empty() && (peer.end.is_some() || peer.is_shut)
    }

    fn wait(&mut self, conn: usize) {
        let conn = self.conns[conn];
        let waits = |network: &Network| {
            let peer = network.peers.get(conn);
            peer.got.is_empty() && peer.end.is_none()
        };
        while waits(&self.network) && self.network.advance_to_deadline() {}
    }

    fn stop(&mut self) {
        let now = self.network.now;
        self.network.relay.command(Command::Shutdown, now);
        self.network.settle();
    }

    fn advance_ms(&mut self, ms: u64) {
        self.network.advance_ms(ms);
    }

    fn set_clock(&mut self, by_seconds: i64) {
        let unix_s = &mut self.network.now.unix_s;
        *unix_s = unix_s.checked_add_signed(by_seconds).expect("a time after 1970");
        // Ids are of the clock of Redis.
        for node in &mut self.network.nodes.list {
            let set = node.begin_ms.checked_add_signed(by_seconds * 1000);
            node.begin_ms = set.expect("a time after 1970");
        }
        // Ids are of the clock of Redis.
        for node in &mut self.network.nodes.list {
            let set = node.begin_ms.checked_add_signed(by_seconds * 1000);
            node.begin_ms = set.expect("a time after 1970");
        }
    }

    fn channel(&mut self, name: &str, state: State, time_passes: bool) -> Result<(), String> {
        loop {
            let answer = self.ask(name);
            let outcome = is_like(&answer, state);
            if outcome.is_ok() || !time_passes || !self.network.advance_to_deadline() {
                return outcome;
            }
        }
    }

    fn finish(&mut self, conn: usize) -> Vec<u8> {
        self.network.end(self.conns[conn]);
        self.network.settle();
        self.network.take(self.conns[conn])
    }

    fn check(&self) {
        assert_eq!(self.network.relay.state().hub.held(), 0, "nobody is left, so nothing is held");
    }
}
