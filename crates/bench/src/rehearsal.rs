//! Rehearsal: publishes and receives one message before the load, so that a wrong URL or a server
//! of another protocol is reported at once. Creates channels if the server requires it. Uses
//! blocking sockets.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::answer::{self, Reading};
use crate::target::Target;

/// What the load needs to know about the server.
#[derive(Debug, Clone)]
pub(crate) struct Rehearsal {
    /// Its `Server` header.
    pub(crate) server: String,
    /// The server refuses polls of unknown channels: they must be created first.
    pub(crate) must_create: bool,
}

/// A poll that is answered within this time is not held.
const HELD: Duration = Duration::from_millis(300);
/// Any other answer must come within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Polls a channel, publishes to it, and receives the message.
///
/// # Errors
/// Says which request went wrong and how.
pub(crate) fn rehearse(target: &Target, channel: &str) -> Result<Rehearsal, String> {
    let publish = format!("{} {} of {}", "POST", target.publish, channel);
    let subscribe = format!("GET {} of {}", target.subscribe, channel);
    let mut publisher = Line::open(target.publish.address, &target.publish.host)
        .map_err(|error| format!("{}: {error}", target.publish))?;
    let mut must_create = false;
    let mut subscriber;
    loop {
        subscriber = Line::open(target.subscribe.address, &target.subscribe.host)
            .map_err(|error| format!("{}: {error}", target.subscribe))?;
        subscriber
            .send("GET", &target.subscribe.path(channel), "")
            .map_err(in_words(&subscribe))?;
        match subscriber.receive(HELD) {
            Err(error) if is_timeout(&error) => break,
            Err(error) => return Err(in_words(&subscribe)(error)),
            Ok(answer) if answer.status == 404 && !must_create => must_create = true,
            Ok(answer) => {
                return Err(format!(
                    "{subscribe}: answered {} at once, though no message was there yet; this \
                     does not look like long polling",
                    answer.status
                ));
            }
        }
        create(target, [channel.to_owned()].into_iter())?;
    }
    publisher
        .send("POST", &target.publish.path(channel), "rehearsal")
        .map_err(in_words(&publish))?;
    let answer = publisher.receive(PATIENCE).map_err(in_words(&publish))?;
    if !(200..=202).contains(&answer.status) {
        return Err(format!("{publish}: answered {}", answer.status));
    }
    let message = subscriber.receive(PATIENCE).map_err(in_words(&subscribe))?;
    if message.status != 200 || message.body != b"rehearsal" {
        return Err(format!("{subscribe}: answered {} to a publish", message.status));
    }
    if !message.has_cursor {
        return Err(format!("{subscribe}: a message without Last-Modified and Etag"));
    }
    Ok(Rehearsal { server: message.server, must_create })
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
    let mut line = Line::open(target.publish.address, &target.publish.host)
        .map_err(|error| format!("{}: {error}", target.publish))?;
    for channel in channels {
        line.send("PUT", &target.publish.path(&channel), "").map_err(in_words(&subject))?;
        let answer = line.receive(PATIENCE).map_err(in_words(&subject))?;
        if answer.status != 200 {
            return Err(format!("{subject}: answered {}", answer.status));
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
struct Line<'a> {
    stream: TcpStream,
    host: &'a str,
}

/// An answer that owns its bytes.
struct Copied {
    status: u16,
    body: Vec<u8>,
    server: String,
    has_cursor: bool,
}

impl<'a> Line<'a> {
    fn open(address: SocketAddr, host: &'a str) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host })
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> io::Result<()> {
        let length = match method {
            "GET" => String::new(),
            _ => format!("Content-Type: text/plain\r\nContent-Length: {}\r\n", body.len()),
        };
        let host = self.host;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n{body}");
        self.stream.write_all(request.as_bytes())
    }

    fn receive(&mut self, patience: Duration) -> io::Result<Copied> {
        self.stream.set_read_timeout(Some(patience))?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            match answer::read(&bytes) {
                Reading::Incomplete => {}
                Reading::Broken(why) => return Err(io::Error::other(why)),
                Reading::Whole(answer) => {
                    return Ok(Copied {
                        status: answer.status,
                        body: answer.body.to_vec(),
                        server: String::from_utf8_lossy(answer.server).into_owned(),
                        has_cursor: !answer.cursor.is_partial(),
                    });
                }
            }
        }
    }
}
