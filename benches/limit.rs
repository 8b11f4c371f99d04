//! Limit: a server that does only what any server must do under `pushserver bench`: the lower bound
//! of the cost on this machine.
//!
//! It looks for two headers in a connection's first request and reads no other, checks nothing,
//! keeps no queue, and expects each request in one piece. It makes one answer from a POST and
//! writes it to every poll held on the channel; one event, and writes it to every event stream; one
//! text frame, and writes it to every WebSocket. Results are given as the ratio of a real server's
//! cost to this one.
//!
//! ```text
//! cargo build --release --example limit
//! taskset -c 0 target/release/examples/limit 127.0.0.1:18030
//! taskset -c 1 target/release/pushserver bench fanout --busy --transport eventsource \
//!     --publish http://127.0.0.1:18030/p/{channel} --subscribe http://127.0.0.1:18030/s/{channel}
//! ```
//!
//! A poll of `/o/{channel}` is answered with the newest message at once, if there is one: for the
//! scenario `poll`.

#![forbid(unsafe_code)]

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use memchr::{memchr, memmem};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use pushserver::http::websocket::accept_key;
use slab::Slab;
use socket2::{Domain, Socket, Type};

const LISTENER: Token = Token(usize::MAX);
const MISSED_MAX: usize = 1000;
const PUBLISHED: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
const EVENT_STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

fn main() -> io::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:18030".to_owned());
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let mut server = Server::listen(address)?;
    println!("listening on http://{}", server.address()?);
    server.run()
}

pub(crate) struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: Slab<Connection>,
    channels: HashMap<Box<[u8]>, Channel>,
    /// How many connections were accepted.
    accepted: u32,
    /// The tag of the newest message of all channels: cursors only have to differ.
    tag: u64,
    scratch: Box<[u8]>,
}

struct Connection {
    stream: TcpStream,
    kind: Kind,
    /// Its number among all that were accepted: an index is used again.
    number: u32,
}

/// What a connection is for; its first request says it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    New,
    /// One request after the other.
    Requests,
    EventStream,
    WebSocket,
}

#[derive(Default)]
struct Channel {
    /// Connections with a poll; a write to one that has closed since is ignored.
    held: Vec<usize>,
    /// Connections with a stream: index and number.
    event_streams: Vec<(usize, u32)>,
    web_sockets: Vec<(usize, u32)>,
    /// The newest message as the answer to a poll.
    answer: Vec<u8>,
    /// Messages that came while nobody waited: otherwise a message between a delivery and the next
    /// poll would be lost.
    missed: VecDeque<Vec<u8>>,
}

impl Server {
    pub(crate) fn listen(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        // Connections inherit both.
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            connections: Slab::new(),
            channels: HashMap::new(),
            accepted: 0,
            tag: 0,
            scratch: vec![0; 64 << 10].into_boxed_slice(),
        })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => done?,
            }
            for event in events.iter() {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(index) => self.ready(index),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let entry = self.connections.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            self.accepted = self.accepted.wrapping_add(1);
            entry.insert(Connection { stream, kind: Kind::New, number: self.accepted });
        }
    }

    fn ready(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        match connection.stream.read(&mut self.scratch) {
            Ok(0) => drop(self.connections.remove(index)),
            Ok(length) => match connection.kind {
                Kind::New => self.first_request(index, length),
                Kind::Requests => self.request(index, length),
                // Pongs, and whatever else a client sends.
                Kind::EventStream | Kind::WebSocket => {}
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => drop(self.connections.remove(index)),
        }
    }

    /// The first request of a connection, which may ask for a stream of `/s/NAME`.
    fn first_request(&mut self, index: usize, length: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.kind = Kind::Requests;
        let request = &self.scratch[..length];
        let rest = request.get(7..).unwrap_or_default();
        let name = &rest[..memchr(b' ', rest).unwrap_or(0)];
        if memmem::find(request, b"text/event-stream").is_some() {
            connection.kind = Kind::EventStream;
            self.channels
                .entry(name.into())
                .or_default()
                .event_streams
                .push((index, connection.number));
            write(&mut self.connections, index, EVENT_STREAM);
        } else if let Some(head) = handshake(request) {
            connection.kind = Kind::WebSocket;
            self.channels
                .entry(name.into())
                .or_default()
                .web_sockets
                .push((index, connection.number));
            write(&mut self.connections, index, &head);
        } else {
            self.request(index, length);
        }
    }

    /// `GET /s/NAME `, `GET /o/NAME ` or `POST /p/NAME `; a POST has a body after a blank line.
    fn request(&mut self, index: usize, length: usize) {
        let request = &self.scratch[..length];
        let start = if request[0] == b'P' { 8 } else { 7 };
        let rest = request.get(start..).unwrap_or_default();
        let name = &rest[..memchr(b' ', rest).unwrap_or(0)];
        if !self.channels.contains_key(name) {
            self.channels.insert(name.into(), Channel::default());
        }
        let Some(channel) = self.channels.get_mut(name) else { return };
        match request[start - 2] {
            b'o' if !channel.answer.is_empty() => {
                write(&mut self.connections, index, &channel.answer);
            }
            _ if request[0] == b'G' => match channel.missed.pop_front() {
                Some(answer) => write(&mut self.connections, index, &answer),
                None => channel.held.push(index),
            },
            _ => {
                self.tag += 1;
                let body = memmem::find(request, b"\r\n\r\n").map_or(length, |at| at + 4);
                channel.publish(&request[body..], self.tag, &mut self.connections);
                write(&mut self.connections, index, PUBLISHED);
            }
        }
    }
}

impl Channel {
    /// Writes a message to everybody who waits for one.
    fn publish(&mut self, body: &[u8], tag: u64, connections: &mut Slab<Connection>) {
        if !self.event_streams.is_empty() {
            let event = event(body, tag);
            self.event_streams.retain(|stream| write_stream(connections, *stream, &event));
        }
        if !self.web_sockets.is_empty() {
            let frame = frame(body);
            self.web_sockets.retain(|stream| write_stream(connections, *stream, &frame));
        }
        if self.held.is_empty() && !(self.event_streams.is_empty() && self.web_sockets.is_empty()) {
            return;
        }
        self.answer.clear();
        // Writing to a vector cannot fail.
        let _ = write!(
            self.answer,
            "HTTP/1.1 200 OK\r\nLast-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\n\
             Etag: {tag}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.answer.extend_from_slice(body);
        if self.held.is_empty() {
            self.missed.truncate(MISSED_MAX - 1);
            self.missed.push_back(self.answer.clone());
        }
        for held in self.held.drain(..) {
            write(connections, held, &self.answer);
        }
    }
}

/// The message as an event (WHATWG HTML 9.2.6), in the second of the answers to polls.
fn event(body: &[u8], tag: u64) -> Vec<u8> {
    let mut event = format!("id: 946684800:{tag}\n").into_bytes();
    for line in body.split(|byte| *byte == b'\n') {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.push(b'\n');
    }
    event.push(b'\n');
    event
}

/// The message as a text frame (RFC 6455 section 5.2).
fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match body.len() {
        length @ 0..126 => frame.push(length as u8),
        length @ 126..65_536 => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(body);
    frame
}

/// The answer to the handshake of a WebSocket; `None` for any other request.
fn handshake(request: &[u8]) -> Option<Vec<u8>> {
    let name = b"\r\nSec-WebSocket-Key: ";
    let key = memmem::find(request, name)? + name.len();
    let accept = accept_key(request.get(key..key + 24)?)?;
    let mut head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: "
        .to_vec();
    head.extend_from_slice(&accept);
    head.extend_from_slice(b"\r\n\r\n");
    Some(head)
}

/// Writes to a stream; `false` if it has closed.
fn write_stream(
    connections: &mut Slab<Connection>,
    (index, number): (usize, u32),
    bytes: &[u8],
) -> bool {
    let is_open = connections.get(index).is_some_and(|connection| connection.number == number);
    if is_open {
        write(connections, index, bytes);
    }
    is_open
}

/// Answers are small and are read at once: a socket that does not take one whole is shut down, and
/// closed when its end is read.
fn write(connections: &mut Slab<Connection>, index: usize, answer: &[u8]) {
    if let Some(connection) = connections.get_mut(index)
        && !matches!(connection.stream.write(answer), Ok(count) if count == answer.len())
    {
        let _ = connection.stream.shutdown(Shutdown::Both);
    }
}
