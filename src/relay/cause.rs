//! Cause: why requests are refused, in words that do not change, and how often each is logged.
//! Knows no request.

use crate::rate_limit::RateLimit;

/// Why a request is refused, or its answer is kept from a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The text of the answer says all.
    Request,
    /// The location's `allow_origin` does not list the page's.
    Origin,
    /// As before, but it lists the other name of this machine.
    OriginTwin,
    /// As [`Cause::Origin`], of a page that publishes.
    PublisherOrigin,
    Host,
    NoLocation,
    NoChannel,
    Allow,
    Secret,
    TokenNone,
    TokenInvalid,
    TokenOtherChannel,
    TokenExpired,
    Revoked,
    Method,
    ChannelId,
    Cursor,
    Transport,
    /// Another has its place.
    Conflict,
    Subscribers,
    TooLarge,
    Unavailable,
}

impl Cause {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Origin => "origin",
            Self::OriginTwin => "origin_twin",
            Self::PublisherOrigin => "publisher_origin",
            Self::Host => "host",
            Self::NoLocation => "no_location",
            Self::NoChannel => "no_channel",
            Self::Allow => "allow",
            Self::Secret => "secret",
            Self::TokenNone => "token_none",
            Self::TokenInvalid => "token_invalid",
            Self::TokenOtherChannel => "token_other_channel",
            Self::TokenExpired => "token_expired",
            Self::Revoked => "revoked",
            Self::Method => "method",
            Self::ChannelId => "channel_id",
            Self::Cursor => "cursor",
            Self::Transport => "transport",
            Self::Conflict => "conflict",
            Self::Subscribers => "max_subscribers",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The log lines of each cause.
#[derive(Debug, Default)]
pub(super) struct Limits([RateLimit; Cause::Unavailable as usize + 1]);

impl Limits {
    /// As [`RateLimit::is_held_back`].
    pub(super) fn is_held_back(&mut self, cause: Cause, now_ms: u64) -> bool {
        self.0[cause as usize].is_held_back(now_ms)
    }

    /// As [`RateLimit::note`].
    pub(super) fn note(&mut self, cause: Cause, now_ms: u64) -> Option<u64> {
        self.0[cause as usize].note(now_ms)
    }
}
