//! A connection's timer: it has one at a time, and this is what happens when it is due.

use super::client::{ConnTimer, Phase};
use super::{ConnKey, Output, Relay};
use crate::clock::Now;
use crate::http::HttpError;

/// How long a refused client is read, milliseconds: after its last byte, and in all. nginx's
/// `lingering_timeout` and `lingering_time`.
const LINGER_MS: u64 = 5_000;
const LINGER_ALL_MS: u64 = 30_000;

/// How long a publisher may take to finish its message when the daemon stops, and a refused client
/// to read its answer, milliseconds.
const STOP_MS: u64 = 1000;

/// Connections that are closed or refused in one turn because their time is up: less than a
/// millisecond.
const TIMERS_PER_TURN: usize = 96;

impl Relay {
    /// Does what is due for connections, up to a bound.
    pub(super) fn timers_due(&mut self, now: Now) {
        for _ in 0..TIMERS_PER_TURN {
            let Some((conn, timer)) = self.effects.wheel.pop_expired(now.mono_ms) else { return };
            if let Some(client) = self.conns.client_mut(conn) {
                client.timer = None;
                self.timed_out(conn, timer, now);
            } else if let Some(upstream) = self.conns.upstream_mut(conn) {
                upstream.timer = None;
                self.effects.outputs.push_back(Output::Abort { conn });
            }
        }
    }

    fn timed_out(&mut self, conn: ConnKey, timer: ConnTimer, now: Now) {
        let Some(client) = self.conns.client(conn) else { return };
        if matches!(client.phase, Phase::Asked { .. }) && timer != ConnTimer::Write {
            // It is our turn to speak; the answer sets the next timer.
            return;
        }
        match timer {
            ConnTimer::Head if client.buffer.is_none() => self.close(conn, now),
            ConnTimer::Body if self.is_answered(conn) => self.cut(conn, now),
            ConnTimer::Connect | ConnTimer::Upstream => self.exchange_timed_out(conn, timer, now),
            ConnTimer::Head => {
                let text = "the request head took too long; send it at once";
                self.fail_begun(conn, &HttpError::new(408, text), now);
            }
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
                self.effects.counters.slow_readers += u64::from(timer == ConnTimer::Write);
                log::debug!("event=abort conn={} timer={timer:?}", conn.index());
                self.effects.outputs.push_back(Output::Abort { conn });
            }
        }
    }

    pub(super) fn arm(&mut self, conn: ConnKey, timer: ConnTimer, now: Now) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        if let Some((old, _)) = client.timer.take() {
            self.effects.wheel.cancel(old);
        }
        // Whatever is to come next, who takes no more is watched until that is over.
        let timer = if client.stalled { ConnTimer::Write } else { timer };
        let in_ms = match timer {
            ConnTimer::Idle => self.site.limits.keepalive_timeout_ms,
            ConnTimer::Head => self.site.limits.header_timeout_ms,
            ConnTimer::Body => self.site.limits.body_timeout_ms,
            ConnTimer::Write => self.site.limits.write_timeout_ms,
            ConnTimer::Linger => match client.phase {
                Phase::Lingering { until_ms } => {
                    until_ms.saturating_sub(now.mono_ms).min(LINGER_MS)
                }
                _ => LINGER_MS,
            },
            ConnTimer::Stop => STOP_MS,
            ConnTimer::Connect => match (&client.phase, &self.proxy) {
                (Phase::Proxied(proxied), Some(proxy)) => {
                    proxied.connect_ms(&self.site.limits, proxy.count(), now)
                }
                _ => self.site.limits.upstream_wait_ms,
            },
            ConnTimer::Upstream => self.site.limits.upstream_timeout_ms,
        };
        let at_ms = now.mono_ms.saturating_add(in_ms);
        client.timer = Some((self.effects.wheel.set(at_ms, (conn, timer)), timer));
    }

    /// Begins to drop what a refused client still sends, once it has been sent its answer.
    pub(super) fn begin_lingering(&mut self, conn: ConnKey, now: Now) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        let most_ms = if self.effects.stopping { STOP_MS } else { LINGER_ALL_MS };
        client.phase = Phase::Lingering { until_ms: now.mono_ms + most_ms };
        self.arm(conn, ConnTimer::Linger, now);
    }

    pub(super) fn disarm(&mut self, conn: ConnKey) {
        if let Some(client) = self.conns.client_mut(conn)
            && !client.stalled
            && let Some((timer, _)) = client.timer.take()
        {
            self.effects.wheel.cancel(timer);
        }
    }

    /// Between two turns, whether nobody can stay for ever without a word; for tests.
    ///
    /// # Panics
    /// Where somebody can, which is a bug.
    pub fn check_invariants(&self) {
        self.hub.check_invariants();
        for (conn, client) in self.conns.clients() {
            let timer = client.timer.map(|(_, timer)| timer);
            let waits = match &client.phase {
                Phase::Asked { .. } | Phase::Waiting { .. } | Phase::Closing => true,
                Phase::Proxied(proxied) => proxied.is_tunnel(),
                Phase::Head { .. } | Phase::Body(_) | Phase::Lingering { .. } => false,
            };
            let is_watched = if client.stalled { timer == Some(ConnTimer::Write) } else { waits };
            assert!(is_watched || !client.stalled && timer.is_some(), "{conn:?}: {client:?}");
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::hub;
    use crate::message::MessageId;
    use crate::relay::Arrival;
    use crate::relay::options::{Limits, Options};

    pub(in crate::relay) fn at(mono_ms: u64) -> Now {
        Now { mono_ms, unix_s: 1_700_000_000 }
    }

    /// Without locations: whatever is asked is answered 404.
    pub(in crate::relay) fn relay() -> Relay {
        let first_id = MessageId { time: 1_700_000_000, tag: 0 };
        let hub = hub::options::Options { stores: Vec::new(), channels_max: 1, first_id, seed: 1 };
        let (server, limits) = (String::new(), Limits::default());
        let (locations, hosts) = (Vec::new(), Vec::new());
        let options = Options { server, locations, hosts, proxy: None, limits, access_log: false };
        Relay::new(&options, hub, at(0))
    }

    #[test]
    fn a_request_begun_behind_a_slow_readers_answer_has_as_long_as_others_when_the_daemon_stops() {
        let mut relay = relay();
        let conn = relay.accept(Arrival::default(), at(0));
        relay.received(conn, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", at(0));
        assert!(matches!(relay.poll_output(at(0)), Some(Output::Send { .. })));
        relay.stalled(conn, at(0));
        relay.received(conn, b"GET / HT", at(0));
        relay.announce_shutdown();
        relay.shutdown(at(0));
        relay.drained(conn, at(0));
        relay.handle_timeout(at(0));
        assert!(relay.poll_output(at(0)).is_none());
        relay.handle_timeout(at(STOP_MS));
        let Some(Output::Send { conn: to, payload, .. }) = relay.poll_output(at(STOP_MS)) else {
            panic!("nothing was sent")
        };
        assert_eq!((to, payload.slices(0).0.starts_with(b"HTTP/1.1 408 ")), (conn, true));
    }

    #[test]
    fn a_body_that_is_read_only_to_be_refused_has_so_long_in_all() {
        let mut relay = relay();
        let conn = relay.accept(Arrival::default(), at(0));
        relay.received(conn, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n", at(0));
        let Limits { body_timeout_ms, .. } = Limits::default();
        for time in (1_000..body_timeout_ms).step_by(1_000) {
            relay.received(conn, b"x", at(time));
            relay.handle_timeout(at(time));
            assert!(relay.poll_output(at(time)).is_none(), "{time}");
        }
        relay.handle_timeout(at(body_timeout_ms));
        let Some(Output::Send { payload, .. }) = relay.poll_output(at(body_timeout_ms)) else {
            panic!("nothing was sent")
        };
        assert!(payload.slices(0).0.starts_with(b"HTTP/1.1 404 "));
    }

    /// A connection whose upload was refused.
    fn refused(relay: &mut Relay, now: Now) -> ConnKey {
        let conn = relay.accept(Arrival::default(), now);
        relay.received(conn, b"nonsense\r\n\r\n", now);
        assert!(matches!(relay.poll_output(now), Some(Output::Send { .. })));
        assert!(matches!(relay.poll_output(now), Some(Output::ShutdownWrite { .. })));
        conn
    }

    /// Whether the connection is aborted by now, which nothing else happens to.
    fn is_aborted(relay: &mut Relay, now: Now) -> bool {
        relay.handle_timeout(now);
        match relay.poll_output(now) {
            None => false,
            Some(Output::Abort { .. }) => true,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refused_client_is_read_until_it_has_sent_nothing_for_five_seconds() {
        let mut relay = relay();
        let conn = refused(&mut relay, at(0));
        relay.received(conn, b"x", at(4_000));
        assert!(!is_aborted(&mut relay, at(8_990)));
        assert!(is_aborted(&mut relay, at(9_000)));
    }

    #[test]
    fn a_refused_client_is_read_for_thirty_seconds_at_most() {
        let mut relay = relay();
        let conn = refused(&mut relay, at(0));
        for time in (1_000..30_000).step_by(1_000) {
            assert!(!is_aborted(&mut relay, at(time)), "{time}");
            relay.received(conn, b"x", at(time));
        }
        assert!(is_aborted(&mut relay, at(30_000)));
    }

    #[test]
    fn a_refused_client_has_its_time_once_it_has_the_answer() {
        let mut relay = relay();
        let conn = refused(&mut relay, at(0));
        relay.stalled(conn, at(0));
        let Limits { write_timeout_ms, .. } = Limits::default();
        // What it sends is no progress of the answer.
        relay.received(conn, b"x", at(write_timeout_ms - 10));
        assert!(!is_aborted(&mut relay, at(write_timeout_ms - 10)));
        relay.drained(conn, at(write_timeout_ms - 10));
        relay.received(conn, b"x", at(write_timeout_ms));
        assert!(!is_aborted(&mut relay, at(write_timeout_ms + LINGER_MS - 10)));
        assert!(is_aborted(&mut relay, at(write_timeout_ms + LINGER_MS)));
        let conn = refused(&mut relay, at(50_000));
        relay.stalled(conn, at(50_000));
        relay.received(conn, b"x", at(60_000));
        assert!(is_aborted(&mut relay, at(50_000 + write_timeout_ms)));
    }

    #[test]
    fn a_refused_client_has_a_second_when_the_daemon_stops() {
        let mut relay = relay();
        let conn = refused(&mut relay, at(0));
        relay.announce_shutdown();
        relay.shutdown(at(100));
        let late = refused(&mut relay, at(200));
        for time in [600, 1_090] {
            relay.received(conn, b"x", at(time));
            relay.received(late, b"x", at(time));
            assert!(!is_aborted(&mut relay, at(time)));
        }
        assert!(is_aborted(&mut relay, at(1_100)));
        assert!(is_aborted(&mut relay, at(1_200)));
    }

    #[test]
    fn thousands_whose_time_is_up_together_are_closed_over_many_turns() {
        let mut relay = relay();
        for _ in 0..1000 {
            relay.accept(Arrival::default(), at(0));
        }
        let now = at(60_000);
        let mut turns = 0;
        while relay.poll_timeout().is_some_and(|at| at <= now.mono_ms) {
            relay.handle_timeout(now);
            let closed = std::iter::from_fn(|| relay.poll_answer()).count();
            assert!(closed <= 100, "{closed} in one turn");
            turns += 1;
        }
        assert!((10..20).contains(&turns), "{turns} turns");
        assert_eq!(relay.timers(), 0);
    }
}
