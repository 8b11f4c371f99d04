//! Back-off: how long a link rests before it dials again. Longer after each failure, shorter again
//! once it was up for a while, never the same for all daemons.

use crate::jitter::Jitter;

/// At first and at most, each give or take a quarter, milliseconds.
const REST_MS: u64 = 100;
const REST_MAX_MS: u64 = 1000;

/// See the module.
#[derive(Debug)]
pub(super) struct BackOff {
    /// Without its jitter, milliseconds.
    next_ms: u64,
    jitter: Jitter,
}

impl BackOff {
    pub(super) fn new(jitter: Jitter) -> Self {
        Self { next_ms: REST_MS, jitter }
    }

    /// All is well: the next rest is the shortest.
    pub(super) fn reset(&mut self) {
        self.next_ms = REST_MS;
    }

    /// The next rest, milliseconds. `is_of_rights`: only an operator can help, so it is the longest
    /// and never less than a second.
    pub(super) fn rest_ms(&mut self, is_of_rights: bool) -> u64 {
        let rest_ms = self.next_ms;
        self.next_ms = (rest_ms * 2).min(REST_MAX_MS);
        if is_of_rights {
            return REST_MAX_MS + self.jitter.below(REST_MAX_MS / 4);
        }
        rest_ms - rest_ms / 4 + self.jitter.below(rest_ms / 2 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_up_to_a_second_give_or_take_a_quarter() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut back_off = BackOff::new(Jitter::new(seed));
            for expected in [100, 200, 400, 800, 1000, 1000] {
                let rest_ms = back_off.rest_ms(false);
                assert!((expected * 3 / 4..=expected * 5 / 4).contains(&rest_ms), "{rest_ms}");
                seen.insert(rest_ms);
            }
            assert!((1000..1250).contains(&back_off.rest_ms(true)));
            back_off.reset();
            assert!(back_off.rest_ms(false) <= 125);
        }
        assert!(seen.len() > 200, "they are spread");
    }
}
