//! Fake Redis: a server in memory that speaks what the link sends, and does what the scripts do. It
//! has no socket and no clock: it is given the bytes of its connections, and the time.
//! `tests/redis` compares it with a real server, command by command.

mod encode;
mod keyspace;
mod prelude;
mod scripts;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use pushserver::store::redis::resp::{Decoder, Value};
use pushserver::store::redis::scripts::Script;

use self::encode::encode;
use self::keyspace::Keyspace;
use self::prelude::Call;
use crate::redis::Data;

/// A connection, as the server numbers them.
pub type ConnId = usize;

/// What comes of a server.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes to whoever has the connection.
    Send(ConnId, Vec<u8>),
    /// It ends the connection.
    Reset(ConnId),
}

/// What the server answers to what it should do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mood {
    /// What was asked.
    #[default]
    Well,
    /// Nothing that takes memory is done.
    OutOfMemory,
    /// It is a replica: no script is run.
    ReadOnly,
    /// It reads its data: no script is run.
    Loading,
    /// Whatever comes is answered with what is no RESP.
    Rubbish,
}

/// See the file.
#[derive(Debug, Default)]
pub struct Server {
    /// How it is now.
    pub mood: Mood,
    /// Whether the one that published is told before its answer of what it listens to, as by 7.0;
    /// behind it, as by 7.2.
    pub is_told_first: bool,
    conns: BTreeMap<ConnId, Conn>,
    next: ConnId,
    databases: HashMap<u32, Keyspace>,
    known: BTreeSet<&'static str>,
    /// What came while it was frozen; `None`: the end of a connection.
    waiting: Option<VecDeque<(ConnId, Option<Vec<u8>>)>>,
    runs: u64,
    outputs: VecDeque<Output>,
    announced: Vec<Announced>,
}

/// What a script has announced, whoever listened.
#[derive(Debug)]
pub struct Announced {
    /// The channel of Redis.
    pub channel: Box<[u8]>,
    /// What `Announcement::read` reads.
    pub payload: Vec<u8>,
}

#[derive(Debug, Default)]
struct Conn {
    decoder: Decoder,
    database: u32,
    listens: BTreeSet<Box<[u8]>>,
    /// Bytes that still reach its other end; `None`: all.
    left: Option<usize>,
}

impl Server {
    /// A connection is made. A server that is frozen has it, too.
    pub fn accept(&mut self) -> ConnId {
        self.next += 1;
        self.conns.insert(self.next, Conn::default());
        self.next
    }

    /// Bytes come, in any pieces, at this time on the server's clock, unix milliseconds.
    pub fn receive(&mut self, conn: ConnId, bytes: &[u8], now_ms: u64) {
        if let Some(waiting) = &mut self.waiting {
            return waiting.push_back((conn, Some(bytes.to_vec())));
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(one) = self.conns.get_mut(&conn) else { return };
            let (taken, value) = one.decoder.decode(rest).expect("the daemon speaks RESP");
            rest = &rest[taken..];
            if let Some(command) = value {
                self.take(conn, command, now_ms);
            }
        }
    }

    /// The other end has closed. What it sent before is done, also by a server that thaws later.
    pub fn close(&mut self, conn: ConnId) {
        match &mut self.waiting {
            Some(waiting) => waiting.push_back((conn, None)),
            None => drop(self.conns.remove(&conn)),
        }
    }

    /// What comes of it next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What was announced since this was asked before.
    pub fn take_announced(&mut self) -> Vec<Announced> {
        std::mem::take(&mut self.announced)
    }

    /// Connections that there are.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// It ends a connection.
    pub fn reset(&mut self, conn: ConnId) {
        if self.conns.remove(&conn).is_some() {
            self.outputs.push_back(Output::Reset(conn));
        }
    }

    /// Of what it sends on a connection only so many bytes arrive, and nothing tells so.
    pub fn silence(&mut self, conn: ConnId, behind: usize) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.left = Some(behind);
        }
    }

    /// From now on it takes bytes and does nothing.
    pub fn freeze(&mut self) {
        self.waiting.get_or_insert_default();
    }

    /// What came while it was frozen is done now.
    pub fn thaw(&mut self, now_ms: u64) {
        for (conn, bytes) in self.waiting.take().unwrap_or_default() {
            match bytes {
                Some(bytes) => self.receive(conn, &bytes, now_ms),
                None => self.close(conn),
            }
        }
    }

    /// It ends, with all connections, and begins anew.
    pub fn restart(&mut self, data: Data) {
        self.waiting = None;
        for conn in std::mem::take(&mut self.conns).into_keys() {
            self.outputs.push_back(Output::Reset(conn));
        }
        if data == Data::Lost {
            self.databases.clear();
        }
        self.flush_scripts();
        self.runs += 1;
    }

    /// No script is known any more.
    pub fn flush_scripts(&mut self) {
        self.known.clear();
    }

    /// A key of another type is there.
    pub fn spoil(&mut self, database: u32, key: &[u8]) {
        let keys = self.databases.entry(database).or_default();
        keys.remove(key);
        keys.wrong.insert(key.into());
    }

    /// A key is there no more.
    pub fn remove(&mut self, database: u32, key: &[u8]) {
        self.databases.entry(database).or_default().remove(key);
    }

    /// A record becomes as if it were so many seconds older; it ends when it did.
    pub fn age(&mut self, database: u32, key: &[u8], seconds: u64) {
        let keys = self.databases.entry(database).or_default();
        if let Some(record) = keys.records.get_mut(key) {
            record.age(seconds);
        }
    }

    /// The fields of a record, and the messages of a stream as XRANGE gives them; `None`: there is
    /// no such key.
    pub fn look(&self, database: u32, key: &[u8]) -> Option<Value> {
        let keys = self.databases.get(&database)?;
        if let Some(record) = keys.records.get(key) {
            let text = |text: &str| Value::Text(text.as_bytes().into());
            let fields = record.fields();
            let words = fields.iter().flat_map(|(name, value)| [text(name), text(value)]);
            return Some(Value::Map(words.collect()));
        }
        Some(Value::List(keys.streams.get(key)?.entries.iter().map(scripts::value).collect()))
    }

    /// When a key ends, unix milliseconds; `None`: there is none, within: never.
    pub fn ends_ms(&mut self, database: u32, key: &[u8], now_ms: u64) -> Option<Option<u64>> {
        let keys = self.databases.entry(database).or_default();
        keys.expire(now_ms);
        keys.ends_ms(key)
    }

    fn take(&mut self, conn: ConnId, command: Value, now_ms: u64) {
        if self.mood == Mood::Rubbish {
            return self.send(conn, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
        }
        let Value::List(words) = command else { panic!("a command is a list: {command:?}") };
        let words: Vec<Box<[u8]>> = words
            .into_iter()
            .map(|word| match word {
                Value::Text(word) => word,
                other => panic!("a word of a command is a text: {other:?}"),
            })
            .collect();
        let (verb, rest) = words.split_first().expect("a command has a verb");
        match (&**verb, rest) {
            (b"SUBSCRIBE" | b"UNSUBSCRIBE", channels) => self.listen(conn, verb, channels),
            (b"EVALSHA" | b"EVAL", [script, _, words @ ..]) => {
                self.evaluate(conn, script, words, now_ms);
            }
            _ => {
                let answer = self.plain(conn, verb, rest, now_ms);
                self.say(conn, &answer);
            }
        }
    }

    /// The answer to what is no script.
    fn plain(&mut self, conn: ConnId, verb: &[u8], words: &[Box<[u8]>], now_ms: u64) -> Value {
        let list = |words: &[&str]| words.iter().copied().map(text).collect::<Vec<_>>();
        match (verb, words) {
            (b"HELLO", [version, ..]) if **version == *b"3" => {
                let mut fields = list(&["server", "redis", "version", "7.0.15", "proto"]);
                fields.push(Value::Number(3));
                Value::Map(fields)
            }
            (b"SELECT", [database]) => {
                let database = String::from_utf8_lossy(database).parse().expect("a number");
                self.conns.get_mut(&conn).expect("it has asked").database = database;
                text("OK")
            }
            (b"ROLE", []) if self.mood == Mood::ReadOnly => Value::List(list(&["slave"])),
            (b"ROLE", []) => Value::List(list(&["master"])),
            (b"PING", []) if self.mood == Mood::Loading => error(LOADING),
            (b"PING", []) => text("PONG"),
            (b"TIME", []) => {
                let (seconds, microseconds) = (now_ms / 1000, now_ms % 1000 * 1000);
                Value::List(list(&[&seconds.to_string(), &microseconds.to_string()]))
            }
            (b"INFO", [_]) => text(&format!("# Server\r\nrun_id:{:040x}\r\n", self.runs)),
            (b"CONFIG", [_, name]) => {
                Value::Map(list(&[&String::from_utf8_lossy(name), "noeviction"]))
            }
            _ => error("ERR unknown command"),
        }
    }

    fn listen(&mut self, conn: ConnId, verb: &[u8], channels: &[Box<[u8]>]) {
        let begins = verb == b"SUBSCRIBE";
        for channel in channels {
            let listens = &mut self.conns.get_mut(&conn).expect("it has asked").listens;
            if begins {
                listens.insert(channel.clone());
            } else {
                listens.remove(channel);
            }
            let count = Value::Number(listens.len() as i64);
            let kind = Value::Text(verb.to_ascii_lowercase().into());
            self.say(conn, &Value::Push(vec![kind, Value::Text(channel.clone()), count]));
        }
    }

    fn evaluate(&mut self, conn: ConnId, named: &[u8], words: &[Box<[u8]>], now_ms: u64) {
        let is_it = |script: &Script| {
            named == script.body().as_bytes()
                || named == script.hash().as_bytes() && self.known.contains(script.hash())
        };
        let answer = match (self.mood, Script::ALL.into_iter().find(is_it)) {
            (Mood::Loading, _) => Err(LOADING),
            (_, None) if named.len() == 40 => Err("NOSCRIPT No matching script. Please use EVAL."),
            (_, None) => panic!("no script of this store: {}", named.escape_ascii()),
            (Mood::ReadOnly, _) => Err("READONLY You can't write against a read only replica."),
            (mood, Some(script)) => {
                self.known.insert(script.hash());
                let conns = &self.conns;
                let receivers = |channel: &[u8]| {
                    conns.values().filter(|conn| conn.listens.contains(channel)).count()
                };
                let is_full = mood == Mood::OutOfMemory;
                let call = Call { words, now_ms, is_full, receivers: &receivers };
                let keys = self.databases.entry(conns[&conn].database).or_default();
                scripts::run(script, call, keys)
            }
        };
        let (answer, published) = answer.unwrap_or_else(|words| (error(words), None));
        if !self.is_told_first {
            self.say(conn, &answer);
        }
        if let Some((channel, payload)) = published {
            let parts = vec![
                text("message"),
                Value::Text(channel.clone()),
                Value::Text(payload.clone().into()),
            ];
            self.announced.push(Announced { channel: channel.clone(), payload });
            let push = Value::Push(parts);
            let listens = |(_, conn): &(&ConnId, &Conn)| conn.listens.contains(&channel);
            let all: Vec<_> = self.conns.iter().filter(listens).map(|(conn, _)| *conn).collect();
            all.into_iter().for_each(|conn| self.say(conn, &push));
        }
        if self.is_told_first {
            self.say(conn, &answer);
        }
    }

    fn say(&mut self, conn: ConnId, value: &Value) {
        let mut bytes = Vec::new();
        encode(value, &mut bytes);
        self.send(conn, bytes);
    }

    fn send(&mut self, conn: ConnId, mut bytes: Vec<u8>) {
        let Some(one) = self.conns.get_mut(&conn) else { return };
        if let Some(left) = &mut one.left {
            bytes.truncate(*left);
            *left -= bytes.len();
        }
        if !bytes.is_empty() {
            self.outputs.push_back(Output::Send(conn, bytes));
        }
    }
}

const LOADING: &str = "LOADING Redis is loading the dataset in memory";

fn text(words: &str) -> Value {
    Value::Text(words.as_bytes().into())
}

fn error(words: &str) -> Value {
    Value::Error(words.as_bytes().into())
}
