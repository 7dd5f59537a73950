//! `fedledger status`.

use super::context::Context;
use crate::api::types::{EvaluationStatus, NodeStatus};
use crate::exit::{Exit, Failure};
use crate::output::{fields, table, utc};

pub(super) fn run(context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let status: NodeStatus = client.get("/v1/status")?;
    context.output.print(&status, |status| text(status, client.url()))?;
    Ok(Exit::Ok)
}

fn text(status: &NodeStatus, url: &str) -> String {
    let member = status.member.as_ref().map_or("none (follows only)".into(), ToString::to_string);
    let mut signing = if status.signing { "signs votes" } else { "does not sign votes" }.to_owned();
    if status.syncing {
        signing += ", fetching blocks";
    }
    let connected = status.peers.iter().filter(|peer| peer.connected).count();
    let head = fields(&[
        ("node", url.to_owned()),
        ("chain id", status.chain_id.to_string()),
        ("member", member),
        ("height", format!("{} at {}", status.height, utc(status.tip_time.0))),
        ("log", format!("{} entries, root {}", status.log_size, status.log_root.short())),
        ("state root", status.state_root.to_string()),
        ("this node", signing),
        ("members", format!("{connected} of {} others connected", status.peers.len())),
        ("guarantee", status.guarantee.clone()),
    ]);
    let rows: Vec<Vec<String>> = status
        .peers
        .iter()
        .map(|peer| {
            vec![
                peer.member.to_string(),
                if peer.connected { "connected" } else { "not connected" }.into(),
                peer.height.map_or("-".into(), |height| height.to_string()),
                peer.address.clone().unwrap_or_else(|| "-".into()),
            ]
        })
        .collect();
    let head = head + &evaluation_text(&status.evaluation);
    if rows.is_empty() {
        return head;
    }
    head + "\n" + &table(&["member", "connection", "height", "address"], &rows)
}

/// What waits for the member's scores, and how the evaluator gets on. Nothing where neither is there.
fn evaluation_text(status: &EvaluationStatus) -> String {
    let mut lines = Vec::new();
    if !status.command.is_empty() {
        lines.push(("evaluator", status.command.join(" ")));
    }
    for run in &status.runs {
        let times = if run.runs == 1 { "once".to_owned() } else { format!("{} times", run.runs) };
        let fault = run.fault.as_ref().map_or_else(String::new, |fault| format!(": {fault}"));
        let (task, round, word) = (&run.task, run.round, run.state.word());
        lines.push(("", format!("{task} round {round}, run {times}, {word}{fault}")));
    }
    for due in &status.due {
        let (task, round, until) = (&due.task, due.round, utc(due.deadline.0));
        let todo = if status.command.is_empty() {
            format!("; score them with `fedledger evaluation wait {task}`")
        } else {
            String::new()
        };
        lines.push(("scores due", format!("{task} round {round} waits until {until}{todo}")));
    }
    if lines.is_empty() {
        return String::new();
    }
    format!("\n{}", fields(&lines))
}

#[cfg(test)]
mod tests {
    use fedledger_ledger::ids::{RoundNumber, TaskId, TimeMs};

    use super::*;
    use crate::api::types::{EvaluationDue, EvaluatorRun, EvaluatorState};

    #[test]
    fn an_operator_reads_what_waits_and_what_went_wrong() {
        assert_eq!(evaluation_text(&EvaluationStatus::default()), "");
        let (task, round) = (TaskId::new("lung").expect("a good id"), RoundNumber(12));
        let due = EvaluationDue { task: task.clone(), round, deadline: TimeMs(0) };
        let by_hand = EvaluationStatus { due: vec![due], ..EvaluationStatus::default() };
        let text = evaluation_text(&by_hand);
        assert!(
            text.contains("lung round 12 waits until 1970-01-01T00:00:00Z; score them"),
            "{text}"
        );
        let fault = Some("it ended with exit status: 1".to_owned());
        let run = EvaluatorRun { task, round, runs: 3, state: EvaluatorState::Failed, fault };
        let command = vec!["python3".into(), "score.py".into()];
        let text = evaluation_text(&EvaluationStatus { command, runs: vec![run], ..by_hand });
        assert!(text.contains("evaluator   python3 score.py\n"), "{text}");
        let said = "lung round 12, run 3 times, failed: it ended with exit status: 1\n";
        assert!(text.contains(said) && !text.contains("score them with"), "{text}");
    }
}
