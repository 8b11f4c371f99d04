//! Stream: one connection over TCP or a Unix socket, accepted or dialled, non-blocking. Never
//! waits, and knows nothing of the bytes.

use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::net::{TcpStream, UnixStream};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::Socket;

use crate::relay::options::UpstreamAddress;

/// See the module.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) socket: Socket,
}

/// What an attempt to read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes. Behind them there is nothing yet, but for the peer's end.
    Bytes(usize),
    /// So many bytes, all that was asked for. More may have come.
    More(usize),
    /// So many bytes, the first of a connection: a TLS handshake begins with them.
    Hello(usize),
    /// Nothing has come.
    Drained,
    /// The peer sends no more.
    End,
}

/// What became of an attempt to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Everything left.
    All,
    /// So many bytes left now; the rest waits until the stream takes more.
    Partly(usize),
    /// So many bytes left now, as many as may at once; the stream may take more.
    More(usize),
}

impl Stream {
    /// Begins to connect to an upstream; an event says when [`Stream::connected`] has an answer.
    pub(super) fn connect(to: &UpstreamAddress) -> io::Result<Self> {
        match to {
            UpstreamAddress::Tcp(address) => {
                let stream = Self::from(OwnedFd::from(TcpStream::connect(*address)?));
                stream.socket.set_tcp_nodelay(true)?;
                show_progress(&stream.socket)?;
                Ok(stream)
            }
            UpstreamAddress::Unix(path) => Ok(OwnedFd::from(UnixStream::connect(path)?).into()),
        }
    }

    /// Registers both directions, edge-triggered.
    pub(super) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&self.socket.as_raw_fd()), token, both)
    }

    /// Whether it is connected by now.
    ///
    /// # Errors
    /// Why it will never be.
    pub(super) fn connected(&self) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads what has come, at most one buffer full.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<Read> {
        loop {
            match (&self.socket).read(buffer) {
                Ok(0) => return Ok(Read::End),
                Ok(length) if length == buffer.len() => return Ok(Read::More(length)),
                Ok(length) => return Ok(Read::Bytes(length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Read::Drained),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes one slice and then another; gives how many bytes left, none where it takes none now.
    ///
    /// # Errors
    /// It takes no more bytes.
    pub(super) fn write(&self, head: &[u8], body: &[u8]) -> io::Result<usize> {
        let mut socket = &self.socket;
        loop {
            let outcome = match (head, body) {
                (slice, []) | ([], slice) => socket.write(slice),
                (head, body) => socket.write_vectored(&[IoSlice::new(head), IoSlice::new(body)]),
            };
            match outcome {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => return Ok(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the peer has sent something, or its end, that is not read yet.
    #[must_use]
    pub(super) fn has_spoken(&self) -> bool {
        let seen = self.socket.peek(&mut [MaybeUninit::uninit()]);
        seen.err().is_none_or(|error| error.kind() != io::ErrorKind::WouldBlock)
    }

    /// Lets the peer see an abrupt end when this is dropped; over a Unix socket there is none.
    pub(super) fn reset_at_close(&self) {
        // Where it fails the connection is gone already.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }

    /// Tells the peer that nothing more will be sent; what it sends can still be read.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }
}

/// A stream of either kind that does not block.
impl From<OwnedFd> for Stream {
    fn from(fd: OwnedFd) -> Self {
        Self { socket: fd.into() }
    }
}

/// Lets little wait in the kernel that was not sent yet, so that a socket takes more as soon as its
/// peer has read a little. Otherwise it does so only when a third of the send buffer is free, which
/// grows to megabytes, and a slow but steady reader would look like one that has stopped.
#[cfg(target_os = "linux")]
pub(super) fn show_progress(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_notsent_lowat(NOT_SENT_BYTES)
}

/// Elsewhere send buffers are small.
#[cfg(not(target_os = "linux"))]
pub(super) fn show_progress(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// A socket takes no more while so much was not sent yet, and again when half of it was.
#[cfg(target_os = "linux")]
const NOT_SENT_BYTES: u32 = 64 << 10;
