//! What publishers do: publish in bursts and at leisure, delete channels, look at them, end in the
//! middle of a message, and half-close.

use super::body;
use super::fire::Fire;
use super::link::{Link, Reading};
use super::settings::KINDS;
use super::wire::{self, Answer};
use super::words::{Deleted, Moment, Published};

/// Requests that may be open on one channel: several publishers at once.
const OPEN_MAX: usize = 3;

/// Answers that may wait to be judged before a channel is left alone for a moment.
const UNSETTLED_MAX: usize = 2000;

/// See the module.
#[derive(Default)]
pub(crate) struct Publisher {
    link: Option<Link>,
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
    pub(crate) fn is_busy(&self) -> bool {
        self.doing.is_some()
    }
}

impl Fire {
    /// Sends the next request, if one is due.
    pub(crate) fn publish_next(&mut self, index: usize) {
        if self.publishers[index].is_busy() || self.finishing || !self.is_within_rate() {
            return;
        }
        let now_ms = self.now_ms();
        for _ in 0..4 {
            let lane = self.random.index(self.lanes.len());
            let entry = &self.lanes[lane];
            let due = entry.burst > 0
                || entry.due_ms <= now_ms
                || entry.caught_up * 3 >= entry.followers * 2;
            if due && entry.open < OPEN_MAX && entry.model.unsettled() < UNSETTLED_MAX {
                return self.do_something(index, lane);
            }
        }
    }

    fn do_something(&mut self, index: usize, lane: usize) {
        let deletes = self.random.below(KINDS[self.lanes[lane].kind].publishes_per_delete) == 0;
        match self.random.below(1000) {
            _ if deletes => self.delete(index, lane),
            0..4 => self.look(index, lane),
            4..7 => self.cut(index, lane),
            chance => self.publish(index, lane, chance < 10),
        }
    }

    fn publish(&mut self, index: usize, lane: usize, ends: bool) {
        let kept = !self.random.percent(4);
        let sent = self.moment();
        let burst = if self.random.percent(2) { self.random.below(40) } else { 0 };
        let pause_ms = 5 + self.random.below(40);
        let entry = &mut self.lanes[lane];
        entry.burst = if entry.burst > 0 { entry.burst - 1 } else { burst };
        entry.due_ms = sent.ms + pause_ms;
        let (number, bytes) = self.message(lane);
        let path = self.lanes[lane].path(if kept { 'p' } else { 'q' });
        self.begin(index, Doing { lane, sent, what: What::Publish { number, kept, ends } });
        let link = self.publishers[index].link.as_mut().expect("just opened");
        wire::post(&path, number, &bytes, &mut self.random, link.out());
        if ends {
            link.end_sending();
        } else {
            link.flush();
        }
    }

    /// A number and a body; the empty one only where the content type tells the number.
    fn message(&mut self, lane: usize) -> (u64, Vec<u8>) {
        let entry = &mut self.lanes[lane];
        let number = entry.next_number;
        entry.next_number += 1;
        let size = match self.random.below(1000) {
            0..60 if wire::content_type(number).is_some() => 0,
            0..900 => body::SIZE_MIN as u64 + self.random.below(260),
            900..990 => 300 + self.random.below(4000),
            990..998 => 14_000 + self.random.below(30_000),
            _ => 100_000 + self.random.below(60_000),
        };
        let mut bytes = Vec::new();
        body::write(entry.name, number, size as usize, &mut bytes);
        (number, bytes)
    }

    /// Ends in the middle of a message, which must never be seen.
    fn cut(&mut self, index: usize, lane: usize) {
        self.tally.cut += 1;
        let (number, bytes) = self.message(lane);
        let path = self.lanes[lane].path('p');
        let mut link = self.connection(index);
        let mut whole = Vec::new();
        wire::post(&path, number, &bytes, &mut self.random, &mut whole);
        let length = self.random.index(whole.len());
        link.out().extend_from_slice(&whole[..length]);
        link.flush();
        if self.random.percent(70) {
            link.reset();
        }
    }

    fn delete(&mut self, index: usize, lane: usize) {
        self.tally.deletes += 1;
        let sent = self.moment();
        self.ask_publisher(index, Doing { lane, sent, what: What::Delete }, "DELETE");
    }

    fn look(&mut self, index: usize, lane: usize) {
        let sent = self.moment();
        let method = self.random.pick(&["GET", "PUT"]);
        self.ask_publisher(index, Doing { lane, sent, what: What::Look }, method);
    }

    fn ask_publisher(&mut self, index: usize, doing: Doing, method: &str) {
        let path = self.lanes[doing.lane].path('p');
        self.begin(index, doing);
        let link = self.publishers[index].link.as_mut().expect("just opened");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        link.out().extend_from_slice(request.as_bytes());
        link.flush();
    }

    fn begin(&mut self, index: usize, doing: Doing) {
        let link = self.connection(index);
        self.publishers[index] = Publisher { link: Some(link), doing: Some(doing) };
        let lane = &mut self.lanes[doing.lane];
        lane.open += 1;
        if !matches!(doing.what, What::Look) {
            lane.model.begin();
        }
    }

    /// The publisher's connection, or a new one; now and then it begins anew.
    fn connection(&mut self, index: usize) -> Link {
        let kept = self.publishers[index].link.take();
        match kept.filter(|_| self.random.below(2000) > 0) {
            Some(link) => link,
            None => self.open(self.subscribers.len() + index, false),
        }
    }

    pub(crate) fn publisher_ready(&mut self, index: usize) {
        let mut scratch = std::mem::take(&mut self.scratch);
        if let Some(link) = &mut self.publishers[index].link {
            link.flush();
            match link.read(usize::MAX, &mut scratch) {
                Reading::Answer(answer, body) => self.publisher_answered(index, &answer, &body),
                Reading::NotYet => {}
                Reading::Closed => self.publisher_failed(index, "closed unasked"),
                Reading::Broken(why) => self.publisher_failed(index, &why),
            }
        }
        self.scratch = scratch;
    }

    fn publisher_failed(&mut self, index: usize, why: &str) {
        let failed = std::mem::take(&mut self.publishers[index]);
        self.faults.note("connection", || format!("publisher, {:?}: {why}", failed.doing));
        if let Some(Doing { lane, what, .. }) = failed.doing {
            self.lanes[lane].open -= 1;
            if !matches!(what, What::Look) {
                self.lanes[lane].model.unchanged(&mut self.faults);
            }
        }
    }

    fn publisher_answered(&mut self, index: usize, answer: &Answer, body: &[u8]) {
        let acked = self.moment();
        let Some(Doing { lane, sent, what }) = self.publishers[index].doing.take() else {
            return self.publisher_failed(index, "an answer to nothing");
        };
        let information = wire::information(body);
        let faults = &mut self.faults;
        let entry = &mut self.lanes[lane];
        entry.open -= 1;
        match (what, answer.status, information) {
            (What::Publish { number, kept, ends }, 201 | 202, Some((queued, held, id))) => {
                if (answer.status == 201) != (held > 0) {
                    faults.note("201", || format!("{answer:?}, {held} were held"));
                }
                self.tally.published += 1;
                if id > entry.newest {
                    (entry.newest, entry.caught_up) = (id, 0);
                }
                let published = Published { id, number, kept, queued, sent, acked };
                entry.model.published(published, faults);
                if ends {
                    // The daemon ends it too; nothing is to come.
                    self.publishers[index].link = None;
                }
            }
            (What::Delete, 200, Some((queued, _, last))) => {
                entry.model.deleted(Deleted { last, queued, sent, acked }, faults);
            }
            (What::Delete, 404, _) => entry.model.unchanged(faults),
            (What::Look, 200, Some(_)) | (What::Look, 404, None) => {}
            _ => {
                faults.note("status", || format!("{answer:?} to {what:?}"));
                if !matches!(what, What::Look) {
                    entry.model.unchanged(faults);
                }
            }
        }
    }
}
