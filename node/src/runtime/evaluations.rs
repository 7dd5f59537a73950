//! Which rounds wait for this member's scores of their candidates, and signing them.

use fedledger_contract::records::{RoundRecord, TaskStatus};
use fedledger_contract::state::StateView;
use fedledger_ledger::decision::Candidate;
use fedledger_ledger::entry::{Phase, Rejection};
use fedledger_ledger::ids::{Digest, RoundNumber, TaskId, TimeMs};
use fedledger_ledger::limits::{LOSS_MICRO_MAX, NUM_EXAMPLES_MAX};
use fedledger_ledger::transaction::{Action, CandidateScore};

use super::{Node, Signing};
use crate::api::types::SubmitError;

/// A round that waits for this member's scores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) task: TaskId,
    pub(super) round: RoundNumber,
    pub(super) deadline: TimeMs,
    pub(super) candidates: Vec<Candidate>,
}

impl Node {
    /// The rounds that wait for this member's scores, by task. A member in quarantine is waited for
    /// too, although its scores do not count.
    pub(super) fn evaluations_due(&self) -> Vec<Due> {
        let Some(signing) = &self.member else { return Vec::new() };
        let view = StateView::new(self.store());
        if !view.member(&signing.id).is_some_and(|member| member.is_active()) {
            return Vec::new();
        }
        let due = |task: TaskId| {
            let open = view.round(&task).filter(|open| open.phase == Phase::Evaluate)?;
            if self.own_evaluation(signing, &view, &task, &open).is_some() {
                return None;
            }
            let RoundRecord { round, deadline, candidates, .. } = open;
            Some(Due { task, round, deadline, candidates })
        };
        view.tasks_running().into_iter().filter_map(due).collect()
    }

    /// This member's scores of the open round, with their transaction: on the ledger, or signed and
    /// waiting.
    fn own_evaluation(
        &self,
        signing: &Signing,
        view: &StateView<'_>,
        task: &TaskId,
        open: &RoundRecord,
    ) -> Option<(Digest, Vec<CandidateScore>)> {
        let on_ledger = view.evaluation(task, &signing.id).map(|record| {
            let told = record.losses_micro.iter().zip(&record.num_examples);
            let scores = open.candidates.iter().zip(told).map(
                |(candidate, (&loss_micro, &num_examples))| CandidateScore {
                    candidate: candidate.model,
                    loss_micro,
                    num_examples,
                },
            );
            (record.transaction, scores.collect())
        });
        on_ledger.or_else(|| {
            self.chain.waiting().iter().find_map(|transaction| match &transaction.body.action {
                Action::SubmitEvaluation { task: its, round, scores }
                    if transaction.body.member == signing.id
                        && its == task
                        && *round == open.round =>
                {
                    Some((transaction.digest(), scores.clone()))
                }
                _ => None,
            })
        })
    }

    /// Signs this member's scores of a round's candidates. The very same scores again give the same
    /// answer and sign nothing.
    ///
    /// # Errors
    /// When the ledger would refuse them as it stands, or the node cannot sign.
    pub async fn submit_evaluation(
        &self,
        task: TaskId,
        round: RoundNumber,
        scores: Vec<CandidateScore>,
    ) -> Result<Digest, SubmitError> {
        let signing = self.signing()?;
        // From here to the end nobody else can score for this member.
        let outbox = signing.outbox.lock().await;
        {
            let view = StateView::new(self.store());
            let open = open_round(&view, &task, round)?;
            if let Some((transaction, made)) = self.own_evaluation(signing, &view, &task, &open) {
                if made == scores {
                    return Ok(transaction);
                }
                return Err(SubmitError::Refused { rejection: Rejection::AlreadyEvaluated });
            }
            check(&open, &scores).map_err(|rejection| SubmitError::Refused { rejection })?;
        }
        let action = Action::SubmitEvaluation { task, round, scores };
        self.sign_and_send(signing, &outbox, action).await
    }
}

fn open_round(
    view: &StateView<'_>,
    task: &TaskId,
    round: RoundNumber,
) -> Result<RoundRecord, SubmitError> {
    let named = || task.clone();
    let progress = view.task_progress(task);
    let progress = progress.ok_or_else(|| SubmitError::UnknownTask { task: named() })?;
    let running = view.round(task).filter(|_| progress.status == TaskStatus::Running);
    let open = running.ok_or_else(|| SubmitError::TaskNotRunning { task: named() })?;
    if open.round != round {
        return Err(SubmitError::WrongRound { task: named(), found: round, expected: open.round });
    }
    Ok(open)
}

/// What the contract would say of the scores, said before anything is signed.
fn check(open: &RoundRecord, scores: &[CandidateScore]) -> Result<(), Rejection> {
    if open.phase != Phase::Evaluate {
        return Err(Rejection::WrongPhase { phase: open.phase });
    }
    let listed = open.candidates.iter().map(|candidate| candidate.model);
    if !scores.iter().map(|score| score.candidate).eq(listed) {
        return Err(Rejection::WrongCandidates);
    }
    for score in scores {
        if score.num_examples == 0 || score.num_examples > NUM_EXAMPLES_MAX {
            return Err(Rejection::NumExamplesOutOfRange { max: NUM_EXAMPLES_MAX });
        }
        if score.loss_micro > LOSS_MICRO_MAX {
            return Err(Rejection::LossOutOfRange { max: LOSS_MICRO_MAX });
        }
    }
    Ok(())
}
