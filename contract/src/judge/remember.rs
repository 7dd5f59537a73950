//! What the members' past says about a round's updates; see [`crate::history`].

use std::cmp::Reverse;
use std::collections::BTreeSet;

use fedledger_ledger::decision::{Deviation, Measure, Reason, UpdateVerdict};
use fedledger_ledger::entry::Standing;
use fedledger_ledger::ids::MemberId;

use super::admission::{Admission, Line, Place};
use crate::evaluation::most_harmed;
use crate::history::{observe, Finding, Findings, HarmFinding, Past, Row, SwingFinding};
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
    let excused = past.excused();
    let findings = past.advance(&deviations, &in_quarantine, f);
    let harmful = past.weigh(admission.harm.as_ref(), &in_quarantine);
    past.weigh_return(admission.returning.as_ref(), &in_quarantine);
    // A cell is of those that stand and of no more than may still be hostile, and goes first.
    let struck: BTreeSet<MemberId> = harmful.iter().map(|one| one.member.clone()).collect();
    let known: BTreeSet<MemberId> = in_quarantine.union(&struck).cloned().collect();
    let count = known.len() + admission.quarantined_absent;
    let Findings { moved, swung } = findings;
    let accused: Vec<Finding> =
        moved.iter().filter(|one| !excused.contains(&one.member)).cloned().collect();
    let newly = strongest(&accused, &swung, &known, f.saturating_sub(count));
    for finding in moved {
        let member = &finding.member;
        // Who is in quarantine for it stays away from its baseline; that is no strike while its return
        // would be of no consequence.
        let stays =
            in_quarantine.contains(member) && !excused.contains(member) && !past.may_return(member);
        let strikes = stays || newly.contains(member);
        say(of(verdicts, member), finding, u64::from(past.policy.bond_milli), strikes);
    }
    for finding in swung {
        let member = &finding.member;
        let strikes = in_quarantine.contains(member) || newly.contains(member);
        say_swing(of(verdicts, member), finding, strikes);
    }
    say_harm(admission.harm.as_ref(), &past, &harmful, verdicts);
    say_return(&past, verdicts);
    say_classes(admission, verdicts);
    say_excused(&past, &excused, &in_quarantine, verdicts);
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

/// Writes into the verdicts on members that announced a change how many rounds are left until their
/// new baseline; in quarantine clean rounds count without it.
fn say_excused(
    past: &Past,
    excused: &BTreeSet<MemberId>,
    in_quarantine: &BTreeSet<MemberId>,
    verdicts: &mut [UpdateVerdict],
) {
    let waiting = |verdict: &&mut UpdateVerdict| {
        excused.contains(&verdict.member) && !in_quarantine.contains(&verdict.member)
    };
    for verdict in verdicts.iter_mut().filter(waiting) {
        let left = past.members.get(&verdict.member).and_then(|history| history.excused);
        verdict.measures.push((Measure::ExcusedRounds, u64::from(left.unwrap_or(0))));
    }
}

fn row<'a>(admission: &'a Admission, line: &Line) -> Option<Row<'a>> {
    let values = admission.row(line.row?);
    // Whom the evaluators left out stands as before, and so does the centre.
    let enters = matches!(line.place, Place::Admitted | Place::LeftOut);
    Some(Row { member: line.submission.member.clone(), values, enters })
}

fn is_in_quarantine(line: &Line) -> bool {
    line.submission.trust.standing == Standing::Quarantine
}

/// Of those not `known` the `count` that were found, those that moved together before those that swung,
/// the strongest bonds and the greatest amplitudes first, the earlier among equals: as many as may still
/// be hostile. What goes together beyond that is the answer of the honest to those that were caught, or
/// breaks the assumption on f; neither is a reason to strike.
fn strongest(
    moved: &[Finding],
    swung: &[SwingFinding],
    known: &BTreeSet<MemberId>,
    count: usize,
) -> BTreeSet<MemberId> {
    let moved = moved.iter().map(|found| ((false, Reverse(found.bond_milli)), &found.member));
    let swung = swung.iter().map(|found| ((true, Reverse(found.amplitude_milli)), &found.member));
    let mut free: Vec<_> = moved.chain(swung).filter(|(_, id)| !known.contains(*id)).collect();
    free.sort_unstable();
    let mut newly = BTreeSet::new();
    for (_, member) in free {
        if newly.len() < count {
            newly.insert(member.clone());
        }
    }
    newly
}

/// The verdict on whoever was observed.
fn of<'a>(verdicts: &'a mut [UpdateVerdict], member: &MemberId) -> &'a mut UpdateVerdict {
    let verdict = verdicts.iter_mut().find(|verdict| verdict.member == *member);
    verdict.expect("whoever was observed has a verdict")
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

fn say_swing(verdict: &mut UpdateVerdict, finding: SwingFinding, strikes: bool) {
    verdict.measures.push((Measure::SwingCorrelationMilli, finding.correlation_milli));
    verdict.measures.push((Measure::SwingAmplitudeMilli, finding.amplitude_milli));
    verdict.measures.push((Measure::RoundsSwinging, u64::from(finding.rounds)));
    if strikes && !verdict.strike {
        verdict.reason = Reason::SwungTogether;
        verdict.value = finding.correlation_milli;
        verdict.threshold = finding.limit_milli;
        verdict.strike = true;
        verdict.together_with = Some(finding.together_with);
    }
}
