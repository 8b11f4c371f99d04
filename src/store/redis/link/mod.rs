//! Link: one connection to Redis at a time, from its dial to its end, again and again; and the
//! commands that are under way on it. It never sees a socket: it says what to dial and to send, and
//! is told what came.
//!
//! ```text
//! Resting --time--> Finding (a sentinel, if there are any) --> Greeting --+-> Up
//!    ^                 |                                          |        |
//!    +-----------------+------------------------------------------+--------+  any failure
//! ```
//!
//! Whoever drives it tells of the connection that was dialled last, and of no other, and takes all
//! outputs and events after each call. Replies and pushes come out in the order in which they
//! arrived. Of a command whose connection ends nobody knows whether it was done: it is lost.

mod back_off;
mod greeting;
mod pipeline;
mod remote_clock;
mod run;
mod state;
mod voice;
mod wire;
mod words;

use std::collections::VecDeque;

use self::back_off::BackOff;
use self::greeting::{Greeted, Greeting};
use self::pipeline::{Asked, Kind, Pipeline};
use self::remote_clock::RemoteClock;
use self::run::Run;
use self::state::State;
use self::voice::Voice;
use self::wire::Wire;
use super::answers::{Refusal, time_ms};
use super::options::{Address, Options, Server};
use super::reason::Reason;
use super::resp::Value;
use super::scripts::Command;
use super::sentinel::Sentinel;
use crate::jitter::Jitter;

pub use self::pipeline::{COMMAND_BYTES_MAX, COMMANDS_MAX};
pub use self::state::{GREETING_TIMEOUT_MS, SENTINEL_TIMEOUT_MS, SILENCE_MS};
pub use self::words::{Event, Figures, Input, NotSent, Output};

/// Up for so long, the next rest is the shortest again, milliseconds.
const SETTLED_MS: u64 = 5000;

/// See the module. `K` names a command to its caller.
#[derive(Debug)]
pub struct Link<K> {
    options: Options,
    back_off: BackOff,
    state: State,
    wire: Wire,
    pipeline: Pipeline<K>,
    events: VecDeque<Event<K>>,
    sentinel: Option<Sentinel>,
    clock: RemoteClock,
    run: Run,
    voice: Voice,
    /// The counts.
    pub figures: Figures,
}

impl<K> Link<K> {
    /// A link that dials at the next [`Link::handle_timeout`].
    #[must_use]
    pub fn new(options: Options, jitter: Jitter) -> Self {
        let sentinel = Sentinel::of(&options.server);
        let voice = Voice::new(options.name.clone());
        Self {
            options,
            back_off: BackOff::new(jitter),
            state: State::default(),
            wire: Wire::default(),
            pipeline: Pipeline::new(),
            events: VecDeque::new(),
            sentinel,
            clock: RemoteClock::default(),
            run: Run::default(),
            voice,
            figures: Figures::default(),
        }
    }

    /// Sends a command that is answered by a reply, which comes as an event with `key`. A script
    /// that the server does not know is sent again with its body.
    ///
    /// # Errors
    /// Nothing was sent, and the key is given back.
    pub fn send(&mut self, command: Command, key: K, now_ms: u64) -> Result<(), (NotSent, K)> {
        if !self.is_up() {
            return Err((NotSent::Away, key));
        }
        if !self.pipeline.has_room(&command) {
            return Err((NotSent::Full, key));
        }
        command.write(&mut self.wire.unsent);
        self.figures.commands += 1;
        let kind = Kind::Caller(key, command.is_script().then_some(command));
        self.pipeline.push(Asked { sent_ms: now_ms, kind });
        Ok(())
    }

    /// Sends a command that is answered by a push alone: SUBSCRIBE, UNSUBSCRIBE. Nothing is sent if
    /// the link is not up; bounded by the caller.
    pub fn send_unanswered(&mut self, command: &Command, now_ms: u64) {
        if self.is_up() {
            command.write(&mut self.wire.unsent);
            self.figures.commands += 1;
            self.pipeline.push(Asked { sent_ms: now_ms, kind: Kind::Subscription });
        }
    }

    /// Takes what the network tells.
    pub fn handle_input(&mut self, input: Input<'_>, now_ms: u64) {
        if !self.wire.is_open() {
            return;
        }
        match input {
            Input::Connected => self.greet(now_ms),
            Input::ConnectFailed(cause) => self.fail(Reason::Unreachable(cause.into()), now_ms),
            Input::Closed(cause) => self.fail(Reason::Closed(self.state.ended(cause)), now_ms),
            Input::Received(bytes) => self.receive(bytes, now_ms),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        self.voice.handle_timeout(now_ms);
        match &self.state {
            State::Resting { until_ms } if now_ms >= *until_ms => self.dial(now_ms),
            State::Finding { until_ms: end_ms, .. } | State::Greeting { end_ms, .. }
                if now_ms >= *end_ms =>
            {
                self.fail(Reason::Silent(self.state.awaited()), now_ms);
            }
            &State::Up { heard_ms, .. } => {
                if self.unanswered_ms().is_some_and(|due_ms| now_ms >= due_ms) {
                    self.fail(Reason::Silent(self.state.awaited()), now_ms);
                } else if self.pipeline.is_empty() && now_ms >= heard_ms + SILENCE_MS {
                    Command::plain(&[b"PING"]).write(&mut self.wire.unsent);
                    self.pipeline.push(Asked { sent_ms: now_ms, kind: Kind::Ping });
                }
            }
            _ => {}
        }
    }

    /// When [`Link::handle_timeout`] has something to do, milliseconds.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let due_ms = self.state.due_ms(self.unanswered_ms());
        Some(self.voice.poll_timeout().map_or(due_ms, |said_ms| said_ms.min(due_ms)))
    }

    /// What the network is to do next. Bytes of all commands since the last one come together.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.wire.poll_output()
    }

    /// What the store is told next.
    pub fn poll_event(&mut self) -> Option<Event<K>> {
        self.events.pop_front()
    }

    /// Takes other settings. A connection is kept if they do not concern it.
    pub fn reload(&mut self, options: Options, now_ms: u64) {
        let before = std::mem::replace(&mut self.options, options);
        let Options { server, credentials, database, .. } = &self.options;
        let was = (&before.server, &before.credentials, &before.database);
        if (server, credentials, database) == was {
            return;
        }
        self.sentinel = Sentinel::of(&self.options.server);
        self.fail(Reason::Reloaded, now_ms);
        self.back_off.reset();
        self.state = State::default();
    }

    /// Whether commands may be sent.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Whether commands may be sent that can wait: half of the room is left to all others.
    pub(in crate::store) fn has_spare_room(&self) -> bool {
        self.is_up() && self.pipeline.is_half_free()
    }

    /// Commands under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pipeline.commands()
    }

    /// What Redis' clock shows at least, milliseconds; `None` before it was heard.
    #[must_use]
    pub fn remote_ms(&self, now_ms: u64) -> Option<u64> {
        self.clock.now_ms(now_ms)
    }

    /// After this a command that is sent now must not be done any more, as its caller may have been
    /// told that Redis is away, when the oldest is unanswered for too long: milliseconds of Redis'
    /// clock.
    #[must_use]
    pub fn deadline_ms(&self, now_ms: u64) -> Option<u64> {
        let left_ms = self.unanswered_ms().map(|due_ms| due_ms.saturating_sub(now_ms));
        let left_ms = left_ms.unwrap_or(self.options.timeout_ms);
        Some(self.clock.now_ms(now_ms)?.saturating_add(left_ms))
    }

    /// Whether a server may answer that has lost what an earlier one gave: ids are to be above all
    /// that were seen.
    #[must_use]
    pub fn is_fresh(&self, now_ms: u64) -> bool {
        self.run.is_fresh(now_ms)
    }

    fn dial(&mut self, now_ms: u64) {
        let end_ms = now_ms + GREETING_TIMEOUT_MS;
        match (&self.options.server, &self.sentinel) {
            (Server::Node(address), _) => self.connect_node(address.clone(), end_ms),
            (Server::Sentinel(_), Some(sentinel)) => {
                let address = sentinel.address().clone();
                self.state = State::Finding { until_ms: now_ms + SENTINEL_TIMEOUT_MS, end_ms };
                self.connect(address);
            }
            (Server::Sentinel(_), None) => {}
        }
    }

    fn connect_node(&mut self, address: Address, end_ms: u64) {
        self.state = State::Greeting { end_ms, address: address.clone(), greeting: None };
        self.connect(address);
    }

    fn connect(&mut self, address: Address) {
        self.figures.dials += 1;
        self.wire.connect(address);
    }

    fn greet(&mut self, now_ms: u64) {
        match (&mut self.state, &mut self.sentinel) {
            (State::Finding { .. }, Some(sentinel)) => sentinel.write(&mut self.wire.unsent),
            (State::Greeting { greeting, .. }, _) => {
                let said = Greeting::write(&self.options, &mut self.wire.unsent, now_ms);
                *greeting = Some(Box::new(said));
            }
            _ => {}
        }
    }

    fn receive(&mut self, bytes: &[u8], now_ms: u64) {
        if let State::Up { heard_ms, .. } = &mut self.state {
            *heard_ms = now_ms;
        }
        let (mut rest, dials) = (bytes, self.figures.dials);
        // Not a byte of a connection that is given up, nor of a sentinel that has said all.
        while self.wire.is_open() && self.figures.dials == dials && !rest.is_empty() {
            if self.pipeline.expects_published()
                && let Some((time_ms, published)) = self.wire.published(&mut rest)
                && let Some(Asked { sent_ms, kind: Kind::Caller(key, _) }) = self.pipeline.pop()
            {
                self.clock.heard(time_ms, sent_ms, now_ms);
                self.figures.answered(now_ms.saturating_sub(sent_ms));
                self.events.push_back(Event::Published(key, published));
                continue;
            }
            match self.wire.decode(&mut rest) {
                Err(breach) => self.fail(Reason::Rubbish(breach), now_ms),
                Ok(Some(value)) => self.take(value, now_ms),
                Ok(None) => {}
            }
        }
    }

    fn take(&mut self, value: Value, now_ms: u64) {
        match &mut self.state {
            State::Resting { .. } => {}
            &mut State::Finding { end_ms, .. } => {
                let Some(sentinel) = &mut self.sentinel else { return };
                match sentinel.read(value) {
                    None => {}
                    Some(Err(reason)) => self.fail(reason, now_ms),
                    Some(Ok(address)) => {
                        sentinel.pass_on();
                        self.connect_node(address, end_ms);
                    }
                }
            }
            State::Greeting { greeting, .. } => match greeting {
                None => self.fail(Reason::Unexpected("greeting"), now_ms),
                Some(greeting) => match greeting.read(value) {
                    Ok(None) => {}
                    Ok(Some(greeted)) => self.rise(greeted, now_ms),
                    Err(reason) => self.fail(reason, now_ms),
                },
            },
            State::Up { .. } => match value {
                Value::Push(parts) => self.pushed(parts, now_ms),
                value => self.replied(value, now_ms),
            },
        }
    }

    /// The connection is up.
    fn rise(&mut self, greeted: Greeted, now_ms: u64) {
        let State::Greeting { address, .. } = self.state.take() else { return };
        let Greeted { run_id, time_ms, sent_ms, warnings } = greeted;
        self.clock.begin(time_ms, sent_ms, now_ms);
        self.run.up(run_id, now_ms);
        self.figures.ups += 1;
        self.voice.up(&address, warnings, now_ms);
        self.state = State::Up { address, since_ms: now_ms, heard_ms: now_ms };
        self.events.push_back(Event::Up);
    }

    fn pushed(&mut self, parts: Vec<Value>, now_ms: u64) {
        let mut parts = parts.into_iter();
        let Some(Value::Text(kind)) = parts.next() else { return };
        match (&*kind, parts.next(), parts.next()) {
            (b"message", Some(Value::Text(channel)), Some(Value::Text(payload))) => {
                self.events.push_back(Event::Push(channel, payload));
            }
            // It stands where the reply to another command would.
            (b"subscribe" | b"unsubscribe", ..) if !self.pipeline.pop_subscription() => {
                self.fail(Reason::Unexpected("subscription"), now_ms);
            }
            _ => {}
        }
    }

    fn replied(&mut self, value: Value, now_ms: u64) {
        let Some(Asked { sent_ms, kind }) = self.pipeline.pop() else {
            return self.fail(Reason::Unexpected("no command"), now_ms);
        };
        let error = value.error().map(|error| (Refusal::of(error), error));
        let is_unknown = matches!(error, Some((Refusal::NoScript, _)));
        let of_node = error.filter(|(refusal, _)| refusal.is_of_the_node());
        let ends = of_node.map(|(_, error)| Reason::of("a command", error));
        match kind {
            Kind::Caller(key, Some(command)) if is_unknown => {
                command.write_whole(&mut self.wire.unsent);
                // The deadline in it stays that of then; but none is older than one before it.
                let kind = Kind::Caller(key, Some(command));
                return self.pipeline.push(Asked { sent_ms: now_ms, kind });
            }
            Kind::Caller(key, _) => {
                if let Some(time_ms) = time_ms(&value) {
                    self.clock.heard(time_ms, sent_ms, now_ms);
                }
                self.figures.answered(now_ms.saturating_sub(sent_ms));
                self.events.push_back(Event::Reply(key, value));
            }
            Kind::Ping => {}
            Kind::Subscription => {
                let reason = |error| Reason::of("SUBSCRIBE", error);
                let unexpected = Reason::Unexpected("subscription");
                return self.fail(value.error().map_or(unexpected, reason), now_ms);
            }
        }
        if let Some(reason) = ends {
            self.fail(reason, now_ms);
        }
    }

    /// Gives the connection up, and rests.
    fn fail(&mut self, reason: Reason, now_ms: u64) {
        let state = self.state.take();
        self.wire.close();
        self.events.extend(self.pipeline.take_callers().map(Event::Lost));
        let node = match (&state, &mut self.sentinel) {
            (State::Up { address, .. } | State::Greeting { address, .. }, _) => Some(address),
            (State::Finding { .. }, Some(sentinel)) => Some(sentinel.pass_on()),
            _ => None,
        };
        if reason != Reason::Reloaded {
            self.voice.down(node, &reason, now_ms);
        }
        if let State::Up { since_ms, .. } = state {
            if now_ms >= since_ms + SETTLED_MS {
                self.back_off.reset();
            }
            self.events.push_back(Event::Down(reason.clone()));
        }
        let until_ms = now_ms + self.back_off.rest_ms(reason.is_of_rights());
        self.state = State::Resting { until_ms };
    }

    /// When the oldest command is unanswered for too long, milliseconds.
    fn unanswered_ms(&self) -> Option<u64> {
        Some(self.pipeline.oldest_ms()? + self.options.timeout_ms)
    }
}

#[cfg(test)]
mod tests;
