//! Forwarding: between the proxy, which knows connections by their keys alone, and the connections:
//! tells it what happened to them, and does to them what it wants done. Decides nothing.

use super::client::{Client, Phase, answering, reading};
use super::conn::{Conn, Connections, Upstream};
use super::conn_key::ConnKey;
use super::effects::Effects;
use super::exchange_key::ExchangeKey;
use super::input::Input;
use super::options::{Limits, Options};
use super::output::Output;
use super::proxy::{
    self, ClientEffect, Effect, Exchange, HandedOver, Proxy, Request, UpstreamEffect, View,
};
use super::render::{Persistence, Renderer};
use super::site::Site;
use super::step::Step;
use super::timers::ConnTimer;
use crate::clock::Now;
use crate::http::{HeaderSlots, RequestHead};
use crate::hub::Hub;

/// See the module.
pub(super) struct Forwarding<'a> {
    pub(super) proxy: &'a mut Proxy,
    pub(super) conns: &'a mut Connections,
    pub(super) hub: &'a mut Hub,
    pub(super) site: &'a mut Site,
    pub(super) renderer: &'a mut Renderer,
    pub(super) effects: &'a mut Effects,
    /// For the name of a channel; kept for its room.
    pub(super) name: &'a mut Vec<u8>,
    pub(super) now: Now,
}

impl Forwarding<'_> {
    /// Takes a client's request to the upstream. `input`: what has come behind its head.
    pub(super) fn open(&mut self, conn: ConnKey, head: &RequestHead<'_>, input: &[u8]) {
        let Some((client, step)) = self.client(conn) else { return };
        client.note_access(head, &step);
        let (peer, is_last) = (client.peer, client.ended);
        let request = Request { client: conn, peer, head, input, is_last };
        let view = view(self.site, self.renderer, self.effects, self.now);
        if let Some(key) = self.proxy.open(&request, view)
            && let Some((client, mut step)) = self.client(conn)
        {
            client.enter(Phase::Proxied(key), &mut step);
        }
    }

    /// Tells an exchange what happened; gives how many of its client's bytes are dealt with.
    pub(super) fn tell(&mut self, key: ExchangeKey, input: proxy::Input<'_>) -> usize {
        self.proxy.handle(key, input, view(self.site, self.renderer, self.effects, self.now))
    }

    /// Takes what happened to a connection of the upstream.
    pub(super) fn handle_input(&mut self, conn: ConnKey, input: Input<'_>) {
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        let ends = matches!(input, Input::Ended | Input::Closed | Input::ConnectFailed(_));
        let exchange = if ends { upstream.exchange.take() } else { upstream.exchange };
        match (input, exchange) {
            // Nobody has asked: whatever it says, the next answer would not begin behind it.
            (Input::Received(_) | Input::Connected, None) | (Input::Ended, _) => {
                self.proxy.forget(conn);
                self.effects.outputs.push_back(Output::Abort { conn });
            }
            (Input::Evicted, _) => {
                self.proxy.forget(conn);
                self.effects.figures.shed += 1;
                self.effects.outputs.push_back(Output::Close { conn });
            }
            (Input::Closed, _) => {
                self.proxy.forget(conn);
                self.arm_closing(conn, false);
                self.conns.remove(conn);
            }
            // About to be closed.
            (Input::Stalled | Input::Progressed, None) => self.arm_closing(conn, true),
            (Input::Drained, None) => self.arm_closing(conn, false),
            _ => {}
        }
        match (input, exchange) {
            (Input::Connected, Some(key)) => self.connected(key),
            (input, Some(key)) => self.tell(key, proxy::Input::Upstream(input)),
            (_, None) => 0,
        };
    }

    /// The connection of an exchange is open: its request leaves with what waits of its body. Gives
    /// how many bytes of that are dealt with.
    fn connected(&mut self, key: ExchangeKey) -> usize {
        let Some(conn) = self.proxy.exchange_of(key).map(|exchange| exchange.client) else {
            return 0;
        };
        let waiting = self.conns.client_mut(conn).and_then(|client| client.buffer.take());
        let bytes = waiting.as_ref().map_or(&[][..], |buffer| &buffer.bytes);
        let used = self.tell(key, proxy::Input::Connected { waiting: bytes });
        if let Some(buffer) = waiting
            && let Some((client, mut step)) = self.client(conn)
        {
            client.keep_rest(buffer, used, &mut step);
        }
        used
    }

    /// Takes other settings.
    pub(super) fn reload(&mut self, options: &Options) {
        let view = view(self.site, self.renderer, self.effects, self.now);
        self.proxy.reload(options, view);
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self) {
        let view = view(self.site, self.renderer, self.effects, self.now);
        self.proxy.handle_timeout(view);
    }

    /// Does what the proxy wants done; gives a client whose bytes it wants then, behind which there
    /// may be more to do.
    pub(super) fn carry_out(&mut self) -> Option<ConnKey> {
        loop {
            while let Some(key) = self.effects.left.pop() {
                self.tell(key, proxy::Input::ClientGone);
            }
            match self.proxy.poll_effect()? {
                Effect::Connect(key, to) => {
                    let upstream = Upstream { exchange: Some(key), ..Upstream::default() };
                    let conn = self.conns.insert(Conn::Upstream(upstream));
                    if self.proxy.dialled(key, conn) {
                        self.effects.outputs.push_back(Output::Connect { conn, to });
                    } else {
                        self.conns.remove(conn);
                    }
                }
                Effect::Upstream(conn, effect) => self.do_to_upstream(conn, effect),
                Effect::Client(conn, ClientEffect::Read) => return Some(conn),
                Effect::Client(conn, effect) => self.do_to_client(conn, effect),
            }
        }
    }

    fn do_to_upstream(&mut self, conn: ConnKey, effect: UpstreamEffect) {
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        if matches!(effect, UpstreamEffect::Abort | UpstreamEffect::Close { .. }) {
            upstream.exchange = None;
        }
        let output = match effect {
            UpstreamEffect::Assign(exchange) => return upstream.exchange = exchange,
            UpstreamEffect::Read if !std::mem::take(&mut upstream.paused) => return,
            UpstreamEffect::Read => Output::ResumeRead { conn },
            UpstreamEffect::Send(payload) => Output::Send { conn, payload, crowd: None },
            UpstreamEffect::Abort => Output::Abort { conn },
            UpstreamEffect::Close { stalled } => {
                self.arm_closing(conn, stalled);
                Output::Close { conn }
            }
        };
        self.effects.outputs.push_back(output);
    }

    /// A connection that is about to be closed has this much time to take the rest.
    fn arm_closing(&mut self, conn: ConnKey, stalled: bool) {
        let at_ms = self.now.mono_ms.saturating_add(self.site.limits.write_timeout_ms);
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        if let Some(old) = upstream.timer.take() {
            self.effects.wheel.cancel(old);
        }
        upstream.timer = stalled.then(|| self.effects.wheel.set(at_ms, (conn, ConnTimer::Write)));
    }

    fn do_to_client(&mut self, conn: ConnKey, effect: ClientEffect) {
        let Some((client, mut step)) = self.client(conn) else { return };
        let step = &mut step;
        match effect {
            ClientEffect::Send(payload) => {
                step.effects.outputs.push_back(Output::Send { conn, payload, crowd: None });
            }
            ClientEffect::Continue => Client::send_continue(step),
            ClientEffect::Answered(status) => client.log_access(status),
            ClientEffect::ShutdownWrite => {
                step.effects.outputs.push_back(Output::ShutdownWrite { conn });
            }
            // Given to the caller.
            ClientEffect::Read => {}
            ClientEffect::Arm(timer, in_ms) => client.arm_in(timer, in_ms, step),
            ClientEffect::Disarm => client.disarm(step.effects),
            ClientEffect::Serve(handed) => serve(client, &handed, step),
            ClientEffect::Answer { persistence: Some(persistence), status, payload } => {
                client.enter(Phase::IDLE, step);
                answering::respond(client, persistence, status, payload, step);
            }
            ClientEffect::Answer { persistence: None, status, payload } => {
                answering::refuse_and_linger(client, status, payload, step);
            }
            ClientEffect::RefuseUnfinished(is_head) => {
                reading::timed_out(client, ConnTimer::Body, is_head, step);
            }
            ClientEffect::Finish(persistence) => {
                client.enter(Phase::IDLE, step);
                if persistence == Persistence::Close || step.effects.stopping || client.ended {
                    client.close(step);
                } else {
                    client.await_request(step);
                }
            }
            ClientEffect::Linger => client.linger(step),
            ClientEffect::Close => client.close(step),
            ClientEffect::Reset => {
                client.enter(Phase::Closing, step);
                client.buffer = None;
                step.effects.outputs.push_back(Output::Reset { conn });
            }
        }
    }

    fn client(&mut self, conn: ConnKey) -> Option<(&mut Client, Step<'_>)> {
        let Self { conns, hub, site, renderer, effects, name, now, .. } = self;
        let client = conns.client_mut(conn)?;
        Some((client, Step { conn, now: *now, hub, site, renderer, effects, name }))
    }
}

/// How many bytes may be read from a connection now: from one of the upstream none while its client
/// takes no more.
pub(super) fn read_max(
    conn: ConnKey,
    conns: &mut Connections,
    proxy: Option<&Proxy>,
    limits: &Limits,
) -> usize {
    let passes_up = passes_up(conn, conns, proxy);
    if let Some(client) = conns.client_mut(conn) {
        return client.read_max(passes_up, limits);
    }
    let Some(upstream) = conns.upstream_mut(conn) else { return 0 };
    let client = upstream.exchange.zip(proxy).and_then(|(key, proxy)| proxy.exchange_of(key));
    let client = client.and_then(|exchange| conns.client(exchange.client));
    let is_stalled = client.is_some_and(|client| client.stalled);
    if let Some(upstream) = conns.upstream_mut(conn) {
        upstream.paused = is_stalled;
    }
    if is_stalled { 0 } else { usize::MAX }
}

/// Whether bytes of a client are to go to the upstream, and can now.
pub(super) fn passes_up(conn: ConnKey, conns: &Connections, proxy: Option<&Proxy>) -> bool {
    conns
        .exchange(conn)
        .zip(proxy)
        .and_then(|(key, proxy)| proxy.exchange_of(key))
        .is_some_and(Exchange::takes_bytes)
}

/// Whether a client has a tunnel through the upstream.
pub(super) fn is_tunnel(conn: ConnKey, conns: &Connections, proxy: Option<&Proxy>) -> bool {
    conns
        .exchange(conn)
        .zip(proxy)
        .and_then(|(key, proxy)| proxy.exchange_of(key))
        .is_some_and(Exchange::is_tunnel)
}

/// Serves a request that the upstream handed over.
fn serve(client: &mut Client, handed: &HandedOver, step: &mut Step<'_>) {
    client.enter(Phase::IDLE, step);
    let found = handed.find(&mut step.site.routes);
    let mut slots = HeaderSlots::new();
    match handed.request(found.as_ref(), &mut slots, &step.site.limits) {
        Ok(head) => reading::serve(client, &head, &handed.body, found.as_ref(), step),
        Err(error) => answering::fail(client, &error, handed.is_head, step),
    }
}

fn view<'a>(
    site: &'a mut Site,
    renderer: &'a Renderer,
    effects: &'a mut Effects,
    now: Now,
) -> View<'a> {
    View { site, renderer, uploads: &mut effects.uploads, stopping: effects.stopping, now }
}
