//! Queue: the notices that wait, a lane for each URL, and how many workers are about them. Sends
//! nothing, waits for nothing, starts no thread.
//!
//! A lane gives one notice at a time, so each URL is told in order; which lane comes next is decided
//! by the age of its first notice, so with one worker the order is that of all notices. URLs that
//! were slow never have all workers: their notices are the oldest, and would go before all others.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::relay::notice::{Event, Notice};

/// Workers at once: one, and three more while others wait for an answer.
pub(super) const WORKERS_MAX: usize = 4;

/// Of these, workers that are about URLs that were slow.
const SLOW_MAX: usize = WORKERS_MAX - 1;

/// Slow URLs that are known while nothing waits for them; a reload may bring ever new ones.
const SLOW_KNOWN_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// None of them is empty, but one whose last notice is being sent.
    lanes: Vec<Lane>,
    /// URLs that were slow to answer their last notice.
    slow: VecDeque<Arc<str>>,
    /// Notices that ever came: the number of the next one.
    numbered: u64,
    /// At least as many as there are lanes that are being sent from.
    pub(super) workers: usize,
    /// None will be added any more.
    pub(super) closed: bool,
}

/// What one URL is still to be told.
#[derive(Debug)]
struct Lane {
    url: Arc<str>,
    jobs: VecDeque<Job>,
    /// A worker is about a notice that it has taken from here.
    is_sending: bool,
    /// Its URL was slow to answer its last notice.
    is_slow: bool,
}

/// One notice to send.
#[derive(Debug)]
pub(super) struct Job {
    number: u64,
    pub(super) event: Event,
    pub(super) notice: Arc<Notice>,
}

/// What a notice that came asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Help {
    /// Nothing: all workers wait for answers, or its own URL is being told.
    None,
    /// A worker that has nothing to do.
    Wake,
    /// One more worker.
    Start,
}

impl Queue {
    /// Appends a notice; it may go when those for the same URL have gone.
    pub(super) fn push(&mut self, event: Event, notice: Arc<Notice>) {
        let job = Job { number: self.numbered, event, notice };
        self.numbered += 1;
        match self.lanes.iter_mut().find(|lane| lane.url == job.notice.url) {
            Some(lane) => lane.jobs.push_back(job),
            None => self.lanes.push(Lane {
                url: Arc::clone(&job.notice.url),
                is_slow: self.slow.contains(&job.notice.url),
                jobs: VecDeque::from([job]),
                is_sending: false,
            }),
        }
    }

    /// The oldest notice that may go: for a URL that no worker is about, and that was not slow where
    /// enough workers are about such; to be [`Queue::done`].
    pub(super) fn take(&mut self) -> Option<Job> {
        let takes_slow = self.count(|lane| lane.is_sending && lane.is_slow) < SLOW_MAX;
        let may_go = |lane: &&mut Lane| !lane.is_sending && (takes_slow || !lane.is_slow);
        let lanes = self.lanes.iter_mut().filter(may_go);
        let lane = lanes.min_by_key(|lane| lane.jobs.front().map(|job| job.number))?;
        lane.is_sending = true;
        lane.jobs.pop_front()
    }

    /// A notice that was taken for `url` was sent, or will not be. `is_slow`: that took long.
    pub(super) fn done(&mut self, url: &str, is_slow: bool) {
        let Some(index) = self.lanes.iter().position(|lane| *lane.url == *url) else { return };
        if is_slow != self.lanes[index].is_slow {
            self.lanes[index].is_slow = is_slow;
            self.slow.retain(|slow| **slow != *url);
            if is_slow {
                self.slow.truncate(SLOW_KNOWN_MAX - 1);
                self.slow.push_front(Arc::clone(&self.lanes[index].url));
            }
        }
        if self.lanes[index].jobs.is_empty() {
            self.lanes.swap_remove(index);
        } else {
            self.lanes[index].is_sending = false;
        }
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
        let free = self.workers.saturating_sub(self.sending());
        let slow = self.count(|lane| lane.is_sending && lane.is_slow);
        let slow_ready = self.count(|lane| !lane.is_sending && lane.is_slow);
        let ready = self.count(|lane| !lane.is_sending && !lane.is_slow);
        match ready + slow_ready.min(SLOW_MAX.saturating_sub(slow)) {
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
        self.count(|lane| lane.is_sending)
    }

    fn count(&self, is_meant: impl Fn(&Lane) -> bool) -> usize {
        self.lanes.iter().filter(|lane| is_meant(lane)).count()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn each_url_is_told_in_order_and_the_oldest_notice_goes_first() {
        let mut queue = Queue::default();
        for (url, id) in [("a", 0), ("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5)] {
            push(&mut queue, url, id);
        }
        assert_eq!(take(&mut queue), Some(0));
        assert_eq!(take(&mut queue), Some(2));
        queue.done("b", false);
        // `a` is still being told.
        assert_eq!([take(&mut queue), take(&mut queue)], [Some(4), Some(5)]);
        assert_eq!(take(&mut queue), None);
        queue.done("a", false);
        assert_eq!(take(&mut queue), Some(1));
        assert_eq!((queue.len(), queue.waiting_for("a"), queue.waiting_for("b")), (4, 1, 0));
        for url in ["a", "b", "c"] {
            queue.done(url, false);
        }
        assert_eq!((take(&mut queue), queue.is_done()), (Some(3), false));
        queue.done("a", false);
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
        queue.done("a", false);
        assert_eq!(queue.help(), Help::None, "two URLs wait for one worker, which is none more");
    }

    #[test]
    fn slow_urls_never_have_all_workers_however_old_their_notices_are() {
        let mut queue = Queue { workers: WORKERS_MAX, ..Queue::default() };
        let hanging = ["a", "b", "c", "d"];
        for id in 0..8 {
            push(&mut queue, hanging[usize::from(id) % 4], id);
        }
        for id in 0..4 {
            assert_eq!(take(&mut queue), Some(id));
        }
        push(&mut queue, "good", 8);
        assert_eq!((take(&mut queue), queue.help()), (Some(8), Help::None));
        for url in hanging {
            queue.done(url, true);
        }
        assert_eq!([(); 4].map(|()| take(&mut queue)), [Some(4), Some(5), Some(6), None]);
        queue.done("good", false);
        assert_eq!(queue.help(), Help::None, "the free worker is not for the fourth");
        push(&mut queue, "good", 9);
        assert_eq!((queue.help(), take(&mut queue)), (Help::Wake, Some(9)));
        // One that answers in time again is as any other, and the next slow one has its turn.
        queue.done("b", false);
        push(&mut queue, "b", 10);
        assert_eq!([(); 3].map(|()| take(&mut queue)), [Some(7), Some(10), None]);
        // Slow it stays though nothing waits for it meanwhile.
        queue.done("a", true);
        for (url, id) in [("e", 11), ("a", 12)] {
            push(&mut queue, url, id);
        }
        assert_eq!(take(&mut queue), Some(11));
        queue.done("e", true);
        assert_eq!([(); 2].map(|()| take(&mut queue)), [Some(12), None]);
    }

    #[test]
    fn only_so_many_slow_urls_are_known() {
        let mut queue = Queue::default();
        for url in (0..2 * SLOW_KNOWN_MAX).map(|number| number.to_string()) {
            push(&mut queue, &url, 0);
            take(&mut queue);
            queue.done(&url, true);
        }
        assert_eq!((queue.slow.len(), queue.lanes.len()), (SLOW_KNOWN_MAX, 0));
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
        queue.done("a", false);
        assert!(queue.is_done());
    }

    fn push(queue: &mut Queue, url: &str, id: u8) {
        let notice = Notice {
            url: url.into(),
            channel_id: [id].into(),
            headers: Box::default(),
            peer: None,
            queued: AtomicBool::new(true),
        };
        queue.push(Event::Subscribe, Arc::new(notice));
    }

    /// The id of the notice that goes next.
    fn take(queue: &mut Queue) -> Option<u8> {
        queue.take().map(|job| job.notice.channel_id[0])
    }
}
