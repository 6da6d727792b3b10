//! Step 8's question from outside: what to put into a block.

use std::time::Duration;

use async_trait::async_trait;
use leaves::RelayParents;
use messages::provisioner::RequestBlockAuthorshipData;
use overseer::node::FromOutside;
use overseer::{Environment, Handle, Outlet};
use ports::{InherentSource, InherentSourceError};
use primitives::{Hash, InherentData};

use crate::wiring::BlockAuthor;

/// How long an author waits for its inherent; after that it authors without candidates.
pub const AUTHORSHIP_TIMEOUT: Duration = Duration::from_millis(500);

/// The provisioner, as seen by the author.
pub(crate) struct ProvisionedInherents {
    pub(crate) environment: Environment,
    pub(crate) handle: Handle,
    pub(crate) outlet: Outlet<FromOutside<BlockAuthor>>,
}

#[async_trait]
impl InherentSource for ProvisionedInherents {
    async fn inherent_data(&self, parent: Hash) -> Result<InherentData, InherentSourceError> {
        let failed = |reason: String| InherentSourceError { parent, reason };
        let asked = async {
            // An author that has just imported the parent must not ask before its signal is published.
            self.handle.wait_until::<RelayParents>(|state| state.leaves.contains_key(&parent)).await;
            self.outlet.ask(RequestBlockAuthorshipData { parent }).await
        };
        match deterministic::timeout(&*self.environment.clock, AUTHORSHIP_TIMEOUT, asked).await {
            None => Err(failed("no answer in time".to_owned())),
            Some(Err(error)) => Err(failed(error.to_string())),
            Some(Ok(Err(error))) => Err(failed(error.to_string())),
            Some(Ok(Ok(data))) => Ok(data),
        }
    }
}
