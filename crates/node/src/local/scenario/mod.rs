//! The scenario `sessions`: what a relay chain has to live through, brought about and watched for.
//!
//! It is governance (with the validators' keys, which are known here), and it pulls [`levers`]. What it has seen it says
//! of the watched node's chain, block by block; nothing is taken for granted because it was asked for.

pub(super) mod levers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ports::ChainEvent;
use primitives::{
    BlockNumber, CandidateEvent, CollatorId, CoreIndex, GroupIndex, Hash, HostConfiguration, OccupiedCoreAssumption,
    Pair, ParaId, SessionIndex, ValidationCode, ValidationCodeHash, ValidatorId,
};
use relay_chain::{RelayChain, tree::FINALIZED_BLOCKS_KEPT};
use runtime::{Block, Governance, ParathreadClaim, SlotClaim, State};
use serde::Serialize;
use test_parachains::burner;

use super::{FIRST_PARA, LocalConfig, collator_name, governed, validator_pair};
use levers::Levers;

/// The para that upgrades its code: the first burner.
pub(super) const UPGRADING_PARA: ParaId = ParaId(FIRST_PARA + 1);
/// Shortest session in which there is room for everything, in blocks.
pub(super) const SESSION_BLOCKS_MIN: u32 = 16;
/// Longest session, in blocks: with more a run takes too long for anybody to watch.
pub(super) const SESSION_BLOCKS_MAX: u32 = 200;
/// Of so many validators one has no seat.
const VALIDATORS_PER_SPARE: u32 = 6;
/// Blocks in which a candidate must become available.
const AVAILABILITY_PERIOD: BlockNumber = 4;
/// How often a claim may be scheduled in vain.
const RETRIES_MAX: u32 = 12;
/// How often the first claim is, until its collator begins.
const RETRIES_WANTED: u32 = 2;
/// Sessions after which what was not seen will not be.
pub(super) const SESSIONS_MAX: SessionIndex = 12;
/// Blocks after which a change that is in none is asked for again.
const ASK_AGAIN_AFTER: BlockNumber = 6;
/// Voter sets that must have come and gone.
const VOTER_SETS_WANTED: u64 = 2;

/// Something that the scenario is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sight {
    ValidatorWent,
    ValidatorCame,
    GroupsRotated,
    ClaimRetried,
    ClaimServed,
    UpgradeScheduled,
    UpgradeApplied,
    OldCodePruned,
    TimedOut,
    CoreUsedAgain,
    ForkResolved,
    FinalityFollowed,
}

impl Sight {
    const ALL: [Self; 12] = [
        Self::ValidatorWent,
        Self::ValidatorCame,
        Self::GroupsRotated,
        Self::ClaimRetried,
        Self::ClaimServed,
        Self::UpgradeScheduled,
        Self::UpgradeApplied,
        Self::OldCodePruned,
        Self::TimedOut,
        Self::CoreUsedAgain,
        Self::ForkResolved,
        Self::FinalityFollowed,
    ];

    const fn describe(self) -> &'static str {
        match self {
            Self::ValidatorWent => "a validator left with a session",
            Self::ValidatorCame => "one who came authored a block",
            Self::GroupsRotated => "groups rotated within a session",
            Self::ClaimRetried => "a parathread's claim was scheduled in vain and retried",
            Self::ClaimServed => "and its block was included",
            Self::UpgradeScheduled => "a code upgrade was scheduled",
            Self::UpgradeApplied => "and applied",
            Self::OldCodePruned => "and the old code was pruned",
            Self::TimedOut => "a candidate was not available in time and lost its core",
            Self::CoreUsedAgain => "and the core was used again",
            Self::ForkResolved => "finality ended a fork",
            Self::FinalityFollowed => "two sets of voters came and went",
        }
    }
}

/// Whether something was seen, and when first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SightSummary {
    /// What.
    pub what: &'static str,
    /// The block that showed it; none if nothing did.
    pub block: Option<BlockNumber>,
}

/// The configuration in which all of it has room.
pub(super) fn configuration(config: &LocalConfig) -> HostConfiguration {
    HostConfiguration {
        validation_upgrade_frequency: 5,
        validation_upgrade_delay: 3,
        acceptance_period: config.session_blocks / 2,
        parathread_cores: config.parathreads.min(1),
        parathread_retries: RETRIES_MAX,
        parachain_rotation_frequency: config.session_blocks / 2,
        chain_availability_period: AVAILABILITY_PERIOD,
        thread_availability_period: AVAILABILITY_PERIOD,
        ..HostConfiguration::default()
    }
}

/// The validators of the `turn`-th set: all but some, others each time.
pub(super) fn seated(validators: u32, turn: u32) -> Vec<ValidatorId> {
    let spare = (validators / VALIDATORS_PER_SPARE).max(1);
    let first = turn.wrapping_mul(spare);
    let seats = (0..validators.saturating_sub(spare)).map(|seat| (first + seat) % validators.max(1));
    seats.map(|index| ValidatorId(validator_pair(index).public())).collect()
}

/// The burner's code, told apart from that of other paras and versions by a section that no engine looks at.
pub(super) fn upgradable_code(version: u8) -> ValidationCode {
    const CUSTOM_SECTION: [u8; 4] = [0, 3, 1, b'v'];
    [burner::WASM, &CUSTOM_SECTION, &[version]].concat().into()
}

/// What is asked for, and what was seen.
pub(super) struct Scenario {
    config: LocalConfig,
    levers: Arc<Levers>,
    seen: BTreeMap<Sight, BlockNumber>,
    /// The last session in which validators were announced.
    announced_in: Option<SessionIndex>,
    /// Nonce of the last change asked for, and when.
    asked: Option<(u64, BlockNumber)>,
    claimed_at: BTreeMap<ParaId, BlockNumber>,
    first_validators: BTreeSet<ValidatorId>,
    groups: BTreeMap<(SessionIndex, CoreIndex), GroupIndex>,
    scheduled_in_vain: BTreeSet<ParaId>,
    /// How often a claim was retried.
    retries: u32,
    freed: BTreeSet<CoreIndex>,
    old_code: ValidationCodeHash,
    new_code: ValidationCode,
    session: SessionIndex,
    /// The last final block that was looked at.
    observed: Option<Hash>,
}

impl Scenario {
    pub(super) fn new(config: LocalConfig, levers: Arc<Levers>) -> Self {
        levers.set_parathreads_wait(true);
        Self {
            first_validators: seated(config.validators, 0).into_iter().collect(),
            config,
            levers,
            seen: BTreeMap::new(),
            announced_in: None,
            asked: None,
            claimed_at: BTreeMap::new(),
            groups: BTreeMap::new(),
            scheduled_in_vain: BTreeSet::new(),
            retries: 0,
            freed: BTreeSet::new(),
            old_code: upgradable_code(1).hash(),
            new_code: upgradable_code(2),
            session: 0,
            observed: None,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.seen.len() == Sight::ALL.len()
    }

    /// Whether so many sessions have passed that there is no use in waiting.
    pub(super) fn is_over(&self) -> bool {
        self.session >= SESSIONS_MAX
    }

    pub(super) fn summary(&self) -> Vec<SightSummary> {
        Sight::ALL.iter().map(|it| SightSummary { what: it.describe(), block: self.seen.get(it).copied() }).collect()
    }

    fn see(&mut self, sight: Sight, number: BlockNumber) {
        self.seen.entry(sight).or_insert_with(|| {
            tracing::info!(number, what = sight.describe(), "seen");
            number
        });
    }

    fn has_seen(&self, sight: Sight) -> bool {
        self.seen.contains_key(&sight)
    }

    /// Takes note of what the watched chain tells, and acts on it. Only final blocks show anything: what a dead fork
    /// did has not happened.
    pub(super) async fn hear(&mut self, chain: &RelayChain, event: &ChainEvent) {
        match event {
            ChainEvent::Imported(imported) if imported.is_best => {
                let Some((_, state)) = chain.block(&imported.hash) else { return };
                self.session = self.session.max(state.session_index());
                self.act(chain, imported.hash, &state).await;
            }
            ChainEvent::Imported(_) | ChainEvent::Reverted { .. } => {}
            ChainEvent::Finalized { hash, number, stale_heads } => {
                self.observe_final(chain, *hash).await;
                if !stale_heads.is_empty() {
                    self.see(Sight::ForkResolved, *number);
                }
                if chain.status().set_id >= VOTER_SETS_WANTED {
                    self.see(Sight::FinalityFollowed, *number);
                }
            }
        }
    }

    /// Looks at all blocks that have become final, oldest first.
    async fn observe_final(&mut self, chain: &RelayChain, last: Hash) {
        let mut path = Vec::new();
        let mut hash = last;
        while Some(hash) != self.observed && path.len() < FINALIZED_BLOCKS_KEPT {
            let Some((block, state)) = chain.block(&hash) else { break };
            let parent = block.header.parent_hash;
            path.push((hash, block, state));
            hash = parent;
        }
        self.observed = Some(last);
        for (hash, block, state) in path.into_iter().rev() {
            let parent = chain.block(&block.header.parent_hash).map(|(_, state)| state);
            let events = chain.client().candidate_events(hash).await.unwrap_or_default();
            self.observe(&block, &state, parent.as_deref(), &events);
        }
    }

    /// What a block shows, in comparison with its parent.
    fn observe(&mut self, block: &Block, state: &State, parent: Option<&State>, events: &[CandidateEvent]) {
        let number = block.header.number;
        if let Some(parent) = parent {
            if parent.session_index() != state.session_index() {
                self.freed.clear();
            }
            let stays = |validator| state.validators().contains(validator);
            if !parent.validators().iter().all(stays) {
                self.see(Sight::ValidatorWent, number);
            }
            let claim = SlotClaim::from_digest(&block.header.digest);
            let author = claim.ok().and_then(|claim| parent.validators().get(claim.author.as_usize()));
            if author.is_some_and(|author| !self.first_validators.contains(author)) {
                self.see(Sight::ValidatorCame, number);
            }
            self.observe_claims(number, parent, state, events);
            self.observe_cores(number, parent.session_index(), events);
        }
        self.observe_upgrade(number, state);
    }

    /// A claim was scheduled in vain if its core stayed free; it is retried once it is next on a core again. It is
    /// served when a block of its para is included before anything else is claimed for it.
    fn observe_claims(&mut self, number: BlockNumber, parent: &State, state: &State, events: &[CandidateEvent]) {
        let scheduled = |state: &State, core| state.next_up(core).filter(|next| next.collator.is_some());
        for core in cores(parent).filter(|core| parent.core_para(*core).is_none()) {
            let Some(claim) = scheduled(parent, core) else { continue };
            let is_backed = cores(state).any(|core| state.core_para(core) == Some(claim.para_id));
            if !is_backed && cores(state).any(|core| scheduled(state, core).as_ref() == Some(&claim)) {
                self.scheduled_in_vain.insert(claim.para_id);
                self.retries += 1;
                self.see(Sight::ClaimRetried, number);
            }
        }
        for event in events {
            if let CandidateEvent::Included(receipt, ..) = event
                && self.scheduled_in_vain.remove(&receipt.descriptor.para_id())
            {
                self.see(Sight::ClaimServed, number);
            }
        }
    }

    fn observe_cores(&mut self, number: BlockNumber, session: SessionIndex, events: &[CandidateEvent]) {
        for event in events {
            match event {
                CandidateEvent::Backed(_, _, core, group) => {
                    let before = self.groups.insert((session, *core), *group);
                    if before.is_some_and(|before| before != *group) {
                        self.see(Sight::GroupsRotated, number);
                    }
                    if self.freed.contains(core) {
                        self.see(Sight::CoreUsedAgain, number);
                    }
                }
                CandidateEvent::TimedOut(_, _, core) => {
                    self.freed.insert(*core);
                    self.see(Sight::TimedOut, number);
                }
                CandidateEvent::Included(..) => {}
            }
        }
    }

    fn observe_upgrade(&mut self, number: BlockNumber, state: &State) {
        let new_code = self.new_code.hash();
        let current = state.validation_code_hash(UPGRADING_PARA, OccupiedCoreAssumption::TimedOut);
        let after_all = state.validation_code_at(UPGRADING_PARA, BlockNumber::MAX, Some(BlockNumber::MAX - 1));
        if current == Some(self.old_code) && after_all == Some(new_code) {
            self.see(Sight::UpgradeScheduled, number);
        }
        if current == Some(new_code) && self.has_seen(Sight::UpgradeScheduled) {
            self.see(Sight::UpgradeApplied, number);
            if state.validation_code_by_hash(self.old_code).is_none() {
                self.see(Sight::OldCodePruned, number);
            }
        }
    }

    /// Pulls the levers, and asks for the next change.
    async fn act(&mut self, chain: &RelayChain, hash: Hash, state: &State) {
        self.levers.set_parathreads_wait(self.retries < RETRIES_WANTED);
        // Bitfields are lost around a rotation, because only then do candidates time out.
        let offset = state.number().saturating_sub(state.session_start_block());
        let rotation = state.configuration().parachain_rotation_frequency;
        let around = rotation.saturating_sub(AVAILABILITY_PERIOD + 1)..rotation + AVAILABILITY_PERIOD - 1;
        let is_time = state.session_index() >= 1 && around.contains(&offset);
        self.levers.set_bitfields_lost(is_time && !self.has_seen(Sight::TimedOut));
        let upgrades = state.session_index() >= 1 && !self.has_seen(Sight::UpgradeScheduled);
        self.levers.set_new_code(upgrades.then(|| self.new_code.clone()));
        if let Some(change) = self.next_change(state) {
            let change = governed(self.config.validators, state, change);
            if let Err(error) = chain.submit(change).await {
                tracing::debug!(?hash, %error, "the change was refused");
                self.asked = None;
            }
        }
    }

    /// One change at a time: each has to name how many there were before.
    fn next_change(&mut self, state: &State) -> Option<Governance> {
        let (nonce, now, session) = (state.governance_nonce(), state.number(), state.session_index());
        let waits = |(asked, at): (u64, BlockNumber)| asked >= nonce && now < at.saturating_add(ASK_AGAIN_AFTER);
        if self.asked.is_some_and(waits) {
            return None;
        }
        let change = if self.announced_in < Some(session) {
            self.announced_in = Some(session);
            Governance::Validators(seated(self.config.validators, session + 1))
        } else {
            let para = self.config.parathread_ids().find(|para| self.may_claim(*para, state))?;
            self.claimed_at.insert(para, now);
            let collator = CollatorId(Pair::from_name(&collator_name(para, 0)).public());
            Governance::Claim(ParathreadClaim { para, collator })
        };
        self.asked = Some((nonce, now));
        Some(change)
    }

    /// Whether nothing is seen of a claim of the para; a claim that waits behind another is refused when made twice.
    fn may_claim(&self, para: ParaId, state: &State) -> bool {
        let is_next = |core| state.next_up(core).is_some_and(|next| next.para_id == para);
        let is_seen = cores(state).any(|core| state.core_para(core) == Some(para) || is_next(core));
        let asked = self.claimed_at.get(&para).copied().unwrap_or_default();
        !is_seen && (asked == 0 || state.number() >= asked.saturating_add(ASK_AGAIN_AFTER))
    }
}

fn cores(state: &State) -> impl Iterator<Item = CoreIndex> + use<> {
    (0..u32::try_from(state.groups().len()).unwrap_or(u32::MAX)).map(CoreIndex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_leaves_out_others() {
        let sets: Vec<BTreeSet<ValidatorId>> = (0..7).map(|turn| seated(12, turn).into_iter().collect()).collect();
        assert!(sets.iter().all(|set| set.len() == 10));
        assert!(sets.windows(2).all(|pair| pair[0].difference(&pair[1]).count() == 2));
        assert_eq!(sets[0], sets[6], "by turns");
        assert_eq!(seated(4, 1).len(), 3);
    }

    #[test]
    fn versions_of_a_code_differ_and_its_configuration_is_acceptable() {
        assert_ne!(upgradable_code(1), upgradable_code(2));
        for session_blocks in [SESSION_BLOCKS_MIN, SESSION_BLOCKS_MAX] {
            let config = LocalConfig { session_blocks, parathreads: 2, ..LocalConfig::default() };
            assert_eq!(configuration(&config).check(), Ok(()));
        }
    }
}
