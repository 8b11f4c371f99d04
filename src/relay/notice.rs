//! What Django is told when a hold starts and ends. Only the data: `net/passthrough.rs` sends it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::options::{Role, SubscriberOptions};
use crate::http::RequestHead;

/// Which end of a hold a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The request is held now.
    Subscribe,
    /// The hold ended: delivery, 304, 409, 410, or the subscriber is gone.
    Unsubscribe,
}

/// One hold, for the subscribe and the unsubscribe notice alike.
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
}

impl fmt::Debug for Notice {
    /// Without the headers, which hold cookies and the location's secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel_id = self.channel_id.escape_ascii().to_string();
        f.debug_struct("Notice").field("channel_id", &channel_id).finish_non_exhaustive()
    }
}

/// Fields that only the daemon sends to Django: what clients send under these names is left out.
pub(super) const SECRET: &str = "X-Pushserver-Secret";
pub(super) const PEER: &str = "X-Pushserver-Peer";

/// The subscriber's own header lines, for Django: all but those that belong to this connection
/// (RFC 9110 7.6.1), to a body, or to the address asked. Then the location's secret, which Django
/// can rely on because a subscriber's own is left out.
pub(super) fn passed_headers(head: &RequestHead<'_>, role: &Role) -> Box<[u8]> {
    const OMITTED: [&str; 17] = [
        SECRET,
        PEER,
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Expect",
        "Host",
        "Content-Length",
        "Content-Type",
        "Content-Encoding",
        "X-Forwarded-For",
    ];
    let named = |name: &str| {
        head.header_all("Connection").any(|value| {
            value
                .split(|byte| *byte == b',')
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
        })
    };
    let mut lines = Vec::new();
    for header in head.headers {
        let name = header.name;
        if OMITTED.iter().any(|omitted| name.eq_ignore_ascii_case(omitted)) || named(name) {
            continue;
        }
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(header.value.trim_ascii());
        lines.extend_from_slice(b"\r\n");
    }
    if let Role::Subscriber(SubscriberOptions { passthrough_secret: Some(secret), .. }) = role {
        lines.extend_from_slice(format!("{SECRET}: {}\r\n", secret.reveal()).as_bytes());
    }
    lines.into()
}
