//! What `overseer` has to reach.

use std::fmt;

use crate::results::Results;
use crate::workload::{Subject, Workload};

/// Bytes that an idle subsystem may hold.
const IDLE_BYTES_MAX: u64 = 2_048;

/// One mark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    /// As many times as fast as somebody else, by the median of the ratios of each round.
    TimesAsFast { workload: Workload, as_whom: Subject, at_least: f64 },
    /// Faster than somebody else, by the same median.
    Faster { workload: Workload, than: Subject },
    /// Publishing takes as long with a stalled subsystem as without one: its median is not above the spread of the runs
    /// without.
    StalledCostsNothing,
    /// Bytes per idle subsystem.
    IdleBytes { at_most: u64 },
}

/// What was found about a mark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Finding {
    Met,
    /// It is so much, and should be so much.
    Missed {
        is: f64,
        wanted: f64,
    },
    /// Nothing was measured that would tell.
    NotMeasured,
}

/// All marks, in the order in which they are judged.
pub(crate) fn all() -> Vec<Mark> {
    use Workload::{Ask, FanIn8, OneWay64, OneWay1024, OneWayPayload, Ring1, Ring64, Signal24};
    let times = |as_whom, marks: &[(Workload, f64)]| -> Vec<Mark> {
        marks
            .iter()
            .map(|(workload, at_least)| (*workload, *at_least))
            .map(|(workload, at_least)| Mark::TimesAsFast { workload, as_whom, at_least })
            .collect()
    };
    let mut marks = times(
        Subject::Orchestra,
        &[
            (OneWay1024, 4.0),
            (OneWay64, 4.0),
            (OneWayPayload, 4.0),
            (Ring64, 4.0),
            (FanIn8, 4.0),
            (Ring1, 3.5),
            (Ask, 2.0),
            (Signal24, 2.0),
        ],
    );
    marks.extend(times(
        Subject::Tokio,
        &[
            (OneWay1024, 2.0),
            (OneWayPayload, 2.0),
            (OneWay64, 1.7),
            (Ring64, 2.0),
            (FanIn8, 2.5),
            (Signal24, 1.4),
            (Ask, 1.0),
            (Ring1, 1.0),
        ],
    ));
    for than in [Subject::Ractor, Subject::Kameo, Subject::Actix] {
        marks.extend(Workload::ALL.map(|workload| Mark::Faster { workload, than }));
    }
    marks.push(Mark::StalledCostsNothing);
    marks.push(Mark::IdleBytes { at_most: IDLE_BYTES_MAX });
    marks
}

impl Mark {
    pub(crate) fn judge(&self, results: &Results) -> Finding {
        match *self {
            Self::TimesAsFast { workload, as_whom, at_least } => {
                finding(results.ratio(workload, Subject::Overseer, as_whom).map(|ratio| ratio.median), at_least, |is| {
                    is >= at_least
                })
            }
            Self::Faster { workload, than } => {
                finding(results.ratio(workload, Subject::Overseer, than).map(|ratio| ratio.median), 1.0, |is| is > 1.0)
            }
            Self::StalledCostsNothing => {
                let Some(without) = results.time(Workload::Signal24, Subject::Overseer) else {
                    return Finding::NotMeasured;
                };
                let with = results.time(Workload::SignalStalled, Subject::Overseer);
                finding(with.map(|with| with.median), without.high, |is| is <= without.high)
            }
            Self::IdleBytes { at_most } => {
                let is = results.idle_bytes.get(&Subject::Overseer).map(|bytes| *bytes as f64);
                finding(is, at_most as f64, |is| is <= at_most as f64)
            }
        }
    }
}

fn finding(is: Option<f64>, wanted: f64, good: impl FnOnce(f64) -> bool) -> Finding {
    match is {
        None => Finding::NotMeasured,
        Some(is) if good(is) => Finding::Met,
        Some(is) => Finding::Missed { is, wanted },
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimesAsFast { workload, as_whom, at_least } => {
                write!(f, "{workload}: at least {at_least:.1} times as fast as {as_whom}")
            }
            Self::Faster { workload, than } => write!(f, "{workload}: faster than {than}"),
            Self::StalledCostsNothing => {
                f.write_str("signal_stalled: median ns within the spread of signal_24, where nobody is stalled")
            }
            Self::IdleBytes { at_most } => write!(f, "idle: at most {at_most} bytes per idle subsystem"),
        }
    }
}

/// The marks that were not met, each as a line that names it.
pub(crate) fn missed(results: &Results) -> Vec<String> {
    all()
        .iter()
        .filter_map(|mark| match mark.judge(results) {
            Finding::Met => None,
            Finding::Missed { is, wanted } if wanted > 100.0 => {
                Some(format!("missed: {mark}; it is {is:.0}, wanted {wanted:.0}"))
            }
            Finding::Missed { is, wanted } => Some(format!("missed: {mark}; it is {is:.2}, wanted {wanted:.2}")),
            Finding::NotMeasured => Some(format!("missed: {mark}; it was not measured")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    fn times_as_fast(at_least: f64) -> Mark {
        Mark::TimesAsFast { workload: Workload::Ask, as_whom: Subject::Orchestra, at_least }
    }

    #[test]
    fn every_workload_is_marked_against_the_actors_and_eight_against_orchestra_and_tokio() {
        let marks = all();
        let against = |subject| {
            marks
                .iter()
                .filter(|mark| match mark {
                    Mark::TimesAsFast { as_whom, .. } => *as_whom == subject,
                    Mark::Faster { than, .. } => *than == subject,
                    Mark::StalledCostsNothing | Mark::IdleBytes { .. } => false,
                })
                .count()
        };
        assert_eq!((against(Subject::Orchestra), against(Subject::Tokio)), (8, 8));
        for actor in [Subject::Ractor, Subject::Kameo, Subject::Actix] {
            assert_eq!(against(actor), Workload::ALL.len(), "{actor}");
        }
        assert_eq!(marks.len(), 8 + 8 + 3 * 10 + 2);
    }

    #[test]
    fn a_ratio_is_judged_by_its_median() {
        let results = results(
            Workload::Ask,
            &[(Subject::Overseer, &[100.0, 100.0, 100.0]), (Subject::Orchestra, &[150.0, 250.0, 900.0])],
        );
        assert_eq!(times_as_fast(2.5).judge(&results), Finding::Met);
        assert_eq!(times_as_fast(2.6).judge(&results), Finding::Missed { is: 2.5, wanted: 2.6 });
        let faster = Mark::Faster { workload: Workload::Ask, than: Subject::Ractor };
        assert_eq!(faster.judge(&results), Finding::NotMeasured);
    }

    #[test]
    fn as_fast_is_not_faster() {
        let even = results(Workload::Ask, &[(Subject::Overseer, &[100.0]), (Subject::Kameo, &[100.0])]);
        let faster = Mark::Faster { workload: Workload::Ask, than: Subject::Kameo };
        assert_eq!(faster.judge(&even), Finding::Missed { is: 1.0, wanted: 1.0 });
    }

    #[test]
    fn a_stalled_subsystem_may_cost_what_the_spread_covers() {
        let mut measured = results(Workload::Signal24, &[(Subject::Overseer, &[90.0, 100.0, 120.0])]);
        let stalled = |times: &[f64]| results(Workload::SignalStalled, &[(Subject::Overseer, times)]).rounds;
        assert_eq!(Mark::StalledCostsNothing.judge(&measured), Finding::NotMeasured);
        measured.rounds.extend(stalled(&[70.0, 119.0, 300.0]));
        assert_eq!(Mark::StalledCostsNothing.judge(&measured), Finding::Met);
        measured.rounds.extend(stalled(&[121.0]));
        assert_eq!(Mark::StalledCostsNothing.judge(&measured), Finding::Missed { is: 121.0, wanted: 120.0 });
    }

    #[test]
    fn missed_marks_are_named_with_what_is_and_what_should_be() {
        let mut results = results(Workload::Ask, &[(Subject::Overseer, &[100.0]), (Subject::Orchestra, &[150.0])]);
        results.idle_bytes.insert(Subject::Overseer, 3_000);
        let missed = missed(&results);
        assert!(
            missed.contains(&"missed: ask: at least 2.0 times as fast as orchestra; it is 1.50, wanted 2.00".into())
        );
        assert!(missed.contains(&"missed: ring_1: faster than actix; it was not measured".into()));
        assert_eq!(
            missed.last().map(String::as_str),
            Some("missed: idle: at most 2048 bytes per idle subsystem; it is 3000, wanted 2048")
        );
    }
}
