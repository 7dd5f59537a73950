//! The same task on nodes and in process, round by round, bit by bit.

use fedledger_contract::evaluation::Evaluation;
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::transaction::ClassLoss;
use fedledger_sim::federation::{Federation, RoundReport};
use fedledger_sim::lab::rounds::Rounds;
use fedledger_sim::lab::RunError;
use thiserror::Error;

use super::NetworkRun;

/// What the nodes recorded differently from the run in process. The first difference is told, and
/// causes before effects: updates, then evaluations, verdicts, trust, and the model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Difference {
    /// What a member submitted.
    #[error(
        "round {round}, {member}: the update differs: {} on the nodes, {} in process",
        name(*.on_nodes), name(*.in_process)
    )]
    Update {
        /// The round.
        round: u64,
        /// Whose it is.
        member: MemberId,
        /// Its digest on the ledger.
        on_nodes: Option<Digest>,
        /// Its digest in process.
        in_process: Option<Digest>,
    },
    /// What a member found of the candidates.
    #[error(
        "round {round}, {member}: the losses differ: {on_nodes} on the nodes, {in_process} in process"
    )]
    Losses {
        /// The round.
        round: u64,
        /// Whose they are.
        member: MemberId,
        /// Those on the ledger, in millionths; none when they do not count there.
        on_nodes: String,
        /// Those in process.
        in_process: String,
    },
    /// What the evaluators measured of a suspected cell.
    #[error("round {round}: the harm differs: {on_nodes} on the nodes, {in_process} in process")]
    Harm {
        /// The round.
        round: u64,
        /// From the losses on the ledger, as JSON.
        on_nodes: String,
        /// In process, as JSON.
        in_process: String,
    },
    /// What became of a member's update.
    #[error(
        "round {round}, {member}: the verdict differs: {on_nodes} on the nodes, {in_process} in \
         process"
    )]
    Verdict {
        /// The round.
        round: u64,
        /// Whom it is on.
        member: MemberId,
        /// The verdict on the ledger, as JSON.
        on_nodes: String,
        /// The verdict in process, as JSON.
        in_process: String,
    },
    /// A member's trust after the round.
    #[error(
        "round {round}, {member}: trust differs: {on_nodes} on the nodes, {in_process} in process"
    )]
    Trust {
        /// The round.
        round: u64,
        /// Whose it is.
        member: MemberId,
        /// The record on the ledger, as JSON.
        on_nodes: String,
        /// The record in process, as JSON.
        in_process: String,
    },
    /// Whether there is a model, and which.
    #[error("round {round}: the model differs: {on_nodes} on the nodes, {in_process} in process")]
    Model {
        /// The round.
        round: u64,
        /// Digest of the model on the ledger, and why the round led to no new one, if it did not.
        on_nodes: String,
        /// The same in process.
        in_process: String,
    },
}

fn name(update: Option<Digest>) -> String {
    update.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("records are plain data")
}

/// The first difference between what a round led to on the nodes and in process.
///
/// # Errors
/// When there is one.
///
/// # Panics
/// When a round in process has another number of members, which is another consortium.
pub fn compare(on_nodes: &RoundReport, in_process: &RoundReport) -> Result<(), Difference> {
    let round = on_nodes.round;
    let (theirs, ours) = (&on_nodes.verdicts, &in_process.verdicts);
    assert_eq!((theirs.len(), round), (ours.len(), in_process.round), "the same members and round");
    let pairs = || theirs.iter().zip(ours);
    if let Some((there, here)) = pairs().find(|(there, here)| there.update != here.update) {
        let (on_nodes, in_process) = (there.update, here.update);
        let member = there.member.clone();
        return Err(Difference::Update { round, member, on_nodes, in_process });
    }
    compare_evaluations(on_nodes, in_process)?;
    if let Some((there, here)) = pairs().find(|(there, here)| there != here) {
        let (on_nodes, in_process) = (json(there), json(here));
        let member = there.member.clone();
        return Err(Difference::Verdict { round, member, on_nodes, in_process });
    }
    let trust = on_nodes.trust.iter().zip(&in_process.trust).zip(theirs);
    for ((there, here), verdict) in trust {
        if there != here {
            let (on_nodes, in_process) = (json(there), json(here));
            let member = verdict.member.clone();
            return Err(Difference::Trust { round, member, on_nodes, in_process });
        }
    }
    let model = |report: &RoundReport| match report.failure {
        Some(failure) => format!("{} ({})", report.model, json(&failure)),
        None => report.model.to_string(),
    };
    let (on_nodes, in_process) = (model(on_nodes), model(in_process));
    if on_nodes != in_process {
        return Err(Difference::Model { round, on_nodes, in_process });
    }
    Ok(())
}

fn compare_evaluations(there: &RoundReport, here: &RoundReport) -> Result<(), Difference> {
    let round = there.round;
    let of = |report: &RoundReport, member: &MemberId| {
        let own = report.evaluations.iter().find(|one| one.member == *member);
        own.map_or_else(|| "none".to_owned(), told)
    };
    for verdict in &there.verdicts {
        let member = &verdict.member;
        let (on_nodes, in_process) = (of(there, member), of(here, member));
        if on_nodes != in_process {
            let member = member.clone();
            return Err(Difference::Losses { round, member, on_nodes, in_process });
        }
    }
    if there.harm != here.harm {
        let (on_nodes, in_process) = (json(&there.harm), json(&here.harm));
        return Err(Difference::Harm { round, on_nodes, in_process });
    }
    Ok(())
}

/// The losses of an evaluation, and where there are some, those by class with their numbers of rows.
fn told(evaluation: &Evaluation) -> String {
    let mut words = format!("{:?}", evaluation.losses);
    if !evaluation.classes.is_empty() {
        let pair = |one: &ClassLoss| (one.loss_micro, one.num_examples);
        let classes = evaluation.classes.iter().map(|all| all.iter().map(pair).collect());
        words += &format!(", by class {:?}", classes.collect::<Vec<Vec<_>>>());
    }
    words
}

/// A run on nodes beside the same in process: each round is played by both and compared. What it
/// tells of itself is what the nodes did.
pub struct Compared<'a> {
    nodes: &'a mut NetworkRun,
    twin: Federation,
    told: &'a mut dyn FnMut(&RoundReport),
    rounds: u64,
}

impl<'a> Compared<'a> {
    /// Both before their first round. `told` hears of every round that was the same.
    pub fn new(
        nodes: &'a mut NetworkRun,
        twin: Federation,
        told: &'a mut dyn FnMut(&RoundReport),
    ) -> Self {
        Self { nodes, twin, told, rounds: 0 }
    }

    /// How many rounds have been the same.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }
}

impl Rounds for Compared<'_> {
    fn step(&mut self) -> Result<RoundReport, RunError> {
        let on_nodes = self.nodes.step().map_err(|error| RunError::Nodes(error.into()))?;
        compare(&on_nodes, &self.twin.step()?).map_err(|error| RunError::Nodes(error.into()))?;
        self.rounds += 1;
        (self.told)(&on_nodes);
        Ok(on_nodes)
    }

    fn model(&self) -> Vec<f32> {
        self.nodes.model()
    }

    fn model_digest(&self) -> Digest {
        self.nodes.model_digest()
    }

    fn plain_average(&self) -> Vec<f32> {
        self.nodes.plain_average()
    }

    fn is_frozen(&self) -> bool {
        self.nodes.is_frozen()
    }
}

#[cfg(test)]
mod tests;
