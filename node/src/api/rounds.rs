//! Rounds as the log tells them.
//!
//! The state holds the open round only; what happened in earlier ones is in the log. The index
//! remembers for each round which entries are about it, and reads on from where it stopped.

use std::collections::BTreeMap;

use fedledger_ledger::entry::{Entry, EntryBody, Phase, Receipt};
use fedledger_ledger::ids::{RoundNumber, TaskId};
use fedledger_ledger::store::{LedgerStore, StoreError};
use fedledger_ledger::transaction::Action;

use super::types::{phase_word, EvaluationView, ReplayView, RoundView, UpdateView};

/// Which entries are about which round.
#[derive(Debug, Default)]
pub struct RoundIndex {
    size: u64,
    rounds: BTreeMap<(TaskId, RoundNumber), Vec<u64>>,
}

impl RoundIndex {
    /// Reads the entries that came since the last call.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn catch_up(&mut self, store: &LedgerStore) -> Result<(), StoreError> {
        let end = store.tip()?.log_size;
        while self.size < end {
            self.note(self.size, &decode(&store.entry(self.size)?));
            self.size += 1;
        }
        Ok(())
    }

    fn note(&mut self, index: u64, entry: &Entry) {
        if let Some((task, round)) = subject(&entry.body) {
            self.rounds.entry((task.clone(), round)).or_default().push(index);
        }
    }

    /// The rounds of a task that have begun, from `from` on, at most `limit`.
    pub fn rounds_of(&self, task: &TaskId, from: RoundNumber, limit: usize) -> Vec<RoundNumber> {
        let begin = (task.clone(), from);
        let of_task = self.rounds.range(begin..).take_while(|((id, _), _)| id == task);
        of_task.map(|((_, round), _)| *round).take(limit).collect()
    }

    /// One round, or nothing when it has not begun.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn view(
        &self,
        store: &LedgerStore,
        task: &TaskId,
        round: RoundNumber,
    ) -> Result<Option<RoundView>, StoreError> {
        let Some(indices) = self.rounds.get(&(task.clone(), round)) else { return Ok(None) };
        let entries = indices
            .iter()
            .map(|&index| store.entry(index).map(|bytes| decode(&bytes)))
            .collect::<Result<Vec<Entry>, StoreError>>()?;
        Ok(tell(&entries))
    }
}

/// An entry from the store, which checked it when it was written.
fn decode(bytes: &[u8]) -> Entry {
    Entry::from_bytes(bytes).expect("the store holds entries that the contract made")
}

/// The round that an entry is about. Transactions that were refused changed nothing in any round.
fn subject(body: &EntryBody) -> Option<(&TaskId, RoundNumber)> {
    match body {
        EntryBody::Transaction { transaction, receipt: Receipt::Accepted } => {
            match &transaction.body.action {
                Action::CommitUpdate { task, round, .. }
                | Action::RevealUpdate { task, round, .. }
                | Action::SubmitEvaluation { task, round, .. }
                | Action::AnnounceDataChange { task, round, .. } => Some((task, *round)),
                _ => None,
            }
        }
        EntryBody::RoundOpened { task, round, .. }
        | EntryBody::RoundAdvanced { task, round, .. }
        | EntryBody::CandidatesListed { task, round, .. }
        | EntryBody::UpdateVerdict { task, round, .. }
        | EntryBody::RoundOutcome { task, round, .. }
        | EntryBody::RoundReplayed { task, round, .. } => Some((task, *round)),
        _ => None,
    }
}

/// A round from its entries in order, or nothing when none of them opens it.
pub fn tell(entries: &[Entry]) -> Option<RoundView> {
    let mut told: Option<RoundView> = None;
    for entry in entries {
        if let EntryBody::RoundOpened { task, round, base_model, commit_deadline } = &entry.body {
            told = Some(RoundView {
                task: task.clone(),
                round: *round,
                phase: "commit".into(),
                base_model: *base_model,
                deadline: Some(*commit_deadline),
                updates: Vec::new(),
                candidates: Vec::new(),
                evaluations: Vec::new(),
                result: None,
                replay: None,
            });
        } else if let Some(view) = &mut told {
            tell_more(view, &entry.body);
        }
    }
    if let Some(view) = &mut told {
        view.updates.sort_by(|a, b| a.member.cmp(&b.member));
        view.evaluations.sort_by(|a, b| a.member.cmp(&b.member));
    }
    told
}

fn tell_more(view: &mut RoundView, body: &EntryBody) {
    match body {
        EntryBody::Transaction { transaction, receipt: Receipt::Accepted } => {
            let member = &transaction.body.member;
            match &transaction.body.action {
                Action::CommitUpdate { commitment, num_examples, .. } => {
                    view.updates.push(UpdateView {
                        member: member.clone(),
                        commitment: *commitment,
                        update: None,
                        num_examples: *num_examples,
                        revealed: false,
                        verdict: None,
                    });
                }
                Action::RevealUpdate { update, .. } => {
                    let own = view.updates.iter_mut().find(|line| line.member == *member);
                    own.into_iter().for_each(|line| {
                        (line.update, line.revealed) = (Some(*update), true);
                    });
                }
                Action::SubmitEvaluation { scores, .. } => {
                    let (member, scores) = (member.clone(), scores.clone());
                    view.evaluations.push(EvaluationView { member, scores });
                }
                _ => {}
            }
        }
        EntryBody::RoundAdvanced { phase, deadline, .. } => {
            view.phase = phase_word(*phase).into();
            view.deadline = Some(*deadline);
        }
        EntryBody::RoundReplayed { of, without, .. } => {
            view.phase = phase_word(Phase::Decide).into();
            view.deadline = None;
            let (of, without) = (*of, without.clone());
            view.replay = Some(ReplayView { of, without, verdicts: Vec::new() });
        }
        EntryBody::CandidatesListed { candidates, .. } => view.candidates.clone_from(candidates),
        EntryBody::UpdateVerdict { verdict, .. } => {
            let line = view.updates.iter_mut().find(|line| line.member == verdict.member);
            match (line, &mut view.replay) {
                (Some(line), _) => line.verdict = Some(verdict.clone()),
                (None, Some(replay)) => replay.verdicts.push(verdict.clone()),
                (None, None) => {}
            }
        }
        EntryBody::RoundOutcome { result, .. } => {
            view.phase = "ended".into();
            view.deadline = None;
            view.result = Some(result.clone());
        }
        _ => {}
    }
}
