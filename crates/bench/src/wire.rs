//! Wire: one keep-alive connection, registered once, edge-triggered, for both directions; one write
//! per request and one read per answer. Knows no HTTP.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// A socket, and what of a request or an answer did not fit into one system call.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    connected: bool,
    /// The end of a request that the socket refused; empty nearly always.
    unsent: Vec<u8>,
    /// The start of an answer whose rest is still to come; empty nearly always.
    partial: Vec<u8>,
}

impl Wire {
    /// Begins to connect; the first writable event says how it went.
    ///
    /// # Errors
    /// The system's: no descriptor, no local port.
    pub(crate) fn connect(to: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = TcpStream::connect(to)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, connected: false, unsent: Vec::new(), partial: Vec::new() })
    }

    /// Whether requests can be sent.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Call it at a writable event. `true`: the connection has just been established.
    ///
    /// # Errors
    /// The connection was refused or lost.
    pub(crate) fn writable(&mut self) -> io::Result<bool> {
        if self.connected {
            if !self.unsent.is_empty() {
                let rest = std::mem::take(&mut self.unsent);
                self.send(&rest)?;
            }
            return Ok(false);
        }
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(error),
        }
        // A request is one write: nothing to wait for before it leaves.
        self.stream.set_nodelay(true)?;
        self.connected = true;
        Ok(true)
    }

    /// Sends a request, at once as far as the socket takes it.
    ///
    /// # Errors
    /// The connection is lost.
    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(request);
            return Ok(());
        }
        let mut sent = 0;
        while sent < request.len() {
            match self.stream.write(&request[sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unsent.extend_from_slice(&request[sent..]);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One read. `None`: nothing has come; `Some(0)`: the server has closed.
    ///
    /// # Errors
    /// The connection is lost.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.stream.read(buffer) {
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// All bytes of the answer under way: `fresh`, after what was kept of it.
    pub(crate) fn joined<'a>(&'a mut self, fresh: &'a [u8]) -> &'a [u8] {
        if self.partial.is_empty() {
            return fresh;
        }
        self.partial.extend_from_slice(fresh);
        &self.partial
    }

    /// Keeps `fresh`, which [`Wire::joined`] was given, because the answer is not whole.
    pub(crate) fn keep(&mut self, fresh: &[u8]) {
        if self.partial.is_empty() {
            self.partial.extend_from_slice(fresh);
        }
    }

    /// The answer was whole and is dealt with.
    pub(crate) fn finish(&mut self) {
        self.partial.clear();
    }
}
