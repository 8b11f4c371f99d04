//! The server in memory (`testkit::fake_redis`) does what a real one does: both are given the same
//! random commands, and say the same to everybody, and keep the same for as long. The one in memory
//! is told the time at which the real one has answered.
//!
//! `PUSHSERVER_SIM_SEEDS` and `PUSHSERVER_SIM_FROM` say other seeds.

use pushserver::message::{Content, MessageId};
use pushserver::store::redis::answers::{Published, Refusal, time_ms};
use pushserver::store::redis::keys::Keys;
use pushserver::store::redis::options::Limits;
use pushserver::store::redis::resp::{Decoder, Value};
use pushserver::store::redis::scripts::{ANNOUNCED_BYTES_MAX, Begin, Calls, Command, Publish};
use pushserver_testkit::fake_redis::{Mood, Output, Server};
use pushserver_testkit::redis::Connection;
use pushserver_testkit::{Random, Redis, until};

use crate::store::{FOREVER, id, message};

/// Random runs, and commands of each: long enough that messages of a second expire.
const SEEDS: u64 = 4;
const COMMANDS: usize = 1500;
/// Commands behind which time passes.
const PAUSE: usize = 400;
const NAMES: [&[u8]; 4] = [b"a", b"b{}%", b"", b"\0\xff\r\n"];
/// Daemons; each has one connection.
const DAEMONS: usize = 3;
/// Of the store. Its keys are there, and those of other stores elsewhere.
const DATABASE: u32 = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn the_server_in_memory_does_what_a_real_one_does() {
    let first = number("PUSHSERVER_SIM_FROM").unwrap_or(0);
    let seeds = first..first + number("PUSHSERVER_SIM_SEEDS").unwrap_or(SEEDS);
    let mut runs: Vec<_> = seeds.map(|seed| (seed, Run::new(seed))).collect();
    // They take turns, so that each lasts for seconds: messages expire, and many at once.
    for command in 0..COMMANDS {
        if command % PAUSE == PAUSE - 1 {
            pause(&mut runs, 1 + (command / PAUSE) as u64 % 2);
        }
        for (seed, run) in &mut runs {
            if let Err(what) = run.step() {
                panic!(
                    "seed {seed}, command {command}: {what}\nagain: PUSHSERVER_SIM_FROM={seed} \
                     PUSHSERVER_SIM_SEEDS=1 cargo test --test redis model"
                );
            }
        }
    }
    for (seed, run) in runs {
        let Seen { published, missing, late, refused, pushes } = run.seen;
        let all = [published, missing, late, refused, pushes];
        assert!(all.iter().all(|count| *count >= 5), "seed {seed}: {:?}", run.seen);
    }
}

/// Some seconds pass, and all channels become old.
fn pause(runs: &mut [(u64, Run)], seconds: u64) {
    runs.iter_mut().for_each(|(_, run)| run.crowd());
    for (_, run) in runs {
        until("seconds pass", || run.time_ms() / 1000 >= run.now_ms / 1000 + seconds);
        NAMES.into_iter().for_each(|name| run.age(&run.keys.record(name)));
    }
}

/// What happened, so that it is seen to happen.
#[derive(Debug, Default)]
struct Seen {
    published: usize,
    missing: usize,
    late: usize,
    refused: usize,
    pushes: usize,
}

struct Run {
    random: Random,
    _redis: Redis,
    /// Those of the daemons.
    real: Vec<Connection>,
    /// Whoever looks at the keys, and breaks them.
    control: Connection,
    fake: Server,
    conns: Vec<(usize, Decoder)>,
    keys: Keys,
    /// Ids and places that were given.
    ids: Vec<MessageId>,
    places: Vec<MessageId>,
    /// Keys of another type.
    spoiled: Vec<Box<[u8]>>,
    now_ms: u64,
    seen: Seen,
}

impl Run {
    fn new(seed: u64) -> Self {
        let redis = Redis::start(&[]);
        let mut fake = Server::default();
        let (mut real, mut conns) = (Vec::new(), Vec::new());
        for _ in 0..DAEMONS {
            real.push(redis.connect());
            conns.push((fake.accept(), Decoder::default()));
        }
        let mut control = redis.connect();
        let Value::Map(fields) = control.ask(&["HELLO", "3"]) else { panic!("a map") };
        control.ask(&["SELECT", &DATABASE.to_string()]);
        fake.is_told_first = is_before_7_2(&fields);
        let mut run = Self {
            random: Random::new(seed),
            _redis: redis,
            real,
            control,
            fake,
            conns,
            keys: Keys::new(b"t:", DATABASE),
            ids: vec![MessageId::default()],
            places: vec![MessageId::default()],
            spoiled: Vec::new(),
            now_ms: 0,
            seen: Seen::default(),
        };
        for daemon in 0..DAEMONS {
            run.real[daemon].ask(&["HELLO", "3"]);
            run.real[daemon].ask(&["SELECT", &DATABASE.to_string()]);
            let mut bytes = Vec::new();
            Command::plain(&[b"HELLO", b"3"]).write(&mut bytes);
            let database = DATABASE.to_string();
            Command::plain(&[b"SELECT", database.as_bytes()]).write(&mut bytes);
            run.fake.receive(run.conns[daemon].0, &bytes, 0);
        }
        while run.fake.poll_output().is_some() {}
        run
    }

    /// Many messages, where some stay when their time is up.
    fn crowd(&mut self) {
        self.mend();
        let keys = Keys::new(b"t:", DATABASE);
        let calls = Calls { keys: &keys, limits: limits_of(2) };
        let mut both = |command| drop(self.tell(0, &command).expect("both do the same"));
        (0..25).for_each(|_| both(calls.publish(NAMES[2], message(b"one of many"))));
        // The second of them, and the third, just have room.
        (70..150).for_each(|bytes| both(calls.sync(NAMES[2], id(0, 0), 200, bytes)));
    }

    /// One command, or one fault; then everything is compared.
    fn step(&mut self) -> Result<(), String> {
        let name = self.random.pick(&NAMES);
        if self.random.percent(10) {
            self.mend();
        }
        if self.random.percent(4) {
            self.mend();
            self.fault(name);
        }
        let daemon = self.random.index(DAEMONS);
        let command = self.command(name);
        match self.tell(daemon, &command)?.map(Published::read) {
            Some(Ok(published)) => {
                self.seen.published += 1;
                self.ids.push(published.id);
                self.places.push(id(published.id.time, published.number));
            }
            Some(Err(Refusal::Missing)) => self.seen.missing += 1,
            Some(Err(Refusal::Late)) => self.seen.late += 1,
            Some(Err(Refusal::OutOfMemory | Refusal::WrongType)) => self.seen.refused += 1,
            _ => {}
        }
        self.look(name)?;
        if self.random.percent(5) {
            NAMES.iter().try_for_each(|name| self.look(name))
        } else {
            Ok(())
        }
    }

    /// Tells both what a daemon says, and compares what all daemons hear; gives the answer.
    fn tell(&mut self, daemon: usize, command: &Command) -> Result<Option<Value>, String> {
        let mut bytes = Vec::new();
        command.write(&mut bytes);
        let answer = self.exchange(daemon, &bytes)?;
        let is_unknown = |value: &Value| match value {
            Value::Error(error) => Refusal::of(error) == Refusal::NoScript,
            _ => false,
        };
        if !answer.as_ref().is_some_and(is_unknown) {
            return Ok(answer);
        }
        bytes.clear();
        command.write_whole(&mut bytes);
        self.exchange(daemon, &bytes)
    }

    fn exchange(&mut self, daemon: usize, bytes: &[u8]) -> Result<Option<Value>, String> {
        self.real[daemon].send(bytes);
        let real: Vec<_> = (0..DAEMONS).map(|one| heard(&mut self.real[one])).collect();
        let is_answer = |value: &&Value| !matches!(value, Value::Push(_));
        let answer = real[daemon].iter().find(is_answer).cloned();
        self.now_ms = answer.as_ref().and_then(time_ms).unwrap_or_else(|| self.time_ms());
        // In two pieces, as a network may.
        let (first, second) = bytes.split_at(self.random.index(bytes.len()));
        self.fake.receive(self.conns[daemon].0, first, self.now_ms);
        self.fake.receive(self.conns[daemon].0, second, self.now_ms);
        let mut fake = vec![Vec::new(); DAEMONS];
        while let Some(output) = self.fake.poll_output() {
            let Output::Send(conn, bytes) = output else { panic!("{output:?}") };
            let at = self.conns.iter().position(|(one, _)| *one == conn).expect("it is one");
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (taken, value) = self.conns[at].1.decode(rest).expect("RESP");
                rest = &rest[taken..];
                fake[at].extend(value);
            }
        }
        let plain = |heard: Vec<Vec<Value>>| -> Vec<Vec<Value>> {
            heard.into_iter().map(|all| all.into_iter().map(coded).collect()).collect()
        };
        self.seen.pushes += real.iter().flatten().filter(|value| !is_answer(value)).count();
        let (real, fake) = (plain(real), plain(fake));
        let said = || String::from_utf8_lossy(bytes).into_owned();
        if real != fake {
            return Err(format!("{}\nreal: {real:?}\nfake: {fake:?}", said()));
        }
        Ok(answer)
    }

    /// Compares the keys of a channel, and how long they live.
    fn look(&mut self, name: &[u8]) -> Result<(), String> {
        let keys = [self.keys.stream(name), self.keys.record(name), self.keys.clock()];
        for key in &keys {
            let Value::Number(left_ms) = self.control.ask(&[b"PTTL", &key[..]]) else {
                panic!("a number")
            };
            let now_ms = self.time_ms();
            // Keys end with a second.
            let real = u64::try_from(left_ms).ok().map(|left| (now_ms + left + 500) / 1000 * 1000);
            let real = (left_ms != -2).then_some(real);
            let fake = self.fake.ends_ms(DATABASE, key, now_ms);
            if real != fake {
                let key = key.escape_ascii();
                return Err(format!("{key} ends at {real:?}, but in memory at {fake:?}"));
            }
        }
        let [stream, record, _] = keys;
        let messages = |value| match value {
            Some(Value::List(messages)) => messages,
            _ => Vec::new(),
        };
        let real = messages(Some(self.control.ask(&[b"XRANGE", &stream[..], b"-", b"+"])));
        let fake = messages(self.fake.look(DATABASE, &stream));
        if real != fake {
            return Err(format!("messages are {real:?}, but in memory {fake:?}"));
        }
        let fields = |value| {
            let Some(Value::Map(fields)) = value else { return Vec::new() };
            let mut pairs: Vec<_> = fields.chunks(2).map(<[Value]>::to_vec).collect();
            pairs.sort_by_key(|pair| format!("{pair:?}"));
            pairs
        };
        let real = fields(Some(self.control.ask(&[b"HGETALL", &record[..]])));
        let fake = fields(self.fake.look(DATABASE, &record));
        if real != fake {
            return Err(format!("the record is {real:?}, but in memory {fake:?}"));
        }
        Ok(())
    }

    fn time_ms(&mut self) -> u64 {
        let Value::List(parts) = self.control.ask(&["TIME"]) else { panic!("a list") };
        let part = |at: usize| match &parts[at] {
            Value::Text(text) => String::from_utf8_lossy(text).parse::<u64>().expect("digits"),
            other => panic!("{other:?}"),
        };
        part(0) * 1000 + part(1) / 1000
    }

    fn fault(&mut self, name: &[u8]) {
        let keys = [self.keys.stream(name), self.keys.record(name), self.keys.clock()];
        let key = &keys[self.random.weighted(&[4, 4, 1])][..];
        match self.random.weighted(&[1, 1, 1, 1, 4]) {
            0 => {
                self.control.ask(&["SCRIPT", "FLUSH"]);
                self.fake.flush_scripts();
            }
            1 => {
                self.control.ask(&[b"DEL", key]);
                self.fake.remove(DATABASE, key);
            }
            2 => {
                self.control.ask(&[b"DEL", key]);
                self.control.ask(&[b"RPUSH", key, b"x"]);
                self.fake.spoil(DATABASE, key);
                self.spoiled.push(key.into());
            }
            3 => {
                self.control.ask(&["CONFIG", "SET", "maxmemory", "1"]);
                self.fake.mood = Mood::OutOfMemory;
            }
            _ => {
                self.age(&keys[1]);
                // It lives as long as it has a message.
                if self.random.percent(60) {
                    self.control.ask(&[b"DEL", &keys[0][..]]);
                    self.fake.remove(DATABASE, &keys[0]);
                }
            }
        }
    }

    /// A record becomes older, as if nobody had asked for long; also so that a time of it is now.
    fn age(&mut self, record: &[u8]) {
        let times: Vec<_> = [b"h", b"a", b"u"]
            .iter()
            .filter_map(|field| match self.control.ask(&[b"HGET", record, &field[..]]) {
                Value::Text(time) => {
                    let time = String::from_utf8_lossy(&time).parse::<u64>().expect("digits");
                    Some((field, time))
                }
                _ => None,
            })
            .collect();
        let Some((_, one)) = times.last() else { return };
        let left = one.saturating_sub(self.time_ms() / 1000);
        let seconds = self.random.pick(&[1, 90, left, left, left.saturating_sub(1), 20_000]);
        for (field, time) in times {
            let time = time.saturating_sub(seconds).to_string();
            self.control.ask(&[b"HSET", record, &field[..], time.as_bytes()]);
        }
        self.fake.age(DATABASE, record, seconds);
    }

    fn mend(&mut self) {
        self.control.ask(&["CONFIG", "SET", "maxmemory", "0"]);
        self.fake.mood = Mood::Well;
        for key in std::mem::take(&mut self.spoiled) {
            self.control.ask(&[&b"DEL"[..], &key]);
            self.fake.remove(DATABASE, &key);
        }
    }

    fn command(&mut self, name: &[u8]) -> Command {
        let limits = self.limits(name);
        let waits = self.random.percent(60);
        let makes = self.random.percent(70);
        let keys = Keys::new(b"t:", DATABASE);
        let calls = Calls { keys: &keys, limits };
        match self.random.weighted(&[30, 25, 10, 4, 6, 8, 8, 5, 3]) {
            0 => self.publish(calls, name),
            1 => calls.open(name, self.begin(), makes, waits),
            2 => {
                let bounds = [0, 1, 2, 9, 10, 11, 200];
                let most = self.random.pick(&bounds[1..]);
                let bytes = if waits { 1 << 20 } else { self.random.index(200) as u32 };
                let after = if makes { self.id() } else { MessageId::default() };
                calls.sync(name, after, most, bytes)
            }
            3 => calls.delete(name, self.deadline()),
            4 => calls.put(name),
            5 => calls.info(name),
            6 => calls.lease(name, self.random.pick(&[0, 0, 1, 40, u64::MAX >> 12])),
            7 => Command::subscribe(&keys, name),
            _ => Command::unsubscribe(&keys, name),
        }
    }

    fn publish(&mut self, calls: Calls<'_>, name: &[u8]) -> Command {
        let length = match self.random.below(100) {
            0 => ANNOUNCED_BYTES_MAX + self.random.index(2),
            _ => self.random.index(40),
        };
        let body = vec![b"x\0\r\n\xff"[self.random.index(5)]; length];
        let words = [None, Some(&b""[..]), Some(b"text/plain"), Some(b"\xff \n")];
        let content = Content {
            content_type: self.random.pick(&words),
            event: self.random.pick(&words),
            body: &body[..],
        };
        let known = |random: &mut Random, all: &[MessageId]| {
            if random.percent(80) { MessageId::default() } else { random.pick(all) }
        };
        let mut least_id = known(&mut self.random, &self.ids);
        let mut least_place = known(&mut self.random, &self.places);
        if self.random.percent(1) {
            least_id.tag = u32::MAX;
        }
        if self.random.percent(1) {
            least_place = id(self.now_ms / 1000, u32::MAX);
        }
        let publish = Publish {
            content,
            create: self.random.percent(70),
            store: self.random.percent(75),
            deadline_ms: self.deadline(),
            least_id,
            least_place,
        };
        calls.publish(name, publish)
    }

    /// It has passed, or will not pass.
    fn deadline(&mut self) -> u64 {
        if self.random.percent(5) { self.now_ms.saturating_sub(1) } else { self.now_ms + 600_000 }
    }

    fn begin(&mut self) -> Begin {
        match self.random.index(7) {
            0 => Begin::Oldest,
            1 => Begin::Newest,
            2 => Begin::Last(self.random.pick(&[1, 2, 7, 100])),
            3 => Begin::After(self.id()),
            4 => Begin::AfterPlace(self.place()),
            5 => Begin::Since(self.id()),
            _ => Begin::SincePlace(self.place()),
        }
    }

    fn place(&mut self) -> MessageId {
        self.near(self.places.len(), |run, at| run.places[at])
    }

    fn id(&mut self) -> MessageId {
        self.near(self.ids.len(), |run, at| run.ids[at])
    }

    /// One of the newest ids or places, or one beside it.
    fn near(&mut self, length: usize, of: fn(&Self, usize) -> MessageId) -> MessageId {
        let back = self.random.index(length.min(30));
        let found = of(self, length - 1 - back);
        match self.random.index(5) {
            0 => MessageId { tag: found.tag.saturating_add(1), ..found },
            1 => MessageId { tag: found.tag.saturating_sub(1), ..found },
            2 => MessageId { time: found.time + 1, ..found },
            _ => found,
        }
    }

    fn limits(&mut self, name: &[u8]) -> Limits {
        // Each channel has limits of its own, most of the time: settings may change.
        let own = NAMES.iter().position(|one| *one == name).expect("it is one");
        let which = if self.random.percent(85) { own } else { self.random.index(6) };
        limits_of(which)
    }
}

fn limits_of(which: usize) -> Limits {
    let timeouts = |message_timeout_s, channel_timeout_s| Limits {
        message_timeout_s,
        channel_timeout_s,
        ..FOREVER
    };
    match which {
        0 => timeouts(1, 1),
        1 => Limits { max_messages: 5, ..timeouts(1, 0) },
        2 => Limits { min_messages: 2, ..timeouts(1, 7) },
        3 => Limits { max_messages: 30, ..FOREVER },
        4 => timeouts(200, 3),
        _ => Limits { max_messages: 1, ..timeouts(4000, 9000) },
    }
}

/// What has come on a connection by now.
fn heard(connection: &mut Connection) -> Vec<Value> {
    let mut heard = Vec::new();
    let mut next = connection.ask(&["PING"]);
    while next != Value::Text(b"PONG"[..].into()) {
        heard.push(next);
        next = connection.receive();
    }
    heard
}

/// An error as its code: the words behind it are those of a version.
fn coded(value: Value) -> Value {
    let Value::Error(error) = value else { return value };
    let code = match Refusal::of(&error) {
        Refusal::Other(_) => "ERR".to_owned(),
        refusal => format!("{refusal:?}"),
    };
    Value::Error(code.into_bytes().into())
}

/// By what HELLO says: Valkey, too, names the version of Redis that it is like.
fn is_before_7_2(fields: &[Value]) -> bool {
    let at = fields.iter().position(|field| *field == Value::Text(b"version"[..].into()));
    let Value::Text(version) = &fields[at.expect("it says its version") + 1] else {
        panic!("no version")
    };
    let version = String::from_utf8_lossy(version);
    let mut parts = version.split('.').map(|part| part.parse::<u32>().expect("digits"));
    (parts.next(), parts.next()) < (Some(7), Some(2))
}
