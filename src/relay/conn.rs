//! The table of connections: clients that were accepted and upstreams that were dialled, under one
//! kind of key. Decides nothing.

use super::client::{Client, Phase};
use super::conn_key::{ConnKey, Connection};
use super::exchange_key::ExchangeKey;
use crate::arena::Arena;
use crate::wheel::TimerKey;

/// One connection.
#[derive(Debug)]
pub(super) enum Conn {
    Client(Client),
    Upstream(Upstream),
    /// Of a store: `StoreLinks` knows which.
    Store,
}

const _: () = assert!(size_of::<Conn>() == size_of::<Client>());

/// A connection to the upstream.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    /// Whose request it has; `None`: it is idle, or about to be closed.
    pub(super) exchange: Option<ExchangeKey>,
    /// Reading was refused and has to be resumed.
    pub(super) paused: bool,
    /// Closes it, if it does not take what it still has to.
    pub(super) timer: Option<TimerKey>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Connections {
    all: Arena<Conn, Connection>,
    /// How many of them are upstreams.
    upstreams: usize,
    /// How many are stores'.
    stores: usize,
}

impl Connections {
    pub(super) fn insert(&mut self, conn: Conn) -> ConnKey {
        self.upstreams += usize::from(matches!(conn, Conn::Upstream(_)));
        self.stores += usize::from(matches!(conn, Conn::Store));
        self.all.insert(conn)
    }

    pub(super) fn remove(&mut self, conn: ConnKey) -> Option<Conn> {
        let removed = self.all.remove(conn)?;
        self.upstreams -= usize::from(matches!(removed, Conn::Upstream(_)));
        self.stores -= usize::from(matches!(removed, Conn::Store));
        Some(removed)
    }

    /// The client with this key, if it lives.
    pub(super) fn client(&self, conn: ConnKey) -> Option<&Client> {
        match self.all.get(conn) {
            Some(Conn::Client(client)) => Some(client),
            _ => None,
        }
    }

    /// The client with this key, if it lives.
    pub(super) fn client_mut(&mut self, conn: ConnKey) -> Option<&mut Client> {
        match self.all.get_mut(conn) {
            Some(Conn::Client(client)) => Some(client),
            _ => None,
        }
    }

    /// The exchange that a client has with the upstream.
    pub(super) fn exchange(&self, conn: ConnKey) -> Option<ExchangeKey> {
        match self.client(conn)?.phase() {
            Phase::Proxied(key) => Some(*key),
            _ => None,
        }
    }

    /// The upstream with this key, if it lives.
    pub(super) fn upstream_mut(&mut self, conn: ConnKey) -> Option<&mut Upstream> {
        match self.all.get_mut(conn) {
            Some(Conn::Upstream(upstream)) => Some(upstream),
            _ => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// How many upstreams there are, with those that are to be opened.
    pub(super) fn upstreams(&self) -> usize {
        self.upstreams
    }

    /// How many connections stores have dialled.
    pub(super) fn stores(&self) -> usize {
        self.stores
    }

    /// Whether this is the connection of a store.
    pub(super) fn is_store(&self, conn: ConnKey) -> bool {
        matches!(self.all.get(conn), Some(Conn::Store))
    }

    pub(super) fn shrink(&mut self) {
        self.all.shrink();
    }

    /// Every client.
    pub(super) fn clients(&self) -> impl Iterator<Item = (ConnKey, &Client)> {
        self.all.iter().filter_map(|(key, conn)| match conn {
            Conn::Client(client) => Some((key, client)),
            Conn::Upstream(_) | Conn::Store => None,
        })
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = ConnKey> {
        self.all.iter().map(|(key, _)| key)
    }
}
