//! How a column of n values comes into order: groups of up to 16 sorted in registers, then merged.

use super::network::GROUP_MAX;

/// Sorted groups, merges between them, and one or two sorted lists at the end.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Sizes of the groups of consecutive rows; a group's ranks take the places of its rows.
    pub(super) groups: Vec<usize>,
    /// Compare-exchange steps between places, after the groups are sorted.
    pub(super) steps: Vec<(usize, usize)>,
    /// The places in ascending order of their values: of all rows, or in two parts.
    pub(super) lists: Vec<Vec<usize>>,
}

impl Plan {
    /// A plan that leaves at most two sorted lists, which is enough to select by rank.
    pub(super) fn to_select(n: usize) -> Self {
        Self::until(n, 2)
    }

    /// A plan that leaves all n values in one sorted list.
    pub(super) fn to_sort(n: usize) -> Self {
        Self::until(n, 1)
    }

    fn until(n: usize, lists_max: usize) -> Self {
        let count = n.div_ceil(GROUP_MAX).next_power_of_two();
        let groups: Vec<usize> =
            (0..count).map(|at| n / count + usize::from(at < n % count)).collect();
        let mut from = 0;
        let mut lists: Vec<Vec<usize>> = Vec::new();
        for &size in &groups {
            lists.push((from..from + size).collect());
            from += size;
        }
        let mut steps = Vec::new();
        while lists.len() > lists_max {
            lists = lists.chunks(2).map(|pair| merge(&pair[0], &pair[1], &mut steps)).collect();
        }
        Self { groups, steps, lists }
    }
}

/// Batcher's odd-even merge of two sorted lists of any lengths (Knuth, volume 3, §5.3.4, formula
/// (2)): appends its steps, and returns the places in order.
fn merge(a: &[usize], b: &[usize], steps: &mut Vec<(usize, usize)>) -> Vec<usize> {
    if a.is_empty() || b.is_empty() {
        return [a, b].concat();
    }
    if a.len() == 1 && b.len() == 1 {
        steps.push((a[0], b[0]));
        return vec![a[0], b[0]];
    }
    let every_other = |list: &[usize], from: usize| -> Vec<usize> {
        list.iter().copied().skip(from).step_by(2).collect()
    };
    let odd = merge(&every_other(a, 0), &every_other(b, 0), steps);
    let even = merge(&every_other(a, 1), &every_other(b, 1), steps);
    let mut order = vec![odd[0]];
    for at in 0..even.len().max(odd.len() - 1) {
        match (odd.get(at + 1), even.get(at)) {
            (Some(&low), Some(&high)) => {
                steps.push((low, high));
                order.extend([low, high]);
            }
            (one, other) => order.extend(one.or(other)),
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Merging any two sorted lists of zeros and ones is enough, by the 0-1 principle.
    #[test]
    fn merges_sort_all_pairs_of_sorted_zero_one_lists() {
        for p in 0..=33usize {
            for q in 0..=33usize {
                let (a, b): (Vec<usize>, Vec<usize>) = ((0..p).collect(), (p..p + q).collect());
                let mut steps = Vec::new();
                let order = merge(&a, &b, &mut steps);
                for (ones_a, ones_b) in (0..=p).flat_map(|x| (0..=q).map(move |y| (x, y))) {
                    let mut bits: Vec<bool> = (0..p)
                        .map(|i| i >= p - ones_a)
                        .chain((0..q).map(|i| i >= q - ones_b))
                        .collect();
                    for &(low, high) in &steps {
                        (bits[low], bits[high]) = (bits[low] & bits[high], bits[low] | bits[high]);
                    }
                    let zeros = p + q - ones_a - ones_b;
                    assert!(
                        order
                            .iter()
                            .enumerate()
                            .all(|(rank, &place)| bits[place] == (rank >= zeros)),
                        "{p} + {q} with {ones_a} and {ones_b} ones"
                    );
                }
            }
        }
    }

    #[test]
    fn plans_cover_every_row_once() {
        for n in 1..=128 {
            for (plan, most) in [(Plan::to_select(n), 2), (Plan::to_sort(n), 1)] {
                assert!(
                    plan.lists.len() <= most
                        && plan.groups.iter().all(|&size| (1..=GROUP_MAX).contains(&size))
                );
                let mut places = plan.lists.concat();
                places.sort_unstable();
                assert_eq!(places, (0..n).collect::<Vec<_>>());
            }
        }
    }
}
