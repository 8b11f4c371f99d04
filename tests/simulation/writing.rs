//! Writing: what is on its way to the disk of a durable store: what waits, what is being written,
//! and what has come back. Knows no channels.

use std::collections::VecDeque;

use pushserver::message::MessageId;
use pushserver::store::{MessageRecord, Outcome};

use crate::asks::Question;
use crate::request::Ask;

/// What a durable store makes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is no such channel, and none is made.
    Missing,
    TooManyChannels,
    /// It is written, and then done. A message has this id and this place.
    Agreed(MessageId, MessageId),
    /// The disk has refused it.
    NotWritten,
}

/// A question with the client that asked.
type Asked = (u64, Question);

/// See the file.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    /// In no batch yet.
    asked: Vec<Asked>,
    /// The next batch is of these.
    agreed: Vec<Asked>,
    /// The batch that is being written.
    batch: Option<Vec<Asked>>,
    /// To be answered: what is not to be written, and what has come back.
    done: VecDeque<Asked>,
}

impl Writing {
    pub(crate) fn ask(&mut self, client: u64, question: Question) {
        self.asked.push((client, question));
    }

    /// What waits, if nothing is being written.
    pub(crate) fn take_asked(&mut self) -> Vec<Asked> {
        if self.batch.is_some() { Vec::new() } else { std::mem::take(&mut self.asked) }
    }

    /// The store has made this of a question.
    pub(crate) fn decide(&mut self, (client, mut question): Asked, verdict: Verdict) {
        question.verdict = Some(verdict);
        match verdict {
            Verdict::Agreed(..) => self.agreed.push((client, question)),
            _ => self.done.push_back((client, question)),
        }
    }

    /// Whether there is something to be written.
    pub(crate) fn has_agreed(&self) -> bool {
        !self.agreed.is_empty()
    }

    /// A batch is given out, with these messages; gives how many clients wait for it.
    pub(crate) fn taken(&mut self, messages: &[MessageRecord]) -> usize {
        assert!(self.batch.is_none(), "a batch is being written");
        let mut messages = messages.iter();
        for (_, question) in &self.agreed {
            let Ask::Publish { body, content_type, event, .. } = &question.request.ask else {
                continue;
            };
            if !question.keeps() {
                continue;
            }
            let record = messages.next().expect("a message is not written down");
            assert_eq!(question.verdict, Some(Verdict::Agreed(record.id(), record.place)));
            let content = record.content.borrowed();
            assert_eq!(content.body, body);
            assert_eq!(content.content_type, content_type.map(str::as_bytes));
            assert_eq!(content.event, event.map(str::as_bytes));
        }
        assert_eq!(messages.next(), None, "nobody has published it");
        self.batch.insert(std::mem::take(&mut self.agreed)).len()
    }

    /// The batch has come back.
    pub(crate) fn written(&mut self, outcome: Outcome) {
        for (client, mut question) in self.batch.take().expect("a batch is being written") {
            if outcome == Outcome::Refused {
                question.verdict = Some(Verdict::NotWritten);
            }
            self.done.push_back((client, question));
        }
    }

    /// What is answered next.
    pub(crate) fn next_done(&mut self) -> Option<Asked> {
        self.done.pop_front()
    }

    /// Whether a batch is being written.
    pub(crate) fn is_writing(&self) -> bool {
        self.batch.is_some()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.batch.is_none() && self.done.is_empty()
    }

    /// Holds behind every turn: what is asked in one is given out in the same or the next.
    pub(crate) fn check(&self) {
        assert!(!self.has_agreed(), "no batch is given out: {:?}", self.agreed);
    }
}
