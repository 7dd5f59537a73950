//! How the program ends: documented exit codes, and the one error that the command line prints.

use std::fmt;
use std::process::ExitCode;

/// The exit codes of every verb. Scripts rely on them; a number is never given a new meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, and what was asked about holds.
    Ok = 0,
    /// Something was checked and does not hold: a signature, a proof, a recomputed aggregate.
    Invalid = 1,
    /// The command line, a file or a setting is wrong. Nothing was done.
    Usage = 2,
    /// No node answers at the address.
    Unreachable = 3,
    /// The node or the ledger refused the request.
    Refused = 4,
    /// The answer is unknown because something is missing, such as an erased blob.
    Incomplete = 5,
    /// A wait ended before what was waited for happened.
    TimedOut = 6,
    /// A fault of the program, the disk or the operating system.
    Internal = 70,
    /// Stopped by Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// Every code with its name in JSON and its meaning, in ascending order.
    pub const ALL: [(Self, &'static str, &'static str); 9] = [
        (Self::Ok, "ok", "done, and what was asked about holds"),
        (Self::Invalid, "invalid", "something was verified and does not hold"),
        (Self::Usage, "usage", "the command line, a file or a setting is wrong; nothing was done"),
        (Self::Unreachable, "unreachable", "no node answers at the address"),
        (Self::Refused, "refused", "the node or the ledger refused the request"),
        (Self::Incomplete, "incomplete", "unknown, because something needed is missing"),
        (Self::TimedOut, "timed_out", "a wait ended before what was waited for happened"),
        (Self::Internal, "internal", "a fault of the program, the disk or the operating system"),
        (Self::Interrupted, "interrupted", "stopped by Ctrl-C"),
    ];

    /// The name of the code, as in the `exit` field of JSON errors.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(exit, ..)| *exit == self).expect("every code is listed").1
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What the command line prints when a verb does not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What was wrong, where, and what was expected.
    pub message: String,
    /// The field, file or tensor at fault, when it is one.
    pub field: Option<String>,
    /// What to do about it, when there is something.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with a message alone.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), field: None, hint: None }
    }

    /// Bad input.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A fault of the program or the machine.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(Exit::Internal, message)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the field, file or tensor at fault.
    #[must_use]
    pub fn field(mut self, field: Option<String>) -> Self {
        self.field = field;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Failure {}

/// Faults that nobody foresaw: their whole chain of causes, and the code for internal errors.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(failure) => failure,
            Err(error) => Self::internal(format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_unique_and_keep_their_numbers() {
        let numbers: Vec<u8> = Exit::ALL.iter().map(|(exit, ..)| *exit as u8).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 70, 130]);
        for (exit, name, _) in Exit::ALL {
            assert_eq!(exit.name(), name);
        }
    }

    #[test]
    fn a_failure_keeps_its_code_through_anyhow() {
        let failure = Failure::usage("no").hint("yes");
        assert_eq!(Failure::from(anyhow::Error::from(failure.clone())), failure);
        let other = Failure::from(anyhow::anyhow!("inner").context("outer"));
        assert_eq!((other.exit, other.message.as_str()), (Exit::Internal, "outer: inner"));
    }
}
