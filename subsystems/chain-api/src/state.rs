//! Headers known, and askers who wait for one. Pure.

use std::collections::{BTreeMap, VecDeque};

use overseer::Responder;
use ports::RuntimeError;
use primitives::{Hash, Header};

/// Headers remembered: some questions of the full length of `ANCESTORS_MAX` on some forks.
pub const CACHED_HEADERS: usize = 1024;
/// Askers who may wait for one header.
pub const WAITING_MAX: usize = 1024;

type HeaderResponder = Responder<Result<Header, RuntimeError>>;

/// Where a walk towards the beginning of the chain stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// The block whose header is needed next.
    pub(crate) at: Hash,
    /// Ancestors found so far, nearest first.
    pub(crate) found: Vec<Hash>,
    /// How many are wanted in all.
    pub(crate) wanted: usize,
    /// Nothing more to find.
    pub(crate) over: bool,
}

impl Walk {
    pub(crate) fn new(from: Hash, wanted: usize) -> Self {
        Self { at: from, found: Vec::new(), wanted, over: false }
    }

    /// Goes one step, by the header of [`at`](Self::at).
    pub(crate) fn step(&mut self, header: &Header) {
        // Genesis has no parent; its parent hash names no block.
        if header.number > 0 && self.found.len() < self.wanted {
            self.found.push(header.parent_hash);
            self.at = header.parent_hash;
        }
        self.over = header.number == 0 || self.found.len() >= self.wanted;
    }
}

/// Headers by hash: a block's header never changes, so what is known stays right.
#[derive(Default)]
pub(crate) struct Headers {
    known: BTreeMap<Hash, Header>,
    order: VecDeque<Hash>,
    waiting: BTreeMap<Hash, Vec<HeaderResponder>>,
}

impl Headers {
    /// Answers at once or lets the asker wait; returns whether the chain must be asked.
    pub(crate) fn ask(&mut self, hash: Hash, responder: HeaderResponder) -> bool {
        if let Some(header) = self.known.get(&hash) {
            // An asker who gave up needs no answer; so below.
            let _ = responder.answer(Ok(header.clone()));
            return false;
        }
        let first = !self.waiting.contains_key(&hash);
        let waiting = self.waiting.entry(hash).or_default();
        waiting.retain(|responder| !responder.is_abandoned());
        if waiting.len() >= WAITING_MAX {
            let error = format!("{WAITING_MAX} askers wait for this header already");
            let _ = responder.answer(Err(RuntimeError::Unreachable(error)));
        } else {
            waiting.push(responder);
        }
        first
    }

    /// Answers everybody who waits for a header.
    pub(crate) fn finish(&mut self, hash: Hash, result: &Result<Header, RuntimeError>) {
        for responder in self.waiting.remove(&hash).into_iter().flatten() {
            let _ = responder.answer(result.clone());
        }
        if let Ok(header) = result {
            self.remember(hash, header.clone());
        }
    }

    /// Keeps a header, for the oldest kept.
    pub(crate) fn remember(&mut self, hash: Hash, header: Header) {
        if self.known.insert(hash, header).is_none() {
            self.order.push_back(hash);
        }
        while self.order.len() > CACHED_HEADERS {
            self.order.pop_front().map(|oldest| self.known.remove(&oldest));
        }
    }

    /// Walks as far as known headers lead.
    pub(crate) fn walk(&self, walk: &mut Walk) {
        while !walk.over
            && let Some(header) = self.known.get(&walk.at)
        {
            walk.step(header);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(parent: u8, number: u32) -> Header {
        let zero = Hash::ZERO;
        let parent_hash = Hash::repeat(parent);
        Header { parent_hash, number, state_root: zero, extrinsics_root: zero, digest: Vec::new() }
    }

    fn chain() -> Headers {
        let mut headers = Headers::default();
        for number in 0..4_u8 {
            headers.remember(Hash::repeat(10 + number), header(9 + number, number.into()));
        }
        headers
    }

    #[test]
    fn walks_end_at_the_wanted_count_at_genesis_or_where_headers_are_missing() {
        let mut headers = chain();
        for (wanted, found, over) in [(0, 0, true), (2, 2, true), (3, 3, true), (9, 3, true)] {
            let mut walk = Walk::new(Hash::repeat(13), wanted);
            headers.walk(&mut walk);
            assert_eq!((walk.found.len(), walk.over), (found, over), "wanted {wanted}");
        }
        headers.known.remove(&Hash::repeat(11));
        let mut walk = Walk::new(Hash::repeat(13), 9);
        headers.walk(&mut walk);
        assert_eq!(
            walk,
            Walk { at: Hash::repeat(11), found: vec![Hash::repeat(12), Hash::repeat(11)], wanted: 9, over: false }
        );
    }

    #[test]
    fn the_oldest_header_makes_room() {
        let mut headers = Headers::default();
        for number in 0..=CACHED_HEADERS as u32 {
            headers.remember(Hash::of(&number), header(0, number));
        }
        assert_eq!(headers.known.len(), CACHED_HEADERS);
        assert!(!headers.known.contains_key(&Hash::of(&0_u32)));
    }
}
