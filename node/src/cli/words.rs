//! Verdicts, reasons and failures in words that a stranger understands.

use fedledger_ledger::decision::{Measure, Reason, RoundFailure, UpdateVerdict, Verdict};
use fedledger_ledger::entry::Standing;
use fedledger_ledger::task::AggregationRule;

use crate::output::micro;

/// A verdict in one or two words.
pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "accepted",
        Verdict::Clip => "clipped",
        Verdict::DownWeight => "down-weighted",
        Verdict::Reject => "rejected",
        Verdict::Quarantine => "quarantined",
    }
}

/// A standing in one word.
pub fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Active => "active",
        Standing::Probation => "probation",
        Standing::Quarantine => "quarantine",
    }
}

/// A rule with its parameters, as a task file names them: `centered_clipping, iterations 3`.
pub fn rule_words(rule: &AggregationRule) -> String {
    let named = serde_json::to_value(rule).expect("a rule is plain data");
    let fields = named.as_object().into_iter().flatten();
    let knobs = fields.filter(|(key, value)| *key != "name" && !value.is_null());
    let mut words = named["name"].as_str().unwrap_or("unnamed").to_owned();
    for (key, value) in knobs {
        words.push_str(&format!(", {} {value}", key.replace('_', " ")));
    }
    words
}

/// Thousandths as a factor: 2500 → `2.500`.
fn times(milli: u64) -> String {
    micro(milli.saturating_mul(1000), 3)
}

/// The reason of a verdict, with the numbers that it rests on.
pub fn reason_words(verdict: &UpdateVerdict) -> String {
    let (value, threshold) = (verdict.value, verdict.threshold);
    match verdict.reason {
        Reason::Clean => "nothing was wrong with it".into(),
        Reason::NotSelected => "the rule left it out: too far from the others".into(),
        Reason::Outlier => format!(
            "{} times the median distance to the aggregate (limit {})",
            times(value),
            times(threshold)
        ),
        Reason::NormTooLarge => {
            format!("its norm is {} times the usual (limit {})", times(value), times(threshold))
        }
        Reason::NormTooSmall => {
            format!("its norm is {} times the usual (at least {})", times(value), times(threshold))
        }
        Reason::NormClipped => format!(
            "its norm was {} times the usual; scaled down to {}",
            times(value),
            times(threshold)
        ),
        Reason::Duplicate => "the same bytes as another member's update".into(),
        Reason::SchemaMismatch => "it does not follow the task's schema".into(),
        Reason::NotRevealed => "committed to but not revealed in time".into(),
        Reason::Equivocation => "its member signed two different updates for the round".into(),
        Reason::MemberQuarantined => "its member is in quarantine".into(),
        Reason::MemberOnProbation => "its member is on probation".into(),
        Reason::LengthMismatch => {
            format!("it is {value} bytes long, {threshold} were committed to")
        }
        Reason::MemberSuspended => "its member is suspended".into(),
        Reason::RoundFailed => "the round ended without an aggregate".into(),
        Reason::MovedTogether => together_words(verdict),
    }
}

/// With whom the member moved, for how long, and by how much.
fn together_words(verdict: &UpdateVerdict) -> String {
    let measure = |which: Measure| {
        verdict
            .measures
            .iter()
            .find(|(measure, _)| *measure == which)
            .map_or(0, |(_, value)| *value)
    };
    let others: Vec<String> =
        verdict.together_with.iter().flatten().map(ToString::to_string).collect();
    format!(
        "its last {} updates left what it used to send in one direction with {}: bond {}, limit {}, \
         in units of the spread of all pairs",
        measure(Measure::RoundsInCell),
        others.join(", "),
        times(verdict.value),
        times(verdict.threshold),
    )
}

/// Why a round ended without a model, in words.
pub fn failure_words(failure: RoundFailure) -> &'static str {
    match failure {
        RoundFailure::TooFewCommitments => "too few members committed to an update in time",
        RoundFailure::TooFewUpdates => "too few admitted updates for the rule",
        RoundFailure::NotDecided => "no decision was agreed on in time",
        RoundFailure::ModelOutOfRange => "the new model would leave the range of its task",
        RoundFailure::TooManySuspects => {
            "more members are suspect than the task withstands: its assumption is broken, and it \
             is frozen at its last model"
        }
        RoundFailure::RolledBack => "the consortium took the task back to an earlier model",
        RoundFailure::BaseModelInvalid => "the base model is not a model of this task",
    }
}

/// A measure of a verdict, if it was made.
pub fn measure(verdict: &UpdateVerdict, wanted: Measure) -> Option<u64> {
    verdict.measures.iter().find(|(measure, _)| *measure == wanted).map(|(_, value)| *value)
}
