use fedledger_ledger::block::Block;
use fedledger_ledger::decision::{
    Candidate, Decision, Measure, OutcomeResult, Reason, UpdateVerdict, Verdict,
};
use fedledger_ledger::entry::{EntryBody, Standing, TrustCause};
use fedledger_ledger::ids::MemberId;
use fedledger_ledger::limits::LOSS_MICRO_MAX;
use fedledger_ledger::task::{EvaluationSpec, HarmPolicy, HistoryPolicy, TaskSpec, TrustPolicy};
use fedledger_ledger::transaction::{Action, CandidateScore};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::decide::BlobRead;
use crate::task_check::{check_task, TaskFault};
use crate::testing::{has, member_id, outcome, task, task_id, Ledger};

mod classes;
mod returning;

const HARM: HarmPolicy = HarmPolicy {
    observed_rounds: 3,
    cosine_milli: 300,
    allowance_milli: 1_000,
    limit_milli: 5_000,
    return_micro: None,
    all_rows_milli: None,
};

/// Seven members, f = 2, under a history whose baselines are never complete in these tests.
fn spec() -> TaskSpec {
    let history = HistoryPolicy {
        sketch_width: 16,
        settle_rounds: 0,
        baseline_rounds: 30,
        bond_milli: 3_000,
        shift_milli: 1_500,
        lead_milli: 1_000,
        rounds_in_a_row: 2,
        swings: None,
    };
    // Nothing is an outlier here.
    let trust =
        task(2, 5).trust.map(|policy| TrustPolicy { outlier_cosine_milli: Some(-1_000), ..policy });
    let evaluation = Some(EvaluationSpec {
        candidates: Vec::new(),
        window_ms: 1_000,
        harm: Some(HARM),
        classes: Vec::new(),
        protected_class: None,
    });
    let history = Some(history);
    TaskSpec { history, evaluation, rounds: 60, norm_band: None, trust, ..task(2, 5) }
}

/// Members 0 and 1 are alike from the first round on.
struct Play {
    ledger: Ledger,
    random: ChaCha8Rng,
}

impl Play {
    fn new() -> Self {
        Self { ledger: Ledger::new(7, vec![spec()]), random: ChaCha8Rng::seed_from_u64(5) }
    }

    /// Plays a round in which evaluator `k` finds `losses(k)` with the cell and without it.
    fn round(
        &mut self,
        losses: impl Fn(usize) -> (u64, u64),
    ) -> (OutcomeResult, Vec<UpdateVerdict>) {
        self.scored(90, |at, candidate| {
            let (with, out) = losses(at);
            score(candidate, if candidate.without.is_some() { out } else { with })
        })
    }

    /// Plays a round in which members 0 and 1 are `moved` from the others and evaluator `k` gives the
    /// scores `score(k, candidate)`.
    fn scored(
        &mut self,
        moved: i32,
        score: impl Fn(usize, &Candidate) -> CandidateScore,
    ) -> (OutcomeResult, Vec<UpdateVerdict>) {
        let mut jitter = || self.random.gen_range(-20..=20);
        let updates: Vec<(usize, [i32; 3])> = (0..7)
            .map(|at| (at, [200 + jitter(), jitter() + if at < 2 { moved } else { 0 }, jitter()]))
            .collect();
        let ledger = &mut self.ledger;
        ledger.commit_all(&updates);
        ledger.reveal_all(0..7);
        ledger.decide_block();
        let round = ledger.round();
        let transactions = (0..7).map(|at| {
            let scores = round.candidates.iter().map(|candidate| score(at, candidate));
            let (task, round) = (task_id(), round.round);
            let action = Action::SubmitEvaluation { task, round, scores: scores.collect() };
            ledger.sign(at, action)
        });
        let transactions = transactions.collect();
        ledger.block(1, transactions, vec![]);
        outcome(&ledger.decide_block().entries)
    }
}

/// A loss over nine rows.
fn score(candidate: &Candidate, loss_micro: u64) -> CandidateScore {
    let (candidate, classes) = (candidate.model, Vec::new());
    CandidateScore { candidate, loss_micro, num_examples: 9, classes }
}

fn cell() -> Vec<MemberId> {
    vec![member_id(0), member_id(1)]
}

/// Everybody outside of the cell measures harm, those in it deny it.
fn harmed(at: usize) -> (u64, u64) {
    if at < 2 {
        (0, LOSS_MICRO_MAX)
    } else {
        (500_000 + 1_000 * at as u64 + 900, 500_000 + 1_000 * at as u64)
    }
}

#[test]
fn a_cell_that_does_harm_is_left_out_and_quarantined_in_time() {
    let mut play = Play::new();
    for _ in 0..3 {
        play.round(harmed);
        assert!(play.ledger.trust(0).standing == Standing::Active);
    }
    // From the fourth round on the two are suspects: the score is three, and two of it count. The
    // model goes on without them once that is half of the limit.
    for sum in [2_000, 4_000] {
        let (result, verdicts) = play.round(harmed);
        let OutcomeResult::Aggregated { chosen, .. } = result else { panic!("{result:?}") };
        assert_eq!(chosen.without, None);
        let first = &verdicts[0];
        assert!(!first.strike && first.reason != Reason::CellLeftOut, "{first:?}");
        assert_eq!(first.measures.last(), Some(&(Measure::HarmSumMilli, sum)));
    }
    let (result, verdicts) = play.round(harmed);
    let OutcomeResult::Aggregated { chosen, .. } = result else { panic!("{result:?}") };
    assert_eq!(chosen.without, Some(cell()));
    let first = &verdicts[0];
    assert_eq!((first.verdict, first.reason), (Verdict::Reject, Reason::HarmfulTogether));
    assert!(first.strike && verdicts[2].verdict == Verdict::Accept);
    let measured = |which| first.measures.iter().find(|(one, _)| *one == which).map(|(_, v)| *v);
    assert_eq!(measured(Measure::HarmMicro), Some(900));
    assert_eq!(measured(Measure::HarmAgreeing), Some(5));
    assert_eq!(measured(Measure::HarmEvaluators), Some(5));
    assert_eq!((first.value, first.threshold), (6_000, 5_000));
    assert_eq!(first.together_with, Some(vec![member_id(1)]));
    let standing = |at| play.ledger.trust(at).standing;
    assert_eq!((standing(0), standing(1)), (Standing::Quarantine, Standing::Quarantine));
    assert!((2..7).all(|at| standing(at) == Standing::Active));
    let caused = |body: &EntryBody| {
        matches!(body, EntryBody::TrustChanged { cause: TrustCause::HarmfulTogether, .. })
    };
    assert!(has(&play.ledger.entries, caused));
    // Nobody of the f is left to suspect, and the strikes go on until the sum has shrunk.
    let (result, verdicts) = play.round(harmed);
    let OutcomeResult::Aggregated { chosen, .. } = result else { panic!("{result:?}") };
    assert_eq!(chosen.without, None);
    assert_eq!((verdicts[0].reason, verdicts[0].value), (Reason::HarmfulTogether, 5_750));
}

#[test]
fn a_cell_that_helps_is_heard_whatever_f_liars_say() {
    let mut play = Play::new();
    for _ in 0..12 {
        // Members 5 and 6 accuse the two.
        let (result, verdicts) = play.round(|at| match at {
            5 | 6 => (LOSS_MICRO_MAX, 0),
            at => (400_000, 400_000 + at as u64 * 100),
        });
        let OutcomeResult::Aggregated { chosen, .. } = result else { panic!("{result:?}") };
        assert_eq!(chosen.without, None);
        assert!(verdicts.iter().all(|verdict| !verdict.strike));
    }
    assert!((0..7).all(|at| play.ledger.trust(at).standing == Standing::Active));
}

#[test]
fn replay_finds_the_cell_again_and_a_bent_one() {
    let mut play = Play::new();
    (0..5).for_each(|_| drop(play.round(harmed)));
    let ledger = play.ledger;
    for blobs in [None, Some(&ledger.blobs as &dyn BlobRead)] {
        let replayer = ledger.replay(&ledger.chain, blobs).expect("the chain is honest");
        assert_eq!(replayer.state().root(), ledger.state.root());
    }
    let lists = |block: &Block| matches!(block.body.decisions[..], [Decision::Candidates { .. }]);
    let at = ledger.chain.iter().rposition(|(block, _)| lists(block));
    let at = at.expect("rounds list candidates");
    let bent = |without: Option<Vec<MemberId>>| {
        let mut chain = ledger.chain[..=at].to_vec();
        let (block, certificate) = &mut chain[at];
        let Decision::Candidates { candidates, .. } = &mut block.body.decisions[0] else {
            panic!("it lists candidates")
        };
        assert_eq!(candidates.last().expect("two are listed").without, Some(cell()));
        candidates.last_mut().expect("two are listed").without = without;
        block.header.data_hash = block.body.data_hash();
        *certificate = ledger.certify(block);
        let Err(error) = ledger.replay(&chain, Some(&ledger.blobs)) else { panic!("it was bent") };
        error.to_string()
    };
    // Another pair is of the right form and not what the histories lead to.
    let found = bent(Some(vec![member_id(2), member_id(3)]));
    assert!(found.contains("candidates of the decision"), "{found}");
    // Three are more than f, one is no cell, and nobody stands out of order or twice.
    for cell in [vec![0, 1, 2], vec![0], vec![1, 0], vec![1, 1], vec![0, 9]] {
        let found = bent(Some(cell.into_iter().map(member_id).collect()));
        assert!(found.contains("not of the task's rules"), "{found}");
    }
    assert!(bent(None).contains("not of the task's rules"));
}

#[test]
fn harm_needs_a_history_and_room_for_one_more_candidate() {
    assert_eq!(check_task(&spec(), 7), Ok(()));
    let without = TaskSpec { history: None, ..spec() };
    assert_eq!(check_task(&without, 7), Err(TaskFault::HarmWithoutHistory));
    let mut wide = spec();
    let policy = HarmPolicy { allowance_milli: 3_001, ..HARM };
    wide.evaluation.as_mut().expect("the task evaluates").harm = Some(policy);
    assert!(matches!(
        check_task(&wide, 7),
        Err(TaskFault::OutOfRange { what: "allowance_milli", .. })
    ));
}
