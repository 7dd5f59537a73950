//! Going back to an earlier model, as the consortium can by vote: in the order in which
//! `fedledger_contract::round` does it, without the vote.

use fedledger_contract::canonical::add_to_model;
use fedledger_contract::judge::{judge, Terms, NORM_ROUNDS};
use fedledger_contract::records::TrustRecord;
use fedledger_contract::round::median_norm;
use fedledger_ledger::entry::Standing;
use ndarray::Array2;

use super::{Federation, FederationError};

/// What a round that led to a model rested on.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub round: u64,
    pub model: Vec<i32>,
    pub start: Option<Vec<i32>>,
    pub norms: Vec<u64>,
    pub trust: Vec<TrustRecord>,
    pub values: Array2<i32>,
    pub num_examples: Vec<u64>,
}

impl Federation {
    /// From now on keeps what rounds rest on, all updates among it, so that they can be undone.
    pub fn keep_rounds(&mut self) {
        self.kept.get_or_insert_with(Vec::new);
    }

    /// Takes the model back to what it was after round `to`, or as far as rounds are kept, and with
    /// `replay` decides the later ones again on the updates of that time. The members `without`, by
    /// index, are in quarantine from now on; the updates of members in quarantine are left out.
    ///
    /// # Errors
    /// When an update cannot be named, which those of past rounds could.
    pub fn roll_back(
        &mut self,
        to: u64,
        without: &[usize],
        replay: bool,
    ) -> Result<(), FederationError> {
        for &member in without {
            self.trust[member].standing = Standing::Quarantine;
        }
        let mut kept = self.kept.take().unwrap_or_default();
        let first = kept.iter().position(|one| one.round > to).unwrap_or(kept.len());
        let undone = kept.split_off(first);
        self.kept = Some(kept);
        let Some(first) = undone.first() else { return Ok(()) };
        self.model.clone_from(&first.model);
        self.start.clone_from(&first.start);
        self.norms.clone_from(&first.norms);
        self.frozen = false;
        if replay {
            undone.iter().try_for_each(|one| self.replay(one))?;
        }
        Ok(())
    }

    fn replay(&mut self, past: &Kept) -> Result<(), FederationError> {
        let left_out = |trust: &TrustRecord| trust.standing == Standing::Quarantine;
        let stays: Vec<bool> = self.trust.iter().map(|trust| !left_out(trust)).collect();
        let now = std::mem::replace(&mut self.trust, past.trust.clone());
        let inputs = self.inputs(past.values.clone(), &past.num_examples);
        self.trust = now;
        let mut inputs = inputs?;
        let mut stay = stays.iter();
        inputs.submissions.retain(|_| *stay.next().expect("one for each member"));
        inputs.quarantined_absent = stays.iter().filter(|stays| !**stays).count();
        inputs.terms = Terms { trust: None, ..inputs.terms };
        inputs.past = None;
        let judgement = judge(&self.task.rule, inputs);
        let Ok(aggregate) = judgement.aggregate else { return Ok(()) };
        let Ok(model) = add_to_model(&self.model, &aggregate) else { return Ok(()) };
        (self.model, self.start) = (model, Some(aggregate));
        self.norms.extend(median_norm(&judgement.verdicts));
        let surplus = self.norms.len().saturating_sub(NORM_ROUNDS);
        self.norms.drain(..surplus);
        Ok(())
    }
}
