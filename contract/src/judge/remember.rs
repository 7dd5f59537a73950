//! What the members' past says about a round's updates; see [`crate::history`].

use std::collections::BTreeSet;

use fedledger_ledger::decision::{Deviation, Measure, Reason, UpdateVerdict};
use fedledger_ledger::entry::Standing;
use fedledger_ledger::ids::MemberId;

use super::admission::{Admission, Line, Place};
use crate::history::{observe, Finding, Row};

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
    let known = in_quarantine.len() + admission.quarantined_absent;
    let newly = strongest(&findings, &in_quarantine, f.saturating_sub(known));
    for finding in findings {
        let strikes = in_quarantine.contains(&finding.member) || newly.contains(&finding.member);
        let verdict = verdicts.iter_mut().find(|verdict| verdict.member == finding.member);
        let verdict = verdict.expect("whoever was observed has a verdict");
        say(verdict, finding, u64::from(past.policy.bond_milli), strikes);
    }
    Some(deviations)
}

fn row<'a>(admission: &'a Admission, line: &Line) -> Option<Row<'a>> {
    let values = admission.values.row(line.row?);
    let values = values.to_slice().expect("the rows of an owned matrix are contiguous");
    let enters = line.place == Place::Admitted;
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
    count: usize,
) -> BTreeSet<MemberId> {
    let mut free: Vec<&Finding> =
        findings.iter().filter(|finding| !in_quarantine.contains(&finding.member)).collect();
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
