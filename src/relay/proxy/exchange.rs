//! Exchange: one request on its way through the upstream, and its answer on the way back: how far
//! it has come, and how it ends. Knows the connections of both sides by their keys alone.

use std::rc::Rc;

use super::effect::{Context, Effect};
use super::fault::Fault;
use super::reframer::Reframer;
use super::rewrite::Ends;
use super::upload::Upload;
use super::upstream::Dialling;
use crate::http::Version;
use crate::relay::conn_key::ConnKey;
use crate::relay::render::payload::Payload;
use crate::relay::render::{Persistence, Reply};
use crate::relay::timers::ConnTimer;

/// See the module.
#[derive(Debug)]
pub(in crate::relay) struct Exchange {
    pub(in crate::relay) client: ConnKey,
    pub(super) stage: Stage,
    /// The request's head as the upstream gets it: to send it again, or to serve it here.
    pub(super) head: Rc<[u8]>,
    /// Its connection to the upstream; `None` before one is dialled and between two.
    pub(super) link: Option<ConnKey>,
    /// The socket of that takes no more for now.
    pub(super) stalled: bool,
    /// That is not used for another request.
    pub(super) once: bool,
    pub(super) upload: Upload,
    pub(super) repeat: Repeat,
    /// Until then the upstream is dialled for this request and asked again, monotonic milliseconds.
    pub(super) wait_ends_ms: u64,
    pub(super) persistence: Persistence,
    /// What its client speaks.
    pub(super) version: Version,
    pub(super) is_head: bool,
    /// A browser asks for a page, of an upstream on this machine.
    pub(super) is_page: bool,
    pub(super) wants_upgrade: bool,
    /// Its client sends nothing behind it.
    pub(super) is_last: bool,
}

/// How far an exchange has come.
///
/// ```text
/// Connecting ──► Asked ──► Answering ──► Over (the client's next request)
///   ▲            │ │ │         └───────► Answered ──► Over (closed)
///   └─ repeated ─┘ │ └───► Tunnel ─────► Over (closed)
///                  └─────► HandedOver ─► Over (a location of ours)
/// ```
///
/// From every stage a fault, or the client's end, leads to `Over`.
#[derive(Debug)]
pub(super) enum Stage {
    /// Waits for a connection to the upstream.
    Connecting(Dialling),
    /// The upstream has the head of the request, and no head of an answer has come.
    Asked(AnswerHead),
    /// The client has the head of the answer, whose body ends for it as `ends` says.
    Answering { body: Reframer, ends: Ends },
    /// The client has all of the answer and gets nothing more. What is still to come of its
    /// request's body goes on to the upstream.
    Answered,
    /// The request is for this target, at a location of ours, and waits for the rest of its body.
    HandedOver(Box<[u8]>),
    /// 101: bytes pass both ways.
    Tunnel,
    /// It has no connection any more, and the last effect for its client is there.
    Over,
}

/// What has come of an answer whose head is not whole.
#[derive(Debug, Default)]
pub(super) struct AnswerHead {
    /// Not dealt with. So many bytes of them are scanned for the end of the head.
    pub(super) bytes: Vec<u8>,
    pub(super) scanned: usize,
    /// Bytes of an answer have come.
    pub(super) has_begun: bool,
}

impl Exchange {
    /// It has this connection from now on.
    pub(super) fn link(&mut self, conn: ConnKey) {
        self.link = Some(conn);
        self.stalled = false;
    }

    /// Lets go of the connection: it is closed at once, unless its other end is still to get what
    /// was sent, as that of a tunnel.
    pub(super) fn unlink(&mut self, cx: &mut Context<'_, '_>) {
        let Some(conn) = self.link.take() else { return };
        // What has left for it is all that it gets.
        let is_whole = matches!(self.stage, Stage::Answered) && self.upload.is_done();
        let gently = is_whole || self.is_tunnel();
        if gently { cx.view.close(conn, self.stalled) } else { cx.view.abort(conn) }
    }

    /// Ends without an effect for its client.
    pub(super) fn leave(&mut self, cx: &mut Context<'_, '_>) {
        self.unlink(cx);
        self.upload.copy.take(&mut cx.view.effects.uploads);
        self.stage = Stage::Over;
    }

    /// Ends with this effect.
    pub(super) fn end(&mut self, effect: Effect, cx: &mut Context<'_, '_>) {
        self.leave(cx);
        cx.client(self.client, effect);
    }

    /// Ends an answer that is not whole, so that the client can tell.
    pub(super) fn cut(&mut self, cx: &mut Context<'_, '_>) {
        let ends_with_connection =
            matches!(self.stage, Stage::Answering { ends: Ends::WithConnection, .. });
        self.end(if ends_with_connection { Effect::Reset } else { Effect::Close }, cx);
    }

    /// Ends with an answer in place of the upstream's, or cuts that off, and logs why.
    pub(super) fn fail(&mut self, fault: &Fault<'_>, cx: &mut Context<'_, '_>) {
        let wait_ms = cx.view.site.limits.upstream_wait_ms;
        cx.upstream.warn(fault, self.is_page, wait_ms, cx.view.now);
        if !self.is_unanswered() {
            return self.cut(cx);
        }
        let persistence = self.upload.is_done().then_some(self.persistence);
        let reply = Reply::bare(persistence.unwrap_or(Persistence::Close), self.is_head);
        let place = cx.upstream.place.as_deref();
        let (status, payload) = fault.answer(place, self.is_page, &reply, cx.view.renderer);
        self.end(Effect::Answer { persistence, status, payload }, cx);
    }

    pub(super) fn to_client(&self, bytes: Vec<u8>, cx: &mut Context<'_, '_>) {
        if !bytes.is_empty() {
            cx.view.effects.send(self.client, Payload::Owned(bytes));
        }
    }

    /// Sets the timer that watches over the side whose turn it is.
    pub(super) fn arm(&self, cx: &mut Context<'_, '_>) {
        let limits = &cx.view.site.limits;
        let body = (ConnTimer::Body, limits.body_timeout_ms);
        let upstream = (ConnTimer::Upstream, limits.upstream_timeout_ms);
        let (timer, in_ms) = match &self.stage {
            Stage::Over => return,
            Stage::Connecting(_) => {
                let left_ms = self.wait_ends_ms.saturating_sub(cx.now_ms());
                (ConnTimer::Connect, cx.upstream.share_ms(self.wait_ms(cx)).min(left_ms))
            }
            // May be silent for hours; a client that vanishes without a word is found by TCP's
            // keep-alive.
            Stage::Tunnel if !self.stalled => return cx.client(self.client, Effect::Disarm),
            // The upstream says whether it wants the body.
            Stage::Asked(_) if self.upload.awaits_continue() => upstream,
            Stage::Asked(_) | Stage::Answered | Stage::HandedOver(_) if self.takes_bytes() => body,
            _ => upstream,
        };
        cx.client(self.client, Effect::Arm(timer, in_ms));
    }

    /// Whether bytes pass both ways, and nobody knows what they mean.
    pub(in crate::relay) fn is_tunnel(&self) -> bool {
        matches!(self.stage, Stage::Tunnel)
    }

    /// Whether bytes of the client are taken now.
    pub(in crate::relay) fn takes_bytes(&self) -> bool {
        match self.stage {
            Stage::Connecting(_) | Stage::Over => false,
            Stage::Asked(_) => !self.upload.is_done() && !self.stalled,
            // A client that waits is not asked for its body any more. Whatever it sends now, the
            // upstream might take for its next request.
            Stage::Answering { .. } | Stage::Answered => {
                !self.upload.is_done() && !self.stalled && !self.upload.awaits_continue()
            }
            Stage::HandedOver(_) => !self.upload.is_done(),
            Stage::Tunnel => !self.stalled,
        }
    }

    /// The client has no head of an answer yet, so that there can be another.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_) | Stage::Asked(_) | Stage::HandedOver(_))
    }

    /// How long it waits for the upstream, milliseconds.
    pub(super) fn wait_ms(&self, cx: &Context<'_, '_>) -> u64 {
        let wait_ms = cx.view.site.limits.upstream_wait_ms;
        if self.is_page { wait_ms.min(PAGE_WAIT_MS) } else { wait_ms }
    }
}

/// How long a browser waits for a page of an upstream on this machine before it is shown that the
/// upstream is away, milliseconds.
const PAGE_WAIT_MS: u64 = 3000;

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
