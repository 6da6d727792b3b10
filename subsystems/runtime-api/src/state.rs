//! Who asked what, and what is known: one [`Table`] per kind of question. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use overseer::Responder;
use ports::{CandidateOfSession, OpenDispute, RuntimeError, SessionContext};
use primitives::{
    Account, AccountId, ApprovalStatus, BlockNumber, CandidateEvent, CommittedCandidateReceipt, CoreState,
    DisputeStatementSet, Hash, HeadData, InboundDownwardMessage, InboundHrmpMessage, ParaId, PersistedValidationData,
    Revert, SessionIndex, ValidationCode, ValidationCodeHash, ValidatorId,
};

/// Answers kept per kind of question at one block: leaves, their ancestors and forks.
pub const CACHED_BLOCKS: usize = 64;
/// Answers kept per kind of question that have some hundred bytes: validation data, approvals and accounts, some of each
/// at some blocks.
pub const CACHED_SMALL: usize = 512;
/// Codes kept per kind of question; one may have 3 MiB.
pub const CACHED_CODES: usize = 16;
/// Answers kept per kind of question that may have 1 MiB and more: queues, candidates, heads, proofs.
pub const CACHED_LARGE: usize = 32;
/// Askers who may wait for one answer.
pub const WAITING_MAX: usize = 1024;

/// A para's question at a block: block, para, and the assumption's discriminant.
pub(crate) type ParaKey = (Hash, ParaId, u8);

/// What waits for a para in the channels that lead to it, by sender.
type Horizontal = Arc<BTreeMap<ParaId, Vec<InboundHrmpMessage>>>;
/// A candidate's question at a block.
type CandidateKey = (Hash, CandidateOfSession);
/// Keys or trie nodes of a proof.
type Bytes = Vec<Vec<u8>>;

/// The tables of all questions that have the same answer whenever they are asked.
pub(crate) struct Tables {
    pub(crate) sessions: Table<Hash, Arc<SessionContext>>,
    pub(crate) cores: Table<Hash, Arc<Vec<CoreState>>>,
    pub(crate) validation_data: Table<ParaKey, Option<PersistedValidationData>>,
    pub(crate) codes: Table<ParaKey, Option<ValidationCode>>,
    pub(crate) codes_by_hash: Table<(Hash, ValidationCodeHash), Option<ValidationCode>>,
    pub(crate) events: Table<Hash, Arc<Vec<CandidateEvent>>>,
    pub(crate) versions: Table<Hash, u32>,
    pub(crate) session_validators: Table<(Hash, SessionIndex), Option<Arc<Vec<ValidatorId>>>>,
    pub(crate) next_validators: Table<Hash, Arc<Vec<ValidatorId>>>,
    pub(crate) paras: Table<Hash, Arc<Vec<ParaId>>>,
    pub(crate) heads: Table<(Hash, ParaId), Option<HeadData>>,
    pub(crate) downward: Table<(Hash, ParaId), Arc<Vec<InboundDownwardMessage>>>,
    pub(crate) horizontal: Table<(Hash, ParaId), Horizontal>,
    pub(crate) pending: Table<(Hash, ParaId), Option<Arc<CommittedCandidateReceipt>>>,
    pub(crate) historical_codes: Table<(Hash, ParaId, BlockNumber), Option<ValidationCode>>,
    pub(crate) disputes: Table<Hash, Arc<Vec<OpenDispute>>>,
    pub(crate) dispute_votes: Table<CandidateKey, Option<Arc<DisputeStatementSet>>>,
    pub(crate) contested: Table<CandidateKey, Option<Arc<CommittedCandidateReceipt>>>,
    pub(crate) approvals: Table<CandidateKey, Option<ApprovalStatus>>,
    pub(crate) blacklists: Table<Hash, Arc<Vec<CandidateOfSession>>>,
    pub(crate) reverts: Table<Hash, Arc<Vec<Revert>>>,
    pub(crate) accounts: Table<(Hash, AccountId), Account>,
    pub(crate) first_disputed: Table<Hash, Option<BlockNumber>>,
    pub(crate) proofs: Table<(Hash, Bytes), Arc<Bytes>>,
}

impl Tables {
    pub(crate) fn new() -> Self {
        Self {
            sessions: Table::new(CACHED_BLOCKS),
            cores: Table::new(CACHED_BLOCKS),
            validation_data: Table::new(CACHED_SMALL),
            codes: Table::new(CACHED_CODES),
            codes_by_hash: Table::new(CACHED_CODES),
            events: Table::new(CACHED_BLOCKS),
            versions: Table::new(CACHED_BLOCKS),
            session_validators: Table::new(CACHED_BLOCKS),
            next_validators: Table::new(CACHED_BLOCKS),
            paras: Table::new(CACHED_BLOCKS),
            heads: Table::new(CACHED_LARGE),
            downward: Table::new(CACHED_LARGE),
            horizontal: Table::new(CACHED_LARGE),
            pending: Table::new(CACHED_LARGE),
            historical_codes: Table::new(CACHED_CODES),
            disputes: Table::new(CACHED_BLOCKS),
            dispute_votes: Table::new(CACHED_LARGE),
            contested: Table::new(CACHED_LARGE),
            approvals: Table::new(CACHED_SMALL),
            blacklists: Table::new(CACHED_BLOCKS),
            reverts: Table::new(CACHED_BLOCKS),
            accounts: Table::new(CACHED_SMALL),
            first_disputed: Table::new(CACHED_BLOCKS),
            proofs: Table::new(CACHED_LARGE),
        }
    }
}

type Answer<V> = Result<V, RuntimeError>;

/// What a question needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing: it was answered.
    Answered,
    /// Nothing: an equal question is in flight, and its answer will serve both.
    Joined,
    /// The chain is to be asked, then [`Table::finish`] called.
    Start,
}

/// One kind of question: answers known, the least recently used given up first, and askers who wait.
pub(crate) struct Table<K, V> {
    capacity: usize,
    uses: u64,
    known: BTreeMap<K, (V, u64)>,
    waiting: BTreeMap<K, Vec<Responder<Answer<V>>>>,
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, uses: 0, known: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    /// Answers at once, lets the asker wait with others, or says that the chain must be asked.
    pub(crate) fn ask(&mut self, key: &K, responder: Responder<Answer<V>>) -> Asked {
        self.uses += 1;
        if let Some((value, used)) = self.known.get_mut(key) {
            *used = self.uses;
            // An asker who gave up needs no answer; so below.
            let _ = responder.answer(Ok(value.clone()));
            return Asked::Answered;
        }
        let Some(waiting) = self.waiting.get_mut(key) else {
            self.waiting.insert(key.clone(), vec![responder]);
            return Asked::Start;
        };
        waiting.retain(|responder| !responder.is_abandoned());
        if waiting.len() >= WAITING_MAX {
            let error = format!("{WAITING_MAX} askers wait for this answer already");
            let _ = responder.answer(Err(RuntimeError::Unreachable(error)));
            return Asked::Answered;
        }
        waiting.push(responder);
        Asked::Joined
    }

    /// Answers everybody who waits. Errors are not remembered: an unknown block may be known the next time.
    pub(crate) fn finish(&mut self, key: &K, result: &Answer<V>) {
        for responder in self.waiting.remove(key).into_iter().flatten() {
            let _ = responder.answer(result.clone());
        }
        let Ok(value) = result else { return };
        self.uses += 1;
        self.known.insert(key.clone(), (value.clone(), self.uses));
        while self.known.len() > self.capacity {
            let oldest = self.known.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            oldest.map(|key| self.known.remove(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use overseer::Reply;

    use super::*;

    type Pair = (Responder<Answer<u8>>, Reply<Answer<u8>>);

    fn pair() -> Pair {
        Reply::channel("question", "table")
    }

    fn answer(reply: Reply<Answer<u8>>) -> Option<Answer<u8>> {
        reply.now_or_never().and_then(Result::ok)
    }

    #[test]
    fn equal_questions_share_one_call_and_later_ones_the_known_answer() {
        let mut table: Table<u8, u8> = Table::new(2);
        let ((first, a), (second, b), (other, c), (later, d)) = (pair(), pair(), pair(), pair());
        assert_eq!(table.ask(&1, first), Asked::Start);
        assert_eq!(table.ask(&1, second), Asked::Joined);
        assert_eq!(table.ask(&2, other), Asked::Start);
        table.finish(&1, &Ok(10));
        assert_eq!((answer(a), answer(b), answer(c)), (Some(Ok(10)), Some(Ok(10)), None));
        assert_eq!(table.ask(&1, later), Asked::Answered);
        assert_eq!(answer(d), Some(Ok(10)));
    }

    #[test]
    fn errors_reach_everybody_and_are_asked_again() {
        let mut table: Table<u8, u8> = Table::new(2);
        let ((first, a), (second, b)) = (pair(), pair());
        table.ask(&1, first);
        let error = RuntimeError::UnknownBlock(Hash::ZERO);
        table.finish(&1, &Err(error.clone()));
        assert_eq!(answer(a), Some(Err(error)));
        assert_eq!(table.ask(&1, second), Asked::Start);
        drop(b);
    }

    #[test]
    fn the_answer_not_used_for_longest_is_given_up() {
        let mut table: Table<u8, u8> = Table::new(2);
        for key in [1, 2] {
            table.ask(&key, pair().0);
            table.finish(&key, &Ok(key));
        }
        assert_eq!(table.ask(&1, pair().0), Asked::Answered);
        table.finish(&3, &Ok(3));
        assert_eq!(table.known.keys().copied().collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn askers_of_one_answer_are_bounded_and_those_who_left_do_not_count() {
        let mut table: Table<u8, u8> = Table::new(2);
        let mut replies = Vec::new();
        for _ in 0..WAITING_MAX {
            let (responder, reply) = pair();
            table.ask(&1, responder);
            replies.push(reply);
        }
        let (responder, reply) = pair();
        assert_eq!(table.ask(&1, responder), Asked::Answered);
        assert!(matches!(answer(reply), Some(Err(RuntimeError::Unreachable(_)))));
        replies.pop();
        assert_eq!(table.ask(&1, pair().0), Asked::Joined);
    }
}
