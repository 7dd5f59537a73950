//! What each member scored, for people.

use fedledger_ledger::decision::UpdateVerdict;
use fedledger_ledger::ids::MemberId;
use fedledger_ledger::transaction::CandidateScore;

use crate::api::types::{EvaluationView, RoundView};
use crate::cli::words::{
    candidate_words, harmed_class_words, loss_words, names, return_class_words,
};
use crate::output::table;

/// One row for each member: its loss on candidate 0, and by how much the others' are above it. Losses
/// of different hospitals say nothing about each other; these differences do. Then the same for each of
/// `classes`, the task's, and what it comes to.
pub(super) fn show_text(view: &RoundView, classes: &[String]) -> String {
    if view.candidates.is_empty() {
        return format!("Round {} of {} lists no candidates.", view.round, view.task);
    }
    let listed: Vec<Vec<String>> = view
        .candidates
        .iter()
        .enumerate()
        .map(|(at, candidate)| {
            vec![at.to_string(), candidate.model.to_string(), candidate_words(candidate)]
        })
        .collect();
    let listed = table(&["candidate", "model", "made by"], &listed);
    if view.evaluations.is_empty() {
        return listed + "\nNobody has scored them yet.";
    }
    let whole = |score: &CandidateScore| Some((score.loss_micro, score.num_examples));
    let mut text = listed + "\n" + &losses_table(view, whole);
    for (at, class) in classes.iter().enumerate() {
        let of_class = |score: &CandidateScore| {
            score.classes.get(at).map(|one| (one.loss_micro, one.num_examples))
        };
        text += &format!("\nOn class {class}:\n{}", losses_table(view, of_class));
    }
    text + &harmed_text(view)
}

/// The table of the losses, with their numbers of rows, that `of` takes from a score.
fn losses_table(view: &RoundView, of: impl Fn(&CandidateScore) -> Option<(u64, u64)>) -> String {
    let mut header = vec!["member".to_owned(), "rows".into(), "loss of 0".into()];
    header.extend((1..view.candidates.len()).map(|at| format!("{at} above 0")));
    let row = |one: &EvaluationView| {
        let told: Vec<(u64, u64)> = one.scores.iter().filter_map(&of).collect();
        let (first, rows) = told.first().copied().unwrap_or((0, 0));
        let mut row = vec![one.member.to_string(), rows.to_string()];
        if rows == 0 {
            row.resize(header.len(), "-".into());
            return row;
        }
        row.push(loss_words(first as i64));
        row.extend(told[1..].iter().map(|(loss, _)| loss_words(*loss as i64 - first as i64)));
        row
    };
    let rows: Vec<Vec<String>> = view.evaluations.iter().map(row).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    table(&header, &rows)
}

/// The class that the suspected cell harms most, and the one that members in quarantine would, once
/// the round has ended; nothing where no class was found harmed.
fn harmed_text(view: &RoundView) -> String {
    let verdicts: Vec<&UpdateVerdict> =
        view.updates.iter().filter_map(|update| update.verdict.as_ref()).collect();
    let mut text = String::new();
    // The verdicts on all members of a cell name the same class.
    let of = |named: &dyn Fn(&UpdateVerdict) -> bool| -> Vec<MemberId> {
        let named = verdicts.iter().filter(|verdict| named(verdict));
        named.map(|verdict| verdict.member.clone()).collect()
    };
    if let Some(found) = verdicts.iter().find_map(|verdict| verdict.harmed_class.as_ref()) {
        let cell = names(&of(&|verdict| verdict.harmed_class.is_some()));
        text += &format!("\n{}\n", harmed_class_words(&cell, found));
    }
    if let Some(found) = verdicts.iter().find_map(|verdict| verdict.return_harmed_class.as_ref()) {
        let cell = names(&of(&|verdict| verdict.return_harmed_class.is_some()));
        text += &format!("\n{}\n", return_class_words(&format!("the return of {cell}"), found));
    }
    text
}

#[cfg(test)]
mod tests {
    use fedledger_ledger::decision::{Candidate, HarmedClass, Reason, Verdict};
    use fedledger_ledger::ids::{Digest, RoundNumber, TaskId};
    use fedledger_ledger::task::AggregationRule;
    use fedledger_ledger::transaction::ClassLoss;

    use super::*;
    use crate::api::types::UpdateView;

    fn member(name: &str) -> MemberId {
        MemberId::new(name).expect("a good id")
    }

    fn update(name: &str, harmed_class: Option<HarmedClass>) -> UpdateView {
        let verdict = UpdateVerdict {
            member: member(name),
            update: None,
            verdict: Verdict::Accept,
            reason: Reason::Clean,
            value: 0,
            threshold: 0,
            weight_micro: 0,
            strike: false,
            measures: Vec::new(),
            together_with: None,
            return_harmed_class: None,
            harmed_class,
        };
        UpdateView {
            member: member(name),
            commitment: Digest::of(b"c"),
            update: None,
            num_examples: 1,
            revealed: true,
            verdict: Some(verdict),
        }
    }

    #[test]
    fn classes_have_tables_of_their_own_and_the_harmed_one_is_named() {
        let candidate = |name: &[u8]| Candidate {
            rule: AggregationRule::Median,
            aggregate: Digest::of(name),
            model: Digest::of(name),
            without: None,
            with: None,
        };
        let score = |loss_micro: u64, malignant: u64| CandidateScore {
            candidate: Digest::of(b"one"),
            loss_micro,
            num_examples: 9,
            classes: vec![
                ClassLoss { loss_micro: 200_000, num_examples: 9 - malignant },
                ClassLoss { loss_micro: loss_micro * malignant.min(1), num_examples: malignant },
            ],
        };
        let scored = |name: &str, malignant| EvaluationView {
            member: member(name),
            scores: vec![score(500_000, malignant), score(469_000, malignant)],
        };
        let class = "malignant".to_owned();
        let found = HarmedClass { class, harm_micro: 31_000, agreeing: 8, evaluators: 9 };
        let mut view = RoundView {
            task: TaskId::new("lung").expect("a good id"),
            round: RoundNumber(12),
            phase: "ended".into(),
            base_model: Digest::of(b"m"),
            deadline: None,
            updates: vec![update("c", Some(found.clone())), update("f", Some(found.clone()))],
            candidates: vec![candidate(b"one"), candidate(b"two")],
            evaluations: vec![scored("a", 3), scored("b", 0)],
            result: None,
            replay: None,
        };
        let classes = ["benign".to_owned(), "malignant".to_owned()];
        let text = show_text(&view, &classes);
        let (whole, by_class) = text.split_once("\nOn class benign:\n").expect("two classes");
        assert!(whole.contains("a          9   0.500000  -0.031000"), "{whole}");
        let (benign, malignant) = by_class.split_once("\nOn class malignant:\n").expect("two");
        assert!(benign.contains("a          6   0.200000   0.000000"), "{benign}");
        assert!(malignant.contains("a          3   0.500000  -0.031000"), "{malignant}");
        assert!(malignant.contains("b          0          -          -"), "{malignant}");
        let said =
            "\n8 of 9 evaluators measured that c and f raise the loss on class malignant, by \
                    0.031000\n";
        assert!(malignant.ends_with(said), "{malignant}");
        let back = view.updates[0].verdict.as_mut().expect("it has one");
        back.return_harmed_class = Some(found);
        let said = "that the return of c would raise the loss on class malignant, by 3.10 %\n";
        assert!(show_text(&view, &classes).ends_with(said), "{}", show_text(&view, &classes));
        // As it is where nobody asks.
        view.updates.clear();
        assert_eq!(show_text(&view, &[]), whole);
    }
}
