//! The relay with a fake network and clock around it, and the model beside it. Every input goes to
//! both; every output of the relay is compared with what the model says.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use pushserver::clock::Now;
use pushserver::message::MessageId;
use pushserver::relay::notice::Notice;
use pushserver::relay::{Arrival, ConnKey, Input, Relay};

use crate::client::{Client, Expect, Phase, Timer};
use crate::model::{Model, Name};
use crate::settings::Settings;
use pushserver_testkit::Random;

pub(crate) struct World {
    pub(crate) relay: Relay,
    pub(crate) model: Model,
    pub(crate) settings: Settings,
    pub(crate) random: Random,
    pub(crate) clients: BTreeMap<u64, Client>,
    pub(crate) conns: HashMap<u64, ConnKey>,
    pub(crate) numbers: HashMap<ConnKey, u64>,
    /// Connections to go on with in the next turn.
    pub(crate) ready: VecDeque<u64>,
    /// Closed by the relay; told at the end of the step.
    pub(crate) gone: Vec<u64>,
    pub(crate) notices: HashMap<*const Notice, Arc<Notice>>,
    /// The newest message that somebody got, by channel.
    pub(crate) seen: BTreeMap<Name, MessageId>,
    /// Every answer is the last of its connection.
    pub(crate) stopping: bool,
    /// No request is held any more.
    pub(crate) holds_end: bool,
    /// Half closed, with the end behind bytes that were not read before.
    pub(crate) ending: Vec<u64>,
    /// Who could be spared when that was last looked for: the silent, the refused, the idle and
    /// those with a part of a head, who is so for longest last, each with its timer then.
    spare: [Vec<(u64, (u64, u64))>; 4],
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
            holds_end: false,
            ending: Vec::new(),
            spare: Default::default(),
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
        let conn = self.relay.accept(Arrival { peer, loopback_port: None }, now);
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
        let wanted = self.relay.read_max(conn) > 0;
        let client = self.clients.get_mut(&number).expect("it is there");
        assert_eq!(wanted, client.wants_read(&self.settings.limits), "wants_read of {number}");
        (client.paused, client.unread) = (!wanted, !wanted);
        if !wanted {
            return;
        }
        let (mut bytes, mut is_split) = (Vec::new(), false);
        while let Some((piece, together)) = client.coming.front_mut() {
            let room = most.saturating_sub(bytes.len());
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
        if bytes.is_empty() {
            return;
        }
        if is_split {
            self.count("splits");
        }
        self.note(|| format!("  {number} sends {}", bytes[..bytes.len().min(600)].escape_ascii()));
        self.relay.handle_input(conn, Input::Received(&bytes), now);
        let limits = self.settings.limits.clone();
        let client = self.client(number);
        match client.phase {
            Phase::Lingering(_) if !client.stalled => {
                client.arm(Timer::Linger, &limits, now.mono_ms);
                self.count("sent though refused");
            }
            Phase::Lingering(_) | Phase::Closing => {}
            _ => {
                client.kept.extend_from_slice(&bytes);
                self.end_flooded(number);
                self.go_on(number);
            }
        }
    }

    pub(crate) fn half_close(&mut self, number: u64) {
        let now = self.now();
        self.relay.handle_input(self.conns[&number], Input::Ended, now);
        let client = self.client(number);
        client.ended = true;
        if !client.paused {
            client.coming.clear();
        }
        let has_bytes = !client.kept.is_empty();
        match client.phase {
            Phase::Head | Phase::Body(_) if client.ready || (client.stalled && has_bytes) => {}
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
        self.relay.handle_input(conn, Input::Closed, now);
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
            return self.relay.handle_input(conn, Input::Progressed, now);
        }
        client.unsent = 0;
        client.stalled = false;
        self.relay.handle_input(conn, Input::Drained, now);
        let stopping = self.stopping;
        let client = self.client(number);
        match client.phase {
            Phase::Head => self.await_request(number, true),
            Phase::Body(_) => {
                client.arm_body(stopping, &limits, now.mono_ms);
                self.make_ready(number, true);
            }
            Phase::Lingering(_) => client.linger(stopping, &limits, now.mono_ms),
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
        self.count("reloads");
        self.relay.reload(&settings.relay(), settings.stores.clone(), self.model.now);
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
            let is_made = self.relay.make_room(silent_ms, has_spoken, |_| false, now);
            assert_eq!(is_made, spared.is_some(), "room is made");
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
        self.relay.shutdown(now);
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
        let numbers: Vec<u64> = self.clients.keys().copied().collect();
        for number in numbers {
            let client = self.client(number);
            match client.phase {
                Phase::Head if client.kept.is_empty() => self.close(number),
                Phase::Head | Phase::Body(_) if !client.stalled => {
                    client.arm(Timer::Stop, &limits, now.mono_ms);
                }
                Phase::Lingering(_) if !client.stalled => client.linger(true, &limits, now.mono_ms),
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
