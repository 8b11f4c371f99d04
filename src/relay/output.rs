//! What the relay asks of `net`: values only.

use std::rc::Rc;
use std::sync::Arc;

use super::conn_key::ConnKey;
use super::exhibit::Exhibit;
use super::notice::{Event, Notice, Telling};
use super::options::UpstreamAddress;
use super::render::payload::Payload;
use crate::store::StoreId;

/// What `net` has to do, most of it with the connection `conn`.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields say what the variants' words say")]
pub enum Output {
    /// Send this, behind what still waits to be sent. `many_waited`: whether many others waited for
    /// the same, so that its next request may wait until all have theirs; `None`: as before.
    Send { conn: ConnKey, payload: Payload, many_waited: Option<bool> },
    /// Send no more after what waits, but read on.
    ShutdownWrite { conn: ConnKey },
    /// Close when everything is sent; then say `closed`.
    Close { conn: ConnKey },
    /// Close at once; then say `closed`.
    Abort { conn: ConnKey },
    /// Close at once, and so that the peer can tell it from an end; then say `closed`.
    Reset { conn: ConnKey },
    /// Open this connection; then say `connected`, or `connect_failed` and `closed`. `of`: the
    /// store that wants it, and the host that this is an address of.
    Connect { conn: ConnKey, to: Rc<UpstreamAddress>, of: Option<(StoreId, Rc<str>)> },
    /// Look up the addresses of a name, and answer with [`super::Command::Resolved`].
    Resolve { store: StoreId, name: Rc<str>, port: u16 },
    /// Reading was refused by [`super::Relay::read_max`]; it is wanted again.
    ResumeRead { conn: ConnKey },
    /// Bring together the figures of all layers, and answer within the turn with
    /// [`super::Command::Figures`].
    Figures { conn: ConnKey, exhibit: Exhibit },
    /// Tell Django this, and answer with [`super::Command::Told`].
    Tell { number: u64, telling: Box<Telling> },
    /// Tell Django of this end of a hold.
    Notify { event: Event, notice: Arc<Notice> },
}

/// More than a socket takes at once, bytes, where its peer reads slowly.
const LONG_BYTES: usize = 16 << 10;

impl Output {
    /// Whether it sends so much that its peer may not take all of it.
    pub(super) fn is_long(&self) -> bool {
        matches!(self, Self::Send { payload, .. } if payload.len() > LONG_BYTES)
    }
}

/// Which outputs are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Those that inputs and timers have caused.
    Answers,
    /// Those of fan-outs too, behind the answers.
    All,
}
