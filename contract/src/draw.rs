//! Draws from a public seed, the same on every node.

/// Number `counter` of the sequence that SplitMix64 makes of a seed (G. L. Steele, D. Lea,
/// C. H. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
pub(crate) fn splitmix64(seed: u64, counter: u64) -> u64 {
    let step = counter.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut z = seed.wrapping_add(step);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::splitmix64;

    /// The first numbers for the seed 1234567 that the reference implementation is known for.
    #[test]
    fn the_sequence_is_the_published_one() {
        let expected = [6457827717110365317, 3203168211198807973, 9817491932198370423];
        assert_eq!([0, 1, 2].map(|at| splitmix64(1_234_567, at)), expected);
    }
}
