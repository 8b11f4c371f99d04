//! Stream: one connection over TCP or a Unix socket, accepted or dialled, non-blocking. Never
//! waits, and knows nothing of the bytes.

use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::relay::options::UpstreamAddress;

/// One connection, non-blocking.
#[derive(Debug)]
pub(super) enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

// Debug builds of mio add what they check registrations with.
const _: () = assert!(cfg!(debug_assertions) || size_of::<Stream>() == 8);

impl Stream {
    /// Begins to connect to an upstream; an event says when [`Stream::connected`] has an answer.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn connect(to: &UpstreamAddress) -> io::Result<Self> {
        match to {
            UpstreamAddress::Tcp(address) => {
                let stream = TcpStream::connect(*address)?;
                stream.set_nodelay(true)?;
                show_progress(&SockRef::from(&stream))?;
                Ok(Self::Tcp(stream))
            }
            UpstreamAddress::Unix(path) => Ok(Self::Unix(UnixStream::connect(path)?)),
        }
    }

    /// Whether it is connected by now.
    ///
    /// # Errors
    /// Why it will never be.
    pub(super) fn connected(&self) -> io::Result<bool> {
        let (failure, peer) = match self {
            Self::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(|_| ())),
            Self::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(|_| ())),
        };
        match (failure, peer) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(true),
            (None, Err(error)) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            (None, Err(error)) => Err(error),
        }
    }

    /// Whether the peer has sent something, or its end, that is not read yet.
    #[must_use]
    pub(super) fn has_spoken(&self) -> bool {
        let socket = match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Unix(stream) => SockRef::from(stream),
        };
        let seen = socket.peek(&mut [MaybeUninit::uninit()]);
        seen.err().is_none_or(|error| error.kind() != io::ErrorKind::WouldBlock)
    }

    /// Lets the peer see an abrupt end when this is dropped; over a Unix socket there is none.
    pub(super) fn reset_at_close(&self) {
        if let Self::Tcp(stream) = self {
            // Where it fails the connection is gone already.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Tells the peer that nothing more will be sent; what it sends can still be read.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(slices),
            Self::Unix(stream) => stream.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Stream {
    fn register(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.register(to, token, interest),
            Self::Unix(stream) => stream.register(to, token, interest),
        }
    }

    fn reregister(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.reregister(to, token, interest),
            Self::Unix(stream) => stream.reregister(to, token, interest),
        }
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.deregister(from),
            Self::Unix(stream) => stream.deregister(from),
        }
    }
}

/// Lets little wait in the kernel that was not sent yet, so that a socket takes more as soon as its
/// peer has read a little. Otherwise it does so only when a third of the send buffer is free, which
/// grows to megabytes, and a slow but steady reader would look like one that has stopped.
#[cfg(target_os = "linux")]
pub(super) fn show_progress(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_notsent_lowat(NOT_SENT_BYTES)
}

/// Elsewhere send buffers are small.
#[cfg(not(target_os = "linux"))]
pub(super) fn show_progress(_: &SockRef<'_>) -> io::Result<()> {
    Ok(())
}

/// A socket takes no more while so much was not sent yet, and again when half of it was.
#[cfg(target_os = "linux")]
const NOT_SENT_BYTES: u32 = 64 << 10;
