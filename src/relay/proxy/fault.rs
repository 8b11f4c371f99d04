//! Faults of the upstream: what a client is answered in its place, as text or as a page, and what
//! the log says.
//!
//! Where the upstream is on this machine, the answer says which address it has and what it did: the
//! reader is the one who runs it. Of any other, clients learn neither.

use std::borrow::Cow;
use std::io::ErrorKind;

use super::Failure;
use super::exchange::Stage;
use crate::clock::Now;
use crate::http::HeadWriter;
use crate::relay::client::{ConnTimer, Phase};
use crate::relay::options::{ProxyOptions, UpstreamAddress};
use crate::relay::render::payload::Payload;
use crate::relay::render::{Persistence, Reply};
use crate::relay::request::accept::ranges;
use crate::relay::{ConnKey, Output, Relay};

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault<'a> {
    /// No connection to it can be had. Answered 502, or 503 to a page that loads itself again.
    Unreachable(ErrorKind),
    /// We have no descriptor for it. Answered 503.
    Descriptors,
    /// It closed the connection: without an answer, as above; or within the head of one, 502.
    Closed { within_head: bool },
    /// Its answer has no sound head: in these words. Answered 502.
    Unreadable(&'a str),
    /// It has not answered in time. Answered 504.
    Silent,
    /// It hands over a message whose body was not kept. Answered 502.
    BodyGone,
}

impl Fault<'_> {
    fn status(&self) -> u16 {
        match self {
            Self::Descriptors => 503,
            Self::Silent => 504,
            Self::Unreachable(_) | Self::Closed { .. } | Self::Unreadable(_) | Self::BodyGone => {
                502
            }
        }
    }

    /// Whether it goes by when the upstream has started.
    fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Closed { within_head: false })
    }

    /// In words for the client. `at`: where the upstream is, if it is on this machine.
    fn words(&self, at: Option<&str>) -> Cow<'static, str> {
        match (self, at) {
            (Self::Unreachable(_), None) => {
                "the upstream does not accept connections; is it running?".into()
            }
            (Self::Unreachable(kind), Some(at)) => {
                let what = match kind {
                    ErrorKind::ConnectionRefused => Cow::from("refuses connections"),
                    ErrorKind::NotFound => "does not exist".into(),
                    ErrorKind::TimedOut => "accepts no connection in time".into(),
                    other => format!("cannot be reached ({other})").into(),
                };
                format!("the upstream at {at} {what}; is it running?").into()
            }
            (Self::Descriptors, _) => {
                "the server has too many connections; send it again later".into()
            }
            (Self::Closed { within_head: false }, None) => {
                "the upstream closed the connection without an answer".into()
            }
            (Self::Closed { within_head: false }, Some(at)) => format!(
                "the upstream at {at} closed the connection without an answer; its log says why"
            )
            .into(),
            (Self::Closed { within_head: true }, _) => {
                "the upstream closed the connection within the head of its answer".into()
            }
            (Self::Unreadable(_), None) => "the upstream's answer cannot be read".into(),
            (Self::Unreadable(cause), Some(_)) => {
                format!("the upstream's answer cannot be read: {cause}").into()
            }
            (Self::Silent, _) => {
                "the upstream did not answer within limits.upstream_timeout".into()
            }
            (Self::BodyGone, _) => {
                "the upstream hands over a message that is too large to be kept for it".into()
            }
        }
    }
}

/// What the log says of an upstream that gives no answer.
pub(super) const CLOSED: &str = "it closed the connection before it had answered";

/// Where the upstream is, as its answers say it, if all its addresses are on this machine.
pub(super) fn local_place(options: &ProxyOptions) -> Option<String> {
    let is_local = |address: &UpstreamAddress| match address {
        UpstreamAddress::Tcp(address) => {
            let ip = address.ip().to_canonical();
            ip.is_loopback() || ip.is_unspecified()
        }
        UpstreamAddress::Unix(_) => true,
    };
    let is_unix = |address: &UpstreamAddress| matches!(address, UpstreamAddress::Unix(_));
    options.addresses.iter().all(is_local).then(|| {
        let unix = options.addresses.iter().any(is_unix);
        if unix { "its Unix socket".to_owned() } else { options.host.clone() }
    })
}

/// Whether the fields `accept` name `text/html`, as those of browsers for a page do.
pub(super) fn accepts_html<'b>(accept: impl IntoIterator<Item = &'b [u8]>) -> bool {
    ranges(accept).any(|name| name.eq_ignore_ascii_case(b"text/html"))
}

impl Relay {
    /// A timer of an exchange has expired.
    pub(in crate::relay) fn exchange_timed_out(
        &mut self,
        conn: ConnKey,
        timer: ConnTimer,
        now: Now,
    ) {
        let Some(proxied) = self.proxied(conn) else { return };
        let is_answered = matches!(proxied.stage, Stage::Answered);
        let unanswered = proxied.is_unanswered();
        match timer {
            ConnTimer::Connect if self.waits_on(conn, now) => {}
            ConnTimer::Connect => {
                let fault = match self.proxy.as_ref().and_then(|proxy| proxy.failure) {
                    Some(failure) => {
                        self.warn_of_unreachable(conn, failure, now);
                        match failure.cause {
                            ErrorKind::QuotaExceeded => Fault::Descriptors,
                            cause => Fault::Unreachable(cause),
                        }
                    }
                    None => {
                        self.warn_of_fault(CLOSED, now);
                        Fault::Closed { within_head: false }
                    }
                };
                self.answer_for_upstream(conn, &fault, now);
            }
            // The upstream reads no more of a body.
            _ if is_answered => self.linger(conn, now),
            _ if !unanswered => {
                self.warn_of_silence(now);
                self.cut(conn, now);
            }
            _ => {
                self.warn_of_silence(now);
                self.answer_for_upstream(conn, &Fault::Silent, now);
            }
        }
    }

    /// Logs that a request is answered for want of the upstream. A page that loads itself again may
    /// only wait for a restart, which is logged once it takes longer than `upstream_wait`.
    fn warn_of_unreachable(&mut self, conn: ConnKey, failure: Failure, now: Now) {
        let waits = self.proxied(conn).is_some_and(|proxied| proxied.ask.is_page)
            && now.mono_ms < failure.since_ms.saturating_add(self.site.limits.upstream_wait_ms);
        if !waits
            && let Some(proxy) = &mut self.proxy
            && let Some(times) = proxy.unreachable.note(now.mono_ms)
        {
            let url = &proxy.options.url;
            let cause = match failure.cause {
                ErrorKind::QuotaExceeded => "the limit of open files is reached".to_owned(),
                cause => cause.to_string(),
            };
            log::warn!("event=upstream_unreachable url={url} times={times} cause=\"{cause}\"");
        }
    }

    fn warn_of_silence(&mut self, now: Now) {
        if let Some(proxy) = &mut self.proxy
            && let Some(times) = proxy.silent.note(now.mono_ms)
        {
            let url = &proxy.options.url;
            log::warn!("event=upstream_silent url={url} times={times}");
        }
    }

    /// Logs what is wrong with the upstream.
    pub(super) fn warn_of_fault(&mut self, cause: &str, now: Now) {
        if let Some(proxy) = &mut self.proxy
            && let Some(times) = proxy.faulty.note(now.mono_ms)
        {
            let url = &proxy.options.url;
            log::warn!("event=upstream_faulty url={url} times={times} cause={cause:?}");
        }
    }

    /// Answers a request in place of the upstream.
    pub(super) fn answer_for_upstream(&mut self, conn: ConnKey, fault: &Fault<'_>, now: Now) {
        let Some(proxied) = self.proxied(conn) else { return };
        let unfinished = proxied.upload.is_some();
        let ask = proxied.ask;
        let persistence = if unfinished { Persistence::Close } else { proxied.persistence };
        self.abandon(conn, now);
        let place = self.proxy.as_ref().and_then(|proxy| proxy.place.as_deref());
        let words = fault.words(place);
        let (status, payload) = if ask.is_page {
            let waits = fault.is_passing();
            let status = if waits { 503 } else { fault.status() };
            let common = self.renderer.server_and_date(true, true);
            (status, page(status, [common, persistence.line()], &words, waits))
        } else {
            let exchange = Reply::bare(persistence, ask.is_head);
            (fault.status(), self.renderer.text(&exchange, fault.status(), b"", &words))
        };
        if unfinished {
            self.refuse_and_linger(conn, status, payload, now);
        } else {
            self.respond(conn, persistence, status, payload, now);
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
        self.effects.outputs.push_back(Output::Reset { conn });
    }
}

/// An answer as a page: no script and no style, so that no policy forbids any of it. `waits`: it
/// loads itself again.
fn page(status: u16, lines: [&[u8]; 2], words: &str, waits: bool) -> Payload {
    let (refresh, title, advice) = if waits {
        (
            "<meta http-equiv=\"refresh\" content=\"1\">\n",
            "Waiting for the server",
            "<p>This page loads itself again until the server answers. If you run the server, look \
             at the terminal where it runs.</p>\n",
        )
    } else {
        ("", "No answer from the server", "")
    };
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let body = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n{refresh}\
         <title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>\n<p>{status}: {words}</p>\n\
         {advice}</body>\n</html>\n"
    );
    let mut out = Vec::with_capacity(512 + body.len());
    let mut head = HeadWriter::response(&mut out, status);
    for lines in lines {
        head = head.lines(lines);
    }
    if waits {
        head = head.number("Retry-After", 1);
    }
    head.field("Cache-Control", b"no-store")
        .field("Content-Type", b"text/html; charset=utf-8")
        .number("Content-Length", body.len() as u64)
        .finish();
    out.extend_from_slice(body.as_bytes());
    Payload::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_names_text_html() {
        for (accept, is_page) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("*/*, TEXT/HTML ;level=1", true),
            ("text/html;q=0.1", true),
            ("text/html; q=0.000, */*", false),
            ("*/*", false),
            ("text/*", false),
            ("text/htmlx", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(accepts_html([accept.as_bytes()]), is_page, "{accept}");
        }
        assert!(!accepts_html([]));
    }

    #[test]
    fn only_of_an_upstream_on_this_machine_is_told_where_it_is() {
        let faults = [
            Fault::Unreachable(ErrorKind::ConnectionRefused),
            Fault::Unreachable(ErrorKind::TimedOut),
            Fault::Unreachable(ErrorKind::NetworkUnreachable),
            Fault::Closed { within_head: false },
            Fault::Unreadable("its head is odd"),
        ];
        for fault in &faults {
            assert!(!fault.words(None).contains("odd"), "{fault:?}");
        }
        let words = faults.map(|fault| fault.words(Some("127.0.0.1:1")).into_owned());
        assert_eq!(
            words,
            [
                "the upstream at 127.0.0.1:1 refuses connections; is it running?",
                "the upstream at 127.0.0.1:1 accepts no connection in time; is it running?",
                "the upstream at 127.0.0.1:1 cannot be reached (network unreachable); is it \
                 running?",
                "the upstream at 127.0.0.1:1 closed the connection without an answer; its log \
                 says why",
                "the upstream's answer cannot be read: its head is odd",
            ]
        );
    }

    #[test]
    fn an_upstream_is_local_if_all_its_addresses_are() {
        let place = |addresses: &[&str]| {
            let addresses = addresses
                .iter()
                .map(|address| match address.parse() {
                    Ok(address) => UpstreamAddress::Tcp(address),
                    Err(_) => UpstreamAddress::Unix(address.into()),
                })
                .collect();
            local_place(&ProxyOptions {
                url: String::new(),
                host: "up:1".to_owned(),
                addresses,
                force_host: None,
                trusted: Vec::new(),
                secret: None,
            })
        };
        assert_eq!(place(&["127.0.0.1:1", "[::1]:1"]).as_deref(), Some("up:1"));
        assert_eq!(place(&["[::ffff:127.0.0.9]:1"]).as_deref(), Some("up:1"));
        assert_eq!(place(&["/run/up.sock"]).as_deref(), Some("its Unix socket"));
        assert_eq!(place(&["127.0.0.1:1", "10.0.0.1:1"]), None);
        assert_eq!(place(&["[2001:db8::1]:1"]), None);
    }
}
