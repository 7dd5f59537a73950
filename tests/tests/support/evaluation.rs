//! Members that score candidates: programs beside their nodes, and people at the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fedledger_ledger::decision::OutcomeResult;
use fedledger_ledger::ids::RoundNumber;
use fedledger_ledger::task::{AggregationRule, EvaluationSpec};
use fedledger_node::api::types::{EvaluatorRun, EvaluatorState, RoundView};

use super::{task_spec, until, Consortium, PROGRAM, WINDOW_MS};

/// Reads what is asked as `fedledger` writes it on one line, looks whether each file is an archive,
/// and finds every candidate a tenth better than the one before it.
pub const SCORE: &str = r#"
request=$(cat)
for file in $(printf '%s' "$request" | grep -o '"file":"[^"]*"' | cut -d'"' -f4); do
    test "$(head -c 2 "$file")" = PK || exit 9
done
printf '%s' "$request" | grep -o '"model":"[0-9a-f]*"' | cut -d'"' -f4 | awk '
    BEGIN { printf "{\"num_examples\": 5, \"losses\": {" }
    { printf "%s\"%s\": 0.%d", comma, $1, 9 - NR; comma = ", " }
    END { print "}}" }'
"#;

/// The same where losses on two classes are asked for too: every candidate is better on the second.
pub const SCORE_BY_CLASS: &str = r#"
request=$(cat)
printf '%s' "$request" | grep -q '"classes":\["benign","malignant"\]' || exit 8
printf '%s' "$request" | grep -o '"model":"[0-9a-f]*"' | cut -d'"' -f4 | awk '
    { model[NR] = $1 }
    END {
        printf "{\"num_examples\": 5, \"num_examples_by_class\": {\"malignant\": 2, \"benign\": 3}"
        printf ", \"losses\": {"
        for (k = 1; k <= NR; k++) printf "%s\"%s\": 0.%d", (k > 1 ? ", " : ""), model[k], 9 - k
        printf "}, \"losses_by_class\": {"
        for (k = 1; k <= NR; k++)
            printf "%s\"%s\": {\"benign\": 0.25, \"malignant\": 0.%d}", (k > 1 ? ", " : ""), model[k], 9 - k
        print "}}"
    }'
"#;

/// The task of the other tests, with the median as a further candidate.
fn evaluated(
    n: usize,
    rounds: u64,
    window_ms: u64,
    classes: &[&str],
) -> fedledger_ledger::task::TaskSpec {
    let candidates = vec![AggregationRule::Median];
    let classes = classes.iter().map(ToString::to_string).collect();
    let evaluation =
        Some(EvaluationSpec { candidates, window_ms, harm: None, classes, protected_class: None });
    fedledger_ledger::task::TaskSpec { evaluation, ..task_spec(n, rounds, WINDOW_MS) }
}

impl Consortium {
    /// Nodes each of which runs a script of its own, `score.sh` in its home, for at most `time_ms`.
    /// Nothing is run again in the same round.
    pub fn start_with_evaluators(
        scripts: &[&str],
        rounds: u64,
        window_ms: u64,
        time_ms: u64,
    ) -> Self {
        Self::start_with_evaluators_of(&[], scripts, rounds, window_ms, time_ms)
    }

    /// The same where the task names classes.
    pub fn start_with_evaluators_of(
        classes: &[&str],
        scripts: &[&str],
        rounds: u64,
        window_ms: u64,
        time_ms: u64,
    ) -> Self {
        let n = scripts.len();
        let set = |_: usize, config: &mut fedledger_node::config::Config| {
            config.evaluator.command = vec!["sh".into(), "score.sh".into()];
            config.evaluator.timeout_ms = time_ms;
            config.evaluator.retry_ms = 3_600_000;
        };
        let spec = evaluated(n, rounds, window_ms, classes);
        let consortium = Self::start_as(n, spec, &[], None, set);
        for (member, script) in scripts.iter().enumerate() {
            consortium.set_evaluator(member, script);
        }
        consortium
    }

    /// Nodes that run nothing: whoever scores does so through the API.
    pub fn start_evaluated(n: usize, rounds: u64) -> Self {
        Self::start_as(n, evaluated(n, rounds, 600_000, &[]), &[], None, |_, _| {})
    }

    /// Replaces a member's script, for its next run.
    pub fn set_evaluator(&self, member: usize, script: &str) {
        let file = self.home_path(member).join("score.sh");
        let new = file.with_extension("new");
        fs::write(&new, script).unwrap();
        fs::rename(new, file).unwrap();
    }

    pub fn home_path(&self, member: usize) -> PathBuf {
        self.devnet.nodes[member].home.clone()
    }

    /// Everybody hands in its update.
    pub fn submit_all(&self, round: RoundNumber) {
        for member in 0..self.nodes.len() {
            self.submit(member, round);
        }
    }

    /// The member's evaluator, once it is in a state.
    pub fn wait_for_evaluator(&self, member: usize, state: EvaluatorState) -> EvaluatorRun {
        until(&format!("the evaluator of member {member} to be {state:?}"), || {
            let runs = self.status(member).evaluation.runs;
            runs.into_iter().find(|run| run.state == state)
        })
    }

    /// Waits until no process has the member's home as its folder any more.
    pub fn wait_until_nothing_runs(&self, member: usize) {
        let home = self.home_path(member);
        until("every program in a home to end", || processes_in(&home).is_empty().then_some(()));
    }

    /// Number of rounds that wait for the member's scores.
    pub fn scores_due(&self, member: usize) -> usize {
        self.status(member).evaluation.due.len()
    }

    /// Position of the candidate that a round led to.
    pub fn chosen(&self, view: &RoundView) -> usize {
        let Some(OutcomeResult::Aggregated { chosen, .. }) = &view.result else {
            panic!("the round led to no model: {view:?}")
        };
        view.candidates.iter().position(|candidate| candidate == chosen).unwrap()
    }

    /// Runs a verb of the command line beside a member's node.
    pub fn fedledger(&self, member: usize, arguments: &[&str], input: &str) -> Output {
        use std::io::Write as _;
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .arg("--home")
            .arg(self.home_path(member))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

/// The processes that run in a folder.
fn processes_in(folder: &Path) -> Vec<PathBuf> {
    let folder = folder.canonicalize().unwrap();
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let inside = |path: &PathBuf| fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == folder);
    all.map(|entry| entry.path()).filter(inside).collect()
}
