//! Refusal: the answer to a request that is not served as it asks. Never written here.

use crate::figures::RelayFigures;

const NO_TOKEN: &str =
    "this channel needs a token: ask the application for its URL ({% channel_url %})";

/// One text for all that is wrong with a token but its time: who forges one learns nothing.
const UNFIT: &str = "the token does not fit this channel";

const EXPIRED: &str = "the token has expired: ask the application for a new URL";

const TAKEN_BACK: &str = "access to this channel was taken back";

/// Why a request is not served as it asks.
#[derive(Debug)]
pub(in crate::relay) struct Refusal {
    pub(in crate::relay) status: u16,
    /// Further header lines.
    pub(in crate::relay) lines: Vec<u8>,
    pub(in crate::relay) text: &'static str,
    /// What the operator may not have meant.
    pub(in crate::relay) concern: Option<Concern>,
}

/// What of the settings a refusal may be due to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Concern {
    /// The location's `allow_origin`.
    Origin,
    /// `hosts`.
    Host,
    /// Nothing of them: tokens that do not fit are counted.
    Token(Fault),
}

impl Refusal {
    pub(in crate::relay) const fn new(status: u16, text: &'static str) -> Self {
        Self { status, lines: Vec::new(), text, concern: None }
    }

    /// Says with what to ask (RFC 6750 3).
    pub(in crate::relay) fn challenge(text: &'static str, challenge: &str) -> Self {
        let lines = format!("WWW-Authenticate: {challenge}\r\n").into_bytes();
        Self { lines, ..Self::new(401, text) }
    }
}

/// Why tokens do not open what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Fault {
    /// There is none.
    None,
    /// It cannot be read, nobody here has signed it, or it is for something else.
    Invalid,
    /// Its time is up.
    Expired,
    /// The access of its user was taken back.
    Revoked,
}

impl Fault {
    /// The figure that counts it.
    pub(in crate::relay) fn figure(self, figures: &mut RelayFigures) -> &mut u64 {
        match self {
            Self::None => &mut figures.token_refusals_none,
            Self::Invalid => &mut figures.token_refusals_invalid,
            Self::Expired => &mut figures.token_refusals_expired,
            Self::Revoked => &mut figures.token_refusals_revoked,
        }
    }

    /// The answer.
    pub(in crate::relay) fn refusal(self) -> Refusal {
        let concern = Some(Concern::Token(self));
        let (text, challenge) = match self {
            Self::Revoked => return Refusal { concern, ..Refusal::new(403, TAKEN_BACK) },
            Self::None => (NO_TOKEN, "Bearer"),
            Self::Invalid => (UNFIT, "Bearer error=\"invalid_token\""),
            Self::Expired => {
                (EXPIRED, "Bearer error=\"invalid_token\", error_description=\"expired\"")
            }
        };
        Refusal { concern, ..Refusal::challenge(text, challenge) }
    }
}
