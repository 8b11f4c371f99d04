//! Searches: those that Redis is asked for, and those that wait until it can be. Sends nothing.

use std::collections::{HashMap, VecDeque};

use super::answers::{Opened, Refusal};
use super::search::Search;
use crate::store::ask::Ticket;

/// Questions of subscribers that are under way at once, so that what comes back is bounded.
const AT_ONCE: usize = 64;

/// Names that may wait beside the searches, before those are dropped whose search is gone.
const GONE_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Searches {
    table: HashMap<Ticket, Search>,
    /// To be asked, the oldest first; some of them may be gone.
    waiting: VecDeque<Ticket>,
    /// As before, of several channels.
    waiting_of_several: VecDeque<Ticket>,
    under_way: usize,
    /// One was begun since they were looked at.
    has_new: bool,
}

impl Searches {
    pub(super) fn begin(&mut self, ticket: Ticket, search: Search) {
        self.table.insert(ticket, search);
        self.has_new = true;
        self.again(ticket);
    }

    pub(super) fn has_new(&self) -> bool {
        self.has_new
    }

    /// They are looked at now.
    pub(super) fn note_all(&mut self) {
        self.has_new = false;
    }

    /// Is to be asked, once more.
    fn again(&mut self, ticket: Ticket) {
        match self.table.get(&ticket) {
            Some(search) if search.is_of_several() => self.waiting_of_several.push_back(ticket),
            Some(_) => self.waiting.push_back(ticket),
            None => {}
        }
    }

    /// Nobody waits for it any more.
    pub(super) fn forget(&mut self, ticket: Ticket) -> Option<Search> {
        let search = self.table.remove(&ticket)?;
        let Self { table, waiting, waiting_of_several, .. } = self;
        for waiting in [waiting, waiting_of_several] {
            if waiting.len() > 2 * table.len() + GONE_MAX {
                waiting.retain(|ticket| table.contains_key(ticket));
            }
        }
        Some(search)
    }

    /// The next that may be asked now; `is_settled`: several channels may be.
    pub(super) fn pop(&mut self, is_settled: bool) -> Option<(Ticket, &mut Search)> {
        let Self { table, waiting, waiting_of_several, under_way, .. } = self;
        for (waiting, may) in [(waiting, true), (waiting_of_several, is_settled)] {
            while let Some(&ticket) = waiting.front().filter(|_| may) {
                let parts = table.get(&ticket).map(|search| search.names.len());
                if parts.is_some_and(|parts| *under_way > 0 && *under_way + parts > AT_ONCE) {
                    break;
                }
                waiting.pop_front();
                if let Some(parts) = parts {
                    *under_way += parts;
                    return Some((ticket, table.get_mut(&ticket)?));
                }
            }
        }
        None
    }

    /// A part was answered; gives whether the search has all of them.
    pub(super) fn answered(
        &mut self,
        ticket: Ticket,
        (round, part): (u32, usize),
        answer: Result<Opened, Refusal>,
    ) -> bool {
        self.under_way -= 1;
        let search = self.table.get_mut(&ticket);
        search.is_some_and(|search| search.answered(round, part, answer))
    }

    /// A part is lost, or could not be sent; gives whether that ends the search, as its subscriber
    /// does not wait for another try.
    pub(super) fn lost(&mut self, ticket: Ticket, round: u32) -> bool {
        self.under_way -= 1;
        let Some(search) = self.table.get_mut(&ticket) else { return false };
        if !search.fail(round) {
            return false;
        }
        let waits = search.start().waits;
        if waits {
            self.again(ticket);
        } else {
            self.table.remove(&ticket);
        }
        !waits
    }

    /// Redis is away: takes out those that were not asked yet and whose subscriber does not wait
    /// until it is back.
    pub(super) fn give_up(&mut self) -> Vec<Ticket> {
        let given_up = self.table.extract_if(|_, search| !search.start().waits);
        let mut tickets: Vec<Ticket> = given_up.map(|(ticket, _)| ticket).collect();
        tickets.sort_unstable();
        tickets
    }

    pub(super) fn shrink(&mut self) {
        self.table.shrink_to_fit();
        self.waiting.shrink_to_fit();
        self.waiting_of_several.shrink_to_fit();
    }
}
