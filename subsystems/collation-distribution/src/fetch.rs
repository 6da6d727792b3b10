//! One fetch of an advertised collation: ask, decode, compare with what was advertised.

use std::time::Duration;

use bytes::Bytes;
use codec::Encode as _;
use deterministic::{ComputeKind, Environment, compute, timeout};
use messages::collation_distribution::{FetchCollation, FetchCollationError, FetchedCollation};
use messages::network_bridge::{COLLATION_PROTOCOL, PeerConduct, Recipient, SendRequest};
use overseer::AskError;
use ports::RequestError;
use primitives::{Hash, ParaId};

use crate::wire::{self, CollationRequest};
use crate::{FETCH_TIMEOUT, Ports};

/// Why a fetch failed, and what the peer is to be reported for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) error: FetchCollationError,
    pub(crate) conduct: Option<PeerConduct>,
}

fn network(what: impl std::fmt::Display, conduct: Option<PeerConduct>) -> Failed {
    Failed { error: FetchCollationError::Network(what.to_string()), conduct }
}

fn mismatch(what: impl std::fmt::Display, conduct: PeerConduct) -> Failed {
    Failed { error: FetchCollationError::Mismatch(what.to_string()), conduct: Some(conduct) }
}

/// Fetches a collation that a collator of `para_id` advertised.
pub(crate) async fn fetch(
    ask: Ports,
    environment: Environment,
    wanted: FetchCollation,
    para_id: ParaId,
) -> Result<FetchedCollation, Failed> {
    let FetchCollation { relay_parent, peer, candidate_hash } = wanted.clone();
    let payload = CollationRequest { relay_parent, candidate_hash }.encode().into();
    let request = SendRequest { to: Recipient::Peer(peer), protocol: COLLATION_PROTOCOL, payload };
    let answer = timeout(&*environment.clock, FETCH_TIMEOUT, ask.ask(request)).await;
    let response = answered(answer, FETCH_TIMEOUT)?;
    let fetched = wire::decode_response(response)
        .map_err(|error| mismatch(error, PeerConduct::CostMalformed))?
        .ok_or_else(|| network("peer no longer holds what it advertised", Some(PeerConduct::CostTimeout)))?;
    check_receipt(&wanted, para_id, &fetched)?;
    let (pov, size) = (fetched.pov.clone(), fetched.pov.encoded_len());
    let hash = compute(&*environment.compute, ComputeKind::Hash, size, move || pov.hash())
        .await
        .map_err(|error| network(error, None))?;
    let expected = fetched.receipt.descriptor.pov_hash();
    if hash != expected {
        return Err(differs("hash of the proof of validity", hash, expected));
    }
    Ok(fetched)
}

fn answered(answer: Option<Result<Result<Bytes, RequestError>, AskError>>, limit: Duration) -> Result<Bytes, Failed> {
    match answer {
        None => Err(network(format_args!("no answer within {limit:?}"), Some(PeerConduct::CostTimeout))),
        Some(Err(error)) => Err(network(error, None)),
        Some(Ok(Err(error))) => {
            let conduct = match error {
                RequestError::TimedOut | RequestError::Refused => Some(PeerConduct::CostTimeout),
                // The request is of fixed size: it is the answer that is too large.
                RequestError::TooLarge => Some(PeerConduct::CostMalformed),
                RequestError::NotConnected => None,
            };
            Err(network(error, conduct))
        }
        Some(Ok(Ok(response))) => Ok(response),
    }
}

fn check_receipt(wanted: &FetchCollation, para_id: ParaId, fetched: &FetchedCollation) -> Result<(), Failed> {
    let (hash, descriptor) = (fetched.receipt.hash(), &fetched.receipt.descriptor);
    if hash != wanted.candidate_hash {
        return Err(differs("hash of the receipt", hash.0, wanted.candidate_hash.0));
    }
    if descriptor.relay_parent() != wanted.relay_parent {
        return Err(differs("relay parent", descriptor.relay_parent(), wanted.relay_parent));
    }
    if descriptor.para_id() != para_id {
        let found = descriptor.para_id();
        return Err(mismatch(format_args!("para {found}, declared was para {para_id}"), PeerConduct::CostInvalid));
    }
    Ok(())
}

fn differs(what: &str, found: Hash, expected: Hash) -> Failed {
    mismatch(format_args!("{what} is {found:?}, expected {expected:?}"), PeerConduct::CostInvalid)
}
