//! What many rounds show and one cannot: members that left what they used to send, together.
//!
//! Rules of aggregation judge one round at a time, and a patient attacker stays inside one round's
//! noise. The ledger keeps every member's past, so this module asks other questions: has a member
//! left *its own* baseline, and did others leave theirs in the same direction? An honest
//! institution with odd patients has an odd baseline and stays there; one that changes its scanner
//! leaves it alone; colluders leave theirs together.
//!
//! 1. **Deviation** ([`observe`], needs the updates): each update is projected to
//!    `p = min(d, sketch_width)` numbers, the coordinate-wise median over the members not in
//!    quarantine is taken off, and the rest `g` is given in units of the median deviation, in
//!    4096ths, its length limited to four. This is what the decision carries: 2p bytes a member.
//! 2. **Baseline**: after `settle_rounds` observed rounds, the mean `b` of a member's next
//!    `baseline_rounds` deviations, and their variance `v`, at least the median member's, so that
//!    a member whose updates hardly vary is not measured with a finer rule than the others.
//! 3. **Shift**: exponentially weighted means `e ← e + λ(g − b − e)` for λ = 0.3, 0.1 and 0.03
//!    (MEWMA: Lowry, Woodall, Champ and Rigdon, Technometrics 1992), less the median member's, and
//!    in units of what noise alone does to it: `s² = v·(λ/(2−λ)·(1−(1−λ)^2m) + (1−(1−λ)^m)²/N)`,
//!    m rounds after a baseline of N.
//! 4. **Cells** (`cells`): the bond of two members is `⟨eᵢ, eⱼ⟩ / (sᵢ·sⱼ)`; a member's bond is
//!    the mean with its f − 1 closest, less the median over all pairs, in units of their spread
//!    (1.4826 times the median absolute deviation, plus 0.05). It is in a cell when that exceeds
//!    `bond_milli`, the bonds bounded by the smaller shift of the two exceed `shift_milli`
//!    squared, and its own shift exceeds the median member's by `lead_milli`: the last tells the
//!    fewer that moved from the more they moved away from.
//! 5. **Finding**: `rounds_in_a_row` rounds in a cell at any scale.
//!
//! Deviations from the literature: Lowry et al. use the full covariance; with a dozen rounds of
//! baseline there is none, so noise is one number a member. Correlating the members' shifts with
//! each other is ours; FoolsGold (Fung, Yoon and Beschastnikh, RAID 2020) correlates whole updates,
//! which punishes honest twins.
//!
//! It takes two to move together: with f < 2 there are no cells, and this module finds nothing.
//! All arithmetic is exact or has pinned rounding; members are in the order of their ids.

mod cells;
mod onset;
mod sketch;
#[cfg(test)]
mod tests;
mod track;

use std::collections::{BTreeMap, BTreeSet};

use fedledger_ledger::decision::Deviation;
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::task::HistoryPolicy;

pub use cells::Finding;
pub use onset::onset;
pub use sketch::{observe, Row, UNIT};
pub use track::{MemberHistory, SCALES};

/// What is known about the members before a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The task's thresholds.
    pub policy: HistoryPolicy,
    /// Fixes the projection.
    pub seed: Digest,
    /// The members that were ever observed.
    pub members: BTreeMap<MemberId, MemberHistory>,
}

impl Past {
    /// Before the first round.
    pub fn new(policy: HistoryPolicy, seed: Digest) -> Self {
        Self { policy, seed, members: BTreeMap::new() }
    }

    /// Adds a round and says who is in a cell by now, by member id.
    ///
    /// `quarantined` are those whose updates do not enter; they are compared with the others but
    /// the others' centre and noise do not depend on them. `f` is the task's.
    pub fn advance(
        &mut self,
        deviations: &[Deviation],
        quarantined: &BTreeSet<MemberId>,
        f: usize,
    ) -> Vec<Finding> {
        for deviation in deviations {
            let history = self.members.entry(deviation.member.clone()).or_default();
            history.observe(&self.policy, &sketch::values(&deviation.sketch));
        }
        let present = |id: &MemberId| deviations.binary_search_by(|one| one.member.cmp(id)).is_ok();
        let standing: BTreeSet<MemberId> = self
            .members
            .keys()
            .filter(|id| present(id) && !quarantined.contains(*id))
            .cloned()
            .collect();
        let found = cells::search(self, &standing, f);
        let mut findings = Vec::new();
        for (id, history) in self.members.iter_mut().filter(|(id, _)| present(id)) {
            let Some(finding) = found.get(id) else {
                history.in_cell = 0;
                continue;
            };
            history.in_cell = history.in_cell.saturating_add(1);
            if history.in_cell >= self.policy.rounds_in_a_row {
                findings.push(Finding { rounds: history.in_cell, ..finding.clone() });
            }
        }
        findings
    }
}

/// Bytes of a member's deviation in a decision: two for each number kept.
pub fn sketch_bytes(policy: &HistoryPolicy, parameters: usize) -> usize {
    2 * sketch::width(policy, parameters)
}
