//! The mailbox, one step at a time, without an executor.
#![cfg(not(loom))]

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::FutureExt as _;
use futures::task::noop_waker;
use overseer_core::{EdgeId, Lane, Mailbox, MailboxLimits, Permit, Reader, RefusedReason, Reserve, Sending, WhenFull};

struct Fixture {
    mailbox: Arc<Mailbox<u32>>,
    reader: Reader<u32>,
    edge: EdgeId,
}

fn fixture(messages: usize) -> Fixture {
    let mailbox = Arc::new(Mailbox::new(MailboxLimits { messages, bytes: 100 }, None));
    let edge = mailbox.register_edge();
    Fixture { reader: Reader::new(mailbox.clone()), mailbox, edge }
}

impl Fixture {
    fn put(&self, number: u32, lane: Lane) -> Result<(), RefusedReason> {
        self.mailbox.try_send(self.edge, number, 1, lane).map_err(|(_, reason)| reason)
    }

    fn pop(&mut self) -> Option<u32> {
        self.reader.pop().map(|taken| taken.value)
    }

    fn reserve(&self, bytes: usize) -> Pin<Box<Reserve<u32, Arc<Mailbox<u32>>>>> {
        Box::pin(Reserve::new(self.mailbox.clone(), self.edge, bytes))
    }

    fn sending(&self, number: u32, bytes: usize) -> Pin<Box<Sending<u32, Arc<Mailbox<u32>>>>> {
        Box::pin(Sending::new(self.mailbox.clone(), self.edge, number, bytes, Lane::Normal))
    }

    fn cast(&self, number: u32, when_full: WhenFull) -> Result<(), RefusedReason> {
        let merge = |queued: &mut u32, newer: u32| {
            if *queued % 10 == newer % 10 {
                *queued = newer;
                Ok(1)
            } else {
                Err(newer)
            }
        };
        let full = ("number", when_full);
        self.mailbox.cast(self.edge, number, 1, Lane::Normal, full, merge).map_err(|(_, reason)| reason)
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&noop_waker()))
}

fn permit<B: std::ops::Deref<Target = Mailbox<u32>>>(
    poll: Poll<Result<Permit<u32, B>, RefusedReason>>,
) -> Permit<u32, B> {
    match poll {
        Poll::Ready(Ok(permit)) => permit,
        Poll::Ready(Err(reason)) => panic!("refused: {reason}"),
        Poll::Pending => panic!("there is a place"),
    }
}

#[test]
fn a_mailbox_without_room_has_one_place() {
    let mut none = fixture(0);
    assert_eq!(none.put(1, Lane::Normal), Ok(()));
    assert_eq!(none.pop(), Some(1));
}

#[test]
fn full_refuses_and_a_used_batch_frees() {
    let mut it = fixture(2);
    it.put(1, Lane::Normal).unwrap();
    it.put(2, Lane::Normal).unwrap();
    assert_eq!(it.put(3, Lane::Normal), Err(RefusedReason::Full));
    assert_eq!(it.pop(), Some(1));
    assert_eq!(it.put(3, Lane::Normal), Err(RefusedReason::Full), "the batch still counts");
    assert_eq!(it.pop(), Some(2));
    assert_eq!(it.pop(), None);
    it.put(3, Lane::Normal).unwrap();
}

#[test]
fn bytes_are_bounded_and_too_large_is_said_at_once() {
    let it = fixture(10);
    assert_eq!(it.mailbox.try_send(it.edge, 1, 101, Lane::Normal), Err((1, RefusedReason::TooLarge)));
    assert_eq!(it.sending(1, 101).now_or_never(), Some(Err((1, RefusedReason::TooLarge))));
    assert_eq!(it.sending(1, usize::MAX).now_or_never(), Some(Err((1, RefusedReason::TooLarge))));
    it.mailbox.try_send(it.edge, 1, 60, Lane::Normal).unwrap();
    assert_eq!(it.mailbox.try_send(it.edge, 2, 60, Lane::Normal), Err((2, RefusedReason::Full)));
}

#[test]
fn waiting_senders_are_served_in_order_and_a_dropped_one_passes_its_place_on() {
    let mut it = fixture(1);
    it.put(1, Lane::Normal).unwrap();
    let (mut first, mut second, mut third) = (it.reserve(1), it.sending(2, 1), it.sending(3, 1));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    assert!(poll(third.as_mut()).is_pending());
    assert_eq!(it.mailbox.counts(it.edge).waiting, 3);
    assert_eq!(it.pop(), Some(1));
    assert_eq!(it.pop(), None, "the empty batch gives its place back");
    assert!(poll(second.as_mut()).is_pending(), "the place belongs to the first");
    assert_eq!(it.put(9, Lane::Normal), Err(RefusedReason::Full), "nobody pushes in");
    drop(first);
    assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(())));
    assert!(poll(third.as_mut()).is_pending());
    assert_eq!((it.pop(), it.pop()), (Some(2), None));
    assert_eq!(poll(third.as_mut()), Poll::Ready(Ok(())));
    assert_eq!(it.pop(), Some(3));
    assert_eq!(it.mailbox.counts(it.edge).waiting, 0);
}

#[test]
fn one_who_gives_up_in_the_middle_leaves_the_order_of_the_others() {
    let mut it = fixture(1);
    it.put(1, Lane::Normal).unwrap();
    let mut waiting: Vec<_> = (2..6).map(|number| it.sending(number, 1)).collect();
    waiting.iter_mut().for_each(|sending| assert!(poll(sending.as_mut()).is_pending()));
    drop(waiting.remove(1));
    let mut order = Vec::new();
    while let Some(number) = it.pop().or_else(|| it.pop()) {
        order.push(number);
        assert_eq!(it.pop(), None);
        // Also polled from behind, the first is served first.
        let done = (0..waiting.len()).rev().find(|index| poll(waiting[*index].as_mut()).is_ready());
        assert!(done.is_none_or(|index| index == 0));
        done.map(|index| waiting.remove(index));
    }
    assert_eq!(order, [1, 2, 4, 5]);
}

#[test]
fn a_small_one_behind_a_large_one_that_gives_up_is_let_in() {
    let it = fixture(10);
    it.mailbox.try_send(it.edge, 1, 60, Lane::Normal).unwrap();
    let (mut large, mut small) = (it.sending(2, 60), it.sending(3, 10));
    assert!(poll(large.as_mut()).is_pending());
    assert!(poll(small.as_mut()).is_pending(), "nobody overtakes, even where there is room");
    drop(large);
    assert!(poll(small.as_mut()).is_ready());
}

#[test]
fn an_unused_permit_gives_its_place_back() {
    let mut it = fixture(1);
    drop(permit(poll(pin!(it.reserve(1)))));
    permit(poll(pin!(it.reserve(1)))).send(7, Lane::Normal).unwrap();
    assert_eq!(it.put(1, Lane::Normal), Err(RefusedReason::Full));
    assert_eq!(it.pop(), Some(7));
}

#[test]
fn the_high_lane_is_first_and_does_not_starve_the_normal_one() {
    let mut it = fixture(64);
    for number in 0..20 {
        it.put(number, Lane::High).unwrap();
    }
    it.put(100, Lane::Normal).unwrap();
    let order: Vec<u32> = std::iter::from_fn(|| it.pop()).collect();
    assert_eq!(order.iter().position(|number| *number == 100), Some(overseer_core::reader::HIGH_BURST_MAX as usize));
    assert_eq!(order.len(), 21);
}

#[test]
fn a_message_of_the_high_lane_overtakes_a_batch_that_was_taken_out() {
    let mut it = fixture(64);
    (0..3).for_each(|number| it.put(number, Lane::Normal).unwrap());
    assert_eq!(it.pop(), Some(0));
    it.put(100, Lane::High).unwrap();
    assert_eq!(std::iter::from_fn(|| it.pop()).collect::<Vec<_>>(), [100, 1, 2]);
}

#[test]
fn a_flood_of_the_high_lane_does_not_keep_waiting_senders_waiting() {
    let mut it = fixture(20);
    (0..20).for_each(|number| it.put(number, Lane::High).unwrap());
    let mut waiting = it.sending(100, 1);
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!((it.pop(), it.pop()), (Some(0), Some(1)));
    assert!(poll(waiting.as_mut()).is_ready(), "the place of the first was given back");
}

#[test]
fn a_full_queue_merges_by_key_and_reserves_budgets() {
    let mut it = fixture(1);
    it.cast(1, WhenFull::Lossy).unwrap();
    assert_eq!(it.cast(2, WhenFull::Lossy), Err(RefusedReason::Full));
    it.cast(11, WhenFull::Merged(1)).unwrap();
    it.cast(2, WhenFull::Merged(1)).unwrap();
    assert_eq!(it.cast(3, WhenFull::Merged(1)), Err(RefusedReason::Full));
    assert_eq!(it.cast(3, WhenFull::Budgeted(1)), Err(RefusedReason::OverBudget(1)));
    it.cast(3, WhenFull::Budgeted(2)).unwrap();
    assert_eq!(std::iter::from_fn(|| it.pop()).collect::<Vec<_>>(), [11, 2, 3]);
    let counts = it.mailbox.counts(it.edge);
    assert_eq!((counts.sent, counts.refused, counts.merged, counts.waited), (3, 3, 1, 0));
}

#[test]
fn messages_are_counted_by_sender_until_they_are_handled() {
    let mut it = fixture(20);
    let other = it.mailbox.register_edge();
    let queued = |it: &Fixture| [it.edge, other].map(|edge| it.mailbox.counts(edge).queued);
    for number in 0..8 {
        it.put(number, Lane::Normal).unwrap();
        it.mailbox.try_send(other, number, 1, Lane::Normal).unwrap();
    }
    assert_eq!(queued(&it), [8, 8]);
    assert_eq!((it.pop(), queued(&it)), (Some(0), [8, 8]), "all were taken out, one is being handled");
    it.put(8, Lane::Normal).unwrap();
    it.put(9, Lane::High).unwrap();
    assert_eq!(queued(&it), [10, 8], "what was put in since, in either lane, is counted with them");
    assert_eq!(
        (it.pop(), it.pop(), queued(&it)),
        (Some(9), Some(0), [9, 8]),
        "one of both was handled, who knows whose"
    );
    assert_eq!((it.pop(), queued(&it)), (Some(1), [8, 7]));
    (0..13).for_each(|_| assert!(it.pop().is_some()));
    assert_eq!((it.pop(), queued(&it), it.pop()), (Some(8), [1, 0], None));
    assert_eq!(queued(&it), [0, 0], "it came back for the next");
    it.put(1, Lane::Normal).unwrap();
    it.cast(2, WhenFull::Budgeted(1)).unwrap();
    assert_eq!((queued(&it), it.mailbox.progress().0), ([2, 0], 2));
    drop(it.reader);
    assert_eq!([it.edge, other].map(|edge| it.mailbox.counts(edge).queued), [0, 0], "after the end nothing waits");
    assert_eq!(it.mailbox.progress().0, 0);
}

#[test]
fn a_place_of_a_budget_is_free_again_when_its_message_was_delivered() {
    let mut it = fixture(1);
    for number in 1..=5 {
        it.cast(number, WhenFull::Budgeted(1)).unwrap();
        it.cast(100 + number, WhenFull::Budgeted(1)).unwrap();
        assert_eq!(it.cast(9, WhenFull::Budgeted(1)), Err(RefusedReason::OverBudget(1)));
        assert_eq!((it.pop(), it.pop(), it.pop()), (Some(number), Some(100 + number), None));
    }
}

#[test]
fn a_purge_takes_out_what_is_gone_wherever_it_stands_and_keeps_the_order_of_the_rest() {
    let mailbox = Arc::new(Mailbox::new(MailboxLimits { messages: 6, bytes: 100 }, None));
    let edge = mailbox.register_edge();
    let log = Arc::new(overseer_core::SignalLog::<overseer_core::Nothing>::new());
    let mut inbound =
        overseer_core::Inbound::new(overseer_core::Reader::new(mailbox.clone()), overseer_core::Cursor::new(log));
    let put = |number: u32, lane| mailbox.try_send(edge, number, 10, lane).unwrap();
    [1, 20, 3].into_iter().for_each(|number| put(number, Lane::Normal));
    let next = |inbound: &mut overseer_core::Inbound<u32, _>| {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match inbound.poll_next(&mut cx) {
            Poll::Ready(overseer_core::Incoming::Message(number)) => Some(number),
            _ => None,
        }
    };
    assert_eq!(next(&mut inbound), Some(1));
    put(40, Lane::Normal);
    put(5, Lane::Normal);
    put(60, Lane::High);
    assert_eq!(mailbox.used(), (6, 60));
    let merge = |_: &mut u32, newer| Err(newer);
    let budgeted = |number| mailbox.cast(edge, number, 10, Lane::Normal, ("M", WhenFull::Budgeted(1)), merge);
    assert!(budgeted(70).is_ok() && budgeted(80).is_err(), "one place beyond the limit");
    assert_eq!(mailbox.used(), (6, 70));
    assert_eq!(inbound.purge(|number| *number > 9), Some(vec![60, 20, 40, 70]));
    assert_eq!(mailbox.used(), (2, 20), "what was delivered before counts no more either");
    assert_eq!(mailbox.counts(edge).queued, 2);
    assert_eq!([next(&mut inbound), next(&mut inbound), next(&mut inbound)], [Some(3), Some(5), None]);
    assert_eq!((mailbox.used(), mailbox.progress().0), ((1, 10), 0), "the last is given back with the next");
    (0..5).for_each(|number| put(number, Lane::Normal));
    assert!(mailbox.cast(edge, 5, 10, Lane::Normal, ("M", WhenFull::Lossy), merge).is_ok(), "or to who needs it");
    assert!(budgeted(80).is_ok(), "the place of its budget is free again");
    let judging =
        std::panic::AssertUnwindSafe(|| inbound.purge(|number| (*number < 4).then_some(true).expect("judges")));
    assert!(std::panic::catch_unwind(judging).is_err());
    let rest: Vec<u32> = std::iter::from_fn(|| next(&mut inbound)).collect();
    assert_eq!(rest, [0, 1, 2, 3, 4, 5, 80], "who cannot judge takes nothing");
}

#[test]
fn a_merge_that_panics_is_the_casters_and_harms_nobody() {
    let mut it = fixture(1);
    it.put(1, Lane::Normal).unwrap();
    let mut waiting = it.sending(2, 1);
    assert!(poll(waiting.as_mut()).is_pending());
    let panics = std::panic::AssertUnwindSafe(|| {
        let full = ("number", WhenFull::Merged(1));
        it.mailbox.cast(it.edge, 3, 1, Lane::Normal, full, |_, number| panic!("asked about {number}"))
    });
    assert!(std::panic::catch_unwind(panics).is_err());
    assert_eq!((it.mailbox.used(), it.mailbox.counts(it.edge).merged), ((1, 1), 0));
    assert_eq!((it.pop(), it.pop()), (Some(1), None));
    assert_eq!(poll(waiting.as_mut()), Poll::Ready(Ok(())));
    assert_eq!(it.pop(), Some(2));
}

#[test]
fn merged_and_budgeted_messages_count_their_bytes_and_hold_others_up_until_they_are_delivered() {
    let mut it = fixture(1);
    let cast = |number: u32, bytes: usize, when_full: WhenFull| {
        let merge = |queued: &mut u32, newer: u32| match *queued % 10 == newer % 10 {
            true => {
                *queued += newer;
                Ok(*queued as usize)
            }
            false => Err(newer),
        };
        it.mailbox.cast(it.edge, number, bytes, Lane::Normal, ("number", when_full), merge)
    };
    cast(10, 10, WhenFull::Lossy).unwrap();
    cast(40, 40, WhenFull::Budgeted(2)).unwrap();
    assert_eq!(it.mailbox.used(), (1, 50), "a place beyond the limit, but its bytes count");
    cast(30, 30, WhenFull::Merged(3)).unwrap();
    assert_eq!(it.mailbox.used(), (1, 80), "the queued one counts as what it is now");
    cast(95, 95, WhenFull::Merged(3)).unwrap();
    assert_eq!(it.mailbox.used(), (1, 175), "never refused for its bytes");
    let mut waiting = it.sending(2, 60);
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!((it.pop(), it.mailbox.used()), (Some(10), (1, 175)));
    assert_eq!((it.pop(), it.mailbox.used()), (Some(70), (1, 105)));
    assert!(poll(waiting.as_mut()).is_pending(), "there is a place, but no room for its bytes");
    assert_eq!(it.pop(), Some(95));
    assert_eq!(it.pop(), None);
    assert!(poll(waiting.as_mut()).is_ready());
    assert_eq!(it.mailbox.used(), (1, 60));
}

#[test]
fn what_gets_its_place_back_by_a_delivery_beyond_the_limit_is_woken_by_it() {
    let mut it = fixture(2);
    it.cast(1, WhenFull::Lossy).unwrap();
    it.cast(2, WhenFull::Lossy).unwrap();
    let large = |number| {
        it.mailbox.cast(it.edge, number, 98, Lane::Normal, ("large", WhenFull::Budgeted(1)), |_, new| Err(new))
    };
    large(3).unwrap();
    assert_eq!((it.pop(), it.pop()), (Some(1), Some(2)));
    let mut waiting = it.sending(4, 50);
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!(it.pop(), Some(3));
    assert!(poll(waiting.as_mut()).is_ready(), "without another look into the queue");
}

#[test]
fn a_cast_finds_places_that_are_used_up_and_not_yet_given_back() {
    let mut it = fixture(100);
    (0..100).for_each(|number| it.put(number, Lane::Normal).unwrap());
    assert_eq!(it.pop(), Some(0));
    assert_eq!(it.cast(100, WhenFull::Lossy), Err(RefusedReason::Full), "the first is being delivered");
    assert_eq!(it.pop(), Some(1));
    assert_eq!(it.mailbox.used(), (100, 100));
    it.cast(100, WhenFull::Lossy).unwrap();
    assert_eq!(it.cast(101, WhenFull::Lossy), Err(RefusedReason::Full));
    // Given back once, not twice.
    let rest: Vec<u32> = std::iter::from_fn(|| it.pop()).collect();
    assert_eq!(rest, (2..101).collect::<Vec<_>>());
    assert_eq!(it.mailbox.used(), (0, 0));
    // One who waits was there before.
    (0..100).for_each(|number| it.put(number, Lane::Normal).unwrap());
    let mut waiting = it.sending(7, 1);
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!((it.pop(), it.pop()), (Some(0), Some(1)));
    assert_eq!(it.cast(100, WhenFull::Lossy), Err(RefusedReason::Full));
    assert!(poll(waiting.as_mut()).is_ready());
}

#[test]
fn dropping_the_reader_tells_senders_and_hands_back() {
    let it = fixture(1);
    it.put(1, Lane::Normal).unwrap();
    let mut waiting = it.sending(2, 1);
    assert!(poll(waiting.as_mut()).is_pending());
    let Fixture { mailbox, reader, edge } = it;
    drop(reader);
    assert_eq!(poll(waiting.as_mut()), Poll::Ready(Err((2, RefusedReason::Closed))));
    assert_eq!(mailbox.try_send(edge, 2, 1, Lane::Normal), Err((2, RefusedReason::Closed)));
}

#[test]
fn places_of_a_long_batch_are_given_back_by_halves() {
    let mut it = fixture(100);
    (0..100).for_each(|number| it.put(number, Lane::Normal).unwrap());
    assert_eq!(it.mailbox.used(), (100, 100));
    for _ in 0..50 {
        assert!(it.pop().is_some());
        assert_eq!(it.mailbox.used(), (100, 100));
    }
    assert!(it.pop().is_some());
    assert_eq!(it.mailbox.used(), (50, 50));
    assert_eq!(std::iter::from_fn(|| it.pop()).count(), 49);
    assert_eq!(it.mailbox.used(), (0, 0));
}

#[test]
fn half_the_bytes_are_given_back_whatever_the_number_of_messages() {
    let mut it = fixture(100);
    (0..4).for_each(|number| it.mailbox.try_send(it.edge, number, 25, Lane::Normal).unwrap());
    assert_eq!((it.pop(), it.mailbox.used()), (Some(0), (4, 100)));
    assert_eq!((it.pop(), it.mailbox.used()), (Some(1), (4, 100)));
    assert_eq!((it.pop(), it.mailbox.used()), (Some(2), (2, 50)));
}

struct Counter(AtomicUsize);
impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn many_messages_for_a_sleeping_reader_are_one_wake() {
    let mut it = fixture(10);
    let counter = Arc::new(Counter(AtomicUsize::new(0)));
    assert!(!it.reader.prepare(Some(&Waker::from(counter.clone()))));
    (0..5).for_each(|number| it.put(number, Lane::Normal).unwrap());
    assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    assert!(it.reader.prepare(Some(&Waker::from(counter))), "there is something to read");
    assert_eq!(it.pop(), Some(0));
}

enum Beats {}
impl overseer_core::View for Beats {
    type Update = u64;
    type State = u64;
    fn apply(state: &mut u64, update: &u64) {
        *state = *update;
    }
    fn catch_up(_: &u64, now: &u64) -> u64 {
        *now
    }
}

/// Counts how often it is asked to wake its reader; passes that on.
struct Watched(Arc<Mailbox<u32>>, AtomicUsize);
impl overseer_core::Wakeable for Watched {
    fn wake(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.wake();
    }
}

/// Wakes asked for and wakes that reached a reader, for so many signals to four subsystems.
fn publish_to_four(signals: u64, stalled: bool) -> (usize, usize) {
    use overseer_core::{Cursor, Inbound, SignalLog};
    let log = Arc::new(SignalLog::<Beats>::new());
    let woken = Arc::new(Counter(AtomicUsize::new(0)));
    let waker = Waker::from(woken.clone());
    let (mut inbounds, mut watched) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let it = fixture(4);
        let wakeable = Arc::new(Watched(it.mailbox.clone(), AtomicUsize::new(0)));
        log.add_reader(wakeable.clone());
        watched.push(wakeable);
        inbounds.push(Inbound::new(it.reader, Cursor::new(log.clone())));
    }
    let mut cx = Context::from_waker(&waker);
    let listening = if stalled { 3 } else { 4 };
    for signal in 0..=signals {
        for inbound in &mut inbounds[..listening] {
            while inbound.poll_next(&mut cx).is_ready() {}
        }
        if signal < signals {
            log.publish(signal).expect("it is not concluded");
        }
    }
    (watched.iter().map(|watched| watched.1.load(Ordering::Relaxed)).sum(), woken.0.load(Ordering::Relaxed))
}

#[test]
fn publishing_does_the_same_with_one_subsystem_stalled() {
    assert_eq!(publish_to_four(1_000, false), (4_000, 4_000));
    let (asked, woken) = publish_to_four(1_000, true);
    assert_eq!(asked, 4_000, "the stalled one is asked like any other: one short lock");
    assert_eq!(woken, 3_000, "and nobody is woken for it");
}

/// Deliveries in a row until the reader lets others run, where each takes so many nanoseconds.
fn deliveries_until_yield(nanos: u64) -> usize {
    use overseer_core::{Cursor, Inbound, SignalLog};
    let time = Arc::new(std::sync::atomic::AtomicU64::new(1));
    let clock = time.clone();
    let limits = MailboxLimits { messages: 4096, bytes: 4096 };
    let mailbox = Arc::new(Mailbox::new(limits, Some(Arc::new(move || clock.load(Ordering::Relaxed)))));
    let edge = mailbox.register_edge();
    (0..4096).for_each(|number| mailbox.try_send(edge, number, 1, Lane::Normal).expect("there is room"));
    let cursor = Cursor::new(Arc::new(SignalLog::<Beats>::new()));
    let mut inbound = Inbound::new(Reader::new(mailbox), cursor);
    let counter = Arc::new(Counter(AtomicUsize::new(0)));
    let waker = Waker::from(counter.clone());
    let mut deliveries = 0;
    while inbound.poll_next(&mut Context::from_waker(&waker)).is_ready() {
        deliveries += 1;
        time.fetch_add(nanos, Ordering::Relaxed);
    }
    assert_eq!(counter.0.load(Ordering::Relaxed), 1, "it is polled again");
    deliveries
}

#[test]
fn a_busy_reader_lets_others_run_by_number_and_by_time() {
    use overseer_core::inbound::{YIELD_AFTER_NANOS, YIELD_EVERY};
    assert_eq!(deliveries_until_yield(1), YIELD_EVERY as usize);
    // One message in 64 is timed: the first, and the one that tells.
    assert_eq!(deliveries_until_yield(YIELD_AFTER_NANOS), 65);
}

/// The busy share of one who gets so many messages at once, takes 50 µs for each, and sleeps for so long; many times.
fn busy_share(rounds: &[(u32, Duration)]) -> Option<f64> {
    use overseer_core::{Cursor, Inbound, SignalLog};
    let time = Arc::new(std::sync::atomic::AtomicU64::new(1));
    let clock = time.clone();
    let limits = MailboxLimits { messages: 1 << 20, bytes: 1 << 20 };
    let mailbox = Arc::new(Mailbox::new(limits, Some(Arc::new(move || clock.load(Ordering::Relaxed)))));
    let edge = mailbox.register_edge();
    let mut inbound = Inbound::new(Reader::new(mailbox.clone()), Cursor::new(Arc::new(SignalLog::<Beats>::new())));
    let counter = Arc::new(Counter(AtomicUsize::new(0)));
    let waker = Waker::from(counter.clone());
    let mut cx = Context::from_waker(&waker);
    for (messages, sleep) in rounds {
        (0..*messages).for_each(|number| mailbox.try_send(edge, number, 1, Lane::Normal).expect("there is room"));
        let mut woken = usize::MAX;
        // It wakes itself to let others run.
        while counter.0.load(Ordering::Relaxed) != woken {
            woken = counter.0.load(Ordering::Relaxed);
            while inbound.poll_next(&mut cx).is_ready() {
                time.fetch_add(50_000, Ordering::Relaxed);
            }
        }
        time.fetch_add(u64::try_from(sleep.as_nanos()).expect("an hour or so"), Ordering::Relaxed);
    }
    mailbox.meter().busy_time().share()
}

#[test]
fn the_busy_share_is_that_of_the_work() {
    let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
    assert_eq!(busy_share(&[(0, second)]), Some(0.0), "its first sleep, which lasts");
    let once = busy_share(&[(0, second), (200, hour)]).expect("it was timed");
    assert!(once < 0.02, "10 ms in an hour: {once}");
    let bursts = busy_share(&[(200, second); 1000]).expect("it was timed");
    assert!((0.008..0.012).contains(&bursts), "10 ms in each second: {bursts}");
    let half = busy_share(&[(20_000, second); 20]).expect("it was timed");
    assert!((0.45..0.55).contains(&half), "a second of work, a second of sleep: {half}");
    let mut flooded = vec![(1, Duration::from_millis(1)); 200];
    flooded.push((100_000, Duration::ZERO));
    let flooded = busy_share(&flooded).expect("it was timed");
    assert!(flooded > 0.9, "for seconds it has not slept: {flooded}");
}

/// A waker whose last handle, when it is dropped, looks into the mailbox: as that of a task that owns a sender does.
struct Looks(Arc<Mailbox<u32>>, AtomicUsize);
impl std::task::Wake for Looks {
    fn wake(self: Arc<Self>) {}
}
impl Drop for Looks {
    fn drop(&mut self) {
        self.1.store(self.0.progress().0, Ordering::Relaxed);
    }
}

#[test]
fn a_waker_is_never_dropped_under_the_lock() {
    let mut it = fixture(1);
    let looking = || std::task::Waker::from(Arc::new(Looks(it.mailbox.clone(), AtomicUsize::new(0))));
    // The reader's.
    for _ in 0..2 {
        assert!(!it.reader.prepare(Some(&looking())));
    }
    assert!(it.put(1, Lane::Normal).is_ok());
    // A waiting sender's, and that of one who waits for a place.
    let (mut sending, mut reserving) = (it.sending(2, 1), it.reserve(1));
    for _ in 0..2 {
        let waker = looking();
        let mut cx = Context::from_waker(&waker);
        assert!(sending.as_mut().poll(&mut cx).is_pending() && reserving.as_mut().poll(&mut cx).is_pending());
    }
    drop((sending, reserving));
}
