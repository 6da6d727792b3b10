//! Session module: who validates, for how long, and the randomness that goes with it.
//!
//! Sessions have a fixed length in blocks. The next session's validators are always known; a new set that is announced
//! takes the place after them.
//!
//! Stores: validators of the last, this, the next and perhaps the announced session, the session's number and first
//! block, and the randomness of this and the next one with what authors have contributed since.
//!
//! Entry points: announcing validators, governance only.
//!
//! Order: it turns before all modules learn of the session change. In every block it gathers what the author's slot
//! claim contributes.

use codec::Encode;
use primitives::{BlockNumber, Hash, HostConfiguration, SessionIndex, ValidatorId};
use std::sync::Arc;

use crate::limits::PAST_SESSIONS_KEPT;

const _: () = assert!(PAST_SESSIONS_KEPT == 1, "`previous` holds one session");

/// What modules learn of a session change, in initialization order.
#[derive(Clone, Debug)]
pub(crate) struct SessionChange {
    /// First block of the new session.
    pub(crate) first_block: BlockNumber,
    /// The new session's validators.
    pub(crate) validators: Arc<Vec<ValidatorId>>,
    /// The configuration before.
    pub(crate) previous_configuration: HostConfiguration,
    /// The configuration from now on.
    pub(crate) configuration: HostConfiguration,
    /// Seed for the session.
    pub(crate) random_seed: [u8; 32],
}

/// The sessions.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub(crate) struct Session {
    /// Of the next block.
    pub(crate) index: SessionIndex,
    /// The session's first block.
    pub(crate) start_block: BlockNumber,
    /// Length, in blocks; not 0.
    pub(crate) length: BlockNumber,
    /// Of this session.
    #[codec(skip)]
    pub(crate) validators: Arc<Vec<ValidatorId>>,
    /// Of the next session.
    #[codec(skip)]
    pub(crate) queued: Arc<Vec<ValidatorId>>,
    /// Of the session after that, if others than `queued`.
    pub(crate) announced: Option<Arc<Vec<ValidatorId>>>,
    /// Of the session before this one.
    #[codec(skip)]
    pub(crate) previous: Option<Arc<Vec<ValidatorId>>>,
    /// Of this session.
    pub(crate) randomness: [u8; 32],
    /// Of the next session: fixed before it starts.
    pub(crate) next_randomness: [u8; 32],
    /// What the authors of this session have contributed.
    pub(crate) gathered: [u8; 32],
    /// Stands for previous validators in the state root, which would cost too much in every block.
    pub(crate) previous_hash: Hash,
    /// This session's validators as parachain code reads them.
    pub(crate) authorities: KnownValue,
    /// The next session's.
    pub(crate) next_authorities: KnownValue,
}

/// Each block author weighs the same.
const AUTHORITY_WEIGHT: u64 = 1;

/// An encoded value with its hash, which stands for it in the state root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode)]
pub(crate) struct KnownValue {
    #[codec(skip)]
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) hash: Hash,
}

impl KnownValue {
    pub(crate) fn of(validators: &[ValidatorId]) -> Self {
        let weighted = validators.iter().map(|validator| (validator.0, AUTHORITY_WEIGHT));
        let bytes = weighted.collect::<Vec<_>>().encode();
        Self { hash: primitives::blake2_256(&bytes), bytes: Arc::new(bytes) }
    }
}

impl Session {
    pub(crate) fn genesis(validators: Vec<ValidatorId>, length: BlockNumber, seed: [u8; 32]) -> Self {
        let validators = Arc::new(validators);
        let authorities = KnownValue::of(&validators);
        Self {
            index: 0,
            start_block: 0,
            length,
            queued: Arc::clone(&validators),
            validators,
            announced: None,
            previous: None,
            randomness: seed,
            next_randomness: Hash::of(&(seed, 1_u32)).0,
            gathered: [0; 32],
            previous_hash: Hash::ZERO,
            next_authorities: authorities.clone(),
            authorities,
        }
    }

    /// Mixes in what only this block's author could contribute.
    pub(crate) fn gather(&mut self, vrf_output: &[u8; 32]) {
        self.gathered = Hash::of(&(self.gathered, vrf_output)).0;
    }

    /// Whether `number` is the session's last block.
    pub(crate) const fn ends_with(&self, number: BlockNumber) -> bool {
        number.saturating_sub(self.start_block) >= self.length.saturating_sub(1)
    }

    /// The session of a block with this number, on every fork: all sessions have the same length.
    pub(crate) fn session_of(&self, number: BlockNumber) -> SessionIndex {
        number.checked_div(self.length).unwrap_or(self.index)
    }

    /// Moves on to the session that starts with `first_block`.
    pub(crate) fn rotate(&mut self, first_block: BlockNumber) {
        self.index = self.index.saturating_add(1);
        self.start_block = first_block;
        let queued = self.announced.take().unwrap_or_else(|| Arc::clone(&self.queued));
        let validators = std::mem::replace(&mut self.queued, queued);
        self.previous = Some(std::mem::replace(&mut self.validators, validators));
        let next_authorities = KnownValue::of(&self.queued);
        let authorities = std::mem::replace(&mut self.next_authorities, next_authorities);
        self.previous_hash = std::mem::replace(&mut self.authorities, authorities).hash;
        self.randomness = self.next_randomness;
        let after = self.index.saturating_add(1);
        self.next_randomness = Hash::of(&(self.randomness, self.gathered, after)).0;
        self.gathered = [0; 32];
    }

    /// The validators of a session that is still kept.
    pub(crate) fn validators_of(&self, session: SessionIndex) -> Option<&Arc<Vec<ValidatorId>>> {
        if session == self.index {
            Some(&self.validators)
        } else if session.checked_add(PAST_SESSIONS_KEPT) == Some(self.index) {
            self.previous.as_ref()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(first: u8) -> Vec<ValidatorId> {
        vec![ValidatorId([first; 32]), ValidatorId([first + 1; 32])]
    }

    #[test]
    fn announced_validators_are_buffered_by_one_session() {
        let mut session = Session::genesis(ids(1), 10, [9; 32]);
        session.announced = Some(Arc::new(ids(5)));
        session.rotate(10);
        assert_eq!(*session.validators, ids(1));
        assert_eq!(*session.queued, ids(5));
        session.rotate(20);
        assert_eq!(*session.validators, ids(5));
        assert_eq!(*session.queued, ids(5));
        assert_eq!(session.validators_of(2).map(|v| (**v).clone()), Some(ids(5)));
        assert_eq!(session.validators_of(1).map(|v| (**v).clone()), Some(ids(1)));
        assert_eq!(session.validators_of(0), None);
        assert_eq!(session.validators_of(3), None);
    }

    #[test]
    fn validators_of_all_three_sessions_are_covered() {
        let with = |previous: u8, current: u8, next: u8| {
            let mut session = Session::genesis(ids(previous), 10, [9; 32]);
            session.announced = Some(Arc::new(ids(current)));
            session.rotate(10);
            session.announced = Some(Arc::new(ids(next)));
            session.rotate(20);
            session.encode()
        };
        let encoded = [with(1, 3, 5), with(7, 3, 5), with(1, 7, 5), with(1, 3, 7)];
        let distinct: std::collections::BTreeSet<_> = encoded.iter().collect();
        assert_eq!(distinct.len(), 4);
    }

    #[test]
    fn a_session_ends_after_its_length() {
        let mut session = Session::genesis(ids(1), 3, [9; 32]);
        assert!(!session.ends_with(1));
        assert!(session.ends_with(2));
        session.rotate(3);
        assert!(!session.ends_with(3) && !session.ends_with(4));
        assert!(session.ends_with(5));
        assert_eq!([2, 3, 5, 6].map(|number| session.session_of(number)), [0, 1, 1, 2]);
    }

    #[test]
    fn contributions_reach_the_session_after_the_next() {
        let (mut one, mut two) = (Session::genesis(ids(1), 3, [9; 32]), Session::genesis(ids(1), 3, [9; 32]));
        one.gather(&[1; 32]);
        two.gather(&[2; 32]);
        one.rotate(3);
        two.rotate(3);
        assert_eq!(one.randomness, two.randomness, "it was fixed before");
        assert_ne!(one.next_randomness, two.next_randomness);
    }
}
