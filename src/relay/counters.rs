//! What happened since the start and what there is now, in numbers, for the operator and for
//! tests. Decides nothing.

use std::fmt;

use super::Relay;
use super::client::Phase;
use super::conn::Conn;

/// The numbers of a relay and its hub: `key=value`, with spaces between.
#[derive(Debug)]
pub struct Counted<'r>(&'r Relay);

impl Relay {
    /// To be written to the log. Looks at every connection.
    #[must_use]
    pub fn counted(&self) -> Counted<'_> {
        Counted(self)
    }

    /// About how much memory all this needs, bytes, without what is on its way to or from a
    /// socket. Costs nothing to ask.
    #[must_use]
    pub fn weight(&self) -> usize {
        let hub = usize::try_from(self.hub.figures().weight()).unwrap_or(usize::MAX);
        hub.saturating_add(self.conns.len() * CONNECTION_BYTES)
    }

    /// Gives back the room that tables do not need any more. Looks at every slot: for when a crowd
    /// has left, or many channels have expired.
    pub fn shrink(&mut self) {
        self.conns.shrink();
        self.effects.shrink();
        self.hub.shrink();
    }
}

/// The entry of a connection here and in `net`, and its timer.
const CONNECTION_BYTES: usize = 200;

impl fmt::Display for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(relay) = self;
        let (mut upstreams, mut uploads) = (0, 0);
        for conn in relay.conns.iter() {
            match conn {
                Conn::Upstream(_) => upstreams += 1,
                Conn::Client(client) => {
                    uploads += usize::from(matches!(client.phase, Phase::Body(_)));
                }
            }
        }
        let (timers, upload_bytes) = (relay.timers(), relay.effects.uploading.get());
        write!(f, "upstreams={upstreams} uploads={uploads} upload_bytes={upload_bytes} ")?;
        write!(f, "timers={timers} {}", relay.hub.figures())?;
        write!(f, " {}", relay.effects.counters)
    }
}
