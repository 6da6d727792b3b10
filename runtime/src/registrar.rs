//! Registrar: who is a para, and who may author a parathread's next block.
//!
//! Stores: the deposits of claims. Registered paras are the paras module's, claims the scheduler's.
//!
//! Entry points: registering and deregistering (governance origin), claims by governance without a deposit, and claims
//! that their collator signs and pays a deposit for.
//!
//! Order: at the end of a block, after the scheduler, and once more after a session change, it gives back the deposits
//! of claims that were served or have run out of retries. A deposit is never lost: that a claim was not served may be
//! the validators' fault.

use codec::{Decode, Encode};
use primitives::{CollatorId, CollatorSignature, Hash, ParaId, SignedMessage};
use std::{collections::BTreeMap, sync::Arc};

use crate::{
    AccountId, Balance, BalanceError, ClaimError, ParaError, ParaGenesisArgs, ParathreadClaim, SignatureOf, State,
    limits::MIN_CLAIM_DEPOSIT, verifier::Signatures,
};

/// Stands before what a collator signs to claim a parathread's next block.
const CLAIM_MAGIC: [u8; 4] = *b"CLAI";

/// A claim that its collator signs and pays a deposit for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedClaim {
    /// The claim.
    pub claim: ParathreadClaim,
    /// Held until the claim has left the queue and its core.
    pub deposit: Balance,
    /// The collator's next nonce ([`State::account`]).
    pub nonce: u32,
    /// The collator's, over [`claim_payload`].
    pub signature: CollatorSignature,
}

/// What the collator signs.
pub fn claim_payload(chain: Hash, claim: &ParathreadClaim, deposit: Balance, nonce: u32) -> Vec<u8> {
    (CLAIM_MAGIC, chain, claim, deposit, nonce).encode()
}

/// Why a signed claim is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrarError {
    /// By the scheduler.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The deposit cannot be held.
    #[error("deposit: {0}")]
    Deposit(#[from] BalanceError),
    /// The deposit is too small.
    #[error("deposit is {found}, expected at least {MIN_CLAIM_DEPOSIT}")]
    DepositSize {
        /// The deposit.
        found: Balance,
    },
    /// It is an old transaction, or one that comes too early.
    #[error("nonce is {found}, expected {expected}")]
    Nonce {
        /// In the claim.
        found: u32,
        /// The collator's next.
        expected: u32,
    },
}

/// The deposits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Registrar {
    deposits: BTreeMap<ParaId, (AccountId, Balance)>,
}

/// Registers a para at the next session change.
pub(crate) fn register(state: &mut State, para: ParaId, args: ParaGenesisArgs) -> Result<(), ParaError> {
    let upcoming = state.configuration.upcoming();
    Arc::make_mut(&mut state.paras).schedule_para_initialize(para, args, upcoming)
}

/// Removes a para at the next session change.
pub(crate) fn deregister(state: &mut State, para: ParaId) -> Result<(), ParaError> {
    Arc::make_mut(&mut state.paras).schedule_para_cleanup(para)
}

/// Queues a claim.
pub(crate) fn claim(state: &mut State, claim: ParathreadClaim) -> Result<(), ClaimError> {
    let is_parathread = state.paras.is_parathread(claim.para);
    let configuration = state.configuration.active();
    Arc::make_mut(&mut state.scheduler).add_parathread_claim(claim, is_parathread, configuration)
}

/// Queues a claim that its collator has signed, and holds its deposit.
pub(crate) fn signed_claim(
    state: &mut State,
    signed: &SignedClaim,
    position: usize,
    signatures: &mut Signatures,
) -> Result<(), RegistrarError> {
    let CollatorId(collator) = signed.claim.collator;
    let expected = state.balances.account(&collator).nonce;
    if signed.nonce != expected {
        return Err(RegistrarError::Nonce { found: signed.nonce, expected });
    }
    if signed.deposit < MIN_CLAIM_DEPOSIT {
        return Err(RegistrarError::DepositSize { found: signed.deposit });
    }
    claim(state, signed.claim.clone())?;
    let balances = Arc::make_mut(&mut state.balances);
    balances.reserve(collator, signed.deposit)?;
    balances.use_nonce(collator);
    let deposits = &mut Arc::make_mut(&mut state.registrar).deposits;
    // A claim that this very block has served made room for the next one.
    if let Some((owner, amount)) = deposits.insert(signed.claim.para, (collator, signed.deposit)) {
        balances.release(&owner, amount);
    }
    let message = claim_payload(state.chain_id(), &signed.claim, signed.deposit, signed.nonce);
    let message = SignedMessage { public: collator, message, signature: signed.signature };
    signatures.push(SignatureOf::Claim(position), message);
    Ok(())
}

/// Finalization: gives back the deposits of claims that are no more.
pub(crate) fn finalize(state: &mut State) {
    let is_over = |para: &ParaId| !state.scheduler.is_claimed(*para);
    if !state.registrar.deposits.keys().any(is_over) {
        return;
    }
    let scheduler = Arc::clone(&state.scheduler);
    let balances = Arc::make_mut(&mut state.balances);
    Arc::make_mut(&mut state.registrar).deposits.retain(|para, (owner, amount)| {
        let stays = scheduler.is_claimed(*para);
        if !stays {
            balances.release(owner, *amount);
        }
        stays
    });
}
