//! What the kit says when a test fails: each failure is provoked, and its message is pinned.

use std::panic::{AssertUnwindSafe, catch_unwind};

use expect_test::{Expect, expect};
use messages::candidate_backing::CandidateBacking;
use messages::candidate_selection::NewCandidate;
use messages::collation_distribution::{CollationDistribution, FetchCollation};
use messages::provisioner::{Provisioner, RequestBlockAuthorshipData};
use mocks::Harness;
use mocks::chain::TestChain;
use mocks::fixtures::{CandidateBuilder, hash};
use overseer::{Context, Event, Failure, Nothing, Subsystem, Wait};

use crate::subject::{Picks, offer};

fn fails(test: impl FnOnce(), says: &Expect) {
    let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("this must fail");
    let message = panic.downcast_ref::<String>().cloned();
    says.assert_eq(&message.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).expect("a text"));
}

fn offered() -> (Harness, NewCandidate) {
    let (_, update) = TestChain::new(hash(0), 1);
    let harness = Harness::new(1, |_| Picks);
    harness.signal(update);
    (harness, offer(&CandidateBuilder::new(7, 0, hash(0)).build()))
}

#[test]
fn a_message_that_no_test_took() {
    let (harness, offer) = offered();
    harness.tell(offer);
    fails(
        || harness.finish(),
        &expect![[r#"nothing was expected, but was sent: ["FetchCollation → collation-distribution"]"#]],
    );
}

#[test]
fn a_message_that_was_not_sent() {
    let (harness, _) = offered();
    fails(
        || drop(harness.expect::<CandidateBacking>()),
        &expect!["expected a message for candidate-backing, nothing was sent"],
    );
    fails(
        || drop(harness.expect_any_order::<CandidateBacking>()),
        &expect!["expected a message for candidate-backing; sent: []"],
    );
}

#[test]
fn a_message_to_another_role() {
    let (harness, offer) = offered();
    harness.tell(offer);
    fails(
        || drop(harness.expect::<CandidateBacking>()),
        &expect!["expected a message for candidate-backing, but FetchCollation was sent to collation-distribution"],
    );
}

/// Does one thing wrong, in the slot of the provisioner.
#[derive(Clone, Copy)]
enum Wrong {
    DropsQuestions,
    KeepsQuestions,
    LeavesATask,
    Panics,
    EndsEarly,
    SpeaksTooEarly,
}

impl Subsystem for Wrong {
    type Role = Provisioner;
    type View = Nothing;
    type Sends = (Wait<messages::misbehavior_arbitration::DoubleVote>, Wait<messages::candidate_backing::Second>);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut kept = Vec::new();
        if matches!(self, Self::LeavesATask) {
            let never = Box::pin(std::future::pending());
            context.environment().spawner.spawn("orphan", never);
        }
        if matches!(self, Self::SpeaksTooEarly) {
            let candidate = CandidateBuilder::new(7, 0, hash(3)).build();
            let (receipt, pov) = (candidate.receipt(), candidate.pov);
            context.send(messages::candidate_backing::Second { relay_parent: hash(3), receipt, pov }).await?;
        }
        loop {
            match context.recv().await {
                Event::Message(message) => match self {
                    Self::KeepsQuestions => kept.push(message),
                    Self::Panics => panic!("what is this?"),
                    Self::EndsEarly => return Err("no more of this".into()),
                    Self::DropsQuestions | Self::LeavesATask | Self::SpeaksTooEarly => drop(message),
                },
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

fn wrong(how: Wrong) -> Harness {
    Harness::new(1, |_| how)
}

fn question() -> RequestBlockAuthorshipData {
    RequestBlockAuthorshipData { parent: hash(0) }
}

#[test]
fn a_question_that_the_subject_dropped_or_still_owes() {
    let harness = wrong(Wrong::DropsQuestions);
    let refused = harness.ask(question());
    drop(refused);
    fails(
        || harness.finish(),
        &expect![
            "RequestBlockAuthorshipData was asked and refused, which no test looked at: provisioner dropped RequestBlockAuthorshipData without an answer"
        ],
    );
    let harness = wrong(Wrong::KeepsQuestions);
    drop(harness.ask(question()));
    fails(|| harness.finish(), &expect!["RequestBlockAuthorshipData was asked and has no answer yet"]);

    let harness = wrong(Wrong::KeepsQuestions);
    let waiting = harness.ask(question());
    assert!(waiting.take().is_none());
    harness.finish();
    assert!(waiting.take().unwrap().is_err(), "ended while it owed the answer, as the test wanted");
}

#[test]
fn a_task_left_behind() {
    fails(|| wrong(Wrong::LeavesATask).finish(), &expect![[r#"tasks left behind: ["subject/orphan"]"#]]);
}

#[test]
fn a_subject_that_panics_or_ends() {
    let harness = wrong(Wrong::Panics);
    fails(|| drop(harness.ask(question())), &expect!["seed 1: the subject ended: provisioner panicked: what is this?"]);
    let harness = wrong(Wrong::EndsEarly);
    fails(|| drop(harness.ask(question())), &expect!["seed 1: the subject ended: provisioner failed: no more of this"]);
}

#[test]
fn a_message_before_its_signal() {
    fails(
        || drop(wrong(Wrong::SpeaksTooEarly)),
        &expect![
            "seed 1: Second was sent to candidate-backing before the signal of its relay parent 0x0303…: nobody can know that block yet"
        ],
    );
}

#[test]
fn one_schedule_of_many() {
    fails(
        || mocks::schedules(200, |seed| assert!(seed < 17, "too late")),
        &expect![[r#"
            fails with seed 17 of 0..200: too late
            this seed alone: mocks::schedules_in(17..18, …)"#]],
    );
}

/// Asks in a circle with [`Wrong`]: backing sends to the provisioner, which sends to backing.
struct Backs;
impl Subsystem for Backs {
    type Role = CandidateBacking;
    type View = Nothing;
    type Sends = (Wait<messages::provisioner::Bitfield>,);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

#[test]
fn a_circle_of_waits() {
    let build = || {
        mocks::node_with(1, |slots| {
            slots.fill(Backs);
            slots.fill(Wrong::DropsQuestions);
        })
    };
    let panic = catch_unwind(AssertUnwindSafe(|| drop(build()))).expect_err("a circle");
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.starts_with("this node cannot be built: sends wait for each other in a circle: "), "{message}");
    assert!(message.contains("Bitfield") && message.contains("Second"), "{message}");
}

#[test]
fn a_subject_whose_question_is_dropped_goes_on() {
    let (harness, offer) = offered();
    harness.tell(offer);
    let messages::collation_distribution::Inbox::FetchCollation(FetchCollation { .. }, reply) =
        harness.expect::<CollationDistribution>()
    else {
        panic!()
    };
    drop(reply);
    harness.finish();
}
