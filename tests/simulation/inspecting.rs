//! What the inspector tells, compared with the model: which messages were published, to how many
//! they went, and who is held. In half of all runs, by whoever asks it over a connection of its
//! own, which the model knows nothing of.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pushserver::relay::ConnKey;
use pushserver_testkit::{Answer, Happened};
use serde_json::Value;

use crate::model::{Name, Wake};
use crate::settings::STORES;
use crate::world::World;

/// Looks between two questions.
const PATIENCE: u64 = 4;

/// What it should tell, and has told.
#[derive(Debug, Default)]
pub(crate) struct Inspecting {
    /// The connection that asks.
    conn: Option<ConnKey>,
    /// How often it could have asked.
    looks: u64,
    /// The newest event that was told.
    after: u64,
    /// Messages that are still to be told, by channel.
    published: BTreeMap<Key, VecDeque<Published>>,
    /// What their deliveries are, by id.
    sent: BTreeMap<String, Sent>,
    /// Holds that have no end yet, each with its channels.
    open: BTreeSet<(u64, Key)>,
}

/// A channel: store, group and id, as they are told.
type Key = [String; 3];

#[derive(Debug)]
struct Published {
    id: String,
    bytes: usize,
    waited: u64,
    is_kept: bool,
    /// Its publisher has its answer, so it is told. Otherwise it may be forgotten.
    is_answered: bool,
}

/// Of all messages of one id, which channels of several stores may have.
#[derive(Debug, Default)]
struct Sent {
    polls: u64,
    streams: u64,
    to: u64,
}

impl Inspecting {
    /// Whether this concerns the one that asks.
    pub(crate) fn is_own(&self, happened: &Happened) -> bool {
        match happened {
            Happened::Received(conn, _) | Happened::Refused(conn) | Happened::Told(conn, _) => {
                self.conn == Some(*conn)
            }
            _ => false,
        }
    }

    /// A message is published, for which so many waited, and so many streams were there.
    pub(crate) fn published(
        &mut self,
        wake: &Wake,
        waited: usize,
        streams: u64,
        is_answered: bool,
    ) {
        let (message, waited) = (&wake.message, waited as u64);
        let (id, bytes, is_kept) = (message.id.to_string(), message.body.len(), message.is_kept);
        self.sent.entry(id.clone()).or_default().streams += streams;
        let published = Published { id, bytes, waited, is_kept, is_answered };
        self.published.entry(key(wake.name)).or_default().push_back(published);
    }

    /// A poll that was held has a message.
    pub(crate) fn woken(&mut self, wake: &Wake) {
        self.sent.entry(wake.message.id.to_string()).or_default().polls += 1;
    }

    fn take(&mut self, event: &Value) {
        let text = |name| event[name].as_str().unwrap_or_default().to_owned();
        let number = |name| event[name].as_u64().unwrap_or_else(|| panic!("{name} of {event}"));
        let store = event["store"].as_str().unwrap_or(STORES[0]);
        let channel = [store.to_owned(), text("group"), text("ch")];
        match text("k").as_str() {
            "publish" => {
                let due = self.published.entry(channel).or_default();
                let forgotten = due.iter().take_while(|one| one.id != text("id")).count();
                let is_untold = due.drain(..forgotten).any(|one| one.is_answered);
                assert!(!is_untold, "one before it is not told: {event}");
                let one = due.pop_front().unwrap_or_else(|| panic!("unpublished: {event}"));
                assert_eq!(number("bytes"), one.bytes as u64, "{event}");
                assert_eq!(number("sent"), one.waited, "{event}");
                assert_eq!(event["kept"].as_bool(), Some(one.is_kept), "{event}");
            }
            "sent" => {
                let sent = self.sent.get_mut(&text("id"));
                sent.unwrap_or_else(|| panic!("unpublished: {event}")).to += number("to");
            }
            "hold" => {
                assert!(self.open.insert((number("h"), channel)), "held twice: {event}");
            }
            "end" => assert!(self.open.remove(&(number("h"), channel)), "it is over: {event}"),
            _ => {}
        }
    }
}

impl World {
    /// Looks now and then, while no store is asked: its answer might come behind the last event.
    pub(crate) fn inspect_sometimes(&mut self) {
        let is_asked = !self.asks.is_empty() || self.network.relay.state().hub.asks() > 0;
        self.inspecting.looks += u64::from(!is_asked);
        if !is_asked && self.inspecting.looks.is_multiple_of(PATIENCE) {
            self.inspect();
        }
    }

    /// All that was told until now is what the model says.
    pub(crate) fn inspect(&mut self) {
        if !self.settings.is_inspected() {
            return;
        }
        loop {
            let told = self.ask_inspector();
            assert_eq!(told["lost"], 0, "the rings have room for all that happens between looks");
            let events = told["events"].as_array().expect("a list");
            events.iter().for_each(|event| self.inspecting.take(event));
            self.inspecting.after = told["next"].as_u64().expect("a number");
            if events.is_empty() {
                break;
            }
        }
        self.count("looks of the inspector");
        let untold = |(_, due): (_, &VecDeque<Published>)| due.iter().any(|one| one.is_answered);
        let published = &self.inspecting.published;
        assert!(!published.iter().any(untold), "published, and not told: {published:?}");
        for (id, Sent { polls, streams, to }) in std::mem::take(&mut self.inspecting.sent) {
            match (polls, streams) {
                (0, 0) => {}
                (_, 0) => self.count("polls of which the inspector tells"),
                _ => self.count("streams of which the inspector tells"),
            }
            let is_right = (polls..=polls + streams).contains(&to);
            assert!(is_right, "{id} went to {polls} polls and {streams} streams, not to {to}");
        }
        let mut held: Vec<Key> = Vec::new();
        for client in self.clients.values() {
            held.extend(client.held.iter().map(|held| key(held.name)));
            held.extend(client.stream.iter().flat_map(|stream| &stream.names).copied().map(key));
        }
        let mut open: Vec<Key> = self.inspecting.open.iter().map(|(_, key)| key.clone()).collect();
        held.sort();
        open.sort();
        assert_eq!(open, held, "the holds that have no end, and those that are there");
    }

    fn ask_inspector(&mut self) -> Value {
        let conn = self.network.connect();
        self.inspecting.conn = Some(conn);
        let line = format!("GET /inspector/events?after={} HTTP/1.1", self.inspecting.after);
        let head = format!("{line}\r\nHost: localhost\r\nAuthorization: Bearer word\r\n\r\n");
        self.network.send(conn, head.as_bytes());
        let mut inbox = Vec::new();
        for is_last in [false, false, true, false] {
            if is_last {
                inbox = self.network.take(conn);
                self.network.reset(conn);
            }
            self.network.turn();
            self.observe();
        }
        let answer = Answer::take(&mut inbox, false).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.head);
        serde_json::from_slice(&answer.body).expect("JSON")
    }
}

fn key((store, group, channel): Name) -> Key {
    [STORES[usize::from(store)], group, channel].map(str::to_owned)
}
