//! The loop seconds a candidate and has not declared that it does.
use messages::candidate_backing::Second;
use messages::candidate_selection::CandidateSelection;
use overseer::{Context, Failure, Nothing, Subsystem};

struct Secretive;
impl Subsystem for Secretive {
    type Role = CandidateSelection;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        context.send(second()).await?;
        Ok(())
    }
}

fn second() -> Second {
    loop {}
}

fn main() {}
