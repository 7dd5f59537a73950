//! What each rule needs of n, f and its parameters. Checked when a task is created, with the
//! numbers, and again before every aggregation.

use fedledger_ledger::limits::MEMBERS_MAX;
use fedledger_ledger::task::AggregationRule;
use thiserror::Error;

/// Most iterations of an iterative rule.
const ITERATIONS_MAX: u64 = 64;
/// Largest clipping radius: a thousand times the median distance clips nothing that matters.
const RADIUS_MILLI_MAX: u64 = 1_000_000;

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
    }
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
    }
}
