//! `cargo xtask ci`: what has to pass before anything is merged, in the order of how fast it can fail.
//!
//! What builds what, on a cold cache: `clippy` and `doc` share the metadata of others' crates (no machine code), so
//! they come together; `build` makes machine code for everything at once, with the same features as `test`, which then
//! only adds documentation tests. The steps after it run the programs that `build` has left behind: `cargo run -p`
//! would unify features for one package alone and compile the big dependencies a second time.

use crate::{build_pvf, clean_build, conformance, graph, house, new_subsystem_trial, own_subsystem_trial, shell, tidy};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// Third-party data beside the checkout; the step is left out where there is none.
const CONFORMANCE_FOLDER: &str = "../shared";
/// Examples that are programs: CI runs them, so they never lie.
const EXAMPLES: &[&str] = &["adversary", "backpressure", "hello-overseer", "replay", "swap-selection", "two-views"];
/// Parachain blocks that the main job carries to inclusion, per para.
const MAIN_JOB_BLOCKS: &str = "3";

/// What a step does.
enum Work {
    /// Starts a program.
    Program(Command),
    /// Runs another chore in this process.
    Chore(Box<dyn FnOnce() -> Result<(), String>>),
    /// Does nothing, for this reason.
    Skip(String),
}

/// One step: a name to call it by, and what it does.
struct Step {
    name: String,
    work: Work,
}

impl Step {
    fn chore(name: &str, chore: impl FnOnce() -> Result<(), String> + 'static) -> Self {
        Self { name: name.to_owned(), work: Work::Chore(Box::new(chore)) }
    }

    fn program(name: impl Into<String>, command: Command) -> Self {
        Self { name: name.into(), work: Work::Program(command) }
    }
}

/// Runs all steps, or only those named, and stops at the first that fails.
///
/// # Errors
/// Names the step that failed and why; also when `only` names a step that does not exist.
pub fn run(only: &[String]) -> Result<(), String> {
    let root = house::root()?;
    let steps = chosen(steps(&root, &house::target_directory(&root)?), only)?;
    let total = steps.len();
    let mut durations: Vec<(String, Duration)> = Vec::new();
    for (index, Step { name, work }) in steps.into_iter().enumerate() {
        shell::say(format_args!("── {}/{total} {name}{}", index + 1, told(&work)));
        let begun = Instant::now();
        let outcome = match work {
            Work::Program(mut command) => shell::run(&mut command),
            Work::Chore(chore) => chore(),
            Work::Skip(_) => Ok(()),
        };
        let took = begun.elapsed();
        durations.push((name.clone(), took));
        match outcome {
            Ok(()) => shell::say(format_args!("── {name}: passed in {}", minutes(took))),
            Err(why) => {
                summary(&durations);
                return Err(format!(
                    "step `{name}` failed after {}: {why}\nagain: cargo xtask ci --only {name}",
                    minutes(took)
                ));
            }
        }
    }
    summary(&durations);
    Ok(())
}

/// Prints the names of all steps.
///
/// # Errors
/// When the checkout cannot be read.
pub fn list() -> Result<(), String> {
    let root = house::root()?;
    for Step { name, work } in steps(&root, &house::target_directory(&root)?) {
        shell::say(format_args!("{name:<24}{}", told(&work)));
    }
    Ok(())
}

fn steps(root: &Path, target: &Path) -> Vec<Step> {
    let cargo = |words: &[&str]| {
        let mut command = shell::cargo(root);
        // Incremental builds cost time and disk where each build is the first one.
        command.args(words).env("CARGO_INCREMENTAL", "0");
        command
    };
    let node: PathBuf = shell::built_program(target, "parahost");
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let mut main_job = shell::node(root, Some(&node));
    main_job.args(["dev", "--until-included", MAIN_JOB_BLOCKS, "--json"]);

    let mut steps = vec![
        Step::program("fmt", cargo(&["fmt", "--all", "--check"])),
        Step::chore("tidy", tidy::run),
        Step::program("clippy", cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])),
        Step::program("doc", doc),
        Step::program("build", cargo(&["build", "--workspace", "--all-targets", "--locked"])),
        Step::program("test", cargo(&["test", "--workspace", "--locked"])),
        Step::program("loom", loom(root, target)),
        Step::chore("clean-build", clean_build::run_here),
        Step::program("clippy-fuzz", beside(root, target, "fuzz")),
        Step::program("clippy-bench", beside(root, target, "bench")),
        Step::program("main-job", main_job),
    ];
    for example in EXAMPLES {
        steps.push(Step::program(format!("example-{example}"), {
            let mut command = Command::new(shell::built_program(target, example));
            command.current_dir(root);
            command
        }));
    }
    let for_graph = node.clone();
    steps.push(Step::chore("graph", move || graph::check(Some(&for_graph))));
    steps.push(Step::chore("build-pvf", build_pvf::run));
    let data = root.join(CONFORMANCE_FOLDER);
    steps.push(if data.is_dir() {
        Step::chore("conformance", move || conformance::run(&data, Some(&node)))
    } else {
        Step { name: "conformance".to_owned(), work: Work::Skip(format!("no data at {CONFORMANCE_FOLDER}")) }
    });
    steps.push(Step::chore("new-subsystem", new_subsystem_trial::run_here));
    steps.push(Step::chore("own-subsystem", own_subsystem_trial::run_here));
    steps
}

/// The models of the mailbox and the signal log: every interleaving of a few steps. A target folder of its own, because
/// the flag changes what everything is compiled to.
fn loom(root: &Path, target: &Path) -> Command {
    let mut command = shell::cargo(root);
    command.args(["test", "--package", "overseer-core", "--test", "loom", "--release", "--locked", "--target-dir"]);
    command.arg(target.join("loom")).env("RUSTFLAGS", "--cfg loom");
    command
}

/// Clippy over a workspace beside this one, which nothing above builds: what it uses of ours may have changed. No machine
/// code is made; with a cold cache the two cost about four minutes on two cores.
fn beside(root: &Path, target: &Path, workspace: &str) -> Command {
    let mut command = shell::cargo(&root.join(workspace));
    command.args(["clippy", "--workspace", "--all-targets", "--locked", "--target-dir"]).arg(target.join("beside"));
    command.args(["--", "-D", "warnings"]).env("CARGO_INCREMENTAL", "0");
    command
}

fn chosen(steps: Vec<Step>, only: &[String]) -> Result<Vec<Step>, String> {
    if let Some(unknown) = only.iter().find(|name| !steps.iter().any(|step| step.name == **name)) {
        let names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
        return Err(format!("no step is called `{unknown}`; there are: {}", names.join(", ")));
    }
    Ok(steps.into_iter().filter(|step| only.is_empty() || only.contains(&step.name)).collect())
}

/// What the step is about to do, for the line above its output.
fn told(work: &Work) -> String {
    match work {
        Work::Program(command) => format!(": {}", shell::line(command)),
        Work::Chore(_) => String::new(),
        Work::Skip(why) => format!(": skipped, {why}"),
    }
}

fn summary(durations: &[(String, Duration)]) {
    shell::say("── durations");
    for (name, took) in durations {
        shell::say(format_args!("{name:<24}{:>10}", minutes(*took)));
    }
    shell::say(format_args!("{:<24}{:>10}", "all", minutes(durations.iter().map(|(_, took)| *took).sum())));
}

fn minutes(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(steps: &[Step]) -> Vec<&str> {
        steps.iter().map(|step| step.name.as_str()).collect()
    }

    #[test]
    fn steps_come_in_the_order_of_how_fast_they_can_fail() {
        let steps = steps(Path::new("/nowhere/checkout"), Path::new("/nowhere/target"));
        let expected = [
            "fmt",
            "tidy",
            "clippy",
            "doc",
            "build",
            "test",
            "loom",
            "clean-build",
            "clippy-fuzz",
            "clippy-bench",
            "main-job",
            "example-adversary",
            "example-backpressure",
            "example-hello-overseer",
            "example-replay",
            "example-swap-selection",
            "example-two-views",
            "graph",
            "build-pvf",
            "conformance",
            "new-subsystem",
            "own-subsystem",
        ];
        assert_eq!(names(&steps), expected);
        let conformance = steps.iter().find(|step| step.name == "conformance").unwrap();
        assert!(matches!(&conformance.work, Work::Skip(_)), "there is no data beside a checkout that does not exist");
        let Work::Program(clippy) = &steps[2].work else { panic!("clippy is a program") };
        assert!(shell::line(clippy).ends_with("clippy --workspace --all-targets --locked -- -D warnings"));
        let Work::Program(bench) = &steps[9].work else { panic!("clippy is a program") };
        assert_eq!(bench.get_current_dir(), Some(Path::new("/nowhere/checkout/bench")));
    }

    #[test]
    fn an_unknown_step_is_named() {
        let steps = || steps(Path::new("/nowhere/checkout"), Path::new("/nowhere/target"));
        let error = chosen(steps(), &["spell".to_owned()]).err().unwrap();
        assert!(error.contains("`spell`") && error.contains("clippy"), "{error}");
        assert_eq!(names(&chosen(steps(), &["doc".to_owned(), "fmt".to_owned()]).unwrap()), ["fmt", "doc"]);
    }

    #[test]
    fn durations_are_told_in_words_of_their_size() {
        assert_eq!(minutes(Duration::from_millis(1_250)), "1.2 s");
        assert_eq!(minutes(Duration::from_secs(125)), "2 min 05 s");
    }
}
