//! Random numbers that a seed names for ever: splitmix64, which no dependency's update can change.

/// A source of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.next() % u64::from(end.max(1))).unwrap()
    }

    /// Milliseconds from `from` to `to`.
    pub(super) fn ms(&mut self, from: i64, to: i64) -> i64 {
        from + i64::from(self.below(u32::try_from(to - from + 1).unwrap()))
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&mut self, chance: u32) -> bool {
        self.below(100) < chance
    }

    /// One of these.
    pub(super) fn of<T: Clone>(&mut self, these: &[T]) -> T {
        these[self.below(u32::try_from(these.len()).unwrap()) as usize].clone()
    }
}

/// A number that belongs to the `number`-th of something under this seed, whatever happened before it.
pub(super) fn at(seed: u64, number: u64) -> Rng {
    Rng::new(mix(seed) ^ number.wrapping_mul(0xd134_2543_de82_ef95))
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
