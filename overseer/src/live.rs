//! The topology with its counters, as a page of text.

use std::fmt::Write as _;
use std::time::Duration;

use crate::mailbox::Histogram;
use crate::node::{Handle, QueueSnapshot};
use crate::port::EdgeSnapshot;
use crate::topology::Edge;

impl Handle {
    /// The graph as it runs: each subsystem with its queue, its lag and how busy it is, and below it what it sends, with
    /// what was counted so far; then who sends from outside; then who waits for whom for long.
    pub fn live_topology(&self) -> String {
        let edges = self.edges();
        let mut page = String::new();
        for queue in self.queues() {
            queue_line(&mut page, &queue);
            edges.iter().filter(|edge| edge.from == queue.subsystem).for_each(|edge| edge_line(&mut page, edge));
        }
        let slots = &self.topology().slots;
        let mut outside = None;
        for edge in edges.iter().filter(|edge| !slots.contains(&edge.from)) {
            if outside.replace(edge.from) != Some(edge.from) {
                let _ = writeln!(page, "{}", edge.from);
            }
            edge_line(&mut page, edge);
        }
        for chain in self.readiness().chains {
            let _ = writeln!(page, "slow: {chain}");
        }
        page
    }
}

fn queue_line(page: &mut String, queue: &QueueSnapshot) {
    let QueueSnapshot { subsystem, waiting, limit, lag, .. } = queue;
    let _ = write!(page, "{subsystem}: {waiting} of {limit} messages wait, {lag} signals behind");
    if let Some(share) = queue.busy.share() {
        let _ = write!(page, ", busy {:.0} %", share * 100.0);
    }
    page.push('\n');
}

fn edge_line(page: &mut String, edge: &EdgeSnapshot) {
    let shape = Edge { from: edge.from, origin: edge.origin, declared: edge.declared };
    let (message, to) = (edge.declared.message, edge.declared.to);
    let _ = write!(page, "    {message} → {to} ({}, {}): {} sent", shape.kind(), shape.origin_name(), edge.sent);
    for (count, what) in [
        (edge.refused, "refused"),
        (edge.merged, "merged"),
        (edge.queued, "queued"),
        (edge.waited, "had to wait"),
        (edge.waiting, "wait now"),
        (edge.in_flight, "without an answer yet"),
        (edge.open_feeds, "feeds open"),
    ] {
        if count > 0 {
            let _ = write!(page, ", {count} {what}");
        }
    }
    if edge.queued > 0 {
        let _ = write!(page, " ({:.0} % of the queue)", edge.fill() * 100.0);
    }
    if let Some(times) = &edge.times {
        let (queued, handled) = (mean(&times.queued), mean(&times.handled));
        let _ = write!(page, ", {queued:.1?} in the queue, {handled:.1?} at work");
    }
    page.push('\n');
}

fn mean(times: &Histogram) -> Duration {
    Duration::from_nanos(times.sum_nanos / times.count().max(1))
}
