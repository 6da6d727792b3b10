//! Rounds, interleaved, and which of them count.

use std::collections::BTreeMap;

use crate::machine::{OTHERS_MAX_CORES, Ticks};
use crate::results::{Results, Round};
use crate::subjects;
use crate::workload::{Run, Subject, Workload};

/// Rounds of one workload that are tried for each that is wanted.
const TRIES_PER_ROUND: usize = 3;

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    pub(crate) workers: usize,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) subjects: Vec<Subject>,
}

/// Measures everything. `progress` is told what happens now.
pub(crate) fn measure(plan: &Plan, mut progress: impl FnMut(&str)) -> Results {
    let mut results = Results::default();
    for subject in &plan.subjects {
        results.idle_bytes.insert(*subject, subjects::idle_bytes(*subject));
    }
    let mut tried: BTreeMap<Workload, Vec<Round>> = BTreeMap::new();
    for turn in 0..plan.rounds * TRIES_PER_ROUND {
        for workload in &plan.workloads {
            let rounds = tried.entry(*workload).or_default();
            let quiet = rounds.iter().filter(|round| is_quiet(round)).count();
            if quiet >= plan.rounds {
                continue;
            }
            progress(&format!("turn {}: {workload}, {quiet} of {} rounds done", turn + 1, plan.rounds));
            let round = round(*workload, plan, turn);
            if !is_quiet(&round) {
                progress(&format!("  others took {:.2} core meanwhile", round.others.unwrap_or_default()));
            }
            rounds.push(round);
        }
    }
    for (workload, rounds) in tried {
        let chosen = choose(rounds, plan.rounds);
        results.discarded += chosen.discarded;
        results.disturbed += chosen.rounds.iter().filter(|round| !is_quiet(round)).count();
        results.unjudged += chosen.rounds.iter().filter(|round| round.others.is_none()).count();
        results.rounds.insert(workload, chosen.rounds);
    }
    results
}

/// Everybody once, beginning with another one each time, so that nobody always follows the same neighbour's heat.
fn round(workload: Workload, plan: &Plan, turn: usize) -> Round {
    let run = Run { workers: plan.workers, ..Run::new(workload, plan.quick) };
    let before = Ticks::now();
    let mut ns_per_op = BTreeMap::new();
    for index in 0..plan.subjects.len() {
        let subject = plan.subjects[(index + turn) % plan.subjects.len()];
        let time = subjects::run(subject, run);
        ns_per_op.insert(subject, time.as_nanos() as f64 / run.operations as f64);
    }
    let others = before.zip(Ticks::now()).and_then(|(before, after)| after.others_since(before));
    Round { ns_per_op, others }
}

fn is_quiet(round: &Round) -> bool {
    round.others.is_none_or(|cores| cores <= OTHERS_MAX_CORES)
}

struct Chosen {
    rounds: Vec<Round>,
    discarded: usize,
}

/// The quiet rounds; where they are too few, the least disturbed of the others as well.
fn choose(mut rounds: Vec<Round>, wanted: usize) -> Chosen {
    // Stable: of equally quiet rounds the earlier comes first.
    rounds.sort_by(|one, other| {
        let disturbance = |round: &Round| if is_quiet(round) { 0.0 } else { round.others.unwrap_or(0.0) };
        disturbance(one).total_cmp(&disturbance(other))
    });
    let discarded = rounds.len().saturating_sub(wanted);
    rounds.truncate(wanted);
    Chosen { rounds, discarded }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::course::WORKERS;

    fn round_with(others: Option<f64>) -> Round {
        Round { ns_per_op: BTreeMap::new(), others }
    }

    #[test]
    fn disturbed_rounds_go_and_the_least_disturbed_fill_up() {
        let rounds = [Some(0.9), Some(0.1), Some(0.2), None, Some(0.15)].map(round_with).to_vec();
        let kept = |wanted| {
            let chosen = choose(rounds.clone(), wanted);
            (chosen.rounds.iter().map(|round| round.others).collect::<Vec<_>>(), chosen.discarded)
        };
        assert_eq!(kept(3), (vec![Some(0.1), None, Some(0.15)], 2));
        assert_eq!(kept(4), (vec![Some(0.1), None, Some(0.15), Some(0.2)], 1));
        assert_eq!(kept(5).1, 0);
    }

    #[test]
    fn a_quick_measurement_has_every_row() {
        let _alone = subjects::tests::alone();
        let plan = Plan {
            rounds: 1,
            quick: true,
            workers: WORKERS,
            workloads: vec![Workload::Ask],
            subjects: Subject::ALL.to_vec(),
        };
        let results = measure(&plan, |_| ());
        for subject in Subject::ALL {
            assert_eq!(results.runs(Workload::Ask, subject), 1, "{subject}");
            assert!(results.idle_bytes.contains_key(&subject), "{subject}");
        }
    }
}
