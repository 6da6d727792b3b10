//! One test under many schedules.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `test` with the seeds `0..count`; each gives another order in which ready tasks run. The test makes its harness
/// from the seed it is given.
///
/// # Examples
/// ```
/// mocks::schedules(200, |seed| {
///     let harness = mocks::node_with(seed, |_| {});
///     harness.expect_nothing();
///     harness.finish();
/// });
/// ```
///
/// # Panics
/// With the first seed that fails and why.
pub fn schedules(count: u64, test: impl FnMut(u64)) {
    schedules_in(0..count, test);
}

/// Runs `test` with these seeds; for the one seed that failed, and for going on where others ended.
///
/// # Panics
/// With the first seed that fails and why.
pub fn schedules_in(seeds: Range<u64>, mut test: impl FnMut(u64)) {
    for seed in seeds.clone() {
        // The test is not called again after a panic, so nobody sees what the panic left half done.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            panic!(
                "fails with seed {seed} of {}..{}: {}\nthis seed alone: mocks::schedules_in({seed}..{}, …)",
                seeds.start,
                seeds.end,
                message(&*panic),
                seed + 1
            );
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
