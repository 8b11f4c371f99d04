//! The request's way: to a connection, to the upstream over it, and, where the upstream hands it
//! over, to a location of ours.

use std::io::ErrorKind;

use super::context::Context;
use super::effect::{ClientEffect, Effect, UpstreamEffect};
use super::exchange::{AnswerHead, Exchange, Repeat, Stage};
use super::fault::{CLOSED, Fault};
use super::handover::{HandedOver, publishes};
use super::upload::Continue;
use super::upstream::Dialling;
use crate::http::HttpError;
use crate::relay::render::payload::Payload;
use crate::relay::render::{Persistence, Reply};

/// Gets a request to the upstream: over a connection that is there, over a new one, or, while the
/// upstream does not accept any, later.
pub(super) fn begin(exchange: &mut Exchange, cx: &mut Context<'_>) {
    // The upstream may just be closing an idle connection. So a request that cannot be repeated
    // gets a connection of its own, and so does one that was sent over such a connection.
    if exchange.repeat.takes_idle()
        && let Some(conn) = cx.upstream.pool.take()
    {
        cx.upstream(conn, UpstreamEffect::Use(cx.key));
        exchange.link(conn);
        send(exchange, b"", cx);
    } else {
        let wait_ends_ms = cx.now_ms() + exchange.wait_ms(cx);
        connect(exchange, wait_ends_ms, cx);
    }
}

fn connect(exchange: &mut Exchange, wait_ends_ms: u64, cx: &mut Context<'_>) {
    exchange.stage = Stage::Connecting(Dialling::until(wait_ends_ms));
    if cx.upstream.pool.is_waited_for() {
        cx.upstream.pool.wait(cx.key, cx.now_ms());
    } else {
        dial(exchange, cx);
    }
    exchange.arm(cx);
}

/// Opens a connection.
pub(super) fn dial(exchange: &mut Exchange, cx: &mut Context<'_>) {
    if let Stage::Connecting(dialling) = &mut exchange.stage
        && let Some(to) = dialling.address(cx.upstream)
    {
        cx.effects.push_back(Effect::Connect(cx.key, to));
    }
}

/// Its connection is open; gives how many of the `waiting` bytes of its client are dealt with.
pub(super) fn connected(exchange: &mut Exchange, waiting: &[u8], cx: &mut Context<'_>) -> usize {
    if let Stage::Connecting(dialling) = &exchange.stage {
        dialling.succeed(cx.upstream);
    }
    send(exchange, waiting, cx)
}

/// Goes on to the next address, or waits until all are tried again.
pub(super) fn connect_failed(exchange: &mut Exchange, cause: ErrorKind, cx: &mut Context<'_>) {
    exchange.link = None;
    let Stage::Connecting(dialling) = &mut exchange.stage else { return };
    if dialling.fail(cx.upstream) {
        return dial(exchange, cx);
    }
    cx.upstream.failed(cause, cx.view.now);
    cx.upstream.pool.wait(cx.key, cx.now_ms());
}

/// The share of `upstream_wait` for one address is over: a dial that has no answer yet makes way
/// for one of the next address.
pub(super) fn connect_timed_out(exchange: &mut Exchange, cx: &mut Context<'_>) {
    let Stage::Connecting(dialling) = &mut exchange.stage else { return };
    let goes_on = dialling.end_share(cx.upstream, cx.now_ms());
    if exchange.link.is_some() {
        exchange.unlink(cx);
        connect_failed(exchange, ErrorKind::TimedOut, cx);
    }
    if goes_on {
        return exchange.arm(cx);
    }
    if let Some(failure) = cx.upstream.failure {
        let wait_ms = cx.view.site.limits.upstream_wait_ms;
        cx.upstream.warn_of_failure(failure, exchange.is_page(), wait_ms, cx.view.now);
        exchange.fail(&Fault::Unreachable(failure.cause), cx);
    } else {
        cx.upstream.warn_of_fault(CLOSED, cx.view.now);
        exchange.fail(&Fault::Closed { within_head: false }, cx);
    }
}

/// Sends the request, with what has come of its body; gives how many bytes of `waiting` that were.
fn send(exchange: &mut Exchange, waiting: &[u8], cx: &mut Context<'_>) -> usize {
    let Some(link) = &mut exchange.link else { return 0 };
    link.stalled = false;
    let conn = link.conn;
    exchange.stage = Stage::Asked(AnswerHead::default());
    let (mut used, head) = (0, &exchange.head);
    let payload = if exchange.upload.is_done() {
        Payload::Shared(head.clone())
    } else {
        let mut out = Vec::with_capacity(head.len() + waiting.len() + 32);
        out.extend_from_slice(head);
        match exchange.upload.pass(waiting, &mut out, cx.view.uploads) {
            Ok(len) => used = len,
            Err(error) => {
                fail_upload(exchange, &error, cx);
                return waiting.len();
            }
        }
        Payload::Owned(out)
    };
    if payload.len() > exchange.head.len() {
        // The client has begun already, and need not wait (RFC 9110 10.1.1).
        exchange.upload.take_awaited();
    }
    // Only now, so that no body is asked for that nobody may take.
    if exchange.upload.awaited == Continue::Ours {
        exchange.upload.take_awaited();
        cx.client(exchange.client, ClientEffect::Continue);
    }
    cx.upstream(conn, UpstreamEffect::Send(payload));
    exchange.arm(cx);
    cx.client(exchange.client, ClientEffect::Read);
    used
}

/// Sends a request again after the upstream has closed the connection on it, if that does no harm
/// and there is time; gives whether it does. The first time at once, since an idle connection may
/// just have come to its end; then with pauses.
pub(super) fn repeat(exchange: &mut Exchange, cx: &mut Context<'_>) -> bool {
    let now_ms = cx.now_ms();
    let wait_ends_ms = match exchange.repeat {
        Repeat::Never => return false,
        Repeat::SafeUntil(ends_ms) if now_ms >= ends_ms => return false,
        Repeat::SafeUntil(ends_ms) => {
            exchange.stage = Stage::Connecting(Dialling::until(ends_ms));
            cx.upstream.pool.rest(cx.key, now_ms);
            exchange.arm(cx);
            return true;
        }
        Repeat::Once | Repeat::Safe => now_ms + exchange.wait_ms(cx),
    };
    let is_safe = exchange.repeat == Repeat::Safe;
    exchange.repeat = if is_safe { Repeat::SafeUntil(wait_ends_ms) } else { Repeat::Never };
    connect(exchange, wait_ends_ms, cx);
    true
}

/// Bytes of the client are part of its request's body, or go through a tunnel; gives how many were
/// taken.
pub(super) fn pass_up(exchange: &mut Exchange, input: &[u8], cx: &mut Context<'_>) -> usize {
    exchange.upload.take_awaited();
    let mut out = Vec::with_capacity(input.len() + 16);
    let used = if exchange.upload.is_done() {
        out.extend_from_slice(input);
        input.len()
    } else {
        match exchange.upload.pass(input, &mut out, cx.view.uploads) {
            Ok(used) => used,
            Err(error) => {
                fail_upload(exchange, &error, cx);
                return input.len();
            }
        }
    };
    // Of a request that was handed over the upstream gets no more.
    if let Some(link) = &exchange.link
        && !out.is_empty()
    {
        cx.upstream(link.conn, UpstreamEffect::Send(Payload::Owned(out)));
    }
    match &exchange.stage {
        Stage::HandedOver(_) => serve(exchange, cx),
        // The client has its answer.
        Stage::Answered if exchange.upload.is_done() => exchange.end(ClientEffect::Close, cx),
        _ => exchange.arm(cx),
    }
    used
}

/// The body of a request turned out to be malformed.
fn fail_upload(exchange: &mut Exchange, error: &HttpError, cx: &mut Context<'_>) {
    if !exchange.is_unanswered() {
        return exchange.cut(cx);
    }
    let reply = Reply::bare(Persistence::Close, exchange.is_head);
    let payload = cx.view.renderer.text(&reply, error.status, b"", &error.message);
    let (persistence, status) = (None, error.status);
    exchange.end(ClientEffect::Answer { persistence, status, payload }, cx);
}

/// Serves a request that was handed over, once all of it has come.
pub(super) fn serve(exchange: &mut Exchange, cx: &mut Context<'_>) {
    let Stage::HandedOver(target) = &mut exchange.stage else { return };
    // The locations may be others than when it was handed over.
    let is_publisher = publishes(target, &mut cx.view.site.routes) == Some(true);
    if is_publisher && !exchange.upload.copy.is_there() {
        return refuse_without_body(exchange, cx);
    }
    if !exchange.upload.is_done() {
        return exchange.arm(cx);
    }
    let handed = HandedOver {
        head: exchange.head.clone(),
        target: std::mem::take(target),
        body: exchange.upload.copy.take(cx.view.uploads),
        version: exchange.version,
        keep_alive: exchange.persistence != Persistence::Close,
        is_head: exchange.is_head,
    };
    exchange.end(ClientEffect::Serve(Box::new(handed)), cx);
}

/// Answers a message that was not kept: never as if it had been published.
pub(super) fn refuse_without_body(exchange: &mut Exchange, cx: &mut Context<'_>) {
    cx.upstream.warn_of_fault(NOT_KEPT, cx.view.now);
    exchange.fail(&Fault::BodyGone, cx);
}

/// What the log says of a message that was not kept.
const NOT_KEPT: &str = "X-Accel-Redirect hands over a message that was not kept: it is over \
                        limits.body_bytes, or too many large bodies are on their way";
