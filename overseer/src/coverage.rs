//! What a test of a whole node should ask at its end: is there a message that is declared and never sent, or consumed
//! and never declared? Neither is an error of the wiring; each is a line that nobody needs, or a case that no test
//! runs.

use crate::node::Handle;
use crate::topology::Edge;

impl Handle {
    /// Sends that the wiring declares and nobody has used so far, as `from → to: Message`, in its order. Empty at the
    /// end of a test that exercises the whole node; what is left is a declaration nobody needs, or a case that no test
    /// runs.
    pub fn never_sent(&self) -> Vec<String> {
        let mut used = self.edges();
        used.retain(|edge| edge.sent + edge.refused + edge.merged > 0);
        let is_used = |edge: &&Edge| {
            used.iter().any(|it| (it.from, it.origin, it.declared) == (edge.from, edge.origin, edge.declared))
        };
        // Of the topology: an outside that nobody ever was has no counters.
        let unused = self.topology().edges.iter().filter(|edge| !is_used(edge));
        unused.map(|edge| format!("{} → {}: {}", edge.from, edge.declared.to, edge.declared.message)).collect()
    }

    /// Messages that a slot consumes and nobody declares to send, as `to: Message`, in the order of the wiring. Known
    /// as soon as the node is built.
    pub fn never_declared(&self) -> Vec<String> {
        let topology = self.topology();
        let is_declared = |to: &str, message: &str| {
            topology.edges.iter().any(|edge| edge.declared.to == to && edge.declared.message == message)
        };
        let readers = self.shared.readers.iter();
        let consumed = readers.flat_map(|it| it.gauge.messages().iter().map(move |message| (it.subsystem, *message)));
        let undeclared = consumed.filter(|(to, message)| !is_declared(to, message));
        undeclared.map(|(to, message)| format!("{to}: {message}")).collect()
    }
}
