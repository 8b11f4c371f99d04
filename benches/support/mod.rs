//! What the pure benches share: an allocator that counts, and a line that puts a figure beside its
//! budget.
#![allow(dead_code, reason = "each bench uses what it needs")]

use std::alloc::System;
use std::time::Instant;

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

/// Median nanoseconds of one of the `each` operations in `round`, over `rounds` rounds.
pub(crate) fn median_ns(rounds: usize, each: usize, mut round: impl FnMut()) -> f64 {
    let mut ns: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_nanos() as f64 / each as f64
        })
        .collect();
    ns.sort_by(f64::total_cmp);
    ns[ns.len() / 2]
}

/// Prints a figure beside its budget.
pub(crate) fn report(what: &str, figure: f64, unit: &str, budget: f64) {
    let verdict = if figure <= budget { "ok" } else { "OVER BUDGET" };
    println!("{what}: {figure:.1} {unit}, budget {budget} {unit}: {verdict}");
}
