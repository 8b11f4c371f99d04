//! What the pure benches share: an allocator that counts, and a line that puts a figure beside its
//! budget.
#![allow(dead_code, reason = "each bench uses what it needs")]

use std::alloc::System;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts what is allocated from here on.
pub(crate) fn allocations() -> Region<'static, System> {
    Region::new(ALLOCATOR)
}

/// Bytes that are allocated now and were not at the start of `region`.
pub(crate) fn bytes_held(region: &Region<'static, System>) -> f64 {
    let change = region.change();
    change.bytes_allocated as f64 - change.bytes_deallocated as f64
}

/// Runs `round`, which waits for `each` deliveries, and reports the medians of its two times (for
/// holding, for delivering) and what it allocates, all for one delivery. `budgets`: nanoseconds.
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

/// Prints a figure beside its budget.
pub(crate) fn report(what: &str, figure: f64, unit: &str, budget: f64) {
    let verdict = if figure <= budget { "ok" } else { "OVER BUDGET" };
    println!("{what}: {figure:.1} {unit}, budget {budget} {unit}: {verdict}");
}
