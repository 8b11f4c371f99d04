//! The upstream's answer on its way to the client: its head, its body, a tunnel behind `101`, and
//! what `X-Accel-Redirect` hands back to a location of ours.

use super::exchange::{Proxied, Reframer, Stage};
use super::rewrite::{self, Ends, Missing};
use crate::clock::Now;
use crate::http::{
    BodyDecoder, Framing, HeadLimits, HeaderSlots, HttpError, ResponseFraming, ResponseHead, Scan,
    Version, head::HEADERS_MAX, parse_request, parse_response, scan_response,
};
use crate::relay::client::Phase;
use crate::relay::client::log_access;
use crate::relay::delivery::Persistence;
use crate::relay::{ConnKey, Output, Relay};

/// How large the head of an upstream's answer may be, and that of a request that was rewritten.
const LIMITS: HeadLimits =
    HeadLimits { header_bytes: 64 << 10, headers: HEADERS_MAX, uri_bytes: 64 << 10 };

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
            return self.outputs.push_back(Output::Abort { conn });
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
                            self.fault(&error.message, now);
                            self.cut(client, now);
                        }
                    }
                    return input.len();
                }
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
        let len = match scan_response(input, connection.scanned, &LIMITS)? {
            Scan::Complete { len } => len,
            Scan::Partial { scanned } => {
                connection.scanned = scanned;
                return Ok(Next::Wait);
            }
        };
        connection.scanned = 0;
        let Some(proxied) = self.proxied(client) else { return Ok(Next::Done) };
        let ask = proxied.ask;
        let mut slots = HeaderSlots::new();
        let head = parse_response(&input[..len], &mut slots, ask.is_head)?;
        match head.status {
            101 if ask.wants_upgrade && rewrite::tunnel(head.upgrade).is_some() => {
                self.open_tunnel(client, &head, out, now);
                Ok(Next::Body(len))
            }
            101 => Err(HttpError::new(502, "it changes to a protocol that nobody asked for")),
            100..=199 => {
                // Of 100 the client was told when the upstream was found.
                if head.status != 100 && ask.version == Version::Http11 {
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
        log_access(client, head.status);
        let Phase::Proxied(proxied) = &mut client.phase else { return };
        let ends = rewrite::ends(head, proxied.ask.version);
        if ends == Ends::WithConnection || proxied.upload.is_some() || self.stopping {
            proxied.persistence = Persistence::Close;
        }
        proxied.ask.once |= !head.keep_alive;
        let decoder = BodyDecoder::for_response(head.framing);
        let body = Reframer::answer(decoder, ends);
        proxied.stage = Stage::Answering(body, ends == Ends::WithConnection);
        let missing = Missing::of(head);
        let ours = self.renderer.server_and_date(missing.server, missing.date);
        rewrite::write_answer(out, head, ends, [ours, proxied.persistence.line()]);
    }

    /// 101: from here on bytes pass both ways.
    fn open_tunnel(&mut self, conn: ConnKey, head: &ResponseHead<'_>, out: &mut Vec<u8>, now: Now) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        log_access(client, head.status);
        let Phase::Proxied(proxied) = &mut client.phase else { return };
        proxied.stage = Stage::Tunnel;
        proxied.upload = None;
        let missing = Missing::of(head);
        let ours = self.renderer.server_and_date(missing.server, missing.date);
        rewrite::write_answer(out, head, Ends::NoBody, [ours, b""]);
        if self.stopping {
            return self.close(conn, now);
        }
        // What the client has sent already.
        self.go_on(conn, now);
        self.arm_exchange(conn, now);
    }

    /// Answers 502, or cuts off what was begun.
    fn bad_answer(&mut self, client: ConnKey, input: &[u8], cause: &str, now: Now) -> usize {
        self.fault(cause, now);
        if self.is_answered(client) {
            self.cut(client, now);
        } else {
            let text = "the upstream's answer cannot be read";
            self.answer_for_upstream(client, 502, text, now);
        }
        input.len()
    }

    /// Tells the operator what is wrong with the upstream.
    pub(super) fn fault(&mut self, cause: &str, now: Now) {
        if let Some(proxy) = &mut self.proxy
            && let Some(times) = proxy.faulty.note(now.mono_ms)
        {
            let url = &proxy.options.url;
            log::warn!("event=upstream_faulty url={url} times={times} cause={cause:?}");
        }
    }

    /// The answer has passed. `exact`: nothing came behind it.
    pub(super) fn finish(&mut self, conn: ConnKey, exact: bool, now: Now) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        let idle = Phase::Head { scanned: 0 };
        let Phase::Proxied(proxied) = std::mem::replace(&mut client.phase, idle) else { return };
        let ended = client.ended;
        self.give_back(&proxied, exact, now);
        if proxied.upload.is_some() {
            // The upstream did not want all of the request, and so nobody does.
            self.linger(conn, now);
        } else if proxied.persistence == Persistence::Close || self.stopping || ended {
            self.close(conn, now);
        } else {
            self.await_request(conn, now);
        }
    }

    /// Keeps the connection of an exchange for another one, or closes it where it is not certain
    /// that the next answer would begin where this one ended.
    fn give_back(&mut self, proxied: &Proxied, exact: bool, now: Now) {
        let Some(conn) = proxied.upstream else { return };
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        upstream.client = None;
        upstream.spoke = false;
        let clean = exact && proxied.upload.is_none() && !proxied.blocked && !proxied.ask.once;
        match &mut self.proxy {
            Some(proxy) if clean && proxy.is_open() && !upstream.retired && !self.stopping => {
                if let Some(conn) = proxy.pool.put(conn, now.mono_ms) {
                    self.outputs.push_back(Output::Close { conn });
                }
            }
            _ => self.outputs.push_back(Output::Abort { conn }),
        }
    }

    /// Serves the request at a location of ours if the answer says so; false: it does not, or
    /// there is no such location. As with nginx it is a GET (or HEAD) from then on, whatever it was.
    fn hands_over(
        &mut self,
        conn: ConnKey,
        answer: &ResponseHead<'_>,
        exact: bool,
        now: Now,
    ) -> bool {
        let Some(target) = answer.header("X-Accel-Redirect") else { return false };
        let mut parts = target.splitn(2, |byte| *byte == b'?');
        let (path, query) = (parts.next().unwrap_or_default(), parts.next());
        let Some(found) = self.routes.find(path) else { return false };
        let Some(proxied) = self.proxied(conn) else { return true };
        if proxied.upload.is_some() {
            // Where the next request begins is known only once all of the body has come.
            let text = "the upstream hands over a request whose body it has not read";
            self.fault("X-Accel-Redirect in answer to a request that is not whole yet", now);
            self.answer_for_upstream(conn, 502, text, now);
            return true;
        }
        let Some(client) = self.conns.client_mut(conn) else { return true };
        let idle = Phase::Head { scanned: 0 };
        let Phase::Proxied(proxied) = std::mem::replace(&mut client.phase, idle) else {
            return true;
        };
        let no_body =
            matches!(answer.framing, ResponseFraming::Known(Framing::None | Framing::Length(0)));
        self.give_back(&proxied, exact && no_body && answer.keep_alive, now);
        let mut slots = HeaderSlots::new();
        let Ok(mut head) = parse_request(&proxied.head, &mut slots, &LIMITS) else {
            // As many fields as there can be, and then ours.
            let error = HttpError::new(431, "too many header fields; send fewer");
            self.fail_of(conn, &error, proxied.ask.is_head, now);
            return true;
        };
        (head.path, head.query, head.version) = (path, query, proxied.ask.version);
        head.method = if proxied.ask.is_head { "HEAD" } else { "GET" };
        head.keep_alive = proxied.persistence != Persistence::Close;
        self.serve(conn, &head, b"", Some(found), now);
        true
    }
}

const BEFORE_ASKED: &str = "it answers before it is asked";
