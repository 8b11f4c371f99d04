//! Options: the settings of the reactor, built by `config` and the command line. Decides nothing.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use super::tls::{Certificate, Fault, Trust};
use crate::store::StoreId;

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
    /// TLS at every address; `None`: at none.
    pub tls: Option<TlsOptions>,
    /// The stores that are connected to by TLS, and whom that trusts.
    pub trusts: HashMap<StoreId, Trust>,
    /// Leave when standard input ends.
    pub exit_on_stdin_eof: bool,
    /// The stores that have a file, each another one.
    pub persist: Vec<PersistOptions>,
}

/// TLS.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// What clients are shown.
    pub certificate: Certificate,
    /// Whether requests without TLS are served; `None`: where only this machine can connect to.
    pub plain_http: Option<bool>,
}

impl TlsOptions {
    /// Whether requests without TLS are served that come to `local`.
    #[must_use]
    pub fn serves_plain(&self, local: &Listen) -> bool {
        let is_local = match local {
            Listen::Tcp(_) => local.loopback_port().is_some(),
            Listen::Unix(_) => true,
        };
        self.plain_http.unwrap_or(is_local)
    }
}

/// The file of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersistOptions {
    /// Whose file it is.
    pub store: StoreId,
    /// The store's name in the settings.
    pub name: String,
    /// Where it is; it need not be there yet.
    pub path: PathBuf,
    /// When its messages are safe.
    pub sync: PersistSync,
}

/// When a message is safe in a store's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PersistSync {
    /// From the end of the process when it is answered, from a loss of power a second later.
    Second,
    /// From both when it is answered.
    Always,
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
