//! What a consortium agrees on before it trains: a task's tensors, rule, thresholds and windows.
//!
//! Everything here is data on the ledger. The contract interprets it and refuses what cannot work
//! (a rule whose precondition fails, a schema over the limits) when the task is created.

mod inner_rule;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::ids::{Digest, TaskId};

/// One tensor of the update and of the model.
///
/// Element `q` (an integer, |q| < 2^23) stands for the real value `q / 2^scale_bits`. Elements are
/// in row-major order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// Name, unique in the task; tensors are ordered by the bytes of their names.
    #[n(0)]
    pub name: String,
    /// Length of each dimension, all positive; a scalar has none.
    #[n(1)]
    pub shape: Vec<u64>,
    /// Binary digits behind the point, -32 to 48.
    #[n(2)]
    pub scale_bits: i8,
}

impl TensorSpec {
    /// Number of elements, or `None` when the product overflows.
    pub fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1u64, |product, &length| product.checked_mul(length))
    }
}

/// How a round's updates become one aggregate. Parameters whose meaning the papers leave open are
/// explicit. Definitions, sources and preconditions: `fedledger_contract::aggregate`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum AggregationRule {
    /// Weighted arithmetic mean: the undefended baseline.
    #[n(0)]
    Mean,
    /// Coordinate-wise median.
    #[n(1)]
    Median,
    /// Coordinate-wise mean without the f least and the f greatest values.
    #[n(2)]
    TrimmedMean,
    /// The update closest to its neighbours.
    #[n(3)]
    Krum {
        /// Number of nearest neighbours that are scored; the paper's n − f − 2 when absent.
        #[n(0)]
        neighbours: Option<u32>,
    },
    /// Mean of the updates with the best Krum scores.
    #[n(4)]
    MultiKrum {
        /// Number of nearest neighbours that are scored; the paper's n − f − 2 when absent.
        #[n(0)]
        neighbours: Option<u32>,
        /// Number of updates that are averaged; n − f when absent.
        #[n(1)]
        selected: Option<u32>,
    },
    /// Geometric median by smoothed Weiszfeld iterations (RFA).
    #[n(5)]
    GeometricMedian {
        /// Number of iterations, 1 to 64.
        #[n(0)]
        iterations: u32,
    },
    /// Iterated Krum selection, then the coordinate-wise mean around the median.
    #[n(6)]
    Bulyan,
    /// Mean of the differences to a centre, each clipped to a radius.
    #[n(7)]
    CenteredClipping {
        /// Number of iterations, 1 to 64.
        #[n(0)]
        iterations: u32,
        /// Clipping radius in thousandths of the median distance to the starting centre.
        #[n(1)]
        radius_milli: u32,
    },
    /// A rule over updates that were transformed first, stage by stage in order.
    #[n(8)]
    PreAggregated {
        /// The transformations, 1 to 4.
        #[n(0)]
        stages: Vec<PreAggregation>,
        /// The rule, which is no pre-aggregated one itself.
        #[cbor(n(1), with = "inner_rule")]
        rule: Box<AggregationRule>,
    },
    /// Spectral filter, then the trimmed mean of what it leaves ("TM++").
    #[n(9)]
    FilteredTrimmedMean {
        /// Most filter steps, 1 to 128.
        #[n(0)]
        iterations: u32,
    },
    /// Mean of the updates that project least on the direction of greatest variance (DnC).
    #[n(10)]
    DivideAndConquer {
        /// Number of coordinates that an iteration samples, 1 to 100,000; all of them when absent.
        #[n(0)]
        coordinates: Option<u32>,
        /// Number of iterations, 1 to 16.
        #[n(1)]
        iterations: u32,
        /// Updates that an iteration removes, in thousandths of f, 1 to 2,000.
        #[n(2)]
        removed_milli: u32,
    },
}

/// A transformation of the updates before a rule aggregates them. Definitions, sources and
/// preconditions: `fedledger_contract::aggregate`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum PreAggregation {
    /// Nearest-neighbour mixing: each update becomes the mean of the n − f nearest to it.
    #[n(0)]
    NearestNeighbours,
    /// Adaptive robust clipping: the longest updates are scaled down to the longest of the others.
    #[n(1)]
    AdaptiveClipping,
    /// Updates are averaged in buckets that the round's seed draws.
    #[n(2)]
    Bucketing {
        /// Updates in a bucket, 1 to n; the last bucket may have fewer.
        #[n(0)]
        size: u32,
    },
}

/// How much an accepted update counts before trust is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// Every member counts the same.
    #[n(0)]
    Uniform,
    /// In proportion to the declared `num_examples`, at most 1.5/n of the whole for any member, so
    /// that a declaration cannot buy the model.
    #[n(1)]
    Examples,
}

/// Which update norms are admitted, relative to the median norm over the latest decided rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct NormBand {
    /// Updates under this many thousandths of the reference are refused.
    #[n(0)]
    pub low_milli: u32,
    /// Updates over this many thousandths of the reference are scaled down to it.
    #[n(1)]
    pub clip_milli: u32,
    /// Updates over this many thousandths of the reference are refused.
    #[n(2)]
    pub high_milli: u32,
}

/// How trust moves; see `fedledger_contract::trust`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct TrustPolicy {
    /// An update is an outlier when its distance to the aggregate exceeds this many thousandths of
    /// the median distance of the round, and it points as `outlier_cosine_milli` says.
    #[n(0)]
    pub outlier_milli: u32,
    /// Rounds in a row with a strike before a member is quarantined.
    #[n(1)]
    pub strikes_to_quarantine: u32,
    /// Rounds in a row without a strike, shadow-scored, before a quarantined member is on
    /// probation again.
    #[n(2)]
    pub clean_rounds_to_return: u32,
    /// An update is an outlier only when, besides its distance, the cosine of its angle to the
    /// aggregate is below this many thousandths, -1000 to 1000. Negative values ask that it point
    /// against the aggregate, as an honest but odd institution's seldom does for long. When absent,
    /// distance is enough.
    #[n(3)]
    pub outlier_cosine_milli: Option<i32>,
    /// Whether the distance of an update that the norm band scales down is that of the update as it
    /// was sent. Otherwise it is measured scaled down, which is where a small distance may hide a
    /// long update, and a long honest one stays unpunished.
    #[n(4)]
    #[cbor(default, skip_if = "is_false")]
    #[serde(default, skip_serializing_if = "is_false")]
    pub outlier_as_sent: bool,
}

/// What is absent from the bytes of a record where it is false.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the derives pass a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// What the contract remembers of every member's past rounds, and when members that began to move
/// together are struck for it; definitions in `fedledger_contract::history`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct HistoryPolicy {
    /// Numbers kept of each update, 16 to 1024. A task with no more parameters keeps them all.
    #[n(0)]
    pub sketch_width: u32,
    /// Observed rounds of a member before its baseline begins: the first steps of a training are
    /// like no later ones.
    #[n(1)]
    pub settle_rounds: u32,
    /// Observed rounds that make a member's baseline, at least 4.
    #[n(2)]
    pub baseline_rounds: u32,
    /// Two members are bound by how far both left their baselines in one direction. A member is
    /// in a cell when its bonds with its f − 1 closest exceed the median bond by this many
    /// thousandths of the spread of all bonds.
    #[n(3)]
    pub bond_milli: u32,
    /// Besides, it and those closest to it must have left their baselines together by this many
    /// thousandths of what noise does.
    #[n(4)]
    pub shift_milli: u32,
    /// Besides, it must have left its baseline by this many thousandths of what noise does more
    /// than the median member has: the side of the fewer.
    #[n(5)]
    pub lead_milli: u32,
    /// Rounds in a row in a cell before a round counts as a strike.
    #[n(6)]
    pub rounds_in_a_row: u32,
    /// When members that change together from one round to the next are struck for it; absent where
    /// nobody is.
    #[n(7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swings: Option<SwingPolicy>,
}

/// When members are struck because what they send changes from round to round, for all of them in one
/// direction; definitions in `fedledger_contract::history`.
///
/// It takes the correlation and the amplitude of the first pair of limits, or of the second: members
/// that hardly change are struck only if they are as good as copies of each other in what does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct SwingPolicy {
    /// The latest changes that are looked at, 3 to 100; the one that says most is left out.
    #[n(0)]
    pub window_rounds: u32,
    /// Over this many thousandths has to be the mean correlation of a member's changes with those of
    /// its f − 1 closest.
    #[n(1)]
    pub correlation_milli: u32,
    /// Over this many thousandths of a median deviation has to be the root mean square of the changes
    /// that it has in common with them.
    #[n(2)]
    pub amplitude_milli: u32,
    /// The second limit of the correlation, above the first.
    #[n(3)]
    pub copy_correlation_milli: u32,
    /// The limit of the amplitude that goes with it, below the first.
    #[n(4)]
    pub copy_amplitude_milli: u32,
    /// Rounds in a row over the limits before a round counts as a strike.
    #[n(5)]
    pub rounds_in_a_row: u32,
}

/// The phase in which members score candidate aggregates on their own held-out data.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct EvaluationSpec {
    /// Further rules whose aggregates are offered beside the task's own.
    #[n(0)]
    pub candidates: Vec<AggregationRule>,
    /// Length of the phase in milliseconds of block time.
    #[n(1)]
    pub window_ms: u64,
    /// Whether a suspected cell's harm is measured, and when it counts; needs a history.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm: Option<HarmPolicy>,
    /// Names of the classes for which evaluators report a loss too, in the order in which they do;
    /// none where nobody asks. What they say of a class is evidence, but for the protected one.
    #[n(3)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The one of these classes whose loss tells harm, that of a suspected cell and that of a return:
    /// the class that must not be missed. When absent, the loss on all rows does.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_class: Option<String>,
}

/// When members are suspected of acting together without a baseline, and when the harm that
/// evaluators measure of them is a strike; definitions in `fedledger_contract::history`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct HarmPolicy {
    /// Observed rounds of a member before it can be in a suspected cell.
    #[n(0)]
    pub observed_rounds: u32,
    /// A member is in a cell when the mean cosine between what it usually sends and what the
    /// others of the cell do is at least this many thousandths, 1 to 1000.
    #[n(1)]
    pub cosine_milli: u32,
    /// Harm that does not count yet, in thousandths of the spread among evaluators: it is taken off
    /// each round's.
    #[n(2)]
    pub allowance_milli: u32,
    /// What is left adds up over the rounds; over this many thousandths it is a strike.
    #[n(3)]
    pub limit_milli: u32,
    /// Up to how much the return of members that are in quarantine for moving together may raise the
    /// loss, in millionths of it, for their rounds there to be clean. Absent, nobody measures it, and
    /// they stay for as long as they are away from their baselines.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_micro: Option<u32>,
    /// Where the loss on a protected class tells harm: what a round scores is at most this many
    /// thousandths over its score by the loss on all rows. So a cell that is of more use to the others
    /// than noise is not struck for what it does to one class. Absent, all rows do not matter.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_rows_milli: Option<u32>,
}

/// A federated training task. The number of members changes; f is fixed by the task, so that a
/// verdict can be recomputed from the task and the round alone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// Identifier, never reused.
    #[n(0)]
    pub id: TaskId,
    /// What is trained, in a sentence.
    #[n(1)]
    pub description: String,
    /// The tensors in the order of their names.
    #[n(2)]
    pub tensors: Vec<TensorSpec>,
    /// Digest of the canonical model that round 1 starts from.
    #[n(3)]
    pub initial_model: Digest,
    /// Number of rounds after which the task is complete.
    #[n(4)]
    pub rounds: u64,
    /// The aggregation rule.
    #[n(5)]
    pub rule: AggregationRule,
    /// f: how many of a round's updates the rule is to withstand.
    #[n(6)]
    pub byzantine: u32,
    /// How updates are weighed.
    #[n(7)]
    pub weighting: Weighting,
    /// Norm admission, if any.
    #[n(8)]
    pub norm_band: Option<NormBand>,
    /// How trust moves; `None` records verdicts and leaves trust alone.
    #[n(9)]
    pub trust: Option<TrustPolicy>,
    /// The evaluation phase, if any.
    #[n(10)]
    pub evaluation: Option<EvaluationSpec>,
    /// Fewest revealed, admitted updates that a round aggregates.
    #[n(11)]
    pub updates_min: u32,
    /// Longest commit phase, in milliseconds of block time.
    #[n(12)]
    pub commit_window_ms: u64,
    /// Longest reveal phase, in milliseconds of block time.
    #[n(13)]
    pub reveal_window_ms: u64,
    /// Longest wait for a decision that needs computing, in milliseconds of block time, after which
    /// the round is recorded as undecided.
    #[n(14)]
    pub decide_window_ms: u64,
    /// What is remembered of past rounds, and how it is judged; `None` judges each round by itself.
    #[n(15)]
    #[serde(default)]
    pub history: Option<HistoryPolicy>,
}

impl TaskSpec {
    /// The classes for which evaluators report a loss too; none where nobody asks.
    pub fn classes(&self) -> &[String] {
        self.evaluation.as_ref().map_or(&[], |evaluation| &evaluation.classes)
    }

    /// Which of the classes, from 0, is the one whose loss tells harm; none where that of all rows does.
    pub fn protected_class(&self) -> Option<usize> {
        let protected = self.evaluation.as_ref()?.protected_class.as_ref()?;
        self.classes().iter().position(|class| class == protected)
    }

    /// d: the number of parameters over all tensors, or `None` when it overflows.
    pub fn parameters(&self) -> Option<u64> {
        self.tensors.iter().try_fold(0u64, |sum, tensor| sum.checked_add(tensor.elements()?))
    }
}
