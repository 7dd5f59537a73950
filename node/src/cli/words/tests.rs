use fedledger_ledger::ids::Digest;

use super::*;

fn member(name: &str) -> MemberId {
    MemberId::new(name).expect("a good id")
}

fn harmed(harm_micro: u64) -> HarmedClass {
    HarmedClass { class: "malignant".into(), harm_micro, agreeing: 8, evaluators: 9 }
}

fn verdict(reason: Reason, value: u64, threshold: u64) -> UpdateVerdict {
    UpdateVerdict {
        member: member("charite"),
        update: None,
        verdict: Verdict::Reject,
        reason,
        value,
        threshold,
        weight_micro: 0,
        strike: false,
        measures: Vec::new(),
        together_with: None,
        harmed_class: None,
        return_harmed_class: None,
    }
}

fn task() -> TaskId {
    TaskId::new("lung").expect("a good id")
}

#[test]
fn numbers_are_in_units_that_people_use() {
    for (reason, value, threshold, said) in [
        (
            Reason::Outlier,
            6_700,
            3_000,
            "it is 6.7 times as far from the aggregate as the median update; threshold 3",
        ),
        (
            Reason::NormTooLarge,
            5_125,
            4_000,
            "its norm is 5.125 times the usual; over 4 times it is refused",
        ),
        (
            Reason::NormTooSmall,
            12,
            50,
            "its norm is 0.012 times the usual; under 0.05 times it is refused",
        ),
        (Reason::NormClipped, 1_500, 1_000, "its norm was 1.5 times the usual; it was scaled down to 1"),
        (
            Reason::MemberOnProbation,
            35_714,
            142_857,
            "its member is on probation: it weighs 3.5 % instead of 14.2 %",
        ),
        (
            Reason::NotSelected,
            812,
            400,
            "the rule left it out, too far from the others: its score is 812, the greatest of those \
             taken 400",
        ),
        (Reason::NotSelected, 0, 0, "the rule left it out: too far from the others"),
        (Reason::LengthMismatch, 90, 88, "it is 90 bytes long, 88 were committed to"),
        (
            Reason::Duplicate,
            4_096,
            128,
            "another member committed to the same update first; with 4096 significant bits (128 \
             tell) it was not found twice by chance",
        ),
        (
            Reason::Duplicate,
            3,
            128,
            "another member committed to the same update first; with 3 significant bits (128 would \
             tell) that can be chance",
        ),
        (Reason::NormTooLarge, u64::MAX, 4_000, "its norm is 18446744073709.551 times the usual; over 4 times it is refused"),
    ] {
        assert_eq!(reason_words(&verdict(reason, value, threshold)), said);
    }
    let mut away = verdict(Reason::Outlier, 3_100, 3_000);
    away.measures = vec![(Measure::CosineMicro, 580_000)];
    assert!(reason_words(&away).contains(" and points against it, cosine -0.420; threshold 3"));
    away.measures = vec![(Measure::CosineMicro, 1_200_000)];
    assert!(!reason_words(&away).contains("cosine"));
}

#[test]
fn who_moved_together_reads_with_whom_how_long_and_what_evaluators_found() {
    let mut found = verdict(Reason::MovedTogether, 9_100, 8_000);
    found.together_with = Some(vec![member("dresden"), member("mainz")]);
    found.measures = vec![(Measure::BondMilli, 9_100), (Measure::RoundsInCell, 14)];
    assert_eq!(
        reason_words(&found),
        "its last 14 updates moved together with dresden and mainz, away from what each used to \
         send; threshold 8, value 9.1 (bond, in units of the spread of all pairs)"
    );
    found.measures.extend([
        (Measure::HarmMicro, 12_300),
        (Measure::HarmAgreeing, 8),
        (Measure::HarmEvaluators, 9),
    ]);
    let said =
        "; in this round 8 of 9 evaluators measured the model as worse with them, by 0.012300 \
                of loss";
    assert!(reason_words(&found).ends_with(said), "{}", reason_words(&found));
    found.harmed_class = Some(harmed(31_000));
    let said =
        " of loss; 8 of 9 evaluators measured that they raise the loss on class malignant, by \
                0.031000";
    assert!(reason_words(&found).ends_with(said), "{}", reason_words(&found));
    assert_eq!(suspected_class_words(&found), None);
    let unstruck = UpdateVerdict { reason: Reason::Clean, ..found.clone() };
    assert_eq!(
        suspected_class_words(&unstruck).as_deref(),
        Some(
            "8 of 9 evaluators measured that it and those it goes with raise the loss on class \
             malignant, by 0.031000"
        )
    );
    let advice = advice_words(&task(), &found).expect("there is something to do");
    for words in [
        "fedledger task announce-data-change lung --reason WHAT",
        "fedledger change release lung --member charite --reason WHY",
        "fedledger task onset lung --members charite,dresden,mainz",
    ] {
        assert!(advice.contains(words), "`{advice}` does not say `{words}`");
    }
}

#[test]
fn who_did_harm_reads_what_it_adds_up_to() {
    let mut found = verdict(Reason::HarmfulTogether, 6_700, 6_000);
    found.together_with = Some(vec![member("dresden"), member("jena"), member("mainz")]);
    found.measures = vec![
        (Measure::HarmMicro, 250_000),
        (Measure::HarmAgreeing, 8),
        (Measure::HarmEvaluators, 9),
        (Measure::HarmSumMilli, 6_700),
    ];
    assert_eq!(
        reason_words(&found),
        "its updates, with those of dresden, jena and mainz, made the model worse round after \
         round; threshold 6, value 6.7 (harm added up, in units of the spread among evaluators); in \
         this round 8 of 9 evaluators measured the model as worse with them, by 0.250000 of loss"
    );
    // In quarantine nobody may have asked, and half of the limit counts.
    let alone = reason_words(&verdict(Reason::HarmfulTogether, 3_900, 6_000));
    assert!(alone.starts_with("its updates made the model worse"), "{alone}");
    assert!(alone.contains("threshold 6, half of which counts in quarantine"), "{alone}");
    assert!(!alone.contains("evaluators measured"), "{alone}");
    let left_out = reason_words(&UpdateVerdict { reason: Reason::CellLeftOut, ..found });
    assert!(left_out.contains("8 of 9 evaluators") && left_out.ends_with("no fault by itself"));
}

#[test]
fn who_swung_together_reads_with_whom_how_long_and_how_far() {
    let mut found = verdict(Reason::SwungTogether, 934, 500);
    found.together_with = Some(vec![member("dresden"), member("mainz")]);
    found.measures = vec![
        (Measure::SwingCorrelationMilli, 934),
        (Measure::SwingAmplitudeMilli, 1_210),
        (Measure::RoundsSwinging, 5),
    ];
    assert_eq!(
        reason_words(&found),
        "for 5 rounds in a row what it sends changed from one round to the next together with dresden \
         and mainz; threshold 0.5, value 0.934 (correlation of the changes, which are 1.21 of the usual \
         distance between members)"
    );
}

#[test]
fn whoever_is_struck_or_left_out_reads_what_to_do() {
    for reason in [
        Reason::NotSelected,
        Reason::Outlier,
        Reason::NormTooLarge,
        Reason::NormTooSmall,
        Reason::Duplicate,
        Reason::SchemaMismatch,
        Reason::NotRevealed,
        Reason::Equivocation,
        Reason::MemberQuarantined,
        Reason::MemberOnProbation,
        Reason::LengthMismatch,
        Reason::MemberSuspended,
        Reason::MovedTogether,
        Reason::SwungTogether,
        Reason::HarmfulTogether,
        Reason::CellLeftOut,
    ] {
        assert!(advice_words(&task(), &verdict(reason, 0, 0)).is_some(), "{reason:?}");
    }
    assert_eq!(advice_words(&task(), &verdict(Reason::Clean, 0, 0)), None);
    // The commands that are named are commands.
    let named =
        advice_words(&task(), &verdict(Reason::MemberQuarantined, 0, 0)).expect("a dispute");
    let named = named.split("fedledger ").nth(1).expect("it names a command");
    let arguments = ["fedledger"].into_iter().chain(named.split(' '));
    assert!(super::super::command().try_get_matches_from(arguments).is_ok(), "{named}");
}

#[test]
fn what_a_return_would_do_is_said_in_quarantine() {
    let mut found = verdict(Reason::MemberQuarantined, 0, 0);
    assert_eq!(return_words(&found), None);
    found.measures = vec![(Measure::ReturnHarmMicro, 1_234), (Measure::ReturnRounds, 4)];
    assert_eq!(
        return_words(&found).as_deref(),
        Some(
            "with it back from quarantine the loss would be 0.12 % higher, in the mean of 4 rounds; a \
             clean round"
        )
    );
}

#[test]
fn a_return_that_would_harm_a_class_is_said_with_the_class() {
    let mut found = verdict(Reason::MovedTogether, 0, 0);
    found.measures = vec![(Measure::ReturnHarmMicro, 1_234), (Measure::ReturnRounds, 4)];
    found.return_harmed_class = Some(harmed(40_100));
    found.strike = true;
    assert_eq!(
        return_words(&found).as_deref(),
        Some(
            "with it back from quarantine the loss would be 0.12 % higher, in the mean of 4 rounds; in \
             this round 8 of 9 evaluators measured that its return would raise the loss on class \
             malignant, by 4.01 %"
        )
    );
}

#[test]
fn candidates_and_losses_have_their_words() {
    let digest = Digest::of(b"model");
    let mut candidate = Candidate {
        rule: AggregationRule::CenteredClipping { iterations: 3, radius_milli: 1_000 },
        aggregate: digest,
        model: digest,
        without: None,
        with: None,
    };
    let rule = "centered_clipping, iterations 3, radius milli 1000";
    assert_eq!(candidate_words(&candidate), rule);
    candidate.without = Some(vec![member("a"), member("b")]);
    assert_eq!(candidate_words(&candidate), format!("{rule}, without a and b"));
    (candidate.without, candidate.with) = (None, Some(vec![member("c")]));
    let returning = format!("{rule}, with c back from quarantine, not for choice");
    assert_eq!(candidate_words(&candidate), returning);
    assert_eq!((loss_words(-12_500), loss_words(3)), ("-0.012500".into(), "0.000003".into()));
}

#[test]
fn a_notice_says_what_becomes_of_the_member() {
    let mut found = verdict(Reason::MemberOnProbation, 35_714, 142_857);
    assert_eq!(notice_words(&found), None);
    for (rounds, said) in [
        (0, "it announced a change of its data: its new baseline is taken with this round"),
        (1, "it announced a change of its data: its new baseline is taken after the next round"),
        (17, "it announced a change of its data: its new baseline is taken in 17 rounds"),
    ] {
        found.measures = vec![(Measure::ExcusedRounds, rounds)];
        assert_eq!(notice_words(&found).as_deref(), Some(said));
    }
    found.together_with = Some(vec![member("basel"), member("graz")]);
    assert_eq!(
        notice_words(&found).as_deref(),
        Some(
            "it announced a change of its data, and by now has left its baseline together with basel \
             and graz: no strike, but it weighs a quarter until it has not for 17 rounds, or until a \
             vote: fedledger change release"
        )
    );
    // Who is struck for something else that it did with others reads that as the reason.
    found.strike = true;
    assert!(!notice_words(&found).expect("it announced").contains("graz"));
}
