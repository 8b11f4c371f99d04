//! Channel list: whatever comes and goes between two pages, each channel that lives throughout is
//! listed once, and no page costs more than its bound.

use std::collections::{BTreeMap, BTreeSet};

use pushserver::config::{Config, Overrides, Source};
use pushserver::message::MessageId;
use pushserver::relay::{Command, ConnKey};
use pushserver_testkit::answer::Answer;
use pushserver_testkit::random::Random;
use pushserver_testkit::{Network, request};
use serde_json::{Value, json};

struct Daemon {
    network: Network,
    conn: ConnKey,
}

impl Daemon {
    fn new() -> Self {
        let settings = json!({"locations": [
            {"type": "status", "prefix": "/", "secret": "word"},
            {"type": "publisher", "prefix": "/publisher/"}]});
        let text = settings.to_string();
        let config = Config::parse(text.as_bytes(), Source::Defaults, Overrides::default());
        let config = config.expect("sound settings");
        let first_id = MessageId { time: 1_699_999_999, tag: 0 };
        let mut network = Network::new(&config.relay_options(), config.hub_options(first_id, 1));
        let conn = network.connect();
        Self { network, conn }
    }

    fn ask(&mut self, line: &str) -> String {
        self.network.send(self.conn, request(line, "Authorization: Bearer word\r\n").as_bytes());
        self.network.settle();
        let mut bytes = self.network.take(self.conn);
        let answer = Answer::take(&mut bytes, false).expect("an answer");
        assert_eq!(answer.status, 200, "{line}: {}", answer.text());
        answer.text().to_owned()
    }

    /// The ids of a page, and where the next begins.
    fn page(&mut self, query: &str) -> (Vec<String>, Option<u64>) {
        let page: Result<Value, _> =
            serde_json::from_str(&self.ask(&format!("GET /channels?{query}")));
        let page = page.expect("a page is JSON");
        let channels = page["channels"].as_array().expect("a list").iter();
        let ids =
            channels.map(|channel| channel["id"].as_str().expect("a text").to_owned()).collect();
        (ids, page["next"].as_u64())
    }
}

#[test]
fn a_channel_that_lives_throughout_is_listed_once_whatever_comes_and_goes() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut daemon = Daemon::new();
        let mut alive = BTreeSet::new();
        for number in 0..100 {
            daemon.ask(&format!("PUT /publisher/c{number}"));
            alive.insert(number);
        }
        let (mut listed, mut throughout) = (BTreeMap::<String, u32>::new(), alive.clone());
        let (mut after, mut next_number) = (0, 100);
        loop {
            let limit = 1 + random.below(20);
            let (ids, next) = daemon.page(&format!("limit={limit}&after={after}"));
            assert!(ids.len() as u64 <= limit, "seed {seed}");
            ids.into_iter().for_each(|id| *listed.entry(id).or_default() += 1);
            let Some(next) = next else { break };
            assert!(next > after, "seed {seed}: it goes on");
            after = next;
            for _ in 0..random.below(12) {
                let living: Vec<i32> = alive.iter().copied().collect();
                if random.percent(60) && !living.is_empty() {
                    let gone = random.pick(&living);
                    daemon.ask(&format!("DELETE /publisher/c{gone}"));
                    alive.remove(&gone);
                    throughout.remove(&gone);
                } else {
                    daemon.ask(&format!("PUT /publisher/c{next_number}"));
                    alive.insert(next_number);
                    next_number += 1;
                }
            }
            if random.percent(20) {
                let now = daemon.network.now;
                daemon.network.relay.command(Command::Shrink, now);
            }
        }
        for number in throughout {
            assert_eq!(listed.get(&format!("c{number}")), Some(&1), "seed {seed}: c{number}");
        }
    }
}

#[test]
fn a_page_looks_at_4096_slots_and_may_be_empty() {
    let mut daemon = Daemon::new();
    for number in 0..5000 {
        daemon.ask(&format!("PUT /publisher/c{number}"));
    }
    assert_eq!(daemon.page("prefix=c4999"), (vec![], Some(4096)));
    assert_eq!(daemon.page("prefix=c4999&after=4096"), (vec!["c4999".to_owned()], None));
}
