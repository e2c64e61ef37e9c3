//! What came out: figures by case, by who was measured, by name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::figures::{Figures, Spread};

type Rows = BTreeMap<String, BTreeMap<String, Spread>>;

/// The figures of all rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results(BTreeMap<String, Rows>);

impl Results {
    /// Adds what one run of a case showed about somebody.
    pub(crate) fn add(&mut self, case: &str, who: &str, figures: Figures) {
        let row = self.0.entry(case.to_owned()).or_default().entry(who.to_owned()).or_default();
        for (name, value) in figures {
            row.entry(name).or_default().add(value);
        }
    }

    /// Returns the median of a figure.
    pub(crate) fn median(&self, case: &str, who: &str, figure: &str) -> Option<f64> {
        self.0.get(case)?.get(who)?.get(figure)?.median()
    }

    /// Returns one median divided by another, of the same case and figure.
    pub(crate) fn ratio(&self, case: &str, figure: &str, over: &str, under: &str) -> Option<f64> {
        let under = self.median(case, under, figure).filter(|under| *under > 0.0)?;
        Some(self.median(case, over, figure)? / under)
    }

    /// Returns the cases in order.
    pub(crate) fn cases(&self) -> impl Iterator<Item = (&str, &Rows)> {
        self.0.iter().map(|(case, rows)| (case.as_str(), rows))
    }

    /// Renders everything.
    pub(crate) fn json(&self) -> Value {
        let figures = |figures: &BTreeMap<String, Spread>| {
            Value::Object(figures.iter().map(|(name, spread)| (name.clone(), spread.json())).collect())
        };
        let rows =
            |rows: &Rows| -> Map<String, Value> { rows.iter().map(|(who, of)| (who.clone(), figures(of))).collect() };
        Value::Object(self.0.iter().map(|(case, of)| (case.clone(), Value::Object(rows(of)))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_of_medians_and_needs_both() {
        let mut results = Results::default();
        for (who, value) in [("ours", 30.0), ("ours", 50.0), ("ours", 40.0), ("bare", 20.0)] {
            results.add("chat", who, Figures::from([("cpu_us".to_owned(), value)]));
        }
        assert_eq!(results.ratio("chat", "cpu_us", "ours", "bare"), Some(2.0));
        assert_eq!(results.ratio("chat", "cpu_us", "ours", "nobody"), None);
        assert_eq!(results.ratio("chat", "rss", "ours", "bare"), None);
    }
}
