//! State: where a link is between two dials.

use super::greeting::Greeting;
use crate::store::redis::options::Address;

/// From the dial until commands may be sent, with all that a sentinel takes of it, milliseconds.
pub const GREETING_TIMEOUT_MS: u64 = 2000;
/// What a sentinel may take, milliseconds.
pub const SENTINEL_TIMEOUT_MS: u64 = 500;

/// Without anything received for so long a server is asked whether it is there, milliseconds.
pub const SILENCE_MS: u64 = 1000;

/// See the module. All times in milliseconds.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing is dialled before this time.
    Resting { until_ms: u64 },
    /// A sentinel is asked until then; the whole may take until `end_ms`.
    Finding { until_ms: u64, end_ms: u64 },
    /// The node is dialled, and greeted (`Some`).
    Greeting { end_ms: u64, address: Address, greeting: Option<Box<Greeting>> },
    /// Commands are sent.
    Up { address: Address, since_ms: u64, heard_ms: u64 },
}

/// To be dialled at once.
impl Default for State {
    fn default() -> Self {
        Self::Resting { until_ms: 0 }
    }
}

impl State {
    /// The state, which is another from now on.
    pub(super) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// When something is to be done. `unanswered_ms`: when the oldest command is unanswered for too
    /// long.
    pub(super) fn due_ms(&self, unanswered_ms: Option<u64>) -> u64 {
        match self {
            Self::Resting { until_ms } | Self::Finding { until_ms, .. } => *until_ms,
            Self::Greeting { end_ms, .. } => *end_ms,
            Self::Up { heard_ms, .. } => unanswered_ms.unwrap_or(*heard_ms + SILENCE_MS),
        }
    }

    /// What has not come in time.
    pub(super) fn awaited(&self) -> &'static str {
        match self {
            Self::Resting { .. } | Self::Up { .. } => "command",
            Self::Finding { .. } => "sentinel",
            Self::Greeting { greeting: None, .. } => {
                "connection, and TLS where the store has tls: this port may speak none"
            }
            Self::Greeting { greeting: Some(_), .. } => "greeting",
        }
    }

    /// How the connection has ended.
    pub(super) fn ended(&self, cause: &str) -> Box<str> {
        match self {
            Self::Greeting { greeting: Some(_), .. } => format!(
                "{cause} without an answer; where this port speaks TLS, set the store's tls"
            )
            .into(),
            _ => cause.into(),
        }
    }
}
