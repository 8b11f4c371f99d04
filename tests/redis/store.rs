//! Store: the scripts of one store, called one after the other on a connection to a real server.

use pushserver::message::{Content, MessageId};
use pushserver::store::redis::answers::{Entry, Known, Opened, Published, Refusal, Synced};
use pushserver::store::redis::keys::Keys;
use pushserver::store::redis::options::Limits;
use pushserver::store::redis::resp::Value;
use pushserver::store::redis::scripts::{Begin, Calls, Command, Publish};
use pushserver_testkit::Redis;
use pushserver_testkit::redis::Connection;

/// A deadline that never comes; exact as a number of Lua.
pub(crate) const FAR: u64 = u64::MAX >> 12;

/// What is kept for ever.
pub(crate) const FOREVER: Limits =
    Limits { min_messages: 0, max_messages: 0, message_timeout_s: 0, channel_timeout_s: 0 };

pub(crate) struct Store {
    pub(crate) connection: Connection,
    pub(crate) keys: Keys,
    pub(crate) limits: Limits,
}

impl Store {
    pub(crate) fn on(redis: &Redis, limits: Limits) -> Self {
        Self { connection: redis.connect(), keys: Keys::new(b"t:", 0), limits }
    }

    pub(crate) fn calls(&self) -> Calls<'_> {
        Calls { keys: &self.keys, limits: self.limits }
    }

    /// Sends a call as the link does: with its body, if the server does not know it by its hash.
    pub(crate) fn send(&mut self, command: &Command) -> Value {
        let mut bytes = Vec::new();
        command.write(&mut bytes);
        self.connection.send(&bytes);
        match self.connection.receive() {
            Value::Error(error) if Refusal::of(&error) == Refusal::NoScript => {
                bytes.clear();
                command.write_whole(&mut bytes);
                self.connection.send(&bytes);
                self.connection.receive()
            }
            answer => answer,
        }
    }

    pub(crate) fn try_publish(
        &mut self,
        name: &[u8],
        publish: Publish<'_>,
    ) -> Result<Published, Refusal> {
        let command = self.calls().publish(name, publish);
        Published::read(self.send(&command))
    }

    #[track_caller]
    pub(crate) fn publish(&mut self, name: &[u8], body: &[u8]) -> Published {
        self.try_publish(name, message(body)).expect("it is published")
    }

    pub(crate) fn open(&mut self, name: &[u8], begin: Begin) -> Result<Opened, Refusal> {
        let command = self.calls().open(name, begin, false, false);
        Opened::read(self.send(&command))
    }

    #[track_caller]
    pub(crate) fn first(&mut self, name: &[u8], begin: Begin) -> Option<Entry> {
        self.open(name, begin).expect("there is a channel").first
    }

    /// A subscriber that waits on a channel which is made for it.
    #[track_caller]
    pub(crate) fn wait(&mut self, name: &[u8]) -> Opened {
        let command = self.calls().open(name, Begin::Oldest, true, true);
        Opened::read(self.send(&command)).expect("it may wait")
    }

    #[track_caller]
    pub(crate) fn sync(&mut self, name: &[u8], after: MessageId, bounds: (u32, u32)) -> Synced {
        let command = self.calls().sync(name, after, bounds.0, bounds.1);
        Synced::read(self.send(&command)).expect("an answer")
    }

    /// All bodies that there are.
    pub(crate) fn bodies(&mut self, name: &[u8]) -> Vec<String> {
        let synced = self.sync(name, MessageId::default(), (1000, 1 << 20));
        let text = |entry: Entry| String::from_utf8_lossy(&entry.content.body).into_owned();
        synced.entries.into_iter().map(text).collect()
    }

    pub(crate) fn info(&mut self, name: &[u8]) -> Result<Known, Refusal> {
        let command = self.calls().info(name);
        Known::read(self.send(&command))
    }

    pub(crate) fn put(&mut self, name: &[u8]) -> Result<Known, Refusal> {
        let command = self.calls().put(name);
        Known::read(self.send(&command))
    }

    pub(crate) fn delete(&mut self, name: &[u8]) -> Result<Known, Refusal> {
        let command = self.calls().delete(name, FAR);
        Known::read(self.send(&command))
    }

    pub(crate) fn lease(&mut self, name: &[u8], asked_ago_s: u64) -> Result<(), Refusal> {
        let command = self.calls().lease(name, asked_ago_s);
        pushserver::store::redis::answers::leased(self.send(&command)).map(drop)
    }

    /// Seconds that a key has to live; -1: for ever, -2: there is none.
    pub(crate) fn ttl(&mut self, key: &[u8]) -> i64 {
        match self.connection.ask(&[b"TTL", key]) {
            Value::Number(number) => number,
            other => panic!("{other:?}"),
        }
    }

    /// [`Store::ttl`] of the stream and of the record of a channel.
    pub(crate) fn ttls(&mut self, name: &[u8]) -> (i64, i64) {
        let (stream, record) = (self.keys.stream(name), self.keys.record(name));
        (self.ttl(&stream), self.ttl(&record))
    }

    pub(crate) fn number_of_keys(&mut self) -> i64 {
        match self.connection.ask(&["DBSIZE"]) {
            Value::Number(number) => number,
            other => panic!("{other:?}"),
        }
    }

    /// The second on Redis' clock.
    pub(crate) fn now(&mut self) -> u64 {
        match self.connection.ask(&["TIME"]) {
            Value::List(values) => match &values[0] {
                Value::Text(text) => String::from_utf8_lossy(text).parse().expect("digits"),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

/// A message that is kept, on a channel that is made for it.
pub(crate) fn message(body: &[u8]) -> Publish<'_> {
    Publish {
        content: Content { content_type: None, event: None, body },
        create: true,
        store: true,
        deadline_ms: FAR,
        least_id: MessageId::default(),
        least_place: MessageId::default(),
    }
}

pub(crate) fn id(time: u64, tag: u32) -> MessageId {
    MessageId { time, tag }
}
