//! The first state and its header, the same bytes everywhere.

use primitives::{
    BlockNumber, ConfigurationError, HeadData, Header, HostConfiguration, ParaId, ValidationCode, ValidatorId,
    limits::{MAX_CORES, MAX_VALIDATORS},
};
use std::{collections::BTreeSet, sync::Arc};

use crate::{
    Balance, Configuration, ParaError, ParaGenesisArgs, State, extrinsics_root,
    initializer::start_session,
    limits::{MAX_SESSION_LENGTH, MAX_STAKE, MIN_SESSION_LENGTH},
    outcome::Outcome,
    session::{Session, SessionChange},
    slashing::Slashing,
};

/// What a chain starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The configuration.
    pub configuration: HostConfiguration,
    /// The validators of the first two sessions.
    pub validators: Vec<ValidatorId>,
    /// The paras of the first session, in any order.
    pub paras: Vec<GenesisPara>,
    /// What each validator has at stake.
    pub stake_per_validator: Balance,
    /// Length of a session, in blocks.
    pub session_length: BlockNumber,
    /// Seed of all randomness.
    pub randomness: [u8; 32],
}

/// A para that is there from the first block on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisPara {
    /// Its name.
    pub id: ParaId,
    /// A parachain, or else a parathread.
    pub is_parachain: bool,
    /// Its first head.
    pub head_data: HeadData,
    /// Its code.
    pub validation_code: ValidationCode,
}

/// Why no chain can start like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The configuration.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// Too few or too many validators.
    #[error("{0} validators, expected 1 to {MAX_VALIDATORS}")]
    ValidatorCount(usize),
    /// A validator is there twice.
    #[error("validator {0} appears twice")]
    DuplicateValidator(ValidatorId),
    /// Nobody, or everybody, could sign for it.
    #[error("validator {0:?} is no public key of sr25519")]
    NotAKey(ValidatorId),
    /// A para is there twice, or its head or code is not acceptable.
    #[error(transparent)]
    Para(#[from] ParaError),
    /// Too many parachains and parathread cores.
    #[error("{0} cores, at most {MAX_CORES} are possible")]
    CoreCount(usize),
    /// Sessions are too short or too long.
    #[error("session_length is {0} blocks, expected {MIN_SESSION_LENGTH} to {MAX_SESSION_LENGTH}")]
    SessionLength(BlockNumber),
    /// Nothing is at stake, or all stakes together are more than an amount can be.
    #[error("stake_per_validator is {0}, expected 1 to {MAX_STAKE}")]
    Stake(Balance),
}

/// The state of block 0, and its header.
///
/// # Errors
/// What is wrong with `genesis`.
pub fn genesis(genesis: &Genesis) -> Result<(State, Header), GenesisError> {
    let configuration = Configuration::new(genesis.configuration.clone())?;
    check_validators(&genesis.validators)?;
    if !(MIN_SESSION_LENGTH..=MAX_SESSION_LENGTH).contains(&genesis.session_length) {
        return Err(GenesisError::SessionLength(genesis.session_length));
    }
    genesis.configuration.check_in_sessions(genesis.session_length)?;
    if !(1..=MAX_STAKE).contains(&genesis.stake_per_validator) {
        return Err(GenesisError::Stake(genesis.stake_per_validator));
    }
    let parachains = genesis.paras.iter().filter(|para| para.is_parachain);
    let cores = parachains.count().saturating_add(genesis.configuration.parathread_cores as usize);
    if cores > MAX_CORES {
        return Err(GenesisError::CoreCount(cores));
    }
    let session = Session::genesis(genesis.validators.clone(), genesis.session_length, genesis.randomness);
    let change = SessionChange {
        first_block: 0,
        validators: Arc::clone(&session.validators),
        previous_configuration: genesis.configuration.clone(),
        configuration: genesis.configuration.clone(),
        random_seed: session.randomness,
    };
    let slashing = Slashing::genesis(genesis.stake_per_validator);
    let mut state = State::new(configuration, session, slashing);
    let paras = Arc::make_mut(&mut state.paras);
    for para in &genesis.paras {
        let args = ParaGenesisArgs {
            genesis_head: para.head_data.clone(),
            validation_code: para.validation_code.clone(),
            parachain: para.is_parachain,
        };
        paras.schedule_para_initialize(para.id, args, &genesis.configuration)?;
    }
    start_session(&mut state, &change, &mut Outcome::default());
    state.seal_root();
    // The chain's name: the root of its first state before that had a name.
    Arc::make_mut(&mut state.origin).chain = state.root();
    state.seal_root();
    let header = Header {
        parent_hash: primitives::Hash::ZERO,
        number: 0,
        state_root: state.root(),
        extrinsics_root: extrinsics_root(&[]),
        digest: Vec::new(),
    };
    Ok((state, header))
}

pub(crate) fn check_validators(validators: &[ValidatorId]) -> Result<(), GenesisError> {
    if validators.is_empty() || validators.len() > MAX_VALIDATORS {
        return Err(GenesisError::ValidatorCount(validators.len()));
    }
    let mut seen = BTreeSet::new();
    match validators.iter().find(|validator| !seen.insert(**validator)) {
        Some(twice) => Err(GenesisError::DuplicateValidator(*twice)),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn small_genesis() -> Genesis {
        Genesis {
            configuration: HostConfiguration::default(),
            validators: (1..=4).map(|i| ValidatorId([i; 32])).collect(),
            paras: vec![GenesisPara {
                id: ParaId(2000),
                is_parachain: true,
                head_data: HeadData(vec![1, 2, 3]),
                validation_code: vec![7; 16].into(),
            }],
            stake_per_validator: 1_000_000,
            session_length: 20,
            randomness: [5; 32],
        }
    }

    #[test]
    fn the_same_genesis_gives_the_same_header() {
        let (state, header) = genesis(&small_genesis()).unwrap();
        let (_, again) = genesis(&small_genesis()).unwrap();
        assert_eq!(header, again);
        assert_eq!(header.state_root, state.root());
        assert_eq!(header.extrinsics_root, crate::EMPTY_ROOT);
        let mut other = small_genesis();
        other.paras[0].head_data = HeadData(vec![1, 2, 4]);
        assert_ne!(genesis(&other).unwrap().1, header);
        let mut other = small_genesis();
        other.paras[0].validation_code = vec![8; 16].into();
        assert_ne!(genesis(&other).unwrap().1, header);
    }

    #[test]
    fn a_genesis_that_cannot_work_is_refused() {
        let refused = |change: fn(&mut Genesis)| {
            let mut changed = small_genesis();
            change(&mut changed);
            genesis(&changed).map(|_| ()).unwrap_err()
        };
        assert_eq!(refused(|g| g.validators.clear()), GenesisError::ValidatorCount(0));
        assert_eq!(
            refused(|g| g.validators.push(ValidatorId([1; 32]))),
            GenesisError::DuplicateValidator(ValidatorId([1; 32]))
        );
        let many = |g: &mut Genesis| g.validators = vec![ValidatorId([1; 32]); MAX_VALIDATORS + 1];
        assert_eq!(refused(many), GenesisError::ValidatorCount(MAX_VALIDATORS + 1));
        for blocks in [MIN_SESSION_LENGTH - 1, MAX_SESSION_LENGTH + 1] {
            let changed = Genesis { session_length: blocks, ..small_genesis() };
            assert_eq!(genesis(&changed).unwrap_err(), GenesisError::SessionLength(blocks));
        }
        assert_eq!(
            refused(|g| g.configuration.parachain_rotation_frequency = 20),
            GenesisError::Configuration(ConfigurationError::RotationTooSlow { rotation: 20, session_length: 20 })
        );
        assert_eq!(refused(|g| g.stake_per_validator = 0), GenesisError::Stake(0));
        assert_eq!(refused(|g| g.stake_per_validator = MAX_STAKE + 1), GenesisError::Stake(MAX_STAKE + 1));
        assert!(matches!(
            refused(|g| (g.configuration.parathread_cores, g.configuration.scheduling_lookahead) = (1, 0)),
            GenesisError::Configuration(ConfigurationError::NoLookahead { parathread_cores: 1 })
        ));
        assert_eq!(refused(|g| g.configuration.parathread_cores = 256), GenesisError::CoreCount(257));
        assert!(matches!(
            refused(|g| g.configuration.chain_availability_period = 0),
            GenesisError::Configuration(ConfigurationError::OutOfRange { found: 0, .. })
        ));
        assert_eq!(
            refused(|g| g.paras.push(g.paras[0].clone())),
            GenesisError::Para(ParaError::AlreadyRegistered(ParaId(2000)))
        );
        assert!(matches!(
            refused(|g| g.paras[0].validation_code = vec![1].into()),
            GenesisError::Para(ParaError::CodeSize { .. })
        ));
        assert!(matches!(
            refused(|g| g.paras[0].head_data.0 = vec![0; 21 * 1024]),
            GenesisError::Para(ParaError::HeadSize { .. })
        ));
    }
}
