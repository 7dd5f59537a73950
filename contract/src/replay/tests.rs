use std::collections::BTreeMap;

use fedledger_ledger::block::Block;
use fedledger_ledger::decision::{Decision, Measure, Reason, UpdateVerdict, Verdict};
use fedledger_ledger::entry::{EntryBody, Standing};
use fedledger_ledger::governance::Change;
use fedledger_ledger::task::{HistoryPolicy, SwingPolicy, TaskSpec, TrustPolicy};
use fedledger_ledger::transaction::Action;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::testing::{member_id, task, task_id, Ledger};

/// A ledger of four members with three decided rounds, the third with an outlier.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new(4, vec![task(1, 3)]);
    let honest = [[100, 0, 7], [90, 4, 9], [110, -4, 5]];
    for last in [[95, 2, 7], [97, 3, 8], [-300, 0, 0]] {
        let updates = [(0, honest[0]), (1, honest[1]), (2, honest[2]), (3, last)];
        ledger.play(&updates);
    }
    ledger
}

#[test]
fn an_outsider_comes_to_the_same_state_with_and_without_blobs() {
    let ledger = ledger();
    for blobs in [None, Some(&ledger.blobs as &dyn BlobRead)] {
        let replayer = ledger.replay(&ledger.chain, blobs).expect("the chain is honest");
        assert_eq!(replayer.state().root(), ledger.state.root());
        assert_eq!(replayer.height(), ledger.height);
    }
}

#[test]
fn decisions_are_recomputed_and_say_what_they_made() {
    let ledger = ledger();
    let mut replayer = Replayer::new(&ledger.document).expect("the genesis is valid");
    let mut recomputed = Vec::new();
    let mut entries = replayer.genesis_entries().to_vec();
    for (block, certificate) in &ledger.chain {
        let replayed =
            replayer.push(block, certificate, Some(&ledger.blobs)).expect("the block is honest");
        recomputed.extend(replayed.recomputed);
        entries.extend(replayed.entries);
    }
    assert_eq!(recomputed.len(), 3);
    assert!(recomputed.iter().all(|one| one.blobs.len() == 2));
    assert_eq!(entries, ledger.entries);
}

/// Bends one block, signs it anew with every validator key, and returns what replay says.
fn refusal(bend: impl Fn(&mut Block) -> bool, resign: bool) -> String {
    let ledger = ledger();
    let mut chain = ledger.chain.clone();
    let at = chain.iter_mut().position(|(block, _)| bend(block)).expect("some block is bent");
    if resign {
        let block = &mut chain[at].0;
        block.header.data_hash = block.body.data_hash();
        chain[at].1 = ledger.certify(&chain[at].0);
    }
    let blobs: &BTreeMap<_, _> = &ledger.blobs;
    ledger.replay(&chain, Some(blobs)).unwrap_err().to_string()
}

fn bend_verdict(block: &mut Block) -> bool {
    let Some(Decision::Outcome { verdicts, .. }) = block.body.decisions.first_mut() else {
        return false;
    };
    let Some(verdict) = verdicts.iter_mut().find(|verdict| verdict.reason == Reason::Outlier)
    else {
        return false;
    };
    verdict.verdict = Verdict::Accept;
    verdict.reason = Reason::Clean;
    true
}

#[test]
fn a_bent_verdict_is_named_by_the_hash_it_breaks() {
    let error = refusal(bend_verdict, false);
    assert!(error.contains("data_hash"), "{error}");
}

#[test]
fn a_lie_signed_by_every_validator_is_found_by_recomputing() {
    let error = refusal(bend_verdict, true);
    assert!(error.contains("the verdict on `m003`"), "{error}");
}

#[test]
fn a_bent_state_root_is_found_even_when_every_validator_signed_it() {
    let bend = |block: &mut Block| {
        block.header.app_hash.0[0] ^= 1;
        block.header.height.0 == 2
    };
    // Without a new certificate the header is not the one that was signed.
    let error = refusal(bend, false);
    assert!(error.contains("certificate"), "{error}");
    let only_second = |block: &mut Block| {
        let second = block.header.height.0 == 2;
        block.header.app_hash.0[0] ^= u8::from(second);
        second
    };
    let error = refusal(only_second, true);
    assert!(error.contains("block 2: app_hash"), "{error}");
}

#[test]
fn a_missing_blob_is_named() {
    let mut ledger = ledger();
    let gone = ledger.blob([90, 4, 9]);
    ledger.blobs.remove(&gone);
    let mut replayer = Replayer::new(&ledger.document).expect("the genesis is valid");
    let (mut recomputed, mut missing) = (0, Vec::new());
    for (block, certificate) in &ledger.chain {
        let replayed =
            replayer.push(block, certificate, Some(&ledger.blobs)).expect("the block is honest");
        recomputed += replayed.recomputed.len();
        missing.extend(replayed.missing);
    }
    // The blob is in all three rounds; nothing is wrong, and nothing is recomputed.
    assert_eq!((recomputed, missing.len()), (0, 3));
    assert!(missing.iter().all(|one| one.blob == gone));
    assert_eq!(replayer.state().root(), ledger.state.root());
}

/// Two of seven members begin to drift together once every baseline is made.
fn drifting() -> Ledger {
    pushing(None, |at, round| if at < 2 && round >= 7 { 85 } else { 0 })
}

/// Seven members, pushed along the second parameter.
fn pushing(swings: Option<SwingPolicy>, push: impl Fn(usize, usize) -> i32) -> Ledger {
    pushing_with(swings, push, |_, _| ())
}

/// The same, where `before` is called with each round before it is played.
fn pushing_with(
    swings: Option<SwingPolicy>,
    push: impl Fn(usize, usize) -> i32,
    before: impl Fn(&mut Ledger, usize),
) -> Ledger {
    let history = HistoryPolicy {
        sketch_width: 16,
        settle_rounds: 0,
        baseline_rounds: 6,
        bond_milli: 3_000,
        shift_milli: 1_500,
        lead_milli: 1_000,
        rounds_in_a_row: 2,
        swings,
    };
    // Nothing is an outlier here, so that whatever is struck is struck for its history.
    let trust =
        task(2, 5).trust.map(|policy| TrustPolicy { outlier_cosine_milli: Some(-1_000), ..policy });
    let spec =
        TaskSpec { history: Some(history), rounds: 20, norm_band: None, trust, ..task(2, 5) };
    let mut ledger = Ledger::new(7, vec![spec]);
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for round in 0..16 {
        let mut update = |at: usize| {
            let mut jitter = || random.gen_range(-20..=20);
            (at, [200 + jitter(), jitter() + push(at, round), jitter()])
        };
        let updates: Vec<_> = (0..7).map(&mut update).collect();
        before(&mut ledger, round);
        ledger.play(&updates);
    }
    ledger
}

/// The first verdict for a reason.
fn verdict_for(ledger: &Ledger, reason: Reason) -> UpdateVerdict {
    let said = ledger.entries.iter().find_map(|entry| match &entry.body {
        EntryBody::UpdateVerdict { verdict, .. } if verdict.reason == reason => Some(verdict),
        _ => None,
    });
    said.expect("a verdict names its reason").clone()
}

#[test]
fn histories_follow_from_the_blocks_and_quarantine_those_that_drift_together() {
    let ledger = drifting();
    let standing = |at: usize| ledger.trust(at).standing;
    assert_eq!((standing(0), standing(1)), (Standing::Quarantine, Standing::Quarantine));
    assert!((2..7).all(|at| standing(at) == Standing::Active));
    let said = verdict_for(&ledger, Reason::MovedTogether);
    assert_eq!(said.together_with, Some(vec![member_id(usize::from(said.member == member_id(0)))]));
    assert!(said.strike && said.value > said.threshold, "{said:?}");
    for blobs in [None, Some(&ledger.blobs as &dyn BlobRead)] {
        let replayer = ledger.replay(&ledger.chain, blobs).expect("the chain is honest");
        assert_eq!(replayer.state().root(), ledger.state.root());
    }
}

/// Two of seven members drift together and say that their data change: an honest pair with one scanner
/// would do the same.
#[test]
fn those_that_announce_what_they_do_together_are_held_until_a_vote() {
    let announce = |ledger: &mut Ledger, round: usize| {
        for at in [0, 1].into_iter().filter(|_| round == 7) {
            let (task, round) = (task_id(), ledger.round().round);
            let reason = "a new scanner".into();
            let notice = Action::AnnounceDataChange { task, round, reason };
            ledger.send(at, notice).expect("the first notice");
        }
    };
    let drift = |at: usize, round: usize| if at < 2 && round >= 7 { 85 } else { 0 };
    let mut ledger = pushing_with(None, drift, announce);
    let standing = |ledger: &Ledger, at: usize| ledger.trust(at).standing;
    assert_eq!([0, 1].map(|at| standing(&ledger, at)), [Standing::Probation; 2]);
    assert!((2..7).all(|at| standing(&ledger, at) == Standing::Active));
    let last = ledger.entries.iter().rev().find_map(|entry| match &entry.body {
        EntryBody::UpdateVerdict { verdict, .. } if verdict.member == member_id(0) => Some(verdict),
        _ => None,
    });
    let last = last.expect("it has verdicts");
    assert_eq!((last.reason, last.strike), (Reason::MemberOnProbation, false));
    assert_eq!(last.together_with, Some(vec![member_id(1)]));
    assert!(last.measures.contains(&(Measure::ExcusedRounds, 6)), "{:?}", last.measures);
    let replayer = ledger.replay(&ledger.chain, Some(&ledger.blobs)).expect("an honest chain");
    assert_eq!(replayer.state().root(), ledger.state.root());

    let (task, member, reason) = (task_id(), member_id(0), "we know that scanner".into());
    let change = Change::ReleaseQuarantine { task, member, reason };
    let digest = change.digest();
    ledger.send(0, Action::ProposeChange { change }).expect("the member is held");
    for at in 1..5 {
        ledger.send(at, Action::Approve { change: digest }).expect("it waits for approval");
    }
    let spec = ledger.view().task_spec(&task_id()).expect("the task is there");
    let past = ledger.view().past(&spec).expect("the task keeps a history");
    assert_eq!(past.members.get(&member_id(0)), None, "its history begins anew");
    assert_eq!(past.excused(), [member_id(1)].into());
}

/// Two of seven members are hostile in every other round: no mean of theirs moves far enough.
#[test]
fn those_that_swing_together_are_quarantined_and_an_outsider_comes_to_the_same() {
    let swings = SwingPolicy {
        window_rounds: 4,
        correlation_milli: 500,
        amplitude_milli: 500,
        copy_correlation_milli: 970,
        copy_amplitude_milli: 100,
        rounds_in_a_row: 3,
    };
    let on_and_off = |at: usize, round: usize| if at < 2 && round % 2 == 1 { 60 } else { 0 };
    let ledger = pushing(Some(swings), on_and_off);
    let standing = |at: usize| ledger.trust(at).standing;
    assert_eq!((standing(0), standing(1)), (Standing::Quarantine, Standing::Quarantine));
    assert!((2..7).all(|at| standing(at) == Standing::Active));
    let said = verdict_for(&ledger, Reason::SwungTogether);
    assert_eq!(said.together_with, Some(vec![member_id(usize::from(said.member == member_id(0)))]));
    assert!(said.strike && said.value > said.threshold, "{said:?}");
    let rounds = said.measures.iter().find(|(measure, _)| *measure == Measure::RoundsSwinging);
    assert_eq!(rounds, Some(&(Measure::RoundsSwinging, 3)));
    for blobs in [None, Some(&ledger.blobs as &dyn BlobRead)] {
        let replayer = ledger.replay(&ledger.chain, blobs).expect("the chain is honest");
        assert_eq!(replayer.state().root(), ledger.state.root());
    }
}

#[test]
fn a_bent_deviation_is_found_by_recomputing_and_a_short_one_at_once() {
    let ledger = drifting();
    let at = ledger
        .chain
        .iter()
        .rposition(|(block, _)| !block.body.decisions.is_empty())
        .expect("some block has a decision");
    let bent = |bend: &dyn Fn(&mut Vec<u8>)| {
        let mut chain = ledger.chain[..=at].to_vec();
        let (block, certificate) = &mut chain[at];
        let Decision::Outcome { deviations: Some(deviations), .. } = &mut block.body.decisions[0]
        else {
            panic!("the last decision is an outcome with deviations")
        };
        bend(&mut deviations[0].sketch);
        block.header.data_hash = block.body.data_hash();
        *certificate = ledger.certify(block);
        let Err(error) = ledger.replay(&chain, Some(&ledger.blobs)) else { panic!("it was bent") };
        error.to_string()
    };
    assert!(bent(&|sketch| sketch[0] ^= 1).contains("deviation"), "{}", bent(&|s| s[0] ^= 1));
    let short = bent(&|sketch| sketch.truncate(2));
    assert!(short.contains("deviation"), "{short}");
}
