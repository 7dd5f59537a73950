//! Which rounds wait for this member's scores of their candidates, and signing them.

use fedledger_contract::records::{RoundRecord, TaskStatus};
use fedledger_contract::round::check_scores;
use fedledger_contract::state::StateView;
use fedledger_ledger::decision::Candidate;
use fedledger_ledger::entry::{Phase, Rejection};
use fedledger_ledger::ids::{Digest, RoundNumber, TaskId, TimeMs};
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
    /// The classes for which the task asks for a loss too.
    pub(super) classes: Vec<String>,
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
            let classes = view.task_spec(&task)?.classes().to_vec();
            Some(Due { task, round, deadline, candidates, classes })
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
        let on_ledger = view
            .evaluation(task, &signing.id)
            .map(|record| (record.transaction, record.scores(&open.candidates)));
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
            let spec = view.task_spec(&task).expect("a running task has a specification");
            check(&open, spec.classes(), &scores)
                .map_err(|rejection| SubmitError::Refused { rejection })?;
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
fn check(
    open: &RoundRecord,
    classes: &[String],
    scores: &[CandidateScore],
) -> Result<(), Rejection> {
    if open.phase != Phase::Evaluate {
        return Err(Rejection::WrongPhase { phase: open.phase });
    }
    check_scores(&open.candidates, classes, scores)
}
