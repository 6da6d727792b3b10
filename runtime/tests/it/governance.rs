//! The governance origin and the registrar: changes that more than two thirds of the validators sign.

use crate::support::*;
use primitives::{
    CollatorId, ConfigurationError, HostConfiguration, Pair, ParaId, ValidatorId, ValidatorIndex,
    limits::MAX_ACCEPTANCE_PERIOD,
};
use runtime::{
    BalanceError, ClaimError, ConfigurationChange, Extrinsic, ExtrinsicError, Governance, GovernanceError,
    ParathreadClaim, RegistrarError, SignatureOf, SignedClaim, SignedGovernance, claim_payload,
};

fn change() -> Governance {
    Governance::ConfigureField(ConfigurationChange::MaxPovSize(77))
}

fn transaction(signed: SignedGovernance) -> Extrinsic {
    Extrinsic::Governed(Box::new(signed))
}

fn refusal(chain: &Chain, signed: SignedGovernance) -> GovernanceError {
    match chain.refused(transaction(signed)) {
        ExtrinsicError::Governance(error) => error,
        other => panic!("refused for another reason: {other}"),
    }
}

#[test]
fn a_change_takes_more_than_two_thirds_of_the_validators() {
    let mut chain = Chain::new(7);
    let signed = chain.governance(change(), &[0, 2, 4, 6]);
    assert_eq!(refusal(&chain, signed), GovernanceError::TooFewSignatures { found: 4, needed: 5 });
    let signed = chain.governance(change(), &[0, 2, 3, 4, 6]);
    chain.push_extrinsics(vec![transaction(signed)]);
    assert_ne!(chain.state.configuration().max_pov_size, 77);
    chain.skip_to(39);
    assert_eq!(chain.state.configuration().max_pov_size, 77, "it waits for the session change");
}

#[test]
fn nobody_signs_twice_and_strangers_do_not_count() {
    let chain = Chain::new(4);
    let (one, two) = (ValidatorIndex(1), ValidatorIndex(2));
    for (signers, first, second) in [([1, 1, 2], one, one), ([2, 1, 3], two, one)] {
        assert_eq!(refusal(&chain, chain.governance(change(), &signers)), GovernanceError::Order { first, second });
    }
    let mut signed = chain.governance(change(), &[1, 2, 3]);
    signed.signatures[2].0 = ValidatorIndex(4);
    assert_eq!(refusal(&chain, signed), GovernanceError::UnknownValidator(ValidatorIndex(4)));
    let mut signed = chain.governance(change(), &[1, 2, 3]);
    signed.signatures[1].1 = signed.signatures[0].1;
    assert_eq!(chain.wrong_signature(transaction(signed)), SignatureOf::Governance(two));
    let mut signed = chain.governance(change(), &[1, 2, 3]);
    signed.change = Governance::CleanupPara(ONE);
    assert_eq!(chain.wrong_signature(transaction(signed)), SignatureOf::Governance(one));
}

#[test]
fn a_signed_change_works_once_and_on_one_chain() {
    let mut chain = Chain::new(4);
    let signed = chain.governance(change(), &[0, 1, 2]);
    let other = Chain::with(4, |genesis| genesis.randomness = [6; 32]);
    assert_ne!(other.state.chain_id(), chain.state.chain_id());
    assert_eq!(other.wrong_signature(transaction(signed.clone())), SignatureOf::Governance(ValidatorIndex(0)));
    chain.push_extrinsics(vec![transaction(signed.clone())]);
    assert_eq!(chain.state.governance_nonce(), 1);
    assert_eq!(refusal(&chain, signed), GovernanceError::Nonce { found: 0, expected: 1 });
}

#[test]
fn each_field_is_set_by_its_entry_point_at_the_session_change() {
    let mut chain = Chain::new(4);
    let to = HostConfiguration {
        parachain_rotation_frequency: 12,
        chain_availability_period: 7,
        thread_availability_period: 8,
        parathread_cores: 2,
        minimum_backing_votes: Some(1),
        acceptance_period: 33,
        ..HostConfiguration::default()
    };
    let before = chain.state.configuration().clone();
    // The rotation frequency goes first, because periods must stay below it.
    let mut changes = ConfigurationChange::all(&to);
    changes.sort_by_key(|change| change.field() != "parachain_rotation_frequency");
    for change in changes {
        chain.enact(Governance::ConfigureField(change));
    }
    assert_eq!(chain.state.configuration(), &before);
    chain.skip_to(39);
    assert_eq!(chain.state.configuration(), &to);
}

#[test]
fn a_field_that_would_break_an_invariant_is_refused() {
    let chain = Chain::new(4);
    let refused = |change| {
        let signed = chain.governance(Governance::ConfigureField(change), &[0, 1, 2]);
        refusal(&chain, signed)
    };
    assert_eq!(
        refused(ConfigurationChange::ThreadAvailabilityPeriod(0)),
        GovernanceError::Configuration(ConfigurationError::OutOfRange {
            field: "thread_availability_period_blocks",
            found: 0,
            min: 1,
            max: 100_799
        })
    );
    assert!(matches!(
        refused(ConfigurationChange::ParachainRotationFrequency(6)),
        GovernanceError::Configuration(ConfigurationError::RotationTooFast { .. })
    ));
    let (found, max) = (MAX_ACCEPTANCE_PERIOD + 1, MAX_ACCEPTANCE_PERIOD);
    assert_eq!(
        refused(ConfigurationChange::AcceptancePeriod(found)),
        GovernanceError::Configuration(ConfigurationError::OutOfRange {
            field: "acceptance_period_blocks",
            found,
            min: 0,
            max
        })
    );
    assert_eq!(refused(ConfigurationChange::ParathreadCores(255)), GovernanceError::CoreCount(257));
}

#[test]
fn paras_validators_and_claims_are_governed_by_blocks_too() {
    let mut chain = Chain::new(4);
    chain.enact(Governance::CleanupPara(TWO));
    let args = runtime::ParaGenesisArgs {
        genesis_head: primitives::HeadData(vec![5]),
        validation_code: vec![5; 64].into(),
        parachain: false,
    };
    chain.enact(Governance::InitializePara(ParaId(3001), args));
    let ids = chain.state.validators()[..3].to_vec();
    chain.enact(Governance::Validators(ids.clone()));
    let collator = CollatorId(Pair::from_name("collator").public());
    chain.enact(Governance::Claim(ParathreadClaim { para: THREAD, collator }));
    assert_eq!(chain.state.next_up(THREAD_CORE).unwrap().para_id, THREAD);
    chain.skip_to(39);
    assert_eq!(chain.state.parachains(), [ONE]);
    assert!(chain.state.paras().any(|para| para == ParaId(3001)));
    assert_eq!(chain.state.next_validators(), ids);
}

fn claim(chain: &Chain, deposit: u128, nonce: u32) -> SignedClaim {
    let collator = Pair::from_name("collator");
    let claim = ParathreadClaim { para: THREAD, collator: CollatorId(collator.public()) };
    let payload = claim_payload(chain.state.chain_id(), &claim, deposit, nonce);
    SignedClaim { claim, deposit, nonce, signature: sign(&collator, &payload) }
}

fn claim_refusal(chain: &Chain, claim: SignedClaim) -> RegistrarError {
    match chain.refused(Extrinsic::Claim(claim)) {
        ExtrinsicError::Claim(error) => error,
        other => panic!("refused for another reason: {other}"),
    }
}

#[test]
fn a_claim_holds_a_deposit_until_it_is_served_or_dropped() {
    let mut chain = Chain::new(6);
    let owner = Pair::from_name("collator").public();
    assert_eq!(
        claim_refusal(&chain, claim(&chain, 40, 0)),
        RegistrarError::Deposit(BalanceError::TooLittle { found: 0, needed: 40 })
    );
    chain.enact(Governance::Endow(owner, 100));
    assert_eq!(claim_refusal(&chain, claim(&chain, 0, 0)), RegistrarError::DepositSize { found: 0 });
    assert_eq!(claim_refusal(&chain, claim(&chain, 40, 1)), RegistrarError::Nonce { found: 1, expected: 0 });
    let mut forged = claim(&chain, 40, 0);
    forged.deposit = 41;
    assert_eq!(chain.wrong_signature(Extrinsic::Claim(forged)), SignatureOf::Claim(1));
    let first = claim(&chain, 40, 0);
    chain.push_extrinsics(vec![Extrinsic::Claim(first.clone())]);
    let account = chain.state.account(&owner);
    assert_eq!((account.free, account.reserved, account.nonce), (60, 40, 1));
    assert_eq!(claim_refusal(&chain, first), RegistrarError::Nonce { found: 0, expected: 1 });
    assert_eq!(claim_refusal(&chain, claim(&chain, 40, 1)), RegistrarError::Claim(ClaimError::AlreadyClaimed(THREAD)));
    // Two attempts fail: the claim is dropped, the deposit comes back.
    chain.skip(1);
    assert_eq!(chain.state.account(&owner).reserved, 40);
    chain.skip(1);
    let account = chain.state.account(&owner);
    assert_eq!((account.free, account.reserved), (100, 0));
    // Another one is served.
    let second = claim(&chain, 10, 1);
    chain.push_extrinsics(vec![Extrinsic::Claim(second)]);
    let receipt = chain.draft(THREAD, THREAD_CORE).receipt_v1(&Pair::from_name("collator"));
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back_with(receipt, THREAD_CORE, usize::MAX)];
    chain.push(inherent);
    assert_eq!(chain.state.account(&owner).reserved, 10);
    // The block that serves it may carry the next one.
    let next = Extrinsic::Claim(claim(&chain, 20, 2));
    let (block, executed) = chain.try_extrinsics(chain.attesting(6, &[2]), vec![next]).unwrap();
    let account = executed.state.account(&owner);
    assert_eq!((account.free, account.reserved), (80, 20), "the deposit of the first one is back");
    (chain.header, chain.state) = (block.header, stored(&executed.state));
    chain.skip(2);
    assert_eq!(chain.state.account(&owner).free, 100);
    assert!(chain.state.issuance().is_conserved());
}

#[test]
fn the_deposit_of_a_parathread_that_is_removed_comes_back() {
    let mut chain = Chain::with(6, |genesis| genesis.configuration.parathread_retries = 100);
    let owner = Pair::from_name("collator").public();
    chain.enact(Governance::Endow(owner, 100));
    let signed = claim(&chain, 40, 0);
    chain.push_extrinsics(vec![Extrinsic::Claim(signed)]);
    chain.enact(Governance::CleanupPara(THREAD));
    chain.skip_to(38);
    assert_eq!(chain.state.account(&owner).reserved, 40);
    chain.skip_to(39);
    assert_eq!(chain.state.account(&owner).free, 100);
}

#[test]
fn an_author_keeps_the_transactions_that_fit_together() {
    let chain = Chain::new(4);
    let good = transaction(chain.governance(change(), &[0, 1, 2]));
    let again = good.clone();
    let mut forged = chain.governance(Governance::CleanupPara(ONE), &[0, 1, 2]);
    forged.signatures[0].1 = forged.signatures[1].1;
    let transactions = vec![transaction(forged), good.clone(), again];
    let verifier = &runtime::DirectVerifier;
    let kept = runtime::filter_extrinsics(&chain.state, &chain.header, &chain.inherent(), transactions, verifier);
    assert_eq!(kept, [good]);
    assert!(chain.try_extrinsics(chain.inherent(), kept).is_ok());
}

#[test]
fn keys_that_nobody_or_everybody_could_sign_for_are_not_seated() {
    let chain = Chain::new(4);
    for bytes in [[0xff; 32], [0; 32]] {
        let seated = vec![chain.state.validators()[0], ValidatorId(bytes)];
        let signed = chain.governance(Governance::Validators(seated), &[0, 1, 2]);
        assert_eq!(
            refusal(&chain, signed),
            GovernanceError::Validators(runtime::GenesisError::NotAKey(ValidatorId(bytes)))
        );
    }
}
