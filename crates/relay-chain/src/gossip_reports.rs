//! Misbehavior reports between peers: checked in full before they are kept or passed on.

use std::sync::Arc;

use codec::Encode;
use futures::{FutureExt, pin_mut, select_biased};
use ports::{NetworkEvent, PeerId, ProtocolEvents};
use primitives::{MisbehaviorReport, decode_limited};
use runtime::{ReportError, State};

use crate::{
    chain::Chain,
    messages::{MAX_REPORT_BYTES, REPORT_PROTOCOL},
    reports::{REPORTS_MAX, ReportRefused},
};

// Whoever comes is told all that wait at once.
const _: () = assert!(REPORTS_MAX * MAX_REPORT_BYTES <= ports::PROTOCOL_QUEUE_BYTES / 2);
const _: () = assert!(REPORTS_MAX <= ports::PROTOCOL_QUEUE_MESSAGES / 2);

/// Checks a report, keeps it for the next block that we author, and passes it on if it is new. Returns whether it was.
pub(crate) fn submit(chain: &Chain, report: MisbehaviorReport, from: Option<&PeerId>) -> Result<bool, ReportRefused> {
    let (best, finalized) = (chain.best().data.state, chain.finalized().data.state);
    // What the best chain has may be wanted on another fork, until it is final.
    let has = |state: &State| {
        matches!(state.check_report(&report), Err(ReportError::AlreadyReported { .. } | ReportError::Enough { .. }))
    };
    if has(&best) && has(&finalized) {
        return Ok(false);
    }
    let is_new = chain.reports().add(report.clone(), best.validators_of(report.session_index()))?;
    if is_new {
        tracing::info!(validator = %report.validator_index, session = report.session_index(), "misbehavior proven");
        chain.broadcast(REPORT_PROTOCOL, &report.encode().into(), from);
    }
    Ok(is_new)
}

/// The loop of the report protocol.
pub(crate) async fn run(chain: Arc<Chain>, mut events: Box<dyn ProtocolEvents>) {
    let stopped = chain.until_stopped().fuse();
    pin_mut!(stopped);
    loop {
        let event = select_biased! {
            () = stopped => return,
            event = events.next().fuse() => event,
        };
        match event {
            None => return,
            Some(NetworkEvent::Connected { peer, handshake }) => {
                // The block protocol refuses peers of other chains.
                if handshake == chain.handshake() {
                    let waiting: Vec<Vec<u8>> = chain.reports().all().map(Encode::encode).collect();
                    for report in waiting {
                        chain.send(&peer, REPORT_PROTOCOL, report.into());
                    }
                    chain.peer_connected(REPORT_PROTOCOL, peer);
                }
            }
            Some(NetworkEvent::Disconnected { peer }) => chain.peer_disconnected(REPORT_PROTOCOL, &peer),
            Some(NetworkEvent::Message { peer, payload }) => {
                match decode_limited::<MisbehaviorReport>(&payload, MAX_REPORT_BYTES) {
                    Ok(report) => match submit(&chain, report, Some(&peer)) {
                        Err(error) if error.is_offence() => chain.offence(&peer, &error),
                        Err(error) => tracing::debug!(%peer, %error, "report not taken"),
                        Ok(_) => {}
                    },
                    Err(error) => chain.offence(&peer, &error),
                }
            }
            // Nothing can be asked here: dropping the request refuses it.
            Some(NetworkEvent::Request { .. }) => {}
        }
    }
}
