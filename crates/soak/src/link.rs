//! Link: one connection of a client, with requests to send and answers to read. Knows neither
//! channels nor the model.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use pushserver_testkit::Answer;
use pushserver_testkit::answer::Front;
use socket2::SockRef;

use crate::targets::Place;

/// Bytes that a slow reader reads in a turn.
pub(crate) const SIP: usize = 1500;

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// Where it leads.
    pub(crate) place: Place,
    stream: TcpStream,
    out: Vec<u8>,
    sent: usize,
    incoming: Vec<u8>,
    /// The sending side ends after `out`.
    ends: bool,
}

/// The result of a read.
pub(crate) enum Reading {
    Answer(Answer),
    /// No answer is whole yet.
    NotYet,
    /// The daemon has closed the connection, not within an answer.
    Closed,
    Broken(String),
}

/// What a read of a stream has left.
pub(crate) enum Filled {
    /// There may be more.
    More,
    /// Nothing, for now.
    Drained,
    Ended(String),
}

impl Link {
    pub(crate) fn open(
        place: Place,
        address: SocketAddr,
        narrow: bool,
        registry: &Registry,
        token: Token,
    ) -> Self {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM,
            None,
        )
        .expect("there are descriptors");
        if narrow {
            socket.set_recv_buffer_size(4096).expect("a size that is allowed");
        }
        socket.connect(&address.into()).expect("the daemon listens");
        socket.set_tcp_nodelay(true).expect("a TCP socket");
        socket.set_nonblocking(true).expect("a socket");
        let mut stream = TcpStream::from_std(socket.into());
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, token, interest).expect("a new descriptor");
        Self { place, stream, out: Vec::new(), sent: 0, incoming: Vec::new(), ends: false }
    }

    /// The buffer for the next request; [`Link::flush`] sends it.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Sends as much as the socket takes.
    pub(crate) fn flush(&mut self) {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(length) => self.sent += length,
                // The next read reports the error.
                Err(_) => return,
            }
        }
        self.out.clear();
        self.sent = 0;
        if self.out.capacity() > 4096 {
            self.out = Vec::new();
        }
        if self.ends {
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }

    /// Sends the rest, then ends the sending side.
    pub(crate) fn end_sending(&mut self) {
        self.ends = true;
        self.flush();
    }

    /// Reads at most `most` bytes beyond what there is, for the next answer.
    pub(crate) fn read(&mut self, most: usize, scratch: &mut [u8]) -> Reading {
        let most = most.min(scratch.len());
        let mut left = most;
        loop {
            match Answer::read(&self.incoming, false) {
                Ok(Front::Whole(answer, length)) => {
                    self.incoming.drain(..length);
                    return Reading::Answer(answer);
                }
                Ok(Front::Head | Front::Body) => {}
                Err(why) => return Reading::Broken(why),
            }
            if left == 0 {
                return Reading::NotYet;
            }
            match self.stream.read(&mut scratch[..left]) {
                Ok(0) if self.incoming.is_empty() => return Reading::Closed,
                Ok(0) => return Reading::Broken("cut within an answer".to_owned()),
                Ok(length) => {
                    self.incoming.extend_from_slice(&scratch[..length]);
                    // A slow reader takes `most` bytes a turn; others empty the socket.
                    left = if most == scratch.len() { most } else { left - length };
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Reading::NotYet,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Reading::Broken(error.to_string()),
            }
        }
    }

    /// Reads at most `most` bytes into [`Link::inbox`], once.
    pub(crate) fn fill(&mut self, most: usize, scratch: &mut [u8]) -> Filled {
        let most = most.min(scratch.len());
        match self.stream.read(&mut scratch[..most]) {
            Ok(0) => Filled::Ended("the daemon ended it".to_owned()),
            Ok(length) => {
                self.incoming.extend_from_slice(&scratch[..length]);
                Filled::More
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Filled::Drained,
            Err(error) if error.kind() == ErrorKind::Interrupted => Filled::More,
            Err(error) => Filled::Ended(error.to_string()),
        }
    }

    /// What has come of a stream and is not taken yet.
    pub(crate) fn inbox(&mut self) -> &mut Vec<u8> {
        &mut self.incoming
    }

    /// Whether a part of an answer has come.
    pub(crate) fn has_part(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// Closes the connection with a reset (RST).
    pub(crate) fn reset(self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}
