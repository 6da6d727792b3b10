// The subject of the kit's own tests and of its guide: seconds whatever collation is offered first on a leaf.

/// Fills the slot of candidate selection.
pub struct Picks;

impl overseer::Subsystem for Picks {
    type Role = messages::candidate_selection::CandidateSelection;
    type View = messages::RelayParents;
    type Sends = (overseer::Wait<messages::candidate_backing::Second>,);
    type JobSends = (overseer::Ask<messages::collation_distribution::FetchCollation>,);

    async fn run(self, mut context: overseer::Context<Self>) -> Result<(), overseer::Failure> {
        use messages::candidate_selection::Inbox;
        use messages::collation_distribution::FetchCollation;
        let mut leaves = messages::LeavesState::default();
        let mut jobs = jobs::Jobs::new(context.environment().clone(), 16);
        loop {
            match jobs::next(&mut context, &mut jobs).await {
                jobs::Input::Event(overseer::Event::Signal(update)) => {
                    leaves.apply(&update);
                    jobs.end_by_view(&leaves);
                }
                jobs::Input::Event(overseer::Event::Message(Inbox::NewCandidate(offered))) => {
                    let relay_parent = offered.relay_parent;
                    if !leaves.leaves.contains_key(&relay_parent) || jobs.is_open(&relay_parent) {
                        continue;
                    }
                    jobs.open(relay_parent, jobs::Ending::UntilStop);
                    let (ask, peer, candidate_hash) = (context.jobs(), offered.peer, offered.candidate_hash);
                    let fetch = async move { ask.ask(FetchCollation { relay_parent, peer, candidate_hash }).await };
                    jobs.spawn(&relay_parent, "fetch", fetch)?;
                }
                jobs::Input::Event(overseer::Event::Message(Inbox::Invalid(_) | Inbox::Seconded(_))) => {}
                jobs::Input::Event(overseer::Event::Conclude) => return Ok(()),
                jobs::Input::Job(end) => {
                    if let Some((relay_parent, Ok(Ok(fetched)))) = end.into_result() {
                        let second = messages::candidate_backing::Second {
                            relay_parent,
                            receipt: fetched.receipt,
                            pov: fetched.pov,
                        };
                        context.send(second).await?;
                    }
                }
            }
        }
    }
}

/// An advertisement of a candidate.
pub fn offer(candidate: &mocks::fixtures::Candidate) -> messages::candidate_selection::NewCandidate {
    messages::candidate_selection::NewCandidate {
        relay_parent: candidate.relay_parent(),
        para_id: candidate.committed.descriptor.para_id(),
        collator: primitives::CollatorId(primitives::Pair::from_name("collator").public()),
        peer: mocks::fixtures::peer(1),
        candidate_hash: candidate.hash(),
    }
}

/// Answers every fetch with one candidate.
#[allow(dead_code, reason = "not every test that includes this file has a stub")]
pub fn serve_collation(harness: &mocks::Harness, candidate: &mocks::fixtures::Candidate) {
    use messages::collation_distribution::{CollationDistribution, FetchedCollation, Inbox};
    let (receipt, pov) = (candidate.receipt(), candidate.pov.clone());
    harness.stub::<CollationDistribution>(move |inbox| match inbox {
        Inbox::FetchCollation(_, reply) => {
            let _ = reply.answer(Ok(FetchedCollation { receipt: receipt.clone(), pov: pov.clone() }));
            None
        }
        other => Some(other),
    });
}
