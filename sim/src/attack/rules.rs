//! The attacker's own copies of the rules it works against, in floating point. They only guide its
//! search; what the round does with the result is the contract's affair.

use serde::{Deserialize, Serialize};

use super::vector::{mean, narrow, norm_of};
use super::Situation;

/// The rule that an optimised attack assumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// Coordinate-wise median.
    Median,
    /// Coordinate-wise mean without the f largest and the f smallest values.
    #[default]
    TrimmedMean,
}

/// The updates that the attacker expects from the honest members: those it knows, repeated in turn
/// until there is one for each honest member.
pub(super) fn expected_honest(situation: &Situation<'_>) -> Vec<Vec<f32>> {
    let wanted = situation.members.saturating_sub(situation.hostile.len());
    let count = wanted.max(situation.honest.len());
    situation.honest.iter().cycle().take(count).cloned().collect()
}

/// Aggregate of `updates`, of which f are hostile.
pub(super) fn aggregate(against: Against, updates: &[&[f32]], hostile: usize) -> Vec<f32> {
    let count = updates.len();
    let trim = hostile.min(count.saturating_sub(1) / 2);
    let mut column = vec![0.0f32; count];
    let at = |k: usize| {
        for (value, update) in column.iter_mut().zip(updates) {
            *value = update[k];
        }
        column.sort_by(f32::total_cmp);
        match against {
            Against::Median => f32::midpoint(column[(count - 1) / 2], column[count / 2]),
            Against::TrimmedMean => {
                let kept = &column[trim..count - trim];
                (kept.iter().map(|&value| f64::from(value)).sum::<f64>() / kept.len() as f64) as f32
            }
        }
    };
    (0..updates[0].len()).map(at).collect()
}

/// How far `count` copies of `update` draw the aggregate from the mean of `honest`.
pub(super) fn damage(against: Against, honest: &[Vec<f32>], update: &[f32], count: usize) -> f64 {
    let all: Vec<&[f32]> =
        honest.iter().map(Vec::as_slice).chain(std::iter::repeat_n(update, count)).collect();
    let mean = narrow(&mean(honest));
    let aggregate = aggregate(against, &all, count);
    norm_of(&aggregate.iter().zip(&mean).map(|(a, m)| a - m).collect::<Vec<f32>>())
}

/// The factor from 0 on that maximises `value`, by doubling steps from `step` while they pay, then
/// shrinking ones: the search of the ByzFL library (González et al. 2025, arXiv:2505.24802), which
/// does this `evaluations` times.
pub(super) fn line_search(step: f64, evaluations: usize, value: impl Fn(f64) -> f64) -> f64 {
    const SHRINK: f64 = 0.8;
    let (mut best, mut highest) = (0.0, value(0.0));
    let (mut step, mut expanding) = (step, true);
    for _ in 1..evaluations.max(2) {
        let found = value(best + step);
        let better = found > highest;
        if better {
            (best, highest) = (best + step, found);
        }
        expanding &= better;
        step *= if expanding { 2.0 } else { SHRINK };
    }
    best
}

/// Of the updates `of(honest, factor)`, the one that draws the assumed rule's aggregate furthest from
/// the honest mean, over the updates that the coalition knows or expects.
pub(super) fn most_damaging(
    situation: &Situation<'_>,
    against: Against,
    evaluations: usize,
    of: impl Fn(&[Vec<f32>], f64) -> Vec<f32>,
) -> Vec<f32> {
    let honest = expected_honest(situation);
    let hostile = situation.hostile.len();
    let factor = line_search(1.0, evaluations, |factor| {
        damage(against, &honest, &of(&honest, factor), hostile)
    });
    of(&honest, factor)
}

/// Index of the update that Krum selects: least sum of squared distances to its `rows − f − 2`
/// nearest others (at least one), the first of equals.
pub(super) fn krum(updates: &[&[f32]], hostile: usize) -> usize {
    let count = updates.len();
    let nearest = count.saturating_sub(hostile + 2).max(1);
    let score = |i: usize| -> f64 {
        let mut distances: Vec<f64> =
            (0..count).filter(|&j| j != i).map(|j| distance(updates[i], updates[j])).collect();
        distances.sort_by(f64::total_cmp);
        distances.iter().take(nearest).sum()
    };
    (0..count).map(|i| (i, score(i))).min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(i, _)| i)
}

/// ‖a − b‖².
pub(super) fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::{aggregate, damage, expected_honest, krum, line_search, Against};
    use crate::attack::situation::fixtures::Scene;

    #[test]
    fn rules_of_a_small_table() {
        let rows: [&[f32]; 5] = [&[1.0], &[2.0], &[3.0], &[10.0], &[-50.0]];
        assert_eq!(aggregate(Against::Median, &rows, 1), [2.0]);
        assert_eq!(aggregate(Against::TrimmedMean, &rows, 1), [2.0]);
        assert_eq!(aggregate(Against::TrimmedMean, &rows[..4], 0), [4.0]);
        assert_eq!(aggregate(Against::Median, &rows[..4], 0), [2.5]);
        assert_eq!(krum(&rows, 1), 1);
        let honest = [vec![0.0f32], vec![2.0], vec![4.0]];
        // The median of 0, 2, 4, 9, 9 is 4.
        assert!((damage(Against::Median, &honest, &[9.0], 2) - 2.0).abs() < 1e-6);
    }

    #[test]
    fn the_search_finds_a_maximum() {
        let found = line_search(1.0, 40, |x| if x < 5.3 { x } else { 0.0 });
        assert!((found - 5.3).abs() < 0.3, "{found}");
        assert_eq!(line_search(1.0, 20, |x| -x), 0.0);
    }

    #[test]
    fn what_is_known_stands_for_all_honest_members() {
        let mut scene = Scene::new(&[vec![1.0], vec![2.0]]);
        assert_eq!(expected_honest(&scene.at(0)).len(), 9);
        scene.members = 5;
        assert_eq!(expected_honest(&scene.at(0)), scene.honest);
    }
}
