//! Horizontal channels (RT-11): who may send to whom, and what waits in between (docs/adr/0021-message-queues.md).

use codec::{Decode, Encode};
use primitives::{
    BlockNumber, HostConfiguration, OutboundHrmpMessage, ParaId, configuration::AbridgedHrmpChannel,
    messages::HrmpChannelId,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    MessageError,
    error::out_of_order,
    limits::{CHANNEL_MESSAGE_OVERHEAD, MAX_CHANNELS_PER_PARA},
    queue::Queue,
};

/// Why a channel is neither opened nor closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// An end is no para.
    #[error("para {0} is not registered, expected two registered paras")]
    UnknownPara(ParaId),
    /// It would lead back.
    #[error("channel of para {0} to itself, expected two paras")]
    ToItself(ParaId),
    /// There is one, or will be.
    #[error("channel from para {} to para {} is open or opens with the next session", .0.sender, .0.recipient)]
    IsOpen(HrmpChannelId),
    /// There is none, or will be none.
    #[error("channel from para {} to para {} is not open or closes with the next session", .0.sender, .0.recipient)]
    NotOpen(HrmpChannelId),
    /// A para has too many of them in that direction.
    #[error("para {0} has {MAX_CHANNELS_PER_PARA} channels in that direction, no more are possible")]
    TooMany(ParaId),
}

/// The ends of a channel; all that lead to one para stand side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub(crate) struct Ends {
    pub(crate) recipient: ParaId,
    pub(crate) sender: ParaId,
}

impl From<HrmpChannelId> for Ends {
    fn from(HrmpChannelId { sender, recipient }: HrmpChannelId) -> Self {
        Self { recipient, sender }
    }
}

/// The channels. They open and close with a session only, when nothing is pending: what was checked when a candidate
/// was backed still holds when it is included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode)]
pub(crate) struct Channels {
    pub(crate) open: BTreeMap<Ends, Arc<Queue>>,
    /// With the next session these close if they are open, and open if they are not.
    pub(crate) changing: BTreeSet<Ends>,
}

impl Channels {
    /// Opens a channel with the next session.
    pub(crate) fn schedule_open(
        &mut self,
        id: HrmpChannelId,
        is_registered: impl Fn(ParaId) -> bool,
    ) -> Result<(), ChannelError> {
        if id.sender == id.recipient {
            return Err(ChannelError::ToItself(id.sender));
        }
        if let Some(unknown) = [id.sender, id.recipient].into_iter().find(|para| !is_registered(*para)) {
            return Err(ChannelError::UnknownPara(unknown));
        }
        if self.will_be_open(&id.into()) {
            return Err(ChannelError::IsOpen(id));
        }
        if self.upcoming().filter(|ends| ends.sender == id.sender).count() >= MAX_CHANNELS_PER_PARA {
            return Err(ChannelError::TooMany(id.sender));
        }
        if self.upcoming().filter(|ends| ends.recipient == id.recipient).count() >= MAX_CHANNELS_PER_PARA {
            return Err(ChannelError::TooMany(id.recipient));
        }
        self.turn(id.into());
        Ok(())
    }

    /// Closes a channel with the next session.
    pub(crate) fn schedule_close(&mut self, id: HrmpChannelId) -> Result<(), ChannelError> {
        if !self.will_be_open(&id.into()) {
            return Err(ChannelError::NotOpen(id));
        }
        self.turn(id.into());
        Ok(())
    }

    /// Who changes a channel twice in a session leaves it as it is.
    fn turn(&mut self, ends: Ends) {
        if !self.changing.remove(&ends) {
            self.changing.insert(ends);
        }
    }

    fn will_be_open(&self, ends: &Ends) -> bool {
        self.open.contains_key(ends) != self.changing.contains(ends)
    }

    /// What may wait in the channels of the next session together, in bytes, if each is as full as it may be.
    pub(crate) fn upcoming_bytes_max(&self, configuration: &HostConfiguration) -> u64 {
        let capacity = u64::from(configuration.hrmp_channel_max_capacity);
        let overhead = capacity.saturating_mul(u64::from(CHANNEL_MESSAGE_OVERHEAD));
        let each = u64::from(configuration.hrmp_channel_max_total_size).saturating_add(overhead);
        each.saturating_mul(self.upcoming().count() as u64)
    }

    /// The channels of the next session.
    fn upcoming(&self) -> impl Iterator<Item = &Ends> {
        let opening = self.changing.iter().filter(|ends| !self.open.contains_key(ends));
        self.open.keys().filter(|ends| !self.changing.contains(ends)).chain(opening)
    }

    /// Opens and closes; a channel with an end that is gone goes as well, with all that waits in it.
    pub(crate) fn on_session_change(&mut self, is_registered: impl Fn(ParaId) -> bool) {
        for ends in std::mem::take(&mut self.changing) {
            if self.open.remove(&ends).is_none() {
                self.open.insert(ends, Arc::default());
            }
        }
        self.open.retain(|ends, _| is_registered(ends.sender) && is_registered(ends.recipient));
    }

    /// Checks what a candidate sends: at most one message through each channel, and it must fit.
    pub(crate) fn check(
        &self,
        sender: ParaId,
        messages: &[OutboundHrmpMessage],
        configuration: &HostConfiguration,
    ) -> Result<(), MessageError> {
        let max = configuration.hrmp_max_message_num_per_candidate;
        if messages.len() > max as usize {
            return Err(MessageError::TooManyHorizontal { found: messages.len(), max });
        }
        if let Some((first, second)) = out_of_order(messages.iter().map(|message| message.recipient)) {
            return Err(MessageError::RecipientOrder { first, second });
        }
        for OutboundHrmpMessage { recipient, data } in messages {
            let (recipient, found) = (*recipient, data.len());
            let queue = self.open.get(&Ends { recipient, sender }).ok_or(MessageError::NoChannel(recipient))?;
            let max = configuration.hrmp_channel_max_message_size;
            if found > max as usize {
                return Err(MessageError::HorizontalSize { recipient, found, max });
            }
            let max = configuration.hrmp_channel_max_capacity;
            if queue.len() >= max {
                return Err(MessageError::ChannelCapacity { recipient, queued: queue.len(), max });
            }
            let (found, max) =
                ((queue.size() as usize).saturating_add(found), configuration.hrmp_channel_max_total_size);
            if found > max as usize {
                return Err(MessageError::ChannelSize { recipient, found, max });
            }
        }
        Ok(())
    }

    /// Appends what an included candidate sends.
    pub(crate) fn send(&mut self, sender: ParaId, messages: &[OutboundHrmpMessage], now: BlockNumber) {
        for OutboundHrmpMessage { recipient, data } in messages {
            // It was open when the candidate was backed, and no session has begun since.
            if let Some(queue) = self.open.get_mut(&Ends { recipient: *recipient, sender }) {
                Arc::make_mut(queue).push((now, Arc::new(data.clone())));
            }
        }
    }

    /// Drops what a para has received up to its watermark.
    pub(crate) fn prune(&mut self, recipient: ParaId, watermark: BlockNumber) {
        for (_, queue) in self.open.range_mut(all_to(recipient)) {
            let count = queue.sent_until(watermark);
            if count > 0 {
                Arc::make_mut(queue).drop_first(count);
            }
        }
    }

    /// Who may send to a para, ascending, and what waits of each.
    pub(crate) fn inbound(&self, recipient: ParaId) -> impl Iterator<Item = (ParaId, &Queue)> {
        self.open.range(all_to(recipient)).map(|(ends, queue)| (ends.sender, &**queue))
    }
}

fn all_to(recipient: ParaId) -> std::ops::RangeInclusive<Ends> {
    Ends { recipient, sender: ParaId(0) }..=Ends { recipient, sender: ParaId(u32::MAX) }
}

/// A channel as parachain code reads it.
pub(crate) fn abridged(queue: &Queue, configuration: &HostConfiguration) -> AbridgedHrmpChannel {
    AbridgedHrmpChannel {
        max_capacity: configuration.hrmp_channel_max_capacity,
        max_total_size: configuration.hrmp_channel_max_total_size,
        max_message_size: configuration.hrmp_channel_max_message_size,
        msg_count: queue.len(),
        total_size: queue.size(),
        mqc_head: Some(queue.head()).filter(|head| *head != primitives::Hash::ZERO),
    }
}
