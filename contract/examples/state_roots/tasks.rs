//! The tasks: every rule and pre-aggregation, with and without norm band, trust, weights by examples,
//! evaluation, history, swings, the harm of suspected cells, and returns, by class.

use fedledger_contract::canonical::Schema;
use fedledger_ledger::ids::TaskId;
use fedledger_ledger::task::{
    AggregationRule, EvaluationSpec, HarmPolicy, HistoryPolicy, NormBand, PreAggregation,
    SwingPolicy, TaskSpec, TensorSpec, TrustPolicy, Weighting,
};

/// Number of members: the fewest with which Bulyan withstands one.
pub const MEMBERS: usize = 7;
/// Rounds of each task.
pub const ROUNDS: u64 = 8;
/// Parameters of most tasks: a few of the blocks that threads share, the last one ragged.
const SMALL: u64 = 3_001;
/// Parameters of the others: over the 2^16 values that one thread sums at a time.
const LARGE: u64 = 66_003;

/// The history judges from round 5 on, and one round in a cell is enough, so that eight rounds show
/// all that it does.
const HISTORY: HistoryPolicy = HistoryPolicy {
    sketch_width: 64,
    settle_rounds: 0,
    baseline_rounds: 4,
    bond_milli: 1_000,
    shift_milli: 1_000,
    lead_milli: 0,
    rounds_in_a_row: 1,
    swings: None,
};
const HARM: HarmPolicy = HarmPolicy {
    observed_rounds: 3,
    cosine_milli: 500,
    allowance_milli: 500,
    limit_milli: 8_000,
    return_micro: None,
    all_rows_milli: None,
};
/// Three changes from one round to the next, of which two count, are enough.
const SWINGS: SwingPolicy = SwingPolicy {
    window_rounds: 3,
    correlation_milli: 300,
    amplitude_milli: 200,
    copy_correlation_milli: 970,
    copy_amplitude_milli: 100,
    rounds_in_a_row: 1,
};

/// Whether two members push in one direction in a round of this task; none where they never do. See
/// `acts.rs`.
pub fn drifts(task: &TaskId, round: u64) -> Option<bool> {
    let baseline = u64::from(HISTORY.baseline_rounds);
    match task.as_str() {
        // Before any baseline: what evaluators measure is all that shows it.
        "measured" => Some(round >= 2),
        "announcing" | "remembered" | "returning" => Some(round > baseline),
        "swinging" => Some(round % 2 == 0),
        _ => None,
    }
}

/// Whether a member says in a round of this task that its data change, once it has a baseline: the two
/// that begin to drift, and one that does not.
pub fn announces(task: &TaskId, round: u64, member: usize) -> bool {
    let begins = round == u64::from(HISTORY.baseline_rounds) + 1;
    task.as_str() == "announcing" && begins && (member == 4 || member + 2 >= MEMBERS)
}

/// All tasks, by id.
pub fn tasks() -> Vec<TaskSpec> {
    use AggregationRule as Rule;
    let centered = Rule::CenteredClipping { iterations: 3, radius_milli: 1_000 };
    let geometric = Rule::GeometricMedian { iterations: 8 };
    let divided =
        Rule::DivideAndConquer { coordinates: Some(500), iterations: 3, removed_milli: 1_500 };
    let mixed = Rule::PreAggregated {
        stages: vec![PreAggregation::NearestNeighbours, PreAggregation::AdaptiveClipping],
        rule: Box::new(Rule::TrimmedMean),
    };
    let bucketed = Rule::PreAggregated {
        stages: vec![PreAggregation::AdaptiveClipping, PreAggregation::Bucketing { size: 2 }],
        rule: Box::new(geometric.clone()),
    };
    let measured = EvaluationSpec {
        candidates: Vec::new(),
        window_ms: 3_000,
        harm: Some(HARM),
        classes: Vec::new(),
        protected_class: None,
    };
    // Nobody is suspected: all that is measured is who may come back.
    let returning = EvaluationSpec {
        harm: Some(HarmPolicy {
            cosine_milli: 1_000,
            return_micro: Some(6_000),
            all_rows_milli: Some(700),
            ..HARM
        }),
        classes: vec!["benign".into(), "malignant".into()],
        protected_class: Some("malignant".into()),
        ..measured.clone()
    };
    let examples =
        |task: TaskSpec| TaskSpec { weighting: Weighting::Examples, norm_band: None, ..task };
    let evaluated = EvaluationSpec {
        candidates: vec![
            Rule::Krum { neighbours: None },
            centered.clone(),
            geometric.clone(),
            Rule::Mean,
        ],
        window_ms: 3_000,
        harm: None,
        classes: Vec::new(),
        protected_class: None,
    };
    vec![
        drifting("announcing", SMALL),
        task("bucketed", bucketed, LARGE),
        TaskSpec { updates_min: 7, ..task("bulyan", Rule::Bulyan, SMALL) },
        task("centered", centered, SMALL),
        task("divided", divided, SMALL),
        TaskSpec { evaluation: Some(evaluated), ..task("evaluated", Rule::Median, SMALL) },
        task("filtered", Rule::FilteredTrimmedMean { iterations: 8 }, SMALL),
        examples(task("geometric", geometric, LARGE)),
        task("krum", Rule::Krum { neighbours: None }, SMALL),
        TaskSpec { trust: None, ..examples(task("mean", Rule::Mean, SMALL)) },
        TaskSpec { evaluation: Some(measured), ..drifting("measured", LARGE) },
        task("median", Rule::Median, SMALL),
        task("mixed", mixed, SMALL),
        task("multi-krum", Rule::MultiKrum { neighbours: Some(3), selected: Some(4) }, LARGE),
        drifting("remembered", SMALL),
        TaskSpec { evaluation: Some(returning), ..drifting("returning", SMALL) },
        swinging("swinging"),
        task("trimmed", Rule::TrimmedMean, SMALL),
    ]
}

/// A task whose history is judged, with f = 2: it takes two to move together.
fn drifting(id: &str, parameters: u64) -> TaskSpec {
    let task = task(id, AggregationRule::TrimmedMean, parameters);
    TaskSpec { byzantine: 2, history: Some(HISTORY), ..task }
}

/// A task that has no baseline before its end.
fn swinging(id: &str) -> TaskSpec {
    let history = HistoryPolicy { baseline_rounds: 7, swings: Some(SWINGS), ..HISTORY };
    TaskSpec { history: Some(history), ..drifting(id, SMALL) }
}

fn task(id: &str, rule: AggregationRule, parameters: u64) -> TaskSpec {
    let tensors = vec![
        TensorSpec { name: "bias".into(), shape: vec![], scale_bits: 12 },
        TensorSpec { name: "weight".into(), shape: vec![parameters - 1], scale_bits: 16 },
    ];
    let schema = Schema::of_tensors(&tensors).expect("the tensors make a schema");
    TaskSpec {
        id: TaskId::new(id).expect("a short slug is an id"),
        description: "one rule under every kind of bad submission".into(),
        tensors,
        initial_model: schema.digest_of(&schema.zero_model()).expect("zeros are in range"),
        rounds: ROUNDS,
        rule,
        byzantine: 1,
        weighting: Weighting::Uniform,
        norm_band: Some(NormBand { low_milli: 100, clip_milli: 1_500, high_milli: 5_000 }),
        trust: Some(TrustPolicy {
            outlier_milli: 3_000,
            outlier_cosine_milli: None,
            outlier_as_sent: false,
            strikes_to_quarantine: 2,
            clean_rounds_to_return: 2,
        }),
        evaluation: None,
        updates_min: 5,
        commit_window_ms: 1_000,
        reveal_window_ms: 2_000,
        decide_window_ms: 4_000,
        history: None,
    }
}
