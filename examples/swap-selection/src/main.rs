//! Replaces candidate selection in one line and shows that the choice changed.
//!
//! Two whole networks run in the simulator, from one seed: three validators and one para with two collators. The first
//! has the candidate selection of this repository, which takes what comes first; the second has [`Loyal`], which takes
//! blocks of one collator only. A tap on what candidate selection asks for counts whose blocks were chosen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jobs::{Ending, Input, Jobs};
use messages::candidate_backing::Second;
use messages::candidate_selection::{CandidateSelection, Inbox};
use messages::collation_distribution::{FetchCollation, FetchedCollation};
use messages::{LeavesState, RelayParents};
use network::MemoryHub;
use node::local::{LocalConfig, SimulatedNetwork};
use overseer::port::Tapped;
use overseer::{Ask, Context, Event, Failure, Subsystem, Wait};
use ports::PeerId;
use primitives::Hash;

/// Seconds the first block of its favourite collator on each leaf, and no other.
struct Loyal {
    favourite: PeerId,
}

impl Subsystem for Loyal {
    type Role = CandidateSelection;
    type View = RelayParents;
    type Sends = (Wait<Second>,);
    type JobSends = (Ask<FetchCollation>,);

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut leaves = LeavesState::default();
        let mut jobs = Jobs::<Hash, Option<FetchedCollation>>::new(context.environment().clone(), 64);
        loop {
            match jobs::next(&mut context, &mut jobs).await {
                Input::Event(Event::Signal(update)) => {
                    leaves.apply(&update);
                    jobs.end_by_view(&leaves);
                }
                Input::Event(Event::Message(Inbox::NewCandidate(offered))) => {
                    let leaf = offered.relay_parent;
                    if offered.peer != self.favourite || jobs.is_open(&leaf) || !leaves.leaves.contains_key(&leaf) {
                        continue;
                    }
                    jobs.open(leaf, Ending::UntilStop);
                    let ask = context.jobs();
                    let fetch = FetchCollation {
                        relay_parent: leaf,
                        peer: offered.peer,
                        candidate_hash: offered.candidate_hash,
                    };
                    jobs.spawn(&leaf, "fetch", async move { ask.ask(fetch).await.ok()?.ok() })?;
                }
                Input::Event(Event::Message(Inbox::Invalid(_) | Inbox::Seconded(_))) => {}
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Job(end) => {
                    if let Some((relay_parent, Some(FetchedCollation { receipt, pov }))) = end.into_result() {
                        context.send(Second { relay_parent, receipt, pov }).await?;
                    }
                }
            }
        }
    }
}

/// Runs a network until a few candidates are included; returns how often each collator was chosen.
fn chosen(loyal: bool) -> Result<BTreeMap<PeerId, u32>, Failure> {
    let config =
        LocalConfig { validators: 3, parachains: 1, collators_per_para: 2, pov_size: 1024, ..LocalConfig::default() };
    let names = config.node_names();
    let favourite = MemoryHub::peer(&names[4]);
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let mut network = SimulatedNetwork::new(7, config);
    for position in 0..network.len() {
        let (counts, favourite) = (counts.clone(), favourite.clone());
        network.start_node_with(position, |builder| {
            // The one line:
            let builder = if loyal { builder.candidate_selection(Loyal { favourite }) } else { builder };
            builder.tap::<CandidateSelection, FetchCollation>(move |question: FetchCollation| {
                let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                *counts.entry(question.peer.clone()).or_insert(0) += 1;
                Tapped::Pass(question)
            })
        })?;
    }
    network.run_slots_until(20, |_| false)?;
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(counts)
}

fn main() -> Result<(), Failure> {
    let before = chosen(false)?;
    println!("with candidate-selection of this repository: {before:?}");
    let after = chosen(true)?;
    println!("with Loyal in its place:                     {after:?}");
    if before.len() == 2 && after.len() == 1 {
        println!("the choice changed");
        return Ok(());
    }
    Err("the choice did not change".into())
}
