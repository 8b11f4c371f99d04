//! Remote clock: what Redis' clock shows at least, from the times in its answers. Never ahead of
//! it, so that a deadline on that clock never comes later than here.

/// Time that may pass between a read clock and what is done then, milliseconds: a turn is shorter.
const SLACK_MS: u64 = 50;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RemoteClock {
    /// How far it is ahead of ours at least, milliseconds.
    ahead_ms: Option<i64>,
}

impl RemoteClock {
    /// The first answer of a connection: whatever was known is of another server.
    pub(super) fn begin(&mut self, remote_ms: u64, sent_ms: u64, now_ms: u64) {
        self.ahead_ms = None;
        self.heard(remote_ms, sent_ms, now_ms);
    }

    /// The answer to what was sent at `sent_ms` came at `now_ms`, and in between Redis' clock
    /// showed `remote_ms`.
    pub(super) fn heard(&mut self, remote_ms: u64, sent_ms: u64, now_ms: u64) {
        let ahead_of = |ms: u64| remote_ms.cast_signed().saturating_sub(ms.cast_signed());
        let (least, most) = (ahead_of(now_ms.saturating_add(SLACK_MS)), ahead_of(sent_ms));
        self.ahead_ms = Some(match self.ahead_ms {
            Some(ahead_ms) if ahead_ms <= most => ahead_ms.max(least),
            // It was set back.
            _ => least,
        });
    }

    /// What it shows at least, milliseconds; `None` before it was heard.
    pub(super) fn now_ms(&self, now_ms: u64) -> Option<u64> {
        now_ms.checked_add_signed(self.ahead_ms?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_ahead_and_as_near_as_the_fastest_answer() {
        let mut clock = RemoteClock::default();
        assert_eq!(clock.now_ms(0), None);
        // Redis is 1 000 000 ahead of us. An answer that took 400 ms on its way back,
        clock.begin(1_000_100, 90, 500);
        assert_eq!(clock.now_ms(500), Some(1_000_050));
        // a faster one,
        clock.heard(1_001_000, 995, 1_005);
        assert_eq!(clock.now_ms(1_005), Some(1_000_950));
        // and a slower one, which says less.
        clock.heard(1_002_000, 1_900, 2_400);
        assert_eq!(clock.now_ms(2_400), Some(1_002_345));
    }

    #[test]
    fn a_clock_that_is_set_back_or_ahead_is_followed() {
        let mut clock = RemoteClock::default();
        clock.begin(1_000_000, 0, 10);
        clock.heard(500_000, 100, 110);
        assert_eq!(clock.now_ms(110), Some(499_950));
        clock.heard(2_000_000, 200, 210);
        assert_eq!(clock.now_ms(210), Some(1_999_950));
        // Of another server.
        clock.begin(7_000, 300, 310);
        assert_eq!(clock.now_ms(310), Some(6_950));
    }

    #[test]
    fn no_time_is_too_strange() {
        let mut clock = RemoteClock::default();
        for remote_ms in [0, u64::MAX, 1 << 63, 5] {
            clock.heard(remote_ms, 0, u64::MAX - 100);
            let _ = (clock.now_ms(0), clock.now_ms(u64::MAX));
        }
    }
}
