/// Numbers from a seed, the same on every machine (splitmix64).
pub struct Random(u64);

/// Odd, so that every number comes once.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

impl Random {
    /// Seeds side by side begin far from each other: else each would draw what the one before it draws, from one number on, and
    /// most of what they decide would soon be the same.
    pub fn new(seed: u64) -> Self {
        Self(mixed(seed.wrapping_mul(STEP)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mixed(self.0)
    }

    /// From `low` to before `high`.
    pub fn number(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high - low).expect("low is below high");
        low + i64::try_from(self.next() % width).expect("small")
    }

    pub fn count(&mut self, low: usize, high: usize) -> usize {
        let number = |count: usize| i64::try_from(count).expect("small");
        usize::try_from(self.number(number(low), number(high))).expect("not negative")
    }

    /// Once in `many`.
    pub fn once_in(&mut self, many: i64) -> bool {
        self.number(0, many) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.count(0, from.len())]
    }

    pub fn maybe<T>(&mut self, once_in: i64, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.once_in(once_in).then(|| make(self))
    }

    pub fn many<T>(&mut self, low: usize, high: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.count(low, high)).map(|_| make(self)).collect()
    }

    /// Each of them with even odds, in order.
    pub fn some<T: Clone>(&mut self, of: &[T]) -> Vec<T> {
        of.iter().filter(|_| self.once_in(2)).cloned().collect()
    }
}
