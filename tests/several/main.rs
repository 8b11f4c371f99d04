//! Several daemons on one Redis, in virtual time: relays without sockets, and a Redis in memory
//! (`testkit::fake_redis`). What passes between them comes late, in pieces cut anywhere, and is
//! lost with its connection at any byte; the server freezes, or ends and comes back. Subscribers
//! change the daemon at every request. At the end each must have had every message that was kept
//! and not deleted, once and in order.
//!
//! `SEVERAL_SEEDS=1000` runs more seeds, `SEVERAL_SEED=17` one of them.

mod daemon;
mod follower;
mod truth;
mod world;

use self::world::World;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// So many worlds, as many as there are processors at a time.
fn run(first: u64, count: u64) {
    let seeds = number("SEVERAL_SEED").map_or(first..first + count, |seed| seed..seed + 1);
    let next = std::sync::atomic::AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = std::panic::catch_unwind(|| World::new(seed).play());
                    if let Err(panic) = outcome {
                        eprintln!("SEVERAL_SEED={seed}");
                        std::panic::resume_unwind(panic);
                    }
                }
            });
        }
    });
}

#[test]
fn every_subscriber_of_any_daemon_gets_every_message_once_and_in_order() {
    run(1, number("SEVERAL_SEEDS").unwrap_or(40));
}
