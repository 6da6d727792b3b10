//! Who may depend on whom. Arrows point down the layers, or stay within one where nothing below forbids it.

use super::Finding;
use crate::house::{Dependency, DependencyKind, House, Package};
use std::collections::BTreeMap;

/// Every room of the house and its layer. `*` stands for one folder name.
///
/// `leaves` is a supporting crate of layer 2, not 0: it speaks through the overseer's traits.
pub const LAYERS: &[(&str, u8)] = &[
    ("runtime", 0),
    ("crates/primitives", 0),
    ("crates/erasure-coding", 0),
    ("test-parachains", 0),
    ("overseer", 1),
    ("overseer-core", 1),
    ("crates/deterministic", 1),
    ("messages", 2),
    ("jobs", 2),
    ("mocks", 2),
    ("crates/ports", 2),
    ("crates/journal", 2),
    ("crates/leaves", 2),
    ("subsystems/*", 3),
    ("crates/keystore", ADAPTER_LAYER),
    ("crates/validation-executor", ADAPTER_LAYER),
    ("crates/network", ADAPTER_LAYER),
    ("crates/store", ADAPTER_LAYER),
    ("crates/relay-chain", ADAPTER_LAYER),
    ("crates/telemetry", ADAPTER_LAYER),
    ("crates/node", 5),
    ("node-bin", 6),
    ("tests", TOP_LAYER),
    ("examples/*", TOP_LAYER),
    ("xtask", TOP_LAYER),
];

/// What stands behind the ports.
const ADAPTER_LAYER: u8 = 4;
/// What nothing depends on.
const TOP_LAYER: u8 = 7;
/// The crates of ours that the framework may use.
const OVERSEER_MAY_USE: &[&str] = &["deterministic", "overseer-core"];
/// Crates that bring an executor, I/O or global state: nothing for a state machine that every node replays.
const NOT_IN_RUNTIME: &[&str] = &[
    "async-trait",
    "async-std",
    "crossbeam",
    "dashmap",
    "futures",
    "futures-util",
    "kanal",
    "libc",
    "libp2p",
    "mio",
    "parking_lot",
    "prometheus",
    "rayon",
    "sled",
    "smol",
    "tokio",
    "tracing",
    "wasmtime",
];

/// The layer of a folder, or nothing for a folder the table does not know.
#[must_use]
pub fn layer_of(folder: &str) -> Option<u8> {
    let matches = |pattern: &str| match pattern.strip_suffix("/*") {
        Some(parent) => folder
            .strip_prefix(parent)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|name| !name.is_empty() && !name.contains('/')),
        None => folder == pattern,
    };
    LAYERS.iter().find(|(pattern, _)| matches(pattern)).map(|&(_, layer)| layer)
}

pub(super) fn check(house: &House, findings: &mut Vec<Finding>) {
    let ours: BTreeMap<&str, &Package> =
        house.packages.iter().map(|package| (package.name.as_str(), package)).collect();
    for package in &house.packages {
        if layer_of(&package.folder).is_none() {
            findings.push(Finding::error(
                "layers",
                &package.manifest(),
                None,
                format!("`{}` stands in no layer", package.name),
                "give its folder a line in LAYERS, xtask/src/tidy/layers.rs, or move it to a folder that has one",
            ));
        }
        for dependency in &package.dependencies {
            let breach = match ours.get(dependency.name.as_str()) {
                Some(target) => breach_between_ours(package, target, dependency.kind),
                None => breach_with_others(package, dependency),
            };
            if let Some((rule, what, mend)) = breach {
                let line = house.dependency_line(package, &dependency.name);
                findings.push(Finding::error(rule, &package.manifest(), line, what, mend));
            }
        }
    }
}

type Breach = Option<(&'static str, String, &'static str)>;

fn breach_between_ours(from: &Package, to: &Package, kind: DependencyKind) -> Breach {
    let (from_name, to_name) = (&from.name, &to.name);
    if is_subsystem(from) && is_subsystem(to) {
        return Some((
            "subsystem-apart",
            format!("subsystem `{from_name}` depends on subsystem `{to_name}`"),
            "say it with a message: its type goes to messages/, both subsystems declare it, neither knows the other",
        ));
    }
    if from.folder == "overseer" && !OVERSEER_MAY_USE.contains(&to_name.as_str()) {
        return Some((
            "overseer-alone",
            format!("`overseer` depends on `{to_name}`"),
            "the framework knows no word of its users: make the thing a type parameter or a trait of overseer",
        ));
    }
    if to.folder == "mocks" {
        let allowed = kind == DependencyKind::Dev || from.folder == "tests";
        return (!allowed).then(|| {
            (
                "mocks-only-in-dev",
                format!("`{from_name}` depends on `mocks` in a normal build"),
                "move the line to [dev-dependencies]",
            )
        });
    }
    // A test may put anything beside anything, above or below.
    if kind == DependencyKind::Dev {
        return None;
    }
    let (from_layer, to_layer) = (layer_of(&from.folder)?, layer_of(&to.folder)?);
    if from_layer == ADAPTER_LAYER && to_layer == ADAPTER_LAYER {
        return Some((
            "adapter-apart",
            format!("adapter `{from_name}` depends on adapter `{to_name}`"),
            "depend on the port's trait in `ports`; crates/node hands the adapter in",
        ));
    }
    if from_layer == ADAPTER_LAYER && is_subsystem(to) {
        return Some((
            "adapter-apart",
            format!("adapter `{from_name}` depends on subsystem `{to_name}`"),
            "an adapter is called through its port and calls nobody; move what both need to `ports` or `primitives`",
        ));
    }
    (to_layer > from_layer).then(|| {
        (
            "layers",
            format!(
                "`{from_name}` (layer {from_layer}) depends on `{to_name}` (layer {to_layer}): the arrow points up"
            ),
            "move what is needed to the lower layer, or take it in through a trait of `ports`",
        )
    })
}

fn breach_with_others(from: &Package, dependency: &Dependency) -> Breach {
    let refused = from.folder == "runtime" && NOT_IN_RUNTIME.contains(&dependency.name.as_str());
    refused.then(|| {
        (
            "runtime-pure",
            format!("`runtime` depends on `{}`", dependency.name),
            "the runtime is state in, block in, state or error out: what it needs is handed in, what it has is returned",
        )
    })
}

fn is_subsystem(package: &Package) -> bool {
    package.folder.starts_with("subsystems/")
}
