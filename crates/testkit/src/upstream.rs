//! Upstream: a server that a test plays. It accepts the daemon's connections and hands them to the
//! test; it never reads or answers by itself.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::client::Client;
use crate::wait::LONG;

/// An address that refuses connections until an upstream is started there. Its port stays taken, so
/// no other process gets it.
pub struct Absent {
    socket: Socket,
    /// The address.
    pub address: SocketAddr,
}

impl Absent {
    /// At a port that nobody else has.
    pub fn bind() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().expect("an IPv4 address");
        Self { socket, address }
    }

    /// The address, as settings have it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on connections are accepted.
    pub fn start(self) -> Upstream {
        self.socket.listen(128).unwrap();
        Upstream::of(self.socket.into())
    }
}

/// See the file.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    /// The daemon's connections, as they come.
    pub connections: Receiver<Client>,
}

impl Upstream {
    /// An upstream at a port of its own.
    pub fn start() -> Self {
        Absent::bind().start()
    }

    fn of(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let (give, connections) = mpsc::channel();
        thread::spawn(move || {
            // Ends with the test, when nobody takes connections any more.
            while let Ok((stream, _)) = listener.accept() {
                if give.send(Client::over(stream)).is_err() {
                    return;
                }
            }
        });
        Self { address, connections }
    }

    /// Where it listens, as settings have it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The daemon's next connection.
    #[track_caller]
    pub fn accept(&self) -> Client {
        self.connections.recv_timeout(LONG).expect("a connection of the daemon")
    }

    /// No connection has come that was not accepted.
    #[track_caller]
    pub fn nobody(&self) {
        assert!(self.connections.try_recv().is_err(), "an unexpected connection");
    }
}
