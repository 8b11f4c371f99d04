//! The upstream's answer on its way to the client: its head, its body, a tunnel behind `101`.

use super::exchange::{Body, Continue, Stage};
use super::fault::Fault;
use super::reframer::Reframer;
use super::rewrite::{self, Ends, Missing};
use crate::clock::Now;
use crate::http::{
    BodyDecoder, HeadLimits, HeaderSlots, HttpError, ResponseHead, Scan, Version,
    head::HEADERS_MAX, mend_response, parse_response, scan_response,
};
use crate::relay::client::Phase;
use crate::relay::options::Limits;
use crate::relay::render::Persistence;
use crate::relay::{ConnKey, Output, Relay};

/// How large the head of an upstream's answer may be, whatever `limits.header_bytes` says: several
/// cookies as large as browsers take them.
const HEAD_BYTES: usize = 128 << 10;

/// Bounds of the head of an upstream's answer, and of a request that was rewritten.
pub(super) fn answer_limits(limits: &Limits) -> HeadLimits {
    let header_bytes = limits.header_bytes.max(HEAD_BYTES);
    HeadLimits { header_bytes, headers: HEADERS_MAX, uri_bytes: header_bytes }
}

/// What to do behind a head.
enum Next {
    /// More of the head is needed.
    Wait,
    /// So many bytes were a head; another one follows.
    Interim(usize),
    /// So many bytes were the head; the body follows.
    Body(usize),
    /// Nothing: the exchange is over.
    Done,
}

impl Relay {
    /// Bytes came from an upstream.
    pub(in crate::relay) fn upstream_received(&mut self, conn: ConnKey, bytes: &[u8], now: Now) {
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        let Some(client) = upstream.client else {
            // Nobody has asked: whatever it says, the next answer would not begin behind it.
            if let Some(proxy) = &mut self.proxy {
                proxy.pool.forget(conn);
            }
            return self.effects.outputs.push_back(Output::Abort { conn });
        };
        upstream.spoke = true;
        if upstream.buffer.is_empty() {
            let used = self.pass_down(client, conn, bytes, now);
            if let Some(upstream) = self.conns.upstream_mut(conn)
                && upstream.client.is_some()
            {
                upstream.buffer.extend_from_slice(&bytes[used..]);
            }
            return;
        }
        upstream.buffer.extend_from_slice(bytes);
        let mut buffer = std::mem::take(&mut upstream.buffer);
        let used = self.pass_down(client, conn, &buffer, now);
        if let Some(upstream) = self.conns.upstream_mut(conn)
            && upstream.client.is_some()
        {
            buffer.drain(..used);
            upstream.buffer = buffer;
        }
    }

    /// Passes an upstream's bytes on to the client; gives how many are dealt with, fewer than all
    /// only where a head is not complete.
    fn pass_down(&mut self, client: ConnKey, upstream: ConnKey, input: &[u8], now: Now) -> usize {
        let mut used = 0;
        // A head and the body behind it leave together.
        let mut out = Vec::new();
        loop {
            let Some(proxied) = self.proxied(client) else { return input.len() };
            let rest = &input[used..];
            match &mut proxied.stage {
                // Nothing was asked yet.
                Stage::Connecting => return self.bad_answer(client, input, BEFORE_ASKED, now),
                Stage::Asked => match self.pass_head(client, upstream, rest, &mut out, now) {
                    Ok(Next::Wait) => {
                        self.arm_exchange(client, now);
                        return used;
                    }
                    Ok(Next::Interim(len) | Next::Body(len)) => used += len,
                    Ok(Next::Done) => return input.len(),
                    Err(error) => return self.bad_answer(client, input, &error.message, now),
                },
                Stage::Answering(body, _) => {
                    out.reserve(rest.len() + 16);
                    let passed = body.pass(rest, &mut out);
                    let is_done = body.is_done();
                    if !out.is_empty() {
                        self.send_owned(client, out);
                    }
                    match passed {
                        Ok(len) if is_done => self.finish(client, len == rest.len(), now),
                        Ok(_) => self.arm_exchange(client, now),
                        Err(error) => {
                            self.warn_of_fault(&error.message, now);
                            self.cut(client, now);
                        }
                    }
                    return input.len();
                }
                // Whatever it says behind its answer.
                Stage::Answered | Stage::HandedOver(_) => return input.len(),
                Stage::Tunnel => {
                    out.extend_from_slice(rest);
                    if !out.is_empty() {
                        self.send_owned(client, out);
                        self.arm_exchange(client, now);
                    }
                    return input.len();
                }
            }
        }
    }

    /// Reads the head of an answer and writes it to `out` as the client gets it.
    fn pass_head(
        &mut self,
        client: ConnKey,
        upstream: ConnKey,
        input: &[u8],
        out: &mut Vec<u8>,
        now: Now,
    ) -> Result<Next, HttpError> {
        let Some(connection) = self.conns.upstream_mut(upstream) else { return Ok(Next::Done) };
        let limits = answer_limits(&self.site.limits);
        let len = match scan_response(input, connection.scanned, &limits)? {
            Scan::Complete { len } => len,
            Scan::Partial { scanned } => {
                connection.scanned = scanned;
                return Ok(Next::Wait);
            }
        };
        connection.scanned = 0;
        let Some(proxied) = self.proxied(client) else { return Ok(Next::Done) };
        let ask = proxied.ask;
        let (mut slots, mut slots_of_mended) = (HeaderSlots::new(), HeaderSlots::new());
        let mended;
        let head = match parse_response(&input[..len], &mut slots, ask.is_head) {
            Ok(head) => head,
            Err(error) => {
                mended = mend_response(&input[..len]).ok_or(error)?;
                parse_response(&mended, &mut slots_of_mended, ask.is_head)?
            }
        };
        match head.status {
            101 if ask.wants_upgrade && rewrite::tunnel(head.upgrade).is_some() => {
                self.open_tunnel(client, &head, out, now);
                Ok(Next::Body(len))
            }
            101 => Err(HttpError::new(502, "it changes to a protocol that nobody asked for")),
            100 => {
                // Anybody else has not asked for it, or does not wait for it any more.
                if std::mem::take(&mut proxied.awaited) != Continue::None {
                    self.send_continue(client);
                    self.arm_exchange(client, now);
                }
                Ok(Next::Interim(len))
            }
            102..=199 => {
                if ask.version == Version::Http11 {
                    let mut interim = Vec::with_capacity(len);
                    rewrite::write_answer(&mut interim, &head, Ends::NoBody, [b"", b""]);
                    self.send_owned(client, interim);
                }
                Ok(Next::Interim(len))
            }
            _ if self.hands_over(client, &head, input.len() == len, now) => Ok(Next::Done),
            _ => {
                out.reserve(input.len() + 256);
                self.begin_answer(client, &head, out);
                Ok(Next::Body(len))
            }
        }
    }

    /// Writes the head of a final answer.
    fn begin_answer(&mut self, conn: ConnKey, head: &ResponseHead<'_>, out: &mut Vec<u8>) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        client.log_access(head.status);
        let Phase::Proxied(proxied) = &mut client.phase else { return };
        let ends = rewrite::ends(head, proxied.ask.version);
        if ends == Ends::WithConnection || proxied.upload.is_some() || self.effects.stopping {
            proxied.persistence = Persistence::Close;
        }
        proxied.ask.once |= !head.keep_alive;
        proxied.body = Body::Passed;
        let decoder = BodyDecoder::for_response(head.framing);
        let body = Reframer::answer(decoder, ends);
        proxied.stage = Stage::Answering(body, ends == Ends::WithConnection);
        if let Some(proxy) = &mut self.proxy {
            proxy.is_http_1_0 = head.version == Version::Http10;
        }
        let missing = Missing::of(head);
        let ours = self.renderer.server_and_date(missing.server, missing.date);
        rewrite::write_answer(out, head, ends, [ours, proxied.persistence.line()]);
    }

    /// 101: from here on bytes pass both ways.
    fn open_tunnel(&mut self, conn: ConnKey, head: &ResponseHead<'_>, out: &mut Vec<u8>, now: Now) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        client.log_access(head.status);
        let Phase::Proxied(proxied) = &mut client.phase else { return };
        proxied.stage = Stage::Tunnel;
        proxied.upload = None;
        proxied.body = Body::Passed;
        let missing = Missing::of(head);
        let ours = self.renderer.server_and_date(missing.server, missing.date);
        rewrite::write_answer(out, head, Ends::NoBody, [ours, b""]);
        if self.effects.stopping {
            return self.close(conn, now);
        }
        // What the client has sent already.
        self.go_on(conn, now);
        self.arm_exchange(conn, now);
    }

    /// Answers 502, or cuts off what was begun.
    fn bad_answer(&mut self, client: ConnKey, input: &[u8], cause: &str, now: Now) -> usize {
        self.warn_of_fault(cause, now);
        if self.is_answered(client) {
            self.cut(client, now);
        } else {
            self.answer_for_upstream(client, &Fault::Unreadable(cause), now);
        }
        input.len()
    }

    /// The answer has passed. `exact`: nothing came behind it.
    pub(super) fn finish(&mut self, conn: ConnKey, exact: bool, now: Now) {
        let Some(proxied) = self.proxied(conn) else { return };
        if proxied.upload.is_some() {
            return self.pass_the_rest(conn, now);
        }
        let persistence = proxied.persistence;
        self.give_back(conn, exact, now);
        let Some(client) = self.conns.client_mut(conn) else { return };
        client.phase = Phase::Head { scanned: 0 };
        if persistence == Persistence::Close || self.effects.stopping || client.ended {
            self.close(conn, now);
        } else {
            self.await_request(conn, now);
        }
    }

    /// Keeps the connection of an exchange for another one, or closes it where it is not certain
    /// that the next answer would begin where this one ended.
    pub(super) fn give_back(&mut self, client: ConnKey, exact: bool, now: Now) {
        let Some(proxied) = self.proxied(client) else { return };
        let clean = exact && proxied.upload.is_none() && !proxied.blocked && !proxied.ask.once;
        let Some(conn) = proxied.upstream.take() else { return };
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        upstream.client = None;
        upstream.spoke = false;
        match &mut self.proxy {
            Some(proxy)
                if clean && proxy.is_open() && !upstream.retired && !self.effects.stopping =>
            {
                if let Some(conn) = proxy.pool.put(conn, now.mono_ms) {
                    self.effects.outputs.push_back(Output::Close { conn });
                }
            }
            _ => self.effects.outputs.push_back(Output::Abort { conn }),
        }
    }
}

const BEFORE_ASKED: &str = "it answers before it is asked";
