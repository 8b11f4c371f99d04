//! One socket: sends at once, keeps what the socket refuses, and remembers what is still to be
//! done with it. Never looks into the bytes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};

use super::stream::Stream;
use crate::relay::{ConnKey, Payload};

/// What was refused, and waits for the socket to take more.
#[derive(Debug, Default)]
struct Outbox {
    payloads: VecDeque<Payload>,
    /// Bytes of the first payload that have left.
    sent: usize,
}

/// See the module. 32 bytes; an outbox only while it has something in it.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) key: ConnKey,
    pub(super) stream: Stream,
    outbox: Option<Box<Outbox>>,
    /// To be closed when the outbox is empty.
    pub(super) closing: bool,
    /// To be shut for writing when the outbox is empty.
    pub(super) shutting: bool,
    /// We have opened it, not the peer.
    pub(super) dialled: bool,
    /// It is not open yet.
    pub(super) connecting: bool,
    /// The peer sends no more, so that behind what came an end is to be found.
    pub(super) ended: bool,
    /// To be read in the next turn, or a later one.
    pub(super) queued: bool,
    /// It waited with many others, the last time it did.
    pub(super) crowd: bool,
    /// The peer takes nothing any more: what is to be sent is dropped.
    mute: bool,
    /// Closed at the end of this turn.
    pub(super) gone: bool,
}

/// What became of an attempt to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Everything left.
    All,
    /// Some bytes wait for the socket.
    Partly {
        /// Whether any left.
        progress: bool,
    },
}

impl Socket {
    pub(super) fn accepted(key: ConnKey, stream: Stream) -> Self {
        Self {
            key,
            stream,
            outbox: None,
            closing: false,
            shutting: false,
            dialled: false,
            connecting: false,
            ended: false,
            queued: false,
            crowd: false,
            mute: false,
            gone: false,
        }
    }

    pub(super) fn dialled(key: ConnKey, stream: Stream) -> Self {
        Self { dialled: true, connecting: true, ..Self::accepted(key, stream) }
    }

    /// Drops what waits, and whatever is still to be sent.
    pub(super) fn mute(&mut self) {
        self.mute = true;
        self.outbox = None;
    }

    /// Whether bytes wait for the socket.
    pub(super) fn is_stalled(&self) -> bool {
        self.outbox.is_some()
    }

    /// Sends behind what waits.
    ///
    /// # Errors
    /// The socket's own; it is of no use any more.
    pub(super) fn send(&mut self, payload: Payload) -> io::Result<Sent> {
        if self.mute {
            return Ok(Sent::All);
        }
        if let Some(outbox) = &mut self.outbox {
            outbox.payloads.push_back(payload);
            return Ok(Sent::Partly { progress: false });
        }
        let sent = write(&mut self.stream, &payload, 0)?;
        if sent == payload.len() {
            return Ok(Sent::All);
        }
        self.outbox = Some(Box::new(Outbox { payloads: VecDeque::from([payload]), sent }));
        Ok(Sent::Partly { progress: sent > 0 })
    }

    /// Sends what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub(super) fn flush(&mut self) -> io::Result<Sent> {
        let Some(outbox) = &mut self.outbox else { return Ok(Sent::All) };
        let mut progress = false;
        while let Some(payload) = outbox.payloads.front() {
            let sent = write(&mut self.stream, payload, outbox.sent)?;
            progress |= sent > 0;
            outbox.sent += sent;
            if outbox.sent < payload.len() {
                return Ok(Sent::Partly { progress });
            }
            outbox.payloads.pop_front();
            outbox.sent = 0;
        }
        self.outbox = None;
        Ok(Sent::All)
    }
}

/// Writes a payload from byte `from` on; gives how many bytes the socket took, fewer only when it
/// takes no more for now.
fn write(stream: &mut Stream, payload: &Payload, from: usize) -> io::Result<usize> {
    let mut sent = 0;
    loop {
        let (head, body) = payload.slices(from + sent);
        let outcome = match (head, body) {
            ([], []) => return Ok(sent),
            (slice, []) | ([], slice) => stream.write(slice),
            (head, body) => stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)]),
        };
        match outcome {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => sent += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(sent),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
