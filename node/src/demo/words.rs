//! Verdicts in words, for people who have not read the contract.

use fedledger_ledger::decision::{Reason, UpdateVerdict, Verdict};
use fedledger_ledger::entry::Standing;

/// What became of an update, in one word or two.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "accepted",
        Verdict::Clip => "clipped",
        Verdict::DownWeight => "down-weighted",
        Verdict::Reject => "rejected",
        Verdict::Quarantine => "quarantined",
    }
}

/// Thousandths as a factor: 3140 is `3.1×`.
fn times(milli: u64) -> String {
    format!("{}.{}×", milli / 1000, milli % 1000 / 100)
}

/// Why, with the numbers that were compared.
pub fn reason(verdict: &UpdateVerdict) -> String {
    let (value, threshold) = (verdict.value, verdict.threshold);
    match verdict.reason {
        Reason::Clean => "nothing was wrong with it".into(),
        Reason::NotSelected => "the rule left it out: too far from the others".into(),
        Reason::Outlier => format!(
            "{} as far from the aggregate as the median update (limit {})",
            times(value),
            times(threshold)
        ),
        Reason::NormTooLarge => {
            format!("{} the usual size (limit {})", times(value), times(threshold))
        }
        Reason::NormTooSmall => {
            format!("only {} the usual size (at least {})", times(value), times(threshold))
        }
        Reason::NormClipped => {
            format!("{} the usual size, scaled down to {}", times(value), times(threshold))
        }
        Reason::Duplicate => "the same bytes as another member's update".into(),
        Reason::SchemaMismatch => "the file does not follow the task's schema".into(),
        Reason::NotRevealed => "committed, but never shown".into(),
        Reason::Equivocation => "the member signed two different updates".into(),
        Reason::MemberQuarantined => "the member is in quarantine; scored all the same".into(),
        Reason::MemberOnProbation => "the member is on probation".into(),
        Reason::LengthMismatch => {
            format!("{value} bytes long, {threshold} were committed to")
        }
        Reason::MemberSuspended => "the member is suspended".into(),
        Reason::RoundFailed => "the round led to no aggregate".into(),
    }
}

/// A member's standing.
pub fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Active => "active",
        Standing::Probation => "probation",
        Standing::Quarantine => "quarantine",
    }
}
