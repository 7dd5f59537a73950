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
        let expected =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([0, 1, 2].map(|at| splitmix64(1_234_567, at)), expected);
    }
}
