use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustls::ClientConnection;

use super::*;

const BUFFER: usize = 64 << 10;

/// A socket of ours, and a client at its other end.
struct Pair {
    tls: Tls,
    client: ClientConnection,
    socket: UnixStream,
    buffer: Vec<u8>,
    scratch: Scratch,
}

impl Pair {
    /// The client's hello was sent.
    fn begin() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let trust = Trust::of_pem(Some(chain.as_bytes()), None, None).unwrap();
        let certificate = Certificate::of_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let name = trust.name("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::clone(trust.config()), name).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        let (ours, socket) = UnixStream::pair().unwrap();
        for end in [&ours, &socket] {
            end.set_nonblocking(true).unwrap();
        }
        let tls = Tls::accept(OwnedFd::from(ours).into(), &certificate, &hello);
        Self { tls, client, socket, buffer: vec![0; BUFFER], scratch: Scratch::default() }
    }

    fn new() -> Self {
        let mut pair = Self::begin();
        while pair.client.is_handshaking() {
            pair.read();
            pair.take();
            pair.send(&[]);
        }
        pair.read();
        pair
    }

    fn read(&mut self) -> Read {
        self.tls.read(&mut self.buffer, BUFFER, &mut self.scratch).unwrap()
    }

    /// What the client has to send.
    fn records(&mut self, plain: &[u8]) -> Vec<u8> {
        self.client.writer().write_all(plain).unwrap();
        let mut records = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut records).unwrap();
        }
        records
    }

    fn send(&mut self, plain: &[u8]) {
        let records = self.records(plain);
        self.socket.write_all(&records).unwrap();
    }

    /// What has come to the client.
    fn take(&mut self) -> Vec<u8> {
        let mut plain = Vec::new();
        while self.client.read_tls(&mut self.socket).is_ok_and(|length| length > 0) {
            self.client.process_new_packets().unwrap();
            let mut some = vec![0; BUFFER];
            if let Ok(length) = self.client.reader().read(&mut some) {
                plain.extend_from_slice(&some[..length]);
            }
        }
        plain
    }
}

#[test]
fn what_is_stalled_is_sent_once_though_something_is_read_meanwhile() {
    let mut pair = Pair::new();
    let message: Vec<u8> = (0..1_000_000_u32).map(|at| (at / 7) as u8).collect();
    let payload = Payload::Owned(message.clone());
    let (mut sent, mut came, mut stalls) = (0, Vec::new(), 0);
    loop {
        match pair.tls.write(&payload, sent, &mut pair.scratch).unwrap() {
            Sent::All => break,
            Sent::Partly(more) => (sent, stalls) = (sent + more, stalls + 1),
            Sent::More(more) => {
                assert!(more >= WRITE_BYTES, "{more}");
                sent += more;
                continue;
            }
        }
        // Room, of which no event has told yet when something comes.
        came.extend(pair.take());
        pair.send(b"x");
        assert_eq!(pair.read(), Read::Bytes(1));
    }
    came.extend(pair.take());
    assert!(stalls > 1 && came == message, "{} bytes, {stalls} stalls", came.len());
}

#[test]
fn what_comes_behind_our_end_is_still_decrypted() {
    let mut pair = Pair::new();
    pair.tls.end();
    pair.tls.end();
    assert_eq!(pair.take(), b"");
    pair.send(b"the rest of an upload");
    assert_eq!(pair.read(), Read::Bytes(21));
    assert_eq!(&pair.buffer[..21], b"the rest of an upload");
    pair.client.send_close_notify();
    pair.send(b"");
    assert_eq!(pair.read(), Read::End);
    assert!(!pair.tls.is_pending());
}

#[test]
fn what_is_broken_behind_our_end_is_a_fault_of_which_nobody_is_told() {
    let mut pair = Pair::new();
    pair.tls.end();
    pair.take();
    let mut records = pair.records(b"message");
    records[9] ^= 1;
    pair.socket.write_all(&records).unwrap();
    assert!(pair.tls.read(&mut pair.buffer, BUFFER, &mut pair.scratch).is_err());
    assert!(!pair.tls.is_pending() && pair.socket.read(&mut [0]).is_err());
}

#[test]
fn where_no_plain_bytes_come_the_stream_is_read_on_to_its_end() {
    let mut pair = Pair::new();
    let records = pair.records(b"message");
    pair.socket.write_all(&records[..5]).unwrap();
    pair.socket.shutdown(std::net::Shutdown::Write).unwrap();
    // One event tells of both, so that this must not look like nothing.
    assert_eq!((pair.read(), pair.read()), (Read::Bytes(0), Read::End));
}

#[test]
fn a_stream_that_takes_nothing_more_is_still_read() {
    let mut pair = Pair::begin();
    pair.tls.stream().shutdown_write().unwrap();
    // The answer to the hello cannot leave; that is no fault of what has come.
    assert_eq!(pair.read(), Read::Drained);
    assert!(pair.tls.is_pending() && pair.tls.flush().is_err());
}
