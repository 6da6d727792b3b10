//! Ending a task from outside, for one load per poll of it: its waker is left once, not at each poll.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use deterministic::BoxFuture;

#[derive(Default)]
struct Shared {
    aborted: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Shared {
    fn replace_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        std::mem::replace(&mut *self.waker.lock().unwrap_or_else(PoisonError::into_inner), waker)
    }
}

/// A task that can be ended; `None` then.
pub(crate) struct Abortable<T> {
    task: BoxFuture<T>,
    shared: Arc<Shared>,
    /// The waker that was left in `shared`.
    left: Option<Waker>,
}

/// Ends an [`Abortable`].
pub(crate) struct AbortHandle(Arc<Shared>);

/// A task and what ends it.
pub(crate) fn abortable<T>(task: BoxFuture<T>) -> (Abortable<T>, AbortHandle) {
    let shared = Arc::new(Shared::default());
    (Abortable { task, shared: shared.clone(), left: None }, AbortHandle(shared))
}

impl AbortHandle {
    /// The task is not polled again.
    pub(crate) fn abort(&self) {
        self.0.aborted.store(true, Ordering::Release);
        if let Some(waker) = self.0.replace_waker(None) {
            waker.wake();
        }
    }
}

impl<T> Future for Abortable<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        if this.left.as_ref().is_none_or(|left| !left.will_wake(cx.waker())) {
            this.left = Some(cx.waker().clone());
            // Dropped here, outside the lock: it may own the last handle of a task.
            drop(this.shared.replace_waker(Some(cx.waker().clone())));
        }
        // After the waker was left: whoever aborts now finds it.
        if this.shared.aborted.load(Ordering::Acquire) {
            return Poll::Ready(None);
        }
        this.task.as_mut().poll(cx).map(Some)
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
    fn an_aborted_task_is_woken_and_ends_and_a_finished_one_gives_its_result() {
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = Waker::from(counter.clone());
        let mut cx = Context::from_waker(&waker);
        let (mut task, handle) = abortable(Box::pin(std::future::pending::<u8>()));
        assert_eq!(Pin::new(&mut task).poll(&mut cx), Poll::Pending);
        handle.abort();
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert_eq!(Pin::new(&mut task).poll(&mut cx), Poll::Ready(None));
        let (mut task, handle) = abortable(Box::pin(std::future::ready(7)));
        assert_eq!(Pin::new(&mut task).poll(&mut cx), Poll::Ready(Some(7)));
        handle.abort();
    }
}
