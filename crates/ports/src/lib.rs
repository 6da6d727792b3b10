//! The doors between the node and the outside, as traits.
//!
//! **Role**: every subsystem reaches the chain, the network, the disk, wasm and keys only through a trait of this
//! crate (time, randomness, spawning and computing come from [`deterministic::Environment`]). Adapters behind them live
//! in `crates/{keystore,validation-executor,network,store,relay-chain}`; the simulator puts its own in.
//!
//! **Invariants**: every trait here is object-safe (hence `async-trait`); no implementation may panic on foreign
//! input; a method that waits says for what; what is acknowledged by a storage method is synced.
//!
//! **Limits** are named constants beside the trait they bound.

mod collator;
mod keystore;
mod network;
mod runtime;
mod storage;
mod validation;

pub use collator::{Collation, CollationContext, Collator, InherentSource, InherentSourceError};
pub use keystore::{Claim, FinalityStage, ForgetBefore, Keystore, KeystoreError};
pub use network::{
    Address, MAX_HANDSHAKE_BYTES, MAX_NOTIFICATION_BYTES, MAX_PEER_ID_BYTES, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES,
    Network, NetworkError, NetworkEvent, NetworkStatistics, PROTOCOL_QUEUE_BYTES, PROTOCOL_QUEUE_MESSAGES, PeerId,
    ProtocolEvents, ProtocolId, RequestError, SendRefused, SendRefusedReason,
};
pub use runtime::{
    CandidateOfSession, ChainEvent, ImportedBlock, OpenDispute, RuntimeClient, RuntimeError, SessionContext,
};
pub use storage::{BlobStore, Index, IndexBatch, IndexEntry, MAX_INDEX_VALUE_BYTES, StorageError};
pub use validation::{
    APPROVAL_CPU_TIMEOUT, BACKING_CPU_TIMEOUT, ExecutionPurpose, ExecutionRequest, ValidationBackend, ValidationError,
};
