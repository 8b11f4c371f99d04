//! Channel: one channel under load, with its prebuilt requests, and the messages that not all
//! subscribers have received. Never touches a socket.

use std::collections::VecDeque;

use crate::answer::Cursor;
use crate::reader::{Expected, Reader};
use crate::stamp::Stamp;
use crate::target::Target;

/// A channel, as the load generator sees it.
#[derive(Debug)]
pub(crate) struct Channel {
    /// The lane that publishes to it.
    pub(crate) lane: usize,
    /// The number of the newest message handed to a publisher; 0 before the first.
    pub(crate) sequence: u64,
    /// How many subscribers it has.
    pub(crate) subscribers: u32,
    /// Subscribers that delay their next poll until all have this message.
    pub(crate) gate: Vec<u32>,
    /// Reads what its subscribers receive.
    pub(crate) reader: Reader,
    /// Messages that some subscriber has not received, oldest first, with consecutive numbers.
    rounds: VecDeque<Round>,
    publish_head: Box<[u8]>,
    subscribe_head: Box<[u8]>,
    /// The request of a subscriber whose cursor is `request_cursor`.
    request: Vec<u8>,
    request_cursor: Cursor,
}

/// A message that some subscriber has not received.
#[derive(Debug)]
struct Round {
    sent_ns: u64,
    first_ns: Option<u64>,
    /// How many subscribers have not received it.
    missing: u32,
}

/// A message that all subscribers of its channel have received; times in nanoseconds of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) sent_ns: u64,
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
}

impl Channel {
    /// The channel with this name, of this lane.
    pub(crate) fn new(target: &Target, name: &str, lane: usize, expected: Expected) -> Self {
        let Expected { transport, size, .. } = expected;
        let publish_head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n",
            target.publish.path(name),
            target.publish.host
        );
        let subscribe_head = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\n{}",
            target.subscribe.path(name),
            target.subscribe.host,
            transport.headers()
        );
        let request = format!("{subscribe_head}\r\n").into_bytes();
        Self {
            lane,
            sequence: 0,
            subscribers: 0,
            gate: Vec::new(),
            reader: Reader::new(expected),
            rounds: VecDeque::new(),
            publish_head: publish_head.into_bytes().into(),
            subscribe_head: subscribe_head.into_bytes().into(),
            request,
            request_cursor: Cursor::NONE,
        }
    }

    /// Begins the next message; returns its sequence number. [`Channel::sent`] sets its time.
    pub(crate) fn publish(&mut self) -> u64 {
        self.sequence += 1;
        if self.subscribers > 0 {
            let missing = self.subscribers;
            self.rounds.push_back(Round { sent_ns: 0, first_ns: None, missing });
        }
        self.sequence
    }

    /// Appends the request that publishes the message with this number.
    pub(crate) fn write_publish(&self, request: &mut Vec<u8>, sequence: u64, sent_ns: u64) {
        let Expected { run, channel, size, .. } = *self.reader.expected();
        request.extend_from_slice(&self.publish_head);
        Stamp { run, channel, sequence, sent_ns }.write(request, size);
    }

    /// Sets the time from which the message with this number is timed.
    pub(crate) fn sent(&mut self, sequence: u64, sent_ns: u64) {
        if let Some(round) = self.round(sequence) {
            round.sent_ns = sent_ns;
        }
    }

    /// Notes that one more subscriber has the message with this number. `Some` if it was the last
    /// one. The record of a message is dropped only after those of all older messages.
    pub(crate) fn delivered(&mut self, sequence: u64, now_ns: u64) -> Option<Finished> {
        let round = self.round(sequence)?;
        let first_ns = *round.first_ns.get_or_insert(now_ns);
        round.missing = round.missing.saturating_sub(1);
        let sent_ns = round.sent_ns;
        if round.missing > 0 {
            return None;
        }
        while self.rounds.front().is_some_and(|round| round.missing == 0) {
            self.rounds.pop_front();
        }
        Some(Finished { sent_ns, first_ns, last_ns: now_ns })
    }

    /// The request for what comes after `cursor`: a message, or a stream.
    pub(crate) fn subscribe_request(&mut self, cursor: &Cursor) -> &[u8] {
        if self.request_cursor != *cursor {
            self.request.clear();
            self.request.extend_from_slice(&self.subscribe_head);
            cursor.write(&mut self.request);
            self.request.extend_from_slice(b"\r\n");
            self.request_cursor = *cursor;
        }
        &self.request
    }

    fn round(&mut self, sequence: u64) -> Option<&mut Round> {
        let age = usize::try_from(self.sequence.checked_sub(sequence)?).ok()?;
        let index = self.rounds.len().checked_sub(age + 1)?;
        self.rounds.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::{Channel, Finished};
    use crate::answer::Cursor;
    use crate::reader::{Expected, Received};
    use crate::target::{Target, Template};
    use crate::transport::Transport;

    const SIZE: usize = 80;

    fn channel(subscribers: u32, transport: Transport) -> Channel {
        let template = Template::parse("http://127.0.0.1:1/x/{channel}", false).unwrap();
        let (publish, subscribe) = (template.clone(), template);
        let target = Target { label: String::new(), publish, subscribe, pid: None };
        let expected = Expected { transport, run: 1, channel: 0, size: SIZE };
        let mut channel = Channel::new(&target, "c", 0, expected);
        channel.subscribers = subscribers;
        channel
    }

    #[test]
    fn a_round_ends_with_its_last_subscriber() {
        let mut channel = channel(2, Transport::Poll);
        let sequence = channel.publish();
        channel.sent(sequence, 10);
        assert_eq!(channel.delivered(sequence, 12), None);
        let finished = Finished { sent_ns: 10, first_ns: 12, last_ns: 15 };
        assert_eq!(channel.delivered(sequence, 15), Some(finished));
        assert_eq!(channel.delivered(sequence, 16), None);
    }

    #[test]
    fn rounds_under_way_at_once_are_told_apart() {
        let mut channel = channel(1, Transport::Poll);
        let (first, second) = (channel.publish(), channel.publish());
        channel.sent(first, 1);
        channel.sent(second, 2);
        assert_eq!(channel.delivered(second, 5).map(|round| round.sent_ns), Some(2));
        assert_eq!(channel.delivered(first, 6).map(|round| round.sent_ns), Some(1));
    }

    #[test]
    fn the_poll_after_a_message_carries_its_validators() {
        let mut channel = channel(1, Transport::Poll);
        let first = b"GET /x/c HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n";
        assert_eq!(channel.subscribe_request(&Cursor::NONE), first);
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nLast-Modified: then\r\nEtag: 7\r\nContent-Length: {SIZE}\r\n\r\n"
        )
        .into_bytes();
        let mut publish = Vec::new();
        channel.write_publish(&mut publish, 1, 1);
        answer.extend_from_slice(&publish[publish.len() - SIZE..]);
        let (Received::Message(message), _) = channel.reader.read(&answer) else {
            panic!("no message");
        };
        assert_eq!(
            channel.subscribe_request(&message.cursor),
            b"GET /x/c HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\
              If-Modified-Since: then\r\nIf-None-Match: 7\r\n\r\n"
        );
    }

    #[test]
    fn a_stream_is_asked_for_by_its_headers() {
        for (transport, header) in [
            (Transport::EventSource, "\r\nAccept: text/event-stream\r\n"),
            (Transport::WebSocket, "\r\nUpgrade: websocket\r\n"),
        ] {
            let mut channel = channel(1, transport);
            let request = String::from_utf8(channel.subscribe_request(&Cursor::NONE).to_vec());
            let request = request.unwrap();
            assert!(request.contains(header) && request.ends_with("\r\n\r\n"), "{request}");
        }
    }
}
