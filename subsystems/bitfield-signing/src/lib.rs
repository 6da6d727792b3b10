//! A validator says which chunks it holds.
//!
//! **Role**: for each active leaf one job that waits a while, asks the availability store whether it holds our chunk of
//! each candidate pending availability, and signs one bitfield (seed 001, Bitfield Signing; BS-1).
//!
//! **Step**: 10 of a candidate's way.
//!
//! **Receives**: the heartbeat only.
//!
//! **Sends**: nothing from its loop. Its jobs ask runtime-api for session and cores and availability-store for
//! `QueryChunkAvailability`, and send `DistributeBitfield` to bitfield-distribution (waits).
//!
//! **Invariants**: one bitfield per leaf and key, signed by the keystore through its journal: after a restart another one
//! for the same leaf is refused there, and this crate stays silent. The bitfield has a bit per core, in the order of the
//! cores; a bit is set only if the store said yes. Without a key in the session nothing is asked and nothing signed.
//!
//! **Limits**: one job per leaf ([`JOBS_MAX`]), one question per core.
//!
//! **Conclude**: running jobs are dropped; what is in the journal unsigned stays unsigned.

#![forbid(unsafe_code)]

pub mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use deterministic::Environment;
use jobs::{Ending, Input, Jobs};
use messages::availability_store::QueryChunkAvailability;
use messages::bitfield_distribution::DistributeBitfield;
use messages::bitfield_signing::BitfieldSigning;
use messages::runtime_api::{GetAvailabilityCores, GetSessionContext};
use messages::{LeavesState, LeavesUpdate, RelayParents};
use overseer::{Ask, AskError, Context, Event, Failure, Outlet, SendError, Subsystem, Wait};
use ports::{Claim, Keystore, KeystoreError, RuntimeError};
use primitives::{CandidateHash, Hash, Signed, SigningContext, UncheckedSigned, ValidatorIndex};

/// Jobs at once: one per active leaf.
pub const JOBS_MAX: usize = leaves::LEAVES_MAX;

/// The subsystem; see the crate's header.
pub struct BitfieldSigningSubsystem {
    keystore: Arc<dyn Keystore>,
    delay: Duration,
    leaves: LeavesState,
}

/// Why a leaf got no bitfield of ours.
#[derive(Debug, thiserror::Error)]
enum SigningError {
    #[error("chain: {0}")]
    Runtime(#[from] RuntimeError),
    #[error("a neighbour has ended: {0}")]
    Ask(#[from] AskError),
    #[error("a neighbour has ended: {0}")]
    Send(#[from] SendError<DistributeBitfield>),
    #[error("keystore: {0}")]
    Keystore(#[from] KeystoreError),
}

type JobOutlet = Outlet<overseer::wiring::FromJobs<BitfieldSigningSubsystem>>;

impl BitfieldSigningSubsystem {
    /// Signs with the session keys in `keystore`, `delay` after a leaf has started: chunks need that long to arrive.
    pub fn new(keystore: Arc<dyn Keystore>, delay: Duration) -> Self {
        Self { keystore, delay, leaves: LeavesState::default() }
    }

    fn heartbeat(
        &mut self,
        context: &Context<Self>,
        jobs: &mut Jobs<Hash, Result<(), SigningError>>,
        update: &LeavesUpdate,
    ) {
        self.leaves.apply(update);
        jobs.end_by_view(&self.leaves);
        for leaf in &update.started {
            let job = Job {
                outlet: context.jobs(),
                environment: context.environment().clone(),
                keystore: self.keystore.clone(),
                delay: self.delay,
                relay_parent: leaf.hash,
            };
            jobs.open(leaf.hash, Ending::UntilStop);
            if let Err(error) = jobs.spawn(&leaf.hash, "bitfield", job.run()) {
                tracing::warn!(relay_parent = ?leaf.hash, %error, "no bitfield is signed");
            }
        }
    }
}

/// The work for one leaf.
struct Job {
    outlet: JobOutlet,
    environment: Environment,
    keystore: Arc<dyn Keystore>,
    delay: Duration,
    relay_parent: Hash,
}

impl Job {
    async fn run(self) -> Result<(), SigningError> {
        let at = self.relay_parent;
        let session = self.outlet.ask(GetSessionContext { at }).await??;
        let keys = self.keystore.validator_ids();
        let ours: Vec<_> = keys.iter().filter_map(|key| Some((*key, session.validator_index(key)?))).collect();
        if ours.is_empty() {
            return Ok(());
        }
        self.environment.clock.sleep(self.delay).await;
        let cores = self.outlet.ask(GetAvailabilityCores { at }).await??;
        let pending = state::pending(&cores);
        let context = SigningContext { session_index: session.session_index, parent_hash: at };
        for (key, index) in ours {
            let bitfield = state::bitfield(cores.len(), &self.held(&pending, index).await?);
            let claim = Claim::Bitfield { context, bitfield: bitfield.clone() };
            let signature = self.keystore.sign(&key, &claim).await?;
            let signed = Signed::assume_checked(UncheckedSigned::new(bitfield, index, signature));
            self.outlet.send(DistributeBitfield { relay_parent: at, signed }).await?;
        }
        Ok(())
    }

    /// The positions of the cores whose candidate's chunk we hold.
    async fn held(
        &self,
        pending: &[(usize, CandidateHash)],
        validator_index: ValidatorIndex,
    ) -> Result<Vec<usize>, AskError> {
        let mut held = Vec::new();
        for (position, candidate_hash) in pending {
            let question = QueryChunkAvailability { candidate_hash: *candidate_hash, validator_index };
            if self.outlet.ask(question).await? {
                held.push(*position);
            }
        }
        Ok(held)
    }
}

impl Subsystem for BitfieldSigningSubsystem {
    type Role = BitfieldSigning;
    type View = RelayParents;
    type Sends = ();
    type JobSends =
        (Ask<GetSessionContext>, Ask<GetAvailabilityCores>, Ask<QueryChunkAvailability>, Wait<DistributeBitfield>);

    async fn run(mut self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut jobs = Jobs::new(context.environment().clone(), JOBS_MAX);
        loop {
            match jobs::next(&mut context, &mut jobs).await {
                Input::Event(Event::Signal(update)) => self.heartbeat(&context, &mut jobs, &update),
                Input::Event(Event::Message(nothing)) => match nothing {},
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Job(end) => match end.into_result() {
                    Some((relay_parent, Err(error))) => {
                        tracing::warn!(?relay_parent, %error, "no bitfield is signed");
                    }
                    Some((_, Ok(()))) | None => {}
                },
            }
        }
    }
}
