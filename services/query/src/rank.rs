//! Which vectors are nearest to a question: exact cosine similarity over everything, and the best few of it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A vector that others are compared with.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its components; made unit length by [`Question::new`].
    vector: Vec<f32>,
    /// Model that made it; vectors of other models are not comparable.
    model: String,
}

impl Question {
    /// Makes a question of a vector of any length; none when it has no direction.
    pub fn new(mut vector: Vec<f32>, model: String) -> Option<Self> {
        unit(&mut vector).then_some(Self { vector, model })
    }

    /// Tells whether vectors of this model and size can be compared with it.
    pub(crate) fn is_comparable(&self, model: &str, dimensions: usize) -> bool {
        self.model == model && self.vector.len() == dimensions
    }

    /// Returns the cosine similarity of a vector of unit length.
    pub(crate) fn similarity(&self, vector: &[f32]) -> f32 {
        dot(&self.vector, vector)
    }
}

/// Scales a vector to unit length; false when it has no direction or is not finite.
pub(crate) fn unit(vector: &mut [f32]) -> bool {
    let length = dot(vector, vector).sqrt();
    if !length.is_finite() || length <= f32::EPSILON {
        return false;
    }
    for x in vector.iter_mut() {
        *x /= length;
    }
    true
}

/// Eight sums side by side are what the compiler makes vector instructions of.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0_f32; LANES];
    let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in left.zip(right) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// The best of what was offered, at most a given number, none below a given similarity.
#[derive(Debug)]
pub(crate) struct Best<T> {
    limit: usize,
    least: f32,
    heap: BinaryHeap<Candidate<T>>,
}

impl<T: Ord> Best<T> {
    /// Keeps `limit` things of at least the similarity `least`.
    pub(crate) fn new(limit: usize, least: f32) -> Self {
        Self { limit, least, heap: BinaryHeap::with_capacity(limit + 1) }
    }

    /// Makes another one with the same bounds and nothing in it.
    pub(crate) fn empty(&self) -> Self {
        Self::new(self.limit, self.least)
    }

    /// Offers a thing; `what` is only made when it is among the best so far.
    pub(crate) fn offer(&mut self, similarity: f32, what: impl FnOnce() -> T) {
        let full = self.heap.len() == self.limit;
        let worst = self.heap.peek().map_or(f32::NEG_INFINITY, |worst| worst.similarity);
        if self.limit == 0 || similarity.is_nan() || similarity < self.least || (full && similarity < worst) {
            return;
        }
        self.heap.push(Candidate { similarity, what: what() });
        if self.heap.len() > self.limit {
            self.heap.pop();
        }
    }

    /// Takes over what another one kept.
    pub(crate) fn merge(&mut self, other: Self) {
        for candidate in other.heap {
            self.offer(candidate.similarity, || candidate.what);
        }
    }

    /// Returns what was kept, most similar first, equals in their own order.
    pub(crate) fn into_sorted(self) -> Vec<(f32, T)> {
        self.heap.into_sorted_vec().into_iter().map(|candidate| (candidate.similarity, candidate.what)).collect()
    }
}

#[derive(Debug)]
struct Candidate<T> {
    similarity: f32,
    what: T,
}

/// The greatest candidate is the worst, so that the heap's top is what goes first.
impl<T: Ord> Ord for Candidate<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.similarity.total_cmp(&self.similarity).then_with(|| self.what.cmp(&other.what))
    }
}

impl<T: Ord> PartialOrd for Candidate<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Candidate<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Ord> Eq for Candidate<T> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Best, Question, dot, unit};

    proptest! {
        #[test]
        fn the_best_are_those_that_sorting_everything_gives(
            similarities in prop::collection::vec(-100_i16..100, 0..60),
            limit in 0_usize..8,
            split in 0_usize..60,
        ) {
            let offered: Vec<(f32, usize)> =
                similarities.iter().enumerate().map(|(n, s)| (f32::from(*s) / 100.0, n)).collect();
            let mut best = Best::new(limit, -0.5);
            let mut other = Best::new(limit, -0.5);
            for (similarity, what) in &offered {
                let half = if *what < split { &mut best } else { &mut other };
                half.offer(*similarity, || *what);
            }
            best.merge(other);
            let mut expected: Vec<_> = offered.into_iter().filter(|(similarity, _)| *similarity >= -0.5).collect();
            expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            expected.truncate(limit);
            prop_assert_eq!(best.into_sorted(), expected);
        }

        #[test]
        fn the_product_of_lanes_is_the_product(values in prop::collection::vec((-8_i8..8, -8_i8..8), 0..40)) {
            let (a, b): (Vec<f32>, Vec<f32>) = values.iter().map(|(x, y)| (f32::from(*x), f32::from(*y))).unzip();
            let plain: f32 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
            prop_assert!((dot(&a, &b) - plain).abs() < 1e-3);
        }
    }

    #[test]
    fn a_vector_without_direction_is_no_question() {
        for broken in [vec![], vec![0.0, 0.0], vec![f32::NAN, 1.0], vec![f32::INFINITY, 1.0]] {
            assert!(Question::new(broken, "m".to_owned()).is_none());
        }
        let mut vector = vec![3.0, 4.0];
        assert!(unit(&mut vector));
        assert_eq!(vector, [0.6, 0.8]);
    }

    #[test]
    fn what_is_not_a_number_is_never_among_the_best() {
        let mut best = Best::new(2, -1.0);
        best.offer(f32::NAN, || 1);
        assert!(best.into_sorted().is_empty());
    }
}
