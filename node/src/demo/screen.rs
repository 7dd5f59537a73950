//! What the demonstration shows.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use fedledger_ledger::entry::Standing;
use fedledger_ledger::ids::{byzantine_max, Height, MemberId};
use fedledger_ledger::task::TaskSpec;
use fedledger_sim::federation::RoundReport;
use fedledger_sim::metrics::Metrics;
use fedledger_sim::scenario::Scenario;

use crate::audit::AuditReport;
use crate::cli::words::{
    failure_words, harmed_class_words, loss_words, names, reason_words, rule_words, standing_word,
    verdict_word,
};
use crate::devnet::Running;

/// Prints; knows who is hostile, which the ledger does not.
pub(super) struct Screen {
    members: Vec<MemberId>,
    hostile: BTreeSet<MemberId>,
    width: usize,
}

fn percent(share: f64) -> String {
    format!("{:5.1} %", share * 100.0)
}

impl Screen {
    pub(super) fn new(members: &[MemberId], hostile: &[usize]) -> Self {
        Self {
            members: members.to_vec(),
            hostile: hostile.iter().map(|&k| members[k].clone()).collect(),
            width: members.iter().map(|id| id.as_str().len()).max().unwrap_or(0),
        }
    }

    fn name(&self, member: &MemberId) -> String {
        let mark = if self.hostile.contains(member) { "✗" } else { " " };
        format!("{mark} {member:width$}", width = self.width)
    }

    pub(super) fn opening(&self, scenario: &Scenario, spec: &TaskSpec, dir: &Path) {
        let n = self.members.len();
        println!("fedledger demo: {n} hospitals train one model; none of them shows its data.\n");
        for (member, site) in self.members.iter().zip(&scenario.sites) {
            let hostile = if self.hostile.contains(member) { "  hostile" } else { "" };
            println!(
                "{}  {:4} patients to train on, {:4} held out{hostile}",
                self.name(member),
                site.train.rows(),
                site.test.rows()
            );
        }
        if !self.hostile.is_empty() {
            println!(
                "\n  ✗ marks the hostile ones, which the ledger is not told. Their attack, {}: each {}.",
                scenario.attack.name(),
                scenario.attack.describe()
            );
        }
        let (rule, f) = (rule_words(&spec.rule), spec.byzantine);
        println!("\n  rule      {rule}, up to f = {f} hostile of {n}");
        println!("  promise   the ledger is safe with up to {} hostile members", byzantine_max(n));
        println!("  folder    {}", dir.display());
    }

    pub(super) fn nodes_up(&self, running: &[Running], after: Duration) {
        println!(
            "\n{} nodes are up after {:.1} s: a process each, with its own keys, ledger and sockets.",
            running.len(),
            after.as_secs_f64()
        );
    }

    pub(super) fn round(
        &self,
        report: &RoundReport,
        (model, plain): (Metrics, Metrics),
        took: Duration,
    ) {
        println!("\nRound {}  ({:.1} s)", report.round, took.as_secs_f64());
        for ((member, verdict), trust) in
            self.members.iter().zip(&report.verdicts).zip(&report.trust)
        {
            let standing = match trust.standing {
                Standing::Active => String::new(),
                other => format!(", {}", standing_word(other)),
            };
            let trust = format!("trust {:.2}{standing}", f64::from(trust.trust_micro) / 1e6);
            let strike = if verdict.strike { "STRIKE: " } else { "" };
            println!(
                "{}  {:13} {:4.1} % of the model  {trust:22} {strike}{}",
                self.name(member),
                verdict_word(verdict.verdict),
                f64::from(verdict.weight_micro) / 1e4,
                reason_words(verdict)
            );
        }
        if let Some(harm) = &report.harm {
            println!(
                "  evaluators: {} of {} find the model worse with {}, by {} of loss",
                harm.agreeing,
                harm.evaluators,
                names(&harm.cell),
                loss_words(harm.harm_micro)
            );
            // The verdicts on all of the cell name the same class, if any.
            let class = report.verdicts.iter().find_map(|verdict| verdict.harmed_class.as_ref());
            if let Some(found) = class {
                println!("  by class: {}", harmed_class_words("they", found));
            }
        }
        if let Some(failure) = report.failure {
            println!("  the round led to no model: {}", failure_words(failure));
        }
        println!(
            "  model: accuracy {}, recall {}    plain averaging of the same updates: {}, {}",
            percent(model.accuracy),
            percent(model.recall.unwrap_or(0.0)),
            percent(plain.accuracy),
            percent(plain.recall.unwrap_or(0.0))
        );
    }

    /// `model` is what the consortium has, `plain` what plain averaging of the same updates would
    /// have led to.
    pub(super) fn summary(&self, scenario: &Scenario, model: &[f32], plain: &[f32]) {
        let (model, plain) = (scenario.evaluate_all(model), scenario.evaluate_all(plain));
        println!("\nAfter {} rounds, on {} held-out patients:", scenario.rounds, model.rows);
        for (name, metrics) in [("fedledger", model), ("plain averaging", plain)] {
            println!(
                "  {name:16} accuracy {}   recall {}   AUC {}",
                percent(metrics.accuracy),
                percent(metrics.recall.unwrap_or(0.0)),
                metrics.auc.map_or_else(|| "none".into(), |auc| format!("{auc:.3}"))
            );
        }
    }

    pub(super) fn exported(&self, member: &MemberId, file: &Path, blocks: u64, blobs: u64) {
        println!(
            "\nAn outsider gets the ledger of {member} as a file, and believes nothing in it:"
        );
        println!("  {}: {blocks} blocks, {blobs} updates and models", file.display());
    }

    pub(super) fn verified(&self, report: &AuditReport) {
        println!(
            "  VALID: {} blocks decided by more than two thirds, {} signed transactions, {} entries",
            report.height, report.transactions, report.log_size
        );
        println!(
            "  {} of {} decisions recomputed from the updates, bit for bit",
            report.recomputed, report.decisions
        );
        println!("  state root {}", report.state_root);
    }

    pub(super) fn tampering(&self, offset: u64, height: Height, named: &str) {
        println!("\nOne bit of a copy is changed, at byte {offset}, in block {height}:");
        println!("  INVALID: {named}");
    }

    pub(super) fn closing(&self, kept: Option<&Path>, took: Duration) {
        match kept {
            Some(dir) => println!(
                "\nDone in {:.1} s. Kept in {}: look around with\n  fedledger audit verify --home {}/{}",
                took.as_secs_f64(),
                dir.display(),
                dir.display(),
                self.members[0]
            ),
            None => println!(
                "\nDone in {:.1} s. Nothing is left running or lying around (--keep DIR keeps it).",
                took.as_secs_f64()
            ),
        }
    }
}
