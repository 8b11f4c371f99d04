//! Exhibit: what of the daemon's figures an answer shows. Values only.

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhibit {
    /// Whether it takes new connections.
    Readiness,
}
