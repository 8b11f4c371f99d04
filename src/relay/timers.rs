//! Timers: every timeout of a connection, its length and its reason. A connection has one of them
//! at a time, which its state decides.

use super::options::Limits;

/// Which timer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnTimer {
    /// No request for `keepalive_timeout`.
    Idle,
    /// A head not complete within `header_timeout`.
    Head,
    /// No progress of a body for `body_timeout`.
    Body,
    /// No progress of an answer for `write_timeout`.
    Write,
    /// Nothing more from a refused client, which has had time to read the answer.
    Linger,
    /// Enough time for a publisher to finish its message while the daemon stops.
    Stop,
    /// No answer from a store that takes time.
    Store,
    /// A stream that its store takes time to begin begins without.
    Begin,
    /// Nothing sent to a stream for the `ping_interval` of its location, or no progress of a
    /// message that its client sends for `body_timeout`.
    Ping,
    /// Nobody was sent a message in the time that its publisher waits.
    Sent,
    /// Whoever waits for events looks whether there are some.
    Events,
    /// No connection to the upstream for its share of `upstream_wait`: one for each address.
    Connect,
    /// No progress of the upstream for `upstream_timeout`.
    Upstream,
}

impl ConnTimer {
    /// How long it is, milliseconds; at most, where something else bounds it too.
    pub(super) fn ms(self, limits: &Limits) -> u64 {
        match self {
            Self::Idle => limits.keepalive_timeout_ms,
            Self::Head => limits.header_timeout_ms,
            Self::Body => limits.body_timeout_ms,
            Self::Write => limits.write_timeout_ms,
            Self::Linger => LINGER_MS,
            Self::Stop => STOP_MS,
            Self::Store => STORE_MS,
            Self::Begin => BEGIN_MS,
            Self::Ping => PING_MS,
            Self::Events => EVENTS_MS,
            Self::Sent => WAIT_MS_MAX,
            Self::Connect => limits.upstream_wait_ms,
            Self::Upstream => limits.upstream_timeout_ms,
        }
    }
}

/// How long a refused client is read, milliseconds: after its last byte, and in all. nginx's
/// `lingering_timeout` and `lingering_time`.
pub(super) const LINGER_MS: u64 = 5_000;
pub(super) const LINGER_ALL_MS: u64 = 30_000;

/// How long a publisher may take to finish its message when the daemon stops, and a refused client
/// to read its answer, milliseconds.
pub(super) const STOP_MS: u64 = 1000;

/// How long a store may take to answer, milliseconds: longer than any that is up, and shorter than
/// publishers wait.
const STORE_MS: u64 = 5_000;

/// How long a stream waits for a store whose answer is sure to come before it begins, milliseconds:
/// its client then knows that it is connected, and is pinged.
const BEGIN_MS: u64 = 1_000;

/// How long an interval of pings is where no location says it, milliseconds.
pub(super) const PING_MS: u64 = 25_000;

/// How long a publisher waits until its message is sent, at most, milliseconds.
const WAIT_MS_MAX: u64 = 30_000;

/// How often whoever waits for events looks, milliseconds: so a burst of them comes in few answers.
const EVENTS_MS: u64 = 250;

/// Connections that are closed or refused in one turn because their time is up: 0.2 ms.
pub(super) const TIMERS_PER_TURN: usize = 32;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::clock::Now;
    use crate::hub;
    use crate::message::MessageId;
    use crate::relay::options::Options;
    use crate::relay::{Arrival, Command, ConnKey, Input, Output, Relay, Wanted};

    pub(in crate::relay) fn at(mono_ms: u64) -> Now {
        Now::at(mono_ms, 1_700_000_000)
    }

    /// Without locations: whatever is asked is answered 404.
    pub(in crate::relay) fn relay() -> Relay {
        let first_id = MessageId { time: 1_700_000_000, tag: 0 };
        let hub = hub::options::Options { stores: Vec::new(), channels_max: 1, first_id, seed: 1 };
        let (server, limits) = (String::new(), Limits::default());
        let (locations, hosts) = (Vec::new(), Vec::new());
        let (signing_keys, access_log) = (Vec::new(), false);
        let options =
            Options { server, locations, hosts, proxy: None, limits, signing_keys, access_log };
        Relay::new(&options, hub, at(0))
    }

    #[test]
    fn a_request_begun_behind_a_slow_readers_answer_has_as_long_as_others_when_the_daemon_stops() {
        let mut relay = relay();
        let conn = relay.accept(Arrival::default(), at(0));
        relay.handle_input(conn, Input::Received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), at(0));
        assert!(matches!(relay.poll_output(Wanted::All, at(0)), Some(Output::Send { .. })));
        relay.handle_input(conn, Input::Stalled, at(0));
        relay.handle_input(conn, Input::Received(b"GET / HT"), at(0));
        relay.command(Command::AnnounceShutdown, at(0));
        relay.command(Command::Shutdown, at(0));
        relay.handle_input(conn, Input::Drained, at(0));
        relay.handle_timeout(at(0));
        assert!(relay.poll_output(Wanted::All, at(0)).is_none());
        relay.handle_timeout(at(STOP_MS));
        let Some(Output::Send { conn: to, payload, .. }) =
            relay.poll_output(Wanted::All, at(STOP_MS))
        else {
            panic!("nothing was sent")
        };
        assert_eq!((to, payload.slices(0).0.starts_with(b"HTTP/1.1 408 ")), (conn, true));
    }

    #[test]
    fn a_body_that_is_read_only_to_be_refused_has_so_long_in_all() {
        let mut relay = relay();
        let conn = relay.accept(Arrival::default(), at(0));
        relay.handle_input(
            conn,
            Input::Received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n"),
            at(0),
        );
        let Limits { body_timeout_ms, .. } = Limits::default();
        for time in (1_000..body_timeout_ms).step_by(1_000) {
            relay.handle_input(conn, Input::Received(b"x"), at(time));
            relay.handle_timeout(at(time));
            assert!(relay.poll_output(Wanted::All, at(time)).is_none(), "{time}");
        }
        relay.handle_timeout(at(body_timeout_ms));
        let Some(Output::Send { payload, .. }) =
            relay.poll_output(Wanted::All, at(body_timeout_ms))
        else {
            panic!("nothing was sent")
        };
        assert!(payload.slices(0).0.starts_with(b"HTTP/1.1 404 "));
    }

    /// A connection whose upload was refused.
    fn refused(relay: &mut Relay, now: Now) -> ConnKey {
        let conn = relay.accept(Arrival::default(), now);
        relay.handle_input(conn, Input::Received(b"nonsense\r\n\r\n"), now);
        assert!(matches!(relay.poll_output(Wanted::All, now), Some(Output::Send { .. })));
        assert!(matches!(relay.poll_output(Wanted::All, now), Some(Output::ShutdownWrite { .. })));
        conn
    }

    /// Whether the connection is aborted by now, which nothing else happens to.
    fn is_aborted(relay: &mut Relay, now: Now) -> bool {
        relay.handle_timeout(now);
        match relay.poll_output(Wanted::All, now) {
            None => false,
            Some(Output::Abort { .. }) => true,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refused_client_is_read_until_it_has_sent_nothing_for_five_seconds() {
        let mut relay = relay();
        let conn = refused(&mut relay, at(0));
        relay.handle_input(conn, Input::Received(b"x"), at(4_000));
        assert!(!is_aborted(&mut relay, at(8_990)));
        assert!(is_aborted(&mut relay, at(9_000)));
    }

    #[test]
    fn a_refused_client_is_read_for_thirty_seconds_at_most() {
        let mut relay = relay();
        let conn = refused(&mut relay, at(0));
        for time in (1_000..30_000).step_by(1_000) {
            assert!(!is_aborted(&mut relay, at(time)), "{time}");
            relay.handle_input(conn, Input::Received(b"x"), at(time));
        }
        assert!(is_aborted(&mut relay, at(30_000)));
    }

    #[test]
    fn a_refused_client_has_its_time_once_it_has_the_answer() {
        let mut relay = relay();
        let conn = refused(&mut relay, at(0));
        relay.handle_input(conn, Input::Stalled, at(0));
        let Limits { write_timeout_ms, .. } = Limits::default();
        // What it sends is no progress of the answer.
        relay.handle_input(conn, Input::Received(b"x"), at(write_timeout_ms - 10));
        assert!(!is_aborted(&mut relay, at(write_timeout_ms - 10)));
        relay.handle_input(conn, Input::Drained, at(write_timeout_ms - 10));
        relay.handle_input(conn, Input::Received(b"x"), at(write_timeout_ms));
        assert!(!is_aborted(&mut relay, at(write_timeout_ms + LINGER_MS - 10)));
        assert!(is_aborted(&mut relay, at(write_timeout_ms + LINGER_MS)));
        let conn = refused(&mut relay, at(50_000));
        relay.handle_input(conn, Input::Stalled, at(50_000));
        relay.handle_input(conn, Input::Received(b"x"), at(60_000));
        assert!(is_aborted(&mut relay, at(50_000 + write_timeout_ms)));
    }

    #[test]
    fn a_refused_client_has_a_second_when_the_daemon_stops() {
        let mut relay = relay();
        let conn = refused(&mut relay, at(0));
        relay.command(Command::AnnounceShutdown, at(0));
        relay.command(Command::Shutdown, at(100));
        let late = refused(&mut relay, at(200));
        for time in [600, 1_090] {
            relay.handle_input(conn, Input::Received(b"x"), at(time));
            relay.handle_input(late, Input::Received(b"x"), at(time));
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
        while relay.state().due_ms().is_some_and(|at| at <= now.mono_ms) {
            relay.handle_timeout(now);
            let closed = std::iter::from_fn(|| relay.poll_output(Wanted::Answers, now)).count();
            assert!(closed <= TIMERS_PER_TURN, "{closed} in one turn");
            turns += 1;
        }
        assert!((31..40).contains(&turns), "{turns} turns");
        assert_eq!(relay.state().timers(), 0);
    }
}
