//! What the members' past says about a round's updates; see [`crate::history`].

use std::collections::BTreeSet;

use fedledger_ledger::decision::{Deviation, Measure, Reason, UpdateVerdict};
use fedledger_ledger::entry::Standing;
use fedledger_ledger::ids::MemberId;

use super::admission::{Admission, Line, Place};
use crate::evaluation::most_harmed;
use crate::history::{observe, Finding, HarmFinding, Past, Row};
use crate::records::HarmRecord;

/// Observes the round's updates and lets members that moved together feel it. Nothing when the task
/// keeps no history or nothing can be measured.
pub(super) fn remember(
    admission: &Admission,
    verdicts: &mut [UpdateVerdict],
) -> Option<Vec<Deviation>> {
    let mut past = admission.past.clone()?;
    let rows: Vec<Row<'_>> =
        admission.lines.iter().filter_map(|line| row(admission, line)).collect();
    let deviations = observe(&past.policy, &past.seed, &rows)?;
    let in_quarantine: BTreeSet<MemberId> = admission
        .lines
        .iter()
        .filter(|line| is_in_quarantine(line))
        .map(|line| line.submission.member.clone())
        .collect();
    let f = admission.terms.byzantine;
    let findings = past.advance(&deviations, &in_quarantine, f);
    let harmful = past.weigh(admission.harm.as_ref(), &in_quarantine);
    past.weigh_return(admission.returning.as_ref(), &in_quarantine);
    // A cell is of those that stand and of no more than may still be hostile, and goes first.
    let struck: BTreeSet<MemberId> = harmful.iter().map(|one| one.member.clone()).collect();
    let known = in_quarantine.union(&struck).count() + admission.quarantined_absent;
    let newly = strongest(&findings, &in_quarantine, &struck, f.saturating_sub(known));
    for finding in findings {
        let member = &finding.member;
        // Who is in quarantine for it stays away from its baseline; that is no strike while its return
        // would be of no consequence.
        let stays = in_quarantine.contains(member) && !past.may_return(member);
        let strikes = stays || newly.contains(member);
        let verdict = verdicts.iter_mut().find(|verdict| verdict.member == *member);
        let verdict = verdict.expect("whoever was observed has a verdict");
        say(verdict, finding, u64::from(past.policy.bond_milli), strikes);
    }
    say_harm(admission.harm.as_ref(), &past, &harmful, verdicts);
    say_return(&past, verdicts);
    say_classes(admission, verdicts);
    Some(deviations)
}

/// Writes what was measured of the cell into the verdicts on its members, and who is struck for it.
fn say_harm(
    harm: Option<&HarmRecord>,
    past: &Past,
    harmful: &[HarmFinding],
    verdicts: &mut [UpdateVerdict],
) {
    let limit = past.harm.map_or(0, |policy| u64::from(policy.limit_milli));
    for verdict in verdicts {
        let finding = harmful.iter().find(|one| one.member == verdict.member);
        let harm = harm.filter(|harm| harm.cell.contains(&verdict.member));
        if let Some(finding) = finding {
            verdict.reason = Reason::HarmfulTogether;
            (verdict.value, verdict.threshold) = (finding.sum_milli, limit);
            verdict.strike = true;
            let others = |harm: &HarmRecord| {
                harm.cell.iter().filter(|id| **id != verdict.member).cloned().collect()
            };
            verdict.together_with = harm.map(others).or(verdict.together_with.take());
        }
        if let Some(harm) = harm {
            let micro = u64::try_from(harm.harm_micro).unwrap_or(0);
            verdict.measures.push((Measure::HarmMicro, micro));
            verdict.measures.push((Measure::HarmAgreeing, u64::from(harm.agreeing)));
            verdict.measures.push((Measure::HarmEvaluators, u64::from(harm.evaluators)));
        }
        let sum = past.members.get(&verdict.member).and_then(|history| history.harm_milli);
        if let Some(sum) = sum.filter(|&sum| sum > 0 || harm.is_some()) {
            verdict.measures.push((Measure::HarmSumMilli, u64::from(sum)));
        }
    }
}

/// Writes what was measured of their return into the verdicts on members in quarantine.
fn say_return(past: &Past, verdicts: &mut [UpdateVerdict]) {
    for verdict in verdicts {
        let history = past.members.get(&verdict.member);
        let Some(measured) = history.and_then(|history| history.returning) else { continue };
        let micro = u64::try_from(measured.mean_micro).unwrap_or(0);
        verdict.measures.push((Measure::ReturnHarmMicro, micro));
        verdict.measures.push((Measure::ReturnRounds, u64::from(measured.rounds)));
    }
}

/// Writes into the verdicts which class is harmed most by the cell, and would be by a return.
fn say_classes(admission: &Admission, verdicts: &mut [UpdateVerdict]) {
    let (names, f) = (&admission.classes, admission.terms.byzantine);
    if let Some(harm) = &admission.harm {
        let class = most_harmed(&harm.classes, names, f);
        let of_cell = verdicts.iter_mut().filter(|verdict| harm.cell.contains(&verdict.member));
        of_cell.for_each(|verdict| verdict.harmed_class.clone_from(&class));
    }
    if let Some(returning) = &admission.returning {
        let class = most_harmed(&returning.classes, names, f);
        let back = verdicts.iter_mut().filter(|verdict| returning.cell.contains(&verdict.member));
        back.for_each(|verdict| verdict.return_harmed_class.clone_from(&class));
    }
}

fn row<'a>(admission: &'a Admission, line: &Line) -> Option<Row<'a>> {
    let values = admission.values.row(line.row?);
    let values = values.to_slice().expect("the rows of an owned matrix are contiguous");
    // Whom the evaluators left out stands as before, and so does the centre.
    let enters = matches!(line.place, Place::Admitted | Place::LeftOut);
    Some(Row { member: line.submission.member.clone(), values, enters })
}

fn is_in_quarantine(line: &Line) -> bool {
    line.submission.trust.standing == Standing::Quarantine
}

/// Of those not in quarantine the `count` with the strongest bonds, the earlier among equals: as
/// many as may still be hostile. What moves together beyond that is the answer of the honest to
/// those that were caught, or breaks the assumption on f; neither is a reason to strike.
fn strongest(
    findings: &[Finding],
    in_quarantine: &BTreeSet<MemberId>,
    struck: &BTreeSet<MemberId>,
    count: usize,
) -> BTreeSet<MemberId> {
    let known = |id: &MemberId| in_quarantine.contains(id) || struck.contains(id);
    let mut free: Vec<&Finding> =
        findings.iter().filter(|finding| !known(&finding.member)).collect();
    free.sort_by_key(|finding| (std::cmp::Reverse(finding.bond_milli), finding.member.clone()));
    free.into_iter().take(count).map(|finding| finding.member.clone()).collect()
}

fn say(verdict: &mut UpdateVerdict, finding: Finding, threshold: u64, strikes: bool) {
    if strikes && !verdict.strike {
        verdict.reason = Reason::MovedTogether;
        verdict.value = finding.bond_milli;
        verdict.threshold = threshold;
        verdict.strike = true;
    }
    verdict.measures.push((Measure::LeadMilli, finding.lead_milli));
    verdict.measures.push((Measure::BondMilli, finding.bond_milli));
    verdict.measures.push((Measure::RoundsInCell, u64::from(finding.rounds)));
    verdict.together_with = Some(finding.together_with);
}
