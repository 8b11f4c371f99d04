//! Revoking: who waits, publishes and comes again while access is taken back, with a model of its
//! own: who is let in, who is held, and what each is told last.
//!
//! What is done between two turns comes to the relay in that order, so what a revocation races with
//! is decided: whoever it concerns is sent nothing that was published beside it or behind it.

use std::collections::BTreeMap;

use pushserver::config::{Config, Overrides, Source};
use pushserver::message::MessageId;
use pushserver::relay::{Command, ConnKey};
use pushserver::store::{Fate, Loss};
use pushserver::{hub, relay};
use pushserver_testkit::tokens::{SIGNING_KEYS, sign};
use pushserver_testkit::{Network, Random};
use serde_json::json;

const SEEDS: u64 = 100;
const STEPS: u64 = 60;

const WEB_SOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Longer than any run.
const GOOD_S: u64 = 100_000;

fn options(seed: u64) -> (relay::options::Options, hub::options::Options) {
    let settings = json!({
        "signing_keys": SIGNING_KEYS,
        "locations": [
            {"type": "status", "prefix": "/", "secret": "word"},
            {"type": "publisher", "prefix": "/p/", "store_messages": false},
            {"type": "publisher", "prefix": "/gp/", "store_messages": false, "channel_group": "g"},
            {"type": "publisher", "prefix": "/kept/"},
            {"type": "subscriber", "prefix": "/s/", "signed": true, "create_on_get": true},
            {"type": "subscriber", "prefix": "/g/", "signed": true, "create_on_get": true,
             "channel_group": "g"},
            {"type": "subscriber", "prefix": "/m/", "signed": true, "create_on_get": true,
             "delimiter": ","},
            {"type": "subscriber", "prefix": "/told/", "signed": true, "create_on_get": true,
             "passthrough": "http://127.0.0.1:1/told"},
            {"type": "pubsub", "prefix": "/b/", "signed": true, "create_on_get": true,
             "store_messages": false},
        ],
    });
    let source = Source::File("simulated".into());
    let config = Config::parse(settings.to_string().as_bytes(), source, Overrides::default());
    let config = config.expect("settings that can work");
    let first = MessageId { time: 1, tag: 0 };
    (config.relay_options(), config.hub_options(first, seed))
}

/// How a request receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Poll,
    EventStream,
    WebSocket,
    /// A WebSocket that may publish.
    Both,
}

/// A request that should be held.
#[derive(Debug, Clone)]
struct Held {
    kind: Kind,
    user: Option<&'static str>,
    /// Its channels, each with its group.
    channels: Vec<Channel>,
    /// What was published there since the last turn.
    fresh: Vec<String>,
}

/// An id and a group.
type Channel = (&'static str, &'static str);

/// Whose access was taken back, and in which channel, or in all.
type Scope = (&'static str, Option<Channel>);

struct World {
    network: Network,
    random: Random,
    options: relay::options::Options,
    /// Up to which second of signing tokens are refused.
    revoked: BTreeMap<Scope, u64>,
    /// Who should be held, and what each should have been sent since the last turn.
    held: BTreeMap<ConnKey, Held>,
    due: BTreeMap<ConnKey, Vec<String>>,
    /// Those that left in the turn at hand, which the relay may not have seen.
    leaving: Vec<Held>,
    /// What revocations should have been answered since then.
    revocations: Vec<(ConnKey, String)>,
    /// Connections without a request, and those that will have none after this turn.
    idle: Vec<ConnKey>,
    resting: Vec<ConnKey>,
    /// How often things happened that matter.
    counts: BTreeMap<&'static str, u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let (options, hub) = options(seed);
        let mut network = Network::new(&options, hub);
        let mut random = Random::new(seed);
        network.pace = random.pick(&[1, 2, 3, 96]);
        Self {
            network,
            random,
            options,
            revoked: BTreeMap::new(),
            held: BTreeMap::new(),
            due: BTreeMap::new(),
            leaving: Vec::new(),
            revocations: Vec::new(),
            idle: Vec::new(),
            resting: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn step(&mut self) {
        match self.random.weighted(&[45, 20, 14, 6, 6, 5, 4]) {
            0 => self.subscribe(),
            1 => self.publish(),
            2 => self.revoke(),
            3 => self.leave(),
            4 => self.send_by_websocket(),
            5 => {
                let now = &mut self.network.now.unix_s;
                *now = now.saturating_add_signed(self.random.pick(&[-3, 1, 1, 2, 5]));
            }
            _ => {
                let now = self.network.now;
                self.network.relay.command(Command::Reload(&self.options, Vec::new()), now);
                self.count("reloads");
            }
        }
    }

    /// Signs a token about now, and asks with it.
    fn subscribe(&mut self) {
        let conn = match self.random.percent(60).then(|| self.idle.pop()).flatten() {
            Some(conn) => conn,
            None => self.network.connect(),
        };
        let kind = self.random.pick(&[
            Kind::Poll,
            Kind::Poll,
            Kind::EventStream,
            Kind::WebSocket,
            Kind::Both,
        ]);
        let user = self.random.pick(&[Some("1"), Some("1"), Some("2"), None]);
        let id = self.random.pick(&["a", "b", "c"]);
        let (path, channels, group) = match kind {
            Kind::Both => (format!("/b/{id}"), vec![(id, "")], ""),
            _ if self.random.percent(25) => (format!("/g/{id}"), vec![(id, "g")], "g"),
            _ if self.random.percent(25) => {
                let other = self.random.pick(&["a", "b", "c"]);
                let mut channels = vec![(id, ""), (other, "")];
                channels.dedup();
                (format!("/m/{id},{other}"), channels, "")
            }
            _ => (format!("/s/{id}"), vec![(id, "")], ""),
        };
        let now_s = self.network.now.unix_s;
        let signed_s = now_s.saturating_add_signed(self.random.pick(&[-4, -1, 0, 0, 1, 2]));
        let ids: Vec<_> = channels.iter().map(|(id, _)| *id).collect();
        let ids = if let [id] = *ids { json!(id) } else { json!(ids) };
        let mut claims = json!({"c": ids, "e": GOOD_S, "g": group});
        if let Some(user) = user {
            claims["u"] = user.into();
        }
        if kind == Kind::Both {
            claims["a"] = "pub".into();
        }
        let token = sign(SIGNING_KEYS[0], &claims, signed_s);
        let more = match kind {
            Kind::Poll => "",
            Kind::EventStream => "Accept: text/event-stream\r\n",
            Kind::WebSocket | Kind::Both => WEB_SOCKET,
        };
        let head = format!("GET {path}?token={token} HTTP/1.1\r\nHost: sim\r\n{more}\r\n");
        let is_refused = user.is_some_and(|user| self.is_refused(user, &channels, signed_s));
        let due = self.due.entry(conn).or_default();
        if is_refused {
            due.push("403".to_owned());
            self.idle.push(conn);
            self.count("refused");
        } else {
            match kind {
                Kind::Poll => {}
                Kind::EventStream => due.push("200".to_owned()),
                Kind::WebSocket | Kind::Both => due.push("101".to_owned()),
            }
            self.held.insert(conn, Held { kind, user, channels, fresh: Vec::new() });
            self.count("held");
        }
        self.network.send(conn, head.as_bytes());
    }

    fn is_refused(&self, user: &'static str, channels: &[Channel], signed_s: u64) -> bool {
        let refuses =
            |channel| self.revoked.get(&(user, channel)).is_some_and(|at| signed_s <= *at);
        refuses(None) || channels.iter().any(|channel| refuses(Some(*channel)))
    }

    fn publish(&mut self) {
        let conn = self.network.connect();
        let channel = (self.random.pick(&["a", "b", "c"]), self.random.pick(&["", "", "g"]));
        let path = if channel.1.is_empty() { "/p/" } else { "/gp/" };
        let body = self.body();
        let (id, length) = (channel.0, body.len());
        let post =
            format!("POST {path}{id} HTTP/1.1\r\nHost: sim\r\nContent-Length: {length}\r\n\r\n");
        self.network.send(conn, (post + &body).as_bytes());
        self.note_published(channel, &body);
    }

    /// What is published comes to those that are held in the turn that follows.
    fn note_published(&mut self, channel: Channel, body: &str) {
        self.count("published");
        for held in self.held.values_mut().filter(|held| held.channels.contains(&channel)) {
            // One message is all that a poll gets.
            if held.kind != Kind::Poll || held.fresh.is_empty() {
                held.fresh.push(body.to_owned());
            }
        }
    }

    fn send_by_websocket(&mut self) {
        let mut both = self.held.iter().filter(|(_, held)| held.kind == Kind::Both);
        let Some((conn, channel)) = both.next().map(|(conn, held)| (*conn, held.channels[0]))
        else {
            return;
        };
        let body = self.body();
        let mut frame = vec![0x81, 0x80 | body.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(body.as_bytes());
        self.network.send(conn, &frame);
        self.note_published(channel, &body);
    }

    fn body(&mut self) -> String {
        format!("m{}", self.random.below(1 << 40))
    }

    fn revoke(&mut self) {
        let user = self.random.pick(&["1", "1", "2", "3"]);
        let channel = self
            .random
            .percent(60)
            .then(|| (self.random.pick(&["a", "b"]), self.random.pick(&["", "", "g"])));
        let form = match channel {
            None => format!("user={user}"),
            Some((id, group)) => format!("user={user}&channel={id}&group={group}"),
        };
        let length = form.len();
        let head = format!(
            "POST /revoke HTTP/1.1\r\nHost: sim\r\nAuthorization: Bearer word\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
        );
        let admin = self.network.connect();
        self.network.send(admin, (head + &form).as_bytes());
        let at = self.revoked.entry((user, channel)).or_default();
        *at = (*at).max(self.network.now.unix_s);
        let is_meant = |held: &Held| {
            held.user == Some(user) && channel.is_none_or(|one| held.channels.contains(&one))
        };
        let meant = self.held.iter().filter(|(_, held)| is_meant(held));
        let meant: Vec<_> = meant.map(|(conn, held)| (*conn, held.kind)).collect();
        for (conn, kind) in &meant {
            self.held.remove(conn);
            let (last, count) = match kind {
                Kind::Poll => ("403", "polls ended"),
                Kind::EventStream => ("end", "event streams ended"),
                Kind::WebSocket | Kind::Both => ("end", "WebSockets ended"),
            };
            self.due.entry(*conn).or_default().push(last.to_owned());
            if *kind == Kind::Poll {
                self.resting.push(*conn);
            }
            self.count(count);
        }
        let before = self.leaving.len();
        self.leaving.retain(|held| !is_meant(held));
        let ended = meant.len() + before - self.leaving.len();
        let answer = format!("{{\"ended\": {ended}}}");
        self.revocations.push((admin, answer));
        self.count("revocations");
    }

    fn leave(&mut self) {
        let all: Vec<_> = self.held.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        let conn = all[self.random.index(all.len())];
        self.network.reset(conn);
        self.leaving.extend(self.held.remove(&conn));
        self.due.remove(&conn);
        self.network.take(conn);
        self.count("left");
    }

    /// Turns until all is at rest; then everybody has what is due, and nothing else.
    fn settle(&mut self) {
        self.network.settle();
        let mut polls = Vec::new();
        for (conn, held) in &mut self.held {
            let due = self.due.entry(*conn).or_default();
            if held.kind == Kind::Poll && !held.fresh.is_empty() {
                due.push("200".to_owned());
                polls.push(*conn);
            }
            due.append(&mut held.fresh);
        }
        for conn in polls {
            self.held.remove(&conn);
            self.idle.push(conn);
        }
        self.idle.append(&mut self.resting);
        self.leaving.clear();
        for (conn, due) in std::mem::take(&mut self.due) {
            assert_eq!(seen(&self.network.take(conn)), due, "{conn:?}");
        }
        for (admin, answer) in std::mem::take(&mut self.revocations) {
            let got = self.network.take(admin);
            assert!(got.ends_with(answer.as_bytes()), "{answer}: {}", got.escape_ascii());
        }
        let state = self.network.relay.state();
        assert_eq!(state.hub.held(), self.held.len());
        assert_eq!(
            state.figures().revocations,
            self.counts.get("revocations").copied().unwrap_or(0)
        );
    }
}

/// What somebody was sent: statuses, messages, and the end of a stream whose access is taken back.
fn seen(got: &[u8]) -> Vec<String> {
    let mut seen = Vec::new();
    for at in 0..got.len() {
        let rest = &got[at..];
        let is_first = at == 0 || !got[at - 1].is_ascii_alphanumeric();
        if let Some(status) = rest.strip_prefix(b"HTTP/1.1 ") {
            seen.push(String::from_utf8_lossy(&status[..3]).into_owned());
        } else if rest.starts_with(b"event: push:end\ndata: 403 Forbidden\n\n")
            || rest.starts_with(b"\x88\x0f\x11\x33403 Forbidden")
        {
            seen.push("end".to_owned());
        } else if rest[0] == b'm' && is_first && rest.get(1).is_some_and(u8::is_ascii_digit) {
            let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            seen.push(String::from_utf8_lossy(&rest[..=digits]).into_owned());
        }
    }
    seen
}

#[test]
fn whose_access_is_taken_back_is_ended_and_refused_and_nobody_else() {
    let mut counts = BTreeMap::<_, u64>::new();
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            for _ in 0..world.random.pick(&[1, 1, 2, 4, 8]) {
                world.step();
            }
            world.settle();
        }
        for (what, count) in world.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    for what in [
        "held",
        "refused",
        "published",
        "revocations",
        "polls ended",
        "event streams ended",
        "WebSockets ended",
        "left",
        "reloads",
    ] {
        assert!(counts.get(what).is_some_and(|count| *count > SEEDS), "{what}: {counts:?}");
    }
}

#[test]
fn what_is_published_behind_a_revocation_reaches_none_of_thousands_that_it_ends() {
    const HOLDERS: usize = 5_000;
    let (options, hub) = options(0);
    let mut network = Network::new(&options, hub);
    let mut ended = Vec::new();
    for number in 0..HOLDERS {
        let more = if number % 3 == 0 { "Accept: text/event-stream\r\n" } else { "" };
        ended.push(ask(&mut network, "/s/a", 0, more));
    }
    network.settle();
    ended.iter().for_each(|conn| drop(network.take(*conn)));
    let admin = revoke(&mut network);
    // Of the second behind it.
    let other = ask(&mut network, "/s/a", 1, "");
    let publisher = network.connect();
    network.send(publisher, b"POST /p/a HTTP/1.1\r\nHost: sim\r\nContent-Length: 2\r\n\r\nm1");
    network.turn();
    // Who asked is answered before all that ends.
    let answer = format!("{{\"ended\": {HOLDERS}}}");
    assert!(network.take(admin).ends_with(answer.as_bytes()));
    assert!(network.take(publisher).starts_with(b"HTTP/1.1 201 "));
    let mut seen_before = 0;
    while network.is_busy() {
        let told = ended.iter().filter(|conn| !network.peers.get(**conn).got.is_empty()).count();
        assert!(told <= seen_before + network.pace, "{told} behind {seen_before}");
        seen_before = told;
        network.turn();
    }
    for conn in ended {
        let seen = seen(&network.take(conn));
        assert!(seen == ["403"] || seen == ["end"], "{seen:?}");
    }
    assert_eq!(seen(&network.take(other)), ["200", "m1"]);
}

/// A store that answers so many turns later.
fn slow(turns: u64) -> Network {
    let (options, hub) = options(0);
    let mut network = Network::new(&options, hub);
    let late = [Fate { turns, loss: Loss::Nothing }];
    let now = network.now;
    network.relay.command(Command::SlowDown(&late), now);
    network
}

/// Asks for channel `a` with a token of user 42.
fn ask(network: &mut Network, path: &str, at_s: i64, more: &str) -> ConnKey {
    let conn = network.connect();
    ask_on(network, conn, path, at_s, more);
    conn
}

fn ask_on(network: &mut Network, conn: ConnKey, path: &str, at_s: i64, more: &str) {
    let mut claims = json!({"c": "a", "e": GOOD_S, "u": "42"});
    if path == "/b/a" {
        claims["a"] = "pub".into();
    }
    let signed_s = network.now.unix_s.saturating_add_signed(at_s);
    let token = sign(SIGNING_KEYS[0], &claims, signed_s);
    let head = format!("GET {path}?token={token} HTTP/1.1\r\nHost: sim\r\n{more}\r\n");
    network.send(conn, head.as_bytes());
}

fn revoke(network: &mut Network) -> ConnKey {
    let admin = network.connect();
    network.send(
        admin,
        b"POST /revoke HTTP/1.1\r\nHost: sim\r\nAuthorization: Bearer word\r\nContent-Length: 7\r\n\
          Content-Type: application/x-www-form-urlencoded\r\n\r\nuser=42",
    );
    admin
}

/// So many that everything slow has come.
fn turns(network: &mut Network) {
    (0..30).for_each(|_| network.turn());
}

#[test]
fn who_waits_for_a_slow_store_is_ended_and_its_late_answer_goes_to_nobody() {
    for more in ["", "Accept: text/event-stream\r\n", WEB_SOCKET] {
        let mut network = slow(5);
        let conn = ask(&mut network, "/s/a", 0, more);
        network.turn();
        assert!(network.take(conn).is_empty(), "it waits for the store");
        let admin = revoke(&mut network);
        network.turn();
        assert!(network.take(admin).ends_with(b"{\"ended\": 1}"), "{more}");
        assert_eq!(seen(&network.take(conn)), ["403"], "{more}");
        // The next request on the connection has its own answer.
        ask_on(&mut network, conn, "/s/a", 1, "");
        turns(&mut network);
        assert!(network.take(conn).is_empty() && network.peers.get(conn).end.is_none());
        assert_eq!(network.relay.state().hub.held(), 1, "{more}");
    }
}

#[test]
fn a_websocket_whose_message_waits_for_a_slow_store_is_closed() {
    let mut network = slow(3);
    let conn = ask(&mut network, "/b/a", 0, WEB_SOCKET);
    turns(&mut network);
    assert_eq!(seen(&network.take(conn)), ["101"]);
    network.send(conn, b"\x81\x82\0\0\0\0m1");
    network.turn();
    revoke(&mut network);
    turns(&mut network);
    assert_eq!(seen(&network.take(conn)), ["end"]);
    assert_eq!(network.relay.state().hub.held(), 0);
}

#[test]
fn what_a_websocket_sends_behind_a_revocation_is_not_published() {
    let (options, hub) = options(0);
    let mut network = Network::new(&options, hub);
    let conns: Vec<_> = (0..9).map(|_| ask(&mut network, "/b/a", 0, WEB_SOCKET)).collect();
    turns(&mut network);
    network.pace = 1;
    let admin = revoke(&mut network);
    // Of the second behind it.
    let other = ask(&mut network, "/s/a", 1, "Accept: text/event-stream\r\n");
    while network.take(admin).is_empty() {
        network.turn();
    }
    for conn in &conns {
        network.send(*conn, b"\x81\x82\0\0\0\0m1");
    }
    turns(&mut network);
    for conn in conns {
        assert_eq!(seen(&network.take(conn)), ["101", "end"]);
    }
    assert_eq!(seen(&network.take(other)), ["200"]);
}

#[test]
fn what_a_slow_store_is_asked_behind_a_revocation_reaches_none_of_those_that_it_ends() {
    let mut network = slow(2);
    network.pace = 1;
    let events = "Accept: text/event-stream\r\n";
    let ended: Vec<_> = (0..9).map(|_| ask(&mut network, "/s/a", 0, events)).collect();
    turns(&mut network);
    ended.iter().for_each(|conn| drop(network.take(*conn)));
    revoke(&mut network);
    let other = ask(&mut network, "/s/a", 1, events);
    let publisher = network.connect();
    let post = b"POST /p/a HTTP/1.1\r\nHost: sim\r\nContent-Length: 2\r\n\r\nm1";
    network.send(publisher, post);
    turns(&mut network);
    for conn in ended {
        assert_eq!(seen(&network.take(conn)), ["end"]);
    }
    assert_eq!(seen(&network.take(other)), ["200", "m1"]);
    assert!(network.take(publisher).starts_with(b"HTTP/1.1 201 "));
}

#[test]
fn what_streams_have_asked_a_slow_store_for_before_a_revocation_comes_to_none_that_it_ends() {
    let (options, hub) = options(0);
    let mut network = Network::new(&options, hub);
    let fate = |turns| Fate { turns, loss: Loss::Nothing };
    // Nine streams begin, and read later, as slowly; what is published is quick.
    let fates: Vec<_> = (0..40).map(|number| fate(if number < 9 { 6 } else { 1 })).collect();
    let now = network.now;
    network.relay.command(Command::SlowDown(&fates), now);
    let events = "Accept: text/event-stream\r\n";
    let conns: Vec<_> = (0..9).map(|_| ask(&mut network, "/s/a", 0, events)).collect();
    turns(&mut network);
    conns.iter().for_each(|conn| network.peers.get_mut(*conn).room = Some(0));
    publish(&mut network, "m1");
    turns(&mut network);
    for conn in &conns {
        network.peers.get_mut(*conn).room = None;
        network.take_waiting(*conn, usize::MAX);
    }
    network.turn();
    // They are behind now, and have asked for what is next.
    network.pace = 1;
    revoke(&mut network);
    publish(&mut network, "m2");
    turns(&mut network);
    for conn in conns {
        assert_eq!(seen(&network.take(conn)), ["200", "m1", "end"]);
    }
}

/// Publishes, and keeps it.
fn publish(network: &mut Network, body: &str) {
    let conn = network.connect();
    let post = format!("POST /kept/a HTTP/1.1\r\nHost: sim\r\nContent-Length: 2\r\n\r\n{body}");
    network.send(conn, post.as_bytes());
}

#[test]
fn django_is_told_of_each_end() {
    for more in ["", "Accept: text/event-stream\r\n", WEB_SOCKET] {
        let (options, hub) = options(0);
        let mut network = Network::new(&options, hub);
        ask(&mut network, "/told/a", 0, more);
        network.settle();
        assert_eq!(network.django.holds(), 1, "{more}");
        revoke(&mut network);
        network.settle();
        assert_eq!(network.django.holds(), 0, "{more}");
    }
}
