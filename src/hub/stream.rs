//! Stream: one request that follows channels: an event stream or a WebSocket, which stays, or a
//! poll of several channels, which ends with its first message. Holds only values.

use super::subscription::{FeedKey, Peer};
use crate::message::{Cursor, Message, MessageId, Order};
use crate::store::{StoreId, Ticket};
use crate::wheel::TimerKey;

/// See the module.
#[derive(Debug)]
pub(super) struct Stream {
    /// The caller's name of the request.
    pub(super) peer: Peer,
    /// Behind the last message that it was given.
    pub(super) cursor: Cursor,
    pub(super) pace: Pace,
    pub(super) members: Members,
    /// Ends the hold of a poll; `None`: never.
    pub(super) timer: Option<TimerKey>,
    /// What it keeps only where it is behind.
    pub(super) behind: Option<Box<Behind>>,
    pub(super) store: StoreId,
    pub(super) order: Order,
    /// It ends with its first message.
    pub(super) is_poll: bool,
}

const _: () = assert!(size_of::<Stream>() <= 80);

/// See [`Stream`].
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// While [`Pace::Asked`].
    ticket: Option<Ticket>,
    /// A channel that it follows was made since it asked: the answer leaves that out.
    is_outdated: bool,
    /// Messages that passed it, and that no store keeps.
    missed: Missed,
}

impl Stream {
    /// The ticket of the store that has not answered yet.
    pub(super) fn awaited(&self) -> Option<Ticket> {
        self.behind.as_ref().filter(|_| self.pace == Pace::Asked)?.ticket
    }

    /// Waits for its store.
    pub(super) fn await_store(&mut self, ticket: Ticket) {
        self.pace = Pace::Asked;
        let behind = self.behind.get_or_insert_default();
        (behind.ticket, behind.is_outdated) = (Some(ticket), false);
    }

    /// A channel that it follows was made.
    pub(super) fn outdate(&mut self) {
        if let Some(behind) = &mut self.behind {
            behind.is_outdated = true;
        }
    }

    /// Whether the answer that it waits for tells of all its channels; it waits no longer.
    pub(super) fn takes_answer(&mut self) -> bool {
        self.pace = Pace::Reading;
        self.behind.as_ref().is_none_or(|behind| !behind.is_outdated)
    }

    /// These passed it.
    pub(super) fn miss(&mut self, missed: &Missed) {
        if !missed.is_empty() {
            self.behind.get_or_insert_default().missed.add(missed);
        }
    }

    /// Is given a message; gives how many passed it before that and are not told yet.
    pub(super) fn give(&mut self, message: &Message) -> u64 {
        self.cursor = Cursor::at(message.id_in(self.order));
        let Some(behind) = &mut self.behind else { return 0 };
        let missed = behind.missed.take_before(message);
        self.behind.take_if(|behind| behind.missed.is_empty());
        missed
    }
}

/// How a stream gets its next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// It has all that its feeds do not have under way to it: they give it the next.
    Level,
    /// It is behind, and reads from its channels' messages when its turn comes.
    Reading,
    /// As before; its store has not answered yet.
    Asked,
    /// Its caller takes no more for now.
    Paused,
}

/// Where a stream stands in one feed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) feed: FeedKey,
    /// Its place in the list of the feed.
    pub(super) slot: u32,
    /// How many items the feed had had when the stream entered: only later ones are for it.
    pub(super) entered: u64,
}

/// Messages that will never come, so that each is told with the next message behind it.
#[derive(Debug, Clone, Default)]
pub(super) struct Missed(Vec<Run>);

/// Messages with none of their store in between; the last of too many runs has others in between.
#[derive(Debug, Clone, Copy)]
struct Run {
    count: u64,
    /// The place of the last of them.
    last: MessageId,
}

/// Further ones are told behind the last of them: the sum is right, and the place may be late.
const RUNS_MAX: usize = 32;

impl Missed {
    pub(super) fn one(message: &Message) -> Self {
        Self(vec![Run { count: 1, last: message.place() }])
    }

    /// These too.
    pub(super) fn add(&mut self, more: &Self) {
        for run in &more.0 {
            let is_full = self.0.len() >= RUNS_MAX;
            match self.0.last_mut() {
                Some(before) if is_full || before.is_just_before(run) => {
                    before.count += run.count;
                    before.last = before.last.max(run.last);
                }
                _ => self.0.push(*run),
            }
        }
    }

    /// Takes those that come before a message; gives how many they are.
    pub(super) fn take_before(&mut self, message: &Message) -> u64 {
        let taken = self.0.extract_if(.., |run| run.last < message.place());
        taken.map(|run| run.count).sum()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Run {
    /// Whether no message of the store can have a place between the two.
    fn is_just_before(&self, next: &Self) -> bool {
        let MessageId { time, tag } = next.last;
        next.count == 1 && self.last.time == time && self.last.tag.checked_add(1) == Some(tag)
    }
}

/// A stream's places, one for each of its channels. One channel costs no allocation.
#[derive(Debug)]
pub(super) enum Members {
    One(Member),
    Several(Box<[Member]>),
}

impl Members {
    pub(super) fn all(&self) -> &[Member] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(all) => all,
        }
    }

    pub(super) fn all_mut(&mut self) -> &mut [Member] {
        match self {
            Self::One(one) => std::slice::from_mut(one),
            Self::Several(all) => all,
        }
    }

    pub(super) fn of(&self, feed: FeedKey) -> Option<&Member> {
        self.all().iter().find(|member| member.feed == feed)
    }

    /// Notes that the stream has moved in the list of a feed.
    pub(super) fn moved(&mut self, feed: FeedKey, slot: u32) {
        if let Some(member) = self.all_mut().iter_mut().find(|member| member.feed == feed) {
            member.slot = slot;
        }
    }
}
