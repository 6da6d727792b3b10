//! [`Loyal`] wired into a node of three slots, in place of candidate selection: two peers offer a block, one is seconded.
use std::collections::BTreeMap;

use deterministic::Simulation;
use messages::candidate_backing::{self, CandidateBacking};
use messages::candidate_selection::{CandidateSelection, NewCandidate};
use messages::collation_distribution::{self, CollationDistribution, FetchCollationError, FetchedCollation};
use messages::{ActiveLeaf, LeavesUpdate, RelayParents};
use overseer::{Context, Event, Failure, Nothing, Outside, Subsystem, Wait};
use own_subsystem::Loyal;
use ports::PeerId;
use primitives::descriptor::DescriptorFields;
use primitives::{
    CandidateDescriptor, CandidateHash, CandidateReceipt, CollatorId, CoreIndex, Hash, Pair, ParaId, PoV,
};

overseer::node! {
    /// Three slots of the parachain host; `node::wire` has all of them.
    struct Small, built by SmallBuilder {
        candidate_selection: CandidateSelection,
        candidate_backing: CandidateBacking,
        collation_distribution: CollationDistribution,
    }
}

/// Says what it is to second.
struct Backs(std::sync::mpsc::Sender<CandidateHash>);
impl Subsystem for Backs {
    type Role = CandidateBacking;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Message(candidate_backing::Inbox::Second(second)) => self.0.send(second.receipt.hash())?,
                Event::Message(_) => {}
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

/// Has the collations of some peers.
struct Serves(BTreeMap<PeerId, CandidateReceipt>);
impl Subsystem for Serves {
    type Role = CollationDistribution;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Message(collation_distribution::Inbox::FetchCollation(question, reply)) => {
                    let found = self.0.get(&question.peer).cloned();
                    let missing = FetchCollationError::NotAdvertised(question.candidate_hash);
                    let pov = PoV::default();
                    drop(reply.answer(found.map(|receipt| FetchedCollation { receipt, pov }).ok_or(missing)));
                }
                Event::Message(_) => {}
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

enum Collators {}
impl Outside for Collators {
    const NAME: &'static str = "collators";
    type Sends = (Wait<NewCandidate>,);
}

fn receipt(relay_parent: Hash, number: u8) -> Result<CandidateReceipt, Failure> {
    let fields = DescriptorFields { para_id: ParaId(7), relay_parent, ..DescriptorFields::default() };
    let descriptor = CandidateDescriptor::new_v2(fields, CoreIndex(0), 1)?;
    Ok(CandidateReceipt { descriptor, commitments_hash: Hash::from([number; 32]) })
}

fn main() -> Result<(), Failure> {
    let leaf = Hash::from([1; 32]);
    let (other, favourite) = (PeerId::new(b"other"), PeerId::new(b"favourite"));
    let (other, favourite) = (other.ok_or("too long")?, favourite.ok_or("too long")?);
    let receipts = BTreeMap::from([(other, receipt(leaf, 1)?), (favourite.clone(), receipt(leaf, 2)?)]);
    let (said, seconded) = std::sync::mpsc::channel();
    let simulation = Simulation::new(1);
    let node = SmallBuilder::new(simulation.environment("node"))
        .candidate_selection(Loyal { favourite: favourite.clone() }) // the one line
        .candidate_backing(Backs(said))
        .collation_distribution(Serves(receipts.clone()))
        .outside::<Collators>()
        .build()?;
    let (handle, collators) = (node.handle(), node.handle().outlet::<Collators>()?);
    simulation.environment("node").spawner.spawn("node", Box::pin(async { drop(node.run().await) }));
    let started = vec![ActiveLeaf { hash: leaf, number: 1, session_index: 1, ancestors: [].into() }];
    handle.publish::<RelayParents>(LeavesUpdate { started, ..LeavesUpdate::default() });
    for (peer, receipt) in &receipts {
        let collator = CollatorId(Pair::from_name("collator").public());
        let (peer, candidate_hash) = (peer.clone(), receipt.hash());
        let offer = NewCandidate { relay_parent: leaf, para_id: ParaId(7), collator, peer, candidate_hash };
        simulation.run_until(collators.send(offer))??;
    }
    simulation.run_until_idle()?;
    handle.stop();
    simulation.run_until_idle()?;
    let chosen: Vec<CandidateHash> = seconded.try_iter().collect();
    println!("of {} offered, seconded: {chosen:?}", receipts.len());
    if chosen == [receipts[&favourite].hash()] { Ok(()) } else { Err("another's block was seconded".into()) }
}
