//! Eviction: which connection is closed where there are as many as `limits.connections` allows.
//! First one that is kept for the upstream's next request, which costs no more than a dial; then a
//! client that has sent nothing since it connected; then a client that was refused and whose
//! further bytes are dropped; then a client between two requests; last a client that has sent a part
//! of a head, since a crowd that sends a byte at a time would keep everybody out. Of each kind the
//! one that has been so for longest. Never one whose request is held or under way.

use std::collections::BinaryHeap;

use super::client::{Client, ConnTimer, Phase};
use super::{ConnKey, Output, Relay};
use crate::clock::Now;
use crate::wheel::TimerKey;

/// Connections of each kind that one search finds, so that its cost is shared by so many newcomers.
const FOUND_MAX: usize = 256;

/// How many connections may be looked at in each millisecond, a few hundredths of it, where a
/// search finds few: so connection attempts at the limit cannot force a full scan each.
const LOOKS_PER_MS: usize = 1000;

/// Clients that can make room, in the order in which they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spare {
    /// Has sent nothing since it connected.
    Silent,
    /// Was refused, and has been sent its answer.
    Lingering,
    /// Is between two requests.
    Idle,
    /// Has sent a part of a head.
    Begun,
}

const KINDS: [Spare; 4] = [Spare::Silent, Spare::Lingering, Spare::Idle, Spare::Begun];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Eviction {
    /// For each kind the clients that were so for longest at the last search, the longest last,
    /// each with its timer. A client that still has this timer has been so ever since, and no other
    /// client for longer.
    found: [Vec<(ConnKey, TimerKey)>; KINDS.len()],
    /// For each kind: no further search for it before this time, milliseconds.
    search_at_ms: [u64; KINDS.len()],
}

impl Relay {
    /// Closes the connection that can be spared best; gives whether there is one.
    ///
    /// `silent_ms`: a client that has sent nothing, or no whole head, for so long can be spared.
    /// `has_spoken`: the newcomer has sent something; only then a client that was served makes room
    /// for it. `has_asked`: whether a client's next request has come, though it is not read yet.
    pub fn make_room(
        &mut self,
        silent_ms: u64,
        has_spoken: bool,
        mut has_asked: impl FnMut(ConnKey) -> bool,
        now: Now,
    ) -> bool {
        if let Some(conn) = self.proxy.as_mut().and_then(|proxy| proxy.take_oldest_idle()) {
            self.effects.outputs.push_back(Output::Close { conn });
            self.effects.counters.shed += 1;
            return true;
        }
        // The timers that were set `silent_ms` ago or earlier are due by then.
        let young_until_ms =
            now.mono_ms + self.site.limits.header_timeout_ms.saturating_sub(silent_ms);
        let kinds = if has_spoken { &KINDS[..] } else { &KINDS[..Spare::Idle as usize] };
        for kind in kinds.iter().copied() {
            let due_until_ms = match kind {
                Spare::Silent | Spare::Begun => young_until_ms,
                Spare::Lingering | Spare::Idle => u64::MAX,
            };
            let mut spare = self.next_spare(kind, due_until_ms, &mut has_asked);
            if self.eviction.found[kind as usize].is_empty()
                && spare.is_none()
                && self.search_spare(kind, &mut has_asked, now)
            {
                spare = self.next_spare(kind, due_until_ms, &mut has_asked);
            }
            if let Some(conn) = spare {
                self.close(conn, now);
                self.effects.counters.shed += 1;
                return true;
            }
        }
        false
    }

    /// How many clients that have sent nothing could not make room only because they may still speak.
    #[must_use]
    pub fn silent(&self) -> usize {
        self.eviction.found[Spare::Silent as usize].len()
    }

    /// Takes the client of this kind that has been so for longest, of those that were found, if its
    /// timer is due by then.
    fn next_spare(
        &mut self,
        kind: Spare,
        due_until_ms: u64,
        mut has_asked: impl FnMut(ConnKey) -> bool,
    ) -> Option<ConnKey> {
        let found = &mut self.eviction.found[kind as usize];
        while let Some(&(conn, timer)) = found.last() {
            let is_so = self.conns.client(conn).and_then(spare) == Some((kind, timer));
            let is_young = || self.effects.wheel.due_ms(timer).is_none_or(|due| due > due_until_ms);
            if is_so && is_young() {
                // All others are younger.
                return None;
            }
            found.pop();
            if is_so && !has_asked(conn) {
                return Some(conn);
            }
        }
        None
    }

    /// Looks at every connection for those that can be spared, because none of this kind is known;
    /// gives whether it did.
    fn search_spare(
        &mut self,
        kind: Spare,
        mut has_asked: impl FnMut(ConnKey) -> bool,
        now: Now,
    ) -> bool {
        if now.mono_ms < self.eviction.search_at_ms[kind as usize] {
            return false;
        }
        // The one that is so for the shortest time is on top. All of a kind have the same time to
        // wait, so the timer says since when.
        let mut longest = KINDS.map(|_| BinaryHeap::new());
        for (conn, client) in self.conns.clients() {
            let Some((kind, timer)) = spare(client) else { continue };
            let longest = &mut longest[kind as usize];
            let since = (self.effects.wheel.due_ms(timer), conn, timer);
            let is_full = longest.len() == FOUND_MAX;
            if is_full && longest.peek().is_some_and(|shortest| *shortest < since)
                || has_asked(conn)
            {
                continue;
            }
            longest.push(since);
            if is_full {
                longest.pop();
            }
        }
        self.eviction.found = longest.map(|longest| {
            let longest = longest.into_sorted_vec().into_iter().rev();
            longest.map(|(_, conn, timer)| (conn, timer)).collect()
        });
        let next_ms = now.mono_ms + (self.conns.len() / LOOKS_PER_MS) as u64;
        for (found, search_at_ms) in self.eviction.found.iter().zip(&mut self.eviction.search_at_ms)
        {
            if found.len() < FOUND_MAX {
                *search_at_ms = next_ms;
            }
        }
        true
    }
}

/// In what way a client can be spared, and the timer that says since when; `None`: it cannot.
fn spare(client: &Client) -> Option<(Spare, TimerKey)> {
    let has_nothing = client.buffer.is_none() && !client.ready && !client.stalled;
    match (&client.phase, client.timer) {
        (Phase::Head { .. }, Some((timer, ConnTimer::Head))) if has_nothing => {
            Some((Spare::Silent, timer))
        }
        (Phase::Lingering { .. }, Some((timer, ConnTimer::Linger))) => {
            Some((Spare::Lingering, timer))
        }
        (Phase::Head { .. }, Some((timer, ConnTimer::Idle))) if has_nothing => {
            Some((Spare::Idle, timer))
        }
        (Phase::Head { .. }, Some((timer, ConnTimer::Head))) if !client.ready => {
            Some((Spare::Begun, timer))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::timers::tests::{at, relay};
    use crate::relay::{Arrival, Wanted};

    const BEGUN_MESSAGE: &[u8] = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nmessa";

    fn ask(relay: &mut Relay, conn: ConnKey, now: Now) {
        relay.received(conn, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", now);
        assert!(matches!(relay.poll_output(Wanted::All, now), Some(Output::Send { .. })));
    }

    /// Who is closed next.
    fn shed(relay: &mut Relay, now: Now) -> Option<ConnKey> {
        if !relay.make_room(1_000, true, |_| false, now) {
            return None;
        }
        match relay.poll_output(Wanted::All, now) {
            Some(Output::Close { conn }) => Some(conn),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_is_idle_longest_goes_first_however_often_others_asked_since() {
        let mut relay = relay();
        let conns: Vec<ConnKey> = (0..5).map(|_| relay.accept(Arrival::default(), at(0))).collect();
        for (time, index) in [3, 0, 4, 2].into_iter().enumerate() {
            ask(&mut relay, conns[index], at(100 * time as u64));
        }
        assert_eq!(shed(&mut relay, at(700)), Some(conns[3]));
        // Found already, but no longer the one; and one that comes to it later.
        ask(&mut relay, conns[0], at(750));
        ask(&mut relay, conns[1], at(800));
        assert_eq!(shed(&mut relay, at(850)), Some(conns[4]));
        assert_eq!(shed(&mut relay, at(850)), Some(conns[2]));
        assert_eq!(shed(&mut relay, at(850)), Some(conns[0]));
        assert_eq!(shed(&mut relay, at(850)), Some(conns[1]));
        assert_eq!(shed(&mut relay, at(850)), None);
    }

    #[test]
    fn one_search_finds_the_longest_idle_of_very_many_for_very_many() {
        let mut relay = relay();
        // So many that a search which finds few puts the next one off.
        let count = (3 * LOOKS_PER_MS).next_multiple_of(FOUND_MAX);
        let conns: Vec<ConnKey> =
            (0..count).map(|_| relay.accept(Arrival::default(), at(0))).collect();
        for (time, conn) in conns.iter().rev().enumerate() {
            ask(&mut relay, *conn, at(10 * time as u64));
        }
        for conn in conns.iter().rev() {
            assert_eq!(shed(&mut relay, at(100_000)), Some(*conn));
        }
        assert_eq!(shed(&mut relay, at(100_000)), None);
    }

    #[test]
    fn the_silent_make_room_first_then_the_refused_the_idle_and_heads_that_do_not_end() {
        let mut relay = relay();
        let idle = relay.accept(Arrival::default(), at(0));
        ask(&mut relay, idle, at(0));
        let refused = relay.accept(Arrival::default(), at(0));
        relay.received(refused, b"nonsense\r\n\r\n", at(10));
        while relay.poll_output(Wanted::All, at(10)).is_some() {}
        let begun = relay.accept(Arrival::default(), at(0));
        relay.received(begun, b"G", at(10));
        let under_way = relay.accept(Arrival::default(), at(0));
        relay.received(under_way, BEGUN_MESSAGE, at(10));
        let silent = [100, 200].map(|time| relay.accept(Arrival::default(), at(time)));
        let room = |relay: &mut Relay, silent_ms, has_spoken, now| {
            let is_made = relay.make_room(silent_ms, has_spoken, |_| false, now);
            match relay.poll_output(Wanted::All, now) {
                Some(Output::Close { conn }) if is_made => Some(conn),
                None if !is_made => None,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(room(&mut relay, 1_000, false, at(1_100)), Some(silent[0]));
        // The other one may still speak.
        assert_eq!(room(&mut relay, 1_000, false, at(1_190)), Some(refused));
        assert_eq!(room(&mut relay, 1_000, false, at(1_190)), None);
        assert_eq!(room(&mut relay, 100, false, at(1_190)), Some(silent[1]));
        // No newcomer that is silent itself takes the place of one that was served.
        assert_eq!(room(&mut relay, 0, false, at(9_000)), None);
        // Nor of one that has begun to speak.
        assert_eq!(room(&mut relay, 0, true, at(1_190)), Some(idle));
        assert_eq!(room(&mut relay, 0, false, at(9_000)), None);
        let young = relay.accept(Arrival::default(), at(8_500));
        relay.received(young, b"G", at(8_600));
        assert_eq!(room(&mut relay, 1_000, true, at(9_000)), Some(begun));
        assert_eq!(room(&mut relay, 1_000, true, at(9_000)), None);
        assert_eq!(room(&mut relay, 1_000, true, at(9_500)), Some(young));
        assert_eq!(room(&mut relay, 0, true, at(20_000)), None);
    }

    #[test]
    fn one_whose_next_request_has_come_stays_though_it_is_not_read() {
        let mut relay = relay();
        let conns: Vec<ConnKey> = (0..2).map(|_| relay.accept(Arrival::default(), at(0))).collect();
        for (time, conn) in conns.iter().enumerate() {
            ask(&mut relay, *conn, at(100 * time as u64));
        }
        assert!(relay.make_room(1_000, true, |conn| conn == conns[0], at(900)));
        assert!(
            matches!(relay.poll_output(Wanted::All, at(0)), Some(Output::Close { conn }) if conn == conns[1])
        );
        assert!(!relay.make_room(1_000, true, |_| true, at(900)));
        assert_eq!(shed(&mut relay, at(1000)), Some(conns[0]));
    }

    #[test]
    fn where_all_are_busy_they_are_not_looked_at_for_each_newcomer() {
        let mut relay = relay();
        let conns: Vec<ConnKey> =
            (0..3 * LOOKS_PER_MS).map(|_| relay.accept(Arrival::default(), at(0))).collect();
        for conn in &conns {
            relay.received(*conn, BEGUN_MESSAGE, at(0));
        }
        assert_eq!(shed(&mut relay, at(1000)), None);
        relay.received(conns[5], b"ge", at(1000));
        assert!(matches!(relay.poll_output(Wanted::All, at(1000)), Some(Output::Send { .. })));
        assert_eq!(shed(&mut relay, at(1002)), None);
        assert_eq!(shed(&mut relay, at(1003)), Some(conns[5]));
    }
}
