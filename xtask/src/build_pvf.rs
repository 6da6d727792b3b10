//! `cargo xtask build-pvf`: the wasm of the test parachains.
//!
//! The built wasm is committed, so that nobody needs a wasm toolchain to run the project. This chore holds
//! it to its sources: the committed bytes must have the committed sha256, and where a wasm toolchain is at
//! hand the sources are built again and must give the same bytes.
//!
//! Toolchain, in this order: the compiler that `PARAHOST_WASM_RUSTC` names (one with the sources of the
//! standard library beside it, which is then built along), else the target `wasm32-unknown-unknown` of the
//! usual compiler, else none. Bytes can only be compared between equal compilers: the one that built what
//! is committed is named in `built/toolchain.txt`; with another the sources are built and nothing is compared.
//!
//! `PARAHOST_PVF_WRITE=1` writes what was built to `built/` instead of comparing it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest, Sha256};

const PARACHAINS: [&str; 2] = ["adder", "burner"];
const TARGET: &str = "wasm32-unknown-unknown";
const RUSTC_VARIABLE: &str = "PARAHOST_WASM_RUSTC";
const WRITE_VARIABLE: &str = "PARAHOST_PVF_WRITE";

/// Checks the committed wasm of the test parachains, and rebuilds and compares it where that is possible.
///
/// # Errors
///
/// Says which file is missing or differs, or which build failed.
pub fn run() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the xtask folder has no parent")?;
    let parachains = root.join("test-parachains");
    let built = parachains.join("built");
    let write = env::var_os(WRITE_VARIABLE).is_some_and(|value| value == "1");
    if !write {
        for name in PARACHAINS {
            check_committed(&built, name)?;
        }
    }
    let Some(toolchain) = Toolchain::find()? else {
        if write {
            return Err(format!("no wasm toolchain: set {RUSTC_VARIABLE} or install the target {TARGET}"));
        }
        println!(
            "build-pvf: committed wasm has its sha256; not rebuilt: no wasm toolchain \
             (`rustup target add {TARGET}`, or set {RUSTC_VARIABLE})"
        );
        return Ok(());
    };
    let identity_file = built.join("toolchain.txt");
    let identity = toolchain.identity()?;
    let comparable = fs::read_to_string(&identity_file).is_ok_and(|committed| committed.trim() == identity);
    for name in PARACHAINS {
        let wasm = toolchain.build(root, &parachains.join(name), name)?;
        let digest = sha256_hex(&wasm);
        if write {
            write_file(&built.join(format!("{name}.wasm")), &wasm)?;
            write_file(&built.join(format!("{name}.wasm.sha256")), format!("{digest}\n").as_bytes())?;
            println!("build-pvf: wrote {name}.wasm, {} bytes, sha256 {digest}", wasm.len());
        } else if !comparable {
            println!(
                "build-pvf: {name} builds; not compared: {identity_file:?} names another compiler than {identity}"
            );
        } else if read_digest(&built, name)? != digest {
            return Err(format!(
                "{name}.wasm is not what its sources build to: they give sha256 {digest}; {WRITE_VARIABLE}=1 writes it"
            ));
        } else {
            println!("build-pvf: {name}.wasm is what its sources build to, sha256 {digest}");
        }
    }
    if write {
        write_file(&identity_file, format!("{identity}\n").as_bytes())?;
    }
    Ok(())
}

fn check_committed(built: &Path, name: &str) -> Result<(), String> {
    let path = built.join(format!("{name}.wasm"));
    let wasm = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let (found, expected) = (sha256_hex(&wasm), read_digest(built, name)?);
    if found != expected {
        return Err(format!("{} has sha256 {found}, expected {expected}", path.display()));
    }
    Ok(())
}

fn read_digest(built: &Path, name: &str) -> Result<String, String> {
    let path = built.join(format!("{name}.wasm.sha256"));
    fs::read_to_string(&path)
        .map(|text| text.trim().to_string())
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A compiler that can build for wasm.
struct Toolchain {
    rustc: PathBuf,
    /// The standard library is built from its sources, as the target is not installed.
    builds_std: bool,
}

impl Toolchain {
    fn find() -> Result<Option<Self>, String> {
        if let Some(rustc) = env::var_os(RUSTC_VARIABLE) {
            let toolchain = Self { rustc: rustc.into(), builds_std: true };
            let sources = toolchain.sysroot()?.join("lib/rustlib/src/rust/library/Cargo.lock");
            if !sources.exists() {
                return Err(format!("{RUSTC_VARIABLE}: {} is missing beside that compiler", sources.display()));
            }
            return Ok(Some(toolchain));
        }
        let toolchain = Self { rustc: usual_rustc(), builds_std: false };
        let installed = toolchain.sysroot()?.join("lib/rustlib").join(TARGET).exists();
        Ok(installed.then_some(toolchain))
    }

    fn sysroot(&self) -> Result<PathBuf, String> {
        output(Command::new(&self.rustc).args(["--print", "sysroot"])).map(|text| PathBuf::from(text.trim()))
    }

    /// What decides the bytes that this compiler makes.
    fn identity(&self) -> Result<String, String> {
        let version = output(Command::new(&self.rustc).arg("--version"))?;
        let library = if self.builds_std { "core and alloc built from source" } else { "core and alloc as shipped" };
        Ok(format!("{}, {library}", version.trim()))
    }

    fn build(&self, root: &Path, package: &Path, name: &str) -> Result<Vec<u8>, String> {
        let target_dir = root.join("target/build-pvf").join(name);
        let sysroot = self.sysroot()?;
        // No path of this machine may get into the wasm, or every machine would build another one.
        let flags = [
            "-Ctarget-cpu=mvp".to_string(),
            "-Clinker-flavor=wasm-ld".to_string(),
            // Parameters can be large, the stack need not be; the linker puts it first, so an overflow traps.
            "-Clink-arg=-zstack-size=65536".to_string(),
            "-Clink-arg=--stack-first".to_string(),
            format!("--remap-path-prefix={}=/project", root.display()),
            format!("--remap-path-prefix={}=/rust", sysroot.display()),
        ];
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .current_dir(package)
            .args(["rustc", "--release", "--locked", "--lib", "--crate-type", "cdylib", "--target", TARGET])
            .arg("--target-dir")
            .arg(&target_dir)
            .env("RUSTC", &self.rustc)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", lld()?)
            .env_remove("RUSTFLAGS")
            .env_remove("RUSTC_WRAPPER")
            .env_remove("RUSTC_WORKSPACE_WRAPPER");
        if self.builds_std {
            cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=core,alloc");
        }
        let status = cargo.status().map_err(|error| format!("cannot start cargo: {error}"))?;
        if !status.success() {
            return Err(format!("building {name} for {TARGET} failed: {status}"));
        }
        let wasm = target_dir.join(TARGET).join("release").join(format!("{name}.wasm"));
        fs::read(&wasm).map_err(|error| format!("cannot read {}: {error}", wasm.display()))
    }
}

fn usual_rustc() -> PathBuf {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()).into()
}

/// The linker that comes with the usual compiler; a compiler from elsewhere may lack its own.
fn lld() -> Result<PathBuf, String> {
    let rustc = usual_rustc();
    let sysroot = output(Command::new(&rustc).args(["--print", "sysroot"]))?;
    let version = output(Command::new(&rustc).arg("-vV"))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .ok_or_else(|| format!("{} does not name its host", rustc.display()))?;
    Ok(Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin/rust-lld"))
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{command:?} printed no text"))
}
