//! Random numbers from a seed, the same on every platform (SplitMix64).

/// A generator.
pub struct Rng(u64);

impl Rng {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Sixty-four random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// Uniform from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Uniform in the exponent from `low` to `high`.
    pub fn log_between(&mut self, low: u64, high: u64) -> u64 {
        let (from, to) = (low.ilog2(), high.ilog2());
        let power = self.between(u64::from(from), u64::from(to) - 1);
        self.between(1 << power, (2 << power) - 1).clamp(low, high)
    }

    /// Exponentially distributed with this mean, rounded down.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        // One half-life per failed coin, and uniform in the last: close enough to the law, and exact on every platform.
        let halvings = u64::from(self.bits().trailing_zeros());
        let half_life = (mean * 693 / 1000).max(1);
        halvings * half_life + self.below(half_life)
    }
}
