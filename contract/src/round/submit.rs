//! Commitments, reveals and evaluations: what members send in.

use fedledger_ledger::entry::{EntryBody, Phase, Rejection, TrustCause};
use fedledger_ledger::ids::{Digest, MemberId, RoundNumber, TaskId};
use fedledger_ledger::limits::{LOSS_MICRO_MAX, NUM_EXAMPLES_MAX};
use fedledger_ledger::transaction::{Action, CandidateScore, Transaction};

use crate::context::Context;
use crate::records::{CommitmentRecord, EvaluationRecord, RoundRecord};
use crate::state_key;
use crate::task_check::update_bytes;
use crate::trust;

/// Carries out a commitment, a reveal or an evaluation of an active member.
pub(crate) fn apply_submission(
    context: &mut Context<'_>,
    transaction: &Transaction,
) -> Result<(), Rejection> {
    let member = &transaction.body.member;
    match &transaction.body.action {
        Action::CommitUpdate { task, round, .. } => {
            let open = open_round(context, task, *round)?;
            commit(context, transaction, task, open)
        }
        Action::RevealUpdate { task, round, update } => {
            let open = open_round(context, task, *round)?;
            reveal(context, member, task, open, update)
        }
        Action::SubmitEvaluation { task, round, scores } => {
            let open = open_round(context, task, *round)?;
            evaluate(context, transaction, task, open, scores)
        }
        Action::ProposeChange { .. } | Action::Approve { .. } => {
            unreachable!("governance is carried out elsewhere")
        }
    }
}

fn open_round(
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

fn in_phase(open: &RoundRecord, phase: Phase) -> Result<(), Rejection> {
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
    let Action::CommitUpdate { base_model, update, num_examples, byte_length, .. } =
        &transaction.body.action
    else {
        unreachable!("only commitments are carried out here")
    };
    let member = &transaction.body.member;
    // A contradiction is one in any phase: the two signatures stand whenever they arrive.
    if let Some(earlier) = context.state.commitment(task, member) {
        return Err(if earlier.update == *update {
            Rejection::AlreadyCommitted
        } else {
            Rejection::Equivocation { committed: earlier.update }
        });
    }
    in_phase(&open, Phase::Commit)?;
    if *base_model != open.base_model {
        return Err(Rejection::WrongBaseModel { expected: open.base_model });
    }
    let spec = context.state.task_spec(task).expect("a running task has a specification");
    let expected = update_bytes(&spec);
    if *byte_length != expected {
        return Err(Rejection::WrongLength { expected });
    }
    check_num_examples(*num_examples)?;
    let log_index = context.next_log_index();
    let record = CommitmentRecord {
        round: open.round,
        update: *update,
        transaction: transaction.digest(),
        log_index,
        num_examples: *num_examples,
        byte_length: *byte_length,
        revealed: false,
        contradiction: None,
    };
    context.state.put(&state_key::commitment(task, member), &record);
    let k = context.state.count_up(&state_key::update_count(member));
    context.state.put(&state_key::update_at(member, k), &log_index);
    open.commitments += 1;
    context.state.put(&state_key::round(task), &open);
    Ok(())
}

fn check_num_examples(num_examples: u64) -> Result<(), Rejection> {
    if (1..=NUM_EXAMPLES_MAX).contains(&num_examples) {
        return Ok(());
    }
    Err(Rejection::NumExamplesOutOfRange { max: NUM_EXAMPLES_MAX })
}

fn reveal(
    context: &mut Context<'_>,
    member: &MemberId,
    task: &TaskId,
    mut open: RoundRecord,
    update: &Digest,
) -> Result<(), Rejection> {
    in_phase(&open, Phase::Reveal)?;
    let committed = context.state.commitment(task, member);
    let Some(record) = committed.filter(|record| record.update == *update) else {
        return Err(Rejection::NotCommitted);
    };
    if record.revealed {
        return Err(Rejection::AlreadyRevealed);
    }
    let record = CommitmentRecord { revealed: true, ..record };
    context.state.put(&state_key::commitment(task, member), &record);
    open.reveals += 1;
    context.state.put(&state_key::round(task), &open);
    Ok(())
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
    let listed = open.candidates.iter().map(|candidate| candidate.model);
    if !scores.iter().map(|score| score.candidate).eq(listed) {
        return Err(Rejection::WrongCandidates);
    }
    for score in scores {
        check_num_examples(score.num_examples)?;
        if score.loss_micro > LOSS_MICRO_MAX {
            return Err(Rejection::LossOutOfRange { max: LOSS_MICRO_MAX });
        }
    }
    let record = EvaluationRecord {
        round: open.round,
        losses_micro: scores.iter().map(|score| score.loss_micro).collect(),
        num_examples: scores.iter().map(|score| score.num_examples).collect(),
        transaction: transaction.digest(),
    };
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
    let spec = context.state.task_spec(task).expect("a running task has a specification");
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
