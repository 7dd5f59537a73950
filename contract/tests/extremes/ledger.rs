//! Transactions, blocks, entries and proofs with numbers at the limits.

use fedledger_contract::{apply_block, genesis, BlockError, BlockInput, GenesisError};
use fedledger_ledger::block::{BlockBody, BLOCK_TIME_MAX};
use fedledger_ledger::codec::to_canonical;
use fedledger_ledger::commitment::Salt;
use fedledger_ledger::entry::{Entry, EntryBody, Rejection};
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::governance::Change;
use fedledger_ledger::ids::{ChainId, Digest, Height, MemberId, RoundNumber, TaskId, TimeMs};
use fedledger_ledger::limits::{
    CHAIN_ID_BYTES_MAX, ENTRY_BYTES_MAX, ID_BYTES_MAX, LOSS_MICRO_MAX, MEMBERS_MAX,
    NUM_EXAMPLES_MAX, TEXT_BYTES_MAX, TRANSACTION_BYTES_MAX, WINDOW_MS_MAX,
};
use fedledger_ledger::log::{verify_consistency, verify_inclusion, Frontier};
use fedledger_ledger::task::TaskSpec;
use fedledger_ledger::transaction::{Action, CandidateScore};

use crate::player::Player;
use crate::tasks::full;

const MEMBERS: usize = 13;
const TOO_LARGE: [u64; 3] = [1 << 63, u64::MAX - 1, u64::MAX];

fn commit(player: &Player, round: u64, num_examples: u64, byte_length: u64) -> Action {
    let open = player.view().round(&player.task).expect("the task is running");
    Action::CommitUpdate {
        task: player.task.clone(),
        round: RoundNumber(round),
        base_model: open.base_model,
        commitment: Digest::of(b"commitment"),
        num_examples,
        byte_length,
        claims: None,
        attestation: None,
    }
}

#[test]
fn transactions_with_numbers_out_of_range_are_refused_by_name() {
    let mut player = Player::new(MEMBERS, full(MEMBERS));
    let length = 8 + 32 + 4 * 22;
    let wrong_round = Some(Rejection::WrongRound { expected: RoundNumber(1) });
    for value in TOO_LARGE {
        let action = commit(&player, value, 1, length);
        assert_eq!(player.refusal(0, action), wrong_round);
        let action = commit(&player, 1, 1, value);
        let wrong_length = Some(Rejection::WrongLength { expected: length });
        assert_eq!(player.refusal(0, action), wrong_length);
        let action = commit(&player, 1, value, length);
        let examples = Some(Rejection::NumExamplesOutOfRange { max: NUM_EXAMPLES_MAX });
        assert_eq!(player.refusal(0, action), examples);
        let (task, round) = (player.task.clone(), RoundNumber(value));
        let (update, salt) = (Digest::of(b""), Salt([0; 32]));
        let action = Action::RevealUpdate { task: task.clone(), round, update, salt };
        assert_eq!(player.refusal(0, action), wrong_round);
        let action = Action::AnnounceDataChange { task: task.clone(), round, reason: "x".into() };
        assert_eq!(player.refusal(0, action), wrong_round);
        let action = Action::SubmitEvaluation { task, round, scores: Vec::new() };
        assert_eq!(player.refusal(0, action), wrong_round);
    }
    for num_examples in [0, NUM_EXAMPLES_MAX + 1] {
        let action = commit(&player, 1, num_examples, length);
        let refused = player.refusal(1, action);
        assert_eq!(refused, Some(Rejection::NumExamplesOutOfRange { max: NUM_EXAMPLES_MAX }));
    }
    // The ledger goes on.
    player.play(2);
    assert_eq!(player.outcomes(), 2);
}

#[test]
fn losses_over_the_limit_are_refused_by_name() {
    let mut player = Player::new(MEMBERS, full(MEMBERS));
    while player.view().round(&player.task).is_some_and(|open| open.candidates.is_empty()) {
        player.step();
    }
    let open = player.view().round(&player.task).expect("the task is running");
    for loss_micro in [LOSS_MICRO_MAX + 1, u64::MAX] {
        let of = |candidate: &fedledger_ledger::decision::Candidate| CandidateScore {
            candidate: candidate.model,
            loss_micro,
            num_examples: 1,
            classes: Vec::new(),
        };
        let scores = open.candidates.iter().map(of).collect();
        let action =
            Action::SubmitEvaluation { task: player.task.clone(), round: open.round, scores };
        let refused = player.refusal(0, action);
        assert_eq!(refused, Some(Rejection::LossOutOfRange { max: LOSS_MICRO_MAX }));
    }
}

#[test]
fn going_back_to_rounds_that_never_were_is_refused_by_name() {
    let mut player = Player::new(MEMBERS, full(MEMBERS));
    player.play(2);
    for round in [0, 1, 2, 3, 1 << 63, u64::MAX - 1, u64::MAX] {
        let change = Change::RollBack {
            task: player.task.clone(),
            round: RoundNumber(round),
            without: Vec::new(),
            replay: true,
            reason: String::new(),
        };
        match player.refusal(0, Action::ProposeChange { change }) {
            None => assert!(round < 2, "round {round} can be gone back to"),
            Some(Rejection::InvalidChange { detail }) => {
                assert!(detail.contains(&round.to_string()), "{detail}");
            }
            Some(other) => panic!("refused for {other:?}"),
        }
    }
    player.play(3);
    assert_eq!(player.outcomes(), 3);
}

/// The longest windows, from the latest time on at which a block can be.
#[test]
fn the_end_of_time_is_refused_by_name() {
    let longest = TaskSpec {
        commit_window_ms: WINDOW_MS_MAX,
        reveal_window_ms: WINDOW_MS_MAX,
        decide_window_ms: WINDOW_MS_MAX,
        ..full(MEMBERS)
    };
    let mut player = Player::new(MEMBERS, longest);
    let body = BlockBody::default();
    for time in [BLOCK_TIME_MAX.0 + 1, 1 << 63, u64::MAX - 1, u64::MAX] {
        let input = BlockInput::new(player.consortium.height.next(), TimeMs(time), &body);
        let refused = apply_block(&player.consortium.state, &input).map(drop);
        let expected = BlockError::TimeTooLate { max: BLOCK_TIME_MAX, found: TimeMs(time) };
        assert_eq!(refused, Err(expected));
    }
    for height in [0, 2, 1 << 63, u64::MAX] {
        let input = BlockInput::new(Height(height), TimeMs(u64::MAX), &body);
        let refused = apply_block(&player.consortium.state, &input).map(drop);
        let expected = BlockError::WrongHeight { expected: Height(1), found: Height(height) };
        assert_eq!(refused, Err(expected));
    }
    for time in [BLOCK_TIME_MAX, TimeMs(u64::MAX)] {
        let late = Genesis { time, ..player.consortium.document.clone() };
        let expected = GenesisError::TimeTooLate { max: BLOCK_TIME_MAX, found: time };
        assert_eq!(genesis(&late).map(drop), Err(expected));
    }
    let left = BLOCK_TIME_MAX.0 - player.consortium.time.0;
    let effects = player.block(left, Vec::new());
    assert!(effects.entries.len() < 10, "one round fails and the next one opens");
    let open = player.view().round(&player.task).expect("the task is running");
    assert_eq!(open.deadline, BLOCK_TIME_MAX.after(WINDOW_MS_MAX));
}

/// What limits of parts add up to: no entry is longer than a tile's length prefix can say.
#[test]
fn the_longest_entries_fit() {
    let id = |at: usize| MemberId::new(format!("{at:0>ID_BYTES_MAX$}"));
    let members: Vec<MemberId> =
        (0..MEMBERS_MAX).map(|at| id(at).expect("digits are an id")).collect();
    let mut without = Vec::new();
    let change = |without: &[MemberId]| Change::RollBack {
        task: TaskId::new("t".repeat(ID_BYTES_MAX)).expect("letters are an id"),
        round: RoundNumber(u64::MAX),
        without: without.to_vec(),
        replay: true,
        reason: "r".repeat(TEXT_BYTES_MAX),
    };
    // Members may be named more than once; only the transaction's length ends it.
    while to_canonical(&change(&without)).len() <= TRANSACTION_BYTES_MAX {
        without.push(members[without.len() % MEMBERS_MAX].clone());
    }
    let entry = Entry {
        version: Entry::VERSION,
        chain_id: ChainId::new("c".repeat(CHAIN_ID_BYTES_MAX)).expect("letters are an id"),
        height: Height(u64::MAX),
        index: u32::MAX,
        time: TimeMs(u64::MAX),
        body: EntryBody::ChangeApplied {
            digest: Digest::of(b""),
            change: change(&without),
            approvals: members,
        },
    };
    assert!(entry.to_bytes().len() <= ENTRY_BYTES_MAX, "{} bytes", entry.to_bytes().len());
}

/// Sizes and indices of a log that a liar may name.
#[test]
fn proofs_of_impossible_logs_are_refused() {
    let root = Digest::of(b"root");
    let numbers = [0, 1, 2, 3, 1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX];
    let paths: Vec<Vec<Digest>> =
        [0, 1, 2, 62, 63, 64, 65, 128].map(|length| vec![root; length]).into();
    for (a, b) in numbers.iter().flat_map(|&a| numbers.iter().map(move |&b| (a, b))) {
        for path in &paths {
            let shown = verify_inclusion(&root, a, b, &root, path);
            assert!(shown.is_err() || (a, b) == (0, 1));
            let shown = verify_consistency(a, b, &root, &root, path);
            assert!(shown.is_err() || (a == b && a > 0), "{a} {b}");
        }
        let hashes = vec![root; b.count_ones() as usize];
        assert!(Frontier::from_parts(b, hashes).is_some_and(|one| one.head().size() == b));
    }
}
