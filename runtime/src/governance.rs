//! Governance: what more than two thirds of the validators may change (docs/adr/0013-governance-origin.md).
//!
//! Stores: the chain's name and how many changes there were, so that no signed change works twice or elsewhere.
//!
//! Entry points: [`SignedGovernance`] as an extrinsic; [`State::governed`] for a chain that has not begun.
//!
//! Order: extrinsics run after the inherent; all but claims, endowments and downward messages wait for the session
//! change.

use codec::{Decode, Encode};
use primitives::{
    ConfigurationError, Hash, HostConfiguration, ParaId, SignedMessage, ValidatorId, ValidatorIndex,
    ValidatorSignature, crypto::is_public_key, limits::MAX_CORES, messages::HrmpChannelId, supermajority_threshold,
};
use std::sync::Arc;

use crate::{
    AccountId, Balance, BalanceError, ChannelError, ClaimError, ConfigurationChange, DownwardError, GenesisError,
    ParaError, ParaGenesisArgs, ParathreadClaim, SignatureOf, State, error::out_of_order, genesis::check_validators,
    limits::MAX_CHANNELS_BYTES, messages, registrar, verifier::Signatures,
};

/// Stands before what validators sign to change something.
const GOVERNANCE_MAGIC: [u8; 4] = *b"GOVN";

/// A change by governance. All but claims, endowments and downward messages wait for the next session.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Governance {
    /// The whole configuration of the next session; takes the place of one that is pending.
    #[codec(index = 0)]
    Configure(Box<HostConfiguration>),
    /// Validators for the session after the next.
    #[codec(index = 1)]
    Validators(Vec<ValidatorId>),
    /// A new para.
    #[codec(index = 2)]
    InitializePara(ParaId, ParaGenesisArgs),
    /// A para leaves.
    #[codec(index = 3)]
    CleanupPara(ParaId),
    /// A parathread's claim won its auction.
    #[codec(index = 4)]
    Claim(ParathreadClaim),
    /// One field of the next session's configuration.
    #[codec(index = 5)]
    ConfigureField(ConfigurationChange),
    /// Somebody gets an amount that did not exist before.
    #[codec(index = 6)]
    Endow(AccountId, Balance),
    /// A message to a para.
    #[codec(index = 7)]
    SendDownward(ParaId, Vec<u8>),
    /// A channel between two paras.
    #[codec(index = 8)]
    OpenChannel(HrmpChannelId),
    /// A channel closes; what waits in it is lost.
    #[codec(index = 9)]
    CloseChannel(HrmpChannelId),
}

/// A change with the validators behind it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedGovernance {
    /// The change.
    pub change: Governance,
    /// How many changes there were before ([`State::governance_nonce`]).
    pub nonce: u64,
    /// Validators of the block's session, ascending, each over [`governance_payload`].
    pub signatures: Vec<(ValidatorIndex, ValidatorSignature)>,
}

/// What validators sign to change something.
pub fn governance_payload(chain: Hash, nonce: u64, change: &Governance) -> Vec<u8> {
    (GOVERNANCE_MAGIC, chain, nonce, change).encode()
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
    /// More could wait in the channels, each as full as the configuration allows, than is kept.
    #[error("{0} bytes could wait in the channels of the next session, at most {MAX_CHANNELS_BYTES} are possible")]
    ChannelsBytes(u64),
    /// The endowment.
    #[error(transparent)]
    Balance(#[from] BalanceError),
    /// The downward message.
    #[error(transparent)]
    Downward(#[from] DownwardError),
    /// The channel.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// It is an old change, or one that comes too early.
    #[error("nonce is {found}, expected {expected}")]
    Nonce {
        /// In the change.
        found: u64,
        /// The next.
        expected: u64,
    },
    /// Too few validators stand behind it.
    #[error("{found} validators signed, {needed} are needed")]
    TooFewSignatures {
        /// How many.
        found: usize,
        /// How many it takes.
        needed: usize,
    },
    /// A validator signed twice, or the order is wrong.
    #[error("signature of validator {second} follows that of {first}, expected ascending validators")]
    Order {
        /// The earlier.
        first: ValidatorIndex,
        /// The later.
        second: ValidatorIndex,
    },
    /// There is no such validator.
    #[error("signature of unknown validator {0}")]
    UnknownValidator(ValidatorIndex),
}

/// The origin of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Origin {
    /// The root of the first state before it had this name.
    pub(crate) chain: Hash,
    nonce: u64,
}

impl State {
    /// The chain's name in what is signed for it.
    pub fn chain_id(&self) -> Hash {
        self.origin.chain
    }

    /// The nonce of the next governed change.
    pub fn governance_nonce(&self) -> u64 {
        self.origin.nonce
    }

    /// The state with the change made, without asking anybody: for a chain that has not begun.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn governed(&self, change: Governance) -> Result<Self, GovernanceError> {
        let mut state = self.clone();
        make(&mut state, change)?;
        state.seal_root();
        Ok(state)
    }
}

/// Makes a change that enough validators have signed. Signatures are collected, not verified.
pub(crate) fn process(
    state: &mut State,
    signed: &SignedGovernance,
    signatures: &mut Signatures,
) -> Result<(), GovernanceError> {
    let expected = state.origin.nonce;
    if signed.nonce != expected {
        return Err(GovernanceError::Nonce { found: signed.nonce, expected });
    }
    let (found, needed) = (signed.signatures.len(), supermajority_threshold(state.validators().len()));
    if found < needed {
        return Err(GovernanceError::TooFewSignatures { found, needed });
    }
    if let Some((first, second)) = out_of_order(signed.signatures.iter().map(|(validator, _)| *validator)) {
        return Err(GovernanceError::Order { first, second });
    }
    let payload = governance_payload(state.chain_id(), signed.nonce, &signed.change);
    for (validator, signature) in &signed.signatures {
        let public =
            state.validators().get(validator.as_usize()).ok_or(GovernanceError::UnknownValidator(*validator))?;
        let message = SignedMessage { public: public.0, message: payload.clone(), signature: *signature };
        signatures.push(SignatureOf::Governance(*validator), message);
    }
    make(state, signed.change.clone())?;
    let origin = Arc::make_mut(&mut state.origin);
    origin.nonce = origin.nonce.saturating_add(1);
    Ok(())
}

fn make(state: &mut State, change: Governance) -> Result<(), GovernanceError> {
    match change {
        Governance::Configure(configuration) => {
            Arc::make_mut(&mut state.configuration).update(|active| *active = *configuration)?;
        }
        Governance::ConfigureField(change) => {
            Arc::make_mut(&mut state.configuration).update(|active| change.apply(active))?;
        }
        Governance::Validators(validators) => {
            check_validators(&validators)?;
            if let Some(other) = validators.iter().find(|validator| !is_public_key(&validator.0)) {
                return Err(GenesisError::NotAKey(*other).into());
            }
            Arc::make_mut(&mut state.session).announced = Some(Arc::new(validators));
        }
        Governance::InitializePara(para, args) => registrar::register(state, para, args)?,
        Governance::CleanupPara(para) => registrar::deregister(state, para)?,
        Governance::Claim(claim) => registrar::claim(state, claim)?,
        Governance::Endow(account, amount) => Arc::make_mut(&mut state.balances).endow(account, amount)?,
        Governance::SendDownward(para, message) => messages::send_downward(state, para, message)?,
        Governance::OpenChannel(channel) => messages::open_channel(state, channel)?,
        Governance::CloseChannel(channel) => messages::close_channel(state, channel)?,
    }
    state.configuration.upcoming().check_in_sessions(state.session_length())?;
    let parathread_cores = state.configuration.upcoming().parathread_cores as usize;
    let cores = state.paras.upcoming_parachains().saturating_add(parathread_cores);
    if cores > MAX_CORES {
        return Err(GovernanceError::CoreCount(cores));
    }
    let bytes = state.messages.channels.upcoming_bytes_max(state.configuration.upcoming());
    if bytes > MAX_CHANNELS_BYTES {
        return Err(GovernanceError::ChannelsBytes(bytes));
    }
    Ok(())
}
