//! Who waits for what: equal requests share one recovery, results are kept for a short while. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use messages::availability_recovery::{RecoverAvailableData, RecoveryError};
use primitives::{AvailableData, CandidateHash, CoreIndex, Hash, SessionIndex};

/// Recoveries under way at once; each holds a candidate's data about three times over while it computes.
pub(crate) const RECOVERIES_MAX: usize = 16;
/// Recoveries that wait for their turn; more are answered as unavailable.
pub(crate) const WAITING_MAX: usize = 256;
/// Askers that share one recovery.
pub(crate) const SHARED_BY_MAX: usize = 64;
/// Results kept: of PoV size each.
pub(crate) const CACHE_MAX: usize = 4;
/// How long a result is kept.
pub(crate) const CACHED_FOR: Duration = Duration::from_secs(60);

/// The answer.
pub(crate) type Recovered = Result<Arc<AvailableData>, RecoveryError>;

/// All that the result of a recovery depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) candidate_hash: CandidateHash,
    erasure_root: Hash,
    relay_parent: Hash,
    session_index: SessionIndex,
    core: CoreIndex,
}

impl Key {
    pub(crate) fn of(request: &RecoverAvailableData) -> Self {
        Self {
            candidate_hash: request.candidate_hash,
            erasure_root: request.erasure_root,
            relay_parent: request.relay_parent,
            session_index: request.session_index,
            core: request.core,
        }
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Answer<R> {
    /// It is answered now.
    Now(R, Recovered),
    /// It waits for a recovery.
    Later,
}

/// Requests by what they want. `R` is the way back to the asker.
#[derive(Debug)]
pub(crate) struct Requests<R> {
    askers: BTreeMap<Key, Vec<R>>,
    waiting: VecDeque<RecoverAvailableData>,
    running: usize,
    /// Newest last.
    cache: VecDeque<(Key, Duration, Recovered)>,
}

impl<R> Default for Requests<R> {
    fn default() -> Self {
        Self { askers: BTreeMap::new(), waiting: VecDeque::new(), running: 0, cache: VecDeque::new() }
    }
}

impl<R> Requests<R> {
    pub(crate) fn ask(&mut self, request: RecoverAvailableData, asker: R, now: Duration) -> Answer<R> {
        let key = Key::of(&request);
        self.cache.retain(|(_, at, _)| now.saturating_sub(*at) < CACHED_FOR);
        if let Some(position) = self.cache.iter().position(|(cached, ..)| *cached == key)
            && let Some(entry) = self.cache.remove(position)
        {
            let result = entry.2.clone();
            self.cache.push_back(entry);
            return Answer::Now(asker, result);
        }
        let shared = self.askers.get(&key).map(Vec::len);
        if shared.is_some_and(|askers| askers >= SHARED_BY_MAX)
            || (shared.is_none() && self.waiting.len() >= WAITING_MAX)
        {
            return Answer::Now(asker, Err(RecoveryError::Unavailable(key.candidate_hash)));
        }
        self.askers.entry(key).or_default().push(asker);
        if shared.is_none() {
            self.waiting.push_back(request);
        }
        Answer::Later
    }

    /// The next recovery to begin. Those that nobody wants any more are skipped.
    pub(crate) fn begin(&mut self, abandoned: impl Fn(&R) -> bool) -> Option<RecoverAvailableData> {
        while self.running < RECOVERIES_MAX {
            let request = self.waiting.pop_front()?;
            let key = Key::of(&request);
            if self.askers.get(&key).is_some_and(|askers| !askers.iter().all(&abandoned)) {
                self.running += 1;
                return Some(request);
            }
            self.askers.remove(&key);
        }
        None
    }

    /// A recovery that began is over; returns who waits for its result.
    pub(crate) fn end(&mut self, key: &Key, result: &Recovered, now: Duration) -> Vec<R> {
        self.running = self.running.saturating_sub(1);
        // What is unavailable now may be there in a moment; the rest stays as it is.
        if matches!(result, Ok(_) | Err(RecoveryError::InvalidEncoding(_))) {
            self.cache.push_back((*key, now, result.clone()));
            if self.cache.len() > CACHE_MAX {
                self.cache.pop_front();
            }
        }
        self.askers.remove(key).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(byte: u8) -> RecoverAvailableData {
        RecoverAvailableData {
            candidate_hash: CandidateHash(Hash::repeat(byte)),
            erasure_root: Hash::repeat(byte),
            relay_parent: Hash::repeat(0),
            session_index: 1,
            core: CoreIndex(0),
            backers: Vec::new(),
        }
    }

    fn data() -> Recovered {
        Ok(Arc::default())
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn equal_requests_share_and_results_are_kept_briefly() {
        let mut requests = Requests::default();
        assert!(matches!(requests.ask(request(1), 'a', SECOND), Answer::Later));
        assert!(matches!(requests.ask(request(1), 'b', SECOND), Answer::Later));
        let mut other = request(1);
        other.erasure_root = Hash::repeat(9);
        assert!(matches!(requests.ask(other, 'c', SECOND), Answer::Later), "not the same question");
        let begun = requests.begin(|_| false).unwrap();
        assert!(requests.begin(|_| false).is_some() && requests.begin(|_| false).is_none());
        assert_eq!(requests.end(&Key::of(&begun), &data(), SECOND), ['a', 'b']);
        assert!(matches!(requests.ask(request(1), 'd', 2 * SECOND), Answer::Now('d', Ok(_))));
        assert!(matches!(requests.ask(request(1), 'e', SECOND + CACHED_FOR), Answer::Later));
    }

    #[test]
    fn unavailable_is_asked_again_and_invalid_is_remembered() {
        let mut requests = Requests::default();
        for (byte, error) in [(1, RecoveryError::Unavailable as fn(_) -> _), (2, RecoveryError::InvalidEncoding)] {
            let _ = requests.ask(request(byte), 'a', SECOND);
            let key = Key::of(&requests.begin(|_| false).unwrap());
            requests.end(&key, &Err(error(key.candidate_hash)), SECOND);
        }
        assert!(matches!(requests.ask(request(1), 'b', SECOND), Answer::Later));
        assert!(matches!(
            requests.ask(request(2), 'b', SECOND),
            Answer::Now('b', Err(RecoveryError::InvalidEncoding(_)))
        ));
    }

    #[test]
    fn everything_is_bounded() {
        let mut requests = Requests::default();
        for byte in 0..=255 {
            let _ = requests.ask(request(byte), byte, SECOND);
        }
        let mut other = request(1);
        other.session_index = 2;
        assert!(matches!(requests.ask(other, 0, SECOND), Answer::Now(_, Err(RecoveryError::Unavailable(_)))));
        for _ in 1..SHARED_BY_MAX {
            assert!(matches!(requests.ask(request(1), 1, SECOND), Answer::Later));
        }
        assert!(matches!(requests.ask(request(1), 1, SECOND), Answer::Now(..)));
        let mut begun = Vec::new();
        while let Some(request) = requests.begin(|asker| *asker == 0) {
            begun.push(request);
        }
        assert_eq!(begun.len(), RECOVERIES_MAX);
        assert_eq!(begun[0].candidate_hash.0, Hash::repeat(1), "nobody waits for the first any more");
        for request in &begun {
            requests.end(&Key::of(request), &data(), SECOND);
        }
        assert_eq!(requests.cache.len(), CACHE_MAX);
    }
}
