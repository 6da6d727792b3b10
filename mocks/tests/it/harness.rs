//! What the harness shows.

use std::time::Duration;

use expect_test::expect;
use messages::candidate_backing::CandidateBacking;
use messages::candidate_selection::CandidateSelection;
use messages::collation_distribution::{CollationDistribution, FetchCollation, Inbox};
use mocks::Harness;
use mocks::chain::TestChain;
use mocks::fixtures::{Candidate, CandidateBuilder, hash};
use overseer::port::Tapped;
use overseer::{Context, Event, Failure, Subsystem, View};

use crate::subject::{Picks, offer, serve_collation};

fn scene(seed: u64) -> (Harness, TestChain, Candidate) {
    let (chain, update) = TestChain::new(hash(0), 1);
    let harness = Harness::new(seed, |_| Picks);
    harness.signal(update);
    (harness, chain, CandidateBuilder::new(7, 0, hash(0)).build())
}

#[test]
fn a_transcript_tells_all_that_crossed_the_ports_and_begins_anew() {
    let (harness, chain, candidate) = scene(1);
    serve_collation(&harness, &candidate);
    harness.describe::<CandidateBacking>(|inbox| match inbox {
        messages::candidate_backing::Inbox::Second(second) => format!("para {}", second.receipt.descriptor.para_id()),
        _ => String::new(),
    });
    harness.tell(offer(&candidate));
    harness.run_for(Duration::from_millis(250));
    harness.signal(chain.grow(hash(0), 1).remove(0).update);
    expect![[r#"
        * starts 0x0000… final 0x0000…
        ← NewCandidate(0x0000…)
        → collation-distribution FetchCollation(0x0000…) [stub]
        ← answer to FetchCollation
        → candidate-backing Second(para 7)
          250ms pass
        * stops 0x0000… starts 0x0101…
    "#]]
    .assert_eq(&harness.transcript());
    assert_eq!(harness.transcript(), "");
    assert_eq!(harness.pending(), ["Second → candidate-backing"]);
    harness.expect::<CandidateBacking>();
    harness.finish();
}

#[test]
fn free_order_passes_over_what_others_got() {
    let (harness, chain, _) = scene(1);
    let fork = [chain.grow(hash(0), 1).remove(0), chain.grow(hash(0), 1).remove(0)];
    let [first, second] = fork.map(|grown| {
        harness.signal(grown.update);
        let candidate = CandidateBuilder::new(7, 0, grown.hash).build();
        harness.tell(offer(&candidate));
        candidate
    });
    let Inbox::FetchCollation(question, reply) = harness.expect::<CollationDistribution>() else { panic!() };
    assert_eq!(question.candidate_hash, first.hash());
    assert!(harness.try_expect::<CandidateBacking>().is_none());
    let fetched = messages::collation_distribution::FetchedCollation { receipt: first.receipt(), pov: first.pov };
    reply.answer(Ok(fetched)).unwrap();
    assert_eq!(harness.pending(), ["FetchCollation → collation-distribution", "Second → candidate-backing"]);
    harness.expect_any_order::<CandidateBacking>();
    let Inbox::FetchCollation(question, _) = harness.expect::<CollationDistribution>() else { panic!() };
    assert_eq!(question.candidate_hash, second.hash());
    harness.finish();
}

#[test]
fn two_hundred_schedules_end_alike() {
    let mut transcripts = std::collections::BTreeSet::new();
    mocks::schedules(200, |seed| {
        let (harness, _chain, candidate) = scene(seed);
        serve_collation(&harness, &candidate);
        harness.tell(offer(&candidate));
        transcripts.insert(harness.transcript());
        harness.expect::<CandidateBacking>();
        harness.finish();
    });
    assert_eq!(transcripts.len(), 1, "{transcripts:?}");
}

#[test]
fn the_same_seed_takes_the_same_steps_and_another_seed_others() {
    let trace = |seed| {
        let (harness, _chain, candidate) = scene(seed);
        serve_collation(&harness, &candidate);
        harness.tell(offer(&candidate));
        let trace = harness.simulation().trace_hash();
        harness.expect::<CandidateBacking>();
        harness.finish();
        trace
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}

#[test]
fn a_node_with_two_real_subsystems_and_a_tap() {
    let candidate = CandidateBuilder::new(7, 0, hash(0)).build();
    let (_chain, update) = TestChain::new(hash(0), 1);
    let harness = mocks::node_with(1, |slots| {
        slots.fill(Picks);
        slots.fill(overseer::subsystem::Drain::<CandidateBacking>::default());
        slots.tap::<CandidateSelection, FetchCollation>(|mut question: FetchCollation| {
            question.peer = mocks::fixtures::peer(9);
            Tapped::Pass(question)
        });
    });
    harness.signal(update);
    harness.tell(offer(&candidate));
    let Inbox::FetchCollation(question, reply) = harness.expect::<CollationDistribution>() else { panic!() };
    assert_eq!(question.peer, mocks::fixtures::peer(9), "the tap has replaced it");
    let fetched =
        messages::collation_distribution::FetchedCollation { receipt: candidate.receipt(), pov: candidate.pov };
    reply.answer(Ok(fetched)).unwrap();
    // Second went to the real neighbour, which drops it.
    harness.finish();
}

#[test]
fn a_slow_neighbour_makes_the_subject_wait() {
    let (chain, update) = TestChain::new(hash(0), 1);
    let harness = mocks::node_with(1, |slots| {
        slots.mailbox_limits::<CandidateBacking>(overseer::mailbox::MailboxLimits {
            messages: 1,
            ..overseer::mailbox::MailboxLimits::default()
        });
        slots.fill(Picks);
    });
    harness.pause::<CandidateBacking>(true);
    harness.signal(update);
    let mut leaf = hash(0);
    let mut sent = 0;
    for _ in 0..5 {
        let candidate = CandidateBuilder::new(7, 0, leaf).build();
        serve_collation(&harness, &candidate);
        harness.tell(offer(&candidate));
        let grown = chain.grow(leaf, 1).remove(0);
        leaf = grown.hash;
        harness.signal(grown.update);
    }
    while harness.try_expect::<CandidateBacking>().is_some() {
        sent += 1;
    }
    assert!(sent <= 1, "{sent}");
    harness.pause::<CandidateBacking>(false);
    while harness.try_expect::<CandidateBacking>().is_some() {
        sent += 1;
    }
    assert!(sent >= 2, "{sent}");
    harness.finish();
}

/// A view and a slot of no parachain at all.
enum Beats {}
impl View for Beats {
    type Update = u32;
    type State = u32;
    fn apply(state: &mut u32, update: &u32) {
        *state += update;
    }
    fn catch_up(seen: &u32, now: &u32) -> u32 {
        now - seen
    }
}
struct Sum(u32);
struct Total;
overseer::inbox! { enum PrinterInbox for Printer as "printer" { tell { Sum } } }
overseer::inbox! { enum AdderInbox for Adder as "adder" { ask { Total -> u32 } } }

struct Adds;
impl Subsystem for Adds {
    type Role = Adder;
    type View = Beats;
    type Sends = (overseer::Wait<Sum>,);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut sum = 0;
        loop {
            match context.recv().await {
                Event::Signal(beats) => {
                    sum += beats;
                    context.send(Sum(sum)).await?;
                }
                Event::Message(AdderInbox::Total(Total, reply)) => drop(reply.answer(sum)),
                Event::Conclude => return Ok(()),
            }
        }
    }
}

#[test]
fn a_node_of_ones_own_is_tested_the_same_way() {
    let harness = mocks::node_with(1, |slots| {
        slots.fill(Adds);
        slots.mock::<Printer>();
    });
    harness.publish::<Beats>(2);
    harness.publish::<Beats>(3);
    assert_eq!(harness.ask(Total).take(), Some(Ok(5)));
    let PrinterInbox::Sum(Sum(first)) = harness.expect::<Printer>();
    let PrinterInbox::Sum(Sum(second)) = harness.expect::<Printer>();
    assert_eq!((first, second), (2, 5));
    expect![[r#"
        * Beats
        → printer Sum
        * Beats
        → printer Sum
        ← Total?
        → answer to Total
    "#]]
    .assert_eq(&harness.transcript());
    harness.finish();
}

/// Tells the printer ten times what it prints, once it is asked to; falls over each question for the total.
struct Multiplies;
impl Subsystem for Multiplies {
    type Role = Adder;
    type View = Beats;
    type Sends = (overseer::Wait<Sum>,);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Signal(beats) => context.send(Sum(10 * beats)).await?,
                Event::Message(AdderInbox::Total(Total, _)) => return Err("too much".into()),
                Event::Conclude => return Ok(()),
            }
        }
    }
}

#[test]
fn what_real_subsystems_say_to_each_other_is_seen_and_looked_at() {
    let node = |announced: u32| {
        let harness = mocks::node_with(1, move |slots| {
            slots.fill(Multiplies);
            slots.fill(overseer::subsystem::Drain::<Printer>::default());
            slots.announces::<Beats, u32>(move |_| vec![announced]);
            slots.about::<Printer, u32>(|PrinterInbox::Sum(Sum(sum))| Some(*sum));
        });
        harness.tell(Sum(7));
        harness.publish::<Beats>(3);
        harness
    };
    let harness = node(30);
    expect![[r#"
        ← Sum(7)
        * Beats(30)
        → printer Sum(30) [real]
    "#]]
    .assert_eq(&harness.transcript());
    harness.finish();
    let early = std::panic::catch_unwind(|| drop(node(3))).expect_err("30 was never announced");
    let text = early.downcast_ref::<String>().expect("a text");
    assert!(text.contains("Sum was sent to printer before the signal that announces 30"), "{text}");
}

#[test]
fn a_subject_that_starts_again_goes_on() {
    let harness = mocks::node_with(1, |slots| {
        slots.restarting(1, || Multiplies);
        slots.mock::<Printer>();
        slots.about::<Adder, &str>(|AdderInbox::Total(Total, _)| Some("all"));
    });
    let answer = harness.ask(Total);
    assert!(answer.take().expect("it fell over the question").is_err());
    harness.publish::<Beats>(2);
    let PrinterInbox::Sum(Sum(sum)) = harness.expect::<Printer>();
    assert_eq!(sum, 20);
    expect![[r#"
        ← Total("all")?
        → no answer to Total
        * Beats
        → printer Sum
    "#]]
    .assert_eq(&harness.transcript());
    harness.finish();
}
