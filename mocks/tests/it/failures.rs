//! What the kit says when a test fails: each failure is provoked, and its message is pinned.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use expect_test::{Expect, expect};
use messages::candidate_backing::{CandidateBacking, Second};
use messages::candidate_selection::NewCandidate;
use messages::collation_distribution::{CollationDistribution, FetchCollation};
use messages::provisioner::{Provisioner, RequestBlockAuthorshipData};
use messages::{FinalizedBlock, LeavesUpdate};
use mocks::Harness;
use mocks::chain::TestChain;
use mocks::fixtures::{CandidateBuilder, Validators, hash};
use overseer::mailbox::MailboxLimits;
use overseer::message::Post;
use overseer::{Ask, Context, Event, Failure, Nothing, Request, Subsystem, Wait};
use ports::ExecutionPurpose;
use primitives::CoreIndex;

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
        &expect![[r#"seed 1: nothing was expected, but was sent: ["FetchCollation → collation-distribution"]"#]],
    );
}

#[test]
fn a_message_that_was_not_sent() {
    let (harness, _) = offered();
    fails(
        || drop(harness.expect::<CandidateBacking>()),
        &expect!["seed 1: expected a message for candidate-backing, nothing was sent"],
    );
    let (harness, offer) = offered();
    harness.tell(offer);
    fails(
        || drop(harness.expect_any_order::<CandidateBacking>()),
        &expect![[
            r#"seed 1: expected a message for candidate-backing; sent: ["FetchCollation → collation-distribution"]"#
        ]],
    );
}

#[test]
fn a_message_to_another_role() {
    let (harness, offer) = offered();
    harness.tell(offer);
    fails(
        || drop(harness.expect::<CandidateBacking>()),
        &expect![
            "seed 1: expected a message for candidate-backing, but FetchCollation was sent to collation-distribution"
        ],
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
    SpeaksAtTheEnd,
    NeverEnds,
    EndsLater,
    ReadsNothing,
    KeepsTime,
}

impl Subsystem for Wrong {
    type Role = Provisioner;
    type View = Nothing;
    type Sends = (Wait<messages::misbehavior_arbitration::DoubleVote>, Wait<Second>);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut kept = Vec::new();
        if matches!(self, Self::LeavesATask) {
            let never = Box::pin(std::future::pending());
            context.environment().spawner.spawn("orphan", never);
        }
        if matches!(self, Self::SpeaksTooEarly) {
            context.send(second()).await?;
        }
        if matches!(self, Self::KeepsTime) {
            loop {
                context.environment().clock.sleep(Duration::from_secs(1)).await;
            }
        }
        if matches!(self, Self::ReadsNothing) {
            std::future::pending::<()>().await;
        }
        loop {
            match context.recv().await {
                Event::Message(message) => match self {
                    Self::KeepsQuestions => kept.push(message),
                    Self::Panics => panic!("what is this?"),
                    Self::EndsEarly => return Err("no more of this".into()),
                    _ => drop(message),
                },
                Event::Signal(never) => match never {},
                Event::Conclude if matches!(self, Self::NeverEnds) => {}
                Event::Conclude => {
                    if matches!(self, Self::EndsLater) {
                        context.environment().clock.sleep(Duration::from_secs(1)).await;
                    }
                    if matches!(self, Self::SpeaksAtTheEnd) {
                        context.send(second()).await?;
                    }
                    return Ok(());
                }
            }
        }
    }
}

/// About a block that only some tests have announced.
fn second() -> Second {
    let candidate = CandidateBuilder::new(7, 0, hash(3)).build();
    Second { relay_parent: hash(3), receipt: candidate.receipt(), pov: candidate.pov }
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
    drop(harness.ask(question()));
    fails(
        || harness.finish(),
        &expect![
            "seed 1: RequestBlockAuthorshipData was asked and refused, which no test looked at: provisioner dropped RequestBlockAuthorshipData without an answer"
        ],
    );
    let harness = wrong(Wrong::KeepsQuestions);
    let never_looked_at = harness.ask(question());
    fails(
        || harness.finish(),
        &expect!["seed 1: RequestBlockAuthorshipData was asked and has no answer yet, which no test looked at"],
    );
    assert!(never_looked_at.take().is_none());

    let harness = wrong(Wrong::KeepsQuestions);
    let waiting = harness.ask(question());
    assert!(waiting.take().is_none());
    harness.finish();
    assert!(waiting.take().unwrap().is_err(), "ended while it owed the answer, as the test wanted");
}

#[test]
fn a_message_to_a_role_that_is_mocked() {
    let (harness, _) = offered();
    fails(
        || harness.tell(second()),
        &expect!["seed 1: Second is for candidate-backing, whose slot is mocked: a test speaks to real subsystems"],
    );
    let (harness, _) = offered();
    fails(
        || drop(harness.ask(question())),
        &expect![
            "seed 1: RequestBlockAuthorshipData is for provisioner, whose slot is mocked: a test speaks to real subsystems"
        ],
    );
}

#[test]
fn a_subject_that_never_rests() {
    let harness = wrong(Wrong::KeepsTime);
    fails(
        || harness.run_until_idle(),
        &expect![[
            r#"seed 1: no end after 500000 steps, 0 of them with the clock standing still; busiest tasks: [("subject/provisioner", 500000)]"#
        ]],
    );
}

#[test]
fn a_task_left_behind() {
    fails(|| wrong(Wrong::LeavesATask).finish(), &expect![[r#"seed 1: tasks left behind: ["subject/orphan"]"#]]);
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
            "seed 1: Second was sent to candidate-backing before the signal that announces 0x0303…: nobody can know of it yet"
        ],
    );
}

#[test]
fn a_message_sent_while_concluding() {
    let speaks = || {
        let harness = wrong(Wrong::SpeaksAtTheEnd);
        harness.signal(TestChain::new(hash(3), 1).1);
        harness
    };
    fails(
        || speaks().finish(),
        &expect![[r#"seed 1: nothing was expected while concluding, but was sent: ["Second → candidate-backing"]"#]],
    );

    let harness = speaks();
    harness.conclude();
    assert!(matches!(harness.expect::<CandidateBacking>(), messages::candidate_backing::Inbox::Second(_)));
    harness.finish();

    let harness = speaks();
    harness.stub::<CandidateBacking>(|_| None);
    harness.finish();
}

overseer::inbox! {
    /// Nothing.
    enum SpeakerInbox for Speaker as "speaker" {}
}

/// Says or asks one thing at its first signal.
struct Says<M>(M);
struct AsksFor<M>(M);

impl<M: Post> Subsystem for Says<M> {
    type Role = Speaker;
    type View = messages::RelayParents;
    type Sends = (Wait<M>,);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let _ = context.recv().await;
        drop(context.send(self.0).await);
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

impl<M: Request> Subsystem for AsksFor<M> {
    type Role = Speaker;
    type View = messages::RelayParents;
    type Sends = ();
    type JobSends = (Ask<M>,);
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let _ = context.recv().await;
        let ask = context.jobs();
        let asked = async move { drop(ask.ask(self.0).await) };
        context.environment().spawner.spawn("ask", Box::pin(asked));
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

/// What each speaker that one message is made for says to this signal; empty if the harness found nothing.
fn each_at(update: &LeavesUpdate) -> String {
    let candidate = CandidateBuilder::new(7, 0, hash(3)).build();
    let validators = Validators::new(2, 1);
    let (relay_parent, receipt, pov) = (hash(3), candidate.receipt(), candidate.pov.clone());
    let (candidate_hash, signed) = (candidate.hash(), validators.valid(0, &candidate));
    let bitfield = validators.bitfield(0, relay_parent, &[]);
    let backed = validators.backed(&candidate, CoreIndex(0), 0, &[0]);
    let mut told = String::new();
    let mut check = |fill: &dyn Fn(&mut mocks::Slots)| {
        let harness = mocks::node_with(1, |slots| fill(slots));
        match catch_unwind(AssertUnwindSafe(|| harness.signal(update.clone()))) {
            Ok(()) => {
                assert_eq!(harness.pending().len(), 1, "it was sent");
                take_any(&harness);
                harness.finish();
            }
            Err(panic) => told += &format!("{}\n", panic.downcast_ref::<String>().expect("a text")),
        }
    };
    macro_rules! check {
        ($speaker:ident: $($message:expr),* $(,)?) => { $(
            let message = $message;
            check(&|slots| slots.fill($speaker(message.clone())));
        )* };
    }
    use messages::*;
    check!(Says:
        bitfield_distribution::DistributeBitfield { relay_parent, signed: bitfield.clone() },
        candidate_backing::Second { relay_parent, receipt: receipt.clone(), pov: pov.clone() },
        candidate_backing::Statement { relay_parent, signed: signed.clone() },
        offer(&candidate),
        candidate_selection::Invalid { relay_parent, receipt: receipt.clone() },
        candidate_selection::Seconded { relay_parent, candidate_hash },
        collation_distribution::DistributeCollation {
            relay_parent, core: CoreIndex(0), receipt: receipt.clone(), pov: pov.clone(),
        },
        misbehavior_arbitration::CandidateValidityDisagreement {
            relay_parent, receipt: receipt.clone(), statements: Vec::new(),
        },
        pov_distribution::DistributePoV { relay_parent, candidate_hash, pov: pov.clone() },
        provisioner::Bitfield { relay_parent, signed: bitfield.clone() },
        provisioner::BackableCandidate { relay_parent, backed: backed.clone() },
        statement_distribution::Share { relay_parent, signed: signed.clone() },
    );
    check!(AsksFor:
        availability_recovery::RecoverAvailableData {
            candidate_hash, erasure_root: hash(0), relay_parent, session_index: 1, core: CoreIndex(0), backers: Vec::new(),
        },
        availability_store::StoreAvailableData {
            candidate_hash, relay_parent, available_data: candidate.available_data(),
        },
        candidate_backing::RegisterBackingWatcher { relay_parent },
        candidate_validation::ValidateFromChainState {
            relay_parent, receipt: receipt.clone(), pov: pov.clone(), purpose: ExecutionPurpose::Backing,
        },
        collation_distribution::FetchCollation { relay_parent, peer: mocks::fixtures::peer(1), candidate_hash },
        pov_distribution::FetchPoV {
            relay_parent, candidate_hash, pov_hash: hash(0), max_pov_size: 1, from: Vec::new(),
        },
    );
    told
}

/// A heartbeat, a message and two roles of no parachain: rounds and votes.
enum Rounds {}
impl overseer::View for Rounds {
    type Update = u32;
    type State = u32;
    fn apply(round: &mut u32, begins: &u32) {
        *round = *begins;
    }
    fn catch_up(_: &u32, now: &u32) -> u32 {
        *now
    }
}
struct Vote {
    round: Option<u32>,
}
overseer::inbox! {
    /// Votes.
    enum BallotInbox for BallotBox as "ballot-box" { tell { Vote } }
}

/// Votes for the round that began, and for one more.
struct Votes(Option<u32>);
impl Subsystem for Votes {
    type Role = Speaker;
    type View = Rounds;
    type Sends = (Wait<Vote>,);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Signal(round) => {
                    context.send(Vote { round: Some(round) }).await?;
                    context.send(Vote { round: self.0 }).await?;
                }
                Event::Message(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

#[test]
fn a_message_of_ones_own_before_its_signal() {
    let voter = |also| {
        let harness = mocks::node_with(1, move |slots| {
            slots.fill(Votes(also));
            slots.mock::<BallotBox>();
            slots.announces::<Rounds, u32>(|begins| vec![*begins]);
            slots.about::<BallotBox, u32>(|BallotInbox::Vote(vote)| vote.round);
        });
        harness.publish::<Rounds>(3);
        harness
    };
    fails(
        || drop(voter(Some(4))),
        &expect!["seed 1: Vote was sent to ballot-box before the signal that announces 4: nobody can know of it yet"],
    );
    // What was announced may be spoken of for ever, and what is about nothing at any time.
    for also in [None, Some(3)] {
        let harness = voter(also);
        harness.publish::<Rounds>(4);
        for round in [Some(3), also, Some(4), also] {
            let BallotInbox::Vote(vote) = harness.expect::<BallotBox>();
            assert_eq!(vote.round, round);
        }
        harness.finish();
    }
}

/// Takes the one message that was sent, whoever it is for.
fn take_any(harness: &Harness) {
    use messages::*;
    macro_rules! take {
        ($($module:ident::$role:ident),*) => { $( drop(harness.try_expect::<$module::$role>()); )* };
    }
    take!(
        availability_recovery::AvailabilityRecovery,
        availability_store::AvailabilityStore,
        bitfield_distribution::BitfieldDistribution,
        candidate_backing::CandidateBacking,
        candidate_selection::CandidateSelection,
        candidate_validation::CandidateValidation,
        collation_distribution::CollationDistribution,
        misbehavior_arbitration::MisbehaviorArbitration,
        pov_distribution::PoVDistribution,
        provisioner::Provisioner,
        statement_distribution::StatementDistribution
    );
}

#[test]
fn each_message_about_a_block_comes_after_that_blocks_signal() {
    let (chain, genesis) = TestChain::new(hash(1), 1);
    expect![[r#"
        seed 1: DistributeBitfield was sent to bitfield-distribution before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: Second was sent to candidate-backing before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: Statement was sent to candidate-backing before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: NewCandidate was sent to candidate-selection before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: Invalid was sent to candidate-selection before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: Seconded was sent to candidate-selection before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: DistributeCollation was sent to collation-distribution before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: CandidateValidityDisagreement was sent to misbehavior-arbitration before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: DistributePoV was sent to pov-distribution before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: Bitfield was sent to provisioner before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: BackableCandidate was sent to provisioner before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: Share was sent to statement-distribution before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: RecoverAvailableData was sent to availability-recovery before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: StoreAvailableData was sent to availability-store before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: RegisterBackingWatcher was sent to candidate-backing before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: ValidateFromChainState was sent to candidate-validation before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: FetchCollation was sent to collation-distribution before the signal that announces 0x0303…: nobody can know of it yet
        seed 1: FetchPoV was sent to pov-distribution before the signal that announces 0x0303…: nobody can know of it yet
    "#]].assert_eq(&each_at(&genesis));
    let leaf = chain.import(hash(3), hash(1), 1, 1);
    assert_eq!(each_at(&leaf), "", "as a leaf it is known");
    let mut child = chain.import(hash(4), hash(3), 2, 1);
    assert_eq!(each_at(&child), "", "as the ancestor of a leaf as well");
    child.started.clear();
    assert!(each_at(&child).lines().count() == 18, "as one that stops it is not");
    let finalized =
        LeavesUpdate { finalized: Some(FinalizedBlock { hash: hash(3), number: 1 }), ..LeavesUpdate::default() };
    assert_eq!(each_at(&finalized), "", "what is final is known");
}

#[test]
fn a_message_before_its_signal_while_concluding() {
    fails(
        || wrong(Wrong::SpeaksAtTheEnd).finish(),
        &expect![
            "seed 1: Second was sent to candidate-backing before the signal that announces 0x0303…: nobody can know of it yet"
        ],
    );
}

#[test]
fn a_subject_that_does_not_end() {
    fails(|| wrong(Wrong::NeverEnds).finish(), &expect!["seed 1: the subject did not conclude"]);
    fails(|| wrong(Wrong::EndsLater).finish(), &expect!["seed 1: the subject did not conclude"]);
    let harness = wrong(Wrong::EndsLater);
    harness.conclude();
    harness.run_for(Duration::from_secs(1));
    harness.finish();
}

#[test]
fn a_message_that_the_subject_has_no_place_for() {
    let harness = mocks::node_with(1, |slots| {
        let limits = MailboxLimits { messages: 1, ..MailboxLimits::default() };
        slots.mailbox_limits::<Provisioner>(limits);
        slots.fill(Wrong::ReadsNothing);
    });
    let bitfield = || messages::provisioner::Bitfield {
        relay_parent: hash(0),
        signed: mocks::fixtures::Validators::new(2, 1).bitfield(0, hash(0), &[]),
    };
    harness.tell(bitfield());
    harness.tell(bitfield());
    fails(|| harness.finish(), &expect!["seed 1: Bitfield was told and found no place in the subject's mailbox"]);
}

#[test]
fn a_harness_that_was_not_finished() {
    fails(
        || drop(wrong(Wrong::DropsQuestions)),
        &expect!["seed 1: the harness was dropped before it was finished: end the test with `harness.finish()`"],
    );
    fails(
        || {
            let _harness = wrong(Wrong::DropsQuestions);
            panic!("the test's own");
        },
        &expect!["the test's own"],
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
    assert!(harness.transcript().ends_with("\n← no answer to FetchCollation\n"));
    harness.finish();
}
