//! The system calls of a worker, none of which the standard library has: a child process per job, and what such a
//! child may still do. Linux only.
//!
//! A child has: no new privileges, no open file but the pipe for its answer, no file size, no core file, a bounded
//! address space and memory, a CPU timer that ends it, and a filter that refuses all system calls but those for
//! memory, its own threads, time and writing to what is open. It cannot open a file or a socket, start a process,
//! send a signal, make memory executable, or read the environment of its host, which was cleared. It dies with its
//! worker. What it keeps: the file system's names are not hidden from it, only every call that takes one is refused.
#![allow(unsafe_code, reason = "fork, limits and filters exist as raw system calls only; each block says why it holds")]

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, FromRawFd},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

/// What a child may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChildLimits {
    /// Computing time.
    pub(crate) cpu: Duration,
    /// Memory that it may write to, in bytes.
    pub(crate) data_bytes: u64,
    /// Address space, in bytes.
    pub(crate) address_space_bytes: u64,
    /// Longest output, in bytes.
    pub(crate) output_bytes: usize,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) enum ChildEnd {
    /// It wrote its output and left.
    Output(Vec<u8>),
    /// Its computing time was used up.
    OutOfTime,
    /// Anything else, in words.
    Died(String),
}

/// Bytes of a child's status that a clean end has; [`PANICKED`] when the job panicked.
const CLEAN: i32 = 0;
const PANICKED: i32 = 101;

/// Makes this process a worker: a session of its own, so that a terminal's signals go to the host alone, no new
/// privileges, no core files, and nothing open but the three standard streams.
///
/// Must be called while the process has one thread and nothing open that it needs.
pub(crate) fn enter_worker() -> io::Result<()> {
    // SAFETY: plain calls that take no pointers. Nothing that this process uses is open above 2, as the worker
    // enters here first thing.
    unsafe {
        // Fails only for the leader of a group, which then has what it needs.
        libc::setsid();
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        libc::close_range(3, libc::c_uint::MAX, 0);
    }
    limit(libc::RLIMIT_CORE, 0)
}

/// Runs `job` in a child and returns its output and how much computing time it took.
///
/// # Errors
///
/// When the system cannot make a child. What becomes of the child is [`ChildEnd`].
pub(crate) fn run_in_child(limits: ChildLimits, job: impl FnOnce() -> Vec<u8>) -> io::Result<(ChildEnd, Duration)> {
    let (mut reader, writer) = io::pipe()?;
    // SAFETY: takes no pointers and cannot fail.
    let parent = unsafe { libc::getpid() };
    // SAFETY: a worker has one thread, so that the child has all of the process's threads and no lock is held by
    // one that is gone; it may do whatever the parent may.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        let code = child(limits, parent, writer.as_raw_fd(), job);
        // SAFETY: ends this process at once, without running what was registered for the parent's end.
        unsafe { libc::_exit(code) }
    }
    drop(writer);
    let mut output = Vec::new();
    let read = (&mut reader).take(limits.output_bytes as u64 + 1).read_to_end(&mut output);
    let too_long = output.len() > limits.output_bytes;
    // A child that is still writing gets a broken pipe.
    drop(reader);
    let (status, cpu) = wait_for(pid)?;
    read?;
    if too_long {
        return Ok((ChildEnd::Died(format!("it wrote more than {} bytes", limits.output_bytes)), cpu));
    }
    Ok((end_of(status, output), cpu))
}

fn end_of(status: libc::c_int, output: Vec<u8>) -> ChildEnd {
    if libc::WIFSIGNALED(status) {
        return match libc::WTERMSIG(status) {
            libc::SIGPROF | libc::SIGXCPU => ChildEnd::OutOfTime,
            signal => ChildEnd::Died(format!("signal {signal}")),
        };
    }
    match libc::WEXITSTATUS(status) {
        CLEAN => ChildEnd::Output(output),
        PANICKED => ChildEnd::Died("a panic".into()),
        code => ChildEnd::Died(format!("exit code {code}")),
    }
}

fn wait_for(pid: libc::pid_t) -> io::Result<(libc::c_int, Duration)> {
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid one.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to variables that live on.
        match check(unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok((status, duration(usage.ru_utime) + duration(usage.ru_stime))),
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec.max(0) as u64, (time.tv_usec.max(0) as u32) * 1_000)
}

/// The life of a child; its exit code.
fn child(limits: ChildLimits, parent: libc::pid_t, output: libc::c_int, job: impl FnOnce() -> Vec<u8>) -> i32 {
    let prepared = enter_child(limits, parent, output);
    let Ok(mut output) = prepared else { return 1 };
    match catch_unwind(AssertUnwindSafe(job)) {
        Ok(bytes) if output.write_all(&bytes).is_ok() => CLEAN,
        Ok(_) => 1,
        Err(_) => PANICKED,
    }
}

/// Takes away from a child what it does not need, and starts its clock. Standard input becomes its output.
fn enter_child(limits: ChildLimits, parent: libc::pid_t, output: libc::c_int) -> io::Result<File> {
    // SAFETY: calls on descriptors of this process, which nothing in the child uses: `dup2` closes standard input,
    // the rest is standard output (the worker's line to its host) and whatever the worker has open.
    let output = unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0))?;
        // The worker may have died before the line above.
        if libc::getppid() != parent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        check(libc::dup2(output, 0))?;
        check(libc::close(1))?;
        check(libc::close_range(3, libc::c_uint::MAX, 0))?;
        File::from_raw_fd(0)
    };
    limit(libc::RLIMIT_FSIZE, 0)?;
    limit(libc::RLIMIT_NOFILE, 0)?;
    limit(libc::RLIMIT_AS, limits.address_space_bytes)?;
    limit(libc::RLIMIT_DATA, limits.data_bytes)?;
    // The timer is exact; this one counts whole seconds and is for whoever found a way to stop the timer.
    limit(libc::RLIMIT_CPU, limits.cpu.as_secs() + 2)?;
    start_cpu_timer(limits.cpu)?;
    Ok(output)
}

/// Ends this process with SIGPROF when it has computed for `cpu`.
fn start_cpu_timer(cpu: Duration) -> io::Result<()> {
    let micros = cpu.as_micros().max(1_000);
    let timer = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval {
            tv_sec: libc::time_t::try_from(micros / 1_000_000).unwrap_or(libc::time_t::MAX),
            tv_usec: (micros % 1_000_000) as libc::suseconds_t,
        },
    };
    // SAFETY: resets a signal to its default, which ends the process; the pointer is to a variable that lives on,
    // and the old value is not asked for.
    unsafe {
        libc::signal(libc::SIGPROF, libc::SIG_DFL);
        check(libc::setitimer(libc::ITIMER_PROF, &raw const timer, std::ptr::null_mut())).map(drop)
    }
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers are to variables that live on.
    unsafe {
        check(libc::getrlimit(resource, &raw mut old))?;
        // Never above what the process was given.
        let value = value.min(old.rlim_max);
        let new = libc::rlimit { rlim_cur: value, rlim_max: value };
        check(libc::setrlimit(resource, &raw const new)).map(drop)
    }
}

/// From here on, all threads of this process can make a few harmless system calls only; others fail with "not
/// permitted". Returns whether the system can do that.
pub(crate) fn filter_system_calls() -> bool {
    let mut program = filter_program();
    let program = libc::sock_fprog { len: program.len() as libc::c_ushort, filter: program.as_mut_ptr() };
    // SAFETY: `program` and what it points to live until the call returns, which copies them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    result == 0
}

/// For memory, own threads, time, random numbers, and what is open already. `mmap` and `mprotect` are not among
/// them: they are allowed unless the memory is to be executable.
const ALLOWED_CALLS: &[libc::c_long] = &[
    libc::SYS_write,
    libc::SYS_read,
    libc::SYS_close,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
];

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const AUDIT_ARCH: u32 = 0xc000_00f3;

/// The filter for the kernel's small machine: it loads words of what was called and jumps over instructions.
fn filter_program() -> Vec<libc::sock_filter> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const IF_BITS: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const CALL_NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    /// Lower half of the third argument, where `mmap` and `mprotect` have the protection.
    const PROTECTION: u32 = if cfg!(target_endian = "little") { 32 } else { 36 };
    const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;

    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = vec![
        step(LOAD, 0, 0, ARCHITECTURE),
        step(IF_EQUAL, 1, 0, AUDIT_ARCH),
        step(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        step(LOAD, 0, 0, CALL_NUMBER),
    ];
    for call in ALLOWED_CALLS {
        program.push(step(IF_EQUAL, 0, 1, *call as u32));
        program.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    }
    program.extend([
        step(IF_EQUAL, 2, 0, libc::SYS_mmap as u32),
        step(IF_EQUAL, 1, 0, libc::SYS_mprotect as u32),
        step(RETURN, 0, 0, REFUSE),
        step(LOAD, 0, 0, PROTECTION),
        step(IF_BITS, 0, 1, libc::PROT_EXEC as u32),
        step(RETURN, 0, 0, REFUSE),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]);
    program
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
