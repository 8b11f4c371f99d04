//! Jitter: a generator that spreads times, so that those who came together do not all come back
//! together. Not for secrets.

/// See the module.
#[derive(Debug)]
pub struct Jitter {
    /// Not 0.
    state: u64,
}

impl Jitter {
    /// A generator of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed | 1 }
    }

    /// Up to a tenth less than `ms`, milliseconds.
    pub fn shorten(&mut self, ms: u64) -> u64 {
        ms - self.below(ms / 10 + 1)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // Xorshift: jitter needs no better.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % end
    }
}
