//! `cargo xtask graph`: the topology as the node itself tells it.
//!
//! The picture is made by the program that is built from the wiring, never by reading sources; what is committed under
//! `docs/generated/` is that picture, and `--check` fails when it no longer is.

use crate::{house::root, shell};
use std::{fmt, fs, path::Path};

/// Where the committed pictures lie.
const FOLDER: &str = "docs/generated";

/// How a topology is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For Graphviz: `dot -Tsvg`.
    Dot,
    /// For Markdown pages; many viewers draw it.
    Mermaid,
    /// For programs.
    Json,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dot, Self::Mermaid, Self::Json];

    /// The ending of its file.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Dot => "dot",
            Self::Mermaid => "mmd",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dot => "dot",
            Self::Mermaid => "mermaid",
            Self::Json => "json",
        })
    }
}

/// Prints the topology in one format.
///
/// # Errors
/// When the node does not build or does not answer.
pub fn print(format: Format, node: Option<&Path>) -> Result<(), String> {
    shell::say(topology(&root()?, format, node)?.trim_end());
    Ok(())
}

/// Writes all formats to `docs/generated/`.
///
/// # Errors
/// As [`print()`]; also when a file cannot be written.
pub fn write(node: Option<&Path>) -> Result<(), String> {
    let root = root()?;
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for format in Format::ALL {
        let path = folder.join(file_name(format));
        fs::write(&path, topology(&root, format, node)?).map_err(|error| format!("{}: {error}", path.display()))?;
        shell::say(format_args!("wrote {FOLDER}/{}", file_name(format)));
    }
    Ok(())
}

/// Compares what is committed with what the node says now.
///
/// # Errors
/// As [`print()`]; also when a file is missing or stale: the sentence names the first line that differs.
pub fn check(node: Option<&Path>) -> Result<(), String> {
    let root = root()?;
    let mut stale = Vec::new();
    for format in Format::ALL {
        let name = file_name(format);
        let committed = fs::read_to_string(root.join(FOLDER).join(&name)).ok();
        if let Some(why) = difference(committed.as_deref(), &topology(&root, format, node)?) {
            stale.push(format!("{FOLDER}/{name}: {why}"));
        }
    }
    if stale.is_empty() {
        shell::say(format_args!("{FOLDER} is fresh"));
        return Ok(());
    }
    Err(format!("{}\nrun `cargo xtask graph --write` and commit the result", stale.join("\n")))
}

fn file_name(format: Format) -> String {
    format!("topology.{}", format.extension())
}

fn topology(root: &Path, format: Format, node: Option<&Path>) -> Result<String, String> {
    let printed = shell::read(shell::node(root, node).args(["topology", "--format", &format.to_string()]))?;
    if printed.trim().is_empty() {
        return Err(format!("the node printed an empty topology as {format}"));
    }
    Ok(printed)
}

/// Why the committed text is stale, or nothing.
fn difference(committed: Option<&str>, current: &str) -> Option<String> {
    let Some(committed) = committed else {
        return Some("is missing".to_owned());
    };
    if committed == current {
        return None;
    }
    let lines = committed.lines().zip(current.lines());
    let line = lines.take_while(|(ours, theirs)| ours == theirs).count();
    let shown = |text: &str| text.lines().nth(line).unwrap_or("<end>").trim().to_owned();
    Some(format!("line {} is `{}` and should be `{}`", line + 1, shown(committed), shown(current)))
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_stale_picture_is_told_by_its_first_line() {
        assert_eq!(difference(Some("a\nb\n"), "a\nb\n"), None);
        assert_eq!(difference(None, "a\n").as_deref(), Some("is missing"));
        assert_eq!(difference(Some("a\nb\n"), "a\nc\n").as_deref(), Some("line 2 is `b` and should be `c`"));
        assert_eq!(difference(Some("a\n"), "a\nc\n").as_deref(), Some("line 2 is `<end>` and should be `c`"));
    }
}
