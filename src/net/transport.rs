//! Transport: how the bytes of one connection travel over its stream: as they are, or by TLS. Never
//! waits, and never looks into the bytes, but for the first of a connection, which decides.

use std::io;

use super::pace::WRITE_BYTES;
use super::stream::{Read, Sent, Stream};
use super::tls::{Certificate, HANDSHAKE, Scratch, Tls, Trust};
use crate::relay::Payload;
use crate::relay::options::UpstreamAddress;

/// See the module.
#[derive(Debug)]
pub(super) enum Transport {
    /// As they are. Whether nothing has come yet, so that the first byte decides.
    Plain(Stream, bool),
    /// By TLS.
    Tls(Box<Tls>),
}

impl Transport {
    /// Begins to open a connection. `trust`: by TLS, to a server that shows that it is this host.
    ///
    /// # Errors
    /// The system's; or no certificate can be one of such a host.
    pub(super) fn dial(to: &UpstreamAddress, trust: Option<(&Trust, &str)>) -> io::Result<Self> {
        let stream = Stream::connect(to)?;
        match trust {
            Some((trust, host)) => Ok(Self::Tls(Box::new(Tls::dial(stream, trust, host)?))),
            None => Ok(Self::Plain(stream, false)),
        }
    }

    pub(super) fn stream(&self) -> &Stream {
        match self {
            Self::Plain(stream, _) => stream,
            Self::Tls(tls) => tls.stream(),
        }
    }

    /// Reads what has come, at most `most` bytes.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        most: usize,
        scratch: &mut Scratch,
    ) -> io::Result<Read> {
        match self {
            Self::Plain(stream, decides) => {
                let read = stream.read(&mut buffer[..most])?;
                if *decides && let Read::Bytes(length) | Read::More(length) = read {
                    *decides = false;
                    if buffer[0] == HANDSHAKE {
                        return Ok(Read::Hello(length));
                    }
                }
                Ok(read)
            }
            Self::Tls(tls) => tls.read(buffer, most, scratch),
        }
    }

    /// Goes on by TLS, behind `hello`.
    pub(super) fn secured(self, certificate: &Certificate, hello: &[u8]) -> Self {
        match self {
            Self::Plain(stream, _) => Self::Tls(Box::new(Tls::accept(stream, certificate, hello))),
            tls @ Self::Tls(_) => tls,
        }
    }

    /// Writes a payload from byte `from` on, as far as the stream takes it, and about so much as
    /// one may write in a turn.
    ///
    /// # Errors
    /// The stream's; it takes no more bytes.
    pub(super) fn write(
        &mut self,
        payload: &Payload,
        from: usize,
        scratch: &mut Scratch,
    ) -> io::Result<Sent> {
        let stream = match self {
            Self::Plain(stream, _) => stream,
            Self::Tls(tls) => return tls.write(payload, from, scratch),
        };
        let mut sent = 0;
        loop {
            let (head, body) = payload.slices(from + sent);
            if head.is_empty() && body.is_empty() {
                return Ok(Sent::All);
            }
            if sent >= WRITE_BYTES {
                return Ok(Sent::More(sent));
            }
            let head = &head[..head.len().min(WRITE_BYTES)];
            let body = &body[..body.len().min(WRITE_BYTES - head.len())];
            match stream.write(head, body)? {
                0 => return Ok(Sent::Partly(sent)),
                written => sent += written,
            }
        }
    }

    /// Whether it is TLS, and the handshake is not done.
    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.is_handshaking())
    }

    /// Whether the peer has said that it sends no more, other than by the stream's end.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.has_ended())
    }

    /// Whether it has to write something of its own.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.is_pending())
    }

    /// Writes that, as far as the stream takes it.
    ///
    /// # Errors
    /// The stream's; it takes no more bytes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(tls) => tls.flush().map(drop),
            Self::Plain(..) => Ok(()),
        }
    }

    /// Tells the peer that nothing more will be sent, where the stream's end does not say that.
    pub(super) fn end(&mut self) {
        if let Self::Tls(tls) = self {
            tls.end();
        }
    }
}
