//! Sorting networks: compare-exchange steps that do not depend on the data, so that one step sorts
//! many columns at once with vector minima and maxima.

/// Columns that are sorted side by side.
pub(super) const LANES: usize = 64;
/// One row's values in `LANES` columns.
pub(super) type Lane = [i32; LANES];

/// Batcher's merge exchange for n inputs (Knuth, The Art of Computer Programming, volume 3, §5.2.2,
/// algorithm M), reduced to the steps that the wanted outputs depend on.
#[derive(Debug, Clone)]
pub(super) struct Network {
    steps: Vec<(usize, usize)>,
}

impl Network {
    /// A network that puts the value of each rank in `wanted` in its place.
    pub(super) fn for_ranks(n: usize, wanted: impl IntoIterator<Item = usize>) -> Self {
        let mut needed = vec![false; n];
        for rank in wanted {
            needed[rank] = true;
        }
        let mut steps = merge_exchange(n);
        let mut kept = Vec::new();
        while let Some((low, high)) = steps.pop() {
            if needed[low] || needed[high] {
                needed[low] = true;
                needed[high] = true;
                kept.push((low, high));
            }
        }
        kept.reverse();
        Self { steps: kept }
    }

    /// Runs the network over n rows of columns.
    #[inline]
    pub(super) fn run(&self, rows: &mut [Lane]) {
        for &(low, high) in &self.steps {
            let [low, high] =
                rows.get_disjoint_mut([low, high]).expect("steps join two rows of the network");
            for (low, high) in low.iter_mut().zip(high.iter_mut()) {
                (*low, *high) = ((*low).min(*high), (*low).max(*high));
            }
        }
    }
}

/// The steps of algorithm M, which sort n inputs in ascending order.
fn merge_exchange(n: usize) -> Vec<(usize, usize)> {
    let mut steps = Vec::new();
    let top = n.next_power_of_two() / 2;
    let mut p = top;
    while p > 0 {
        let (mut q, mut r, mut distance) = (top, 0, p);
        loop {
            let starts = 0..n.saturating_sub(distance);
            steps.extend(starts.filter(|i| i & p == r).map(|i| (i, i + distance)));
            if q == p {
                break;
            }
            distance = q - p;
            q /= 2;
            r = p;
        }
        p /= 2;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 0-1 principle: a network sorts everything if it sorts every input of zeros and ones.
    #[test]
    fn networks_sort_every_zero_one_input() {
        for n in 1..=14usize {
            let steps = merge_exchange(n);
            for input in 0u32..1 << n {
                let mut bits = input;
                for &(low, high) in &steps {
                    let (a, b) = (bits >> low & 1, bits >> high & 1);
                    bits = bits & !(1 << low | 1 << high) | (a & b) << low | (a | b) << high;
                }
                let ones = input.count_ones();
                assert_eq!(bits, ((1u32 << ones) - 1) << (n as u32 - ones), "n {n}, {input:b}");
            }
        }
    }

    #[test]
    fn merge_exchange_has_the_published_sizes() {
        // Knuth, volume 3, §5.3.4, table 1, the row of Batcher's method.
        let sizes: Vec<usize> = (1..=16).map(|n| merge_exchange(n).len()).collect();
        assert_eq!(sizes, [0, 1, 3, 5, 9, 12, 16, 19, 26, 31, 37, 41, 48, 53, 59, 63]);
    }

    /// Every n up to the limit, against the library's sort, on values with many ties.
    #[test]
    fn reduced_networks_deliver_the_wanted_ranks() {
        let mut state = 1u64;
        for n in 1..=128usize {
            let ranks = [0, (n - 1) / 2, n / 2, n - 1, n / 3];
            for wanted in ranks {
                let network = Network::for_ranks(n, [wanted]);
                let mut rows = vec![[0i32; LANES]; n];
                for row in &mut rows {
                    for value in row.iter_mut() {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        *value = (state >> 60) as i32 - 8;
                    }
                }
                let mut sorted = rows.clone();
                for lane in 0..LANES {
                    let mut column: Vec<i32> = rows.iter().map(|row| row[lane]).collect();
                    column.sort_unstable();
                    for (row, value) in sorted.iter_mut().zip(column) {
                        row[lane] = value;
                    }
                }
                network.run(&mut rows);
                assert_eq!(rows[wanted], sorted[wanted], "n {n}, rank {wanted}");
            }
        }
    }
}
