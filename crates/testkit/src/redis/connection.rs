//! Connection: a plain blocking connection to Redis.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use pushserver::store::redis::resp::{Decoder, Value, write_command};

use crate::wait::LONG;

/// A plain blocking connection to a server.
pub struct Connection {
    socket: UnixStream,
    decoder: Decoder,
    /// What has come and is not decoded.
    inbox: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(socket: &Path) -> std::io::Result<Self> {
        let socket = UnixStream::connect(socket)?;
        socket.set_read_timeout(Some(LONG))?;
        Ok(Self { socket, decoder: Decoder::default(), inbox: Vec::new() })
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// If the server has ended.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the server reads");
    }

    /// The next value that comes, asked or not.
    ///
    /// # Panics
    /// If none does.
    #[track_caller]
    pub fn receive(&mut self) -> Value {
        loop {
            let (taken, value) = self.decoder.decode(&self.inbox).expect("it speaks RESP");
            self.inbox.drain(..taken);
            if let Some(value) = value {
                return value;
            }
            let mut bytes = vec![0; 1 << 16];
            let length = self.socket.read(&mut bytes).expect("the server answers");
            assert!(length > 0, "the server ends the connection");
            self.inbox.extend_from_slice(&bytes[..length]);
        }
    }

    /// Sends a command; gives what comes next.
    #[track_caller]
    pub fn ask<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Value {
        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
        let mut bytes = Vec::new();
        write_command(&words, &mut bytes);
        self.send(&bytes);
        self.receive()
    }
}
