//! Every field of a task at its extremes: refused by its name, or a whole round works.

use fedledger_contract::canonical::Schema;
use fedledger_contract::profile::bounds;
use fedledger_contract::profile::SWINGS;
use fedledger_contract::{check_task, TaskFault};
use fedledger_ledger::ids::TaskId;
use fedledger_ledger::limits::{
    CLASSES_MAX, CLASS_NAME_BYTES_MAX, MEMBERS_MAX, PARAMETERS_MAX, ROUNDS_MAX, WINDOW_MS_MAX,
};
use fedledger_ledger::task::{
    AggregationRule, EvaluationSpec, HarmPolicy, HistoryPolicy, NormBand, PreAggregation,
    SwingPolicy, TaskSpec, TensorSpec, TrustPolicy, Weighting,
};

use crate::player::Player;

const MEMBERS: usize = 13;

/// A task that has everything that a task can have.
pub fn full(members: usize) -> TaskSpec {
    use AggregationRule as Rule;
    let tensors = vec![
        TensorSpec { name: "coarse".into(), shape: vec![], scale_bits: -32 },
        TensorSpec { name: "fine".into(), shape: vec![3, 7], scale_bits: 48 },
    ];
    let schema = Schema::of_tensors(&tensors).expect("the tensors make a schema");
    let byzantine = fedledger_ledger::ids::byzantine_max(members) as u32;
    let mixed = Rule::PreAggregated {
        stages: vec![PreAggregation::NearestNeighbours, PreAggregation::AdaptiveClipping],
        rule: Box::new(Rule::FilteredTrimmedMean { iterations: 16 }),
    };
    let divided =
        Rule::DivideAndConquer { coordinates: Some(10), iterations: 2, removed_milli: 1_000 };
    TaskSpec {
        id: TaskId::new("full").expect("a short slug is an id"),
        description: "everything at once".into(),
        initial_model: schema.digest_of(&schema.zero_model()).expect("zeros are in range"),
        tensors,
        rounds: 60,
        rule: Rule::CenteredClipping { iterations: 3, radius_milli: 1_000 },
        byzantine,
        weighting: Weighting::Examples,
        norm_band: Some(NormBand { low_milli: 50, clip_milli: 1_000, high_milli: 4_000 }),
        trust: Some(TrustPolicy {
            outlier_milli: 3_000,
            strikes_to_quarantine: 5,
            clean_rounds_to_return: 10,
            outlier_cosine_milli: Some(-200),
            outlier_as_sent: true,
        }),
        evaluation: Some(EvaluationSpec {
            candidates: vec![
                Rule::Mean,
                Rule::GeometricMedian { iterations: 8 },
                mixed,
                divided,
                Rule::Median,
            ],
            window_ms: 1_000,
            harm: Some(HarmPolicy {
                observed_rounds: 6,
                cosine_milli: 300,
                allowance_milli: 1_250,
                limit_milli: 6_000,
                return_micro: Some(1_800),
                all_rows_milli: Some(700),
            }),
            classes: (0..CLASSES_MAX).map(|at| format!("{at:0>CLASS_NAME_BYTES_MAX$}")).collect(),
            protected_class: None,
        }),
        updates_min: members as u32 - byzantine,
        commit_window_ms: 1_000,
        reveal_window_ms: 1_000,
        decide_window_ms: 1_000,
        history: Some(HistoryPolicy {
            sketch_width: 16,
            settle_rounds: 0,
            baseline_rounds: 4,
            bond_milli: 1_000,
            shift_milli: 1,
            lead_milli: 0,
            rounds_in_a_row: 1,
            swings: Some(SWINGS),
        }),
    }
}

/// One field at one value, and what a refusal has to name.
struct Variant {
    named: &'static str,
    task: TaskSpec,
}

macro_rules! at_extremes {
    ($list:ident, $type:ty, $named:literal, [$($limit:expr),*], |$task:ident| $field:expr) => {
        let least_and_greatest = [
            <$type>::MIN, <$type>::MIN + 1, 0, 1, 2,
            <$type>::MAX / 2, <$type>::MAX / 2 + 1, <$type>::MAX - 1, <$type>::MAX,
        ];
        #[allow(clippy::cast_lossless, trivial_numeric_casts)]
        let limits: Vec<$type> = vec![$($limit as $type - 1, $limit as $type, $limit as $type + 1),*];
        for value in least_and_greatest.into_iter().chain(limits) {
            let mut task = full(MEMBERS);
            {
                let $task = &mut task;
                $field = value;
            }
            $list.push(Variant { named: $named, task });
        }
    };
}

fn part<T>(part: &mut Option<T>) -> &mut T {
    part.as_mut().expect("the full task has every part")
}

fn numbers() -> Vec<Variant> {
    let mut all = Vec::new();
    at_extremes!(all, u64, "rounds", [ROUNDS_MAX], |task| task.rounds);
    at_extremes!(all, u64, "commit_window_ms", [WINDOW_MS_MAX], |task| task.commit_window_ms);
    at_extremes!(all, u64, "reveal_window_ms", [WINDOW_MS_MAX], |task| task.reveal_window_ms);
    at_extremes!(all, u64, "decide_window_ms", [WINDOW_MS_MAX], |task| task.decide_window_ms);
    at_extremes!(all, u32, "f = ", [4, 6, MEMBERS], |task| task.byzantine);
    at_extremes!(all, u32, "updates_min", [9, MEMBERS, MEMBERS_MAX], |task| task.updates_min);
    at_extremes!(all, u32, "norm band", [1_000], |task| part(&mut task.norm_band).low_milli);
    at_extremes!(all, u32, "norm band", [1_000], |task| part(&mut task.norm_band).clip_milli);
    at_extremes!(all, u32, "norm band", [1_000], |task| part(&mut task.norm_band).high_milli);
    at_extremes!(all, u32, "outlier_milli", [1_000], |task| part(&mut task.trust).outlier_milli);
    at_extremes!(all, u32, "strikes_to_quarantine", [1_000], |task| part(&mut task.trust)
        .strikes_to_quarantine);
    at_extremes!(all, u32, "clean_rounds_to_return", [1_000], |task| part(&mut task.trust)
        .clean_rounds_to_return);
    at_extremes!(all, i32, "outlier_cosine_milli", [-1_000, 1_000], |task| *part(
        &mut part(&mut task.trust).outlier_cosine_milli
    ));
    at_extremes!(all, u64, "window_ms", [WINDOW_MS_MAX], |task| part(&mut task.evaluation)
        .window_ms);
    harm(&mut all);
    history(&mut all);
    all
}

fn harm(all: &mut Vec<Variant>) {
    at_extremes!(all, u32, "observed_rounds", [1_000], |task| part(
        &mut part(&mut task.evaluation).harm
    )
    .observed_rounds);
    at_extremes!(all, u32, "cosine_milli", [1_000], |task| part(
        &mut part(&mut task.evaluation).harm
    )
    .cosine_milli);
    at_extremes!(all, u32, "allowance_milli", [3_000], |task| part(
        &mut part(&mut task.evaluation).harm
    )
    .allowance_milli);
    at_extremes!(all, u32, "limit_milli", [1_000_000], |task| part(
        &mut part(&mut task.evaluation).harm
    )
    .limit_milli);
    at_extremes!(all, u32, "return_micro", [10_000], |task| *part(
        &mut part(&mut part(&mut task.evaluation).harm).return_micro
    ));
    at_extremes!(all, u32, "all_rows_milli", [6_000], |task| *part(
        &mut part(&mut part(&mut task.evaluation).harm).all_rows_milli
    ));
}

fn history(all: &mut Vec<Variant>) {
    at_extremes!(all, u32, "sketch_width", [16, 1_024], |task| part(&mut task.history)
        .sketch_width);
    // A baseline that is longer than the task leaves no rounds to judge.
    at_extremes!(all, u32, "rounds", [1_000], |task| part(&mut task.history).settle_rounds);
    at_extremes!(all, u32, "rounds", [1_000], |task| part(&mut task.history).baseline_rounds);
    at_extremes!(all, u32, "bond_milli", [1_000_000], |task| part(&mut task.history).bond_milli);
    at_extremes!(all, u32, "shift_milli", [1_000_000], |task| part(&mut task.history).shift_milli);
    at_extremes!(all, u32, "lead_milli", [1_000_000], |task| part(&mut task.history).lead_milli);
    at_extremes!(all, u32, "rounds_in_a_row", [1_000], |task| part(&mut task.history)
        .rounds_in_a_row);
    swings(all);
}

fn swings(all: &mut Vec<Variant>) {
    at_extremes!(all, u32, "window_rounds", [3, 100], |task| swinging(task).window_rounds);
    at_extremes!(all, u32, "correlation_milli", [970, 999], |task| swinging(task)
        .correlation_milli);
    at_extremes!(all, u32, "amplitude_milli", [100, 1_000_000], |task| swinging(task)
        .amplitude_milli);
    at_extremes!(all, u32, "copy_correlation_milli", [500, 999], |task| swinging(task)
        .copy_correlation_milli);
    at_extremes!(all, u32, "copy_amplitude_milli", [400], |task| swinging(task)
        .copy_amplitude_milli);
    at_extremes!(all, u32, "rounds_in_a_row of the swings", [1_000], |task| swinging(task)
        .rounds_in_a_row);
}

fn swinging(task: &mut TaskSpec) -> &mut SwingPolicy {
    part(&mut part(&mut task.history).swings)
}

fn tensors() -> Vec<Variant> {
    let mut all = Vec::new();
    at_extremes!(all, i8, "scale", [-32, 48], |task| task.tensors[1].scale_bits);
    let shapes = [
        vec![0],
        vec![u64::MAX],
        vec![u64::MAX, u64::MAX],
        vec![1 << 32, 1 << 32],
        vec![PARAMETERS_MAX + 1],
        vec![u64::MAX, 0],
        vec![1; 9],
        vec![1 << 63, 2],
    ];
    for shape in shapes {
        let mut task = full(MEMBERS);
        task.tensors[1].shape = shape;
        all.push(Variant { named: "fine", task });
    }
    all
}

/// A rule with each of its parameters at the extremes, as the task's own and as a candidate.
fn rules() -> Vec<Variant> {
    use AggregationRule as Rule;
    let values = [0, 1, 2, 3, 10, 16, 17, 64, 65, 128, 129, 1_000_000, u32::MAX - 1, u32::MAX];
    let mut rules: Vec<(&'static str, Rule)> = Vec::new();
    for value in values {
        let some = Some(value);
        rules.push(("neighbours", Rule::Krum { neighbours: some }));
        rules.push(("neighbours", Rule::MultiKrum { neighbours: some, selected: None }));
        rules.push(("selected", Rule::MultiKrum { neighbours: None, selected: some }));
        rules.push(("iterations", Rule::GeometricMedian { iterations: value }));
        let clipping =
            |iterations, radius_milli| Rule::CenteredClipping { iterations, radius_milli };
        rules.push(("iterations", clipping(value, 1_000)));
        rules.push(("radius_milli", clipping(1, value)));
        rules.push(("radius_milli", clipping(64, value)));
        rules.push(("iterations", Rule::FilteredTrimmedMean { iterations: value }));
        let divided = |coordinates, iterations, removed_milli| Rule::DivideAndConquer {
            coordinates,
            iterations,
            removed_milli,
        };
        rules.push(("coordinates", divided(some, 1, 1_000)));
        rules.push(("iterations", divided(Some(1), value, 1_000)));
        rules.push(("removed_milli", divided(None, 1, value)));
        let stages = vec![PreAggregation::Bucketing { size: value }];
        let bucketed = Rule::PreAggregated { stages, rule: Box::new(Rule::Mean) };
        rules.push(("bucketing", bucketed));
    }
    for count in [0, 1, 4, 5, 300] {
        let stages = vec![PreAggregation::NearestNeighbours; count];
        let mixed = Rule::PreAggregated { stages, rule: Box::new(Rule::TrimmedMean) };
        rules.push(("stages", mixed));
    }
    let own = rules.iter().map(|(named, rule)| {
        // Krum takes two members more than the others.
        let (byzantine, updates_min) = (3, 10);
        let task = TaskSpec { rule: rule.clone(), byzantine, updates_min, ..full(MEMBERS) };
        Variant { named, task }
    });
    let candidate = rules.iter().map(|(named, rule)| {
        let mut task = TaskSpec { byzantine: 3, updates_min: 10, ..full(MEMBERS) };
        part(&mut task.evaluation).candidates = vec![rule.clone()];
        Variant { named, task }
    });
    own.chain(candidate).collect()
}

/// Checks a task; whether it is accepted. What is refused is named.
fn is_accepted(variant: &Variant) -> bool {
    match check_task(&variant.task, MEMBERS) {
        Ok(()) => true,
        Err(fault) => {
            let (said, named) = (fault.to_string(), variant.named);
            let other = matches!(
                fault,
                // f over what the members allow, and what a rule says of it.
                TaskFault::HistoryTooFew { .. }
                    | TaskFault::UpdatesMinTooSmall { .. }
                    | TaskFault::RepeatedCandidate
            );
            let precondition = "with ";
            assert!(
                other || said.contains(named) || said.starts_with(precondition),
                "{named} is not named in: {said}"
            );
            false
        }
    }
}

#[test]
fn every_field_at_its_extremes_is_refused_by_name_or_plays_a_round() {
    let variants = numbers().into_iter().chain(tensors()).chain(rules());
    let (mut accepted, mut refused) = (0, 0);
    for variant in variants {
        // What a task promises is printed for whoever creates it.
        assert!(!bounds(&variant.task, MEMBERS).is_empty());
        if !is_accepted(&variant) {
            refused += 1;
            continue;
        }
        accepted += 1;
        let mut player = Player::new(MEMBERS, variant.task);
        player.play(1);
        assert_eq!(player.outcomes(), 1, "{}", variant.named);
    }
    assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
}

/// Two fields at once: a sum or product of two limits is where a check of each alone fails.
#[test]
fn no_two_fields_at_their_extremes_get_past_the_check_unnoticed() {
    fn differs(task: &TaskSpec) -> bool {
        *task != full(MEMBERS)
    }
    let variants: Vec<Variant> = numbers().into_iter().filter(|one| differs(&one.task)).collect();
    let histories = variants.iter().filter(|one| one.task.history != full(MEMBERS).history);
    let mut accepted = Vec::new();
    for first in histories {
        for second in &variants {
            let task = TaskSpec { history: first.task.history, ..second.task.clone() };
            let _ = bounds(&task, MEMBERS);
            if check_task(&task, MEMBERS).is_ok() {
                accepted.push(task);
            }
        }
    }
    // Every seventeenth is played, so that all fields take part.
    for task in accepted.into_iter().step_by(17) {
        let mut player = Player::new(MEMBERS, task);
        player.play(1);
        assert_eq!(player.outcomes(), 1);
    }
}

/// As many members as there can be, with every part of a task, over some rounds of history.
#[test]
fn the_largest_consortium_plays_its_rounds() {
    let mut player = Player::new(MEMBERS_MAX, full(MEMBERS_MAX));
    player.play(8);
    assert_eq!(player.outcomes(), 8);
    assert!(player.view().task_progress(&player.task).is_some_and(|one| one.aggregated > 0));
}
