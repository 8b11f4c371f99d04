//! Forwarding: between the proxy, which knows clients by their keys alone, and the clients: tells
//! it what happened to them and to the connections of the upstream, and does what it wants done.
//! Decides nothing.

use super::client::{Client, Phase, reading, responding, serving};
use super::conn::Connections;
use super::conn_key::ConnKey;
use super::exchange_key::ExchangeKey;
use super::input::Input;
use super::names::Names;
use super::options::Limits;
use super::output::Output;
use super::proxy::{self, Effect, Exchange, HandedOver, Proxy, Request, View};
use super::step::Step;
use super::timers::{ConnTimer, LINGER_ALL_MS};
use crate::http::{HeaderSlots, RequestHead};
use crate::hub::Hub;

/// See the module.
pub(super) struct Forwarding<'a> {
    pub(super) proxy: &'a mut Proxy,
    pub(super) hub: &'a mut Hub,
    /// For the channels of a request; kept for its room.
    pub(super) names: &'a mut Names,
    pub(super) view: View<'a>,
}

impl Forwarding<'_> {
    /// Takes a client's request to the upstream. `input`: what has come behind its head.
    pub(super) fn open(&mut self, conn: ConnKey, head: &RequestHead<'_>, input: &[u8]) {
        let Some((client, step)) = self.client(conn) else { return };
        client.access.note(head, step.site);
        let (arrival, is_last) = (client.arrival, client.ended);
        let request = Request { client: conn, arrival, head, input, is_last };
        let opened = self.proxy.open(&request, &mut self.view);
        let Some((client, mut step)) = self.client(conn) else { return };
        match opened {
            Ok(key) => drop(client.enter(Phase::Proxied(key), &mut step)),
            Err(effect) => carry_out(effect, client, &mut step),
        }
    }

    /// Tells an exchange what happened; gives how many of its client's bytes are dealt with.
    pub(super) fn tell(&mut self, key: ExchangeKey, input: proxy::Input<'_>) -> usize {
        self.proxy.handle(key, input, &mut self.view)
    }

    /// Takes what happened to a connection of the upstream.
    pub(super) fn handle_input(&mut self, conn: ConnKey, input: Input<'_>) {
        let Some(upstream) = self.view.conns.upstream_mut(conn) else { return };
        let ends = matches!(input, Input::Ended | Input::Closed | Input::ConnectFailed(_));
        let exchange = if ends { upstream.exchange.take() } else { upstream.exchange };
        if exchange.is_none() {
            self.proxy.forget(conn);
        }
        match (input, exchange) {
            // Nobody has asked: whatever it says, the next answer would not begin behind it.
            (Input::Received(_) | Input::Connected, None) | (Input::Ended, _) => {
                self.view.abort(conn);
            }
            (Input::Evicted, _) => {
                self.view.effects.figures.shed += 1;
                self.view.close(conn, false);
            }
            (Input::Closed, _) => {
                self.view.arm_closing(conn, false);
                self.view.conns.remove(conn);
            }
            // About to be closed.
            (Input::Stalled | Input::Progressed, None) => self.view.arm_closing(conn, true),
            (Input::Drained, None) => self.view.arm_closing(conn, false),
            _ => {}
        }
        match (input, exchange) {
            (_, None) => {}
            (Input::Connected, Some(key)) => self.connected(key),
            (input, Some(key)) => drop(self.tell(key, proxy::Input::Upstream(input))),
        }
    }

    /// The connection of an exchange is open: its request leaves with what waits of its body.
    fn connected(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.proxy.exchange_of(key) else { return };
        let conn = exchange.client;
        let waiting = self.view.conns.client_mut(conn).and_then(|client| client.buffer.take());
        let bytes = waiting.as_ref().map_or(&[][..], |buffer| &buffer.bytes);
        let used = self.tell(key, proxy::Input::Connected { waiting: bytes });
        if let Some(buffer) = waiting
            && let Some((client, mut step)) = self.client(conn)
        {
            client.keep_rest(buffer, used, &mut step);
        }
    }

    /// Does what the proxy wants done; gives a client whose bytes it wants then, behind which there
    /// may be more to do.
    pub(super) fn carry_out(&mut self) -> Option<ConnKey> {
        loop {
            while let Some(key) = self.view.effects.left.pop() {
                self.tell(key, proxy::Input::ClientGone);
            }
            match self.proxy.poll_effect()? {
                (conn, Effect::Read) => return Some(conn),
                (conn, effect) => {
                    if let Some((client, mut step)) = self.client(conn) {
                        carry_out(effect, client, &mut step);
                    }
                }
            }
        }
    }

    fn client(&mut self, conn: ConnKey) -> Option<(&mut Client, Step<'_>)> {
        let Self { hub, names, view, .. } = self;
        let View { conns, site, renderer, effects, now } = view;
        let client = conns.client_mut(conn)?;
        Some((client, Step { conn, now: *now, hub, site, renderer, effects, names }))
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
    let is_store = conns.is_store(conn);
    let Some(upstream) = conns.upstream_mut(conn) else {
        return if is_store { usize::MAX } else { 0 };
    };
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
    exchange(conn, conns, proxy).is_some_and(Exchange::takes_bytes)
}

/// Whether a client has a tunnel through the upstream.
pub(super) fn is_tunnel(conn: ConnKey, conns: &Connections, proxy: Option<&Proxy>) -> bool {
    exchange(conn, conns, proxy).is_some_and(Exchange::is_tunnel)
}

fn exchange<'p>(
    conn: ConnKey,
    conns: &Connections,
    proxy: Option<&'p Proxy>,
) -> Option<&'p Exchange> {
    proxy?.exchange_of(conns.exchange(conn)?)
}

/// Does one thing that the proxy wants done to a client.
fn carry_out(effect: Effect, client: &mut Client, step: &mut Step<'_>) {
    match effect {
        Effect::Answered(status) => client.access.log(client.arrival.peer, status),
        // Given to the caller.
        Effect::Read => {}
        Effect::Arm(timer, in_ms) => client.arm_in(timer, in_ms, step),
        Effect::Disarm => client.disarm(step.effects),
        Effect::Serve(handed) => serve(client, &handed, step),
        Effect::Answer { persistence: Some(persistence), status, payload } => {
            client.enter(Phase::IDLE, step);
            responding::respond(client, persistence, status, payload, step);
        }
        Effect::Answer { persistence: None, status, payload } => {
            responding::refuse_and_linger(client, status, payload, step);
        }
        Effect::Fail(error, is_head) => responding::fail(client, &error, is_head, step),
        Effect::RefuseUnfinished(is_head) => {
            reading::timed_out(client, ConnTimer::Body, is_head, step);
        }
        Effect::Finish => {
            client.enter(Phase::IDLE, step);
            client.await_request(step);
        }
        Effect::Linger => client.linger(LINGER_ALL_MS, step),
        Effect::Close => client.close(step),
        Effect::Reset => {
            client.enter(Phase::Closing, step);
            client.buffer = None;
            step.effects.outputs.push_back(Output::Reset { conn: step.conn });
        }
    }
}

/// Serves a request that the upstream handed over.
fn serve(client: &mut Client, handed: &HandedOver, step: &mut Step<'_>) {
    client.enter(Phase::IDLE, step);
    let found = handed.find(&mut step.site.routes);
    let mut slots = HeaderSlots::new();
    match handed.request(found.as_ref(), &mut slots, &step.site.limits) {
        Ok(head) => {
            serving::serve(client, &head, (&*handed.body).into(), found.as_ref(), true, step)
        }
        Err(error) => responding::fail(client, &error, handed.is_head, step),
    }
}
