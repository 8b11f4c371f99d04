//! Crowd: clients of every kind that are there before, while and after Redis is away, and what
//! each of them must see.

use std::thread;
use std::time::{Duration, Instant};

use pushserver_testkit::transcripts::part::Part;
use pushserver_testkit::{Client, Daemon, Stream, counters, request, until};

use crate::scene::{SOON, ask, assert_at_once, assert_away, kept, timed, until_published};

/// Until clients are served again: two seconds, and one for a busy machine.
pub(crate) const RECOVERY: Duration = Duration::from_secs(3);
/// An unanswered command means that Redis is away, and there is a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(2500);

/// See the file.
pub(crate) struct Crowd<'a> {
    daemon: &'a Daemon,
    held: Client,
    events: Stream,
    socket: Stream,
    /// Those that came while Redis was away.
    late: Vec<Late>,
}

enum Late {
    Poll(Client),
    Stream(Stream),
    /// Streams of a channel that does not exist.
    MissingEvents(Stream),
    MissingSocket(Stream),
}

/// How soon publishers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The link is down already, or ends with what is asked.
    AtOnce,
    /// Redis does not answer.
    AfterTimeout,
}

impl<'a> Crowd<'a> {
    /// Clients that wait on the channel `a`, which has had a message.
    #[track_caller]
    pub(crate) fn gather(daemon: &'a Daemon) -> Self {
        until_published(daemon, "a", "before");
        let first = daemon.poll("a").answer();
        let held = daemon.ask(request("GET /subscriber/a", &first.cursor()));
        let mut events = Stream::events(daemon.connect(), "/subscriber/a");
        let mut socket = Stream::socket_with_ids(daemon.connect(), "/subscriber/a");
        assert_eq!(
            (events.message().body, socket.message().body),
            ("before".into(), "before".into())
        );
        daemon.until_held("a", 3);
        Self { daemon, held, events, socket, late: Vec::new() }
    }

    /// While Redis is away: all that ask are told, all that wait go on waiting.
    #[track_caller]
    pub(crate) fn outlast(&mut self, told: Told) {
        let daemon = self.daemon;
        let (answer, took) = timed(|| daemon.publish("a", "never"));
        assert_away(&answer);
        assert!(took <= if told == Told::AtOnce { SOON } else { TIMEOUT }, "{took:?}");
        assert_at_once("a publisher", || assert_away(&daemon.publish("a", "never")));
        for line in ["GET /now/a", "GET /publisher/a", "PUT /publisher/a", "DELETE /publisher/a"] {
            assert_at_once(line, || assert_away(&ask(daemon, line)));
        }
        self.come_late();
        assert_at_once("another store", || {
            let mut client = daemon.connect();
            assert!(client.post("/here/publisher/a", b"m").answer().status < 300);
            assert_eq!(client.get("/here/subscriber/a").answer().text(), "m");
        });
        let (cpu, begin) = (daemon.vitals().cpu(), Instant::now());
        let (answer, took) = timed(|| ask(daemon, "GET /brief/a"));
        assert_eq!(answer.status, 304);
        assert!(
            took >= Duration::from_millis(900) && took <= Duration::from_secs(1) + SOON,
            "{took:?}"
        );
        let (cpu, wall) = (daemon.vitals().cpu() - cpu, begin.elapsed());
        assert!(cpu < wall / 4, "it spins: {cpu:?} of {wall:?}");
        let now = Instant::now();
        for client in [&mut self.held, &mut self.events.client, &mut self.socket.client] {
            assert_eq!(client.fill_until(now), None, "{}", client.inbox.escape_ascii());
        }
    }

    /// New clients, while Redis is away.
    fn come_late(&mut self) {
        let daemon = self.daemon;
        let events = |path| Stream::events(daemon.connect(), path);
        self.late.push(Late::Poll(daemon.poll("late")));
        let begins: [Box<dyn FnOnce() -> Late + Send>; 5] = [
            Box::new(|| Late::Stream(events("/subscriber/late"))),
            Box::new(|| {
                Late::Stream(Stream::socket_with_ids(daemon.connect(), "/subscriber/late"))
            }),
            Box::new(|| Late::Stream(events("/list/late,later"))),
            Box::new(|| Late::MissingEvents(events("/made/missing"))),
            Box::new(|| Late::MissingSocket(Stream::socket(daemon.connect(), "/made/missing"))),
        ];
        let begin = Instant::now();
        let late: Vec<Late> = thread::scope(|scope| {
            let begun = begins.map(|begin| scope.spawn(begin));
            begun.into_iter().map(|stream| stream.join().unwrap()).collect()
        });
        // Headers are sent after a second, with the answer or without it.
        assert!(begin.elapsed() <= Duration::from_secs(1) + SOON, "{:?}", begin.elapsed());
        self.late.extend(late);
    }

    /// Redis is back since then: all that have waited are served.
    #[track_caller]
    pub(crate) fn go_on(self, back: Instant) {
        self.go_on_within(RECOVERY, back);
    }

    /// As [`Crowd::go_on`], where that may take so long.
    #[track_caller]
    pub(crate) fn go_on_within(mut self, recovery: Duration, back: Instant) {
        let daemon = self.daemon;
        let answer = until_published(daemon, "a", "after");
        assert!(back.elapsed() <= recovery, "{:?}", back.elapsed());
        assert_eq!(answer.status, 201, "{} wait", self.waiting());
        let answer = self.held.answer();
        assert_eq!((answer.status, answer.text()), (200, "after"));
        assert_eq!(self.events.message().body, b"after");
        assert_eq!(self.socket.message().body, b"after");
        if !self.late.is_empty() {
            assert_eq!(daemon.publish("late", "first").status, 201);
        }
        for late in self.late {
            match late {
                Late::Poll(mut client) => assert_eq!(client.answer().text(), "first"),
                Late::Stream(mut stream) => assert_eq!(stream.message().body, b"first"),
                Late::MissingEvents(mut stream) => {
                    assert_eq!(end_of_events(&mut stream), "404 Not Found")
                }
                Late::MissingSocket(mut stream) => assert_eq!(close_code(&mut stream), 4404),
            }
        }
        let kept = kept(daemon, "a");
        assert!(!kept.iter().any(|body| body == "never"), "{kept:?}");
        assert_eq!(kept.last().map(String::as_str), Some("after"));
        let longest = Duration::from_millis(counters(daemon)["longest_turn_ms"]);
        // But for the time in which others had the processor.
        let queued = daemon.vitals().queued();
        assert!(longest < queued + SOON / 5, "a turn of {longest:?}, {queued:?} in the queue");
    }

    fn waiting(&self) -> u64 {
        counters(self.daemon)["held"]
    }
}

/// Why an event stream ends.
#[track_caller]
pub(crate) fn end_of_events(stream: &mut Stream) -> String {
    loop {
        let Part::Block(block) = stream.part() else { panic!("an event stream") };
        let text = String::from_utf8(block).unwrap();
        if text.starts_with(':') {
            continue;
        }
        assert!(text.contains("event: push:end"), "{text}");
        return text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned();
    }
}

/// Why a WebSocket ends.
#[track_caller]
pub(crate) fn close_code(stream: &mut Stream) -> u16 {
    loop {
        let frame = stream.frame();
        match frame.kind {
            "ping" => {}
            "close" => return u16::from_be_bytes([frame.payload[0], frame.payload[1]]),
            kind => panic!("{kind} {}", frame.payload.escape_ascii()),
        }
    }
}

/// Waits until Redis is known to be away.
#[track_caller]
pub(crate) fn until_away(daemon: &Daemon) {
    until("Redis is away", || ask(daemon, "GET /publisher/none").status == 503);
}
