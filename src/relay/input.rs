//! Input: what `net` tells the relay, of one connection or of all. Values only.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

use super::conn_key::ConnKey;
use super::exhibit::Exhibit;
use super::notice::{Reaction, Report};
use super::options::Options;
use crate::figures::Figures;
use crate::hub::options::StoreOptions;
use crate::store::{Batch, Outcome, StoreId};

/// A connection that was accepted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arrival {
    /// The address of its other end; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// The port, if it came to a loopback address: a browser of this machine may be its other end,
    /// so locations answer it under names of this machine only (`relay/request/host.rs`).
    pub loopback_port: Option<u16>,
    /// What comes plain is refused.
    pub only_secure: bool,
    /// It is TLS, as [`Input::Secured`] says.
    pub secure: bool,
}

impl Arrival {
    /// Whether it comes from one of these networks; a Unix socket is of the machine itself.
    pub(super) fn is_of(&self, networks: &[IpNet]) -> bool {
        let peer = self.peer.unwrap_or(Ipv4Addr::LOCALHOST.into());
        networks.iter().any(|network| network.contains(&peer))
    }
}

/// What happened to a connection.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Bytes came: not more than [`super::Relay::read_max`].
    Received(&'a [u8]),
    /// It is TLS. Bytes come, and are sent, when the handshake is done.
    Secured,
    /// The peer sends no more. To be said again once bytes have been read that came before the end
    /// and were not wanted yet. A publisher that is half closed still gets its answers; a
    /// subscriber that waits counts as gone, as with nginx.
    Ended,
    /// The connection is gone, by [`super::Output::Close`], [`super::Output::Abort`],
    /// [`super::Output::Reset`] or a fault of its own. Its key names nothing from here on.
    Closed,
    /// The socket did not take all that was to be sent.
    Stalled,
    /// A stalled socket took something.
    Progressed,
    /// A stalled socket took everything.
    Drained,
    /// What [`super::Output::Connect`] asked for is open.
    Connected,
    /// What [`super::Output::Connect`] asked for could not be opened, for this cause;
    /// `QuotaExceeded`: for want of descriptors of ours; `InvalidData`: TLS fails.
    /// [`Input::Closed`] follows.
    ConnectFailed(ErrorKind),
    /// [`super::Relay::spare`] gave it, and it has to make room for another connection. It is
    /// closed ([`super::Output::Close`]).
    Evicted,
    /// [`super::Relay::spare`] gave it, but its next bytes have come and wait to be read. It is not
    /// spared before they are.
    Unread,
}

/// What `net` asks of the relay as a whole.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields say what the variants' words say")]
pub enum Command<'a> {
    /// Take other settings. Requests that are held keep those of their location.
    Reload(&'a Options, Vec<StoreOptions>),
    /// What [`super::Relay::next_batch`] gave was written down, or could not be.
    Written(Batch, Outcome),
    /// The addresses of what [`super::Output::Resolve`] asked for; none: it leads nowhere.
    Resolved { store: StoreId, name: &'a str, port: u16, addresses: Vec<SocketAddr> },
    /// The figures of all layers now, which [`super::Output::Figures`] asked for.
    Figures { conn: ConnKey, exhibit: Exhibit, figures: &'a Figures },
    /// What has become of [`super::Output::Tell`].
    Told { number: u64, reaction: Reaction },
    /// What became of a notice, where [`super::State::records`] says that it is recorded.
    Noticed(&'a Report),
    /// From now on every answer is the last of its connection. [`Command::Shutdown`] follows when
    /// what has arrived so far is read.
    AnnounceShutdown,
    /// Stop: held requests end, idle connections are closed, begun messages have some time to end.
    Shutdown,
    /// Have the stores take time, for tests; what becomes of the questions to each.
    #[cfg(feature = "testing")]
    SlowDown(&'a [crate::store::Fate]),
    /// Give back the room that tables do not need any more. Looks at every slot: for when many
    /// connections or channels have gone.
    Shrink,
}
