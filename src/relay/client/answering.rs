//! From the hub's answers to a connection's: who is answered, and what becomes of the connection.

use std::sync::Arc;

use super::{ConnTimer, Phase, log_access};
use crate::clock::Now;
use crate::http::HttpError;
use crate::hub::{self, End, Refusal};
use crate::relay::delivery::{Exchange, Persistence};
use crate::relay::notice::Event;
use crate::relay::{ConnKey, Output, Payload, Relay};

impl Relay {
    /// Passes on what the hub answers.
    pub(in crate::relay) fn on_hub(&mut self, output: hub::Output, now: Now) {
        use hub::Output as O;
        let conn = ConnKey::from_bits(output.peer().0);
        match output {
            O::Published { waiting, information, .. } => {
                self.effects.counters.published += 1;
                self.inform(conn, if waiting { 201 } else { 202 }, &information, now);
            }
            O::Exists { information, .. } | O::Deleted { information, .. } => {
                self.inform(conn, 200, &information, now);
            }
            O::Missing { .. } => {
                let text = "there is no such channel, and this request does not create it";
                self.answer_text(conn, 404, text, now);
            }
            O::Refused { refusal, .. } => self.refuse(conn, refusal, now),
            // No store takes time yet.
            O::Asked { .. } => {}
            O::Held { subscription, .. } => self.held(conn, subscription, now),
            O::Deliver { message, gap, crowd, .. } => {
                let Some((exchange, shared)) = self.take_exchange(conn) else { return };
                self.effects.counters.delivered += 1;
                self.effects.counters.gaps += u64::from(gap != crate::store::Gap::NONE);
                let payload = if shared && gap == crate::store::Gap::NONE {
                    self.renderer.shared_delivery(&exchange, &message)
                } else {
                    self.renderer.delivery(&exchange, &message, gap)
                };
                self.respond_to(conn, crowd, exchange.persistence, 200, payload, now);
            }
            O::Ended { end, cursor, .. } => {
                let Some((exchange, _)) = self.take_exchange(conn) else { return };
                let (status, payload) = match end {
                    End::NothingNew | End::Shutdown => {
                        (304, self.renderer.nothing_new(&exchange, cursor))
                    }
                    End::Deleted => {
                        let text = "the channel was deleted";
                        (410, self.renderer.text(&exchange, 410, b"", text))
                    }
                    End::Displaced => {
                        let text = "another subscriber has the one place of this channel";
                        (409, self.renderer.text(&exchange, 409, b"", text))
                    }
                };
                self.respond(conn, exchange.persistence, status, payload, now);
            }
        }
    }

    pub(in crate::relay) fn refuse(&mut self, conn: ConnKey, refusal: Refusal, now: Now) {
        let (status, text) = match refusal {
            Refusal::Channels => {
                (503, "too many channels; try again later, or raise limits.channels")
            }
            Refusal::Subscribers => (403, "the channel has max_subscribers subscribers"),
            Refusal::MessageSize => {
                (413, "the message alone exceeds the store's max_memory; send less")
            }
        };
        self.answer_text(conn, status, text, now);
    }

    pub(in crate::relay) fn held(
        &mut self,
        conn: ConnKey,
        subscription: hub::SubscriptionKey,
        now: Now,
    ) {
        let Some(client) = self.conns.client_mut(conn) else {
            return self.hub.unsubscribe(subscription, now);
        };
        let idle = Phase::Head { scanned: 0 };
        match std::mem::replace(&mut client.phase, idle) {
            Phase::Asked { exchange, notice } if !client.ended => {
                if let Some(notice) = &notice {
                    let notice = Arc::clone(notice);
                    self.effects
                        .outputs
                        .push_back(Output::Notify { event: Event::Subscribe, notice });
                }
                client.phase = Phase::Waiting { exchange, subscription, notice };
                self.disarm(conn);
            }
            phase => {
                // The peer left before the answer came.
                client.phase = phase;
                self.hub.unsubscribe(subscription, now);
                self.close(conn, now);
            }
        }
    }

    /// Ends a hold whose subscriber is gone.
    pub(in crate::relay) fn release(&mut self, conn: ConnKey, now: Now) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        if let Phase::Waiting { subscription, notice, .. } = &mut client.phase {
            let subscription = *subscription;
            if let Some(notice) = notice.take() {
                self.effects
                    .outputs
                    .push_back(Output::Notify { event: Event::Unsubscribe, notice });
            }
            client.phase = Phase::Head { scanned: 0 };
            self.hub.unsubscribe(subscription, now);
        }
    }

    /// Ends a hold behind which more bytes have come than are read: the client's end, which comes
    /// after them, would never be seen.
    pub(in crate::relay) fn end_flooded(&mut self, conn: ConnKey, now: Now) {
        if self.conns.client(conn).is_some_and(|client| client.floods(&self.site.limits)) {
            log::debug!("event=flood conn={}", conn.index());
            self.release(conn, now);
            self.close(conn, now);
        }
    }

    /// Takes the exchange that the hub has answered, and whether it was held.
    pub(in crate::relay) fn take_exchange(&mut self, conn: ConnKey) -> Option<(Exchange, bool)> {
        let client = self.conns.client_mut(conn)?;
        let idle = Phase::Head { scanned: 0 };
        let (mut exchange, held) = match std::mem::replace(&mut client.phase, idle) {
            Phase::Asked { exchange, .. } => (exchange, false),
            Phase::Waiting { exchange, notice, .. } => {
                if let Some(notice) = notice {
                    self.effects
                        .outputs
                        .push_back(Output::Notify { event: Event::Unsubscribe, notice });
                }
                (exchange, true)
            }
            phase => {
                client.phase = phase;
                return None;
            }
        };
        if self.effects.stopping {
            exchange.persistence = Persistence::Close;
        }
        Some((exchange, held))
    }

    pub(in crate::relay) fn inform(
        &mut self,
        conn: ConnKey,
        status: u16,
        information: &hub::Information,
        now: Now,
    ) {
        let Some((exchange, _)) = self.take_exchange(conn) else { return };
        let payload = self.renderer.information(&exchange, status, information);
        self.respond(conn, exchange.persistence, status, payload, now);
    }

    pub(in crate::relay) fn answer_text(
        &mut self,
        conn: ConnKey,
        status: u16,
        text: &str,
        now: Now,
    ) {
        let Some((exchange, _)) = self.take_exchange(conn) else { return };
        let payload = self.renderer.text(&exchange, status, b"", text);
        self.respond(conn, exchange.persistence, status, payload, now);
    }

    /// Sends the answer to a request whose body was consumed.
    pub(in crate::relay) fn respond(
        &mut self,
        conn: ConnKey,
        persistence: Persistence,
        status: u16,
        payload: Payload,
        now: Now,
    ) {
        self.respond_to(conn, None, persistence, status, payload, now);
    }

    fn respond_to(
        &mut self,
        conn: ConnKey,
        crowd: Option<bool>,
        persistence: Persistence,
        status: u16,
        payload: Payload,
        now: Now,
    ) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        log_access(client, status);
        self.effects.counters.answered(status);
        self.answered += payload.len();
        self.effects.outputs.push_back(Output::Send { conn, payload, crowd });
        if persistence == Persistence::Close {
            return self.close(conn, now);
        }
        client.phase = Phase::Head { scanned: 0 };
        self.await_request(conn, now);
    }

    /// Between requests: goes on with what has come already, or waits. While the daemon stops, what
    /// has come already is all that is waited for.
    pub(in crate::relay) fn await_request(&mut self, conn: ConnKey, now: Now) {
        self.go_on_later(conn);
        let Some(client) = self.conns.client(conn).filter(|client| !client.stalled) else { return };
        match (self.effects.stopping, client.ready) {
            (false, _) => self.arm(conn, ConnTimer::Idle, now),
            (true, true) => self.arm(conn, ConnTimer::Stop, now),
            (true, false) => self.close(conn, now),
        }
    }

    /// Has the next turn go on with what has come already, if anything has.
    pub(in crate::relay) fn go_on_later(&mut self, conn: ConnKey) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        let something = client.buffer.is_some() || client.paused || client.ended;
        if something && !client.ready && !client.stalled {
            client.ready = true;
            self.effects.ready.push_back(conn);
        }
    }

    /// Answers what cannot be read as a request, and lets the connection end.
    pub(in crate::relay) fn fail(&mut self, conn: ConnKey, error: HttpError, now: Now) {
        let is_head = self.proxies_head(conn);
        self.fail_of(conn, &error, is_head, now);
    }

    /// As [`Relay::fail`]; `is_head`: it could be read as far as that, so there is no body.
    pub(in crate::relay) fn fail_of(
        &mut self,
        conn: ConnKey,
        error: &HttpError,
        is_head: bool,
        now: Now,
    ) {
        let exchange = Exchange::bare(Persistence::Close, is_head);
        let payload = self.renderer.text(&exchange, error.status, b"", &error.message);
        self.refuse_and_linger(conn, error.status, payload, now);
    }

    /// Tells a client that waits for it to send its body (RFC 9110 10.1.1).
    pub(in crate::relay) fn send_continue(&mut self, conn: ConnKey) {
        let payload = Payload::Owned(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
        self.effects.outputs.push_back(Output::Send { conn, payload, crowd: None });
    }

    /// Sends an answer that ends the connection, though the client may still be sending.
    pub(in crate::relay) fn refuse_and_linger(
        &mut self,
        conn: ConnKey,
        status: u16,
        payload: Payload,
        now: Now,
    ) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        log_access(client, status);
        self.effects.counters.answered(status);
        self.effects.outputs.push_back(Output::Send { conn, payload, crowd: None });
        self.linger(conn, now);
    }

    /// Lets a connection end behind what is to be sent, though the client may still be sending.
    pub(in crate::relay) fn linger(&mut self, conn: ConnKey, now: Now) {
        self.abandon(conn, now);
        let Some(client) = self.conns.client_mut(conn) else { return };
        client.buffer = None;
        if client.ended {
            return self.close(conn, now);
        }
        self.effects.outputs.push_back(Output::ShutdownWrite { conn });
        self.begin_lingering(conn, now);
    }

    /// Lets a connection be closed after what is to be sent.
    pub(in crate::relay) fn close(&mut self, conn: ConnKey, now: Now) {
        self.abandon(conn, now);
        let Some(client) = self.conns.client_mut(conn) else { return };
        if matches!(client.phase, Phase::Closing) {
            return;
        }
        client.phase = Phase::Closing;
        client.buffer = None;
        if client.stalled {
            self.arm(conn, ConnTimer::Write, now);
        } else {
            self.disarm(conn);
        }
        self.effects.outputs.push_back(Output::Close { conn });
    }
}
