//! A connection's timer: it has one at a time, and this is what happens when it is due.

use super::client::{ConnTimer, Phase};
use super::{ConnKey, Output, Relay};
use crate::clock::Now;
use crate::http::HttpError;

/// How long a refused client may go on sending, milliseconds.
const LINGER_MS: u64 = 1500;

/// How long a publisher may take to finish its message when the daemon stops, milliseconds.
const STOP_MS: u64 = 1000;

impl Relay {
    pub(super) fn timed_out(&mut self, conn: ConnKey, timer: ConnTimer, now: Now) {
        let Some(client) = self.conns.client(conn) else { return };
        if matches!(client.phase, Phase::Asked { .. }) && timer != ConnTimer::Write {
            // It is our turn to speak; the answer sets the next timer.
            return;
        }
        match timer {
            ConnTimer::Head if client.buffer.is_none() => self.close(conn, now),
            ConnTimer::Body if self.is_answered(conn) => self.cut(conn, now),
            ConnTimer::Connect | ConnTimer::Upstream => self.exchange_timed_out(conn, timer, now),
            ConnTimer::Head => self.fail(
                conn,
                HttpError::new(408, "the request head took too long; send it at once"),
                now,
            ),
            ConnTimer::Body => self.fail_begun(
                conn,
                &HttpError::new(408, "the request body stopped coming; send it without pauses"),
                now,
            ),
            ConnTimer::Stop => {
                let text = "the server stops; send it again later";
                self.fail_begun(conn, &HttpError::new(408, text), now);
            }
            ConnTimer::Idle => self.close(conn, now),
            ConnTimer::Linger | ConnTimer::Write => {
                self.counters.slow_readers += u64::from(timer == ConnTimer::Write);
                log::debug!("event=abort conn={} timer={timer:?}", conn.index());
                self.outputs.push_back(Output::Abort { conn });
            }
        }
    }

    pub(super) fn arm(&mut self, conn: ConnKey, timer: ConnTimer, now: Now) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        if let Some((old, _)) = client.timer.take() {
            self.wheel.cancel(old);
        }
        let in_ms = match timer {
            ConnTimer::Idle => self.limits.keepalive_timeout_ms,
            ConnTimer::Head => self.limits.header_timeout_ms,
            ConnTimer::Body => self.limits.body_timeout_ms,
            ConnTimer::Write => self.limits.write_timeout_ms,
            ConnTimer::Linger => LINGER_MS,
            ConnTimer::Stop => STOP_MS,
            ConnTimer::Connect => self.limits.upstream_wait_ms,
            ConnTimer::Upstream => self.limits.upstream_timeout_ms,
        };
        let at_ms = now.mono_ms.saturating_add(in_ms);
        client.timer = Some((self.wheel.set(at_ms, (conn, timer)), timer));
    }

    pub(super) fn disarm(&mut self, conn: ConnKey) {
        if let Some(client) = self.conns.client_mut(conn)
            && let Some((timer, _)) = client.timer.take()
        {
            self.wheel.cancel(timer);
        }
    }
}
