//! What becomes of requests that follow channels: how they begin, what they are sent, how they end.
//! The relay decides when a stream has its turn; what it is given then is the model's to say.

use std::collections::{BTreeSet, VecDeque};

use pushserver::message::Cursor;
use pushserver::relay::Output;
use pushserver::store::memory::MESSAGE_OVERHEAD;
use pushserver_testkit::{Answer, Happened};

use crate::asks::Question;
use crate::client::{Expect, Phase};
use crate::model::{Displaced, Followed, Hold, Name, Subscribe, Wake};
use crate::observed::check_validators;
use crate::request::{Ask, Request};
use crate::settings::{Kind, PLACES, is_of_several};
use crate::stream::{Form, Given, Item, Stream};
use crate::world::World;

/// A stream that has ended, to be gone on with.
#[derive(Debug, Clone)]
pub(crate) struct Resume {
    pub(crate) place: usize,
    pub(crate) channels: Vec<&'static str>,
    pub(crate) cursor: Cursor,
}

impl World {
    pub(crate) fn follow(&mut self, number: Option<u64>, names: &[Name], question: &Question) {
        let Question { ref request, holds_end, max_subscribers, ping_ms, timeout_ms, .. } =
            *question;
        let place = PLACES[request.place];
        let Kind::Subscriber { interval, create, concurrency, limited } = place.kind else {
            unreachable!("a GET on a subscriber location")
        };
        let (form, cursor) = match request.ask {
            Ask::Follow(form, cursor) => (form, cursor),
            Ask::Get(cursor) => (Form::Poll, cursor),
            _ => unreachable!("a GET"),
        };
        let is_poll = form == Form::Poll;
        let waits = !(holds_end || is_poll && interval);
        let now_ms = self.now().mono_ms;
        let client = number.unwrap_or(u64::MAX);
        let cursor = self.begins_at(names, request, cursor, create && waits);
        let mut request = request.clone();
        if is_poll {
            // It is what is echoed where there is nothing new.
            request.ask = Ask::Get(cursor);
            if let Some(number) = number {
                self.client(number).requests[0].ask = Ask::Get(cursor);
            }
        }
        let request = &request;
        let hold = Hold { client, cursor, since_ms: now_ms, timeout_ms };
        let max_subscribers = if limited { max_subscribers } else { 0 };
        let (stays, interval) = (!is_poll, false);
        let subscribe = Subscribe { hold, interval, stays, create, concurrency, max_subscribers };
        let is_several = is_of_several(request.place);
        if is_several {
            self.model.note_places(place.store);
        }
        let Some(number) = number else {
            return self.model.follow_in_vain(names, &subscribe, waits);
        };
        let since = (self.model.order(), now_ms);
        let of = (request.place, names.to_vec(), is_several);
        let mut stream = Stream::new(form, of, cursor, since);
        let status = match self.model.follow(names, &subscribe, (waits, self.holds_end)) {
            Followed::Missing => 404,
            Followed::TooManyChannels => 503,
            Followed::TooManySubscribers => 403,
            Followed::Displaced => 409,
            Followed::Ended if is_poll => {
                return self.answer(Some(number), Expect::NothingNew, request);
            }
            Followed::Ended => return self.begin_in_vain(number, form, request),
            Followed::Found(wake, gaps) => {
                self.note_place(&stream, &wake);
                return self.answer(Some(number), Expect::OfSeveral(wake, gaps), request);
            }
            Followed::Begun(displaced) => {
                self.displace(displaced);
                (stream.told, stream.ping_ms) = (place.passthrough, ping_ms);
                stream.timeout_ms = timeout_ms;
                if is_poll {
                    return self.hold_several(number, stream);
                }
                return self.begin_stream(number, stream, request);
            }
        };
        if !is_poll {
            // Its connection goes on, as behind an error of a poll.
            self.client(number).doomed = request.close;
        }
        self.answer(Some(number), Expect::Status(status), request);
    }

    /// Somebody has a message: the same or another goes on there.
    fn note_place(&mut self, stream: &Stream, wake: &Wake) {
        let cursor = Cursor::at(wake.message.place);
        self.seen_places.insert(wake.name.0, wake.message.place);
        let channels = stream.names.iter().map(|name| name.2).collect();
        self.resumes.push(Resume { place: stream.place, channels, cursor });
    }

    /// A poll of several channels is held.
    fn hold_several(&mut self, number: u64, stream: Stream) {
        let client = self.client(number);
        client.stream = Some(stream);
        if client.ended {
            return self.close(number);
        }
        self.count("polls of several held");
        self.wait(number);
    }

    /// A poll of several channels that was held is answered.
    pub(crate) fn poll_answered(&mut self, number: u64, answer: &Answer) {
        let client = self.client(number);
        let request = client.requests[0].clone();
        let mut stream = client.stream.take().expect("it waits");
        self.check_poll(number, &mut stream, &request, answer);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        self.check_connection(answer, &request, request.close || self.stopping);
        self.model.leave(&[], number);
        self.leaves_deleted(number);
        self.answered(number, &request, true);
    }

    /// Whether a poll of several channels that was held may be answered so.
    pub(crate) fn check_poll(
        &mut self,
        number: u64,
        stream: &mut Stream,
        request: &Request,
        answer: &Answer,
    ) {
        let (now_ms, is_slow, holds_end) =
            (self.now().mono_ms, self.asks.is_slow(), self.holds_end);
        match answer.status {
            200 => {
                let (wake, gap) = stream.take(&Given::of_answer(answer), &self.model);
                self.note_sent(wake.name.0, wake.message.place);
                check_validators(answer, Some(wake.message.place));
                self.note_place(stream, &wake);
                self.count(match gap {
                    pushserver::store::Gap::NONE => "polls of several woken",
                    _ => "polls of several woken with a gap",
                });
            }
            304 => {
                let Ask::Get(cursor) = request.ask else { unreachable!("a poll") };
                check_validators(answer, cursor.given.then(|| cursor.id()));
                if !holds_end {
                    let timeout_ms = stream.timeout_ms;
                    assert!(timeout_ms != 0, "this poll never ends by time");
                    let early_ms = stream.sent_ms + timeout_ms - timeout_ms / 10;
                    assert!(now_ms >= early_ms, "the poll ends early");
                    if !is_slow {
                        stream.check_level(&self.model);
                    }
                    self.count("polls of several timed out");
                }
            }
            410 if stream.was_orphaned => self.count("polls of several whose channels are deleted"),
            status => {
                assert_eq!(stream.ending, Some(status), "{number} ends");
                self.count("polls of several displaced");
            }
        }
    }

    /// Those who make room are told.
    pub(crate) fn displace(&mut self, displaced: Vec<Displaced>) {
        for one in displaced {
            match one {
                Displaced::Poll(hold) => {
                    let client = self.client(hold.client);
                    client.held = None;
                    self.make_room(hold.client, Expect::Status(409));
                }
                Displaced::Stream(number) => {
                    if self.clients[&number].publishes() {
                        self.asks.give_up(number);
                    }
                    let client = self.client(number);
                    client.stream.as_mut().expect("it follows").ending = Some(409);
                    if let Some(stream) = client.stream.take_if(|stream| stream.is_poll()) {
                        self.make_room(number, Expect::MadeRoom(Box::new(stream)));
                    }
                }
            }
        }
    }

    /// A poll is told so; what waits behind it is next.
    fn make_room(&mut self, number: u64, expect: Expect) {
        let stopping = self.stopping;
        let client = self.client(number);
        let asked = client.requests[0].clone();
        client.expects.push_back((expect, asked.clone(), Some(asked.close || stopping)));
        self.answered(number, &asked, true);
    }

    /// Nothing is held any more: it begins and ends.
    fn begin_in_vain(&mut self, number: u64, form: Form, request: &Request) {
        let (now_ms, limits, stopping) =
            (self.now().mono_ms, self.settings.limits.clone(), self.stopping);
        let client = self.client(number);
        client.expects.push_back((Expect::Begins, request.clone(), None));
        if form != Form::Event {
            client.expects.push_back((Expect::Close(1001), request.clone(), None));
        }
        client.requests.pop_front();
        client.kept.clear();
        if form == Form::Event || client.ended {
            return self.close(number);
        }
        client.lingers_ms = 5_000;
        client.linger(stopping, &limits, now_ms);
    }

    fn begin_stream(&mut self, number: u64, stream: Stream, request: &Request) {
        let (now_ms, limits, late) = (self.now().mono_ms, self.settings.limits.clone(), self.late);
        if stream.names.len() > 1 {
            self.count("streams of several channels");
        }
        self.count(match stream.form {
            Form::Event => "event streams",
            Form::Frame => "WebSockets",
            Form::FrameWithMeta => "WebSockets with ids",
            Form::Poll => unreachable!("it is held"),
        });
        let client = self.client(number);
        client.stream = Some(stream);
        if client.ended {
            return self.close(number);
        }
        client.requests.pop_front();
        client.phase = Phase::Streaming;
        if !client.stalled {
            client.timer = None;
        }
        client.expects.push_back((Expect::Begins, request.clone(), None));
        client.arm_ping(&limits, now_ms);
        self.make_ready(number, late);
    }

    /// A stream is sent something that it did not ask for.
    pub(crate) fn fed(&mut self, number: u64, bytes: &[u8]) {
        let now_ms = self.now().mono_ms;
        let stream = self.client(number).stream.as_mut().expect("it streams");
        let items = stream.read(bytes);
        let silent_ms = now_ms - stream.sent_ms;
        stream.sent_ms = now_ms;
        for item in items {
            match item {
                Item::Message(given) => {
                    let client = self.clients.get_mut(&number).expect("it is there");
                    let stream = client.stream.as_mut().expect("it streams");
                    // Whoever makes room is given all that is under way.
                    let may = !client.stalled || stream.ending.is_some();
                    assert!(may, "{number} is sent messages, though it takes none");
                    if given.is_unknown() {
                        self.note_sent_something();
                        continue;
                    }
                    let (wake, gap) = stream.take(&given, &self.model);
                    let is_several = stream.is_several;
                    self.note_sent(wake.name.0, wake.message.place);
                    if is_several {
                        self.seen_places.insert(wake.name.0, wake.message.place);
                    } else {
                        self.seen.insert(wake.name, wake.message.id);
                    }
                    self.count(match (is_several, gap) {
                        (false, pushserver::store::Gap::NONE) => "streamed",
                        (false, _) => "streamed with a gap",
                        (true, pushserver::store::Gap::NONE) => "streamed of several",
                        (true, _) => "streamed of several with a gap",
                    });
                }
                Item::Ping => {
                    let stream = self.client(number).stream.as_ref().expect("it streams");
                    let ping_ms = stream.ping_ms;
                    assert!(ping_ms > 0 && silent_ms >= ping_ms - ping_ms / 10, "a ping too early");
                    self.count("pings");
                }
                Item::End(status) => {
                    self.check_end(number, status);
                    self.close(number);
                }
                Item::Close(code) => {
                    let status = match code {
                        4409 => 409,
                        4410 => 410,
                        other => other,
                    };
                    self.check_end(number, status);
                    self.close_socket(number);
                    if self.asks.is_slow() {
                        // It came before the client's last frames had their turn.
                        let is_pong = |expect: &Expect| matches!(expect, Expect::Pong(_));
                        self.client(number).expects.retain(|(expect, ..)| !is_pong(expect));
                    }
                }
                Item::Pong => panic!("{number} asked for no Pong"),
            }
        }
    }

    /// A WebSocket is sent what its store answered before its client's last frames had their turn.
    pub(crate) fn fed_at_end(&mut self, number: u64, bytes: &[u8]) {
        let client = self.clients.get_mut(&number).expect("it is there");
        let may_be = self.asks.is_slow() || client.ended_behind_messages();
        assert!(may_be, "{number} is closed already");
        let stream = client.ended_stream.as_mut().expect("it streamed");
        for item in stream.read(bytes) {
            let Item::Message(given) = item else { panic!("{item:?}") };
            if !given.is_unknown() {
                stream.take(&given, &self.model);
            }
        }
        self.note_sent_something();
        self.count("streamed before the last frames");
    }

    /// What a stream is sent because of something that its client sent.
    pub(crate) fn check_of_stream(
        &mut self,
        number: u64,
        bytes: &[u8],
        expect: &Expect,
        request: &Request,
    ) {
        let now_ms = self.now().mono_ms;
        if let Some(stream) = &mut self.client(number).stream {
            stream.sent_ms = now_ms;
        }
        match expect {
            Expect::Begins => {
                let Ask::Follow(form, _) = request.ask else { unreachable!("a stream") };
                check_head(bytes, form);
            }
            Expect::Pong(payload) => {
                let head = [0x8a, payload.len() as u8];
                assert_eq!(bytes, [&head[..], payload].concat());
            }
            Expect::Close(code) => {
                assert_eq!((bytes[0], &bytes[2..4]), (0x88, &code.to_be_bytes()[..]));
            }
            _ => unreachable!("of a stream"),
        }
    }

    /// Whether a stream may end so, where its client asked for nothing.
    fn check_end(&mut self, number: u64, status: u16) {
        let stream = self.clients[&number].stream.as_ref().expect("it streams");
        match status {
            1001 => assert!(self.holds_end, "{number} is ended as if the daemon stopped"),
            1008 => self.check_paused_message(number),
            1013 => assert!(self.asks.is_slow(), "{number}: no store is late"),
            410 if stream.was_orphaned => self.count("streams of which every channel is deleted"),
            _ => assert_eq!(stream.ending, Some(status), "{number} ends"),
        }
        self.count(match status {
            409 => "streams displaced",
            410 => "streams of deleted channels",
            1001 => "WebSockets told that the daemon stops",
            1008 => "messages by WebSocket that stop coming",
            _ => "streams whose store is late",
        });
    }

    /// A message of a WebSocket stopped coming.
    fn check_paused_message(&self, number: u64) {
        let client = &self.clients[&number];
        let stream = client.stream.as_ref().expect("it streams");
        let since_ms = self.now().mono_ms - stream.progress_ms;
        assert!(stream.message.is_some() && client.kept.is_empty(), "{number} has no message");
        assert!(since_ms >= self.settings.limits.body_timeout_ms, "{number}: {since_ms} ms");
    }

    /// Ends the streams whose timers end them: of what happens behind that the first is their end.
    pub(crate) fn end_timed_out(&mut self, next: &VecDeque<Happened>) {
        let mut seen = BTreeSet::new();
        for happened in next.iter().take_while(|one| !matches!(one, Happened::Due)) {
            let conn = match happened {
                Happened::Received(conn, _) | Happened::Told(conn, _) => *conn,
                Happened::Asked(Output::Send { conn, .. } | Output::Close { conn }) => *conn,
                _ => continue,
            };
            let Some(&number) = self.numbers.get(&conn) else { continue };
            if !seen.insert(conn) || self.clients[&number].phase != Phase::Streaming {
                continue;
            }
            match happened {
                // Others end behind what their clients sent before they ended.
                Happened::Asked(Output::Close { .. })
                    if !self.holds_end
                        && (!self.clients[&number].ended || self.is_silent(number)) =>
                {
                    self.check_silent_end(number);
                }
                Happened::Asked(Output::Send { payload, .. }) => {
                    let (head, _) = payload.slices(0);
                    if let [0x88, _, 0x03, low @ (0xf5 | 0xf0), ..] = head {
                        let code = 0x300 + u16::from(*low);
                        let client = &self.clients[&number];
                        let stream = client.stream.as_ref().expect("it streams");
                        let has_paused = stream.message.is_some() && client.kept.is_empty();
                        if if code == 1008 { !has_paused } else { !self.asks.is_slow() } {
                            continue;
                        }
                        self.check_end(number, code);
                        let place = self.clients[&number].stream.as_ref().expect("it is").place;
                        let expect = (Expect::Close(code), Request::of_frame(place), None);
                        self.client(number).expects.push_back(expect);
                        self.close_socket(number);
                    }
                }
                _ => {}
            }
        }
    }

    /// Ends the polls whose time is up: of what happens behind that the first is their answer.
    pub(crate) fn end_timed_out_polls(&mut self, next: &VecDeque<Happened>) {
        let mut seen = BTreeSet::new();
        for happened in next.iter().take_while(|one| !matches!(one, Happened::Due)) {
            let Happened::Asked(Output::Send { conn, payload, .. }) = happened else { continue };
            let Some(&number) = self.numbers.get(conn) else { continue };
            let is_first = seen.insert(number);
            let client = &self.clients[&number];
            let waits = client.phase == Phase::Waiting && client.expects.is_empty();
            let (head, _) = payload.slices(0);
            if !is_first || !waits || self.holds_end || !head.starts_with(b"HTTP/1.1 304 ") {
                continue;
            }
            match client.held {
                Some(held) => self.hold_times_out(number, held.name),
                // Whether it may is asked when its answer is read.
                None => self.model.leave(&[], number),
            }
        }
    }

    fn hold_times_out(&mut self, number: u64, name: Name) {
        let now_ms = self.now().mono_ms;
        let hold = self.model.end_hold(name, number).expect("it is held");
        let Hold { since_ms, timeout_ms, .. } = hold;
        assert!(timeout_ms != 0, "this hold never ends by time");
        assert!(now_ms >= since_ms + timeout_ms - timeout_ms / 10, "the hold ends early");
        let client = self.client(number);
        client.held.as_mut().expect("it waits").woken = Some(0);
        let request = client.requests[0].clone();
        client.expects.push_back((Expect::NothingNew, request, None));
        self.count("timed out");
    }

    /// A stream is closed without a word.
    pub(crate) fn check_silent_end(&mut self, number: u64) {
        let client = &self.clients[&number];
        let stream = client.stream.as_ref().expect("it streams");
        // Behind what its client sent, the end of which was no whole message.
        let is_ended = client.ended && client.ends_behind_input();
        let is_silent = self.is_silent(number);
        let is_over = self.holds_end && !stream.is_websocket();
        let is_late = self.asks.is_slow() && !stream.is_websocket();
        assert!(is_silent || is_over || is_late || is_ended, "{number} is closed");
        self.count(match (is_over, is_silent) {
            (true, _) => "event streams that end with the daemon",
            _ if is_ended => "ends behind messages by WebSocket",
            (_, true) => "silent WebSockets",
            _ => "streams whose store is late",
        });
        self.close(number);
    }

    /// Whether nothing has come of a WebSocket's client for as long as it may be silent.
    fn is_silent(&self, number: u64) -> bool {
        let stream = self.clients[&number].stream.as_ref().expect("it streams");
        let silent_ms = self.now().mono_ms - stream.heard_ms;
        stream.is_websocket()
            && stream.ping_ms > 0
            && silent_ms >= stream.ping_ms - stream.ping_ms / 10
    }

    /// A WebSocket was sent a Close.
    pub(crate) fn close_socket(&mut self, number: u64) {
        self.leave_stream(number);
        let (now_ms, limits, stopping) =
            (self.now().mono_ms, self.settings.limits.clone(), self.stopping);
        let client = self.client(number);
        client.kept.clear();
        if client.ended {
            return self.close(number);
        }
        client.lingers_ms = 5_000;
        client.linger(stopping, &limits, now_ms);
    }

    /// A stream has ended, or its client is gone.
    pub(crate) fn leave_stream(&mut self, number: u64) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let Some(stream) = client.stream.take() else { return };
        if stream.publishes {
            self.asks.give_up(number);
        }
        self.model.leave(&[], number);
        self.leaves_deleted(number);
        if !stream.cursor.is_oldest() {
            let Stream { place, cursor, ref names, .. } = stream;
            let channels = names.iter().map(|name| name.2).collect();
            self.resumes.push(Resume { place, channels, cursor });
        }
        self.client(number).ended_stream = Some(stream);
    }

    /// Frames of a WebSocket's client, as far as they have come.
    pub(crate) fn take_frame(&mut self, number: u64) {
        let (now_ms, limits) = (self.now().mono_ms, self.settings.limits.clone());
        let client = self.clients.get_mut(&number).expect("it is there");
        let stream = client.stream.as_mut().expect("it streams");
        let publishes = PLACES[stream.place].publishes;
        let memory = &self.settings.stores[usize::from(PLACES[stream.place].store)].memory;
        let bytes_max = (memory.max_memory - MESSAGE_OVERHEAD).min(limits.body_bytes);
        let had_begun = stream.message.is_some();
        while !client.kept.is_empty() {
            stream.frame.push(client.kept.remove(0));
            // The simulation's frames are short: two bytes, a mask of zeros, the payload.
            let [opcode, length, ..] = stream.frame[..] else { continue };
            let length = usize::from(length & 0x7f);
            if publishes.is_some() && opcode & 0x0f <= 2 {
                let before = stream.message.as_ref().map_or(0, |(_, body)| body.len());
                if before + length > bytes_max {
                    client.kept.clear();
                    let request = Request::of_frame(stream.place);
                    client.expects.push_back((Expect::Close(1009), request, None));
                    self.count("messages by WebSocket that are too large");
                    return self.close_socket(number);
                }
                let Some((is_text, body)) = stream.take_message(opcode, length, now_ms) else {
                    continue;
                };
                return self.publish_frame(number, is_text, body);
            }
            if opcode == 0x81 {
                // Nobody may publish here, whatever comes behind the head.
                client.kept.clear();
                let request = Request::of_frame(stream.place);
                client.expects.push_back((Expect::Close(1008), request, None));
                self.count("WebSockets that may not publish");
                return self.close_socket(number);
            }
            if stream.frame.len() < 6 + length {
                continue;
            }
            let payload = stream.frame[6..].to_vec();
            stream.frame.clear();
            let request = Request::of_frame(stream.place);
            match opcode {
                0x89 => {
                    client.expects.push_back((Expect::Pong(payload), request, None));
                    self.count("Pongs");
                }
                0x88 => {
                    client.expects.push_back((Expect::Close(1000), request, None));
                    self.count("WebSockets closed by their clients");
                    return self.close_socket(number);
                }
                _ => {}
            }
            break;
        }
        let client = self.client(number);
        let has_begun = client.stream.as_ref().is_some_and(|stream| stream.message.is_some());
        if has_begun && !had_begun && !client.stalled {
            client.arm_ping(&limits, now_ms);
        }
    }

    /// A message of a WebSocket is whole.
    fn publish_frame(&mut self, number: u64, is_text: bool, body: Vec<u8>) {
        self.count("published by WebSocket");
        let stream = self.client(number).stream.as_mut().expect("it streams");
        stream.publishes = true;
        let mut request = Request::of_frame(stream.place);
        request.channel = stream.names[0].2;
        let content_type = (!is_text).then_some("application/octet-stream");
        request.ask = Ask::Publish { body, content_type, event: None, expects: false };
        self.execute(number, request);
    }

    /// What became of a message of a WebSocket.
    pub(crate) fn published_frame(&mut self, number: u64, refused: Option<u16>) {
        let late = self.late;
        let client = self.client(number);
        let stream = client.stream.as_mut().expect("it streams");
        stream.publishes = false;
        if let Some(code) = refused {
            let request = Request::of_frame(stream.place);
            client.expects.push_back((Expect::Close(code), request, None));
            self.count("messages by WebSocket that are refused");
            return self.close_socket(number);
        }
        if late {
            let (now_ms, limits) = (self.now().mono_ms, self.settings.limits.clone());
            self.client(number).arm_ping(&limits, now_ms);
            self.make_ready(number, true);
        }
    }

    /// Holds when the relay has nothing left to do until something happens.
    pub(crate) fn check_streams(&mut self) {
        let now_ms = self.now().mono_ms;
        let is_slow = self.asks.is_slow();
        for client in self.clients.values_mut() {
            let Some(stream) = &mut client.stream else { continue };
            if !matches!(client.phase, Phase::Streaming | Phase::Waiting) {
                continue;
            }
            let number = client.number;
            assert_eq!(stream.ending, None, "{number} was not ended");
            let follows = stream.names.iter().any(|name| self.model.life(*name).is_some());
            assert!(follows, "{number} follows nothing");
            stream.was_orphaned = false;
            if stream.is_poll() {
                let due_ms = (stream.sent_ms + stream.timeout_ms).next_multiple_of(10);
                assert!(stream.timeout_ms == 0 || now_ms < due_ms, "{number} should have ended");
                if !is_slow {
                    stream.check_level(&self.model);
                }
            }
            if client.stalled || stream.is_poll() {
                continue;
            }
            if stream.message.is_some() && client.kept.is_empty() {
                let body_timeout_ms = self.settings.limits.body_timeout_ms;
                let due_ms = (stream.progress_ms + body_timeout_ms).next_multiple_of(10);
                assert!(now_ms <= due_ms, "the message of {number} stopped coming");
            }
            if !is_slow {
                stream.check_level(&self.model);
                let due_ms = (stream.sent_ms + stream.ping_ms).next_multiple_of(10);
                assert!(stream.ping_ms == 0 || now_ms <= due_ms, "{number} was sent no ping");
            }
            assert!(!self.holds_end, "{number} streams though the daemon stops");
        }
    }
}

fn check_head(bytes: &[u8], form: Form) {
    let text = std::str::from_utf8(bytes).expect("a head");
    let (head, start) = text.split_once("\r\n\r\n").expect("a whole head");
    let mut lines = head.split("\r\n");
    let status = lines.next();
    let has = |line| assert!(head.contains(&format!("\r\n{line}")), "{head}");
    if form == Form::Event {
        assert_eq!(status, Some("HTTP/1.1 200 OK"));
        has("Content-Type: text/event-stream; charset=utf-8");
        has("Cache-Control: no-store, no-transform");
        has("X-Accel-Buffering: no");
        has("Connection: close");
        has("Access-Control-Allow-Origin: *");
        assert!(start.starts_with(": ping ") && start.ends_with("\n\n"), "{start}");
    } else {
        assert_eq!((status, start), (Some("HTTP/1.1 101 Switching Protocols"), ""));
        has("Upgrade: websocket");
        has("Connection: Upgrade");
        has("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let has_meta = head.contains("Sec-WebSocket-Protocol: ws+meta.nchan");
        assert_eq!(has_meta, form == Form::FrameWithMeta);
    }
    assert!(!head.contains("Content-Length") && !head.contains("Transfer-Encoding"), "{head}");
}
