//! World: a relay in a network of the testkit, and the model beside it. What happens to the relay
//! happens to the model, in the same order; what the relay asks for is compared with what is due.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};

use pushserver::clock::Now;
use pushserver::hub::options::StoreKind;
use pushserver::message::MessageId;
use pushserver::relay::{Arrival, Command, ConnKey, Input};

use pushserver_testkit::{Network, Random};

use crate::asks::Asks;
use crate::awaiting::Awaited;
use crate::client::{Client, Expect, Phase, Timer};
use crate::following::Resume;
use crate::inspecting::Inspecting;
use crate::model::{Model, Name};
use crate::settings::Settings;
use crate::writing::Writing;

pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) model: Model,
    pub(crate) settings: Settings,
    pub(crate) random: Random,
    pub(crate) asks: Asks,
    pub(crate) inspecting: Inspecting,
    /// What is answered now was asked in an earlier turn.
    pub(crate) late: bool,
    pub(crate) clients: BTreeMap<u64, Client>,
    pub(crate) conns: HashMap<u64, ConnKey>,
    pub(crate) numbers: HashMap<ConnKey, u64>,
    /// Connections to go on with in the next turn.
    pub(crate) ready: VecDeque<u64>,
    /// The newest message that somebody got, by channel.
    pub(crate) seen: BTreeMap<Name, MessageId>,
    /// The place of the newest message that a stream of several channels got, by store.
    pub(crate) seen_places: BTreeMap<u16, MessageId>,
    /// Streams that have ended, to be gone on with.
    pub(crate) resumes: Vec<Resume>,
    /// Every answer is the last of its connection.
    pub(crate) stopping: bool,
    /// No request is held any more.
    pub(crate) holds_end: bool,
    /// Clients that could be spared when that was last looked for: the silent, the refused, the
    /// idle and those with a part of a head; of each kind the longest so last, each with its timer
    /// then.
    spare: [Vec<(u64, (u64, u64))>; 4],
    next_number: u64,
    /// Bodies that were published.
    pub(crate) bodies: u64,
    is_traced: bool,
    pub(crate) trace: Vec<String>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl World {
    pub(crate) fn new(mut random: Random, asks: Asks, is_traced: bool) -> Self {
        let mut settings = Settings::draw(&mut random);
        for (store, options) in settings.stores.iter_mut().enumerate() {
            if asks.writing[store].is_some() {
                options.kind = StoreKind::Durable;
            }
        }
        let now = Now::at(1_000, crate::settings::FIRST_ID.time + 1);
        let mut network = Network::at(now, &settings.relay(), settings.hub());
        network.record();
        if asks.is_slow() {
            network.relay.command(Command::SlowDown(&asks.fates), now);
        }
        Self {
            network,
            model: Model::new(settings.stores.clone(), settings.channels_max, now),
            settings,
            random,
            asks,
            inspecting: Inspecting::default(),
            late: false,
            clients: BTreeMap::new(),
            conns: HashMap::new(),
            numbers: HashMap::new(),
            ready: VecDeque::new(),
            seen: BTreeMap::new(),
            seen_places: BTreeMap::new(),
            resumes: Vec::new(),
            stopping: false,
            holds_end: false,
            spare: Default::default(),
            next_number: 0,
            bodies: 0,
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

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn client(&mut self, number: u64) -> &mut Client {
        self.clients.get_mut(&number).expect("the client is there")
    }

    pub(crate) fn connect(&mut self) -> u64 {
        let now = self.now();
        let number = self.next_number;
        self.next_number += 1;
        let peer = (!number.is_multiple_of(3)).then(|| [127, 0, 0, 1].into());
        let conn = self.network.accept(Arrival { peer, ..Arrival::default() });
        let mut client = Client::new(number, self.random.percent(35));
        client.arm(Timer::Head, &self.settings.limits, now.mono_ms);
        self.clients.insert(number, client);
        self.conns.insert(number, conn);
        self.numbers.insert(conn, number);
        number
    }

    /// Lets bytes that are on their way arrive, at most `most` of them.
    pub(crate) fn feed(&mut self, number: u64, most: usize) {
        let conn = self.conns[&number];
        let has_unread = !self.network.peers.get(conn).unread.is_empty();
        let client = self.clients.get_mut(&number).expect("it is there");
        let at_once = if has_unread { 0 } else { client.reads_at_most(&self.settings.limits) };
        let (mut bytes, mut is_split) = (Vec::new(), false);
        while let Some((piece, together)) = client.coming.front_mut() {
            let room = most.saturating_sub(bytes.len());
            if *together && bytes.len() + piece.len() > at_once {
                break;
            }
            if *together || piece.len() <= room {
                bytes.append(piece);
                client.coming.pop_front();
            } else {
                bytes.extend(piece.drain(..room));
                is_split = true;
            }
            if bytes.len() >= most {
                break;
            }
        }
        if is_split {
            self.count("splits");
        }
        self.network.send(conn, &bytes);
        self.observe();
    }

    pub(crate) fn half_close(&mut self, number: u64) {
        self.client(number).coming.clear();
        self.network.end(self.conns[&number]);
        self.observe();
    }

    pub(crate) fn reset(&mut self, number: u64) {
        self.network.reset(self.conns[&number]);
    }

    pub(crate) fn socket_takes(&mut self, number: u64, bytes: usize) {
        self.network.take_waiting(self.conns[&number], bytes);
        self.observe();
    }

    /// Sets the clocks; both are read by all that follows.
    pub(crate) fn set_now(&mut self, now: Now) {
        (self.model.now, self.network.now) = (now, now);
    }

    pub(crate) fn reload(&mut self) {
        let mut settings = self.settings.clone();
        settings.draw_again(&mut self.random);
        self.count("reloads");
        self.network
            .relay
            .command(Command::Reload(&settings.relay(), settings.stores.clone()), self.model.now);
        self.model.reload(settings.stores.clone());
        self.settings = settings;
    }

    /// Makes room: so many connections that can be spared are closed, who was so for longest first.
    pub(crate) fn shed(&mut self, count: usize) {
        for _ in 0..count {
            let now = self.now();
            let silent_ms = self.random.pick(&[0, 100, 1_000]);
            let has_spoken = self.random.percent(70);
            let spared = self.next_spared(silent_ms, has_spoken);
            let spare = self.network.relay.spare(silent_ms, has_spoken, now).conn;
            if let Some(conn) = spare {
                self.network.relay.handle_input(conn, Input::Evicted, now);
            }
            assert_eq!(spare.is_some(), spared.is_some(), "room is made");
            let Some((kind, number)) = spared else { return };
            self.count(
                [
                    "sheds of silent ones",
                    "sheds of refused ones",
                    "sheds of idle ones",
                    "sheds of begun heads",
                ][kind],
            );
            self.close(number);
        }
    }

    /// Which connection can be spared best: of those that are silent for long enough, then of those
    /// that were refused, then of those between two requests, then of those of whose head only a
    /// part has come.
    fn next_spared(&mut self, silent_ms: u64, has_spoken: bool) -> Option<(usize, u64)> {
        for kind in 0..if has_spoken { 4 } else { 2 } {
            let mut spared = self.next_found(kind, silent_ms);
            if spared.is_none() && self.spare[kind].is_empty() {
                self.find_spare();
                spared = self.next_found(kind, silent_ms);
            }
            if let Some(number) = spared {
                return Some((kind, number));
            }
        }
        None
    }

    fn next_found(&mut self, kind: usize, silent_ms: u64) -> Option<u64> {
        let now_ms = self.now().mono_ms;
        while let Some(&(number, since)) = self.spare[kind].last() {
            let is_so = self.clients.get(&number).and_then(spare) == Some((kind, since));
            let connected_ms = since.0.saturating_sub(self.settings.limits.header_timeout_ms);
            let young_ms = [silent_ms, 0, 0, silent_ms][kind];
            if is_so && young_ms > 0 && now_ms < connected_ms + young_ms {
                return None;
            }
            self.spare[kind].pop();
            if is_so {
                return Some(number);
            }
        }
        None
    }

    /// Timers have ticks of 10 ms; within one the place in the table decides.
    fn find_spare(&mut self) {
        self.spare = Default::default();
        for (number, client) in &self.clients {
            if let Some((kind, since)) = spare(client) {
                self.spare[kind].push((*number, since));
            }
        }
        for found in &mut self.spare {
            let conns = &self.conns;
            found.sort_by_key(|(number, (at, _))| Reverse((at.div_ceil(10), conns[number])));
        }
    }

    pub(crate) fn shutdown(&mut self) {
        let now = self.now();
        self.network.relay.command(Command::Shutdown, now);
        (self.stopping, self.holds_end) = (true, true);
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
        let is_slow = self.asks.is_slow();
        let numbers: Vec<u64> = self.clients.keys().copied().collect();
        for number in numbers {
            let client = self.client(number);
            match client.phase {
                Phase::Head if client.kept.is_empty() => self.close(number),
                Phase::Head | Phase::Body(_) if !client.stalled => {
                    client.arm(Timer::Stop, &limits, now.mono_ms);
                }
                Phase::Lingering(_) if !client.stalled => client.linger(true, &limits, now.mono_ms),
                Phase::Asked if client.awaited.is_some() => self.acknowledge(number, true),
                Phase::Asked if is_slow && !client.stalled => {
                    client.arm_store(true, &limits, now.mono_ms);
                }
                _ => {}
            }
        }
    }

    /// One turn, with at most so many outputs of fan-outs.
    pub(crate) fn slow_turn(&mut self, most: usize) {
        let pace = std::mem::replace(&mut self.network.pace, most);
        self.turn();
        self.network.pace = pace;
    }

    /// One turn. Sockets of slow clients may have little room in it.
    pub(crate) fn turn(&mut self) {
        for client in self.clients.values().filter(|client| client.slow && !client.stalled) {
            let room = self.random.percent(40).then(|| self.random.index(400));
            self.network.peers.get_mut(self.conns[&client.number]).room = room;
        }
        if self.asks.has_durable() {
            self.network.disk.turns = self.random.pick(&[0, 0, 1, 2, 4, 8]);
            self.network.disk.refuses = self.random.percent(25);
        }
        self.network.turn();
        self.observe();
        self.asks.writing.iter().flatten().for_each(Writing::check);
    }

    /// What is due, once a turn.
    pub(crate) fn due(&mut self) {
        let now = self.now();
        let mut due: Vec<(u64, (Timer, u64))> = self
            .clients
            .values()
            .filter_map(|client| Some((client.number, client.timer?)))
            .filter(|(_, (_, at))| *at <= now.mono_ms)
            .collect();
        // Behind a publisher that waited no longer its next requests go on, in the same order: that
        // of the ticks, and in one that of those who began to wait.
        due.sort_by_key(|(number, (_, at))| {
            let awaited = self.clients[number].awaited.as_ref();
            (at.div_ceil(10), awaited.map(Awaited::order))
        });
        for (number, (timer, _)) in due {
            self.timed_out(number, timer);
        }
        self.model.handle_timeout();
        self.answer_late();
        for _ in 0..self.ready.len() {
            let Some(number) = self.ready.pop_front() else { break };
            // One that is closed meanwhile is skipped.
            if let Some(client) = self.clients.get_mut(&number) {
                client.ready = false;
                self.go_on(number);
            }
        }
    }
}

/// In what way a client can be spared, and its timer, which says since when.
fn spare(client: &Client) -> Option<(usize, (u64, u64))> {
    let (timer, at) = client.timer?;
    let has_nothing = client.kept.is_empty() && !client.ready && !client.stalled;
    let kind = match (client.phase, timer) {
        (Phase::Head, Timer::Head) if has_nothing => 0,
        (Phase::Lingering(_), Timer::Linger) => 1,
        (Phase::Head, Timer::Idle) if has_nothing => 2,
        (Phase::Head, Timer::Head) if !client.ready => 3,
        _ => return None,
    };
    Some((kind, (at, client.armed)))
}
