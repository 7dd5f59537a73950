//! The fields of a scenario file.

use fedledger_ledger::limits::MEMBERS_MAX;
use serde_json::{json, Value};

use super::shape::{like, Absent, Field, Shape, Variant};
use crate::attack::{Attack, Schedule};
use crate::defaults;

/// Most rounds of a scenario.
pub const ROUNDS_MAX: i64 = 100_000;
/// Most seeds.
pub const SEEDS_MAX: usize = 1_000;

/// The fields of the whole document.
pub fn root() -> Vec<Field> {
    let mut fields = scenario();
    fields.push(Field::optional(
        "sweep",
        Shape::Table(super::sweep::fields()),
        "every axis has the one value of the scenario",
        "What `sim sweep` varies: it runs every combination.",
    ));
    fields
}

/// The fields of the document but for what a sweep varies.
pub(super) fn scenario() -> Vec<Field> {
    vec![
        Field::required("title", Shape::Text, "A headline."),
        Field::default("description", Shape::Text, "", "What it is to show, in sentences."),
        Field::default(
            "members",
            Shape::count(2, MEMBERS_MAX as i64),
            0,
            "Number of members over which the data are divided, or that are drawn of the institutions \
             that a column `site` names; leave it out for data with sites of their own and no `split`.",
        ),
        Field::required("rounds", Shape::count(1, ROUNDS_MAX), "Rounds of training."),
        Field::default(
            "seeds",
            Shape::list(Shape::count(0, i64::MAX), 1, SEEDS_MAX),
            json!([1, 2, 3, 4, 5]),
            "Everything random follows from the seed; each is run by itself.",
        ),
        Field::default(
            "measure_every",
            Shape::count(0, ROUNDS_MAX),
            0,
            "Measure the model after every so many rounds; 0 makes at most 200 points.",
        ),
        Field::required("data", Shape::Named(super::data::variants()), "The data."),
        Field::optional(
            "split",
            Shape::Named(super::data::split_variants()),
            "divided at random into equal parts, or the data's own sites",
            "How the data are divided over the members.",
        ),
        Field::optional(
            "shift",
            Shape::Table(super::data::shift_fields()),
            "sites differ as divided",
            "How honest sites are made to differ beyond how rows are divided.",
        ),
        Field::default("model", model(), json!({"name": "logistic"}), "The model."),
        Field::optional("training", Shape::Table(training()), "as below", "How members train."),
        Field::optional(
            "changes",
            Shape::list(Shape::Table(changes()), 1, 16),
            "honest members stay as they are",
            "Honest change-points: what an honest member trains on and is measured on changes; one \
             `[[changes]]` table each.",
        ),
        Field::optional(
            "attackers",
            Shape::list(Shape::Table(attackers()), 1, 16),
            "nobody attacks",
            "Groups of members that attack; one `[[attackers]]` table each.",
        ),
        Field::optional(
            "contract",
            Shape::Table(super::contract::fields()),
            "the default contract",
            "The contract's settings.",
        ),
        Field::optional(
            "acceptance",
            Shape::Table(super::acceptance::fields()),
            "nothing is asked; the verdict is a pass",
            "What the outcome must not exceed.",
        ),
    ]
}

/// The models.
pub(super) fn model() -> Shape {
    let logistic = Variant {
        name: "logistic",
        doc: "Logistic regression; softmax regression for more than two classes.".to_owned(),
        fields: Vec::new(),
    };
    let hidden = Shape::count(1, 4_096);
    let mlp = Variant {
        name: "mlp",
        doc: "One hidden layer of rectified linear units.".to_owned(),
        fields: vec![Field::required("hidden", hidden, "Number of hidden units.")],
    };
    let filters = Shape::count(1, 256);
    let cnn = Variant {
        name: "cnn",
        doc:
            "A small convolutional network, for images of 4 × 4 pixels or more: filters of 3 × 3, \
              rectified, averaged over 2 × 2, and a linear layer."
                .to_owned(),
        fields: vec![Field::required("filters", filters, "Number of filters.")],
    };
    Shape::Named(vec![logistic, mlp, cnn])
}

fn training() -> Vec<Field> {
    let training = defaults::TRAINING;
    let positive = Shape::Number { min: 1e-6, max: 100.0 };
    let below_one = Shape::Number { min: 0.0, max: 0.999 };
    vec![
        Field::default(
            "epochs",
            Shape::count(1, 1_000),
            training.epochs,
            "Passes over a member's rows in a round.",
        ),
        Field::default(
            "batch_size",
            Shape::count(1, 1 << 20),
            training.batch_size,
            "Rows in a step.",
        ),
        Field::default("learning_rate", positive, short(training.learning_rate), "Step length."),
        Field::default(
            "l2",
            Shape::Number { min: 0.0, max: 10.0 },
            short(training.l2),
            "Weight decay.",
        ),
        Field::default(
            "momentum",
            below_one,
            short(training.momentum),
            "Share of the last step that is kept; starts anew each round.",
        ),
        Field::default(
            "class_balanced",
            Shape::Flag,
            training.class_balanced,
            "Repeat rows of the rarer classes until all have the same number.",
        ),
    ]
}

/// A 32-bit float as the shortest decimal that reads back as it.
fn short(value: f32) -> Value {
    json!(value.to_string().parse::<f64>().expect("a printed float is a number"))
}

/// The fields of one group of honest members that change.
pub(super) fn changes() -> Vec<Field> {
    vec![
        Field::optional(
            "count",
            Shape::count(1, MEMBERS_MAX as i64),
            "`members` says who",
            "How many, drawn by the seed among the honest ones not in another group.",
        ),
        Field::optional(
            "members",
            Shape::list(Shape::Text, 1, MEMBERS_MAX),
            "`count` are drawn",
            "Who, by member id; none of them is drawn as an attacker.",
        ),
        Field::required("round", Shape::count(2, ROUNDS_MAX), "First round on the changed data."),
        Field::default(
            "announced",
            Shape::Flag,
            false,
            "Whether they announce it to the contract before they commit.",
        ),
        Field::required(
            "change",
            Shape::Named(super::data::change_variants()),
            "What changes, in training rows and held-out rows.",
        ),
    ]
}

/// The fields of one group of attackers.
pub(super) fn attackers() -> Vec<Field> {
    let name = Shape::Text;
    vec![
        Field::optional(
            "count",
            Shape::count(1, MEMBERS_MAX as i64),
            "`members` says who",
            "How many, drawn by the seed among those not in another group.",
        ),
        Field::optional(
            "members",
            Shape::list(name, 1, MEMBERS_MAX),
            "`count` are drawn",
            "Who, by member id.",
        ),
        Field::default(
            "knowledge",
            Shape::Choice(vec!["colluders", "omniscient"]),
            "colluders",
            "`colluders` build on their own data, all that commit and reveal leave them; \
             `omniscient` ones see the honest updates of the same round.",
        ),
        Field::required("attack", Shape::Named(attack_variants()), "What they do."),
        Field::optional(
            "schedule",
            Shape::Table(schedule()),
            "at full strength in every round",
            "When they act, and how hard.",
        ),
        Field::default(
            "evaluations",
            Shape::Choice(vec!["honest", "inverted", "framing"]),
            "honest",
            "What they report where members score candidates: what they measure; that turned round; \
             or that a suspected cell with none of them does the greatest harm.",
        ),
        Field::default(
            "announced",
            Shape::Flag,
            false,
            "Whether they announce to the contract, in the first round of their schedule, that their \
             data change: the contract excuses them, at reduced weight.",
        ),
    ]
}

/// One variant for each attack; knobs and defaults are read off the attack itself.
pub fn attack_variants() -> Vec<Variant> {
    let variants = Attack::all().into_iter().map(|attack| {
        let value = serde_json::to_value(&attack).expect("knobs are plain values");
        let Shape::Table(mut fields) = like(&value) else { unreachable!("attacks are tables") };
        fields.retain(|field| field.name != "name");
        for field in &mut fields {
            optional_all_through(field);
        }
        Variant { name: attack.name(), doc: attack.describe(), fields }
    });
    variants.collect()
}

/// Knobs may all be left out. A knob that is an attack itself is read by the attack.
fn optional_all_through(field: &mut Field) {
    if let Shape::Table(inner) = &field.shape {
        if inner.iter().any(|field| field.name == "name") {
            field.shape = Shape::Any;
        }
    }
    if field.absent == Absent::Refused {
        field.absent = Absent::Meaning("the attack's default");
    }
}

/// The fields of a schedule.
pub(super) fn schedule() -> Vec<Field> {
    let default = Schedule::default();
    let rounds = |min| Shape::count(min, ROUNDS_MAX);
    let share = || Shape::Number { min: 1e-6, max: 1.0 };
    vec![
        Field::default("from", rounds(1), default.from, "First hostile round."),
        Field::default(
            "ramp",
            rounds(0),
            default.ramp,
            "Rounds in which the strength rises in equal steps to its peak.",
        ),
        Field::optional("until", rounds(1), "the end", "Last hostile round."),
        Field::default(
            "period",
            rounds(0),
            default.period,
            "Length of an on-off period in rounds; 0 is always on.",
        ),
        Field::default("duty", share(), default.duty, "Share of each period that is hostile."),
        Field::default("peak", share(), default.peak, "Strength once the ramp is over."),
        Field::default(
            "stagger",
            rounds(0),
            default.stagger,
            "Rounds by which each further member begins later than the one before.",
        ),
    ]
}
