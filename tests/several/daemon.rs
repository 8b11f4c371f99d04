//! Daemon: a relay without sockets, and its connections to the server, on which bytes travel in
//! pieces.

use std::io::ErrorKind;

use pushserver::config::{Config, Overrides, Source};
use pushserver::message::MessageId;
use pushserver::relay::ConnKey;
use pushserver_testkit::fake_redis::{ConnId, Server};
use pushserver_testkit::network::BEGIN_UNIX_S;
use pushserver_testkit::{Network, Random};
use serde_json::json;

#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) network: Network,
    wires: Vec<Wire>,
}

/// One connection to the server, with what is on its way.
#[derive(Debug)]
struct Wire {
    conn: ConnKey,
    at: ConnId,
    up: Vec<u8>,
    down: Vec<u8>,
}

/// How the network between daemons and server is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// Of a hundred bytes that wait as many as this may have to wait on.
    pub(crate) slowness: u64,
    /// Of a thousand steps so many break a connection.
    pub(crate) breaks: u64,
}

impl Daemon {
    /// The `number`th, all with the same settings.
    pub(crate) fn new(number: u64) -> Self {
        let subscriber = |prefix: &str| {
            json!({"type": "subscriber", "prefix": prefix, "create_on_get": true, "timeout": 20,
                "transports": ["poll", "eventsource", "websocket"]})
        };
        let mut several = subscriber("/several/");
        several["delimiter"] = ",".into();
        let settings = json!({
            "store": {"type": "redis", "message_timeout": 100_000, "channel_timeout": 100_000},
            "locations": [
                {"type": "publisher", "prefix": "/publisher/"},
                {"type": "publisher", "prefix": "/unkept/", "store_messages": false},
                subscriber("/one/"),
                several,
            ],
        });
        let text = settings.to_string();
        let config = Config::parse(text.as_bytes(), Source::Defaults, Overrides::default());
        let config = config.expect("the settings are right");
        let first_id = MessageId { time: BEGIN_UNIX_S, tag: number as u32 };
        let network = Network::new(&config.relay_options(), config.hub_options(first_id, number));
        Self { network, wires: Vec::new() }
    }

    /// One step of what passes between it and the server.
    pub(crate) fn exchange(
        &mut self,
        server: &mut Server,
        unix_ms: u64,
        random: &mut Random,
        weather: Weather,
    ) {
        let Self { network, wires } = self;
        for (conn, _) in std::mem::take(&mut network.dialled) {
            if random.below(1000) < 10 * weather.breaks {
                network.refuse(conn, ErrorKind::ConnectionRefused);
            } else {
                let at = server.accept();
                network.open(conn);
                wires.push(Wire { conn, at, up: Vec::new(), down: Vec::new() });
            }
        }
        wires.retain_mut(|wire| {
            let peer = network.peers.get_mut(wire.conn);
            wire.up.append(&mut peer.got);
            let is_over = peer.end.is_some();
            let sent = piece(&mut wire.up, random, weather);
            server.receive(wire.at, &sent, unix_ms);
            if is_over {
                server.close(wire.at);
            }
            !is_over
        });
    }

    /// Takes what the server has sent, if it is on one of its connections.
    pub(crate) fn take(&mut self, at: ConnId, bytes: &[u8]) {
        if let Some(wire) = self.wires.iter_mut().find(|wire| wire.at == at) {
            wire.down.extend_from_slice(bytes);
        }
    }

    /// The server has ended a connection.
    pub(crate) fn lose(&mut self, at: ConnId) {
        if let Some(index) = self.wires.iter().position(|wire| wire.at == at) {
            let wire = self.wires.swap_remove(index);
            self.network.reset(wire.conn);
        }
    }

    /// What travels arrives, or is lost with its connection.
    pub(crate) fn arrive(&mut self, server: &mut Server, random: &mut Random, weather: Weather) {
        let Self { network, wires } = self;
        wires.retain_mut(|wire| {
            let came = piece(&mut wire.down, random, weather);
            network.send(wire.conn, &came);
            let breaks = random.below(1000) < weather.breaks;
            if breaks {
                network.reset(wire.conn);
                server.close(wire.at);
            }
            !breaks
        });
    }
}

/// The first part of what travels.
fn piece(bytes: &mut Vec<u8>, random: &mut Random, weather: Weather) -> Vec<u8> {
    let length = match bytes.len() {
        0 => 0,
        len if random.percent(weather.slowness) => random.index(len + 1),
        len => len,
    };
    bytes.drain(..length).collect()
}
