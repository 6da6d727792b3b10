//! The worker: the calling program, run again with a reserved first argument. It has one thread, compiles and runs
//! each in a child of its own ([`crate::os`]), and keeps the modules it used last loaded, so that a child begins
//! with its code in place.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufWriter, Write},
    net::TcpListener,
    process::{Command, ExitCode},
    time::Duration,
};

use codec::{Decode, Encode};
use wasmtime::{Engine, Module};

use crate::{
    engine::{Failure, Metering, engine, load, prepare, shortened},
    limits::{
        CHILD_ADDRESS_SPACE_BYTES, EXECUTE_DATA_BYTES, LOADED_MODULES_MAX, MAX_ARTIFACT_BYTES, MAX_REASON_BYTES,
        MAX_RESULT_BYTES, PREPARE_DATA_BYTES,
    },
    os::{ChildEnd, ChildLimits, enter_worker, filter_system_calls, run_in_child},
    protocol::{Answer, BuildId, Ended, Request, read_frame, write_frame},
    run::run,
};

/// The first argument of a process that is a worker.
pub const WORKER_ARGUMENT: &str = "parahost-validation-worker";

/// Bytes around a child's output: SCALE's marks and length, or a reason.
const OUTPUT_OVERHEAD_BYTES: usize = MAX_REASON_BYTES + 16;

/// If this process was started as a validation worker, works until its host hangs up, and returns what `main` then
/// returns; `None` in any other process.
///
/// Call it first in `main`, before any thread is started: a worker makes children by `fork`, and nothing that this
/// process has open is open afterwards.
pub fn run_worker_if_requested() -> Option<ExitCode> {
    if std::env::args_os().nth(1).is_none_or(|argument| argument != WORKER_ARGUMENT) {
        return None;
    }
    Some(match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The host's standard error is this one's: a line there is all that can still be done.
            let _closed = writeln!(io::stderr(), "validation worker ended: {error}");
            ExitCode::FAILURE
        }
    })
}

fn work() -> io::Result<()> {
    enter_worker()?;
    let engine = engine(Metering::Process).map_err(|failure| io::Error::other(format!("{failure:?}")))?;
    let (mut input, mut output) = (io::stdin().lock(), BufWriter::new(io::stdout().lock()));
    let hello = Answer::Hello { build: BuildId::of(&engine), filters_system_calls: probe_filter()? };
    write_frame(&mut output, &hello)?;
    let mut modules = Modules::default();
    while let Some(request) = read_frame::<Request>(&mut input)? {
        write_frame(&mut output, &answer(&engine, &mut modules, request))?;
    }
    Ok(())
}

/// Whether children of this worker will have their system calls filtered.
fn probe_filter() -> io::Result<bool> {
    let limits = prepare_limits(Duration::from_secs(1));
    let (end, _) = run_in_child(limits, || vec![u8::from(filter_system_calls())])?;
    Ok(matches!(end, ChildEnd::Output(output) if output == [1]))
}

/// What the process of a validation function can still do on this system; see [`probe_sandbox`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SandboxReport {
    /// Open a file to read.
    pub opens_files: bool,
    /// Make a file.
    pub makes_files: bool,
    /// Open a socket.
    pub opens_sockets: bool,
    /// Start a process.
    pub starts_processes: bool,
    /// Start a thread.
    pub starts_threads: bool,
    /// Have more memory than is allowed.
    pub exceeds_memory: bool,
}

/// Puts this process into the state of a worker and lets a child of it try what a validation function must not do.
///
/// Only for a process that does nothing else: it must have one thread and loses what it has open, as a worker does.
///
/// # Errors
///
/// When the child cannot be made or does not answer.
pub fn probe_sandbox() -> io::Result<SandboxReport> {
    enter_worker()?;
    let (end, _) = run_in_child(execute_limits(Duration::from_secs(10)), || {
        filter_system_calls();
        SandboxReport {
            opens_files: File::open("/proc/self/status").is_ok(),
            makes_files: File::create("/dev/null").is_ok(),
            opens_sockets: TcpListener::bind("127.0.0.1:0").is_ok(),
            starts_processes: Command::new("/bin/true").spawn().is_ok(),
            starts_threads: std::thread::Builder::new().spawn(|| {}).is_ok(),
            exceeds_memory: Vec::<u8>::new().try_reserve(EXECUTE_DATA_BYTES as usize).is_ok(),
        }
        .encode()
    })?;
    match end {
        ChildEnd::Output(output) => {
            SandboxReport::decode(&mut &output[..]).map_err(|error| io::Error::other(error.to_string()))
        }
        other => Err(io::Error::other(format!("the child ended with {other:?}"))),
    }
}

fn answer(engine: &Engine, modules: &mut Modules, request: Request) -> Answer {
    match request {
        Request::Prepare { code, cpu_limit_ms } => {
            Answer::Prepared(in_child(prepare_limits(Duration::from_millis(cpu_limit_ms)), || {
                filter_system_calls();
                prepare(engine, &code)
            }))
        }
        Request::Load { key, artifact } => Answer::Loaded(match load(engine, &artifact) {
            Ok(module) => {
                modules.insert(key, module);
                Ok(())
            }
            Err(failure) => Err(format!("{failure:?}")),
        }),
        Request::Execute { key, params, cpu_limit_ms } => match modules.get(key) {
            None => Answer::NotLoaded,
            Some(module) => Answer::Executed(in_child(execute_limits(Duration::from_millis(cpu_limit_ms)), || {
                // Filtered once the thread for the run exists: no other can be started then.
                run(engine, &module, &params, None, || {
                    filter_system_calls();
                })
            })),
        },
    }
}

fn prepare_limits(cpu: Duration) -> ChildLimits {
    ChildLimits {
        cpu,
        data_bytes: PREPARE_DATA_BYTES,
        address_space_bytes: CHILD_ADDRESS_SPACE_BYTES,
        output_bytes: MAX_ARTIFACT_BYTES + OUTPUT_OVERHEAD_BYTES,
    }
}

fn execute_limits(cpu: Duration) -> ChildLimits {
    ChildLimits {
        data_bytes: EXECUTE_DATA_BYTES,
        output_bytes: MAX_RESULT_BYTES + OUTPUT_OVERHEAD_BYTES,
        ..prepare_limits(cpu)
    }
}

fn in_child(limits: ChildLimits, job: impl FnOnce() -> Result<Vec<u8>, Failure>) -> Ended {
    let (end, cpu) = match run_in_child(limits, || job().encode()) {
        Ok(ended) => ended,
        Err(error) => return Ended::Done(Err(Failure::internal(format!("no child to work in: {error}"))), 0),
    };
    let cpu_ms = cpu.as_millis() as u64;
    match end {
        ChildEnd::Output(output) => match Result::<Vec<u8>, Failure>::decode(&mut &output[..]) {
            Ok(result) => Ended::Done(result, cpu_ms),
            Err(_) => Ended::Died("it left without an answer".into()),
        },
        ChildEnd::OutOfTime => Ended::Done(Err(Failure::OutOfTime), cpu_ms),
        ChildEnd::Died(how) => Ended::Died(shortened(how)),
    }
}

/// Modules ready to run, the least recently used one first.
#[derive(Default)]
struct Modules(VecDeque<([u8; 32], Module)>);

impl Modules {
    fn get(&mut self, key: [u8; 32]) -> Option<Module> {
        let place = self.0.iter().position(|(other, _)| *other == key)?;
        let entry = self.0.remove(place)?;
        let module = entry.1.clone();
        self.0.push_back(entry);
        Some(module)
    }

    fn insert(&mut self, key: [u8; 32], module: Module) {
        self.0.retain(|(other, _)| *other != key);
        if self.0.len() == LOADED_MODULES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((key, module));
    }
}
