//! The binary from outside: what it prints, how it ends.

mod chain_spec;
mod killed;
mod strangers;
mod usage;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn parahost(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_parahost"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts")
}

/// A small network on a base path, to one inclusion; returns its summary.
fn dev(base_path: &Path) -> Value {
    let base_path = base_path.to_str().expect("temporary paths are text");
    let output = parahost(&[
        "dev",
        "--validators",
        "3",
        "--parachains",
        "1",
        "--until-included",
        "1",
        "--slot-ms",
        "500",
        "--pov-size",
        "1KiB",
        "--network",
        "memory",
        "--json",
        "--base-path",
        base_path,
    ]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect();
    lines.last().expect("at least the summary").clone()
}

#[test]
fn a_network_reaches_its_goal_and_reaches_it_again_on_the_same_disk() {
    let base = tempfile::tempdir().expect("a directory");
    let first = dev(base.path());
    assert_eq!((&first["event"], &first["ok"]), (&Value::from("summary"), &Value::from(true)));
    assert_eq!(first["subsystems"].as_array().map(Vec::len), Some(18));
    assert_eq!(first["paras"][0]["para"], Value::from(2000));
    let edges = first["edges"].as_array().expect("edges").clone();
    let shared = edges.iter().find(|edge| edge["message"] == "Share").expect("statements are shared");
    assert!(shared["count"].as_u64() > Some(0));

    let path = base.path().to_str().expect("temporary paths are text");
    let other = parahost(&["dev", "--session-blocks", "50", "--network", "memory", "--base-path", path]);
    let said = String::from_utf8_lossy(&other.stderr);
    assert_eq!(other.status.code(), Some(2), "{said}");
    assert!(said.contains("belongs to a network with other settings"), "{said}");

    let second = dev(base.path());
    assert_eq!(second["ok"], Value::from(true));
    assert!(second["finalized"].as_u64() >= first["finalized"].as_u64(), "the chain began anew");
}

#[test]
fn wrong_usage_is_said_and_ends_with_2() {
    let foreign = tempfile::tempdir().expect("a directory");
    std::fs::write(foreign.path().join("photo.jpg"), "x").expect("a writable directory");
    let foreign = foreign.path().to_str().expect("temporary paths are text");
    for (arguments, said) in [
        (vec!["dev", "--validators", "0"], "number of validators is 0, expected 1 to 100"),
        (vec!["dev", "--pov-size", "64KB"], "unit \"KB\" is not known"),
        (vec!["dev", "--pov-size", "11MiB"], "PoV size"),
        (vec!["dev", "--fork-probability", "2"], "fork probability is 2, expected 0 to 1"),
        (vec!["dev", "--until-included", "0"], "expected at least 1"),
        (vec!["dev", "--base-path", foreign], "holds other things"),
        (vec!["--log", "=loud="], "log filter"),
        (vec!["dance"], "unrecognized subcommand"),
    ] {
        let output = parahost(&arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}

#[test]
fn the_topology_is_shown_as_it_runs() {
    let output = parahost(&["topology", "--live"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let last = text.rsplit("── block ").next().unwrap_or_default();
    for line in [
        "\ncandidate-backing: ",
        " of 1024 messages wait, 0 signals behind",
        "\n    BackableCandidate → provisioner (wait, loop): ",
        "\nblock-author\n    RequestBlockAuthorshipData → provisioner (ask, outside): ",
    ] {
        assert!(last.contains(line), "{line:?} is missing: {last}");
    }
    let used = last.lines().filter(|line| line.contains(" sent") && !line.contains(": 0 sent")).count();
    assert!(used > 10, "{used} edges were used: {last}");
}

#[test]
fn the_topology_is_printed_in_three_languages() {
    for (format, begins) in [("dot", "digraph"), ("mermaid", "flowchart"), ("json", "{\"slots\"")] {
        let output = parahost(&["topology", "--format", format]);
        assert!(String::from_utf8_lossy(&output.stdout).starts_with(begins), "{format}");
    }
}
