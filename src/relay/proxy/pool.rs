//! Pool: idle connections to the upstream, and exchanges that wait for the upstream. Keeps keys and
//! times; opens and closes nothing.

use std::collections::VecDeque;

use crate::relay::conn_key::ConnKey;
use crate::relay::exchange_key::ExchangeKey;

/// Idle connections at most: enough for the requests of 128 clients at once.
const IDLE_MAX: usize = 128;

/// How long an idle connection is kept open, milliseconds: less than common servers do (5 s), so
/// that the upstream seldom closes one just when the next request is on its way.
const IDLE_MS: u64 = 4000;

/// How long before the upstream is dialled again, milliseconds.
const RETRY_MS: u64 = 50;

/// How long a request waits before it is sent again after the upstream has closed the connection on
/// it, milliseconds: longer than `RETRY_MS`, since the request may be the cause.
const REST_MS: u64 = 250;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Each with the time when it is closed. The newest is used first, so that the others age.
    idle: VecDeque<(ConnKey, u64)>,
    /// Exchanges that wait for the upstream to accept connections, longest first.
    waiting: VecDeque<ExchangeKey>,
    /// When the upstream is dialled for one of them.
    retry_at_ms: u64,
    /// Exchanges whose request is sent again at these times, which ascend.
    resting: VecDeque<(ExchangeKey, u64)>,
}

impl Pool {
    /// Keeps a connection for another request; gives one to be closed, if there are too many.
    pub(super) fn put(&mut self, conn: ConnKey, now_ms: u64) -> Option<ConnKey> {
        self.idle.push_back((conn, now_ms + IDLE_MS));
        if self.idle.len() <= IDLE_MAX {
            return None;
        }
        self.idle.pop_front().map(|(oldest, _)| oldest)
    }

    /// The connection used last.
    pub(super) fn take(&mut self) -> Option<ConnKey> {
        self.idle.pop_back().map(|(conn, _)| conn)
    }

    /// A connection is no longer of use.
    pub(super) fn forget(&mut self, conn: ConnKey) {
        self.idle.retain(|(idle, _)| *idle != conn);
    }

    /// A connection that was idle for too long.
    pub(super) fn expired(&mut self, now_ms: u64) -> Option<ConnKey> {
        pop_due(&mut self.idle, now_ms)
    }

    /// The connection that is idle longest.
    pub(super) fn oldest(&self) -> Option<ConnKey> {
        self.idle.front().map(|(conn, _)| *conn)
    }

    /// Whether requests wait, so that another one should wait behind them.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Lets an exchange wait.
    pub(super) fn wait(&mut self, key: ExchangeKey, now_ms: u64) {
        if self.waiting.is_empty() {
            self.retry_at_ms = now_ms + RETRY_MS;
        }
        self.waiting.push_back(key);
    }

    /// The exchange that dials now, to see whether the upstream is back. It may be over; then call
    /// again. To be followed by [`Pool::retried`].
    pub(super) fn retry(&mut self, now_ms: u64) -> Option<ExchangeKey> {
        if self.retry_at_ms > now_ms {
            return None;
        }
        self.waiting.pop_front()
    }

    /// The upstream is dialled, and for some time not again.
    pub(super) fn retried(&mut self, now_ms: u64) {
        self.retry_at_ms = now_ms + RETRY_MS;
    }

    /// Lets an exchange rest before its request is sent again.
    pub(super) fn rest(&mut self, key: ExchangeKey, now_ms: u64) {
        self.resting.push_back((key, now_ms + REST_MS));
    }

    /// An exchange that has rested; it may be gone.
    pub(super) fn rested(&mut self, now_ms: u64) -> Option<ExchangeKey> {
        pop_due(&mut self.resting, now_ms)
    }

    /// All exchanges that rest; some may be gone.
    pub(super) fn take_resting(&mut self) -> impl Iterator<Item = ExchangeKey> + use<> {
        std::mem::take(&mut self.resting).into_iter().map(|(key, _)| key)
    }

    /// The upstream is back: all exchanges that wait; some may be gone.
    pub(super) fn take_waiting(&mut self) -> VecDeque<ExchangeKey> {
        std::mem::take(&mut self.waiting)
    }

    /// When [`Pool::expired`], [`Pool::retry`] or [`Pool::rested`] has something, milliseconds.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        let expiry = self.idle.front().map(|(_, at_ms)| *at_ms);
        let retry = self.is_waited_for().then_some(self.retry_at_ms);
        let rested = self.resting.front().map(|(_, at_ms)| *at_ms);
        expiry.into_iter().chain(retry).chain(rested).min()
    }
}

/// The first of a queue whose times ascend, if its time has come.
fn pop_due<K>(queue: &mut VecDeque<(K, u64)>, now_ms: u64) -> Option<K> {
    queue.front().filter(|(_, at_ms)| *at_ms <= now_ms)?;
    queue.pop_front().map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(number: u64) -> ConnKey {
        ConnKey::from_bits(number)
    }

    fn exchange(number: u64) -> ExchangeKey {
        ExchangeKey::from_bits(number)
    }

    #[test]
    fn the_connection_used_last_is_used_next_and_the_others_age() {
        let mut pool = Pool::default();
        for number in 0..3 {
            assert_eq!(pool.put(conn(number), number), None);
        }
        assert_eq!(pool.take(), Some(conn(2)));
        assert_eq!(pool.next_deadline(), Some(IDLE_MS));
        assert_eq!(pool.expired(IDLE_MS - 1), None);
        assert_eq!(pool.expired(IDLE_MS), Some(conn(0)));
        assert_eq!(pool.expired(IDLE_MS), None);
        pool.forget(conn(1));
        assert_eq!((pool.take(), pool.next_deadline()), (None, None));
    }

    #[test]
    fn no_more_than_128_connections_are_kept() {
        let mut pool = Pool::default();
        for number in 0..IDLE_MAX as u64 {
            assert_eq!(pool.put(conn(number), 0), None);
        }
        assert_eq!(pool.put(conn(1000), 0), Some(conn(0)));
    }

    #[test]
    fn who_rests_is_tried_again_after_a_quarter_of_a_second() {
        let mut pool = Pool::default();
        pool.rest(exchange(1), 100);
        pool.rest(exchange(2), 140);
        assert_eq!((pool.next_deadline(), pool.rested(349)), (Some(350), None));
        assert_eq!((pool.rested(350), pool.rested(350)), (Some(exchange(1)), None));
        assert_eq!(pool.take_resting().collect::<Vec<_>>(), [exchange(2)]);
        assert_eq!(pool.next_deadline(), None);
    }

    #[test]
    fn one_who_waits_is_tried_at_a_time_in_order() {
        let mut pool = Pool::default();
        pool.wait(exchange(1), 100);
        pool.wait(exchange(2), 140);
        assert_eq!(pool.next_deadline(), Some(150));
        assert_eq!(pool.retry(149), None);
        assert_eq!(pool.retry(150), Some(exchange(1)));
        pool.retried(150);
        assert_eq!(pool.next_deadline(), Some(200));
        assert_eq!(pool.retry(199), None);
        assert_eq!(pool.retry(200), Some(exchange(2)));
        assert_eq!(pool.retry(200), None);
        assert!(!pool.is_waited_for());
    }
}
