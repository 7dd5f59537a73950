//! How a column of n values comes into order: groups of up to 16 sorted in registers, then merged.

use fedledger_ledger::limits::MEMBERS_MAX;

use super::network::GROUP_MAX;

/// Sorted groups, merges between them, and one or two sorted lists at the end. Places are numbered as
/// rows are, below [`MEMBERS_MAX`].
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Sizes of the groups of consecutive rows; a group's ranks take the places of its rows.
    pub(super) groups: Vec<usize>,
    /// Compare-exchange steps between places, after the groups are sorted.
    pub(super) steps: Vec<(u8, u8)>,
    /// The places in ascending order of their values: of all rows, or in two parts. Where a plan
    /// selects, those between are only in order as far as the selected ranks need them.
    pub(super) lists: Vec<Vec<u8>>,
    /// Pairs of places of which the least greater value has the lower selected rank.
    pub(super) lowest: Vec<(u8, u8)>,
    /// The same for the upper selected rank.
    pub(super) highest: Vec<(u8, u8)>,
}

impl Plan {
    /// A plan to select two ranks, and the least and greatest value of each of at most two lists.
    pub(super) fn to_select(n: usize, lowest: usize, highest: usize) -> Self {
        let mut plan = Self::until(n, 2);
        plan.lowest = pairs(&plan.lists, lowest);
        plan.highest = pairs(&plan.lists, highest);
        let ends = plan.lists.iter().flat_map(|list| [list[0], list[list.len() - 1]]);
        let selected = plan.lowest.iter().chain(&plan.highest).flat_map(|&(a, b)| [a, b]);
        let mut is_needed = [false; MEMBERS_MAX];
        ends.chain(selected).for_each(|place| is_needed[usize::from(place)] = true);
        // From the last step back: one whose results nobody needs is left out.
        plan.steps.reverse();
        plan.steps.retain(|&(low, high)| {
            let (low, high) = (usize::from(low), usize::from(high));
            let keeps = is_needed[low] | is_needed[high];
            (is_needed[low], is_needed[high]) = (keeps, keeps);
            keeps
        });
        plan.steps.reverse();
        plan
    }

    /// A plan that leaves all n values in one sorted list.
    pub(super) fn to_sort(n: usize) -> Self {
        Self::until(n, 1)
    }

    fn until(n: usize, lists_max: usize) -> Self {
        assert!((1..=MEMBERS_MAX).contains(&n), "1 to {MEMBERS_MAX} rows, found {n}");
        let count = n.div_ceil(GROUP_MAX).next_power_of_two();
        let groups: Vec<usize> =
            (0..count).map(|at| n / count + usize::from(at < n % count)).collect();
        let mut from = 0;
        let mut lists: Vec<Vec<u8>> = Vec::new();
        for &size in &groups {
            lists.push((from..from + size).map(|place| place as u8).collect());
            from += size;
        }
        let mut steps = Vec::new();
        while lists.len() > lists_max {
            lists = lists.chunks(2).map(|pair| merge(&pair[0], &pair[1], &mut steps)).collect();
        }
        Self { groups, steps, lists, lowest: Vec::new(), highest: Vec::new() }
    }
}

/// How a rank is selected from one or two sorted lists. With k = rank + 1 values up to it, of which i
/// come from the first list and k − i from the second, it is the least over i of the greater of the
/// two lists' last ones.
fn pairs(lists: &[Vec<u8>], rank: usize) -> Vec<(u8, u8)> {
    let [a, b] = lists else { return vec![(lists[0][rank], lists[0][rank])] };
    let k = rank + 1;
    (k.saturating_sub(b.len())..=k.min(a.len()))
        .map(|i| match (i.checked_sub(1), (k - i).checked_sub(1)) {
            (Some(in_a), Some(in_b)) => (a[in_a], b[in_b]),
            (Some(in_a), None) => (a[in_a], a[in_a]),
            (None, in_b) => {
                let last = b[in_b.expect("k is at least 1")];
                (last, last)
            }
        })
        .collect()
}

/// Batcher's odd-even merge of two sorted lists of any lengths (Knuth, volume 3, §5.3.4, formula
/// (2)): appends its steps, and returns the places in order.
fn merge(a: &[u8], b: &[u8], steps: &mut Vec<(u8, u8)>) -> Vec<u8> {
    if a.is_empty() || b.is_empty() {
        return [a, b].concat();
    }
    if a.len() == 1 && b.len() == 1 {
        steps.push((a[0], b[0]));
        return vec![a[0], b[0]];
    }
    let every_other = |list: &[u8], from: usize| -> Vec<u8> {
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
                let (a, b): (Vec<u8>, Vec<u8>) =
                    ((0..p as u8).collect(), (p as u8..(p + q) as u8).collect());
                let mut steps = Vec::new();
                let order = merge(&a, &b, &mut steps);
                for (ones_a, ones_b) in (0..=p).flat_map(|x| (0..=q).map(move |y| (x, y))) {
                    let mut bits: Vec<bool> = (0..p)
                        .map(|i| i >= p - ones_a)
                        .chain((0..q).map(|i| i >= q - ones_b))
                        .collect();
                    for &(low, high) in &steps {
                        let (low, high) = (usize::from(low), usize::from(high));
                        (bits[low], bits[high]) = (bits[low] & bits[high], bits[low] | bits[high]);
                    }
                    let zeros = p + q - ones_a - ones_b;
                    assert!(
                        order
                            .iter()
                            .enumerate()
                            .all(|(rank, &place)| bits[usize::from(place)] == (rank >= zeros)),
                        "{p} + {q} with {ones_a} and {ones_b} ones"
                    );
                }
            }
        }
    }

    #[test]
    fn plans_cover_every_row_once() {
        for n in 1..=128 {
            for (plan, most) in [(Plan::to_select(n, n / 4, n / 2), 2), (Plan::to_sort(n), 1)] {
                assert!(
                    plan.lists.len() <= most
                        && plan.groups.iter().all(|&size| (1..=GROUP_MAX).contains(&size))
                );
                let mut places: Vec<u8> = plan.lists.concat();
                places.sort_unstable();
                assert_eq!(places, (0..n as u8).collect::<Vec<_>>());
            }
        }
    }
}
