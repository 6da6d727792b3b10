//! OV-1: whatever panics on its way out, be it a payload, a failure or a state that is dropped, is named, and takes nobody
//! with it who supervises.

use std::fmt;
use std::sync::{Arc, OnceLock};

use deterministic::Simulation;
use overseer::node::ExitCause;
use overseer::{Context, Event, ExitReport, Failure, Handle, Nothing, Subsystem};

use crate::supervision::{self, First, TwoBuilder};

/// Panics when it is dropped, unless something is panicking already.
#[derive(Debug)]
struct Bomb;
impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "the bomb went off");
    }
}

/// A failure that cannot be shown, or cannot be dropped.
#[derive(Debug)]
enum Bad {
    Shown,
    Dropped(#[allow(dead_code, reason = "it is dropped")] Bomb),
}
impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(!matches!(self, Self::Shown), "no words for it");
        f.write_str("bad")
    }
}
impl std::error::Error for Bad {}

/// What goes wrong.
#[derive(Clone, Copy)]
enum Fault {
    Payload,
    Shown,
    Dropped,
    Held,
    AtOnce,
    FailsLate,
}

impl Subsystem for Fault {
    type Role = First;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        match self {
            Self::Payload => std::panic::panic_any(Bomb),
            Self::Shown => Err(Box::new(Bad::Shown)),
            Self::Dropped => Err(Box::new(Bad::Dropped(Bomb))),
            Self::AtOnce => Err("at once".into()),
            Self::Held => {
                let _bomb = Bomb;
                context.recv().await;
                std::future::pending().await
            }
            Self::FailsLate => {
                while !matches!(context.recv().await, Event::Conclude) {}
                Err(Box::new(Bad::Shown))
            }
        }
    }
}

fn end(fault: Fault, restarts_max: u32, stop: bool) -> ExitReport {
    let simulation = Simulation::new(3);
    let builder = TwoBuilder::new(simulation.environment("node"));
    let builder = match restarts_max {
        0 => builder.first(fault),
        _ => builder.restarting(restarts_max, move || fault),
    };
    let overseer = builder.drain_empty_slots().build().expect("two slots, both filled");
    supervision::end(&simulation, overseer, stop)
}

#[test]
fn what_panics_when_it_is_dropped_or_shown_is_named_as_any_other() {
    for (fault, cause) in [
        (Fault::Payload, "first panicked: without a message"),
        (Fault::Shown, "first panicked: no words for it"),
        (Fault::Dropped, "first failed: bad"),
    ] {
        for restarts_max in [0, 2] {
            let report = end(fault, restarts_max, false);
            assert_eq!(report.cause.to_string(), cause);
            // Who has the report has the failure as well.
            std::mem::forget(report);
        }
    }
    assert_eq!(end(Fault::FailsLate, 0, true).cause.to_string(), "first panicked: no words for it");
}

#[test]
fn one_that_is_dropped_at_the_deadline_and_panics_then_is_named_twice() {
    let report = end(Fault::Held, 0, true);
    assert_eq!(report.unfinished, ["first"]);
    assert_eq!(report.cause.to_string(), "first panicked: the bomb went off");
}

#[test]
fn one_that_fails_at_once_for_ever_can_be_stopped() {
    // It runs in a thread of its own, so that a loop without end is a failure and no hang.
    let (done, report) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let simulation = Simulation::new(3);
        let (handle, mut made) = (Arc::new(OnceLock::<Handle>::new()), 0);
        let stops = handle.clone();
        let make = move || {
            made += 1;
            if made == 100 {
                stops.get().expect("it runs").stop();
            }
            Fault::AtOnce
        };
        let builder = TwoBuilder::new(simulation.environment("node")).restarting(u32::MAX, make);
        let overseer = builder.drain_empty_slots().build().expect("two slots, both filled");
        assert!(handle.set(overseer.handle()).is_ok());
        done.send(simulation.run_until(overseer.run()).expect("it ends"))
    });
    let report = report.recv_timeout(std::time::Duration::from_secs(60)).expect("a node that was stopped ends");
    assert!(matches!(report.cause, ExitCause::Stopped) && report.unfinished.is_empty());
}
