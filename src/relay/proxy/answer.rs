//! The answer's way: from the upstream to the client: its head, its body, a tunnel behind `101`;
//! and what becomes of both connections behind it.

use super::context::Context;
use super::effect::{ClientEffect, UpstreamEffect};
use super::exchange::{Exchange, Stage};
use super::fault::{CLOSED, Fault};
use super::handover::publishes;
use super::reframer::Reframer;
use super::request::{refuse_without_body, repeat, serve};
use super::rewrite::{self, Ends, Missing};
use super::upload::Continue;
use crate::http::{
    BodyDecoder, Framing, HeaderSlots, HttpError, ResponseFraming, ResponseHead, Version,
    mend_response, parse_response,
};
use crate::relay::render::Persistence;

/// Bytes came from the upstream.
pub(super) fn receive(exchange: &mut Exchange, bytes: &[u8], cx: &mut Context<'_>) {
    let joined = match &mut exchange.stage {
        Stage::Asked(head) => head.join(bytes),
        _ => None,
    };
    let used = pass_down(exchange, joined.as_deref().unwrap_or(bytes), cx);
    if let Stage::Asked(head) = &mut exchange.stage {
        head.keep(joined, bytes, used);
    }
}

/// Passes the upstream's bytes on to the client; gives how many are dealt with, fewer than all only
/// where a head is not complete.
fn pass_down(exchange: &mut Exchange, input: &[u8], cx: &mut Context<'_>) -> usize {
    let mut used = 0;
    // A head and the body behind it leave together.
    let mut out = Vec::new();
    while let Stage::Asked(_) = exchange.stage {
        match pass_head(exchange, &input[used..], &mut out, cx) {
            Ok(Some(len)) => used += len,
            Ok(None) => {
                exchange.arm(cx);
                return used;
            }
            Err(error) => misanswered(exchange, &error.message, cx),
        }
    }
    let rest = &input[used..];
    match &mut exchange.stage {
        // Nothing was asked yet.
        Stage::Connecting(_) => misanswered(exchange, "it answers before it is asked", cx),
        Stage::Answering { body, .. } => {
            out.reserve(rest.len() + 16);
            let (passed, is_done) = (body.pass(rest, &mut out), body.is_done());
            exchange.to_client(out, cx);
            match passed {
                Ok(len) if is_done => finish(exchange, len == rest.len(), cx),
                Ok(_) => exchange.arm(cx),
                Err(error) => {
                    cx.upstream.warn_of_fault(&error.message, cx.view.now);
                    exchange.cut(cx);
                }
            }
        }
        Stage::Tunnel => {
            out.extend_from_slice(rest);
            exchange.to_client(out, cx);
            exchange.arm(cx);
        }
        // Whatever it says behind its answer.
        Stage::Asked(_) | Stage::Answered | Stage::HandedOver(_) | Stage::Over => {}
    }
    input.len()
}

/// Answers 502.
fn misanswered(exchange: &mut Exchange, cause: &str, cx: &mut Context<'_>) {
    cx.upstream.warn_of_fault(cause, cx.view.now);
    exchange.fail(&Fault::Unreadable(cause), cx);
}

/// Reads the head of an answer and writes it to `out` as the client gets it; gives how many bytes
/// it had, `None`: more are needed.
fn pass_head(
    exchange: &mut Exchange,
    input: &[u8],
    out: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Result<Option<usize>, HttpError> {
    let Stage::Asked(head) = &mut exchange.stage else { return Ok(None) };
    let Some(len) = head.scan(input, &cx.view.site.limits)? else { return Ok(None) };
    let facts = exchange.facts;
    let (mut slots, mut slots_of_mended) = (HeaderSlots::new(), HeaderSlots::new());
    let mended;
    let head = match parse_response(&input[..len], &mut slots, facts.is_head) {
        Ok(head) => head,
        Err(error) => {
            mended = mend_response(&input[..len]).ok_or(error)?;
            parse_response(&mended, &mut slots_of_mended, facts.is_head)?
        }
    };
    match head.status {
        101 if facts.wants_upgrade && rewrite::tunnel(head.upgrade).is_some() => {
            open_tunnel(exchange, &head, out, cx);
        }
        101 => {
            return Err(HttpError::new(502, "it changes to a protocol that nobody asked for"));
        }
        100 => {
            // Anybody else has not asked for it, or does not wait for it any more.
            if exchange.upload.take_awaited() != Continue::None {
                cx.client(exchange.client, ClientEffect::Continue);
                exchange.arm(cx);
            }
        }
        102..=199 => {
            if facts.version == Version::Http11 {
                let mut interim = Vec::with_capacity(len);
                rewrite::write_answer(&mut interim, &head, Ends::NoBody, [b"", b""]);
                exchange.to_client(interim, cx);
            }
        }
        _ if hand_over(exchange, &head, input.len() == len, cx) => {}
        _ => {
            out.reserve(input.len() + 256);
            begin_answer(exchange, &head, out, cx);
        }
    }
    Ok(Some(len))
}

/// Writes the head of a final answer.
fn begin_answer(
    exchange: &mut Exchange,
    head: &ResponseHead<'_>,
    out: &mut Vec<u8>,
    cx: &mut Context<'_>,
) {
    cx.client(exchange.client, ClientEffect::Answered(head.status));
    cx.upstream.answered(head.version == Version::Http10);
    let ends = rewrite::ends(head, exchange.facts.version);
    if ends == Ends::WithConnection || !exchange.upload.is_done() || cx.view.stopping {
        exchange.persistence = Persistence::Close;
    }
    if let Some(link) = &mut exchange.link {
        link.once |= !head.keep_alive;
    }
    exchange.upload.drop_copy(cx.view.uploads);
    let body = Reframer::answer(BodyDecoder::for_response(head.framing), ends);
    exchange.stage = Stage::Answering { body, ends };
    let missing = Missing::of(head);
    let ours = cx.view.renderer.server_and_date(missing.server, missing.date);
    rewrite::write_answer(out, head, ends, [ours, exchange.persistence.line()]);
}

/// 101: from here on bytes pass both ways.
fn open_tunnel(
    exchange: &mut Exchange,
    head: &ResponseHead<'_>,
    out: &mut Vec<u8>,
    cx: &mut Context<'_>,
) {
    cx.client(exchange.client, ClientEffect::Answered(head.status));
    exchange.upload.drop_rest();
    exchange.upload.drop_copy(cx.view.uploads);
    exchange.stage = Stage::Tunnel;
    let missing = Missing::of(head);
    let ours = cx.view.renderer.server_and_date(missing.server, missing.date);
    rewrite::write_answer(out, head, Ends::NoBody, [ours, b""]);
    if cx.view.stopping {
        return exchange.end(ClientEffect::Close, cx);
    }
    // What the client has sent already.
    cx.client(exchange.client, ClientEffect::Read);
}

/// Gives the request to a location if the answer says so. False: it does not, or there is no such
/// location. `exact`: nothing came behind the head of the answer.
fn hand_over(
    exchange: &mut Exchange,
    answer: &ResponseHead<'_>,
    exact: bool,
    cx: &mut Context<'_>,
) -> bool {
    let Some(target) = answer.header("X-Accel-Redirect") else { return false };
    let Some(is_publisher) = publishes(target, &mut cx.view.site.routes) else { return false };
    if is_publisher && !exchange.upload.has_copy() {
        refuse_without_body(exchange, cx);
        return true;
    }
    exchange.stage = Stage::HandedOver(target.into());
    if exchange.upload.is_done() {
        let framing = answer.framing;
        let no_body = matches!(framing, ResponseFraming::Known(Framing::None | Framing::Length(0)));
        give_back(exchange, exact && no_body && answer.keep_alive, cx);
        serve(exchange, cx);
        return true;
    }
    // Where the next request begins is known only once all of the body has come.
    exchange.unlink(cx);
    if exchange.upload.take_awaited() != Continue::None {
        cx.client(exchange.client, ClientEffect::Continue);
    }
    exchange.arm(cx);
    cx.client(exchange.client, ClientEffect::Read);
    true
}

/// The upstream sends no more. `clean`: it said so; otherwise the connection is gone.
pub(super) fn end(exchange: &mut Exchange, clean: bool, cx: &mut Context<'_>) {
    exchange.link = None;
    match &exchange.stage {
        Stage::Connecting(_) => unanswered(exchange, false, cx),
        Stage::Asked(head) => {
            let has_begun = head.has_begun();
            unanswered(exchange, has_begun, cx);
        }
        // Nobody reads what the client still sends.
        Stage::Answered => exchange.end(ClientEffect::Linger, cx),
        Stage::HandedOver(_) | Stage::Over => {}
        Stage::Answering { body, .. } => match body.end().filter(|_| clean) {
            Some(last) => {
                exchange.to_client(last.to_vec(), cx);
                finish(exchange, false, cx);
            }
            None => {
                cx.upstream.warn_of_fault("the upstream cut its answer off", cx.view.now);
                exchange.cut(cx);
            }
        },
        Stage::Tunnel => exchange.end(ClientEffect::Close, cx),
    }
}

/// The upstream has closed the connection without an answer, or within the head of one.
fn unanswered(exchange: &mut Exchange, within_head: bool, cx: &mut Context<'_>) {
    if within_head || !repeat(exchange, cx) {
        cx.upstream.warn_of_fault(CLOSED, cx.view.now);
        exchange.fail(&Fault::Closed { within_head }, cx);
    }
}

/// Neither side has made progress for `upstream_timeout`.
pub(super) fn timed_out(exchange: &mut Exchange, cx: &mut Context<'_>) {
    if matches!(exchange.stage, Stage::Answered) {
        // The upstream reads no more of a body.
        return exchange.end(ClientEffect::Linger, cx);
    }
    cx.upstream.warn_of_silence(cx.view.now);
    if exchange.is_unanswered() {
        exchange.fail(&Fault::Silent, cx);
    } else {
        exchange.cut(cx);
    }
}

/// The answer has passed. `exact`: nothing came behind it.
fn finish(exchange: &mut Exchange, exact: bool, cx: &mut Context<'_>) {
    if !exchange.upload.is_done() {
        return pass_the_rest(exchange, cx);
    }
    give_back(exchange, exact, cx);
    exchange.end(ClientEffect::Finish(exchange.persistence), cx);
}

/// All of the answer has passed, and not yet all of the request's body: the rest goes on to the
/// upstream for as long as that reads it. A connection that is closed while its peer still sends is
/// reset, and the answer may be lost with it (RFC 9112 9.6).
fn pass_the_rest(exchange: &mut Exchange, cx: &mut Context<'_>) {
    let ends_here = exchange.link.is_none() || exchange.upload.awaits_continue();
    if ends_here || exchange.facts.is_last || cx.view.stopping {
        return exchange.end(ClientEffect::Linger, cx);
    }
    exchange.stage = Stage::Answered;
    cx.client(exchange.client, ClientEffect::ShutdownWrite);
    exchange.arm(cx);
}

/// Keeps the connection of an exchange for another one, or closes it where it is not certain that
/// the next answer would begin where this one ended.
fn give_back(exchange: &mut Exchange, exact: bool, cx: &mut Context<'_>) {
    let Some(link) = exchange.link.take() else { return };
    let is_clean = exact && exchange.upload.is_done() && !link.stalled && !link.once;
    if !is_clean || !cx.upstream.is_open() || cx.view.stopping {
        return cx.upstream(link.conn, UpstreamEffect::Abort);
    }
    cx.upstream(link.conn, UpstreamEffect::Keep);
    if let Some(oldest) = cx.upstream.pool.put(link.conn, cx.now_ms()) {
        cx.upstream(oldest, UpstreamEffect::Close { stalled: false });
    }
}
