//! The task of a subsystem: it runs it, can be ended from outside for one load per poll, and tells how it ended.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use deterministic::{BoxFuture, panicked};
use overseer_core::sync::{Apart, lock};
use pin_project_lite::pin_project;
use tokio::sync::mpsc;

use crate::restart::Outcome;

#[derive(Default)]
struct Shared {
    aborted: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Shared {
    fn replace_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        std::mem::replace(&mut *lock(&self.waker), waker)
    }
}

/// Ends a task.
pub(crate) struct AbortHandle(Arc<Shared>);

impl AbortHandle {
    /// The task is not polled again.
    pub(crate) fn abort(&self) {
        self.0.aborted.store(true, Ordering::Release);
        if let Some(waker) = self.0.replace_waker(None) {
            waker.wake();
        }
    }
}

/// Who ended, and how.
pub(crate) type End = (&'static str, Outcome);

/// Makes the task of one subsystem.
pub(crate) struct Launch {
    /// The subsystem's name.
    pub(crate) name: &'static str,
    /// Where the task says how it ended. It has a place for each subsystem. The task lets go of it after its subsystem.
    pub(crate) ended: mpsc::Sender<End>,
}

impl Launch {
    /// The task that runs this, and what ends it.
    pub(crate) fn task(self, running: impl Future<Output = Outcome> + Send + 'static) -> (BoxFuture<()>, AbortHandle) {
        let shared = Arc::new(Shared::default());
        let task = Task { running: Some(running), shared: shared.clone(), left: None, launch: self, apart: Apart(()) };
        (Box::pin(task), AbortHandle(shared))
    }
}

pin_project! {
    /// All that a subsystem is while it sleeps, but for its mailbox, in one piece: each wake has to fetch it.
    struct Task<F> {
        // There until it is ended from outside.
        #[pin]
        running: Option<F>,
        shared: Arc<Shared>,
        // The waker that was left in `shared`: once, not at each poll.
        left: Option<Waker>,
        launch: Launch,
        // One worker writes here, another one beside it: on cache lines of its own.
        apart: Apart<()>,
    }
}

impl<F: Future<Output = Outcome>> Future for Task<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.left.as_ref().is_none_or(|left| !left.will_wake(cx.waker())) {
            *this.left = Some(cx.waker().clone());
            // Dropped here, outside the lock: it may own the last handle of a task.
            drop(this.shared.replace_waker(Some(cx.waker().clone())));
        }
        // After the waker was left: whoever aborts now finds it.
        let outcome = if this.shared.aborted.load(Ordering::Acquire) {
            // What it holds is foreign, and may panic when it is dropped.
            let dropped = catch_unwind(AssertUnwindSafe(|| this.running.set(None)));
            let Err(panic) = dropped else { return Poll::Ready(()) };
            Err(panicked(panic))
        } else {
            let Some(running) = this.running.as_pin_mut() else { return Poll::Ready(()) };
            let Poll::Ready(outcome) = running.poll(cx) else { return Poll::Pending };
            outcome
        };
        // The channel has room for each subsystem; nobody may listen any more after the deadline.
        let _ = this.launch.ended.try_send((this.launch.name, outcome));
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    struct Counter(AtomicUsize);
    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn an_aborted_task_is_woken_and_ends_and_a_finished_one_tells_how() {
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = Waker::from(counter.clone());
        let mut cx = Context::from_waker(&waker);
        let (ended, mut ends) = mpsc::channel(2);
        let launch = |name| Launch { name, ended: ended.clone() };
        let (mut task, abort) = launch("stuck").task(std::future::pending());
        assert_eq!(task.as_mut().poll(&mut cx), Poll::Pending);
        abort.abort();
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert_eq!(task.as_mut().poll(&mut cx), Poll::Ready(()));
        assert!(ends.try_recv().is_err(), "it did not end by itself");
        let (mut task, abort) = launch("done").task(std::future::ready(Ok(Ok(()))));
        assert_eq!(task.as_mut().poll(&mut cx), Poll::Ready(()));
        assert!(matches!(ends.try_recv(), Ok(("done", Ok(Ok(()))))));
        abort.abort();
    }
}
