//! The order of what was sent, whichever task the seed lets run first.

use std::collections::BTreeSet;

use expect_test::expect;
use mocks::Harness;
use overseer::{Context, Event, Failure, Subsystem, View, Wait};

struct Go;
struct ToLeft(u32);
struct ToRight(u32);
overseer::inbox! { enum LeftInbox for Left as "left" { tell { ToLeft } } }
overseer::inbox! { enum RightInbox for Right as "right" { tell { ToRight } } }
overseer::inbox! { enum MidInbox for Mid as "mid" { tell { Go } } }

enum Rounds {}
impl View for Rounds {
    type Update = u32;
    type State = u32;
    fn apply(round: &mut u32, begins: &u32) {
        *round = *begins;
    }
    fn catch_up(_: &u32, now: &u32) -> u32 {
        *now
    }
}

/// Sends to both in turns, all in one go.
struct InTurns(u32);
impl Subsystem for InTurns {
    type Role = Mid;
    type View = Rounds;
    type Sends = (Wait<ToLeft>, Wait<ToRight>);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Message(MidInbox::Go(Go)) => {
                    for turn in 0..self.0 {
                        context.send(ToLeft(turn)).await?;
                        context.send(ToRight(turn)).await?;
                    }
                }
                Event::Signal(_) => {}
                Event::Conclude => return Ok(()),
            }
        }
    }
}

fn scene(seed: u64, turns: u32) -> Harness {
    mocks::node_with(seed, |slots| {
        slots.fill(InTurns(turns));
        slots.mock::<Left>();
        slots.mock::<Right>();
        slots.about::<Left, u32>(|LeftInbox::ToLeft(ToLeft(turn))| Some(*turn));
        slots.about::<Right, u32>(|RightInbox::ToRight(ToRight(turn))| Some(*turn));
        slots.announces::<Rounds, u32>(|begins| (0..=*begins).collect());
    })
}

#[test]
fn strict_order_is_the_order_of_sending_under_every_schedule() {
    mocks::schedules(200, |seed| {
        let harness = scene(seed, 3);
        harness.publish::<Rounds>(2);
        harness.tell(Go);
        for turn in 0..3 {
            let LeftInbox::ToLeft(ToLeft(left)) = harness.expect::<Left>();
            let RightInbox::ToRight(ToRight(right)) = harness.expect::<Right>();
            assert_eq!((left, right), (turn, turn));
        }
        harness.finish();
    });
}

#[test]
fn a_transcript_is_in_the_order_of_sending_under_every_schedule() {
    let mut seen = BTreeSet::new();
    mocks::schedules(200, |seed| {
        let harness = scene(seed, 2);
        harness.stub::<Right>(|RightInbox::ToRight(_)| None);
        harness.publish::<Rounds>(1);
        harness.tell(Go);
        seen.insert(harness.transcript());
        harness.expect::<Left>();
        harness.expect::<Left>();
        harness.finish();
    });
    assert_eq!(seen.len(), 1, "{seen:#?}");
    expect![[r#"
        * Rounds(0, 1)
        ← Go
        → left ToLeft(0)
        → right ToRight(0) [stub]
        → left ToLeft(1)
        → right ToRight(1) [stub]
    "#]]
    .assert_eq(&seen.pop_first().unwrap());
}

#[test]
fn what_was_sent_to_one_who_does_not_read_was_sent_before_the_next_signal() {
    let failed = std::panic::catch_unwind(|| {
        let harness = scene(1, 1);
        harness.pause::<Left>(true);
        harness.pause::<Right>(true);
        harness.tell(Go);
        assert!(harness.try_expect::<Left>().is_none(), "it does not read");
        harness.publish::<Rounds>(0);
    });
    let text = failed.expect_err("round 0 was spoken of before it began");
    let text = text.downcast_ref::<String>().expect("a text");
    assert!(text.contains("ToLeft was sent to left before the signal that announces 0"), "{text}");
}

#[test]
fn one_that_is_read_again_has_all_that_it_was_sent() {
    mocks::schedules(20, |seed| {
        let harness = scene(seed, 2000);
        harness.publish::<Rounds>(2000);
        harness.pause::<Left>(true);
        harness.tell(Go);
        assert!(harness.try_expect::<Left>().is_none(), "it does not read");
        let left = harness.handle().queues().into_iter().find(|queue| queue.subsystem == "left").unwrap();
        assert_eq!(left.waiting, 1024, "its queue is full, and the subject waits");
        harness.pause::<Left>(false);
        for turn in 0..2000 {
            let LeftInbox::ToLeft(ToLeft(left)) = harness.expect_any_order::<Left>();
            let RightInbox::ToRight(ToRight(right)) = harness.expect_any_order::<Right>();
            assert_eq!((left, right), (turn, turn));
        }
        harness.finish();
    });
}
