//! Dial: opens connections to one server and registers them with the poll. Owns none of them.

use std::io;
use std::net::SocketAddr;

use mio::{Registry, Token};

use crate::target::Target;
use crate::wire::Wire;

/// The server's addresses, and the poll's registry.
pub(crate) struct Dial {
    registry: Registry,
    publish_to: SocketAddr,
    subscribe_to: SocketAddr,
}

/// The owner of a connection, by its index.
pub(crate) enum Whose {
    Subscriber(usize),
    Publisher(usize),
}

impl Dial {
    pub(crate) fn new(target: &Target, registry: Registry) -> Self {
        let (publish_to, subscribe_to) = (target.publish.address, target.subscribe.address);
        Self { registry, publish_to, subscribe_to }
    }

    /// A connection for the subscriber with this index.
    ///
    /// # Errors
    /// The system's: no descriptor, no port.
    pub(crate) fn subscriber(&self, index: usize) -> io::Result<Wire> {
        Wire::connect(self.subscribe_to, &self.registry, Token(2 * index))
    }

    /// A connection for the publisher with this index.
    ///
    /// # Errors
    /// As of [`Dial::subscriber`].
    pub(crate) fn publisher(&self, index: usize) -> io::Result<Wire> {
        Wire::connect(self.publish_to, &self.registry, Token(2 * index + 1))
    }
}

impl From<Token> for Whose {
    fn from(Token(token): Token) -> Self {
        let index = token / 2;
        if token % 2 == 0 { Self::Subscriber(index) } else { Self::Publisher(index) }
    }
}
