use fedledger_ledger::decision::{Candidate, HarmedClass};
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::task::AggregationRule;
use fedledger_ledger::transaction::ClassLoss;
use proptest::prelude::*;

use super::super::{conclude, Evaluation, RETURN_MICRO_MAX};
use super::{class_harm, class_return, most_harmed};
use crate::records::ClassHarm;

const CLASSES: usize = 3;

fn names() -> Vec<String> {
    ["benign", "malignant", "unclear"].map(String::from).to_vec()
}

fn member(at: usize) -> MemberId {
    MemberId::new(format!("m{at:02}")).expect("a good id")
}

/// The task's own, that without member 0 and that with member 1 back.
fn candidates() -> Vec<Candidate> {
    let candidate = |at: u8, without, with| Candidate {
        rule: AggregationRule::Median,
        aggregate: Digest([at; 32]),
        model: Digest([at; 32]),
        without,
        with,
    };
    vec![
        candidate(0, None, None),
        candidate(1, Some(vec![member(0)]), None),
        candidate(2, None, Some(vec![member(1)])),
    ]
}

/// One evaluator's losses of the three candidates and number of rows, for each class.
type Told = [(u64, u64, u64, u64); CLASSES];

/// An evaluator whose loss over all rows is the sum over the classes.
fn evaluation(at: usize, told: &Told) -> Evaluation {
    let of = |candidate: usize| {
        let loss = |&(own, out, with, rows): &(u64, u64, u64, u64)| {
            let loss_micro = if rows == 0 { 0 } else { [own, out, with][candidate] };
            ClassLoss { loss_micro, num_examples: rows }
        };
        told.iter().map(loss).collect::<Vec<_>>()
    };
    let classes: Vec<Vec<ClassLoss>> = (0..3).map(of).collect();
    let losses = classes.iter().map(|one| one.iter().map(|class| class.loss_micro).sum()).collect();
    Evaluation { member: member(at), losses, classes }
}

/// The evaluators are members 2 and up, outside of either cell.
fn told(all: &[Told], f: usize) -> (Vec<ClassHarm>, Vec<ClassHarm>) {
    let evaluations: Vec<Evaluation> =
        all.iter().enumerate().map(|(at, told)| evaluation(at + 2, told)).collect();
    let found = conclude(&candidates(), &evaluations, None, f, None);
    let (harm, back) = (found.harm.expect("enough score"), found.returning.expect("enough score"));
    (harm.classes, back.classes)
}

#[test]
fn the_class_that_suffers_is_named_with_its_numbers() {
    // One of nine holds nothing of the third class, and six hold nothing of the first.
    let all: Vec<Told> = (0..9)
        .map(|k| {
            let rows = |holds: bool| if holds { 7 } else { 0 };
            [
                (500_000, 100_000, 500_000, rows(k < 3)),
                (300_000 + 31_000, 300_000 + 100 * k, 300_000, 7),
                (200_000, 199_990, 240_000, rows(k != 4)),
            ]
        })
        .collect();
    let (harm, back) = told(&all, 4);
    // Too few hold the first class: their number is said, and no harm.
    assert_eq!(harm[0], ClassHarm { harm_micro: 0, agreeing: 3, evaluators: 3 });
    // Of nine harms 30,200 to 31,000 the five least are 30,200 to 30,600.
    assert_eq!(harm[1], ClassHarm { harm_micro: 30_400, agreeing: 9, evaluators: 9 });
    assert_eq!(harm[2], ClassHarm { harm_micro: 0, agreeing: 8, evaluators: 8 });
    let class = "malignant".to_owned();
    let expected = HarmedClass { class, harm_micro: 30_400, agreeing: 9, evaluators: 9 };
    assert_eq!(most_harmed(&harm, &names(), 4), Some(expected));
    // Eight hold the third class, which is too few with f = 4.
    assert_eq!(most_harmed(&back, &names(), 4), None);
    let (_, back) = told(&all, 3);
    let class = "unclear".to_owned();
    // A fifth of 200,000, far over the limit of what adds up over rounds.
    let expected = HarmedClass { class, harm_micro: 200_000, agreeing: 8, evaluators: 8 };
    assert!(expected.harm_micro > RETURN_MICRO_MAX as u64);
    assert_eq!(most_harmed(&back, &names(), 3), Some(expected));
}

#[test]
fn a_protected_class_tells_harm_in_place_of_all_rows() {
    // The cell turns the model from the second class towards the first: all rows together gain by it.
    // One evaluator of nine holds nothing of the second class, and one measures that it is helped.
    let all: Vec<Told> = (0..9)
        .map(|k| {
            let (with, back) = if k == 8 { (290_000, 200_000) } else { (320_000, 303_000) };
            let rows = if k == 4 { 0 } else { 7 };
            [
                (400_000, 450_000, 350_000, 9),
                (with, 300_000, back, rows),
                (100_000, 100_000, 100_000, 1),
            ]
        })
        .collect();
    let evaluations: Vec<Evaluation> =
        all.iter().enumerate().map(|(at, told)| evaluation(at + 2, told)).collect();
    let found = |f, protected| conclude(&candidates(), &evaluations, None, f, protected);
    let whole = found(2, None);
    assert!(whole.harm.as_ref().is_some_and(|harm| harm.harm_micro < 0), "{whole:?}");
    let of_class = found(2, Some(1));
    let (harm, back) = (of_class.harm.expect("enough"), of_class.returning.expect("enough"));
    assert_eq!((harm.harm_micro, harm.agreeing, harm.evaluators), (20_000, 7, 8));
    assert!(harm.score_milli > 2_000, "{harm:?}");
    // The return would lower it by a twentieth of the least losses that are believed.
    assert_eq!((back.harm_micro, back.evaluators), (-RETURN_MICRO_MAX, 8));
    // The classes by themselves are said as before, and so is the choice.
    assert_eq!(harm.classes, whole.harm.expect("enough").classes);
    assert_eq!(of_class.chosen, whole.chosen);
    // Eight are too few with f = 4.
    let none = found(4, Some(1));
    assert_eq!((none.harm, none.returning), (None, None));
}

#[test]
fn nothing_is_said_of_classes_where_nobody_asked_or_nobody_is_harmed() {
    let bare = |at| Evaluation { classes: Vec::new(), ..evaluation(at, &[(5, 4, 6, 1); 3]) };
    let evaluations: Vec<Evaluation> = (2..7).map(bare).collect();
    let found = conclude(&candidates(), &evaluations, None, 2, None);
    assert_eq!(found.harm.expect("enough score").classes, []);
    assert_eq!(found.returning.expect("enough score").classes, []);
    let (harm, back) = told(&[[(5, 6, 4, 1); 3]; 5], 2);
    assert_eq!((harm.len(), back.len()), (3, 3));
    assert_eq!(most_harmed(&harm, &names(), 2), None);
    assert_eq!(most_harmed(&back, &names(), 2), None);
    // The earlier among equals.
    let (harm, _) = told(&[[(5, 5, 4, 1), (6, 4, 4, 1), (7, 5, 5, 1)]; 5], 2);
    let found = most_harmed(&harm, &names(), 2).expect("two are harmed");
    assert_eq!((found.class.as_str(), found.harm_micro), ("malignant", 2));
}

/// Twice the median of what is given in order.
fn twice_median(sorted: &[i128]) -> i128 {
    sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]
}

/// Whether `found` is the whole number nearest to top / bottom, the even one of two.
fn is_nearest(found: i128, top: i128, bottom: i128) -> bool {
    let twice = (2 * (top - found * bottom)).abs();
    twice < bottom || twice == bottom && found % 2 == 0
}

/// The definition, from one evaluator's rows of a class after the other and without a sum in common
/// with the code. Says whether `found` is what a class comes to; `turned` for a return.
fn is_by_definition(found: ClassHarm, rows: &[(u64, u64, u64)], f: usize, turned: bool) -> bool {
    let holders: Vec<(i128, i128)> = rows
        .iter()
        .filter(|(_, _, rows)| *rows > 0)
        .map(|&(own, other, _)| (i128::from(own), i128::from(other)))
        .collect();
    let sign = if turned { -1 } else { 1 };
    let mut harms: Vec<i128> = holders.iter().map(|(own, other)| sign * (own - other)).collect();
    harms.sort_unstable();
    let e = harms.len();
    let agreeing = harms.iter().filter(|harm| **harm > 0).count();
    if (found.agreeing as usize, found.evaluators as usize) != (agreeing, e) {
        return false;
    }
    let harm = i128::from(found.harm_micro);
    if e < 2 * f + 1 {
        return harm == 0;
    }
    if !turned {
        return is_nearest(harm, twice_median(&harms[..e - f]), 2);
    }
    let mut own: Vec<i128> = holders.iter().map(|(own, _)| *own).collect();
    own.sort_unstable();
    // Both medians are whole numbers already, the even one of two.
    let whole = |twice: i128| (-1..=1).map(|k| twice / 2 + k).find(|m| is_nearest(*m, twice, 2));
    let usual = whole(twice_median(&own[..e - f])).expect("one is nearest").max(1);
    let harm_of_all = whole(twice_median(&harms[f..])).expect("one is nearest");
    is_nearest(harm, 1_000_000 * harm_of_all, usual)
}

fn loss() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..=1_000, 0u64..=1_000_000, 0u64..=1_000_000_000_000]
}

/// A class as an evaluator has it, of which it often holds nothing.
fn class() -> impl Strategy<Value = (u64, u64, u64, u64)> {
    (loss(), loss(), loss(), 0u64..=2)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_class_comes_to_what_its_definition_says(
        all in prop::collection::vec([class(), class(), class()], 1..16),
        f in 0usize..4,
    ) {
        prop_assume!(all.len() > 2 * f);
        let (harm, back) = told(&all, f);
        for class in 0..CLASSES {
            let rows = |other: fn(&(u64, u64, u64, u64)) -> u64| -> Vec<(u64, u64, u64)> {
                all.iter().map(|one| (one[class].0, other(&one[class]), one[class].3)).collect()
            };
            let (out, with) = (rows(|one| one.1), rows(|one| one.2));
            prop_assert!(is_by_definition(harm[class], &out, f, false), "{:?}", harm[class]);
            prop_assert!(is_by_definition(back[class], &with, f, true), "{:?}", back[class]);
        }
    }

    #[test]
    fn f_liars_name_no_class_that_no_honest_evaluator_finds_harmed(
        mut honest in prop::collection::vec([class(), class(), class()], 5..16),
        lies in prop::collection::vec([class(), class(), class()], 4),
        spared in 0usize..CLASSES,
    ) {
        // On one class every honest evaluator finds that the cell and the return help, or do nothing.
        for told in &mut honest {
            let (own, out, with, rows) = told[spared];
            told[spared] = (own.min(out).max(with.min(own)), own.max(out), with.min(own), rows);
            let (own, out, with, _) = told[spared];
            prop_assert!(with <= own && own <= out);
        }
        honest.extend(lies);
        let (harm, back) = told(&honest, 4);
        for classes in [harm, back] {
            let named = most_harmed(&classes, &names(), 4).map(|found| found.class);
            prop_assert!(named.as_ref() != Some(&names()[spared]), "{classes:?}");
        }
    }

    #[test]
    fn what_counts_of_a_class_is_not_above_the_median_of_the_honest_and_of_a_return_not_below(
        honest in prop::collection::vec((1u64..=2_000_000, 0u64..=2_000_000), 5),
        lies in prop::collection::vec((loss(), loss()), 4),
    ) {
        let all: Vec<(u64, u64)> = honest.iter().chain(&lies).copied().collect();
        let mut harms: Vec<i64> = honest.iter().map(|&(a, b)| a as i64 - b as i64).collect();
        harms.sort_unstable();
        prop_assert!(class_harm(&all, 4).harm_micro <= harms[2]);
        let mut back: Vec<i64> = harms.iter().map(|harm| -harm).collect();
        back.sort_unstable();
        let mut own: Vec<i64> = honest.iter().map(|&(own, _)| own as i64).collect();
        own.sort_unstable();
        let found = class_return(&all, 4).harm_micro;
        // Where it does harm to the median honest one, the least that this can be of its loss.
        prop_assert!(back[2] <= 0 || found >= back[2] * 1_000_000 / own[4], "{found}");
    }

    #[test]
    fn no_losses_of_a_class_overflow_and_no_order_matters(
        mut losses in prop::collection::vec((loss(), loss()), 1..129),
        turn in 0usize..128,
        f in 0usize..64,
    ) {
        let found = (class_harm(&losses, f), class_return(&losses, f));
        let turn = turn % losses.len();
        losses.rotate_left(turn);
        prop_assert_eq!((class_harm(&losses, f), class_return(&losses, f)), found);
    }
}
