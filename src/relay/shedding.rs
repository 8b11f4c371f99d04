//! Who makes room where there are as many connections as there may be: first what is kept for the
//! upstream's next request, which costs nobody anything but a dial; then of those between two requests
//! the one that has been so for longest. Never one whose request is held or under way.

use std::collections::BinaryHeap;

use super::client::{Client, ConnTimer, Phase};
use super::{ConnKey, Output, Relay};
use crate::clock::Now;
use crate::wheel::TimerKey;

/// Connections that one search finds, so that its cost is shared by so many newcomers.
const FOUND_MAX: usize = 256;

/// How many connections may be looked at in each millisecond, a few hundredths of it, where a search
/// finds few: whoever knocks while all are busy does not make us look at every one each time.
const LOOKS_PER_MS: usize = 1000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Shedding {
    /// Those that were idle for longest when they were last looked for, the longest last, each with
    /// its timer. Who has that timer still has been idle ever since, and nobody else for longer.
    found: Vec<(ConnKey, TimerKey)>,
    /// No further search before this time, milliseconds.
    search_at_ms: u64,
}

impl Relay {
    /// Closes the connection that has waited longest for a next request, to make room; gives
    /// whether there is one. `has_asked`: whether that request has come, though it is not read yet.
    pub fn shed_idle(&mut self, mut has_asked: impl FnMut(ConnKey) -> bool, now: Now) -> bool {
        if let Some(conn) = self.proxy.as_mut().and_then(|proxy| proxy.take_oldest_idle()) {
            self.outputs.push_back(Output::Close { conn });
            self.counters.shed += 1;
            return true;
        }
        loop {
            while let Some((conn, timer)) = self.shedding.found.pop() {
                let is_idle = self.conns.client(conn).and_then(idle_timer) == Some(timer);
                if is_idle && !has_asked(conn) {
                    self.close(conn, now);
                    self.counters.shed += 1;
                    return true;
                }
            }
            if !self.search_idle(&mut has_asked, now) {
                return false;
            }
        }
    }

    /// Looks at every connection for those that are idle longest; gives whether there are any.
    fn search_idle(&mut self, mut has_asked: impl FnMut(ConnKey) -> bool, now: Now) -> bool {
        if now.mono_ms < self.shedding.search_at_ms {
            return false;
        }
        // The one that is idle for the shortest time is on top. All have the same time to wait, so
        // the timer says since when.
        let mut longest = BinaryHeap::with_capacity(FOUND_MAX + 1);
        for (conn, client) in self.conns.clients() {
            let Some(timer) = idle_timer(client) else { continue };
            let idle = (self.wheel.due_ms(timer), conn, timer);
            let is_full = longest.len() == FOUND_MAX;
            if is_full && longest.peek().is_some_and(|shortest| *shortest < idle) || has_asked(conn)
            {
                continue;
            }
            longest.push(idle);
            if is_full {
                longest.pop();
            }
        }
        if longest.len() < FOUND_MAX {
            let looks = self.conns.len();
            self.shedding.search_at_ms = now.mono_ms + (looks / LOOKS_PER_MS) as u64;
        }
        let found = longest.into_sorted_vec().into_iter().rev();
        self.shedding.found = found.map(|(_, conn, timer)| (conn, timer)).collect();
        !self.shedding.found.is_empty()
    }
}

/// The timer of a client that waits for a next request, of which nothing is here.
fn idle_timer(client: &Client) -> Option<TimerKey> {
    match (&client.phase, client.timer) {
        (Phase::Head { .. }, Some((timer, ConnTimer::Idle)))
            if client.buffer.is_none() && !client.ready =>
        {
            Some(timer)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::timers::tests::{at, relay};

    fn ask(relay: &mut Relay, conn: ConnKey, now: Now) {
        relay.received(conn, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", now);
        assert!(matches!(relay.poll_output(now), Some(Output::Send { .. })));
    }

    /// Who is closed next.
    fn shed(relay: &mut Relay, now: Now) -> Option<ConnKey> {
        if !relay.shed_idle(|_| false, now) {
            return None;
        }
        match relay.poll_output(now) {
            Some(Output::Close { conn }) => Some(conn),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_is_idle_longest_goes_first_however_often_others_asked_since() {
        let mut relay = relay();
        let conns: Vec<ConnKey> = (0..5).map(|_| relay.accept(None, at(0))).collect();
        for (time, index) in [3, 0, 4, 2].into_iter().enumerate() {
            ask(&mut relay, conns[index], at(100 * time as u64));
        }
        assert_eq!(shed(&mut relay, at(1000)), Some(conns[3]));
        // Found already, but no longer the one; and one that comes to it later.
        ask(&mut relay, conns[0], at(1100));
        ask(&mut relay, conns[1], at(1200));
        assert_eq!(shed(&mut relay, at(1300)), Some(conns[4]));
        assert_eq!(shed(&mut relay, at(1300)), Some(conns[2]));
        assert_eq!(shed(&mut relay, at(1300)), Some(conns[0]));
        assert_eq!(shed(&mut relay, at(1300)), Some(conns[1]));
        assert_eq!(shed(&mut relay, at(1300)), None);
    }

    #[test]
    fn one_search_finds_the_longest_idle_of_very_many_for_very_many() {
        let mut relay = relay();
        let conns: Vec<ConnKey> = (0..3 * FOUND_MAX).map(|_| relay.accept(None, at(0))).collect();
        for (time, conn) in conns.iter().rev().enumerate() {
            ask(&mut relay, *conn, at(100 * time as u64));
        }
        for conn in conns.iter().rev() {
            assert_eq!(shed(&mut relay, at(100_000)), Some(*conn));
        }
        assert_eq!(shed(&mut relay, at(100_000)), None);
    }

    #[test]
    fn one_whose_next_request_has_come_stays_though_it_is_not_read() {
        let mut relay = relay();
        let conns: Vec<ConnKey> = (0..2).map(|_| relay.accept(None, at(0))).collect();
        for (time, conn) in conns.iter().enumerate() {
            ask(&mut relay, *conn, at(100 * time as u64));
        }
        assert!(relay.shed_idle(|conn| conn == conns[0], at(1000)));
        assert!(
            matches!(relay.poll_output(at(0)), Some(Output::Close { conn }) if conn == conns[1])
        );
        assert!(!relay.shed_idle(|_| true, at(1000)));
        assert_eq!(shed(&mut relay, at(1000)), Some(conns[0]));
    }

    #[test]
    fn where_all_are_busy_they_are_not_looked_at_for_each_who_knocks() {
        let mut relay = relay();
        let conns: Vec<ConnKey> =
            (0..3 * LOOKS_PER_MS).map(|_| relay.accept(None, at(0))).collect();
        assert_eq!(shed(&mut relay, at(1000)), None);
        ask(&mut relay, conns[5], at(1000));
        assert_eq!(shed(&mut relay, at(1002)), None);
        assert_eq!(shed(&mut relay, at(1003)), Some(conns[5]));
    }
}
