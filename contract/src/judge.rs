//! From a round's updates to an aggregate and a verdict on each of them.
//!
//! [`judge`] is the whole of it and a function of [`RoundInputs`] alone: the contract, the simulator
//! and the command line all call it. Its steps are
//!
//! 1. **admission** ([`admit`]): updates that take no part whatever they say (not revealed,
//!    equivocation, schema, length, copies), the norm band with exact clipping, quarantine;
//! 2. **weights**: declared examples or uniform, times standing and trust, at most 1.5/n each;
//! 3. **aggregation** by the rule, over the admitted updates by ascending member id; where the rule does
//!    not weigh, three quarters of it without those on probation (`probation`);
//! 4. **scoring**: every update, admitted or in quarantine, by its distance to the aggregate;
//! 5. **verdicts**, and whether more than f members would now be in quarantine.
//!
//! All norms and distances are Euclidean, in units of the quantum, over the integers of all tensors:
//! a task that gives tensors different scales gives them different units thereby.
//!
//! *What is known of f.* A rule is to withstand f of the updates. Members in quarantine, and those
//! whose update was proved faulty in this round (equivocation, not of the schema, not of the length),
//! are among those f and are not among the updates any more, so the rule is asked to withstand f less
//! their number, and `updates_min` falls by as much; telling copies count alike (below). An update
//! that is refused for its norm proves nothing and lowers neither.
//!
//! *Copies.* Of several updates with the same digest the one committed first (in the order of the
//! log) stands; the later ones do not enter, so the content enters once. Commitments hide their
//! update and are bound to their member, so nobody can have copied from the ledger or the network:
//! k equal updates were shared before the commit phase closed, or are too simple to tell. All zeros,
//! or a few small integers, come of honest training on next to nothing, and can be guessed by
//! somebody who wants to be found equal to an honest member. So a copy is *telling* only from 128
//! significant bits on (the binary digits of all |q| together, recorded as the verdict's value).
//!
//! Of k telling copies at least k - 1 are of members that do not follow the protocol: each either gave
//! its update away or took it, and at most one is the victim of a theft. Which one, the ledger cannot
//! see: the order in the log is the proposers' to choose. So k - 1 of the f are known, the rule and
//! `updates_min` are lowered by them, and no copy is a strike: it would hit the victim as well, at
//! a thief's will. Telling copies that repeat are for people to look into, and for the vote.

mod admission;
mod geometry;
mod measure;
mod mixed;
mod probation;
mod remember;
mod round_aggregate;
#[cfg(test)]
mod tests;
mod verdict;
mod weights;

use fedledger_ledger::decision::{Deviation, Reason, RoundFailure, UpdateVerdict};
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::task::{AggregationRule, NormBand, TaskSpec, TrustPolicy, Weighting};
use ndarray::Array2;

use crate::history::Past;
use crate::records::TrustRecord;

pub use admission::{admit, Admission};
pub use round_aggregate::RoundAggregate;
pub use weights::{share_micro_max, weights_micro, SHARE_MICRO_ONE};

/// Over how many of the latest rounds with a new model the reference norm is taken.
pub const NORM_ROUNDS: usize = 5;

/// What a task says about the judgement of its rounds, apart from the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// f: how many of the updates the rule is to withstand.
    pub byzantine: usize,
    /// Fewest admitted updates that are aggregated.
    pub updates_min: usize,
    /// How updates are weighed.
    pub weighting: Weighting,
    /// Norm admission, if any.
    pub norm_band: Option<NormBand>,
    /// How trust moves, if it does; without it no update is an outlier.
    pub trust: Option<TrustPolicy>,
}

impl From<&TaskSpec> for Terms {
    fn from(spec: &TaskSpec) -> Self {
        Self {
            byzantine: spec.byzantine as usize,
            updates_min: spec.updates_min as usize,
            weighting: spec.weighting,
            norm_band: spec.norm_band,
            trust: spec.trust,
        }
    }
}

/// What there is of a member's update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Its integers are a row of [`RoundInputs::values`].
    Row(usize),
    /// It takes no part. `value` and `threshold` are what was compared, 0 where nothing was.
    Refused {
        /// Why.
        reason: Reason,
        /// What was found.
        value: u64,
        /// What was expected.
        threshold: u64,
    },
}

impl Content {
    /// It takes no part, and no number says why.
    pub fn refused(reason: Reason) -> Self {
        Self::Refused { reason, value: 0, threshold: 0 }
    }
}

/// One member's update with what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Whose it is.
    pub member: MemberId,
    /// Digest of the canonical update; none when it was not revealed.
    pub update: Option<Digest>,
    /// Orders the commitments: their position in the log.
    pub order: u64,
    /// Number of examples trained on, as declared, at least 1.
    pub num_examples: u64,
    /// The member's trust before the round.
    pub trust: TrustRecord,
    /// Its integers, or why it takes no part.
    pub content: Content,
}

/// Everything that the judgement of a round rests on.
#[derive(Debug, Clone)]
pub struct RoundInputs {
    /// The task's terms.
    pub terms: Terms,
    /// One for each commitment, by ascending member id.
    pub submissions: Vec<Submission>,
    /// `m × d`: the integers of the updates; each row belongs to at most one submission.
    pub values: Array2<i32>,
    /// Median norms of the latest rounds with a new model, at most [`NORM_ROUNDS`].
    pub norm_history: Vec<u64>,
    /// `d` integers that centered clipping starts from: the previous aggregate, if there was one.
    pub start: Option<Vec<i32>>,
    /// Members in quarantine that have no submission in this round.
    pub quarantined_absent: usize,
    /// What is known of past rounds, when the task keeps a history.
    pub past: Option<Past>,
}

/// What came of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundJudgement {
    /// `d` integers, or why there are none.
    pub aggregate: Result<Vec<i32>, RoundFailure>,
    /// One for each submission, in their order.
    pub verdicts: Vec<UpdateVerdict>,
    /// What the round adds to the histories, by member id.
    pub deviations: Option<Vec<Deviation>>,
}

/// Judges a round by one rule: admission, aggregation, verdicts.
///
/// # Panics
/// When the submissions are not in ascending order of members, or name rows that are not there.
pub fn judge(rule: &AggregationRule, inputs: RoundInputs) -> RoundJudgement {
    let admission = admit(inputs);
    admission.judge(rule)
}

/// Judges updates outside of any ledger, by the same code: everybody is trusted alike, there is no
/// history, and the order of the submissions is that of the members.
///
/// `updates` are the members with their digests, `num_examples` and rows of `values` (`n × d`), by
/// ascending member id.
///
/// # Panics
/// When the members are not in ascending order, or there is not one row for each.
pub fn judge_updates(
    rule: &AggregationRule,
    terms: Terms,
    updates: Vec<(MemberId, Digest, u64)>,
    values: Array2<i32>,
) -> RoundJudgement {
    assert_eq!(updates.len(), values.nrows(), "each update has one row");
    let submissions = updates.into_iter().enumerate();
    let submissions = submissions.map(|(row, (member, update, num_examples))| Submission {
        member,
        update: Some(update),
        order: row as u64,
        num_examples,
        trust: TrustRecord::default(),
        content: Content::Row(row),
    });
    let inputs = RoundInputs {
        terms,
        submissions: submissions.collect(),
        values,
        norm_history: Vec::new(),
        start: None,
        quarantined_absent: 0,
        past: None,
    };
    judge(rule, inputs)
}
