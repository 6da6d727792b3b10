//! Peer set manager: who we are connected to, and why.
//!
//! **Role**: keeps sets of peers per role, each with slots of its own; accepts and rejects by slots and reputation; keeps
//! reserved peers connected, with back-off (PM-1).
//!
//! **Step**: a service for all steps that talk to peers.
//!
//! **Receives**: `PeerStatus` from the network bridge. No heartbeat: peers come and go by the clock, not by blocks.
//!
//! **Sends**: `SetConnected` to the network bridge.
//!
//! **Invariants**: a reserved peer is never sent away, and while it is gone it is dialled again, at growing intervals.
//! No set holds more peers than it has slots; one of a worse reputation makes room for one of a better. A peer is in the
//! set of validators only if the bridge has seen its proof.
//!
//! **Limits**: [`RESERVED_MAX`] reserved peers, the configured slots for all others. It finds nobody by itself:
//! validators are known from the configuration or come to us; their discovery by session key in the DHT (PM-2) is no
//! part of this crate.
//!
//! **Conclude**: returns at once; connections are left to the network.

#![forbid(unsafe_code)]

mod state;
#[cfg(test)]
mod tests;

use std::future::pending;

use messages::network_bridge::SetConnected;
use messages::peer_set_manager::{Inbox, PeerSetManager};
use overseer::{Cast, Context, Event, Failure, Nothing, Subsystem};

use state::State;
pub use state::{BACK_OFF_MAX, BACK_OFF_MIN, PeerSetConfig, REPUTATION_TO_ENTER, RESERVED_MAX, STABLE_AFTER};

/// Decides whom the bridge is to be connected to.
pub struct PeerSetManagerSubsystem {
    config: PeerSetConfig,
}

impl PeerSetManagerSubsystem {
    /// With these reserved peers and slots.
    pub fn new(config: PeerSetConfig) -> Self {
        Self { config }
    }
}

impl Subsystem for PeerSetManagerSubsystem {
    type Role = PeerSetManager;
    type View = Nothing;
    type Sends = (Cast<SetConnected>,);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let clock = context.environment().clock.clone();
        let mut state = State::new(self.config, clock.now());
        loop {
            let next_dial = state.next_dial();
            let timer = async {
                match next_dial {
                    Some(at) => clock.sleep_until(at).await,
                    None => pending().await,
                }
            };
            let decisions = tokio::select! {
                biased;
                () = timer => state.dial(clock.now()),
                event = context.recv() => match event {
                    Event::Message(Inbox::PeerStatus(status)) => state.status(clock.now(), &status),
                    Event::Signal(never) => match never {},
                    Event::Conclude => return Ok(()),
                },
            };
            for decision in decisions {
                // A dial is repeated by the back-off, a rejection with the peer's next status.
                if let Err(error) = context.cast(decision) {
                    tracing::warn!(%error, "decision on a peer was not taken");
                }
            }
        }
    }
}
