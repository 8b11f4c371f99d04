//! What happened, told to the model; and what the relay asked for, compared with what is due.

use std::collections::VecDeque;

use pushserver::message::MessageId;
use pushserver::relay::notice::Event;
use pushserver::relay::{Input, Output};
use pushserver::store::Gap;

use crate::awaiting::{Awaited, applied};
use crate::client::{Expect, Phase, Timer};
use crate::model::{Information, Message};
use crate::request::{ACCEPTS, Ask, Request};
use crate::settings::{Kind, PLACES, Place};
use crate::stream::Given;
use crate::world::World;
use pushserver_testkit::peer::bytes;
use pushserver_testkit::{Answer, Happened};

impl World {
    /// Lets the model do what the relay did.
    pub(crate) fn observe(&mut self) {
        let mut all = VecDeque::from(self.network.happened());
        while let Some(happened) = all.pop_front() {
            match happened {
                own if self.inspecting.is_own(&own) => {}
                Happened::Received(conn, bytes) => self.received(self.numbers[&conn], &bytes),
                Happened::Refused(conn) => self.refused(self.numbers[&conn]),
                Happened::Told(conn, input) => self.told(self.numbers[&conn], input),
                Happened::Due => {
                    // Timers of streams are due before everything else, which shows only later.
                    self.end_timed_out(&all);
                    self.due();
                    // Those of polls are due behind everything else, and before a batch is given
                    // out, though their answers are sent behind that.
                    self.end_timed_out_polls(&all);
                    self.decide();
                }
                Happened::Asked(output) => self.asked(&output),
                Happened::Taken(store, messages) => self.taken(store, &messages),
                Happened::Written(store, outcome) => self.written(store, outcome),
            }
        }
    }

    /// Takes turns until the relay waits for somebody.
    pub(crate) fn drain(&mut self) {
        loop {
            self.turn();
            let is_ready = self.network.relay.state().due_ms() == Some(0);
            assert!(
                self.is_behind() || is_ready != self.ready.is_empty(),
                "ready are {:?}",
                self.ready
            );
            if !self.network.is_busy() {
                break;
            }
        }
        self.check_quiet();
    }

    fn received(&mut self, number: u64, bytes: &[u8]) {
        self.note(|| format!("  {number} sends {}", bytes[..bytes.len().min(600)].escape_ascii()));
        let limits = self.settings.limits.clone();
        let now_ms = self.now().mono_ms;
        let client = self.client(number);
        assert!(client.wants_read(&limits), "{number} is read");
        assert!(bytes.len() <= client.reads_at_most(&limits), "{number} is read too far");
        (client.paused, client.unread) = (false, false);
        if let Some(stream) = &mut client.stream {
            stream.heard_ms = now_ms;
        }
        match client.phase {
            Phase::Lingering(_) if !client.stalled => {
                client.arm(Timer::Linger, &limits, now_ms);
                self.count("sent though refused");
            }
            Phase::Lingering(_) | Phase::Closing => {}
            Phase::Streaming if client.stream.as_ref().is_some_and(|one| !one.is_websocket()) => {
                self.count("sent on an event stream");
            }
            _ => {
                client.kept.extend_from_slice(bytes);
                self.end_flooded(number);
                self.go_on(number);
            }
        }
    }

    fn refused(&mut self, number: u64) {
        let limits = self.settings.limits.clone();
        let client = self.client(number);
        assert!(!client.wants_read(&limits), "{number} is not read");
        (client.paused, client.unread) = (true, true);
    }

    fn told(&mut self, number: u64, input: Input<'_>) {
        let limits = self.settings.limits.clone();
        let now_ms = self.now().mono_ms;
        let client = self.client(number);
        match input {
            Input::Ended => self.ended(number),
            Input::Closed => {
                let conn = self.conns.remove(&number).expect("it is open");
                self.numbers.remove(&conn);
                self.abandon_hold(number);
                self.leave_stream(number);
                if self.asks.give_up(number) {
                    self.count("asked and gone");
                }
                self.clients.remove(&number);
            }
            Input::Stalled => {
                client.stalled = true;
                if let Some(stream) = &mut client.stream {
                    stream.was_behind = true;
                    self.count("streams stalled");
                }
                let client = self.client(number);
                client.arm(Timer::Write, &limits, now_ms);
                self.count("stalled");
            }
            Input::Progressed => client.arm(Timer::Write, &limits, now_ms),
            Input::Drained => self.drained(number),
            // `World::shed` tells the relay, and the model.
            Input::Evicted | Input::Unread => {}
            Input::Received(_) | Input::Secured | Input::Connected | Input::ConnectFailed(_) => {
                panic!("there is no upstream, and no TLS")
            }
        }
    }

    fn ended(&mut self, number: u64) {
        let client = self.client(number);
        let is_again = std::mem::replace(&mut client.ended, true);
        let has_bytes = !client.kept.is_empty();
        let requests_wait = client.ready || has_bytes && (client.stalled || client.publishes());
        match client.phase {
            Phase::Streaming if requests_wait && client.ends_behind_input() => {
                self.count("ends behind messages by WebSocket");
            }
            Phase::Head | Phase::Body(_) if requests_wait => {}
            Phase::Asked => {
                if self.client(number).awaited.is_some() {
                    self.count("publishers that wait no more");
                }
                self.acknowledge(number, true);
            }
            Phase::Waiting => {
                self.abandon_hold(number);
                self.close(number);
            }
            _ => self.close(number),
        }
        if is_again {
            self.count("ends told again");
        }
    }

    fn drained(&mut self, number: u64) {
        let limits = self.settings.limits.clone();
        let (now_ms, stopping) = (self.now().mono_ms, self.stopping);
        let is_slow = self.asks.is_slow();
        let client = self.client(number);
        client.stalled = false;
        match client.phase {
            Phase::Head => self.await_request(number, true),
            Phase::Body(_) => {
                client.arm_body(stopping, &limits, now_ms);
                self.make_ready(number, true);
            }
            Phase::Lingering(_) => client.linger(stopping, &limits, now_ms),
            Phase::Asked if client.awaited.is_some() => {
                let until_ms = client.awaited.as_ref().map(Awaited::until_ms);
                client.timer = until_ms.map(|until_ms| (Timer::Sent, until_ms.max(now_ms)));
            }
            Phase::Asked if is_slow => client.arm_store(stopping, &limits, now_ms),
            Phase::Streaming if client.publishes() => client.arm_ping(&limits, now_ms),
            Phase::Streaming => {
                client.arm_ping(&limits, now_ms);
                self.make_ready(number, true);
            }
            Phase::Waiting if client.paused => {
                client.timer = None;
                self.make_ready(number, true);
                self.end_flooded(number);
            }
            _ => client.timer = None,
        }
    }

    fn asked(&mut self, output: &Output) {
        match output {
            Output::Send { conn, payload, .. } => {
                let Some(&number) = self.numbers.get(conn) else {
                    return self.note_sent_something();
                };
                let bytes = bytes(payload);
                assert_eq!(bytes.len(), payload.len());
                self.sent(number, &bytes);
            }
            Output::ShutdownWrite { conn } => {
                if let Some(number) = self.numbers.get(conn) {
                    let client = &self.clients[number];
                    assert!(matches!(client.phase, Phase::Lingering(_) | Phase::Closing));
                }
            }
            Output::Close { conn } => {
                let Some(&number) = self.numbers.get(conn) else { return };
                self.note(|| format!("  {number} is closed"));
                if self.clients[&number].phase == Phase::Streaming {
                    self.check_silent_end(number);
                }
                let client = self.client(number);
                assert!(client.must_close && !client.close_seen, "{number} is closed");
                client.close_seen = true;
            }
            Output::Abort { conn } => {
                let Some(&number) = self.numbers.get(conn) else { return };
                assert!(self.client(number).must_abort, "{number} is aborted");
            }
            Output::Connect { .. }
            | Output::Resolve { .. }
            | Output::Reset { .. }
            | Output::Tell { .. }
            | Output::Figures { .. } => {
                panic!("there is no upstream")
            }
            Output::ResumeRead { conn } => {
                if let Some(&number) = self.numbers.get(conn) {
                    self.note(|| format!("  {number} is read again"));
                    self.count("resumed");
                    let client = self.client(number);
                    // One that is refused again meanwhile asks again.
                    client.unread = client.paused;
                }
            }
            Output::Notify { event, notice } => {
                let is_url =
                    |place: &&Place| *notice.url == *format!("http://django{}", place.path);
                assert!(PLACES.iter().find(is_url).expect("a location's URL").passthrough);
                if *event == Event::Subscribe {
                    self.count("subscribe notices");
                }
            }
        }
    }

    pub(crate) fn sent(&mut self, number: u64, bytes: &[u8]) {
        self.note(|| format!("  {number} gets {}", bytes[..bytes.len().min(300)].escape_ascii()));
        self.acknowledge_unasked(number);
        let client = self.client(number);
        let is_answer = match client.expects.front() {
            // A Ping that was due before the client's last frames had their turn.
            Some((Expect::Pong(_) | Expect::Close(_), ..))
                if bytes == [0x89, 0] && client.stream.is_none() =>
            {
                return;
            }
            Some((Expect::Pong(_) | Expect::Close(_), ..))
                if matches!(bytes[0], 0x81 | 0x82) && client.stream.is_none() =>
            {
                return self.fed_at_end(number, bytes);
            }
            // What was due before its client's end had its turn, behind messages that waited.
            None if client.ended_behind_messages() => {
                if bytes != [0x89, 0] {
                    self.fed_at_end(number, bytes);
                }
                return;
            }
            Some((Expect::Pong(_), ..)) => bytes[0] == 0x8a,
            _ => true,
        };
        if !is_answer {
            // What is under way to a stream may come before.
            return self.fed(number, bytes);
        }
        let (expect, request, closes) = match client.expects.pop_front() {
            Some(expected) => expected,
            None if client.phase == Phase::Streaming => return self.fed(number, bytes),
            None if client.stream.is_some() => {
                return self.poll_answered(number, &read(bytes, false));
            }
            None => panic!("{number} gets an answer it did not ask for: {:?}", client.phase),
        };
        if matches!(expect, Expect::Begins | Expect::Pong(_) | Expect::Close(_)) {
            return self.check_of_stream(number, bytes, &expect, &request);
        }
        let is_head = matches!(request.ask, Ask::Inspect { is_head: true })
            && !matches!(expect, Expect::Status(408));
        if matches!(expect, Expect::Status(410)) {
            self.leaves_deleted(number);
        }
        let answer = read(bytes, is_head);
        let expect = match expect {
            Expect::MadeRoom(mut stream) => {
                self.check_poll(number, &mut stream, &request, &answer);
                Expect::Status(answer.status)
            }
            other => other,
        };
        self.check_answer(&answer, &expect, &request);
        // 426 has another one beside it.
        if !matches!(expect, Expect::Continue | Expect::Status(426)) {
            let closes = closes.unwrap_or(request.close || self.stopping);
            self.check_connection(&answer, &request, closes);
        }
        let client = self.client(number);
        let is_woken = client.held.is_some_and(|held| held.woken.is_some());
        if is_woken && client.expects.is_empty() {
            client.held = None;
            self.answered(number, &request, true);
        } else if matches!(expect, Expect::Deleted { .. }) {
            self.answered(number, &request, true);
        }
    }

    /// What an answer says of its connection.
    pub(crate) fn check_connection(&self, answer: &Answer, request: &Request, closes: bool) {
        let kept = request.keep_alive.then_some("keep-alive");
        let connection = if closes { Some("close") } else { kept };
        assert_eq!(answer.header("connection"), connection, "{request:?}");
    }

    pub(crate) fn check_answer(&mut self, answer: &Answer, expect: &Expect, request: &Request) {
        let status = answer.status;
        let cursor = match request.ask {
            Ask::Get(cursor) => Some(cursor),
            _ => None,
        };
        match expect {
            Expect::Begins | Expect::Pong(_) | Expect::Close(_) => unreachable!("of streams"),
            Expect::MadeRoom(_) => unreachable!("checked"),
            Expect::Continue => return assert_eq!(status, 100),
            Expect::Status(expected) => {
                assert_eq!(status, *expected, "{request:?}");
                self.count(match expected {
                    403 => "403",
                    408 => "408",
                    409 => "409",
                    410 => "410",
                    413 => "413",
                    503 => "503",
                    507 => "507",
                    _ => "other statuses",
                });
            }
            Expect::Information { status: expected, information, form } => {
                assert_eq!(status, *expected, "{request:?}");
                check_information(answer, information, *form, request);
                let applied = applied(status, request);
                assert_eq!(answer.header("preference-applied"), applied.as_deref(), "{request:?}");
            }
            Expect::Deleted { holders, information, form } => {
                assert_eq!(status, 200);
                check_information(answer, information, *form, request);
                assert_eq!(*holders, [0_u64; 0], "deleted before every holder was told");
            }
            Expect::Acknowledged(awaited) => self.check_acknowledged(answer, awaited, request),
            Expect::NothingNew => {
                assert_eq!(status, 304);
                let cursor = cursor.filter(|cursor| cursor.given);
                check_validators(answer, cursor.map(|cursor| cursor.id()));
            }
            Expect::Message(message, gap) => {
                check_message(answer, message, *gap);
                self.note_sent(PLACES[request.place].store, message.place);
                self.count(if *gap == Gap::NONE { "caught up" } else { "gaps" });
            }
            Expect::OfSeveral(wake, gaps) => {
                assert_eq!(status, 200);
                check_validators(answer, Some(wake.message.place));
                self.note_sent(wake.name.0, wake.message.place);
                let gap = Given::of_answer(answer).check_found(wake, gaps);
                self.count(match gap {
                    Gap::NONE => "polls of several caught up",
                    _ => "polls of several caught up with a gap",
                });
            }
            Expect::Woken(wake) => {
                let gap = self.model.gap_of(wake, cursor.expect("a GET was held"));
                check_message(answer, &wake.message, gap);
                self.seen.insert(wake.name, wake.message.id);
                self.inspecting.woken(wake);
                self.count(if gap == Gap::NONE { "woken" } else { "woken with a gap" });
            }
        }
        let is_subscriber = matches!(PLACES[request.place].kind, Kind::Subscriber { .. });
        if is_subscriber && !matches!(expect, Expect::Status(404 | 408)) {
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        }
    }
}

/// The one answer that `bytes` are, as the strictest of clients would read it.
pub(crate) fn read(bytes: &[u8], is_head: bool) -> Answer {
    let mut rest = bytes.to_vec();
    let answer = Answer::take(&mut rest, is_head).expect("a whole answer");
    assert!(rest.is_empty(), "more than an answer: {}", bytes.escape_ascii());
    match (answer.status, answer.header("Content-Length")) {
        (100 | 204 | 304, length) => assert!(length.is_none_or(|length| length == "0")),
        (status, length) => assert!(length.is_some(), "{status} without Content-Length"),
    }
    assert!(answer.status == 100 || answer.header("Date").is_some(), "no Date");
    check_caching(&answer);
    answer
}

/// What an answer says to caches.
fn check_caching(answer: &Answer) {
    let vary = Some("If-None-Match, If-Modified-Since");
    let (cache, vary) = match (answer.status, answer.header("etag")) {
        (100, _) => return,
        (200 | 304, Some(tag)) => (format!("no-cache, no-transform, etag={tag}"), vary),
        (304, None) => ("no-cache, no-transform".to_owned(), vary),
        _ => ("no-store".to_owned(), None),
    };
    assert_eq!(answer.header("cache-control"), Some(&*cache), "{}", answer.status);
    assert_eq!(answer.header("vary"), vary, "{}", answer.status);
}

pub(crate) fn check_information(
    answer: &Answer,
    information: &Information,
    form: usize,
    request: &Request,
) {
    assert_eq!(answer.header("content-type"), Some(ACCEPTS[form]));
    if !matches!(request.ask, Ask::Inspect { is_head: true }) {
        assert_eq!(String::from_utf8_lossy(&answer.body), information.text(form), "{request:?}");
    }
}

fn check_message(answer: &Answer, message: &Message, gap: Gap) {
    assert_eq!(answer.status, 200);
    check_validators(answer, Some(message.id));
    assert_eq!(answer.body, message.body);
    assert_eq!(answer.header("content-type"), message.content_type);
    let told = match gap {
        Gap::NONE => None,
        Gap::Messages(skipped) => Some(skipped.to_string()),
        Gap::Unknown => Some("unknown".to_owned()),
    };
    assert_eq!(answer.header("x-push-gap"), told.as_deref(), "the gap before {}", message.id);
}

pub(crate) fn check_validators(answer: &Answer, id: Option<MessageId>) {
    let date = |id: MessageId| {
        let mut date = Vec::new();
        pushserver::http::write_http_date(id.time, &mut date);
        String::from_utf8(date).expect("ASCII")
    };
    assert_eq!(answer.header("last-modified"), id.map(date).as_deref());
    assert_eq!(answer.header("etag"), id.map(|id| id.tag.to_string()).as_deref());
}
