//! The HTTP face of the hub: connections, locations, deliveries. Sans-io: bytes and `now` go in,
//! [`Output`]s come out. Never touches a socket or a clock.
//!
//! `net` says what happened to a connection ([`Input`]) and does what [`Relay::poll_output`] says.
//! A connection's entry lives until [`Input::Closed`], and only `net` says that, so that the tables
//! of both have the same connections at the end of each turn.

mod client;
mod conn;
mod conn_key;
mod effects;
mod eviction;
mod exchange_key;
mod figures;
mod forwarding;
mod input;
pub mod location;
pub mod notice;
pub mod options;
mod output;
mod proxy;
mod render;
mod request;
mod site;
mod state;
mod step;
mod timers;
mod uploads;

pub use self::conn_key::ConnKey;
pub use self::eviction::Spare;
pub use self::input::{Arrival, Command, Input};
pub use self::output::{Output, Wanted};
pub use self::render::payload::Payload;
pub use self::state::State;

use self::client::events::happened;
use self::client::reading::{self, Next};
use self::client::{Client, ConnTimer, Phase, answering};
use self::conn::{Conn, Connections};
use self::effects::Effects;
use self::eviction::Eviction;
use self::exchange_key::ExchangeKey;
use self::forwarding::{Forwarding, is_tunnel, passes_up};
use self::options::Options;
use self::proxy::Proxy;
use self::render::Renderer;
use self::site::Site;
use self::step::Step;
use self::timers::TIMERS_PER_TURN;
use crate::clock::Now;
use crate::http::HeaderSlots;
use crate::hub::{self, Hub};

/// Bytes of answers of one connection that are made before its socket has had some of them: a
/// reader that stops keeps no more than these and one message from being freed.
const ANSWERS_PER_TURN: u64 = 64 << 10;

/// See the module.
#[derive(Debug)]
pub struct Relay {
    conns: Connections,
    hub: Hub,
    site: Site,
    renderer: Renderer,
    /// `None`: what no location matches is answered 404.
    proxy: Option<Box<Proxy>>,
    effects: Effects,
    /// The channel of the request at hand; kept for its room.
    name: Vec<u8>,
    eviction: Eviction,
}

impl Relay {
    /// A relay without connections.
    #[must_use]
    pub fn new(options: &Options, hub: hub::options::Options, now: Now) -> Self {
        Self {
            conns: Connections::default(),
            hub: Hub::new(hub, now),
            site: Site::new(options),
            renderer: Renderer::new(options.server.clone(), now),
            proxy: Proxy::of(options),
            effects: Effects::new(now.mono_ms),
            name: Vec::new(),
            eviction: Eviction::default(),
        }
    }

    /// A connection was accepted; gives the key that names it from here on.
    pub fn accept(&mut self, arrival: Arrival, now: Now) -> ConnKey {
        let conn = self.conns.insert(Conn::Client(Client::new(arrival)));
        if let Some((client, mut step)) = self.client(conn, now) {
            client.arm(ConnTimer::Head, &mut step);
        }
        conn
    }

    /// The connection that can be spared best. To be answered, if there is one, by
    /// [`Input::Evicted`] or [`Input::Unread`].
    ///
    /// `silent_ms`: a client that has sent nothing, or no whole head, for so long can be spared.
    /// `has_spoken`: the newcomer has sent something; only then a client that was served is spared
    /// for it.
    pub fn spare(&mut self, silent_ms: u64, has_spoken: bool, now: Now) -> Spare {
        let Self { conns, eviction, effects, site, proxy, .. } = self;
        let kept = proxy.as_ref().and_then(|proxy| proxy.oldest_idle());
        // Timers of heads that were set `silent_ms` ago or earlier are due by then.
        let until_ms = now.mono_ms + site.limits.header_timeout_ms.saturating_sub(silent_ms);
        eviction.spare(kept, conns, &effects.wheel, (until_ms, has_spoken), now)
    }

    /// How many bytes may be read from a connection now; 0: none, and `ResumeRead` will come.
    pub fn read_max(&mut self, conn: ConnKey) -> usize {
        forwarding::read_max(conn, &mut self.conns, self.proxy.as_deref(), &self.site.limits)
    }

    /// Takes what happened to a connection.
    pub fn handle_input(&mut self, conn: ConnKey, input: Input<'_>, now: Now) {
        if let Input::Received(_) = input {
            // Answers are written before this turn's `handle_timeout`; the last one may be long ago.
            self.renderer.set_time(now);
        }
        let Some((client, mut step)) = self.client(conn, now) else {
            if let Some(mut forwarding) = self.forwarding(now) {
                forwarding.handle_input(conn, input);
            }
            return self.settle(now);
        };
        match input {
            Input::Received(bytes) => self.received(conn, bytes, now),
            Input::Closed => {
                client.vanish(&mut step);
                self.conns.remove(conn);
            }
            input => happened(client, input, &mut step),
        }
        if let (Input::Drained, Some(key)) = (input, self.conns.exchange(conn)) {
            self.tell(key, proxy::Input::ClientDrained, now);
        }
        self.settle(now);
    }

    fn received(&mut self, conn: ConnKey, bytes: &[u8], now: Now) {
        let Some((client, mut step)) = self.client(conn, now) else { return };
        match client.phase {
            // Where its socket takes no more, only that is waited for.
            Phase::Lingering { .. } if !client.stalled => client.arm(ConnTimer::Linger, &mut step),
            Phase::Lingering { .. } | Phase::Closing => {}
            Phase::Head { .. } | Phase::Body(_) | Phase::Proxied(_)
                if client.buffer.is_none() && client.goes_on() =>
            {
                let used = self.advance(conn, bytes, now);
                if used < bytes.len()
                    && let Some((client, mut step)) = self.client(conn, now)
                {
                    client.keep(&bytes[used..], &mut step);
                }
            }
            _ => {
                client.keep(bytes, &mut step);
                self.go_on(conn, now);
            }
        }
    }

    /// Does what concerns the relay as a whole.
    pub fn command(&mut self, command: Command<'_>, now: Now) {
        match command {
            Command::Reload(options, stores) => {
                self.site = Site::new(options);
                match self.forwarding(now) {
                    Some(mut forwarding) => forwarding.reload(options),
                    None => self.proxy = Proxy::of(options),
                }
                self.settle(now);
                self.renderer.set_server(options.server.clone());
                self.hub.reload(stores, now);
            }
            Command::AnnounceShutdown => self.effects.stopping = true,
            Command::Shutdown => self.shutdown(now),
            Command::Shrink => {
                self.conns.shrink();
                self.effects.shrink();
                self.proxy.iter_mut().for_each(|proxy| proxy.shrink());
                self.hub.shrink();
            }
        }
    }

    fn shutdown(&mut self, now: Now) {
        self.effects.stopping = true;
        self.hub.shutdown(now);
        let conns: Vec<ConnKey> = self.conns.keys().collect();
        if let Some(proxy) = &mut self.proxy {
            proxy.close_idle();
        }
        for conn in conns {
            let is_tunnel = is_tunnel(conn, &self.conns, self.proxy.as_deref());
            match self.client(conn, now) {
                Some((client, mut step)) if is_tunnel => client.close(&mut step),
                Some((client, mut step)) => client.shut_down(&mut step),
                None => {}
            }
        }
        self.settle(now);
    }

    /// How things stand. Costs next to nothing.
    #[must_use]
    pub fn state(&self) -> State<'_> {
        let proxy = self.proxy.as_ref().and_then(|proxy| proxy.next_deadline());
        let now = (!self.effects.ready.is_empty()).then_some(0);
        let due = [now, self.effects.wheel.next_deadline(), self.hub.poll_timeout(), proxy];
        State {
            due_ms: due.into_iter().flatten().min(),
            has_output: !self.effects.outputs.is_empty() || self.hub.has_output(),
            connections: self.conns.len(),
            upstreams: self.conns.upstreams(),
            timers: self.effects.wheel.len() + self.hub.timers(),
            upload_bytes: self.effects.uploads.bytes(),
            figures: &self.effects.figures,
            hub: &self.hub,
        }
    }

    /// The next thing to do; answers to requests before deliveries of fan-outs. Stopping before
    /// `None` is how other connections have their turn.
    pub fn poll_output(&mut self, wanted: Wanted, now: Now) -> Option<Output> {
        loop {
            let output = self.effects.outputs.pop_front();
            if output.is_some() || wanted == Wanted::Answers {
                return output;
            }
            let Some(output) = self.hub.poll_output() else {
                self.renderer.forget_deliveries();
                return None;
            };
            self.on_hub(output, now);
        }
    }

    /// Does what is due, up to a bound: [`State::due_ms`] says whether there is more. To be
    /// called once a turn.
    pub fn handle_timeout(&mut self, now: Now) {
        self.renderer.set_time(now);
        self.timers_due(now);
        self.hub.handle_timeout(now);
        if let Some(mut forwarding) = self.forwarding(now) {
            forwarding.handle_timeout();
            self.settle(now);
        }
        for _ in 0..self.effects.ready.len() {
            let Some(conn) = self.effects.ready.pop_front() else { break };
            if let Some(client) = self.conns.client_mut(conn) {
                client.ready = false;
                self.go_on(conn, now);
            }
        }
    }

    /// Does what is due for connections, up to a bound.
    fn timers_due(&mut self, now: Now) {
        for _ in 0..TIMERS_PER_TURN {
            let Some((conn, timer)) = self.effects.wheel.pop_expired(now.mono_ms) else { return };
            let Some((client, mut step)) = self.client(conn, now) else {
                // A connection of the upstream that was to be closed behind what it still takes.
                self.effects.outputs.push_back(Output::Abort { conn });
                continue;
            };
            client.timer = None;
            match client.phase {
                Phase::Proxied(key) if timer != ConnTimer::Write => {
                    self.tell(key, proxy::Input::TimedOut(timer), now);
                    self.settle(now);
                }
                _ => reading::timed_out(client, timer, false, &mut step),
            }
        }
    }

    /// Goes on with the bytes that wait on a connection.
    fn go_on(&mut self, conn: ConnKey, now: Now) {
        let Some((client, _)) = self.client(conn, now).filter(|(client, _)| client.goes_on())
        else {
            return;
        };
        if let Some(buffer) = client.take_waiting() {
            let used = self.advance(conn, &buffer.bytes, now);
            if let Some((client, mut step)) = self.client(conn, now) {
                client.keep_rest(buffer, used, &mut step);
            }
        }
        let passes_up = passes_up(conn, &self.conns, self.proxy.as_deref());
        if let Some((client, mut step)) = self.client(conn, now) {
            client.read_on(passes_up, &mut step);
        }
    }

    /// Serves the requests in `input`, the bytes that wait on a connection; gives how many of the
    /// bytes are dealt with.
    fn advance(&mut self, conn: ConnKey, input: &[u8], now: Now) -> usize {
        let mut used = 0;
        let answered_max = self.effects.answered + ANSWERS_PER_TURN;
        for _ in 0..self.site.limits.pipeline_depth {
            if self.effects.answered >= answered_max {
                break;
            }
            let Some((client, mut step)) = self.client(conn, now) else { return input.len() };
            let (rest, mut slots) = (&input[used..], HeaderSlots::new());
            used += match reading::read(client, rest, &mut slots, &mut step) {
                Next::Wait => return used,
                Next::Gone => return input.len(),
                Next::Used(len) => len,
                Next::Forward(head, len) => {
                    if let Some(mut forwarding) = self.forwarding(now) {
                        forwarding.open(conn, &head, &rest[len..]);
                    }
                    len
                }
                Next::PassUp(_)
                    if rest.is_empty() || !passes_up(conn, &self.conns, self.proxy.as_deref()) =>
                {
                    return used;
                }
                Next::PassUp(key) => self.tell(key, proxy::Input::FromClient(rest), now),
            };
            self.settle(now);
            // Also between two requests that came together, so that the answers keep their order.
            while self.hub.has_answer()
                && let Some(output) = self.hub.poll_output()
            {
                self.on_hub(output, now);
            }
        }
        let Some((client, mut step)) = self.client(conn, now) else { return input.len() };
        match client.phase {
            Phase::Lingering { .. } | Phase::Closing => return input.len(),
            Phase::Head { .. } | Phase::Body(_) if used < input.len() => client.queue(&mut step),
            _ => {}
        }
        used
    }

    /// Passes on what the hub answers.
    fn on_hub(&mut self, output: hub::Output, now: Now) {
        self.effects.figures.published +=
            u64::from(matches!(output, hub::Output::Published { .. }));
        match self.client(ConnKey::from_bits(output.peer().0), now) {
            Some((client, mut step)) => answering::answer(client, output, &mut step),
            None => {
                if let hub::Output::Held { subscription, .. } = output {
                    self.hub.unsubscribe(subscription, now);
                }
            }
        }
    }

    /// Does what the proxy wants done.
    fn settle(&mut self, now: Now) {
        while let Some(mut forwarding) = self.forwarding(now)
            && let Some(conn) = forwarding.carry_out()
        {
            self.go_on(conn, now);
        }
    }

    /// Tells an exchange what happened; gives how many of its client's bytes are dealt with.
    fn tell(&mut self, key: ExchangeKey, input: proxy::Input<'_>, now: Now) -> usize {
        self.forwarding(now).map_or(0, |mut forwarding| forwarding.tell(key, input))
    }

    /// What passes between the proxy and connections, if there is a proxy.
    fn forwarding(&mut self, now: Now) -> Option<Forwarding<'_>> {
        let Self { proxy, conns, hub, site, renderer, effects, name, .. } = self;
        let proxy = proxy.as_mut()?;
        Some(Forwarding { proxy, conns, hub, site, renderer, effects, name, now })
    }

    /// The client with this key, and what its steps may use.
    fn client(&mut self, conn: ConnKey, now: Now) -> Option<(&mut Client, Step<'_>)> {
        let Self { conns, hub, site, renderer, effects, name, .. } = self;
        let client = conns.client_mut(conn)?;
        Some((client, Step { conn, now, hub, site, renderer, effects, name }))
    }

    /// Between two turns, whether nobody can stay for ever without a word; for tests.
    ///
    /// # Panics
    /// Where somebody can, which is a bug.
    pub fn check_invariants(&self) {
        self.hub.check_invariants();
        for (conn, client) in self.conns.clients() {
            assert!(
                client.is_watched(is_tunnel(conn, &self.conns, self.proxy.as_deref())),
                "{conn:?}: {client:?}"
            );
        }
    }
}
