//! Witness: a connection to Redis itself that hears every announcement there, in the order in which
//! the scripts were run. It knows what became of a request whose answer was lost, and whether what
//! publishers were told is true.

use std::collections::{HashMap, VecDeque};

use pushserver::store::redis::announcement::{Announced, Announcement};
use pushserver::store::redis::resp::{Value, write_command};
use pushserver_testkit::Redis;
use pushserver_testkit::redis::Connection;

use crate::body;
use crate::events::{Change, Deleted, Id, Published, Told, Unanswered};
use crate::shared::Shared;
use crate::wire::{self, ContentType};

/// See the file.
pub(crate) struct Witness {
    connection: Connection,
    /// Messages that no publisher was told of yet, by lane and number.
    messages: HashMap<(usize, u64), Id>,
    lanes: HashMap<usize, Heard>,
}

/// What was heard of a lane.
#[derive(Default)]
struct Heard {
    /// The last message since the last DELETE.
    last: Id,
    /// The last messages before DELETEs that no publisher was told of yet.
    deletes: VecDeque<Id>,
}

impl Witness {
    pub(crate) fn new(redis: &Redis) -> Self {
        let mut connection = redis.connect();
        connection.ask(&["HELLO", "3"]);
        connection.ask(&["PSUBSCRIBE", "*"]);
        Self { connection, messages: HashMap::new(), lanes: HashMap::new() }
    }

    /// Hears everything that was done until now, and compares it with what publishers were told.
    /// `is_over` tells of a request without an answer whether Redis has done it or never will.
    pub(crate) fn listen(&mut self, is_over: impl Fn(&Unanswered) -> bool, shared: &mut Shared) {
        // What is over now has been announced before the answer to the PING.
        let over: Vec<bool> = shared.unanswered.iter().map(is_over).collect();
        self.hear(shared);
        for told in std::mem::take(&mut shared.told) {
            self.compare(told, shared);
        }
        let mut over = over.into_iter();
        let mut left = Vec::new();
        for unanswered in std::mem::take(&mut shared.unanswered) {
            // Which of two DELETEs was done is clear when one of them is answered.
            let is_clear = unanswered.change != Change::Delete
                || shared.lanes[unanswered.lane].open_deletes == 0;
            if over.next() == Some(true) && is_clear {
                self.resolve(unanswered, shared);
            } else {
                left.push(unanswered);
            }
        }
        shared.unanswered = left;
    }

    /// Whatever was done that no publisher knows of, when none has a request open, is wrong.
    pub(crate) fn end(&self, shared: &mut Shared) {
        for message in &self.messages {
            shared.faults.note("published unasked", || format!("{message:?}"));
        }
        for (lane, heard) in self.lanes.iter().filter(|(_, heard)| !heard.deletes.is_empty()) {
            shared.faults.note("deleted unasked", || format!("{lane} at {:?}", heard.deletes));
        }
    }

    fn hear(&mut self, shared: &mut Shared) {
        let mut ping = Vec::new();
        write_command(&[b"PING"], &mut ping);
        self.connection.send(&ping);
        loop {
            match self.connection.receive() {
                Value::Push(words) => {
                    let [_, _, Value::Text(channel), Value::Text(payload)] = &words[..] else {
                        continue;
                    };
                    let lane = lane_of(channel).expect("a channel of a lane");
                    match Announcement::read(payload).expect("an announcement") {
                        Announcement::Published(announced) => {
                            self.published(lane, *announced, shared);
                        }
                        Announcement::Deleted(_) => {
                            let heard = self.lanes.entry(lane).or_default();
                            heard.deletes.push_back(std::mem::take(&mut heard.last));
                        }
                    }
                }
                Value::Error(error) => panic!("{}", String::from_utf8_lossy(&error)),
                _ => return,
            }
        }
    }

    fn published(&mut self, lane: usize, announced: Announced, shared: &mut Shared) {
        let id = (announced.id.time, announced.id.tag);
        let content = announced.content.expect("no message is so large that it is left out");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let content_type = content.content_type.as_deref().map(text);
        let content_type = content_type.as_deref().map(ContentType::read);
        let name = shared.lanes[lane].name;
        let Some(number) = wire::number_of(name, content_type, &content.body, body::read) else {
            return shared.faults.note("corrupt in Redis", || format!("{id:?} of {lane}"));
        };
        self.lanes.entry(lane).or_default().last = id;
        if let Some(before) = self.messages.insert((lane, number), id) {
            shared.faults.note("published twice", || {
                format!("{number} of lane {lane}: {before:?} and {id:?}")
            });
        }
    }

    /// A publisher was told that something was done.
    fn compare(&mut self, told: Told, shared: &mut Shared) {
        let Told { lane, change, id } = told;
        let heard = match change {
            Change::Publish { number, .. } => self.messages.remove(&(lane, number)),
            Change::Delete => {
                let deletes = &mut self.lanes.entry(lane).or_default().deletes;
                let index = deletes.iter().position(|last| *last == id);
                index.and_then(|index| deletes.remove(index))
            }
        };
        if heard != Some(id) {
            shared.faults.note("told, and not done", || format!("{told:?}, but {heard:?}"));
        }
    }

    /// A request without an answer was done, or never will be.
    fn resolve(&mut self, unanswered: Unanswered, shared: &mut Shared) {
        let Unanswered { lane, change, sent, refused, .. } = unanswered;
        let acked = refused.unwrap_or_else(|| shared.moment());
        let (model, faults) = (&mut shared.lanes[lane].model, &mut shared.faults);
        let is_done = match change {
            Change::Publish { number, kept } => self.messages.remove(&(lane, number)).map(|id| {
                let queued = None;
                model.published(Published { id, number, kept, queued, sent, acked }, faults);
            }),
            Change::Delete => {
                let heard = self.lanes.entry(lane).or_default();
                heard.deletes.pop_front().map(|last| {
                    model.deleted(Deleted { last, queued: None, sent, acked }, faults);
                })
            }
        };
        if is_done.is_some() {
            shared.tally.done += 1;
        } else {
            model.unchanged(faults);
            shared.tally.undone += 1;
        }
    }
}

/// The lane of a channel's announcements, as `all:0:{…c25}`.
fn lane_of(channel: &[u8]) -> Option<usize> {
    let name = std::str::from_utf8(channel).ok()?.strip_suffix('}')?;
    name.rsplit_once('c')?.1.parse().ok()
}
