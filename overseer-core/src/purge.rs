//! Taking queued messages back out before their turn: those that are worth nothing any more.

use crate::inbound::Inbound;
use crate::mailbox::wake_all;
use crate::reader::Reader;
use crate::signal::View;
use crate::sync::Ordering;

impl<T: Send> Reader<T> {
    /// Takes out every queued message of which `is_gone` is true, in the order of their lanes, wherever it stands: in the
    /// queue or in the batch that was taken out already. Their places and bytes are free at once, and who waits for them
    /// goes on. `is_fit` is asked first, when nothing can be put in any more; if it is false nothing is taken.
    pub(crate) fn purge(
        &mut self,
        is_fit: impl FnOnce() -> bool,
        mut is_gone: impl FnMut(&T) -> bool,
    ) -> Option<Vec<T>> {
        let mailbox = self.mailbox.clone();
        let mut state = mailbox.lock();
        if !is_fit() {
            return None;
        }
        let shared = &mut *state;
        let queues = [&mut shared.high, &mut self.batch, &mut shared.normal];
        // Judged first and moved then: a panic of who judges leaves everything where it is.
        let is_urgent_gone = self.urgent.as_ref().is_some_and(|item| is_gone(&item.value));
        let judged = queues.map(|queue| {
            let judged: Vec<bool> = queue.iter().map(|item| is_gone(&item.value)).collect();
            (queue, judged)
        });
        let mut gone = Vec::new();
        if is_urgent_gone {
            gone.extend(self.urgent.take());
        }
        for (queue, judged) in judged {
            // Round once: what stays keeps its order and its memory.
            for is_gone in judged {
                let Some(item) = queue.pop_front() else { break };
                if is_gone { gone.push(item) } else { queue.push_back(item) }
            }
        }
        state.count_again(&self.batch);
        if state.high.is_empty() {
            mailbox.of_reader.0.high_waiting.store(false, Ordering::Release);
        }
        mailbox.settle(&mut state, self.tell_all(), &mut self.wakers);
        let (mut places, mut bytes) = (0, 0);
        for item in &gone {
            bytes += item.bytes();
            if item.place() == 0 {
                places += 1;
            } else if let Some((_, taken)) = state.extra.get_mut(usize::from(item.place()) - 1) {
                *taken -= 1;
            }
        }
        mailbox.release(&mut state, places, bytes, &mut self.wakers);
        drop(state);
        wake_all(&mut self.wakers);
        Some(gone.into_iter().map(|item| item.value).collect())
    }
}

impl<T: Send, V: View> Inbound<T, V> {
    /// Takes out every queued message of which `is_gone` is true. `None`, and nothing is taken, while there is a signal
    /// that was not delivered: a queued message may have been sent by somebody who has seen it, and what is gone by what
    /// is known here may be there again by what is known there. It is asked under the mailbox's lock, so it should be
    /// quick.
    pub fn purge(&mut self, is_gone: impl FnMut(&T) -> bool) -> Option<Vec<T>> {
        let cursor = &self.cursor;
        self.reader.purge(|| !cursor.is_behind(), is_gone)
    }
}
