//! Members that changed alike at once are quarantined, and back when their return does no harm.

use super::*;
use crate::history::RETURN_ROUNDS_MIN;
use crate::profile::HISTORY_BALANCED;

const LIMIT_MICRO: u32 = 1_000;

/// Seven members, f = 2: a pair that moves is found by round 20.
fn spec_returning() -> TaskSpec {
    let history = Some(HistoryPolicy { settle_rounds: 0, baseline_rounds: 8, ..HISTORY_BALANCED });
    let harm = HarmPolicy { cosine_milli: 1_000, return_micro: Some(LIMIT_MICRO), ..HARM };
    let mut spec = TaskSpec { history, ..spec() };
    spec.evaluation.as_mut().expect("the task evaluates").harm = Some(harm);
    spec
}

/// What became of a pair that changed in round 10.
struct Change {
    play: Play,
    quarantined: Option<u64>,
    returned: Option<u64>,
    struck_after: Option<UpdateVerdict>,
}

/// Plays 45 rounds in which evaluator `at`, whose loss of the task's own model is 500,000, says
/// `with(at)` of the one with members in quarantine.
fn change(with: impl Fn(usize) -> u64) -> Change {
    let ledger = Ledger::new(7, vec![spec_returning()]);
    let play = Play { ledger, random: ChaCha8Rng::seed_from_u64(5) };
    let mut change = Change { play, quarantined: None, returned: None, struck_after: None };
    for round in 1..=45 {
        let moved = if round >= 10 { 90 } else { 0 };
        let (result, verdicts) = change.play.scored(moved, |at, candidate| {
            score(candidate, if candidate.with.is_some() { with(at) } else { 500_000 })
        });
        let ledger = &change.play.ledger;
        let OutcomeResult::Aggregated { chosen, .. } = result else { panic!("{result:?}") };
        assert_eq!(chosen.with, None, "it is never up for choice");
        let quarantined = ledger.trust(0).standing == Standing::Quarantine;
        if quarantined && change.quarantined.is_none() {
            change.quarantined = Some(round);
        }
        if change.quarantined.is_some() && !quarantined && change.returned.is_none() {
            change.returned = Some(round);
        }
        let again = verdicts.into_iter().find(|verdict| verdict.strike);
        change.struck_after = change.struck_after.or(again.filter(|_| change.returned.is_some()));
    }
    change
}

#[test]
fn a_pair_whose_return_does_no_harm_is_back_and_stays() {
    // Of five evaluators one says that it does all the harm there is; two would keep it there.
    let change = change(|at| if at == 6 { LOSS_MICRO_MAX } else { 500_000 + 10 * at as u64 });
    let since = change.quarantined.expect("it is found");
    let clean = spec_returning().trust.map_or(0, |trust| u64::from(trust.clean_rounds_to_return));
    // The round of the last measurement that is needed is the first clean one.
    assert_eq!(change.returned, Some(since + u64::from(RETURN_ROUNDS_MIN) - 1 + clean));
    assert_eq!(change.struck_after, None);
    let ledger = &change.play.ledger;
    assert!((0..7).all(|at| ledger.trust(at).standing == Standing::Active));
    let returned = |body: &EntryBody| {
        matches!(body, EntryBody::TrustChanged { cause: TrustCause::Returned, .. })
    };
    assert!(has(&ledger.entries, returned));
    // What it rests on stands in the verdicts.
    let measured = ledger.entries.iter().any(|entry| match &entry.body {
        EntryBody::UpdateVerdict { verdict, .. } => {
            verdict.reason == Reason::MemberQuarantined
                && verdict.measures.contains(&(Measure::ReturnRounds, 3))
                && verdict.measures.iter().any(|(one, _)| *one == Measure::BondMilli)
        }
        _ => false,
    });
    assert!(measured);
}

#[test]
fn a_pair_whose_return_does_harm_stays_whatever_f_liars_say() {
    // Two of the five evaluators say that nothing is better.
    let change = change(|at| if at >= 5 { 0 } else { 500_000 + 1_000 });
    assert!(change.quarantined.is_some());
    assert_eq!(change.returned, None);
    let stays = [0, 1].map(|at| change.play.ledger.trust(at).standing);
    assert_eq!(stays, [Standing::Quarantine; 2]);
}

#[test]
fn replay_finds_the_return_again_and_a_bent_one() {
    let ledger = change(|_| 500_000).play.ledger;
    for blobs in [None, Some(&ledger.blobs as &dyn BlobRead)] {
        let replayer = ledger.replay(&ledger.chain, blobs).expect("the chain is honest");
        assert_eq!(replayer.state().root(), ledger.state.root());
    }
    let with = |block: &Block| match &block.body.decisions[..] {
        [Decision::Candidates { candidates, .. }] => {
            candidates.last().and_then(|last| last.with.clone())
        }
        _ => None,
    };
    let at = ledger.chain.iter().position(|(block, _)| with(block).is_some());
    let at = at.expect("a return is measured");
    assert_eq!(with(&ledger.chain[at].0), Some(cell()));
    let bent = |with: Vec<usize>| {
        let mut chain = ledger.chain[..=at].to_vec();
        let (block, certificate) = &mut chain[at];
        let Decision::Candidates { candidates, .. } = &mut block.body.decisions[0] else {
            panic!("it lists candidates")
        };
        let last = candidates.last_mut().expect("two are listed");
        last.with = Some(with.into_iter().map(member_id).collect());
        block.header.data_hash = block.body.data_hash();
        *certificate = ledger.certify(block);
        let Err(error) = ledger.replay(&chain, Some(&ledger.blobs)) else { panic!("it was bent") };
        error.to_string()
    };
    // One of them is of the right form and not what the histories lead to.
    assert!(bent(vec![0]).contains("candidates of the decision"));
    // Nobody who stands, nobody out of order or twice, and not nobody.
    for cell in [vec![0, 2], vec![1, 0], vec![1, 1], vec![]] {
        let found = bent(cell);
        assert!(found.contains("not of the task's rules"), "{found}");
    }
}

#[test]
fn a_limit_has_a_range_and_takes_a_candidate() {
    assert_eq!(check_task(&spec_returning(), 7), Ok(()));
    let mut wide = spec_returning();
    let harm = HarmPolicy { return_micro: Some(30_001), ..HARM };
    wide.evaluation.as_mut().expect("the task evaluates").harm = Some(harm);
    let found = check_task(&wide, 7);
    assert!(matches!(found, Err(TaskFault::OutOfRange { what: "return_micro", .. })), "{found:?}");
}
