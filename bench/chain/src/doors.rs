//! The chain's doors to the outside, leading nowhere: what is measured is the chain.

use std::{future::pending, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use deterministic::{BoxFuture, Compute, ComputeKind};
use ports::{
    Address, BlobStore, Network, NetworkError, NetworkEvent, NetworkStatistics, PeerId, ProtocolEvents, ProtocolId,
    RequestError, SendRefused, SendRefusedReason, StorageError,
};

/// Computes on the caller's thread: what a thread takes to wake up is the operating system's.
pub(crate) struct AtOnce;

impl Compute for AtOnce {
    fn run(&self, _kind: ComputeKind, _bytes: usize, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()> {
        work();
        Box::pin(async {})
    }
}

/// A network without anybody.
pub(crate) struct Nobody;

struct Silence;

#[async_trait]
impl ProtocolEvents for Silence {
    async fn next(&mut self) -> Option<NetworkEvent> {
        pending().await
    }
}

#[async_trait]
impl Network for Nobody {
    fn local_peer(&self) -> PeerId {
        PeerId::new(b"alone").expect("five bytes are a peer id")
    }

    fn listen_addresses(&self) -> Vec<Address> {
        Vec::new()
    }

    fn open(&self, _protocol: ProtocolId, _handshake: Bytes) -> Result<Box<dyn ProtocolEvents>, NetworkError> {
        Ok(Box::new(Silence))
    }

    fn send(&self, _peer: &PeerId, _protocol: ProtocolId, payload: Bytes) -> Result<(), SendRefused> {
        Err(SendRefused { payload, reason: SendRefusedReason::NotConnected })
    }

    async fn request(&self, _peer: &PeerId, _protocol: ProtocolId, _payload: Bytes) -> Result<Bytes, RequestError> {
        Err(RequestError::NotConnected)
    }

    fn connect(&self, _peer: &PeerId, _addresses: &[Address]) {}

    fn disconnect(&self, _peer: &PeerId, _refuse_for: Duration) {}

    fn statistics(&self) -> NetworkStatistics {
        NetworkStatistics::default()
    }
}

/// A disk that takes everything and keeps nothing: time on disk is told apart.
pub(crate) struct Void;

#[async_trait]
impl BlobStore for Void {
    async fn put(&self, _key: &str, _value: Bytes) -> Result<(), StorageError> {
        Ok(())
    }

    async fn get(&self, _key: &str) -> Result<Option<Bytes>, StorageError> {
        Ok(None)
    }

    async fn contains(&self, _key: &str) -> Result<bool, StorageError> {
        Ok(false)
    }

    async fn remove(&self, _key: &str) -> Result<(), StorageError> {
        Ok(())
    }

    async fn list(&self, _folder: &str) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }
}
