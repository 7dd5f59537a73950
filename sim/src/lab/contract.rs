//! The contract's settings in a scenario, and the task that they make.

use fedledger_contract::profile;
use fedledger_contract::task_check::{check_classes, check_task};
use fedledger_ledger::ids::TaskId;
use fedledger_ledger::limits::{CLASSES_MAX, CLASSES_MIN};
use fedledger_ledger::task::{
    AggregationRule, EvaluationSpec, HarmPolicy, HistoryPolicy, NormBand, SwingPolicy, TaskSpec,
    TrustPolicy, Weighting,
};
use serde::{Deserialize, Serialize};

use super::shape::{Field, Shape, Variant};
use crate::comparison::mean_task;
use crate::federation::FederationError;
use crate::scenario::Scenario;

/// The contract's settings: a profile, and what differs from it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContractChoice {
    /// What the other settings differ from.
    pub profile: Profile,
    /// The aggregation rule.
    pub rule: Option<AggregationRule>,
    /// f: how many updates the rule is to withstand.
    pub byzantine: Option<u32>,
    /// How updates are weighed.
    pub weighting: Option<Weighting>,
    /// Admission by norm.
    pub norm_band: Option<Switch<NormBand>>,
    /// How trust moves.
    pub trust: Option<Switch<TrustPolicy>>,
    /// What is remembered of past rounds, and how it is judged.
    pub history: Option<Switch<HistoryPolicy>>,
    /// Whether members score what a suspected cell does to the model, and when it counts.
    pub harm: Option<Switch<HarmPolicy>>,
    /// Names of the data's classes, where members report their losses by class too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The one of these whose loss tells harm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_class: Option<String>,
}

/// A set of settings that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// The contract's balanced profile: what a consortium gets unless it asks for something else.
    #[default]
    Balanced,
    /// The balanced profile with an evaluation phase that measures the harm of suspected cells.
    Evaluated,
    /// The contract's strict profile: the same, with lower limits.
    Strict,
    /// Plain averaging by examples, no admission, no trust: no defence at all.
    Plain,
}

/// Settings that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Switch<T> {
    /// `"none"`.
    Off(Nothing),
    /// The settings.
    On(T),
}

/// The word `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nothing {
    /// Switched off.
    None,
}

impl<T: Copy> Switch<T> {
    /// That it is off, or what it is.
    fn words(self, name: &str, on: impl FnOnce(T) -> String) -> String {
        match self {
            Self::Off(_) => format!("no {name}"),
            Self::On(value) => format!("{name} {}", on(value)),
        }
    }

    fn value(self) -> Option<T> {
        match self {
            Self::Off(_) => None,
            Self::On(value) => Some(value),
        }
    }
}

impl ContractChoice {
    /// A profile with nothing changed.
    pub fn of_profile(profile: Profile) -> Self {
        Self { profile, ..Self::default() }
    }

    /// Plain averaging by examples.
    pub fn plain() -> Self {
        Self::of_profile(Profile::Plain)
    }

    /// A rule by itself: no admission by norm, no trust.
    pub fn bare(rule: AggregationRule) -> Self {
        Self {
            rule: Some(rule),
            norm_band: Some(Switch::Off(Nothing::None)),
            trust: Some(Switch::Off(Nothing::None)),
            history: Some(Switch::Off(Nothing::None)),
            harm: Some(Switch::Off(Nothing::None)),
            ..Self::default()
        }
    }

    /// The settings of a consortium's task.
    pub fn of_task(task: &TaskSpec) -> Self {
        fn switch<T>(value: Option<T>) -> Switch<T> {
            value.map_or(Switch::Off(Nothing::None), Switch::On)
        }
        let harm = task.evaluation.as_ref().and_then(|evaluation| evaluation.harm);
        Self {
            profile: Profile::Balanced,
            rule: Some(task.rule.clone()),
            byzantine: Some(task.byzantine),
            weighting: Some(task.weighting),
            norm_band: Some(switch(task.norm_band)),
            trust: Some(switch(task.trust)),
            history: Some(switch(task.history)),
            harm: Some(switch(harm)),
            // What else candidates are scored for is not played here.
            classes: harm.map_or_else(Vec::new, |_| task.classes().to_vec()),
            protected_class: task.protected_class().map(|class| task.classes()[class].clone()),
        }
    }

    /// In a few words, for tables. Settings of its own are told by their numbers in 1/1000, so that no
    /// two contracts have the same words.
    pub fn describe(&self) -> String {
        // Only `evaluated` measures harm unless it is said.
        let silent =
            self.harm.is_none() && self.rule.is_some() && self.profile == Profile::Balanced;
        let harm = if silent { Some(Switch::Off(Nothing::None)) } else { self.harm };
        let bare = Self { byzantine: None, harm, ..self.clone() };
        let rule = self.rule.as_ref().map(rule_name);
        match rule {
            None if bare == Self::plain() => "plain averaging".to_owned(),
            Some(name) if bare == Self::bare(self.rule.clone().expect("named")) => {
                format!("{name} alone")
            }
            rule => {
                let mut words = vec![match self.profile {
                    Profile::Balanced => "balanced".to_owned(),
                    Profile::Evaluated => "evaluated".to_owned(),
                    Profile::Strict => "strict".to_owned(),
                    Profile::Plain => "plain".to_owned(),
                }];
                words.extend(rule.map(|name| format!("with {name}")));
                words.extend(self.norm_band.map(|band| {
                    band.words("norm band", |band| {
                        format!(
                            "{} to {}, at most {}",
                            band.low_milli, band.clip_milli, band.high_milli
                        )
                    })
                }));
                words.extend(self.trust.map(|trust| {
                    trust.words("trust", |trust| {
                        let as_sent = if trust.outlier_as_sent { " as sent" } else { "" };
                        let cosine = trust
                            .outlier_cosine_milli
                            .map_or_else(String::new, |cosine| format!(" below {cosine}"));
                        let (strikes, clean) =
                            (trust.strikes_to_quarantine, trust.clean_rounds_to_return);
                        format!(
                            "{}{as_sent}{cosine}, {strikes} and {clean} rounds",
                            trust.outlier_milli
                        )
                    })
                }));
                words.extend(self.history.map(|history| {
                    history.words("history", |history| {
                        format!(
                            "bond {}, shift {}, lead {}, {} rounds{}",
                            history.bond_milli,
                            history.shift_milli,
                            history.lead_milli,
                            history.rounds_in_a_row,
                            history.swings.map_or_else(String::new, |swings| swing_words(&swings))
                        )
                    })
                }));
                if let Some(class) = &self.protected_class {
                    words.push(format!("protecting {class}"));
                } else if !self.classes.is_empty() {
                    words.push(format!("losses on {}", self.classes.join(" and ")));
                }
                words.join(", ")
            }
        }
    }

    /// What is wrong with the classes for the data of `scenario`, and what is allowed.
    pub fn classes_fault(&self, scenario: &Scenario) -> Option<(String, String)> {
        if let Some(protected) = &self.protected_class {
            if !self.classes.contains(protected) {
                let found = format!("`{protected}` as the protected class");
                return Some((found, "one of `classes`".to_owned()));
            }
        }
        if self.classes.is_empty() {
            return None;
        }
        let classes = scenario.sites[0].train.class_names.len();
        let found = self.classes.len();
        if classes > CLASSES_MAX {
            let none = "none: this data has more classes than a task can name".to_owned();
            return Some((format!("{found} names for {classes} classes"), none));
        }
        if found != classes {
            let allowed = format!("one for each of the data's {classes} classes, or none");
            return Some((format!("{found} names"), allowed));
        }
        if let Err(fault) = check_classes(&self.classes) {
            return Some((fault.to_string(), "names that differ and can be printed".to_owned()));
        }
        // Whether `evaluated` has candidates scored depends on members and rounds: a sweep may have both.
        let scored = matches!(self.harm, Some(Switch::On(_)))
            || self.harm.is_none() && self.profile == Profile::Evaluated;
        if !scored {
            let found = "names of classes, and nobody scores candidates".to_owned();
            let allowed = "with the profile `evaluated`, or with `harm`".to_owned();
            return Some((found, allowed));
        }
        None
    }

    /// The task for `scenario` under these settings. With the attackers absent it is the same
    /// contract for the members that are left: f, unless stated, follows their number, and a stated
    /// f falls by the number that left.
    ///
    /// # Errors
    /// When the model makes no schema.
    pub fn task(&self, scenario: &Scenario, left: usize) -> Result<TaskSpec, FederationError> {
        let mut task = match self.profile {
            Profile::Balanced => scenario.task(TaskId::new("laboratory")?)?,
            Profile::Evaluated => filled(scenario, profile::Profile::Evaluated)?,
            Profile::Strict => filled(scenario, profile::Profile::Strict)?,
            Profile::Plain => mean_task(scenario)?,
        };
        if let Some(byzantine) = self.byzantine {
            task.byzantine = byzantine.saturating_sub(left as u32);
            task.updates_min = (scenario.sites.len() as u32).saturating_sub(task.byzantine).max(1);
        }
        task.rule = self.rule.clone().unwrap_or(task.rule);
        task.weighting = self.weighting.unwrap_or(task.weighting);
        task.norm_band = self.norm_band.map_or(task.norm_band, Switch::value);
        task.trust = self.trust.map_or(task.trust, Switch::value);
        task.history = self.history.map_or(task.history, Switch::value);
        match self.harm {
            Some(Switch::On(harm)) => {
                let window_ms = task.decide_window_ms;
                task.evaluation = Some(EvaluationSpec {
                    candidates: Vec::new(),
                    window_ms,
                    harm: Some(harm),
                    classes: self.classes.clone(),
                    protected_class: self.protected_class.clone(),
                });
            }
            Some(Switch::Off(_)) => task.evaluation = None,
            None => {
                let (classes, protected) = (&self.classes, &self.protected_class);
                task.evaluation = task.evaluation.map(|evaluation| {
                    profile::with_classes(evaluation, classes.clone(), protected.clone())
                });
            }
        }
        let members = scenario.sites.len();
        if check_task(&task, members).is_err() {
            // A rule that needs more updates than n − f may need everybody's: here all submit.
            let updates_min = members as u32;
            let whole = TaskSpec { updates_min, ..task.clone() };
            if check_task(&whole, members).is_ok() {
                return Ok(whole);
            }
        }
        Ok(task)
    }
}

fn filled(scenario: &Scenario, profile: profile::Profile) -> Result<TaskSpec, FederationError> {
    let task = scenario.task(TaskId::new("laboratory")?)?;
    Ok(profile::apply(profile, task, scenario.sites.len()))
}

/// The name of a rule as in files, with its underscores as spaces.
pub fn rule_name(rule: &AggregationRule) -> String {
    let value = serde_json::to_value(rule).expect("a rule is plain data");
    value["name"].as_str().expect("rules are tagged by name").replace('_', " ")
}

/// A rule by its name, with the parameters that it has in tables: the papers' where they are
/// optional, eight iterations, a radius of the median distance.
pub fn rule_named(name: &str) -> Option<AggregationRule> {
    let name = name.replace('-', "_");
    let mut value = serde_json::json!({ "name": name });
    let variant = rules().into_iter().find(|variant| variant.name == name)?;
    for field in variant.fields {
        match field.name.as_str() {
            "iterations" => value["iterations"] = 8.into(),
            "radius_milli" => value["radius_milli"] = 1000.into(),
            "removed_milli" => value["removed_milli"] = 1500.into(),
            _ => {}
        }
    }
    serde_json::from_value(value).ok()
}

/// The fields of a scenario's table `contract`.
pub fn fields() -> Vec<Field> {
    let none = || Shape::Choice(vec!["none"]);
    let milli = |min, max| Shape::count(min, max);
    let as_profile = "as in the profile";
    let norm_band = vec![
        Field::required("low_milli", milli(0, 999), "Refused below, in 1/1000 of the usual norm."),
        Field::required("clip_milli", milli(1000, 1_000_000), "Scaled down to this."),
        Field::required("high_milli", milli(1000, 1_000_000), "Refused above."),
    ];
    let trust = vec![
        Field::required(
            "outlier_milli",
            milli(1000, 1_000_000),
            "Distance to the aggregate that is a strike, in 1/1000 of the median distance.",
        ),
        Field::required(
            "strikes_to_quarantine",
            Shape::count(1, 1_000),
            "Strikes in a row that lead to quarantine.",
        ),
        Field::required(
            "clean_rounds_to_return",
            Shape::count(1, 100_000),
            "Clean rounds in a row that lead out of it.",
        ),
        Field::optional(
            "outlier_cosine_milli",
            Shape::count(-1000, 1000),
            "distance alone decides",
            "A strike must also point below this cosine to the aggregate, in 1/1000.",
        ),
        Field::default(
            "outlier_as_sent",
            Shape::Flag,
            false,
            "Whether what the norm band scales down is measured as it was sent.",
        ),
    ];
    vec![
        Field::default(
            "profile",
            Shape::Choice(vec!["balanced", "evaluated", "strict", "plain"]),
            "balanced",
            "`balanced` is what a consortium gets unless it asks for something else; `evaluated` also \
             has members score what suspected cells do to the model; `strict` has lower limits; \
             `plain` is averaging by examples with no defence.",
        ),
        Field::optional("rule", Shape::Named(rules()), as_profile, "The aggregation rule."),
        Field::optional(
            "byzantine",
            Shape::count(0, 42),
            "(n − 1)/3, rounded down",
            "f: how many updates the rule is to withstand.",
        ),
        Field::optional(
            "weighting",
            Shape::Choice(vec!["uniform", "examples"]),
            as_profile,
            "How updates are weighed.",
        ),
        Field::optional(
            "norm_band",
            Shape::Either(vec![none(), Shape::Table(norm_band)]),
            as_profile,
            "Admission by norm.",
        ),
        Field::optional(
            "trust",
            Shape::Either(vec![none(), Shape::Table(trust)]),
            as_profile,
            "How trust moves.",
        ),
        Field::optional(
            "history",
            Shape::Either(vec![none(), Shape::Table(history())]),
            as_profile,
            "What is remembered of past rounds, and when members that began to move together are \
             struck for it.",
        ),
        Field::optional(
            "harm",
            Shape::Either(vec![none(), Shape::Table(harm())]),
            as_profile,
            "Whether members hold a quarter of their rows back to score what a suspected cell does to \
             the model, and when that counts, in 1/1000 of the spread among them.",
        ),
        Field::optional(
            "classes",
            Shape::list(Shape::Text, CLASSES_MIN, CLASSES_MAX),
            "nobody says which class is harmed",
            "A name for each class of the data, in their order: who scores candidates reports its \
             loss on each class too, and verdicts name the one that was harmed.",
        ),
        Field::optional(
            "protected_class",
            Shape::Text,
            "the loss on all rows tells harm",
            "The one of `classes` whose loss tells harm: the one that must not be missed.",
        ),
    ]
}

fn harm() -> Vec<Field> {
    vec![
        Field::required("observed_rounds", Shape::count(2, 1_000), "Rounds before suspicion."),
        Field::required("cosine_milli", Shape::count(1, 1_000), "Least mean cosine in a cell."),
        Field::required("allowance_milli", Shape::count(0, 3_000), "Harm that does not count."),
        Field::required("limit_milli", Shape::count(1, 1_000_000), "Sum that is a strike."),
        Field::optional(
            "return_micro",
            Shape::count(0, 30_000),
            "who moved together stays while it is away from its baseline",
            "Rise of the loss, in 1/1,000,000 of it, up to which members in quarantine may return.",
        ),
        Field::optional(
            "all_rows_milli",
            Shape::count(0, 6_000),
            "only the protected class matters",
            "By how much a round's score may exceed that by the loss on all rows.",
        ),
    ]
}

fn history() -> Vec<Field> {
    let milli = || Shape::count(1, 1_000_000);
    vec![
        Field::required("sketch_width", Shape::count(16, 1024), "Numbers kept of each update."),
        Field::required("settle_rounds", Shape::count(0, 100_000), "Rounds before a baseline."),
        Field::required("baseline_rounds", Shape::count(4, 100_000), "Rounds that make it."),
        Field::required("bond_milli", milli(), "Bond with the f - 1 closest, in 1/1000 of spread."),
        Field::required("shift_milli", milli(), "Shift that is common, in 1/1000 of noise."),
        Field::required("lead_milli", milli(), "Shift beyond the median member's."),
        Field::required("rounds_in_a_row", Shape::count(1, 1_000), "Rounds until it is a strike."),
        Field::optional(
            "swings",
            Shape::Table(swings()),
            "changing together from round to round is no strike",
            "When members that change from one round to the next together are struck for it.",
        ),
    ]
}

fn swings() -> Vec<Field> {
    let correlation = || Shape::count(1, 999);
    let amplitude = || Shape::count(1, 1_000_000);
    vec![
        Field::required("window_rounds", Shape::count(3, 100), "Changes that are looked at."),
        Field::required("correlation_milli", correlation(), "Correlation with the f - 1 closest."),
        Field::required("amplitude_milli", amplitude(), "Common change, in 1/1000 of a deviation."),
        Field::required("copy_correlation_milli", correlation(), "Correlation of near copies."),
        Field::required("copy_amplitude_milli", amplitude(), "Common change of near copies."),
        Field::required("rounds_in_a_row", Shape::count(1, 1_000), "Rounds until it is a strike."),
    ]
}

fn swing_words(swings: &SwingPolicy) -> String {
    format!(
        ", swings {} by {} or {} by {}, {} of {} rounds",
        swings.correlation_milli,
        swings.amplitude_milli,
        swings.copy_correlation_milli,
        swings.copy_amplitude_milli,
        swings.rounds_in_a_row,
        swings.window_rounds
    )
}

/// The aggregation rules with their parameters.
pub fn rules() -> Vec<Variant> {
    let variant = |name, doc: &str, fields| Variant { name, doc: doc.to_owned(), fields };
    let neighbours = || {
        let shape = Shape::count(1, 127);
        Field::optional("neighbours", shape, "n − f − 2", "Nearest neighbours that are scored.")
    };
    let selected =
        Field::optional("selected", Shape::count(1, 128), "n − f", "Updates that are averaged.");
    let iterations = || Field::required("iterations", Shape::count(1, 64), "Number of iterations.");
    let radius = Field::required(
        "radius_milli",
        Shape::count(1, 1_000_000),
        "Clipping radius in 1/1000 of the median distance to the starting centre.",
    );
    vec![
        variant("mean", "Weighted mean.", Vec::new()),
        variant("median", "Coordinate-wise median.", Vec::new()),
        variant("trimmed_mean", "Coordinate-wise mean without the f extremes.", Vec::new()),
        variant("krum", "The update closest to its neighbours.", vec![neighbours()]),
        variant("multi_krum", "Mean of the best by Krum's score.", vec![neighbours(), selected]),
        variant("geometric_median", "RFA.", vec![iterations()]),
        variant("bulyan", "Iterated Krum, then a mean around the median.", Vec::new()),
        variant("centered_clipping", "Clipped around a centre.", vec![iterations(), radius]),
        variant(
            "filtered_trimmed_mean",
            "Spectral filter, then a trimmed mean.",
            vec![Field::required("iterations", Shape::count(1, 128), "Most filter steps.")],
        ),
        variant(
            "divide_and_conquer",
            "Mean of those that project least on the direction of greatest variance (DnC).",
            vec![
                Field::optional(
                    "coordinates",
                    Shape::count(1, 100_000),
                    "all",
                    "Sampled each time.",
                ),
                Field::required("iterations", Shape::count(1, 16), "Number of iterations."),
                Field::required(
                    "removed_milli",
                    Shape::count(1, 2_000),
                    "Updates that an iteration removes, in 1/1000 of f.",
                ),
            ],
        ),
        variant(
            "pre_aggregated",
            "A rule over updates that were transformed first; see docs/aggregation.md.",
            vec![
                Field::required("stages", Shape::Any, "The transformations, 1 to 4."),
                Field::required("rule", Shape::Any, "The rule."),
            ],
        ),
    ]
}
