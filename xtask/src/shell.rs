//! Starting other programs, with errors that name what was started.

use std::{
    ffi::{OsStr, OsString},
    fmt::Display,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The package and program of the node.
const NODE: &str = "parahost";

/// A `cargo` of the same toolchain that runs this program.
#[must_use]
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// The node's program: the one given, or the one that cargo builds.
///
/// CI gives the one it has built already: `cargo run -p` would choose other features for the shared dependencies than
/// the whole workspace does, and compile all of them once more.
#[must_use]
pub fn node(root: &Path, built: Option<&Path>) -> Command {
    if let Some(program) = built {
        let mut command = Command::new(program);
        command.current_dir(root);
        return command;
    }
    let mut command = cargo(root);
    command.args(["run", "--quiet", "--locked", "--package", NODE, "--"]);
    command
}

/// Where cargo puts the node's program in the dev profile.
#[must_use]
pub fn built_program(target_directory: &Path, name: &str) -> PathBuf {
    target_directory.join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Runs to the end, with this program's own output and input.
///
/// # Errors
/// A sentence with the command line, when it does not start or does not end with exit code 0.
pub fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("`{}` did not start: {error}", line(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", line(command))) }
}

/// Runs to the end and returns what it wrote to standard output.
///
/// # Errors
/// As [`run`]; also when the output is no UTF-8.
pub fn read(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, .. } = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("`{}` did not start: {error}", line(command)))?;
    if !status.success() {
        return Err(format!("`{}` ended with {status}", line(command)));
    }
    String::from_utf8(stdout).map_err(|_| format!("`{}` printed something that is no UTF-8", line(command)))
}

/// Prints a line. A reader who has gone away, as `head` does, is no reason to fail.
pub fn say(line: impl Display) {
    // Nothing can be told to somebody who has left.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The command as one could type it.
#[must_use]
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_else(|| command.get_program());
    let words: Vec<OsString> = std::iter::once(program).chain(command.get_args()).map(OsStr::to_os_string).collect();
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
