//! What the relay asks of `net`: values only.

use std::rc::Rc;
use std::sync::Arc;

use super::conn_key::ConnKey;
use super::notice::{Event, Notice};
use super::options::UpstreamAddress;
use super::render::payload::Payload;

/// What `net` has to do.
#[derive(Debug)]
pub enum Output {
    /// Send this, behind what still waits to be sent.
    Send {
        /// To this connection.
        conn: ConnKey,
        /// These bytes.
        payload: Payload,
        /// Whether it waited in a crowd: then what it asks next may wait until all have theirs.
        /// `None`: an answer that says nothing of that.
        crowd: Option<bool>,
    },
    /// Send no more after what waits, but read on.
    ShutdownWrite {
        /// This connection.
        conn: ConnKey,
    },
    /// Close when everything is sent; then say `closed`.
    Close {
        /// This connection.
        conn: ConnKey,
    },
    /// Close at once; then say `closed`.
    Abort {
        /// This connection.
        conn: ConnKey,
    },
    /// Close at once, and so that the peer can tell it from an end; then say `closed`.
    Reset {
        /// This connection.
        conn: ConnKey,
    },
    /// Open a connection; then say `connected`, or `connect_failed` and `closed`.
    Connect {
        /// Which it will be.
        conn: ConnKey,
        /// Where to.
        to: Rc<UpstreamAddress>,
    },
    /// Reading was refused by `Relay::wants_read`; it is wanted again.
    ResumeRead {
        /// From this connection.
        conn: ConnKey,
    },
    /// Tell Django.
    Notify {
        /// Which end of the hold.
        event: Event,
        /// The hold.
        notice: Arc<Notice>,
    },
}

/// Which outputs are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Those that inputs and timers have caused.
    Answers,
    /// Those of fan-outs too, behind the answers.
    All,
}
