//! Bitfields travel to block authors.
//!
//! **Role**: gossip of signed availability bitfields on protocol `bitd` (seed 001, Bitfield Distribution; BD-1). Checks
//! every signature and hands what is good to the provisioner.
//!
//! **Step**: 10 of a candidate's way.
//!
//! **Receives**: `DistributeBitfield` (ours), `NetworkUpdate`; the heartbeat.
//!
//! **Sends**: `Bitfield` to the provisioner (waits); `SendMessage` (outbox) and `ReportPeer` (merged) to the network
//! bridge (casts). Its jobs ask runtime-api for session and cores of each leaf.
//!
//! **Invariants**: one bitfield per validator and leaf; the first whose signature holds stays. Only for active leaves: a
//! bitfield goes into a child of the block that it is signed for, so an ancestor's is of no use to anybody. Has a bit per
//! core, no more, no fewer. Goes to peers whose view has the leaf and who lack it, once. Signatures are checked off the
//! loop, in batches that grow under load.
//!
//! **Limits**: see [`limits`]; a peer can send one bitfield per validator and leaf.
//!
//! **Conclude**: returns at once; what is on its way is lost, as for a peer that goes offline.

#![forbid(unsafe_code)]

mod leaf;
pub mod limits;
pub mod state;
#[cfg(test)]
mod tests;

use std::time::Duration;

use deterministic::{ComputeKind, compute};
use jobs::{Ending, Input, Jobs};
use messages::RelayParents;
use messages::bitfield_distribution::{BitfieldDistribution, Inbox};
use messages::network_bridge::{BITFIELD_PROTOCOL, ReportPeer, SendMessage};
use messages::provisioner::Bitfield;
use messages::runtime_api::{GetAvailabilityCores, GetSessionContext};
use overseer::{Ask, AskError, Cast, Context, Event, Failure, Outlet, Subsystem, Wait};
use ports::RuntimeError;
use primitives::{Hash, SignedMessage};

use crate::limits::{JOBS_MAX, SESSION_ATTEMPTS, SESSION_RETRY_MS};
use crate::state::{Effect, LeafInfo, State};

/// The subsystem; see the crate's header.
#[derive(Default)]
pub struct BitfieldDistributionSubsystem {
    state: State,
}

/// What jobs bring back.
enum JobResult {
    /// Session and cores, if they could be learned.
    Info(Option<LeafInfo>),
    /// One answer per signature, or none at all.
    Verified(Vec<bool>),
}

type Work = Jobs<Hash, JobResult>;
type JobOutlet = Outlet<overseer::wiring::FromJobs<BitfieldDistributionSubsystem>>;

impl BitfieldDistributionSubsystem {
    /// It needs nothing but what its context has.
    pub fn new() -> Self {
        Self::default()
    }

    async fn apply(
        &mut self,
        context: &mut Context<Self>,
        jobs: &mut Work,
        effects: Vec<Effect>,
    ) -> Result<(), Failure> {
        for effect in effects {
            match effect {
                Effect::FetchInfo(relay_parent) => fetch_info(context, jobs, relay_parent),
                Effect::Verify { relay_parent, batch } => verify(context, jobs, relay_parent, batch),
                Effect::Report(peer, conduct) => {
                    if let Err(error) = context.cast(ReportPeer::new(peer, conduct)) {
                        tracing::debug!(%error, "conduct of a peer goes uncounted");
                    }
                }
                Effect::Send { relay_parent, validator, peers, payload } => {
                    let message = SendMessage { peers, protocol: BITFIELD_PROTOCOL, payload };
                    if let Err(error) = context.cast(message) {
                        tracing::warn!(%error, "bitfield not sent; offered again when the peer's view changes");
                        self.state.not_sent(relay_parent, validator, &error.message.peers);
                    }
                }
                Effect::Provide(bitfield) => context.send::<Bitfield, _>(bitfield).await?,
            }
        }
        Ok(())
    }
}

fn fetch_info(context: &Context<BitfieldDistributionSubsystem>, jobs: &mut Work, relay_parent: Hash) {
    let (outlet, environment) = (context.jobs(), context.environment().clone());
    let work = async move {
        for attempt in 0..SESSION_ATTEMPTS {
            if attempt > 0 {
                environment.clock.sleep(Duration::from_millis(SESSION_RETRY_MS)).await;
            }
            match ask_info(&outlet, relay_parent).await {
                Ok(Ok(info)) => return JobResult::Info(Some(info)),
                Ok(Err(error)) => tracing::debug!(?relay_parent, %error, "session is not known"),
                Err(error) => {
                    tracing::debug!(?relay_parent, %error, "session cannot be asked for");
                    break;
                }
            }
        }
        JobResult::Info(None)
    };
    jobs.open(relay_parent, Ending::UntilStop);
    if let Err(error) = jobs.spawn(&relay_parent, "session", work) {
        tracing::warn!(?relay_parent, %error, "bitfields for this leaf are not handled");
    }
}

async fn ask_info(outlet: &JobOutlet, at: Hash) -> Result<Result<LeafInfo, RuntimeError>, AskError> {
    let session = match outlet.ask(GetSessionContext { at }).await? {
        Ok(session) => session,
        Err(error) => return Ok(Err(error)),
    };
    let cores = outlet.ask(GetAvailabilityCores { at }).await?;
    Ok(cores.map(|cores| LeafInfo { session, cores: cores.len() }))
}

fn verify(
    context: &Context<BitfieldDistributionSubsystem>,
    jobs: &mut Work,
    relay_parent: Hash,
    batch: Vec<SignedMessage>,
) {
    let pool = context.environment().compute.clone();
    let bytes = batch.iter().map(|message| message.message.len()).sum();
    let work = async move {
        let check = move || batch.iter().map(SignedMessage::verify).collect();
        let good = compute(&*pool, ComputeKind::VerifySignatures, bytes, check).await;
        JobResult::Verified(good.unwrap_or_else(|error| {
            tracing::warn!(?relay_parent, %error, "bitfields dropped unchecked");
            Vec::new()
        }))
    };
    if let Err(error) = jobs.spawn(&relay_parent, "verify", work) {
        tracing::warn!(?relay_parent, %error, "bitfields are not checked");
    }
}

impl Subsystem for BitfieldDistributionSubsystem {
    type Role = BitfieldDistribution;
    type View = RelayParents;
    type Sends = (Wait<Bitfield>, Cast<SendMessage>, Cast<ReportPeer>);
    type JobSends = (Ask<GetSessionContext>, Ask<GetAvailabilityCores>);

    async fn run(mut self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut jobs = Work::new(context.environment().clone(), JOBS_MAX);
        loop {
            let effects = match jobs::next(&mut context, &mut jobs).await {
                Input::Event(Event::Signal(update)) => {
                    let effects = self.state.heartbeat(&update);
                    jobs.end_by_view(self.state.leaves());
                    effects
                }
                Input::Event(Event::Message(Inbox::DistributeBitfield(message))) => self.state.distribute(message),
                Input::Event(Event::Message(Inbox::NetworkUpdate(update))) => self.state.network(update.0),
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Job(end) => match end.into_result() {
                    Some((relay_parent, JobResult::Info(Some(info)))) => self.state.info(relay_parent, info),
                    Some((relay_parent, JobResult::Info(None))) => {
                        tracing::warn!(?relay_parent, "bitfields for this leaf are not handled: no session");
                        Vec::new()
                    }
                    Some((relay_parent, JobResult::Verified(good))) => self.state.verified(relay_parent, &good),
                    None => Vec::new(),
                },
            };
            self.apply(&mut context, &mut jobs, effects).await?;
        }
    }
}
