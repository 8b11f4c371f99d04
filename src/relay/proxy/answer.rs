//! The answer's way: from the upstream to the client: its head, its body, a tunnel behind `101`;
//! and what becomes of both connections behind it.

use std::borrow::Cow;

use super::effect::{Context, Effect};
use super::exchange::{Exchange, Stage};
use super::fault::Fault;
use super::handover::publishes;
use super::reframer::Reframer;
use super::request::{repeat, serve};
use super::rewrite::{self, Ends, answer_limits};
use crate::http::{
    BodyDecoder, Framing, HeaderSlots, HttpError, ResponseFraming, ResponseHead, Scan, Version,
    mend_response, parse_response, scan_response, values,
};
use crate::relay::output::Output;
use crate::relay::render::Persistence;

/// Bytes came from the upstream.
pub(super) fn receive(exchange: &mut Exchange, bytes: &[u8], cx: &mut Context<'_, '_>) {
    let mut input = Cow::Borrowed(bytes);
    if let Stage::Asked(head) = &mut exchange.stage {
        head.has_begun = true;
        if !head.bytes.is_empty() {
            head.bytes.extend_from_slice(bytes);
            input = Cow::Owned(std::mem::take(&mut head.bytes));
        }
    }
    let used = pass_down(exchange, &input, cx);
    if let Stage::Asked(head) = &mut exchange.stage {
        head.bytes = input.into_owned();
        head.bytes.drain(..used);
    }
}

/// Passes the upstream's bytes on to the client; gives how many are dealt with, fewer than all only
/// where a head is not complete.
fn pass_down(exchange: &mut Exchange, input: &[u8], cx: &mut Context<'_, '_>) -> usize {
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
            Err(error) => exchange.fail(&Fault::Unreadable(&error.message), cx),
        }
    }
    let rest = &input[used..];
    match &mut exchange.stage {
        // Nothing was asked yet.
        Stage::Connecting(_) => {
            exchange.fail(&Fault::Unreadable("it answers before it is asked"), cx);
        }
        Stage::Answering { body, .. } => {
            out.reserve(rest.len() + 16);
            let (passed, is_done) = (body.pass(rest, &mut out, |_| ()), body.is_done());
            exchange.to_client(out, cx);
            match passed {
                Ok(len) if is_done => finish(exchange, len == rest.len(), cx),
                Ok(_) => exchange.arm(cx),
                Err(error) => exchange.fail(&Fault::Unreadable(&error.message), cx),
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

/// Reads the head of an answer and writes it to `out` as the client gets it; gives how many bytes
/// it had, `None`: more are needed.
fn pass_head(
    exchange: &mut Exchange,
    input: &[u8],
    out: &mut Vec<u8>,
    cx: &mut Context<'_, '_>,
) -> Result<Option<usize>, HttpError> {
    let Stage::Asked(head) = &mut exchange.stage else { return Ok(None) };
    let len = match scan_response(input, head.scanned, &answer_limits(&cx.view.site.limits))? {
        Scan::Complete { len } => len,
        Scan::Partial { scanned } => {
            head.scanned = scanned;
            return Ok(None);
        }
    };
    head.scanned = 0;
    let (mut slots, mut slots_of_mended) = (HeaderSlots::new(), HeaderSlots::new());
    let mended;
    let head = match parse_response(&input[..len], &mut slots, exchange.is_head) {
        Ok(head) => head,
        Err(error) => {
            mended = mend_response(&input[..len]).ok_or(error)?;
            parse_response(&mended, &mut slots_of_mended, exchange.is_head)?
        }
    };
    match head.status {
        101 if exchange.wants_upgrade && rewrite::tunnel(head.upgrade).is_some() => {
            begin_answer(exchange, &head, out, cx);
        }
        101 => {
            return Err(HttpError::new(502, "it changes to a protocol that nobody asked for"));
        }
        100 => {
            // Anybody else has not asked for it, or does not wait for it any more.
            if exchange.upload.take_awaited() {
                cx.view.effects.send_continue(exchange.client);
                exchange.arm(cx);
            }
        }
        102..=199 => {
            if exchange.version == Version::Http11 {
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

/// Writes the head of a final answer, or of 101: from there on bytes pass both ways.
fn begin_answer(
    exchange: &mut Exchange,
    head: &ResponseHead<'_>,
    out: &mut Vec<u8>,
    cx: &mut Context<'_, '_>,
) {
    let is_tunnel = head.status == 101;
    let ends = rewrite::ends(head, exchange.version);
    cx.client(exchange.client, Effect::Answered(head.status));
    cx.upstream.is_http_1_0 = head.version == Version::Http10;
    exchange.upload.copy.take(&mut cx.view.effects.uploads);
    let mut line: &[u8] = b"";
    if is_tunnel {
        exchange.upload.drop_rest();
        exchange.stage = Stage::Tunnel;
    } else {
        if ends == Ends::WithConnection || !exchange.upload.is_done() || cx.view.effects.stopping {
            exchange.persistence = Persistence::Close;
        }
        exchange.once |= !head.keep_alive;
        line = exchange.persistence.line();
        let decoder = BodyDecoder::for_response(head.framing);
        let body = Reframer::new(decoder, ends == Ends::Chunked);
        exchange.stage = Stage::Answering { body, ends };
    }
    let (server, date) = rewrite::missing(head);
    let ours = cx.view.renderer.server_and_date(server, date);
    rewrite::write_answer(out, head, ends, [ours, line]);
    if is_tunnel && cx.view.effects.stopping {
        exchange.end(Effect::Close, cx);
    } else if is_tunnel {
        // What the client has sent already.
        cx.client(exchange.client, Effect::Read);
    }
}

/// Gives the request to a location if the answer says so. False: it does not, or there is no such
/// location. `exact`: nothing came behind the head of the answer.
fn hand_over(
    exchange: &mut Exchange,
    answer: &ResponseHead<'_>,
    exact: bool,
    cx: &mut Context<'_, '_>,
) -> bool {
    let Some(target) = values(answer.headers, "X-Accel-Redirect").next() else { return false };
    let Some(is_publisher) = publishes(target, &mut cx.view.site.routes) else { return false };
    if is_publisher && !exchange.upload.copy.is_there() {
        exchange.fail(&Fault::BodyGone, cx);
        return true;
    }
    exchange.stage = Stage::HandedOver(target.into());
    if exchange.upload.is_done() {
        let framing = answer.framing;
        let no_body = matches!(framing, ResponseFraming::Known(Framing::None | Framing::Length(0)));
        give_back(exchange, exact && no_body && answer.keep_alive, cx);
    } else {
        // Where the next request begins is known only once all of the body has come.
        exchange.unlink(cx);
        if exchange.upload.take_awaited() {
            cx.view.effects.send_continue(exchange.client);
        }
        cx.client(exchange.client, Effect::Read);
    }
    serve(exchange, cx);
    true
}

/// The upstream sends no more. `clean`: it said so; otherwise the connection is gone.
pub(super) fn end(exchange: &mut Exchange, clean: bool, cx: &mut Context<'_, '_>) {
    exchange.link = None;
    match &exchange.stage {
        stage @ (Stage::Connecting(_) | Stage::Asked(_)) => {
            let within_head = matches!(stage, Stage::Asked(head) if head.has_begun);
            if within_head || !repeat(exchange, cx) {
                exchange.fail(&Fault::Closed { within_head }, cx);
            }
        }
        // Nobody reads what the client still sends.
        Stage::Answered => exchange.end(Effect::Linger, cx),
        Stage::HandedOver(_) | Stage::Over => {}
        Stage::Answering { body, .. } => match body.end().filter(|_| clean) {
            Some(last) => {
                exchange.to_client(last.to_vec(), cx);
                finish(exchange, false, cx);
            }
            None => exchange.fail(&Fault::Unreadable("the upstream cut its answer off"), cx),
        },
        Stage::Tunnel => exchange.end(Effect::Close, cx),
    }
}

/// The side whose turn it is has made no progress in its time: the upstream, or the client with its
/// body (`is_body`).
pub(super) fn timed_out(exchange: &mut Exchange, is_body: bool, cx: &mut Context<'_, '_>) {
    // The upstream reads no more of a body.
    if matches!(exchange.stage, Stage::Answered) && !is_body {
        return exchange.end(Effect::Linger, cx);
    }
    match (exchange.is_unanswered(), is_body) {
        (true, true) => exchange.end(Effect::RefuseUnfinished(exchange.is_head), cx),
        (false, true) => exchange.cut(cx),
        (_, false) => exchange.fail(&Fault::Silent, cx),
    }
}

/// The answer has passed. `exact`: nothing came behind it.
fn finish(exchange: &mut Exchange, exact: bool, cx: &mut Context<'_, '_>) {
    if exchange.upload.is_done() {
        give_back(exchange, exact, cx);
        let ends = exchange.persistence == Persistence::Close
            || exchange.is_last
            || cx.view.effects.stopping;
        return exchange.end(if ends { Effect::Close } else { Effect::Finish }, cx);
    }
    // The rest of the request goes on to the upstream for as long as that reads it. A connection
    // that is closed while its peer still sends is reset, and the answer may be lost with it (RFC
    // 9112 9.6).
    let ends_here = exchange.link.is_none() || exchange.upload.awaits_continue();
    if ends_here || exchange.is_last || cx.view.effects.stopping {
        return exchange.end(Effect::Linger, cx);
    }
    exchange.stage = Stage::Answered;
    cx.view.effects.outputs.push_back(Output::ShutdownWrite { conn: exchange.client });
    exchange.arm(cx);
}

/// Keeps the connection of an exchange for another one, or closes it where it is not certain that
/// the next answer would begin where this one ended.
fn give_back(exchange: &mut Exchange, exact: bool, cx: &mut Context<'_, '_>) {
    let Some(conn) = exchange.link.take() else { return };
    let is_clean = exact && exchange.upload.is_done() && !exchange.stalled && !exchange.once;
    if !is_clean || !cx.view.site.forwards || cx.view.effects.stopping {
        return cx.view.abort(conn);
    }
    cx.view.assign(conn, None);
    if let Some(oldest) = cx.upstream.pool.put(conn, cx.now_ms()) {
        cx.view.close(oldest, false);
    }
}
