//! Reader: what the subscribers of one channel receive, by any transport; checks that each message
//! is as it was published. Never touches a socket.

use crate::answer::{self, Cursor, Head, Reading};
use crate::event;
use crate::frame::{self, ACCEPT, Kind};
use crate::stamp::Stamp;
use crate::transport::Transport;

/// What a channel's subscribers must receive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) transport: Transport,
    /// Identifies this run's messages.
    pub(crate) run: u32,
    /// The channel's index.
    pub(crate) channel: u32,
    /// Bytes of a message.
    pub(crate) size: usize,
}

/// A message that a subscriber received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) stamp: Stamp,
    /// The cursor for the next poll; none in a stream.
    pub(crate) cursor: Cursor,
    /// The server will close the connection.
    pub(crate) close: bool,
}

/// What a subscriber received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// It is not whole yet.
    Incomplete,
    /// The head of a stream: messages follow.
    Opened,
    Message(Message),
    /// A part of a stream that is for no script: a comment, a Pong.
    Nothing,
    /// A Ping; [`Reader::pong`] answers it.
    Ping,
    /// The hold of a poll timed out (304, and 408 of nginx's push module): poll again.
    Timeout {
        close: bool,
    },
    /// Any other status.
    Refused {
        status: u16,
    },
    /// It cannot be read, or the message is of another run or not as published.
    Damaged(&'static str),
}

impl Received {
    /// Whether the server closes the connection after it.
    pub(crate) fn closes(&self) -> bool {
        match self {
            Self::Message(message) => message.close,
            Self::Timeout { close } => *close,
            _ => false,
        }
    }
}

/// Reads what the subscribers of one channel receive.
#[derive(Debug)]
pub(crate) struct Reader {
    expected: Expected,
    /// The newest message as it came, and what was read in it. Nearly all subscribers of a channel
    /// get the same bytes: one comparison replaces parsing them.
    seen: Vec<u8>,
    seen_message: Message,
    /// The data of an event, put together from its lines.
    data: Vec<u8>,
    pong: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(expected: Expected) -> Self {
        let seen_message = Message { stamp: Stamp::default(), cursor: Cursor::NONE, close: false };
        Self { expected, seen: Vec::new(), seen_message, data: Vec::new(), pong: Vec::new() }
    }

    /// What the subscribers must receive.
    pub(crate) fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The masked frame that answers the Ping read last.
    pub(crate) fn pong(&self) -> &[u8] {
        &self.pong
    }

    /// Reads the head that opens a stream: what it is, and how many bytes it has.
    pub(crate) fn open(&mut self, bytes: &[u8]) -> (Received, usize) {
        let Head { status, content_type, accept, length, .. } = match answer::read_head(bytes) {
            Reading::Incomplete => return (Received::Incomplete, 0),
            Reading::Broken(why) => return (Received::Damaged(why), 0),
            Reading::Whole(head) => head,
        };
        let received = match (self.expected.transport, status) {
            (Transport::EventSource, 200) => {
                let wanted = b"text/event-stream";
                match content_type.get(..wanted.len()) {
                    Some(given) if given.eq_ignore_ascii_case(wanted) => Received::Opened,
                    _ => Received::Damaged("an answer that is no event stream"),
                }
            }
            (Transport::WebSocket, 101) if accept == ACCEPT => Received::Opened,
            (Transport::WebSocket, 101) => Received::Damaged("a wrong Sec-WebSocket-Accept"),
            _ => Received::Refused { status },
        };
        (received, length)
    }

    /// Reads what comes next, after the head of a stream: what it is, and how many bytes it has.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> (Received, usize) {
        if bytes.is_empty() {
            return (Received::Incomplete, 0);
        }
        // Both ends of a message in a stream are in its bytes; an answer is all that has come.
        let is_seen = match self.expected.transport {
            Transport::Poll => bytes == self.seen,
            _ => !self.seen.is_empty() && bytes.starts_with(&self.seen),
        };
        if is_seen {
            return (Received::Message(self.seen_message), self.seen.len());
        }
        match self.expected.transport {
            Transport::Poll => self.read_answer(bytes),
            Transport::EventSource => self.read_event(bytes),
            Transport::WebSocket => self.read_frame(bytes),
        }
    }

    fn read_answer(&mut self, bytes: &[u8]) -> (Received, usize) {
        let answer = match answer::read(bytes) {
            Reading::Incomplete => return (Received::Incomplete, 0),
            Reading::Broken(why) => return (Received::Damaged(why), 0),
            Reading::Whole(answer) => answer,
        };
        let (close, length) = (answer.close, answer.length);
        let received = match answer.status {
            _ if length < bytes.len() => Received::Damaged("bytes after the answer"),
            304 | 408 => Received::Timeout { close },
            200 => match self.expected.check(answer.body) {
                Ok(_) if answer.cursor.is_partial() => {
                    Received::Damaged("a message without Last-Modified or Etag")
                }
                Ok(stamp) => self.see(bytes, Message { stamp, cursor: answer.cursor, close }),
                Err(why) => Received::Damaged(why),
            },
            status => Received::Refused { status },
        };
        (received, length)
    }

    fn read_event(&mut self, bytes: &[u8]) -> (Received, usize) {
        let event = match event::read(bytes, &mut self.data) {
            Reading::Incomplete => return (Received::Incomplete, 0),
            Reading::Broken(why) => return (Received::Damaged(why), 0),
            Reading::Whole(event) => event,
        };
        let received = match self.expected.check(&self.data) {
            _ if !event.has_data => Received::Nothing,
            _ if event.name == b"push:end" => Received::Damaged("the server ended the stream"),
            Ok(_) if !event.name.is_empty() => Received::Damaged("a message with an event's name"),
            // Of nginx's push module, its pings.
            Err(_) if !event.name.is_empty() => Received::Nothing,
            Ok(_) if event.id.is_empty() => Received::Damaged("an event without id"),
            Ok(stamp) => {
                let message = Message { stamp, cursor: Cursor::NONE, close: false };
                self.see(&bytes[..event.length], message)
            }
            Err(why) => Received::Damaged(why),
        };
        (received, event.length)
    }

    fn read_frame(&mut self, bytes: &[u8]) -> (Received, usize) {
        let frame = match frame::read(bytes) {
            Reading::Incomplete => return (Received::Incomplete, 0),
            Reading::Broken(why) => return (Received::Damaged(why), 0),
            Reading::Whole(frame) => frame,
        };
        let received = match frame.kind {
            Kind::Text => match self.expected.check(frame.payload) {
                Ok(stamp) => {
                    let message = Message { stamp, cursor: Cursor::NONE, close: false };
                    self.see(&bytes[..frame.length], message)
                }
                Err(why) => Received::Damaged(why),
            },
            Kind::Binary => Received::Damaged("a text that came in a binary frame"),
            Kind::Close => Received::Damaged("the server ended the WebSocket"),
            Kind::Pong => Received::Nothing,
            Kind::Ping => {
                frame::write_pong(&mut self.pong, frame.payload);
                Received::Ping
            }
        };
        (received, frame.length)
    }

    /// Remembers a message and the bytes that it came in.
    fn see(&mut self, bytes: &[u8], message: Message) -> Received {
        self.seen.clear();
        self.seen.extend_from_slice(bytes);
        self.seen_message = message;
        Received::Message(message)
    }
}

impl Expected {
    /// The stamp of a message's body.
    ///
    /// # Errors
    /// Says why it is none of this channel's messages.
    fn check(&self, body: &[u8]) -> Result<Stamp, &'static str> {
        let stamp = Stamp::read(body, self.size).ok_or("a body that was not published")?;
        let is_ours = (stamp.run, stamp.channel) == (self.run, self.channel);
        is_ours.then_some(stamp).ok_or("a message of another run or channel")
    }
}

#[cfg(test)]
mod tests {
    use super::{Expected, Message, Reader, Received};
    use crate::answer::Cursor;
    use crate::stamp::Stamp;
    use crate::transport::Transport;

    const SIZE: usize = 120;
    const STAMP: Stamp = Stamp { run: 1, channel: 0, sequence: 1, sent_ns: 1 };
    const MESSAGE: Received =
        Received::Message(Message { stamp: STAMP, cursor: Cursor::NONE, close: false });

    fn reader(transport: Transport) -> Reader {
        Reader::new(Expected { transport, run: 1, channel: 0, size: SIZE })
    }

    fn body(stamp: Stamp) -> Vec<u8> {
        let mut body = Vec::new();
        stamp.write(&mut body, SIZE);
        body
    }

    fn answer(stamp: Stamp) -> Vec<u8> {
        let head = format!(
            "HTTP/1.1 200 OK\r\nLast-Modified: then\r\nEtag: 0\r\nContent-Length: {SIZE}\r\n\r\n"
        );
        [head.into_bytes(), body(stamp)].concat()
    }

    fn event(stamp: Stamp) -> Vec<u8> {
        let text = String::from_utf8(body(stamp)).unwrap();
        let lines: String = text.split('\n').map(|line| format!("data: {line}\n")).collect();
        format!("id: 1:{}\n{lines}\n", stamp.sequence).into_bytes()
    }

    fn frame(stamp: Stamp) -> Vec<u8> {
        [vec![0x81, SIZE as u8], body(stamp)].concat()
    }

    /// A message as its bytes.
    fn write(transport: Transport, stamp: Stamp) -> Vec<u8> {
        match transport {
            Transport::Poll => answer(stamp),
            Transport::EventSource => event(stamp),
            Transport::WebSocket => frame(stamp),
        }
    }

    #[test]
    fn the_same_bytes_again_are_the_same_message() {
        for transport in Transport::ALL {
            let (mut reader, bytes) = (reader(transport), write(transport, STAMP));
            let (read, length) = reader.read(&bytes);
            let Received::Message(message) = read else { panic!("{transport:?}: {read:?}") };
            assert_eq!((message.stamp, length), (STAMP, bytes.len()), "{transport:?}");
            assert_eq!(reader.read(&bytes), (read, length), "{transport:?}");
        }
    }

    #[test]
    fn every_shorter_part_of_a_message_is_incomplete() {
        for transport in Transport::ALL {
            let bytes = write(transport, STAMP);
            for end in 0..bytes.len() {
                let read = reader(transport).read(&bytes[..end]);
                assert_eq!(read, (Received::Incomplete, 0), "{transport:?}: {end} bytes");
            }
        }
    }

    #[test]
    fn messages_of_a_stream_are_read_one_after_the_other() {
        let second = Stamp { sequence: 2, ..STAMP };
        for transport in [Transport::EventSource, Transport::WebSocket] {
            let bytes =
                [write(transport, STAMP), write(transport, STAMP), write(transport, second)]
                    .concat();
            let (mut reader, mut at, mut sequences) = (reader(transport), 0, Vec::new());
            while let (Received::Message(message), length) = reader.read(&bytes[at..]) {
                sequences.push(message.stamp.sequence);
                at += length;
            }
            assert_eq!((sequences, at), (vec![1, 1, 2], bytes.len()), "{transport:?}");
        }
    }

    #[test]
    fn a_message_of_another_run_or_channel_is_damage() {
        for transport in Transport::ALL {
            for stamp in [Stamp { channel: 1, ..STAMP }, Stamp { run: 2, ..STAMP }] {
                let (read, _) = reader(transport).read(&write(transport, stamp));
                assert_eq!(read, Received::Damaged("a message of another run or channel"));
            }
        }
    }

    #[test]
    fn a_message_with_another_byte_is_damage() {
        for transport in Transport::ALL {
            let mut bytes = write(transport, STAMP);
            let place = bytes.windows(3).rposition(|three| three == b"xyz").unwrap();
            bytes[place] = b'.';
            let (read, _) = reader(transport).read(&bytes);
            assert_eq!(read, Received::Damaged("a body that was not published"), "{transport:?}");
        }
    }

    #[test]
    fn a_stream_is_open_after_the_right_head() {
        use Received::{Damaged, Incomplete, Opened, Refused};
        let no_stream = Damaged("an answer that is no event stream");
        let wrong = Damaged("a wrong Sec-WebSocket-Accept");
        for (transport, head, opened) in [
            (Transport::EventSource, "200 OK\r\nContent-Type: Text/Event-Stream; a=b", Opened),
            (Transport::EventSource, "200 OK\r\nContent-Type: text/plain", no_stream),
            (Transport::EventSource, "404 Not Found", Refused { status: 404 }),
            (
                Transport::WebSocket,
                "101 S\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                Opened,
            ),
            (Transport::WebSocket, "101 S\r\nSec-WebSocket-Accept: x", wrong),
            (Transport::WebSocket, "200 OK", Refused { status: 200 }),
        ] {
            let head = format!("HTTP/1.1 {head}\r\n\r\n");
            let with_more = format!("{head}: hi\n\n");
            assert_eq!(reader(transport).open(with_more.as_bytes()), (opened, head.len()));
            let part = &head.as_bytes()[..head.len() - 1];
            assert_eq!(reader(transport).open(part), (Incomplete, 0));
        }
    }

    #[test]
    fn what_is_no_message_of_a_stream_is_told_apart() {
        for (transport, bytes, received) in [
            (Transport::EventSource, &b":\n\n"[..], Received::Nothing),
            (Transport::EventSource, b": ping 25\nretry: 2143\n\n", Received::Nothing),
            (Transport::EventSource, b"event: ping\ndata: \n\n", Received::Nothing),
            (
                Transport::EventSource,
                b"event: push:end\ndata: 410 Gone\n\n",
                Received::Damaged("the server ended the stream"),
            ),
            (Transport::WebSocket, b"\x89\x01x", Received::Ping),
            (Transport::WebSocket, b"\x8a\0", Received::Nothing),
            (
                Transport::WebSocket,
                b"\x88\x02\x03\xe9",
                Received::Damaged("the server ended the WebSocket"),
            ),
        ] {
            assert_eq!(reader(transport).read(bytes), (received, bytes.len()));
        }
    }

    #[test]
    fn a_ping_is_answered_with_its_bytes() {
        let mut reader = reader(Transport::WebSocket);
        assert_eq!(reader.read(b"\x89\x05Hello"), (Received::Ping, 7));
        assert_eq!(reader.pong(), b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        assert_eq!(reader.read(&frame(STAMP)), (MESSAGE, SIZE + 2));
    }
}
