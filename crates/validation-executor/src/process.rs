//! One worker process, seen from its host.

use std::{path::Path, process::Stdio, time::Duration};

use codec::Encode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{
    limits::WALL_CLOCK_SLACK,
    protocol::{Answer, BuildId, Request, decode, frame_header, frame_len},
    worker::WORKER_ARGUMENT,
};

/// Why a worker cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// It cannot be started, or is of another build: no other would be better.
    #[error("{0}")]
    Foreign(String),
    /// It died, or said what it must not.
    #[error("the worker is gone: {0}")]
    Died(String),
    /// It did not answer in time.
    #[error("the worker did not answer within {0:?}")]
    Hung(Duration),
}

/// A worker process. It is killed when this is dropped, and its child with it.
pub(crate) struct WorkerProcess {
    id: u32,
    _child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl WorkerProcess {
    /// Starts `program` as a worker in `folder` and checks that it is of the build `expected`.
    pub(crate) async fn start(program: &Path, folder: &Path, expected: &BuildId) -> Result<Self, Broken> {
        let foreign = |reason: String| Broken::Foreign(format!("validation worker {}: {reason}", program.display()));
        let mut child = Command::new(program)
            .arg(WORKER_ARGUMENT)
            .env_clear()
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| foreign(format!("cannot be started: {error}")))?;
        let (Some(input), Some(output), Some(id)) = (child.stdin.take(), child.stdout.take(), child.id()) else {
            return Err(foreign("was started without its pipes".into()));
        };
        let mut worker = Self { id, _child: child, input, output };
        match worker.within(WALL_CLOCK_SLACK, Self::read).await? {
            Answer::Hello { build, .. } if build != *expected => {
                Err(foreign(format!("is of another build: {build:?}, expected {expected:?}")))
            }
            Answer::Hello { filters_system_calls, .. } => {
                if !filters_system_calls {
                    tracing::warn!(worker = id, "this system cannot filter the system calls of validation functions");
                }
                Ok(worker)
            }
            _ => Err(foreign("does not begin with a greeting".into())),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// One request and its answer. Not cancel-safe: a worker whose answer was not awaited must be dropped.
    pub(crate) async fn ask(&mut self, request: &Request, within: Duration) -> Result<Answer, Broken> {
        let body = request.encode();
        self.within(within, async |worker: &mut Self| {
            let header = frame_header(body.len())?;
            worker.input.write_all(&header).await?;
            worker.input.write_all(&body).await?;
            worker.input.flush().await?;
            worker.read().await
        })
        .await
    }

    async fn read(&mut self) -> std::io::Result<Answer> {
        let mut header = [0; 4];
        self.output.read_exact(&mut header).await?;
        let mut body = vec![0; frame_len(header)?];
        self.output.read_exact(&mut body).await?;
        decode(&body)
    }

    async fn within<T>(
        &mut self,
        limit: Duration,
        exchange: impl AsyncFnOnce(&mut Self) -> std::io::Result<T>,
    ) -> Result<T, Broken> {
        match timeout(limit, exchange(self)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Broken::Died(error.to_string())),
            Err(_) => Err(Broken::Hung(limit)),
        }
    }
}
