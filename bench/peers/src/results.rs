//! What was measured, in rounds, and what follows from it.

use std::collections::BTreeMap;

use crate::statistics::Summary;
use crate::workload::{Subject, Workload};

/// One round of one workload: everybody ran it, one right after the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Round {
    /// Nanoseconds per operation.
    pub(crate) ns_per_op: BTreeMap<Subject, f64>,
    /// Cores that other processes kept busy meanwhile; `None` where the round was too short to tell.
    pub(crate) others: Option<f64>,
}

/// All that was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Results {
    /// Rounds that count.
    pub(crate) rounds: BTreeMap<Workload, Vec<Round>>,
    /// Rounds that other processes disturbed, and that were thrown away.
    pub(crate) discarded: usize,
    /// Rounds that were disturbed and count all the same, because there was no better one to be had.
    pub(crate) disturbed: usize,
    /// Rounds that count and were too short to tell whether others disturbed them.
    pub(crate) unjudged: usize,
    /// Bytes per idle subsystem.
    pub(crate) idle_bytes: BTreeMap<Subject, u64>,
}

impl Results {
    fn rounds(&self, workload: Workload) -> &[Round] {
        self.rounds.get(&workload).map_or(&[], Vec::as_slice)
    }

    /// How many rounds of a workload a subject ran.
    pub(crate) fn runs(&self, workload: Workload, subject: Subject) -> usize {
        self.rounds(workload).iter().filter(|round| round.ns_per_op.contains_key(&subject)).count()
    }

    /// Nanoseconds per operation.
    pub(crate) fn time(&self, workload: Workload, subject: Subject) -> Option<Summary> {
        Summary::of(self.rounds(workload).iter().filter_map(|round| round.ns_per_op.get(&subject).copied()))
    }

    /// How many times as fast `subject` is as `than`, from times of the same round.
    pub(crate) fn ratio(&self, workload: Workload, subject: Subject, than: Subject) -> Option<Summary> {
        Summary::of(self.rounds(workload).iter().filter_map(|round| {
            let (own, other) = (round.ns_per_op.get(&subject)?, round.ns_per_op.get(&than)?);
            Some(other / own)
        }))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Rounds of one workload from rows of (subject, times per round).
    pub(crate) fn results(workload: Workload, times: &[(Subject, &[f64])]) -> Results {
        let rounds = times.first().map_or(0, |(_, times)| times.len());
        let round = |index: usize| Round {
            ns_per_op: times.iter().map(|(subject, times)| (*subject, times[index])).collect(),
            others: None,
        };
        Results { rounds: [(workload, (0..rounds).map(round).collect())].into(), ..Results::default() }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine is twice as slow in the second round; the ratio stays the same.
        let results = results(
            Workload::Ask,
            &[(Subject::Tokio, &[300.0, 600.0, 330.0]), (Subject::Overseer, &[100.0, 200.0, 100.0])],
        );
        let ratio = results.ratio(Workload::Ask, Subject::Overseer, Subject::Tokio).unwrap();
        assert_eq!((ratio.median, ratio.low, ratio.high), (3.0, 3.0, 3.3));
        assert_eq!(results.time(Workload::Ask, Subject::Overseer).unwrap().median, 100.0);
        assert_eq!(results.runs(Workload::Ask, Subject::Overseer), 3);
        assert_eq!(results.ratio(Workload::Ask, Subject::Kanal, Subject::Tokio), None);
        assert_eq!(results.runs(Workload::Ring1, Subject::Overseer), 0);
    }
}
