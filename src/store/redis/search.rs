//! Search: what a subscriber asks of one or several channels, each of which Redis is asked about;
//! and what the answers come to. Asks nobody.

use std::rc::Rc;

use super::answers::{Entry, Opened, Refusal};
use super::scripts::Begin;
use crate::message::{Cursor, First, Message, MessageId, Order};
use crate::store::ask::{Gap, Start};

/// See the module.
#[derive(Debug)]
pub(super) struct Search {
    /// The hub's names of the channels.
    pub(super) names: Box<[Rc<[u8]>]>,
    pub(super) kind: Kind,
    /// Counts the tries: answers to an earlier one are of no use.
    round: u32,
    parts: Vec<Option<Result<Opened, Refusal>>>,
    unanswered: usize,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// The first message of one channel.
    Next(Start),
    /// Where a subscriber of channels begins, and its first message.
    Follow(Order, Start),
    /// The next message of one that has begun.
    Read(Order, Cursor),
}

/// The first message that was found of several.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) message: Rc<Message>,
    pub(super) name: Rc<[u8]>,
}

impl Search {
    pub(super) fn new(names: Box<[Rc<[u8]>]>, kind: Kind) -> Self {
        Self { names, kind, round: 0, parts: Vec::new(), unanswered: 0 }
    }

    /// A try begins; gives its round.
    pub(super) fn begin_round(&mut self) -> u32 {
        self.round += 1;
        self.unanswered = self.names.len();
        self.parts = std::iter::repeat_with(|| None).take(self.names.len()).collect();
        self.round
    }

    /// An answer has come; gives whether it is the last one.
    pub(super) fn answered(
        &mut self,
        round: u32,
        part: usize,
        answer: Result<Opened, Refusal>,
    ) -> bool {
        if round != self.round {
            return false;
        }
        self.parts[part] = Some(answer);
        self.unanswered -= 1;
        self.unanswered == 0
    }

    /// The try has failed, if it is the last one; gives whether it is.
    pub(super) fn fail(&mut self, round: u32) -> bool {
        let fails = round == self.round;
        self.round += u32::from(fails);
        fails
    }

    pub(super) fn order(&self) -> Order {
        match self.kind {
            Kind::Next(_) => Order::Channel,
            Kind::Follow(order, _) | Kind::Read(order, _) => order,
        }
    }

    /// Where the subscriber begins.
    pub(super) fn start(&self) -> Start {
        match self.kind {
            Kind::Next(start) | Kind::Follow(_, start) => start,
            Kind::Read(_, cursor) => {
                Start { cursor, first: First::Oldest, create: false, waits: true }
            }
        }
    }

    /// As Redis is asked.
    pub(super) fn begin(&self) -> Begin {
        let Start { cursor, first, .. } = self.start();
        match (self.order(), first) {
            (_, First::Oldest) if cursor.is_oldest() => Begin::Oldest,
            (_, First::Newest) if cursor.is_oldest() => Begin::Newest,
            (_, First::Last(count)) if cursor.is_oldest() => Begin::Last(count),
            (Order::Channel, First::Since(id)) if cursor.is_oldest() => Begin::Since(id),
            (Order::Store, First::Since(place)) if cursor.is_oldest() => Begin::SincePlace(place),
            (Order::Channel, _) => Begin::After(cursor.id()),
            (Order::Store, _) => Begin::AfterPlace(cursor.id()),
        }
    }

    /// Whether its subscriber follows channels whose messages have an order among each other, so
    /// that all are to be known at one time; also those that it follows and that do not exist.
    pub(super) fn is_of_several(&self) -> bool {
        self.order() == Order::Store
    }

    /// Why there is no answer, of the first channel that has none.
    pub(super) fn refusal(&self) -> Option<(usize, &Refusal)> {
        let mut parts = self.parts.iter().enumerate();
        parts.find_map(|(part, answer)| match answer {
            Some(Err(refusal)) if *refusal != Refusal::Missing || self.needs_all() => {
                Some((part, refusal))
            }
            _ => None,
        })
    }

    /// Whether all its channels have to exist.
    fn needs_all(&self) -> bool {
        match self.kind {
            Kind::Next(start) | Kind::Follow(_, start) => !start.create,
            Kind::Read(..) => false,
        }
    }

    /// The answers, each with the name of its channel; without those that do not exist.
    pub(super) fn opened(&self) -> impl Iterator<Item = (&Rc<[u8]>, &Opened)> {
        let parts = self.names.iter().zip(&self.parts);
        parts.filter_map(|(name, answer)| Some((name, answer.as_ref()?.as_ref().ok()?)))
    }

    /// Where a subscriber without a cursor begins; `second`: on Redis' clock. `None`: at the oldest
    /// message, or where it said.
    pub(super) fn resolved(&self, second: u64) -> Option<Cursor> {
        let Start { cursor, first, .. } = self.start();
        if !cursor.is_oldest() || first == First::Oldest {
            return None;
        }
        let newest = || match self.order() {
            Order::Store => {
                let places = self.opened().map(|(_, opened)| opened.newest_place);
                Cursor::at(places.max().unwrap_or_default())
            }
            Order::Channel => {
                let before = MessageId { time: second.saturating_sub(1), tag: 0 };
                let last = self.opened().next().map(|(_, opened)| opened);
                let last = last.filter(|one| one.is_published || one.last > before);
                Cursor::at(last.map_or(before, |one| one.last))
            }
        };
        match first {
            First::Last(count) => Some(self.before_newest(count).unwrap_or_else(newest)),
            // No channel is there, or each has said where.
            First::Since(id) => {
                let said = self.opened().filter_map(|(_, opened)| opened.places.first().copied());
                let before = MessageId { time: second.saturating_sub(1), tag: 0 };
                let here = if id.time >= second { before } else { id };
                Some(Cursor::at(said.min().unwrap_or(here)))
            }
            First::Newest | First::Oldest => Some(newest()),
        }
    }

    /// Just before the newest so many messages of all; `None`: there are none.
    fn before_newest(&self, count: u32) -> Option<Cursor> {
        let first = match self.order() {
            Order::Channel => self.opened().find_map(|(_, one)| Some(one.first.as_ref()?.id)),
            Order::Store => {
                let mut all: Vec<_> =
                    self.opened().flat_map(|(_, opened)| opened.places.iter().copied()).collect();
                all.sort_unstable_by_key(|place| std::cmp::Reverse(*place));
                all.truncate(count as usize);
                all.pop()
            }
        };
        first.map(Cursor::before)
    }

    /// The id of what [`Search::first`] gives, in the order of the search.
    pub(super) fn first_id(&self) -> Option<MessageId> {
        let order = self.order();
        self.opened().filter_map(|(_, opened)| Some(opened.first.as_ref()?.id_in(order))).min()
    }

    /// The first message of all that is behind the cursor.
    pub(super) fn first(&mut self) -> Option<Found> {
        let order = self.order();
        let parts = self.parts.iter_mut().enumerate().filter_map(|(part, answer)| {
            let entry = &mut answer.as_mut()?.as_mut().ok()?.first;
            Some((entry.as_ref()?.id_in(order), part, entry))
        });
        let (_, part, entry) = parts.min_by_key(|(id, ..)| *id)?;
        let message = Rc::new(message(entry.take()?));
        Some(Found { message, name: Rc::clone(&self.names[part]) })
    }

    /// What is missing between a cursor and the message at `until`, in the order of the search. To
    /// be asked before [`Search::first`].
    pub(super) fn gap(&self, cursor: Cursor, until: MessageId) -> Gap {
        if cursor.is_oldest() {
            return Gap::NONE;
        }
        let gaps = self.opened().map(|(_, opened)| match (&opened.first, self.order()) {
            // The one before it is there, and not behind the cursor.
            (Some(_), _) if !opened.is_oldest => Gap::NONE,
            (Some(entry), order) => missing(order, cursor, entry.before),
            // All that it had is gone.
            (None, Order::Store) if opened.kept.time < until.time => {
                missing(Order::Store, cursor, opened.kept)
            }
            (None, _) => Gap::NONE,
        });
        gaps.fold(Gap::NONE, Gap::and)
    }
}

/// What is missing behind a cursor where everything up to `gone`, an id of a channel, is gone.
fn missing(order: Order, cursor: Cursor, gone: MessageId) -> Gap {
    let at = cursor.id();
    match order {
        Order::Channel if gone <= at => Gap::NONE,
        Order::Channel if gone.time == at.time => Gap::Messages(u64::from(gone.tag - at.tag)),
        // A message's number in its second is its tag there, or more.
        Order::Store if gone <= at => Gap::NONE,
        _ => Gap::Unknown,
    }
}

/// An entry as a message of no mirror: nobody counts by its sequence.
fn message(entry: Entry) -> Message {
    let Entry { id, number, content, .. } = entry;
    Message { time: id.time, tag: id.tag, number, sequence: 0, content }
}
