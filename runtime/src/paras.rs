//! Paras module (RT-3): heads, codes, upgrades, past codes. Who is a para changes at session boundaries only.
//!
//! Stores: the parachains, ascending; of every registered para its head, its code and when that was last replaced;
//! codes that are to come, with the relay parent from which they are expected; past codes by the time of their
//! replacement, also of paras that are gone; who comes and who goes with the next session.
//!
//! Entry points: none of its own. The registrar schedules who comes and goes; inclusion schedules upgrades and notes
//! heads.
//!
//! Order: after configuration. At the begin of a block it prunes past codes whose acceptance period is over; at a
//! session change paras go, then paras come. It has nothing to do at the end of a block.

use codec::{Decode, Encode};
use primitives::{
    BlockNumber, HeadData, HostConfiguration, ParaId, ValidationCode, ValidationCodeHash, limits::MIN_CODE_SIZE,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{limits::MAX_PAST_CODES, session::SessionChange};

/// The two times of a code replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReplacementTimes {
    /// From this relay parent on, the para reckons with the new code.
    pub expected_at: BlockNumber,
    /// The block in which it was replaced: its acceptance period starts here.
    pub activated_at: BlockNumber,
}

/// Which past codes of a para are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ParaPastCodeMeta {
    upgrade_times: Vec<ReplacementTimes>,
    /// `expected_at` of the latest replacement whose code has been pruned.
    last_pruned: Option<BlockNumber>,
}

/// Where to look for a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseCodeAt {
    /// The current one.
    Current,
    /// The one that was replaced at that time (`expected_at`).
    ReplacedAt(BlockNumber),
}

impl ParaPastCodeMeta {
    /// Which code was in force for relay parent `at`; `None` if it has been pruned.
    pub fn code_at(&self, at: BlockNumber) -> Option<UseCodeAt> {
        if self.last_pruned.is_some_and(|pruned| at <= pruned) {
            return None;
        }
        let replaced = self.upgrade_times.iter().find(|times| times.expected_at >= at);
        Some(replaced.map_or(UseCodeAt::Current, |times| UseCodeAt::ReplacedAt(times.expected_at)))
    }

    /// The replacements whose code is kept, oldest first.
    pub fn upgrade_times(&self) -> &[ReplacementTimes] {
        &self.upgrade_times
    }
}

/// What a para starts with.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ParaGenesisArgs {
    /// The first head.
    pub genesis_head: HeadData,
    /// The first code.
    pub validation_code: ValidationCode,
    /// A parachain, or else a parathread.
    pub parachain: bool,
}

/// Why a para cannot be registered, removed or upgraded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParaError {
    /// It is there already, or about to be.
    #[error("para {0} is already registered")]
    AlreadyRegistered(ParaId),
    /// It is not there, or about to go.
    #[error("para {0} is not registered")]
    NotRegistered(ParaId),
    /// Its head is too large.
    #[error("head of para {para} has {found} bytes, at most {max} are allowed")]
    HeadSize {
        /// The para.
        para: ParaId,
        /// Size, in bytes.
        found: usize,
        /// Most, in bytes.
        max: u32,
    },
    /// Its code is too large or too small.
    #[error("code of para {para} has {found} bytes, expected {MIN_CODE_SIZE} to {max}")]
    CodeSize {
        /// The para.
        para: ParaId,
        /// Size, in bytes.
        found: usize,
        /// Most, in bytes.
        max: u32,
    },
}

impl ParaGenesisArgs {
    pub(crate) fn check(&self, para: ParaId, configuration: &HostConfiguration) -> Result<(), ParaError> {
        let head = self.genesis_head.0.len();
        if head > configuration.max_head_data_size as usize {
            return Err(ParaError::HeadSize { para, found: head, max: configuration.max_head_data_size });
        }
        let code = self.validation_code.0.len();
        if code < MIN_CODE_SIZE as usize || code > configuration.max_code_size as usize {
            return Err(ParaError::CodeSize { para, found: code, max: configuration.max_code_size });
        }
        Ok(())
    }
}

/// All that is known of paras. Heads and codes are shared between forks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Paras {
    /// Ascending.
    pub(crate) parachains: Vec<ParaId>,
    /// Of every registered para. The state root covers them under their well-known keys.
    #[codec(skip)]
    pub(crate) heads: BTreeMap<ParaId, Arc<HeadData>>,
    /// Of every registered para.
    pub(crate) current_code: BTreeMap<ParaId, ValidationCodeHash>,
    /// By the `expected_at` of the replacement.
    pub(crate) past_code: BTreeMap<(ParaId, BlockNumber), ValidationCodeHash>,
    pub(crate) past_code_meta: BTreeMap<ParaId, ParaPastCodeMeta>,
    /// Replaced codes by block of replacement, oldest first.
    past_code_pruning: Vec<(ParaId, BlockNumber)>,
    /// When the next code is expected, and its hash.
    pub(crate) future_code: BTreeMap<ParaId, (BlockNumber, ValidationCodeHash)>,
    /// When a para's code was last replaced.
    pub(crate) last_upgrade: BTreeMap<ParaId, BlockNumber>,
    pub(crate) upcoming: BTreeMap<ParaId, Arc<ParaGenesisArgs>>,
    pub(crate) outgoing: BTreeSet<ParaId>,
    /// Every code that something above names. The hashes above cover it.
    #[codec(skip)]
    pub(crate) codes: BTreeMap<ValidationCodeHash, ValidationCode>,
}

impl Paras {
    pub(crate) fn is_parathread(&self, para: ParaId) -> bool {
        self.heads.contains_key(&para) && self.parachains.binary_search(&para).is_err()
    }

    /// How many parachains there can be at most in the next session.
    pub(crate) fn upcoming_parachains(&self) -> usize {
        let upcoming = self.upcoming.values().filter(|args| args.parachain);
        self.parachains.len().saturating_add(upcoming.count())
    }

    /// Registers a para at once: genesis, and the session change.
    pub(crate) fn initialize_para(&mut self, para: ParaId, args: &ParaGenesisArgs) {
        if args.parachain
            && let Err(position) = self.parachains.binary_search(&para)
        {
            self.parachains.insert(position, para);
        }
        self.heads.insert(para, Arc::new(args.genesis_head.clone()));
        let code = self.keep_code(args.validation_code.clone());
        self.current_code.insert(para, code);
    }

    /// Registers a para at the next session change.
    pub(crate) fn schedule_para_initialize(
        &mut self,
        para: ParaId,
        args: ParaGenesisArgs,
        configuration: &HostConfiguration,
    ) -> Result<(), ParaError> {
        if self.heads.contains_key(&para) || self.upcoming.contains_key(&para) {
            return Err(ParaError::AlreadyRegistered(para));
        }
        args.check(para, configuration)?;
        self.upcoming.insert(para, Arc::new(args));
        Ok(())
    }

    /// Removes a para at the next session change.
    pub(crate) fn schedule_para_cleanup(&mut self, para: ParaId) -> Result<(), ParaError> {
        if !self.heads.contains_key(&para) || !self.outgoing.insert(para) {
            return Err(ParaError::NotRegistered(para));
        }
        Ok(())
    }

    /// Replaces the code once the para has got a block whose relay parent is `expected_at` or later.
    pub(crate) fn schedule_code_upgrade(&mut self, para: ParaId, code: ValidationCode, expected_at: BlockNumber) {
        let hash = self.keep_code(code);
        if let Some((_, replaced)) = self.future_code.insert(para, (expected_at, hash)) {
            self.drop_code_if_unused(replaced);
        }
    }

    /// The para has a new head, from a block with relay parent `context`, included in block `now`.
    pub(crate) fn note_new_head(&mut self, para: ParaId, head: HeadData, context: BlockNumber, now: BlockNumber) {
        self.heads.insert(para, Arc::new(head));
        let Some((expected_at, code)) = self.future_code.get(&para).copied() else {
            return;
        };
        if expected_at > context {
            return;
        }
        self.future_code.remove(&para);
        self.last_upgrade.insert(para, now);
        if let Some(old) = self.current_code.insert(para, code) {
            self.note_past_code(para, expected_at, now, old);
        }
    }

    fn note_past_code(
        &mut self,
        para: ParaId,
        expected_at: BlockNumber,
        activated_at: BlockNumber,
        old: ValidationCodeHash,
    ) {
        let times = ReplacementTimes { expected_at, activated_at };
        let meta = self.past_code_meta.entry(para).or_default();
        meta.upgrade_times.push(times);
        self.past_code.insert((para, expected_at), old);
        // Blocks come in order, so pushing keeps the order.
        self.past_code_pruning.push((para, activated_at));
    }

    /// Whether so many past codes are kept that no further one may be added.
    pub(crate) fn past_codes_full(&self, para: ParaId) -> bool {
        self.past_code_meta.get(&para).is_some_and(|meta| meta.upgrade_times.len() >= MAX_PAST_CODES)
    }

    /// Whether there is anything that will have to be pruned.
    pub(crate) fn has_past_code(&self) -> bool {
        !self.past_code_pruning.is_empty()
    }

    /// Initialization: forgets codes whose acceptance period is over.
    pub(crate) fn prune(&mut self, now: BlockNumber, acceptance_period: BlockNumber) {
        let over = |activated_at: BlockNumber| activated_at.checked_add(acceptance_period).is_some_and(|end| end < now);
        let pruned = self.past_code_pruning.iter().take_while(|(_, activated_at)| over(*activated_at)).count();
        let paras: BTreeSet<_> = self.past_code_pruning.drain(..pruned).map(|(para, _)| para).collect();
        for para in paras {
            let Some(meta) = self.past_code_meta.get_mut(&para) else {
                continue;
            };
            let old = meta.upgrade_times.iter().take_while(|times| over(times.activated_at)).count();
            let dropped: Vec<_> = meta.upgrade_times.drain(..old).collect();
            meta.last_pruned = dropped.last().map(|times| times.expected_at).or(meta.last_pruned);
            if meta.upgrade_times.is_empty() && !self.heads.contains_key(&para) {
                self.past_code_meta.remove(&para);
            }
            for times in dropped {
                if let Some(code) = self.past_code.remove(&(para, times.expected_at)) {
                    self.drop_code_if_unused(code);
                }
            }
        }
    }

    /// The code for a block with relay parent `at`, perhaps as if another block of the para with relay parent
    /// `assume_intermediate`, before `at`, had been included. `None` if there is none or it has been pruned.
    pub(crate) fn validation_code_at(
        &self,
        para: ParaId,
        at: BlockNumber,
        assume_intermediate: Option<BlockNumber>,
    ) -> Option<ValidationCodeHash> {
        if assume_intermediate.is_some_and(|intermediate| intermediate >= at) {
            return None;
        }
        if let (Some(intermediate), Some((expected_at, code))) = (assume_intermediate, self.future_code.get(&para))
            && *expected_at <= intermediate
        {
            return Some(*code);
        }
        let lookup = self.past_code_meta.get(&para).map_or(Some(UseCodeAt::Current), |meta| meta.code_at(at));
        match lookup? {
            UseCodeAt::Current => self.current_code.get(&para).copied(),
            UseCodeAt::ReplacedAt(expected_at) => self.past_code.get(&(para, expected_at)).copied(),
        }
    }

    /// Paras go, then paras come.
    pub(crate) fn on_session_change(&mut self, change: &SessionChange) {
        for para in std::mem::take(&mut self.outgoing) {
            self.heads.remove(&para);
            self.last_upgrade.remove(&para);
            self.parachains.retain(|parachain| *parachain != para);
            if let Some((_, code)) = self.future_code.remove(&para) {
                self.drop_code_if_unused(code);
            }
            if let Some(old) = self.current_code.remove(&para) {
                // The last block that can still have used it is the last of the old session.
                let at = change.first_block.saturating_sub(1);
                self.note_past_code(para, at, at, old);
            }
        }
        for (para, args) in std::mem::take(&mut self.upcoming) {
            self.initialize_para(para, &args);
        }
    }

    fn keep_code(&mut self, code: ValidationCode) -> ValidationCodeHash {
        let hash = code.hash();
        self.codes.entry(hash).or_insert(code);
        hash
    }

    fn drop_code_if_unused(&mut self, hash: ValidationCodeHash) {
        let used = self.current_code.values().any(|code| *code == hash)
            || self.past_code.values().any(|code| *code == hash)
            || self.future_code.values().any(|(_, code)| *code == hash);
        if !used {
            self.codes.remove(&hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARA: ParaId = ParaId(7);

    fn code(byte: u8) -> ValidationCode {
        vec![byte; 16].into()
    }

    fn paras() -> Paras {
        let mut paras = Paras::default();
        let args = ParaGenesisArgs { genesis_head: HeadData(vec![0]), validation_code: code(0), parachain: true };
        paras.initialize_para(PARA, &args);
        paras
    }

    /// Code 1 expected at 10, activated at 15; code 2 expected at 30, activated at 31.
    fn upgraded() -> Paras {
        let mut paras = paras();
        paras.schedule_code_upgrade(PARA, code(1), 10);
        paras.note_new_head(PARA, HeadData(vec![1]), 9, 12);
        assert_eq!(paras.current_code[&PARA], code(0).hash());
        paras.note_new_head(PARA, HeadData(vec![2]), 13, 15);
        paras.schedule_code_upgrade(PARA, code(2), 30);
        paras.note_new_head(PARA, HeadData(vec![3]), 30, 31);
        paras
    }

    fn at(paras: &Paras, number: BlockNumber) -> Option<u8> {
        let hash = paras.validation_code_at(PARA, number, None)?;
        (0..4).find(|byte| code(*byte).hash() == hash)
    }

    #[test]
    fn lookups_find_the_code_of_the_time() {
        let paras = upgraded();
        let found: Vec<_> = [0, 9, 10, 11, 30, 31, 99].iter().map(|number| at(&paras, *number).unwrap()).collect();
        assert_eq!(found, [0, 0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn pruning_follows_the_activation_and_lookups_before_it_fail() {
        let mut paras = upgraded();
        paras.prune(35, 20);
        assert_eq!(paras.codes.len(), 3, "activated at 15: block 35 is the last of its acceptance period");
        paras.prune(36, 20);
        assert_eq!(paras.codes.len(), 2);
        assert_eq!((at(&paras, 10), at(&paras, 11), at(&paras, 31)), (None, Some(1), Some(2)));
        paras.prune(52, 20);
        assert_eq!(paras.codes.len(), 1);
        assert_eq!((at(&paras, 30), at(&paras, 31)), (None, Some(2)));
        assert!(!paras.has_past_code());
    }

    #[test]
    fn a_para_that_goes_leaves_past_code_and_nothing_else() {
        let mut paras = paras();
        paras.schedule_code_upgrade(PARA, code(1), 10);
        paras.schedule_para_cleanup(PARA).unwrap();
        assert_eq!(paras.schedule_para_cleanup(PARA), Err(ParaError::NotRegistered(PARA)));
        let change = SessionChange {
            first_block: 20,
            validators: Arc::default(),
            previous_configuration: HostConfiguration::default(),
            configuration: HostConfiguration::default(),
            random_seed: [0; 32],
        };
        paras.on_session_change(&change);
        assert!(paras.parachains.is_empty() && paras.heads.is_empty() && paras.current_code.is_empty());
        assert!(paras.future_code.is_empty() && paras.last_upgrade.is_empty() && paras.outgoing.is_empty());
        assert_eq!(paras.codes.keys().collect::<Vec<_>>(), [&code(0).hash()], "what was to come never will");
        // The last block that can have used it is that before the session.
        assert_eq!((at(&paras, 19), at(&paras, 20)), (Some(0), None));
        paras.prune(39, 20);
        assert_eq!(at(&paras, 19), Some(0), "acceptance lasts until block 39");
        paras.prune(40, 20);
        assert!(paras.codes.is_empty() && paras.past_code.is_empty() && paras.past_code_meta.is_empty());
    }

    #[test]
    fn registration_keeps_to_the_sizes() {
        let configuration =
            HostConfiguration { max_head_data_size: 2, max_code_size: 20, ..HostConfiguration::default() };
        let register = |head: usize, code: usize| {
            let args = ParaGenesisArgs {
                genesis_head: HeadData(vec![0; head]),
                validation_code: vec![0; code].into(),
                parachain: true,
            };
            Paras::default().schedule_para_initialize(PARA, args, &configuration)
        };
        let (least, most) = (MIN_CODE_SIZE as usize, 20);
        assert_eq!((register(2, least), register(0, most)), (Ok(()), Ok(())));
        assert_eq!(register(3, least), Err(ParaError::HeadSize { para: PARA, found: 3, max: 2 }));
        for found in [least - 1, most + 1] {
            assert_eq!(register(2, found), Err(ParaError::CodeSize { para: PARA, found, max: 20 }));
        }
    }

    #[test]
    fn an_endless_acceptance_period_prunes_nothing() {
        let mut paras = upgraded();
        paras.prune(BlockNumber::MAX, BlockNumber::MAX);
        assert_eq!(paras.codes.len(), 3);
    }

    #[test]
    fn going_back_to_an_old_code_keeps_it() {
        let mut paras = upgraded();
        paras.schedule_code_upgrade(PARA, code(0), 40);
        paras.note_new_head(PARA, HeadData(vec![4]), 40, 41);
        paras.prune(36, 20);
        assert_eq!(at(&paras, 41), Some(0));
        assert!(paras.codes.contains_key(&code(0).hash()));
    }

    #[test]
    fn a_code_that_another_para_has_announced_is_kept_for_it() {
        let mut paras = upgraded();
        let other = ParaId(8);
        let args = ParaGenesisArgs { genesis_head: HeadData(vec![0]), validation_code: code(2), parachain: true };
        paras.initialize_para(other, &args);
        paras.schedule_code_upgrade(other, code(0), 60);
        paras.prune(36, 20);
        paras.note_new_head(other, HeadData(vec![1]), 60, 61);
        assert_eq!(paras.current_code[&other], code(0).hash());
        assert!(paras.codes.contains_key(&code(0).hash()), "the para goes on with it");
    }

    #[test]
    fn a_code_that_is_another_paras_past_is_kept_for_it() {
        let mut paras = upgraded();
        let other = ParaId(8);
        let args = ParaGenesisArgs { genesis_head: HeadData(vec![0]), validation_code: code(0), parachain: true };
        paras.initialize_para(other, &args);
        paras.schedule_code_upgrade(other, code(2), 20);
        paras.note_new_head(other, HeadData(vec![1]), 32, 33);
        paras.prune(36, 20);
        assert!(paras.codes.contains_key(&code(0).hash()), "the other para's acceptance period lasts until 53");
        paras.prune(54, 20);
        assert!(!paras.codes.contains_key(&code(0).hash()));
    }
}
