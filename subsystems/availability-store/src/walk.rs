//! Reading what blocks did to candidates.

use std::collections::BTreeSet;

use messages::chain_api::{ANCESTORS_MAX, GetAncestors};
use messages::runtime_api::{GetCandidateEvents, GetSessionContext};
use overseer::Outlet;
use overseer::wiring::FromJobs;
use ports::RuntimeError;
use primitives::{BlockNumber, CandidateEvent};

use crate::AvailabilityStoreSubsystem;
use crate::state::{Block, Happened, Seen};

type Outbox = Outlet<FromJobs<AvailabilityStoreSubsystem>>;

/// Why a walk came to no end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalkError {
    #[error("question has no answer: {0}")]
    Ask(#[from] overseer::AskError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// The path from a block down to, but without, the height `above`, newest first; shorter where the chain ends.
pub(crate) async fn path(outbox: &Outbox, from: Block, above: BlockNumber) -> Result<Vec<Block>, WalkError> {
    let mut path = vec![from];
    let mut last = from;
    while last.number > above.saturating_add(1) {
        let count = (last.number - above - 1).min(ANCESTORS_MAX);
        let ancestors = outbox.ask(GetAncestors { hash: last.hash, count }).await??;
        if ancestors.is_empty() {
            break;
        }
        for hash in ancestors.into_iter().take(count as usize) {
            last = Block { number: last.number - 1, hash };
            path.push(last);
        }
    }
    Ok(path)
}

/// The events of those blocks of a path that are not known.
pub(crate) async fn events(outbox: &Outbox, path: &[Block], known: &BTreeSet<Block>) -> Result<Vec<Seen>, WalkError> {
    let mut blocks = Vec::new();
    for block in path.iter().filter(|block| !known.contains(block)) {
        let events = outbox.ask(GetCandidateEvents { at: block.hash }).await??;
        let session = outbox.ask(GetSessionContext { at: block.hash }).await??.session_index;
        let events = events.iter().map(|event| match event {
            CandidateEvent::Backed(receipt, ..) => (receipt.hash(), Happened::Backed),
            CandidateEvent::Included(receipt, ..) => (receipt.hash(), Happened::Included),
            CandidateEvent::TimedOut(receipt, ..) => (receipt.hash(), Happened::TimedOut),
        });
        blocks.push(Seen { block: *block, session, events: events.collect() });
    }
    Ok(blocks)
}
