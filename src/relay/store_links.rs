//! Store links: the connections that stores have dialled, one each. Moves what passes between them
//! and their stores; never looks into the bytes.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use super::conn::{Conn, Connections};
use super::conn_key::ConnKey;
use super::effects::Effects;
use super::input::Input;
use super::options::UpstreamAddress;
use super::output::Output;
use super::render::payload::Payload;
use crate::store::StoreId;
use crate::store::redis::link;
use crate::store::redis::options::Address;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct StoreLinks(Vec<StoreLink>);

/// The connection of one store.
#[derive(Debug)]
struct StoreLink {
    store: StoreId,
    conn: Option<ConnKey>,
    /// What it waits for to be resolved.
    name: Option<(Rc<str>, u16)>,
    /// Counts the names that were resolved: of several addresses each has its turn.
    turn: usize,
}

impl StoreLinks {
    /// Carries out what a store wants.
    pub(super) fn carry_out(
        &mut self,
        store: StoreId,
        output: link::Output,
        conns: &mut Connections,
        effects: &mut Effects,
    ) {
        let link = self.of(store);
        match output {
            link::Output::Connect(Address::Unix(path)) => {
                link.connect(UpstreamAddress::Unix(path), "".into(), conns, effects);
            }
            link::Output::Connect(Address::Tcp(host, port)) => match host.parse::<IpAddr>() {
                Ok(ip) => {
                    let to = UpstreamAddress::Tcp(SocketAddr::new(ip, port));
                    link.connect(to, host.into(), conns, effects);
                }
                Err(_) => {
                    let name: Rc<str> = host.into();
                    link.name = Some((Rc::clone(&name), port));
                    effects.outputs.push_back(Output::Resolve { store, name, port });
                }
            },
            link::Output::Send(bytes) => {
                if let Some(conn) = link.conn {
                    effects.send(conn, Payload::Owned(bytes));
                }
            }
            link::Output::Close => {
                link.name = None;
                if let Some(conn) = link.conn.take() {
                    effects.outputs.push_back(Output::Abort { conn });
                }
            }
        }
    }

    /// Dials what a name was resolved to, if that is still wanted; gives whether it leads nowhere.
    pub(super) fn resolved(
        &mut self,
        (store, name, port): (StoreId, &str, u16),
        addresses: &[SocketAddr],
        conns: &mut Connections,
        effects: &mut Effects,
    ) -> bool {
        let link = self.of(store);
        let is_it = |(wanted, at): &mut (Rc<str>, u16)| **wanted == *name && *at == port;
        let Some((host, _)) = link.name.take_if(is_it) else { return false };
        let Some(turn) = link.turn.checked_rem(addresses.len()) else { return true };
        link.turn = link.turn.wrapping_add(1);
        link.connect(UpstreamAddress::Tcp(addresses[turn]), host, conns, effects);
        false
    }

    /// The store whose connection this is.
    pub(super) fn store_of(&self, conn: ConnKey) -> Option<StoreId> {
        self.0.iter().find(|link| link.conn == Some(conn)).map(|link| link.store)
    }

    fn of(&mut self, store: StoreId) -> &mut StoreLink {
        let index = self.0.iter().position(|link| link.store == store).unwrap_or_else(|| {
            self.0.push(StoreLink { store, conn: None, name: None, turn: 0 });
            self.0.len() - 1
        });
        &mut self.0[index]
    }
}

impl StoreLink {
    fn connect(
        &mut self,
        to: UpstreamAddress,
        host: Rc<str>,
        conns: &mut Connections,
        effects: &mut Effects,
    ) {
        let conn = conns.insert(Conn::Store);
        self.conn = Some(conn);
        let of = Some((self.store, host));
        effects.outputs.push_back(Output::Connect { conn, to: Rc::new(to), of });
    }
}

/// As `net` says it of a handshake.
const NO_TLS: &str =
    "it speaks no TLS, or its certificate is not one that is trusted for this host";

/// What happened to the connection, as its store is told; `None`: nothing that concerns it.
pub(super) fn told<'a>(input: Input<'a>, cause: &'a mut String) -> Option<link::Input<'a>> {
    Some(match input {
        Input::Connected => link::Input::Connected,
        Input::Received(bytes) => link::Input::Received(bytes),
        Input::ConnectFailed(kind) => {
            *cause = match kind {
                ErrorKind::InvalidData => NO_TLS.to_owned(),
                kind => kind.to_string(),
            };
            link::Input::ConnectFailed(cause)
        }
        Input::Ended => link::Input::Closed("the server has ended it"),
        Input::Closed => link::Input::Closed("it was reset"),
        _ => return None,
    })
}
