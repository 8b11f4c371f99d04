//! Presence: members come and go by polls and streams, the wall clock jumps, settings are read
//! anew, and Django is there, slow, silent or away. A model of its own says who is there; Django
//! is told, and in the end knows exactly that.

use std::collections::{BTreeMap, BTreeSet};

use pushserver::config::{Config, Overrides, Source};
use pushserver::message::MessageId;
use pushserver::relay::{Command, ConnKey};
use pushserver::{hub, relay};
use pushserver_testkit::tokens::{SIGNING_KEYS, sign};
use pushserver_testkit::{Network, Random, Taking};
use serde_json::{Value, json};

const SEEDS: u64 = 40;
const STEPS: u64 = 120;
const GRACE_MS: u64 = 5_000;
const WELL: Taking = Taking::Answers { status: 200, after_ms: 0 };

fn options(seed: u64) -> (relay::options::Options, hub::options::Options) {
    let subscriber = |more: Value| {
        let mut location = json!({"type": "subscriber", "signed": true, "create_on_get": true,
            "timeout": 0, "ping_interval": 0, "passthrough": "http://127.0.0.1:1/told",
            "passthrough_events": "debounced"});
        pushserver_testkit::merge(&mut location, more);
        location
    };
    let settings = json!({
        "signing_keys": SIGNING_KEYS,
        "locations": [
            {"type": "status", "prefix": "/", "secret": "word"},
            {"type": "publisher", "prefix": "/p/", "store_messages": false},
            {"type": "publisher", "prefix": "/kept/"},
            subscriber(json!({"prefix": "/s/"})),
            subscriber(json!({"prefix": "/m/", "delimiter": ","})),
        ],
    });
    let source = Source::File("simulated".into());
    let config = Config::parse(settings.to_string().as_bytes(), source, Overrides::default());
    let config = config.expect("settings that can work");
    (config.relay_options(), config.hub_options(MessageId { time: 1, tag: 0 }, seed))
}

/// A request that is held.
#[derive(Debug, Clone)]
struct Held {
    user: &'static str,
    channels: Vec<&'static str>,
    is_stream: bool,
}

/// A channel and a user.
type Member = (&'static str, &'static str);

struct World {
    network: Network,
    random: Random,
    options: (relay::options::Options, hub::options::Options),
    held: BTreeMap<ConnKey, Held>,
    /// When those leave that are away, milliseconds.
    away: BTreeMap<Member, u64>,
    counts: BTreeMap<&'static str, u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let options = options(seed);
        let network = Network::new(&options.0, options.1.clone());
        let (held, away, counts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { network, random: Random::new(seed), options, held, away, counts }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Somebody asks for what comes next.
    fn hold(&mut self, conn: ConnKey, held: Held) {
        let Held { user, channels, is_stream } = &held;
        let claims = json!({"c": channels, "u": user, "e": 100_000});
        let token = sign(SIGNING_KEYS[0], &claims, self.network.now.unix_s);
        let place = if channels.len() == 1 { "s" } else { "m" };
        let lines = if *is_stream { "Accept: text/event-stream\r\n" } else { "" };
        let path = format!("/{place}/{}?token={token}", channels.join(","));
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        self.network.send(conn, request.as_bytes());
        for channel in channels {
            if self.away.remove(&(*channel, *user)).is_some() {
                *self.counts.entry("back in time").or_default() += 1;
            }
        }
        self.held.insert(conn, held);
        self.network.settle();
    }

    /// A request is over; whoever has no other one leaves, now or when the grace is over.
    fn end(&mut self, conn: ConnKey, at_once: bool) -> Held {
        let ended = self.held.remove(&conn).expect("it is held");
        for channel in &ended.channels {
            if !self.is_here((channel, ended.user)) && !at_once {
                let leaves_ms = self.network.now.mono_ms + GRACE_MS;
                self.away.insert((channel, ended.user), leaves_ms);
            }
        }
        ended
    }

    fn is_here(&self, (channel, user): Member) -> bool {
        self.held.values().any(|held| held.user == user && held.channels.contains(&channel))
    }

    fn ask(&mut self, line: &str, lines: &str) -> String {
        let conn = self.network.connect();
        let request = format!("{line} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        self.network.send(conn, request.as_bytes());
        self.network.settle();
        let answer = String::from_utf8(self.network.take(conn)).expect("it is text");
        self.network.reset(conn);
        self.network.settle();
        answer
    }

    /// A message: whoever polls there has it, and comes back or not.
    fn publish(&mut self, channel: &'static str) {
        self.ask(&format!("POST /p/{channel}"), "Content-Length: 0\r\n");
        let polls = self.held.iter().filter(|(_, held)| !held.is_stream);
        let polls = polls.filter(|(_, held)| held.channels.contains(&channel));
        for conn in polls.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            let held = self.end(conn, false);
            self.count("answered");
            if self.random.below(3) > 0 {
                self.hold(conn, held);
            } else {
                self.network.reset(conn);
            }
        }
        self.network.settle();
    }

    /// The channel that no request names beside others is deleted.
    fn delete(&mut self) {
        self.ask("DELETE /p/alone", "");
        let there = self.held.iter().filter(|(_, held)| held.channels == ["alone"]);
        for conn in there.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.end(conn, true);
            self.network.reset(conn);
            self.count("deleted");
        }
        self.network.settle();
    }

    fn pass_ms(&mut self, ms: u64) {
        self.network.advance_ms(ms);
        let now_ms = self.network.now.mono_ms;
        self.away.retain(|_, leaves_ms| *leaves_ms > now_ms);
    }

    /// Who should be there.
    fn present(&self) -> BTreeSet<(String, String)> {
        let here = self.held.values().flat_map(|held| {
            held.channels.iter().map(|channel| (*channel, held.user)).collect::<Vec<_>>()
        });
        let all = here.chain(self.away.keys().copied());
        all.map(|(channel, user)| (channel.to_owned(), format!("u%3A{user}"))).collect()
    }

    /// Whom the daemon says to be there.
    fn shown(&mut self) -> BTreeSet<(String, String)> {
        let mut shown = BTreeSet::new();
        for channel in ["a", "b", "alone"] {
            let lines = "Authorization: Bearer word\r\n";
            let answer = self.ask(&format!("GET /presence?channel={channel}"), lines);
            let json = answer.split_once("\r\n\r\n").expect("a head").1;
            let json: Value = serde_json::from_str(json).expect("JSON");
            let members = json["members"].as_array().expect("a list").iter();
            for member in members {
                let user = member["user"].as_str().expect("each is a user");
                let holds = self
                    .held
                    .values()
                    .filter(|held| held.user == user && held.channels.contains(&channel));
                assert_eq!(member["holds"], holds.count(), "{channel} {user}");
                shown.insert((channel.to_owned(), format!("u%3A{user}")));
            }
        }
        shown
    }

    /// Whoever should be there is, as far as Django can know.
    fn check(&mut self) {
        let (present, shown) = (self.present(), self.shown());
        assert_eq!(shown, present, "members");
    }

    fn step(&mut self, may_be_unsure: bool) {
        match self.random.below(20) {
            0..5 => {
                let user = self.random.pick(&["1", "2", "3"]);
                let all: &[&[&'static str]] = &[&["a"], &["b"], &["alone"], &["a", "b"]];
                let channels = self.random.pick(all).to_vec();
                let is_stream = self.random.below(2) == 0;
                let conn = self.network.connect();
                self.hold(conn, Held { user, channels, is_stream });
            }
            5..8 => {
                let conns: Vec<ConnKey> = self.held.keys().copied().collect();
                if !conns.is_empty() {
                    let conn = self.random.pick(&conns);
                    self.network.reset(conn);
                    self.network.settle();
                    self.end(conn, false);
                }
            }
            8..11 => {
                let channel = self.random.pick(&["a", "b", "alone"]);
                self.publish(channel);
            }
            11 => self.delete(),
            12..15 => {
                let ms = self.random.pick(&[10, 1_000, 4_990, 5_000, 20_000]);
                self.pass_ms(ms);
            }
            15..18 => {
                let after_ms = self.random.pick(&[0, 10, 3_000]);
                let status = self.random.pick(&[200, 204, 408, 429, 502, 503]);
                let certain = [Taking::Answers { status, after_ms }, Taking::Refuses];
                let takes = self.random.below(2) == 0;
                let unsure = [Taking::Hangs { takes, for_ms: 20_000 }, Taking::Breaks { takes }];
                let manners = [certain, if may_be_unsure { unsure } else { certain }];
                let manners = self.random.pick(&manners);
                self.network.django.taking = self.random.pick(&manners);
            }
            18 => {
                let unix_s = self.network.now.unix_s;
                let by_s = self.random.pick(&[-3_600_i64, -1, 1, 3_600]);
                self.network.now.unix_s = unix_s.saturating_add_signed(by_s);
            }
            _ => {
                let (relay, hub) = self.options.clone();
                self.network.relay.command(Command::Reload(&relay, hub.stores), self.network.now);
            }
        }
        self.check();
    }
}

/// Each member has come before it leaves, and left before it comes again, after one reset.
fn check_alternation(taken: &[String]) {
    let mut there = BTreeSet::new();
    for (index, form) in taken.iter().enumerate() {
        let fields: Vec<&str> = form.split('&').collect();
        if fields[0] == "reset=1" {
            assert_eq!(index, 0, "a reset is the first thing, and the only one");
            continue;
        }
        let member = (fields[0].to_owned(), fields[2].to_owned());
        match fields[1] {
            "join=1" => assert!(there.insert(member), "joins twice: {form}"),
            "leave=1" => assert!(there.remove(&member), "leaves without a join: {form}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn whatever_django_does_it_knows_in_the_end_who_is_there() {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..SEEDS {
        let may_be_unsure = seed % 2 == 1;
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step(may_be_unsure);
        }
        world.network.django.taking = WELL;
        // As long as the longest notice and the longest wait, more than once.
        world.pass_ms(200_000);
        world.check();
        assert_eq!(world.network.django.present, world.present(), "seed {seed}");
        let tried = world.network.django.tried;
        world.pass_ms(3_700_000);
        assert_eq!(world.network.django.tried, tried, "seed {seed}: it is told of what it knows");
        if !may_be_unsure {
            check_alternation(&world.network.django.taken);
        }
        for (what, count) in world.counts {
            *counts.entry(what).or_default() += count;
        }
        *counts.entry("taken").or_default() += world.network.django.taken.len() as u64;
        *counts.entry("tried").or_default() += tried as u64;
    }
    for (what, least) in
        [("back in time", 200), ("answered", 300), ("deleted", 30), ("taken", 400), ("tried", 800)]
    {
        assert!(counts.get(what).is_some_and(|count| *count >= least), "{counts:?}");
    }
}

fn alone(world: &mut World) -> ConnKey {
    let conn = world.network.connect();
    world.hold(conn, Held { user: "1", channels: vec!["a"], is_stream: false });
    conn
}

/// What Django has taken, without what names the run.
fn taken(world: &mut World) -> Vec<String> {
    let taken = std::mem::take(&mut world.network.django.taken);
    let plain = |form: String| form.split("&instance=").next().expect("a part").to_owned();
    taken.into_iter().map(plain).collect()
}

/// The settings name another URL.
fn tell_another(world: &mut World) {
    let (mut relay, hub) = world.options.clone();
    for location in &mut relay.locations {
        if let relay::options::Role::Subscriber(subscriber) = &mut location.role {
            subscriber.passthrough = Some("http://127.0.0.1:1/other".to_owned());
        }
    }
    world.network.relay.command(Command::Reload(&relay, hub.stores), world.network.now);
}

/// As its next poll: who is there is told to the URL that is told now.
fn check_that_all_is_told(world: &mut World, first: ConnKey) {
    let second = alone(world);
    let join = "channel_id=a&join=1&member=u%3A1&user=1&members=1";
    assert_eq!(taken(world), ["reset=1", join]);
    world.network.reset(first);
    world.network.reset(second);
    world.pass_ms(GRACE_MS);
    assert_eq!(taken(world).len(), 1);
}

#[test]
fn a_leave_while_django_is_away_for_ten_seconds_is_told_once_and_late() {
    for away in [Taking::Refuses, Taking::Answers { status: 503, after_ms: 0 }] {
        let mut world = World::new(1);
        let conn = alone(&mut world);
        assert_eq!(
            taken(&mut world),
            ["reset=1", "channel_id=a&join=1&member=u%3A1&user=1&members=1"]
        );
        world.network.django.taking = away;
        world.network.reset(conn);
        world.pass_ms(GRACE_MS + 10_000);
        assert_eq!(world.network.django.tried, 2 + 4, "at once, and after 1, 2 and 4 s more");
        world.network.django.taking = WELL;
        world.pass_ms(60_000);
        let leave = "channel_id=a&leave=1&member=u%3A1&user=1&members=0&reason=gone";
        assert_eq!(taken(&mut world), [leave]);
        assert_eq!(world.network.relay.state().figures().presence_members, 0);
    }
}

#[test]
fn what_is_undone_before_it_was_told_is_never_told() {
    let mut world = World::new(1);
    let first = alone(&mut world);
    taken(&mut world);
    world.network.django.taking = Taking::Refuses;
    world.network.reset(first);
    world.pass_ms(GRACE_MS + 500);
    let second = alone(&mut world);
    world.network.django.taking = WELL;
    world.pass_ms(60_000);
    assert_eq!(taken(&mut world), [""; 0]);
    world.network.reset(second);
    world.pass_ms(GRACE_MS);
    assert_eq!(taken(&mut world).len(), 1);
}

#[test]
fn what_django_refuses_is_given_up_and_what_comes_next_is_told() {
    let mut world = World::new(1);
    let first = alone(&mut world);
    taken(&mut world);
    world.network.django.taking = Taking::Answers { status: 403, after_ms: 0 };
    world.network.reset(first);
    world.pass_ms(3_600_000);
    assert_eq!(world.network.django.tried, 3);
    assert_eq!(world.network.relay.state().figures().presence_members, 0);
    let second = alone(&mut world);
    world.network.django.taking = WELL;
    world.pass_ms(60_000);
    assert_eq!(world.network.django.tried, 4, "a join that was refused is not told again");
    world.network.reset(second);
    world.pass_ms(GRACE_MS);
    assert_eq!(taken(&mut world), [""; 0], "nor that one left who never came");
    alone(&mut world);
    assert_eq!(taken(&mut world), ["channel_id=a&join=1&member=u%3A1&user=1&members=1"]);
}

#[test]
fn one_that_has_left_is_forgotten_after_an_hour_of_silence() {
    let mut world = World::new(1);
    let conn = alone(&mut world);
    world.network.django.taking = Taking::Hangs { takes: false, for_ms: 20_000 };
    world.network.reset(conn);
    world.pass_ms(3_590_000);
    assert_eq!(world.network.relay.state().figures().presence_members, 1);
    world.pass_ms(20_000);
    assert_eq!(world.network.relay.state().figures().presence_members, 0);
}

#[test]
fn a_url_that_leaves_the_settings_is_told_nothing_and_the_next_one_everything() {
    let mut world = World::new(1);
    let first = alone(&mut world);
    taken(&mut world);
    tell_another(&mut world);
    world.network.settle();
    assert_eq!(taken(&mut world), [""; 0]);
    check_that_all_is_told(&mut world, first);
}

#[test]
fn one_for_whom_messages_wait_each_time_is_there_though_it_is_never_held() {
    let mut world = World::new(1);
    let first = alone(&mut world);
    world.ask("POST /kept/a", "Content-Length: 0\r\n");
    world.end(first, false);
    let join = "channel_id=a&join=1&member=u%3A1&user=1&members=1";
    for _ in 0..4 {
        world.pass_ms(GRACE_MS - 2_000);
        let conn = alone(&mut world);
        let answer = String::from_utf8(world.network.take(conn)).expect("it is text");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        world.end(conn, false);
    }
    assert_eq!(taken(&mut world), ["reset=1", join]);
    world.pass_ms(GRACE_MS - 1);
    assert_eq!(taken(&mut world), [""; 0]);
    world.pass_ms(1);
    let leave = "channel_id=a&leave=1&member=u%3A1&user=1&members=0&reason=silent";
    assert_eq!(taken(&mut world), [leave]);
}

#[test]
fn who_waits_to_be_told_of_when_the_url_changes_is_told_to_the_next_one() {
    let mut world = World::new(1);
    world.network.django.taking = Taking::Refuses;
    let first = alone(&mut world);
    tell_another(&mut world);
    world.network.django.taking = WELL;
    check_that_all_is_told(&mut world, first);
}

#[test]
fn those_who_come_and_go_while_django_is_away_leave_nothing_behind() {
    let mut world = World::new(1);
    world.network.django.taking = Taking::Refuses;
    for _ in 0..200 {
        let conn = alone(&mut world);
        world.network.reset(conn);
        world.network.settle();
        world.pass_ms(GRACE_MS);
        assert_eq!(world.network.relay.state().figures().presence_members, 0);
    }
    // What waits is bounded by those who are there.
    world.network.relay.state().check_invariants();
    world.network.django.taking = WELL;
    world.pass_ms(60_000);
    let told = taken(&mut world);
    assert!(told.iter().all(|form| form == "reset=1"), "{told:?}");
}

#[test]
fn a_join_that_some_receivers_may_have_taken_is_followed_by_a_leave() {
    for status in [500, 504] {
        let mut world = World::new(1);
        let first = alone(&mut world);
        world.network.reset(first);
        world.pass_ms(GRACE_MS);
        taken(&mut world);
        world.network.django.taking = Taking::Answers { status, after_ms: 0 };
        let second = alone(&mut world);
        world.network.reset(second);
        world.pass_ms(GRACE_MS);
        world.network.django.taking = WELL;
        world.pass_ms(60_000);
        let leave = "channel_id=a&leave=1&member=u%3A1&user=1&members=0&reason=gone";
        assert_eq!(taken(&mut world), [leave], "{status}");
    }
}

#[test]
fn who_is_away_when_access_is_taken_back_leaves_at_once() {
    let form = |form: &str| {
        format!(
            "Authorization: Bearer word\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        )
    };
    for (revoked, leaves) in [
        ("user=1", true),
        ("user=1&channel=a", true),
        ("user=1&channel=b", false),
        ("user=2", false),
    ] {
        let mut world = World::new(1);
        let conn = alone(&mut world);
        world.network.reset(conn);
        world.pass_ms(10);
        taken(&mut world);
        let asks = world.network.connect();
        let request = format!("POST /revoke HTTP/1.1\r\nHost: a\r\n{}", form(revoked));
        world.network.send(asks, request.as_bytes());
        world.network.settle();
        let leave = "channel_id=a&leave=1&member=u%3A1&user=1&members=0&reason=revoked";
        let expected: &[&str] = if leaves { &[leave] } else { &[] };
        assert_eq!(taken(&mut world), expected, "{revoked}");
    }
}
