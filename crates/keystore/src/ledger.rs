//! What has been claimed under which key: the pure part of the keystore.
//!
//! A claim takes one or more *slots*; a slot holds one value for good. Two claims contradict each other exactly
//! when they want different values in one slot.

use codec::{Decode, Encode};
pub use ports::ForgetBefore;
use ports::{Claim, FinalityStage};
use primitives::{
    CandidateHash, CompactVote, DecodeError, Hash, SessionIndex, SigningContext, Slot, ValidatorId, blake2_256,
    decode_limited,
};
use std::{
    collections::{BTreeMap, btree_map::Entry as MapEntry},
    fmt,
};

/// Largest record, in bytes: a claim takes at most three slots of fixed size.
const RECORD_BYTES_MAX: usize = 1024;

/// A place that can hold one value per key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Scope {
    /// The candidate seconded at a relay parent.
    #[codec(index = 0)]
    Seconded(SigningContext),
    /// Which of the three statements was made on a candidate, at whatever relay parent.
    #[codec(index = 1)]
    Statement(CandidateHash),
    /// Whether a candidate was called valid, in whatever form.
    #[codec(index = 2)]
    Validity(CandidateHash),
    /// The bitfield at a relay parent.
    #[codec(index = 3)]
    Bitfield(SigningContext),
    /// The block authored in a slot.
    #[codec(index = 4)]
    Seal(Slot),
    /// The finality vote of a voter set, round and stage.
    #[codec(index = 5)]
    Finality(u64, u64, u8),
}

/// How old a claim is, in the unit of its kind: what decides when it may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Age {
    /// Statements and bitfields.
    #[codec(index = 0)]
    Session(SessionIndex),
    /// Block seals.
    #[codec(index = 1)]
    Slot(Slot),
    /// Finality votes: voter set and round.
    #[codec(index = 2)]
    Round(u64, u64),
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(session) => write!(f, "session {session}"),
            Self::Slot(slot) => write!(f, "slot {slot}"),
            Self::Round(set_id, round) => write!(f, "round {round} of voter set {set_id}"),
        }
    }
}

/// A slot with the value that is claimed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// Under which key.
    pub key: ValidatorId,
    /// The slot.
    pub scope: Scope,
    /// What it holds.
    pub value: Hash,
    /// How old it is.
    pub age: Age,
}

fn is_before(age: Age, kept: &ForgetBefore) -> bool {
    match age {
        Age::Session(session) => session < kept.session,
        Age::Slot(slot) => slot < kept.slot,
        Age::Round(set_id, round) => (set_id, round) < kept.round,
    }
}

/// What the journal holds.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Record {
    /// The slots of one claim, all or none.
    #[codec(index = 0)]
    Claim(Vec<Entry>),
    /// Everything before this is forgotten and refused.
    #[codec(index = 1)]
    Forgotten(ForgetBefore),
}

/// Why a claim is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The slot holds something else.
    #[error("{scope:?} holds {held} already, not {wanted}")]
    Taken {
        /// The slot.
        scope: Scope,
        /// What it holds.
        held: Hash,
        /// What was claimed for it.
        wanted: Hash,
    },
    /// What was signed then is no longer known.
    #[error("{scope:?} belongs to {age}, which is forgotten")]
    Forgotten {
        /// The slot.
        scope: Scope,
        /// Its age.
        age: Age,
    },
}

/// Why a record of the journal cannot be taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// It is no record.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It contradicts an earlier one, which this keystore never writes.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

/// What becomes of an acceptable claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is on disk already.
    Durable,
    /// Its slots are held in memory; it must be written before anything is signed.
    InMemory,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    value: Hash,
    age: Age,
    durable: bool,
}

/// All slots that are taken.
#[derive(Debug, Default)]
pub struct Ledger {
    held: BTreeMap<(ValidatorId, Scope), Held>,
    refused: ForgetBefore,
}

impl Ledger {
    /// Takes all slots of a claim, or none. A slot that holds the same value is as good as free.
    ///
    /// # Errors
    /// [`Conflict`]; nothing is changed then.
    pub fn claim(&mut self, entries: &[Entry]) -> Result<Claimed, Conflict> {
        for entry in entries {
            let Entry { scope, value, age, .. } = *entry;
            if is_before(age, &self.refused) {
                return Err(Conflict::Forgotten { scope, age });
            }
            if let Some(held) = self.held.get(&(entry.key, scope))
                && held.value != value
            {
                return Err(Conflict::Taken { scope, held: held.value, wanted: value });
            }
        }
        let mut claimed = Claimed::Durable;
        for entry in entries {
            match self.held.entry((entry.key, entry.scope)) {
                MapEntry::Occupied(held) if held.get().durable && held.get().age >= entry.age => {}
                MapEntry::Occupied(mut held) => {
                    // The same statement in a later session must be remembered for longer, on disk as well.
                    let held = held.get_mut();
                    held.age = held.age.max(entry.age);
                    held.durable = false;
                    claimed = Claimed::InMemory;
                }
                MapEntry::Vacant(place) => {
                    place.insert(Held { value: entry.value, age: entry.age, durable: false });
                    claimed = Claimed::InMemory;
                }
            }
        }
        Ok(claimed)
    }

    /// Notes that a claim has been written and synced.
    pub fn mark_durable(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Some(held) = self.held.get_mut(&(entry.key, entry.scope)) {
                held.durable |= held.age <= entry.age;
            }
        }
    }

    /// Takes over a record that was found in the journal.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn replay(&mut self, record: &[u8]) -> Result<(), LedgerError> {
        match decode_limited(record, RECORD_BYTES_MAX)? {
            Record::Forgotten(before) => {
                self.refuse_before(before);
                self.drop_refused();
            }
            Record::Claim(entries) => {
                // A claim that was under way while older ones were forgotten may stand behind the mark.
                let kept = |entry: &Entry| !is_before(entry.age, &self.refused);
                let entries: Vec<Entry> = entries.into_iter().filter(kept).collect();
                self.claim(&entries)?;
                self.mark_durable(&entries);
            }
        }
        Ok(())
    }

    /// From now on refuses claims before `before`. Never goes back.
    pub fn refuse_before(&mut self, before: ForgetBefore) {
        let refused = &mut self.refused;
        refused.session = refused.session.max(before.session);
        refused.slot = refused.slot.max(before.slot);
        refused.round = refused.round.max(before.round);
    }

    /// Drops what would be refused anyway.
    pub fn drop_refused(&mut self) {
        let refused = self.refused;
        self.held.retain(|_, held| !is_before(held.age, &refused));
    }

    /// All that a journal must hold to be read back as this ledger.
    pub fn to_records(&self) -> impl Iterator<Item = Record> + '_ {
        let claim = |(&(key, scope), held): (&(ValidatorId, Scope), &Held)| {
            Record::Claim(vec![Entry { key, scope, value: held.value, age: held.age }])
        };
        std::iter::once(Record::Forgotten(self.refused)).chain(self.held.iter().map(claim))
    }

    /// How many slots are taken.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// The slots that a claim takes; none if nothing can contradict it.
pub fn entries(key: &ValidatorId, claim: &Claim) -> Vec<Entry> {
    let entry = |scope, value, age| Entry { key: *key, scope, value, age };
    match claim {
        Claim::Statement { context, vote } => {
            let age = Age::Session(context.session_index);
            let candidate = vote.candidate_hash();
            let (statement, valid) = match vote {
                CompactVote::Seconded(_) => (b"seconded".as_slice(), true),
                CompactVote::Valid(_) => (b"valid".as_slice(), true),
                CompactVote::Invalid(_) => (b"invalid".as_slice(), false),
            };
            let validity = blake2_256(if valid { b"valid" } else { b"invalid" });
            let mut entries = vec![
                entry(Scope::Statement(candidate), blake2_256(statement), age),
                entry(Scope::Validity(candidate), validity, age),
            ];
            if let CompactVote::Seconded(candidate) = vote {
                entries.push(entry(Scope::Seconded(*context), candidate.0, age));
            }
            entries
        }
        Claim::Bitfield { context, bitfield } => {
            let age = Age::Session(context.session_index);
            vec![entry(Scope::Bitfield(*context), Hash::of(bitfield), age)]
        }
        Claim::BlockSeal { slot, pre_seal_hash } => {
            vec![entry(Scope::Seal(*slot), *pre_seal_hash, Age::Slot(*slot))]
        }
        Claim::FinalityVote { set_id, round, stage, payload } => {
            let stage = match stage {
                FinalityStage::Propose => 0,
                FinalityStage::Prevote => 1,
                FinalityStage::Precommit => 2,
            };
            let scope = Scope::Finality(*set_id, *round, stage);
            vec![entry(scope, blake2_256(payload), Age::Round(*set_id, *round))]
        }
        Claim::PeerIdentity { .. } => Vec::new(),
    }
}
