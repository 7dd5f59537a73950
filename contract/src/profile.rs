//! Settings that belong together, and what they bound.
//!
//! A profile fills a task's settings; what it fills in is data of the task like any other, and can
//! be changed before the task is proposed. [`bounds`] says in words what the settings of any task
//! promise, for whoever creates it.

use fedledger_ledger::ids::byzantine_max;
use fedledger_ledger::task::{
    AggregationRule, EvaluationSpec, HarmPolicy, HistoryPolicy, NormBand, SwingPolicy, TaskSpec,
    TrustPolicy, Weighting,
};
use serde::{Deserialize, Serialize};

use crate::aggregate::check_precondition;
use crate::history::sketch_bytes;

/// The thresholds of [`Profile::Balanced`].
///
/// Chosen with a prototype on Breast Cancer Wisconsin (13 hospitals, alike and with label skew), a
/// generator and the hospitals of the International Stroke Trial, seeds 0 to 5: without attackers no
/// member's bond exceeded 10, and those over 7 had left their baselines together by less than 3.2;
/// three of four colluders exceeded both after 25 rounds at every strength that mattered. The lead was
/// set with the filter as the rule, seeds 301 to 312: with 1,000 it wronged 7 of 5,100 honest
/// members in eight attacks on five kinds of data, with 2,000 five, for 17 of 827 attackers caught.
pub const HISTORY_BALANCED: HistoryPolicy = HistoryPolicy {
    sketch_width: 128,
    settle_rounds: 5,
    baseline_rounds: 12,
    bond_milli: 8_000,
    shift_milli: 3_000,
    lead_milli: 2_000,
    rounds_in_a_row: 3,
    swings: Some(SWINGS),
};

/// When swings count, in every profile with a history, from f = 3 on.
///
/// Chosen on seeds 301 to 306, first with a prototype on recorded rounds: drifts and 41 other attacks, on
/// and off over 2, 4 and 10 rounds, from round 1 and 21, honest changes, real hospitals; 7, 9 and 13
/// members. Of 840 hostile members that push in half of the rounds 827 are caught in 25 rounds, without
/// swings 590, at one more honest one of 2,646. A correlation of 0.9 at an amplitude of 0.2 would have
/// struck 30 of 14,500 honest members of the recorded rounds, and found no more. See ADR 10.
pub const SWINGS: SwingPolicy = SwingPolicy {
    window_rounds: 10,
    correlation_milli: 500,
    amplitude_milli: 400,
    copy_correlation_milli: 970,
    copy_amplitude_milli: 100,
    rounds_in_a_row: 5,
};

/// The same for f = 2, where those closest to a member are one, and pairs of honest members in label
/// skew are found more easily.
pub const SWINGS_OF_PAIRS: SwingPolicy = SwingPolicy { amplitude_milli: 600, ..SWINGS };

/// The thresholds of [`Profile::Strict`]: sooner, at the price of more honest members struck.
pub const HISTORY_STRICT: HistoryPolicy = HistoryPolicy {
    bond_milli: 7_000,
    shift_milli: 2_500,
    lead_milli: 1_000,
    rounds_in_a_row: 2,
    ..HISTORY_BALANCED
};

/// The thresholds of [`Profile::Balanced`] among many members, from [`MANY`] on.
///
/// The more members there are, the more of them a single honest one that drifts finds beside it by
/// chance. At 79 stroke hospitals, f = 26, seeds 301 to 308, the limits of the few strike 41 of 1,264
/// honest members while nobody is hostile, these 1; of 208 hostile ones (labels and a drift of two
/// deviations, seeds 301 to 304) they find 168 and 165. At 36 hospitals, f = 11, the limits of the few
/// strike none of 576, and these would find 49 instead of 57 of 88.
pub const HISTORY_MANY: HistoryPolicy = HistoryPolicy { bond_milli: 12_000, ..HISTORY_BALANCED };

/// f from which on members are many: consortia of forty.
pub const MANY: u32 = 13;

/// When a suspected cell's harm counts, where a task has its evaluators measure it.
///
/// Chosen with a prototype on Breast Cancer Wisconsin (13 hospitals, alike and with label skew) and a
/// generator, seeds 101 to 120: of 1,820 honest members of consortia without attackers these limits
/// struck 4, and found 1,197 of 1,600 hostile ones in 20 settings of label poison and drift. On seeds
/// 201 to 240, which took no part in the choice, they struck 7 of 3,627. Losses averaged by class
/// instead of by row found no more at the same number of honest members struck (1,156 and 12); the
/// loss on one class does, see [`HARM_OF_CLASS`].
///
/// `return_micro` was chosen on seeds 301 to 320 of seven kinds of data. Of 114 honest members
/// quarantined for changing alike it lets 71 back, 55 within 15 rounds; of 1,553 hostile ones, four of 13
/// that drift, 79, of 1,151 by threes 141, of 586 in pairs 174, who do less: 0.03 to 0.09 points of
/// recall. With 1,200 it were 45, 34, 30, 50 and 74.
pub const HARM: HarmPolicy = HarmPolicy {
    observed_rounds: 6,
    cosine_milli: 300,
    allowance_milli: 1_250,
    limit_milli: 6_000,
    return_micro: Some(1_800),
    all_rows_milli: None,
};

/// The same where a task names a protected class, whose loss tells the harm.
///
/// Chosen on seeds 301 to 320 and 401 to 420 of seven kinds of data with poison from round 1, nobody
/// hostile and honest changes, and on backdoors of a small network, as the lowest at which no more than
/// one honest member in a hundred is struck there (ADR 9). On 401 to 420 it catches 1,079 of 2,240
/// hostile members, [`HARM`] on the loss on all rows 1,000, with 1.2 and 1.4 points of recall lost. Of 131
/// honest members quarantined for changing alike 74 come back, 70 within 15 rounds, and of 638 hostile
/// ones 7; by the loss on all rows 77 of 137, 60 and 22.
pub const HARM_OF_CLASS: HarmPolicy = HarmPolicy {
    allowance_milli: 300,
    limit_milli: 18_000,
    return_micro: Some(6_000),
    all_rows_milli: Some(700),
    ..HARM
};

/// The rule from f = 2 on: a spectral filter, then the trimmed mean of what it leaves.
///
/// Chosen on 8 seeds (301 to 308) of five kinds of data over 13 hospitals with 4 hostile in nine ways,
/// with neither history nor trust to help, by the recall lost beside attackers absent under the
/// same rule, on average and at worst: this rule 0.9 and 6.3 points, NNM and the trimmed mean 1.6
/// and 10.3, the median 2.8 and 9.9, the trimmed mean 3.1 and 10.3, centered clipping 3.7 and 16.2.
/// Backdoors that keep the norm of their updates gained 2 to 8 points, under centered clipping 11
/// to 90. Where nobody attacks it costs 0.2 points of accuracy and 0.6 of recall against clipping.
pub const RULE: AggregationRule = AggregationRule::FilteredTrimmedMean { iterations: 32 };

/// The rule for f of 0 or 1: centered clipping around the previous aggregate, three iterations, radius
/// half of the median distance. Among four to six members a filter has too few to tell a direction: at
/// four heart hospitals with one hostile it loses up to 0.019 of AUC, this one 0.010.
///
/// The radius was chosen on seeds 301 to 320 of eight kinds of data with four to six members, one of
/// them hostile in 14 ways. With half of the median distance the worst of these 112 costs 3.9 points of
/// recall, with the whole 4.7, and 26 instead of 31 cost more than two; 605 instead of 613 of 2,240
/// are caught, one honest member is wronged either way, and accuracy is the same. A third, one iteration
/// and the geometric median are as good. On seeds 301 to 308 the median costs 0.6 points of accuracy, and
/// each of three rules behind nearest-neighbour mixing wrongs 3 to 11 honest members instead of one.
pub const RULE_FEW: AggregationRule =
    AggregationRule::CenteredClipping { iterations: 3, radius_milli: 500 };

/// What is struck for its distance must also point against the aggregate, at a cosine below -0.2.
/// Once the hostile one of four is in quarantine, an honest odd site is often two to three times as
/// far from the aggregate as the median, at cosines from 0.4 to about -0.15. Flipped signs and
/// labels and their copies are mostly at -0.5 to -0.8 until they are caught.
///
/// With one of four hostile on the Heart Disease data, on 15 random splits, 176 of 780 runs freeze
/// by distance alone, 25 with zero as the limit, none with this; nor do 520 runs on 10 splits that
/// took no part in the choice, and in none is an honest site quarantined. The price: on FLamby's
/// split 166 instead of 181 of 260 hostile members are caught. The others flip labels
/// or signs at scale 1, or work by inner products, and cost at most 0.009 of AUC.
const AGAINST: Option<i32> = Some(-200);

/// How trust moves from f = 2 on. A single round's distance takes five strikes in a row: with two, 5
/// of 390 honest members of consortia without attackers were quarantined over 63 rounds, all by
/// their distance, with five none. Distances are those of updates as they were sent: on seeds 301 to
/// 308 of five kinds of data and 16 attacks that catches 1,292 of 2,560 hostile members and wrongs
/// 19 of 5,760 honest ones; of updates scaled down to the usual norm 892 and 18.
pub const TRUST: TrustPolicy = TrustPolicy {
    outlier_milli: 3_000,
    strikes_to_quarantine: 5,
    clean_rounds_to_return: 10,
    outlier_cosine_milli: AGAINST,
    outlier_as_sent: true,
};

/// How trust moves for f of 0 or 1. Among four to six members a hostile update draws the median
/// distance towards its own, and no distance separates by as much: 1.9 times the median, five rounds
/// in a row. Above 2.4 quiet sign flips go unpunished, at a loss of about 0.02 of AUC. And distances
/// are those of updates scaled down: the honest of four or five have norms so different that, on
/// seeds 301 to 320 of four kinds of data and 13 attacks, 69 instead of 6 of 3,640 would be wronged.
pub const TRUST_FEW: TrustPolicy =
    TrustPolicy { outlier_milli: 1_900, outlier_as_sent: false, ..TRUST };

/// Updates over the usual norm are scaled down to it, so that a hostile one weighs no more than an
/// honest one, over ten times refused. Clipping at twice the usual norm instead lets honest sites be
/// framed by an inner-product attack among four; refusing over four times quarantined a small honest
/// hospital for five long updates in a row (1 of 104 members of a consortium with label skew).
pub const NORM_BAND: NormBand = NormBand { low_milli: 50, clip_milli: 1_000, high_milli: 10_000 };

/// A set of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// The balanced profile with lower limits for what counts as moving together.
    Strict,
    /// Norm admission, a rule that withstands f, trust, and history where f is two or more.
    Balanced,
    /// The balanced profile, with members that hold rows back and score, in every round, what a
    /// suspected cell does to the model. It asks more of the members than the others: each has to
    /// answer in the evaluation phase.
    Evaluated,
    /// Plain averaging by examples: no admission, no trust, no history, f = 0.
    Plain,
}

/// The task with the settings of a profile for `members` members: rule, f, weighting, norm band,
/// trust, history and `updates_min`. Everything else stays.
#[must_use]
pub fn apply(profile: Profile, task: TaskSpec, members: usize) -> TaskSpec {
    let byzantine = byzantine_max(members) as u32;
    if profile == Profile::Plain {
        return TaskSpec {
            rule: AggregationRule::Mean,
            byzantine: 0,
            weighting: Weighting::Examples,
            norm_band: None,
            trust: None,
            history: None,
            updates_min: (members as u32).saturating_sub(byzantine).max(1),
            ..task
        };
    }
    let history = match profile {
        Profile::Strict => HISTORY_STRICT,
        _ if byzantine >= MANY => HISTORY_MANY,
        _ => HISTORY_BALANCED,
    };
    let long_enough =
        task.rounds > u64::from(history.settle_rounds) + u64::from(history.baseline_rounds);
    let swings = Some(if byzantine == 2 { SWINGS_OF_PAIRS } else { SWINGS });
    let history = Some(HistoryPolicy { swings, ..history });
    let history = history.filter(|_| byzantine >= 2 && long_enough);
    let measured = profile == Profile::Evaluated && history.is_some();
    TaskSpec {
        evaluation: measured.then(|| evaluation(&task)).or_else(|| task.evaluation.clone()),
        rule: if byzantine < 2 { RULE_FEW } else { RULE },
        byzantine,
        weighting: Weighting::Uniform,
        norm_band: Some(NORM_BAND),
        trust: Some(if byzantine < 2 { TRUST_FEW } else { TRUST }),
        history,
        updates_min: (members as u32).saturating_sub(byzantine).max(1),
        ..task
    }
}

/// An evaluation phase, as long as a decision may take, in which the harm of suspected cells is
/// measured.
fn evaluation(task: &TaskSpec) -> EvaluationSpec {
    let window_ms = task.decide_window_ms;
    EvaluationSpec {
        candidates: Vec::new(),
        window_ms,
        harm: Some(HARM),
        classes: Vec::new(),
        protected_class: None,
    }
}

/// The evaluation that a profile gives, with losses by class, and with the limits for the harm of the
/// protected one where there is one.
#[must_use]
pub fn with_classes(
    evaluation: EvaluationSpec,
    classes: Vec<String>,
    protected_class: Option<String>,
) -> EvaluationSpec {
    let limits = if protected_class.is_some() { HARM_OF_CLASS } else { HARM };
    let harm = evaluation.harm.map(|_| limits);
    EvaluationSpec { harm, classes, protected_class, ..evaluation }
}

/// What the settings of a task promise with `members` members, one sentence each.
pub fn bounds(task: &TaskSpec, members: usize) -> Vec<String> {
    let (f, safe) = (task.byzantine as usize, byzantine_max(members));
    let mut said = vec![format!(
        "the ledger itself withstands {safe} faulty of {members} members; the rule is to withstand {f}"
    )];
    if f > safe {
        said.push(format!("with f = {f} over {safe} no quarantine can be relied on"));
    }
    if check_precondition(&task.rule, members, f).is_err() {
        said.push(format!("the rule is not defined for n = {members} and f = {f}: refused"));
    }
    said.push(match task.norm_band {
        Some(band) => format!(
            "one update weighs at most {} times the usual norm; over {} times it is refused",
            milli(band.clip_milli),
            milli(band.high_milli)
        ),
        None => {
            "one update can be of any size: scaling and model replacement are not bounded".into()
        }
    });
    if task.rule == AggregationRule::Mean {
        said.push(
            "averaging withstands nobody: sign flips, flipped labels and backdoors pass".into(),
        );
    }
    said.push(match (task.trust, task.history) {
        (None, _) => "nobody is ever quarantined".into(),
        (Some(_), None) => "drift that stays inside one round's noise is not detected".into(),
        (Some(_), Some(history)) => format!(
            "two or more of f = {f} members that begin to drift together after round {} are \
             quarantined once their common drift exceeds {} times what noise does; drift from \
             round 1 on, and drift of a single member, are not",
            u64::from(history.settle_rounds) + u64::from(history.baseline_rounds),
            milli(history.shift_milli),
        ),
    });
    if task.trust.is_some() && task.history.is_some() {
        said.push(
            "who announces a change of its data is not quarantined for drifting together with others, \
             but weighs a quarter for as long as it does: colluders who announce one too"
                .into(),
        );
    }
    if let Some(swings) = task.history.and_then(|history| history.swings) {
        said.push(format!(
            "what f = {f} members send may not change from round to round together for {} rounds in a \
             row, by over {} of the usual distance between members, or {} where it is the same: \
             drift that is on and off is seen so, from the first rounds on",
            swings.rounds_in_a_row,
            milli(swings.amplitude_milli),
            milli(swings.copy_amplitude_milli)
        ));
    }
    if task.evaluation.as_ref().is_some_and(|evaluation| evaluation.harm.is_some()) {
        said.push(format!(
            "up to f = {f} members that pull together from round 1 on are left out of a round's model \
             when the other members find it better without them, and quarantined when that goes on; \
             it takes {} members outside of the cell that score every round",
            2 * f + 1
        ));
    }
    if !task.classes().is_empty() {
        said.push(format!(
            "everybody tells the others its losses on {}, and how many held-out rows of each it has: \
             that names the class that was harmed",
            task.classes().join(", ")
        ));
    }
    if let Some(class) = task.protected_class() {
        said.push(format!(
            "harm is what raises the loss on {}: what is done to other classes is not measured",
            task.classes()[class]
        ));
    }
    let limit = task.evaluation.as_ref().and_then(|evaluation| evaluation.harm?.return_micro);
    if let Some(limit) = limit {
        said.push(format!(
            "members quarantined for moving together come back, wherever they are by then, when the \
             others measure that it raises their loss{} by at most {} %: hostile ones too",
            task.protected_class()
                .map_or_else(String::new, |class| format!(" on {}", task.classes()[class])),
            milli(limit.div_ceil(10))
        ));
    }
    if let (Some(history), Some(parameters)) = (task.history, task.parameters()) {
        let bytes = sketch_bytes(&history, parameters as usize) * members;
        said.push(format!("the history adds {bytes} bytes to a block each round"));
        if parameters > u64::from(history.sketch_width) {
            said.push(format!(
                "the history sees {} of {parameters} dimensions, by a public projection: an attacker \
                 that avoids them is not seen by it",
                history.sketch_width
            ));
        }
    }
    said
}

/// Thousandths as a decimal: 2500 → `2.5`.
fn milli(value: u32) -> String {
    let text = format!("{}.{:03}", value / 1000, value % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{apply, bounds, Profile};
    use crate::task_check::check_task;
    use crate::testing::task;
    use fedledger_ledger::task::TaskSpec;

    #[test]
    fn every_profile_makes_a_task_that_works_at_every_size() {
        for members in 1..=40 {
            for profile in [Profile::Strict, Profile::Balanced, Profile::Evaluated, Profile::Plain]
            {
                let task = apply(profile, TaskSpec { rounds: 60, ..task(1, 3) }, members);
                assert_eq!(check_task(&task, members), Ok(()), "{profile:?} {members}");
                assert_eq!(task.history.is_some(), members >= 7 && profile != Profile::Plain);
            }
        }
    }

    #[test]
    fn bounds_say_what_is_not_withstood() {
        let said = |profile| bounds(&apply(profile, TaskSpec { rounds: 60, ..task(1, 3) }, 13), 13);
        let (plain, balanced) =
            (said(Profile::Plain).join("; "), said(Profile::Balanced).join("; "));
        assert!(plain.contains("averaging withstands nobody"), "{plain}");
        assert!(balanced.contains("f = 4 members that begin to drift together"), "{balanced}");
        assert!(balanced.contains("after round 17"), "{balanced}");
        assert!(balanced.contains("colluders who announce one too"), "{balanced}");
        assert!(!plain.contains("announces"), "{plain}");
        assert!(balanced.contains("by over 0.4 of the usual distance"), "{balanced}");
        let evaluated = said(Profile::Evaluated).join("; ");
        assert!(evaluated.contains("it takes 9 members outside of the cell"), "{evaluated}");
        assert!(evaluated.contains("raises their loss by at most 0.18 %"), "{evaluated}");
        assert!(!evaluated.contains("held-out rows of each"), "{evaluated}");
        let mut task = apply(Profile::Evaluated, TaskSpec { rounds: 60, ..task(1, 3) }, 13);
        let evaluation = task.evaluation.as_mut().expect("the profile evaluates");
        evaluation.classes = vec!["benign".into(), "malignant".into()];
        let by_class = bounds(&task, 13).join("; ");
        assert!(by_class.contains("losses on benign, malignant, and how many"), "{by_class}");
    }
}
