//! Slow: a memory store that answers turns later, in the order asked, and loses questions and
//! answers, as one behind a network does. For tests: what becomes of each question is handed in.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use super::ask::{Answer, Ask, AskAll, ChannelKey, ChannelName, Reply, Start, StoreId, Ticket};
use super::channels::Channels;
use super::memory::Memory;
use super::memory::asks::Asks;
use crate::clock::Now;
use crate::message::{Content, Cursor, Order};

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
    asked: Line,
    /// Questions for the next message of a stream have a line of their own, so that a test foresees
    /// what becomes of all others without knowing when each stream has its turn.
    reads: Line,
    /// Counts the questions, from 1.
    number: u64,
    turn: u64,
}

/// Questions that are on their way: the first that was asked is the first that is answered.
#[derive(Debug, Default)]
struct Line {
    asked: VecDeque<Asked>,
    /// Counts the questions.
    number: usize,
}

#[derive(Debug)]
struct Asked {
    ticket: Ticket,
    due: u64,
    loss: Loss,
    store: StoreId,
    question: Question,
}

/// An [`Ask`] or an [`AskAll`] that owns its bytes.
#[derive(Debug)]
pub(super) enum Question {
    Append { name: Box<[u8]>, content: Content<Box<[u8]>>, create: bool, keep: bool },
    Next(Box<[u8]>, Start),
    Create(Box<[u8]>),
    Inspect(Box<[u8]>),
    Delete(Box<[u8]>),
    Follow(Order, Box<[Box<[u8]>]>, Start),
    Read(Order, Box<[ChannelKey]>, Cursor),
}

impl Slow {
    pub(super) fn new(memory: Memory, fates: Vec<Fate>) -> Self {
        assert!(!fates.is_empty(), "a fate for every question");
        let (asked, reads) = (Line::default(), Line::default());
        Self { memory, fates, asked, reads, number: 0, turn: 0 }
    }

    pub(super) fn ask<W>(&mut self, store: StoreId, question: Question) -> Answer<W> {
        let line = match question {
            Question::Read(..) => &mut self.reads,
            _ => &mut self.asked,
        };
        let Fate { turns, loss } = self.fates[line.number % self.fates.len()];
        line.number += 1;
        self.number += 1;
        let number = NonZeroU64::new(self.number).expect("it counts from 1");
        let ticket = Ticket::new(number, store);
        line.asked.push_back(Asked { ticket, due: self.turn + turns, loss, store, question });
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
        let turn = self.turn;
        let lines = [&mut self.asked, &mut self.reads];
        for asked in lines.into_iter().flat_map(|line| std::iter::from_fn(|| line.take_due(turn))) {
            let Asked { ticket, loss, store, question, .. } = asked;
            let ticket = match loss {
                Loss::Nothing => Some(ticket),
                Loss::Answer => None,
                Loss::Question => continue,
            };
            let mut asks = Asks { channels, memory: &mut self.memory, now };
            return Some((ticket, question.put(store, &mut asks)));
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

impl Line {
    /// The first question, if it is due.
    fn take_due(&mut self, turn: u64) -> Option<Asked> {
        self.asked.front().filter(|first| first.due <= turn)?;
        self.asked.pop_front()
    }
}

impl Question {
    pub(super) fn one(name: &[u8], ask: Ask<'_>) -> Self {
        let name = name.into();
        match ask {
            Ask::Append { content, create, keep } => {
                Self::Append { name, content: content.into(), create, keep }
            }
            Ask::Next(start) => Self::Next(name, start),
            Ask::Create => Self::Create(name),
            Ask::Inspect => Self::Inspect(name),
            Ask::Delete => Self::Delete(name),
        }
    }

    pub(super) fn all(order: Order, ask: AskAll<'_>) -> Self {
        match ask {
            AskAll::Follow(names, start) => {
                Self::Follow(order, names.iter().map(|name| (*name).into()).collect(), start)
            }
            AskAll::Read(channels, cursor) => Self::Read(order, channels.into(), cursor),
        }
    }

    fn put<W: Default>(&self, store: StoreId, asks: &mut Asks<'_, W>) -> Reply<W> {
        let (name, ask) = match self {
            Self::Append { name, content, create, keep } => (
                name,
                Ask::Append { content: content.borrowed().into(), create: *create, keep: *keep },
            ),
            Self::Next(name, start) => (name, Ask::Next(*start)),
            Self::Create(name) => (name, Ask::Create),
            Self::Inspect(name) => (name, Ask::Inspect),
            Self::Delete(name) => (name, Ask::Delete),
            Self::Follow(order, names, start) => {
                let names: Vec<&[u8]> = names.iter().map(AsRef::as_ref).collect();
                return asks.answer_all(store, *order, AskAll::Follow(&names, *start));
            }
            Self::Read(order, channels, cursor) => {
                return asks.answer_all(store, *order, AskAll::Read(channels, *cursor));
            }
        };
        asks.answer(ChannelName { store, name }, ask)
    }
}
