//! Exchange: one request on its way through the upstream, and its answer on the way back: how far
//! it has come, and how it ends. Knows the connections of both sides by their keys alone.

use std::rc::Rc;

use super::answer_head::AnswerHead;
use super::context::Context;
use super::dialling::{Dialling, wait_ms};
use super::effect::{ClientEffect, UpstreamEffect};
use super::facts::{Repeat, RequestFacts};
use super::fault::{Audience, Fault};
use super::reframer::Reframer;
use super::rewrite::Ends;
use super::upload::Upload;
use crate::relay::conn_key::ConnKey;
use crate::relay::render::Persistence;
use crate::relay::render::payload::Payload;
use crate::relay::timers::ConnTimer;

/// See the module.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) client: ConnKey,
    pub(super) stage: Stage,
    /// The request's head as the upstream gets it: to send it again, or to serve it here.
    pub(super) head: Rc<[u8]>,
    /// `None` before a connection is dialled and between two.
    pub(super) link: Option<Link>,
    pub(super) upload: Upload,
    pub(super) repeat: Repeat,
    pub(super) persistence: Persistence,
    pub(super) facts: RequestFacts,
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

/// The connection to the upstream that an exchange has.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) conn: ConnKey,
    /// Its socket takes no more for now.
    pub(super) stalled: bool,
    /// It is not used for another request.
    pub(super) once: bool,
}

impl Exchange {
    /// It has this connection from now on.
    pub(super) fn link(&mut self, conn: ConnKey) {
        // Servers that know no chunks take them for the next request.
        self.link = Some(Link { conn, stalled: false, once: self.facts.is_chunked });
    }

    /// Lets go of the connection: it is closed at once, unless its other end is still to get what
    /// was sent, as that of a tunnel.
    pub(super) fn unlink(&mut self, cx: &mut Context<'_>) {
        let Some(Link { conn, stalled, .. }) = self.link.take() else { return };
        // What has left for it is all that it gets.
        let is_whole = matches!(self.stage, Stage::Answered) && self.upload.is_done();
        let gently = is_whole || self.is_tunnel();
        let effect = if gently { UpstreamEffect::Close { stalled } } else { UpstreamEffect::Abort };
        cx.upstream(conn, effect);
    }

    /// Ends without an effect for its client.
    pub(super) fn leave(&mut self, cx: &mut Context<'_>) {
        self.unlink(cx);
        self.upload.drop_copy(cx.view.uploads);
        self.stage = Stage::Over;
    }

    /// Ends with this effect.
    pub(super) fn end(&mut self, effect: ClientEffect, cx: &mut Context<'_>) {
        self.leave(cx);
        cx.client(self.client, effect);
    }

    /// Ends an answer that is not whole, so that the client can tell.
    pub(super) fn cut(&mut self, cx: &mut Context<'_>) {
        let ends_with_connection =
            matches!(self.stage, Stage::Answering { ends: Ends::WithConnection, .. });
        self.end(if ends_with_connection { ClientEffect::Reset } else { ClientEffect::Close }, cx);
    }

    /// Ends with an answer in place of the upstream.
    pub(super) fn fail(&mut self, fault: &Fault<'_>, cx: &mut Context<'_>) {
        let is_whole = self.upload.is_done();
        let persistence = if is_whole { self.persistence } else { Persistence::Close };
        let audience = Audience {
            place: cx.upstream.place(),
            is_page: self.is_page(),
            is_head: self.facts.is_head,
        };
        let (status, payload) = fault.answer(audience, persistence, cx.view.renderer);
        let effect = match is_whole {
            true => ClientEffect::Answer { persistence, status, payload },
            false => ClientEffect::Refuse { status, payload },
        };
        self.end(effect, cx);
    }

    pub(super) fn to_client(&self, bytes: Vec<u8>, cx: &mut Context<'_>) {
        if !bytes.is_empty() {
            cx.client(self.client, ClientEffect::Send(Payload::Owned(bytes)));
        }
    }

    /// The upstream's socket takes no more for now, or takes everything again.
    pub(super) fn set_stalled(&mut self, stalled: bool, cx: &mut Context<'_>) {
        if let Some(link) = &mut self.link {
            link.stalled = stalled;
        }
        self.arm(cx);
    }

    /// Sets the timer that watches over the side whose turn it is.
    pub(super) fn arm(&self, cx: &mut Context<'_>) {
        let limits = &cx.view.site.limits;
        let body = (ConnTimer::Body, limits.body_timeout_ms);
        let upstream = (ConnTimer::Upstream, limits.upstream_timeout_ms);
        let (timer, in_ms) = match &self.stage {
            Stage::Over => return,
            Stage::Connecting(dialling) => {
                (ConnTimer::Connect, dialling.share_ms(self.wait_ms(cx), cx))
            }
            // May be silent for hours; a client that vanishes without a word is found by TCP's
            // keep-alive.
            Stage::Tunnel if !self.is_stalled() => {
                return cx.client(self.client, ClientEffect::Disarm);
            }
            // The upstream says whether it wants the body.
            Stage::Asked(_) if self.upload.awaits_continue() => upstream,
            Stage::Asked(_) | Stage::Answered | Stage::HandedOver(_) if self.takes_bytes() => body,
            Stage::Asked(_)
            | Stage::Answering { .. }
            | Stage::Answered
            | Stage::HandedOver(_)
            | Stage::Tunnel => upstream,
        };
        cx.client(self.client, ClientEffect::Arm(timer, in_ms));
    }

    /// Its connection leads to where the settings no longer do.
    pub(super) fn retire(&mut self) {
        if let Some(link) = &mut self.link {
            link.once = true;
        }
    }

    /// Whether it is to be forgotten.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Whether bytes pass both ways, and nobody knows what they mean.
    pub(super) fn is_tunnel(&self) -> bool {
        matches!(self.stage, Stage::Tunnel)
    }

    /// Whether it has no connection yet, so that one may be dialled for it.
    pub(super) fn awaits_dial(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_)) && self.link.is_none()
    }

    /// Whether bytes of the client are taken now.
    pub(super) fn takes_bytes(&self) -> bool {
        match self.stage {
            Stage::Connecting(_) | Stage::Over => false,
            Stage::Asked(_) => !self.upload.is_done() && !self.is_stalled(),
            // A client that waits is not asked for its body any more. Whatever it sends now, the
            // upstream might take for its next request.
            Stage::Answering { .. } | Stage::Answered => {
                !self.upload.is_done() && !self.is_stalled() && !self.upload.awaits_continue()
            }
            Stage::HandedOver(_) => !self.upload.is_done(),
            Stage::Tunnel => !self.is_stalled(),
        }
    }

    fn is_stalled(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.stalled)
    }

    /// The client has no head of an answer yet, so that there can be another.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_) | Stage::Asked(_) | Stage::HandedOver(_))
    }

    /// Whether a browser asks for a page, of an upstream on this machine.
    pub(super) fn is_page(&self) -> bool {
        self.facts.is_page(&self.head)
    }

    /// How long it waits for the upstream, milliseconds.
    pub(super) fn wait_ms(&self, cx: &Context<'_>) -> u64 {
        wait_ms(&cx.view.site.limits, self.is_page())
    }
}
