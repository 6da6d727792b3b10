//! The same courses, run by each subject in the way its documentation says.

mod actix;
mod kameo;
mod orchestra;
mod overseer;
mod ractor;
mod raw;

use std::time::Duration;

use crate::workload::{Run, Subject};

/// Runs one workload on one subject.
pub(crate) fn run(subject: Subject, run: Run) -> Duration {
    match subject {
        Subject::Overseer => overseer::run(run),
        Subject::Orchestra => orchestra::run(run),
        Subject::Ractor => ractor::run(run),
        Subject::Kameo => kameo::run(run),
        Subject::Actix => actix::run(run),
        Subject::Tokio => raw::run::<raw::Tokio>(run),
        Subject::Kanal => raw::run::<raw::Kanal>(run),
        Subject::Select => raw::run::<raw::Select>(run),
    }
}

/// Bytes of the heap per subsystem that was started and has nothing to do.
pub(crate) fn idle_bytes(subject: Subject) -> u64 {
    match subject {
        Subject::Overseer => overseer::idle_bytes(),
        Subject::Orchestra => orchestra::idle_bytes(),
        Subject::Ractor => ractor::idle_bytes(),
        Subject::Kameo => kameo::idle_bytes(),
        Subject::Actix => actix::idle_bytes(),
        Subject::Tokio => raw::idle_bytes::<raw::Tokio>(),
        Subject::Kanal => raw::idle_bytes::<raw::Kanal>(),
        Subject::Select => raw::idle_bytes::<raw::Select>(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use crate::workload::{Run, Subject, Workload};

    /// Held by tests that count bytes or give the counter something to count: there is one heap.
    pub(crate) fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every course ends, on everybody: no message is lost on the way, and nobody deadlocks.
    #[test]
    fn every_course_ends_on_every_subject() {
        let _alone = alone();
        for subject in Subject::ALL {
            for workload in Workload::ALL {
                let run = Run { operations: 1_280, ..Run::new(workload, true) };
                super::run(subject, run);
            }
        }
    }

    #[test]
    fn an_idle_subsystem_holds_something_on_every_subject() {
        let _alone = alone();
        for subject in Subject::ALL {
            assert!(super::idle_bytes(subject) > 0, "{subject}");
        }
    }
}
