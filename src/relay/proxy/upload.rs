//! Upload: a request's body on its way to the upstream, and whatever a client sends into a tunnel.
//! Also the rest of a body after the upstream has answered, or handed the request over.

use super::exchange::{Continue, Stage};
use crate::clock::Now;
use crate::http::{BodyDecoder, Framing, HttpError};
use crate::relay::client::Phase;
use crate::relay::{ConnKey, Output, Relay};

impl Relay {
    /// Bytes of a client that are part of its request's body, or go through a tunnel; gives how
    /// many were taken, `None` if none is taken now.
    pub(in crate::relay) fn pass_up(
        &mut self,
        conn: ConnKey,
        input: &[u8],
        now: Now,
    ) -> Option<usize> {
        let proxied = self.proxied(conn)?;
        if input.is_empty() || !proxied.takes_bytes() {
            return None;
        }
        proxied.awaited = Continue::None;
        let upstream = proxied.upstream;
        let mut out = Vec::with_capacity(input.len() + 16);
        let passed = if proxied.upload.is_some() {
            proxied.pass_body(input, &mut out)
        } else {
            out.extend_from_slice(input);
            Ok(input.len())
        };
        let used = match passed {
            Ok(used) => used,
            Err(error) => {
                self.fail_upload(conn, error, now);
                return Some(input.len());
            }
        };
        // Of a request that was handed over the upstream gets no more.
        if let Some(upstream) = upstream.filter(|_| !out.is_empty()) {
            self.send_owned(upstream, out);
        }
        self.went_up(conn, now);
        Some(used)
    }

    /// Part of a body has passed, or all of it.
    fn went_up(&mut self, conn: ConnKey, now: Now) {
        if self.has_lost_message(conn) {
            self.refuse_without_body(conn, now);
            return;
        }
        let Some(proxied) = self.proxied(conn) else { return };
        match proxied.stage {
            Stage::HandedOver(_) if proxied.upload.is_none() => self.serve_handed_over(conn, now),
            // The client has its answer.
            Stage::Answered if proxied.upload.is_none() => self.close(conn, now),
            _ => self.arm_exchange(conn, now),
        }
    }

    /// The body of a request turned out to be malformed.
    pub(super) fn fail_upload(&mut self, conn: ConnKey, error: HttpError, now: Now) {
        if self.is_answered(conn) {
            self.cut(conn, now);
        } else {
            self.fail(conn, error, now);
        }
    }

    /// All of the answer has passed, and not yet all of the request's body: the rest goes on to the
    /// upstream for as long as that reads it. A connection that is closed while its peer still
    /// sends is reset, and the answer may be lost with it (RFC 9112 9.6).
    pub(super) fn pass_the_rest(&mut self, conn: ConnKey, now: Now) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        let Phase::Proxied(proxied) = &mut client.phase else { return };
        let ends_here = proxied.upstream.is_none() || proxied.awaits_continue();
        if ends_here || client.ended || self.effects.stopping {
            return self.linger(conn, now);
        }
        proxied.stage = Stage::Answered;
        self.effects.outputs.push_back(Output::ShutdownWrite { conn });
        self.arm_exchange(conn, now);
    }
}

/// The decoder of a body whose beginning is sound: nothing of a malformed one should come to the
/// upstream, as far as that can be known.
pub(super) fn sound_body(framing: Framing, input: &[u8]) -> Result<BodyDecoder, HttpError> {
    // A stream has no limit; `limits.body_bytes` is for what is kept here.
    let decoder = BodyDecoder::new(framing, u64::MAX)?;
    let mut probe = decoder.clone();
    let mut used = 0;
    while used < input.len() && !probe.is_done() {
        used += probe.decode(&input[used..])?.consumed;
    }
    Ok(decoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_body_is_refused_before_the_upstream_hears_of_it() {
        assert!(sound_body(Framing::Chunked, b"5\r\nhello\r\n0\r\n\r\nGET").is_ok());
        assert!(sound_body(Framing::Chunked, b"").is_ok());
        assert_eq!(sound_body(Framing::Chunked, b"5\r\nhelloX").unwrap_err().status, 400);
        assert!(sound_body(Framing::Length(1 << 40), b"abc").is_ok());
    }
}
