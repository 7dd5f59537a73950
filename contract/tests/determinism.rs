//! The same ledger comes to the same bits whatever the number of threads, and to the same
//! decisions in whatever order its transactions arrive. `scripts/determinism.sh` compares builds.
#![allow(missing_docs)]

#[path = "../examples/state_roots/acts.rs"]
mod acts;
#[path = "../examples/state_roots/consortium.rs"]
mod consortium;
#[path = "../examples/state_roots/lcg.rs"]
mod lcg;
#[path = "../examples/state_roots/scenario.rs"]
mod scenario;
#[path = "../examples/state_roots/tasks.rs"]
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

use fedledger_ledger::decision::{Measure, OutcomeResult, Reason, Verdict};
use fedledger_ledger::entry::{EntryBody, Receipt, Rejection, TrustCause};
use fedledger_ledger::ids::Digest;
use scenario::{play, replay, Run};

fn with_threads(threads: usize, shuffle: Option<u64>) -> Run {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| play(shuffle))
}

#[test]
fn the_number_of_threads_changes_no_root_and_no_decision() {
    let one = with_threads(1, None);
    for threads in [2, 3] {
        let more = with_threads(threads, None);
        assert_eq!(more.roots, one.roots, "{threads} threads");
        assert_eq!(more.decided, one.decided, "{threads} threads");
        assert!(more.chain == one.chain, "{threads} threads");
    }
}

/// What `docs/exactness.md` says other machines came to: a change to it is a change of the contract.
#[test]
fn the_last_root_is_the_published_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/exactness.md");
    let page = std::fs::read_to_string(path).expect("the page is in the repository");
    let run = with_threads(2, None);
    let last = run.roots.last().expect("the ledger has blocks");
    let root = last.rsplit(' ').next().expect("a line ends with its root");
    assert!(page.contains(root), "{last} is not in docs/exactness.md");
}

#[test]
fn a_ledger_replays_with_another_number_of_threads() {
    let run = with_threads(1, None);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let replayed = pool.install(|| replay(&run)).unwrap();
    assert_eq!(replayed.len(), run.chain.len());
}

#[test]
fn the_order_of_arrival_changes_no_decision() {
    let straight = with_threads(2, None);
    for seed in 1..=3 {
        let shuffled = with_threads(2, Some(seed));
        assert_eq!(shuffled.decided, straight.decided, "seed {seed}");
        assert_ne!(shuffled.roots, straight.roots, "the seed {seed} shuffles nothing");
    }
}

#[test]
fn a_replay_notices_another_decision() {
    let mut run = with_threads(2, None);
    let decided = run.chain.iter().position(|(block, _)| !block.body.decisions.is_empty()).unwrap();
    let (block, _) = &mut run.chain[decided];
    let mut outcomes = block.body.decisions.iter_mut();
    let bent = outcomes.find_map(|decision| match decision {
        fedledger_ledger::decision::Decision::Outcome {
            result: OutcomeResult::Aggregated { chosen, .. },
            ..
        } => Some(chosen),
        _ => None,
    });
    bent.unwrap().model = Digest::of(b"another model");
    assert!(replay(&run).is_err());
}

/// What the ledger above went through, so that it cannot quietly become a ledger of clean rounds.
#[test]
fn the_ledger_has_every_rule_and_every_kind_of_bad_submission() {
    let run = play(None);
    let mut aggregated: BTreeMap<String, u32> = BTreeMap::new();
    let mut rules = BTreeSet::new();
    let (mut reasons, mut verdicts) = (BTreeSet::new(), BTreeSet::new());
    let (mut measured, mut classes) = (BTreeSet::new(), BTreeSet::new());
    let mut rejections: Vec<Rejection> = Vec::new();
    let (mut failed_rounds, mut replayed_rounds, mut notices, mut held) = (0, 0, 0, 0);
    for entry in replay(&run).unwrap().into_iter().flat_map(|block| block.entries) {
        match entry.body {
            EntryBody::UpdateVerdict { verdict, .. } => {
                reasons.insert(verdict.reason);
                verdicts.insert(verdict.verdict);
                let measures: BTreeSet<Measure> =
                    verdict.measures.iter().map(|(measure, _)| *measure).collect();
                let both = [Measure::ExcusedRounds, Measure::RoundsInCell];
                held += u32::from(both.iter().all(|one| measures.contains(one)));
                measured.extend(measures);
                classes.extend(verdict.return_harmed_class.map(|harmed| harmed.class));
            }
            EntryBody::RoundOutcome { task, result, .. } => match result {
                OutcomeResult::Aggregated { chosen, .. } => {
                    *aggregated.entry(task.to_string()).or_default() += 1;
                    rules.insert(format!("{:?}", discriminant(&chosen.rule)));
                }
                OutcomeResult::Failed { .. } => failed_rounds += 1,
            },
            EntryBody::RoundReplayed { .. } => replayed_rounds += 1,
            EntryBody::TrustChanged { cause: TrustCause::DataChanged, .. } => notices += 1,
            EntryBody::Transaction { receipt: Receipt::Refused { rejection }, .. }
                if rejections.iter().all(|one| discriminant(one) != discriminant(&rejection)) =>
            {
                rejections.push(rejection);
            }
            _ => {}
        }
    }
    assert_eq!(aggregated.len(), tasks::tasks().len(), "{aggregated:?}");
    assert!(aggregated.values().all(|rounds| *rounds >= 4), "{aggregated:?}");
    assert_eq!(rules.len(), 11, "all rules, and pre-aggregated ones, led to a model");
    let expected = [
        Reason::Clean,
        Reason::NotSelected,
        Reason::Outlier,
        Reason::NormTooLarge,
        Reason::NormTooSmall,
        Reason::NormClipped,
        Reason::Duplicate,
        Reason::SchemaMismatch,
        Reason::NotRevealed,
        Reason::Equivocation,
        Reason::MemberQuarantined,
        Reason::MemberOnProbation,
        Reason::LengthMismatch,
        Reason::MovedTogether,
        Reason::SwungTogether,
        Reason::HarmfulTogether,
        Reason::CellLeftOut,
    ];
    let missing: Vec<_> = expected.iter().filter(|one| !reasons.contains(one)).collect();
    assert!(missing.is_empty(), "no verdict has the reasons {missing:?}");
    let every =
        [Verdict::Accept, Verdict::Clip, Verdict::DownWeight, Verdict::Reject, Verdict::Quarantine];
    assert_eq!(verdicts, BTreeSet::from(every));
    assert!(failed_rounds > 0);
    assert!(replayed_rounds > 1, "the rounds after one that was gone back to are replayed");
    assert!(notices >= 5 + 3, "a notice in each task with a history, and three where some drift");
    assert!(held > 0, "who announced its drift is held");
    assert!(measured.contains(&Measure::ReturnRounds), "{measured:?}");
    assert!(!classes.is_empty(), "a return is measured by class");
    let refused = |expected: Rejection| {
        rejections.iter().any(|one| discriminant(one) == discriminant(&expected))
    };
    let digest = Digest::of(b"");
    assert!(refused(Rejection::Equivocation { committed: digest }), "{rejections:?}");
    assert!(refused(Rejection::AlreadyCommitted), "{rejections:?}");
    assert!(refused(Rejection::WrongLength { expected: 0 }), "{rejections:?}");
    assert!(refused(Rejection::WrongBaseModel { expected: digest }), "{rejections:?}");
    assert!(refused(Rejection::NotCommitted), "{rejections:?}");
    assert!(refused(Rejection::WrongOpening { committed: digest }), "{rejections:?}");
    let sets: BTreeSet<_> =
        run.chain.iter().map(|(block, _)| block.header.validators_hash).collect();
    assert_eq!(sets.len(), 2, "a validator's key is rotated on the way");
}
