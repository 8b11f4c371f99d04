//! Due: what of members has a timer, and how long Django is left alone. Values only.

use super::numbers::{AddresseeNumber, MemberNumber};

/// How long one that has left is kept for Django to be told, milliseconds.
pub(super) const KEPT_MS: u64 = 3_600_000;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) enum Due {
    /// The time of one that is away or gone is up.
    Member(MemberNumber),
    /// Django is told again.
    Retry(MemberNumber),
    /// An addressee is told again that this run has begun.
    Reset(AddresseeNumber),
}

/// How long Django is left alone that could not be told so often, milliseconds.
pub(super) fn retry_ms(attempts: u8) -> u64 {
    const MOST_S: u64 = 30;
    (1_u64 << attempts.clamp(1, 6).saturating_sub(1)).min(MOST_S) * 1000
}

#[cfg(test)]
mod tests {
    use super::retry_ms;

    #[test]
    fn it_is_left_alone_for_longer_each_time_and_half_a_minute_at_most() {
        let waits: Vec<u64> = [1, 2, 3, 4, 5, 6, 7, 255].map(|one| retry_ms(one) / 1000).into();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
    }
}
