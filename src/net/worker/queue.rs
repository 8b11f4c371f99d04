//! Queue: the notices that wait, in a lane for each URL, and the number of workers. Sends nothing,
//! waits for nothing, starts no thread.
//!
//! A lane gives one notice at a time, so each URL gets its notices in order. The lane with the
//! oldest notice comes next, so one worker sends all notices in order.

use std::collections::VecDeque;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::relay::notice::{Event, Notice, Telling};

/// Workers at once: one, and three more while others wait for an answer.
pub(super) const WORKERS_MAX: usize = 4;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// A lane is empty only while its last notice is being sent.
    lanes: Vec<Lane>,
    /// Notices that ever came: the number of the next one.
    numbered: u64,
    /// At least as many as there are lanes that are being sent from.
    pub(super) workers: usize,
    /// None will be added any more.
    pub(super) closed: bool,
}

/// The notices for one URL that are not sent yet.
#[derive(Debug)]
struct Lane {
    url: Arc<str>,
    jobs: VecDeque<Job>,
    /// A worker sends a notice from here.
    is_sending: bool,
}

/// One notice to send.
#[derive(Debug)]
pub(super) struct Job {
    number: u64,
    pub(super) what: What,
}

/// What a notice says.
#[derive(Debug)]
pub(super) enum What {
    /// A hold begins or ends.
    Hold(Event, Arc<Notice>),
    /// Something of members; what becomes of it is told under this number.
    Members(u64, Box<Telling>),
}

impl What {
    /// What it tells of, in one word, and the channel id; that is empty where there is none.
    pub(super) fn shown(&self) -> (&'static str, Box<[u8]>) {
        match self {
            Self::Hold(Event::Subscribe, notice) => ("subscribe", notice.channel_id.clone()),
            Self::Hold(Event::Unsubscribe, notice) => ("unsubscribe", notice.channel_id.clone()),
            Self::Members(_, telling) => {
                let mut fields = telling.body.split('&');
                let id = fields.next().and_then(|first| first.strip_prefix("channel_id="));
                let what = match fields.next() {
                    _ if id.is_none() => "reset",
                    Some("join=1") => "join",
                    _ => "leave",
                };
                let id = id.map(|id| percent_decode_str(id).collect::<Vec<u8>>());
                (what, id.unwrap_or_default().into())
            }
        }
    }

    pub(super) fn url(&self) -> &Arc<str> {
        match self {
            Self::Hold(_, notice) => &notice.url,
            Self::Members(_, telling) => &telling.url,
        }
    }
}

/// What the notices that can be sent now need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Help {
    /// Nothing: there are none, or every worker waits for an answer and no more may start.
    None,
    /// A worker that has nothing to do.
    Wake,
    /// One more worker.
    Start,
}

impl Queue {
    /// Appends a notice; it may go when those for the same URL have gone.
    pub(super) fn push(&mut self, what: What) {
        let job = Job { number: self.numbered, what };
        self.numbered += 1;
        match self.lanes.iter_mut().find(|lane| lane.url == *job.what.url()) {
            Some(lane) => lane.jobs.push_back(job),
            None => self.lanes.push(Lane {
                url: Arc::clone(job.what.url()),
                jobs: VecDeque::from([job]),
                is_sending: false,
            }),
        }
    }

    /// The oldest notice for a URL to which no worker sends. Call [`Queue::done`] after it.
    pub(super) fn take(&mut self) -> Option<Job> {
        let lanes = self.lanes.iter_mut().filter(|lane| !lane.is_sending);
        let lane = lanes.min_by_key(|lane| lane.jobs.front().map(|job| job.number))?;
        lane.is_sending = true;
        lane.jobs.pop_front()
    }

    /// A notice that was taken for `url` was sent, or will not be.
    pub(super) fn done(&mut self, url: &str) {
        let Some(index) = self.lanes.iter().position(|lane| *lane.url == *url) else { return };
        if self.lanes[index].jobs.is_empty() {
            self.lanes.swap_remove(index);
        } else {
            self.lanes[index].is_sending = false;
        }
    }

    /// Takes back what waits of members, which nobody is there to send; gives the numbers.
    pub(super) fn take_back(&mut self) -> Vec<u64> {
        let mut numbers = Vec::new();
        self.lanes.retain_mut(|lane| {
            lane.jobs.retain(|job| match &job.what {
                What::Hold(..) => true,
                What::Members(number, _) => {
                    numbers.push(*number);
                    false
                }
            });
            lane.is_sending || !lane.jobs.is_empty()
        });
        numbers
    }

    /// Drops what waits.
    pub(super) fn clear(&mut self) {
        self.lanes.retain_mut(|lane| {
            lane.jobs.clear();
            lane.is_sending
        });
    }

    /// Whether the notices that may go now have workers to take them.
    pub(super) fn help(&self) -> Help {
        let sending = self.sending();
        let free = self.workers.saturating_sub(sending);
        match self.lanes.len() - sending {
            0 => Help::None,
            ready if ready <= free => Help::Wake,
            _ if self.workers < WORKERS_MAX => Help::Start,
            _ => Help::None,
        }
    }

    /// Notices that wait for `url`.
    pub(super) fn waiting_for(&self, url: &str) -> usize {
        let lane = self.lanes.iter().find(|lane| *lane.url == *url);
        lane.map_or(0, |lane| lane.jobs.len())
    }

    /// Notices that wait, or are being sent.
    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(|lane| lane.jobs.len()).sum::<usize>() + self.sending()
    }

    /// Whether nothing waits and nothing is being sent.
    pub(super) fn is_done(&self) -> bool {
        self.lanes.is_empty()
    }

    fn sending(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.is_sending).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_url_is_told_in_order_and_the_oldest_notice_goes_first() {
        let mut queue = Queue::default();
        for (url, id) in [("a", 0), ("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5)] {
            push(&mut queue, url, id);
        }
        assert_eq!(take(&mut queue), Some(0));
        assert_eq!(take(&mut queue), Some(2));
        queue.done("b");
        // `a` is still being told.
        assert_eq!([take(&mut queue), take(&mut queue)], [Some(4), Some(5)]);
        assert_eq!(take(&mut queue), None);
        queue.done("a");
        assert_eq!(take(&mut queue), Some(1));
        assert_eq!((queue.len(), queue.waiting_for("a"), queue.waiting_for("b")), (4, 1, 0));
        for url in ["a", "b", "c"] {
            queue.done(url);
        }
        assert_eq!((take(&mut queue), queue.is_done()), (Some(3), false));
        queue.done("a");
        assert!(queue.is_done());
    }

    #[test]
    fn one_worker_more_is_wanted_only_for_another_url_while_all_are_sending() {
        let mut queue = Queue::default();
        assert_eq!(queue.help(), Help::None);
        push(&mut queue, "a", 0);
        assert_eq!(queue.help(), Help::Start);
        queue.workers = 1;
        assert_eq!(queue.help(), Help::Wake);
        push(&mut queue, "b", 1);
        // Woken for the first, it may not have taken it yet.
        assert_eq!(queue.help(), Help::Start);
        take(&mut queue);
        take(&mut queue);
        push(&mut queue, "a", 2);
        assert_eq!(queue.help(), Help::None);
        for (workers, url) in (2..).zip(["c", "d", "e"]) {
            queue.workers = workers;
            push(&mut queue, url, 3);
            assert_eq!(queue.help(), if workers < WORKERS_MAX { Help::Start } else { Help::None });
            if workers < WORKERS_MAX {
                take(&mut queue);
            }
        }
        queue.done("a");
        assert_eq!(queue.help(), Help::None, "two URLs wait for one worker, which is none more");
    }

    #[test]
    fn what_waits_can_be_dropped_and_what_is_being_sent_not() {
        let mut queue = Queue::default();
        for url in ["a", "a", "b"] {
            push(&mut queue, url, 0);
        }
        take(&mut queue);
        queue.clear();
        assert_eq!((queue.len(), queue.is_done()), (1, false));
        queue.done("a");
        assert!(queue.is_done());
    }

    fn push(queue: &mut Queue, url: &str, id: u8) {
        let notice = Notice {
            url: url.into(),
            channel_id: [id].into(),
            headers: Box::default(),
            peer: None,
        };
        queue.push(What::Hold(Event::Subscribe, Arc::new(notice)));
    }

    /// The id of the notice that goes next.
    fn take(queue: &mut Queue) -> Option<u8> {
        queue.take().map(|job| match job.what {
            What::Hold(_, notice) => notice.channel_id[0],
            What::Members(..) => panic!("none was pushed"),
        })
    }
}
