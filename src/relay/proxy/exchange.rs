//! One request on its way through the upstream, and its answer on the way back: what of both has
//! passed. Pure, decides nothing.

use std::rc::Rc;

use super::kept::Kept;
use super::reframer::Reframer;
use crate::clock::Now;
use crate::http::{HttpError, Version};
use crate::relay::ConnKey;
use crate::relay::options::Limits;
use crate::relay::render::Persistence;

/// See the module.
///
/// ```text
/// Connecting ──► Asked ──► Answering ──► (the client's next request)
///   ▲            │ │ │         └───────► Answered ──► (closed)
///   └─ repeated ─┘ │ └───► Tunnel
///                  └─────► HandedOver ──► (a location of ours)
/// ```
#[derive(Debug)]
pub(in crate::relay) struct Proxied {
    pub(super) stage: Stage,
    /// The request's head as the upstream gets it: to send it again, or to serve it here.
    pub(super) head: Rc<[u8]>,
    /// `None` before one is dialled and between two.
    pub(super) upstream: Option<ConnKey>,
    /// What of the request's body is still to come; `None` when all of it has left.
    pub(super) upload: Option<Reframer>,
    /// The upstream's socket takes no more for now.
    pub(super) blocked: bool,
    /// The request's body, for a location of ours that the request may be handed over to.
    pub(super) body: Body,
    pub(super) awaited: Continue,
    pub(super) repeat: Repeat,
    /// Until then the upstream is dialled for this request and asked again, monotonic
    /// milliseconds.
    pub(super) wait_ends_ms: u64,
    /// Dials that failed.
    pub(super) attempts: usize,
    /// Which address came first in this round of dials.
    pub(super) first: usize,
    /// Shares of `upstream_wait` that are over.
    pub(super) waits: usize,
    pub(super) persistence: Persistence,
    pub(super) ask: Ask,
}

/// What of a request its answer depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) version: Version,
    pub(super) is_head: bool,
    /// A browser asks for a page, of an upstream on this machine.
    pub(super) is_page: bool,
    pub(super) wants_upgrade: bool,
    /// The upstream is not asked again on this connection.
    pub(super) once: bool,
}

impl Ask {
    /// How long it waits for the upstream, milliseconds.
    pub(super) fn wait_ms(self, limits: &Limits) -> u64 {
        match self.is_page {
            true => limits.upstream_wait_ms.min(PAGE_WAIT_MS),
            false => limits.upstream_wait_ms,
        }
    }
}

/// How long a browser waits for a page of an upstream on this machine before it is shown that the
/// upstream is away, milliseconds.
const PAGE_WAIT_MS: u64 = 3000;

/// How far an exchange has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// Waits for a connection to the upstream.
    Connecting,
    /// The upstream has the head of the request, and no head of an answer has come.
    Asked,
    /// The client has the head of the answer. True: its body ends with the connection.
    Answering(Reframer, bool),
    /// The client has all of the answer and gets nothing more. What is still to come of its
    /// request's body goes on to the upstream.
    Answered,
    /// The request is for this target, at a location of ours, and waits for the rest of its body.
    HandedOver(Box<[u8]>),
    /// 101: bytes pass both ways.
    Tunnel,
}

impl Proxied {
    /// Whether bytes of the client are taken now.
    pub(in crate::relay) fn takes_bytes(&self) -> bool {
        match self.stage {
            Stage::Connecting => false,
            Stage::Asked => self.upload.is_some() && !self.blocked,
            // A client that waits is not asked for its body any more. Whatever it sends now, the
            // upstream might take for its next request.
            Stage::Answering(..) | Stage::Answered => {
                self.upload.is_some() && !self.blocked && !self.awaits_continue()
            }
            Stage::HandedOver(_) => self.upload.is_some(),
            Stage::Tunnel => !self.blocked,
        }
    }

    /// Whether bytes pass both ways, and nobody knows what they mean.
    pub(in crate::relay) fn is_tunnel(&self) -> bool {
        matches!(self.stage, Stage::Tunnel)
    }

    /// The client has no head of an answer yet, so that there can be another.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.stage, Stage::Connecting | Stage::Asked | Stage::HandedOver(_))
    }

    /// Whether the client waits for `100 Continue` and has sent nothing of its body.
    pub(super) fn awaits_continue(&self) -> bool {
        self.awaited != Continue::None
    }

    /// How long one of so many addresses may take to accept a connection, milliseconds: its share
    /// of the wait, and no longer than the wait lasts.
    pub(in crate::relay) fn connect_ms(&self, limits: &Limits, addresses: usize, now: Now) -> u64 {
        let share_ms = (self.ask.wait_ms(limits) / addresses as u64).max(1);
        share_ms.min(self.wait_ends_ms.saturating_sub(now.mono_ms))
    }

    /// Appends what `input` has of the request's body, as the upstream gets it; gives how many
    /// bytes of `input` that were.
    ///
    /// # Errors
    /// As [`BodyDecoder::decode`].
    pub(super) fn pass_body(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, HttpError> {
        let Some(upload) = &mut self.upload else { return Ok(0) };
        let body = &mut self.body;
        let passed = upload.pass_with(input, out, |data| {
            if let Body::Kept(kept) = body {
                kept.add(data);
            }
        });
        if upload.is_done() {
            self.upload = None;
        }
        passed
    }
}

/// Whose `100 Continue` a client waits for before it sends its body (RFC 9110 10.1.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Continue {
    /// Nobody's, or it has begun to send.
    #[default]
    None,
    /// The upstream's, which is asked for it.
    Upstreams,
    /// Ours, sent once there is a connection: the upstream knows none.
    Ours,
}

/// What is left of a request's body when the upstream hands the request over.
#[derive(Debug)]
pub(super) enum Body {
    /// The request has no body, or one that no location takes.
    NotNeeded,
    /// No copy was kept, or it is not needed any more.
    Passed,
    /// A copy of what has passed.
    Kept(Kept),
}

impl Body {
    /// The whole body of a request that is whole; `None`: it is no longer there.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::NotNeeded => Some(b""),
            Self::Passed => None,
            Self::Kept(kept) => kept.bytes(),
        }
    }
}

/// Whether a request is sent again after the upstream has closed the connection without a byte of
/// an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The upstream may have executed it, and must not do so twice.
    Never,
    /// Once: it is idempotent (RFC 9110 9.2.2).
    Once,
    /// Until the wait for the upstream is over: it is safe (RFC 9110 9.2.1).
    Safe,
    /// As `Safe`, and it was sent in vain once already.
    SafeAgain,
}

impl Repeat {
    pub(super) fn of(method: &str, has_body: bool) -> Self {
        match method {
            _ if has_body => Self::Never,
            "GET" | "HEAD" | "OPTIONS" | "TRACE" => Self::Safe,
            "PUT" | "DELETE" => Self::Once,
            _ => Self::Never,
        }
    }
}
