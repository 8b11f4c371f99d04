//! Passthrough: the notices to Django that a hold starts and ends, and the threads that send them;
//! it never delays the loop, which only appends to a queue.
//!
//! Each notice is one POST, in order, over a connection that is kept open. While the thread waits
//! for the answer of one URL, up to three more threads serve other URLs, so that up to three URLs
//! that hang hold up no other. A notice is tried once. Subscribe and unsubscribe go in pairs: when
//! the queue of a URL is full the hold's subscribe is dropped, and then its unsubscribe is not
//! sent.
//!
//! Never panics on what Django answers or a subscriber sent; if a thread dies all the same, the
//! next notice starts another one that goes on with the queue.

use std::collections::HashSet;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use log::{info, warn};
use mio::Waker;

use super::outcomes::{Outcomes, reaction};
use super::post::{Agents, send};
use super::queue::{Help, Job, Queue, What};
use crate::clock::Clock;
use crate::figures::Histogram;
use crate::figures::PassthroughFigures;
use crate::parts::{OfPassthrough, Part};
use crate::rate_limit::RateLimit;
use crate::relay::notice::{Event, Notice, Reaction, Report, Telling, without_query};

/// The queue of notices and the threads that send them.
#[derive(Debug)]
pub(in crate::net) struct Passthrough {
    shared: Arc<Shared>,
    /// What has become of what members were told of.
    told: Receiver<(u64, Reaction)>,
    /// Most notices that wait for one URL when a subscribe is still taken. Each taken subscribe
    /// makes room for its unsubscribe, so that what waits is no longer than this plus the holds
    /// there are.
    queue_max: usize,
    dropped: u64,
    /// Holds whose subscribe was dropped and whose unsubscribe has not come yet.
    untold: HashSet<usize>,
    full: RateLimit,
    no_worker: RateLimit,
}

/// Names a hold: both its notices are one value, which the relay keeps for as long as the hold.
fn hold_of(notice: &Arc<Notice>) -> usize {
    Arc::as_ptr(notice).addr()
}

impl Passthrough {
    /// Nothing is started before the first notice.
    #[must_use]
    pub(in crate::net) fn new(queue_max: usize, waker: Arc<Waker>) -> Self {
        Self::with_times(queue_max, (ANSWER_WITHIN, IDLE_FOR), Some(waker))
    }

    fn with_times(
        queue_max: usize,
        (answer_within, idle_for): (Duration, Duration),
        waker: Option<Arc<Waker>>,
    ) -> Self {
        let (tell, told) = mpsc::channel();
        Self {
            shared: Arc::new(Shared {
                queue: Mutex::default(),
                filled: Condvar::new(),
                emptied: Condvar::new(),
                agents: Part::of(|| Agents::new(answer_within)),
                idle_for,
                clock: Clock::start(),
                outcomes: Mutex::default(),
                tell,
                waker,
            }),
            told,
            queue_max,
            dropped: 0,
            untold: HashSet::new(),
            full: RateLimit::default(),
            no_worker: RateLimit::default(),
        }
    }

    /// Queues a notice; never waits. A subscribe is dropped when its URL's queue is full, and an
    /// unsubscribe when its subscribe was.
    pub(in crate::net) fn notify(&mut self, event: Event, notice: Arc<Notice>, now_mono_ms: u64) {
        if event == Event::Unsubscribe && self.untold.remove(&hold_of(&notice)) {
            return;
        }
        let mut queue = self.shared.lock();
        if event == Event::Subscribe && queue.waiting_for(&notice.url) >= self.queue_max {
            drop(queue);
            self.untold.insert(hold_of(&notice));
            return self.count_dropped(&notice.url, now_mono_ms);
        }
        queue.push(What::Hold(event, notice));
        let help = queue.help();
        drop(queue);
        self.call(help, now_mono_ms);
    }

    /// Queues something of members; never waits. They are told one thing at a time, so the queue
    /// has room for it.
    pub(in crate::net) fn tell(&mut self, number: u64, telling: Box<Telling>, now_mono_ms: u64) {
        let mut queue = self.shared.lock();
        queue.push(What::Members(number, telling));
        let help = queue.help();
        drop(queue);
        self.call(help, now_mono_ms);
    }

    /// What has become of something of members.
    pub(in crate::net) fn poll(&mut self) -> Option<(u64, Reaction)> {
        self.told.try_recv().ok()
    }

    /// Whether every notice so far is sent or given up.
    #[must_use]
    pub(in crate::net) fn is_done(&self) -> bool {
        self.shared.lock().is_done()
    }

    /// What became of the notices so far, and how many wait.
    #[must_use]
    pub(in crate::net) fn figures(&self) -> PassthroughFigures {
        PassthroughFigures {
            passthrough_queue: self.shared.lock().len() as u64,
            passthrough_dropped: self.dropped,
            ..self.shared.outcomes().figures
        }
    }

    /// How long it took to send each, or to give it up.
    #[must_use]
    pub(in crate::net) fn durations(&self) -> Histogram {
        self.shared.outcomes().durations
    }

    /// What became of the last notices; they are kept from the first call on.
    pub(in crate::net) fn take_reports(&self) -> Vec<Report> {
        std::mem::take(self.shared.outcomes().reports.get_or_insert_default())
    }

    /// Sends what is queued, for as long as `within`, and logs how it went. Gives the figures,
    /// and how many notices were given up.
    pub(in crate::net) fn finish(mut self, within: Duration) -> (PassthroughFigures, usize) {
        let help = self.shared.lock().help();
        self.call(help, u64::MAX);
        let mut queue = self.shared.lock();
        queue.closed = true;
        self.shared.filled.notify_all();
        let (mut queue, _) = self
            .shared
            .emptied
            .wait_timeout_while(queue, within, |queue| !queue.is_done())
            .unwrap_or_else(PoisonError::into_inner);
        let left = queue.len();
        queue.clear();
        drop(queue);

        let figures = self.figures();
        if left > 0 {
            warn!(
                "event=passthrough_given_up notices={left} cause=\"unsent when the daemon ended\""
            );
        }
        if figures != PassthroughFigures::default() {
            info!(
                "event=passthrough_ended sent={} failed={} timed_out={} dropped={}",
                figures.passthrough_sent,
                figures.passthrough_failed,
                figures.passthrough_timed_out,
                figures.passthrough_dropped,
            );
        }
        (figures, left)
    }

    fn count_dropped(&mut self, url: &str, now_ms: u64) {
        self.dropped += 1;
        if let Some(times) = self.full.note(now_ms) {
            let (url, waiting) = (without_query(url), self.queue_max);
            warn!(
                "event=passthrough_dropped url={url} times={times} cause=\"{waiting} notices wait \
                 already (limits.passthrough_queue): is Django slow?\""
            );
        }
    }

    fn call(&mut self, help: Help, now_ms: u64) {
        match help {
            Help::None => return,
            Help::Wake => return self.shared.filled.notify_one(),
            Help::Start => {}
        }
        self.shared.lock().workers += 1;
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name("passthrough".to_owned());
        if let Err(error) = thread.spawn(move || work(&shared)) {
            let mut queue = self.shared.lock();
            queue.workers -= 1;
            // Holds wait for the next notice, which may not come before these are answered.
            let back = if queue.workers == 0 { queue.take_back() } else { Vec::new() };
            drop(queue);
            back.into_iter().for_each(|number| self.shared.tell(number, Reaction::Unreachable));
            if let Some(times) = self.no_worker.note(now_ms) {
                let error = error.to_string();
                warn!("event=passthrough_stopped times={times} cause={error:?}");
            }
        }
    }
}

impl Drop for Passthrough {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        queue.clear();
        drop(queue);
        // Not joined: they may wait for answers for long, and end with the process at the latest.
        self.shared.filled.notify_all();
    }
}

/// What the loop and the workers share.
#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when there is a notice to send, or none will come any more.
    filled: Condvar,
    /// Signalled when the last notice is done and none will come any more.
    emptied: Condvar,
    /// Its connections are kept for whichever worker comes next.
    agents: Option<OfPassthrough<Agents>>,
    /// How long a worker waits for a notice where there are others.
    idle_for: Duration,
    clock: Clock,
    outcomes: Mutex<Outcomes>,
    tell: Sender<(u64, Reaction)>,
    /// Wakes the loop; `None`: there is none.
    waker: Option<Arc<Waker>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nobody leaves the queue half changed, so that a panic elsewhere spoils nothing.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's next notice, waited for. `None`: the worker is to end, since no notice will come
    /// any more, or since other workers are enough.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        let mut is_spare = false;
        loop {
            if let Some(job) = queue.take() {
                return Some(job);
            }
            if queue.closed || is_spare {
                // Before anybody else counts on it.
                queue.workers -= 1;
                return None;
            }
            // The last one stays, and sleeps until it is wanted.
            if queue.workers == 1 {
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else {
                let waited = self.filled.wait_timeout(queue, self.idle_for);
                let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                is_spare = timeout.timed_out() && guard.workers > 1;
                queue = guard;
            }
        }
    }

    /// Has the loop take what has become of something of members.
    fn tell(&self, number: u64, reaction: Reaction) {
        // The loop may have ended.
        let _ = self.tell.send((number, reaction));
        if let Some(waker) = &self.waker {
            let _ = waker.wake();
        }
    }

    fn outcomes(&self) -> MutexGuard<'_, Outcomes> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The life of a worker.
fn work(shared: &Shared) {
    let Some(agents) = &shared.agents else { return };
    while let Some(job) = shared.next() {
        let number = match &job.what {
            What::Hold(..) => None,
            What::Members(number, _) => Some(*number),
        };
        let mut sending = Sending { shared, url: job.what.url(), number };
        let began = shared.clock.now();
        let outcome = send(agents, &job.what);
        let ended = shared.clock.now();
        let (reaction, us) = (reaction(&outcome), ended.us_since(began));
        if let Some(number) = sending.number.take() {
            shared.tell(number, reaction);
        }
        let mut outcomes = shared.outcomes();
        outcomes.durations.note(us);
        outcomes.note(outcome, sending.url, (reaction, ended.mono_ms));
        outcomes.report(|| {
            let ((what, channel_id), url) = (job.what.shown(), Arc::clone(job.what.url()));
            Report { what, url, channel_id, reaction, at: ended, us }
        });
    }
}

/// A notice that was taken from the queue. Dropping this marks it as done, also while its worker
/// panics.
struct Sending<'a> {
    shared: &'a Shared,
    url: &'a str,
    /// What has become of it is to be told.
    number: Option<u64>,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            self.shared.tell(number, Reaction::Failed);
        }
        let mut queue = self.shared.lock();
        queue.done(self.url);
        if thread::panicking() {
            queue.workers -= 1;
        }
        if queue.closed && queue.is_done() {
            self.shared.emptied.notify_one();
        }
    }
}

const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const IDLE_FOR: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {

    use pushserver_testkit::{Absent, Client, Upstream, backend};

    use super::super::queue::WORKERS_MAX;
    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    #[test]
    fn a_hold_is_told_of_twice_in_order_over_one_connection() {
        let backend = Backend::that_answers(OK);
        let mut passthrough = passthrough(10);
        let holds = [hold(&backend.url, "a"), hold(&backend.url, "b")];
        for hold in &holds {
            passthrough.notify(Event::Subscribe, Arc::clone(hold), 0);
        }
        for hold in &holds {
            passthrough.notify(Event::Unsubscribe, Arc::clone(hold), 0);
        }
        let (figures, left) = passthrough.finish(LONG);
        assert_eq!((figures.passthrough_sent, left), (4, 0));
        let seen: Vec<Seen> = (0..4).map(|_| backend.next()).collect();
        let bodies: Vec<&str> = seen.iter().map(|seen| &*seen.body).collect();
        let expected = [
            "channel_id=a&subscribe=1",
            "channel_id=b&subscribe=1",
            "channel_id=a&unsubscribe=1",
            "channel_id=b&unsubscribe=1",
        ];
        assert_eq!(bodies, expected);
        assert!(seen.iter().all(|seen| seen.connection == 0));
    }

    #[test]
    fn the_lines_of_a_notice_go_along_with_those_of_the_form() {
        let backend = Backend::that_answers(OK);
        let mut passthrough = passthrough(10);
        let headers = "Cookie: a=1\r\nCookie: b=2\r\nUser-Agent: test\r\n\
            no colon\r\nbad name: 1\r\nX-Bad: \x01\r\nIf-None-Match: 0\r\n";
        let notice = Notice {
            headers: headers.as_bytes().into(),
            peer: Some([192, 0, 2, 7].into()),
            ..unsent(&format!("{}?secret=1", backend.url), "a")
        };
        passthrough.notify(Event::Subscribe, Arc::new(notice), 0);
        let seen = backend.next();
        let mut lines: Vec<&str> = seen.head.lines().collect();
        assert_eq!(lines.remove(0), "POST /told?secret=1 HTTP/1.1");
        lines.sort_unstable();
        let host = format!("host: {}", backend.host());
        let mut expected = [
            "content-length: 24",
            "content-type: application/x-www-form-urlencoded",
            "cookie: a=1",
            "cookie: b=2",
            &host,
            "if-none-match: 0",
            "user-agent: test",
            "x-forwarded-for: 192.0.2.7",
        ];
        expected.sort_unstable();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_channel_id_cannot_break_out_of_the_form() {
        let backend = Backend::that_answers(OK);
        let mut passthrough = passthrough(10);
        let notice = Notice {
            channel_id: b"a b&unsubscribe=1\xff/+~".as_slice().into(),
            ..unsent(&backend.url, "")
        };
        passthrough.notify(Event::Subscribe, Arc::new(notice), 0);
        let expected = "channel_id=a%20b%26unsubscribe%3D1%FF%2F%2B~&subscribe=1";
        assert_eq!(backend.next().body, expected);
    }

    #[test]
    fn a_header_line_as_long_as_the_limit_goes_through() {
        let backend = Backend::that_answers(OK);
        let mut passthrough = passthrough(10);
        let cookie = format!("Cookie: {}\r\n", "x".repeat(32 << 10));
        let notice = Notice { headers: cookie.into_bytes().into(), ..unsent(&backend.url, "a") };
        passthrough.notify(Event::Subscribe, Arc::new(notice), 0);
        assert!(backend.next().head.len() > 32 << 10);
    }

    #[test]
    fn a_full_queue_drops_whole_pairs_and_a_hanging_backend_blocks_nobody() {
        let (backend, gate) = Backend::that_waits(OK);
        let mut passthrough = passthrough(2);
        let holds = ["a", "b", "c", "d"].map(|id| hold(&backend.url, id));
        passthrough.notify(Event::Subscribe, Arc::clone(&holds[0]), 0);
        let first = backend.next();
        for hold in &holds[1..] {
            passthrough.notify(Event::Subscribe, Arc::clone(hold), 0);
        }
        let queued = holds.each_ref().map(|hold| !passthrough.untold.contains(&hold_of(hold)));
        assert_eq!(queued, [true, true, true, false]);
        for hold in &holds {
            passthrough.notify(Event::Unsubscribe, Arc::clone(hold), 0);
        }
        drop(gate);
        let (figures, _) = passthrough.finish(LONG);
        let expected = PassthroughFigures {
            passthrough_sent: 6,
            passthrough_dropped: 1,
            ..PassthroughFigures::default()
        };
        assert_eq!(figures, expected);
        let rest: Vec<String> = (0..5).map(|_| backend.next().body).collect();
        assert_eq!(first.body, "channel_id=a&subscribe=1");
        assert_eq!(rest[..2], ["channel_id=b&subscribe=1", "channel_id=c&subscribe=1"]);
        assert!(rest[2..].iter().all(|body| body.ends_with("&unsubscribe=1")));
    }

    #[test]
    fn an_unsubscribe_without_a_queued_subscribe_is_not_sent() {
        let mut passthrough = passthrough(0);
        let hold = hold("http://127.0.0.1:9/", "a");
        passthrough.notify(Event::Subscribe, Arc::clone(&hold), 0);
        passthrough.notify(Event::Unsubscribe, hold, 0);
        assert_eq!(passthrough.shared.lock().workers, 0);
        let expected =
            PassthroughFigures { passthrough_dropped: 1, ..PassthroughFigures::default() };
        assert_eq!(passthrough.finish(LONG), (expected, 0));
    }

    #[test]
    fn a_dead_backend_is_counted_as_failed() {
        let absent = Absent::bind();
        let url = format!("{}/", absent.url());
        let mut passthrough = passthrough(10);
        let hold = hold(&url, "a");
        passthrough.notify(Event::Subscribe, Arc::clone(&hold), 0);
        passthrough.notify(Event::Unsubscribe, hold, 0);
        let (figures, left) = passthrough.finish(LONG);
        assert_eq!((figures.passthrough_failed, left), (2, 0));
    }

    #[test]
    fn statuses_other_than_2xx_count_as_failed_and_redirects_are_not_followed() {
        let away = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n";
        for answer in [away, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "nonsense\r\n\r\n"] {
            let backend = Backend::that_answers(answer);
            let mut passthrough = passthrough(10);
            passthrough.notify(Event::Subscribe, hold(&backend.url, "a"), 0);
            let (figures, _) = passthrough.finish(LONG);
            assert_eq!(
                figures,
                PassthroughFigures { passthrough_failed: 1, ..PassthroughFigures::default() },
                "{answer}"
            );
            backend.next();
            assert!(backend.requests.try_recv().is_err());
        }
    }

    #[test]
    fn an_answer_of_any_length_is_taken_and_the_next_notice_sent() {
        let long =
            format!("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n{}", "x".repeat(20_000));
        let none = "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        let once = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
        for answer in [long, none, chunked.to_owned(), once.to_owned()] {
            let backend = Backend::that_answers(&answer);
            let mut passthrough = passthrough(10);
            let hold = hold(&backend.url, "a");
            passthrough.notify(Event::Subscribe, Arc::clone(&hold), 0);
            passthrough.notify(Event::Unsubscribe, hold, 0);
            let (figures, _) = passthrough.finish(LONG);
            assert_eq!(figures.passthrough_sent, 2, "{answer}");
        }
    }

    #[test]
    fn a_connection_that_django_closed_meanwhile_costs_no_notice() {
        let vanish = "HTTP/1.1 200 OK\r\nX-Then: vanish\r\nContent-Length: 0\r\n\r\n";
        let backend = Backend::that_answers(vanish);
        let mut passthrough = passthrough(10);
        for connection in 0..3 {
            passthrough.notify(Event::Subscribe, hold(&backend.url, "a"), 0);
            assert_eq!(backend.next().connection, connection);
            assert_eq!(backend.closed.recv_timeout(LONG), Ok(connection));
        }
        assert_eq!(passthrough.finish(LONG).0.passthrough_sent, 3);
    }

    #[test]
    fn a_backend_that_is_silent_times_out() {
        let (backend, _gate) = Backend::that_waits(OK);
        let mut passthrough = with_times(10, Duration::from_millis(50), LONG);
        passthrough.notify(Event::Subscribe, hold(&backend.url, "a"), 0);
        let (figures, left) = passthrough.finish(LONG);
        assert_eq!((figures.passthrough_timed_out, figures.passthrough_failed, left), (1, 0, 0));
    }

    #[test]
    fn finish_gives_up_at_its_deadline_and_tells_what_is_left() {
        let (backend, _gate) = Backend::that_waits(OK);
        let mut passthrough = passthrough(10);
        let hold = hold(&backend.url, "a");
        passthrough.notify(Event::Subscribe, Arc::clone(&hold), 0);
        passthrough.notify(Event::Unsubscribe, hold, 0);
        backend.next();
        let (figures, left) = passthrough.finish(Duration::from_millis(20));
        assert_eq!((figures.passthrough_sent, left), (0, 2));
    }

    #[test]
    fn finish_with_nothing_to_send_returns_at_once() {
        assert_eq!(passthrough(10).finish(LONG), (PassthroughFigures::default(), 0));
    }

    #[test]
    fn a_dead_worker_is_replaced_and_the_queue_goes_on() {
        let backend = Backend::that_answers(OK);
        let mut passthrough = passthrough(10);
        // One that is there and dies of its first notice.
        passthrough.shared.lock().workers = 1;
        passthrough.notify(Event::Subscribe, hold(&backend.url, "a"), 0);
        let shared = Arc::clone(&passthrough.shared);
        let worker = thread::spawn(move || {
            let job = shared.next().unwrap();
            let _sending = Sending { shared: &shared, url: job.what.url(), number: None };
            panic!("as a fault of ours would have it");
        });
        assert!(worker.join().is_err());
        assert_eq!(passthrough.shared.lock().len(), 0);
        passthrough.notify(Event::Subscribe, hold(&backend.url, "b"), 0);
        assert_eq!(backend.next().body, "channel_id=b&subscribe=1");
    }

    #[test]
    fn a_hanging_url_holds_up_no_other_and_each_url_is_told_in_order() {
        let (hanging, gate) = Backend::that_waits(OK);
        let good = Backend::that_answers(OK);
        let mut passthrough = passthrough(100);
        let notify = |passthrough: &mut Passthrough, backend: &Backend| {
            let holds = ["a", "b", "c"].map(|id| hold(&backend.url, id));
            for event in [Event::Subscribe, Event::Unsubscribe] {
                for hold in &holds {
                    passthrough.notify(event, Arc::clone(hold), 0);
                }
            }
        };
        notify(&mut passthrough, &hanging);
        hanging.next();
        notify(&mut passthrough, &good);
        let told: Vec<String> = (0..6).map(|_| good.next().body).collect();
        let expected = ["a&subscribe", "b&subscribe", "c&subscribe", "a&unsubscribe"];
        assert_eq!(told[..4], expected.map(|told| format!("channel_id={told}=1")));
        assert_eq!(passthrough.shared.lock().workers, 2);
        // Of the one that hangs nothing overtakes anything.
        assert!(hanging.requests.try_recv().is_err());
        drop(gate);
        let rest: Vec<String> = (0..5).map(|_| hanging.next().body).collect();
        assert_eq!(rest, told[1..]);
        assert_eq!(passthrough.finish(LONG).0.passthrough_sent, 12);
    }

    #[test]
    fn as_many_urls_may_hang_as_there_are_workers_then_the_next_one_waits() {
        let (backends, gates): (Vec<Backend>, Vec<Sender<()>>) =
            (0..WORKERS_MAX).map(|_| Backend::that_waits(OK)).unzip();
        let good = Backend::that_answers(OK);
        let mut passthrough = passthrough(10);
        for backend in backends.iter().chain([&good]) {
            passthrough.notify(Event::Subscribe, hold(&backend.url, "a"), 0);
        }
        for backend in &backends {
            backend.next();
        }
        assert_eq!(passthrough.shared.lock().len(), WORKERS_MAX + 1);
        assert!(good.requests.try_recv().is_err());
        gates[2].send(()).unwrap();
        good.next();
        assert_eq!(passthrough.shared.lock().workers, WORKERS_MAX);
    }

    #[test]
    fn one_url_has_one_thread_and_those_beyond_one_end_when_they_have_nothing_to_do() {
        let backend = Backend::that_answers(OK);
        let (hanging, gate) = Backend::that_waits(OK);
        let mut passthrough = with_times(100, LONG, Duration::from_millis(20));
        for _ in 0..50 {
            passthrough.notify(Event::Subscribe, hold(&backend.url, "a"), 0);
        }
        (0..50).for_each(|_| drop(backend.next()));
        assert_eq!(passthrough.shared.lock().workers, 1);
        for url in [&hanging.url, &backend.url] {
            passthrough.notify(Event::Subscribe, hold(url, "a"), 0);
        }
        backend.next();
        drop(gate);
        let deadline = std::time::Instant::now() + LONG;
        while passthrough.shared.lock().workers > 1 || !passthrough.is_done() {
            assert!(std::time::Instant::now() < deadline);
            thread::yield_now();
        }
        passthrough.notify(Event::Subscribe, hold(&backend.url, "b"), 0);
        assert_eq!(backend.next().body, "channel_id=b&subscribe=1");
        assert_eq!(passthrough.finish(LONG).0.passthrough_sent, 53);
    }

    #[test]
    fn the_full_queue_of_one_url_drops_nothing_for_another() {
        let (hanging, _gate) = Backend::that_waits(OK);
        let good = Backend::that_answers(OK);
        let mut passthrough = passthrough(1);
        passthrough.notify(Event::Subscribe, hold(&hanging.url, "a"), 0);
        hanging.next();
        for id in ["b", "c"] {
            passthrough.notify(Event::Subscribe, hold(&hanging.url, id), 0);
        }
        passthrough.notify(Event::Subscribe, hold(&good.url, "a"), 0);
        good.next();
        assert_eq!(passthrough.figures().passthrough_dropped, 1);
    }

    fn hold(url: &str, channel_id: &str) -> Arc<Notice> {
        Arc::new(unsent(url, channel_id))
    }

    fn passthrough(queue_max: usize) -> Passthrough {
        with_times(queue_max, ANSWER_WITHIN, IDLE_FOR)
    }

    fn with_times(queue_max: usize, answer_within: Duration, idle_for: Duration) -> Passthrough {
        Passthrough::with_times(queue_max, (answer_within, idle_for), None)
    }

    fn unsent(url: &str, channel_id: &str) -> Notice {
        Notice {
            url: url.into(),
            channel_id: channel_id.as_bytes().into(),
            headers: Box::default(),
            peer: None,
        }
    }

    /// A Django of few words.
    struct Backend {
        url: String,
        requests: Receiver<Seen>,
        /// The number of each connection that the backend has closed.
        closed: Receiver<usize>,
    }

    struct Seen {
        connection: usize,
        head: String,
        body: String,
    }

    impl Backend {
        fn that_answers(answer: &str) -> Self {
            Self::that_waits(answer).0
        }

        /// Answers when the gate lets one pass, or is dropped.
        fn that_waits(answer: &str) -> (Self, Sender<()>) {
            let upstream = Upstream::start();
            let url = format!("{}/told", upstream.url());
            let (seen, requests) = mpsc::channel();
            let (open, gate) = mpsc::channel();
            let (closing, closed) = mpsc::channel();
            let answer = answer.to_owned();
            thread::spawn(move || {
                for (connection, client) in upstream.connections.iter().enumerate() {
                    serve(connection, client, &answer, &seen, &gate);
                    let _ = closing.send(connection);
                }
            });
            (Self { url, requests, closed }, open)
        }

        fn host(&self) -> &str {
            self.url.trim_start_matches("http://").trim_end_matches("/told")
        }

        fn next(&self) -> Seen {
            self.requests.recv_timeout(LONG).unwrap()
        }
    }

    fn serve(
        connection: usize,
        mut client: Client,
        answer: &str,
        seen: &Sender<Seen>,
        gate: &Receiver<()>,
    ) {
        let closes = ["close", "vanish", "nonsense"].iter().any(|word| answer.contains(word));
        while let Some(request) = backend::Seen::of(&mut client) {
            let (head, body) = (request.head.trim_end().to_owned(), request.body);
            let _ = seen.send(Seen { connection, head, body });
            let _ = gate.recv();
            if !client.try_send(answer.as_bytes()) || closes {
                return;
            }
        }
    }
}
