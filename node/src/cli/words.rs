//! Verdicts, reasons and failures in words that a stranger understands.

use fedledger_ledger::decision::{
    Candidate, HarmedClass, Measure, Reason, RoundFailure, UpdateVerdict, Verdict,
};
use fedledger_ledger::entry::Standing;
use fedledger_ledger::ids::{MemberId, TaskId};
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

/// Thousandths as a decimal, without zeros at its end: 2500 → `2.5`, 3000 → `3`.
fn milli(value: u64) -> String {
    let text = micro(value.saturating_mul(1000), 3);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Millionths of a whole as a percentage: 142857 → `14.2 %`.
fn percent(micro_share: u64) -> String {
    format!("{} %", micro(micro_share.saturating_mul(100), 1))
}

/// A loss, or a difference of losses, in millionths: -12500 → `-0.012500`.
pub fn loss_words(micro_loss: i64) -> String {
    let sign = if micro_loss < 0 { "-" } else { "" };
    format!("{sign}{}", micro(micro_loss.unsigned_abs(), 6))
}

/// Whose work a candidate is.
pub fn candidate_words(candidate: &Candidate) -> String {
    let rule = rule_words(&candidate.rule);
    match (candidate.without.as_deref(), candidate.with.as_deref()) {
        (None, None) => rule,
        (Some(cell), _) => format!("{rule}, without {}", names(cell)),
        (None, Some(cell)) => {
            format!("{rule}, with {} back from quarantine, not for choice", names(cell))
        }
    }
}

/// Names as a sentence has them: `a`, `a and b`, `a, b and c`.
pub fn names(members: &[MemberId]) -> String {
    let names: Vec<&str> = members.iter().map(MemberId::as_str).collect();
    match names.split_last() {
        None => "nobody".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// The reason of a verdict, with the numbers that it rests on.
pub fn reason_words(verdict: &UpdateVerdict) -> String {
    let (value, threshold) = (verdict.value, verdict.threshold);
    match verdict.reason {
        Reason::Clean => "nothing was wrong with it".into(),
        Reason::NotSelected if value > threshold => format!(
            "the rule left it out, too far from the others: its score is {value}, the greatest of \
             those taken {threshold}"
        ),
        Reason::NotSelected => "the rule left it out: too far from the others".into(),
        Reason::Outlier => format!(
            "it is {} times as far from the aggregate as the median update{}; threshold {}",
            milli(value),
            direction_words(verdict),
            milli(threshold)
        ),
        Reason::NormTooLarge => format!(
            "its norm is {} times the usual; over {} times it is refused",
            milli(value),
            milli(threshold)
        ),
        Reason::NormTooSmall => format!(
            "its norm is {} times the usual; under {} times it is refused",
            milli(value),
            milli(threshold)
        ),
        Reason::NormClipped => format!(
            "its norm was {} times the usual; it was scaled down to {}",
            milli(value),
            milli(threshold)
        ),
        Reason::Duplicate => duplicate_words(value, threshold),
        Reason::SchemaMismatch => "it does not follow the task's schema".into(),
        Reason::NotRevealed => "committed to but not revealed in time".into(),
        Reason::Equivocation => "its member signed two different updates for the round".into(),
        Reason::MemberQuarantined => "its member is in quarantine".into(),
        Reason::MemberOnProbation => format!(
            "its member is on probation: it weighs {} instead of {}",
            percent(value),
            percent(threshold)
        ),
        Reason::LengthMismatch => {
            format!("it is {value} bytes long, {threshold} were committed to")
        }
        Reason::MemberSuspended => "its member is suspended".into(),
        Reason::RoundFailed => "the round ended without an aggregate".into(),
        Reason::MovedTogether => together_words(verdict),
        Reason::SwungTogether => swing_words(verdict),
        Reason::HarmfulTogether => harmful_words(verdict),
        Reason::CellLeftOut => format!(
            "the model was made without it and those it goes with{}; no fault by itself",
            evaluators_words(verdict)
        ),
    }
}

/// Says when an outlier points away from the aggregate.
fn direction_words(verdict: &UpdateVerdict) -> String {
    // Cosine plus one, in millionths.
    match measure(verdict, Measure::CosineMicro) {
        Some(cosine) if cosine < 1_000_000 => {
            format!(" and points against it, cosine -{}", micro(1_000_000 - cosine, 3))
        }
        _ => String::new(),
    }
}

fn duplicate_words(bits: u64, telling: u64) -> String {
    let told = if bits >= telling {
        format!("with {bits} significant bits ({telling} tell) it was not found twice by chance")
    } else {
        format!("with {bits} significant bits ({telling} would tell) that can be chance")
    };
    format!("another member committed to the same update first; {told}")
}

/// How many evaluators found the model worse with the member's cell in this round, and by how much;
/// nothing when none was asked.
fn evaluators_words(verdict: &UpdateVerdict) -> String {
    let counts =
        (measure(verdict, Measure::HarmAgreeing), measure(verdict, Measure::HarmEvaluators));
    let (Some(agreeing), Some(evaluators)) = counts else { return String::new() };
    let harm = measure(verdict, Measure::HarmMicro).unwrap_or(0);
    let class = verdict.harmed_class.as_ref();
    format!(
        "; in this round {agreeing} of {evaluators} evaluators measured the model as worse with \
         them, by {} of loss{}",
        micro(harm, 6),
        class.map_or_else(String::new, |found| format!("; {}", harmed_class_words("they", found)))
    )
}

/// On which class who raise the loss most, and by how much.
pub fn harmed_class_words(who: &str, found: &HarmedClass) -> String {
    let HarmedClass { class, harm_micro, agreeing, evaluators } = found;
    format!(
        "{agreeing} of {evaluators} evaluators measured that {who} raise the loss on class {class}, \
         by {}",
        micro(*harm_micro, 6)
    )
}

/// The class that the member's cell harms most in this round, where the reason of the verdict does not
/// say it: the cell is suspected, and nobody is struck for it.
pub fn suspected_class_words(verdict: &UpdateVerdict) -> Option<String> {
    let said = matches!(
        verdict.reason,
        Reason::MovedTogether
            | Reason::SwungTogether
            | Reason::HarmfulTogether
            | Reason::CellLeftOut
    );
    let found = verdict.harmed_class.as_ref().filter(|_| !said)?;
    Some(harmed_class_words("it and those it goes with", found))
}

/// What follows from the member's notice that its data change; nothing without one.
pub fn notice_words(verdict: &UpdateVerdict) -> Option<String> {
    let rounds = measure(verdict, Measure::ExcusedRounds)?;
    let left = match rounds {
        0 => "its new baseline is taken with this round".to_owned(),
        1 => "its new baseline is taken after the next round".to_owned(),
        rounds => format!("its new baseline is taken in {rounds} rounds"),
    };
    let together = verdict.together_with.as_deref().filter(|_| !verdict.strike);
    let Some(others) = together else {
        return Some(format!("it announced a change of its data: {left}"));
    };
    Some(format!(
        "it announced a change of its data, and by now has left its baseline together with {}: no \
         strike, but it weighs a quarter until it has not for {rounds} rounds, or until a vote: \
         fedledger change release",
        names(others)
    ))
}

/// On which class the return of who from quarantine would raise the loss most, and by how much.
pub fn return_class_words(who: &str, found: &HarmedClass) -> String {
    let HarmedClass { class, harm_micro, agreeing, evaluators } = found;
    format!(
        "in this round {agreeing} of {evaluators} evaluators measured that {who} would raise the loss \
         on class {class}, by {} %",
        micro(harm_micro.saturating_mul(100), 2)
    )
}

/// With whom the member did harm, how many evaluators measured it, and by how much.
fn harmful_words(verdict: &UpdateVerdict) -> String {
    let with = match verdict.together_with.as_deref() {
        None | Some([]) => String::new(),
        Some(others) => format!(", with those of {},", names(others)),
    };
    let (value, threshold) = (verdict.value, verdict.threshold);
    // One of the cell over the limit, or quarantine, has half of it count.
    let half = if value < threshold {
        ", half of which counts in quarantine and beside one that is over it"
    } else {
        ""
    };
    format!(
        "its updates{with} made the model worse round after round; threshold {}{half}, value {} (harm \
         added up, in units of the spread among evaluators){}",
        milli(threshold),
        milli(value),
        evaluators_words(verdict)
    )
}

/// With whom the member moved, for how long, and by how much.
fn together_words(verdict: &UpdateVerdict) -> String {
    let updates = match measure(verdict, Measure::RoundsInCell).unwrap_or(1) {
        1 => "update".to_owned(),
        rounds => format!("{rounds} updates"),
    };
    let others = verdict.together_with.as_deref().unwrap_or_default();
    format!(
        "its last {updates} moved together with {}, away from what each used to send; threshold {}, \
         value {} (bond, in units of the spread of all pairs){}",
        names(others),
        milli(verdict.threshold),
        milli(verdict.value),
        evaluators_words(verdict)
    )
}

/// With whom the member changed from round to round, how alike, and by how much.
fn swing_words(verdict: &UpdateVerdict) -> String {
    let rounds = measure(verdict, Measure::RoundsSwinging).unwrap_or(1);
    let amplitude = measure(verdict, Measure::SwingAmplitudeMilli).unwrap_or(0);
    let others = verdict.together_with.as_deref().unwrap_or_default();
    let rounds =
        if rounds == 1 { "a round".to_owned() } else { format!("{rounds} rounds in a row") };
    format!(
        "for {rounds} what it sends changed from one round to the next together with {}; threshold {}, \
         value {} (correlation of the changes, which are {} of the usual distance between members){}",
        names(others),
        milli(verdict.threshold),
        milli(verdict.value),
        milli(amplitude),
        evaluators_words(verdict)
    )
}

/// What evaluators measured of a member's return from quarantine; nothing when nobody was asked.
pub fn return_words(verdict: &UpdateVerdict) -> Option<String> {
    let harm = measure(verdict, Measure::ReturnHarmMicro)?;
    let rounds = measure(verdict, Measure::ReturnRounds).unwrap_or(0);
    let class = verdict.return_harmed_class.as_ref();
    let class = class
        .map_or_else(String::new, |found| format!("; {}", return_class_words("its return", found)));
    let counts = if verdict.strike { "" } else { "; a clean round" };
    Some(format!(
        "with it back from quarantine the loss would be {} % higher, in the mean of {rounds} \
         rounds{class}{counts}",
        micro(harm.saturating_mul(100), 2)
    ))
}

/// What the member can do about a verdict; nothing when there is nothing to do.
pub fn advice_words(task: &TaskId, verdict: &UpdateVerdict) -> Option<String> {
    let announce = format!("fedledger task announce-data-change {task} --reason WHAT");
    let release =
        format!("fedledger change release {task} --member {} --reason WHY", verdict.member);
    let advice: String = match verdict.reason {
        Reason::Clean | Reason::NormClipped | Reason::RoundFailed => return None,
        Reason::NotSelected => "no fault by itself; when it goes on, compare labels, preprocessing \
             and learning rate with the others"
            .into(),
        Reason::Outlier => format!(
            "check labels, preprocessing and learning rate; when scanner or patients have changed, \
             say so before the next update: {announce}"
        ),
        Reason::NormTooLarge | Reason::NormTooSmall => "check that the file holds new weights minus \
             base model, and that training and learning rate are as agreed"
            .into(),
        Reason::Duplicate => {
            "nobody sees an update before all have committed: ask who shared it before".into()
        }
        Reason::SchemaMismatch | Reason::LengthMismatch => "the node makes its updates canonical \
             itself: find out what else signs with the member's key"
            .into(),
        Reason::NotRevealed => "the node reveals by itself when the commit phase ends: see that it \
             runs and is connected (fedledger status)"
            .into(),
        Reason::Equivocation => "a node never does this: find out what else signs with the member's \
             key, and have it rotated by a change"
            .into(),
        Reason::MemberQuarantined => format!(
            "its updates are judged all the same: enough clean rounds in a row end the quarantine, \
             or a vote: {release}"
        ),
        Reason::MemberOnProbation => "clean rounds end it".into(),
        Reason::MemberSuspended => "a change that reinstates it takes a vote: fedledger change \
             propose FILE"
            .into(),
        Reason::SwungTogether => format!(
            "find out why its updates, and those of the members named, differ from one round to the next: \
             data or settings that are switched on and off, one machine that trains for several. To \
             dispute a quarantine: {release}"
        ),
        Reason::MovedTogether | Reason::HarmfulTogether => format!(
            "compare labels and preprocessing with those named. When scanner or patients have \
             changed, say so before the next update: {announce}. To dispute a quarantine: {release}. \
             Since when it has been so: fedledger task onset {task} --members {}",
            cell_of(verdict)
        ),
        Reason::CellLeftOut => format!(
            "when it goes on it becomes a strike: compare labels and preprocessing; when scanner or \
             patients have changed, say so before the next update: {announce}"
        ),
    };
    Some(advice)
}

/// The member and those it moved with, as an option takes them.
fn cell_of(verdict: &UpdateVerdict) -> String {
    let others = verdict.together_with.iter().flatten();
    let mut cell: Vec<&str> = others.map(MemberId::as_str).collect();
    cell.push(verdict.member.as_str());
    cell.sort_unstable();
    cell.join(",")
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

#[cfg(test)]
mod tests;
