//! Where two decisions first differ, in words.

use std::fmt::Debug;

use fedledger_ledger::decision::{Decision, UpdateVerdict};

/// One part of a decision that is not what it has to be.
pub(super) struct Difference {
    pub field: String,
    pub expected: String,
    pub found: String,
}

/// The first part in which `found` differs from `expected`; nothing when they are the same.
pub(super) fn first_difference(expected: &Decision, found: &Decision) -> Option<Difference> {
    if expected == found {
        return None;
    }
    let parts = match (expected, found) {
        (
            Decision::Candidates { candidates: expected, .. },
            Decision::Candidates { candidates: found, .. },
        ) => differ("candidates", expected, found),
        (
            Decision::Outcome {
                result: expected_result,
                verdicts: expected,
                deviations: expected_deviations,
                ..
            },
            Decision::Outcome {
                result: found_result,
                verdicts: found,
                deviations: found_deviations,
                ..
            },
        ) => differ("result", expected_result, found_result)
            .or_else(|| in_verdicts(expected, found))
            .or_else(|| differ("the deviations", expected_deviations, found_deviations)),
        _ => None,
    };
    parts.or_else(|| differ("kind", expected, found))
}

fn differ<T: PartialEq + Debug>(field: &str, expected: &T, found: &T) -> Option<Difference> {
    (expected != found).then(|| Difference {
        field: field.to_owned(),
        expected: format!("{expected:?}"),
        found: format!("{found:?}"),
    })
}

fn in_verdicts(expected: &[UpdateVerdict], found: &[UpdateVerdict]) -> Option<Difference> {
    let pairs = expected.iter().zip(found);
    let verdict = pairs.into_iter().find_map(|(expected, found)| {
        differ(&format!("the verdict on `{}`", expected.member), expected, found)
    });
    verdict.or_else(|| differ("the number of verdicts", &expected.len(), &found.len()))
}
