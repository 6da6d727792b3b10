//! Initializer module (RT-1): modules begin a block in one order, learn of a session change in that order, and end the
//! block in the reverse order.
//!
//! Stores: where the chain stands (number, slot, author, allowed relay parents), and whether a block is under way.
//!
//! Entry points: none. Executing a block calls [`initialize`] before the first extrinsic and [`finalize`] after the
//! last. A session change while a block is under way is an error that no later block can mend.
//!
//! Order: at the begin of a block configuration (nothing to do), paras, scheduler, inclusion (nothing to do),
//! validity, then messages. At its end validity, scheduler, registrar. After the last block of a session learn of the
//! next one session, configuration, paras, scheduler, inclusion, messages, validity, slashing, registrar.

use codec::{Decode, Encode};
use primitives::{BlockNumber, Hash, Header, ParaId, SessionIndex, Slot, ValidatorIndex, messages::UpwardMessage};
use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Ancestor, BlockError, SlotClaim, State,
    limits::{MAX_ANCESTORS, PAST_SESSIONS_KEPT},
    outcome::Outcome,
    registrar,
    session::SessionChange,
    validity,
};

/// Where the chain stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct System {
    pub(crate) number: BlockNumber,
    pub(crate) slot: Slot,
    /// Who authored the block, in its session.
    pub(crate) author: ValidatorIndex,
    /// The output that won the author its slot.
    pub(crate) vrf_output: [u8; 32],
    /// Allowed relay parents, the latest last. Between blocks the block itself is not yet among them: its
    /// hash is only known to its child.
    pub(crate) ancestors: Vec<Ancestor>,
    has_initialized: bool,
}

/// Begins block `number` on the header that `state` is the state of; hands out the parent's messages.
pub(crate) fn initialize(
    state: &mut State,
    number: BlockNumber,
    parent_header: &Header,
    parent_hash: Hash,
    outcome: &mut Outcome,
) -> Vec<(ParaId, Vec<UpwardMessage>)> {
    let session = state.session_index();
    let configuration = state.configuration().clone();
    let system = Arc::make_mut(&mut state.system);
    system.number = number;
    system.ancestors.push(Ancestor {
        hash: parent_hash,
        number: parent_header.number,
        storage_root: parent_header.state_root,
        session,
    });
    let kept = (configuration.allowed_ancestry_len as usize).saturating_add(1).min(MAX_ANCESTORS);
    let excess = system.ancestors.len().saturating_sub(kept);
    system.ancestors.drain(..excess);
    system.has_initialized = true;
    // Copies a module only if it has something to do.
    if state.paras.has_past_code() {
        Arc::make_mut(&mut state.paras).prune(number, configuration.acceptance_period);
    }
    Arc::make_mut(&mut state.scheduler).schedule(&BTreeMap::new(), &configuration, number);
    validity::initialize(state, outcome);
    if state.messages.has_upward() {
        return Arc::make_mut(&mut state.messages).dispatch();
    }
    Vec::new()
}

/// Records slot and author's contribution to the randomness.
pub(crate) fn note_slot(state: &mut State, claim: &SlotClaim) -> Result<(), BlockError> {
    let system = Arc::make_mut(&mut state.system);
    if claim.slot <= system.slot {
        return Err(BlockError::SlotNotLater { parent: system.slot, found: claim.slot });
    }
    let validators = state.session.validators.len();
    if claim.author.as_usize() >= validators {
        return Err(BlockError::UnknownAuthor { author: claim.author, validators });
    }
    system.slot = claim.slot;
    system.author = claim.author;
    system.vrf_output = claim.vrf.pre_output;
    Arc::make_mut(&mut state.session).gather(&claim.vrf.pre_output);
    Ok(())
}

/// Ends the block; if it is the session's last, the next session begins for its children.
pub(crate) fn finalize(state: &mut State, outcome: &mut Outcome) -> Result<Option<SessionIndex>, BlockError> {
    let configuration = state.configuration().clone();
    validity::finalize(state);
    Arc::make_mut(&mut state.scheduler).finalize(&configuration);
    registrar::finalize(state);
    let system = Arc::make_mut(&mut state.system);
    system.has_initialized = false;
    let (true, Some(first_block)) = (state.session.ends_with(system.number), system.number.checked_add(1)) else {
        return Ok(None);
    };
    session_change(state, first_block, outcome)?;
    registrar::finalize(state);
    Ok(Some(state.session_index()))
}

/// Tells the modules of the session that begins with `first_block`, in initialization order.
fn session_change(state: &mut State, first_block: BlockNumber, outcome: &mut Outcome) -> Result<(), BlockError> {
    if state.system.has_initialized {
        return Err(BlockError::SessionChangeAfterInitialization);
    }
    let session = Arc::make_mut(&mut state.session);
    session.rotate(first_block);
    let configuration = Arc::make_mut(&mut state.configuration);
    let previous_configuration = configuration.on_session_change();
    let change = SessionChange {
        first_block,
        validators: Arc::clone(&session.validators),
        previous_configuration,
        configuration: configuration.active().clone(),
        random_seed: session.randomness,
    };
    start_session(state, &change, outcome);
    Ok(())
}

/// The part of a session change that genesis shares.
pub(crate) fn start_session(state: &mut State, change: &SessionChange, outcome: &mut Outcome) {
    let paras = Arc::make_mut(&mut state.paras);
    paras.on_session_change(change);
    Arc::make_mut(&mut state.scheduler).on_session_change(change, &paras.parachains, |para| paras.is_parathread(para));
    state.inclusion = Arc::default();
    let paras = Arc::clone(&state.paras);
    Arc::make_mut(&mut state.messages).on_session_change(|para| paras.heads.contains_key(&para));
    let oldest = state.session.index.saturating_sub(PAST_SESSIONS_KEPT);
    validity::on_session_change(state, oldest, outcome);
    let oldest_disputed = state.validity.oldest_disputed_session().map_or(oldest, |disputed| disputed.min(oldest));
    Arc::make_mut(&mut state.slashing).on_session_change(oldest, oldest_disputed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::tests::small_genesis;

    #[test]
    fn a_session_change_after_initialization_is_fatal() {
        let (mut state, header) = crate::genesis(&small_genesis()).unwrap();
        let outcome = &mut Outcome::default();
        initialize(&mut state, 1, &header, header.hash(), outcome);
        assert_eq!(session_change(&mut state, 1, outcome), Err(BlockError::SessionChangeAfterInitialization));
        finalize(&mut state, outcome).unwrap();
        assert_eq!(session_change(&mut state, 2, outcome), Ok(()));
    }
}
