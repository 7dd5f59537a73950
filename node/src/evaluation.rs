//! What an evaluator is asked and what it answers, as JSON: the same for a program that the node
//! runs ([`crate::runtime`]) and for one that asks with `fedledger evaluation`. `docs/evaluation.md`
//! says it for whoever writes such a program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fedledger_ledger::decision::Candidate;
use fedledger_ledger::ids::{Digest, MemberId, RoundNumber, TaskId, TimeMs};
use fedledger_ledger::limits::{LOSS_MICRO_MAX, NUM_EXAMPLES_MAX};
use fedledger_ledger::transaction::{CandidateScore, ClassLoss};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest answer in bytes. Losses of eight candidates on sixteen classes with the longest names are
/// under twenty kilobytes.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What is to be scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationRequest {
    /// The task.
    pub task: TaskId,
    /// The round.
    pub round: RoundNumber,
    /// The member whose held-out rows are meant.
    pub member: MemberId,
    /// When the round stops waiting, in milliseconds since 1970 (UTC).
    pub deadline: TimeMs,
    /// The models, in the order in which the ledger lists them. Whose updates are in which is not
    /// said: a score should not depend on it.
    pub candidates: Vec<RequestedCandidate>,
    /// The classes for which a loss is asked for too; absent where the task asks for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
}

/// One model to score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestedCandidate {
    /// Digest of the model: its name in the answer.
    pub model: Digest,
    /// The file that holds it; absent where it was only announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// What a member's evaluator found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationAnswer {
    /// Number of held-out rows.
    pub num_examples: u64,
    /// Mean loss on these rows, by the model's digest. Null for a loss that is no finite number: it
    /// counts as the greatest.
    pub losses: BTreeMap<Digest, Option<f64>>,
    /// The same on the rows of each class, where these are asked for. A class without rows is left
    /// out, or 0.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub losses_by_class: BTreeMap<Digest, BTreeMap<String, Option<f64>>>,
    /// Number of held-out rows of each class, where that is asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub num_examples_by_class: BTreeMap<String, u64>,
}

/// Why an answer is none.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum AnswerError {
    /// It is too long.
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    /// It is not the JSON that is expected.
    #[error(
        "the answer is not {{\"num_examples\": N, \"losses\": {{\"DIGEST\": LOSS, …}}}}: {reason} \
         (NaN and Infinity are no JSON; null stands for them)"
    )]
    Malformed {
        /// What is wrong, with line and column.
        reason: String,
    },
    /// The number of rows cannot be one.
    #[error("`num_examples` is {found}, expected 1 to {NUM_EXAMPLES_MAX}")]
    NumExamples {
        /// Number given.
        found: u64,
    },
    /// A candidate has no loss.
    #[error("`{field}` has none for the candidate {model}")]
    Missing {
        /// Where it is missing.
        field: &'static str,
        /// The candidate.
        model: Digest,
    },
    /// A loss is of something else than a candidate.
    #[error("`{field}` has one for {model}, which is no candidate of this round")]
    Unknown {
        /// Where it stands.
        field: &'static str,
        /// What it is of.
        model: Digest,
    },
    /// Losses by class are given where the task asks for none.
    #[error("the task names no classes, so `{field}` has to go")]
    NoClasses {
        /// What was given.
        field: &'static str,
    },
    /// Something is said of a class that is none of the task's.
    #[error("`{field}` has `{class}`, which is none of the task's classes: {}", classes.join(", "))]
    UnknownClass {
        /// Where it stands.
        field: &'static str,
        /// The class.
        class: String,
        /// The task's classes.
        classes: Vec<String>,
    },
    /// The rows of the classes are not all rows.
    #[error("`num_examples_by_class` adds up to {found}, `num_examples` is {expected}")]
    RowsOfClasses {
        /// The sum.
        found: u128,
        /// The number of all rows.
        expected: u64,
    },
    /// There are rows of a class, and no loss.
    #[error("`losses_by_class` has none for `{class}` of {model}, of which there are {rows} rows")]
    MissingClass {
        /// The candidate.
        model: Digest,
        /// The class.
        class: String,
        /// Number of its rows.
        rows: u64,
    },
    /// There is a loss of a class, and no rows.
    #[error(
        "`losses_by_class` has one for `{class}` of {model}, of which `num_examples_by_class` has no \
         rows: leave it out"
    )]
    ClassWithoutRows {
        /// The candidate.
        model: Digest,
        /// The class.
        class: String,
    },
    /// A loss is below zero.
    #[error(
        "the loss of {model} is {found}, expected 0 or more; only differences between candidates \
         count, so a constant can be added to all"
    )]
    Negative {
        /// The candidate.
        model: Digest,
        /// Loss given.
        found: f64,
    },
}

/// Longest reason in characters that a malformed answer is refused with: it may quote the answer.
const REASON_CHARACTERS_MAX: usize = 200;

impl EvaluationAnswer {
    /// Reads an answer.
    ///
    /// # Errors
    /// When it is too long or malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, AnswerError> {
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(AnswerError::TooLong);
        }
        serde_json::from_slice(bytes).map_err(|error| AnswerError::Malformed {
            reason: error.to_string().chars().take(REASON_CHARACTERS_MAX).collect(),
        })
    }

    /// An answer with the losses in the order of `candidates`.
    ///
    /// # Errors
    /// When there is not one for each; the number there should be.
    pub fn of_list(
        losses: &[f64],
        num_examples: u64,
        candidates: &[Candidate],
    ) -> Result<Self, usize> {
        if losses.len() != candidates.len() {
            return Err(candidates.len());
        }
        let named = candidates.iter().zip(losses);
        let finite = |loss: f64| Some(loss).filter(|loss| loss.is_finite());
        let losses = named.map(|(candidate, &loss)| (candidate.model, finite(loss))).collect();
        let (losses_by_class, num_examples_by_class) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { num_examples, losses, losses_by_class, num_examples_by_class })
    }

    /// The scores to sign: one for each candidate, in their order, with a loss for each of `classes`,
    /// the task's. Losses are rounded to millionths.
    ///
    /// # Errors
    /// When there is not one loss of zero or more for each candidate, and each class of which there are
    /// rows, and nothing else.
    pub fn scores(
        &self,
        candidates: &[Candidate],
        classes: &[String],
    ) -> Result<Vec<CandidateScore>, AnswerError> {
        let num_examples = self.num_examples;
        if num_examples == 0 || num_examples > NUM_EXAMPLES_MAX {
            return Err(AnswerError::NumExamples { found: num_examples });
        }
        all_listed("losses", self.losses.keys(), candidates)?;
        self.check_classes(candidates, classes)?;
        let score = |candidate: &Candidate| {
            let model = candidate.model;
            let loss = self.losses.get(&model);
            let loss = loss.ok_or(AnswerError::Missing { field: "losses", model })?;
            let loss_micro = loss_micro(*loss, model)?;
            let classes = classes.iter().map(|class| self.class_loss(model, class));
            let classes = classes.collect::<Result<_, AnswerError>>()?;
            Ok(CandidateScore { candidate: model, loss_micro, num_examples, classes })
        };
        candidates.iter().map(score).collect()
    }

    /// Checks that what is said by class is said of the task's classes, and of all rows.
    fn check_classes(
        &self,
        candidates: &[Candidate],
        classes: &[String],
    ) -> Result<(), AnswerError> {
        let (losses, rows) = ("losses_by_class", "num_examples_by_class");
        if classes.is_empty() {
            return match (self.losses_by_class.is_empty(), self.num_examples_by_class.is_empty()) {
                (false, _) => Err(AnswerError::NoClasses { field: losses }),
                (true, false) => Err(AnswerError::NoClasses { field: rows }),
                (true, true) => Ok(()),
            };
        }
        all_listed(losses, self.losses_by_class.keys(), candidates)?;
        let of_losses = self.losses_by_class.values().flat_map(BTreeMap::keys);
        let said = of_losses.map(|class| (losses, class));
        let mut said = said.chain(self.num_examples_by_class.keys().map(|class| (rows, class)));
        if let Some((field, class)) = said.find(|(_, class)| !classes.contains(class)) {
            let (class, classes) = (class.clone(), classes.to_vec());
            return Err(AnswerError::UnknownClass { field, class, classes });
        }
        let found = self.num_examples_by_class.values().map(|&rows| u128::from(rows)).sum();
        if found != u128::from(self.num_examples) {
            return Err(AnswerError::RowsOfClasses { found, expected: self.num_examples });
        }
        Ok(())
    }

    fn class_loss(&self, model: Digest, class: &str) -> Result<ClassLoss, AnswerError> {
        let all = self.losses_by_class.get(&model);
        let all = all.ok_or(AnswerError::Missing { field: "losses_by_class", model })?;
        let num_examples = self.num_examples_by_class.get(class).copied().unwrap_or(0);
        let loss_micro = match all.get(class) {
            Some(loss) if num_examples > 0 => loss_micro(*loss, model)?,
            None if num_examples > 0 => {
                let (class, rows) = (class.to_owned(), num_examples);
                return Err(AnswerError::MissingClass { model, class, rows });
            }
            None => 0,
            Some(Some(loss)) if *loss == 0.0 => 0,
            Some(_) => {
                let class = class.to_owned();
                return Err(AnswerError::ClassWithoutRows { model, class });
            }
        };
        Ok(ClassLoss { loss_micro, num_examples })
    }
}

/// Checks that losses are of candidates of the round alone.
fn all_listed<'a>(
    field: &'static str,
    mut models: impl Iterator<Item = &'a Digest>,
    candidates: &[Candidate],
) -> Result<(), AnswerError> {
    let listed = |model: &Digest| candidates.iter().any(|one| one.model == *model);
    match models.find(|model| !listed(model)) {
        Some(&model) => Err(AnswerError::Unknown { field, model }),
        None => Ok(()),
    }
}

/// A loss of `model` as it is signed.
fn loss_micro(loss: Option<f64>, model: Digest) -> Result<u64, AnswerError> {
    match loss {
        Some(found) if found < 0.0 => Err(AnswerError::Negative { model, found }),
        // Beyond the greatest that can be said, a loss is the greatest.
        Some(loss) => Ok(((loss * 1e6).round() as u64).min(LOSS_MICRO_MAX)),
        None => Ok(LOSS_MICRO_MAX),
    }
}

#[cfg(test)]
mod tests {
    use fedledger_ledger::task::AggregationRule;

    use super::*;

    fn candidates() -> Vec<Candidate> {
        let candidate = |name: &[u8]| Candidate {
            rule: AggregationRule::Median,
            aggregate: Digest::of(name),
            model: Digest::of(name),
            without: None,
            with: None,
        };
        vec![candidate(b"one"), candidate(b"two")]
    }

    fn losses(text: &str) -> Result<Vec<u64>, String> {
        let (one, two) = (Digest::of(b"one").to_string(), Digest::of(b"two").to_string());
        let text = text.replace("ONE", &one).replace("TWO", &two);
        let answer = EvaluationAnswer::parse(text.as_bytes()).map_err(|error| error.to_string())?;
        let scores = answer.scores(&candidates(), &[]).map_err(|error| error.to_string())?;
        assert!(scores.iter().all(|score| score.num_examples == answer.num_examples));
        assert_eq!(scores[0].candidate, Digest::of(b"one"), "in the order of candidates");
        Ok(scores.iter().map(|score| score.loss_micro).collect())
    }

    #[test]
    fn losses_are_rounded_to_millionths_and_bounded() {
        let of = |two: &str| {
            losses(&format!(r#"{{"losses": {{"TWO": {two}, "ONE": 0.25}}, "num_examples": 8}}"#))
        };
        assert_eq!(of("0.1234567"), Ok(vec![250_000, 123_457]));
        assert_eq!(of("0"), Ok(vec![250_000, 0]));
        for most in ["null", "1e300", "1000001"] {
            assert_eq!(of(most), Ok(vec![250_000, LOSS_MICRO_MAX]), "{most}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused_with_what_is_wrong() {
        for (text, words) in [
            ("loss: 0.3", "expected value at line 1"),
            (r#"{"num_examples": 8, "losses": {"ONE": NaN, "TWO": 1}}"#, "null stands for them"),
            (r#"{"num_examples": 8, "loss": {}}"#, "unknown field `loss`"),
            (r#"{"num_examples": 8, "losses": {"first": 1}}"#, "digest"),
            (r#"{"num_examples": 0, "losses": {"ONE": 1, "TWO": 1}}"#, "`num_examples` is 0"),
            (r#"{"num_examples": 8, "losses": {"ONE": 1}}"#, "has none for the candidate"),
            (
                r#"{"num_examples": 8, "losses": {"ONE": 1, "TWO": -0.5}}"#,
                "a constant can be added",
            ),
        ] {
            let error = losses(text).expect_err(text);
            assert!(error.contains(words), "`{error}` does not say `{words}`");
        }
        let stranger = Digest::of(b"three");
        let text = format!(r#"{{"num_examples": 1, "losses": {{"{stranger}": 1}}}}"#);
        assert!(losses(&text).unwrap_err().contains(&format!("{stranger}, which is no candidate")));
        let long = vec![b' '; ANSWER_BYTES_MAX + 1];
        assert_eq!(EvaluationAnswer::parse(&long), Err(AnswerError::TooLong));
        let quoting = format!("\"{}\"", "x".repeat(10_000));
        assert!(EvaluationAnswer::parse(quoting.as_bytes()).unwrap_err().to_string().len() < 500);
    }

    /// The scores of an answer whose `losses` are 0.5 for both and whose further fields are `more`.
    fn by_class(more: &str) -> Result<Vec<Vec<ClassLoss>>, String> {
        let classes = ["benign", "malignant", "unclear"].map(String::from);
        let (one, two) = (Digest::of(b"one").to_string(), Digest::of(b"two").to_string());
        let text =
            format!(r#"{{"num_examples": 9, "losses": {{"ONE": 0.5, "TWO": 0.5}}, {more}}}"#);
        let text = text.replace("ONE", &one).replace("TWO", &two);
        let answer = EvaluationAnswer::parse(text.as_bytes()).map_err(|error| error.to_string())?;
        let scores = answer.scores(&candidates(), &classes).map_err(|error| error.to_string())?;
        Ok(scores.into_iter().map(|score| score.classes).collect())
    }

    const ROWS: &str = r#""num_examples_by_class": {"benign": 6, "malignant": 3}"#;

    #[test]
    fn losses_by_class_are_in_the_tasks_order_and_a_class_may_have_no_rows() {
        let class = |loss_micro, num_examples| ClassLoss { loss_micro, num_examples };
        let expected = vec![
            vec![class(200_000, 6), class(900_000, 3), class(0, 0)],
            vec![class(100_000, 6), class(LOSS_MICRO_MAX, 3), class(0, 0)],
        ];
        for (rows, none) in [
            (ROWS, ""),
            (r#""num_examples_by_class": {"benign": 6, "malignant": 3, "unclear": 0}"#, ""),
            (ROWS, r#", "unclear": 0"#),
        ] {
            let found = by_class(&format!(
                r#"{rows}, "losses_by_class": {{
                    "TWO": {{"malignant": null, "benign": 0.1{none}}},
                    "ONE": {{"benign": 0.2, "malignant": 0.9}}}}"#
            ));
            assert_eq!(found, Ok(expected.clone()), "{rows} {none}");
        }
    }

    #[test]
    fn what_is_wrong_with_losses_by_class_is_said() {
        let good = r#""benign": 0.2, "malignant": 0.9"#;
        let check = |rows: &str, one: &str, words: &str| {
            let error = by_class(&format!(
                r#"{rows}, "losses_by_class": {{"ONE": {{{one}}}, "TWO": {{{good}}}}}"#
            ));
            let error = error.expect_err(words);
            assert!(error.contains(words), "`{error}` does not say `{words}`");
        };
        check(ROWS, r#""benign": 0.2"#, "none for `malignant` of");
        check(ROWS, r#""benign": 0.2, "malignant": -1"#, "expected 0 or more");
        let with = |more: &str| format!("{good}, {more}");
        check(ROWS, &with(r#""unclear": 0.1"#), "`num_examples_by_class` has no rows");
        check(ROWS, &with(r#""unclear": null"#), "leave it out");
        let words = "`losses_by_class` has `odd`, which is none of the task's classes: benign, \
                     malignant, unclear";
        check(ROWS, &with(r#""odd": 0"#), words);
        let rows = |text: &str| format!(r#""num_examples_by_class": {{{text}}}"#);
        check(&rows(r#""benign": 6, "malign": 3"#), good, "`num_examples_by_class` has `malign`");
        check(&rows(r#""benign": 6"#), good, "adds up to 6, `num_examples` is 9");
        let most = format!(r#""benign": {0}, "malignant": {0}"#, u64::MAX);
        check(&rows(&most), good, "adds up to 36893488147419103230");
        let bare = by_class(ROWS).unwrap_err();
        assert!(bare.contains("`losses_by_class` has none for the candidate"), "{bare}");
        let stranger = by_class(&format!(
            r#"{ROWS}, "losses_by_class": {{"{}": {{{good}}}}}"#,
            Digest::of(b"three")
        ));
        assert!(stranger.unwrap_err().contains("which is no candidate"));
        // Nobody asked.
        for field in [ROWS, r#""losses_by_class": {"ONE": {"benign": 1}}"#] {
            let text =
                format!(r#"{{"num_examples": 9, "losses": {{"ONE": 1, "TWO": 1}}, {field}}}"#);
            let error = losses(&text).unwrap_err();
            assert!(error.contains("the task names no classes, so `"), "{error}");
        }
    }

    #[test]
    fn a_list_of_losses_is_named_by_the_candidates() {
        let answer = EvaluationAnswer::of_list(&[0.5, f64::NAN], 3, &candidates()).unwrap();
        let scores = answer.scores(&candidates(), &[]).expect("one loss for each candidate");
        assert_eq!((scores[0].loss_micro, scores[1].loss_micro), (500_000, LOSS_MICRO_MAX));
        assert_eq!(EvaluationAnswer::of_list(&[0.5], 3, &candidates()), Err(2));
    }

    /// What `docs/evaluation.md` shows is what is read and written. Digests are cut off there.
    #[test]
    fn the_documented_request_and_answer_are_ones() {
        let page = include_str!("../../docs/evaluation.md");
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let page = page.replace("9f6c…", &one.to_string()).replace("04be…", &two.to_string());
        let mut blocks = page.split("```json\n").skip(1);
        let mut block = || blocks.next().and_then(|rest| rest.split("```").next()).unwrap();
        let request: EvaluationRequest = serde_json::from_str(block()).expect("as documented");
        let models: Vec<Digest> = request.candidates.iter().map(|asked| asked.model).collect();
        assert_eq!(models, [one, two]);
        assert!(request.candidates.iter().all(|asked| asked.file.is_some()));
        assert!(request.classes.is_empty());
        let answer = EvaluationAnswer::parse(block().as_bytes()).expect("as documented");
        let scores = answer.scores(&candidates(), &[]).expect("one loss for each candidate");
        assert_eq!((scores[0].loss_micro, scores[1].loss_micro), (412_667, 398_102));
        let by_class: EvaluationRequest = serde_json::from_str(block()).expect("as documented");
        let answer = EvaluationAnswer::parse(block().as_bytes()).expect("as documented");
        let scores =
            answer.scores(&candidates(), &by_class.classes).expect("a loss for each class");
        let malignant = ClassLoss { loss_micro: 741_300, num_examples: 73 };
        assert_eq!((scores[0].loss_micro, scores[0].classes[1]), (412_667, malignant));
        let settings = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let settings = format!("node.member = \"charite\"\n{}", settings.unwrap());
        let config = crate::config::Config::parse("node.toml".as_ref(), &settings, []).unwrap();
        assert_eq!(config.evaluator.command[0], "python3");
        assert_eq!(
            config.evaluator,
            crate::config::EvaluatorSection {
                command: config.evaluator.command.clone(),
                ..crate::config::EvaluatorSection::default()
            }
        );
    }
}
