//! Waiting for a place: a send, or a place first and the message later.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::mailbox::{EdgeId, Item, Lane, Mailbox, RefusedReason};

/// A send that waits while the mailbox is full, behind all who began to wait before. Nothing happens before the first
/// poll.
///
/// # Errors
/// Hands the message back: [`TooLarge`](RefusedReason::TooLarge) at once, [`Closed`](RefusedReason::Closed) when the
/// reader is gone.
///
/// # Cancel safety
/// A dropped send has put nothing in; a place that it had been granted goes to the next who waits.
#[must_use = "a send does nothing unless it is polled"]
pub struct Sending<T: Send, B: Deref<Target = Mailbox<T>>> {
    mailbox: B,
    item: Option<Item<T>>,
    lane: Lane,
    /// The true size, while it is not known to fit.
    bytes: usize,
    ticket: Option<u64>,
}

impl<T: Send, B: Deref<Target = Mailbox<T>>> Sending<T, B> {
    /// A send of a message that counts as so many bytes.
    #[inline]
    pub fn new(mailbox: B, edge: EdgeId, value: T, bytes: usize, lane: Lane) -> Self {
        Self { mailbox, item: Some(Item::new(value, 0, edge, 0)), lane, bytes, ticket: None }
    }

    /// Takes the message back, if it waits for no place yet and was not delivered. It is never delivered then.
    pub fn take(&mut self) -> Option<T> {
        self.item.take_if(|_| self.ticket.is_none()).map(|item| item.value)
    }
}

// Nothing in it is pinned: the message is moved out whole.
impl<T: Send, B: Deref<Target = Mailbox<T>>> Unpin for Sending<T, B> {}

impl<T: Send, B: Deref<Target = Mailbox<T>>> Future for Sending<T, B> {
    type Output = Result<(), (T, RefusedReason)>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mailbox = &*this.mailbox;
        let Some(item) = &mut this.item else { return Poll::Pending };
        let refused = match mailbox.cost(this.bytes) {
            Err(reason) => reason,
            Ok(bytes) => {
                item.set_bytes(bytes);
                let mut replaced = None;
                let mut state = mailbox.lock();
                let waker = (cx.waker(), &mut replaced);
                match mailbox.poll_place(&mut state, &mut this.ticket, (bytes, item.edge()), waker) {
                    Ok(false) => {
                        let waker = mailbox.disarm_owing(&mut state);
                        drop(state);
                        waker.into_iter().for_each(Waker::wake);
                        return Poll::Pending;
                    }
                    Ok(true) => {
                        let waker = this.item.take().and_then(|item| mailbox.push(&mut state, this.lane, item));
                        drop(state);
                        if let Some(waker) = waker {
                            waker.wake();
                        }
                        return Poll::Ready(Ok(()));
                    }
                    Err(reason) => reason,
                }
            }
        };
        match this.item.take() {
            Some(item) => Poll::Ready(Err((item.value, refused))),
            None => Poll::Pending,
        }
    }
}

impl<T: Send, B: Deref<Target = Mailbox<T>>> Drop for Sending<T, B> {
    #[inline]
    fn drop(&mut self) {
        if let (Some(ticket), Some(item)) = (self.ticket, &self.item) {
            self.mailbox.cancel(ticket, item.bytes());
        }
    }
}

/// Waits for a place, as [`Sending`] does, without a message. Gives a [`Permit`].
///
/// # Errors
/// [`TooLarge`](RefusedReason::TooLarge) at once, [`Closed`](RefusedReason::Closed) when the reader is gone.
///
/// # Cancel safety
/// Dropping it gives up the turn; a place that it had been granted goes to the next who waits.
#[must_use = "nothing is reserved unless it is polled"]
pub struct Reserve<T: Send, B: Deref<Target = Mailbox<T>> + Clone> {
    mailbox: B,
    edge: EdgeId,
    bytes: usize,
    ticket: Option<u64>,
}

impl<T: Send, B: Deref<Target = Mailbox<T>> + Clone> Reserve<T, B> {
    /// Waits for a place for a message that counts as so many bytes.
    pub fn new(mailbox: B, edge: EdgeId, bytes: usize) -> Self {
        Self { mailbox, edge, bytes, ticket: None }
    }
}

impl<T: Send, B: Deref<Target = Mailbox<T>> + Clone> Unpin for Reserve<T, B> {}

impl<T: Send, B: Deref<Target = Mailbox<T>> + Clone> Future for Reserve<T, B> {
    type Output = Result<Permit<T, B>, RefusedReason>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let bytes = match this.mailbox.cost(this.bytes) {
            Ok(bytes) => bytes,
            Err(reason) => return Poll::Ready(Err(reason)),
        };
        let mut replaced = None;
        let mut state = this.mailbox.lock();
        let waker = (cx.waker(), &mut replaced);
        match this.mailbox.poll_place(&mut state, &mut this.ticket, (bytes, this.edge), waker) {
            Ok(false) => {
                let waker = this.mailbox.disarm_owing(&mut state);
                drop(state);
                waker.into_iter().for_each(Waker::wake);
                Poll::Pending
            }
            Ok(true) => {
                state.held(this.edge, 1);
                drop(state);
                Poll::Ready(Ok(Permit { mailbox: this.mailbox.clone(), edge: this.edge, bytes, used: false }))
            }
            Err(reason) => Poll::Ready(Err(reason)),
        }
    }
}

impl<T: Send, B: Deref<Target = Mailbox<T>> + Clone> Drop for Reserve<T, B> {
    fn drop(&mut self) {
        if let (Some(ticket), Ok(bytes)) = (self.ticket, self.mailbox.cost(self.bytes)) {
            self.mailbox.cancel(ticket, bytes);
        }
    }
}

/// A place in a mailbox, not yet used. Dropping it gives the place back.
#[must_use = "an unused place is given back"]
pub struct Permit<T: Send, B: Deref<Target = Mailbox<T>>> {
    mailbox: B,
    edge: EdgeId,
    bytes: u32,
    used: bool,
}

impl<T: Send, B: Deref<Target = Mailbox<T>>> Permit<T, B> {
    /// The bytes that were reserved.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Puts the message into its place. It counts as the bytes that were reserved; its size is the caller's to check.
    ///
    /// # Errors
    /// Hands the message back if the reader is gone.
    pub fn send(mut self, value: T, lane: Lane) -> Result<(), T> {
        let mut state = self.mailbox.lock();
        if Mailbox::is_closed(&state) {
            return Err(value);
        }
        state.held(self.edge, -1);
        let waker = self.mailbox.push(&mut state, lane, Item::new(value, self.bytes, self.edge, 0));
        drop(state);
        self.used = true;
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

impl<T: Send, B: Deref<Target = Mailbox<T>>> Drop for Permit<T, B> {
    fn drop(&mut self) {
        if !self.used {
            self.mailbox.give_back(self.edge, self.bytes);
        }
    }
}
