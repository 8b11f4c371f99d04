//! Eviction: which connection is closed when `limits.connections` is reached; it closes none
//! itself.
//!
//! First a connection that is kept for the next request to the upstream, which costs no more than a
//! dial; then a client that has sent nothing since it connected; then a client that was refused and
//! whose further bytes are dropped; then a client between two requests; last a client that has sent
//! a part of a head, since many that send a byte at a time would keep all others out. Of each kind
//! the one that has been so for longest. Never a client whose request is held or under way,
//! nor one whose next bytes wait to be read.

use std::collections::BinaryHeap;

use super::client::{Client, ConnTimer, Phase};
use super::conn::Connections;
use super::conn_key::ConnKey;
use super::effects::ConnWheel;
use crate::clock::Now;
use crate::wheel::TimerKey;

/// Connections of each kind that one search finds, so that so many newcomers share its cost.
const FOUND_MAX: usize = 256;

/// How many connections may be looked at in each millisecond, a few hundredths of it, where a
/// search finds few: so connection attempts at the limit cannot force a full scan each.
const LOOKS_PER_MS: usize = 1000;

/// Why a client can be spared; in the order in which clients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Has sent nothing since it connected.
    Silent,
    /// Was refused, and has been sent its answer.
    Lingering,
    /// Is between two requests.
    Idle,
    /// Has sent a part of a head.
    Begun,
}

const KINDS: [Kind; 4] = [Kind::Silent, Kind::Lingering, Kind::Idle, Kind::Begun];

/// What can be spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spare {
    /// The connection that can be spared best, if there is one.
    pub conn: Option<ConnKey>,
    /// How many clients have sent nothing and cannot be spared only because they may still do so.
    pub silent: usize,
}

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

impl Eviction {
    /// The connection that can be spared best: `kept` for the upstream, else a client. It stays the
    /// answer until it is closed, sends something, or is known to have.
    ///
    /// `until_ms`: a client that has sent nothing, or no whole head, cannot be spared if its timer
    /// is due later. `has_spoken`: the newcomer has sent something; only then a client that was
    /// served is spared for it.
    pub(super) fn spare(
        &mut self,
        kept: Option<ConnKey>,
        conns: &Connections,
        wheel: &ConnWheel,
        (until_ms, has_spoken): (u64, bool),
        now: Now,
    ) -> Spare {
        let conn = kept.or_else(|| self.client(conns, wheel, (until_ms, has_spoken), now));
        Spare { conn, silent: self.found[Kind::Silent as usize].len() }
    }

    fn client(
        &mut self,
        conns: &Connections,
        wheel: &ConnWheel,
        (until_ms, has_spoken): (u64, bool),
        now: Now,
    ) -> Option<ConnKey> {
        let kinds = if has_spoken { &KINDS[..] } else { &KINDS[..Kind::Idle as usize] };
        kinds.iter().find_map(|&kind| {
            let due_until_ms = match kind {
                Kind::Silent | Kind::Begun => until_ms,
                Kind::Lingering | Kind::Idle => u64::MAX,
            };
            let best = self.next(kind, due_until_ms, conns, wheel);
            if best.is_none()
                && self.found[kind as usize].is_empty()
                && self.search(kind, conns, wheel, now)
            {
                return self.next(kind, due_until_ms, conns, wheel);
            }
            best
        })
    }

    /// The client of this kind that has been so for longest, of those that were found, if its timer
    /// is due by then.
    fn next(
        &mut self,
        kind: Kind,
        due_until_ms: u64,
        conns: &Connections,
        wheel: &ConnWheel,
    ) -> Option<ConnKey> {
        let found = &mut self.found[kind as usize];
        while let Some(&(conn, timer)) = found.last() {
            if conns.client(conn).and_then(kind_of) == Some((kind, timer)) {
                // If it is too young all others are younger.
                return wheel.due_ms(timer).is_some_and(|due| due <= due_until_ms).then_some(conn);
            }
            found.pop();
        }
        None
    }

    /// Looks at every connection for those that can be spared, because none of this kind is known;
    /// gives whether it did.
    fn search(&mut self, kind: Kind, conns: &Connections, wheel: &ConnWheel, now: Now) -> bool {
        if now.mono_ms < self.search_at_ms[kind as usize] {
            return false;
        }
        // The one that is so for the shortest time is on top. All of a kind have the same time to
        // wait, so the timer says since when.
        let mut longest = KINDS.map(|_| BinaryHeap::new());
        for (conn, client) in conns.clients() {
            let Some((kind, timer)) = kind_of(client) else { continue };
            let longest = &mut longest[kind as usize];
            let since = (wheel.due_ms(timer), conn, timer);
            let is_full = longest.len() == FOUND_MAX;
            if is_full && longest.peek().is_some_and(|shortest| *shortest < since) {
                continue;
            }
            longest.push(since);
            if is_full {
                longest.pop();
            }
        }
        self.found = longest.map(|longest| {
            let longest = longest.into_sorted_vec().into_iter().rev();
            longest.map(|(_, conn, timer)| (conn, timer)).collect()
        });
        let next_ms = now.mono_ms + (conns.len() / LOOKS_PER_MS) as u64;
        for (found, search_at_ms) in self.found.iter().zip(&mut self.search_at_ms) {
            if found.len() < FOUND_MAX {
                *search_at_ms = next_ms;
            }
        }
        true
    }
}

/// Why a client can be spared, and the timer that says since when; `None`: it cannot.
fn kind_of(client: &Client) -> Option<(Kind, TimerKey)> {
    if client.unread {
        return None;
    }
    let has_nothing = client.buffer.is_none() && !client.ready && !client.stalled;
    match (client.phase(), client.timer) {
        (Phase::Head { .. }, Some((timer, ConnTimer::Head))) if has_nothing => {
            Some((Kind::Silent, timer))
        }
        (Phase::Lingering { .. }, Some((timer, ConnTimer::Linger))) => {
            Some((Kind::Lingering, timer))
        }
        (Phase::Head { .. }, Some((timer, ConnTimer::Idle))) if has_nothing => {
            Some((Kind::Idle, timer))
        }
        (Phase::Head { .. }, Some((timer, ConnTimer::Head))) if !client.ready => {
            Some((Kind::Begun, timer))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::timers::tests::{at, relay};
    use crate::relay::{Arrival, Input, Output, Relay, Wanted};

    const BEGUN_MESSAGE: &[u8] = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nmessa";

    fn ask(relay: &mut Relay, conn: ConnKey, now: Now) {
        relay.handle_input(conn, Input::Received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), now);
        assert!(matches!(relay.poll_output(Wanted::All, now), Some(Output::Send { .. })));
    }

    /// Who is closed next.
    fn shed(relay: &mut Relay, now: Now) -> Option<ConnKey> {
        let conn = relay.spare(1_000, true, now).conn?;
        relay.handle_input(conn, Input::Evicted, now);
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
        relay.handle_input(refused, Input::Received(b"nonsense\r\n\r\n"), at(10));
        while relay.poll_output(Wanted::All, at(10)).is_some() {}
        let begun = relay.accept(Arrival::default(), at(0));
        relay.handle_input(begun, Input::Received(b"G"), at(10));
        let under_way = relay.accept(Arrival::default(), at(0));
        relay.handle_input(under_way, Input::Received(BEGUN_MESSAGE), at(10));
        let silent = [100, 200].map(|time| relay.accept(Arrival::default(), at(time)));
        let room = |relay: &mut Relay, silent_ms, has_spoken, now| {
            let spare = relay.spare(silent_ms, has_spoken, now).conn;
            if let Some(conn) = spare {
                relay.handle_input(conn, Input::Evicted, now);
            }
            match relay.poll_output(Wanted::All, now) {
                Some(Output::Close { conn }) if spare == Some(conn) => spare,
                None if spare.is_none() => None,
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
        relay.handle_input(young, Input::Received(b"G"), at(8_600));
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
        assert_eq!(relay.spare(1_000, true, at(900)).conn, Some(conns[0]));
        relay.handle_input(conns[0], Input::Unread, at(900));
        assert_eq!(shed(&mut relay, at(900)), Some(conns[1]));
        assert_eq!(relay.spare(1_000, true, at(900)).conn, None);
        // Another search does not find it either; until it is read.
        assert_eq!(relay.spare(1_000, true, at(990)).conn, None);
        relay.read_max(conns[0]);
        assert_eq!(shed(&mut relay, at(1000)), Some(conns[0]));
    }

    #[test]
    fn where_all_are_busy_they_are_not_looked_at_for_each_newcomer() {
        let mut relay = relay();
        let conns: Vec<ConnKey> =
            (0..3 * LOOKS_PER_MS).map(|_| relay.accept(Arrival::default(), at(0))).collect();
        for conn in &conns {
            relay.handle_input(*conn, Input::Received(BEGUN_MESSAGE), at(0));
        }
        assert_eq!(shed(&mut relay, at(1000)), None);
        relay.handle_input(conns[5], Input::Received(b"ge"), at(1000));
        assert!(matches!(relay.poll_output(Wanted::All, at(1000)), Some(Output::Send { .. })));
        assert_eq!(shed(&mut relay, at(1002)), None);
        assert_eq!(shed(&mut relay, at(1003)), Some(conns[5]));
    }
}
