//! Wire: a stream with a session over it. Keeps what has come of a record that is not whole, and at
//! most one record that the stream has not taken; the message that it is of stays shared.

use std::io::{self, ErrorKind};
use std::mem;

use super::certificate::Certificate;
use super::scratch::Scratch;
use super::session::{Outgoing, RECORD_CIPHER, RECORD_PLAIN, Session};
use super::trust::Trust;
use crate::net::pace::WRITE_BYTES;
use crate::net::stream::{Read, Sent, Stream};
use crate::relay::Payload;

/// See the module.
#[derive(Debug)]
pub(in crate::net) struct Tls {
    stream: Stream,
    session: Session,
    /// Cipher of a record that is not whole; at most [`RECORD_CIPHER`].
    kept: Vec<u8>,
    /// Plain bytes beyond what was asked for, at most what one read decrypts.
    rest: Vec<u8>,
    /// Cipher that the stream did not take: what is left of one record, and what a handshake has to
    /// say.
    unsent: Vec<u8>,
    /// Plain bytes in `unsent` that count as sent when it leaves.
    owed: usize,
    /// The peer sends no more.
    has_ended: bool,
    /// We send no more.
    is_shut: bool,
}

impl Tls {
    /// Of a connection that was accepted and has begun with `hello`, which is dealt with by the
    /// next [`Tls::read`].
    pub(in crate::net) fn accept(stream: Stream, certificate: &Certificate, hello: &[u8]) -> Self {
        let session = Session::server(certificate.config());
        Self { kept: hello.to_vec(), ..Self::new(stream, session) }
    }

    /// Of a connection to `host` that is being opened. What begins the handshake is left to be
    /// flushed.
    pub(in crate::net) fn dial(stream: Stream, trust: &Trust, host: &str) -> io::Result<Self> {
        let session = Session::client(trust, host).map_err(io::Error::other)?;
        let mut tls = Self::new(stream, session);
        let begun = tls.session.advance(&mut [], &mut Vec::new(), &mut tls.unsent);
        begun.map_err(io::Error::other)?;
        Ok(tls)
    }

    fn new(stream: Stream, session: Session) -> Self {
        Self {
            stream,
            session,
            kept: Vec::new(),
            rest: Vec::new(),
            unsent: Vec::new(),
            owed: 0,
            has_ended: false,
            is_shut: false,
        }
    }

    pub(in crate::net) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Reads what has come, and leaves at most `most` of its plain bytes in `buffer`, in which it
    /// is decrypted. A buffer takes more than two records.
    ///
    /// # Errors
    /// The stream's, or the peer breaks the protocol, of which it is told.
    pub(in crate::net) fn read(
        &mut self,
        buffer: &mut [u8],
        most: usize,
        scratch: &mut Scratch,
    ) -> io::Result<Read> {
        if !self.rest.is_empty() {
            return Ok(self.read_rest(buffer, most));
        }
        if self.has_ended {
            return Ok(Read::End);
        }
        let kept = self.kept.len();
        buffer[..kept].copy_from_slice(&self.kept);
        // More than was asked for where a record would not be whole.
        let room = buffer.len().min(kept + most.max(RECORD_CIPHER));
        let read = self.stream.read(&mut buffer[kept..room])?;
        let came = match read {
            Read::Bytes(came) | Read::More(came) => came,
            // The first bytes of a connection came before there was a session.
            Read::Drained if kept > 0 => 0,
            read => {
                self.kept = Vec::new();
                return Ok(read);
            }
        };
        let length = self.decrypt(buffer, kept + came, most, scratch)?;
        Ok(match read {
            _ if self.has_ended && length == 0 => Read::End,
            _ if self.has_ended || !self.rest.is_empty() => Read::More(length),
            Read::More(_) => Read::More(length),
            Read::Drained if length == 0 => Read::Drained,
            // Also none: behind a record that is not whole, or was the session's, is an end found.
            _ => Read::Bytes(length),
        })
    }

    fn read_rest(&mut self, buffer: &mut [u8], most: usize) -> Read {
        let length = self.rest.len().min(most).min(buffer.len());
        buffer[..length].copy_from_slice(&self.rest[..length]);
        self.rest.drain(..length);
        if self.rest.is_empty() {
            self.rest = Vec::new();
        }
        Read::More(length)
    }

    /// Decrypts the first `filled` bytes of `buffer`; gives how many plain bytes take their place.
    fn decrypt(
        &mut self,
        buffer: &mut [u8],
        filled: usize,
        most: usize,
        scratch: &mut Scratch,
    ) -> io::Result<usize> {
        let plain = &mut scratch.plain;
        plain.clear();
        let advanced = self.session.advance(&mut buffer[..filled], plain, &mut self.unsent);
        if self.is_shut {
            self.unsent = Vec::new();
        } else if self.owed == 0 {
            // Also an alert. That the stream takes no more is for who writes: what has come counts.
            // What is owed is counted by who writes, too; the stream will say when it takes more.
            let _ = self.flush();
        }
        let advanced = advanced.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        self.has_ended = advanced.has_ended;
        let left = &buffer[advanced.used..filled];
        if left.len() > RECORD_CIPHER {
            // Of a handshake message in several records. A certificate may be so long: clients
            // have none here.
            return Err(ErrorKind::InvalidData.into());
        }
        self.kept.clear();
        self.kept.extend_from_slice(left);
        if left.is_empty() {
            self.kept = Vec::new();
        }
        let length = plain.len().min(most);
        buffer[..length].copy_from_slice(&plain[..length]);
        self.rest.extend_from_slice(&plain[length..]);
        Ok(length)
    }

    /// Writes a payload from byte `from` on, as far as the stream takes it.
    ///
    /// # Errors
    /// The stream's, or the session is worn out; it takes no more bytes.
    pub(in crate::net) fn write(
        &mut self,
        payload: &Payload,
        from: usize,
        scratch: &mut Scratch,
    ) -> io::Result<Sent> {
        let mut sent = 0;
        loop {
            sent += self.flush()?;
            if !self.unsent.is_empty() {
                return Ok(Sent::Partly(sent));
            }
            let Scratch { plain, cipher } = scratch;
            let chunk = match payload.slices(from + sent) {
                ([], []) => return Ok(Sent::All),
                _ if sent >= WRITE_BYTES => return Ok(Sent::More(sent)),
                (slice, []) | ([], slice) => &slice[..slice.len().min(RECORD_PLAIN)],
                (head, _) if head.len() >= RECORD_PLAIN => &head[..RECORD_PLAIN],
                // One record costs less than two.
                (head, body) => {
                    plain.clear();
                    plain.extend_from_slice(head);
                    plain.extend_from_slice(&body[..body.len().min(RECORD_PLAIN - head.len())]);
                    plain
                }
            };
            cipher.clear();
            let encrypted = self.session.encrypt(Outgoing::Plain(chunk), &mut self.kept, cipher);
            encrypted.map_err(io::Error::other)?;
            if cipher.is_empty() {
                // Nobody could read it: the handshake is not done, or has failed.
                return Ok(Sent::All);
            }
            match self.stream.write(cipher, &[])? {
                taken if taken == cipher.len() => sent += chunk.len(),
                taken => {
                    self.unsent.extend_from_slice(&cipher[taken..]);
                    self.owed = chunk.len();
                    return Ok(Sent::Partly(sent));
                }
            }
        }
    }

    /// Sends what the stream did not take before; gives how many plain bytes count as sent by it.
    pub(in crate::net) fn flush(&mut self) -> io::Result<usize> {
        if self.unsent.is_empty() {
            return Ok(0);
        }
        let taken = self.stream.write(&self.unsent, &[])?;
        let counted = if taken == self.unsent.len() { self.owed } else { taken.min(self.owed) };
        self.owed -= counted;
        self.unsent.drain(..taken);
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
        }
        Ok(counted)
    }

    /// Whether the handshake is not done.
    pub(in crate::net) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Whether cipher waits for the stream.
    pub(in crate::net) fn is_pending(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Tells the peer that nothing more will be sent; where the stream takes nothing it finds out
    /// by the stream's end.
    pub(in crate::net) fn end(&mut self) {
        if mem::replace(&mut self.is_shut, true) {
            return;
        }
        let told = self.session.encrypt(Outgoing::CloseNotify, &mut self.kept, &mut self.unsent);
        if told.is_ok() {
            let _ = self.flush();
        }
        self.unsent = Vec::new();
    }

    /// Whether the peer has said that it sends no more; what came before may still be to be read.
    pub(in crate::net) fn has_ended(&self) -> bool {
        self.has_ended
    }
}

#[cfg(test)]
mod tests;
