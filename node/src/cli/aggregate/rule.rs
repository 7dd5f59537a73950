//! The rule and its parameters on the command line.

use clap::{Args, ValueEnum};
use fedledger_ledger::task::{AggregationRule, PreAggregation};

#[derive(Debug, Args)]
pub(super) struct RuleArgs {
    /// The aggregation rule.
    #[arg(long, value_enum, required_unless_present = "task")]
    rule: Option<RuleName>,
    /// Transform the updates first, in this order, separated by commas: nearest-neighbours,
    /// adaptive-clipping, bucketing:SIZE.
    #[arg(long, value_name = "STAGES", value_delimiter = ',', value_parser = stage)]
    before: Vec<PreAggregation>,
    /// Number of nearest neighbours for krum and multi-krum [default: n - f - 2].
    #[arg(long, value_name = "K")]
    neighbours: Option<u32>,
    /// Number of updates that multi-krum averages [default: n - f].
    #[arg(long, value_name = "M")]
    selected: Option<u32>,
    /// Iterations of geometric-median, centered-clipping and divide-and-conquer; most filter steps
    /// of filtered-trimmed-mean.
    #[arg(long, value_name = "T", default_value_t = 8)]
    iterations: u32,
    /// Radius of centered-clipping, in thousandths of the median distance.
    #[arg(long, value_name = "MILLI", default_value_t = 1000)]
    radius_milli: u32,
    /// Coordinates that divide-and-conquer samples in an iteration [default: all].
    #[arg(long, value_name = "D")]
    coordinates: Option<u32>,
    /// Updates that divide-and-conquer removes in an iteration, in thousandths of f.
    #[arg(long, value_name = "MILLI", default_value_t = 1500)]
    removed_milli: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RuleName {
    /// Arithmetic mean: the undefended baseline.
    Mean,
    /// Coordinate-wise median.
    Median,
    /// Coordinate-wise mean without the f least and f greatest values.
    TrimmedMean,
    /// The update closest to its neighbours.
    Krum,
    /// Mean of the updates with the best Krum scores.
    MultiKrum,
    /// Geometric median (RFA).
    GeometricMedian,
    /// Iterated Krum selection, then the mean around the median.
    Bulyan,
    /// Mean of clipped differences to a centre.
    CenteredClipping,
    /// Spectral filter, then the trimmed mean of what it leaves (TM++).
    FilteredTrimmedMean,
    /// Mean of the updates that project least on the direction of greatest variance (DnC).
    DivideAndConquer,
}

/// A transformation by its name, with its size where it has one.
fn stage(text: &str) -> Result<PreAggregation, String> {
    let expected = "expected nearest-neighbours, adaptive-clipping or bucketing:SIZE";
    match text.split_once(':') {
        None if text == "nearest-neighbours" => Ok(PreAggregation::NearestNeighbours),
        None if text == "adaptive-clipping" => Ok(PreAggregation::AdaptiveClipping),
        Some(("bucketing", size)) => match size.parse() {
            Ok(size) => Ok(PreAggregation::Bucketing { size }),
            Err(error) => Err(format!("the size `{size}` of the buckets: {error}")),
        },
        _ => Err(expected.to_owned()),
    }
}

impl RuleArgs {
    /// The rule with what stands before it; nothing when none is named.
    pub(super) fn rule(&self) -> Option<AggregationRule> {
        let rule = self.named(self.rule?);
        if self.before.is_empty() {
            return Some(rule);
        }
        let stages = self.before.clone();
        Some(AggregationRule::PreAggregated { stages, rule: Box::new(rule) })
    }

    fn named(&self, name: RuleName) -> AggregationRule {
        let Self { neighbours, selected, iterations, radius_milli, .. } = *self;
        let Self { coordinates, removed_milli, .. } = *self;
        match name {
            RuleName::Mean => AggregationRule::Mean,
            RuleName::Median => AggregationRule::Median,
            RuleName::TrimmedMean => AggregationRule::TrimmedMean,
            RuleName::Krum => AggregationRule::Krum { neighbours },
            RuleName::MultiKrum => AggregationRule::MultiKrum { neighbours, selected },
            RuleName::GeometricMedian => AggregationRule::GeometricMedian { iterations },
            RuleName::Bulyan => AggregationRule::Bulyan,
            RuleName::CenteredClipping => {
                AggregationRule::CenteredClipping { iterations, radius_milli }
            }
            RuleName::FilteredTrimmedMean => AggregationRule::FilteredTrimmedMean { iterations },
            RuleName::DivideAndConquer => {
                AggregationRule::DivideAndConquer { coordinates, iterations, removed_milli }
            }
        }
    }
}
