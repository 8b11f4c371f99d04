//! Wire: one connection, registered once for both directions, edge-triggered: one write for a
//! request and one read for what has come. Knows no HTTP.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// A socket, with the parts of requests and answers that one system call did not transfer.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    connected: bool,
    /// The end of a request that the socket did not take; nearly always empty.
    unsent: Vec<u8>,
    /// The start of an answer, event or frame that is not whole; nearly always empty.
    partial: Vec<u8>,
}

impl Wire {
    /// Starts to connect; at the first writable event [`Wire::writable`] says whether it succeeded.
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

    /// Call it at each writable event. `true`: the connection has just been established.
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
        // A request is one write: there is nothing to wait for.
        self.stream.set_nodelay(true)?;
        self.connected = true;
        Ok(true)
    }

    /// Sends a request; keeps what the socket does not take.
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

    /// Reads once. `None`: there is nothing to read; `Some(0)`: the server has closed.
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

    /// Puts `fresh` behind the bytes that were kept, if there are any. Call it once for each read,
    /// before [`Wire::unread`] with the same bytes.
    pub(crate) fn join(&mut self, fresh: &[u8]) {
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(fresh);
        }
    }

    /// The bytes kept and `fresh`, without the first `at` of them.
    pub(crate) fn unread<'a>(&'a self, fresh: &'a [u8], at: usize) -> &'a [u8] {
        let all = if self.partial.is_empty() { fresh } else { &self.partial };
        &all[at..]
    }

    /// Keeps the bytes of [`Wire::unread`] until more come.
    pub(crate) fn keep(&mut self, fresh: &[u8], at: usize) {
        if self.partial.is_empty() {
            self.partial.extend_from_slice(&fresh[at..]);
        } else {
            self.partial.drain(..at);
        }
    }

    /// All bytes are read; keeps none.
    pub(crate) fn finish(&mut self) {
        self.partial.clear();
    }
}
