//! Node: a Redis in memory at an address of a [`crate::Network`]: whoever dials that is connected
//! to it, in the next turn.

use std::collections::BTreeMap;

use pushserver::relay::ConnKey;
use pushserver::relay::options::UpstreamAddress;

use crate::Network;
use crate::fake_redis::{ConnId, Output, Server};
use crate::peer::Peers;

/// See the file.
#[derive(Debug)]
pub struct Node {
    /// Where it is.
    address: UpstreamAddress,
    /// What is there.
    pub server: Server,
    /// What its clock shows, unix milliseconds, when the network has begun.
    pub begin_ms: u64,
    conns: BTreeMap<ConnKey, ConnId>,
}

/// All that there are.
#[derive(Debug, Default)]
pub struct Nodes {
    /// At addresses of their own.
    pub list: Vec<Node>,
    /// The relay was told something behind what was due: it may have something for one of them.
    pub(crate) is_told: bool,
}

/// What a connection of it does now.
#[derive(Debug)]
enum Does {
    /// It stands.
    Opens,
    /// It sends.
    Sends(Vec<u8>),
    /// It breaks.
    Breaks,
}

impl Node {
    /// A new server at this address, with this time, unix milliseconds.
    pub fn new(address: UpstreamAddress, begin_ms: u64) -> Self {
        Self { address, server: Server::default(), begin_ms, conns: BTreeMap::new() }
    }

    /// Takes a dial, if it is one to this address.
    fn accept(&mut self, conn: ConnKey, to: &UpstreamAddress) -> bool {
        let is_here = *to == self.address;
        if is_here {
            self.conns.insert(conn, self.server.accept());
        }
        is_here
    }

    /// Reads what was sent to it, and does what it says; gives what comes of it.
    fn exchange(&mut self, peers: &mut Peers, mono_ms: u64) -> Vec<(ConnKey, Does)> {
        let (server, now_ms) = (&mut self.server, self.begin_ms + mono_ms);
        let mut all = Vec::new();
        self.conns.retain(|key, conn| {
            let peer = peers.get_mut(*key);
            if peer.is_connecting {
                all.push((*key, Does::Opens));
            }
            server.receive(*conn, &std::mem::take(&mut peer.got), now_ms);
            if peer.end.is_some() {
                server.close(*conn);
            }
            peer.end.is_none()
        });
        let Self { server, conns, .. } = self;
        while let Some(output) = server.poll_output() {
            let (conn, does) = match output {
                Output::Send(conn, bytes) => (conn, Does::Sends(bytes)),
                Output::Reset(conn) => (conn, Does::Breaks),
            };
            let key = conns.iter().find_map(|(key, one)| (*one == conn).then_some(*key));
            all.extend(key.map(|key| (key, does)));
        }
        all
    }

    /// Whether there is something to do for it.
    fn is_busy(&self, peers: &Peers) -> bool {
        let mut all = self.conns.keys().map(|key| peers.get(*key));
        all.any(|peer| peer.is_connecting || !peer.got.is_empty() || peer.end.is_some())
    }
}

impl Nodes {
    /// Takes a dial, if it is one to a node.
    pub(crate) fn accept(&mut self, conn: ConnKey, to: &UpstreamAddress) -> bool {
        self.list.iter_mut().any(|node| node.accept(conn, to))
    }

    /// Tells the relay of a network what its nodes do.
    pub(crate) fn exchange(network: &mut Network) {
        let Network { nodes, peers, now, .. } = network;
        let all = nodes.list.iter_mut().flat_map(|node| node.exchange(peers, now.mono_ms));
        for (conn, does) in all.collect::<Vec<_>>() {
            match does {
                Does::Opens => network.open(conn),
                Does::Sends(bytes) => network.send(conn, &bytes),
                Does::Breaks => network.reset(conn),
            }
        }
    }

    /// Whether there is something to do before any time passes.
    pub(crate) fn is_busy(&self, peers: &Peers) -> bool {
        self.list.iter().any(|node| self.is_told || node.is_busy(peers))
    }
}
