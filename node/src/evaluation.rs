//! What an evaluator is asked and what it answers, as JSON: the same for a program that the node
//! runs ([`crate::runtime`]) and for one that asks with `fedledger evaluation`. `docs/evaluation.md`
//! says it for whoever writes such a program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fedledger_ledger::decision::Candidate;
use fedledger_ledger::ids::{Digest, MemberId, RoundNumber, TaskId, TimeMs};
use fedledger_ledger::limits::{LOSS_MICRO_MAX, NUM_EXAMPLES_MAX};
use fedledger_ledger::transaction::CandidateScore;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest answer in bytes. One loss for each of eight candidates is under a kilobyte.
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
    #[error("`losses` has none for the candidate {model}")]
    Missing {
        /// The candidate.
        model: Digest,
    },
    /// A loss is of something else than a candidate.
    #[error("`losses` has one for {model}, which is no candidate of this round")]
    Unknown {
        /// What it is of.
        model: Digest,
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
        Ok(Self { num_examples, losses })
    }

    /// The scores to sign: one for each candidate, in their order. Losses are rounded to millionths.
    ///
    /// # Errors
    /// When there is not one loss of zero or more for each candidate and nothing else.
    pub fn scores(&self, candidates: &[Candidate]) -> Result<Vec<CandidateScore>, AnswerError> {
        let num_examples = self.num_examples;
        if num_examples == 0 || num_examples > NUM_EXAMPLES_MAX {
            return Err(AnswerError::NumExamples { found: num_examples });
        }
        let listed = |model: &Digest| candidates.iter().any(|one| one.model == *model);
        if let Some(model) = self.losses.keys().copied().find(|model| !listed(model)) {
            return Err(AnswerError::Unknown { model });
        }
        let score = |candidate: &Candidate| {
            let model = candidate.model;
            let loss = self.losses.get(&model).ok_or(AnswerError::Missing { model })?;
            let loss_micro = match loss {
                Some(found) if *found < 0.0 => {
                    return Err(AnswerError::Negative { model, found: *found })
                }
                // Beyond the greatest that can be said, a loss is the greatest.
                Some(loss) => ((loss * 1e6).round() as u64).min(LOSS_MICRO_MAX),
                None => LOSS_MICRO_MAX,
            };
            Ok(CandidateScore { candidate: model, loss_micro, num_examples })
        };
        candidates.iter().map(score).collect()
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
        let scores = answer.scores(&candidates()).map_err(|error| error.to_string())?;
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

    #[test]
    fn a_list_of_losses_is_named_by_the_candidates() {
        let answer = EvaluationAnswer::of_list(&[0.5, f64::NAN], 3, &candidates()).unwrap();
        let scores = answer.scores(&candidates()).unwrap();
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
        let request: EvaluationRequest = serde_json::from_str(block()).unwrap();
        let models: Vec<Digest> = request.candidates.iter().map(|asked| asked.model).collect();
        assert_eq!(models, [one, two]);
        assert!(request.candidates.iter().all(|asked| asked.file.is_some()));
        let answer = EvaluationAnswer::parse(block().as_bytes()).unwrap();
        let scores = answer.scores(&candidates()).unwrap();
        assert_eq!((scores[0].loss_micro, scores[1].loss_micro), (412_667, 398_102));
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
