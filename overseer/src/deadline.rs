//! Deadlines of answers: one coarse wheel per sender, one timer for all of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Context;
use std::time::Duration;

use deterministic::Environment;
use futures::FutureExt as _;
use futures::future::AbortHandle;
use futures::task::AtomicWaker;
use overseer_core::sync::lock;

/// Deadlines are rounded up to a multiple of this, milliseconds.
const TICK_MS: u64 = 64;

#[derive(Default)]
struct Expiry {
    over: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Default)]
struct State {
    /// By tick and number.
    waiting: BTreeMap<(u64, u64), Arc<Expiry>>,
    next: u64,
    timer: Option<AbortHandle>,
}

/// The deadlines of one sender. Its timer runs only while an answer is awaited.
pub(crate) struct Wheel {
    environment: Environment,
    state: Mutex<State>,
}

impl Wheel {
    pub(crate) fn new(environment: Environment) -> Self {
        Self { environment, state: Mutex::default() }
    }

    /// A deadline after this time, rounded up to the next tick.
    pub(crate) fn after(self: &Arc<Self>, within: Duration) -> Deadline {
        let at = self.environment.clock.steady().saturating_add(within);
        let tick = u64::try_from(at.as_millis()).unwrap_or(u64::MAX) / TICK_MS + 1;
        let expiry = Arc::new(Expiry::default());
        let mut state = lock(&self.state);
        let key = (tick, state.next);
        state.next += 1;
        let is_first = state.waiting.first_key_value().is_none_or(|(first, _)| key.0 < first.0);
        state.waiting.insert(key, expiry.clone());
        // The timer aims at the earliest deadline, so an earlier one needs another timer.
        if is_first || state.timer.is_none() {
            let (task, timer) = futures::future::abortable(Self::run(self.clone()));
            state.timer.replace(timer).iter().for_each(AbortHandle::abort);
            drop(state);
            // An aborted timer has nothing left to wake.
            self.environment.spawner.spawn("answer-deadlines", task.map(drop).boxed());
        }
        Deadline { wheel: self.clone(), key, expiry }
    }

    async fn run(wheel: Arc<Self>) {
        loop {
            let first = lock(&wheel.state).waiting.first_key_value().map(|((tick, _), _)| *tick);
            let Some(tick) = first else { return };
            let at = Duration::from_millis(tick.saturating_mul(TICK_MS));
            let clock = &wheel.environment.clock;
            clock.sleep(at.saturating_sub(clock.steady())).await;
            let (over, done) = {
                let mut state = lock(&wheel.state);
                let later = state.waiting.split_off(&(tick + 1, 0));
                let over = std::mem::replace(&mut state.waiting, later);
                let done = state.waiting.is_empty();
                if done {
                    state.timer = None;
                }
                (over, done)
            };
            for expiry in over.into_values() {
                expiry.over.store(true, Ordering::Release);
                expiry.waker.wake();
            }
            if done {
                return;
            }
        }
    }
}

/// One deadline. Dropping it removes it; with the last one the timer ends.
pub(crate) struct Deadline {
    wheel: Arc<Wheel>,
    key: (u64, u64),
    expiry: Arc<Expiry>,
}

impl Deadline {
    /// Whether it is over; else leaves the waker.
    pub(crate) fn is_over(&self, cx: &Context<'_>) -> bool {
        self.expiry.waker.register(cx.waker());
        self.expiry.over.load(Ordering::Acquire)
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let mut state = lock(&self.wheel.state);
        state.waiting.remove(&self.key);
        if state.waiting.is_empty()
            && let Some(timer) = state.timer.take()
        {
            timer.abort();
        }
    }
}
