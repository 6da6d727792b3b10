//! The graph of a node: who sends what to whom, and who waits for whom. Read from the declarations, so it is known
//! before anything runs, and is what a picture of the node is drawn from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::message::WhenFull;
use crate::wiring::{DeclaredSend, Origin, SendKind};

/// One declared send of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The sender's name.
    pub from: &'static str,
    /// Which part of it sends.
    pub origin: Origin,
    /// What, to whom, how.
    pub declared: DeclaredSend,
}

impl Edge {
    /// How it is sent, in a word: `wait`, `ask`, `cast lossy`, `cast merged(64)`, `cast budgeted(64)`, `cast
    /// outbox(64)`.
    pub fn kind(&self) -> String {
        match (self.declared.kind, self.declared.when_full) {
            (SendKind::Wait, _) => "wait".to_owned(),
            (SendKind::Ask, _) => "ask".to_owned(),
            (SendKind::Cast, Some(WhenFull::Merged(places))) => format!("cast merged({places})"),
            (SendKind::Cast, Some(WhenFull::Budgeted(places))) => format!("cast budgeted({places})"),
            (SendKind::Cast, Some(WhenFull::Outbox(places))) => format!("cast outbox({places})"),
            (SendKind::Cast, Some(WhenFull::Lossy) | None) => "cast lossy".to_owned(),
        }
    }

    fn words(&self) -> Words {
        let Self { from, declared: DeclaredSend { message, to, .. }, .. } = *self;
        Words { from, origin: self.origin_name(), to, message, kind: self.kind() }
    }

    /// From where in the sender, in a word: `loop`, `jobs` or `outside`.
    pub fn origin_name(&self) -> &'static str {
        match self.origin {
            Origin::Loop => "loop",
            Origin::Jobs => "jobs",
            Origin::Outside => "outside",
        }
    }
}

/// What is written of an edge.
struct Words {
    from: &'static str,
    origin: &'static str,
    to: &'static str,
    message: &'static str,
    kind: String,
}

/// A node of the waiting graph: a subsystem's loop or its jobs.
type Waiter = (&'static str, Origin);

/// Slots in the order of the wiring and every declared edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// The names of the slots, in the order of the wiring.
    pub slots: Vec<&'static str>,
    /// Who sends from outside.
    pub outsides: Vec<&'static str>,
    /// All edges, by sender in the order of the wiring.
    pub edges: Vec<Edge>,
}

impl Topology {
    /// A cycle of sends that wait for each other, as a sentence per step; `None` if there is none. A cast waits for
    /// nobody. A question waits for the loop and for the jobs of who answers; a loop never waits for its own jobs.
    pub fn waiting_cycle(&self) -> Option<Vec<String>> {
        let mut waits: BTreeMap<Waiter, Vec<(Waiter, &Edge)>> = BTreeMap::new();
        for edge in &self.edges {
            let targets: &[Origin] = match edge.declared.kind {
                SendKind::Cast => &[],
                SendKind::Wait => &[Origin::Loop],
                SendKind::Ask => &[Origin::Loop, Origin::Jobs],
            };
            let list = waits.entry((edge.from, edge.origin)).or_default();
            list.extend(targets.iter().map(|origin| ((edge.declared.to, *origin), edge)));
        }
        let mut finished = BTreeSet::new();
        for start in waits.keys() {
            let mut path = Vec::new();
            if let Some(cycle) = search(*start, &waits, &mut finished, &mut path) {
                return Some(cycle);
            }
        }
        None
    }

    /// The graph for Graphviz's `dot`: slots as boxes, outsides as ellipses, casts dashed.
    pub fn to_dot(&self) -> String {
        let mut out = String::from("digraph overseer {\n    rankdir=LR;\n    node [shape=box];\n");
        for slot in &self.slots {
            let _ = writeln!(out, "    \"{slot}\";");
        }
        for outside in &self.outsides {
            let _ = writeln!(out, "    \"{outside}\" [shape=ellipse];");
        }
        for edge in &self.edges {
            let style = if edge.declared.kind == SendKind::Cast { ", style=dashed" } else { "" };
            let Words { from, origin, to, message, kind } = edge.words();
            let _ = writeln!(out, "    \"{from}\" -> \"{to}\" [label=\"{message} ({kind}, {origin})\"{style}];");
        }
        out.push_str("}\n");
        out
    }

    /// The graph as a Mermaid flow chart. Casts are dotted.
    pub fn to_mermaid(&self) -> String {
        let mut out = String::from("flowchart LR\n");
        for slot in &self.slots {
            let _ = writeln!(out, "    {slot}[{slot}]");
        }
        for outside in &self.outsides {
            let _ = writeln!(out, "    {outside}([{outside}])");
        }
        for edge in &self.edges {
            let arrow = if edge.declared.kind == SendKind::Cast { "-.->" } else { "-->" };
            let _ = writeln!(out, "    {} {arrow}|{}| {}", edge.from, edge.declared.message, edge.declared.to);
        }
        out
    }

    /// The graph as JSON, one object: `{"slots":[…],"outsides":[…],"edges":[{"from","origin","to","message","kind"}]}`.
    /// Names are Rust identifiers and kebab-case words, so nothing needs escaping.
    pub fn to_json(&self) -> String {
        let quoted = |names: &[&str]| names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
        let line = |edge: &Edge| {
            let Words { from, origin, to, message, kind } = edge.words();
            format!(r#"  {{"from":"{from}","origin":"{origin}","to":"{to}","message":"{message}","kind":"{kind}"}}"#)
        };
        let edges = self.edges.iter().map(line).collect::<Vec<_>>().join(",\n");
        let (slots, outsides) = (quoted(&self.slots), quoted(&self.outsides));
        format!("{{\"slots\":[{slots}],\"outsides\":[{outsides}],\"edges\":[\n{edges}\n]}}\n")
    }
}

/// Depth-first; the depth is at most twice the number of slots.
fn search(
    at: Waiter,
    waits: &BTreeMap<Waiter, Vec<(Waiter, &Edge)>>,
    finished: &mut BTreeSet<Waiter>,
    path: &mut Vec<(Waiter, String)>,
) -> Option<Vec<String>> {
    if let Some(start) = path.iter().position(|(waiter, _)| *waiter == at) {
        return Some(path[start..].iter().map(|(_, step)| step.clone()).collect());
    }
    if finished.contains(&at) {
        return None;
    }
    for (next, edge) in waits.get(&at).into_iter().flatten() {
        let verb = if edge.declared.kind == SendKind::Ask { "asks" } else { "waits with" };
        let Words { from, origin, to, message, .. } = edge.words();
        path.push((at, format!("{from} ({origin}) {verb} {message} at {to}")));
        if let Some(cycle) = search(*next, waits, finished, path) {
            return Some(cycle);
        }
        path.pop();
    }
    finished.insert(at);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &'static str, origin: Origin, kind: SendKind, to: &'static str) -> Edge {
        Edge { from, origin, declared: DeclaredSend { message: "M", to, kind, when_full: None } }
    }

    fn cycle(edges: &[Edge]) -> Option<Vec<String>> {
        Topology { edges: edges.to_vec(), ..Topology::default() }.waiting_cycle()
    }

    #[test]
    fn two_loops_that_wait_for_each_other_are_named() {
        use {Origin::Loop, SendKind::Wait};
        let found = cycle(&[edge("a", Loop, Wait, "b"), edge("b", Loop, Wait, "a")]).unwrap();
        assert_eq!(found, ["a (loop) waits with M at b", "b (loop) waits with M at a"]);
    }

    #[test]
    fn a_cast_breaks_a_cycle() {
        use {Origin::Loop, SendKind::*};
        assert_eq!(cycle(&[edge("a", Loop, Wait, "b"), edge("b", Loop, Cast, "a")]), None);
    }

    #[test]
    fn a_loop_does_not_wait_for_its_jobs_but_a_question_waits_for_both() {
        use {Origin::*, SendKind::*};
        // a's jobs ask b, b's loop waits for a's loop: a's loop is free.
        assert_eq!(cycle(&[edge("a", Jobs, Ask, "b"), edge("b", Loop, Wait, "a")]), None);
        // b answers from a job that asks a, which answers from a job that asks b.
        assert!(cycle(&[edge("a", Jobs, Ask, "b"), edge("b", Jobs, Ask, "a")]).is_some());
    }
}
