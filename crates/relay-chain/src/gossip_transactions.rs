//! Transactions between peers: checked in full on top of the best block before they are kept or passed on.
//!
//! Peers see blocks at different times, so that one that does not fit is no offence; a signature that does not hold is.

use std::sync::Arc;

use codec::Encode;
use deterministic::{ComputeError, ComputeKind, compute};
use futures::{FutureExt, pin_mut, select_biased};
use ports::{NetworkEvent, PeerId, ProtocolEvents};
use primitives::{Hash, decode_limited};
use runtime::{BlockError, EquivocationReport, Extrinsic, State};

use crate::{
    chain::Chain,
    gossip_reports,
    import::reverts_in,
    messages::{MAX_TRANSACTION_BYTES, TRANSACTION_PROTOCOL},
    reports::ReportRefused,
    transactions::{TRANSACTIONS_MAX, transaction_hash},
};

/// Forks that were given up, the highest ones, whose disputes are told again after a start.
pub(crate) const FORKS_TOLD_AGAIN_MAX: usize = 16;

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
    if chain.transactions().add(extrinsic.clone()).ok_or(TransactionRefused::Full)? {
        tracing::debug!(?hash, bytes = found, "transaction waits for a block");
        chain.broadcast(TRANSACTION_PROTOCOL, &extrinsic.encode().into(), from);
    }
    Ok(hash)
}

/// Reports an author who made two blocks in one slot, once: all who see both make the same report of them.
pub(crate) async fn report_equivocation(chain: &Chain, report: EquivocationReport) {
    let (validator, session) = (report.validator, report.session);
    match submit(chain, Extrinsic::Equivocation(Box::new(report)), None).await {
        Ok(_) => tracing::warn!(%validator, session, "an author made two blocks in one slot"),
        Err(error) => tracing::debug!(%validator, session, %error, "equivocation is not to be reported"),
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

/// The loop of the transaction protocol.
pub(crate) async fn run(chain: Arc<Chain>, mut events: Box<dyn ProtocolEvents>) {
    let stopped = chain.until_stopped().fuse();
    pin_mut!(stopped);
    loop {
        let event = select_biased! {
            () = stopped => return,
            event = events.next().fuse() => event,
        };
        match event {
            None => return,
            Some(NetworkEvent::Connected { peer, handshake }) => {
                // The block protocol refuses peers of other chains.
                if handshake == chain.handshake() {
                    let waiting: Vec<_> = chain.transactions().encoded().cloned().collect();
                    for transaction in waiting {
                        chain.send(&peer, TRANSACTION_PROTOCOL, transaction);
                    }
                    chain.peer_connected(TRANSACTION_PROTOCOL, peer);
                }
            }
            Some(NetworkEvent::Disconnected { peer }) => chain.peer_disconnected(TRANSACTION_PROTOCOL, &peer),
            Some(NetworkEvent::Message { peer, payload }) => {
                match decode_limited::<Extrinsic>(&payload, MAX_TRANSACTION_BYTES) {
                    Ok(extrinsic) => match submit(&chain, extrinsic, Some(&peer)).await {
                        Err(error) if error.is_offence() => chain.offence(&peer, &error),
                        Err(error) => tracing::debug!(%peer, %error, "transaction not taken"),
                        Ok(_) => {}
                    },
                    Err(error) => chain.offence(&peer, &error),
                }
            }
            // Nothing can be asked here: dropping the request refuses it.
            Some(NetworkEvent::Request { .. }) => {}
        }
    }
}
