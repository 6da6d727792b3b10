//! What was measured, beside what it should be: the table for people, and the rows for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One thing that was measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The most that the value may be; `None` if it is shown for comparison only.
    pub(crate) mark: Option<f64>,
}

impl Row {
    /// Something that must not be more than `mark`.
    pub(crate) fn marked(name: &'static str, value: f64, unit: &'static str, mark: f64) -> Self {
        Self { name, value, unit, mark: Some(mark) }
    }

    /// Something without a mark.
    pub(crate) fn plain(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self { name, value, unit, mark: None }
    }

    /// What is no number is no success.
    fn is_met(&self) -> bool {
        self.mark.is_none_or(|mark| self.value <= mark)
    }
}

/// A line per row.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        let mark = match row.mark {
            Some(mark) if row.is_met() => format!("at most {mark}"),
            Some(mark) => format!("at most {mark}: MISSED"),
            None => String::new(),
        };
        let _ = writeln!(out, "{:<34}{:>12.3} {:<24}{mark}", row.name, row.value, row.unit);
    }
    out
}

/// `{"rows": […]}`.
pub(crate) fn json(rows: &[Row]) -> Value {
    let row = |row: &Row| json!({"name": row.name, "value": row.value, "unit": row.unit, "mark": row.mark, "met": row.is_met()});
    json!({ "rows": rows.iter().map(row).collect::<Vec<_>>() })
}

/// A line per missed mark.
pub(crate) fn missed(rows: &[Row]) -> Vec<String> {
    let missed = rows.iter().filter(|row| !row.is_met());
    let line = |row: &Row| {
        format!("missed: {} is {:.3} {}, at most {} is wanted", row.name, row.value, row.unit, row.mark.unwrap_or(0.0))
    };
    missed.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        vec![
            Row::marked("import", 1.1, "of a batch", 1.15),
            Row::marked("empty", 5.0, "verifications", 4.0),
            Row::plain("disk", 3.5, "ms"),
            Row::marked("broken", f64::NAN, "", 1.0),
        ]
    }

    #[test]
    fn marks_are_met_or_missed() {
        let missed = missed(&rows());
        assert_eq!(missed.len(), 2);
        assert_eq!(missed[0], "missed: empty is 5.000 verifications, at most 4 is wanted");
        assert_eq!(table(&rows()).matches("MISSED").count(), 2);
    }

    #[test]
    fn rows_carry_what_programs_read() {
        let json = json(&rows());
        assert_eq!(
            json["rows"][0],
            json!({"name": "import", "value": 1.1, "unit": "of a batch", "mark": 1.15, "met": true})
        );
        assert_eq!(json["rows"][1]["met"], false);
        assert_eq!(json["rows"][2], json!({"name": "disk", "value": 3.5, "unit": "ms", "mark": null, "met": true}));
    }
}
