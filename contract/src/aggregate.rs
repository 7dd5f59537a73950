//! Aggregation rules in exact integers.
//!
//! `updates` is n × d: one row per member in ascending member id, one column per parameter, values
//! below 2^23 in magnitude. Sums and squared distances are exact, every division rounds half to
//! even (see [`crate::integer`]), and ties break on the row, which is the member id. So a result
//! depends neither on arrival order nor on the thread count, the vector width or the platform, and
//! a second implementation in any language can be exact.
//!
//! Why nothing overflows: n ≤ 128 and |q| < 2^23, so sums over members are below 2^30 and fit i32;
//! squares of differences of updates and of their differences are below 2^50, so a piece of 2^14
//! columns sums to less than 2^64 in u64, and d ≤ 5·10^7 columns to less than 2^77 in u128. The inner loops use wrapping
//! operations on the strength of these bounds, because a check in each lane would keep them from
//! being vectorised; a value out of range is noticed by the same pass, and its result thrown away.
//! Which vectors compute is chosen when the program runs (`simd.rs`), and all compute the same.
//!
//! One file for each rule, with its formula, parameters, precondition, source and deviations.

#![allow(clippy::inline_always, reason = "what is not inlined is compiled without vectors")]

mod baselines;
mod blocks;
mod bulyan;
mod centered_clipping;
mod columns;
mod dnc;
mod evidence;
mod filtered_trimmed_mean;
mod geometric_median;
mod krum;
mod matrix;
mod mean;
mod measures;
mod median;
mod network;
mod pairs;
mod plan;
mod pre_aggregation;
mod precondition;
mod products;
mod sample;
pub(crate) mod simd;
mod span;
mod spectral;
mod trimmed_mean;

use fedledger_ledger::limits::{MEMBERS_MAX, PARAMETERS_MAX};
use fedledger_ledger::task::{AggregationRule, PreAggregation};
use ndarray::{ArrayView2, CowArray, Ix2};
use thiserror::Error;

pub use baselines::{mahalanobis_squared_micro, reconstruction_error_micro};
pub use evidence::{alignments, cosines_micro, foolsgold_similarity_micro, Alignment};
pub use measures::{bearings, cosine_micro, norms_squared, pairwise_distances_squared, Bearing};
pub use precondition::{check_precondition, PreconditionError};

use crate::canonical::first_out_of_range;
use crate::integer::div_half_even;
use matrix::Matrix;

/// What a rule did with one update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateUse {
    /// Whether the update entered the aggregate at all. Coordinate-wise rules select an update when
    /// they use at least one of its values.
    pub selected: bool,
    /// Share of the coordinates in which the update's value entered, in millionths, rounded half to
    /// even. In coordinate-wise rules a value that equals one that entered has entered too, so that
    /// an update that equals the aggregate is used in full, whatever row it stands in.
    pub used_share_micro: u32,
    /// The rule's own score of the update, for rules that have one, in quanta and rounded down:
    /// the root of the Krum score (for Bulyan, in its first pass), or the distance to the estimate
    /// that the update's last weight came from (geometric median, centered clipping).
    pub score: Option<u64>,
}

/// The aggregate of a round's updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregation {
    /// The d values, each below 2^23 in magnitude.
    pub values: Vec<i32>,
    /// One for each row.
    pub per_update: Vec<UpdateUse>,
}

/// Why updates could not be aggregated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AggregateError {
    /// The rule is not defined for this n, f, or its parameters.
    #[error(transparent)]
    Precondition(#[from] PreconditionError),
    /// There are more parameters than a task may have, or none.
    #[error("updates have 1 to {max} parameters, found {found}")]
    ParametersOutOfRange {
        /// Most parameters allowed.
        max: u64,
        /// Number found.
        found: usize,
    },
    /// There is not one weight for each row.
    #[error("expected {expected} weights, one for each update, found {found}")]
    WrongWeights {
        /// Number of updates.
        expected: usize,
        /// Number of weights.
        found: usize,
    },
    /// A weight is zero: a member that must not count is left out instead.
    #[error("the weight of update {row} is 0, expected a positive integer")]
    ZeroWeight {
        /// Row of the update.
        row: usize,
    },
    /// The weights' sum does not fit 64 bits.
    #[error("the sum of the weights exceeds 2^64 - 1")]
    WeightsTooLarge,
    /// The starting centre does not have d values.
    #[error("the starting centre has {found} values, expected {expected}")]
    WrongStart {
        /// d.
        expected: usize,
        /// Number of values found.
        found: usize,
    },
    /// A value of an update has a magnitude of 2^23 or more.
    #[error("update {row}, parameter {column}: {found} is out of range, expected |q| < 2^23")]
    ValueOutOfRange {
        /// Row of the update.
        row: usize,
        /// Column of the value.
        column: usize,
        /// The value.
        found: i32,
    },
    /// A value of the starting centre has a magnitude of 2^23 or more.
    #[error("starting centre, parameter {column}: {found} is out of range, expected |q| < 2^23")]
    StartOutOfRange {
        /// Column of the value.
        column: usize,
        /// The value.
        found: i32,
    },
}

/// What a rule is given besides the updates.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// f: how many of the updates the rule is to withstand.
    pub f: usize,
    /// See [`aggregate`].
    pub weights: &'a [u64],
    /// See [`aggregate`].
    pub start: Option<&'a [i32]>,
    /// What bucketing and DnC draw from: public, the same on every node, and known only once no
    /// member can change its update any more.
    pub seed: u64,
}

/// Aggregates `updates` (n × d, one row per member in ascending member id) by `rule`, withstanding
/// `f` Byzantine updates within the rule's precondition, with a seed of 0.
///
/// `weights` are relative and positive, one for each row; only their proportions matter. The mean,
/// the geometric median, centered clipping and the final means of Multi-Krum and DnC use them;
/// coordinate-wise median, the trimmed means and Bulyan, and every selection, ignore them.
/// Capping what a member may declare is the caller's part. `start` is the centre that centered
/// clipping starts from, the task's previous aggregate; zero when absent. Other rules ignore it.
///
/// # Errors
/// See [`AggregateError`]; nothing is computed then.
pub fn aggregate(
    rule: &AggregationRule,
    f: usize,
    updates: ArrayView2<'_, i32>,
    weights: &[u64],
    start: Option<&[i32]>,
) -> Result<Aggregation, AggregateError> {
    aggregate_on(rule, updates, &Terms { f, weights, start, seed: 0 })
}

/// Aggregates as [`aggregate`] does, on terms that include a seed.
///
/// # Errors
/// See [`AggregateError`]; nothing is computed then.
pub fn aggregate_on(
    rule: &AggregationRule,
    updates: ArrayView2<'_, i32>,
    terms: &Terms<'_>,
) -> Result<Aggregation, AggregateError> {
    let matrix = rows_contiguous(updates);
    aggregate_rows(rule, rows_of(&matrix), terms, None)
}

/// Aggregates as [`aggregate_on`] does, rows of one length that need not lie together. `distances`
/// are [`pairwise`] of the rows, where they are known.
pub(crate) fn aggregate_rows(
    rule: &AggregationRule,
    rows: Vec<&[i32]>,
    terms: &Terms<'_>,
    distances: Option<&[u128]>,
) -> Result<Aggregation, AggregateError> {
    let (n, d) = (rows.len(), rows.first().map_or(0, |row| row.len()));
    check_precondition(rule, n, terms.f)?;
    check_inputs(n, d, terms.weights, terms.start)?;
    assert!(n <= MEMBERS_MAX, "at most {MEMBERS_MAX} rows");
    let matrix = Matrix::new(rows.clone()).with_distances(distances);
    let found = by_rule(rule, &matrix, terms);
    found.map_err(|OutOfRange| {
        let (row, column) =
            blocks::find_out_of_range(&rows).expect("a kernel saw a value that is out of range");
        AggregateError::ValueOutOfRange { row, column, found: rows[row][column] }
    })
}

/// ‖x_i − x_j‖² of every two rows: row-major, symmetric, in squared quanta. Nothing when the
/// magnitude of a value is 2^23 or more.
pub(crate) fn pairwise(rows: Vec<&[i32]>) -> Option<Vec<u128>> {
    pairs::pairwise(&Matrix::new(rows)).ok()
}

/// Whether a rule begins with the distances between every two updates of d values.
pub(crate) fn measures_pairs(rule: &AggregationRule, d: usize) -> bool {
    match rule {
        AggregationRule::Krum { .. }
        | AggregationRule::MultiKrum { .. }
        | AggregationRule::GeometricMedian { .. }
        | AggregationRule::Bulyan
        | AggregationRule::FilteredTrimmedMean { .. } => true,
        AggregationRule::DivideAndConquer { coordinates, .. } => {
            coordinates.is_none_or(|drawn| drawn as usize >= d)
        }
        AggregationRule::PreAggregated { stages, .. } => {
            matches!(stages.first(), Some(PreAggregation::NearestNeighbours))
        }
        AggregationRule::Mean
        | AggregationRule::Median
        | AggregationRule::TrimmedMean
        | AggregationRule::CenteredClipping { .. } => false,
    }
}

/// A value's magnitude is 2^23 or more. Kernels notice it while they read, which costs no pass of
/// its own; where it is, is looked for afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OutOfRange;

fn by_rule(
    rule: &AggregationRule,
    matrix: &Matrix<'_>,
    terms: &Terms<'_>,
) -> Result<Aggregation, OutOfRange> {
    let Terms { f, weights, start, seed } = *terms;
    match rule {
        AggregationRule::Mean => mean::aggregate(matrix, weights),
        AggregationRule::Median => median::aggregate(matrix),
        AggregationRule::TrimmedMean => trimmed_mean::aggregate(matrix, f),
        AggregationRule::Krum { neighbours } => krum::single(matrix, f, *neighbours),
        AggregationRule::MultiKrum { neighbours, selected } => {
            krum::multi(matrix, f, *neighbours, *selected, weights)
        }
        AggregationRule::GeometricMedian { iterations } => {
            geometric_median::aggregate(matrix, weights, *iterations)
        }
        AggregationRule::Bulyan => bulyan::aggregate(matrix, f),
        AggregationRule::CenteredClipping { iterations, radius_milli } => {
            centered_clipping::aggregate(matrix, weights, start, *iterations, *radius_milli)
        }
        AggregationRule::FilteredTrimmedMean { iterations } => {
            filtered_trimmed_mean::aggregate(matrix, f, *iterations)
        }
        AggregationRule::DivideAndConquer { coordinates, iterations, removed_milli } => {
            let parameters = dnc::Parameters {
                coordinates: *coordinates,
                iterations: *iterations,
                removed: dnc::removed(f, *removed_milli),
            };
            dnc::aggregate(matrix, weights, &parameters, seed)
        }
        AggregationRule::PreAggregated { stages, rule } => {
            let prepared = pre_aggregation::prepare(stages, f, matrix, weights, seed)?;
            let inner = Terms { weights: &prepared.weights, ..*terms };
            Ok(prepared.attribute(by_rule(rule, &prepared.matrix, &inner)?))
        }
    }
}

fn check_inputs(
    n: usize,
    d: usize,
    weights: &[u64],
    start: Option<&[i32]>,
) -> Result<(), AggregateError> {
    if d == 0 || d as u64 > PARAMETERS_MAX {
        return Err(AggregateError::ParametersOutOfRange { max: PARAMETERS_MAX, found: d });
    }
    if weights.len() != n {
        return Err(AggregateError::WrongWeights { expected: n, found: weights.len() });
    }
    if let Some(row) = weights.iter().position(|&weight| weight == 0) {
        return Err(AggregateError::ZeroWeight { row });
    }
    weights
        .iter()
        .try_fold(0u64, |sum, &weight| sum.checked_add(weight))
        .ok_or(AggregateError::WeightsTooLarge)?;
    let Some(start) = start else { return Ok(()) };
    if start.len() != d {
        return Err(AggregateError::WrongStart { expected: d, found: start.len() });
    }
    match first_out_of_range(start) {
        Some(column) => Err(AggregateError::StartOutOfRange { column, found: start[column] }),
        None => Ok(()),
    }
}

/// The matrix with contiguous rows; copies only a view that does not have them.
fn rows_contiguous(updates: ArrayView2<'_, i32>) -> CowArray<'_, i32, Ix2> {
    if updates.rows().into_iter().all(|row| row.is_standard_layout()) {
        CowArray::from(updates)
    } else {
        CowArray::from(updates.as_standard_layout().into_owned())
    }
}

/// The rows as slices.
fn rows_of<'a>(matrix: &'a CowArray<'_, i32, Ix2>) -> Vec<&'a [i32]> {
    matrix.outer_iter().map(|row| row.to_slice().expect("the rows were made contiguous")).collect()
}

/// Every row was used in full, or not at all.
fn uses_whole(selected: impl Iterator<Item = bool>, scores: Option<&[u64]>) -> Vec<UpdateUse> {
    selected
        .enumerate()
        .map(|(row, selected)| UpdateUse {
            selected,
            used_share_micro: if selected { 1_000_000 } else { 0 },
            score: scores.map(|scores| scores[row]),
        })
        .collect()
}

/// What each row was used for, from the number of columns that its value entered.
fn uses_of_counts(counts: &[u64], d: usize, scores: Option<&[u64]>) -> Vec<UpdateUse> {
    counts
        .iter()
        .enumerate()
        .map(|(row, &count)| UpdateUse {
            selected: count > 0,
            used_share_micro: div_half_even(i128::from(count) * 1_000_000, d as i128) as u32,
            score: scores.map(|scores| scores[row]),
        })
        .collect()
}
