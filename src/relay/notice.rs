//! What Django is told when a hold starts and ends. Only the data: `net/worker` sends it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::options::Role;
use crate::clock::Now;
use crate::http::{ConnectionOptions, RequestHead, is_hop_by_hop};

/// Which end of a hold a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The request is held now.
    Subscribe,
    /// The hold ended: delivery, 304, 409, 410, or the subscriber is gone.
    Unsubscribe,
}

/// One hold, for the subscribe and the unsubscribe notice alike.
pub struct Notice {
    /// The location's `passthrough` URL.
    pub url: Arc<str>,
    /// The channel id, percent-decoded: any bytes but controls.
    pub channel_id: Box<[u8]>,
    /// All header lines that the relay has for the notice, each `Name: value\r\n`: sent as they
    /// are, behind those of the form.
    pub headers: Box<[u8]>,
    /// Where the subscriber connects from; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
}

/// Something of members that Django is told, and says whether it has taken it.
pub struct Telling {
    /// The location's `passthrough` URL.
    pub url: Arc<str>,
    /// The form.
    pub body: String,
    /// As those of a [`Notice`].
    pub headers: Box<[u8]>,
    /// Where the subscriber connects from; `None` where there is none, or on a Unix socket.
    pub peer: Option<IpAddr>,
}

/// What has become of something that Django was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// It was answered with this status.
    Answered(u16),
    /// Nobody was there: it has not taken it.
    Unreachable,
    /// It was not answered in time: it may have taken it.
    TimedOut,
    /// It was not answered: it may have taken it.
    Failed,
}

impl Reaction {
    /// In one word: the status, `timeout` or `failed`.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Answered(status) => status.to_string(),
            Self::TimedOut => "timeout".to_owned(),
            Self::Unreachable | Self::Failed => "failed".to_owned(),
        }
    }

    /// What the operator may do about it; `None`: it is as it should be.
    #[must_use]
    pub fn fix(self) -> Option<&'static str> {
        Some(match self {
            Self::Answered(200..=299) => return None,
            Self::Answered(403) => {
                "check passthrough_secret (or INTERNAL_IPS): the application does not know this \
                 secret; start the daemon with runpushserver, or write its settings anew by \
                 manage.py pushserver_settings (or SECRET_KEY has changed)"
            }
            Self::Answered(400) => "add the host of passthrough to ALLOWED_HOSTS",
            Self::Answered(404 | 405) => {
                "check passthrough: include(\"pushserver.urls\") has to serve its URL"
            }
            Self::Answered(300..=399) => {
                "set passthrough to the URL that it is sent on to: no redirect is followed"
            }
            Self::Answered(500..=599) => {
                "see the application's log: its view or a receiver of the signal fails"
            }
            Self::Answered(_) => "see the application's log: it refuses the notice",
            Self::TimedOut => "see why the application is slow: it has not answered in time",
            Self::Unreachable | Self::Failed => {
                "start the application, or check passthrough: nothing answers there"
            }
        })
    }
}

/// What became of a notice, to be shown.
#[derive(Debug)]
pub struct Report {
    /// What Django was told of, in one word.
    pub what: &'static str,
    /// The location's `passthrough` URL.
    pub url: Arc<str>,
    /// The channel id; empty where there is none.
    pub channel_id: Box<[u8]>,
    /// What became of it.
    pub reaction: Reaction,
    /// When that was known, and how long it took, microseconds.
    pub at: Now,
    /// See `at`.
    pub us: u64,
}

/// What of a `passthrough` URL is shown: its query may hold a secret.
#[must_use]
pub fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

impl fmt::Debug for Telling {
    /// Without the headers, which hold cookies and the location's secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telling").field("body", &self.body).finish_non_exhaustive()
    }
}

/// What stands for itself in a form: the characters that every encoder leaves alone.
pub const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl fmt::Debug for Notice {
    /// Without the headers, which hold cookies and the location's secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel_id = self.channel_id.escape_ascii().to_string();
        f.debug_struct("Notice").field("channel_id", &channel_id).finish_non_exhaustive()
    }
}

/// Fields that only the daemon sends to Django: what clients send under these names is left out.
pub(super) const SECRET: &str = "X-Pushserver-Secret";
pub(super) const PEER: &str = "X-Pushserver-Peer";
pub(super) const USER: &str = "X-Pushserver-User";

/// What of a user's name is percent-encoded in [`USER`]: `%`, and all but visible ASCII characters.
/// So no name ends the line, and whoever decodes it has the name.
const NO_NAME: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// The header lines of a notice: the subscriber's own, but for what [`is_passed`] leaves out. Then
/// the location's secret, and the user that its token names, on which Django can rely because a
/// subscriber's own are left out. `shows_bearer`: `Authorization` is no token of ours.
pub(super) fn passed_headers(
    head: &RequestHead<'_>,
    role: &Role,
    user: Option<&str>,
    shows_bearer: bool,
) -> Box<[u8]> {
    let connection = ConnectionOptions::read(head.headers);
    let mut lines = Vec::new();
    for header in head.headers {
        let name = header.name;
        let is_token = !shows_bearer && name.eq_ignore_ascii_case("Authorization");
        if !is_passed(name) || connection.name(name) || is_token {
            continue;
        }
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(header.value.trim_ascii());
        lines.extend_from_slice(b"\r\n");
    }
    lines.extend_from_slice(secret_line(role).as_bytes());
    if let Some(user) = user {
        let user = utf8_percent_encode(user, NO_NAME);
        lines.extend_from_slice(format!("{USER}: {user}\r\n").as_bytes());
    }
    lines.into()
}

/// The header line by which Django knows the daemon; empty where the location has no secret.
pub(super) fn secret_line(role: &Role) -> String {
    let secret = role.subscriber().and_then(|options| options.passthrough_secret.as_ref());
    secret.map_or_else(String::new, |secret| format!("{SECRET}: {}\r\n", secret.reveal()))
}

/// Whether a subscriber's field goes to Django. Not one of the connection, nor of:
/// * what is for a WebSocket alone;
/// * what the sender of notices says anew (`Host`, `Expect`, all of a body);
/// * credentials for a proxy;
/// * what the daemon alone may say. To WSGI `X_Forwarded_For` is the same name as
///   `X-Forwarded-For`, hence no underscores either.
fn is_passed(name: &str) -> bool {
    const OMITTED: [&str; 8] = [
        "Expect",
        "Host",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "X-Forwarded-For",
        PEER,
        SECRET,
        USER,
    ];
    let begins =
        |with: &str| name.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    !is_hop_by_hop(name)
        && !begins("content-")
        && !begins("sec-websocket-")
        && !name.contains('_')
        && !OMITTED.iter().any(|omitted| name.eq_ignore_ascii_case(omitted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, HeaderSlots, parse_request};
    use crate::relay::options::{Origins, PublisherOptions};

    #[test]
    fn the_subscribers_own_headers_go_along_and_those_of_its_connection_do_not() {
        let head = "GET /a HTTP/1.1\r\nCookie: a=1\r\nCookie: b=2\r\nUser-Agent: test\r\n\
            Host: evil\r\nContent-Length: 99\r\nContent-Type: text/evil\r\nContent-Evil: 1\r\n\
            Connection: close, X-Mine\r\nUpgrade: x\r\nX-Mine: 1\r\nTE: trailers\r\n\
            Expect: 100-continue\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n\
            Proxy-Authorization: 1\r\nX-Pushserver-Secret: 1\r\nX-Pushserver-Peer: 1\r\n\
            x-pushserver-user: 1\r\nX_Pushserver_User: 1\r\n\
            If-None-Match: 0\r\n\r\n";
        let limits = HeadLimits { header_bytes: 4096, headers: 30, uri_bytes: 1024 };
        let mut slots = HeaderSlots::new();
        let head = parse_request(head.as_bytes(), &mut slots, &limits).unwrap();
        let role = Role::Publisher(PublisherOptions {
            create_on_post: true,
            store_messages: true,
            allow: Vec::new(),
            secret: None,
            allow_origin: Origins::Nobody,
        });
        let lines = "Cookie: a=1\r\nCookie: b=2\r\nUser-Agent: test\r\nIf-None-Match: 0\r\n";
        assert_eq!(*passed_headers(&head, &role, None, true), *lines.as_bytes());
    }
}
