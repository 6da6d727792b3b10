//! The relay chain's state machine: state and block in, state or error out.
//!
//! Role: layer 0, steps 8 and 11 of a candidate's way. One file per module of the guide: initializer,
//! configuration, session, paras, scheduler, inclusion (with candidates), inherent, messages, misbehavior,
//! slashing. What belongs to secondary checks and disputes is not here.
//!
//! Receives: a parent [`State`] and a [`Block`]. Sends: [`Executed`], or the [`BlockError`] that names the
//! check which failed.
//!
//! Invariants:
//! - pure and synchronous: the same state and block give the same result on every machine; no clock, no I/O;
//! - no block makes it panic, and a refused block leaves no trace: execution works on a copy;
//! - a [`State`] shares with its parent whatever a block did not change, so that forks are cheap;
//! - it verifies no signature itself: all of a block's signatures go to the injected [`Verifier`] as one
//!   [`SignatureSet`];
//! - a session changes between two blocks: after the last block of a session is finalized and before the
//!   next block is initialized. So a state always tells validators, groups and cores *for the block on top
//!   of it*, which is what subsystems need.
//!
//! Limits: [`limits`].

mod block;
mod candidates;
mod configuration;
mod error;
mod execute;
mod filter;
mod genesis;
mod governance;
mod inclusion;
mod inherent;
mod initializer;
pub mod limits;
mod messages;
mod misbehavior;
mod paras;
mod queries;
mod root;
mod scheduler;
mod session;
mod slashing;
mod state;
mod trie;
mod verifier;

pub use block::{Block, Digest, Extrinsic, SLOT_ENGINE_ID, SlotClaim, extrinsics_root};
pub use candidates::CandidateError;
pub use configuration::Configuration;
pub use error::{BlockError, SignatureOf};
pub use execute::{Executed, build_block, execute_block};
pub use filter::filter_inherent;
pub use genesis::{Genesis, GenesisError, GenesisPara, genesis};
pub use governance::{Governance, GovernanceError};
pub use inclusion::{BitfieldError, PendingCandidate};
pub use messages::MessageError;
pub use misbehavior::ReportError;
pub use paras::{ParaError, ParaGenesisArgs, ParaPastCodeMeta, ReplacementTimes, UseCodeAt};
pub use scheduler::{ClaimError, CoreAssignment, CoreKind, FreedReason, ParathreadClaim};
pub use slashing::{Balance, Offence};
pub use state::{Ancestor, State};
pub use trie::EMPTY_ROOT;
pub use verifier::{DirectVerifier, SignatureSet, Verifier};
