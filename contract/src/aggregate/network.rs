//! Sorting networks for up to 16 values, in registers: compare-exchange steps that do not depend on
//! the data, so that one step sorts as many columns at once as a vector has lanes.
//!
//! The steps are Batcher's merge exchange (Knuth, The Art of Computer Programming, volume 3,
//! §5.2.2, algorithm M), written out so that no value leaves its register.

use pulp::Simd;

/// Most values that one network sorts.
pub(super) const GROUP_MAX: usize = 16;

/// A few vectors, which start on a cache line when they fill it.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Tile<V, const N: usize>(pub(super) [V; N]);

macro_rules! networks {
    ($($sort:ident($n:literal): $([$low:literal $high:literal])*;)*) => {
        $(
            #[inline(always)]
            fn $sort<S: Simd>(simd: S, values: &mut [S::i32s; $n]) {
                let _ = (simd, &values);
                $(
                    let (low, high) = (values[$low], values[$high]);
                    values[$low] = simd.min_i32s(low, high);
                    values[$high] = simd.max_i32s(low, high);
                )*
            }
        )*

        /// Sorts the vectors of 1 to 16 `rows`, lane by lane in ascending order, and puts each rank in
        /// its place.
        ///
        /// # Panics
        /// When there are no rows, or more than 16.
        #[inline(always)]
        pub(super) fn sort_group<S: Simd, const N: usize>(
            simd: S,
            rows: &[Tile<S::i32s, N>],
            places: &mut [Tile<S::i32s, N>],
        ) {
            match rows.len() {
                $(
                    $n => {
                        let places: &mut [Tile<S::i32s, N>; $n] =
                            places.try_into().expect("there is a place for each row");
                        let rows: &[Tile<S::i32s, N>; $n] =
                            rows.try_into().expect("the length was matched");
                        for vector in 0..N {
                            let mut values = [rows[0].0[vector]; $n];
                            for (value, row) in values.iter_mut().zip(rows) {
                                *value = row.0[vector];
                            }
                            $sort(simd, &mut values);
                            for (place, value) in places.iter_mut().zip(values) {
                                place.0[vector] = value;
                            }
                        }
                    }
                )*
                n => panic!("a network sorts 1 to {GROUP_MAX} rows, found {n}"),
            }
        }

        /// The steps of the network for n values.
        #[cfg(test)]
        fn steps_of(n: usize) -> Vec<(usize, usize)> {
            match n {
                $($n => vec![$(($low, $high)),*],)*
                n => panic!("no network for {n}"),
            }
        }
    };
}

networks! {
    sort_1(1):;
    sort_2(2): [0 1];
    sort_3(3): [0 2] [0 1] [1 2];
    sort_4(4): [0 2] [1 3] [0 1] [2 3] [1 2];
    sort_5(5): [0 4] [0 2] [1 3] [2 4] [0 1] [2 3] [1 4] [1 2] [3 4];
    sort_6(6): [0 4] [1 5] [0 2] [1 3] [2 4] [3 5] [0 1] [2 3] [4 5] [1 4] [1 2] [3 4];
    sort_7(7): [0 4] [1 5] [2 6] [0 2] [1 3] [4 6] [2 4] [3 5] [0 1] [2 3] [4 5] [1 4] [3 6]
        [1 2] [3 4] [5 6];
    sort_8(8): [0 4] [1 5] [2 6] [3 7] [0 2] [1 3] [4 6] [5 7] [2 4] [3 5] [0 1] [2 3] [4 5]
        [6 7] [1 4] [3 6] [1 2] [3 4] [5 6];
    sort_9(9): [0 8] [0 4] [1 5] [2 6] [3 7] [4 8] [0 2] [1 3] [4 6] [5 7] [2 8] [2 4] [3 5]
        [6 8] [0 1] [2 3] [4 5] [6 7] [1 8] [1 4] [3 6] [5 8] [1 2] [3 4] [5 6] [7 8];
    sort_10(10): [0 8] [1 9] [0 4] [1 5] [2 6] [3 7] [4 8] [5 9] [0 2] [1 3] [4 6] [5 7] [2 8]
        [3 9] [2 4] [3 5] [6 8] [7 9] [0 1] [2 3] [4 5] [6 7] [8 9] [1 8] [1 4] [3 6] [5 8]
        [1 2] [3 4] [5 6] [7 8];
    sort_11(11): [0 8] [1 9] [2 10] [0 4] [1 5] [2 6] [3 7] [4 8] [5 9] [6 10] [0 2] [1 3] [4 6]
        [5 7] [8 10] [2 8] [3 9] [2 4] [3 5] [6 8] [7 9] [0 1] [2 3] [4 5] [6 7] [8 9] [1 8]
        [3 10] [1 4] [3 6] [5 8] [7 10] [1 2] [3 4] [5 6] [7 8] [9 10];
    sort_12(12): [0 8] [1 9] [2 10] [3 11] [0 4] [1 5] [2 6] [3 7] [4 8] [5 9] [6 10] [7 11]
        [0 2] [1 3] [4 6] [5 7] [8 10] [9 11] [2 8] [3 9] [2 4] [3 5] [6 8] [7 9] [0 1] [2 3]
        [4 5] [6 7] [8 9] [10 11] [1 8] [3 10] [1 4] [3 6] [5 8] [7 10] [1 2] [3 4] [5 6] [7 8]
        [9 10];
    sort_13(13): [0 8] [1 9] [2 10] [3 11] [4 12] [0 4] [1 5] [2 6] [3 7] [8 12] [4 8] [5 9]
        [6 10] [7 11] [0 2] [1 3] [4 6] [5 7] [8 10] [9 11] [2 8] [3 9] [6 12] [2 4] [3 5] [6 8]
        [7 9] [10 12] [0 1] [2 3] [4 5] [6 7] [8 9] [10 11] [1 8] [3 10] [5 12] [1 4] [3 6]
        [5 8] [7 10] [9 12] [1 2] [3 4] [5 6] [7 8] [9 10] [11 12];
    sort_14(14): [0 8] [1 9] [2 10] [3 11] [4 12] [5 13] [0 4] [1 5] [2 6] [3 7] [8 12] [9 13]
        [4 8] [5 9] [6 10] [7 11] [0 2] [1 3] [4 6] [5 7] [8 10] [9 11] [2 8] [3 9] [6 12]
        [7 13] [2 4] [3 5] [6 8] [7 9] [10 12] [11 13] [0 1] [2 3] [4 5] [6 7] [8 9] [10 11]
        [12 13] [1 8] [3 10] [5 12] [1 4] [3 6] [5 8] [7 10] [9 12] [1 2] [3 4] [5 6] [7 8]
        [9 10] [11 12];
    sort_15(15): [0 8] [1 9] [2 10] [3 11] [4 12] [5 13] [6 14] [0 4] [1 5] [2 6] [3 7] [8 12]
        [9 13] [10 14] [4 8] [5 9] [6 10] [7 11] [0 2] [1 3] [4 6] [5 7] [8 10] [9 11] [12 14]
        [2 8] [3 9] [6 12] [7 13] [2 4] [3 5] [6 8] [7 9] [10 12] [11 13] [0 1] [2 3] [4 5]
        [6 7] [8 9] [10 11] [12 13] [1 8] [3 10] [5 12] [7 14] [1 4] [3 6] [5 8] [7 10] [9 12]
        [11 14] [1 2] [3 4] [5 6] [7 8] [9 10] [11 12] [13 14];
    sort_16(16): [0 8] [1 9] [2 10] [3 11] [4 12] [5 13] [6 14] [7 15] [0 4] [1 5] [2 6] [3 7]
        [8 12] [9 13] [10 14] [11 15] [4 8] [5 9] [6 10] [7 11] [0 2] [1 3] [4 6] [5 7] [8 10]
        [9 11] [12 14] [13 15] [2 8] [3 9] [6 12] [7 13] [2 4] [3 5] [6 8] [7 9] [10 12] [11 13]
        [0 1] [2 3] [4 5] [6 7] [8 9] [10 11] [12 13] [14 15] [1 8] [3 10] [5 12] [7 14] [1 4]
        [3 6] [5 8] [7 10] [9 12] [11 14] [1 2] [3 4] [5 6] [7 8] [9 10] [11 12] [13 14];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 0-1 principle: a network sorts everything if it sorts every input of zeros and ones.
    #[test]
    fn networks_sort_every_zero_one_input() {
        for n in 1..=GROUP_MAX {
            let steps = steps_of(n);
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
    fn networks_have_the_published_sizes() {
        // Knuth, volume 3, §5.3.4, table 1, the row of Batcher's method.
        let sizes: Vec<usize> = (1..=GROUP_MAX).map(|n| steps_of(n).len()).collect();
        assert_eq!(sizes, [0, 1, 3, 5, 9, 12, 16, 19, 26, 31, 37, 41, 48, 53, 59, 63]);
    }
}
