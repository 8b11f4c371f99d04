//! Connections to the upstream: how a request gets one, and what happens to the exchange when one
//! opens, fails, stalls or ends.

use std::io::ErrorKind;

use super::Failure;
use super::exchange::{Continue, Repeat, Stage};
use super::fault::{CLOSED, Fault};
use crate::clock::Now;
use crate::relay::client::{Client, ConnTimer, Phase};
use crate::relay::conn::Conn;
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
        let takes_idle = matches!(proxied.repeat, Repeat::Once | Repeat::Safe);
        proxied.waits = 0;
        let Some(proxy) = &mut self.proxy else { return };
        // The upstream may just be closing an idle connection. So a request that cannot be repeated
        // gets a connection of its own, and so does one that was sent over such a connection.
        while takes_idle && let Some(conn) = proxy.pool.take() {
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

    /// Sends a request again after the upstream has closed the connection on it, if that does no
    /// harm and there is time; gives whether it does. The first time at once, since an idle
    /// connection may just have come to its end; then with pauses.
    fn repeats(&mut self, client: ConnKey, now: Now) -> bool {
        let limits = &self.site.limits;
        let Some(Client { phase: Phase::Proxied(proxied), .. }) = self.conns.client_mut(client)
        else {
            return false;
        };
        let pauses = match proxied.repeat {
            Repeat::Never => return false,
            Repeat::SafeAgain if now.mono_ms >= proxied.wait_ends_ms => return false,
            Repeat::SafeAgain => true,
            first => {
                let is_safe = first == Repeat::Safe;
                proxied.repeat = if is_safe { Repeat::SafeAgain } else { Repeat::Never };
                proxied.wait_ends_ms = now.mono_ms + proxied.ask.wait_ms(limits);
                false
            }
        };
        proxied.stage = Stage::Connecting;
        match &mut self.proxy {
            Some(proxy) if pauses => {
                proxy.pool.rest(client, now.mono_ms);
                self.arm(client, ConnTimer::Connect, now);
            }
            _ => self.find_upstream(client, now),
        }
        true
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
        self.effects.outputs.push_back(Output::Connect { conn, to });
    }

    /// A connection that [`Output::Connect`] asked for is open.
    pub(in crate::relay) fn connected(&mut self, conn: ConnKey, now: Now) {
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        let Some(client) = upstream.client else {
            return self.effects.outputs.push_back(Output::Abort { conn });
        };
        let turn = self.proxied(client).map_or(0, |proxied| proxied.first + proxied.attempts);
        let Some(proxy) = &mut self.proxy else { return };
        proxy.preferred = turn % proxy.count();
        proxy.failure = None;
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
    pub(in crate::relay) fn connect_failed(&mut self, conn: ConnKey, cause: ErrorKind, now: Now) {
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
        let since_ms = proxy.failure.map_or(now.mono_ms, |failure| failure.since_ms);
        proxy.failure = Some(Failure { cause, since_ms });
        log::debug!("event=dial_failed url={} cause=\"{cause}\"", proxy.options.url);
        proxy.pool.wait(client, now.mono_ms);
    }

    /// A client's share of `upstream_wait` for one address is over: a dial that has no answer yet
    /// makes way for one of the next address. Whether there is another share.
    pub(super) fn waits_on(&mut self, client: ConnKey, now: Now) -> bool {
        let count = self.proxy.as_ref().map_or(1, |proxy| proxy.count());
        let Some(proxied) = self.proxied(client) else { return false };
        proxied.waits += 1;
        let goes_on = proxied.waits < count && now.mono_ms < proxied.wait_ends_ms;
        if let Some(conn) = proxied.upstream
            && let Some(upstream) = self.conns.upstream_mut(conn)
        {
            upstream.client = None;
            self.effects.outputs.push_back(Output::Abort { conn });
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
        let payload = if proxied.upload.is_some() {
            let mut buffer = client.buffer.take().unwrap_or_default();
            let room = proxied.head.len() + buffer.bytes.len() + 32;
            let mut out = Vec::with_capacity(room);
            out.extend_from_slice(&proxied.head);
            match proxied.pass_body(&buffer.bytes, &mut out) {
                Ok(used) => drop(buffer.bytes.drain(..used)),
                Err(error) => failed = Some(error),
            }
            if !buffer.bytes.is_empty() {
                client.buffer = Some(buffer);
            }
            Payload::Owned(out)
        } else {
            Payload::Shared(proxied.head.clone())
        };
        if payload.len() > proxied.head.len() {
            // The client has begun already, and need not wait (RFC 9110 10.1.1).
            proxied.awaited = Continue::None;
        }
        // Only now, so that no body is asked for that nobody may take.
        let goes_on = proxied.awaited == Continue::Ours;
        if goes_on {
            proxied.awaited = Continue::None;
        }
        if let Some(error) = failed {
            return self.fail_upload(conn, error, now);
        }
        if goes_on {
            self.send_continue(conn);
        }
        self.effects.outputs.push_back(Output::Send { conn: upstream, payload, crowd: None });
        self.arm_exchange(conn, now);
        self.resume_client(conn);
    }

    /// Lets a client be read that was paused, if its bytes are taken now.
    fn resume_client(&mut self, conn: ConnKey) {
        if let Some(client) = self.conns.client_mut(conn)
            && client.paused
            && client.wants_read(&self.site.limits)
        {
            client.paused = false;
            self.effects.outputs.push_back(Output::ResumeRead { conn });
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
            self.effects.outputs.push_back(Output::ResumeRead { conn });
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
        let at_ms = now.mono_ms.saturating_add(self.site.limits.write_timeout_ms);
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        if let Some(old) = upstream.timer.take() {
            self.effects.wheel.cancel(old);
        }
        upstream.timer = blocked.then(|| self.effects.wheel.set(at_ms, (conn, ConnTimer::Write)));
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
            self.effects.outputs.push_back(Output::Abort { conn });
        }
        let Some(client) = client else { return };
        let Some(proxied) = self.proxied(client) else { return };
        proxied.upstream = None;
        match &proxied.stage {
            Stage::Connecting | Stage::Asked => {
                if !spoke && self.repeats(client, now) {
                    return;
                }
                self.warn_of_fault(CLOSED, now);
                let fault = Fault::Closed { within_head: spoke };
                self.answer_for_upstream(client, &fault, now);
            }
            // Nobody reads what the client still sends.
            Stage::Answered => self.linger(client, now),
            Stage::HandedOver(_) => {}
            Stage::Answering(body, _) => match body.end().filter(|_| clean) {
                Some(last) => {
                    if !last.is_empty() {
                        self.send_owned(client, last.to_vec());
                    }
                    self.finish(client, false, now);
                }
                None => {
                    self.warn_of_fault("the upstream cut its answer off", now);
                    self.cut(client, now);
                }
            },
            Stage::Tunnel => self.close(client, now),
        }
    }

    /// Ends what a client has to do with an upstream, if it does: at once, unless its other end is
    /// still to get what was sent, as that of a tunnel.
    pub(in crate::relay) fn abandon(&mut self, client: ConnKey, now: Now) {
        let Some(proxied) = self.proxied(client) else { return };
        let Some(conn) = proxied.upstream.take() else { return };
        // What has left for it is all that it gets.
        let is_whole = matches!(proxied.stage, Stage::Answered) && proxied.upload.is_none();
        let (gently, blocked) = (proxied.is_tunnel() || is_whole, proxied.blocked);
        let Some(upstream) = self.conns.upstream_mut(conn) else { return };
        upstream.client = None;
        if gently {
            self.arm_closing(conn, blocked, now);
            self.effects.outputs.push_back(Output::Close { conn });
        } else {
            self.effects.outputs.push_back(Output::Abort { conn });
        }
    }

    pub(super) fn send_owned(&mut self, conn: ConnKey, bytes: Vec<u8>) {
        self.effects.outputs.push_back(Output::Send {
            conn,
            payload: Payload::Owned(bytes),
            crowd: None,
        });
    }
}
