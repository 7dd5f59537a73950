use super::*;
use crate::records::TRUST_MICRO_INITIAL;
use RoundMark::{Clean, Neutral};
use Standing::{Active, Probation, Quarantine};

const POLICY: TrustPolicy = TrustPolicy {
    outlier_milli: 3_000,
    strikes_to_quarantine: 2,
    clean_rounds_to_return: 3,
    outlier_cosine_milli: None,
    outlier_as_sent: false,
};
const STRIKE: RoundMark = RoundMark::Strike { already_fallen: false, decisive: None };

fn record(trust_micro: u32, standing: Standing, strikes: u32, clean_rounds: u32) -> TrustRecord {
    TrustRecord { trust_micro, standing, strikes, clean_rounds }
}

#[test]
fn each_mark_moves_trust_and_standing_as_written() {
    let fallen = RoundMark::Strike { already_fallen: true, decisive: None };
    let cases = [
        // A clean round closes a 64th of the gap.
        (record(500_000, Active, 0, 0), Clean, record(507_812, Active, 0, 0)),
        (record(999_990, Active, 0, 0), Clean, record(999_990, Active, 0, 0)),
        // Strikes halve, and in a row lead to quarantine.
        (record(500_000, Active, 0, 0), STRIKE, record(250_000, Probation, 1, 0)),
        (record(250_000, Probation, 1, 0), STRIKE, record(125_000, Quarantine, 2, 0)),
        (record(1, Probation, 0, 2), STRIKE, record(1, Probation, 1, 0)),
        // Proof of equivocation was paid for already.
        (record(62_500, Probation, 0, 0), fallen, record(62_500, Probation, 1, 0)),
        // A clean round between two strikes forgets the first.
        (record(250_000, Probation, 1, 0), Clean, record(261_718, Probation, 0, 1)),
        (record(640_000, Probation, 0, 2), Clean, record(645_625, Active, 0, 0)),
        // Quarantine: shadow rounds earn nothing but the way back.
        (record(125_000, Quarantine, 2, 0), Clean, record(125_000, Quarantine, 0, 1)),
        (record(125_000, Quarantine, 0, 2), Clean, record(125_000, Probation, 0, 0)),
        (record(125_000, Quarantine, 0, 2), STRIKE, record(62_500, Quarantine, 1, 0)),
        // Who announced a change and moves together with others is held.
        (record(500_000, Active, 0, 0), RoundMark::Held, record(500_000, Probation, 0, 0)),
        (record(500_000, Probation, 1, 2), RoundMark::Held, record(500_000, Probation, 0, 0)),
        // What says nothing changes nothing.
        (record(125_000, Probation, 1, 0), Neutral, record(125_000, Probation, 1, 0)),
    ];
    for (before, mark, after) in cases {
        assert_eq!(after_round(before, mark, &POLICY, true).0, after, "{before:?} {mark:?}");
    }
}

#[test]
fn causes_are_named() {
    let cause = |before, mark| after_round(before, mark, &POLICY, true).1;
    assert_eq!(cause(record(9, Active, 0, 0), RoundMark::Clean), TrustCause::CleanRound);
    assert_eq!(cause(record(9, Active, 0, 0), STRIKE), TrustCause::Strike);
    assert_eq!(cause(record(9, Active, 0, 0), RoundMark::Held), TrustCause::DataChanged);
    assert_eq!(cause(record(9, Probation, 1, 0), STRIKE), TrustCause::StrikesInARow);
    assert_eq!(cause(record(9, Quarantine, 2, 0), STRIKE), TrustCause::Strike);
    let decisive = Some(TrustCause::MovedTogether);
    let decisive = RoundMark::Strike { already_fallen: false, decisive };
    assert_eq!(cause(record(9, Active, 0, 0), decisive), TrustCause::MovedTogether);
    assert_eq!(cause(record(9, Quarantine, 0, 2), RoundMark::Clean), TrustCause::Returned);
    assert_eq!(cause(record(9, Probation, 0, 2), RoundMark::Clean), TrustCause::ProbationEnded);
}

#[test]
fn equivocation_leaves_an_eighth_and_release_a_clean_sheet() {
    let after = after_equivocation(TrustRecord::default());
    assert_eq!(after, record(TRUST_MICRO_INITIAL / 8, Standing::Probation, 0, 0));
    let after = after_release(record(7, Standing::Quarantine, 4, 1));
    assert_eq!(after, record(7, Standing::Probation, 0, 0));
}

#[test]
fn trust_is_slow_to_gain_and_fast_to_lose() {
    let mut trust = TrustRecord::default();
    let mut rounds = 0;
    while trust.trust_micro < 900_000 {
        trust = after_round(trust, RoundMark::Clean, &POLICY, true).0;
        rounds += 1;
    }
    assert!(rounds > 64, "{rounds} rounds are too few");
    let trust = after_round(trust, STRIKE, &POLICY, true).0;
    assert!(trust.trust_micro < TRUST_MICRO_INITIAL);
}

#[test]
fn more_than_f_in_quarantine_quarantine_nobody_new() {
    let due = (record(250_000, Standing::Probation, 1, 0), STRIKE);
    let held = (record(1_000, Standing::Quarantine, 3, 0), STRIKE);
    let check = |members: &[_], f, others| {
        let (after, too_many) = after_round_all(members, &POLICY, f, others);
        (after.iter().map(|(record, _)| record.standing).collect::<Vec<_>>(), too_many)
    };
    assert_eq!(check(&[due], 1, 0), (vec![Quarantine], false));
    assert_eq!(check(&[due, due], 1, 0), (vec![Probation, Probation], true));
    assert_eq!(check(&[due], 1, 1), (vec![Probation], true));
    assert_eq!(check(&[due, held], 2, 0), (vec![Quarantine, Quarantine], false));
    // Those in quarantine already are no news.
    assert_eq!(check(&[held], 0, 0), (vec![Quarantine], false));
    // One that returns makes room.
    let back = (record(1_000, Standing::Quarantine, 0, 2), RoundMark::Clean);
    assert_eq!(check(&[due, back], 1, 0), (vec![Quarantine, Probation], false));
}
