//! What a test of a whole node should ask at its end: is there a message that is declared and never sent, or consumed
//! and never declared? Neither is an error of the wiring; each is a line that nobody needs, or a case that no test
//! runs.

use overseer_core::sync::lock;

use crate::node::Handle;

impl Handle {
    /// Declared sends that nobody has used so far, as `from → to: Message`, in the order of the wiring. Empty at the
    /// end of a test that exercises the whole node; what is left is a declaration nobody needs, or a case that no test
    /// runs.
    pub fn never_sent(&self) -> Vec<String> {
        let edges = lock(&self.shared.switchboard).edges.clone();
        let unused = edges.iter().map(|edge| edge.snapshot());
        let unused = unused.filter(|edge| edge.sent + edge.refused + edge.merged == 0);
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
