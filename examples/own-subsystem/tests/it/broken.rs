//! Broken on purpose, and told what is wrong each time: three ways by the compiler (`tests/broken/`, the texts beside
//! them), one when the node is built, three by the test kit.

use std::panic::{AssertUnwindSafe, catch_unwind};

use expect_test::{Expect, expect};
use messages::candidate_backing::{CandidateBacking, Second};
use messages::candidate_selection::{CandidateSelection, Inbox, Invalid};
use mocks::chain::TestChain;
use mocks::fixtures::{CandidateBuilder, hash, peer};
use overseer::{Context, Event, Failure, Nothing, Subsystem, Wait};
use own_subsystem::Loyal;

use crate::loyal::offer;

fn is_told(broken: impl FnOnce(), what: &Expect) {
    let panic = catch_unwind(AssertUnwindSafe(broken)).expect_err("it is broken");
    what.assert_eq(panic.downcast_ref::<String>().expect("a text"));
}

/// 1 to 3: a send that is not declared, a slot of another role, a message that nobody in the node consumes.
#[test]
fn by_the_compiler() {
    trybuild::TestCases::new().compile_fail("tests/broken/*.rs");
}

/// Tells candidate selection what is invalid, and waits for it, while that waits to second something.
struct WaitsBack;
impl Subsystem for WaitsBack {
    type Role = CandidateBacking;
    type View = Nothing;
    type Sends = (Wait<Invalid>,);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

/// 4: two that wait for each other.
#[test]
fn when_it_is_built() {
    let build = || {
        mocks::node_with(1, |slots| {
            slots.fill(Loyal { favourite: peer(1) });
            slots.fill(WaitsBack);
        })
    };
    is_told(
        || drop(build()),
        &expect![
            "this node cannot be built: sends wait for each other in a circle: candidate-backing (loop) waits with Invalid at candidate-selection; candidate-selection (loop) waits with Second at candidate-backing"
        ],
    );
}

/// Takes every offer for one of an active leaf, or panics over it.
struct Hasty {
    panics: bool,
}
impl Subsystem for Hasty {
    type Role = CandidateSelection;
    type View = Nothing;
    type Sends = (Wait<Second>,);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Message(Inbox::NewCandidate(offered)) => {
                    assert!(!self.panics, "no idea what {} is", offered.para_id);
                    let candidate = CandidateBuilder::new(7, 0, offered.relay_parent).build();
                    let (receipt, pov) = (candidate.receipt(), candidate.pov);
                    context.send(Second { relay_parent: offered.relay_parent, receipt, pov }).await?;
                }
                Event::Message(_) => {}
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

/// 5: it seconds at a block that nobody has been told of. 6: it panics. 7: the test does not look at what it sent.
#[test]
fn by_the_test_kit() {
    let candidate = CandidateBuilder::new(7, 0, hash(5)).build();
    let scene = |panics| {
        let harness = mocks::Harness::new(1, |_| Hasty { panics });
        harness.signal(TestChain::new(hash(0), 1).1);
        harness
    };
    is_told(
        || scene(false).tell(offer(1, &candidate)),
        &expect![
            "seed 1: Second was sent to candidate-backing before the signal that announces 0x0505…: nobody can know of it yet"
        ],
    );
    is_told(
        || scene(true).tell(offer(1, &candidate)),
        &expect!["seed 1: the subject ended: candidate-selection panicked: no idea what 7 is"],
    );
    let harness = mocks::Harness::new(1, |_| Loyal { favourite: peer(1) });
    harness.signal(TestChain::new(hash(5), 1).1);
    harness.tell(offer(1, &candidate));
    is_told(
        || harness.finish(),
        &expect![[r#"seed 1: nothing was expected, but was sent: ["FetchCollation → collation-distribution"]"#]],
    );
}
