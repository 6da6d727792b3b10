//! The repository as the house rules see it: crates with their dependencies, and texts by path.
//!
//! [`House::read`] makes it from `cargo metadata` and the files; tests make it by hand. Nothing in the rules touches
//! the disk, so each rule can be shown to fail on a house of three lines.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Folders that hold no text of ours, wherever they stand.
const SKIPPED_FOLDERS: &[&str] = &["target", ".git", "node_modules"];
/// A text larger than this is data, not source; it is not read.
const TEXT_SIZE_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Which builds a dependency takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DependencyKind {
    /// `[dependencies]`.
    Normal,
    /// `[dev-dependencies]`.
    Dev,
    /// `[build-dependencies]`.
    Build,
}

/// One line of a manifest's dependencies.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// The package's name, not what it may be renamed to.
    pub name: String,
    /// The table it stands in.
    pub kind: DependencyKind,
}

/// One crate of the workspace.
#[derive(Debug, Clone)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// The folder, relative to the root, with `/` between its parts.
    pub folder: String,
    /// The licence field.
    pub license: Option<String>,
    /// Everything it depends on, ours and others'.
    pub dependencies: Vec<Dependency>,
}

/// Where `Cargo.lock` stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockFile {
    /// In the repository, or beside a tree that is no git checkout.
    Committed,
    /// Present, but unknown to git.
    Untracked,
    /// Not there.
    Missing,
}

/// The whole repository.
#[derive(Debug, Clone)]
pub struct House {
    /// The workspace's members.
    pub packages: Vec<Package>,
    /// Texts (Rust, TOML, Markdown, licences) by path relative to the root.
    pub files: BTreeMap<String, String>,
    /// State of the lock file.
    pub lock_file: LockFile,
}

impl House {
    /// Reads the checkout at `root`.
    ///
    /// # Errors
    /// A sentence that names the file or command, when `cargo metadata` fails or a text cannot be read.
    pub fn read(root: &Path) -> Result<Self, String> {
        let metadata = metadata(root)?;
        let mut files = BTreeMap::new();
        read_folder(root, root, &mut files)?;
        Ok(Self { packages: packages(&metadata, root)?, files, lock_file: lock_file(root) })
    }

    /// The line, counted from 1, at which `package`'s manifest names `dependency`.
    #[must_use]
    pub fn dependency_line(&self, package: &Package, dependency: &str) -> Option<usize> {
        let manifest = self.files.get(&package.manifest())?;
        let named = |line: &str| {
            line.trim_start().strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        };
        manifest.lines().position(named).map(|index| index + 1)
    }

    /// The Rust texts below a folder, by path.
    pub fn rust_files<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(".rs") && is_below(path, folder))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

impl Package {
    /// Path of the manifest, relative to the root.
    #[must_use]
    pub fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

/// Whether `path` is `folder` or lies in it. The empty folder is the root.
#[must_use]
pub fn is_below(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The workspace's root: the nearest folder at or above the current one (or above this crate's, under `cargo run`)
/// whose manifest declares a workspace that has `xtask` as a member.
///
/// # Errors
/// A sentence, when there is none.
pub fn root() -> Result<PathBuf, String> {
    let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => std::env::current_dir().map_err(|error| format!("the current folder is not readable: {error}"))?,
    };
    start
        .ancestors()
        .find(|folder| {
            fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|manifest| manifest.contains("\n    \"xtask\","))
        })
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("no workspace with an `xtask` member at or above {}", start.display()))
}

/// The folder that cargo builds into, as `cargo metadata` tells it (it may lie outside the checkout).
///
/// # Errors
/// As [`House::read`].
pub fn target_directory(root: &Path) -> Result<PathBuf, String> {
    let metadata = metadata(root)?;
    let folder = metadata["target_directory"].as_str().ok_or("cargo metadata names no target directory")?;
    Ok(PathBuf::from(folder))
}

fn metadata(root: &Path) -> Result<serde_json::Value, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .output()
        .map_err(|error| format!("cargo metadata did not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata printed no JSON: {error}"))
}

fn packages(metadata: &serde_json::Value, root: &Path) -> Result<Vec<Package>, String> {
    let malformed = || "cargo metadata printed a package without a name or manifest".to_owned();
    let root = root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))?;
    let mut packages = Vec::new();
    for package in metadata["packages"].as_array().ok_or_else(malformed)? {
        let manifest = Path::new(package["manifest_path"].as_str().ok_or_else(malformed)?);
        let folder = manifest.parent().ok_or_else(malformed)?;
        let folder = folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))?;
        let dependencies = package["dependencies"].as_array().into_iter().flatten().filter_map(|dependency| {
            let kind = match dependency["kind"].as_str() {
                Some("dev") => DependencyKind::Dev,
                Some("build") => DependencyKind::Build,
                _ => DependencyKind::Normal,
            };
            Some(Dependency { name: dependency["name"].as_str()?.to_owned(), kind })
        });
        packages.push(Package {
            name: package["name"].as_str().ok_or_else(malformed)?.to_owned(),
            folder: relative(&folder, &root),
            license: package["license"].as_str().map(str::to_owned),
            dependencies: dependencies.collect(),
        });
    }
    packages.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(packages)
}

fn relative(path: &Path, root: &Path) -> String {
    let parts: Vec<_> =
        path.strip_prefix(root).unwrap_or(path).components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

fn read_folder(folder: &Path, root: &Path, files: &mut BTreeMap<String, String>) -> Result<(), String> {
    let named = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    for entry in fs::read_dir(folder).map_err(|error| named(folder, error))? {
        let entry = entry.map_err(|error| named(folder, error))?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        // A file may vanish between listing and reading: an editor's swap file, a test's temporary one.
        let Ok(about) = entry.metadata() else {
            continue;
        };
        if about.is_dir() {
            if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                read_folder(&path, root, files)?;
            }
        } else if is_text(&name) && about.len() <= TEXT_SIZE_MAX_BYTES {
            match fs::read(&path) {
                Ok(bytes) => {
                    files.insert(relative(&path, root), String::from_utf8_lossy(&bytes).into_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(named(&path, error)),
            }
        }
    }
    Ok(())
}

fn is_text(name: &str) -> bool {
    [".rs", ".toml", ".md"].iter().any(|ending| name.ends_with(ending)) || name.starts_with("LICENSE")
}

fn lock_file(root: &Path) -> LockFile {
    if !root.join("Cargo.lock").is_file() {
        return LockFile::Missing;
    }
    if !root.join(".git").exists() {
        return LockFile::Committed;
    }
    let tracked = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "--error-unmatch", "Cargo.lock"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match tracked {
        Ok(status) if !status.success() => LockFile::Untracked,
        // Without git nothing can be said against it.
        _ => LockFile::Committed,
    }
}
