//! Replaces candidate selection in one line and shows that the choice changed.
//!
//! Two whole networks run in the simulator, from one seed: three validators and one para with two collators. The first
//! has the candidate selection of this repository, which takes what comes first; the second has [`Loyal`] of
//! `examples/own-subsystem`, which takes blocks of one collator only. A tap on what candidate selection asks for counts whose blocks were chosen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use messages::candidate_selection::CandidateSelection;
use messages::collation_distribution::FetchCollation;
use network::MemoryHub;
use node::local::{LocalConfig, SimulatedNetwork};
use overseer::Failure;
use overseer::port::Tapped;
use own_subsystem::Loyal;
use ports::PeerId;

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
