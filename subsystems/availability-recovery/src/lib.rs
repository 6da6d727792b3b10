//! Gets the data of a candidate back: from our own disk, from a backer, or from any k chunks.
//!
//! **Role**: `availability-recovery`, for whoever must check a candidate or lacks its chunk (requirements AD-4, AD-5,
//! AV-4).
//!
//! **Steps** 9 and 12 of a candidate's way: pending availability, approval.
//!
//! **Receives**: `RecoverAvailableData`, asked. Hears no heartbeat: the askers know when a recovery is moot.
//!
//! **Sends**: from jobs only, questions: stored parts to availability-store, the session to runtime-api, requests for
//! data and chunks to the network bridge (`avad`).
//!
//! **Way**: own data; own chunks; up to three backers in random order, whose data is encoded again and compared with
//! the erasure root; then chunks, the data chunks first, each proven before it counts. From k of them the data is put
//! together, encoded again and compared: a difference is the encoder's fault and makes the candidate invalid, the same
//! for every honest node, whichever chunks it found.
//!
//! **Invariants**: no unproven byte reaches the erasure code; equal requests share one recovery; `InvalidEncoding` is
//! said only of proven chunks; a slow or lying peer costs time, never the result.
//!
//! **Limits**: 16 recoveries at once, 256 waiting, 64 askers each; 50 chunks asked for at once in one recovery, each
//! validator twice at most; four results kept for a minute; what is over a limit is answered as unavailable.
//!
//! **Conclude**: returns at once; questions under way go unanswered.

#![forbid(unsafe_code)]

mod recover;
mod requests;
mod state;

#[cfg(test)]
mod tests;

use jobs::{Ending, Input, JobEnd, Jobs, Outcome};
use messages::availability_recovery::{AvailabilityRecovery, Inbox, RecoveryError};
use messages::availability_store::{QueryAllChunks, QueryAvailableData};
use messages::network_bridge::SendRequest;
use messages::runtime_api::GetSessionContext;
use overseer::{Ask, Context, Event, Failure, Nothing, Responder, Subsystem};

use crate::requests::{Answer, Key, RECOVERIES_MAX, Recovered, Requests};

/// Availability recovery.
#[derive(Debug, Default)]
pub struct AvailabilityRecoverySubsystem;

impl AvailabilityRecoverySubsystem {
    /// It needs nothing but its neighbours.
    pub fn new() -> Self {
        Self
    }
}

impl Subsystem for AvailabilityRecoverySubsystem {
    type Role = AvailabilityRecovery;
    type View = Nothing;
    type Sends = ();
    type JobSends = (Ask<QueryAvailableData>, Ask<QueryAllChunks>, Ask<GetSessionContext>, Ask<SendRequest>);

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let environment = context.environment().clone();
        let mut jobs: Jobs<Key, Recovered> = Jobs::new(environment.clone(), RECOVERIES_MAX);
        let mut requests: Requests<Responder<Recovered>> = Requests::default();
        loop {
            while let Some(request) = requests.begin(Responder::is_abandoned) {
                let key = Key::of(&request);
                jobs.open(key, Ending::UntilFinal(u32::MAX));
                let work = recover::recover(context.jobs(), environment.clone(), request);
                if let Err(error) = jobs.spawn(&key, "recover", work) {
                    tracing::error!(%error, "recovery was not started");
                    let result = Err(RecoveryError::Unavailable(key.candidate_hash));
                    answer(requests.end(&key, &result, environment.clock.now()), &result);
                }
            }
            match jobs::next(&mut context, &mut jobs).await {
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Event(Event::Signal(never)) => match never {},
                Input::Event(Event::Message(Inbox::RecoverAvailableData(request, reply))) => {
                    if let Answer::Now(reply, result) = requests.ask(request, reply, environment.clock.now()) {
                        answer(vec![reply], &result);
                    }
                }
                Input::Job(JobEnd { scope, outcome, .. }) => {
                    jobs.end(&scope);
                    let result = match outcome {
                        Outcome::Done(result) => result,
                        failed => {
                            tracing::error!(?scope, ?failed, "recovery failed");
                            Err(RecoveryError::Unavailable(scope.candidate_hash))
                        }
                    };
                    answer(requests.end(&scope, &result, environment.clock.now()), &result);
                }
            }
        }
    }
}

fn answer(askers: Vec<Responder<Recovered>>, result: &Recovered) {
    for asker in askers {
        // One that has gone away needs no answer.
        let _ = asker.answer(result.clone());
    }
}
