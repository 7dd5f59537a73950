//! Whether scores are what a round's candidates ask for.

use fedledger_ledger::decision::Candidate;
use fedledger_ledger::entry::Rejection;
use fedledger_ledger::limits::LOSS_MICRO_MAX;
use fedledger_ledger::transaction::CandidateScore;

use super::submit::check_num_examples;

/// Checks one member's scores of `candidates`, with a loss for each of `classes`, the names that the
/// task has.
///
/// # Errors
/// When they are not one for each candidate in order, or a number in them is out of its range.
pub fn check_scores(
    candidates: &[Candidate],
    classes: &[String],
    scores: &[CandidateScore],
) -> Result<(), Rejection> {
    let listed = candidates.iter().map(|candidate| candidate.model);
    if !scores.iter().map(|score| score.candidate).eq(listed) {
        return Err(Rejection::WrongCandidates);
    }
    for score in scores {
        check_num_examples(score.num_examples)?;
        check_loss(score.loss_micro)?;
        check_classes(score, classes)?;
    }
    // The rows that are held out do not change from one candidate to the next.
    let first = scores.first().map_or(&[][..], |score| &score.classes);
    for score in scores {
        let mut counts = classes.iter().zip(first.iter().zip(&score.classes));
        let differs = counts.find(|(_, (one, other))| one.num_examples != other.num_examples);
        if let Some((class, _)) = differs {
            return Err(Rejection::ClassExamplesDiffer { class: class.clone() });
        }
    }
    Ok(())
}

fn check_loss(loss_micro: u64) -> Result<(), Rejection> {
    if loss_micro > LOSS_MICRO_MAX {
        return Err(Rejection::LossOutOfRange { max: LOSS_MICRO_MAX });
    }
    Ok(())
}

fn check_classes(score: &CandidateScore, classes: &[String]) -> Result<(), Rejection> {
    if score.classes.len() != classes.len() {
        return Err(Rejection::WrongClasses { expected: classes.len() as u64 });
    }
    if classes.is_empty() {
        return Ok(());
    }
    for (class, of_class) in classes.iter().zip(&score.classes) {
        check_loss(of_class.loss_micro)?;
        if of_class.num_examples == 0 && of_class.loss_micro != 0 {
            return Err(Rejection::ClassWithoutExamples { class: class.clone() });
        }
    }
    let sum: u128 = score.classes.iter().map(|of_class| u128::from(of_class.num_examples)).sum();
    if sum != u128::from(score.num_examples) {
        return Err(Rejection::ClassExamplesSum { num_examples: score.num_examples });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
