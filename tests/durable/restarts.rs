//! Restarts: random publishes, deletions and expiry, with ends at any point and clocks set back,
//! beside a plain model of what each channel keeps.

use std::collections::{BTreeMap, BTreeSet};

use pushserver::message::MessageId;
use pushserver_testkit::{Network, Random, header};
use serde_json::{Value, json};

use super::{BEGIN_UNIX_S, answer, ask, post, request, send, start, with_store};

/// `PUSHSERVER_SIM_SEEDS` and `PUSHSERVER_SIM_FROM` say others.
const SEEDS: u64 = 25;
const STEPS: u64 = 120;
const CHANNELS: [&str; 3] = ["a", "b", "c"];

const MEMORY_MAX: usize = 2_000;
const MESSAGES_MAX: usize = 3;
const TIMEOUT_S: u64 = 60;
/// What a message costs beside its body.
const OVERHEAD: usize = 200;

#[derive(Debug)]
struct Message {
    id: MessageId,
    channel: &'static str,
    body: String,
    expires_ms: u64,
}

#[derive(Debug, Default)]
struct Model {
    /// Of all channels, oldest first.
    there: Vec<Message>,
    /// Every id of each channel, and the newest that it has lost.
    ids: BTreeMap<&'static str, Vec<MessageId>>,
    lost_through: BTreeMap<&'static str, MessageId>,
    /// Channels that exist.
    exist: BTreeSet<&'static str>,
    /// Ids of each channel that were lost, or deleted with it.
    lost: BTreeMap<&'static str, Vec<MessageId>>,
}

impl Model {
    fn of(&self, channel: &str) -> impl Iterator<Item = &Message> {
        self.there.iter().filter(move |message| message.channel == channel)
    }

    fn lose(&mut self, place: usize) {
        let Message { id, channel, .. } = self.there.remove(place);
        self.lost_through.insert(channel, id);
        self.lost.entry(channel).or_default().push(id);
    }

    fn expire(&mut self, now_ms: u64) {
        while let Some(place) = self.there.iter().position(|one| one.expires_ms <= now_ms) {
            self.lose(place);
        }
    }

    fn publish(&mut self, message: Message) {
        let cost = |message: &Message| message.body.len() + OVERHEAD;
        while self.there.iter().map(cost).sum::<usize>() + cost(&message) > MEMORY_MAX {
            self.lose(0);
        }
        let channel = message.channel;
        self.exist.insert(channel);
        self.ids.entry(channel).or_default().push(message.id);
        self.there.push(message);
        while self.of(channel).count() > MESSAGES_MAX {
            let oldest = self.there.iter().position(|one| one.channel == channel);
            self.lose(oldest.expect("there are some"));
        }
    }

    fn delete(&mut self, channel: &'static str) {
        self.there.retain(|message| message.channel != channel);
        self.exist.remove(channel);
    }

    /// Of a process that begins at this time: ages are told by ids.
    fn restart(&mut self, now_ms: u64, unix_s: u64) {
        for message in &mut self.there {
            let age_s = unix_s.saturating_sub(message.id.time);
            message.expires_ms = (now_ms - age_s * 1_000) + TIMEOUT_S * 1_000;
        }
        self.expire(now_ms);
    }
}

struct World {
    network: Network,
    model: Model,
    random: Random,
    settings: Value,
    bodies: u64,
    was_set_back: bool,
    restarts: u64,
    gaps: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let settings = with_store(json!({
            "max_memory": MEMORY_MAX, "max_messages": MESSAGES_MAX, "message_timeout": TIMEOUT_S,
            "channel_timeout": 1_000_000,
        }));
        let network = start(&settings, 1_000, None);
        let (model, random) = (Model::default(), Random::new(seed));
        Self {
            network,
            model,
            random,
            settings,
            bodies: 0,
            was_set_back: false,
            restarts: 0,
            gaps: 0,
        }
    }

    fn step(&mut self) {
        let channel = self.random.pick(&CHANNELS);
        self.network.disk.turns = self.random.pick(&[0, 0, 1, 5]);
        self.network.disk.refuses = self.random.percent(10);
        let refuses = self.network.disk.refuses;
        match self.random.weighted(&[45, 8, 5, 20, 15, 7]) {
            0 => self.publish(channel),
            1 => {
                let exists = self.model.exist.contains(channel);
                let status = ask(&mut self.network, &request("DELETE", channel)).status;
                match (exists, refuses) {
                    (false, _) => assert_eq!(status, 404),
                    (true, true) => assert_eq!(status, 507),
                    (true, false) => {
                        assert_eq!(status, 200);
                        self.model.delete(channel);
                    }
                }
            }
            2 => {
                let status = ask(&mut self.network, &request("PUT", channel)).status;
                assert_eq!(status, if refuses { 507 } else { 200 });
                if !refuses {
                    self.model.exist.insert(channel);
                }
            }
            3 => {
                let ms = self.random.below(20) * 1_000;
                self.network.advance_ms(ms);
                self.model.expire(self.network.now.mono_ms);
            }
            4 => {}
            _ => self.restart(channel),
        }
        self.network.disk.refuses = false;
        CHANNELS.iter().for_each(|channel| self.check(channel));
    }

    fn publish(&mut self, channel: &'static str) {
        self.bodies += 1;
        let length = self.random.index(400);
        let body = format!("{} {}", self.bodies, "x".repeat(length));
        let answer = ask(&mut self.network, &post(channel, &body));
        if self.network.disk.refuses {
            return assert_eq!(answer.status, 507);
        }
        let id = last_id(&answer.body);
        let newest = self.model.ids.get(channel).and_then(|ids| ids.last());
        assert!(newest.is_none_or(|newest| id > *newest), "{id} behind {newest:?}");
        let expires_ms = self.network.now.mono_ms + TIMEOUT_S * 1_000;
        self.model.publish(Message { id, channel, body, expires_ms });
    }

    /// The process ends, at any point, and another one begins.
    fn restart(&mut self, channel: &'static str) {
        self.restarts += 1;
        let mut is_earlier = false;
        let ends_amid = self.random.percent(50);
        if self.was_set_back || !ends_amid {
            self.settle_notes();
        }
        if ends_amid {
            // What is on its way to the disk is nowhere, and nobody was told otherwise.
            self.network.disk.turns = 50;
            let asked = [post(channel, "lost"), request("DELETE", channel), request("PUT", "c")]
                .map(|request| send(&mut self.network, &request));
            (0..self.random.below(4)).for_each(|_| self.network.turn());
            for conn in asked {
                let told = answer(&mut self.network, conn);
                assert!(told.is_none_or(|answer| answer.status == 404));
            }
            self.network.disk.lose_rest();
        } else {
            is_earlier = self.random.percent(40);
            self.was_set_back |= is_earlier;
        }
        let second = self.network.now.unix_s - BEGIN_UNIX_S;
        let second = match is_earlier {
            true => second.saturating_sub(self.random.below(100)),
            false => second + self.random.below(30),
        };
        self.network = start(&self.settings, second, Some(&self.network));
        let now = self.network.now;
        self.model.restart(now.mono_ms, now.unix_s);
    }

    /// What has gone is written down, too: a clock that was set back makes messages younger.
    fn settle_notes(&mut self) {
        self.network.disk.refuses = false;
        loop {
            let count = self.model.there.len();
            self.network.advance_ms(2_000);
            self.model.expire(self.network.now.mono_ms);
            if self.model.there.len() == count {
                return;
            }
        }
    }

    /// What anybody sees of a channel.
    fn check(&mut self, channel: &'static str) {
        let information = ask(&mut self.network, &request("GET", channel));
        if !self.model.exist.contains(channel) {
            return assert_eq!(information.status, 404, "{channel}");
        }
        let text = String::from_utf8(information.body.clone()).expect("text");
        let count = self.model.of(channel).count();
        assert!(text.starts_with(&format!("queued messages: {count}\r\n")), "{count}: {text}");
        if let Some(newest) = self.model.of(channel).last() {
            assert_eq!(last_id(&information.body), newest.id);
        }
        let ids = self.model.ids.get(channel).cloned().unwrap_or_default();
        let cursor = match ids.is_empty() || self.random.percent(20) {
            true => None,
            false => Some(self.random.pick(&ids)),
        };
        let query = cursor.map_or(String::new(), |cursor| format!("?last_event_id={cursor}"));
        let poll = format!("GET /subscriber/{channel}{query} HTTP/1.1\r\nHost: a\r\n\r\n");
        let conn = send(&mut self.network, &poll);
        self.network.settle();
        let told = answer(&mut self.network, conn);
        self.network.reset(conn);
        self.network.settle();
        let next = self.model.of(channel).find(|one| cursor.is_none_or(|cursor| one.id > cursor));
        let Some(next) = next else { return assert!(told.is_none(), "{told:?}") };
        let told = told.expect("a message");
        assert_eq!(told.body, next.body.as_bytes(), "{channel} behind {cursor:?}");
        let gap = header(&told.head, "X-Push-Gap");
        let lost_through = self.model.lost_through.get(channel).copied().unwrap_or_default();
        let has_lost = cursor.is_some_and(|cursor| cursor < lost_through);
        assert_eq!(gap.is_some(), has_lost, "{channel} behind {cursor:?}: {gap:?}");
        if let Some(count) = gap.filter(|gap| *gap != "unknown") {
            let lost = &self.model.lost[channel];
            let between = lost.iter().filter(|id| cursor.is_some_and(|cursor| **id > cursor));
            assert_eq!(count, between.count().to_string(), "{channel} behind {cursor:?}");
        }
        self.gaps += u64::from(has_lost);
    }
}

/// Of what a publisher is told of a channel.
fn last_id(text: &[u8]) -> MessageId {
    let text = std::str::from_utf8(text).expect("text");
    let (_, id) = text.rsplit_once("last message id: ").expect("an id");
    let (time, tag) = id.split_once(':').expect("an id");
    MessageId { time: time.parse().expect("a time"), tag: tag.parse().expect("a tag") }
}

#[test]
fn a_later_process_has_what_the_model_has_whenever_the_one_before_ended() {
    let number = |variable| Some(std::env::var(variable).ok()?.parse::<u64>().expect("a number"));
    let first = number("PUSHSERVER_SIM_FROM").unwrap_or(0);
    let seeds = number("PUSHSERVER_SIM_SEEDS").unwrap_or(SEEDS);
    let (mut restarts, mut gaps) = (0, 0);
    for seed in first..first + seeds {
        let mut world = World::new(seed);
        let steps = std::panic::AssertUnwindSafe(|| (0..STEPS).for_each(|_| world.step()));
        if let Err(cause) = std::panic::catch_unwind(steps) {
            println!("seed {seed} fails");
            std::panic::resume_unwind(cause);
        }
        restarts += world.restarts;
        gaps += world.gaps;
    }
    assert!(restarts > 4 * seeds && gaps > 4 * seeds, "{restarts} restarts, {gaps} gaps");
}
