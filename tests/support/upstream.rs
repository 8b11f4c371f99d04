//! A server that the daemon speaks to and that a test plays: its connections come to the test.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::{Client, LONG};

/// See the file.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    /// The daemon's connections, as they come.
    pub(crate) connections: Receiver<Client>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        Self::of(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn of(listener: TcpListener) -> Self {
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

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The daemon's next connection.
    #[track_caller]
    pub(crate) fn accept(&self) -> Client {
        self.connections.recv_timeout(LONG).expect("a connection of the daemon")
    }

    /// No connection has come that was not accepted.
    #[track_caller]
    pub(crate) fn nobody(&self) {
        assert!(self.connections.try_recv().is_err(), "an unexpected connection");
    }
}
