//! Gate: which requests are answered here instead of going to the upstream: those for another host,
//! for a path that is closed to clients, and those whose `Max-Forwards` is used up. Knows of the
//! locations what a request to the upstream has to do with. Sends nothing.

use percent_encoding::percent_decode;

use super::rewrite;
use crate::http::RequestHead;
use crate::http::authority::host_len;
use crate::relay::options::{LocationOptions, ProxyOptions};
use crate::relay::request::refusal::Refusal;

/// See the module.
#[derive(Debug)]
pub(super) struct Gate {
    /// Paths that only the daemon itself may ask for, as [`plain_path`] gives them.
    closed_paths: Vec<Vec<u8>>,
    /// There are publisher locations, to which a message may be handed over.
    pub(super) has_publishers: bool,
}

impl Gate {
    pub(super) fn new(locations: &[LocationOptions]) -> Self {
        let mut gate = Self { closed_paths: Vec::new(), has_publishers: false };
        for location in locations {
            gate.has_publishers |= location.role.publisher().is_some();
            let url = location.role.subscriber().and_then(|options| options.passthrough.as_deref());
            gate.closed_paths.extend(url.and_then(url_path));
        }
        gate
    }

    /// The answer to a request that goes no further.
    pub(super) fn refuses(
        &self,
        head: &RequestHead<'_>,
        options: &ProxyOptions,
        is_secure: bool,
    ) -> Option<Refusal> {
        let answer = |status, text| Some(Refusal::new(status, text));
        let forced_host = options.force_host.as_deref();
        if let Some(host) = forced_host.and_then(|host| other_host(host, head.host, is_secure)) {
            let scheme: &[u8] = if is_secure { b"https" } else { b"http" };
            let query = head.query.map_or(Vec::new(), |query| [b"?", query].concat());
            let lines =
                [b"Location: ", scheme, b"://", &*host, head.path, &query, b"\r\n"].concat();
            let refusal = Refusal::new(301, "this server has another name; see Location");
            return Some(Refusal { lines, ..refusal });
        }
        if !self.closed_paths.is_empty() && self.closed_paths.contains(&plain_path(head.path)) {
            return answer(403, "only the push server itself may ask for this path");
        }
        // RFC 9110 7.6.2: at zero the recipient is the last one.
        let is_last = head.header_all("Max-Forwards").any(|value| rewrite::hops(value) == Some(0));
        match head.method {
            "OPTIONS" if is_last => {
                answer(200, "the push server; Max-Forwards lets the request go no further")
            }
            // The answer to TRACE is the request as it came, with the secret in it (RFC 9110
            // 9.3.8).
            "TRACE" if is_last || options.secret.is_some() => {
                answer(501, "TRACE is not served here")
            }
            _ => None,
        }
    }
}

/// The path of a passthrough URL, unless it is the home page, which would be closed too.
fn url_path(url: &str) -> Option<Vec<u8>> {
    let (_, rest) = url.split_once("://")?;
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    let path = plain_path(path.split(['?', '#']).next().unwrap_or_default().as_bytes());
    (!path.is_empty()).then_some(path)
}

/// A path as the most lenient upstream may read it: percent-decoded, without empty and dot
/// segments, and without a line end at its end, which `$` in a URL pattern of Django ignores.
fn plain_path(path: &[u8]) -> Vec<u8> {
    let decoded: Vec<u8> = percent_decode(path).collect();
    let line = decoded.strip_suffix(b"\n").unwrap_or(&decoded);
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in line.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments.iter().flat_map(|segment| [b"/", *segment]).flatten().copied().collect()
}

/// The host that a request for `asked` is redirected to, if that is not the forced one. A forced
/// host without a port names every port, and the redirection keeps the one that was asked.
fn other_host(forced: &str, asked: &[u8], is_secure: bool) -> Option<Vec<u8>> {
    let (name, port) = asked.split_at(host_len(asked));
    let (forced_name, forced_port) = forced.as_bytes().split_at(host_len(forced.as_bytes()));
    let same_name = name.eq_ignore_ascii_case(forced_name);
    match forced_port {
        b"" if same_name => None,
        b"" => Some([forced_name, port].concat()),
        _ if same_name && number(port, is_secure) == number(forced_port, is_secure) => None,
        _ => Some(forced.as_bytes().to_vec()),
    }
}

/// A port as it is written, unless it is the one that the scheme has by itself.
fn number(port: &[u8], is_secure: bool) -> &[u8] {
    match (port, is_secure) {
        (b"" | b":", _) | (b":80", false) | (b":443", true) => b"",
        _ => port,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_same_however_it_is_spelled() {
        for spelled in [
            "/told",
            "/told/",
            "//told",
            "/%74old",
            "/./told",
            "/a/../told",
            "/a/%2e%2e/told",
            "/../told",
            "/told%0a",
            "/told/%0A",
        ] {
            assert_eq!(plain_path(spelled.as_bytes()), b"/told", "{spelled}");
        }
        for other in ["/toldx", "/Told", "/told/x", "/%2574old", "/"] {
            assert_ne!(plain_path(other.as_bytes()), b"/told", "{other}");
        }
    }

    #[test]
    fn another_host_is_sent_to_the_forced_one() {
        let sent = |forced: &str, asked: &str| {
            other_host(forced, asked.as_bytes(), false).map(|host| String::from_utf8(host).unwrap())
        };
        assert_eq!(sent("a.example", "A.example:8000"), None);
        assert_eq!(sent("a.example", "localhost:8000").as_deref(), Some("a.example:8000"));
        assert_eq!(sent("a.example", "b").as_deref(), Some("a.example"));
        assert_eq!(sent("a.example", "").as_deref(), Some("a.example"));
        assert_eq!(sent("a.example:80", "a.example"), None);
        assert_eq!(sent("a:81", "a").as_deref(), Some("a:81"));
        assert_eq!(sent("a:81", "a:82").as_deref(), Some("a:81"));
        assert_eq!(sent("a:81", "A:81"), None);
        assert_eq!(sent("a", "[::1]:8000").as_deref(), Some("a:8000"));
        assert_eq!(sent("[::1]", "[::1]:8000"), None);
        assert_eq!(other_host("a:443", b"A", true), None);
        assert_eq!(other_host("a:80", b"a", true).as_deref(), Some(&b"a:80"[..]));
    }
}
