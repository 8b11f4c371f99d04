//! The table of connections: clients that were accepted and upstreams that were dialled, under one
//! kind of key. Decides nothing.

use super::client::Client;
use super::conn_key::{ConnKey, Connection};
use super::proxy::Upstream;
use crate::arena::Arena;

/// One connection.
#[derive(Debug)]
pub(super) enum Conn {
    Client(Client),
    /// Boxed, so that a held request does not pay for it.
    Upstream(Box<Upstream>),
}

const _: () = assert!(size_of::<Conn>() == size_of::<Client>());

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Connections(Arena<Conn, Connection>);

impl Connections {
    pub(super) fn insert(&mut self, conn: Conn) -> ConnKey {
        self.0.insert(conn)
    }

    pub(super) fn remove(&mut self, conn: ConnKey) -> Option<Conn> {
        self.0.remove(conn)
    }

    /// The client with this key, if it lives.
    pub(super) fn client(&self, conn: ConnKey) -> Option<&Client> {
        match self.0.get(conn) {
            Some(Conn::Client(client)) => Some(client),
            _ => None,
        }
    }

    /// The client with this key, if it lives.
    pub(super) fn client_mut(&mut self, conn: ConnKey) -> Option<&mut Client> {
        match self.0.get_mut(conn) {
            Some(Conn::Client(client)) => Some(client),
            _ => None,
        }
    }

    /// The upstream with this key, if it lives.
    pub(super) fn upstream_mut(&mut self, conn: ConnKey) -> Option<&mut Upstream> {
        match self.0.get_mut(conn) {
            Some(Conn::Upstream(upstream)) => Some(upstream),
            _ => None,
        }
    }

    /// Every upstream.
    pub(super) fn upstreams_mut(&mut self) -> impl Iterator<Item = &mut Upstream> {
        self.0.iter_mut().filter_map(|conn| match conn {
            Conn::Upstream(upstream) => Some(&mut **upstream),
            Conn::Client(_) => None,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Conn> {
        self.0.iter().map(|(_, conn)| conn)
    }

    pub(super) fn shrink(&mut self) {
        self.0.shrink();
    }

    /// Every client.
    pub(super) fn clients(&self) -> impl Iterator<Item = (ConnKey, &Client)> {
        self.0.iter().filter_map(|(key, conn)| match conn {
            Conn::Client(client) => Some((key, client)),
            Conn::Upstream(_) => None,
        })
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = ConnKey> {
        self.0.iter().map(|(key, _)| key)
    }
}
