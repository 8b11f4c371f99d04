//! Tells Django when a hold starts and when it ends: one POST each, from a thread of its own, in
//! order, over a connection that is kept open.
//!
//! The loop only ever appends to a queue: a slow, dead or hostile Django never delays a delivery.
//! A notice is tried once. Subscribe and unsubscribe go in pairs: when the queue is full a hold's
//! subscribe is dropped, and then its unsubscribe is not sent either.
//!
//! Never panics on what Django answers or a subscriber sent; if the thread dies all the same, the
//! next notice starts another that goes on with the queue.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use log::{info, warn};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use ureq::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use ureq::http::uri::{Scheme, Uri};
use ureq::http::{Request, StatusCode};

use crate::clock::Clock;
use crate::net::warnings::RateLimit;
use crate::relay::notice::{Event, Notice};

/// The queue of notices and the thread that sends them.
#[derive(Debug)]
pub struct Passthrough {
    shared: Arc<Shared>,
    /// Started by the first notice, and again if it has died.
    worker: Option<JoinHandle<()>>,
    /// Most notices in the queue when a subscribe is still taken. Each taken subscribe makes room
    /// for its unsubscribe, so that the queue is no longer than this plus the holds there are.
    queue_max: usize,
    /// How long Django may take for an answer.
    answer_within: Duration,
    dropped: u64,
    full: RateLimit,
    no_worker: RateLimit,
}

/// What became of notices since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Answered with a status of 2xx.
    pub sent: u64,
    /// Answered with another status, or not delivered.
    pub failed: u64,
    /// Not answered in time.
    pub timed_out: u64,
    /// Holds of which neither notice was sent, because the queue was full.
    pub dropped: u64,
}

/// Whether notices can be sent to `url`; for checking the settings.
///
/// # Errors
/// In words, if it is not `http://` with a host, or carries a user name or password.
pub fn check_url(url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|error| format!("not a URL: {error}"))?;
    match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => {}
        Some(scheme) if *scheme == Scheme::HTTPS => {
            return Err("https is not supported here; give the address at which Django answers \
                        plain http, as in http://127.0.0.1:8000/…"
                .to_owned());
        }
        _ => return Err("must start with http://".to_owned()),
    }
    let authority = uri.authority().ok_or("no host")?;
    if authority.as_str().contains('@') {
        return Err("must not carry a user name or password".to_owned());
    }
    if authority.host().is_empty() {
        return Err("no host".to_owned());
    }
    let port = authority.as_str().strip_prefix(authority.host());
    if port != Some("") && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("the port must be a number from 1 to 65535".to_owned());
    }
    Ok(())
}

impl Passthrough {
    /// Nothing is started before the first notice.
    #[must_use]
    pub fn new(queue_max: usize) -> Self {
        Self::with_patience(queue_max, ANSWER_WITHIN)
    }

    fn with_patience(queue_max: usize, answer_within: Duration) -> Self {
        Self {
            shared: Arc::default(),
            worker: None,
            queue_max,
            answer_within,
            dropped: 0,
            full: RateLimit::new(WARNING_PERIOD_MS),
            no_worker: RateLimit::new(WARNING_PERIOD_MS),
        }
    }

    /// Queues a notice; never waits. A subscribe is dropped when the queue is full, and an
    /// unsubscribe when its subscribe was: [`Notice::queued`] keeps which.
    pub fn notify(&mut self, event: Event, notice: Arc<Notice>, now_mono_ms: u64) {
        if event == Event::Unsubscribe && !notice.queued.load(Ordering::Relaxed) {
            return;
        }
        let mut queue = self.shared.lock();
        if event == Event::Subscribe {
            if queue.jobs.len() >= self.queue_max {
                drop(queue);
                self.count_dropped(now_mono_ms);
                return;
            }
            notice.queued.store(true, Ordering::Relaxed);
        }
        queue.jobs.push_back(Job { event, notice });
        let worker_waits = !queue.sending;
        drop(queue);
        if worker_waits {
            self.shared.filled.notify_one();
        }
        self.ensure_worker(now_mono_ms);
    }

    /// What became of the notices so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            sent: self.shared.sent.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
            timed_out: self.shared.timed_out.load(Ordering::Relaxed),
            dropped: self.dropped,
        }
    }

    /// Sends what is queued, for as long as `within`, and logs how it went. Gives the counters,
    /// and how many notices were given up.
    pub fn finish(mut self, within: Duration) -> (Counters, usize) {
        if !self.shared.lock().is_done() {
            self.ensure_worker(u64::MAX);
        }
        let mut queue = self.shared.lock();
        queue.closed = true;
        self.shared.filled.notify_one();
        let (mut queue, _) = self
            .shared
            .emptied
            .wait_timeout_while(queue, within, |queue| !queue.is_done())
            .unwrap_or_else(PoisonError::into_inner);
        let left = queue.jobs.len() + usize::from(queue.sending);
        queue.jobs.clear();
        drop(queue);

        let counters = self.counters();
        if left > 0 {
            warn!("passthrough: gave up notices: count={left}, still unsent at the end");
        }
        if counters != Counters::default() {
            let Counters { sent, failed, timed_out, dropped } = counters;
            info!(
                "passthrough: sent={sent} failed={failed} timed_out={timed_out} dropped={dropped}"
            );
        }
        (counters, left)
    }

    fn count_dropped(&mut self, now_ms: u64) {
        self.dropped += 1;
        if let Some(count) = self.full.note(now_ms) {
            warn!(
                "passthrough: dropped holds: count={count}, {} notices wait already \
                 (limits.passthrough_queue); is Django slow?",
                self.queue_max
            );
        }
    }

    fn ensure_worker(&mut self, now_ms: u64) {
        if self.worker.as_ref().is_some_and(|worker| !worker.is_finished()) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let answer_within = self.answer_within;
        let worker = thread::Builder::new().name("passthrough".to_owned());
        match worker.spawn(move || work(&shared, answer_within)) {
            Ok(worker) => self.worker = Some(worker),
            Err(error) => {
                if let Some(count) = self.no_worker.note(now_ms) {
                    warn!("passthrough: cannot start a thread: error={error} count={count}");
                }
            }
        }
    }
}

impl Drop for Passthrough {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        queue.jobs.clear();
        drop(queue);
        // Not joined: it may wait for an answer for long, and ends with the process at the latest.
        self.shared.filled.notify_one();
    }
}

/// What the loop and the worker share.
#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when there is a notice to send, or none will come any more.
    filled: Condvar,
    /// Signalled when the last notice is done and none will come any more.
    emptied: Condvar,
    sent: AtomicU64,
    failed: AtomicU64,
    timed_out: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// The worker is about a notice that it has taken from the queue.
    sending: bool,
    /// None will be added any more.
    closed: bool,
}

#[derive(Debug)]
struct Job {
    event: Event,
    notice: Arc<Notice>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nobody leaves the queue half changed, so that a panic elsewhere spoils nothing.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker's next notice, waited for; `None` if none will come any more.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                queue.sending = true;
                return Some(job);
            }
            queue.sending = false;
            if queue.closed {
                self.emptied.notify_one();
                return None;
            }
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Queue {
    fn is_done(&self) -> bool {
        self.jobs.is_empty() && !self.sending
    }
}

/// The worker's life.
fn work(shared: &Shared, answer_within: Duration) {
    let agent = agent(answer_within);
    let clock = Clock::start();
    let mut warnings = Warnings::default();
    while let Some(job) = shared.next() {
        let outcome = send(&agent, &job);
        let counter = match &outcome {
            Outcome::Sent => &shared.sent,
            Outcome::TimedOut => &shared.timed_out,
            Outcome::Refused(_) | Outcome::Failed(_) => &shared.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        warnings.tell(&outcome, &job.notice.url, clock.now().mono_ms);
    }
}

enum Outcome {
    Sent,
    /// Another status than 2xx.
    Refused(StatusCode),
    TimedOut,
    /// Not delivered, or the answer is no HTTP.
    Failed(String),
}

/// One limit for each way to fail, so that one kind does not hide another.
struct Warnings {
    refused: RateLimit,
    timed_out: RateLimit,
    failed: RateLimit,
}

impl Default for Warnings {
    fn default() -> Self {
        let limit = RateLimit::new(WARNING_PERIOD_MS);
        Self { refused: limit.clone(), timed_out: limit.clone(), failed: limit }
    }
}

impl Warnings {
    fn tell(&mut self, outcome: &Outcome, url: &str, now_ms: u64) {
        let limit = match outcome {
            Outcome::Sent => return,
            Outcome::Refused(_) => &mut self.refused,
            Outcome::TimedOut => &mut self.timed_out,
            Outcome::Failed(_) => &mut self.failed,
        };
        let Some(count) = limit.note(now_ms) else { return };
        // A query may hold a secret.
        let url = url.split('?').next().unwrap_or_default();
        match outcome {
            Outcome::Sent => {}
            Outcome::Refused(status) => {
                warn!("passthrough: notices refused: url={url} status={status} count={count}");
            }
            Outcome::TimedOut => {
                warn!("passthrough: notices not answered in time: url={url} count={count}");
            }
            Outcome::Failed(error) => {
                warn!("passthrough: notices failed: url={url} error={error} count={count}");
            }
        }
    }
}

/// A client that follows nothing, takes nothing from the environment and waits for nothing long.
fn agent(answer_within: Duration) -> ureq::Agent {
    let agent = ureq::Agent::config_builder()
        // A bound for each phase and none for the whole: with one, ureq starts a thread for every
        // request to look up the host, and panics if it cannot.
        .timeout_connect(Some(CONNECT_WITHIN))
        .timeout_send_request(Some(SEND_WITHIN))
        .timeout_send_body(Some(SEND_WITHIN))
        .timeout_recv_response(Some(answer_within))
        .timeout_recv_body(Some(SEND_WITHIN))
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        // Only what the subscriber sent: an empty value adds no header of ureq's own.
        .user_agent("")
        .accept("")
        .accept_encoding("")
        .max_response_header_size(16 << 10)
        .input_buffer_size(16 << 10)
        // One header line of a subscriber must fit (limits.header_bytes, 32 KiB by default).
        .output_buffer_size(64 << 10)
        .max_idle_connections(4)
        .max_idle_connections_per_host(1)
        .build();
    agent.into()
}

fn send(agent: &ureq::Agent, job: &Job) -> Outcome {
    let request = match request(job) {
        Ok(request) => request,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let mut response = match agent.run(request) {
        Ok(response) => response,
        Err(ureq::Error::Timeout(_)) => return Outcome::TimedOut,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    // Only a connection whose answer was read to the end is used again. What fails here no longer
    // matters: the notice was answered.
    let mut body = response.body_mut().as_reader().take(ANSWER_BYTES_MAX);
    let _ = std::io::copy(&mut body, &mut std::io::sink());
    match response.status() {
        status if status.is_success() => Outcome::Sent,
        status => Outcome::Refused(status),
    }
}

fn request(job: &Job) -> Result<Request<String>, ureq::http::Error> {
    let Job { event, notice } = job;
    let channel_id = percent_encode(&notice.channel_id, FORM);
    let event = match event {
        Event::Subscribe => "subscribe",
        Event::Unsubscribe => "unsubscribe",
    };
    let mut request =
        Request::post(&*notice.url).body(format!("channel_id={channel_id}&{event}=1"))?;
    copy_headers(&notice.headers, request.headers_mut());
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, form);
    if let Some(peer) = notice.peer {
        let peer = HeaderValue::try_from(peer.to_string())?;
        request.headers_mut().insert("x-forwarded-for", peer);
    }
    Ok(request)
}

/// Copies the lines of a request head that speak of the subscriber, not of its connection.
fn copy_headers(lines: &[u8], headers: &mut HeaderMap) {
    for line in lines.split(|&byte| byte == b'\n') {
        let mut parts = line.splitn(2, |&byte| byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        let Ok(name) = HeaderName::from_bytes(name) else { continue };
        let Ok(value) = HeaderValue::from_bytes(value.trim_ascii()) else { continue };
        if speaks_of_the_subscriber(&name) {
            // Fails beyond 32,768 headers only; the relay's own limit is far below.
            let _ = headers.try_append(name, value);
        }
    }
}

fn speaks_of_the_subscriber(name: &HeaderName) -> bool {
    let name = name.as_str();
    let connection = [
        "connection",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    // Ours alone to say. To WSGI `X_Forwarded_For` is the same name, hence no underscores either.
    let forged = name == "x-forwarded-for" || name.contains('_');
    !connection.contains(&name) && !name.starts_with("content-") && !forged
}

/// What stands for itself in a form: the characters that every encoder leaves alone.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const SEND_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 8 << 10;
const WARNING_PERIOD_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    #[test]
    fn a_hold_is_told_of_twice_in_order_over_one_connection() {
        let backend = Backend::that_answers(OK);
        let mut passthrough = Passthrough::new(10);
        let holds = [hold(&backend.url, "a"), hold(&backend.url, "b")];
        for hold in &holds {
            passthrough.notify(Event::Subscribe, Arc::clone(hold), 0);
        }
        for hold in &holds {
            passthrough.notify(Event::Unsubscribe, Arc::clone(hold), 0);
        }
        let (counters, left) = passthrough.finish(LONG);
        assert_eq!((counters.sent, left), (4, 0));
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
    fn the_subscribers_own_headers_go_along_and_those_of_its_connection_do_not() {
        let backend = Backend::that_answers(OK);
        let mut passthrough = Passthrough::new(10);
        let headers = "Cookie: a=1\r\nCookie: b=2\r\nUser-Agent: test\r\nHost: evil\r\n\
            Content-Length: 99\r\nContent-Type: text/evil\r\nConnection: close\r\nUpgrade: x\r\n\
            Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nX-Forwarded-For: 6.6.6.6\r\n\
            X_Forwarded_For: 6.6.6.6\r\nno colon\r\nbad name: 1\r\nX-Bad: \x01\r\n\
            If-None-Match: 0\r\n";
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
        let mut passthrough = Passthrough::new(10);
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
        let mut passthrough = Passthrough::new(10);
        let cookie = format!("Cookie: {}\r\n", "x".repeat(32 << 10));
        let notice = Notice { headers: cookie.into_bytes().into(), ..unsent(&backend.url, "a") };
        passthrough.notify(Event::Subscribe, Arc::new(notice), 0);
        assert!(backend.next().head.len() > 32 << 10);
    }

    #[test]
    fn a_full_queue_drops_whole_pairs_and_a_hanging_backend_blocks_nobody() {
        let (backend, gate) = Backend::that_waits(OK);
        let mut passthrough = Passthrough::new(2);
        let holds = ["a", "b", "c", "d"].map(|id| hold(&backend.url, id));
        passthrough.notify(Event::Subscribe, Arc::clone(&holds[0]), 0);
        let first = backend.next();
        for hold in &holds[1..] {
            passthrough.notify(Event::Subscribe, Arc::clone(hold), 0);
        }
        for hold in &holds {
            passthrough.notify(Event::Unsubscribe, Arc::clone(hold), 0);
        }
        let queued = holds.each_ref().map(|hold| hold.queued.load(Ordering::Relaxed));
        assert_eq!(queued, [true, true, true, false]);
        drop(gate);
        let (counters, _) = passthrough.finish(LONG);
        let expected = Counters { sent: 6, failed: 0, timed_out: 0, dropped: 1 };
        assert_eq!(counters, expected);
        let rest: Vec<String> = (0..5).map(|_| backend.next().body).collect();
        assert_eq!(first.body, "channel_id=a&subscribe=1");
        assert_eq!(rest[..2], ["channel_id=b&subscribe=1", "channel_id=c&subscribe=1"]);
        assert!(rest[2..].iter().all(|body| body.ends_with("&unsubscribe=1")));
    }

    #[test]
    fn an_unsubscribe_without_a_queued_subscribe_is_not_sent() {
        let mut passthrough = Passthrough::new(0);
        let hold = hold("http://127.0.0.1:9/", "a");
        passthrough.notify(Event::Subscribe, Arc::clone(&hold), 0);
        passthrough.notify(Event::Unsubscribe, hold, 0);
        assert!(passthrough.worker.is_none());
        let expected = Counters { dropped: 1, ..Counters::default() };
        assert_eq!(passthrough.finish(LONG), (expected, 0));
    }

    #[test]
    fn a_dead_backend_is_counted_as_failed() {
        let url = format!("http://{}/", free_address());
        let mut passthrough = Passthrough::new(10);
        let hold = hold(&url, "a");
        passthrough.notify(Event::Subscribe, Arc::clone(&hold), 0);
        passthrough.notify(Event::Unsubscribe, hold, 0);
        let (counters, left) = passthrough.finish(LONG);
        assert_eq!((counters.failed, left), (2, 0));
    }

    #[test]
    fn statuses_other_than_2xx_count_as_failed_and_redirects_are_not_followed() {
        let away = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n";
        for answer in [away, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "nonsense\r\n\r\n"] {
            let backend = Backend::that_answers(answer);
            let mut passthrough = Passthrough::new(10);
            passthrough.notify(Event::Subscribe, hold(&backend.url, "a"), 0);
            let (counters, _) = passthrough.finish(LONG);
            assert_eq!(counters, Counters { failed: 1, ..Counters::default() }, "{answer}");
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
            let mut passthrough = Passthrough::new(10);
            let hold = hold(&backend.url, "a");
            passthrough.notify(Event::Subscribe, Arc::clone(&hold), 0);
            passthrough.notify(Event::Unsubscribe, hold, 0);
            let (counters, _) = passthrough.finish(LONG);
            assert_eq!(counters.sent, 2, "{answer}");
        }
    }

    #[test]
    fn a_backend_that_is_silent_times_out() {
        let (backend, _gate) = Backend::that_waits(OK);
        let mut passthrough = Passthrough::with_patience(10, Duration::from_millis(50));
        passthrough.notify(Event::Subscribe, hold(&backend.url, "a"), 0);
        let (counters, left) = passthrough.finish(LONG);
        assert_eq!((counters.timed_out, counters.failed, left), (1, 0, 0));
    }

    #[test]
    fn finish_gives_up_at_its_deadline_and_tells_what_is_left() {
        let (backend, _gate) = Backend::that_waits(OK);
        let mut passthrough = Passthrough::new(10);
        let hold = hold(&backend.url, "a");
        passthrough.notify(Event::Subscribe, Arc::clone(&hold), 0);
        passthrough.notify(Event::Unsubscribe, hold, 0);
        backend.next();
        let (counters, left) = passthrough.finish(Duration::from_millis(20));
        assert_eq!((counters.sent, left), (0, 2));
    }

    #[test]
    fn finish_with_nothing_to_send_returns_at_once() {
        assert_eq!(Passthrough::new(10).finish(LONG), (Counters::default(), 0));
    }

    #[test]
    fn a_dead_worker_is_replaced_and_the_queue_goes_on() {
        let backend = Backend::that_answers(OK);
        let mut passthrough = Passthrough::new(10);
        let dead = thread::spawn(|| {});
        while !dead.is_finished() {
            thread::yield_now();
        }
        passthrough.worker = Some(dead);
        passthrough.notify(Event::Subscribe, hold(&backend.url, "a"), 0);
        assert_eq!(backend.next().body, "channel_id=a&subscribe=1");
    }

    #[test]
    fn only_plain_http_with_a_host_can_be_told() {
        for url in ["http://127.0.0.1:8000/told", "http://localhost", "http://[::1]:80/a?b=c"] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        for (url, words) in [
            ("https://example.org/", "https is not supported"),
            ("ftp://example.org/", "must start with http://"),
            ("/told", "must start with http://"),
            ("example.org", "must start with http://"),
            ("http://", "not a URL"),
            ("http://user:secret@example.org/", "user name or password"),
            ("http://example.org:0/", "the port"),
            ("http://example.org:70000/", "the port"),
            ("http://example.org:/", "the port"),
            ("http://a b/", "not a URL"),
        ] {
            let error = check_url(url).unwrap_err();
            assert!(error.contains(words), "{url}: {error}");
        }
    }

    fn hold(url: &str, channel_id: &str) -> Arc<Notice> {
        Arc::new(unsent(url, channel_id))
    }

    fn unsent(url: &str, channel_id: &str) -> Notice {
        Notice {
            url: url.into(),
            channel_id: channel_id.as_bytes().into(),
            headers: Box::default(),
            peer: None,
            queued: AtomicBool::new(false),
        }
    }

    fn free_address() -> std::net::SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    /// A Django of few words.
    struct Backend {
        url: String,
        requests: Receiver<Seen>,
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
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/told", listener.local_addr().unwrap());
            let (seen, requests) = mpsc::channel();
            let (open, gate) = mpsc::channel();
            let answer = answer.to_owned();
            thread::spawn(move || {
                for (connection, stream) in listener.incoming().enumerate() {
                    let _ = serve(connection, &stream.unwrap(), &answer, &seen, &gate);
                }
            });
            (Self { url, requests }, open)
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
        stream: &TcpStream,
        answer: &str,
        seen: &Sender<Seen>,
        gate: &Receiver<()>,
    ) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let mut head = String::new();
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let body = String::from_utf8(body).unwrap();
            let _ = seen.send(Seen { connection, head, body });
            let _ = gate.recv();
            (&mut &*stream).write_all(answer.as_bytes())?;
            if answer.contains("close") || answer.starts_with("nonsense") {
                return Ok(());
            }
        }
    }
}
