//! How well predicted probabilities fit the classes.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::attack::Probe;
use crate::model::ModelSpec;

/// Measures of one model on one data set. Shares are 0 to 1; `None` where a class is absent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of rows.
    pub rows: usize,
    /// Number of rows of class 1.
    pub positives: usize,
    /// Share of rows on the right side of probability ½ (½ itself counts as positive).
    pub accuracy: f64,
    /// Share of positives that were found.
    pub recall: Option<f64>,
    /// Mean of the shares of positives and of negatives that were found.
    pub balanced_accuracy: Option<f64>,
    /// Area under the ROC curve: probability that a positive is ranked over a negative, a tie
    /// counting one half (Mann-Whitney U).
    pub auc: Option<f64>,
    /// Mean probability given to the positives.
    pub positive_probability: Option<f64>,
    /// Mean negative logarithm of the probability given to the true class, each probability kept
    /// at least 1e-7 away from 0 and 1.
    pub log_loss: f64,
}

/// Measures `probabilities` of class 1 against `labels` (0 or 1).
///
/// # Panics
/// When the lengths differ or there are no rows.
pub fn evaluate(probabilities: &[f32], labels: &[u32]) -> Metrics {
    assert_eq!(probabilities.len(), labels.len(), "one probability for each label");
    assert!(!labels.is_empty(), "there are rows to measure on");
    let (mut found, mut rejected, mut positives) = (0usize, 0usize, 0usize);
    let (mut probability_sum, mut loss) = (0.0, 0.0);
    for (&probability, &label) in probabilities.iter().zip(labels) {
        let probability = f64::from(probability);
        let bounded = probability.clamp(1e-7, 1.0 - 1e-7);
        if label == 1 {
            positives += 1;
            found += usize::from(probability >= 0.5);
            probability_sum += probability;
            loss -= bounded.ln();
        } else {
            rejected += usize::from(probability < 0.5);
            loss -= (1.0 - bounded).ln();
        }
    }
    let rows = labels.len();
    let share = |part: f64, whole: usize| (whole > 0).then(|| part / whole as f64);
    let recall = share(found as f64, positives);
    let specificity = share(rejected as f64, rows - positives);
    Metrics {
        rows,
        positives,
        accuracy: (found + rejected) as f64 / rows as f64,
        recall,
        balanced_accuracy: recall.zip(specificity).map(|(a, b)| f64::midpoint(a, b)),
        auc: auc(probabilities, labels),
        positive_probability: share(probability_sum, positives),
        log_loss: loss / rows as f64,
    }
}

/// Measures rows × classes `probabilities` of more than two classes (or of two) against `labels`.
///
/// A row counts as found when its class is the most probable, the first of equals. `recall`,
/// `positive_probability`, `positives` and `auc` are those of class 1 against all others;
/// `balanced_accuracy` is the mean share found over the classes that are present.
///
/// # Panics
/// When the lengths do not fit, there are no rows, or a label is not below `classes`.
pub fn evaluate_classes(probabilities: &[f32], labels: &[u32], classes: usize) -> Metrics {
    assert_eq!(probabilities.len(), labels.len() * classes, "one probability a row and class");
    assert!(!labels.is_empty(), "there are rows to measure on");
    let (mut found, mut of_class) = (vec![0usize; classes], vec![0usize; classes]);
    let (mut loss, mut positive_sum) = (0.0, 0.0);
    let mut of_one = Vec::with_capacity(labels.len());
    for (row, &label) in probabilities.chunks_exact(classes).zip(labels) {
        let label = label as usize;
        let best = (1..classes).fold(0, |best, k| if row[k] > row[best] { k } else { best });
        of_class[label] += 1;
        found[label] += usize::from(best == label);
        loss -= f64::from(row[label]).clamp(1e-7, 1.0 - 1e-7).ln();
        of_one.push(row[1]);
        positive_sum += if label == 1 { f64::from(row[1]) } else { 0.0 };
    }
    let rows = labels.len();
    let share = |part: f64, whole: usize| (whole > 0).then(|| part / whole as f64);
    let recalls: Vec<f64> =
        found.iter().zip(&of_class).filter_map(|(&f, &of)| share(f as f64, of)).collect();
    let one: Vec<u32> = labels.iter().map(|&label| u32::from(label == 1)).collect();
    let all_present = recalls.len() > 1;
    Metrics {
        rows,
        positives: of_class[1],
        accuracy: found.iter().sum::<usize>() as f64 / rows as f64,
        recall: share(found[1] as f64, of_class[1]),
        balanced_accuracy: all_present.then(|| recalls.iter().sum::<f64>() / recalls.len() as f64),
        auc: auc(&of_one, &one),
        positive_probability: share(positive_sum, of_class[1]),
        log_loss: loss / rows as f64,
    }
}

/// Area under the ROC curve from mid-ranks, `None` when a class is absent.
pub fn auc(scores: &[f32], labels: &[u32]) -> Option<f64> {
    let positives = labels.iter().filter(|&&label| label == 1).count();
    let negatives = labels.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    // Twice the sum of the positives' mid-ranks, so that it stays an integer.
    let mut rank_sum_doubled = 0usize;
    let mut start = 0;
    while start < order.len() {
        let first = scores[order[start]];
        // −0 and 0 tie though the order tells them apart; a NaN equals nothing: a group of one.
        let ties = |k: usize| scores[k].partial_cmp(&first) == Some(Ordering::Equal);
        let tied = order[start..].iter().take_while(|&&k| ties(k));
        let end = start + tied.count().max(1);
        let in_group = order[start..end].iter().filter(|&&k| labels[k] == 1).count();
        rank_sum_doubled += in_group * (start + 1 + end);
        start = end;
    }
    let u_doubled = rank_sum_doubled - positives * (positives + 1);
    Some(u_doubled as f64 / (2 * positives * negatives) as f64)
}

/// Share of a backdoor's probe that `model` gives the backdoor's class: its success rate. Take off
/// what a model without attackers does on the same probe, since a trigger may mean something by
/// itself. `None` when the probe has no rows.
///
/// # Panics
/// When the model is another's.
pub fn attack_success(spec: &ModelSpec, model: &[f32], probe: &Probe) -> Option<f64> {
    if probe.data.rows() == 0 {
        return None;
    }
    let predicted = spec.predict(model, probe.data.features.view());
    let obeyed = predicted.iter().filter(|&&class| class == probe.target).count();
    Some(obeyed as f64 / probe.data.rows() as f64)
}

/// Least accuracy over the sites' held-out parts with the index of that site, the first of equals;
/// sites without held-out rows are passed over. `None` when there is no other.
///
/// # Panics
/// When the model is another's.
pub fn worst_site(
    spec: &ModelSpec,
    model: &[f32],
    held_out: &[&crate::data::Dataset],
) -> Option<(usize, f64)> {
    let measured = held_out.iter().enumerate().filter(|(_, data)| data.rows() > 0);
    measured
        .map(|(k, data)| (k, spec.evaluate(model, data).accuracy))
        .min_by(|a, b| a.1.total_cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::{attack_success, auc, evaluate, evaluate_classes, worst_site};
    use crate::attack::Probe;
    use crate::data::fixtures::clouds;
    use crate::model::ModelSpec;
    use crate::seed;

    /// Area by comparing every pair.
    fn auc_naive(scores: &[f32], labels: &[u32]) -> Option<f64> {
        let (mut wins, mut pairs) = (0.0, 0.0);
        for (&positive, _) in scores.iter().zip(labels).filter(|(_, &label)| label == 1) {
            for (&negative, _) in scores.iter().zip(labels).filter(|(_, &label)| label == 0) {
                pairs += 1.0;
                wins += f64::from(u8::from(positive > negative));
                wins += 0.5 * f64::from(u8::from(positive == negative));
            }
        }
        (pairs > 0.0).then(|| wins / pairs)
    }

    #[test]
    fn area_equals_the_count_of_pairs() {
        let mut rng = seed::stream(1, "auc", 0, 0);
        for _ in 0..300 {
            let rows = rng.gen_range(1..40);
            let levels = rng.gen_range(1..12);
            let scores: Vec<f32> =
                (0..rows).map(|_| rng.gen_range(0..levels) as f32 / 12.0).collect();
            let labels: Vec<u32> = (0..rows).map(|_| rng.gen_range(0..2)).collect();
            match (auc(&scores, &labels), auc_naive(&scores, &labels)) {
                (Some(fast), Some(naive)) => assert!((fast - naive).abs() < 1e-12),
                (fast, naive) => assert_eq!(fast, naive),
            }
        }
        // The example of scikit-learn's documentation of roc_auc_score.
        assert_eq!(auc(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1]), Some(0.75));
    }

    #[test]
    fn measures_of_a_small_table() {
        let metrics = evaluate(&[0.9, 0.5, 0.2, 0.4, 0.7], &[1, 1, 1, 0, 0]);
        assert_eq!((metrics.rows, metrics.positives), (5, 3));
        assert!((metrics.accuracy - 0.6).abs() < 1e-12);
        assert!((metrics.recall.expect("positives") - 2.0 / 3.0).abs() < 1e-12);
        assert!((metrics.balanced_accuracy.expect("both") - 7.0 / 12.0).abs() < 1e-12);
        assert!((metrics.positive_probability.expect("positives") - 1.6 / 3.0).abs() < 1e-6);
        let loss = -(0.9f64 * 0.5 * 0.2 * 0.6 * 0.3).ln() / 5.0;
        assert!((metrics.log_loss - loss).abs() < 1e-6);
    }

    #[test]
    fn an_absent_class_has_no_measure() {
        let metrics = evaluate(&[0.9, 1.0], &[1, 1]);
        assert_eq!((metrics.auc, metrics.balanced_accuracy), (None, None));
        assert_eq!(metrics.recall, Some(1.0));
        assert!(evaluate(&[1.0], &[0]).log_loss.is_finite());
        assert_eq!(evaluate(&[1.0], &[0]).recall, None);
    }

    #[test]
    fn measures_of_three_classes() {
        let rows = [[0.7f32, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6]].concat();
        let metrics = evaluate_classes(&rows, &[0, 1, 1, 1], 3);
        assert_eq!((metrics.rows, metrics.positives), (4, 3));
        assert!((metrics.accuracy - 0.5).abs() < 1e-12);
        assert!((metrics.recall.expect("positives") - 1.0 / 3.0).abs() < 1e-12);
        // Classes 0 and 1 are present.
        assert!((metrics.balanced_accuracy.expect("two") - 2.0 / 3.0).abs() < 1e-12);
        assert!((metrics.positive_probability.expect("positives") - 0.4).abs() < 1e-6);
        let loss = -(0.7f64 * 0.6 * 0.4 * 0.2).ln() / 4.0;
        assert!((metrics.log_loss - loss).abs() < 1e-6);
        // Class 1 against the rest: 0.2 of the rest against 0.6, 0.4 and 0.2.
        assert!((metrics.auc.expect("both") - 2.5 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_probe_counts_what_obeys_and_a_consortium_is_as_good_as_its_worst_site() {
        let spec = ModelSpec::Logistic { features: 2 };
        // Everything is positive.
        let model = [1.0, 0.0, 0.0];
        let data = clouds(30, 2, 1);
        let probe = |target| Probe { data: data.clone(), target };
        assert_eq!(attack_success(&spec, &model, &probe(1)), Some(1.0));
        assert_eq!(attack_success(&spec, &model, &probe(0)), Some(0.0));
        let empty = Probe { data: data.select(&[]), target: 0 };
        assert_eq!(attack_success(&spec, &model, &empty), None);
        let positives = data.select(&[0, 3, 6]);
        let found = worst_site(&spec, &model, &[&positives, &empty.data, &data]);
        assert_eq!(found.map(|(k, _)| k), Some(2));
        assert!((found.expect("sites").1 - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(worst_site(&spec, &model, &[&empty.data]), None);
    }
}
