//! What is timed: the rules, the measures, and the history, each with the least work that it cannot
//! do without.

use std::collections::BTreeSet;

use fedledger_contract::history::{observe, Past, Row};
use fedledger_contract::profile::HISTORY_BALANCED;
use fedledger_ledger::decision::Deviation;
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::task::{AggregationRule, PreAggregation};
use ndarray::{ArrayView2, Axis};

/// What a rule cannot do without.
#[derive(Clone, Copy)]
pub struct Work {
    /// Passes over all n rows.
    pub passes: f64,
    /// Multiply-adds for each column, in units of n².
    pub squares: f64,
}

pub const PASS: Work = Work { passes: 1.0, squares: 0.0 };
const TWO_PASSES: Work = Work { passes: 2.0, squares: 0.0 };
/// Distances are half of n × n products.
pub const PAIRS: Work = Work { passes: 1.0, squares: 0.5 };
const PAIRS_AND_PASS: Work = Work { passes: 2.0, squares: 0.5 };
/// Distances, and n × n for the mixing.
const MIXED: Work = Work { passes: 2.0, squares: 1.5 };

/// The rule of the balanced profile; what the history costs is measured against it.
pub const BALANCED: &str = "centered_clipping_3";

pub fn rules() -> Vec<(&'static str, AggregationRule, Work)> {
    let clip = |iterations| AggregationRule::CenteredClipping { iterations, radius_milli: 1000 };
    let after =
        |stage, rule| AggregationRule::PreAggregated { stages: vec![stage], rule: Box::new(rule) };
    let (nnm, arc) = (PreAggregation::NearestNeighbours, PreAggregation::AdaptiveClipping);
    let buckets = PreAggregation::Bucketing { size: 2 };
    let multi = AggregationRule::MultiKrum { neighbours: None, selected: None };
    let dnc = AggregationRule::DivideAndConquer {
        coordinates: Some(10_000),
        iterations: 5,
        removed_milli: 1000,
    };
    let plus = AggregationRule::FilteredTrimmedMean { iterations: 16 };
    let rfa = AggregationRule::GeometricMedian { iterations: 8 };
    vec![
        ("mean", AggregationRule::Mean, PASS),
        ("median", AggregationRule::Median, PASS),
        ("trimmed_mean", AggregationRule::TrimmedMean, PASS),
        ("krum", AggregationRule::Krum { neighbours: None }, PAIRS),
        ("multi_krum", multi, PAIRS_AND_PASS),
        ("bulyan", AggregationRule::Bulyan, PAIRS_AND_PASS),
        ("geometric_median_8", rfa, PAIRS_AND_PASS),
        ("centered_clipping_1", clip(1), TWO_PASSES),
        (BALANCED, clip(3), PAIRS_AND_PASS),
        ("tm_plus_plus", plus, PAIRS_AND_PASS),
        ("dnc", dnc, TWO_PASSES),
        ("nnm_trimmed_mean", after(nnm, AggregationRule::TrimmedMean), MIXED),
        ("arc_trimmed_mean", after(arc, AggregationRule::TrimmedMean), TWO_PASSES),
        ("bucketing_median", after(buckets, AggregationRule::Median), PASS),
    ]
}

/// A history as the balanced profile keeps it, with a baseline behind it.
pub struct History {
    seed: Digest,
    past: Past,
}

impl History {
    /// After as many rounds like this one as settle it and make a baseline.
    pub fn of(updates: ArrayView2<'_, i32>) -> Self {
        let seed = Digest([7; 32]);
        let mut history = Self { seed, past: Past::new(HISTORY_BALANCED, seed) };
        let deviations = history.observe(updates);
        for _ in 0..=HISTORY_BALANCED.settle_rounds + HISTORY_BALANCED.baseline_rounds {
            history.past = history.advanced(&deviations);
        }
        history
    }

    /// What a round adds: the updates as few numbers.
    pub fn observe(&self, updates: ArrayView2<'_, i32>) -> Vec<Deviation> {
        let rows: Vec<Row<'_>> = updates
            .axis_iter(Axis(0))
            .enumerate()
            .map(|(member, values)| Row {
                member: MemberId::new(format!("m-{member:03}")).expect("a good id"),
                values: values.to_slice().expect("rows are contiguous"),
                enters: true,
            })
            .collect();
        observe(&HISTORY_BALANCED, &self.seed, &rows).expect("updates differ")
    }

    /// The past with one round more, searched for cells.
    pub fn advanced(&self, deviations: &[Deviation]) -> Past {
        let mut past = self.past.clone();
        past.advance(deviations, &BTreeSet::new(), self.members_hostile());
        past
    }

    fn members_hostile(&self) -> usize {
        self.past.members.len().saturating_sub(3) / 4
    }
}
