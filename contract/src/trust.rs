//! How trust moves: slow to gain, fast to lose, and no substitute for evidence.
//!
//! Trust T is in millionths. A clean round adds (1 − T)/64, a strike halves it, proof of
//! equivocation leaves an eighth, and it never falls under one millionth. Each member begins with
//! [`TRUST_MICRO_INITIAL`](crate::records::TRUST_MICRO_INITIAL). Standing moves with strikes and
//! clean rounds *in a row*: Active → Probation at the first strike → Quarantine after
//! `strikes_to_quarantine`, or at once when the strike rests on the members' histories, which have
//! seen many rounds ([`crate::history`]); and back to Probation after `clean_rounds_to_return` clean rounds that
//! were only scored, and to Active after as many again. Rounds that say nothing about a member (it
//! did not reveal, its update was empty, the round led nowhere) leave the counts as they are, so
//! that neither a slow uplink nor an empty update earns or costs trust. Who announced a change of its
//! data and moves together with others is put, and held, on Probation without a strike.

use fedledger_ledger::decision::{Measure, Reason, UpdateVerdict};
use fedledger_ledger::entry::{Standing, TrustCause};
use fedledger_ledger::task::TrustPolicy;

use crate::records::{TrustRecord, TRUST_MICRO_ONE};

/// A clean round closes this part of the gap to full trust.
const GAIN_DIVISOR: u32 = 64;

/// What a round says about a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundMark {
    /// Its update was scored and nothing was wrong with it.
    Clean,
    /// The round counts against it. When equivocation was proved, trust has fallen for it already.
    Strike {
        /// Whether trust has fallen already, so that only the standing moves.
        already_fallen: bool,
        /// What many rounds show, so that none has to follow before quarantine.
        decisive: Option<TrustCause>,
    },
    /// It announced a change of its data and has moved together with others since: no strike, but it
    /// goes on at reduced weight.
    Held,
    /// Nothing.
    Neutral,
}

/// What a verdict says about its member; `contradicted` when equivocation was proved in the round.
pub fn mark_of(verdict: &UpdateVerdict, contradicted: bool) -> RoundMark {
    if verdict.strike {
        let decisive = match verdict.reason {
            Reason::MovedTogether => Some(TrustCause::MovedTogether),
            Reason::SwungTogether => Some(TrustCause::SwungTogether),
            Reason::HarmfulTogether => Some(TrustCause::HarmfulTogether),
            _ => None,
        };
        return RoundMark::Strike { already_fallen: contradicted, decisive };
    }
    let empty = verdict.measures.contains(&(Measure::Norm, 0));
    let has = |measure| verdict.measures.iter().any(|(of, _)| *of == measure);
    let held = has(Measure::ExcusedRounds) && has(Measure::RoundsInCell);
    match verdict.reason {
        Reason::NotRevealed
        | Reason::MemberSuspended
        | Reason::CellLeftOut
        | Reason::NormTooSmall
        | Reason::RoundFailed => RoundMark::Neutral,
        _ if empty || contradicted => RoundMark::Neutral,
        _ if held => RoundMark::Held,
        _ => RoundMark::Clean,
    }
}

/// Trust after a round, and why it moved. A member that is to be quarantined stays on probation
/// when `may_quarantine` is false.
pub fn after_round(
    before: TrustRecord,
    mark: RoundMark,
    policy: &TrustPolicy,
    may_quarantine: bool,
) -> (TrustRecord, TrustCause) {
    match mark {
        RoundMark::Neutral => (before, TrustCause::CleanRound),
        RoundMark::Clean => after_clean(before, policy),
        RoundMark::Held => (after_notice(before), TrustCause::DataChanged),
        RoundMark::Strike { already_fallen, decisive } => {
            let divisor = if already_fallen { 1 } else { 2 };
            let trust_micro = lowered(before.trust_micro, divisor);
            let strikes = before.strikes.saturating_add(1);
            let due = strikes >= policy.strikes_to_quarantine;
            let (standing, cause) = match (before.standing, decisive) {
                (Standing::Quarantine, _) => (Standing::Quarantine, TrustCause::Strike),
                (_, Some(cause)) if may_quarantine => (Standing::Quarantine, cause),
                _ if due && may_quarantine => (Standing::Quarantine, TrustCause::StrikesInARow),
                _ => (Standing::Probation, TrustCause::Strike),
            };
            (TrustRecord { trust_micro, standing, strikes, clean_rounds: 0 }, cause)
        }
    }
}

fn after_clean(before: TrustRecord, policy: &TrustPolicy) -> (TrustRecord, TrustCause) {
    let gain = (TRUST_MICRO_ONE - before.trust_micro) / GAIN_DIVISOR;
    let done = before.clean_rounds + 1 >= policy.clean_rounds_to_return;
    let clean_rounds = if done { 0 } else { before.clean_rounds + 1 };
    let record = TrustRecord { strikes: 0, clean_rounds, ..before };
    match before.standing {
        Standing::Active => (
            TrustRecord { trust_micro: before.trust_micro + gain, clean_rounds: 0, ..record },
            TrustCause::CleanRound,
        ),
        Standing::Probation => {
            let standing = if done { Standing::Active } else { Standing::Probation };
            let cause = if done { TrustCause::ProbationEnded } else { TrustCause::CleanRound };
            (TrustRecord { trust_micro: before.trust_micro + gain, standing, ..record }, cause)
        }
        // Shadow rounds are no contribution: they end the quarantine, they earn nothing.
        Standing::Quarantine => {
            let standing = if done { Standing::Probation } else { Standing::Quarantine };
            let cause = if done { TrustCause::Returned } else { TrustCause::CleanRound };
            (TrustRecord { standing, ..record }, cause)
        }
    }
}

/// Trust after proof of equivocation. The strike for the standing follows with the round's verdict.
pub fn after_equivocation(before: TrustRecord) -> TrustRecord {
    let standing = match before.standing {
        Standing::Active => Standing::Probation,
        other => other,
    };
    let trust_micro = lowered(before.trust_micro, 8);
    TrustRecord { trust_micro, standing, clean_rounds: 0, ..before }
}

/// Trust after release from quarantine by vote: on probation, with a clean sheet.
pub fn after_release(before: TrustRecord) -> TrustRecord {
    after_notice(before)
}

/// Trust after a notice that a member's data have changed: on probation, with a clean sheet.
pub fn after_notice(before: TrustRecord) -> TrustRecord {
    TrustRecord { standing: Standing::Probation, strikes: 0, clean_rounds: 0, ..before }
}

fn lowered(trust_micro: u32, divisor: u32) -> u32 {
    (trust_micro / divisor).max(1)
}

/// Trust of several members after a round, in their order, with causes; and whether more than `f`
/// members would be in quarantine, `others` being those in quarantine that the round says nothing
/// about. In that case nobody is newly quarantined: the assumption under which quarantine means
/// anything is broken.
pub fn after_round_all(
    members: &[(TrustRecord, RoundMark)],
    policy: &TrustPolicy,
    f: usize,
    others: usize,
) -> (Vec<(TrustRecord, TrustCause)>, bool) {
    let all = |may_quarantine| -> Vec<_> {
        members
            .iter()
            .map(|&(before, mark)| after_round(before, mark, policy, may_quarantine))
            .collect()
    };
    let moved = all(true);
    let quarantined =
        moved.iter().filter(|(record, _)| record.standing == Standing::Quarantine).count();
    let causes = [
        TrustCause::StrikesInARow,
        TrustCause::MovedTogether,
        TrustCause::SwungTogether,
        TrustCause::HarmfulTogether,
    ];
    let newly = moved.iter().any(|(_, cause)| causes.contains(cause));
    if newly && quarantined + others > f {
        return (all(false), true);
    }
    (moved, false)
}

#[cfg(test)]
mod tests;
