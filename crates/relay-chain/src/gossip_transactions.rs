//! Transactions between peers: checked in full on top of the best block before they are kept or passed on.
//!
//! What is too large for gossip is announced by its hash and asked for, one at a time.
//!
//! Peers see blocks at different times, so that one that does not fit is no offence; a signature that does not hold is.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use codec::Encode;
use deterministic::{ComputeError, ComputeKind, compute};
use futures::{FutureExt, future::Fuse, future::FusedFuture, pin_mut, select_biased};
use ports::{MAX_NOTIFICATION_BYTES, NetworkEvent, PeerId, ProtocolEvents, RequestError};
use primitives::{Hash, decode_limited};
use runtime::{BlockError, EquivocationReport, Extrinsic, SlotClaim, State};

use crate::{
    chain::Chain,
    gossip_reports,
    import::reverts_in,
    messages::{MAX_CHAIN_REQUEST_BYTES, MAX_TRANSACTION_BYTES, TRANSACTION_PROTOCOL, TransactionMessage},
    reports::ReportRefused,
    transactions::{TRANSACTIONS_MAX, transaction_hash},
};

/// Forks that were given up, the highest ones, whose disputes are told again after a start.
pub(crate) const FORKS_TOLD_AGAIN_MAX: usize = 16;

/// Transactions that one peer has announced and that wait to be asked for: all of a pool.
const WANTED_PER_PEER_MAX: usize = TRANSACTIONS_MAX;

/// Why a transaction is not taken.
#[derive(Debug, thiserror::Error)]
pub enum TransactionRefused {
    /// It is too long.
    #[error("transaction of {found} bytes, at most {MAX_TRANSACTION_BYTES} are allowed")]
    TooLarge {
        /// How long it is.
        found: usize,
    },
    /// Inherents are the author's own.
    #[error("an inherent is no transaction")]
    Inherent,
    /// The best block's state refuses it.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A misbehavior report is refused.
    #[error(transparent)]
    Report(#[from] ReportRefused),
    /// Too many wait, or too large ones.
    #[error("there is no room: {TRANSACTIONS_MAX} transactions at most can wait")]
    Full,
    /// It could not be checked here.
    #[error(transparent)]
    Compute(#[from] ComputeError),
}

impl TransactionRefused {
    /// Whether whoever sent it is to blame.
    pub fn is_offence(&self) -> bool {
        match self {
            Self::TooLarge { .. } | Self::Inherent | Self::Block(BlockError::Signature(_)) => true,
            Self::Report(error) => error.is_offence(),
            Self::Block(_) | Self::Full | Self::Compute(_) => false,
        }
    }
}

/// Checks a transaction, keeps it for the blocks that we author, and passes it on if it is new. Returns its hash.
pub(crate) async fn submit(
    chain: &Chain,
    extrinsic: Extrinsic,
    from: Option<&PeerId>,
) -> Result<Hash, TransactionRefused> {
    let (hash, found) = (transaction_hash(&extrinsic), extrinsic.encoded_size());
    if found > MAX_TRANSACTION_BYTES {
        return Err(TransactionRefused::TooLarge { found });
    }
    match extrinsic {
        Extrinsic::Inclusion(_) => return Err(TransactionRefused::Inherent),
        Extrinsic::MisbehaviorReport(report) => {
            gossip_reports::submit(chain, *report, from)?;
            return Ok(hash);
        }
        _ => {}
    }
    if chain.transactions().contains(&hash) {
        return Ok(hash);
    }
    let (state, verifier) = (chain.best().data.state, chain.settings.verifier.clone());
    let checked = extrinsic.clone();
    let check = move || state.check_extrinsic(&checked, &*verifier);
    compute(&*chain.environment.compute, ComputeKind::VerifySignatures, found, check).await??;
    if chain.transactions().add(extrinsic.clone(), from).ok_or(TransactionRefused::Full)? {
        tracing::debug!(?hash, bytes = found, "transaction waits for a block");
        let announcement = TransactionMessage::announce(&extrinsic.encode(), hash);
        chain.broadcast(TRANSACTION_PROTOCOL, &announcement.into(), from);
    }
    Ok(hash)
}

/// Reports an author who made two blocks in one slot, once: all who see both make the same report of them, and of who made
/// more one report waits.
pub(crate) async fn report_equivocation(chain: &Chain, report: EquivocationReport) {
    let (validator, session) = (report.validator, report.session);
    let accusation = |report: &EquivocationReport| {
        let slot = SlotClaim::from_digest(&report.first.digest).ok().map(|claim| claim.slot);
        (report.session, report.validator, slot)
    };
    let ours = accusation(&report);
    let is_ours = |waiting: &Extrinsic| match waiting {
        Extrinsic::Equivocation(waiting) => accusation(waiting) == ours,
        _ => false,
    };
    if chain.transactions().all().any(is_ours) {
        return;
    }
    match submit(chain, Extrinsic::Equivocation(Box::new(report)), None).await {
        Ok(_) => tracing::warn!(%validator, session, "an author made two blocks in one slot"),
        Err(error) => tracing::debug!(%validator, session, %error, "equivocation is not to be reported"),
    }
}

/// Reports again, after a start, the authors of two blocks in one slot, both of which the disk shows: what waited for a
/// block is not on disk.
pub(crate) async fn report_equivocations_again(chain: &Chain) {
    let blocks: Vec<Hash> = {
        let tree = chain.tree();
        let finalized = tree.finalized().1.header.number;
        let above = tree.entries().filter(|entry| entry.header.number > finalized);
        above.map(|entry| entry.header.hash()).collect()
    };
    for hash in blocks {
        // Of each pair twice, the second time in vain.
        if let Some(report) = chain.equivocation(&hash) {
            report_equivocation(chain, report).await;
        }
    }
}

/// Tells again, after a start, what the forks know of disputes that were given up: what waited for a block is not on disk.
pub(crate) async fn tell_of_disputes_again(chain: &Chain) {
    let mut given_up: Vec<_> = {
        let tree = chain.tree();
        let signals = tree.entries().filter(|entry| entry.is_given_up && reverts_in(&entry.data.state));
        signals.map(|entry| (entry.header.number, entry.data.state.clone())).collect()
    };
    given_up.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    for (_, state) in given_up.into_iter().take(FORKS_TOLD_AGAIN_MAX) {
        tell_of_disputes(chain, &state).await;
    }
}

/// Brings what a fork that gives itself up knows of disputes to the best one: who misbehaved pays on every fork.
pub(crate) async fn tell_of_disputes(chain: &Chain, given_up: &State) {
    let best = chain.best();
    for transaction in given_up.disputes_to_tell(&best.data.state) {
        match submit(chain, transaction, None).await {
            Ok(_) => {}
            Err(error @ (TransactionRefused::TooLarge { .. } | TransactionRefused::Full)) => {
                tracing::error!(%error, "a dispute cannot be told: nobody pays for it on the best fork");
            }
            Err(error) => {
                tracing::debug!(%error, "a dispute of a fork that was given up has no place on the best one");
            }
        }
    }
}

/// Transactions that peers have announced and nobody has fetched yet. Peers are asked by turns, so that one that has
/// announced many keeps nobody from those of others.
#[derive(Default)]
struct Wanted {
    by_peer: BTreeMap<PeerId, BTreeSet<Hash>>,
    /// Whose turn it was.
    last: Option<PeerId>,
}

impl Wanted {
    /// Notes that `peer` has it, unless the peer has announced too many.
    fn add(&mut self, hash: Hash, peer: &PeerId) {
        let of_peer = self.by_peer.entry(peer.clone()).or_default();
        if of_peer.len() < WANTED_PER_PEER_MAX {
            of_peer.insert(hash);
        }
    }

    /// The next one that is not there yet. Whoever else has it stays, in case the first one fails.
    fn next(&mut self, is_there: impl Fn(&Hash) -> bool) -> Option<(Hash, PeerId)> {
        loop {
            let after = self.last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let following = self.by_peer.range((after, Bound::Unbounded)).next();
            let peer = following.or_else(|| self.by_peer.iter().next())?.0.clone();
            let Some(hash) = self.by_peer.get_mut(&peer).and_then(BTreeSet::pop_first) else {
                self.by_peer.remove(&peer);
                continue;
            };
            if !is_there(&hash) {
                self.last = Some(peer.clone());
                return Some((hash, peer));
            }
        }
    }

    /// The peer is gone, or has not kept its word.
    fn forget(&mut self, peer: &PeerId) {
        self.by_peer.remove(peer);
    }
}

/// Asks a peer for a transaction that it has announced, and takes it. Returns the peer if it has not kept its word.
async fn fetch(chain: Arc<Chain>, hash: Hash, peer: PeerId) -> Option<PeerId> {
    let answer = match chain.network.request(&peer, TRANSACTION_PROTOCOL, hash.encode().into()).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(%peer, %error, "peer does not send a transaction");
            // Meanwhile that one may have been settled there.
            return (!matches!(error, RequestError::Refused)).then_some(peer);
        }
    };
    match decode_limited::<Extrinsic>(&answer, MAX_TRANSACTION_BYTES) {
        Ok(extrinsic) if transaction_hash(&extrinsic) == hash => {
            taken(&chain, &peer, submit(&chain, extrinsic, Some(&peer)).await);
            None
        }
        Ok(_) => {
            chain.offence(&peer, &"another transaction than asked for");
            Some(peer)
        }
        Err(error) => {
            chain.offence(&peer, &error);
            Some(peer)
        }
    }
}

/// What came of a peer's transaction.
fn taken(chain: &Chain, peer: &PeerId, result: Result<Hash, TransactionRefused>) {
    match result {
        Err(error) if error.is_offence() => chain.offence(peer, &error),
        Err(error) => tracing::debug!(%peer, %error, "transaction not taken"),
        Ok(_) => {}
    }
}

/// The loop of the transaction protocol.
pub(crate) async fn run(chain: Arc<Chain>, mut events: Box<dyn ProtocolEvents>) {
    let stopped = chain.until_stopped().fuse();
    pin_mut!(stopped);
    let mut wanted = Wanted::default();
    let mut fetching = Fuse::terminated();
    loop {
        if fetching.is_terminated()
            && let Some((hash, peer)) = wanted.next(|hash| chain.transactions().contains(hash))
        {
            fetching = fetch(chain.clone(), hash, peer).boxed().fuse();
        }
        let event = select_biased! {
            () = stopped => return,
            failed = fetching => {
                if let Some(peer) = failed {
                    wanted.forget(&peer);
                }
                continue;
            }
            event = events.next().fuse() => event,
        };
        match event {
            None => return,
            Some(NetworkEvent::Connected { peer, handshake }) => {
                // The block protocol refuses peers of other chains.
                if handshake == chain.handshake() {
                    let waiting = chain.transactions().announcements();
                    for announcement in waiting {
                        chain.send(&peer, TRANSACTION_PROTOCOL, announcement.into());
                    }
                    chain.peer_connected(TRANSACTION_PROTOCOL, peer);
                }
            }
            Some(NetworkEvent::Disconnected { peer }) => {
                wanted.forget(&peer);
                chain.peer_disconnected(TRANSACTION_PROTOCOL, &peer);
            }
            Some(NetworkEvent::Message { peer, payload }) => match decode_limited(&payload, MAX_NOTIFICATION_BYTES) {
                Ok(TransactionMessage::Transaction(extrinsic)) => {
                    taken(&chain, &peer, submit(&chain, extrinsic, Some(&peer)).await);
                }
                Ok(TransactionMessage::Have(hashes)) => hashes.into_iter().for_each(|hash| wanted.add(hash, &peer)),
                Err(error) => chain.offence(&peer, &error),
            },
            Some(NetworkEvent::Request { peer, payload, respond }) => {
                match decode_limited::<Hash>(&payload, MAX_CHAIN_REQUEST_BYTES) {
                    // Dropping the request refuses it. The asker may have given up meanwhile.
                    Ok(hash) => drop(chain.transactions().encoded(&hash).cloned().map(|it| respond.answer(it))),
                    Err(error) => chain.offence(&peer, &error),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: u8) -> PeerId {
        PeerId::new(&[name]).unwrap()
    }

    #[test]
    fn whoever_else_has_it_is_asked_if_the_first_one_fails() {
        let mut wanted = Wanted::default();
        let (hash, other) = (Hash::repeat(1), Hash::repeat(2));
        for (hash, name) in [(hash, 1), (hash, 1), (hash, 2), (other, 1), (hash, 3)] {
            wanted.add(hash, &peer(name));
        }
        assert_eq!(wanted.next(|_| false), Some((hash, peer(1))));
        wanted.forget(&peer(1));
        assert_eq!(wanted.next(|_| false), Some((hash, peer(2))));
        assert_eq!(wanted.next(|known| *known == hash), None, "it is there");
    }

    #[test]
    fn a_peer_announces_so_many_and_another_one_has_its_turn() {
        let mut wanted = Wanted::default();
        for index in 0..WANTED_PER_PEER_MAX as u64 + 10 {
            wanted.add(primitives::blake2_256(&index.to_le_bytes()), &peer(1));
        }
        assert_eq!(wanted.by_peer[&peer(1)].len(), WANTED_PER_PEER_MAX);
        wanted.add(Hash::repeat(1), &peer(2));
        let turns: Vec<PeerId> = (0..4).filter_map(|_| wanted.next(|_| false)).map(|(_, peer)| peer).collect();
        assert_eq!(turns, [peer(1), peer(2), peer(1), peer(1)]);
    }
}
