//! candidate-validation: is a candidate valid?
//!
//! **Role**: judges candidates (CV-1, CV-3) with everything given, or with data and code from the chain's state; the one
//! place that looks into a PoV. It votes on nothing.
//!
//! **Step**: 4 (checked), and again in 12 and 13.
//!
//! **Receives**: `ValidateExhaustive`, `ValidateFromChainState`. No heartbeat.
//!
//! **Sends**: from jobs, questions to runtime-api: session context, validation data, code.
//!
//! **Invariants**: a verdict is the same on every machine: *invalid* only by rules that all share, and by what the
//! validation backend says of the code; whatever may be our own fault is `ValidationFailed`. Validity covers descriptor
//! (version, session, V1 collator signature), PoV (size, hash), code hash, validation data hash, head hash, commitments
//! and the sizes of outputs. Both questions apply the same checks; of a relay parent whose state is gone the session
//! and the configuration stay unchecked, since a block that included the candidate has checked them.
//!
//! **Limits**: [`VALIDATIONS_MAX`] at once, [`WAITING_MAX`] and [`WAITING_BYTES_MAX`] behind them, in order; what comes
//! beyond is answered with `ValidationFailed`. Outputs: [`primitives::limits`] and the configuration.
//!
//! **Conclude**: running and waiting validations are dropped; their askers are told so.

#![forbid(unsafe_code)]

mod checks;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use deterministic::{ComputeKind, Environment, compute};
use jobs::{Ending, Input, Jobs};
use messages::candidate_validation::{
    CandidateValidation, Inbox, InvalidReason, ValidateExhaustive, ValidateFromChainState, ValidationFailed, Verdict,
};
use messages::runtime_api::{GetPersistedValidationData, GetSessionContext, GetValidationCode};
use overseer::wiring::FromJobs;
use overseer::{Ask, AskError, Context, Event, Failure, Nothing, Outlet, Responder, Subsystem};
use ports::{RuntimeError, ValidationBackend};
use primitives::{OccupiedCoreAssumption, PersistedValidationData};

use checks::{Inputs, Limits};
use state::{Queue, QueueLimits, Waiting};

/// Validations that run at once: the backend has its own workers, this bounds what we hold for it.
pub const VALIDATIONS_MAX: usize = 4;
/// Validations that wait for their turn.
pub const WAITING_MAX: usize = 128;
/// PoVs of those that wait, in bytes: two dozen of the largest.
pub const WAITING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What may be so of the para's core at the relay parent; the receipt's hash tells which.
const ASSUMPTIONS: [OccupiedCoreAssumption; 3] =
    [OccupiedCoreAssumption::Free, OccupiedCoreAssumption::Included, OccupiedCoreAssumption::TimedOut];

type Answer = Result<Verdict, ValidationFailed>;

/// Answers whether candidates are valid.
pub struct CandidateValidationSubsystem {
    backend: Arc<dyn ValidationBackend>,
}

impl CandidateValidationSubsystem {
    /// Executes through `backend`.
    pub fn new(backend: Arc<dyn ValidationBackend>) -> Self {
        Self { backend }
    }
}

impl Subsystem for CandidateValidationSubsystem {
    type Role = CandidateValidation;
    type View = Nothing;
    type Sends = ();
    type JobSends = (Ask<GetSessionContext>, Ask<GetPersistedValidationData>, Ask<GetValidationCode>);

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut jobs = Jobs::new(context.environment().clone(), VALIDATIONS_MAX);
        jobs.open((), Ending::UntilStop);
        let mut queue = Queue::new(QueueLimits {
            running: VALIDATIONS_MAX,
            waiting: WAITING_MAX,
            waiting_bytes: WAITING_BYTES_MAX,
        });
        loop {
            let request = match jobs::next(&mut context, &mut jobs).await {
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Event(Event::Signal(never)) => match never {},
                Input::Event(Event::Message(Inbox::ValidateExhaustive(question, responder))) => {
                    Some(Request { question: Question::Exhaustive(Box::new(question)), responder })
                }
                Input::Event(Event::Message(Inbox::ValidateFromChainState(question, responder))) => {
                    Some(Request { question: Question::FromChainState(Box::new(question)), responder })
                }
                Input::Job(end) => {
                    queue.ended();
                    end.into_result();
                    None
                }
            };
            if let Some(Err(request)) = request.map(|request| queue.push(request)) {
                tracing::warn!("more validations wait than are allowed");
                let _ = request.responder.answer(Err(ValidationFailed("too many validations wait".to_owned())));
            }
            while let Some(Request { question, responder }) = queue.start() {
                let work = Work {
                    backend: self.backend.clone(),
                    outlet: context.jobs(),
                    environment: context.environment().clone(),
                };
                let task = async move {
                    // Whoever asked may have given up.
                    let _ = responder.answer(work.answer(question).await);
                };
                if let Err(error) = jobs.spawn(&(), "validate", task) {
                    // The queue starts no more than the set takes.
                    tracing::error!(%error, "validation was not started");
                    queue.ended();
                }
            }
        }
    }
}

enum Question {
    Exhaustive(Box<ValidateExhaustive>),
    FromChainState(Box<ValidateFromChainState>),
}

struct Request {
    question: Question,
    responder: Responder<Answer>,
}

impl Waiting for Request {
    fn bytes(&self) -> usize {
        match &self.question {
            Question::Exhaustive(question) => question.pov.encoded_len() + question.validation_code.0.len(),
            Question::FromChainState(question) => question.pov.encoded_len(),
        }
    }

    fn is_abandoned(&self) -> bool {
        self.responder.is_abandoned()
    }
}

/// What one validation reaches.
struct Work {
    backend: Arc<dyn ValidationBackend>,
    outlet: Outlet<FromJobs<CandidateValidationSubsystem>>,
    environment: Environment,
}

impl Work {
    async fn answer(&self, question: Question) -> Answer {
        let inputs = match question {
            Question::Exhaustive(question) => self.read_limits(*question).await,
            Question::FromChainState(question) => match self.read_chain_state(*question).await? {
                Ok(inputs) => inputs,
                Err(reason) => return Ok(Verdict::Invalid(reason)),
            },
        };
        self.judge(inputs).await
    }

    async fn read_limits(&self, question: ValidateExhaustive) -> Inputs {
        let at = question.receipt.descriptor.relay_parent();
        let limits = match self.outlet.ask(GetSessionContext { at }).await {
            Ok(Ok(session)) => Limits::of_session(&session),
            Ok(Err(_)) | Err(_) => Limits::of_protocol(),
        };
        let ValidateExhaustive { receipt, validation_data, validation_code, pov, purpose } = question;
        Inputs { receipt, validation_data, validation_code, pov, purpose, limits }
    }

    async fn read_chain_state(
        &self,
        question: ValidateFromChainState,
    ) -> Result<Result<Inputs, InvalidReason>, ValidationFailed> {
        let ValidateFromChainState { relay_parent: at, receipt, pov, purpose } = question;
        let descriptor = &receipt.descriptor;
        if descriptor.relay_parent() != at {
            return Err(ValidationFailed(format!(
                "asked at relay parent {at:?}, but the candidate's is {:?}",
                descriptor.relay_parent()
            )));
        }
        let para_id = descriptor.para_id();
        let limits = Limits::of_session(&*answered(self.outlet.ask(GetSessionContext { at }).await)?);
        let mut found: Option<(OccupiedCoreAssumption, PersistedValidationData)> = None;
        for assumption in ASSUMPTIONS {
            let question = GetPersistedValidationData { at, para_id, assumption };
            if let Some(data) = answered(self.outlet.ask(question).await)?
                && data.hash() == descriptor.persisted_validation_data_hash()
            {
                found = Some((assumption, data));
                break;
            }
        }
        let Some((assumption, validation_data)) = found else { return Ok(Err(InvalidReason::ValidationData)) };
        let question = GetValidationCode { at, para_id, assumption };
        let Some(validation_code) = answered(self.outlet.ask(question).await)? else {
            return Err(ValidationFailed(format!("chain has no code for the candidate at {at:?}")));
        };
        Ok(Ok(Inputs { receipt, validation_data, validation_code, pov, purpose, limits }))
    }

    async fn judge(&self, inputs: Inputs) -> Answer {
        let bytes = inputs.pov.encoded_len() + inputs.validation_code.0.len();
        let hashing = move || {
            let request = checks::before(&inputs);
            (inputs, request)
        };
        let pool = &*self.environment.compute;
        let (inputs, request) = compute(pool, ComputeKind::Hash, bytes, hashing)
            .await
            .map_err(|error| ValidationFailed(error.to_string()))?;
        let request = match request {
            Ok(request) => request,
            Err(reason) => return Ok(Verdict::Invalid(reason)),
        };
        let output = match self.backend.execute(request).await {
            Ok(output) => output,
            Err(error) => return checks::failed_execution(error),
        };
        let judging = move || checks::after(&inputs, &output).map(|commitments| (commitments, inputs.validation_data));
        let judged = compute(pool, ComputeKind::Hash, bytes, judging).await;
        match judged.map_err(|error| ValidationFailed(error.to_string()))? {
            Ok((commitments, validation_data)) => Ok(Verdict::Valid(Box::new(commitments), validation_data)),
            Err(reason) => Ok(Verdict::Invalid(reason)),
        }
    }
}

/// The chain's answer; that there is none is nobody's fault but ours.
fn answered<T>(answer: Result<Result<T, RuntimeError>, AskError>) -> Result<T, ValidationFailed> {
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(ValidationFailed(error.to_string())),
        Err(error) => Err(ValidationFailed(error.to_string())),
    }
}
