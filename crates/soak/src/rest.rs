//! Rest: the daemon's memory and descriptors when no client is connected.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use pushserver_testkit::{Daemon, SIZES, counters};

use crate::progress::LOOK;

/// How long the last channels may take to expire.
const LAST: Duration = Duration::from_secs(60);

/// MiB to publish and delete, so that the daemon returns free memory to the system: it does so a
/// second after more than 4 MiB became free (`net/memory_return.rs`).
const GIVEN_BACK_MIB: usize = 8;
const GIVEN_BACK_WITHIN: Duration = Duration::from_millis(2500);

/// How much more resident memory the daemon may have than before the first client: tables that
/// reached their final size.
const KEPT_KIB: usize = 2 << 10;

/// What the daemon holds without clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rest {
    descriptors: usize,
    pub(crate) resident_kib: usize,
}

impl Rest {
    /// Waits until every size that the daemon reports is 0 and no more descriptors are open than
    /// `before`; then makes the daemon return free memory, and measures. `None`: something is left;
    /// a printed line says what.
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

/// The open descriptors in the end; `None`: something is left, and a printed line says what.
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
