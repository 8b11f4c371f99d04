//! Slow: a memory store that answers turns later, in the order asked, and loses questions and
//! answers, as one behind a network does. For tests: what becomes of each question is handed in.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use super::ask::{Answer, Ask, ChannelName, Reply, StoreId, Ticket};
use super::channels::Channels;
use super::memory::Memory;
use super::memory::asks::Asks;
use crate::clock::Now;
use crate::message::Cursor;

/// What becomes of one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// Turns until it is answered; at least 1. One asked before it is answered before it.
    pub turns: u64,
    /// What is lost.
    pub loss: Loss,
}

/// What is lost on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing.
    Nothing,
    /// The question: nothing is done.
    Question,
    /// The answer: what was asked is done, but its caller is not told.
    Answer,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Slow {
    memory: Memory,
    /// Of the questions in their order, over and over.
    fates: Vec<Fate>,
    asked: VecDeque<Asked>,
    /// Counts the questions, from 1.
    number: u64,
    turn: u64,
}

#[derive(Debug)]
struct Asked {
    ticket: Ticket,
    due: u64,
    loss: Loss,
    store: StoreId,
    name: Box<[u8]>,
    question: Question,
}

/// An [`Ask`] that owns its bytes.
#[derive(Debug)]
enum Question {
    Append { content_type: Option<Box<[u8]>>, body: Box<[u8]>, create: bool, keep: bool },
    Next { cursor: Cursor, create: bool, waits: bool },
    Create,
    Inspect,
    Delete,
}

impl Slow {
    pub(super) fn new(memory: Memory, fates: Vec<Fate>) -> Self {
        assert!(!fates.is_empty(), "a fate for every question");
        Self { memory, fates, asked: VecDeque::new(), number: 0, turn: 0 }
    }

    pub(super) fn ask<W>(&mut self, name: ChannelName<'_>, ask: Ask<'_>) -> Answer<W> {
        let place = self.number % self.fates.len() as u64;
        let Fate { turns, loss } = self.fates[usize::try_from(place).expect("an index")];
        self.number += 1;
        // Stores count on their own.
        let number = self.number << 16 | u64::from(name.store.0);
        let ticket = Ticket(NonZeroU64::new(number).expect("it counts from 1"));
        self.asked.push_back(Asked {
            ticket,
            due: self.turn + turns,
            loss,
            store: name.store,
            name: name.name.into(),
            question: Question::of(ask),
        });
        Answer::Later(ticket)
    }

    /// A turn begins.
    pub(super) fn begin_turn(&mut self) {
        self.turn += 1;
    }

    /// Does what was asked first, if its turn has come.
    pub(super) fn next_reply<W: Default>(
        &mut self,
        channels: &mut Channels<W>,
        now: Now,
    ) -> Option<(Option<Ticket>, Reply<W>)> {
        while self.asked.front().is_some_and(|asked| asked.due <= self.turn)
            && let Some(asked) = self.asked.pop_front()
        {
            let Asked { ticket, loss, store, name, question, .. } = asked;
            let ticket = match loss {
                Loss::Nothing => Some(ticket),
                Loss::Answer => None,
                Loss::Question => continue,
            };
            let name = ChannelName { store, name: &name };
            let mut asks = Asks { channels, memory: &mut self.memory, now };
            return Some((ticket, asks.answer(name, question.as_ask())));
        }
        None
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }
}

impl Question {
    fn of(ask: Ask<'_>) -> Self {
        match ask {
            Ask::Append { content_type, body, create, keep } => Self::Append {
                content_type: content_type.map(Into::into),
                body: body.into(),
                create,
                keep,
            },
            Ask::Next { cursor, create, waits } => Self::Next { cursor, create, waits },
            Ask::Create => Self::Create,
            Ask::Inspect => Self::Inspect,
            Ask::Delete => Self::Delete,
        }
    }

    fn as_ask(&self) -> Ask<'_> {
        match self {
            Self::Append { content_type, body, create, keep } => Ask::Append {
                content_type: content_type.as_deref(),
                body,
                create: *create,
                keep: *keep,
            },
            Self::Next { cursor, create, waits } => {
                Ask::Next { cursor: *cursor, create: *create, waits: *waits }
            }
            Self::Create => Ask::Create,
            Self::Inspect => Ask::Inspect,
            Self::Delete => Ask::Delete,
        }
    }
}
