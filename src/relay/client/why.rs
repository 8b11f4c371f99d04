//! Why a hold ends. Values only.

use crate::hub::End;

/// See the module. Of what is answered at once nothing ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Why {
    /// It was answered with a message.
    Message,
    /// It was answered that there is none.
    Timeout,
    /// Its client is gone, or is treated so.
    Gone,
    /// Another request has its place.
    Displaced,
    /// The channel was deleted.
    Deleted,
    /// Its user's access was taken back.
    Revoked,
    /// The time of its token is up.
    Expired,
    /// The daemon stops.
    Stop,
}

impl Why {
    /// In one word.
    pub(in crate::relay) fn word(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Timeout => "timeout",
            Self::Gone => "gone",
            Self::Displaced => "displaced",
            Self::Deleted => "deleted",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Stop => "stop",
        }
    }

    /// Why the hub has ended it.
    pub(super) fn of(end: End) -> Self {
        match end {
            End::NothingNew => Self::Timeout,
            End::Deleted => Self::Deleted,
            End::Displaced => Self::Displaced,
            End::Shutdown => Self::Stop,
        }
    }
}
