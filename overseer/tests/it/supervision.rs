//! OV-1: the first that ends, fails or panics is named and takes the node down in order.

use deterministic::Simulation;
use overseer::node::ExitCause;
use overseer::recorder::Recorded;
use overseer::{Context, Event, ExitReport, Failure, Nothing, Subsystem};

overseer::inbox! {
    /// Nothing.
    pub(crate) enum FirstInbox for First as "first" {}
}
overseer::inbox! {
    /// Nothing.
    pub(crate) enum SecondInbox for Second as "second" {}
}
overseer::node! {
    /// One who misbehaves, one who does not.
    pub(crate) struct Two, built by TwoBuilder { first: First, second: Second }
}

enum Fate {
    Fails,
    Panics,
    Returns,
    IgnoresConclude,
    FailsAtTheEnd,
    PanicsAtTheEnd,
    Obeys,
}

impl Subsystem for Fate {
    type Role = First;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        match self {
            Self::Fails => Err("disk on fire".into()),
            Self::Panics => panic!("index out of {}", "luck"),
            Self::Returns => Ok(()),
            Self::IgnoresConclude => {
                context.recv().await;
                std::future::pending().await
            }
            Self::Obeys | Self::FailsAtTheEnd | Self::PanicsAtTheEnd => {
                while !matches!(context.recv().await, Event::Conclude) {}
                match self {
                    Self::FailsAtTheEnd => Err("disk is full".into()),
                    Self::PanicsAtTheEnd => panic!("nothing to flush"),
                    _ => Ok(()),
                }
            }
        }
    }
}

fn run(fate: Fate, stop: bool) -> ExitReport {
    let simulation = Simulation::new(3);
    let overseer = TwoBuilder::new(simulation.environment("node"))
        .first(fate)
        .drain_empty_slots()
        .build()
        .expect("two slots, both filled");
    if stop {
        overseer.handle().stop();
    }
    let report = simulation.run_until(overseer.run()).expect("it ends");
    simulation.run_until_stalled().expect("no live-lock");
    assert!(simulation.tasks().is_empty(), "left behind: {:?}", simulation.tasks());
    report
}

#[test]
fn causes_are_named() {
    for (fate, expected) in [
        (Fate::Fails, "first failed: disk on fire"),
        (Fate::Panics, "first panicked: index out of luck"),
        (Fate::Returns, "first ended without being told to"),
    ] {
        let report = run(fate, false);
        assert_eq!(report.cause.to_string(), expected);
        assert!(report.unfinished.is_empty());
    }
}

#[test]
fn one_that_does_not_conclude_is_dropped_and_named() {
    let report = run(Fate::IgnoresConclude, true);
    assert!(matches!(report.cause, ExitCause::Stopped));
    assert_eq!(report.unfinished, ["first"]);
    assert_eq!(report.last_events["first"], [Recorded::Conclude]);
}

#[test]
fn one_that_fails_or_panics_while_concluding_is_no_clean_end() {
    for (fate, expected) in [
        (Fate::FailsAtTheEnd, "first failed: disk is full"),
        (Fate::PanicsAtTheEnd, "first panicked: nothing to flush"),
    ] {
        let report = run(fate, true);
        assert_eq!(report.cause.to_string(), expected);
        assert!(!report.is_clean() && report.unfinished.is_empty());
    }
}

#[test]
fn one_that_cannot_be_made_is_named() {
    let simulation = Simulation::new(3);
    let builder = TwoBuilder::new(simulation.environment("node"));
    let make = || -> Fate { panic!("no {}", "parts") };
    let overseer = builder.restarting(1, make).drain_empty_slots().build().expect("two slots, both filled");
    let report = simulation.run_until(overseer.run()).expect("it ends");
    assert_eq!(report.cause.to_string(), "first panicked: no parts");
}

#[test]
fn stopping_is_clean() {
    assert!(run(Fate::Obeys, true).is_clean());
}
