//! Revocations: whose tokens are refused, in which channel or in all, and up to which second of
//! signing; and which sessions are. Pure: never reads a token, and ends nothing.
//!
//! One is kept until every token that it refuses has ended by itself; a restart forgets all.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::request::identity::Identity;
use crate::clock::Now;
use crate::rate_limit::RateLimit;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    /// By user or session and channel, as [`key`] writes them.
    by_key: HashMap<Rc<[u8]>, Revocation>,
    /// The same, the oldest first.
    by_age: BTreeMap<u64, Rc<[u8]>>,
    /// The age of the next one.
    next: u64,
    /// Of those that went before their time.
    pub(super) forgotten: RateLimit,
}

#[derive(Debug, Clone, Copy)]
struct Revocation {
    age: u64,
    at: Now,
}

impl Revocations {
    /// Refuses what was signed for a user up to now, or a session from now on: in the channel of
    /// this name, or in all. Drops the oldest ones beyond `most`, and gives how many. `keep_s`: how
    /// long tokens are good, and sessions are refused.
    pub(super) fn revoke(
        &mut self,
        identity: &Identity,
        channel: Option<&[u8]>,
        (keep_s, most): (u64, usize),
        mut now: Now,
    ) -> usize {
        self.expire(keep_s, now);
        let key: Rc<[u8]> = key(identity, channel).into();
        if let Some(before) = self.by_key.get(&key).copied() {
            self.by_age.remove(&before.age);
            // The clock may have been set back.
            now.unix_s = now.unix_s.max(before.at.unix_s);
        }
        self.by_key.insert(Rc::clone(&key), Revocation { age: self.next, at: now });
        self.by_age.insert(self.next, key);
        self.next += 1;
        let dropped = self.by_age.len().saturating_sub(most);
        for _ in 0..dropped {
            self.drop_oldest();
        }
        dropped
    }

    /// Whether a token of a user that was signed at `signed_s` opens the channel of this name no
    /// more. The second of the revocation counts as before it.
    pub(super) fn refuse(&self, user: &Identity, channel: &[u8], signed_s: u64) -> bool {
        self.any(user, channel, |at| signed_s <= at.unix_s)
    }

    /// Whether a session is let into the channel of this name no more.
    pub(super) fn refuse_session(
        &self,
        session: &Identity,
        channel: &[u8],
        keep_s: u64,
        now: Now,
    ) -> bool {
        let keep_ms = keep_s.saturating_mul(1000);
        self.any(session, channel, |at| now.mono_ms <= at.mono_ms.saturating_add(keep_ms))
    }

    /// Whether this is so of a revocation of all channels, or of this one.
    fn any(&self, identity: &Identity, channel: &[u8], is_so: impl Fn(Now) -> bool) -> bool {
        let has = |channel| {
            let revocation = self.by_key.get(&*key(identity, channel));
            revocation.is_some_and(|revocation| is_so(revocation.at))
        };
        !self.by_key.is_empty() && (has(None) || has(Some(channel)))
    }

    /// Forgets those whose tokens have all ended, by either clock: neither one that was set ahead
    /// for a while nor one that was set back opens anything.
    fn expire(&mut self, keep_s: u64, now: Now) {
        while let Some((_, oldest)) = self.by_age.first_key_value() {
            let at = self.by_key[oldest].at;
            let is_over = now.unix_s > at.unix_s.saturating_add(keep_s)
                && now.mono_ms > at.mono_ms.saturating_add(keep_s.saturating_mul(1000));
            if !is_over {
                return;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key)) = self.by_age.pop_first() {
            self.by_key.remove(&key);
        }
    }
}

/// One text for an identity and a channel, or all of them: no two pairs have the same. The length
/// of a user fits into a byte (`request/token.rs`), and a channel's name is not empty.
fn key(identity: &Identity, channel: Option<&[u8]>) -> Vec<u8> {
    let (user, channel) = (identity.text(), channel.unwrap_or_default());
    let mut key = Vec::with_capacity(1 + user.len() + channel.len());
    key.push(user.len() as u8);
    key.extend_from_slice(user.as_bytes());
    key.extend_from_slice(channel);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK_S: u64 = 604_800;

    fn at(unix_s: u64, mono_s: u64) -> Now {
        Now::at(mono_s * 1000, unix_s)
    }

    fn revoked(user: &str, channel: Option<&[u8]>, unix_s: u64) -> Revocations {
        let mut revocations = Revocations::default();
        assert_eq!(
            revocations.revoke(&Identity::user(user), channel, (WEEK_S, 10), at(unix_s, 0)),
            0
        );
        revocations
    }

    #[test]
    fn tokens_signed_up_to_the_second_are_refused_and_later_ones_are_not() {
        let revocations = revoked("42", None, 1_000);
        for (signed_s, refused) in [(0, true), (999, true), (1_000, true), (1_001, false)] {
            assert_eq!(
                revocations.refuse(&Identity::user("42"), b"\0room", signed_s),
                refused,
                "{signed_s}"
            );
        }
    }

    #[test]
    fn it_is_of_one_user_and_where_a_channel_is_named_of_that_channel() {
        let revocations = revoked("42", Some(b"\0room"), 1_000);
        assert!(revocations.refuse(&Identity::user("42"), b"\0room", 1_000));
        assert!(!revocations.refuse(&Identity::user("42"), b"\0roo", 1_000));
        assert!(!revocations.refuse(&Identity::user("4"), b"2\0room", 1_000));
        assert!(!revocations.refuse(&Identity::user("421"), b"\0room", 1_000));
        assert!(!revocations.refuse(&Identity::user(""), b"\0room", 1_000));
        assert!(!Revocations::default().refuse(&Identity::user("42"), b"\0room", 0));
    }

    #[test]
    fn a_channel_taken_back_later_than_all_is_refused_up_to_then() {
        let mut revocations = revoked("42", None, 1_000);
        revocations.revoke(&Identity::user("42"), Some(b"\0room"), (WEEK_S, 10), at(2_000, 1_000));
        assert!(revocations.refuse(&Identity::user("42"), b"\0room", 2_000));
        assert!(!revocations.refuse(&Identity::user("42"), b"\0other", 2_000));
        assert!(revocations.refuse(&Identity::user("42"), b"\0other", 1_000));
    }

    #[test]
    fn the_oldest_goes_beyond_the_limit_and_one_that_is_renewed_is_young() {
        let mut revocations = Revocations::default();
        for (user, dropped) in [("a", 0), ("b", 0), ("a", 0), ("c", 1), ("c", 0)] {
            assert_eq!(
                revocations.revoke(&Identity::user(user), None, (WEEK_S, 2), at(5, 0)),
                dropped,
                "{user}"
            );
        }
        let refused = |user| revocations.refuse(&Identity::user(user), b"\0x", 5);
        assert_eq!((refused("a"), refused("b"), refused("c")), (true, false, true));
        assert_eq!(revocations.revoke(&Identity::user("d"), None, (WEEK_S, 1), at(5, 0)), 2);
        assert_eq!((revocations.by_key.len(), revocations.by_age.len()), (1, 1));
    }

    #[test]
    fn it_is_kept_until_both_clocks_say_that_its_tokens_have_ended() {
        let kept = |unix_s, mono_s| {
            let mut revocations = revoked("42", None, 1_000);
            revocations.revoke(&Identity::user("other"), None, (60, 10), at(unix_s, mono_s));
            revocations.refuse(&Identity::user("42"), b"\0room", 1_000)
        };
        assert!(kept(1_060, 60) && kept(1_060, 61) && kept(1_061, 60));
        assert!(kept(9_000, 0) && kept(500, 9_000));
        assert!(!kept(1_061, 61));
    }

    #[test]
    fn a_clock_that_is_set_back_opens_nothing() {
        let mut revocations = revoked("42", None, 1_000);
        revocations.revoke(&Identity::user("42"), None, (WEEK_S, 10), at(500, 1));
        assert!(revocations.refuse(&Identity::user("42"), b"\0room", 1_000));
    }

    #[test]
    fn a_session_is_refused_for_as_long_as_a_token_may_be_good_and_whatever_its_day_is() {
        let session = Identity::of_text("s:0123456789abcdef");
        let mut revocations = Revocations::default();
        revocations.revoke(&session, Some(b"\0room"), (60, 10), at(1_000, 100));
        let refused = |name, mono_s| revocations.refuse_session(&session, name, 60, at(0, mono_s));
        assert!(refused(b"\0room", 100) && refused(b"\0room", 160));
        assert!(!refused(b"\0room", 161) && !refused(b"\0other", 100));
        assert!(!revocations.refuse(&Identity::user("0123456789abcdef"), b"\0room", 1_000));
    }
}
