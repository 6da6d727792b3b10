//! The relay chain's state machine: state and block in, state or error out.
//!
//! Role: layer 0, steps 8, 11, 12 and 13 of a candidate's way. One file per module of the guide: initializer,
//! configuration (with its entry points), session, paras, scheduler, inclusion (with candidates), inherent,
//! validity, messages, misbehavior, slashing, registrar, and governance, which is their origin. What routine and
//! which test belong to a sentence of the guide, `docs/runtime-map.md` tells.
//!
//! Receives: a parent [`State`] and a [`Block`]. Sends: [`Executed`], or the [`BlockError`] that names the
//! check which failed.
//!
//! Invariants:
//! - pure and synchronous: the same state and block give the same result on every machine; no clock, no I/O;
//! - no block makes it panic (lints refuse indices, overflow and `unwrap` outside of tests), and a refused block leaves no trace: execution works on a copy;
//! - every loop ends: it goes over something that there is, or counts to a constant (`cargo xtask tidy`);
//! - a [`State`] shares with its parent whatever a block did not change, so that forks are cheap;
//! - it verifies no signature itself: all of a block's signatures go to the injected [`Verifier`] as one
//!   [`SignatureSet`];
//! - a session changes between two blocks: after the last block of a session is finalized and before the
//!   next block is initialized. So a state always tells validators, groups and cores *for the block on top
//!   of it*, which is what subsystems need.
//!
//! Limits: [`limits`].

#![warn(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        reason = "an overflow in a test is a failed test"
    )
)]

mod balances;
mod bit_matrix;
mod block;
mod candidates;
mod channels;
mod configuration;
mod configuration_change;
mod error;
mod execute;
mod extrinsics;
mod filter;
mod genesis;
mod governance;
mod inclusion;
mod inherent;
mod initializer;
pub mod limits;
mod messages;
mod misbehavior;
mod outcome;
mod paras;
mod proof;
mod queries;
mod queue;
mod registrar;
mod root;
mod scheduler;
mod session;
mod slashing;
mod snapshot;
mod state;
mod trie;
mod validity;
mod verifier;

pub use balances::{BalanceError, Issuance};
pub use block::{Block, Digest, Extrinsic, SLOT_ENGINE_ID, SlotClaim, extrinsics_root};
pub use candidates::CandidateError;
pub use channels::ChannelError;
pub use configuration::Configuration;
pub use configuration_change::ConfigurationChange;
pub use error::{BlockError, SignatureOf};
pub use execute::{Executed, build_block, execute_block};
pub use extrinsics::ExtrinsicError;
pub use filter::{filter_extrinsics, filter_inherent};
pub use genesis::{Genesis, GenesisError, GenesisPara, genesis};
pub use governance::{Governance, GovernanceError, SignedGovernance, governance_payload};
pub use inclusion::{BitfieldError, PendingCandidate};
pub use messages::{DownwardError, MessageError};
pub use misbehavior::ReportError;
pub use paras::{ParaError, ParaGenesisArgs, ParaPastCodeMeta, ReplacementTimes, UseCodeAt};
pub use primitives::{Account, AccountId, ApprovalStatus, Balance, Revert};
pub use proof::{ProofError, StateProof};
pub use registrar::{RegistrarError, SignedClaim, claim_payload};
pub use scheduler::{ClaimError, CoreAssignment, CoreKind, FreedReason, ParathreadClaim};
pub use slashing::{Offence, Penalty, PenaltyReason};
pub use snapshot::SnapshotError;
pub use state::{Ancestor, State};
pub use trie::EMPTY_ROOT;
pub use validity::{
    DisputeVote, ValidityEvent, Verdict,
    attestations::{
        Assignment, AssignmentKind, AttestationError, SecondaryAttestation, assignment_input, one_shot_position,
    },
    disputes::{DisputeError, DisputePhase},
    equivocation::{EquivocationError, EquivocationReport},
    fishermen::{Fate, FishermanError, FishermanReport, ReportKind, fisherman_payload},
    queries::DisputeStatus,
    remote::{RemoteAvailability, RemoteDispute, remote_availability_payload},
    unavailable::{UnavailableReport, unavailable_payload},
};
pub use verifier::{DirectVerifier, SignatureSet, Verifier, VrfDraw};
