//! `cargo xtask`: every chore of the repository. The work is done by the library beside it.

use clap::{Args, Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};
use xtask::{bench, build_pvf, ci, conformance, graph, new_subsystem, reference, tidy};

/// Every chore of the repository.
///
/// Run from anywhere inside the checkout. Exit code 0: done; 1: the chore failed and says why; 2: wrong usage.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Run everything that has to pass before a merge, and stop at the first failure.
    ///
    /// This is what `.ci/run` calls. Steps run in the order of how fast they can fail: formatting and the rules of the
    /// house (seconds), lints and documentation (no machine code), build and tests, then the programs that were
    /// built: the main job, the examples, the topology's freshness, the test parachains, conformance.
    ///
    ///   cargo xtask ci                        all of it; the first run on two cores takes most of an hour
    ///   cargo xtask ci --list                 the names of the steps
    ///   cargo xtask ci --only fmt --only tidy just these
    #[command(verbatim_doc_comment)]
    Ci {
        /// Print the names of the steps and what they run.
        #[arg(long)]
        list: bool,
        /// Run this step only; may be given more than once. Later steps need what `build` makes.
        #[arg(long, value_name = "STEP", conflicts_with = "list")]
        only: Vec<String>,
    },
    /// Check the rules of the house that the compiler does not know.
    ///
    /// Arrows point down the layers; no subsystem depends on another; adapters know ports and not each other; mocks
    /// are for tests; the runtime is pure; the simulator owns time, threads, randomness and order. Each finding names
    /// the file and line, the rule, and how to mend it. Files over 800 lines are a warning and do not fail.
    ///
    /// The rules are in xtask/src/tidy/, the table of layers in xtask/src/tidy/layers.rs.
    #[command(verbatim_doc_comment)]
    Tidy,
    /// Print the topology of the node, write its pictures, or check that the committed ones are fresh.
    ///
    /// The node tells it from its own wiring: subsystems, the messages between them, and whether a send waits, asks
    /// or is cast.
    ///
    ///   cargo xtask graph                                     mermaid, for a Markdown page
    ///   cargo xtask graph --format dot | dot -Tsvg -o bus.svg a picture
    ///   cargo xtask graph --write                             after a change of the wiring; commit docs/generated/
    #[command(verbatim_doc_comment)]
    Graph {
        /// How to print it.
        #[arg(long, value_enum, default_value_t = graph::Format::Mermaid, conflicts_with_all = ["write", "check"])]
        format: graph::Format,
        /// Fail when docs/generated/ is not what the node says now.
        #[arg(long, conflicts_with = "write")]
        check: bool,
        /// Write all formats to docs/generated/.
        #[arg(long)]
        write: bool,
        #[command(flatten)]
        node: Node,
    },
    /// Write the pages of the runtime's modules, docs/reference/runtime/, from what the modules say of themselves.
    ///
    /// `tidy` says when a page is stale.
    Reference,
    /// Begin a subsystem: a crate with header, loop, state machine and a test against scripted neighbours.
    ///
    /// Makes subsystems/NAME and the module of its messages from xtask/templates/subsystem/, wires it into the node and
    /// the test kit, and says what is left to you: the lists are in life-cycle order, the new lines stand at their end,
    /// and only you know where in a candidate's life the new one belongs.
    ///
    ///   cargo xtask new-subsystem dispute-coordinator
    ///   cargo test -p dispute-coordinator
    #[command(verbatim_doc_comment)]
    NewSubsystem {
        /// The name, in kebab case, the general word first: availability-store, not store-availability.
        name: String,
        /// Say what would be made, and make nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Rebuild the test parachains and compare them with the committed ones.
    ///
    /// The built wasm is committed with its sha256, so that nobody needs a wasm toolchain to run the tests. Where one
    /// is there, this builds the sources again and fails when the hash is another. `rustup target add
    /// wasm32-unknown-unknown` gives you one.
    #[command(verbatim_doc_comment)]
    BuildPvf,
    /// Measure the message bus beside its peers, or the relay chain beside its marks.
    ///
    /// Runs the workspace bench/, in release, with the newest of each peer that its lock file names. Not a part of CI: a
    /// machine that does other work meanwhile measures that work.
    ///
    ///   cargo xtask bench bus --help          what can be asked
    ///   cargo xtask bench runtime --help      the same of the relay chain
    ///   cargo xtask bench bus --check         exit code 1 and the missed mark last
    #[command(verbatim_doc_comment)]
    Bench {
        #[command(subcommand)]
        suite: bench::Suite,
    },
    /// Run everything that needs third-party data: golden vectors, the network's own validation functions.
    ///
    /// The data is not part of the repository. CI runs this where it finds a folder `../shared`.
    ///
    ///   cargo xtask conformance --dir ../shared
    #[command(verbatim_doc_comment)]
    Conformance {
        /// The folder with the data.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        #[command(flatten)]
        node: Node,
    },
}

#[derive(Debug, Args)]
struct Node {
    /// Ask this program instead of building one.
    #[arg(long = "node", value_name = "PROGRAM")]
    program: Option<PathBuf>,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().chore {
        Chore::Bench { suite } => match bench::run(&suite) {
            // The missed mark is the last thing that is printed.
            Ok(false) => return ExitCode::FAILURE,
            other => other.map(drop),
        },
        Chore::Ci { list: true, .. } => ci::list(),
        Chore::Ci { only, .. } => ci::run(&only),
        Chore::Tidy => tidy::run(),
        Chore::Graph { check: true, node, .. } => graph::check(node.program.as_deref()),
        Chore::Graph { write: true, node, .. } => graph::write(node.program.as_deref()),
        Chore::Graph { format, node, .. } => graph::print(format, node.program.as_deref()),
        Chore::Reference => reference::write(),
        Chore::NewSubsystem { name, dry_run } => new_subsystem::run(&name, dry_run),
        Chore::BuildPvf => build_pvf::run(),
        Chore::Conformance { dir, node } => conformance::run(&dir, node.program.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
