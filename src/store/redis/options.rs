//! Options of a redis store. Nothing here is checked again.

use std::fmt;
use std::path::PathBuf;

use crate::secret::Secret;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The name of the store, for log lines.
    pub name: String,
    /// Where the node is, or who knows it.
    pub server: Server,
    /// What it is told about who connects.
    pub credentials: Credentials,
    /// Number of the database.
    pub database: u32,
    /// What all keys and channels of Redis begin with; without `{`, which would begin a hash tag.
    pub key_prefix: Box<[u8]>,
    /// How much is kept of a channel, and for how long.
    pub limits: Limits,
    /// An unanswered command means that Redis is away, milliseconds; at most 10 000.
    pub timeout_ms: u64,
    /// Budget of all mirrors, bytes.
    pub cache_bytes: usize,
}

/// Where the node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// At this address.
    Node(Address),
    /// Where a sentinel says.
    Sentinel(Sentinels),
}

/// Who knows the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentinels {
    /// The name of the master, as the sentinels call it.
    pub master: String,
    /// The sentinels; at least one.
    pub nodes: Vec<Address>,
    /// What they are told about who connects.
    pub credentials: Credentials,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A name or an IP address, and a port.
    Tcp(String, u16),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A user and its password; without the password none is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// `None`: the default user.
    pub username: Option<String>,
    /// Shown nowhere.
    pub password: Option<Secret>,
}

impl Credentials {
    /// The words behind AUTH: user and password.
    #[must_use]
    pub fn words(&self) -> Option<[&[u8]; 2]> {
        let user = self.username.as_deref().unwrap_or("default");
        let password = self.password.as_ref()?;
        Some([user.as_bytes(), password.reveal().as_bytes()])
    }
}

/// How much is kept of a channel, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages that stay when their time is up.
    pub min_messages: u64,
    /// Messages at most; 0: no limit.
    pub max_messages: u64,
    /// How long a message is kept, seconds; 0: for ever.
    pub message_timeout_s: u64,
    /// How long a channel lives with no message and no held request, seconds.
    pub channel_timeout_s: u64,
}

/// The longest time there is, seconds: a hundred years. Longer ones are as good as this.
const TIMEOUT_MAX_S: u64 = 100 * 365 * 86_400;

impl Limits {
    /// From the settings, times in milliseconds. They are rounded up to whole seconds.
    #[must_use]
    pub fn new(messages: (u64, u64), message_timeout_ms: u64, channel_timeout_ms: u64) -> Self {
        let (min_messages, max_messages) = messages;
        let seconds = |ms: u64| ms.div_ceil(1000).min(TIMEOUT_MAX_S);
        Self {
            min_messages,
            max_messages,
            message_timeout_s: seconds(message_timeout_ms),
            channel_timeout_s: seconds(channel_timeout_ms),
        }
    }

    /// Whether a channel with messages never expires; the operator is told so.
    #[must_use]
    pub fn is_forever(self) -> bool {
        self.message_timeout_s == 0 || self.min_messages > 0
    }
}
