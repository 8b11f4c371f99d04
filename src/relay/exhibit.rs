//! Exhibit: what of the daemon's figures an answer shows. Values only.

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhibit {
    /// Whether it takes new connections.
    Readiness,
    /// All, for Prometheus; `is_open`: as OpenMetrics.
    Metrics {
        /// See above.
        is_open: bool,
    },
    /// A few, in the lines of Nchan's `nchan_stub_status`.
    Lines,
    /// All, as JSON.
    Json {
        /// With the locations.
        with_locations: bool,
    },
}
