//! Support: a counting allocator, and lines of figures with budgets, for the benches without
//! sockets.
#![allow(dead_code, reason = "each bench uses what it needs")]

use std::alloc::System;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Starts to count allocations.
pub(crate) fn allocations() -> Region<'static, System> {
    Region::new(ALLOCATOR)
}

/// Bytes allocated now beyond those at the start of `region`.
pub(crate) fn bytes_held(region: &Region<'static, System>) -> f64 {
    let change = region.change();
    change.bytes_allocated as f64 - change.bytes_deallocated as f64
}

/// Runs `round`, which makes `each` deliveries, many times. Reports the medians of its two times
/// (to hold, to deliver) and its allocations, all per delivery. `budgets`: nanoseconds.
pub(crate) fn report_rounds(
    layer: &str,
    each: usize,
    budgets: [f64; 2],
    round: impl FnMut() -> (Duration, Duration),
) {
    let (mut times, allocations) = run(each, round);
    times.sort_by_key(|(hold, _)| *hold);
    let hold = median_ns(&times, each, |time| time.0);
    report(&format!("{layer}: hold a request"), hold, "ns", budgets[0]);
    times.sort_by_key(|(_, deliver)| *deliver);
    let deliver = median_ns(&times, each, |time| time.1);
    report(&format!("{layer}: deliver"), deliver, "ns", budgets[1]);
    report(&format!("{layer}: allocations per delivery"), allocations, "", 0.01);
}

/// As [`report_rounds`], of deliveries to streams, which hold nothing again. `budget`: nanoseconds.
pub(crate) fn report_streams(
    layer: &str,
    each: usize,
    budget: f64,
    round: impl FnMut() -> Duration,
) {
    let (mut times, allocations) = run(each, round);
    times.sort();
    report(&format!("{layer}: deliver"), median_ns(&times, each, |time| *time), "ns", budget);
    report(&format!("{layer}: allocations per delivery"), allocations, "", 0.01);
}

/// Runs `round` many times: what it returned, and the allocations per delivery.
fn run<T>(each: usize, mut round: impl FnMut() -> T) -> (Vec<T>, f64) {
    const ROUNDS: usize = 3;
    for _ in 0..5 {
        round();
    }
    let mut times = Vec::with_capacity(ROUNDS);
    let region = allocations();
    times.extend((0..ROUNDS).map(|_| round()));
    (times, region.change().allocations as f64 / (ROUNDS * each) as f64)
}

/// Nanoseconds per delivery, of the middle one of sorted rounds.
fn median_ns<T>(sorted: &[T], each: usize, time: impl Fn(&T) -> Duration) -> f64 {
    time(&sorted[sorted.len() / 2]).as_nanos() as f64 / each as f64
}

/// Prints a figure with its budget.
pub(crate) fn report(what: &str, figure: f64, unit: &str, budget: f64) {
    let verdict = if figure <= budget { "ok" } else { "OVER BUDGET" };
    println!("{what}: {figure:.1} {unit}, budget {budget} {unit}: {verdict}");
}
