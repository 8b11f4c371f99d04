//! Reason: why a connection to Redis was given up, in the words that its operator reads.

use std::fmt;

use super::answers::Refusal;
use super::resp::Breach;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It cannot be dialled.
    Unreachable(Box<str>),
    /// It has ended.
    Closed(Box<str>),
    /// This was not answered in time.
    Silent(&'static str),
    /// What came is not what Redis speaks.
    Rubbish(Breach),
    /// An answer that nothing was asked for, or of another kind than was asked.
    Unexpected(&'static str),
    /// The node refuses all.
    Refused(Refusal),
    /// User and password are refused, or a right is missing: what Redis said.
    Rights(Box<str>),
    /// The server, or a proxy before it, does not know HELLO 3: what it said.
    NoResp3(Box<str>),
    /// This command of the greeting was refused.
    Greeting(&'static str, Box<str>),
    /// The node is no master.
    NoMaster,
    /// The sentinel does not know the master.
    UnknownMaster,
    /// Other settings.
    Reloaded,
}

impl Reason {
    /// Of an error to a command of the greeting.
    #[must_use]
    pub(super) fn of(command: &'static str, error: &[u8]) -> Self {
        let words = || {
            let words = String::from_utf8_lossy(&error[..error.len().min(200)]);
            let plain = |char: char| if char.is_control() { ' ' } else { char };
            words.chars().map(plain).collect()
        };
        match Refusal::of(error) {
            Refusal::NoPermission => Self::Rights(words()),
            refusal if refusal.is_of_the_node() => Self::Refused(refusal),
            // Of what a server without RESP3 says there is no list; this one has no room.
            _ if command == "HELLO" && !error.starts_with(b"ERR max number of clients") => {
                Self::NoResp3(words())
            }
            _ => Self::Greeting(command, words()),
        }
    }

    /// Whether only an operator can help.
    #[must_use]
    pub fn is_of_rights(&self) -> bool {
        matches!(self, Self::Rights(_) | Self::NoResp3(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(cause) => write!(f, "cannot connect: {cause}"),
            Self::Closed(cause) => write!(f, "the connection has ended: {cause}"),
            Self::Silent(what) => write!(f, "no answer in time ({what})"),
            Self::Rubbish(breach) => write!(f, "{breach}"),
            Self::Unexpected(what) => write!(f, "an answer that was not expected ({what})"),
            Self::Refused(refusal) => write!(f, "{refusal}"),
            Self::Rights(words) => write!(f, "refused, check username and password: {words}"),
            Self::NoResp3(words) => {
                write!(f, "HELLO 3 is refused, Redis 6.2 or newer is needed, and no proxy: {words}")
            }
            Self::Greeting(command, words) => write!(f, "{command} is refused: {words}"),
            Self::NoMaster => f.write_str("the node is no master"),
            Self::UnknownMaster => f.write_str("the sentinel does not know this master"),
            Self::Reloaded => f.write_str("other settings"),
        }
    }
}
