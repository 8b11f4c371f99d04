//! Rehearsal: publishes and receives one message before the load, so that a wrong URL or a server
//! of another protocol is reported at once. Creates channels if the server requires it. Uses
//! blocking sockets.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::answer::{self, Cursor, Reading};
use crate::channel::Channel;
use crate::plan::Plan;
use crate::reader::{Reader, Received};
use crate::target::{Target, Template};

/// What the load needs to know about the server.
#[derive(Debug, Clone)]
pub(crate) struct Rehearsal {
    /// Its `Server` header.
    pub(crate) server: String,
    /// The server refuses subscribers of unknown channels: they must be created first.
    pub(crate) must_create: bool,
}

/// A poll that is answered within this time is not held.
const HELD: Duration = Duration::from_millis(300);
/// Any other answer must come within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Subscribes to a channel that the plan does not use, publishes to it, and receives the message.
///
/// # Errors
/// Says which request went wrong and how.
pub(crate) fn rehearse(target: &Target, plan: &Plan, run: u32) -> Result<Rehearsal, String> {
    let name = Plan::channel_name(run, plan.channels());
    let mut channel = Channel::new(target, &name, 0, plan.expected(run, plan.channels()));
    let get = format!("GET {} of {name}", target.subscribe);
    let mut must_create = false;
    let mut subscriber = loop {
        let mut subscriber = Line::open(&target.subscribe)?;
        subscriber.send(channel.subscribe_request(&Cursor::NONE)).map_err(in_words(&get))?;
        let status = subscribe(&mut subscriber, &mut channel, plan).map_err(in_words(&get))?;
        match status {
            None => break subscriber,
            Some(404) if !must_create => must_create = true,
            Some(status) => return Err(format!("{get}: answered {status} at once")),
        }
        create(target, [name.clone()].into_iter())?;
    };
    let post = format!("POST {} of {name}", target.publish);
    let mut publisher = Line::open(&target.publish)?;
    let mut request = Vec::new();
    channel.write_publish(&mut request, 1, 0);
    publisher.send(&request).map_err(in_words(&post))?;
    let status = publisher.status().map_err(in_words(&post))?;
    if !(200..=202).contains(&status) {
        return Err(format!("{post}: answered {status}"));
    }
    let received = subscriber.next(PATIENCE, &mut channel.reader, Reader::read);
    match received.map_err(in_words(&get))? {
        Received::Message(_) => Ok(Rehearsal { server: subscriber.server(), must_create }),
        Received::Refused { status } => Err(format!("{get}: answered {status} to a publish")),
        Received::Damaged(why) => Err(format!("{get}: {why}")),
        _ => Err(format!("{get}: ended without the message")),
    }
}

/// Waits until the request of `subscriber` waits for messages. `Some`: it was refused instead.
///
/// # Errors
/// The connection's, or what came instead of a stream or of nothing.
fn subscribe(subscriber: &mut Line, channel: &mut Channel, plan: &Plan) -> io::Result<Option<u16>> {
    let received = match plan.transport.is_stream() {
        true => subscriber.next(PATIENCE, &mut channel.reader, Reader::open),
        false => subscriber.next(HELD, &mut channel.reader, Reader::read),
    };
    match received {
        Err(error) if is_timeout(&error) && !plan.transport.is_stream() => Ok(None),
        Ok(Received::Opened) => Ok(None),
        Ok(Received::Refused { status }) => Ok(Some(status)),
        Ok(Received::Damaged(why)) => Err(io::Error::other(why)),
        Ok(_) => Err(io::Error::other(
            "answered at once, though no message was there yet; this does not look like long \
             polling",
        )),
        Err(error) => Err(error),
    }
}

/// Creates these channels.
///
/// # Errors
/// Says which request went wrong and how.
pub(crate) fn create(
    target: &Target,
    channels: impl Iterator<Item = String>,
) -> Result<(), String> {
    let subject = format!("PUT {}", target.publish);
    let mut line = Line::open(&target.publish)?;
    for channel in channels {
        let request = format!(
            "PUT {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
            target.publish.path(&channel),
            target.publish.host
        );
        line.send(request.as_bytes()).map_err(in_words(&subject))?;
        let status = line.status().map_err(in_words(&subject))?;
        if status != 200 {
            return Err(format!("{subject}: answered {status}"));
        }
    }
    Ok(())
}

fn in_words(subject: &str) -> impl Fn(io::Error) -> String {
    move |error| match is_timeout(&error) {
        true => format!("{subject}: no answer"),
        false => format!("{subject}: {error}"),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A blocking connection.
struct Line {
    stream: TcpStream,
    /// All bytes that came.
    bytes: Vec<u8>,
    /// How many of them are read.
    read: usize,
}

impl Line {
    fn open(to: &Template) -> Result<Self, String> {
        let connect = || {
            let stream = TcpStream::connect_timeout(&to.address, PATIENCE)?;
            stream.set_nodelay(true)?;
            Ok(Self { stream, bytes: Vec::new(), read: 0 })
        };
        connect().map_err(|error: io::Error| format!("{to}: {error}"))
    }

    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)
    }

    /// The next that comes for a subscriber, as `read` reads it; answers Pings before it.
    fn next(
        &mut self,
        patience: Duration,
        reader: &mut Reader,
        read: fn(&mut Reader, &[u8]) -> (Received, usize),
    ) -> io::Result<Received> {
        loop {
            let (received, length) = read(reader, &self.bytes[self.read..]);
            self.read += length;
            match received {
                Received::Incomplete => self.more(patience)?,
                Received::Nothing => {}
                Received::Ping => self.send(reader.pong())?,
                received => return Ok(received),
            }
        }
    }

    /// The status of the next answer to a publisher.
    fn status(&mut self) -> io::Result<u16> {
        loop {
            match answer::read(&self.bytes[self.read..]) {
                Reading::Incomplete => self.more(PATIENCE)?,
                Reading::Broken(why) => return Err(io::Error::other(why)),
                Reading::Whole(answer) => {
                    self.read += answer.length;
                    return Ok(answer.status);
                }
            }
        }
    }

    /// The `Server` header of the first answer.
    fn server(&self) -> String {
        match answer::read_head(&self.bytes) {
            Reading::Whole(head) => String::from_utf8_lossy(head.server).into_owned(),
            _ => String::new(),
        }
    }

    fn more(&mut self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))?;
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.bytes.extend_from_slice(&buffer[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
