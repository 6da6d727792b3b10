//! Models: every interleaving of a few steps, with a bounded number of pre-emptions. Run by
//! `cargo xtask ci --only loom`.
#![cfg(loom)]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use loom::future::block_on;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use overseer_core::{
    Cursor, EdgeId, Inbound, Incoming, Lane, Mailbox, MailboxLimits, Reader, RefusedReason, Reserve, Sending,
    SignalLog, View, WhenFull,
};

enum Beats {}
impl View for Beats {
    type Update = u32;
    type State = u32;
    fn apply(state: &mut u32, update: &u32) {
        *state = *update;
    }
    fn catch_up(_: &u32, now: &u32) -> u32 {
        *now
    }
}

type Shared = Arc<Mailbox<u32>>;

struct World {
    mailbox: Shared,
    edge: EdgeId,
    log: Arc<SignalLog<Beats>>,
    inbound: Inbound<u32, Beats>,
}

fn world(messages: usize) -> World {
    let mailbox = Arc::new(Mailbox::new(MailboxLimits { messages, bytes: 100 }, None));
    let log = Arc::new(SignalLog::new());
    log.add_reader(mailbox.clone());
    let inbound = Inbound::new(Reader::new(mailbox.clone()), Cursor::new(log.clone()));
    World { edge: mailbox.register_edge(), mailbox, log, inbound }
}

async fn next(inbound: &mut Inbound<u32, Beats>) -> Incoming<u32, u32> {
    poll_fn(|cx| inbound.poll_next(cx)).await
}

async fn next_message(inbound: &mut Inbound<u32, Beats>) -> u32 {
    match next(inbound).await {
        Incoming::Message(number) => number,
        Incoming::Signal(_) | Incoming::Conclude => panic!("no signal was published"),
    }
}

fn model(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

fn send(mailbox: Shared, edge: EdgeId, number: u32) -> Sending<u32, Shared> {
    Sending::new(mailbox, edge, number, 1, Lane::Normal)
}

/// Polls once, then gives up: the drop falls on every step that the reader and the other sender take.
fn give_up(future: impl Future) {
    let mut future = pin!(future);
    block_on(poll_fn(|cx| {
        let _ = future.as_mut().poll(cx);
        Poll::Ready(())
    }));
}

#[test]
fn a_cancelled_send_takes_nobodys_place_and_nobodys_wake() {
    model(3, || {
        let World { mailbox, edge, mut inbound, .. } = world(1);
        mailbox.try_send(edge, 1, 1, Lane::Normal).unwrap();
        let (giving_up, staying) = (mailbox.clone(), mailbox.clone());
        let first = thread::spawn(move || give_up(send(giving_up, edge, 2)));
        let second = thread::spawn(move || block_on(send(staying, edge, 3)).unwrap());
        block_on(async {
            // The one that gives up may have sent before it did; the other one's message comes in any case.
            while next_message(&mut inbound).await != 3 {}
        });
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn a_cancelled_reservation_and_an_unused_permit_pass_their_place_on() {
    model(3, || {
        let World { mailbox, edge, mut inbound, .. } = world(1);
        mailbox.try_send(edge, 1, 1, Lane::Normal).unwrap();
        let (giving_up, staying) = (mailbox.clone(), mailbox.clone());
        // Ready at once or not, what comes of it is dropped.
        let first = thread::spawn(move || give_up(Reserve::new(giving_up, edge, 1)));
        let second = thread::spawn(move || block_on(send(staying, edge, 3)).unwrap());
        block_on(async {
            assert_eq!(next_message(&mut inbound).await, 1);
            assert_eq!(next_message(&mut inbound).await, 3);
        });
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!(rest(&mailbox, &mut inbound), [0; 0]);
    });
}

#[test]
fn a_reader_that_goes_leaves_no_sender_waiting() {
    model(3, || {
        let World { mailbox, edge, mut inbound, .. } = world(1);
        mailbox.try_send(edge, 1, 1, Lane::Normal).unwrap();
        let (waiting, reserving) = (mailbox.clone(), mailbox.clone());
        let first = thread::spawn(move || match block_on(send(waiting, edge, 2)) {
            Ok(()) => {}
            Err((number, reason)) => assert_eq!((number, reason), (2, RefusedReason::Closed)),
        });
        let second = thread::spawn(move || match block_on(Reserve::new(reserving, edge, 1)) {
            Ok(permit) => drop(permit.send(3, Lane::Normal)),
            Err(reason) => assert_eq!(reason, RefusedReason::Closed),
        });
        assert_eq!(block_on(next_message(&mut inbound)), 1);
        drop(inbound);
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_is_in_a_batch_when_the_reader_goes_is_dropped_once() {
    model(3, || {
        let drops = Arc::new(AtomicUsize::new(0));
        let mailbox = Arc::new(Mailbox::new(MailboxLimits { messages: 4, bytes: 100 }, None));
        let edge = mailbox.register_edge();
        for _ in 0..2 {
            assert!(mailbox.try_send(edge, Counted(drops.clone()), 1, Lane::Normal).is_ok());
        }
        let (sender, third) = (mailbox.clone(), Counted(drops.clone()));
        let sending = thread::spawn(move || drop(sender.try_send(edge, third, 1, Lane::Normal)));
        let mut reader = Reader::new(mailbox);
        drop(reader.pop());
        drop(reader);
        sending.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn purging_a_batch_frees_its_places_for_who_waits() {
    model(3, || {
        let World { mailbox, edge, mut inbound, .. } = world(2);
        mailbox.try_send(edge, 10, 1, Lane::Normal).unwrap();
        mailbox.try_send(edge, 11, 1, Lane::Normal).unwrap();
        let (waiting, giving_up) = (mailbox.clone(), mailbox.clone());
        let first = thread::spawn(move || block_on(send(waiting, edge, 1)).unwrap());
        let second = thread::spawn(move || give_up(send(giving_up, edge, 12)));
        block_on(async {
            // The batch is taken out with it; what stands in it or behind it is purged, whoever puts more in meanwhile.
            assert_eq!(next_message(&mut inbound).await, 10);
            let gone = inbound.purge(|number| *number > 9).expect("no signal was published");
            assert_eq!(gone[0], 11);
            loop {
                match next_message(&mut inbound).await {
                    1 => break,
                    late => assert_eq!(late, 12),
                }
            }
        });
        first.join().unwrap();
        second.join().unwrap();
        inbound.purge(|_| true).expect("no signal was published");
        assert_eq!(mailbox.used(), (0, 0), "nothing is lost and nothing is given back twice");
    });
}

#[test]
fn nothing_is_purged_that_was_sent_after_a_signal_not_yet_heard() {
    model(3, || {
        let World { mailbox, edge, log, mut inbound } = world(2);
        let sender = thread::spawn(move || {
            log.publish(1).expect("not concluded");
            mailbox.try_send(edge, 1, 1, Lane::Normal).unwrap();
        });
        let purged = inbound.purge(|_| true);
        assert!(purged.is_none_or(|gone| gone.is_empty()), "its sender knows more than the purge");
        sender.join().unwrap();
    });
}

#[test]
fn a_cast_that_gives_used_up_places_back_gives_back_each_once() {
    model(3, || {
        let mailbox = Arc::new(Mailbox::new(MailboxLimits { messages: 4, bytes: 100 }, None));
        let edge = mailbox.register_edge();
        let mut reader = Reader::new(mailbox.clone());
        (0..4).for_each(|number| mailbox.try_send(edge, number, 10, Lane::Normal).unwrap());
        assert!(reader.pop().is_some());
        let casting = mailbox.clone();
        let caster = thread::spawn(move || {
            let cast = |number| casting.cast(edge, number, 10, Lane::Normal, ("M", WhenFull::Lossy), |_, new| Err(new));
            [4, 5].into_iter().filter(|number| cast(*number).is_ok()).count()
        });
        let mut read = 1 + [reader.pop(), reader.pop()].into_iter().flatten().count();
        let cast = caster.join().unwrap();
        while reader.pop().is_some() {
            read += 1;
        }
        assert_eq!((read, mailbox.used()), (4 + cast, (0, 0)));
    });
}

#[test]
fn the_high_lanes_flag_is_never_missed() {
    model(3, || {
        let World { mailbox, edge, mut inbound, .. } = world(4);
        let (high, normal) = (mailbox.clone(), mailbox.clone());
        let first = thread::spawn(move || high.try_send(edge, 1, 1, Lane::High).unwrap());
        let second = thread::spawn(move || normal.try_send(edge, 2, 1, Lane::Normal).unwrap());
        let sum = block_on(async { next_message(&mut inbound).await + next_message(&mut inbound).await });
        assert_eq!(sum, 3);
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn a_signal_between_registration_and_sleep_wakes() {
    model(3, || {
        let World { log, mut inbound, .. } = world(1);
        let publisher = log.clone();
        let heart = thread::spawn(move || {
            publisher.publish(1).expect("not concluded");
            publisher.conclude();
        });
        block_on(async {
            assert!(matches!(next(&mut inbound).await, Incoming::Signal(1)));
            assert!(matches!(next(&mut inbound).await, Incoming::Conclude));
        });
        heart.join().unwrap();
    });
}

/// OV-4: fails as soon as the log is looked at before the message is taken out instead of after it.
#[test]
fn no_message_overtakes_a_signal_that_its_sender_had_seen() {
    for lane in [Lane::Normal, Lane::High] {
        model(3, move || {
            let World { mailbox, edge, log, mut inbound } = world(2);
            let (early, publisher) = (mailbox.clone(), log.clone());
            let other = thread::spawn(move || early.try_send(edge, 0, 1, Lane::Normal).unwrap());
            let sender = thread::spawn(move || {
                publisher.publish(1).expect("not concluded");
                block_on(Sending::new(mailbox, edge, 1, 1, lane)).unwrap();
            });
            block_on(async {
                let (mut seen, mut messages) = (0, 0);
                while messages < 2 {
                    match next(&mut inbound).await {
                        Incoming::Signal(beat) => seen = beat,
                        Incoming::Message(number) => {
                            assert!(number <= seen, "message {number} was delivered before its signal");
                            messages += 1;
                        }
                        Incoming::Conclude => panic!("nobody concluded"),
                    }
                }
            });
            other.join().unwrap();
            sender.join().unwrap();
        });
    }
}

#[test]
fn one_that_starts_again_hears_what_is_so_before_any_message_of_it() {
    model(3, || {
        let World { mailbox, edge, log, mut inbound } = world(2);
        let sender = thread::spawn(move || {
            for beat in 1..=2 {
                log.publish(beat).expect("not concluded");
                mailbox.try_send(edge, beat, 1, Lane::Normal).unwrap();
            }
        });
        block_on(async {
            let (mut seen, mut messages) = (0, 0);
            while messages < 2 {
                match next(&mut inbound).await {
                    Incoming::Signal(beat) => seen = beat,
                    Incoming::Message(number) => {
                        assert!(number <= seen, "message {number} was delivered before its signal");
                        messages += 1;
                        if messages == 1 {
                            inbound.restart();
                            seen = 0;
                        }
                    }
                    Incoming::Conclude => panic!("nobody concluded"),
                }
            }
        });
        sender.join().unwrap();
    });
}

fn cast(mailbox: &Shared, edge: EdgeId, number: u32, lane: Lane, when_full: WhenFull) -> Option<u32> {
    let merge = |queued: &mut u32, newer| {
        *queued += newer;
        Ok(1)
    };
    mailbox.cast(edge, number, 1, lane, ("number", when_full), merge).ok().map(|()| number)
}

/// All that is there, and whether every place of it is given back after that.
fn rest(mailbox: &Shared, inbound: &mut Inbound<u32, Beats>) -> Vec<u32> {
    let rest = inbound.purge(|_| true).expect("no signal was published");
    assert_eq!(mailbox.used(), (0, 0), "nothing is lost and nothing is given back twice");
    rest
}

#[test]
fn who_waits_for_a_place_among_several_gets_one_in_its_turn() {
    model(2, || {
        let World { mailbox, edge, mut inbound, .. } = world(4);
        (1..=4).for_each(|number| mailbox.try_send(edge, number, 1, Lane::Normal).unwrap());
        let (waiting, giving_up) = (mailbox.clone(), mailbox.clone());
        let first = thread::spawn(move || block_on(send(waiting, edge, 5)).unwrap());
        let second = thread::spawn(move || give_up(send(giving_up, edge, 9)));
        let seen = block_on(async {
            let mut seen = Vec::new();
            while !seen.contains(&5) {
                seen.push(next_message(&mut inbound).await);
            }
            seen
        });
        assert!(seen.iter().filter(|number| **number != 9).eq(&[1, 2, 3, 4, 5]), "{seen:?}");
        first.join().unwrap();
        second.join().unwrap();
        rest(&mailbox, &mut inbound);
    });
}

/// A reader that took a single message has left its waker with it, and sleeps with that message's place still to be given
/// back: whoever waits for that one wakes it.
#[test]
fn who_waits_for_what_a_sleeping_reader_has_not_given_back_gets_it() {
    model(3, || {
        let World { mailbox, edge, mut inbound, .. } = world(2);
        mailbox.try_send(edge, 1, 1, Lane::Normal).unwrap();
        let holding = mailbox.clone();
        let holder = thread::spawn(move || {
            let (first, second) = block_on(async {
                let first = Reserve::new(holding.clone(), edge, 1).await.unwrap();
                // Nothing is sent meanwhile that would wake the reader.
                (first, Reserve::new(holding.clone(), edge, 1).await.unwrap())
            });
            first.send(2, Lane::Normal).unwrap();
            second.send(3, Lane::Normal).unwrap();
        });
        block_on(async {
            for number in 1..=3 {
                assert_eq!(next_message(&mut inbound).await, number);
            }
        });
        holder.join().unwrap();
        assert_eq!(rest(&mailbox, &mut inbound), [0; 0]);
    });
}

/// The waker that is left with a single message is as good as one that is left when there is none.
#[test]
fn what_comes_while_a_single_message_is_handled_wakes() {
    model(3, || {
        let World { mailbox, edge, log, mut inbound } = world(4);
        mailbox.try_send(edge, 1, 1, Lane::Normal).unwrap();
        let (sending, urgent) = (mailbox.clone(), mailbox.clone());
        let first = thread::spawn(move || {
            sending.try_send(edge, 2, 1, Lane::Normal).unwrap();
            log.publish(5);
        });
        let second = thread::spawn(move || urgent.try_send(edge, 3, 1, Lane::High).unwrap());
        let (mut messages, mut signals) = (Vec::new(), Vec::new());
        block_on(async {
            while messages.len() < 3 || signals.is_empty() {
                match next(&mut inbound).await {
                    Incoming::Message(number) => messages.push(number),
                    Incoming::Signal(signal) => signals.push(signal),
                    Incoming::Conclude => panic!("nobody concluded"),
                }
            }
        });
        messages.sort_unstable();
        assert_eq!((messages, signals), (vec![1, 2, 3], vec![5]));
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn a_budgets_places_are_neither_exceeded_nor_lost() {
    for lane in [Lane::Normal, Lane::High] {
        model(2, move || {
            let World { mailbox, edge, mut inbound, .. } = world(1);
            mailbox.try_send(edge, 0, 1, Lane::Normal).unwrap();
            let casts = [1, 2].map(|number| {
                let mailbox = mailbox.clone();
                thread::spawn(move || cast(&mailbox, edge, number, lane, WhenFull::Budgeted(1)))
            });
            // Those that come before it is delivered are beyond the queue's own place.
            let mut seen = vec![block_on(next_message(&mut inbound))];
            let taken: Vec<u32> = casts.into_iter().filter_map(|cast| cast.join().unwrap()).collect();
            assert!(!taken.is_empty(), "the first finds the budget's place, if none is free");
            seen.extend(rest(&mailbox, &mut inbound));
            seen.sort_unstable();
            assert!(seen.iter().eq([0].iter().chain(&taken)), "{seen:?} of {taken:?}");
            mailbox.try_send(edge, 3, 1, Lane::Normal).unwrap();
            assert!(cast(&mailbox, edge, 4, lane, WhenFull::Budgeted(1)).is_some(), "the budget is whole again");
            assert!(cast(&mailbox, edge, 5, lane, WhenFull::Budgeted(1)).is_none(), "and not larger");
        });
    }
}

#[test]
fn what_is_kept_goes_in_by_itself_whenever_a_place_is_free() {
    model(3, || {
        let World { mailbox, edge, mut inbound, .. } = world(1);
        let caster = thread::spawn({
            let mailbox = mailbox.clone();
            move || {
                for number in 0..3 {
                    assert_eq!(cast(&mailbox, edge, number, Lane::Normal, WhenFull::Outbox(3)), Some(number));
                }
            }
        });
        // Nobody comes back for what is kept: this would sleep for ever if the last were left outside.
        for number in 0..3 {
            assert_eq!(block_on(next_message(&mut inbound)), number);
        }
        caster.join().expect("no panic");
        assert_eq!(mailbox.counts(edge).waiting, 0);
    });
}

#[test]
fn what_is_merged_while_the_queue_is_taken_out_is_counted_once() {
    model(2, || {
        let World { mailbox, edge, mut inbound, .. } = world(1);
        mailbox.try_send(edge, 1, 1, Lane::Normal).unwrap();
        let casts = [10, 100].map(|number| {
            let mailbox = mailbox.clone();
            thread::spawn(move || cast(&mailbox, edge, number, Lane::Normal, WhenFull::Merged(1)))
        });
        let first = block_on(next_message(&mut inbound));
        let taken: u32 = casts.into_iter().filter_map(|cast| cast.join().unwrap()).sum();
        assert_eq!(taken, 110, "there is always a message to merge with or a place");
        let rest: u32 = rest(&mailbox, &mut inbound).into_iter().sum();
        assert_eq!(first + rest, 1 + taken);
    });
}

#[test]
fn purging_the_high_lane_hides_nothing_that_is_put_in_meanwhile() {
    model(3, || {
        let World { mailbox, edge, mut inbound, .. } = world(4);
        mailbox.try_send(edge, 10, 1, Lane::High).unwrap();
        let (high, normal) = (mailbox.clone(), mailbox.clone());
        let first = thread::spawn(move || high.try_send(edge, 11, 1, Lane::High).unwrap());
        let second = thread::spawn(move || normal.try_send(edge, 1, 1, Lane::Normal).unwrap());
        let gone = inbound.purge(|number| *number > 9).expect("no signal was published");
        assert_eq!(gone[0], 10);
        block_on(async {
            if gone.len() < 2 {
                // In whatever order with the normal one, which may have been there before it.
                assert_eq!(next_message(&mut inbound).await + next_message(&mut inbound).await, 12);
            } else {
                assert_eq!(next_message(&mut inbound).await, 1);
            }
        });
        first.join().unwrap();
        second.join().unwrap();
        assert!(rest(&mailbox, &mut inbound).is_empty());
    });
}

#[test]
fn a_restart_keeps_what_was_prepared_and_who_waits() {
    model(2, || {
        let World { mailbox, edge, log, mut inbound } = world(1);
        mailbox.try_send(edge, 0, 1, Lane::High).unwrap();
        let waiting = mailbox.clone();
        let sender = thread::spawn(move || {
            log.publish(1).expect("not concluded");
            block_on(send(waiting, edge, 1)).unwrap();
        });
        block_on(async {
            // May prepare the message and then find the signal, which goes first.
            let mut messages = 0;
            if let Incoming::Message(number) = next(&mut inbound).await {
                assert_eq!(number, 0);
                messages = 1;
            }
            inbound.restart();
            let mut seen = 0;
            while messages < 2 {
                match next(&mut inbound).await {
                    Incoming::Signal(beat) => seen = beat,
                    Incoming::Message(number) => {
                        assert!(number <= seen, "message {number} was delivered before its signal");
                        messages += 1;
                    }
                    Incoming::Conclude => panic!("nobody concluded"),
                }
            }
        });
        sender.join().unwrap();
    });
}
