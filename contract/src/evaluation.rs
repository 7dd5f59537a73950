//! Which candidate the evaluations choose.

use crate::integer::median_u64;

/// The candidate with the least median loss, the earlier one among equals.
///
/// `losses` has one row for each evaluator, with the loss of each of `candidates` in millionths.
/// With at most `f` hostile evaluators among 2f + 1 or more, the median lies between two honest
/// losses. With fewer evaluators the task's own rule, candidate 0, stands.
pub(crate) fn choose(losses: &[Vec<u64>], candidates: usize, f: usize) -> usize {
    if losses.len() < 2 * f + 1 {
        return 0;
    }
    let median = |candidate: usize| {
        let column: Vec<u64> = losses.iter().map(|row| row[candidate]).collect();
        median_u64(&column)
    };
    (0..candidates).min_by_key(|&candidate| (median(candidate), candidate)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::choose;

    fn check(losses: &[&[u64]], f: usize, expected: usize) {
        let losses: Vec<Vec<u64>> = losses.iter().map(|row| row.to_vec()).collect();
        assert_eq!(choose(&losses, 3, f), expected, "{losses:?}, f = {f}");
    }

    #[test]
    fn the_least_median_wins_and_ties_go_to_the_earlier() {
        check(&[&[5, 4, 6], &[5, 4, 6], &[5, 4, 6]], 1, 1);
        check(&[&[5, 5, 5], &[5, 5, 5], &[5, 5, 5]], 1, 0);
        check(&[&[5, 4, 4]], 0, 1);
    }

    #[test]
    fn f_liars_do_not_choose() {
        check(&[&[5, 4, 9], &[5, 4, 9], &[0, 1_000_000, 0]], 1, 1);
    }

    #[test]
    fn too_few_evaluators_leave_the_tasks_own_rule() {
        check(&[&[5, 4, 6], &[5, 4, 6]], 1, 0);
        check(&[], 0, 0);
    }
}
