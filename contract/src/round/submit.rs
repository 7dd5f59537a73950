//! Commitments, reveals, evaluations and notices: what members send in.

use fedledger_ledger::commitment::UpdateOpening;
use fedledger_ledger::entry::{EntryBody, Phase, Rejection, TrustCause};
use fedledger_ledger::ids::{Digest, RoundNumber, TaskId};
use fedledger_ledger::limits::{NUM_EXAMPLES_MAX, TEXT_BYTES_MAX};
use fedledger_ledger::state::StateRead;
use fedledger_ledger::transaction::{Action, CandidateScore, Transaction, TransactionBody};

use super::check_scores;
use crate::context::Context;
use crate::records::{CommitmentRecord, EvaluationRecord, RoundRecord};
use crate::state::StateView;
use crate::state_key;
use crate::task_check::update_bytes;
use crate::trust;

/// Carries out a commitment, a reveal, an evaluation or a notice of an active member.
pub(crate) fn apply_submission(
    context: &mut Context<'_>,
    transaction: &Transaction,
) -> Result<(), Rejection> {
    match &transaction.body.action {
        Action::CommitUpdate { task, round, .. } => {
            let open = open_round(context, task, *round)?;
            commit(context, transaction, task, open)
        }
        Action::RevealUpdate { task, round, .. } => {
            let open = open_round(context, task, *round)?;
            reveal(context, &transaction.body, task, open)
        }
        Action::SubmitEvaluation { task, round, scores } => {
            let open = open_round(context, task, *round)?;
            evaluate(context, transaction, task, open, scores)
        }
        Action::AnnounceDataChange { task, round, reason } => {
            if reason.len() > TEXT_BYTES_MAX {
                return Err(Rejection::TextTooLong { max: TEXT_BYTES_MAX as u64 });
            }
            super::notice::announce(context, &transaction.body.member, task, *round)
        }
        Action::ProposeChange { .. } | Action::Approve { .. } => {
            unreachable!("governance is carried out elsewhere")
        }
    }
}

pub(super) fn open_round(
    context: &Context<'_>,
    task: &TaskId,
    round: RoundNumber,
) -> Result<RoundRecord, Rejection> {
    if context.state.task_progress(task).is_none() {
        return Err(Rejection::UnknownTask);
    }
    let open = context.state.round(task).ok_or(Rejection::TaskNotRunning)?;
    if open.round != round {
        return Err(Rejection::WrongRound { expected: open.round });
    }
    Ok(open)
}

pub(super) fn in_phase(open: &RoundRecord, phase: Phase) -> Result<(), Rejection> {
    if open.phase == phase {
        return Ok(());
    }
    Err(Rejection::WrongPhase { phase: open.phase })
}

fn commit(
    context: &mut Context<'_>,
    transaction: &Transaction,
    task: &TaskId,
    mut open: RoundRecord,
) -> Result<(), Rejection> {
    let Action::CommitUpdate { base_model, commitment, num_examples, byte_length, .. } =
        &transaction.body.action
    else {
        unreachable!("only commitments are carried out here")
    };
    let member = &transaction.body.member;
    // A contradiction is one in any phase: the two signatures stand whenever they arrive.
    if let Some(earlier) = context.state.commitment(task, member) {
        return Err(if earlier.commitment == *commitment {
            Rejection::AlreadyCommitted
        } else {
            Rejection::Equivocation { committed: earlier.commitment }
        });
    }
    in_phase(&open, Phase::Commit)?;
    if *base_model != open.base_model {
        return Err(Rejection::WrongBaseModel { expected: open.base_model });
    }
    let spec = context.state.task_spec_shared(task).expect("a running task has a specification");
    let expected = update_bytes(&spec);
    if *byte_length != expected {
        return Err(Rejection::WrongLength { expected });
    }
    check_num_examples(*num_examples)?;
    let log_index = context.next_log_index();
    let record = CommitmentRecord {
        round: open.round,
        commitment: *commitment,
        transaction: transaction.digest(),
        log_index,
        num_examples: *num_examples,
        byte_length: *byte_length,
        update: None,
        contradiction: None,
    };
    context.state.put(&state_key::commitment(task, member), &record);
    let k = context.state.count_up(&state_key::update_count(member));
    context.state.put(&state_key::update_at(member, k), &log_index);
    open.commitments += 1;
    context.state.put(&state_key::round(task), &open);
    Ok(())
}

pub(super) fn check_num_examples(num_examples: u64) -> Result<(), Rejection> {
    if (1..=NUM_EXAMPLES_MAX).contains(&num_examples) {
        return Ok(());
    }
    Err(Rejection::NumExamplesOutOfRange { max: NUM_EXAMPLES_MAX })
}

fn reveal(
    context: &mut Context<'_>,
    body: &TransactionBody,
    task: &TaskId,
    mut open: RoundRecord,
) -> Result<(), Rejection> {
    in_phase(&open, Phase::Reveal)?;
    let record = context.state.commitment(task, &body.member).ok_or(Rejection::NotCommitted)?;
    if record.update.is_some() {
        return Err(Rejection::AlreadyRevealed);
    }
    let opening = opening_of(body).expect("only reveals are carried out here");
    if opening.commitment() != record.commitment {
        return Err(Rejection::WrongOpening { committed: record.commitment });
    }
    let record = CommitmentRecord { update: Some(opening.update), ..record };
    context.state.put(&state_key::commitment(task, &body.member), &record);
    open.reveals += 1;
    context.state.put(&state_key::round(task), &open);
    Ok(())
}

/// What a reveal says that its member has committed to; nothing for other transactions.
fn opening_of(body: &TransactionBody) -> Option<UpdateOpening> {
    let Action::RevealUpdate { task, round, update, salt } = &body.action else { return None };
    Some(UpdateOpening {
        chain_id: body.chain_id.clone(),
        task: task.clone(),
        round: *round,
        member: body.member.clone(),
        update: *update,
        salt: *salt,
    })
}

/// The update that a transaction would reveal as part of the next block: its digest, when it opens
/// its member's commitment in the open round and the reveal phase is on or can begin with that
/// block. Such a transaction may stand in a block only where the blob is at hand; any other reveal
/// would be refused and needs none.
pub fn update_revealed(state: &dyn StateRead, transaction: &Transaction) -> Option<Digest> {
    let opening = opening_of(&transaction.body)?;
    let view = StateView::new(state);
    let open = view.round(&opening.task)?;
    if open.round != opening.round || !matches!(open.phase, Phase::Commit | Phase::Reveal) {
        return None;
    }
    let record = view.commitment(&opening.task, &opening.member)?;
    let opens = record.update.is_none() && record.commitment == opening.commitment();
    opens.then_some(opening.update)
}

fn evaluate(
    context: &mut Context<'_>,
    transaction: &Transaction,
    task: &TaskId,
    mut open: RoundRecord,
    scores: &[CandidateScore],
) -> Result<(), Rejection> {
    in_phase(&open, Phase::Evaluate)?;
    let member = &transaction.body.member;
    if context.state.evaluation(task, member).is_some() {
        return Err(Rejection::AlreadyEvaluated);
    }
    let spec = context.state.task_spec_shared(task).expect("a running task has a specification");
    check_scores(&open.candidates, spec.classes(), scores)?;
    let record = EvaluationRecord::of(open.round, scores, transaction.digest());
    context.state.put(&state_key::evaluation(task, member), &record);
    open.evaluations += 1;
    context.state.put(&state_key::round(task), &open);
    Ok(())
}

/// Records the proof that a refused commitment contradicts an earlier one, and lets trust fall for
/// it: once in a round, however often the member contradicts itself.
pub(crate) fn record_equivocation(context: &mut Context<'_>, transaction: &Transaction) {
    let Action::CommitUpdate { task, round, .. } = &transaction.body.action else {
        unreachable!("only a commitment is refused as equivocation")
    };
    let member = &transaction.body.member;
    let record = context.state.commitment(task, member);
    let record = record.expect("a contradiction contradicts a commitment");
    if record.contradiction.is_some() {
        return;
    }
    let second = transaction.digest();
    context.record(EntryBody::EquivocationProved {
        task: task.clone(),
        round: *round,
        member: member.clone(),
        first: record.transaction,
        second,
    });
    let record = CommitmentRecord { contradiction: Some(second), ..record };
    context.state.put(&state_key::commitment(task, member), &record);
    let spec = context.state.task_spec_shared(task).expect("a running task has a specification");
    if spec.trust.is_some() {
        let before = context.state.trust(task, member);
        let after = trust::after_equivocation(before);
        super::finish::write_trust(
            context,
            (task, *round),
            member,
            (before, after),
            TrustCause::Equivocation,
        );
    }
}

#[cfg(test)]
mod tests;
