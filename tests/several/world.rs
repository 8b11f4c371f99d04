//! World: several daemons, one server, publishers and followers, and what goes wrong between them.

use pushserver::relay::ConnKey;
use pushserver_testkit::fake_redis::{Mood, Output, Server};
use pushserver_testkit::network::BEGIN_UNIX_S;
use pushserver_testkit::redis::Data;
use pushserver_testkit::{Answer, Random};

use crate::daemon::{Daemon, Weather};
use crate::follower::Follower;
use crate::truth::{Told, Truth};

/// As the hub calls them, without its number of their store.
const NAMES: [&str; 3] = ["\0a", "\0b", "\0c{}%"];

/// As the names stand in a path.
const PATHS: [&str; 3] = ["a", "b", "c%7B%7D%25"];

/// Steps in which something goes wrong, and those in which everybody comes to rest.
const STEPS: u64 = 1500;
const CALM_STEPS: u64 = 1500;

/// How long a command may be unanswered, milliseconds: the store's `timeout`.
const TIMEOUT_MS: u64 = 1500;

/// A request that awaits its answer.
#[derive(Debug)]
struct Asked {
    daemon: usize,
    conn: ConnKey,
    /// `None`: a deletion.
    body: Option<String>,
}

pub(crate) struct World {
    random: Random,
    server: Server,
    /// What the server's clock is ahead of the daemons', milliseconds.
    ahead_ms: u64,
    daemons: Vec<Daemon>,
    followers: Vec<Follower>,
    asked: Vec<Asked>,
    truth: Truth,
    weather: Weather,
    may_break: bool,
    now_ms: u64,
    frozen_until_ms: Option<u64>,
    number: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut server = Server::default();
        server.is_told_first = random.percent(50);
        let daemons = (0..random.pick(&[1, 2, 3])).map(Daemon::new).collect();
        let follower = |random: &mut Random| {
            let channels = random.pick(&[&[0][..], &[1], &[2], &[0, 1], &[0, 1, 2]]).to_vec();
            Follower::new(channels, &PATHS, random.percent(50))
        };
        let followers = (0..8).map(|_| follower(&mut random)).collect();
        let weather =
            Weather { slowness: random.pick(&[0, 30, 90]), breaks: random.pick(&[0, 0, 3, 20]) };
        Self {
            ahead_ms: random.pick(&[0, 5_000, 90_000]),
            random,
            server,
            daemons,
            followers,
            asked: Vec::new(),
            truth: Truth::default(),
            may_break: weather.breaks > 0,
            weather,
            now_ms: 0,
            frozen_until_ms: None,
            number: 0,
        }
    }

    pub(crate) fn play(mut self) {
        for _ in 0..STEPS {
            self.act();
            self.step();
        }
        self.weather = Weather { slowness: 0, breaks: 0 };
        self.server.mood = Mood::Well;
        self.frozen_until_ms = self.frozen_until_ms.map(|_| self.now_ms);
        for _ in 0..CALM_STEPS {
            self.step();
        }
        assert!(self.asked.is_empty(), "without an answer: {:?}", self.asked);
        self.check();
    }

    /// Something happens.
    fn act(&mut self) {
        let random = &mut self.random;
        let daemon = random.index(self.daemons.len());
        match random.weighted(&[500, 300, 60, 10, 40, 4, 3, 3, 3]) {
            0 => {}
            kind @ (1 | 2) => {
                let channel = random.pick(&PATHS);
                self.number += 1;
                let (prefix, first) = if kind == 1 { ("publisher", 'k') } else { ("unkept", 'u') };
                let body = format!("{first}{}", self.number);
                let length = body.len();
                let request = format!(
                    "POST /{prefix}/{channel} HTTP/1.1\r\nHost: a\r\n\
                     Content-Length: {length}\r\n\r\n{body}"
                );
                self.ask(daemon, &request, Some(body));
            }
            3 => {
                let channel = random.pick(&PATHS);
                let request = format!("DELETE /publisher/{channel} HTTP/1.1\r\nHost: a\r\n\r\n");
                self.ask(daemon, &request, None);
            }
            4 => {
                let follower = random.index(self.followers.len());
                self.followers[follower].leave(&mut self.daemons, self.now_ms);
            }
            5 => {
                self.server.freeze();
                let ms = random.pick(&[300, 1400, 1700, 6000]);
                self.frozen_until_ms.get_or_insert(self.now_ms + ms);
            }
            6 => {
                self.frozen_until_ms = None;
                self.server.restart(Data::Kept);
            }
            7 => self.server.flush_scripts(),
            _ => {
                let moods = [Mood::Well, Mood::Well, Mood::OutOfMemory, Mood::Loading];
                self.server.mood = random.pick(&moods);
            }
        }
    }

    fn ask(&mut self, daemon: usize, request: &str, body: Option<String>) {
        let network = &mut self.daemons[daemon].network;
        let conn = network.connect();
        network.send(conn, request.as_bytes());
        self.asked.push(Asked { daemon, conn, body });
    }

    /// Time goes on.
    fn step(&mut self) {
        let ms = self.random.pick(&[0, 1, 5, 20, 100]);
        self.now_ms += ms;
        let unix_ms = BEGIN_UNIX_S * 1000 + self.ahead_ms + self.now_ms;
        if self.frozen_until_ms.is_some_and(|until_ms| self.now_ms >= until_ms) {
            self.frozen_until_ms = None;
            self.server.thaw(unix_ms);
        }
        let Self { random, server, daemons, weather, .. } = self;
        for daemon in daemons.iter_mut() {
            daemon.exchange(server, unix_ms, random, *weather);
        }
        while let Some(output) = server.poll_output() {
            match output {
                Output::Send(at, bytes) => {
                    daemons.iter_mut().for_each(|daemon| daemon.take(at, &bytes))
                }
                Output::Reset(at) => daemons.iter_mut().for_each(|daemon| daemon.lose(at)),
            }
        }
        self.truth.note(server, &NAMES, self.now_ms);
        for daemon in daemons.iter_mut() {
            daemon.arrive(server, random, *weather);
            daemon.network.advance_ms(ms);
        }
        self.read_answers();
        for follower in &mut self.followers {
            follower.step(&mut self.daemons, self.now_ms, &mut self.random);
        }
    }

    fn read_answers(&mut self) {
        let Self { asked, daemons, truth, now_ms, .. } = self;
        asked.retain_mut(|one| {
            let network = &mut daemons[one.daemon].network;
            let peer = network.peers.get_mut(one.conn);
            let Some(answer) = Answer::take(&mut peer.got, false) else {
                assert!(peer.end.is_none(), "closed without an answer: {:?}", one.body);
                return true;
            };
            network.reset(one.conn);
            match (&one.body, answer.status) {
                (None, 200 | 404 | 503) => {}
                (Some(body), status) => {
                    truth.told.insert(body.clone(), Told { status, at_ms: *now_ms });
                }
                (None, status) => panic!("{status}"),
            }
            false
        });
    }

    /// Everybody has had everything.
    fn check(&self) {
        // A connection that breaks takes the answer with it, not always what was asked.
        let late_ms = if self.may_break { TIMEOUT_MS + 100 } else { 0 };
        self.truth.check(late_ms);
        for follower in &self.followers {
            let all = self.truth.of(&follower.channels);
            let mut left = all.iter();
            for body in follower.got.iter().filter(|body| !body.starts_with('u')) {
                let passed: Vec<_> = left.by_ref().take_while(|kept| kept.body != *body).collect();
                let missed = passed.iter().find(|kept| !kept.is_deleted);
                assert!(missed.is_none(), "{missed:?} was missed before {body}: {follower:#?}");
                let is_there = all.iter().any(|kept| kept.body == *body);
                assert!(is_there, "{body} was never published");
            }
            let missed = left.find(|kept| !kept.is_deleted);
            assert!(missed.is_none(), "{missed:?} was missed at the end: {follower:#?}");
            let mut unkept: Vec<_> = follower.got.iter().collect();
            unkept.sort_unstable();
            let count = unkept.len();
            unkept.dedup();
            assert_eq!(unkept.len(), count, "something came twice: {follower:#?}");
        }
    }
}
