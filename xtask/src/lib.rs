//! Every chore of the repository, as a program of its own: `cargo xtask --help`.
//!
//! Role: run what CI runs ([`ci`]), hold the rules of the house ([`tidy`]), draw the topology ([`graph`]), rebuild the
//! test parachains ([`build_pvf`]), run what needs third-party data ([`conformance`]), begin a subsystem
//! ([`new_subsystem`]), measure beside others ([`mod@bench`]), write the runtime's pages ([`mod@reference`]). Chores live
//! here and not in shell scripts, so that they run the same on every machine.
//!
//! Receives: a command line. Sends: text for a person on standard output; exit code 0, 1 when the chore failed, 2 for
//! wrong usage.
//! Invariants: depends on no crate of the house, and on few others, so that it builds in seconds and can tell what is
//! wrong while the house does not compile; nothing but `graph --write`, `reference` and `new-subsystem` changes a file of
//! the repository.
//! Limits: errors are sentences (`String`), because their only reader is the person who typed the command.

pub mod bench;
pub mod build_pvf;
pub mod ci;
pub mod clean_build;
pub mod conformance;
pub mod graph;
pub mod house;
pub mod new_subsystem;
pub mod new_subsystem_trial;
pub mod own_subsystem_trial;
pub mod reference;
pub mod shell;
pub mod source;
pub mod tidy;
