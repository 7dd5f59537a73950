//! What is timed: the rules, the measures, and the history, each with the least work that it cannot
//! do without.

use std::collections::BTreeSet;

use fedledger_contract::history::{observe, Past, Row};
use fedledger_contract::judge::{Content, Submission, Terms};
use fedledger_contract::profile::{HISTORY_BALANCED, NORM_BAND, RULE, TRUST};
use fedledger_contract::records::TrustRecord;
use fedledger_contract::{judge, RoundInputs, RoundJudgement};
use fedledger_ledger::decision::Deviation;
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::task::{AggregationRule, PreAggregation, Weighting};
use ndarray::{Array2, ArrayView2, Axis};

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
        ("centered_clipping_3", clip(3), PAIRS_AND_PASS),
        ("tm_plus_plus", RULE, PAIRS_AND_PASS),
        ("dnc", dnc, TWO_PASSES),
        ("nnm_trimmed_mean", after(nnm, AggregationRule::TrimmedMean), MIXED),
        ("arc_trimmed_mean", after(arc, AggregationRule::TrimmedMean), TWO_PASSES),
        ("bucketing_median", after(buckets, AggregationRule::Median), PASS),
    ]
}

fn member(at: usize) -> MemberId {
    MemberId::new(format!("m-{at:03}")).expect("a good id")
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
            .map(|(at, values)| Row {
                member: member(at),
                values: values.to_slice().expect("rows are contiguous"),
                enters: true,
            })
            .collect();
        observe(&HISTORY_BALANCED, &self.seed, &rows).expect("updates differ")
    }

    /// A whole decision of the balanced profile: admission, the rule, distances and verdicts; with what
    /// the history adds where it is `remembered`.
    pub fn decide(&self, updates: Array2<i32>, f: usize, remembered: bool) -> RoundJudgement {
        let n = updates.nrows();
        let terms = Terms {
            byzantine: f,
            updates_min: n - f,
            weighting: Weighting::Uniform,
            norm_band: Some(NORM_BAND),
            trust: Some(TRUST),
        };
        let submission = |at: usize| Submission {
            member: member(at),
            update: Some(Digest([at as u8; 32])),
            order: at as u64,
            num_examples: 100,
            trust: TrustRecord::default(),
            content: Content::Row(at),
        };
        let inputs = RoundInputs {
            terms,
            submissions: (0..n).map(submission).collect(),
            values: updates,
            norm_history: Vec::new(),
            start: None,
            quarantined_absent: 0,
            past: remembered.then(|| self.past.clone()),
        };
        judge(&RULE, inputs)
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
