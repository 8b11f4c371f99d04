//! One client connection: what it is doing, and the bytes of it that wait. Decides nothing.
//!
//! ```text
//!  ┌─────────────── answered, kept ───────────────┐
//!  ▼                                              │
//! Head ──► Body ──► Asked ──► Waiting ────────────┤
//!  │ │ │     │        └───────────────────────────┤
//!  │ │ └─────┼─── Proxied ────────────────────────┤
//!  │ └───────┴── refused ──► Lingering ─► Closing │
//!  └── ended ──────────────────────────► Closing ◄┘ answered, not kept
//! ```

mod answering;
mod reading;

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::http::BodyDecoder;
use crate::hub::SubscriptionKey;
use crate::log_targets::ACCESS;
use crate::relay::delivery::Exchange;
use crate::relay::input::Arrival;
use crate::relay::notice::Notice;
use crate::relay::options::Limits;
use crate::relay::proxy::Proxied;
use crate::relay::request::admission::Refusal;
use crate::wheel::TimerKey;

/// What a connection is doing.
#[derive(Debug)]
pub(in crate::relay) enum Phase {
    /// Between requests, or with the first part of a head, of which so many bytes are scanned.
    Head { scanned: usize },
    /// Part of a request's body is here. Boxed: rare, and a held request pays for no other phase.
    Body(Box<Upload>),
    /// The hub was asked and has not answered.
    Asked { exchange: Exchange, notice: Option<Arc<Notice>> },
    /// Held. Bytes that come now are the next request, which waits; more than a request can have
    /// end the hold.
    Waiting { exchange: Exchange, subscription: SubscriptionKey, notice: Option<Arc<Notice>> },
    /// Goes through the upstream. What comes now is the request's body, or the next request, which
    /// waits. Boxed: a held request pays for no other phase.
    Proxied(Box<Proxied>),
    /// Refused; the answer is on its way, and what still comes is dropped, because closing at once
    /// would take the answer away again (RFC 9112 9.6). Not beyond this time, milliseconds.
    Lingering { until_ms: u64 },
    /// Done; waits for the socket to be closed.
    Closing,
}

/// A request whose body is still coming.
#[derive(Debug)]
pub(in crate::relay) struct Upload {
    /// The whole head, read once more when the body is complete.
    pub(in crate::relay) head: Box<[u8]>,
    pub(in crate::relay) decoder: BodyDecoder,
    /// What it will be answered, whatever its body and new settings say.
    pub(in crate::relay) refused: Option<(Exchange, Refusal)>,
    /// Only a publisher's POST has use for its body, if it may publish.
    pub(in crate::relay) keeps_body: bool,
    pub(in crate::relay) body: Vec<u8>,
    /// The length of `body`, as it counts against what all bodies that are coming may take.
    pub(in crate::relay) share: Share,
}

/// One part of a sum that many have parts in; leaves it when dropped.
#[derive(Debug)]
pub(in crate::relay) struct Share {
    sum: Rc<Cell<usize>>,
    own: usize,
}

impl Share {
    pub(in crate::relay) fn of(sum: &Rc<Cell<usize>>) -> Self {
        Self { sum: Rc::clone(sum), own: 0 }
    }

    /// Makes this part `own`; gives the sum.
    pub(in crate::relay) fn set(&mut self, own: usize) -> usize {
        let sum = self.sum.get() - self.own + own;
        self.own = own;
        self.sum.set(sum);
        sum
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// All timers of a connection; it has one of them at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum ConnTimer {
    /// No request for `keepalive_timeout`.
    Idle,
    /// A head not complete within `header_timeout`.
    Head,
    /// No progress of a body for `body_timeout`.
    Body,
    /// No progress of an answer for `write_timeout`.
    Write,
    /// Nothing more from a refused client, which has had time to read the answer.
    Linger,
    /// Enough time for a publisher to finish its message while the daemon stops.
    Stop,
    /// No connection to the upstream for its share of `upstream_wait`: one for each address.
    Connect,
    /// No progress of the upstream for `upstream_timeout`.
    Upstream,
}

/// See the module.
#[derive(Debug)]
pub(in crate::relay) struct Client {
    pub(in crate::relay) phase: Phase,
    /// Bytes that could not be dealt with yet; `None` when there are none, so that an idle
    /// connection owns no buffer.
    pub(in crate::relay) buffer: Option<Box<Buffer>>,
    pub(in crate::relay) timer: Option<(TimerKey, ConnTimer)>,
    /// In canonical form; `None` on a Unix socket.
    pub(in crate::relay) peer: Option<IpAddr>,
    /// The port, if it came to a loopback address; else 0.
    pub(in crate::relay) loopback_port: u16,
    /// Method and path, for the access log, if there is one.
    pub(in crate::relay) access: Option<Box<str>>,
    /// The peer sends no more.
    pub(in crate::relay) ended: bool,
    /// Its socket takes no more for now: no further request is begun.
    pub(in crate::relay) stalled: bool,
    /// Reading was refused and has to be resumed.
    pub(in crate::relay) paused: bool,
    /// It is in the list of those to go on with.
    pub(in crate::relay) ready: bool,
}

const _: () = assert!(size_of::<Client>() <= 128);

/// Bytes that wait.
#[derive(Debug, Default)]
pub(in crate::relay) struct Buffer {
    pub(in crate::relay) bytes: Vec<u8>,
}

impl Client {
    pub(in crate::relay) fn new(arrival: Arrival) -> Self {
        Self {
            phase: Phase::Head { scanned: 0 },
            buffer: None,
            timer: None,
            peer: arrival.peer.map(|peer| peer.to_canonical()),
            loopback_port: arrival.loopback_port.unwrap_or(0),
            access: None,
            ended: false,
            stalled: false,
            paused: false,
            ready: false,
        }
    }

    /// Keeps `bytes` behind those that wait.
    pub(in crate::relay) fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.buffer.get_or_insert_default().bytes.extend_from_slice(bytes);
        }
    }

    /// Whether its bytes may be dealt with: no request is begun while an answer is still to be
    /// sent. What is proxied streams both ways.
    pub(in crate::relay) fn goes_on(&self) -> bool {
        !self.ready && (!self.stalled || matches!(self.phase, Phase::Proxied(_)))
    }

    /// Whether more bytes may be read from its socket. Behind a held request reading never pauses:
    /// the pause could last for ever, and would hide the client's end, which comes after the bytes
    /// that wait. Every other pause has a timer, or is over within a few turns.
    pub(in crate::relay) fn wants_read(&self, limits: &Limits) -> bool {
        match &self.phase {
            Phase::Closing => false,
            Phase::Lingering { .. } | Phase::Waiting { .. } => true,
            Phase::Proxied(proxied) if proxied.takes_bytes() => true,
            Phase::Head { .. } | Phase::Body(_) if !self.stalled && !self.ready => true,
            _ => self.kept_bytes() < limits.header_bytes,
        }
    }

    /// How many bytes may be read at once, if [`Client::wants_read`]. Bytes behind a request are
    /// kept, up to `header_bytes`; behind a held request one byte more, which ends the hold.
    pub(in crate::relay) fn reads_at_most(&self, limits: &Limits) -> usize {
        match &self.phase {
            Phase::Waiting { .. } => limits.header_bytes.saturating_sub(self.kept_bytes()) + 1,
            Phase::Asked { .. } => limits.header_bytes.saturating_sub(self.kept_bytes()).max(1),
            _ => usize::MAX,
        }
    }

    /// Whether more bytes wait behind a held request than any next request may have.
    pub(in crate::relay) fn floods(&self, limits: &Limits) -> bool {
        matches!(self.phase, Phase::Waiting { .. }) && self.kept_bytes() > limits.header_bytes
    }

    fn kept_bytes(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.bytes.len())
    }
}

/// What the access log says of bytes that cannot be read as a request: the method and the path that
/// they begin with. Of anything else nothing, since it may be a secret that came too early.
pub(in crate::relay) fn resembled_request(bytes: &[u8]) -> String {
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

/// Writes the access log's line of an answer, if there is an access log.
pub(in crate::relay) fn log_access(client: &mut Client, status: u16) {
    if let Some(request) = client.access.take() {
        let peer = shown_peer(client.peer);
        log::info!(target: ACCESS, "peer={peer} request=\"{request}\" status={status}");
    }
}
