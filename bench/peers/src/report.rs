//! The table for people, and the rows for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::machine::OTHERS_MAX_CORES;
use crate::results::Results;
use crate::workload::{Subject, Workload};

/// How many times as fast as raw tokio, with the spread, one line per workload; then nanoseconds; then bytes.
pub(crate) fn table(results: &Results) -> String {
    let mut out = String::from("speed relative to raw tokio in the same round: median (lowest to highest)\n");
    heading(&mut out);
    for workload in results.rounds.keys().copied() {
        let ratio = |subject| match results.ratio(workload, subject, Subject::Tokio) {
            Some(ratio) => format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.low, ratio.high),
            None => "–".to_owned(),
        };
        line(&mut out, workload.name(), ratio);
    }
    out.push_str("\nnanoseconds per operation: median\n");
    heading(&mut out);
    for workload in results.rounds.keys().copied() {
        let time = |subject| match results.time(workload, subject) {
            Some(time) => format!("{:.0}", time.median),
            None => "–".to_owned(),
        };
        line(&mut out, workload.name(), time);
    }
    out.push_str("\nbytes per idle subsystem\n");
    heading(&mut out);
    let bytes = |subject: Subject| results.idle_bytes.get(&subject).map_or("–".to_owned(), u64::to_string);
    line(&mut out, "idle", bytes);
    out
}

fn heading(out: &mut String) {
    line(out, "", |subject| subject.name().to_owned());
}

fn line(out: &mut String, name: &str, cell: impl Fn(Subject) -> String) {
    let _ = write!(out, "{name:<16}");
    for subject in Subject::ALL {
        let _ = write!(out, "{:>18}", cell(subject));
    }
    out.push('\n');
}

/// `{"rows": […]}`.
pub(crate) fn json(results: &Results) -> Value {
    let mut rows = Vec::new();
    for workload in Workload::ALL {
        for subject in Subject::ALL {
            let Some(time) = results.time(workload, subject) else { continue };
            let ratio = results.ratio(workload, subject, Subject::Tokio);
            rows.push(json!({
                "workload": workload.name(),
                "subject": subject.name(),
                "ns_per_op": time.median,
                "ratio_to_tokio": ratio.map(|ratio| ratio.median),
                "ratio_spread": ratio.map(|ratio| [ratio.low, ratio.high]),
                "runs": results.runs(workload, subject),
            }));
        }
    }
    for (subject, bytes) in &results.idle_bytes {
        rows.push(json!({ "workload": "idle", "subject": subject.name(), "bytes": bytes }));
    }
    json!({ "rows": rows, "discarded_rounds": results.discarded, "disturbed_rounds": results.disturbed, "unjudged_rounds": results.unjudged })
}

/// What has to be known about the rounds to trust the numbers; nothing, if all is well.
pub(crate) fn noise(results: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    if results.discarded > 0 {
        lines.push(format!(
            "discarded {} rounds in which other processes took more than {OTHERS_MAX_CORES} core",
            results.discarded
        ));
    }
    if results.disturbed > 0 {
        lines.push(format!(
            "not proven: {} disturbed rounds, the least disturbed ones, were kept for want of quiet ones",
            results.disturbed
        ));
    }
    if results.unjudged > 0 {
        lines
            .push(format!("{} rounds were too short to tell whether other processes disturbed them", results.unjudged));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    fn measured() -> Results {
        let mut results = results(
            Workload::Ring1,
            &[(Subject::Overseer, &[200.0, 100.0, 50.0]), (Subject::Tokio, &[300.0, 100.0, 100.0])],
        );
        results.idle_bytes.insert(Subject::Overseer, 1_234);
        results
    }

    #[test]
    fn the_table_has_a_line_per_workload_and_a_column_per_subject() {
        let table = table(&measured());
        let line = table.lines().find(|line| line.starts_with("ring_1")).unwrap();
        assert!(line.contains("1.50 (1.00–2.00)"), "{line}");
        assert!(line.contains("1.00 (1.00–1.00)"), "{line}");
        assert_eq!(line.matches('–').count(), 2 + 5, "nothing was measured of five: {line}");
        assert!(table.lines().any(|line| line.starts_with("idle") && line.contains("1234")), "{table}");
    }

    #[test]
    fn rows_carry_what_programs_read() {
        let json = json(&measured());
        let rows = json["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 3);
        assert_eq!(
            rows[0],
            json!({"workload": "ring_1", "subject": "overseer", "ns_per_op": 100.0, "ratio_to_tokio": 1.5,
                   "ratio_spread": [1.0, 2.0], "runs": 3})
        );
        assert_eq!(rows[2], json!({"workload": "idle", "subject": "overseer", "bytes": 1234}));
    }

    #[test]
    fn noise_is_told_only_where_there_was_some() {
        assert_eq!(noise(&measured()), Vec::<String>::new());
        let noisy = Results { discarded: 3, disturbed: 2, unjudged: 1, ..measured() };
        assert_eq!(noise(&noisy).len(), 3);
        assert!(noise(&noisy)[0].starts_with("discarded 3 rounds"));
    }
}
