//! Scheduler module (RT-4): cores, groups of validators, and whose turn it is.
//!
//! The i-th parachain has the i-th core; the cores behind them take parathread claims from a queue. A core is free or
//! occupied by a candidate that is pending availability; while a block is executed, free cores are scheduled.
//!
//! Stores: groups, cores, the queue of claims with its index and the core that the next claim gets, the first block of
//! the session, and, while a block is under way, what is scheduled.
//!
//! Entry points: none of its own. Claims come through the registrar ([`Scheduler::add_parathread_claim`]); the
//! inherent frees, schedules and occupies cores.
//!
//! Order: after paras. At the begin of a block it schedules free cores; at its end what was scheduled in vain goes
//! back to its queue with one retry less; at a session change cores and groups are made anew.

use codec::{Decode, Encode};
use primitives::{
    BlockNumber, CollatorId, CoreIndex, GroupIndex, GroupRotationInfo, Hash, HostConfiguration, ParaId, ScheduledCore,
    ValidatorIndex,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

use crate::{limits::MAX_PARATHREAD_QUEUE, session::SessionChange};

/// Draws for one place of the shuffle: that all of them miss does not happen.
const DRAWS_MAX: usize = 256;

/// The right to author the next block of a parathread.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ParathreadClaim {
    /// The parathread.
    pub para: ParaId,
    /// The only one who may author the block.
    pub collator: CollatorId,
}

/// A claim and how often it was scheduled in vain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ParathreadEntry {
    pub(crate) claim: ParathreadClaim,
    pub(crate) retries: u32,
}

/// A claim that waits for its core, counted among the parathread cores.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct QueuedParathread {
    entry: ParathreadEntry,
    core: u32,
}

/// Who has an occupied core.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum CoreOccupied {
    Parathread(ParathreadEntry),
    Parachain,
}

/// What kind of core it is: they have different availability periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoreKind {
    /// A parachain's own.
    Parachain,
    /// Shared by parathreads.
    Parathread,
}

impl CoreKind {
    /// Blocks in which a candidate on such a core must become available.
    pub const fn availability_period(self, configuration: &HostConfiguration) -> BlockNumber {
        match self {
            Self::Parachain => configuration.chain_availability_period,
            Self::Parathread => configuration.thread_availability_period,
        }
    }
}

/// Why an occupied core became free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreedReason {
    /// Its candidate became available.
    Concluded,
    /// Its candidate did not become available in time: a parathread's claim gets another chance.
    TimedOut,
}

/// A free core and who may occupy it in this block.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CoreAssignment {
    /// The core.
    pub core: CoreIndex,
    /// Who may occupy it.
    pub para_id: ParaId,
    /// The only collator that may, with the retries of its claim; on parathread cores.
    claim: Option<ParathreadEntry>,
    /// The group that serves the core in this block.
    pub group_idx: GroupIndex,
}

impl CoreAssignment {
    /// The only collator that may author the candidate; `None` on a parachain's core.
    pub fn collator(&self) -> Option<&CollatorId> {
        self.claim.as_ref().map(|entry| &entry.claim.collator)
    }
}

/// Why a parathread claim is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// No such parathread.
    #[error("para {0} is no registered parathread")]
    NoParathread(ParaId),
    /// The parathread has one claim in the queue or on a core.
    #[error("parathread {0} has a claim already")]
    AlreadyClaimed(ParaId),
    /// The queue is full.
    #[error("{max} parathread claims wait already")]
    QueueFull {
        /// How many there may be.
        max: usize,
    },
}

/// Cores, groups, claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Scheduler {
    /// One per core.
    pub(crate) groups: Vec<Vec<ValidatorIndex>>,
    queue: Vec<QueuedParathread>,
    /// Among the parathread cores.
    next_core: u32,
    pub(crate) cores: Vec<Option<CoreOccupied>>,
    /// Parathreads with a claim in the queue, scheduled or on a core.
    claim_index: BTreeSet<ParaId>,
    session_start_block: BlockNumber,
    /// The parachains of this session: the i-th has the i-th core.
    parachains: Vec<ParaId>,
    /// Empty between blocks.
    pub(crate) scheduled: BTreeMap<CoreIndex, CoreAssignment>,
}

impl Scheduler {
    /// Which group serves which core in block `now`.
    pub(crate) fn rotation_info(&self, configuration: &HostConfiguration, now: BlockNumber) -> GroupRotationInfo {
        GroupRotationInfo {
            session_start_block: self.session_start_block,
            group_rotation_frequency: configuration.parachain_rotation_frequency,
            now,
        }
    }

    pub(crate) fn core_kind(&self, core: CoreIndex) -> CoreKind {
        if core.as_usize() < self.parachains.len() { CoreKind::Parachain } else { CoreKind::Parathread }
    }

    fn parathread_cores(&self) -> u32 {
        // There are at most `MAX_CORES` cores.
        self.cores.len().saturating_sub(self.parachains.len()) as u32
    }

    /// Position among the parathread cores.
    fn relative(&self, core: CoreIndex) -> u32 {
        core.0.saturating_sub(self.parachains.len() as u32)
    }

    /// Adds a claim to the queue. `is_parathread` says whether the para is registered as one.
    pub(crate) fn add_parathread_claim(
        &mut self,
        claim: ParathreadClaim,
        is_parathread: bool,
        configuration: &HostConfiguration,
    ) -> Result<(), ClaimError> {
        if !is_parathread {
            return Err(ClaimError::NoParathread(claim.para));
        }
        if self.claim_index.contains(&claim.para) {
            return Err(ClaimError::AlreadyClaimed(claim.para));
        }
        let cores = self.parathread_cores();
        let max =
            (configuration.scheduling_lookahead as usize).saturating_mul(cores as usize).min(MAX_PARATHREAD_QUEUE);
        if self.queue.len() >= max {
            return Err(ClaimError::QueueFull { max });
        }
        self.claim_index.insert(claim.para);
        let entry = ParathreadEntry { claim, retries: 0 };
        self.queue.push(QueuedParathread { entry, core: self.next_core });
        self.next_core = self.next_core.saturating_add(1).checked_rem(cores).unwrap_or(0);
        Ok(())
    }

    /// Frees cores, then gives every free core to whose turn it is.
    pub(crate) fn schedule(
        &mut self,
        freed: &BTreeMap<CoreIndex, FreedReason>,
        configuration: &HostConfiguration,
        now: BlockNumber,
    ) {
        for (core, reason) in freed {
            self.free(*core, *reason);
        }
        let rotation = self.rotation_info(configuration, now);
        for index in 0..self.cores.len() {
            let core = CoreIndex(index as u32);
            let is_occupied = self.cores.get(index).is_none_or(Option::is_some);
            if is_occupied || self.scheduled.contains_key(&core) {
                continue;
            }
            let Some((para_id, claim)) = self.take_next_up(core) else {
                continue;
            };
            let group_idx = rotation.group_for_core(core, self.cores.len());
            let assignment = CoreAssignment { core, para_id, claim, group_idx };
            self.scheduled.insert(core, assignment);
        }
    }

    fn take_next_up(&mut self, core: CoreIndex) -> Option<(ParaId, Option<ParathreadEntry>)> {
        if let Some(para) = self.parachains.get(core.as_usize()) {
            return Some((*para, None));
        }
        let relative = self.relative(core);
        let position = self.queue.iter().position(|queued| queued.core == relative)?;
        let entry = self.queue.remove(position).entry;
        Some((entry.claim.para, Some(entry)))
    }

    /// Who is next on `core` once it is free.
    pub(crate) fn next_up(&self, core: CoreIndex) -> Option<ScheduledCore> {
        if let Some(para) = self.parachains.get(core.as_usize()) {
            return Some(ScheduledCore { para_id: *para, collator: None });
        }
        let relative = self.relative(core);
        let queued = self.queue.iter().find(|queued| queued.core == relative)?;
        Some(scheduled_core(&queued.entry.claim))
    }

    /// Who is next on the occupied `core` if its candidate times out: then its claim waits behind the others.
    pub(crate) fn next_up_on_time_out(&self, core: CoreIndex) -> Option<ScheduledCore> {
        self.next_up(core).or_else(|| match self.cores.get(core.as_usize()) {
            Some(Some(CoreOccupied::Parathread(entry))) => Some(scheduled_core(&entry.claim)),
            _ => None,
        })
    }

    /// Marks cores as occupied by what was scheduled on them.
    pub(crate) fn occupied(&mut self, cores: &BTreeSet<CoreIndex>) -> Result<(), CoreIndex> {
        for core in cores {
            let assignment = self.scheduled.remove(core).ok_or(*core)?;
            let slot = self.cores.get_mut(core.as_usize()).ok_or(*core)?;
            *slot = Some(assignment.claim.map_or(CoreOccupied::Parachain, CoreOccupied::Parathread));
        }
        Ok(())
    }

    /// The para that occupies `core` or is scheduled on it.
    pub(crate) fn core_para(&self, core: CoreIndex) -> Option<ParaId> {
        match self.cores.get(core.as_usize())? {
            Some(CoreOccupied::Parathread(entry)) => Some(entry.claim.para),
            Some(CoreOccupied::Parachain) => self.parachains.get(core.as_usize()).copied(),
            None => self.scheduled.get(&core).map(|assignment| assignment.para_id),
        }
    }

    /// The members of a group of this session.
    pub(crate) fn group_validators(&self, group: GroupIndex) -> Option<&[ValidatorIndex]> {
        self.groups.get(group.as_usize()).map(Vec::as_slice)
    }

    /// Whether a core that has been occupied since a block times out in block `now`; `None` if no core can.
    /// Cores time out in the first blocks after a rotation only, as many as the availability period has.
    pub(crate) fn availability_timeout_predicate(
        &self,
        configuration: &HostConfiguration,
        now: BlockNumber,
    ) -> Option<impl Fn(CoreIndex, BlockNumber) -> bool + use<>> {
        let rotation = self.rotation_info(configuration, now);
        let since_rotation = now.saturating_sub(rotation.last_rotation_at());
        let chain = configuration.chain_availability_period;
        let thread = configuration.thread_availability_period;
        let parachains = self.parachains.len();
        (since_rotation < chain.max(thread)).then_some(move |core: CoreIndex, since: BlockNumber| {
            let period = if core.as_usize() < parachains { chain } else { thread };
            since_rotation < period && now.saturating_sub(since) >= period
        })
    }

    /// The first block from `now` on in which a candidate that occupies `core` since `since` times out.
    pub(crate) fn time_out_at(
        &self,
        core: CoreIndex,
        since: BlockNumber,
        configuration: &HostConfiguration,
        now: BlockNumber,
    ) -> BlockNumber {
        let period = self.core_kind(core).availability_period(configuration);
        let earliest = now.max(since.saturating_add(period));
        let rotation = self.rotation_info(configuration, earliest);
        if earliest.saturating_sub(rotation.last_rotation_at()) < period {
            earliest
        } else {
            rotation.next_rotation_at().unwrap_or(BlockNumber::MAX)
        }
    }

    /// Whether a claim on this parathread waits, is scheduled or has a core.
    pub(crate) fn is_claimed(&self, para: ParaId) -> bool {
        self.claim_index.contains(&para)
    }

    /// Frees a core. A parathread's claim is used up if its candidate was included or judged invalid; if nobody could
    /// get hold of the candidate, that is no failure of the collator, and the claim waits again.
    pub(crate) fn free(&mut self, core: CoreIndex, reason: FreedReason) {
        let Some(CoreOccupied::Parathread(entry)) = self.cores.get_mut(core.as_usize()).and_then(Option::take) else {
            return;
        };
        match reason {
            FreedReason::Concluded => {
                self.claim_index.remove(&entry.claim.para);
            }
            FreedReason::TimedOut => {
                let core = self.relative(core);
                self.queue.push(QueuedParathread { entry, core });
            }
        }
    }

    /// Finalization: what was scheduled in vain goes back to its queue, or is dropped after too many retries.
    pub(crate) fn finalize(&mut self, configuration: &HostConfiguration) {
        for (core, assignment) in std::mem::take(&mut self.scheduled) {
            let Some(mut entry) = assignment.claim else {
                continue;
            };
            entry.retries = entry.retries.saturating_add(1);
            if entry.retries > configuration.parathread_retries {
                self.claim_index.remove(&entry.claim.para);
            } else {
                let core = self.relative(core);
                self.queue.push(QueuedParathread { entry, core });
            }
        }
    }

    /// New cores and groups; claims stay, unless they have used up their retries or their parathread is gone.
    pub(crate) fn on_session_change(
        &mut self,
        change: &SessionChange,
        parachains: &[ParaId],
        is_parathread: impl Fn(ParaId) -> bool,
    ) {
        self.session_start_block = change.first_block;
        let old_cores = change.previous_configuration.parathread_cores;
        let new_cores = change.configuration.parathread_cores;
        for (index, occupied) in std::mem::take(&mut self.cores).into_iter().enumerate() {
            if let Some(CoreOccupied::Parathread(entry)) = occupied {
                let core = self.relative(CoreIndex(index as u32));
                self.queue.push(QueuedParathread { entry, core });
            }
        }
        self.parachains = parachains.to_vec();
        let cores = parachains.len().saturating_add(new_cores as usize);
        self.cores = vec![None; cores];
        self.scheduled.clear();
        self.groups = groups(change.validators.len(), cores, change.random_seed);
        let max_retries = change.configuration.parathread_retries;
        self.queue.retain(|queued| queued.entry.retries <= max_retries && is_parathread(queued.entry.claim.para));
        self.claim_index = self.queue.iter().map(|queued| queued.entry.claim.para).collect();
        if old_cores != new_cores {
            self.next_core = 0;
            for queued in &mut self.queue {
                queued.core = self.next_core;
                self.next_core = self.next_core.saturating_add(1).checked_rem(new_cores).unwrap_or(0);
            }
        }
    }
}

fn scheduled_core(claim: &ParathreadClaim) -> ScheduledCore {
    ScheduledCore { para_id: claim.para, collator: Some(claim.collator) }
}

/// Shuffles the validators and parts them into as many groups as there are cores, as equal as can be.
fn groups(validators: usize, cores: usize, seed: [u8; 32]) -> Vec<Vec<ValidatorIndex>> {
    let (Some(size), Some(larger)) = (validators.checked_div(cores), validators.checked_rem(cores)) else {
        return Vec::new();
    };
    let seed = Hash::of(&(b"groups", seed)).0;
    let mut random = ChaCha20Rng::from_seed(seed);
    let mut shuffled: Vec<_> = (0..validators as u32).map(ValidatorIndex).collect();
    for last in (1..shuffled.len()).rev() {
        shuffled.swap(last, below(&mut random, (last as u32).saturating_add(1)) as usize);
    }
    let mut rest = shuffled.into_iter();
    (0..cores).map(|group| rest.by_ref().take(size.saturating_add(usize::from(group < larger))).collect()).collect()
}

/// A number below `bound`, all equally likely: the widest multiple of `bound` is drawn from. Each draw misses it with
/// less than even chances.
fn below(random: &mut impl Rng, bound: u32) -> u32 {
    let excess = u32::MAX.checked_rem(bound).unwrap_or(0);
    let mut draws = (0..DRAWS_MAX).map(|_| random.next_u32());
    let drawn = draws.find(|drawn| *drawn < u32::MAX.saturating_sub(excess)).unwrap_or(0);
    drawn.checked_rem(bound).unwrap_or(0)
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
