//! How a node ended, and why.

use std::collections::BTreeMap;

use crate::answer::AskError;
use crate::mailbox::RefusedReason;
use crate::recorder::Recorded;
use crate::restart::Outcome;
use crate::subsystem::Failure;

/// Why a node ended: the first thing that went wrong, or nothing. As text it is a sentence, such as
/// `counter panicked: unlucky`.
#[derive(Debug)]
pub enum ExitCause {
    /// It was asked to, and nobody panicked while concluding, or failed other than because a neighbour had ended before.
    Stopped,
    /// A subsystem returned without having been told to.
    Ended(&'static str),
    /// A subsystem failed.
    Failed(&'static str, Failure),
    /// A subsystem panicked, with the message.
    Panicked(&'static str, String),
}

impl std::fmt::Display for ExitCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Ended(subsystem) => write!(f, "{subsystem} ended without being told to"),
            Self::Failed(subsystem, failure) => write!(f, "{subsystem} failed: {failure}"),
            Self::Panicked(subsystem, message) => write!(f, "{subsystem} panicked: {message}"),
        }
    }
}

/// How a node ended: what [`Overseer::run`](crate::Overseer::run) returns.
#[derive(Debug)]
pub struct ExitReport {
    /// The first cause.
    pub cause: ExitCause,
    /// Subsystems that had not returned by [`CONCLUDE_DEADLINE`](crate::node::CONCLUDE_DEADLINE) and were dropped.
    pub unfinished: Vec<&'static str>,
    /// What crossed each subsystem's context last, oldest first, at most
    /// [`RECORDED_EVENTS`](crate::recorder::RECORDED_EVENTS) each; empty when the node ended in order.
    pub last_events: BTreeMap<&'static str, Vec<Recorded>>,
}

impl ExitReport {
    /// Whether the node was asked to end and did so in order.
    pub fn is_clean(&self) -> bool {
        matches!(self.cause, ExitCause::Stopped) && self.unfinished.is_empty()
    }
}

/// Whether a failure comes from a message that somebody else did not take, or answer, because he had ended.
pub(crate) fn is_end_of_another(failure: &Failure) -> bool {
    let first: &(dyn std::error::Error + 'static) = &**failure;
    std::iter::successors(Some(first), |error| error.source()).any(|error| {
        let answer = matches!(error.downcast_ref(), Some(AskError::Closed { .. } | AskError::Dropped { .. }));
        answer || matches!(error.downcast_ref(), Some(RefusedReason::Closed))
    })
}

pub(crate) fn cause_of(name: &'static str, outcome: Outcome) -> ExitCause {
    match outcome {
        Ok(Ok(())) => ExitCause::Ended(name),
        Ok(Err(failure)) => ExitCause::Failed(name, failure),
        Err(message) => ExitCause::Panicked(name, message),
    }
}
