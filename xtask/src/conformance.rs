//! `cargo xtask conformance`: everything that needs third-party data, which is not part of the repository.

use crate::{house::root, shell};
use std::path::Path;

/// Runs the node's own conformance command on the data in `directory`, which is relative to the current folder.
///
/// # Errors
/// When the folder is not there, or a case does not give the known answer.
pub fn run(directory: &Path, node: Option<&Path>) -> Result<(), String> {
    let directory =
        directory.canonicalize().map_err(|error| format!("no conformance data at {}: {error}", directory.display()))?;
    shell::run(shell::node(&root()?, node).arg("conformance").arg("--dir").arg(directory))
}
