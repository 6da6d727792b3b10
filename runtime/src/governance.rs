//! What only governance may change. No extrinsic leads here yet: a chain's operator makes such a state before
//! its first block, and tests do.

use primitives::{ConfigurationError, HostConfiguration, ParaId, ValidatorId, limits::MAX_CORES};
use std::sync::Arc;

use crate::{ClaimError, GenesisError, ParaError, ParaGenesisArgs, ParathreadClaim, State, genesis::check_validators};

/// A change by governance. All but claims wait for the next session.
#[derive(Clone, Debug)]
pub enum Governance {
    /// The whole configuration of the next session; takes the place of one that is pending.
    Configure(Box<HostConfiguration>),
    /// Validators for the session after the next.
    Validators(Vec<ValidatorId>),
    /// A new para.
    InitializePara(ParaId, ParaGenesisArgs),
    /// A para leaves.
    CleanupPara(ParaId),
    /// A parathread's claim won its auction.
    Claim(ParathreadClaim),
}

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GovernanceError {
    /// The configuration.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The validators.
    #[error(transparent)]
    Validators(#[from] GenesisError),
    /// The para.
    #[error(transparent)]
    Para(#[from] ParaError),
    /// The claim.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// More cores than a bitfield and a backing can name.
    #[error("{0} cores in the next session, at most {MAX_CORES} are possible")]
    CoreCount(usize),
}

impl State {
    /// The state with the change made.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn governed(&self, change: Governance) -> Result<Self, GovernanceError> {
        let mut state = self.clone();
        match change {
            Governance::Configure(configuration) => {
                Arc::make_mut(&mut state.configuration).update(|active| *active = *configuration)?;
            }
            Governance::Validators(validators) => {
                check_validators(&validators)?;
                Arc::make_mut(&mut state.session).announced = Some(Arc::new(validators));
            }
            Governance::InitializePara(para, args) => {
                Arc::make_mut(&mut state.paras).schedule_para_initialize(para, args, self.configuration.upcoming())?;
            }
            Governance::CleanupPara(para) => {
                Arc::make_mut(&mut state.paras).schedule_para_cleanup(para)?;
            }
            Governance::Claim(claim) => {
                let is_parathread = self.paras.is_parathread(claim.para);
                Arc::make_mut(&mut state.scheduler).add_parathread_claim(claim, is_parathread, self.configuration())?;
            }
        }
        let cores = state.paras.upcoming_parachains() + state.configuration.upcoming().parathread_cores as usize;
        if cores > MAX_CORES {
            return Err(GovernanceError::CoreCount(cores));
        }
        state.seal_root();
        Ok(state)
    }
}
