//! The request's way: to a connection, to the upstream over it, and, where the upstream hands it
//! over, to a location of ours.

use std::io::ErrorKind;

use super::effect::{Context, Effect};
use super::exchange::{AnswerHead, Exchange, Repeat, Stage};
use super::fault::Fault;
use super::handover::{HandedOver, publishes};
use super::upload::Continue;
use super::upstream::Dialling;
use crate::relay::render::Persistence;
use crate::relay::render::payload::Payload;

/// Gets a request to the upstream: over a connection that is there, over a new one, or, while the
/// upstream does not accept any, later.
pub(super) fn begin(exchange: &mut Exchange, cx: &mut Context<'_, '_>) {
    // The upstream may just be closing an idle connection. So a request that cannot be repeated
    // gets a connection of its own, and so does one that was sent over such a connection.
    if matches!(exchange.repeat, Repeat::Once | Repeat::Safe)
        && let Some(conn) = cx.upstream.pool.take()
    {
        cx.view.assign(conn, Some(cx.key));
        exchange.link(conn);
        send(exchange, b"", cx);
    } else {
        connect(exchange, cx);
    }
}

fn connect(exchange: &mut Exchange, cx: &mut Context<'_, '_>) {
    exchange.wait_ends_ms = cx.now_ms() + exchange.wait_ms(cx);
    exchange.stage = Stage::Connecting(Dialling::default());
    if cx.upstream.pool.is_waited_for() {
        cx.upstream.pool.wait(cx.key, cx.now_ms());
    } else {
        dial(exchange, cx);
    }
    exchange.arm(cx);
}

/// Opens a connection, if there is none yet and one is waited for; gives whether it is.
pub(super) fn dial(exchange: &mut Exchange, cx: &mut Context<'_, '_>) -> bool {
    let Stage::Connecting(dialling) = &mut exchange.stage else { return false };
    if exchange.link.is_some() {
        return false;
    }
    if let Some(to) = dialling.address(cx.upstream) {
        let conn = cx.view.connect(cx.key, to);
        exchange.link(conn);
    }
    true
}

/// Goes on to the next address, or waits until all are tried again.
pub(super) fn connect_failed(exchange: &mut Exchange, cause: ErrorKind, cx: &mut Context<'_, '_>) {
    exchange.link = None;
    let Stage::Connecting(dialling) = &mut exchange.stage else { return };
    if dialling.fail(cause, cx.upstream, cx.view.now) {
        dial(exchange, cx);
    } else {
        cx.upstream.pool.wait(cx.key, cx.now_ms());
    }
}

/// The share of `upstream_wait` for one address is over: a dial that has no answer yet makes way
/// for one of the next address.
pub(super) fn connect_timed_out(exchange: &mut Exchange, cx: &mut Context<'_, '_>) {
    let Stage::Connecting(dialling) = &mut exchange.stage else { return };
    let goes_on = dialling.end_share(cx.upstream) && cx.now_ms() < exchange.wait_ends_ms;
    if exchange.link.is_some() {
        exchange.unlink(cx);
        connect_failed(exchange, ErrorKind::TimedOut, cx);
    }
    if goes_on {
        return exchange.arm(cx);
    }
    let closed = Fault::Closed { within_head: false };
    let fault = cx.upstream.failure.map_or(closed, |failure| Fault::Unreachable(failure.cause));
    exchange.fail(&fault, cx);
}

/// Sends the request, with what has come of its body; gives how many bytes of `waiting` that were.
pub(super) fn send(exchange: &mut Exchange, waiting: &[u8], cx: &mut Context<'_, '_>) -> usize {
    let Some(conn) = exchange.link else { return 0 };
    exchange.stalled = false;
    exchange.stage = Stage::Asked(AnswerHead::default());
    let (mut used, head) = (0, &exchange.head);
    let payload = if exchange.upload.is_done() {
        Payload::Shared(head.clone())
    } else {
        let mut out = Vec::with_capacity(head.len() + waiting.len() + 32);
        out.extend_from_slice(head);
        let Some(len) = pass_body(exchange, waiting, &mut out, cx) else { return waiting.len() };
        used = len;
        Payload::Owned(out)
    };
    if payload.len() > exchange.head.len() {
        // The client has begun already, and need not wait (RFC 9110 10.1.1).
        exchange.upload.take_awaited();
    }
    // Only now, so that no body is asked for that nobody may take.
    if exchange.upload.awaited == Continue::Ours {
        exchange.upload.take_awaited();
        cx.view.effects.send_continue(exchange.client);
    }
    cx.view.effects.send(conn, payload);
    exchange.arm(cx);
    cx.client(exchange.client, Effect::Read);
    used
}

/// Sends a request again after the upstream has closed the connection on it, if that does no harm
/// and there is time; gives whether it does. The first time at once, since an idle connection may
/// just have come to its end; then with pauses.
pub(super) fn repeat(exchange: &mut Exchange, cx: &mut Context<'_, '_>) -> bool {
    match exchange.repeat {
        Repeat::Never => return false,
        Repeat::SafeAgain if cx.now_ms() >= exchange.wait_ends_ms => return false,
        Repeat::SafeAgain => {
            exchange.stage = Stage::Connecting(Dialling::default());
            cx.upstream.pool.rest(cx.key, cx.now_ms());
            exchange.arm(cx);
        }
        first @ (Repeat::Once | Repeat::Safe) => {
            exchange.repeat = if first == Repeat::Safe { Repeat::SafeAgain } else { Repeat::Never };
            connect(exchange, cx);
        }
    }
    true
}

/// Bytes of the client are part of its request's body, or go through a tunnel; gives how many were
/// taken.
pub(super) fn pass_up(exchange: &mut Exchange, input: &[u8], cx: &mut Context<'_, '_>) -> usize {
    exchange.upload.take_awaited();
    let mut out = Vec::with_capacity(input.len() + 16);
    let mut used = input.len();
    if exchange.upload.is_done() {
        out.extend_from_slice(input);
    } else {
        let Some(len) = pass_body(exchange, input, &mut out, cx) else { return used };
        used = len;
    }
    // Of a request that was handed over the upstream gets no more.
    if let Some(conn) = exchange.link
        && !out.is_empty()
    {
        cx.view.effects.send(conn, Payload::Owned(out));
    }
    match &exchange.stage {
        Stage::HandedOver(_) => serve(exchange, cx),
        // The client has its answer.
        Stage::Answered if exchange.upload.is_done() => exchange.end(Effect::Close, cx),
        _ => exchange.arm(cx),
    }
    used
}

/// Appends what `input` has of the request's body; gives how many bytes of `input` that were.
/// `None`: it is malformed, and the exchange is over.
fn pass_body(
    exchange: &mut Exchange,
    input: &[u8],
    out: &mut Vec<u8>,
    cx: &mut Context<'_, '_>,
) -> Option<usize> {
    let passed = exchange.upload.pass(input, out, &mut cx.view.effects.uploads);
    match passed {
        Ok(used) => return Some(used),
        Err(error) if exchange.is_unanswered() => {
            exchange.end(Effect::Fail(error, exchange.is_head), cx);
        }
        Err(_) => exchange.cut(cx),
    }
    None
}

/// Serves a request that was handed over, once all of it has come.
pub(super) fn serve(exchange: &mut Exchange, cx: &mut Context<'_, '_>) {
    let Stage::HandedOver(target) = &mut exchange.stage else { return };
    // The locations may be others than when it was handed over.
    let is_publisher = publishes(target, &mut cx.view.site.routes) == Some(true);
    if is_publisher && !exchange.upload.copy.is_there() {
        // Never as if it had been published.
        return exchange.fail(&Fault::BodyGone, cx);
    }
    if !exchange.upload.is_done() {
        return exchange.arm(cx);
    }
    let handed = HandedOver {
        head: exchange.head.clone(),
        target: std::mem::take(target),
        body: exchange.upload.copy.take(&mut cx.view.effects.uploads),
        version: exchange.version,
        keep_alive: exchange.persistence != Persistence::Close,
        is_head: exchange.is_head,
    };
    exchange.end(Effect::Serve(Box::new(handed)), cx);
}
