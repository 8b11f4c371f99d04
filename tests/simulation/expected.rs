//! What the relay should do with each request: the model is asked, and the answer that is due is
//! put down.

use pushserver::hub::options::Concurrency;
use pushserver::message::{Cursor, First, MessageId};
use pushserver::store::{Loss, MessageRecord, Outcome, StoreId};

use crate::asks::{Due, Question};
use crate::client::{Expect, Held, Phase, Timer};
use crate::model::{Ahead, Hold, Information, Name, Published, Subscribe, Subscribed, Wanted};
use crate::request::{Ask, Request};
use crate::settings::{Kind, PLACES, is_of_several};
use crate::world::World;
use crate::writing::Verdict;

impl World {
    pub(crate) fn timed_out(&mut self, number: u64, timer: Timer) {
        let now_ms = self.now().mono_ms;
        let limits = self.settings.limits.clone();
        let stopping = self.stopping;
        let client = self.client(number);
        client.timer = None;
        if timer == Timer::Sent {
            return self.acknowledge(number, true);
        }
        if client.phase == Phase::Asked && !matches!(timer, Timer::Write | Timer::Store) {
            return;
        }
        match timer {
            Timer::Idle => self.close(number),
            Timer::Head if client.kept.is_empty() => self.close(number),
            Timer::Linger | Timer::Write => client.must_abort = true,
            Timer::Store => self.store_timed_out(number),
            Timer::Sent => unreachable!("it is asked for"),
            Timer::Ping => unreachable!("nobody knows when"),
            Timer::Head | Timer::Body | Timer::Stop => {
                let request = client.requests.front().cloned().expect("part of a request came");
                client.fail(408, request, stopping, &limits, now_ms);
            }
        }
    }

    /// The store has not answered, or not all holders of a deleted channel were told.
    fn store_timed_out(&mut self, number: u64) {
        self.asks.give_up(number);
        self.count("stores that did not answer");
        let client = self.client(number);
        client.expects.retain(|(expect, ..)| !matches!(expect, Expect::Deleted { .. }));
        let request = client.requests.pop_front().expect("it asked");
        client.expects.push_back((Expect::Status(503), request, Some(true)));
        client.doomed = true;
        self.close(number);
    }

    /// Does what was asked of stores that take time, and is due in this turn.
    pub(crate) fn answer_late(&mut self) {
        self.asks.begin_turn();
        while let Some(Due { client, loss, question }) = self.asks.next_due() {
            self.note(|| format!("  {loss:?} lost, {client:?} is told of {:?}", question.request));
            match loss {
                Loss::Nothing => {}
                Loss::Question => {
                    self.count("questions lost");
                    continue;
                }
                Loss::Answer if matches!(question.request.ask, Ask::Publish { .. }) => {
                    self.count("lost appends that were done");
                }
                Loss::Answer => self.count("answers lost"),
            }
            self.late = true;
            self.perform(client, question);
            self.late = false;
        }
        for store in 0..2 {
            if self.asks.writing[store].as_ref().is_some_and(|writing| !writing.is_writing()) {
                self.model.show(store as u16);
            }
        }
    }

    /// Durable stores that write nothing take what waits.
    pub(crate) fn decide(&mut self) {
        for store in 0..2 {
            let Some(writing) = &mut self.asks.writing[store] else { continue };
            let asked = writing.take_asked();
            if asked.is_empty() {
                continue;
            }
            self.model.hide(store as u16);
            let mut ahead = Ahead::default();
            for (client, question) in asked {
                let request = &question.request;
                let place = PLACES[request.place];
                let name = (place.store, place.group, request.channel);
                let wanted = match request.ask {
                    Ask::Publish { .. } => Wanted::Publish { create: place.publishes().0 },
                    Ask::Create => Wanted::Create,
                    _ => Wanted::Delete,
                };
                let verdict = self.model.decide(&mut ahead, name, wanted);
                writing.decide((client, question), verdict);
            }
            if !writing.has_agreed() {
                self.model.show(store as u16);
            }
        }
    }

    /// A durable store gave out a batch.
    pub(crate) fn taken(&mut self, store: StoreId, messages: &[MessageRecord]) {
        let writing = self.asks.writing[store.index()].as_mut().expect("it is durable");
        let count = writing.taken(messages);
        self.note(|| format!("  {count} are being written to store {}", store.0));
        self.count(match count {
            0 => "batches of notes alone",
            1 => "batches",
            _ => "batches of several",
        });
    }

    /// A durable store has its batch back.
    pub(crate) fn written(&mut self, store: StoreId, outcome: Outcome) {
        self.note(|| format!("  store {}: {outcome:?}", store.0));
        let writing = self.asks.writing[store.index()].as_mut().expect("it is durable");
        writing.written(outcome);
        if outcome == Outcome::Refused {
            self.count("batches refused");
        }
    }

    /// Goes on with the bytes that the relay has.
    pub(crate) fn go_on(&mut self, number: u64) {
        let client = self.client(number);
        // One that made room has its Close, though that is seen only later.
        let made_room = client.stream.as_ref().is_some_and(|one| one.ending == Some(409));
        if client.stalled || client.ready || made_room {
            return;
        }
        self.run(number);
        self.end_flooded(number);
        let limits = self.settings.limits.clone();
        let Some(client) = self.clients.get_mut(&number) else { return };
        if client.paused && client.wants_read(&limits) {
            // Its end, if that is what comes next, is told again.
            client.paused = false;
            return;
        }
        if client.ended && !client.ready && client.ends_behind_input() && !client.publishes() {
            self.close(number);
        }
    }

    /// What no request can be has come behind a held one.
    pub(crate) fn end_flooded(&mut self, number: u64) {
        let most = self.settings.limits.head.header_bytes;
        let client = self.client(number);
        if client.phase == Phase::Waiting && client.kept.len() > most {
            self.count("floods behind a hold");
            self.abandon_hold(number);
            self.close(number);
        }
    }

    pub(crate) fn run(&mut self, number: u64) {
        let now_ms = self.now().mono_ms;
        let limits = self.settings.limits.clone();
        let stopping = self.stopping;
        for _ in 0..limits.pipeline_depth {
            let client = self.client(number);
            if client.kept.is_empty() {
                return;
            }
            match client.phase {
                Phase::Head => {
                    let request = client.requests.front().expect("bytes of a request").clone();
                    if let Ask::Doomed(status) = request.ask {
                        client.fail(status, request, stopping, &limits, now_ms);
                        return;
                    }
                    if client.kept.len() < request.head.len() {
                        if !matches!(client.timer, Some((Timer::Head | Timer::Stop, _))) {
                            client.arm(Timer::Head, &limits, now_ms);
                        }
                        return;
                    }
                    let at_once = client.kept.len().min(request.head.len() + request.first_run);
                    client.kept.drain(..at_once);
                    let left = request.len() - at_once;
                    if left == 0 {
                        self.execute(number, request);
                        continue;
                    }
                    client.phase = Phase::Body(left);
                    if let Ask::Publish { expects: true, .. } = request.ask {
                        client.expects.push_back((Expect::Continue, request, None));
                    }
                    client.arm_body(stopping, &limits, now_ms);
                }
                Phase::Body(left) if client.kept.len() < left => {
                    client.phase = Phase::Body(left - client.kept.len());
                    client.kept.clear();
                    client.arm_body(stopping, &limits, now_ms);
                }
                Phase::Body(left) => {
                    client.kept.drain(..left);
                    client.phase = Phase::Head;
                    let request = client.requests.front().expect("its head came").clone();
                    self.execute(number, request);
                }
                Phase::Streaming if client.stream.as_ref().is_some_and(|s| !s.is_websocket()) => {
                    client.kept.clear();
                    return;
                }
                Phase::Streaming if client.publishes() => return,
                Phase::Streaming => self.take_frame(number),
                _ => return,
            }
        }
        let client = self.client(number);
        let goes_on = matches!(client.phase, Phase::Head | Phase::Body(_) | Phase::Streaming);
        if !client.kept.is_empty() && goes_on && !client.ready && !client.publishes() {
            client.ready = true;
            self.ready.push_back(number);
        }
    }

    pub(crate) fn execute(&mut self, number: u64, request: Request) {
        let is_fixed = matches!(request.ask, Ask::Fixed(_));
        let store = PLACES[request.place].store;
        let question = Question {
            request,
            holds_end: self.holds_end,
            timeout_ms: self.settings.poll_timeout_ms,
            max_subscribers: self.settings.max_subscribers,
            ping_ms: self.settings.ping_interval_ms,
            verdict: None,
        };
        let is_slow = self.asks.is_slow();
        if self.asks.is_durable(store) && question.changes() && !self.is_too_large(&question) {
            self.asks.write(number, store, question);
        } else if is_slow && !is_fixed {
            self.asks.ask(number, store, question);
        } else {
            return self.perform(Some(number), question);
        }
        if self.client(number).publishes() {
            return;
        }
        let (now_ms, limits) = (self.now().mono_ms, self.settings.limits.clone());
        let stopping = self.stopping;
        let client = self.client(number);
        client.phase = Phase::Asked;
        match is_slow {
            true => client.arm_store(stopping, &limits, now_ms),
            // A disk answers some time.
            false if !client.stalled => client.timer = None,
            false => {}
        }
    }

    /// Whether a message is more than its store takes, which is said before anything is written.
    fn is_too_large(&self, question: &Question) -> bool {
        let store = PLACES[question.request.place].store;
        match &question.request.ask {
            Ask::Publish { body, content_type, event, .. } if question.keeps() => {
                self.model.is_too_large(store, body, (*content_type, *event))
            }
            _ => false,
        }
    }

    /// Does what a request asks for, and tells the client, if that still waits for it.
    fn perform(&mut self, number: Option<u64>, question: Question) {
        let request = question.request.clone();
        let place = PLACES[request.place];
        let name = (place.store, place.group, request.channel);
        match &request.ask {
            Ask::Fixed(status) => self.answer(number, Expect::Status(*status), &request),
            Ask::Inspect { .. } => {
                let information = self.model.information(name);
                self.answer_information(number, 200, information, &request);
            }
            Ask::Create | Ask::Delete if question.is_refused() => {
                if matches!(request.ask, Ask::Delete) {
                    self.count("deletions refused");
                }
                let status = match question.verdict {
                    Some(Verdict::Missing) => 404,
                    Some(Verdict::TooManyChannels) => 503,
                    _ => 507,
                };
                self.answer(number, Expect::Status(status), &request);
            }
            Ask::Create => match self.model.create(name, question.verdict) {
                None => self.answer(number, Expect::Status(503), &request),
                information => self.answer_information(number, 200, information, &request),
            },
            Ask::Delete => self.delete(number, name, &request),
            Ask::Publish { body, content_type, event, .. } => {
                let (names, flags) = ((*content_type, *event), place.publishes());
                if question.verdict == Some(Verdict::NotWritten) {
                    self.count(match (place.publishes, flags.1) {
                        (Some(_), _) => "messages by WebSocket refused by the disk",
                        (None, true) => "messages refused",
                        (None, false) => "messages kept by nobody refused",
                    });
                }
                let published = self.model.publish(name, body, names, flags, question.verdict);
                self.publish(number, published, &request);
            }
            Ask::Get(_) if !is_of_several(request.place) => {
                self.subscribe(number, name, &question);
            }
            Ask::Get(_) | Ask::Follow(..) => {
                let of = |channel: &&'static str| (place.store, place.group, *channel);
                let names: Vec<Name> = request.channels.iter().map(of).collect();
                self.follow(number, &names, &question);
            }
            Ask::Doomed(_) => unreachable!("refused before"),
        }
    }

    pub(crate) fn answer_information(
        &mut self,
        number: Option<u64>,
        status: u16,
        information: Option<Information>,
        request: &Request,
    ) {
        let expect = match information {
            None => Expect::Status(404),
            Some(information) => Expect::Information { status, information, form: request.accept },
        };
        self.answer(number, expect, request);
    }

    pub(crate) fn publish(&mut self, number: Option<u64>, published: Published, request: &Request) {
        let is_frame = PLACES[request.place].publishes.is_some();
        if let Some(number) = number.filter(|_| is_frame) {
            let refused = match published {
                Published::Missing => Some(1008),
                Published::TooManyChannels => Some(1013),
                Published::NotWritten => Some(1013),
                Published::TooLarge => Some(1009),
                Published::Done { .. } => None,
            };
            self.published_frame(number, refused);
        }
        let is_answered = number.is_some();
        let number = number.filter(|_| !is_frame);
        let (information, woken, streams, wake) = match published {
            Published::Missing => return self.answer(number, Expect::Status(404), request),
            Published::TooManyChannels => {
                return self.answer(number, Expect::Status(503), request);
            }
            Published::NotWritten => return self.answer(number, Expect::Status(507), request),
            Published::TooLarge => return self.answer(number, Expect::Status(413), request),
            Published::Done { information, woken, streams, wake } => {
                (information, woken, streams, wake)
            }
        };
        for hold in &woken {
            let life = self.life_of_hold(hold.client);
            let client = self.client(hold.client);
            client.held.as_mut().expect("it waits").woken = Some(life);
            let asked = client.requests[0].clone();
            client.expects.push_back((Expect::Woken((*wake).clone()), asked, None));
        }
        let wants = |stream: &u64| {
            let stream = self.clients[stream].stream.as_ref().expect("it follows");
            stream.wants(&wake.message)
        };
        let status = if woken.is_empty() && !streams.iter().any(wants) { 202 } else { 201 };
        let waited = if status == 201 { information.subscribers } else { 0 };
        self.inspecting.published(&wake, waited, streams.len() as u64, is_answered);
        if status == 202
            && let Some(number) = number
            && self.awaits(number, wake.message.place, information, request)
        {
            return;
        }
        self.answer_information(number, status, Some(information), request);
    }

    pub(crate) fn delete(&mut self, number: Option<u64>, name: Name, request: &Request) {
        let is_woken = |held: Held| held.name == name && held.woken.is_some();
        if self.clients.values().any(|client| client.held.is_some_and(is_woken)) {
            self.count("deletes during a fan-out");
        }
        let life = self.model.life(name).unwrap_or_default();
        let Some((information, polls, streams)) = self.model.delete(name) else {
            return self.answer(number, Expect::Status(404), request);
        };
        for hold in &polls {
            let client = self.client(hold.client);
            client.held.as_mut().expect("it waits").woken = Some(life);
            let asked = client.requests[0].clone();
            client.expects.push_back((Expect::Status(410), asked, None));
        }
        // Those that follow others go on.
        let (several, streams): (Vec<u64>, Vec<u64>) = streams.into_iter().partition(|stream| {
            self.clients[stream].stream.as_ref().is_some_and(|stream| stream.is_several)
        });
        for stream in &streams {
            self.client(*stream).stream.as_mut().expect("it follows").ending.get_or_insert(410);
        }
        for stream in several {
            let stream = self.clients.get_mut(&stream).and_then(|client| client.stream.as_mut());
            let stream = stream.expect("it follows");
            let is_there = |name: &Name| self.model.life(*name).is_some();
            stream.was_orphaned |= !stream.names.iter().any(is_there);
            self.count("deletions of one of several");
        }
        let Some(number) = number else { return };
        let client = self.client(number);
        client.phase = Phase::Asked;
        let holders = polls.iter().map(|hold| hold.client).chain(streams).collect();
        let form = request.accept;
        let expect = Expect::Deleted { holders, information, form };
        client.expects.push_back((expect, request.clone(), None));
    }

    pub(crate) fn subscribe(&mut self, number: Option<u64>, name: Name, question: &Question) {
        let &Question { ref request, holds_end, timeout_ms, max_subscribers, .. } = question;
        let place = PLACES[request.place];
        let (Ask::Get(cursor), Kind::Subscriber { interval, create, concurrency, limited }) =
            (&request.ask, place.kind)
        else {
            unreachable!("a GET on a subscriber location")
        };
        let now_ms = self.now().mono_ms;
        let client = number.unwrap_or(u64::MAX);
        let makes = create && !interval && !holds_end;
        let cursor = self.begins_at(&[name], request, *cursor, makes);
        // It is what is echoed where there is nothing new.
        let request = &Request { ask: Ask::Get(cursor), ..request.clone() };
        if let Some(number) = number {
            self.client(number).requests[0].ask = Ask::Get(cursor);
        }
        let hold = Hold { client, cursor, since_ms: now_ms, timeout_ms };
        // Where nobody is held any more nobody has a place.
        let (max_subscribers, concurrency) = match (self.holds_end, limited) {
            (true, _) => (0, Concurrency::Broadcast),
            (false, true) => (max_subscribers, concurrency),
            (false, false) => (0, concurrency),
        };
        // While the daemon stops nobody is held.
        let interval = interval || holds_end;
        let stays = false;
        let subscribe = Subscribe { hold, interval, stays, create, concurrency, max_subscribers };
        let Some(number) = number else { return self.model.subscribe_in_vain(name, &subscribe) };
        let expect = match self.model.subscribe(name, &subscribe) {
            Subscribed::Missing => Expect::Status(404),
            Subscribed::TooManyChannels => Expect::Status(503),
            Subscribed::TooManySubscribers => Expect::Status(403),
            Subscribed::NothingNew => Expect::NothingNew,
            Subscribed::Displaced => Expect::Status(409),
            Subscribed::Message(message, gap) => {
                self.seen.insert(name, message.id);
                Expect::Message(message, gap)
            }
            Subscribed::Held { .. } if self.holds_end => {
                self.model.end_hold(name, number);
                Expect::NothingNew
            }
            Subscribed::Held { displaced } => {
                self.displace(displaced);
                return self.hold(number, name, place.passthrough);
            }
        };
        self.answer(Some(number), expect, request);
    }

    /// Where a request begins that has this cursor.
    pub(crate) fn begins_at(
        &mut self,
        names: &[Name],
        request: &Request,
        cursor: Cursor,
        makes: bool,
    ) -> Cursor {
        let of_several = is_of_several(request.place);
        let first = match request.since {
            Some(MessageId { time: 0, .. }) => First::Oldest,
            Some(id) => First::Since(id),
            None => PLACES[request.place].first,
        };
        if !cursor.is_oldest() || first == First::Oldest {
            return cursor;
        }
        let begins = self.model.begins_at(names, (first, of_several), makes);
        self.count(match first {
            First::Newest => "begun at the newest",
            First::Since(id) if begins.id() == id => "begun behind since",
            First::Since(_) => "begun behind since, which was ahead",
            _ => "begun before the newest ones",
        });
        begins
    }

    pub(crate) fn hold(&mut self, number: u64, name: Name, told: bool) {
        let client = self.client(number);
        if client.ended {
            self.model.end_hold(name, number);
            return self.close(number);
        }
        client.held = Some(Held { name, told, woken: None });
        self.count("held");
        self.wait(number);
    }

    /// A request is held.
    pub(crate) fn wait(&mut self, number: u64) {
        let client = self.client(number);
        client.phase = Phase::Waiting;
        if !client.stalled {
            client.timer = None;
        }
        if client.paused {
            self.make_ready(number, true);
            self.end_flooded(number);
        }
    }

    /// An answer that is ready at once.
    pub(crate) fn answer(&mut self, number: Option<u64>, expect: Expect, request: &Request) {
        let Some(number) = number else { return };
        let (stopping, late) = (self.stopping, self.late);
        let client = self.client(number);
        let closes = Some(request.close || stopping);
        client.expects.push_back((expect, request.clone(), closes));
        self.answered(number, request, late);
    }

    /// The first request has its answer. `apart`: not while its bytes are being worked on.
    pub(crate) fn answered(&mut self, number: u64, request: &Request, apart: bool) {
        let stopping = self.stopping;
        let client = self.client(number);
        client.requests.pop_front();
        if request.close || stopping {
            client.doomed = true;
            return self.close(number);
        }
        client.phase = Phase::Head;
        self.await_request(number, apart);
    }

    pub(crate) fn await_request(&mut self, number: u64, apart: bool) {
        let now_ms = self.now().mono_ms;
        let limits = self.settings.limits.clone();
        self.make_ready(number, apart);
        let stopping = self.stopping;
        let client = self.client(number);
        match (client.stalled, stopping, client.ready) {
            (true, ..) => {}
            (_, false, _) => client.arm(Timer::Idle, &limits, now_ms),
            (_, true, true) => client.arm(Timer::Stop, &limits, now_ms),
            (_, true, false) => client.close(&limits, now_ms),
        }
    }

    pub(crate) fn make_ready(&mut self, number: u64, apart: bool) {
        let client = self.client(number);
        let goes_on = (apart && !client.kept.is_empty()) || client.paused || client.ended;
        if goes_on && !client.ready && !client.stalled {
            client.ready = true;
            self.ready.push_back(number);
        }
    }

    pub(crate) fn close(&mut self, number: u64) {
        self.leave_stream(number);
        let now_ms = self.now().mono_ms;
        let limits = self.settings.limits.clone();
        self.client(number).close(&limits, now_ms);
    }

    pub(crate) fn life_of_hold(&mut self, number: u64) -> u64 {
        let name = self.client(number).held.expect("it waits").name;
        self.model.life(name).unwrap_or_default()
    }

    /// A holder of a channel that is deleted was told, or is gone.
    pub(crate) fn leaves_deleted(&mut self, number: u64) {
        for (expect, ..) in self.clients.values_mut().flat_map(|client| &mut client.expects) {
            if let Expect::Deleted { holders, .. } = expect {
                holders.retain(|holder| *holder != number);
            }
        }
    }

    /// The subscriber is gone.
    pub(crate) fn abandon_hold(&mut self, number: u64) {
        let Some(held) = self.client(number).held.take() else { return };
        self.leaves_deleted(number);
        match held.woken {
            None => assert!(self.model.end_hold(held.name, number).is_some(), "it waited"),
            life => {
                // Whatever woke it goes nowhere.
                self.client(number).expects.pop_back();
                self.model.left_while_woken(held.name, life);
            }
        }
    }
}
