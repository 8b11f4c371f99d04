//! Wheel: the cost of a timer. Prints nanoseconds to set and cancel one, and to set and expire one,
//! with 100,000 timers in the wheel, with budgets. Run with `cargo bench --bench wheel`.

use std::hint::black_box;
use std::time::Instant;

use pushserver::arena::Key;
use pushserver::wheel::{TimerKey, Wheel};

/// As large as the timers of the hub and the relay.
#[derive(Clone, Copy)]
#[expect(dead_code, reason = "as in the daemon, there is more than one kind")]
enum Timer {
    Poll(Key<()>),
    Idle(Key<()>),
}

const TIMERS: usize = 100_000;
const ROUNDS: usize = 31;

fn main() {
    report("set + cancel", 60.0, &set_and_cancel());
    // Twice as much: a timer 50 seconds ahead moves down two levels before it is due.
    report("set + expire", 120.0, &set_and_expire());
}

/// Cancels a random timer and sets it again, as a delivery does to held polls: they hardly ever
/// expire.
fn set_and_cancel() -> Vec<f64> {
    let mut random = Random(1);
    let mut wheel = Wheel::new(0);
    let mut keys: Vec<TimerKey> =
        (0..TIMERS).map(|n| wheel.set(random.hold_ms(), timer(n))).collect();
    measure(|| {
        for _ in 0..TIMERS {
            let n = random.below(TIMERS as u64) as usize;
            wheel.cancel(black_box(keys[n]));
            keys[n] = wheel.set(random.hold_ms(), timer(n));
        }
    })
}

/// Sets 100,000 timers, then advances time in steps of 10 ms until none is left.
fn set_and_expire() -> Vec<f64> {
    let mut random = Random(1);
    let mut wheel = Wheel::new(0);
    let mut now_ms = 0;
    measure(|| {
        for n in 0..TIMERS {
            wheel.set(now_ms + random.hold_ms(), timer(n));
        }
        while !wheel.is_empty() {
            now_ms += 10;
            while let Some(timer) = wheel.pop_expired(now_ms) {
                black_box(timer);
            }
        }
    })
}

fn timer(n: usize) -> Timer {
    Timer::Poll(Key::from_bits(n as u64))
}

/// Nanoseconds for one of the `TIMERS` operations of `round`, for each round but the first.
fn measure(mut round: impl FnMut()) -> Vec<f64> {
    round();
    let time = |_| {
        let start = Instant::now();
        round();
        start.elapsed().as_nanos() as f64 / TIMERS as f64
    };
    (0..ROUNDS).map(time).collect()
}

fn report(what: &str, budget: f64, ns: &[f64]) {
    let mut ns = ns.to_vec();
    ns.sort_by(f64::total_cmp);
    let (median, least, most) = (ns[ns.len() / 2], ns[0], ns[ns.len() - 1]);
    let verdict = if median <= budget { "ok" } else { "OVER BUDGET" };
    println!(
        "wheel: {what}: {median:.1} ns ({least:.1} to {most:.1}), budget {budget} ns: {verdict}"
    );
}

/// A linear congruential generator: too cheap to distort the measurement.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// 55 seconds, up to a tenth earlier: the timeout of a held poll.
    fn hold_ms(&mut self) -> u64 {
        49_500 + self.below(5_500)
    }
}
