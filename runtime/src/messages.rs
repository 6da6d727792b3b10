//! Messages module (RT-11): what paras send to the relay chain, to each other, and what the relay chain sends to them.
//!
//! Stores: upward messages of one block, the downward queues, the channels with what waits in them, and the watermarks
//! (docs/adr/0021-message-queues.md).
//!
//! Entry points: sending downward, opening and closing a channel, all of governance origin. The messages of candidates
//! are checked and enacted by inclusion.
//!
//! Order: at the begin of a block, after the guide's modules, it hands out the upward messages. At a session change
//! channels open and close, and what belongs to paras that are gone is removed.

use codec::Encode;
use primitives::{
    BlockNumber, CandidateCommitments, HostConfiguration, InboundDownwardMessage, InboundHrmpMessage, ParaId,
    messages::{HrmpChannelId, UpwardMessage, messages_without_signals},
};
use std::{collections::BTreeMap, sync::Arc};

use crate::{
    ChannelError, State,
    channels::Channels,
    limits::{MAX_DOWNWARD_MESSAGES, MAX_DOWNWARD_QUEUE_SIZE},
    queue::Queue,
};

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
    /// More horizontal messages than a candidate may send.
    #[error("{found} horizontal messages, at most {max} are allowed")]
    TooManyHorizontal {
        /// How many.
        found: usize,
        /// How many there may be.
        max: u32,
    },
    /// Two horizontal messages to one para, or out of order.
    #[error("message to para {second} follows that to {first}, expected ascending recipients")]
    RecipientOrder {
        /// The earlier message's.
        first: ParaId,
        /// The later message's.
        second: ParaId,
    },
    /// There is no channel to that para.
    #[error("no channel to para {0}")]
    NoChannel(ParaId),
    /// A horizontal message is too large.
    #[error("message of {found} bytes to para {recipient}, at most {max} are allowed")]
    HorizontalSize {
        /// Whom it is for.
        recipient: ParaId,
        /// Size, in bytes.
        found: usize,
        /// Most, in bytes.
        max: u32,
    },
    /// The channel has no room for a message more.
    #[error("{queued} messages wait in the channel to para {recipient}, it holds {max}")]
    ChannelCapacity {
        /// Where it leads.
        recipient: ParaId,
        /// How many wait.
        queued: u32,
        /// How many it holds.
        max: u32,
    },
    /// The channel has no room for so many bytes.
    #[error("{found} bytes with this message in the channel to para {recipient}, it holds {max}")]
    ChannelSize {
        /// Where it leads.
        recipient: ParaId,
        /// Size of what waits and of the message, in bytes.
        found: usize,
        /// Most, in bytes.
        max: u32,
    },
    /// More downward messages processed than were there at the relay parent, or none of them.
    #[error("{found} downward messages processed, expected {least} to {most}")]
    DownwardCount {
        /// Processed, says the candidate.
        found: u32,
        /// One, if there are any.
        least: u32,
        /// How many there are.
        most: u32,
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
    /// The watermark is before the relay parent, and nothing was sent to the para there.
    #[error("watermark is {found}, expected {relay_parent} or a block that sent a message to the para")]
    EmptyWatermark {
        /// In the commitments.
        found: BlockNumber,
        /// The relay parent's number.
        relay_parent: BlockNumber,
    },
}

/// Why a message is not sent to a para.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DownwardError {
    /// There is no such para.
    #[error("para {0} is not registered, expected a registered para")]
    UnknownPara(ParaId),
    /// It is too large.
    #[error("downward message of {found} bytes, at most {max} are allowed")]
    MessageSize {
        /// Size, in bytes.
        found: usize,
        /// Most, in bytes.
        max: u32,
    },
    /// Too many wait for the para.
    #[error("{MAX_DOWNWARD_MESSAGES} downward messages wait for para {0}, the queue holds no more")]
    QueueFull(ParaId),
    /// Too many bytes wait for the para.
    #[error("{found} bytes with this message in the queue of para {para}, it holds {MAX_DOWNWARD_QUEUE_SIZE}")]
    QueueSize {
        /// The para.
        para: ParaId,
        /// Size of what waits and of the message, in bytes.
        found: usize,
    },
}

/// Queues and watermarks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode)]
pub(crate) struct Messages {
    /// Sent in this block; handed out when the next one begins.
    pub(crate) upward: Vec<(ParaId, Vec<UpwardMessage>)>,
    /// Of each para that was ever sent something.
    pub(crate) downward: BTreeMap<ParaId, Arc<Queue>>,
    pub(crate) channels: Channels,
    pub(crate) watermarks: BTreeMap<ParaId, BlockNumber>,
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
        check_upward(&commitments.upward_messages, configuration)?;
        self.channels.check(para, &commitments.horizontal_messages, configuration)?;
        self.check_downward(para, commitments.processed_downward_messages, relay_parent_number)?;
        self.check_watermark(para, commitments.hrmp_watermark, relay_parent_number)
    }

    /// A candidate processes what its relay parent shows it: at least one message if there are any, so that a queue
    /// is emptied some time.
    fn check_downward(&self, para: ParaId, found: u32, relay_parent_number: BlockNumber) -> Result<(), MessageError> {
        let visible = self.downward.get(&para).map_or(0, |queue| queue.sent_until(relay_parent_number));
        let most = u32::try_from(visible).unwrap_or(u32::MAX);
        let least = most.min(1);
        if found < least || found > most {
            return Err(MessageError::DownwardCount { found, least, most });
        }
        Ok(())
    }

    fn check_watermark(&self, para: ParaId, found: BlockNumber, relay_parent: BlockNumber) -> Result<(), MessageError> {
        let (least, most) = (self.watermarks.get(&para).copied().unwrap_or(0), relay_parent);
        if found < least || found > most {
            return Err(MessageError::Watermark { found, least, most });
        }
        if found != relay_parent && !self.channels.inbound(para).any(|(_, queue)| queue.has_sent_at(found)) {
            return Err(MessageError::EmptyWatermark { found, relay_parent });
        }
        Ok(())
    }

    /// Takes over the messages of a candidate that block `now` includes.
    pub(crate) fn enact(&mut self, para: ParaId, commitments: &CandidateCommitments, now: BlockNumber) {
        let upward = messages_without_signals(&commitments.upward_messages);
        if !upward.is_empty() {
            self.upward.push((para, upward.to_vec()));
        }
        let processed = commitments.processed_downward_messages as usize;
        if let Some(queue) = self.downward.get_mut(&para).filter(|_| processed > 0) {
            Arc::make_mut(queue).drop_first(processed);
        }
        self.channels.prune(para, commitments.hrmp_watermark);
        self.channels.send(para, &commitments.horizontal_messages, now);
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

    /// Opens and closes channels, and forgets paras that are gone.
    pub(crate) fn on_session_change(&mut self, is_registered: impl Fn(ParaId) -> bool) {
        self.channels.on_session_change(&is_registered);
        self.downward.retain(|para, _| is_registered(*para));
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

fn check_upward(messages: &[UpwardMessage], configuration: &HostConfiguration) -> Result<(), MessageError> {
    let upward = messages_without_signals(messages);
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
    Ok(())
}

/// Sends a message to a para.
pub(crate) fn send_downward(state: &mut State, para: ParaId, message: Vec<u8>) -> Result<(), DownwardError> {
    if !state.paras.heads.contains_key(&para) {
        return Err(DownwardError::UnknownPara(para));
    }
    let (found, max) = (message.len(), state.configuration().max_downward_message_size);
    if found > max as usize {
        return Err(DownwardError::MessageSize { found, max });
    }
    let (count, size) = state.messages.downward.get(&para).map_or((0, 0), |queue| (queue.len(), queue.size()));
    if count as usize >= MAX_DOWNWARD_MESSAGES {
        return Err(DownwardError::QueueFull(para));
    }
    let found = found.saturating_add(size as usize);
    if found > MAX_DOWNWARD_QUEUE_SIZE {
        return Err(DownwardError::QueueSize { para, found });
    }
    let now = state.number();
    let queue = Arc::make_mut(&mut state.messages).downward.entry(para).or_default();
    Arc::make_mut(queue).push((now, Arc::new(message)));
    Ok(())
}

/// Opens a channel at the next session change.
pub(crate) fn open_channel(state: &mut State, id: HrmpChannelId) -> Result<(), ChannelError> {
    let paras = &state.paras;
    Arc::make_mut(&mut state.messages).channels.schedule_open(id, |para| paras.heads.contains_key(&para))
}

/// Closes a channel at the next session change.
pub(crate) fn close_channel(state: &mut State, id: HrmpChannelId) -> Result<(), ChannelError> {
    Arc::make_mut(&mut state.messages).channels.schedule_close(id)
}

impl State {
    /// The downward messages that wait for a para, the oldest first.
    pub fn downward_messages(&self, para: ParaId) -> Vec<InboundDownwardMessage> {
        let queue = self.messages.downward.get(&para);
        let messages = queue.map_or(&[][..], |queue| queue.messages()).iter();
        messages.map(|(sent_at, msg)| InboundDownwardMessage { sent_at: *sent_at, msg: msg.to_vec() }).collect()
    }

    /// The channels that lead to a para, by sender, and what waits in each, the oldest first.
    pub fn inbound_horizontal_messages(&self, para: ParaId) -> BTreeMap<ParaId, Vec<InboundHrmpMessage>> {
        let inbound = |(sent_at, data): &(BlockNumber, Arc<Vec<u8>>)| InboundHrmpMessage {
            sent_at: *sent_at,
            data: data.to_vec(),
        };
        let channels = self.messages.channels.inbound(para);
        channels.map(|(sender, queue)| (sender, queue.messages().iter().map(inbound).collect())).collect()
    }

    /// Up to which block a para has received horizontal messages; `None` before its first block.
    pub fn hrmp_watermark(&self, para: ParaId) -> Option<BlockNumber> {
        self.messages.watermarks.get(&para).copied()
    }
}
