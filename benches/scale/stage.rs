//! Stage: a relay with connections that are not there, and turns of a loop around it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use pushserver::clock::Now;
use pushserver::config::{Config, Overrides, Source};
use pushserver::message::MessageId;
use pushserver::net::pace::{OUTPUTS_AT_ONCE, OUTPUTS_PER_TURN};
use pushserver::relay::{Arrival, Command, ConnKey, Input, Output, Relay, Wanted};
use pushserver_testkit::Random;
use pushserver_testkit::vitals::Vitals;
use rustix::time::{ClockId, clock_gettime};

use super::{Case, support};

const SECOND: u64 = 1_450_755_280;
const START: Now = Now::at(0, SECOND);
const ARRIVAL: Arrival = Arrival {
    peer: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    loopback_port: None,
    only_secure: false,
    secure: false,
};

/// When every hold has timed out, every connection then idle, and every message; milliseconds.
const HOLDS_DUE_MS: u64 = 60_000;
const IDLE_DUE_MS: u64 = 140_000;
const MESSAGES_DUE_MS: u64 = 210_000;
const CHANNELS_DUE_MS: u64 = 220_000;

/// Of each of these the longest turn is told, milliseconds.
pub(super) const PHASES: [&str; 7] =
    ["fill", "deliver", "hold", "time out", "close", "expire", "shrink"];

/// A request, with a place for the number of its channel.
struct Request(Vec<u8>);

/// Where the number stands, in `GET /s/0000000` as in `POST /p/0000000`.
const DIGITS: [std::ops::Range<usize>; 2] = [7..14, 8..15];

impl Request {
    fn subscribe(headers: &str) -> Self {
        Self(format!("GET /s/0000000 HTTP/1.1\r\nHost: a\r\n{headers}\r\n").into())
    }

    fn publish() -> Self {
        let head = "POST /p/0000000 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        Self(head.into())
    }

    fn of(&mut self, mut channel: usize) -> &[u8] {
        let digits = DIGITS[usize::from(self.0[0] == b'P')].clone();
        for digit in self.0[digits].iter_mut().rev() {
            *digit = b'0' + (channel % 10) as u8;
            channel /= 10;
        }
        &self.0
    }
}

/// One relay, and the requests that it holds.
pub(super) struct Stage {
    case: Case,
    relay: Relay,
    now: Now,
    conns: Vec<ConnKey>,
    /// The requests, in the order in which they are made next.
    order: Vec<u32>,
    publisher: ConnKey,
    subscribe: Request,
    publish: Request,
    random: Random,
    outputs: Vec<Output>,
    longest: [Duration; PHASES.len()],
    phase: usize,
    /// Connections that are to be closed at the end of the turn.
    gone: Vec<ConnKey>,
    /// What the last turns have sent.
    sent: usize,
    heap: f64,
    resident: f64,
}

impl Stage {
    pub(super) fn new(case: Case) -> Self {
        let mut conns = vec![ConnKey::from_bits(0); case.count];
        conns.clear();
        let order = (0..u32::try_from(case.count).expect("fewer than 2^32")).collect();
        let mut relay = relay();
        let publisher = relay.accept(ARRIVAL, START);
        Self {
            case,
            relay,
            now: START,
            conns,
            order,
            publisher,
            subscribe: Request::subscribe(case.headers()),
            publish: Request::publish(),
            random: Random::new(1),
            outputs: Vec::with_capacity(OUTPUTS_AT_ONCE),
            longest: [Duration::ZERO; PHASES.len()],
            phase: 0,
            gone: Vec::new(),
            sent: 0,
            heap: 0.0,
            resident: 0.0,
        }
    }

    /// All of a case; gives its line.
    pub(super) fn run(mut self) -> String {
        self.fill();
        let rounds = if self.case.is_stream { 5_000_000 } else { 2_000_000 } / self.case.count;
        let (mut deliver, mut hold) = (Duration::MAX, Duration::MAX);
        let mut both = Duration::MAX;
        // Those before the first of three find tables that still grow.
        for round in 0..rounds.clamp(4, 200) as u64 {
            if self.case.is_mixed {
                self.mix();
            }
            let delivered = timed(|| self.deliver());
            let held = timed(|| self.hold(round));
            (deliver, hold) = (deliver.min(delivered), hold.min(held));
            both = both.min(delivered + held);
        }
        self.end();
        let count = self.case.count as f64;
        let times = [deliver, hold, both].map(|time| time.as_nanos() as f64 / count);
        let longest = self.longest.map(|time| time.as_secs_f64() * 1e3);
        let figures = [self.heap, self.resident].into_iter().chain(times).chain(longest);
        figures.map(|figure| figure.to_string()).collect::<Vec<_>>().join(" ")
    }

    /// Accepts every connection, and has each ask.
    fn fill(&mut self) {
        let vitals = Vitals::of(std::process::id());
        let resident = vitals.resident_kib();
        let region = support::allocations();
        for start in (0..self.case.count).step_by(OUTPUTS_AT_ONCE) {
            self.turn(|stage| {
                for n in start..(start + OUTPUTS_AT_ONCE).min(stage.case.count) {
                    let conn = stage.relay.accept(ARRIVAL, stage.now);
                    stage.conns.push(conn);
                    stage.ask(n);
                }
            });
        }
        assert_eq!(self.relay.state().hub.held(), self.case.count);
        let count = self.case.count as f64;
        self.heap = support::bytes_held(&region) / count;
        self.resident = (vitals.resident_kib() - resident) as f64 * 1024.0 / count;
    }

    /// Publishes to everybody, and delivers.
    fn deliver(&mut self) {
        self.phase = 1;
        self.sent = 0;
        let channels = if self.case.has_own_channel { self.case.count } else { 1 };
        for start in (0..channels).step_by(OUTPUTS_AT_ONCE) {
            self.turn(|stage| {
                for n in start..(start + OUTPUTS_AT_ONCE).min(channels) {
                    let channel = if channels == 1 { 0 } else { stage.order[n] as usize };
                    let post = Input::Received(stage.publish.of(channel));
                    stage.relay.handle_input(stage.publisher, post, stage.now);
                    stage.carry_out_answers();
                }
            });
        }
        self.go_on();
        assert_eq!(self.sent, self.case.count + channels, "each got it, and each publisher");
    }

    /// Has every poll ask again, behind the message of this round.
    fn hold(&mut self, round: u64) {
        self.phase = 2;
        if self.case.is_stream {
            return;
        }
        self.subscribe = Request::subscribe(&format!(
            "If-Modified-Since: Tue, 22 Dec 2015 03:34:40 GMT\r\nIf-None-Match: {round}\r\n"
        ));
        for start in (0..self.case.count).step_by(OUTPUTS_PER_TURN) {
            self.turn(|stage| {
                for n in start..(start + OUTPUTS_PER_TURN).min(stage.case.count) {
                    stage.ask(stage.order[n] as usize);
                }
            });
        }
        assert_eq!(self.relay.state().hub.held(), self.case.count);
    }

    /// Has the time of everything come, one after the other, and all of each at once.
    fn end(&mut self) {
        for (phase, until_ms) in [(3, HOLDS_DUE_MS), (4, IDLE_DUE_MS)] {
            self.phase = phase;
            self.now = Now::at(until_ms, SECOND + until_ms / 1000);
            self.go_on();
            if self.case.is_stream {
                // Their clients leave.
                for start in (0..self.conns.len()).step_by(OUTPUTS_PER_TURN) {
                    let end = (start + OUTPUTS_PER_TURN).min(self.conns.len());
                    self.turn(|stage| stage.gone.extend_from_slice(&stage.conns[start..end]));
                }
                self.conns.clear();
            }
        }
        assert_eq!(self.relay.state().connections(), 0, "all of them are closed");
        self.phase = 5;
        for until_ms in [MESSAGES_DUE_MS, CHANNELS_DUE_MS] {
            self.now = Now::at(until_ms, SECOND + until_ms / 1000);
            self.go_on();
        }
        assert_eq!(self.relay.state().hub.figures().channels, 0);
        self.phase = 6;
        self.turn(|stage| stage.relay.command(Command::Shrink, stage.now));
    }

    fn ask(&mut self, n: usize) {
        let get = self.subscribe.of(if self.case.has_own_channel { n } else { 0 });
        self.relay.handle_input(self.conns[n], Input::Received(get), self.now);
    }

    /// Turns until nothing is left to do now.
    fn go_on(&mut self) {
        while self.relay.state().has_output()
            || self.relay.state().due_ms().is_some_and(|due_ms| due_ms <= self.now.mono_ms)
        {
            self.turn(|_| ());
        }
    }

    /// One turn of the loop, which begins with `inputs`.
    fn turn(&mut self, inputs: impl FnOnce(&mut Self)) {
        let start = processor_time();
        inputs(self);
        self.carry_out_answers();
        self.relay.handle_timeout(self.now);
        self.carry_out_answers();
        let mut outputs = std::mem::take(&mut self.outputs);
        let mut left = OUTPUTS_PER_TURN;
        while self.relay.poll_outputs(&mut outputs, left.min(OUTPUTS_AT_ONCE), self.now) {
            left -= outputs.len();
            outputs.drain(..).for_each(|output| self.carry_out(&output));
        }
        self.outputs = outputs;
        self.carry_out_answers();
        for conn in std::mem::take(&mut self.gone) {
            self.relay.handle_input(conn, Input::Closed, self.now);
        }
        if self.phase >= 3 {
            // As `net` does when some of what there was has gone.
            heap_trim::join();
        }
        self.relay.turn_over(self.now);
        let longest = &mut self.longest[self.phase];
        *longest = (*longest).max(processor_time() - start);
    }

    fn carry_out_answers(&mut self) {
        while let Some(output) = self.relay.poll_output(Wanted::Answers, self.now) {
            self.carry_out(&output);
        }
    }

    fn carry_out(&mut self, output: &Output) {
        match output {
            Output::Send { .. } => self.sent += 1,
            Output::Close { conn } | Output::Abort { conn } | Output::Reset { conn } => {
                self.gone.push(*conn);
            }
            _ => {}
        }
    }

    fn mix(&mut self) {
        for n in (1..self.order.len()).rev() {
            let other = self.random.index(n + 1);
            self.order.swap(n, other);
        }
    }
}

/// As by default, but that channels are made for whoever waits, and that there may be so many.
fn relay() -> Relay {
    let settings = serde_json::json!({
        "limits": {"channels": 2_000_000},
        "store": {"type": "memory", "max_messages": 1, "max_memory": 1 << 30,
            "message_timeout": MESSAGES_DUE_MS / 1000 - 5, "channel_timeout": 5},
        "locations": [
            {"type": "subscriber", "url": "/s/([^/]+)", "create_on_get": true,
                "polling": "long", "transports": ["poll", "eventsource"]},
            {"type": "publisher", "url": "/p/([^/]+)"},
        ],
    });
    let (text, source) = (settings.to_string(), Source::of(None, false));
    let config = Config::parse(text.as_bytes(), source, Overrides::default()).expect("settings");
    Relay::new(&config.relay_options(), config.hub_options(MessageId::default(), 1), START)
}

/// What this thread has had of the processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("below a second"))
}

fn timed(act: impl FnOnce()) -> Duration {
    let start = processor_time();
    act();
    processor_time() - start
}
