//! What a local network has reached, in the end.

use std::collections::BTreeMap;

use overseer::port::EdgeSnapshot;
use serde::Serialize;

use super::SightSummary;

/// One para's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParaSummary {
    /// The para.
    pub para: u32,
    /// Candidates included on the best fork.
    pub included: u64,
    /// Blocks of that fork in which no candidate of the para was backed.
    pub skipped: u64,
}

/// One edge of the bus, summed over all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EdgeSummary {
    /// The sender.
    pub from: &'static str,
    /// The consumer.
    pub to: &'static str,
    /// The message.
    pub message: &'static str,
    /// How often it was sent.
    pub count: u64,
}

/// The last line of `parahost dev --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Always `summary`.
    pub event: &'static str,
    /// Whether every para reached the goal and every node ended in order.
    pub ok: bool,
    /// Time since start, in milliseconds.
    pub elapsed_ms: u64,
    /// Blocks imported by the first validator.
    pub blocks: u64,
    /// How many of them were a second one of their height.
    pub forks: u64,
    /// Height of the last final block.
    pub finalized: u32,
    /// Per para.
    pub paras: Vec<ParaSummary>,
    /// Median slots from relay parent to inclusion.
    pub median_slots_to_inclusion: Option<u64>,
    /// Payload bytes sent by all nodes.
    pub bytes_on_the_wire: u64,
    /// What the scenario was to show.
    pub scenario: Vec<SightSummary>,
    /// The step that stood still, if the goal was not reached.
    pub stuck: Option<&'static str>,
    /// Per edge of the bus.
    pub edges: Vec<EdgeSummary>,
    /// Every subsystem that ran, in the order of the wiring.
    pub subsystems: Vec<&'static str>,
}

/// Sums equal edges, in the order of their first appearance by name.
pub(super) fn sum_edges(edges: impl IntoIterator<Item = EdgeSnapshot>) -> Vec<EdgeSummary> {
    let mut sums: BTreeMap<(&'static str, &'static str, &'static str), u64> = BTreeMap::new();
    for edge in edges {
        *sums.entry((edge.from, edge.declared.to, edge.declared.message)).or_default() += edge.sent;
    }
    sums.into_iter().map(|((from, to, message), count)| EdgeSummary { from, to, message, count }).collect()
}
