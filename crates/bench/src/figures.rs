//! Named numbers of one run, and what many runs of the same have in common.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The numbers of one run, by name.
pub type Figures = BTreeMap<String, f64>;

/// The same number out of several runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread {
    runs: Vec<f64>,
}

impl Spread {
    /// Adds the number of one run.
    pub fn add(&mut self, value: f64) {
        self.runs.push(value);
    }

    /// Returns the middle value; the mean of the two middle ones when their count is even; none without runs.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.runs.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            count if count % 2 == 1 => Some(sorted[middle]),
            _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        }
    }

    /// Returns the least and the greatest value.
    pub fn range(&self) -> Option<(f64, f64)> {
        let least = self.runs.iter().copied().min_by(f64::total_cmp)?;
        let greatest = self.runs.iter().copied().max_by(f64::total_cmp)?;
        Some((least, greatest))
    }

    /// Returns in how many runs it was measured.
    pub fn count(&self) -> usize {
        self.runs.len()
    }

    /// Renders median, range and count.
    pub fn json(&self) -> Value {
        let (least, greatest) = self.range().unwrap_or_default();
        json!({ "median": self.median(), "min": least, "max": greatest, "runs": self.count() })
    }
}

/// Returns Jain's index of fairness: 1 when all values are equal, 1/n when one has everything; 1 for nothing to share.
pub fn jain(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 values")]
    let count = values.len() as f64;
    if squares == 0.0 { 1.0 } else { sum * sum / (count * squares) }
}

/// Returns a percentile of values, by nearest rank; zero when there are none.
pub fn percentile(values: &[f64], percentile: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank lies within the length"
    )]
    let rank = (percentile / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).or(sorted.last()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(values: &[f64]) -> Spread {
        let mut spread = Spread::default();
        for &value in values {
            spread.add(value);
        }
        spread
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_middle_values() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).median(), Some(2.5));
        assert_eq!(spread(&[7.0]).median(), Some(7.0));
        assert_eq!(spread(&[]).median(), None);
    }

    #[test]
    fn the_range_goes_from_the_least_to_the_greatest() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]).range(), Some((1.0, 3.0)));
        assert_eq!(spread(&[]).range(), None);
    }

    #[test]
    fn jain_is_one_for_equals_and_one_nth_when_one_has_everything() {
        assert!((jain(&[2.0; 50]) - 1.0).abs() < 1e-9);
        assert!((jain(&[5.0, 0.0, 0.0, 0.0]) - 0.25).abs() < 1e-9);
        assert!((jain(&[]) - 1.0).abs() < 1e-9);
        assert!((jain(&[0.0, 0.0]) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn percentiles_go_by_nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((percentile(&values, 50.0) - 50.0).abs() < 1e-9);
        assert!((percentile(&values, 99.0) - 99.0).abs() < 1e-9);
        assert!((percentile(&values, 100.0) - 100.0).abs() < 1e-9);
        assert!((percentile(&[4.0], 1.0) - 4.0).abs() < 1e-9);
        assert!(percentile(&[], 50.0).abs() < 1e-9);
    }
}
