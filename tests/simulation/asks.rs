//! Stores that take time: what becomes of each question, and when. The relay's stores do the same
//! by the same fates.

use std::collections::{BTreeSet, VecDeque};

use pushserver::store::{Fate, Loss};
use pushserver_testkit::Random;

use crate::request::Request;

/// Questions that are on their way.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    /// Of the questions to each store, over and over; none: the stores answer at once.
    pub(crate) fates: Vec<Fate>,
    turn: u64,
    /// How many questions each store has had, and those that it still has.
    stores: [(usize, VecDeque<Asked>); 2],
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
}

/// A question whose turn has come.
pub(crate) struct Due {
    /// The client that gets the answer.
    pub(crate) client: Option<u64>,
    pub(crate) loss: Loss,
    pub(crate) question: Question,
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

    pub(crate) fn ask(&mut self, client: u64, store: u16, question: Question) {
        let (count, asked) = &mut self.stores[usize::from(store)];
        let Fate { turns, loss } = self.fates[*count % self.fates.len()];
        *count += 1;
        asked.push_back(Asked { client, due: self.turn + turns, loss, question });
        self.waiting.insert(client);
    }

    pub(crate) fn begin_turn(&mut self) {
        self.turn += 1;
    }

    /// The next question to a store whose turn has come.
    pub(crate) fn next_due(&mut self) -> Option<Due> {
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

    /// How many clients wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether every question has come to its end.
    pub(crate) fn is_empty(&self) -> bool {
        self.stores.iter().all(|(_, asked)| asked.is_empty())
    }
}
