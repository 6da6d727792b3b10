//! Processes: killed, hung, of another build, in parallel; the cache.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use futures::future::join_all;
use ports::{ExecutionRequest, ValidationBackend, ValidationError};
use primitives::blake2_256;
use test_parachains::adder;
use validation_executor::{WorkerPool, WorkerPoolConfig};

use crate::kit::{ENDLESS, Kit, config, module, params, request, result};

fn kill(process: u32) {
    assert!(Command::new("kill").args(["-KILL", &process.to_string()]).output().is_ok());
}

/// Kills up to `times` workers that have a job, while the request runs.
async fn run_and_kill(kit: &Kit, request: ExecutionRequest, times: usize) -> Result<bytes::Bytes, ValidationError> {
    let pool = kit.pool.clone();
    let task = tokio::spawn(async move { pool.execute(request).await });
    let mut killed = Vec::new();
    while !task.is_finished() {
        for process in kit.pool.busy_workers() {
            if killed.len() < times && !killed.contains(&process) {
                kill(process);
                killed.push(process);
            }
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(killed.len(), times);
    task.await.expect("the task was not aborted")
}

#[tokio::test]
async fn a_killed_worker_is_replaced_and_its_job_tried_once_more() {
    let kit = Kit::new();
    let endless = module("", ENDLESS);
    kit.pool.prepare(endless.clone().into(), blake2_256(&endless)).await;
    let outcome = run_and_kill(&kit, request(&endless, b""), 2).await;
    assert!(matches!(outcome, Err(ValidationError::Ambiguous(_))), "{outcome:?}");
    assert_eq!(kit.pool.statistics().retried, 1);

    // About a second of counting: long enough to be killed in the middle of.
    let count = "(local $i i64) (loop $again (local.set $i (i64.add (local.get $i) (i64.const 1)))
        (br_if $again (i64.ne (local.get $i) (i64.const 2000000000)))) (i64.const 0)";
    let counts = module("", count);
    kit.pool.prepare(counts.clone().into(), blake2_256(&counts)).await;
    let outcome = run_and_kill(&kit, request(&counts, b""), 1).await;
    assert_eq!(outcome.unwrap(), b""[..]);
    assert_eq!(kit.pool.statistics().retried, 2);
}

#[tokio::test]
async fn dropping_a_run_frees_its_place() {
    let kit = Kit::with(|config| config.workers = 1);
    let endless = module("", ENDLESS);
    let pool = kit.pool.clone();
    let task = tokio::spawn(async move { pool.execute(request(&endless, b"")).await });
    while kit.pool.busy_workers().is_empty() {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert!(kit.pool.busy_workers().is_empty());
    assert!(kit.run(&module("", "(i64.const 0)"), b"").await.is_ok());
}

#[tokio::test]
async fn many_at_once_share_the_workers_and_compile_once() {
    let kit = Kit::new();
    let (head, block) = adder::collate(&adder::genesis_head(), 0).unwrap();
    let request = request(adder::WASM, &params(&adder::genesis_head(), &block));
    let outcomes = join_all((0..50).map(|_| kit.pool.execute(request.clone()))).await;
    for outcome in outcomes {
        assert_eq!(outcome.unwrap(), result(&head));
    }
    let statistics = kit.pool.statistics();
    assert_eq!((statistics.executed, statistics.prepared), (50, 1));
    assert!(statistics.workers_started <= 2);
}

#[tokio::test]
async fn the_queue_has_an_end() {
    let kit = Kit::with(|config| {
        config.workers = 1;
        config.max_queued = 2;
    });
    let code = module("", "(i64.const 0)");
    let outcomes = join_all((0..5).map(|_| kit.pool.execute(request(&code, b"")))).await;
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(ValidationError::Internal(_)))).count();
    assert_eq!((refused, outcomes.iter().filter(|outcome| outcome.is_ok()).count()), (2, 3));
}

#[tokio::test]
async fn artifacts_outlive_the_pool_and_damage_is_repaired() {
    let kit = Kit::new();
    let code = module("", "(i64.const 0)");
    kit.run(&code, b"").await.unwrap();
    let second = WorkerPool::new(config(kit.cache.path().to_path_buf())).unwrap();
    second.execute(request(&code, b"")).await.unwrap();
    assert_eq!(second.statistics().prepared, 0);

    let files = fs::read_dir(kit.cache.path()).unwrap().map(|entry| entry.unwrap().path());
    let artifact = files.filter(|path| path.is_file()).max().unwrap();
    let mut content = fs::read(&artifact).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(&artifact, content).unwrap();
    let third = WorkerPool::new(config(kit.cache.path().to_path_buf())).unwrap();
    third.execute(request(&code, b"")).await.unwrap();
    assert_eq!(third.statistics().prepared, 1);
}

#[tokio::test]
async fn bad_code_is_compiled_once() {
    let kit = Kit::new();
    let first = kit.run(b"no wasm", b"").await;
    assert!(matches!(first, Err(ValidationError::Invalid(_))));
    assert_eq!(kit.run(b"no wasm", b"").await, first);
    let mut lie = request(&module("", "(i64.const 0)"), b"");
    lie.code_hash = blake2_256(b"something else");
    assert!(matches!(kit.pool.execute(lie).await, Err(ValidationError::Internal(_))));
}

#[tokio::test]
async fn programs_that_are_no_workers_are_our_own_fault() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("program");
    fs::write(&script, "#!/bin/sh\nprintf '\\004\\000\\000\\000nope'\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    for program in [script, folder.path().join("missing")] {
        let kit = Kit::with(|config: &mut WorkerPoolConfig| config.program = program);
        let outcome = kit.run(&module("", "(i64.const 0)"), b"").await;
        assert!(outcome.is_err(), "{outcome:?}");
        assert!(!matches!(outcome, Err(ValidationError::Invalid(_))), "{outcome:?}");
    }
}

/// Needs a kernel with seccomp, as every Linux distribution has it.
#[test]
fn a_child_can_do_nothing_but_compute() {
    let output = Command::new(env!("CARGO_BIN_EXE_validation-worker")).arg("sandbox").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(report.matches("false").count(), 6, "{report}");
    assert!(!report.contains("true"), "{report}");
}
