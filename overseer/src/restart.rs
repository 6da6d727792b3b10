//! Starting a subsystem: once, or anew after each failure with the mailbox it had.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use deterministic::{Environment, drop_caught, panicked};
use futures::FutureExt as _;
use overseer_core::inbound::Inbound;
use overseer_core::reader::Reader;

use crate::mailbox::Mailbox;
use crate::message::Role;
use crate::node::{BuildError, Connect, Connected, Lag, Logs};
use crate::port::Outlet;
use crate::recorder::Recording;
use crate::replay::Taping;
use crate::signal::{Cursor, Wakeable};
use crate::subsystem::{Context, Failure, Parking, Start, Subsystem};
use crate::wiring::{Origin, SendList, Switchboard};

/// How a subsystem ended: its own result, or the message of the panic that it was unwound by.
pub(crate) type Outcome = Result<Result<(), Failure>, String>;

/// Runs an instance to its end. All of it is foreign and may panic: its loop, its failure when it is shown, and what it
/// panicked with when that is dropped. No `async`, which would hold the instance twice.
pub(crate) fn caught(running: impl Future<Output = Result<(), Failure>>) -> impl Future<Output = Outcome> {
    AssertUnwindSafe(running).catch_unwind().map(|ended| {
        let shown = ended.and_then(|ended| {
            let Err(failure) = ended else { return Ok(Ok(())) };
            match catch_unwind(AssertUnwindSafe(|| failure.to_string())) {
                Ok(_) => Ok(Err(failure)),
                Err(panic) => {
                    drop_caught(failure);
                    Err(panic)
                }
            }
        });
        shown.map_err(panicked)
    })
}

pub(crate) type MailboxOf<S> = Arc<Mailbox<<<S as Subsystem>::Role as Role>::Inbox>>;

/// Connects ports, log and mailbox of one subsystem.
pub(crate) fn prepare<S: Subsystem>(
    mailbox: MailboxOf<S>,
    switchboard: &mut Switchboard,
    logs: &mut Logs,
    environment: &Environment,
    taping: Option<Taping<S>>,
) -> Result<(Start<S>, Lag, Arc<Recording>), BuildError> {
    let role = <S::Role as Role>::NAME;
    let log = logs.of::<S::View>();
    let reader: Arc<dyn Wakeable> = mailbox.clone();
    log.add_reader(reader);
    let cursor = Cursor::new(log.clone());
    let hears = mailbox.clone();
    let lag: Lag = Arc::new(move || log.published().saturating_sub(hears.heard()));
    let recording = Arc::new(Recording::new(logs.ending.clone()));
    let mut ports = S::Sends::connect(switchboard, role, Origin::Loop)?;
    let mut jobs = S::JobSends::connect(switchboard, role, Origin::Jobs)?;
    if let Some(taping) = &taping {
        (taping.ports)(&mut ports, &taping.reel);
        (taping.jobs)(&mut jobs, &taping.reel);
    }
    let start = Start {
        inbound: Box::new(Inbound::new(Reader::new(mailbox), cursor)),
        ports: Outlet::new(ports),
        jobs: Outlet::new(jobs),
        environment: environment.clone(),
        recording: recording.clone(),
        parking: None,
        taping,
        screen: switchboard.screen::<S::Role>(),
    };
    Ok((start, lag, recording))
}

/// Connects it, and makes a task of what `run` makes of that.
pub(crate) fn connect<S: Subsystem, F: Future<Output = Outcome> + Send + 'static>(
    mailbox: MailboxOf<S>,
    taping: Option<Taping<S>>,
    run: impl FnOnce(Start<S>) -> F + Send + 'static,
) -> Connect {
    Box::new(move |switchboard, logs, environment, launch| {
        let (start, lag, recording) = prepare::<S>(mailbox, switchboard, logs, environment, taping)?;
        let (task, abort) = launch.task(run(start));
        Ok(Connected { task, abort, lag, recording })
    })
}

/// Runs it once.
pub(crate) fn once<S: Subsystem>(subsystem: S, mailbox: MailboxOf<S>) -> Connect {
    connect(mailbox, None, |start| {
        let context = Context::new(start);
        // In a future of its own: what `run` does before it returns its future may panic as well.
        caught(async move { subsystem.run(context).await })
    })
}

/// Runs it, and a new one with the same mailbox whenever it ends before it was told to.
pub(crate) fn restarting<S: Subsystem>(
    restarts_max: u32,
    mut make: impl FnMut() -> S + Send + 'static,
    mailbox: MailboxOf<S>,
) -> Connect {
    connect(mailbox, None, move |mut start: Start<S>| {
        let parking = Arc::new(Parking::new());
        start.parking = Some(parking.clone());
        let (ports, jobs, environment) = (start.ports.clone(), start.jobs.clone(), start.environment.clone());
        let (recording, screen) = (start.recording.clone(), start.screen.clone());
        async move {
            let mut context = Context::new(start);
            for restarts in 1.. {
                // In a future of its own, so that a panic of `make` is an outcome like any other.
                let make = &mut make;
                let outcome = caught(async move { make().run(context).await }).await;
                let Some(mut inbound) = parking.take() else { return outcome };
                if inbound.cursor().log().is_concluded() || restarts > restarts_max {
                    recording.begin_to_end();
                    return outcome;
                }
                let cause = match &outcome {
                    Ok(Ok(())) => "ended without being told to".to_owned(),
                    Ok(Err(failure)) => failure.to_string(),
                    Err(message) => message.clone(),
                };
                drop_caught(outcome);
                tracing::error!(subsystem = <S::Role as Role>::NAME, cause, restarts, restarts_max, "starts again");
                // One that fails at once, however often, keeps nobody from running, or from ending it.
                tokio::task::yield_now().await;
                inbound.restart();
                context = Context::new(Start {
                    inbound,
                    ports: ports.clone(),
                    jobs: jobs.clone(),
                    environment: environment.clone(),
                    recording: recording.clone(),
                    parking: Some(parking.clone()),
                    taping: None,
                    screen: screen.clone(),
                });
            }
            unreachable!("the loop above ends by returning")
        }
    })
}
