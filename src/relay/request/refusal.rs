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
    /// What it is due to.
    pub(in crate::relay) concern: Concern,
    /// What the operator alone is told of it.
    pub(in crate::relay) detail: Option<Box<str>>,
}

/// What a refusal is due to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Concern {
    /// What was asked for, as the text says.
    Request,
    /// The location's `allow_origin`.
    Origin,
    /// `hosts`.
    Host,
    /// No location serves the path.
    NoLocation,
    /// The location's `allow`.
    Allow,
    /// The location's `secret`.
    Secret,
    /// The location has no `secret`.
    NoSecret,
    Token(Fault),
    Method,
    ChannelId,
    Cursor,
    /// The location's `transports`.
    Transport,
}

impl Refusal {
    pub(in crate::relay) const fn new(status: u16, text: &'static str) -> Self {
        Self { status, lines: Vec::new(), text, concern: Concern::Request, detail: None }
    }

    /// As it is, due to this.
    pub(in crate::relay) fn due_to(self, concern: Concern) -> Self {
        Self { concern, ..self }
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
    /// It opens nothing here. The client is told so in one way.
    Invalid(Unfit),
    /// Its time was up so many seconds ago.
    Expired(u64),
    /// The access of its user was taken back.
    Revoked,
}

/// Why a token opens nothing here, as only the operator is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Unfit {
    /// It cannot be read, or nobody here has signed it.
    Unsigned,
    /// It is for other channels.
    Channel,
    /// It is for another channel group or store.
    Realm,
    /// It is to subscribe where it is to publish, or the other way round.
    Action,
    /// It is good for too long, or another one is of another user.
    Other,
}

impl Fault {
    /// The figure that counts it.
    pub(in crate::relay) fn figure(self, figures: &mut RelayFigures) -> &mut u64 {
        match self {
            Self::None => &mut figures.token_refusals_none,
            Self::Invalid(_) => &mut figures.token_refusals_invalid,
            Self::Expired(_) => &mut figures.token_refusals_expired,
            Self::Revoked => &mut figures.token_refusals_revoked,
        }
    }

    /// The answer.
    pub(in crate::relay) fn refusal(self) -> Refusal {
        let concern = Concern::Token(self);
        let (text, challenge) = match self {
            Self::Revoked => return Refusal { concern, ..Refusal::new(403, TAKEN_BACK) },
            Self::None => (NO_TOKEN, "Bearer"),
            Self::Invalid(_) => (UNFIT, "Bearer error=\"invalid_token\""),
            Self::Expired(_) => {
                (EXPIRED, "Bearer error=\"invalid_token\", error_description=\"expired\"")
            }
        };
        Refusal { concern, ..Refusal::challenge(text, challenge) }
    }
}
