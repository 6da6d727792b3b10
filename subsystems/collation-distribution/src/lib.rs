//! Collation distribution: candidates travel from collators to the validators of their group.
//!
//! **Role**: `collation-distribution`. **Step**: 2, a candidate is advertised and fetched.
//!
//! **Receives**: the heartbeat; `NetworkUpdate` on `coll` from network-bridge; on a collator `DistributeCollation` from
//! collation-generation; on a validator `FetchCollation` and `ReportCollator` from candidate-selection. **Sends**:
//! `NewCandidate` to candidate-selection; `SendMessage` and `ReportPeer` to network-bridge; from jobs `SendRequest` to
//! network-bridge and questions to runtime-api.
//!
//! **Invariants**: a collator declares itself once per connection, and advertises a collation to those validators only
//! that are in the group of its core or in the next one, and that work on its relay parent. A validator takes
//! advertisements from declared collators only, for relay parents in view; what it hands on hashes to what was
//! advertised. A refused collator stays refused, whatever peer it comes back as.
//!
//! **Limits**: [`DEPTH`] ancestors of a leaf in view; [`PEERS_MAX`] peers; [`COLLATORS_PER_PARA_MAX`] declared per para;
//! [`ADVERTISEMENTS_PER_COLLATOR_MAX`] and [`ADVERTISEMENTS_PER_RELAY_PARENT_MAX`] advertisements;
//! [`COLLATIONS_PER_RELAY_PARENT_MAX`] collations held; [`JOBS_MAX`] tasks, a fetch for [`FETCH_TIMEOUT`] at most;
//! [`BLACKLIST_MAX`] refused collators; sizes on the wire in [`wire`].
//!
//! **Conclude**: jobs are cancelled, fetches under way are dropped; nothing is kept.

#![forbid(unsafe_code)]

mod collator;
mod collator_side;
mod fetch;
#[cfg(test)]
mod tests;
mod validator;
mod validator_side;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use jobs::{Ending, Jobs};
use messages::candidate_selection::NewCandidate;
use messages::collation_distribution::CollationDistribution;
use messages::network_bridge::{PeerConduct, ReportPeer, SendMessage, SendRequest};
use messages::runtime_api::GetSessionContext;
use messages::{LeavesState, LeavesUpdate, RelayParents};
use overseer::wiring::FromJobs;
use overseer::{Ask, Cast, Context, Failure, Outlet, Subsystem, Wait};
use ports::{Keystore, PeerId};
use primitives::{Hash, ParaId};

/// How far behind a leaf a relay parent may be: a collation on the way when its leaf stops costs nobody anything.
pub const DEPTH: u32 = 3;
/// Peers looked after; more are neither heard nor told anything.
pub const PEERS_MAX: usize = 2048;
/// Peers that may be declared as collators of one para at a time.
pub const COLLATORS_PER_PARA_MAX: usize = 32;
/// Candidates that one collator may advertise per relay parent.
pub const ADVERTISEMENTS_PER_COLLATOR_MAX: usize = 2;
/// Advertisements kept per relay parent, of all collators.
pub const ADVERTISEMENTS_PER_RELAY_PARENT_MAX: usize = 1024;
/// Collations that a collator holds per relay parent; the newest stay.
pub const COLLATIONS_PER_RELAY_PARENT_MAX: usize = 2;
/// Tasks at once: fetches on a validator, questions for sessions on a collator.
pub const JOBS_MAX: usize = 64;
/// Longest wait for a collation. A slot has six seconds, and another may have to be tried.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(4);
/// Collators refused; the oldest is forgotten for a newer one.
pub const BLACKLIST_MAX: usize = 256;

/// Which end of the protocol this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Hears collators.
    Validator,
    /// Is one.
    Collator {
        /// The para it makes blocks for.
        para_id: ParaId,
    },
}

/// Carries collations on one side of the protocol.
pub struct CollationDistributionSubsystem {
    side: Side,
    keystore: Arc<dyn Keystore>,
    local_peer: PeerId,
}

impl CollationDistributionSubsystem {
    /// A collator signs with the keystore's collator key, and declares itself as `local_peer`, which must be the
    /// identity that its peers see. A collator's side without that key ends at once with
    /// [`ports::KeystoreError::NoCollatorKey`].
    pub fn new(side: Side, keystore: Arc<dyn Keystore>, local_peer: PeerId) -> Self {
        Self { side, keystore, local_peer }
    }
}

type Loop = Context<CollationDistributionSubsystem>;
type Ports = Outlet<FromJobs<CollationDistributionSubsystem>>;

impl Subsystem for CollationDistributionSubsystem {
    type Role = CollationDistribution;
    type View = RelayParents;
    type Sends = (Wait<NewCandidate>, Cast<SendMessage>, Cast<ReportPeer>);
    type JobSends = (Ask<SendRequest>, Ask<GetSessionContext>);

    async fn run(self, context: Loop) -> Result<(), Failure> {
        match self.side {
            Side::Validator => validator_side::run(context).await,
            Side::Collator { para_id } => collator_side::run(context, para_id, self.keystore, self.local_peer).await,
        }
    }
}

/// Opens what a heartbeat brings into view, with the ancestors that may still be worked on; returns what left it.
fn follow<T: Send + 'static>(leaves: &mut LeavesState, jobs: &mut Jobs<Hash, T>, update: &LeavesUpdate) -> Vec<Hash> {
    leaves.apply(update);
    for leaf in &update.started {
        jobs.open(leaf.hash, Ending::WhileInView(DEPTH));
        for ancestor in leaf.ancestors.iter().take(DEPTH as usize) {
            jobs.open(*ancestor, Ending::WhileInView(DEPTH));
        }
    }
    jobs.end_by_view(leaves)
}

fn report(context: &mut Loop, peer: PeerId, conduct: PeerConduct) {
    tracing::debug!(%peer, ?conduct, "peer is reported");
    if let Err(refused) = context.cast(ReportPeer::new(peer, conduct)) {
        tracing::warn!(%refused, "report was not taken");
    }
}
