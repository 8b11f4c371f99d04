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
    mut round: impl FnMut() -> (Duration, Duration),
) {
    const ROUNDS: usize = 101;
    for _ in 0..5 {
        round();
    }
    let region = allocations();
    let mut times: Vec<_> = (0..ROUNDS).map(|_| round()).collect();
    let allocations = region.change().allocations as f64 / (ROUNDS * each) as f64;
    let each_ns = |time: Duration| time.as_nanos() as f64 / each as f64;
    times.sort_by_key(|(hold, _)| *hold);
    report(&format!("{layer}: hold a request"), each_ns(times[ROUNDS / 2].0), "ns", budgets[0]);
    times.sort_by_key(|(_, deliver)| *deliver);
    report(&format!("{layer}: deliver"), each_ns(times[ROUNDS / 2].1), "ns", budgets[1]);
    report(&format!("{layer}: allocations per delivery"), allocations, "", 0.01);
}

/// Prints a figure with its budget.
pub(crate) fn report(what: &str, figure: f64, unit: &str, budget: f64) {
    let verdict = if figure <= budget { "ok" } else { "OVER BUDGET" };
    println!("{what}: {figure:.1} {unit}, budget {budget} {unit}: {verdict}");
}
