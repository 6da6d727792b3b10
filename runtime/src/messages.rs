//! Messages module (RT-11), as far as this chain has queues: upward messages are kept for one block and then handed
//! out; no channel between paras can be opened, and nothing is sent downward.
//!
//! Stores: upward messages of one block and the watermarks.
//!
//! Entry points: none of its own; inclusion checks and enacts.
//!
//! Order: at the begin of a block, after the guide's modules, it hands out the messages. At a session change it
//! forgets paras that are gone.

use codec::{Decode, Encode};
use primitives::{
    BlockNumber, CandidateCommitments, HostConfiguration, ParaId,
    messages::{UpwardMessage, messages_without_signals},
};
use std::collections::BTreeMap;

/// Why a candidate's messages are not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// More upward messages than a candidate may send.
    #[error("{found} upward messages, at most {max} are allowed")]
    TooManyUpward {
        /// How many.
        found: usize,
        /// How many there may be.
        max: u32,
    },
    /// An upward message is too large.
    #[error("upward message of {found} bytes, at most {max} are allowed")]
    UpwardSize {
        /// Size, in bytes.
        found: usize,
        /// Most, in bytes.
        max: u32,
    },
    /// All of them together are too large.
    #[error("upward messages of {found} bytes in total, the queue holds {max}")]
    UpwardQueueSize {
        /// Size, in bytes.
        found: usize,
        /// Most, in bytes.
        max: u32,
    },
    /// There is no channel to that para.
    #[error("no channel to para {0}")]
    NoChannel(ParaId),
    /// More downward messages processed than there are.
    #[error("{found} downward messages processed, {queued} were queued")]
    DownwardCount {
        /// Processed, says the candidate.
        found: u32,
        /// How many there are.
        queued: u32,
    },
    /// The watermark goes back, or beyond the relay parent.
    #[error("watermark is {found}, expected {least} to {most}")]
    Watermark {
        /// In the commitments.
        found: BlockNumber,
        /// The para's last one.
        least: BlockNumber,
        /// The relay parent's number.
        most: BlockNumber,
    },
}

/// Queues and watermarks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Messages {
    /// Sent in this block; handed out when the next one begins.
    upward: Vec<(ParaId, Vec<UpwardMessage>)>,
    watermarks: BTreeMap<ParaId, BlockNumber>,
}

impl Messages {
    /// Checks the messages of a candidate before it is backed.
    pub(crate) fn check(
        &self,
        para: ParaId,
        commitments: &CandidateCommitments,
        relay_parent_number: BlockNumber,
        configuration: &HostConfiguration,
    ) -> Result<(), MessageError> {
        let upward = messages_without_signals(&commitments.upward_messages);
        let max = configuration.max_upward_message_num_per_candidate.min(configuration.max_upward_queue_count);
        if upward.len() > max as usize {
            return Err(MessageError::TooManyUpward { found: upward.len(), max });
        }
        let max = configuration.max_upward_message_size;
        if let Some(message) = upward.iter().find(|message| message.len() > max as usize) {
            return Err(MessageError::UpwardSize { found: message.len(), max });
        }
        let total: usize = upward.iter().map(Vec::len).sum();
        if total > configuration.max_upward_queue_size as usize {
            return Err(MessageError::UpwardQueueSize { found: total, max: configuration.max_upward_queue_size });
        }
        if let Some(message) = commitments.horizontal_messages.first() {
            return Err(MessageError::NoChannel(message.recipient));
        }
        if commitments.processed_downward_messages != 0 {
            return Err(MessageError::DownwardCount { found: commitments.processed_downward_messages, queued: 0 });
        }
        let (found, most) = (commitments.hrmp_watermark, relay_parent_number);
        let least = self.watermarks.get(&para).copied().unwrap_or(0);
        if found < least || found > most {
            return Err(MessageError::Watermark { found, least, most });
        }
        Ok(())
    }

    /// Takes over the messages of a candidate that has been included.
    pub(crate) fn enact(&mut self, para: ParaId, commitments: &CandidateCommitments) {
        let upward = messages_without_signals(&commitments.upward_messages);
        if !upward.is_empty() {
            self.upward.push((para, upward.to_vec()));
        }
        self.watermarks.insert(para, commitments.hrmp_watermark);
    }

    /// Whether there is anything to hand out.
    pub(crate) fn has_upward(&self) -> bool {
        !self.upward.is_empty()
    }

    /// Initialization: hands out what was sent in the block before.
    pub(crate) fn dispatch(&mut self) -> Vec<(ParaId, Vec<UpwardMessage>)> {
        std::mem::take(&mut self.upward)
    }

    /// Forgets paras that are gone.
    pub(crate) fn on_session_change(&mut self, is_registered: impl Fn(ParaId) -> bool) {
        self.watermarks.retain(|para, _| is_registered(*para));
    }

    /// Messages and bytes that wait for a para.
    pub(crate) fn upward_queue(&self, para: ParaId) -> (u32, u32) {
        let queued = self.upward.iter().filter(|(sender, _)| *sender == para);
        let (count, size) = queued.fold((0_usize, 0_usize), |(count, size), (_, messages)| {
            let bytes: usize = messages.iter().map(Vec::len).sum();
            (count.saturating_add(messages.len()), size.saturating_add(bytes))
        });
        // Both are bounded by the configuration, whose limits are 32 bits wide.
        (u32::try_from(count).unwrap_or(u32::MAX), u32::try_from(size).unwrap_or(u32::MAX))
    }
}
