//! The relay chain of one node: an embedded copy that authors, imports, finalizes and answers.
//!
//! **Role**: adapter behind [`ports::RuntimeClient`] (steps 8 and 11 of a candidate's way). Every node holds its own copy
//! and believes nobody: what peers send is executed before it is passed on.
//!
//! **Receives**: blocks (`blck`), finality votes and proofs (`fnal`), misbehavior reports (`rprt`) and other
//! transactions (`trxn`) through [`ports::Network`]; inherents from [`ports::InherentSource`], asked with a time limit;
//! from a [`VotingRule`] what may become final. **Sends**: the same four to peers, and [`ports::ChainEvent`]s to subscribers.
//!
//! **Invariants**:
//! - a block enters the tree only after size, slot, seal, claim and execution were checked and it was synced to disk; a
//!   refused block leaves no trace, and costs whoever sent it;
//! - answers to subsystems come from immutable snapshots and never wait for import, authoring or voting;
//! - all signatures go through [`ports::Keystore`]: one seal per slot, one vote per round and stage, or silence;
//! - a block is final when `finality-grandpa` holds more than two thirds of the votes for it, and the proof is on disk;
//! - an author of two blocks in one slot is reported by whoever sees both; a fork that includes a candidate which any
//!   fork has judged invalid is built on no more, and nothing that its state holds to be disputed is voted for;
//! - a node that is started on its disk continues where it was acknowledged to be.
//!
//! **Parts**: [`tree`], [`slots`], [`votes`], [`spec`], [`reports`], [`transactions`], [`justification`], [`messages`] are pure; [`import`], [`reverts`],
//! [`author`], [`sync`], [`serve`], [`finality`], [`storage`], [`snapshots`], [`upkeep`] do the work around them.
//!
//! **Limits** are named constants in these modules.

#![forbid(unsafe_code)]

pub mod author;
mod chain;
mod client;
pub mod finality;
mod gossip_reports;
mod gossip_transactions;
pub mod import;
pub mod index;
pub mod justification;
mod load;
pub mod messages;
pub mod reports;
pub mod reverts;
pub mod serve;
pub mod slots;
pub mod snapshots;
pub mod spec;
pub mod storage;
pub mod sync;
pub mod transactions;
pub mod tree;
pub mod upkeep;
pub mod verifier;
pub mod votes;

use std::sync::Arc;

use deterministic::Environment;
use ports::{BlobStore, Index, InherentSource, Keystore, Network, NetworkError, RuntimeClient, StorageError};
use primitives::{BlockNumber, Hash};
use runtime::{Block, Extrinsic, Genesis, GenesisError, State, Verifier};

pub use chain::{
    DOUBLE_VOTES_KEPT, FEED_CAPACITY, FEEDS_MAX, FinalizeError, MAX_OFFENCES, OFFENDERS_MAX, REFUSE_PEER_FOR,
};
pub use client::API_VERSION;
pub use finality::VotingRule;
pub use gossip_transactions::TransactionRefused;
pub use import::{ImportError, Imported};
pub use verifier::BatchVerifier;

use chain::{Chain, Settings};
use finality::{Finality, NoVoters};
use import::Source;
use index::BlockIndex;
use messages::{BLOCK_PROTOCOL, FINALITY_PROTOCOL, REPORT_PROTOCOL, TRANSACTION_PROTOCOL};
use slots::PARTS_PER_MILLION;
use storage::Storage;
use sync::Syncer;

/// What a chain is, and what this node does in it. All nodes of a chain have the same `genesis`, `slot_ms` and
/// `fork_probability`; peers that differ are refused.
pub struct RelayChainConfig {
    /// The first state.
    pub genesis: Genesis,
    /// Length of a slot, in milliseconds.
    pub slot_ms: u64,
    /// Share of slots in which more than one author is eligible, 0 to 1.
    pub fork_probability: f64,
    /// Whether this node authors blocks with the keys of its keystore.
    pub author: bool,
    /// Verifies the signatures of a block ([`BatchVerifier`], one after the other with [`runtime::DirectVerifier`], or a simulator's memo).
    pub verifier: Arc<dyn Verifier + Send + Sync>,
}

/// Why a chain does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The genesis is not acceptable.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A slot of no length.
    #[error("slot length is 0 ms, expected at least 1")]
    SlotLength,
    /// Not a probability.
    #[error("fork probability is {0}, expected 0 to 1")]
    ForkProbability(f64),
    /// The disk belongs to another chain.
    #[error("disk holds the chain with genesis {found:?}, expected {expected:?}")]
    ForeignChain {
        /// What this chain starts with.
        expected: Hash,
        /// What the disk says.
        found: Hash,
    },
    /// The disk cannot be read or written, or what is on it is not what was written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A block that is final according to the disk is missing there.
    #[error("finalized block {number} is not on disk")]
    MissingBlock {
        /// Its height.
        number: BlockNumber,
    },
    /// A finalized block on disk cannot be executed again.
    #[error("block {number} on disk cannot be executed: {source}")]
    Replay {
        /// Its height.
        number: BlockNumber,
        /// Why.
        source: Box<ImportError>,
    },
    /// A protocol cannot be opened.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// There is nobody to finalize.
    #[error(transparent)]
    NoVoters(#[from] NoVoters),
}

/// Where a chain stands, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainStatus {
    /// Head of the best chain.
    pub best: (Hash, BlockNumber),
    /// The finalized block.
    pub finalized: (Hash, BlockNumber),
    /// Heads of all forks.
    pub leaves: usize,
    /// Blocks imported since start.
    pub blocks: u64,
    /// Blocks imported since start whose parent had a child already.
    pub forks: u64,
    /// Blocks authored since start.
    pub authored: u64,
    /// Blocks refused since start that somebody is to blame for.
    pub refused: u64,
    /// Forks given up since start, because they include a candidate that was judged invalid.
    pub abandoned: u64,
    /// Alarms since start: candidates in finalized blocks that were judged invalid, and finalizations of what was given
    /// up. What is final stays; people must decide.
    pub too_late: u64,
    /// Voters found since start to have voted twice in one stage of one round: only more than a third of them could make
    /// two chains final. The proofs: [`RelayChain::double_votes`].
    pub double_votes: u64,
    /// Misbehavior reports that wait for a block.
    pub reports: usize,
    /// Transactions that wait for a block, or for theirs to become final.
    pub transactions: usize,
    /// The set of voters that finalizes the next block.
    pub set_id: u64,
    /// Peers on the block protocol.
    pub peers: usize,
}

/// What is held in memory, counted: none of it grows with the length of the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Blocks in the tree, each with its state.
    pub blocks: usize,
    /// Transactions and reports that wait.
    pub waiting: usize,
    /// Candidates that were judged invalid.
    pub condemned: usize,
    /// Peers whose offences are remembered.
    pub offenders: usize,
    /// Readers of events.
    pub feeds: usize,
}

/// A running chain. Its tasks end with [`stop`](Self::stop).
pub struct RelayChain {
    chain: Arc<Chain>,
}

impl std::fmt::Debug for RelayChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayChain").field("status", &self.status()).finish()
    }
}

impl RelayChain {
    /// Loads the chain from `blobs` (or begins one; `index` may know as much of them or as little as it likes), joins the network, and starts to import, finalize and, if configured,
    /// author. Without a keystore it only follows.
    ///
    /// # Errors
    /// [`Error`]; nothing runs then.
    ///
    /// # Cancel safety
    /// Dropping the future before it returns starts nothing, but protocols of the network may stay open.
    pub async fn start(
        config: RelayChainConfig,
        environment: Environment,
        network: Arc<dyn Network>,
        blobs: Arc<dyn BlobStore>,
        index: Arc<dyn Index>,
        keystore: Option<Arc<dyn Keystore>>,
    ) -> Result<Arc<Self>, Error> {
        let RelayChainConfig { genesis, slot_ms, fork_probability, author, verifier } = config;
        if slot_ms == 0 {
            return Err(Error::SlotLength);
        }
        if !(0.0..=1.0).contains(&fork_probability) {
            return Err(Error::ForkProbability(fork_probability));
        }
        let forks_per_million = (fork_probability * f64::from(PARTS_PER_MILLION)).round() as u32;
        let storage = Storage::new(blobs);
        let loaded = load::load(&storage, &environment, &genesis, forks_per_million).await?;
        let settings = Settings { genesis: loaded.genesis, slot_ms, forks_per_million, verifier };
        let index = BlockIndex::new(index, environment.clone());
        let chain = Arc::new(Chain::new(
            settings,
            environment,
            network,
            keystore.clone(),
            storage,
            index,
            loaded.tree,
            loaded.condemned,
        ));
        gossip_transactions::report_equivocations_again(&chain).await;
        gossip_transactions::tell_of_disputes_again(&chain).await;
        let (syncer, synced) = Syncer::new(chain.clone());
        let finality = Finality::new(chain.clone(), syncer.clone(), loaded.round, loaded.votes, loaded.finalized)?;
        let blocks = chain.network.open(BLOCK_PROTOCOL, chain.handshake())?;
        let votes = chain.network.open(FINALITY_PROTOCOL, chain.handshake())?;
        let reports = chain.network.open(REPORT_PROTOCOL, chain.handshake())?;
        let transactions = chain.network.open(TRANSACTION_PROTOCOL, chain.handshake())?;
        let spawner = chain.environment.spawner.clone();
        spawner.spawn("chain-blocks", Box::pin(sync::run(chain.clone(), blocks, syncer.clone(), synced)));
        spawner.spawn("chain-finality", Box::pin(finality.run(votes)));
        spawner.spawn("chain-reports", Box::pin(gossip_reports::run(chain.clone(), reports)));
        spawner.spawn("chain-upkeep", Box::pin(upkeep::run(chain.clone(), loaded.newest_snapshot)));
        spawner.spawn("chain-transactions", Box::pin(gossip_transactions::run(chain.clone(), transactions)));
        if let Some(keystore) = keystore.filter(|_| author) {
            spawner.spawn("chain-author", Box::pin(author::run(chain.clone(), syncer, keystore)));
        }
        Ok(Arc::new(Self { chain }))
    }

    /// Says where inherents come from; without it, or until then, blocks carry empty ones. Returns whether this was the
    /// first time: later sources are ignored.
    pub fn set_inherent_source(&self, source: Arc<dyn InherentSource>) -> bool {
        self.chain.inherent_source.set(source).is_ok()
    }

    /// Says what may become final beside what the chain's own state forbids. Returns whether this was the first time:
    /// later rules are ignored.
    pub fn set_voting_rule(&self, rule: Arc<dyn VotingRule>) -> bool {
        self.chain.voting_rule.set(rule).is_ok()
    }

    /// The door for subsystems.
    pub fn client(&self) -> Arc<dyn RuntimeClient> {
        Arc::new(client::Client(self.chain.clone()))
    }

    /// Hash of the genesis block.
    pub fn genesis_hash(&self) -> Hash {
        self.chain.settings.genesis
    }

    /// Where the chain stands.
    pub fn status(&self) -> ChainStatus {
        let counters = *self.chain.counters();
        let peers = self.chain.peers(BLOCK_PROTOCOL).len();
        let reports = self.chain.reports().len();
        let transactions = self.chain.transactions().len();
        let tree = self.chain.tree();
        let numbered = |(hash, entry): (Hash, &tree::Entry<chain::BlockData>)| (hash, entry.header.number);
        ChainStatus {
            best: numbered(tree.best()),
            finalized: numbered(tree.finalized()),
            leaves: tree.leaves().len(),
            blocks: counters.imported,
            forks: counters.forks,
            authored: counters.authored,
            refused: counters.refused,
            abandoned: counters.abandoned,
            too_late: counters.too_late,
            double_votes: counters.double_votes,
            reports,
            transactions,
            set_id: tree.finalized().1.data.set_id,
            peers,
        }
    }

    /// The head that a block authored now would be built on: the best one without a dispute, if there is one.
    pub fn building_on(&self) -> Hash {
        self.chain.to_build_on().hash
    }

    /// Proofs that voters voted twice, the newest [`DOUBLE_VOTES_KEPT`] since start. They are kept for people; the chain
    /// slashes nobody for them.
    pub fn double_votes(&self) -> Vec<justification::DoubleVote> {
        self.chain.double_votes()
    }

    /// What is held in memory.
    pub fn held(&self) -> Held {
        self.chain.held()
    }

    /// Checks a block and takes it into the tree, as if a peer had sent it; it is not announced.
    ///
    /// # Errors
    /// Why it is refused; nothing has changed then.
    ///
    /// # Cancel safety
    /// If the future is dropped the block may have been stored without being in the tree; a later start finds it.
    pub async fn import(&self, block: Block) -> Result<Imported, ImportError> {
        self.chain.import(block, Source::Peer).await
    }

    /// Checks a transaction on top of the best block, keeps it for the next blocks and tells the peers. Returns its hash.
    ///
    /// # Errors
    /// Why it is refused.
    ///
    /// # Cancel safety
    /// If the future is dropped the transaction may have been taken or not.
    pub async fn submit(&self, transaction: Extrinsic) -> Result<Hash, TransactionRefused> {
        gossip_transactions::submit(&self.chain, transaction, None).await
    }

    /// A block in the tree with its state; `None` if it is unknown or was pruned.
    pub fn block(&self, hash: &Hash) -> Option<(Arc<Block>, Arc<State>)> {
        self.chain.snapshot(hash).map(|known| (known.data.block, known.data.state))
    }

    /// Ends all tasks. Feeds end; what was acknowledged is on disk. The client goes on answering.
    pub fn stop(&self) {
        self.chain.stop();
    }
}
