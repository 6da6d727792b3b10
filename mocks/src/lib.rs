//! The test kit: one subsystem alone among scripted neighbours, under virtual time.
//!
//! [`Harness`] runs the subject in a real overseer, with the production mailboxes and signal log, on the seeded
//! executor; every other role is a captor that hands what it receives to the test, or to a stub that answers in the
//! background. [`fixtures`] builds validators, sessions, candidates and PoVs; [`chain`] grows relay parents with forks
//! and sessions and answers the runtime's questions about them; [`keystore`] signs without a disk; [`storage`] keeps
//! blobs and an index in memory.
//!
//! **Invariants**: the same seed gives the same run. Nothing waits in real time. A dev-dependency only: no shipped
//! crate may use it (`cargo xtask tidy`). **Limits**: [`TRANSCRIPT_LINES_MAX`],
//! [`STEPS_MAX`].
//!
//! # Ten minutes
//!
//! ## A test
//!
//! Start the subject, say what happens, take what it sends, finish:
//!
//! ```
//! # use messages::bitfield_distribution::{BitfieldDistribution, Inbox};
//! # use bitfield_signing::BitfieldSigningSubsystem;
//! # use mocks::{chain::{AtBlock, TestChain}, fixtures::{Validators, hash}, keystore::TestKeystore};
//! # let (seed, delay) = (1, std::time::Duration::from_millis(300));
//! # let validators = Validators::new(4, 2);
//! # let keystore = TestKeystore::new(vec![validators.pairs[0].clone()]);
//! # let (chain, _) = TestChain::new(hash(0), 1);
//! # chain.set_session(validators.context.clone());
//! let harness = mocks::Harness::new(seed, |_| BitfieldSigningSubsystem::new(keystore, delay));
//! chain.serve(&harness); // answers what the subject asks of the chain
//! harness.signal(chain.import(hash(1), hash(0), 1, 1));
//! harness.run_for(delay);
//! let Inbox::DistributeBitfield(sent) = harness.expect::<BitfieldDistribution>() else { panic!() };
//! harness.finish(); // nothing unexpected was sent, no task is left behind
//! # assert_eq!(sent.relay_parent, hash(1));
//! ```
//!
//! [`Harness::new`] takes a seed and a function that makes the subject. [`Harness::signal`] is the heartbeat,
//! [`Harness::tell`] and [`Harness::ask`] speak to the subject as a neighbour would; each runs the node until nothing
//! can run at this moment. Time passes with [`Harness::run_for`] only, and costs nothing.
//!
//! ## What it sends
//!
//! [`Harness::expect`] takes the next message and fails if it is for another role: *strict order*, that of sending under
//! every seed.
//! [`Harness::expect_any_order`] takes the first for a role, whatever was sent to others before: *free order*. A
//! message that was asked comes with the way back; answer it, or drop it to see what the subject makes of that. What no
//! test wants to see, a [`Harness::stub`] answers in the background; [`chain::TestChain::serve`] is one for runtime-api
//! and chain-api.
//!
//! Here the subject is a candidate selection of forty lines, which fetches whatever is offered first:
//!
//! ```
//! # mod subject { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/subject.rs")); }
//! # use subject::*;
//! use messages::collation_distribution::{CollationDistribution, FetchedCollation, Inbox};
//! use mocks::fixtures::{CandidateBuilder, hash};
//!
//! let (chain, update) = mocks::chain::TestChain::new(hash(0), 1);
//! let candidate = CandidateBuilder::new(7, 0, hash(0)).build();
//! let harness = mocks::Harness::new(1, |_| Picks);
//! harness.signal(update);
//! harness.tell(offer(&candidate));
//! let Inbox::FetchCollation(question, reply) = harness.expect::<CollationDistribution>() else { panic!() };
//! assert_eq!(question.candidate_hash, candidate.hash());
//! reply.answer(Ok(FetchedCollation { receipt: candidate.receipt(), pov: candidate.pov.clone() })).unwrap();
//! assert_eq!(harness.pending(), ["Second → candidate-backing"]);
//! # harness.expect::<messages::candidate_backing::CandidateBacking>();
//! # harness.finish();
//! ```
//!
//! ## All of it at once
//!
//! [`Harness::transcript`] is what crossed the ports, a line each, for `expect_test`: the test reads like the protocol,
//! and `UPDATE_EXPECT=1 cargo test` writes it.
//!
//! ```
//! # mod subject { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/subject.rs")); }
//! # use subject::*;
//! # use mocks::fixtures::{CandidateBuilder, hash};
//! # let (chain, update) = mocks::chain::TestChain::new(hash(0), 1);
//! # let candidate = CandidateBuilder::new(7, 0, hash(0)).build();
//! let harness = mocks::Harness::new(1, |_| Picks);
//! serve_collation(&harness, &candidate); // a stub
//! harness.signal(update);
//! harness.tell(offer(&candidate));
//! expect_test::expect![[r#"
//!     * starts 0x0000… final 0x0000…
//!     ← NewCandidate(0x0000…)
//!     → collation-distribution FetchCollation(0x0000…) [stub]
//!     ← answer to FetchCollation
//!     → candidate-backing Second(0x0000…)
//! "#]]
//! .assert_eq(&harness.transcript());
//! # harness.expect::<messages::candidate_backing::CandidateBacking>();
//! # harness.finish();
//! ```
//!
//! In brackets stands the relay parent, or what [`Slots::about`] says; [`Harness::describe`] puts what you like there.
//!
//! ## What fails by itself
//!
//! A message that no test took, while the subject concludes as well ([`Harness::conclude`] is for tests of what it does
//! then); one that was told and never fit into its mailbox; a question that the subject dropped or still owes, and nobody
//! looked; a message about a relay parent that no signal has announced (for messages of your own: [`Slots::about`]); a panic, an error, an early or missing end of the
//! subject; a task left behind after the end; a harness that was dropped without [`Harness::finish`]. A job that panics
//! takes nobody down and is the subject's to report. Each failure names the message or task, and the seed.
//!
//! ## Every order
//!
//! The seed decides which ready task runs next. [`schedules`] runs a test under many, and says which failed:
//!
//! ```
//! # mod subject { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/subject.rs")); }
//! # use subject::*;
//! mocks::schedules(50, |seed| {
//!     let harness = mocks::Harness::new(seed, |_| Picks);
//!     harness.finish();
//! });
//! ```
//!
//! Each input runs the node until it rests, so the next one finds nothing under way. What is to come while something is,
//! under some seed, is given [together](Harness::together): `harness.together(|it| { it.tell(one); it.tell(another); })`.
//!
//! ## Forks and sessions
//!
//! ```
//! use mocks::{chain::TestChain, fixtures::{Validators, hash}};
//! let (chain, genesis) = TestChain::new(hash(0), 1);
//! chain.set_session(Validators::new(6, 2).context); // at every block of session 1
//! let trunk = chain.grow(hash(0), 3);
//! let fork = chain.grow(trunk[0].hash, 2);
//! let next = chain.grow_in_session(trunk[2].hash, 1, 2);
//! assert_eq!(fork[1].number, trunk[2].number);
//! assert_eq!(next[0].update.stopped, [trunk[2].hash]);
//! assert!(next[0].update.started[0].ancestors.is_empty(), "ancestry ends with the session");
//! ```
//!
//! ## The same again
//!
//! [`Harness::recorded`] puts all that crosses the subject's context onto a tape; `replay` plays it into a fresh instance
//! and names the first thing that this does differently:
//!
//! ```
//! # mod subject { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/subject.rs")); }
//! # use subject::*;
//! use overseer::replay::{Tape, replay};
//! let tape = Tape::new();
//! let harness = mocks::Harness::recorded(1, &tape, |_| Picks);
//! harness.signal(mocks::chain::TestChain::new(mocks::fixtures::hash(0), 1).1);
//! harness.finish();
//! assert_eq!(replay(&tape, Picks), Ok(tape.len()));
//! ```
//!
//! ## More than one real subsystem
//!
//! [`node_with`] is the same node with as many slots filled as you like; the others are mocked:
//!
//! ```
//! # mod subject { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/subject.rs")); }
//! # use subject::*;
//! let harness = mocks::node_with(1, |slots| slots.fill(Picks));
//! assert!(harness.handle().queues().len() > 10, "every slot is filled");
//! # harness.finish();
//! ```
//!
//! A node of your own, of no parachain at all, names its other slots (`slots.mock::<MyRole>()`), and says what its messages
//! are about and which signal announces that: [`Slots::about`].

#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc, reason = "a test kit reports by panicking")]

mod captor;
pub mod chain;
mod desk;
pub mod fixtures;
mod harness;
pub mod keystore;
mod notes;
mod roles;
pub mod runtime_client;
mod schedules;
pub mod storage;

pub use desk::TRANSCRIPT_LINES_MAX;
pub use harness::{Harness, STEPS_MAX, Slots, Waiting, node_with};
pub use schedules::{schedules, schedules_in};

/// The part of the front page of `overseer` that needs `jobs` and this crate, which both depend on it.
#[cfg(doctest)]
#[doc = include_str!("../../overseer/src/jobs-and-mocks.md")]
struct FrontPage;
