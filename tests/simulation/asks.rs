//! Stores that take time: what becomes of each question, and when. The relay's stores do the same
//! by the same fates.

use std::collections::{BTreeSet, VecDeque};

use pushserver::store::{Fate, Loss};
use pushserver_testkit::Random;

use crate::request::{Ask, Request};
use crate::settings::PLACES;
use crate::writing::{Verdict, Writing};

/// Questions that are on their way.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    /// Of the questions to each store, over and over; none: the stores answer at once.
    pub(crate) fates: Vec<Fate>,
    turn: u64,
    /// How many questions each store has had, and those that it still has.
    stores: [(usize, VecDeque<Asked>); 2],
    /// What durable stores write down; `None`: the store is none.
    pub(crate) writing: [Option<Writing>; 2],
    /// Clients that wait for an answer, be that lost.
    waiting: BTreeSet<u64>,
}

#[derive(Debug)]
struct Asked {
    client: u64,
    due: u64,
    loss: Loss,
    question: Question,
}

#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) request: Request,
    /// Whether nothing was held any more when it was asked.
    pub(crate) holds_end: bool,
    /// As set when it was asked.
    pub(crate) timeout_ms: u64,
    pub(crate) max_subscribers: usize,
    pub(crate) ping_ms: u64,
    /// What a durable store has made of it; `None`: its store decides when it answers.
    pub(crate) verdict: Option<Verdict>,
}

/// A question whose turn has come.
pub(crate) struct Due {
    /// The client that gets the answer.
    pub(crate) client: Option<u64>,
    pub(crate) loss: Loss,
    pub(crate) question: Question,
}

impl Question {
    /// Whether it is to change something.
    pub(crate) fn changes(&self) -> bool {
        matches!(self.request.ask, Ask::Publish { .. } | Ask::Create | Ask::Delete)
    }

    /// Whether it is a message that is kept.
    pub(crate) fn keeps(&self) -> bool {
        PLACES[self.request.place].publishes().1
    }

    /// Whether a durable store does not do it.
    pub(crate) fn is_refused(&self) -> bool {
        self.verdict.is_some_and(|verdict| !matches!(verdict, Verdict::Agreed(..)))
    }
}

impl Asks {
    /// Stores that mostly answer in the next turns, and now and then lose something.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let fate = |_| {
            let loss = match random.below(20) {
                0 => Loss::Question,
                1 => Loss::Answer,
                _ => Loss::Nothing,
            };
            Fate { turns: random.pick(&[1, 1, 1, 2, 3, 8]), loss }
        };
        Self { fates: (0..101).map(fate).collect(), ..Self::default() }
    }

    /// Stores that answer at once, of which one or both write down what changes before.
    pub(crate) fn draw_durable(random: &mut Random) -> Self {
        let are_durable = random.pick(&[[true, false], [false, true], [true, true], [true, true]]);
        let writing = are_durable.map(|is_durable| is_durable.then(Writing::default));
        Self { writing, ..Self::default() }
    }

    pub(crate) fn ask(&mut self, client: u64, store: u16, question: Question) {
        let (count, asked) = &mut self.stores[usize::from(store)];
        let Fate { turns, loss } = self.fates[*count % self.fates.len()];
        *count += 1;
        asked.push_back(Asked { client, due: self.turn + turns, loss, question });
        self.waiting.insert(client);
    }

    /// As before, of a durable store.
    pub(crate) fn write(&mut self, client: u64, store: u16, question: Question) {
        self.writing[usize::from(store)].as_mut().expect("it is durable").ask(client, question);
        self.waiting.insert(client);
    }

    pub(crate) fn begin_turn(&mut self) {
        self.turn += 1;
    }

    /// The next question to a store whose turn has come.
    pub(crate) fn next_due(&mut self) -> Option<Due> {
        let mut writing = self.writing.iter_mut().flatten();
        if let Some((client, question)) = writing.find_map(Writing::next_done) {
            let client = self.waiting.remove(&client).then_some(client);
            return Some(Due { client, loss: Loss::Nothing, question });
        }
        let turn = self.turn;
        let is_due = |asked: &VecDeque<Asked>| asked.front().is_some_and(|first| first.due <= turn);
        let (_, asked) = self.stores.iter_mut().find(|(_, asked)| is_due(asked))?;
        let Asked { client, loss, question, .. } = asked.pop_front()?;
        let is_told = loss == Loss::Nothing && self.waiting.remove(&client);
        Some(Due { client: is_told.then_some(client), loss, question })
    }

    /// The client does not wait any longer; whether it did.
    pub(crate) fn give_up(&mut self, number: u64) -> bool {
        self.waiting.remove(&number)
    }

    /// Whether stores take time.
    pub(crate) fn is_slow(&self) -> bool {
        !self.fates.is_empty()
    }

    /// Whether a store writes down what changes.
    pub(crate) fn is_durable(&self, store: u16) -> bool {
        self.writing[usize::from(store)].is_some()
    }

    /// Whether some answers come turns later.
    pub(crate) fn takes_turns(&self) -> bool {
        self.is_slow() || self.has_durable()
    }

    /// Whether any store writes down what changes.
    pub(crate) fn has_durable(&self) -> bool {
        self.writing.iter().any(Option::is_some)
    }

    /// How many clients wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether every question has come to its end.
    pub(crate) fn is_empty(&self) -> bool {
        let has_written = self.writing.iter().flatten().all(Writing::is_empty);
        has_written && self.stores.iter().all(|(_, asked)| asked.is_empty())
    }
}
