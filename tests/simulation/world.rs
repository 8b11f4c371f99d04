//! The relay with a fake network and clock around it, and the model beside it. Every input goes to
//! both; every output of the relay is compared with what the model says.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use pushserver::clock::Now;
use pushserver::hub::options::Concurrency;
use pushserver::message::MessageId;
use pushserver::relay::notice::{Event, Notice};
use pushserver::relay::{ConnKey, Output, Relay};
use pushserver::store::{Gap, StoreId};

use crate::answer::Answer;
use crate::client::{Client, Expect, Held, Phase, Timer};
use crate::model::{Hold, Model, Name, Published, Subscribe, Subscribed};
use crate::random::Random;
use crate::request::{Ask, Request};
use crate::settings::{Kind, PLACES, Settings};

/// Requests of one connection that are served before others have their turn.
const REQUESTS_PER_TURN: usize = 16;

pub(crate) struct World {
    pub(crate) relay: Relay,
    pub(crate) model: Model,
    pub(crate) settings: Settings,
    pub(crate) random: Random,
    pub(crate) clients: BTreeMap<u64, Client>,
    pub(crate) conns: HashMap<u64, ConnKey>,
    numbers: HashMap<ConnKey, u64>,
    /// Connections to go on with in the next turn.
    pub(crate) ready: VecDeque<u64>,
    /// Closed by the relay; told at the end of the step.
    gone: Vec<u64>,
    notices: HashMap<*const Notice, Arc<Notice>>,
    /// The newest message that somebody got, by channel.
    pub(crate) seen: BTreeMap<Name, MessageId>,
    pub(crate) stopping: bool,
    next_number: u64,
    is_traced: bool,
    pub(crate) trace: Vec<String>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl World {
    pub(crate) fn new(mut random: Random, is_traced: bool) -> Self {
        let settings = Settings::draw(&mut random);
        let now = Now { mono_ms: 1_000, unix_s: crate::settings::FIRST_ID.time + 1 };
        Self {
            relay: Relay::new(&settings.relay(), settings.hub(), now),
            model: Model::new(settings.stores.clone(), settings.channels_max, now),
            settings,
            random,
            clients: BTreeMap::new(),
            conns: HashMap::new(),
            numbers: HashMap::new(),
            ready: VecDeque::new(),
            gone: Vec::new(),
            notices: HashMap::new(),
            seen: BTreeMap::new(),
            stopping: false,
            next_number: 0,
            is_traced,
            trace: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.model.now
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.is_traced {
            self.trace.push(line());
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn client(&mut self, number: u64) -> &mut Client {
        self.clients.get_mut(&number).expect("the client is there")
    }

    // ---- Inputs -------------------------------------------------------------------------------

    pub(crate) fn connect(&mut self) -> u64 {
        let now = self.now();
        let number = self.next_number;
        self.next_number += 1;
        let peer = (number % 3 != 0).then(|| [127, 0, 0, 1].into());
        let conn = self.relay.accept(peer, now);
        let mut client = Client::new(number, self.random.percent(25));
        client.arm(Timer::Head, &self.settings.limits, now.mono_ms);
        self.clients.insert(number, client);
        self.conns.insert(number, conn);
        self.numbers.insert(conn, number);
        number
    }

    /// Lets bytes that are on their way arrive, at most `most` of them.
    pub(crate) fn feed(&mut self, number: u64, most: usize) {
        let now = self.now();
        let conn = self.conns[&number];
        let wanted = self.relay.wants_read(conn);
        let client = self.clients.get_mut(&number).expect("it is there");
        assert_eq!(wanted, client.wants_read(&self.settings.limits), "wants_read of {number}");
        client.paused = !wanted;
        if !wanted {
            return;
        }
        let mut bytes = Vec::new();
        while let Some((piece, together)) = client.coming.front_mut() {
            let room = most.saturating_sub(bytes.len());
            if *together || piece.len() <= room {
                bytes.append(piece);
                client.coming.pop_front();
            } else {
                bytes.extend(piece.drain(..room));
            }
            if bytes.len() >= most {
                break;
            }
        }
        if bytes.is_empty() {
            return;
        }
        self.note(|| format!("  {number} sends {}", bytes[..bytes.len().min(600)].escape_ascii()));
        self.relay.received(conn, &bytes, now);
        let client = self.client(number);
        match client.phase {
            Phase::Lingering | Phase::Closing => {}
            _ => {
                client.kept.extend_from_slice(&bytes);
                self.go_on(number);
            }
        }
    }

    pub(crate) fn half_close(&mut self, number: u64) {
        let now = self.now();
        self.relay.peer_ended(self.conns[&number], now);
        let client = self.client(number);
        client.ended = true;
        client.coming.clear();
        let has_bytes = !client.kept.is_empty();
        match client.phase {
            Phase::Head if client.ready || (client.stalled && has_bytes) => {}
            Phase::Asked => {}
            Phase::Waiting => {
                self.abandon_hold(number);
                self.close(number);
            }
            _ => self.close(number),
        }
    }

    /// The connection is gone, by the peer or because the relay said so.
    pub(crate) fn closed(&mut self, number: u64) {
        let now = self.now();
        let conn = self.conns.remove(&number).expect("it is open");
        self.numbers.remove(&conn);
        self.relay.closed(conn, now);
        self.abandon_hold(number);
        self.clients.remove(&number);
    }

    pub(crate) fn socket_takes(&mut self, number: u64, bytes: usize) {
        let now = self.now();
        let conn = self.conns[&number];
        let limits = self.settings.limits.clone();
        let client = self.client(number);
        if bytes < client.unsent {
            client.unsent -= bytes;
            client.arm(Timer::Write, &limits, now.mono_ms);
            return self.relay.progressed(conn, now);
        }
        client.unsent = 0;
        client.stalled = false;
        self.relay.drained(conn, now);
        let client = self.client(number);
        match client.phase {
            Phase::Head => self.await_request(number, true),
            Phase::Body(_) => {
                client.arm(Timer::Body, &limits, now.mono_ms);
                self.make_ready(number, true);
            }
            Phase::Lingering => client.arm(Timer::Linger, &limits, now.mono_ms),
            _ => client.timer = None,
        }
        if self.client(number).close_seen {
            self.gone.push(number);
        }
    }

    /// Sets the clocks; both are read by all that follows.
    pub(crate) fn set_now(&mut self, now: Now) {
        self.model.now = now;
    }

    pub(crate) fn reload(&mut self) {
        let mut settings = self.settings.clone();
        settings.draw_again(&mut self.random);
        self.relay.reload(&settings.relay(), settings.stores.clone(), self.model.now);
        self.model.reload(settings.stores.clone());
        self.settings = settings;
    }

    /// Makes room: so many connections that wait for a next request are closed.
    pub(crate) fn shed(&mut self, count: usize) {
        let now = self.now();
        self.relay.shed_idle(count, now);
        let is_idle = |c: &&Client| {
            let waits = matches!(c.timer, Some((Timer::Idle, _)));
            waits && c.phase == Phase::Head && c.kept.is_empty()
        };
        let mut idle: Vec<u64> = self.clients.values().filter(is_idle).map(|c| c.number).collect();
        idle.sort_by_key(|number| self.conns[number].index());
        for number in idle.into_iter().take(count) {
            self.close(number);
        }
    }

    pub(crate) fn shutdown(&mut self) {
        let now = self.now();
        self.relay.shutdown(now);
        self.stopping = true;
        let waiting: Vec<u64> = self.model.waiting().map(|hold| hold.client).collect();
        for number in waiting {
            let life = self.life_of_hold(number);
            let client = self.client(number);
            let request = client.requests[0].clone();
            client.expects.push_back((Expect::NothingNew, request, None));
            client.held.as_mut().expect("it waits").woken = Some(life);
        }
        self.model.shutdown();
        let limits = self.settings.limits.clone();
        let numbers: Vec<u64> = self.clients.keys().copied().collect();
        for number in numbers {
            let client = self.client(number);
            match client.phase {
                Phase::Head if client.kept.is_empty() => self.close(number),
                Phase::Head | Phase::Body(_) => client.arm(Timer::Stop, &limits, now.mono_ms),
                _ => {}
            }
        }
    }

    /// What is due, once a turn.
    pub(crate) fn turn(&mut self) {
        let now = self.now();
        self.relay.handle_timeout(now);
        let due: Vec<(u64, Timer)> = self
            .clients
            .values()
            .filter_map(|client| Some((client.number, client.timer?)))
            .filter(|(_, (_, at))| *at <= now.mono_ms)
            .map(|(number, (timer, _))| (number, timer))
            .collect();
        for (number, timer) in due {
            self.timed_out(number, timer);
        }
        self.model.handle_timeout();
        for _ in 0..self.ready.len() {
            let Some(number) = self.ready.pop_front() else { break };
            // One that is closed meanwhile is skipped.
            if let Some(client) = self.clients.get_mut(&number) {
                client.ready = false;
                self.go_on(number);
            }
        }
    }

    // ---- What the relay should do -------------------------------------------------------------

    fn timed_out(&mut self, number: u64, timer: Timer) {
        let now_ms = self.now().mono_ms;
        let limits = self.settings.limits.clone();
        let client = self.client(number);
        client.timer = None;
        if client.phase == Phase::Asked && timer != Timer::Write {
            return;
        }
        match timer {
            Timer::Idle => self.close(number),
            Timer::Head if client.kept.is_empty() => self.close(number),
            Timer::Linger | Timer::Write => client.must_abort = true,
            Timer::Head | Timer::Body | Timer::Stop => {
                let request = client.requests.front().cloned().expect("part of a request came");
                client.fail(408, request, &limits, now_ms);
            }
        }
    }

    /// Goes on with the bytes that the relay has.
    fn go_on(&mut self, number: u64) {
        let client = self.client(number);
        if client.stalled || client.ready {
            return;
        }
        self.run(number);
        let limits = self.settings.limits.clone();
        let Some(client) = self.clients.get_mut(&number) else { return };
        if client.paused && client.wants_read(&limits) {
            client.paused = false;
        }
        if client.ended && !client.ready && matches!(client.phase, Phase::Head | Phase::Body(_)) {
            self.close(number);
        }
    }

    fn run(&mut self, number: u64) {
        let now_ms = self.now().mono_ms;
        let limits = self.settings.limits.clone();
        let stopping = self.stopping;
        for _ in 0..REQUESTS_PER_TURN {
            let client = self.client(number);
            if client.kept.is_empty() {
                return;
            }
            match client.phase {
                Phase::Head => {
                    let request = client.requests.front().expect("bytes of a request").clone();
                    if let Ask::Doomed(status) = request.ask {
                        client.fail(status, request, &limits, now_ms);
                        return;
                    }
                    if client.kept.len() < request.head.len() {
                        if !matches!(client.timer, Some((Timer::Head | Timer::Stop, _))) {
                            client.arm(Timer::Head, &limits, now_ms);
                        }
                        return;
                    }
                    if client.kept.len() >= request.len() && request.is_simple {
                        client.kept.drain(..request.len());
                        self.execute(number, request);
                        continue;
                    }
                    client.kept.drain(..request.head.len());
                    client.phase = Phase::Body(request.body.len());
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
                _ => return,
            }
        }
        let client = self.client(number);
        let goes_on = matches!(client.phase, Phase::Head | Phase::Body(_));
        if !client.kept.is_empty() && goes_on && !client.ready {
            client.ready = true;
            self.ready.push_back(number);
        }
    }

    fn execute(&mut self, number: u64, request: Request) {
        let place = PLACES[request.place];
        let name = (place.store, place.group, request.channel);
        match &request.ask {
            Ask::Fixed(status) => self.answer(number, Expect::Status(*status), &request),
            Ask::Inspect { .. } => {
                let information = self.model.information(name);
                self.answer_information(number, 200, information, &request);
            }
            Ask::Create => match self.model.create(name) {
                None => self.answer(number, Expect::Status(503), &request),
                information => self.answer_information(number, 200, information, &request),
            },
            Ask::Delete => self.delete(number, name, &request),
            Ask::Publish { body, content_type, .. } => {
                let Kind::Publisher { create, store } = place.kind else { unreachable!() };
                let published = self.model.publish(name, body, *content_type, create, store);
                self.publish(number, published, &request);
            }
            Ask::Get(_) => self.subscribe(number, name, &request),
            Ask::Doomed(_) => unreachable!("refused before"),
        }
    }

    fn answer_information(
        &mut self,
        number: u64,
        status: u16,
        information: Option<crate::model::Information>,
        request: &Request,
    ) {
        let expect = match information {
            None => Expect::Status(404),
            Some(information) => Expect::Information { status, information, form: request.accept },
        };
        self.answer(number, expect, request);
    }

    fn publish(&mut self, number: u64, published: Published, request: &Request) {
        let (information, woken, wake) = match published {
            Published::Missing => return self.answer(number, Expect::Status(404), request),
            Published::TooManyChannels => {
                return self.answer(number, Expect::Status(503), request);
            }
            Published::TooLarge => return self.answer(number, Expect::Status(413), request),
            Published::Done { information, woken, wake } => (information, woken, wake),
        };
        for hold in &woken {
            let life = self.life_of_hold(hold.client);
            let client = self.client(hold.client);
            client.held.as_mut().expect("it waits").woken = Some(life);
            let asked = client.requests[0].clone();
            client.expects.push_back((Expect::Woken(wake.clone()), asked, None));
        }
        let status = if woken.is_empty() { 202 } else { 201 };
        self.answer_information(number, status, Some(information), request);
    }

    fn delete(&mut self, number: u64, name: Name, request: &Request) {
        let life = self.model.life(name).unwrap_or_default();
        let Some((information, holders)) = self.model.delete(name) else {
            return self.answer(number, Expect::Status(404), request);
        };
        for hold in &holders {
            let client = self.client(hold.client);
            client.held.as_mut().expect("it waits").woken = Some(life);
            let asked = client.requests[0].clone();
            client.expects.push_back((Expect::Status(410), asked, None));
        }
        let client = self.client(number);
        client.phase = Phase::Asked;
        let holders = holders.iter().map(|hold| hold.client).collect();
        let form = request.accept;
        let expect = Expect::Deleted { holders, information, form };
        client.expects.push_back((expect, request.clone(), None));
    }

    fn subscribe(&mut self, number: u64, name: Name, request: &Request) {
        let place = PLACES[request.place];
        let (Ask::Get(cursor), Kind::Subscriber { interval, create, concurrency, limited }) =
            (&request.ask, place.kind)
        else {
            unreachable!("a GET on a subscriber location")
        };
        let (now_ms, timeout_ms) = (self.now().mono_ms, self.settings.poll_timeout_ms);
        let hold = Hold { client: number, cursor: *cursor, since_ms: now_ms, timeout_ms };
        let max_subscribers = if limited { self.settings.max_subscribers } else { 0 };
        // While the daemon stops nobody is displaced, and nobody is held.
        let (concurrency, max_subscribers) = if self.stopping {
            (Concurrency::Broadcast, 0)
        } else {
            (concurrency, max_subscribers)
        };
        let subscribe = Subscribe { hold, interval, create, concurrency, max_subscribers };
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
            Subscribed::Held { .. } if self.stopping => {
                self.model.end_hold(name, number);
                Expect::NothingNew
            }
            Subscribed::Held { displaced } => {
                for hold in displaced {
                    let client = self.client(hold.client);
                    let asked = client.requests[0].clone();
                    client.held = None;
                    let closes = asked.close;
                    client.expects.push_back((Expect::Status(409), asked.clone(), Some(closes)));
                    self.answered(hold.client, &asked, true);
                }
                return self.hold(number, name, place.passthrough);
            }
        };
        self.answer(number, expect, request);
    }

    fn hold(&mut self, number: u64, name: Name, told: bool) {
        let client = self.client(number);
        if client.ended {
            self.model.end_hold(name, number);
            return self.close(number);
        }
        client.phase = Phase::Waiting;
        client.timer = None;
        client.held = Some(Held { name, told, woken: None });
        self.count("held");
    }

    /// An answer that is ready at once.
    fn answer(&mut self, number: u64, expect: Expect, request: &Request) {
        let stopping = self.stopping;
        let client = self.client(number);
        let closes = Some(request.close || stopping);
        client.expects.push_back((expect, request.clone(), closes));
        self.answered(number, request, false);
    }

    /// The first request has its answer. `apart`: not while its bytes are being worked on.
    fn answered(&mut self, number: u64, request: &Request, apart: bool) {
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

    fn await_request(&mut self, number: u64, apart: bool) {
        let now_ms = self.now().mono_ms;
        let limits = self.settings.limits.clone();
        self.make_ready(number, apart);
        let client = self.client(number);
        if !client.stalled {
            client.arm(Timer::Idle, &limits, now_ms);
        }
    }

    fn make_ready(&mut self, number: u64, apart: bool) {
        let client = self.client(number);
        let goes_on = (apart && !client.kept.is_empty()) || client.paused || client.ended;
        if goes_on && !client.ready && !client.stalled {
            client.ready = true;
            self.ready.push_back(number);
        }
    }

    fn close(&mut self, number: u64) {
        let now_ms = self.now().mono_ms;
        let limits = self.settings.limits.clone();
        self.client(number).close(&limits, now_ms);
    }

    fn life_of_hold(&mut self, number: u64) -> u64 {
        let name = self.client(number).held.expect("it waits").name;
        self.model.life(name).unwrap_or_default()
    }

    /// The subscriber is gone.
    fn abandon_hold(&mut self, number: u64) {
        let client = self.client(number);
        let Some(held) = client.held.take() else { return };
        match held.woken {
            None => assert!(self.model.end_hold(held.name, number).is_some(), "it waited"),
            life => {
                // Whatever woke it goes nowhere.
                client.expects.pop_back();
                self.model.left_while_woken(held.name, life);
            }
        }
    }

    // ---- What the relay does ------------------------------------------------------------------

    /// Takes at most `most` outputs; `true`: there are no more.
    pub(crate) fn poll(&mut self, most: usize) -> bool {
        let mut left = most;
        loop {
            let Some(output) = self.relay.poll_output(self.now()) else { return true };
            // The end of a hold is told in two outputs, which are one thing to the model.
            let half = matches!(output, Output::Notify { .. });
            self.carry_out(output);
            left = left.saturating_sub(1);
            if left == 0 && !half {
                return false;
            }
        }
    }

    /// Lets go on whatever can, until the relay waits for somebody.
    pub(crate) fn drain(&mut self) {
        loop {
            self.poll(usize::MAX);
            self.bury();
            let is_ready = self.relay.poll_timeout() == Some(0);
            assert_eq!(is_ready, !self.ready.is_empty(), "ready are {:?}", self.ready);
            if !is_ready && !self.relay.has_output() {
                break;
            }
            self.turn();
        }
        self.check_quiet();
    }

    /// Tells the relay of the connections that are closed.
    pub(crate) fn bury(&mut self) {
        for number in std::mem::take(&mut self.gone) {
            if self.clients.contains_key(&number) {
                self.closed(number);
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { conn, payload } => {
                let Some(&number) = self.numbers.get(&conn) else { return };
                let (head, body) = payload.slices(0);
                let bytes = [head, body].concat();
                assert_eq!(bytes.len(), payload.len());
                self.sent(number, &bytes);
            }
            Output::ShutdownWrite { conn } => {
                if let Some(number) = self.numbers.get(&conn) {
                    let client = &self.clients[number];
                    assert!(matches!(client.phase, Phase::Lingering | Phase::Closing));
                }
            }
            Output::Close { conn } => {
                let Some(&number) = self.numbers.get(&conn) else { return };
                self.note(|| format!("  {number} is closed"));
                let client = self.client(number);
                assert!(client.must_close && !client.close_seen, "{number} is closed");
                client.close_seen = true;
                if client.unsent == 0 {
                    self.gone.push(number);
                }
            }
            Output::Abort { conn } => {
                let Some(&number) = self.numbers.get(&conn) else { return };
                assert!(self.client(number).must_abort, "{number} is aborted");
                self.gone.push(number);
            }
            Output::ResumeRead { conn } => {
                if let Some(number) = self.numbers.get(&conn) {
                    let number = *number;
                    self.note(|| format!("  {number} is read again"));
                    self.count("resumed");
                }
            }
            Output::Notify { event, notice } => self.notified(event, &notice),
        }
    }

    fn notified(&mut self, event: Event, notice: &Arc<Notice>) {
        let place = PLACES
            .iter()
            .find(|place| *notice.url == *format!("http://django{}", place.path))
            .expect("a location's URL");
        assert!(place.passthrough);
        match event {
            Event::Subscribe => {
                let twice = self.notices.insert(Arc::as_ptr(notice), Arc::clone(notice));
                assert!(twice.is_none(), "subscribe twice");
                self.count("subscribe notices");
            }
            Event::Unsubscribe => {
                let before = self.notices.remove(&Arc::as_ptr(notice));
                assert!(before.is_some(), "unsubscribe without subscribe, or twice");
            }
        }
    }

    fn sent(&mut self, number: u64, bytes: &[u8]) {
        let limits = self.settings.limits.clone();
        let now = self.now();
        self.note(|| format!("  {number} gets {}", bytes[..bytes.len().min(300)].escape_ascii()));
        let client = self.client(number);
        let (expect, request, closes) = match client.expects.pop_front() {
            Some(expected) => expected,
            // Nothing but the end of its time ends a hold unasked.
            None => self.hold_times_out(number),
        };
        let is_head = matches!(request.ask, Ask::Inspect { is_head: true })
            && !matches!(expect, Expect::Status(408));
        let answer = Answer::read(bytes, is_head);
        self.check_answer(&answer, &expect, &request);
        let stopping = self.stopping;
        let client = self.client(number);
        let closes = closes.unwrap_or(request.close || stopping);
        if !matches!(expect, Expect::Continue) {
            let kept = request.keep_alive.then_some("keep-alive");
            let connection = if closes { Some("close") } else { kept };
            assert_eq!(answer.header("connection"), connection, "{request:?}");
        }
        let is_woken = client.held.is_some_and(|held| held.woken.is_some());
        if is_woken && client.expects.is_empty() {
            client.held = None;
            self.answered(number, &request, true);
        } else if matches!(expect, Expect::Deleted { .. }) {
            self.answered(number, &request, true);
        }
        let slow = self.client(number).slow && self.random.percent(40);
        let taken = self.random.index(bytes.len() + 1);
        let client = self.client(number);
        if client.stalled {
            client.unsent += bytes.len();
        } else if slow && taken < bytes.len() {
            client.unsent = bytes.len() - taken;
            client.stalled = true;
            client.arm(Timer::Write, &limits, now.mono_ms);
            let conn = self.conns[&number];
            self.relay.stalled(conn, now);
            self.count("stalled");
        }
    }

    fn hold_times_out(&mut self, number: u64) -> (Expect, Request, Option<bool>) {
        let now_ms = self.now().mono_ms;
        let client = self.client(number);
        assert_eq!(client.phase, Phase::Waiting, "{number} gets an answer it did not ask for");
        let request = client.requests[0].clone();
        let held = client.held.as_mut().expect("it waits");
        held.woken = Some(0);
        let name = held.name;
        let hold = self.model.end_hold(name, number).expect("it is held");
        let Hold { since_ms, timeout_ms, .. } = hold;
        assert!(timeout_ms != 0, "this hold never ends by time");
        assert!(now_ms >= since_ms + timeout_ms - timeout_ms / 10, "the hold ends early");
        self.count("timed out");
        (Expect::NothingNew, request, None)
    }

    fn check_answer(&mut self, answer: &Answer, expect: &Expect, request: &Request) {
        let status = answer.status;
        let cursor = match request.ask {
            Ask::Get(cursor) => Some(cursor),
            _ => None,
        };
        match expect {
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
                    _ => "other statuses",
                });
            }
            Expect::Information { status: expected, information, form } => {
                assert_eq!(status, *expected, "{request:?}");
                check_information(answer, information, *form, request);
            }
            Expect::Deleted { holders, information, form } => {
                assert_eq!(status, 200);
                check_information(answer, information, *form, request);
                let told = |holder: &u64| {
                    self.clients.get(holder).is_none_or(|client| {
                        !client.expects.iter().any(|(e, ..)| matches!(e, Expect::Status(410)))
                    })
                };
                assert!(holders.iter().all(told), "deleted before every holder was told");
            }
            Expect::NothingNew => {
                assert_eq!(status, 304);
                let cursor = cursor.filter(|cursor| cursor.given);
                check_validators(answer, cursor.map(|cursor| cursor.id()));
            }
            Expect::Message(message, gap) => {
                check_message(answer, message, *gap);
                self.count(if *gap == Gap::NONE { "caught up" } else { "gaps" });
            }
            Expect::Woken(wake) => {
                let gap = self.model.gap_of(wake, cursor.expect("a GET was held"));
                check_message(answer, &wake.message, gap);
                self.seen.insert(wake.name, wake.message.id);
                self.count(if gap == Gap::NONE { "woken" } else { "woken with a gap" });
            }
        }
        let is_subscriber = matches!(PLACES[request.place].kind, Kind::Subscriber { .. });
        if is_subscriber && !matches!(expect, Expect::Status(404 | 408)) {
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        }
    }
}

fn check_information(
    answer: &Answer,
    information: &crate::model::Information,
    form: usize,
    request: &Request,
) {
    assert_eq!(answer.header("content-type"), Some(crate::request::ACCEPTS[form]));
    if !matches!(request.ask, Ask::Inspect { is_head: true }) {
        assert_eq!(String::from_utf8_lossy(&answer.body), information.text(form), "{request:?}");
    }
}

fn check_message(answer: &Answer, message: &crate::model::Message, gap: Gap) {
    assert_eq!(answer.status, 200);
    check_validators(answer, Some(message.id));
    assert_eq!(answer.body, message.body);
    assert_eq!(answer.header("content-type"), message.content_type);
    let cache = format!("no-cache, etag={}", message.id.tag);
    assert_eq!(answer.header("cache-control"), Some(&*cache));
    let told = match gap {
        Gap::NONE => None,
        Gap::Messages(skipped) => Some(skipped.to_string()),
        Gap::Unknown => Some("unknown".to_owned()),
    };
    assert_eq!(answer.header("x-push-gap"), told.as_deref(), "the gap before {}", message.id);
}

fn check_validators(answer: &Answer, id: Option<MessageId>) {
    let date = |id: MessageId| {
        let mut date = Vec::new();
        pushserver::http::write_http_date(id.time, &mut date);
        String::from_utf8(date).expect("ASCII")
    };
    assert_eq!(answer.header("last-modified"), id.map(date).as_deref());
    assert_eq!(answer.header("etag"), id.map(|id| id.tag.to_string()).as_deref());
}

impl World {
    // ---- Properties ---------------------------------------------------------------------------

    /// Holds after every step.
    pub(crate) fn check(&mut self) {
        let hub = self.relay.hub();
        hub.check_invariants();
        assert_eq!(self.relay.connections(), self.clients.len(), "connections");
        for store in 0..2 {
            let used = self.model.used_bytes(store);
            assert_eq!(hub.used_bytes(StoreId(store)), used, "bytes of store {store}");
        }
        assert_eq!(hub.channels(), self.model.channels(), "channels");
        assert!(hub.channels() <= self.settings.channels_max);
        let held = self.clients.values().filter(|client| client.held.is_some()).count();
        assert_eq!(hub.held(), held, "held requests");
        let armed = self.clients.values().filter(|client| client.timer.is_some()).count();
        assert_eq!(self.relay.timers() - hub.timers(), armed, "timers of connections");
    }

    /// Holds when the relay has nothing left to do until something happens.
    fn check_quiet(&mut self) {
        let now_ms = self.now().mono_ms;
        for hold in self.model.waiting() {
            let over = hold.timeout_ms != 0
                && (hold.since_ms + hold.timeout_ms).next_multiple_of(10) <= now_ms;
            assert!(!over, "the hold of {} should have ended", hold.client);
        }
        for client in self.clients.values() {
            let number = client.number;
            assert!(client.expects.is_empty(), "{number} misses {:?}", client.expects);
            assert_eq!(client.held.is_some(), client.phase == Phase::Waiting, "hold of {number}");
            assert!(!client.must_close || client.close_seen, "{number} was not closed");
            assert!(!client.must_abort, "{number} was not aborted");
            assert!(!client.ready);
        }
        let told = self.clients.values().filter(|c| c.held.is_some_and(|held| held.told)).count();
        assert_eq!(self.notices.len(), told, "subscribe notices without their unsubscribe");
    }

    /// Nothing is left when everybody is gone and time has passed.
    pub(crate) fn check_empty(&self) {
        let hub = self.relay.hub();
        assert_eq!((self.relay.connections(), hub.held(), self.notices.len()), (0, 0, 0));
        assert_eq!((hub.channels(), self.relay.timers()), (0, 0));
        assert_eq!((hub.used_bytes(StoreId(0)), hub.used_bytes(StoreId(1))), (0, 0));
        assert!(!self.relay.has_output());
        assert_eq!(self.relay.poll_timeout(), None);
    }
}
