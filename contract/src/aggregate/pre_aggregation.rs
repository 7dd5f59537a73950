//! Transformations before a rule: nearest-neighbour mixing, adaptive robust clipping, bucketing.
//!
//! **Nearest-neighbour mixing (NNM).** Formula: `y_i = 1/(n − f) · Σ x_j` over the n − f updates
//! nearest to x_i, itself among them. Precondition: n > 2f. Reference: Y. Allouah, S. Farhadkhani,
//! R. Guerraoui, N. Gupta, R. Pinot, J. Stephan, "Fixing by Mixing: A Recipe for Optimal Byzantine
//! ML under Heterogeneity", AISTATS 2023.
//!
//! **Adaptive robust clipping (ARC).** Formula: `y_i = x_i · min(1, τ / ‖x_i‖)`, where τ is the
//! (k + 1)-th greatest norm and `k = ⌊2·(f/n)·(n − f)⌋`. Precondition: n > 2f. Reference:
//! Y. Allouah, R. Guerraoui, N. Gupta, A. Jellouli, G. Rizk, J. Stephan, "Adaptive Gradient Clipping
//! for Robust Federated Learning", ICLR 2025.
//!
//! **Bucketing.** Formula: a permutation π of the updates is cut into buckets of s = `size`, and
//! `y_b = 1/|b| · Σ x_π(j)` over bucket b. Precondition: 1 ≤ s ≤ n; the rule after it sees ⌈n/s⌉
//! updates of which f may still be Byzantine. Reference: S. P. Karimireddy, L. He, M. Jaggi,
//! "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing", ICLR 2022.
//!
//! Symbols: x_i update i; y_i what replaces it; n updates; f of them Byzantine.
//! Deviations: every value of y is rounded half to even to the grid. NNM takes equally near updates
//! by row, itself first. ARC's factor τ / ‖x_i‖ has 30 binary digits and is rounded down, from norms
//! with 19 behind the point and rounded down. Bucketing's permutation orders rows by a mix of the
//! round's seed and the row, so that all nodes draw the same. Weights stay with their rows; a
//! bucket's is the sum of its members'. A member counts as used as far as the y that used it most,
//! among those that its values are in.

use fedledger_ledger::task::PreAggregation;

use super::matrix::{Matrix, Source, FACTOR_BITS};
use super::measures::to_point;
use super::pairs::pairwise;
use super::{Aggregation, OutOfRange, UpdateUse};
use crate::draw::splitmix64;
use crate::integer::isqrt_u128;

/// Binary digits behind the point of a norm.
const NORM_BITS: u32 = 19;

/// The transformed updates, and how they came from the members'.
pub(super) struct Prepared<'a> {
    pub(super) matrix: Matrix<'a>,
    /// One weight for each row that is left.
    pub(super) weights: Vec<u64>,
    /// For each row that is left, the members whose values are in it.
    members: Vec<Vec<usize>>,
    /// For each member the row that stands for it.
    home: Vec<usize>,
}

/// Runs the stages in order.
pub(super) fn prepare<'a>(
    stages: &[PreAggregation],
    f: usize,
    matrix: &Matrix<'a>,
    weights: &[u64],
    round_seed: u64,
) -> Result<Prepared<'a>, OutOfRange> {
    let n = matrix.n();
    let mut prepared = Prepared {
        matrix: matrix.clone(),
        weights: weights.to_vec(),
        members: (0..n).map(|row| vec![row]).collect(),
        home: (0..n).collect(),
    };
    for (at, stage) in stages.iter().enumerate() {
        match stage {
            PreAggregation::NearestNeighbours => {
                let groups = neighbourhoods(&pairwise(&prepared.matrix)?, f);
                prepared.mix(&groups);
            }
            PreAggregation::AdaptiveClipping => {
                let norms = to_point(&prepared.matrix, None)?;
                let rows = factors(&norms, f).into_iter().enumerate();
                let stage = rows.map(|(row, factor)| {
                    factor.map_or(Source::Row(row), |factor| Source::Scaled { row, factor })
                });
                prepared.matrix = prepared.matrix.staged(stage.collect());
            }
            PreAggregation::Bucketing { size } => {
                if at == 0 {
                    // The other stages measure the rows and see every value; this one does not,
                    // and the mean of a value out of range could be in range.
                    matrix.check(|_| true)?;
                }
                let draw = splitmix64(round_seed, at as u64);
                prepared.bucket(&buckets(prepared.matrix.n(), *size as usize, draw));
            }
        }
    }
    Ok(prepared)
}

impl Prepared<'_> {
    /// Each row becomes the mean of a group of rows, given in ascending order.
    fn mix(&mut self, groups: &[Vec<usize>]) {
        self.matrix = self.matrix.staged(groups.iter().cloned().map(Source::Mean).collect());
        let entered = |group: &Vec<usize>| -> Vec<usize> {
            let mut all: Vec<usize> =
                group.iter().flat_map(|&row| self.members[row].iter().copied()).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        self.members = groups.iter().map(entered).collect();
    }

    /// The rows become the means of buckets.
    fn bucket(&mut self, buckets: &[Vec<usize>]) {
        let of = |row: usize| {
            buckets.iter().position(|bucket| bucket.contains(&row)).expect("all rows are drawn")
        };
        self.home = self.home.iter().map(|&home| of(home)).collect();
        let weigh = |bucket: &Vec<usize>| bucket.iter().map(|&row| self.weights[row]).sum();
        self.weights = buckets.iter().map(weigh).collect();
        self.mix(buckets);
    }

    /// What the members were used for, from what the rows were used for.
    pub(super) fn attribute(&self, found: Aggregation) -> Aggregation {
        let uses = &found.per_update;
        let per_update = self.home.iter().enumerate().map(|(member, &home)| {
            let rows = uses.iter().zip(&self.members);
            let of_member = rows.filter(|(_, members)| members.contains(&member));
            let start = UpdateUse { selected: false, used_share_micro: 0, score: uses[home].score };
            of_member.fold(start, |sum, (row, _)| UpdateUse {
                selected: sum.selected | row.selected,
                used_share_micro: sum.used_share_micro.max(row.used_share_micro),
                ..sum
            })
        });
        Aggregation { per_update: per_update.collect(), values: found.values }
    }
}

/// For each row the n − f nearest ones, itself among them, in ascending order.
fn neighbourhoods(distances: &[u128], f: usize) -> Vec<Vec<usize>> {
    let n = distances.len().isqrt();
    (0..n)
        .map(|i| {
            let mut rows: Vec<usize> = (0..n).collect();
            rows.sort_by_key(|&j| (distances[i * n + j], j != i, j));
            rows.truncate(n - f);
            rows.sort_unstable();
            rows
        })
        .collect()
}

/// For each row the factor that it is scaled by, for those that are longer than τ.
fn factors(norms_squared: &[u128], f: usize) -> Vec<Option<u32>> {
    let n = norms_squared.len();
    // Squares are below 2^77.
    let norms: Vec<u64> =
        norms_squared.iter().map(|&square| isqrt_u128(square << (2 * NORM_BITS))).collect();
    let mut sorted = norms.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    let threshold = sorted[2 * f * (n - f) / n];
    let factor = |norm: u64| ((u128::from(threshold) << FACTOR_BITS) / u128::from(norm)) as u32;
    norms.iter().map(|&norm| (norm > threshold).then(|| factor(norm))).collect()
}

/// The rows in buckets, each in ascending order.
fn buckets(n: usize, size: usize, draw: u64) -> Vec<Vec<usize>> {
    let mut rows: Vec<usize> = (0..n).collect();
    rows.sort_by_key(|&row| (splitmix64(draw, row as u64), row));
    let mut buckets: Vec<Vec<usize>> = rows.chunks(size).map(<[usize]>::to_vec).collect();
    buckets.iter_mut().for_each(|bucket| bucket.sort_unstable());
    buckets
}
