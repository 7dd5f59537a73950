//! A linear congruential generator (Knuth's MMIX constants): integers that are the same everywhere.

/// The generator.
pub struct Lcg(u64);

impl Lcg {
    /// A generator whose sequence is its own for each list of numbers.
    pub fn of(seeds: &[u64]) -> Self {
        let mut lcg = Self(0);
        for seed in seeds {
            lcg.0 ^= *seed;
            for _ in 0..4 {
                lcg.draw();
            }
        }
        lcg
    }

    /// The next 31 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// A number below `end`, which is far below 2^31.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    /// A number of magnitude at most `limit`.
    pub fn within(&mut self, limit: i32) -> i32 {
        let limit = i64::from(limit);
        let value = self.below(2 * limit as u64 + 1) as i64 - limit;
        i32::try_from(value).expect("a magnitude of an i32")
    }
}
