//! Publisher: a connection that publishes one message at a time, with a queue of the others.

use std::collections::VecDeque;
use std::io;

use crate::answer::{self, Reading};
use crate::wire::Wire;

/// A keep-alive connection that publishes.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) wire: Wire,
    /// Messages to send after the answer to the one under way, oldest first.
    pub(crate) queue: VecDeque<Job>,
    /// The message under way.
    under_way: Option<Job>,
    /// Reused for every request.
    pub(crate) request: Vec<u8>,
}

/// A message to publish.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    pub(crate) channel: usize,
    pub(crate) sequence: u64,
    /// When it was due, or was sent; `None`: not sent yet, and without a due time.
    pub(crate) sent_ns: Option<u64>,
}

/// The answer to a publish.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answered {
    /// The answer is not whole yet.
    Incomplete,
    /// The answer to this message.
    Status {
        job: Job,
        status: u16,
        close: bool,
    },
    Damaged(&'static str),
}

impl Publisher {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire, queue: VecDeque::new(), under_way: None, request: Vec::new() }
    }

    /// The next message to send, if the connection is free for it.
    pub(crate) fn next(&mut self) -> Option<Job> {
        if self.under_way.is_some() || !self.wire.is_connected() {
            return None;
        }
        self.queue.pop_front()
    }

    /// Sends `self.request`, which carries this message.
    ///
    /// # Errors
    /// The connection is lost.
    pub(crate) fn send(&mut self, job: Job) -> io::Result<()> {
        self.under_way = Some(job);
        self.wire.send(&self.request)
    }

    /// Reads `fresh` bytes from the connection.
    pub(crate) fn read(&mut self, fresh: &[u8]) -> Answered {
        self.wire.join(fresh);
        let answered = match (answer::read(self.wire.unread(fresh, 0)), self.under_way) {
            (Reading::Incomplete, _) => Answered::Incomplete,
            (Reading::Broken(why), _) => Answered::Damaged(why),
            (Reading::Whole(_), None) => Answered::Damaged("an answer that was not asked for"),
            (Reading::Whole(answer), Some(job)) => {
                Answered::Status { job, status: answer.status, close: answer.close }
            }
        };
        match answered {
            Answered::Incomplete => self.wire.keep(fresh, 0),
            Answered::Damaged(_) => {}
            Answered::Status { .. } => {
                self.wire.finish();
                self.under_way = None;
            }
        }
        answered
    }

    /// Whether a message has no answer yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.under_way.is_some()
    }

    /// Continues on another connection; returns the message under way, which gets no answer.
    pub(crate) fn replace(&mut self, wire: Wire) -> Option<Job> {
        self.wire = wire;
        self.under_way.take()
    }
}
