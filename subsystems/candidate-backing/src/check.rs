//! What jobs do: fetch the context, check a candidate, sign a statement.

use std::sync::Arc;

use codec::Encode as _;
use deterministic::{ComputeKind, Environment, compute};
use erasure_coding::Codec;
use messages::availability_store::StoreAvailableData;
use messages::candidate_validation::{InvalidReason, ValidateFromChainState, Verdict};
use messages::pov_distribution::FetchPoV;
use messages::runtime_api::{GetAvailabilityCores, GetSessionContext};
use overseer::Outlet;
use overseer::wiring::FromJobs;
use ports::{Claim, ExecutionPurpose, Keystore, KeystoreError, SessionContext};
use primitives::{AvailableData, CoreState, Hash, Signed, SignedFullStatement, UncheckedSigned};

use crate::CandidateBackingSubsystem;
use crate::state::{Check, Checked, PovSource, Sign};

/// What a job reaches.
pub(crate) struct Checker {
    pub(crate) outlet: Outlet<FromJobs<CandidateBackingSubsystem>>,
    pub(crate) environment: Environment,
}

impl Checker {
    /// Validators, groups and cores for work on a relay parent.
    pub(crate) async fn context(&self, at: Hash) -> Option<(Arc<SessionContext>, Arc<Vec<CoreState>>)> {
        let session = self.outlet.ask(GetSessionContext { at }).await;
        let cores = self.outlet.ask(GetAvailabilityCores { at }).await;
        match (session, cores) {
            (Ok(Ok(session)), Ok(Ok(cores))) => return Some((session, cores)),
            (Ok(Err(error)), _) | (_, Ok(Err(error))) => {
                tracing::debug!(relay_parent = ?at, %error, "no work: chain has no context");
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(relay_parent = ?at, %error, "no work: chain was not asked");
            }
        }
        None
    }

    /// Gets the PoV, validates, codes and compares, stores.
    pub(crate) async fn check(&self, check: Check) -> Checked {
        self.try_check(check).await.unwrap_or_else(|ended| ended)
    }

    async fn try_check(&self, check: Check) -> Result<Checked, Checked> {
        let Check { relay_parent, candidate_hash, receipt, source, validators, max_pov_size } = check;
        let pov = match source {
            PovSource::Given(pov) => pov,
            PovSource::Holders(from) => {
                let pov_hash = receipt.descriptor.pov_hash();
                let fetch = FetchPoV { relay_parent, candidate_hash, pov_hash, max_pov_size, from };
                self.outlet.ask(fetch).await.map_err(failed)?.map_err(failed)?
            }
        };
        let erasure_root = receipt.descriptor.erasure_root();
        let purpose = ExecutionPurpose::Backing;
        let question = ValidateFromChainState { relay_parent, receipt, pov: pov.clone(), purpose };
        let (commitments, validation_data) = match self.outlet.ask(question).await.map_err(failed)?.map_err(failed)? {
            Verdict::Valid(commitments, validation_data) => (commitments, validation_data),
            Verdict::Invalid(reason @ (InvalidReason::PovHash | InvalidReason::Timeout { .. })) => {
                return Err(Checked::Refused(reason.to_string()));
            }
            Verdict::Invalid(reason) => return Err(Checked::Invalid(reason.to_string())),
        };
        let available_data = Arc::new(AvailableData { pov: pov.clone(), validation_data });
        let coded = self.erasure_root(available_data.clone(), validators).await?;
        if coded != erasure_root {
            return Err(Checked::Invalid(format!("erasure root is {erasure_root}, the data's is {coded}")));
        }
        let store = StoreAvailableData { candidate_hash, relay_parent, available_data };
        self.outlet.ask(store).await.map_err(failed)?.map_err(failed)?;
        Ok(Checked::Valid(commitments, pov))
    }

    async fn erasure_root(&self, data: Arc<AvailableData>, validators: usize) -> Result<Hash, Checked> {
        let bytes = data.pov.encoded_len();
        let coding = move || -> Result<Hash, erasure_coding::Error> {
            let encoded = Codec::new(validators)?.encode(&data.encode())?;
            Ok(Hash::from(encoded.erasure_root()))
        };
        let coded = compute(&*self.environment.compute, ComputeKind::ErasureEncode, bytes, coding).await;
        coded.map_err(failed)?.map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> Checked {
    Checked::Failed(error.to_string())
}

/// Signs through the journal; nothing comes back if it refuses.
pub(crate) async fn sign(keystore: &dyn Keystore, sign: Sign) -> Option<SignedFullStatement> {
    let Sign { relay_parent, candidate_hash, statement, context, key, index } = sign;
    let claim = Claim::Statement { context, vote: statement.to_vote() };
    match keystore.sign(&key, &claim).await {
        Ok(signature) => Some(Signed::assume_checked(UncheckedSigned::new(statement, index, signature))),
        Err(error @ KeystoreError::Conflict(_)) => {
            tracing::info!(?relay_parent, candidate = ?candidate_hash, %error, "silent on candidate");
            None
        }
        Err(error) => {
            tracing::warn!(?relay_parent, candidate = ?candidate_hash, %error, "statement was not signed");
            None
        }
    }
}
