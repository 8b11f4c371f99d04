//! Fleet: several daemons that share one Redis, and what happens to them: each may be killed and
//! started again, or lose its connection to Redis.

use std::collections::HashSet;

use pushserver::store::redis::resp::Value;
use pushserver_testkit::redis::Connection;
use pushserver_testkit::{Daemon, Redis};

use crate::settings::shared_settings;
use crate::shared::Shared;
use crate::targets::Place;
use crate::witness::Witness;

/// Of every daemon at Redis, where each life has a user of its own.
const PASSWORD: &str = "soak";

/// Most milliseconds between two misfortunes, and from a death to the next start.
const PEACE_MS: u64 = 1500;
const DEAD_MS: u64 = 500;

/// Milliseconds between two looks at what Redis has done.
const LOOK_MS: u64 = 10;

/// See the file.
pub struct Fleet {
    binary: String,
    control: Connection,
    witness: Witness,
    daemons: Vec<Member>,
    /// When the next misfortune comes, and when Redis is looked at.
    next_ms: u64,
    look_ms: u64,
    redis: Redis,
}

/// One of them.
struct Member {
    daemon: Option<Daemon>,
    lives: u64,
    starts_ms: u64,
}

impl Fleet {
    /// Starts so many daemons, of the program `binary`, and their Redis.
    #[must_use]
    pub fn start(binary: &str, count: usize) -> Self {
        // The witness hears every message of a run, whenever it has the time.
        let redis = Redis::start(&[&["client-output-buffer-limit", "pubsub", "0", "0", "0"]]);
        let (control, witness) = (redis.connect(), Witness::new(&redis));
        let binary = binary.to_owned();
        let mut fleet =
            Self { binary, control, witness, daemons: Vec::new(), next_ms: 0, look_ms: 0, redis };
        for index in 0..count {
            let daemon = fleet.launch(Place { daemon: index, life: 0 });
            fleet.daemons.push(Member { daemon: Some(daemon), lives: 1, starts_ms: 0 });
        }
        fleet
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> Vec<std::net::SocketAddr> {
        self.running().map(Daemon::address).collect()
    }

    /// Those that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Daemon> {
        self.daemons.iter().filter_map(|member| member.daemon.as_ref())
    }

    /// Lets happen what is due, and hears what Redis has done.
    pub(crate) fn turn(&mut self, shared: &mut Shared) {
        let now_ms = shared.now_ms();
        for index in 0..self.daemons.len() {
            let member = &self.daemons[index];
            if member.daemon.is_none() && (member.starts_ms <= now_ms || shared.finishing) {
                self.revive(index, shared);
            }
        }
        if self.next_ms <= now_ms && !shared.finishing {
            self.next_ms = now_ms + shared.random.below(PEACE_MS);
            self.misfortune(shared);
        }
        if self.look_ms <= now_ms {
            self.look_ms = now_ms + LOOK_MS;
            self.look(shared);
        }
    }

    /// The run is over: nobody has a request open.
    pub(crate) fn end(&mut self, shared: &mut Shared) {
        self.look(shared);
        self.witness.end(shared);
    }

    fn look(&mut self, shared: &mut Shared) {
        let is_torn = shared.unanswered.iter().any(|request| request.refused.is_none());
        // What a daemon that is dead has sent is done when Redis has seen the end of it.
        let there = if is_torn { self.users() } else { HashSet::new() };
        let is_over = |place: Place| !there.contains(&user(place));
        self.witness.listen(|request| request.refused.is_some() || is_over(request.place), shared);
    }

    /// The users that are connected to Redis.
    fn users(&mut self) -> HashSet<String> {
        let Value::Text(list) = self.control.ask(&["CLIENT", "LIST"]) else {
            panic!("it lists its clients")
        };
        let list = String::from_utf8_lossy(&list);
        let words = list.split_whitespace();
        words.filter_map(|word| word.strip_prefix("user=")).map(str::to_owned).collect()
    }

    fn misfortune(&mut self, shared: &mut Shared) {
        let index = shared.random.index(self.daemons.len());
        let Some(daemon) = &self.daemons[index].daemon else { return };
        match shared.random.below(10) {
            0 => daemon.signal("HUP"),
            1..6 => {
                let user = user(shared.targets.place(index));
                let is_killed = self.control.ask(&["CLIENT", "KILL", "USER", &user]);
                shared.tally.cuts += u64::from(is_killed != Value::Number(0));
                shared.targets.cut(index, shared.now_ms());
            }
            _ if self.running().count() > 1 => {
                // It is killed where it is dropped.
                self.daemons[index].daemon = None;
                self.daemons[index].starts_ms = shared.now_ms() + shared.random.below(DEAD_MS);
                shared.targets.ended(index);
                shared.tally.kills += 1;
            }
            _ => {}
        }
    }

    fn revive(&mut self, index: usize, shared: &mut Shared) {
        let daemon = self.launch(Place { daemon: index, life: self.daemons[index].lives });
        self.daemons[index].lives += 1;
        shared.targets.started(index, daemon.address(), shared.now_ms());
        self.daemons[index].daemon = Some(daemon);
    }

    fn launch(&mut self, place: Place) -> Daemon {
        let user = user(place);
        let password = format!(">{PASSWORD}");
        let rights = ["ACL", "SETUSER", &user, "on", &password, "~*", "&*", "+@all"];
        assert!(matches!(self.control.ask(&rights), Value::Text(_)));
        Daemon::start(&self.binary, shared_settings(&self.redis, &user, PASSWORD))
    }
}

/// A daemon's user at Redis in one of its lives.
fn user(place: Place) -> String {
    format!("d{}-{}", place.daemon, place.life)
}
