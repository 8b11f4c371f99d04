//! Stream: an event stream or a WebSocket of the daemon, as its client reads it.

use crate::client::{Client, request};
use crate::transcripts::part::{Frame, Part, Talk, masked};

/// What a browser says to open a WebSocket.
const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// See the file.
#[derive(Debug)]
pub struct Stream {
    /// Its connection.
    pub client: Client,
    talk: Talk,
}

/// A message, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id, with what is told behind the cursor.
    pub id: String,
    /// Without the line end behind it.
    pub body: Vec<u8>,
}

impl Stream {
    /// An event stream; the comment that begins it is read.
    #[track_caller]
    pub fn events(client: Client, path: &str) -> Self {
        let mut stream = Self::begin(client, path, "Accept: text/event-stream\r\n");
        assert_eq!(stream.talk, Talk::Events);
        let Part::Block(block) = stream.part() else { panic!("an event stream") };
        assert!(block.starts_with(b": ping "), "{}", block.escape_ascii());
        stream
    }

    /// A WebSocket.
    #[track_caller]
    pub fn socket(client: Client, path: &str) -> Self {
        let stream = Self::begin(client, path, HANDSHAKE);
        assert_eq!(stream.talk, Talk::Frames);
        stream
    }

    /// A WebSocket whose messages have ids.
    #[track_caller]
    pub fn socket_with_ids(client: Client, path: &str) -> Self {
        let lines = format!("{HANDSHAKE}Sec-WebSocket-Protocol: ws+meta.nchan\r\n");
        let stream = Self::begin(client, path, &lines);
        assert_eq!(stream.talk, Talk::Frames);
        stream
    }

    #[track_caller]
    fn begin(mut client: Client, path: &str, lines: &str) -> Self {
        client.send(request(&format!("GET {path}"), lines));
        let mut stream = Self { client, talk: Talk::Http };
        let part = stream.part();
        stream.talk = Talk::Http.behind(&part);
        let Part::Answer(answer) = part else { panic!("a head") };
        assert!(matches!(answer.status, 101 | 200), "{}{:?}", answer.head, answer.body);
        stream
    }

    /// What it is sent next.
    #[track_caller]
    pub fn part(&mut self) -> Part {
        loop {
            if let Some(part) = self.talk.take(&mut self.client.inbox, false) {
                return part;
            }
            assert!(self.client.fill(), "more, not the end of the stream");
        }
    }

    /// The next frame.
    #[track_caller]
    pub fn frame(&mut self) -> Frame {
        let Part::Frame(frame) = self.part() else { panic!("a WebSocket") };
        frame
    }

    /// The next message, of a stream with ids; comments and Pings are passed over.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        loop {
            match self.part() {
                Part::Block(block) if block.starts_with(b":") => {}
                Part::Block(block) => return of_event(&block),
                Part::Frame(frame) if frame.kind == "ping" => {}
                Part::Frame(frame) => return of_frame(&frame),
                Part::Answer(_) => panic!("a message"),
            }
        }
    }

    /// Sends a frame; `first`: its first byte.
    pub fn send(&mut self, first: u8, payload: &[u8]) -> &mut Self {
        self.client.send(masked(first, payload));
        self
    }

    /// Whether the stream ends now, with nothing before that.
    #[track_caller]
    pub fn ends(&mut self) -> bool {
        self.client.ends()
    }
}

impl Message {
    /// The number that is its text, or its text's first word.
    #[track_caller]
    pub fn number(&self) -> u64 {
        let text = String::from_utf8_lossy(&self.body);
        text.split(' ').next().unwrap().parse().expect("a number")
    }

    /// How many messages it says were missed just before it.
    #[track_caller]
    pub fn gap(&self) -> u64 {
        let gap = self.id.split(';').find_map(|part| part.strip_prefix("gap="));
        gap.map_or(0, |gap| gap.parse().expect("a number"))
    }
}

#[track_caller]
fn of_event(block: &[u8]) -> Message {
    let text = std::str::from_utf8(block).expect("UTF-8");
    let field = |name: &'static str| text.lines().filter_map(move |line| line.strip_prefix(name));
    let id = field("id: ").next().unwrap_or_else(|| panic!("no id: {text}")).to_owned();
    Message { id, body: field("data: ").collect::<Vec<_>>().join("\n").into_bytes() }
}

#[track_caller]
fn of_frame(frame: &Frame) -> Message {
    let at = frame.payload.windows(2).position(|two| two == b"\n\n").expect("a blank line");
    let head = std::str::from_utf8(&frame.payload[..at]).expect("UTF-8");
    let id = head.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned();
    Message { id, body: frame.payload[at + 2..].to_vec() }
}
