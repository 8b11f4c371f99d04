//! Publisher: a client that publishes in bursts and one by one, deletes and inspects channels,
//! breaks off in the middle of a message, and half-closes connections.

use crate::body;
use crate::events::{Change, Deleted, Moment, Published, Told, Unanswered};
use crate::link::{Link, Reading};
use crate::pool::Pool;
use crate::shared::{Lane, Shared};
use crate::wire::{self, Reply};

/// Publishers that may have a request open on one channel at once.
const OPEN_MAX: usize = 3;

/// Answers of a channel that may wait to be judged; above it nobody publishes there.
const UNSETTLED_MAX: usize = 2000;

/// A publisher, with at most one request open.
pub(crate) struct Publisher {
    /// Identifies its connection to the poll.
    token: usize,
    link: Option<Link>,
    pool: Pool,
    doing: Option<Doing>,
}

#[derive(Debug, Clone, Copy)]
struct Doing {
    lane: usize,
    sent: Moment,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// `ends`: the connection is half-closed after it.
    Publish {
        number: u64,
        kept: bool,
        ends: bool,
    },
    Delete,
    Look,
}

impl Publisher {
    pub(crate) fn new(token: usize) -> Self {
        Self { token, link: None, pool: Pool::default(), doing: None }
    }

    /// Whether it waits for an answer.
    pub(crate) fn is_busy(&self) -> bool {
        self.doing.is_some()
    }

    /// Sends the next request, if one is due.
    pub(crate) fn publish_next(&mut self, shared: &mut Shared) {
        if self.is_busy() || shared.finishing || !shared.is_within_rate() {
            return;
        }
        let now_ms = shared.now_ms();
        for _ in 0..4 {
            let lane = shared.random.index(shared.lanes.len());
            let entry = &shared.lanes[lane];
            let due = entry.burst > 0
                || entry.due_ms <= now_ms
                || entry.caught_up * 3 >= entry.followers * 2;
            if due && entry.open < OPEN_MAX && entry.model.unsettled() < UNSETTLED_MAX {
                return self.do_something(lane, shared);
            }
        }
    }

    fn do_something(&mut self, lane: usize, shared: &mut Shared) {
        let deletes = shared.random.below(shared.lanes[lane].kind.publishes_per_delete) == 0;
        match shared.random.below(1000) {
            _ if deletes => self.delete(lane, shared),
            0..4 => self.look(lane, shared),
            4..7 => self.cut(lane, shared),
            chance => self.publish(lane, chance < 10, shared),
        }
    }

    fn publish(&mut self, lane: usize, ends: bool, shared: &mut Shared) {
        let kept = !shared.random.percent(4);
        let sent = shared.moment();
        let burst = if shared.random.percent(2) { shared.random.below(40) } else { 0 };
        let pause_ms = 5 + shared.random.below(40);
        let entry = &mut shared.lanes[lane];
        entry.burst = if entry.burst > 0 { entry.burst - 1 } else { burst };
        entry.due_ms = sent.ms + pause_ms;
        let (number, bytes) = message(lane, shared);
        let path = shared.lanes[lane].path(if kept { 'p' } else { 'q' });
        let doing = Doing { lane, sent, what: What::Publish { number, kept, ends } };
        let link = self.begin(doing, shared);
        wire::post(&path, number, &bytes, &mut shared.random, link.out());
        if ends {
            link.end_sending();
        } else {
            link.flush();
        }
    }

    /// Breaks off in the middle of a message, which no subscriber may ever get.
    fn cut(&mut self, lane: usize, shared: &mut Shared) {
        shared.tally.cut += 1;
        let (number, bytes) = message(lane, shared);
        let path = shared.lanes[lane].path('p');
        let mut link = self.connection(shared);
        let mut whole = Vec::new();
        wire::post(&path, number, &bytes, &mut shared.random, &mut whole);
        let length = shared.random.index(whole.len());
        link.out().extend_from_slice(&whole[..length]);
        link.flush();
        if shared.random.percent(70) {
            link.reset();
        }
    }

    fn delete(&mut self, lane: usize, shared: &mut Shared) {
        shared.tally.deletes += 1;
        let sent = shared.moment();
        self.ask(Doing { lane, sent, what: What::Delete }, "DELETE", shared);
    }

    fn look(&mut self, lane: usize, shared: &mut Shared) {
        let sent = shared.moment();
        let method = shared.random.pick(&["GET", "PUT"]);
        self.ask(Doing { lane, sent, what: What::Look }, method, shared);
    }

    fn ask(&mut self, doing: Doing, method: &str, shared: &mut Shared) {
        let path = shared.lanes[doing.lane].path('p');
        let link = self.begin(doing, shared);
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        link.out().extend_from_slice(request.as_bytes());
        link.flush();
    }

    /// Notes the request; returns the connection for it.
    fn begin(&mut self, doing: Doing, shared: &mut Shared) -> &mut Link {
        let link = self.connection(shared);
        self.doing = Some(doing);
        let lane = &mut shared.lanes[doing.lane];
        lane.open += 1;
        lane.open_deletes += usize::from(matches!(doing.what, What::Delete));
        if !matches!(doing.what, What::Look) {
            lane.model.begin();
        }
        self.link.insert(link)
    }

    /// Its connection, or a new one; about one time in 2000 it drops the old one.
    fn connection(&mut self, shared: &mut Shared) -> Link {
        let kept = self.link.take().filter(|_| shared.random.below(2000) > 0);
        self.pool.next(kept, (self.token, false), shared)
    }

    /// Its socket is writable or readable.
    pub(crate) fn ready(&mut self, shared: &mut Shared) {
        let Some(link) = &mut self.link else { return };
        link.flush();
        match link.read(usize::MAX, &mut shared.scratch) {
            Reading::Answer(answer) => match Reply::read(&answer) {
                Ok(reply) => self.answered(reply, &answer.body, shared),
                Err(why) => self.failed(&why, shared),
            },
            Reading::NotYet => {}
            Reading::Closed => self.failed("closed unasked", shared),
            Reading::Broken(why) => self.failed(&why, shared),
        }
    }

    fn failed(&mut self, why: &str, shared: &mut Shared) {
        let Some(link) = self.link.take() else { return };
        let failed = self.doing.take();
        let is_killed = shared.broken(link.place, || format!("publisher, {failed:?}: {why}"));
        let Some(Doing { lane, sent, what }) = failed else { return };
        ended(what, &mut shared.lanes[lane]);
        match what.change() {
            None => {}
            Some(change) if is_killed => shared.unanswered.push(Unanswered {
                lane,
                change,
                sent,
                refused: None,
                place: link.place,
            }),
            Some(_) => shared.lanes[lane].model.unchanged(&mut shared.faults),
        }
    }

    fn answered(&mut self, reply: Reply, body: &[u8], shared: &mut Shared) {
        let acked = shared.moment();
        let Some(Doing { lane, sent, what }) = self.doing.take() else {
            return self.failed("an answer to nothing", shared);
        };
        let Some(place) = self.link.as_ref().map(|link| link.place) else { return };
        if matches!(what, What::Publish { ends: true, .. }) {
            // The daemon closes it too; no more answers will come.
            self.link = None;
        }
        let information = wire::information(body);
        let entry = &mut shared.lanes[lane];
        let is_shared = entry.kind.rules.spread_ms > 0;
        ended(what, entry);
        let faults = &mut shared.faults;
        match (what, reply.status, information) {
            (What::Publish { number, kept, .. }, 201 | 202, Some((queued, held, id))) => {
                // Of those who wait elsewhere only 201 tells.
                let is_sent = reply.status == 201;
                if is_sent != (held > 0) && !(is_shared && is_sent) {
                    faults.note("201", || format!("{reply:?}, {held} were held"));
                }
                shared.tally.published += 1;
                if id > entry.newest {
                    (entry.newest, entry.caught_up) = (id, 0);
                }
                let queued = Some(queued);
                let published = Published { id, number, kept, queued, sent, acked };
                entry.model.published(published, faults);
                shared.told(Told { lane, change: Change::Publish { number, kept }, id });
            }
            (What::Delete, 200, Some((queued, _, id))) => {
                let deleted = Deleted { last: id, queued: Some(queued), sent, acked };
                entry.model.deleted(deleted, faults);
                shared.told(Told { lane, change: Change::Delete, id });
            }
            (What::Delete, 404, _) => entry.model.unchanged(faults),
            (What::Look, 200, Some(_)) | (What::Look, 404, None) => {}
            (_, 503, _) if is_shared => {
                if let Some(change) = what.change() {
                    let refused = Some(acked);
                    shared.unanswered.push(Unanswered { lane, change, sent, refused, place });
                }
                shared.refused(place, || format!("{reply:?} to {what:?}"));
            }
            _ => {
                faults.note("status", || format!("{reply:?} to {what:?}"));
                if !matches!(what, What::Look) {
                    entry.model.unchanged(faults);
                }
            }
        }
    }
}

impl What {
    fn change(self) -> Option<Change> {
        match self {
            Self::Publish { number, kept, .. } => Some(Change::Publish { number, kept }),
            Self::Delete => Some(Change::Delete),
            Self::Look => None,
        }
    }
}

/// A request has an answer, or will have none.
fn ended(what: What, lane: &mut Lane) {
    lane.open -= 1;
    lane.open_deletes -= usize::from(matches!(what, What::Delete));
}

/// The next message's number and body; the body may be empty only if the content type holds the
/// number.
fn message(lane: usize, shared: &mut Shared) -> (u64, Vec<u8>) {
    let entry = &mut shared.lanes[lane];
    let number = entry.next_number;
    entry.next_number += 1;
    let size = match shared.random.below(1000) {
        0..60 if wire::content_type(number).is_some() => 0,
        0..900 => body::SIZE_MIN as u64 + shared.random.below(260),
        900..990 => 300 + shared.random.below(4000),
        990..998 => 14_000 + shared.random.below(30_000),
        _ => 100_000 + shared.random.below(60_000),
    };
    let mut bytes = Vec::new();
    body::write(entry.name, number, size as usize, &mut bytes);
    (number, bytes)
}
