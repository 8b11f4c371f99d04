//! Channel: one channel under load, with its prebuilt requests, the newest answer already read, and
//! the messages that not all subscribers have received. Never touches a socket.

use std::collections::VecDeque;

use crate::answer::{self, Cursor, Reading};
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
    /// Messages that some subscriber has not received, oldest first, with consecutive numbers.
    rounds: VecDeque<Round>,
    publish_head: Box<[u8]>,
    poll_head: Box<[u8]>,
    /// The poll of a subscriber whose cursor is `request_cursor`.
    request: Vec<u8>,
    request_cursor: Cursor,
    /// The newest answer with a message, and what was read in it. Nearly all subscribers of a
    /// channel get the same bytes: one comparison replaces parsing them.
    seen: Vec<u8>,
    seen_message: Message,
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

/// A message in an answer to a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) stamp: Stamp,
    pub(crate) cursor: Cursor,
    /// The server will close the connection.
    pub(crate) close: bool,
}

/// An answer to a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// The answer is not whole yet.
    Incomplete,
    Message(Message),
    /// The hold timed out (304, and 408 of nginx's push module): poll again.
    Timeout {
        close: bool,
    },
    /// Any other status.
    Refused {
        status: u16,
    },
    /// The answer cannot be read, or its message is of another run or not as published.
    Damaged(&'static str),
}

impl Channel {
    /// A channel with this name, whose messages have bodies of `size` bytes.
    pub(crate) fn new(target: &Target, name: &str, lane: usize, size: usize) -> Self {
        let publish_head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n",
            target.publish.path(name),
            target.publish.host
        );
        let poll_head = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\n",
            target.subscribe.path(name),
            target.subscribe.host
        );
        let request = format!("{poll_head}\r\n").into_bytes();
        let stamp = Stamp::default();
        Self {
            lane,
            sequence: 0,
            subscribers: 0,
            gate: Vec::new(),
            rounds: VecDeque::new(),
            publish_head: publish_head.into_bytes().into(),
            poll_head: poll_head.into_bytes().into(),
            request,
            request_cursor: Cursor::NONE,
            seen: Vec::new(),
            seen_message: Message { stamp, cursor: Cursor::NONE, close: false },
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

    /// Appends the request that publishes a message.
    pub(crate) fn write_publish(&self, request: &mut Vec<u8>, stamp: Stamp, size: usize) {
        request.extend_from_slice(&self.publish_head);
        stamp.write(request, size);
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

    /// The poll for the message after `cursor`.
    pub(crate) fn poll_request(&mut self, cursor: &Cursor) -> &[u8] {
        if self.request_cursor != *cursor {
            self.request.clear();
            self.request.extend_from_slice(&self.poll_head);
            cursor.write(&mut self.request);
            self.request.extend_from_slice(b"\r\n");
            self.request_cursor = *cursor;
        }
        &self.request
    }

    /// Reads the answer to a poll; `run`, `index` and `size` are what its message must carry.
    pub(crate) fn read(&mut self, bytes: &[u8], run: u32, index: u32, size: usize) -> Polled {
        if bytes == self.seen {
            return Polled::Message(self.seen_message);
        }
        let answer = match answer::read(bytes) {
            Reading::Incomplete => return Polled::Incomplete,
            Reading::Broken(why) => return Polled::Damaged(why),
            Reading::Whole(answer) => answer,
        };
        if answer.length < bytes.len() {
            return Polled::Damaged("bytes after the answer");
        }
        let close = answer.close;
        match answer.status {
            200 => {}
            304 | 408 => return Polled::Timeout { close },
            status => return Polled::Refused { status },
        }
        let Some(stamp) = Stamp::read(answer.body, size) else {
            return Polled::Damaged("a body that was not published");
        };
        if (stamp.run, stamp.channel) != (run, index) {
            return Polled::Damaged("a message of another run or channel");
        }
        if answer.cursor.is_partial() {
            return Polled::Damaged("a message without Last-Modified or Etag");
        }
        self.seen.clear();
        self.seen.extend_from_slice(bytes);
        self.seen_message = Message { stamp, cursor: answer.cursor, close };
        Polled::Message(self.seen_message)
    }

    fn round(&mut self, sequence: u64) -> Option<&mut Round> {
        let age = usize::try_from(self.sequence.checked_sub(sequence)?).ok()?;
        let index = self.rounds.len().checked_sub(age + 1)?;
        self.rounds.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::{Channel, Finished, Polled};
    use crate::answer::Cursor;
    use crate::stamp::Stamp;
    use crate::target::{Target, Template};

    const SIZE: usize = 80;

    fn channel(subscribers: u32) -> Channel {
        let template = Template::parse("http://127.0.0.1:1/x/{channel}", false).unwrap();
        let (publish, subscribe) = (template.clone(), template);
        let target = Target { label: String::new(), publish, subscribe, pid: None };
        let mut channel = Channel::new(&target, "c", 0, SIZE);
        channel.subscribers = subscribers;
        channel
    }

    fn answer(stamp: Stamp, tag: u32) -> Vec<u8> {
        let mut bytes = format!(
            "HTTP/1.1 200 OK\r\nLast-Modified: then\r\nEtag: {tag}\r\nContent-Length: {SIZE}\r\n\r\n"
        )
        .into_bytes();
        stamp.write(&mut bytes, SIZE);
        bytes
    }

    #[test]
    fn a_round_ends_with_its_last_subscriber() {
        let mut channel = channel(2);
        let sequence = channel.publish();
        channel.sent(sequence, 10);
        assert_eq!(channel.delivered(sequence, 12), None);
        let finished = Finished { sent_ns: 10, first_ns: 12, last_ns: 15 };
        assert_eq!(channel.delivered(sequence, 15), Some(finished));
        assert_eq!(channel.delivered(sequence, 16), None);
    }

    #[test]
    fn rounds_under_way_at_once_are_told_apart() {
        let mut channel = channel(1);
        let (first, second) = (channel.publish(), channel.publish());
        channel.sent(first, 1);
        channel.sent(second, 2);
        assert_eq!(channel.delivered(second, 5).map(|round| round.sent_ns), Some(2));
        assert_eq!(channel.delivered(first, 6).map(|round| round.sent_ns), Some(1));
    }

    #[test]
    fn the_poll_after_a_message_carries_its_validators() {
        let mut channel = channel(1);
        let first = b"GET /x/c HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n";
        assert_eq!(channel.poll_request(&Cursor::NONE), first);
        let stamp = Stamp { run: 1, channel: 0, sequence: 1, sent_ns: 1 };
        let Polled::Message(message) = channel.read(&answer(stamp, 7), 1, 0, SIZE) else {
            panic!("no message");
        };
        assert_eq!(
            channel.poll_request(&message.cursor),
            b"GET /x/c HTTP/1.1\r\nHost: 127.0.0.1:1\r\nIf-Modified-Since: then\r\nIf-None-Match: 7\r\n\r\n"
        );
    }

    #[test]
    fn the_same_bytes_again_are_the_same_message() {
        let mut channel = channel(1);
        let stamp = Stamp { run: 1, channel: 0, sequence: 1, sent_ns: 1 };
        let bytes = answer(stamp, 0);
        let read = channel.read(&bytes, 1, 0, SIZE);
        assert_eq!(channel.read(&bytes, 1, 0, SIZE), read);
    }

    #[test]
    fn a_message_of_another_run_or_channel_is_damage() {
        let mut channel = channel(1);
        for (run, index) in [(1, 1), (2, 0)] {
            let stamp = Stamp { run, channel: index, sequence: 1, sent_ns: 1 };
            let read = channel.read(&answer(stamp, 0), 1, 0, SIZE);
            assert_eq!(read, Polled::Damaged("a message of another run or channel"));
        }
    }
}
