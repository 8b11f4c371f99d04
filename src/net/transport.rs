//! Transport: how the bytes of one connection travel over its stream: as they are. Never waits, and
//! never looks into the bytes.

use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};

use super::stream::Stream;
use crate::relay::Payload;

/// See the module.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) stream: Stream,
}

/// What an attempt to read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes. Behind them there is nothing yet, but for the peer's end.
    Bytes(usize),
    /// So many bytes, all that was asked for. More may have come.
    More(usize),
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
}

impl Transport {
    /// Reads what has come, at most one buffer full.
    ///
    /// # Errors
    /// The stream's; the connection is of no use any more.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Read> {
        loop {
            match self.stream.socket.read(buffer) {
                Ok(0) => return Ok(Read::End),
                Ok(length) if length == buffer.len() => return Ok(Read::More(length)),
                Ok(length) => return Ok(Read::Bytes(length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Read::Drained),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes a payload from byte `from` on, as far as the stream takes it.
    ///
    /// # Errors
    /// The stream's; it takes no more bytes.
    pub(super) fn write(&mut self, payload: &Payload, from: usize) -> io::Result<Sent> {
        let mut sent = 0;
        loop {
            let (head, body) = payload.slices(from + sent);
            let socket = &mut self.stream.socket;
            let outcome = match (head, body) {
                ([], []) => return Ok(Sent::All),
                (slice, []) | ([], slice) => socket.write(slice),
                (head, body) => socket.write_vectored(&[IoSlice::new(head), IoSlice::new(body)]),
            };
            match outcome {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Sent::Partly(sent));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
