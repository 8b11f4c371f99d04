//! Rest: what the daemon holds when no client is connected.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use pushserver_testkit::{Daemon, SIZES, counters};

use crate::progress::LOOK;

/// How long the last channels may take to expire.
const LAST: Duration = Duration::from_secs(60);

/// The daemon gives memory back when more than 4 MiB have gone, a second later
/// (`net/memory_return.rs`).
const GIVEN_BACK_MIB: usize = 8;
const GIVEN_BACK_WITHIN: Duration = Duration::from_millis(2500);

/// How much more memory the daemon may have with nobody there than before the first came: tables
/// that never grow further.
const KEPT_KIB: usize = 2 << 10;

/// What the daemon has with nobody there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rest {
    descriptors: usize,
    pub(crate) resident_kib: usize,
}

impl Rest {
    /// Waits until every size that the daemon counts is 0, and as few descriptors are open as
    /// `before`; then makes it give back what it does not use, and looks. `None`: something is
    /// left, as it says.
    pub(crate) fn reached(daemon: &Daemon, before: Option<Self>) -> Option<Self> {
        until_nothing_is_left(daemon, before)?;
        let mut client = daemon.connect();
        for _ in 0..GIVEN_BACK_MIB {
            let status = client.post("/p/all/much", &vec![b'x'; 1 << 20]).answer().status;
            assert_eq!(status, 202);
        }
        client.send("DELETE /p/all/much HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        drop(client);
        let gone = Instant::now();
        let descriptors = until_nothing_is_left(daemon, before)?;
        let mut resident_kib = usize::MAX;
        while gone.elapsed() < GIVEN_BACK_WITHIN {
            resident_kib = resident_kib.min(daemon.vitals().resident_kib());
            thread::sleep(LOOK);
        }
        let rest = Self { descriptors, resident_kib };
        if before.is_some_and(|before| resident_kib > before.resident_kib + KEPT_KIB) {
            println!("too much memory is left: {rest:?}");
            return None;
        }
        Some(rest)
    }
}

/// Gives how many descriptors are open at last; `None`: too much is left, as it says.
fn until_nothing_is_left(daemon: &Daemon, before: Option<Rest>) -> Option<usize> {
    let begin = Instant::now();
    loop {
        let counters = counters(daemon);
        let left: BTreeMap<&str, Option<&u64>> = SIZES
            .iter()
            .map(|name| (*name, counters.get(*name)))
            .filter(|(_, size)| *size != Some(&0))
            .collect();
        let descriptors = daemon.vitals().descriptors();
        if left.is_empty() && before.is_none_or(|before| descriptors <= before.descriptors) {
            return Some(descriptors);
        }
        if begin.elapsed() > LAST {
            println!("left after {} s: {left:?} {descriptors} descriptors", LAST.as_secs());
            return None;
        }
        thread::sleep(Duration::from_millis(200));
    }
}
