//! What stands in a neighbour's slot, and hears what is sent to it in the order of sending.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, TryLockError, Weak};
use std::task::{Poll, Wake, Waker};

use deterministic::Clock;
use futures::task::AtomicWaker;
use overseer::{Context, Event, Failure, Nothing, Role, Subsystem};

use crate::desk::{Desk, lock, serve};

/// Messages that a captor takes out before its task runs again: a sender that never rests fills its queue in the end.
const TAKEN_AT_ONCE_MAX: u32 = 1024;

/// A captor, whatever its role.
pub(crate) trait Captures: Send + Sync {
    /// Looks at what stands in its queue while it does not read, and leaves it there.
    fn look_at_queue(&self);
}

/// Stands in a neighbour's slot.
///
/// Its task is scheduled by the seed, as every task is, and answers for its stub then. What is sent to it is taken out
/// of its mailbox in the moment in which it is sent, by the waker that it leaves there: two captors that were both sent
/// something in one go are else read in the seed's order.
pub(crate) struct Captor<R> {
    desk: Arc<Mutex<Desk>>,
    clock: Arc<dyn Clock>,
    role: std::marker::PhantomData<fn() -> R>,
}

impl<R: Role> Captor<R> {
    pub(crate) fn new(desk: Arc<Mutex<Desk>>, clock: Arc<dyn Clock>) -> Self {
        Self { desk, clock, role: std::marker::PhantomData }
    }
}

/// What a captor's task and the waker in its mailbox share.
struct Ear<R: Role> {
    desk: Arc<Mutex<Desk>>,
    clock: Arc<dyn Clock>,
    /// The task.
    task: AtomicWaker,
    hearing: Mutex<Hearing<R>>,
}

struct Hearing<R: Role> {
    /// There while the task is.
    context: Option<Context<Captor<R>>>,
    /// Messages that may be taken out before the task runs.
    room: u32,
    /// Something was heard since the task has run.
    has_news: bool,
    is_concluding: bool,
}

impl<R: Role> Ear<R> {
    /// Takes out all that has come.
    fn listen(self: &Arc<Self>) {
        let mut hearing = match self.hearing.try_lock() {
            Ok(hearing) => hearing,
            Err(TryLockError::Poisoned(hearing)) => hearing.into_inner(),
            // The mailbox wakes its reader while it is read, so that others may run: the task goes on.
            Err(TryLockError::WouldBlock) => return,
        };
        let Hearing { context: Some(context), room, has_news, is_concluding } = &mut *hearing else { return };
        let waker = Waker::from(self.clone());
        let mut cx = std::task::Context::from_waker(&waker);
        while *room > 0 && !lock(&self.desk).is_paused::<R>() {
            let Poll::Ready(event) = pin!(context.recv()).poll(&mut cx) else { return };
            *has_news = true;
            match event {
                Event::Signal(never) => match never {},
                Event::Conclude => *is_concluding = true,
                Event::Message(inbox) => {
                    *room -= 1;
                    lock(&self.desk).receive::<R>(self.clock.now(), inbox);
                }
            }
        }
    }

    /// Waits until something was heard. Returns whether the node concludes.
    async fn hear(self: &Arc<Self>) -> bool {
        poll_fn(|cx| {
            self.task.register(cx.waker());
            lock(&self.hearing).room = TAKEN_AT_ONCE_MAX;
            self.listen();
            let mut hearing = lock(&self.hearing);
            if std::mem::take(&mut hearing.has_news) { Poll::Ready(hearing.is_concluding) } else { Poll::Pending }
        })
        .await
    }
}

impl<R: Role> Wake for Ear<R> {
    fn wake(self: Arc<Self>) {
        self.listen();
        self.task.wake();
    }
}

impl<R: Role> Captures for Ear<R> {
    fn look_at_queue(&self) {
        if let Some(context) = &mut lock(&self.hearing).context {
            context.purge(|inbox| {
                lock(&self.desk).look::<R>(inbox);
                false
            });
        }
    }
}

/// Closes the mailbox with the task: what is left in it holds the ear, which holds the mailbox.
struct Closes<R: Role>(Arc<Ear<R>>);

impl<R: Role> Drop for Closes<R> {
    fn drop(&mut self) {
        let context = lock(&self.0.hearing).context.take();
        drop(context);
    }
}

impl<R: Role> Subsystem for Captor<R> {
    type Role = R;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    /// Receives while the subject concludes as well, where the test wants to see that.
    async fn run(self, context: Context<Self>) -> Result<(), Failure> {
        let hearing = Mutex::new(Hearing { context: Some(context), room: 0, has_news: false, is_concluding: false });
        let ear = Closes(Arc::new(Ear { desk: self.desk, clock: self.clock, task: AtomicWaker::new(), hearing }));
        let mut doors = {
            let mut desk = lock(&ear.0.desk);
            let captor: Weak<dyn Captures> = Arc::<Ear<R>>::downgrade(&ear.0);
            desk.captors.push(captor);
            desk.doors.subscribe()
        };
        let mut is_concluding = false;
        while !is_concluding || doors.borrow_and_update().held {
            tokio::select! {
                biased;
                concludes = ear.0.hear() => {
                    is_concluding = concludes;
                    serve::<R>(&ear.0.desk);
                }
                // The desk outlives every captor, so there is always somebody to open the doors.
                _ = doors.changed() => {}
            }
        }
        Ok(())
    }
}
