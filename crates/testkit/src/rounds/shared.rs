//! Round of a daemon and its Redis: what clients ask, and what of the server's bytes arrives, and
//! when; between them any others. Nothing panics, nobody is answered twice, and afterwards, on
//! another connection, a message reaches the one who waits for it.

use pushserver::config::{Config, Overrides, Source};
use pushserver::message::MessageId;
use pushserver::relay::ConnKey;
use serde_json::json;

use crate::answer::Answer;
use crate::fake_redis::{ConnId, Mood, Output, Server};
use crate::network::{BEGIN_UNIX_S, Network};
use crate::redis::Data;

/// What clients ask, by chance of the input.
const REQUESTS: [&str; 12] = [
    "POST /p/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none",
    "POST /p/b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwo",
    "POST /u/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nnot",
    "DELETE /p/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "PUT /p/b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /p/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /s/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /s/b?last_event_id=1700000000:0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /s/a HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n",
    "GET /m/a,b HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n",
    "GET /m/a,b,c?last_event_id=1700000000:0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /i/a HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// Steps at the end in which everything comes to rest; a connection rests for a second at most.
const CALM_STEPS: usize = 400;

struct World {
    network: Network,
    server: Server,
    /// The connection, and what the server has sent on it.
    wire: Option<(ConnKey, ConnId, Vec<u8>)>,
    clients: Vec<ConnKey>,
}

/// Each step is a byte that says what, and what it needs.
pub fn round(data: &[u8]) {
    let mut world = World::new();
    let mut rest = data;
    while let [what, argument, behind @ ..] = rest {
        rest = behind;
        let argument = usize::from(*argument);
        match what % 8 {
            0 => world.ask(REQUESTS[argument % REQUESTS.len()]),
            1 => world.step(usize::MAX, argument % 4 == 0),
            2 => world.step(argument, false),
            3 => {
                let (bytes, behind) = rest.split_at(argument.min(rest.len()));
                rest = behind;
                world.arrive(bytes);
            }
            4 => world.lose(),
            5 => world.pass(argument as u64 * 20),
            6 => world.change(argument),
            _ => {
                if let Some(conn) = world.clients.pop() {
                    world.network.reset(conn);
                }
            }
        }
        world.network.turn();
    }
    world.recover();
}

impl World {
    fn new() -> Self {
        let subscriber = |prefix: &str, more: serde_json::Value| {
            let mut location = json!({"type": "subscriber", "prefix": prefix,
                "create_on_get": true, "transports": ["poll", "eventsource"]});
            crate::merge(&mut location, more);
            location
        };
        let settings = json!({
            "store": {"type": "redis", "message_timeout": 1000, "cache": 5000},
            "locations": [
                {"type": "publisher", "prefix": "/p/"},
                {"type": "publisher", "prefix": "/u/", "store_messages": false},
                subscriber("/s/", json!({"first_message": -2})),
                subscriber("/m/", json!({"delimiter": ","})),
                {"type": "subscriber", "prefix": "/i/", "polling": "interval"},
            ],
        });
        let text = settings.to_string();
        let config = Config::parse(text.as_bytes(), Source::Defaults, Overrides::default());
        let config = config.expect("the settings are right");
        let first_id = MessageId { time: BEGIN_UNIX_S, tag: 1 };
        let network = Network::new(&config.relay_options(), config.hub_options(first_id, 1));
        Self { network, server: Server::default(), wire: None, clients: Vec::new() }
    }

    fn unix_ms(&self) -> u64 {
        BEGIN_UNIX_S * 1000 + self.network.now.mono_ms
    }

    fn ask(&mut self, request: &str) {
        let conn = self.network.connect();
        self.network.send(conn, request.as_bytes());
        self.clients.push(conn);
    }

    /// What the daemon sent comes to the server, and so many bytes of what that sent to the daemon.
    fn step(&mut self, most: usize, refuses: bool) {
        for (conn, _) in std::mem::take(&mut self.network.dialled) {
            if refuses {
                self.network.refuse(conn, std::io::ErrorKind::ConnectionRefused);
            } else {
                self.network.open(conn);
                self.wire = Some((conn, self.server.accept(), Vec::new()));
            }
        }
        let now_ms = self.unix_ms();
        let Self { network, server, wire, .. } = self;
        let Some((conn, at, down)) = wire else { return };
        let peer = network.peers.get_mut(*conn);
        server.receive(*at, &std::mem::take(&mut peer.got), now_ms);
        let mut is_over = peer.end.is_some();
        while let Some(output) = server.poll_output() {
            match output {
                Output::Send(to, bytes) if to == *at => down.extend(bytes),
                Output::Reset(to) => is_over |= to == *at,
                Output::Send(..) => {}
            }
        }
        let came: Vec<u8> = down.drain(..down.len().min(most)).collect();
        network.send(*conn, &came);
        if is_over {
            self.lose();
        }
    }

    /// Bytes come that the server did not send.
    fn arrive(&mut self, bytes: &[u8]) {
        if let Some((conn, ..)) = self.wire {
            self.network.send(conn, bytes);
        }
    }

    fn lose(&mut self) {
        if let Some((conn, at, _)) = self.wire.take() {
            self.network.reset(conn);
            self.server.close(at);
        }
    }

    fn pass(&mut self, ms: u64) {
        self.network.advance_ms(ms);
    }

    fn change(&mut self, how: usize) {
        let now_ms = self.unix_ms();
        match how % 8 {
            0 => self.server.freeze(),
            1 => self.server.thaw(now_ms),
            2 => self.server.restart(Data::Kept),
            3 => self.server.restart(Data::Lost),
            4 => self.server.flush_scripts(),
            5 => self.server.mood = Mood::OutOfMemory,
            6 => self.server.mood = Mood::Loading,
            _ => self.server.mood = Mood::Well,
        }
    }

    /// Redis is well again: whoever waits gets the next message, and is answered once.
    fn recover(&mut self) {
        let now_ms = self.unix_ms();
        self.server.mood = Mood::Well;
        self.server.thaw(now_ms);
        self.server.restart(Data::Lost);
        self.lose();
        self.calm();
        let waiting = self.network.connect();
        let poll = "GET /m/z HTTP/1.1\r\nHost: a\r\n\r\n";
        self.network.send(waiting, poll.as_bytes());
        self.calm();
        let publisher = self.network.connect();
        let post = "POST /p/z HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nlast";
        self.network.send(publisher, post.as_bytes());
        self.calm();
        let mut answer = |conn: ConnKey| {
            let peer = self.network.peers.get_mut(conn);
            let answer = Answer::take(&mut peer.got, false).expect("it is answered");
            assert!(peer.got.is_empty(), "once: {}", peer.got.escape_ascii());
            answer
        };
        assert_eq!(answer(publisher).status, 201);
        assert_eq!(answer(waiting).body, b"last");
    }

    fn calm(&mut self) {
        for _ in 0..CALM_STEPS {
            self.step(usize::MAX, false);
            self.pass(10);
        }
    }
}
