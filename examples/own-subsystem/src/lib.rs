//! A candidate selection of one's own: it seconds blocks of one favourite peer and of nobody else.
//!
//! The exercise for a newcomer, step by step in `docs/guide/own-subsystem.md`: this file is the subsystem, `main.rs`
//! wires it, `tests/it` tests it with mocks, `tests/broken` and `tests/it/broken.rs` break it in seven ways and show
//! what one is told each time. In the whole node it is one line as well: `examples/swap-selection`.

use jobs::{Ending, Input, Jobs};
use messages::candidate_backing::Second;
use messages::candidate_selection::{CandidateSelection, Inbox, NewCandidate};
use messages::collation_distribution::{FetchCollation, FetchedCollation};
use messages::{LeavesState, RelayParents};
use overseer::{Ask, Context, Event, Failure, Subsystem, Wait};
use ports::PeerId;
use primitives::Hash;

/// Fetches at once; a leaf has one candidate, so one each is enough.
pub const JOBS_MAX: usize = 64;

/// Seconds the first block of its favourite collator on each leaf, and no other.
pub struct Loyal {
    /// Whose blocks.
    pub favourite: PeerId,
}

/// What a fetch brings back.
type Fetches = Jobs<Hash, Option<FetchedCollation>>;

impl Subsystem for Loyal {
    /// The slot it fits.
    type Role = CandidateSelection;
    /// It hears which blocks work is to be done on.
    type View = RelayParents;
    /// Its loop waits for backing when that is busy.
    type Sends = (Wait<Second>,);
    /// Its jobs wait for answers, so that the loop does not.
    type JobSends = (Ask<FetchCollation>,);

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut leaves = LeavesState::default();
        let mut jobs = Fetches::new(context.environment().clone(), JOBS_MAX);
        loop {
            match jobs::next(&mut context, &mut jobs).await {
                Input::Event(Event::Signal(update)) => {
                    leaves.apply(&update);
                    // What was fetched for a leaf that has stopped is of no use: cancelled, and never seen here.
                    jobs.end_by_view(&leaves);
                }
                Input::Event(Event::Message(Inbox::NewCandidate(offered))) => {
                    let leaf = offered.relay_parent;
                    if offered.peer == self.favourite && leaves.leaves.contains_key(&leaf) && !jobs.is_open(&leaf) {
                        fetch(&context, &mut jobs, offered);
                    }
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

fn fetch(context: &Context<Loyal>, jobs: &mut Fetches, offered: NewCandidate) {
    let NewCandidate { relay_parent, peer, candidate_hash, .. } = offered;
    let ask = context.jobs();
    let work = async move { ask.ask(FetchCollation { relay_parent, peer, candidate_hash }).await.ok()?.ok() };
    if jobs.open(relay_parent, Ending::UntilStop) {
        // Refused only beyond JOBS_MAX fetches; the next leaf is soon there.
        let _ = jobs.spawn(&relay_parent, "fetch", work);
    }
}
