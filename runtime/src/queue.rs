//! Messages that wait for a para, and the hash chain over them: of a downward queue or of a channel.

use codec::{Encode, Output};
use primitives::{BlockNumber, Hash};
use std::sync::Arc;

/// A message and the block that sent it.
pub(crate) type Sent = (BlockNumber, Arc<Vec<u8>>);

/// Messages in the order in which they were sent, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    /// Head of the chain before the first message that waits; zero at the begin.
    base: Hash,
    head: Hash,
    messages: Vec<Sent>,
    /// Bytes of all that wait.
    size: u32,
}

/// Head and number stand for the messages: the last so many of the chain are those that wait.
impl Encode for Queue {
    fn encode_to<O: Output + ?Sized>(&self, dest: &mut O) {
        (self.head, self.len()).encode_to(dest);
    }
}

/// The chain's next head, as parachain code computes it.
fn link(head: Hash, (sent_at, data): &Sent) -> Hash {
    Hash::of(&(head, sent_at, Hash::of(data)))
}

impl Queue {
    /// A queue whose first message follows `base` in the chain.
    pub(crate) fn on(base: Hash, messages: Vec<Sent>) -> Self {
        let mut queue = Self { base, head: base, ..Self::default() };
        for message in messages {
            queue.push(message);
        }
        queue
    }

    /// Appends a message.
    pub(crate) fn push(&mut self, message: Sent) {
        self.head = link(self.head, &message);
        self.size = self.size.saturating_add(bytes_of(&message));
        self.messages.push(message);
    }

    /// Drops the first `count` messages, or all if there are fewer.
    pub(crate) fn drop_first(&mut self, count: usize) {
        let count = count.min(self.messages.len());
        for message in self.messages.drain(..count) {
            self.base = link(self.base, &message);
            self.size = self.size.saturating_sub(bytes_of(&message));
        }
    }

    /// How many were sent at or before a block.
    pub(crate) fn sent_until(&self, block: BlockNumber) -> usize {
        self.messages.partition_point(|(sent_at, _)| *sent_at <= block)
    }

    /// Whether one was sent at a block.
    pub(crate) fn has_sent_at(&self, block: BlockNumber) -> bool {
        self.messages.binary_search_by_key(&block, |(sent_at, _)| *sent_at).is_ok()
    }

    pub(crate) fn messages(&self) -> &[Sent] {
        &self.messages
    }

    /// Head of the chain before the first message.
    pub(crate) fn base(&self) -> Hash {
        self.base
    }

    /// Head of the chain; zero before the first message ever.
    pub(crate) fn head(&self) -> Hash {
        self.head
    }

    /// How many wait. Whoever sends keeps to limits that are 32 bits wide.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.messages.len()).unwrap_or(u32::MAX)
    }

    /// Their bytes.
    pub(crate) fn size(&self) -> u32 {
        self.size
    }
}

fn bytes_of((_, data): &Sent) -> u32 {
    u32::try_from(data.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(block: BlockNumber, data: &[u8]) -> Sent {
        (block, Arc::new(data.to_vec()))
    }

    #[test]
    fn what_is_left_over_rests_on_the_chain_of_what_was_dropped() {
        let all = [sent(1, &[1]), sent(1, &[2, 2]), sent(3, &[])];
        let mut queue = Queue::on(Hash::ZERO, all.to_vec());
        let head = queue.head();
        assert_eq!((queue.len(), queue.size(), queue.sent_until(2)), (3, 3, 2));
        assert!(queue.has_sent_at(1) && !queue.has_sent_at(2) && queue.has_sent_at(3));
        queue.drop_first(2);
        assert_eq!((queue.head(), queue.len(), queue.size()), (head, 1, 0));
        assert_eq!(Queue::on(queue.base(), vec![sent(3, &[])]), queue);
        queue.drop_first(5);
        assert_eq!((queue.base(), queue.len()), (head, 0));
    }

    #[test]
    fn the_encoding_covers_every_message_and_where_the_queue_begins() {
        let queue = |messages: &[Sent]| Queue::on(Hash::ZERO, messages.to_vec());
        let whole = queue(&[sent(1, &[1]), sent(2, &[2])]);
        let mut shorter = whole.clone();
        shorter.drop_first(1);
        let other_block = queue(&[sent(1, &[1]), sent(3, &[2])]);
        let other_bytes = queue(&[sent(1, &[1]), sent(2, &[3])]);
        for other in [shorter, other_block, other_bytes] {
            assert_ne!(other.encode(), whole.encode());
        }
    }
}
