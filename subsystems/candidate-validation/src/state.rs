//! The queue of validations: at most a given number run, the rest wait in order. Pure.

use std::collections::VecDeque;

/// What waits for its turn.
pub(crate) trait Waiting {
    /// Memory held, in bytes.
    fn bytes(&self) -> usize;
    /// Whether nobody wants the answer any more.
    fn is_abandoned(&self) -> bool;
}

/// The queue.
pub(crate) struct Queue<T> {
    waiting: VecDeque<T>,
    waiting_bytes: usize,
    running: usize,
    limits: QueueLimits,
}

/// Bounds of a [`Queue`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    /// Validations at once.
    pub(crate) running: usize,
    /// Validations that wait.
    pub(crate) waiting: usize,
    /// Their memory, in bytes.
    pub(crate) waiting_bytes: usize,
}

impl<T: Waiting> Queue<T> {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self { waiting: VecDeque::new(), waiting_bytes: 0, running: 0, limits }
    }

    /// Takes a request in; hands it back if the queue is full.
    pub(crate) fn push(&mut self, request: T) -> Result<(), T> {
        let bytes = self.waiting_bytes.saturating_add(request.bytes());
        if self.waiting.len() >= self.limits.waiting || bytes > self.limits.waiting_bytes {
            return Err(request);
        }
        self.waiting_bytes = bytes;
        self.waiting.push_back(request);
        Ok(())
    }

    /// The next request to run, if there is room; it counts as running until [`Self::ended`].
    pub(crate) fn start(&mut self) -> Option<T> {
        while self.running < self.limits.running {
            let request = self.waiting.pop_front()?;
            self.waiting_bytes = self.waiting_bytes.saturating_sub(request.bytes());
            if !request.is_abandoned() {
                self.running += 1;
                return Some(request);
            }
        }
        None
    }

    /// One of those that run has ended.
    pub(crate) fn ended(&mut self) {
        self.running = self.running.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Request(u32, usize, bool);

    impl Waiting for Request {
        fn bytes(&self) -> usize {
            self.1
        }
        fn is_abandoned(&self) -> bool {
            self.2
        }
    }

    fn queue() -> Queue<Request> {
        Queue::new(QueueLimits { running: 2, waiting: 3, waiting_bytes: 100 })
    }

    #[test]
    fn runs_in_order_and_not_more_than_allowed() {
        let mut queue = queue();
        for number in 0..3 {
            queue.push(Request(number, 10, false)).unwrap();
        }
        assert_eq!(queue.start().map(|request| request.0), Some(0));
        assert_eq!(queue.start().map(|request| request.0), Some(1));
        assert_eq!(queue.start(), None);
        queue.ended();
        assert_eq!(queue.start().map(|request| request.0), Some(2));
        queue.ended();
        assert_eq!(queue.start(), None);
    }

    #[test]
    fn is_bounded_in_number_and_bytes() {
        let mut by_bytes = queue();
        by_bytes.push(Request(0, 90, false)).unwrap();
        assert_eq!(by_bytes.push(Request(1, 11, false)), Err(Request(1, 11, false)));
        by_bytes.push(Request(2, 10, false)).unwrap();
        assert!(by_bytes.start().is_some());
        by_bytes.push(Request(3, 90, false)).unwrap();
        let mut by_number = queue();
        for number in 0..3 {
            by_number.push(Request(number, 1, false)).unwrap();
        }
        assert!(by_number.push(Request(3, 1, false)).is_err());
    }

    #[test]
    fn abandoned_requests_are_skipped() {
        let mut queue = queue();
        queue.push(Request(0, 10, true)).unwrap();
        queue.push(Request(1, 10, false)).unwrap();
        assert_eq!(queue.start().map(|request| request.0), Some(1));
    }
}
