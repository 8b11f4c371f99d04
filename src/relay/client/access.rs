//! Access: what the access log will say of a request, if there is an access log.

use std::net::IpAddr;

use crate::http::RequestHead;
use crate::log_targets::ACCESS;
use crate::relay::site::Site;

/// A request that is not answered yet. Boxed: most daemons keep no access log.
#[derive(Debug, Default)]
pub(in crate::relay) struct Access(Option<Box<Noted>>);

#[derive(Debug)]
struct Noted {
    /// Method and path.
    request: String,
    /// Of a stream: when it began, milliseconds, and how many messages it was sent.
    began_ms: u64,
    messages: u64,
}

impl Access {
    /// Keeps what is to be said of a request. The query, which may hold a secret, is no part of it.
    pub(in crate::relay) fn note(&mut self, head: &RequestHead<'_>, site: &Site) {
        if site.access_log {
            self.keep(format!("{} {}", head.method, head.path.escape_ascii()));
        }
    }

    /// As [`Access::note`], of bytes that cannot be read as a request.
    pub(super) fn note_unread(&mut self, bytes: &[u8], site: &Site) {
        if site.access_log {
            self.keep(resembled_request(bytes));
        }
    }

    fn keep(&mut self, request: String) {
        self.0 = Some(Box::new(Noted { request, began_ms: 0, messages: 0 }));
    }

    /// Notes that the answer is a stream, which begins.
    pub(super) fn begin_stream(&mut self, now_ms: u64) {
        if let Some(noted) = &mut self.0 {
            noted.began_ms = now_ms;
        }
    }

    /// Notes messages of a stream.
    pub(super) fn count_messages(&mut self, count: u64) {
        if let Some(noted) = &mut self.0 {
            noted.messages += count;
        }
    }

    /// Logs the answer.
    pub(in crate::relay) fn log(&mut self, peer: Option<IpAddr>, status: u16) {
        if let Some(Noted { request, .. }) = self.0.take().as_deref() {
            let peer = shown_peer(peer);
            log::info!(target: ACCESS, "peer={peer} request=\"{request}\" status={status}");
        }
    }

    /// Logs a stream that has ended: how long it was, and how many messages it was sent.
    pub(super) fn log_stream(&mut self, peer: Option<IpAddr>, status: u16, now_ms: u64) {
        if let Some(Noted { request, began_ms, messages }) = self.0.take().as_deref() {
            let (peer, seconds) = (shown_peer(peer), now_ms.saturating_sub(*began_ms) / 1000);
            log::info!(
                target: ACCESS,
                "peer={peer} request=\"{request}\" status={status} seconds={seconds} \
                 messages={messages}"
            );
        }
    }
}

/// What the access log says of bytes that cannot be read as a request: the method and the path that
/// they begin with. Of anything else nothing, since it may be a secret that came too early.
fn resembled_request(bytes: &[u8]) -> String {
    let line = bytes.trim_ascii_start();
    let end = line.iter().position(|byte| b"\r\n?".contains(byte)).unwrap_or(line.len());
    let mut words = line[..end].splitn(3, |byte| *byte == b' ');
    match (words.next(), words.next()) {
        (Some(method), Some(path)) if is_method(method) && path.starts_with(b"/") => {
            let path = &path[..path.len().min(PATH_BYTES_SHOWN)];
            format!("{} {}", method.escape_ascii(), path.escape_ascii())
        }
        _ => "-".to_owned(),
    }
}

fn is_method(word: &[u8]) -> bool {
    (1..=METHOD_BYTES_SHOWN).contains(&word.len()) && word.iter().all(u8::is_ascii_alphabetic)
}

const METHOD_BYTES_SHOWN: usize = 20;
const PATH_BYTES_SHOWN: usize = 200;

/// A client's address as log lines show it.
pub(in crate::relay) fn shown_peer(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_string())
}
