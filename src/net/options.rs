//! Options: the settings of the reactor, built by `config` and the command line. Decides nothing.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Most addresses to listen on.
pub const LISTENERS_MAX: usize = 64;

/// The reactor's settings.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to accept connections, [`LISTENERS_MAX`] at most; ignored if systemd hands sockets
    /// over.
    pub listen: Vec<Listen>,
    /// Most connections at once; `None`: what the limit of open files allows.
    pub connections: Option<usize>,
    /// Most passthrough notices that wait for one URL.
    pub passthrough_queue: usize,
    /// Leave when standard input ends.
    pub exit_on_stdin_eof: bool,
}

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// TCP; port 0 picks a free one.
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
}

impl Listen {
    /// The port, if only this machine can connect to it.
    #[must_use]
    pub fn loopback_port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) if address.ip().to_canonical().is_loopback() => Some(address.port()),
            _ => None,
        }
    }
}

impl fmt::Display for Listen {
    /// As in the readiness line: `http://127.0.0.1:8001`, `unix:/path`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
