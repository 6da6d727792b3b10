//! Slots: who may author when. Pure.
//!
//! A slot is a stretch of `slot_ms` milliseconds since the Unix epoch. Each slot has one *secondary* author, by turns,
//! so that none stays empty as long as its author is online; besides, every validator draws a *primary* right by VRF.
//! With a drawing chance of *c* each, more than one of *n* validators may author with probability 1 − (1 − c)^(n−1):
//! that is how a wanted share of forks is had. Thresholds are computed in integers, because every node must get the
//! same ones.

use codec::Encode;
use primitives::{
    Hash, SessionIndex, Slot, ValidatorId, ValidatorIndex, VrfSignature,
    crypto::{vrf_input_bytes, vrf_verify},
};
use runtime::SlotClaim;

#[cfg(test)]
mod tests;

/// Parts in which the share of forks is given.
pub const PARTS_PER_MILLION: u32 = 1_000_000;
/// A lot is drawn from this many.
const LOTS: u64 = 1 << 32;
/// How much finer than lots chances are computed, in bits: products of two still fit 128 bits.
const FRACTION_BITS: u32 = 28;
/// Purpose of the bytes made from the VRF output.
const LOT_CONTEXT: &[u8] = b"parahost-primary-slot";
/// Domain of the VRF input.
const INPUT_DOMAIN: &[u8] = b"parahost-slot";

/// Why a claim to a slot is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// There is no such validator.
    #[error("author {author} of slot {slot} is none of {validators} validators")]
    NoSuchAuthor {
        /// The claimed author.
        author: ValidatorIndex,
        /// The slot.
        slot: Slot,
        /// How many validators there are.
        validators: usize,
    },
    /// The VRF proof is wrong.
    #[error("proof of the lot for slot {0} does not hold")]
    Proof(Slot),
    /// The lot does not win.
    #[error("lot {lot} for slot {slot} does not win, it must be below {threshold}")]
    NotWon {
        /// The slot.
        slot: Slot,
        /// What was drawn.
        lot: u64,
        /// What wins.
        threshold: u64,
    },
    /// It is another validator's turn.
    #[error("slot {slot} is the turn of validator {expected}, claimed by {found}")]
    NotTheirTurn {
        /// The slot.
        slot: Slot,
        /// Who claims it.
        found: ValidatorIndex,
        /// Whose turn it is.
        expected: ValidatorIndex,
    },
}

/// With what right a slot is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// The lot won.
    Primary,
    /// It is the author's turn.
    Secondary,
}

/// What claims are checked against: the chain, and who works on top of the parent block.
#[derive(Clone, Copy, Debug)]
pub struct SlotContext<'a> {
    /// Hash of the genesis block.
    pub genesis: Hash,
    /// Randomness of the session, fixed before it began.
    pub randomness: [u8; 32],
    /// The session.
    pub session: SessionIndex,
    /// Its validators.
    pub validators: &'a [ValidatorId],
    /// How often more than one author is wanted, of a million slots.
    pub forks_per_million: u32,
}

impl SlotContext<'_> {
    /// What a claim to `slot` draws its lot on.
    pub fn vrf_input(&self, slot: Slot) -> Vec<u8> {
        (INPUT_DOMAIN, self.genesis, self.randomness, self.session, slot).encode()
    }

    /// Checks a claim: the author exists, the proof holds, and the lot wins or it is the author's turn.
    ///
    /// # Errors
    /// The [`SlotError`] that applies.
    pub fn check(&self, claim: &SlotClaim) -> Result<Right, SlotError> {
        let (slot, author) = (claim.slot, claim.author);
        let validators = self.validators.len();
        let Some(key) = self.validators.get(author.as_usize()) else {
            return Err(SlotError::NoSuchAuthor { author, slot, validators });
        };
        let lot = lot(key, &self.vrf_input(slot), &claim.vrf).ok_or(SlotError::Proof(slot))?;
        let threshold = primary_threshold(self.forks_per_million, validators);
        if lot < threshold {
            return Ok(Right::Primary);
        }
        match secondary_author(slot, validators) {
            Some(expected) if expected == author => Ok(Right::Secondary),
            Some(expected) if threshold == 0 => Err(SlotError::NotTheirTurn { slot, found: author, expected }),
            _ => Err(SlotError::NotWon { slot, lot, threshold }),
        }
    }
}

/// The slot at a time since the Unix epoch, in milliseconds.
pub fn slot_at(now_ms: u64, slot_ms: u64) -> Slot {
    now_ms / slot_ms.max(1)
}

/// Below which lot a validator wins a primary right, of 2³², when more than one of `validators` is to be eligible in
/// `forks_per_million` of a million slots.
pub fn primary_threshold(forks_per_million: u32, validators: usize) -> u64 {
    let others = validators.saturating_sub(1);
    let forks = u64::from(forks_per_million.min(PARTS_PER_MILLION));
    if others == 0 || forks == 0 {
        return 0;
    }
    // The largest chance with which nobody else wins at least as often as no fork is wanted.
    let no_fork = (LOTS - forks * LOTS / u64::from(PARTS_PER_MILLION)) << FRACTION_BITS;
    let nobody_wins = |chance: u64| power((LOTS - chance) << FRACTION_BITS, others);
    let (mut fits, mut too_much) = (0, LOTS + 1);
    while too_much - fits > 1 {
        let middle = fits + (too_much - fits) / 2;
        if nobody_wins(middle) >= no_fork {
            fits = middle;
        } else {
            too_much = middle;
        }
    }
    fits
}

/// A power of a fraction of [`LOTS`] `<<` [`FRACTION_BITS`]; each product is rounded down.
fn power(fraction: u64, exponent: usize) -> u64 {
    let one = u128::from(LOTS << FRACTION_BITS);
    let (mut power, mut square, mut rest) = (one, u128::from(fraction), exponent);
    while rest > 0 {
        if rest % 2 == 1 {
            power = power * square / one;
        }
        square = square * square / one;
        rest /= 2;
    }
    power as u64
}

/// Whose turn a slot is; `None` without validators.
pub fn secondary_author(slot: Slot, validators: usize) -> Option<ValidatorIndex> {
    let turn = slot.checked_rem(validators as u64)?;
    u32::try_from(turn).ok().map(ValidatorIndex)
}

/// The lot that a VRF signature draws; `None` if the proof does not hold.
fn lot(author: &ValidatorId, input: &[u8], vrf: &VrfSignature) -> Option<u64> {
    let output = vrf_verify(&author.0, vrf_input_bytes(input), vrf)?;
    Some(u64::from(u32::from_le_bytes(output.make_bytes(LOT_CONTEXT))))
}
