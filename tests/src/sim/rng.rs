//! The seeded choices of harnesses.

/// The generator of all of them: xorshift64*.
pub struct Rng(u64);
impl Rng {
    pub fn new(seed: u64) -> Self {
        Self::salted(seed, 0x9E37_79B9_7F4A_7C15)
    }
    /// Another sequence of the same seed.
    pub fn salted(seed: u64, salt: u64) -> Self {
        Self(seed.wrapping_mul(salt) | 1)
    }
    /// 0 to `n` - 1.
    pub fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n.max(1)
    }
    /// `from` to `to`, both included.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.roll(to - from + 1)
    }
    /// True in so many of a thousand.
    pub fn permille(&mut self, n: u64) -> bool {
        self.roll(1_000) < n
    }
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.roll(of.len() as u64) as usize)
    }
}
