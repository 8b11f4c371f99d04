//! Faults of the upstream, and the answer that a client gets in its place, as text or as a page.
//! Sends nothing.
//!
//! Where the upstream is on this machine, the answer says which address it has and what it did: its
//! reader runs the upstream. Of any other upstream clients learn neither.

use std::io::ErrorKind;

use crate::http::HeadWriter;
use crate::relay::options::{ProxyOptions, UpstreamAddress};
use crate::relay::render::payload::Payload;
use crate::relay::render::{Renderer, Reply};
use crate::relay::request::accept::ranges;

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault<'a> {
    /// No connection to it can be had. Answered 502, or 503 to a page that loads itself again.
    /// `QuotaExceeded`: we have no descriptor for it. Answered 503.
    Unreachable(ErrorKind),
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
    /// The answer in the upstream's place, and its status. `place`: where the upstream is, if it is
    /// on this machine. `is_page`: a browser asks for a page.
    pub(super) fn answer(
        &self,
        place: Option<&str>,
        is_page: bool,
        reply: &Reply,
        renderer: &Renderer,
    ) -> (u16, Payload) {
        let is_ours = *self == Self::Unreachable(ErrorKind::QuotaExceeded);
        let is_away = matches!(self, Self::Unreachable(_) | Self::Closed { within_head: false });
        // It ends when the upstream has started.
        let waits = is_page && is_away && !is_ours;
        let status = match self {
            Self::Silent => 504,
            _ if waits || is_ours => 503,
            _ => 502,
        };
        let words = self.words(place);
        if !is_page {
            return (status, renderer.text(reply, status, b"", &words));
        }
        let lines = [renderer.server_and_date(true, true), reply.persistence.line()];
        (status, page(status, lines, &words, waits))
    }

    /// In words for the client. `at`: where the upstream is, if it is on this machine.
    fn words(&self, at: Option<&str>) -> String {
        let upstream = at.map_or("the upstream".to_owned(), |at| format!("the upstream at {at}"));
        match self {
            Self::Unreachable(ErrorKind::QuotaExceeded) => {
                "the server has too many connections; send it again later".to_owned()
            }
            Self::Unreachable(kind) => {
                let what = match kind {
                    _ if at.is_none() => "does not accept connections",
                    ErrorKind::ConnectionRefused => "refuses connections",
                    ErrorKind::NotFound => "does not exist",
                    ErrorKind::TimedOut => "accepts no connection in time",
                    other => &format!("cannot be reached ({other})"),
                };
                format!("{upstream} {what}; is it running?")
            }
            Self::Closed { within_head: false } => {
                let advice = if at.is_some() { "; its log says why" } else { "" };
                format!("{upstream} closed the connection without an answer{advice}")
            }
            Self::Closed { within_head: true } => {
                "the upstream closed the connection within the head of its answer".to_owned()
            }
            Self::Unreadable(cause) => {
                let cause = if at.is_some() { format!(": {cause}") } else { String::new() };
                format!("the upstream's answer cannot be read{cause}")
            }
            Self::Silent => "the upstream did not answer within limits.upstream_timeout".to_owned(),
            Self::BodyGone => {
                "the upstream hands over a message that is too large to be kept for it".to_owned()
            }
        }
    }
}

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
    let retry: &[u8] = if waits { b"Retry-After: 1\r\n" } else { b"" };
    HeadWriter::response(&mut out, status)
        .lines(&lines.concat())
        .lines(retry)
        .field("Cache-Control", b"no-store")
        .field("Content-Type", b"text/html; charset=utf-8")
        .number("Content-Length", body.len() as u64)
        .finish();
    out.extend_from_slice(body.as_bytes());
    Payload::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, HeaderSlots, parse_request};

    #[test]
    fn the_values_of_a_field_are_found_in_a_head() {
        let head = b"GET /accept: HTTP/1.1\r\nHost: a\r\nAccept: x\r\nAccept-Encoding: y\r\n\
                     accept: z, w\r\n\r\n";
        let limits = HeadLimits { header_bytes: 4096, headers: 50, uri_bytes: 1024 };
        let mut slots = HeaderSlots::new();
        let head = parse_request(head, &mut slots, &limits).unwrap();
        let found: Vec<_> = head.header_all("accept").collect();
        assert_eq!(found, [&b"x"[..], b"z, w"]);
    }

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
        let words = faults.map(|fault| fault.words(Some("127.0.0.1:1")));
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
