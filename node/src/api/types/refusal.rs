//! Why something was not taken, in types and in words.

use fedledger_ledger::entry::{Phase, Rejection};
use fedledger_ledger::ids::{Digest, RoundNumber, TaskId};
use thiserror::Error;

/// Why a node did not take an action or an update.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// The node runs without a member key.
    #[error("this node follows the ledger without a member key and cannot submit")]
    NotAMember,
    /// No such task.
    #[error("there is no task `{task}`")]
    UnknownTask {
        /// The task asked for.
        task: TaskId,
    },
    /// The task has ended or is frozen.
    #[error("task `{task}` is not running any more")]
    TaskNotRunning {
        /// The task.
        task: TaskId,
    },
    /// Another round is open.
    #[error("round {found} of task `{task}` is not open; round {expected} is")]
    WrongRound {
        /// The task.
        task: TaskId,
        /// The round asked for.
        found: RoundNumber,
        /// The open round.
        expected: RoundNumber,
    },
    /// The round no longer takes commitments.
    #[error("round {round} of task `{task}` is in its {phase:?} phase and takes no updates")]
    WrongPhase {
        /// The task.
        task: TaskId,
        /// The open round.
        round: RoundNumber,
        /// Its phase.
        phase: Phase,
    },
    /// The tensors do not make a canonical update of this task.
    #[error("{reason}")]
    BadUpdate {
        /// The tensor at fault, when it is one.
        tensor: Option<String>,
        /// What is wrong with it, with the index and the allowed range.
        reason: String,
    },
    /// `num_examples` is zero or too large.
    #[error("num_examples must be 1 to {max}, found {found}")]
    NumExamples {
        /// Number given.
        found: u64,
        /// Largest number allowed.
        max: u64,
    },
    /// The member has committed to another update in this round. Signing a second one would be
    /// equivocation, so the node refuses before anything is signed.
    #[error(
        "another update was already committed to round {round}, by the commitment {committed}"
    )]
    AlreadyCommitted {
        /// The round.
        round: RoundNumber,
        /// The commitment that was made.
        committed: Digest,
    },
    /// The contract would refuse the action in the present state.
    #[error("the ledger refuses this: {}", describe_rejection(.rejection))]
    Refused {
        /// Why.
        rejection: Rejection,
    },
    /// The action is longer than a transaction may be.
    #[error("the transaction would be {found} bytes long, at most {max} are allowed")]
    TooLong {
        /// Length in bytes.
        found: usize,
        /// Longest length allowed in bytes.
        max: usize,
    },
    /// The node is not ready: still catching up, or holding back its signature.
    #[error("the node is not ready: {reason}")]
    NotReady {
        /// What it is waiting for.
        reason: String,
    },
    /// Too many transactions are waiting.
    #[error("{pending} transactions are waiting already; try again after the next block")]
    Busy {
        /// Number waiting.
        pending: usize,
    },
    /// A transaction that was signed elsewhere cannot stand in any block, or there is no room for it.
    #[error("the transaction is not taken: {reason}")]
    NotTaken {
        /// What is wrong with it.
        reason: String,
    },
    /// The node could not make the submission durable. It stops after such an error.
    #[error("the node could not write to its data directory: {reason}")]
    Storage {
        /// What the operating system said.
        reason: String,
    },
}

/// A rejection in words.
pub fn describe_rejection(rejection: &Rejection) -> String {
    match rejection {
        Rejection::UnknownTask => "no such task".into(),
        Rejection::TaskNotRunning => "the task has ended or is frozen".into(),
        Rejection::WrongRound { expected } => format!("round {expected} is open, not that one"),
        Rejection::WrongPhase { phase } => {
            format!("the round is in its {} phase", phase_word(*phase))
        }
        Rejection::WrongBaseModel { expected } => {
            format!("the update must be trained from model {expected}")
        }
        Rejection::WrongLength { expected } => {
            format!("canonical updates of this task are {expected} bytes long")
        }
        Rejection::NumExamplesOutOfRange { max } => format!("num_examples must be 1 to {max}"),
        Rejection::AlreadyCommitted => "this very commitment was made already".into(),
        Rejection::Equivocation { committed } => {
            format!("equivocation: the commitment {committed} was made in this round before")
        }
        Rejection::NotCommitted => "the member made no commitment in this round".into(),
        Rejection::WrongOpening { committed } => {
            format!("update and salt do not open the commitment {committed}")
        }
        Rejection::AlreadyRevealed => "the update is revealed already".into(),
        Rejection::WrongCandidates => {
            "the scores must be one for each candidate, in the order listed".into()
        }
        Rejection::AlreadyEvaluated => "the member has scored this round already".into(),
        Rejection::MemberSuspended => "the member is suspended".into(),
        Rejection::InvalidChange { detail } => format!("the change cannot be made: {detail}"),
        Rejection::UnknownChange => "no such change is up for approval".into(),
        Rejection::AlreadyApproved => "the member has approved this change already".into(),
        Rejection::AlreadyProposed => "the change is up for approval already".into(),
        Rejection::NoHistory => "the task remembers nothing of its members".into(),
        Rejection::InQuarantine => {
            "the member is in quarantine, which clean rounds or a vote end".into()
        }
        Rejection::AnnouncedTooSoon { from } => {
            format!("a change was announced not long ago; the next one from round {from} on")
        }
        Rejection::TextTooLong { max } => format!("a text must have at most {max} bytes"),
        Rejection::WrongClasses { expected: 0 } => {
            "the task names no classes, so scores have no losses by class".into()
        }
        Rejection::WrongClasses { expected } => {
            format!("each score must have a loss for each of the task's {expected} classes")
        }
        Rejection::ClassExamplesSum { num_examples } => format!(
            "the num_examples of a score's classes must add up to its num_examples, {num_examples}"
        ),
        Rejection::ClassWithoutExamples { class } => {
            format!("the loss on class {class} must be 0, for there are no examples of it")
        }
        Rejection::ClassExamplesDiffer { class } => format!(
            "the num_examples of class {class} must be the same for each candidate: score all on \
             the same rows"
        ),
        Rejection::LossOutOfRange { max } => format!("a loss must be at most {max} millionths"),
    }
}

/// The name of a phase as it is written everywhere.
pub fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Commit => "commit",
        Phase::Reveal => "reveal",
        Phase::Propose => "propose",
        Phase::Evaluate => "evaluate",
        Phase::Decide => "decide",
    }
}
