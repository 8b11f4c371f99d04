//! What the proxy does to a client.

use super::client::{ConnTimer, Phase, answering, reading};
use super::location::Found;
use super::render::Persistence;
use super::render::payload::Payload;
use super::timers::TIMERS_PER_TURN;
use super::{ConnKey, Output, Relay};
use crate::clock::Now;
use crate::http::{HttpError, RequestHead};

impl Relay {
    /// Does what is due for connections, up to a bound.
    pub(super) fn timers_due(&mut self, now: Now) {
        for _ in 0..TIMERS_PER_TURN {
            let Some((conn, timer)) = self.effects.wheel.pop_expired(now.mono_ms) else { return };
            let Some((client, mut step)) = self.client(conn, now) else {
                if let Some(upstream) = self.conns.upstream_mut(conn) {
                    upstream.timer = None;
                    self.effects.outputs.push_back(Output::Abort { conn });
                }
                continue;
            };
            client.timer = None;
            match (&client.phase, timer) {
                (Phase::Proxied(_), ConnTimer::Body) => self.body_timed_out(conn, now),
                (Phase::Proxied(_), ConnTimer::Connect | ConnTimer::Upstream) => {
                    self.exchange_timed_out(conn, timer, now);
                }
                _ => reading::timed_out(client, timer, false, &mut step),
            }
        }
    }

    pub(super) fn arm(&mut self, conn: ConnKey, timer: ConnTimer, now: Now) {
        let count = self.proxy.as_ref().map_or(1, |proxy| proxy.count());
        let Some((client, mut step)) = self.client(conn, now) else { return };
        match (&client.phase, timer) {
            (Phase::Proxied(proxied), ConnTimer::Connect) => {
                let in_ms = proxied.connect_ms(&step.site.limits, count, now);
                client.arm_in(timer, in_ms, &mut step);
            }
            _ => client.arm(timer, &mut step),
        }
    }

    pub(super) fn disarm(&mut self, conn: ConnKey) {
        if let Some(client) = self.conns.client_mut(conn) {
            client.disarm(&mut self.effects);
        }
    }

    pub(super) fn close(&mut self, conn: ConnKey, now: Now) {
        self.abandon(conn, now);
        if let Some((client, mut step)) = self.client(conn, now) {
            client.close(&mut step);
        }
    }

    pub(super) fn linger(&mut self, conn: ConnKey, now: Now) {
        self.abandon(conn, now);
        if let Some((client, mut step)) = self.client(conn, now) {
            client.linger(&mut step);
        }
    }

    pub(super) fn fail(&mut self, conn: ConnKey, error: HttpError, now: Now) {
        let is_head = self.proxies_head(conn);
        self.fail_of(conn, &error, is_head, now);
    }

    pub(super) fn fail_of(&mut self, conn: ConnKey, error: &HttpError, is_head: bool, now: Now) {
        self.abandon(conn, now);
        if let Some((client, mut step)) = self.client(conn, now) {
            answering::fail(client, error, is_head, &mut step);
        }
    }

    pub(super) fn body_timed_out(&mut self, conn: ConnKey, now: Now) {
        if self.is_answered(conn) {
            return self.cut(conn, now);
        }
        let is_head = self.proxies_head(conn);
        self.abandon(conn, now);
        if let Some((client, mut step)) = self.client(conn, now) {
            reading::timed_out(client, ConnTimer::Body, is_head, &mut step);
        }
    }

    pub(super) fn refuse_and_linger(
        &mut self,
        conn: ConnKey,
        status: u16,
        payload: Payload,
        now: Now,
    ) {
        self.abandon(conn, now);
        if let Some((client, mut step)) = self.client(conn, now) {
            answering::refuse_and_linger(client, status, payload, &mut step);
        }
    }

    pub(super) fn respond(
        &mut self,
        conn: ConnKey,
        persistence: Persistence,
        status: u16,
        payload: Payload,
        now: Now,
    ) {
        if let Some((client, mut step)) = self.client(conn, now) {
            if matches!(client.phase, Phase::Proxied(_)) {
                client.enter(Phase::IDLE, &mut step);
            }
            answering::respond(client, persistence, status, payload, &mut step);
        }
    }

    pub(super) fn await_request(&mut self, conn: ConnKey, now: Now) {
        if let Some((client, mut step)) = self.client(conn, now) {
            client.await_request(&mut step);
        }
    }

    pub(super) fn send_continue(&mut self, conn: ConnKey) {
        let payload = Payload::Owned(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
        self.effects.outputs.push_back(Output::Send { conn, payload, crowd: None });
    }

    pub(super) fn note_access(&mut self, conn: ConnKey, head: &RequestHead<'_>, now: Now) {
        if let Some((client, step)) = self.client(conn, now) {
            client.note_access(head, &step);
        }
    }

    pub(super) fn serve(
        &mut self,
        conn: ConnKey,
        head: &RequestHead<'_>,
        body: &[u8],
        found: Option<&Found<'_>>,
        now: Now,
    ) {
        if let Some((client, mut step)) = self.client(conn, now) {
            reading::serve(client, head, body, found, &mut step);
        }
    }

    /// Closes a connection, of either kind, to make room for another one.
    pub(super) fn evicted(&mut self, conn: ConnKey, now: Now) {
        self.effects.figures.shed += 1;
        if self.conns.client(conn).is_some() {
            return self.close(conn, now);
        }
        if let Some(proxy) = &mut self.proxy {
            proxy.forget_idle(conn);
        }
        self.effects.outputs.push_back(Output::Close { conn });
    }
}
