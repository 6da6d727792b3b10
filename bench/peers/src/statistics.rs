//! Medians and spreads.

/// The middle of what was measured, and its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Summary {
    /// `None` if nothing was measured.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Self { median, low, high })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_spread_the_ends() {
        assert_eq!(Summary::of([3.0, 1.0, 2.0]), Some(Summary { median: 2.0, low: 1.0, high: 3.0 }));
        assert_eq!(Summary::of([4.0, 1.0, 2.0, 3.0]), Some(Summary { median: 2.5, low: 1.0, high: 4.0 }));
        assert_eq!(Summary::of([7.0]), Some(Summary { median: 7.0, low: 7.0, high: 7.0 }));
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn one_wild_round_does_not_move_the_median() {
        assert_eq!(Summary::of([1.0, 1.1, 900.0, 1.2, 1.05]).map(|summary| summary.median), Some(1.1));
    }
}
