//! The framework from outside: ordering, wiring, supervision, taps.

mod answers;
mod compile_fail;
mod fairness;
mod front_page;
mod health;
mod ordering;
mod outbox;
mod panics;
mod replay;
mod supervision;
mod tapes;
mod taps;
mod wiring;

use std::collections::BTreeSet;

use overseer::View;

/// A heartbeat of numbers.
pub(crate) enum Beats {}

impl View for Beats {
    type Update = u64;
    type State = BTreeSet<u64>;

    fn apply(state: &mut BTreeSet<u64>, update: &u64) {
        state.insert(*update);
    }

    fn catch_up(_: &BTreeSet<u64>, now: &BTreeSet<u64>) -> u64 {
        now.last().copied().unwrap_or_default()
    }
}
