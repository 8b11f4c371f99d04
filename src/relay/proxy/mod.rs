//! Proxy: what no location matches goes to the upstream (`--allrequests`), and its answer back, in
//! a stream both ways. A state machine: [`Input`]s go in, [`Effect`]s come out. Never sees a client
//! or its phase: clients are keys to it.
//!
//! The rules of it all:
//! * The target comes from the settings alone; no byte of a client chooses it.
//! * Both messages are read as strictly as any other, and framed anew (`rewrite`, `reframer`).
//! * Nothing is held but what one side does not take for now, and then the other is not read.
//! * A connection is used again only when both messages on it ended where they should and nothing
//!   came behind.
//! * An answer that was cut off never looks whole to the client.
//! * A request that the upstream may have executed is repeated only if it is idempotent (RFC 9110
//!   9.2.2).

mod answer;
mod effect;
mod exchange;
mod fault;
mod gate;
mod handover;
mod pool;
mod reframer;
mod request;
mod rewrite;
mod upload;
mod upstream;

use std::collections::VecDeque;

pub(super) use self::effect::{Effect, Input, View};
pub(super) use self::exchange::Exchange;
pub(super) use self::handover::HandedOver;

use self::effect::Context;
use self::exchange::{Repeat, Stage};
use self::fault::accepts_html;
use self::gate::Gate;
use self::upload::{Continue, Copy, Upload, sound_body};
use self::upstream::{Dialling, Upstream};
use super::conn_key::ConnKey;
use super::exchange_key::{ExchangeKey, Exchanging};
use super::input::{Arrival, Input as ConnInput};
use super::options::Options;
use super::render::{Persistence, Reply};
use super::request::refusal::Refusal;
use super::timers::ConnTimer;
use crate::arena::Arena;
use crate::http::{Framing, RequestHead};
use crate::parts::{OfProxy, Part};

/// See the module.
#[derive(Debug)]
pub(super) struct Proxy {
    exchanges: Arena<Exchange, Exchanging>,
    upstream: Upstream,
    gate: Gate,
    /// What is to be done to clients.
    queue: VecDeque<(ConnKey, Effect)>,
    /// For a head that is being written; kept for its room.
    scratch: Vec<u8>,
}

/// A request for the upstream.
pub(super) struct Request<'a> {
    pub(super) client: ConnKey,
    /// How it came.
    pub(super) arrival: Arrival,
    pub(super) head: &'a RequestHead<'a>,
    /// What has come behind its head.
    pub(super) input: &'a [u8],
    /// Its client sends no more.
    pub(super) is_last: bool,
}

impl Proxy {
    /// The proxy that the settings ask for.
    pub(super) fn of(options: &Options) -> Option<OfProxy<Self>> {
        let proxy = options.proxy.as_ref()?;
        Part::of(|| Self {
            exchanges: Arena::default(),
            upstream: Upstream::new(proxy),
            gate: Gate::new(&options.locations),
            queue: VecDeque::new(),
            scratch: Vec::new(),
        })
    }

    /// Takes other settings. What is on its way to an upstream that is not in them comes to its
    /// end.
    pub(super) fn reload(&mut self, options: &Options, view: &mut View<'_>) {
        // Without an upstream only what is on its way still goes there.
        let Some(proxy) = &options.proxy else { return self.close_idle(u64::MAX, view) };
        self.gate = Gate::new(&options.locations);
        if self.upstream.reload(proxy) {
            return;
        }
        self.close_idle(u64::MAX, view);
        // Their connections lead to where the settings no longer do.
        for exchange in self.exchanges.iter_mut().filter(|exchange| exchange.link.is_some()) {
            exchange.once = true;
        }
        let mut old = std::mem::replace(&mut self.upstream, Upstream::new(proxy));
        for key in old.pool.take_waiting().into_iter().chain(old.pool.take_resting()) {
            self.dial(key, view);
        }
    }

    /// Closes the connections that wait for a request and are kept no longer than this time,
    /// milliseconds; all, where the daemon stops or the upstream is another one.
    pub(super) fn close_idle(&mut self, until_ms: u64, view: &mut View<'_>) {
        while let Some(idle) = self.upstream.pool.expired(until_ms) {
            view.close(idle, false);
        }
    }

    /// The connection that waits longest for a request.
    pub(super) fn oldest_idle(&self) -> Option<ConnKey> {
        self.upstream.pool.oldest()
    }

    /// Takes a request to the upstream.
    ///
    /// # Errors
    /// It is answered here, as this effect says.
    pub(super) fn open(
        &mut self,
        request: &Request<'_>,
        view: &mut View<'_>,
    ) -> Result<ExchangeKey, Effect> {
        let Request { client, arrival, head, input, is_last } = *request;
        let peer = arrival.peer;
        let Self { exchanges, upstream, gate, queue, scratch } = self;
        let is_head = head.method == "HEAD";
        let persistence = Persistence::of(head, view.effects.stopping);
        let has_body = !matches!(head.framing, Framing::None | Framing::Length(0));
        if let Some(Refusal { status, lines, text, .. }) =
            gate.refuses(head, &upstream.options, arrival.secure)
        {
            let persistence = (!has_body).then_some(persistence);
            let reply = Reply::bare(persistence.unwrap_or(Persistence::Close), is_head);
            let payload = view.renderer.text(&reply, status, &lines, text);
            return Err(Effect::Answer { persistence, status, payload });
        }
        let body = sound_body(head.framing, input).map_err(|error| Effect::Fail(error, is_head))?;
        let awaited = match head.expect_continue && input.is_empty() {
            true if upstream.is_http_1_0 => Continue::Ours,
            true => Continue::Upstreams,
            false => Continue::None,
        };
        let copy = match (has_body && head.method == "POST", gate.has_publishers) {
            (false, _) => Copy::NotNeeded,
            (true, false) => Copy::Passed,
            (true, true) => {
                Copy::begin(head.framing, view.site.limits.body_bytes, view.site.uploads_max())
            }
        };
        scratch.clear();
        let expects = awaited == Continue::Upstreams;
        let replaced = rewrite::write_request(scratch, head, &upstream.options, arrival, expects);
        if let Some(field) = replaced {
            upstream.warn_of_replaced(field, peer, view.now);
        }
        let may_be_page = upstream.place.is_some() && head.method == "GET" && !has_body;
        let is_chunked = head.framing == Framing::Chunked;
        let mut exchange = Exchange {
            client,
            stage: Stage::Connecting(Dialling::default()),
            head: scratch.as_slice().into(),
            link: None,
            stalled: false,
            // Servers that know no chunks take them for the next request.
            once: is_chunked,
            upload: Upload::new(body, is_chunked, copy, awaited),
            repeat: Repeat::of(head.method, has_body),
            wait_ends_ms: 0,
            persistence,
            version: head.version,
            is_head,
            is_page: may_be_page && accepts_html(head.header_all("Accept")),
            wants_upgrade: rewrite::tunnel(head.upgrade).is_some(),
            is_last,
        };
        let key = exchanges.next_key();
        request::begin(&mut exchange, &mut Context { key, upstream, queue, view });
        Ok(exchanges.insert(exchange))
    }

    /// Takes what happened to an exchange; gives how many of the client's bytes in it are dealt
    /// with.
    pub(super) fn handle(
        &mut self,
        key: ExchangeKey,
        input: Input<'_>,
        view: &mut View<'_>,
    ) -> usize {
        let Self { exchanges, upstream, queue, .. } = self;
        let Some(exchange) = exchanges.get_mut(key) else { return 0 };
        let cx = &mut Context { key, upstream, queue, view };
        let mut used = 0;
        match input {
            Input::Connected { waiting } => {
                if let Stage::Connecting(dialling) = &exchange.stage {
                    dialling.succeed(cx.upstream);
                }
                used = request::send(exchange, waiting, cx);
            }
            Input::Upstream(ConnInput::Received(bytes)) => answer::receive(exchange, bytes, cx),
            Input::Upstream(ConnInput::Ended) => answer::end(exchange, true, cx),
            Input::Upstream(ConnInput::Closed) => answer::end(exchange, false, cx),
            Input::Upstream(ConnInput::Stalled | ConnInput::Progressed) => {
                exchange.stalled = true;
                exchange.arm(cx);
            }
            Input::Upstream(ConnInput::Drained) => {
                exchange.stalled = false;
                exchange.arm(cx);
                cx.client(exchange.client, Effect::Read);
            }
            Input::Upstream(ConnInput::ConnectFailed(cause)) => {
                request::connect_failed(exchange, cause, cx);
            }
            Input::Upstream(
                ConnInput::Connected | ConnInput::Secured | ConnInput::Evicted | ConnInput::Unread,
            ) => {}
            Input::FromClient(bytes) => used = request::pass_up(exchange, bytes, cx),
            Input::ClientDrained => {
                exchange.arm(cx);
                if let Some(conn) = exchange.link {
                    cx.view.read_on(conn);
                }
            }
            Input::ClientGone => exchange.leave(cx),
            Input::TimedOut(ConnTimer::Connect) => request::connect_timed_out(exchange, cx),
            Input::TimedOut(timer) => answer::timed_out(exchange, timer == ConnTimer::Body, cx),
        }
        if matches!(exchange.stage, Stage::Over) {
            exchanges.remove(key);
        }
        if matches!(input, Input::Connected { .. }) {
            for waiting in self.upstream.pool.take_waiting() {
                self.dial(waiting, view);
            }
        }
        used
    }

    /// Does what is due: closes what was idle for too long, dials for requests that wait.
    pub(super) fn handle_timeout(&mut self, view: &mut View<'_>) {
        let now_ms = view.now.mono_ms;
        self.close_idle(now_ms, view);
        while let Some(key) = self.upstream.pool.retry(now_ms) {
            if self.dial(key, view) {
                self.upstream.pool.retried(now_ms);
            }
        }
        while let Some(key) = self.upstream.pool.rested(now_ms) {
            self.dial(key, view);
        }
    }

    /// Opens a connection for an exchange, if that waits for one; gives whether it does.
    fn dial(&mut self, key: ExchangeKey, view: &mut View<'_>) -> bool {
        let Self { exchanges, upstream, queue, .. } = self;
        let Some(exchange) = exchanges.get_mut(key) else { return false };
        request::dial(exchange, &mut Context { key, upstream, queue, view })
    }

    /// A connection is gone, or of no use any more.
    pub(super) fn forget(&mut self, conn: ConnKey) {
        self.upstream.pool.forget(conn);
    }

    /// The next thing to do, and to which client.
    pub(super) fn poll_effect(&mut self) -> Option<(ConnKey, Effect)> {
        self.queue.pop_front()
    }

    /// Gives back the room that nothing needs any more.
    pub(super) fn shrink(&mut self) {
        self.exchanges.shrink();
        self.queue.shrink_to(0);
    }

    /// An exchange that is not over.
    pub(super) fn exchange_of(&self, key: ExchangeKey) -> Option<&Exchange> {
        self.exchanges.get(key)
    }

    /// When [`Proxy::handle_timeout`] has something to do, milliseconds.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.upstream.pool.next_deadline()
    }
}
