//! The kinds of all edges of this node: what keeps it free of circles, as ARCHITECTURE.md says.

use overseer::topology::Edge;

fn edges() -> Vec<Edge> {
    node::topology().expect("the default wiring builds").edges
}

fn kinds(message: &str) -> Vec<String> {
    let mut kinds: Vec<String> = edges()
        .iter()
        .filter(|edge| edge.declared.message == message)
        .map(|edge| format!("{} {} {}", edge.from, edge.origin_name(), edge.kind()))
        .collect();
    kinds.sort();
    kinds
}

#[test]
fn nobody_waits_for_the_bridge_from_a_loop() {
    let waiting: Vec<Edge> = edges()
        .into_iter()
        .filter(|edge| edge.declared.to == "network-bridge" && edge.origin_name() == "loop")
        .filter(|edge| !edge.kind().starts_with("cast"))
        .collect();
    assert_eq!(waiting, []);
}

#[test]
fn loops_never_ask() {
    let asking: Vec<Edge> =
        edges().into_iter().filter(|edge| edge.origin_name() == "loop" && edge.kind() == "ask").collect();
    assert_eq!(asking, []);
}

#[test]
fn the_kinds_of_the_known_edges() {
    assert_eq!(kinds("Share"), ["candidate-backing loop cast budgeted(256)"]);
    assert_eq!(kinds("Invalid"), ["candidate-backing loop cast budgeted(64)"]);
    assert_eq!(kinds("Seconded"), ["candidate-backing loop cast budgeted(64)"]);
    assert_eq!(kinds("Second"), ["candidate-selection loop wait"]);
    assert_eq!(kinds("Statement"), ["statement-distribution loop wait"]);
    assert_eq!(kinds("NewCandidate"), ["collation-distribution loop wait"]);
    assert_eq!(kinds("FetchCollation"), ["candidate-selection jobs ask"]);
    assert!(kinds("NetworkUpdate").iter().all(|kind| kind == "network-bridge jobs wait"));
    assert_eq!(kinds("NetworkUpdate").len(), 5, "one pump per protocol");
    assert!(kinds("SendMessage").iter().all(|kind| kind.ends_with("loop cast outbox(4096)")));
    assert!(kinds("ReportPeer").iter().all(|kind| kind.ends_with("cast merged(1024)")));
    assert_eq!(kinds("RequestBlockAuthorshipData"), ["block-author outside ask"]);
}

#[test]
fn every_slot_is_filled_in_the_order_of_the_table() {
    let slots = node::topology().expect("the default wiring builds").slots;
    assert_eq!(
        slots,
        [
            "collation-generation",
            "collation-distribution",
            "candidate-selection",
            "candidate-validation",
            "candidate-backing",
            "statement-distribution",
            "pov-distribution",
            "provisioner",
            "availability-store",
            "availability-distribution",
            "availability-recovery",
            "bitfield-signing",
            "bitfield-distribution",
            "misbehavior-arbitration",
            "network-bridge",
            "peer-set-manager",
            "runtime-api",
            "chain-api",
        ]
    );
}

/// A line per sender and kind: `sender (loop) kind: Message → consumer, …`.
fn rendered() -> String {
    let mut lines: std::collections::BTreeMap<(usize, &'static str, String), (&'static str, Vec<String>)> =
        std::collections::BTreeMap::new();
    let topology = node::topology().expect("the default wiring builds");
    let order = |name: &str| topology.slots.iter().position(|slot| *slot == name).unwrap_or(topology.slots.len());
    for edge in &topology.edges {
        let key = (order(edge.from), edge.origin_name(), edge.kind());
        let entry = lines.entry(key).or_insert_with(|| (edge.from, Vec::new()));
        entry.1.push(format!("`{}` → {}", edge.declared.message, edge.declared.to));
    }
    let line = |((_, origin, kind), (from, messages)): (&(usize, &str, String), &(&str, Vec<String>))| {
        format!("- {from}, {origin}, *{kind}*: {}\n", messages.join(", "))
    };
    lines.iter().map(line).collect()
}

#[test]
fn architecture_names_every_edge_with_its_kind() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md");
    let page = std::fs::read_to_string(path).expect("the page is part of the repository");
    let listed = page.split("<!-- edges -->\n").nth(1).and_then(|rest| rest.split("<!-- /edges -->").next());
    let rendered = rendered();
    assert_eq!(listed, Some(rendered.as_str()), "ARCHITECTURE.md between its edge marks should be:\n{rendered}");
}
