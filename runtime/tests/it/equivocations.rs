//! Authors of two blocks in one slot.

use crate::{support::*, transactions::numbered};
use primitives::{DigestItem, Header, ValidatorIndex};
use runtime::{EquivocationError, EquivocationReport, Extrinsic, ExtrinsicError, PenaltyReason, SignatureOf};

fn sealed(chain: &Chain, by: u32, slot: u64, salt: u8) -> Header {
    numbered(chain, by, slot, salt, 9)
}

pub(crate) fn report(chain: &Chain, by: u32, slots: [u64; 2], salts: [u8; 2]) -> EquivocationReport {
    let [first, second] = [0, 1].map(|index| sealed(chain, by, slots[index], salts[index]));
    EquivocationReport { session: 0, validator: ValidatorIndex(by), first, second }
}

/// Takes all that a validator has at stake.
pub(crate) fn ruin(chain: &mut Chain, by: u32) {
    ruin_by(chain, by, 10);
    assert_eq!(chain.state.stake_of(&chain.state.validators()[by as usize]), 0);
}

/// Takes so many tenths of it.
pub(crate) fn ruin_by(chain: &mut Chain, by: u32, tenths: u64) {
    let reports = (0..tenths).map(|slot| transaction(&report(chain, by, [slot, slot], [1, 2]))).collect();
    chain.push_extrinsics(reports);
}

pub(crate) fn transaction(report: &EquivocationReport) -> Extrinsic {
    Extrinsic::Equivocation(Box::new(report.clone()))
}

fn refusal(chain: &Chain, report: &EquivocationReport) -> EquivocationError {
    match chain.refused(transaction(report)) {
        ExtrinsicError::Equivocation(error) => error,
        other => panic!("refused for another reason: {other}"),
    }
}

#[test]
fn two_blocks_in_one_slot_are_slashed_once() {
    let mut chain = Chain::new(4);
    let report = report(&chain, 2, [30, 30], [1, 2]);
    let executed = chain.push_extrinsics(vec![transaction(&report)]);
    let [penalty] = &executed.penalties[..] else { panic!("one author") };
    assert_eq!((penalty.reason, penalty.amount), (PenaltyReason::Equivocation(30), 100_000));
    assert_eq!(penalty.validator, chain.state.validators()[2]);
    let known = EquivocationError::Known { validator: ValidatorIndex(2), slot: 30 };
    assert_eq!(refusal(&chain, &report), known);
    let other = self::report(&chain, 2, [31, 31], [1, 2]);
    chain.push_extrinsics(vec![transaction(&other)]);
    assert_eq!(chain.state.penalties().len(), 2);
    assert_eq!(chain.state.stake_of(&chain.state.validators()[2]), 800_000);
}

/// Sessions have 40 blocks.
#[test]
fn who_has_a_place_in_two_sessions_is_slashed_once_as_well() {
    let mut chain = Chain::new(4);
    chain.skip_to(40);
    let across = |session, number| {
        let (first, second) = (numbered(&chain, 2, 50, 1, number), numbered(&chain, 2, 50, 2, 40));
        EquivocationReport { session, validator: ValidatorIndex(2), first, second }
    };
    let [early, late, other] = [across(0, 39), across(1, 39), across(0, 40)];
    chain.push_extrinsics(vec![transaction(&early)]);
    let known = EquivocationError::Known { validator: ValidatorIndex(2), slot: 50 };
    assert_eq!(refusal(&chain, &late), known);
    assert_eq!(refusal(&chain, &other), EquivocationError::OtherSession { expected: [1, 1], found: 0 });
    // As long as any session of these blocks can be reported.
    chain.skip_to(118);
    assert_eq!(refusal(&chain, &late), known);
    assert_eq!(chain.state.penalties().len(), 0, "that of session 0 is forgotten");
    assert_eq!(chain.state.stake_of(&chain.state.validators()[2]), 900_000);
}

#[test]
fn what_proves_no_equivocation() {
    let mut chain = Chain::new(4);
    let good = report(&chain, 2, [30, 30], [1, 2]);
    let different = report(&chain, 2, [30, 31], [1, 2]);
    assert_eq!(refusal(&chain, &different), EquivocationError::DifferentSlots { first: 30, second: 31 });
    // One block with two seals is one block.
    let mut same = report(&chain, 2, [30, 30], [1, 1]);
    same.second.digest[1] = DigestItem::Seal(runtime::SLOT_ENGINE_ID, vec![7; 64]);
    assert_eq!(refusal(&chain, &same), EquivocationError::SameBlock);
    let mut bare = good.clone();
    bare.first.digest.pop();
    assert_eq!(refusal(&chain, &bare), EquivocationError::NotSealed);
    let mut claimless = good.clone();
    claimless.second.digest.remove(0);
    assert_eq!(refusal(&chain, &claimless), EquivocationError::NotSealed);
    let mut framed = good.clone();
    framed.validator = ValidatorIndex(1);
    assert_eq!(chain.wrong_signature(transaction(&framed)), SignatureOf::Seal(1));
    framed.validator = ValidatorIndex(4);
    let unknown = EquivocationError::UnknownValidator { session: 0, validator: ValidatorIndex(4) };
    assert_eq!(refusal(&chain, &framed), unknown);
    chain.skip_to(79);
    assert_eq!(refusal(&chain, &good), EquivocationError::UnknownSession(0));
}
