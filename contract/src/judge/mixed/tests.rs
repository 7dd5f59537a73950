use fedledger_ledger::entry::Standing;
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::task::{NormBand, Weighting};
use ndarray::Array2;
use proptest::prelude::*;

use crate::judge::{admit, Admission, Content, RoundInputs, Submission, Terms};
use crate::records::TrustRecord;

fn member(at: usize) -> MemberId {
    MemberId::new(format!("m{at:03}")).expect("a good id")
}

/// The first `kept` members are in quarantine.
fn admission(rows: &[Vec<i32>], kept: usize, norm_band: Option<NormBand>) -> Admission {
    let submissions = (0..rows.len()).map(|at| Submission {
        member: member(at),
        update: Some(Digest::of(&[at as u8])),
        order: at as u64,
        num_examples: 1,
        trust: TrustRecord {
            standing: if at < kept { Standing::Quarantine } else { Standing::Active },
            ..TrustRecord::default()
        },
        content: Content::Row(at),
    });
    let shape = (rows.len(), rows[0].len());
    admit(RoundInputs {
        terms: Terms {
            byzantine: 1,
            updates_min: 3,
            weighting: Weighting::Uniform,
            norm_band,
            trust: None,
        },
        submissions: submissions.collect(),
        values: Array2::from_shape_vec(shape, rows.concat()).expect("rows of one length"),
        norm_history: Vec::new(),
        start: None,
        quarantined_absent: 0,
        past: None,
    })
}

#[test]
fn values_are_rounded_half_to_even_at_their_share() {
    let rows = [vec![0, 3, 5, -5], vec![0; 4], vec![9; 4], vec![9; 4]];
    // Three enter and one is in quarantine: (3·own + q) / 4.
    let mixed = admission(&rows, 1, None).mixed(&[2, 1, 1, -1], &[member(0)]);
    // 6/4, 6/4, 8/4, −8/4.
    assert_eq!(mixed, [2, 2, 2, -2]);
    let mixed = admission(&rows, 1, None).mixed(&[6, 5, -2, 0], &[member(0)]);
    // 18/4, 18/4, −1/4, −5/4.
    assert_eq!(mixed, [4, 4, 0, -1]);
}

#[test]
fn an_update_weighs_no_more_than_the_usual_norm_lets_it() {
    let band = NormBand { low_milli: 0, clip_milli: 1_000, high_milli: 1_000_000 };
    let rows = [vec![30_000, 0], vec![300, 0], vec![0, 300], vec![0, -300]];
    let mixed = admission(&rows, 1, Some(band)).mixed(&[0, 0], &[member(0)]);
    assert_eq!(mixed, [75, 0]);
}

#[test]
fn greatest_values_of_a_full_consortium_fit() {
    const LIMIT: i32 = (1 << 23) - 1;
    let rows = vec![vec![LIMIT, -LIMIT]; 128];
    let cell: Vec<MemberId> = (0..42).map(member).collect();
    assert_eq!(admission(&rows, 42, None).mixed(&[LIMIT, -LIMIT], &cell), [LIMIT, -LIMIT]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_value_is_the_nearest_to_its_mean(
        rows in prop::collection::vec(prop::collection::vec(-8_388_607i32..8_388_608, 3), 4..12),
        own in prop::collection::vec(-8_388_607i32..8_388_608, 3),
        kept in 1usize..4,
    ) {
        let cell: Vec<MemberId> = (0..kept).map(member).collect();
        let mixed = admission(&rows, kept, None).mixed(&own, &cell);
        let (n, m) = ((rows.len() - kept) as i64, rows.len() as i64);
        for (column, &value) in mixed.iter().enumerate() {
            let sum: i64 = rows[..kept].iter().map(|row| i64::from(row[column])).sum();
            let away = n * i64::from(own[column]) + sum - m * i64::from(value);
            let tie = 2 * away.abs() == m;
            prop_assert!(2 * away.abs() < m || tie && value % 2 == 0, "{away} of {m}");
        }
    }
}
