//! State: how things stand in the relay, at a look. Changes nothing.

use std::fmt;

use super::figures::RelayFigures;
use crate::hub::Hub;

/// The entry of a connection here and in `net`, and its timer, bytes.
const CONNECTION_BYTES: usize = 200;

/// See the module. As text: the figures of the relay and its hub, `key=value`, with spaces between.
#[derive(Debug)]
pub struct State<'r> {
    /// When [`super::Relay::handle_timeout`] has something to do, monotonic milliseconds.
    pub due_ms: Option<u64>,
    /// Whether [`super::Relay::poll_output`] has more.
    pub has_output: bool,
    /// How many connections there are, with those that are to be opened.
    pub connections: usize,
    /// Timers that are set, with those of the hub.
    pub timers: usize,
    /// The domain, to look at.
    pub hub: &'r Hub,
    pub(super) figures: &'r RelayFigures,
    pub(super) upstreams: usize,
    pub(super) upload_bytes: usize,
}

impl State<'_> {
    /// About how much memory all this needs, bytes, without what is on its way to or from a
    /// socket.
    #[must_use]
    pub fn weight(&self) -> usize {
        let hub = usize::try_from(self.hub.figures().weight()).unwrap_or(usize::MAX);
        hub.saturating_add(self.connections * CONNECTION_BYTES)
    }
}

impl fmt::Display for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { upstreams, upload_bytes, timers, hub, figures, .. } = self;
        let uploads = figures.uploads;
        write!(f, "upstreams={upstreams} uploads={uploads} upload_bytes={upload_bytes} ")?;
        write!(f, "timers={timers} {} {figures}", hub.figures())
    }
}
