//! What a node counts beside its overseer: the chain.

use relay_chain::{ChainStatus, Held};
use telemetry::{Figure, FigureKind, NodeMetrics, TelemetryError};

use crate::Node;

impl Node {
    /// The metrics of overseer and chain, read whenever they are asked for.
    ///
    /// # Errors
    /// If they cannot be registered.
    pub fn metrics(&self) -> Result<NodeMetrics, TelemetryError> {
        let metrics = NodeMetrics::new(self.name(), self.handle().clone())?;
        let chain = self.chain().clone();
        metrics.add_figures(move || figures(&chain.status(), &chain.held()))?;
        Ok(metrics)
    }
}

fn figures(status: &ChainStatus, held: &Held) -> Vec<Figure> {
    // Whoever adds a number decides here whether operators see it.
    let &ChainStatus {
        best,
        finalized,
        leaves,
        blocks,
        forks,
        authored,
        refused,
        abandoned,
        too_late,
        double_votes,
        reports,
        transactions,
        set_id,
        peers,
    } = status;
    let &Held { blocks: held, waiting: _, condemned, offenders, feeds } = held;
    let total = |name, help, value| Figure { name, help, kind: FigureKind::Total, value };
    let now = |name, help, value| Figure { name, help, kind: FigureKind::Now, value };
    vec![
        total("chain_blocks_imported_total", "Blocks imported", blocks),
        total("chain_forks_total", "Blocks imported whose parent had a child already", forks),
        total("chain_blocks_authored_total", "Blocks authored", authored),
        total("chain_blocks_refused_total", "Blocks refused that somebody is to blame for", refused),
        total(
            "chain_forks_abandoned_total",
            "Forks given up because they include a candidate that was judged invalid",
            abandoned,
        ),
        total(
            "chain_alarms_total",
            "Candidates in final blocks that were judged invalid, and finalizations of what was given up: people must decide",
            too_late,
        ),
        total(
            "chain_double_votes_total",
            "Voters found to have voted for finality twice in one stage of one round: people must decide",
            double_votes,
        ),
        now("chain_best_block", "Height of the best block", best.1.into()),
        now("chain_finalized_block", "Height of the finalized block", finalized.1.into()),
        now("chain_leaves", "Heads of all forks", leaves as u64),
        now("chain_voter_set", "The set of voters that finalizes the next block", set_id),
        now("chain_peers", "Peers on the block protocol", peers as u64),
        now("chain_reports_waiting", "Misbehavior reports that wait for a block", reports as u64),
        now("chain_transactions_waiting", "Transactions that wait for a block", transactions as u64),
        now("chain_blocks_held", "Blocks held in memory, each with its state", held as u64),
        now("chain_condemned_candidates", "Candidates judged invalid that are remembered", condemned as u64),
        now("chain_offenders", "Peers whose offences are remembered", offenders as u64),
        now("chain_readers", "Readers of the chain's events", feeds as u64),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::Hash;
    use std::collections::BTreeSet;

    #[test]
    fn each_number_is_shown_once() {
        let status = ChainStatus {
            best: (Hash::ZERO, 20),
            finalized: (Hash::ZERO, 19),
            leaves: 3,
            blocks: 21,
            forks: 5,
            authored: 6,
            refused: 7,
            abandoned: 8,
            too_late: 9,
            double_votes: 22,
            reports: 10,
            transactions: 11,
            set_id: 12,
            peers: 13,
        };
        let held = Held { blocks: 14, waiting: 0, condemned: 15, offenders: 16, feeds: 17 };
        let figures = figures(&status, &held);
        let shown: BTreeSet<u64> = figures.iter().map(|figure| figure.value).collect();
        assert_eq!(shown, (3..=22).filter(|value| ![4, 18].contains(value)).collect());
        assert_eq!(figures.len(), shown.len());
        let alarms = figures.iter().find(|figure| figure.name == "chain_alarms_total");
        assert_eq!(alarms.map(|figure| figure.value), Some(9));
        for figure in &figures {
            assert_eq!(figure.name.ends_with("_total"), figure.kind == FigureKind::Total, "{}", figure.name);
        }
    }
}
