//! Messages between parachains and the relay chain, as commitments and state carry them.

use codec::{Decode, Encode};

use crate::{
    BlockNumber, BoundedVec, CoreIndex, ParaId,
    limits::{MAX_APPROVED_PEER_ID, MAX_HORIZONTAL_MESSAGES, MAX_UMP_SIGNALS, MAX_UPWARD_MESSAGES},
};

/// A message from a parachain to the relay chain.
pub type UpwardMessage = Vec<u8>;
/// The upward messages of one candidate.
pub type UpwardMessages = BoundedVec<UpwardMessage, MAX_UPWARD_MESSAGES>;
/// The horizontal messages of one candidate.
pub type HorizontalMessages = BoundedVec<OutboundHrmpMessage, MAX_HORIZONTAL_MESSAGES>;

/// A message to another parachain, seen from its sender.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct OutboundHrmpMessage {
    /// Who is to get it.
    pub recipient: ParaId,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// A message from another parachain, seen from its recipient.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct InboundHrmpMessage {
    /// The relay-chain block at which it was sent.
    pub sent_at: BlockNumber,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// A message from the relay chain to a parachain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct InboundDownwardMessage {
    /// The relay-chain block at which it was sent.
    pub sent_at: BlockNumber,
    /// Its bytes.
    pub msg: Vec<u8>,
}

/// A directed channel between two parachains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct HrmpChannelId {
    /// Who sends.
    pub sender: ParaId,
    /// Who receives.
    pub recipient: ParaId,
}

/// What a parachain tells the relay chain about its candidate; follows the separator in the upward messages.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum UmpSignal {
    /// The core: selector (modulo the number of assigned cores) and offset into the claim queue.
    #[codec(index = 0)]
    SelectCore(u8, u8),
    /// A peer whose collations are welcome.
    #[codec(index = 1)]
    ApprovedPeer(ApprovedPeerId),
}

/// A peer id, opaque here.
pub type ApprovedPeerId = BoundedVec<u8, MAX_APPROVED_PEER_ID>;

/// The signals of one candidate, at most one of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UmpSignals {
    /// Core selector and claim-queue offset.
    pub select_core: Option<(u8, u8)>,
    /// The approved peer.
    pub approved_peer: Option<ApprovedPeerId>,
}

/// Why the signals of a candidate, or its core, are not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UmpSignalError {
    /// More signals than kinds of them.
    #[error("more than {MAX_UMP_SIGNALS} signals follow the separator")]
    TooMany,
    /// Two signals of one kind.
    #[error("the same kind of signal appears twice")]
    Duplicate,
    /// The bytes are no signal.
    #[error("a message behind the separator is no signal")]
    Undecodable,
    /// Descriptors of version 1 know no signals.
    #[error("a descriptor of version 1 cannot carry signals")]
    NotWithV1,
    /// Descriptors of version 3 need at least one signal.
    #[error("a descriptor of version 3 must carry a signal")]
    RequiredByV3,
    /// The descriptor's version is unknown.
    #[error("descriptor has unknown version {0}")]
    UnknownVersion(u8),
    /// The para is on no core at that place of the claim queue.
    #[error("para {para} is assigned to no core at claim queue offset {offset}")]
    NoAssignment {
        /// The para.
        para: ParaId,
        /// The offset that its candidate selected.
        offset: u8,
    },
    /// The descriptor names a core that is not the para's.
    #[error("core {0} of the descriptor is not assigned to the para")]
    CoreNotAssigned(CoreIndex),
    /// The descriptor names another core than the signal selects.
    #[error("descriptor names core {descriptor}, the commitments select core {selected}")]
    CoreMismatch {
        /// Core in the descriptor.
        descriptor: CoreIndex,
        /// Core that follows from the signals.
        selected: CoreIndex,
    },
}

impl UmpSignals {
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.select_core.is_none() && self.approved_peer.is_none()
    }

    /// Reads the signals out of a candidate's upward messages: those behind the first empty message.
    ///
    /// # Errors
    /// [`UmpSignalError::TooMany`], [`UmpSignalError::Duplicate`] or [`UmpSignalError::Undecodable`].
    pub fn from_messages(messages: &[UpwardMessage]) -> Result<Self, UmpSignalError> {
        let mut signals = Self::default();
        let Some(separator) = messages.iter().position(Vec::is_empty) else {
            return Ok(signals);
        };
        for (position, message) in messages[separator + 1..].iter().enumerate() {
            if position == MAX_UMP_SIGNALS {
                return Err(UmpSignalError::TooMany);
            }
            // Trailing bytes behind a signal are allowed today, so they are here.
            match UmpSignal::decode(&mut message.as_slice()).map_err(|_| UmpSignalError::Undecodable)? {
                UmpSignal::SelectCore(selector, offset) if signals.select_core.is_none() => {
                    signals.select_core = Some((selector, offset));
                }
                UmpSignal::ApprovedPeer(peer) if signals.approved_peer.is_none() => signals.approved_peer = Some(peer),
                _ => return Err(UmpSignalError::Duplicate),
            }
        }
        Ok(signals)
    }
}

/// The upward messages that are for execution: those before the separator.
pub fn messages_without_signals(messages: &[UpwardMessage]) -> &[UpwardMessage] {
    let end = messages.iter().position(Vec::is_empty).unwrap_or(messages.len());
    &messages[..end]
}
