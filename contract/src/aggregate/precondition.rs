//! What each rule needs of n, f and its parameters. Checked when a task is created, with the
//! numbers, and again before every aggregation.

use fedledger_ledger::limits::MEMBERS_MAX;
use fedledger_ledger::task::{AggregationRule, PreAggregation};
use thiserror::Error;

use super::dnc;

/// Most iterations of an iterative rule.
const ITERATIONS_MAX: u64 = 64;
/// Largest clipping radius: a thousand times the median distance clips nothing that matters.
const RADIUS_MILLI_MAX: u64 = 1_000_000;

/// Most filter steps of TM++: each gives at least one update the weight zero.
const FILTER_STEPS_MAX: u64 = MEMBERS_MAX as u64;
/// Most coordinates that DnC samples, which are copied.
const SAMPLED_MAX: u64 = 100_000;
/// Most iterations of DnC.
const DRAWS_MAX: u64 = 16;
/// Most updates that DnC removes in an iteration, in thousandths of f.
const REMOVED_MILLI_MAX: u64 = 2_000;
/// Most stages of a pre-aggregated rule.
const STAGES_MAX: u64 = 4;

/// Why a rule is not defined for n updates of which f may be Byzantine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PreconditionError {
    /// Too few updates for f.
    #[error("{rule} needs {condition}: with f = {f} at least {needed} updates, found {n}")]
    TooFew {
        /// Name of the rule.
        rule: &'static str,
        /// The precondition as the papers write it.
        condition: &'static str,
        /// f.
        f: usize,
        /// Fewest updates that satisfy it.
        needed: usize,
        /// Number of updates found.
        n: usize,
    },
    /// More updates than a consortium has members.
    #[error("at most {max} updates can be aggregated, found {n}")]
    TooMany {
        /// Most updates.
        max: usize,
        /// Number of updates found.
        n: usize,
    },
    /// A parameter of the rule is out of its range.
    #[error("{rule} has {parameter} = {found}, expected {min} to {max} for n = {n}, f = {f}")]
    Parameter {
        /// Name of the rule.
        rule: &'static str,
        /// Name of the parameter.
        parameter: &'static str,
        /// Value found.
        found: u64,
        /// Least value allowed.
        min: u64,
        /// Greatest value allowed.
        max: u64,
        /// Number of updates.
        n: usize,
        /// f.
        f: usize,
    },
    /// A pre-aggregated rule is inside another one.
    #[error("pre_aggregated holds another pre_aggregated rule, expected its stages in one list")]
    Nested,
}

/// Checks that `rule` is defined for `n` updates of which `f` may be Byzantine.
///
/// # Errors
/// See [`PreconditionError`]; the message has the numbers.
pub fn check_precondition(
    rule: &AggregationRule,
    n: usize,
    f: usize,
) -> Result<(), PreconditionError> {
    if n > MEMBERS_MAX {
        return Err(PreconditionError::TooMany { max: MEMBERS_MAX, n });
    }
    let (rule_name, condition, factor, more) = requirement(rule);
    let needed = f.saturating_mul(factor).saturating_add(more);
    if n < needed {
        return Err(PreconditionError::TooFew { rule: rule_name, condition, f, needed, n });
    }
    let within = |parameter, found: u32, min: u64, max: u64| {
        let found = u64::from(found);
        if (min..=max).contains(&found) {
            Ok(())
        } else {
            Err(PreconditionError::Parameter { rule: rule_name, parameter, found, min, max, n, f })
        }
    };
    let neighbours = |found: Option<u32>| {
        found.map_or(Ok(()), |found| within("neighbours", found, 1, n as u64 - 1))
    };
    match *rule {
        AggregationRule::Mean
        | AggregationRule::Median
        | AggregationRule::TrimmedMean
        | AggregationRule::Bulyan => Ok(()),
        AggregationRule::Krum { neighbours: found } => neighbours(found),
        AggregationRule::MultiKrum { neighbours: found, selected } => {
            neighbours(found)?;
            selected.map_or(Ok(()), |selected| within("selected", selected, 1, (n - f) as u64))
        }
        AggregationRule::GeometricMedian { iterations } => {
            within("iterations", iterations, 1, ITERATIONS_MAX)
        }
        AggregationRule::CenteredClipping { iterations, radius_milli } => {
            within("iterations", iterations, 1, ITERATIONS_MAX)?;
            within("radius_milli", radius_milli, 1, RADIUS_MILLI_MAX)
        }
        AggregationRule::FilteredTrimmedMean { iterations } => {
            within("iterations", iterations, 1, FILTER_STEPS_MAX)
        }
        AggregationRule::DivideAndConquer { coordinates, iterations, removed_milli } => {
            coordinates.map_or(Ok(()), |found| within("coordinates", found, 1, SAMPLED_MAX))?;
            within("iterations", iterations, 1, DRAWS_MAX)?;
            within("removed_milli", removed_milli, 1, REMOVED_MILLI_MAX)?;
            let removed = dnc::removed(f, removed_milli) as u32;
            within("removed_milli · f / 1000", removed, 0, n as u64 - 1)
        }
        AggregationRule::PreAggregated { ref stages, ref rule } => {
            within("number of stages", stages.len() as u32, 1, STAGES_MAX)?;
            check_stages(stages, rule, n, f)
        }
    }
}

/// The rule sees what the stages leave; f updates can spoil at most f buckets.
fn check_stages(
    stages: &[PreAggregation],
    rule: &AggregationRule,
    n: usize,
    f: usize,
) -> Result<(), PreconditionError> {
    if matches!(rule, AggregationRule::PreAggregated { .. }) {
        return Err(PreconditionError::Nested);
    }
    let mut left = n;
    for stage in stages {
        let majority = |rule| {
            let needed = f.saturating_mul(2).saturating_add(1);
            let condition = "n > 2f";
            if left >= needed {
                Ok(())
            } else {
                Err(PreconditionError::TooFew { rule, condition, f, needed, n: left })
            }
        };
        match *stage {
            PreAggregation::NearestNeighbours => majority("nearest_neighbours")?,
            PreAggregation::AdaptiveClipping => majority("adaptive_clipping")?,
            PreAggregation::Bucketing { size } => {
                let (found, max) = (u64::from(size), left as u64);
                if !(1..=max).contains(&found) {
                    return Err(PreconditionError::Parameter {
                        rule: "bucketing",
                        parameter: "size",
                        found,
                        min: 1,
                        max,
                        n: left,
                        f,
                    });
                }
                left = left.div_ceil(size as usize);
            }
        }
    }
    check_precondition(rule, left, f)
}

/// Name, precondition as text, and as the least n = factor · f + more.
fn requirement(rule: &AggregationRule) -> (&'static str, &'static str, usize, usize) {
    match rule {
        AggregationRule::Mean => ("mean", "n >= 1", 0, 1),
        AggregationRule::Median => ("median", "n > 2f", 2, 1),
        AggregationRule::TrimmedMean => ("trimmed_mean", "n > 2f", 2, 1),
        AggregationRule::Krum { .. } => ("krum", "n >= 2f + 3", 2, 3),
        AggregationRule::MultiKrum { .. } => ("multi_krum", "n >= 2f + 3", 2, 3),
        AggregationRule::GeometricMedian { .. } => ("geometric_median", "n > 2f", 2, 1),
        AggregationRule::Bulyan => ("bulyan", "n >= 4f + 3", 4, 3),
        AggregationRule::CenteredClipping { .. } => ("centered_clipping", "n > 2f", 2, 1),
        AggregationRule::FilteredTrimmedMean { .. } => ("filtered_trimmed_mean", "n > 2f", 2, 1),
        AggregationRule::DivideAndConquer { .. } => ("divide_and_conquer", "n > 2f", 2, 1),
        AggregationRule::PreAggregated { .. } => ("pre_aggregated", "n > 2f", 2, 1),
    }
}
