//! The board: the newest views, posted by the loop, read by each pump at its own pace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use messages::network_bridge::View;
use ports::PeerId;
use tokio::sync::Notify;

/// Readers of the board: one pump per protocol with a subsystem behind it.
pub(crate) const READERS: usize = 5;

/// Something that a reader has not seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Our view.
    Ours(View),
    /// A peer's view.
    Peer(PeerId, View),
}

#[derive(Default)]
struct Unread {
    ours: bool,
    peers: BTreeSet<PeerId>,
}

#[derive(Default)]
struct Posted {
    ours: View,
    views: BTreeMap<PeerId, View>,
    unread: [Unread; READERS],
}

/// Newer views replace older ones that a reader has not taken: posting never waits, and a reader that stands still
/// costs at most one mark per peer.
#[derive(Default)]
pub(crate) struct Board {
    posted: Mutex<Posted>,
    changed: [Notify; READERS],
}

impl Board {
    fn posted(&self) -> MutexGuard<'_, Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.changed.iter().for_each(Notify::notify_one);
    }

    /// Posts our view.
    pub(crate) fn post_ours(&self, view: View) {
        let mut posted = self.posted();
        posted.ours = view;
        posted.unread.iter_mut().for_each(|unread| unread.ours = true);
        drop(posted);
        self.wake();
    }

    /// Posts a peer's view.
    pub(crate) fn post_peer(&self, peer: &PeerId, view: View) {
        let mut posted = self.posted();
        posted.views.insert(peer.clone(), view);
        for unread in &mut posted.unread {
            unread.peers.insert(peer.clone());
        }
        drop(posted);
        self.wake();
    }

    /// The peer is gone.
    pub(crate) fn forget(&self, peer: &PeerId) {
        let mut posted = self.posted();
        posted.views.remove(peer);
        for unread in &mut posted.unread {
            unread.peers.remove(peer);
        }
    }

    /// A peer's view for a reader that has just met it; counts as read.
    pub(crate) fn take_peer(&self, reader: usize, peer: &PeerId) -> Option<View> {
        let mut posted = self.posted();
        posted.unread[reader].peers.remove(peer);
        posted.views.get(peer).cloned()
    }

    fn take(&self, reader: usize) -> Option<News> {
        let mut posted = self.posted();
        if std::mem::take(&mut posted.unread[reader].ours) {
            return Some(News::Ours(posted.ours.clone()));
        }
        while let Some(peer) = posted.unread[reader].peers.pop_first() {
            if let Some(view) = posted.views.get(&peer) {
                return Some(News::Peer(peer, view.clone()));
            }
        }
        None
    }

    /// The next thing that a reader has not seen.
    ///
    /// # Cancel safety
    /// Nothing is lost: what is taken is returned without another wait.
    pub(crate) async fn next(&self, reader: usize) -> News {
        loop {
            if let Some(news) = self.take(reader) {
                return news;
            }
            self.changed[reader].notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use mocks::fixtures::{hash, peer};

    use super::*;

    fn view(byte: u8) -> View {
        View(vec![hash(byte)])
    }

    #[test]
    fn each_reader_gets_the_newest_once() {
        let board = Board::default();
        board.post_peer(&peer(1), view(1));
        board.post_ours(view(8));
        board.post_peer(&peer(1), view(2));
        board.post_ours(view(9));
        for reader in 0..READERS {
            assert_eq!(board.take(reader), Some(News::Ours(view(9))));
            assert_eq!(board.take(reader), Some(News::Peer(peer(1), view(2))));
            assert_eq!(board.take(reader), None);
        }
    }

    #[test]
    fn nothing_is_told_of_a_peer_that_is_gone_or_twice_of_one_just_met() {
        let board = Board::default();
        board.post_peer(&peer(1), view(1));
        board.post_peer(&peer(2), view(2));
        board.forget(&peer(1));
        assert!(board.posted().unread.iter().all(|unread| !unread.peers.contains(&peer(1))), "no mark is left");
        assert_eq!(board.take_peer(0, &peer(2)), Some(view(2)));
        assert_eq!(board.take_peer(0, &peer(1)), None);
        assert_eq!(board.take(0), None);
        assert_eq!(board.take(1), Some(News::Peer(peer(2), view(2))));
    }
}
