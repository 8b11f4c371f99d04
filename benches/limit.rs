//! Limit: a server that does only what any server must do under `pushserver bench`: the lower bound
//! of the cost on this machine.
//!
//! It reads no header, checks nothing, keeps no queue, and expects each request in one piece. It
//! makes one answer from a POST and writes it to every poll held on the channel. Results are given
//! as the ratio of a real server's cost to this one.
//!
//! ```text
//! cargo build --release --example limit
//! taskset -c 0 target/release/examples/limit 127.0.0.1:18030
//! taskset -c 1 target/release/pushserver bench fanout --busy \
//!     --publish http://127.0.0.1:18030/p/{channel} --subscribe http://127.0.0.1:18030/s/{channel}
//! ```
//!
//! A poll of `/o/{channel}` is answered with the newest message at once, if there is one: for the
//! scenario `poll`.

#![forbid(unsafe_code)]

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{Domain, Socket, Type};

const LISTENER: Token = Token(usize::MAX);
const MISSED_MAX: usize = 1000;
const PUBLISHED: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

fn main() -> io::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:18030".to_owned());
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let mut server = Server::listen(address)?;
    println!("listening on http://{}", server.listener.local_addr()?);
    server.run()
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: Slab<TcpStream>,
    channels: HashMap<Box<[u8]>, Channel>,
    /// The tag of the newest message of all channels: cursors only have to differ.
    tag: u64,
    scratch: Box<[u8]>,
}

#[derive(Default)]
struct Channel {
    /// Connections with a poll; a write to one that has closed since is ignored.
    held: Vec<usize>,
    /// The newest message as the answer to a poll.
    answer: Vec<u8>,
    /// Messages that came while no poll was held: otherwise a message between a delivery and the
    /// next poll would be lost.
    missed: VecDeque<Vec<u8>>,
}

impl Server {
    fn listen(address: SocketAddr) -> io::Result<Self> {
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
            tag: 0,
            scratch: vec![0; 64 << 10].into_boxed_slice(),
        })
    }

    fn run(&mut self) -> io::Result<()> {
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
            entry.insert(stream);
        }
    }

    fn ready(&mut self, index: usize) {
        let Some(stream) = self.connections.get_mut(index) else { return };
        match stream.read(&mut self.scratch) {
            Ok(0) => {
                self.connections.remove(index);
            }
            Ok(length) => self.request(index, length),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => {
                self.connections.remove(index);
            }
        }
    }

    /// `GET /s/NAME `, `GET /o/NAME ` or `POST /p/NAME `; a POST has a body after a blank line.
    fn request(&mut self, index: usize, length: usize) {
        let request = &self.scratch[..length];
        let start = if request[0] == b'P' { 8 } else { 7 };
        let rest = request.get(start..).unwrap_or_default();
        let name = &rest[..memchr::memchr(b' ', rest).unwrap_or(0)];
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
                let body = memchr::memmem::find(request, b"\r\n\r\n").map_or(length, |at| at + 4);
                let body = &request[body..];
                channel.answer.clear();
                // Writing to a vector cannot fail.
                let _ = write!(
                    channel.answer,
                    "HTTP/1.1 200 OK\r\nLast-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\n\
                     Etag: {}\r\nContent-Length: {}\r\n\r\n",
                    self.tag,
                    body.len()
                );
                channel.answer.extend_from_slice(body);
                if channel.held.is_empty() {
                    channel.missed.truncate(MISSED_MAX - 1);
                    channel.missed.push_back(channel.answer.clone());
                }
                for held in channel.held.drain(..) {
                    write(&mut self.connections, held, &channel.answer);
                }
                write(&mut self.connections, index, PUBLISHED);
            }
        }
    }
}

/// Answers are small and are read at once: a socket that does not take one is dropped.
fn write(connections: &mut Slab<TcpStream>, index: usize, answer: &[u8]) {
    if let Some(stream) = connections.get_mut(index)
        && stream.write(answer).is_err()
    {
        connections.remove(index);
    }
}
