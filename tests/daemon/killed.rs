//! A daemon that is killed while messages are on their way: what was answered is there afterwards,
//! in its order and once. tests/nightly does it with a million.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pushserver_testkit::directory::Directory;
use pushserver_testkit::{Daemon, Random, Start, Stream, post, until};
use serde_json::{Value, json};

use super::BINARY;

/// Publishers, each with a channel of its own.
const PUBLISHERS: usize = 8;

/// Requests that a publisher has under way.
const UNDER_WAY: usize = 32;

/// What a publisher knows of its channel. Its messages are numbers, each once.
#[derive(Debug, Default)]
struct Published {
    next: u64,
    /// Sent and never answered: each may be there or not.
    unanswered: BTreeSet<u64>,
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

impl Published {
    /// Publishes up to number `until`, or until the daemon is gone.
    fn go_on(&mut self, daemon: &Daemon, channel: usize, until: u64, answered: &AtomicU64) {
        let mut client = daemon.connect();
        let path = format!("/publisher/{channel}");
        let mut under_way = VecDeque::new();
        let mut is_there = true;
        while is_there && (self.next < until || !under_way.is_empty()) {
            while is_there && self.next < until && under_way.len() < UNDER_WAY {
                under_way.push_back(self.next);
                is_there = client.try_send(&post(&path, self.next.to_string().as_bytes()));
                self.next += 1;
            }
            match is_there.then(|| client.try_answer()).flatten() {
                Some(answer) => {
                    assert_eq!(answer.status, 202, "{answer:?}");
                    under_way.pop_front();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                None => is_there = false,
            }
        }
        self.unanswered.extend(under_way);
    }

    /// Compares with what is there.
    fn check(&self, there: &[u64]) {
        assert!(there.is_sorted_by(|one, other| one < other), "out of order, or there twice");
        let there: BTreeSet<u64> = there.iter().copied().collect();
        let missing: Vec<u64> = (0..self.next)
            .filter(|number| !there.contains(number) && !self.unanswered.contains(number))
            .collect();
        assert_eq!(missing, [0; 0], "answered, and not there");
        assert!(there.last() < Some(&self.next), "never sent");
    }
}

/// Everything that a channel has, by an event stream from its beginning.
fn stored(daemon: &Daemon, channel: usize) -> Vec<u64> {
    let information = daemon.connect().get(&format!("/publisher/{channel}")).answer();
    let count = information.text().lines().find_map(|line| line.strip_prefix("queued messages: "));
    let count: usize = count.unwrap().trim_end().parse().unwrap();
    let mut stream = Stream::events(daemon.connect(), &format!("/subscriber/{channel}"));
    (0..count).map(|_| stream.message().number()).collect()
}

fn settings(directory: &Directory) -> Value {
    json!({
        "store": {
            "persist": directory.file("store.db"),
            "max_messages": 0,
            "max_memory": 1_u64 << 30,
        },
        "locations": [
            {"type": "publisher", "prefix": "/publisher/"},
            {"type": "subscriber", "prefix": "/subscriber/"},
        ],
    })
}

#[test]
fn what_was_answered_is_there_after_kill_9_in_its_order_and_once() {
    let messages = variable("PUSHSERVER_PERSISTED", 20_000);
    let kills = variable("PUSHSERVER_KILLS", 5);
    let mut random = Random::new(variable("PUSHSERVER_KILL_SEED", 15));
    let directory = Directory::create();
    let mut channels: Vec<Published> = (0..PUBLISHERS).map(|_| Published::default()).collect();
    let answered = AtomicU64::new(0);
    let mut slowest = Duration::ZERO;
    for round in 1..=kills {
        let began = Instant::now();
        let mut daemon = Start::with(BINARY, settings(&directory)).start();
        slowest = slowest.max(began.elapsed());
        let most = messages * round / kills / PUBLISHERS as u64;
        let left: u64 = channels.iter().map(|channel| most.saturating_sub(channel.next)).sum();
        let kill_at = answered.load(Ordering::Relaxed) + random.below(left.max(1));
        std::thread::scope(|scope| {
            for (channel, published) in channels.iter_mut().enumerate() {
                let (daemon, answered) = (&daemon, &answered);
                scope.spawn(move || published.go_on(daemon, channel, most, answered));
            }
            until("some are answered", || answered.load(Ordering::Relaxed) >= kill_at);
            daemon.signal("KILL");
        });
        daemon.wait();
    }
    let mut daemon = Start::with(BINARY, settings(&directory)).start();
    for (channel, published) in channels.iter_mut().enumerate() {
        published.go_on(&daemon, channel, messages / PUBLISHERS as u64, &answered);
        published.check(&stored(&daemon, channel));
    }
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    let began = Instant::now();
    let daemon = Start::with(BINARY, settings(&directory)).start();
    slowest = slowest.max(began.elapsed());
    for (channel, published) in channels.iter().enumerate() {
        published.check(&stored(&daemon, channel));
    }
    let unanswered: usize = channels.iter().map(|channel| channel.unanswered.len()).sum();
    println!(
        "{} answered, {unanswered} not, {kills} kills, 0 missing, 0 twice; slowest start {slowest:?}",
        answered.load(Ordering::Relaxed),
    );
}
