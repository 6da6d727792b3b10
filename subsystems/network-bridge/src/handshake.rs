//! What two nodes say first on each substream: which chain, which role, which session key.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use codec::{Decode, Encode};
use messages::network_bridge::{ObservedRole, PeerInfo};
use ports::{Claim, Keystore, MAX_HANDSHAKE_BYTES, PeerId};
use primitives::bounded::{DecodeError, decode_limited};
use primitives::{Hash, SessionIndex, ValidatorId, ValidatorSignature};

/// Version of the handshake and of all protocols behind it.
pub const PROTOCOL_VERSION: u32 = 1;
/// The session that the proof of a session key names: it holds for as long as the key is in the keystore.
const IDENTITY_SESSION: SessionIndex = 0;
/// Checked handshakes remembered: a peer says the same on each of its protocols.
const CHECKED_MAX: usize = 4096;

/// The first message on a substream. `version` stays in front for ever, so that versions know each other apart.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Handshake {
    pub(crate) version: u32,
    pub(crate) genesis_hash: Hash,
    pub(crate) role: ObservedRole,
    pub(crate) authority: Option<AuthorityProof>,
}

/// A session key's signature over the network identity of the one who shows it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct AuthorityProof {
    pub(crate) key: ValidatorId,
    pub(crate) session: SessionIndex,
    pub(crate) signature: ValidatorSignature,
}

/// Why a peer is not spoken to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    /// No handshake at all.
    #[error("handshake cannot be decoded: {0}")]
    Malformed(DecodeError),
    /// It speaks other protocols.
    #[error("peer speaks version {0}, expected {PROTOCOL_VERSION}")]
    OtherVersion(u32),
    /// It follows another chain.
    #[error("genesis of the peer is {0:?}")]
    OtherChain(Hash),
    /// It claims a key that it does not hold.
    #[error("proof of authority {0:?} is wrong")]
    WrongProof(ValidatorId),
}

/// Our handshake. Proves the first validator key of the keystore; without one, or if the journal refuses, we are
/// nobody in particular.
pub(crate) async fn ours(keystore: &dyn Keystore, local: &PeerId, genesis_hash: Hash, role: ObservedRole) -> Bytes {
    let mut authority = None;
    if let Some(key) = keystore.validator_ids().first().copied() {
        let claim = Claim::PeerIdentity { peer: local.as_bytes().to_vec(), session: IDENTITY_SESSION };
        match keystore.sign(&key, &claim).await {
            Ok(signature) => authority = Some(AuthorityProof { key, session: IDENTITY_SESSION, signature }),
            Err(error) => tracing::warn!(%error, ?key, "peers will not know us as a validator"),
        }
    }
    Handshake { version: PROTOCOL_VERSION, genesis_hash, role, authority }.encode().into()
}

fn check(genesis_hash: Hash, peer: &PeerId, bytes: &[u8]) -> Result<PeerInfo, Rejection> {
    // Another version may have another shape: look at its number before anything else.
    let version = u32::decode(&mut &bytes[..]).map_err(|error| Rejection::Malformed(DecodeError::Malformed(error)))?;
    if version != PROTOCOL_VERSION {
        return Err(Rejection::OtherVersion(version));
    }
    let handshake: Handshake = decode_limited(bytes, MAX_HANDSHAKE_BYTES).map_err(Rejection::Malformed)?;
    if handshake.genesis_hash != genesis_hash {
        return Err(Rejection::OtherChain(handshake.genesis_hash));
    }
    if let Some(AuthorityProof { key, session, signature }) = &handshake.authority {
        let claim = Claim::PeerIdentity { peer: peer.as_bytes().to_vec(), session: *session };
        if *session != IDENTITY_SESSION || !key.verify(&claim.payload(), signature) {
            return Err(Rejection::WrongProof(*key));
        }
    }
    Ok(PeerInfo { role: handshake.role, authority: handshake.authority.map(|proof| proof.key) })
}

/// Checks handshakes; a peer's signature is verified once, not once per protocol. Shared by all pumps.
pub(crate) struct Doorkeeper {
    genesis_hash: Hash,
    checked: Mutex<BTreeMap<PeerId, (Bytes, PeerInfo)>>,
}

impl Doorkeeper {
    pub(crate) fn new(genesis_hash: Hash) -> Self {
        Self { genesis_hash, checked: Mutex::default() }
    }

    fn checked(&self) -> std::sync::MutexGuard<'_, BTreeMap<PeerId, (Bytes, PeerInfo)>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the peer is, or why it is not spoken to.
    pub(crate) fn admit(&self, peer: &PeerId, handshake: &Bytes) -> Result<PeerInfo, Rejection> {
        if let Some((bytes, info)) = self.checked().get(peer)
            && bytes == handshake
        {
            return Ok(info.clone());
        }
        let info = check(self.genesis_hash, peer, handshake)?;
        let mut checked = self.checked();
        if checked.len() < CHECKED_MAX {
            checked.insert(peer.clone(), (handshake.clone(), info.clone()));
        }
        Ok(info)
    }

    /// The peer is gone.
    pub(crate) fn forget(&self, peer: &PeerId) {
        self.checked().remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use mocks::fixtures::{hash, peer};
    use mocks::keystore::TestKeystore;
    use primitives::Pair;

    use super::*;

    fn shown_by(local: u8) -> Bytes {
        let keystore = TestKeystore::new(vec![Pair::from_name("v")]);
        ours(&*keystore, &peer(local), hash(1), ObservedRole::Validator).now_or_never().unwrap()
    }

    #[test]
    fn a_validator_proves_its_key_and_others_none() {
        let key = ValidatorId(Pair::from_name("v").public());
        let info = Doorkeeper::new(hash(1)).admit(&peer(7), &shown_by(7)).unwrap();
        assert_eq!(info, PeerInfo { role: ObservedRole::Validator, authority: Some(key) });
        let keystore = TestKeystore::new(Vec::new());
        let full = ours(&*keystore, &peer(7), hash(1), ObservedRole::Full).now_or_never().unwrap();
        let info = Doorkeeper::new(hash(1)).admit(&peer(7), &full).unwrap();
        assert_eq!(info, PeerInfo { role: ObservedRole::Full, authority: None });
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = Handshake::decode(&mut &shown_by(7)[..]).unwrap();
        let key = good.authority.as_ref().unwrap().key;
        let other_session = AuthorityProof { session: 1, ..good.authority.clone().unwrap() };
        let cases = [
            (Handshake { version: 2, ..good.clone() }.encode(), Rejection::OtherVersion(2)),
            (Handshake { genesis_hash: hash(2), ..good.clone() }.encode(), Rejection::OtherChain(hash(2))),
            (Handshake { authority: Some(other_session), ..good.clone() }.encode(), Rejection::WrongProof(key)),
            // Another peer's proof, shown again.
            (shown_by(8).to_vec(), Rejection::WrongProof(key)),
        ];
        let doorkeeper = Doorkeeper::new(hash(1));
        doorkeeper.admit(&peer(7), &good.encode().into()).unwrap();
        for (bytes, rejection) in cases {
            assert_eq!(doorkeeper.admit(&peer(7), &bytes.into()), Err(rejection));
        }
        let mut trailing = good.encode();
        trailing.push(0);
        for bytes in [Vec::new(), vec![1], vec![1, 0, 0, 0], trailing] {
            assert!(matches!(doorkeeper.admit(&peer(7), &bytes.into()), Err(Rejection::Malformed(_))));
        }
    }
}
