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
//!    a member whose updates hardly vary is not measured with a finer rule than the others. A baseline
//!    that is completed when others have been judged for a while is moved to where it would lie had it
//!    been made with theirs: the median member's shift is taken off it.
//! 3. **Shift**: exponentially weighted means `e ← e + λ(g − b − e)` for λ = 0.3, 0.1 and 0.03
//!    (MEWMA: Lowry, Woodall, Champ and Rigdon, Technometrics 1992), less the median member's, and
//!    in units of what noise alone does to it: `s² = v·(λ/(2−λ)·(1−(1−λ)^2m) + (1−(1−λ)^m)²/N)`,
//!    m rounds after a baseline of N.
//! 4. **Cells** (`cells`): the bond of two members is `⟨eᵢ, eⱼ⟩ / (sᵢ·sⱼ)`; a member's bond is
//!    the mean with its f − 1 closest, less the median over all pairs, in units of their spread
//!    (1.4826 times the median absolute deviation, plus 0.05). It is in a cell when that exceeds
//!    `bond_milli`, the bonds bounded by the smaller shift of the two exceed `shift_milli`
//!    squared, and its own shift exceeds the median member's by `lead_milli`: the last tells the
//!    fewer that moved from the more they moved away from. A member is compared with those whose
//!    baselines stand at least half as long; what is usual among these is told by the steady ones, whose
//!    `v` is at most 24 times the median member's.
//! 5. **Finding**: `rounds_in_a_row` rounds in a cell at any scale.
//!
//! *Notices.* A member that announced a change of its data is excused ([`MemberHistory::excused`]): that
//! it moved together with others is told and is no strike. After as many rounds as a baseline takes in
//! which it did not, its baseline moves to where it is.
//!
//! *On and off.* Who pushes in some rounds and is honest in the others has a mean that moves little; what
//! it sends jumps from round to round, and an honest institution has no reason to jump with others.
//! Where a task has a [`SwingPolicy`](fedledger_ledger::task::SwingPolicy):
//!
//! 6. **Swings** (`swings`): the first differences `g(t) − g(t−1)` of a member's latest deviations, less
//!    those of the median member. Two members' swings have the inner product `c = Σ⟨dᵢ, dⱼ⟩` over
//!    the window, less its greatest term, and the correlation `r = c / √(cᵢᵢ·cⱼⱼ)`;
//!    what they share is `r·min(cᵢᵢ, cⱼⱼ)`. A member's are the means with the f − 1
//!    whose correlation with it is greatest. It swings with them when both that correlation and the
//!    amplitude, the root of what is shared over window − 1, in median deviations, exceed their limits: many that swing widely, or
//!    the same thing many times. After `rounds_in_a_row` rounds it is a finding.
//!    A change of scanner is one step, which the greatest term takes with it, and a constant push none:
//!    neither is seen here. There is no baseline, so that this holds from the first rounds on.
//!
//! Deviations from the literature: Lowry et al. use the full covariance; with a dozen rounds of
//! baseline there is none, so noise is one number a member. Correlating the members' shifts with
//! each other is ours; FoolsGold (Fung, Yoon and Beschastnikh, RAID 2020) correlates whole updates,
//! which punishes honest twins.
//!
//! *Without a baseline.* Who was hostile from the first round has a hostile baseline, and nothing of
//! the above sees it. So a task that has its evaluators measure harm ([`HarmPolicy`]) also keeps
//!
//! 7. **What a member usually sends** (`usual`): the mean of its deviations from the second round on,
//!    exponentially weighted after 20 rounds.
//! 8. **Suspects** ([`Past::suspects`]): the at most f members whose usual deviations pull hardest
//!    together. There are always some: honest hospitals with like patients, or colluders. Evaluators
//!    tell them apart ([`crate::evaluation`]): they score the model with and without the cell.
//! 9. **Harm** ([`Past::weigh`]): for each member of the measured cell, `h ← h + score − allowance`,
//!    for all others `h ← h − allowance/4`, between 0 and twice the limit (a CUSUM: Page, Biometrika
//!    1954; the score is limited, and the others' sums shrink, which are ours). When one member of
//!    the cell is over `limit_milli`, all of it that are over half of that are struck; in quarantine
//!    a member is struck for as long as it is over that half.
//!
//! An evaluator's held-out rows are the same in every round, so rounds are not independent and the
//! sum is no test of significance: what matters is the allowance, which honest cells seldom exceed.
//! Coordination by itself is never struck, and neither is harm of a single member.
//!
//! Where a task asks for it, what the evaluators say also lets members out of quarantine that moved
//! together and stay where they are (`returning`).
//!
//! It takes two to move together: with f < 2 there are no cells, and this module finds nothing.
//! All arithmetic is exact or has pinned rounding; members are in the order of their ids.

mod cells;
mod onset;
mod returning;
mod sketch;
mod suspects;
mod swings;
#[cfg(test)]
mod tests;
mod track;

use std::collections::{BTreeMap, BTreeSet};

use fedledger_ledger::decision::Deviation;
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::task::{HarmPolicy, HistoryPolicy};

use crate::records::HarmRecord;

pub use cells::Finding;
pub use onset::onset;
pub use returning::{ReturnHarm, RETURN_MEAN, RETURN_ROUNDS_MIN};
pub(crate) use sketch::median_i64;
pub use sketch::{observe, Row, UNIT};
pub use swings::SwingFinding;
pub use track::{MemberHistory, SCALES, USUAL};

/// What is known about the members before a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The task's thresholds.
    pub policy: HistoryPolicy,
    /// When the harm of a suspected cell counts, where it is measured.
    pub harm: Option<HarmPolicy>,
    /// Fixes the projection.
    pub seed: Digest,
    /// The members that were ever observed.
    pub members: BTreeMap<MemberId, MemberHistory>,
}

impl Past {
    /// Before the first round.
    pub fn new(policy: HistoryPolicy, seed: Digest) -> Self {
        Self { policy, harm: None, seed, members: BTreeMap::new() }
    }

    /// The same where the harm of suspected cells is measured.
    #[must_use]
    pub fn with_harm(self, harm: Option<HarmPolicy>) -> Self {
        Self { harm, ..self }
    }

    /// The members whose harm the evaluators are to measure, by id: at most `most` of `standing`, at
    /// least two; nothing when the task has no harm measured or no two members are bound.
    pub fn suspects(&self, standing: &BTreeSet<MemberId>, most: usize) -> Option<Vec<MemberId>> {
        suspects::cell(self, self.harm.as_ref()?, standing, most)
    }

    /// The members that announced a change of their data and have no new baseline yet.
    pub fn excused(&self) -> BTreeSet<MemberId> {
        let excused = self.members.iter().filter(|(_, history)| history.excused.is_some());
        excused.map(|(id, _)| id.clone()).collect()
    }

    /// Whether the harm of each member of a cell has added up to half of the limit.
    pub fn is_half_way(&self, cell: &[MemberId]) -> bool {
        let Some(policy) = self.harm else { return false };
        let sum = |id: &MemberId| self.members.get(id).and_then(|history| history.harm_milli);
        cell.iter().all(|id| sum(id).unwrap_or(0) >= policy.limit_milli / 2)
    }

    /// Lets the harm that was measured in a round count, once the round was added by
    /// [`Past::advance`], and says whom it strikes, by member id. Nothing was measured when `harm` is
    /// none. `quarantined` are the members in quarantine.
    pub fn weigh(
        &mut self,
        harm: Option<&HarmRecord>,
        quarantined: &BTreeSet<MemberId>,
    ) -> Vec<HarmFinding> {
        let Some(policy) = self.harm else { return Vec::new() };
        let in_cell = |id: &MemberId| harm.is_some_and(|harm| harm.cell.binary_search(id).is_ok());
        let allowance = i64::from(policy.allowance_milli);
        let mut sums = Vec::new();
        for (id, history) in &mut self.members {
            let step = match harm {
                Some(harm) if in_cell(id) => harm.score_milli - allowance,
                _ => -(allowance / 4),
            };
            sums.push((id, history.add_harm(step, policy.limit_milli.saturating_mul(2))));
        }
        let over = |id: &MemberId, sum: u32| in_cell(id) && sum >= policy.limit_milli;
        let telling = sums.iter().any(|&(id, sum)| over(id, sum));
        let half = policy.limit_milli / 2;
        let struck = |id: &MemberId| telling && in_cell(id) || quarantined.contains(id);
        let struck = sums.into_iter().filter(|&(id, sum)| sum >= half && struck(id));
        struck
            .map(|(id, sum)| HarmFinding { member: id.clone(), sum_milli: u64::from(sum) })
            .collect()
    }

    /// Adds a round and says who is in a cell and who swings with others by now, by member id.
    ///
    /// `quarantined` are those whose updates do not enter; they are compared with the others but
    /// the others' centre and noise do not depend on them. `f` is the task's.
    pub fn advance(
        &mut self,
        deviations: &[Deviation],
        quarantined: &BTreeSet<MemberId>,
        f: usize,
    ) -> Findings {
        for deviation in deviations {
            let history = self.members.entry(deviation.member.clone()).or_default();
            let values = sketch::values(&deviation.sketch);
            if self.harm.is_some() {
                history.grow_usual(&values);
            }
            history.observe(&self.policy, &values);
        }
        self.align(deviations, quarantined);
        let present = |id: &MemberId| of(deviations, id).is_some();
        let standing: BTreeSet<MemberId> = self
            .members
            .keys()
            .filter(|id| present(id) && !quarantined.contains(*id))
            .cloned()
            .collect();
        let found = cells::search(self, &standing, f);
        let mut moved = Vec::new();
        let excused = !self.excused().is_empty();
        let centre = excused.then(|| self.centre(quarantined, 0)).flatten();
        for (id, history) in self.members.iter_mut().filter(|(id, _)| present(id)) {
            let finding = found.get(id);
            history.in_cell = finding.map_or(0, |_| history.in_cell.saturating_add(1));
            let finding = finding.filter(|_| history.in_cell >= self.policy.rounds_in_a_row);
            moved.extend(finding.map(|found| Finding { rounds: history.in_cell, ..found.clone() }));
            history.count_excuse(&self.policy, finding.is_some(), centre.as_deref());
        }
        Findings { moved, swung: self.swung(deviations, &standing, f) }
    }

    /// Lets baselines that were completed with this round stand beside those of members that are judged
    /// already. The median member may be far from its own by now, because the model has moved on or
    /// others have changed; a new baseline lies where it would, had it been made when theirs was.
    fn align(&mut self, deviations: &[Deviation], quarantined: &BTreeSet<MemberId>) {
        let complete = |(id, history): &(&MemberId, &MemberHistory)| {
            history.rounds_judged(&self.policy) == Some(0) && of(deviations, id).is_some()
        };
        let new: Vec<MemberId> =
            self.members.iter().filter(complete).map(|(id, _)| id.clone()).collect();
        if new.is_empty() {
            return;
        }
        let Some(centre) = self.centre(quarantined, 1) else { return };
        for id in &new {
            self.members.get_mut(id).expect("who is new has a history").rebase(&centre);
        }
    }

    /// The coordinate-wise median shift, at each of [`SCALES`], of the members not in `quarantined` that
    /// have been judged for `rounds` rounds or more; nothing when those are fewer than are ever judged.
    fn centre(&self, quarantined: &BTreeSet<MemberId>, rounds: u32) -> Option<Vec<Vec<i32>>> {
        let judged = |history: &MemberHistory| {
            history.rounds_judged(&self.policy).is_some_and(|judged| judged >= rounds)
        };
        let standing = self.members.iter().filter(|(id, _)| !quarantined.contains(*id));
        let standing: Vec<&MemberHistory> =
            standing.map(|(_, history)| history).filter(|history| judged(history)).collect();
        if standing.len() < cells::STANDING_MIN {
            return None;
        }
        let median = |scale: usize, column: usize| {
            let values = standing.iter().map(|history| i64::from(history.shifts[scale][column]));
            i32::try_from(median_i64(values.collect())).expect("a median lies between the values")
        };
        let width = standing[0].baseline.len();
        let row = |scale| (0..width).map(|column| median(scale, column)).collect();
        Some((0..SCALES.len()).map(row).collect())
    }

    /// Adds a round's deviations to the latest, and says who swung with others for long enough.
    fn swung(
        &mut self,
        deviations: &[Deviation],
        standing: &BTreeSet<MemberId>,
        f: usize,
    ) -> Vec<SwingFinding> {
        let Some(policy) = self.policy.swings else { return Vec::new() };
        for (id, history) in &mut self.members {
            let sketch = of(deviations, id).map(|own| own.sketch.as_slice());
            history.keep_latest(policy.window_rounds, sketch);
        }
        let mut found = swings::search(self, &policy, standing, f);
        let mut findings = Vec::new();
        let present = |(id, _): &(&MemberId, &mut MemberHistory)| of(deviations, id).is_some();
        for (id, history) in self.members.iter_mut().filter(present) {
            let rounds = found.get(id).map(|_| history.swinging.unwrap_or(0).saturating_add(1));
            history.swinging = rounds;
            if let Some(rounds) = rounds.filter(|&rounds| rounds >= policy.rounds_in_a_row) {
                let finding = found.remove(id).expect("only who was found has rounds");
                findings.push(SwingFinding { rounds, ..finding });
            }
        }
        findings
    }
}

/// The deviation of a member, of deviations by member id; nothing when it was not observed.
fn of<'a>(deviations: &'a [Deviation], id: &MemberId) -> Option<&'a Deviation> {
    let at = deviations.binary_search_by(|one| one.member.cmp(id)).ok()?;
    Some(&deviations[at])
}

/// What a round adds up to, each by member id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Who left its baseline together with others.
    pub moved: Vec<Finding>,
    /// Who changed from round to round together with others.
    pub swung: Vec<SwingFinding>,
}

/// A member that did harm together with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HarmFinding {
    /// Who.
    pub member: MemberId,
    /// What the harm has added up to, in thousandths of the spread among evaluators.
    pub sum_milli: u64,
}

/// Bytes of a member's deviation in a decision: two for each number kept.
pub fn sketch_bytes(policy: &HistoryPolicy, parameters: usize) -> usize {
    2 * sketch::width(policy, parameters)
}
