//! Values at the limits of what may arrive: each is refused by name, or a whole round works with it.
//! The release profile checks for overflow, so that a sum that does not fit ends a test.
#![allow(missing_docs)]

#[path = "../../examples/state_roots/consortium.rs"]
#[allow(dead_code, reason = "the example uses all of it")]
mod consortium;

mod history;
mod judgement;
mod ledger;
mod player;
mod rules;
mod tasks;

/// Greatest magnitude of a canonical value.
const VALUE_MAX: i32 = (1 << 23) - 1;

/// Updates that lie as far from each other and from zero as any can, and some that do not: rows of
/// one extreme or of both in turn, a single value, zeros, and one that is like no other. Rows of
/// different kinds differ, but those of zeros.
fn extreme_row(kind: usize, d: usize) -> Vec<i32> {
    let longest = |k: usize| if k == 0 { VALUE_MAX - (kind / 8) as i32 } else { VALUE_MAX };
    let value = |k: usize| match (kind % 8, k % 2) {
        (0, _) | (2, 0) | (3, 1) => longest(k),
        (1..=3, _) => -longest(k),
        (4, _) if k == 0 => -longest(k),
        (5, _) if k + 1 == d => VALUE_MAX,
        (5, _) => 1 + (kind / 8) as i32,
        (4 | 6, _) => 0,
        _ => (kind * 7_919 + k * 104_729) as i32 % 1_000,
    };
    (0..d).map(value).collect()
}
