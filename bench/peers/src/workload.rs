//! What is measured, on whom, and how much of it.

use std::fmt;

use crate::course::WORKERS;

/// Who is measured. The order is that of the table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Overseer,
    Orchestra,
    Ractor,
    Kameo,
    Actix,
    Tokio,
    Kanal,
    Select,
}

impl Subject {
    /// Those that are compared unless somebody is named.
    pub(crate) const PEERS: [Self; 7] =
        [Self::Overseer, Self::Orchestra, Self::Ractor, Self::Kameo, Self::Actix, Self::Tokio, Self::Kanal];
    pub(crate) const ALL: [Self; 8] = [
        Self::Overseer,
        Self::Orchestra,
        Self::Ractor,
        Self::Kameo,
        Self::Actix,
        Self::Tokio,
        Self::Kanal,
        Self::Select,
    ];

    /// The name in tables, in JSON and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Overseer => "overseer",
            Self::Orchestra => "orchestra",
            Self::Ractor => "ractor",
            Self::Kameo => "kameo",
            Self::Actix => "actix",
            Self::Tokio => "tokio",
            Self::Kanal => "kanal",
            Self::Select => "select",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is measured; `docs/benchmarks.md` says what each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Workload {
    OneWay1024,
    OneWay64,
    OneWayPayload,
    Ask,
    Ring1,
    Ring64,
    Signal24,
    FanIn8,
    SignalStalled,
    Tapped,
}

/// Places in a ring.
pub(crate) const RING_NODES: usize = 16;
/// Subsystems that hear a signal.
pub(crate) const HEARERS: usize = 24;
/// Senders of the workload `fan_in_8`.
pub(crate) const FAN_IN_SENDERS: usize = 8;
/// Bytes of the payload.
pub(crate) const PAYLOAD_BYTES: usize = 256;
/// Signals of one run at most; the queue of a bounded peer holds as many, so that a stalled hearer does not end its run.
pub(crate) const SIGNALS_MAX: usize = 8_192;

impl Workload {
    pub(crate) const ALL: [Self; 10] = [
        Self::OneWay1024,
        Self::OneWay64,
        Self::OneWayPayload,
        Self::Ask,
        Self::Ring1,
        Self::Ring64,
        Self::Signal24,
        Self::FanIn8,
        Self::SignalStalled,
        Self::Tapped,
    ];

    /// The name in tables, in JSON and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OneWay1024 => "one_way_1024",
            Self::OneWay64 => "one_way_64",
            Self::OneWayPayload => "one_way_payload",
            Self::Ask => "ask",
            Self::Ring1 => "ring_1",
            Self::Ring64 => "ring_64",
            Self::Signal24 => "signal_24",
            Self::FanIn8 => "fan_in_8",
            Self::SignalStalled => "signal_stalled",
            Self::Tapped => "tapped",
        }
    }

    /// Operations of one run: some tens of milliseconds of raw tokio, so that all subjects together take long enough for
    /// the kernel's clock to tell who else was busy; a multiple of the number of senders.
    fn operations(self) -> u64 {
        match self {
            Self::OneWay1024 | Self::OneWay64 | Self::OneWayPayload | Self::Tapped => 480_000,
            Self::FanIn8 => 320_000,
            Self::Ask => 32_000,
            Self::Ring1 => 64_000,
            Self::Ring64 => 384_000,
            Self::Signal24 | Self::SignalStalled => 6_000,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One run: a workload and how much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) workload: Workload,
    /// Messages delivered, answers received, hops made or signals acknowledged by all.
    pub(crate) operations: u64,
    /// Threads that run its tasks. Actix has two of its own.
    pub(crate) workers: usize,
}

impl Run {
    /// `quick` does a tenth of the work.
    pub(crate) fn new(workload: Workload, quick: bool) -> Self {
        Self { workload, operations: workload.operations() / if quick { 10 } else { 1 }, workers: WORKERS }
    }

    /// Messages that may wait in a queue.
    pub(crate) fn capacity(self) -> usize {
        match self.workload {
            Workload::OneWay64 => 64,
            Workload::Signal24 | Workload::SignalStalled => SIGNALS_MAX,
            _ => 1024,
        }
    }

    /// Tokens that go round the ring.
    pub(crate) fn tokens(self) -> u64 {
        if self.workload == Workload::Ring64 { 64 } else { 1 }
    }

    /// How many nodes each token still has to go to after the first.
    pub(crate) fn hops_per_token(self) -> u64 {
        self.operations / self.tokens()
    }

    /// Messages of each of the workload `fan_in_8`'s senders.
    pub(crate) fn messages_per_sender(self) -> u64 {
        self.operations / FAN_IN_SENDERS as u64
    }

    /// Hearers that never take a signal.
    pub(crate) fn stalled(self) -> usize {
        usize::from(self.workload == Workload::SignalStalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_divides_evenly_and_signals_fit_their_queue() {
        for quick in [false, true] {
            for workload in Workload::ALL {
                let run = Run::new(workload, quick);
                assert_eq!(run.hops_per_token() * run.tokens(), run.operations, "{workload}");
                assert_eq!(run.messages_per_sender() * FAN_IN_SENDERS as u64, run.operations, "{workload}");
            }
            assert!(Run::new(Workload::Signal24, quick).operations as usize <= SIGNALS_MAX);
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<&str> = Workload::ALL.iter().map(|workload| workload.name()).collect();
        assert_eq!(names.len(), Workload::ALL.len());
        let names: std::collections::BTreeSet<&str> = Subject::ALL.iter().map(|subject| subject.name()).collect();
        assert_eq!(names.len(), Subject::ALL.len());
    }
}
