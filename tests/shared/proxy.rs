//! Proxy: a network between the daemon and Redis, as bad as a test wants it; and a record of when
//! it was dialled.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What becomes of bytes, either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// They arrive after so long.
    Passes(Duration),
    /// They never arrive, nor does what follows them on the same connection.
    Swallows,
    /// They arrive when another manner is set.
    Holds,
    /// A connection ends at once.
    Resets,
    /// The server says this and nothing else, again and again.
    Talks(&'static [u8]),
}

/// As fast as can be.
pub(crate) const PASSES: Manner = Manner::Passes(Duration::ZERO);

/// See the file.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    manner: Mutex<Manner>,
    /// Both ends of all connections: the daemon's, and the server's.
    sockets: Mutex<Vec<[TcpStream; 2]>>,
    dials: Mutex<Vec<Instant>>,
}

impl Proxy {
    /// In front of the server there.
    pub(crate) fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            manner: Mutex::new(PASSES),
            sockets: Mutex::default(),
            dials: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        // Ends with the process.
        thread::spawn(move || {
            for client in listener.incoming() {
                of_thread.dials.lock().unwrap().push(Instant::now());
                let Ok(mut client) = client else { continue };
                match of_thread.manner() {
                    Manner::Resets => {}
                    Manner::Talks(words) => {
                        thread::spawn(move || while client.write_all(words).is_ok() {});
                    }
                    _ => {
                        if let Ok(server) = TcpStream::connect(server) {
                            join(&of_thread, client, server);
                        }
                    }
                }
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub(crate) fn set(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
        let mut sockets = self.shared.sockets.lock().unwrap();
        match manner {
            Manner::Resets => {
                for socket in sockets.drain(..).flatten() {
                    let _ = socket.shutdown(Shutdown::Both);
                }
            }
            Manner::Talks(words) => {
                for [mut client, _] in sockets.drain(..) {
                    let _ = client.write_all(words);
                }
            }
            _ => {}
        }
    }

    /// When it was dialled, since the last call.
    pub(crate) fn take_dials(&self) -> Vec<Instant> {
        std::mem::take(&mut *self.shared.dials.lock().unwrap())
    }
}

/// The most dials within one second.
pub(crate) fn most_in_a_second(dials: &[Instant]) -> usize {
    let within = |first: &Instant| {
        let last = *first + Duration::from_secs(1);
        dials.iter().filter(|dial| (*first..last).contains(*dial)).count()
    };
    dials.iter().map(within).max().unwrap_or_default()
}

impl Shared {
    fn manner(&self) -> Manner {
        *self.manner.lock().unwrap()
    }
}

fn join(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) {
    let copy = |socket: &TcpStream| socket.try_clone().unwrap();
    shared.sockets.lock().unwrap().push([copy(&client), copy(&server)]);
    let swallows = Arc::new(AtomicBool::new(false));
    for (from, to) in [(copy(&client), copy(&server)), (server, client)] {
        to.set_nodelay(true).unwrap();
        let (send, receive) = mpsc::channel();
        let (shared, swallows) = (Arc::clone(shared), Arc::clone(&swallows));
        let of_writer = Arc::clone(&shared);
        thread::spawn(move || read(&shared, from, &send, &swallows));
        thread::spawn(move || write(&of_writer, to, &receive));
    }
}

/// What was read, and when it arrives.
type Piece = (Instant, Vec<u8>);

fn read(shared: &Shared, mut from: TcpStream, send: &mpsc::Sender<Piece>, swallows: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length) = from.read(&mut buffer)
        && length > 0
    {
        let manner = shared.manner();
        if matches!(manner, Manner::Swallows | Manner::Talks(_)) {
            swallows.store(true, Ordering::Relaxed);
        }
        if swallows.load(Ordering::Relaxed) {
            continue;
        }
        let delay = if let Manner::Passes(delay) = manner { delay } else { Duration::ZERO };
        if send.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}

fn write(shared: &Shared, mut to: TcpStream, receive: &mpsc::Receiver<Piece>) {
    // Only a few wait at once.
    while let Ok((arrives, bytes)) = receive.recv() {
        thread::sleep(arrives.saturating_duration_since(Instant::now()));
        while shared.manner() == Manner::Holds {
            thread::sleep(Duration::from_millis(1));
        }
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
