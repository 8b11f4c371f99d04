//! The proxy without sockets: a relay in a network of the testkit, whose upstreams these tests
//! play, with a clock that moves only when told to.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::IpAddr;

use pushserver::hub;
use pushserver::message::{Delivery, First, MessageId};
use pushserver::relay::location::Pattern;
use pushserver::relay::options::{
    ChannelIds, Limits, LocationOptions, Options, Origins, ProxyOptions, PublisherOptions, Role,
    SubscriberOptions, Transports, UpstreamAddress,
};
use pushserver::relay::{Arrival, Command, ConnKey, Input, Output};
use pushserver::store::{StoreId, memory};
use pushserver_testkit::network::BEGIN_UNIX_S;
use pushserver_testkit::peer::End;
use pushserver_testkit::{Happened, Network, Random};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn arrival(peer: IpAddr) -> Arrival {
    Arrival { peer: Some(peer), ..Arrival::default() }
}

/// A network with an upstream, both sides played by hand.
struct World {
    network: Network,
    /// Ended by the relay.
    ended: HashMap<ConnKey, End>,
    /// Dialled, in order, and where to.
    dialled: Vec<(ConnKey, UpstreamAddress)>,
    resumed: Vec<ConnKey>,
}

fn address(port: u16) -> UpstreamAddress {
    UpstreamAddress::Tcp(([127, 0, 0, 1], port).into())
}

fn options(ports: &[u16]) -> Options {
    let proxy = ProxyOptions {
        url: "http://up".to_owned(),
        host: "up".to_owned(),
        addresses: ports.iter().map(|port| address(*port)).collect(),
        force_host: None,
        trusted: vec!["192.0.2.0/24".parse().unwrap()],
        secret: None,
    };
    Options {
        server: String::new(),
        hosts: Vec::new(),
        locations: Vec::new(),
        proxy: Some(proxy),
        limits: Limits::default(),
        signing_keys: Vec::new(),
        access_log: false,
    }
}

/// One store with room for what tests publish.
fn stores() -> Vec<hub::options::StoreOptions> {
    vec![hub::options::StoreOptions {
        memory: memory::Options {
            message_timeout_ms: 0,
            max_messages: 0,
            min_messages: 0,
            max_memory: 1 << 20,
            dropped_at_once: 512,
        },
        channel_timeout_ms: 0,
        kind: hub::options::StoreKind::Memory,
    }]
}

/// A publisher location at `/p/`.
fn publisher() -> LocationOptions {
    LocationOptions {
        pattern: Pattern::prefix("/p/").expect("a sound prefix"),
        shown: "/p/".into(),
        ids: ChannelIds::One,
        store: StoreId(0),
        channel_group: String::new(),
        role: Role::Publisher(PublisherOptions {
            create_on_post: true,
            store_messages: true,
            allow: Vec::new(),
            secret: None,
            allow_origin: Origins::Nobody,
        }),
        signed: None,
    }
}

impl World {
    fn new(ports: &[u16]) -> Self {
        Self::with(&options(ports))
    }

    fn with(options: &Options) -> Self {
        let first_id = MessageId { time: BEGIN_UNIX_S, tag: 0 };
        let hub = hub::options::Options { stores: stores(), channels_max: 1000, first_id, seed: 1 };
        let mut network = Network::new(options, hub);
        network.record();
        let (ended, dialled, resumed) = Default::default();
        Self { network, ended, dialled, resumed }
    }

    fn client(&mut self) -> ConnKey {
        self.network.accept(arrival([10, 0, 0, 1].into()))
    }

    /// Something happens, and then turns are taken until all is quiet.
    fn step(&mut self, happens: impl FnOnce(&mut Network)) {
        happens(&mut self.network);
        self.network.settle();
        for (conn, peer) in self.network.peers.iter() {
            if let Some(end) = peer.end.filter(|end| *end != End::Broken) {
                self.ended.insert(conn, end);
            }
        }
        let dialled = self.network.dialled.iter().map(|(conn, to)| (*conn, (**to).clone()));
        self.dialled = dialled.collect();
        self.resumed.extend(self.network.happened().iter().filter_map(|what| match what {
            Happened::Asked(Output::ResumeRead { conn }) => Some(*conn),
            _ => None,
        }));
    }

    fn command(&mut self, command: Command<'_>) {
        self.step(|network| network.relay.command(command, network.now));
    }

    fn receives(&mut self, conn: ConnKey, bytes: &[u8]) {
        self.step(|network| network.send(conn, bytes));
    }

    fn ends(&mut self, conn: ConnKey) {
        self.step(|network| network.end(conn));
    }

    /// It takes nothing from now on; the relay sees that with the next bytes for it.
    fn stalls(&mut self, conn: ConnKey) {
        self.network.peers.get_mut(conn).room = Some(0);
    }

    fn takes_all(&mut self, conn: ConnKey) {
        self.network.peers.get_mut(conn).room = None;
        self.step(|network| network.take_waiting(conn, usize::MAX));
    }

    fn advance(&mut self, ms: u64) {
        self.step(|network| network.jump_to(network.now.mono_ms + ms));
    }

    /// The connection dialled last, open now.
    fn opens(&mut self) -> ConnKey {
        let (conn, _) = self.dialled.last().expect("a dial").clone();
        self.step(|network| network.open(conn));
        conn
    }

    fn fails(&mut self) {
        let (conn, _) = self.dialled.last().expect("a dial").clone();
        self.step(|network| network.refuse(conn, ErrorKind::ConnectionRefused));
    }

    fn makes_room(&mut self) -> bool {
        let Network { relay, now, .. } = &mut self.network;
        let spare = relay.spare(1_000, true, *now).conn;
        if let Some(conn) = spare {
            self.step(|network| network.relay.handle_input(conn, Input::Evicted, network.now));
        }
        spare.is_some()
    }

    fn text(&self, conn: ConnKey) -> String {
        String::from_utf8_lossy(&self.network.peers.get(conn).got).into_owned()
    }

    /// A client with its request at an upstream.
    fn asked(&mut self) -> (ConnKey, ConnKey) {
        let client = self.client();
        self.receives(client, GET);
        let upstream = self.opens();
        assert!(self.text(upstream).starts_with("GET / HTTP/1.1\r\n"));
        (client, upstream)
    }

    /// Bytes of messages on their way.
    fn upload_bytes(&self) -> usize {
        usize::try_from(self.network.relay.state().figures().upload_bytes).expect("a few")
    }

    /// Once all clients have left and time has passed, nothing is left.
    fn ends_empty(mut self, clients: &[ConnKey]) {
        let peers: Vec<ConnKey> = self.network.peers.iter().map(|(conn, _)| conn).collect();
        peers.into_iter().for_each(|conn| self.takes_all(conn));
        for client in clients {
            if !self.ended.contains_key(client) {
                self.ends(*client);
            }
        }
        self.advance(10_000);
        // A channel that was made by PUT has a timer of its own.
        let state = self.network.relay.state();
        let left = (state.connections(), state.timers() - state.hub.timers(), state.hub.held());
        assert_eq!((left, self.upload_bytes()), ((0, 0, 0), 0));
    }
}

const LENGTH: &str = "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\n\r\n\
    2\r\nhe\r\n3;x\r\nllo\r\n0\r\nT: x\r\n\r\n";

#[test]
fn an_answer_is_the_same_wherever_it_is_split_and_its_connection_is_used_again() {
    for answer in [LENGTH, CHUNKED] {
        let answer = format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{answer}");
        for split in 1..answer.len() {
            let mut world = World::new(&[1]);
            let (client, upstream) = world.asked();
            world.receives(upstream, &answer.as_bytes()[..split]);
            world.receives(upstream, &answer.as_bytes()[split..]);
            let got = world.text(client);
            assert!(got.starts_with("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK"));
            let (_, body) = got.rsplit_once("Date: x\r\n").expect("a head");
            let body: String = body.split("\r\n").filter(|line| "hello".contains(line)).collect();
            assert_eq!(body, "hello", "split at {split}: {got}");
            world.receives(client, GET);
            assert_eq!((world.dialled.len(), world.ended.len()), (1, 0));
            world.ends_empty(&[client]);
        }
    }
}

#[test]
fn wherever_an_answer_is_cut_off_the_client_can_tell() {
    for answer in [LENGTH, CHUNKED] {
        let head_end = answer.find("\r\n\r\n").expect("a head") + 4;
        for cut in 0..answer.len() {
            let mut world = World::new(&[1]);
            let (client, upstream) = world.asked();
            if cut > 0 {
                world.receives(upstream, &answer.as_bytes()[..cut]);
            }
            world.ends(upstream);
            let got = world.text(client);
            match cut {
                // Nothing came: asked once more, on another connection.
                0 => assert_eq!((got.as_str(), world.dialled.len()), ("", 2)),
                cut if cut < head_end => {
                    assert!(got.starts_with("HTTP/1.1 502"), "cut at {cut}: {got}");
                    assert_eq!(world.ended.get(&client), None);
                }
                _ => {
                    assert!(!got.ends_with("hello") && !got.ends_with("0\r\n\r\n"), "at {cut}");
                    assert_eq!(world.ended.get(&client), Some(&End::Closed));
                }
            }
            world.ends_empty(&[client]);
        }
    }
}

#[test]
fn an_upstream_is_read_only_while_its_client_takes_what_it_sends() {
    let mut world = World::new(&[1]);
    let (client, upstream) = world.asked();
    world.receives(upstream, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx");
    assert!(world.network.relay.read_max(upstream) > 0);
    world.stalls(client);
    world.receives(upstream, b"x");
    assert!(world.network.relay.read_max(upstream) == 0);
    world.takes_all(client);
    assert_eq!(world.resumed, [upstream]);
    assert!(world.network.relay.read_max(upstream) > 0);
    // A client that takes nothing for too long is given up, and so is its upstream.
    world.stalls(client);
    world.receives(upstream, b"x");
    world.advance(15_000);
    assert_eq!(world.ended[&client], End::Aborted);
    assert_eq!(world.ended[&upstream], End::Aborted);
    world.ends_empty(&[client]);
}

#[test]
fn a_hold_handed_over_to_a_client_that_takes_nothing_lasts_no_longer_than_any_answer() {
    let role = Role::Subscriber(SubscriberOptions {
        transports: Transports { websocket: true, event_stream: true, poll: true },
        delivery: Delivery::LongPoll,
        ping_interval_ms: 0,
        first: First::Oldest,
        create_on_get: true,
        concurrency: hub::options::Concurrency::Broadcast,
        timeout_ms: 1000,
        max_subscribers: 0,
        allow_origin: Origins::Nobody,
        allow_credentials: false,
        passthrough: None,
        passthrough_secret: None,
        presence: None,
    });
    let mut options = options(&[1]);
    options.locations.push(LocationOptions {
        pattern: Pattern::prefix("/s/").expect("a prefix"),
        shown: "/s/".into(),
        ids: ChannelIds::One,
        store: StoreId(0),
        channel_group: String::new(),
        role,
        signed: None,
    });
    let mut world = World::with(&options);
    let (client, upstream) = world.asked();
    world.stalls(client);
    let handed = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\
        X-Accel-Redirect: /s/a\r\nContent-Length: 0\r\n\r\n";
    world.receives(upstream, handed);
    assert_eq!(world.network.relay.state().hub.held(), 1);
    // The hold has ended, and what it was answered waits behind the rest.
    world.advance(2000);
    assert_eq!((world.network.relay.state().hub.held(), world.ended.get(&client)), (0, None));
    world.advance(13_010);
    assert_eq!(world.ended[&client], End::Aborted);
    world.ends_empty(&[client]);
}

#[test]
fn the_addresses_of_an_upstream_are_tried_in_turn_and_the_one_that_answers_is_kept() {
    let mut world = World::new(&[1, 2]);
    let client = world.client();
    world.receives(client, GET);
    world.fails();
    let upstream = world.opens();
    world.receives(upstream, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    world.receives(client, GET);
    let to: Vec<_> = world.dialled.iter().map(|(_, to)| to.clone()).collect();
    assert_eq!(to, [address(1), address(2), address(2)]);
    world.ends_empty(&[client]);
}

#[test]
fn what_is_kept_for_the_upstreams_next_request_makes_room_first() {
    let mut world = World::new(&[1]);
    let (client, upstream) = world.asked();
    world.receives(upstream, LENGTH.as_bytes());
    assert!(world.text(client).ends_with("hello"));
    for closed in [upstream, client] {
        assert!(!world.ended.contains_key(&closed));
        assert!(world.makes_room());
        assert_eq!(world.ended[&closed], End::Closed);
    }
    assert!(!world.makes_room());
    world.ends_empty(&[]);
}

#[test]
fn an_address_that_says_nothing_has_its_share_of_the_wait_and_then_it_is_the_next_ones_turn() {
    let mut world = World::new(&[1, 2]);
    let clients = [world.client(), world.client(), world.client()];
    world.receives(clients[0], GET);
    world.advance(100);
    world.receives(clients[1], GET);
    world.advance(2_410);
    assert_eq!(world.ended[&world.dialled[0].0], End::Aborted);
    let first = world.opens();
    assert!(world.text(first).starts_with("GET / "));
    // A request that tried the silent one at the same time goes on to the other one too.
    world.advance(100);
    let second = world.opens();
    world.receives(clients[2], GET);
    let to: Vec<_> = world.dialled.iter().map(|(_, to)| to.clone()).collect();
    assert_eq!(to, [1, 1, 2, 2, 2].map(address));
    // Neither says anything now, and together they have no more than all of the wait.
    world.advance(2_510);
    assert_eq!(world.text(clients[2]), "");
    world.advance(2_510);
    assert!(world.text(clients[2]).starts_with("HTTP/1.1 502 "));
    for upstream in [first, second] {
        world.receives(upstream, LENGTH.as_bytes());
    }
    assert!(clients[..2].iter().all(|client| world.text(*client).ends_with("hello")));
    world.ends_empty(&clients);
}

#[test]
fn while_the_upstream_is_away_one_of_those_who_wait_tries_and_all_go_on_when_it_is_back() {
    let mut world = World::new(&[1]);
    let clients: Vec<ConnKey> = (0..5).map(|_| world.client()).collect();
    world.receives(clients[0], GET);
    world.fails();
    for client in &clients[1..] {
        world.receives(*client, GET);
    }
    assert_eq!(world.dialled.len(), 1);
    for dials in 2..10 {
        world.advance(50);
        assert_eq!(world.dialled.len(), dials);
        world.fails();
    }
    world.advance(50);
    world.opens();
    assert_eq!(world.dialled.len(), 10 + 4);
    world.ends_empty(&clients);
}

#[test]
fn who_waits_too_long_for_the_upstream_is_answered_502() {
    let mut world = World::new(&[1]);
    let clients = [world.client(), world.client()];
    world.receives(clients[0], GET);
    world.fails();
    world.receives(clients[1], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na");
    // The last dial is neither refused nor accepted.
    world.advance(5_010);
    for client in clients {
        assert!(world.text(client).starts_with("HTTP/1.1 502 "));
    }
    world.advance(5_010);
    assert_eq!(world.ended.get(&clients[0]), None);
    assert!(world.ended.contains_key(&clients[1]), "its body is still to come");
    world.ends_empty(&clients);
}

#[test]
fn other_settings_lead_elsewhere_and_what_is_on_its_way_comes_to_its_end() {
    let mut world = World::new(&[1]);
    let (idle_client, idle) = world.asked();
    world.receives(idle, LENGTH.as_bytes());
    let busy_client = world.client();
    world.receives(busy_client, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let busy = world.opens();
    world.command(Command::Reload(&options(&[2]), Vec::new()));
    assert_eq!(world.ended.get(&idle), Some(&End::Closed));
    assert_eq!(world.ended.get(&busy), None);
    world.receives(busy, LENGTH.as_bytes());
    assert!(world.text(busy_client).ends_with("hello"));
    assert!(world.ended.contains_key(&busy), "it leads to the old upstream");
    world.receives(busy_client, GET);
    assert_eq!(world.dialled.last().expect("a dial").1, address(2));
    world.ends_empty(&[idle_client, busy_client]);
}

#[test]
fn without_an_upstream_in_new_settings_what_is_on_its_way_comes_to_its_end() {
    let mut world = World::new(&[1]);
    let (idle_client, idle) = world.asked();
    world.receives(idle, LENGTH.as_bytes());
    let clients = [world.client(), world.client(), world.client()];
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let [first, dialling, repeated] = clients.map(|client| {
        world.receives(client, post);
        let dial = world.dialled.last().expect("a dial").0;
        if client == clients[1] { dial } else { world.opens() }
    });
    // Its request may be sent again.
    world.receives(repeated, LENGTH.as_bytes());
    world.receives(clients[2], GET);
    let mut none = options(&[1]);
    let proxy = none.proxy.take();
    world.command(Command::Reload(&none, Vec::new()));
    assert_eq!(world.ended.get(&idle), Some(&End::Closed));
    world.step(|network| network.open(dialling));
    world.ends(repeated);
    let again = world.opens();
    assert_ne!(again, repeated);
    for (client, upstream) in clients.into_iter().zip([first, dialling, again]) {
        world.receives(upstream, LENGTH.as_bytes());
        assert!(world.text(client).ends_with("hello"), "{}", world.text(client));
        assert!(world.ended.contains_key(&upstream), "it is not kept");
        world.receives(client, GET);
        assert!(world.text(client).contains("HTTP/1.1 404 "), "{}", world.text(client));
    }
    // And back again.
    let back = Options { proxy, ..none };
    world.command(Command::Reload(&back, Vec::new()));
    world.receives(idle_client, GET);
    let upstream = world.opens();
    world.receives(upstream, LENGTH.as_bytes());
    assert_eq!(world.text(idle_client).matches("hello").count(), 2);
    world.ends_empty(&[idle_client, clients[0], clients[1], clients[2]]);
}

#[test]
fn a_stop_lets_exchanges_end_and_closes_tunnels_and_idle_connections() {
    let mut world = World::new(&[1]);
    let (first, idle) = world.asked();
    world.receives(idle, LENGTH.as_bytes());
    let busy = world.client();
    world.receives(busy, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let asked = world.opens();
    let tunnel = world.client();
    world.receives(
        tunnel,
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    let other_end = world.opens();
    let switch = b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    world.receives(other_end, switch);
    world.command(Command::Shutdown);
    for (conn, end) in [(first, true), (idle, true), (tunnel, true), (other_end, true)] {
        assert_eq!(world.ended.contains_key(&conn), end);
    }
    assert!(!world.ended.contains_key(&busy));
    world.receives(asked, LENGTH.as_bytes());
    assert!(world.text(busy).contains("\r\nConnection: close\r\n"));
    assert_eq!(world.network.relay.state().connections(), 0);
}

/// Many clients, upstreams that answer, split, stall, cut off, poison and vanish: a client that
/// gets a whole answer gets that to its own request, and in the end nothing is left.
#[test]
fn whatever_happens_answers_reach_who_asked_and_nothing_is_left() {
    for seed in 1..=200_u64 {
        let mut random = Random::new(seed);
        let mut next = move |bound: usize| random.index(bound);
        let mut options = options(&[1]);
        options.locations.push(publisher());
        let mut world = World::with(&options);
        let clients: Vec<ConnKey> = (0..6).map(|_| world.client()).collect();
        for step in 0..150 {
            let client = clients[next(clients.len())];
            let number = client.index();
            match next(10) {
                0..3 if !world.ended.contains_key(&client) => {
                    let body = ["", "Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n"];
                    let method = ["PUT", "POST", "GET"][next(3)];
                    let body = body[next(3)];
                    let line = format!("{method} /{number} HTTP/1.1\r\nHost: a\r\n{body}\r\n");
                    world.receives(client, line.as_bytes());
                }
                3 if !world.ended.contains_key(&client) => {
                    let pieces = ["4\r\nabcd\r\n0\r\n\r\n", "abcd", "x"];
                    world.receives(client, pieces[next(3)].as_bytes());
                }
                4 if step % 7 == 0 => world.ends(client),
                5 => world.advance([10, 60, 5_000, 61_000][next(4)]),
                _ => upstream_acts(&mut world, &mut next),
            }
        }
        for client in &clients {
            let got = world.text(*client);
            // An upstream that stopped in the middle may have gone on with anything.
            for whole in got.split("to=").skip(1).filter(|rest| rest.get(1..2) == Some(".")) {
                assert_eq!(whole[..1], client.index().to_string(), "seed {seed}: {got}");
            }
        }
        world.ends_empty(&clients);
    }
}

fn upstream_acts(world: &mut World, next: &mut impl FnMut(usize) -> usize) {
    if world.dialled.is_empty() {
        return;
    }
    let (conn, _) = world.dialled[next(world.dialled.len())].clone();
    let peer = world.network.peers.get(conn);
    if peer.end.is_some() {
        return;
    }
    if peer.is_connecting {
        let is_open = next(3) > 0;
        return world.step(|network| match is_open {
            true => network.open(conn),
            false => network.refuse(conn, ErrorKind::ConnectionRefused),
        });
    }
    // Whose request it got last.
    let asked = world.text(conn);
    let line = asked.rsplit(" HTTP/1.1\r\n").nth(1).unwrap_or_default();
    let number = line.rsplit(" /").next().unwrap_or_default().to_owned();
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nto={number}.");
    match next(8) {
        6 => {
            let over = "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /p/1\r\nContent-Length: 0\r\n\r\n";
            world.receives(conn, over.as_bytes());
        }
        7 => world.stalls(conn),
        0..3 => world.receives(conn, whole.as_bytes()),
        3 => world.receives(conn, format!("{whole}HTTP/1.1 200 OK\r\n").as_bytes()),
        4 => world.ends(conn),
        _ => world.receives(conn, &whole.as_bytes()[..next(whole.len())]),
    }
}

#[test]
fn only_a_trusted_front_server_speaks_for_its_clients() {
    for (peer, passed) in [
        ("192.0.2.9", "10.9.9.9"),
        ("10.0.0.1", "10.0.0.1"),
        // As a socket of both families has them.
        ("::ffff:192.0.2.9", "10.9.9.9"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
    ] {
        let mut options = options(&[1]);
        if let Some(proxy) = &mut options.proxy {
            proxy.secret = Some("s".into());
        }
        let mut world = World::with(&options);
        let peer = peer.parse::<IpAddr>().unwrap();
        let client = world.network.accept(arrival(peer));
        world.receives(client, b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.9.9.9\r\n\r\n");
        let upstream = world.opens();
        let fields = format!("X-Forwarded-For: {passed}\r\n");
        assert!(world.text(upstream).contains(&fields), "{}", world.text(upstream));
        assert_eq!(world.text(upstream).matches("X-Forwarded-For").count(), 1);
        // A front server that speaks for others has an address of its own.
        let vouched = format!("X-Pushserver-Peer: {}\r\n", peer.to_canonical());
        assert!(world.text(upstream).contains(&vouched), "{}", world.text(upstream));
    }
}

#[test]
fn whatever_is_wrong_with_the_body_of_a_head_request_its_answer_has_none() {
    let head = b"HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    // At once, when the upstream has the head, and never.
    for (with_it, behind, status) in
        [(&b"k"[..], &b""[..], 400), (b"", b"k", 400), (b"1", b"", 408)]
    {
        let mut world = World::new(&[1]);
        let client = world.client();
        world.receives(client, &[&head[..], with_it].concat());
        if with_it != b"k" {
            world.opens();
            world.receives(client, behind);
            world.advance(15_000);
        }
        let got = world.text(client);
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
        assert!(got.ends_with("\r\n\r\n"), "{got}");
        world.ends_empty(&[client]);
    }
}

const PAGE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n";

/// With an upstream that is waited for half a minute.
fn patient(address: &str) -> Options {
    let mut options = options(&[1]);
    options.limits.upstream_wait_ms = 30_000;
    if let Some(proxy) = &mut options.proxy {
        proxy.addresses = vec![UpstreamAddress::Tcp(address.parse().unwrap())];
    }
    options
}

#[test]
fn a_page_of_this_machine_waits_for_three_seconds_and_everything_else_for_the_whole_wait() {
    for (address, status) in [("127.0.0.1:1", "503"), ("192.0.2.1:1", "502")] {
        let is_local = status == "503";
        let mut world = World::with(&patient(address));
        let clients = [world.client(), world.client()];
        for (client, request) in clients.iter().zip([PAGE, GET]) {
            world.receives(*client, request);
        }
        world.fails();
        world.advance(2_900);
        assert_eq!((world.text(clients[0]), world.text(clients[1])), Default::default());
        world.advance(110);
        assert_eq!(world.text(clients[0]).starts_with("HTTP/1.1 503 "), is_local, "{address}");
        world.advance(26_900);
        assert_eq!(world.text(clients[1]), "");
        world.advance(110);
        assert!(world.text(clients[0]).starts_with(&format!("HTTP/1.1 {status} ")));
        let answer = world.text(clients[1]);
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(is_local || !answer.contains("192.0.2.1"), "{answer}");
        world.ends_empty(&clients);
    }
}

#[test]
fn the_wait_begins_when_the_upstream_closes_a_connection_and_requests_rest_between_two() {
    for (request, wait_ms, status) in [(GET, 30_000, 502), (PAGE, 3_000, 503)] {
        let mut world = World::with(&patient("127.0.0.1:1"));
        let client = world.client();
        world.receives(client, request);
        let upstream = world.opens();
        // It thinks for longer than any wait, and then it is gone.
        world.advance(50_000);
        world.ends(upstream);
        assert_eq!(world.dialled.len(), 2, "at once");
        let mut waited_ms = 0;
        while world.text(client).is_empty() {
            let upstream = world.opens();
            world.ends(upstream);
            let dials = world.dialled.len();
            world.advance(240);
            assert_eq!(world.dialled.len(), dials, "not before a rest");
            world.advance(20);
            waited_ms += 260;
            assert!(waited_ms <= wait_ms + 260, "{waited_ms} ms");
        }
        assert!(waited_ms >= wait_ms, "{waited_ms} ms");
        assert!(world.text(client).starts_with(&format!("HTTP/1.1 {status} ")));
        world.ends_empty(&[client]);
    }
}

#[test]
fn who_rests_goes_to_the_new_upstream_when_the_settings_change() {
    let mut world = World::new(&[1]);
    let (client, upstream) = world.asked();
    world.ends(upstream);
    let upstream = world.opens();
    world.ends(upstream);
    world.command(Command::Reload(&options(&[2]), stores()));
    let upstream = world.opens();
    assert_eq!(world.dialled.last().expect("a dial").1, address(2));
    world.receives(upstream, LENGTH.as_bytes());
    assert!(world.text(client).ends_with("hello"));
    world.ends_empty(&[client]);
}

/// A client that has its answer and has sent 3 of 1000 bytes.
fn answered_early(world: &mut World) -> (ConnKey, ConnKey) {
    let client = world.client();
    world.receives(client, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
    let upstream = world.opens();
    world.receives(upstream, LENGTH.as_bytes());
    assert!(world.text(client).contains("\r\nConnection: close\r\n"));
    assert!(world.text(client).ends_with("hello"));
    assert_eq!(world.ended.len(), 0);
    (client, upstream)
}

#[test]
fn behind_an_early_answer_the_rest_passes_for_as_long_as_it_takes() {
    let mut world = World::new(&[1]);
    let (client, upstream) = answered_early(&mut world);
    // A client may pause as ever, and the upstream may say what it likes.
    for sent in (3..997).step_by(7) {
        world.advance(14_000);
        world.receives(client, b"1234567");
        world.receives(upstream, b"poison");
        assert_eq!(world.ended.len(), 0, "after {sent}");
    }
    assert!(!world.text(client).contains("poison"));
    let left = 1000 - 3 - 7 * (3..997).step_by(7).count();
    world.receives(client, &b"1234567"[..left]);
    let (_, body) =
        world.text(upstream).rsplit_once("\r\n\r\n").map(|(a, b)| (a.len(), b.len())).unwrap();
    assert_eq!(body, 1000);
    assert_eq!((world.ended[&client], world.ended[&upstream]), (End::Closed, End::Closed));
    world.ends_empty(&[client]);
}

#[test]
fn behind_an_early_answer_nobody_waits_for_ever() {
    // The client stops.
    let mut world = World::new(&[1]);
    let (client, upstream) = answered_early(&mut world);
    world.advance(15_010);
    assert_eq!((world.ended[&client], world.ended[&upstream]), (End::Closed, End::Aborted));
    world.ends_empty(&[client]);
    // The upstream is gone, or reads no more: what the client still sends is dropped, so that its
    // answer is not reset away.
    for is_gone in [true, false] {
        let mut world = World::new(&[1]);
        let (client, upstream) = answered_early(&mut world);
        if is_gone {
            world.ends(upstream);
        } else {
            world.stalls(upstream);
            world.receives(client, b"more");
            world.advance(59_900);
            assert_eq!(world.ended.len(), 0);
            world.advance(110);
        }
        assert_eq!(world.ended[&upstream], End::Aborted);
        world.receives(client, b"more");
        assert_eq!(world.ended.get(&client), None);
        world.advance(60_000);
        assert!(world.ended.contains_key(&client));
        world.ends_empty(&[client]);
    }
}

#[test]
fn what_is_kept_of_a_message_goes_when_its_answer_comes() {
    let mut options = options(&[1]);
    options.locations.push(publisher());
    let mut world = World::with(&options);
    let client = world.client();
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    let body = vec![b'x'; 100_000];
    world.receives(client, post.as_bytes());
    let upstream = world.opens();
    world.receives(client, &body[..60_000]);
    assert_eq!(world.upload_bytes(), 60_000);
    world.receives(client, &body[60_000..]);
    world.receives(upstream, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(world.upload_bytes(), 0);
    world.receives(upstream, b"hello");
    // Of a client that leaves, too.
    world.receives(client, post.as_bytes());
    world.opens();
    world.receives(client, &body[..60_000]);
    assert_eq!(world.upload_bytes(), 60_000);
    world.ends(client);
    assert_eq!(world.upload_bytes(), 0);
    world.ends_empty(&[client]);
}

#[test]
fn a_body_that_the_upstream_has_refused_goes_nowhere() {
    let request =
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99\r\n\r\n";
    let (begin, end) = (b"HTTP/1.1 401 X\r\nContent-Length: 4\r\n\r\nno", b"no");
    for between in [true, false] {
        let mut world = World::new(&[1]);
        let client = world.client();
        world.receives(client, request);
        let upstream = world.opens();
        let head = world.text(upstream);
        world.receives(upstream, begin);
        if between {
            world.receives(client, GET);
        }
        world.receives(upstream, end);
        assert_eq!(world.ended[&upstream], End::Aborted);
        world.receives(client, GET);
        assert_eq!(world.text(upstream), head);
        assert!(world.text(client).ends_with("nono"), "{}", world.text(client));
        world.ends_empty(&[client]);
    }
}
