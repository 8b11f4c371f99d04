//! Socket: one connection's transport, what the transport refused, and what is still to be done
//! with it. It sends at once, and never looks into the bytes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use super::pace::WRITE_BYTES;
use super::stream::{Read, Sent, Stream};
use super::tls::Scratch;
use super::transport::Transport;
use crate::relay::{ConnKey, Input, Payload};

/// What the transport refused, and takes later.
#[derive(Debug, Default)]
struct Outbox {
    payloads: VecDeque<Payload>,
    /// Bytes of the first payload that have left.
    sent: usize,
}

/// What a socket is doing.
///
/// ```text
/// Connecting ──► Open ◄──► Shutting
///      │           ▲│
///      └► Securing ┘│
///                 │ │         │
///                 │ └► Mute   │
///                 ▼     ▼     ▼
///               Closing ──► Gone
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// We have dialled, and it is not open yet.
    Connecting,
    /// It is open, and its handshake is not done.
    Securing,
    /// Bytes go both ways; what is shut for writing stays here.
    Open,
    /// To be shut for writing when the outbox is empty.
    Shutting,
    /// To be closed when the outbox is empty.
    Closing,
    /// The peer takes nothing any more: what is to be sent is dropped.
    Mute,
    /// Closed at the end of this turn.
    Gone,
}

/// The list that a socket is in, to be read without another event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// None.
    No,
    /// Of those to be read in the next turn that has time.
    Again,
    /// Of those of large fan-outs.
    Later,
    /// Of those whose handshake goes on.
    Handshakes,
}

/// Who has opened the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The peer.
    Accepted,
    /// We have.
    Dialled,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) key: ConnKey,
    pub(super) transport: Transport,
    /// Only while it has something in it.
    outbox: Option<Box<Outbox>>,
    pub(super) side: Side,
    pub(super) life: Life,
    pub(super) queue: Queue,
    /// It is in the list of those to be flushed without another event.
    pub(super) flushes: bool,
    /// The peer sends no more, so that behind what came an end is to be found.
    pub(super) ended: bool,
    /// It waited with many others, the last time it did.
    pub(super) many_waited: bool,
}

const _: () = assert!(size_of::<Socket>() == 40);

impl Socket {
    /// `decides`: whether the first byte decides if it is TLS.
    pub(super) fn accepted(key: ConnKey, stream: Stream, decides: bool) -> Self {
        Self::over(key, Transport::Plain(stream, decides))
    }

    fn over(key: ConnKey, transport: Transport) -> Self {
        Self {
            key,
            transport,
            outbox: None,
            side: Side::Accepted,
            life: Life::Open,
            queue: Queue::No,
            flushes: false,
            ended: false,
            many_waited: false,
        }
    }

    pub(super) fn dialled(key: ConnKey, transport: Transport) -> Self {
        Self { side: Side::Dialled, life: Life::Connecting, ..Self::over(key, transport) }
    }

    /// A step of its handshake was done; gives what of a connection of ours is to be told.
    pub(super) fn step_done(&mut self, read: &io::Result<Read>) -> Option<Input<'static>> {
        if self.life != Life::Securing {
            return None;
        }
        match read {
            Ok(Read::End) => Some(Input::ConnectFailed(ErrorKind::InvalidData)),
            Err(error) => Some(Input::ConnectFailed(error.kind())),
            Ok(_) if self.transport.is_handshaking() => None,
            Ok(_) => {
                self.life = Life::Open;
                Some(Input::Connected)
            }
        }
    }

    /// Sends behind what waits.
    ///
    /// # Errors
    /// The transport's; the peer takes no more.
    pub(super) fn send(&mut self, payload: Payload, scratch: &mut Scratch) -> io::Result<Sent> {
        if self.life == Life::Mute {
            return Ok(Sent::All);
        }
        if let Some(outbox) = &mut self.outbox {
            outbox.payloads.push_back(payload);
            return Ok(Sent::Partly(0));
        }
        let outcome = self.transport.write(&payload, 0, scratch)?;
        if let Sent::Partly(sent) | Sent::More(sent) = outcome {
            self.outbox = Some(Box::new(Outbox { payloads: VecDeque::from([payload]), sent }));
        }
        Ok(outcome)
    }

    /// Sends what waits, as far as the transport takes it, and about so much as one may in a turn.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub(super) fn flush(&mut self, scratch: &mut Scratch) -> io::Result<Sent> {
        let Some(outbox) = &mut self.outbox else { return Ok(Sent::All) };
        let mut all = 0;
        while let Some(payload) = outbox.payloads.front() {
            if all >= WRITE_BYTES {
                return Ok(Sent::More(all));
            }
            match self.transport.write(payload, outbox.sent, scratch)? {
                Sent::All => {}
                Sent::Partly(sent) => {
                    outbox.sent += sent;
                    return Ok(Sent::Partly(all + sent));
                }
                Sent::More(sent) => {
                    outbox.sent += sent;
                    return Ok(Sent::More(all + sent));
                }
            }
            all += payload.len() - outbox.sent;
            outbox.payloads.pop_front();
            outbox.sent = 0;
        }
        self.outbox = None;
        Ok(Sent::All)
    }

    /// Shuts it for writing, at once or when the outbox is empty; gives whether it is still of use.
    pub(super) fn shut(&mut self) -> bool {
        match self.life {
            Life::Closing => true,
            _ if self.is_stalled() => {
                self.life = Life::Shutting;
                true
            }
            _ => self.end(),
        }
    }

    fn end(&mut self) -> bool {
        self.transport.end();
        self.transport.stream().shutdown_write().is_ok()
    }

    /// Has it closed when the outbox is empty; gives whether that is later.
    pub(super) fn close(&mut self) -> bool {
        self.life = Life::Closing;
        if !self.is_stalled() {
            self.transport.end();
        }
        self.is_stalled()
    }

    /// Has the peer tell its close from an end; gives that it is of no use any more.
    pub(super) fn reset(&mut self) -> bool {
        self.transport.stream().reset_at_close();
        false
    }

    /// Does what was to be done when the outbox is empty; gives whether it is still of use.
    pub(super) fn emptied(&mut self) -> bool {
        match self.life {
            Life::Closing => {
                self.transport.end();
                false
            }
            Life::Shutting => {
                self.life = Life::Open;
                self.end()
            }
            _ => true,
        }
    }

    /// Drops what waits, and whatever is still to be sent.
    pub(super) fn mute(&mut self) {
        self.life = Life::Mute;
        self.outbox = None;
    }

    /// Whether bytes wait for the transport.
    pub(super) fn is_stalled(&self) -> bool {
        self.outbox.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_is_given_so_many_bytes_before_others_have_their_turn() {
        let (ours, mut peers) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let stream = Stream::from(OwnedFd::from(ours));
        stream.socket.set_send_buffer_size(4 * WRITE_BYTES).unwrap();
        let mut socket = Socket::accepted(ConnKey::from_bits(0), stream, false);
        let message: Vec<u8> = (0..1_000_000_u32).map(|at| (at / 7) as u8).collect();
        let (mut scratch, mut came) = (Scratch::default(), Vec::new());
        let mut sent = socket.send(Payload::Owned(message.clone()), &mut scratch).unwrap();
        while let Sent::Partly(bytes) | Sent::More(bytes) = sent {
            assert!((1..=WRITE_BYTES).contains(&bytes) && socket.is_stalled(), "{sent:?}");
            let mut buffer = vec![0; bytes];
            peers.read_exact(&mut buffer).unwrap();
            came.extend(buffer);
            sent = socket.flush(&mut scratch).unwrap();
        }
        assert!(!socket.is_stalled());
        drop(socket);
        peers.read_to_end(&mut came).unwrap();
        assert!(came == message, "{} bytes", came.len());
    }
}
