//! What Django is told when a hold starts and ends. Only the data: `net/passthrough.rs` sends it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Which end of a hold a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The request is held now.
    Subscribe,
    /// The hold ended: delivery, 304, 409, 410, or the subscriber is gone.
    Unsubscribe,
}

/// One hold, for the subscribe and the unsubscribe notice alike.
#[derive(Debug)]
pub struct Notice {
    /// The location's `passthrough` URL.
    pub url: Arc<str>,
    /// The channel id, percent-decoded: any bytes but controls.
    pub channel_id: Box<[u8]>,
    /// The subscriber's own header lines, each `Name: value\r\n`, without hop-by-hop and body
    /// headers and without `Host`.
    pub headers: Box<[u8]>,
    /// Where the subscriber connects from; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// Whether the subscribe notice was queued; set by the sender of notices, so that an
    /// unsubscribe is sent exactly where its subscribe was.
    pub queued: AtomicBool,
}
