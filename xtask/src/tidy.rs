//! `cargo xtask tidy`: the rules of the house that a compiler does not know.
//!
//! [`check`] is a function from a [`House`] to [`Finding`]s; four files hold the rules by what they look at:
//! `layers` (who may depend on whom), `sources` (what may stand in a Rust text), `files` (folders, names, licences,
//! lints) and `docs` (pages that name things of the sources). Each finding names the place, the rule, and how to mend it.

mod docs;
mod files;
mod layers;
mod sources;

use crate::{
    house::{House, root},
    shell,
};
use std::fmt;

pub use layers::{LAYERS, layer_of};

/// Whether a finding fails the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Printed, and no more.
    Warning,
    /// Fails `tidy`.
    Error,
}

/// One breach of a rule of the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it fails the run.
    pub severity: Severity,
    /// The file, relative to the root.
    pub path: String,
    /// The line, counted from 1, where one can be named.
    pub line: Option<usize>,
    /// Short name of the rule, the same for all its findings.
    pub rule: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub mend: String,
}

impl Finding {
    /// A finding that fails the run.
    fn error(rule: &'static str, path: &str, line: Option<usize>, what: String, mend: impl Into<String>) -> Self {
        Self { severity: Severity::Error, path: path.to_owned(), line, rule, what, mend: mend.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.path)?,
            None => write!(f, "{}", self.path)?,
        }
        write!(f, ": {severity} [{}] {}\n    mend: {}", self.rule, self.what, self.mend)
    }
}

/// All breaches in a house, ordered by place.
#[must_use]
pub fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    layers::check(house, &mut findings);
    sources::check(house, &mut findings);
    files::check(house, &mut findings);
    docs::check(house, &mut findings);
    findings.sort_by(|a, b| (&a.path, a.line, a.rule).cmp(&(&b.path, b.line, b.rule)));
    findings
}

/// Checks the checkout this program was started in and prints what it found.
///
/// # Errors
/// When the checkout cannot be read, or breaks a rule; warnings alone do not fail.
pub fn run() -> Result<(), String> {
    let house = House::read(&root()?)?;
    let findings = check(&house);
    for finding in &findings {
        shell::say(finding);
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    shell::say(format_args!(
        "tidy: {} crates, {} files, {errors} errors, {warnings} warnings",
        house.packages.len(),
        house.files.len()
    ));
    if errors == 0 { Ok(()) } else { Err(format!("{errors} rules of the house are broken")) }
}

#[cfg(test)]
mod tests;
