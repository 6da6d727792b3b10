//! The state machine alone: six validators in two groups of three; we are validator 0, our core is 0, its para is 7.

use std::sync::Arc;

use messages::candidate_backing::{Second, Statement as StatementMessage};
use mocks::fixtures::{Candidate, CandidateBuilder, Validators, hash};
use primitives::{
    CoreState, ParaId, ScheduledCore, Signed, SignedFullStatement, SigningPayload as _, Statement, UncheckedSigned,
    check_candidate_backing,
};

use crate::state::*;

const PARENT: u8 = 0xaa;

fn cores() -> Vec<CoreState> {
    [7, 8].map(|para| CoreState::Scheduled(ScheduledCore { para_id: ParaId(para), collator: None })).to_vec()
}

fn candidate(content: u8) -> Candidate {
    CandidateBuilder::new(7, 0, hash(PARENT)).block_data(vec![content; 10]).build()
}

struct Scene {
    validators: Validators,
    state: State,
}

impl Scene {
    fn without_context() -> Self {
        let validators = Validators::new(6, 2);
        let mut state = State::new(vec![validators.id(0)]);
        state.open(hash(PARENT));
        Self { validators, state }
    }

    fn new() -> Self {
        let mut scene = Self::without_context();
        assert!(scene.context().is_empty());
        scene
    }

    fn context(&mut self) -> Vec<Effect> {
        self.state.context(hash(PARENT), Arc::new(self.validators.context.clone()), Arc::new(cores()))
    }

    fn second(&mut self, candidate: &Candidate) -> Vec<Effect> {
        let (receipt, pov) = (candidate.receipt(), candidate.pov.clone());
        self.state.second(Second { relay_parent: candidate.relay_parent(), receipt, pov })
    }

    fn hear(&mut self, signed: SignedFullStatement) -> Vec<Effect> {
        self.state.statement(StatementMessage { relay_parent: hash(PARENT), signed })
    }

    fn seconded_by(&mut self, index: u32, candidate: &Candidate) -> Vec<Effect> {
        let signed = self.validators.seconded(index, candidate);
        self.hear(signed)
    }

    fn checked(&mut self, candidate: &Candidate, checked: Checked) -> Vec<Effect> {
        self.state.checked(hash(PARENT), candidate.hash(), checked)
    }

    fn valid(&mut self, candidate: &Candidate) -> Vec<Effect> {
        let commitments = Box::new(candidate.committed.commitments.clone());
        self.checked(candidate, Checked::Valid(commitments, candidate.pov.clone()))
    }

    /// Signs what is asked for and hands it in.
    fn sign(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        let [Effect::Sign(sign)] = &effects[..] else { panic!("expected one signature, found {effects:?}") };
        let payload = sign.statement.signing_payload(&sign.context);
        let signature = self.validators.pairs[0].sign(&payload, &mut mocks::fixtures::rng());
        let signed = Signed::assume_checked(UncheckedSigned::new(sign.statement.clone(), sign.index, signature));
        self.state.signed(hash(PARENT), sign.candidate_hash, Some(signed))
    }
}

/// Effects by name, for comparing.
fn names(effects: &[Effect]) -> Vec<String> {
    let statement = |statement: &Statement| match statement {
        Statement::Seconded(_) => "Seconded",
        Statement::Valid(_) => "Valid",
        Statement::Invalid(_) => "Invalid",
    };
    let name = |effect: &Effect| match effect {
        Effect::Check(check) => match &check.source {
            PovSource::Given(_) => "check given".to_owned(),
            PovSource::Holders(holders) => format!("check from {}", holders.len()),
        },
        Effect::Sign(sign) => format!("sign {}", statement(&sign.statement)),
        Effect::Share(_, signed) => format!("share {}", statement(signed.payload())),
        Effect::DistributePoV(..) => "distribute".to_owned(),
        Effect::TellSeconded(..) => "tell seconded".to_owned(),
        Effect::TellInvalid(..) => "tell invalid".to_owned(),
        Effect::Backable(_, backed) => format!("backable by {}", backed.validity_votes().len()),
        Effect::Disagreement(disagreement) => format!("disagreement of {}", disagreement.statements.len()),
    };
    effects.iter().map(name).collect()
}

#[test]
fn a_proposal_is_checked_signed_and_shared() {
    let (mut scene, candidate) = (Scene::new(), candidate(1));
    assert_eq!(names(&scene.second(&candidate)), ["check given"]);
    let effects = scene.valid(&candidate);
    assert_eq!(names(&effects), ["sign Seconded"]);
    assert_eq!(names(&scene.sign(effects)), ["share Seconded", "distribute", "tell seconded"]);
    let valid = scene.validators.valid(1, &candidate);
    assert_eq!(names(&scene.hear(valid)), ["backable by 2"]);
    let valid = scene.validators.valid(2, &candidate);
    assert_eq!(names(&scene.hear(valid)), ["backable by 3"]);
}

#[test]
fn what_is_backable_is_what_the_runtime_takes() {
    let (mut scene, candidate) = (Scene::new(), candidate(1));
    scene.seconded_by(2, &candidate);
    let valid = scene.validators.valid(1, &candidate);
    let effects = scene.hear(valid);
    let Some(Effect::Backable(_, backed)) = effects.first() else { panic!("expected a backable candidate") };
    let (bits, core) = backed.validator_indices_and_core_index();
    let context = scene.validators.signing_context(hash(PARENT));
    let member = |position: usize| Some(scene.validators.id(position as u32));
    let votes = check_candidate_backing(candidate.hash(), backed.validity_votes(), bits, &context, 3, member);
    assert_eq!((votes, core), (Ok(2), Some(primitives::CoreIndex(0))));
    assert_eq!(backed.candidate(), &candidate.committed);
}

#[test]
fn only_one_is_seconded_per_relay_parent() {
    let mut scene = Scene::new();
    let (first, second) = (candidate(1), candidate(2));
    scene.second(&first);
    assert!(scene.second(&second).is_empty(), "while the first is being checked");
    let effects = scene.valid(&first);
    assert!(scene.second(&second).is_empty(), "while it is being signed");
    scene.sign(effects);
    assert!(scene.second(&second).is_empty(), "after it was signed");
    assert!(scene.second(&first).is_empty());
}

#[test]
fn an_invalid_proposal_makes_room_for_another() {
    let mut scene = Scene::new();
    let (first, second) = (candidate(1), candidate(2));
    scene.second(&first);
    assert_eq!(names(&scene.checked(&first, Checked::Invalid(String::new()))), ["tell invalid"]);
    assert!(scene.second(&first).is_empty(), "found invalid already");
    assert_eq!(names(&scene.second(&second)), ["check given"]);
}

#[test]
fn a_failed_or_refused_check_is_no_vote() {
    let (mut scene, candidate) = (Scene::new(), candidate(1));
    scene.second(&candidate);
    assert!(scene.checked(&candidate, Checked::Failed(String::new())).is_empty());
    assert_eq!(names(&scene.second(&candidate)), ["check given"]);
    // The collator brought another PoV; whoever seconded it has the right one.
    scene.seconded_by(1, &candidate);
    let effects = scene.checked(&candidate, Checked::Refused(String::new()));
    assert_eq!(names(&effects), ["tell invalid", "check from 1"]);
    assert_eq!(names(&scene.valid(&candidate)), ["sign Valid"]);
}

#[test]
fn what_another_seconded_is_attested_and_never_seconded() {
    let (mut scene, candidate) = (Scene::new(), candidate(1));
    assert_eq!(names(&scene.seconded_by(1, &candidate)), ["check from 1"]);
    assert!(scene.second(&candidate).is_empty(), "a Valid may be about to be signed");
    let effects = scene.valid(&candidate);
    assert_eq!(names(&effects), ["sign Valid"]);
    assert_eq!(names(&scene.sign(effects)), ["share Valid", "distribute", "backable by 2"]);
    assert!(scene.second(&candidate).is_empty());
}

#[test]
fn a_proposal_that_another_seconds_meanwhile_is_seconded_only() {
    let (mut scene, candidate) = (Scene::new(), candidate(1));
    scene.second(&candidate);
    assert!(scene.seconded_by(1, &candidate).is_empty());
    let effects = scene.valid(&candidate);
    assert_eq!(names(&effects), ["sign Seconded"]);
    assert_eq!(names(&scene.sign(effects)), ["share Seconded", "distribute", "tell seconded", "backable by 2"]);
}

#[test]
fn invalid_is_said_of_what_another_seconds_only() {
    let (mut scene, candidate) = (Scene::new(), candidate(1));
    scene.second(&candidate);
    scene.checked(&candidate, Checked::Invalid(String::new()));
    let effects = scene.seconded_by(2, &candidate);
    assert_eq!(names(&effects), ["sign Invalid"]);
    assert_eq!(names(&scene.sign(effects)), ["share Invalid", "disagreement of 2"]);
    let valid = scene.validators.valid(1, &candidate);
    assert_eq!(names(&scene.hear(valid)), ["backable by 2"], "Invalid is no veto, and is told once");
}

#[test]
fn nothing_is_said_after_the_keystore_refused() {
    let (mut scene, candidate) = (Scene::new(), candidate(1));
    scene.second(&candidate);
    scene.valid(&candidate);
    assert!(scene.state.signed(hash(PARENT), candidate.hash(), None).is_empty());
    assert!(scene.seconded_by(1, &candidate).is_empty());
    assert!(scene.second(&candidate).is_empty());
}

#[test]
fn our_own_statement_from_before_a_restart_silences_us() {
    let (mut scene, candidate) = (Scene::new(), candidate(1));
    assert!(scene.seconded_by(0, &candidate).is_empty());
    assert!(scene.second(&self::candidate(2)).is_empty());
    assert_eq!(names(&scene.seconded_by(1, &candidate)), ["backable by 2"]);
}

#[test]
fn a_check_is_repeated_with_new_statements_but_not_for_ever() {
    let mut scene = Scene::new();
    let validators = Validators::new(12, 2);
    scene.validators = validators;
    let mut state = State::new(vec![scene.validators.id(0)]);
    state.open(hash(PARENT));
    scene.state = state;
    scene.context();
    let candidate = candidate(1);
    assert_eq!(names(&scene.seconded_by(1, &candidate)), ["check from 1"]);
    for (index, expected) in [(2, vec!["check from 2"]), (3, vec!["check from 3"])] {
        scene.checked(&candidate, Checked::Failed(String::new()));
        let valid = scene.validators.valid(index, &candidate);
        assert_eq!(names(&scene.hear(valid)), expected);
    }
    scene.checked(&candidate, Checked::Failed(String::new()));
    let valid = scene.validators.valid(4, &candidate);
    assert_eq!(names(&scene.hear(valid)), ["backable by 4"]);
}

#[test]
fn statements_that_count_for_nothing() {
    let mut scene = Scene::new();
    let (ours, other_core) = (candidate(1), CandidateBuilder::new(8, 1, hash(PARENT)).build());
    assert!(scene.seconded_by(3, &ours).is_empty(), "not of the group");
    let early = scene.validators.valid(1, &ours);
    assert!(scene.hear(early).is_empty(), "nobody seconded it");
    let wrong_para = CandidateBuilder::new(8, 0, hash(PARENT)).build();
    assert!(scene.seconded_by(1, &wrong_para).is_empty(), "not the core's para");
    let no_core = CandidateBuilder::new(7, 2, hash(PARENT)).build();
    assert!(scene.seconded_by(1, &no_core).is_empty(), "no such core");
    let mut elsewhere = scene.validators.seconded(1, &CandidateBuilder::new(7, 0, hash(9)).build());
    elsewhere = scene.validators.statement(1, hash(PARENT), elsewhere.into_payload());
    assert!(scene.hear(elsewhere).is_empty(), "another relay parent");
    assert_eq!(names(&scene.seconded_by(1, &ours)), ["check from 1"]);
    assert!(scene.seconded_by(1, &ours).is_empty(), "heard before");
    assert!(scene.seconded_by(1, &candidate(2)).is_empty(), "its second candidate");
    // Another group's candidate is counted, not checked.
    assert!(scene.seconded_by(4, &other_core).is_empty());
    let valid = scene.validators.valid(5, &other_core);
    assert_eq!(names(&scene.hear(valid)), ["backable by 2"]);
}

#[test]
fn what_comes_before_the_context_waits_for_it() {
    let (mut scene, candidate) = (Scene::without_context(), candidate(1));
    assert!(scene.seconded_by(1, &candidate).is_empty());
    assert!(scene.second(&self::candidate(2)).is_empty());
    assert_eq!(names(&scene.context()), ["check from 1", "check given"]);
    let one = scene.validators.seconded(1, &candidate);
    let mut scene = Scene::without_context();
    scene.second(&self::candidate(2));
    scene.seconded_by(0, &candidate);
    assert!(scene.context().is_empty(), "our own statement from before a restart comes first");
    let mut scene = Scene::without_context();
    (0..=EARLY_STATEMENTS_MAX).for_each(|_| drop(scene.hear(one.clone())));
    assert_eq!(names(&scene.context()), ["check from 1"]);
}

#[test]
fn a_configured_minimum_is_the_quorum() {
    for (minimum, expected) in [(Some(1), true), (Some(2), false), (None, false)] {
        let mut scene = Scene::without_context();
        scene.validators.context.configuration.minimum_backing_votes = minimum;
        scene.context();
        let other_core = CandidateBuilder::new(8, 1, hash(PARENT)).build();
        let effects = scene.seconded_by(4, &other_core);
        assert_eq!(names(&effects) == ["backable by 1"], expected);
    }
}

#[test]
fn groups_rotate_over_cores() {
    let mut scene = Scene::without_context();
    let rotation = &mut scene.validators.context.rotation;
    (rotation.group_rotation_frequency, rotation.now) = (1, 1);
    scene.context();
    let other_core = CandidateBuilder::new(8, 1, hash(PARENT)).build();
    assert!(scene.second(&candidate(1)).is_empty(), "not our core any more");
    assert_eq!(names(&scene.second(&other_core)), ["check given"]);
    assert!(scene.seconded_by(4, &other_core).is_empty());
    assert!(scene.seconded_by(1, &other_core).is_empty());
}

#[test]
fn nothing_happens_where_nothing_is_in_view() {
    let (mut scene, candidate) = (Scene::new(), candidate(1));
    scene.second(&candidate);
    scene.state.close(&hash(PARENT));
    assert!(scene.valid(&candidate).is_empty());
    assert!(scene.seconded_by(1, &candidate).is_empty());
    assert!(scene.second(&candidate).is_empty());
    assert!(scene.state.backable(&hash(PARENT)).is_none());
}
