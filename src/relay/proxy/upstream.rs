//! Connections to the upstream: how a request comes by one, and what becomes of the exchange when
//! one opens, fails, stalls or ends.

use std::io::ErrorKind;

use super::exchange::Stage;
use crate::clock::Now;
use crate::relay::client::{ConnTimer, Phase};
use crate::relay::connections::Conn;
use crate::relay::delivery::{Exchange, Persistence};
use crate::relay::{ConnKey, Output, Payload, Relay};
use crate::wheel::TimerKey;

/// One connection to the upstream.
#[derive(Debug, Default)]
pub(in crate::relay) struct Upstream {
    /// Whose request it has; `None`: it is idle, or about to be closed.
    pub(super) client: Option<ConnKey>,
    /// The first part of an answer's head, of which so many bytes are scanned.
    pub(super) buffer: Vec<u8>,
    pub(super) scanned: usize,
    /// Bytes of an answer have come.
    pub(super) spoke: bool,
    /// Reading was refused and has to be resumed.
    pub(super) paused: bool,
    /// It leads to where the settings no longer do.
    pub(super) retired: bool,
    /// Closes it, if it does not take what it still has to.
    pub(in crate::relay) timer: Option<TimerKey>,
}

impl Relay {
    /// Gets a request to the upstream: over a connection that is there, over a new one, or, while
    /// the upstream does not accept any, later.
    pub(super) fn find_upstream(&mut self, client: ConnKey, now: Now) {
        let Some(proxied) = self.proxied(client) else { return };
        let can_repeat = proxied.can_repeat;
        proxied.waits = 0;
        let Some(proxy) = &mut self.proxy else { return };
        // The upstream may just be closing an idle connection. What cannot be repeated then goes
        // over one of its own.
        while can_repeat && let Some(conn) = proxy.pool.take() {
            let Some(upstream) = self.conns.upstream_mut(conn) else { continue };
            upstream.client = Some(client);
            return self.begin(client, conn, now);
        }
        let waited_for = proxy.pool.is_waited_for();
        if waited_for {
            proxy.pool.wait(client, now.mono_ms);
        } else {
            self.dial(client);
        }
        self.arm(client, ConnTimer::Connect, now);
    }

    /// Whether a client's request has no connection yet, so that one may be dialled for it.
    pub(super) fn awaits_dial(&mut self, client: ConnKey) -> bool {
        self.proxied(client).is_some_and(|proxied| {
            matches!(proxied.stage, Stage::Connecting) && proxied.upstream.is_none()
        })
    }

    /// Opens a connection for a client's request.
    pub(super) fn dial(&mut self, client: ConnKey) {
        let Some(proxy) = &self.proxy else { return };
        let Some(Phase::Proxied(proxied)) = self.conns.client_mut(client).map(|c| &mut c.phase)
        else {
            return;
        };
        if proxied.attempts.is_multiple_of(proxy.count()) {
            proxied.first = proxy.preferred;
        }
        let turn = (proxied.first + proxied.attempts) % proxy.count();
        let Some(to) = proxy.addresses.get(turn).cloned() else { return };
        let upstream = Upstream { client: Some(client), ..Upstream::default() };
        let conn = self.conns.insert(Conn::Upstream(Box::new(upstream)));
        if let Some(proxied) = self.proxied(client) {
            proxied.upstream = Some(conn);
        }
        self.outputs.push_back(Output::Connect { conn, to });
    }

    /// A connection that [`Output::Connect`] asked for is open.
    pub fn connected(&mut self, conn: ConnKey, now: Now) {
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        let Some(client) = upstream.client else {
            return self.outputs.push_back(Output::Abort { conn });
        };
        let turn = self.proxied(client).map_or(0, |proxied| proxied.first + proxied.attempts);
        let Some(proxy) = &mut self.proxy else { return };
        proxy.preferred = turn % proxy.count();
        proxy.out_of_descriptors = false;
        let waiting = proxy.pool.take_waiting();
        self.begin(client, conn, now);
        for client in waiting {
            if self.awaits_dial(client) {
                self.dial(client);
            }
        }
    }

    /// A connection that [`Output::Connect`] asked for cannot be had; `closed` follows. `cause`:
    /// `QuotaExceeded` where it is we who have no descriptor for it.
    pub fn connect_failed(&mut self, conn: ConnKey, cause: ErrorKind, now: Now) {
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        if let Some(client) = upstream.client.take() {
            self.dial_failed(client, cause, now);
        }
    }

    /// Goes on to the next address, or lets a client wait until all are tried again.
    fn dial_failed(&mut self, client: ConnKey, cause: ErrorKind, now: Now) {
        let Some(proxied) = self.proxied(client) else { return };
        proxied.upstream = None;
        proxied.attempts += 1;
        let attempts = proxied.attempts;
        let Some(proxy) = &mut self.proxy else { return };
        if !attempts.is_multiple_of(proxy.count()) {
            return self.dial(client);
        }
        proxy.out_of_descriptors = cause == ErrorKind::QuotaExceeded;
        if let Some(times) = proxy.unreachable.note(now.mono_ms) {
            let url = &proxy.options.url;
            let cause = match cause {
                ErrorKind::QuotaExceeded => "the limit of open files is reached".to_owned(),
                cause => cause.to_string(),
            };
            log::warn!("event=upstream_unreachable url={url} times={times} cause=\"{cause}\"");
        }
        proxy.pool.wait(client, now.mono_ms);
    }

    /// A client's share of `upstream_wait` for one address is over: a dial that has no answer yet
    /// makes way for one of the next address. Whether there is another share.
    fn waits_on(&mut self, client: ConnKey, now: Now) -> bool {
        let count = self.proxy.as_ref().map_or(1, |proxy| proxy.count());
        let Some(proxied) = self.proxied(client) else { return false };
        proxied.waits += 1;
        let goes_on = proxied.waits < count;
        if let Some(conn) = proxied.upstream
            && let Some(upstream) = self.conns.upstream_mut(conn)
        {
            upstream.client = None;
            self.outputs.push_back(Output::Abort { conn });
            self.dial_failed(client, ErrorKind::TimedOut, now);
        }
        if goes_on {
            self.arm(client, ConnTimer::Connect, now);
        }
        goes_on
    }

    /// Sends a request over its connection, with what has come of its body.
    fn begin(&mut self, conn: ConnKey, upstream: ConnKey, now: Now) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        let Phase::Proxied(proxied) = &mut client.phase else { return };
        proxied.stage = Stage::Asked;
        proxied.upstream = Some(upstream);
        proxied.blocked = false;
        let mut failed = None;
        let payload = match &mut proxied.upload {
            None => Payload::Shared(proxied.head.clone()),
            Some(upload) => {
                let mut buffer = client.buffer.take().unwrap_or_default();
                let room = proxied.head.len() + buffer.bytes.len() + 32;
                let mut out = Vec::with_capacity(room);
                out.extend_from_slice(&proxied.head);
                match upload.pass(&buffer.bytes, &mut out) {
                    Ok(used) => drop(buffer.bytes.drain(..used)),
                    Err(error) => failed = Some(error),
                }
                if upload.is_done() {
                    proxied.upload = None;
                }
                if !buffer.bytes.is_empty() {
                    client.buffer = Some(buffer);
                }
                Payload::Owned(out)
            }
        };
        // The client need not wait if it has begun already (RFC 9110 10.1.1). Only now, so that
        // no body is asked for that nobody may take.
        let goes_on = proxied.ask.wants_continue && payload.len() == proxied.head.len();
        if let Some(error) = failed {
            return self.fail_upload(conn, error, now);
        }
        if goes_on {
            self.send_owned(conn, b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
        }
        self.outputs.push_back(Output::Send { conn: upstream, payload, crowd: None });
        self.arm_exchange(conn, now);
        self.resume_client(conn);
    }

    /// Lets a client be read that was paused, if its bytes are taken now.
    fn resume_client(&mut self, conn: ConnKey) {
        if let Some(client) = self.conns.client_mut(conn)
            && client.paused
            && client.wants_read(&self.limits)
        {
            client.paused = false;
            self.outputs.push_back(Output::ResumeRead { conn });
        }
    }

    /// Whether bytes may be read from an upstream now: not while its client takes no more.
    pub(in crate::relay) fn upstream_wants_read(&mut self, conn: ConnKey) -> bool {
        let Some(upstream) = self.conns.upstream_mut(conn) else { return false };
        let client = upstream.client;
        let blocked = client
            .and_then(|client| self.conns.client(client))
            .is_some_and(|client| client.stalled);
        if let Some(upstream) = self.conns.upstream_mut(conn) {
            upstream.paused = blocked;
        }
        !blocked
    }

    /// A client takes bytes again.
    pub(in crate::relay) fn resume_upstream(&mut self, client: ConnKey) {
        let Some(conn) = self.proxied(client).and_then(|proxied| proxied.upstream) else { return };
        if let Some(upstream) = self.conns.upstream_mut(conn)
            && upstream.paused
        {
            upstream.paused = false;
            self.outputs.push_back(Output::ResumeRead { conn });
        }
    }

    /// The upstream's socket takes no more, or takes everything again.
    pub(in crate::relay) fn upstream_blocked(&mut self, conn: ConnKey, blocked: bool, now: Now) {
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        let Some(client) = upstream.client else {
            // About to be closed: it has this much time to take the rest.
            return self.arm_closing(conn, blocked, now);
        };
        let Some(proxied) = self.proxied(client) else { return };
        proxied.blocked = blocked;
        self.arm_exchange(client, now);
        if !blocked {
            self.go_on(client, now);
        }
    }

    /// The upstream's socket took something.
    pub(in crate::relay) fn upstream_progressed(&mut self, conn: ConnKey, now: Now) {
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        match upstream.client {
            Some(client) => self.arm_exchange(client, now),
            None => self.arm_closing(conn, true, now),
        }
    }

    fn arm_closing(&mut self, conn: ConnKey, blocked: bool, now: Now) {
        let at_ms = now.mono_ms.saturating_add(self.limits.write_timeout_ms);
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        if let Some(old) = upstream.timer.take() {
            self.wheel.cancel(old);
        }
        upstream.timer = blocked.then(|| self.wheel.set(at_ms, (conn, ConnTimer::Write)));
    }

    /// The upstream sends no more. `clean`: it said so; otherwise the connection is gone.
    pub(in crate::relay) fn upstream_ended(&mut self, conn: ConnKey, clean: bool, now: Now) {
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        let spoke = upstream.spoke;
        let client = upstream.client.take();
        if let Some(proxy) = &mut self.proxy {
            proxy.pool.forget(conn);
        }
        if clean {
            self.outputs.push_back(Output::Abort { conn });
        }
        let Some(client) = client else { return };
        let Some(proxied) = self.proxied(client) else { return };
        proxied.upstream = None;
        match &proxied.stage {
            Stage::Connecting | Stage::Asked if proxied.can_repeat && !spoke => {
                proxied.can_repeat = false;
                proxied.stage = Stage::Connecting;
                self.find_upstream(client, now);
            }
            Stage::Connecting | Stage::Asked => {
                let text = "the upstream closed the connection before it had answered";
                self.fault(text, now);
                self.answer_for_upstream(client, 502, text, now);
            }
            Stage::Answering(body, _) => match body.end().filter(|_| clean) {
                Some(last) => {
                    if !last.is_empty() {
                        self.send_owned(client, last.to_vec());
                    }
                    self.finish(client, false, now);
                }
                None => {
                    self.fault("the upstream cut its answer off", now);
                    self.cut(client, now);
                }
            },
            Stage::Tunnel => self.close(client, now),
        }
    }

    /// A timer of an exchange has expired.
    pub(in crate::relay) fn exchange_timed_out(
        &mut self,
        conn: ConnKey,
        timer: ConnTimer,
        now: Now,
    ) {
        let ours = self.proxy.as_ref().is_some_and(|proxy| proxy.out_of_descriptors);
        let Some(proxied) = self.proxied(conn) else { return };
        let unanswered = proxied.is_unanswered();
        match timer {
            ConnTimer::Connect if self.waits_on(conn, now) => {}
            ConnTimer::Connect if ours => {
                let text = "the server has too many connections; send it again later";
                self.answer_for_upstream(conn, 503, text, now);
            }
            ConnTimer::Connect => {
                let text = "the upstream does not accept connections; is it running?";
                self.answer_for_upstream(conn, 502, text, now);
            }
            _ if !unanswered => {
                self.tell_silence(now);
                self.cut(conn, now);
            }
            _ => {
                self.tell_silence(now);
                let text = "the upstream did not answer within limits.upstream_timeout";
                self.answer_for_upstream(conn, 504, text, now);
            }
        }
    }

    fn tell_silence(&mut self, now: Now) {
        if let Some(proxy) = &mut self.proxy
            && let Some(times) = proxy.silent.note(now.mono_ms)
        {
            let url = &proxy.options.url;
            log::warn!("event=upstream_silent url={url} times={times}");
        }
    }

    /// Answers a request in place of the upstream.
    pub(super) fn answer_for_upstream(&mut self, conn: ConnKey, status: u16, text: &str, now: Now) {
        let Some(proxied) = self.proxied(conn) else { return };
        let unfinished = proxied.upload.is_some();
        let is_head = proxied.ask.is_head;
        let persistence = if unfinished { Persistence::Close } else { proxied.persistence };
        self.abandon(conn, now);
        let payload = self.renderer.text(&Exchange::bare(persistence, is_head), status, b"", text);
        if unfinished {
            self.refuse_and_linger(conn, status, payload, now);
        } else {
            self.respond(conn, persistence, status, payload, now);
        }
    }

    /// Ends what a client has to do with an upstream, if it does: at once, unless it is a tunnel,
    /// whose other end still gets what was sent.
    pub(in crate::relay) fn abandon(&mut self, client: ConnKey, now: Now) {
        let Some(proxied) = self.proxied(client) else { return };
        let Some(conn) = proxied.upstream.take() else { return };
        let (is_tunnel, blocked) = (proxied.is_tunnel(), proxied.blocked);
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        upstream.client = None;
        if is_tunnel {
            self.arm_closing(conn, blocked, now);
            self.outputs.push_back(Output::Close { conn });
        } else {
            self.outputs.push_back(Output::Abort { conn });
        }
    }

    /// Ends a connection whose answer is not whole, so that the client can tell.
    pub(in crate::relay) fn cut(&mut self, conn: ConnKey, now: Now) {
        let Some(proxied) = self.proxied(conn) else { return };
        if !matches!(proxied.stage, Stage::Answering(_, true)) {
            return self.close(conn, now);
        }
        self.abandon(conn, now);
        if let Some(client) = self.conns.client_mut(conn) {
            client.phase = Phase::Closing;
            client.buffer = None;
        }
        self.disarm(conn);
        self.outputs.push_back(Output::Reset { conn });
    }

    pub(super) fn send_owned(&mut self, conn: ConnKey, bytes: Vec<u8>) {
        self.outputs.push_back(Output::Send { conn, payload: Payload::Owned(bytes), crowd: None });
    }
}
