//! Candidates that are judged invalid after their inclusion: the chain goes back, on every node.

use std::{sync::Arc, time::Duration};

use deterministic::Crash;
use overseer::Feed;
use ports::ChainEvent;
use primitives::{BlockNumber, CandidateHash, Hash, HeadData, Pair};
use runtime::{Extrinsic, PenaltyReason};

use crate::{
    parachain::{BACKED_IN, CORE, Held, PARA, para, start, votes},
    support::World,
};

/// The block that includes the candidate.
const INCLUDED_IN: BlockNumber = BACKED_IN + 1;

/// Four nodes and a parachain, of which a candidate is included and nothing of it is final.
struct Reverting {
    world: World,
    held: Arc<Held>,
    candidate: CandidateHash,
    bad: Hash,
    last_good: Hash,
}

impl Reverting {
    fn new(seed: u64, held: Arc<Held>) -> Self {
        let mut world = World::new(seed, 4, 0.0);
        world.genesis.paras.push(para());
        world.genesis.session_length = 100;
        world.genesis.configuration.minimum_backing_votes = Some(2);
        for index in 0..4 {
            start(&mut world, index, &held);
        }
        world.run_slots(u64::from(INCLUDED_IN) + 5);
        let best = world.chain(0).status().best.0;
        let bad = world.ancestor(0, best, INCLUDED_IN);
        let (block, state) = world.chain(0).block(&bad).unwrap();
        let (_, candidate) = state.included_here().next().expect("the candidate is included");
        Self { held, candidate, bad, last_good: block.header.parent_hash, world }
    }

    fn pairs(&self) -> Vec<Pair> {
        self.world.nodes.iter().map(|node| node.pair.clone()).collect()
    }

    /// All but the first say that the candidate is invalid.
    fn condemn(&self) {
        let state = self.world.best_state(0);
        let set = votes(&self.pairs(), &state, 0, self.candidate, &[1, 2, 3]);
        let submitted = self.world.chain(0).submit(Extrinsic::DisputeVotes(set));
        self.world.simulation.run_until(submitted).unwrap().unwrap();
    }

    /// What must be so on a node after the verdict.
    fn assert_reverted(&self, index: usize) {
        let chain = self.world.chain(index);
        let status = chain.status();
        assert!(status.best.1 >= INCLUDED_IN, "node {index} goes on: {status:?}");
        assert_eq!(self.world.ancestor(index, status.best.0, INCLUDED_IN - 1), self.last_good, "node {index}");
        assert_ne!(self.world.ancestor(index, status.best.0, INCLUDED_IN), self.bad, "node {index}");
        let state = self.world.best_state(index);
        assert!(state.is_blacklisted(0, self.candidate), "the new fork has judged as well");
        assert_eq!(state.para_head(PARA), Some(&HeadData(vec![1])), "the para is back where it was");
        assert_eq!(state.hrmp_watermark(PARA), None, "and so are its queues");
        assert!(state.pending_candidate(CORE).is_none());
        let for_invalid = PenaltyReason::ForInvalid(self.candidate);
        let paid = state.penalties().iter().filter(|penalty| penalty.reason == for_invalid && penalty.amount > 0);
        assert_eq!(paid.count(), 2, "who backed it has paid");
        assert_eq!((status.too_late, status.refused), (0, 0), "{status:?}");
    }

    fn assert_all_go_on(&self) {
        self.held.release();
        self.world.run_slots(8);
        for index in 0..4 {
            self.assert_reverted(index);
        }
        assert!(self.world.agreed() > INCLUDED_IN + 2, "{:?}", self.world.statuses());
    }
}

/// What has been told so far.
pub(crate) fn told(world: &World, feed: &mut Feed<ChainEvent>) -> Vec<ChainEvent> {
    let mut events = Vec::new();
    let all = async {
        while let Some(Ok(Some(event))) = futures::FutureExt::now_or_never(feed.next()) {
            events.push(event);
        }
    };
    world.simulation.run_until(all).unwrap();
    events
}

#[test]
fn a_fork_with_an_invalid_candidate_is_left_and_the_para_goes_back() {
    let it = Reverting::new(71, Held::at(INCLUDED_IN - 2));
    let mut feed = it.world.client(1).subscribe();
    it.condemn();
    it.world.run_slots(4);
    for index in 0..4 {
        it.assert_reverted(index);
        assert_eq!(it.world.chain(index).status().abandoned, 1);
    }
    let events = told(&it.world, &mut feed);
    let position = events.iter().position(|event| *event == ChainEvent::Reverted { abandoned: vec![it.bad] });
    let position = position.expect("readers are told");
    let mut live = vec![it.last_good];
    for event in &events[position..] {
        if let ChainEvent::Imported(block) = event {
            assert!(live.contains(&block.header.parent_hash), "nothing on the fork that was left is told: {block:?}");
            live.push(block.hash);
        }
    }
    assert!(live.len() >= 3, "{events:?}");
    let leaves = it.world.simulation.run_until(it.world.client(1).leaves()).unwrap().unwrap();
    assert_eq!(leaves.iter().map(|leaf| leaf.hash).collect::<Vec<_>>(), [it.world.chain(1).status().best.0]);
    it.assert_all_go_on();
}

#[test]
fn a_node_that_restarts_after_the_verdict_does_not_go_back_to_the_fork() {
    for crash in [Crash::Forget, Crash::Seed(5)] {
        let mut it = Reverting::new(72, Held::at(INCLUDED_IN - 2));
        it.condemn();
        it.world.run_slots(4);
        it.world.crash(2, crash);
        let held = it.held.clone();
        start(&mut it.world, 2, &held);
        it.assert_reverted(2);
        let was_given_up = it.world.chain(2).block(&it.bad).is_some();
        assert!(was_given_up, "nothing is final yet: the fork is still on disk");
        it.assert_all_go_on();
    }
}

/// The whole network is killed when so many nodes have left the fork, before anybody has built on the last good block.
#[test]
fn a_network_that_is_killed_between_the_verdict_and_the_next_block_goes_on_where_it_was_good() {
    for (left_by, crash) in [(1, Crash::Forget), (1, Crash::Seed(7)), (4, Crash::Forget), (4, Crash::Seed(8))] {
        let mut it = Reverting::new(75, Held::at(INCLUDED_IN - 2));
        it.condemn();
        let has_left = |index: &usize| it.world.chain(*index).status().abandoned == 1;
        let moment = Duration::from_millis(1);
        let mut moments = 0;
        while (0..4).filter(has_left).count() < left_by {
            it.world.simulation.run_for(moment).unwrap();
            moments += 1;
            assert!(moments < 5_000, "nobody leaves the fork");
        }
        let best: Vec<_> = it.world.statuses().iter().map(|status| status.best).collect();
        assert!(best.contains(&(it.last_good, INCLUDED_IN - 1)), "nothing is built on the good block yet: {best:?}");
        if left_by == 4 {
            assert!(best.iter().all(|best| *best == (it.last_good, INCLUDED_IN - 1)), "{best:?}");
        }
        let finalized: Vec<_> = it.world.statuses().iter().map(|status| status.finalized).collect();
        for index in 0..4 {
            it.world.crash(index, crash);
        }
        let held = it.held.clone();
        for (index, before) in finalized.into_iter().enumerate() {
            start(&mut it.world, index, &held);
            let after = it.world.chain(index).status().finalized;
            assert!(after.1 >= before.1, "{before:?}, then {after:?}");
            assert_eq!(it.world.ancestor(index, after.0, before.1), before.0);
        }
        it.world.run_slots(4);
        it.assert_all_go_on();
    }
}

#[test]
fn who_was_away_during_the_verdict_or_from_the_beginning_follows() {
    let mut it = Reverting::new(73, Held::at(INCLUDED_IN - 2));
    it.world.crash(3, Crash::Forget);
    it.condemn();
    it.world.run_slots(5);
    let held = it.held.clone();
    start(&mut it.world, 3, &held);
    assert_eq!(it.world.ancestor(3, it.world.chain(3).status().best.0, INCLUDED_IN), it.bad, "it knows no better");
    it.world.run_slots(6);
    it.assert_reverted(3);
    // Another one loses its disk.
    it.world.crash(1, Crash::Forget);
    it.world.nodes[1].disk = Arc::default();
    start(&mut it.world, 1, &held);
    it.world.run_slots(4);
    it.assert_reverted(1);
    it.assert_all_go_on();
}

#[test]
fn what_is_final_stays_and_an_alarm_is_raised() {
    let it = Reverting::new(74, Held::at(u32::MAX));
    assert!(it.world.agreed() > INCLUDED_IN, "{:?}", it.world.statuses());
    it.condemn();
    let before = it.world.agreed();
    it.world.run_slots(8);
    assert!(it.world.agreed() >= before + 5, "{:?}", it.world.statuses());
    for index in 0..4 {
        let status = it.world.chain(index).status();
        assert_eq!((status.abandoned, status.too_late), (0, 1), "{status:?}");
        assert_eq!(it.world.ancestor(index, status.best.0, INCLUDED_IN), it.bad, "what is final stays");
        assert!(it.world.best_state(index).is_blacklisted(0, it.candidate));
    }
}
